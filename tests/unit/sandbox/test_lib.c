/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lib.c - our library gives what Lua's own gives, and stops where Lua's own would not
 *
 * Most tests compare: the same text runs in the sandbox and in a plain state with Lua's libraries.
 */
#include <lualib.h>
#include <stdlib.h>

#include "util.h"

/* Results of both sides as one text each; errors as "error". */
static void plain_eval(lua_State *L, const char *text, char *ret, size_t size)
{
	size_t len;
	const char *s;

	lua_settop(L, 0);
	if (luaL_loadbuffer(L, text, strlen(text), "@p.lua") != LUA_OK ||
	    lua_pcall(L, 0, 1, 0) != LUA_OK) {
		snprintf(ret, size, "error");
		return;
	}
	s = luaL_tolstring(L, -1, &len);
	snprintf(ret, size, "%s", s);
}

struct both {
	struct box box;
	lua_State *plain;
	char ours[4096], theirs[4096];
};

static int sandbox_eval_fn(lua_State *L)
{
	struct both *t = lua_touserdata(L, 1);
	const char *s;

	lua_rawgeti(L, LUA_REGISTRYINDEX, t->box.ref);
	lua_call(L, 0, 1);
	s = luaL_tolstring(L, -1, NULL);
	snprintf(t->ours, sizeof(t->ours), "%s", s);
	return 0;
}

static void both_open(struct both *t)
{
	box_open(&t->box);
	t->plain = luaL_newstate();
	luaL_openlibs(t->plain);
}

static void both_close(struct both *t)
{
	lua_close(t->plain);
	box_close(&t->box);
}

/* Run "<text>" in both; it ends in a return statement. */
static void compare(struct both *t, const char *text)
{
	char chunk[8192];

	plain_eval(t->plain, text, t->theirs, sizeof(t->theirs));
	snprintf(chunk, sizeof(chunk), "return function() %s\nend", text);
	if (box_load(&t->box, chunk) ||
	    mf_sandbox_call(t->box.sb, LOAD_LIMITS, sandbox_eval_fn, t, &t->box.err))
		snprintf(t->ours, sizeof(t->ours), "error");
	luaL_unref(mf_sandbox_lua(t->box.sb), LUA_REGISTRYINDEX, t->box.ref);
	if (strcmp(t->ours, t->theirs) != 0)
		fail_msg("%s\n  ours:   %s (%s)\n  theirs: %s", text, t->ours, t->box.err.msg,
			 t->theirs);
}

#define ALL                                                                                    \
	"local function all(...) local s = '' for i = 1, select('#', ...) do s = s .. '<' .. " \
	"tostring((select(i, ...))) .. '>' end return s end "

