/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_agentsh_differs.c - where policies of agentsh are read in another way than agentsh reads them, each by its number in
 * docs/agentsh.md; and what the loader refuses, with its place
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/match/path_case.h"
#include "core/policy/agentsh.h"
#include "core/policy/outcome.h"
#include "tests/unit/agentsh/agentsh_help.h"

#define HEAD "version: 1\nname: t\n"

/* --- what is refused ---------------------------------------------------------------------------------------------- */

static const struct {
	const char *text; /* behind HEAD: its first line is 3 */
	unsigned line, column;
	const char *says;
} refused[] = {
	/* P1 */
	{ "comand_rules: []\n", 3, 1,
	  "comand_rules: this key is not known; did you mean \"command_rules\"?" },
	{ "file_rules:\n  - {name: a, path: /x, decision: deny}\n", 4, 15,
	  "file_rules[0].path: this key is not taken; write paths, a list" },
	{ "file_rules:\n  - {paths: [/x], decision: deny, mesage: m}\n", 4, 35,
	  "file_rules[0].mesage: this key is not known; did you mean \"message\"?" },
	{ "command_rules:\n  - {name: a, commands: [x], args_pattern: y, decision: allow}\n", 4, 30,
	  "command_rules[0].args_pattern: this key is not known; did you mean \"args_patterns\"?" },
	{ "command_rules:\n  - {redirect_to: {comand: x}}\n", 4, 20,
	  "command_rules[0].redirect_to.comand: this key is not known" },
	{ "command_rules:\n  - {context: [inside]}\n", 4, 16,
	  "command_rules[0].context[0]: must be direct or nested" },
	{ "process_contexts:\n  agent: {file_rules: [{path: x}]}\n", 4, 25,
	  "process_contexts.agent.file_rules[0].path: this key is not taken" },
	{ "---\nversion: 2\n", 3, 1, "a second document" },
	{ "name: u\n", 3, 1, "key \"name\" stands here twice" },
	{ "file_rules:\n  - {paths: /x, decision: deny}\n", 4, 13,
	  "file_rules[0].paths: must be a list, not text" },
	{ "file_rules: {a: 1}\n", 3, 13, "file_rules: must be a list of rules, not a mapping" },
	{ "file_rules: [x]\n", 3, 14, "file_rules[0]: must be a mapping, not text" },
	{ "network_rules:\n  - {ports: [\"443\"], decision: deny}\n", 4, 14,
	  "network_rules[0].ports[0]: must be a port, a whole number without quotes" },
	{ "network_rules:\n  - {ports: [80, 443.0], decision: deny}\n", 4, 18,
	  "network_rules[0].ports[1]: must be a port" },
	{ "network_rules:\n  - {ports: [0443], decision: deny}\n", 4, 14, "must be a port" },
	{ "network_rules:\n  - {ports: [0o443], decision: deny}\n", 4, 14, "must be a port" },
	{ "network_rules:\n  - {ports: [-1], decision: deny}\n", 4, 14,
	  "-1 is not a port (0 to 65535)" },
	{ "network_rules:\n  - {ports: [99999], decision: deny}\n", 4, 14, "99999 is not a port" },
	{ "network_rules:\n  - domains:\n    - *.example.com\n", 5, 7, "must stand in quotes" },
	{ "network_rules:\n\t- domains: []\n", 4, 1, "tabs cannot indent" },
	{ "file_rules:\n  - {paths: [/x], decision: deny, preserve_tree: maybe}\n", 4, 50,
	  "file_rules[0].preserve_tree: must be true or false, not \"maybe\"" },
	{ "file_rules:\n  - {paths: [/x], message: [a], decision: deny}\n", 4, 28,
	  "file_rules[0].message: must be text, not a list" },
	{ "file_rules:\n  - {paths: [/x, ], decision: deny}\n  - {paths: [~], decision: deny}\n", 5,
	  14, "file_rules[1].paths[0]: an item without a value" },
	{ "resource_limits: {pids_max: many}\n", 3, 29,
	  "resource_limits.pids_max: must be a whole number" },
	{ "metadata: [{rule_name: a}]\n", 3, 12, "metadata[0]: source is required" },
	{ "services: [x]\n", 3, 1, "services: this key is not taken; write http_services" },
	{ "package_rules: [{match: {options: {a: 1}}}]\n", 3, 26,
	  "match.options is not yet supported" },
	/* P3 */
	{ "file_rules:\n  - {name: r, paths: [/x], decision: alow}\n", 4, 38,
	  "file_rules[0].decision: decision must be allow, deny, approve, audit, redirect or "
	  "soft_delete, not \"alow\"; did you mean \"allow\"?" },
	{ "file_rules:\n  - {paths: [/x], decision: \" allow\"}\n", 4, 29,
	  "file_rules[0].decision" },
	{ "file_rules:\n  - {paths: [/x]}\n", 4, 5, "file_rules[0]: decision is required" },
	{ "command_rules: [{commands: [x], decision: refuse}]\n", 3, 43,
	  "command_rules[0].decision: \"refuse\" is no decision" },
	{ "file_rules:\n  - {paths: [/x], operations: [read, wirte], decision: deny}\n", 4, 38,
	  "file_rules[0].operations[1]: operations must be" },
	/* P20, P21 */
	{ "connect_redirects:\n  - {name: a, match: x, redirect_to: \"unix:/run/x\"}\n", 4, 38,
	  "a Unix socket goes into redirect_to_unix" },
	{ "connect_redirects:\n  - {name: a, match: x, redirect_to: hostonly}\n", 4, 38,
	  "redirect_to must be \"host:port\"" },
	{ "network_rules:\n  - {name: lan, cidrs: [10.0.0.0/8], decision: deny}\n"
	  "connect_redirects:\n  - {name: a, match: x, redirect_to: \"10.0.0.5:80\"}\n",
	  6, 5, "is denied by network_rules[0] lan of the same policy" },
	/* P25 */
	{ "file_rules:\n  - {name: r, paths: [\"${NOPE}/x\"], decision: deny}\n", 4, 23,
	  "file_rules[0].paths[0]: \"${NOPE}/x\": the variable NOPE has no value" },
	{ "file_rules:\n  - {paths: [\"${1A}/x\"], decision: deny}\n", 4, 14,
	  "does not name a variable" },
	{ "file_rules:\n  - {paths: [\"${PATH}/x\"], decision: deny}\n", 4, 14,
	  "PATH has no value" },
	/* P26 */
	{ "file_rules:\n  - {paths: [\"/x/{a,b\"], decision: deny}\n", 4, 14,
	  "file_rules[0].paths[0]: paths \"/x/{a,b\"" },
	{ "network_rules:\n  - {domains: [ok.example, \"[a\"], decision: deny}\n", 4, 28,
	  "network_rules[0].domains[1]" },
	/* P30 */
	{ "dns_redirects:\n  - {name: a, match: \"(?=x)y\", resolve_to: 10.0.0.1}\n", 4, 22,
	  "invalid match regex" },
	/* P31 */
	{ "file_rules:\n  - {paths: [/x], decision: approve, timeout: -5s}\n", 4, 47,
	  "is not a duration" },
	{ "file_rules:\n  - {paths: [/x], decision: approve, timeout: 30}\n", 4, 47,
	  "is not a duration" },
	{ "resource_limits: {idle_timeout: 5M}\n", 3, 33, "\"5M\" is not a duration" },
	/* P33 */
	{ "dns_redirect: []\n", 3, 1, "dns_redirect: this key is not taken; write dns_redirects" },
	{ "dns_redirects:\n  - {name: a, match: x, redirect_ip: 10.0.0.1}\n", 4, 25,
	  "dns_redirects[0].redirect_ip: this key is not taken; write resolve_to" },
	{ "connect_redirects:\n  - {name: a, match: x, redirect_to: \"y:1\", tls_mode: "
	  "rewrite_sni}\n",
	  4, 45, "write tls: {mode: ...}" },
	/* P4 */
	{ "approve_without_channel: ask\n", 3, 26,
	  "approve_without_channel: must be deny or allow, not \"ask\"" },
	/* http_services */
	{ "http_services: [{upstream: \"https://x.example\"}]\n", 3, 17,
	  "http_services[0]: name is required" },
	{ "http_services:\n  - {name: a}\n", 4, 5,
	  "http_services[0].upstream: must be a URL with a host" },
	{ "http_services:\n  - {name: a, upstream: \"ftp://x.example/\"}\n", 4, 25,
	  "http_services[0].upstream: must be a URL with a host" },
	{ "http_services:\n  - {name: a, upstream: \"https://u@x.example/\"}\n", 4, 25,
	  "must be a URL with a host" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\", aliases: [y.example, "
	  "\"*.z\"]}\n",
	  4, 67, "http_services[0].aliases[1]: \"*.z\" is neither a host name nor an address" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\", rules: [{decision: "
	  "redirect}]}\n",
	  4, 65,
	  "http_services[0].rules[0].decision: a request is allowed, denied, audited or approved" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\", rules: [{paths: "
	  "[\"/[\"]}]}\n",
	  4, 54, "http_services[0].rules[0]: decision is required" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\", default: deny, rules: "
	  "[{decision: allow, paths: [\"/[\"]}]}\n",
	  4, 95, "http_services[0].rules[0].paths[0]: Bad pattern \"/[\"" },
	{ "http_services:\n  - {name: a/b, upstream: \"https://x.example\"}\n", 4, 12,
	  "http_services[0].name: stands in a path" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\", expose_as: LD_PRELOAD}\n",
	  4, 57, "is no name of a variable that a policy may set" },
	{ "http_services:\n  - {name: a, upstream: \"https://x.example\"}\n  - {name: a, upstream: "
	  "\"https://y.example\"}\n",
	  5, 12, "http_services[1].name: another service has the name \"a\"" },
	{ "http_services:\n  - {name: a, upstream: \"x.example\", allow_direct: true}\n", 4, 25,
	  "http_services[0].upstream: must be a URL with a host" },
	/* our own keys */
	{ "compat: golang\n", 3, 9, "compat: must be none or gobwas, not \"golang\"" },
	{ "dns_redirects:\n  - {name: a, match: x, match_mode: exact, resolve_to: 10.0.0.1}\n", 4,
	  37, "match_mode: must be search, full, glob or suffix" },
};

