/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes_policy.c - /v1/policy: generations, and the candidate that may become the next one
 *
 * A candidate is read and loaded beside what is in force, tested, and activated: the very bytes that were tested come into
 * force. All of it happens in the work thread, one request after the other, so that the candidate needs no lock.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/runtime.h"
#include "core/policy/testrun.h"
#include "daemon/policy_json.h"
#include "daemon/policy_sessions.h"
#include "daemon/routes.h"
#include "daemon/work.h"

#define PATHS_MAX    64
#define FAILURES_MAX 20

struct candidate {
	uint64_t id; /* 0: there is none */
	struct mf_generation g;
	bool tested; /* and they passed */
	size_t passed, skipped;
};

struct mf_routes_policy {
	struct mf_runtime *rt; /* under lock; NULL: there are no policies (any more) */
	struct mf_work *work;
	pthread_mutex_t lock; /* held while something is done with the runtime */
	json_t *(*list_sessions)(void *ctx);
	void *list_ctx;
	/* the thread's */
	struct candidate candidate;
	uint64_t next_id;
};

/* One request on its way through the thread. */
struct job {
	struct mf_work_item item;
	struct mf_routes_policy *p;
	struct mf_api_call *call;
	void (*fn)(struct job *job);
	char **paths; /* load */
	size_t path_cnt;
	uint64_t number; /* activate: candidate; rollback: generation; 0: not said */
	struct mf_generation_asker by;
	void (*over)(void *ctx); /* without a call */
	void *over_ctx;
	json_t *sessions; /* that are to go along (policy_sessions.h); NULL: none */
	/* what came of it */
	bool ran;
	int status;
	json_t *json;
	const char *code; /* of a problem; NULL: that of @err */
	struct mf_err err;
};

static void fail(struct job *job, int status, const char *code)
{
	job->status = status;
	job->code = code;
}

/* --- what there is ----------------------------------------------------------------------------------------------- */

static json_t *candidate_json(const struct candidate *c)
{
	json_t *json =
		json_pack("{s:I, s:o, s:o, s:o, s:b}", "candidate", (json_int_t)c->id, "at",
			  mf_policy_json_time(c->g.wall_ns), "paths", mf_policy_json_paths(&c->g),
			  "policies", mf_policy_json_policies(c->g.set), "tested", c->tested);

	if (json && c->tested) {
		json_object_set_new(json, "passed", json_integer((json_int_t)c->passed));
		json_object_set_new(json, "skipped", json_integer((json_int_t)c->skipped));
	}
	return json;
}

static size_t all_generations(struct mf_routes_policy *p,
			      struct mf_generation list[MF_GENERATIONS_MAX])
{
	return mf_runtime_generations(p->rt, list, MF_GENERATIONS_MAX);
}

static void done_all(struct mf_generation *list, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		mf_generation_done(&list[i]);
}

static void do_show(struct job *job)
{
	struct mf_generation list[MF_GENERATIONS_MAX];
	size_t cnt = all_generations(job->p, list);
	json_t *json = json_array();

	for (size_t i = 0; i < cnt; i++)
		json_array_append_new(json, mf_policy_json_generation(&list[i], i == 0));
	job->json =
		json_pack("{s:I, s:o}", "generation",
			  cnt ? (json_int_t)list[0].number : (json_int_t)0, "generations", json);
	if (job->p->candidate.id)
		json_object_set_new(job->json, "candidate", candidate_json(&job->p->candidate));
	done_all(list, cnt);
}

/* The one that is in force, as JSON, after it was changed. */
static void show_active(struct job *job)
{
	struct mf_generation g;

	if (mf_runtime_generations(job->p->rt, &g, 1) == 0) {
		mf_err_set(&job->err, MF_E_NOMEM, "out of memory");
		fail(job, 500, NULL);
		return;
	}
	job->json = mf_policy_json_generation(&g, true);
	mf_generation_done(&g);
	if (!job->sessions)
		return;
	for (size_t i = 0; i < json_array_size(job->sessions); i++)
		json_object_del(json_array_get(job->sessions, i), "socket");
	json_object_set(job->json, "sessions", job->sessions);
}

/* --- changing it ------------------------------------------------------------------------------------------------- */

static void drop_candidate(struct mf_routes_policy *p)
{
	mf_generation_done(&p->candidate.g);
	p->candidate = (struct candidate){ 0 };
}

/* The paths asked for, or those that are in force. */
static int choose_paths(struct job *job, struct mf_generation *g)
{
	struct mf_generation active;

	if (job->path_cnt) {
		g->paths = job->paths;
		g->path_cnt = job->path_cnt;
		job->paths = NULL;
		job->path_cnt = 0;
		return 0;
	}
	if (mf_runtime_generations(job->p->rt, &active, 1) == 0)
		return mf_err_set(&job->err, MF_E_NOENT, "no policies are in force: which paths?");
	g->paths = active.paths;
	g->path_cnt = active.path_cnt;
	mf_source_set_unref(active.set);
	return 0;
}

