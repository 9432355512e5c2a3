/* SPDX-License-Identifier: Apache-2.0 */
/* dns_held.c - questions that wait until a person has answered whether they may be asked */
#include <stdlib.h>

#include "proxies/dns_proxy.h"
#include "proxies/dns_proxy_int.h"
#include "proxies/proxy_int.h"

struct mf_dns_held {
	struct mf_held held; /* first: it is what resume() gets */
	struct mf_dns_held *prev, *next;
	struct mf_session_flow flow;
	struct mf_dns_turn turn;
};

static void free_held(struct mf_dns_held *h)
{
	if (h->prev)
		h->prev->next = h->next;
	else
		h->turn.dns->held = h->next;
	if (h->next)
		h->next->prev = h->prev;
	mf_held_end(&h->held);
	free(h);
}

/* Judged anew; it may wait once more, for another answer, as a question of its own. */
static void resume(struct mf_held *held)
{
	struct mf_dns_held *h = (struct mf_dns_held *)held;
	struct mf_approve_grants grants = *held->grants;
	struct mf_session_flow flow = h->flow;
	struct mf_dns_turn turn = h->turn;

	free_held(h); /* the reply may cancel everything of its client */
	turn.flow = &flow;
	turn.grants = &grants;
	mf_dns_serve(&turn);
}

/* A client that hears nothing asks once more: that is no question more. */
static bool is_repeated(const struct mf_dns_turn *t)
{
	for (const struct mf_dns_held *h = t->dns->held; h; h = h->next)
		if (h->turn.ctx == t->ctx && h->turn.q.id == t->q.id &&
		    h->turn.q.type == t->q.type && mf_dns_name_eq(&h->turn.q.name, &t->q.name))
			return true;
	return false;
}

bool mf_dns_hold(struct mf_dns_turn *t, struct mf_decision *d)
{
	struct mf_dns_proxy *dns = t->dns;
	struct mf_dns_held *h;

	if (t->flow->proto == MF_UDP && is_repeated(t))
		return true;
	h = calloc(1, sizeof(*h));
	if (h && t->grants) {
		h->held.grants = malloc(sizeof(*t->grants));
		if (h->held.grants)
			*h->held.grants = *t->grants;
	}
	if (!h || !mf_held_begin(t->p, &h->held, d)) {
		if (h)
			mf_held_end(&h->held);
		free(h);
		mf_approve_refuse(d, mf_approve_too_many);
		return false;
	}
	h->held.resume = resume;
	h->turn = *t;
	h->turn.grants = NULL;
	h->flow = *t->flow;
	h->turn.flow = &h->flow;
	h->next = dns->held;
	if (h->next)
		h->next->prev = h;
	dns->held = h;
	return true;
}

void mf_dns_held_cancel(struct mf_dns_proxy *dns, const void *ctx)
{
	struct mf_dns_held *next;

	for (struct mf_dns_held *h = dns->held; h; h = next) {
		next = h->next;
		if (!ctx || h->turn.ctx == ctx)
			free_held(h);
	}
}

bool mf_dns_proxy_waits(const struct mf_dns_proxy *dns, const void *ctx)
{
	for (const struct mf_dns_held *h = dns->held; h; h = h->next)
		if (h->turn.ctx == ctx)
			return true;
	return false;
}
