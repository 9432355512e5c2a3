/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules_shadow.c - what is said to be never reached never decides
 *
 * Cases with what must be found and what must not; then random policies of all families over few names, networks, ports and
 * paths, so that rules overlap a lot. Each is asked random questions: a rule that was told of may never be the one that
 * decides, and a policy without the entry that was told of must answer the same. A fixed seed makes every run the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/strbuf.h"
#include "core/match/regex.h"
#include "core/policy/regex_tail.h"
#include "core/policy/shadow.h"
#include "core/policy/shadow_atoms.h"
#include "tests/unit/rules/rules_help.h"

#define ROUNDS	  50
#define RULES_MAX 14 /* of one family */
#define QUESTIONS 120

/* --- cases ------------------------------------------------------------------------------------------------------------ */

struct gathered {
	struct mf_shadows *shadows;
	struct mf_strbuf text; /* one finding a line: FAMILY[2].domains[0] TEXT */
};

static void on_policy(void *ctx, const struct mf_rules_options *options)
{
	assert_int_equal(mf_shadows_new(options, &((struct gathered *)ctx)->shadows), 0);
}

static void on_rule(void *ctx, const struct mf_rule_spec *spec)
{
	assert_int_equal(mf_shadows_add(((struct gathered *)ctx)->shadows, spec), 0);
}

static void on_found(void *ctx, const struct mf_shadow *found)
{
	struct gathered *g = ctx;

	mf_strbuf_addf(&g->text, "%s[%u]", mf_rule_family_name(found->family), found->index);
	if (found->item != SIZE_MAX)
		mf_strbuf_addf(&g->text, ".%s[%zu]", found->field, found->item);
	mf_strbuf_addf(&g->text, " %s\n", found->text);
	assert_true(strlen(found->hint) > 10);
}

/* Findings of a policy; each of @want stands in them, in order, and there are no others. */
static void expect(const char *lua, size_t cnt, const char *const *want)
{
	struct gathered g = { .text = MF_STRBUF_INIT(65536) };
	const struct mf_rule_observer observer = { on_policy, on_rule, &g };
	const struct mf_shadow_sink sink = { on_found, &g };
	struct rules_case c;
	const char *at;
	size_t lines = 0;

	rules_load_observed(&c, lua, &observer);
	assert_int_equal(c.code, 0);
	assert_int_equal(mf_shadows_find(g.shadows, &sink), 0);
	at = g.text.str ? g.text.str : "";
	for (const char *p = at; *p; p++)
		lines += *p == '\n';
	if (lines != cnt)
		fail_msg("%zu findings, not %zu, of %s\n%s", lines, cnt, lua, at);
	for (size_t i = 0; i < cnt; i++) {
		at = strstr(at, want[i]);
		if (!at)
			fail_msg("\"%s\" is not found in:\n%s", want[i], g.text.str);
	}
	mf_shadows_free(g.shadows);
	mf_strbuf_done(&g.text);
	rules_done(&c);
}

#define FINDS(lua, ...)                                               \
	expect(lua, MF_ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })), \
	       (const char *[]){ __VA_ARGS__ })
#define FINDS_NOTHING(lua) expect(lua, 0, NULL)
#define NETWORK(rules)	   "return { name = 'x', network_rules = { " rules " } }"
#define FILES(rules)	   "return { name = 'x', file_rules = { " rules " } }"
#define CONNECTS(rules)	   "return { name = 'x', connect_redirects = { " rules " } }"
#define NAMES(rules)	   "return { name = 'x', dns_redirects = { " rules " } }"

static void names_are_compared_at_label_boundaries(void **state)
{
	(void)state;
	FINDS(NETWORK("{ domains = { '**.example' }, decision = 'deny' },"
		      "{ domains = { 'a.example' }, decision = 'deny' }"),
	      "network_rules[2] never reached: network_rules[1] takes all that it selects first "
	      "(deny)");
	FINDS(NETWORK("{ domains = { '**.example' }, decision = 'deny' },"
		      "{ domains = { '**.b.example', 'x*.c.example' }, decision = 'deny' }"),
	      "network_rules[2]");
	FINDS(NETWORK("{ domains = { '{a,b}*.example' }, decision = 'deny' },"
		      "{ domains = { 'a[0-9].example' }, decision = 'deny' }"),
	      "network_rules[2]");
	FINDS_NOTHING(NETWORK("{ domains = { '**.example' }, decision = 'deny' },"
			      "{ domains = { 'badexample' }, decision = 'deny' },"
			      "{ domains = { 'example' }, decision = 'deny' }"));
	FINDS_NOTHING(NETWORK("{ domains = { '*.example' }, decision = 'deny' },"
			      "{ domains = { '**.example' }, decision = 'deny' }"));
	FINDS_NOTHING(NETWORK("{ domains = { '**.example' }, decision = 'deny' },"
			      "{ decision = 'deny' }"));
}

