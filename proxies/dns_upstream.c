/* SPDX-License-Identifier: Apache-2.0 */
/* dns_upstream.c - which resolver is asked, when the next one is, and whose answer counts */
#include "proxies/dns_upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxies/dns_h2.h"
#include "proxies/dns_upstream_int.h"
#include "proxies/hostconf.h"

enum {
	ROUNDS = 2,
	FAILS_MAX = 3, /* in a row, then a server rests */
	REST_MIN_MS = 1000,
	REST_MAX_MS = 60000,
	LINK_IDLE_MS = 15000,
};

/* How long a server may take before the next is asked as well. */
static const uint32_t race_ms[MF_DNS_RACE_NUM] = { 40, 130, 400 };

/* --- health ------------------------------------------------------------------------------------------------------- */

static void note_failure(struct mf_dns_peer *p)
{
	unsigned over;

	if (++p->fails < FAILS_MAX)
		return;
	over = p->fails - FAILS_MAX;
	p->resting_ms = mf_now_ms() + (over >= 6 ? REST_MAX_MS : (uint64_t)REST_MIN_MS << over);
}

static void note_answer(struct mf_dns_peer *p, uint64_t began_ms)
{
	uint64_t took = mf_now_ms() - began_ms;
	uint32_t ms = took > 10000 ? 10000 : took ? (uint32_t)took : 1;

	p->srtt_ms = p->srtt_ms ? (p->srtt_ms * 7 + ms) / 8 : ms;
	p->fails = 0;
	p->resting_ms = 0;
}

static struct mf_timeout_queue *race_queue(struct mf_dns_upstream *up, const struct mf_dns_peer *p)
{
	unsigned i = 0;

	if (p->srtt_ms == 0)
		return &up->races[MF_DNS_RACE_NUM - 1];
	while (i + 1 < MF_DNS_RACE_NUM && race_ms[i] < p->srtt_ms * 3)
		i++;
	return &up->races[i];
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

void mf_dns_upstream_cancel(struct mf_dns_ask *a)
{
	struct mf_dns_upstream *up = a->up;

	for (unsigned i = 0; i < MF_DNS_FLIGHTS_MAX; i++)
		mf_dns_flight_end(&a->flights[i]);
	mf_timeout_disarm(&a->race);
	if (a->prev)
		a->prev->next = a->next;
	else
		up->asks = a->next;
	if (a->next)
		a->next->prev = a->prev;
	up->ask_cnt--;
	up->proxy->stats.dns_inflight = up->ask_cnt;
	up->proxy->together->dns_inflight--;
	free(a);
}

static void finish(struct mf_dns_ask *a, const struct mf_dns_result *res)
{
	mf_dns_done_fn fn = a->fn;
	void *ctx = a->ctx;

	mf_dns_upstream_cancel(a);
	fn(ctx, res);
}

static bool is_flying(const struct mf_dns_ask *a, const struct mf_dns_peer *p)
{
	for (unsigned i = 0; i < MF_DNS_FLIGHTS_MAX; i++)
		if (a->flights[i].peer == p)
			return true;
	return false;
}

/* The first that is well and was not asked in this round, else the first that rests. */
static struct mf_dns_peer *pick_peer(struct mf_dns_ask *a)
{
	struct mf_dns_upstream *up = a->up;
	struct mf_dns_peer *resting = NULL;
	uint64_t now = mf_now_ms();

