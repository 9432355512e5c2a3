/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_guests_linux.c - see gateway_guests.h: wires, their networks, and the stack behind them */
#include "cli/gateway_guests.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/pcap_file.h"
#include "capture/pcapng_write.h"
#include "cli/vm_stack.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/rewrite.h"
#include "nic/frame_l2.h"
#include "nic/guest_net.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/member.h"
#include "proxies/proxy.h"
#include "proxies/sock.h"

enum {
	WIRES_MAX = 65535,
	RAW_MAX = 16384, /* what is longer is dropped */
	MESSAGE_MAX = MF_FRAME_MAX + MF_L2_HEAD,
	PACKET_MAX = 65535,
	CONNS_MAX = 16384, /* of all guests */
	CONNS_EACH = 1024,
	HALF_OPEN = 128,
	BYTES_EACH = 8 << 20,
	ACCEPTS_PER_TURN = 64,
	LINGER_S =
		15, /* questions of DNS that are on their way when a wire ends are over by then */
	LINK_ETHERNET = 1,
	PCAP_BYTES_MAX = 64 << 20,
};

#define ALIAS_NET 0x64400000u /* 100.64.0.0 */

/* Guests that are on one network. */
struct segment {
	struct segment *prev, *next;
	struct mf_gateway_guests *all;
	struct mf_guest_net *net;
	struct mf_gateway_wire *wires;
	char *room; /* NULL: of one guest alone */
};

/* A message is a frame. */
struct raw_source {
	struct mf_frame_source source; /* first */
	struct mf_gateway_wire *wire;
};

struct mf_gateway_wire {
	struct mf_gateway_guests *all;
	struct segment *segment;
	struct mf_gateway_wire *next; /* of the segment; once closed, of those that linger */
	struct mf_gateway_wire *ended_next;
	const struct mf_gateway_sink *sink;
	void *sink_ctx;
	enum mf_gateway_wire_kind kind;
	struct mf_gw_member *member;
	struct mf_guest *guest;
	struct mf_stack_peer *peer;
	struct event *timer; /* of a tunnel */
	struct mf_pcapng *pcap;
	uint64_t pcap_bytes, closed_ns;
	uint32_t number; /* in its alias */
	unsigned status; /* != 0: it is to be ended */
	char reason[MF_L2_REASON_MAX + 1];
};

struct mf_gateway_guests {
	struct mf_gateway_guests_options options;
	struct mf_gateway_frames frames;
	struct mf_vm_stack *stack;
	struct event_base *base;
	struct mf_proxy *proxy;
	struct mf_gateway *gateway;
	struct event *accepts, *later, *linger;
	struct segment *segments;
	struct mf_gateway_wire **wires; /* by number */
	uint32_t room, last;
	struct mf_gateway_wire *ended;			/* to be told so */
	struct mf_gateway_wire *lingers, **lingers_end; /* closed ones, oldest first */
	uint64_t opened;
	struct mf_gateway_frames_stats gone; /* of wires that were closed */
	uint8_t message[MESSAGE_MAX], packet[PACKET_MAX];
};

static uint64_t now_ns(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

/* What was given to the stack is looked at once a turn. */
static void soon(struct mf_gateway_guests *all)
{
	event_active(all->later, EV_TIMEOUT, 0);
}

/* ---- aliases ----------------------------------------------------------------------------------------------------- */

static struct mf_addr alias_of(const struct mf_gateway_wire *w)
{
	struct mf_addr a = { .family = 4 };

	mf_store_be32(a.bytes, ALIAS_NET + w->number);
	return a;
}

static struct mf_gateway_wire *wire_of(const struct mf_gateway_guests *all, const uint8_t alias[4])
{
	uint32_t number = mf_load_be32(alias) - ALIAS_NET;

	return number < all->room ? all->wires[number] : NULL;
}

/* The next that is free, so that one is not somebody else's at once. Return: 0: none */
static uint32_t take_number(struct mf_gateway_guests *all)
{
	for (uint32_t i = 0; i + 1 < all->room; i++) {
		all->last = all->last + 1 < all->room ? all->last + 1 : 1;
		if (!all->wires[all->last])
			return all->last;
	}
	return 0;
}

/* From a guest: its source becomes its alias. Return: false: it is nothing that can be sent on */
static bool to_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len)
{
	struct mf_addr alias = alias_of(w);
	struct mf_view v;
	struct mf_flow to;

	if (mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL) < 0)
		return false;
	to = v.flow;
	memcpy(to.src, alias.bytes, 4);
	return mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL) == 0;
}

