/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_watch_h2.c - HTTP/2: whom each stream is for, and what is inside the streams that are tunnels (RFC 9113 §8.5)
 *
 * How it works
 *
 * Frames pass one by one; HEADERS and what continues them wait until their block is whole and told of. Behind a CONNECT
 * that was not refused, the payloads of its stream's DATA frames are the client's bytes as if they came alone: a watch
 * of its own reads a copy of them. What that one would hold, the frames hold, and all that follows them, since frames
 * keep their order; but those that follow are read on (@ahead), because the rest of what is waited for is behind them.
 * A tunnel is forgotten once its watch has nothing more to look for.
 *
 * Bounds: 100 tunnels that are still read, 128 KiB of copies, MF_HTTP_WATCH_HELD_MAX bytes held, four watches one in
 * another. Beyond them the connection ends.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/http_head.h"
#include "core/wire/http_watch_int.h"

enum {
	FRAME_HEAD = 9,
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FRAME_PUSH_PROMISE = 5,
	FRAME_CONTINUATION = 9,
	FLAG_END_STREAM = 1,
	FLAG_ACK = 1, /* of SETTINGS */
	FLAG_END_HEADERS = 4,
	FLAG_PADDED = 8,
	FLAG_PRIORITY = 32,
	PRIORITY_LEN = 5,
	PIECES_MAX = 16, /* frames of one header block */
	TUNNELS_MAX = 100,
	TUNNEL_BYTES_MAX = 128 * 1024,
	DEPTH_MAX = 4,
};

struct mf_watch_tunnel {
	struct mf_watch_tunnel *next;
	uint32_t stream;
	struct mf_http_watch *watch;
	uint8_t *bytes; /* of its DATA that the watch has not passed */
	size_t len, room;
	size_t off;	/* of @bytes: passed, but the watch may have told of it */
	size_t last;	/* of @bytes: where the last frame's begin */
	size_t last_at; /* ... and that frame, from the front of what is held */
	size_t held_at; /* the first frame that holds, likewise */
	bool holds;
	bool ends; /* nothing comes behind @last */
};

static bool have_host(struct mf_http_watch *w)
{
	if (!w->host)
		w->host = malloc(MF_HPACK_VALUE_MAX);
	return w->host != NULL;
}

struct h2_request {
	struct mf_http_watch *w;
	struct mf_span host;
	uint16_t port;
	bool authority, is_request, connect, protocol, websocket;
};

/* The first of :authority and host is kept; a second must not say anything else. */
static int on_field(void *ctx, enum mf_hpack_name name, struct mf_span value)
{
	struct h2_request *q = ctx;
	struct mf_span host;
	uint16_t port;

	if (name == MF_HPACK_METHOD) {
		if (q->is_request)
			return MF_E_BAD;
		q->is_request = true;
		q->connect = mf_span_eq(value, mf_span_str("CONNECT"));
		return 0;
	}
	if (name == MF_HPACK_PROTOCOL) {
		q->protocol = true;
		q->websocket = mf_span_eq(value, mf_span_str("websocket"));
		return 0;
	}
	if (mf_http_read_authority(value, &host, &port) < 0)
		return MF_E_BAD;
	if (q->authority)
		return mf_span_eq(host, q->host) ? 0 : MF_E_BAD;
	q->authority = true;
	q->port = port;
	memcpy(q->w->host, host.ptr, host.len);
	q->host = mf_span_of(q->w->host, host.len);
	return 0;
}

static uint32_t stream_of(struct mf_span frame)
{
	return mf_load_be32(frame.ptr + 5) & 0x7fffffff;
}

/* The part of a HEADERS frame's payload that is header block. Return: false: lengths that do not fit */
static bool strip_headers(uint8_t flags, struct mf_span *payload)
{
	size_t front = 0, back = 0;

	if (flags & FLAG_PADDED) {
		if (payload->len < 1)
			return false;
		back = payload->ptr[0];
		front = 1;
	}
	if (flags & FLAG_PRIORITY)
		front += PRIORITY_LEN;
	if (front + back > payload->len)
		return false;
	*payload = mf_span_sub(*payload, front, payload->len - front - back);
	return true;
}

