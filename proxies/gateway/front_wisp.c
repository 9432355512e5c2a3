/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_wisp.c - Wisp: many TCP and UDP streams in one WebSocket (wisp.h), versions 1 and 2
 *
 * Version. A client that offers a subprotocol, whichever, may speak version 2: it gets INFO, answers with its own, and gets the first
 * CONTINUE, or a CLOSE of stream 0. One that opens a stream in place of that, or says nothing for a while, speaks version 1, as one that offers no
 * subprotocol, which gets the first CONTINUE at once. Where passwords are asked for, there is version 2 only.
 *
 * Towards the server. A client may send as many packets on a stream as the last CONTINUE said, which is a number of packets and not of bytes, and replaces
 * what was said before. It is told anew at the latest when half the window has gone on. What overruns it is no mistake: it was on its way,
 * or is v86's, which counts all streams in one. So bytes are what bounds it: while STREAM_MAX wait for one server, or all_max for all of them,
 * the WebSocket is not read. If that lasts, the stream whose server takes nothing is ended: one dead server does not stop the others for good.
 *
 * Towards the browser it is as in front_mux.c: streams whose servers have said something have turns of one piece each, while less than the bound
 * waits in the WebSocket.
 *
 * Ends. There is one CLOSE, from either side, and no half-closed stream. But v86 closes a stream where its guest only says that it has
 * sent all, and waits for the answer. So what a client sent before CLOSE is delivered, and for a short while and some bytes the answer
 * is passed on; then it is told CLOSE. Of a client whose reason is not "voluntary" the answer is thrown away, and it is told nothing. After a CLOSE of
 * ours nothing is said of its stream, ever: v86 does not survive that.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/front_wisp_int.h"

enum {
	STREAM_MAX = 512 << 10, /* bytes that wait for one server before its client is not read */
	ANSWER_MAX = 512 << 10, /* bytes of an answer that are passed on behind a client's CLOSE */
	PACKET_MAX = 65536 - MF_WISP_HEAD, /* there are clients that take no longer messages */
	BAD_MAX = 16,
	TURN_MAX = 16, /* pieces, then others have their turn */
};

static const struct mf_gw_flow_handler flow_handler;

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

bool mf_wisp_send(struct mf_wisp_front *w, uint8_t type, uint32_t id, struct mf_span payload)
{
	uint8_t head[MF_WISP_HEAD];

	mf_wisp_head_write(type, id, head);
	if (mf_ws_send(w->front.ws, false, mf_span_of(head, sizeof(head)), payload) == 0)
		return true;
	mf_gw_front_end(&w->front, 1011, "");
	return false;
}

bool mf_wisp_send_close(struct mf_wisp_front *w, uint32_t id, enum mf_wisp_reason reason)
{
	const uint8_t byte = (uint8_t)reason;

	return mf_wisp_send(w, MF_WISP_CLOSE, id, mf_span_of(&byte, 1));
}

bool mf_wisp_send_continue(struct mf_wisp_front *w, uint32_t id, uint32_t packets)
{
	const uint8_t bytes[4] = { (uint8_t)packets, (uint8_t)(packets >> 8),
				   (uint8_t)(packets >> 16), (uint8_t)(packets >> 24) };

	return mf_wisp_send(w, MF_WISP_CONTINUE, id, mf_span_of(bytes, sizeof(bytes)));
}

/* --- streams -------------------------------------------------------------------------------------------------------------- */

