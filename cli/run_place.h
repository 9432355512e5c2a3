/* SPDX-License-Identifier: Apache-2.0 */
/* run_place.h - where the files of a workspace are, where the command sees them, and where it starts */
#ifndef MF_CLI_RUN_PLACE_H
#define MF_CLI_RUN_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "core/base/log.h"

#define MF_RUN_PLACE_MAX 1024

struct mf_run_place {
	char *source;		   /* absolute, without links; to be freed, as @directory is */
	char at[MF_RUN_PLACE_MAX]; /* where it is seen; Linux: "", it is seen in its own place */
	char *directory;	   /* where the command starts; NULL: where we are */
};

/**
 * mf_run_place_find() - Of the directory @workspace
 * @at: where it is to be seen, for Windows alone; NULL: a drive letter that is free
 * Return: 0, MF_E_NOENT, MF_E_IO, MF_E_INVAL, MF_E_UNSUPPORTED, MF_E_NOMEM
 */
int mf_run_place_find(const char *workspace, const char *at, struct mf_run_place *ret,
		      struct mf_err *err);

/**
 * mf_run_place_wait() - It is served by a thread of its own by now: until programs see it
 * @over: set when that thread ends. Return: 0, MF_E_IO
 */
int mf_run_place_wait(const struct mf_run_place *place, const _Atomic bool *over,
		      const struct mf_log *log, struct mf_err *err);

void mf_run_place_done(struct mf_run_place *place);

#endif
