/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_udp.c - /udp: a guest's datagrams, one a message (udp_frame.h)
 *
 * A guest port is one socket of ours: it comes into being with the port's first datagram, and goes when nothing has moved for a while, or
 * when its WebSocket has too many (the one that was used longest ago goes). What arrives at it goes to the guest only from where
 * the port has sent to lately.
 *
 * Where a datagram may go is decided once for each other end of a port, and again after a while: the floor, then connect. To port 53 it is
 * a question for the resolver, whatever its address, as in any session. To port 443 nothing goes: that is QUIC, whose names are not
 * read here, and whose clients come over TCP then.
 *
 * Nothing waits here: a datagram that the WebSocket or a socket does not take now is lost, as on any network.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxies/dns_proxy.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/udp_frame.h"

enum {
	BUCKETS = 64,
	BATCH = 16,
	QUESTIONS_MAX = 64, /* open ones of a WebSocket */
	DATAGRAM_MAX = 65535,
};

struct udp_front;

struct remote {
	struct remote *next;
	struct mf_endpoint at;
	uint64_t used_ms, judged_ms;
	bool allowed;
};

struct port {
	struct udp_front *udp;
	struct port *hash_next, *prev, *next; /* a ring, the longest unused first */
	struct mf_sockwatch watch;
	struct mf_timeout idle;
	struct remote *remotes;
	uint64_t used_ms;
	uint32_t remote_cnt;
	int fd;
	uint16_t number;
};

struct question {
	struct udp_front *udp;
	struct question *prev, *next;
	struct mf_udp_frame frame;
};

struct udp_front {
	struct mf_gw_front front; /* first */
	struct port *buckets[BUCKETS];
	struct port all;
	struct question *questions;
	uint32_t port_cnt, question_cnt;
};

static struct mf_gateway *gw_of(const struct udp_front *u)
{
	return u->front.gw;
}

/* --- towards the guest ---------------------------------------------------------------------------------------------------- */

static void send_frame(struct udp_front *u, uint16_t guest_port, const struct mf_endpoint *from,
		       struct mf_span payload)
{
	struct mf_udp_frame f = { .guest_port = guest_port, .remote = *from };
	uint8_t head[MF_UDP_FRAME_HEAD_MAX];

	/* who has never sent version 2 may not know it; version 1 cannot carry IPv6, nor the port that is version 2's mark */
	f.version = from->addr.family == 6 || guest_port == 0xa202 ? 2 : 1;
	if (mf_ws_waiting(u->front.ws) >= gw_of(u)->opt.buffer_max)
		return;
	if (mf_ws_send(u->front.ws, false, mf_span_of(head, mf_udp_frame_head(&f, head)),
		       payload) == 0)
		gw_of(u)->stats.datagrams_in++;
}

static struct remote **find_remote(struct port *p, const struct mf_endpoint *at)
{
	struct remote **r = &p->remotes;

	while (*r && ((*r)->at.port != at->port || !mf_addr_eq(&(*r)->at.addr, &at->addr)))
		r = &(*r)->next;
	return r;
}

static bool is_fresh(const struct mf_gateway *gw, uint64_t since_ms)
{
	return mf_now_ms() - since_ms < gw->opt.udp_idle_ms;
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	static uint8_t room[DATAGRAM_MAX + 1]; /* of the loop's thread, as all of the gateway */
	struct port *p = ctx;
	struct udp_front *u = p->udp;
	struct mf_datagram d;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < BATCH; i++) {
		struct remote *r;

		d = (struct mf_datagram){ .buf = room, .room = gw_of(u)->opt.udp_payload_max + 1 };
		if (mf_sock_recv_from(p->fd, &d, 1) == 0)
			return;
		p->used_ms = mf_now_ms();
		r = *find_remote(p, &d.client);
		if (!r || !r->allowed || !is_fresh(gw_of(u), r->used_ms) || d.cut ||
		    d.len > gw_of(u)->opt.udp_payload_max)
			continue;
		r->used_ms = p->used_ms;
		send_frame(u, p->number, &d.client, mf_span_of(d.buf, d.len));
	}
	mf_sockwatch_kick(&p->watch);
}

