/* SPDX-License-Identifier: Apache-2.0 */
/* testrun.c - runs packs' tests file by file and gathers the report; see testrun.h for how it works */
#include "core/policy/testrun.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/counters.h"
#include "core/policy/sandbox.h"
#include "core/policy/state.h"
#include "core/policy/testrun_internal.h"

#define TEST_STEPS    UINT64_C(50000000) /* a test, or the reading of a file */
#define TEST_TIME_NS  (UINT64_C(10) * MF_NS_PER_S)
#define TEST_MEMORY   ((size_t)64 << 20)
#define FUNCTIONS_MAX 4096 /* looked at for coverage */
#define LINES_MAX     262144

/* --- coverage ------------------------------------------------------------------------------------------------------ */

static struct mf_test_line *find_line(struct mf_test_report *r, const char *file, unsigned line)
{
	size_t low = 0, high = r->line_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(r->lines[mid].file, file);

		if (c == 0)
			c = (r->lines[mid].line > line) - (r->lines[mid].line < line);
		if (c == 0)
			return &r->lines[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int compare_lines(const void *a, const void *b)
{
	const struct mf_test_line *x = a, *y = b;
	int c = strcmp(x->file, y->file);

	return c ? c : (x->line > y->line) - (x->line < y->line);
}

/* A line that can run. Without memory the coverage is short of it. */
static void add_line(struct mf_test_report *r, const char *file, unsigned line)
{
	struct mf_test_line *more;

	if (r->line_cnt >= LINES_MAX)
		return;
	if ((r->line_cnt & (r->line_cnt - 1)) == 0) {
		size_t room = r->line_cnt ? r->line_cnt * 2 : 1;

		more = realloc(r->lines, room * sizeof(*more));
		if (!more)
			return;
		r->lines = more;
	}
	r->lines[r->line_cnt] = (struct mf_test_line){ .file = strdup(file), .line = line };
	if (r->lines[r->line_cnt].file)
		r->line_cnt++;
}

static void sort_lines(struct mf_test_report *r)
{
	size_t n = 0;

	if (r->line_cnt == 0)
		return;
	qsort(r->lines, r->line_cnt, sizeof(*r->lines), compare_lines);
	for (size_t i = 1; i < r->line_cnt; i++) {
		if (compare_lines(&r->lines[n], &r->lines[i]) == 0) {
			r->lines[n].hits += r->lines[i].hits;
			free(r->lines[i].file);
		} else {
			r->lines[++n] = r->lines[i];
		}
	}
	r->line_cnt = n + 1;
}

static void count_line(void *ctx, const char *file, unsigned line)
{
	struct mf_test_line *l = find_line(ctx, file, line);

	if (l)
		l->hits++;
}

/* Functions reachable from a hook through what it captured; each counts once. */
struct functions {
	struct mf_test_report *report;
	const struct mf_vm_state *state;
	const void *seen[FUNCTIONS_MAX];
	size_t cnt;
};

static void add_function(lua_State *L, struct functions *f);

/* What an upvalue or a table holds, one level deep: helper functions and tables of them. */
static void add_value(lua_State *L, struct functions *f, int depth)
{
	if (lua_type(L, -1) == LUA_TFUNCTION && !lua_iscfunction(L, -1)) {
		add_function(L, f);
	} else if (lua_type(L, -1) == LUA_TTABLE && depth < 2) {
		(void)mf_frozen_contents(L, lua_gettop(L));
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
			add_value(L, f, depth + 1);
		lua_pop(L, 1);
	}
}

static void add_function(lua_State *L, struct functions *f)
{
	const void *id = lua_topointer(L, -1);
	lua_Debug ar;

	for (size_t i = 0; i < f->cnt; i++)
		if (f->seen[i] == id)
			return;
	if (f->cnt == FUNCTIONS_MAX)
		return;
	f->seen[f->cnt++] = id;
	luaL_checkstack(L, 16, NULL);
	lua_pushvalue(L, -1);
	if (lua_getinfo(L, ">SL", &ar) && lua_type(L, -1) == LUA_TTABLE) {
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
			add_line(f->report, ar.source + (ar.source[0] == '@'),
				 (unsigned)lua_tointeger(L, -2));
	}
	lua_pop(L, 1);
	for (int i = 1; lua_getupvalue(L, -1, i); i++) {
		add_value(L, f, 0);
		lua_pop(L, 1);
	}
}

static int add_functions(lua_State *L)
{
	struct functions *f = lua_touserdata(L, 1);

	for (size_t i = 0; i < f->state->policy_cnt; i++) {
		for (int kind = 0; kind < MF_KIND_NUM; kind++) {
			lua_rawgeti(L, LUA_REGISTRYINDEX, f->state->policies[i].hooks[kind]);
			if (lua_type(L, -1) == LUA_TFUNCTION)
				add_function(L, f);
			lua_pop(L, 1);
		}
	}
	return 0;
}

static void add_rules(struct mf_test_report *r, const struct mf_vm_state *state)
{
	for (size_t i = 0; i < state->policy_cnt; i++) {
		const struct mf_policy *p = &state->policies[i];
		size_t cnt = p->rules ? mf_rules_count(p->rules) : 0;
		struct mf_test_rule *more;

		more = cnt ? realloc(r->rules, (r->rule_cnt + cnt) * sizeof(*more)) : NULL;
		if (!more)
			continue;
		r->rules = more;
		for (size_t k = 0; k < cnt; k++) {
			struct mf_test_rule rule = { .policy = strdup(p->name),
						     .rule = strdup(mf_rules_name(p->rules, k)),
						     .file = strdup(
							     mf_rules_file(p->rules, k)
								     ? mf_rules_file(p->rules, k)
								     : p->source->chunk.name),
						     .line = mf_rules_line(p->rules, k) };

			if (!rule.policy || !rule.rule || !rule.file) {
				free(rule.policy);
				free(rule.rule);
				free(rule.file);
				return;
			}
			r->rules[r->rule_cnt++] = rule;
		}
	}
}

static void count_rule(void *ctx, const struct mf_decision *d)
{
	struct mf_test_report *r = ctx;

	for (size_t i = 0; d->rule && d->policy && i < r->rule_cnt; i++) {
		if (strcmp(r->rules[i].rule, d->rule) == 0 &&
		    strcmp(r->rules[i].policy, d->policy) == 0) {
			r->rules[i].hits++;
			return;
		}
	}
}

static void begin_coverage(struct mf_test_report *r, struct mf_vm_state *state)
{
	struct mf_sandbox_limits limits = { TEST_STEPS, TEST_TIME_NS };
	struct functions *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->report = r;
	f->state = state;
	(void)mf_sandbox_call(state->sb, &limits, add_functions, f, NULL);
	free(f);
	sort_lines(r);
	add_rules(r, state);
	mf_sandbox_set_lines(state->sb, count_line, r);
	state->cache_off = true; /* every question must run its lines */
}

/* --- report ------------------------------------------------------------------------------------------------------- */

static int add_result(struct mf_test_report *report, enum mf_test_status status, const char *name,
		      const char *file, unsigned line, const char *text, uint64_t elapsed_ns)
{
	struct mf_test_result *more, *r;

	more = realloc(report->results, (report->result_cnt + 1) * sizeof(*more));
	if (!more)
		return MF_E_NOMEM;
	report->results = more;
	r = &more[report->result_cnt];
	*r = (struct mf_test_result){ .status = status,
				      .name = strdup(name),
				      .file = strdup(file),
				      .line = line,
				      .elapsed_ns = elapsed_ns,
				      .text = text ? strdup(text) : NULL };
	report->result_cnt++;
	report->passed += status == MF_TEST_PASSED;
	report->failed += status == MF_TEST_FAILED;
	report->skipped += status == MF_TEST_SKIPPED;
	return r->name && r->file && (!text || r->text) ? 0 : MF_E_NOMEM;
}

void mf_test_report_done(struct mf_test_report *report)
{
	for (size_t i = 0; i < report->result_cnt; i++) {
		free(report->results[i].name);
		free(report->results[i].file);
		free(report->results[i].text);
	}
	for (size_t i = 0; i < report->line_cnt; i++)
		free(report->lines[i].file);
	for (size_t i = 0; i < report->rule_cnt; i++) {
		free(report->rules[i].policy);
		free(report->rules[i].rule);
		free(report->rules[i].file);
	}
	free(report->results);
	free(report->lines);
	free(report->rules);
	*report = (struct mf_test_report)MF_TEST_REPORT_INIT;
}

int mf_test_report_error(const struct mf_test_report *report, struct mf_err *err)
{
	for (size_t i = 0; i < report->result_cnt; i++) {
		const struct mf_test_result *r = &report->results[i];

		if (r->status == MF_TEST_FAILED)
			return mf_err_at(err, MF_E_TEST, r->file, r->line, 0,
					 "test \"%s\" failed:\n%s", r->name,
					 r->text ? r->text : "?");
	}
	return 0;
}

/* --- one file ----------------------------------------------------------------------------------------------------- */

struct one_test {
	int ref, row;
};

static int open_globals(lua_State *L)
{
	mf_sandbox_push_globals(L);
	mf_bind_test(L);
	return 0;
}

static int run_body(lua_State *L)
{
	struct one_test *t = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
	mf_test_push_t(L);
	if (t->row != LUA_NOREF)
		lua_rawgeti(L, LUA_REGISTRYINDEX, t->row);
	lua_call(L, t->row == LUA_NOREF ? 1 : 2, 0);
	return 0;
}

static void end_test(struct mf_test_run *run)
{
	for (size_t i = 0; i < run->answer_cnt; i++) {
		mf_outcome_unref(run->answers[i].outcome);
		free(run->answers[i].question);
	}
	run->answer_cnt = 0;
	mf_strbuf_clear(&run->failure);
	mf_strbuf_clear(&run->inputs);
	run->serial++;
}

/* What t:for_all() tried when a test ended before it did. */
static void add_inputs(struct mf_test_run *run, struct mf_strbuf *text)
{
	if (run->inputs.len)
		mf_strbuf_addf(text, "\n  with %s", run->inputs.str);
}

static int run_entry(struct mf_test_run *run, struct mf_sandbox *sb, const char *file,
		     const struct mf_test_entry *e, struct mf_test_report *report)
{
	struct mf_sandbox_limits limits = { TEST_STEPS, TEST_TIME_NS };
	struct mf_strbuf raised = MF_STRBUF_INIT(8192);
	struct one_test t = { e->ref, e->row };
	struct mf_err err = { 0 };
	uint64_t start = mf_clock_now(&mf_clock_system), elapsed;
	int r;

	if (e->ref == LUA_NOREF)
		return add_result(report, MF_TEST_SKIPPED, e->name, file, e->line, NULL, 0);
	run->name = e->name;
	run->file = file;
	r = mf_sandbox_call(sb, &limits, run_body, &t, &err);
	elapsed = mf_clock_now(&mf_clock_system) - start;
	if (run->failure.len)
		add_inputs(run, &run->failure);
	if (run->failure.len)
		r = add_result(
			report, MF_TEST_FAILED, e->name, *run->fail_file ? run->fail_file : file,
			run->fail_line ? run->fail_line : e->line, run->failure.str, elapsed);
	else if (r < 0) {
		mf_strbuf_adds(&raised, err.msg);
		add_inputs(run, &raised);
		r = add_result(report, MF_TEST_FAILED, e->name, *err.file ? err.file : file,
			       err.line ? err.line : e->line, raised.str ? raised.str : err.msg,
			       elapsed);
	} else
		r = add_result(report, MF_TEST_PASSED, e->name, file, e->line, NULL, elapsed);
	mf_strbuf_done(&raised);
	end_test(run);
	return r;
}

static bool enough(const struct mf_test_report *report, size_t max_failures)
{
	return max_failures && report->failed >= max_failures;
}

/* Reads the file, then runs what it announced. */
static int run_entries(struct mf_test_run *run, struct mf_sandbox *sb,
		       const struct mf_sandbox_source *file, size_t max_failures,
		       struct mf_test_report *report)
{
	struct mf_sandbox_limits limits = { TEST_STEPS, TEST_TIME_NS };
	struct mf_err err = { 0 };
	int ref, r;

	run->collecting = true;
	r = mf_sandbox_load(sb, &limits, file, &ref, &err);
	run->collecting = false;
	if (r < 0)
		return add_result(report, MF_TEST_FAILED, "", *err.file ? err.file : file->name,
				  err.line, err.msg, 0);
	if (run->entry_cnt == 0)
		return add_result(report, MF_TEST_FAILED, "", file->name, 1,
				  "the file has no test: it must call test(name, function)", 0);
	for (size_t i = 0; r == 0 && i < run->entry_cnt && !enough(report, max_failures); i++)
		if (!report->filter || strstr(run->entries[i].name, report->filter))
			r = run_entry(run, sb, file->name, &run->entries[i], report);
	return r;
}

static int run_file(struct mf_vm_state *state, const struct mf_sandbox_source *file,
		    size_t max_failures, struct mf_test_report *report, struct mf_err *err)
{
	struct mf_sandbox_options options = { .memory = TEST_MEMORY, .clock = &mf_clock_system };
	struct mf_sandbox_limits limits = { TEST_STEPS, TEST_TIME_NS };
	struct mf_test_run run = { .state = state,
				   .serial = 1,
				   .failure = MF_STRBUF_INIT(65536),
				   .inputs = MF_STRBUF_INIT(16384) };
	struct mf_sandbox *sb = NULL;
	int r;

	if (report->coverage) {
		run.decided = count_rule;
		run.ctx = report;
	}
	run.report = report;
	run.req = mf_request_new(MF_DNS);
	r = run.req ? mf_sandbox_new(&options, &sb, err) : MF_E_NOMEM;
	if (r == 0) {
		mf_sandbox_set_owner(sb, &run);
		r = mf_sandbox_call(sb, &limits, open_globals, NULL, err);
	}
	if (r == 0)
		r = mf_sandbox_seal(sb, err);
	if (r == 0)
		r = run_entries(&run, sb, file, max_failures, report);
	if (r == MF_E_NOMEM)
		mf_err_set(err, r, "out of memory while running tests");
	end_test(&run);
	free(run.answers);
	free(run.entries);
	mf_strbuf_done(&run.failure);
	mf_strbuf_done(&run.inputs);
	mf_sandbox_free(sb);
	mf_request_free(run.req);
	return r;
}

/* --- packs -------------------------------------------------------------------------------------------------------- */

static int run_pack(const struct mf_vm_config *config, struct mf_source_set *set,
		    size_t max_failures, struct mf_test_report *report, struct mf_err *err)
{
	struct mf_vm_config own = *config;
	struct mf_vm_state *state;
	int r;

	/*
	 * A busy machine must not refuse a good generation: the same tests give the same answer every time, so decisions
	 * are bounded by their instructions, and by time only so that they end.
	 */
	if (own.options.time_limit_us < TEST_TIME_NS / MF_NS_PER_US)
		own.options.time_limit_us = TEST_TIME_NS / MF_NS_PER_US;
	/* Counters that tests move are not those of the sessions that run. */
	own.counters = mf_counters_new(0);
	if (!own.counters)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while running tests");
	r = mf_vm_state_new(&own, set, 0, &state, err);
	if (r < 0)
		goto out;
	if (report->coverage)
		begin_coverage(report, state);
	for (size_t i = 0; r == 0 && i < mf_source_set_count(set); i++)
		for (size_t k = 0; r == 0 && k < mf_source_set_test_count(set, i); k++)
			if (!enough(report, max_failures))
				r = run_file(state, mf_source_set_test(set, i, k), max_failures,
					     report, err);
	mf_vm_state_free(state);
out:
	mf_counters_free(own.counters);
	return r;
}

int mf_testrun_pack(const struct mf_vm_config *config, struct mf_source_set *set, size_t policy,
		    size_t max_failures, struct mf_test_report *report, struct mf_err *err)
{
	struct mf_source_set *pack;
	size_t tests = 0;
	int r;

	r = mf_source_set_narrow(set, policy, &pack);
	if (r < 0)
		return mf_err_set(err, r, "out of memory while running tests");
	for (size_t i = 0; i < mf_source_set_count(pack); i++)
		tests += mf_source_set_test_count(pack, i);
	if (tests)
		r = run_pack(config, pack, max_failures, report, err);
	mf_source_set_unref(pack);
	return r;
}

int mf_testrun_all(const struct mf_vm_config *config, struct mf_source_set *set,
		   size_t max_failures, struct mf_test_report *report, struct mf_err *err)
{
	int r = 0;

	/* A pack's tests stand at its first policy. */
	for (size_t i = 0; r == 0 && i < mf_source_set_count(set); i++)
		if (mf_source_set_test_count(set, i) && !enough(report, max_failures))
			r = mf_testrun_pack(config, set, i, max_failures, report, err);
	return r;
}