static void what_is_refused_says_why_and_where(void **state)
{
	char text[2048];
	struct engine e;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(refused); i++) {
		snprintf(text, sizeof(text), HEAD "%s", refused[i].text);
		engine_load_text(&e, "t.yaml", text);
		if (e.code == 0)
			fail_msg("taken:\n%s", text);
		if (!strstr(e.err.msg, refused[i].says) || e.err.line != refused[i].line ||
		    e.err.column != refused[i].column)
			fail_msg("%s\n  said at %u:%u: %s", text, e.err.line, e.err.column,
				 e.err.msg);
		engine_done(&e);
	}
	engine_load_text(&e, "t.yaml", "name: t\n");
	assert_non_null(strstr(e.err.msg, "version must be > 0"));
	engine_done(&e);
	engine_load_text(&e, "t.yaml", "version: 0\nname: t\n");
	assert_non_null(strstr(e.err.msg, "version must be > 0"));
	engine_done(&e);
	engine_load_text(&e, "t.yaml", "version: 1\n");
	assert_non_null(strstr(e.err.msg, "name is required"));
	engine_done(&e);
	engine_load_text(&e, "t.yaml", "- version: 1\n");
	assert_non_null(strstr(e.err.msg, "a policy is a mapping, not a list"));
	engine_done(&e);
}

