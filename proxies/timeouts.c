/* SPDX-License-Identifier: Apache-2.0 */
/* timeouts.c - deadlines in queues of equal length */
#include "proxies/timeouts.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"

enum {
	ROUND_MS = 5, /* the loop is woken that much late, so that near deadlines share a turn */
	PER_TURN_MAX = 4096 /* entries expired in one turn; the rest comes in the next */
};

struct mf_timeouts {
	struct event timer;
	uint64_t armed_ms; /* 0: the timer is not running */
	struct mf_timeout_queue *first, **last;
};

uint64_t mf_now_ms(void)
{
	return mf_clock_now(&mf_clock_system) / MF_NS_PER_MS;
}

static void run_timer(struct mf_timeouts *all, uint64_t now, uint64_t due)
{
	uint64_t wait = due > now ? due - now + ROUND_MS : 1;
	struct timeval tv = { 0 };

	/* assigned, not initialised: the members' types differ between systems */
	tv.tv_sec = (long)(wait / 1000);
	tv.tv_usec = (int)(wait % 1000 * 1000);
	all->armed_ms = due ? due : 1;
	(void)event_add(&all->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_timeouts *all = ctx;
	uint64_t now = mf_now_ms(), next = 0;
	unsigned budget = PER_TURN_MAX;

	(void)fd;
	(void)what;
	all->armed_ms = 0;
	for (struct mf_timeout_queue *q = all->first; q; q = q->next) {
		struct mf_timeout *t;

		while ((t = q->head.next) != &q->head && t->due_ms <= now && budget) {
			budget--;
			mf_timeout_disarm(t);
			q->fn(t, q->ctx);
		}
	}
	for (struct mf_timeout_queue *q = all->first; q; q = q->next) {
		struct mf_timeout *t = q->head.next;

		if (t != &q->head && (!next || t->due_ms < next))
			next = t->due_ms;
	}
	if (next && (!all->armed_ms || next < all->armed_ms))
		run_timer(all, now, next);
}

struct mf_timeouts *mf_timeouts_new(struct event_base *base)
{
	struct mf_timeouts *all = calloc(1, sizeof(*all));

	if (all && event_assign(&all->timer, base, -1, 0, on_timer, all) < 0) {
		free(all);
		return NULL;
	}
	if (all)
		all->last = &all->first;
	return all;
}

void mf_timeouts_free(struct mf_timeouts *all)
{
	if (!all)
		return;
	event_del(&all->timer);
	free(all);
}

void mf_timeout_queue_init(struct mf_timeout_queue *q, struct mf_timeouts *all, uint32_t after_ms,
			   mf_timeout_fn fn, void *ctx)
{
	*q = (struct mf_timeout_queue){ .after_ms = after_ms, .fn = fn, .ctx = ctx, .all = all };
	q->head.next = q->head.prev = &q->head;
	*all->last = q;
	all->last = &q->next;
}

void mf_timeout_disarm(struct mf_timeout *t)
{
	if (!t->next)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

void mf_timeout_arm(struct mf_timeout *t, struct mf_timeout_queue *q)
{
	uint64_t now = mf_now_ms();

	mf_timeout_disarm(t);
	t->queue = q;
	t->due_ms = now + q->after_ms;
	t->prev = q->head.prev;
	t->next = &q->head;
	t->prev->next = t;
	q->head.prev = t;
	if (!q->all->armed_ms || t->due_ms < q->all->armed_ms)
		run_timer(q->all, now, t->due_ms);
}
