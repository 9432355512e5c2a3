/* SPDX-License-Identifier: Apache-2.0 */
/* test_rules_lua.c - declarative rules as policies write them: verdicts, combination, and what is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rules/rules_help.h"

static struct rules_case c;

static int teardown(void **state)
{
	(void)state;
	rules_done(&c);
	return 0;
}

static void load(const char *lua)
{
	rules_load(&c, lua);
	if (c.code < 0)
		fail_msg("%s", c.err.msg);
	assert_non_null(c.rules);
}

#define says(call, text) assert_string_equal(call, text)

static void first_network_rule_that_matches_decides(void **state)
{
	(void)state;
	load("return { network_rules = {\n"
	     "  { name = 'metadata', cidrs = { '169.254.169.254' }, decision = 'deny' },\n"
	     "  { name = 'private', cidrs = { '10.0.0.0/8', 'fd00::/8' }, decision = 'deny' },\n"
	     "  { name = 'web', domains = { '**.vendor.example', 'vendor.example' }, ports = { "
	     "443, '8000-8999' },\n"
	     "    decision = 'Allow' },\n"
	     "  { name = 'watch', domains = { '*.lab.example' }, decision = 'audit' },\n"
	     "  { name = 'ask', ports = { 22 }, decision = 'approve', timeout = '1h30m' },\n"
	     "  { name = 'rest', domains = { '**' }, decision = 'deny' },\n"
	     "} }");
	says(rules_connect(c.rules, "169.254.169.254", 80, NULL), "deny network_rules[1] metadata");
	says(rules_connect(c.rules, "10.1.2.3", 443, "a.vendor.example"),
	     "deny network_rules[2] private");
	says(rules_connect(c.rules, "::ffff:10.1.2.3", 443, NULL), "deny network_rules[2] private");
	says(rules_connect(c.rules, "fd00::1", 443, NULL), "deny network_rules[2] private");
	says(rules_connect(c.rules, "192.0.2.1", 443, "a.b.vendor.example"),
	     "allow network_rules[3] web");
	says(rules_connect(c.rules, "192.0.2.1", 443, "Vendor.EXAMPLE."),
	     "allow network_rules[3] web");
	says(rules_connect(c.rules, "192.0.2.1", 8500, "vendor.example"),
	     "allow network_rules[3] web");
	says(rules_connect(c.rules, "192.0.2.1", 80, "vendor.example"),
	     "deny network_rules[6] rest");
	says(rules_connect(c.rules, "192.0.2.1", 80, "x.lab.example"),
	     "allow audited network_rules[4] watch");
	says(rules_connect(c.rules, "192.0.2.1", 80, "x.y.lab.example"),
	     "deny network_rules[6] rest");
	says(rules_connect(c.rules, "192.0.2.1", 22, NULL), "ask network_rules[5] ask");
	says(rules_connect(c.rules, "192.0.2.1", 80, NULL), "deny network_rules[6] rest");
}

static void no_rule_is_no_opinion(void **state)
{
	(void)state;
	load("return { network_rules = { { domains = { 'a.example' }, decision = 'allow' },\n"
	     "  { domains = {}, decision = 'deny' }, { ports = {}, decision = 'deny' } } }");
	says(rules_connect(c.rules, "192.0.2.1", 80, "b.example"), "none");
	says(rules_connect(c.rules, "192.0.2.1", 80, NULL), "none");
	says(rules_file(c.rules, "read", "/a", NULL), "none");
	says(rules_dns(c.rules, "b.example"), "none");
}

static void an_unknown_address_meets_denies_of_networks_and_no_allows(void **state)
{
	(void)state;
	load("return { network_rules = {\n"
	     "  { name = 'lan', cidrs = { '192.168.0.0/16' }, decision = 'allow' },\n"
	     "  { name = 'first', domains = { 'early.example' }, decision = 'allow' },\n"
	     "  { name = 'private', cidrs = { '10.0.0.0/8' }, decision = 'deny' },\n"
	     "  { name = 'late', domains = { 'late.example' }, decision = 'allow' } } }");
	says(rules_connect(c.rules, NULL, 443, "early.example"), "allow network_rules[2] first");
	says(rules_connect(c.rules, NULL, 443, "late.example"), "deny network_rules[3] private");
	says(rules_connect(c.rules, "192.0.2.1", 443, "late.example"),
	     "allow network_rules[4] late");
}

static void strictest_of_several_names_holds(void **state)
{
	(void)state;
	load("return { network_rules = {\n"
	     "  { name = 'bad', domains = { 'bad.example' }, decision = 'deny' },\n"
	     "  { name = 'ok', domains = { '*.example' }, decision = 'allow' } } }");
	says(rules_connect(c.rules, "192.0.2.1", 443, "good.example bad.example"),
	     "deny network_rules[1] bad");
	says(rules_connect(c.rules, "192.0.2.1", 443, "good.example other.test"), "none");
	says(rules_sni(c.rules, "192.0.2.1", 443, "good.example bad.example", "good.example"),
	     "allow network_rules[2] ok");
	says(rules_sni(c.rules, "192.0.2.1", 443, "good.example", "bad.example"),
	     "deny network_rules[1] bad");
	says(rules_sni(c.rules, "192.0.2.1", 443, "bad.example", "good.example"),
	     "deny network_rules[1] bad");
	says(rules_sni(c.rules, "192.0.2.1", 443, NULL, "good.example"),
	     "allow network_rules[2] ok");
}

static void redirects_match_whole_names(void **state)
{
	(void)state;
	load("return {\n"
	     "  dns_redirects = {\n"
	     "    { match = 'npm.example', resolve_to = '10.0.0.7', resolve_to6 = 'fd00::7', "
	     "visibility = 'silent' },\n"
	     "    { match = '{a,b}.api.example', resolve_to = '10.0.0.8' },\n"
	     "    { regex = 'x[0-9]+[.]example', resolve_to = '10.0.0.9' },\n"
	     "    { search = 'y[0-9]+[.]example', resolve_to = '10.0.0.10' },\n"
	     "    { match = 'b\u00fccher.example', resolve_to = '10.0.0.11' },\n"
	     "  },\n"
	     "  connect_redirects = {\n"
	     "    { match = 'api.example:443', redirect_to = 'llm.corp:8443', tls = { mode = "
	     "'rewrite_sni', sni = 'llm.corp' } },\n"
	     "    { match = '**.svc.example', redirect_to_unix = '/run/svc.sock' },\n"
	     "    { match = '[2001:DB8::1]:443', redirect_to = '[2001:db8::2]:444' },\n"
	     "    { match = '192.0.2.9:*', redirect_to = '10.0.0.1:1' },\n"
	     "    { regex = '(a|b)\\\\.plain\\\\.example:(80|81)', redirect_to = 'p:1' },\n"
	     "  } }");
	says(rules_dns(c.rules, "NPM.example."), "resolve 10.0.0.7 fd00::7 dns_redirects[1]");
	says(rules_dns(c.rules, "x.npm.example"), "none");
	says(rules_dns(c.rules, "b.api.example"), "resolve 10.0.0.8 dns_redirects[2]");
	says(rules_dns(c.rules, "x12.example"), "resolve 10.0.0.9 dns_redirects[3]");
	says(rules_dns(c.rules, "x12.example.evil"), "none");
	says(rules_dns(c.rules, "a.y1.example.evil"), "resolve 10.0.0.10 dns_redirects[4]");
	says(rules_dns(c.rules, "xn--bcher-kva.example"), "resolve 10.0.0.11 dns_redirects[5]");
	says(rules_connect(c.rules, "192.0.2.1", 443, "api.example"),
	     "redirect llm.corp:8443 sni llm.corp connect_redirects[1]");
	says(rules_connect(c.rules, "192.0.2.1", 4430, "api.example"), "none");
	says(rules_connect(c.rules, "192.0.2.1", 9, "a.b.svc.example"),
	     "redirect /run/svc.sock connect_redirects[2]");
	says(rules_connect(c.rules, "192.0.2.1", 9, "svc.example"), "none");
	says(rules_connect(c.rules, "2001:db8::1", 443, NULL),
	     "redirect 2001:db8::2:444 connect_redirects[3]");
	says(rules_connect(c.rules, "192.0.2.9", 7, NULL),
	     "redirect 10.0.0.1:1 connect_redirects[4]");
	says(rules_connect(c.rules, "192.0.2.1", 81, "b.plain.example"),
	     "redirect p:1 connect_redirects[5]");
	says(rules_connect(c.rules, "192.0.2.1", 82, "b.plain.example"), "none");
	/* What may be reached through a redirect may be resolved. */
	says(rules_dns(c.rules, "api.example"), "allow dns_default");
	says(rules_dns(c.rules, "a.plain.example"), "allow dns_default");
	says(rules_dns(c.rules, "c.plain.example"), "none");
}

