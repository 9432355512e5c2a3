/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_request.c - what a hook gets: q.name, c.process.name, s.session.labels.team, q:under(set), c:port_in{443}
 *
 * One userdata for each kind, made at load. A view has no state of its own: it stands for the request that is being
 * decided. Outside a hook, or for a hook of another kind, every use of it is an error.
 *
 * The __index of a view looks the key up in a table from names to field numbers, methods and inner views.
 */
#include <stdlib.h>
#include <string.h>

#include "core/policy/state.h"

static struct mf_vm_state *running(lua_State *L)
{
	struct mf_vm_state *s = mf_state_of(L);

	if (!s || !s->run.active)
		luaL_error(L, "a request can be read only inside the hook that it was given to");
	return s;
}

static void push_list(lua_State *L, const struct mf_value *v)
{
	const char *item;
	size_t pos = 0, len;
	lua_Integer i = 0;

	lua_createtable(L, (int)v->num, 0);
	while ((item = mf_list_next(v, &pos, &len))) {
		lua_pushlstring(L, item, len);
		lua_rawseti(L, -2, ++i);
	}
}

static void push_value(lua_State *L, const struct mf_value *v)
{
	char text[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;

	switch ((enum mf_type)v->type) {
	case MF_T_STR:
		lua_pushlstring(L, (const char *)v->ptr, v->len);
		return;
	case MF_T_INT:
		lua_pushinteger(L, v->num);
		return;
	case MF_T_BOOL:
		lua_pushboolean(L, v->num != 0);
		return;
	case MF_T_ADDR:
		memcpy(&addr, v->ptr, sizeof(addr));
		lua_pushstring(L, mf_addr_format(&addr, text, sizeof(text)));
		return;
	case MF_T_LIST:
		push_list(L, v);
		return;
	case MF_T_NIL:
	case MF_TYPE_NUM:
		break;
	}
	lua_pushnil(L);
}

/* --- views ------------------------------------------------------------------------------------------------------- */

/* Raise for a key that the view does not have: name those it has. Upvalue 1 is its table of names. */
static int unknown_key(lua_State *L, const char *what)
{
	const char *names[96], *key, *near;
	size_t n = 0, i, j;
	luaL_Buffer b;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "%s has no field of type %s", what, luaL_typename(L, 2));
	key = lua_tostring(L, 2);
	for (lua_pushnil(L); lua_next(L, lua_upvalueindex(1)); lua_pop(L, 1))
		if (n < MF_ARRAY_SIZE(names) - 1)
			names[n++] = lua_tostring(L, -2);
	for (i = 1; i < n; i++)
		for (j = i; j > 0 && strcmp(names[j - 1], names[j]) > 0; j--) {
			const char *swap = names[j];

			names[j] = names[j - 1];
			names[j - 1] = swap;
		}
	names[n] = NULL;
	near = mf_word_nearest(key, names);
	luaL_buffinit(L, &b);
	for (i = 0; i < n; i++) {
		luaL_addstring(&b, i ? ", " : "");
		luaL_addstring(&b, names[i]);
	}
	luaL_pushresult(&b);
	return luaL_error(L, "%s has no field '%s'%s%s%s; it has: %s", what, key,
			  near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "",
			  lua_tostring(L, -1));
}

/* __index of request, process and session views. Upvalues: names, what it is called. */
static int view_index(lua_State *L)
{
	struct mf_vm_state *s = running(L);
	struct mf_box *box = lua_touserdata(L, 1);
	struct mf_value v;

	if (box->type == MF_BOX_REQUEST && box->kind != s->ask.req->kind)
		return luaL_error(L, "this is the request of another hook");
	lua_settop(L, 2);
	lua_pushvalue(L, 2);
	lua_rawget(L, lua_upvalueindex(1));
	if (lua_type(L, 3) == LUA_TNUMBER) {
		v = mf_run_read(s, (enum mf_field)lua_tointeger(L, 3));
		push_value(L, &v);
		return 1;
	}
	if (lua_isnil(L, 3))
		return unknown_key(L, lua_tostring(L, lua_upvalueindex(2)));
	return 1;
}

static int labels_index(lua_State *L)
{
	struct mf_vm_state *s = running(L);
	struct mf_value v;
	const char *key;
	size_t len;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "a label's key is a string, not a %s", luaL_typename(L, 2));
	key = lua_tolstring(L, 2, &len);
	v = mf_run_label(L, s, key, len);
	push_value(L, &v);
	return 1;
}

static int view_newindex(lua_State *L)
{
	return luaL_error(L, "requests are read-only");
}

static int view_tostring(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	return 1;
}

/* --- predicates -------------------------------------------------------------------------------------------------- */

