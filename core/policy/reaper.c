/* SPDX-License-Identifier: Apache-2.0 */
/* reaper.c - see reaper.h */
#include "core/policy/reaper.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/thread.h"
#include "core/policy/state.h"

struct mf_reaper {
	pthread_mutex_t lock; /* held for moments only: never while something is freed */
	pthread_cond_t more;
	struct mf_vm_state *first; /* linked by ->next_dead */
	bool started, stopping;
	pthread_t thread;
};

struct mf_reaper *mf_reaper_new(void)
{
	struct mf_reaper *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (pthread_mutex_init(&r->lock, NULL) != 0) {
		free(r);
		return NULL;
	}
	if (pthread_cond_init(&r->more, NULL) != 0) {
		pthread_mutex_destroy(&r->lock);
		free(r);
		return NULL;
	}
	return r;
}

static void *run(void *arg)
{
	struct mf_reaper *r = arg;
	struct mf_vm_state *s;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		while (!r->first && !r->stopping)
			pthread_cond_wait(&r->more, &r->lock);
		s = r->first;
		if (!s)
			break;
		r->first = s->next_dead;
		pthread_mutex_unlock(&r->lock);
		mf_vm_state_free(s);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

void mf_reaper_start(struct mf_reaper *r)
{
	pthread_mutex_lock(&r->lock);
	if (!r->started)
		r->started = mf_thread_start(&r->thread, run, r) == 0;
	pthread_mutex_unlock(&r->lock);
}

void mf_reaper_take(struct mf_reaper *r, struct mf_vm_state *state)
{
	bool started;

	if (!state)
		return;
	pthread_mutex_lock(&r->lock);
	started = r->started;
	if (started) {
		state->next_dead = r->first;
		r->first = state;
		pthread_cond_signal(&r->more);
	}
	pthread_mutex_unlock(&r->lock);
	if (!started)
		mf_vm_state_free(state);
}

void mf_reaper_free(struct mf_reaper *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
	if (r->started)
		pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->more);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
