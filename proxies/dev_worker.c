/* SPDX-License-Identifier: Apache-2.0 */
/* dev_worker.c - see dev_worker.h */
#include "proxies/dev_worker.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "core/base/cond.h"
#include "core/base/thread.h"

#define STOP_WAIT_MS 2000
/* While a batch is under way, the loop looks this often whether it is done; most take a few milliseconds. */
#define LOOK_EVERY_US 5000

struct mf_dev_worker {
	/* the loop's */
	struct event look;
	mf_dev_worker_fn fn;
	void *ctx;
	pthread_t thread;
	bool busy; /* a batch was asked for, and is not told yet */
	/* both sides', under @lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool asked, quit, left_behind;
	/* the thread's while @asked, else the loop's */
	void (*look_up)(struct mf_dev_facts *facts, size_t cnt);
	size_t cnt;
	struct mf_dev_facts facts[MF_DEV_BATCH_MAX];
};

static void free_worker(struct mf_dev_worker *w)
{
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void *run(void *arg)
{
	struct mf_dev_worker *w = arg;
	bool left_behind;

	pthread_mutex_lock(&w->lock);
	while (!w->quit) {
		if (!w->asked) {
			pthread_cond_wait(&w->changed, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		w->look_up(w->facts, w->cnt);
		pthread_mutex_lock(&w->lock);
		w->asked = false;
		pthread_cond_broadcast(&w->changed);
	}
	w->asked = false; /* a batch that was never begun */
	pthread_cond_broadcast(&w->changed);
	left_behind = w->left_behind;
	pthread_mutex_unlock(&w->lock);
	if (left_behind)
		free_worker(w);
	return NULL;
}

static void look_again(struct mf_dev_worker *w)
{
	static const struct timeval soon = { 0, LOOK_EVERY_US };

	(void)event_add(&w->look, &soon);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dev_worker *w = ctx;
	bool asked;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&w->lock);
	asked = w->asked;
	pthread_mutex_unlock(&w->lock);
	if (asked) {
		look_again(w);
		return;
	}
	w->busy = false;
	w->fn(w->ctx, w->facts, w->cnt);
}

bool mf_dev_worker_is_busy(const struct mf_dev_worker *w)
{
	return w->busy;
}

bool mf_dev_worker_ask(struct mf_dev_worker *w, const struct mf_dev_facts *facts, size_t cnt)
{
	if (w->busy || cnt == 0 || cnt > MF_DEV_BATCH_MAX)
		return false;
	w->busy = true;
	memcpy(w->facts, facts, cnt * sizeof(*facts));
	w->cnt = cnt;
	pthread_mutex_lock(&w->lock);
	w->asked = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	look_again(w);
	return true;
}

int mf_dev_worker_start(struct event_base *base,
			void (*look_up)(struct mf_dev_facts *facts, size_t cnt),
			mf_dev_worker_fn fn, void *ctx, struct mf_dev_worker **ret)
{
	struct mf_dev_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return MF_E_NOMEM;
	w->look_up = look_up;
	w->fn = fn;
	w->ctx = ctx;
	if (pthread_mutex_init(&w->lock, NULL)) {
		free(w);
		return MF_E_NOMEM;
	}
	if (mf_cond_init(&w->changed)) {
		pthread_mutex_destroy(&w->lock);
		free(w);
		return MF_E_NOMEM;
	}
	if (event_assign(&w->look, base, -1, 0, on_look, w) < 0 ||
	    mf_thread_start(&w->thread, run, w)) {
		free_worker(w);
		return MF_E_IO;
	}
	*ret = w;
	return 0;
}

void mf_dev_worker_stop(struct mf_dev_worker *w)
{
	struct timespec until = mf_cond_in_ms(STOP_WAIT_MS);
	pthread_t thread;
	static struct mf_dev_worker
		*last_left; /* still in use: not lost, if the program ends first */
	bool left_behind;

	if (!w)
		return;
	event_del(&w->look);
	thread = w->thread;
	pthread_mutex_lock(&w->lock);
	w->quit = true;
	pthread_cond_broadcast(&w->changed);
	while (w->asked && mf_cond_wait_until(&w->changed, &w->lock, &until))
		;
	left_behind = w->left_behind = w->asked;
	pthread_mutex_unlock(&w->lock);
	if (left_behind) {
		last_left = w;
		(void)last_left;
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	free_worker(w);
}
