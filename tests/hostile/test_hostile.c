/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile.c - every script of the corpus is stopped in time, as it should be, and leaves nothing behind
 *
 * With the default limits of a call (100,000 instructions, 5 ms, 16 MiB), also for loading, all scripts run twice over:
 *
 * - each in a sandbox of its own, where it must end as its first lines say;
 * - one after the other in one sandbox, where it must end within twice its time, and where nothing may be left at the end.
 *
 * Each function is called twice and must end the same way. After each script a policy that was loaded before it must give
 * the same answer as at first: it looks at the whole library, so a changed function, global or string method would be seen.
 *
 * The clock is the CPU time of the thread, in the sandbox as here, so waiting for a processor costs a script nothing. Work
 * of others still does: caches, the sibling thread of a core, and what a hypervisor takes are counted as time of ours. Such
 * noise only ever adds. So a script that misses by time alone is measured again, up to TRIES times, and its best run
 * counts; each repetition is printed. What misses by anything else fails at once.
 *
 * How long the 100,000 instructions take, though, depends on the machine: on a slow one the time limit may be met first. So
 * a script that, by its first lines, is stopped by anything but time has WIDE times the time limit when it runs alone,
 * and shows there that the other limit works; the bound on its time is that of the run in one sandbox.
 *
 * A build with sanitizers has the time limit, and the bound with it, multiplied by a factor that is measured at the start:
 * how much longer a step in our library, which is instrumented, takes than an instruction of Lua, which is not. In a
 * release the two are near one another, and no factor is applied. Where the clock is too coarse for the time limit, the limit
 * is a few times its error.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile/runner.h"
#include "tests/os/os.h"

#define STEPS	     100000
#define CLOCK_ERRORS 3
#define TIME_NS	     (5 * MF_NS_PER_MS)
#define SCRIPTS	     60 /* at least */
#define LEAK_MAX     (64 << 10)
#define TRIES	     5
#define WIDE	     40 /* times the time limit, where time is not to be what stops a script */
#define SLOW_MAX     40 /* a larger factor is a mistake of the calibration */

/* What a policy can see of the world, and a little of everything at work. */
#define CANARY                                                                                   \
	"return function()\n"                                                                    \
	"  local out = {}\n"                                                                     \
	"  for _, lib in ipairs { 'string', 'table', 'math', 'utf8', 'coroutine' } do\n"         \
	"    for k, v in pairs(_ENV[lib]) do out[#out + 1] = lib .. '.' .. k .. '=' .. type(v) " \
	"end\n"                                                                                  \
	"  end\n"                                                                                \
	"  for _, name in ipairs { 'print', 'pcall', 'error', 'x', 'n', 'string', 'run', 'io', " \
	"'load' } do\n"                                                                          \
	"    out[#out + 1] = name .. '=' .. type(_G[name])\n"                                    \
	"  end\n"                                                                                \
	"  for k in pairs(_G) do out[#out + 1] = k end\n"                                        \
	"  table.sort(out)\n"                                                                    \
	"  local s = table.concat(out, ' ')\n"                                                   \
	"  local h = #s\n"                                                                       \
	"  for i = 1, #s do h = (h * 31 + s:byte(i)) % 2147483647 end\n"                         \
	"  local ok, e = pcall(error, 'caught', 0)\n"                                            \
	"  local co = coroutine.wrap(function(a) return coroutine.yield(a) end)\n"               \
	"  return h .. ('%5.2f'):format(2.5) .. ('abc'):upper():gsub('B', 'x') .. tostring(ok) " \
	".. "                                                                                    \
	"e .. co(4) .. co(5)\n"                                                                  \
	"end\n"

static struct mf_sandbox_limits limits = { STEPS, TIME_NS }; /* calibrate() may raise the time */
static const struct mf_sandbox_limits wide = { UINT64_MAX, MF_NS_PER_S };
static int failures;

static void complain(const struct hostile *h, const char *stage, const struct outcome *o,
		     const char *what)
{
	failures++;
	printf("FAILED %s, %s: %s (%s, %llu us: %s:%u: %s)\n", h->name, stage, what,
	       hostile_code_name(o->code), (unsigned long long)o->ns / 1000, o->err.file,
	       o->err.line, o->err.msg);
}

