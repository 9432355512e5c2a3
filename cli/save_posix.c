/* SPDX-License-Identifier: Apache-2.0 */
/* save_posix.c - see save.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/save.h"
#include "core/base/err.h"

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd);
}

static int replace(const char *path, const char *temporary, int fd, const char *text, size_t len)
{
	struct stat st;
	int r = stat(path, &st);

	/* Another owner is kept where the system lets it be; the mode must be. */
	if (r == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
		errno = 0;
	if (r == 0)
		r = fchmod(fd, st.st_mode & 07777);
	if (r == 0)
		r = write_all(fd, text, len);
	if (r == 0)
		r = rename(temporary, path);
	return r;
}

int mf_save_file(const char *path, const char *text, size_t len, struct mf_err *err)
{
	char *real = realpath(path, NULL), *temporary = NULL;
	int fd = -1, r = -1;

	if (real && (temporary = malloc(strlen(real) + sizeof(".XXXXXX")))) {
		sprintf(temporary, "%s.XXXXXX", real);
		fd = mkstemp(temporary);
	}
	if (fd >= 0) {
		r = replace(real, temporary, fd, text, len);
		if (r < 0) {
			int saved = errno;

			unlink(temporary);
			errno = saved;
		}
		close(fd);
	}
	if (r < 0)
		mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	free(real);
	free(temporary);
	return r < 0 ? MF_E_IO : 0;
}
