/* SPDX-License-Identifier: Apache-2.0 */
/* test_line_diff.c - what is told of a difference makes the new text of the old one, and is as short as it can be */
#include "tests/unit/test.h"

#include "core/base/err.h"
#include "core/base/line_diff.h"

#define ROOM (256 << 10)

/* What is told, with a NUL behind it. */
static char told[2 * ROOM];
static size_t told_len;

static int diff(const char *old_text, size_t old_len, const char *new_text, size_t new_len)
{
	static FILE *out;
	int r;

	if (!out)
		out = tmpfile();
	assert_non_null(out);
	rewind(out);
	r = mf_line_diff(mf_span_of(old_text, old_len), "old", mf_span_of(new_text, new_len), "new",
			 out);
	told_len = (size_t)ftell(out);
	assert_true(told_len < sizeof(told));
	rewind(out);
	assert_int_equal(fread(told, 1, told_len, out), told_len);
	told[told_len] = '\0';
	return r;
}

static void expect(const char *old_text, const char *new_text, const char *text)
{
	assert_int_equal(diff(old_text, strlen(old_text), new_text, strlen(new_text)), *text != 0);
	assert_string_equal(told, text);
}

/* As GNU diff -u says them. */
static void test_as_diff_does(void **state)
{
	(void)state;
	expect("", "", "");
	expect("a\nb\n", "a\nb\n", "");
	expect("a\nb\nc\n", "a\nB\nc\n", "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
	expect("", "a\nb\n", "--- old\n+++ new\n@@ -0,0 +1,2 @@\n+a\n+b\n");
	expect("a\n", "", "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\n");
	expect("a", "a\n", "--- old\n+++ new\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
	expect("x\na", "y\na",
	       "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-x\n+y\n a\n\\ No newline at end of file\n");
	/* Seven lines between two changes make two hunks, six one. */
	expect("x\n1\n2\n3\n4\n5\n6\n7\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\nY\n",
	       "--- old\n+++ new\n@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n "
	       "7\n"
	       "-y\n+Y\n");
	expect("x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n",
	       "--- old\n+++ new\n@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n");
	expect("a\r\n", "a\n", "--- old\n+++ new\n@@ -1 +1 @@\n-a\r\n+a\n");
	expect("1\n2\n3\n", "0\n1\n2\n3\n", "--- old\n+++ new\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n");
}

static void test_binary(void **state)
{
	(void)state;
	assert_int_equal(diff("a\0b", 3, "a\0c", 3), 1);
	assert_string_equal(told, "Binary files old and new differ\n");
	assert_int_equal(diff("a\0b", 3, "a\0b", 3), 0);
	assert_string_equal(told, "");
}

/* What patch(1) would make of @old_text by what is told; counts the lines that it takes away and adds. */
static size_t apply(const char *old_text, char *ret, size_t *ret_changes)
{
	const char *from = old_text;
	char *p = told;
	size_t len = 0, line = 1;

	*ret_changes = 0;
	for (int skip = 0; skip < 2 && *p; skip++)
		p = strchr(p, '\n') + 1;
	while (*p) {
		size_t start, cnt = 1;

		assert_memory_equal(p, "@@ -", 4);
		start = strtoul(p + 4, &p, 10);
		if (*p == ',')
			cnt = strtoul(p + 1, &p, 10);
		p = strchr(p, '\n') + 1;
		for (; line < start + !cnt; line++) {
			const char *end = strchr(from, '\n') + 1;

			memcpy(ret + len, from, (size_t)(end - from));
			len += (size_t)(end - from);
			from = end;
		}
		for (; *p && *p != '@'; p = strchr(p, '\n') + 1) {
			size_t n = strcspn(p + 1, "\n") + 1;

			if (*p != '+') {
				assert_memory_equal(from, p + 1, n);
				from += n;
				line++;
			}
			if (*p != '-') {
				memcpy(ret + len, p + 1, n);
				len += n;
			}
			*ret_changes += *p != ' ';
		}
	}
	strcpy(ret + len, from);
	return len + strlen(from);
}

static uint32_t seed = 7;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* The number of changes that cannot be done with less: by the table of longest common subsequences. */
static size_t least(const int *a, int n, const int *b, int m)
{
	static int best[64][64];

	for (int i = n; i >= 0; i--)
		for (int j = m; j >= 0; j--)
			best[i][j] = i == n || j == m		       ? 0
				     : a[i] == b[j]		       ? best[i + 1][j + 1] + 1
				     : best[i + 1][j] > best[i][j + 1] ? best[i + 1][j]
								       : best[i][j + 1];
	return (size_t)(n + m - 2 * best[0][0]);
}

static void fill(char *text, size_t room, int *numbers, int cnt, int kinds)
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 0; i < cnt; i++) {
		numbers[i] = (int)any((uint32_t)kinds);
		len += (size_t)snprintf(text + len, room - len, "%d\n", numbers[i]);
	}
}

static void test_at_random(void **state)
{
	char old_text[512], new_text[512], made[2048];
	int a[64], b[64];
	size_t changes, len;
	(void)state;

	for (int round = 0; round < 3000; round++) {
		int n = (int)any(40), m = (int)any(40), kinds = 2 + (int)any(10);

		fill(old_text, sizeof(old_text), a, n, kinds);
		fill(new_text, sizeof(new_text), b, m, kinds);
		assert_int_equal(diff(old_text, strlen(old_text), new_text, strlen(new_text)),
				 strcmp(old_text, new_text) != 0);
		len = apply(old_text, made, &changes);
		assert_int_equal(len, strlen(new_text));
		assert_string_equal(made, new_text);
		assert_int_equal(changes, least(a, n, b, m));
	}
}

/* More differences than are looked for: still right. */
static void test_much(void **state)
{
	static char old_text[ROOM], new_text[ROOM], made[2 * ROOM];
	size_t old_len = 0, new_len = 0, changes;
	(void)state;

	for (int i = 0; i < 4000; i++) {
		const char *word = i % 2 ? "same" : NULL;

		old_len += (size_t)snprintf(old_text + old_len, ROOM - old_len, "%s %d\n",
					    word ? word : "old", i);
		new_len += (size_t)snprintf(new_text + new_len, ROOM - new_len, "%s %d\n",
					    word ? word : "new", i);
	}
	assert_int_equal(diff(old_text, old_len, new_text, new_len), 1);
	assert_int_equal(apply(old_text, made, &changes), new_len);
	assert_string_equal(made, new_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_diff_does),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_at_random),
		cmocka_unit_test(test_much),
	};

	return cmocka_run_group_tests_name("line_diff", tests, NULL, NULL);
}
