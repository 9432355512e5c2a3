/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules_oracle.c - the index against a reader of rules from top to bottom
 *
 * Random rules over few names, networks, ports and paths, so that they overlap a lot; random questions; the first rule
 * that a plain loop finds must be the one that the index finds. A fixed seed makes every run the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/match/cidr_set.h"
#include "core/match/glob.h"
#include "tests/unit/rules/rules_help.h"

#define ROUNDS	  120
#define RULES_MAX 60
#define QUESTIONS 300

static uint64_t seed = 42;

static unsigned rnd(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

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
	"{a,b}.{b,c}.example",
	"a?.example",
	"**a.b.example",
	"a.**",
	"[ab].example",
	"example",
	"**.c.{example,test}",
	"xn--bcher-kva.example",
	"A.EXAMPLE",
	"a.example.",
	"**.**",
	"a**",
	"*.*.example",
	"*.{a,b.c}.example",
};
static const char *const names[] = {
	"a.example",
	"b.example",
	"c.example",
	"example",
	"a.b.example",
	"x.a.b.example",
	"b.b.example",
	"ab.example",
	"ba.example",
	"a.b.c.example",
	"c.c.test",
	"x.c.test",
	"localhost",
	"a",
	"xn--bcher-kva.example",
	"x.b.c.example",
	"deep.er.than.most.b.example",
};
static const char *const cidrs[] = { "10.0.0.0/8",    "10.1.0.0/16", "10.1.2.3",
				     "0.0.0.0/0",     "10.1.2.0/31", "::/0",
				     "2001:db8::/32", "2001:db8::1", "::ffff:10.0.0.0/104",
				     "192.0.2.0/25" };
static const char *const ips[] = { "10.1.2.3",	"10.1.2.2",	  "10.1.9.9",	 "10.9.9.9",
				   "192.0.2.1", "192.0.2.200",	  "2001:db8::1", "2001:db8::2",
				   "fe80::1",	"::ffff:10.1.2.3" };
static const int ports[] = { 53, 80, 443, 8443 };
static const char *const path_globs[] = {
	"/a",	     "/a/**",	"/a/*",	      "/**",	"**",	   "**/c",
	"/**/c",     "/a/**/c", "/a/b/c",     "/a/*/c", "/a/b*",   "/*/b/**",
	"/{a,b}/**", "**/*.so", "/a/**/*.so", "/a/?",	"/a/[bc]", "/b/**/**/c",
	"/",	     "/*",	"**/a/**",    "/a/b/",
};
static const char *const paths[] = { "/",	"/a",	     "/b",     "/c",	 "/a/b",
				     "/a/c",	"/a/b/c",    "/a/b/d", "/b/a/c", "/b/x/y/c",
				     "/a/x.so", "/a/b/x.so", "/x.so",  "/b",	 "/a/b/c/d/e",
				     "/ab",	"/a/bc" };
static const char *const ops[] = { "read", "write", "delete" };

#define PICK(list) (list)[rnd(sizeof(list) / sizeof((list)[0]))]

struct plain {
	const char *globs[3];
	size_t glob_cnt;
	const char *nets[3];
	size_t net_cnt;
	struct mf_port_range ports[2];
	size_t port_cnt;
	const char *operations[2];
	size_t op_cnt;
	bool has_globs, has_nets, has_ports;
};

static bool glob_fits(const char *glob, char separator, const char *subject)
{
	struct mf_glob *g;
	char lower[64];
	size_t n = strlen(glob);
	bool fits;

	snprintf(lower, sizeof(lower), "%s", glob);
	if (separator == '.') {
		for (size_t i = 0; i < n; i++)
			if (lower[i] >= 'A' && lower[i] <= 'Z')
				lower[i] += 32;
		if (n > 1 && lower[n - 1] == '.')
			lower[--n] = '\0';
		/* P42: without a name only "**" fits. */
		if (!*subject)
			return strspn(lower, "*") == n && n > 1;
	}
	assert_int_equal(mf_glob_compile(lower, n, separator, 0, &g, NULL), 0);
	fits = mf_glob_match(g, subject, strlen(subject));
	mf_glob_free(g);
	return fits;
}

static bool network_fits(const struct plain *p, const char *name, const char *ip, int port)
{
	bool fits = !p->has_globs;
	struct mf_addr addr;
	struct mf_cidr net;

	for (size_t i = 0; i < p->glob_cnt; i++)
		fits |= glob_fits(p->globs[i], '.', name);
	if (!fits)
		return false;
	fits = !p->has_ports;
	for (size_t i = 0; i < p->port_cnt; i++)
		fits |= port >= p->ports[i].first && port <= p->ports[i].last;
	if (!fits || !p->has_nets)
		return fits;
	assert_int_equal(mf_addr_parse(ip, strlen(ip), &addr), 0);
	for (size_t i = 0; i < p->net_cnt; i++) {
		assert_int_equal(mf_cidr_parse(p->nets[i], strlen(p->nets[i]), &net), 0);
		if (mf_cidr_has(&net, &addr))
			return true;
	}
	return false;
}

