/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_agentsh_convert.c - random policies of agentsh, as they are and as `policy convert` prints them: random questions get the
 * same verdict, rule and message from both
 *
 * Rules are made of few names, networks, ports and paths, so that they overlap a lot; texts hold what must be quoted in YAML and
 * in Lua. A fixed seed makes every run the same; MF_PROPERTY_SEED is another one, MF_PROPERTY_POLICIES another
 * number of policies.
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
#include "core/policy/agentsh.h"
#include "tests/unit/agentsh/agentsh_help.h"

#define POLICIES  60
#define RULES_MAX 12
#define QUESTIONS 80

static uint64_t seed = 7;

static unsigned rnd(unsigned n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

#define PICK(list) (list)[rnd((unsigned)MF_ARRAY_SIZE(list))]

static const char *const domains[] = { "a.example",  "*.example",   "**.example",
				       "*",	     "**",	    "{a,b}.example",
				       "a?.example", "A.EXAMPLE.",  "${D:-a}.example",
				       "b*.**",	     "{*.,}b.test", "localhost" };
static const char *const names[] = { "a.example", "b.example", "x.a.example", "localhost",
				     "b.test",	  "x.b.test",  "ab.example",  "example" };
static const char *const cidrs[] = { "10.0.0.0/8", "10.1.2.3",	    "0.0.0.0/0",
				     "::/0",	   "2001:db8::/32", "192.0.2.0/25" };
static const char *const ips[] = { "10.1.2.3",	  "10.9.9.9", "192.0.2.1",
				   "2001:db8::1", "fe80::1",  "::ffff:10.1.2.3" };
static const int ports[] = { 53, 80, 443 };
static const char *const globs[] = { "/a/**",	  "/a/*",	"**/c",		"/a/**/c",
				     "/{a,b}/**", "${HOME}/**", "${STAR}/x",	"C:\\d\\*",
				     "/a/[!b]",	  "/**",	"${NO:-/b/**}", "/a/b\\*",
				     "x/y",	  "/" };
static const char *const paths[] = { "/",  "/a",	"/a/b",	     "/a/b/c",	"/b/c",
				     "/c", "/home/u/c", "/a*b[c]/x", "/C:/d/x", "/a/b*" };
static const char *const ops[] = { "open",    "read",  "stat",	"list",	  "write",
				   "create",  "mkdir", "chmod", "rename", "delete",
				   "symlink", "link",  "rmdir" };
static const char *const asked_ops[] = { "read",    "write",   "delete", "truncate",
					 "symlink", "utimens", "rename", "getxattr",
					 "exec",    "chown",   "link" };
static const char *const matches[] = { "^a\\.example$",	   "a.example",	 ".*\\.test",
				       "(^|\\.)b\\.test$", "[ab]+",	 "^x\\..*$",
				       "localhost",	   "A\\.EXAMPLE" };
static const char *const targets[] = { "gw.lan:8443", "10.9.9.9:80", "[2001:db8::9]:443" };
static const char *const messages[] = { "plain",
					"with \"quotes\" and \\",
					"colon: and # mark",
					"two\nlines\tand tab",
					"\xc3\xa4\xe2\x82\xac",
					"{{.Path}} %s ]] --" };

/* --- YAML ----------------------------------------------------------------------------------------------------------- */

/* A text in double quotes. */
static void put_text(struct mf_strbuf *b, const char *text)
{
	mf_strbuf_addc(b, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			mf_strbuf_addf(b, "\\%c", *p);
		else if (*p == '\n')
			mf_strbuf_adds(b, "\\n");
		else if (*p == '\t')
			mf_strbuf_adds(b, "\\t");
		else
			mf_strbuf_addc(b, *p);
	}
	mf_strbuf_addc(b, '"');
}

static void put_pair(struct mf_strbuf *b, const char *key, const char *text)
{
	mf_strbuf_addf(b, "    %s: ", key);
	put_text(b, text);
	mf_strbuf_addc(b, '\n');
}

/* Up to three of @list, or no such key at all. */
static void put_some(struct mf_strbuf *b, const char *key, const char *const *list, unsigned cnt,
		     bool always)
{
	unsigned n = always ? 1 + rnd(3) : rnd(4);

	if (!n)
		return;
	mf_strbuf_addf(b, "    %s:\n", key);
	while (n--) {
		mf_strbuf_adds(b, "      - ");
		put_text(b, list[rnd(cnt)]);
		mf_strbuf_addc(b, '\n');
	}
}

static void put_common(struct mf_strbuf *b, const char *kind, unsigned i)
{
	mf_strbuf_addf(b, "  - name: %s-%u\n", kind, i);
	if (rnd(3) == 0)
		put_pair(b, "description", PICK(messages));
	if (rnd(2))
		put_pair(b, "message", PICK(messages));
	if (rnd(6) == 0)
		mf_strbuf_adds(b, rnd(2) ? "    visibility: silent\n" : "    visibility: warn\n");
}

static void put_network(struct mf_strbuf *b, unsigned i)
{
	static const char *const words[] = { "allow", "deny", "approve", "audit", "Allow" };

	put_common(b, "net", i);
	put_some(b, "domains", domains, MF_ARRAY_SIZE(domains), false);
	if (rnd(3) == 0)
		put_some(b, "cidrs", cidrs, MF_ARRAY_SIZE(cidrs), true);
	if (rnd(2))
		mf_strbuf_addf(b, "    ports: [%d, %d]\n", PICK(ports), PICK(ports));
	put_pair(b, "decision", PICK(words));
	if (rnd(3) == 0)
		mf_strbuf_adds(b, "    timeout: 1h30m\n");
}

static void put_file(struct mf_strbuf *b, unsigned i)
{
	static const char *const words[] = { "allow", "deny",	     "approve",
					     "audit", "soft_delete", "redirect" };
	const char *word = PICK(words);

	put_common(b, "file", i);
	put_some(b, "paths", globs, MF_ARRAY_SIZE(globs), rnd(8) != 0);
	put_some(b, "operations", ops, MF_ARRAY_SIZE(ops), false);
	put_pair(b, "decision", word);
	if (strcmp(word, "redirect") == 0) {
		put_pair(b, "redirect_to", rnd(2) ? "/s/base/" : "${HOME}/r");
		if (rnd(2))
			mf_strbuf_adds(b, "    preserve_tree: on\n");
	}
}

static void put_match(struct mf_strbuf *b, bool with_port)
{
	static const char *const modes[] = { "search", "full", "glob", "suffix" };
	unsigned mode = rnd(6);
	char text[64];

	if (mode < 2) { /* a glob or suffix */
		snprintf(text, sizeof(text), "%s%s", mode ? "b.test" : "*.example",
			 with_port && rnd(2) ? ":443" : "");
		put_pair(b, "match", text);
		put_pair(b, "match_mode", modes[2 + mode]);
		return;
	}
	put_pair(b, "match", PICK(matches));
	if (mode < 4)
		put_pair(b, "match_mode", modes[mode - 2]);
}

static void put_on_failure(struct mf_strbuf *b)
{
	static const char *const words[] = { "fail_closed", "fail_open", "retry_original" };

	if (rnd(2))
		put_pair(b, "on_failure", PICK(words));
}

static void put_dns(struct mf_strbuf *b, unsigned i)
{
	put_common(b, "dns", i);
	put_match(b, false);
	put_pair(b, "resolve_to", rnd(2) ? "10.0.0.1" : "192.0.2.7");
	if (rnd(3) == 0)
		put_pair(b, "resolve_to6", "2001:db8::7");
	if (rnd(3) == 0)
		mf_strbuf_addf(b, "    ttl: %u\n", 1 + rnd(300));
	put_on_failure(b);
}

static void put_connect(struct mf_strbuf *b, unsigned i)
{
	put_common(b, "conn", i);
	put_match(b, true);
	if (rnd(4))
		put_pair(b, "redirect_to", PICK(targets));
	else
		put_pair(b, "redirect_to_unix", "${HOME}/s.sock");
	if (rnd(2))
		mf_strbuf_adds(b, "    tls: {mode: rewrite_sni, sni: gw.lan}\n");
	put_on_failure(b);
}

static void put_family(struct mf_strbuf *b, const char *key,
		       void (*put)(struct mf_strbuf *b, unsigned i))
{
	unsigned n = rnd(RULES_MAX);

	if (rnd(5) == 0)
		return;
	mf_strbuf_addf(b, "%s:\n", key);
	for (unsigned i = 0; i < n; i++)
		put(b, i);
}

static void make_policy(struct mf_strbuf *b)
{
	static const char *const dns[] = { "resolve_known", "allow", "deny" };

	mf_strbuf_clear(b);
	mf_strbuf_adds(b, "version: 1\nname: random\nredirect_target_policy: trusted\n");
	if (rnd(3) == 0)
		mf_strbuf_adds(b, "description: |\n  two \"lines\"\n  \\ of text\n");
	if (rnd(4) == 0)
		mf_strbuf_adds(b, "compat: gobwas\n");
	if (rnd(4) == 0)
		mf_strbuf_adds(b, "domain_star: any\n");
	if (rnd(2))
		mf_strbuf_addf(b, "dns_default: %s\n", PICK(dns));
	if (rnd(3) == 0)
		mf_strbuf_adds(b, "approve_without_channel: allow\n");
	if (rnd(3) == 0)
		mf_strbuf_adds(b, "redirect_unsupported: allow\n");
	if (rnd(3) == 0)
		mf_strbuf_addf(b,
			       "http_services:\n  - {name: s, upstream: \"https://%s\", aliases: "
			       "[192.0.2.1], allow_direct: %s}\n",
			       PICK(names), rnd(4) ? "false" : "true");
	put_family(b, "file_rules", put_file);
	put_family(b, "network_rules", put_network);
	put_family(b, "dns_redirects", put_dns);
	put_family(b, "connect_redirects", put_connect);
	if (rnd(2))
		mf_strbuf_adds(b, "command_rules: [{commands: [x], decision: deny}]\n");
}

/* --- the same answers ------------------------------------------------------------------------------------------------ */

/* Everything that a decision says, the rule by its own name: positions count from 0 in YAML and from 1 in Lua. */
static void describe(const struct mf_decision *d, char *buf, size_t room)
{
	const char *rule = d->rule ? strchr(d->rule, ']') : NULL;
	int n = (int)(strlen(engine_text(d)) - (d->rule ? strlen(d->rule) : 0));

	snprintf(buf, room,
		 "%.*s%s message=%s visibility=%d on_failure=%d tls=%d ttl=%u rcode=%d errno=%d "
		 "else=%d",
		 n, engine_text(d), rule ? rule + 1 : d->rule, d->message ? d->message : "-",
		 (int)d->visibility, (int)d->on_failure, (int)d->tls_mode, d->ttl_s, (int)d->rcode,
		 (int)d->file_errno, (int)d->else_allow);
}

struct question {
	unsigned kind;
	const char *name, *ip, *op, *path, *target;
	int port;
	char two[64];
};

static const struct mf_decision *ask(struct engine *e, const struct question *q)
{
	if (q->kind == 0)
		return engine_dns(e, q->name);
	if (q->kind == 1)
		return engine_connect(e, q->name, q->ip, q->port);
	return engine_file(e, q->op, q->path, q->target);
}

static void make_question(struct question *q)
{
	memset(q, 0, sizeof(*q));
	q->kind = rnd(3);
	q->name = PICK(names);
	if (q->kind == 1) {
		snprintf(q->two, sizeof(q->two), "%s %s", PICK(names), PICK(names));
		q->name = rnd(5) == 0 ? NULL : rnd(4) == 0 ? q->two : q->name;
		q->ip = rnd(6) ? PICK(ips) : NULL;
	}
	q->port = PICK(ports);
	q->op = PICK(asked_ops);
	q->path = PICK(paths);
	if (strcmp(q->op, "rename") == 0 || strcmp(q->op, "link") == 0)
		q->target = PICK(paths);
}

static void compare(struct engine *yaml, struct engine *lua, const char *policy, const char *text)
{
	char a[2048], b[2048];
	struct question q;

	for (int i = 0; i < QUESTIONS; i++) {
		make_question(&q);
		describe(ask(yaml, &q), a, sizeof(a));
		describe(ask(lua, &q), b, sizeof(b));
		if (strcmp(a, b) != 0)
			fail_msg("%s\n%s\n  dns %s connect %s %s:%d file %s %s %s (kind %u)\n  "
				 "YAML: "
				 "%s\n  Lua:  %s",
				 policy, text, q.name, q.name, q.ip, q.port, q.op, q.path, q.target,
				 q.kind, a, b);
	}
}

static void a_policy_and_its_lua_say_the_same(void **state)
{
	struct mf_strbuf yaml = MF_STRBUF_INIT((size_t)1 << 20),
			 lua = MF_STRBUF_INIT((size_t)4 << 20);
	struct mf_vars *vars = mf_vars_new(engine_variables, NULL);
	const char *other = getenv("MF_PROPERTY_SEED"), *many = getenv("MF_PROPERTY_POLICIES");
	int policies = many ? atoi(many) : POLICIES;
	struct mf_err err = { 0 };
	struct engine a, b;

	(void)state;
	if (other)
		seed = strtoull(other, NULL, 10);
	for (int i = 0; i < policies; i++) {
		struct mf_agentsh_source source = { .file = "random.yaml", .vars = vars };

		make_policy(&yaml);
		source.text = yaml.str;
		source.len = yaml.len;
		mf_strbuf_clear(&lua);
		if (mf_agentsh_convert(&source, NULL, &lua, &err) < 0)
			fail_msg("%s\n%u:%u: %s", yaml.str, err.line, err.column, err.msg);
		engine_load_text(&a, "random.yaml", yaml.str);
		assert_int_equal(a.code, 0);
		engine_load_text(&b, "random.lua", lua.str);
		if (b.code < 0)
			fail_msg("%s\n%u: %s", lua.str, b.err.line, b.err.msg);
		compare(&a, &b, yaml.str, lua.str);
		engine_done(&a);
		engine_done(&b);
	}
	mf_strbuf_done(&yaml);
	mf_strbuf_done(&lua);
	mf_vars_free(vars);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_and_its_lua_say_the_same),
	};

	return cmocka_run_group_tests(tests, engine_setup, engine_teardown);
}
