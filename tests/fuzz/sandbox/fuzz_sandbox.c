/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_sandbox.c - any text as a policy: loaded, all its functions called, with small limits
 *
 * After each input a policy that was loaded before it must answer as at first, and two calls of the same function must
 * give the same outcome, unless one used up a limit: how much an allocation costs depends on what is there already (a
 * short string that is interned, a stack that has grown), so two calls that come close to a limit may end on either side.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/sandbox.h"

#define FUNCTIONS_MAX 8

static const struct mf_sandbox_limits limits = { 20000, 200 * MF_NS_PER_MS };
static const char canary[] =
	"return function() local s = 0 for _, l in ipairs { string, table, math, utf8, coroutine } "
	"do"
	" for k, v in pairs(l) do s = s + #k + #type(v) end end"
	" for k in pairs(_G) do s = s + #k end return ('%d'):format(s):rep(2) end";

struct call {
	int ref, index; /* the index-th function of the value at ref */
	char result[64];
};

static int run(lua_State *L)
{
	struct call *c = lua_touserdata(L, 1);
	int left = c->index;

	lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
	if (lua_istable(L, -1)) {
		for (; left > 0; left--) {
			lua_geti(L, 2, left);
			if (lua_isfunction(L, -1))
				break;
			lua_pop(L, 1);
		}
	}
	lua_pushinteger(L, 1);
	lua_pushliteral(L, "text");
	lua_call(L, 2, 1);
	snprintf(c->result, sizeof(c->result), "%s",
		 lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1));
	return 0;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_sandbox: %s\n", what);
	abort();
}

static bool is_limit(int code)
{
	return code == MF_E_STEPS || code == MF_E_TIME || code == MF_E_MEMORY || code == MF_E_LIMIT;
}

static int load(struct mf_sandbox *sb, const char *text, size_t len, int *ref)
{
	struct mf_sandbox_source src = { .name = "fuzz.lua", .text = text, .len = len };
	struct mf_err err;

	return mf_sandbox_load(sb, &limits, &src, ref, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_sandbox_options opt = { .memory = 4 << 20, .clock = &mf_clock_system };
	struct call before = { 0 }, after, one = { .ref = LUA_NOREF }, two;
	struct mf_sandbox *sb;
	struct mf_err err;
	int i, first, second;

	must(mf_sandbox_new(&opt, &sb, &err) == 0 && mf_sandbox_seal(sb, &err) == 0, "no sandbox");
	must(load(sb, canary, sizeof(canary) - 1, &before.ref) == 0, "no canary");
	after = before;
	must(mf_sandbox_call(sb, &limits, run, &before, &err) == 0, "the canary failed");
	if (load(sb, (const char *)data, size, &one.ref) == 0) {
		for (i = 0; i < FUNCTIONS_MAX; i++) {
			one.index = i;
			one.result[0] = '\0';
			two = one;
			first = mf_sandbox_call(sb, &limits, run, &one, &err);
			second = mf_sandbox_call(sb, &limits, run, &two, &err);
			if (is_limit(first) || is_limit(second))
				continue;
			must(first == second, "two calls ended differently");
			must(strcmp(one.result, two.result) == 0,
			     "two calls gave different results");
		}
	}
	mf_sandbox_collect(sb);
	must(mf_sandbox_call(sb, &limits, run, &after, &err) == 0, "the canary fails afterwards");
	must(strcmp(before.result, after.result) == 0, "the canary answers differently");
	mf_sandbox_free(sb);
	return 0;
}
