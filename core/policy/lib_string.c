/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_string.c - string functions (Lua 5.4 manual, 6.4), and arithmetic on strings that are numbers
 *
 * Letters are ASCII, whatever the locale. Not there: dump (bytecode), pack, packsize and unpack (policies see no binary
 * data). Every function is charged for the bytes that it looks at or makes.
 */
#include "core/policy/lib_buf.h"
#include "core/policy/lib_pattern.h"

#define VALUES_MAX 4096 /* results of one byte() */

size_t mf_lib_start(lua_Integer pos, size_t len)
{
	if (pos > 0)
		return (size_t)pos;
	if (pos == 0 || pos < -(lua_Integer)len)
		return 1;
	return len + (size_t)pos + 1;
}

/* The 1-based place that an end index means: at most @len. */
static size_t find_end(lua_Integer pos, size_t len)
{
	if (pos > (lua_Integer)len)
		return len;
	if (pos >= 0)
		return (size_t)pos;
	return pos < -(lua_Integer)len ? 0 : len + (size_t)pos + 1;
}

static int str_len(lua_State *L)
{
	size_t len;

	luaL_checklstring(L, 1, &len);
	lua_pushinteger(L, (lua_Integer)len);
	return 1;
}

static int str_sub(lua_State *L)
{
	size_t len, from, to;
	const char *s = luaL_checklstring(L, 1, &len);

	from = mf_lib_start(luaL_checkinteger(L, 2), len);
	to = find_end(luaL_optinteger(L, 3, -1), len);
	if (from > to) {
		lua_pushliteral(L, "");
		return 1;
	}
	mf_sandbox_charge(L, 1 + (to - from) / 64);
	lua_pushlstring(L, s + from - 1, to - from + 1);
	return 1;
}

/* Push a text of the length of the one at 1, each byte made by @map from the byte at the same place, or mirrored. */
static int map_bytes(lua_State *L, char (*map)(char), bool mirror)
{
	size_t len, i;
	const char *s = luaL_checklstring(L, 1, &len);
	struct mf_buf b;
	char *out;

	mf_sandbox_charge(L, 1 + len / 16);
	mf_buf_init(L, &b);
	out = mf_buf_reserve(L, &b, len);
	for (i = 0; i < len; i++)
		out[i] = map(s[mirror ? len - 1 - i : i]);
	b.len = len;
	mf_buf_push(L, &b);
	return 1;
}

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static char to_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static char to_same(char c)
{
	return c;
}

static int str_lower(lua_State *L)
{
	return map_bytes(L, to_lower, false);
}

static int str_upper(lua_State *L)
{
	return map_bytes(L, to_upper, false);
}

static int str_reverse(lua_State *L)
{
	return map_bytes(L, to_same, true);
}

static int str_rep(lua_State *L)
{
	size_t len, sep_len, unit, total, done;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &sep_len);
	struct mf_buf b;
	char *out;

	unit = len + sep_len;
	if (n <= 0 || unit == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	mf_buf_init(L, &b);
	// Each factor first, so that the product cannot wrap around.
	if ((uint64_t)n > b.max + 1 || unit > 2 * b.max || (uint64_t)n * unit - sep_len > b.max)
		mf_sandbox_fail(L, MF_E_LIMIT, "a string longer than the limit");
	total = (size_t)n * unit - sep_len;
	mf_sandbox_charge(L, 1 + total / 64);
	out = mf_buf_reserve(L, &b, total);
	memcpy(out, s, len);
	if (n > 1)
		memcpy(out + len, sep, sep_len);
	for (done = unit; done < total; done *= 2) // what is there once more
		memcpy(out + done, out, done < total - done ? done : total - done);
	b.len = total;
	mf_buf_push(L, &b);
	return 1;
}

