/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_math.c - math and utf8: Lua's own functions, as far as policies may have them
 *
 * Those of math are pure and take constant time; random and randomseed are not there, for a decision must not depend on
 * chance. Those of utf8 look at no more than their text, for which they are charged before they run.
 */
#include "core/policy/sandbox_internal.h"

#include <lualib.h>
#include <string.h>

#define VALUES_MAX 4096 /* of one utf8.codepoint() */

static const char *const math_names[] = { "abs",	"acos", "asin",	     "atan",	   "ceil",
					  "cos",	"deg",	"exp",	     "floor",	   "fmod",
					  "huge",	"log",	"max",	     "maxinteger", "min",
					  "mininteger", "modf", "pi",	     "rad",	   "sin",
					  "sqrt",	"tan",	"tointeger", "type",	   "ult" };

static const char *const utf8_names[] = { "char", "codepoint", "codes", "len", "offset" };

/* Upvalue: a function of Lua's utf8 library. */
static int charged(lua_State *L)
{
	lua_CFunction fn = lua_tocfunction(L, lua_upvalueindex(1));

	if (lua_type(L, 1) == LUA_TSTRING)
		mf_sandbox_charge(L, 1 + lua_rawlen(L, 1) / 8);
	else
		mf_sandbox_charge(L, 1 + (uint64_t)lua_gettop(L));
	return fn(L);
}

/* The same, with a bound for the number of results. */
static int codepoint(lua_State *L)
{
	size_t len;
	lua_Integer i, j;

	luaL_checklstring(L, 1, &len);
	i = luaL_optinteger(L, 2, 1);
	j = luaL_optinteger(L, 3, i);
	i = i < 0 ? i + (lua_Integer)len + 1 : i;
	j = j < 0 ? j + (lua_Integer)len + 1 : j;
	if (i >= 1 && j <= (lua_Integer)len && j - i >= VALUES_MAX)
		return luaL_error(L, "string slice too long");
	return charged(L);
}

void mf_lib_open_math(lua_State *L)
{
	size_t i;

	lua_newtable(L);
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	for (i = 0; i < MF_ARRAY_SIZE(math_names); i++) {
		lua_getfield(L, -1, math_names[i]);
		lua_setfield(L, -3, math_names[i]);
	}
	lua_pop(L, 1);
}

void mf_lib_open_utf8(lua_State *L)
{
	size_t i;

	lua_newtable(L);
	lua_pushcfunction(L, luaopen_utf8);
	lua_call(L, 0, 1);
	for (i = 0; i < MF_ARRAY_SIZE(utf8_names); i++) {
		lua_getfield(L, -1, utf8_names[i]);
		lua_pushcclosure(L, strcmp(utf8_names[i], "codepoint") == 0 ? codepoint : charged,
				 1);
		lua_setfield(L, -3, utf8_names[i]);
	}
	lua_getfield(L, -1, "charpattern");
	lua_setfield(L, -3, "charpattern");
	lua_pop(L, 1);
}
