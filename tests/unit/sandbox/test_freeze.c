/* SPDX-License-Identifier: Apache-2.0 */
/* test_freeze.c - what outlives a call cannot be changed, and reads as if nothing had happened to it */
#include "util.h"

#define POLICY(head, body) head "\nreturn function()\n" body "\nend"

static const char *eval2(struct box *b, const char *text)
{
	if (box_load(b, text) || box_call(b))
		return b->err.msg;
	return b->result;
}

static void frozen_tables_read_as_before(void **state)
{
	static const char *const cases[][2] = {
		{ POLICY("local t = { 1, 2, 3, x = 'y' }", "return t.x .. #t .. t[3]"), "y33" },
		{ POLICY("local t = { 1, 2, 3 }",
			 "local s = 0 for i, v in ipairs(t) do s = s + i * v end return s"),
		  "14" },
		{ POLICY("local t = { b = 2, a = 1, 7 }", "local s = '' for k, v in pairs(t) do s "
							  "= s .. k .. v .. ' ' end return s"),
		  "17 a1 b2 " },
		{ POLICY("local t = { a = 1 }", "return next(t) .. tostring(next(t, 'a'))"),
		  "anil" },
		{ POLICY("local t = { a = 1, 2 }",
			 "return rawget(t, 'a') + rawlen(t) + rawget(t, 1)"),
		  "4" },
		{ POLICY("local t = { 'a', 'b' }",
			 "return table.concat(t, '-') .. select('#', table.unpack(t))"),
		  "a-b2" },
		{ POLICY("local t = {} t.self = t", "return t.self.self == t"), "true" },
		{ POLICY("local k = {} local t = { [k] = 5 }", "return t[k]"), "5" },
		{ POLICY("local t = { 1, 2 }", "return getmetatable(t)"), "<nil>" },
		{ POLICY("local t = setmetatable({}, { __index = { x = 1 } })", "return t.x"),
		  "1" },
		{ POLICY("local t = setmetatable({ y = 2 }, { __index = function(t, k) return k .. "
			 "t.y end })",
			 "return t.x .. t.y"),
		  "x22" },
		{ POLICY("local t = setmetatable({}, { __len = function() return 42 end })",
			 "return #t"),
		  "42" },
		{ POLICY("local t = setmetatable({}, { __call = function(_, x) return x end })",
			 "return t(7)"),
		  "7" },
		{ POLICY("local t = setmetatable({}, { __tostring = function() return 'T' end })",
			 "return tostring(t)"),
		  "T" },
		{ POLICY("local t = setmetatable({}, { __metatable = 'mine' })",
			 "return getmetatable(t)"),
		  "mine" },
		{ POLICY("local mt = {} local t = setmetatable({}, mt)",
			 "return getmetatable(t) == mt"),
		  "true" },
		{ POLICY("local mt = { __eq = function() return true end }"
			 " local a, b = setmetatable({}, mt), setmetatable({}, mt)",
			 "return a == b"),
		  "true" },
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(eval2(&b, cases[i][0]), cases[i][1]);
	box_close(&b);
}

static void frozen_classes_make_objects(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_string_equal(
		eval2(&b,
		      "local Base = {} Base.__index = Base\n"
		      "function Base:hi() return 'hi ' .. self.name end\n"
		      "local Class = setmetatable({}, { __index = Base }) Class.__index = Class\n"
		      "function Class.new(n) return setmetatable({ name = n }, Class) end\n"
		      "local kept = Class.new('kept')\n"
		      "return function()\n"
		      "  local o = Class.new('o')\n"
		      "  o.name = o.name .. '!'\n"
		      "  return o:hi() .. ' ' .. kept:hi() .. ' ' .. tostring(getmetatable(o) == "
		      "Class)\n"
		      "    .. tostring(getmetatable(kept) == Class)\n"
		      "end"),
		"hi o! hi kept truetrue");
	box_close(&b);
}

static void frozen_tables_cannot_be_changed(void **state)
{
	static const char *const cases[] = {
		POLICY("local t = {}", "t.x = 1"),
		POLICY("local t = { x = 1 }", "t.x = 2"),
		POLICY("local t = { x = 1 }", "t.x = nil"),
		POLICY("local t = { 1 }", "t[1] = 2"),
		POLICY("local t = { { {} } }", "t[1][1].x = 2"),
		POLICY("local t = { 1 }", "rawset(t, 1, 2)"),
		POLICY("local t = { 1 }", "table.insert(t, 2)"),
		POLICY("local t = { 1 }", "table.remove(t)"),
		POLICY("local t = { 2, 1 }", "table.sort(t)"),
		POLICY("local t = { 2, 1 }", "table.move({ 1 }, 1, 1, 1, t)"),
		POLICY("local t = { 2, 1 }", "setmetatable(t, {})"),
		POLICY("local t = { 2, 1 }", "setmetatable(t, nil)"),
		POLICY("local mt = {} local t = setmetatable({}, mt)", "mt.__index = { x = 1 }"),
		POLICY("local mt = { __newindex = function(t, k, v) rawset(t, k, v) end }"
		       " local t = setmetatable({}, mt)",
		       "t.x = 1"),
		POLICY("local t = {} local function f() return t end", "f().x = 1"),
		POLICY("local t = {} local f = coroutine.running", "t[f] = 1"),
		POLICY("x = {}", "x.y = 1"),
		POLICY("", "x = 1"),
		POLICY("", "_G.x = 1"),
		POLICY("", "_ENV.x = 1"),
		POLICY("", "string.x = 1"),
		POLICY("", "string.format = nil"),
		POLICY("", "_G.string = {}"),
		POLICY("", "rawset(_G, 'x', 1)"),
		POLICY("", "rawset(string, 'x', 1)"),
		POLICY("", "setmetatable(_G, {})"),
		POLICY("", "getmetatable('').__index = {}"),
		POLICY("local k = {} local t = { [k] = 1 }", "k.x = 1"),
		POLICY("local f = function() end local u = { f }", "u[1] = nil"),
		POLICY("local Class = {} Class.__index = Class local c = setmetatable({}, Class)",
		       "getmetatable(c).x = 1"),
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(box_load(&b, cases[i]), 0);
		if (box_call(&b) != MF_E_POLICY)
			fail_msg("not refused: %s", cases[i]);
		if (b.err.line != 3 || strcmp(b.err.file, "p.lua") != 0)
			fail_msg("%s:%u: %s: %s", b.err.file, b.err.line, b.err.msg, cases[i]);
	}
	box_close(&b);
}

static void messages_say_what_was_assigned(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	box_load(&b, POLICY("local t = {}", "t.count = 1"));
	box_call(&b);
	assert_non_null(strstr(b.err.msg, "cannot change 'count': this table outlives the call"));
	box_load(&b, POLICY("", "count = 1"));
	box_call(&b);
	assert_non_null(strstr(b.err.msg, "cannot assign global 'count'"));
	box_close(&b);
}

static void globals_of_one_policy_are_not_seen_by_another(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_string_equal(
		eval2(&b,
		      "shared = 1 _G.also = 2 string = 'mine' return function() return shared end"),
		"1");
	assert_string_equal(eval2(&b, "return function() return tostring(shared) .. tostring(also) "
				      ".. type(string) end"),
			    "nilniltable");
	box_close(&b);
}

static void the_library_cannot_be_changed_while_loading(void **state)
{
	static const char *const cases[] = {
		"string.format = 1",
		"table.concat = nil",
		"rawset(string, 'x', 1)",
		"math.pi = 3",
		"setmetatable(string, nil)",
		"for k in pairs(coroutine) do coroutine[k] = nil end",
		"getmetatable(_G).__index.print = 1",
		"setmetatable(_G, nil)",
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(box_load(&b, cases[i]), MF_E_POLICY);
	box_close(&b);
}

static void assignments_to_outer_variables_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *name;
	} cases[] = {
		{ "local n = 0\nreturn function()\n  n = n + 1\nend", 3, "'n'" },
		{ "local n\nreturn { a = { function()\n  return function()\n    n = 1\n  end\nend "
		  "} }",
		  4, "'n'" },
		{ "local n\nlocal function f()\n  n = 1\nend\nreturn function() f() end", 3,
		  "'n'" },
		{ "local n\nfunction global()\n  n = 1\nend", 3, "'n'" },
		{ "local n\nreturn setmetatable({}, { __index = function()\n  n = 1\nend })", 3,
		  "'n'" },
		{ "return function()\n  _ENV = {}\nend", 2, "'_ENV'" },
		{ "local x = 1\nlocal y = 2\nreturn { function() return x end, function()\n y, x = "
		  "1\n end }",
		  4, "'" },
		{ "local n\nreturn { [function()\n n = 1 end] = true }", 3, "'n'" },
		{ "local t = {}\nlocal n\ndo local m = n t.f = function() m = m end end\nreturn t",
		  3, "'m'" },
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(box_load(&b, cases[i].text), MF_E_POLICY);
		assert_string_equal(b.err.file, "p.lua");
		assert_int_equal(b.err.line, cases[i].line);
		assert_non_null(strstr(b.err.msg, "assignment to outer variable"));
		assert_non_null(strstr(b.err.msg, cases[i].name));
	}
	box_close(&b);
}