/* A whole header block. Return: SAID: of a request; AGAIN: of trailers; or an error */
static int read_block(struct mf_http_watch *w, struct mf_span block, struct mf_http_said *ret)
{
	struct h2_request q = { .w = w };
	int r = have_host(w) ? mf_hpack_read(w->hpack, block, on_field, &q) : MF_E_NOMEM;

	if (r < 0)
		return r;
	/* trailers belong to a request that was told of */
	if (!q.is_request)
		return q.authority ? MF_E_BAD : AGAIN;
	ret->host = q.host;
	ret->port = q.port;
	/* RFC 8441: a WebSocket of the server itself, not somewhere to dial */
	ret->connect = q.connect && !q.protocol;
	ret->blind = q.connect && q.protocol && !q.websocket;
	ret->by = MF_SAID_HTTP2;
	return SAID;
}

/* HEADERS at the front of @in, whose block may go on in frames of its own: *ret_len bytes. Return: as read_block(), or WAIT */
static int read_headers(struct mf_http_watch *w, struct mf_span in, size_t *ret_len,
			struct mf_http_said *ret)
{
	uint32_t stream = stream_of(in);
	size_t at = 0, len = 0;
	uint8_t *joined = NULL;
	int r = MF_E_BAD;

	for (unsigned piece = 0; piece < PIECES_MAX; piece++) {
		struct mf_span head = mf_span_sub(in, at, FRAME_HEAD), part;
		uint8_t flags;
		size_t n;

		if (head.len < FRAME_HEAD || in.len - at - FRAME_HEAD < mf_load_be24(head.ptr)) {
			r = in.len > MF_HTTP_WATCH_HELD_MAX ? MF_E_BAD : WAIT;
			break;
		}
		n = mf_load_be24(head.ptr);
		flags = head.ptr[4];
		part = mf_span_sub(in, at + FRAME_HEAD, n);
		if (stream_of(head) != stream ||
		    head.ptr[3] != (piece ? FRAME_CONTINUATION : FRAME_HEADERS) ||
		    (!piece && !strip_headers(flags, &part)))
			break;
		at += FRAME_HEAD + n;
		if (flags & FLAG_END_HEADERS && !piece) {
			r = read_block(w, part, ret);
			break;
		}
		if (!joined)
			joined = malloc(MF_HTTP_WATCH_HELD_MAX);
		if (!joined)
			return MF_E_NOMEM;
		if (len + part.len > MF_HTTP_WATCH_HELD_MAX)
			break;
		memcpy(joined + len, part.ptr, part.len);
		len += part.len;
		if (flags & FLAG_END_HEADERS) {
			r = read_block(w, mf_span_of(joined, len), ret);
			break;
		}
	}
	free(joined);
	*ret_len = at;
	return r;
}

/* --- tunnels -------------------------------------------------------------------------------------------------------- */

static void free_tunnel(struct mf_watch_tunnel *t)
{
	mf_http_watch_free(t->watch);
	free(t->bytes);
	free(t);
}

void mf_watch_drop_tunnels(struct mf_http_watch *w)
{
	while (w->tunnels) {
		struct mf_watch_tunnel *t = w->tunnels;

		w->tunnels = t->next;
		free_tunnel(t);
	}
}

static struct mf_watch_tunnel *find_tunnel(struct mf_http_watch *w, uint32_t stream)
{
	struct mf_watch_tunnel *t = w->tunnels;

	while (t && t->stream != stream)
		t = t->next;
	return t;
}

static void drop_tunnel(struct mf_http_watch *w, struct mf_watch_tunnel *t)
{
	struct mf_watch_tunnel **at = &w->tunnels;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	w->tunnel_cnt--;
	w->tunnel_bytes -= t->len;
	if (w->told_of == t)
		w->told_of = NULL;
	free_tunnel(t);
}

