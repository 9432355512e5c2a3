/* SPDX-License-Identifier: Apache-2.0 */
/* vm_echo_linux.c - see vm_echo.h */
#include "cli/vm_echo.h"

#include <event2/event.h>
#include <stdlib.h>

#include "core/packet/build.h"
#include "proxies/proxy.h"

#define PACKET_ROOM (65535u + 64u)
#define QUOTED_MAX \
	1232u /* payload of a request, in an error: IPv6 takes no more (RFC 4443 2.4 (c)) */

struct mf_vm_echo {
	struct mf_vm_echo_wires wires;
	struct mf_proxy *proxy;
	struct event *later;
	uint8_t packet[PACKET_ROOM];
};

static void send_packet(struct mf_vm_echo *e, uint8_t *pkt, size_t len)
{
	e->wires.packet(e->wires.ctx, pkt, len);
	if (e->later)
		event_active(e->later, EV_TIMEOUT, 0);
}

/* ---- to the proxy ------------------------------------------------------------------------------------------------ */

static const uint8_t *router(const struct mf_vm_echo *e, uint8_t family)
{
	return e->wires.router(e->wires.ctx, family);
}

static void tell(struct mf_vm_echo *e, const struct mf_view *v, const struct mf_icmp_error *error)
{
	size_t len;

	if (mf_build_icmp_error(v, error, e->packet, sizeof(e->packet), &len) == 0)
		send_packet(e, e->packet, len);
}

/* RFC 792, RFC 4443 3.3 */
static void tell_exceeded(struct mf_vm_echo *e, const struct mf_view *v)
{
	tell(e, v,
	     &(struct mf_icmp_error){ .type = v->flow.family == 4 ? 11 : 3,
				      .from = router(e, v->flow.family) });
}

/* As the proxies' own refusals: from whom it was sent to. */
static void tell_prohibited(struct mf_vm_echo *e, const struct mf_view *v)
{
	bool six = v->flow.family == 6;

	tell(e, v,
	     &(struct mf_icmp_error){ .type = six ? 1 : 3,
				      .code = six ? MF_ICMPV6_ADMIN_PROHIBITED
						  : MF_ICMP_ADMIN_PROHIBITED });
}

void mf_vm_echo_take(struct mf_vm_echo *e, const struct mf_view *v)
{
	struct mf_span payload = mf_view_payload(v);
	uint8_t hops = v->ptr[v->net_off + (v->flow.family == 4 ? 8u : 7u)];
	struct mf_session_flow flow = { .proto = MF_ICMP,
					.client = mf_flow_src(&v->flow),
					.server = mf_flow_dst(&v->flow) };
	const struct mf_session_echo echo = { .sequence =
						      mf_load_be16(v->ptr + v->transport_off + 6),
					      .hops = (uint8_t)(hops - 1),
					      .payload = payload.ptr,
					      .len = payload.len };

	if (hops <= 1) {
		tell_exceeded(e, v);
		return;
	}
	flow.server.port = 0;
	/* an IPv4 address in an IPv6 packet is nobody's */
	if (!e->proxy || flow.client.addr.family != flow.server.addr.family)
		return;
	if (e->wires.own && e->wires.own(e->wires.ctx, &flow) < 0)
		tell_prohibited(e, v);
	else
		mf_proxy_take_echo(e->proxy, &flow, &echo);
}

/* ---- from the proxy ---------------------------------------------------------------------------------------------- */

static bool packet_flow(const struct mf_session_flow *flow, bool back, struct mf_flow *ret)
{
	uint8_t proto = flow->client.addr.family == 4 ? MF_PROTO_ICMP : MF_PROTO_ICMPV6;
	const struct mf_endpoint *from = back ? &flow->server : &flow->client;

	if (!mf_flow_make(ret, proto, from, back ? &flow->client : &flow->server))
		return false;
	ret->src_port = ret->dst_port = flow->client.port;
	return true;
}

static void on_reply(void *ctx, const struct mf_session_flow *flow,
		     const struct mf_session_echo *reply)
{
	struct mf_vm_echo *e = ctx;
	struct mf_flow f;
	size_t len;

	if (packet_flow(flow, true, &f) &&
	    mf_build_echo(&f, true, reply->sequence, mf_span_of(reply->payload, reply->len),
			  e->packet, sizeof(e->packet), &len) == 0)
		send_packet(e, e->packet, len);
}

/* Unreachable, too big, time exceeded, parameter problem: what a host believes. Source quench is none of them (RFC 6633). */
static bool may_pass(uint8_t family, uint8_t type)
{
	return family == 4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;
}

static void on_error(void *ctx, const struct mf_session_flow *flow,
		     const struct mf_session_echo *request,
		     const struct mf_session_echo_error *error)
{
	struct mf_vm_echo *e = ctx;
	uint8_t family = flow->client.addr.family, asked[QUOTED_MAX + 64];
	struct mf_icmp_error made = { .type = error->type,
				      .code = error->code,
				      .param = error->info,
				      .from = error->from.family == family ? error->from.bytes
									   : router(e, family) };
	size_t n = request->len < QUOTED_MAX ? request->len : QUOTED_MAX, len;
	struct mf_flow f;
	struct mf_view v;

	if (!may_pass(family, error->type) || !packet_flow(flow, false, &f) ||
	    mf_build_echo(&f, false, request->sequence, mf_span_of(request->payload, n), asked,
			  sizeof(asked), &len) < 0 ||
	    mf_view_read_ip(&v, mf_span_of(asked, len), 0, NULL) < 0)
		return;
	if (mf_build_icmp_error(&v, &made, e->packet, sizeof(e->packet), &len) == 0)
		send_packet(e, e->packet, len);
}

void mf_vm_echo_get_ops(struct mf_vm_echo *e, struct mf_session_ops *ops)
{
	ops->echo.reply = on_reply;
	ops->echo.error = on_error;
	ops->echo.ctx = e;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_later(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_vm_echo *e = ctx;

	(void)fd;
	(void)what;
	e->wires.changed(e->wires.ctx);
}

struct mf_vm_echo *mf_vm_echo_new(const struct mf_vm_echo_wires *wires)
{
	struct mf_vm_echo *e = calloc(1, sizeof(*e));

	if (e)
		e->wires = *wires;
	return e;
}

int mf_vm_echo_begin(struct mf_vm_echo *e, struct event_base *base, struct mf_proxy *proxy)
{
	e->proxy = proxy;
	e->later = evtimer_new(base, on_later, e);
	return e->later ? 0 : MF_E_NOMEM;
}

void mf_vm_echo_end(struct mf_vm_echo *e)
{
	if (e)
		e->proxy = NULL;
}

void mf_vm_echo_free(struct mf_vm_echo *e)
{
	if (!e)
		return;
	if (e->later)
		event_free(e->later);
	free(e);
}
