/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - what takes longer than the loop may wait: one thread, one thing after the other
 *
 * Loading policies and running their tests takes from milliseconds to seconds; requests are judged meanwhile. An item is done
 * in the thread, and finished in the loop: the thread calls @wake when something has been done, which has the loop call
 * mf_work_finish().
 */
#ifndef MF_DAEMON_WORK_H
#define MF_DAEMON_WORK_H

#include "core/base/err.h"

#define MF_WORK_MAX 32 /* items that wait */

struct mf_work;

struct mf_work_item {
	void (*run)(struct mf_work_item *item);	 /* in the thread */
	void (*done)(struct mf_work_item *item); /* in the loop, always; may free it */
	struct mf_work_item *next;
};

/** mf_work_new() - @wake: called in the thread; must not wait. Return: 0, MF_E_NOMEM */
int mf_work_new(void (*wake)(void *ctx), void *ctx, struct mf_work **ret, struct mf_err *err);

/** mf_work_free() - Waits for what is being run; what waits is not run, but done() is called for all. NULL is fine */
void mf_work_free(struct mf_work *w);

/** mf_work_add() - From the loop; Return: 0, MF_E_FULL (MF_WORK_MAX): then done() is not called */
int mf_work_add(struct mf_work *w, struct mf_work_item *item);

/** mf_work_finish() - In the loop: call done() of what was run */
void mf_work_finish(struct mf_work *w);

#endif
