/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_base.c - the global functions of policies: what Lua's base library has, as far as it is bounded and pure
 *
 * Not there: load, loadstring, dofile, collectgarbage, rawset on what is frozen, string.dump, and anything that would
 * show an address. pcall and xpcall cannot catch a limit; xpcall runs its handler after the stack is unwound, for at the
 * place of a limit's error no hook would watch it.
 */
#include "core/policy/sandbox_internal.h"

#include <string.h>

#define PRINT_MAX   1024 /* bytes of one print() */
#define PCALL_DEPTH 100	 /* calls deep that pcall() may stand, see check_depth() */

static int base_assert(lua_State *L)
{
	if (lua_toboolean(L, 1))
		return lua_gettop(L);
	luaL_checkany(L, 1);
	lua_remove(L, 1);
	if (lua_gettop(L) == 0)
		return luaL_error(L, "assertion failed!");
	lua_settop(L, 1);
	return lua_error(L);
}

static int base_error(lua_State *L)
{
	int level = (int)luaL_optinteger(L, 2, 1);

	lua_settop(L, 1);
	if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
		luaL_where(L, level);
		lua_pushvalue(L, 1);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

/* Both as a continuation and after a plain return: a limit goes on upwards whatever was caught. */
static int finish_pcall(lua_State *L, int status, lua_KContext skip)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	sb->running = L;
	mf_sandbox_stopped(L);
	if (status != LUA_OK && status != LUA_YIELD) {
		mf_sandbox_check_time(
			L); // an error may have taken long: an __index chain that ends in itself
		lua_pushboolean(L, 0);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L) - (int)skip;
}

/*
 * For each error that is caught Lua walks the stack that is left, and a limit is raised again in every pcall() on its way
 * out. Thousands of pcalls under thousands of calls would take tens of milliseconds to unwind, so they may not stand deep.
 */
static void check_depth(lua_State *L)
{
	lua_Debug ar;

	mf_sandbox_charge(L, 8);
	if (lua_getstack(L, PCALL_DEPTH, &ar))
		luaL_error(L, "pcall stands more than %d calls deep", PCALL_DEPTH);
}

static int base_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	check_depth(L);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall),
			    0);
}

static int handled(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	mf_sandbox_of(L)->running = L;
	mf_sandbox_stopped(L);
	if (status != LUA_OK && status != LUA_YIELD) {
		// The handler failed as well; its own error is what is left to report.
		lua_settop(L, 3);
	}
	lua_pushboolean(L, 0);
	lua_replace(L, 2);
	return lua_gettop(L) - 1;
}

static int finish_xpcall(lua_State *L, int status, lua_KContext ctx)
{
	mf_sandbox_of(L)->running = L;
	mf_sandbox_stopped(L);
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - (int)ctx;
	// Stack: handler, true, error. The handler gets the error, and its one result stands behind "false".
	lua_pushvalue(L, 1);
	lua_insert(L, 3);
	lua_settop(L, 4);
	return handled(L, lua_pcallk(L, 1, 1, 0, 0, handled), 0);
}

static int base_xpcall(lua_State *L)
{
	int narg = lua_gettop(L) - 2;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	check_depth(L);
	lua_pushvalue(L, 2);
	lua_insert(L, 1); // handler, function, handler, arguments
	lua_pushboolean(L, 1);
	lua_replace(L, 3); // handler, function, true, arguments
	lua_pushvalue(L, 2);
	lua_remove(L, 2); // handler, true, arguments, function
	lua_insert(L, 3); // handler, true, function, arguments
	return finish_xpcall(L, lua_pcallk(L, narg, LUA_MULTRET, 0, 1, finish_xpcall), 1);
}

static int base_select(lua_State *L)
{
	int n = lua_gettop(L);
	lua_Integer i;

	if (lua_type(L, 1) == LUA_TSTRING && *lua_tostring(L, 1) == '#') {
		lua_pushinteger(L, n - 1);
		return 1;
	}
	i = luaL_checkinteger(L, 1);
	if (i < 0)
		i = n + i;
	else if (i > n)
		i = n;
	luaL_argcheck(L, 1 <= i, 1, "index out of range");
	mf_sandbox_charge(L, (uint64_t)(n - i) / 8 + 1);
	return n - (int)i;
}

static int base_type(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushstring(L, luaL_typename(L, 1));
	return 1;
}

