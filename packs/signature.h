/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature.h - detached Ed25519 signatures in two formats: minisign's (FILE.minisig) and agentsh's (FILE.sig)
 *
 * minisign: text; the signature of the file's bytes ("Ed") or of their BLAKE2b-512 ("ED", what minisign and we write), the eight
 * bytes that name its key, and a comment that is signed too. A public key is one line of 56 base64 letters.
 * agentsh: JSON with version 1, algorithm "ed25519", key_id (SHA-256 of the public key), signer, signed_at, signature (base64, of the
 * file's bytes), cert_chain (must be empty). A public key is JSON: key_id, algorithm, public_key, label, trusted_since, expires_at.
 *
 * Everything read here is of unknown origin until a signature holds: bounded, and nothing is believed before that.
 */
#ifndef MF_PACKS_SIGNATURE_H
#define MF_PACKS_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

#define MF_SIGNATURE_TEXT_MAX	 ((size_t)16 << 10) /* bytes of a signature's or key's file */
#define MF_SIGNATURE_COMMENT_MAX 1024
#define MF_KEY_ID_ROOM		 65 /* agentsh's id: 64 hexadecimal digits, and the NUL */

enum mf_signature_format { MF_SIGNATURE_MINISIGN, MF_SIGNATURE_AGENTSH, MF_SIGNATURE_FORMAT_NUM };

struct mf_public_key {
	uint8_t key[32];
	bool has_number;   /* a key of agentsh has none, and makes no minisign signatures */
	uint8_t number[8]; /* minisign's name for it */
	char id[MF_KEY_ID_ROOM];
	char label[128];
	uint64_t expires_s; /* seconds since 1970; 0: never */
};

struct mf_secret_key {
	struct mf_public_key pub;
	uint8_t seed[32];
};

struct mf_signature {
	enum mf_signature_format format;
	bool prehashed;
	uint8_t number[8];
	char id[MF_KEY_ID_ROOM];
	uint8_t bytes[64], comment_bytes[64];
	char comment[MF_SIGNATURE_COMMENT_MAX +
		     1]; /* minisign's trusted comment; agentsh's signer, which is not signed */
};

/** mf_public_key_parse() - A minisign .pub file, its one line of base64, or agentsh's JSON; Return: 0, MF_E_BAD with the reason, MF_E_NOMEM */
int mf_public_key_parse(const char *text, size_t len, struct mf_public_key *ret,
			struct mf_err *err);

/** mf_public_key_text() - The line of 56 letters; of a key without a number the first 8 bytes of its id stand for that */
void mf_public_key_text(const struct mf_public_key *key, char ret[57]);

/** mf_public_key_number() - minisign's name as it prints it: 16 hexadecimal digits, or "" */
void mf_public_key_number(const struct mf_public_key *key, char ret[17]);

/** mf_secret_key_parse() - minisign's without a password (minisign -G -W), or agentsh's JSON; Return: 0, MF_E_BAD, MF_E_UNSUPPORTED: has a password */
int mf_secret_key_parse(const char *text, size_t len, struct mf_secret_key *ret,
			struct mf_err *err);
void mf_secret_key_done(struct mf_secret_key *key); /* forgets it */

/** mf_signature_parse() - Return: 0, MF_E_BAD with the reason, MF_E_NOMEM */
int mf_signature_parse(const char *text, size_t len, struct mf_signature *ret, struct mf_err *err);

/** mf_signature_is_by() - Whether @sig says that @key made it */
bool mf_signature_is_by(const struct mf_signature *sig, const struct mf_public_key *key);

/** mf_signature_check() - Whether @key signed these bytes (and the comment); Return: 0, MF_E_PERM: it did not; MF_E_NOMEM */
int mf_signature_check(const struct mf_signature *sig, const struct mf_public_key *key,
		       const void *data, size_t len, struct mf_err *err);

/**
 * mf_signature_make() - Sign, as the text of a signature's file
 * @comment: one line, at most MF_SIGNATURE_COMMENT_MAX bytes; minisign's trusted comment, agentsh's signer
 * @now_s: for agentsh's signed_at
 * Return: 0; MF_E_INVAL: the comment; MF_E_NOMEM
 */
int mf_signature_make(enum mf_signature_format format, const struct mf_secret_key *key,
		      const char *comment, uint64_t now_s, const void *data, size_t len,
		      struct mf_strbuf *out, struct mf_err *err);

/** mf_time_parse() - "2027-01-31T12:00:00Z" (an offset and fractions too) or "2027-01-31"; Return: 0, MF_E_SYNTAX */
int mf_time_parse(const char *text, uint64_t *ret_s);
/** mf_time_text() - "2027-01-31T12:00:00Z" */
void mf_time_text(uint64_t s, char ret[32]);

#endif