static void several_rules_take_one_together(void **state)
{
	(void)state;
	FINDS(NETWORK("{ name = 'web', ports = { 80 }, decision = 'deny' },"
		      "{ ports = { 443, '8000-8999' }, decision = 'deny' },"
		      "{ domains = { 'a.example' }, ports = { '80', 443 }, decision = 'allow' }"),
	      "network_rules[3] never reached: network_rules[1] web and network_rules[2] take all");
	FINDS(FILES("{ paths = { '/a/**' }, operations = { 'read' }, decision = 'deny' },"
		    "{ paths = { '/**' }, operations = { 'write' }, decision = 'deny' },"
		    "{ paths = { '/a/b' }, operations = { 'write', 'read' }, decision = 'allow' }"),
	      "file_rules[3] never reached: file_rules[1] and file_rules[2] take all");
	FINDS_NOTHING(FILES("{ paths = { '/a/**' }, operations = { 'read' }, decision = 'deny' },"
			    "{ paths = { '/a/b' }, decision = 'allow' }"));
}

static void networks_and_unknown_addresses(void **state)
{
	(void)state;
	FINDS(NETWORK("{ cidrs = { '10.0.0.0/8', '::/0' }, decision = 'allow' },"
		      "{ cidrs = { '10.1.0.0/16', 'fd00::/8' }, decision = 'allow' }"),
	      "network_rules[2]");
	/* Without an address the deny holds and the allow does not. */
	FINDS_NOTHING(NETWORK("{ cidrs = { '10.0.0.0/8' }, decision = 'allow' },"
			      "{ cidrs = { '10.1.0.0/16' }, decision = 'deny' }"));
	/* dns leaves out the first. */
	FINDS_NOTHING(NETWORK("{ cidrs = { '0.0.0.0/0', '::/0' }, decision = 'deny' },"
			      "{ domains = { 'a.example' }, decision = 'allow' }"));
}

static void a_rule_that_only_makes_names_known_says_so(void **state)
{
	(void)state;
	FINDS(NETWORK("{ ports = { 443 }, decision = 'deny' },"
		      "{ domains = { 'a.example' }, ports = { 443 }, decision = 'allow' }"),
	      "(deny); all it does is let its names be resolved");
}

static void entries_that_another_decision_takes(void **state)
{
	(void)state;
	FINDS(NETWORK("{ domains = { '**.example' }, decision = 'deny' },"
		      "{ domains = { 'a.test', 'a.example' }, decision = 'allow' }"),
	      "network_rules[2].domains[1] never reached: network_rules[1] takes all of it");
	FINDS_NOTHING(NETWORK("{ domains = { '**.example' }, decision = 'allow' },"
			      "{ domains = { 'a.test', 'a.example' }, decision = 'allow' }"));
	FINDS(FILES("{ paths = { '/w/**' }, decision = 'allow' },"
		    "{ paths = { '/home/**', '/w/**/.env*' }, decision = 'deny' }"),
	      "file_rules[2].paths[1] never reached: file_rules[1] takes all of it first (allow)");
}

/* One expression takes another one's texts: where it is found in what all of them end with. */
static void expressions_below_expressions(void **state)
{
	(void)state;
	FINDS(NAMES("{ search = 'corp\\\\.[a-z]+le', resolve_to = '10.0.0.1' },"
		    "{ search = '^ci.*\\\\.corp\\\\.example$', resolve_to = '10.0.0.2' },"
		    "{ regex = 'x[0-9]\\\\.corp\\\\.example', resolve_to = '10.0.0.2' },"
		    "{ search = '^ci.*\\\\.corp\\\\.example', resolve_to = '10.0.0.2' },"
		    "{ search = 'x[0-9]\\\\.corp$', resolve_to = '10.0.0.2' }"),
	      "dns_redirects[2] never reached: dns_redirects[1]",
	      "dns_redirects[3] never reached: dns_redirects[1]");
	// What looks to the left may see something else there.
	FINDS_NOTHING(NAMES("{ search = '^corp\\\\.[a-z]+', resolve_to = '10.0.0.1' },"
			    "{ search = '\\\\bcorp\\\\.[a-z]+', resolve_to = '10.0.0.1' },"
			    "{ regex = 'corp\\\\.[a-z]+', resolve_to = '10.0.0.1' },"
			    "{ search = '[0-9]corp\\\\.example$', resolve_to = '10.0.0.2' }"));
	FINDS(CONNECTS("{ search = 'corp\\\\.[a-z]+:443', redirect_to = 'b.example:1' },"
		       "{ search = '^x[0-9]\\\\.corp\\\\.example:443$', redirect_to = "
		       "'b.example:2' },"
		       "{ search = '^x[0-9]\\\\.corp\\\\.example:80$', redirect_to = 'b.example:3' "
		       "}"),
	      "connect_redirects[2] never reached: connect_redirects[1]");
}