static void deny_wins_over_redirect(void **state)
{
	(void)state;
	load("return {\n"
	     "  network_rules = { { name = 'no', domains = { '**.evil.example' }, decision = "
	     "'deny' } },\n"
	     "  dns_redirects = { { match = '**.example', resolve_to = '10.0.0.1' } },\n"
	     "  connect_redirects = { { match = '**.example:443', redirect_to = 'p:1' } } }");
	says(rules_dns(c.rules, "a.evil.example"), "deny network_rules[1] no");
	says(rules_dns(c.rules, "a.good.example"), "resolve 10.0.0.1 dns_redirects[1]");
	says(rules_connect(c.rules, "192.0.2.1", 443, "a.evil.example"),
	     "deny network_rules[1] no");
	says(rules_connect(c.rules, "192.0.2.1", 443, "a.good.example"),
	     "redirect p:1 connect_redirects[1]");
}

static void names_resolve_when_a_rule_lets_them_be_reached(void **state)
{
	(void)state;
	load("return { network_rules = {\n"
	     "  { name = 'private', cidrs = { '10.0.0.0/8' }, decision = 'deny' },\n"
	     "  { name = 'web', domains = { '**.vendor.example' }, ports = { 443 }, decision = "
	     "'allow' },\n"
	     "  { name = 'nodns', domains = { 'leak.vendor.example' }, ports = { 53 }, decision = "
	     "'deny' },\n"
	     "  { name = 'lan', cidrs = { '192.168.0.0/16' }, decision = 'allow' },\n"
	     "  { name = 'rest', domains = { '**' }, decision = 'deny' } } }");
	says(rules_dns(c.rules, "api.vendor.example"), "allow dns_default");
	says(rules_dns(c.rules, "leak.vendor.example"), "deny network_rules[3] nodns");
	says(rules_dns(c.rules, "stranger.test"), "deny network_rules[5] rest");
	rules_done(&c);
	load("return { dns_default = 'deny', network_rules = {\n"
	     "  { name = 'web', domains = { '**.vendor.example' }, ports = { 443 }, decision = "
	     "'allow' } } }");
	says(rules_dns(c.rules, "api.vendor.example"), "deny dns_default");
	rules_done(&c);
	load("return { dns_default = 'allow' }");
	says(rules_dns(c.rules, "anything.test"), "allow dns_default");
}