/* One run of a script: loaded, called, and called again. Stages that were not reached have no name. */
struct run {
	struct stage {
		const char *name, *allowed;
		struct mf_sandbox_limits limits;
		struct outcome out;
	} stages[3];
};

/* Does it miss by time, and by nothing that time does not explain? */
static bool is_late(const struct run *r, bool alone)
{
	for (size_t i = 0; i < 3 && r->stages[i].name; i++) {
		const struct outcome *o = &r->stages[i].out;

		if (o->ns > 2 * r->stages[i].limits.time_ns)
			return true;
		if (i == 2 && o->code == MF_E_TIME && r->stages[1].out.code == 0)
			return true;
		if (alone && o->code == MF_E_TIME && !hostile_allows(r->stages[i].allowed, o->code))
			return true;
	}
	return false;
}

static void check(const struct hostile *h, const struct stage *s, bool alone)
{
	const struct outcome *o = &s->out;

	if (alone && !hostile_allows(s->allowed, o->code))
		complain(h, s->name, o, "another outcome than the script says");
	if (o->ns > 2 * s->limits.time_ns)
		complain(h, s->name, o, "took more than twice its time");
	if (o->steps > 2 * STEPS && o->code == 0)
		complain(h, s->name, o, "took more than twice its instructions");
	if (alone)
		printf("%-28s %-5s %-7s %8llu %9.1f  %.60s\n", h->name, s->name,
		       hostile_code_name(o->code),
		       (unsigned long long)(o->steps < 100000000 ? o->steps : 99999999),
		       (double)o->ns / 1000, h->attempt);
}

static void check_run(const struct hostile *h, const struct run *r, bool alone)
{
	const struct outcome *first = &r->stages[1].out, *second = &r->stages[2].out;

	for (size_t i = 0; i < 3 && r->stages[i].name; i++)
		check(h, &r->stages[i], alone);
	if (!r->stages[1].name)
		return;
	if (first->code == 0 && (second->code || strcmp(first->result, second->result) != 0))
		complain(h, "again", second, "the second call gave something else");
	if (h->has_result && strcmp(first->result, h->result) != 0)
		complain(h, "call", first, first->result);
}

static struct stage begin_stage(const char *name, const char *allowed, bool alone)
{
	struct stage s = { .name = name, .allowed = allowed, .limits = limits };

	if (alone && !hostile_allows(allowed, MF_E_TIME))
		s.limits.time_ns *= WIDE;
	return s;
}

static void run_once(struct mf_sandbox *sb, const struct hostile *h, bool alone, struct run *ret)
{
	int ref;

	memset(ret, 0, sizeof(*ret));
	ret->stages[0] = begin_stage("load", h->load, alone);
	hostile_load(sb, h, &ret->stages[0].limits, &ref, &ret->stages[0].out);
	if (ret->stages[0].out.code)
		return;
	for (size_t i = 1; i < 3 && h->call[0]; i++) {
		ret->stages[i] = begin_stage(i == 1 ? "call" : "again", h->call, alone);
		hostile_call(sb, ref, &ret->stages[i].limits, &ret->stages[i].out);
	}
	luaL_unref(mf_sandbox_lua(sb), LUA_REGISTRYINDEX, ref);
}

/* Return: whether the run counts; false: it was late, and is to be repeated */
static bool run_script(struct mf_sandbox *sb, const struct hostile *h, bool alone, int try)
{
	struct run run;

	run_once(sb, h, alone, &run);
	if (try < TRIES && is_late(&run, alone)) {
		printf("%s: late, measured again (%d of %d)\n", h->name, try, TRIES);
		return false;
	}
	check_run(h, &run, alone);
	return true;
}

/* A sandbox with the canary in it, and what the canary says. */
static struct mf_sandbox *open_with_canary(int *ret_ref, struct outcome *ret)
{
	static char text[] = CANARY;
	const struct hostile script = { .name = "canary", .text = text, .len = sizeof(text) - 1 };
	struct mf_sandbox *sb = hostile_open();
	struct outcome load;

	hostile_load(sb, &script, &wide, ret_ref, &load);
	hostile_call(sb, *ret_ref, &wide, ret);
	if (load.code || ret->code) {
		printf("canary: %s%s\n", load.err.msg, ret->err.msg);
		exit(1);
	}
	return sb;
}

