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

/*
 * Whom the kernel takes a thread for is the thread's own matter; so is what we remember of it. A thread begins as the one that
 * made it was just then, which may have been serving somebody: it has to ask.
 */
static __thread struct {
	bool known, root;
	uid_t uid;
	gid_t gid;
	mode_t umask;
} self;

/* Of this thread: what the kernel would tell, so that it need not be asked each time. */
static __thread struct {
	bool known, no_fsetid; /* CAP_FSETID was put aside */
	struct __user_cap_data_struct now[2];
} rights;

static struct __user_cap_header_struct of_thread(void)
{
	return (struct __user_cap_header_struct){ .version = _LINUX_CAPABILITY_VERSION_3 };
}

static int learn_rights(void)
{
	struct __user_cap_header_struct h = of_thread();

	if (syscall(SYS_capget, &h, rights.now) < 0)
		return -errno;
	rights.known = true;
	rights.no_fsetid = rights.now[0].permitted & ~rights.now[0].effective & 1u << CAP_FSETID;
	return 0;
}

static int set_rights(uint32_t effective)
{
	struct __user_cap_header_struct h = of_thread();
	uint32_t before = rights.now[0].effective;

	rights.now[0].effective = effective;
	if (syscall(SYS_capset, &h, rights.now) == 0)
		return 0;
	rights.now[0].effective = before;
	return -errno;
}

/* A change of the user id takes the rights over files away, which are still permitted: the kernel has checked already. */
static int regain_rights(void)
{
	const uint32_t files = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
			       1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID |
			       1u << CAP_LINUX_IMMUTABLE;
	int r = learn_rights();

	if (r == 0)
		r = set_rights(rights.now[0].effective | (rights.now[0].permitted & files));
	if (r == 0)
		rights.no_fsetid = false;
	return r;
}

void mf_fs_source_keep_bits(bool keep)
{
	int saved = errno;

	// Who never had the right has nothing to put aside.
	if ((!rights.known && learn_rights() < 0) || keep == !rights.no_fsetid ||
	    !(rights.now[0].permitted & 1u << CAP_FSETID))
		;
	else if (keep && set_rights(rights.now[0].effective | 1u << CAP_FSETID) == 0)
		rights.no_fsetid = false;
	else if (!keep && rights.now[0].effective & 1u << CAP_FSETID &&
		 set_rights(rights.now[0].effective & ~(1u << CAP_FSETID)) == 0)
		rights.no_fsetid = true;
	errno = saved;
}

static int learn_self(void)
{
	if (self.known)
		return 0;
	/* The umask of one thread, not of all. */
	if (unshare(CLONE_FS) < 0)
		return -errno;
	self.known = true;
	self.root = geteuid() == 0;
	self.uid = (uid_t)setfsuid((uid_t)-1);
	self.gid = (gid_t)setfsgid((gid_t)-1);
	self.umask = umask(0);
	(void)umask(self.umask);
	return 0;
}

int mf_fs_source_become(uid_t uid, gid_t gid, mode_t mask)
{
	int r = learn_self();

	if (r < 0)
		return r;
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

int mf_fs_source_become_self(void)
{
	int r = learn_self();

	mf_fs_source_keep_bits(true);
	return r == 0 && self.root ? mf_fs_source_become(0, getegid(), self.umask) : r;
}
