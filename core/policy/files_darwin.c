/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files_darwin.c - files_posix.h on macOS
 *
 * Names are opened first and judged by what was opened: its path, with every link resolved, must lie below the directory's.
 * So nothing can be swapped between the look and the reading.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "core/policy/files_posix.h"

/* The path of what was opened; false if it has none any more. */
static bool path_of(int fd, char buf[static MAXPATHLEN])
{
	return fcntl(fd, F_GETPATH, buf) == 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

int mf_file_open_below(const char *dir, const char *name, const char *path)
{
	char real_dir[MAXPATHLEN], real_path[MAXPATHLEN];
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, error = 0;

	(void)name;
	if (dirfd < 0)
		return -1;
	if (!path_of(dirfd, real_dir))
		error = errno;
	close(dirfd);
	fd = error ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && !path_of(fd, real_path))
		error = errno;
	else if (fd >= 0 && !is_below(real_path, real_dir))
		error = EXDEV;
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}