/* --- guest ports ---------------------------------------------------------------------------------------------------------- */

static void free_port(struct port *p)
{
	struct port **at = &p->udp->buckets[p->number % BUCKETS];

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
	p->prev->next = p->next;
	p->next->prev = p->prev;
	p->udp->port_cnt--;
	mf_timeout_disarm(&p->idle);
	mf_sockwatch_stop(&p->watch);
	mf_sock_close(p->fd);
	while (p->remotes) {
		struct remote *r = p->remotes;

		p->remotes = r->next;
		free(r);
	}
	free(p);
}

static void on_idle(struct mf_timeout *t, void *ctx)
{
	struct port *p = (struct port *)((char *)t - offsetof(struct port, idle));
	struct mf_gateway *gw = ctx;

	if (is_fresh(gw, p->used_ms))
		mf_timeout_arm(t, &gw->udp_idle);
	else
		free_port(p);
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

static struct port *get_port(struct udp_front *u, uint16_t number)
{
	struct port *p = u->buckets[number % BUCKETS];

	while (p && p->number != number)
		p = p->hash_next;
	if (p) {
		p->prev->next = p->next;
		p->next->prev = p->prev;
	} else {
		if (u->port_cnt >= gw_of(u)->opt.udp_ports_max)
			free_port(u->all.next);
		p = calloc(1, sizeof(*p));
		if (p)
			p->fd = open_socket();
		if (!p || p->fd < 0 ||
		    mf_sockwatch_start(&p->watch, gw_of(u)->base, p->fd, on_io, p) < 0) {
			if (p && p->fd >= 0)
				mf_sock_close(p->fd);
			free(p);
			return NULL;
		}
		p->udp = u;
		p->number = number;
		p->hash_next = u->buckets[number % BUCKETS];
		u->buckets[number % BUCKETS] = p;
		u->port_cnt++;
		mf_timeout_arm(&p->idle, &gw_of(u)->udp_idle);
	}
	p->prev = u->all.prev;
	p->next = &u->all;
	p->prev->next = p;
	u->all.prev = p;
	p->used_ms = mf_now_ms();
	return p;
}

/* --- where to ------------------------------------------------------------------------------------------------------------- */

static bool judge(struct udp_front *u, const struct mf_endpoint *to)
{
	struct mf_gateway *gw = gw_of(u);
	struct mf_session_flow flow = { .proto = MF_UDP,
					.client = u->front.client,
					.server = *to,
					.member = &u->front.member->pub };
	struct mf_ask_result res;
	struct mf_decision d;
	bool denied;

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

/* The other end of a port, judged; NULL: no memory */
static struct remote *get_remote(struct port *p, const struct mf_endpoint *to)
{
	struct udp_front *u = p->udp;
	struct remote **at = find_remote(p, to), *r = *at;

	if (!r && p->remote_cnt >= gw_of(u)->opt.udp_remotes_max) {
		struct remote **oldest = &p->remotes;

		for (at = &p->remotes; *at; at = &(*at)->next)
			if ((*at)->used_ms < (*oldest)->used_ms)
				oldest = at;
		r = *oldest; /* is another one from now on */
		memset(&r->at, 0, sizeof(r->at));
		r->at = *to;
		r->judged_ms = 0;
	} else if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return NULL;
		r->at = *to;
		r->next = p->remotes;
		p->remotes = r;
		p->remote_cnt++;
	}
	if (!r->judged_ms || !is_fresh(gw_of(u), r->judged_ms)) {
		r->allowed = judge(u, to);
		r->judged_ms = mf_now_ms();
	}
	return r;
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static void free_question(struct question *q)
{
	if (q->prev)
		q->prev->next = q->next;
	else
		q->udp->questions = q->next;
	if (q->next)
		q->next->prev = q->prev;
	q->udp->question_cnt--;
	free(q);
}

static void on_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct question *q = ctx;

	if (len && len <= gw_of(q->udp)->opt.udp_payload_max)
		send_frame(q->udp, q->frame.guest_port, &q->frame.remote, mf_span_of(msg, len));
	free_question(q);
}

static void ask(struct udp_front *u, const struct mf_udp_frame *f)
{
	struct mf_session_flow flow = { .proto = MF_UDP,
					.client = u->front.client,
					.server = f->remote,
					.member = &u->front.member->pub };
	struct question *q = u->question_cnt < QUESTIONS_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return;
	q->udp = u;
	q->frame = *f;
	q->next = u->questions;
	if (q->next)
		q->next->prev = q;
	u->questions = q;
	u->question_cnt++;
	mf_gw_member_keep_names(u->front.member);
	mf_dns_proxy_ask(gw_of(u)->proxy->dns, &flow, f->payload, on_reply, q);
}

/* --- what the guest says -------------------------------------------------------------------------------------------------- */

static void on_message(struct mf_gw_front *front, bool text, struct mf_span bytes)
{
	static const struct mf_endpoint any;
	struct udp_front *u = (struct udp_front *)front;
	struct mf_gateway *gw = front->gw;
	struct mf_udp_frame f;
	struct remote *r = NULL;
	struct port *p;

	if (text) {
		/* clients that have a token say it here as well, also where it was in the URL */
		if (bytes.len < 4096 && memmem(bytes.ptr, bytes.len, "\"auth\"", 6))
			return;
		mf_gw_front_end(front, 1003, "expected binary message");
		return;
	}
	if (bytes.len > gw->opt.udp_payload_max + MF_UDP_FRAME_HEAD_MAX) {
		gw->stats.datagrams_bad++;
		mf_gw_front_end(front, 1009, "");
		return;
	}
	if (mf_udp_frame_read(bytes, gw->opt.udp_payload_max, &f) < 0) {
		gw->stats.datagrams_bad++;
		return;
	}
	if (f.remote.port == 0) {
		gw->stats.datagrams_denied++;
		return;
	}
	if (f.remote.port == 53) {
		ask(u, &f);
		return;
	}
	p = get_port(u, f.guest_port);
	if (p)
		r = get_remote(p, &f.remote);
	if (!r || !r->allowed) {
		gw->stats.datagrams_denied++;
		return;
	}
	r->used_ms = mf_now_ms();
	if (mf_sock_send_to(p->fd, &any, &f.remote, f.payload.ptr, f.payload.len) == 0)
		gw->stats.datagrams_out++;
}

static void on_open(struct mf_gw_front *f)
{
	char text[80], id[33] = "";
	uint8_t bytes[16];

	if (RAND_bytes(bytes, sizeof(bytes)) == 1)
		for (unsigned i = 0; i < sizeof(bytes); i++)
			snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	snprintf(text, sizeof(text), "{\"type\":\"ready\",\"sessionId\":\"%s\"}", id);
	if (mf_ws_send(f->ws, true, mf_span_of(NULL, 0), mf_span_str(text)) < 0)
		mf_gw_front_end(f, 1011, "");
}

static void on_done(struct mf_gw_front *f)
{
	struct udp_front *u = (struct udp_front *)f;

	while (u->all.next != &u->all)
		free_port(u->all.next);
	while (u->questions) {
		mf_dns_proxy_cancel(f->gw->proxy->dns, u->questions);
		free_question(u->questions);
	}
}

static const struct mf_gw_front_kind kind = {
	.open = on_open,
	.message = on_message,
	.done = on_done,
};

static void on_udp(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct udp_front *u = mf_gw_front_begin(ctx, x, req, &kind, NULL, sizeof(*u));

	if (!u)
		return;
	u->all.prev = u->all.next = &u->all;
	mf_gw_front_accept(&u->front);
}

int mf_gw_udp_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/udp", .fn = on_udp },
	};

	mf_timeout_queue_init(&gw->udp_idle, gw->timeouts, gw->opt.udp_idle_ms, on_idle, gw);
	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
