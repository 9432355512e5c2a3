/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_table.c - table functions (Lua 5.4 manual, 6.6)
 *
 * They honour __len, __index and __newindex, which may lie: so each element is charged as it is touched, and what is
 * said to be long simply uses up the call. sort() is a stable merge sort: the same result for the same input whatever
 * the comparison function does, and never more than n log n comparisons.
 */
#include "core/policy/lib_buf.h"

#define VALUES_MAX 4096 /* of unpack() and pack() */
#define SORT_MAX   (1 << 20)

/* A table, or anything that can be read and written like one. */
static void check_table(lua_State *L, int arg, const char *const *events)
{
	if (lua_type(L, arg) == LUA_TTABLE)
		return;
	for (; *events; events++) {
		if (luaL_getmetafield(L, arg, *events) == LUA_TNIL)
			luaL_checktype(L, arg, LUA_TTABLE);
		lua_pop(L, 1);
	}
}

static const char *const reads[] = { "__index", NULL };
static const char *const reads_len[] = { "__index", "__len", NULL };
static const char *const writes[] = { "__newindex", NULL };
static const char *const all[] = { "__index", "__newindex", "__len", NULL };

static int tab_insert(lua_State *L)
{
	lua_Integer end, pos, i;

	check_table(L, 1, all);
	end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1);
	switch (lua_gettop(L)) {
	case 2:
		pos = end;
		break;
	case 3:
		pos = luaL_checkinteger(L, 2);
		luaL_argcheck(L, (lua_Unsigned)pos - 1u < (lua_Unsigned)end, 2,
			      "position out of bounds");
		for (i = end; i > pos; i--) {
			mf_sandbox_charge(L, 4);
			lua_geti(L, 1, i - 1);
			lua_seti(L, 1, i);
		}
		break;
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
	mf_sandbox_charge(L, 4);
	lua_seti(L, 1, pos);
	return 0;
}

static int tab_remove(lua_State *L)
{
	lua_Integer size, pos;

	check_table(L, 1, all);
	size = luaL_len(L, 1);
	pos = luaL_optinteger(L, 2, size);
	// 1..size + 1, and 0 of an empty list; an argument that repeats the size is fine whatever it is.
	if (lua_gettop(L) > 1 && pos != size)
		luaL_argcheck(L, (lua_Unsigned)pos - 1u <= (lua_Unsigned)size, 2,
			      "position out of bounds");
	mf_sandbox_charge(L, 4);
	lua_geti(L, 1, pos);
	for (; pos < size; pos++) {
		mf_sandbox_charge(L, 4);
		lua_geti(L, 1, pos + 1);
		lua_seti(L, 1, pos);
	}
	lua_pushnil(L);
	lua_seti(L, 1, pos);
	return 1;
}

static void move_element(lua_State *L, int to, lua_Integer from_i, lua_Integer to_i)
{
	mf_sandbox_charge(L, 4);
	lua_geti(L, 1, from_i);
	lua_seti(L, to, to_i);
}

static int tab_move(lua_State *L)
{
	lua_Integer from = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3),
		    at = luaL_checkinteger(L, 4);
	int to = lua_isnoneornil(L, 5) ? 1 : 5;
	lua_Integer i, n;

	check_table(L, 1, reads);
	check_table(L, to, writes);
	if (end >= from) {
		luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3,
			      "too many elements to move");
		n = end - from + 1;
		luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
		if (at > end || at <= from || (to != 1 && !lua_compare(L, 1, to, LUA_OPEQ))) {
			for (i = 0; i < n; i++)
				move_element(L, to, from + i, at + i);
		} else {
			for (i = n - 1; i >= 0; i--)
				move_element(L, to, from + i, at + i);
		}
	}
	lua_pushvalue(L, to);
	return 1;
}

static int tab_concat(lua_State *L)
{
	size_t sep_len, len;
	const char *sep, *s;
	lua_Integer i, end;
	struct mf_buf b;

	check_table(L, 1, reads_len);
	end = luaL_len(L, 1);
	sep = luaL_optlstring(L, 2, "", &sep_len);
	i = luaL_optinteger(L, 3, 1);
	end = luaL_optinteger(L, 4, end);
	mf_buf_init(L, &b);
	for (; i <= end; i++) {
		lua_geti(L, 1, i);
		if (!lua_isstring(L, -1))
			return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
					  (LUAI_UACINT)i);
		s = lua_tolstring(L, -1, &len);
		mf_buf_add(L, &b, s, len);
		lua_pop(L, 1);
		if (i == end) // before the addition: the last index may be the largest integer
			break;
		mf_buf_add(L, &b, sep, sep_len);
	}
	mf_buf_push(L, &b);
	return 1;
}

