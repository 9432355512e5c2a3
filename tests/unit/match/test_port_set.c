// SPDX-License-Identifier: Apache-2.0
// test_port_set.c - port sets: text, merging of ranges, and a comparison with a plain array
#include "core/match/port_set.h"
#include "tests/unit/test.h"

static void ports_and_ranges_are_read_from_text(void **state)
{
	struct mf_port_set set = MF_PORT_SET_INIT;

	(void)state;
	assert_int_equal(mf_port_set_add_text(&set, "80, 443 8000-8999", 17, NULL), 0);
	assert_true(mf_port_set_has(&set, 80));
	assert_true(mf_port_set_has(&set, 443));
	assert_true(mf_port_set_has(&set, 8000));
	assert_true(mf_port_set_has(&set, 8999));
	assert_false(mf_port_set_has(&set, 81));
	assert_false(mf_port_set_has(&set, 7999));
	assert_false(mf_port_set_has(&set, 9000));
	assert_false(mf_port_set_has(&set, 0));
	mf_port_set_done(&set);
}

static void bad_text_adds_nothing_and_says_what_is_wrong(void **state)
{
	static const char *const bad[] = { "",	  " , ",   "x",	    "80-",	"-80",	"80-79",
					   "080", "65536", "443.0", "80 99999", "1--2", "0x50",
					   "+80", "80;81", "1-2-3", "443000" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		struct mf_port_set set = MF_PORT_SET_INIT;
		struct mf_err err = { 0 };

		assert_int_equal(mf_port_set_add_text(&set, bad[i], strlen(bad[i]), &err),
				 MF_E_SYNTAX);
		assert_true(err.msg[0]);
		assert_int_equal(set.range_cnt, 0);
		mf_port_set_done(&set);
	}
}

static void ranges_that_touch_become_one(void **state)
{
	struct mf_port_set set = MF_PORT_SET_INIT;

	(void)state;
	assert_int_equal(mf_port_set_add(&set, 10, 19), 0);
	assert_int_equal(mf_port_set_add(&set, 30, 39), 0);
	assert_int_equal(mf_port_set_add(&set, 20, 29), 0);
	assert_int_equal(set.range_cnt, 1);
	assert_int_equal(mf_port_set_add(&set, 0, 65535), 0);
	assert_int_equal(set.range_cnt, 1);
	assert_true(mf_port_set_has(&set, 0));
	assert_true(mf_port_set_has(&set, 65535));
	assert_int_equal(mf_port_set_add(&set, 2, 1), MF_E_INVAL);
	mf_port_set_done(&set);
}

static void random_sets_answer_as_an_array_does(void **state)
{
	static bool model[65536];
	uint64_t seed = 77;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct mf_port_set set = MF_PORT_SET_INIT;
		uint32_t cnt = test_below(&seed, 30);

		memset(model, 0, sizeof(model));
		for (uint32_t i = 0; i < cnt; i++) {
			uint32_t a = test_below(&seed, 65536);
			uint32_t b = a + test_below(&seed, round % 2 ? 3 : 3000);

			if (b > 65535)
				b = 65535;
			assert_int_equal(mf_port_set_add(&set, (uint16_t)a, (uint16_t)b), 0);
			memset(model + a, 1, b - a + 1);
		}
		for (uint32_t p = 0; p < 65536; p++)
			if (mf_port_set_has(&set, (uint16_t)p) != model[p])
				fail_msg("port %u in round %d", p, round);
		mf_port_set_done(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_and_ranges_are_read_from_text),
		cmocka_unit_test(bad_text_adds_nothing_and_says_what_is_wrong),
		cmocka_unit_test(ranges_that_touch_become_one),
		cmocka_unit_test(random_sets_answer_as_an_array_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
