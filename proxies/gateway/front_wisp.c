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
 * Towards the browser it is as in front_mux.c: no server is read while more than the bound waits; streams take turns.
 *
 * Ends. There is one CLOSE, from either side, and no half-closed stream. But v86 closes a stream where its guest only says that it has
 * sent all, and waits for the answer. So what a client sent before CLOSE is delivered, and for a short while and some bytes the answer
 * is passed on; then it is told CLOSE. Of a client whose reason is not "voluntary" the answer is thrown away, and it is told nothing. After a CLOSE of
 * ours nothing is said of its stream, ever: v86 does not survive that.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proxies/gateway/front_wisp.h"

enum {
	BUCKETS = 64,
	STREAM_MAX = 512 << 10, /* bytes that wait for one server before its client is not read */
	ANSWER_MAX = 512 << 10, /* bytes of an answer that are passed on behind a client's CLOSE */
	HELLO_MS = 8000,
	ANSWER_MS = 5000,
	PACKET_MAX = 65536 - MF_WISP_HEAD, /* there are clients that take no longer messages */
	BAD_MAX = 16,
	MARKS = 32,
};

enum version { UNKNOWN, V1, V2 }; /* UNKNOWN: its INFO is waited for */

struct wisp_front;

/* Packets that wait for a server, by where they end in what was written to it. Many in one mark when there are too many. */
struct marks {
	struct {
		uint64_t end;
		uint32_t packets;
	} at[MARKS];
	unsigned first, cnt;
};

struct stream {
	struct wisp_front *wisp;
	struct stream *hash_next, *prev, *next; /* of all */
	struct mf_gw_flow *flow;
	struct mf_timeout answer; /* armed: its client has closed it */
	struct marks *marks;	  /* NULL: nothing waits */
	uint64_t written;	  /* bytes, since it was opened */
	size_t waits;		  /* of them, for the server */
	uint32_t id;
	uint32_t queued; /* packets that wait */
	uint32_t sent;	 /* packets that have gone since the last CONTINUE */
	uint32_t answered;
	bool closed, mute; /* by its client; and it wants no answer */
	bool full;	   /* counted in full_cnt */
};

struct wisp_front {
	struct mf_gw_front front; /* first */
	struct mf_wisp_reader reader;
	struct mf_timeout timeout; /* for INFO; then while it is not read */
	struct stream *buckets[BUCKETS];
	struct stream all; /* a ring: the next to be heard first */
	char *protocol;	   /* until it has been told */
	size_t waits;	   /* bytes of all streams */
	uint32_t cnt, full_cnt, bad;
	enum version version;
	bool udp, confirm; /* extensions that both sides have */
	bool choked;	   /* the WebSocket does not take more */
	bool paused;	   /* it is not read */
};

static const struct mf_gw_flow_handler flow_handler;

static struct mf_gateway *gw_of(const struct wisp_front *w)
{
	return w->front.gw;
}

/* --- towards the browser -------------------------------------------------------------------------------------------------- */

/* Return: false: the WebSocket is gone; so with all that return bool here */
static bool send_packet(struct wisp_front *w, uint8_t type, uint32_t id, struct mf_span payload)
{
	uint8_t head[MF_WISP_HEAD];

	mf_wisp_head_write(type, id, head);
	if (mf_ws_send(w->front.ws, false, mf_span_of(head, sizeof(head)), payload) == 0)
		return true;
	mf_gw_front_end(&w->front, 1011, "");
	return false;
}

static bool send_close(struct wisp_front *w, uint32_t id, enum mf_wisp_reason reason)
{
	const uint8_t byte = (uint8_t)reason;

	return send_packet(w, MF_WISP_CLOSE, id, mf_span_of(&byte, 1));
}

static bool send_continue(struct wisp_front *w, uint32_t id, uint32_t packets)
{
	const uint8_t bytes[4] = { (uint8_t)packets, (uint8_t)(packets >> 8),
				   (uint8_t)(packets >> 16), (uint8_t)(packets >> 24) };

	return send_packet(w, MF_WISP_CONTINUE, id, mf_span_of(bytes, sizeof(bytes)));
}

/* --- streams -------------------------------------------------------------------------------------------------------------- */

