/* SPDX-License-Identifier: Apache-2.0 */
/* test_gateway_meter.c - token buckets and quotas with a clock of the test's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include <pthread.h>

#include "proxies/gateway/meter.h"

#define S UINT64_C(1000000000)

static void test_burst_then_rate(void **state)
{
	struct mf_pace p = { 0 };
	uint64_t now = 1000 * S, sum = 0, wait;

	(void)state;
	/* 100 a second, 1,000 at once: ten charges of 100 empty it, an eleventh is its debt */
	for (unsigned i = 0; i < 11; i++) {
		assert_int_equal(mf_pace_wait(&p, 100, 1000, now), 0);
		mf_pace_charge(&p, 100, 100, now);
	}
	assert_int_equal(mf_pace_wait(&p, 100, 1000, now), S);
	assert_int_equal(mf_pace_wait(&p, 100, 1000, now + S - 1), 1);
	assert_int_equal(mf_pace_wait(&p, 100, 1000, now + S), 0);
	/* who waits as he is told gets the rate, exactly: a piece of 37 each time */
	now += S;
	for (unsigned i = 0; i < 1000; i++) {
		mf_pace_charge(&p, 100, 37, now);
		sum += 37;
		wait = mf_pace_wait(&p, 100, 1000, now);
		assert_int_equal(wait, 37 * S / 100);
		now += wait;
	}
	assert_int_equal(now - 1001 * S, sum * S / 100);
	/* what nobody takes is not saved beyond the burst */
	now += 3600 * S;
	mf_pace_charge(&p, 100, 1001, now);
	assert_int_equal(mf_pace_wait(&p, 100, 1000, now), S / 100);
}

static void test_refund(void **state)
{
	struct mf_pace p = { 0 };
	uint64_t now = 5 * S;

	(void)state;
	mf_pace_charge(&p, 1000, 1000, now);
	mf_pace_charge(&p, 1000, 500, now);
	assert_int_equal(mf_pace_wait(&p, 1000, 1000, now), S / 2);
	mf_pace_refund(&p, 1000, 500);
	assert_int_equal(mf_pace_wait(&p, 1000, 1000, now), 0);
	mf_pace_charge(&p, 1000, 1, now);
	assert_int_equal(mf_pace_wait(&p, 1000, 1000, now), S / 1000);
	/* late: it is full, and not more than full */
	mf_pace_charge(&p, 1000, 1000, now + 100 * S);
	mf_pace_refund(&p, 1000, 1000);
	mf_pace_charge(&p, 1000, 1001, now + 200 * S);
	assert_int_equal(mf_pace_wait(&p, 1000, 1000, now + 200 * S), S / 1000);
}

static void test_take(void **state)
{
	struct mf_pace p = { 0 };
	uint64_t now = S;
	unsigned had = 0;

	(void)state;
	/* six a minute, ten at once: each is 60 of a second's 6 */
	for (unsigned i = 0; i < 30; i++)
		had += mf_pace_take(&p, 6, 600, 60, now);
	assert_int_equal(had, 10);
	assert_false(mf_pace_take(&p, 6, 600, 60, now + 10 * S - 1));
	assert_true(mf_pace_take(&p, 6, 600, 60, now + 10 * S));
	assert_false(mf_pace_take(&p, 6, 600, 60, now + 10 * S));
	/* more than it ever holds is never had */
	assert_false(mf_pace_take(&p, 6, 600, 601, now + 10000 * S));
}

static void test_extremes(void **state)
{
	struct mf_pace p = { 0 };
	uint64_t now = S * 4 * 365 * 86400; /* four years up */

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		mf_pace_charge(&p, MF_PACE_RATE_MAX, 65536, now);
	/* 6,553,600,000 bytes at 10^10 a second; each is rounded up by less than a nanosecond */
	assert_in_range(mf_pace_wait(&p, MF_PACE_RATE_MAX, 0, now), 655360000, 655460000);
	p.full_at_ns = 0;
	mf_pace_charge(&p, 1, 65536, now);
	assert_int_equal(mf_pace_wait(&p, 1, 0, now), 65536 * S);
}

static void test_quota(void **state)
{
	struct mf_quota q = { 0 };

	(void)state;
	assert_int_equal(mf_quota_used(&q, 1), 0);
	mf_quota_add(&q, 7, 10);
	mf_quota_add(&q, 7, 5);
	assert_int_equal(mf_quota_used(&q, 7), 15);
	assert_int_equal(mf_quota_used(&q, 8), 0);
	mf_quota_add(&q, 8, 1);
	assert_int_equal(mf_quota_used(&q, 8), 1);
	assert_int_equal(mf_quota_used(&q, 7), 0);
}

static struct mf_pace shared;
static struct mf_quota shared_quota;
static atomic_uint taken;

static void *take_all(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 100000; i++) {
		taken += mf_pace_take(&shared, 1, 100000, 1, 77 * S);
		mf_quota_add(&shared_quota, 1, 3);
	}
	return NULL;
}

/* Nothing is had twice, nothing is lost. */
static void test_threads(void **state)
{
	pthread_t t[4];

	(void)state;
	mf_quota_add(&shared_quota, 1, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_all, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(taken, 100000);
	assert_int_equal(mf_quota_used(&shared_quota, 1), 4 * 100000 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_refund),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
