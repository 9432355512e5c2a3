/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_match.c - sets that a policy declares while it loads (domains, networks, ports), and the arguments of predicates
 *
 * A declared set is a userdata that stands for an argument (predicate.h). A string or a list given to a predicate is
 * compiled on its first use and found again by its text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "core/policy/shared_sets.h"
#include "core/policy/state.h"

#define SETS_MAX 4096
#define LIST_MAX 4096 /* items of a list that is given to a predicate */

/* Its address is the registry key of the sets' metatable: an upvalue of a global would be frozen. */
static const char set_meta;

static const char *const set_names[] = {
	[MF_A_DOMAINS] = "domains",
	[MF_A_NETS] = "networks",
	[MF_A_PORTS] = "ports",
};

/* --- declared sets ------------------------------------------------------------------------------------------------ */

/* Put an argument into the state's list, which owns it, and push its userdata. */
static void push_set(lua_State *L, struct mf_vm_state *s, struct mf_arg *arg)
{
	struct mf_box *box = lua_newuserdatauv(L, sizeof(*box), 0);

	*box = (struct mf_box){ .type = MF_BOX_SET, .kind = arg->type, .ptr = arg };
	s->sets[s->set_cnt++] = arg;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &set_meta);
	lua_setmetatable(L, -2);
}

/* Raise unless a set may be made now. */
static struct mf_vm_state *loading(lua_State *L, const char *what)
{
	struct mf_vm_state *s = mf_state_of(L);
	struct mf_arg **sets;

	if (!s || !s->loading)
		luaL_error(
			L,
			"%s{...}: sets are made while a policy loads; keep it in a local variable "
			"outside of the hooks",
			what);
	if (s->set_cnt >= SETS_MAX)
		luaL_error(L, "%s{...}: more than %d sets", what, SETS_MAX);
	if (!s->sets) {
		sets = calloc(SETS_MAX, sizeof(struct mf_arg *));
		if (!sets)
			luaL_error(L, "out of memory");
		s->sets = sets;
	}
	return s;
}

/* A builder of one of the three kinds; freed here on any failure, raised by the caller. */
struct making {
	int type; /* enum mf_arg_type */
	struct mf_domain_set_builder *domains;
	struct mf_cidr_set_builder *nets;
	struct mf_port_set ports;
	struct mf_err err;
};

static int make_begin(struct making *m)
{
	const struct mf_domain_set_options options = { .canon = mf_name_canon };

	if (m->type == MF_A_DOMAINS)
		return mf_domain_set_builder_new(&options, &m->domains, &m->err);
	if (m->type == MF_A_NETS)
		return mf_cidr_set_builder_new(0, &m->nets, &m->err);
	return 0;
}

static void make_drop(struct making *m)
{
	if (m->type == MF_A_DOMAINS)
		mf_domain_set_builder_free(m->domains);
	else if (m->type == MF_A_NETS)
		mf_cidr_set_builder_free(m->nets);
	else
		mf_port_set_done(&m->ports);
}

static int make_add(struct making *m, const char *text, size_t len)
{
	if (m->type == MF_A_DOMAINS) {
		/* The spellings of a list file: "name", "*.name", "=name". */
		if (len > 2 && text[0] == '*' && text[1] == '.')
			return mf_domain_set_builder_add(m->domains, text + 2, len - 2,
							 MF_DOMAIN_BELOW, 0, &m->err);
		if (len > 1 && text[0] == '=')
			return mf_domain_set_builder_add(m->domains, text + 1, len - 1,
							 MF_DOMAIN_EXACT, 0, &m->err);
		return mf_domain_set_builder_add(m->domains, text, len, MF_DOMAIN_UNDER, 0,
						 &m->err);
	}
	if (m->type == MF_A_NETS)
		return mf_cidr_set_builder_add_text(m->nets, text, len, 0, &m->err);
	return mf_port_set_add_text(&m->ports, text, len, &m->err);
}

/* Each line of a file without its comment and blanks. */
static int make_add_lines(struct making *m, const char *name, const char *text, size_t len)
{
	const char *end = text + len, *line = text, *stop, *hash;
	unsigned number = 1;
	int r;

	if (m->type == MF_A_DOMAINS)
		return mf_domain_set_builder_add_text(m->domains, text, len, name, 0, &m->err);
	for (; line < end; line = stop + 1, number++) {
		stop = memchr(line, '\n', (size_t)(end - line));
		if (!stop)
			stop = end;
		hash = memchr(line, '#', (size_t)(stop - line));
		len = (size_t)((hash ? hash : stop) - line);
		while (len && strchr(" \t\r", line[len - 1]))
			len--;
		for (; len && strchr(" \t", *line); line++)
			len--;
		if (!len)
			continue;
		r = make_add(m, line, len);
		if (r < 0) {
			m->err.line = number;
			snprintf(m->err.file, sizeof(m->err.file), "%s", name);
			return r;
		}
	}
	return 0;
}

