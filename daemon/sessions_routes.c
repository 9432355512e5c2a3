/* SPDX-License-Identifier: Apache-2.0 */
/* sessions_routes.c - /v1/sessions; see sessions.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "daemon/client.h"
#include "daemon/maps_schema.h"
#include "daemon/sessions_int.h"
#include "daemon/spawn.h"

enum {
	WORDS_MAX = 1024, /* of a command line */
};

static bool is_off(const struct mf_sessions *s, struct mf_api_call *call)
{
	if (s->o.dir && s->o.program)
		return false;
	mf_api_problem(call, 501, "not_supported",
		       "sessions are not started by the daemon here: moonfence run does");
	return true;
}

/* By its name or its process; those that run before those that ran. Return: NULL: answered */
struct mf_session_entry *mf_session_entry_find(struct mf_sessions *s, struct mf_api_call *call)
{
	struct mf_session_entry *found = NULL;
	const char *id = mf_api_param(call, 0);
	unsigned matches = 0;

	for (struct mf_session_entry *e = s->entries; e; e = e->next) {
		char number[24];

		snprintf(number, sizeof(number), "%ld", e->pid);
		if (strcmp(id, mf_session_entry_id(e)) != 0 && strcmp(id, number) != 0)
			continue;
		if (e->state != MF_SESSION_ENDED && matches++ == 0)
			found = e;
		else if (!found)
			found = e;
	}
	if (!found)
		mf_api_problem(call, 404, "no_session", "there is no session '%s'", id);
	if (matches < 2)
		return found;
	mf_api_problem(call, 409, "several_sessions",
		       "%u sessions are called '%s': ask for one by its process", matches, id);
	return NULL;
}

static void list_sessions(void *ctx, struct mf_api_call *call)
{
	struct mf_sessions *s = ctx;
	json_t *list = json_array();

	for (struct mf_session_entry *e = s->entries; e; e = e->next)
		if (e->card || e->ours)
			json_array_append_new(list, mf_session_entry_json(e));
	mf_api_answer(call, 200, json_pack("{s:o}", "sessions", list));
}

/* ---- one that runs ---------------------------------------------------------------------------------------------- */

/* What the request's path names, there, with these of its parameters */
static void pass_query(struct mf_sessions *s, struct mf_api_call *call, const char *path,
		       const char *const *names, size_t name_cnt)
{
	struct mf_session_entry *e = mf_session_entry_find(s, call);
	struct mf_strbuf target = MF_STRBUF_INIT(4096);
	char value[512];

	if (!e)
		return;
	if (e->state != MF_SESSION_RUNNING) {
		mf_api_problem(call, 409, "not_running", "session %s does not run",
			       mf_session_entry_id(e));
		return;
	}
	mf_strbuf_adds(&target, path);
	for (size_t i = 0; i < name_cnt; i++) {
		if (!mf_api_query(call, names[i], value, sizeof(value)))
			continue;
		mf_strbuf_addf(&target, "%c%s=", strchr(target.str, '?') ? '&' : '?', names[i]);
		for (const char *c = value; *c; c++)
			mf_strbuf_addf(&target, "%%%02X", (unsigned)(unsigned char)*c);
	}
	if (target.failed)
		mf_api_problem(call, 503, "no_memory", "out of memory");
	else
		mf_session_entry_pass(e, call, "GET", target.str, NULL);
	mf_strbuf_done(&target);
}

static void get_maps(void *ctx, struct mf_api_call *call)
{
	static const char *const names[] = { "name", "address", "limit" };

	pass_query(ctx, call, "/v1/maps", names, MF_ARRAY_SIZE(names));
}

static void get_flows(void *ctx, struct mf_api_call *call)
{
	static const char *const names[] = { "before", "limit" };

	pass_query(ctx, call, "/v1/maps/flows", names, MF_ARRAY_SIZE(names));
}

/* ---- starting one ----------------------------------------------------------------------------------------------- */

/* The words of a command line; those that are put together are ours. */
struct words {
	const char *list[WORDS_MAX + 1];
	size_t cnt;
	bool full;
};

static void add(struct words *w, const char *word)
{
	if (w->cnt == WORDS_MAX)
		w->full = true;
	else
		w->list[w->cnt++] = word;
}

static void add_pair(struct words *w, const char *option, const char *value)
{
	if (!value)
		return;
	add(w, option);
	add(w, value);
}

static void add_list(struct words *w, const char *option, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (option)
			add(w, option);
		add(w, json_string_value(item));
	}
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* "NAME=value" of each member; Return: NULL without memory. The texts are freed with free_texts() */
static char **texts_of(const json_t *object)
{
	char **all = calloc(json_object_size(object) + 1, sizeof(*all));
	const char *name;
	json_t *value;
	size_t n = 0;

	if (!all)
		return NULL;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		size_t room = strlen(name) + json_string_length(value) + 2;

		all[n] = malloc(room);
		if (!all[n])
			break;
		snprintf(all[n++], room, "%s=%s", name, json_string_value(value));
	}
	return all;
}

