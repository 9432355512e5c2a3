/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_forall.c - properties in tests: what must hold for all values of some kind
 *
 *	t:for_all({ name = t:any_name "corp.example", port = { 80, 443 } }, function(x)
 *	  t:connect { host = x.name, port = x.port } :is_denied()
 *	end)
 *
 * Each field is a generator (any_name, any_address, any_path, any_number) or a list, of which one entry is taken. The first
 * round takes the plainest value of each, later ones are chosen by a generator of random numbers whose seed is the test's name
 * and what `policy test --seed` says: a run can be repeated. A failure names the values that made it.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/match/cidr_set.h"
#include "core/policy/sandbox.h"
#include "core/policy/testrun_internal.h"

#define GENERATOR_META "mf.test.generator"
#define FIELDS_MAX     16
#define ROUNDS_MAX     100000
#define BASE_MAX       255

enum generator_type { ANY_NAME, ANY_ADDRESS, ANY_PATH, ANY_NUMBER };

struct generator {
	enum generator_type type;
	char base[BASE_MAX + 1]; /* a domain, a directory; "" for any */
	struct mf_cidr net;	 /* family 0: any */
	lua_Integer low, high;
};

static struct mf_test_run *run_of(lua_State *L)
{
	return mf_sandbox_owner(mf_sandbox_of(L));
}

static struct generator *new_generator(lua_State *L, enum generator_type type)
{
	struct generator *g;

	luaL_checkudata(L, 1, MF_TEST_T_META);
	g = lua_newuserdatauv(L, sizeof(*g), 0);
	*g = (struct generator){ .type = type };
	luaL_setmetatable(L, GENERATOR_META);
	return g;
}

static void take_base(lua_State *L, struct generator *g, const char *what)
{
	size_t len = 0;
	const char *text = luaL_optlstring(L, 2, "", &len);

	if (len > BASE_MAX / 2)
		luaL_error(L, "%s has at most %d bytes", what, BASE_MAX / 2);
	while (len > 1 && text[len - 1] == '/')
		len--;
	memcpy(g->base, text, len);
}

int mf_test_any_name(lua_State *L)
{
	take_base(L, new_generator(L, ANY_NAME), "a domain");
	return 1;
}

int mf_test_any_path(lua_State *L)
{
	struct generator *g = new_generator(L, ANY_PATH);

	take_base(L, g, "a directory");
	if (g->base[0] && g->base[0] != '/')
		return luaL_error(L, "any_path needs an absolute directory");
	return 1;
}

int mf_test_any_address(lua_State *L)
{
	struct generator *g = new_generator(L, ANY_ADDRESS);
	size_t len = 0;
	const char *text = luaL_optlstring(L, 2, "", &len);

	if (len && mf_cidr_parse(text, len, &g->net) < 0)
		return luaL_error(L, "any_address needs a network such as \"10.0.0.0/8\"");
	return 1;
}

int mf_test_any_number(lua_State *L)
{
	struct generator *g = new_generator(L, ANY_NUMBER);

	g->low = luaL_checkinteger(L, 2);
	g->high = luaL_checkinteger(L, 3);
	if (g->low > g->high)
		return luaL_error(L, "any_number(low, high) needs low <= high");
	return 1;
}

