/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_mux.c - /tcp-mux: many TCP connections in one WebSocket (mux.h)
 *
 * A stream is opened without an answer: its client writes at once, and what it writes waits until the server is reached. Nothing can tell a
 * client to stop one stream, so a stream whose server does not take its bytes has a bound, beyond which it is ended (BUFFER_OVERFLOW);
 * and the whole WebSocket is read no more while any stream has used up half of that.
 *
 * Towards the browser: streams whose servers have said something stand in a queue, and have turns of one piece each while less than the
 * bound waits in the WebSocket. So all of them get the same, and one that has nothing to say costs nothing.
 *
 * A FIN of the client's is kept behind the DATA before it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/mux.h"

enum {
	BUCKETS = 64,
	STREAM_BUFFER_MAX = 1 << 20, /* bytes that wait for one server */
	TURN_MAX = 16,		     /* pieces, then others have their turn */
};

struct mux_front;

struct stream {
	struct mux_front *mux;
	struct stream *hash_next, *prev, *next; /* of all */
	struct stream *queue_prev, *queue_next; /* of those that have something for the browser */
	struct mf_gw_flow *flow;
	uint32_t id;
	bool client_fin, server_fin;
	bool full; /* counted in mux->full_cnt */
	bool queued;
};

struct mux_front {
	struct mf_gw_front front; /* first */
	struct mf_mux_reader reader;
	struct stream *buckets[BUCKETS];
	struct stream all;		   /* a ring */
	struct stream *queue, *queue_last; /* the next to be heard first */
	struct stream *reading;		   /* whose turn it is; NULL: nobody's, or it has ended */
	struct event turn;
	bool *gone; /* of on_turn() */
	uint32_t cnt, full_cnt;
};

static const struct mf_gw_flow_handler flow_handler;

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

/* Return: false: the WebSocket is gone */
static bool send_frame(struct mux_front *m, uint8_t type, uint32_t id, struct mf_span payload)
{
	uint8_t head[MF_MUX_HEAD];

	mf_mux_head_write(type, id, (uint32_t)payload.len, head);
	if (mf_ws_send(m->front.ws, false, mf_span_of(head, sizeof(head)), payload) == 0)
		return true;
	mf_gw_front_end(&m->front, 1011, "");
	return false;
}

static bool send_error(struct mux_front *m, uint32_t id, enum mf_mux_error code, const char *text)
{
	uint8_t frame[MF_MUX_HEAD + 4 + MF_MUX_TEXT_MAX];
	size_t len = mf_mux_error_write(id, code, text, frame);

	if (mf_ws_send(m->front.ws, false, mf_span_of(NULL, 0), mf_span_of(frame, len)) == 0)
		return true;
	mf_gw_front_end(&m->front, 1011, "");
	return false;
}

static struct stream **find(struct mux_front *m, uint32_t id)
{
	struct stream **at = &m->buckets[id % BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->hash_next;
	return at;
}

static void unqueue(struct mux_front *m, struct stream *s);

static void set_full(struct stream *s, bool full)
{
	struct mux_front *m = s->mux;

	if (s->full == full)
		return;
	s->full = full;
	m->full_cnt += full ? 1 : UINT32_MAX;
	if (m->front.ws)
		mf_ws_pause(m->front.ws, m->full_cnt > 0);
}

static void forget(struct stream *s, bool reset)
{
	struct mux_front *m = s->mux;

	set_full(s, false);
	unqueue(m, s);
	if (m->reading == s)
		m->reading = NULL;
	*find(m, s->id) = s->hash_next;
	s->prev->next = s->next;
	s->next->prev = s->prev;
	m->cnt--;
	mf_gw_flow_close(s->flow, reset);
	free(s);
}

static void on_bytes(void *ctx, struct mf_span bytes)
{
	struct stream *s = ctx;
	struct mux_front *m = s->mux;
	uint8_t head[MF_MUX_HEAD];

	mf_mux_head_write(MF_MUX_DATA, s->id, (uint32_t)bytes.len, head);
	if (mf_ws_send_in_place(m->front.ws, mf_span_of(head, sizeof(head)),
				(uint8_t *)(uintptr_t)bytes.ptr, bytes.len, false) < 0)
		mf_gw_front_end(&m->front, 1011, "");
}

/* --- turns ---------------------------------------------------------------------------------------------------------------- */

static void queue_stream(struct mux_front *m, struct stream *s)
{
	s->queued = true;
	s->queue_next = NULL;
	s->queue_prev = m->queue_last;
	if (m->queue_last)
		m->queue_last->queue_next = s;
	else
		m->queue = s;
	m->queue_last = s;
}

static void unqueue(struct mux_front *m, struct stream *s)
{
	if (!s->queued)
		return;
	s->queued = false;
	if (s->queue_prev)
		s->queue_prev->queue_next = s->queue_next;
	else
		m->queue = s->queue_next;
	if (s->queue_next)
		s->queue_next->queue_prev = s->queue_prev;
	else
		m->queue_last = s->queue_prev;
}

static bool has_room(const struct mux_front *m)
{
	return m->front.ws && !mf_ws_is_full(m->front.ws);
}

/* A piece of each in turn, as long as the browser takes it; then others of the loop have theirs. */
static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct mux_front *m = ctx;
	bool gone = false;

