/* SPDX-License-Identifier: Apache-2.0 */
/* held.c - see held.h */
#include "proxies/held.h"

#include <stdlib.h>

#include "core/loop/loop_wake.h"
#include "core/policy/request.h"
#include "proxies/proxy_int.h"

static void unlink_held(struct mf_held *h)
{
	if (h->prev)
		h->prev->next = h->next;
	else
		h->proxy->held = h->next;
	if (h->next)
		h->next->prev = h->prev;
	h->prev = h->next = NULL;
	h->ticket = 0;
}

/* One that has its answer; the list may be another one after each. */
static struct mf_held *take_one(struct mf_proxy *p)
{
	for (struct mf_held *h = p->held; h; h = h->next) {
		if (!mf_approvals_take(p->session->approvals, h->ticket, h->grants))
			continue;
		unlink_held(h);
		return h;
	}
	return NULL;
}

static void wait_on(struct mf_proxy *p)
{
	int64_t ms = p->held ? mf_approvals_next_ms(p->session->approvals) : -1;
	struct timeval tv = { .tv_sec = (long)(ms / 1000), .tv_usec = (long)(ms % 1000) * 1000 };

	if (ms < 0)
		event_del(&p->held_timer);
	else
		event_add(&p->held_timer, &tv);
}

static void look(void *ctx)
{
	struct mf_proxy *p = ctx;
	struct mf_held *h;

	while ((h = take_one(p)))
		h->resume(h);
	wait_on(p);
}

static void on_time(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	look(ctx);
}

int mf_held_start(struct mf_proxy *p, struct mf_err *err)
{
	if (!p->session->approvals)
		return 0;
	p->held_wake = mf_loop_wake_new(p->base, look, p);
	if (!p->held_wake)
		return mf_err_set(err, MF_E_IO, "no sockets for approvals");
	event_assign(&p->held_timer, p->base, -1, 0, on_time, p);
	if (mf_approvals_watch(p->session->approvals, mf_loop_wake, p->held_wake) < 0)
		return mf_err_set(err, MF_E_FULL, "approvals cannot be watched");
	return 0;
}

void mf_held_stop(struct mf_proxy *p)
{
	if (!p->held_wake)
		return;
	mf_approvals_unwatch(p->session->approvals, mf_loop_wake, p->held_wake);
	event_del(&p->held_timer);
	mf_loop_wake_free(p->held_wake);
	p->held_wake = NULL;
}

bool mf_held_begin(struct mf_proxy *p, struct mf_held *h, struct mf_decision *d)
{
	struct mf_session *s = p->session;
	uint8_t key[MF_APPROVE_KEY_LEN];
	struct mf_approve_question q = {
		.session = s, .request = p->asker.request, .decision = d, .key = key
	};
	int r = MF_E_NOMEM;

	/* before the process, which nobody has to have read */
	mf_approve_key(p->asker.request, d, s->id, key);
	(void)mf_request_get(p->asker.request, MF_F_PROCESS_NAME);
	q.pid = s->asked_pid;
	if (!h->grants)
		h->grants = calloc(1, sizeof(*h->grants));
	if (h->grants)
		r = mf_approvals_hold(s->approvals, &q, &h->ticket);
	if (r < 0) {
		mf_approve_refuse(d, mf_approve_too_many);
		return false;
	}
	h->proxy = p;
	h->prev = NULL;
	h->next = p->held;
	if (h->next)
		h->next->prev = h;
	p->held = h;
	wait_on(p);
	return true;
}

void mf_held_end(struct mf_held *h)
{
	uint64_t ticket = h->ticket;

	if (ticket) {
		unlink_held(h);
		mf_approvals_leave(h->proxy->session->approvals, ticket);
	}
	free(h->grants);
	h->grants = NULL;
}
