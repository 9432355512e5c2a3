// SPDX-License-Identifier: Apache-2.0
// test_nomem.c - every allocation of match, names and observe fails once: no crash, no leak, a clear error, and then it works
#include "core/match/cidr_set.h"
#include "core/match/domain_set.h"
#include "core/match/glob.h"
#include "core/match/port_set.h"
#include "core/match/regex.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"
#include "core/observe/metrics.h"
#include "tests/unit/test.h"

// The linker puts these in the place of the functions (--wrap).
void *__real_malloc(size_t size);
void *__real_calloc(size_t cnt, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t cnt, size_t size);
void *__wrap_realloc(void *ptr, size_t size);

static uint32_t countdown; // the allocation that fails, 0: none
static bool failed;

static bool fails(void)
{
	if (!countdown || --countdown)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t cnt, size_t size)
{
	return fails() ? NULL : __real_calloc(cnt, size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
	return fails() ? NULL : __real_realloc(ptr, size);
}

// Runs @fn with the first, second, ... allocation failing, until it gets through without meeting the failure.
static void torture(int (*fn)(void))
{
	uint32_t n = 0;
	int r;

	do {
		failed = false;
		countdown = ++n;
		r = fn();
		countdown = 0;
		// What can do without the memory (giving back room) may succeed.
		if (r != 0 && r != MF_E_NOMEM)
			fail_msg("allocation %u: %d", n, r);
		assert_true(failed || r == 0);
		assert_true(n < 10000);
	} while (failed);
	assert_true(n > 1);
}

static int use_domain_set(void)
{
	static const char list[] = "a.example\nb.example\n*.c.example\nd.example\n";
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	int r = mf_domain_set_builder_new(NULL, &b, NULL);

	if (r)
		return r;
	for (int i = 0; !r && i < 100; i++)
		r = mf_domain_set_builder_add_text(b, list, sizeof(list) - 1, "l", (uint32_t)i,
						   NULL);
	if (r) {
		mf_domain_set_builder_free(b);
		return r;
	}
	r = mf_domain_set_builder_seal(b, &set, NULL);
	if (r)
		return r;
	assert_true(mf_domain_set_under(set, "x.a.example", 11));
	mf_domain_set_free(set);
	return 0;
}

static int use_cidr_set(void)
{
	struct mf_cidr_set_builder *b;
	struct mf_cidr_set *set;
	int r = mf_cidr_set_builder_new(0, &b, NULL);

	if (r)
		return r;
	for (int i = 0; !r && i < 1500; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.%d.%d.0/24", i >> 7, (i << 1) & 255);
		r = mf_cidr_set_builder_add_text(b, text, strlen(text), 1, NULL);
	}
	if (r) {
		mf_cidr_set_builder_free(b);
		return r;
	}
	r = mf_cidr_set_builder_seal(b, &set, NULL);
	if (!r)
		mf_cidr_set_free(set);
	return r;
}

static int use_port_set(void)
{
	struct mf_port_set set = MF_PORT_SET_INIT;
	int r = mf_port_set_add_text(&set, "1 3 5 7 9 11 13 15 17 19 21 23", 30, NULL);

	mf_port_set_done(&set);
	return r;
}

static int use_glob(void)
{
	struct mf_glob *g;
	int r = mf_glob_compile("/a/{*.txt,[a-z]?}/**/x", 22, '/', 0, &g, NULL);

	if (!r)
		mf_glob_free(g);
	return r;
}

static int use_regex(void)
{
	struct mf_regex_scratch *s = mf_regex_scratch_new();
	struct mf_regex *re;
	int r = s ? mf_regex_compile("^a+$", 4, MF_REGEX_RE2, NULL, &re, NULL) : MF_E_NOMEM;

	if (!r) {
		r = mf_regex_match(re, s, "aa", 2) == 1 ? 0 : MF_E_BUG;
		mf_regex_free(re);
	}
	mf_regex_scratch_free(s);
	return r;
}

static int use_names(void)
{
	static const char *const aliases[] = { "c1.example", "c2.example" };
	struct mf_names *names;
	struct mf_names_stats s;
	int r = mf_names_new(&(struct mf_names_options){ .addr_max = 150 }, &names, NULL);

	if (r)
		return r;
	for (uint32_t i = 0; !r && i < 200; i++) {
		struct mf_addr a;
		char name[32];
		uint8_t ip[4] = { 10, 0, 0, (uint8_t)i };

		mf_addr_from_bytes(&a, ip, 4);
		snprintf(name, sizeof(name), "n%u.example", i);
		r = mf_names_learn(names, &(struct mf_names_answer){ .question = name,
								     .question_len = strlen(name),
								     .aliases = aliases,
								     .alias_cnt = i % 3,
								     .addrs = &a,
								     .addr_cnt = 1 });
		// The table goes on after a failure.
		if (r)
			assert_int_equal(mf_names_learn(names,
							&(struct mf_names_answer){
								.question = name,
								.question_len = strlen(name),
								.addrs = &a,
								.addr_cnt = 1 }),
					 0);
	}
	mf_names_get_stats(names, &s);
	assert_true(s.addrs <= 150);
	mf_names_free(names);
	return r;
}

static int use_metrics(void)
{
	struct mf_metrics *m = mf_metrics_new(4);
	struct mf_strbuf b = MF_STRBUF_INIT(65536);
	bool lost;

	if (!m)
		return MF_E_NOMEM;
	for (int i = 0; i < 6; i++) {
		char value[16];

		snprintf(value, sizeof(value), "v%d", i);
		mf_counter_add(mf_metrics_counter(m, "a_total", "help",
						  &(struct mf_label){ "k", value }, 1),
			       1);
		mf_gauge_set(mf_metrics_gauge(m, "g", "help", NULL, 0), i);
	}
	mf_metrics_write(m, &b);
	lost = mf_metrics_errors(m) > 0 || b.failed;
	mf_strbuf_done(&b);
	mf_metrics_free(m);
	return lost ? MF_E_NOMEM : 0;
}

static void drop_line(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	(void)text;
	(void)len;
}

static int use_events(void)
{
	struct mf_events *e;
	struct mf_event ev;
	int r = mf_events_new(NULL, &e, NULL);

	if (r)
		return r;
	r = mf_events_add_callback(e, drop_line, NULL, "drop", NULL);
	if (!r)
		r = mf_events_add_file(e, "/dev/null", NULL);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_SESSION_END });
	assert_int_equal(mf_events_send(e, &ev), 0);
	mf_events_free(e);
	return r;
}

#define TORTURE(what)                                           \
	static void what##_survive_want_of_memory(void **state) \
	{                                                       \
		(void)state;                                    \
		torture(use_##what);                            \
	}

TORTURE(domain_set)
TORTURE(cidr_set)
TORTURE(port_set)
TORTURE(glob)
TORTURE(regex)
TORTURE(names)
TORTURE(metrics)
TORTURE(events)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domain_set_survive_want_of_memory),
		cmocka_unit_test(cidr_set_survive_want_of_memory),
		cmocka_unit_test(port_set_survive_want_of_memory),
		cmocka_unit_test(glob_survive_want_of_memory),
		cmocka_unit_test(regex_survive_want_of_memory),
		cmocka_unit_test(names_survive_want_of_memory),
		cmocka_unit_test(metrics_survive_want_of_memory),
		cmocka_unit_test(events_survive_want_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
