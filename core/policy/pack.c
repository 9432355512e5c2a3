/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - see pack.h */
#include "core/policy/pack.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/agentsh.h"
#include "core/policy/files.h"
#include "core/policy/pack_files.h"
#include "core/policy/sandbox.h"
#include "core/policy/semver.h"

bool mf_pack_is_policy_name(const char *name)
{
	if (mf_agentsh_is_name(name))
		return true;
	return mf_file_name_ends(name, ".lua") && !mf_file_name_ends(name, "_test.lua") &&
	       strcmp(name, "pack.lua") != 0;
}

void mf_pack_done(struct mf_pack *p)
{
	for (size_t i = 0; i < p->policy_cnt; i++)
		free(p->policies[i]);
	p->policy_cnt = 0;
}

static void take_text(lua_State *L, const char *key, char *buf, size_t size)
{
	size_t len;
	const char *str;

	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "%s must be a string, not %s", key, luaL_typename(L, -1));
	str = lua_tolstring(L, -1, &len);
	if (len == 0 || len >= size || strlen(str) != len)
		luaL_error(L, "%s must have 1 to %d characters", key, (int)size - 1);
	memcpy(buf, str, len + 1);
}

static void take_needs(lua_State *L)
{
	unsigned want_major, want_minor, major = 0, minor = 0;
	char text[32], tail;

	take_text(L, "needs", text, sizeof(text));
	if (sscanf(text, "%u.%u%c", &want_major, &want_minor, &tail) != 2)
		luaL_error(L,
			   "needs must be \"MAJOR.MINOR\", the oldest Moonfence that will do, not "
			   "\"%s\"",
			   text);
	(void)sscanf(mf_version(), "%u.%u", &major, &minor);
	if (want_major > major || (want_major == major && want_minor > minor))
		luaL_error(L, "needs Moonfence %s, this is %s", text, mf_version());
}

static void take_policies(lua_State *L, struct mf_pack *p)
{
	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "policies must be a list of file names");
	(void)mf_frozen_contents(L, lua_gettop(L));
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
		char name[MF_SOURCE_NAME_MAX];

		take_text(L, "an item of policies", name, sizeof(name));
		if (!mf_pack_is_policy_name(name))
			luaL_error(L,
				   "policies[%d] \"%s\" must end in .lua, .yaml or .yml and not be "
				   "a test",
				   (int)i, name);
		if (p->policy_cnt == MF_PACK_POLICIES_MAX)
			luaL_error(L, "policies has more than %d items", MF_PACK_POLICIES_MAX);
		p->policies[p->policy_cnt] = strdup(name);
		if (!p->policies[p->policy_cnt])
			luaL_error(L, "out of memory");
		p->policy_cnt++;
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
}

bool mf_pack_is_device(const char *name)
{
	static const char *const devices[] = { "con", "prn", "aux", "nul" };
	size_t len = strcspn(name, ".");

	for (size_t i = 0; len == 3 && i < MF_ARRAY_SIZE(devices); i++)
		if (strncmp(name, devices[i], 3) == 0)
			return true;
	return len == 4 && (strncmp(name, "com", 3) == 0 || strncmp(name, "lpt", 3) == 0) &&
	       name[3] >= '0' && name[3] <= '9';
}

bool mf_pack_is_id(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.");

	return len > 0 && len <= MF_PACK_NAME_MAX && name[len] == '\0' && !strchr("-_.", name[0]) &&
	       name[len - 1] != '.' && !mf_pack_is_device(name);
}

static void take_channel(lua_State *L, struct mf_pack *p)
{
	take_text(L, "channel", p->channel, sizeof(p->channel));
	if (!mf_pack_is_id(p->channel))
		luaL_error(L,
			   "channel \"%s\": lower-case letters, digits, \"-\", \"_\" and \".\", "
			   "such as \"stable\"",
			   p->channel);
}

static int compare_requires(const void *a, const void *b)
{
	return strcmp(((const struct mf_pack_require *)a)->name,
		      ((const struct mf_pack_require *)b)->name);
}

/* { ["base-rules"] = "^1.2", other = ">=2 <4" } */
static void take_requires(lua_State *L, struct mf_pack *p)
{
	struct mf_semver_range range;
	struct mf_err err = { 0 };

	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "requires must be a table: pack = \"range of versions\"");
	(void)mf_frozen_contents(L, lua_gettop(L));
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		struct mf_pack_require *q = &p->requires[p->require_cnt];
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";

		if (!mf_pack_is_id(name))
			luaL_error(L, "requires: keys are names of packs, found \"%s\"", name);
		if (p->require_cnt == MF_PACK_REQUIRES_MAX)
			luaL_error(L, "requires has more than %d packs", MF_PACK_REQUIRES_MAX);
		snprintf(q->name, sizeof(q->name), "%s", name);
		take_text(L, "a range of requires", q->range, sizeof(q->range));
		if (mf_semver_range_parse(q->range, &range, &err) < 0)
			luaL_error(L, "requires[\"%s\"]: %s", name, err.msg);
		p->require_cnt++;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	if (p->require_cnt)
		qsort(p->requires, p->require_cnt, sizeof(*p->requires), compare_requires);
}

