/* SPDX-License-Identifier: Apache-2.0 */
/* bind_table.c - reading option tables, frozen ones included: unknown keys and wrong types are errors that say so */
#include <string.h>

#include "core/policy/sandbox.h"
#include "core/policy/state.h"

lua_Integer mf_check_keys(lua_State *L, int idx, const char *what, const char *const *keys)
{
	lua_Integer n, cnt = 0;
	const char *key, *near;
	size_t i;

	idx = lua_absindex(L, idx);
	mf_frozen_contents(L, idx);
	n = (lua_Integer)lua_rawlen(L, -1);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		mf_sandbox_charge(L, 1);
		if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 &&
		    lua_tointeger(L, -2) <= n) {
			cnt++;
			continue;
		}
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "%s: a key that is neither a name nor a position (%s)", what,
				   luaL_typename(L, -2));
		key = lua_tostring(L, -2);
		for (i = 0; keys[i] && strcmp(keys[i], key) != 0; i++)
			;
		if (keys[i])
			continue;
		near = mf_word_nearest(key, keys);
		luaL_error(L, "%s: unknown key '%s'%s%s%s", what, key,
			   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
	}
	lua_pop(L, 1);
	if (cnt != n)
		luaL_error(L, "%s: the list has holes", what);
	return n;
}

const char *mf_opt_string(lua_State *L, int idx, const char *what, const char *key, size_t max)
{
	const char *text;
	size_t len;

	/* The value stays on the stack, so that the text stays alive: callers lua_settop() at their end. */
	switch (lua_getfield(L, idx, key)) {
	case LUA_TNIL:
		lua_pop(L, 1);
		return NULL;
	case LUA_TSTRING:
		break;
	default:
		luaL_error(L, "%s: %s must be a string, not a %s", what, key, luaL_typename(L, -1));
	}
	text = lua_tolstring(L, -1, &len);
	if (strlen(text) != len)
		luaL_error(L, "%s: %s holds a zero byte", what, key);
	if (len > max)
		luaL_error(L, "%s: %s is longer than %d bytes", what, key, (int)max);
	return text;
}

bool mf_opt_bool(lua_State *L, int idx, const char *what, const char *key, bool otherwise)
{
	bool value = otherwise;

	switch (lua_getfield(L, idx, key)) {
	case LUA_TNIL:
		break;
	case LUA_TBOOLEAN:
		value = lua_toboolean(L, -1);
		break;
	default:
		luaL_error(L, "%s: %s must be true or false, not a %s", what, key,
			   luaL_typename(L, -1));
	}
	lua_pop(L, 1);
	return value;
}

lua_Integer mf_opt_int(lua_State *L, int idx, const char *what, const char *key, lua_Integer min,
		       lua_Integer max, lua_Integer otherwise)
{
	lua_Integer value = otherwise;
	int ok = 1;

	if (lua_getfield(L, idx, key) != LUA_TNIL) {
		value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &ok) : (ok = 0);
		if (!ok || value < min || value > max)
			luaL_error(L, "%s: %s must be a whole number from %I to %I", what, key,
				   (LUAI_UACINT)min, (LUAI_UACINT)max);
	}
	lua_pop(L, 1);
	return value;
}
