/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_l2.c - Ethernet frames over WebSockets, for whoever has a network for them (frames.h)
 *
 *	/l2, /eth		"aero-l2-tunnel-v1": messages of Aero's L2 tunnel
 *	/raw?room=NAME		a binary message is a frame: v86, TinyEMU, websockproxy's clients
 *
 * Upgrades of tunnels are refused in the order and the words that their clients know: the subprotocol comes before who asks. Text is never
 * sent: the clients of /raw take it for a frame.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/observe/metrics.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/origin.h"

enum {
	FLAT = 4096,
	RAW_MESSAGE_MAX =
		65536, /* longer than any frame: what is longer still ends the WebSocket */
	ROOM_MAX = 64,
	TUNNEL_HEAD = 4,
	TUNNEL_FRAME = 0, /* type of a message, its third byte */
};

struct l2_front {
	struct mf_gw_front front; /* first */
	enum mf_gateway_wire_kind kind;
	struct mf_gateway_wire *wire;
	char room[MF_TOKEN_SID_MAX + ROOM_MAX + 2]; /* "": alone */
};

static struct mf_gateway_l2_stats *stats_of(const struct l2_front *l)
{
	return &l->front.gw->stats.l2;
}

/* --- the network's side --------------------------------------------------------------------------------------------------- */

static int send_parts(struct mf_ws *ws, const struct mf_span *parts, unsigned cnt, size_t len)
{
	uint8_t flat[FLAT], *buf = len <= sizeof(flat) ? flat : malloc(len);
	size_t at = 0;
	int r;

	if (!buf)
		return MF_E_NOMEM;
	for (unsigned i = 0; i < cnt; i++) {
		if (parts[i].len)
			memcpy(buf + at, parts[i].ptr, parts[i].len);
		at += parts[i].len;
	}
	r = mf_ws_send(ws, false, mf_span_of(NULL, 0), mf_span_of(buf, len));
	if (buf != flat)
		free(buf);
	return r;
}

static int on_send(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct l2_front *l = ctx;
	size_t len = 0;
	int r;

	for (unsigned i = 0; i < cnt; i++)
		len += parts[i].len;
	if (!l->front.ws)
		return MF_E_CLOSED;
	/* too fast: a frame is lost as on any slow wire; what keeps a tunnel alive passes */
	if (mf_ws_is_held(l->front.ws) &&
	    (l->kind == MF_GATEWAY_RAW || (parts[0].len > 2 && parts[0].ptr[2] == TUNNEL_FRAME))) {
		stats_of(l)->messages_lost++;
		return 0;
	}
	if (mf_ws_waiting(l->front.ws) + len > l->front.gw->opt.l2.queue_max) {
		stats_of(l)->messages_lost++;
		return MF_E_AGAIN;
	}
	r = send_parts(l->front.ws, parts, cnt, len);
	if (r == 0) {
		stats_of(l)->messages_out++;
		stats_of(l)->bytes_out += len;
	}
	return r;
}

static void on_wire_ended(void *ctx, unsigned status, const char *reason)
{
	struct l2_front *l = ctx;
	struct mf_gateway_l2_stats *s = stats_of(l);

	if (strcmp(reason, "byte quota exceeded") == 0)
		s->ended_bytes++;
	else if (strcmp(reason, "frame rate quota exceeded") == 0)
		s->ended_rate++;
	else if (strcmp(reason, "outbound websocket backpressure") == 0)
		s->ended_full++;
	else if (strcmp(reason, "idle timeout") == 0)
		s->ended_idle++;
	else
		s->ended_garbage++;
	mf_gw_front_end(&l->front, status, reason);
}

static const struct mf_gateway_sink sink = { .send = on_send, .ended = on_wire_ended };

/* --- the browser's side --------------------------------------------------------------------------------------------------- */

static void on_open(struct mf_gw_front *f)
{
	struct l2_front *l = (struct l2_front *)f;
	const struct mf_gateway_frames *frames = f->gw->opt.frames;
	const struct mf_gateway_wire_facts facts = { .kind = l->kind,
						     .member = f->member,
						     .client = f->client,
						     .room = l->room[0] ? l->room : NULL };
	int r = frames->open(frames->ctx, &facts, &sink, l, &l->wire);

	if (r < 0) {
		mf_gw_front_end(f, 1013, r == MF_E_FULL ? "this network is full" : "out of memory");
		return;
	}
	stats_of(l)->wires++;
}

static void on_message(struct mf_gw_front *f, bool text, struct mf_span bytes)
{
	struct l2_front *l = (struct l2_front *)f;

	stats_of(l)->messages_in++;
	stats_of(l)->bytes_in += bytes.len;
	f->gw->opt.frames->message(l->wire, text, bytes);
}

