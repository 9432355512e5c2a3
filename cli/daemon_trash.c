/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_trash.c - see daemon_trash.h
 *
 * A trash is named with each request, by its own directory or by one that it serves: the daemon keeps none open. It is
 * worked in as the daemon's user.
 */
#include "cli/daemon_trash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/trash.h"
#include "core/base/clock.h"
#include "fs/trash_events.h"

enum { LIST_DEFAULT = 1000, LIST_MOST = 100000 };

struct mf_daemon_trash {
	struct mf_work *work;
	struct mf_trash_teller teller;
};

/* One request on its way through the thread. */
struct job {
	struct mf_work_item item;
	struct mf_api_call *call;
	struct mf_trash_teller *teller;
	void (*fn)(struct job *job, struct mf_trash *trash);
	/* what is asked; "": not said */
	char dir[MF_PATH_MAX], source[MF_PATH_MAX];
	char token[MF_API_PARAM_MAX];
	char session[256], path[MF_PATH_MAX], glob[1024], to[MF_PATH_MAX];
	bool replace;
	size_t limit;
	/* what came of it */
	bool ran, more;
	json_t *json;
	int rc;
	struct mf_err err;
};

/* ---- in the thread ---------------------------------------------------------------------------------------------- */

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static int add_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct job *job = ctx;

	if (json_array_size(job->json) == job->limit) {
		job->more = true;
		return 1;
	}
	json_array_append_new(job->json, mf_cmd_trash_json(e));
	return 0;
}

static void list(struct job *job, struct mf_trash *trash)
{
	struct mf_trash_filter filter = { .session = or_null(job->session),
					  .path = or_null(job->path),
					  .glob = or_null(job->glob),
					  .hashes = true };
	json_t *entries = job->json = json_array();

	job->rc = mf_trash_list(trash, &filter, add_entry, job, &job->err);
	job->json =
		json_pack("{s:o?, s:o, s:b}", "trash", mf_output_json_text(mf_trash_path(trash)),
			  "entries", entries, "complete", !job->more);
	if (job->rc > 0)
		job->rc = 0;
}

static int take_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct job *job = ctx;

	json_decref(job->json);
	job->json = mf_cmd_trash_json(e);
	return 0;
}

static void show(struct job *job, struct mf_trash *trash)
{
	job->rc = mf_trash_find(trash, job->token, 0, take_entry, job, &job->err);
}

static void restore(struct job *job, struct mf_trash *trash)
{
	struct mf_trash_target target = { .to = or_null(job->to), .replace = job->replace };
	struct mf_trash_result *result = calloc(1, sizeof(*result));

	if (!result) {
		job->rc = mf_err_set(&job->err, MF_E_NOMEM, "out of memory");
		return;
	}
	job->rc = mf_trash_restore(trash, job->token, &target, result, &job->err);
	if (job->rc == 0)
		job->json = json_pack(
			"{s:o?, s:o?}", "path", mf_output_json_text(result->path), "replaced",
			mf_output_json_text(result->replaced[0] ? result->replaced : NULL));
	free(result);
}

static void purge(struct job *job, struct mf_trash *trash)
{
	struct mf_trash_purge what = { .token = job->token };
	struct mf_trash_purged purged = { 0 };

	job->rc = mf_trash_purge(trash, &what, &purged, &job->err);
	if (job->rc == 0 && !purged.count)
		job->rc = mf_err_set(&job->err, MF_E_NOENT, "there is no entry %s", job->token);
	job->json = json_pack("{s:I, s:I}", "count", (json_int_t)purged.count, "bytes",
			      (json_int_t)purged.bytes);
}

static void run(struct mf_work_item *item)
{
	struct job *job = (struct job *)item;
	struct mf_trash_options o = { .dir = or_null(job->dir),
				      .source = or_null(job->source),
				      .no_create = true,
				      .event = mf_trash_teller_tell,
				      .event_ctx = job->teller };
	struct mf_trash *trash;

	job->ran = true;
	job->rc = mf_trash_open(&o, &trash, &job->err);
	if (job->rc < 0)
		return;
	job->fn(job, trash);
	mf_trash_close(trash);
}