static void check_canary(struct mf_sandbox *sb, int ref, const struct outcome *expected,
			 const struct hostile *h)
{
	struct outcome now;

	hostile_call(sb, ref, &wide, &now);
	if (now.code || strcmp(now.result, expected->result) != 0)
		complain(h, "after", &now, "the next request was not served as before");
}

static void run_alone(const struct hostile *all, size_t n)
{
	struct outcome expected;
	struct mf_sandbox *sb;
	size_t i;
	int ref;

	printf("%-28s %-5s %-7s %8s %9s  %s\n", "script", "stage", "outcome", "steps", "us",
	       "attempt");
	for (i = 0; i < n; i++) {
		bool counts = false;

		for (int try = 1; !counts; try++) {
			sb = open_with_canary(&ref, &expected);
			counts = run_script(sb, &all[i], true, try);
			check_canary(sb, ref, &expected, &all[i]);
			mf_sandbox_free(sb);
		}
	}
}

static void run_together(const struct hostile *all, size_t n)
{
	struct outcome expected;
	struct mf_sandbox *sb;
	size_t i, bytes;
	int ref;

	sb = open_with_canary(&ref, &expected);
	lua_gc(mf_sandbox_lua(sb), LUA_GCCOLLECT);
	bytes = mf_sandbox_bytes(sb);
	for (i = 0; i < n; i++) {
		for (int try = 1; !run_script(sb, &all[i], false, try); try++)
			;
		check_canary(sb, ref, &expected, &all[i]);
	}
	lua_gc(mf_sandbox_lua(sb), LUA_GCCOLLECT);
	lua_gc(mf_sandbox_lua(sb), LUA_GCCOLLECT);
	printf("in one sandbox: %zu bytes before, %zu after\n", bytes, mf_sandbox_bytes(sb));
	if (mf_sandbox_bytes(sb) > bytes + LEAK_MAX) {
		failures++;
		printf("FAILED memory is left\n");
	}
	mf_sandbox_free(sb);
}

#ifdef MF_SANITIZED
/* ns per step of @body, the best of some runs */
static double measure(const char *body)
{
	char text[256];
	struct hostile script = { .name = "calibration", .text = text };
	struct mf_sandbox *sb = hostile_open();
	struct outcome out;
	double best = 0;
	int ref;

	script.len = (size_t)snprintf(text, sizeof(text), "return function() %s end", body);
	hostile_load(sb, &script, &wide, &ref, &out);
	for (int i = 0; i < 20 && out.code == 0; i++) {
		hostile_call(sb, ref, &wide, &out);
		if (i == 0 || (double)out.ns / (double)out.steps < best)
			best = (double)out.ns / (double)out.steps;
	}
	if (out.code || best <= 0) {
		printf("calibration: %s\n", out.err.msg);
		exit(1);
	}
	mf_sandbox_free(sb);
	return best;
}

static void calibrate(void)
{
	double lua = measure("local n = 0 for i = 1, 50000 do n = n + i % 7 end return n");
	double lib =
		measure("local s, n = ('a'):rep(100), 0 for _ = 1, 20 do "
			"n = n + (s:find('(a-)b') or 0) + #s:gsub('a(a*)', '%1') end return n");
	double slow = lib / lua;

	if (slow < 1)
		slow = 1;
	if (slow > SLOW_MAX)
		slow = SLOW_MAX;
	limits.time_ns = (uint64_t)(TIME_NS * slow);
	printf("sanitizers: %.1f ns an instruction, %.1f ns a step in the library: %.1f times the "
	       "time\n",
	       lua, lib, slow);
}
#endif

int main(void)
{
	struct hostile *all;
	size_t n = hostile_read_all(MF_SOURCE_DIR "/tests/hostile", &all);

#ifdef MF_SANITIZED
	calibrate();
#endif
	if (limits.time_ns < CLOCK_ERRORS * test_cpu_error_ns()) {
		limits.time_ns = CLOCK_ERRORS * test_cpu_error_ns();
		printf("coarse clock: %llu us instead of %llu us\n",
		       (unsigned long long)limits.time_ns / 1000,
		       (unsigned long long)TIME_NS / 1000);
	}
	run_alone(all, n);
	run_together(all, n);
	if (n < SCRIPTS) {
		failures++;
		printf("FAILED only %zu scripts\n", n);
	}
	printf("%zu scripts, %d failures\n", n, failures);
	hostile_free_all(all, n);
	return failures != 0;
}
