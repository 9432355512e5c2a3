/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service_h1.c - HTTP/1 of the HTTP service: heads (core/wire/http_head.h), bodies, answers
 *
 * Stricter than RFC 9112 wants it, because somebody may stand before us who reads in another way: lines end in CR LF, HTTP/1.1
 * has a Host, lengths do not compete, no coding but chunked. After any mistake the connection ends.
 */
#include <stdlib.h>
#include <strings.h>

#include "core/base/hex.h"
#include "core/wire/http_head.h"
#include "proxies/http_service_int.h"

enum {
	CHUNK_LINE_MAX = 256,
	TRAILER_MAX = 4096,
	ROOM_MIN = 2048,
};

static struct mf_span held(const struct mf_http_h1 *h)
{
	return mf_span_of(h->in, h->len);
}

bool mf_http_h1_has_room(const struct mf_http_conn *c)
{
	const struct mf_http_service_options *o = &c->s->opt;
	const struct mf_http_h1 *h = &c->h1;

	/* one whole request, or of pipelined ones as much */
	return h->len < (size_t)o->head_max + (h->head_len ? o->body_max + CHUNK_LINE_MAX : 0);
}

bool mf_http_h1_in_request(const struct mf_http_conn *c)
{
	return c->h1.len > 0 && !c->exchanges && !c->closing;
}

int mf_http_h1_recv(struct mf_http_conn *c, const uint8_t *bytes, size_t len)
{
	struct mf_http_h1 *h = &c->h1;

	if (h->len + len > h->room) {
		size_t room = (h->len + len) * 2 > ROOM_MIN ? (h->len + len) * 2 : ROOM_MIN;
		uint8_t *more = realloc(h->in, room);

		if (!more)
			return MF_E_NOMEM;
		h->in = more;
		h->room = room;
	}
	memcpy(h->in + h->len, bytes, len);
	h->len += len;
	return 0;
}

static void remove_bytes(struct mf_http_h1 *h, size_t at, size_t len)
{
	memmove(h->in + at, h->in + at + len, h->len - at - len);
	h->len -= len;
}

static bool reject(struct mf_http_conn *c, int status)
{
	mf_http_reject(c, 0, status, NULL);
	return false;
}

/* --- heads ---------------------------------------------------------------------------------------------------------- */

static bool is_word(struct mf_span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp((const char *)s.ptr, word, s.len) == 0;
}

