/* SPDX-License-Identifier: Apache-2.0 */
/* session_self_routes.c - see session_self_routes.h */
#include "daemon/session_self_routes.h"
#include "daemon/maps_schema.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/names/correlation.h"
#include "core/observe/event_ring.h"

#define MAPS_DEFAULT  1000
#define MAPS_MOST     65536
#define NAMES_MAX     64 /* of one address */
#define FLOWS_DEFAULT 200
#define FLOWS_MOST    1000

struct mf_session_routes {
	struct mf_session_card card;
	pthread_mutex_t lock; /* of card.runtime, which goes before we do */
	char started[32];
};

/* ---- the session ------------------------------------------------------------------------------------------------ */

/* What is no UTF-8 is shown as such text is everywhere else: by a mark in its place. */
static json_t *text_json(const char *text)
{
	json_t *j = json_string(text);

	return j ? j : json_string("\xef\xbf\xbd");
}

static json_t *list_json(const char *const *items, size_t cnt)
{
	json_t *list = json_array();

	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(list, text_json(items[i]));
	return list;
}

static size_t count_items(const char *const *items)
{
	size_t cnt = 0;

	while (items && items[cnt])
		cnt++;
	return cnt;
}

static void add_text(json_t *object, const char *name, const char *text)
{
	if (text)
		json_object_set_new(object, name, text_json(text));
}

static json_t *labels_json(const struct mf_session_card *c)
{
	json_t *labels = json_object();

	for (size_t i = 0; i < c->label_cnt; i++)
		json_object_set_new(labels, c->labels[i].key, text_json(c->labels[i].value));
	return labels;
}

static uint64_t generation_of(struct mf_session_routes *r)
{
	uint64_t generation;

	pthread_mutex_lock(&r->lock);
	generation = r->card.runtime ? mf_runtime_generation(r->card.runtime) : 0;
	pthread_mutex_unlock(&r->lock);
	return generation;
}

static void get_session(void *ctx, struct mf_api_call *call)
{
	struct mf_session_routes *r = ctx;
	const struct mf_session_card *c = &r->card;
	struct mf_event_ring_stats ring = { 0 };
	json_t *j = json_object();

	mf_event_ring_get_stats(c->ring, &ring);
	add_text(j, "id", c->id);
	add_text(j, "kind", c->kind);
	json_object_set_new(j, "pid", json_integer(getpid()));
	add_text(j, "started", r->started);
	add_text(j, "backend", c->backend);
	add_text(j, "place", c->place);
	if (c->command)
		json_object_set_new(j, "command", list_json(c->command, count_items(c->command)));
	json_object_set_new(j, "labels", labels_json(c));
	json_object_set_new(j, "policies", list_json(c->policies, c->policy_cnt));
	json_object_set_new(j, "generation", json_integer((json_int_t)generation_of(r)));
	json_object_set_new(j, "events", json_integer((json_int_t)ring.put));
	json_object_set_new(j, "readers", json_integer(ring.readers));
	mf_api_answer(call, 200, j);
}

static void delete_session(void *ctx, struct mf_api_call *call)
{
	const struct mf_session_routes *r = ctx;

	mf_api_answer(call, 202, json_pack("{s:s}", "id", r->card.id));
	r->card.end(r->card.end_ctx);
}

/* ---- maps ------------------------------------------------------------------------------------------------------- */

static json_t *names_json(const struct mf_names_item *items, size_t cnt)
{
	json_t *names = json_array();

	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(names, json_pack("{s:s, s:b, s:I}", "name", items[i].name,
						       "alias", items[i].alias, "expires_in_s",
						       (json_int_t)items[i].expires_in_s));
	return names;
}

static bool has_name(const struct mf_names_item *items, size_t cnt, const char *name)
{
	for (size_t i = 0; i < cnt; i++)
		if (strcmp(items[i].name, name) == 0)
			return true;
	return false;
}

struct wanted {
	char address[64], name[MF_NAME_ROOM]; /* "": all */
	size_t limit;
};

