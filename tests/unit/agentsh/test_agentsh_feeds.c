// SPDX-License-Identifier: Apache-2.0
// test_agentsh_feeds.c - threat_feeds: denied before any rule and any redirect, or told of; the allow list; what is refused with its place
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/threat_feed.h"
#include "tests/unit/agentsh/agentsh_help.h"

#define HEAD "version: 1\nname: t\n"
#define RULES                                                                             \
	"network_rules:\n"                                                                \
	"  - {name: all, domains: [\"**\"], decision: allow}\n"                           \
	"dns_redirects:\n"                                                                \
	"  - {name: r, match: '^r\\.bad\\.example$', resolve_to: 192.0.2.9}\n"            \
	"connect_redirects:\n"                                                            \
	"  - {name: c, match: '^r\\.bad\\.example:443$', redirect_to: 'gw.example:443', " \
	"redirect_target_policy: trusted}\n"
#define FEEDS(action)                                              \
	"threat_feeds:\n"                                          \
	"  action: " action "\n"                                   \
	"  allowlist: [fine.bad.example, Allowed.example.]\n"      \
	"  feeds:\n"                                               \
	"    - {name: hosts, file: hosts.txt, format: hostfile}\n" \
	"    - {name: list, file: list.txt}\n"

static void load(struct engine *e, const char *text)
{
	engine_load_text(e, "t.yaml", text);
	if (e->code)
		fail_msg("%s:%u:%u: %s", e->err.file, e->err.line, e->err.column, e->err.msg);
}

static void write_lists(void)
{
	engine_write("hosts.txt", "# a hosts file\n127.0.0.1 localhost\n0.0.0.0 Bad.example # why\n"
				  "0.0.0.0 allowed.example more.example\n\n0.0.0.0\n");
	engine_write("list.txt",
		     "\xef\xbb\xbf"
		     "worse.example\r\n  deep.fine.bad.example  \nexample\nno name here!\n"
		     "com.\nb\xc3\xbc"
		     "cher.example\n");
}

