/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_op.h - the operations of a filesystem, and what policies are asked about each
 *
 * One table for every front end: Linux (by inode) and Windows (by path) ask the same words for the same operation. Every
 * operation that a front end serves by a path is in it; what goes by an open handle (read, write, fallocate, locks, ...)
 * was asked about when the handle was opened.
 *
 *	operation	words asked, all of them; the strictest answer counts	can lose
 *	lookup, getattr, access, getxattr, statfs	stat
 *	open	open, and read and/or write by the access mode		truncate: the content
 *	create	create, and read and/or write
 *	link	read and link on the old name, create on the new one
 *	rename	rename on both names; delete on a file that it replaces	the replaced file
 *	truncate	write						what is cut off
 *	overwrite	(what opening said to write)			what is written over
 */
#ifndef MF_FS_FS_OP_H
#define MF_FS_FS_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/observe/events.h"

enum mf_fs_op {
	MF_FS_LOOKUP,
	MF_FS_GETATTR,
	MF_FS_ACCESS,
	MF_FS_STATFS,
	MF_FS_GETXATTR,
	MF_FS_LIST,
	MF_FS_READLINK,
	MF_FS_OPEN_READ,
	MF_FS_OPEN_WRITE,
	MF_FS_OPEN_BOTH,
	MF_FS_TRUNCATE,	 /* an open that truncates asks this too */
	MF_FS_OVERWRITE, /* not asked: opening was, see mf_fs_verdict.keeps */
	MF_FS_CREATE_READ,
	MF_FS_CREATE_WRITE,
	MF_FS_CREATE_BOTH,
	MF_FS_MKDIR,
	MF_FS_MKNOD,
	MF_FS_SYMLINK,	 /* target: its text */
	MF_FS_LINK_FROM, /* target: the other name, here and below */
	MF_FS_LINK_TO,
	MF_FS_RENAME_FROM,
	MF_FS_RENAME_TO,
	MF_FS_REPLACE, /* what a rename puts itself in the place of */
	MF_FS_CHMOD,
	MF_FS_CHOWN,
	MF_FS_UTIMENS,
	MF_FS_SETXATTR,
	MF_FS_UNLINK,
	MF_FS_RMDIR,
	MF_FS_RENAME_IN, /* of a monitor: from where it does not look */
	/* of a monitor, which hears of opening before it hears how, and of reading and writing apart from it */
	MF_FS_OPEN,
	MF_FS_READ,
	MF_FS_WRITE,
	MF_FS_OP_NUM
};

/* What an operation may destroy, and a soft_delete keeps. */
enum mf_fs_loss { MF_FS_LOSES_NOTHING, MF_FS_LOSES_NAME, MF_FS_LOSES_CONTENT, MF_FS_LOSS_NUM };

#define MF_FS_WORDS_MAX 3

struct mf_fs_op_info {
	const char *name;		    /* in counters and messages */
	const char *words[MF_FS_WORDS_MAX]; /* `op` of the requests, in order; NULL ends them */
	enum mf_event_type event;
	bool changes; /* it changes something: told of though it was plainly allowed */
	enum mf_fs_loss loss;
};

/** mf_fs_op_info() - Static storage; NULL out of range */
const struct mf_fs_op_info *mf_fs_op_info(enum mf_fs_op op);

/** mf_fs_op_changes_content() - Whether it changes what a file holds or says of itself, which all of its names share */
bool mf_fs_op_changes_content(enum mf_fs_op op);

/** mf_fs_op_open() - The operation that opening is; @write and @read: the access mode */
static inline enum mf_fs_op mf_fs_op_open(bool read, bool write)
{
	return read && write ? MF_FS_OPEN_BOTH : write ? MF_FS_OPEN_WRITE : MF_FS_OPEN_READ;
}
static inline enum mf_fs_op mf_fs_op_create(bool read, bool write)
{
	return read && write ? MF_FS_CREATE_BOTH : write ? MF_FS_CREATE_WRITE : MF_FS_CREATE_READ;
}

#endif
