/* SPDX-License-Identifier: Apache-2.0 */
/* reevaluate.c - see reevaluate.h */
#include "proxies/reevaluate.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/runtime.h"
#include "proxies/ask.h"
#include "proxies/proxy_int.h"
#include "proxies/tcp_int.h"
#include "proxies/udp_int.h"

enum { PERIOD_MS = 1000, SLICE = 256 };

struct mf_reevaluate {
	struct mf_proxy *p;
	struct event timer;
	uint64_t done; /* every flow has been seen under this generation */
};

static const char why[] = "policy"; /* in net_close */

static void ask(struct mf_proxy *p, const struct mf_session_flow *flow, const char *host,
		struct mf_decision *d)
{
	struct mf_ask_result res;
	bool verified;

	if (host && flow->proto == MF_UDP) {
		mf_ask_connect_said(&p->asker, flow, host, strlen(host), d, &res, &verified);
		mf_ask_udp_limit(flow, d);
	} else if (host) {
		mf_ask_connect_said(&p->asker, flow, host, strlen(host), d, &res, &verified);
	} else if (flow->proto == MF_UDP) {
		mf_ask_udp(&p->asker, flow, d, &res);
		mf_ask_udp_limit(flow, d);
	} else {
		mf_ask_connect_names(&p->asker, flow, d, &res);
	}
}

/* Return: whether it has to end; then that was told */
static bool is_over(struct mf_proxy *p, const struct mf_session_flow *flow, const char *host,
		    bool elsewhere_too, uint64_t way)
{
	struct mf_decision d;
	bool denied;

	ask(p, flow, host, &d);
	denied = mf_verdict_rank(&d) == 4;
	if (!denied && (!elsewhere_too || mf_decision_way(&d) == way))
		return false;
	mf_ask_announce_connect(p, flow, host, denied ? "blocked" : "redirected", &d);
	return true;
}

/* Return: whether all were seen */
static bool look_at_connections(struct mf_proxy *p, uint64_t generation, unsigned *left)
{
	struct mf_tcp_conn *c = p->tcp ? p->tcp->conns : NULL, *next;

	for (; c; c = next) {
		next = c->next;
		/* one that is being judged, or was refused, needs nothing more */
		if (c->generation == generation || c->denied || c->ending ||
		    (c->state != MF_TCP_OPENING && c->state != MF_TCP_RELAY &&
		     c->state != MF_TCP_BRIDGE))
			continue;
		if ((*left)-- == 0)
			return false;
		c->generation = generation;
		/* where a router chose the way, policies had no part in it */
		if (is_over(p, &c->flow, c->host, !c->tag, c->connect_way)) {
			p->stats.reevaluated_ended++;
			mf_tcp_conn_close(c, true, why);
		}
	}
	return true;
}

static bool look_at_datagrams(struct mf_proxy *p, uint64_t generation, unsigned *left)
{
	struct mf_udp_flow *f = p->udp ? p->udp->oldest : NULL, *next;

	for (; f; f = next) {
		next = mf_udp_flow_next(f);
		if (f->generation == generation || f->dns || f->holding || f->asked || f->request)
			continue;
		if ((*left)-- == 0)
			return false;
		f->generation = generation;
		if (is_over(p, &f->ends, f->host, false, 0)) {
			p->stats.reevaluated_ended++;
			mf_udp_flow_close(f, why);
		}
	}
	return true;
}

static void look(struct mf_reevaluate *r)
{
	static const struct timeval at_once = { 0, 0 }, later = { PERIOD_MS / 1000, 0 };
	uint64_t generation = mf_vm_newest_generation(r->p->session->vm);
	unsigned left = SLICE;
	bool all = r->done == generation;

	if (!all) {
		all = look_at_connections(r->p, generation, &left) &&
		      look_at_datagrams(r->p, generation, &left);
		if (all)
			r->done = generation;
	}
	event_add(&r->timer, all ? &later : &at_once);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	look(ctx);
}

int mf_reevaluate_start(struct mf_proxy *p, struct mf_err *err)
{
	struct mf_reevaluate *r;

	if (!p->opt.reevaluate_open || !p->session->vm)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the proxies");
	r->p = p;
	r->done = mf_vm_newest_generation(p->session->vm);
	event_assign(&r->timer, p->base, -1, 0, on_timer, r);
	p->reevaluate = r;
	look(r);
	return 0;
}

void mf_reevaluate_stop(struct mf_proxy *p)
{
	if (!p->reevaluate)
		return;
	event_del(&p->reevaluate->timer);
	free(p->reevaluate);
	p->reevaluate = NULL;
}
