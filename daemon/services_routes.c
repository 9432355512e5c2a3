/* SPDX-License-Identifier: Apache-2.0 */
/* services_routes.c - /v1/services, /v1/config/reload; see services.h */
#include "daemon/services_int.h"

static void list_services(void *ctx, struct mf_api_call *call)
{
	struct mf_services *v = ctx;
	json_t *list = json_array();

	for (struct mf_service *s = v->list; s; s = s->next)
		json_array_append_new(list, mf_service_json(s));
	mf_api_answer(call, 200, json_pack("{s:o}", "services", list));
}

/* Return: NULL: answered */
static struct mf_service *find(struct mf_services *v, struct mf_api_call *call)
{
	struct mf_service *s = mf_services_find(v, mf_api_param(call, 0));

	if (!s)
		mf_api_problem(call, 404, "no_service",
			       "there is no service '%s' in the configuration",
			       mf_api_param(call, 0));
	return s;
}

static void get_service(void *ctx, struct mf_api_call *call)
{
	struct mf_service *s = find(ctx, call);

	if (s)
		mf_api_answer(call, 200, mf_service_json(s));
}

static void restart_service(void *ctx, struct mf_api_call *call)
{
	struct mf_service *s = find(ctx, call);

	if (!s)
		return;
	mf_service_stop(ctx, s, true);
	mf_api_answer(call, 202, mf_service_json(s));
}

static void stop_service(void *ctx, struct mf_api_call *call)
{
	struct mf_service *s = find(ctx, call);

	if (!s)
		return;
	mf_service_stop(ctx, s, false);
	mf_api_answer(call, 202, mf_service_json(s));
}

static void reload_config(void *ctx, struct mf_api_call *call)
{
	mf_services_read(ctx, call);
}

// clang-format off
#define IDS "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}"

static const struct mf_api_schema schemas[] = {
	{ "Service",
	  "{\"type\": \"object\", \"description\": \"a session, mount, proxy or gateway that moonfence.yaml names\", \"required\": [\"id\", \"kind\", \"state\"], \"properties\": {"
	  "\"id\": {\"type\": \"string\"}, \"kind\": {\"enum\": [\"run\", \"mount\", \"proxy\", \"gateway\"]},"
	  "\"state\": {\"enum\": [\"waiting\", \"starting\", \"running\", \"delayed\", \"ending\", \"ended\", \"failed\"], \"description\": \"delayed: it failed and is started again; failed: it is not\"},"
	  "\"restart\": {\"enum\": [\"on_failure\", \"always\", \"never\"]},"
	  "\"keep\": {\"type\": \"boolean\", \"description\": \"it goes on when the daemon ends\"},"
	  "\"taken_over\": {\"type\": \"boolean\", \"description\": \"it ran before this daemon did\"},"
	  "\"restarts\": {\"type\": \"integer\", \"description\": \"because it failed, since the daemon began\"},"
	  "\"failures\": {\"type\": \"integer\", \"description\": \"one after the other\"},"
	  "\"pid\": {\"type\": \"integer\"}, \"exit_status\": {\"type\": \"integer\", \"description\": \"of the last one that ended; 128 and the signal\"},"
	  "\"again_in_ms\": {\"type\": \"integer\", \"description\": \"delayed: until it is started\"},"
	  "\"why\": {\"type\": \"string\", \"description\": \"it does not run\"}}}" },
	{ "ServiceList",
	  "{\"type\": \"object\", \"required\": [\"services\"], \"properties\": {\"services\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Service\"}}}}" },
	{ "ConfigReloaded",
	  "{\"type\": \"object\", \"required\": [\"started\", \"changed\", \"ended\", \"settings\", \"restart_needed\", \"overridden\"], \"additionalProperties\": false, \"properties\": {"
	  "\"started\": " IDS ", \"changed\": " IDS ", \"ended\": " IDS ","
	  "\"settings\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"description\": \"keys that are in force now as the file says\"},"
	  "\"restart_needed\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"description\": \"keys that count when the daemon is started again\"},"
	  "\"overridden\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"description\": \"keys that the command line says otherwise\"}}}" },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/services",
	  .id = "listServices",
	  .summary = "The sessions, mounts, the proxy and the gateway that moonfence.yaml names",
	  .answer = "ServiceList",
	  .fn = list_services },
	{ .method = "GET",
	  .path = "/v1/services/{id}",
	  .id = "getService",
	  .summary = "One of them",
	  .answer = "Service",
	  .fn = get_service },
	{ .method = "POST",
	  .path = "/v1/services/{id}/restart",
	  .id = "restartService",
	  .summary = "End it if it runs, then start it",
	  .answer = "Service",
	  .status = 202,
	  .fn = restart_service },
	{ .method = "POST",
	  .path = "/v1/services/{id}/stop",
	  .id = "stopService",
	  .summary = "End it; it is not started again until somebody asks, or the daemon begins",
	  .answer = "Service",
	  .status = 202,
	  .fn = stop_service },
	{ .method = "POST",
	  .path = "/v1/config/reload",
	  .id = "reloadConfig",
	  .summary = "Read moonfence.yaml again: SIGHUP does it, too",
	  .answer = "ConfigReloaded",
	  .fn = reload_config },
};

const struct mf_api_set mf_services_set = { routes, MF_ARRAY_SIZE(routes), schemas,
					    MF_ARRAY_SIZE(schemas) };
