/* SPDX-License-Identifier: Apache-2.0 */
/* routes_status.c - GET /v1/health, /v1/version, /v1/metrics, /v1/openapi.json */
#include <stdlib.h>
#include <string.h>

#include "daemon/openapi.h"
#include "daemon/routes.h"

#define METRICS_MAX ((size_t)8 << 20)
#define TEXT_TYPE   "text/plain; version=0.0.4; charset=utf-8"

struct mf_routes_status {
	struct mf_api *api;
	struct mf_runtime *rt;
	uint64_t began_ns;
};

static void health(void *ctx, struct mf_api_call *call)
{
	struct mf_routes_status *s = ctx;
	uint64_t generation = s->rt ? mf_runtime_generation(s->rt) : 0;
	uint64_t uptime = mf_clock_now(&mf_clock_system) - s->began_ns;

	mf_api_answer(call, generation ? 200 : 503,
		      json_pack("{s:s, s:I, s:I, s:I}", "status", generation ? "ok" : "no_policies",
				"generation", (json_int_t)generation, "uptime_s",
				(json_int_t)(uptime / MF_NS_PER_S), "waiting",
				(json_int_t)mf_api_waiting(s->api)));
}

static void version(void *ctx, struct mf_api_call *call)
{
	(void)ctx;
	mf_api_answer(call, 200,
		      json_pack("{s:s, s:s, s:s}", "name", "moonfence", "version", mf_version(),
				"api", "v1"));
}

static void metrics(void *ctx, struct mf_api_call *call)
{
	struct mf_routes_status *s = ctx;
	struct mf_strbuf b = MF_STRBUF_INIT(METRICS_MAX);
	char format[8] = "text";
	bool said = mf_api_query(call, "format", format, sizeof(format));
	bool json = said && strcmp(format, "json") == 0;

	if (!json && strcmp(format, "text") != 0) {
		mf_api_problem(call, 422, "wrong_value", "format is text or json");
		return;
	}
	if (json)
		mf_metrics_write_json(mf_api_metrics(s->api), &b);
	else
		mf_metrics_write(mf_api_metrics(s->api), &b);
	if (b.failed)
		mf_api_problem(call, 500, "no_memory", "the metrics found no room");
	else
		mf_api_answer_text(call, 200, json ? NULL : TEXT_TYPE, mf_span_of(b.str, b.len));
	mf_strbuf_done(&b);
}

static void openapi(void *ctx, struct mf_api_call *call)
{
	struct mf_routes_status *s = ctx;

	mf_api_answer(call, 200, mf_openapi_new(s->api));
}

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/health",
	  .id = "health",
	  .summary = "Whether policies are in force; 503 where none are",
	  .answer = "Health",
	  .also = (const struct mf_api_also[]){ { 503, NULL, "Health" }, { 0 } },
	  .fn = health },
	{ .method = "GET",
	  .path = "/v1/version",
	  .id = "version",
	  .summary = "The program's version, and the API's",
	  .answer = "Version",
	  .fn = version },
	{ .method = "GET",
	  .path = "/v1/metrics",
	  .id = "metrics",
	  .summary = "Counters in Prometheus' text format",
	  .query =
		  "{\"name\": \"format\", \"in\": \"query\", \"required\": false, \"description\": "
		  "\"json: the same as an object\", \"schema\": {\"type\": \"string\", \"enum\": "
		  "[\"text\", \"json\"]}}",
	  .type = TEXT_TYPE,
	  .also = (const struct mf_api_also[]){ { 200, NULL, "Metrics" }, { 0 } },
	  .fn = metrics },
	{ .method = "GET",
	  .path = "/v1/openapi.json",
	  .id = "openapi",
	  .summary = "This document",
	  .type = "application/json",
	  .answer = "OpenApi",
	  .fn = openapi },
};

static const struct mf_api_schema schemas[] = {
	{ "Health",
	  "{\"type\": \"object\", \"required\": [\"status\", \"generation\", \"uptime_s\", "
	  "\"waiting\"], \"additionalProperties\": false, \"properties\": {\"status\": "
	  "{\"type\": \"string\", \"enum\": [\"ok\", \"no_policies\"]}, \"generation\": "
	  "{\"type\": \"integer\"}, \"uptime_s\": {\"type\": \"integer\"}, \"waiting\": "
	  "{\"type\": \"integer\", \"description\": \"requests without an answer yet\"}}}" },
	{ "Version", "{\"type\": \"object\", \"required\": [\"name\", \"version\", \"api\"], "
		     "\"additionalProperties\": false, \"properties\": {\"name\": {\"type\": "
		     "\"string\"}, \"version\": {\"type\": \"string\"}, \"api\": {\"type\": "
		     "\"string\", \"const\": \"v1\"}}}" },
	{ "Metrics",
	  "{\"type\": \"object\", \"required\": [\"families\"], \"properties\": {\"families\": "
	  "{\"type\": \"array\", \"items\": {\"type\": \"object\", \"required\": [\"name\", "
	  "\"type\", \"help\", \"series\"], \"properties\": {\"name\": {\"type\": \"string\"}, "
	  "\"type\": {\"enum\": [\"counter\", \"gauge\", \"histogram\"]}, \"help\": {\"type\": "
	  "\"string\"}, \"series\": {\"type\": \"array\", \"items\": {\"type\": "
	  "\"object\"}}}}}}}" },
	{ "OpenApi", "{\"type\": \"object\", \"required\": [\"openapi\", \"info\", \"paths\"]}" },
};

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

int mf_routes_status_new(struct mf_api *api, struct mf_runtime *rt, struct mf_routes_status **ret,
			 struct mf_err *err)
{
	struct mf_routes_status *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	*s = (struct mf_routes_status){ api, rt, mf_clock_now(&mf_clock_system) };
	r = mf_api_add(api, &set, s, err);
	if (r < 0)
		free(s);
	else
		*ret = s;
	return r;
}

void mf_routes_status_free(struct mf_routes_status *s)
{
	free(s);
}
