/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freeze.c - what outlives a call is made immutable (sandbox.h: mf_sandbox_freeze)
 *
 * How it works
 *
 * Lua has no read-only tables, but it asks the metatable about keys that are not there. So a frozen table T keeps its
 * identity and nothing else: its contents move to a shadow S that no policy can reach, and T gets
 *
 *	{ __index = S, __newindex = refuse, __len = length of S, __metatable = what getmetatable(T) showed before }
 *
 * Reading T.x stays in the VM, one table further. The rest of the policy's own metatable U is folded in: other events are
 * copied, an __index table goes behind S (S gets a metatable { __index = U.__index }), an __index function is called by
 * a C function that has looked into S first, so that it gets T and never S. What looks at a table without its metatable
 * (next, pairs, rawget, rawlen) goes through mf_frozen_contents().
 *
 * A frozen table that is used as a metatable would be empty for the VM: setmetatable() therefore sets its shadow, and
 * getmetatable() gives the frozen table back (mf_frozen_as_metatable, mf_frozen_of_metatable; the registry has the way
 * back in a table with weak keys).
 *
 * Everything reachable is walked: keys, values, metatables, upvalues. Lua functions are checked for assignments to
 * variables that outlive the call (purity.c). Coroutines and running iterators are state, so they are refused.
 */
#include "core/policy/sandbox_internal.h"

#include <string.h>

#define STEPS_OBJECT 8
#define STEPS_FIELD  4
#define STACK_ROOM   16

/* Marks C closures that hold the state of an iteration (MF_LIB_TRANSIENT). */
const char mf_lib_transient;

/* Its address is the registry key of: shadow used as a metatable -> the frozen table that policies see. */
static const char metatable_owners;

/* Stack positions of a walk. */
struct walk {
	int queue;  /* objects to look at, 1..tail */
	int seen;   /* object -> true */
	int behind; /* metatable U -> { __index = U.__index }, one for all shadows with that U */
	lua_Integer head, tail;
};

/* ------------------------------------------------------------------------------------------------------------------ */
/* What a frozen table does                                                                                           */

static const char *key_text(lua_State *L, int idx, char *buf, size_t size)
{
	const char *s;

	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		s = lua_tostring(L, idx);
		lua_pushfstring(L, strlen(s) < 64 ? "'%s'" : "a field", s);
		break;
	case LUA_TNUMBER:
		lua_pushvalue(L, idx);
		lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
		break;
	default:
		lua_pushliteral(L, "a field");
	}
	s = lua_tostring(L, -1);
	strncpy(buf, s, size - 1);
	buf[size - 1] = '\0';
	return buf;
}

/* Raise with the place of the innermost Lua function: the change may come through a function of the library. */
static int raise_refusal(lua_State *L, const char *fmt)
{
	lua_Debug ar;
	char key[80];
	int level;

	key_text(L, 2, key, sizeof(key));
	for (level = 1; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline > 0)
			break;
	}
	luaL_where(L, level);
	lua_pushfstring(L, fmt, key);
	lua_concat(L, 2);
	return lua_error(L);
}

static int refuse_change(lua_State *L)
{
	return raise_refusal(L,
			     "cannot change %s: this table outlives the call (state that a policy "
			     "needs is a counter of the "
			     "runtime, see counter())");
}

static int refuse_global(lua_State *L)
{
	return raise_refusal(
		L, "cannot assign global %s: globals outlive the call (use a local variable, "
		   "or for state a "
		   "counter of the runtime, see counter())");
}

static int frozen_len(lua_State *L)
{
	mf_frozen_contents(L, 1);
	lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
	return 1;
}

/* __index of a frozen table whose own metatable has no table there. Upvalues: shadow, function or other value. */
static int frozen_index(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	lua_settop(L, 2);
	if (lua_type(L, lua_upvalueindex(2)) != LUA_TFUNCTION) {
		lua_gettable(L, lua_upvalueindex(2));
		return 1;
	}
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_insert(L, 1);
	lua_call(L, 2, 1);
	return 1;
}

bool mf_is_frozen(lua_State *L, int idx)
{
	lua_CFunction fn;

	if (!lua_getmetatable(L, idx))
		return false;
	lua_pushliteral(L, "__newindex");
	lua_rawget(L, -2);
	fn = lua_tocfunction(L, -1);
	lua_pop(L, 2);
	return fn == refuse_change || fn == refuse_global;
}

