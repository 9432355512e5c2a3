/* SPDX-License-Identifier: Apache-2.0 */
/* test_paths.c - sets of paths, and reading them out of /proc */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "capture/internal_linux.h"

static const char proc_net_unix[] =
	"Num       RefCount Protocol Flags    Type St Inode Path\n"
	"0000000000000000: 00000002 00000000 00010000 0001 01  1001 /run/b\n"
	"0000000000000000: 00000003 00000000 00000000 0001 03  1002 /run/b\n"
	"0000000000000000: 00000003 00000000 00000000 0001 03  1003\n"
	"0000000000000000: 00000002 00000000 00010000 0001 01  1004 @/abstract\n"
	"0000000000000000: 00000002 00000000 00000000 0002 01  1005 /run/a name with spaces \n"
	"0000000000000000: 00000002 00000000 00010000 0005 01  1006 relative/name\n"
	"0000000000000000: 00000002 00000000 00010000 0001 01 1007 /last";

static void paths_of_proc_net_unix_are_taken_once_and_sorted(void **state)
{
	struct mf_capture_paths p = { 0 };

	(void)state;
	assert_int_equal(mf_capture_paths_parse_unix(&p, proc_net_unix, strlen(proc_net_unix)), 1);
	assert_int_equal(p.cnt, 3);
	assert_string_equal(p.v[0], "/last");
	assert_string_equal(p.v[1], "/run/a name with spaces ");
	assert_string_equal(p.v[2], "/run/b");
	assert_true(mf_capture_paths_has(&p, "/run/b"));
	assert_false(mf_capture_paths_has(&p, "/run/"));
	mf_capture_paths_done(&p);
}

static void any_prefix_of_the_text_is_read_without_harm(void **state)
{
	(void)state;
	for (size_t n = 0; n <= strlen(proc_net_unix); n++) {
		struct mf_capture_paths p = { 0 };
		char *copy = malloc(n ? n : 1); /* exact, so that a byte too far is seen */

		assert_non_null(copy);
		memcpy(copy, proc_net_unix, n);
		(void)mf_capture_paths_parse_unix(&p, copy, n);
		assert_true(p.cnt <= 4);
		free(copy);
		mf_capture_paths_done(&p);
	}
}

static void a_set_has_a_limit(void **state)
{
	struct mf_capture_paths p = { 0 };
	char path[32];

	(void)state;
	for (int i = 0; i < MF_CAPTURE_PATHS_MAX; i++) {
		int n = snprintf(path, sizeof(path), "/%d", i * 7919 % MF_CAPTURE_PATHS_MAX);

		assert_int_equal(mf_capture_paths_add(&p, path, (size_t)n), 1);
	}
	assert_int_equal(mf_capture_paths_add(&p, "/more", 5), MF_E_FULL);
	for (size_t i = 1; i < p.cnt; i++)
		assert_true(strcmp(p.v[i - 1], p.v[i]) < 0);
	mf_capture_paths_done(&p);
}

static void a_path_is_covered_by_itself_and_by_directories_above_it(void **state)
{
	const char *const list[] = { "/run/one", "/var/dir/" };

	(void)state;
	assert_true(mf_capture_path_covered("/run/one", list, 2));
	assert_true(mf_capture_path_covered("/run/one/x", list, 2));
	assert_false(mf_capture_path_covered("/run/one2", list, 2));
	assert_false(mf_capture_path_covered("/run", list, 2));
	assert_true(mf_capture_path_covered("/var/dir/a/b", list, 2));
	assert_true(mf_capture_path_covered("/var/dir", list, 2));
	assert_false(mf_capture_path_covered("/var/dir", list, 0));
}

static int make_socket(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void a_walk_finds_sockets_no_deeper_than_asked_and_follows_no_links(void **state)
{
	char dir[] = "/tmp/mf-test-XXXXXX", path[128], sub[64], deep[96];
	struct mf_capture_paths p = { 0 };
	unsigned budget = 100;
	int fds[3];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	snprintf(deep, sizeof(deep), "%s/deep", sub);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(symlink("sub", path), 0);
	snprintf(path, sizeof(path), "%s/top", dir);
	fds[0] = make_socket(path);
	snprintf(path, sizeof(path), "%s/below", sub);
	fds[1] = make_socket(path);
	snprintf(path, sizeof(path), "%s/hidden", deep);
	fds[2] = make_socket(path);

	mf_capture_paths_walk(&p, dir, 2, &budget);
	assert_int_equal(p.cnt, 2);
	snprintf(path, sizeof(path), "%s/below", sub);
	assert_true(mf_capture_paths_has(&p, path));
	unlink(path);
	snprintf(path, sizeof(path), "%s/top", dir);
	assert_true(mf_capture_paths_has(&p, path));
	unlink(path);
	mf_capture_paths_done(&p);

	budget = 1;
	mf_capture_paths_walk(&p, dir, 9, &budget);
	assert_int_equal(budget, 0);
	mf_capture_paths_done(&p);

	snprintf(path, sizeof(path), "%s/hidden", deep);
	unlink(path);
	snprintf(path, sizeof(path), "%s/link", dir);
	unlink(path);
	rmdir(deep);
	rmdir(sub);
	rmdir(dir);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void mount_points_that_are_sockets_are_found_with_their_escapes_undone(void **state)
{
	char dir[] = "/tmp/mf-test-XXXXXX", path[128], text[512];
	struct mf_capture_paths p = { 0 };
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a b", dir);
	fd = make_socket(path);
	snprintf(text, sizeof(text),
		 "21 1 8:1 / / rw - ext4 /dev/root rw\n30 21 0:5 /x %s/a\\040b rw - tmpfs t "
		 "rw\nshort\n",
		 dir);
	mf_capture_paths_parse_mountinfo(&p, text, strlen(text));
	assert_int_equal(p.cnt, 1);
	assert_string_equal(p.v[0], path);
	mf_capture_paths_done(&p);
	close(fd);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_of_proc_net_unix_are_taken_once_and_sorted),
		cmocka_unit_test(any_prefix_of_the_text_is_read_without_harm),
		cmocka_unit_test(a_set_has_a_limit),
		cmocka_unit_test(a_path_is_covered_by_itself_and_by_directories_above_it),
		cmocka_unit_test(a_walk_finds_sockets_no_deeper_than_asked_and_follows_no_links),
		cmocka_unit_test(mount_points_that_are_sockets_are_found_with_their_escapes_undone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
