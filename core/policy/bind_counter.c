/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_counter.c - counter("name", key):over(100, "1m"), :add(n, "1h"), :sum("1h")
 *
 *	over(n, window [, amount])   counts amount (1) now and tells whether the window's sum is over n
 *	add(amount [, window])       counts
 *	sum([window])                the sum, without counting
 *
 * Without a window a counter counts since the runtime started. Windows: "10s", "5m", "1h", "7d", or seconds.
 * Whatever follows in the hook is asked again each time: counters are never cached.
 */
#include <string.h>

#include "core/policy/state.h"

/* Its address is the registry key of the metatable: an upvalue of a global would be frozen. */
static const char counter_meta;

struct counter_box {
	struct mf_box box;
	uint16_t id_len;
	char id[MF_COUNTER_KEY_MAX];
};

static struct mf_vm_state *running(lua_State *L)
{
	struct mf_vm_state *s = mf_state_of(L);

	if (!s || !s->run.active)
		luaL_error(L, "counter: counters can be used only inside a hook");
	return s;
}

static struct counter_box *check_counter(lua_State *L)
{
	struct counter_box *c = lua_touserdata(L, 1);

	if (lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) != sizeof(*c) ||
	    c->box.type != MF_BOX_COUNTER)
		luaL_error(L, "counter: call it with a colon: counter(\"name\"):over(100, \"1m\")");
	return c;
}

static uint64_t check_window(lua_State *L, int idx)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = { { 's', MF_NS_PER_S },
		      { 'm', 60 * MF_NS_PER_S },
		      { 'h', 3600 * MF_NS_PER_S },
		      { 'd', 86400 * MF_NS_PER_S } };
	const char *text;
	uint64_t n = 0;
	size_t len, i;

	if (lua_isnoneornil(L, idx))
		return 0;
	text = luaL_checklstring(L, idx, &len);
	for (i = 0; i < len && text[i] >= '0' && text[i] <= '9' && n < 100000000; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	if (i == len && len)
		return n * MF_NS_PER_S;
	if (i + 1 == len && i && n)
		for (i = 0; i < MF_ARRAY_SIZE(units); i++)
			if (units[i].unit == text[len - 1] &&
			    n <= MF_COUNTER_WINDOW_MAX / units[i].ns)
				return n * units[i].ns;
	luaL_error(L,
		   "counter: '%s' is no window; expected \"30s\", \"5m\", \"1h\" or \"7d\", at "
		   "most 366d",
		   text);
	return 0;
}

static uint64_t check_amount(lua_State *L, int idx, lua_Integer otherwise)
{
	lua_Integer n = luaL_optinteger(L, idx, otherwise);

	if (n < 0 || n > INT32_MAX)
		luaL_error(L, "counter: an amount is a whole number from 0 to 2147483647");
	return (uint64_t)n;
}

static uint64_t count(lua_State *L, const struct counter_box *c, uint64_t window_ns,
		      uint64_t amount)
{
	struct mf_vm_state *s = running(L);
	uint64_t now = mf_clock_now(&s->config->clock), sum;
	int r;

	mf_run_uncacheable(s, "a counter is asked");
	mf_sandbox_charge(L, 20);
	/* An explanation must not use up anybody's budget. */
	r = mf_counters_add(s->config->counters, c->id, c->id_len, window_ns,
			    s->run.dry ? 0 : amount, now, &sum);
	if (r < 0) {
		s->run.discard = true;
		luaL_error(L, "counter: %s",
			   r == MF_E_FULL ? "there are too many counters with a live window"
					  : mf_strerror(r));
	}
	return s->run.dry ? sum + amount : sum;
}

static int counter_over(lua_State *L)
{
	struct counter_box *c = check_counter(L);
	lua_Integer limit = luaL_checkinteger(L, 2);
	uint64_t window = check_window(L, 3), amount = check_amount(L, 4, 1), sum;

	if (limit < 0)
		return luaL_error(L, "counter: a limit is not negative");
	sum = count(L, c, window, amount);
	lua_pushboolean(L, sum > (uint64_t)limit);
	return 1;
}

static int counter_add(lua_State *L)
{
	struct counter_box *c = check_counter(L);

	if (lua_isnoneornil(L, 2))
		return luaL_error(L, "counter: add() needs an amount");
	count(L, c, check_window(L, 3), check_amount(L, 2, 1));
	return 0;
}

static int counter_sum(lua_State *L)
{
	struct counter_box *c = check_counter(L);
	uint64_t sum = count(L, c, check_window(L, 2), 0);

	lua_pushinteger(L, sum > INT64_MAX ? INT64_MAX : (lua_Integer)sum);
	return 1;
}

static int counter_tostring(lua_State *L)
{
	lua_pushliteral(L, "counter");
	return 1;
}

/* counter(name [, key]): known by policy, name and key. */
static int counter_new(lua_State *L)
{
	struct mf_vm_state *s = running(L);
	size_t name_len, key_len = 0, policy_len;
	const char *policy = s->policies[s->run.policy].name, *name, *key = "";
	struct counter_box *c;
	char *at;

	name = luaL_checklstring(L, 1, &name_len);
	if (!lua_isnoneornil(L, 2)) {
		if (lua_type(L, 2) == LUA_TBOOLEAN)
			key = lua_toboolean(L, 2) ? "true" : "false", key_len = strlen(key);
		else
			key = luaL_checklstring(L, 2, &key_len);
	}
	policy_len = strlen(policy);
	if (name_len == 0 || policy_len + name_len + key_len + 2 > MF_COUNTER_KEY_MAX)
		return luaL_error(
			L, "counter: name and key together have 1 to %d bytes; hash longer keys",
			(int)(MF_COUNTER_KEY_MAX - 2 - policy_len));
	c = lua_newuserdatauv(L, sizeof(*c), 0);
	c->box = (struct mf_box){ .type = MF_BOX_COUNTER };
	at = c->id;
	memcpy(at, policy, policy_len + 1);
	at += policy_len + 1;
	memcpy(at, name, name_len);
	at[name_len] = '\0';
	at += name_len + 1;
	memcpy(at, key, key_len);
	c->id_len = (uint16_t)(policy_len + name_len + key_len + 2);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &counter_meta);
	lua_setmetatable(L, -2);
	return 1;
}

void mf_bind_counter(lua_State *L)
{
	static const luaL_Reg methods[] = { { "over", counter_over },
					    { "add", counter_add },
					    { "sum", counter_sum },
					    { NULL, NULL } };

	lua_createtable(L, 0, 4);
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, counter_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "counter");
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &counter_meta);
	lua_pushcfunction(L, counter_new);
	lua_setfield(L, -2, "counter");
}