static int make_end(struct making *m, struct mf_arg *arg)
{
	int r;

	if (m->type == MF_A_DOMAINS) {
		r = mf_domain_set_builder_seal(m->domains, &arg->domains, &m->err);
		m->domains = NULL;
		return r;
	}
	if (m->type == MF_A_NETS) {
		r = mf_cidr_set_builder_seal(m->nets, &arg->nets, &m->err);
		m->nets = NULL;
		return r;
	}
	arg->ports = m->ports;
	m->ports = (struct mf_port_set)MF_PORT_SET_INIT;
	return 0;
}

/* Add the list at index 1. Raises nothing: what it reads was checked before. */
static int make_add_list(lua_State *L, struct making *m, lua_Integer n)
{
	const char *text;
	size_t len;
	lua_Integer i;
	int r = 0;

	for (i = 1; i <= n && r == 0; i++) {
		lua_geti(L, 1, i);
		text = lua_tolstring(L, -1, &len);
		r = make_add(m, text, len);
		lua_pop(L, 1);
	}
	return r;
}

/* A set that is nothing but a file: mf_shared_build_fn. */
static int build_from_file(void *ctx, struct mf_arg *arg, const char *text, size_t len,
			   struct mf_err *err)
{
	struct making m = { .type = arg->type };
	int r;

	/* Used where it lies: the bytes stay as long as the set. */
	if (arg->type == MF_A_DOMAINS && mf_domain_set_is_image(text, len))
		return mf_domain_set_open_image(text, len, &arg->domains, err);
	r = make_begin(&m);
	if (r == 0)
		r = make_add_lines(&m, ctx, text, len);
	if (r == 0)
		r = make_end(&m, arg);
	if (r < 0) {
		make_drop(&m);
		*err = m.err;
	}
	return r;
}

/* Fill @arg from the list at index 1 and the data file @file (may be NULL). Return: as the builders, with m->err */
static int make_fill(lua_State *L, struct mf_vm_state *s, struct making *m, struct mf_arg *arg,
		     lua_Integer n, char *file)
{
	const char *text = NULL;
	size_t len = 0;
	int r = 0;

	if (file)
		r = mf_policy_source_data(s->loading->source, file, &text, &len, &m->err);
	if (r == 0 && file && n && m->type == MF_A_DOMAINS && mf_domain_set_is_image(text, len))
		return mf_err_set(
			&m->err, MF_E_INVAL,
			"%s is a compiled list, which takes no further names: make two sets", file);
	if (r == 0 && file && n == 0 && s->config->sets)
		return mf_shared_sets_get(s->config->sets, arg, text, len, build_from_file, file,
					  &m->err);
	if (r == 0 && file && n == 0)
		return build_from_file(file, arg, text, len, &m->err);
	if (r == 0)
		r = make_begin(m);
	if (r == 0)
		r = make_add_list(L, m, n);
	if (r == 0 && file)
		r = make_add_lines(m, file, text, len);
	return r == 0 ? make_end(m, arg) : r;
}

/* Raise unless every item is a string (or, for ports, a whole number). */
static void check_items(lua_State *L, const char *what, lua_Integer n, bool numbers)
{
	lua_Integer i;
	int type;

	for (i = 1; i <= n; i++) {
		type = lua_geti(L, 1, i);
		if (type != LUA_TSTRING && !(numbers && lua_isinteger(L, -1)))
			luaL_error(L, "%s{...}: item %I is a %s; expected a string%s", what,
				   (LUAI_UACINT)i, luaL_typename(L, -1),
				   numbers ? " or a whole number" : "");
		lua_pop(L, 1);
		mf_sandbox_charge(L, 4);
	}
}

