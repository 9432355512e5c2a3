/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes_policy.c - /v1/policy: generations, and the candidate that may become the next one
 *
 * A candidate is read and loaded beside what is in force, tested, and activated: the very bytes that were tested come into
 * force. All of it happens in the work thread, one request after the other, so that the candidate needs no lock.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/routes_policy_int.h"

#define PATHS_MAX 64

/* --- requests ---------------------------------------------------------------------------------------------------- */

static void run_job(struct mf_work_item *item)
{
	struct mf_policy_job *job = (struct mf_policy_job *)item;

	job->ran = true;
	pthread_mutex_lock(&job->p->lock);
	if (job->p->rt) {
		job->fn(job);
	} else {
		mf_err_set(&job->err, MF_E_NOENT, "there are no policies here");
		mf_policy_job_fail(job, 404, "no_policies");
	}
	pthread_mutex_unlock(&job->p->lock);
}

static void answer(struct mf_policy_job *job)
{
	if (!job->ran)
		mf_api_problem(job->call, 503, "stopping", "the daemon stops");
	else if (job->status >= 400 && job->code)
		mf_api_problem(job->call, job->status, job->code, "%s", job->err.msg);
	else if (job->status >= 400)
		mf_api_problem_err(job->call, job->status, &job->err);
	else
		mf_api_answer(job->call, job->status, job->json);
}

static void free_job(struct mf_policy_job *job)
{
	mf_paths_free(job->paths, job->path_cnt);
	json_decref(job->sessions);
	free(job);
}

static void finish_job(struct mf_work_item *item)
{
	struct mf_policy_job *job = (struct mf_policy_job *)item;

	if (job->call) {
		answer(job);
	} else {
		json_decref(job->json);
		job->over(job->over_ctx, job->status >= 400 || !job->ran ? &job->err : NULL);
	}
	free_job(job);
}

static struct mf_policy_job *new_job(struct mf_routes_policy *p, struct mf_api_call *call,
				     void (*fn)(struct mf_policy_job *job))
{
	struct mf_policy_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->item.run = run_job;
	job->item.done = finish_job;
	job->p = p;
	job->call = call;
	job->fn = fn;
	job->status = 200;
	return job;
}

static void give_up(void (*over)(void *ctx, const struct mf_err *err), void *ctx, const char *why)
{
	struct mf_err err = { 0 };

	mf_err_set(&err, MF_E_FULL, "%s", why);
	over(ctx, &err);
}

static void add_job(struct mf_routes_policy *p, struct mf_policy_job *job)
{
	if (mf_work_add(p->work, &job->item) == 0)
		return;
	if (job->call)
		mf_api_problem(job->call, 503, "too_many_requests",
			       "too many requests wait for policies to be loaded");
	else
		give_up(job->over, job->over_ctx,
			"too many requests wait for policies to be loaded");
	free_job(job);
}

static struct mf_generation_asker asker_of(const struct mf_api_call *call, const char *how)
{
	const struct mf_peer *peer = mf_api_peer(call);

	return (struct mf_generation_asker){ how, peer->known ? (int64_t)peer->uid : -1,
					     peer->known ? peer->pid : 0 };
}

/* @how: NULL: nothing is put in force */
static void begin(struct mf_routes_policy *p, struct mf_api_call *call,
		  void (*fn)(struct mf_policy_job *job), const char *number, const char *how)
{
	struct mf_policy_job *job = new_job(p, call, fn);

	if (!job) {
		mf_api_problem(call, 503, "no_memory", "out of memory");
		return;
	}
	job->by = asker_of(call, how);
	if (json_is_true(json_object_get(mf_api_body(call), "sessions"))) {
		job->sessions = p->list_sessions ? p->list_sessions(p->list_ctx) : NULL;
		if (!job->sessions) {
			free_job(job);
			mf_api_problem(call, 501, "not_supported",
				       "whoever answers here knows of no sessions");
			return;
		}
	}
	if (number)
		job->number =
			(uint64_t)json_integer_value(json_object_get(mf_api_body(call), number));
	add_job(p, job);
}

static void show(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, mf_policy_job_show, NULL, NULL);
}

static void test(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, mf_policy_job_test, "candidate", NULL);
}

static void activate(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, mf_policy_job_activate, "candidate", "activate");
}

static void rollback(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, mf_policy_job_rollback, "to", "rollback");
}

static void reload(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, mf_policy_job_reload, NULL, "reload");
}

