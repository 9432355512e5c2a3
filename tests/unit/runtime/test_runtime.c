/* SPDX-License-Identifier: Apache-2.0 */
/* test_runtime.c - generations, fail modes, quarantine, and the watch, through the public API only */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cond.h"
#include "core/policy/runtime.h"
#include "tests/unit/runtime/tree.h"

#include <cmocka.h>
#include <jansson.h>

#include <moonfence/moonfence.h>

static struct mf_runtime *rt;
static struct mf_vm *vm;
static struct mf_request *req;
static struct mf_err err;
static struct mf_decision d;

/* Events in the order of their coming. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	json_t *all; /* array */
} events = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define WAIT_MS 60000

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return UINT64_C(1700000000123456789);
}

static void take_event(void *ctx, const char *json, size_t len)
{
	json_error_t why;
	json_t *event = json_loadb(json, len, 0, &why);

	(void)ctx;
	if (!event)
		fail_msg("no JSON: %.*s", (int)len, json);
	pthread_mutex_lock(&events.lock);
	json_array_append_new(events.all, event);
	pthread_cond_broadcast(&events.more);
	pthread_mutex_unlock(&events.lock);
}

static size_t count_events(const char *type)
{
	size_t n = 0, i;
	json_t *event;

	json_array_foreach(events.all, i, event) n +=
		strcmp(json_string_value(json_object_get(event, "type")), type) == 0;
	return n;
}

/* The fields of the last event of a type; NULL for none. */
static json_t *last_event(const char *type)
{
	json_t *event, *found = NULL;
	size_t i;

	json_array_foreach(events.all, i,
			   event) if (strcmp(json_string_value(json_object_get(event, "type")),
					     type) == 0) found = json_object_get(event, "fields");
	return found;
}

/* Waits until @cnt events of a type have come. */
static void await_events(const char *type, size_t cnt)
{
	struct timespec until = mf_cond_in_ms(WAIT_MS);
	bool in_time = true;

	pthread_mutex_lock(&events.lock);
	while (in_time && count_events(type) < cnt)
		in_time = mf_cond_wait_until(&events.more, &events.lock, &until);
	pthread_mutex_unlock(&events.lock);
	if (!in_time)
		fail_msg("no %s number %zu in time: %s", type, cnt, json_dumps(events.all, 0));
}

static struct mf_runtime_options options;

static int setup(void **state)
{
	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.event = take_event;
	options.wall = wall;
	options.quarantine_after = 3;
	/* Sanitizers make everything slow: the step limit is what these tests are about. */
	options.time_limit_us = 10000000;
	events.all = json_array();
	req = mf_request_new(MF_CONNECT);
	d = (struct mf_decision)MF_DECISION_INIT;
	return tree_setup(state);
}

static int teardown(void **state)
{
	mf_vm_free(vm);
	mf_runtime_free(rt);
	mf_request_free(req);
	json_decref(events.all);
	vm = NULL;
	rt = NULL;
	return tree_teardown(state);
}

static void start(void)
{
	assert_int_equal(mf_runtime_new(&options, &rt, &err), 0);
	assert_int_equal(mf_vm_new(rt, &vm, &err), 0);
}

static int load(const char *name)
{
	const char *path = tree_path(name);

	memset(&err, 0, sizeof(err));
	return mf_runtime_load(rt, &path, 1, &err);
}

static void must_load(const char *name)
{
	if (load(name) < 0)
		fail_msg("%s:%u: %s", err.file, err.line, err.msg);
}

static int ask(const char *host, int port)
{
	mf_request_reset(req, MF_CONNECT);
	assert_int_equal(mf_request_set_str(req, MF_F_HOST, host, strlen(host)), 0);
	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, "9.9.9.9"), 0);
	assert_int_equal(mf_request_set_int(req, MF_F_PORT, port), 0);
	return mf_decide(vm, req, &d);
}

static void without_policies_the_defaults_hold(void **state)
{
	(void)state;
	start();
	assert_int_equal(mf_runtime_generation(rt), 0);
	assert_int_equal(ask("a.example", 1), 0);
	assert_int_equal(d.verdict, MF_DENY);
	assert_false(d.matched);
	assert_int_equal(d.origin, MF_FROM_DEFAULT);
	assert_int_equal(mf_runtime_reload(rt, &err), MF_E_INVAL);
}

