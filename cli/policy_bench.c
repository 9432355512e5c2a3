/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_bench.c - moonfence policy bench: decisions per second, found in memory and through Lua
 *
 * How it measures
 *
 * The questions are those that the policies' own tests ask, or a built-in mix. Rates come from rounds over all questions
 * between two looks at the clock; percentiles from decisions timed one by one, with the cost of the clock itself (the
 * median of empty measurements) taken off. "Cached" is mf_decide() on a VM that has seen every question; "Lua" is the
 * same with graph and memo off.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/policies.h"
#include "cli/question.h"
#include "core/policy/request.h"
#include "core/policy/testrun.h"

#define QUESTIONS_MAX 4096
#define SAMPLES	      100000
#define ROUND_MIN     1024 /* decisions between two looks at the clock */

enum { OPT_JSON = 1, OPT_SECONDS, OPT_VAR };

static const struct mf_option options[] = {
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print the figures as JSON" },
	{ OPT_SECONDS, 0, "seconds", "N", "measure for about N seconds, 1 to 60 (2)" },
};

static const struct mf_usage usage = {
	.name = "policy bench",
	.synopsis = "[--json] [--seconds N] PATH...",
	.text = "Measure decisions of policies on one core of this machine, with the questions of "
		"their own tests,\n"
		"or with a built-in mix where they have none. Build with the release preset for "
		"figures that count.\n"
		"Exit status: 0 measured, 1 a policy's fault, 2 wrong usage.\n",
	.example = "  moonfence policy bench --json policies/default\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

/* Asked of policies without tests: names, addresses and paths such as sessions ask for. */
static const char *const builtin_mix[][6] = {
	{ "dns", "api.example" },
	{ "dns", "api.example", "type=AAAA" },
	{ "dns", "www.example.com" },
	{ "dns", "a.b.c.d.example.net", "type=HTTPS" },
	{ "dns", "tracker.example.org" },
	{ "connect", "api.example:443", "ip=93.184.215.14", "process.name=curl" },
	{ "connect", "www.example.com:443", "ip=93.184.215.14" },
	{ "connect", "www.example.com:80", "ip=93.184.215.14" },
	{ "connect", "169.254.169.254:80" },
	{ "connect", "10.0.0.7:5432" },
	{ "connect", "[2606:2800:21f::1]:443" },
	{ "connect", "api.example:443", "ip=93.184.215.14", "proto=udp" },
	{ "sni", "api.example", "ip=93.184.215.14", "alpn=h2,http/1.1" },
	{ "sni", "www.example.com", "ip=93.184.215.14", "ech=true" },
	{ "sni", "other.example", "ip=93.184.215.14", "host=www.example.com" },
	{ "file", "/workspace/src/main.c", "op=read" },
	{ "file", "/workspace/src/main.c", "op=write" },
	{ "file", "/workspace/build/main.o", "op=delete" },
	{ "file", "/home/user/.ssh/id_ed25519", "op=open", "flags=read" },
	{ "file", "/etc/hosts", "op=read" },
};

struct bench {
	struct mf_request *questions[QUESTIONS_MAX];
	size_t question_cnt;
	bool builtin;
	uint64_t *samples, clock_ns;
	double seconds;
	struct mf_err err;
	/* results */
	double cached_per_second, lua_per_second;
	uint64_t cached_p50_ns, cached_p99_ns, lua_p50_ns, lua_p99_ns, nodes, uncacheable;
};

/* Whom a measurement asks. */
struct subject {
	struct mf_vm *vm;	   /* or */
	struct mf_vm_state *state; /* with its caches off */
};

static uint64_t now_ns(void)
{
	return mf_clock_now(&mf_clock_system);
}

static void ask(const struct subject *s, struct mf_request *req)
{
	struct mf_decision d = MF_DECISION_INIT;
	size_t failed;

	if (s->vm)
		mf_decide(s->vm, req, &d);
	else
		mf_vm_state_decide(s->state, req, &d, &failed);
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static int copy_list(struct mf_request *to, enum mf_field field, const struct mf_value *v)
{
	size_t pos = 0, len;
	const char *item;
	int r = 0;

	while (r == 0 && (item = mf_list_next(v, &pos, &len)))
		r = mf_request_add_str(to, field, item, len);
	return r;
}

static int copy_field(struct mf_request *to, const struct mf_request *from, enum mf_field field)
{
	struct mf_value v = mf_request_peek(from, field);
	struct mf_addr addr;

	switch ((enum mf_type)v.type) {
	case MF_T_STR:
		return mf_request_set_str(to, field, (const char *)v.ptr, v.len);
	case MF_T_INT:
		return field == MF_F_FAMILY ? 0 : mf_request_set_int(to, field, v.num);
	case MF_T_BOOL:
		return mf_request_set_bool(to, field, v.num);
	case MF_T_ADDR:
		memcpy(&addr, v.ptr, sizeof(addr));
		return mf_request_set_addr(to, field, addr.bytes, addr.family == 4 ? 4 : 16);
	case MF_T_LIST:
		return copy_list(to, field, &v);
	default:
		return 0;
	}
}

static int copy_labels(struct mf_request *to, const struct mf_request *from)
{
	struct mf_value v = mf_request_labels(from);
	size_t pos = 0, len;
	const char *key, *value;
	int r = 0;

	while (r == 0 && (key = mf_list_next(&v, &pos, &len)) &&
	       (value = mf_list_next(&v, &pos, &len)))
		r = mf_request_set_label(to, key, value);
	return r;
}

/* The tests ask @from; it is theirs, so a copy is kept. */
static void on_question(void *ctx, const struct mf_request *from)
{
	struct bench *b = ctx;
	struct mf_request *to;
	int r = 0;

	if (b->question_cnt == QUESTIONS_MAX)
		return;
	to = mf_request_new((enum mf_kind)from->kind);
	for (int f = 0; to && r == 0 && f < MF_F_NUM; f++)
		r = copy_field(to, from, (enum mf_field)f);
	if (to && r == 0)
		r = copy_labels(to, from);
	if (to && r == 0)
		b->questions[b->question_cnt++] = to;
	else
		mf_request_free(to);
}

static int take_builtin(struct bench *b)
{
	b->builtin = true;
	for (size_t i = 0; i < MF_ARRAY_SIZE(builtin_mix); i++) {
		char *words[MF_ARRAY_SIZE(builtin_mix[0])];
		struct mf_question q;
		int cnt = 0, r;

		for (; cnt < (int)MF_ARRAY_SIZE(words) && builtin_mix[i][cnt]; cnt++)
			words[cnt] = (char *)(uintptr_t)builtin_mix[i][cnt];
		r = mf_question_parse(cnt, words, &q, &b->err);
		if (r < 0)
			return r;
		b->questions[b->question_cnt++] = q.request;
	}
	return 0;
}

static int gather(struct bench *b, struct mf_policies *p)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	int r;

	report.on_question = on_question;
	report.ctx = b;
	r = mf_testrun_all(&p->config, p->set, 0, &report, &b->err);
	mf_test_report_done(&report);
	return r < 0 || b->question_cnt > 0 ? r : take_builtin(b);
}

/* --- measuring --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t percentile(uint64_t *samples, size_t cnt, unsigned percent)
{
	return samples[(cnt - 1) * percent / 100];
}

static void measure_clock(struct bench *b)
{
	for (size_t i = 0; i < SAMPLES / 10; i++) {
		uint64_t start = now_ns();

		b->samples[i] = now_ns() - start;
	}
	qsort(b->samples, SAMPLES / 10, sizeof(*b->samples), compare);
	b->clock_ns = percentile(b->samples, SAMPLES / 10, 50);
}

static double measure_rate(struct bench *b, const struct subject *s, double seconds)
{
	uint64_t start = now_ns(), elapsed, limit = (uint64_t)(seconds * 1e9), decisions = 0;
	size_t i = 0;

	do {
		for (size_t n = 0; n < ROUND_MIN; n++) {
			ask(s, b->questions[i]);
			i = i + 1 == b->question_cnt ? 0 : i + 1;
		}
		decisions += ROUND_MIN;
		elapsed = now_ns() - start;
	} while (elapsed < limit);
	return (double)decisions * 1e9 / (double)elapsed;
}

static void measure_times(struct bench *b, const struct subject *s, double seconds,
			  uint64_t *ret_p50, uint64_t *ret_p99)
{
	uint64_t begin = now_ns(), limit = (uint64_t)(seconds * 1e9), end = begin;
	size_t cnt = 0, i = 0;

	while (cnt < SAMPLES && (cnt < 100 || end - begin < limit)) {
		uint64_t start = now_ns();

		ask(s, b->questions[i]);
		end = now_ns();
		b->samples[cnt++] = end - start > b->clock_ns ? end - start - b->clock_ns : 0;
		i = i + 1 == b->question_cnt ? 0 : i + 1;
	}
	qsort(b->samples, cnt, sizeof(*b->samples), compare);
	*ret_p50 = percentile(b->samples, cnt, 50);
	*ret_p99 = percentile(b->samples, cnt, 99);
}

/* Ask everything twice: what enters Lua the second time will do so every time. */
static void warm(struct bench *b, const struct subject *s)
{
	struct mf_vm_stats stats = { .size = sizeof(stats) };
	uint64_t before;

	for (size_t i = 0; i < b->question_cnt; i++)
		ask(s, b->questions[i]);
	for (size_t i = 0; i < b->question_cnt; i++) {
		mf_vm_get_stats(s->vm, &stats);
		before = stats.lua_entries;
		ask(s, b->questions[i]);
		mf_vm_get_stats(s->vm, &stats);
		b->uncacheable += stats.lua_entries > before;
	}
	b->nodes = stats.graph_nodes;
}

static int measure_cached(struct bench *b, const char *const *paths, size_t path_cnt,
			  const struct mf_runtime_options *runtime_options)
{
	struct subject s = { 0 };
	struct mf_runtime *rt;
	const char **real;
	int r = mf_runtime_new(runtime_options, &rt, &b->err);

	if (r < 0)
		return r;
	real = mf_paths_policies(paths, path_cnt);
	r = real ? mf_runtime_load(rt, real, path_cnt, &b->err)
		 : mf_err_set(&b->err, MF_E_NOMEM, "out of memory");
	free(real);
	if (r == 0)
		r = mf_vm_new(rt, &s.vm, &b->err);
	if (r == 0) {
		warm(b, &s);
		b->cached_per_second = measure_rate(b, &s, b->seconds * 0.4);
		measure_times(b, &s, b->seconds * 0.1, &b->cached_p50_ns, &b->cached_p99_ns);
		mf_vm_free(s.vm);
	}
	mf_runtime_free(rt);
	return r;
}

static int measure_lua(struct bench *b, struct mf_policies *p)
{
	struct subject s = { 0 };
	int r = mf_vm_state_new(&p->config, p->set, 1, &s.state, &b->err);

	if (r < 0)
		return r;
	mf_vm_state_set_cache(s.state, false);
	b->lua_per_second = measure_rate(b, &s, b->seconds * 0.4);
	measure_times(b, &s, b->seconds * 0.1, &b->lua_p50_ns, &b->lua_p99_ns);
	mf_vm_state_free(s.state);
	return 0;
}

static int measure(struct bench *b, const char *const *paths, size_t path_cnt,
		   const struct mf_variables *v)
{
	struct mf_runtime_options runtime;
	struct mf_policies p;
	int r = mf_policies_read(paths, path_cnt, v, &p, &b->err);

	if (r < 0)
		return r;
	b->samples = calloc(SAMPLES, sizeof(*b->samples));
	r = b->samples ? gather(b, &p) : mf_err_set(&b->err, MF_E_NOMEM, "out of memory");
	if (r == 0) {
		measure_clock(b);
		runtime = p.config.options;
		runtime.variables = v->items;
		r = measure_cached(b, paths, path_cnt, &runtime);
	}
	if (r == 0)
		r = measure_lua(b, &p);
	mf_policies_done(&p);
	free(b->samples), b->samples = NULL;
	return r;
}

/* --- printing ----------------------------------------------------------------------------------------------------------- */

static int print_json(const struct bench *b)
{
	return mf_output_json(
		json_pack("{s:f, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:s}", "cached_per_second",
			  b->cached_per_second, "cached_p50_ns", (json_int_t)b->cached_p50_ns,
			  "cached_p99_ns", (json_int_t)b->cached_p99_ns, "lua_per_second",
			  b->lua_per_second, "lua_p50_ns", (json_int_t)b->lua_p50_ns, "lua_p99_ns",
			  (json_int_t)b->lua_p99_ns, "nodes", (json_int_t)b->nodes, "uncacheable",
			  (json_int_t)b->uncacheable, "questions", (json_int_t)b->question_cnt,
			  "source", b->builtin ? "built-in mix" : "tests"));
}

static void print_text(const struct bench *b)
{
	struct mf_table t;

	mf_table_init(&t, "lrrr");
	mf_table_add(&t, "decisions"), mf_table_add(&t, "per second"), mf_table_add(&t, "p50");
	mf_table_add(&t, "p99");
	mf_table_add(&t, "cached"), mf_table_add(&t, "%.0f", b->cached_per_second);
	mf_table_add(&t, "%llu ns", (unsigned long long)b->cached_p50_ns);
	mf_table_add(&t, "%llu ns", (unsigned long long)b->cached_p99_ns);
	mf_table_add(&t, "through Lua"), mf_table_add(&t, "%.0f", b->lua_per_second);
	mf_table_add(&t, "%llu ns", (unsigned long long)b->lua_p50_ns);
	mf_table_add(&t, "%llu ns", (unsigned long long)b->lua_p99_ns);
	mf_table_print(&t, stdout, true);
	printf("\n%zu questions from %s; %llu nodes in the decision graph; %llu questions enter "
	       "Lua every time\n",
	       b->question_cnt, b->builtin ? "the built-in mix" : "the policies' tests",
	       (unsigned long long)b->nodes, (unsigned long long)b->uncacheable);
}

static bool parse_seconds(const char *text, double *ret)
{
	char *end;
	long n = strtol(text, &end, 10);

	*ret = (double)n;
	return *text && !*end && n >= 1 && n <= 60;
}

int mf_cmd_policy_bench(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct mf_variables v = { 0 };
	struct bench *b;
	double seconds = 2;
	bool json = false;
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_JSON)
			json = true;
		else if (opt == OPT_VAR && (status = mf_variables_add(&usage, &v, value)) != 0)
			return status;
		else if (opt == OPT_SECONDS && !parse_seconds(value, &seconds))
			return mf_options_wrong(
				&usage, "--seconds '%s': expected a number from 1 to 60", value);
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one PATH");
	b = calloc(1, sizeof(*b));
	if (!b) {
		fprintf(stderr, "moonfence: out of memory\n");
		return MF_EXIT_FAULT;
	}
	b->seconds = seconds;
	status = MF_EXIT_FAULT;
	if (measure(b, (const char *const *)o.operands, (size_t)o.operand_cnt, &v) < 0)
		mf_output_problem(&b->err);
	else if (json)
		status = print_json(b);
	else
		print_text(b), status = MF_EXIT_GOOD;
	for (size_t i = 0; i < b->question_cnt; i++)
		mf_request_free(b->questions[i]);
	free(b);
	return status;
}
