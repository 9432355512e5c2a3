/* SPDX-License-Identifier: Apache-2.0 */
/* test_sandbox.c - limits, errors, loading and calling */
#include "util.h"

static void a_call_runs_a_loaded_function(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "local x = 20\nreturn { run = function() return x + 1 end }"),
			 0);
	assert_int_equal(box_call(&b), 0);
	assert_string_equal(b.result, "21");
	assert_int_equal(box_call(&b), 0);
	assert_string_equal(b.result, "21");
	box_close(&b);
}

static void an_endless_loop_ends_in_the_step_limit_with_its_line(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "return function()\n  while true do\n  end\nend"), 0);
	assert_int_equal(box_call(&b), MF_E_STEPS);
	assert_int_equal(b.err.code, MF_E_STEPS);
	assert_string_equal(b.err.file, "p.lua");
	assert_int_equal(b.err.line, 2);
	assert_true(mf_sandbox_steps_used(b.sb) >= 100000);
	assert_true(mf_sandbox_steps_used(b.sb) < 101000);
	assert_string_equal(box_eval(&b, "return 'fine'"), "fine");
	box_close(&b);
}

static void a_limit_cannot_be_caught(void **state)
{
	static const char *const scripts[] = {
		"while true do pcall(function() while true do end end) end",
		"while true do xpcall(function() while true do end end, function(e) while true do "
		"end end) end",
		"while true do local co = coroutine.create(function() while true do end end) "
		"coroutine.resume(co) end",
		"while true do local f = coroutine.wrap(function() while true do end end) pcall(f) "
		"end",
		"pcall(pcall, pcall, function() while true do end end) return 'out'",
		"local co = coroutine.wrap(function() pcall(function() while true do end end) "
		"return 'out' end) return co()",
		"while true do local co = coroutine.create(function() end) coroutine.resume(co) "
		"coroutine.close(co) end",
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		assert_int_equal(box_run(&b, scripts[i]), MF_E_STEPS);
	box_close(&b);
}

/* Each look at the clock takes a microsecond off. */
static uint64_t running_now(void *ctx)
{
	return *(uint64_t *)ctx += 1000;
}

static void a_slow_policy_ends_in_the_time_limit(void **state)
{
	uint64_t now = 0;
	struct mf_clock clock = { .monotonic = running_now, .wall = running_now, .ctx = &now };
	struct mf_sandbox_options opt = { .clock = &clock };
	struct box b;

	(void)state;
	box_open_with(&b, &opt);
	assert_int_equal(box_load(&b, "return function() while true do pcall(error) end end"), 0);
	assert_int_equal(box_call_limits(&b, &(struct mf_sandbox_limits){ UINT64_MAX, 500000 }),
			 MF_E_TIME);
	assert_string_equal(b.err.file, "p.lua");
	assert_int_equal(b.err.line, 1);
	box_close(&b);
}

/* Others have the processor: between two looks a second passes, of which the thread has a microsecond. */
struct shared_machine {
	uint64_t monotonic, cpu;
	unsigned cpu_asked;
};

static uint64_t shared_now(void *ctx)
{
	return ((struct shared_machine *)ctx)->monotonic += MF_NS_PER_S;
}

static uint64_t shared_cpu(void *ctx)
{
	((struct shared_machine *)ctx)->cpu_asked++;
	return ((struct shared_machine *)ctx)->cpu += 1000;
}

static void a_busy_machine_ends_no_policy(void **state)
{
	struct shared_machine machine = { 0 };
	struct mf_clock clock = {
		.monotonic = shared_now, .wall = shared_now, .ctx = &machine, .cpu = shared_cpu
	};
	struct mf_sandbox_options opt = { .clock = &clock };
	const struct mf_sandbox_limits limits = { UINT64_MAX, 500000 };
	struct box b;

	(void)state;
	box_open_with(&b, &opt);
	assert_int_equal(
		box_load(&b, "return function() for _ = 1, 100 do pcall(error) end return 1 end"),
		0);
	machine.cpu_asked = 0;
	assert_int_equal(box_call_limits(&b, &limits), 0);
	assert_in_range(machine.cpu_asked, 10, 400);
	box_close(&b);
	box_open_with(&b, &opt);
	assert_int_equal(box_load(&b, "return function() while true do pcall(error) end end"), 0);
	machine.cpu_asked = 0;
	assert_int_equal(box_call_limits(&b, &limits), MF_E_TIME);
	/* An eighth of the limit may pass before the thread's time is asked for. */
	assert_in_range(machine.cpu_asked, 437, 439);
	clock.cpu_error_ns = 100000;
	machine.cpu_asked = 0;
	assert_int_equal(box_call_limits(&b, &limits), MF_E_TIME);
	assert_in_range(machine.cpu_asked, 537, 539);
	box_close(&b);
}

/* Monotonic time is never less than the thread's, so the thread's is not asked for as long as little has passed. */
static void a_short_call_asks_for_no_time_of_its_thread(void **state)
{
	struct shared_machine machine = { 0 };
	struct mf_clock clock = {
		.monotonic = running_now, .wall = running_now, .ctx = &machine, .cpu = shared_cpu
	};
	struct mf_sandbox_options opt = { .clock = &clock };
	struct box b;

	(void)state;
	box_open_with(&b, &opt);
	assert_int_equal(
		box_load(&b, "return function() for _ = 1, 1000 do pcall(error) end return 1 end"),
		0);
	assert_int_equal(
		box_call_limits(&b, &(struct mf_sandbox_limits){ UINT64_MAX, MF_NS_PER_S }), 0);
	assert_int_equal(machine.cpu_asked, 0);
	box_close(&b);
}

static void memory_is_bounded(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(
		box_load(&b, "return function() local t = {} for i = 1, 1e9 do t[i] = {} end end"),
		0);
	assert_int_equal(
		box_call_limits(&b, &(struct mf_sandbox_limits){ UINT64_MAX, MF_NS_PER_S }),
		MF_E_MEMORY);
	assert_true(mf_sandbox_bytes(b.sb) <= 16 << 20);
	assert_string_equal(box_eval(&b, "return 'fine'"), "fine");
	box_close(&b);
}

static void a_long_string_is_a_limit_of_its_own(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(box_run(&b, "local s = 'x' while true do s = s .. s end"), MF_E_LIMIT);
	assert_int_equal(b.err.line, 1);
	box_close(&b);
}

static void errors_name_file_and_line(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(
		box_load(&b, "return {\n  run = function()\n    local t\n    return t.x\n  end }"),
		0);
	assert_int_equal(box_call(&b), MF_E_POLICY);
	assert_string_equal(b.err.file, "p.lua");
	assert_int_equal(b.err.line, 4);
	assert_string_equal(b.err.msg, "attempt to index a nil value (local 't')");
	assert_int_equal(box_load(&b, "return {\n  x = = 1 }"), MF_E_SYNTAX);
	assert_string_equal(b.err.file, "p.lua");
	assert_int_equal(b.err.line, 2);
	assert_string_equal(b.err.msg, "unexpected symbol near '='");
	box_close(&b);
}

static const struct mf_sandbox_source *find_module(void *ctx, const char *name)
{
	static const struct mf_sandbox_source module = {
		.name = "m.lua",
		.text = "counter = (counter or 0) + 1 return { n = counter }",
		.len = sizeof("counter = (counter or 0) + 1 return { n = counter }") - 1,
	};

	(void)ctx;
	return strcmp(name, "m") == 0 ? &module : NULL;
}

static void require_finds_modules_of_the_policy_only(void **state)
{
	struct mf_sandbox_source src = { .name = "p.lua", .find = find_module };
	struct box b;

	(void)state;
	box_open(&b);
	src.text = "local a, b = require 'm', require 'm' return { run = function() return a == b "
		   "and a.n end }";
	src.len = strlen(src.text);
	assert_int_equal(mf_sandbox_load(b.sb, LOAD_LIMITS, &src, &b.ref, &b.err), 0);
	assert_int_equal(box_call(&b), 0);
	assert_string_equal(b.result, "1");
	src.text = "return require 'os'";
	src.len = strlen(src.text);
	assert_int_equal(mf_sandbox_load(b.sb, LOAD_LIMITS, &src, &b.ref, &b.err), MF_E_POLICY);
	assert_non_null(strstr(b.err.msg, "module 'os' not found"));
	assert_int_equal(b.err.line, 1);
	box_close(&b);
}

static void count_line(void *ctx, const char *file, unsigned line)
{
	unsigned *lines = ctx;

	assert_string_equal(file, "p.lua");
	lines[line]++;
}

static void a_line_hook_sees_every_line_once(void **state)
{
	unsigned lines[8] = { 0 };
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "return function()\n  local x = 1\n  if x == 2 then\n    x = "
				      "3\n  end\n  return x\nend"),
			 0);
	mf_sandbox_set_lines(b.sb, count_line, lines);
	assert_int_equal(box_call(&b), 0);
	assert_int_equal(lines[2], 1);
	assert_int_equal(lines[3], 1);
	assert_int_equal(lines[4], 0);
	assert_int_equal(lines[6], 1);
	box_close(&b);
}

