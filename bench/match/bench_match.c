/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_match.c - sets, patterns, names and events: how long one question takes, how much memory an entry has, on one core
 *
 *	bench_match [--json] [--names N] [--seconds N]
 *
 * The domain set is made from a text file of N names (1,000,000) like those of block lists: two to four labels, 22 bytes
 * on average. Questions are drawn at random from 65,536 prepared ones, so that the table's memory counts and not the
 * generator. Times are processor time of this thread: what else the machine does counts little. Each figure is the median
 * of five repetitions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "core/match/cidr_set.h"
#include "core/match/domain_set.h"
#include "core/match/glob.h"
#include "core/match/regex.h"
#include "core/names/canonical.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "core/observe/metrics.h"

#define ASKS 65536u
#define REPS 5u

static struct bench_report rows = { .name_width = 26, .value_width = 14, .decimals = 1 };
static double seconds = 0.2;	/* of one repetition */
static uint32_t ask_cnt = ASKS; /* a power of two up to ASKS: how many of the questions are asked */
static volatile uint64_t sink;

static uint64_t random_state = BENCH_RANDOM_SEED;

static uint32_t below(uint32_t n)
{
	return (uint32_t)((uint64_t)bench_random32(&random_state) * n >> 32);
}

struct ask {
	char text[64];
	uint32_t len;
	struct mf_addr addr;
};

static struct ask asks[ASKS];

/* Asks the prepared questions again and again; Return: median nanoseconds of one */
static double measure(uint64_t (*fn)(void *ctx, const struct ask *a), void *ctx)
{
	double each[REPS];

	for (unsigned r = 0; r < REPS; r++) {
		uint64_t start = bench_cpu_ns(), cnt = 0, sum = 0, took;

		do {
			for (uint32_t i = 0; i < 8192; i++)
				sum += fn(ctx, &asks[(cnt + i) % ask_cnt]);
			cnt += 8192;
			took = bench_cpu_ns() - start;
		} while ((double)took < seconds * 1e9);
		sink += sum;
		each[r] = (double)took / (double)cnt;
	}
	return bench_median(each, REPS);
}

/* A name like those of lists: number @n always gives the same. */
static uint32_t make_name(uint64_t n, char *out)
{
	static const char *const tops[] = {
		"com", "net", "org", "info", "ru", "co.uk", "de", "top"
	};
	uint64_t h = (n + 1) * 0x9e3779b97f4a7c15u;
	size_t len = 0;
	uint32_t letters = 6 + h % 10;

	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	if (h % 2)
		len += (size_t)sprintf(out, "%s.", (h >> 8) % 2 ? "ads" : "track");
	for (uint32_t i = 0; i < letters; i++) {
		h = h * 6364136223846793005u + 1442695040888963407u;
		out[len++] = (char)('a' + (h >> 33) % 26);
	}
	len += (size_t)sprintf(out + len, "%llu.%s", (unsigned long long)(n % 1000),
			       tops[(h >> 40) % 8]);
	return (uint32_t)len;
}

/* Half of the questions are in the list, or below a name of it. */
static void prepare_names(uint32_t names)
{
	for (uint32_t i = 0; i < ASKS; i++) {
		struct ask *a = &asks[i];
		size_t at = 0;

		if (below(2))
			at = (size_t)sprintf(a->text, "www.");
		a->len = (uint32_t)at +
			 make_name(below(2) ? below(names) : names + below(names), a->text + at);
	}
}

static uint64_t ask_domains(void *ctx, const struct ask *a)
{
	return mf_domain_set_under(ctx, a->text, a->len);
}

static uint64_t find_domains(void *ctx, const struct ask *a)
{
	return mf_domain_set_find(ctx, a->text, a->len);
}