static int str_byte(lua_State *L)
{
	size_t len, from, to, i;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer first = luaL_optinteger(L, 2, 1);

	from = mf_lib_start(first, len);
	to = find_end(luaL_optinteger(L, 3, first), len);
	if (from > to)
		return 0;
	if (to - from >= VALUES_MAX)
		return luaL_error(L, "string slice too long");
	mf_sandbox_charge(L, 1 + (to - from));
	luaL_checkstack(L, (int)(to - from + 1), "string slice too long");
	for (i = from; i <= to; i++)
		lua_pushinteger(L, (unsigned char)s[i - 1]);
	return (int)(to - from + 1);
}

static int str_char(lua_State *L)
{
	int i, n = lua_gettop(L);
	struct mf_buf b;

	mf_sandbox_charge(L, 1 + (uint64_t)n);
	mf_buf_init(L, &b);
	for (i = 1; i <= n; i++) {
		lua_Unsigned c = (lua_Unsigned)luaL_checkinteger(L, i);

		luaL_argcheck(L, c <= 255, i, "value out of range");
		mf_buf_addc(L, &b, (char)c);
	}
	mf_buf_push(L, &b);
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Arithmetic: in 5.4 the string metatable does what the VM did before                                                */

static bool push_number(lua_State *L, int idx)
{
	size_t len;
	const char *s;

	if (lua_type(L, idx) == LUA_TNUMBER) {
		lua_pushvalue(L, idx);
		return true;
	}
	s = lua_tolstring(L, idx, &len);
	if (s)
		mf_sandbox_charge(L, 1 + len / 16);
	return s && lua_stringtonumber(L, s) == len + 1;
}

/* Upvalues: operation, event. */
static int arithmetic(lua_State *L)
{
	int op = (int)lua_tointeger(L, lua_upvalueindex(1)), type;

	lua_settop(L, 2);
	if (push_number(L, 1) && push_number(L, 2)) {
		lua_arith(L, op);
		return 1;
	}
	lua_settop(L, 2);
	lua_pushvalue(L, lua_upvalueindex(2));
	type = lua_type(L, 2);
	if (type == LUA_TSTRING || !luaL_getmetafield(L, 2, lua_tostring(L, 3)))
		return luaL_error(L, "attempt to perform arithmetic on a %s value",
				  luaL_typename(L, type == LUA_TSTRING ? 1 : 2));
	lua_insert(L, 1);
	lua_settop(L, 3);
	lua_call(L, 2, 1);
	return 1;
}

static void open_arithmetic(lua_State *L)
{
	static const struct {
		const char *event;
		int op;
	} ops[] = { { "__add", LUA_OPADD },  { "__sub", LUA_OPSUB }, { "__mul", LUA_OPMUL },
		    { "__mod", LUA_OPMOD },  { "__pow", LUA_OPPOW }, { "__div", LUA_OPDIV },
		    { "__idiv", LUA_OPIDIV } };
	size_t i;

	for (i = 0; i < MF_ARRAY_SIZE(ops); i++) {
		lua_pushinteger(L, ops[i].op);
		lua_pushstring(L, ops[i].event);
		lua_pushcclosure(L, arithmetic, 2);
		lua_setfield(L, -2, ops[i].event);
	}
}

static int negate(lua_State *L)
{
	if (!push_number(L, 1))
		return luaL_error(L, "attempt to perform arithmetic on a string value");
	lua_arith(L, LUA_OPUNM);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "byte", str_byte },	     { "char", str_char },
	{ "find", mf_lib_find },     { "format", mf_lib_format },
	{ "gmatch", mf_lib_gmatch }, { "gsub", mf_lib_gsub },
	{ "len", str_len },	     { "lower", str_lower },
	{ "match", mf_lib_match },   { "rep", str_rep },
	{ "reverse", str_reverse },  { "sub", str_sub },
	{ "upper", str_upper },	     { NULL, NULL },
};

void mf_lib_open_string(lua_State *L)
{
	luaL_newlib(L, functions);
	lua_pushliteral(L, "");
	lua_createtable(L, 0, 9);
	open_arithmetic(L);
	lua_pushcfunction(L, negate);
	lua_setfield(L, -2, "__unm");
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}