/* The newest generation that is kept; 0: none */
static uint64_t newest_kept(void)
{
	struct mf_generation g;
	uint64_t number;

	if (mf_runtime_generations(rt, &g, 1) == 0)
		return 0;
	number = g.number;
	mf_generation_done(&g);
	return number;
}

/* As an operator does who hears of a generation and takes it back at once. */
static void look_when_told(void *ctx, const char *json, size_t len)
{
	if (strstr(json, "\"policy_loaded\"") && newest_kept() != mf_runtime_generation(rt))
		++*(int *)ctx;
	(void)len;
}

static _Atomic bool reloading;

static void *reload_often(void *ctx)
{
	struct mf_err why = { 0 };

	(void)ctx;
	for (int i = 0; i < 50; i++)
		(void)mf_runtime_reload(rt, &why);
	reloading = false;
	return NULL;
}

static void what_decides_is_noted_already(void **state)
{
	int unknown = 0;
	pthread_t thread;

	(void)state;
	options.event = look_when_told;
	options.event_ctx = &unknown;
	start();
	mf_runtime_keep(rt, 3);
	tree_write("p.lua", "return { name = 'p', connect = function(c) return allow() end }");
	must_load("p.lua");
	reloading = true;
	assert_int_equal(pthread_create(&thread, NULL, reload_often, NULL), 0);
	while (reloading) {
		uint64_t kept;

		assert_int_equal(ask("a.example", 1), 0);
		kept = newest_kept();
		assert_true(mf_runtime_generation(rt) >= d.generation);
		assert_true(kept >= d.generation);
	}
	pthread_join(thread, NULL);
	assert_int_equal(unknown, 0);
	assert_int_equal(mf_runtime_generation(rt), 51);
	assert_int_equal(newest_kept(), 51);
}

static void a_reload_is_seen_by_the_next_decision(void **state)
{
	(void)state;
	start();
	tree_write("p.lua", "return { name = 'p', connect = function(c) return deny 'one' end }");
	must_load("p.lua");
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "one");
	assert_int_equal(d.generation, 1);
	tree_write("p.lua", "return { name = 'p', connect = function(c) return allow() end }");
	assert_int_equal(ask("a.example", 1), 0);
	assert_int_equal(d.verdict, MF_DENY);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(mf_runtime_generation(rt), 2);
	assert_int_equal(ask("a.example", 1), 0);
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_int_equal(d.generation, 2);
	/* Twice without a decision in between: the state that nobody adopted is freed, the last one holds. */
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(ask("a.example", 1), 0);
	assert_int_equal(d.generation, 4);
	assert_int_equal(count_events("policy_loaded"), 4);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(events.all, 0), "timestamp")),
		"2023-11-14T22:13:20.123456Z");
	assert_non_null(
		strstr(json_string_value(json_object_get(json_array_get(events.all, 1), "id")),
		       "-000000000002"));
	assert_int_equal(count_events("policy_changed"), 3);
	assert_int_equal(json_integer_value(json_object_get(last_event("policy_changed"),
							    "previous_generation")),
			 3);
	assert_int_equal(
		json_integer_value(json_object_get(last_event("policy_changed"), "generation")), 4);
}

static void a_load_says_what_is_in_force(void **state)
{
	char first[32];

	(void)state;
	start();
	tree_write("p.lua",
		   "return { name = 'p', network_rules = { { ports = { 1 }, decision = 'deny' },"
		   "{ ports = { 2 }, decision = 'deny' } } }");
	must_load("p.lua");
	assert_int_equal(json_integer_value(json_object_get(last_event("policy_loaded"), "rules")),
			 2);
	assert_true(json_is_integer(json_object_get(last_event("policy_loaded"), "duration_ms")));
	snprintf(first, sizeof(first), "%s",
		 json_string_value(json_object_get(last_event("policy_loaded"), "version")));
	assert_int_equal(strlen(first), strlen("sha256:") + 16);
	/* The same text is the same version, another one is another. */
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_string_equal(
		json_string_value(json_object_get(last_event("policy_loaded"), "version")), first);
	tree_write("p.lua", "return { name = 'p' }");
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_string_not_equal(
		json_string_value(json_object_get(last_event("policy_loaded"), "version")), first);
	assert_int_equal(json_integer_value(json_object_get(last_event("policy_loaded"), "rules")),
			 0);
}