	for (unsigned i = 0; i < up->peer_cnt; i++) {
		struct mf_dns_peer *p = &up->peers[i];

		if (a->tried >> i & 1 || is_flying(a, p))
			continue;
		if (p->resting_ms <= now)
			return p;
		if (!resting)
			resting = p;
	}
	return resting;
}

static struct mf_dns_flight *free_flight(struct mf_dns_ask *a)
{
	for (unsigned i = 0; i < MF_DNS_FLIGHTS_MAX; i++)
		if (!a->flights[i].peer)
			return &a->flights[i];
	return NULL;
}

/* Asks one more server. Return: false when there is none, or no place */
static bool ask_next(struct mf_dns_ask *a)
{
	struct mf_dns_flight *f = free_flight(a);
	struct mf_dns_peer *p = f ? pick_peer(a) : NULL;

	if (!p)
		return false;
	a->tried |= 1u << (p - a->up->peers);
	mf_dns_flight_begin(f, p);
	if (a->up->peer_cnt > 1)
		mf_timeout_arm(&a->race, race_queue(a->up, p));
	return true;
}

static bool any_flying(const struct mf_dns_ask *a)
{
	for (unsigned i = 0; i < MF_DNS_FLIGHTS_MAX; i++)
		if (a->flights[i].peer)
			return true;
	return false;
}

/* A try has failed: the next server, the next round, or the end. */
static void advance(struct mf_dns_ask *a, int why)
{
	struct mf_dns_result res = { .result = why };
	char text[160];

	if (ask_next(a) || any_flying(a))
		return;
	if (++a->round < ROUNDS) {
		a->tried = 0;
		if (ask_next(a))
			return;
	}
	res.server = a->last->text;
	snprintf(text, sizeof(text), "%s", a->last->error);
	res.why = text;
	finish(a, &res);
}

static void on_race(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_ask *a = (struct mf_dns_ask *)((char *)t - offsetof(struct mf_dns_ask, race));

	(void)ctx;
	(void)ask_next(a);
}

void mf_dns_flight_failed(struct mf_dns_flight *f, int why)
{
	struct mf_dns_ask *a = f->ask;

	a->last = f->peer;
	note_failure(f->peer);
	mf_dns_flight_end(f);
	advance(a, why);
}

static bool is_unhelpful(unsigned rcode)
{
	return rcode == MF_DNS_SERVFAIL || rcode == MF_DNS_REFUSED || rcode == MF_DNS_NOTIMP;
}

void mf_dns_flight_answered(struct mf_dns_flight *f, struct mf_span msg,
			    const struct mf_dns_walk *walk)
{
	struct mf_dns_ask *a = f->ask;
	struct mf_dns_flight *other = &a->flights[f == a->flights];
	struct mf_dns_result res = { .msg = msg, .walk = walk, .server = f->peer->text, .why = "" };

	note_answer(f->peer, f->began_ms);
	/* It is well, but of no help: another may be. If none is left, this is the answer. */
	if (is_unhelpful(walk->rcode) && a->round == 0 && (pick_peer(a) || other->peer)) {
		snprintf(f->peer->error, sizeof(f->peer->error), "it said %s",
			 mf_dns_rcode_name(walk->rcode));
		a->last = f->peer;
		mf_dns_flight_end(f);
		advance(a, MF_E_IO);
		return;
	}
	/* Who was asked first and is still silent has lost a race that began because it was late. */
	if (other->peer && other->began_ms < f->began_ms)
		note_failure(other->peer);
	finish(a, &res);
}

int mf_dns_upstream_ask(struct mf_dns_upstream *up, const struct mf_dns_query *q, mf_dns_done_fn fn,
			void *ctx, struct mf_dns_ask **ret)
{
	struct mf_dns_ask *a;

	/* counted before it is looked at: other threads do the same */
	if (up->proxy->together->dns_inflight++ >= up->proxy->opt.dns_inflight_max) {
		up->proxy->together->dns_inflight--;
		return MF_E_FULL;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		up->proxy->together->dns_inflight--;
		return MF_E_NOMEM;
	}
	a->up = up;
	a->query = *q;
	a->fn = fn;
	a->ctx = ctx;
	for (unsigned i = 0; i < MF_DNS_FLIGHTS_MAX; i++)
		a->flights[i] = (struct mf_dns_flight){ .ask = a, .fd = -1 };
	a->next = up->asks;
	if (up->asks)
		up->asks->prev = a;
	up->asks = a;
	up->ask_cnt++;
	up->proxy->stats.dns_inflight = up->ask_cnt;
	*ret = a;
	(void)ask_next(a);
	return 0;
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

static int add_peer(struct mf_dns_upstream *up, const struct mf_dns_server *conf,
		    struct mf_err *err)
{
	struct mf_dns_peer *p = &up->peers[up->peer_cnt++];

	p->conf = *conf;
	mf_dns_server_format(conf, p->text, sizeof(p->text));
	p->cookie.len = MF_DNS_COOKIE_HALF;
	evutil_secure_rng_get_bytes(p->cookie.bytes, MF_DNS_COOKIE_HALF);
	if (conf->scheme == MF_DNS_OVER_HTTPS && !mf_dns_h2_supported())
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "%s: this program was built without HTTP/2; tls:// works",
				  p->text);
	return 0;
}

/* What the system's own programs ask. */
static int add_hosts_peers(struct mf_dns_upstream *up, struct mf_err *err)
{
	const char *path = up->proxy->opt.resolv_conf;
	struct mf_dns_server conf = { .scheme = MF_DNS_OVER_UDP };
	struct mf_endpoint found[MF_PROXY_DNS_SERVERS_MAX];
	int cnt = path ? mf_hostconf_read(path, found, MF_PROXY_DNS_SERVERS_MAX, err)
		       : mf_hostconf_servers(found, MF_PROXY_DNS_SERVERS_MAX, err);

	for (int i = 0; i < cnt; i++) {
		conf.at = found[i];
		(void)add_peer(up, &conf, err);
	}
	return cnt < 0 ? cnt : 0;
}

static int add_peers(struct mf_dns_upstream *up, struct mf_err *err)
{
	const struct mf_proxy_options *o = &up->proxy->opt;
	int r = 0;

	if (o->dns_server_cnt == 0)
		return add_hosts_peers(up, err);
	for (size_t i = 0; i < o->dns_server_cnt && r == 0; i++)
		r = add_peer(up, &o->dns_servers[i], err);
	return r;
}

int mf_dns_upstream_new(struct mf_proxy *p, struct mf_dns_upstream **ret, struct mf_err *err)
{
	struct mf_dns_upstream *up = calloc(1, sizeof(*up));
	int r;

	if (!up)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the resolver");
	up->proxy = p;
	mf_timeout_queue_init(&up->timeouts, p->timeouts, p->opt.dns_timeout_ms,
			      mf_dns_flight_timed_out, up);
	mf_timeout_queue_init(&up->soon, p->timeouts, 1, mf_dns_flight_timed_out, up);
	mf_timeout_queue_init(&up->idle, p->timeouts, LINK_IDLE_MS, mf_dns_link_idle, up);
	mf_timeout_queue_init(&up->idle_soon, p->timeouts, 1, mf_dns_link_idle, up);
	for (unsigned i = 0; i < MF_DNS_RACE_NUM; i++)
		mf_timeout_queue_init(&up->races[i], p->timeouts, race_ms[i], on_race, up);
	r = add_peers(up, err);
	if (r < 0) {
		free(up);
		return r;
	}
	*ret = up;
	return 0;
}

void mf_dns_upstream_free(struct mf_dns_upstream *up)
{
	if (!up)
		return;
	while (up->asks)
		mf_dns_upstream_cancel(up->asks);
	for (unsigned i = 0; i < up->peer_cnt; i++)
		mf_dns_link_free(up->peers[i].link);
	free(up);
}