/* Return: whether all that was wanted is in @list */
static bool fill_maps(struct mf_names *names, const struct wanted *w, json_t *list)
{
	struct mf_names_item items[NAMES_MAX];
	struct mf_addr addr;
	uint32_t at = 0;
	size_t n;

	while ((n = mf_names_walk(names, &at, &addr, items, NAMES_MAX))) {
		char text[MF_ADDR_TEXT_MAX];

		mf_addr_format(&addr, text, sizeof(text));
		if ((w->address[0] && strcmp(w->address, text) != 0) ||
		    (w->name[0] && !has_name(items, n, w->name)))
			continue;
		if (json_array_size(list) == w->limit)
			return false;
		json_array_append_new(list, json_pack("{s:s, s:o}", "address", text, "names",
						      names_json(items, n)));
	}
	return true;
}

/* Return: false: answered */
static bool read_wanted(struct mf_api_call *call, struct wanted *w)
{
	char text[256], *end;

	*w = (struct wanted){ .limit = MAPS_DEFAULT };
	if (mf_api_query(call, "address", text, sizeof(text))) {
		struct mf_addr addr;

		if (mf_addr_parse(text, strlen(text), &addr) < 0) {
			mf_api_problem(call, 422, "wrong_value", "'%s' is no address", text);
			return false;
		}
		mf_addr_format(&addr, w->address, sizeof(w->address));
	}
	if (mf_api_query(call, "name", text, sizeof(text)) &&
	    mf_name_canon(text, strlen(text), w->name) < 0) {
		mf_api_problem(call, 422, "wrong_value", "'%s' is no host name", text);
		return false;
	}
	if (mf_api_query(call, "limit", text, sizeof(text))) {
		unsigned long limit = strtoul(text, &end, 10);

		if (*end || end == text || text[0] == '-' || limit < 1 || limit > MAPS_MOST) {
			mf_api_problem(call, 422, "wrong_value", "limit is 1 to %d", MAPS_MOST);
			return false;
		}
		w->limit = limit;
	}
	return true;
}

static void get_maps(void *ctx, struct mf_api_call *call)
{
	const struct mf_session_routes *r = ctx;
	json_t *list;
	struct wanted w;
	bool all;

	if (!r->card.names) {
		mf_api_problem(call, 404, "no_maps",
			       "session %s keeps no table of names: its traffic is not captured",
			       r->card.id);
		return;
	}
	if (!read_wanted(call, &w))
		return;
	list = json_array();
	all = fill_maps(r->card.names, &w, list);
	mf_api_answer(call, 200,
		      json_pack("{s:s, s:o, s:b}", "session", r->card.id, "names", list, "complete",
				all));
}

/* Return: false: answered */
static bool read_number(struct mf_api_call *call, const char *name, uint64_t least, uint64_t most,
			uint64_t *ret)
{
	char text[32], *end;

	if (!mf_api_query(call, name, text, sizeof(text)))
		return true;
	*ret = strtoull(text, &end, 10);
	if (!*end && end != text && text[0] != '-' && *ret >= least && *ret <= most)
		return true;
	mf_api_problem(call, 422, "wrong_value", "%s is %llu to %llu", name,
		       (unsigned long long)least, (unsigned long long)most);
	return false;
}

