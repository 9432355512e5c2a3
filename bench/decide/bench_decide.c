/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_decide.c - what a decision costs: an exact repeat, a walk of the graph, a run of Lua
 *
 *	bench_decide [--json] [--policy FILE] [--seconds N]
 *
 * The questions are 4,096 different ones of all four kinds, asked in random order. Rows:
 *
 *	memo     exact repeats; the requests were filled before
 *	filled   the same, with one request that is filled anew each time: what a proxy does
 *	graph    without the memo: rules are asked and the tree is walked
 *	lua      without any cache
 *
 * Each row is measured twice: all together for the rate (decisions per second of processor time), and one by one for the
 * quantiles (the cost of the two clock readings around a decision is measured and subtracted).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <moonfence/moonfence.h>

#include "core/policy/state.h"

#ifndef QUESTIONS
#define QUESTIONS 4096
#endif
#define SAMPLES 200000

static uint64_t rng = 88172645463325252u;

static uint32_t pick(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Time that this process had a core: the rate is that of one core, whatever else the machine does. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- questions ----------------------------------------------------------------------------------------------------- */

struct question {
	enum mf_kind kind;
	char name[64], path[96];
	uint8_t ip[4];
	size_t name_len, path_len;
	const char *type, *op, *proto;
	int port;
	bool named, ech;
};

static void make_name(char *out, size_t size)
{
	static const char *const tails[] = {
		"example",	    "github.example", "api.openai.example", "tracker.example",
		"internal.corp",    "cdn.example",    "docs.example",	    "registry.npm.example",
		"pool.ntp.example", "other.test",     "deb.example",	    "api.anthropic.example",
	};
	static const char *const heads[] = { "www",  "api", "static", "img",
					     "data", "s3",  "auth",   "mail" };

	snprintf(out, size, "%s%u.%s", heads[pick(8)], pick(40), tails[pick(12)]);
}

static void make_question(struct question *q)
{
	static const char *const ops[] = { "open", "read", "write", "create", "delete", "stat" };
	static const char *const dirs[] = { "/workspace/src", "/home/user", "/tmp",
					    "/etc",	      "/var/log",   "/usr/lib" };
	static const int ports[] = { 443, 443, 443, 80, 22, 8080, 25, 123 };
	static const char *const types[] = { "A", "AAAA", "HTTPS", "ANY" };
	uint32_t kind = pick(8);

	q->kind = kind < 3 ? MF_CONNECT : kind < 5 ? MF_DNS : kind < 6 ? MF_SNI : MF_FILE;
	make_name(q->name, sizeof(q->name));
	q->type = types[pick(4)];
	q->op = ops[pick(6)];
	q->proto = pick(10) ? "tcp" : "udp";
	q->port = ports[pick(8)];
	q->named = pick(16) != 0;
	q->ech = pick(32) == 0;
	snprintf(q->path, sizeof(q->path), "%s/dir%u/file%u.txt", dirs[pick(6)], pick(20),
		 pick(50));
	q->name_len = strlen(q->name);
	q->path_len = strlen(q->path);
	if (pick(20))
		memcpy(q->ip, (uint8_t[]){ 198, 51, (uint8_t)(100 + pick(4)), (uint8_t)pick(256) },
		       4);
	else
		memcpy(q->ip, (uint8_t[]){ 10, 0, (uint8_t)pick(4), (uint8_t)pick(256) }, 4);
}

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, mf_strerror(r));
		exit(1);
	}
}

