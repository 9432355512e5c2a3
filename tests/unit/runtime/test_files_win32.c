/* SPDX-License-Identifier: Apache-2.0 */
/* test_files_win32.c - names that Windows reads otherwise than they look, long paths, and directories that are watched */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#include "core/policy/dirwatch.h"
#include "core/policy/files.h"
#include "core/policy/source.h"
#include "tests/os/os.h"
#include "tests/unit/runtime/tree.h"
#include "tests/unit/test.h"

static struct mf_err err;

static int read_below(const char *name, char **text)
{
	size_t len;

	*text = NULL;
	return mf_file_read_below(tree_path("p"), name, 1000, text, &len, &err);
}

static void names_that_leave_the_directory_are_refused(void **state)
{
	/* Drives, streams, devices by path, and what Windows makes of dots and blanks at the end. */
	static const char *const out[] = {
		"..\\secret.txt",
		"data\\..\\..\\secret.txt",
		"..",
		"data/..",
		".. ",
		"data/.. /x",
		"C:secret.txt",
		"C:/x",
		"\\x",
		"\\\\server\\x",
		"\\\\?\\C:\\x",
		"a.txt:stream",
		"a.txt::$DATA",
		"data/a.txt.",
		"data/a.txt ",
		"...",
		"/x",
		"",
	};
	char *text;

	(void)state;
	tree_write("p/a.txt", "a");
	tree_write("p/data/a.txt", "below");
	tree_write("secret.txt", "secret");
	for (size_t i = 0; i < MF_ARRAY_SIZE(out); i++)
		if (read_below(out[i], &text) != MF_E_PERM)
			fail_msg("\"%s\" is not refused", out[i]);
	assert_int_equal(read_below("data/a.txt", &text), 0);
	assert_string_equal(text, "below");
	free(text);
	assert_int_equal(read_below("data\\a.txt", &text), 0);
	free(text);
	assert_int_equal(read_below("./data/./a.txt", &text), 0);
	free(text);
	assert_int_equal(read_below("none.txt", &text), MF_E_NOENT);
	assert_int_equal(read_below("data", &text), MF_E_IO);
}

static void devices_are_no_files(void **state)
{
	static const char *const devices[] = { "NUL", "nul", "CON", "NUL.txt" };
	char *text;
	size_t len;

	(void)state;
	tree_write("p/a.txt", "a");
	for (size_t i = 0; i < MF_ARRAY_SIZE(devices); i++) {
		assert_true(mf_file_kind_of(devices[i]) != MF_FILE_REGULAR);
		assert_true(mf_file_read(devices[i], 100, &text, &len, &err) < 0);
		assert_true(read_below(devices[i], &text) < 0);
	}
}

static void names_are_utf8(void **state)
{
	static const char name[] = "p/"
				   "\xd0\xbf\xd0\xbe\xd0\xbb\xd0\xb8\xd1\x82\xd0\xb8\xd0\xba\xd0"
				   "\xb0-\xf0\x9f\x94\x92.lua";
	struct mf_file_list list;
	char *text;
	size_t len;

	(void)state;
	tree_write("p/a.lua", "");
	{
		/* fopen() cannot make it. */
		wchar_t wide[MAX_PATH];
		HANDLE h;
		DWORD n;

		assert_true(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, tree_path(name), -1,
						wide, MAX_PATH) > 0);
		h = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
		assert_true(h != INVALID_HANDLE_VALUE);
		assert_true(WriteFile(h, "return 1", 8, &n, NULL));
		CloseHandle(h);
	}
	assert_int_equal(mf_file_kind_of(tree_path(name)), MF_FILE_REGULAR);
	assert_int_equal(mf_file_read(tree_path(name), 100, &text, &len, &err), 0);
	assert_string_equal(text, "return 1");
	free(text);
	assert_int_equal(mf_file_list_dir(tree_path("p"), 10, &list, &err), 0);
	assert_int_equal(list.cnt, 2);
	assert_string_equal(list.items[1].name, name + 2);
	mf_file_list_done(&list);
	assert_int_equal(mf_file_kind_of("\xff\xfe"), MF_FILE_NONE);
	assert_int_equal(mf_file_read("\xff\xfe", 100, &text, &len, &err), MF_E_IO);
}

static void paths_may_be_longer_than_max_path(void **state)
{
	char path[1024], *text;
	size_t len, n;

	(void)state;
	n = (size_t)snprintf(path, sizeof(path), "%s", tree_dir);
	for (int i = 0; i < 6; i++) {
		n += (size_t)snprintf(path + n, sizeof(path) - n, "/%060d", i);
		assert_int_equal(test_make_dir(path), 0);
	}
	assert_true(n > MAX_PATH);
	assert_int_equal(mf_file_kind_of(path), MF_FILE_DIR);
	assert_int_equal(mf_file_read(path, 100, &text, &len, &err), MF_E_IO);
	assert_int_equal(mf_file_read_below(path, "none", 100, &text, &len, &err), MF_E_NOENT);
}

