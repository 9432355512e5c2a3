/* SPDX-License-Identifier: Apache-2.0 */
/* fs_sys_linux.c - see fs_sys.h */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fs_sys.h"

int mf_fs_sys_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EINVAL || errno == ENOSYS ? -ENOTSUP : -errno;
}

int mf_fs_sys_clone(int from, int to)
{
	return ioctl(to, FICLONE, from) == 0 ? 0 : -errno;
}

int64_t mf_fs_sys_copy(int from, int to, int64_t off, uint64_t len)
{
	off_t in = off, out = off;
	ssize_t n = copy_file_range(from, &in, to, &out, (size_t)len, 0);

	return n < 0 ? -errno : n;
}

/* Return: 0 or a negative errno; a value that grows meanwhile is read again. */
static int copy_one(int from, int to, const char *name)
{
	char small[1024], *value = small;
	ssize_t len = fgetxattr(from, name, small, sizeof(small));
	int r = 0;

	while (len < 0 && errno == ERANGE) {
		ssize_t want = fgetxattr(from, name, NULL, 0);

		if (value != small)
			free(value);
		value = small;
		if (want < 0)
			break;
		value = malloc((size_t)want + 1);
		if (!value)
			return -ENOMEM;
		len = fgetxattr(from, name, value, (size_t)want + 1);
	}
	if (len < 0)
		r = errno == ENODATA ? 0 : -errno;
	else if (fsetxattr(to, name, value, (size_t)len, 0) < 0)
		r = -errno;
	if (value != small)
		free(value);
	// Labels and capabilities are for those to set who may; the file is kept all the same.
	return r == -EPERM || r == -EACCES || r == -EOPNOTSUPP ? 0 : r;
}

int mf_fs_sys_xattrs(int from, int to)
{
	char small[1024], *names = small;
	ssize_t len = flistxattr(from, small, sizeof(small));
	int r = 0;

	if (len < 0 && errno == ERANGE) {
		// XATTR_LIST_MAX: the kernel has no longer lists
		names = malloc(65536);
		if (!names)
			return -ENOMEM;
		len = flistxattr(from, names, 65536);
	}
	if (len < 0)
		r = errno == EOPNOTSUPP ? 0 : -errno;
	for (ssize_t at = 0; r == 0 && at < len; at += (ssize_t)strlen(names + at) + 1)
		r = copy_one(from, to, names + at);
	if (names != small)
		free(names);
	return r;
}

bool mf_fs_sys_has_xattrs(int fd)
{
	return flistxattr(fd, NULL, 0) > 0;
}

int mf_fs_sys_mount_id(int fd, uint64_t *ret)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) < 0)
		return -errno;
	if (st.stx_mask & STATX_MNT_ID)
		*ret = st.stx_mnt_id;
	else // Linux before 5.8: the device must do
		*ret = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	return 0;
}