static void redirects(void **state)
{
	(void)state;
	FINDS(NAMES("{ match = 'a.example', resolve_to = '10.0.0.1' },"
		    "{ regex = 'a\\\\.example', resolve_to = '10.0.0.2' },"
		    "{ search = '(^|\\\\.)b\\\\.example$', resolve_to = '10.0.0.2' },"
		    "{ match = '**.b.example', resolve_to = '10.0.0.2' }"),
	      "dns_redirects[2]", "dns_redirects[4]");
	FINDS(CONNECTS("{ match = 'a.example', redirect_to = 'b.example:1' },"
		       "{ match = 'a.example:443', redirect_to = 'b.example:2' },"
		       "{ search = 'c.*443', redirect_to = 'b.example:3' },"
		       "{ match = 'c.example:443', redirect_to = 'b.example:4' },"
		       "{ match = 'c.example', redirect_to = 'b.example:5' }"),
	      "connect_redirects[2]", "connect_redirects[4]");
	FINDS("return { name = 'x', redirect_target_policy = 'trusted',"
	      "network_rules = { { domains = { '**.bad.example' }, decision = 'deny' } },"
	      "dns_redirects = { { match = 'a.bad.example', resolve_to = '10.0.0.1' } },"
	      "connect_redirects = { { match = 'b.bad.example:80', redirect_to = 'c.example:1' } } "
	      "}",
	      "dns_redirects[1] never reached: network_rules[1]",
	      "connect_redirects[1] never reached: network_rules[1]");
	FINDS_NOTHING("return { name = 'x', redirect_target_policy = 'trusted',"
		      "network_rules = { { domains = { 'a.bad.example' }, decision = 'allow' },"
		      "                  { domains = { '**.bad.example' }, decision = 'deny' } },"
		      "dns_redirects = { { match = 'a.bad.example', resolve_to = '10.0.0.1' } } }");
}

static void expressions_below_a_domain(void **state)
{
	(void)state;
	FINDS(NAMES("{ match = '**.corp.example', resolve_to = '10.0.0.1' },"
		    "{ regex = 'build-[0-9]+\\\\.corp\\\\.example', resolve_to = '10.0.0.2' },"
		    "{ search = '^ci.*\\\\.Corp\\\\.example$', resolve_to = '10.0.0.2' },"
		    "{ search = '^ci.*corp\\\\.example$', resolve_to = '10.0.0.2' },"
		    "{ search = '^ci.*\\\\.corp\\\\.example', resolve_to = '10.0.0.2' },"
		    "{ search = '^ci.*\\\\.corp\\\\.example$|x', resolve_to = '10.0.0.2' }"),
	      "dns_redirects[2]", "dns_redirects[3]");
	FINDS(CONNECTS("{ match = '**.corp.example:443', redirect_to = 'b.example:1' },"
		       "{ search = '^x[0-9]\\\\.corp\\\\.example:443$', redirect_to = "
		       "'b.example:2' },"
		       "{ search = '^x[0-9]\\\\.corp\\\\.example:80$', redirect_to = 'b.example:3' "
		       "},"
		       "{ search = '^x[0-9]\\\\.corp\\\\.example:', redirect_to = 'b.example:4' }"),
	      "connect_redirects[2]");
	FINDS("return { name = 'x', redirect_target_policy = 'trusted',"
	      "network_rules = { { domains = { '**.bad.example' }, decision = 'deny' } },"
	      "dns_redirects = { { search = '^[a-z]+\\\\.bad\\\\.example$', resolve_to = "
	      "'10.0.0.1' },"
	      "{ search = '^[a-z]+bad\\\\.example$', resolve_to = '10.0.0.1' } } }",
	      "dns_redirects[1] never reached: network_rules[1]");
}

