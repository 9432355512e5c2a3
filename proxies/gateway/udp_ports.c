/* SPDX-License-Identifier: Apache-2.0 */
/* udp_ports.c - see udp_ports.h */
#include "proxies/gateway/udp_ports.h"

#include <stdlib.h>

#include "proxies/dns_proxy.h"
#include "proxies/gateway/gateway_int.h"

enum {
	BATCH = 16,
	QUESTIONS_MAX = 64, /* open ones of a session */
	DENIED_MAX =
		256, /* that are remembered, so that policies are not asked for each datagram */
};

struct mf_udp_port {
	struct mf_udp_ports *all;
	struct mf_udp_port *hash_next, *older, *newer;
	struct mf_sockwatch watch;
	struct mf_timeout idle;
	struct mf_udp_peers remotes;
	uint64_t used_ms;
	uint32_t number;
	int fd;
};

struct mf_udp_question {
	struct mf_udp_ports *all;
	struct mf_udp_question *prev, *next;
	struct mf_endpoint server;
	uint32_t guest_port;
};

/* --- guest ports ---------------------------------------------------------------------------------------------------------- */

static struct mf_udp_port **find_port(struct mf_udp_ports *u, uint32_t number)
{
	struct mf_udp_port **p = &u->buckets[number % MF_UDP_PORT_BUCKETS];

	while (*p && (*p)->number != number)
		p = &(*p)->hash_next;
	return p;
}

static void unlink_age(struct mf_udp_ports *u, struct mf_udp_port *p)
{
	*(p->older ? &p->older->newer : &u->oldest) = p->newer;
	*(p->newer ? &p->newer->older : &u->newest) = p->older;
}

static void link_newest(struct mf_udp_ports *u, struct mf_udp_port *p)
{
	p->older = u->newest;
	p->newer = NULL;
	*(u->newest ? &u->newest->newer : &u->oldest) = p;
	u->newest = p;
}

static void free_port(struct mf_udp_port *p)
{
	struct mf_udp_ports *u = p->all;

	*find_port(u, p->number) = p->hash_next;
	unlink_age(u, p);
	u->port_cnt--;
	mf_timeout_disarm(&p->idle);
	mf_sockwatch_stop(&p->watch);
	mf_sock_close(p->fd);
	mf_udp_peers_free(&p->remotes);
	free(p);
}

static void drop_port(struct mf_udp_port *p)
{
	struct mf_udp_ports *u = p->all;
	uint32_t number = p->number;

	free_port(p);
	if (u->sink->gone)
		u->sink->gone(u->ctx, number);
}

static void on_idle(struct mf_timeout *t, void *ctx)
{
	struct mf_udp_port *p =
		(struct mf_udp_port *)((char *)t - offsetof(struct mf_udp_port, idle));
	struct mf_gateway *gw = ctx;

	if (mf_now_ms() - p->used_ms < gw->opt.udp_idle_ms)
		mf_timeout_arm(t, &gw->udp_idle);
	else
		drop_port(p);
}

static int open_socket(void)
{
	struct mf_endpoint any = { .addr = { .family = 6 } };
	int fd = mf_sock_listen(&any, false, 0);

	if (fd >= 0)
		return fd;
	any.addr.family = 4; /* a host without IPv6 */
	return mf_sock_listen(&any, false, 0);
}

static void on_io(evutil_socket_t fd, short what, void *ctx);

static struct mf_udp_port *add_port(struct mf_udp_ports *u, uint32_t number)
{
	struct mf_gateway *gw = u->gw;
	struct mf_udp_port *p;

	if (u->port_cnt && u->port_cnt >= gw->opt.udp_ports_max) {
		gw->relay_events[MF_RELAY_TOO_MANY_BINDINGS]++;
		drop_port(u->oldest);
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->fd = open_socket();
	if (p->fd < 0 || mf_sockwatch_start(&p->watch, gw->base, p->fd, on_io, p) < 0) {
		if (p->fd >= 0)
			mf_sock_close(p->fd);
		free(p);
		return NULL;
	}
	p->all = u;
	p->number = number;
	p->hash_next = u->buckets[number % MF_UDP_PORT_BUCKETS];
	u->buckets[number % MF_UDP_PORT_BUCKETS] = p;
	u->port_cnt++;
	link_newest(u, p);
	mf_timeout_arm(&p->idle, &gw->udp_idle);
	return p;
}

static struct mf_udp_port *get_port(struct mf_udp_ports *u, uint32_t number)
{
	struct mf_udp_port *p = *find_port(u, number);