static void library_functions_give_what_lua_gives(void **state)
{
	static const char *const cases[] = {
		/* string */
		"('hello'):sub(2, -2)",
		"('hello'):sub(-100, 100)",
		"('hello'):sub(4, 2)",
		"('hello'):sub(0)",
		"('hello'):sub(math.mininteger, math.maxinteger)",
		"('abc'):byte(1, -1)",
		"('abc'):byte(10)",
		"('abc'):byte()",
		"('abc'):byte(-1)",
		"('abc'):byte(0)",
		"('abc'):byte(0, 1)",
		"string.char(72, 105)",
		"string.char()",
		"string.char(256)",
		"string.char(-1)",
		"('aXbY'):upper() .. ('aXbY'):lower()",
		"('abc'):reverse()",
		"('ab'):rep(3, '-')",
		"('ab'):rep(0)",
		"('ab'):rep(-1)",
		"('ab'):rep(1, 'xx')",
		"(''):rep(1000000)",
		"#('x'):rep(65536)",
		"('x'):len()",
		"'10' + 5",
		"'0x10' * '2'",
		"-'3'",
		"'3' // 2",
		"'7' % '4'",
		"'2' ^ 2",
		"'a' + 1",
		"1 + {}",
		"'1' + {}",
		"'10' / 4",
		"'1e1' - 1",
		/* find and match */
		"('hello world'):find('o w')",
		"('hello'):find('l', 4)",
		"('hello'):find('xyz')",
		"('hello'):find('')",
		"('hello'):find('', 6)",
		"('hello'):find('', 7)",
		"('a.b'):find('.', 1, true)",
		"('a.b'):find('%.')",
		"('hello'):find('(h)(e)(l+)')",
		"('key = value'):match('^(%w+)%s*=%s*(%w+)$')",
		"('x'):match('()')",
		"('abc'):match('((a)(b))')",
		"('[[x]]'):match('%[%[(.-)%]%]')",
		"('f(a(b)c)d'):match('%b()')",
		"('THE (quick) fox'):find('%f[%a]%a+%f[%A]')",
		"('aaa'):match('a-')",
		"('aaa'):match('a-$')",
		"('aaab'):match('^a*b')",
		"('aXb'):match('%u')",
		"('\\0a'):match('%z')",
		"('a\\0b'):find('\\0')",
		"('abab'):match('(ab)%1')",
		"('x'):match('%')",
		"('x'):match('[a')",
		"('x'):match('[a%')",
		"('x'):match('(x')",
		"('x'):match('x)')",
		"('x'):match('%1')",
		"('x'):match('%b')",
		"('x'):match('%f')",
		"(']'):match('[]]')",
		"('a]'):match('[^]]')",
		"('-'):match('[a-]')",
		"('^'):match('[%^]')",
		"('^'):match('[b^]')",
		"('a-z'):match('[a%-z]+')",
		"('x'):find('x', -5)",
		"('$'):find('$', 1, true)",
		"('a$'):match('a$$')",
		"('  trim  '):match('^%s*(.-)%s*$')",
		"('a,b,,c'):gsub(',', ';')",
		"('hello'):gsub('', '-')",
		"('hello'):gsub('l', { l = 'L' })",
		"('hello'):gsub('.', function(c) if c == 'l' then return 'L' end end)",
		"('hello'):gsub('(l)(l)', '%2%1%0%%')",
		"('hello'):gsub('l', '%9')",
		"('hello'):gsub('l', '%')",
		"('hello'):gsub('l', '%x')",
		"('abc'):gsub('%w', '%0%0', 2)",
		"('abc'):gsub('^a', 'x')",
		"('aaa'):gsub('^a', 'x')",
		"('abc'):gsub('b', true)",
		"('abc'):gsub('b', { b = {} })",
		"('abc'):gsub('b', false)",
		"('abc'):gsub('b', { b = false })",
		"('abc'):gsub('b*', 'x')",
		"('abc'):gsub('b', 7)",
		"('abc d'):gsub('%w+', '%0 %0', 1)",
		/* format */
		"('%d %5d|%-5d|%05d'):format(1, 2, 3, 4)",
		"('%s %10s|%-10s|%.2s'):format('a', 'b', 'c', 'def')",
		"('%x %X %#x %o'):format(255, 255, 255, 8)",
		"('%5.2f %e %g %G'):format(3.14159, 1, 1e20, 1e-10)",
		"('%c%c'):format(72, 105)",
		"('%q'):format('a\\nb\\0c\"\\\\\\r1')",
		"('%q %q'):format(1, math.mininteger)",
		"('%q'):format(1.5)",
		"('%q'):format(1/0)",
		"('%q'):format({})",
		"('%i'):format(3.0)",
		"('%d'):format(3.5)",
		"('%d'):format('3')",
		"('%%'):format()",
		"('%'):format()",
		"('%d'):format()",
		"('%y'):format(1)",
		"('%100d'):format(1)",
		"('%.100f'):format(1)",
		"('%s'):format(nil)",
		"('%s'):format(true)",
		"('%5s'):format(true)",
		"('%s'):format(setmetatable({}, { __tostring = function() return 'T' end }))",
		"('%a'):format(1)",
		"('%+d % d'):format(1, 1)",
		"('%#o'):format(8)",
		"('%.3d'):format(5)",
		"('%.20s'):format('abc')",
		"('%.99f'):format(1/3)",
		"('%99.99f'):format(-1e308)",
		"('%-+5d|'):format(3)",
		"('%.f'):format(2.5)",
		/* table */
		"table.concat({ 1, 'b', 2.5 }, ', ')",
		"table.concat({}, 'x')",
		"table.concat({ 1, 2, 3 }, '-', 2, 3)",
		"table.concat({ 1, {} })",
		"table.concat({ 1, 2 }, '', 1, 3)",
		"table.concat({}, '', math.maxinteger - 1, math.maxinteger)",
		"table.unpack({ 1, 2, 3 }, 2)",
		"table.unpack({ 1, 2 }, 1, 4)",
		"table.unpack({}, 1, 1e8)",
		"table.pack(1, nil, 3).n",
		"#table.pack()",
		"(function() local t = { 1, 2, 3 } table.insert(t, 2, 'x') return table.concat(t, "
		"' ') end)()",
		"(function() local t = { 1, 2, 3 } table.insert(t, 5, 'x') end)()",
		"(function() local t = { 1, 2, 3 } table.insert(t, 4, 'x') return #t end)()",
		"(function() local t = { 1, 2, 3 } table.insert(t, 0, 'x') end)()",
		"table.insert({}, 1, 2, 3)",
		"table.insert({})",
		"(function() local t = { 1, 2, 3 } local x = table.remove(t, 1) return x .. "
		"table.concat(t) end)()",
		"(function() local t = { 1, 2, 3 } local x = table.remove(t) return x .. "
		"table.concat(t) end)()",
		"table.remove({})",
		"table.remove({}, 0)",
		"table.remove({}, 1)",
		"table.remove({ 1 }, 2)",
		"table.remove({ 1 }, 3)",
		"table.remove({ 1 }, 0)",
		"table.remove({ [0] = 'z' }, 0)",
		"table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), ',')",
		"table.concat(table.move({ 1, 2, 3 }, 2, 3, 1), ',')",
		"table.concat(table.move({ 1, 2, 3 }, 1, 3, 1, {}), ',')",
		"table.move({}, 1, math.maxinteger, 2)",
		"table.move({}, math.mininteger, 0, 1)",
		"(function() local t = { 3, 1, 2 } table.sort(t) return table.concat(t) end)()",
		"(function() local t = { 'b', 'a', 'C' } table.sort(t, function(a, b) return "
		"a:lower() < b:lower() end) return table.concat(t) end)()",
		"(function() local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) "
		"return table.concat(t) end)()",
		"table.sort({ 1, 'a' })",
		"table.sort({ 1, 2 }, 3)",
		"table.concat(setmetatable({}, { __index = function(_, i) return i end, __len = "
		"function() return 3 end }))",
		"table.insert(nil, 1)",
		"table.insert('x', 1)",
		/* utf8 */
		"utf8.char(72, 228, 8364, 128512)",
		"utf8.len('h\\u{e4}\\u{20ac}')",
		"utf8.len('\\xff')",
		"utf8.codepoint('h\\u{e4}', 1, -1)",
		"utf8.offset('a\\u{e4}b', 3)",
		"(function() local s = '' for p, c in utf8.codes('a\\u{e4}b') do s = s .. p .. ':' "
		".. c .. ' ' end return s end)()",
		"utf8.codepoint('\\xff')",
		"utf8.charpattern",
		/* math */
		"math.floor(3.7) .. math.ceil(3.2) .. math.max(1, 5, 3) .. math.min(2, 1)",
		"math.tointeger('8')",
		"math.tointeger(3.0)",
		"math.type(1) .. math.type(1.0)",
		"math.ult(1, -1)",
		"math.fmod(-5, 3)",
		"math.abs(math.mininteger)",
		"math.pi",
		"math.huge",
		"math.sqrt(2)",
		"5 // 0.0",
		"1 // 0",
		"1 % 0",
		/* base */
		"tonumber('0x1p4')",
		"tonumber('  12  ')",
		"tonumber('1e1')",
		"tonumber('z', 36)",
		"tonumber('8', 8)",
		"tonumber('-ff', 16)",
		"tonumber('')",
		"tonumber('', 10)",
		"tonumber(' -7 ', 10)",
		"tonumber('7a', 10)",
		"tonumber(nil)",
		"tonumber()",
		"tonumber('1\\0')",
		"tonumber({})",
		"tonumber('99999999999999999999')",
		"tonumber('7', 99)",
		"tonumber(7, 10)",
		"select(2, 'a', 'b', 'c')",
		"select(-1, 'a', 'b')",
		"select('#', nil, nil)",
		"select(0)",
		"select(-5, 1)",
		"select(9, 1)",
		"type(nil)",
		"type()",
		"tostring(1e15) .. tostring(2^53) .. tostring(-0.0) .. tostring(1e100) .. "
		"tostring(3) .. tostring(3.0)",
		"tostring()",
		"rawequal('a', 'a')",
		"rawlen({ 1, 2 })",
		"rawlen('abc')",
		"rawlen(5)",
		"rawget({ 7 }, 1)",
		"rawget({}, nil)",
		"rawset({}, 'a', 1).a",
		"rawset({}, nil, 1)",
		"next({})",
		"next({ 5 })",
		"assert(1, 2)",
		"assert(false)",
		"assert(nil, 'm')",
		"assert()",
		"pcall(error, 'x')",
		"pcall(error)",
		"type(select(2, pcall(error, { 1 })))",
		"pcall(error, 'x', 0)",
		"pcall()",
		"pcall(1)",
		"select('#', pcall(error))",
		"pcall(function() return 1, 2, 3 end)",
		"pcall(function() error('m') end)",
		"pcall(function() error('m', 0) end)",
		"pcall(function() error('m', 2) end)",
		"xpcall(function() return 1, 2 end, print)",
		"xpcall(function(...) return ... end, print, 4, 5)",
		"xpcall(error, function(m) return m .. '!' end, 'x')",
		"xpcall(function() error('y', 0) end, function(m) return m, 2 end)",
		"xpcall(1)",
		"pcall(function() setmetatable(1, {}) end)",
		"setmetatable({}, 1)",
		"setmetatable({})",
		"getmetatable(setmetatable({}, { __metatable = 5 }))",
		"pcall(function() setmetatable(setmetatable({}, { __metatable = 5 }), {}) end)",
		"ipairs()",
		"pairs()",

		"(function() local s = 0 for i, v in ipairs({ 1, 2, nil, 4 }) do s = s + v end "
		"return s end)()",
		"(function() local s = '' for k, v in pairs(setmetatable({}, { __pairs = "
		"function() return function(_, k) if not k then return 1, 2 end end, nil, nil end "
		"})) do s = s .. k .. v end return s end)()",
		/* coroutine */
		"(function() local co = coroutine.wrap(function(a) local b = coroutine.yield(a + "
		"1) return b * 2 end) return co(1) .. co(5) end)()",
		"coroutine.resume(coroutine.create(function() error('e', 0) end))",
		"coroutine.resume(coroutine.create(function(...) return ... end), 1, 2)",
		"(function() local co = coroutine.create(function() end) coroutine.resume(co) "
		"return coroutine.status(co) .. tostring(coroutine.resume(co)) end)()",
		"(function() local co co = coroutine.create(function() return coroutine.status(co) "
		".. tostring(coroutine.isyieldable()) .. tostring(coroutine.resume(co)) end) "
		"return (select(2, coroutine.resume(co))) end)()",
		"coroutine.isyieldable()",
		"(function() local co = coroutine.create(function() coroutine.yield() end) "
		"coroutine.resume(co) return tostring(coroutine.close(co)) .. coroutine.status(co) "
		"end)()",
		"(function() local co = coroutine.wrap(function() pcall(function() "
		"coroutine.yield(1) error('x') end) return 2 end) return co() .. co() end)()",
		"(function() local co = coroutine.wrap(function() return xpcall(function() "
		"coroutine.yield(1) error('x', 0) end, function(m) return m .. "
		"'h' end) end) return co() .. tostring(co()) .. tostring(co()) end)()",
		"coroutine.yield()",
		"coroutine.wrap(function() error('q', 0) end)()",
		"coroutine.resume(1)",
		"coroutine.create(1)",
		"select(2, coroutine.running())",
		"(function() local f = coroutine.wrap(function() end) f() return pcall(f) end)()",
	};
	struct both t;
	char text[2048];
	size_t i;

	(void)state;
	both_open(&t);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), ALL "return all(%s)", cases[i]);
		compare(&t, text);
	}
	both_close(&t);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