static void empty_lists_match_nothing(void **state)
{
	(void)state;
	FINDS(NETWORK("{ domains = { }, decision = 'deny' }, { ports = { }, decision = 'deny' },"
		      "{ domains = { 'a.example' }, decision = 'deny' }"),
	      "network_rules[1] never reached: its list of domains is empty",
	      "network_rules[2] never reached: its list of ports is empty");
}

static void what_takes_every_question(void **state)
{
	struct gathered g = { .text = MF_STRBUF_INIT(65536) };
	const struct mf_rule_observer observer = { on_policy, on_rule, &g };
	struct rules_case c;

	(void)state;
	rules_load_observed(&c,
			    "return { name = 'x', network_rules = { { decision = 'deny' } },"
			    "file_rules = { { paths = { '/**' }, operations = { 'read' }, decision "
			    "= 'deny' } } }",
			    &observer);
	assert_int_equal(c.code, 0);
	assert_string_equal(mf_shadows_takes_all(g.shadows, MF_CONNECT), "network_rules[1]");
	assert_string_equal(mf_shadows_takes_all(g.shadows, MF_DNS), "network_rules[1]");
	assert_null(mf_shadows_takes_all(g.shadows, MF_FILE));
	assert_null(mf_shadows_takes_all(g.shadows, MF_DNS_ANSWER));
	mf_shadows_free(g.shadows);
	rules_done(&c);
}

/* --- random policies ---------------------------------------------------------------------------------------------------- */

static uint64_t seed = 7;