/* To a guest: the same the other way round, also in what an error quotes. */
static bool from_alias(const struct mf_gateway_wire *w, uint8_t *pkt, size_t len)
{
	const uint8_t *own = mf_guest_address4(w->guest);
	struct mf_view v, inner;
	struct mf_flow to;

	if (mf_view_read_ip(&v, mf_span_of(pkt, len), MF_VIEW_F_OFFLOAD, NULL) < 0)
		return false;
	to = v.flow;
	memcpy(to.dst, own, 4);
	if (v.flow.proto == MF_PROTO_ICMP && mf_view_quote(&v, &inner) == 0) {
		struct mf_flow quoted = inner.flow;

		memcpy(quoted.src, own, 4);
		return mf_rewrite_icmp_error(&v, &inner, pkt, to.src, to.dst, &quoted) == 0;
	}
	return mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL) == 0;
}

/* ---- packets ----------------------------------------------------------------------------------------------------- */

static void on_guest_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);

	(void)ctx;
	if (!to_alias(w, pkt, len)) {
		w->all->gone.dropped++;
		return;
	}
	mf_vm_stack_input(w->all->stack, w->peer, pkt, len);
	soon(w->all);
}

static void on_stack_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	struct mf_gateway_guests *all = ctx;
	struct mf_gateway_wire *w = len >= 20 && len <= PACKET_MAX ? wire_of(all, pkt + 16) : NULL;

	if (!w || !w->guest) {
		all->gone.dropped++;
		return;
	}
	memcpy(all->packet, pkt, len);
	if (from_alias(w, all->packet, len))
		(void)mf_guest_net_packet(w->segment->net, all->packet, len);
	else
		all->gone.dropped++;
}

static void tell_ended(struct mf_gateway_guests *all)
{
	while (all->ended) {
		struct mf_gateway_wire *w = all->ended;

		all->ended = w->ended_next;
		w->ended_next = NULL;
		w->sink->ended(w->sink_ctx, w->status, w->reason);
	}
}

static void on_changed(void *ctx)
{
	struct mf_gateway_guests *all = ctx;

	mf_vm_stack_flush(all->stack);
	tell_ended(all);
}

static void on_later(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	on_changed(ctx);
}

/* ---- whose a connection is --------------------------------------------------------------------------------------- */

static bool is_router(const struct mf_addr *a)
{
	static const uint8_t net[3] = { 10, 0, 2 };

	return a->family == 4 && memcmp(a->bytes, net, sizeof(net)) == 0;
}

/* Questions go to our own resolver, whomever they are sent to. */
static int own(void *ctx, struct mf_session_flow *flow)
{
	struct mf_gateway_guests *all = ctx;
	struct mf_gateway_wire *w = wire_of(all, flow->client.addr.bytes);

	if (!w || flow->client.addr.family != 4)
		return MF_E_NOENT;
	flow->member = &w->member->pub;
	if (flow->server.port == 53)
		return 0;
	return !is_router(&flow->server.addr) && mf_gateway_may(all->gateway, flow) ? 0 : MF_E_PERM;
}

static void on_connection_ended(void *member, bool denied, bool reset, const char *error)
{
	(void)denied;
	(void)reset;
	(void)error;
	mf_gw_member_unref(member);
}

static void take_connection(struct mf_gateway_guests *all, int fd, const struct mf_endpoint *peer)
{
	struct mf_proxy_watcher watcher = { .ended = on_connection_ended };
	struct mf_session_flow flow;
	struct mf_gw_member *m;

	if (mf_vm_stack_find_flow(all->stack, MF_TCP, peer, NULL, &flow) < 0 ||
	    own(all, &flow) < 0) {
		mf_sock_reset(fd);
		return;
	}
	if (flow.server.port == 53) {
		mf_proxy_take_names(all->proxy, fd, &flow);
		return;
	}
	/* the proxy's connection may outlive the wire */
	m = wire_of(all, flow.client.addr.bytes)->member;
	watcher.ctx = mf_gw_member_ref(m);
	if (mf_proxy_take_tcp(all->proxy, fd, &flow, &watcher) < 0)
		mf_gw_member_unref(m);
}

