/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules.c - agentsh's redirect cases (tests/data/agentsh) against rules built from C and from Lua
 *
 * Policies and cases are data: each case names a policy, an input, and the members of the answer that it is about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/addr.h"
#include "core/base/strbuf.h"
#include "tests/unit/rules/rules_help.h"

static const char *member(const json_t *rule, const char *key)
{
	return json_string_value(json_object_get(rule, key));
}

/* --- policies from C ---------------------------------------------------------------------------------------------- */

static const char *const known[] = { "name",	   "match",	  "resolve_to",	      "visibility",
				     "on_failure", "redirect_to", "redirect_to_unix", "tls",
				     "message",	   NULL };

static void add_rule(struct mf_rules_builder *b, enum mf_rule_family family, unsigned i,
		     json_t *rule)
{
	json_t *tls = json_object_get(rule, "tls"), *value;
	struct mf_rule_spec spec = { .family = family, .index = i, .mode = MF_MATCH_SEARCH };
	const char *key;

	spec.name = member(rule, "name");
	spec.match = member(rule, "match");
	spec.resolve_to = member(rule, "resolve_to");
	spec.visibility = member(rule, "visibility");
	spec.on_failure = member(rule, "on_failure");
	spec.redirect_to = member(rule, "redirect_to");
	spec.redirect_to_unix = member(rule, "redirect_to_unix");
	spec.message = member(rule, "message");
	spec.tls_mode = member(tls, "mode");
	spec.tls_sni = member(tls, "sni");
	json_object_foreach(rule, key, value)
	{
		const char *const *k = known;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k)
			mf_rules_builder_error(b, family, i, spec.name, 0, "unknown key \"%s\"",
					       key);
	}
	mf_rules_builder_add(b, &spec);
}

static int build(json_t *policy, struct mf_rules **rules, struct mf_err *err)
{
	const struct mf_rules_options options = { .policy = "case",
						  .file = "case.json",
						  .agentsh = true };
	static const enum mf_rule_family families[] = { MF_DNS_REDIRECTS, MF_CONNECT_REDIRECTS };
	struct mf_rules_builder *b;

	assert_int_equal(mf_rules_builder_new(&options, &b), 0);
	for (size_t f = 0; f < 2; f++) {
		json_t *list = json_object_get(policy, mf_rule_family_name(families[f])), *rule;
		size_t i;

		json_array_foreach(list, i, rule)
			add_rule(b, families[f], (unsigned)i, rule); /* agentsh counts from 0 */
	}
	return mf_rules_builder_finish(b, rules, err);
}

/* --- the same as Lua ---------------------------------------------------------------------------------------------- */

static void put_lua_string(struct mf_strbuf *out, const char *key, const char *value)
{
	if (value)
		mf_strbuf_addf(out, " %s = [==[%s]==],", key, value);
}

static void put_lua_rule(struct mf_strbuf *out, const json_t *rule)
{
	static const char *const same[] = { "name",	  "resolve_to",	 "visibility",
					    "on_failure", "redirect_to", "redirect_to_unix",
					    "message" };
	const json_t *tls = json_object_get(rule, "tls");

	mf_strbuf_adds(out, "    {");
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		put_lua_string(out, same[i], member(rule, same[i]));
	put_lua_string(out, "search", member(rule, "match"));
	if (tls) {
		mf_strbuf_adds(out, " tls = {");
		put_lua_string(out, "mode", member(tls, "mode"));
		put_lua_string(out, "sni", member(tls, "sni"));
		mf_strbuf_adds(out, " },");
	}
	mf_strbuf_adds(out, " },\n");
}

static char *to_lua(const json_t *policy)
{
	static const char *const families[] = { "dns_redirects", "connect_redirects" };
	struct mf_strbuf out = MF_STRBUF_INIT(1u << 20);

	mf_strbuf_adds(&out, "return {\n");
	for (size_t f = 0; f < 2; f++) {
		json_t *list = json_object_get(policy, families[f]), *rule;
		size_t i;

		mf_strbuf_addf(&out, "  %s = {\n", families[f]);
		json_array_foreach(list, i, rule) put_lua_rule(&out, rule);
		mf_strbuf_adds(&out, "  },\n");
	}
	mf_strbuf_adds(&out, "}\n");
	assert_false(out.failed);
	return out.str;
}

/* --- cases --------------------------------------------------------------------------------------------------------- */

/* What a caller does with text: blanks off. */
static const char *trimmed(const char *text, size_t *len)
{
	text += strspn(text, " ");
	*len = strlen(text);
	while (*len && text[*len - 1] == ' ')
		(*len)--;
	return text;
}

/* Return: false when the text is not a host that could be asked about: nothing matches it then. */
static bool set_host(struct mf_request *req, const char *text, size_t len)
{
	struct mf_addr addr;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (mf_addr_parse(text, len, &addr) == 0)
		return mf_request_set_addr(req, MF_F_IP, addr.bytes, addr.family == 4 ? 4 : 16) ==
		       0;
	return mf_request_set_str(req, MF_F_HOST, text, len) == 0;
}

static struct mf_request *question(const char *check, json_t *input)
{
	struct mf_request *req;
	const char *text, *colon;
	size_t len;
	bool good;

