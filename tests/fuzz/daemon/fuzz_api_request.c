/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_api_request.c - requests of the API: "METHOD PATH?QUERY\n" and a body
 *
 * Each is answered once, by JSON; what is judged has an answer as its schema says.
 */
#include <stdlib.h>
#include <string.h>

#include "core/policy/runtime.h"
#include "daemon/routes.h"
#include "daemon/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_api *api;
static struct mf_vm *vm;
static json_t *schemas;
static unsigned answers;

static void check_problem(const json_t *json, int status)
{
	if (json_integer_value(json_object_get(json, "status")) != status ||
	    !json_is_string(json_object_get(json, "code")) ||
	    !json_is_string(json_object_get(json, "detail")))
		abort();
}

static void take_answer(void *carrier, const struct mf_api_answer *a)
{
	struct mf_schema_wrong wrong;
	json_t *json;

	(void)carrier;
	answers++;
	if (a->status == 200 && strncmp(a->type, "text/plain", 10) == 0)
		return;
	json = json_loadb((const char *)a->body.ptr, a->body.len, JSON_DECODE_ANY, NULL);
	if (!json)
		abort();
	if (strcmp(a->type, "application/problem+json") == 0)
		check_problem(json, a->status);
	else if (json_is_array(json) || json_object_get(json, "verdict"))
		if (mf_schema_check(schemas, json_object_get(schemas, "Decisions"), json, &wrong) <
		    0)
			abort();
	json_decref(json);
}

static int begin(void *carrier, const char *type, struct mf_api_call *call)
{
	(void)carrier;
	(void)type;
	(void)call;
	return MF_E_UNSUPPORTED;
}

static const struct mf_api_transport transport = { .answer = take_answer, .begin = begin };

static void start(void)
{
	struct mf_routes_decide *decide;
	struct mf_routes_status *status;
	struct mf_runtime *rt;
	const json_t *schema;
	const char *name;
	struct mf_err err;
	size_t at = 0;

	api = mf_api_new(mf_metrics_new(0), &mf_clock_system);
	MF_MUST(api && mf_runtime_new(NULL, &rt, &err) == 0 && mf_vm_new(rt, &vm, &err) == 0);
	MF_MUST(mf_routes_status_new(api, rt, &status, &err) == 0 &&
		mf_routes_decide_new(api, vm, &decide, &err) == 0);
	schemas = json_object();
	while ((schema = mf_api_next_schema(api, &at, &name)))
		json_object_set(schemas, name, (json_t *)(uintptr_t)schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_api_request req = { .type = mf_span_str("application/json") };
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL, *space, *mark;
	struct mf_span target;

	if (!api)
		start();
	space = end ? memchr(data, ' ', (size_t)(end - data)) : NULL;
	if (!space)
		return 0;
	req.method = mf_span_of(data, (size_t)(space - data));
	target = mf_span_of(space + 1, (size_t)(end - space) - 1);
	mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
	req.path = mark ? mf_span_of(target.ptr, (size_t)(mark - target.ptr)) : target;
	req.query = mf_span_sub(target, req.path.len + 1, target.len);
	req.body = mf_span_of(end + 1, size - (size_t)(end - data) - 1);
	answers = 0;
	mf_api_dispatch(api, &transport, NULL, &req);
	if (answers != 1 || mf_api_waiting(api) != 0)
		abort();
	return 0;
}
