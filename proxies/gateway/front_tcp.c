/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_tcp.c - /tcp: one WebSocket is one TCP connection; binary messages are its bytes
 *
 *	/tcp?v=1&host=H&port=P		/tcp?v=1&target=H:P
 *
 * The target is judged before the upgrade is answered, so that a refusal has an HTTP status; it is dialled behind it. A half-closed
 * connection is not a thing that this protocol can say: the server's end is a Close.
 */
#include "proxies/gateway/gateway_int.h"

struct tcp_front {
	struct mf_gw_front front; /* first */
	struct mf_gw_flow *flow;
	const char *refusal; /* why the operator's lists have no such target */
	bool full;	     /* the server does not take more: the client is not read */
};

static const struct mf_gw_flow_handler flow_handler;

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

static void on_judged(void *ctx)
{
	struct tcp_front *t = ctx;

	mf_gw_flow_pause(t->flow, true); /* until somebody can be told */
	mf_gw_front_accept(&t->front);
}

static void on_bytes(void *ctx, struct mf_span bytes)
{
	struct tcp_front *t = ctx;

	if (mf_ws_send_in_place(t->front.ws, mf_span_of(NULL, 0), (uint8_t *)(uintptr_t)bytes.ptr,
				bytes.len, true) < 0) {
		mf_gw_front_end(&t->front, 1011, "");
		return;
	}
	if (mf_ws_is_full(t->front.ws))
		mf_gw_flow_pause(t->flow, true);
}

static void on_eof(void *ctx)
{
	struct tcp_front *t = ctx;

	mf_gw_front_end(&t->front, 1000, "");
}

static void on_server_room(void *ctx)
{
	struct tcp_front *t = ctx;

	t->full = false;
	if (t->front.ws)
		mf_ws_pause(t->front.ws, false);
}

static const struct {
	int status;
	const char *text;
	unsigned code;
} ends[MF_GW_WHY_NUM] = {
	[MF_GW_DENIED] = { 403, "Target is not allowed",
			   1008 }, /* or what the operator's lists say */
	[MF_GW_NOT_PUBLIC] = { 403, "Target IP is not allowed by IP egress policy", 1008 },
	[MF_GW_NO_NAME] = { 502, "DNS lookup failed", 1011 },
	[MF_GW_DIAL] = { 502, "Connection failed", 1011 },
	[MF_GW_REFUSED] = { 502, "Connection failed", 1011 },
	[MF_GW_TIMED_OUT] = { 504, "TCP connect timeout", 1011 },
	[MF_GW_IDLE] = { 504, "TCP idle timeout", 1000 },
	[MF_GW_RESET] = { 502, "Connection reset", 1011 },
	[MF_GW_LIMIT] = { 429, "Too many concurrent connections", 1013 },
	[MF_GW_TOO_FAST] = { 429, "Too many new connections", 1013 },
	[MF_GW_MEMORY] = { 503, "Out of memory", 1011 },
};

static void on_failed(void *ctx, enum mf_gw_why why)
{
	struct tcp_front *t = ctx;

	t->flow = NULL;
	if (t->front.x)
		mf_gw_front_refuse(&t->front, ends[why].status,
				   why == MF_GW_DENIED && t->refusal ? t->refusal : ends[why].text);
	else if (t->front.ws)
		mf_gw_front_end(&t->front, ends[why].code, ends[why].text);
	/* else 101 is on its way: open() finds no flow */
}

static const struct mf_gw_flow_handler flow_handler = {
	.judged = on_judged,
	.bytes = on_bytes,
	.eof = on_eof,
	.room = on_server_room,
	.failed = on_failed,
};

/* --- towards the server --------------------------------------------------------------------------------------------------- */

static void on_open(struct mf_gw_front *f)
{
	struct tcp_front *t = (struct tcp_front *)f;

	if (!t->flow)
		mf_gw_front_end(f, 1011, "Connection failed");
	else
		mf_gw_flow_pause(t->flow, false);
}