static void counters_of_a_vm_go_on_over_reloads(void **state)
{
	struct mf_vm_stats s = { .size = sizeof(s) };

	(void)state;
	start();
	tree_write("p.lua", "return { name = 'p', connect = function(c) if c.port == 1 then return "
			    "allow() end end }");
	must_load("p.lua");
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask("a.example", i), 0);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask("a.example", i), 0);
	mf_vm_get_stats(vm, &s);
	assert_int_equal(s.decisions, 20);
	assert_true(s.lua_entries >= 2);
	assert_true(s.lua_bytes > 0);
}

/* A second file text, the code of its refusal, where, and what is said. */
static const struct {
	const char *text, *says;
	int code;
	unsigned line;
} broken[] = {
	{ "return {\n  name = 'p',\n  connect = function(c) return\n", "", MF_E_SYNTAX, 4 },
	{ "return { name = 'p', conect = function() end }", "conect", MF_E_POLICY, 0 },
	{ "return {\n name = 'p',\n dns_redirects = {\n  { match = 'x' } } }",
	  "resolve_to is required", MF_E_POLICY, 4 },
	{ "local x\nerror 'while loading'", "while loading", MF_E_POLICY, 2 },
	{ "while true do end", "", MF_E_STEPS, 1 },
	{ "return 5", "returns a table", MF_E_POLICY, 0 },
};

static void a_broken_reload_keeps_the_old_generation_and_says_where(void **state)
{
	json_t *event;

	(void)state;
	options.load_step_limit = 1000000;
	start();
	tree_write("p.lua", "return { name = 'p', connect = function(c) return deny 'old' end }");
	must_load("p.lua");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		int r;

		tree_write("p.lua", broken[i].text);
		memset(&err, 0, sizeof(err));
		r = mf_runtime_reload(rt, &err);
		if (r != broken[i].code || !strstr(err.msg, broken[i].says) ||
		    (broken[i].line && err.line != broken[i].line) || !strstr(err.file, "/p.lua"))
			fail_msg("%s: %d %s:%u %s", broken[i].text, r, err.file, err.line, err.msg);
		assert_int_equal(mf_runtime_generation(rt), 1);
		assert_int_equal(ask("a.example", 1), 0);
		assert_string_equal(d.reason, "old");
		assert_int_equal(d.generation, 1);
		event = last_event("policy_reload_failed");
		assert_non_null(event);
		assert_non_null(
			strstr(json_string_value(json_object_get(event, "file")), "/p.lua"));
	}
	assert_int_equal(count_events("policy_reload_failed"), sizeof(broken) / sizeof(broken[0]));
	tree_remove("p.lua");
	assert_int_equal(mf_runtime_reload(rt, &err), MF_E_NOENT);
	tree_write("p.lua", "return { name = 'p' }");
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(mf_runtime_generation(rt), 2);
}

static void a_generation_whose_tests_fail_is_refused(void **state)
{
	(void)state;
	start();
	tree_write("p/policy.lua",
		   "return { name = 'p', connect = function(c) return deny 'x' end }");
	tree_write("p/tests/t.lua", "test('is closed', function(t)\n"
				    "  t:connect { ip = '9.9.9.9', port = 1 } :is_denied()\n"
				    "end)");
	must_load("p");
	tree_write("p/policy.lua",
		   "return { name = 'p', connect = function(c) return allow() end }");
	assert_int_equal(mf_runtime_reload(rt, &err), MF_E_TEST);
	assert_int_equal(err.line, 2);
	assert_non_null(strstr(err.file, "p/tests/t.lua"));
	assert_non_null(strstr(err.msg, "is closed"));
	assert_non_null(strstr(err.msg, "- expected: deny\n+ decided:  allow by connect()"));
	assert_int_equal(ask("a.example", 1), 0);
	assert_int_equal(d.verdict, MF_DENY);
}

/* Each look takes 10 us. */
static uint64_t hasty(void *ctx)
{
	static _Atomic uint64_t now;

	(void)ctx;
	now += 10000;
	return now;
}

static void tests_of_a_pack_are_bounded_by_instructions_not_by_the_clock(void **state)
{
	(void)state;
	options.time_limit_us = 1;
	options.monotonic = hasty;
	start();
	tree_write("p/policy.lua", "return { name = 'p', connect = function(c)\n"
				   "  for _ = 1, 10000 do end return allow() end }");
	tree_write("p/tests/t.lua",
		   "test('open', function(t) t:connect { port = 1 } :is_allowed() end)");
	must_load("p");
	assert_int_equal(ask("a.example", 1), MF_E_TIME);
	tree_write("p/policy.lua", "return { name = 'p', connect = function(c)\n"
				   "  while true do end end }");
	assert_int_equal(mf_runtime_reload(rt, &err), MF_E_TEST);
	assert_non_null(strstr(err.msg, "instructions"));
}

