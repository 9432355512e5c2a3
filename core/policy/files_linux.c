/* SPDX-License-Identifier: Apache-2.0 */
/* files_linux.c - files_posix.h with openat2(2): the kernel itself keeps a name below its directory */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/policy/files_posix.h"

/* For kernels before 5.6 and filters that refuse openat2(): one component at a time, no links at all. */
static int open_by_walking(int dirfd, const char *name)
{
	int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0), next, error;
	const char *p = name, *end;
	char part[256];

	while (fd >= 0) {
		end = strchrnul(p, '/');
		if ((size_t)(end - p) >= sizeof(part)) {
			close(fd);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(part, p, (size_t)(end - p));
		part[end - p] = '\0';
		next = openat(fd, part[0] ? part : ".",
			      O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW |
				      (*end ? O_DIRECTORY : 0));
		error = errno == ELOOP ? EXDEV : errno;
		close(fd);
		errno = error;
		fd = next;
		if (!*end)
			break;
		p = end + 1;
	}
	return fd;
}

int mf_file_open_below(const char *dir, const char *name, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, tries = 8, error;

	(void)path;
	if (dirfd < 0)
		return -1;
	/* EAGAIN: a rename happened on the way and the kernel could not rule out an escape. */
	do {
		fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	} while (fd < 0 && errno == EAGAIN && --tries);
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = open_by_walking(dirfd, name);
	error = errno;
	close(dirfd);
	errno = error;
	return fd;
}
