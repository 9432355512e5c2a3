/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surface.c - what is the same for every request of the gateway, before anybody looks at what it asks for
 *
 * Whose it is, where proxies stand in between; the path without its prefix; how fast its address asks; preflights; and what every
 * answer carries: a name for the request, which its sender may choose, and the fields that keep a browser from guessing.
 */
#include <stdio.h>
#include <strings.h>

#include "core/base/hash.h"
#include "proxies/gateway/gateway_int.h"

enum {
	URL_MAX = 8192,
	ID_MAX = 128,
	BURST_MIN = 10, /* requests that may come at once, whatever the rate */
};

static const char type_json[] = "application/json; charset=utf-8";

/* --- names of requests ------------------------------------------------------------------------------------------------ */

static bool is_name(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	return s.len > 0 && s.len <= ID_MAX;
}

/* Nobody has to believe it, so it has to be unlike any other, and no more (RFC 9562 5.8). */
static const char *make_id(struct mf_gateway *gw)
{
	uint64_t a = mf_hash_u64(gw->request_seed, ++gw->request_cnt);
	uint64_t b = mf_hash_u64(~gw->request_seed, gw->request_cnt);

	char *to = gw->request_id;

	a = (a & ~UINT64_C(0xf000)) | 0x8000;
	b = (b & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62;
	for (unsigned i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*to++ = '-';
		*to++ = "0123456789abcdef"[(i < 16 ? a : b) >> (60 - 4 * (i & 15)) & 15];
	}
	*to = '\0';
	return gw->request_id;
}

static size_t on_fields(void *ctx, const char *note, struct mf_http_field *ret, size_t max)
{
	static const struct {
		const char *name, *value;
	} always[] = {
		{ "x-content-type-options", "nosniff" },
		{ "referrer-policy", "no-referrer" },
		{ "x-frame-options", "DENY" },
		{ "permissions-policy", "camera=(), geolocation=(), microphone=(self), usb=(self)" },
	}, isolated[] = {
		{ "cross-origin-opener-policy", "same-origin" },
		{ "cross-origin-embedder-policy", "require-corp" },
		{ "cross-origin-resource-policy", "same-origin" },
		{ "origin-agent-cluster", "?1" },
	};
	struct mf_gateway *gw = ctx;
	size_t cnt = 0;

	ret[cnt++] = (struct mf_http_field){ mf_span_str("x-request-id"),
					     mf_span_str(note ? note : make_id(gw)) };
	for (size_t i = 0; i < MF_ARRAY_SIZE(always) && cnt < max; i++)
		ret[cnt++] = (struct mf_http_field){ mf_span_str(always[i].name),
						     mf_span_str(always[i].value) };
	for (size_t i = 0; gw->opt.isolate && i < MF_ARRAY_SIZE(isolated) && cnt < max; i++)
		ret[cnt++] = (struct mf_http_field){ mf_span_str(isolated[i].name),
						     mf_span_str(isolated[i].value) };
	return cnt;
}

/* --- who, and where --------------------------------------------------------------------------------------------------- */

static void find_client(struct mf_gateway *gw, struct mf_http_request *req)
{
	struct mf_forwarded f;

	if (!gw->opt.forwarding)
		return;
	mf_forwarded_read(gw->opt.forwarding, &req->peer, req, &f);
	req->peer = f.client;
	if (f.has_proto)
		req->secure = f.https;
	if (f.host.len)
		req->host = f.host;
}

struct mf_span mf_gw_path(const struct mf_gateway *gw, const struct mf_http_request *req)
{
	const char *base = gw->opt.base_path;
	size_t len = base ? strlen(base) : 0;

	if (len && req->path.len > len && memcmp(req->path.ptr, base, len) == 0 &&
	    req->path.ptr[len] == '/')
		return mf_span_sub(req->path, len, req->path.len);
	return req->path;
}

static bool is_path(const struct mf_http_request *req, const char *path)
{
	return mf_span_eq(req->path, mf_span_str(path));
}

static bool is_upgrade(const struct mf_http_request *req)
{
	return mf_http_find_field(req, "upgrade").len > 0;
}

/* --- rates ------------------------------------------------------------------------------------------------------------ */

static bool is_too_fast(struct mf_gateway *gw, const struct mf_http_request *req)
{
	uint32_t rate = gw->opt.request_rate;

	if (rate == 0 || is_path(req, "/healthz") || is_path(req, "/readyz") ||
	    is_path(req, "/metrics") || mf_span_eq(req->method, mf_span_str("OPTIONS")))
		return false;
	return !mf_gw_address_take(gw->house->addresses, &req->peer.addr, MF_GW_RATE_REQUESTS, rate,
				   rate < BURST_MIN ? BURST_MIN : rate);
}

static void refuse_rate(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_http_request *req)
{
	/* SERVFAIL without a question: what a resolver in a guest understands */
	static const uint8_t servfail[12] = { 0, 0, 0x80, 2 };
	struct mf_gw_who who;

	mf_gw_refused(gw, req, MF_GW_REFUSED_REQUEST_RATE, 429);
	if (is_upgrade(req)) {
		mf_gw_refuse(gw, x, 429, "Rate limit exceeded");
		return;
	}
	mf_gw_who_read(gw, req, &who);
	if (is_path(req, "/dns-query"))
		mf_gw_answer(
			gw, x, &who,
			&(struct mf_http_answer){ .status = 429,
						  .type = "application/dns-message",
						  .body = mf_span_of(servfail, sizeof(servfail)) });
	else
		mf_gw_answer_error(gw, x, &who, 429, "too_many_requests", "Rate limit exceeded");
}

/* --- preflights ------------------------------------------------------------------------------------------------------- */

static bool is_header_list(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] > '~' || strchr("()<>@;:\\\"/[]?={}", s.ptr[i]))
			return false;
	return s.len <= 4096;
}

