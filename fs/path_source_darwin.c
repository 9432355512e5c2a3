/* SPDX-License-Identifier: Apache-2.0 */
/* path_source_darwin.c - see path_source.h; compiled only, never run on a Mac yet (docs/macos.md) */
#include "fs/path_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#if __has_include(<sys/xattr.h>)
#include <sys/xattr.h>
#else // the compiler of tools/check-darwin.sh has not all of Apple's headers
ssize_t fgetxattr(int fd, const char *name, void *value, size_t size, uint32_t position,
		  int options);
ssize_t flistxattr(int fd, char *list, size_t size, int options);
int fsetxattr(int fd, const char *name, const void *value, size_t size, uint32_t position,
	      int options);
int fremovexattr(int fd, const char *name, int options);
#define XATTR_CREATE  2
#define XATTR_REPLACE 4
#endif

#include "core/base/err.h"

int mf_path_source_open_dir(int dir_fd, const char *name)
{
	// O_SEARCH implies O_DIRECTORY.
	int fd = openat(dir_fd, name, O_SEARCH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mf_path_source_rename_of(unsigned flags)
{
	switch (flags) {
	case 0:
		return MF_PATH_RENAME_PLAIN;
	case RENAME_EXCL:
		return MF_PATH_RENAME_NEW;
	case RENAME_SWAP:
		return MF_PATH_RENAME_SWAP;
	default:
		return -EINVAL;
	}
}

int mf_path_source_rename(int from_dir, const char *from, int to_dir, const char *to,
			  enum mf_path_rename how)
{
	static const unsigned flags[] = { 0, RENAME_EXCL, RENAME_SWAP };

	return renameatx_np(from_dir, from, to_dir, to, flags[how]) < 0 ? -errno : 0;
}

int mf_path_source_mknod(int dir_fd, const char *name, mode_t mode, dev_t dev)
{
	// mknodat() and mkfifoat() are of macOS 13.
	(void)dir_fd;
	(void)name;
	(void)mode;
	(void)dev;
	return -ENOTSUP;
}

int64_t mf_path_source_born_ns(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return (int64_t)st.st_birthtimespec.tv_sec * 1000000000 + st.st_birthtimespec.tv_nsec;
}

int mf_path_source_fallocate(int fd, int mode, off_t off, off_t len)
{
	(void)fd;
	(void)mode;
	(void)off;
	(void)len;
	return -ENOTSUP;
}

int mf_path_source_frees(int mode)
{
	(void)mode;
	return 1;
}

/* What @name is itself; a FIFO is not waited for. Who may not read it may have the right to write. */
static int reach(int dir_fd, const char *name)
{
	const int flags = O_SYMLINK | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
	int fd = openat(dir_fd, name, O_RDONLY | flags);

	if (fd < 0 && errno == EACCES)
		fd = openat(dir_fd, name, O_WRONLY | flags);
	if (fd < 0 && errno == EACCES)
		fd = openat(dir_fd, name, O_EVTONLY | flags);
	return fd < 0 ? -errno : fd;
}

ssize_t mf_path_source_get_xattr(int dir_fd, const char *name, const char *attr, void *value,
				 size_t size)
{
	int fd = reach(dir_fd, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = fgetxattr(fd, attr, size ? value : NULL, size, 0, 0);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

ssize_t mf_path_source_list_xattr(int dir_fd, const char *name, char *list, size_t size)
{
	int fd = reach(dir_fd, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = flistxattr(fd, size ? list : NULL, size, 0);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

int mf_path_source_set_xattr(int dir_fd, const char *name, const char *attr, const void *value,
			     size_t size, int flags)
{
	int fd = reach(dir_fd, name), r;

	if (fd < 0)
		return fd;
	r = fsetxattr(fd, attr, value, size, 0, flags & (XATTR_CREATE | XATTR_REPLACE)) < 0 ? -errno
											    : 0;
	close(fd);
	return r;
}

int mf_path_source_remove_xattr(int dir_fd, const char *name, const char *attr)
{
	int fd = reach(dir_fd, name), r;

	if (fd < 0)
		return fd;
	r = fremovexattr(fd, attr, 0) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int mf_path_source_errno(int linux_errno)
{
	static const struct {
		int from, to;
	} table[] = {
		{ 11, EAGAIN },	   { 35, EDEADLK }, { 36, ENAMETOOLONG }, { 38, ENOSYS },
		{ 39, ENOTEMPTY }, { 40, ELOOP },   { 61, ENOATTR },	  { 75, EOVERFLOW },
		{ 84, EILSEQ },	   { 95, ENOTSUP }, { 110, ETIMEDOUT },	  { 116, ESTALE },
		{ 122, EDQUOT },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(table); i++)
		if (table[i].from == linux_errno)
			return table[i].to;
	/* The first 34 are older than both systems. */
	return linux_errno > 0 && linux_errno < 35 ? linux_errno : EACCES;
}
