/* SPDX-License-Identifier: Apache-2.0 */
/* trash_worker.c - see trash_worker.h */
#include "fs/trash_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cond.h"
#include "core/base/thread.h"

#define TICK_MS 60000
#define LATE_MS 20 /* what comes in a row is done in one */
/* A limit may be passed by so small a part of it before what is too much is purged. */
#define LIMIT_PART 16
#define TYPE_MASK  0170000u
#define TYPE_FILE  0100000u

static bool has_limits(const struct mf_trash_worker *w)
{
	const struct mf_trash_keep *k = &w->options->keep;

	return k->age_s || k->max_bytes || k->max_count;
}

/* Under the lock. */
static void enqueue(struct mf_trash_worker *w, const char *token)
{
	if (!w->queue)
		return;
	if (w->queue_cnt == MF_TRASH_QUEUE_MAX) {
		w->dropped++;
		return;
	}
	memcpy(w->queue[(w->queue_at + w->queue_cnt++) % MF_TRASH_QUEUE_MAX], token,
	       MF_TRASH_TOKEN_MAX);
	pthread_cond_signal(&w->wake);
}

/* Return: false: nothing waits. */
static bool hash_next(struct mf_trash_worker *w)
{
	char token[MF_TRASH_TOKEN_MAX];

	pthread_mutex_lock(&w->lock);
	if (w->queue_cnt == 0) {
		pthread_mutex_unlock(&w->lock);
		return false;
	}
	memcpy(token, w->queue[w->queue_at], sizeof(token));
	w->queue_at = (w->queue_at + 1) % MF_TRASH_QUEUE_MAX;
	w->queue_cnt--;
	w->busy++;
	pthread_mutex_unlock(&w->lock);
	w->ops->hash(w->t, token);
	pthread_mutex_lock(&w->lock);
	w->busy--;
	if (w->queue_cnt == 0 && !w->busy)
		pthread_cond_broadcast(&w->idle);
	pthread_mutex_unlock(&w->lock);
	return true;
}

static void do_late(struct mf_trash_worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->later = false;
	pthread_mutex_unlock(&w->lock);
	if (w->ops->late)
		w->ops->late(w->t);
}

bool mf_trash_worker_later(struct mf_trash_worker *w)
{
	bool first;

	if (!w->working)
		return false;
	pthread_mutex_lock(&w->lock);
	first = !w->later;
	w->later = true;
	if (first)
		pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return true;
}

void mf_trash_worker_tick(struct mf_trash_worker *w)
{
	bool dropped;

	do_late(w);
	while (hash_next(w))
		;
	pthread_mutex_lock(&w->lock);
	dropped = w->dropped > 0 && w->options->hash_max > 0;
	w->dropped = 0;
	w->due = false;
	w->new_bytes = w->new_cnt = 0;
	pthread_mutex_unlock(&w->lock);
	if (dropped)
		w->ops->hash_missing(w->t);
	w->ops->tidy(w->t);
}

/* Under the lock: one object more is in the trash. */
static void weigh(struct mf_trash_worker *w, uint64_t size)
{
	const struct mf_trash_keep *k = &w->options->keep;

	w->new_cnt++;
	w->new_bytes += size;
	if (!w->working || w->due ||
	    !((k->max_bytes && w->new_bytes >= k->max_bytes / LIMIT_PART) ||
	      (k->max_count && w->new_cnt >= k->max_count / LIMIT_PART)))
		return;
	w->due = true;
	pthread_cond_signal(&w->wake);
}

static void *work(void *arg)
{
	struct mf_trash_worker *w = arg;
	struct timespec next = mf_cond_in_ms(TICK_MS);

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		if (w->queue_cnt > 0) {
			pthread_mutex_unlock(&w->lock);
			(void)hash_next(w);
			pthread_mutex_lock(&w->lock);
		} else if (w->later) {
			struct timespec soon = mf_cond_in_ms(LATE_MS);

			while (!w->stop && mf_cond_wait_until(&w->wake, &w->lock, &soon))
				;
			pthread_mutex_unlock(&w->lock);
			do_late(w);
			pthread_mutex_lock(&w->lock);
		} else if (w->due || (!mf_cond_wait_until(&w->wake, &w->lock, &next) && !w->stop &&
				      w->queue_cnt == 0 && !w->later)) {
			pthread_mutex_unlock(&w->lock);
			mf_trash_worker_tick(w);
			next = mf_cond_in_ms(TICK_MS);
			pthread_mutex_lock(&w->lock);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int mf_trash_worker_start(struct mf_trash_worker *w, struct mf_trash *t,
			  const struct mf_trash_worker_ops *ops,
			  const struct mf_trash_options *options)
{
	w->t = t;
	w->ops = ops;
	w->options = options;
	pthread_mutex_init(&w->lock, NULL);
	mf_cond_init(&w->wake);
	pthread_cond_init(&w->idle, NULL);
	if (options->hash_max) {
		w->queue = calloc(MF_TRASH_QUEUE_MAX, sizeof(*w->queue));
		if (!w->queue)
			return -ENOMEM;
	}
	if (!options->background)
		return 0;
	w->due = has_limits(w);
	if (mf_thread_start(&w->thread, work, w) != 0)
		return -ENOMEM;
	w->working = true;
	return 0;
}

void mf_trash_worker_end(struct mf_trash_worker *w)
{
	if (!w->ops)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (w->working)
		pthread_join(w->thread, NULL);
	do_late(w);
	free(w->queue);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
}

bool mf_trash_worker_stopping(struct mf_trash_worker *w)
{
	bool stop;

	pthread_mutex_lock(&w->lock);
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

void mf_trash_worker_put(struct mf_trash_worker *w, const struct mf_trash_loss *loss,
			 const struct mf_trash_attr *a, const char *token)
{
	bool hash = w->queue && !loss->no_hash && !loss->busy &&
		    (a->mode & TYPE_MASK) == TYPE_FILE && a->size <= w->options->hash_max;
	const struct mf_trash_event event = { .type = MF_TRASH_EVENT_PUT,
					      .token = token,
					      .path = loss->path,
					      .session = loss->session ? loss->session : "",
					      .text = mf_trash_op_names[loss->op],
					      .size = a->size };

	if (hash || has_limits(w)) {
		pthread_mutex_lock(&w->lock);
		if (hash)
			enqueue(w, token);
		weigh(w, a->size);
		pthread_mutex_unlock(&w->lock);
	}
	if (w->options->event)
		w->options->event(w->options->event_ctx, &event);
}

void mf_trash_worker_settle(struct mf_trash_worker *w, const char *token)
{
	pthread_mutex_lock(&w->lock);
	enqueue(w, token);
	pthread_mutex_unlock(&w->lock);
}

void mf_trash_worker_drain(struct mf_trash_worker *w)
{
	do_late(w);
	if (!w->working) {
		while (hash_next(w))
			;
		return;
	}
	pthread_mutex_lock(&w->lock);
	while (w->queue_cnt > 0 || w->busy)
		pthread_cond_wait(&w->idle, &w->lock);
	pthread_mutex_unlock(&w->lock);
}
