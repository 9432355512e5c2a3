/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_choose.h - which entries of a trash: what a filter wants, what an undo puts back, what retention takes away
 *
 * No file is touched here. @fold: names whose letters differ in case alone are one, as Windows has it (ASCII letters).
 */
#ifndef MF_FS_TRASH_CHOOSE_H
#define MF_FS_TRASH_CHOOSE_H

#include "core/match/glob.h"
#include "fs/trash.h"

/** mf_trash_path_below() - Whether @path is @dir or lies below it */
bool mf_trash_path_below(const char *path, const char *dir, bool fold);
/** mf_trash_wants() - Whether a filter wants an entry; @glob: the filter's, compiled; NULL: any path */
bool mf_trash_wants(const struct mf_trash_filter *filter, const struct mf_glob *glob,
		    const struct mf_trash_entry *e, bool fold);

/* Of the entries of a path: the newest or, with @at_ns, the first that was lost after it. */
struct mf_trash_search {
	const char *path;
	bool at, fold; /* at: a time was asked for */
	bool found;
	uint64_t best_ns;
	char token[MF_TRASH_TOKEN_MAX], file[256]; /* of it */
};
/** mf_trash_search_entry() - An mf_trash_entry_fn; @ctx is the search */
int mf_trash_search_entry(void *ctx, const struct mf_trash_entry *e);

/* What a session lost. Begins as zeros and @fold. */
struct mf_trash_losses {
	struct mf_trash_lost {
		char token[MF_TRASH_TOKEN_MAX];
		char *path;
		bool replaced; /* something new may stand in its place: replace, truncate, overwrite; a directory gets its mode */
	} * list;
	size_t cnt, room;
	size_t own; /* that the session had made itself: they are not in the list */
	bool fold;
};
/** mf_trash_losses_add() - An mf_trash_entry_fn; Return: 0, MF_E_NOMEM */
int mf_trash_losses_add(void *losses, const struct mf_trash_entry *e);
/**
 * mf_trash_losses_thin() - Leave of each path only what it held first, the latest loss first in the list
 * A path that was deleted first and later replaced by others has something new in its place as well.
 */
void mf_trash_losses_thin(struct mf_trash_losses *l);
void mf_trash_losses_done(struct mf_trash_losses *l);

/* What may be purged. Begins as zeros. */
struct mf_trash_candidates {
	struct mf_trash_candidate {
		uint64_t deleted_ns, bytes;
		char token[MF_TRASH_TOKEN_MAX];
		char *file;	 /* of a foreign entry */
		const char *why; /* it goes, in the word of the event; NULL: it stays */
	} * list;
	size_t cnt, room;
	uint64_t bytes; /* of all */
};
/** mf_trash_candidates_add() - @bytes: what it takes on the disk; Return: 0, MF_E_NOMEM */
int mf_trash_candidates_add(struct mf_trash_candidates *c, const struct mf_trash_entry *e,
			    uint64_t bytes);
/** mf_trash_candidates_choose() - Sort, the oldest first, and say which go and why */
void mf_trash_candidates_choose(struct mf_trash_candidates *c, const struct mf_trash_purge *purge,
				uint64_t now_ns);
void mf_trash_candidates_done(struct mf_trash_candidates *c);

#endif