static struct stream **find(struct wisp_front *w, uint32_t id)
{
	struct stream **at = &w->buckets[id % BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->hash_next;
	return at;
}

/* Read the WebSocket or not, by what waits. */
static void decide_pause(struct wisp_front *w)
{
	bool pause = w->full_cnt > 0 || w->waits > gw_of(w)->opt.wisp_buffer_max;

	if (pause == w->paused || !w->front.ws)
		return;
	w->paused = pause;
	mf_ws_pause(w->front.ws, pause);
	if (pause)
		mf_timeout_arm(&w->timeout, &gw_of(w)->wisp->stall);
	else
		mf_timeout_disarm(&w->timeout);
}

static void set_waits(struct stream *s, size_t waits)
{
	struct wisp_front *w = s->wisp;
	bool full = waits > STREAM_MAX;

	w->waits += waits - s->waits;
	s->waits = waits;
	if (s->full != full) {
		s->full = full;
		w->full_cnt += full ? 1 : UINT32_MAX;
	}
	decide_pause(w);
}

static void forget(struct stream *s, bool reset)
{
	struct wisp_front *w = s->wisp;

	set_waits(s, 0);
	*find(w, s->id) = s->hash_next;
	s->prev->next = s->next;
	s->next->prev = s->prev;
	w->cnt--;
	mf_timeout_disarm(&s->answer);
	mf_gw_flow_close(s->flow, reset);
	free(s->marks);
	free(s);
}

/* The end of a stream that its client may still know: it is told. */
static bool end_stream(struct stream *s, enum mf_wisp_reason reason, bool reset)
{
	struct wisp_front *w = s->wisp;
	uint32_t id = s->id;
	bool mute = s->mute;

	forget(s, reset);
	return mute || send_close(w, id, reason);
}

/* A packet has been written, of which the last byte is the last of all that were. */
static void mark(struct stream *s)
{
	struct marks *m = s->marks;
	unsigned at;

	if (s->waits && !m)
		m = s->marks = calloc(1, sizeof(*m));
	if (!s->waits || !m) {
		s->sent++;
		return;
	}
	s->queued++;
	at = (m->first + m->cnt - 1) % MARKS;
	/* eight packets to a mark: whether one of them has gone is told with the others */
	if (m->cnt == 0 || (m->cnt < MARKS && m->at[at].packets >= 8)) {
		at = (m->first + m->cnt++) % MARKS;
		m->at[at].packets = 0;
	}
	m->at[at].packets++;
	m->at[at].end = s->written;
}

static void unmark(struct stream *s)
{
	struct marks *m = s->marks;
	uint64_t gone = s->written - s->waits;

	while (m && m->cnt && m->at[m->first].end <= gone) {
		s->queued -= m->at[m->first].packets;
		s->sent += m->at[m->first].packets;
		m->first = (m->first + 1) % MARKS;
		m->cnt--;
	}
	if (m && m->cnt == 0) {
		free(m);
		s->marks = NULL;
	}
}

/* CONTINUE, when it is time. A client whose window is used up waits for it: it never says 0. */
static bool grant(struct stream *s)
{
	uint32_t window = gw_of(s->wisp)->opt.wisp_window;

	if (s->closed || s->sent < (window + 1) / 2 || s->queued >= window)
		return true;
	s->sent = 0;
	return send_continue(s->wisp, s->id, window - s->queued);
}

/* --- what servers say ----------------------------------------------------------------------------------------------------- */

static void on_reached(void *ctx)
{
	struct stream *s = ctx;
	struct wisp_front *w = s->wisp;
	uint32_t window = gw_of(w)->opt.wisp_window;

	if (!w->confirm || s->closed)
		return;
	s->sent = 0;
	(void)send_continue(w, s->id, s->queued < window ? window - s->queued : 1);
}

/* Nobody is heard until what waits has gone; whoever spoke is last then. */
static void choke(struct stream *last)
{
	struct wisp_front *w = last->wisp;

	w->choked = true;
	w->all.prev->next = w->all.next;
	w->all.next->prev = w->all.prev;
	w->all.prev = last;
	w->all.next = last->next;
	last->next->prev = &w->all;
	last->next = &w->all;
	for (struct stream *s = w->all.next; s != &w->all; s = s->next)
		mf_gw_flow_pause(s->flow, true);
}

static void on_bytes(void *ctx, struct mf_span bytes)
{
	struct stream *s = ctx;
	struct wisp_front *w = s->wisp;
	size_t len = bytes.len > PACKET_MAX ? bytes.len / 2 : bytes.len;

	if (s->closed) {
		s->answered += (uint32_t)bytes.len;
		if (s->answered > ANSWER_MAX) {
			(void)end_stream(s, MF_WISP_VOLUNTARY, true);
			return;
		}
		if (s->mute)
			return;
	}
	for (size_t at = 0; at < bytes.len; at += len)
		if (!send_packet(w, MF_WISP_DATA, s->id, mf_span_sub(bytes, at, len)))
			return;
	if (!w->choked && mf_ws_waiting(w->front.ws) >= gw_of(w)->opt.buffer_max)
		choke(s);
}

static void on_room(struct mf_gw_front *f)
{
	struct wisp_front *w = (struct wisp_front *)f;

	if (!w->choked)
		return;
	w->choked = false;
	for (struct stream *s = w->all.next; s != &w->all; s = s->next)
		mf_gw_flow_pause(s->flow, false);
}

static void on_eof(void *ctx)
{
	(void)end_stream(ctx, MF_WISP_VOLUNTARY, false);
}

static void on_sent(void *ctx, size_t waits)
{
	struct stream *s = ctx;
	struct wisp_front *w = s->wisp;

	if (s->full || w->waits > gw_of(w)->opt.wisp_buffer_max) /* it is not stuck */
		mf_timeout_arm(&w->timeout, &gw_of(w)->wisp->stall);
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
	};
	struct stream *s = ctx;

