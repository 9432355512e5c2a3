/* SPDX-License-Identifier: Apache-2.0 */
/* test_decide.c - decisions: what a hook sees, what is cached and what is not, what is explained */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/shared_sets.h"
#include "support.h"
#include "tests/os/os.h"

static uint64_t lua_entries(struct fence *f)
{
	struct mf_vm_stats st = { .size = sizeof(st) };

	mf_vm_state_stats(f->state, &st);
	return st.lua_entries;
}

/* Ask, expect success, free the request. */
static struct mf_decision decide(struct fence *f, struct mf_request *req)
{
	struct mf_decision d;

	if (fence_ask(f, req, &d) < 0)
		fail_msg("%s:%u: %s", f->state->err.file, f->state->err.line, f->state->err.msg);
	mf_request_free(req);
	return d;
}

/* --- what is cached ---------------------------------------------------------------------------------------------- */

static void test_a_repeat_does_not_enter_lua(void **state)
{
	struct fence f;
	struct mf_decision d;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if q:under 'bad.example' then\n"
		       "    return deny 'bad'\n"
		       "  end\n"
		       "end }");
	d = decide(&f, ask_dns("x.bad.example"));
	assert_int_equal(d.verdict, MF_DENY);
	assert_int_equal(d.origin, MF_FROM_LUA);
	assert_true(d.matched);
	assert_string_equal(d.reason, "bad");
	assert_string_equal(d.policy, "p");
	assert_string_equal(d.rule, "dns()");
	assert_int_equal(d.line, 3);
	assert_non_null(strstr(d.file, "10-test.lua"));
	assert_int_equal(d.rcode, 5);
	d = decide(&f, ask_dns("x.bad.example"));
	assert_int_equal(d.origin, MF_FROM_MEMO);
	assert_string_equal(d.reason, "bad");
	assert_string_equal(d.rule, "dns()");
	assert_int_equal(d.line, 3);
	/* Another name, the same outcome of the same predicate. */
	d = decide(&f, ask_dns("y.bad.example"));
	assert_int_equal(d.origin, MF_FROM_GRAPH);
	assert_string_equal(d.reason, "bad");
	assert_int_equal(lua_entries(&f), 1);
	d = decide(&f, ask_dns("good.example"));
	assert_int_equal(d.origin, MF_FROM_DEFAULT);
	assert_int_equal(d.verdict, MF_DENY);
	assert_false(d.matched);
	assert_string_equal(d.policy, "default");
	d = decide(&f, ask_dns("good.example"));
	assert_int_equal(d.origin, MF_FROM_MEMO);
	assert_false(d.matched);
	assert_int_equal(lua_entries(&f), 2);
	fence_done(&f);
}

static void test_every_value_that_lua_can_tell_apart_is_told_apart(void **state)
{
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;

	(void)state;
	fence_open(&f, "return { name = 'p', connect = function(c)\n"
		       "  if c.host == nil then return deny 'no host' end\n"
		       "  return deny(c.host .. ':' .. c.port .. '/' .. #(c.hosts or {}))\n"
		       "end }");
	assert_string_equal(decide(&f, ask_connect("a.example", "192.0.2.1", 443)).reason,
			    "a.example:443/1");
	assert_string_equal(decide(&f, ask_connect("a.example", "192.0.2.1", 80)).reason,
			    "a.example:80/1");
	assert_string_equal(decide(&f, ask_connect(NULL, "192.0.2.1", 443)).reason, "no host");
	req = ask_connect("a.example", "192.0.2.1", 443);
	mf_request_add_str(req, MF_F_HOSTS, "b.example", 9);
	assert_string_equal(decide(&f, req).reason, "a.example:443/2");
	d = decide(&f, ask_connect("a.example", "192.0.2.1", 443));
	assert_int_equal(d.origin, MF_FROM_MEMO);
	assert_string_equal(d.reason, "a.example:443/1");
	/* The address is not read, so another one is the same question. */
	d = decide(&f, ask_connect("a.example", "192.0.2.99", 443));
	assert_int_equal(d.origin, MF_FROM_MEMO);
	fence_done(&f);
}

static void test_labels_are_part_of_the_question(void **state)
{
	struct fence f;
	struct mf_request *req;
	int i;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if q.session.labels.team == 'red' then return allow() end\n"
		       "  return deny(q.session.labels.team or 'none')\n"
		       "end }");
	for (i = 0; i < 2; i++) {
		req = ask_dns("a.example");
		mf_request_set_label(req, "team", "red");
		assert_int_equal(decide(&f, req).verdict, MF_ALLOW);
		req = ask_dns("a.example");
		mf_request_set_label(req, "team", "blue");
		assert_string_equal(decide(&f, req).reason, "blue");
		assert_string_equal(decide(&f, ask_dns("a.example")).reason, "none");
	}
	assert_int_equal(lua_entries(&f), 3);
	fence_done(&f);
}

static int fetch_name(struct mf_request *req, enum mf_field field, void *ctx)
{
	(void)field;
	return mf_request_set_str(req, MF_F_PROCESS_NAME, ctx, strlen(ctx));
}