static void file_rules_know_paths_operations_and_both_ends_of_a_rename(void **state)
{
	(void)state;
	load("return { file_rules = {\n"
	     "  { name = 'secrets', paths = { '**/.env', '/**/id_rsa' }, decision = 'deny' },\n"
	     "  { name = 'trash', paths = { '/workspace/**' }, operations = { 'DELETE', 'rmdir' }, "
	     "decision = 'soft_delete' },\n"
	     "  { name = 'ws', paths = { '/workspace/**', '/workspace' }, decision = 'allow' },\n"
	     "  { name = 'so', paths = { '/lib/**/*.so' }, operations = { 'read' }, decision = "
	     "'audit' },\n"
	     "  { name = 'flat', paths = { '/home/u/*' }, decision = 'redirect', redirect_to = "
	     "'/scratch/' },\n"
	     "  { name = 'tree', paths = { '/home/**' }, decision = 'redirect', redirect_to = "
	     "'/s/base', preserve_tree = true },\n"
	     "  { name = 'never', paths = {}, decision = 'deny' },\n"
	     "  { name = 'hosts', paths = { '/etc/hosts' }, operations = { '*' }, decision = "
	     "'approve' },\n"
	     "} }");
	says(rules_file(c.rules, "read", "/.env", NULL), "deny file_rules[1] secrets");
	says(rules_file(c.rules, "read", "/workspace/a/.env", NULL), "deny file_rules[1] secrets");
	says(rules_file(c.rules, "read", "/root/.ssh/id_rsa", NULL), "deny file_rules[1] secrets");
	says(rules_file(c.rules, "delete", "/workspace/a/b", NULL),
	     "soft_delete file_rules[2] trash");
	says(rules_file(c.rules, "write", "/workspace/a//b/../c", NULL), "allow file_rules[3] ws");
	says(rules_file(c.rules, "list", "/workspace", NULL), "allow file_rules[3] ws");
	says(rules_file(c.rules, "read", "/lib/x.so", NULL), "allow audited file_rules[4] so");
	says(rules_file(c.rules, "read", "/lib/a/b/x.so", NULL), "allow audited file_rules[4] so");
	says(rules_file(c.rules, "write", "/lib/a/b/x.so", NULL), "none");
	says(rules_file(c.rules, "write", "/home/u/f.txt", NULL),
	     "redirect_path /scratch/f.txt file_rules[5] flat");
	says(rules_file(c.rules, "write", "/home/u/d/f.txt", NULL),
	     "redirect_path /s/base/home/u/d/f.txt file_rules[6] tree");
	says(rules_file(c.rules, "write", "/home/../../etc/passwd", NULL), "none");
	says(rules_file(c.rules, "write", "/home/x/../../home/y/z", NULL),
	     "redirect_path /s/base/home/y/z file_rules[6] tree");
	says(rules_file(c.rules, "chmod", "/etc/hosts", NULL), "ask file_rules[8] hosts");
	says(rules_file(c.rules, "rename", "/workspace/a", "/workspace/b"),
	     "allow file_rules[3] ws");
	says(rules_file(c.rules, "rename", "/workspace/a", "/workspace/.env"),
	     "deny file_rules[1] secrets");
	says(rules_file(c.rules, "rename", "/workspace/a", "/elsewhere"), "none");
	says(rules_file(c.rules, "rename", "/home/u/x", "/workspace/b"),
	     "redirect_path /scratch/x file_rules[5] flat");
	says(rules_file(c.rules, "link", "/workspace/b", "/home/u/x"),
	     "redirect_path /scratch/x file_rules[5] flat");
}

