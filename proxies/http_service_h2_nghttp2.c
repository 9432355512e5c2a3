/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service_h2_nghttp2.c - HTTP/2 of the HTTP service: nghttp2 knows the protocol, here are requests and answers
 *
 * What nghttp2 does not bound is bounded here: bytes of all requests that are not answered, and how often a client takes
 * requests back.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/wire/http_head.h"
#include "proxies/http2_body.h"
#include "proxies/http_service_int.h"

enum {
	RESETS_FREE =
		200, /* requests taken back beyond those that were answered, then the connection ends */
	FIELD_OVERHEAD = 32,
	IGNORED_MAX = 1 << 20, /* bytes of a request behind its answer */
	DECIMAL_ROOM = 20,
	HEAD_ROOM = 512, /* of the first bytes: most heads are shorter */
};

enum pseudo { PSEUDO_METHOD, PSEUDO_PATH, PSEUDO_AUTHORITY, PSEUDO_NUM };

struct piece {
	uint32_t at, len;
};

struct stream {
	struct mf_http_h2 *h;
	struct stream *prev, *next;
	int32_t id;
	uint64_t began_ms;
	bool complete, answered, too_big; /* too_big: its head; the rest is not kept */
	struct piece pseudo[PSEUDO_NUM];
	struct piece fields[MF_HTTP_FIELDS_MAX][2];
	size_t field_cnt, head_size;
	uint8_t *bytes; /* the head's, then the body's */
	size_t len, room, head_len;
	struct mf_http2_body out; /* of the answer */
	size_t ignored;
};

struct mf_http_h2 {
	struct mf_http_conn *conn;
	nghttp2_session *session;
	struct stream *streams;
	unsigned stream_cnt, incomplete_cnt;
	uint64_t resets, answers;
};

bool mf_http_service_has_http2(void)
{
	return true;
}

/* --- streams -------------------------------------------------------------------------------------------------------- */

static void forget_request(struct stream *s)
{
	s->h->conn->s->together->held -= s->room;
	free(s->bytes);
	s->bytes = NULL;
	s->len = s->room = 0;
	if (!s->complete) {
		s->complete = true;
		s->h->incomplete_cnt--;
	}
}

static void free_stream(struct stream *s)
{
	struct mf_http_h2 *h = s->h;

	forget_request(s);
	if (s->prev)
		s->prev->next = s->next;
	else
		h->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	h->stream_cnt--;
	free(s->out.ptr);
	free(s);
}

static struct stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* Return: 0, or the status that refuses it */
static int keep_bytes(struct stream *s, const uint8_t *bytes, size_t len)
{
	atomic_size_t *held = &s->h->conn->s->together->held;

	if (s->len + len > s->room) {
		size_t need = (s->len + len) * 2, room = need < HEAD_ROOM ? HEAD_ROOM : need;
		size_t more_room = room - s->room;
		uint8_t *more = NULL;

		/* counted before it is looked at: other threads do the same */
		if (atomic_fetch_add(held, more_room) + more_room <= MF_HTTP_HELD_MAX)
			more = realloc(s->bytes, room);
		if (!more) {
			atomic_fetch_sub(held, more_room);
			return 503;
		}
		s->bytes = more;
		s->room = room;
	}
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
	return 0;
}

/* Refused before it was complete: what still comes of it is not kept. */
static void refuse(struct stream *s, int status)
{
	if (s->answered)
		return;
	forget_request(s);
	mf_http_reject(s->h->conn, s->id, status, NULL);
}

static struct mf_span span_of(const struct stream *s, struct piece p)
{
	return mf_span_of(s->bytes + p.at, p.len);
}

static void dispatch(struct stream *s)
{
	struct mf_http_field fields[MF_HTTP_FIELDS_MAX];
	struct mf_http_request req = { .fields = fields, .field_cnt = s->field_cnt };
	struct mf_span target = span_of(s, s->pseudo[PSEUDO_PATH]);
	const uint8_t *mark;

	if (!s->complete) {
		s->complete = true;
		s->h->incomplete_cnt--;
	}
	s->h->conn->wait = MF_HTTP_WAIT_NONE;
	if (target.len == 0 || target.ptr[0] != '/') {
		refuse(s, target.len == 0 ? 501 : 404); /* CONNECT, or "*" */
		return;
	}
	for (size_t i = 0; i < s->field_cnt; i++)
		fields[i] = (struct mf_http_field){ span_of(s, s->fields[i][0]),
						    span_of(s, s->fields[i][1]) };
	mark = memchr(target.ptr, '?', target.len);
	req.path = mark ? mf_span_of(target.ptr, (size_t)(mark - target.ptr)) : target;
	req.query = mf_span_sub(target, req.path.len + 1, target.len);
	req.method = span_of(s, s->pseudo[PSEUDO_METHOD]);
	req.authority = span_of(s, s->pseudo[PSEUDO_AUTHORITY]);
	if (req.authority.len == 0)
		req.authority = mf_http_find_field(&req, "host");
	req.host = req.authority;
	if (req.authority.len && mf_http_read_authority(req.authority, &req.authority, NULL) < 0) {
		refuse(s, 400);
		return;
	}
	req.body = mf_span_of(s->bytes + s->head_len, s->len - s->head_len);
	mf_http_dispatch(s->h->conn, &req, s->id, false, false);
	forget_request(s);
}