/* domains{...}, networks{...}, ports{...}; upvalue: enum mf_arg_type. */
static int set_new(lua_State *L)
{
	static const char *const keys[] = { "file", NULL };
	struct making m = { .type = (int)lua_tointeger(L, lua_upvalueindex(1)) };
	const char *what = set_names[m.type], *file, *src;
	struct mf_vm_state *s = loading(L, what);
	struct mf_arg *arg;
	char title[160], path[4097], *name = NULL;
	lua_Integer n;
	unsigned line;
	int r;

	if (lua_type(L, 1) == LUA_TSTRING) {
		lua_createtable(L, 1, 0);
		lua_pushvalue(L, 1);
		lua_rawseti(L, -2, 1);
		lua_replace(L, 1);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	n = mf_check_keys(L, 1, what, keys);
	check_items(L, what, n, m.type == MF_A_PORTS);
	file = mf_opt_string(L, 1, what, "file", 4096);
	if (file) {
		snprintf(path, sizeof(path), "%s", file);
		name = path;
	}
	mf_sandbox_where(L, &src, &line);
	snprintf(title, sizeof(title), "%s{%s%.64s%s} of line %u", what, file ? "file=\"" : "...",
		 file ? file : "", file ? "\"" : "", line);
	/* From here to the end nothing raises, so that nothing is lost. */
	arg = mf_arg_wrap((enum mf_arg_type)m.type, title);
	if (arg)
		r = make_fill(L, s, &m, arg, n, name);
	else
		r = mf_err_set(&m.err, MF_E_NOMEM, "out of memory");
	if (r < 0) {
		make_drop(&m);
		if (arg)
			mf_arg_unref(s->preds, arg);
		if (m.err.file[0] && m.err.line)
			return luaL_error(L, "%s{...}: %s:%d: %s", what, m.err.file,
					  (int)m.err.line, m.err.msg);
		return luaL_error(L, "%s{...}: %s", what, m.err.msg);
	}
	push_set(L, s, arg);
	mf_sandbox_check_time(L);
	return 1;
}

/* set:has(text): a pure function of its argument. */
static int set_has(lua_State *L)
{
	struct mf_box *box = mf_box_at(L, 1, MF_BOX_SET);
	const char *text;
	size_t len;
	int r;

	if (!box)
		return luaL_error(L, "has: call it with a colon: set:has(\"...\")");
	if (lua_isnoneornil(L, 2)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	text = luaL_checklstring(L, 2, &len);
	mf_sandbox_charge(L, 10);
	r = mf_arg_has(box->ptr, text, len);
	if (r < 0)
		return luaL_error(L, "%s:has: '%s' is not %s", set_names[box->kind], text,
				  box->kind == MF_A_NETS ? "an address" : "a port");
	lua_pushboolean(L, r);
	return 1;
}

static int set_len(lua_State *L)
{
	struct mf_box *box = mf_box_at(L, 1, MF_BOX_SET);
	const struct mf_arg *arg = box ? box->ptr : NULL;

	lua_pushinteger(L, !arg			       ? 0
			   : arg->type == MF_A_DOMAINS ? mf_domain_set_count(arg->domains)
			   : arg->type == MF_A_NETS    ? mf_cidr_set_count(arg->nets)
						       : arg->ports.range_cnt);
	return 1;
}

static int set_tostring(lua_State *L)
{
	struct mf_box *box = mf_box_at(L, 1, MF_BOX_SET);

	lua_pushstring(L, box ? ((struct mf_arg *)box->ptr)->text : "set");
	return 1;
}

void mf_bind_match(lua_State *L)
{
	static const uint8_t types[] = { MF_A_DOMAINS, MF_A_NETS, MF_A_PORTS };
	size_t i;

	lua_createtable(L, 0, 6);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, set_has);
	lua_setfield(L, -2, "has");
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, set_len);
	lua_setfield(L, -2, "__len");
	lua_pushcfunction(L, set_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "set");
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &set_meta);
	for (i = 0; i < MF_ARRAY_SIZE(types); i++) {
		lua_pushinteger(L, types[i]);
		lua_pushcclosure(L, set_new, 1);
		lua_setfield(L, -2, set_names[types[i]]);
	}
}

/* --- arguments of predicates ---------------------------------------------------------------------------------------- */

/* What a predicate takes: the set that may stand there, and what a string or a list of strings becomes. */
static enum mf_arg_type set_type(enum mf_kind kind, enum mf_pred_op op)
{
	switch (op) {
	case MF_P_TO:
		return MF_A_NETS;
	case MF_P_PORT_IN:
		return MF_A_PORTS;
	case MF_P_UNDER:
		return kind == MF_FILE ? MF_ARG_TYPE_NUM : MF_A_DOMAINS;
	default:
		return MF_ARG_TYPE_NUM;
	}
}