static void garbage_of_calls_is_collected_between_them(void **state)
{
	size_t before, most = 0;
	struct box b;
	int i;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "return function() local t = {} for i = 1, 50 do t[i] = { i "
				      ".. 'x' } end end"),
			 0);
	before = mf_sandbox_bytes(b.sb);
	for (i = 0; i < 5000; i++) { // 30 MB in all
		assert_int_equal(box_call(&b), 0);
		if (mf_sandbox_bytes(b.sb) > most)
			most = mf_sandbox_bytes(b.sb);
	}
	assert_true(most < before + (1 << 20));
	box_close(&b);
}

static void garbage_is_collected_when_nobody_asks_for_it(void **state)
{
	struct box b;
	int i;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "return function() local s = ('x'):rep(60000) for i = 1, 20 "
				      "do s = s:reverse() end end"),
			 0);
	for (i = 0; i < 100; i++) { // 120 MB in all
		assert_int_equal(mf_sandbox_call(b.sb, LOAD_LIMITS, box_call_fn, &b, &b.err), 0);
		assert_true(mf_sandbox_bytes(b.sb) < 16 << 20);
	}
	box_close(&b);
}

static void what_a_policy_keeps_is_bounded(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(
		box_load(
			&b,
			"local t = {} for i = 1, 150 do t[i] = ('x'):rep(60000) .. i end return t"),
		MF_E_MEMORY);
	assert_string_equal(b.err.file, "p.lua");
	assert_true(mf_sandbox_bytes(b.sb) < 1 << 20);
	assert_int_equal(box_load(&b, "local t = {} for i = 1, 100 do t[i] = ('x'):rep(60000) .. i "
				      "end return function() return #t end"),
			 0);
	assert_int_equal(box_call(&b), 0);
	assert_string_equal(b.result, "100");
	box_close(&b);
}