/* P32: all errors of a file in one go, and the old generation stays. */
static void all_errors_come_together(void **state)
{
	const char *paths[1];
	struct engine e;

	(void)state;
	engine_load_text(&e, "t.yaml", HEAD "file_rules: [{paths: [/x], decision: deny}]\n");
	assert_int_equal(e.code, 0);
	paths[0] = engine_write("t.yaml", HEAD
				"bad: 1\nfile_rules:\n"
				"  - {paths: [\"/x[\"], decision: nope}\n"
				"  - {paths: [/y], decision: deny, what: 1}\n"
				"network_rules:\n  - {cidrs: [10.0.0.0/99, x], decision: deny}\n");
	assert_int_equal(mf_runtime_load(e.rt, paths, 1, &e.err), MF_E_POLICY);
	assert_non_null(strstr(e.err.msg, "policy t: 6 errors: "));
	assert_non_null(strstr(e.err.msg, "bad: this key"));
	assert_non_null(strstr(e.err.msg, "line 5: file_rules[0].paths[0]"));
	assert_non_null(strstr(e.err.msg, "line 8: network_rules[0].cidrs[0]"));
	assert_int_equal(e.err.line, 3);
	assert_string_equal(engine_text(engine_file(&e, "read", "/x", NULL)), "deny file_rules[0]");
	engine_done(&e);
}

/* --- what is taken ------------------------------------------------------------------------------------------------- */

static struct engine e;

static void load(const char *text)
{
	engine_done(&e);
	engine_load_text(&e, "t.yaml", text);
	if (e.code < 0)
		fail_msg("%s:%u: %s", e.err.file, e.err.line, e.err.msg);
}

#define says(call, text) assert_string_equal(engine_text(call), text)

static void scalars_are_read_as_agentsh_does(void **state)
{
	(void)state;
	load("\xef\xbb\xbfversion: 1\r\nname: no\r\ndescription: 7\r\nfile_rules:\r\n"
	     "  - {name: 1, paths: [/a], decision: DENY, preserve_tree: yes}\r\n"
	     "  - {name: none, paths: , decision: deny}\r\n");
	says(engine_file(&e, "read", "/a", NULL), "deny file_rules[0] 1");
	says(engine_file(&e, "read", "/b", NULL), "allow default-allow-reads");
	load("{\"version\": 1, \"name\": \"j\", \"network_rules\": [{\"name\": \"a\", \"domains\": "
	     "[], "
	     "\"ports\": [80], \"decision\": \"allow\"}]}");
	says(engine_connect(&e, "x.example", "203.0.113.1", 80), "allow network_rules[0] a");
	load(HEAD "network_rules:\n  - &r {name: a, domains: [a.example], decision: allow}\n"
		  "  - {<<: *r, name: b, domains: [b.example]}\n  - *r\n");
	says(engine_connect(&e, "b.example", "203.0.113.1", 80), "allow network_rules[1] b");
}

static void p4_approve_is_not_allow(void **state)
{
	(void)state;
	load(HEAD "file_rules:\n  - {name: a, paths: [/a], decision: approve, timeout: 1h30m}\n");
	says(engine_file(&e, "write", "/a", NULL), "ask file_rules[0] a");
}

