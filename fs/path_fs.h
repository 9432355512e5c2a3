/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_fs.h - the inside of the front end of paths: what its operations share
 *
 *	path_place_posix.c  where an operation acts: path, question, directory, redirect
 *	path_meta_posix.c   attributes, links' texts, extended attributes
 *	path_name_posix.c   what makes and removes names
 *	path_keep_posix.c   what goes to the trash before it is lost
 *	path_inode_posix.c  what is known of inodes: open files, several names
 *	path_io_posix.c     open files, listing directories
 *	path_mount_posix.c  the session
 *	path_source.h       system calls that systems do in their own ways
 *
 * libfuse speaks of paths. Each operation goes down from the source's descriptor one component at a time, links not followed, and
 * acts on the last component by the descriptor of its directory: what was asked about is what is acted on, or nothing.
 * The kernel keeps no names and no attributes: everything is asked about each time.
 */
#ifndef MF_FS_PATH_FS_H
#define MF_FS_PATH_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "fs/libfuse_path.h"
#include "fs/path_mount.h"
#include "fs/path_source.h"
#include "fs/policy_fs.h"
#include "fs/trash.h"

#define MF_PATH_ROOM	   16384 /* of a path with its final 0; threads of libraries have small stacks */
#define MF_PATH_NAME_ROOM  256
#define MF_PATH_BUCKETS	   4096
#define MF_PATH_LINKED_MAX 65536 /* inodes of several names that are remembered */
#define MF_PATH_EMPTIED	   256	 /* directories whose time before they were emptied is known */
#define MF_PATH_MADE	   16384 /* files that are known to be the session's own */

struct mf_fs_write_note;
struct mf_path_link;

/* An inode that is open, or has several names. */
struct mf_path_inode {
	struct mf_path_inode *next; /* of its bucket */
	uint64_t dev, ino;
	struct mf_path_file *files;
	struct mf_path_link *links; /* names that it was seen by, the first first */
	bool linked;		    /* there were several */
	bool hidden; /* deleted while it was open, by a client that has renamed it instead */
	struct mf_fs_write_note *pending; /* what is to be kept before it is written over */
	pthread_mutex_t append;
};

struct mf_path_file {
	struct mf_path_file *next;   /* of the inode, or of the mount's others */
	struct mf_path_inode *inode; /* NULL for directories and for what lies elsewhere */
	int fd;
	bool writes, appends;
	char settle
		[MF_TRASH_TOKEN_MAX]; /* of what it may still write to, in the trash; "" for none */
};

struct mf_path_mount {
	struct mf_fs_mount_options o;
	char *source, *root; /* real paths */
	int source_fd;
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	struct fuse *fuse;
	bool mounted, signals;
	char *at; /* where it is mounted */
	_Atomic bool stop;
	_Atomic uint64_t open_files;
	uint64_t files_max;   /* the rest of what the process may open is for itself */
	uint64_t trash_ino;   /* of its directory */
	pthread_mutex_t lock; /* of what follows */
	struct mf_path_inode *inodes[MF_PATH_BUCKETS];
	struct mf_path_file *others; /* open directories, and what lies elsewhere */
	size_t linked_cnt, hand;
	struct {
		uint64_t dev, ino;
		int64_t born_ns;
	} made[MF_PATH_MADE];
	struct {
		uint64_t dev, ino;
		int64_t mtime_ns; /* 0: none */
	} emptied[MF_PATH_EMPTIED];
};

/* One operation. On the stack: nothing of it is cleared but what is said. */
struct mf_path_op {
	struct mf_path_mount *m;
	struct mf_fs_caller who;
	struct mf_fs_act act;
	const char *inner; /* the path as libfuse says it */
	int dir_fd;	   /* where to act; -1 */
	const char *at;	   /* by what name there: name, or "." for the source itself */
	bool begun, elsewhere;
	char token[MF_TRASH_TOKEN_MAX];
	char name[MF_PATH_NAME_ROOM];
	char path[MF_PATH_ROOM]; /* as policies see it */
};

/* ---- path_place_posix.c ---- */

/** mf_path_here() - The mount that the calling thread serves, and who asks */
struct mf_path_mount *mf_path_here(struct mf_fs_caller *ret_who);

/** mf_path_name() - For an operation on @inner, without a question; mf_path_end() always follows. Return: 0, -ENAMETOOLONG */
int mf_path_name(struct mf_path_op *op, const char *inner);
/** mf_path_ask() - About op->act.q; Return: 0, -errno: refused */
int mf_path_ask(struct mf_path_op *op);
/** mf_path_ask_also() - One operation more on the same path; the strictest answer stays */
int mf_path_ask_also(struct mf_path_op *op, enum mf_fs_op what, unsigned flags, int64_t size);
/**
 * mf_path_ask_links() - The question @what also about all other names of the file at the place, where it has several
 * @st: of it, filled where it is there. Return: 0, -errno: refused
 */
