/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_pipe.c - one WebSocket is one TCP connection, whose target is judged behind the upgrade: wsproxy, websockify
 *
 * What the client says before its server is there waits, within one read. A server's end is a Close; a client's Close ends the connection
 * behind what was sent before it. What differs between the two is in struct mf_gw_pipe_style.
 */
#include <stdlib.h>

#include "proxies/gateway/front_wisp.h"

struct pipe_front {
	struct mf_gw_front front; /* first */
	const struct mf_gw_pipe_style *style;
	struct mf_gw_flow *flow;
	struct mf_gw_host host;
	char *protocol;
	uint16_t port;
	bool by_operator;
};

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

static void on_bytes(void *ctx, struct mf_span bytes)
{
	struct pipe_front *p = ctx;

	if (mf_ws_send_in_place(p->front.ws, mf_span_of(NULL, 0), (uint8_t *)(uintptr_t)bytes.ptr,
				bytes.len, true) < 0)
		mf_gw_front_end(&p->front, 1011, "");
	else if (mf_ws_is_full(p->front.ws))
		mf_gw_flow_pause(p->flow, true);
}

static void on_eof(void *ctx)
{
	struct pipe_front *p = ctx;

	mf_gw_front_end(&p->front, p->style->end_code, p->style->end_reason);
}

static void on_server_room(void *ctx)
{
	struct pipe_front *p = ctx;

	if (p->front.ws)
		mf_ws_pause(p->front.ws, false);
}

static void on_failed(void *ctx, enum mf_gw_why why)
{
	static const char *const texts[MF_GW_WHY_NUM] = {
		[MF_GW_DENIED] = "host is blocked",
		[MF_GW_NOT_PUBLIC] = "host is blocked",
		[MF_GW_NO_NAME] = "host is not found",
		[MF_GW_DIAL] = "connection failed",
		[MF_GW_REFUSED] = "connection refused",
		[MF_GW_TIMED_OUT] = "connection timed out",
		[MF_GW_IDLE] = "idle",
		[MF_GW_RESET] = "connection reset",
		[MF_GW_LIMIT] = "too many connections",
		[MF_GW_TOO_FAST] = "too many new connections",
		[MF_GW_MEMORY] = "out of memory",
	};
	struct pipe_front *p = ctx;
	const char *reason = p->style->failed_reason;

	p->flow = NULL;
	if (!reason || why == MF_GW_RESET || why == MF_GW_IDLE)
		reason = texts[why];
	mf_gw_front_end(&p->front, 1011, reason);
}

static const struct mf_gw_flow_handler flow_handler = {
	.bytes = on_bytes,
	.eof = on_eof,
	.room = on_server_room,
	.failed = on_failed,
};

/* --- towards the server --------------------------------------------------------------------------------------------------- */

static void on_open(struct mf_gw_front *f)
{
	struct pipe_front *p = (struct pipe_front *)f;

	free(p->protocol);
	p->protocol = NULL;
	if (mf_gw_flow_open(f->gw, f->member, &f->client, &p->host, p->port, &flow_handler, p,
			    &p->flow) < 0)
		mf_gw_front_end(f, 1011, "out of memory");
	else if (p->by_operator)
		mf_gw_flow_lift_floor(p->flow);
}

static void on_piece(struct mf_gw_front *f, bool text, bool begins, bool ends, struct mf_span bytes)
{
	struct pipe_front *p = (struct pipe_front *)f;
	int64_t waits;

	(void)begins;
	(void)ends;
	if (text && !p->style->text) {
		mf_gw_front_end(f, 1003, "Unsupported: Text frames are not supported");
		return;
	}
	waits = mf_gw_flow_write(p->flow, bytes);
	if (waits == MF_E_NOMEM)
		mf_gw_front_end(f, 1011, "out of memory");
	else if (waits > 0)
		mf_ws_pause(f->ws, true);
}

static void on_room(struct mf_gw_front *f)
{
	mf_gw_flow_pause(((struct pipe_front *)f)->flow, false);
}

static void on_done(struct mf_gw_front *f)
{
	struct pipe_front *p = (struct pipe_front *)f;

	mf_gw_flow_close(p->flow, false);
	p->flow = NULL;
	free(p->protocol);
}

static const struct mf_gw_front_kind kind = {
	.name = "pipe",
	.piece = on_piece,
	.open = on_open,
	.room = on_room,
	.done = on_done,
};

/* --- requests ------------------------------------------------------------------------------------------------------------- */

/* Return: whether it is one of those that @style knows, or none is offered */
static bool choose_protocol(struct pipe_front *p, const struct mf_http_request *req)
{
	struct mf_span list = mf_http_find_field(req, "sec-websocket-protocol"), one, chosen;
	bool base64 = false, binary = false, others = false;
	int r = mf_gw_choose_protocol(req, &chosen);

	if (r < 0)
		return false;
	if (p->style->binary_only) {
		while (mf_gw_next_protocol(&list, &one) == 1) {
			binary |= mf_span_eq(one, mf_span_str("binary"));
			base64 |= mf_span_eq(one, mf_span_str("base64"));
			others |= !mf_span_eq(one, mf_span_str("base64"));
		}
		if (binary)
			chosen = mf_span_str("binary");
		else if (base64 && !others)
			return false;
		else if (r == 1)
			return true; /* none of ours: it is not told one */
	}
	if (r == 0)
		return true;
	p->protocol = strndup((const char *)chosen.ptr, chosen.len);
	p->front.protocol = p->protocol;
	return true;
}

void mf_gw_pipe_serve(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req, const struct mf_gw_pipe_style *style,
		      const struct mf_gw_host *host, uint16_t port, bool by_operator)
{
	struct pipe_front *p = mf_gw_front_begin(gw, x, req, &kind, NULL, sizeof(*p));

	if (!p)
		return;
	p->style = style;
	p->host = *host;
	p->port = port;
	p->by_operator = by_operator;
	if (!choose_protocol(p, req))
		mf_gw_front_refuse(&p->front, 400, "Invalid protocol selected");
	else
		mf_gw_front_accept(&p->front);
}
