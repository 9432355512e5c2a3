/* SPDX-License-Identifier: Apache-2.0 */
/* path_source_linux.c - see path_source.h */
#include "fs/path_source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/source_linux.h"

int mf_path_source_open_dir(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mf_path_source_rename_of(unsigned flags)
{
	switch (flags) {
	case 0:
		return MF_PATH_RENAME_PLAIN;
	case RENAME_NOREPLACE:
		return MF_PATH_RENAME_NEW;
	case RENAME_EXCHANGE:
		return MF_PATH_RENAME_SWAP;
	default:
		return -EINVAL;
	}
}

int mf_path_source_rename(int from_dir, const char *from, int to_dir, const char *to,
			  enum mf_path_rename how)
{
	static const unsigned flags[] = { 0, RENAME_NOREPLACE, RENAME_EXCHANGE };

	return renameat2(from_dir, from, to_dir, to, flags[how]) < 0 ? -errno : 0;
}

int mf_path_source_mknod(int dir_fd, const char *name, mode_t mode, dev_t dev)
{
	return mknodat(dir_fd, name, mode, dev) < 0 ? -errno : 0;
}

int64_t mf_path_source_born_ns(int dir_fd, const char *name)
{
	struct statx stx;

	if (mf_fs_source_stat(dir_fd, name, &stx) < 0 || !(stx.stx_mask & STATX_BTIME))
		return 0;
	return mf_fs_source_ns(&stx.stx_btime);
}

int mf_path_source_fallocate(int fd, int mode, off_t off, off_t len)
{
	return fallocate(fd, mode, off, len) < 0 ? -errno : 0;
}

int mf_path_source_frees(int mode)
{
	return (mode & ~FALLOC_FL_KEEP_SIZE) != 0;
}

/* A path that leads to what @name is, for calls that follow links. */
static int reach(int dir_fd, const char *name, char proc[MF_FS_PROC_ROOM])
{
	int fd = mf_fs_source_open_path(dir_fd, name);

	if (fd >= 0)
		(void)mf_fs_source_proc(fd, proc);
	return fd;
}

ssize_t mf_path_source_get_xattr(int dir_fd, const char *name, const char *attr, void *value,
				 size_t size)
{
	char proc[MF_FS_PROC_ROOM];
	int fd = reach(dir_fd, name, proc);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = getxattr(proc, attr, value, size);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

ssize_t mf_path_source_list_xattr(int dir_fd, const char *name, char *list, size_t size)
{
	char proc[MF_FS_PROC_ROOM];
	int fd = reach(dir_fd, name, proc);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = listxattr(proc, list, size);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

int mf_path_source_set_xattr(int dir_fd, const char *name, const char *attr, const void *value,
			     size_t size, int flags)
{
	char proc[MF_FS_PROC_ROOM];
	int fd = reach(dir_fd, name, proc), r;

	if (fd < 0)
		return fd;
	r = setxattr(proc, attr, value, size, flags) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int mf_path_source_remove_xattr(int dir_fd, const char *name, const char *attr)
{
	char proc[MF_FS_PROC_ROOM];
	int fd = reach(dir_fd, name, proc), r;

	if (fd < 0)
		return fd;
	r = removexattr(proc, attr) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int mf_path_source_errno(int linux_errno)
{
	return linux_errno;
}