static int tab_pack(lua_State *L)
{
	int i, n = lua_gettop(L);

	mf_sandbox_charge(L, 1 + (uint64_t)n);
	lua_createtable(L, n, 1);
	lua_insert(L, 1);
	for (i = n; i >= 1; i--)
		lua_rawseti(L, 1, i);
	lua_pushinteger(L, n);
	lua_setfield(L, 1, "n");
	return 1;
}

static int tab_unpack(lua_State *L)
{
	lua_Integer i = luaL_optinteger(L, 2, 1);
	lua_Integer end = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
	lua_Unsigned n;

	if (i > end)
		return 0;
	n = (lua_Unsigned)end - (lua_Unsigned)i;
	if (n >= VALUES_MAX || !lua_checkstack(L, (int)n + 1))
		return luaL_error(L, "too many results to unpack");
	mf_sandbox_charge(L, (n + 1) * 2);
	for (; i < end; i++)
		lua_geti(L, 1, i);
	lua_geti(L, 1, end);
	return (int)n + 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* sort                                                                                                               */

enum {
	LIST = 1,
	COMPARE,
	FROM,
	TO
}; /* stack positions: the list, the function or nil, two tables of n values */

/* Is the value at the top smaller than the one below it? */
static bool is_less(lua_State *L)
{
	bool less;

	if (lua_isnil(L, COMPARE)) {
		mf_sandbox_charge(
			L, 4 + (lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) / 16 : 0));
		return lua_compare(L, -1, -2, LUA_OPLT);
	}
	mf_sandbox_charge(L, 8);
	lua_pushvalue(L, COMPARE);
	lua_pushvalue(L, -2);
	lua_pushvalue(L, -4);
	lua_call(L, 2, 1);
	less = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return less;
}

/* Merge FROM[a..b) and FROM[b..c) to TO[a..c). */
static void merge(lua_State *L, int from, int to, lua_Integer a, lua_Integer b, lua_Integer c)
{
	lua_Integer i = a, j = b, at;

	for (at = a; at < c; at++) {
		mf_sandbox_charge(L, 2);
		if (i < b && j < c) {
			lua_rawgeti(L, from, i);
			lua_rawgeti(L, from, j);
			if (is_less(L)) {
				lua_rawseti(L, to, at);
				lua_pop(L, 1);
				j++;
			} else {
				lua_pop(L, 1);
				lua_rawseti(L, to, at);
				i++;
			}
		} else {
			lua_rawgeti(L, from, i < b ? i++ : j++);
			lua_rawseti(L, to, at);
		}
	}
}

static int tab_sort(lua_State *L)
{
	lua_Integer n, i, width;
	int from = FROM, to = TO, swap;

	check_table(L, 1, all);
	n = luaL_len(L, 1);
	if (n < 2)
		return 0;
	luaL_argcheck(L, n < SORT_MAX, 1, "array too big");
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	mf_sandbox_charge(L, (uint64_t)n * 4);
	lua_createtable(L, (int)n, 0);
	lua_createtable(L, (int)n, 0);
	for (i = 1; i <= n; i++) {
		lua_geti(L, LIST, i);
		lua_rawseti(L, FROM, i);
	}
	for (width = 1; width < n; width *= 2) {
		for (i = 1; i <= n; i += 2 * width)
			merge(L, from, to, i, i + width < n + 1 ? i + width : n + 1,
			      i + 2 * width < n + 1 ? i + 2 * width : n + 1);
		swap = from;
		from = to;
		to = swap;
	}
	for (i = 1; i <= n; i++) {
		mf_sandbox_charge(L, 2);
		lua_rawgeti(L, from, i);
		lua_seti(L, LIST, i);
	}
	return 0;
}

static const luaL_Reg functions[] = {
	{ "concat", tab_concat }, { "insert", tab_insert }, { "move", tab_move },
	{ "pack", tab_pack },	  { "remove", tab_remove }, { "sort", tab_sort },
	{ "unpack", tab_unpack }, { NULL, NULL },
};

void mf_lib_open_table(lua_State *L)
{
	luaL_newlib(L, functions);
}
