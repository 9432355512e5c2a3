/* SPDX-License-Identifier: Apache-2.0 */
/* test_testrun.c - policies' own tests: expectations, failures as a diff, skipping, coverage */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/runtime/tree.h"

#include <cmocka.h>

#include "core/policy/runtime.h"
#include "core/policy/testrun.h"

static struct mf_vm_config config;
static struct mf_test_report report;
static struct mf_err err;

static const char policy[] =
	"local function lan(c)\n"
	"  return c:to_private()\n"
	"end\n"
	"return {\n"
	"  name = 'p',\n"
	"  dns_redirects = {\n"
	"    { name = 'npm', match = 'npm.example', resolve_to = '10.0.0.7', resolve_to6 = "
	"'fd00::7' },\n"
	"    { name = 'never', match = 'never.example', resolve_to = '10.0.0.8' },\n"
	"  },\n"
	"  network_rules = { { name = 'watched', domains = { 'w.example' }, decision = 'audit' },\n"
	"    { name = 'asked', domains = { 'q.example' }, decision = 'approve' } },\n"
	"  connect = function(c)\n"
	"    if lan(c) then return deny 'no LAN from agents' end\n"
	"    if c:under 'api.example' then\n"
	"      return redirect { to = 'llm.corp:8443', tls = 'rewrite_sni', sni = 'llm.corp' }\n"
	"    end\n"
	"    if c.port == 22 then\n"
	"      return allow()\n"
	"    end\n"
	"    if c.port == 99 then error('broken hook') end\n"
	"  end,\n"
	"  sni = function(s) if s:is 'navis.local' then return route '127.0.0.1:47621' end end,\n"
	"  file = function(f)\n"
	"    if f.op == 'delete' then return soft_delete { hash = true } end\n"
	"    if f.op == 'write' then return redirect_path { target = '/scratch/x' } end\n"
	"  end,\n"
	"}\n";

static int setup(void **state)
{
	memset(&report, 0, sizeof(report));
	memset(&err, 0, sizeof(err));
	return tree_setup(state) < 0 || mf_vm_config_init(&config, NULL) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	mf_test_report_done(&report);
	mf_vm_config_done(&config);
	return tree_teardown(state);
}

static void run(const char *test)
{
	const char *path = tree_path("p");
	struct mf_source_set *set;

	tree_write("p/policy.lua", policy);
	tree_write("p/tests/t.lua", test);
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	if (mf_testrun_all(&config, set, 0, &report, &err) < 0)
		fail_msg("%s", err.msg);
	mf_source_set_unref(set);
}

static void every_expectation_can_hold(void **state)
{
	(void)state;
	run("test('all', function(t)\n"
	    "  t:connect { ip = '10.1.2.3', port = 80 } :is_denied() :is_denied('LAN') "
	    ":rule('connect')\n"
	    "  t:dns { name = 'npm.example', type = 'A' } :resolves_to('10.0.0.7', 'fd00::7') "
	    ":rule 'npm'\n"
	    "  t:connect { host = 'x.api.example', ip = '9.9.9.9', port = 443 }\n"
	    "    :redirects_to 'llm.corp:8443' :rewrites_sni 'llm.corp'\n"
	    "  t:connect { ip = '9.9.9.9', port = 22, process = { name = 'ssh' }, ['session.id'] "
	    "= 's',\n"
	    "    session = { labels = { a = 'b' } } } :is_allowed()\n"
	    "  t:connect { ip = '9.9.9.9', port = 80 } :is_default() :is_denied()\n"
	    "  t:connect { host = 'w.example', ip = '9.9.9.9', port = 80 } :is_allowed() "
	    ":is_audited()\n"
	    "  t:connect { host = 'q.example', ip = '9.9.9.9', port = 80 } :is_asked()\n"
	    "  t:sni { sni = 'navis.local', ip = '9.9.9.9', port = 443, alpn = { 'h2' } } "
	    ":routes_to '127.0.0.1:47621'\n"
	    "  t:file { op = 'delete', path = '/a' } :is_soft_deleted() :matches { hash = true, "
	    "verdict = 'soft_delete' }\n"
	    "  t:file { op = 'write', path = '/a' } :is_redirected_path '/scratch/x' "
	    ":is_redirected_path()\n"
	    "  t:connect { ip = '10.1.2.3', port = 80 } :matches { verdict = 'deny', reason = 'no "
	    "LAN from agents',\n"
	    "    policy = 'p', visibility = 'audit_only' }\n"
	    "end)\n"
	    "for _, case in ipairs { { '10.0.0.1', true }, { '9.9.9.9', false } } do\n"
	    "  test('table ' .. case[1], function(t)\n"
	    "    local a = t:connect { ip = case[1], port = 1 }\n"
	    "    if case[2] then a:is_denied 'LAN' else a:is_default() end\n"
	    "  end)\n"
	    "end\n"
	    "test('todo_later', function(t) error 'not run' end)\n"
	    "test.todo 'one day'\n");
	for (size_t i = 0; i < report.result_cnt; i++)
		if (report.results[i].status == MF_TEST_FAILED)
			fail_msg("%s:%u %s", report.results[i].file, report.results[i].line,
				 report.results[i].text);
	assert_int_equal(report.passed, 3);
	assert_int_equal(report.skipped, 2);
	assert_int_equal(report.results[0].line, 1);
	assert_int_equal(mf_test_report_error(&report, &err), 0);
}

