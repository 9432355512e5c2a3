/* SPDX-License-Identifier: Apache-2.0 */
/* store_int.h - what store.c, store_state.c and store_install.c share */
#ifndef MF_PACKS_STORE_INT_H
#define MF_PACKS_STORE_INT_H

#include "packs/disk.h"
#include "packs/store.h"

struct mf_store {
	char *path, *stdlib_dir;
	struct mf_store_options options;
	struct mf_pack_disk *disk;
	struct mf_pack_state *state;
	struct mf_trust trust;
};

/** mf_store_copy() - A copy of the state, to be changed and given to mf_store_commit(); NULL: no memory */
struct mf_pack_state *mf_store_copy(const struct mf_store *s, struct mf_err *err);

/**
 * mf_store_add_generation() - One more generation of @next, with the packs of @from (its number is the parent) or, 0, none
 * Where there are too many the oldest is forgotten that is neither @from, active nor the canary's. It is not in force by that.
 */
struct mf_pack_generation *mf_store_add_generation(struct mf_pack_state *next, uint32_t from);

/** mf_store_drop_canary() - Forget the canary of @next and its generation */
void mf_store_drop_canary(struct mf_pack_state *next);

/**
 * mf_store_rebase_canary() - Make @next's canary anew on what is active there: the packs that it had beyond generation @parent, and @more
 * @leave: names of packs that a canary does not have any longer, those of @more excepted
 * None is left when that is what is active. Return: 0, MF_E_FULL
 */
int mf_store_rebase_canary(struct mf_pack_state *next, uint32_t parent,
			   const struct mf_pack_entry *more, size_t more_cnt, uint32_t percent,
			   const char (*leave)[MF_PACK_NAME_MAX + 1], size_t leave_cnt,
			   struct mf_err *err);

/** mf_store_put_entry() - In place of the one of that name, or beside the others; Return: 0, MF_E_FULL */
int mf_store_put_entry(struct mf_pack_generation *g, const struct mf_pack_entry *e,
		       struct mf_err *err);

/**
 * mf_store_note_seen() - This version of a pack is in force from now on, as far as it is not older than what was
 * Return: 0; MF_E_PERM: it is older, or another archive of the same version; MF_E_FULL
 * @note: whether it is written down; otherwise only asked
 */
int mf_store_note_seen(struct mf_pack_state *next, const struct mf_pack_entry *e, const char *what,
		       bool note, struct mf_err *err);

/** mf_store_commit() - Put @next in force; it becomes the store's, also on failure */
int mf_store_commit(struct mf_store *s, struct mf_pack_state *next, struct mf_err *err);

struct mf_pack_entry *mf_store_entry(struct mf_pack_generation *g, const char *name);
/** mf_store_has() - Whether a generation (or NULL) has this very archive */
bool mf_store_has(const struct mf_pack_generation *g, const struct mf_pack_entry *e);

bool mf_store_same_packs(const struct mf_pack_generation *a, const struct mf_pack_generation *b);

/** mf_store_source() - What a source's channel said last; NULL: nothing yet */
struct mf_pack_state_source *mf_store_source(struct mf_pack_state *s, const char *name,
					     const char *channel);
/** mf_store_note_source() - The same, to be remembered; whoever has no place for it asked mf_store_source() before */
void mf_store_note_source(struct mf_pack_state *next, const struct mf_pack_state_source *source);

/** mf_store_is_used() - Whether any generation has this very archive */
bool mf_store_is_used(const struct mf_pack_state *s, const struct mf_pack_entry *e);

/** mf_store_check_requires() - Whether each pack has what it requires; their files are in place. Return: 0, MF_E_NOENT with both names */
int mf_store_check_requires(struct mf_store *s, struct mf_pack_generation *g, struct mf_err *err);

/** mf_store_try() - Load a generation's packs together and run their tests */
int mf_store_try(struct mf_store *s, const struct mf_pack_generation *g, struct mf_err *err);

#endif
