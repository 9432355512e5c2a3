/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_raw.c - metatables, raw access and iteration
 *
 * A frozen table holds nothing itself (freeze.c); these functions look through to its contents, and refuse to change it.
 *
 * pairs() and next() have one order, whatever the history of the table: the sequence 1..n, then other numbers ascending,
 * then false and true, then strings by their bytes. Keys of other types have no order that would be the same in the next
 * run, so iterating over a table with one is an error.
 */
#include "core/policy/sandbox_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY_STEPS  2  /* of gathering or comparing one key */
#define SMALL_KEYS 32 /* keys sorted on the C stack */

struct key {
	const char *str; /* NULL for a number or boolean */
	size_t len;
	lua_Integer i;
	lua_Number n;
	unsigned char rank; /* 1 integer, 2 float, 3 boolean, 4 string */
};

/* ------------------------------------------------------------------------------------------------------------------ */
/* Metatables                                                                                                         */

int mf_lib_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	// Of what is no table a policy sees no metatable: they are the runtime's, shared by all policies.
	if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushliteral(L, "__metatable");
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pop(L, 1);
		mf_frozen_of_metatable(L);
		return 1;
	}
	// A frozen table without a metatable of the policy's own has false here.
	if (mf_is_frozen(L, 1) && !lua_toboolean(L, -1))
		lua_pushnil(L);
	return 1;
}

static void refuse_event(lua_State *L, const char *event, const char *why)
{
	lua_pushstring(L, event);
	if (lua_rawget(L, 2) != LUA_TNIL)
		luaL_error(L, "a metatable of a policy cannot have '%s': %s", event, why);
	lua_pop(L, 1);
}

int mf_lib_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (mf_is_frozen(L, 1))
		return luaL_error(L,
				  "this table outlives the call and cannot get another metatable");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	lua_settop(L, 2);
	mf_sandbox_charge(L, 4);
	if (type == LUA_TTABLE) {
		mf_frozen_as_metatable(L, 2);
		lua_replace(L, 2);
		refuse_event(L, "__gc", "nothing of a policy runs when memory is freed");
		refuse_event(L, "__close", "a policy holds nothing that needs closing");
		refuse_event(L, "__mode", "what is in a table may not depend on memory");
		mf_sandbox_note_meta(L);
	}
	lua_setmetatable(L, 1);
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Raw access                                                                                                         */

int mf_lib_rawequal(lua_State *L)
{
	luaL_checkany(L, 1);
	luaL_checkany(L, 2);
	lua_pushboolean(L, lua_rawequal(L, 1, 2));
	return 1;
}

int mf_lib_rawlen(lua_State *L)
{
	int type = lua_type(L, 1);

	luaL_argexpected(L, type == LUA_TTABLE || type == LUA_TSTRING, 1, "table or string");
	if (type == LUA_TTABLE)
		mf_frozen_contents(L, 1);
	else
		lua_pushvalue(L, 1);
	lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
	return 1;
}

int mf_lib_rawget(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	lua_settop(L, 2);
	mf_frozen_contents(L, 1);
	lua_replace(L, 1);
	lua_rawget(L, 1);
	return 1;
}

int mf_lib_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (mf_is_frozen(L, 1))
		return luaL_error(L, "this table outlives the call and cannot be changed");
	lua_rawset(L, 1);
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Iteration                                                                                                          */

