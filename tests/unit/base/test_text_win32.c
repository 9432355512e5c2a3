/* SPDX-License-Identifier: Apache-2.0 */
/* test_text_win32.c - UTF-8 to UTF-16 and back, paths, error numbers, fopen() */
#include <errno.h>
#include <windows.h>

#include "core/base/err.h"
#include "core/base/files.h"
#include "core/base/win32.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

static void text_goes_both_ways(void **state)
{
	static const char *const texts[] = { "", "abc", "\xc3\xa9", "\xe2\x82\xac",
					     "\xf0\x9f\x94\x92" };
	static const char *const bad[] = { "\xff", "\xc0\x80", "\xed\xa0\x80", "a\xe2\x82" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++) {
		wchar_t *wide = mf_win32_wide(texts[i]);
		char *back = mf_win32_utf8(wide);

		assert_string_equal(back, texts[i]);
		free(wide);
		free(back);
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		errno = 0;
		assert_null(mf_win32_wide(bad[i]));
		assert_int_equal(errno, EILSEQ);
		assert_null(mf_win32_path(bad[i]));
	}
	{
		char *lone = mf_win32_utf8(L"a\xd800z");

		assert_string_equal(lone, "a\xef\xbf\xbdz");
		free(lone);
	}
}

static void long_paths_get_the_prefix(void **state)
{
	char text[400] = "C:/";
	wchar_t *wide;

	(void)state;
	wide = mf_win32_path("a/b\\c");
	assert_int_equal(wcscmp(wide, L"a\\b\\c"), 0);
	free(wide);
	for (int i = 0; i < 38; i++)
		strcat(text, "012345678/");
	strcat(text, "x");
	wide = mf_win32_path(text);
	assert_int_equal(wcsncmp(wide, L"\\\\?\\C:\\012345678\\", 17), 0);
	assert_int_equal(wcslen(wide), strlen(text) + 4);
	free(wide);
	text[0] = text[1] = '/'; /* //x... of a server */
	text[2] = 's';
	wide = mf_win32_path(text);
	assert_int_equal(wcsncmp(wide, L"\\\\?\\UNC\\s012345678\\", 19), 0);
	free(wide);
	/* Relative ones are made absolute. */
	wide = mf_win32_path(text + 3);
	assert_int_equal(wcsncmp(wide, L"\\\\?\\", 4), 0);
	assert_int_equal(wide[5], L':');
	free(wide);
}

static void errors_have_numbers_and_words(void **state)
{
	char buf[300], tiny[8];

	(void)state;
	assert_int_equal(mf_win32_errno(ERROR_FILE_NOT_FOUND), ENOENT);
	assert_int_equal(mf_win32_errno(ERROR_ACCESS_DENIED), EACCES);
	assert_int_equal(mf_win32_errno(ERROR_NO_DATA), EPIPE);
	assert_int_equal(mf_win32_errno(987654), EIO);
	assert_non_null(
		strstr(mf_win32_message(ERROR_ACCESS_DENIED, buf, sizeof(buf)), "(error 5)"));
	assert_null(strchr(buf, '\n'));
	assert_string_equal(mf_win32_message(0xdeadbeef, buf, sizeof(buf)), "error 3735928559");
	assert_int_equal(strlen(mf_win32_message(ERROR_ACCESS_DENIED, tiny, sizeof(tiny))), 7);
}

static void files_have_utf8_names(void **state)
{
	char dir[256], path[300], other[300], line[16];
	FILE *f;

	(void)state;
	assert_int_equal(test_temp_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/\xe2\x82\xac.txt", dir);
	errno = 0;
	assert_null(mf_fopen(path, "rbe"));
	assert_int_equal(errno, ENOENT);
	f = mf_fopen(path, "wbe");
	assert_non_null(f);
	fputs("euro\n", f);
	fclose(f);
	f = mf_fopen(path, "rb");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "euro\n");
	fclose(f);
	/* a file that is there is replaced, and by no other name is it left */
	snprintf(other, sizeof(other), "%s/\xe2\x82\xac.old", dir);
	f = mf_fopen(other, "wbe");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(mf_rename(path, other), 0);
	assert_null(mf_fopen(path, "rb"));
	f = mf_fopen(other, "rb");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "euro\n");
	fclose(f);
	errno = 0;
	assert_int_equal(mf_rename(path, other), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mf_remove(other), 0);
	assert_int_equal(mf_remove(other), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(test_remove_tree(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(long_paths_get_the_prefix),
		cmocka_unit_test(errors_have_numbers_and_words),
		cmocka_unit_test(files_have_utf8_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