/* { "data/trackers.txt" } */
static void take_compile(lua_State *L, struct mf_pack *p)
{
	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "compile must be a list of files with names of domains");
	(void)mf_frozen_contents(L, lua_gettop(L));
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
		if (p->compile_cnt == MF_PACK_COMPILE_MAX)
			luaL_error(L, "compile has more than %d items", MF_PACK_COMPILE_MAX);
		take_text(L, "an item of compile", p->compile[p->compile_cnt],
			  sizeof(p->compile[0]));
		p->compile_cnt++;
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
}

static void take_pack_key(lua_State *L, struct mf_pack *p, const char *key)
{
	char tier[16];

	if (strcmp(key, "name") == 0) {
		take_text(L, key, p->name, sizeof(p->name));
	} else if (strcmp(key, "version") == 0) {
		take_text(L, key, p->version, sizeof(p->version));
	} else if (strcmp(key, "needs") == 0) {
		take_needs(L);
	} else if (strcmp(key, "tier") == 0) {
		take_text(L, key, tier, sizeof(tier));
		if (strcmp(tier, "mandatory") != 0 && strcmp(tier, "normal") != 0)
			luaL_error(L, "tier must be \"normal\" or \"mandatory\", not \"%s\"", tier);
		p->tier = strcmp(tier, "normal") == 0;
	} else if (strcmp(key, "order") == 0) {
		if (!lua_isinteger(L, -1))
			luaL_error(L, "order must be an integer");
		p->order = lua_tointeger(L, -1);
	} else if (strcmp(key, "channel") == 0) {
		take_channel(L, p);
	} else if (strcmp(key, "compile") == 0) {
		take_compile(L, p);
	} else if (strcmp(key, "requires") == 0) {
		take_requires(L, p);
	} else if (strcmp(key, "policies") == 0) {
		take_policies(L, p);
	} else if (strcmp(key, "description") != 0) {
		luaL_error(L,
			   "unknown key \"%s\"; a pack has name, version, channel, description, "
			   "needs, "
			   "requires, tier, order, policies and compile",
			   key);
	}
}

static int read_pack_table(lua_State *L)
{
	struct mf_pack *p = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, p->ref);
	if (lua_type(L, -1) != LUA_TTABLE)
		return luaL_error(L, "%s must return a table", p->file);
	(void)mf_frozen_contents(L, lua_gettop(L));
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return luaL_error(L, "keys must be names, found %s", luaL_typename(L, -2));
		take_pack_key(L, p, lua_tostring(L, -2));
		lua_pop(L, 1);
	}
	return 0;
}

int mf_pack_read(const char *dir, struct mf_pack *p, struct mf_err *err)
{
	return mf_pack_read_sealed(dir, NULL, p, err);
}

int mf_pack_read_sealed(const char *dir, const struct mf_pack_files *files, struct mf_pack *p,
			struct mf_err *err)
{
	struct mf_sandbox_options options = { .memory = (size_t)1 << 20,
					      .clock = &mf_clock_system };
	struct mf_sandbox_limits limits = { .steps = 1000000, .time_ns = MF_NS_PER_S };
	struct mf_sandbox_source chunk = { 0 };
	struct mf_sandbox *sb = NULL;
	char path[PATH_MAX], *text = NULL;
	struct mf_err why = { 0 };
	int r;

	if (snprintf(path, sizeof(path), "%s/pack.lua", dir) >= (int)sizeof(path))
		return mf_err_set(err, MF_E_LIMIT, "the path of %.200s... is too long", dir);
	p->file = path;
	r = mf_file_read_below(dir, "pack.lua", MF_SOURCE_FILE_MAX, &text, &chunk.len, err);
	if (r == 0)
		r = mf_pack_files_check(files, dir, "pack.lua", text, chunk.len, err);
	if (r < 0)
		goto out;
	chunk.name = path;
	chunk.text = text;
	r = mf_sandbox_new(&options, &sb, err);
	if (r == 0)
		r = mf_sandbox_seal(sb, err);
	if (r == 0)
		r = mf_sandbox_load(sb, &limits, &chunk, &p->ref, err);
	if (r < 0)
		goto out;
	r = mf_sandbox_call(sb, &limits, read_pack_table, p, &why);
	if (r < 0)
		mf_err_at(err, r, path, why.line, 0, "%s", why.msg);
out:
	mf_sandbox_free(sb);
	free(text);
	p->file = NULL;
	if (r < 0)
		mf_pack_done(p);
	return r;
}
