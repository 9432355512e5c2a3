/* SPDX-License-Identifier: Apache-2.0 */
/* dns_https.c - see dns_https.h */
#include "proxies/dns_https.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "core/base/bytes.h"
#include "core/wire/dns_json.h"
#include "proxies/dns_proxy.h"
#include "proxies/http_service.h"
#include "proxies/proxy_int.h"

static const char type_message[] = "application/dns-message";
static const char type_json[] = "application/dns-json";

enum {
	AGE_MAX_S = 86400,
	JSON_MAX = 1 << 20,
};

/* A question that waits for its answer. */
struct turn {
	struct mf_dns_https *h;
	struct turn *prev, *next;
	struct mf_http_exchange *x;
	uint16_t type;
	int status; /* of an answer that is a message */
	bool json, subnet;
};

struct mf_dns_https {
	struct mf_proxy *proxy;
	struct turn *turns;
	struct mf_strbuf json;
	uint8_t msg[MF_DNS_MESSAGE_MAX];
};

static void free_turn(struct turn *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->h->turns = t->next;
	if (t->next)
		t->next->prev = t->prev;
	free(t);
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void refuse(struct mf_http_exchange *x, int status, const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "%s\n", why);
	mf_http_answer_text(x, status, "text/plain", text);
}

static void answer(struct mf_http_exchange *x, int status, const char *type, struct mf_span body,
		   int age_s)
{
	char text[48];
	struct mf_http_field field = { mf_span_str("cache-control"), mf_span_str("no-store") };

	if (age_s > 0) {
		snprintf(text, sizeof(text), "private, max-age=%d", age_s);
		field.value = mf_span_str(text);
	}
	mf_http_answer(x, &(struct mf_http_answer){ .status = status,
						    .type = type,
						    .body = body,
						    .fields = &field,
						    .field_cnt = 1 });
}

static void on_reply(void *ctx, const uint8_t *bytes, size_t len)
{
	struct turn *t = ctx;
	struct mf_http_exchange *x = t->x;
	struct mf_span msg = mf_span_of(bytes, len);
	struct mf_strbuf *json = &t->h->json;
	int age = len ? mf_dns_lifetime(msg, t->type, AGE_MAX_S) : 0;

	if (len == 0) {
		refuse(x, 400, "this is no DNS question");
	} else if (!t->json) {
		answer(x, t->status, type_message, msg, t->status == 200 ? age : 0);
	} else {
		mf_strbuf_clear(json);
		if (mf_dns_write_json(msg, t->subnet, json) < 0)
			refuse(x, 500, "the answer has no form in JSON");
		else
			answer(x, 200, type_json, mf_span_of(json->str, json->len), age);
	}
	free_turn(t);
}