bool mf_frozen_contents(lua_State *L, int idx)
{
	if (!mf_is_frozen(L, idx)) {
		lua_pushvalue(L, idx);
		return false;
	}
	lua_getmetatable(L, idx);
	lua_pushliteral(L, "__index");
	lua_rawget(L, -2);
	if (lua_isfunction(L, -1)) {
		lua_getupvalue(L, -1, 1);
		lua_remove(L, -2);
	}
	lua_remove(L, -2);
	return true;
}

/* Push registry[&metatable_owners], made when it is missing. */
static void push_owners(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_owners) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_owners);
}

void mf_frozen_as_metatable(lua_State *L, int idx)
{
	idx = lua_absindex(L, idx);
	if (!mf_frozen_contents(L, idx))
		return;
	push_owners(L);
	lua_pushvalue(L, -2);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pushvalue(L, -3);
		lua_pushvalue(L, idx);
		lua_rawset(L, -4);
	}
	lua_pop(L, 2);
}

/* Replace the metatable on top of the stack by what a policy may see of it; Return: true when it was a shadow */
bool mf_frozen_of_metatable(lua_State *L)
{
	push_owners(L);
	lua_pushvalue(L, -2);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pop(L, 2);
		return false;
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
	return true;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The walk                                                                                                           */

static void enqueue(lua_State *L, struct walk *w, int idx)
{
	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		mf_sandbox_keep_string(L, lua_rawlen(L, idx));
		return;
	case LUA_TTABLE:
	case LUA_TFUNCTION:
	case LUA_TUSERDATA:
	case LUA_TTHREAD:
		break;
	default:
		return;
	}
	lua_pushvalue(L, idx);
	if (lua_rawget(L, w->seen) == LUA_TNIL) {
		lua_pushvalue(L, idx < 0 ? idx - 1 : idx);
		lua_pushboolean(L, 1);
		lua_rawset(L, w->seen);
		lua_pushvalue(L, idx < 0 ? idx - 1 : idx);
		lua_rawseti(L, w->queue, ++w->tail);
	}
	lua_pop(L, 1);
}

/* Move all fields of the table at @t to the one at @shadow. */
static void move_fields(lua_State *L, struct walk *w, int t, int shadow)
{
	for (lua_pushnil(L); lua_next(L, t);) {
		mf_sandbox_charge(L, STEPS_FIELD);
		enqueue(L, w, -2);
		enqueue(L, w, -1);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, shadow); // shadow[k] = v
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, t); // t[k] = nil, which a traversal allows
	}
}

static bool is_refused_event(const char *name)
{
	return strcmp(name, "__gc") == 0 || strcmp(name, "__close") == 0 ||
	       strcmp(name, "__mode") == 0;
}

static bool is_replaced_event(const char *name)
{
	return strcmp(name, "__index") == 0 || strcmp(name, "__newindex") == 0 ||
	       strcmp(name, "__metatable") == 0;
}

/* Copy the events of @from, the contents of the policy's metatable, to @meta. */
static void copy_events(lua_State *L, int from, int meta)
{
	const char *name;

	for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1)) {
		mf_sandbox_charge(L, 1);
		if (lua_type(L, -2) != LUA_TSTRING)
			continue;
		name = lua_tostring(L, -2);
		if (strncmp(name, "__", 2) != 0 || is_replaced_event(name))
			continue;
		if (is_refused_event(name))
			luaL_error(L, "a metatable of a policy cannot have '%s'", name);
		lua_pushvalue(L, -2);
		lua_pushvalue(L, -2);
		lua_rawset(L, meta);
	}
}

/* meta.__index for the shadow at @shadow and the events at @from; the metatable itself, as the policy sees it, at @user */
static void set_index(lua_State *L, struct walk *w, int meta, int shadow, int from, int user)
{
	lua_pushliteral(L, "__index");
	lua_rawget(L, from);
	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		lua_pop(L, 1);
		lua_pushvalue(L, shadow);
		break;
	case LUA_TTABLE:
		lua_pushvalue(L, user);
		if (lua_rawget(L, w->behind) == LUA_TNIL) {
			lua_pop(L, 1);
			lua_createtable(L, 0, 1);
			lua_pushvalue(L, -2);
			lua_setfield(L, -2, "__index");
			lua_pushvalue(L, user);
			lua_pushvalue(L, -2);
			lua_rawset(L, w->behind);
		}
		lua_setmetatable(L, shadow);
		lua_pop(L, 1);
		lua_pushvalue(L, shadow);
		break;
	default:
		lua_pushvalue(L, shadow);
		lua_insert(L, -2);
		lua_pushcclosure(L, frozen_index, 2);
	}
	lua_setfield(L, meta, "__index");
}