/* --- values ----------------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *rng)
{
	*rng += UINT64_C(0x9e3779b97f4a7c15);
	return mf_hash_mix(*rng, UINT64_C(0xe7037ed1a0b428db));
}

static uint32_t below(uint64_t *rng, uint32_t n)
{
	return (uint32_t)((draw(rng) >> 32) * n >> 32);
}

#define ONE_OF(list, rng) ((list)[below(rng, (uint32_t)MF_ARRAY_SIZE(list))])

static void add_label(uint64_t *rng, char *text, size_t size)
{
	static const char *const known[] = { "a",   "www",    "api", "mail",	  "xn--bcher-kva",
					     "x-1", "_dmarc", "0",   "localhost", "cdn" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = strlen(text), len = 1 + below(rng, 14);

	if (below(rng, 3) == 0) {
		snprintf(text + n, size - n, "%s", ONE_OF(known, rng));
		return;
	}
	for (size_t i = 0; i < len && n + 1 < size; i++)
		text[n++] = letters[below(rng, (uint32_t)sizeof(letters) - 1)];
	text[n] = '\0';
}

static void push_name(lua_State *L, const struct generator *g, unsigned round, uint64_t *rng)
{
	static const char *const tops[] = { "example", "com", "org", "test", "internal", "co.uk" };
	const char *base = g->base[0] ? g->base : round ? ONE_OF(tops, rng) : "a.example";
	unsigned labels = round == 0 ? 0 : round == 1 ? 1 : below(rng, 4) + !g->base[0];
	char text[512] = "";

	for (unsigned i = 0; i < labels && strlen(text) < 100; i++) {
		add_label(rng, text, 200);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ".");
	}
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", base);
	lua_pushstring(L, text);
}

static void push_path(lua_State *L, const struct generator *g, unsigned round, uint64_t *rng)
{
	static const char *const known[] = { ".env",   ".git", "src", "node_modules", "a b",
					     "id_rsa", ".ssh", "..x", "\xc3\xbc",     "main.c" };
	unsigned parts = round == 0 ? !g->base[0] : round == 1 ? 1 : below(rng, 5);
	char text[1024];

	snprintf(text, sizeof(text), "%s", strcmp(g->base, "/") == 0 ? "" : g->base);
	for (unsigned i = 0; i < parts; i++) {
		size_t n = strlen(text);

		text[n++] = '/';
		text[n] = '\0';
		if (below(rng, 2))
			snprintf(text + n, sizeof(text) - n, "%s", ONE_OF(known, rng));
		else
			add_label(rng, text, n + 20);
	}
	lua_pushstring(L, text[0] ? text : "/");
}

static void push_address(lua_State *L, const struct generator *g, unsigned round, uint64_t *rng)
{
	static const char *const nets[] = { "0.0.0.0/0",      "10.0.0.0/8", "127.0.0.0/8", "::/0",
					    "169.254.0.0/16", "fd00::/8",   "2000::/3" };
	struct mf_cidr net = g->net;
	const char *text;
	char buf[MF_ADDR_TEXT_MAX];

	if (!net.addr.family) {
		text = round ? ONE_OF(nets, rng) : "203.0.113.7";
		(void)mf_cidr_parse(text, strlen(text), &net);
	}
	for (unsigned bit = net.bits; bit < (net.addr.family == 4 ? 32u : 128u); bit++)
		if (round == 1 || (round > 1 && draw(rng) >> 63))
			net.addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	lua_pushstring(L, mf_addr_format(&net.addr, buf, sizeof(buf)));
}

static void push_number(lua_State *L, const struct generator *g, unsigned round, uint64_t *rng)
{
	uint64_t span = (uint64_t)g->high - (uint64_t)g->low + 1;
	uint64_t at = span ? draw(rng) % span : draw(rng);

	lua_pushinteger(L, round == 0	? g->low
			   : round == 1 ? g->high
					: (lua_Integer)((uint64_t)g->low + at));
}

/* A value of the generator or list on top, in its place. */
static void draw_value(lua_State *L, const char *field, unsigned round, uint64_t *rng)
{
	const struct generator *g = luaL_testudata(L, -1, GENERATOR_META);
	lua_Unsigned n;

	if (!g && lua_type(L, -1) == LUA_TTABLE) {
		(void)mf_frozen_contents(L, lua_gettop(L)); /* pushes what it holds */
		n = lua_rawlen(L, -1);
		if (n == 0 || n > UINT32_MAX)
			luaL_error(L, "for_all: the list of %s is empty", field);
		lua_rawgeti(L, -1, 1 + (lua_Integer)(round ? below(rng, (uint32_t)n) : 0));
		lua_replace(L, -3);
		lua_pop(L, 1);
		return;
	}
	if (!g)
		luaL_error(L,
			   "for_all: %s must be a list of values, or t:any_name(), any_address(), "
			   "any_path(), any_number(), not %s",
			   field, luaL_typename(L, -1));
	if (g->type == ANY_NAME)
		push_name(L, g, round, rng);
	else if (g->type == ANY_PATH)
		push_path(L, g, round, rng);
	else if (g->type == ANY_ADDRESS)
		push_address(L, g, round, rng);
	else
		push_number(L, g, round, rng);
	lua_replace(L, -2);
}

