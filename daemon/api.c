/* SPDX-License-Identifier: Apache-2.0 */
/* api.c - the table of routes: adding to it, finding in it, checking bodies by it; see api.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/hex.h"
#include "daemon/api_int.h"
#include "daemon/schema.h"

#define ALLOW_MAX 96

struct mf_api *mf_api_new(struct mf_metrics *metrics, const struct mf_clock *clock)
{
	static const uint64_t bounds[] = { 50000,    100000,	250000,	   500000,
					   1000000,  2500000,	5000000,   10000000,
					   50000000, 100000000, 500000000, 1000000000 };
	struct mf_api *api = calloc(1, sizeof(*api));

	if (!api)
		return NULL;
	api->metrics = metrics;
	api->clock = clock;
	api->schemas = json_object();
	if (!api->schemas) {
		free(api);
		return NULL;
	}
	api->seconds = mf_metrics_histogram(metrics, "moonfence_api_request_seconds",
					    "Time from a whole request to its answer", NULL, 0,
					    bounds, MF_ARRAY_SIZE(bounds), 1e-9);
	api->busy = mf_metrics_counter(metrics, "moonfence_api_busy_total",
				       "Requests refused because too many wait", NULL, 0);
	return api;
}

void mf_api_free(struct mf_api *api)
{
	if (!api)
		return;
	json_decref(api->schemas);
	free(api);
}

/* --- sets -------------------------------------------------------------------------------------------------------- */