/* A name, its parents, not a single label; the nearest decides, of the same name the allow list. */
static void what_a_feed_lists_is_denied_before_any_rule(void **state)
{
	static const struct {
		const char *name, *rule; /* NULL: no feed's */
	} cases[] = {
		{ "bad.example", "threat-feed:hosts" },
		{ "a.b.bad.example", "threat-feed:hosts" },
		{ "BAD.example.", "threat-feed:hosts" },
		{ "xbad.example", NULL },
		{ "fine.bad.example", NULL },
		{ "x.fine.bad.example", NULL },
		{ "x.deep.fine.bad.example", "threat-feed:list" },
		{ "allowed.example", NULL },
		{ "more.example", NULL }, // the third word of its line
		{ "worse.example", "threat-feed:list" },
		{ "other.example", NULL }, // "example" lists nothing below it
		{ "x.com", NULL },
		{ "xn--bcher-kva.example", "threat-feed:list" },
		{ "r.bad.example", "threat-feed:hosts" }, // P18
	};
	struct engine e;

	(void)state;
	write_lists();
	load(&e, HEAD RULES FEEDS("deny"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct mf_decision *d = engine_dns(&e, cases[i].name);
		bool denied = d->rule && strncmp(d->rule, "threat-feed:", 12) == 0;

		if (denied != (cases[i].rule != NULL) ||
		    (denied && (strcmp(d->rule, cases[i].rule) != 0 || d->verdict != MF_DENY)))
			fail_msg("dns %s: %s", cases[i].name, d->rule);
		d = engine_connect(&e, cases[i].name, "192.0.2.1", 443);
		denied = d->rule && strncmp(d->rule, "threat-feed:", 12) == 0;
		if (denied != (cases[i].rule != NULL) ||
		    (denied && (strcmp(d->rule, cases[i].rule) != 0 || d->verdict != MF_DENY)))
			fail_msg("connect %s: %s", cases[i].name, d->rule);
	}
	assert_string_equal(engine_dns(&e, "bad.example")->reason,
			    "the feed hosts lists this name");
	assert_non_null(strstr(engine_dns(&e, "bad.example")->file, "t.yaml"));
	// One of several names of an address is enough; none is none.
	assert_string_equal(engine_connect(&e, "other.example bad.example", "192.0.2.1", 443)->rule,
			    "threat-feed:hosts");
	assert_string_equal(engine_connect(&e, NULL, "192.0.2.1", 443)->rule,
			    "network_rules[0] all");
	engine_done(&e);
}

/* audit: what the rules say holds, and what they let through is told of. */
static void what_is_only_told_of_goes_on(void **state)
{
	const struct mf_decision *d;
	struct engine e;

	(void)state;
	write_lists();
	load(&e, HEAD "network_rules:\n  - {name: no, domains: [no.bad.example], decision: deny}\n"
		      "  - {name: all, domains: [\"**\"], decision: allow}\n" FEEDS("Audit"));
	for (int i = 0; i < 2; i++) { // made, then found
		d = engine_connect(&e, "x.bad.example", "192.0.2.1", 443);
		assert_string_equal(engine_text(d), "audit network_rules[1] all");
		assert_string_equal(d->reason, "the feed hosts lists this name");
		d = engine_connect(&e, "worse.example", "192.0.2.1", 443);
		assert_string_equal(d->reason, "the feed list lists this name");
		d = engine_dns(&e, "bad.example");
		assert_int_equal(d->verdict, MF_ALLOW);
		assert_true(d->audit);
	}
	assert_string_equal(engine_text(engine_connect(&e, "no.bad.example", "192.0.2.1", 443)),
			    "deny network_rules[0] no");
	assert_string_equal(engine_text(engine_connect(&e, "good.example", "192.0.2.1", 443)),
			    "allow network_rules[1] all");
	engine_done(&e);
	load(&e, HEAD FEEDS("audit")); // no rules at all: the default stays
	assert_string_equal(engine_connect(&e, "x.bad.example", "192.0.2.1", 443)->rule,
			    "default-deny-network");
	engine_done(&e);
	load(&e, HEAD RULES "threat_feeds: {enabled: false, feeds: [{name: a, file: none.txt}]}\n");
	assert_string_equal(engine_connect(&e, "x.bad.example", "192.0.2.1", 443)->rule,
			    "network_rules[0] all");
	engine_done(&e);
}

/* Feeds of extended policies are feeds; an allow list is its own file's. A compiled list is one as well. */
static void feeds_are_taken_over(void **state)
{
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	struct engine e;
	const char *path;
	size_t len;
	void *image;
	FILE *f;

	(void)state;
	write_lists();
	assert_int_equal(mf_domain_set_builder_new(
				 &(struct mf_domain_set_options){ .for_image = true }, &b, NULL),
			 0);
	assert_int_equal(mf_domain_set_builder_add_text(b, "compiled.example\n", 17, NULL, 0, NULL),
			 0);
	assert_int_equal(mf_domain_set_builder_seal(b, &set, NULL), 0);
	assert_int_equal(mf_domain_set_make_image(set, &image, &len, NULL), 0);
	mf_domain_set_free(set);
	path = engine_write("image.mfd", "");
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(image, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	free(image);
	engine_write("base.yaml", "version: 1\nname: base\n" FEEDS("deny"));
	load(&e, HEAD
	     "extends: [base]\n" RULES
	     "threat_feeds: {allowlist: [bad.example], feeds: [{name: image, file: image.mfd}]}\n");
	assert_string_equal(engine_dns(&e, "bad.example")->rule, "threat-feed:hosts");
	assert_string_equal(engine_dns(&e, "x.compiled.example")->rule, "threat-feed:image");
	assert_string_equal(engine_dns(&e, "good.example")->rule, "network_rules[0] all");
	engine_done(&e);
}

static void what_is_refused_says_why_and_where(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *says;
	} cases[] = {
		{ "threat_feeds: {action: block}\n", 3, 24,
		  "threat_feeds.action: must be deny or audit, not \"block\"" },
		{ "threat_feeds:\n  feeds:\n    - {name: a, url: \"https://feeds.example/x\"}\n", 5,
		  17, "threat_feeds.feeds[0].url: this key is not taken; write file" },
		{ "threat_feeds:\n  feeds:\n    - {name: a}\n", 5, 7,
		  "threat_feeds.feeds[0]: file is required" },
		{ "threat_feeds:\n  feeds:\n    - {name: a, file: none.txt}\n", 5, 23,
		  "threat_feeds.feeds[0].file: none.txt: " },
		{ "threat_feeds:\n  feeds:\n    - {name: a, file: ../x.txt}\n", 5, 23,
		  "threat_feeds.feeds[0].file: ../x.txt: " },
		{ "threat_feeds:\n  feeds:\n    - {name: a, file: list.txt, format: csv}\n", 5, 41,
		  "must be domain-list or hostfile" },
		{ "threat_feeds: {allowlist: [\"a b\"]}\n", 3, 28,
		  "threat_feeds.allowlist[0]: \"a b\" is no host name" },
		{ "threat_feeds: {alowlist: [a]}\n", 3, 16,
		  "this key is not known; did you mean \"allowlist\"?" },
	};
	char text[512];
	struct engine e;

	(void)state;
	write_lists();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", HEAD, cases[i].text);
		engine_load_text(&e, "t.yaml", text);
		if (e.code >= 0 || !strstr(e.err.msg, cases[i].says) ||
		    e.err.line != cases[i].line || e.err.column != cases[i].column)
			fail_msg("case %zu: %d %u:%u: %s", i, e.code, e.err.line, e.err.column,
				 e.err.msg);
		engine_done(&e);
	}
}

static void lines_that_are_no_names_are_counted(void **state)
{
	static const char text[] = "a.example\nsingle\n# c\n\n.\n..\na..b\nb.example c\n";
	struct mf_domain_set *set;
	size_t left_out;

	(void)state;
	assert_int_equal(mf_threat_names_read(text, sizeof(text) - 1, false, &set, &left_out, NULL),
			 0);
	assert_int_equal(mf_domain_set_count(set), 2);
	assert_int_equal(left_out, 4);
	mf_domain_set_free(set);
	assert_int_equal(mf_threat_names_read("", 0, true, &set, &left_out, NULL), 0);
	assert_int_equal(mf_domain_set_count(set), 0);
	mf_domain_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_feed_lists_is_denied_before_any_rule),
		cmocka_unit_test(what_is_only_told_of_goes_on),
		cmocka_unit_test(feeds_are_taken_over),
		cmocka_unit_test(what_is_refused_says_why_and_where),
		cmocka_unit_test(lines_that_are_no_names_are_counted),
	};

	return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