	(void)fd;
	(void)what;
	m->gone = &gone;
	for (unsigned i = 0; i < TURN_MAX && m->queue && has_room(m); i++) {
		struct stream *s = m->queue;

		unqueue(m, s);
		/* it may be gone afterwards, and so may all of this */
		m->reading = s;
		if (mf_gw_flow_read(s->flow) && !gone && m->reading == s)
			queue_stream(m, s);
		if (gone)
			return;
	}
	m->reading = NULL;
	m->gone = NULL;
	/* where the browser is slow, on_room() goes on */
	if (m->queue && has_room(m))
		event_add(&m->turn, &(struct timeval){ 0, 0 });
}

static void on_ready(void *ctx)
{
	struct stream *s = ctx;
	struct mux_front *m = s->mux;

	if (!s->queued)
		queue_stream(m, s);
	if (has_room(m))
		event_active(&m->turn, EV_TIMEOUT, 0);
}

static void on_room(struct mf_gw_front *f)
{
	struct mux_front *m = (struct mux_front *)f;

	if (m->queue)
		event_active(&m->turn, EV_TIMEOUT, 0);
}

static void on_eof(void *ctx)
{
	static const uint8_t fin = MF_MUX_FIN;
	struct stream *s = ctx;

	s->server_fin = true;
	if (send_frame(s->mux, MF_MUX_CLOSE, s->id, mf_span_of(&fin, 1)) && s->client_fin)
		forget(s, false);
}

static void on_server_room(void *ctx)
{
	set_full(ctx, false);
}

static void on_failed(void *ctx, enum mf_gw_why why)
{
	static const struct {
		enum mf_mux_error code;
		const char *text;
	} errors[MF_GW_WHY_NUM] = {
		[MF_GW_DENIED] = { MF_MUX_POLICY_DENIED, "Target is not allowed" },
		[MF_GW_NOT_PUBLIC] = { MF_MUX_POLICY_DENIED,
				       "Target IP is not allowed by IP egress policy" },
		[MF_GW_NO_NAME] = { MF_MUX_DIAL_FAILED, "dial failed" },
		[MF_GW_DIAL] = { MF_MUX_DIAL_FAILED, "dial failed" },
		[MF_GW_REFUSED] = { MF_MUX_DIAL_FAILED, "dial failed" },
		[MF_GW_TIMED_OUT] = { MF_MUX_DIAL_FAILED, "TCP connect timeout" },
		[MF_GW_IDLE] = { MF_MUX_DIAL_FAILED, "TCP idle timeout" },
		[MF_GW_LIMIT] = { MF_MUX_STREAM_LIMIT, "session max connections exceeded" },
		[MF_GW_TOO_FAST] = { MF_MUX_STREAM_LIMIT, "too many new connections" },
		[MF_GW_MEMORY] = { MF_MUX_DIAL_FAILED, "dial failed" },
	};
	static const uint8_t rst = MF_MUX_RST;
	struct stream *s = ctx;
	struct mux_front *m = s->mux;
	uint32_t id = s->id;
	bool said = s->client_fin && s->server_fin;

	s->flow = NULL;
	forget(s, true);
	if (said)
		return;
	if (why == MF_GW_RESET)
		(void)send_frame(m, MF_MUX_CLOSE, id, mf_span_of(&rst, 1));
	else
		(void)send_error(m, id, errors[why].code, errors[why].text);
}

static const struct mf_gw_flow_handler flow_handler = {
	.bytes = on_bytes,
	.ready = on_ready,
	.eof = on_eof,
	.room = on_server_room,
	.failed = on_failed,
};

/* --- what the browser says ------------------------------------------------------------------------------------------------ */