static void a_packs_tests_are_about_that_pack(void **state)
{
	(void)state;
	start();
	/* The pack before it decides everything; the test of the second holds all the same. */
	tree_write("p/a.lua",
		   "return { name = 'a', connect = function(c) return deny 'first' end }");
	tree_write("p/b/policy.lua",
		   "return { name = 'b', connect = function(c) return allow() end }");
	tree_write("p/b/tests/t.lua",
		   "test('open', function(t) t:connect { port = 1 } :is_allowed() end)");
	must_load("p");
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "first");
}

static const char erring[] = "return { name = 'p', connect = function(c)\n"
			     "  if c.port == 1 then error 'bad luck' end\n"
			     "  if c.port == 2 then while true do end end\n"
			     "  return allow()\n"
			     "end }";

static void a_failing_policy_is_closed_unless_said_otherwise(void **state)
{
	(void)state;
	options.quarantine_after = 100;
	start();
	tree_write("p.lua", erring);
	must_load("p.lua");
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_DENY);
	assert_int_equal(d.origin, MF_FROM_FAIL_MODE);
	assert_string_equal(d.policy, "fail-mode");
	assert_string_equal(d.rule, "fail-mode");
	assert_int_equal(d.error, MF_E_POLICY);
	assert_non_null(strstr(d.reason, "bad luck"));
	assert_int_equal(d.line, 2);
	assert_int_equal(ask("a.example", 2), MF_E_STEPS);
	assert_int_equal(d.verdict, MF_DENY);
	assert_int_equal(d.error, MF_E_STEPS);
	assert_int_equal(ask("a.example", 3), 0);
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_int_equal(count_events("policy_error"), 1);
}

static void fail_mode_open_allows(void **state)
{
	(void)state;
	options.fail_mode[MF_CONNECT] = MF_OPEN;
	start();
	tree_write("p.lua", erring);
	must_load("p.lua");
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_int_equal(d.origin, MF_FROM_FAIL_MODE);
	assert_string_equal(
		json_string_value(json_object_get(last_event("policy_error"), "fail_mode")),
		"open");
}

static void fail_mode_keep_last_asks_the_generation_before(void **state)
{
	(void)state;
	options.fail_mode[MF_CONNECT] = MF_KEEP_LAST;
	start();
	tree_write("p.lua", erring);
	must_load("p.lua");
	/* There is none before. */
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_DENY);
	tree_write("p.lua", "return { name = 'p', connect = function(c)\n"
			    "  if c.host == 'a.example' then return redirect { to = 'old:1' } end\n"
			    "  return deny 'old'\nend }");
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(ask("a.example", 3), 0);
	tree_write("p.lua", erring);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_REDIRECT);
	assert_string_equal(d.redirect_host, "old");
	assert_int_equal(d.origin, MF_FROM_FAIL_MODE);
	assert_int_equal(d.generation, 2);
	assert_int_equal(d.error, MF_E_POLICY);
	assert_int_equal(ask("b.example", 1), MF_E_POLICY);
	assert_string_equal(d.reason, "old");
	/* Quarantine: still the one before. */
	assert_int_equal(ask("b.example", 1), MF_E_POLICY);
	assert_int_equal(count_events("policy_quarantined"), 1);
	assert_int_equal(ask("a.example", 3), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_REDIRECT);
	/* A generation in quarantine is not what is kept. */
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(d.generation, 2);
}