static unsigned rnd(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

#define PICK(list) (list)[rnd(MF_ARRAY_SIZE(list))]

static const char *const domain_globs[] = {
	"a.example",
	"b.example",
	"*.example",
	"**.example",
	"**",
	"*",
	"a.b.example",
	"**.b.example",
	"*.b.example",
	"a*.example",
	"*a.example",
	"{a,b}.example",
	"a?.example",
	"**a.b.example",
	"a.**",
	"[ab].example",
	"[!a].example",
	"example",
	"**.c.{example,test}",
	"A.EXAMPLE",
	"a.example.",
	"**.**",
	"a**",
	"*.*.example",
	"*.{a,b.c}.example",
	"{a.example.,b.example}",
	"*[a-c].example",
	"x.*.b.example",
	"10.1.2.3",
};
static const char *const names[] = {
	"a.example",	 "b.example",	"c.example",
	"example",	 "a.b.example", "x.a.b.example",
	"b.b.example",	 "ab.example",	"ba.example",
	"a.b.c.example", "c.c.test",	"x.c.test",
	"localhost",	 "a",		"x.b.c.example",
	"x.y.b.example", "d.example",	"deep.er.than.most.b.example",
};
static const char *const cidrs[] = { "10.0.0.0/8",  "10.1.0.0/16", "10.1.2.3",	    "0.0.0.0/0",
				     "10.1.2.0/31", "::/0",	   "2001:db8::/32", "2001:db8::1" };
static const char *const ips[] = { "10.1.2.3",	"10.1.2.2",    "10.1.9.9",    "10.9.9.9",
				   "192.0.2.1", "2001:db8::1", "2001:db8::2", "fe80::1" };
static const int ports[] = { 53, 80, 443, 8443 };
static const char *const path_globs[] = {
	"/a",	     "/a/**",	"/a/*",	      "/**",	"**",	       "**/c",
	"/**/c",     "/a/**/c", "/a/b/c",     "/a/*/c", "/a/b*",       "/*/b/**",
	"/{a,b}/**", "**/*.so", "/a/**/*.so", "/a/?",	"/a/[bc]",     "/b/**/**/c",
	"/",	     "/*",	"**/a/**",    "/a/b/",	"/{a,**/b}/c", "/a/[!b]",
};
static const char *const paths[] = { "/",	"/a",	     "/b",     "/c",	     "/a/b",
				     "/a/c",	"/a/b/c",    "/a/b/d", "/b/a/c",     "/b/x/y/c",
				     "/a/x.so", "/a/b/x.so", "/x.so",  "/a/b/c/d/e", "/ab",
				     "/a/bc",	"/b/c",	     "/x/b/c" };
static const char *const ops[] = { "read", "write", "delete", "rename" };
static const char *const asked_ops[] = { "read", "write", "delete", "rename", "ioctl" };
static const char *const decisions[] = { "allow", "deny", "deny", "audit", "approve" };
static const char *const dns_patterns[] = { "a.example",
					    "(^|\\.)b\\.example$",
					    ".*",
					    "^a\\.example$",
					    "example",
					    "^[ab]\\.",
					    "^(a|b)\\.example$",
					    "^[ab].*\\.example$",
					    "[ab]+\\.b\\.example$" };
static const char *const connect_patterns[] = { "a.example:443",
						"(^|\\.)b\\.example:443$",
						".*",
						"^a\\.example:80$",
						"example",
						":443$",
						"^(a|b)\\.example:443$",
						"^[ab].*\\.example:443$" };
static const char *const connect_globs[] = {
	"a.example", "a.example:443", "**.example:443", "*.example",   "**",
	"**:80",     "b.example:*",   "10.1.2.3:443",	"**.b.example"
};

struct written {
	struct mf_rule_spec spec;
	const char *names[3], *nets[2], *operations[2];
	struct mf_port_range ports[2];
};

static void write_lists(struct written *w)
{
	struct mf_rule_spec *s = &w->spec;
	bool file = s->family == MF_FILE_RULES;
	struct mf_rule_list list = { w->names, 0, file || rnd(3) > 0 };

	for (unsigned n = 1 + rnd(3); list.present && list.cnt < n; list.cnt++)
		w->names[list.cnt] = file ? PICK(path_globs) : PICK(domain_globs);
	s->decision = PICK(decisions);
	if (file) {
		s->paths = list;
		s->operations = (struct mf_rule_list){ w->operations, rnd(3), true };
		for (size_t i = 0; i < s->operations.cnt; i++)
			w->operations[i] = PICK(ops);
		s->operations.present = s->operations.cnt > 0;
		return;
	}
	s->domains = list;
	s->cidrs = (struct mf_rule_list){ w->nets, 1 + rnd(2), rnd(3) == 0 };
	s->cidrs.cnt = s->cidrs.present ? s->cidrs.cnt : 0;
	for (size_t i = 0; i < s->cidrs.cnt; i++)
		w->nets[i] = PICK(cidrs);
	s->has_ports = rnd(2) == 0;
	s->ports = w->ports;
	s->port_cnt = s->has_ports ? 1 + rnd(2) : 0;
	for (size_t i = 0; i < s->port_cnt; i++) {
		uint16_t port = (uint16_t)PICK(ports);

		w->ports[i] =
			(struct mf_port_range){ port, (uint16_t)(port + (rnd(3) ? 0 : rnd(9000))) };
	}
}

static void write_redirect(struct written *w)
{
	struct mf_rule_spec *s = &w->spec;
	bool dns = s->family == MF_DNS_REDIRECTS;

	s->mode = (enum mf_rule_match)rnd(MF_RULE_MATCH_NUM);
	if (s->mode == MF_MATCH_GLOB)
		s->match = dns ? PICK(domain_globs) : PICK(connect_globs);
	else
		s->match = dns ? PICK(dns_patterns) : PICK(connect_patterns);
	if (dns)
		s->resolve_to = "192.0.2.7";
	else
		s->redirect_to = "target.test:9";
	s->trusted = true;
}

struct policy {
	struct written rules[MF_RULE_FAMILY_NUM][RULES_MAX];
	unsigned cnt[MF_RULE_FAMILY_NUM];
	struct mf_rules_options options;
};

static void write_policy(struct policy *p)
{
	static const enum mf_dns_default dns[] = { MF_DNS_RESOLVE_KNOWN, MF_DNS_RESOLVE_KNOWN,
						   MF_DNS_DENY };

	memset(p, 0, sizeof(*p));
	p->options = (struct mf_rules_options){ .policy = "random",
						.gobwas = rnd(4) == 0,
						.dns_default = PICK(dns) };
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++) {
		p->cnt[f] = 1 + rnd(RULES_MAX);
		for (unsigned i = 0; i < p->cnt[f]; i++) {
			struct written *w = &p->rules[f][i];

			w->spec = (struct mf_rule_spec){ .family = (enum mf_rule_family)f,
							 .index = i };
			if (f == MF_NETWORK_RULES || f == MF_FILE_RULES)
				write_lists(w);
			else
				write_redirect(w);
		}
	}
}