static void on_done(struct mf_gw_front *f)
{
	struct l2_front *l = (struct l2_front *)f;

	stats_of(l)->wires_open--;
	f->member->wires--;
	if (l->wire)
		f->gw->opt.frames->close(l->wire);
	l->wire = NULL;
}

static const struct mf_gw_front_kind kind = {
	.name = "ethernet",
	.open = on_open,
	.message = on_message,
	.done = on_done,
};

/* --- who may come in ------------------------------------------------------------------------------------------------------ */

static bool refuse(struct mf_gateway *gw, struct mf_http_exchange *x,
		   const struct mf_http_request *req, enum mf_gateway_refusal why, int status,
		   const char *text)
{
	gw->stats.l2.refused++;
	mf_gw_refused(gw, req, why, status);
	mf_gw_refuse(gw, x, status, text);
	return false;
}

static const char *unknown_text(const struct mf_gateway *gw)
{
	switch (gw->opt.auth) {
	case MF_GW_BY_SESSION:
		return "missing or expired session";
	case MF_GW_BY_JWT:
		return "invalid jwt";
	case MF_GW_BY_KEY:
		return "invalid token";
	default:
		return "missing or invalid auth";
	}
}

static bool check_origin(struct mf_gateway *gw, struct mf_http_exchange *x,
			 const struct mf_http_request *req, const struct mf_gw_who *who)
{
	struct mf_span text = mf_http_find_field(req, "origin");
	char origin[MF_ORIGIN_ROOM], line[256];
	bool good;

	if (who->origin_ok && (text.len || !gw->opt.l2.origin_required))
		return true;
	gw->stats.l2.refused_origin++;
	if (!text.len)
		return refuse(gw, x, req, MF_GW_REFUSED_ORIGIN, 403, "missing Origin header");
	good = mf_origin_normalize(text, origin) >= 0;
	snprintf(line, sizeof(line), "%s Origin %s%.*s", good ? "" : "invalid",
		 good ? "not allowed: " : "header: ", (int)(text.len < 128 ? text.len : 128),
		 (const char *)text.ptr);
	return refuse(gw, x, req, MF_GW_REFUSED_ORIGIN, 403, line + (good ? 1 : 0));
}

/* Of the tunnels that are open, or about to be. */
static uint32_t count_address(const struct mf_gateway *gw, const struct mf_addr *addr)
{
	uint32_t cnt = 0;

	for (const struct mf_gw_front *f = gw->fronts; f; f = f->next)
		cnt += f->kind == &kind && mf_addr_eq(&f->client.addr, addr);
	return cnt;
}

static bool check_limits(struct mf_gateway *gw, struct mf_http_exchange *x,
			 const struct mf_http_request *req, struct mf_gw_member *member,
			 struct mf_gw_address **ret_address)
{
	const struct mf_gateway_l2_options *o = &gw->opt.l2;
	struct mf_gateway_l2_stats *s = &gw->stats.l2;
	enum mf_gateway_refusal why = MF_GW_REFUSED_NUM;

	if (o->address_max && count_address(gw, &req->peer.addr) >= o->address_max)
		why = MF_GW_REFUSED_ADDRESS_SOCKETS;
	else if (s->wires_open >= o->wires_max)
		why = MF_GW_REFUSED_SOCKETS;
	else if (member && o->member_max && member->wires >= o->member_max)
		why = MF_GW_REFUSED_MEMBER_SOCKETS;
	else
		why = mf_gw_count_in(gw, &req->peer.addr, member, ret_address);
	switch (why) {
	case MF_GW_REFUSED_NUM:
		return true;
	case MF_GW_REFUSED_MEMBER_BYTES:
	case MF_GW_REFUSED_ADDRESS_BYTES:
	case MF_GW_REFUSED_ALL_BYTES:
		return refuse(gw, x, req, why, 429, "byte quota exceeded");
	case MF_GW_REFUSED_ADDRESS_SOCKETS:
		s->refused_address++;
		return refuse(gw, x, req, why, 429, "max connections per ip exceeded");
	case MF_GW_REFUSED_MEMBER_SOCKETS:
		s->refused_member++;
		return refuse(gw, x, req, why, 429,
			      "quota_connections: max connections per session exceeded");
	default:
		s->refused_all++;
		return refuse(gw, x, req, why, 429, "max connections exceeded");
	}
}