static int add_tunnel(struct mf_http_watch *w, uint32_t stream)
{
	struct mf_watch_tunnel *t;

	if (find_tunnel(w, stream) || w->tunnel_cnt == TUNNELS_MAX || w->depth == DEPTH_MAX)
		return MF_E_BAD;
	t = calloc(1, sizeof(*t));
	if (t)
		t->watch = mf_http_watch_new();
	if (!t || !t->watch) {
		free(t);
		return MF_E_NOMEM;
	}
	t->stream = stream;
	t->watch->state = AFTER;
	t->watch->depth = w->depth + 1;
	t->next = w->tunnels;
	w->tunnels = t;
	w->tunnel_cnt++;
	return AGAIN;
}

static int append(struct mf_http_watch *w, struct mf_watch_tunnel *t, struct mf_span in)
{
	if (w->tunnel_bytes + in.len > TUNNEL_BYTES_MAX)
		return MF_E_BAD;
	if (t->len + in.len > t->room) {
		size_t room = t->len + in.len < 2 * t->room ? 2 * t->room : t->len + in.len;
		uint8_t *grown = realloc(t->bytes, room);

		if (!grown)
			return MF_E_NOMEM;
		t->bytes = grown;
		t->room = room;
	}
	if (in.len)
		memcpy(t->bytes + t->len, in.ptr, in.len);
	t->last = t->len;
	t->len += in.len;
	w->tunnel_bytes += in.len;
	return AGAIN;
}

/* Let the tunnel's watch look at what it has. Return: AGAIN, SAID, or an error; @t is gone where it has seen enough */
static int look_into(struct mf_http_watch *w, struct mf_watch_tunnel *t, struct mf_http_said *ret)
{
	const uint8_t *rest = t->bytes ? t->bytes + t->off : (const uint8_t *)"";
	size_t pass;
	int r = mf_http_watch_next(t->watch, mf_span_of(rest, t->len - t->off), &pass, ret);

	w->told_of = NULL;
	t->off += pass;
	if (r < 0)
		return r;
	/* only the frames behind those that have been read to their end hold */
	t->holds = r == 1 || (t->off < t->len && !mf_http_watch_is_unsure(t->watch));
	if (t->off >= t->last)
		t->held_at = t->last_at;
	if (r == 1) {
		w->told_of = t;
		return SAID;
	}
	if (t->ends && t->holds)
		return MF_E_BAD;
	if (t->ends || mf_http_watch_is_opaque(t->watch)) {
		drop_tunnel(w, t);
		return AGAIN;
	}
	if (t->off)
		memmove(t->bytes, t->bytes + t->off, t->len - t->off);
	w->tunnel_bytes -= t->off;
	t->len -= t->off;
	t->last = t->last > t->off ? t->last - t->off : 0;
	t->off = 0;
	return AGAIN;
}

/* The payload of DATA without its padding. Return: false: lengths that do not fit */
static bool strip_data(uint8_t flags, struct mf_span *payload)
{
	size_t back;

	if (!(flags & FLAG_PADDED))
		return true;
	if (payload->len < 1 || payload->ptr[0] >= payload->len)
		return false;
	back = payload->ptr[0];
	*payload = mf_span_sub(*payload, 1, payload->len - 1 - back);
	return true;
}