/* @without: leave out that entry. Return: the rules, with what they shadow in @shadows unless it is NULL */
static struct mf_rules *build(const struct policy *p, const struct mf_shadow *without,
			      struct mf_shadows *shadows)
{
	struct mf_rules_builder *b;
	struct mf_rules *rules = NULL;
	struct mf_err err;

	assert_int_equal(mf_rules_builder_new(&p->options, &b), 0);
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++) {
		for (unsigned i = 0; i < p->cnt[f]; i++) {
			struct written w = p->rules[f][i];
			struct mf_rule_list *list =
				f == MF_FILE_RULES ? &w.spec.paths : &w.spec.domains;

			if (without && without->family == w.spec.family && without->index == i) {
				list->items = w.names;
				for (size_t k = without->item; k + 1 < list->cnt; k++)
					w.names[k] = w.names[k + 1];
				list->cnt--;
			}
			mf_rules_builder_add(b, &w.spec);
			if (shadows)
				assert_int_equal(mf_shadows_add(shadows, &w.spec), 0);
		}
	}
	if (mf_rules_builder_finish(b, &rules, &err) < 0)
		fail_msg("%s", err.msg);
	return rules;
}

struct found {
	struct mf_shadow items[4 * RULES_MAX * 3];
	size_t cnt;
};

static void keep(void *ctx, const struct mf_shadow *shadow)
{
	struct found *f = ctx;

	assert_true(f->cnt < MF_ARRAY_SIZE(f->items));
	f->items[f->cnt++] = *shadow;
}

/* One random question, always the same for one @number. */
static void ask(struct mf_rules *rules, unsigned number, char *ret, size_t size)
{
	uint64_t saved = seed;
	const char *name, *host, *ip, *answer;
	int port;

	seed = number * UINT64_C(0x9e3779b97f4a7c15);
	(void)rnd(2);
	name = PICK(names);
	host = rnd(5) ? PICK(names) : NULL;
	ip = rnd(6) ? PICK(ips) : NULL;
	port = rnd(8) ? PICK(ports) + (int)rnd(2) : -1;
	switch (rnd(4)) {
	case 0:
		answer = rules_dns(rules, name);
		break;
	case 1:
		answer = rules_connect(rules, ip, port, host);
		break;
	case 2:
		answer = rules_sni(rules, ip, port, host, rnd(3) ? name : NULL);
		break;
	default:
		answer = rules_file(rules, PICK(asked_ops), PICK(paths),
				    rnd(3) ? NULL : PICK(paths));
	}
	snprintf(ret, size, "%s ", answer);
	seed = saved;
}

static void check_rule(struct mf_rules *rules, const struct mf_shadow *s, unsigned questions)
{
	char label[64], got[1100];

	snprintf(label, sizeof(label), " %s[%u] ", mf_rule_family_name(s->family), s->index);
	for (unsigned q = 0; q < questions; q++) {
		ask(rules, q, got, sizeof(got));
		if (strstr(got, label))
			fail_msg("%swas said to be never reached: %s", label, got);
	}
}

static void check_entry(struct mf_rules *rules, const struct policy *p, const struct mf_shadow *s,
			unsigned questions)
{
	struct mf_rules *without = build(p, s, NULL);
	char got[1100], other[1100];

	for (unsigned q = 0; q < questions; q++) {
		ask(rules, q, got, sizeof(got));
		ask(without, q, other, sizeof(other));
		/* An entry that is never reached may still make its name known to dns. */
		if (strcmp(got, other) != 0 && !strstr(got, " dns_default "))
			fail_msg("%s[%u] entry %zu was said to be never reached: %s, without %s",
				 mf_rule_family_name(s->family), s->index, s->item, got, other);
	}
	mf_rules_free(without);
}

static void what_is_told_of_never_decides(void **state)
{
	unsigned rounds = getenv("MF_SLOW") ? ROUNDS * 10 : ROUNDS, whole = 0, entries = 0,
		 reached = 0;

	(void)state;
	for (unsigned round = 0; round < rounds; round++) {
		struct mf_shadows *shadows;
		struct mf_rules *rules;
		struct policy p;
		struct found found = { .cnt = 0 };
		const struct mf_shadow_sink sink = { keep, &found };

		write_policy(&p);
		assert_int_equal(mf_shadows_new(&p.options, &shadows), 0);
		rules = build(&p, NULL, shadows);
		assert_int_equal(mf_shadows_find(shadows, &sink), 0);
		for (size_t i = 0; i < found.cnt; i++) {
			if (found.items[i].item == SIZE_MAX) {
				check_rule(rules, &found.items[i], QUESTIONS);
				whole++;
			} else {
				check_entry(rules, &p, &found.items[i], QUESTIONS);
				entries++;
			}
		}
		for (int f = 0; f < MF_RULE_FAMILY_NUM; f++)
			reached += p.cnt[f];
		mf_rules_free(rules);
		mf_shadows_free(shadows);
	}
	print_message("%u rules, %u never reached, %u entries\n", reached, whole, entries);
	/* A test that finds nothing shows nothing. */
	assert_true(whole > rounds && entries > rounds / 4);
}