/* The peer: the names in order, each suffix of a question looked for by bsearch(3). */
struct sorted {
	char *text;
	char **names;
	size_t cnt;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t ask_sorted(void *ctx, const struct ask *a)
{
	const struct sorted *s = ctx;
	const char *at = a->text;

	for (;;) {
		if (bsearch(&at, s->names, s->cnt, sizeof(*s->names), compare_names))
			return 1;
		at = strchr(at, '.');
		if (!at)
			return 0;
		at++;
	}
}

static void bench_sorted(uint32_t names)
{
	struct sorted s = { .text = malloc((size_t)names * 40),
			    .names = malloc(names * sizeof(*s.names)),
			    .cnt = names };
	char *at = s.text;

	if (!s.text || !s.names)
		exit(1);
	for (uint32_t i = 0; i < names; i++) {
		s.names[i] = at;
		at += make_name(i, at) + 1;
	}
	qsort(s.names, s.cnt, sizeof(*s.names), compare_names);
	bench_row(&rows, "sorted_names_bytes_per_name",
		  (double)((size_t)(at - s.text) + names * sizeof(*s.names)) / names, "bytes",
		  "text and pointers in order");
	bench_row(&rows, "sorted_names_ns", measure(ask_sorted, &s), "ns",
		  "each suffix by bsearch()");
	free(s.names);
	free(s.text);
}

static void bench_domains(uint32_t names)
{
	const struct mf_domain_set_options options = { .canon = mf_name_canon };
	char path[] = "/tmp/mf-bench-XXXXXX", name[64], text[100];
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	struct mf_err err;
	FILE *f = fdopen(mkstemp(path), "w");
	uint64_t start, read;
	size_t bytes = 0;

	for (uint32_t i = 0; i < names; i++) {
		bytes += make_name(i, name);
		fprintf(f, "%s\n", name);
	}
	fclose(f);
	start = bench_cpu_ns();
	if (mf_domain_set_builder_new(&options, &b, &err) ||
	    mf_domain_set_builder_add_file(b, path, 0, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	read = bench_cpu_ns();
	if (mf_domain_set_builder_seal(b, &set, &err))
		exit(1);
	snprintf(text, sizeof(text), "%u names: file read in %.0f ms, table made in %.0f ms",
		 mf_domain_set_count(set), (double)(read - start) / 1e6,
		 (double)(bench_cpu_ns() - read) / 1e6);
	bench_row(&rows, "domain_set_load_ms", (double)(bench_cpu_ns() - start) / 1e6, "ms", text);
	unlink(path);
	snprintf(text, sizeof(text), "a name has %.1f bytes itself", (double)bytes / names);
	bench_row(&rows, "domain_set_bytes_per_name", (double)mf_domain_set_bytes(set) / names,
		  "bytes", text);
	prepare_names(names);
	bench_row(&rows, "domain_set_under_ns", measure(ask_domains, set), "ns",
		  "half of the questions are hits");
	bench_sorted(names);
	bench_row(&rows, "domain_set_find_ns", measure(find_domains, set), "ns", "lowest value");
	ask_cnt = 1024;
	bench_row(&rows, "domain_set_hot_ns", measure(find_domains, set), "ns",
		  "1,024 questions again and again");
	ask_cnt = ASKS;
	mf_domain_set_free(set);
}

static uint64_t ask_cidrs(void *ctx, const struct ask *a)
{
	return mf_cidr_set_find(ctx, &a->addr);
}

static void bench_cidrs(uint32_t cnt, bool six, const char *name)
{
	struct mf_cidr_set_builder *b;
	struct mf_cidr_set *set;
	uint64_t start = bench_cpu_ns();
	char text[100];

	if (mf_cidr_set_builder_new(0, &b, NULL))
		exit(1);
	for (uint32_t i = 0; i < cnt; i++) {
		struct mf_cidr net = { .bits = (uint8_t)(six ? 32 + below(33) : 12 + below(21)) };
		uint8_t bytes[16] = { 0x20,
				      (uint8_t)below(256),
				      (uint8_t)below(256),
				      (uint8_t)below(256),
				      (uint8_t)below(256),
				      (uint8_t)below(256) };

		if (!six)
			bytes[0] = (uint8_t)below(224);
		mf_addr_from_bytes(&net.addr, bytes, six ? 16 : 4);
		if (mf_cidr_set_builder_add(b, &net, i, NULL))
			exit(1);
	}
	if (mf_cidr_set_builder_seal(b, &set, NULL))
		exit(1);
	snprintf(text, sizeof(text), "%u networks, made in %.0f ms, %.0f bytes each", cnt,
		 (double)(bench_cpu_ns() - start) / 1e6, (double)mf_cidr_set_bytes(set) / cnt);
	for (uint32_t i = 0; i < ASKS; i++) {
		uint8_t bytes[16] = { six ? 0x20 : (uint8_t)below(224), (uint8_t)below(256),
				      (uint8_t)below(256), (uint8_t)below(256) };

		mf_addr_from_bytes(&asks[i].addr, bytes, six ? 16 : 4);
	}
	bench_row(&rows, name, measure(ask_cidrs, set), "ns", text);
	mf_cidr_set_free(set);
}

static uint64_t ask_glob(void *ctx, const struct ask *a)
{
	return mf_glob_match(ctx, a->text, a->len);
}

static void bench_glob(const char *name, const char *pattern, char sep)
{
	struct mf_glob *g;

	if (mf_glob_compile(pattern, strlen(pattern), sep, 0, &g, NULL))
		exit(1);
	bench_row(&rows, name, measure(ask_glob, g), "ns", pattern);
	mf_glob_free(g);
}

struct expression {
	struct mf_regex *re;
	struct mf_regex_scratch *scratch;
};

static uint64_t ask_regex(void *ctx, const struct ask *a)
{
	struct expression *x = ctx;

	return (uint64_t)mf_regex_match(x->re, x->scratch, a->text, a->len);
}

static void bench_regex(void)
{
	static const char pattern[] = "(^|\\.)(ads|track)[a-z0-9]*\\.(com|net)$";
	static char bomb[4000];
	struct expression x = { .scratch = mf_regex_scratch_new() };
	uint64_t start;
	int r;

	if (mf_regex_compile(pattern, strlen(pattern), MF_REGEX_HOST, NULL, &x.re, NULL))
		exit(1);
	bench_row(&rows, "regex_host_ns", measure(ask_regex, &x), "ns",
		  "two alternations, searched");
	mf_regex_free(x.re);
	if (mf_regex_compile("^(([a-z])+.)+[A-Z]([a-z])+$", 27, MF_REGEX_RE2, NULL, &x.re, NULL))
		exit(1);
	memset(bomb, 'a', sizeof(bomb));
	start = bench_cpu_ns();
	r = mf_regex_match(x.re, x.scratch, bomb, sizeof(bomb));
	bench_row(&rows, "regex_bomb_us", (double)(bench_cpu_ns() - start) / 1e3, "us",
		  r == MF_E_LIMIT ? "until the match limit ended it"
				  : "NOT ended by the match limit");
	mf_regex_free(x.re);
	mf_regex_scratch_free(x.scratch);
}

static uint64_t ask_canon(void *ctx, const struct ask *a)
{
	char out[MF_NAME_ROOM];

	(void)ctx;
	return (uint64_t)mf_name_canon(a->text, a->len, out);
}

static uint64_t ask_learn(void *ctx, const struct ask *a)
{
	return (uint64_t)mf_names_learn(ctx, &(struct mf_names_answer){ .question = a->text,
									.question_len = a->len,
									.addrs = &a->addr,
									.addr_cnt = 1,
									.ttl_s = 300 });
}

static uint64_t ask_has(void *ctx, const struct ask *a)
{
	return mf_names_has(ctx, &a->addr, a->text, a->len);
}

static void bench_names(void)
{
	struct mf_names *names;
	struct mf_names_stats s;
	char text[100];

	if (mf_names_new(NULL, &names, NULL))
		exit(1);
	bench_row(&rows, "name_canon_ns", measure(ask_canon, NULL), "ns", "plain ASCII");
	bench_row(&rows, "names_learn_ns", measure(ask_learn, names), "ns",
		  "one name, one address, table full");
	bench_row(&rows, "names_has_ns", measure(ask_has, names), "ns",
		  "does the name belong to the address");
	mf_names_get_stats(names, &s);
	snprintf(text, sizeof(text), "%u addresses, %u names", s.addrs, s.names);
	bench_row(&rows, "names_bytes_per_addr", (double)s.bytes / s.addrs, "bytes", text);
	mf_names_free(names);
}

static uint64_t build_event(struct mf_events *e, const struct ask *a)
{
	const struct mf_decision d = { .verdict = MF_ALLOW,
				       .rule = "network_rules[3] web",
				       .generation = 3 };
	struct mf_endpoint remote = { .addr = a->addr, .port = 443 };
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_NET_CONNECT,
						     .session_id = "s1",
						     .source = "session",
						     .pid = 4321,
						     .domain = a->text,
						     .remote = &remote,
						     .operation = "connect",
						     .decision = &d });
	mf_event_add_cstr(&ev, MF_EVF_PROTO, "tcp");
	mf_event_add_addr(&ev, MF_EVF_RESOLVED_IP, &a->addr);
	return e ? (uint64_t)mf_events_send(e, &ev) : ev.len;
}

static uint64_t ask_event(void *ctx, const struct ask *a)
{
	return build_event(ctx, a);
}

static uint64_t ask_counter(void *ctx, const struct ask *a)
{
	(void)a;
	mf_counter_add(ctx, 1);
	return 0;
}

static void bench_observe(void)
{
	struct mf_metrics *m = mf_metrics_new(0);
	struct mf_events_stats s;
	struct mf_events *e;
	char text[100];
	double each;

	bench_row(&rows, "event_build_ns", measure(ask_event, NULL), "ns",
		  "net_connect with a decision");
	if (mf_events_new(&(struct mf_events_options){ .queue_bytes = 16 << 20 }, &e, NULL) ||
	    mf_events_add_file(e, "/dev/null", NULL))
		exit(1);
	each = measure(ask_event, e);
	mf_events_get_stats(e, &s);
	snprintf(text, sizeof(text), "built, queued and written; %.2f %% dropped",
		 100.0 * (double)s.dropped / (double)s.sent);
	bench_row(&rows, "event_send_ns", each, "ns", text);
	mf_events_free(e);
	bench_row(&rows, "counter_add_ns",
		  measure(ask_counter, mf_metrics_counter(m, "c_total", "", NULL, 0)), "ns",
		  "one thread");
	mf_metrics_free(m);
}

int main(int argc, char **argv)
{
	uint32_t names = 1000000;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			rows.json = true;
		else if (strcmp(argv[i], "--names") == 0 && i + 1 < argc)
			names = (uint32_t)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = strtod(argv[++i], NULL);
		else {
			fprintf(stderr, "usage: bench_match [--json] [--names N] [--seconds N]\n");
			return 2;
		}
	}
	if (!names)
		return 2;
	bench_begin(&rows);
	bench_domains(names);
	bench_cidrs(100, false, "cidr_set_100_v4_ns");
	bench_cidrs(100000, false, "cidr_set_100k_v4_ns");
	bench_cidrs(100000, true, "cidr_set_100k_v6_ns");
	bench_glob("glob_suffix_ns", "**.example.com", '.');
	bench_glob("glob_middle_ns", "*ads*.{com,net}", 0);
	bench_regex();
	bench_names();
	bench_observe();
	bench_end(&rows);
	return 0;
}
