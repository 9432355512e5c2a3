/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_wisp_udp.c - Wisp's UDP streams: each is a guest port of its WebSocket, with one other end (udp_ports.h)
 *
 * A name is asked for first, as for TCP; what is sent meanwhile waits, a few datagrams. There is no flow control: what nobody takes is lost.
 * A stream whose socket has gone, because nothing moved or there were too many, stays: the next datagram has another one. When there are too many streams
 * such a one is ended.
 */
#include <stdlib.h>

#include "proxies/gateway/front_wisp_int.h"
#include "proxies/gateway/lookup.h"

enum {
	GRAM_MAX = 65507, /* RFC 768 over IPv4 */
	EARLY_MAX = 16,	  /* datagrams before it is known where they go */
	EARLY_BYTES_MAX = 65536,
};

struct early {
	struct early *next;
	size_t len;
	uint8_t bytes[];
};

struct mf_wisp_udp {
	struct mf_wisp_stream *stream;
	struct mf_gw_lookup names;
	struct event soon; /* what is judged is told from the loop */
	struct mf_endpoint to;
	struct early *early, **early_end;
	size_t early_bytes;
	unsigned early_cnt;
	bool known; /* @to is */
	bool idle;
};

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

static void on_datagram(void *ctx, uint32_t id, const struct mf_endpoint *from,
			struct mf_span payload)
{
	struct mf_wisp_front *w = ctx;
	struct mf_wisp_stream *s = *mf_wisp_find(w, id);
	uint8_t head[MF_WISP_HEAD];

	(void)from;
	if (!s || !s->udp)
		return;
	if (mf_ws_is_full(w->front.ws)) {
		mf_wisp_gw(w)->stats.datagrams_lost++;
		return;
	}
	mf_wisp_head_write(MF_WISP_DATA, id, head);
	if (mf_ws_send(w->front.ws, false, mf_span_of(head, sizeof(head)), payload) == 0)
		mf_wisp_gw(w)->stats.datagrams_in++;
}

static void on_gone(void *ctx, uint32_t id)
{
	struct mf_wisp_stream *s = *mf_wisp_find(ctx, id);

	if (s && s->udp)
		s->udp->idle = true;
}

static const struct mf_udp_sink sink = { .datagram = on_datagram, .gone = on_gone };

bool mf_wisp_udp_is_idle(const struct mf_wisp_stream *s)
{
	return s->udp && s->udp->idle;
}

/* --- towards the other end ------------------------------------------------------------------------------------------------ */

static bool send_out(struct mf_wisp_stream *s, struct mf_span payload)
{
	struct mf_wisp_front *w = s->wisp;
	struct mf_gateway *gw = mf_wisp_gw(w);

	s->udp->idle = false;
	switch (mf_udp_ports_send(w->ports, s->id, &s->udp->to, payload)) {
	case MF_UDP_SENT:
		gw->stats.datagrams_out++;
		return true;
	case MF_UDP_DENIED:
		gw->stats.datagrams_denied++;
		return mf_wisp_end_stream(s, MF_WISP_BLOCKED, true);
	case MF_UDP_TOO_MANY:
		return mf_wisp_end_stream(s, MF_WISP_THROTTLED, true);
	case MF_UDP_LOST:
	case MF_UDP_TOO_FAST:
		break;
	}
	return true;
}

static void keep(struct mf_wisp_udp *u, struct mf_span payload)
{
	struct early *e;

	if (u->early_cnt >= EARLY_MAX || u->early_bytes + payload.len > EARLY_BYTES_MAX)
		return;
	e = malloc(sizeof(*e) + payload.len);
	if (!e)
		return;
	e->next = NULL;
	e->len = payload.len;
	if (payload.len)
		memcpy(e->bytes, payload.ptr, payload.len);
	*u->early_end = e;
	u->early_end = &e->next;
	u->early_cnt++;
	u->early_bytes += payload.len;
}

/* The whole datagram, or nothing yet. */
static bool collect(struct mf_wisp_front *w, const struct mf_wisp_packet *p, struct mf_span *ret)
{
	if (p->begins && p->ends) {
		*ret = p->payload;
		return p->payload.len <= GRAM_MAX;
	}
	if (p->begins) {
		free(w->gram);
		w->gram = malloc(GRAM_MAX);
		w->gram_len = 0;
	}
	if (w->gram && p->payload.len <= GRAM_MAX - w->gram_len) {
		if (p->payload.len)
			memcpy(w->gram + w->gram_len, p->payload.ptr, p->payload.len);
		w->gram_len += p->payload.len;
	} else { /* longer than any, or no memory: it is lost */
		free(w->gram);
		w->gram = NULL;
	}
	*ret = mf_span_of(w->gram, w->gram_len);
	return p->ends && w->gram;
}