/* A test's body in line 2, and what the failure must say. */
static const char *const failing[][2] = {
	{ "t:connect { ip = '10.1.2.3', port = 80 } :is_allowed()",
	  "  connect ip=\"10.1.2.3\" port=80\n- expected: allow\n+ decided:  deny by connect()" },
	{ "t:connect { ip = '10.1.2.3', port = 80 } :is_denied('WAN')",
	  "deny, with a reason like \"WAN\"\n+ decided:  deny by" },
	{ "t:connect { ip = '9.9.9.9', port = 80 } :is_allowed()",
	  "deny by default: no policy had an opinion" },
	{ "t:dns { name = 'npm.example' } :resolves_to '10.0.0.7'",
	  "resolve 10.0.0.7\n+ decided:  resolve 10.0.0.7 fd00::7 by dns_redirects[1] npm" },
	{ "t:dns { name = 'npm.example' } :rule 'other'", "a decision by \"other\"" },
	{ "t:connect { host = 'api.example', ip = '9.9.9.9', port = 443 } :redirects_to 'x:1'",
	  "redirect x:1\n+ decided:  redirect llm.corp:8443 sni llm.corp" },
	{ "t:connect { host = 'api.example', ip = '9.9.9.9', port = 443 } :rewrites_sni 'x'",
	  "the server name x" },
	{ "t:file { op = 'delete', path = '/a' } :matches { hash = false }", "hash = false" },
	{ "t:file { op = 'delete', path = '/a' } :matches { nothing = 1 }",
	  "a decision has no nothing" },
	{ "t:connect { ip = '9.9.9.9', port = 99 } :is_denied()", "the policy failed:" },
	{ "pcall(function() t:connect { ip = '10.1.2.3', port = 80 } :is_allowed() end)",
	  "expected: allow" },
	{ "t:connect { ip = 'nonsense', port = 80 }", "field ip: not an IP address" },
	{ "t:connect { prot = 80 }", "connect requests have no field prot" },
	{ "t:dns { port = 53 }", "dns requests have no field port" },
	{ "t:connect { port = '80' }", "field port must be an integer, not string" },
	{ "t:dns 'name'", "a question must be a table of fields" },
	{ "error 'own words'", "own words" },
	{ "while true do end", "" },
	{ "io.open '/etc/passwd'", "" },
	{ "test('nested', function() end)", "may only be called while the test file is read" },
};

static void a_failure_shows_question_expectation_and_decision(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		char text[1024];

		snprintf(text, sizeof(text),
			 "test('one', function(t)\n%s\nend)\ntest('two', function(t)\nend)",
			 failing[i][0]);
		run(text);
		assert_int_equal(report.result_cnt, 2);
		if (report.failed != 1 || report.passed != 1 ||
		    !strstr(report.results[0].text, failing[i][1]))
			fail_msg("%s:\n%s", failing[i][0],
				 report.results[0].text ? report.results[0].text : "passed");
		if (!strstr(report.results[0].file, "p/tests/t.lua") || report.results[0].line != 2)
			fail_msg("%s: at %s:%u", failing[i][0], report.results[0].file,
				 report.results[0].line);
		assert_int_equal(mf_test_report_error(&report, &err), MF_E_TEST);
		assert_int_equal(err.line, 2);
		mf_test_report_done(&report);
	}
}

static void a_file_without_tests_or_with_errors_fails(void **state)
{
	(void)state;
	run("-- nothing");
	assert_int_equal(report.failed, 1);
	assert_non_null(strstr(report.results[0].text, "no test"));
	mf_test_report_done(&report);
	run("test('x', function(t)\n");
	assert_int_equal(report.failed, 1);
	assert_true(report.results[0].line > 0);
	mf_test_report_done(&report);
	run("test('x')");
	assert_int_equal(report.failed, 1);
	assert_non_null(strstr(report.results[0].text, "needs a function"));
	mf_test_report_done(&report);
	run("test('', function() end)");
	assert_int_equal(report.failed, 1);
}

static void answers_do_not_outlive_their_test(void **state)
{
	(void)state;
	run("local kept = {}\n"
	    "test('one', function(t) kept[1] = t:connect { ip = '10.0.0.1', port = 1 } end)\n"
	    "test('two', function(t) kept[1]:is_denied() end)\n");
	if (report.failed != 1 || !strstr(report.results[1].text, "belongs to the test that asked"))
		fail_msg("%s", report.results[1].text ? report.results[1].text : "passed");
}

static void coverage_knows_lines_and_rules(void **state)
{
	size_t ran = 0;
	bool line18 = false;

	(void)state;
	report.coverage = true;
	run("test('lan', function(t)\n"
	    "  t:connect { ip = '10.0.0.1', port = 1 } :is_denied()\n"
	    "  t:connect { ip = '10.0.0.1', port = 1 } :is_denied()\n"
	    "  t:dns { name = 'npm.example' } :rule 'npm'\n"
	    "end)");
	assert_int_equal(report.passed, 1);
	assert_true(report.line_cnt >= 8);
	for (size_t i = 0; i < report.line_cnt; i++) {
		assert_non_null(strstr(report.lines[i].file, "p/policy.lua"));
		ran += report.lines[i].hits > 0;
		if (report.lines[i].line == 2)
			assert_int_equal(report.lines[i].hits, 2);
		if (report.lines[i].line == 18) {
			line18 = true;
			assert_int_equal(report.lines[i].hits, 0);
		}
	}
	assert_true(line18);
	assert_in_range(ran, 2, report.line_cnt - 4);
	assert_int_equal(report.rule_cnt, 4);
	for (size_t i = 0; i < report.rule_cnt; i++)
		assert_int_equal(report.rules[i].hits, strstr(report.rules[i].rule, "npm") != NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_expectation_can_hold),
		T(a_failure_shows_question_expectation_and_decision),
		T(a_file_without_tests_or_with_errors_fails),
		T(answers_do_not_outlive_their_test),
		T(coverage_knows_lines_and_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
