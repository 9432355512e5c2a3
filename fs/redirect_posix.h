/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redirect_posix.h - down to where a redirect leads, and its copies
 *
 * With cow the original stays what is seen until somebody writes: then it is copied to the target, under a name of its own
 * first, so that nobody ever sees half of a copy; from then on the copy is what is seen. A file that has no copy is not
 * deleted and not renamed (EROFS): the original would have to go.
 */
#ifndef MF_FS_REDIRECT_POSIX_H
#define MF_FS_REDIRECT_POSIX_H

#include "fs/fs_op.h"

#define MF_FS_REDIRECT_NAME 256 /* room of a name */

/* What a redirected operation needs of its target. */
enum mf_fs_need {
	MF_FS_NEED_IT,	      /* to be there */
	MF_FS_NEED_DIRECTORY, /* only that it can be made: its directory is made where it is missing */
	MF_FS_NEED_CONTENT, /* to be there, with cow: a copy is made if it is not */
	MF_FS_NEED_NAME,    /* a name that goes: with cow, of a copy */
	MF_FS_NEED_NUM
};
enum mf_fs_need mf_fs_need_of(enum mf_fs_op op);

/* Where targets lie. */
struct mf_fs_redirect_base {
	const char *
		root; /* the path that policies see for the mount: what lies below it is the source's */
	/* A descriptor of the source, or of the system's own root, to be closed; Return: it, -errno */
	int (*open)(void *ctx, bool source);
	/* One component down, links not followed; Return: a descriptor, -errno */
	int (*open_dir)(int dir_fd, const char *name);
	void *ctx;
};

/**
 * mf_fs_redirect_open() - The directory of the target @path, which is canonical, and its last component
 * @make: directories on the way that are missing. Return: a descriptor to be closed, -errno
 */
int mf_fs_redirect_open(const struct mf_fs_redirect_base *base, const char *path, bool make,
			char ret_name[MF_FS_REDIRECT_NAME]);

/** mf_fs_redirect_is_there() - Whether there is something, a link itself included */
bool mf_fs_redirect_is_there(int dir_fd, const char *name);

/**
 * mf_fs_redirect_copy() - The open file @from becomes @name in @dir_fd, with its attributes; somebody who is faster has copied the same
 * @own: an address that no other operation has meanwhile. Return: 0, -EROFS: no regular file; -errno
 */
int mf_fs_redirect_copy(int from, int dir_fd, const char *name, const void *own);

#endif
