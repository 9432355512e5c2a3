/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - whose signatures count, for what and until when: trust.yaml
 *
 *	keys:
 *	- name: corp-security
 *	  key: RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
 *	  roles: [packs, mandatory]
 *	  packs: ["corp-*"]
 *	  expires: 2027-12-31
 *	- name: old-laptop
 *	  key: ...
 *	  roles: [packs]
 *	  revoked: stolen on 3 May
 *
 * Roles: "packs" may sign packs, "mandatory" also those of tier mandatory, "channel" the indexes of channels (channel.h). `packs` are names, in which "*" at the end stands for
 * any rest; absent: all. A key is minisign's line; of a key of agentsh, the first bytes of its id stand for minisign's number, and
 * `minisign: no` says that it makes no minisign signatures. Read strictly: whatever is unknown, twice or malformed makes
 * the whole store an error, since a line that is not understood may be a revocation.
 */
#ifndef MF_PACKS_TRUST_H
#define MF_PACKS_TRUST_H

#include "packs/manifest.h"
#include "packs/signature.h"

#define MF_TRUST_KEYS_MAX     64
#define MF_TRUST_PATTERNS_MAX 16
#define MF_TRUST_TEXT_MAX     ((size_t)256 << 10) /* bytes of the file */

enum mf_trust_role { MF_TRUST_PACKS, MF_TRUST_MANDATORY, MF_TRUST_CHANNEL, MF_TRUST_ROLE_NUM };

struct mf_trust_key {
	char name[MF_PACK_NAME_MAX + 1];
	struct mf_public_key key; /* key.expires_s: when it expires, 0 for never */
	unsigned roles;		  /* bit r: enum mf_trust_role */
	char packs[MF_TRUST_PATTERNS_MAX][MF_PACK_NAME_MAX + 2];
	size_t pack_cnt; /* 0: all */
	bool revoked;
	char revoked_why[128];
};

struct mf_trust {
	struct mf_trust_key keys[MF_TRUST_KEYS_MAX];
	size_t cnt;
};

/** mf_trust_role_name() - "packs", "mandatory", "channel" */
const char *mf_trust_role_name(enum mf_trust_role role);
/** mf_trust_role_find() - Return: the role, MF_TRUST_ROLE_NUM for none */
enum mf_trust_role mf_trust_role_find(const char *name);

/** mf_trust_parse() - Return: 0; MF_E_SYNTAX with file, line and column; MF_E_LIMIT, MF_E_NOMEM */
int mf_trust_parse(const char *text, size_t len, const char *file, struct mf_trust *ret,
		   struct mf_err *err);

/** mf_trust_write() - As mf_trust_parse() reads it; Return: 0, MF_E_NOMEM */
int mf_trust_write(const struct mf_trust *trust, struct mf_strbuf *out, struct mf_err *err);

/** mf_trust_is_pattern() - Whether it is a pack's name (mf_pack_is_id()), or the beginning of one and "*" */
bool mf_trust_is_pattern(const char *pattern);

/** mf_trust_add() - Return: 0; MF_E_EXIST: that name or key is there; MF_E_INVAL: no name, or no pattern; MF_E_FULL */
int mf_trust_add(struct mf_trust *trust, const struct mf_trust_key *key, struct mf_err *err);

/** mf_trust_find() - By its name here, minisign's number or agentsh's id; NULL: none */
struct mf_trust_key *mf_trust_find(struct mf_trust *trust, const char *word);

/**
 * mf_trust_check() - Whether a key that counts now signed these bytes; nothing of them is read but hashed
 * @what: of the signed file, for messages
 * Return: 0 and the key; MF_E_PERM: unknown, revoked or expired key, or no signature of it; MF_E_NOMEM
 */
int mf_trust_check(const struct mf_trust *trust, const struct mf_signature *sig, uint64_t now_s,
		   const void *data, size_t len, const char *what,
		   const struct mf_trust_key **ret_key, struct mf_err *err);

/** mf_trust_allows() - Whether this key may sign this pack; Return: 0, MF_E_PERM with what it may not */
int mf_trust_allows(const struct mf_trust_key *key, const struct mf_pack_manifest *m,
		    struct mf_err *err);

/** mf_trust_allows_in_channel() - Whether the index that this key signs may name a pack @name; Return: 0, MF_E_PERM */
int mf_trust_allows_in_channel(const struct mf_trust_key *key, const char *name,
			       struct mf_err *err);

#endif
