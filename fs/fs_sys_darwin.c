/* SPDX-License-Identifier: Apache-2.0 */
/* fs_sys_darwin.c - see fs_sys.h */
#include <copyfile.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/param.h>
#include <unistd.h>

#include "fs/fs_sys.h"

int mf_fs_sys_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameatx_np(from_dir, from, to_dir, to, RENAME_EXCL) == 0)
		return 0;
	return errno == EINVAL ? -ENOTSUP : -errno;
}

int mf_fs_sys_clone(int from, int to)
{
	// A clone is made with its name here, never of an open file.
	(void)from;
	(void)to;
	return -EOPNOTSUPP;
}

int64_t mf_fs_sys_copy(int from, int to, int64_t off, uint64_t len)
{
	(void)from;
	(void)to;
	(void)off;
	(void)len;
	return -EOPNOTSUPP;
}

int mf_fs_sys_xattrs(int from, int to)
{
	return fcopyfile(from, to, NULL, COPYFILE_XATTR | COPYFILE_ACL) == 0 ? 0 : -errno;
}

bool mf_fs_sys_has_xattrs(int fd)
{
	(void)fd; // those who ask copy what there is, were it nothing
	return true;
}

int mf_fs_sys_mount_id(int fd, uint64_t *ret)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)(uint32_t)st.f_fsid.val[0] << 32 | (uint32_t)st.f_fsid.val[1];
	return 0;
}