struct mf_wisp_stream **mf_wisp_find(struct mf_wisp_front *w, uint32_t id)
{
	struct mf_wisp_stream **at = &w->buckets[id % MF_WISP_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->hash_next;
	return at;
}

/* Read the WebSocket or not, by what waits. */
static void decide_pause(struct mf_wisp_front *w)
{
	bool pause = w->full_cnt > 0 || w->waits > mf_wisp_gw(w)->opt.wisp_buffer_max;

	if (pause == w->paused || !w->front.ws)
		return;
	w->paused = pause;
	mf_ws_pause(w->front.ws, pause);
	if (pause)
		mf_timeout_arm(&w->timeout, &mf_wisp_gw(w)->wisp->stall);
	else
		mf_timeout_disarm(&w->timeout);
}

static void set_waits(struct mf_wisp_stream *s, size_t waits)
{
	struct mf_wisp_front *w = s->wisp;
	bool full = waits > STREAM_MAX;

	w->waits += waits - s->waits;
	s->waits = waits;
	if (s->full != full) {
		s->full = full;
		w->full_cnt += full ? 1 : UINT32_MAX;
	}
	decide_pause(w);
}

static void unqueue(struct mf_wisp_front *w, struct mf_wisp_stream *s);

static void forget(struct mf_wisp_stream *s, bool reset)
{
	struct mf_wisp_front *w = s->wisp;

	set_waits(s, 0);
	unqueue(w, s);
	if (w->reading == s)
		w->reading = NULL;
	*mf_wisp_find(w, s->id) = s->hash_next;
	s->prev->next = s->next;
	s->next->prev = s->prev;
	w->cnt--;
	mf_timeout_disarm(&s->answer);
	if (s->udp)
		mf_wisp_udp_free(s);
	mf_gw_flow_close(s->flow, reset);
	free(s->marks);
	free(s);
}

/* The end of a stream that its client may still know: it is told. */
bool mf_wisp_end_stream(struct mf_wisp_stream *s, enum mf_wisp_reason reason, bool reset)
{
	struct mf_wisp_front *w = s->wisp;
	uint32_t id = s->id;
	bool mute = s->mute;

	forget(s, reset);
	return mute || mf_wisp_send_close(w, id, reason);
}

/* A packet has been written, of which the last byte is the last of all that were. */
static void mark(struct mf_wisp_stream *s)
{
	struct mf_wisp_marks *m = s->marks;
	unsigned at;

	if (s->waits && !m)
		m = s->marks = calloc(1, sizeof(*m));
	if (!s->waits || !m) {
		s->sent++;
		return;
	}
	s->queued++;
	at = (m->first + m->cnt - 1) % MF_WISP_MARKS;
	/* eight packets to a mark: whether one of them has gone is told with the others */
	if (m->cnt == 0 || (m->cnt < MF_WISP_MARKS && m->at[at].packets >= 8)) {
		at = (m->first + m->cnt++) % MF_WISP_MARKS;
		m->at[at].packets = 0;
	}
	m->at[at].packets++;
	m->at[at].end = s->written;
}

static void unmark(struct mf_wisp_stream *s)
{
	struct mf_wisp_marks *m = s->marks;
	uint64_t gone = s->written - s->waits;

	while (m && m->cnt && m->at[m->first].end <= gone) {
		s->queued -= m->at[m->first].packets;
		s->sent += m->at[m->first].packets;
		m->first = (m->first + 1) % MF_WISP_MARKS;
		m->cnt--;
	}
	if (m && m->cnt == 0) {
		free(m);
		s->marks = NULL;
	}
}

/* CONTINUE, when it is time. A client whose window is used up waits for it: it never says 0. */
static bool grant(struct mf_wisp_stream *s)
{
	uint32_t window = mf_wisp_gw(s->wisp)->opt.wisp_window;

	if (s->closed || s->sent < (window + 1) / 2 || s->queued >= window)
		return true;
	s->sent = 0;
	return mf_wisp_send_continue(s->wisp, s->id, window - s->queued);
}

/* --- what servers say ----------------------------------------------------------------------------------------------------- */

static void on_reached(void *ctx)
{
	struct mf_wisp_stream *s = ctx;
	struct mf_wisp_front *w = s->wisp;
	uint32_t window = mf_wisp_gw(w)->opt.wisp_window;

	if (!w->confirm || s->closed)
		return;
	s->sent = 0;
	(void)mf_wisp_send_continue(w, s->id, s->queued < window ? window - s->queued : 1);
}

static void on_bytes(void *ctx, struct mf_span bytes)
{
	struct mf_wisp_stream *s = ctx;
	struct mf_wisp_front *w = s->wisp;
	size_t len = bytes.len > PACKET_MAX ? bytes.len / 2 : bytes.len;

	if (s->closed) {
		s->answered += (uint32_t)bytes.len;
		if (s->answered > ANSWER_MAX) {
			(void)mf_wisp_end_stream(s, MF_WISP_VOLUNTARY, true);
			return;
		}
		if (s->mute)
			return;
	}
	for (size_t at = 0; at < bytes.len; at += len)
		if (!mf_wisp_send(w, MF_WISP_DATA, s->id, mf_span_sub(bytes, at, len)))
			return;
}

/* --- turns ---------------------------------------------------------------------------------------------------------------- */

static void queue_stream(struct mf_wisp_front *w, struct mf_wisp_stream *s)
{
	s->has_turn = true;
	s->turn_next = NULL;
	s->turn_prev = w->turn_last;
	*(w->turn_last ? &w->turn_last->turn_next : &w->turn_first) = s;
	w->turn_last = s;
}

static void unqueue(struct mf_wisp_front *w, struct mf_wisp_stream *s)
{
	if (!s->has_turn)
		return;
	s->has_turn = false;
	*(s->turn_prev ? &s->turn_prev->turn_next : &w->turn_first) = s->turn_next;
	*(s->turn_next ? &s->turn_next->turn_prev : &w->turn_last) = s->turn_prev;
}

static bool has_room(const struct mf_wisp_front *w)
{
	return w->front.ws && !mf_ws_is_full(w->front.ws);
}

/* A piece of each in turn, as long as the browser takes it; then others of the loop have theirs. */
static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_wisp_front *w = ctx;
	bool gone = false;