static struct l2_front *begin(struct mf_gateway *gw, struct mf_http_exchange *x,
			      const struct mf_http_request *req, const char *protocol)
{
	struct mf_gw_address *address;
	struct mf_gw_member *member;
	struct mf_gw_who who;
	struct l2_front *l;
	char accept[29], text[96];
	const char *why = mf_gw_check_handshake(req, accept);

	if (why) {
		refuse(gw, x, req, MF_GW_REFUSED_HANDSHAKE, 400, why);
		return NULL;
	}
	if (gw->stopping) {
		refuse(gw, x, req, MF_GW_REFUSED_STOPPING, 503, "shutting down");
		return NULL;
	}
	if (protocol && mf_gw_offers(req, protocol) != 1) {
		snprintf(text, sizeof(text), "missing required websocket subprotocol \"%s\"",
			 protocol);
		refuse(gw, x, req, MF_GW_REFUSED_HANDSHAKE, 400, text);
		return NULL;
	}
	mf_gw_who_read(gw, req, &who);
	if (!who.known) {
		gw->stats.l2.refused_auth++;
		refuse(gw, x, req, MF_GW_REFUSED_CREDENTIALS, 401, unknown_text(gw));
		return NULL;
	}
	if (mf_gw_is_blocked(gw, &req->peer.addr)) {
		refuse(gw, x, req, MF_GW_REFUSED_CLIENT, 403, "Client IP blocked");
		return NULL;
	}
	if (protocol ? !check_origin(gw, x, req, &who) : !who.origin_ok) {
		if (!protocol)
			refuse(gw, x, req, MF_GW_REFUSED_ORIGIN, 403, "Origin not allowed");
		return NULL;
	}
	if (!who.host_ok) {
		refuse(gw, x, req, MF_GW_REFUSED_HOST, 403, "Host not allowed");
		return NULL;
	}
	member = mf_gw_who_member(gw, req, &who);
	if (!check_limits(gw, x, req, member, &address)) {
		mf_gw_member_unref(member);
		return NULL;
	}
	l = mf_gw_front_new(gw, x, req, &kind, member, address, accept, sizeof(*l));
	if (!l)
		return NULL;
	l->front.known = true;
	l->front.expires = who.until_ms != 0;
	member->wires++;
	gw->stats.l2.wires_open++;
	return l;
}

static void on_tunnel(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	const struct mf_gateway_l2_options *o = &gw->opt.l2;
	struct l2_front *l = begin(gw, x, req, MF_GATEWAY_L2_PROTOCOL);

	if (!l)
		return;
	l->kind = MF_GATEWAY_TUNNEL;
	l->front.protocol = MF_GATEWAY_L2_PROTOCOL;
	l->front.message_max =
		TUNNEL_HEAD + (o->frame_max > o->control_max ? o->frame_max : o->control_max);
	mf_gw_front_accept(&l->front);
}

/* Browsers want one of those that they offered, if any; a credential is none. */
static void choose_protocol(struct mf_gw_front *f, const struct mf_http_request *req)
{
	static const char credential[] = "aero-l2-token.";
	struct mf_span list = mf_http_find_field(req, "sec-websocket-protocol"), one;

	while (mf_gw_next_protocol(&list, &one) == 1) {
		if (one.len >= sizeof(f->protocol_buf) ||
		    (one.len >= sizeof(credential) - 1 &&
		     memcmp(one.ptr, credential, sizeof(credential) - 1) == 0))
			continue;
		memcpy(f->protocol_buf, one.ptr, one.len);
		f->protocol_buf[one.len] = '\0';
		f->protocol = f->protocol_buf;
		return;
	}
}

/* Return: false: the name is none, and it was refused */
static bool choose_room(struct l2_front *l, const struct mf_http_request *req)
{
	enum mf_gateway_rooms rooms = l->front.gw->opt.l2.rooms;
	char name[ROOM_MAX + 1];
	int len = mf_http_find_param(req->query, "room", name, sizeof(name));

	if (len == MF_E_NOENT || len == 0 || rooms == MF_GATEWAY_ROOMS_NONE)
		return true;
	for (int i = 0; i < len; i++)
		if ((uint8_t)name[i] <= ' ' || (uint8_t)name[i] == 127)
			len = MF_E_BAD;
	if (len < 0) {
		l->front.gw->stats.l2.refused++;
		mf_gw_front_refuse(&l->front, 400, "Invalid room");
		return false;
	}
	/* no name has a space: one session's rooms are not another's */
	snprintf(l->room, sizeof(l->room), "%s %s",
		 rooms == MF_GATEWAY_ROOMS_SESSION ? l->front.member->id : "", name);
	return true;
}

static void on_raw(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct l2_front *l = begin(ctx, x, req, NULL);

	if (!l)
		return;
	l->kind = MF_GATEWAY_RAW;
	l->front.message_max = RAW_MESSAGE_MAX;
	choose_protocol(&l->front, req);
	if (choose_room(l, req))
		mf_gw_front_accept(&l->front);
}

