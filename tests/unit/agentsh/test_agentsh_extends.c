// SPDX-License-Identifier: Apache-2.0
// test_agentsh_extends.c - `extends` (P72): the order of rules that several files have, what is refused with its place, and the disk
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/agentsh.h"
#include "core/policy/api_services.h"
#include "core/policy/source.h"
#include "tests/unit/agentsh/agentsh_help.h"

#define HEAD(name) "version: 1\nname: " name "\n"
// One rule a file, which each says where it is, for names that only it decides and for one that all do.
#define RULE(name, more) \
	"  - {name: " name ", domains: [all.example, " name ".example], decision: deny" more "}\n"

static const char *connect_rule(struct engine *e, const char *name)
{
	static char text[300];
	const struct mf_decision *d = engine_connect(e, name, "192.0.2.1", 443);
	const char *file = d->file ? strrchr(d->file, '/') : NULL;

	snprintf(text, sizeof(text), "%s %s:%u", d->rule ? d->rule : "-", file ? file + 1 : "-",
		 d->line);
	return text;
}

static void load(struct engine *e, const char *name, const char *text)
{
	engine_load(e, engine_write(name, text));
	if (e->code)
		fail_msg("%s:%u: %s", e->err.file, e->err.line, e->err.msg);
}

/* Finals of those that are extended, in their order; own rules; the others. */
static void rules_stand_in_their_order(void **state)
{
	static const struct {
		const char *top;
		const char *all; /* what decides about the name that all have */
	} cases[] = {
		{ HEAD("t") "extends: [a, b]\nnetwork_rules:\n" RULE("own", ""),
		  "network_rules[1] a-final a.yaml:5" },
		{ HEAD("t") "extends: [b, a]\nnetwork_rules:\n" RULE("own", ""),
		  "network_rules[0] b-final b.yml:4" },
		{ HEAD("t") "extends: [c]\nnetwork_rules:\n" RULE("own", ""),
		  "network_rules[0] own t.yaml:5" },
		{ HEAD("t") "extends: [c, a]\n", "network_rules[1] a-final a.yaml:5" },
		{ HEAD("t") "extends: [c]\n", "network_rules[0] c c.yaml:4" },
		// Over several levels, and over two ways.
		{ HEAD("t") "extends: [d]\nnetwork_rules:\n" RULE("own", ""),
		  "network_rules[1] a-final a.yaml:5" },
		{ HEAD("t") "extends: [c, d.yaml, a, a]\n", "network_rules[1] a-final a.yaml:5" },
	};
	struct engine e;

	(void)state;
	engine_write("a.yaml",
		     HEAD("a") "network_rules:\n" RULE("a", "") RULE("a-final", ", final: true"));
	engine_write("b.yml",
		     HEAD("b") "network_rules:\n" RULE("b-final", ", final: true") RULE("b", ""));
	engine_write("c.yaml", HEAD("c") "network_rules:\n" RULE("c", ", final: false"));
	engine_write("d.yaml", HEAD("d") "extends: [a]\nnetwork_rules:\n" RULE("d", "")
				       RULE("d-final", ", final: true"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load(&e, "t.yaml", cases[i].top);
		assert_string_equal(connect_rule(&e, "all.example"), cases[i].all);
		engine_done(&e);
	}
	// Below the first: what each file decides alone.
	load(&e, "t.yaml", cases[5].top);
	assert_string_equal(connect_rule(&e, "d-final.example"),
			    "network_rules[1] d-final d.yaml:6");
	assert_string_equal(connect_rule(&e, "own.example"), "network_rules[0] own t.yaml:5");
	assert_string_equal(connect_rule(&e, "d.example"), "network_rules[0] d d.yaml:5");
	assert_string_equal(connect_rule(&e, "a.example"), "network_rules[0] a a.yaml:4");
	// What nobody decides is the policy's own default.
	assert_string_equal(engine_connect(&e, "else.example", "192.0.2.1", 443)->rule,
			    "default-deny-network");
	engine_done(&e);
}

/* Each family is composed, and read as its own file says; settings about what no rule decides are not taken over. */
static void files_are_read_in_their_own_words(void **state)
{
	struct engine e;

	(void)state;
	engine_write(
		"words.yaml",
		HEAD("w") "domain_star: any\ndns_default: allow\napprove_without_channel: allow\n"
			  "network_rules:\n  - {name: star, domains: [\"*\"], ports: [22], "
			  "decision: allow}\n"
			  "  - {name: ask, domains: [ask.example], decision: approve}\n"
			  "file_rules:\n  - {name: keys, paths: [\"${HOME}/.ssh/**\"], decision: "
			  "deny, final: yes}\n"
			  "dns_redirects:\n  - {name: r, match: '^r\\.example$', resolve_to: "
			  "192.0.2.9}\n"
			  "connect_redirects:\n  - {name: g, match: '^g\\.example:80$', "
			  "redirect_to: 'h.example:80', "
			  "redirect_target_policy: trusted}\n"
			  "http_services:\n  - {name: api, upstream: 'https://api.example/'}\n");
	load(&e, "t.yaml",
	     HEAD("t") "extends: [words]\nfile_rules:\n  - {name: all, paths: [\"/**\"], decision: "
		       "allow}\n"
		       "network_rules:\n  - {name: own, domains: [\"*\"], ports: [443], decision: "
		       "allow}\n"
		       "  - {name: api, domains: [api.example, g.example], decision: allow}\n");
	assert_string_equal(engine_text(engine_connect(&e, "x.example", "192.0.2.1", 22)),
			    "allow network_rules[0] star");
	assert_string_equal(engine_connect(&e, "x.example", "192.0.2.1", 443)->rule,
			    "default-deny-network");
	assert_int_equal(engine_connect(&e, "ask.example", "192.0.2.1", 443)->else_allow, 0);
	assert_string_equal(engine_text(engine_file(&e, "read", "/home/u/.ssh/id", NULL)),
			    "deny file_rules[0] keys");
	assert_string_equal(engine_text(engine_file(&e, "read", "/home/u/x", NULL)),
			    "allow file_rules[0] all");
	assert_string_equal(engine_dns(&e, "r.example")->rule, "dns_redirects[0] r");
	assert_string_equal(engine_connect(&e, "g.example", "192.0.2.1", 80)->rule,
			    "connect_redirects[0] g");
	// Services of an extended file are closed as its own are.
	assert_string_equal(engine_connect(&e, "api.example", "192.0.2.1", 443)->rule,
			    "http_services[0] http_service_declared_fail_closed");
	engine_done(&e);
}

static void services_are_taken_over(void **state)
{
	const char *path;
	struct mf_source_set *set;
	struct mf_api_services *t;
	struct mf_err err;

	(void)state;
	engine_write("s.yaml", HEAD("s") "http_services:\n  - {name: a, upstream: "
					 "'https://far.example/', default: allow}\n"
					 "  - {name: b, upstream: 'https://b.example/'}\n");
	path = engine_write("t.yaml", HEAD("t") "extends: [s]\nhttp_services:\n  - {name: a, "
						"upstream: 'https://near.example/'}\n");
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	assert_int_equal(mf_api_services_new(set, &t, &err), 0);
	assert_int_equal(mf_api_services_count(t), 2);
	assert_string_equal(mf_api_services_at(t, 0)->host,
			    "near.example"); // the policy's own counts
	assert_string_equal(mf_api_services_at(t, 1)->host, "b.example");
	mf_api_services_free(t);
	mf_source_set_unref(set);
}

static void what_is_refused_says_why_and_where(void **state)
{
	static const struct {
		const char *text, *file;
		unsigned line, column;
		const char *says;
	} cases[] = {
		{ HEAD("t") "extends: [nobody]\n", "t.yaml", 3, 11,
		  "extends[0]: there is no nobody.yaml and no nobody.yml in " },
		{ HEAD("t") "extends: [fine, lib/none.yaml]\n", "t.yaml", 3, 17,
		  "extends[1]: there is no lib/none.yaml in " },
		{ HEAD("t") "extends: [../out.yaml]\n", "t.yaml", 3, 11,
		  "extends[0]: ../out.yaml: " },
		{ HEAD("t") "extends: [/etc/x.yaml]\n", "t.yaml", 3, 11,
		  "extends[0]: /etc/x.yaml: " },
		{ HEAD("t") "extends: [fine.lua]\n", "t.yaml", 3, 11,
		  "extends[0]: \"fine.lua\" is neither" },
		{ HEAD("t") "extends: fine\n", "t.yaml", 3, 10,
		  "extends: must be a list, not text" },
		{ HEAD("t") "extends: [t]\n", "t.yaml", 3, 11,
		  "extends[0]: extends itself: t.yaml -> t.yaml" },
		{ HEAD("t") "extends: [one]\n", "two.yaml", 3, 11,
		  "extends itself: t.yaml -> one.yaml -> two.yaml -> t.yaml" },
		{ HEAD("t") "extends: [bad]\n", "bad.yaml", 4, 38,
		  "network_rules[0].decision: decision must be" },
		{ HEAD("t") "extends: [torn]\n", "torn.yaml", 1, 0, "" },
		{ HEAD("t") "extends: [list]\n", "list.yaml", 1, 1,
		  "a policy is a mapping, not a list" },
		{ HEAD("t") "extends: [globs]\n", "t.yaml", 3, 11,
		  "extends[0]: globs.yaml reads globs in another way" },
		{ HEAD("t") "extends: [deep0]\n", "deep7.yaml", 3, 11,
		  "extends[0]: at most 32 policies are extended, over 8 levels" },
		{ HEAD("t") "extends: [fine]\nnetwork_rules:\n  - {name: lan, cidrs: [10.0.0.0/8], "
			    "decision: deny}\n",
		  "fine.yaml", 4, 5, "redirect_to 10.0.0.5:80 is denied by network_rules[0] lan" },
	};
	char name[32], text[128];
	struct engine e;

	(void)state;
	engine_write("fine.yaml", HEAD("f") "connect_redirects:\n  - {name: a, match: x, "
					    "redirect_to: \"10.0.0.5:80\"}\n");
	engine_write("one.yaml", HEAD("o") "extends: [two]\n");
	engine_write("two.yaml", HEAD("o") "extends: [t]\n");
	engine_write("bad.yaml",
		     HEAD("b") "network_rules:\n  - {domains: [x.example], decision: denied}\n");
	engine_write("torn.yaml", "{");
	engine_write("list.yaml", "[]\n");
	engine_write("globs.yaml", HEAD("g") "compat: gobwas\n");
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "deep%d.yaml", i);
		snprintf(text, sizeof(text), HEAD("d") "extends: [deep%d]\n", i + 1);
		engine_write(name, text);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *file;

		engine_load(&e, engine_write("t.yaml", cases[i].text));
		file = strrchr(e.err.file, '/');
		if (e.code >= 0 || !strstr(e.err.msg, cases[i].says) || !file ||
		    strcmp(file + 1, cases[i].file) != 0 ||
		    (cases[i].column &&
		     (e.err.line != cases[i].line || e.err.column != cases[i].column)))
			fail_msg("case %zu: %d %s:%u:%u: %s", i, e.code, e.err.file, e.err.line,
				 e.err.column, e.err.msg);
		engine_done(&e);
	}
}