static void free_texts(char **all)
{
	for (size_t i = 0; all && all[i]; i++)
		free(all[i]);
	free(all);
}

/* What is missing for this kind; NULL: nothing */
static const char *missing(const char *kind, const json_t *body)
{
	if (strcmp(kind, "run") == 0 && !json_array_size(json_object_get(body, "command")))
		return "command";
	if (strcmp(kind, "mount") == 0 && !text_of(body, "source"))
		return "source";
	if (strcmp(kind, "mount") == 0 && !text_of(body, "place"))
		return "place";
	return NULL;
}

static void fill_words(const struct mf_sessions *s, const json_t *body, char *const *labels,
		       struct words *w)
{
	const json_t *policies = json_object_get(body, "policies");
	const char *kind = text_of(body, "kind");

	add(w, s->o.program);
	add(w, kind);
	if (strcmp(kind, "proxy") == 0) {
		add(w, "enable");
		add(w, "--foreground");
	} else {
		add_pair(w, "--session", text_of(body, "id"));
	}
	add_list(w, "--policy", policies);
	for (size_t i = 0; !json_array_size(policies) && i < s->o.policy_cnt; i++)
		add_pair(w, "--policy", s->o.policies[i]);
	for (size_t i = 0; labels[i]; i++)
		add_pair(w, "--label", labels[i]);
	add_pair(w, "--workspace", text_of(body, "workspace"));
	add_list(w, NULL, json_object_get(body, "options"));
	if (strcmp(kind, "run") == 0)
		add(w, "--");
	add_list(w, NULL, json_object_get(body, "command"));
	if (strcmp(kind, "mount") == 0) {
		add(w, text_of(body, "source"));
		add(w, text_of(body, "place"));
	}
}

static int run_words(const struct mf_sessions *s, const json_t *start, bool tell,
		     char *const *labels, char *const *env, struct mf_err *err)
{
	struct words *w = calloc(1, sizeof(*w));
	struct mf_spawn what = { .environment = (const char *const *)env,
				 .directory = text_of(start, "directory"),
				 .output = text_of(start, "output"),
				 .tell = tell };
	int pid;

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	fill_words(s, start, labels, w);
	what.argv = w->list;
	pid = w->full ? mf_err_set(err, MF_E_LIMIT, "a command line has at most %d words",
				   WORDS_MAX)
		      : mf_spawn_start(&what, err);
	free(w);
	return pid;
}

int mf_sessions_spawn(struct mf_sessions *s, const json_t *start, bool tell,
		      struct mf_session_entry **ret, struct mf_err *err)
{
	char **labels = texts_of(json_object_get(start, "labels"));
	char **env = texts_of(json_object_get(start, "environment"));
	const char *id = text_of(start, "id");
	int pid = labels && env ? run_words(s, start, tell, labels, env, err)
				: mf_err_set(err, MF_E_NOMEM, "out of memory");
	struct mf_session_entry *e = pid < 0 ? NULL : mf_sessions_add(s, pid);