static bool file_fits(const struct plain *p, const char *op, const char *path)
{
	bool fits = p->op_cnt == 0;

	for (size_t i = 0; i < p->op_cnt; i++)
		fits |= strcmp(p->operations[i], op) == 0;
	for (size_t i = 0; fits && i < p->glob_cnt; i++)
		if (glob_fits(p->globs[i], '/', path))
			return true;
	return false;
}

static void make_network(struct plain *p)
{
	memset(p, 0, sizeof(*p));
	p->has_globs = rnd(3) > 0;
	p->has_nets = rnd(3) == 0;
	p->has_ports = rnd(2) == 0;
	for (unsigned n = rnd(3) + (rnd(20) > 0); p->has_globs && n > 0 && p->glob_cnt < 3; n--)
		p->globs[p->glob_cnt++] = PICK(domain_globs);
	for (unsigned n = rnd(3) + 1; p->has_nets && n > 0; n--)
		p->nets[p->net_cnt++] = PICK(cidrs);
	for (unsigned n = rnd(2) + 1; p->has_ports && n > 0; n--) {
		uint16_t port = (uint16_t)PICK(ports);

		p->ports[p->port_cnt++] =
			(struct mf_port_range){ port, (uint16_t)(rnd(4) ? port : port + rnd(200)) };
	}
}

static void add(struct mf_rules_builder *b, const struct plain *p, enum mf_rule_family family,
		unsigned i)
{
	struct mf_rule_spec spec = { .family = family, .index = i, .decision = "deny" };
	struct mf_rule_list globs = { p->globs, p->glob_cnt, p->has_globs };

	if (family == MF_FILE_RULES)
		spec.paths = globs;
	else
		spec.domains = globs;
	spec.cidrs = (struct mf_rule_list){ p->nets, p->net_cnt, p->has_nets };
	spec.operations = (struct mf_rule_list){ p->operations, p->op_cnt, p->op_cnt > 0 };
	spec.ports = p->ports;
	spec.port_cnt = p->port_cnt;
	spec.has_ports = p->has_ports;
	mf_rules_builder_add(b, &spec);
}

static struct mf_rules *build(const struct plain *plain, unsigned cnt, enum mf_rule_family family)
{
	const struct mf_rules_options options = { .policy = "random" };
	struct mf_rules_builder *b;
	struct mf_rules *rules = NULL;
	struct mf_err err;

	assert_int_equal(mf_rules_builder_new(&options, &b), 0);
	for (unsigned i = 0; i < cnt; i++)
		add(b, &plain[i], family, i);
	if (mf_rules_builder_finish(b, &rules, &err) < 0)
		fail_msg("%s", err.msg);
	return rules;
}

static void expect(const char *got, const char *family, unsigned want, unsigned cnt,
		   const char *about)
{
	char text[64] = "none";

	if (want < cnt)
		snprintf(text, sizeof(text), "deny %s[%u]", family, want);
	if (strcmp(text, got) != 0)
		fail_msg("%s: %s, not %s", about, got, text);
}

static void the_index_finds_the_rule_that_a_loop_finds(void **state)
{
	static struct plain plain[RULES_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned cnt = 1 + rnd(RULES_MAX);
		struct mf_rules *rules;

		for (unsigned i = 0; i < cnt; i++)
			make_network(&plain[i]);
		rules = build(plain, cnt, MF_NETWORK_RULES);
		for (unsigned q = 0; q < QUESTIONS; q++) {
			const char *name = rnd(6) ? PICK(names) : "", *ip = PICK(ips);
			int port = PICK(ports) + (int)rnd(2);
			char about[200];
			unsigned want = 0;

			while (want < cnt && !network_fits(&plain[want], name, ip, port))
				want++;
			snprintf(about, sizeof(about), "round %u: %s %s %d", round, name, ip, port);
			expect(rules_connect(rules, ip, port, *name ? name : NULL), "network_rules",
			       want, cnt, about);
		}
		mf_rules_free(rules);
	}
}

static void the_index_of_paths_finds_the_rule_that_a_loop_finds(void **state)
{
	static struct plain plain[RULES_MAX];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned cnt = 1 + rnd(RULES_MAX / 4);
		struct mf_rules *rules;

		for (unsigned i = 0; i < cnt; i++) {
			memset(&plain[i], 0, sizeof(plain[i]));
			plain[i].has_globs = true;
			for (unsigned n = rnd(3) + 1; n > 0; n--)
				plain[i].globs[plain[i].glob_cnt++] = PICK(path_globs);
			for (unsigned n = rnd(3); n > 0; n--)
				plain[i].operations[plain[i].op_cnt++] = PICK(ops);
		}
		rules = build(plain, cnt, MF_FILE_RULES);
		for (unsigned q = 0; q < QUESTIONS; q++) {
			const char *path = PICK(paths), *op = PICK(ops);
			char about[200];
			unsigned want = 0;

			while (want < cnt && !file_fits(&plain[want], op, path))
				want++;
			snprintf(about, sizeof(about), "round %u: %s %s", round, op, path);
			expect(rules_file(rules, op, path, NULL), "file_rules", want, cnt, about);
		}
		mf_rules_free(rules);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_index_finds_the_rule_that_a_loop_finds),
		cmocka_unit_test(the_index_of_paths_finds_the_rule_that_a_loop_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