static int add_schema(struct mf_api *api, const struct mf_api_schema *s, struct mf_err *err)
{
	json_error_t why;
	json_t *schema = json_loads(s->json, JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!schema)
		return mf_err_set(err, MF_E_SYNTAX, "schema %s: %s at %d", s->name, why.text,
				  why.position);
	r = mf_schema_known(schema, err);
	if (r < 0) {
		json_decref(schema);
		return r;
	}
	if (json_object_get(api->schemas, s->name)) {
		json_decref(schema);
		return mf_err_set(err, MF_E_EXIST, "two schemas are called %s", s->name);
	}
	return json_object_set_new(api->schemas, s->name, schema) == 0
		       ? 0
		       : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

static int check_route(const struct mf_api *api, const struct mf_api_route *r, struct mf_err *err)
{
	const struct mf_api_route *other;
	size_t at = 0;

	while ((other = mf_api_next(api, &at)))
		if (strcmp(other->id, r->id) == 0 ||
		    (strcmp(other->path, r->path) == 0 && strcmp(other->method, r->method) == 0))
			return mf_err_set(err, MF_E_EXIST, "the route %s %s is there twice",
					  r->method, r->path);
	if ((r->request && !json_object_get(api->schemas, r->request)) ||
	    (r->answer && !json_object_get(api->schemas, r->answer)))
		return mf_err_set(err, MF_E_SYNTAX, "%s %s names a schema that is not there",
				  r->method, r->path);
	return 0;
}

int mf_api_add(struct mf_api *api, const struct mf_api_set *set, void *ctx, struct mf_err *err)
{
	int r = 0;

	if (api->set_cnt == MF_API_SETS_MAX)
		return mf_err_set(err, MF_E_FULL, "at most %d sets of routes", MF_API_SETS_MAX);
	for (size_t i = 0; i < set->schema_cnt && r == 0; i++)
		r = add_schema(api, &set->schemas[i], err);
	for (size_t i = 0; i < set->route_cnt && r == 0; i++)
		r = check_route(api, &set->routes[i], err);
	if (r < 0)
		return r;
	api->sets[api->set_cnt].set = set;
	api->sets[api->set_cnt++].ctx = ctx;
	return 0;
}

const struct mf_api_route *mf_api_next(const struct mf_api *api, size_t *at)
{
	size_t n = *at;

	for (size_t i = 0; i < api->set_cnt; i++) {
		if (n < api->sets[i].set->route_cnt) {
			++*at;
			return &api->sets[i].set->routes[n];
		}
		n -= api->sets[i].set->route_cnt;
	}
	return NULL;
}

const json_t *mf_api_next_schema(const struct mf_api *api, size_t *at, const char **ret_name)
{
	size_t n = *at;

	for (size_t i = 0; i < api->set_cnt; i++) {
		if (n < api->sets[i].set->schema_cnt) {
			++*at;
			*ret_name = api->sets[i].set->schemas[n].name;
			return json_object_get(api->schemas, *ret_name);
		}
		n -= api->sets[i].set->schema_cnt;
	}
	return NULL;
}

struct mf_metrics *mf_api_metrics(struct mf_api *api)
{
	return api->metrics;
}

uint64_t mf_api_waiting(const struct mf_api *api)
{
	return api->waiting;
}

/* --- paths ------------------------------------------------------------------------------------------------------- */

int mf_api_decode(struct mf_span text, char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		int c = text.ptr[i];

		if (c == '%') {
			int a = text.len - i > 2 ? mf_hex_digit(text.ptr[i + 1]) : -1;
			int b = text.len - i > 2 ? mf_hex_digit(text.ptr[i + 2]) : -1;

			if (a < 0 || b < 0)
				return MF_E_BAD;
			c = a << 4 | b;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return MF_E_BAD;
		if (len + 1 >= size)
			return MF_E_LIMIT;
		buf[len++] = (char)c;
	}
	buf[len] = '\0';
	return (int)len;
}

static size_t part_len(const char *p, size_t len)
{
	const char *slash = memchr(p, '/', len);

	return slash ? (size_t)(slash - p) : len;
}

/* Whether @path is of the form of @pattern; its parameters go to @call. A parameter is one part, and never empty. */
static bool leads(const char *pattern, struct mf_span path, struct mf_api_call *call, bool *ret_bad)
{
	const char *p = (const char *)path.ptr;
	size_t left = path.len, pat_left = strlen(pattern);
	unsigned n = 0;

	for (;;) {
		size_t a = part_len(pattern, pat_left), b = part_len(p, left);

		if (a && pattern[0] == '{') {
			if (b == 0)
				return false;
			if (n < MF_API_PARAMS_MAX &&
			    mf_api_decode(mf_span_of(p, b), call->params[n], MF_API_PARAM_MAX) < 0)
				*ret_bad = true;
			n++;
		} else if (a != b || memcmp(pattern, p, a) != 0) {
			return false;
		}
		if (a == pat_left || b == left)
			return a == pat_left && b == left;
		pattern += a + 1, pat_left -= a + 1;
		p += b + 1, left -= b + 1;
	}
}

/* A path without parameters comes before one with them: /v1/policy/load and /v1/policy/{id} live together. */
static bool find_route(struct mf_api *api, const struct mf_api_request *req,
		       struct mf_api_call *call, char *allow, bool *ret_bad)
{
	bool exact = false;
	size_t len = 0;

	allow[0] = '\0';
	for (size_t i = 0; i < api->set_cnt; i++) {
		for (size_t k = 0; k < api->sets[i].set->route_cnt; k++) {
			const struct mf_api_route *r = &api->sets[i].set->routes[k];
			bool plain = !strchr(r->path, '{');

			if ((exact && !plain) || !leads(r->path, req->path, call, ret_bad))
				continue;
			if (plain && !exact) {
				exact = true;
				call->route = NULL;
				allow[len = 0] = '\0';
				*ret_bad = false;
			}
			if (len < ALLOW_MAX)
				len += (size_t)snprintf(allow + len, ALLOW_MAX - len, "%s%s",
							len ? ", " : "", r->method);
			if (mf_span_eq(req->method, mf_span_str(r->method))) {
				call->route = r;
				call->ctx = api->sets[i].ctx;
			}
		}
	}
	return call->route != NULL;
}

/* --- bodies ------------------------------------------------------------------------------------------------------ */

static bool is_json(struct mf_span type)
{
	static const char word[] = "application/json";
	size_t len = sizeof(word) - 1;

	return type.len == 0 ||
	       (type.len >= len && strncasecmp((const char *)type.ptr, word, len) == 0 &&
		(type.len == len || type.ptr[len] == ';' || type.ptr[len] == ' '));
}

/* Return: false: answered */
static bool read_body(struct mf_api_call *call, const struct mf_api_request *req)
{
	const struct mf_api_route *route = call->route;
	struct mf_schema_wrong wrong;
	json_error_t why;

	if (!route->request) {
		if (req->body.len == 0)
			return true;
		mf_api_problem(call, 400, "no_body_wanted", "%s %s takes no body", route->method,
			       route->path);
		return false;
	}
	if (req->body.len == 0 && route->body_optional)
		return true;
	if (!is_json(req->type)) {
		mf_api_problem(call, 415, "not_json", "the body's type must be application/json");
		return false;
	}
	call->text = req->body;
	if (route->own_check)
		return true;
	call->body = json_loadb((const char *)req->body.ptr, req->body.len,
				JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!call->body) {
		mf_api_problem(call, 400, "bad_json", "line %d, column %d: %s", why.line,
			       why.column, why.text);
		return false;
	}
	if (mf_schema_check(call->api->schemas, json_object_get(call->api->schemas, route->request),
			    call->body, &wrong) < 0) {
		mf_api_problem_at(call, 422, wrong.code, wrong.pointer, "%s", wrong.text);
		return false;
	}
	return true;
}

/* Queries are kept, and are known to decode. Return: false: answered */
static bool keep_query(struct mf_api_call *call, struct mf_span query)
{
	char *copy, buf[2048];

	if (query.len == 0)
		return true;
	if (mf_api_decode(query, buf, sizeof(buf)) < 0) {
		mf_api_problem(call, 400, "bad_query",
			       "the query is too long, or not percent-encoded");
		return false;
	}
	copy = malloc(query.len);
	if (!copy) {
		mf_api_problem(call, 503, "no_memory", "out of memory");
		return false;
	}
	memcpy(copy, query.ptr, query.len);
	call->query_copy = copy;
	call->query = mf_span_of(copy, query.len);
	return true;
}

/* Before there is a call: nothing to allocate, nothing to free. */
static void refuse_busy(struct mf_api *api, const struct mf_api_transport *t, void *carrier)
{
	static const char text[] =
		"{\"type\": \"about:blank\", \"title\": \"Service Unavailable\", \"status\": 503, "
		"\"code\": \"too_many_requests\", \"detail\": \"too many requests wait for their "
		"answers\"}\n";

	mf_counter_add(api->busy, 1);
	mf_api_count(api, NULL, 503, mf_clock_now(api->clock));
	t->answer(carrier, &(struct mf_api_answer){ .status = 503,
						    .type = "application/problem+json",
						    .body = mf_span_str(text) });
}

void mf_api_dispatch(struct mf_api *api, const struct mf_api_transport *t, void *carrier,
		     const struct mf_api_request *req)
{
	struct mf_api_call *call;
	char allow[ALLOW_MAX];
	bool bad = false;

	call = api->waiting < MF_API_WAITING_MAX ? calloc(1, sizeof(*call)) : NULL;
	if (!call) {
		refuse_busy(api, t, carrier);
		return;
	}
	api->waiting++;
	call->api = api;
	call->t = t;
	call->carrier = carrier;
	call->peer = req->peer;
	call->last_event_id = req->last_event_id;
	call->began_ns = mf_clock_now(api->clock);
	snprintf(call->path, sizeof(call->path), "%.*s", (int)req->path.len,
		 (const char *)req->path.ptr);
	if (!find_route(api, req, call, allow, &bad)) {
		if (allow[0])
			mf_api_refuse_method(call, allow);
		else
			mf_api_problem(call, 404, "no_route", "there is nothing at this path");
		return;
	}
	if (bad) {
		mf_api_problem(call, 400, "bad_path",
			       "a part of the path is malformed or too long");
		return;
	}
	if (keep_query(call, req->query) && read_body(call, req))
		call->route->fn(call->ctx, call);
}