static void test_fetched_fields_are_found_in_the_graph_but_never_in_the_memo(void **state)
{
	static char curl[] = "curl", wget[] = "wget";
	char *names[] = { curl, wget, curl, wget, curl };
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;
	size_t i;

	(void)state;
	fence_open(&f, "return { name = 'p', connect = function(c)\n"
		       "  if c.port ~= 443 then return deny 'port' end\n"
		       "  if c.process.name == 'curl' then return allow() end\n"
		       "  return deny(c.process.name)\n"
		       "end }");
	for (i = 0; i < MF_ARRAY_SIZE(names); i++) {
		req = ask_connect(NULL, "192.0.2.1", 443);
		mf_request_set_fetch(req, fetch_name, names[i], MF_FIELD_BIT(MF_F_PROCESS_NAME));
		d = decide(&f, req);
		assert_int_equal(d.verdict, names[i] == curl ? MF_ALLOW : MF_DENY);
		assert_int_equal(d.origin, i < 2 ? MF_FROM_LUA : MF_FROM_GRAPH);
	}
	assert_int_equal(lua_entries(&f), 2);
	/* A path that does not need the process does not fetch it, and is remembered. */
	for (i = 0; i < 2; i++) {
		req = ask_connect(NULL, "192.0.2.1", 80);
		mf_request_set_fetch(req, fetch_name, curl, MF_FIELD_BIT(MF_F_PROCESS_NAME));
		assert_string_equal(decide(&f, req).reason, "port");
	}
	assert_int_equal(decide(&f, ask_connect(NULL, "192.0.2.1", 80)).verdict, MF_DENY);
	fence_done(&f);
}

static void test_answers_that_depend_on_the_time_expire(void **state)
{
	const uint64_t hour = 3600 * MF_NS_PER_S;
	struct fence f;
	struct mf_decision d;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if now:between('22:00', '06:00') then return deny 'night' end\n"
		       "  return deny('hour ' .. now.hour .. ' day ' .. now.weekday)\n"
		       "end }");
	d = decide(&f, ask_dns("a.example"));
	assert_string_equal(d.reason, "hour 10 day 5");
	assert_int_equal(d.expires_ns, f.mono_ns + 60 * MF_NS_PER_S);
	f.wall_ns += 30 * MF_NS_PER_S;
	f.mono_ns += 30 * MF_NS_PER_S;
	d = decide(&f, ask_dns("a.example"));
	assert_int_equal(d.origin, MF_FROM_MEMO);
	assert_int_equal(d.expires_ns, f.mono_ns + 30 * MF_NS_PER_S);
	f.wall_ns += hour;
	d = decide(&f, ask_dns("a.example"));
	assert_string_equal(d.reason, "hour 11 day 5");
	f.wall_ns += 11 * hour;
	assert_string_equal(decide(&f, ask_dns("a.example")).reason, "night");
	f.wall_ns += 8 * hour;
	assert_string_equal(decide(&f, ask_dns("a.example")).reason, "hour 6 day 6");
	/* The clock is set back. */
	f.wall_ns -= 8 * hour;
	assert_string_equal(decide(&f, ask_dns("a.example")).reason, "night");
	/* A time of day seen before is known to the graph. */
	f.wall_ns += 16 * hour;
	d = decide(&f, ask_dns("a.example"));
	assert_int_equal(d.origin, MF_FROM_LUA);
	f.wall_ns += 168 * hour;
	d = decide(&f, ask_dns("a.example"));
	assert_int_equal(d.origin, MF_FROM_GRAPH);
	fence_done(&f);
}

static void test_counters_are_never_cached(void **state)
{
	struct fence f;
	int i;

	(void)state;
	fence_open(&f,
		   "return { name = 'p', dns = function(q)\n"
		   "  if q.type == 'TXT' then return allow() end\n"
		   "  if counter('per-name', q.name):over(3, '1m') then return deny 'rate' end\n"
		   "  return allow()\n"
		   "end }");
	for (i = 0; i < 3; i++)
		assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_ALLOW);
	assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_DENY);
	assert_int_equal(decide(&f, ask_dns("b.example")).verdict, MF_ALLOW);
	assert_int_equal(decide(&f, ask_dns("a.example")).expires_ns, 0);
	f.mono_ns += 61 * MF_NS_PER_S;
	f.wall_ns += 61 * MF_NS_PER_S;
	assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_DENY);
	f.mono_ns += 70 * MF_NS_PER_S;
	assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_ALLOW);
	fence_done(&f);
}

static void test_errors_leave_nothing_behind(void **state)
{
	struct fence f;
	struct mf_request *req = ask_dns("a.example");
	struct mf_decision d;
	size_t policy;
	int i;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if q.type == 'A' then\n"
		       "    error 'oops'\n"
		       "  end\n"
		       "  return allow()\n"
		       "end }");
	for (i = 1; i <= 3; i++) {
		d = (struct mf_decision)MF_DECISION_INIT;
		assert_int_equal(mf_vm_state_decide(f.state, req, &d, &policy), MF_E_POLICY);
		assert_int_equal(policy, 0);
		assert_int_equal(d.verdict, MF_DENY);
		assert_int_equal(d.origin, MF_FROM_FAIL_MODE);
		assert_int_equal(d.error, MF_E_POLICY);
		assert_int_equal(d.line, 3);
		assert_non_null(strstr(d.reason, "oops"));
		assert_int_equal(mf_vm_state_health(f.state, 0)->errors_in_a_row, i);
		assert_int_equal(lua_entries(&f), i);
	}
	mf_request_set_str(req, MF_F_TYPE, "AAAA", 4);
	assert_int_equal(mf_vm_state_decide(f.state, req, &d, &policy), 0);
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_int_equal(mf_vm_state_health(f.state, 0)->errors_in_a_row, 0);
	mf_request_free(req);
	fence_done(&f);
}

