/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirwatch.h - tells that something has happened in directories: the part of watch.c that an operating system must provide
 *
 * One thread calls renew and wait; stop may be called from any other.
 */
#ifndef MF_POLICY_DIRWATCH_H
#define MF_POLICY_DIRWATCH_H

#include <stdbool.h>

#include "core/base/err.h"

#define MF_DIRWATCH_MAX 4096 /* directories */

struct mf_dirwatch;

/* Calls add(@add_ctx, path) for each path; see struct mf_watch_ops. */
typedef void (*mf_dirwatch_each_fn)(void *ctx, void (*add)(void *add_ctx, const char *path),
				    void *add_ctx);

/** mf_dirwatch_new() - Nothing is watched yet; Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_dirwatch_new(struct mf_dirwatch **ret_watch, struct mf_err *err);
void mf_dirwatch_free(struct mf_dirwatch *d);

/** mf_dirwatch_stop() - From now on mf_dirwatch_wait() returns -1 */
void mf_dirwatch_stop(struct mf_dirwatch *d);

/**
 * mf_dirwatch_renew() - Watch the directories of these paths, and nothing else any more
 * Of each path: itself if it is a directory, the one that it stands in, the same of what it leads to through links, and
 * the directories in which those links stand.
 * @ret_changed: whether something has happened that no wait has told of, or the directories are not those of before
 * Return: 0, or MF_E_LIMIT when not all of them can be watched: then none is
 */
int mf_dirwatch_renew(struct mf_dirwatch *d, mf_dirwatch_each_fn each, void *ctx,
		      bool *ret_changed);

/** mf_dirwatch_wait() - At most @ms (-1: for ever); Return: 1 something has happened, 0 the time is over, -1 stop */
int mf_dirwatch_wait(struct mf_dirwatch *d, int ms);

#endif
