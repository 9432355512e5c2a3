/* SPDX-License-Identifier: Apache-2.0 */
/* bind_now.c - the global now: now.hour, now.weekday, now:between("22:00", "06:00") */
#include <string.h>

#include "core/policy/state.h"

static struct mf_vm_state *running(lua_State *L)
{
	struct mf_vm_state *s = mf_state_of(L);

	if (!s || !s->run.active)
		luaL_error(L, "now: the time can be read only inside a hook");
	return s;
}

static int now_between(lua_State *L)
{
	struct mf_vm_state *s = running(L);
	struct mf_arg *arg;
	struct mf_err err;
	const char *text;
	size_t len;

	if (!mf_box_at(L, 1, MF_BOX_NOW))
		return luaL_error(L,
				  "now: call it with a colon: now:between(\"22:00\", \"06:00\")");
	luaL_checkstring(L, 2);
	luaL_checkstring(L, 3);
	lua_settop(L, 3);
	lua_pushfstring(L, "%s-%s", lua_tostring(L, 2), lua_tostring(L, 3));
	text = lua_tolstring(L, -1, &len);
	arg = mf_arg_find(s->preds, MF_A_BETWEEN, 0, text, len);
	if (!arg && mf_arg_make(s->preds, MF_A_BETWEEN, 0, text, len, &arg, &err) < 0)
		return luaL_error(L, "now:between: %s", err.msg);
	lua_pushboolean(L, mf_run_pred(L, s, MF_P_BETWEEN, arg));
	return 1;
}

static int now_index(lua_State *L)
{
	struct mf_vm_state *s = running(L);
	const char *key = luaL_checkstring(L, 2), *near;
	const char *names[MF_NOW_FIELD_NUM + 2];
	int i;

	for (i = 0; i < MF_NOW_FIELD_NUM; i++) {
		if (strcmp(key, mf_now_field_names[i]) == 0) {
			lua_pushinteger(L, mf_run_time(s, (enum mf_now_field)i));
			return 1;
		}
		names[i] = mf_now_field_names[i];
	}
	if (strcmp(key, "between") == 0) {
		lua_pushvalue(L, lua_upvalueindex(1));
		return 1;
	}
	names[i++] = "between";
	names[i] = NULL;
	near = mf_word_nearest(key, names);
	return luaL_error(L,
			  "now has no field '%s'%s%s%s; it has: year, month, day, hour, minute, "
			  "second, weekday (1 Monday to 7 Sunday), yearday, unix, between",
			  key, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static int now_newindex(lua_State *L)
{
	return luaL_error(L, "now is read-only");
}

static int now_tostring(lua_State *L)
{
	lua_pushliteral(L, "now");
	return 1;
}

void mf_bind_now(lua_State *L)
{
	struct mf_box *box = lua_newuserdatauv(L, sizeof(*box), 0);

	*box = (struct mf_box){ .type = MF_BOX_NOW };
	lua_createtable(L, 0, 5);
	lua_pushcfunction(L, now_between);
	lua_pushcclosure(L, now_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, now_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, now_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "now");
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "now");
}