static void test_the_first_opinion_wins_and_nil_goes_on(void **state)
{
	struct fence f;
	struct mf_decision d;
	int i;

	(void)state;
	fence_init(&f);
	fence_write(&f, "10-a.lua",
		    "return { name = 'a', connect = function(c)\n"
		    "  if c.port == 22 then return deny 'ssh' end\n"
		    "end }");
	fence_write(&f, "20-b.lua",
		    "return { name = 'b', connect = function(c)\n"
		    "  if c:to '192.0.2.0/24' then return allow() end\n"
		    "end }");
	assert_int_equal(fence_load(&f), 0);
	for (i = 0; i < 2; i++) {
		d = decide(&f, ask_connect(NULL, "192.0.2.1", 22));
		assert_string_equal(d.policy, "a");
		d = decide(&f, ask_connect(NULL, "192.0.2.1", 443));
		assert_string_equal(d.policy, "b");
		assert_int_equal(d.verdict, MF_ALLOW);
		d = decide(&f, ask_connect(NULL, "198.51.100.1", 443));
		assert_string_equal(d.policy, "default");
		assert_string_equal(d.rule, "default-connect");
	}
	fence_done(&f);
}

static void test_files_may_be_looked_at_by_default(void **state)
{
	struct fence f;
	struct mf_request *req;

	(void)state;
	fence_open(&f, "return { name = 'p' }");
	assert_int_equal(decide(&f, ask_file("read", "/a")).verdict, MF_ALLOW);
	assert_int_equal(decide(&f, ask_file("stat", "/a")).verdict, MF_ALLOW);
	assert_int_equal(decide(&f, ask_file("write", "/a")).verdict, MF_DENY);
	assert_int_equal(decide(&f, ask_file("delete", "/a")).verdict, MF_DENY);
	assert_int_equal(decide(&f, ask_file("open", "/a")).verdict, MF_ALLOW);
	/* An open that may write is no look (also after a memo hit of one that is). */
	req = ask_file("open", "/a");
	mf_request_add_str(req, MF_F_FLAGS, "truncate", 8);
	assert_int_equal(decide(&f, req).verdict, MF_DENY);
	fence_done(&f);
}

static void test_a_quarantined_policy_is_not_asked(void **state)
{
	struct fence f;
	struct mf_request *req = ask_dns("a.example"), *other = ask_dns("b.example");
	struct mf_decision d;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q) return allow() end }");
	assert_int_equal(fence_ask(&f, req, &d), 0);
	mf_vm_state_health(f.state, 0)->quarantined = true;
	/* The first question that is no repeat makes the memo forget the repeats. */
	mf_request_set_str(other, MF_F_TYPE, "MX", 2);
	mf_request_set_str(other, MF_F_NAME, "b.example", 9);
	mf_request_set_str(other, MF_F_SOURCE, "api", 3);
	mf_vm_state_set_cache(f.state, false);
	assert_int_equal(fence_ask(&f, other, &d), MF_E_POLICY);
	mf_vm_state_set_cache(f.state, true);
	assert_int_equal(fence_ask(&f, req, &d), MF_E_POLICY);
	assert_int_equal(d.verdict, MF_DENY);
	assert_int_equal(lua_entries(&f), 1);
	mf_request_free(req);
	mf_request_free(other);
	fence_done(&f);
}

static void test_a_caller_with_a_smaller_decision_gets_what_it_knows(void **state)
{
	struct fence f;
	struct mf_request *req = ask_dns("a.example");
	struct mf_decision d;
	size_t policy;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q) return allow() end }");
	memset(&d, 0x5a, sizeof(d));
	d.size = offsetof(struct mf_decision, pack);
	assert_int_equal(mf_vm_state_decide(f.state, req, &d, &policy), 0);
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_int_equal(d.size, offsetof(struct mf_decision, pack));
	assert_int_equal(d.expires_ns, UINT64_C(0x5a5a5a5a5a5a5a5a));
	mf_request_free(req);
	fence_done(&f);
}

/* --- what a hook sees -------------------------------------------------------------------------------------------- */