/* What stands in each directory that is watched, after a colon. */
static void add_dir(void *ctx, const char *dir)
{
	char *all = ctx;

	snprintf(all + strlen(all), 4096 - strlen(all), ":%s", dir);
}

static void a_change_of_an_extended_file_is_seen(void **state)
{
	const char *path = engine_write("t.yaml", HEAD("t") "extends: [fine, later]\n");
	char top[512], dirs[4096] = "";
	const char *const paths[] = { top };
	struct mf_agentsh_source source;
	struct mf_agentsh_policy policy;
	struct mf_source_set *set;
	struct mf_err err;

	(void)state;
	snprintf(top, sizeof(top), "%s", path);
	engine_write("fine.yaml", HEAD("f"));
	engine_write("later.yml", HEAD("l"));
	assert_int_equal(mf_source_set_read(paths, 1, NULL, &set, &err), 0);
	source = mf_agentsh_source_of(mf_source_set_policy(set, 0), NULL);
	assert_int_equal(mf_agentsh_load(&source, NULL, &policy, &err), 0);
	mf_rules_free(policy.rules);
	assert_true(mf_source_set_is_current(set, paths, 1));
	mf_source_set_each_dir(set, add_dir, dirs);
	*strrchr(path, '/') = '\0';
	assert_non_null(strstr(dirs, path));
	engine_write("fine.yaml", HEAD("f") "network_rules: []\n");
	assert_false(mf_source_set_is_current(set, paths, 1));
	engine_write("fine.yaml", HEAD("f"));
	assert_true(mf_source_set_is_current(set, paths, 1));
	engine_write("later.yaml", HEAD("l")); // comes before later.yml
	assert_false(mf_source_set_is_current(set, paths, 1));
	mf_source_set_unref(set);
}

