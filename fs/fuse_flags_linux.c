/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_flags_linux.c - ioctl(): the flags and project of an inode (lsattr, chattr, xfs_io); see fuse_linux.h
 *
 * Who may change them was checked by the kernel, which asks for them in its own words (fuse_fileattr_get(), _set()) by a
 * handle that it opens for it. All other requests are ENOTTY: what they do is not known here. Reflinks (FICLONE) never come
 * this far: EOPNOTSUPP.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fs/fuse_linux.h"

#ifndef FS_CASEFOLD_FL
#define FS_CASEFOLD_FL 0x40000000
#endif

/* Bytes that go in or come out; 0: not known here. */
static size_t size_of(unsigned cmd, bool *ret_sets)
{
	*ret_sets = cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR;
	switch (cmd) {
	// Declared with a long, and an int all the same.
	case FS_IOC_GETFLAGS:
	case FS_IOC_SETFLAGS:
	case FS_IOC_GETVERSION:
		return sizeof(int);
	case FS_IOC_FSGETXATTR:
	case FS_IOC_FSSETXATTR:
		return sizeof(struct fsxattr);
	default:
		return 0;
	}
}

/* In a directory that ignores case, policies would be asked about other names than those that are meant. */
static int check_flags(int fd, unsigned cmd, const void *value)
{
	int now, want;

	if (cmd != FS_IOC_SETFLAGS)
		return 0;
	memcpy(&want, value, sizeof(want));
	if (!(want & FS_CASEFOLD_FL))
		return 0;
	return ioctl(fd, FS_IOC_GETFLAGS, &now) == 0 && now & FS_CASEFOLD_FL ? 0 : -EOPNOTSUPP;
}

static int set(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino, int fd, unsigned cmd,
	       void *value)
{
	int r = mf_fuse_begin_node(c, req, ino, MF_FS_SETXATTR, 0, -1);

	// The file may be another one than the handle's where a redirect says so.
	if (r == 0 && c->elsewhere)
		r = -EOPNOTSUPP;
	if (r == 0)
		r = check_flags(fd, cmd, value);
	if (r == 0 && ioctl(fd, cmd, value) < 0)
		r = -errno;
	mf_fuse_end(c, r);
	return r;
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_len,
		     size_t out_room)
{
	union {
		int number;
		struct fsxattr x;
	} value = { .x = { 0 } };
	const struct mf_fs_handle *h = (const struct mf_fs_handle *)(uintptr_t)fi->fh;
	struct mf_fs_op_ctx c;
	bool sets;
	size_t size = size_of(cmd, &sets);
	int r;

	(void)arg;
	(void)flags;
	if (!size || (sets ? in_len : out_room) < size) {
		fuse_reply_err(req, size ? EINVAL : ENOTTY);
		return;
	}
	if (sets) {
		memcpy(&value, in, size);
		r = set(&c, req, ino, h->fd, cmd, &value);
	} else {
		// Asked about when it was opened.
		r = ioctl(h->fd, cmd, &value) < 0 ? -errno : 0;
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, sets ? NULL : &value, sets ? 0 : size);
}

void mf_fuse_flag_ops(struct fuse_lowlevel_ops *ops)
{
	ops->ioctl = op_ioctl;
}