/* Each row: a hook's body, and a piece of the error that it must give. */
static void test_mistakes_are_named(void **state)
{
	static const struct {
		const char *hook, *body, *error;
	} rows[] = {
		{ "dns", "return q.nmae",
		  "dns request has no field 'nmae' (did you mean 'name'?)" },
		{ "dns", "return q.port", "has no field 'port'" },
		{ "connect", "return q.name", "it has: " },
		{ "dns", "return q.process.nam", "did you mean 'name'?" },
		{ "dns", "return q.session.lables", "did you mean 'labels'?" },
		{ "dns", "q.name = 'x'", "read-only" },
		{ "dns", "return q.under('x')", "with a colon" },
		{ "dns", "return q:under(nil)", "under does not take a nil" },
		{ "dns", "return q:under('a..b')", "is not a domain name" },
		{ "dns", "return q:glob('[')", "glob: " },
		{ "dns", "return q:regex('(')", "regex: " },
		{ "dns", "return q:glob{'a'}", "glob does not take a table" },
		{ "dns", "return q:under(nets)", "under does not take a networks" },
		{ "connect", "return q:to('10.0.0.0/33')", "to: " },
		{ "connect", "return q:port_in{70000}", "port_in: " },
		{ "connect", "return q:port_in{x=1}", "unknown key 'x'" },
		{ "file", "return q:under('relative')", "is not an absolute path" },
		{ "dns", "return now.hours", "did you mean 'hour'?" },
		{ "dns", "return now:between('25:00', '06:00')", "is not a span of time" },
		{ "dns", "return domains { 'a.example' }", "sets are made while a policy loads" },
		{ "dns", "return 'deny'", "the dns hook returned a string; expected a verdict" },
		{ "dns", "return true", "the dns hook returned a boolean" },
		{ "dns", "return soft_delete()", "which a dns request cannot carry" },
		{ "connect", "return resolve '192.0.2.1'", "which a connect request cannot carry" },
		{ "dns", "return deny { reson = 'x' }", "did you mean 'reason'?" },
		{ "dns", "return deny { rcode = 'NXDOMIAN' }", "did you mean 'NXDOMAIN'?" },
		{ "file", "return deny { errno = 'EACCESS' }", "did you mean 'EACCES'?" },
		{ "dns", "return deny(42)", "deny: expected a table or a string, not a number" },
		{ "dns", "return allow { visibility = 'loud' }", "expected one of: audit_only" },
		{ "dns", "return resolve {}", "needs at least one address" },
		{ "dns", "return resolve { '300.1.1.1' }", "is not an IP address" },
		{ "dns", "return resolve { '192.0.2.1', cname = 'a.example' }", "not both" },
		{ "dns", "return resolve { '192.0.2.1', ttl = -1 }", "ttl must be a whole number" },
		{ "connect", "return redirect 'llm.corp'", "is not host:port" },
		{ "connect", "return redirect { to = 'llm.corp:0' }", "is not host:port" },
		{ "connect", "return redirect {}", "needs either to or unix" },
		{ "connect", "return redirect { to = 'a.corp:1', tls = 'rewrite_sni' }",
		  "needs sni" },
		{ "connect", "return redirect { to = 'a.corp:1', sni = 'a.corp' }",
		  "sni needs tls" },
		{ "connect", "return redirect { unix = 'x.sock' }", "is not an absolute path" },
		{ "sni", "return route { }", "route: needs to" },
		{ "sni", "return terminate { on_pinned = 'pass' }",
		  "expected one of: deny, passthrough" },
		{ "connect", "return terminate { except = 'a.example' }", "except" },
		{ "dns", "return terminate()",
		  "returned terminate, which a dns request cannot carry" },
		{ "file", "return redirect_path 'x'", "is not an absolute path" },
		{ "dns", "return audit('x')", "audit: expected a verdict" },
		{ "dns", "return counter('x'):over('a', '1m')", "number expected" },
		{ "dns", "return counter('x'):over(1, 'soon')", "is no window" },
		{ "dns", "return counter('')", "1 to " },
		{ "dns", "for i = 1, 100 do deny('r' .. i) end", "more than 64 verdicts" },
	};
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;
	char lua[512];
	size_t i;

	(void)state;
	for (i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		snprintf(lua, sizeof(lua),
			 "local nets = networks { '10.0.0.0/8' }\n"
			 "return { name = 'p', %s = function(q)\n%s\nend }",
			 rows[i].hook, rows[i].body);
		fence_open(&f, lua);
		req = !strcmp(rows[i].hook, "dns") ? ask_dns("a.example")
		      : !strcmp(rows[i].hook, "connect")
			      ? ask_connect("a.example", "192.0.2.1", 443)
		      : !strcmp(rows[i].hook, "file") ? ask_file("read", "/a")
						      : mf_request_new(MF_SNI);
		if (fence_ask(&f, req, &d) != MF_E_POLICY)
			fail_msg("'%s' is no error", rows[i].body);
		if (!strstr(d.reason, rows[i].error))
			fail_msg("'%s' says '%s', not '%s'", rows[i].body, d.reason, rows[i].error);
		/* Of what a hook returned only the hook's own line is known. */
		if (d.line != (strstr(rows[i].error, "hook returned") ? 2 : 3))
			fail_msg("'%s' is said to be on line %u (%s)", rows[i].body, d.line,
				 d.reason);
		mf_request_free(req);
		fence_done(&f);
	}
}

/* Lua shows the last 56 bytes of a name. */
static void test_a_mistake_in_a_file_with_a_long_name_has_its_place(void **state)
{
	static const char *const rows[] = { "return 'deny'", "return route 'a.example:1'",
					    "error 'x'" };
	static const char file[] =
		"a-name-that-is-longer-than-what-Lua-shows-of-one-in-a-message.lua";
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;
	char lua[512];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		snprintf(lua, sizeof(lua), "return { name = 'p',\ndns = function(q) %s end }",
			 rows[i]);
		fence_init(&f);
		fence_write(&f, file, lua);
		assert_int_equal(fence_load(&f), 0);
		req = ask_dns("a.example");
		assert_int_equal(fence_ask(&f, req, &d), MF_E_POLICY);
		assert_int_equal(d.line, 2);
		assert_string_equal(d.file + strlen(d.file) - strlen(file), file);
		mf_request_free(req);
		fence_done(&f);
	}
}

