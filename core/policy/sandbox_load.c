/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_load.c - from source text to a frozen value: compile, run, require
 *
 * Each chunk runs in a table of globals of its own, behind which stand the globals that all share. A module is a chunk
 * like any other, loaded once per policy, and frozen before the policy gets it.
 */
#include "core/policy/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 64 /* bytes handed to the parser between two looks at the clock */

struct mf_sandbox_load {
	const struct mf_sandbox_source *source; /* whose find() resolves require() */
	int modules_ref;	 /* name -> value, or false while it is being loaded */
	int ref;		 /* the result */
	mf_sandbox_take_fn take; /* NULL: nobody */
	void *take_ctx;
};

/* Names of loaded chunks: Lua cuts long ones in messages. */
struct mf_sandbox_name {
	struct mf_sandbox_name *next;
	char shown[LUA_IDSIZE];
	char name[]; /* NUL-terminated */
};

struct reader {
	const char *text;
	size_t len;
	unsigned line; /* that the parser has come to */
};

static const char *read_piece(lua_State *L, void *ctx, size_t *size)
{
	struct reader *r = ctx;
	const char *piece = r->text;
	size_t i;

	mf_sandbox_check_time(L);
	*size = r->len < PIECE ? r->len : PIECE;
	for (i = 0; i < *size; i++)
		r->line += r->text[i] == '\n';
	r->text += *size;
	r->len -= *size;
	return *size ? piece : NULL;
}

const char *mf_sandbox_find_file(lua_State *L, const char *shown, size_t len)
{
	const struct mf_sandbox_name *n;

	for (n = mf_sandbox_of(L)->names; n; n = n->next) {
		if (strlen(n->shown) == len && memcmp(n->shown, shown, len) == 0)
			return n->name;
	}
	return NULL;
}

const char *mf_sandbox_shown(lua_State *L, const char *name)
{
	const struct mf_sandbox_name *n;

	for (n = mf_sandbox_of(L)->names; n; n = n->next) {
		if (strcmp(n->name, name) == 0)
			return n->shown;
	}
	return name;
}

void mf_sandbox_free_names(struct mf_sandbox *sb)
{
	struct mf_sandbox_name *n;

	while ((n = sb->names)) {
		sb->names = n->next;
		free(n);
	}
}

/* What Lua shows of a name: all of it, or three dots and its end (luaO_chunkid() of Lua does the same). */
static void shorten(const char *name, char *ret, size_t size)
{
	size_t len = strlen(name);

	if (len < size)
		snprintf(ret, size, "%s", name);
	else
		snprintf(ret, size, "...%s", name + len - (size - 4));
}

/* Keep @name; where memory is short the message has the short form only. */
static void keep_name(struct mf_sandbox *sb, const char *name)
{
	struct mf_sandbox_name *n;
	char shown[LUA_IDSIZE];

	shorten(name, shown, sizeof(shown));
	if (mf_sandbox_find_file(sb->L, shown, strlen(shown)))
		return;
	n = malloc(sizeof(*n) + strlen(name) + 1);
	if (!n)
		return;
	memcpy(n->shown, shown, sizeof(shown));
	memcpy(n->name, name, strlen(name) + 1);
	n->next = sb->names;
	sb->names = n;
}

/* Push the function that @source is. */
static void compile(lua_State *L, const struct mf_sandbox_source *source)
{
	struct reader r = { source->text, source->len, 1 };
	char shown[LUA_IDSIZE];
	const char *msg;

	if (source->len > MF_SANDBOX_SOURCE_MAX)
		luaL_error(L, "%s: a policy file may have at most %d bytes", source->name,
			   (int)MF_SANDBOX_SOURCE_MAX);
	keep_name(mf_sandbox_of(L), source->name);
	lua_pushfstring(L, "@%s", source->name);
	if (lua_load(L, read_piece, &r, lua_tostring(L, -1), "t") != LUA_OK) {
		mf_sandbox_stopped(L);
		mf_sandbox_of(L)->syntax = true;
		shorten(source->name, shown, sizeof(shown));
		msg = lua_tostring(L, -1);
		// Where the parser's own limits are reached, or bytecode refused, Lua names no place.
		if (msg && strncmp(msg, shown, strlen(shown)) != 0)
			lua_pushfstring(L, "%s:%d: %s", shown, (int)r.line, msg);
		lua_error(L);
	}
	lua_remove(L, -2);
	mf_purity_lint(L, lua_gettop(L));
}

/* Push the metatable that puts the shared globals behind a table: their contents themselves, so one link less. */
static void push_behind(lua_State *L)
{
	lua_createtable(L, 0, 2);
	mf_sandbox_push_globals(L);
	mf_frozen_contents(L, lua_gettop(L));
	lua_setfield(L, -3, "__index");
	lua_pop(L, 1);
	lua_pushboolean(L, 0); // getmetatable() would open a way to the contents
	lua_setfield(L, -2, "__metatable");
}