static void load(void *ctx, struct mf_api_call *call)
{
	const json_t *list = json_object_get(mf_api_body(call), "paths"), *item;
	const char *paths[PATHS_MAX];
	struct mf_policy_job *job;
	size_t i;

	json_array_foreach(list, i, item)
	{
		paths[i] = json_string_value(item);
		if (strlen(paths[i]) != json_string_length(item) || paths[i][0] != '/') {
			char pointer[32];

			snprintf(pointer, sizeof(pointer), "/paths/%zu", i);
			mf_api_problem_at(call, 422, "wrong_value", pointer,
					  "paths of policies are absolute");
			return;
		}
	}
	job = new_job(ctx, call, mf_policy_job_load);
	if (job && list) {
		job->path_cnt = json_array_size(list);
		job->paths = mf_paths_copy(paths, job->path_cnt);
	}
	if (!job || (list && !job->paths)) {
		free(job);
		mf_api_problem(call, 503, "no_memory", "out of memory");
		return;
	}
	add_job(ctx, job);
}

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/policy",
	  .id = "getPolicy",
	  .summary =
		  "The generations that are kept, the newest (in force) first, and the candidate",
	  .answer = "PolicyState",
	  .fn = show },
	{ .method = "POST",
	  .path = "/v1/policy/load",
	  .id = "loadPolicy",
	  .summary = "Read and load policies as the candidate, beside what is in force",
	  .request = "PolicyLoad",
	  .body_optional = true,
	  .answer = "Candidate",
	  .status = 201,
	  .fn = load },
	{ .method = "POST",
	  .path = "/v1/policy/test",
	  .id = "testPolicy",
	  .summary = "Run the candidate's own tests",
	  .request = "PolicyCandidate",
	  .body_optional = true,
	  .answer = "TestReport",
	  .fn = test },
	{ .method = "POST",
	  .path = "/v1/policy/activate",
	  .id = "activatePolicy",
	  .summary =
		  "Put the candidate in force; tests that were not run are run first; on request "
		  "in all sessions that judge by the same policies, or nowhere",
	  .request = "PolicyCandidate",
	  .body_optional = true,
	  .answer = "Generation",
	  .fn = activate },
	{ .method = "POST",
	  .path = "/v1/policy/rollback",
	  .id = "rollbackPolicy",
	  .summary = "Put an earlier generation's policies in force again",
	  .request = "PolicyRollback",
	  .body_optional = true,
	  .answer = "Generation",
	  .fn = rollback },
	{ .method = "POST",
	  .path = "/v1/policy/reload",
	  .id = "reloadPolicy",
	  .summary = "Read the same paths again, test, and put in force, as SIGHUP does",
	  .answer = "Generation",
	  .fn = reload },
};

#define ALONG                                                                                     \
	"\"sessions\": {\"type\": \"boolean\", \"description\": \"in the sessions that judge by " \
	"the "                                                                                    \
	"same policies, too\"}"
#define GONE_ALONG                                                                               \
	"\"sessions\": {\"type\": \"array\", \"description\": \"where they were to go along\", " \
	"\"items\": {\"type\": \"object\", \"required\": [\"id\", \"pid\", \"result\"], "        \
	"\"additionalProperties\": false, \"properties\": {\"id\": {\"type\": \"string\"}, "     \
	"\"pid\": "                                                                              \
	"{\"type\": \"integer\"}, \"generation\": {\"type\": \"integer\"}, \"why\": {\"type\": " \
	"\"string\"}, \"result\": {\"enum\": [\"activated\", \"rolled_back\", "                  \
	"\"other_policies\", "                                                                   \
	"\"not_kept\", \"not_supported\", \"ended\", \"failed\"]}}}}"
#define INTEGER "{\"type\": \"integer\", \"minimum\": 1}"
#define TEXTS	"{\"type\": \"array\", \"items\": {\"type\": \"string\"}}"
#define LIST	"{\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/PolicyFile\"}}"