/* A Lua literal of up to @max characters from @alphabet, which has pieces separated by blanks. */
static void random_literal(uint32_t *seed, const char *const *pieces, size_t n, unsigned max,
			   char *ret, size_t size)
{
	unsigned len = next_random(seed) % (max + 1);
	size_t used = 1;

	ret[0] = '\'';
	while (len--) {
		const char *p = pieces[next_random(seed) % n];

		used += (size_t)snprintf(ret + used, size - used, "%s", p);
	}
	snprintf(ret + used, size - used, "'");
}

static void random_patterns_match_as_in_lua(void **state)
{
	static const char *const chars[] = { "a", "b", "c", "a",   "b", "(", ")",
					     "1", " ", "-", "\\0", "]", "%" };
	static const char *const parts[] = { "a",   "b",    "c",    ".",     "%a",    "%d", "%s",
					     "%W",  "[ab]", "[^a]", "[a-c]", "[%a1]", "*",  "+",
					     "-",   "?",    "*",    "-",     "(",     ")",  "()",
					     "(a)", "(b*)", "%1",   "%b()",  "%f[b]", "^",  "$",
					     "%",   "[",    "]",    "\\0" };
	static const char *const repls[] = { "x", "%0", "%1", "%%", "", "y", "%2", "%" };
	uint32_t seed = 4711;
	char s[128], p[128], r[64], text[1024];
	struct both t;
	int i;

	(void)state;
	both_open(&t);
	for (i = 0; i < (getenv("MF_SLOW") ? 4000 : 800); i++) {
		random_literal(&seed, chars, sizeof(chars) / sizeof(chars[0]), 12, s, sizeof(s));
		random_literal(&seed, parts, sizeof(parts) / sizeof(parts[0]), 7, p, sizeof(p));
		random_literal(&seed, repls, sizeof(repls) / sizeof(repls[0]), 3, r, sizeof(r));
		snprintf(text, sizeof(text),
			 ALL "local s, p = %s, %s local o = all(pcall(string.find, s, "
			     "p)):gsub('^<false>.*', 'E') .. '|' "
			     ".. all(pcall(string.match, s, p, 2)):gsub('^<false>.*', 'E') .. '|' "
			     ".. all(pcall(string.gsub, s, p, %s)):gsub('^<false>.*', 'E') .. '|' "
			     "local ok = pcall(function() for a, b in s:gmatch(p) do o = o .. "
			     "tostring(a) .. tostring(b) end end) "
			     "return o .. tostring(ok)",
			 s, p, r);
		compare(&t, text);
	}
	both_close(&t);
}