/* A whole frame of a tunnel at @at. */
static int step_tunnel(struct mf_http_watch *w, struct mf_watch_tunnel *t, struct mf_span frame,
		       size_t at, struct mf_http_said *ret)
{
	struct mf_span data = mf_span_sub(frame, FRAME_HEAD, frame.len - FRAME_HEAD);
	int r;

	if (!strip_data(frame.ptr[4], &data))
		return MF_E_BAD;
	r = append(w, t, data);
	if (r != AGAIN)
		return r;
	t->last_at = at;
	if (!t->holds)
		t->held_at = at;
	t->ends |= frame.ptr[4] & FLAG_END_STREAM;
	return look_into(w, t, ret);
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

enum { OTHER = 4 }; /* a frame that nobody needs to read */

static bool anything_holds(const struct mf_http_watch *w)
{
	const struct mf_watch_tunnel *t = w->tunnels;

	while (t && !t->holds)
		t = t->next;
	return t != NULL;
}

/* What may go of the frames that were read: up to the first that holds. */
static size_t release(struct mf_http_watch *w)
{
	size_t len = w->ahead;

	for (const struct mf_watch_tunnel *t = w->tunnels; t; t = t->next)
		if (t->holds && t->held_at < len)
			len = t->held_at;
	w->ahead -= len;
	for (struct mf_watch_tunnel *t = w->tunnels; t; t = t->next) {
		t->held_at -= t->held_at < len ? t->held_at : len;
		t->last_at -= t->last_at < len ? t->last_at : len;
	}
	return len;
}

/* The client's side of a tunnel has ended. */
static int end_tunnel(struct mf_http_watch *w, struct mf_watch_tunnel *t)
{
	if (t && t->holds)
		return MF_E_BAD;
	if (t)
		drop_tunnel(w, t);
	return AGAIN;
}

static int read_request(struct mf_http_watch *w, struct mf_span in, size_t *ret_len,
			struct mf_http_said *ret)
{
	bool ends = in.ptr[4] & FLAG_END_STREAM;
	int r = read_headers(w, in, ret_len, ret);

	if (r == AGAIN && ends)
		return end_tunnel(w, find_tunnel(w, stream_of(in)));
	if (r != SAID || !ret->connect || ends)
		return r;
	r = add_tunnel(w, stream_of(in));
	return r < 0 ? r : SAID;
}

/* The frame at the front of @in, which is @at behind what was held first; *ret_len: its bytes */
static int read_frame(struct mf_http_watch *w, struct mf_span in, size_t at, size_t *ret_len,
		      struct mf_http_said *ret)
{
	struct mf_watch_tunnel *t;
	uint8_t type;

	if (in.len < FRAME_HEAD)
		return WAIT;
	type = in.ptr[3];
	*ret_len = FRAME_HEAD + mf_load_be24(in.ptr);
	if (type == FRAME_HEADERS)
		return read_request(w, in, ret_len, ret);
	/* a client promises nothing; a block goes on behind HEADERS only */
	if (type == FRAME_PUSH_PROMISE || type == FRAME_CONTINUATION)
		return MF_E_BAD;
	if (w->greeted && type == FRAME_SETTINGS && in.ptr[4] & FLAG_ACK) {
		if (*ret_len != FRAME_HEAD || stream_of(in))
			return MF_E_BAD;
		w->greeted = false;
		return OURS;
	}
	t = type == FRAME_DATA || type == FRAME_RST_STREAM ? find_tunnel(w, stream_of(in)) : NULL;
	if (!t)
		return OTHER;
	if (in.len < *ret_len)
		return WAIT;
	if (type == FRAME_DATA)
		return step_tunnel(w, t, mf_span_sub(in, 0, *ret_len), at, ret);
	drop_tunnel(w, t); /* what it held goes with its end: nobody will answer */
	return AGAIN;
}

int mf_watch_step_frame(struct mf_http_watch *w, struct mf_span in, size_t *pass,
			struct mf_http_said *ret)
{
	int r = w->told_of ? look_into(w, w->told_of, ret) : AGAIN;
	size_t len = 0;

	while (r == AGAIN) {
		struct mf_span rest = mf_span_sub(in, w->ahead, in.len);

		len = 0;
		r = read_frame(w, rest, w->ahead, &len, ret);
		if (r == OTHER && !anything_holds(w)) {
			*pass = release(w);
			mf_watch_tell(w, len, FRAME);
			return AGAIN;
		}
		if (r == OTHER)
			r = rest.len < len ? WAIT : AGAIN;
		if (r == AGAIN)
			w->ahead += len;
	}
	if (r < 0)
		return r;
	*pass = release(w);
	ret->at = w->ahead; /* where our answer is */
	if (r == SAID)
		w->ahead += len;
	return in.len - *pass > MF_HTTP_WATCH_HELD_MAX && r == WAIT ? MF_E_BAD : r;
}

int mf_watch_begin_http2(struct mf_http_watch *w)
{
	if (w->hpack) /* a second preface inside a tunnel of a tunnel */
		mf_hpack_done(w->hpack);
	else
		w->hpack = malloc(sizeof(*w->hpack));
	if (!w->hpack)
		return MF_E_NOMEM;
	mf_hpack_init(w->hpack);
	mf_watch_tell(w, MF_HTTP2_PREFACE_LEN, FRAME);
	return AGAIN;
}