	if (strcmp(check, "dns_redirect") == 0) {
		req = mf_request_new(MF_DNS);
		text = trimmed(member(input, "host"), &len);
		good = mf_request_set_str(req, MF_F_NAME, text, len) == 0;
	} else {
		req = mf_request_new(MF_CONNECT);
		text = trimmed(member(input, "host_port"), &len);
		colon = strrchr(text, ':');
		good = set_host(req, text, colon ? (size_t)(colon - text) : len);
		if (good && colon)
			good = mf_request_set_int(req, MF_F_PORT, atoi(colon + 1)) == 0;
	}
	if (good)
		return req;
	mf_request_free(req);
	return NULL;
}

static void expect_text(const char *line, json_t *expect, const char *key, const char *got)
{
	const char *want = member(expect, key);

	if (want && strcmp(want, got ? got : "") != 0)
		fail_msg("%s\n  %s: %s, not %s", line, key, got ? got : "(none)", want);
}

static void compare(const char *line, json_t *expect, const struct mf_outcome *o)
{
	static const char *const on_failure[] = { "fail_closed", "fail_open", "retry_original" };
	static const char *const tls[] = { "passthrough", "rewrite_sni" };
	bool redirected = o && (o->d.verdict == MF_RESOLVE || o->d.verdict == MF_REDIRECT);
	char to[300] = "", addr[MF_ADDR_TEXT_MAX] = "";
	const struct mf_decision *d = o ? &o->d : NULL;

	if (json_is_true(json_object_get(expect, "matched")) != redirected)
		fail_msg("%s\n  matched: %s", line, redirected ? "true" : "false");
	if (!redirected)
		return;
	expect_text(line, expect, "rule", strchr(d->rule, ' ') + 1);
	if (d->addr_cnt) {
		struct mf_addr a;

		assert_true(mf_addr_from_bytes(&a, d->addrs[0].bytes,
					       d->addrs[0].family == 4 ? 4 : 16));
		mf_addr_format(&a, addr, sizeof(addr));
	}
	expect_text(line, expect, "resolve_to", addr);
	if (d->redirect_host)
		snprintf(to, sizeof(to), "%s:%u", d->redirect_host, d->redirect_port);
	expect_text(line, expect, "redirect_to", to);
	expect_text(line, expect, "redirect_to_unix", d->redirect_unix);
	expect_text(line, expect, "visibility", mf_visibility_name(d->visibility));
	expect_text(line, expect, "on_failure", on_failure[d->on_failure]);
	expect_text(line, expect, "tls_mode", tls[d->tls_mode]);
	expect_text(line, expect, "sni", d->sni);
	expect_text(line, expect, "message", d->message);
}

static void ask_case(const char *line, struct mf_rules *rules, json_t *c)
{
	struct mf_request *req = question(member(c, "check"), json_object_get(c, "input"));
	struct mf_outcome *o = NULL;

	if (req)
		assert_int_equal(mf_rules_ask(rules, req, &o), 0);
	compare(line, json_object_get(c, "expect"), o);
	mf_request_free(req);
}

static void validate_case(const char *line, json_t *c)
{
	json_t *expect = json_object_get(c, "expect");
	const char *part = member(expect, "error_contains");
	struct mf_rules *rules = NULL;
	struct mf_err err = { 0 };
	int r = build(json_object_get(c, "input"), &rules, &err);

	mf_rules_free(rules);
	if (json_is_true(json_object_get(expect, "ok")) != (r == 0))
		fail_msg("%s\n  %s", line, r == 0 ? "was accepted" : err.msg);
	if (part && !strstr(err.msg, part))
		fail_msg("%s\n  said: %s", line, err.msg);
}

static json_t *load_policy(const char *name)
{
	char path[512];
	json_error_t why;
	json_t *policy;

	snprintf(path, sizeof(path), MF_TEST_DATA "/agentsh/%.*s.json",
		 (int)(strlen(name) - strlen(".yaml")), name);
	policy = json_load_file(path, 0, &why);
	if (!policy)
		fail_msg("%s: %s", path, why.text);
	return policy;
}

/*
 * "2001:db8::1:443" is matched as text by agentsh. Our requests have an address and a port instead, and there the same
 * bytes are one address, or another with a port: no such question exists.
 */
static bool has_no_question(json_t *c)
{
	const char *text = member(json_object_get(c, "input"), "host_port");

	return text && strcmp(text, "2001:db8::1:443") == 0;
}

static void agentshs_redirect_cases_hold_from_c_and_from_lua(void **state)
{
	unsigned asked = 0, validated = 0, skipped = 0;
	char line[8192];
	FILE *f = fopen(MF_TEST_DATA "/agentsh/redirect-cases.jsonl", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		json_t *c = json_loads(line, 0, NULL), *policy;
		struct mf_rules *rules = NULL;
		struct rules_case lua;
		struct mf_err err = { 0 };
		char *text;

		assert_non_null(c);
		if (strcmp(member(c, "check"), "validate") == 0) {
			validate_case(line, c);
			validated++;
		} else if (has_no_question(c)) {
			skipped++;
		} else {
			policy = load_policy(member(c, "policy"));
			if (build(policy, &rules, &err) < 0)
				fail_msg("%s", err.msg);
			ask_case(line, rules, c);
			mf_rules_free(rules);
			text = to_lua(policy);
			rules_load(&lua, text);
			if (lua.code < 0)
				fail_msg("%s", lua.err.msg);
			ask_case(line, lua.rules, c);
			rules_done(&lua);
			free(text);
			json_decref(policy);
			asked++;
		}
		json_decref(c);
	}
	fclose(f);
	assert_int_equal(asked, 62);
	assert_int_equal(skipped, 1);
	assert_int_equal(validated, 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agentshs_redirect_cases_hold_from_c_and_from_lua),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
