/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_rules.c - what declarative rules cost: verdicts without any cache, and loading, by number of rules
 *
 *	bench_rules [RULES...]     default: 10 100 1000 10000
 *
 * A policy of each size with a mixture as people write them: names, suffixes, some with ports, networks, globs with a
 * wildcard in the middle, and one expression in a hundred rules. The rules go through a Lua table, as in a policy.
 * Questions are spread over rules that match and names that none knows.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/policy/request.h"
#include "core/policy/rules.h"

#define QUESTIONS 1024
#define SAMPLES	  200000

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

static void put_network(struct mf_strbuf *b, unsigned i)
{
	const char *verdict = i % 3 ? "allow" : "deny";

	if (i % 100 == 99)
		mf_strbuf_addf(b, "{domains={'api-*.host%u.example'},decision='%s'},", i, verdict);
	else if (i % 10 == 9)
		mf_strbuf_addf(b, "{cidrs={'10.%u.%u.0/24'},decision='%s'},", i / 256 % 256,
			       i % 256, verdict);
	else if (i % 3 == 0)
		mf_strbuf_addf(b, "{domains={'**.host%u.example'},decision='%s'},", i, verdict);
	else
		mf_strbuf_addf(b, "{domains={'host%u.example'},ports={443},decision='%s'},", i,
			       verdict);
}

static void put_file(struct mf_strbuf *b, unsigned i)
{
	const char *verdict = i % 3 ? "allow" : "deny";

	if (i % 10 == 9)
		mf_strbuf_addf(b, "{paths={'/srv/d%u/**/*.so'},operations={'read'},decision='%s'},",
			       i, verdict);
	else if (i % 10 == 8)
		mf_strbuf_addf(b, "{paths={'**/secret%u'},decision='%s'},", i, verdict);
	else
		mf_strbuf_addf(b, "{paths={'/srv/d%u/**'},decision='%s'},", i, verdict);
}

static char *policy_text(unsigned rules)
{
	struct mf_strbuf b = MF_STRBUF_INIT((size_t)16 << 20);

	mf_strbuf_adds(&b, "return {network_rules={\n");
	for (unsigned i = 0; i < rules / 2; i++)
		put_network(&b, i);
	mf_strbuf_adds(&b, "},dns_redirects={");
	for (unsigned i = 0; i < rules / 10; i++)
		mf_strbuf_addf(&b,
			       i % 10 ? "{match='r%u.example',resolve_to='10.0.0.1'},"
				      : "{search='^r%u[a-z]*[.]example$',resolve_to='10.0.0.1'},",
			       i);
	mf_strbuf_adds(&b, "},file_rules={\n");
	for (unsigned i = 0; i < rules - rules / 2 - rules / 10; i++)
		put_file(&b, i);
	mf_strbuf_adds(&b, "}}");
	return b.str;
}

struct loading {
	struct mf_sandbox_source chunk;
	struct mf_rules *rules;
	struct mf_err err;
	uint64_t ns;
	int ref, code;
};

static int read_rules(lua_State *L)
{
	struct loading *l = lua_touserdata(L, 1);
	uint64_t start = now();

	lua_rawgeti(L, LUA_REGISTRYINDEX, l->ref);
	l->code = mf_rules_from_lua(L, -1, "bench", &l->chunk, NULL, &l->rules, &l->err);
	l->ns = now() - start;
	return 0;
}

/* Loads a policy of @cnt rules; *ret_ns is the whole of it, from text to compiled rules. */
static struct mf_rules *load(unsigned cnt, uint64_t *ret_ns, uint64_t *ret_rules_ns)
{
	struct mf_sandbox_options options = { .memory = (size_t)256 << 20,
					      .clock = &mf_clock_system };
	struct mf_sandbox_limits limits = { UINT64_C(1) << 40, 600 * MF_NS_PER_S };
	char *text = policy_text(cnt);
	struct loading l = { .chunk = { .name = "bench.lua", .text = text, .len = strlen(text) } };
	struct mf_sandbox *sb = NULL;
	uint64_t start = now();

	if (mf_sandbox_new(&options, &sb, &l.err) < 0 || mf_sandbox_seal(sb, &l.err) < 0 ||
	    mf_sandbox_load(sb, &limits, &l.chunk, &l.ref, &l.err) < 0 ||
	    mf_sandbox_call(sb, &limits, read_rules, &l, &l.err) < 0 || l.code < 0) {
		fprintf(stderr, "bench_rules: %s\n", l.err.msg);
		exit(1);
	}
	*ret_ns = now() - start;
	*ret_rules_ns = l.ns;
	mf_sandbox_free(sb);
	free(text);
	return l.rules;
}