	if (!p)
		return add_port(u, number);
	if (p != u->newest) {
		unlink_age(u, p);
		link_newest(u, p);
	}
	return p;
}

/* --- where to ------------------------------------------------------------------------------------------------------------- */

static struct mf_session_flow flow_to(const struct mf_udp_ports *u, const struct mf_endpoint *to)
{
	return (struct mf_session_flow){
		.proto = MF_UDP, .client = u->client, .server = *to, .member = &u->member->pub
	};
}

static bool judge(struct mf_udp_ports *u, const struct mf_endpoint *to)
{
	struct mf_session_flow flow = flow_to(u, to);
	struct mf_gateway *gw = u->gw;
	struct mf_ask_result res;
	struct mf_decision d;
	bool denied;

	const char *why = mf_gw_targets_refuse_udp(gw->opt.destinations, to);

	if (why) {
		mf_gw_announce_refusal(gw, &flow, NULL, why);
		return false;
	}
	if (to->port == MF_ASK_QUIC_PORT || !mf_gw_is_open(gw, &to->addr)) {
		mf_gw_announce_refusal(gw, &flow, NULL,
				       to->port == MF_ASK_QUIC_PORT
					       ? "QUIC does not pass the gateway"
					       : "the gateway is open to public addresses only");
		return false;
	}
	mf_ask_udp(&gw->proxy->asker, &flow, &d, &res);
	/* where names disagree the strictest counts: datagrams say none. A redirect has nowhere to be carried out. */
	denied = mf_verdict_rank(&d) > 2;
	mf_ask_announce_connect(gw->proxy, &flow, res.host[0] ? res.host : NULL,
				denied ? "blocked" : "allowed", &d);
	return !denied;
}

/* One that was allowed, and is no more: nothing comes from there either. */
static void forget(struct mf_udp_ports *u, const struct mf_endpoint *at)
{
	mf_udp_peers_remove(&u->allowed, at);
	for (struct mf_udp_port *p = u->oldest; p; p = p->newer)
		mf_udp_peers_remove(&p->remotes, at);
}

/* Ask the policies, unless they were lately. Return: MF_UDP_SENT with *ret: it may be */
static enum mf_udp_sent get_other_end(struct mf_udp_ports *u, const struct mf_endpoint *at,
				      uint64_t now_ms, struct mf_udp_peer **ret)
{
	const struct mf_gateway_relay *o = &u->gw->opt.relay;
	struct mf_udp_peer *e = mf_udp_peers_find(&u->allowed, at);
	bool evicted = false;

	*ret = e;
	if (e && now_ms - e->judged_ms < u->gw->opt.udp_idle_ms)
		return MF_UDP_SENT;
	if (!e) {
		e = mf_udp_peers_find(&u->denied, at);
		if (e && now_ms - e->judged_ms < u->gw->opt.udp_idle_ms)
			return MF_UDP_DENIED;
	}
	if (!judge(u, at)) {
		if (*ret)
			forget(u, at);
		if (*ret || !e)
			e = mf_udp_peers_add(&u->denied, at, DENIED_MAX, NULL);
		if (e)
			e->judged_ms = now_ms;
		return MF_UDP_DENIED;
	}
	if (!*ret) {
		mf_udp_peers_remove(&u->denied, at);
		if (o->destinations_max && u->allowed.cnt >= o->destinations_max)
			return MF_UDP_TOO_MANY;
		*ret = mf_udp_peers_add(&u->allowed, at,
					o->destinations_max ? UINT32_MAX : o->buckets_max,
					&evicted);
		if (!*ret)
			return MF_UDP_LOST;
		if (evicted)
			u->gw->relay_events[MF_RELAY_BUCKET_EVICTIONS]++;
	}
	(*ret)->judged_ms = now_ms;
	return MF_UDP_SENT;
}

/* --- towards the client --------------------------------------------------------------------------------------------------- */

static bool may_come_in(struct mf_udp_port *p, const struct mf_endpoint *from, uint64_t now_ms)
{
	struct mf_gateway *gw = p->all->gw;
	struct mf_udp_peer *e;

	if (gw->opt.relay.filter_any)
		return get_other_end(p->all, from, now_ms, &e) == MF_UDP_SENT;
	e = mf_udp_peers_find(&p->remotes, from);
	if (!e || now_ms - e->used_ms >= gw->opt.relay.remote_idle_ms) {
		gw->relay_events[MF_RELAY_REMOTE_DROPS]++;
		return false;
	}
	e->used_ms = now_ms;
	return true;
}

static uint32_t payload_max(const struct mf_udp_ports *u)
{
	return u->payload_max ? u->payload_max : u->gw->opt.udp_payload_max;
}

/* As many as the buffer holds. Return: whether there may be more */
static bool take_some(struct mf_udp_port *p)
{
	struct mf_gateway *gw = p->all->gw;
	size_t room = payload_max(p->all) + 1, batch = sizeof(gw->buf) / room, cnt;
	struct mf_datagram d[BATCH];
	uint64_t now_ms;

	batch = batch > BATCH ? BATCH : batch;
	for (size_t i = 0; i < batch; i++)
		d[i] = (struct mf_datagram){ .buf = gw->buf + i * room, .room = room };
	cnt = mf_sock_recv_from(p->fd, d, batch);
	now_ms = mf_now_ms();
	if (cnt)
		p->used_ms = now_ms;
	for (size_t i = 0; i < cnt; i++)
		if (!d[i].cut && d[i].len < room && may_come_in(p, &d[i].client, now_ms))
			p->all->sink->datagram(p->all->ctx, p->number, &d[i].client,
					       mf_span_of(d[i].buf, d[i].len));
	return cnt == batch;
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_udp_port *p = ctx;
	unsigned rounds = payload_max(p->all) < sizeof(p->all->gw->buf) / BATCH ? 1 : BATCH;
	bool more = true;

	(void)fd;
	(void)what;
	while (more && rounds--)
		more = take_some(p);
	if (more) /* others first, then the rest */
		mf_sockwatch_kick(&p->watch);
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static void free_question(struct mf_udp_question *q)
{
	*(q->prev ? &q->prev->next : &q->all->questions) = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->all->question_cnt--;
	free(q);
}

static void on_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct mf_udp_question *q = ctx;
	struct mf_udp_ports *u = q->all;

	if (len && len <= payload_max(u))
		u->sink->datagram(u->ctx, q->guest_port, &q->server, mf_span_of(msg, len));
	free_question(q);
}

static enum mf_udp_sent ask(struct mf_udp_ports *u, uint32_t guest_port,
			    const struct mf_endpoint *to, struct mf_span payload)
{
	struct mf_session_flow flow = flow_to(u, to);
	struct mf_udp_question *q = u->question_cnt < QUESTIONS_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return MF_UDP_LOST;
	q->all = u;
	q->server = *to;
	q->guest_port = guest_port;
	q->next = u->questions;
	if (q->next)
		q->next->prev = q;
	u->questions = q;
	u->question_cnt++;
	mf_gw_member_keep_names(u->member);
	mf_dns_proxy_ask(u->gw->proxy->dns, &flow, payload, on_reply, q);
	return MF_UDP_SENT;
}

/* --- towards the network -------------------------------------------------------------------------------------------------- */

static enum mf_udp_sent violated(struct mf_udp_ports *u, enum mf_udp_sent how, uint64_t now_ms)
{
	if (now_ms - u->violated_ms > u->gw->opt.relay.violation_window_ms)
		u->violation_cnt = 0;
	u->violated_ms = now_ms;
	u->violation_cnt++;
	return how;
}

bool mf_udp_ports_is_over(const struct mf_udp_ports *u)
{
	uint32_t max = u->gw->opt.relay.violations_max;

	return max && u->violation_cnt >= max;
}

enum mf_udp_sent mf_udp_ports_send(struct mf_udp_ports *u, uint32_t guest_port,
				   const struct mf_endpoint *to, struct mf_span payload)
{
	static const struct mf_endpoint any;
	struct mf_gateway *gw = u->gw;
	const struct mf_gateway_relay *o = &gw->opt.relay;
	uint64_t now_ms = mf_now_ms();
	struct mf_udp_peer *end = NULL, *remote;
	struct mf_udp_port *p;
	enum mf_udp_sent r = MF_UDP_SENT;
	bool evicted = false;

	if (to->port == 0)
		return MF_UDP_DENIED;
	if (to->port != 53)
		r = get_other_end(u, to, now_ms, &end);
	if (r == MF_UDP_TOO_MANY)
		return violated(u, r, now_ms);
	if (r != MF_UDP_SENT)
		return r;
	if (!mf_rate_take(&u->packets, o->pps_max, 1, now_ms) ||
	    !mf_rate_take(&u->bytes, o->bps_max, payload.len, now_ms) ||
	    (end && !mf_rate_take(&end->rate, o->destination_pps_max, 1, now_ms)))
		return violated(u, MF_UDP_TOO_FAST, now_ms);
	if (to->port == 53)
		return ask(u, guest_port, to, payload);
	p = get_port(u, guest_port);
	if (!p)
		return MF_UDP_LOST;
	p->used_ms = now_ms;
	remote = mf_udp_peers_find(&p->remotes, to);
	if (!remote)
		remote = mf_udp_peers_add(&p->remotes, to, gw->opt.udp_remotes_max, &evicted);
	if (!remote)
		return MF_UDP_LOST;
	if (evicted)
		gw->relay_events[MF_RELAY_REMOTE_EVICTIONS]++;
	remote->used_ms = now_ms;
	return mf_sock_send_to(p->fd, &any, to, payload.ptr, payload.len) == 0 ? MF_UDP_SENT
									       : MF_UDP_LOST;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

void mf_udp_ports_close(struct mf_udp_ports *u, uint32_t guest_port)
{
	struct mf_udp_port *p = *find_port(u, guest_port);

	if (p)
		free_port(p);
}

void mf_udp_ports_free(struct mf_udp_ports *u)
{
	while (u->oldest)
		free_port(u->oldest);
	while (u->questions) {
		mf_dns_proxy_cancel(u->gw->proxy->dns, u->questions);
		free_question(u->questions);
	}
	mf_udp_peers_free(&u->allowed);
	mf_udp_peers_free(&u->denied);
}

void mf_udp_ports_init(struct mf_gateway *gw)
{
	mf_timeout_queue_init(&gw->udp_idle, gw->timeouts, gw->opt.udp_idle_ms, on_idle, gw);
}