	(void)fd;
	(void)what;
	w->gone = &gone;
	for (unsigned i = 0; i < TURN_MAX && w->turn_first && has_room(w); i++) {
		struct mf_wisp_stream *s = w->turn_first;
		bool more;

		unqueue(w, s);
		/* it may be gone afterwards, and so may all of this */
		w->reading = s;
		more = mf_gw_flow_read(s->flow);
		if (gone)
			return;
		if (more && w->reading == s && !s->has_turn)
			queue_stream(w, s);
	}
	w->reading = NULL;
	w->gone = NULL;
	/* where the browser is slow, on_room() goes on */
	if (w->turn_first && has_room(w))
		event_add(&w->turn, &(struct timeval){ 0, 0 });
}

static void on_ready(void *ctx)
{
	struct mf_wisp_stream *s = ctx;
	struct mf_wisp_front *w = s->wisp;

	if (!s->has_turn)
		queue_stream(w, s);
	if (has_room(w))
		event_active(&w->turn, EV_TIMEOUT, 0);
}

static void on_room(struct mf_gw_front *f)
{
	struct mf_wisp_front *w = (struct mf_wisp_front *)f;

	if (w->turn_first)
		event_active(&w->turn, EV_TIMEOUT, 0);
}

/* --- ends ----------------------------------------------------------------------------------------------------------------- */

static void on_eof(void *ctx)
{
	(void)mf_wisp_end_stream(ctx, MF_WISP_VOLUNTARY, false);
}

static void on_sent(void *ctx, size_t waits)
{
	struct mf_wisp_stream *s = ctx;
	struct mf_wisp_front *w = s->wisp;

	if (s->full || w->waits > mf_wisp_gw(w)->opt.wisp_buffer_max) /* it is not stuck */
		mf_timeout_arm(&w->timeout, &mf_wisp_gw(w)->wisp->stall);
	set_waits(s, waits);
	unmark(s);
	(void)grant(s);
}

static void on_server_room(void *ctx)
{
	(void)ctx;
}

static void on_failed(void *ctx, enum mf_gw_why why)
{
	static const enum mf_wisp_reason reasons[MF_GW_WHY_NUM] = {
		[MF_GW_DENIED] = MF_WISP_BLOCKED,      [MF_GW_NOT_PUBLIC] = MF_WISP_BLOCKED,
		[MF_GW_NO_NAME] = MF_WISP_UNREACHABLE, [MF_GW_DIAL] = MF_WISP_UNREACHABLE,
		[MF_GW_REFUSED] = MF_WISP_REFUSED,     [MF_GW_TIMED_OUT] = MF_WISP_CONNECT_TIMEOUT,
		[MF_GW_IDLE] = MF_WISP_DATA_TIMEOUT,   [MF_GW_RESET] = MF_WISP_NETWORK_ERROR,
		[MF_GW_LIMIT] = MF_WISP_THROTTLED,     [MF_GW_MEMORY] = MF_WISP_THROTTLED,
		[MF_GW_TOO_FAST] = MF_WISP_THROTTLED,
	};
	struct mf_wisp_stream *s = ctx;

	s->flow = NULL;
	(void)mf_wisp_end_stream(s, reasons[why], true);
}

static const struct mf_gw_flow_handler flow_handler = {
	.reached = on_reached,
	.bytes = on_bytes,
	.ready = on_ready,
	.sent = on_sent,
	.eof = on_eof,
	.room = on_server_room,
	.failed = on_failed,
};

/* --- what the browser says ------------------------------------------------------------------------------------------------ */