/* --- rounds ----------------------------------------------------------------------------------------------------------- */

/* The names of the fields in @fields (the stack's index), sorted: a table's own order is not for repeating. */
static size_t field_names(lua_State *L, int fields, const char *names[FIELDS_MAX])
{
	size_t cnt = 0;

	for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1)) {
		size_t at = cnt;

		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "for_all: the fields have names, as { name = t:any_name() }");
		if (cnt == FIELDS_MAX)
			luaL_error(L, "for_all: more than %d fields", FIELDS_MAX);
		for (; at > 0 && strcmp(names[at - 1], lua_tostring(L, -2)) > 0; at--)
			names[at] = names[at - 1];
		names[at] = lua_tostring(L, -2);
		cnt++;
	}
	return cnt;
}

/* The value on top, for people. */
static void describe(lua_State *L, struct mf_strbuf *b, const char *name)
{
	mf_strbuf_addf(b, "%s%s = ", b->len ? ", " : "", name);
	if (lua_type(L, -1) == LUA_TSTRING)
		mf_strbuf_addf(b, "\"%s\"", lua_tostring(L, -1));
	else if (lua_isinteger(L, -1))
		mf_strbuf_addf(b, "%lld", (long long)lua_tointeger(L, -1));
	else if (lua_type(L, -1) == LUA_TBOOLEAN)
		mf_strbuf_adds(b, lua_toboolean(L, -1) ? "true" : "false");
	else
		mf_strbuf_addf(b, "(a %s)", luaL_typename(L, -1));
}

/* for_all(t, fields, body) */
int mf_test_for_all(lua_State *L)
{
	struct mf_test_run *run = run_of(L);
	const char *names[FIELDS_MAX];
	unsigned rounds = run->report->rounds ? run->report->rounds : MF_TEST_ROUNDS;
	uint64_t rng = run->report->seed + mf_hash_bytes(run->name, strlen(run->name), 1);
	size_t cnt;
	int fields;

	luaL_checkudata(L, 1, MF_TEST_T_META);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checktype(L, 3, LUA_TFUNCTION);
	lua_settop(L, 3);
	luaL_checkstack(L, 16, NULL);
	(void)mf_frozen_contents(L, 2);
	fields = lua_gettop(L);
	cnt = field_names(L, fields, names);
	for (unsigned round = 0; round < rounds && round < ROUNDS_MAX; round++) {
		mf_strbuf_clear(&run->inputs);
		lua_pushvalue(L, 3);
		lua_createtable(L, 0, (int)cnt);
		for (size_t i = 0; i < cnt; i++) {
			lua_pushstring(L, names[i]);
			lua_pushvalue(L, -1);
			lua_rawget(L, fields);
			draw_value(L, names[i], round, &rng);
			describe(L, &run->inputs, names[i]);
			lua_rawset(L, -3);
		}
		mf_strbuf_addf(&run->inputs, " (round %u of %u)", round + 1, rounds);
		lua_call(L, 1, 0);
	}
	mf_strbuf_clear(&run->inputs);
	return 0;
}

void mf_bind_test_generators(lua_State *L)
{
	luaL_newmetatable(L, GENERATOR_META);
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}
