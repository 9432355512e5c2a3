/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules.c - agentsh's redirect cases (tests/data/agentsh) against its policies as they are and converted to Lua
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
#include "core/policy/agentsh.h"
#include "core/policy/files.h"
#include "tests/unit/rules/rules_help.h"

static const char *member(const json_t *rule, const char *key)
{
	return json_string_value(json_object_get(rule, key));
}

/* --- policies, as they are and as Lua ----------------------------------------------------------------------------- */

static int build(const char *text, struct mf_rules **rules, struct mf_err *err)
{
	const struct mf_agentsh_source source = { .file = "case.yaml",
						  .text = text,
						  .len = strlen(text) };
	struct mf_agentsh_policy policy;
	int r = mf_agentsh_load(&source, NULL, &policy, err);

	*rules = policy.rules;
	return r;
}

static char *to_lua(const char *text)
{
	const struct mf_agentsh_source source = { .file = "case.yaml",
						  .text = text,
						  .len = strlen(text) };
	struct mf_strbuf out = MF_STRBUF_INIT(1u << 20);
	struct mf_err err = { 0 };

	if (mf_agentsh_convert(&source, NULL, &out, &err) < 0)
		fail_msg("%s", err.msg);
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
	char *text = json_dumps(json_object_get(c, "input"), 0); /* JSON is YAML */
	int r = build(text, &rules, &err);

	free(text);
	mf_rules_free(rules);
	if (json_is_true(json_object_get(expect, "ok")) != (r == 0))
		fail_msg("%s\n  %s", line, r == 0 ? "was accepted" : err.msg);
	if (part && !strstr(err.msg, part))
		fail_msg("%s\n  said: %s", line, err.msg);
}

static char *load_policy(const char *name)
{
	char path[512], *text;
	struct mf_err err = { 0 };
	size_t len;

	snprintf(path, sizeof(path), MF_TEST_DATA "/agentsh/%s", name);
	if (mf_file_read(path, 65536, &text, &len, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
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

static void agentshs_redirect_cases_hold_as_yaml_and_as_lua(void **state)
{
	unsigned asked = 0, validated = 0, skipped = 0;
	char line[8192];
	FILE *f = fopen(MF_TEST_DATA "/agentsh/redirect-cases.jsonl", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		json_t *c = json_loads(line, 0, NULL);
		struct mf_rules *rules = NULL;
		struct rules_case lua;
		struct mf_err err = { 0 };
		char *text, *policy;

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
			free(policy);
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
		cmocka_unit_test(agentshs_redirect_cases_hold_as_yaml_and_as_lua),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
