/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_rule_policies.c - policies of many rules as they are used: a file in Lua, or agentsh's YAML, through the public API
 *
 *	bench_rule_policies [--json] [RULES]     default: 10000
 *
 * Loading is mf_runtime_load() with the default limits, the way through files, parser, sandbox and index included; so that the limit on
 * time does not decide here, that one is higher. A cold decision is mf_decide() for a question that was never asked before, right after the load.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

#include <moonfence/moonfence.h>

#define ASKS 4000u

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

static void put_rule(FILE *f, bool yaml, unsigned i)
{
	const char *verdict = i % 3 ? "allow" : "deny";
	char what[120];

	if (i % 10 == 9)
		snprintf(what, sizeof(what),
			 yaml ? "cidrs: [\"10.%u.%u.0/24\"]" : "cidrs = { \"10.%u.%u.0/24\" }",
			 i / 256 % 256, i % 256);
	else
		snprintf(what, sizeof(what),
			 yaml ? "domains: [\"%shost%u.example\"]"
			      : "domains = { \"%shost%u.example\" }",
			 i % 3 ? "" : "*.", i);
	if (yaml)
		fprintf(f, "  - name: rule-%u\n    %s\n    decision: %s\n", i, what, verdict);
	else
		fprintf(f, "  { name = \"rule-%u\", %s, decision = \"%s\" },\n", i, what, verdict);
}

static void put_file_rule(FILE *f, bool yaml, unsigned i)
{
	if (yaml)
		fprintf(f,
			"  - name: file-%u\n    paths: [\"/srv/d%u/**\"]\n    operations: [read, "
			"write]\n    decision: allow\n",
			i, i);
	else
		fprintf(f,
			"  { name = \"file-%u\", paths = { \"/srv/d%u/**\" }, operations = { "
			"\"read\", \"write\" }, decision = \"allow\" },\n",
			i, i);
}

static void write_policy(const char *path, bool yaml, unsigned rules)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fputs(yaml ? "version: 1\nname: many\nnetwork_rules:\n"
		   : "return { name = \"many\", network_rules = {\n",
	      f);
	for (unsigned i = 0; i < rules / 2; i++)
		put_rule(f, yaml, i);
	fputs(yaml ? "file_rules:\n" : "}, file_rules = {\n", f);
	for (unsigned i = rules / 2; i < rules; i++)
		put_file_rule(f, yaml, i);
	fputs(yaml ? "" : "} }\n", f);
	fclose(f);
}

static struct mf_request *question(unsigned i, unsigned rules)
{
	unsigned n = (unsigned)((i * UINT64_C(2654435761)) % rules);
	struct mf_request *req = mf_request_new(i % 2 ? MF_CONNECT : MF_FILE);
	char text[100];

	if (i % 2) {
		snprintf(text, sizeof(text), i % 3 ? "q%u.host%u.example" : "q%uhost%u.test", i, n);
		(void)mf_request_set_str(req, MF_F_HOST, text, strlen(text));
		snprintf(text, sizeof(text), "%u.%u.%u.7", i % 4 ? 9 : 10, n / 256 % 256, n % 256);
		(void)mf_request_set_addr_text(req, MF_F_IP, text);
		(void)mf_request_set_int(req, MF_F_PORT, 443);
	} else {
		snprintf(text, sizeof(text), i % 3 ? "/srv/d%u/a/%u.txt" : "/usr/lib/%u/%u.so", n,
			 i);
		(void)mf_request_set_str(req, MF_F_OP, "read", 4);
		(void)mf_request_set_str(req, MF_F_PATH, text, strlen(text));
	}
	return req;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void run(const char *dir, bool yaml, unsigned rules, const char *end)
{
	static struct mf_request *reqs[ASKS];
	static uint64_t times[ASKS];
	struct mf_runtime_options options = { .size = sizeof(options),
					      .load_time_limit_ms = 600000 };
	struct mf_decision d = MF_DECISION_INIT;
	struct mf_err err = { 0 };
	struct mf_runtime *rt;
	struct mf_vm *vm;
	char path[200];
	const char *paths[] = { path };
	uint64_t start, load, sum = 0;

	snprintf(path, sizeof(path), "%s/many.%s", dir, yaml ? "yaml" : "lua");
	write_policy(path, yaml, rules);
	for (unsigned i = 0; i < ASKS; i++)
		reqs[i] = question(i, rules);
	start = now();
	if (mf_runtime_new(&options, &rt, &err) < 0 || mf_runtime_load(rt, paths, 1, &err) < 0) {
		fprintf(stderr, "bench_rule_policies: %s: %s\n", path, err.msg);
		exit(1);
	}
	load = now() - start;
	if (mf_vm_new(rt, &vm, &err) < 0)
		exit(1);
	for (unsigned i = 0; i < ASKS; i++) {
		start = now();
		(void)mf_decide(vm, reqs[i], &d);
		times[i] = now() - start;
		sum += times[i];
		mf_request_free(reqs[i]);
	}
	qsort(times, ASKS, sizeof(times[0]), compare);
	printf("\"%s\": {\"load_ms\": %.1f, \"cold_us\": %.2f, \"cold_p99_us\": %.2f, "
	       "\"cold_longest_us\": %.1f}%s\n",
	       yaml ? "yaml" : "lua", (double)load / 1e6, (double)sum / ASKS / 1e3,
	       (double)times[ASKS * 99 / 100] / 1e3, (double)times[ASKS - 1] / 1e3, end);
	mf_vm_free(vm);
	mf_runtime_free(rt);
	unlink(path);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/mf-bench-rules-XXXXXX";
	unsigned rules = 10000;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')
			rules = (unsigned)atoi(argv[i]);
	if (rules < 2 || !mkdtemp(dir))
		return 2;
	printf("{");
	run(dir, false, rules, ",");
	run(dir, true, rules, "}");
	rmdir(dir);
	return 0;
}