static void a_policy_that_errs_in_a_row_is_quarantined_until_the_next_generation(void **state)
{
	json_t *event;

	(void)state;
	start();
	tree_write("p.lua", erring);
	must_load("p.lua");
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	/* A good answer from Lua breaks the row. */
	assert_int_equal(ask("a.example", 4), 0);
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(count_events("policy_quarantined"), 0);
	assert_int_equal(ask("a.example", 5), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask("a.example", 1), MF_E_POLICY);
	assert_int_equal(count_events("policy_quarantined"), 1);
	event = last_event("policy_quarantined");
	assert_string_equal(json_string_value(json_object_get(event, "policy")), "p");
	assert_int_equal(json_integer_value(json_object_get(event, "errors")), 3);
	/* Also what it would answer well is refused now, and no more events come. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask("new.example", 70 + i), MF_E_POLICY);
		assert_int_equal(d.verdict, MF_DENY);
	}
	assert_non_null(strstr(d.reason, "quarantine"));
	assert_int_equal(count_events("policy_quarantined"), 1);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(ask("new.example", 70), 0);
	assert_int_equal(d.verdict, MF_ALLOW);
}

static void options_that_are_wrong_are_refused(void **state)
{
	struct mf_runtime *other = NULL;

	(void)state;
	options.size = 0;
	assert_int_equal(mf_runtime_new(&options, &other, &err), MF_E_INVAL);
	options.size = sizeof(options);
	options.fail_mode[MF_DNS] = (enum mf_fail_mode)7;
	assert_int_equal(mf_runtime_new(&options, &other, &err), MF_E_INVAL);
	options.fail_mode[MF_DNS] = MF_CLOSED;
	start();
	assert_int_equal(mf_runtime_load(rt, NULL, 0, &err), MF_E_INVAL);
	/* A caller that was built with fewer options. */
	mf_vm_free(vm);
	mf_runtime_free(rt);
	vm = NULL;
	options.size = offsetof(struct mf_runtime_options, graph_nodes_max);
	start();
}

static void the_watch_reloads_what_editors_and_links_change(void **state)
{
	const char *path;
	bool linked;

	(void)state;
	start();
	tree_write("v1/p/policy.lua",
		   "return { name = 'p', connect = function(c) return deny 'v1' end }");
	tree_write("v2/p/policy.lua",
		   "return { name = 'p', connect = function(c) return deny 'v2' end }");
	linked = tree_link("v1", "now");
	path = tree_path(linked ? "now/p" : "v1/p");
	assert_int_equal(mf_runtime_load(rt, &path, 1, &err), 0);
	assert_int_equal(mf_runtime_watch(rt, 20, &err), 0);
	assert_int_equal(mf_runtime_watch(rt, 20, &err), MF_E_EXIST);
	/* An editor: a new file renamed over the old one. */
	tree_write("v1/p/policy.lua",
		   "return { name = 'p', connect = function(c) return deny 'v1b' end }");
	await_events("policy_loaded", 2);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "v1b");
	/* A broken file is reported, and mending it is seen. */
	tree_write("v1/p/policy.lua", "return {");
	await_events("policy_reload_failed", 1);
	tree_write("v1/p/policy.lua", "local m = require 'm'\nreturn { name = 'p', connect = "
				      "function(c) return deny(m) end }");
	await_events("policy_reload_failed", 2);
	tree_write("v1/p/lib/m.lua", "return 'from m'");
	await_events("policy_loaded", 3);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "from m");
	/* A module in a directory of its own. */
	tree_write("v1/p/lib/m.lua", "return 'new m'");
	await_events("policy_loaded", 4);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "new m");
	/* A module that is missing, from a directory that nothing was read from so far. */
	tree_write("v1/p/lib/deep/other.lua", "return 'unused'");
	tree_write("v1/p/policy.lua", "local m = require 'deep.m'\nreturn { name = 'p', connect = "
				      "function(c) return deny(m) end }");
	await_events("policy_reload_failed", 3);
	tree_write("v1/p/lib/deep/m.lua", "return 'deep'");
	await_events("policy_loaded", 5);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "deep");
	/* The link to the directory is swapped. */
	if (linked)
		tree_link("v2", "now");
	else
		tree_write("v1/p/policy.lua",
			   "return { name = 'p', connect = function(c) return deny 'v2' end }");
	await_events("policy_loaded", 6);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "v2");
	/* Deleted and created. */
	tree_remove(linked ? "v2/p/policy.lua" : "v1/p/policy.lua");
	await_events("policy_reload_failed", 4);
	tree_write(linked ? "v2/p/policy.lua" : "v1/p/policy.lua",
		   "return { name = 'p', connect = function(c) return deny 'back' end }");
	await_events("policy_loaded", 7);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "back");
	mf_runtime_unwatch(rt);
	mf_runtime_unwatch(rt);
}