static int next_index(lua_State *L)
{
	lua_Integer i = luaL_checkinteger(L, 2);

	i = (lua_Integer)((lua_Unsigned)i + 1);
	lua_pushinteger(L, i);
	return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

int mf_lib_ipairs(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushcfunction(L, next_index);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

static int compare_numbers(const struct key *a, const struct key *b)
{
	if (a->rank == 1 && b->rank == 1)
		return a->i < b->i ? -1 : a->i > b->i;
	if (a->rank == 2 && b->rank == 2)
		return a->n < b->n ? -1 : a->n > b->n;
	if (a->rank == 2)
		return -compare_numbers(b, a);
	// A float key is never integral within the range of integers (Lua makes those integers), so floor() decides.
	if (b->n >= 0x1p63)
		return -1;
	if (b->n < -0x1p63)
		return 1;
	return a->i <= (lua_Integer)floor(b->n) ? -1 : 1;
}

static int compare_keys(const struct key *a, const struct key *b)
{
	int c;

	if (a->rank <= 2 && b->rank <= 2)
		return compare_numbers(a, b);
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->rank == 3)
		return (a->i > b->i) - (a->i < b->i);
	c = memcmp(a->str, b->str, a->len < b->len ? a->len : b->len);
	if (c == 0)
		c = (a->len > b->len) - (a->len < b->len);
	return c;
}

static int compare_void(const void *a, const void *b)
{
	return compare_keys(a, b);
}

/* Read the key at the top of the stack. The string stays the table's. */
static void read_key(lua_State *L, int idx, struct key *ret)
{
	*ret = (struct key){ 0 };
	switch (lua_type(L, idx)) {
	case LUA_TNUMBER:
		ret->rank = lua_isinteger(L, idx) ? 1 : 2;
		if (ret->rank == 1)
			ret->i = lua_tointeger(L, idx);
		else
			ret->n = lua_tonumber(L, idx);
		break;
	case LUA_TBOOLEAN:
		ret->rank = 3;
		ret->i = lua_toboolean(L, idx);
		break;
	case LUA_TSTRING:
		ret->rank = 4;
		ret->str = lua_tolstring(L, idx, &ret->len);
		break;
	default:
		luaL_error(
			L,
			"cannot iterate over a table with a %s as a key: such keys have no order",
			luaL_typename(L, idx));
	}
}

static void push_key(lua_State *L, const struct key *key)
{
	switch (key->rank) {
	case 1:
		lua_pushinteger(L, key->i);
		break;
	case 2:
		lua_pushnumber(L, key->n);
		break;
	case 3:
		lua_pushboolean(L, (int)key->i);
		break;
	default:
		lua_pushlstring(L, key->str, key->len);
	}
}

static size_t count_keys(lua_State *L, int contents)
{
	size_t n = 0;

	for (lua_pushnil(L); lua_next(L, contents); lua_pop(L, 1)) {
		mf_sandbox_charge(L, 1);
		n++;
	}
	return n;
}

/* Push a table with the sorted keys of the table at @contents. */
static size_t push_sorted_keys(lua_State *L, int contents)
{
	struct key small[SMALL_KEYS], *keys = small;
	size_t n = count_keys(L, contents), i = 0, log = 1;

	if (n > SMALL_KEYS)
		keys = lua_newuserdatauv(L, n * sizeof(*keys), 0);
	else
		lua_pushnil(L);
	for (lua_pushnil(L); lua_next(L, contents);
	     lua_pop(L, 1), i++) // n times: nothing ran since
		read_key(L, -2, &keys[i]);
	while (n >> log)
		log++;
	mf_sandbox_charge(L, n * log * KEY_STEPS);
	qsort(keys, n, sizeof(*keys), compare_void);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		push_key(L, &keys[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_remove(L, -2);
	return n;
}

/* Upvalues: contents, sorted keys, position, mark. */
static int next_sorted(lua_State *L)
{
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));

	for (;;) {
		mf_sandbox_charge(L, KEY_STEPS);
		lua_settop(L, 0);
		if (lua_rawgeti(L, lua_upvalueindex(2), ++i) == LUA_TNIL)
			return 1;
		lua_pushvalue(L, 1);
		if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
			break; // else it was removed while the loop ran
	}
	lua_pushinteger(L, i);
	lua_replace(L, lua_upvalueindex(3));
	return 2;
}

/* A table that is a sequence and nothing else needs no sorting. */
static bool is_sequence(lua_State *L, int contents)
{
	size_t len = lua_rawlen(L, contents);

	if (len == 0) {
		lua_pushnil(L);
		if (!lua_next(L, contents))
			return true;
		lua_pop(L, 2);
		return false;
	}
	return count_keys(L, contents) == len;
}

/* Upvalues: contents, mark. Control variable: the index. */
static int next_element(lua_State *L)
{
	lua_Integer i = lua_tointeger(L, 2) + 1;

	lua_pushinteger(L, i);
	if (lua_rawgeti(L, lua_upvalueindex(1), i) != LUA_TNIL)
		return 2;
	lua_pushnil(L);
	return 1;
}

int mf_lib_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
		lua_pushvalue(L, 1);
		lua_call(L, 1, 3);
		return 3;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	mf_frozen_contents(L, 1);
	if (is_sequence(L, 2)) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)&mf_lib_transient);
		lua_pushcclosure(L, next_element, 2);
		lua_pushvalue(L, 1);
		lua_pushinteger(L, 0);
		return 3;
	}
	push_sorted_keys(L, 2);
	lua_pushinteger(L, 0);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&mf_lib_transient);
	lua_pushcclosure(L, next_sorted, 4);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

int mf_lib_next(lua_State *L)
{
	struct key from = { 0 }, best = { 0 }, key;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	mf_frozen_contents(L, 1);
	if (!lua_isnil(L, 2))
		read_key(L, 2, &from);
	for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
		mf_sandbox_charge(L, KEY_STEPS);
		read_key(L, -2, &key);
		if (from.rank && compare_keys(&key, &from) <= 0)
			continue;
		if (!best.rank || compare_keys(&key, &best) < 0)
			best = key;
	}
	if (!best.rank) {
		lua_pushnil(L);
		return 1;
	}
	push_key(L, &best);
	lua_pushvalue(L, -1);
	lua_rawget(L, 3);
	return 2;
}
