/* SPDX-License-Identifier: Apache-2.0 */
/* source_linux.c - see source_linux.h */
#include "fs/source_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define WANTED (STATX_BASIC_STATS | STATX_BTIME)

static int beneath(int dir_fd, const char *name, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
					   RESOLVE_NO_SYMLINKS };
	long fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

int mf_fs_source_open_dir(int dir_fd, const char *name)
{
	return beneath(dir_fd, name, O_PATH | O_DIRECTORY);
}

int mf_fs_source_open_path(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mf_fs_source_open_file(int dir_fd, const char *name, int flags, mode_t mode)
{
	int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);

	return fd < 0 ? -errno : fd;
}

int mf_fs_source_stat(int dir_fd, const char *name, struct statx *ret)
{
	return statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, WANTED, ret) < 0 ? -errno
											   : 0;
}

int mf_fs_source_stat_fd(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH, WANTED, ret) < 0 ? -errno : 0;
}

const char *mf_fs_source_proc(int fd, char ret[MF_FS_PROC_ROOM])
{
	snprintf(ret, MF_FS_PROC_ROOM, "/proc/self/fd/%d", fd);
	return ret;
}

static struct timespec to_timespec(const struct statx_timestamp *t)
{
	return (struct timespec){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

void mf_fs_source_to_stat(const struct statx *stx, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = (blksize_t)stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = to_timespec(&stx->stx_atime),
		.st_mtim = to_timespec(&stx->stx_mtime),
		.st_ctim = to_timespec(&stx->stx_ctime),
	};
}

/* Whom the kernel takes a thread for is the thread's own matter; so is what we remember of it. */
static __thread struct {
	bool known, root;
	uid_t uid;
	gid_t gid;
	mode_t umask;
} self;

/* A change of the user id takes the rights over files away, which are still permitted: the kernel has checked already. */
static int regain_rights(void)
{
	const uint32_t files = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
			       1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID;
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	if (syscall(SYS_capget, &h, caps) < 0)
		return -errno;
	caps[0].effective |= caps[0].permitted & files;
	return syscall(SYS_capset, &h, caps) < 0 ? -errno : 0;
}

int mf_fs_source_become(uid_t uid, gid_t gid, mode_t mask)
{
	int r = 0;

	if (!self.known) {
		/* The umask of one thread, not of all. */
		if (unshare(CLONE_FS) < 0)
			return -errno;
		self.known = true;
		self.uid = geteuid();
		self.root = self.uid == 0;
		self.gid = getegid();
		(void)umask(mask);
		self.umask = mask;
	}
	if (self.umask != mask) {
		(void)umask(mask);
		self.umask = mask;
	}
	if (!self.root || (self.uid == uid && self.gid == gid))
		return 0;
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	self.uid = uid;
	self.gid = gid;
	if ((gid_t)setfsgid((gid_t)-1) != gid || (uid_t)setfsuid((uid_t)-1) != uid)
		r = -EPERM;
	return r < 0 ? r : regain_rights();
}