static void rules_have_the_line_they_stand_in(void **state)
{
	struct mf_request *req = mf_request_new(MF_DNS);
	struct mf_outcome *o;

	(void)state;
	load("local unused = [==[ dns_redirects = { ]] } ]==] -- dns_redirects = {\n"
	     "return {\n"
	     "  dns_redirects = {\n"
	     "    -- { a comment },\n"
	     "    { name = 'a, { b', match = 'a.example', resolve_to = '10.0.0.1' }; {\n"
	     "      match = 'b.example', resolve_to = '10.0.0.2',\n"
	     "    },\n"
	     "\n"
	     "    { match = 'c.example',\n"
	     "      resolve_to = '10.0.0.3' },\n"
	     "  },\n"
	     "}\n");
	assert_int_equal(mf_request_set_str(req, MF_F_NAME, "c.example", 9), 0);
	assert_int_equal(mf_rules_ask(c.rules, req, &o), 0);
	assert_int_equal(o->d.line, 9);
	assert_string_equal(o->d.file, "test.lua");
	assert_string_equal(o->d.policy, "test");
	assert_int_equal(o->d.ttl_s, 60);
	mf_request_reset(req, MF_DNS);
	assert_int_equal(mf_request_set_str(req, MF_F_NAME, "b.example", 9), 0);
	assert_int_equal(mf_rules_ask(c.rules, req, &o), 0);
	assert_int_equal(o->d.line, 5);
	mf_request_free(req);
}

