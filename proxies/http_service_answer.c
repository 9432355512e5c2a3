/* SPDX-License-Identifier: Apache-2.0 */
/* http_service_answer.c - which route a request goes to, and the answer that comes back, now or later */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/hex.h"
#include "proxies/http_service_int.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 426, "Upgrade Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

const char *mf_http_reason(int status)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

/* Its fields and those of the filter, in @room. */
static void
add_fields(struct mf_http_conn *c, const char *note, struct mf_http_answer *a,
	   struct mf_http_field room[static MF_HTTP_ANSWER_FIELDS_MAX + MF_HTTP_FILTER_FIELDS_MAX])
{
	const struct mf_http_filter *f = c->s->filter;

	if (!f || !f->fields)
		return;
	if (a->field_cnt)
		memcpy(room, a->fields, a->field_cnt * sizeof(*room));
	a->fields = room;
	a->field_cnt +=
		f->fields(c->s->filter_ctx, note, room + a->field_cnt, MF_HTTP_FILTER_FIELDS_MAX);
}

static void send_answer(struct mf_http_conn *c, int32_t stream, const struct mf_http_answer *answer,
			const char *note, bool head, bool ends_conn)
{
	struct mf_http_field room[MF_HTTP_ANSWER_FIELDS_MAX + MF_HTTP_FILTER_FIELDS_MAX];
	struct mf_http_answer a = *answer;

	add_fields(c, note, &a, room);
	if (c->h2)
		mf_http_h2_answer(c, stream, &a, head);
	else
		mf_http_h1_answer(c, &a, head, ends_conn);
	mf_http_conn_kick(c);
}

/* The service's own answers in the owner's words. */
static void put_in_words(struct mf_http_conn *c, struct mf_http_exchange *x,
			 const struct mf_http_request *req, struct mf_http_answer *a)
{
	const struct mf_http_filter *f = c->s->filter;

	c->s->stats.bad_requests++;
	if (f && f->fault)
		f->fault(c->s->filter_ctx, x, req, a);
}

void mf_http_reject(struct mf_http_conn *c, int32_t stream, int status, const char *allow)
{
	struct mf_http_field field = { mf_span_str("allow"), mf_span_str(allow ? allow : "") };
	char text[64];
	struct mf_http_answer a = {
		.status = status, .type = "text/plain", .fields = &field, .field_cnt = allow ? 1 : 0
	};

	snprintf(text, sizeof(text), "%d %s\n", status, mf_http_reason(status));
	a.body = mf_span_str(text);
	put_in_words(c, NULL, NULL, &a);
	send_answer(c, stream, &a, NULL, false, true);
}

static void unlink_exchange(struct mf_http_exchange *x)
{
	struct mf_http_conn *c = x->conn;

	if (x->prev)
		x->prev->next = x->next;
	else
		c->exchanges = x->next;
	if (x->next)
		x->next->prev = x->prev;
	c->s->stats.waiting--;
	x->conn = NULL;
}

void mf_http_exchange_detach(struct mf_http_exchange *x)
{
	x->conn->s->stats.answers_dropped++;
	unlink_exchange(x);
	if (x->gone)
		x->gone(x->gone_ctx, x);
}

bool mf_http_exchange_is_gone(const struct mf_http_exchange *x)
{
	return !x->conn;
}

void mf_http_exchange_on_gone(struct mf_http_exchange *x,
			      void (*fn)(void *ctx, struct mf_http_exchange *x), void *ctx)
{
	x->gone = fn;
	x->gone_ctx = ctx;
}

static bool has_line_end(struct mf_span s)
{
	return memchr(s.ptr, '\r', s.len) || memchr(s.ptr, '\n', s.len) || memchr(s.ptr, 0, s.len);
}

static bool may_be_sent(const struct mf_http_answer *a)
{
	if (a->status < 200 || a->status > 599 || a->field_cnt > MF_HTTP_ANSWER_FIELDS_MAX ||
	    (a->type && has_line_end(mf_span_str(a->type))))
		return false;
	for (size_t i = 0; i < a->field_cnt; i++) {
		const struct mf_http_field *f = &a->fields[i];

		if (f->name.len == 0 || has_line_end(f->name) ||
		    (f->value.len && has_line_end(f->value)))
			return false;
	}
	return true;
}

static void free_exchange(struct mf_http_exchange *x)
{
	free(x->note);
	free(x);
}

void mf_http_exchange_note(struct mf_http_exchange *x, struct mf_span text)
{
	free(x->note);
	x->note = strndup((const char *)text.ptr, text.len);
}

void mf_http_exchange_end_connection(struct mf_http_exchange *x)
{
	x->ends_conn = true;
}

void mf_http_answer(struct mf_http_exchange *x, const struct mf_http_answer *a)
{
	static const struct mf_http_answer broken = { .status = 500 };
	struct mf_http_conn *c = x->conn;

	if (c) {
		unlink_exchange(x);
		send_answer(c, x->stream, may_be_sent(a) ? a : &broken, x->note, x->head,
			    x->ends_conn);
	}
	free_exchange(x);
}

