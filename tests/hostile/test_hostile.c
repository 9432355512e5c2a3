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
 * The clock is the CPU time of the thread, in the sandbox as here: so the times do not depend on what else the machine
 * does, and no run has to be repeated.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile/runner.h"

#define STEPS	 100000
#define TIME_NS	 (5 * MF_NS_PER_MS)
#define SCRIPTS	 60 /* at least */
#define LEAK_MAX (64 << 10)

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

static const struct mf_sandbox_limits limits = { STEPS, TIME_NS };
static const struct mf_sandbox_limits wide = { UINT64_MAX, MF_NS_PER_S };
static int failures;

static void complain(const struct hostile *h, const char *stage, const struct outcome *o,
		     const char *what)
{
	failures++;
	printf("FAILED %s, %s: %s (%s: %s:%u: %s)\n", h->name, stage, what,
	       hostile_code_name(o->code), o->err.file, o->err.line, o->err.msg);
}

static void check(const struct hostile *h, const char *stage, const char *allowed,
		  const struct outcome *o, bool alone)
{
	if (alone && !hostile_allows(allowed, o->code))
		complain(h, stage, o, "another outcome than the script says");
	if (o->ns > 2 * TIME_NS)
		complain(h, stage, o, "took more than twice its time");
	if (o->steps > 2 * STEPS && o->code == 0)
		complain(h, stage, o, "took more than twice its instructions");
	if (alone)
		printf("%-28s %-5s %-7s %8llu %9.1f  %.60s\n", h->name, stage,
		       hostile_code_name(o->code),
		       (unsigned long long)(o->steps < 100000000 ? o->steps : 99999999),
		       (double)o->ns / 1000, h->attempt);
}

static void run_script(struct mf_sandbox *sb, const struct hostile *h, bool alone)
{
	struct outcome load, first, second;
	int ref;

	hostile_load(sb, h, &limits, &ref, &load);
	check(h, "load", h->load, &load, alone);
	if (load.code)
		return;
	if (h->call[0]) {
		hostile_call(sb, ref, &limits, &first);
		check(h, "call", h->call, &first, alone);
		hostile_call(sb, ref, &limits, &second);
		check(h, "again", h->call, &second, alone);
		if (first.code == 0 && (second.code || strcmp(first.result, second.result) != 0))
			complain(h, "again", &second, "the second call gave something else");
		if (h->has_result && strcmp(first.result, h->result) != 0)
			complain(h, "call", &first, first.result);
	}
	luaL_unref(mf_sandbox_lua(sb), LUA_REGISTRYINDEX, ref);
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
		sb = open_with_canary(&ref, &expected);
		run_script(sb, &all[i], true);
		check_canary(sb, ref, &expected, &all[i]);
		mf_sandbox_free(sb);
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
		run_script(sb, &all[i], false);
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

int main(void)
{
	struct hostile *all;
	size_t n = hostile_read_all(MF_SOURCE_DIR "/tests/hostile", &all);

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