static void push_environment(lua_State *L)
{
	lua_newtable(L);
	push_behind(L);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
}

static void freeze_environment(lua_State *L, int env)
{
	lua_pushnil(L); // the walk must not come to the contents of the shared globals
	lua_setmetatable(L, env);
	mf_freeze_globals(L, env);
	mf_frozen_contents(L, env);
	push_behind(L);
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

/* Compile and run @source in an environment of its own; pushes its one result, frozen. @take: NULL, or whose takes first */
static void run_chunk(lua_State *L, const struct mf_sandbox_source *source,
		      const struct mf_sandbox_load *take)
{
	int env;

	luaL_checkstack(L, 8, "too many modules");
	push_environment(L);
	env = lua_gettop(L);
	compile(L, source);
	lua_pushvalue(L, env);
	lua_setupvalue(L, -2, 1);
	lua_call(L, 0, 1);
	if (take && take->take)
		take->take(L, take->take_ctx);
	freeze_environment(L, env);
	mf_sandbox_freeze(L, -1);
	lua_remove(L, env);
}

int mf_lib_require(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct mf_sandbox_load *load = mf_sandbox_of(L)->load;
	const struct mf_sandbox_source *source;

	if (!load)
		return luaL_error(L, "require '%s': only while a policy is loaded", name);
	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, load->modules_ref);
	if (lua_getfield(L, 2, name) == LUA_TBOOLEAN && !lua_toboolean(L, -1))
		return luaL_error(L, "require '%s': the module requires itself, or failed before",
				  name);
	if (!lua_isnil(L, -1))
		return 1;
	source = load->source->find ? load->source->find(load->source->ctx, name) : NULL;
	if (!source)
		return luaL_error(L,
				  "module '%s' not found: require finds modules of the same pack "
				  "and of the standard library",
				  name);
	if (source->why)
		return luaL_error(L, "require '%s': %s", name, source->why);
	lua_pushboolean(L, 0);
	lua_setfield(L, 2, name);
	run_chunk(L, source, NULL);
	if (lua_isnil(L, -1) || (lua_isboolean(L, -1) && !lua_toboolean(L, -1))) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, 2, name);
	return 1;
}

static int load_policy(lua_State *L)
{
	struct mf_sandbox_load *load = lua_touserdata(L, 1);

	lua_newtable(L);
	load->modules_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	run_chunk(L, load->source, load);
	load->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int mf_sandbox_load(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits,
		    const struct mf_sandbox_source *source, int *ret_ref, struct mf_err *err)
{
	return mf_sandbox_load_taking(sb, limits, source, NULL, NULL, ret_ref, err);
}

int mf_sandbox_load_taking(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits,
			   const struct mf_sandbox_source *source, mf_sandbox_take_fn take,
			   void *ctx, int *ret_ref, struct mf_err *err)
{
	struct mf_sandbox_load load = { source, LUA_NOREF, LUA_NOREF, take, ctx };
	size_t kept_longest = sb->kept_longest;
	unsigned kept_metas = sb->kept_metas;
	int code;

	lua_gc(sb->L, LUA_GCRESTART);
	lua_gc(sb->L, LUA_GCINC, 120, 400, 12); // garbage must not fill the half that calls need
	code = mf_sandbox_run(sb, limits, load_policy, &load, &load, err);
	lua_gc(sb->L, LUA_GCSTOP);
	lua_gc(sb->L, LUA_GCINC, 200, 100, 10);
	luaL_unref(sb->L, LUA_REGISTRYINDEX, load.modules_ref);
	lua_gc(sb->L, LUA_GCCOLLECT);
	if (code == 0 && sb->bytes > sb->hard / 2)
		code = mf_err_at(err, MF_E_MEMORY, source->name, 0, 0,
				 "with this policy %zu bytes stay in memory: what is loaded may "
				 "take half of %zu",
				 sb->bytes, sb->hard);
	if (code == 0) {
		*ret_ref = load.ref;
	} else {
		luaL_unref(sb->L, LUA_REGISTRYINDEX, load.ref);
		lua_gc(sb->L, LUA_GCCOLLECT);
		sb->kept_longest = kept_longest;
		sb->kept_metas = kept_metas;
	}
	sb->floor = sb->bytes;
	return code;
}

static int seal(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	mf_sandbox_push_globals(L);
	mf_freeze_globals(L, -1);
	// Methods of strings come from the contents themselves, one link less.
	lua_pushliteral(L, "");
	if (lua_getmetatable(L, -1)) {
		lua_getfield(L, -1, "__index");
		mf_frozen_contents(L, lua_gettop(L));
		lua_setfield(L, -3, "__index");
	}
	sb->sealed = true;
	return 0;
}

int mf_sandbox_seal(struct mf_sandbox *sb, struct mf_err *err)
{
	struct mf_sandbox_limits limits = { UINT64_MAX, MF_NS_PER_S * 10 };

	return mf_sandbox_call(sb, &limits, seal, NULL, err);
}