/* Each row: an expression that must be true for the request of its kind. */
static void test_what_a_hook_sees(void **state)
{
	static const struct {
		const char *hook, *expr;
	} rows[] = {
		{ "dns", "q.kind == 'dns'" },
		{ "dns", "q.name == 'www.example.com'" },
		{ "dns", "q.class == nil and q.client == nil" },
		{ "dns", "q:is 'WWW.example.com.'" },
		{ "dns", "not q:is 'example.com'" },
		{ "dns", "q:is { 'a.example', 'www.example.com' }" },
		{ "dns", "not q:is { 'a.example', 'example.com' }" },
		{ "dns", "q:under 'example.com' and q:under 'com' and q:under 'www.example.com'" },
		{ "dns", "not q:under 'ample.com' and not q:under 'x.www.example.com'" },
		{ "dns", "q:under { 'a.example', 'example.com' }" },
		{ "dns", "q:under(set) and set:has 'a.example.com' and not set:has 'example.org'" },
		{ "dns", "not q:under(file_set) and file_set:has 'x.tracker.example'" },
		{ "dns", "q:glob '*.example.com' and q:glob '**.com' and not q:glob '*.com'" },
		{ "dns", "q:regex '^w{3}[.]EXAMPLE' and q:regex 'ample' and not q:regex '^ample'" },
		{ "dns", "q.process.name == nil and q.session.id == nil" },
		{ "dns", "tostring(q) == 'dns request' and tostring(q.process) == 'process'" },
		{ "dns", "now.year == 2025 and now.month == 11 and now.day == 21" },
		{ "dns", "now.hour == 10 and now.minute == 0 and now.weekday == 5" },
		{ "dns", "now.yearday == 325 and now.unix == 1763719200 and now.second == 0" },
		{ "dns", "now:between('09:00', '17:00') and not now:between('17:00', '09:00')" },
		{ "connect", "q.ip == '192.0.2.1' and q.port == 443 and q.family == 4" },
		{ "connect", "q.host == 'www.example.com' and #q.hosts == 1" },
		{ "connect", "q.hosts[1] == q.host" },
		{ "connect", "q:to '192.0.2.0/24' and q:to '192.0.2.1' and not q:to '10.0.0.0/8'" },
		{ "connect", "q:to { '10.0.0.0/8', '192.0.2.0/24' } and not q:to(lan)" },
		{ "connect", "q:to_private()" /* documentation network: not globally reachable */ },
		{ "connect",
		  "q:port_in { 80, 443 } and q:port_in { '400-500' } and q:port_in(web)" },
		{ "connect", "q:port_in(443) and q:port_in '1-1000' and not q:port_in { 80 }" },
		{ "connect", "q:port_in(weblist)" },
		{ "connect", "q:under 'example.com'" },
		{ "connect", "lan:has '10.1.2.3' and not lan:has '192.0.2.1' and web:has '443'" },
		{ "file",
		  "q:under '/workspace' and q:under '/workspace/a/' and not q:under '/work'" },
		{ "file", "q:is '/workspace/a/./.env' and q:glob '/workspace/**/.env*'" },
		{ "file", "q:under { '/tmp', '/workspace' } and q:under '/'" },
		{ "file", "q:regex '[.]env$' and not q:regex '[.]ENV$'" },
		{ "file", "q.op == 'read' and q.size == nil and q.flags == nil" },
		{ "sni", "q.sni == 'navis.local' and q:is 'navis.local'" },
		{ "sni",
		  "q.ech == true and q.quic == nil and #q.alpn == 2 and q.alpn[2] == 'http/1.1'" },
		{ "sni", "not q:matches_dns()" },
	};
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;
	char lua[768];
	size_t i;
	int again;

	(void)state;
	for (i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		fence_init(&f);
		snprintf(lua, sizeof(lua),
			 "local set = domains { 'example.com' }\n"
			 "local file_set = domains { file = 'data/t.txt' }\n"
			 "local lan = networks { '10.0.0.0/8', 'fd00::/8' }\n"
			 "local web = ports { 80, 443, '8000-8999' }\n"
			 "local weblist = { 80, 443 }\n"
			 "return { name = 'p', %s = function(q)\n"
			 "  if %s then return allow() end return deny 'false'\nend }",
			 rows[i].hook, rows[i].expr);
		fence_write(&f, "p/policy.lua", lua);
		fence_write(&f, "p/data/t.txt", "# trackers\ntracker.example\n");
		if (fence_load(&f) < 0)
			fail_msg("%s", f.err.msg);
		for (again = 0; again < 3; again++) {
			if (!strcmp(rows[i].hook, "dns")) {
				req = ask_dns("www.example.com");
			} else if (!strcmp(rows[i].hook, "connect")) {
				req = ask_connect("www.example.com", "192.0.2.1", 443);
			} else if (!strcmp(rows[i].hook, "file")) {
				req = ask_file("read", "/workspace/a/.env");
			} else {
				req = mf_request_new(MF_SNI);
				mf_request_set_str(req, MF_F_SNI, "Navis.local", 11);
				mf_request_set_bool(req, MF_F_ECH, true);
				mf_request_add_str(req, MF_F_ALPN, "h2", 2);
				mf_request_add_str(req, MF_F_ALPN, "http/1.1", 8);
				mf_request_add_str(req, MF_F_HOSTS, "other.example", 13);
			}
			if (again == 1)
				mf_vm_state_flush(f.state); /* from the graph */
			if (fence_ask(&f, req, &d) < 0)
				fail_msg("'%s': %s", rows[i].expr, d.reason);
			if (d.verdict != MF_ALLOW)
				fail_msg("'%s' is false (%s)", rows[i].expr,
					 mf_origin_name(d.origin));
			mf_request_free(req);
		}
		fence_done(&f);
	}
}

