/* SPDX-License-Identifier: Apache-2.0 */
/* redirect_posix.c - see redirect_posix.h */
#include "fs/redirect_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file_copy_posix.h"
#include "fs/fs_sys.h"

enum mf_fs_need mf_fs_need_of(enum mf_fs_op op)
{
	switch (op) {
	case MF_FS_CREATE_READ:
	case MF_FS_CREATE_WRITE:
	case MF_FS_CREATE_BOTH:
	case MF_FS_MKDIR:
	case MF_FS_MKNOD:
	case MF_FS_SYMLINK:
		return MF_FS_NEED_DIRECTORY;
	case MF_FS_UNLINK:
	case MF_FS_RMDIR:
		return MF_FS_NEED_NAME;
	default:
		return mf_fs_op_changes_content(op) ? MF_FS_NEED_CONTENT : MF_FS_NEED_IT;
	}
}

/* The target as seen from the result: the source for what lies in the mount, else the host's root. */
static int base_of(const struct mf_fs_redirect_base *base, const char **path)
{
	size_t len = strlen(base->root);
	bool source = strncmp(*path, base->root, len) == 0 && (*path)[len] == '/';

	if (source)
		*path += len;
	return base->open(base->ctx, source);
}

/* One component down; takes @fd. */
static int descend(const struct mf_fs_redirect_base *base, int fd, const char *name, bool make)
{
	int next = base->open_dir(fd, name);

	if (next == -ENOENT && make) {
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			next = -errno;
		else
			next = base->open_dir(fd, name);
	}
	close(fd);
	return next;
}

int mf_fs_redirect_open(const struct mf_fs_redirect_base *base, const char *path, bool make,
			char name[MF_FS_REDIRECT_NAME])
{
	const char *slash;
	int fd = path[0] == '/' ? base_of(base, &path) : -EACCES;

	for (path++; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		size_t len = (size_t)(slash - path);

		if (len == 0 || len >= MF_FS_REDIRECT_NAME) {
			close(fd);
			return len ? -ENAMETOOLONG : -EACCES;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		fd = descend(base, fd, name, make);
	}
	if (fd < 0)
		return fd;
	if (!*path || strlen(path) >= MF_FS_REDIRECT_NAME) {
		close(fd);
		return *path ? -ENAMETOOLONG : -EACCES;
	}
	memcpy(name, path, strlen(path) + 1);
	return fd;
}

bool mf_fs_redirect_is_there(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int mf_fs_redirect_copy(int from, int dir_fd, const char *name, const void *own)
{
	char temp[64];
	struct stat st;
	bool cloned;
	int r;

	if (fstat(from, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EROFS;
	snprintf(temp, sizeof(temp), ".mf-cow-%d-%p", (int)getpid(), own);
	r = mf_file_copy(from, &st, dir_fd, temp, 0, false, &cloned);
	if (r == 0)
		r = mf_fs_sys_rename_new(dir_fd, temp, dir_fd, name);
	(void)unlinkat(dir_fd, temp, 0);
	return r == -EEXIST ? 0 : r;
}