/* --- what nghttp2 tells --------------------------------------------------------------------------------------------- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct mf_http_conn *c = ctx;
	struct mf_http_h2 *h = c->h2;
	struct stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	/* until the client has heard of the limit it may begin more */
	s = h->stream_cnt < c->s->opt.streams_max * 2 ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->h = h;
	s->id = frame->hd.stream_id;
	s->began_ms = mf_now_ms();
	s->next = h->streams;
	if (s->next)
		s->next->prev = s;
	h->streams = s;
	h->stream_cnt++;
	h->incomplete_cnt++;
	return nghttp2_session_set_stream_user_data(session, s->id, s) == 0
		       ? 0
		       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int which_pseudo(const uint8_t *name, size_t len)
{
	static const char *const names[] = { ":method", ":path", ":authority" };
	_Static_assert(MF_ARRAY_SIZE(names) == PSEUDO_NUM, "a name for each");

	for (int i = 0; i < PSEUDO_NUM; i++)
		if (strlen(names[i]) == len && memcmp(name, names[i], len) == 0)
			return i;
	return -1;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *ctx)
{
	struct mf_http_conn *c = ctx;
	struct stream *s = stream_of(session, frame->hd.stream_id);
	struct piece pieces[2];
	int pseudo;

	(void)flags;
	if (!s || s->answered || s->too_big || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers are read and forgotten */
	s->head_size += name_len + value_len + FIELD_OVERHEAD;
	pseudo = name_len && name[0] == ':' ? which_pseudo(name, name_len) : -1;
	if (name_len && name[0] == ':' && pseudo < 0)
		return 0;
	if (s->head_size > c->s->opt.head_max + FIELD_OVERHEAD * MF_HTTP_FIELDS_MAX ||
	    (pseudo < 0 && s->field_cnt == MF_HTTP_FIELDS_MAX)) {
		s->too_big = true;
		return 0;
	}
	pieces[0] = (struct piece){ (uint32_t)s->len, (uint32_t)name_len };
	pieces[1] = (struct piece){ (uint32_t)(s->len + name_len), (uint32_t)value_len };
	if (keep_bytes(s, name, name_len) || keep_bytes(s, value, value_len)) {
		s->too_big = true;
		return 0;
	}
	if (pseudo >= 0)
		s->pseudo[pseudo] = pieces[1];
	else
		memcpy(s->fields[s->field_cnt++], pieces, sizeof(pieces));
	s->head_len = s->len;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	struct mf_http_conn *c = ctx;
	struct stream *s = stream_of(session, id);
	int status;

	(void)flags;
	if (!s)
		return 0;
	/* an answer that was complete before its request: clients that hear of a reset at once miss the answer */
	if (s->answered) {
		s->ignored += len;
		return s->ignored > IGNORED_MAX
			       ? nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
							   NGHTTP2_NO_ERROR)
			       : 0;
	}
	status = len > c->s->opt.body_max - (s->len - s->head_len) ? 413 : keep_bytes(s, data, len);
	if (status)
		refuse(s, status);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct mf_http_conn *c = ctx;
	struct mf_http_h2 *h = c->h2;
	struct stream *s = stream_of(session, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_RST_STREAM && ++h->resets > RESETS_FREE + h->answers) {
		(void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
		return 0;
	}
	if (!s || s->answered)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && s->too_big) {
		refuse(s, 431);
		return 0;
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM && !s->complete)
		dispatch(s);
	return 0;
}

static struct mf_http_exchange *exchange_of(struct mf_http_conn *c, int32_t id)
{
	struct mf_http_exchange *x = c->exchanges;

	while (x && x->stream != id)
		x = x->next;
	return x;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	struct mf_http_conn *c = ctx;
	struct stream *s = stream_of(session, id);
	struct mf_http_exchange *x;

	(void)code;
	if (!s)
		return 0;
	x = s->answered ? NULL : exchange_of(c, id);
	s->answered = true;
	if (x)
		mf_http_exchange_detach(x);
	free_stream(s);
	return 0;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static nghttp2_nv header(struct mf_span name, struct mf_span value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
			     .namelen = name.len,
			     .value = (uint8_t *)(uintptr_t)value.ptr,
			     .valuelen = value.len };
}

