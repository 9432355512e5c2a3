/* SPDX-License-Identifier: Apache-2.0 */
/* work.c - see work.h */
#include "daemon/work.h"

#include <stdlib.h>

#include "core/base/thread.h"

struct queue {
	struct mf_work_item *first, **last;
	size_t cnt;
};

struct mf_work {
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t thread;
	struct queue todo, done; /* under lock */
	bool stopping;		 /* under lock */
	void (*wake)(void *ctx);
	void *ctx;
};

static void put(struct queue *q, struct mf_work_item *item)
{
	item->next = NULL;
	*q->last = item;
	q->last = &item->next;
	q->cnt++;
}

static struct mf_work_item *take(struct queue *q)
{
	struct mf_work_item *item = q->first;

	if (!item)
		return NULL;
	q->first = item->next;
	if (!q->first)
		q->last = &q->first;
	q->cnt--;
	return item;
}

static void *run(void *arg)
{
	struct mf_work *w = arg;
	struct mf_work_item *item;

	mf_thread_give_way(); /* to the loop, which serves: a load has a processor for seconds */
	pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		item = take(&w->todo);
		if (!item) {
			pthread_cond_wait(&w->more, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		item->run(item);
		pthread_mutex_lock(&w->lock);
		put(&w->done, item);
		w->wake(w->ctx);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int mf_work_new(void (*wake)(void *ctx), void *ctx, struct mf_work **ret, struct mf_err *err)
{
	struct mf_work *w = calloc(1, sizeof(*w));

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->wake = wake;
	w->ctx = ctx;
	w->todo.last = &w->todo.first;
	w->done.last = &w->done.first;
	if (pthread_mutex_init(&w->lock, NULL) != 0)
		goto no_lock;
	if (pthread_cond_init(&w->more, NULL) != 0)
		goto no_cond;
	if (mf_thread_start(&w->thread, run, w) != 0)
		goto no_thread;
	*ret = w;
	return 0;
no_thread:
	pthread_cond_destroy(&w->more);
no_cond:
	pthread_mutex_destroy(&w->lock);
no_lock:
	free(w);
	return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
}

void mf_work_free(struct mf_work *w)
{
	struct mf_work_item *item;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	mf_work_finish(w);
	while ((item = take(&w->todo)))
		item->done(item);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int mf_work_add(struct mf_work *w, struct mf_work_item *item)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (w->todo.cnt >= MF_WORK_MAX)
		r = MF_E_FULL;
	else
		put(&w->todo, item);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	return r;
}

void mf_work_finish(struct mf_work *w)
{
	struct mf_work_item *item;

	for (;;) {
		pthread_mutex_lock(&w->lock);
		item = take(&w->done);
		pthread_mutex_unlock(&w->lock);
		if (!item)
			return;
		item->done(item);
	}
}