/* Whether it loads shows a state that nobody asks. */
static int read_candidate(struct job *job, struct mf_generation *g)
{
	const struct mf_vm_config *config = mf_runtime_config(job->p->rt);
	struct mf_vm_state *state;
	int r = choose_paths(job, g);

	if (r == 0)
		r = mf_runtime_read(job->p->rt, (const char *const *)g->paths, g->path_cnt, &g->set,
				    &job->err);
	if (r == 0)
		r = mf_vm_state_new(config, g->set, mf_runtime_generation(job->p->rt) + 1, &state,
				    &job->err);
	if (r == 0)
		mf_vm_state_free(state);
	return r;
}

static void do_load(struct job *job)
{
	struct mf_routes_policy *p = job->p;
	struct mf_generation g = { 0 };

	if (read_candidate(job, &g) < 0) {
		mf_generation_done(&g);
		fail(job, 422, NULL);
		return;
	}
	drop_candidate(p);
	g.wall_ns = mf_clock_wall(&mf_clock_system);
	p->candidate = (struct candidate){ .id = ++p->next_id, .g = g };
	job->status = 201;
	job->json = candidate_json(&p->candidate);
}

/* Return: false: the job has failed */
static bool want_candidate(struct job *job)
{
	struct candidate *c = &job->p->candidate;

	if (c->id && (!job->number || job->number == c->id))
		return true;
	if (c->id)
		mf_err_set(&job->err, MF_E_NOENT, "the candidate is %llu by now, not %llu",
			   (unsigned long long)c->id, (unsigned long long)job->number);
	else
		mf_err_set(&job->err, MF_E_NOENT,
			   "there is no candidate: POST /v1/policy/load makes one");
	fail(job, 409, "no_candidate");
	return false;
}

static json_t *failures_json(const struct mf_test_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->result_cnt; i++) {
		const struct mf_test_result *t = &report->results[i];

		if (t->status != MF_TEST_FAILED || json_array_size(list) == FAILURES_MAX)
			continue;
		json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:o}", "name",
						      mf_policy_json_text(t->name), "file",
						      mf_policy_json_text(t->file), "line",
						      (json_int_t)t->line, "text",
						      mf_policy_json_text(t->text ? t->text : "")));
	}
	return list;
}

static void do_test(struct job *job)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	struct candidate *c = &job->p->candidate;

	if (!want_candidate(job))
		return;
	if (mf_testrun_all(mf_runtime_config(job->p->rt), c->g.set, 0, &report, &job->err) < 0) {
		mf_test_report_done(&report);
		fail(job, 422, NULL);
		return;
	}
	c->tested = report.failed == 0;
	c->passed = report.passed;
	c->skipped = report.skipped;
	job->json =
		json_pack("{s:I, s:I, s:I, s:I, s:o}", "candidate", (json_int_t)c->id, "passed",
			  (json_int_t)report.passed, "failed", (json_int_t)report.failed, "skipped",
			  (json_int_t)report.skipped, "failures", failures_json(&report));
	mf_test_report_done(&report);
}

/* Those that judge by what is in force have the candidate beside it, all of them; Return: false: the job has failed */
static bool prepare_sessions(struct job *job)
{
	struct mf_generation active = { 0 };
	json_t *before, *paths, *policies;
	int r;

	if (!job->sessions)
		return true;
	if (mf_runtime_generations(job->p->rt, &active, 1) == 0) {
		mf_err_set(&job->err, MF_E_NOMEM, "out of memory");
		fail(job, 500, NULL);
		return false;
	}
	before = mf_policy_json_policies(active.set);
	paths = mf_policy_json_paths(&job->p->candidate.g);
	policies = mf_policy_json_policies(job->p->candidate.g.set);
	mf_generation_done(&active);
	r = mf_policy_sessions_prepare(job->sessions, before, paths, policies, &job->err);
	json_decref(before);
	json_decref(paths);
	json_decref(policies);
	if (r < 0)
		fail(job, 409, "session_failed");
	return r == 0;
}

static void roll_sessions_back(struct job *job, const struct mf_generation *from,
			       const struct mf_generation *to)
{
	json_t *before = mf_policy_json_policies(from->set);
	json_t *policies = mf_policy_json_policies(to->set);

	if (job->sessions)
		mf_policy_sessions_rollback(job->sessions, before, policies);
	json_decref(before);
	json_decref(policies);
}

static void do_activate(struct job *job)
{
	struct candidate *c = &job->p->candidate;

	if (!want_candidate(job) || !prepare_sessions(job))
		return;
	c->g.by = job->by;
	if (mf_runtime_activate(job->p->rt, &c->g, !c->tested, &job->err) < 0) {
		fail(job, 422, NULL);
		return;
	}
	drop_candidate(job->p);
	if (job->sessions)
		mf_policy_sessions_activate(job->sessions);
	show_active(job);
}

