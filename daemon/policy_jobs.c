/* SPDX-License-Identifier: Apache-2.0 */
/* policy_jobs.c - what requests to /v1/policy do, in the work thread; see routes_policy.c */
#include <stdlib.h>
#include <string.h>

#include "core/policy/testrun.h"
#include "daemon/policy_json.h"
#include "daemon/policy_sessions.h"
#include "daemon/routes_policy_int.h"

#define FAILURES_MAX 20

void mf_policy_job_fail(struct mf_policy_job *job, int status, const char *code)
{
	job->status = status;
	job->code = code;
}

/* --- what there is ----------------------------------------------------------------------------------------------- */

static json_t *candidate_json(const struct mf_policy_candidate *c)
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

void mf_policy_job_show(struct mf_policy_job *job)
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
static void show_active(struct mf_policy_job *job)
{
	struct mf_generation g;

	if (mf_runtime_generations(job->p->rt, &g, 1) == 0) {
		mf_err_set(&job->err, MF_E_NOMEM, "out of memory");
		mf_policy_job_fail(job, 500, NULL);
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

void mf_policy_candidate_drop(struct mf_routes_policy *p)
{
	mf_generation_done(&p->candidate.g);
	p->candidate = (struct mf_policy_candidate){ 0 };
}

/* The paths asked for, or those that are in force. */
static int choose_paths(struct mf_policy_job *job, struct mf_generation *g)
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
static int read_candidate(struct mf_policy_job *job, struct mf_generation *g)
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

void mf_policy_job_load(struct mf_policy_job *job)
{
	struct mf_routes_policy *p = job->p;
	struct mf_generation g = { 0 };

	if (read_candidate(job, &g) < 0) {
		mf_generation_done(&g);
		mf_policy_job_fail(job, 422, NULL);
		return;
	}
	mf_policy_candidate_drop(p);
	g.wall_ns = mf_clock_wall(&mf_clock_system);
	p->candidate = (struct mf_policy_candidate){ .id = ++p->next_id, .g = g };
	job->status = 201;
	job->json = candidate_json(&p->candidate);
}

/* Return: false: the job has failed */
static bool want_candidate(struct mf_policy_job *job)
{
	struct mf_policy_candidate *c = &job->p->candidate;

	if (c->id && (!job->number || job->number == c->id))
		return true;
	if (c->id)
		mf_err_set(&job->err, MF_E_NOENT, "the candidate is %llu by now, not %llu",
			   (unsigned long long)c->id, (unsigned long long)job->number);
	else
		mf_err_set(&job->err, MF_E_NOENT,
			   "there is no candidate: POST /v1/policy/load makes one");
	mf_policy_job_fail(job, 409, "no_candidate");
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

void mf_policy_job_test(struct mf_policy_job *job)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	struct mf_policy_candidate *c = &job->p->candidate;

	if (!want_candidate(job))
		return;
	if (mf_testrun_all(mf_runtime_config(job->p->rt), c->g.set, 0, &report, &job->err) < 0) {
		mf_test_report_done(&report);
		mf_policy_job_fail(job, 422, NULL);
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
static bool prepare_sessions(struct mf_policy_job *job)
{
	struct mf_generation active = { 0 };
	json_t *before, *paths, *policies;
	int r;

	if (!job->sessions)
		return true;
	if (mf_runtime_generations(job->p->rt, &active, 1) == 0) {
		mf_err_set(&job->err, MF_E_NOMEM, "out of memory");
		mf_policy_job_fail(job, 500, NULL);
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
		mf_policy_job_fail(job, 409, "session_failed");
	return r == 0;
}

static void roll_sessions_back(struct mf_policy_job *job, const struct mf_generation *from,
			       const struct mf_generation *to)
{
	json_t *before = mf_policy_json_policies(from->set);
	json_t *policies = mf_policy_json_policies(to->set);

	if (job->sessions)
		mf_policy_sessions_rollback(job->sessions, before, policies);
	json_decref(before);
	json_decref(policies);
}

void mf_policy_job_activate(struct mf_policy_job *job)
{
	struct mf_policy_candidate *c = &job->p->candidate;

	if (!want_candidate(job) || !prepare_sessions(job))
		return;
	c->g.by = job->by;
	if (mf_runtime_activate(job->p->rt, &c->g, !c->tested, &job->err) < 0) {
		mf_policy_job_fail(job, 422, NULL);
		return;
	}
	mf_policy_candidate_drop(job->p);
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

void mf_policy_job_rollback(struct mf_policy_job *job)
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
		mf_policy_job_fail(job, 409, "no_generation");
	} else {
		to = *found;
		to.from = origin_of(found);
		to.by = job->by;
		/* they passed when it first came into force */
		if (mf_runtime_activate(job->p->rt, &to, false, &job->err) < 0)
			mf_policy_job_fail(job, 422, NULL);
		else
			roll_sessions_back(job, &list[0], &to), show_active(job);
	}
	done_all(list, cnt);
}

void mf_policy_job_reload(struct mf_policy_job *job)
{
	if (mf_runtime_reload_by(job->p->rt, &job->by, &job->err) < 0)
		mf_policy_job_fail(job, 422, NULL);
	else if (job->call)
		show_active(job);
}

/* As activate does, so that who asked is known; what was switched for it is switched back where they do not load. */
void mf_policy_job_change(struct mf_policy_job *job)
{
	const struct mf_policy_change *c = &job->change;
	struct mf_generation g = { .by = job->by };
	int r = 0;

	if (c->begin)
		c->begin(c->ctx);
	if (job->path_cnt) {
		(void)choose_paths(job, &g);
		r = mf_runtime_read(job->p->rt, (const char *const *)g.paths, g.path_cnt, &g.set,
				    &job->err);
		if (r == 0)
			r = mf_runtime_activate(job->p->rt, &g, true, &job->err);
	} else {
		r = mf_runtime_reload_by(job->p->rt, &job->by, &job->err);
	}
	mf_generation_done(&g);
	if (r == 0)
		return;
	if (c->back)
		c->back(c->ctx);
	mf_policy_job_fail(job, 422, NULL);
}
