/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - the index of a channel: which archives are its packs now, for all and for a canary; NAME.mfchannel
 *
 *	untrusted comment: signature of key 9F3C7E7DA7B0C0D5
 *	RUTVwLCnfX48n...
 *	trusted comment: stable 7
 *	dtX6...
 *	moonfence-channel 1
 *	name stable
 *	number 7
 *	expires 2027-01-31T12:00:00Z
 *	pack corp-egress 1.4.2 51200 SHA256 minisig
 *	canary 10
 *	pack corp-egress 1.5.0 51712 SHA256 minisig
 *
 * The first four lines are minisign's signature of all that follows, in one file with it: who fetches a channel never has the
 * index of one moment and the signature of another. Nothing behind them is read before a key with the role "channel" has signed it.
 *
 * A later index has a higher number, and counts until it expires. Packs stand by name, with the size and the SHA-256 of their
 * archives and the ending of the signature beside those; what follows "canary PERCENT" is for so many sessions of a hundred. What is
 * read must be what would have been written. An archive is called NAME-VERSION.mfpack, beside the index.
 */
#ifndef MF_PACKS_CHANNEL_H
#define MF_PACKS_CHANNEL_H

#include "packs/trust.h"

#define MF_CHANNEL_ENDING    ".mfchannel"
#define MF_CHANNEL_PACKS_MAX 16			/* for all, and as many for a canary */
#define MF_CHANNEL_MAX	     ((size_t)64 << 10) /* bytes of the file */
#define MF_CHANNEL_FILE_ROOM (MF_PACK_NAME_MAX + MF_SEMVER_TEXT_MAX + 24)

struct mf_channel_pack {
	char name[MF_PACK_NAME_MAX + 1], version[MF_SEMVER_TEXT_MAX + 1];
	char hash[MF_PACK_HASH_ROOM];
	size_t len;
	enum mf_signature_format format; /* of the archive's signature */
};

struct mf_channel {
	char name[MF_PACK_NAME_MAX + 1];
	uint32_t number; /* 1 to 999,999,999 */
	uint64_t expires_s;
	struct mf_channel_pack packs[MF_CHANNEL_PACKS_MAX]; /* by name */
	size_t pack_cnt;
	uint32_t percent; /* of sessions that have the canary, 1 to 99; 0: there is none */
	struct mf_channel_pack canary[MF_CHANNEL_PACKS_MAX];
	size_t canary_cnt;
};

/** mf_channel_find() - By its name; Return: NULL for none */
const struct mf_channel_pack *mf_channel_find(const struct mf_channel_pack *packs, size_t cnt,
					      const char *name);

/** mf_channel_file() - What the archive of a pack is called */
void mf_channel_file(const struct mf_channel_pack *p, char ret[MF_CHANNEL_FILE_ROOM]);
/** mf_channel_signature_file() - The same of its signature */
void mf_channel_signature_file(const struct mf_channel_pack *p, char ret[MF_CHANNEL_FILE_ROOM]);

/** mf_channel_write() - What is signed; Return: 0, MF_E_NOMEM */
int mf_channel_write(const struct mf_channel *c, struct mf_strbuf *out, struct mf_err *err);

/**
 * mf_channel_parse() - Read what was signed, after the signature was checked: for mf_channel_open() and tests
 * Return: 0; MF_E_BAD with the line
 */
int mf_channel_parse(const char *text, size_t len, struct mf_channel *ret, struct mf_err *err);

/** mf_channel_split() - Where the signed text begins in a channel's file; Return: its offset; MF_E_BAD: no four lines before it */
int mf_channel_split(const char *text, size_t len);

/**
 * mf_channel_open() - Check a channel's file: signature, key, name, time, and that the key may name these packs
 * @what: for messages; @name: which channel it has to be, NULL for any
 * @ret_hash: of what is signed
 * Return: 0; MF_E_PERM: not signed, not trusted, expired, another channel; MF_E_BAD: malformed; MF_E_NOMEM
 */
int mf_channel_open(const struct mf_trust *trust, uint64_t now_s, const char *what,
		    const char *name, const char *text, size_t len, struct mf_channel *ret,
		    char ret_hash[MF_PACK_HASH_ROOM], struct mf_err *err);

#endif