	free_texts(labels);
	free_texts(env);
	if (pid < 0)
		return pid;
	if (!e) {
		mf_spawn_end(pid);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	e->ours = true;
	e->wanted_id = id ? strdup(id) : NULL;
	*ret = e;
	return 0;
}

/* Return: whether it may be; else answered */
static bool check(const struct mf_sessions *s, struct mf_api_call *call, const json_t *body)
{
	const char *what = missing(text_of(body, "kind"), body);

	if (what)
		mf_api_problem_at(call, 422, "missing_member", "", "a %s wants %s",
				  text_of(body, "kind"), what);
	else if (text_of(body, "id") && mf_sessions_find(s, text_of(body, "id")))
		mf_api_problem(call, 409, "session_exists", "a session '%s' runs already",
			       text_of(body, "id"));
	else if (s->running >= MF_SESSIONS_MAX)
		mf_api_problem(call, 503, "too_many_sessions", "%d sessions run already",
			       MF_SESSIONS_MAX);
	else
		return true;
	return false;
}

static void start_session(void *ctx, struct mf_api_call *call)
{
	struct mf_sessions *s = ctx;
	const json_t *body = mf_api_body(call);
	struct mf_session_entry *e;
	struct mf_err err = { 0 };
	int r;

	if (is_off(s, call) || !check(s, call, body))
		return;
	r = mf_sessions_spawn(s, body, false, &e, &err);
	if (r < 0)
		mf_api_problem_err(call, r == MF_E_NOMEM ? 503 : 422, &err);
	else
		e->starter = call;
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

#define STRINGS "{\"type\": \"array\", \"items\": {\"type\": \"string\"}}"
#define PAIRS	"{\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}}"

static const struct mf_api_schema schemas[] = {
	{ "Session",
	  "{\"type\": \"object\", \"description\": \"a session: what its process says of it, and whether it runs\", \"required\": [\"id\", \"pid\", \"state\"], \"properties\": {"
	  "\"id\": {\"type\": \"string\"}, \"pid\": {\"type\": \"integer\", \"description\": \"of its moonfence\"},"
	  "\"state\": {\"enum\": [\"starting\", \"running\", \"ended\"]},"
	  "\"started_here\": {\"type\": \"boolean\", \"description\": \"by this daemon\"},"
	  "\"attached\": {\"type\": \"boolean\", \"description\": \"it registered here, and is there\"},"
	  "\"exit_status\": {\"type\": \"integer\", \"description\": \"of one that ended, where it is known; 128 and the signal\"},"
	  "\"kind\": {\"type\": \"string\"}, \"started\": {\"type\": \"string\"}, \"backend\": {\"type\": \"string\"}, \"place\": {\"type\": \"string\"},"
	  "\"command\": " STRINGS ", \"labels\": " PAIRS ", \"policies\": " STRINGS ","
	  "\"generation\": {\"type\": \"integer\", \"description\": \"of its policies; at most some seconds old, as all that it says\"},"
	  "\"events\": {\"type\": \"integer\"}, \"readers\": {\"type\": \"integer\"},"
	  "\"kill_in_ms\": {\"type\": \"integer\", \"description\": \"it was told to end, and what is left of it then is killed\"},"
	  "\"processes\": {\"type\": \"array\", \"description\": \"of one session: all that it has started, its moonfence's helpers too\", \"items\": {"
	  "\"type\": \"object\", \"required\": [\"pid\", \"parent\", \"name\"], \"additionalProperties\": false, \"properties\": {"
	  "\"pid\": {\"type\": \"integer\"}, \"parent\": {\"type\": \"integer\"}, \"name\": {\"type\": \"string\", \"description\": \"as it calls itself\"}}}},"
	  "\"processes_complete\": {\"type\": \"boolean\", \"description\": \"false: there are more than 1,000\"}}}" },
	{ "SessionList",
	  "{\"type\": \"object\", \"required\": [\"sessions\"], \"properties\": {\"sessions\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Session\"}}}}" },
	{ "SessionStart",
	  "{\"type\": \"object\", \"required\": [\"kind\"], \"additionalProperties\": false, \"properties\": {"
	  "\"kind\": {\"enum\": [\"run\", \"mount\", \"resolver\"]},"
	  "\"id\": {\"type\": \"string\", \"minLength\": 1, \"maxLength\": 63, \"description\": \"its name; made up without one\"},"
	  "\"command\": " STRINGS ", \"labels\": " PAIRS ","
	  "\"policies\": {\"type\": \"array\", \"maxItems\": 64, \"items\": {\"type\": \"string\"}, \"description\": \"paths; the daemon's without any\"},"
	  "\"options\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"description\": \"more words for moonfence(1): --capture, tun\"},"
	  "\"workspace\": {\"type\": \"string\", \"description\": \"run: a directory that the policies guard\"},"
	  "\"source\": {\"type\": \"string\", \"description\": \"mount: the directory\"},"
	  "\"place\": {\"type\": \"string\", \"description\": \"mount: where it is seen\"},"
	  "\"environment\": " PAIRS ","
	  "\"directory\": {\"type\": \"string\", \"description\": \"where it is started\"},"
	  "\"output\": {\"type\": \"string\", \"description\": \"file that its output is appended to; nowhere without one\"}}}" },
	{ "SessionMaps",
	  MF_MAPS_SCHEMA },
	{ "SessionFlows",
	  MF_FLOWS_SCHEMA },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/sessions",
	  .id = "listSessions",
	  .summary = "The sessions that run, and the last ones that did",
	  .answer = "SessionList",
	  .fn = list_sessions },
	{ .method = "POST",
	  .path = "/v1/sessions",
	  .id = "startSession",
	  .summary = "Start one; answered when it runs",
	  .request = "SessionStart",
	  .answer = "Session",
	  .status = 201,
	  .fn = start_session },
	{ .method = "GET",
	  .path = "/v1/sessions/{id}/maps",
	  .id = "getSessionMaps",
	  .summary = "Which names led a session to which addresses",
	  .query = maps_query,
	  .answer = "SessionMaps",
	  .fn = get_maps },
	{ .method = "GET",
	  .path = "/v1/sessions/{id}/maps/flows",
	  .id = "getSessionFlows",
	  .summary = "The connections and flows that a session has open",
	  .query = MF_FLOWS_QUERY,
	  .answer = "SessionFlows",
	  .fn = get_flows },
};

const struct mf_api_set mf_sessions_set = { routes, MF_ARRAY_SIZE(routes), schemas,
					    MF_ARRAY_SIZE(schemas) };