/* Fold the policy's metatable, on top of the stack, into @meta. */
static void fold_metatable(lua_State *L, struct walk *w, int meta, int shadow)
{
	int user, from;

	lua_pushvalue(L, -1);
	if (mf_frozen_of_metatable(L)) { // set as a shadow: its owner is frozen already
		user = lua_gettop(L);
		from = user - 1;
	} else {
		user = lua_gettop(L);
		enqueue(L, w, user);
		mf_frozen_contents(L, user);
		from = lua_gettop(L);
	}
	mf_sandbox_of(L)->kept_metas++;
	copy_events(L, from, meta);
	set_index(L, w, meta, shadow, from, user);
	lua_pushliteral(L, "__metatable");
	if (lua_rawget(L, from) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_pushvalue(L, user);
	}
	enqueue(L, w, -1);
	lua_setfield(L, meta, "__metatable");
}

static void freeze_table(lua_State *L, struct walk *w, int t, lua_CFunction refuse)
{
	int shadow, meta, top = lua_gettop(L);

	if (mf_is_frozen(L, t))
		return;
	mf_sandbox_charge(L, STEPS_OBJECT);
	lua_createtable(L, (int)lua_rawlen(L, t), 0);
	shadow = lua_gettop(L);
	lua_createtable(L, 0, 4);
	meta = lua_gettop(L);
	lua_pushcfunction(L, frozen_len);
	lua_setfield(L, meta, "__len");
	if (lua_getmetatable(L, t)) {
		fold_metatable(L, w, meta, shadow);
	} else {
		lua_pushvalue(L, shadow);
		lua_setfield(L, meta, "__index");
		lua_pushboolean(L, 0);
		lua_setfield(L, meta, "__metatable");
	}
	lua_pushcfunction(L, refuse);
	lua_setfield(L, meta, "__newindex");
	move_fields(L, w, t, shadow);
	lua_pushvalue(L, meta);
	lua_setmetatable(L, t);
	lua_settop(L, top);
}

static void walk_function(lua_State *L, struct walk *w, int fn)
{
	int i;

	mf_sandbox_charge(L, STEPS_OBJECT);
	if (!lua_iscfunction(L, fn))
		mf_purity_check(L, fn);
	for (i = 1; lua_getupvalue(L, fn, i); i++) {
		if (lua_touserdata(L, -1) == &mf_lib_transient)
			luaL_error(L, "the state of an iteration cannot outlive the call");
		enqueue(L, w, -1);
		lua_pop(L, 1);
	}
}

static void walk_userdata(lua_State *L, struct walk *w, int idx)
{
	int i, type;

	mf_sandbox_charge(L, STEPS_OBJECT);
	if (luaL_getmetafield(L, idx, "__transient") != LUA_TNIL)
		luaL_error(L, "a value of this call cannot outlive it");
	for (i = 1; (type = lua_getiuservalue(L, idx, i)) != LUA_TNONE; i++) {
		if (type == LUA_TTABLE)
			freeze_table(L, w, lua_gettop(L), refuse_change);
		enqueue(L, w, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void freeze(lua_State *L, int idx, lua_CFunction refuse)
{
	struct walk w = { .tail = 0 };
	int top = lua_gettop(L);

	idx = lua_absindex(L, idx);
	luaL_checkstack(L, STACK_ROOM + 16, "freeze");
	lua_newtable(L);
	w.queue = lua_gettop(L);
	lua_newtable(L);
	w.seen = lua_gettop(L);
	lua_newtable(L);
	w.behind = lua_gettop(L);
	if (lua_type(L, idx) == LUA_TTABLE)
		freeze_table(L, &w, idx, refuse);
	enqueue(L, &w, idx);
	while (w.head < w.tail) {
		lua_rawgeti(L, w.queue, ++w.head);
		lua_pushnil(L); // the queue gives its places back
		lua_rawseti(L, w.queue, w.head);
		switch (lua_type(L, -1)) {
		case LUA_TTABLE:
			freeze_table(L, &w, lua_gettop(L), refuse_change);
			break;
		case LUA_TFUNCTION:
			walk_function(L, &w, lua_gettop(L));
			break;
		case LUA_TUSERDATA:
			walk_userdata(L, &w, lua_gettop(L));
			break;
		default:
			luaL_error(L, "a coroutine cannot outlive the call: it would keep state");
		}
		lua_pop(L, 1);
	}
	lua_settop(L, top);
}

void mf_sandbox_freeze(lua_State *L, int idx)
{
	freeze(L, idx, refuse_change);
}

void mf_freeze_globals(lua_State *L, int idx)
{
	freeze(L, idx, refuse_global);
}
