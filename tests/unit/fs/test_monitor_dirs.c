/* SPDX-License-Identifier: Apache-2.0 */
/* test_monitor_dirs.c - a table of directories by handle: paths, moves, removals, its limit */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#include "fs/monitor_dirs.h"

static struct mf_monitor_dir *put(struct mf_monitor_dirs *t, const char *handle, const char *parent,
				  const char *name)
{
	struct mf_monitor_dir *up = mf_monitor_dirs_find(t, mf_span_str(parent));

	assert_non_null(up);
	return mf_monitor_dirs_put(t, mf_span_str(handle), up, mf_span_str(name));
}

static void is_at(struct mf_monitor_dirs *t, const char *handle, const char *name, const char *want)
{
	struct mf_monitor_dir *d = mf_monitor_dirs_find(t, mf_span_str(handle));
	char path[64];

	assert_non_null(d);
	assert_int_equal(mf_monitor_dirs_path(d, mf_span_str(name), path, sizeof(path)),
			 strlen(want));
	assert_string_equal(path, want);
}

static void paths_follow_moves(void **state)
{
	struct mf_monitor_dirs *t = mf_monitor_dirs_new(100, mf_span_str("root"));

	(void)state;
	is_at(t, "root", "", "");
	is_at(t, "root", "f", "f");
	assert_non_null(put(t, "A", "root", "a"));
	assert_non_null(put(t, "B", "A", "b"));
	assert_non_null(put(t, "C", "B", "c"));
	is_at(t, "C", "new\nline", "a/b/c/new\nline");
	is_at(t, "C", "", "a/b/c");
	assert_non_null(put(t, "X", "root", "x"));
	assert_non_null(put(t, "B", "X", "y"));
	is_at(t, "C", "f", "x/y/c/f");
	assert_int_equal(mf_monitor_dirs_count(t), 5);
	mf_monitor_dirs_free(t);
}

static void nothing_lies_in_itself(void **state)
{
	struct mf_monitor_dirs *t = mf_monitor_dirs_new(100, mf_span_str("root"));

	(void)state;
	assert_non_null(put(t, "A", "root", "a"));
	assert_non_null(put(t, "B", "A", "b"));
	assert_null(put(t, "A", "B", "a"));
	assert_null(put(t, "A", "A", "a"));
	assert_null(put(t, "root", "A", "r"));
	assert_null(put(t, "C", "A", ""));
	is_at(t, "B", "", "a/b");
	mf_monitor_dirs_free(t);
}

static void removing_takes_all_below(void **state)
{
	struct mf_monitor_dirs *t = mf_monitor_dirs_new(100, mf_span_str("root"));

	(void)state;
	assert_non_null(put(t, "A", "root", "a"));
	assert_non_null(put(t, "B", "A", "b"));
	assert_non_null(put(t, "C", "B", "c"));
	assert_non_null(put(t, "D", "A", "d"));
	assert_non_null(put(t, "E", "root", "e"));
	mf_monitor_dirs_remove(t, mf_monitor_dirs_find(t, mf_span_str("A")));
	for (const char *h = "ABCD"; *h; h++)
		assert_null(mf_monitor_dirs_find(t, mf_span_of(h, 1)));
	is_at(t, "E", "f", "e/f");
	mf_monitor_dirs_clear(t);
	assert_int_equal(mf_monitor_dirs_count(t), 1);
	is_at(t, "root", "f", "f");
	mf_monitor_dirs_free(t);
}

static void it_grows_to_its_limit(void **state)
{
	struct mf_monitor_dirs *t = mf_monitor_dirs_new(10001, mf_span_str("root"));
	char handle[16];
	uint8_t big[MF_MONITOR_HANDLE_MAX + 1] = { 1 };

	(void)state;
	/* A chain as deep as the table: what a stack would not hold */
	for (int i = 0; i < 10000; i++) {
		char up[16];

		snprintf(up, sizeof(up), i ? "%d" : "root", i - 1);
		snprintf(handle, sizeof(handle), "%d", i);
		assert_non_null(put(t, handle, up, "d"));
	}
	assert_null(put(t, "one more", "root", "x"));
	assert_null(mf_monitor_dirs_put(t, mf_span_of(big, sizeof(big)), mf_monitor_dirs_root(t),
					mf_span_str("x")));
	is_at(t, "2", "f", "d/d/d/f");
	mf_monitor_dirs_remove(t, mf_monitor_dirs_find(t, mf_span_str("0")));
	assert_int_equal(mf_monitor_dirs_count(t), 1);
	assert_non_null(put(t, "one more", "root", "x"));
	mf_monitor_dirs_free(t);
}

static void a_path_that_does_not_fit_is_none(void **state)
{
	struct mf_monitor_dirs *t = mf_monitor_dirs_new(100, mf_span_str("root"));
	struct mf_monitor_dir *a = put(t, "A", "root", "abc");
	char path[8];

	(void)state;
	assert_int_equal(mf_monitor_dirs_path(a, mf_span_str("def"), path, 8), 7);
	assert_string_equal(path, "abc/def");
	assert_int_equal(mf_monitor_dirs_path(a, mf_span_str("def"), path, 7), -1);
	assert_int_equal(mf_monitor_dirs_path(a, mf_span_str("d"), path, 4), -1);
	assert_int_equal(mf_monitor_dirs_path(a, mf_span_str(""), path, 0), -1);
	mf_monitor_dirs_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_follow_moves),
		cmocka_unit_test(nothing_lies_in_itself),
		cmocka_unit_test(removing_takes_all_below),
		cmocka_unit_test(it_grows_to_its_limit),
		cmocka_unit_test(a_path_that_does_not_fit_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