static void on_message(struct mf_gw_front *f, bool text, struct mf_span bytes)
{
	struct tcp_front *t = (struct tcp_front *)f;
	int64_t waits;

	if (text) {
		mf_gw_front_end(f, 1003, "binary messages are wanted");
		return;
	}
	waits = mf_gw_flow_write(t->flow, bytes);
	if (waits == MF_E_NOMEM) {
		mf_gw_front_end(f, 1011, "");
	} else if (waits > 0) {
		t->full = true;
		mf_ws_pause(f->ws, true);
	}
}

static void on_room(struct mf_gw_front *f)
{
	mf_gw_flow_pause(((struct tcp_front *)f)->flow, false);
}

static void on_done(struct mf_gw_front *f)
{
	struct tcp_front *t = (struct tcp_front *)f;

	mf_gw_flow_close(t->flow, false);
	t->flow = NULL;
}

static const struct mf_gw_front_kind kind = {
	.name = "tcp",
	.streams = true,
	.open = on_open,
	.message = on_message,
	.room = on_room,
	.done = on_done,
};

/* --- requests ------------------------------------------------------------------------------------------------------------- */

/* Return: why it is none */
static const char *read_query(struct mf_span query, struct mf_gw_host *ret_host, uint16_t *ret_port)
{
	char text[1100], digits[8];
	struct mf_span host, port;
	int r = mf_http_find_param(query, "v", text, 17);

	if (r != MF_E_NOENT && r != 0 && (r != 1 || text[0] != '1'))
		return "Unsupported TCP proxy protocol version";
	r = mf_http_find_param(query, "target", text, sizeof(text));
	if (r > 0) {
		r = mf_gw_target_read(mf_span_of(text, (size_t)r), &host, &port);
		if (r == MF_E_BAD)
			return "Invalid target: IPv6 literals must use bracket form, e.g. "
			       "[::1]:443";
		if (r < 0)
			return "Invalid target";
	} else {
		r = mf_http_find_param(query, "host", text, 1025);
		if (r == MF_E_NOENT || r == 0)
			return "Missing required query parameter: host";
		host = mf_span_of(text, r > 0 ? (size_t)r : 0);
		r = mf_http_find_param(query, "port", digits, sizeof(digits));
		if (r == MF_E_NOENT || r == 0)
			return "Missing required query parameter: port";
		port = mf_span_of(digits, r > 0 ? (size_t)r : 0);
	}
	if (mf_gw_port_read(port, ret_port) < 0)
		return "Invalid port";
	return mf_gw_host_read(host, ret_host) < 0 ? "Invalid host" : NULL;
}

/* The client left while its target was being judged. */
static void on_gone(void *ctx, struct mf_http_exchange *x)
{
	struct tcp_front *t = ctx;

	(void)x;
	mf_gw_front_refuse(&t->front, 503, "");
}

static void on_tcp(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct tcp_front *t = mf_gw_front_begin(gw, x, req, &kind, NULL, sizeof(*t));
	struct mf_gw_host host;
	const char *why;
	uint16_t port;

	if (!t)
		return;
	why = read_query(req->query, &host, &port);
	if (!why)
		t->refusal = mf_gw_targets_refuse_tcp(gw->opt.destinations, &host, port);
	if (why) {
		mf_gw_front_refuse(&t->front, 400, why);
	} else if (t->front.member->flows >= gw->opt.member_flows_max) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_MEMBER_FLOWS, 429);
		mf_gw_front_refuse(&t->front, 429, ends[MF_GW_LIMIT].text);
	} else if (mf_gw_flow_open(gw, t->front.member, &req->peer, &host, port, &flow_handler, t,
				   &t->flow) < 0) {
		mf_gw_front_refuse(&t->front, 503, ends[MF_GW_MEMORY].text);
	} else {
		mf_http_exchange_on_gone(x, on_gone, t);
	}
}

int mf_gw_tcp_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/tcp", .fn = on_tcp },
	};

	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