void mf_http_answer_text(struct mf_http_exchange *x, int status, const char *type, const char *text)
{
	struct mf_http_field field = { mf_span_str("cache-control"), mf_span_str("no-store") };

	mf_http_answer(x, &(struct mf_http_answer){ .status = status,
						    .type = type,
						    .body = mf_span_str(text),
						    .fields = &field,
						    .field_cnt = 1 });
}

/* --- other protocols -------------------------------------------------------------------------------------------------- */

int mf_http_upgrade(struct mf_http_exchange *x, const char *upgrade,
		    const struct mf_http_field *fields, size_t field_cnt,
		    void (*fn)(void *ctx, const struct mf_http_taken *taken), void *ctx)
{
	const struct mf_http_answer a = { .status = 200, .fields = fields, .field_cnt = field_cnt };
	struct mf_http_conn *c = x->conn;

	if ((c && c->h2) || x->http10 || x->streams || !may_be_sent(&a))
		return MF_E_UNSUPPORTED;
	if (!c) {
		free_exchange(x);
		fn(ctx, NULL);
		return 0;
	}
	unlink_exchange(x);
	evbuffer_add_printf(c->out,
			    "HTTP/1.1 101 Switching Protocols\r\nupgrade: %s\r\n"
			    "connection: Upgrade\r\n",
			    upgrade);
	for (size_t i = 0; i < field_cnt; i++)
		evbuffer_add_printf(c->out, "%.*s: %.*s\r\n", (int)fields[i].name.len,
				    (const char *)fields[i].name.ptr, (int)fields[i].value.len,
				    (const char *)fields[i].value.ptr);
	evbuffer_add(c->out, "\r\n", 2);
	c->taker = fn;
	c->taker_ctx = ctx;
	mf_http_conn_kick(c);
	free_exchange(x);
	return 0;
}

/* --- answers in pieces ---------------------------------------------------------------------------------------------- */

int mf_http_answer_begin(struct mf_http_exchange *x, const struct mf_http_answer *a)
{
	struct mf_http_field room[MF_HTTP_ANSWER_FIELDS_MAX + MF_HTTP_FILTER_FIELDS_MAX];
	struct mf_http_answer all = *a;
	struct mf_http_conn *c = x->conn;

	if (mf_bug(x->streams || !may_be_sent(a)))
		return MF_E_BUG;
	if (c && c->h2)
		return MF_E_UNSUPPORTED;
	x->streams = true;
	if (!c)
		return 0;
	x->ends_conn |= x->http10;
	add_fields(c, x->note, &all, room);
	(void)mf_http_h1_head(c, &all, -1, x->http10, x->ends_conn);
	mf_http_conn_kick(c);
	return 0;
}

int64_t mf_http_answer_send(struct mf_http_exchange *x, struct mf_span bytes)
{
	struct mf_http_conn *c = x->conn;

	if (!c)
		return MF_E_CLOSED;
	if (bytes.len && !x->head) {
		if (!x->http10)
			evbuffer_add_printf(c->out, "%lx\r\n", (unsigned long)bytes.len);
		evbuffer_add(c->out, bytes.ptr, bytes.len);
		if (!x->http10)
			evbuffer_add(c->out, "\r\n", 2);
	}
	mf_http_conn_kick(c);
	return (int64_t)evbuffer_get_length(c->out);
}

void mf_http_answer_end(struct mf_http_exchange *x)
{
	struct mf_http_conn *c = x->conn;

	if (c) {
		unlink_exchange(x);
		if (!x->http10 && !x->head)
			evbuffer_add(c->out, "0\r\n\r\n", 5);
		if (x->ends_conn)
			c->closing = true;
		mf_http_conn_kick(c);
	}
	free_exchange(x);
}

void mf_http_answer_on_room(struct mf_http_exchange *x,
			    void (*fn)(void *ctx, struct mf_http_exchange *x), void *ctx)
{
	x->room = fn;
	x->room_ctx = ctx;
}

void mf_http_exchange_room(struct mf_http_conn *c)
{
	struct mf_http_exchange *x = c->exchanges;

	if (x && x->streams && x->room)
		x->room(x->room_ctx, x);
}

/* --- routes --------------------------------------------------------------------------------------------------------- */

static bool leads(const struct mf_http_route *r, struct mf_span path)
{
	size_t len = strlen(r->path);

	return (r->prefix ? path.len >= len : path.len == len) &&
	       memcmp(path.ptr, r->path, len) == 0;
}

/* Longer paths first, exact ones before prefixes */
static size_t rank(const struct mf_http_route *r)
{
	return strlen(r->path) * 2 + !r->prefix;
}

static bool serves(const struct mf_http_route *r, const struct mf_http_request *req)
{
	return mf_span_eq(req->method, mf_span_str(r->method)) ||
	       (req->head && strcmp(r->method, "GET") == 0);
}