/* What stands for a verdict that cannot be carried out is the policy's choice; it is one sentence that events have. */
static void p4_without_a_channel_approve_denies_unless_the_policy_says_otherwise(void **state)
{
	const char *rules = "file_rules:\n  - {name: a, paths: [/a], decision: approve}\n"
			    "network_rules: [{name: n, domains: [x.example], decision: approve}]\n"
			    "connect_redirects: [{name: r, match: ^r, redirect_to: \"y:1\"}]\n";
	struct mf_decision d;
	char text[1024];

	(void)state;
	for (int allowed = 0; allowed < 2; allowed++) {
		snprintf(text, sizeof(text), HEAD "%s%s",
			 allowed ? "approve_without_channel: allow\nredirect_unsupported: allow\n"
				 : "",
			 rules);
		load(text);
		d = *engine_file(&e, "write", "/a", NULL);
		mf_decision_settle_ask(&d);
		assert_int_equal(d.verdict, allowed ? MF_ALLOW : MF_DENY);
		assert_int_equal(d.audit, allowed);
		assert_int_equal(d.decided, MF_ASK);
		assert_int_equal(d.file_errno, 13);
		assert_string_equal(d.reason, "approve_without_channel");
		d = *engine_connect(&e, "x.example", "203.0.113.1", 443);
		mf_decision_settle_ask(&d);
		assert_int_equal(d.verdict, allowed ? MF_ALLOW : MF_DENY);
		d = *engine_connect(&e, "r", "203.0.113.1", 443);
		mf_decision_settle_ask(&d);
		assert_int_equal(d.verdict, MF_REDIRECT);
		assert_false(d.settled);
		mf_decision_settle(&d, "cannot be redirected");
		assert_int_equal(d.verdict, allowed ? MF_ALLOW : MF_DENY);
		assert_int_equal(d.decided, MF_REDIRECT);
	}
}

static void p5_the_stricter_end_of_a_rename_holds(void **state)
{
	(void)state;
	load(HEAD "file_rules:\n"
		  "  - {name: bin, paths: [\"/s/**\"], decision: soft_delete}\n"
		  "  - {name: see, paths: [\"/a/**\"], decision: audit}\n"
		  "  - {name: ok, paths: [\"/o/**\"], decision: allow}\n"
		  "  - {name: ask, paths: [\"/q/**\"], decision: approve}\n"
		  "  - {name: no, paths: [\"/n/**\"], decision: deny}\n");
	says(engine_file(&e, "rename", "/s/x", "/o/x"), "soft_delete file_rules[0] bin");
	says(engine_file(&e, "rename", "/o/x", "/s/x"), "soft_delete file_rules[0] bin");
	says(engine_file(&e, "rename", "/o/x", "/a/x"), "audit file_rules[1] see");
	says(engine_file(&e, "rename", "/q/x", "/a/x"), "ask file_rules[3] ask");
	says(engine_file(&e, "rename", "/n/x", "/s/x"), "deny file_rules[4] no");
	says(engine_file(&e, "rename", "/o/x", "/elsewhere"), "deny default-deny-files");
}

static void p6_redirected_paths_stay_below(void **state)
{
	(void)state;
	load(HEAD "file_rules:\n"
		  "  - {name: t, paths: [\"/t/**\"], decision: redirect, redirect_to: /s/base, "
		  "preserve_tree: true}\n"
		  "  - {name: r, paths: [\"/**\"], decision: redirect, redirect_to: "
		  "\"${PROJECT_ROOT}/x\"}\n");
	says(engine_file(&e, "write", "/t/u/file.txt", NULL),
	     "redirect_path /s/base/t/u/file.txt file_rules[0] t");
	says(engine_file(&e, "write", "/home/u/file.txt", NULL),
	     "redirect_path /src/p/x/file.txt file_rules[1] r");
	says(engine_file(&e, "write", "/t/../../etc/passwd", NULL),
	     "redirect_path /src/p/x/passwd file_rules[1] r");
	says(engine_file(&e, "write", "/t/x/../../t/etc/passwd", NULL),
	     "redirect_path /s/base/t/etc/passwd file_rules[0] t");
}