	s->flow = NULL;
	(void)end_stream(s, reasons[why], true);
}

static const struct mf_gw_flow_handler flow_handler = {
	.reached = on_reached,
	.bytes = on_bytes,
	.sent = on_sent,
	.eof = on_eof,
	.room = on_server_room,
	.failed = on_failed,
};

/* --- what the browser says ------------------------------------------------------------------------------------------------ */

/* Dropped and counted; who does nothing else is sent away. */
static bool drop_bad(struct wisp_front *w)
{
	gw_of(w)->stats.malformed++;
	if (++w->bad < BAD_MAX)
		return true;
	mf_gw_front_end(&w->front, 1002, "too many malformed packets");
	return false;
}

static bool open_stream(struct wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_gateway *gw = gw_of(w);
	struct stream *s = *find(w, p->stream);
	struct mf_wisp_connect c;
	struct mf_gw_host host;
	bool twice = s && !s->closed;

	if (p->stream == 0) /* nothing may be said of stream 0 from here on */
		return drop_bad(w);
	if (s) /* both sides agree then that it is gone */
		forget(s, true);
	if (twice || p->too_long || mf_wisp_connect_read(p->payload, &c) < 0 || c.port == 0 ||
	    mf_gw_host_read(c.host, &host) < 0)
		return send_close(w, p->stream, MF_WISP_INVALID) && drop_bad(w);
	if (c.type != MF_WISP_TCP)
		return send_close(w, p->stream, MF_WISP_INVALID);
	if (w->cnt >= gw->opt.wisp_streams_max)
		return send_close(w, p->stream, MF_WISP_THROTTLED);
	s = calloc(1, sizeof(*s));
	if (!s || mf_gw_flow_open(gw, w->front.member, &w->front.client, &host, c.port,
				  &flow_handler, s, &s->flow) < 0) {
		free(s);
		return send_close(w, p->stream, MF_WISP_THROTTLED);
	}
	s->wisp = w;
	s->id = p->stream;
	*find(w, s->id) = s;
	s->prev = w->all.prev;
	s->next = &w->all;
	s->prev->next = s;
	w->all.prev = s;
	w->cnt++;
	if (w->choked)
		mf_gw_flow_pause(s->flow, true);
	return true;
}