static void assignments_that_do_not_outlive_a_call_are_fine(void **state)
{
	static const char *const cases[] = {
		"local n = 0 local function bump() n = n + 1 end bump() bump() return function() "
		"return n end",
		"return function() local n = 0 local function f() n = n + 1 end f() f() return n "
		"end",
		"local function make() local n = 0 return function() n = n + 1 return n end end"
		" return function() local c = make() c() return c() end",
		"local t = {} for i = 1, 2 do t[i] = i end return function() local u = {} u[1] = "
		"t[2] return u[1] end",
		"x = 1 x = x + 1 return function() return x end",
		"return function() local function fib(i) return i < 3 and 1 or fib(i - 1) + fib(i "
		"- 2) end return fib(3) end",
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(box_load(&b, cases[i]), 0);
		assert_int_equal(box_call(&b), 0);
		assert_string_equal(b.result, "2");
		assert_int_equal(box_call(&b), 0);
		assert_string_equal(b.result, "2");
	}
	box_close(&b);
}

static void state_in_coroutines_and_iterators_is_refused(void **state)
{
	static const char *const cases[] = {
		"local co = coroutine.create(function() end) return { co }",
		("local f = coroutine.wrap(function() while true do coroutine.yield(1) end end) "
		 "return f"),
		"local f = coroutine.wrap(function() end) return function() return f() end",
		"local it = pairs { a = 1, b = 2 } return it",
		"local it = pairs { 1, 2 } return function() return it end",
		"local it = ('abc'):gmatch '.' return function() return it() end",
		"return { coroutine.running() }",
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (box_load(&b, cases[i]) != MF_E_POLICY || !strstr(b.err.msg, "cannot outlive"))
			fail_msg("%s: %s", b.err.msg, cases[i]);
	}
	box_close(&b);
}