/* Every method of a view; its upvalue is the enum mf_pred_op. */
static int view_predicate(lua_State *L)
{
	enum mf_pred_op op = (enum mf_pred_op)lua_tointeger(L, lua_upvalueindex(1));
	struct mf_vm_state *s = running(L);
	struct mf_box *box = mf_box_at(L, 1, MF_BOX_REQUEST);
	struct mf_arg *arg = NULL;

	if (!box || box->kind != s->ask.req->kind)
		return luaL_error(L, "%s: call it on the request, with a colon: x:%s(...)",
				  mf_pred_names[op], mf_pred_names[op]);
	/* Work in C is not seen by the instruction count: a lookup counts as a few. */
	mf_sandbox_charge(L, 10);
	if (op != MF_P_TO_PRIVATE && op != MF_P_MATCHES_DNS)
		arg = mf_take_arg(L, 2, s, (enum mf_kind)box->kind, op);
	lua_pushboolean(L, mf_run_pred(L, s, op, arg));
	return 1;
}

static bool kind_has_pred(enum mf_kind kind, enum mf_pred_op op)
{
	switch (op) {
	case MF_P_TO:
	case MF_P_TO_PRIVATE:
	case MF_P_PORT_IN:
		return kind == MF_CONNECT || kind == MF_SNI;
	case MF_P_MATCHES_DNS:
		return kind == MF_SNI;
	case MF_P_BETWEEN:
	case MF_PRED_NUM:
		return false;
	default:
		return true;
	}
}

/* --- making them ------------------------------------------------------------------------------------------------- */

static struct mf_box *push_box(lua_State *L, enum mf_box_type type, unsigned kind)
{
	struct mf_box *box = lua_newuserdatauv(L, sizeof(*box), 0);

	*box = (struct mf_box){ .type = (uint32_t)type, .kind = kind };
	return box;
}

/* Give the userdata below the table of names on top its metatable; pops the table. */
static void set_view_meta(lua_State *L, const char *what)
{
	int names = lua_gettop(L);

	lua_createtable(L, 0, 5);
	lua_pushvalue(L, names);
	lua_pushstring(L, what);
	lua_pushcclosure(L, view_index, 2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, view_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushstring(L, what);
	lua_pushcclosure(L, view_tostring, 1);
	lua_setfield(L, -2, "__tostring");
	lua_pushstring(L, what);
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, names - 1);
	lua_settop(L, names - 1);
}

/* Add the fields whose names begin with @prefix, without it, to the table on top. */
static void add_fields(lua_State *L, enum mf_kind kind, const char *prefix)
{
	size_t n = strlen(prefix);
	const char *name;
	int f;

	for (f = 0; f < MF_F_NUM; f++) {
		name = mf_field_table[f].name;
		if (!(mf_field_table[f].kinds >> kind & 1) || strncmp(name, prefix, n) != 0 ||
		    strchr(name + n, '.'))
			continue;
		lua_pushinteger(L, f);
		lua_setfield(L, -2, name + n);
	}
}

static void push_labels(lua_State *L)
{
	push_box(L, MF_BOX_LABELS, 0);
	lua_createtable(L, 0, 0);
	set_view_meta(L, "session.labels");
	lua_getmetatable(L, -1);
	lua_pushcfunction(L, labels_index);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

/* Leaves process and session on the stack; they serve every kind. */
static void push_inner_views(lua_State *L)
{
	push_box(L, MF_BOX_PROCESS, 0);
	lua_newtable(L);
	add_fields(L, MF_DNS, "process.");
	set_view_meta(L, "process");
	push_box(L, MF_BOX_SESSION, 0);
	lua_newtable(L);
	add_fields(L, MF_DNS, "session.");
	push_labels(L);
	lua_setfield(L, -2, "labels");
	set_view_meta(L, "session");
}

void mf_bind_request(lua_State *L, struct mf_vm_state *s)
{
	int process, session, kind, op;
	char what[32];

	push_inner_views(L);
	session = lua_gettop(L);
	process = session - 1;
	for (kind = 0; kind < MF_KIND_NUM; kind++) {
		push_box(L, MF_BOX_REQUEST, (unsigned)kind);
		lua_newtable(L);
		add_fields(L, (enum mf_kind)kind, "");
		lua_pushstring(L, mf_kind_name((enum mf_kind)kind));
		lua_setfield(L, -2, "kind");
		lua_pushvalue(L, process);
		lua_setfield(L, -2, "process");
		lua_pushvalue(L, session);
		lua_setfield(L, -2, "session");
		if (kind == MF_DNS_ANSWER) {
			push_box(L, MF_BOX_REQUEST, MF_DNS_ANSWER);
			lua_newtable(L);
			add_fields(L, MF_DNS_ANSWER, "answer.");
			set_view_meta(L, "answer");
			lua_setfield(L, -2, "answer");
		}
		for (op = 0; op < MF_PRED_NUM; op++) {
			if (!kind_has_pred((enum mf_kind)kind, (enum mf_pred_op)op))
				continue;
			lua_pushinteger(L, op);
			lua_pushcclosure(L, view_predicate, 1);
			lua_setfield(L, -2, mf_pred_names[op]);
		}
		lua_pushfstring(L, "%s request", mf_kind_name((enum mf_kind)kind));
		strncpy(what, lua_tostring(L, -1), sizeof(what) - 1);
		what[sizeof(what) - 1] = '\0';
		lua_pop(L, 1);
		set_view_meta(L, what);
		s->view_refs[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_pop(L, 2);
}