static void test_verdicts_carry_their_parameters(void **state)
{
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;

	(void)state;
	fence_open(&f,
		   "local never = deny { reason = 'made while loading', visibility = 'silent' }\n"
		   "return { name = 'p',\n"
		   "dns = function(q)\n"
		   "  if q:is 'a.example' then return resolve { '10.0.0.9', '::ffff:10.0.0.10', "
		   "ttl = 30 } end\n"
		   "  if q:is 'b.example' then return resolve { cname = 'Other.Example', "
		   "visibility = 'warn' } end\n"
		   "  if q:is 'c.example' then return deny { rcode = 'NXDOMAIN', message = 'no' } "
		   "end\n"
		   "  if q:is 'd.example' then return audit(deny { reason = 'x' }) end\n"
		   "  return never\n"
		   "end,\n"
		   "connect = function(c)\n"
		   "  return redirect { to = 'LLM.corp:8443', tls = 'rewrite_sni', sni = "
		   "'llm.corp', on_failure = 'fail_open' }\n"
		   "end,\n"
		   "sni = function(s) return route '[2001:DB8::1]:47621' end,\n"
		   "file = function(f)\n"
		   "  if f.op == 'delete' then return soft_delete { hash = true } end\n"
		   "  if f.op == 'open' then return redirect_path '/a/../b' end\n"
		   "  return deny { errno = 'EROFS' }\n"
		   "end }");
	d = decide(&f, ask_dns("a.example"));
	assert_int_equal(d.verdict, MF_RESOLVE);
	assert_int_equal(d.addr_cnt, 2);
	assert_int_equal(d.addrs[1].family, 4);
	assert_int_equal(d.addrs[1].bytes[3], 10);
	assert_int_equal(d.ttl_s, 30);
	d = decide(&f, ask_dns("b.example"));
	assert_string_equal(d.cname, "other.example");
	assert_int_equal(d.visibility, MF_WARN);
	assert_int_equal(d.addr_cnt, 0);
	d = decide(&f, ask_dns("c.example"));
	assert_int_equal(d.rcode, 3);
	assert_string_equal(d.message, "no");
	d = decide(&f, ask_dns("d.example"));
	assert_true(d.audit);
	assert_int_equal(d.verdict, MF_DENY);
	assert_string_equal(d.reason, "x");
	d = decide(&f, ask_dns("e.example"));
	assert_string_equal(d.reason, "made while loading");
	assert_int_equal(d.line, 1);
	assert_int_equal(d.visibility, MF_SILENT);
	d = decide(&f, ask_connect(NULL, "192.0.2.1", 1));
	assert_int_equal(d.verdict, MF_REDIRECT);
	assert_string_equal(d.redirect_host, "llm.corp");
	assert_int_equal(d.redirect_port, 8443);
	assert_int_equal(d.tls_mode, MF_TLS_REWRITE_SNI);
	assert_string_equal(d.sni, "llm.corp");
	assert_int_equal(d.on_failure, MF_FAIL_OPEN);
	req = mf_request_new(MF_SNI);
	d = decide(&f, req);
	assert_int_equal(d.verdict, MF_ROUTE);
	assert_string_equal(d.redirect_host, "2001:db8::1");
	assert_int_equal(d.redirect_port, 47621);
	d = decide(&f, ask_file("delete", "/x"));
	assert_int_equal(d.verdict, MF_SOFT_DELETE);
	assert_true(d.hash);
	d = decide(&f, ask_file("open", "/x"));
	assert_string_equal(d.path_target, "/b");
	assert_int_equal(decide(&f, ask_file("write", "/x")).file_errno, 30);
	fence_done(&f);
}

static void test_a_bad_policy_table_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *lua, *error;
		unsigned line;
	} rows[] = {
		{ "return 5", "a policy returns a table, not number", 0 },
		{ "local x = 1", "not nothing", 0 },
		{ "return {}", "needs a name", 0 },
		{ "return { name = 'p',\n  conect = function() end }", "did you mean 'connect'?",
		  2 },
		{ "return { name = 'p',\n  dns = 'x' }", "must be a function", 2 },
		{ "return { name = '' }", "has 1 to 128 bytes", 1 },
		{ "return {\n name = 'p', 5 }", "names as keys", 0 },
		{ "local d = domains { 'a..b' }\nreturn { name = 'p' }", "domains{...}", 1 },
		{ "\nlocal d = domains { 5 }\nreturn { name = 'p' }", "item 1 is a number", 2 },
		{ "local d = domains { fiel = 'x' }\nreturn { name = 'p' }", "did you mean 'file'?",
		  1 },
		{ "local d = domains { file = '../x' }\nreturn { name = 'p' }", "domains{...}", 1 },
		{ "local d = domains { file = '/etc/passwd' }\nreturn { name = 'p' }",
		  "domains{...}", 1 },
		{ "local d = networks { '10.0.0.0/40' }\nreturn { name = 'p' }", "networks{...}",
		  1 },
		{ "local d = ports { 'http' }\nreturn { name = 'p' }", "ports{...}", 1 },
		{ "local d = now.hour\nreturn { name = 'p' }", "only inside a hook", 1 },
		{ "local d = counter('x')\nreturn { name = 'p' }", "only inside a hook", 1 },
	};
	struct fence f;
	size_t i;

	(void)state;
	for (i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		fence_init(&f);
		fence_write(&f, "10-test.lua", rows[i].lua);
		if (fence_load(&f) != MF_E_POLICY)
			fail_msg("'%s' loads", rows[i].lua);
		if (!strstr(f.err.msg, rows[i].error))
			fail_msg("'%s' says '%s', not '%s'", rows[i].lua, f.err.msg, rows[i].error);
		if (rows[i].line && f.err.line != rows[i].line)
			fail_msg("'%s' is said to be on line %u", rows[i].lua, f.err.line);
		assert_non_null(strstr(f.err.file, "10-test.lua"));
		fence_done(&f);
	}
}

static void test_a_view_outside_of_its_hook_is_an_error(void **state)
{
	struct fence f;
	struct mf_decision d;
	struct mf_request *req = ask_dns("a.example");

	(void)state;
	/* A coroutine may yield and go on within the call: it sees the same request. */
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  local co = coroutine.wrap(function()\n"
		       "    coroutine.yield(q.name)\n"
		       "    coroutine.yield(q.type)\n"
		       "  end)\n"
		       "  return deny(co() .. ' ' .. co())\n"
		       "end }");
	assert_int_equal(fence_ask(&f, req, &d), 0);
	assert_string_equal(d.reason, "a.example A");
	mf_request_set_str(req, MF_F_TYPE, "MX", 2);
	assert_int_equal(fence_ask(&f, req, &d), 0);
	assert_string_equal(d.reason, "a.example MX");
	mf_request_free(req);
	fence_done(&f);
}