/* Every case: a policy, and pieces of the message in order, '|' between. */
static const char *const refused[][2] = {
	{ "network_rules = { { decision = 'deny', domains = { '{a,b}.*.ex\xc3\xa4mple' } } }",
	  "domains|mixes wildcards with letters beyond ASCII" },
	{ "network_rules = { { decision = 'allwo' } }",
	  "network_rules[1]|decision must be allow, deny, approve or audit|\"allwo\"|did you mean "
	  "\"allow\"" },
	{ "network_rules = { { name = 'n' } }", "network_rules[1] n|decision is required" },
	{ "network_rules = { { decision = ' allow' } }", "decision must be" },
	{ "network_rules = { { decision = 'redirect' } }",
	  "has no target here: use connect_redirects" },
	{ "network_rules = { { decision = 'deny', domain = { 'x' } } }",
	  "unknown key \"domain\"; did you mean domains" },
	{ "network_rules = { { decision = 'deny', prots = { 1 } } }",
	  "unknown key \"prots\"; did you mean ports" },
	{ "network_rules = { { decision = 'deny', ports = 443 } }",
	  "ports must be a list in { }, not number" },
	{ "network_rules = { { decision = 'deny', ports = { 70000 } } }", "70000 is not a port" },
	{ "network_rules = { { decision = 'deny', ports = { '9-8' } } }",
	  "\"9-8\" is neither a port nor a range" },
	{ "network_rules = { { decision = 'deny', ports = { 1.5 } } }",
	  "ports must be integers or ranges, not number" },
	{ "network_rules = { { decision = 'deny', cidrs = { '10.0.0.0/33' } } }",
	  "cidrs \"10.0.0.0/33\" is not a network" },
	{ "network_rules = { { decision = 'deny', domains = { 'a{b' } } }", "domains \"a{b\"" },
	{ "network_rules = { { decision = 'deny', domains = { 'a..b' } } }",
	  "domains \"a..b\"|is not a host name" },
	{ "network_rules = { { decision = 'deny', domains = { x = 'a' } } }",
	  "domains must be a list without holes or named keys" },
	{ "network_rules = { { decision = 'deny', timeout = '5M' } }",
	  "timeout \"5M\" is not a duration" },
	{ "network_rules = { { decision = 'deny', timeout = '-5s' } }",
	  "timeout \"-5s\" is not a duration" },
	{ "network_rules = { 'x' }", "network_rules[1]|a rule must be a table, not string" },
	{ "network_rules = 5", "network_rules|must be a list in { }, not number" },
	{ "dns_redirects = { { resolve_to = '10.0.0.1' } }", "dns_redirects[1]|match is required" },
	{ "dns_redirects = { { match = 'x' } }", "resolve_to is required" },
	{ "dns_redirects = { { match = 'x', resolve_to = 'not-an-ip' } }",
	  "resolve_to must be valid IP address, not \"not-an-ip\"" },
	{ "dns_redirects = { { match = 'x', resolve_to6 = '10.0.0.1' } }",
	  "resolve_to6 must be valid IPv6 address" },
	{ "dns_redirects = { { match = 'x', search = 'y', resolve_to = '10.0.0.1' } }",
	  "only one of match, regex and search" },
	{ "dns_redirects = { { regex = '[x', resolve_to = '10.0.0.1' } }",
	  "invalid match regex \"[x\"" },
	{ "dns_redirects = { { match = 'x', resolve_to = '10.0.0.1', visibility = 'Silent' } }",
	  "visibility must be audit_only, silent or warn, not \"Silent\"; did you mean "
	  "\"silent\"" },
	{ "dns_redirects = { { match = 'x', resolve_to = '10.0.0.1', on_failure = 'x' } }",
	  "on_failure must be fail_closed, fail_open or retry_original" },
	{ "dns_redirects = { { match = 'x', redirect_ip = '10.0.0.1', resolve_to = '10.0.0.1' } }",
	  "unknown key \"redirect_ip\"; did you mean resolve_to" },
	{ "dns_redirects = { { match = 'x', resolve_to = 5 } }",
	  "resolve_to must be a string, not number" },
	{ "connect_redirects = { { match = 'x' } }",
	  "exactly one of redirect_to or redirect_to_unix" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p:1', redirect_to_unix = '/s' } }",
	  "exactly one of" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p' } }",
	  "redirect_to must be \"host:port\", not \"p\"" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'unix:/s' } }",
	  "a Unix socket goes into redirect_to_unix" },
	{ "connect_redirects = { { match = 'x', redirect_to_unix = 's' } }",
	  "redirect_to_unix must be an absolute path" },
	{ "connect_redirects = { { match = 'x:99999', redirect_to = 'p:1' } }",
	  "after ':' stands a port" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p:1', tls = { mode = 'mitm' } } }",
	  "tls.mode must be passthrough or rewrite_sni" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p:1', tls = { mode = 'rewrite_sni' "
	  "} } }",
	  "tls.sni required" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p:1', tls = 'rewrite_sni' } }",
	  "tls must be a table: tls = { mode" },
	{ "connect_redirects = { { match = 'x', redirect_to = 'p:1', destination = 'q' } }",
	  "unknown key \"destination\"; did you mean redirect_to" },
	{ "network_rules = { { name = 'all', decision = 'deny' } }, connect_redirects = { { name = "
	  "'r', match = 'x', redirect_to = 'p:1' } }",
	  "connect_redirects[1] r|redirect_to p:1 is denied by network_rules[1] "
	  "all|redirect_target_policy = \"trusted\"" },
	{ "file_rules = { { decision = 'deny' } }", "file_rules[1]|paths is required" },
	{ "file_rules = { { decision = 'deny', paths = { 'a/b' } } }", "must begin with / or **" },
	{ "file_rules = { { decision = 'deny', paths = { '${HOME}/x' } } }",
	  "${...} is not expanded here" },
	{ "file_rules = { { decision = 'deny', paths = { '/a' }, operations = { 'raed' } } }",
	  "operations must be|\"raed\"|did you mean \"read\"" },
	{ "file_rules = { { decision = 'redirect', paths = { '/a' } } }",
	  "redirect_to must be a clean absolute directory" },
	{ "file_rules = { { decision = 'redirect', paths = { '/a' }, redirect_to = '/x/../y' } }",
	  "clean absolute directory" },
	{ "file_rules = { { decision = 'deny', paths = { '/a' }, redirect_to = '/x' } }",
	  "redirect_to is only for decision \"redirect\"" },
	{ "file_rules = { { decision = 'deny', paths = { '/a' }, preserve_tree = 1 } }",
	  "preserve_tree must be true or false" },
	{ "dns_default = 'maybe'",
	  "dns_default must be resolve_known, allow or deny, not \"maybe\"" },
	{ "dns_default = 5", "dns_default must be" },
};