static const struct mf_api_schema schemas[] = {
	{ "PolicyFile",
	  "{\"type\": \"object\", \"required\": [\"pack\", \"version\", \"file\", \"form\", "
	  "\"sha256\", \"test_files\"], \"additionalProperties\": false, \"properties\": {"
	  "\"pack\": {\"type\": \"string\"}, \"version\": {\"type\": \"string\"}, "
	  "\"file\": {\"type\": \"string\"}, "
	  "\"form\": {\"type\": \"string\", \"enum\": [\"lua\", \"agentsh\"]}, "
	  "\"sha256\": {\"type\": \"string\"}, \"test_files\": {\"type\": \"integer\"}}}" },
	{ "Generation",
	  "{\"type\": \"object\", \"required\": [\"number\", \"active\", \"at\", \"paths\", "
	  "\"policies\"], \"additionalProperties\": false, \"properties\": {\"number\": " INTEGER
	  ", \"active\": {\"type\": \"boolean\"}, \"at\": {\"type\": \"string\", \"format\": "
	  "\"date-time\"}, \"from\": {\"type\": \"integer\", \"description\": \"the generation "
	  "that "
	  "these policies were in force under before: a rollback\"}, \"by\": {\"type\": "
	  "\"object\", \"description\": \"who asked for it, where somebody did\", "
	  "\"additionalProperties\": false, \"required\": [\"how\"], \"properties\": {\"how\": "
	  "{\"enum\": [\"activate\", \"rollback\", \"reload\", \"signal\"]}, \"uid\": {\"type\": "
	  "\"integer\"}, \"pid\": {\"type\": \"integer\"}}}, \"paths\": " TEXTS
	  ", \"policies\": " LIST ", " GONE_ALONG "}}" },
	{ "Candidate",
	  "{\"type\": \"object\", \"required\": [\"candidate\", \"at\", \"paths\", \"policies\", "
	  "\"tested\"], \"additionalProperties\": false, \"properties\": {\"candidate\": " INTEGER
	  ", \"at\": {\"type\": \"string\", \"format\": \"date-time\"}, \"paths\": " TEXTS
	  ", \"policies\": " LIST
	  ", \"tested\": {\"type\": \"boolean\", \"description\": \"its tests were run, and all "
	  "passed\"}, \"passed\": {\"type\": \"integer\"}, \"skipped\": {\"type\": "
	  "\"integer\"}}}" },
	{ "PolicyState",
	  "{\"type\": \"object\", \"required\": [\"generation\", \"generations\"], "
	  "\"additionalProperties\": false, \"properties\": {\"generation\": {\"type\": "
	  "\"integer\"}, \"generations\": {\"type\": \"array\", \"items\": {\"$ref\": "
	  "\"#/components/schemas/Generation\"}}, \"candidate\": {\"$ref\": "
	  "\"#/components/schemas/Candidate\"}}}" },
	{ "PolicyLoad",
	  "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\"paths\": "
	  "{\"type\": \"array\", \"items\": {\"type\": \"string\", \"minLength\": 1}, "
	  "\"minItems\": 1, "
	  "\"maxItems\": 64, \"description\": \"absolute; those in force where they are not "
	  "said\"}}}" },
	{ "PolicyCandidate",
	  "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": "
	  "{\"candidate\": {\"type\": \"integer\", \"minimum\": 1, \"description\": \"only if it "
	  "is "
	  "still this one\"}, " ALONG "}}" },
	{ "PolicyRollback",
	  "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\"to\": "
	  "{\"type\": \"integer\", \"minimum\": 1, \"description\": \"number of a kept generation; "
	  "else the one before\"}, " ALONG "}}" },
	{ "TestReport",
	  "{\"type\": \"object\", \"required\": [\"candidate\", \"passed\", \"failed\", "
	  "\"skipped\", "
	  "\"failures\"], \"additionalProperties\": false, \"properties\": {\"candidate\": " INTEGER
	  ", \"passed\": {\"type\": \"integer\"}, \"failed\": {\"type\": \"integer\"}, "
	  "\"skipped\": {\"type\": \"integer\"}, \"failures\": {\"type\": \"array\", "
	  "\"description\": "
	  "\"at most 20\", \"items\": {\"type\": \"object\", \"required\": [\"name\", \"file\", "
	  "\"line\", \"text\"], \"additionalProperties\": false, \"properties\": {\"name\": "
	  "{\"type\": "
	  "\"string\"}, \"file\": {\"type\": \"string\"}, \"line\": {\"type\": \"integer\"}, "
	  "\"text\": {\"type\": \"string\"}}}}}}" },
};

static const struct mf_api_set set = { routes, MF_ARRAY_SIZE(routes), schemas,
				       MF_ARRAY_SIZE(schemas) };

int mf_routes_policy_new(struct mf_api *api, struct mf_runtime *rt, struct mf_work *work,
			 struct mf_routes_policy **ret, struct mf_err *err)
{
	struct mf_routes_policy *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	p->rt = rt;
	p->work = work;
	pthread_mutex_init(&p->lock, NULL);
	r = mf_api_add(api, &set, p, err);
	if (r < 0)
		mf_routes_policy_free(p);
	else
		*ret = p;
	return r;
}

void mf_routes_policy_reload(struct mf_routes_policy *p,
			     void (*done)(void *ctx, const struct mf_err *err), void *ctx)
{
	struct mf_policy_job *job = new_job(p, NULL, mf_policy_job_reload);

	if (!job) {
		give_up(done, ctx, "out of memory");
		return;
	}
	job->by = (struct mf_generation_asker){ .how = "signal", .uid = -1 };
	job->over = done;
	job->over_ctx = ctx;
	add_job(p, job);
}

void mf_routes_policy_change(struct mf_routes_policy *p, const struct mf_policy_change *change,
			     void (*done)(void *ctx, const struct mf_err *err), void *ctx)
{
	struct mf_policy_job *job = new_job(p, NULL, mf_policy_job_change);

	if (job && change->path_cnt)
		job->paths = mf_paths_copy(change->paths, change->path_cnt);
	if (!job || (change->path_cnt && !job->paths)) {
		free(job);
		give_up(done, ctx, "out of memory");
		return;
	}
	job->path_cnt = change->path_cnt;
	job->change = *change;
	job->change.paths = NULL;
	job->by = (struct mf_generation_asker){ .how = "reload", .uid = -1 };
	job->over = done;
	job->over_ctx = ctx;
	add_job(p, job);
}

void mf_routes_policy_list_sessions(struct mf_routes_policy *p, json_t *(*list)(void *ctx),
				    void *ctx)
{
	p->list_sessions = list;
	p->list_ctx = ctx;
}

void mf_routes_policy_forget(struct mf_routes_policy *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->rt = NULL;
	mf_policy_candidate_drop(p);
	pthread_mutex_unlock(&p->lock);
}

void mf_routes_policy_free(struct mf_routes_policy *p)
{
	if (!p)
		return;
	mf_policy_candidate_drop(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