/* The composed policy, as Lua, decides the same and stands in one list. */
static void the_whole_is_printed(void **state)
{
	struct mf_strbuf lua = MF_STRBUF_INIT(1 << 20);
	struct mf_agentsh_source source;
	struct mf_source_set *set;
	const char *path;
	struct mf_err err;
	char *f, *o, *n;

	(void)state;
	engine_write("a.yaml", HEAD("a") "network_rules:\n" RULE("a-other", "")
				       RULE("a-final", ", final: true"));
	path = engine_write("t.yaml", HEAD("t") "extends: [a]\nnetwork_rules:\n" RULE("own", ""));
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	source = mf_agentsh_source_of(mf_source_set_policy(set, 0), NULL);
	assert_int_equal(mf_agentsh_convert(&source, NULL, &lua, &err), 0);
	f = strstr(lua.str, "name = \"a-final\"");
	o = strstr(lua.str, "name = \"own\"");
	n = strstr(lua.str, "name = \"a-other\"");
	assert_true(f && o && n && f < o && o < n);
	assert_non_null(strstr(lua.str, "a.yaml, line 5"));
	mf_strbuf_done(&lua);
	mf_source_set_unref(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_stand_in_their_order),
		cmocka_unit_test(files_are_read_in_their_own_words),
		cmocka_unit_test(services_are_taken_over),
		cmocka_unit_test(what_is_refused_says_why_and_where),
		cmocka_unit_test(a_change_of_an_extended_file_is_seen),
		cmocka_unit_test(the_whole_is_printed),
	};

	return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
