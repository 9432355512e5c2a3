/* SPDX-License-Identifier: Apache-2.0 */
/* api_answer.c - calls: what handlers ask of them, and how they end; see api.h */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/value.h"
#include "daemon/api_int.h"

#define PROBLEM_MAX 8192

static const struct {
	int status;
	const char *title;
} titles[] = {
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *title_of(int status)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(titles); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

void mf_api_count(struct mf_api *api, const struct mf_api_route *route, int status,
		  uint64_t began_ns)
{
	char text[8];
	struct mf_label labels[] = { { "route", route ? route->id : "none" }, { "status", text } };

	snprintf(text, sizeof(text), "%d", status);
	mf_counter_add(mf_metrics_counter(api->metrics, "moonfence_api_requests_total",
					  "Requests answered", labels, MF_ARRAY_SIZE(labels)),
		       1);
	mf_histogram_observe(api->seconds, mf_clock_now(api->clock) - began_ns);
}

/* --- what handlers ask ------------------------------------------------------------------------------------------- */

const char *mf_api_param(const struct mf_api_call *call, unsigned i)
{
	return i < MF_API_PARAMS_MAX ? call->params[i] : "";
}

bool mf_api_query(const struct mf_api_call *call, const char *name, char *buf, size_t size)
{
	struct mf_span rest = call->query;
	size_t name_len = strlen(name);

	while (rest.len) {
		const uint8_t *amp = memchr(rest.ptr, '&', rest.len);
		size_t len = amp ? (size_t)(amp - rest.ptr) : rest.len;

		if (len > name_len && rest.ptr[name_len] == '=' &&
		    memcmp(rest.ptr, name, name_len) == 0)
			return mf_api_decode(
				       mf_span_of(rest.ptr + name_len + 1, len - name_len - 1), buf,
				       size) >= 0;
		rest = mf_span_sub(rest, len + 1, rest.len);
	}
	return false;
}

bool mf_api_query_flag(const struct mf_api_call *call, const char *name)
{
	char buf[8];

	return mf_api_query(call, name, buf, sizeof(buf)) &&
	       (strcmp(buf, "true") == 0 || strcmp(buf, "1") == 0);
}

const json_t *mf_api_body(const struct mf_api_call *call)
{
	return call->body;
}

struct mf_span mf_api_body_text(const struct mf_api_call *call)
{
	return call->text;
}

struct mf_span mf_api_last_event_id(const struct mf_api_call *call)
{
	return call->last_event_id;
}

const struct mf_peer *mf_api_peer(const struct mf_api_call *call)
{
	return &call->peer;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void end_call(struct mf_api_call *call)
{
	call->api->waiting--;
	json_decref(call->body);
	free(call->query_copy);
	free(call);
}

static void send_answer(struct mf_api_call *call, const struct mf_api_answer *a)
{
	mf_api_count(call->api, call->route, a->status, call->began_ns);
	call->t->answer(call->carrier, a);
	end_call(call);
}

void mf_api_answer_text(struct mf_api_call *call, int status, const char *type, struct mf_span text)
{
	send_answer(call, &(struct mf_api_answer){ .status = status,
						   .type = type ? type : "application/json",
						   .body = text });
}

void mf_api_answer(struct mf_api_call *call, int status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	json_decref(json);
	if (text)
		mf_api_answer_text(call, status, NULL, mf_span_str(text));
	else
		mf_api_problem(call, 500, "no_memory", "out of memory");
	free(text);
}

static void add_member(struct mf_strbuf *b, const char *name, const char *text)
{
	mf_strbuf_addf(b, ", \"%s\": ", name);
	mf_json_add_str(b, text, strlen(text));
}

struct problem {
	int status;
	const char *code, *detail, *pointer, *allow;
	const struct mf_err *err; /* its place */
};

static void send_problem(struct mf_api_call *call, const struct problem *p)
{
	struct mf_strbuf b = MF_STRBUF_INIT(PROBLEM_MAX);

	mf_strbuf_addf(&b, "{\"type\": \"about:blank\", \"title\": \"%s\", \"status\": %d",
		       title_of(p->status), p->status);
	add_member(&b, "code", p->code);
	add_member(&b, "detail", p->detail);
	add_member(&b, "instance", call->path);
	if (p->pointer)
		add_member(&b, "pointer", p->pointer);
	if (p->err && p->err->file[0])
		add_member(&b, "file", p->err->file);
	if (p->err && p->err->line)
		mf_strbuf_addf(&b, ", \"line\": %u", p->err->line);
	if (p->err && p->err->column)
		mf_strbuf_addf(&b, ", \"column\": %u", p->err->column);
	mf_strbuf_adds(&b, "}\n");
	send_answer(call, &(struct mf_api_answer){ .status = p->status,
						   .type = "application/problem+json",
						   .body = b.failed ? mf_span_str("{}\n")
								    : mf_span_of(b.str, b.len),
						   .allow = p->allow });
	mf_strbuf_done(&b);
}

void mf_api_problem(struct mf_api_call *call, int status, const char *code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_problem(call, &(struct problem){ .status = status, .code = code, .detail = text });
}

void mf_api_problem_at(struct mf_api_call *call, int status, const char *code, const char *pointer,
		       const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_problem(call,
		     &(struct problem){
			     .status = status, .code = code, .detail = text, .pointer = pointer });
}

/* Words for programs; mf_strerror() has those for people. */
static const char *code_of(int code)
{
	static const char *const words[] = {
		[-MF_E_INVAL] = "invalid",   [-MF_E_NOMEM] = "no_memory",
		[-MF_E_NOENT] = "not_found", [-MF_E_EXIST] = "exists",
		[-MF_E_IO] = "io",	     [-MF_E_SYNTAX] = "syntax",
		[-MF_E_POLICY] = "policy",   [-MF_E_STEPS] = "steps",
		[-MF_E_TIME] = "time",	     [-MF_E_MEMORY] = "memory",
		[-MF_E_LIMIT] = "limit",     [-MF_E_FULL] = "full",
		[-MF_E_BAD] = "bad",	     [-MF_E_UNSUPPORTED] = "unsupported",
		[-MF_E_PERM] = "permission", [-MF_E_CLOSED] = "closed",
		[-MF_E_TEST] = "test",	     [-MF_E_BUG] = "bug",
	};

	return code < 0 && (size_t)-code < MF_ARRAY_SIZE(words) && words[-code] ? words[-code]
										: "error";
}

void mf_api_problem_err(struct mf_api_call *call, int status, const struct mf_err *err)
{
	send_problem(call, &(struct problem){ .status = status,
					      .code = code_of(err->code),
					      .detail = err->msg,
					      .err = err });
}

void mf_api_refuse_method(struct mf_api_call *call, const char *allow)
{
	char text[160];

	snprintf(text, sizeof(text), "this path takes %s", allow);
	send_problem(call, &(struct problem){ .status = 405,
					      .code = "wrong_method",
					      .detail = text,
					      .allow = allow });
}

/* --- streams ----------------------------------------------------------------------------------------------------- */

int mf_api_stream_begin(struct mf_api_call *call, const char *type,
			const struct mf_api_stream_ops *ops, void *ctx)
{
	int r;

	call->ops = ops;
	call->stream_ctx = ctx;
	r = call->t->begin(call->carrier, type, call);
	if (r == 0)
		return 0;
	call->ops = NULL;
	mf_api_problem(call, 505, "no_streams", "a stream is answered by HTTP/1 only");
	return MF_E_UNSUPPORTED;
}

int64_t mf_api_stream_send(struct mf_api_call *call, struct mf_span bytes)
{
	return call->t->send(call->carrier, bytes);
}

void mf_api_stream_end(struct mf_api_call *call)
{
	mf_api_count(call->api, call->route, 200, call->began_ns);
	call->t->end(call->carrier);
	end_call(call);
}

void mf_api_stream_gone(struct mf_api_call *call)
{
	const struct mf_api_stream_ops *ops = call->ops;
	void *ctx = call->stream_ctx;

	mf_api_count(call->api, call->route, 499, call->began_ns);
	end_call(call);
	ops->gone(ctx);
}

void mf_api_stream_room(struct mf_api_call *call)
{
	if (call->ops->room)
		call->ops->room(call->stream_ctx);
}
