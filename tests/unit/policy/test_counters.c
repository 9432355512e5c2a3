/* SPDX-License-Identifier: Apache-2.0 */
/* test_counters.c - rates and budgets: windows, limits, threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/policy/counters.h"

#define S MF_NS_PER_S

static uint64_t add(struct mf_counters *cs, const char *id, uint64_t window_s, uint64_t amount,
		    uint64_t now_s)
{
	uint64_t sum;

	assert_int_equal(mf_counters_add(cs, id, strlen(id), window_s * S, amount, now_s * S, &sum),
			 0);
	return sum;
}

static void test_a_window_forgets_what_is_older_than_itself(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);
	uint64_t t;

	(void)state;
	assert_int_equal(add(cs, "a", 60, 5, 1000), 5);
	/* What happened within the last 60 s is in the sum, always. */
	for (t = 1000; t <= 1060; t++)
		assert_int_equal(add(cs, "a", 60, 0, t), 5);
	/* What is older than a window and a sixteenth is not. */
	for (t = 1065; t < 1200; t++)
		assert_int_equal(add(cs, "a", 60, 0, t), 0);
	mf_counters_free(cs);
}

static void test_a_steady_rate_stands_in_the_window(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);
	uint64_t t, sum;

	(void)state;
	for (t = 0; t < 1000; t++) {
		sum = add(cs, "a", 64, 1, t);
		if (t >= 100)
			assert_in_range(sum, 64, 69);
	}
	mf_counters_free(cs);
}

static void test_counters_are_told_apart_by_id_and_window(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);

	(void)state;
	assert_int_equal(add(cs, "a", 60, 1, 5), 1);
	assert_int_equal(add(cs, "b", 60, 1, 5), 1);
	assert_int_equal(add(cs, "a", 3600, 1, 5), 1);
	assert_int_equal(add(cs, "a", 60, 1, 5), 2);
	assert_int_equal(add(cs, "a", 0, 7, 5), 7);
	assert_int_equal(add(cs, "a", 0, 1, 1000000), 8);
	assert_int_equal(mf_counters_count(cs), 4);
	/* Asking alone makes none. */
	assert_int_equal(add(cs, "never", 60, 0, 5), 0);
	assert_int_equal(mf_counters_count(cs), 4);
	mf_counters_free(cs);
}

static void test_a_clock_that_goes_back_forgets_nothing(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);

	(void)state;
	assert_int_equal(add(cs, "a", 60, 3, 1000), 3);
	assert_int_equal(add(cs, "a", 60, 1, 900), 4);
	assert_int_equal(add(cs, "a", 60, 0, 1001), 4);
	mf_counters_free(cs);
}

static void test_sums_do_not_wrap(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);

	(void)state;
	add(cs, "a", 60, UINT64_MAX, 1);
	assert_int_equal(add(cs, "a", 60, 5, 1), UINT64_MAX);
	assert_int_equal(add(cs, "a", 60, UINT64_MAX, 9), UINT64_MAX);
	mf_counters_free(cs);
}

static void test_a_full_table_gives_up_no_live_counter(void **state)
{
	struct mf_counters *cs = mf_counters_new(64);
	char id[16];
	uint64_t sum;
	int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		snprintf(id, sizeof(id), "k%d", i);
		add(cs, id, 60, 1, 1000);
	}
	assert_int_equal(mf_counters_add(cs, "more", 4, 60 * S, 1, 1001 * S, &sum), MF_E_FULL);
	assert_int_equal(add(cs, "k7", 60, 1, 1001), 2);
	/* Two windows later all but k7 are dead wood. */
	add(cs, "k7", 60, 1, 1100);
	for (i = 0; i < 63; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		add(cs, id, 60, 1, 1101);
	}
	assert_int_equal(add(cs, "k7", 60, 0, 1101), 1);
	assert_int_equal(mf_counters_count(cs), 64);
	mf_counters_free(cs);
}

static void test_too_long_is_refused(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);
	char id[MF_COUNTER_KEY_MAX + 1] = { 0 };
	uint64_t sum;

	(void)state;
	assert_int_equal(mf_counters_add(cs, id, sizeof(id), S, 1, 0, &sum), MF_E_LIMIT);
	assert_int_equal(mf_counters_add(cs, id, 1, MF_COUNTER_WINDOW_MAX + 1, 1, 0, &sum),
			 MF_E_LIMIT);
	mf_counters_free(cs);
}

static void *count_up(void *ctx)
{
	uint64_t sum;
	int i;

	for (i = 0; i < 10000; i++)
		mf_counters_add(ctx, "shared", 6, 60 * S, 1, 5 * S, &sum);
	return NULL;
}

static void test_threads_lose_no_count(void **state)
{
	struct mf_counters *cs = mf_counters_new(0);
	pthread_t threads[4];
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, cs), 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(add(cs, "shared", 60, 0, 5), 40000);
	mf_counters_free(cs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_window_forgets_what_is_older_than_itself),
		cmocka_unit_test(test_a_steady_rate_stands_in_the_window),
		cmocka_unit_test(test_counters_are_told_apart_by_id_and_window),
		cmocka_unit_test(test_a_clock_that_goes_back_forgets_nothing),
		cmocka_unit_test(test_sums_do_not_wrap),
		cmocka_unit_test(test_a_full_table_gives_up_no_live_counter),
		cmocka_unit_test(test_too_long_is_refused),
		cmocka_unit_test(test_threads_lose_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