/* Each returns false when the WebSocket is gone. */
static bool open_stream(struct mux_front *m, const struct mf_mux_frame *f)
{
	struct mf_gateway *gw = m->front.gw;
	struct mf_mux_open open;
	struct mf_gw_host host;
	struct stream *s;

	if (f->stream == 0)
		return send_error(m, 0, MF_MUX_PROTOCOL_ERROR, "stream_id=0 is reserved");
	if (*find(m, f->stream))
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, "stream_id already exists");
	if (f->too_long || mf_mux_open_read(f->payload, &open) < 0)
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, "Invalid OPEN payload");
	if (open.port == 0)
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, "Invalid target port");
	if (mf_gw_host_read(open.host, &host) < 0)
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, "Invalid target host");
	if (m->cnt >= gw->opt.mux_streams_max)
		return send_error(m, f->stream, MF_MUX_STREAM_LIMIT, "max streams exceeded");
	s = calloc(1, sizeof(*s));
	if (!s || mf_gw_flow_open(gw, m->front.member, &m->front.client, &host, open.port,
				  &flow_handler, s, &s->flow) < 0) {
		free(s);
		return send_error(m, f->stream, MF_MUX_DIAL_FAILED, "dial failed");
	}
	s->mux = m;
	s->id = f->stream;
	*find(m, s->id) = s;
	s->prev = m->all.prev;
	s->next = &m->all;
	s->prev->next = s;
	m->all.prev = s;
	m->cnt++;
	return true;
}

static bool take_data(struct mux_front *m, const struct mf_mux_frame *f)
{
	struct stream *s = *find(m, f->stream);
	int64_t waits;

	if (!s || s->client_fin) {
		if (!f->begins)
			return true;
		return s ? send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR,
				      "stream is half-closed (client FIN)")
			 : send_error(m, f->stream, MF_MUX_UNKNOWN_STREAM, "unknown stream");
	}
	waits = mf_gw_flow_write(s->flow, f->payload);
	if (waits == MF_E_CLOSED) /* its end is being told */
		return true;
	if (waits < 0 || waits > STREAM_BUFFER_MAX) {
		forget(s, true);
		return send_error(m, f->stream, MF_MUX_BUFFER_OVERFLOW,
				  "stream buffered too much data");
	}
	if (waits > STREAM_BUFFER_MAX / 2)
		set_full(s, true);
	return true;
}

static bool close_stream(struct mux_front *m, const struct mf_mux_frame *f)
{
	struct stream *s = *find(m, f->stream);
	int flags = f->too_long ? MF_E_BAD : mf_mux_close_read(f->payload);

	if (!s)
		return true;
	if (flags < 0)
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, "Invalid CLOSE payload");
	if (flags & MF_MUX_RST) {
		forget(s, true);
	} else if (flags & MF_MUX_FIN && !s->client_fin) {
		s->client_fin = true;
		mf_gw_flow_end(s->flow);
		if (s->server_fin)
			forget(s, false);
	}
	return true;
}

static bool take_frame(struct mux_front *m, const struct mf_mux_frame *f)
{
	char text[32];

	switch (f->type) {
	case MF_MUX_OPEN:
		return open_stream(m, f);
	case MF_MUX_DATA:
		return take_data(m, f);
	case MF_MUX_CLOSE:
		return close_stream(m, f);
	case MF_MUX_PING:
		return f->too_long ? send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR,
						"PING payload too large")
				   : send_frame(m, MF_MUX_PONG, f->stream, f->payload);
	case MF_MUX_ERROR:
	case MF_MUX_PONG:
		return true;
	default:
		snprintf(text, sizeof(text), "Unknown msg_type %u", f->type);
		return send_error(m, f->stream, MF_MUX_PROTOCOL_ERROR, text);
	}
}

static void on_message(struct mf_gw_front *f, bool text, struct mf_span bytes)
{
	struct mux_front *m = (struct mux_front *)f;
	struct mf_mux_frame frame;
	int r;

	if (text) {
		mf_gw_front_end(f, 1003, "binary messages are wanted");
		return;
	}
	while ((r = mf_mux_read(&m->reader, &bytes, &frame)) == 1)
		if (!take_frame(m, &frame))
			return;
	if (r < 0)
		mf_gw_front_end(f, r == MF_E_BAD ? 1002 : 1011, "");
}

static void on_open(struct mf_gw_front *f)
{
	(void)f;
}

static void on_done(struct mf_gw_front *f)
{
	struct mux_front *m = (struct mux_front *)f;

	if (m->gone)
		*m->gone = true;
	event_del(&m->turn);
	while (m->all.next != &m->all)
		forget(m->all.next, false);
	mf_mux_reader_done(&m->reader);
}

static const struct mf_gw_front_kind kind = {
	.name = "tcp-mux",
	.streams = true,
	.open = on_open,
	.message = on_message,
	.room = on_room,
	.done = on_done,
};

static void on_mux(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mux_front *m = mf_gw_front_begin(ctx, x, req, &kind, MF_MUX_PROTOCOL, sizeof(*m));

	if (!m)
		return;
	m->all.prev = m->all.next = &m->all;
	event_assign(&m->turn, m->front.gw->base, -1, 0, on_turn, m);
	mf_gw_front_accept(&m->front);
}

int mf_gw_mux_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/tcp-mux", .fn = on_mux },
	};

	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}
