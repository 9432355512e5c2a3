/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_sandbox.c - what a call into the sandbox costs, and how far a hostile policy gets beyond its limit
 *
 *	bench_sandbox [--json] [--wall] [ROUNDS]
 *
 * Overshoot: each script of tests/hostile is called with 5 ms and with so many instructions that time is what ends it.
 * What counts is the time from the call to its return, less the limit; scripts that end before are left out. Clock of the
 * sandbox and of the measurement is the CPU time of the thread, so that a busy machine does not spoil the figures; with
 * --wall the sandbox has the system's clock, as in production, and the measurement is of wall time.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile/runner.h"

#define TIME_NS (5 * MF_NS_PER_MS)
#define CALLS	200000

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int nothing(lua_State *L)
{
	(void)L;
	return 0;
}

static int call_ref(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
	lua_call(L, 0, 0);
	return 0;
}

static struct mf_sandbox *open_sandbox(const struct mf_clock *clock)
{
	struct mf_sandbox_options opt = { .memory = 16 << 20, .clock = clock };
	struct mf_sandbox *sb;

	if (mf_sandbox_new(&opt, &sb, NULL) || mf_sandbox_seal(sb, NULL))
		exit(1);
	return sb;
}

static int load(struct mf_sandbox *sb, const char *text)
{
	struct mf_sandbox_source src = { .name = "bench.lua", .text = text, .len = strlen(text) };
	struct mf_err err;
	int ref;

	if (mf_sandbox_load(sb, &(struct mf_sandbox_limits){ 50000000, MF_NS_PER_S }, &src, &ref,
			    &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	return ref;
}

/* Nanoseconds of one call of @fn, median of ten runs. */
static double time_calls(struct mf_sandbox *sb, lua_CFunction fn, int ref, unsigned calls)
{
	const struct mf_sandbox_limits limits = { 100000, TIME_NS };
	uint64_t runs[10], start;
	unsigned i, r;

	for (r = 0; r < 10; r++) {
		start = now();
		for (i = 0; i < calls; i++)
			mf_sandbox_call(sb, &limits, fn, &ref, NULL);
		runs[r] = now() - start;
	}
	qsort(runs, 10, sizeof(runs[0]), compare_u64);
	return (double)runs[5] / calls;
}

static const char loop_text[] =
	"return function() local n = 0 for i = 1, 10000 do n = n + i end end";

/* The same loop in a plain state without a hook. */
static double time_plain_loop(unsigned calls)
{
	lua_State *L = luaL_newstate();
	uint64_t start;
	unsigned i;

	luaL_openlibs(L);
	if (luaL_dostring(L, loop_text))
		exit(1);
	start = now();
	for (i = 0; i < calls; i++) {
		lua_pushvalue(L, -1);
		lua_call(L, 0, 0);
	}
	start = now() - start;
	lua_close(L);
	return (double)start / calls;
}

struct overshoot {
	char name[64];
	uint64_t median, max;
};

/*
 * @steps: UINT64_MAX, so that time ends the script; or the default, which ends nearly all of them before their time
 * Return: false when the script ends neither by time nor by steps
 */
static bool measure(const struct hostile *h, unsigned rounds, bool wall, uint64_t steps,
		    struct overshoot *ret)
{
	const struct mf_sandbox_limits limits = { steps, TIME_NS };
	uint64_t *over = calloc(rounds, sizeof(*over));
	unsigned n = 0, i;
	struct outcome o;
	struct mf_sandbox *sb = open_sandbox(wall ? &mf_clock_system : &hostile_clock);
	uint64_t spent;
	int ref;

	hostile_load(sb, h, &(struct mf_sandbox_limits){ 50000000, MF_NS_PER_S }, &ref, &o);
	for (i = 0; i < rounds && o.code == 0 && h->call[0]; i++) {
		struct outcome c;

		hostile_call(sb, ref, &limits, &c);
		spent = wall ? c.wall_ns : c.ns;
		if (c.code == MF_E_TIME || c.code == MF_E_STEPS)
			over[n++] = spent > TIME_NS ? spent - TIME_NS : 0;
	}
	mf_sandbox_free(sb);
	if (n) {
		qsort(over, n, sizeof(*over), compare_u64);
		snprintf(ret->name, sizeof(ret->name), "%s", h->name);
		ret->median = over[n / 2];
		ret->max = over[n - 1];
	}
	free(over);
	return n != 0;
}

/* The slowest script with the default limits, its median. */
static uint64_t worst_by_default(const struct hostile *all, size_t n, unsigned rounds, bool wall)
{
	struct overshoot o;
	uint64_t worst = 0;

	for (size_t i = 0; i < n; i++)
		if (measure(&all[i], rounds, wall, 100000, &o) && o.median > worst)
			worst = o.median;
	return worst;
}

static int by_median(const void *a, const void *b)
{
	return compare_u64(&((const struct overshoot *)b)->median,
			   &((const struct overshoot *)a)->median);
}

int main(int argc, char **argv)
{
	bool json = false, wall = false;
	unsigned rounds = 20;
	struct mf_sandbox *sb = open_sandbox(&mf_clock_system);
	double empty, hook, loop, plain;
	struct hostile *all;
	size_t n = hostile_read_all(MF_SOURCE_DIR "/tests/hostile", &all), i, cnt = 0;
	struct overshoot *over = calloc(n, sizeof(*over));
	uint64_t median, max = 0, by_default;

	for (argv++; argc > 1; argc--, argv++) {
		if (strcmp(*argv, "--json") == 0)
			json = true;
		else if (strcmp(*argv, "--wall") == 0)
			wall = true;
		else
			rounds = (unsigned)strtoul(*argv, NULL, 10);
	}
	empty = time_calls(sb, nothing, 0, CALLS);
	hook = time_calls(sb, call_ref, load(sb, "return function() end"), CALLS);
	loop = time_calls(sb, call_ref, load(sb, loop_text), CALLS / 1000);
	plain = time_plain_loop(CALLS / 100);
	mf_sandbox_free(sb);
	for (i = 0; i < n; i++)
		cnt += measure(&all[i], rounds ? rounds : 1, wall, UINT64_MAX, &over[cnt]);
	by_default = worst_by_default(all, n, rounds ? rounds : 1, wall);
	if (!cnt)
		return 1;
	qsort(over, cnt, sizeof(*over), by_median);
	for (i = 0; i < cnt; i++)
		max = over[i].max > max ? over[i].max : max;
	median = over[cnt / 2].median;
	if (json) {
		printf("{\"call_empty_ns\":%.1f,\"call_hook_ns\":%.1f,\"loop_10000_ns\":%.0f,"
		       "\"loop_10000_plain_ns\":%.0f,"
		       "\"stop_scripts\":%zu,\"stop_overshoot_median_ns\":%llu,\"stop_overshoot_"
		       "max_ns\":%llu,"
		       "\"stop_overshoot_worst_script_median_ns\":%llu,"
		       "\"stop_overshoot_worst_script_by_default_ns\":%llu}\n",
		       empty, hook, loop, plain, cnt, (unsigned long long)median,
		       (unsigned long long)max, (unsigned long long)over[0].median,
		       (unsigned long long)by_default);
	} else {
		printf("%-44s %10.1f ns\n", "mf_sandbox_call(), nothing in it", empty);
		printf("%-44s %10.1f ns\n", "mf_sandbox_call() of an empty Lua function", hook);
		printf("%-44s %10.0f ns\n", "loop of 10,000 rounds in the sandbox", loop);
		printf("%-44s %10.0f ns (ratio %.2f)\n", "the same in plain Lua without a hook",
		       plain, loop / plain);
		printf("\nstop of a hostile policy: overshoot beyond a limit of 5 ms, %u rounds, "
		       "us of %s\n",
		       rounds, wall ? "wall time" : "CPU time");
		printf("%-30s %10s %10s\n", "script", "median", "max");
		for (i = 0; i < cnt; i++)
			printf("%-30s %10.1f %10.1f\n", over[i].name, (double)over[i].median / 1000,
			       (double)over[i].max / 1000);
		printf("%-30s %10.1f %10.1f\n", "all", (double)median / 1000, (double)max / 1000);
		printf("with the default limit of 100,000 instructions the slowest script's "
		       "median: %.1f\n",
		       (double)by_default / 1000);
	}
	free(over);
	hostile_free_all(all, n);
	return 0;
}