static void test_hooks_that_read_too_much_are_asked_each_time(void **state)
{
	struct fence f;
	struct mf_decision d;
	int i;

	(void)state;
	fence_open(&f,
		   "return { name = 'p', dns = function(q)\n"
		   "  local n = 0\n"
		   "  for i = 1, 300 do if q:under('z' .. i .. '.example') then n = n + 1 end end\n"
		   "  return deny('n ' .. n)\n"
		   "end }");
	for (i = 0; i < 3; i++) {
		d = decide(&f, ask_dns("z7.example"));
		assert_string_equal(d.reason, "n 1");
		assert_int_equal(d.origin, MF_FROM_LUA);
	}
	fence_done(&f);
}

static void test_a_regex_that_gives_up_is_an_error_each_time(void **state)
{
	struct fence f;
	struct mf_decision d;
	struct mf_request *req =
		ask_dns("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab.example");
	int i;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if q:regex '^(a+)+$' then return allow() end\n"
		       "  return deny 'no'\n"
		       "end }");
	assert_int_equal(decide(&f, ask_dns("x.example")).verdict, MF_DENY);
	for (i = 1; i <= 3; i++) {
		assert_true(fence_ask(&f, req, &d) < 0);
		assert_int_equal(d.origin, MF_FROM_FAIL_MODE);
	}
	assert_int_equal(decide(&f, ask_dns("y.example")).verdict, MF_DENY);
	mf_request_free(req);
	fence_done(&f);
}

static void test_an_explanation_names_every_step(void **state)
{
	struct fence f;
	struct mf_request *req = ask_connect("api.example", "192.0.2.1", 443);
	struct mf_decision d = MF_DECISION_INIT;
	const char *json;

	(void)state;
	fence_init(&f);
	fence_write(&f, "10-a.lua",
		    "local lan = networks { '10.0.0.0/8' }\n"
		    "return { name = 'a', connect = function(c)\n"
		    "  if c:to(lan) then return deny 'lan' end\n"
		    "end }");
	fence_write(&f, "20-b.lua",
		    "return { name = 'b', connect = function(c)\n"
		    "  if c.session.labels['team'] then return allow() end\n"
		    "  if c.port == 443 and c:under 'example' and now.hour < 12 then\n"
		    "    return deny { reason = 'say \"no\"' }\n"
		    "  end\n"
		    "end }");
	assert_int_equal(fence_load(&f), 0);
	assert_int_equal(mf_vm_state_explain(f.state, req, &d, &json), 0);
	assert_int_equal(d.verdict, MF_DENY);
	assert_non_null(strstr(json, "\"ask\": \"to\", \"argument\": \"networks{...} of line 1\", "
				     "\"answer\": false"));
	assert_non_null(strstr(json, "\"policy\": \"a\", \"by\": \"hook\", \"opinion\": null"));
	assert_non_null(
		strstr(json, "{\"read\": \"session.labels\", \"key\": \"team\", \"value\": null}"));
	assert_non_null(strstr(json, "{\"read\": \"port\", \"value\": 443}"));
	assert_non_null(strstr(json, "\"argument\": \"example\", \"answer\": true"));
	assert_non_null(strstr(json, "{\"read\": \"now.hour\", \"value\": 10}"));
	assert_non_null(strstr(json, "\"reason\": \"say \\\"no\\\"\""));
	assert_non_null(strstr(json, "\"next\": \"memo\""));
	assert_non_null(strstr(json, "\"valid_for\": \"this minute\""));
	assert_non_null(strstr(json, "\"line\": 4"));
	mf_request_free(req);
	fence_done(&f);
}

static void test_an_explanation_uses_up_no_budget(void **state)
{
	struct fence f;
	struct mf_request *req = ask_dns("a.example");
	struct mf_decision d = MF_DECISION_INIT;
	const char *json;
	int i;

	(void)state;
	fence_open(&f, "return { name = 'p', dns = function(q)\n"
		       "  if counter('n'):over(1, '1m') then return deny 'rate' end\n"
		       "  return allow()\n"
		       "end }");
	for (i = 0; i < 5; i++) {
		assert_int_equal(mf_vm_state_explain(f.state, req, &d, &json), 0);
		assert_int_equal(d.verdict, MF_ALLOW);
		assert_non_null(strstr(json, "\"next\": \"lua\", \"why\": \"a counter is asked\""));
	}
	assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_ALLOW);
	assert_int_equal(decide(&f, ask_dns("a.example")).verdict, MF_DENY);
	mf_request_free(req);
	fence_done(&f);
}

static uint64_t ticking(void *ctx)
{
	struct fence *f = ctx;

	/* Each reading of the clock costs a tenth of a millisecond. */
	f->mono_ns += 100000;
	return f->mono_ns;
}

