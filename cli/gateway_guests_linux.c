/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_guests_linux.c - see gateway_guests.h: networks, wires, and how all of it begins and ends */
#include "cli/gateway_guests.h"

#include <stdlib.h>
#include <string.h>

#include "cli/gateway_guests_int.h"
#include "core/base/clock.h"

enum {
	CONNS_MAX = 16384, /* of all guests */
	CONNS_EACH = 1024,
	HALF_OPEN = 128,
	BYTES_EACH = 8 << 20,
	BYTES_MAX = 256 << 20, /* of all guests */
	TICK_S = 30,
	LINGER_S =
		15, /* questions of DNS that are on their way when a wire ends are over by then */
};

uint64_t mf_guests_now(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static struct mf_gateway_segment *find_segment(struct mf_gateway_guests *all, const char *room)
{
	struct mf_gateway_segment *s = room ? all->segments : NULL;

	while (s && (!s->room || strcmp(s->room, room) != 0))
		s = s->next;
	return s;
}

static void free_segment(struct mf_gateway_segment *s)
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

/* A guest has been heard: it learns of its router at once. */
static void on_guest(void *ctx, struct mf_guest *guest, bool leased)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);

	(void)ctx;
	if (!leased && w)
		mf_guest_net_flush(w->segment->net);
}

/* Advertisements of routers that are due, and fragments that nobody completes. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_guests *all = ctx;
	uint64_t now = mf_guests_now(NULL);

	(void)fd;
	(void)what;
	for (struct mf_gateway_segment *s = all->segments; s; s = s->next) {
		mf_guest_net_flush(s->net);
		for (struct mf_gateway_wire *w = s->wires; w; w = w->next)
			mf_guest_stack_tidy(w->peer, now);
	}
}

static int get_segment(struct mf_gateway_guests *all, const char *room,
		       struct mf_gateway_segment **ret)
{
	struct mf_guest_net_options o = { .size = sizeof(o),
					  .net4 = { MF_GUESTS_NET4 },
					  .net6 = { MF_GUESTS_NET6 },
					  .no6 = !all->options.l2.ipv6,
					  .mac = { 2, 0, 0, 0, 0, 1 },
					  .names_at_router = true,
					  .any_mac = true };
	struct mf_guest_net_ops ops = { .packet = mf_guests_packet,
					.echo = mf_guests_echo,
					.event = on_guest,
					.now = mf_guests_now };
	struct mf_gateway_segment *s = find_segment(all, room);

	if (s) {
		*ret = s;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return MF_E_NOMEM;
	s->all = all;
	if (all->options.pcap_dir)
		ops.observe = mf_guests_observe;
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

static void leave(struct mf_gateway_wire *w)
{
	struct mf_gateway_segment *s = w->segment;
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
	int r = mf_guests_new_source(w, &source);

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
	uint32_t number = mf_guests_take_number(all);
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
	mf_guests_open_capture(w);
	if (w->timer)
		mf_guests_arm(w);
	*ret = w;
	return 0;
}

static void count(struct mf_gateway_frames_stats *sum, uint64_t dropped[MF_GUEST_DROP_NUM],
		  const struct mf_gateway_wire *w)
{
	struct mf_guest_stats s;

	mf_guest_get_stats(w->guest, &s);
	sum->frames_in += s.frames.in;
	sum->frames_out += s.frames.out;
	sum->dropped += s.frames.in_bad;
	for (unsigned i = 0; i < MF_GUEST_DROP_NUM; i++) {
		sum->dropped += s.dropped[i];
		dropped[i] += s.dropped[i];
	}
}

static void bury(struct mf_gateway_guests *all, bool everything)
{
	uint64_t now = mf_guests_now(NULL);

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
	struct mf_addr alias4 = mf_guests_alias(w, 4), alias6 = mf_guests_alias(w, 6);

	for (struct mf_gateway_wire **at = &all->ended; *at; at = &(*at)->ended_next)
		if (*at == w) {
			*at = w->ended_next;
			break;
		}
	count(&all->gone, all->gone_dropped, w);
	mf_guest_stack_leave(w->peer); /* its connections are reset */
	leave(w);
	if (w->timer)
		event_free(w->timer);
	if (w->pcap)
		(void)mf_pcapng_close(w->pcap, true, NULL);
	mf_proxy_forget_client(all->proxy, &alias4);
	if (all->options.l2.ipv6)
		mf_proxy_forget_client(all->proxy, &alias6);
	all->wires[w->number] = NULL;
	w->closed_ns = mf_guests_now(NULL);
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

