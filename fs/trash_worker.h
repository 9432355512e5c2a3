/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_worker.h - what a trash does while nobody waits: a queue of files to be hashed, and when retention is due
 *
 * With a thread of its own (options.background), or as part of mf_trash_tick() for who has none.
 */
#ifndef MF_FS_TRASH_WORKER_H
#define MF_FS_TRASH_WORKER_H

#include <pthread.h>

#include "fs/trash.h"

#define MF_TRASH_QUEUE_MAX 4096 /* tokens that wait for their hash */

/* What is done, by the system's side of the trash; called without any lock of the worker's. */
struct mf_trash_worker_ops {
	void (*hash)(struct mf_trash *t, const char *token);
	void (*hash_missing)(struct mf_trash *t); /* of every entry without one */
	void (*tidy)(struct mf_trash *t);	  /* retention, sizes */
	void (*late)(
		struct mf_trash *t); /* what was put off (mf_trash_worker_later()); may be NULL */
};

struct mf_trash_worker {
	struct mf_trash *t;
	const struct mf_trash_worker_ops *ops;
	const struct mf_trash_options *options; /* borrowed */
	pthread_mutex_t lock;			/* of what follows */
	pthread_cond_t wake, idle;
	pthread_t thread;
	bool working, stop;
	unsigned busy;			   /* hashes being computed */
	char (*queue)[MF_TRASH_TOKEN_MAX]; /* ring of tokens to be hashed; NULL: none are taken */
	size_t queue_at, queue_cnt;
	uint64_t dropped;	     /* hashes that found the queue full: tick finds them */
	uint64_t new_bytes, new_cnt; /* put since the last tick */
	bool due;		     /* a tick need not wait for its time */
	bool later;		     /* something was put off */
};

/** mf_trash_worker_start() - @w is zeros; Return: 0, -ENOMEM; end is called in either case */
int mf_trash_worker_start(struct mf_trash_worker *w, struct mf_trash *t,
			  const struct mf_trash_worker_ops *ops,
			  const struct mf_trash_options *options);
/** mf_trash_worker_end() - Waits for the thread; nothing to do for a worker that was never started */
void mf_trash_worker_end(struct mf_trash_worker *w);
/** mf_trash_worker_put() - Something is in the trash: its hash, if wanted, its part of the limits, and the event */
void mf_trash_worker_put(struct mf_trash_worker *w, const struct mf_trash_loss *loss,
			 const struct mf_trash_attr *a, const char *token);
void mf_trash_worker_settle(struct mf_trash_worker *w, const char *token);
/** mf_trash_worker_later() - Have ops->late called soon, once for what comes in a row; Return: false: there is no thread */
bool mf_trash_worker_later(struct mf_trash_worker *w);
void mf_trash_worker_tick(struct mf_trash_worker *w);
void mf_trash_worker_drain(struct mf_trash_worker *w);
/** mf_trash_worker_stopping() - Whether what takes long should end */
bool mf_trash_worker_stopping(struct mf_trash_worker *w);

#endif