/* Whether a list of tokens has @word in it. */
static bool has_token(struct mf_span list, const char *word)
{
	while (list.len) {
		const uint8_t *comma = memchr(list.ptr, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
		struct mf_span item = mf_span_of(list.ptr, len);

		while (item.len && (item.ptr[0] == ' ' || item.ptr[0] == '\t'))
			item = mf_span_sub(item, 1, item.len);
		while (item.len &&
		       (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\t'))
			item.len--;
		if (is_word(item, word))
			return true;
		list = mf_span_sub(list, len + 1, list.len);
	}
	return false;
}

static bool has_bare_line_end(struct mf_span s)
{
	const uint8_t *p = s.ptr, *end = s.ptr + s.len;

	for (; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		if (p == s.ptr || p[-1] != '\r')
			return true;
	return false;
}

/* The path and query of a target in origin or absolute form. */
static bool split_target(struct mf_span target, struct mf_http_request *req)
{
	const uint8_t *mark;

	if (target.ptr[0] != '/') {
		const uint8_t *colon = memchr(target.ptr, ':', target.len);
		size_t at = colon ? (size_t)(colon - target.ptr) + 3 : target.len;

		if (at >= target.len)
			return false; /* "*", or the target of CONNECT */
		while (at < target.len && target.ptr[at] != '/' && target.ptr[at] != '?')
			at++;
		target = mf_span_sub(target, at, target.len);
	}
	mark = memchr(target.ptr, '?', target.len);
	req->path = mark ? mf_span_of(target.ptr, (size_t)(mark - target.ptr)) : target;
	req->query = mf_span_sub(target, req->path.len + 1, target.len);
	if (req->path.len == 0)
		req->path = mf_span_str("/");
	return true;
}

/* What of a head is not in struct mf_http_head. */
struct more {
	struct mf_http_field fields[MF_HTTP_FIELDS_MAX];
	bool http10, close, expects, too_many;
};

static void read_more(struct mf_span head, const struct mf_http_head *h, struct more *m,
		      struct mf_http_request *req)
{
	struct mf_span name, value;
	const uint8_t *version = h->target.ptr + h->target.len + 1;
	size_t at = 0;

	m->http10 = version[7] == '0';
	while (mf_http_next_field(head, &at, &name, &value)) {
		if (req->field_cnt == MF_HTTP_FIELDS_MAX) {
			m->too_many = true;
			return;
		}
		m->fields[req->field_cnt++] = (struct mf_http_field){ name, value };
		if (is_word(name, "connection") && has_token(value, "close"))
			m->close = true;
		if (is_word(name, "expect") && is_word(value, "100-continue"))
			m->expects = true;
	}
	req->fields = m->fields;
}

/* The head's end is known: what kind of body follows. Return: false: answered */
static bool begin_body(struct mf_http_conn *c, size_t head_len)
{
	struct mf_http_h1 *h = &c->h1;
	struct mf_http_head head;

	if (head_len > c->s->opt.head_max)
		return reject(c, 431);
	if (has_bare_line_end(mf_span_of(h->in, head_len)) ||
	    mf_http_read_head(mf_span_of(h->in, head_len), &head) < 0)
		return reject(c, 400);
	if (head.body_len > c->s->opt.body_max)
		return reject(c, 413);
	h->head_len = head_len;
	h->chunked = head.chunked;
	h->body_len = head.chunked ? 0 : (size_t)head.body_len;
	h->body_ends = false;
	h->in_chunk = h->in_trailer = h->continued = false;
	h->chunk_left = 0;
	h->trailer_len = 0;
	return true;
}

/* Return: true: the head is complete; false: more bytes are needed, or it was answered */
static bool find_head(struct mf_http_conn *c)
{
	struct mf_http_h1 *h = &c->h1;
	size_t skip = 0, len;

	while (skip < h->len && (h->in[skip] == '\r' || h->in[skip] == '\n'))
		skip++;
	if (skip) {
		remove_bytes(h, 0, skip);
		h->scanned = 0;
	}
	len = mf_http_find_end(held(h), h->scanned);
	if (len)
		return begin_body(c, len);
	h->scanned = h->len;
	if (h->len >= c->s->opt.head_max)
		return reject(c, memchr(h->in, '\n', h->len) ? 431 : 414);
	return false;
}

/* --- bodies --------------------------------------------------------------------------------------------------------- */

/* A line's length with its end from @at; 0: not complete */
static size_t line_len(const struct mf_http_h1 *h, size_t at)
{
	const uint8_t *nl = memchr(h->in + at, '\n', h->len - at);

	return nl ? (size_t)(nl - h->in) - at + 1 : 0;
}

/* chunk-size [ chunk-ext ] CRLF; Return: 0 or MF_E_BAD */
static int read_chunk_line(struct mf_span line, uint64_t *ret)
{
	size_t i = 0;

	*ret = 0;
	if (line.len < 3 || line.ptr[line.len - 2] != '\r')
		return MF_E_BAD;
	line.len -= 2;
	if (memchr(line.ptr, '\r', line.len) || memchr(line.ptr, 0, line.len))
		return MF_E_BAD;
	for (; i < line.len && mf_hex_digit(line.ptr[i]) >= 0; i++) {
		if (i == 15)
			return MF_E_BAD;
		*ret = *ret << 4 | (uint64_t)mf_hex_digit(line.ptr[i]);
	}
	if (i == 0 || (i < line.len && line.ptr[i] != ';'))
		return MF_E_BAD;
	return 0;
}

/* One step of a chunked body. Return: 1 went on, 0 more bytes are needed, or the HTTP status that refuses it, negative */
static int step_chunked(struct mf_http_conn *c)
{
	struct mf_http_h1 *h = &c->h1;
	size_t at = h->head_len + h->body_len, len;
	uint64_t size;

	if (h->in_chunk && h->chunk_left) {
		len = h->len - at;
		if (len > h->chunk_left)
			len = (size_t)h->chunk_left;
		h->body_len += len;
		h->chunk_left -= len;
		return len > 0;
	}
	if (h->in_chunk) { /* its line end */
		if (h->len - at < 2)
			return 0;
		if (memcmp(h->in + at, "\r\n", 2) != 0)
			return -400;
		remove_bytes(h, at, 2);
		h->in_chunk = false;
		return 1;
	}
	len = line_len(h, at);
	if (len == 0)
		return h->len - at > CHUNK_LINE_MAX ? -400 : 0;
	if (h->in_trailer) {
		h->trailer_len += len;
		if (h->trailer_len > TRAILER_MAX)
			return -431;
		if (len < 2 || h->in[at + len - 2] != '\r')
			return -400;
		remove_bytes(h, at, len);
		h->body_ends = len == 2;
		return 1;
	}
	if (len > CHUNK_LINE_MAX || read_chunk_line(mf_span_of(h->in + at, len), &size) < 0)
		return -400;
	if (size > c->s->opt.body_max - h->body_len)
		return -413;
	remove_bytes(h, at, len);
	h->chunk_left = size;
	h->in_chunk = size > 0;
	h->in_trailer = size == 0;
	return 1;
}

/* Return: true: the body is complete */
static bool find_body(struct mf_http_conn *c)
{
	struct mf_http_h1 *h = &c->h1;
	int r;

	if (!h->chunked)
		return h->len - h->head_len >= h->body_len;
	do {
		r = step_chunked(c);
	} while (r > 0 && !h->body_ends);
	if (r < 0)
		return reject(c, -r);
	return h->body_ends;
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

static bool must_reject(struct mf_http_conn *c, const struct mf_http_head *head,
			const struct more *m, bool target_ok)
{
	if (m->too_many)
		return !reject(c, 431);
	if (head->connect)
		return !reject(c, 501);
	if (!target_ok)
		return !reject(c, 404);
	if (head->host.len == 0 && !m->http10)
		return !reject(c, 400);
	return false;
}

bool mf_http_h1_run(struct mf_http_conn *c)
{
	struct mf_http_h1 *h = &c->h1;
	struct mf_http_request req = { 0 };
	struct mf_http_head head;
	struct more m = { 0 };
	struct mf_span bytes;
	bool target_ok, is_new = h->head_len == 0;

	if (c->closing || c->taker || c->leaving || c->exchanges ||
	    evbuffer_get_length(c->out) >= MF_HTTP_OUT_SOFT)
		return false;
	if (h->head_len == 0 && !find_head(c))
		return false;
	bytes = mf_span_of(h->in, h->head_len);
	(void)mf_http_read_head(bytes, &head);
	read_more(bytes, &head, &m, &req);
	target_ok = !head.connect && split_target(head.target, &req);
	if (must_reject(c, &head, &m, target_ok))
		return false;
	req.method = head.method;
	req.authority = head.host;
	req.host = mf_http_find_field(&req, "host");
	if (is_new && mf_http_move_ask(c, &req))
		return false;
	if (!find_body(c)) {
		if (m.expects && !m.http10 && !h->continued && !c->closing &&
		    h->len == h->head_len) {
			h->continued = true;
			evbuffer_add_printf(c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		}
		return false;
	}
	req.body = mf_span_of(h->in + h->head_len, h->body_len);
	c->wait = MF_HTTP_WAIT_NONE; /* what comes next has its own time */
	mf_http_dispatch(c, &req, 0, m.close || m.http10, m.http10);
	remove_bytes(h, 0, h->head_len + h->body_len);
	h->head_len = h->body_len = h->scanned = 0;
	return true;
}

bool mf_http_h1_head(struct mf_http_conn *c, const struct mf_http_answer *a, int64_t len,
		     bool http10, bool ends_conn)
{
	bool bodiless = a->status == 204 || a->status == 304;

	evbuffer_add_printf(c->out, "HTTP/1.1 %d %s\r\n", a->status, mf_http_reason(a->status));
	if (!bodiless && len >= 0)
		evbuffer_add_printf(c->out, "content-length: %lld\r\n", (long long)len);
	else if (!bodiless && !http10)
		evbuffer_add_printf(c->out, "transfer-encoding: chunked\r\n");
	if (a->type)
		evbuffer_add_printf(c->out, "content-type: %s\r\n", a->type);
	for (size_t i = 0; i < a->field_cnt; i++)
		evbuffer_add_printf(c->out, "%.*s: %.*s\r\n", (int)a->fields[i].name.len,
				    (const char *)a->fields[i].name.ptr,
				    (int)a->fields[i].value.len,
				    (const char *)a->fields[i].value.ptr);
	if (ends_conn)
		evbuffer_add_printf(c->out, "connection: close\r\n");
	evbuffer_add(c->out, "\r\n", 2);
	return !bodiless;
}

void mf_http_h1_answer(struct mf_http_conn *c, const struct mf_http_answer *a, bool head,
		       bool ends_conn)
{
	bool body = mf_http_h1_head(c, a, (int64_t)a->body.len, false, ends_conn);

	if (ends_conn)
		c->closing = true;
	if (body && !head)
		evbuffer_add(c->out, a->body.ptr, a->body.len);
}