static void sizes_are_bounded(void **state)
{
	char *text;
	size_t len;

	(void)state;
	tree_write("f", "12345");
	assert_int_equal(mf_file_read(tree_path("f"), 5, &text, &len, &err), 0);
	assert_int_equal(len, 5);
	free(text);
	assert_int_equal(mf_file_read(tree_path("f"), 4, &text, &len, &err), MF_E_LIMIT);
	assert_int_equal(mf_file_read(tree_path("none/f"), 4, &text, &len, &err), MF_E_NOENT);
}

static void what_users_type_is_a_path(void **state)
{
	static const struct {
		const char *typed, *path;
		size_t root;
	} cases[] = {
		{ "C:\\a\\b.lua", "C:/a/b.lua", 3 },
		{ "C:b.lua", "C:./b.lua", 2 },
		{ "C:\\b.lua", "C:/b.lua", 3 },
		{ "a\\b/c", "a/b/c", 0 },
		{ "\\a", "/a", 1 },
		{ "\\\\server\\share\\a", "//server/share/a", 1 },
		{ "", "", 0 },
		{ "C:", "C:", 2 },
	};
	const char *path;
	struct mf_source_set *set;
	char typed[1024];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		char *clean = mf_file_path_dup(cases[i].typed);

		assert_string_equal(clean, cases[i].path);
		assert_int_equal(mf_file_root_len(clean), cases[i].root);
		free(clean);
	}
	tree_write("p/policy.lua", "return {}");
	snprintf(typed, sizeof(typed), "%s", tree_path("p/policy.lua"));
	for (char *p = typed; *p; p++)
		*p = *p == '/' ? '\\' : *p;
	path = typed;
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	assert_int_equal(mf_source_set_count(set), 1);
	assert_string_equal(mf_source_set_policy(set, 0)->pack, "policy");
	mf_source_set_unref(set);
}

static void each_dir(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx)
{
	const char *const *paths = ctx;

	for (; *paths; paths++)
		add(add_ctx, *paths);
}

#define WAIT_MS 60000

static void directories_tell_of_changes(void **state)
{
	char a[512], b[512];
	const char *paths[] = { a, b, NULL };
	struct mf_dirwatch *d;
	bool changed;

	(void)state;
	snprintf(a, sizeof(a), "%s/a", tree_dir);
	snprintf(b, sizeof(b), "%s/b/f.txt", tree_dir);
	tree_write("a/x", "1");
	tree_write("b/f.txt", "1");
	assert_int_equal(mf_dirwatch_new(&d, &err), 0);
	/* Nothing is watched yet. */
	assert_int_equal(mf_dirwatch_wait(d, 0), 0);
	assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	assert_true(changed); /* another list than before */
	assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	assert_false(changed);
	assert_int_equal(mf_dirwatch_wait(d, 0), 0);
	tree_write("a/y", "1");
	assert_int_equal(mf_dirwatch_wait(d, WAIT_MS), 1);
	/* The file's directory, by a file replaced in it; told by the renewal as well as by a wait. */
	while (mf_dirwatch_wait(d, 100) > 0)
		;
	tree_write("b/f.txt", "2");
	do {
		assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	} while (!changed);
	/* A watched directory goes away and another comes: the one around it tells. */
	while (mf_dirwatch_wait(d, 100) > 0)
		;
	assert_int_equal(test_rename(a, tree_path("elsewhere")), 0);
	assert_int_equal(mf_dirwatch_wait(d, WAIT_MS), 1);
	assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	while (mf_dirwatch_wait(d, 100) > 0)
		;
	tree_write("elsewhere/z", "1");
	assert_int_equal(mf_dirwatch_wait(d, 100), 0);
	assert_int_equal(test_make_dir(a), 0);
	assert_int_equal(mf_dirwatch_wait(d, WAIT_MS), 1);
	assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	while (mf_dirwatch_wait(d, 100) > 0)
		;
	tree_write("a/z", "1");
	assert_int_equal(mf_dirwatch_wait(d, WAIT_MS), 1);
	/* Many renewals keep nothing that is not watched. */
	for (int i = 0; i < 200; i++)
		assert_int_equal(mf_dirwatch_renew(d, each_dir, paths, &changed), 0);
	mf_dirwatch_stop(d);
	assert_int_equal(mf_dirwatch_wait(d, -1), -1);
	mf_dirwatch_free(d);
}

static void many_each(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx)
{
	for (int i = 0; i <= MF_DIRWATCH_MAX; i++)
		add(add_ctx, ctx);
}

static void too_many_directories_are_a_limit(void **state)
{
	struct mf_dirwatch *d;
	bool changed;

	(void)state;
	tree_write("a/x", "1");
	assert_int_equal(mf_dirwatch_new(&d, &err), 0);
	assert_int_equal(mf_dirwatch_renew(d, many_each, tree_dir, &changed), MF_E_LIMIT);
	/* Then nothing is watched, and waiting is waiting. */
	tree_write("a/y", "1");
	assert_int_equal(mf_dirwatch_wait(d, 20), 0);
	mf_dirwatch_free(d);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)
	const struct CMUnitTest tests[] = {
		T(names_that_leave_the_directory_are_refused),
		T(devices_are_no_files),
		T(names_are_utf8),
		T(paths_may_be_longer_than_max_path),
		T(sizes_are_bounded),
		T(what_users_type_is_a_path),
		T(directories_tell_of_changes),
		T(too_many_directories_are_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
