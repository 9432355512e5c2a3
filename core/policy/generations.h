/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generations.h - generations that were in force: what they were made of, so that one can be put in force again
 *
 * A runtime forgets a generation when the next one is in force, unless it is told to keep some. What is kept is the source
 * set (its files' text and its data), not what was built from it.
 */
#ifndef MF_POLICY_GENERATIONS_H
#define MF_POLICY_GENERATIONS_H

#include "core/policy/source.h"

#define MF_GENERATIONS_MAX 16

/* Who had policies put in force, where somebody asked for it. */
struct mf_generation_asker {
	const char *
		how; /* "activate", "rollback", "reload", "signal": not freed; NULL: nobody did, a start or files that changed */
	int64_t uid; /* -1: not known */
	int64_t pid; /* 0: not known */
};

struct mf_generation {
	uint64_t number, wall_ns; /* when it was put in force */
	uint64_t from; /* the number that its sources were in force under before; 0: they are new */
	struct mf_source_set *set;
	char **paths; /* as given, NULL at the end */
	size_t path_cnt;
	struct mf_generation_asker by;
};

/** mf_generation_done() - Give up what @g holds */
void mf_generation_done(struct mf_generation *g);

/** mf_generation_copy() - @ret gets references and copies of its own; Return: 0, MF_E_NOMEM */
int mf_generation_copy(const struct mf_generation *g, struct mf_generation *ret);

/** mf_paths_copy() - A list of texts, NULL at the end; mf_paths_free(); NULL without memory */
char **mf_paths_copy(const char *const *paths, size_t cnt);
void mf_paths_free(char **paths, size_t cnt);

/* The newest is the last; not locked. */
struct mf_generations {
	struct mf_generation items[MF_GENERATIONS_MAX];
	size_t cnt, keep;
};

/** mf_generations_add() - @g becomes the newest; what has no place any more goes to @ret_dropped, else that is emptied */
void mf_generations_add(struct mf_generations *all, const struct mf_generation *g,
			struct mf_generation *ret_dropped);
void mf_generations_done(struct mf_generations *all);

#endif
