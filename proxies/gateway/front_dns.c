/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_dns.c - /dns-query (RFC 8484) and /dns-json for pages: questions of a member, to the same resolver as a session's
 *
 * A question that cannot be read is answered by DNS' own FORMERR, whatever HTTP says of it, so that a guest's resolver hears something.
 */
#include <stdlib.h>
#include <strings.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/wire/dns_json.h"
#include "proxies/dns_proxy.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/reverse.h"

enum {
	JSON_MAX = 1 << 20,
	DNS_HEAD = 12,
	FORMERR = 1,
	SERVFAIL = 2,
	REFUSED = 5,
	TYPE_PTR = 12,
	TYPE_ANY = 255,
};

static const char type_message[] = "application/dns-message";

struct mf_gw_question {
	struct mf_gateway *gw;
	struct mf_gw_question *prev, *next;
	struct mf_http_exchange *x;
	struct mf_gw_member *member;
	struct mf_gw_address *address; /* NULL: bytes are not counted */
	struct mf_gw_who who;
	bool json;
};

static void free_question(struct mf_gw_question *q)
{
	if (q->prev)
		q->prev->next = q->next;
	else
		q->gw->questions = q->next;
	if (q->next)
		q->next->prev = q->prev;
	mf_gw_address_unref(q->gw->house->addresses, q->address);
	mf_gw_member_unref(q->member);
	free(q);
}

/* --- answers -------------------------------------------------------------------------------------------------------------- */

static void answer(struct mf_gateway *gw, struct mf_http_exchange *x, const struct mf_gw_who *who,
		   int status, const char *type, struct mf_span body)
{
	mf_gw_answer(gw, x, who,
		     &(struct mf_http_answer){ .status = status, .type = type, .body = body });
}

/* A head alone, of as much of the question as there is. */
static void answer_error(struct mf_gateway *gw, struct mf_http_exchange *x,
			 const struct mf_gw_who *who, int status, unsigned rcode,
			 struct mf_span msg)
{
	uint8_t head[DNS_HEAD] = { 0 };
	uint16_t flags = 0x8080;

	if (msg.len >= 2)
		memcpy(head, msg.ptr, 2);
	if (msg.len >= 4)
		flags |= mf_load_be16(msg.ptr + 2) & 0x7910; /* opcode, RD, CD */
	mf_store_be16(head + 2, (uint16_t)(flags | rcode));
	answer(gw, x, who, status, type_message, mf_span_of(head, sizeof(head)));
}

static void on_reply(void *ctx, const uint8_t *bytes, size_t len)
{
	struct mf_gw_question *q = ctx;
	struct mf_span msg = mf_span_of(bytes, len);
	struct mf_strbuf json = MF_STRBUF_INIT(JSON_MAX);

	mf_gw_charge_bytes(q->gw, (struct mf_gw_party){ q->member, q->address }, len);
	if (len == 0) {
		answer_error(q->gw, q->x, &q->who, 400, FORMERR, msg);
	} else if (!q->json) {
		answer(q->gw, q->x, &q->who, 200, type_message, msg);
	} else if (len > 3 && (msg.ptr[3] & 15) == REFUSED) {
		mf_gw_answer_error(q->gw, q->x, &q->who, 403, "forbidden", "Name is not allowed");
	} else if (len > 3 && (msg.ptr[3] & 15) == SERVFAIL) {
		mf_gw_answer_error(q->gw, q->x, &q->who, 502, "bad_gateway",
				   "DNS resolution failed");
	} else if (mf_dns_write_json(msg, false, &json) < 0) {
		mf_gw_answer_error(q->gw, q->x, &q->who, 502, "bad_gateway",
				   "DNS resolution failed");
	} else {
		answer(q->gw, q->x, &q->who, 200, "application/dns-json",
		       mf_span_of(json.str, json.len));
	}
	mf_strbuf_done(&json);
	free_question(q);
}

static void on_gone(void *ctx, struct mf_http_exchange *x)
{
	struct mf_gw_question *q = ctx;

	mf_dns_proxy_cancel(q->gw->proxy->dns, q);
	mf_http_answer_text(x, 503, NULL, "");
	free_question(q);
}

/* --- questions ------------------------------------------------------------------------------------------------------------ */

static bool is_too_fast(struct mf_gateway *gw, const struct mf_addr *addr)
{
	uint32_t rate = gw->opt.dns_rate, burst = gw->opt.dns_burst;

	return rate && !mf_gw_address_take(gw->house->addresses, addr, MF_GW_RATE_QUESTIONS,
					   rate * 60, burst ? burst : 2 * rate);
}