static int base_tonumber(lua_State *L)
{
	lua_Integer base, n = 0;
	const char *s, *end;
	bool neg;
	size_t len;

	if (lua_isnoneornil(L, 2)) {
		luaL_checkany(L, 1);
		if (lua_type(L, 1) == LUA_TNUMBER) {
			lua_settop(L, 1);
			return 1;
		}
		s = lua_tolstring(L, 1, &len);
		if (s)
			mf_sandbox_charge(L, len / 16);
		if (!s || lua_stringtonumber(L, s) != len + 1)
			luaL_pushfail(L);
		return 1;
	}
	base = luaL_checkinteger(L, 2);
	luaL_checktype(L, 1, LUA_TSTRING);
	luaL_argcheck(L, 2 <= base && base <= 36, 2, "base out of range");
	s = lua_tolstring(L, 1, &len);
	mf_sandbox_charge(L, len / 4);
	for (end = s + len; s < end && strchr(" \f\n\r\t\v", *s); s++)
		;
	while (end > s && strchr(" \f\n\r\t\v", end[-1]))
		end--;
	neg = s < end && *s == '-';
	s += neg;
	if (s == end) {
		luaL_pushfail(L);
		return 1;
	}
	for (; s < end; s++) {
		int c = (unsigned char)*s, digit;

		digit = c >= '0' && c <= '9'		     ? c - '0'
			: (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
							     : 36;
		if (digit >= base) {
			luaL_pushfail(L);
			return 1;
		}
		n = (lua_Integer)((lua_Unsigned)n * (lua_Unsigned)base + (lua_Unsigned)digit);
	}
	lua_pushinteger(L, neg ? (lua_Integer)(0u - (lua_Unsigned)n) : n);
	return 1;
}

const char *mf_lib_tostring(lua_State *L, int idx, size_t *len)
{
	idx = lua_absindex(L, idx);
	mf_sandbox_charge(L, 2);
	if (luaL_callmeta(L, idx, "__tostring")) {
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "'__tostring' must return a string");
		return lua_tolstring(L, -1, len);
	}
	switch (lua_type(L, idx)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_pushvalue(L, idx);
		break;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, idx) ? "true" : "false");
		break;
	case LUA_TNIL:
		lua_pushliteral(L, "nil");
		break;
	default: // no address: it would differ from one run to the next
		switch (luaL_getmetafield(L, idx, "__name")) {
		case LUA_TSTRING:
			break;
		default:
			lua_pop(L, 1);
			/* fall through */
		case LUA_TNIL:
			lua_pushstring(L, luaL_typename(L, idx));
		}
	}
	return lua_tolstring(L, -1, len);
}

static int base_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	mf_lib_tostring(L, 1, NULL);
	return 1;
}

static int base_print(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);
	char line[PRINT_MAX];
	size_t used = 0, len;
	int i, n = lua_gettop(L);
	const char *s;

	for (i = 1; i <= n && used < sizeof(line); i++) {
		s = mf_lib_tostring(L, i, &len);
		if (i > 1)
			line[used++] = '\t';
		if (len > sizeof(line) - used)
			len = sizeof(line) - used;
		memcpy(line + used, s, len);
		used += len;
		lua_pop(L, 1);
	}
	mf_sandbox_charge(L, 16 + used / 8);
	if (sb->opt.print)
		sb->opt.print(sb->opt.print_ctx, line, used);
	return 0;
}

static const luaL_Reg functions[] = {
	{ "assert", base_assert },
	{ "error", base_error },
	{ "getmetatable", mf_lib_getmetatable },
	{ "ipairs", mf_lib_ipairs },
	{ "next", mf_lib_next },
	{ "pairs", mf_lib_pairs },
	{ "pcall", base_pcall },
	{ "print", base_print },
	{ "rawequal", mf_lib_rawequal },
	{ "rawget", mf_lib_rawget },
	{ "rawlen", mf_lib_rawlen },
	{ "rawset", mf_lib_rawset },
	{ "require", mf_lib_require },
	{ "select", base_select },
	{ "setmetatable", mf_lib_setmetatable },
	{ "tonumber", base_tonumber },
	{ "tostring", base_tostring },
	{ "type", base_type },
	{ "xpcall", base_xpcall },
	{ NULL, NULL },
};

void mf_lib_open_base(lua_State *L)
{
	luaL_setfuncs(L, functions, 0);
	lua_pushliteral(L, "Lua 5.4");
	lua_setfield(L, -2, "_VERSION");
}