/* The route of the longest path for the method, or NULL, and what *ret_best says of that path: 0, there is none */
static const struct mf_http_route *find_route(const struct mf_http_service *s,
					      const struct mf_http_request *req, void **ret_ctx,
					      size_t *ret_best)
{
	const struct mf_http_route *found = NULL;
	size_t best = 0;

	for (size_t i = 0; i < s->set_cnt; i++) {
		for (size_t k = 0; k < s->sets[i].cnt; k++) {
			const struct mf_http_route *r = &s->sets[i].routes[k];

			if (!leads(r, req->path) || rank(r) < best)
				continue;
			if (rank(r) > best) {
				best = rank(r);
				found = NULL;
			}
			if (!found && serves(r, req)) {
				found = r;
				*ret_ctx = s->sets[i].ctx;
			}
		}
	}
	*ret_best = best;
	return found;
}

/* The methods of a path's routes; "" where there are none */
static void list_methods(const struct mf_http_service *s, const struct mf_http_request *req,
			 size_t best, char *allow, size_t size)
{
	size_t len = 0;

	allow[0] = '\0';
	for (size_t i = 0; best && i < s->set_cnt; i++) {
		for (size_t k = 0; k < s->sets[i].cnt; k++) {
			const struct mf_http_route *r = &s->sets[i].routes[k];

			if (leads(r, req->path) && rank(r) == best && len < size)
				len += (size_t)snprintf(
					allow + len, size - len, "%s%s%s", len ? ", " : "",
					r->method, strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
		}
	}
}

/* No route, or none for this method. */
static void answer_nothing(struct mf_http_conn *c, struct mf_http_exchange *x,
			   const struct mf_http_request *req, const char *allow)
{
	struct mf_http_field field = { mf_span_str("allow"), mf_span_str(allow) };
	struct mf_http_answer a = { .status = allow[0] ? 405 : 404,
				    .type = "text/plain",
				    .body = mf_span_str(allow[0] ? "405 Method Not Allowed\n"
								 : "404 Not Found\n"),
				    .fields = &field,
				    .field_cnt = allow[0] ? 1 : 0 };

	put_in_words(c, x, req, &a);
	mf_http_answer(x, &a);
}

void mf_http_dispatch(struct mf_http_conn *c, struct mf_http_request *req, int32_t stream,
		      bool ends_conn, bool http10)
{
	const struct mf_http_filter *f = c->s->filter;
	const struct mf_http_route *route;
	struct mf_http_exchange *x;
	char allow[96];
	size_t best;
	void *ctx;

	c->s->stats.requests++;
	req->peer = c->peer;
	req->tag = c->tag;
	req->head = mf_span_eq(req->method, mf_span_str("HEAD"));
	req->tls = req->secure = c->ssl != NULL;
	req->http2 = c->h2 != NULL;
	x = calloc(1, sizeof(*x));
	if (!x) {
		mf_http_reject(c, stream, 503, NULL);
		return;
	}
	x->conn = c;
	x->stream = stream;
	x->head = req->head;
	x->ends_conn = ends_conn;
	x->http10 = http10;
	x->next = c->exchanges;
	if (x->next)
		x->next->prev = x;
	c->exchanges = x;
	c->s->stats.waiting++;
	if (f && f->request && !f->request(c->s->filter_ctx, x, req))
		return;
	route = find_route(c->s, req, &ctx, &best);
	if (route) {
		route->fn(ctx, x, req);
		return;
	}
	list_methods(c->s, req, best, allow, sizeof(allow));
	answer_nothing(c, x, req, allow);
}

/* --- what handlers ask ---------------------------------------------------------------------------------------------- */

struct mf_span mf_http_find_field(const struct mf_http_request *req, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < req->field_cnt; i++) {
		const struct mf_http_field *f = &req->fields[i];

		if (f->name.len == len && strncasecmp((const char *)f->name.ptr, name, len) == 0)
			return f->value.ptr ? f->value : mf_span_str("");
	}
	return mf_span_of(NULL, 0);
}

/* Return: bytes written, MF_E_BAD, MF_E_LIMIT */
static int decode(struct mf_span s, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = s.ptr[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int a = s.len - i > 2 ? mf_hex_digit(s.ptr[i + 1]) : -1;
			int b = s.len - i > 2 ? mf_hex_digit(s.ptr[i + 2]) : -1;

			if (a < 0 || b < 0)
				return MF_E_BAD;
			c = a << 4 | b;
			i += 2;
		}
		if (c == 0)
			return MF_E_BAD;
		if (len + 1 >= size)
			return MF_E_LIMIT;
		buf[len++] = (char)c;
	}
	buf[len] = '\0';
	return (int)len;
}

int mf_http_find_param(struct mf_span query, const char *name, char *buf, size_t size)
{
	size_t name_len = strlen(name);
	int r = MF_E_NOENT;

	while (query.len) {
		const uint8_t *amp = memchr(query.ptr, '&', query.len);
		size_t len = amp ? (size_t)(amp - query.ptr) : query.len;
		struct mf_span item = mf_span_of(query.ptr, len);

		if (item.len > name_len && item.ptr[name_len] == '=' &&
		    memcmp(item.ptr, name, name_len) == 0) {
			if (r != MF_E_NOENT)
				return MF_E_EXIST;
			r = decode(mf_span_sub(item, name_len + 1, item.len), buf, size);
			if (r < 0)
				return r;
		}
		query = mf_span_sub(query, len + 1, query.len);
	}
	return r;
}
