/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_coroutine.c - coroutines for policies
 *
 * Each coroutine counts its instructions with a hook of its own, which starts at zero: so making one is charged a whole
 * interval, and each resume something. A limit that was hit inside is raised again in whoever resumed it.
 */
#include "core/policy/sandbox_internal.h"

#define RESUME_STEPS 16
#define NESTED_MAX \
	16 /* coroutines that wait for one another: bounds how many pcalls a limit has to leave */
#define RESULTS_MAX 250 /* values through one resume or yield */

static lua_State *check_coroutine(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co, 1, "coroutine");
	return co;
}

/* Resume @co with the @narg values on top of L; Return: number of results on top of L, or -1 and the error there */
static int resume(lua_State *L, lua_State *co, int narg)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);
	int status, nres;

	mf_sandbox_charge(L, RESUME_STEPS + (uint64_t)narg);
	if (narg > RESULTS_MAX || !lua_checkstack(co, narg)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	if (sb->resumed >= NESTED_MAX) {
		lua_pushfstring(L, "more than %d coroutines wait for one another", NESTED_MAX);
		return -1;
	}
	lua_xmove(L, co, narg);
	sb->running = co;
	sb->resumed++;
	mf_sandbox_arm(sb, co);
	status = lua_resume(co, L, narg, &nres);
	sb->resumed--;
	sb->running = L;
	mf_sandbox_arm(sb, L);
	mf_sandbox_stopped(L);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		return -1;
	}
	mf_sandbox_charge(L, (uint64_t)nres);
	if (nres > RESULTS_MAX || !lua_checkstack(L, nres + 1)) {
		lua_pop(co, nres);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, nres);
	return nres;
}

static int co_resume(lua_State *L)
{
	lua_State *co = check_coroutine(L);
	int n = resume(L, co, lua_gettop(L) - 1);

	if (n < 0) {
		lua_pushboolean(L, 0);
		lua_insert(L, -2);
		return 2;
	}
	lua_pushboolean(L, 1);
	lua_insert(L, -(n + 1));
	return n + 1;
}

/* End @co, closing its pending variables under the limits. Return: lua_resetthread()'s status */
static int reset(lua_State *L, lua_State *co)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);
	int status;

	mf_sandbox_charge(L, RESUME_STEPS);
	sb->running = co;
	mf_sandbox_arm(sb, co);
	status = lua_resetthread(co);
	sb->running = L;
	mf_sandbox_arm(sb, L);
	mf_sandbox_stopped(L);
	return status;
}

static int co_wrapped(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));
	int n = resume(L, co, lua_gettop(L)), status = lua_status(co);

	if (n >= 0)
		return n;
	if (status != LUA_OK && status != LUA_YIELD) {
		reset(L, co);
		lua_settop(co, 0);
	}
	if (lua_type(L, -1) ==
	    LUA_TSTRING) { // the place of the caller comes first, as in Lua's own library
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int co_create(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	mf_sandbox_charge(L, (uint64_t)sb->interval);
	co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, co_wrapped, 1);
	return 1;
}

static int co_yield (lua_State *L)
{
	if (lua_gettop(L) > RESULTS_MAX)
		return luaL_error(L, "too many values to yield");
	return lua_yield(L, lua_gettop(L));
}

static const char *find_status(lua_State *L, lua_State *co)
{
	lua_Debug ar;

	if (L == co)
		return "running";
	switch (lua_status(co)) {
	case LUA_YIELD:
		return "suspended";
	case LUA_OK:
		if (lua_getstack(co, 0, &ar))
			return "normal";
		return lua_gettop(co) == 0 ? "dead" : "suspended";
	default:
		return "dead";
	}
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, find_status(L, check_coroutine(L)));
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *co = check_coroutine(L);
	const char *status = find_status(L, co);

	if (status[0] != 's' && status[0] != 'd')
		return luaL_error(L, "cannot close a %s coroutine", status);
	if (reset(L, co) == LUA_OK) {
		lua_settop(co, 0);
		lua_pushboolean(L, 1);
		return 1;
	}
	lua_pushboolean(L, 0);
	lua_xmove(co, L, 1);
	return 2;
}

static int co_isyieldable(lua_State *L)
{
	lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;

	lua_pushboolean(L, lua_isyieldable(co));
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushboolean(L, lua_pushthread(L));
	return 2;
}

static const luaL_Reg functions[] = {
	{ "close", co_close },	 { "create", co_create },   { "isyieldable", co_isyieldable },
	{ "resume", co_resume }, { "running", co_running }, { "status", co_status },
	{ "wrap", co_wrap },	 { "yield", co_yield },	    { NULL, NULL },
};

void mf_lib_open_coroutine(lua_State *L)
{
	luaL_newlib(L, functions);
}