static void sort_is_right_for_random_lists(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_int_equal(box_load(&b, "local r = 7\n"
				      "local function rnd(n) r = (r * 1103515245 + 12345) % "
				      "2147483648 return r // 65536 % n end\n"
				      "for n = 0, 200 do\n"
				      "  local t = {}\n"
				      "  for i = 1, n do t[i] = { rnd(10), i } end\n"
				      "  table.sort(t, function(a, b) return a[1] < b[1] end)\n"
				      "  for i = 2, n do\n"
				      "    assert(t[i - 1][1] < t[i][1] or t[i - 1][1] == t[i][1] "
				      "and t[i - 1][2] < t[i][2])\n"
				      "  end\n"
				      "end"),
			 0);
	box_close(&b);
}

static void pairs_has_a_defined_order(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_string_equal(
		box_eval(&b, "local t = { z = 1, a = 1, B = 1, [true] = 1, [false] = 1, [2.5] = 1, "
			     "[-1] = 1, [1e300] = 1, [-1e300] = 1,"
			     " [1/0] = 1, 'x', 'y', [math.maxinteger] = 1, [100] = 1, ['a\\0'] = "
			     "1, [''] = 1 }"
			     " local s = '' for k in pairs(t) do s = s .. tostring(k):gsub('%z', "
			     "'0') .. ' ' end return s"),
		"-1e+300 -1 1 2 2.5 100 9223372036854775807 1e+300 inf false true  B a a0 z ");
	assert_string_equal(
		box_eval(&b, "local t = {} for i = 100, 1, -1 do t['k' .. i % 10 .. i] = i end"
			     " local s, n = nil, 0 for k in pairs(t) do assert(not s or s < k) s = "
			     "k n = n + 1 end return n"),
		"100");
	assert_string_equal(box_eval(&b,
				     "local t = { c = 1, a = 2, b = 3 } local s, k, v = '', next(t)"
				     " while k do s = s .. k .. v k, v = next(t, k) end return s"),
			    "a2b3c1");
	assert_string_equal(box_eval(&b, "local t = { a = 1, b = 2, c = 3 } local s = ''"
					 " for k in pairs(t) do s = s .. k t[k] = nil t.c = nil "
					 "end return s .. tostring(next(t))"),
			    "abnil");
	assert_string_equal(box_eval(&b, "local t = { 1, 2, 3 } local s = 0 for k, v in pairs(t) "
					 "do s = s + v t[k] = nil end return s"),
			    "6");
	assert_non_null(strstr(box_eval(&b, "for k in pairs { [{}] = 1 } do end"),
			       "with a table as a key"));
	assert_non_null(strstr(box_eval(&b, "next { [print] = 1 }"), "with a function as a key"));
	box_close(&b);
}