static void p7_to_p11_names_and_networks(void **state)
{
	(void)state;
	load(HEAD "network_rules:\n"
		  "  - {name: evil, domains: [Evil.COM, \"b\xc3\xbc"
		  "cher.example\"], decision: deny}\n"
		  "  - {name: one, cidrs: [192.0.2.1, \"2001:db8::1\"], decision: deny}\n"
		  "  - {name: lan, cidrs: [10.0.0.0/8], decision: deny}\n"
		  "  - {name: web, cidrs: [0.0.0.0/0], ports: [443], decision: allow}\n"
		  "  - {name: named, domains: [\"**.ok.example\"], decision: allow}\n");
	says(engine_connect(&e, "evil.com.", "203.0.113.1", 443), "deny network_rules[0] evil");
	says(engine_connect(&e, "EVIL.com", "203.0.113.1", 443), "deny network_rules[0] evil");
	says(engine_connect(&e, "xn--bcher-kva.example", "203.0.113.1", 443),
	     "deny network_rules[0] evil");
	says(engine_connect(&e, NULL, "192.0.2.1", 443), "deny network_rules[1] one");
	says(engine_connect(&e, NULL, "2001:db8::1", 443), "deny network_rules[1] one");
	says(engine_connect(&e, NULL, "192.0.2.2", 443), "allow network_rules[3] web");
	says(engine_connect(&e, NULL, "::ffff:10.1.1.1", 443), "deny network_rules[2] lan");
	/* P9: without an address denies hold and allows do not. */
	says(engine_connect(&e, "a.ok.example", NULL, 443), "deny network_rules[1] one");
	says(engine_connect(&e, "a.ok.example", "203.0.113.1", 80), "allow network_rules[4] named");
}

static void p12_p42_star_is_one_label(void **state)
{
	(void)state;
	load(HEAD "network_rules: [{name: all, domains: [\"*\"], decision: allow}]\n");
	says(engine_connect(&e, "localhost", "203.0.113.1", 1), "allow network_rules[0] all");
	says(engine_connect(&e, "a.example", "203.0.113.1", 1), "deny default-deny-network");
	says(engine_connect(&e, NULL, "203.0.113.1", 1), "deny default-deny-network");
	load(HEAD "domain_star: any\n"
		  "network_rules: [{name: all, domains: [\"*\"], decision: allow}]\n");
	says(engine_connect(&e, "a.example", "203.0.113.1", 1), "allow network_rules[0] all");
	says(engine_connect(&e, NULL, "203.0.113.1", 1), "allow network_rules[0] all");
}

static void p13_names_are_no_way_out(void **state)
{
	(void)state;
	load(HEAD "network_rules:\n"
		  "  - {name: web, domains: [a.example], ports: [443], decision: allow}\n"
		  "  - {name: default-deny-network, domains: [\"**\"], decision: deny}\n");
	says(engine_dns(&e, "a.example"), "allow dns_default");
	says(engine_dns(&e, "secret.evil.example"), "deny network_rules[1] default-deny-network");
	load(HEAD "dns_default: allow\nnetwork_rules: [{name: a, domains: [a.example], decision: "
		  "deny}]\n");
	says(engine_dns(&e, "b.example"), "allow dns_default");
	says(engine_dns(&e, "a.example"), "deny network_rules[0] a");
	load(HEAD);
	says(engine_dns(&e, "b.example"), "deny default-deny-network");
}

static void p14_to_p18_redirects(void **state)
{
	(void)state;
	load(HEAD "network_rules: [{name: no, domains: [no.example], decision: deny}]\n"
		  "dns_redirects:\n"
		  "  - {name: all, match: '.*\\.example$', resolve_to: 10.0.0.1}\n"
		  "  - {name: up, match: 'API\\.test', resolve_to: 10.0.0.2}\n"
		  "  - {name: full, match: 'a+\\.lab', match_mode: full, resolve_to: 10.0.0.3}\n"
		  "  - {name: glob, match: '*.corp', match_mode: glob, resolve_to: 10.0.0.4, "
		  "resolve_to6: 'fd00::4'}\n"
		  "  - {name: suffix, match: home, match_mode: suffix, resolve_to: 10.0.0.5}\n"
		  "connect_redirects:\n"
		  "  - {name: s, match: 'vendor.lan:443', match_mode: suffix, redirect_to: "
		  "'gw.lan:8443'}\n");
	says(engine_dns(&e, "x.example"), "resolve 10.0.0.1 dns_redirects[0] all");
	says(engine_dns(&e, "no.example"), "deny network_rules[0] no");
	says(engine_dns(&e, "xapi.test.evil"), "resolve 10.0.0.2 dns_redirects[1] up");
	says(engine_dns(&e, "aa.lab"), "resolve 10.0.0.3 dns_redirects[2] full");
	says(engine_dns(&e, "aa.lab.evil"), "deny default-deny-network");
	says(engine_dns(&e, "x.corp"), "resolve 10.0.0.4 fd00::4 dns_redirects[3] glob");
	says(engine_dns(&e, "a.b.home"), "resolve 10.0.0.5 dns_redirects[4] suffix");
	says(engine_dns(&e, "home"), "resolve 10.0.0.5 dns_redirects[4] suffix");
	says(engine_dns(&e, "athome"), "deny default-deny-network");
	says(engine_connect(&e, "api.vendor.lan", "203.0.113.1", 443),
	     "redirect gw.lan:8443 connect_redirects[0] s");
	says(engine_connect(&e, "api.vendor.lan", "203.0.113.1", 80), "deny default-deny-network");
}

