/* SPDX-License-Identifier: Apache-2.0 */
/* private_dir_posix.c - see private_dir.h: modes, owners, and openat() so that nothing is looked up twice */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/private_dir.h"

#define OTHERS (S_IRWXG | S_IRWXO)

struct mf_private_dir {
	int fd;
	char path[];
};

/* The directories above @path, as far as they are missing. */
static int make_above(const char *path)
{
	char above[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(above)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(above, path, len + 1);
	for (char *p = above + 1; *p; p++) {
		if (*p != '/' || p[1] == '/' || p[1] == '\0')
			continue;
		*p = '\0';
		if (mkdir(above, 0755) < 0 && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return 0;
}

static int check(const char *path, const char *name, const struct stat *st, struct mf_err *err)
{
	const char *slash = name ? "/" : "";

	name = name ? name : "";
	if (st->st_uid != geteuid())
		return mf_err_set(err, MF_E_PERM, "%s%s%s belongs to user %ju, not to user %ju.",
				  path, slash, name, (uintmax_t)st->st_uid, (uintmax_t)geteuid());
	if (st->st_mode & OTHERS)
		return mf_err_set(err, MF_E_PERM,
				  "%s%s%s is open to others (mode %04o): make it %s.", path, slash,
				  name, (unsigned)(st->st_mode & 07777), *name ? "0600" : "0700");
	return 0;
}

int mf_private_dir_open(const char *path, bool make, struct mf_private_dir **ret_dir,
			struct mf_err *err)
{
	size_t len = strlen(path);
	struct mf_private_dir *d;
	struct stat st;
	int r;

	while (len > 1 && path[len - 1] == '/') // "link/" would be followed
		len--;
	d = malloc(sizeof(*d) + len + 1);
	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	memcpy(d->path, path, len);
	d->path[len] = '\0';
	if (make && (make_above(d->path) < 0 || (mkdir(d->path, 0700) < 0 && errno != EEXIST))) {
		r = mf_err_set(err, MF_E_IO, "Cannot make the directory %s: %s.", path,
			       strerror(errno));
		goto fail;
	}
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d->fd < 0) {
		if (errno == ENOTDIR || errno == ELOOP)
			r = mf_err_set(err, MF_E_PERM, "%s is a link or a file, no directory.",
				       d->path);
		else
			r = mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO,
				       "Cannot open the directory %s: %s.", d->path,
				       strerror(errno));
		goto fail;
	}
	r = fstat(d->fd, &st) == 0 ? check(d->path, NULL, &st, err) : MF_E_IO;
	if (r < 0) {
		close(d->fd);
		goto fail;
	}
	*ret_dir = d;
	return 0;
fail:
	free(d);
	return r;
}

void mf_private_dir_close(struct mf_private_dir *d)
{
	if (!d)
		return;
	close(d->fd);
	free(d);
}

int mf_private_dir_lock(struct mf_private_dir *d, struct mf_err *err)
{
	int r;

	do
		r = flock(d->fd, LOCK_EX);
	while (r < 0 && errno == EINTR);
	return r == 0 ? 0
		      : mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", d->path, strerror(errno));
}

static int read_all(int fd, unsigned char *buf, size_t size, size_t *ret_len)
{
	size_t len = 0;

	for (;;) {
		unsigned char beyond;
		ssize_t n = len < size ? read(fd, buf + len, size - len) : read(fd, &beyond, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_E_IO;
		if (n == 0)
			break;
		if (len == size)
			return MF_E_LIMIT;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

int mf_private_dir_read(const struct mf_private_dir *d, const char *name, void *buf, size_t size,
			size_t *ret_len, struct mf_err *err)
{
	struct stat st;
	int r, fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		if (errno == ELOOP)
			return mf_err_set(err, MF_E_PERM, "%s/%s is a link.", d->path, name);
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "Cannot open %s/%s: %s.", d->path, name, strerror(errno));
	}
	if (fstat(fd, &st) < 0)
		r = mf_err_set(err, MF_E_IO, "Cannot look at %s/%s: %s.", d->path, name,
			       strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = mf_err_set(err, MF_E_PERM, "%s/%s is no regular file.", d->path, name);
	else
		r = check(d->path, name, &st, err);
	if (r == 0) {
		r = read_all(fd, buf, size, ret_len);
		if (r == MF_E_LIMIT)
			mf_err_set(err, r, "%s/%s is longer than %zu bytes.", d->path, name, size);
		else if (r < 0)
			mf_err_set(err, r, "Cannot read %s/%s: %s.", d->path, name,
				   strerror(errno));
	}
	close(fd);
	return r;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

int mf_private_dir_write(const struct mf_private_dir *d, const char *name, const void *data,
			 size_t len, struct mf_err *err)
{
	int error, fd;

	if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
		goto fail;
	fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		goto fail;
	if (write_all(fd, data, len) == 0 && close(fd) == 0)
		return 0;
	error = errno;
	(void)unlinkat(d->fd, name, 0);
	errno = error;
fail:
	return mf_err_set(err, MF_E_IO, "Cannot write %s/%s: %s.", d->path, name, strerror(errno));
}

int mf_private_dir_rename(const struct mf_private_dir *d, const char *from, const char *to,
			  struct mf_err *err)
{
	if (renameat(d->fd, from, d->fd, to) < 0)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "Cannot rename %s/%s to %s: %s.", d->path, from, to,
				  strerror(errno));
	// Some file systems cannot do this, and then need no such thing.
	(void)fsync(d->fd);
	return 0;
}

int mf_private_dir_remove(const struct mf_private_dir *d, const char *name, struct mf_err *err)
{
	if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
		return mf_err_set(err, MF_E_IO, "Cannot remove %s/%s: %s.", d->path, name,
				  strerror(errno));
	return 0;
}

const char *mf_private_dir_access(const struct mf_private_dir *d, const char *name, char *buf,
				  size_t size)
{
	struct stat st;

	buf[0] = '\0';
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		snprintf(buf, size, "mode %04o", (unsigned)(st.st_mode & 07777));
	return buf;
}