static void no_address_becomes_text(void **state)
{
	static const char *const cases[][2] = {
		{ "return tostring({})", "table" },
		{ "return tostring(print)", "function" },
		{ "return tostring(function() end)", "function" },
		{ "return tostring(coroutine.create(function() end))", "thread" },
		{ "return ('%s'):format({})", "table" },
		{ "return tostring(setmetatable({}, { __name = 'N' }))", "N" },
		{ "return select(2, pcall(string.rep, {}))",
		  "bad argument #1 to '?' (string expected, got table)" },
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(box_eval(&b, cases[i][0]), cases[i][1]);
	assert_non_null(strstr(box_eval(&b, "return ('%p'):format({})"), "'%p' is not there"));
	box_close(&b);
}

static void what_policies_cannot_have_is_not_there(void **state)
{
	static const char *const names[] = {
		"load",
		"loadstring",
		"dofile",
		"loadfile",
		"collectgarbage",
		"io",
		"os",
		"debug",
		"package",
		"module",
		"setfenv",
		"newproxy",
		"warn",
		"string.dump",
		"string.pack",
		"string.unpack",
		"string.packsize",
		"math.random",
		"math.randomseed",
		"table.getn",
		"unpack",
	};
	char text[128];
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "return type(%s)", names[i]);
		assert_string_equal(box_eval(&b, text), "nil");
	}
	box_close(&b);
}

static void print_goes_to_the_owner(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	box_eval(&b, "print('a', 1, nil, {}) print(('x'):rep(5000))");
	assert_memory_equal(b.printed, "a\t1\tnil\ttable\nxxx", 17);
	assert_true(strlen(b.printed) < 1100);
	box_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(library_functions_give_what_lua_gives),
		cmocka_unit_test(random_patterns_match_as_in_lua),
		cmocka_unit_test(sort_is_right_for_random_lists),
		cmocka_unit_test(pairs_has_a_defined_order),
		cmocka_unit_test(no_address_becomes_text),
		cmocka_unit_test(what_policies_cannot_have_is_not_there),
		cmocka_unit_test(print_goes_to_the_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
