/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack_state.h - which packs of a store of installed packs are in force: the one file that an installation replaces
 *
 * A store is a directory with the file "packs.state" and a directory NAME/VERSION-HASH16 for each pack:
 *
 *	moonfence-packs 1
 *	active 2
 *	canary 3 10
 *	generation 1 0
 *	pack base-rules 1.0.0 stable SHA256 KEY SHA256
 *	generation 2 1
 *	pack base-rules 1.1.0 stable SHA256 KEY SHA256
 *	generation 3 2
 *	pack base-rules 1.2.0 stable SHA256 KEY SHA256
 *	seen base-rules stable 1.1.0 SHA256
 *	source corp stable 7 SHA256
 *
 * Each line ends in LF, one blank stands between words. A generation says its number, the one that it came from (0: none) and then
 * its packs, by name. "canary", which may be missing, is the generation that so many of a hundred sessions load instead of the
 * active one. "seen" is the highest version that was ever in force of a pack and channel: it outlives rollbacks. The first hash is the
 * archive's, the second its MANIFEST's, which a load compares (pack_files.h). "source" is the newest index of a channel that was carried out from a source, its number and its hash.
 */
#ifndef MF_POLICY_PACK_STATE_H
#define MF_POLICY_PACK_STATE_H

#include "core/base/strbuf.h"
#include "core/policy/pack.h"
#include "core/policy/semver.h"

#define MF_PACK_STATE_FILE	  "packs.state"
#define MF_PACK_STATE_MAX	  ((size_t)1 << 20) /* bytes of the file */
#define MF_PACK_STATE_PACKS	  64		    /* of a generation */
#define MF_PACK_STATE_GENERATIONS 16
#define MF_PACK_STATE_SEEN	  256
#define MF_PACK_STATE_SOURCES	  32
#define MF_PACK_DIR_ROOM	  (MF_PACK_NAME_MAX + MF_SEMVER_TEXT_MAX + 19)

struct mf_pack_entry {
	char name[MF_PACK_NAME_MAX + 1], version[MF_SEMVER_TEXT_MAX + 1];
	char channel[MF_PACK_NAME_MAX + 1];
	char hash[65];	   /* SHA-256 of its archive, hexadecimal */
	char manifest[65]; /* of its MANIFEST; "": not known (an older store, and in "seen") */
	char key[MF_PACK_NAME_MAX +
		 1]; /* what the trust store called the key that signed it; "-" in "seen" */
};

struct mf_pack_generation {
	uint32_t number, parent; /* 0: none */
	struct mf_pack_entry packs[MF_PACK_STATE_PACKS];
	size_t cnt;
};

/* What a source's channel said last. */
struct mf_pack_state_source {
	char name[MF_PACK_NAME_MAX + 1], channel[MF_PACK_NAME_MAX + 1];
	uint32_t number;
	char hash[65]; /* SHA-256 of the index, hexadecimal */
};

struct mf_pack_state {
	uint32_t active;		 /* number; 0: no generation */
	uint32_t canary, canary_percent; /* number of the canary's generation, 0: none; 1 to 99 */
	struct mf_pack_generation generations[MF_PACK_STATE_GENERATIONS];
	size_t generation_cnt; /* by number */
	struct mf_pack_entry seen[MF_PACK_STATE_SEEN];
	size_t seen_cnt;
	struct mf_pack_state_source sources[MF_PACK_STATE_SOURCES];
	size_t source_cnt;
};

/**
 * mf_pack_state_read() - Read the state of the store @dir; *ret_state is free()d by the caller
 * Return: 0; MF_E_NOENT: @dir is no store; MF_E_BAD with the line; MF_E_IO, MF_E_NOMEM
 */
int mf_pack_state_read(const char *dir, struct mf_pack_state **ret_state, struct mf_err *err);

/** mf_pack_state_write() - As mf_pack_state_read() reads it; Return: 0, MF_E_NOMEM */
int mf_pack_state_write(const struct mf_pack_state *state, struct mf_strbuf *out,
			struct mf_err *err);

/** mf_pack_state_find() - The generation of a number; NULL: none */
struct mf_pack_generation *mf_pack_state_find(struct mf_pack_state *state, uint32_t number);

/** mf_pack_state_active() - The generation in force; NULL: none */
const struct mf_pack_generation *mf_pack_state_active(const struct mf_pack_state *state);

/**
 * mf_pack_session_share() - Where a session stands among all: 0 to 9,999, by its name alone
 * The first eight bytes of SHA-256("moonfence canary" LF NAME) as a big-endian number, modulo 10,000. So a session keeps its side
 * as long as a canary runs, and those that load it at 10 % do so at 50 %.
 */
unsigned mf_pack_session_share(const char *session);

/** mf_pack_state_for() - The generation that a session loads: the canary's where its share is below the percentage; @session NULL: the active one */
const struct mf_pack_generation *mf_pack_state_for(const struct mf_pack_state *state,
						   const char *session);

/** mf_pack_entry_dir() - Its directory below the store: "NAME/VERSION-HASH16" */
void mf_pack_entry_dir(const struct mf_pack_entry *e, char ret[MF_PACK_DIR_ROOM]);

#endif
