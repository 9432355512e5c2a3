/* SPDX-License-Identifier: Apache-2.0 */
/* test_procargs.c - arguments of processes in the form of macOS */
#include "tests/unit/test.h"

#include "capture/procargs.h"

static const char *args[MF_PROCARGS_MAX + 1];

/* Exactly as large as it is, on the heap; kept until the next call. */
static int parse(int32_t cnt, const char *rest, size_t len)
{
	static char *buf;

	free(buf);
	buf = malloc(4 + len);
	assert_non_null(buf);
	memcpy(buf, &cnt, 4);
	memcpy(buf + 4, rest, len);
	return mf_procargs_parse(buf, 4 + len, args);
}

#define PARSE(cnt, text) parse(cnt, text, sizeof(text) - 1)

static void arguments_stand_behind_the_path_and_its_padding(void **state)
{
	(void)state;
	assert_int_equal(PARSE(3, "/bin/sh\0\0\0\0sh\0-c\0true\0HOME=/\0"), 3);
	assert_string_equal(args[0], "sh");
	assert_string_equal(args[1], "-c");
	assert_string_equal(args[2], "true");
	assert_null(args[3]);
	assert_int_equal(PARSE(1, "/bin/sh\0sh\0"), 1);
	assert_int_equal(PARSE(2, "/bin/sh\0\0sh\0\0X=1\0"),
			 2); /* an empty argument in second place */
	assert_string_equal(args[1], "");
	assert_int_equal(PARSE(0, "/bin/sh\0sh\0"), 0);
	assert_null(args[0]);
}

static void what_is_cut_off_or_made_up_does_no_harm(void **state)
{
	char many[3 + 2 * (MF_PROCARGS_MAX + 10)];

	(void)state;
	assert_int_equal(PARSE(3, "/bin/sh\0\0sh\0-c\0tru"), 2); /* the last has no end */
	assert_int_equal(PARSE(9, "/bin/sh\0sh\0"), 1);
	assert_int_equal(PARSE(1, "/bin/sh"), MF_E_BAD);
	assert_int_equal(PARSE(1, ""), MF_E_BAD);
	assert_int_equal(PARSE(1, "\0\0\0"), 0);
	assert_int_equal(PARSE(-1, "/bin/sh\0sh\0"), MF_E_BAD);
	assert_int_equal(mf_procargs_parse("abc", 3, args), MF_E_BAD);
	memcpy(many, "/a", 3);
	for (size_t i = 3; i < sizeof(many); i += 2)
		memcpy(many + i, "x", 2);
	assert_int_equal(parse(INT32_MAX, many, sizeof(many)), MF_PROCARGS_MAX);
	assert_null(args[MF_PROCARGS_MAX]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_stand_behind_the_path_and_its_padding),
		cmocka_unit_test(what_is_cut_off_or_made_up_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