static enum mf_arg_type text_type(enum mf_kind kind, enum mf_pred_op op, bool list)
{
	switch (op) {
	case MF_P_IS:
	case MF_P_UNDER:
		if (kind == MF_FILE)
			return list ? MF_A_PATHS : MF_A_PATH;
		return list ? MF_A_DOMAINS : MF_A_NAME;
	case MF_P_TO:
		return MF_A_NETS;
	case MF_P_PORT_IN:
		return MF_A_PORTS;
	case MF_P_GLOB:
		return list ? MF_ARG_TYPE_NUM : MF_A_GLOB;
	case MF_P_REGEX:
		return list ? MF_ARG_TYPE_NUM : MF_A_REGEX;
	default:
		return MF_ARG_TYPE_NUM;
	}
}

/* What of the predicate, beside its text, decides how the argument is compiled. */
static unsigned arg_flags(enum mf_kind kind, enum mf_pred_op op, enum mf_arg_type type)
{
	if (type == MF_A_GLOB || type == MF_A_REGEX)
		return (kind == MF_FILE ? (unsigned)MF_FILE : (unsigned)MF_DNS) << 8;
	return type == MF_A_DOMAINS ? (unsigned)op : 0;
}

/* Push the items of the list at @idx, one a line. */
static void push_lines(lua_State *L, int idx, enum mf_pred_op op)
{
	static const char *const keys[] = { NULL };
	lua_Integer n = mf_check_keys(L, idx, mf_pred_names[op], keys), i;
	const char *text;
	luaL_Buffer b;
	size_t len;
	int type;

	if (n > LIST_MAX)
		luaL_error(L, "%s: the list has more than %d items; declare a set",
			   mf_pred_names[op], LIST_MAX);
	luaL_buffinit(L, &b);
	for (i = 1; i <= n; i++) {
		type = lua_geti(L, idx, i);
		if (type != LUA_TSTRING && !(op == MF_P_PORT_IN && lua_isinteger(L, -1)))
			luaL_error(L, "%s: item %I of the list is a %s", mf_pred_names[op],
				   (LUAI_UACINT)i, luaL_typename(L, -1));
		text = lua_tolstring(L, -1, &len);
		if (memchr(text, '\n', len))
			luaL_error(L, "%s: item %I of the list has a line break", mf_pred_names[op],
				   (LUAI_UACINT)i);
		luaL_addvalue(&b);
		if (i < n)
			luaL_addchar(&b, '\n');
	}
	luaL_pushresult(&b);
}

struct mf_arg *mf_take_arg(lua_State *L, int idx, struct mf_vm_state *s, enum mf_kind kind,
			   enum mf_pred_op op)
{
	enum mf_arg_type type;
	struct mf_box *box = mf_box_at(L, idx, MF_BOX_SET);
	struct mf_arg *arg;
	struct mf_err err;
	const char *text;
	unsigned flags;
	size_t len;

	if (box && (int)box->kind == (int)set_type(kind, op))
		return mf_arg_ref(box->ptr);
	switch (lua_type(L, idx)) {
	case LUA_TNUMBER:
		if (op != MF_P_PORT_IN || !lua_isinteger(L, idx))
			goto wrong;
		lua_pushvalue(L, idx);
		type = MF_A_PORTS;
		break;
	case LUA_TSTRING:
		lua_pushvalue(L, idx);
		type = text_type(kind, op, false);
		break;
	case LUA_TTABLE:
		type = text_type(kind, op, true);
		if (type == MF_ARG_TYPE_NUM)
			goto wrong;
		push_lines(L, idx, op);
		break;
	default:
		goto wrong;
	}
	text = lua_tolstring(L, -1, &len);
	flags = arg_flags(kind, op, type);
	arg = mf_arg_find(s->preds, type, flags, text, len);
	if (!arg) {
		/* Compiling is some hundred times the work of a lookup. */
		mf_sandbox_charge(L, 200 + len);
		if (mf_arg_make(s->preds, type, flags, text, len, &arg, &err) < 0)
			luaL_error(L, "%s: %s", mf_pred_names[op], err.msg);
	}
	lua_pop(L, 1);
	return arg;
wrong:
	luaL_error(L, "%s does not take a %s", mf_pred_names[op],
		   box ? set_names[box->kind] : luaL_typename(L, idx));
	return NULL;
}