static void test_patterns_are_bounded(void **state)
{
	struct fence f;
	struct mf_request *req;
	struct mf_decision d;
	static char path[60001];

	(void)state;
	fence_open(&f,
		   "return { name = 'p',\n"
		   "dns = function(q)\n"
		   "  if q.type == 'A' then return q:regex(('a'):rep(2000)) end\n"
		   "  local n = 0\n"
		   "  for i = 1, 200 do if q:regex('x' .. i) then n = n + 1 end end\n"
		   "  return deny 'done'\n"
		   "end,\n"
		   "file = function(f) if f:glob '/**a**b**c**d' then return allow() end end }");
	req = ask_dns("a.example");
	assert_int_equal(fence_ask(&f, req, &d), MF_E_POLICY);
	assert_non_null(strstr(d.reason, "longer than 1024 bytes"));
	/* Many patterns: the clock is looked at between them, in Lua and in the graph. */
	mf_request_set_str(req, MF_F_TYPE, "TXT", 3);
	assert_int_equal(fence_ask(&f, req, &d), 0);
	f.config.clock.monotonic = ticking;
	mf_vm_state_flush(f.state);
	assert_int_equal(fence_ask(&f, req, &d), MF_E_TIME);
	mf_request_free(req);
	/* A long subject times a long pattern is refused before it is begun. */
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	req = ask_file("write", path);
	assert_true(fence_ask(&f, req, &d) < 0);
	assert_non_null(strstr(d.reason, "used up its match steps"));
	mf_request_free(req);
	fence_done(&f);
}

static void test_a_set_from_a_file_is_built_once_for_all_vms(void **state)
{
	struct fence f;
	struct mf_vm_state *other;
	struct mf_request *req = ask_dns("x.tracker.example");
	struct mf_decision d = MF_DECISION_INIT;
	size_t policy;

	(void)state;
	fence_init(&f);
	f.config.sets = mf_shared_sets_new();
	fence_write(&f, "p/policy.lua",
		    "local t = domains { file = 'data/t.txt' }\n"
		    "local n = networks { file = 'data/n.txt' }\n"
		    "local p = ports { file = 'data/p.txt' }\n"
		    "local both = domains { 'other.example', file = 'data/t.txt' }\n"
		    "return { name = 'p', dns = function(q)\n"
		    "  if q:under(t) and q:under(both) and n:has '10.9.9.9' and p:has '8080' then\n"
		    "    return deny 'tracker' end\n"
		    "end }");
	fence_write(&f, "p/data/t.txt", "tracker.example\n");
	fence_write(&f, "p/data/n.txt", "# ours\n10.0.0.0/8 # all\n\n fd00::/8\n");
	fence_write(&f, "p/data/p.txt", "443\n8000-8999\n");
	if (fence_load(&f) < 0)
		fail_msg("%s", f.err.msg);
	assert_int_equal(mf_shared_sets_count(f.config.sets), 3);
	other = fence_another(&f);
	assert_int_equal(mf_shared_sets_count(f.config.sets), 3);
	assert_ptr_equal(f.state->sets[0]->domains, other->sets[0]->domains);
	assert_ptr_not_equal(f.state->sets[3]->domains, other->sets[3]->domains);
	mf_vm_state_free(f.state);
	f.state = other;
	assert_int_equal(mf_vm_state_decide(other, req, &d, &policy), 0);
	assert_string_equal(d.reason, "tracker");
	mf_request_free(req);
	mf_vm_state_free(f.state);
	f.state = NULL;
	assert_int_equal(mf_shared_sets_count(f.config.sets), 0);
	mf_shared_sets_free(f.config.sets);
	fence_done(&f);
}

static void test_a_bad_line_of_a_data_file_is_named(void **state)
{
	struct fence f;

	(void)state;
	fence_init(&f);
	f.config.sets = mf_shared_sets_new();
	fence_write(&f, "p/policy.lua",
		    "local n = networks { file = 'data/n.txt' }\nreturn { name = 'p' }");
	fence_write(&f, "p/data/n.txt", "10.0.0.0/8\n\n10.0.0.0/99\n");
	assert_int_equal(fence_load(&f), MF_E_POLICY);
	assert_non_null(strstr(f.err.msg, "data/n.txt:3: "));
	assert_int_equal(mf_shared_sets_count(f.config.sets), 0);
	mf_shared_sets_free(f.config.sets);
	fence_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_repeat_does_not_enter_lua),
		cmocka_unit_test(test_every_value_that_lua_can_tell_apart_is_told_apart),
		cmocka_unit_test(test_labels_are_part_of_the_question),
		cmocka_unit_test(test_fetched_fields_are_found_in_the_graph_but_never_in_the_memo),
		cmocka_unit_test(test_answers_that_depend_on_the_time_expire),
		cmocka_unit_test(test_counters_are_never_cached),
		cmocka_unit_test(test_errors_leave_nothing_behind),
		cmocka_unit_test(test_the_first_opinion_wins_and_nil_goes_on),
		cmocka_unit_test(test_files_may_be_looked_at_by_default),
		cmocka_unit_test(test_a_quarantined_policy_is_not_asked),
		cmocka_unit_test(test_a_caller_with_a_smaller_decision_gets_what_it_knows),
		cmocka_unit_test(test_mistakes_are_named),
		cmocka_unit_test(test_a_mistake_in_a_file_with_a_long_name_has_its_place),
		cmocka_unit_test(test_what_a_hook_sees),
		cmocka_unit_test(test_verdicts_carry_their_parameters),
		cmocka_unit_test(test_a_bad_policy_table_is_refused_with_its_line),
		cmocka_unit_test(test_a_view_outside_of_its_hook_is_an_error),
		cmocka_unit_test(test_hooks_that_read_too_much_are_asked_each_time),
		cmocka_unit_test(test_a_regex_that_gives_up_is_an_error_each_time),
		cmocka_unit_test(test_an_explanation_names_every_step),
		cmocka_unit_test(test_an_explanation_uses_up_no_budget),
		cmocka_unit_test(test_patterns_are_bounded),
		cmocka_unit_test(test_a_set_from_a_file_is_built_once_for_all_vms),
		cmocka_unit_test(test_a_bad_line_of_a_data_file_is_named),
	};

	test_set_env("TZ", "UTC0");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