static void get_flows(void *ctx, struct mf_api_call *call)
{
	const struct mf_session_routes *r = ctx;
	uint64_t before = 0, limit = FLOWS_DEFAULT;
	json_t *flows;

	if (!r->card.flows) {
		mf_api_problem(call, 404, "no_maps", "session %s keeps no table of flows",
			       r->card.id);
		return;
	}
	if (!read_number(call, "before", 1, INT64_MAX, &before) ||
	    !read_number(call, "limit", 1, FLOWS_MOST, &limit))
		return;
	flows = r->card.flows(r->card.flows_ctx, before, (size_t)limit);
	if (!flows) {
		mf_api_problem(call, 504, "no_answer", "session %s does not come to it now",
			       r->card.id);
		return;
	}
	json_object_set_new(flows, "session", json_string(r->card.id));
	mf_api_answer(call, 200, flows);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

#define TEXT_PARAM(name, description)                                                        \
	"{\"name\": \"" name "\", \"in\": \"query\", \"description\": \"" description "\", " \
	"\"schema\": {\"type\": \"string\"}}"

// clang-format off
static const char maps_query[] =
	TEXT_PARAM("address", "of this address only")
	", " TEXT_PARAM("name", "of addresses that this name led to")
	", " TEXT_PARAM("limit", "addresses at most: 1,000; up to 65,536");

static const struct mf_api_schema schemas[] = {
	{ "SessionCard",
	  "{\"type\": \"object\", \"description\": \"a session, as its process says\", \"required\": [\"id\", \"kind\", \"pid\"], \"properties\": {"
	  "\"id\": {\"type\": \"string\"}, \"kind\": {\"enum\": [\"run\", \"mount\", \"resolver\", \"proxy\", \"gateway\"]},"
	  "\"pid\": {\"type\": \"integer\", \"description\": \"of the session's moonfence\"},"
	  "\"started\": {\"type\": \"string\", \"description\": \"RFC 3339, UTC\"},"
	  "\"backend\": {\"type\": \"string\", \"description\": \"how traffic is captured\"},"
	  "\"place\": {\"type\": \"string\", \"description\": \"where it is seen: a mount point\"},"
	  "\"command\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}},"
	  "\"labels\": {\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}},"
	  "\"policies\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}},"
	  "\"generation\": {\"type\": \"integer\", \"description\": \"of its policies\"},"
	  "\"events\": {\"type\": \"integer\", \"description\": \"so far\"},"
	  "\"readers\": {\"type\": \"integer\", \"description\": \"of its events, now\"}}}" },
	{ "SessionEnding",
	  "{\"type\": \"object\", \"properties\": {\"id\": {\"type\": \"string\"}}}" },
	{ "NameMaps",
	  MF_MAPS_SCHEMA },
	{ "FlowMaps",
	  MF_FLOWS_SCHEMA },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/session",
	  .id = "getOwnSession",
	  .summary = "This process's session",
	  .answer = "SessionCard",
	  .fn = get_session },
	{ .method = "DELETE",
	  .path = "/v1/session",
	  .id = "endOwnSession",
	  .summary = "End this process's session, as SIGTERM does",
	  .answer = "SessionEnding",
	  .status = 202,
	  .fn = delete_session },
	{ .method = "GET",
	  .path = "/v1/maps",
	  .id = "getOwnMaps",
	  .summary = "Which names led to which addresses",
	  .query = maps_query,
	  .answer = "NameMaps",
	  .fn = get_maps },
	{ .method = "GET",
	  .path = "/v1/maps/flows",
	  .id = "getOwnFlows",
	  .summary = "The connections and flows that are open, the newest first",
	  .query = MF_FLOWS_QUERY,
	  .answer = "FlowMaps",
	  .fn = get_flows },
};

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

int mf_session_routes_new(struct mf_api *api, const struct mf_session_card *card,
			  struct mf_session_routes **ret, struct mf_err *err)
{
	struct mf_session_routes *r = calloc(1, sizeof(*r));
	time_t now = time(NULL);
	struct tm tm;
	int rc;

	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (pthread_mutex_init(&r->lock, NULL)) {
		free(r);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	r->card = *card;
	gmtime_r(&now, &tm);
	strftime(r->started, sizeof(r->started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	rc = mf_api_add(api, &set, r, err);
	if (rc < 0)
		mf_session_routes_free(r);
	else
		*ret = r;
	return rc;
}

void mf_session_routes_forget_policies(struct mf_session_routes *r)
{
	pthread_mutex_lock(&r->lock);
	r->card.runtime = NULL;
	pthread_mutex_unlock(&r->lock);
}

void mf_session_routes_free(struct mf_session_routes *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}
