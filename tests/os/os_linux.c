/* SPDX-License-Identifier: Apache-2.0 */
/* os_linux.c - see os.h */
#include "tests/os/os.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int test_temp_dir(char *ret, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	if (snprintf(ret, size, "%s/mf-test-XXXXXX", tmp ? tmp : "/tmp") >= (int)size)
		return -1;
	return mkdtemp(ret) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int test_remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int test_make_dir(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

int test_rename(const char *from, const char *to)
{
	return rename(from, to);
}

int test_link(const char *target, const char *path)
{
	return symlink(target, path);
}

int test_fifo(const char *path)
{
	return mkfifo(path, 0600);
}

bool test_is_private(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & 0777) == 0600;
}

int test_open_to_others(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? chmod(path, (st.st_mode & 0700) | 0044) : -1;
}

int test_give_away(const char *path)
{
	return chown(path, 65534, (gid_t)-1);
}

int test_pipe(int fds[2])
{
	return pipe(fds);
}

void test_close(int fd)
{
	close(fd);
}

uint64_t test_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t test_cpu_error_ns(void)
{
	return 0;
}

void test_set_env(const char *name, const char *value)
{
	setenv(name, value, 1);
}