/* Fetch, 3.2.2: whatever the path, the answer is about the page that asks. */
static void answer_preflight(struct mf_gateway *gw, struct mf_http_exchange *x,
			     const struct mf_http_request *req, const struct mf_gw_who *who)
{
	struct mf_http_field fields[] = {
		{ mf_span_str("access-control-allow-methods"),
		  mf_span_str("GET,POST,PUT,PATCH,DELETE,OPTIONS") },
		{ mf_span_str("access-control-max-age"), mf_span_str("600") },
		{ mf_span_str("access-control-allow-headers"), { 0 } },
	};
	struct mf_span asked = mf_http_find_field(req, "access-control-request-headers");
	char list[4200];

	if (!is_header_list(asked))
		asked.len = 0;
	snprintf(list, sizeof(list), "content-type%s%.*s", asked.len ? ", " : "", (int)asked.len,
		 asked.len ? (const char *)asked.ptr : "");
	fields[2].value = mf_span_str(list);
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){
			     .status = 204, .fields = fields, .field_cnt = MF_ARRAY_SIZE(fields) });
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

static bool on_request(void *ctx, struct mf_http_exchange *x, struct mf_http_request *req)
{
	struct mf_span id = mf_http_find_field(req, "x-request-id");
	struct mf_gateway *gw = ctx;
	struct mf_gw_who who = { 0 };

	mf_http_exchange_note(x, is_name(id) ? id : mf_span_str(make_id(gw)));
	find_client(gw, req);
	req->path = mf_gw_path(gw, req);
	if (is_upgrade(req) && gw->stopping) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_STOPPING, 503);
		mf_gw_refuse(gw, x, 503, "Shutting down");
	} else if (req->path.len + req->query.len + (req->query.len > 0) > URL_MAX) {
		if (is_upgrade(req))
			mf_gw_refuse(gw, x, 414, "Request URL too long");
		else
			mf_gw_answer_error(gw, x, NULL, 414, "url_too_long",
					   "Request URL too long");
	} else if (is_too_fast(gw, req)) {
		refuse_rate(gw, x, req);
	} else if (!is_upgrade(req) && !mf_gw_origin_read(gw, req, &who)) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_ORIGIN, 403);
		mf_gw_answer_error(gw, x, NULL, 403, "forbidden", "Origin not allowed");
	} else if (!is_upgrade(req) && !is_path(req, "/healthz") && !is_path(req, "/readyz") &&
		   !mf_gw_is_own_host(gw, req)) {
		mf_gw_refused(gw, req, MF_GW_REFUSED_HOST, 403);
		mf_gw_answer_error(gw, x, NULL, 403, "forbidden", "Host not allowed");
	} else if (mf_span_eq(req->method, mf_span_str("OPTIONS"))) {
		answer_preflight(gw, x, req, &who);
	} else {
		return true;
	}
	return false;
}

/* What is printed of a request goes into a JSON string. */
static void copy_plain(struct mf_span s, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len && len + 1 < size; i++)
		buf[len++] = s.ptr[i] < ' ' || s.ptr[i] > '~' || s.ptr[i] == '"' || s.ptr[i] == '\\'
				     ? '?'
				     : (char)s.ptr[i];
	buf[len] = '\0';
}

static void on_fault(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req,
		     struct mf_http_answer *a)
{
	static const struct {
		int status;
		const char *error, *message;
	} words[] = {
		{ 400, "bad_request", "Bad request" },
		{ 404, "not_found", "Not found" },
		{ 405, "method_not_allowed", "Method not allowed" },
		{ 408, "request_timeout", "The request took too long" },
		{ 413, "payload_too_large", "Request body too large" },
		{ 414, "url_too_long", "Request URL too long" },
		{ 431, "headers_too_large", "Request header fields too large" },
		{ 501, "not_implemented", "Not implemented" },
	};
	static const struct mf_http_field no_store = { { (const uint8_t *)"cache-control", 13 },
						       { (const uint8_t *)"no-store", 8 } };
	struct mf_gateway *gw = ctx;
	char method[32], path[256];
	size_t i = 0;

	if (!a->field_cnt) {
		a->fields = &no_store;
		a->field_cnt = 1;
	}

	if (req && is_upgrade(req)) {
		snprintf(gw->fault, sizeof(gw->fault), "%s\n",
			 a->status == 404 ? "Not Found" : "Method Not Allowed");
		a->type = "text/plain; charset=utf-8";
		mf_http_exchange_end_connection(x);
	} else if (req && a->status == 404) {
		copy_plain(req->method, method, sizeof(method));
		copy_plain(req->path, path, sizeof(path));
		snprintf(gw->fault, sizeof(gw->fault),
			 "{\"message\":\"Route %s:%s not found\",\"error\":\"Not Found\","
			 "\"statusCode\":404}",
			 method, path);
		a->type = type_json;
	} else {
		while (i < MF_ARRAY_SIZE(words) && words[i].status != a->status)
			i++;
		if (i == MF_ARRAY_SIZE(words))
			return;
		snprintf(gw->fault, sizeof(gw->fault), "{\"error\":\"%s\",\"message\":\"%s\"}",
			 words[i].error, words[i].message);
		a->type = type_json;
	}
	a->body = mf_span_str(gw->fault);
}

static const struct mf_http_filter filter = {
	.leaves = mf_gw_leaves,
	.left = mf_gw_left,
	.request = on_request,
	.fields = on_fields,
	.fault = on_fault,
};

void mf_gw_surface_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	gw->request_seed = mf_hash_seed();
	mf_http_service_set_filter(http, &filter, gw);
}