/* --- what it tells -------------------------------------------------------------------------------------------------------- */

/* By the names that Aero's own server has for them. */
void mf_gw_l2_gather(struct mf_gateway *gw, struct mf_metrics *m)
{
	const struct mf_gateway_l2_stats *s = &gw->stats.l2;
	struct mf_gateway_frames_stats f = { 0 };

	if (!gw->opt.frames)
		return;
	if (mf_gw_is_home(gw) && gw->opt.frames->get_stats)
		gw->opt.frames->get_stats(gw->opt.frames->ctx, &f);
	const struct {
		const char *name, *help;
		uint64_t n;
	} counters[] = {
		{ "l2_sessions_total", "Channels of Ethernet frames", s->wires },
		{ "l2_upgrade_rejected_total", "Upgrades to those that were refused", s->refused },
		{ "l2_auth_failures_total", "... for nobody said who asks", s->refused_auth },
		{ "l2_upgrade_reject_origin_not_allowed_total", "... for the page that asks",
		  s->refused_origin },
		{ "l2_upgrade_ip_limit_exceeded_total", "... for the client's address",
		  s->refused_address },
		{ "l2_upgrade_reject_max_connections_total", "... for there are too many",
		  s->refused_all },
		{ "l2_upgrade_reject_max_connections_per_session_total",
		  "... for the session has too many", s->refused_member },
		{ "l2_frames_rx_total", "Messages from clients", s->messages_in },
		{ "l2_frames_tx_total", "Messages to clients", s->messages_out },
		{ "l2_bytes_rx_total", "Bytes of messages from clients", s->bytes_in },
		{ "l2_bytes_tx_total", "Bytes of messages to clients", s->bytes_out },
		{ "l2_frames_dropped_total", "Frames that went nowhere", f.dropped },
		{ "l2_sessions_closed_quota_bytes_total", "Tunnels ended by their byte quota",
		  s->ended_bytes },
		{ "l2_sessions_closed_quota_fps_total", "Tunnels ended by their frame rate quota",
		  s->ended_rate },
		{ "l2_sessions_closed_backpressure_total", "Tunnels whose clients did not read",
		  s->ended_full },
		{ "aero_l2_idle_timeouts_total", "Tunnels whose clients said nothing",
		  s->ended_idle },
		{ "l2_sessions_closed_protocol_error_total", "Tunnels whose clients were not understood",
		  s->ended_garbage },
		{ "l2_tcp_conns_total", "TCP connections of guests", f.tcp },
		{ "l2_udp_datagrams_total", "Datagrams of guests", f.udp },
		{ "l2_udp_flow_limit_exceeded_total", "UDP flows of guests that ended for others", f.udp_limit },
	}, gauges[] = {
		{ "l2_sessions_active", "Channels of Ethernet frames that are open",
		  s->wires_open },
		{ "l2_tcp_conns_active", "TCP connections of guests that are open", f.tcp_open },
		{ "l2_udp_flows_active", "UDP flows of guests that are open", f.udp_open },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(counters); i++)
		mf_counter_add(mf_metrics_counter(m, counters[i].name, counters[i].help, NULL, 0),
			       counters[i].n);
	for (size_t i = 0; i < MF_ARRAY_SIZE(gauges); i++)
		mf_gauge_add(mf_metrics_gauge(m, gauges[i].name, gauges[i].help, NULL, 0),
			     (int64_t)gauges[i].n);
	for (unsigned i = 0; i < f.drop_cnt; i++)
		mf_counter_add(mf_metrics_counter(
				       m, "moonfence_gateway_guest_drops_total",
				       "Frames and packets of guests that went nowhere, by why",
				       (struct mf_label[]){ { "reason", f.drops[i].reason } }, 1),
			       f.drops[i].n);
}

int mf_gw_l2_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route tunnels[] = {
		{ .method = "GET", .path = "/l2", .fn = on_tunnel },
		{ .method = "GET", .path = "/l2/", .fn = on_tunnel },
		{ .method = "GET", .path = "/eth", .fn = on_tunnel },
		{ .method = "GET", .path = "/eth/", .fn = on_tunnel },
	};
	int r;

	if (!gw->opt.frames)
		return 0;
	gw->raw_route.method = "GET";
	gw->raw_route.path = gw->opt.l2.raw_path ? gw->opt.l2.raw_path : "/raw";
	gw->raw_route.fn = on_raw;
	r = mf_http_service_add(http, tunnels, MF_ARRAY_SIZE(tunnels), gw);
	return r < 0 ? r : mf_http_service_add(http, &gw->raw_route, 1, gw);
}