static void what_depends_on_collection_is_refused(void **state)
{
	static const char *const cases[] = {
		"setmetatable({}, { __gc = function() end })",
		"setmetatable({}, { __mode = 'k' })",
		"setmetatable({}, { __close = function() end })",
		"local x <close> = nil",
		"local mt = {} local t = setmetatable({}, mt) mt.__mode = 'v' return t",
		"local mt = {} local t = setmetatable({}, mt) mt.__gc = print return t",
	};
	struct box b;
	size_t i;

	(void)state;
	box_open(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(box_load(&b, cases[i]), MF_E_POLICY);
	box_close(&b);
}

static void freezing_a_deep_or_wide_structure_is_bounded(void **state)
{
	struct box b;

	(void)state;
	box_open(&b);
	assert_string_equal(eval2(&b, "local t = {} for i = 1, 10000 do t = { t } end\n"
				      "return function() local d, u = 0, t while u[1] do u, d = "
				      "u[1], d + 1 end return d end"),
			    "10000");
	assert_int_equal(box_load(&b, "local t = {} for i = 1, 1000000 do t[i] = {} end return t"),
			 MF_E_MEMORY);
	assert_string_equal(box_eval(&b, "return 'fine'"), "fine");
	box_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frozen_tables_read_as_before),
		cmocka_unit_test(frozen_classes_make_objects),
		cmocka_unit_test(frozen_tables_cannot_be_changed),
		cmocka_unit_test(messages_say_what_was_assigned),
		cmocka_unit_test(globals_of_one_policy_are_not_seen_by_another),
		cmocka_unit_test(the_library_cannot_be_changed_while_loading),
		cmocka_unit_test(assignments_to_outer_variables_are_refused_with_their_line),
		cmocka_unit_test(assignments_that_do_not_outlive_a_call_are_fine),
		cmocka_unit_test(state_in_coroutines_and_iterators_is_refused),
		cmocka_unit_test(what_depends_on_collection_is_refused),
		cmocka_unit_test(freezing_a_deep_or_wide_structure_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