bool mf_wisp_udp_take(struct mf_wisp_stream *s, const struct mf_wisp_packet *p)
{
	struct mf_wisp_front *w = s->wisp;
	struct mf_span payload;
	bool there = true;

	if (collect(w, p, &payload)) {
		if (s->udp->known)
			there = send_out(s, payload);
		else
			keep(s->udp, payload);
	}
	if (there && p->ends) {
		free(w->gram);
		w->gram = NULL;
	}
	return there;
}

/* --- where to ------------------------------------------------------------------------------------------------------------- */

static bool choose(struct mf_wisp_stream *s)
{
	struct mf_wisp_udp *u = s->udp;
	struct mf_wisp_front *w = s->wisp;
	struct mf_gateway *gw = mf_wisp_gw(w);
	size_t i = 0;

	if (u->names.addr_cnt == 0)
		return mf_wisp_end_stream(
			s, u->names.denied ? MF_WISP_BLOCKED : MF_WISP_UNREACHABLE, true);
	/* where none is open, the first is as good as another: it is refused by udp_ports.c, which tells so */
	while (i < u->names.addr_cnt && !mf_gw_is_open(gw, &u->names.addrs[i]))
		i++;
	u->to.addr = u->names.addrs[i < u->names.addr_cnt ? i : 0];
	u->known = true;
	if (w->confirm && !mf_wisp_send_continue(w, s->id, gw->opt.wisp_window))
		return false;
	while (u->early) {
		struct early *e = u->early;
		uint32_t id = s->id;
		bool there;

		u->early = e->next;
		there = send_out(s, mf_span_of(e->bytes, e->len));
		free(e);
		if (!there || *mf_wisp_find(w, id) != s)
			return there;
	}
	u->early_end = &u->early;
	return true;
}

static void on_soon(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)choose(((struct mf_wisp_udp *)ctx)->stream);
}

static void soon(struct mf_wisp_udp *u)
{
	static const struct timeval at_once = { 0, 0 };

	event_add(&u->soon, &at_once);
}

static void on_names(struct mf_gw_lookup *l)
{
	soon((struct mf_wisp_udp *)((char *)l - offsetof(struct mf_wisp_udp, names)));
}

static struct mf_udp_ports *make_ports(struct mf_wisp_front *w)
{
	struct mf_udp_ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return NULL;
	ports->gw = mf_wisp_gw(w);
	ports->member = w->front.member;
	ports->client = w->front.client;
	ports->sink = &sink;
	ports->ctx = w;
	ports->payload_max = GRAM_MAX;
	return ports;
}

int mf_wisp_udp_open(struct mf_wisp_stream *s, const struct mf_gw_host *host, uint16_t port)
{
	struct mf_wisp_front *w = s->wisp;
	struct mf_wisp_udp *u;

	if (!mf_gw_take_flow(mf_wisp_gw(w), w->front.member, &w->front.client.addr)) {
		mf_gw_refused_as(mf_wisp_gw(w), &w->front.client, w->front.member->id, "wisp",
				 MF_GW_REFUSED_FLOW_RATE, 0);
		return MF_E_LIMIT;
	}
	if (!w->ports && !(w->ports = make_ports(w)))
		return MF_E_NOMEM;
	u = calloc(1, sizeof(*u));
	if (!u)
		return MF_E_NOMEM;
	u->stream = s;
	u->to.port = port;
	u->early_end = &u->early;
	event_assign(&u->soon, mf_wisp_gw(w)->base, -1, 0, on_soon, u);
	s->udp = u;
	if (host->addr.family) {
		u->names.addrs[0] = host->addr;
		u->names.addr_cnt = 1;
		soon(u);
	} else {
		mf_gw_lookup_begin(&u->names, mf_wisp_gw(w), w->front.member, &w->front.client,
				   host->name, on_names);
	}
	return 0;
}

void mf_wisp_udp_free(struct mf_wisp_stream *s)
{
	struct mf_wisp_udp *u = s->udp;

	s->udp = NULL;
	mf_gw_lookup_cancel(&u->names);
	event_del(&u->soon);
	mf_udp_ports_close(s->wisp->ports, s->id);
	while (u->early) {
		struct early *e = u->early;

		u->early = e->next;
		free(e);
	}
	free(u);
}

void mf_wisp_udp_done(struct mf_wisp_front *w)
{
	if (w->ports)
		mf_udp_ports_free(w->ports);
	free(w->ports);
	w->ports = NULL;
	free(w->gram);
	w->gram = NULL;
}