static void on_gone(void *ctx, struct mf_http_exchange *x)
{
	struct turn *t = ctx;

	mf_dns_proxy_cancel(t->h->proxy->dns, t);
	refuse(x, 503, "");
	free_turn(t);
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

static void ask(struct mf_dns_https *h, struct mf_http_exchange *x,
		const struct mf_http_request *req, struct mf_span msg, const struct turn *how)
{
	struct mf_session_flow flow = { .proto = MF_TCP, .client = req->peer, .https = true };
	struct mf_dns_query q;
	struct turn *t;
	int r = mf_dns_read_query(msg, &q);

	t = malloc(sizeof(*t));
	if (!t) {
		refuse(x, 503, "no memory");
		return;
	}
	*t = *how;
	t->h = h;
	t->x = x;
	t->type = r < 0 ? 0 : q.type;
	/* another opcode is a question that is understood, and not served */
	t->status = r == MF_E_BAD || (r < 0 && !(msg.ptr[2] & 0x78)) ? 400 : 200;
	t->prev = NULL;
	t->next = h->turns;
	if (t->next)
		t->next->prev = t;
	h->turns = t;
	mf_http_exchange_on_gone(x, on_gone, t);
	mf_dns_proxy_ask(h->proxy->dns, &flow, msg, on_reply, t);
}

static void ask_message(struct mf_dns_https *h, struct mf_http_exchange *x,
			const struct mf_http_request *req, struct mf_span msg)
{
	if (msg.len > MF_DNS_MESSAGE_MAX)
		refuse(x, 413, "a DNS message has at most 65535 bytes");
	else
		ask(h, x, req, msg, &(struct turn){ .json = false });
}

/* The parameter dns, taken out of the query by hand: no percent sign belongs into it. Return: as mf_http_find_param() */
static int find_dns_param(struct mf_span query, struct mf_span *ret)
{
	int r = MF_E_NOENT;

	while (query.len) {
		const uint8_t *amp = memchr(query.ptr, '&', query.len);
		size_t len = amp ? (size_t)(amp - query.ptr) : query.len;

		if (len >= 4 && memcmp(query.ptr, "dns=", 4) == 0) {
			if (r == 0)
				return MF_E_EXIST;
			*ret = mf_span_of(query.ptr + 4, len - 4);
			r = 0;
		}
		query = mf_span_sub(query, len + 1, query.len);
	}
	return r;
}

/* 0 and 1 in their usual spellings; Return: false for another one */
static bool read_flag(struct mf_span query, const char *name, bool *ret)
{
	char text[8];
	int r = mf_http_find_param(query, name, text, sizeof(text));

	if (r == MF_E_NOENT)
		return true;
	if (r < 0)
		return false;
	*ret = strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0;
	return *ret || r == 0 || strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0;
}

/* Return: why it is none, or NULL */
static const char *read_json_question(struct mf_span query, struct mf_dns_query *q, struct turn *t)
{
	char text[MF_DNS_TEXT_MAX + 1];
	int r = mf_http_find_param(query, "name", text, sizeof(text));

	memset(q, 0, sizeof(*q));
	q->class = 1;
	q->type = MF_DNS_A;
	q->udp_size = MF_DNS_UDP_MAX;
	q->has_edns = q->recursion = true;
	if (r == MF_E_NOENT)
		return "a name is wanted: name=";
	if (r <= 0 || mf_dns_parse_name(text, &q->name) < 0)
		return "name= is no name";
	r = mf_http_find_param(query, "type", text, sizeof(text));
	if (r > 0)
		r = mf_dns_type_parse(text);
	else if (r == MF_E_NOENT)
		r = MF_DNS_A;
	if (r <= 0)
		return "type= is no record type";
	q->type = (uint16_t)r;
	if (!read_flag(query, "do", &q->dnssec_ok) ||
	    !read_flag(query, "cd", &q->checking_disabled))
		return "do= and cd= are 0 or 1";
	r = mf_http_find_param(query, "ct", text, sizeof(text));
	if (r > 0 && strcmp(text, type_message) == 0)
		t->json = false;
	else if (r > 0 && strcmp(text, type_json) != 0)
		return "ct= is application/dns-json or application/dns-message";
	else if (r <= 0 && r != MF_E_NOENT)
		return "ct= is no media type";
	t->subnet = mf_http_find_param(query, "edns_client_subnet", text, sizeof(text)) > 0;
	return NULL;
}

static void on_json(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_dns_https *h = ctx;
	struct turn how = { .json = true };
	uint8_t buf[MF_DNS_QUERY_MAX];
	struct mf_dns_query q;
	const char *why = read_json_question(req->query, &q, &how);
	int len;

	if (why) {
		refuse(x, 400, why);
		return;
	}
	len = mf_dns_write_query(&q, 0, NULL, buf, sizeof(buf));
	if (len < 0)
		refuse(x, 400, "name= is too long");
	else
		ask(h, x, req, mf_span_of(buf, (size_t)len), &how);
}

static void on_get(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_dns_https *h = ctx;
	struct mf_span text;
	char name[2];
	bool named = mf_http_find_param(req->query, "name", name, sizeof(name)) != MF_E_NOENT;
	int len, r = find_dns_param(req->query, &text);

	if (r == MF_E_NOENT && named) {
		on_json(ctx, x, req);
		return;
	}
	if (r < 0 || named) {
		refuse(x, 400,
		       r == MF_E_NOENT ? "a question is wanted: dns=BASE64URL, or name=NAME"
				       : "one question is wanted, by dns= or by name=");
		return;
	}
	len = mf_base64url_decode(text, h->msg, sizeof(h->msg));
	if (len == MF_E_LIMIT)
		refuse(x, 413, "a DNS message has at most 65535 bytes");
	else if (len < 0)
		refuse(x, 400, "dns= is no base64url (RFC 4648 5, without padding)");
	else
		ask_message(h, x, req, mf_span_of(h->msg, (size_t)len));
}

static void on_post(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_span type = mf_http_find_field(req, "content-type");
	const uint8_t *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;

	if (semicolon)
		type.len = (size_t)(semicolon - type.ptr);
	if (type.len != sizeof(type_message) - 1 ||
	    strncasecmp((const char *)type.ptr, type_message, type.len) != 0)
		refuse(x, 415, "a question is application/dns-message");
	else
		ask_message(ctx, x, req, req->body);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static const struct mf_http_route routes[] = {
	{ .method = "GET", .path = "/dns-query", .fn = on_get },
	{ .method = "POST", .path = "/dns-query", .fn = on_post },
	{ .method = "GET", .path = "/resolve", .fn = on_json },
	{ .method = "GET", .path = "/dns-json", .fn = on_json },
};

int mf_dns_https_new(struct mf_proxy *proxy, struct mf_http_service *http,
		     struct mf_dns_https **ret, struct mf_err *err)
{
	struct mf_dns_https *h = calloc(1, sizeof(*h));

	if (!h)
		return mf_err_set(err, MF_E_NOMEM, "no memory for DNS over HTTPS");
	h->proxy = proxy;
	h->json = (struct mf_strbuf)MF_STRBUF_INIT(JSON_MAX);
	if (mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), h) < 0) {
		free(h);
		return mf_err_set(err, MF_E_FULL,
				  "the HTTP service has no room for DNS over HTTPS");
	}
	*ret = h;
	return 0;
}

void mf_dns_https_free(struct mf_dns_https *h)
{
	if (!h)
		return;
	while (h->turns) {
		struct turn *t = h->turns;

		mf_dns_proxy_cancel(h->proxy->dns, t);
		mf_http_exchange_on_gone(t->x, NULL, NULL);
		refuse(t->x, 503, "this resolver ends");
		free_turn(t);
	}
	mf_strbuf_done(&h->json);
	free(h);
}