static void what_is_wrong_is_refused_and_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char lua[1024], part[512];
		const char *p = refused[i][1], *at;

		snprintf(lua, sizeof(lua), "return {\n%s }", refused[i][0]);
		rules_load(&c, lua);
		if (c.code != MF_E_POLICY)
			fail_msg("accepted: %s", refused[i][0]);
		assert_null(c.rules);
		assert_non_null(strstr(c.err.msg, "policy test"));
		assert_string_equal(c.err.file, "test.lua");
		at = c.err.msg;
		while (*p) {
			size_t n = strcspn(p, "|");

			memcpy(part, p, n);
			part[n] = '\0';
			at = strstr(at, part);
			if (!at)
				fail_msg("%s\n  said:     %s\n  expected: %s", refused[i][0],
					 c.err.msg, part);
			at += n;
			p += n + (p[n] == '|');
		}
		rules_done(&c);
	}
}

static void all_errors_of_a_policy_come_together(void **state)
{
	(void)state;
	rules_load(&c, "return {\n"
		       "  network_rules = {\n"
		       "    { name = 'ok', decision = 'deny' },\n"
		       "    { name = 'one', decision = 'x', cidrs = { 'y' } },\n"
		       "  },\n"
		       "  file_rules = {\n"
		       "    { name = 'two', paths = { 'z' }, decision = 'deny' },\n"
		       "  },\n"
		       "}");
	assert_int_equal(c.code, MF_E_POLICY);
	assert_non_null(strstr(c.err.msg, "3 errors"));
	assert_non_null(strstr(c.err.msg, "network_rules[2] one (line 4): decision"));
	assert_non_null(strstr(c.err.msg, "network_rules[2] one (line 4): cidrs"));
	assert_non_null(strstr(c.err.msg, "file_rules[1] two (line 7): paths"));
	assert_int_equal(c.err.line, 4);
}

static void many_errors_are_counted_where_they_do_not_fit(void **state)
{
	char lua[8192] = "return { network_rules = {";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(lua, "{ decision = 'wrong' },");
	strcat(lua, "} }");
	rules_load(&c, lua);
	assert_int_equal(c.code, MF_E_POLICY);
	assert_non_null(strstr(c.err.msg, "100 errors"));
	assert_non_null(strstr(c.err.msg, "more"));
}

static void an_expression_at_its_match_limit_is_an_error(void **state)
{
	char name[254];
	size_t n = 0;

	(void)state;
	load("return { dns_redirects = { { search = '^(([a-z])+.)+[A-Z0-9]$', resolve_to = "
	     "'10.0.0.1' } } }");
	while (n < 240) {
		memset(name + n, 'a', 59);
		name[n + 59] = '.';
		n += 60;
	}
	memcpy(name + n - 1, ".x-", 4);
	says(rules_dns(c.rules, name), "error -11");
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		T(first_network_rule_that_matches_decides),
		T(no_rule_is_no_opinion),
		T(an_unknown_address_meets_denies_of_networks_and_no_allows),
		T(strictest_of_several_names_holds),
		T(redirects_match_whole_names),
		T(deny_wins_over_redirect),
		T(names_resolve_when_a_rule_lets_them_be_reached),
		T(file_rules_know_paths_operations_and_both_ends_of_a_rename),
		T(rules_have_the_line_they_stand_in),
		T(what_is_wrong_is_refused_and_named),
		T(all_errors_of_a_policy_come_together),
		T(many_errors_are_counted_where_they_do_not_fit),
		T(an_expression_at_its_match_limit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