static void on_accept(evutil_socket_t listener, short what, void *ctx)
{
	(void)what;
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct mf_endpoint peer;
		int fd = mf_sock_accept((int)listener, &peer);

		if (fd < 0)
			return;
		take_connection(ctx, fd, &peer);
	}
}

/* ---- the end of a wire ------------------------------------------------------------------------------------------- */

static void on_l2_close(void *ctx, unsigned status, struct mf_span reason)
{
	struct mf_gateway_wire *w = ctx;

	w->status = status;
	memcpy(w->reason, reason.ptr, reason.len);
	w->reason[reason.len] = '\0';
	w->ended_next = w->all->ended;
	w->all->ended = w;
	soon(w->all);
}

static void arm(struct mf_gateway_wire *w)
{
	uint64_t at = mf_frame_l2_deadline(mf_guest_source(w->guest)), now = now_ns(NULL), us;
	struct timeval tv;

	if (at == UINT64_MAX) {
		evtimer_del(w->timer);
		return;
	}
	us = at > now ? (at - now) / 1000 + 1 : 0;
	tv = (struct timeval){ .tv_sec = (time_t)(us / 1000000),
			       .tv_usec = (suseconds_t)(us % 1000000) };
	evtimer_add(w->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_wire *w = ctx;

	(void)fd;
	(void)what;
	if (mf_frame_l2_tick(mf_guest_source(w->guest)) == 0)
		arm(w);
}

static int on_l2_send(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct mf_gateway_wire *w = ctx;
	int r = w->sink->send(w->sink_ctx, parts, cnt);

	/* it is full now: that must not last */
	if (r == MF_E_AGAIN && !evtimer_pending(w->timer, NULL))
		evtimer_add(w->timer, &(struct timeval){ .tv_sec = 1 });
	return r;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static int raw_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static int raw_send(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		    const uint8_t *body, size_t body_len)
{
	struct mf_gateway_wire *w = ((struct raw_source *)s)->wire;
	struct mf_span parts[2] = { { head, head_len }, { body, body_len } };
	int r = w->sink->send(w->sink_ctx, parts, 2);

	if (r < 0) {
		s->stats.out_dropped++;
		return MF_E_AGAIN;
	}
	s->stats.out++;
	s->stats.out_bytes += head_len + body_len;
	return 0;
}

static void raw_flush(struct mf_frame_source *s)
{
	(void)s;
}

static void raw_free(struct mf_frame_source *s)
{
	free(s);
}

static const struct mf_frame_ops raw_ops = { "raw", raw_run, raw_send, raw_flush, raw_free };

/* What guests of a room say to each other. Return: true: it was for one of them alone */
static bool switch_frame(struct mf_gateway_wire *from, const uint8_t *frame, size_t len)
{
	bool group = frame[0] & 1;

	for (struct mf_gateway_wire *w = from->segment->wires; w; w = w->next) {
		if (w == from || (!group && memcmp(mf_guest_mac(w->guest), frame, 6) != 0))
			continue;
		(void)mf_frame_source_send(mf_guest_source(w->guest), frame, MF_FRAME_MIN,
					   frame + MF_FRAME_MIN, len - MF_FRAME_MIN);
		if (!group)
			return true;
	}
	return false;
}

static void take_raw(struct mf_gateway_wire *w, uint8_t *frame, size_t len)
{
	struct mf_frame_source *s = mf_guest_source(w->guest);

	if (len < MF_FRAME_MIN || len > RAW_MAX) {
		s->stats.in_bad++;
		return;
	}
	s->stats.in++;
	s->stats.in_bytes += len;
	if (w->segment->room && switch_frame(w, frame, len))
		return;
	s->receiver(s->ctx, frame, len);
}

static void on_message(struct mf_gateway_wire *w, bool text, struct mf_span bytes)
{
	struct mf_gateway_guests *all = w->all;

	if (w->status)
		return;
	if (w->kind == MF_GATEWAY_RAW) {
		if (text || bytes.len > RAW_MAX) {
			mf_guest_source(w->guest)->stats.in_bad++;
			return;
		}
		if (bytes.len)
			memcpy(all->message, bytes.ptr, bytes.len);
		take_raw(w, all->message, bytes.len);
		return;
	}
	if (text) {
		(void)mf_frame_l2_text(mf_guest_source(w->guest), bytes.len);
		return;
	}
	/* the channel has a limit of its own; a longer one would end the tunnel all the same */
	if (bytes.len > sizeof(all->message))
		bytes.len = sizeof(all->message);
	if (bytes.len)
		memcpy(all->message, bytes.ptr, bytes.len);
	(void)mf_frame_l2_message(mf_guest_source(w->guest), all->message, bytes.len);
}

static void observe(void *ctx, struct mf_guest *guest, bool from_guest, const uint8_t *head,
		    size_t head_len, const uint8_t *body, size_t body_len)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);
	struct timespec now;

	(void)ctx;
	if (!w || !w->pcap || w->pcap_bytes + head_len + body_len > PCAP_BYTES_MAX)
		return;
	w->pcap_bytes += head_len + body_len;
	clock_gettime(CLOCK_REALTIME, &now);
	(void)mf_pcapng_write(
		w->pcap,
		&(struct mf_pcapng_packet){
			.head = mf_span_of(head, head_len),
			.body = mf_span_of(body, body_len),
			.wire_len = (uint32_t)(head_len + body_len),
			.time_ns = (uint64_t)now.tv_sec * MF_NS_PER_S + (uint64_t)now.tv_nsec,
			.link = LINK_ETHERNET,
			.direction = from_guest ? MF_PCAP_INBOUND : MF_PCAP_OUTBOUND,
		});
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static struct segment *find_segment(struct mf_gateway_guests *all, const char *room)
{
	struct segment *s = room ? all->segments : NULL;

	while (s && (!s->room || strcmp(s->room, room) != 0))
		s = s->next;
	return s;
}

static void free_segment(struct segment *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else if (s->all->segments == s)
		s->all->segments = s->next;
	if (s->next)
		s->next->prev = s->prev;
	mf_guest_net_free(s->net);
	free(s->room);
	free(s);
}

static int get_segment(struct mf_gateway_guests *all, const char *room, struct segment **ret)
{
	struct mf_guest_net_options o = { .size = sizeof(o),
					  .no6 = true,
					  .mac = { 2, 0, 0, 0, 0, 1 },
					  .names_at_router = true,
					  .any_mac = true };
	struct mf_guest_net_ops ops = { .packet = on_guest_packet, .now = now_ns };
	struct segment *s = find_segment(all, room);

	if (s) {
		*ret = s;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return MF_E_NOMEM;
	s->all = all;
	if (all->options.pcap_dir)
		ops.observe = observe;
	if ((room && !(s->room = strdup(room))) || mf_guest_net_new(&o, &ops, &s->net, NULL) < 0) {
		free(s->room);
		free(s);
		return MF_E_NOMEM;
	}
	s->next = all->segments;
	if (s->next)
		s->next->prev = s;
	all->segments = s;
	*ret = s;
	return 0;
}

/* ---- wires ------------------------------------------------------------------------------------------------------- */

static int new_source(struct mf_gateway_wire *w, struct mf_frame_source **ret)
{
	const struct mf_gateway_l2_options *l2 = &w->all->options.l2;
	const struct mf_frame_l2_options o = {
		.size = sizeof(o),
		.limits = { .frame = l2->frame_max, .control = l2->control_max },
		.bytes_max = l2->bytes_max,
		.rate_max = l2->rate_max,
		.ping_ns = l2->ping_ms * MF_NS_PER_MS,
		.idle_ns = l2->idle_ms * MF_NS_PER_MS,
	};
	const struct mf_frame_l2_ops ops = {
		.send = on_l2_send, .close = on_l2_close, .now = now_ns, .ctx = w
	};
	struct raw_source *raw;

	if (w->kind == MF_GATEWAY_TUNNEL) {
		w->timer = evtimer_new(w->all->base, on_timer, w);
		return w->timer ? mf_frame_l2_new(&o, &ops, ret, NULL) : MF_E_NOMEM;
	}
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return MF_E_NOMEM;
	raw->source = (struct mf_frame_source){ .ops = &raw_ops, .fd = -1 };
	raw->wire = w;
	*ret = &raw->source;
	return 0;
}

static void open_pcap(struct mf_gateway_wire *w)
{
	struct mf_err err = { 0 };
	struct timespec now;
	char path[4096];

	if (!w->all->options.pcap_dir)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(path, sizeof(path), "%s/%013lld-session-%llu.pcapng", w->all->options.pcap_dir,
		 (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		 (unsigned long long)w->all->opened);
	if (mf_pcapng_open(path, "moonfence gateway", &w->pcap, &err) < 0)
		mf_log_warning(w->all->options.log, "no capture: %s", err.msg);
}

static void leave(struct mf_gateway_wire *w)
{
	struct segment *s = w->segment;
	struct mf_gateway_wire **at = &s->wires;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->next = NULL;
	if (w->guest)
		mf_guest_detach(w->guest);
	w->guest = NULL;
	if (!s->wires)
		free_segment(s);
}

static int plug_in(struct mf_gateway_wire *w)
{
	struct mf_frame_source *source;
	int r = new_source(w, &source);

	if (r == 0)
		r = mf_guest_attach(w->segment->net, source, &w->guest, NULL);
	if (r == 0)
		r = mf_vm_stack_join(w->all->stack, w, &w->peer);
	if (r < 0)
		return r;
	mf_guest_set_data(w->guest, w);
	w->next = w->segment->wires;
	w->segment->wires = w;
	return 0;
}

static int on_open(void *ctx, const struct mf_gateway_wire_facts *facts,
		   const struct mf_gateway_sink *sink, void *sink_ctx, struct mf_gateway_wire **ret)
{
	struct mf_gateway_guests *all = ctx;
	uint32_t number = take_number(all);
	struct mf_gateway_wire *w = number ? calloc(1, sizeof(*w)) : NULL;
	int r;

	if (!w)
		return number ? MF_E_NOMEM : MF_E_FULL;
	*w = (struct mf_gateway_wire){ .all = all,
				       .kind = facts->kind,
				       .sink = sink,
				       .sink_ctx = sink_ctx,
				       .member = facts->member,
				       .number = number };
	r = get_segment(all, facts->room, &w->segment);
	if (r == 0) {
		r = plug_in(w);
		if (r < 0)
			leave(w);
	}
	if (r < 0) {
		if (w->timer)
			event_free(w->timer);
		free(w);
		return r;
	}
	all->wires[number] = w;
	all->opened++;
	mf_gw_member_ref(w->member);
	mf_gw_member_keep_names(w->member);
	open_pcap(w);
	if (w->timer)
		arm(w);
	*ret = w;
	return 0;
}

static void count(struct mf_gateway_frames_stats *sum, const struct mf_gateway_wire *w)
{
	struct mf_guest_stats s;

	mf_guest_get_stats(w->guest, &s);
	sum->frames_in += s.frames.in;
	sum->frames_out += s.frames.out;
	sum->dropped += s.frames.in_bad;
	for (unsigned i = 0; i < MF_GUEST_DROP_NUM; i++)
		sum->dropped += s.dropped[i];
}

static void bury(struct mf_gateway_guests *all, bool everything)
{
	uint64_t now = now_ns(NULL);

	while (all->lingers) {
		struct mf_gateway_wire *w = all->lingers;

		if (!everything && now - w->closed_ns < LINGER_S * MF_NS_PER_S)
			return;
		all->lingers = w->next;
		if (!all->lingers)
			all->lingers_end = &all->lingers;
		mf_gw_member_unref(w->member);
		free(w);
	}
}

static void on_linger(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_guests *all = ctx;

	(void)fd;
	(void)what;
	bury(all, false);
	if (all->lingers)
		evtimer_add(all->linger, &(struct timeval){ .tv_sec = LINGER_S });
}

static void on_close(struct mf_gateway_wire *w)
{
	struct mf_gateway_guests *all = w->all;
	struct mf_addr alias = alias_of(w);

	for (struct mf_gateway_wire **at = &all->ended; *at; at = &(*at)->ended_next)
		if (*at == w) {
			*at = w->ended_next;
			break;
		}
	count(&all->gone, w);
	mf_guest_stack_leave(w->peer); /* its connections are reset */
	leave(w);
	if (w->timer)
		event_free(w->timer);
	if (w->pcap)
		(void)mf_pcapng_close(w->pcap, true, NULL);
	mf_proxy_forget_client(all->proxy, &alias);
	all->wires[w->number] = NULL;
	w->closed_ns = now_ns(NULL);
	w->next = NULL;
	*all->lingers_end = w;
	all->lingers_end = &w->next;
	if (!evtimer_pending(all->linger, NULL))
		evtimer_add(all->linger, &(struct timeval){ .tv_sec = LINGER_S });
}

static void on_let_go(void *ctx)
{
	bury(ctx, true);
}

static void on_get_stats(void *ctx, struct mf_gateway_frames_stats *ret)
{
	const struct mf_gateway_guests *all = ctx;
	struct mf_guest_stack_stats s;

	*ret = all->gone;
	for (uint32_t i = 1; i < all->room; i++)
		if (all->wires[i])
			count(ret, all->wires[i]);
	mf_vm_stack_get_stats(all->stack, &s);
	ret->tcp_open = s.conns;
	ret->tcp = s.accepted;
	ret->udp = s.datagrams_in;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int mf_gateway_guests_new(const struct mf_gateway_guests_options *options,
			  struct mf_gateway_guests **ret, struct mf_err *err)
{
	struct mf_gateway_guests *all = calloc(1, sizeof(*all));
	uint32_t max = options->l2.wires_max ? options->l2.wires_max : 4096;
	struct mf_vm_stack_options o = { .conns_max = CONNS_MAX,
					 .conns_each = options->l2.tcp_max ? options->l2.tcp_max
									   : CONNS_EACH,
					 .half_open = HALF_OPEN,
					 .bytes_each = BYTES_EACH,
					 .own = own,
					 .own_ctx = all };
	int r;

	if (all)
		all->wires = calloc((max < WIRES_MAX ? max : WIRES_MAX) + 1u,
				    sizeof(struct mf_gateway_wire *));
	if (!all || !all->wires) {
		free(all);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	all->room = (max < WIRES_MAX ? max : WIRES_MAX) + 1u;
	all->options = *options;
	all->lingers_end = &all->lingers;
	all->frames = (struct mf_gateway_frames){ .open = on_open,
						  .message = on_message,
						  .close = on_close,
						  .let_go = on_let_go,
						  .get_stats = on_get_stats,
						  .ctx = all };
	r = mf_vm_stack_new(&o, &all->stack, err);
	if (r < 0) {
		mf_gateway_guests_free(all);
		return r;
	}
	*ret = all;
	return 0;
}

const struct mf_gateway_frames *mf_gateway_guests_frames(const struct mf_gateway_guests *all)
{
	return &all->frames;
}

void mf_gateway_guests_get_ops(struct mf_gateway_guests *all, struct mf_session_ops *ret)
{
	mf_vm_stack_get_ops(all->stack, ret);
}

int mf_gateway_guests_begin(struct mf_gateway_guests *all, struct event_base *base,
			    struct mf_proxy *proxy, struct mf_gateway *gateway, struct mf_err *err)
{
	const struct mf_vm_stack_wires wires = { .packet = on_stack_packet,
						 .changed = on_changed,
						 .ctx = all };

	all->base = base;
	all->proxy = proxy;
	all->gateway = gateway;
	all->later = event_new(base, -1, 0, on_later, all);
	all->linger = evtimer_new(base, on_linger, all);
	all->accepts = event_new(base, mf_vm_stack_listener(all->stack), EV_READ | EV_PERSIST,
				 on_accept, all);
	if (!all->later || !all->linger || !all->accepts || event_add(all->accepts, NULL) < 0 ||
	    mf_vm_stack_begin(all->stack, base, proxy, &wires) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return 0;
}

void mf_gateway_guests_end(struct mf_gateway_guests *all)
{
	if (all)
		mf_vm_stack_end(all->stack);
}

void mf_gateway_guests_free(struct mf_gateway_guests *all)
{
	struct event *events[3];

	if (!all)
		return;
	mf_vm_stack_free(all->stack);
	events[0] = all->accepts;
	events[1] = all->later;
	events[2] = all->linger;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(events); i++)
		if (events[i])
			event_free(events[i]);
	free(all->wires);
	free(all);
}