/* ---- in the loop ------------------------------------------------------------------------------------------------ */

static int status_of(int rc)
{
	switch (rc) {
	case MF_E_NOENT:
		return 404;
	case MF_E_EXIST:
		return 409;
	case MF_E_PERM:
		return 403;
	case MF_E_NOMEM:
	case MF_E_FULL:
		return 503;
	default:
		return 422;
	}
}

static void done(struct mf_work_item *item)
{
	struct job *job = (struct job *)item;

	if (!job->ran)
		mf_api_problem(job->call, 503, "stopping", "the daemon is stopping");
	else if (job->rc < 0)
		mf_api_problem_err(job->call, status_of(job->rc), &job->err);
	else
		mf_api_answer(job->call, 200, json_incref(job->json));
	json_decref(job->json);
	free(job);
}

/* Return: false: answered */
static bool read_place(struct job *job)
{
	bool dir = mf_api_query(job->call, "dir", job->dir, sizeof(job->dir));
	bool source = mf_api_query(job->call, "source", job->source, sizeof(job->source));

	if (dir == source || (dir && job->dir[0] != '/') || (source && job->source[0] != '/')) {
		mf_api_problem(job->call, 422, "which_trash",
			       "one of dir (a trash) and source (what it serves) is wanted, an "
			       "absolute path");
		return false;
	}
	return true;
}

static bool read_limit(struct job *job)
{
	char text[16], *end;

	job->limit = LIST_DEFAULT;
	if (!mf_api_query(job->call, "limit", text, sizeof(text)))
		return true;
	job->limit = strtoul(text, &end, 10);
	if (!*end && text[0] >= '0' && text[0] <= '9' && job->limit && job->limit <= LIST_MOST)
		return true;
	mf_api_problem(job->call, 422, "wrong_value", "limit is 1 to %d", LIST_MOST);
	return false;
}

static bool read_restore(struct job *job)
{
	const json_t *body = mf_api_body(job->call);
	const char *to = json_string_value(json_object_get(body, "to"));

	job->replace = json_is_true(json_object_get(body, "replace"));
	if (!to)
		return true;
	if (to[0] == '/' && strlen(to) < sizeof(job->to)) {
		memcpy(job->to, to, strlen(to) + 1);
		return true;
	}
	mf_api_problem_at(job->call, 422, "wrong_value", "/to", "an absolute path is wanted");
	return false;
}

static void begin(struct mf_daemon_trash *t, struct mf_api_call *call,
		  void (*fn)(struct job *job, struct mf_trash *trash))
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		mf_api_problem(call, 503, "no_memory", "out of memory");
		return;
	}
	job->item.run = run;
	job->item.done = done;
	job->call = call;
	job->teller = &t->teller;
	job->fn = fn;
	snprintf(job->token, sizeof(job->token), "%s", mf_api_param(call, 0));
	(void)mf_api_query(call, "session", job->session, sizeof(job->session));
	(void)mf_api_query(call, "path", job->path, sizeof(job->path));
	(void)mf_api_query(call, "glob", job->glob, sizeof(job->glob));
	if (!read_place(job) || !read_limit(job) || !read_restore(job)) {
		free(job);
		return;
	}
	if (fn != list && !mf_trash_token_ok(job->token)) {
		mf_api_problem(call, 404, "no_entry", "there is no entry '%s'", job->token);
		free(job);
		return;
	}
	if (mf_work_add(t->work, &job->item) < 0) {
		mf_api_problem(call, 503, "too_many_requests", "too much is being done already");
		free(job);
	}
}

static void get_list(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, list);
}

static void get_entry(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, show);
}

static void post_restore(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, restore);
}

static void delete_entry(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, purge);
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

#define TEXT_PARAM(name, description)                                                        \
	"{\"name\": \"" name "\", \"in\": \"query\", \"description\": \"" description "\", " \
	"\"schema\": {\"type\": \"string\"}}"