static void p21_trusted_targets(void **state)
{
	(void)state;
	load(HEAD
	     "network_rules: [{name: lan, cidrs: [10.0.0.0/8], decision: deny}]\n"
	     "connect_redirects:\n"
	     "  - {name: a, match: '^x:1$', redirect_to: '10.0.0.5:80', redirect_target_policy: "
	     "trusted}\n");
	says(engine_connect(&e, "x", "203.0.113.1", 1),
	     "redirect 10.0.0.5:80 connect_redirects[0] a");
	load(HEAD "redirect_target_policy: trusted\n"
		  "network_rules: [{name: lan, cidrs: [10.0.0.0/8], decision: deny}]\n"
		  "connect_redirects: [{name: a, match: '^x:1$', redirect_to: '10.0.0.5:80'}]\n");
	says(engine_connect(&e, "x", "203.0.113.1", 1),
	     "redirect 10.0.0.5:80 connect_redirects[0] a");
}

static void p25_variables(void **state)
{
	(void)state;
	load(HEAD "file_rules:\n"
		  "  - {name: nest, paths: [\"${NOPE:-${ALSO:-${HOME}}}/n/**\"], decision: deny}\n"
		  "  - {name: esc, paths: [\"${STAR}/**\"], decision: deny}\n"
		  "  - {name: empty, paths: [\"/e${EMPTY}/x\"], decision: deny}\n"
		  "  - {name: text, paths: [\"/$HOME/x\"], decision: deny}\n"
		  "connect_redirects:\n"
		  "  - {name: u, match: ^u, redirect_to_unix: \"${PROJECT_ROOT}/s.sock\"}\n");
	says(engine_file(&e, "read", "/home/u/n/x", NULL), "deny file_rules[0] nest");
	says(engine_file(&e, "read", "/a*b[c]/x", NULL), "deny file_rules[1] esc");
	says(engine_file(&e, "read", "/aXbc/x", NULL), "allow default-allow-reads");
	says(engine_file(&e, "read", "/e/x", NULL), "deny file_rules[2] empty");
	says(engine_file(&e, "read", "/$HOME/x", NULL), "deny file_rules[3] text");
	says(engine_connect(&e, "u", "203.0.113.1", 1),
	     "redirect /src/p/s.sock connect_redirects[0] u");
	load(HEAD "network_rules: [{name: d, domains: [\"*.${DOMAIN:-lab}.example\"], decision: "
		  "allow}]\n");
	says(engine_connect(&e, "x.lab.example", "203.0.113.1", 1), "allow network_rules[0] d");
}

static void p26_p27_both_dialects_of_globs(void **state)
{
	const char *rules = "file_rules:\n"
			    "  - {name: zero, paths: [\"/a/**/b/*.txt\"], decision: deny}\n"
			    "  - {name: not, paths: [\"/n/[^a]\"], decision: deny}\n"
			    "network_rules:\n"
			    "  - {name: apex, domains: [\"{*.,}x.com\"], decision: allow}\n";
	char text[1024];

	(void)state;
	snprintf(text, sizeof(text), HEAD "%s", rules);
	load(text);
	says(engine_file(&e, "read", "/a/b/f.txt", NULL), "deny file_rules[0] zero");
	says(engine_file(&e, "read", "/n/b", NULL), "deny file_rules[1] not");
	says(engine_connect(&e, "x.com", "203.0.113.1", 1), "allow network_rules[0] apex");
	snprintf(text, sizeof(text), HEAD "compat: gobwas\n%s", rules);
	load(text);
	says(engine_file(&e, "read", "/a/b/f.txt", NULL), "allow default-allow-reads");
	says(engine_file(&e, "read", "/a/q/b/f.txt", NULL), "deny file_rules[0] zero");
	says(engine_file(&e, "read", "/n/b", NULL), "allow default-allow-reads");
	says(engine_file(&e, "read", "/n/^", NULL), "deny file_rules[1] not");
	says(engine_connect(&e, "x.com", "203.0.113.1", 1), "deny default-deny-network");
}

/* The cost of a pattern is bounded, whatever it looks like: this would take longer than the universe has been there. */
static void p28_no_pattern_explodes(void **state)
{
	char text[4096], path[2048];
	size_t n;

	(void)state;
	n = (size_t)snprintf(text, sizeof(text),
			     HEAD "file_rules:\n  - {name: x, decision: deny, paths: [\"/");
	for (int i = 0; i < 200; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "*a?");
	snprintf(text + n, sizeof(text) - n, "b\"]}\n");
	load(text);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	says(engine_file(&e, "read", path, NULL), "allow default-allow-reads");
	path[sizeof(path) - 2] = 'b';
	says(engine_file(&e, "read", path, NULL), "deny file_rules[0] x");
	load(HEAD "file_rules: [{name: x, decision: deny, paths: "
		  "[\"/**/a/**/a/**/a/**/a/**/a/**/b\"]}]\n");
	for (n = 0; n + 2 < sizeof(path); n += 2)
		memcpy(path + n, "/a", 3);
	says(engine_file(&e, "read", path, NULL), "allow default-allow-reads");
	memcpy(path + n - 2, "/b", 3);
	says(engine_file(&e, "read", path, NULL), "deny file_rules[0] x");
}