static void the_watch_reports_a_broken_text_once(void **state)
{
	(void)state;
	start();
	tree_write("p.lua", "return { name = 'p' }");
	must_load("p.lua");
	assert_int_equal(mf_runtime_watch(rt, 1, &err), 0);
	tree_write("p.lua", "return {");
	await_events("policy_reload_failed", 1);
	/* Each of these is something to look at; whether the watch comes to it before the next is the same. */
	for (int i = 0; i < 20; i++) {
		tree_write("other.txt", i % 2 ? "x" : "y");
		tree_write("p.lua", "return {");
	}
	tree_write("p.lua", "return { name = 'p', conect = 1 }");
	await_events("policy_reload_failed", 2);
	assert_non_null(strstr(
		json_string_value(json_object_get(last_event("policy_reload_failed"), "error")),
		"conect"));
	/* Mended and broken again is told again. */
	tree_write("p.lua", "return { name = 'p' }");
	tree_write("p.lua", "return {");
	await_events("policy_reload_failed", 3);
	tree_remove("p.lua");
	await_events("policy_reload_failed", 4);
	tree_write("p.lua", "return { name = 'p', connect = function(c) return allow() end }");
	await_events("policy_loaded", 2);
	assert_int_equal(count_events("policy_reload_failed"), 4);
}

/* A watch of its own, whose owner has not the means at first. */
struct wisher {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned calls;
};

static void watch_nothing(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx)
{
	(void)ctx;
	add(add_ctx, tree_dir);
}

static bool wish_thrice(void *ctx)
{
	struct wisher *w = ctx;
	unsigned calls;

	pthread_mutex_lock(&w->lock);
	calls = ++w->calls;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	return calls < 4;
}

static void the_watch_calls_again_when_the_reason_may_pass(void **state)
{
	struct wisher w = { .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct mf_watch_ops ops = { watch_nothing, wish_thrice, &w, NULL };
	struct mf_watch *watch;
	struct timespec until;
	bool in_time = true;

	(void)state;
	assert_int_equal(mf_cond_init(&w.more), 0);
	assert_int_equal(mf_watch_start(&ops, 1, &watch, &err), 0);
	until = mf_cond_in_ms(WAIT_MS);
	pthread_mutex_lock(&w.lock);
	/* The first call or two are owed to the start of the watch; nothing ever changes. */
	while (in_time && w.calls < 4)
		in_time = mf_cond_wait_until(&w.more, &w.lock, &until);
	pthread_mutex_unlock(&w.lock);
	mf_watch_stop(watch);
	pthread_cond_destroy(&w.more);
	assert_true(in_time);
	assert_int_equal(w.calls, 4);
}

static void a_watched_file_alone_is_seen_too(void **state)
{
	(void)state;
	start();
	tree_write("p.lua", "return { name = 'p', connect = function(c) return deny 'one' end }");
	must_load("p.lua");
	assert_int_equal(mf_runtime_watch(rt, 20, &err), 0);
	/* Neither the same text again nor other files are a change. */
	tree_write("p.lua", "return { name = 'p', connect = function(c) return deny 'one' end }");
	tree_write("other.txt", "x");
	tree_write("p.lua", "return { name = 'p', connect = function(c) return deny 'two' end }");
	await_events("policy_loaded", 2);
	assert_int_equal(ask("a.example", 1), 0);
	assert_string_equal(d.reason, "two");
	assert_int_equal(d.generation, 2);
	tree_write("p_test.lua",
		   "test('no', function(t) t:connect { port = 1 } :is_allowed() end)");
	await_events("policy_reload_failed", 1);
	assert_int_equal(mf_runtime_generation(rt), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(without_policies_the_defaults_hold),
		T(what_decides_is_noted_already),
		T(a_reload_is_seen_by_the_next_decision),
		T(a_load_says_what_is_in_force),
		T(counters_of_a_vm_go_on_over_reloads),
		T(a_broken_reload_keeps_the_old_generation_and_says_where),
		T(a_generation_whose_tests_fail_is_refused),
		T(tests_of_a_pack_are_bounded_by_instructions_not_by_the_clock),
		T(a_packs_tests_are_about_that_pack),
		T(a_failing_policy_is_closed_unless_said_otherwise),
		T(fail_mode_open_allows),
		T(fail_mode_keep_last_asks_the_generation_before),
		T(a_policy_that_errs_in_a_row_is_quarantined_until_the_next_generation),
		T(options_that_are_wrong_are_refused),
		T(the_watch_reloads_what_editors_and_links_change),
		T(a_watched_file_alone_is_seen_too),
		T(the_watch_reports_a_broken_text_once),
		T(the_watch_calls_again_when_the_reason_may_pass),
	};

	if (mf_cond_init(&events.more))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