int mf_path_ask_links(struct mf_path_op *op, enum mf_fs_op what, struct stat *st);
/** mf_path_inner() - @path, or where the library tells none, one of the names that @f has by now; NULL: it has none */
const char *mf_path_inner(const char *path, const struct mf_path_file *f, char buf[MF_PATH_ROOM]);
/** mf_path_locate() - The directory where to act, or that of a redirect. Return: 0, -errno */
int mf_path_locate(struct mf_path_op *op);
/** mf_path_begin() - All of these */
int mf_path_begin(struct mf_path_op *op, const char *inner, enum mf_fs_op what, unsigned flags,
		  int64_t size);
/** mf_path_end() - Tell of it, close the directory; Return: @result */
int mf_path_end(struct mf_path_op *op, int result);

int mf_path_stat(const struct mf_path_op *op, struct stat *ret);
bool mf_path_is_trash(const struct mf_path_mount *m, const struct stat *st);

/* ---- path_keep_posix.c ---- */

/** mf_path_keep() - Put what is at the place into the trash; op->token is set. Return: 0, -errno */
int mf_path_keep(struct mf_path_op *op, enum mf_trash_how how, enum mf_trash_op what, bool hash,
		 const struct stat *st);
/** mf_path_keep_before_cut() - Before a truncation to @size, where the policy says so. Return: 0, -errno */
int mf_path_keep_before_cut(struct mf_path_op *op, const struct stat *st, off_t size);
/** mf_path_unkeep() - The operation failed after something was kept for it: no longer */
void mf_path_unkeep(struct mf_path_op *op);
/** mf_path_made() - Of the session's own making */
void mf_path_made(struct mf_path_op *op);
/** mf_path_emptying() - A name is about to go to the trash: what time its directory had before the first of several */
void mf_path_emptying(struct mf_path_op *op);
/** mf_path_changed_dir() - Something else has changed in the directory of the place: that is its time now */
void mf_path_changed_dir(struct mf_path_op *op);
int64_t mf_path_ns(const struct timespec *t);
/** mf_path_expect_write() - What @f opened is to be kept before it is written over; Return: 0, -errno */
int mf_path_expect_write(struct mf_path_op *op, struct mf_path_file *f, const struct stat *st);
/** mf_path_before_write() - What is about to change at and beyond @off is in the trash when this returns 0; else -errno: do not */
int mf_path_before_write(struct mf_path_file *f, uint64_t off);

/* ---- path_inode_posix.c ---- */

/** mf_path_file_new() - Takes @fd, also when it fails; @st: of the file, NULL where its inode is nobody's matter */
struct mf_path_file *mf_path_file_new(struct mf_path_mount *m, int fd, const struct stat *st,
				      const char *inner, int flags);
void mf_path_file_close(struct mf_path_mount *m, struct mf_path_file *f);
/** mf_path_may_open() - Whether there is room for one file more; else ENFILE */
static inline bool mf_path_may_open(const struct mf_path_mount *m)
{
	return m->open_files < m->files_max;
}
static inline struct mf_path_file *mf_path_file_of(const struct fuse_file_info *fi)
{
	return fi ? (struct mf_path_file *)(uintptr_t)fi->fh : NULL;
}
/** mf_path_inode_find() - One that is known; under m->lock */
struct mf_path_inode *mf_path_inode_find(struct mf_path_mount *m, uint64_t dev, uint64_t ino);
/** mf_path_forget_write() - Nobody can write to it any more, or all of it is kept; under m->lock */
void mf_path_forget_write(struct mf_path_inode *inode);
void mf_path_inodes_free(struct mf_path_mount *m);

/** mf_path_link_seen() - A file of several names has this one; Return: 0, -ENOMEM */
int mf_path_link_seen(struct mf_path_mount *m, const struct stat *st, const char *inner);
/** mf_path_link_gone() - The file @st has this name no longer */
void mf_path_link_gone(struct mf_path_mount *m, const struct stat *st, const char *inner);
/** mf_path_links_moved() - What was @from, or below it, is @to, or below that; what was @to is gone, or with @swap @from */
void mf_path_links_moved(struct mf_path_mount *m, const char *from, const char *to, bool swap);
/** mf_path_hide() - @inner is what a deleted file is called until its client lets go of it */
void mf_path_hide(struct mf_path_mount *m, const struct stat *st, const char *inner);
bool mf_path_is_hidden(struct mf_path_mount *m, const struct stat *st, const char *inner);
/** mf_path_link_name() - The @n-th known name of an inode, from 0; Return: 0, -ENOENT */
int mf_path_link_name(struct mf_path_mount *m, uint64_t dev, uint64_t ino, unsigned n,
		      char ret[MF_PATH_ROOM]);

/* ---- operations ---- */
void mf_path_meta_ops(struct fuse_operations *ops);
void mf_path_name_ops(struct fuse_operations *ops);
void mf_path_io_ops(struct fuse_operations *ops);

#endif