static void p29_windows_paths(void **state)
{
	(void)state;
	load(HEAD
	     "file_rules:\n"
	     "  - {name: keys, paths: ['${USERPROFILE}\\.ssh\\**', '**\\.env'], decision: deny}\n"
	     "  - {name: win, paths: ['c:\\Windows\\*'], decision: deny}\n"
	     "  - {name: star, paths: ['/x/a\\*b'], decision: deny}\n");
	says(engine_file(&e, "read", "/C:/Users/bob/.ssh/a/b", NULL), "deny file_rules[0] keys");
	says(engine_file(&e, "read", "/D:/a/.env", NULL), "deny file_rules[0] keys");
	says(engine_file(&e, "read", "/C:/Windows/x", NULL), "deny file_rules[1] win");
	says(engine_file(&e, "read", "/x/a*b", NULL), "deny file_rules[2] star");
	says(engine_file(&e, "read", "/x/a/b", NULL), "allow default-allow-reads");
}

static void p57_operations_without_a_word_of_their_own(void **state)
{
	(void)state;
	load(HEAD "file_rules:\n"
		  "  - {name: w, paths: [/w], operations: [Write], decision: allow}\n"
		  "  - {name: c, paths: [/c], operations: [chmod, create], decision: allow}\n"
		  "  - {name: s, paths: [/s], operations: [stat, open], decision: deny}\n"
		  "  - {name: all, paths: [/all], operations: [], decision: deny}\n");
	says(engine_file(&e, "truncate", "/w", NULL), "allow file_rules[0] w");
	says(engine_file(&e, "fallocate", "/w", NULL), "allow file_rules[0] w");
	says(engine_file(&e, "chmod", "/w", NULL), "deny default-deny-files");
	says(engine_file(&e, "utimens", "/c", NULL), "allow file_rules[1] c");
	says(engine_file(&e, "setxattr", "/c", NULL), "allow file_rules[1] c");
	says(engine_file(&e, "symlink", "/c", NULL), "allow file_rules[1] c");
	says(engine_file(&e, "listxattr", "/s", NULL), "deny file_rules[2] s");
	says(engine_file(&e, "exec", "/s", NULL), "deny file_rules[2] s");
	says(engine_file(&e, "chown", "/all", NULL), "deny file_rules[3] all");
}

/* Bytes are compared, and letters as the filesystem below does it: where "A" is "a", the rule for "a" counts. */
static void p60_letter_case_counts_where_it_does_on_the_disk(void **state)
{
	bool same = MF_PATH_GLOB_FLAGS != 0;

	(void)state;
	load(HEAD "file_rules:\n  - {name: e, paths: [\"/w/.env\", \"/d/**\"], decision: deny}\n");
	says(engine_file(&e, "read", "/w/.env", NULL), "deny file_rules[0] e");
	says(engine_file(&e, "read", "/W/.ENV", NULL),
	     same ? "deny file_rules[0] e" : "allow default-allow-reads");
	says(engine_file(&e, "read", "/D/x", NULL),
	     same ? "deny file_rules[0] e" : "allow default-allow-reads");
	/* composed and decomposed: two names, as on disks that do not normalise */
	load(HEAD "file_rules:\n  - {name: e, paths: [\"/\xc3\xa4\"], decision: deny}\n");
	says(engine_file(&e, "read", "/\xc3\xa4", NULL), "deny file_rules[0] e");
	says(engine_file(&e, "read", "/a\xcc\x88", NULL), "allow default-allow-reads");
}

/* --- http_services --------------------------------------------------------------------------------------------------- */

static void hosts_of_http_services_are_closed(void **state)
{
	const char *closed = "deny http_services[0] http_service_declared_fail_closed";
	const struct mf_decision *d;

	(void)state;
	load(HEAD "network_rules: [{name: all, domains: [\"**\"], decision: allow}]\n"
		  "http_services:\n"
		  "  - {name: api, upstream: \"https://API.vendor.example:8443/v1\", aliases: "
		  "[b.example, 192.0.2.9]}\n"
		  "  - {name: open, upstream: \"https://open.example\", allow_direct: true}\n"
		  "  - {name: addr, upstream: \"http://[2001:db8::7]/x\"}\n");
	d = engine_connect(&e, "api.vendor.example", "203.0.113.1", 443);
	says(d, closed);
	assert_string_equal(d->message, "the service api may only be reached through its gateway");
	assert_int_equal(d->line, 5);
	says(engine_connect(&e, "api.vendor.example", "203.0.113.1", 80), closed);
	says(engine_connect(&e, "b.example", "203.0.113.1", 443), closed);
	says(engine_connect(&e, NULL, "192.0.2.9", 1), closed);
	says(engine_dns(&e, "api.vendor.example"), closed);
	says(engine_connect(&e, "x.api.vendor.example", "203.0.113.1", 443),
	     "allow network_rules[0] all");
	says(engine_connect(&e, "open.example", "203.0.113.1", 443), "allow network_rules[0] all");
	says(engine_connect(&e, NULL, "2001:db8::7", 80),
	     "deny http_services[2] http_service_declared_fail_closed");
	says(engine_connect(&e, NULL, "2001:db8::7", 81), "allow network_rules[0] all");
}

