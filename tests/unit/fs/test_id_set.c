/* SPDX-License-Identifier: Apache-2.0 */
/* test_id_set.c - a bounded set of identities, against a plain table */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fs/id_set.h"

#define NUMBERS 3000

/* Few enough that members stand in each other's way, added and removed at random: what is in is found, what is out is not. */
static void test_against_a_table(void **state)
{
	static bool in[2][NUMBERS];
	struct mf_id_set s = { 0 };
	uint32_t x = 1;
	(void)state;

	for (int i = 0; i < 200000; i++) {
		uint64_t dev, ino;

		x = x * 1664525u + 1013904223u;
		dev = x >> 31;
		ino = (x >> 8) % NUMBERS;
		if (!dev && !ino)
			continue;
		assert_int_equal(mf_id_set_has(&s, dev, ino), in[dev][ino]);
		if (in[dev][ino])
			mf_id_set_remove(&s, dev, ino);
		else
			assert_true(mf_id_set_add(&s, dev, ino));
		in[dev][ino] = !in[dev][ino];
	}
	for (uint64_t dev = 0; dev < 2; dev++)
		for (uint64_t ino = 0; ino < NUMBERS; ino++)
			assert_int_equal(mf_id_set_has(&s, dev, ino), in[dev][ino]);
	mf_id_set_done(&s);
}

static void test_none(void **state)
{
	struct mf_id_set s = { 0 };
	(void)state;

	assert_false(mf_id_set_has(&s, 1, 1));
	mf_id_set_remove(&s, 1, 1);
	assert_false(mf_id_set_add(&s, 0, 0));
	assert_true(mf_id_set_add(&s, 1, 1));
	assert_true(mf_id_set_add(&s, 1, 1));
	mf_id_set_remove(&s, 1, 1);
	assert_false(mf_id_set_has(&s, 1, 1));
	mf_id_set_done(&s);
}

/* What is asked about stays, however many come; what nobody asks about goes; memory is bounded. */
static void test_bound(void **state)
{
	struct mf_id_set s = { 0 };
	(void)state;

	assert_true(mf_id_set_add(&s, 7, 1));
	assert_true(mf_id_set_add(&s, 7, 2));
	for (uint64_t i = 0; i < 2 * MF_ID_SET_MAX; i++) {
		assert_true(mf_id_set_add(&s, 8, i + 1));
		if (i % 1024 == 0)
			assert_true(mf_id_set_has(&s, 7, 1));
	}
	assert_true(mf_id_set_has(&s, 7, 1));
	assert_false(mf_id_set_has(&s, 7, 2));
	assert_true(mf_id_set_has(&s, 8, 2 * MF_ID_SET_MAX));
	assert_true(s.young.cnt + s.old.cnt <= MF_ID_SET_MAX);
	assert_true(s.young.room + s.old.room <= 2 * MF_ID_SET_MAX);
	mf_id_set_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_table),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests_name("fs_id_set", tests, NULL, NULL);
}
