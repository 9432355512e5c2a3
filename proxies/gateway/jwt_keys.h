/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt_keys.h - the keys that JSON Web Tokens may be signed with: HS256, RS256 (RFC 7518 3.2, 3.3), EdDSA with Ed25519 (RFC 8037)
 *
 *	mf_jwt_keys_add_secret(keys, secret);			HS256
 *	mf_jwt_keys_add_text(keys, text, "keys.json", &err);	a JWK Set (RFC 7517), or public keys in PEM
 *
 * A key has one algorithm, and is used for nothing else: what the token's header says only chooses among the keys, so that a public RSA
 * key is never a secret of HMAC, and "none" chooses nothing. Where the header has a "kid", keys with another "kid" are passed over; keys
 * without one stand for any.
 *
 * In PEM a line "kid: NAME" before a key names it. Keys of other kinds, and those that are for encryption, are skipped; a file with a private
 * key is refused: whoever can read it could make tokens. RSA keys have 2,048 to 8,192 bits.
 */
#ifndef MF_PROXIES_GATEWAY_JWT_KEYS_H
#define MF_PROXIES_GATEWAY_JWT_KEYS_H

#include "core/base/err.h"
#include "core/base/span.h"

enum {
	MF_JWT_KEYS_MAX = 64,
	MF_JWT_TRIES_MAX = 8, /* keys that one token is tried with */
	MF_JWT_KID_MAX = 256, /* with its NUL */
	MF_JWT_KEY_TEXT_MAX = 1 << 20,
	MF_JWT_SIGNATURE_MAX = 1024, /* bytes: RSA with 8,192 bits */
};

enum mf_jwt_alg { MF_JWT_HS256, MF_JWT_RS256, MF_JWT_EDDSA, MF_JWT_ALG_NUM };

struct mf_jwt_keys;

/** mf_jwt_keys_new() - Return: NULL without memory */
struct mf_jwt_keys *mf_jwt_keys_new(void);
void mf_jwt_keys_free(struct mf_jwt_keys *keys);
size_t mf_jwt_keys_count(const struct mf_jwt_keys *keys);

/** mf_jwt_keys_add_secret() - For HS256; copied. Return: 0; MF_E_INVAL (empty), MF_E_FULL, MF_E_NOMEM */
int mf_jwt_keys_add_secret(struct mf_jwt_keys *keys, struct mf_span secret);

/**
 * mf_jwt_keys_add_text() - A JWK Set, a JWK, or PEM
 * @name: of the file, for errors
 * Return: 0; MF_E_SYNTAX (no keys in it, a private key, a malformed one), MF_E_EXIST (a "kid" twice), MF_E_FULL, MF_E_NOMEM
 */
int mf_jwt_keys_add_text(struct mf_jwt_keys *keys, struct mf_span text, const char *name,
			 struct mf_err *err);

/** mf_jwt_keys_secret() - The first secret for HS256, which new tokens are signed with; Return: false: there is none */
bool mf_jwt_keys_secret(const struct mf_jwt_keys *keys, struct mf_span *ret);

/** mf_jwt_alg_read() - Return: the algorithm of a header's "alg"; -1: none of ours */
int mf_jwt_alg_read(struct mf_span name);

/**
 * mf_jwt_keys_verify() - Whether @signature is one of @text by a key that may have made it
 * @kid: NULL: the token has none
 * Cost: at most MF_JWT_TRIES_MAX checks. Any number of threads may ask at the same time.
 */
bool mf_jwt_keys_verify(const struct mf_jwt_keys *keys, enum mf_jwt_alg alg, const char *kid,
			struct mf_span text, struct mf_span signature);

#endif