/* --- what is told --------------------------------------------------------------------------------------------------- */

static void gather(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		   unsigned column, const char *path, const char *text)
{
	static const char *const words[] = { "error", "warning", "note" };

	assert_string_equal(file, "t.yaml");
	mf_strbuf_addf(ctx, "%s %u:%u %s: %s\n", words[level], line, column, path, text);
}

/* P2: what is not enforced is said. */
static void what_is_not_enforced_is_told(void **state)
{
	const char *text =
		HEAD "command_rules: [{commands: [x], decision: deny}]\n"
		     "registry_rules: []\naudit: {log_denied: on}\nenv_inject: {A: b}\n"
		     "db_services: {x: {y: 1}}\napprove_without_channel: allow\n"
		     "http_services: [{name: s, upstream: 'https://s.example', secret: {ref: "
		     "x}}]\n"
		     "file_rules:\n  - {paths: [x/y, 'C:\\x'], decision: deny}\n";
	const struct mf_agentsh_source source = { .file = "t.yaml",
						  .text = text,
						  .len = strlen(text) };
	struct mf_strbuf told = MF_STRBUF_INIT(65536);
	const struct mf_agentsh_sink sink = { gather, &told };
	struct mf_agentsh_policy policy;
	char families[256];

	(void)state;
	assert_int_equal(mf_agentsh_load(&source, &sink, &policy, NULL), 0);
	mf_rules_free(policy.rules);
	assert_string_equal(
		told.str,
		"warning 8:26 approve_without_channel: what needs an approval is allowed where "
		"nobody can "
		"be asked\n"
		"note 3:1 command_rules: accepted, not enforced (1 entry)\n"
		"note 5:1 audit: accepted, not enforced\n"
		"note 6:1 env_inject: accepted, not enforced\n"
		"note 7:1 db_services: accepted, not enforced\n"
		"note 9:1 http_services: accepted, not enforced: secret, inject and "
		"scrub_response; "
		"requests go to the services as programs make them\n"
		"warning 11:14 file_rules[0].paths[0]: \"x/y\" never matches: paths begin "
		"with /\n"
		"warning 11:19 file_rules[0].paths[1]: a backslash is taken for a separator "
		"of Windows' paths here and below; agentsh takes it for an escape\n");
	assert_true(mf_agentsh_not_enforced(
		&(struct mf_agentsh_source){ .file = "t.yaml", .text = text, .len = strlen(text) },
		families, sizeof(families)));
	assert_string_equal(families, "command_rules, audit, env_inject, db_services, "
				      "http_services (secret, inject, scrub_response)");
	text = HEAD "http_services: [{name: s, upstream: 'https://s.example'}]\n";
	assert_false(mf_agentsh_not_enforced(
		&(struct mf_agentsh_source){ .file = "t.yaml", .text = text, .len = strlen(text) },
		families, sizeof(families)));
	text = HEAD "approve_without_channel: allow\n";
	assert_true(mf_agentsh_allows_unasked(text, strlen(text)));
	assert_false(mf_agentsh_allows_unasked(HEAD, strlen(HEAD)));
	assert_false(mf_agentsh_not_enforced(
		&(struct mf_agentsh_source){ .file = "t.yaml", .text = HEAD, .len = strlen(HEAD) },
		families, sizeof(families)));
	mf_strbuf_done(&told);
}

static int end_engine(void **state)
{
	(void)state;
	engine_done(&e);
	return 0;
}

#define T(test) cmocka_unit_test_teardown(test, end_engine)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_refused_says_why_and_where),
		T(all_errors_come_together),
		T(scalars_are_read_as_agentsh_does),
		T(p4_approve_is_not_allow),
		T(p4_without_a_channel_approve_denies_unless_the_policy_says_otherwise),
		T(p5_the_stricter_end_of_a_rename_holds),
		T(p6_redirected_paths_stay_below),
		T(p7_to_p11_names_and_networks),
		T(p12_p42_star_is_one_label),
		T(p13_names_are_no_way_out),
		T(p14_to_p18_redirects),
		T(p21_trusted_targets),
		T(p25_variables),
		T(p26_p27_both_dialects_of_globs),
		T(p28_no_pattern_explodes),
		T(p29_windows_paths),
		T(p57_operations_without_a_word_of_their_own),
		T(p60_letter_case_counts_where_it_does_on_the_disk),
		T(hosts_of_http_services_are_closed),
		T(what_is_not_enforced_is_told),
	};

	return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