/* --- the tails of expressions ------------------------------------------------------------------------------------------- */

/* A random expression: of pieces that are right alone, and of any characters in between. */
static void write_expression(char *buf, size_t room)
{
	static const char *const pieces[] = {
		"a",	    "b",     "\\.",  ".",	  "[ab]",     "[^a]",	"(a|b)",
		"(?:a\\.)", "a*",    "b+",   "(ab)?",	  "\\.{1,2}", "a{2}",	"\\w",
		"\\b",	    "|",     "$",    "^",	  ".*",	      "(b|a$)", "[]b]",
		"(|\\.b)",  "(?i)A", "A",    "\\Qa|b\\E", "x{0}",     "a??",	"[[:alpha:]]",
		"(?:b)+?",  "\\x62", "(a)|b"
	};
	static const char *const ends[] = { "\\.b", "a", "b\\.a" };
	unsigned cnt = 1 + rnd(5);

	snprintf(buf, room, "%s", rnd(3) ? "" : "^");
	while (cnt--)
		strncat(buf, PICK(pieces), room - strlen(buf) - 1);
	if (rnd(2))
		strncat(buf, PICK(ends), room - strlen(buf) - 1);
	if (rnd(3))
		strncat(buf, "$", room - strlen(buf) - 1);
}

/* Return: texts that matched; each must have the tail */
static unsigned try_texts(const struct mf_regex *re, struct mf_regex_scratch *scratch,
			  const char *pattern, const char *tail)
{
	size_t tail_len = strlen(tail), len;
	unsigned matched = 0;
	char text[8];

	for (len = 0; len < sizeof(text) - 1; len++) {
		unsigned all = 1;

		for (size_t i = 0; i < len; i++)
			all *= 3;
		for (unsigned n = 0; n < all; n++) {
			unsigned rest = n;

			for (size_t i = 0; i < len; i++, rest /= 3)
				text[i] = "ab."[rest % 3];
			text[len] = '\0';
			if (mf_regex_match(re, scratch, text, len) != 1)
				continue;
			matched++;
			if (len < tail_len || memcmp(text + len - tail_len, tail, tail_len) != 0)
				fail_msg("\"%s\" matches \"%s\", which does not end with \"%s\"",
					 pattern, text, tail);
		}
	}
	return matched;
}

/* Return: texts that @inner matches; @outer must match each. */
static unsigned try_both(const struct mf_regex *outer, const struct mf_regex *inner,
			 struct mf_regex_scratch *scratch, const char *text_outer,
			 const char *text_inner)
{
	unsigned matched = 0;
	char text[7];

	for (size_t len = 0; len < sizeof(text); len++) {
		unsigned all = 1;

		for (size_t i = 0; i < len; i++)
			all *= 3;
		for (unsigned n = 0; n < all; n++) {
			unsigned rest = n;

			for (size_t i = 0; i < len; i++, rest /= 3)
				text[i] = "ab."[rest % 3];
			if (mf_regex_match(inner, scratch, text, len) != 1)
				continue;
			matched++;
			if (mf_regex_match(outer, scratch, text, len) != 1)
				fail_msg("\"%s\" does not match \"%.*s\" of \"%s\"", text_outer,
					 (int)len, text, text_inner);
		}
	}
	return matched;
}

static void make_atom(struct mf_atoms *atoms, char *pattern, size_t room, enum mf_rule_match mode)
{
	struct mf_rule_spec spec = { .family = MF_DNS_REDIRECTS, .mode = mode, .match = pattern };

	write_expression(pattern, room);
	assert_int_equal(mf_atoms_add_spec(atoms, &spec, false), 0);
}