bool mf_wisp_drop_bad(struct mf_wisp_front *w)
{
	mf_wisp_gw(w)->stats.malformed++;
	if (++w->bad < BAD_MAX)
		return true;
	mf_gw_front_end(&w->front, 1002, "too many malformed packets");
	return false;
}

static struct mf_wisp_stream *add_stream(struct mf_wisp_front *w, uint32_t id)
{
	struct mf_wisp_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->wisp = w;
	s->id = id;
	*mf_wisp_find(w, id) = s;
	s->prev = w->all.prev;
	s->next = &w->all;
	s->prev->next = s;
	w->all.prev = s;
	w->cnt++;
	return s;
}

/* Of too many streams: one whose client has forgotten it, as far as anybody can tell. Return: NULL: none has */
static struct mf_wisp_stream *find_idle(struct mf_wisp_front *w)
{
	for (struct mf_wisp_stream *s = w->all.next; s != &w->all; s = s->next)
		if (mf_wisp_udp_is_idle(s))
			return s;
	return NULL;
}

static bool open_stream(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_gateway *gw = mf_wisp_gw(w);
	struct mf_wisp_stream *s = *mf_wisp_find(w, p->stream);
	struct mf_wisp_connect c;
	struct mf_gw_host host;
	bool twice = s && !s->closed;

	if (p->stream == 0) /* nothing may be said of stream 0 from here on */
		return mf_wisp_drop_bad(w);
	if (s) /* both sides agree then that it is gone */
		forget(s, true);
	if (twice || p->too_long || mf_wisp_connect_read(p->payload, &c) < 0 || c.port == 0 ||
	    mf_gw_host_read(c.host, &host) < 0)
		return mf_wisp_send_close(w, p->stream, MF_WISP_INVALID) && mf_wisp_drop_bad(w);
	if (c.type != MF_WISP_TCP && !(c.type == MF_WISP_UDP && w->udp))
		return mf_wisp_send_close(w, p->stream, MF_WISP_INVALID);
	if (w->cnt >= gw->opt.wisp_streams_max) {
		s = find_idle(w);
		if (!s)
			return mf_wisp_send_close(w, p->stream, MF_WISP_THROTTLED);
		if (!mf_wisp_end_stream(s, MF_WISP_DATA_TIMEOUT, true))
			return false;
	}
	s = add_stream(w, p->stream);
	if (!s)
		return mf_wisp_send_close(w, p->stream, MF_WISP_THROTTLED);
	if (c.type == MF_WISP_UDP ? mf_wisp_udp_open(s, &host, c.port) < 0
				  : mf_gw_flow_open(gw, w->front.member, &w->front.client, &host,
						    c.port, &flow_handler, s, &s->flow) < 0)
		return mf_wisp_end_stream(s, MF_WISP_THROTTLED, true);
	return true;
}

/* To a stream that is unknown: it was on its way when that ended. */
static bool take_data(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_wisp_stream *s = *mf_wisp_find(w, p->stream);
	int64_t waits;

	if (p->stream == 0)
		return p->begins ? mf_wisp_drop_bad(w) : true;
	if (!s || s->closed)
		return true;
	if (s->udp)
		return mf_wisp_udp_take(s, p);
	waits = mf_gw_flow_write(s->flow, p->payload);
	if (waits == MF_E_CLOSED) /* its end is being told */
		return true;
	if (waits < 0)
		return mf_wisp_end_stream(s, MF_WISP_THROTTLED, true);
	s->written += p->payload.len;
	set_waits(s, (size_t)waits);
	if (!p->ends)
		return true;
	mark(s);
	return grant(s);
}

static bool close_stream(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_wisp_stream *s = *mf_wisp_find(w, p->stream);

	if (p->stream == 0 || p->too_long || p->payload.len == 0)
		return mf_wisp_drop_bad(w);
	if (!s || s->closed)
		return true;
	if (s->udp) {
		forget(s, true);
		return true;
	}
	s->closed = true;
	s->mute = p->payload.ptr[0] != MF_WISP_VOLUNTARY;
	mf_gw_flow_end(s->flow);
	mf_timeout_arm(&s->answer, &mf_wisp_gw(w)->wisp->answer);
	return true;
}

void mf_wisp_on_answer_over(struct mf_timeout *t, void *ctx)
{
	struct mf_wisp_stream *s =
		(struct mf_wisp_stream *)((char *)t - offsetof(struct mf_wisp_stream, answer));

	(void)ctx;
	(void)mf_wisp_end_stream(s, MF_WISP_VOLUNTARY, false);
}

