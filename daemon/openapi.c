/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.c - see openapi.h */
#include "daemon/openapi.h"

#include <stdio.h>
#include <string.h>

#define PROBLEM                                                                                    \
	"{\"type\": \"object\", \"description\": \"What is wrong, and where (RFC 9457)\", "        \
	"\"required\": [\"type\", \"title\", \"status\", \"code\", \"detail\"], \"properties\": {" \
	"\"type\": {\"type\": \"string\"}, \"title\": {\"type\": \"string\"}, "                    \
	"\"status\": {\"type\": \"integer\"}, "                                                    \
	"\"code\": {\"type\": \"string\", \"description\": \"a word that programs compare\"}, "    \
	"\"detail\": {\"type\": \"string\"}, \"instance\": {\"type\": \"string\"}, "               \
	"\"pointer\": {\"type\": \"string\", \"description\": \"where in the body (RFC 6901)\"}, " \
	"\"file\": {\"type\": \"string\"}, \"line\": {\"type\": \"integer\"}, "                    \
	"\"column\": {\"type\": \"integer\"}}}"

static json_t *ref_to(const char *name)
{
	char text[160];

	snprintf(text, sizeof(text), "#/components/schemas/%s", name);
	return json_pack("{s:s}", "$ref", text);
}

/* A type and a schema as a "content"; @schema NULL: any text */
static json_t *content(const char *type, const char *schema)
{
	return json_pack("{s:{s:o}}", type, "schema",
			 schema ? ref_to(schema) : json_pack("{s:s}", "type", "string"));
}

/* Another status, or another type of one that is there. */
static void add_also(json_t *all, const struct mf_api_also *a)
{
	json_t *more = content(a->type ? a->type : "application/json", a->answer), *there;
	char status[8];

	snprintf(status, sizeof(status), "%d", a->status);
	there = json_object_get(json_object_get(all, status), "content");
	if (there)
		json_object_update_new(there, more);
	else
		json_object_set_new(all, status,
				    json_pack("{s:s, s:o}", "description",
					      a->status < 400 ? "it is so already" : "it is not so",
					      "content", more));
}

static json_t *answers(const struct mf_api_route *r)
{
	char status[8];
	json_t *good = json_pack("{s:s}", "description", r->summary), *all;

	snprintf(status, sizeof(status), "%d", r->status ? r->status : 200);
	if (r->answer || r->type)
		json_object_set_new(good, "content",
				    content(r->type ? r->type : "application/json", r->answer));
	all = json_pack("{s:o, s:{s:s, s:o}}", status, good, "default", "description",
			"what is wrong", "content", content("application/problem+json", "Problem"));
	for (const struct mf_api_also *a = r->also; a && a->status; a++)
		add_also(all, a);
	return all;
}

/* The names in braces of a path, and what the query takes. */
static json_t *parameters(const struct mf_api_route *r)
{
	char text[4096];
	json_t *list;

	snprintf(text, sizeof(text), "[%s]", r->query ? r->query : "");
	list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	for (const char *p = r->path; list && (p = strchr(p, '{')); p++)
		json_array_append_new(list, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", p + 1,
						      strcspn(p + 1, "}"), "in", "path", "required",
						      1, "schema", "type", "string"));
	return list;
}

static int add_route(json_t *paths, const struct mf_api_route *r)
{
	json_t *path = json_object_get(paths, r->path), *op, *list = parameters(r);
	char method[12];
	size_t i;

	for (i = 0; r->method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)(r->method[i] | 0x20);
	method[i] = '\0';
	if (!list)
		return -1;
	if (!path) {
		path = json_object();
		if (json_object_set_new(paths, r->path, path) < 0)
			return -1;
	}
	op = json_pack("{s:s, s:s, s:o, s:o}", "operationId", r->id, "summary", r->summary,
		       "parameters", list, "responses", answers(r));
	if (op && r->request)
		json_object_set_new(op, "requestBody",
				    json_pack("{s:b, s:o}", "required", !r->body_optional,
					      "content", content("application/json", r->request)));
	return json_object_set_new(path, method, op);
}

static json_t *all_schemas(const struct mf_api *api)
{
	json_t *schemas = json_object();
	const json_t *schema;
	const char *name;
	size_t at = 0;

	json_object_set_new(schemas, "Problem", json_loads(PROBLEM, 0, NULL));
	while ((schema = mf_api_next_schema(api, &at, &name)))
		json_object_set(schemas, name, (json_t *)(uintptr_t)schema);
	return schemas;
}

json_t *mf_openapi_new(const struct mf_api *api)
{
	json_t *paths = json_object();
	const struct mf_api_route *r;
	size_t at = 0;

	while ((r = mf_api_next(api, &at))) {
		if (add_route(paths, r) < 0) {
			json_decref(paths);
			return NULL;
		}
	}
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s, s:s}], s:o, s:{s:o}}", "openapi",
			 "3.1.0", "info", "title", "Moonfence", "version", mf_version(),
			 "description", "The daemon of one host, over its control socket",
			 "servers", "url", "http://localhost", "description",
			 "a Unix socket, or a named pipe: docs/daemon.md", "paths", paths,
			 "components", "schemas", all_schemas(api));
}