/* Return: false: answered */
static bool may_ask(struct mf_gateway *gw, struct mf_http_exchange *x,
		    const struct mf_http_request *req, struct mf_gw_who *who)
{
	enum mf_gateway_refusal why = MF_GW_REFUSED_NUM;
	int status = 403;

	mf_gw_who_read(gw, req, who);
	if (!who->origin_ok) {
		why = MF_GW_REFUSED_ORIGIN;
		mf_gw_answer_error(gw, x, NULL, 403, "forbidden", "Origin not allowed");
	} else if (!who->known) {
		why = MF_GW_REFUSED_CREDENTIALS;
		status = 401;
		mf_gw_answer_error(gw, x, who, 401, "unauthorized", "Missing or invalid session");
	} else if (is_too_fast(gw, &req->peer.addr)) {
		why = MF_GW_REFUSED_QUESTION_RATE;
		status = 429;
		answer_error(gw, x, who, 429, SERVFAIL, mf_span_of(NULL, 0));
	}
	if (why == MF_GW_REFUSED_NUM)
		return true;
	mf_gw_refused(gw, req, why, status);
	return false;
}

/* What nobody has to know of this network: everything there is of a name, and whose an address of it is. */
static bool is_refused(const struct mf_gateway *gw, const struct mf_dns_query *q)
{
	char name[MF_DNS_TEXT_MAX + 1];
	struct mf_addr addr;

	if (q->type == TYPE_ANY)
		return !gw->opt.dns_allow_any;
	return q->type == TYPE_PTR && !gw->opt.dns_allow_private_ptr &&
	       mf_dns_format_name(&q->name, name, sizeof(name)) == 0 &&
	       mf_gw_reverse_read(name, &addr) && mf_addr_is_private(&addr);
}

static void answer_refused(struct mf_gateway *gw, struct mf_http_exchange *x,
			   const struct mf_gw_who *who, const struct mf_dns_query *q, bool json)
{
	const struct mf_dns_answer a = { .rcode = MF_DNS_REFUSED };
	uint8_t msg[MF_DNS_QUERY_MAX + 64];
	int len = mf_dns_write_answer(q, &a, msg, sizeof(msg), sizeof(msg));

	if (json)
		mf_gw_answer_error(gw, x, who, 403, "forbidden", "Question is not allowed");
	else if (len < 0)
		answer_error(gw, x, who, 200, REFUSED, mf_span_of(NULL, 0));
	else
		answer(gw, x, who, 200, type_message, mf_span_of(msg, (size_t)len));
}

/* A question waits for nobody: too fast is refused as well. Return: why; MF_GW_REFUSED_NUM: it may be asked */
static enum mf_gateway_refusal take_bytes(struct mf_gateway *gw, struct mf_gw_party who, size_t len)
{
	switch (mf_gw_take_bytes(gw, who, len)) {
	case MF_GW_OVER:
		return mf_gw_find_used_up(gw, who);
	case MF_GW_WAIT:
		return MF_GW_REFUSED_BYTE_RATE;
	default:
		return MF_GW_REFUSED_NUM;
	}
}

static void ask(struct mf_gateway *gw, struct mf_http_exchange *x,
		const struct mf_http_request *req, const struct mf_gw_who *who, struct mf_span msg,
		bool json)
{
	struct mf_session_flow flow = { .proto = MF_TCP, .client = req->peer, .https = true };
	struct mf_gw_question *q;
	struct mf_gw_member *member;
	enum mf_gateway_refusal why;
	struct mf_dns_query query;
	int r = mf_dns_read_query(msg, &query);

	if (msg.len > gw->opt.dns_message_max) {
		answer_error(gw, x, who, 413, FORMERR, msg);
		return;
	}
	/* another opcode is a question that is understood, and not served */
	if (r == MF_E_BAD || (r < 0 && !(msg.ptr[2] & 0x78))) {
		answer_error(gw, x, who, 400, FORMERR, msg);
		return;
	}
	if (r == 0 && is_refused(gw, &query)) {
		answer_refused(gw, x, who, &query, json);
		return;
	}
	member = mf_gw_who_member(gw, req, who);
	q = member ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		mf_gw_member_unref(member);
		answer_error(gw, x, who, 429, SERVFAIL, msg);
		return;
	}
	if (gw->metered) {
		q->address = mf_gw_address_ref(gw->house->addresses, &req->peer.addr);
		why = take_bytes(gw, (struct mf_gw_party){ member, q->address }, msg.len);
		if (why != MF_GW_REFUSED_NUM) {
			mf_gw_refused(gw, req, why, 429);
			mf_gw_address_unref(gw->house->addresses, q->address);
			mf_gw_member_unref(member);
			free(q);
			answer_error(gw, x, who, 429, SERVFAIL, msg);
			return;
		}
	}
	mf_gw_member_keep_names(member);
	gw->stats.questions++;
	*q = (struct mf_gw_question){ .gw = gw,
				      .x = x,
				      .member = member,
				      .address = q->address,
				      .who = *who,
				      .json = json,
				      .next = gw->questions };
	if (q->next)
		q->next->prev = q;
	gw->questions = q;
	flow.member = &member->pub;
	mf_http_exchange_on_gone(x, on_gone, q);
	mf_dns_proxy_ask(gw->proxy->dns, &flow, msg, on_reply, q);
}

