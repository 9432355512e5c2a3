/* SPDX-License-Identifier: Apache-2.0 */
/* test_files.c - files_darwin.c with files_posix.c and files.c, compiled in here; what F_GETPATH tells comes out of /proc */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define F_GETPATH 50

/* Stands for fcntl() in that file, which calls it for this alone. */
static int get_path(int fd, int cmd, char *buf)
{
	char link[64];
	ssize_t n;

	if (cmd != F_GETPATH) {
		errno = EINVAL;
		return -1;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	if (n < 0)
		return -1;
	buf[n] = '\0';
	return 0;
}

#define fcntl get_path
#include "core/policy/files_darwin.c"
#undef fcntl
#include "core/policy/files.c"
#include "core/policy/files_posix.c"

#include "tests/unit/test.h"

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][200];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, 200, "%s/%s", dir, name);
	return p;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int read_below(const char *name, const char *want)
{
	size_t len = 0;
	char *text = NULL;
	int e = mf_file_read_below(in_dir("root"), name, 1000, &text, &len, NULL);

	if (!e) {
		assert_string_equal(text, want);
		assert_int_equal(len, strlen(want));
	}
	free(text);
	return e;
}

static void files_below_are_read_and_nothing_else(void **state)
{
	(void)state;
	write_file(in_dir("root/a.txt"), "inside");
	write_file(in_dir("root/sub/b.txt"), "deeper");
	write_file(in_dir("secret"), "outside");
	write_file(in_dir("root-too"), "a neighbour whose name begins alike");
	assert_int_equal(read_below("a.txt", "inside"), 0);
	assert_int_equal(read_below("sub/b.txt", "deeper"), 0);
	assert_int_equal(read_below("sub//b.txt", "deeper"), 0);
	assert_int_equal(read_below("../secret", ""), MF_E_PERM);
	assert_int_equal(read_below("sub/../../secret", ""), MF_E_PERM);
	assert_int_equal(read_below("/etc/passwd", ""), MF_E_PERM);
	assert_int_equal(read_below("", ""), MF_E_PERM);
	assert_int_equal(read_below("..", ""), MF_E_PERM);
	assert_int_equal(read_below("nothing", ""), MF_E_NOENT);
	assert_int_equal(read_below("sub", ""), MF_E_IO); /* no regular file */
	write_file(in_dir("root/..a"), "dots");
	assert_int_equal(read_below("..a", "dots"), 0);
}

static void links_may_lead_about_below_and_not_out(void **state)
{
	(void)state;
	assert_int_equal(symlink("../a.txt", in_dir("root/sub/up")), 0);
	assert_int_equal(read_below("sub/up", "inside"), 0);
	assert_int_equal(symlink("../../secret", in_dir("root/sub/out")), 0);
	assert_int_equal(read_below("sub/out", ""), MF_E_PERM);
	assert_int_equal(symlink("../root-too", in_dir("root/near")), 0);
	assert_int_equal(read_below("near", ""), MF_E_PERM);
	assert_int_equal(symlink("/etc", in_dir("root/etc")), 0);
	assert_int_equal(read_below("etc/passwd", ""), MF_E_PERM);
	/* The directory itself may be reached through a link. */
	assert_int_equal(symlink("root", in_dir("alias")), 0);
	{
		size_t len;
		char *text = NULL;

		assert_int_equal(
			mf_file_read_below(in_dir("alias"), "a.txt", 1000, &text, &len, NULL), 0);
		free(text);
	}
}

static void limits_and_odd_files_are_refused(void **state)
{
	size_t len;
	char *text;

	(void)state;
	assert_int_equal(mf_file_read(in_dir("root/a.txt"), 5, &text, &len, NULL), MF_E_LIMIT);
	assert_int_equal(mf_file_read(in_dir("root/a.txt"), 6, &text, &len, NULL), 0);
	free(text);
	assert_int_equal(mkfifo(in_dir("root/fifo"), 0600), 0);
	assert_int_equal(mf_file_read(in_dir("root/fifo"), 100, &text, &len, NULL), MF_E_IO);
	assert_int_equal(mf_file_kind_of(in_dir("root")), MF_FILE_DIR);
	assert_int_equal(mf_file_kind_of(in_dir("root/a.txt")), MF_FILE_REGULAR);
	assert_int_equal(mf_file_kind_of(in_dir("root/fifo")), MF_FILE_OTHER);
	assert_int_equal(mf_file_kind_of(in_dir("nothing")), MF_FILE_NONE);
}

static void a_listing_is_in_order_and_leaves_hidden_ones_out(void **state)
{
	struct mf_file_list list;

	(void)state;
	write_file(in_dir("root/.hidden"), "x");
	assert_int_equal(mf_file_list_dir(in_dir("root"), 100, &list, NULL), 0);
	assert_int_equal(list.cnt, 5);
	assert_string_equal(list.items[0].name, "a.txt");
	assert_int_equal(list.items[0].kind, MF_FILE_REGULAR);
	assert_string_equal(list.items[4].name, "sub");
	assert_int_equal(list.items[4].kind, MF_FILE_DIR);
	mf_file_list_done(&list);
	assert_int_equal(mf_file_list_dir(in_dir("root"), 4, &list, NULL), MF_E_LIMIT);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/moonfence-files-XXXXXX");
	return !mkdtemp(dir) || mkdir(in_dir("root"), 0700) || mkdir(in_dir("root/sub"), 0700);
}

static int teardown(void **state)
{
	static const char *const names[] = { "root/a.txt",   "root/sub/b.txt", "secret",
					     "root-too",     "root/..a",       "root/sub/up",
					     "root/sub/out", "root/near",      "root/etc",
					     "alias",	     "root/fifo",      "root/.hidden" };
	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		(void)unlink(in_dir(names[i]));
	return rmdir(in_dir("root/sub")) | rmdir(in_dir("root")) | rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_below_are_read_and_nothing_else),
		cmocka_unit_test(links_may_lead_about_below_and_not_out),
		cmocka_unit_test(limits_and_odd_files_are_refused),
		cmocka_unit_test(a_listing_is_in_order_and_leaves_hidden_ones_out),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
