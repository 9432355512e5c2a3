/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_guests_flows_linux.c - between guests and the stack: packets, whose a connection is, the floor; see gateway_guests.h */
#include <string.h>

#include "cli/gateway_guests_int.h"
#include "proxies/sock.h"

enum { ACCEPTS_PER_TURN = 64 };

/* ---- packets ----------------------------------------------------------------------------------------------------- */

void mf_guests_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);

	(void)ctx;
	if (!mf_guests_to_alias(w, pkt, len)) {
		w->all->gone.dropped++;
		return;
	}
	mf_vm_stack_input(w->all->stack, w->peer, pkt, len);
	mf_guests_soon(w->all);
}

static void on_stack_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	struct mf_gateway_guests *all = ctx;
	struct mf_gateway_wire *w = mf_guests_find_for(all, pkt, len);

	if (!w || !w->guest || len > sizeof(all->packet)) {
		all->gone.dropped++;
		return;
	}
	memcpy(all->packet, pkt, len);
	if (mf_guests_from_alias(w, all->packet, len))
		(void)mf_guest_net_packet(w->segment->net, all->packet, len);
	else
		all->gone.dropped++;
}

/* A copy of it is what goes on: what was put together of fragments is not ours to change. */
void mf_guests_echo(void *ctx, struct mf_guest *guest, const struct mf_view *request)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);
	struct mf_gateway_guests *all = w->all;
	size_t len = request->end - request->net_off;
	struct mf_view v;

	(void)ctx;
	if (len > sizeof(all->packet)) {
		all->gone.dropped++;
		return;
	}
	memcpy(all->packet, request->ptr + request->net_off, len);
	if (mf_guests_to_alias(w, all->packet, len) &&
	    mf_view_read_ip(&v, mf_span_of(all->packet, len), MF_VIEW_F_OFFLOAD, NULL) == 0)
		mf_vm_echo_take(all->echo, &v);
	else
		all->gone.dropped++;
}

static void on_echo_packet(void *ctx, uint8_t *pkt, size_t len)
{
	struct mf_gateway_guests *all = ctx;
	struct mf_gateway_wire *w = mf_guests_find_for(all, pkt, len);

	if (w && w->guest && mf_guests_from_alias(w, pkt, len))
		(void)mf_guest_net_packet_whole(w->segment->net, pkt, len);
	else
		all->gone.dropped++;
}

/* The same on all networks. */
static const uint8_t *router(void *ctx, uint8_t family)
{
	static const uint8_t router4[4] = MF_GUESTS_ROUTER4, router6[16] = MF_GUESTS_ROUTER6;

	(void)ctx;
	return family == 4 ? router4 : router6;
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

/* The guests' own networks: what nobody answers there goes nowhere, whatever the floor is open to. */
static bool is_here(const struct mf_addr *a)
{
	static const uint8_t net4[] = { MF_GUESTS_NET4 }, net6[] = { MF_GUESTS_NET6 };

	return a->family == 4 ? memcmp(a->bytes, net4, sizeof(net4)) == 0
			      : memcmp(a->bytes, net6, sizeof(net6)) == 0;
}

/* Questions go to our own resolver, whomever they are sent to. */
int mf_guests_own(void *ctx, struct mf_session_flow *flow)
{
	struct mf_gateway_guests *all = ctx;
	struct mf_gateway_wire *w = mf_guests_find(all, &flow->client.addr);

	if (!w)
		return MF_E_NOENT;
	flow->member = &w->member->pub;
	if (flow->server.port == 53)
		return 0;
	return !is_here(&flow->server.addr) && mf_gateway_may(all->gateway, flow) ? 0 : MF_E_PERM;
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
	    mf_guests_own(all, &flow) < 0) {
		mf_sock_reset(fd);
		return;
	}
	if (flow.server.port == 53) {
		mf_proxy_take_names(all->proxy, fd, &flow);
		return;
	}
	/* the proxy's connection may outlive the wire */
	m = mf_guests_find(all, &flow.client.addr)->member;
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

/* ---- life -------------------------------------------------------------------------------------------------------- */

int mf_guests_make_echo(struct mf_gateway_guests *all)
{
	const struct mf_vm_echo_wires wires = { .packet = on_echo_packet,
						.router = router,
						.own = mf_guests_own,
						.changed = on_changed,
						.ctx = all };

	all->echo = mf_vm_echo_new(&wires);
	return all->echo ? 0 : MF_E_NOMEM;
}

int mf_guests_begin_flows(struct mf_gateway_guests *all)
{
	const struct mf_vm_stack_wires wires = { .packet = on_stack_packet,
						 .changed = on_changed,
						 .ctx = all };

	all->later = event_new(all->base, -1, 0, on_later, all);
	all->accepts = event_new(all->base, mf_vm_stack_listener(all->stack), EV_READ | EV_PERSIST,
				 on_accept, all);
	if (!all->later || !all->accepts || event_add(all->accepts, NULL) < 0)
		return MF_E_NOMEM;
	if (mf_vm_echo_begin(all->echo, all->base, all->proxy) < 0)
		return MF_E_NOMEM;
	return mf_vm_stack_begin(all->stack, all->base, all->proxy, &wires);
}