static void on_get(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_span none = mf_span_of(NULL, 0);
	size_t room = gw->opt.dns_message_max + 1;
	char *text = malloc(room * 2);
	uint8_t *msg = malloc(room);
	struct mf_gw_who who;
	int len = MF_E_NOMEM;

	if (!text || !msg) {
		mf_http_answer_text(x, 503, "text/plain", "503 Out of memory\n");
	} else if (may_ask(gw, x, req, &who)) {
		len = mf_http_find_param(req->query, "dns", text, room * 2);
		if (len >= 0)
			len = mf_base64url_decode(mf_span_of(text, (size_t)len), msg, room);
		if (len == MF_E_LIMIT)
			answer_error(gw, x, &who, 413, FORMERR, none);
		else if (len <= 0)
			answer_error(gw, x, &who, 400, FORMERR, none);
		else
			ask(gw, x, req, &who, mf_span_of(msg, (size_t)len), false);
	}
	free(text);
	free(msg);
}

static void on_post(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	struct mf_span type = mf_http_find_field(req, "content-type");
	const uint8_t *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;
	struct mf_gw_who who;

	if (!may_ask(gw, x, req, &who))
		return;
	if (!type.len) {
		mf_gw_answer_error(gw, x, &who, 415, "unsupported_media_type",
				   "Unsupported Media Type");
		return;
	}
	if (semicolon)
		type.len = (size_t)(semicolon - type.ptr);
	if (type.len != sizeof(type_message) - 1 ||
	    strncasecmp((const char *)type.ptr, type_message, type.len) != 0)
		answer_error(gw, x, &who, 415, FORMERR, mf_span_of(NULL, 0));
	else
		ask(gw, x, req, &who, req->body, false);
}

/* Return: why it is none */
static const char *read_json_question(struct mf_span query, struct mf_dns_query *q)
{
	char text[MF_DNS_TEXT_MAX + 1];
	int r = mf_http_find_param(query, "name", text, sizeof(text));

	*q = (struct mf_dns_query){
		.class = 1, .udp_size = MF_DNS_UDP_MAX, .has_edns = true, .recursion = true
	};
	if (r == MF_E_NOENT || r == 0)
		return "Missing 'name' query parameter";
	if (r < 0 || mf_dns_parse_name(text, &q->name) < 0)
		return "Invalid 'name' query parameter";
	r = mf_http_find_param(query, "type", text, sizeof(text));
	if (r == MF_E_NOENT || r == 0)
		return "Missing 'type' query parameter";
	r = r > 0 ? mf_dns_type_parse(text) : r;
	q->type = r > 0 ? (uint16_t)r : 0;
	return r > 0 ? NULL : "Invalid DNS record type";
}

static void on_json(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_gateway *gw = ctx;
	uint8_t msg[MF_DNS_QUERY_MAX];
	struct mf_dns_query q;
	struct mf_gw_who who;
	const char *why;
	int len;

	if (!may_ask(gw, x, req, &who))
		return;
	why = read_json_question(req->query, &q);
	len = why ? MF_E_SYNTAX : mf_dns_write_query(&q, 0, NULL, msg, sizeof(msg));
	if (len < 0)
		mf_gw_answer_error(gw, x, &who, 400, "bad_request",
				   why ? why : "Invalid 'name' query parameter");
	else
		ask(gw, x, req, &who, mf_span_of(msg, (size_t)len), true);
}

int mf_gw_dns_add(struct mf_gateway *gw, struct mf_http_service *http)
{
	static const struct mf_http_route routes[] = {
		{ .method = "GET", .path = "/dns-query", .fn = on_get },
		{ .method = "POST", .path = "/dns-query", .fn = on_post },
		{ .method = "GET", .path = "/dns-json", .fn = on_json },
	};

	return mf_http_service_add(http, routes, MF_ARRAY_SIZE(routes), gw);
}

void mf_gw_dns_free(struct mf_gateway *gw)
{
	while (gw->questions) {
		struct mf_gw_question *q = gw->questions;

		mf_dns_proxy_cancel(gw->proxy->dns, q);
		mf_http_exchange_on_gone(q->x, NULL, NULL);
		mf_http_answer_text(q->x, 503, NULL, "");
		free_question(q);
	}
}