static bool take_packet(struct mf_wisp_front *w, const struct mf_wisp_packet *p)
{
	bool go_on = true;

	if (w->version == MF_WISP_UNKNOWN && (!mf_wisp_hello(w, p, &go_on) || !go_on))
		return go_on;
	switch (p->type) {
	case MF_WISP_CONNECT:
		return open_stream(w, p);
	case MF_WISP_DATA:
		return take_data(w, p);
	case MF_WISP_CLOSE:
		return close_stream(w, p);
	default:
		return mf_wisp_drop_bad(w);
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void on_piece(struct mf_gw_front *f, bool text, bool begins, bool ends, struct mf_span bytes)
{
	struct mf_wisp_front *w = (struct mf_wisp_front *)f;
	struct mf_wisp_packet p;
	int r;

	if (text) {
		f->gw->stats.malformed += begins;
		return;
	}
	r = mf_wisp_read(&w->reader, bytes, begins, ends, &p);
	if (r == 1)
		(void)take_packet(w, &p);
	else if (r < 0)
		(void)mf_wisp_drop_bad(w);
}

/* Servers that take nothing stop all the others of this WebSocket: the one that holds most goes. */
void mf_wisp_on_stall(struct mf_timeout *t, void *ctx)
{
	struct mf_wisp_front *w =
		(struct mf_wisp_front *)((char *)t - offsetof(struct mf_wisp_front, timeout));
	struct mf_wisp_stream *most = w->all.next;

	(void)ctx;
	for (struct mf_wisp_stream *s = most; s != &w->all; s = s->next)
		if (s->waits > most->waits)
			most = s;
	if (!w->paused || most == &w->all)
		return;
	mf_timeout_arm(t, &mf_wisp_gw(w)->wisp->stall);
	(void)mf_wisp_end_stream(most, MF_WISP_DATA_TIMEOUT, true);
}

static void on_open(struct mf_gw_front *f)
{
	struct mf_wisp_front *w = (struct mf_wisp_front *)f;

	free(w->protocol);
	w->protocol = NULL;
	(void)mf_wisp_greet(w);
}

static void on_done(struct mf_gw_front *f)
{
	struct mf_wisp_front *w = (struct mf_wisp_front *)f;

	if (w->gone)
		*w->gone = true;
	event_del(&w->turn);
	while (w->all.next != &w->all)
		forget(w->all.next, false);
	mf_wisp_udp_done(w);
	mf_timeout_disarm(&w->timeout);
	mf_wisp_reader_done(&w->reader);
	free(w->protocol);
	free(w->challenge);
}

static const struct mf_gw_front_kind kind = {
	.name = "wisp",
	.piece = on_piece,
	.open = on_open,
	.room = on_room,
	.done = on_done,
};

/* Where there are passwords: who he is is said in INFO. */
static const struct mf_gw_front_kind kind_late = {
	.name = "wisp",
	.late = true,
	.piece = on_piece,
	.open = on_open,
	.room = on_room,
	.done = on_done,
};

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static int choose_protocol(struct mf_wisp_front *w, const struct mf_http_request *req)
{
	struct mf_span one;
	int r = mf_gw_choose_protocol(req, &one);

	w->version = r == 1 ? MF_WISP_UNKNOWN : MF_WISP_V1;
	if (r <= 0)
		return r;
	w->protocol = strndup((const char *)one.ptr, one.len);
	w->front.protocol = w->protocol;
	return w->protocol ? 0 : MF_E_NOMEM;
}

void mf_gw_wisp_serve(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req)
{
	bool logins = gw->opt.wisp_login_cnt || gw->opt.wisp_key_cnt;
	struct mf_wisp_front *w =
		mf_gw_front_begin(gw, x, req, logins ? &kind_late : &kind, NULL, sizeof(*w));

	if (!w)
		return;
	w->asks = logins && !(gw->opt.auth && w->front.known);
	w->all.prev = w->all.next = &w->all;
	event_assign(&w->turn, gw->base, -1, 0, on_turn, w);
	w->front.message_max = MF_WISP_PACKET_MAX;
	if (choose_protocol(w, req) < 0)
		mf_gw_front_refuse(&w->front, 400, "Invalid Sec-WebSocket-Protocol header");
	else if (w->asks && w->version == MF_WISP_V1) /* which knows no passwords */
		mf_gw_front_refuse(&w->front, 401, "Unauthorized");
	else
		mf_gw_front_accept(&w->front);
}