_Static_assert(MF_GUEST_DROP_NUM + MF_STACK_DROP_NUM <= MF_GATEWAY_DROPS_MAX,
	       "room for each reason");

/* The network and the stack have words in common: what was malformed is, wherever that was seen. */
static void add_drops(struct mf_gateway_frames_stats *to, const char *reason, uint64_t n)
{
	unsigned i = 0;

	while (i < to->drop_cnt && strcmp(to->drops[i].reason, reason) != 0)
		i++;
	if (i == to->drop_cnt)
		to->drops[to->drop_cnt++].reason = reason;
	to->drops[i].n += n;
}

static void on_get_stats(void *ctx, struct mf_gateway_frames_stats *ret)
{
	const struct mf_gateway_guests *all = ctx;
	struct mf_proxy_stats p = { .size = sizeof(p) };
	uint64_t dropped[MF_GUEST_DROP_NUM];
	struct mf_guest_stack_stats s;

	*ret = all->gone;
	memcpy(dropped, all->gone_dropped, sizeof(dropped));
	for (uint32_t i = 1; i < all->room; i++)
		if (all->wires[i])
			count(ret, dropped, all->wires[i]);
	mf_proxy_get_stats(all->proxy, &p);
	ret->udp_open = p.udp_open;
	ret->udp_limit = p.udp_evicted + p.udp_evicted_own;
	mf_vm_stack_get_stats(all->stack, &s);
	ret->tcp_open = s.conns;
	ret->tcp = s.accepted;
	ret->udp = s.datagrams_in;
	for (unsigned i = 0; i < MF_GUEST_DROP_NUM; i++)
		add_drops(ret, mf_guest_drop_name((enum mf_guest_drop)i), dropped[i]);
	for (unsigned i = 0; i < MF_STACK_DROP_NUM; i++) {
		ret->dropped += s.dropped[i];
		add_drops(ret, mf_stack_drop_name((enum mf_stack_drop)i), s.dropped[i]);
	}
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
					 .bytes_max = BYTES_MAX,
					 .own = mf_guests_own,
					 .own_ctx = all };
	int r;

	if (all)
		all->wires = calloc((max < MF_GUESTS_WIRES_MAX ? max : MF_GUESTS_WIRES_MAX) + 1u,
				    sizeof(struct mf_gateway_wire *));
	if (!all || !all->wires) {
		free(all);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	all->room = (max < MF_GUESTS_WIRES_MAX ? max : MF_GUESTS_WIRES_MAX) + 1u;
	all->options = *options;
	all->lingers_end = &all->lingers;
	all->frames = (struct mf_gateway_frames){ .open = on_open,
						  .message = mf_guests_message,
						  .close = on_close,
						  .let_go = on_let_go,
						  .get_stats = on_get_stats,
						  .ctx = all };
	r = mf_guests_make_echo(all);
	if (r < 0)
		(void)mf_err_set(err, r, "out of memory");
	if (r == 0)
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
	mf_vm_echo_get_ops(all->echo, ret);
}

int mf_gateway_guests_begin(struct mf_gateway_guests *all, struct event_base *base,
			    struct mf_proxy *proxy, struct mf_gateway *gateway, struct mf_err *err)
{
	all->base = base;
	all->proxy = proxy;
	all->gateway = gateway;
	all->linger = evtimer_new(base, on_linger, all);
	if (!all->linger || mf_guests_begin_flows(all) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	all->tick = event_new(base, -1, EV_PERSIST, on_tick, all);
	if (!all->tick || event_add(all->tick, &(struct timeval){ .tv_sec = TICK_S }) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return 0;
}

void mf_gateway_guests_end(struct mf_gateway_guests *all)
{
	if (!all)
		return;
	mf_vm_stack_end(all->stack);
	mf_vm_echo_end(all->echo);
}

void mf_gateway_guests_free(struct mf_gateway_guests *all)
{
	struct event *events[4];

	if (!all)
		return;
	mf_vm_stack_free(all->stack);
	mf_vm_echo_free(all->echo);
	events[0] = all->accepts;
	events[1] = all->later;
	events[2] = all->linger;
	events[3] = all->tick;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(events); i++)
		if (events[i])
			event_free(events[i]);
	free(all->wires);
	free(all);
}