static struct mf_span decimal(size_t v, char buf[DECIMAL_ROOM])
{
	size_t at = DECIMAL_ROOM;

	do {
		buf[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return mf_span_of(buf + at, DECIMAL_ROOM - at);
}

void mf_http_h2_answer(struct mf_http_conn *c, int32_t id, const struct mf_http_answer *a,
		       bool head)
{
	nghttp2_nv nv[3 + MF_HTTP_ANSWER_FIELDS_MAX + MF_HTTP_FILTER_FIELDS_MAX];
	char status[DECIMAL_ROOM], length[DECIMAL_ROOM];
	struct mf_http_h2 *h = c->h2;
	struct stream *s = stream_of(h->session, id);
	nghttp2_data_provider body = { .read_callback = mf_http2_body_read };
	bool bodiless = a->status == 204 || a->status == 304;
	size_t cnt = 0;

	if (!s || s->answered)
		return;
	s->answered = true;
	h->answers++;
	nv[cnt++] = header(mf_span_str(":status"), decimal((size_t)a->status, status));
	if (!bodiless)
		nv[cnt++] = header(mf_span_str("content-length"), decimal(a->body.len, length));
	if (a->type)
		nv[cnt++] = header(mf_span_str("content-type"), mf_span_str(a->type));
	for (size_t i = 0; i < a->field_cnt; i++)
		nv[cnt++] = header(a->fields[i].name, a->fields[i].value);
	/* the request may live in the middle of this: its handler is at work */
	if (!bodiless && !head && a->body.len) {
		s->out.ptr = malloc(a->body.len);
		if (!s->out.ptr) {
			(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id,
							NGHTTP2_INTERNAL_ERROR);
			return;
		}
		memcpy(s->out.ptr, a->body.ptr, a->body.len);
		s->out.len = a->body.len;
	}
	body.source.ptr = &s->out;
	if (nghttp2_submit_response(h->session, id, nv, cnt, s->out.ptr ? &body : NULL) != 0)
		(void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id,
						NGHTTP2_INTERNAL_ERROR);
}

/* --- connections ---------------------------------------------------------------------------------------------------- */

static nghttp2_session *make_session(struct mf_http_conn *c)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (nghttp2_session_server_new(&session, cb, c) != 0)
		session = NULL;
	nghttp2_session_callbacks_del(cb);
	return session;
}

int mf_http_h2_new(struct mf_http_conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->s->opt.streams_max },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, c->s->opt.head_max },
	};
	struct mf_http_h2 *h = calloc(1, sizeof(*h));

	if (!h)
		return MF_E_NOMEM;
	h->conn = c;
	c->h2 = h;
	h->session = make_session(c);
	if (!h->session || nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
						   MF_ARRAY_SIZE(settings)) != 0)
		return MF_E_NOMEM; /* freed with the connection */
	return 0;
}

void mf_http_h2_free(struct mf_http_conn *c)
{
	if (!c->h2)
		return;
	if (c->h2->session)
		nghttp2_session_del(c->h2->session); /* closes no stream by its callback */
	while (c->h2->streams)
		free_stream(c->h2->streams);
	free(c->h2);
	c->h2 = NULL;
}

int mf_http_h2_recv(struct mf_http_conn *c, const uint8_t *bytes, size_t len)
{
	return nghttp2_session_mem_recv(c->h2->session, bytes, len) == (ssize_t)len ? 0 : MF_E_BAD;
}

bool mf_http_h2_run(struct mf_http_conn *c)
{
	const uint8_t *bytes;
	bool moved = false;

	while (evbuffer_get_length(c->out) < MF_HTTP_OUT_SOFT) {
		ssize_t n = nghttp2_session_mem_send(c->h2->session, &bytes);

		if (n < 0)
			c->broken = true;
		if (n <= 0)
			break;
		evbuffer_add(c->out, bytes, (size_t)n);
		moved = true;
	}
	return moved;
}

bool mf_http_h2_in_request(const struct mf_http_conn *c)
{
	return c->h2->incomplete_cnt > 0;
}

void mf_http_h2_expire(struct mf_http_conn *c)
{
	uint64_t now = mf_now_ms();
	struct stream *next;

	for (struct stream *s = c->h2->streams; s; s = next) {
		next = s->next;
		if (!s->complete && s->began_ms + c->s->opt.request_ms <= now)
			refuse(s, 408);
	}
}

void mf_http_h2_end(struct mf_http_conn *c)
{
	(void)nghttp2_session_terminate_session(c->h2->session, NGHTTP2_NO_ERROR);
}

bool mf_http_h2_ended(const struct mf_http_conn *c)
{
	return !nghttp2_session_want_read(c->h2->session) &&
	       !nghttp2_session_want_write(c->h2->session);
}