static void fill(struct mf_request *req, const struct question *q)
{
	size_t len = q->name_len;

	mf_request_reset(req, q->kind);
	must(mf_request_set_str(req, MF_F_SOURCE, "session", 7), "source");
	must(mf_request_set_str(req, MF_F_SESSION_ID, "bench", 5), "session.id");
	if (q->kind == MF_DNS) {
		must(mf_request_set_str(req, MF_F_NAME, q->name, len), "name");
		must(mf_request_set_str(req, MF_F_TYPE, q->type, strlen(q->type)), "type");
		must(mf_request_set_str(req, MF_F_CLASS, "IN", 2), "class");
		must(mf_request_set_str(req, MF_F_TRANSPORT, "udp", 3), "transport");
		return;
	}
	if (q->kind == MF_FILE) {
		must(mf_request_set_str(req, MF_F_OP, q->op, strlen(q->op)), "op");
		must(mf_request_set_str(req, MF_F_PATH, q->path, q->path_len), "path");
		return;
	}
	must(mf_request_set_addr(req, MF_F_IP, q->ip, 4), "ip");
	must(mf_request_set_int(req, MF_F_PORT, q->port), "port");
	must(mf_request_set_str(req, MF_F_PROTO, q->proto, 3), "proto");
	if (q->named) {
		must(mf_request_set_str(req, MF_F_HOST, q->name, len), "host");
		must(mf_request_add_str(req, MF_F_HOSTS, q->name, len), "hosts");
	}
	if (q->kind == MF_SNI) {
		must(mf_request_set_str(req, MF_F_SNI, q->name, len), "sni");
		must(mf_request_set_bool(req, MF_F_ECH, q->ech), "ech");
	}
}

/* --- measuring ----------------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	double per_second;
	uint64_t p50, p99;
};

struct bench {
	struct mf_vm_config config;
	struct mf_source_set *set;
	struct question questions[QUESTIONS];
	struct mf_request *requests[QUESTIONS];
	struct mf_request *one;
	uint32_t *order; /* SAMPLES random question numbers */
	double seconds;
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static inline void ask(struct bench *b, struct mf_vm_state *s, uint32_t i, bool refill,
		       struct mf_decision *d)
{
	struct mf_request *req = b->requests[i];
	size_t policy;

	if (refill) {
		req = b->one;
		fill(req, &b->questions[i]);
	}
	if (mf_vm_state_decide(s, req, d, &policy) < 0) {
		fprintf(stderr, "a question failed: %s\n", d->reason);
		exit(1);
	}
}

/* Two readings of the clock and nothing between them: the median. */
static uint32_t clock_cost(uint32_t *ns)
{
	uint32_t i;

	for (i = 0; i < SAMPLES; i++) {
		uint64_t t = now_ns();

		ns[i] = (uint32_t)(now_ns() - t);
	}
	qsort(ns, SAMPLES, sizeof(*ns), compare);
	return ns[SAMPLES / 2];
}

static void measure(struct bench *b, struct mf_vm_state *s, const char *name, bool refill,
		    struct row *row)
{
	struct mf_decision d = MF_DECISION_INIT;
	uint32_t *ns = malloc(SAMPLES * sizeof(*ns)), base = clock_cost(ns), i;
	uint64_t start, end, n = 0, deadline;

	for (i = 0; i < SAMPLES; i++)
		ask(b, s, b->order[i], refill, &d);
	start = cpu_ns();
	deadline = start + (uint64_t)(b->seconds * 1e9);
	do {
		for (i = 0; i < SAMPLES; i++, n++)
			ask(b, s, b->order[i], refill, &d);
		end = cpu_ns();
	} while (end < deadline);
	row->name = name;
	row->per_second = (double)n * 1e9 / (double)(end - start);
	for (i = 0; i < SAMPLES; i++) {
		start = now_ns();
		ask(b, s, b->order[i], refill, &d);
		ns[i] = (uint32_t)(now_ns() - start);
	}
	qsort(ns, SAMPLES, sizeof(*ns), compare);
	row->p50 = ns[SAMPLES / 2] > base ? ns[SAMPLES / 2] - base : 0;
	row->p99 = ns[SAMPLES / 100 * 99] > base ? ns[SAMPLES / 100 * 99] - base : 0;
	free(ns);
}

static struct mf_vm_state *make_state(struct bench *b, uint32_t memo, struct mf_vm_stats *first)
{
	struct mf_decision d = MF_DECISION_INIT;
	struct mf_vm_state *s;
	struct mf_err err = { 0 };
	uint32_t i;

	b->config.options.memo_entries_max = memo;
	if (mf_vm_state_new(&b->config, b->set, 1, &s, &err) < 0) {
		fprintf(stderr, "%s:%u: %s\n", err.file, err.line, err.msg);
		exit(1);
	}
	for (i = 0; i < QUESTIONS; i++)
		ask(b, s, i, false, &d);
	if (first) {
		first->size = sizeof(*first);
		mf_vm_state_stats(s, first);
	}
	return s;
}

