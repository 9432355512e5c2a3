/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_agentsh.c - policies of agentsh, real ones and one of ours: they load, decide as tests/data/agentsh/verdict-cases.jsonl says, and as Lua the
 * same
 *
 * Each case names a policy, a question, the verdict and the rule (by its own name). Every question is asked of the YAML and
 * of what mf_agentsh_convert() makes of it.
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

#include "core/base/files.h"
#include "core/policy/agentsh.h"
#include "tests/unit/agentsh/agentsh_help.h"

static const char *const policies[] = {
	"agent-default.yaml",
	"agent-observe.yaml",
	"agent-sandbox-windows.yaml",
	"agent-sandbox.yaml",
	"agent-strict.yaml",
	"bench-realistic.yaml",
	"ci-strict.yaml",
	"conformance.yaml",
	"cve-2025-32463.yml",
	"default-windows.yaml",
	"default.yaml",
	"dev-safe.yaml",
	"redirect-dns-local.yaml",
	"redirect-order.yaml",
	"redirect-parse.yaml",
	"redirect-regex.yaml",
	"redirect-sni.yaml",
	"redirect-two-providers.yaml",
	"redirect-unit.yaml",
	"root-default-policy.yml",
};

static void to_lua(struct engine *e, const char *name)
{
	struct mf_vars *vars = mf_vars_new(engine_variables, NULL);
	char *text = engine_data(name);
	const struct mf_agentsh_source source = {
		.file = name, .text = text, .len = strlen(text), .vars = vars
	};
	struct mf_strbuf lua = MF_STRBUF_INIT((size_t)4 << 20);
	struct mf_err err = { 0 };

	if (mf_agentsh_convert(&source, NULL, &lua, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	engine_load_text(e, "converted.lua", lua.str);
	if (e->code < 0)
		fail_msg("%s as Lua: %s", name, e->err.msg);
	mf_strbuf_done(&lua);
	mf_vars_free(vars);
	free(text);
}

static void load_data(struct engine *e, const char *name)
{
	char path[640];

	snprintf(path, sizeof(path), MF_TEST_DATA "/agentsh/%s", name);
	engine_load(e, path);
}

static void every_real_policy_loads_but_the_one_with_an_unknown_key(void **state)
{
	struct engine e;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(policies); i++) {
		load_data(&e, policies[i]);
		if (e.code < 0)
			fail_msg("%s:%u: %s", e.err.file, e.err.line, e.err.msg);
		engine_done(&e);
		to_lua(&e, policies[i]);
		engine_done(&e);
	}
	load_data(&e, "sample-generated-policy.yaml");
	assert_int_equal(e.code, MF_E_POLICY);
	assert_string_equal(e.err.msg, "command_rules[1].args_pattern: this key is not known; did "
				       "you mean \"args_patterns\"?");
	assert_int_equal(e.err.line, 30);
	assert_int_equal(e.err.column, 5);
	engine_done(&e);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

static const char *member(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static const struct mf_decision *ask_case(struct engine *e, const json_t *c)
{
	const json_t *input = json_object_get(c, "input"), *hosts, *host;
	const char *check = member(c, "check");
	char names[512] = "";
	size_t i;

	if (strcmp(check, "file") == 0)
		return engine_file(e, member(input, "op"), member(input, "path"),
				   member(input, "target"));
	if (strcmp(check, "dns") == 0)
		return engine_dns(e, member(input, "name"));
	hosts = json_object_get(input, "hosts");
	json_array_foreach(hosts, i, host)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? " " : "",
			 json_string_value(host));
	return engine_connect(e, names, member(input, "ip"),
			      (int)json_integer_value(json_object_get(input, "port")));
}

/* The author's name of a rule: what stands behind "family[3] ". */
static const char *own_name(const char *rule)
{
	const char *blank = strchr(rule, ' ');

	return blank ? blank + 1 : rule;
}

static bool answer_case(struct engine *e, const json_t *c, const char *line)
{
	const json_t *expect = json_object_get(c, "expect");
	const struct mf_decision *d = ask_case(e, c);
	const char *verdict = d->audit ? "audit" : mf_verdict_name(d->verdict);

	if (strcmp(verdict, member(expect, "decision")) == 0 &&
	    strcmp(own_name(d->rule), member(expect, "rule")) == 0)
		return true;
	print_error("%s  got: %s\n", line, engine_text(d));
	return false;
}

static void verdicts_of_real_policies(void **state)
{
	FILE *f = mf_fopen(MF_TEST_DATA "/agentsh/verdict-cases.jsonl", "rb");
	char line[4096], open[128] = "";
	struct engine yaml = { 0 }, lua = { 0 };
	unsigned cnt = 0, wrong = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		json_t *c = json_loads(line, 0, NULL);

		assert_non_null(c);
		if (strcmp(open, member(c, "policy")) != 0) {
			engine_done(&yaml);
			engine_done(&lua);
			snprintf(open, sizeof(open), "%s", member(c, "policy"));
			load_data(&yaml, open);
			to_lua(&lua, open);
			assert_int_equal(yaml.code, 0);
		}
		wrong += !answer_case(&yaml, c, line);
		wrong += !answer_case(&lua, c, line);
		cnt++;
		json_decref(c);
	}
	fclose(f);
	engine_done(&yaml);
	engine_done(&lua);
	assert_int_equal(wrong, 0);
	assert_true(cnt >= 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_real_policy_loads_but_the_one_with_an_unknown_key),
		cmocka_unit_test(verdicts_of_real_policies),
	};

	return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