static void long_file_names_come_whole_in_errors(void **state)
{
	static const char name[] = "/etc/moonfence/policies/a-rather-long-directory-name/"
				   "another-one/and-a-file-name.lua";
	struct mf_sandbox_source src = { .name = name, .text = "\nlocal x = nil + 1", .len = 18 };
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(mf_sandbox_load(b.sb, LOAD_LIMITS, &src, &b.ref, &b.err), MF_E_POLICY);
	assert_string_equal(b.err.file, name);
	assert_int_equal(b.err.line, 2);
	assert_string_equal(b.err.msg, "attempt to perform arithmetic on a nil value");
	box_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_runs_a_loaded_function),
		cmocka_unit_test(an_endless_loop_ends_in_the_step_limit_with_its_line),
		cmocka_unit_test(a_limit_cannot_be_caught),
		cmocka_unit_test(a_slow_policy_ends_in_the_time_limit),
		cmocka_unit_test(a_busy_machine_ends_no_policy),
		cmocka_unit_test(a_short_call_asks_for_no_time_of_its_thread),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(a_long_string_is_a_limit_of_its_own),
		cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(require_finds_modules_of_the_policy_only),
		cmocka_unit_test(a_line_hook_sees_every_line_once),
		cmocka_unit_test(garbage_of_calls_is_collected_between_them),
		cmocka_unit_test(garbage_is_collected_when_nobody_asks_for_it),
		cmocka_unit_test(what_a_policy_keeps_is_bounded),
		cmocka_unit_test(long_file_names_come_whole_in_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