static void prepare(struct bench *b, const char *policy)
{
	struct mf_runtime_options *o = &b->config.options;
	struct mf_err err = { 0 };
	uint32_t i;

	b->config.clock = mf_clock_system;
	b->config.counters = mf_counters_new(0);
	o->step_limit = 100000;
	o->time_limit_us = 1000000; /* a slow machine must not end the measurement */
	o->memory_limit = 16u << 20;
	o->load_step_limit = 50000000;
	o->load_time_limit_ms = 10000;
	o->graph_nodes_max = 65536;
	if (mf_source_set_read(&policy, 1, NULL, &b->set, &err) < 0) {
		fprintf(stderr, "%s: %s\n", err.file, err.msg);
		exit(1);
	}
	b->one = mf_request_new(MF_DNS);
	b->order = malloc(SAMPLES * sizeof(*b->order));
	for (i = 0; i < QUESTIONS; i++) {
		make_question(&b->questions[i]);
		b->requests[i] = mf_request_new(MF_DNS);
		fill(b->requests[i], &b->questions[i]);
	}
	for (i = 0; i < SAMPLES; i++)
		b->order[i] = pick(QUESTIONS);
}

static void print_table(const struct row *rows, size_t cnt, const struct mf_vm_stats *st)
{
	size_t i;

	printf("%-8s %14s %10s %10s\n", "", "decisions/s", "p50 ns", "p99 ns");
	for (i = 0; i < cnt; i++)
		printf("%-8s %14.0f %10llu %10llu\n", rows[i].name, rows[i].per_second,
		       (unsigned long long)rows[i].p50, (unsigned long long)rows[i].p99);
	printf("first pass over %d questions: %llu entered Lua, %llu answered by the graph, %llu "
	       "by rules; %llu nodes\n",
	       QUESTIONS, (unsigned long long)st->lua_entries, (unsigned long long)st->graph_hits,
	       (unsigned long long)st->rule_hits, (unsigned long long)st->graph_nodes);
}

static void print_json(const struct row *rows, size_t cnt, const struct mf_vm_stats *st)
{
	size_t i;

	printf("{\"bench\": \"decide\"");
	for (i = 0; i < cnt; i++)
		printf(", \"%s_per_second\": %.0f, \"%s_p50_ns\": %llu, \"%s_p99_ns\": %llu",
		       rows[i].name, rows[i].per_second, rows[i].name,
		       (unsigned long long)rows[i].p50, rows[i].name,
		       (unsigned long long)rows[i].p99);
	printf(", \"questions\": %d, \"nodes\": %llu, \"uncacheable\": %llu}\n", QUESTIONS,
	       (unsigned long long)st->graph_nodes, (unsigned long long)st->uncacheable);
}

int main(int argc, char **argv)
{
	static struct bench b = { .seconds = 1.0 };
	const char *policy = MF_BENCH_DIR "/policy.lua";
	struct mf_vm_stats st = { 0 };
	struct mf_vm_state *s;
	struct row rows[4];
	bool json = false;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--policy") && i + 1 < argc)
			policy = argv[++i];
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			b.seconds = atof(argv[++i]);
		else
			return fprintf(stderr, "usage: bench_decide [--json] [--policy FILE] "
					       "[--seconds N]\n"),
			       2;
	}
	prepare(&b, policy);
	s = make_state(&b, 16384, &st);
	measure(&b, s, "memo", false, &rows[0]);
	measure(&b, s, "filled", true, &rows[1]);
	mf_vm_state_free(s);
	s = make_state(&b, 0, NULL);
	measure(&b, s, "graph", false, &rows[2]);
	mf_vm_state_set_cache(s, false);
	measure(&b, s, "lua", false, &rows[3]);
	mf_vm_state_free(s);
	if (json)
		print_json(rows, 4, &st);
	else
		print_table(rows, 4, &st);
	for (i = 0; i < QUESTIONS; i++)
		mf_request_free(b.requests[i]);
	mf_request_free(b.one);
	free(b.order);
	mf_source_set_unref(b.set);
	mf_counters_free(b.config.counters);
	return 0;
}