/* To a stream that is unknown: it was on its way when that ended. */
static bool take_data(struct wisp_front *w, const struct mf_wisp_packet *p)
{
	struct stream *s = *find(w, p->stream);
	int64_t waits;

	if (p->stream == 0)
		return p->begins ? drop_bad(w) : true;
	if (!s || s->closed)
		return true;
	waits = mf_gw_flow_write(s->flow, p->payload);
	if (waits == MF_E_CLOSED) /* its end is being told */
		return true;
	if (waits < 0)
		return end_stream(s, MF_WISP_THROTTLED, true);
	s->written += p->payload.len;
	set_waits(s, (size_t)waits);
	if (!p->ends)
		return true;
	mark(s);
	return grant(s);
}

static bool close_stream(struct wisp_front *w, const struct mf_wisp_packet *p)
{
	struct stream *s = *find(w, p->stream);

	if (p->stream == 0 || p->too_long || p->payload.len == 0)
		return drop_bad(w);
	if (!s || s->closed)
		return true;
	s->closed = true;
	s->mute = p->payload.ptr[0] != MF_WISP_VOLUNTARY;
	mf_gw_flow_end(s->flow);
	mf_timeout_arm(&s->answer, &gw_of(w)->wisp->answer);
	return true;
}

static void on_answer_over(struct mf_timeout *t, void *ctx)
{
	struct stream *s = (struct stream *)((char *)t - offsetof(struct stream, answer));

	(void)ctx;
	(void)end_stream(s, MF_WISP_VOLUNTARY, false);
}

/* --- versions ------------------------------------------------------------------------------------------------------------- */

static bool begin(struct wisp_front *w, enum version version)
{
	w->version = version;
	mf_timeout_disarm(&w->timeout);
	if (version == V1)
		w->udp = true;
	return send_continue(w, 0, gw_of(w)->opt.wisp_window);
}

static void turn_away(struct wisp_front *w, enum mf_wisp_reason reason, const char *text)
{
	if (send_close(w, 0, reason))
		mf_gw_front_end(&w->front, 1008, text);
}

static bool take_info(struct wisp_front *w, const struct mf_wisp_packet *p)
{
	struct mf_wisp_extension ext;
	struct mf_wisp_info info;

	if (p->stream || p->too_long || mf_wisp_info_read(p->payload, &info) < 0 ||
	    info.major < 2) {
		gw_of(w)->stats.malformed++;
		turn_away(w, MF_WISP_INCOMPATIBLE, "INFO is malformed");
		return false;
	}
	while (mf_wisp_next_extension(&info.extensions, &ext) == 1) {
		w->udp |= ext.id == MF_WISP_EXT_UDP;
		w->confirm |= ext.id == MF_WISP_EXT_CONFIRM;
	}
	return begin(w, V2);
}

static void on_hello_over(struct mf_timeout *t, void *ctx)
{
	struct wisp_front *w =
		(struct wisp_front *)((char *)t - offsetof(struct wisp_front, timeout));

	(void)ctx;
	(void)begin(w, V1);
}