static void set(struct mf_request *req, enum mf_field field, const char *text)
{
	if (mf_request_set_str(req, field, text, strlen(text)) < 0)
		abort();
}

static struct mf_request *question(enum mf_kind kind, unsigned rules, unsigned i)
{
	struct mf_request *req = mf_request_new(kind);
	unsigned n = (unsigned)((i * UINT64_C(2654435761)) % (rules ? rules : 1));
	char text[128];

	switch (kind) {
	case MF_DNS:
		snprintf(text, sizeof(text),
			 i % 3 == 0   ? "r%u.example"
			 : i % 3 == 1 ? "a.host%u.example"
				      : "x%u.unknown.test",
			 n);
		set(req, MF_F_NAME, text);
		break;
	case MF_CONNECT:
		snprintf(text, sizeof(text),
			 i % 4 == 0   ? "a.b.host%u.example"
			 : i % 4 == 1 ? "host%u.example"
			 : i % 4 == 2 ? "api-x.host%u.example"
				      : "y%u.unknown.test",
			 n);
		set(req, MF_F_HOST, text);
		snprintf(text, sizeof(text), i % 5 ? "9.9.%u.%u" : "10.%u.%u.7", n / 256 % 256,
			 n % 256);
		mf_request_set_addr_text(req, MF_F_IP, text);
		mf_request_set_int(req, MF_F_PORT, 443);
		break;
	default:
		snprintf(text, sizeof(text),
			 i % 3 == 0   ? "/srv/d%u/a/b/c.txt"
			 : i % 3 == 1 ? "/home/u/src/secret%u"
				      : "/usr/lib/x86_64/libx%u.so",
			 n);
		set(req, MF_F_OP, "read");
		set(req, MF_F_PATH, text);
	}
	return req;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Mean over all, and the 99th percentile of single verdicts (the clock's own cost included). */
static void measure(struct mf_rules *rules, enum mf_kind kind, unsigned cnt, double *ret_mean,
		    double *ret_p99)
{
	static struct mf_request *reqs[QUESTIONS];
	static uint32_t times[SAMPLES];
	struct mf_outcome *o;
	uint64_t start;

	for (unsigned i = 0; i < QUESTIONS; i++)
		reqs[i] = question(kind, cnt / 2, i);
	for (unsigned i = 0; i < QUESTIONS; i++)
		(void)mf_rules_ask(rules, reqs[i], &o);
	start = now();
	for (unsigned i = 0; i < SAMPLES; i++)
		(void)mf_rules_ask(rules, reqs[i % QUESTIONS], &o);
	*ret_mean = (double)(now() - start) / SAMPLES;
	for (unsigned i = 0; i < SAMPLES; i++) {
		start = now();
		(void)mf_rules_ask(rules, reqs[i % QUESTIONS], &o);
		times[i] = (uint32_t)(now() - start);
	}
	qsort(times, SAMPLES, sizeof(times[0]), compare);
	*ret_p99 = times[SAMPLES * 99 / 100];
	for (unsigned i = 0; i < QUESTIONS; i++)
		mf_request_free(reqs[i]);
}

static void run(unsigned cnt)
{
	static const enum mf_kind kinds[] = { MF_DNS, MF_CONNECT, MF_FILE };
	uint64_t load_ns, rules_ns;
	struct mf_rules *rules = load(cnt, &load_ns, &rules_ns);

	printf("%6zu rules  load %8.2f ms (rules %8.2f)", mf_rules_count(rules),
	       (double)load_ns / 1e6, (double)rules_ns / 1e6);
	for (size_t k = 0; k < 3; k++) {
		double mean, p99;

		measure(rules, kinds[k], cnt, &mean, &p99);
		printf("  %s %6.0f ns, p99 %5.0f", mf_kind_name(kinds[k]), mean, p99);
	}
	printf("\n");
	mf_rules_free(rules);
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = { 10, 100, 1000, 10000 };

	for (int i = 1; i < argc; i++)
		run((unsigned)atoi(argv[i]));
	for (size_t i = 0; argc == 1 && i < 4; i++)
		run(sizes[i]);
	return 0;
}