/* Of two random expressions one of which is said to take what the other one selects, it does, for every text of up to six letters. */
static void what_an_expression_takes_it_matches(void **state)
{
	struct mf_regex_scratch *scratch = mf_regex_scratch_new();
	unsigned rounds = getenv("MF_SLOW") ? 200000 : 20000, taken = 0, matched = 0;

	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		char outer[128], inner[128];
		struct mf_atoms a = { 0 }, b = { 0 };
		uint64_t cost = 0;

		make_atom(&a, outer, sizeof(outer), MF_MATCH_SEARCH);
		make_atom(&b, inner, sizeof(inner), rnd(2) ? MF_MATCH_SEARCH : MF_MATCH_REGEX);
		if (a.cnt == 1 && b.cnt == 1 && a.items[0].type == MF_ATOM_REGEX &&
		    b.items[0].type == MF_ATOM_REGEX && a.items[0].regex && b.items[0].regex &&
		    strcmp(outer, inner) != 0 &&
		    mf_atom_covers(&a.items[0], &b.items[0], false, scratch, &cost)) {
			taken++;
			matched += try_both(a.items[0].regex, b.items[0].regex, scratch, outer,
					    inner) > 0;
		}
		mf_atoms_done(&a);
		mf_atoms_done(&b);
	}
	mf_regex_scratch_free(scratch);
	print_message("%u pairs, %u of them with texts\n", taken, matched);
	assert_true(taken > 100 && matched > taken / 2);
}

/* Every text of up to seven letters that a random expression matches ends with its tail. */
static void what_matches_has_the_tail(void **state)
{
	struct mf_regex_scratch *scratch = mf_regex_scratch_new();
	unsigned rounds = getenv("MF_SLOW") ? 20000 : 2000, tails = 0, matched = 0;

	(void)state;
	for (unsigned i = 0; i < rounds; i++) {
		char pattern[128], tail[64];
		bool full = rnd(2) == 0;
		struct mf_regex *re;

		write_expression(pattern, sizeof(pattern));
		if (!mf_regex_tail(pattern, strlen(pattern), full, tail, sizeof(tail)) ||
		    mf_regex_compile(pattern, strlen(pattern),
				     MF_REGEX_HOST | (full ? MF_REGEX_FULL : 0), NULL, &re,
				     NULL) < 0)
			continue;
		tails++;
		matched += try_texts(re, scratch, pattern, tail) > 0;
		mf_regex_free(re);
	}
	mf_regex_scratch_free(scratch);
	print_message("%u tails, %u of expressions that match something\n", tails, matched);
	assert_true(tails > rounds / 20 && matched > tails / 2);
}

static void tails_are_read(void **state)
{
	static const struct {
		const char *pattern, *tail;
		bool full;
	} cases[] = {
		{ "^api-[0-9]+\\.Example\\.com$", ".example.com", false },
		{ "^api-[0-9]+\\.example\\.com", "", false },
		{ "api-[0-9]+\\.example\\.com", ".example.com", true },
		{ "x.*:443", ":443", true },
		{ "x|y\\.example$", "", false },
		{ "(x|y)\\.example$", ".example", false },
		{ "x\\.exampl(e)$", "", false },
		{ "x\\.example?$", "", false },
		{ "x\\.exa+mple$", "mple", false },
		{ "(?i)x\\.example$", "", false },
		{ "x\\.example\\$", "", false },
		{ "", "", true },
	};
	char tail[64], small[4];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		size_t n = mf_regex_tail(cases[i].pattern, strlen(cases[i].pattern), cases[i].full,
					 tail, sizeof(tail));

		if (strcmp(tail, cases[i].tail) != 0 || n != strlen(tail))
			fail_msg("%s: \"%s\"", cases[i].pattern, tail);
	}
	assert_int_equal(mf_regex_tail("abcdef", 6, true, small, sizeof(small)), 3);
	assert_string_equal(small, "def");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tails_are_read),
		cmocka_unit_test(what_matches_has_the_tail),
		cmocka_unit_test(expressions_below_a_domain),
		cmocka_unit_test(expressions_below_expressions),
		cmocka_unit_test(what_an_expression_takes_it_matches),
		cmocka_unit_test(names_are_compared_at_label_boundaries),
		cmocka_unit_test(several_rules_take_one_together),
		cmocka_unit_test(networks_and_unknown_addresses),
		cmocka_unit_test(a_rule_that_only_makes_names_known_says_so),
		cmocka_unit_test(entries_that_another_decision_takes),
		cmocka_unit_test(redirects),
		cmocka_unit_test(empty_lists_match_nothing),
		cmocka_unit_test(what_takes_every_question),
		cmocka_unit_test(what_is_told_of_never_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