// clang-format off
#define PLACE                                                  \
	TEXT_PARAM("dir", "the trash's own directory, absolute")    \
	", " TEXT_PARAM("source", "or a directory that it serves: files lost there come to it")

static const char place_query[] = PLACE;
static const char list_query[] =
	PLACE ", " TEXT_PARAM("session", "lost by this session") ", " TEXT_PARAM("path", "this path, or below it")
	", " TEXT_PARAM("glob", "of paths") ", " TEXT_PARAM("limit", "entries at most: 1,000; up to 100,000");

static const struct mf_api_schema schemas[] = {
	{ "TrashEntry",
	  "{\"type\": \"object\", \"description\": \"as moonfence trash list --json\", \"properties\": {"
	  "\"token\": {\"type\": [\"string\", \"null\"]}, \"path\": {\"type\": \"string\"}, \"operation\": {\"type\": \"string\"},"
	  "\"deleted\": {\"type\": [\"string\", \"null\"]}, \"type\": {\"type\": \"string\"}, \"size\": {\"type\": \"integer\"},"
	  "\"session\": {\"type\": [\"string\", \"null\"]}, \"rule\": {\"type\": [\"string\", \"null\"]},"
	  "\"sha256\": {\"type\": [\"string\", \"null\"]}}}" },
	{ "TrashList",
	  "{\"type\": \"object\", \"properties\": {\"trash\": {\"type\": \"string\"},"
	  "\"complete\": {\"type\": \"boolean\", \"description\": \"false: there were more than the limit\"},"
	  "\"entries\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/TrashEntry\"}}}}" },
	{ "TrashRestore",
	  "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
	  "\"to\": {\"type\": \"string\", \"description\": \"absolute: this path, or into this directory; where it was without it\"},"
	  "\"replace\": {\"type\": \"boolean\", \"description\": \"what is there goes to the trash; else 409\"}}}" },
	{ "TrashRestored",
	  "{\"type\": \"object\", \"properties\": {\"path\": {\"type\": \"string\"},"
	  "\"replaced\": {\"type\": [\"string\", \"null\"], \"description\": \"token of what was there\"}}}" },
	{ "TrashPurged",
	  "{\"type\": \"object\", \"properties\": {\"count\": {\"type\": \"integer\"}, \"bytes\": {\"type\": \"integer\"}}}" },
};
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/trash",
	  .id = "listTrash",
	  .summary = "What was deleted, replaced and truncated, the oldest first",
	  .query = list_query,
	  .answer = "TrashList",
	  .fn = get_list },
	{ .method = "GET",
	  .path = "/v1/trash/{token}",
	  .id = "getTrashEntry",
	  .summary = "One entry",
	  .query = place_query,
	  .answer = "TrashEntry",
	  .fn = get_entry },
	{ .method = "POST",
	  .path = "/v1/trash/{token}/restore",
	  .id = "restoreTrashEntry",
	  .summary = "Put one back",
	  .query = place_query,
	  .request = "TrashRestore",
	  .body_optional = true,
	  .answer = "TrashRestored",
	  .fn = post_restore },
	{ .method = "DELETE",
	  .path = "/v1/trash/{token}",
	  .id = "purgeTrashEntry",
	  .summary = "Delete one for good",
	  .query = place_query,
	  .answer = "TrashPurged",
	  .fn = delete_entry },
};

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

int mf_daemon_trash_new(struct mf_api *api, struct mf_work *work, struct mf_events *events,
			struct mf_daemon_trash **ret, struct mf_err *err)
{
	struct mf_daemon_trash *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	t->work = work;
	t->teller = (struct mf_trash_teller){ .events = events, .source = "api" };
	r = mf_api_add(api, &set, t, err);
	if (r < 0)
		free(t);
	else
		*ret = t;
	return r;
}

void mf_daemon_trash_free(struct mf_daemon_trash *t)
{
	free(t);
}