static uint64_t origin_of(const struct mf_generation *g)
{
	return g->from ? g->from : g->number;
}

/* Without a number: the newest that came into force before the sources did that are in force now. */
static const struct mf_generation *find_target(const struct mf_generation *list, size_t cnt,
					       uint64_t number)
{
	for (size_t i = number ? 0 : 1; i < cnt; i++)
		if (number ? list[i].number == number
			   : !list[i].from && list[i].number < origin_of(&list[0]))
			return &list[i];
	return NULL;
}

static void do_rollback(struct job *job)
{
	struct mf_generation list[MF_GENERATIONS_MAX], to;
	size_t cnt = all_generations(job->p, list);
	const struct mf_generation *found = find_target(list, cnt, job->number);

	if (!found) {
		if (job->number)
			mf_err_set(&job->err, MF_E_NOENT, "generation %llu is not kept",
				   (unsigned long long)job->number);
		else
			mf_err_set(&job->err, MF_E_NOENT, "no earlier generation is kept");
		fail(job, 409, "no_generation");
	} else {
		to = *found;
		to.from = origin_of(found);
		to.by = job->by;
		/* they passed when it first came into force */
		if (mf_runtime_activate(job->p->rt, &to, false, &job->err) < 0)
			fail(job, 422, NULL);
		else
			roll_sessions_back(job, &list[0], &to), show_active(job);
	}
	done_all(list, cnt);
}

static void do_reload(struct job *job)
{
	if (mf_runtime_reload_by(job->p->rt, &job->by, &job->err) < 0)
		fail(job, 422, NULL);
	else if (job->call)
		show_active(job);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static void run_job(struct mf_work_item *item)
{
	struct job *job = (struct job *)item;

	job->ran = true;
	pthread_mutex_lock(&job->p->lock);
	if (job->p->rt) {
		job->fn(job);
	} else {
		mf_err_set(&job->err, MF_E_NOENT, "there are no policies here");
		fail(job, 404, "no_policies");
	}
	pthread_mutex_unlock(&job->p->lock);
}

static void answer(struct job *job)
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

static void free_job(struct job *job)
{
	mf_paths_free(job->paths, job->path_cnt);
	json_decref(job->sessions);
	free(job);
}

static void finish_job(struct mf_work_item *item)
{
	struct job *job = (struct job *)item;

	if (job->call) {
		answer(job);
	} else {
		json_decref(job->json);
		job->over(job->over_ctx);
	}
	free_job(job);
}

static struct job *new_job(struct mf_routes_policy *p, struct mf_api_call *call,
			   void (*fn)(struct job *job))
{
	struct job *job = calloc(1, sizeof(*job));

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

static void add_job(struct mf_routes_policy *p, struct job *job)
{
	if (mf_work_add(p->work, &job->item) == 0)
		return;
	if (job->call)
		mf_api_problem(job->call, 503, "too_many_requests",
			       "too many requests wait for policies to be loaded");
	else
		job->over(job->over_ctx);
	free_job(job);
}

static struct mf_generation_asker asker_of(const struct mf_api_call *call, const char *how)
{
	const struct mf_peer *peer = mf_api_peer(call);

	return (struct mf_generation_asker){ how, peer->known ? (int64_t)peer->uid : -1,
					     peer->known ? peer->pid : 0 };
}

/* @how: NULL: nothing is put in force */
static void begin(struct mf_routes_policy *p, struct mf_api_call *call, void (*fn)(struct job *job),
		  const char *number, const char *how)
{
	struct job *job = new_job(p, call, fn);

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
	begin(ctx, call, do_show, NULL, NULL);
}

static void test(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, do_test, "candidate", NULL);
}

static void activate(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, do_activate, "candidate", "activate");
}

static void rollback(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, do_rollback, "to", "rollback");
}

static void reload(void *ctx, struct mf_api_call *call)
{
	begin(ctx, call, do_reload, NULL, "reload");
}

static void load(void *ctx, struct mf_api_call *call)
{
	const json_t *list = json_object_get(mf_api_body(call), "paths"), *item;
	const char *paths[PATHS_MAX];
	struct job *job;
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
	job = new_job(ctx, call, do_load);
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

void mf_routes_policy_reload(struct mf_routes_policy *p, void (*done)(void *ctx), void *ctx)
{
	struct job *job = new_job(p, NULL, do_reload);

	if (!job) {
		done(ctx);
		return;
	}
	job->by = (struct mf_generation_asker){ .how = "signal", .uid = -1 };
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
	drop_candidate(p);
	pthread_mutex_unlock(&p->lock);
}

void mf_routes_policy_free(struct mf_routes_policy *p)
{
	if (!p)
		return;
	drop_candidate(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