static bool take_packet(struct wisp_front *w, const struct mf_wisp_packet *p)
{
	if (w->version == UNKNOWN) {
		if (p->type == MF_WISP_INFO)
			return take_info(w, p);
		if (p->type != MF_WISP_CONNECT)
			return p->type == MF_WISP_DATA && !p->begins ? true : drop_bad(w);
		if (!begin(w, V1))
			return false;
	}
	switch (p->type) {
	case MF_WISP_CONNECT:
		return open_stream(w, p);
	case MF_WISP_DATA:
		return take_data(w, p);
	case MF_WISP_CLOSE:
		return close_stream(w, p);
	default:
		return drop_bad(w);
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void on_piece(struct mf_gw_front *f, bool text, bool begins, bool ends, struct mf_span bytes)
{
	struct wisp_front *w = (struct wisp_front *)f;
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
		(void)drop_bad(w);
}

/* Servers that take nothing stop all the others of this WebSocket: the one that holds most goes. */
static void on_stall(struct mf_timeout *t, void *ctx)
{
	struct wisp_front *w =
		(struct wisp_front *)((char *)t - offsetof(struct wisp_front, timeout));
	struct stream *most = w->all.next;

	(void)ctx;
	for (struct stream *s = most; s != &w->all; s = s->next)
		if (s->waits > most->waits)
			most = s;
	if (!w->paused || most == &w->all)
		return;
	mf_timeout_arm(t, &gw_of(w)->wisp->stall);
	(void)end_stream(most, MF_WISP_DATA_TIMEOUT, true);
}

static void on_open(struct mf_gw_front *f)
{
	struct wisp_front *w = (struct wisp_front *)f;
	const struct mf_strbuf *info = &f->gw->wisp->info;
	bool v2 = w->version == UNKNOWN;

	free(w->protocol);
	w->protocol = NULL;
	if (!v2) {
		(void)begin(w, V1);
		return;
	}
	mf_timeout_arm(&w->timeout, &f->gw->wisp->hello);
	if (mf_ws_send(f->ws, false, mf_span_of(NULL, 0), mf_span_of(info->str, info->len)) < 0)
		mf_gw_front_end(f, 1011, "");
}

static void on_done(struct mf_gw_front *f)
{
	struct wisp_front *w = (struct wisp_front *)f;

	while (w->all.next != &w->all)
		forget(w->all.next, false);
	mf_timeout_disarm(&w->timeout);
	mf_wisp_reader_done(&w->reader);
	free(w->protocol);
}

static const struct mf_gw_front_kind kind = {
	.piece = on_piece,
	.open = on_open,
	.room = on_room,
	.done = on_done,
};

/* --- requests ------------------------------------------------------------------------------------------------------------- */

static int choose_protocol(struct wisp_front *w, const struct mf_http_request *req)
{
	struct mf_span one;
	int r = mf_gw_choose_protocol(req, &one);

	w->version = r == 1 ? UNKNOWN : V1;
	if (r <= 0)
		return r;
	w->protocol = strndup((const char *)one.ptr, one.len);
	w->front.protocol = w->protocol;
	return w->protocol ? 0 : MF_E_NOMEM;
}

void mf_gw_wisp_serve(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req)
{
	struct wisp_front *w = mf_gw_front_begin(gw, x, req, &kind, NULL, sizeof(*w));

	if (!w)
		return;
	w->all.prev = w->all.next = &w->all;
	w->front.message_max = MF_WISP_PACKET_MAX;
	if (choose_protocol(w, req) < 0)
		mf_gw_front_refuse(&w->front, 400, "Invalid Sec-WebSocket-Protocol header");
	else
		mf_gw_front_accept(&w->front);
}

/* --- set-up --------------------------------------------------------------------------------------------------------------- */

static void add_extension(struct mf_strbuf *b, uint8_t id, struct mf_span payload)
{
	const uint8_t head[5] = { id, (uint8_t)payload.len, (uint8_t)(payload.len >> 8),
				  (uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 24) };

	mf_strbuf_add(b, head, sizeof(head));
	mf_strbuf_add(b, payload.ptr, payload.len);
}

int mf_gw_wisp_new(struct mf_gateway *gw)
{
	static const uint8_t version[] = { 2, 0 };
	struct mf_span motd = mf_span_str(gw->opt.wisp_motd ? gw->opt.wisp_motd : "");
	struct mf_gw_wisp *all = calloc(1, sizeof(*all));
	uint8_t head[MF_WISP_HEAD];

	if (!all)
		return MF_E_NOMEM;
	gw->wisp = all;
	mf_timeout_queue_init(&all->hello, gw->timeouts, HELLO_MS, on_hello_over, gw);
	mf_timeout_queue_init(&all->answer, gw->timeouts, ANSWER_MS, on_answer_over, gw);
	mf_timeout_queue_init(&all->stall, gw->timeouts, gw->opt.stall_ms, on_stall, gw);
	all->info = (struct mf_strbuf)MF_STRBUF_INIT(65536);
	mf_wisp_head_write(MF_WISP_INFO, 0, head);
	mf_strbuf_add(&all->info, head, sizeof(head));
	mf_strbuf_add(&all->info, version, sizeof(version));
	add_extension(&all->info, MF_WISP_EXT_UDP, mf_span_of("", 0));
	if (motd.len)
		add_extension(&all->info, MF_WISP_EXT_MOTD, motd);
	add_extension(&all->info, MF_WISP_EXT_CONFIRM, mf_span_of("", 0));
	return all->info.failed ? MF_E_NOMEM : 0;
}

void mf_gw_wisp_free(struct mf_gateway *gw)
{
	if (!gw->wisp)
		return;
	mf_strbuf_done(&gw->wisp->info);
	free(gw->wisp);
	gw->wisp = NULL;
}
