/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_linux.h - the inside of the Linux mount: what its operations share
 *
 *	fuse_place_linux.c  where an operation acts: path, question, directory, redirect
 *	fuse_redirect_linux.c  targets and copies of a redirect
 *	fuse_meta_linux.c   lookup, attributes, links' texts, extended attributes
 *	fuse_name_linux.c   what makes and removes names
 *	fuse_keep_linux.c   what goes to the trash before it is lost
 *	fuse_io_linux.c     open files, and all that has a handle
 *	fuse_dir_linux.c    listing directories
 *	fuse_flags_linux.c  ioctl(): flags of inodes
 *	fuse_session_linux.c  what libfuse does not know of the kernel: passthrough
 *	mount_linux.c       the session; serve_linux.c its threads
 */
#ifndef MF_FS_FUSE_LINUX_H
#define MF_FS_FUSE_LINUX_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/fuse_session_linux.h"
#include "fs/libfuse_linux.h"
#include "fs/mount.h"
#include "fs/nodes_linux.h"
#include "fs/policy_fs.h"
#include "fs/process_posix.h"
#include "fs/serve_linux.h"
#include "fs/source_linux.h"
#include "fs/trash.h"

struct mf_fs_mount {
	struct mf_fs_mount_options o;
	char *source, *root; /* real paths */
	struct mf_fs_nodes *nodes;
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	struct fuse_session *se;
	struct mf_fuse_session session;
	bool mounted;
	bool writeback; /* the kernel does it */
	bool local;
	/*
	 * Who may do what is checked by the system calls on the source, as whom the server makes them, and not by the kernel
	 * before it asks: only the same user asks. It spares the kernel to ask for a directory's attributes after each
	 * change in it.
	 */
	bool checks_below;
	bool no_flush; /* nothing is said by closing: all writes have been made, and the source is local */
	_Atomic uint64_t open_files;
	uint64_t files_max;	      /* the rest of what the process may open is for itself */
	struct mf_fs_handle *handles; /* all; under mf_fs_nodes_lock() */
	_Atomic bool stop;
	struct mf_fuse_server *server;
	struct mf_fuse_holder *holder; /* NULL: nobody can be asked */
	uint64_t trash_ino;	       /* of its directory */
	/* The thread that tells the kernel of other policies. */
	pthread_t refresher;
	pthread_mutex_t refresh_lock;
	pthread_cond_t refresh_cond;
	bool refreshing;
};

/* An open file or directory. */
struct mf_fs_handle {
	struct mf_fs_handle *next;		     /* of the node */
	struct mf_fs_handle *all_before, *all_after; /* of the mount */
	struct mf_fs_node *node; /* held; NULL for one that was opened elsewhere */
	int fd;
	_Atomic uint32_t refs;
	bool writes;
	bool appends; /* its writes: @fd is open without O_APPEND */
	bool maps;    /* may be written to by mapping, unseen */
	enum mf_fuse_way way;
	struct mf_fs_node *way_node; /* held; that the kernel has opened, wherever @fd leads */
	char settle
		[MF_TRASH_TOKEN_MAX]; /* of what it may still write to, in the trash; "" for none */
	/* directories */
	pthread_mutex_t lock;
	char *buf; /* of getdents64() */
	size_t at, len;
	uint64_t offset; /* of the entry at @at */
};

/* One request being served. On the stack: nothing of it is cleared but what is said. */
struct mf_fs_op_ctx {
	struct mf_fs_mount *m;
	struct mf_fs_caller who;
	mode_t umask; /* of the caller */
	struct mf_fs_act act;
	struct mf_fs_node *dir;	 /* held, where @holds */
	struct mf_fs_dirfd *pin; /* of @dir, or of the directory that it is about itself */
	struct mf_fs_node *node; /* that it is about, if by node */
	int dir_fd;		 /* where to act: pin's, or of a redirect */
	const char *at;		 /* by what name there; "" : dir_fd itself */
	bool holds, begun, elsewhere;
	bool unnamed; /* the inode has no name any longer: only handles lead to it, nobody was asked */
	int own_fd;		    /* of the redirect; -1 */
	char name[MF_FS_NAME_ROOM]; /* what @at points to, mostly */
	char path[MF_FS_PATH_ROOM];
};

/** mf_fuse_node() - The node that the kernel means */
struct mf_fs_node *mf_fuse_node(struct mf_fs_mount *m, fuse_ino_t ino);
fuse_ino_t mf_fuse_ino(struct mf_fs_mount *m, struct mf_fs_node *node);

/** mf_fuse_begin_child() - Ask about @name in @dir, and find where to act; mf_fuse_end() always follows; Return: 0, -errno */
int mf_fuse_begin_child(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir, const char *name,
			enum mf_fs_op op, unsigned flags);
/** mf_fuse_begin_child_with() - The same with a target: a symlink's text */
int mf_fuse_begin_child_with(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir,
			     const char *name, enum mf_fs_op op, unsigned flags,
			     const char *target);
/** mf_fuse_begin_node() - The same about an inode; a directory is acted on itself: c->at is "" */
int mf_fuse_begin_node(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino, enum mf_fs_op op,
		       unsigned flags, int64_t size);
/*
 * The same without a question: path and node only, for operations that ask about two names, or must look first. The
 * caller fills c->act.q (whose path is set), asks, and calls mf_fuse_locate().
 */
int mf_fuse_find_child(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t dir, const char *name);
int mf_fuse_find_node(struct mf_fs_op_ctx *c, fuse_req_t req, fuse_ino_t ino);

/** mf_fuse_ask() - Ask about c->act.q; Return: 0, -errno: refused */
int mf_fuse_ask(struct mf_fs_op_ctx *c);

/** mf_fuse_ask_also() - One operation more on the same inode; the strictest answer stays. Return: 0, -errno: refused */
int mf_fuse_ask_also(struct mf_fs_op_ctx *c, enum mf_fs_op op, unsigned flags, int64_t size);

/** mf_fuse_stat() - What is at the place, checked */
int mf_fuse_stat(struct mf_fs_op_ctx *c, struct statx *ret);

void mf_fuse_end(struct mf_fs_op_ctx *c, int result);

/** mf_fuse_locate() - Pin the directory and, for a redirect, find the other place; after the question. Return: 0, -errno */
int mf_fuse_locate(struct mf_fs_op_ctx *c);

/** mf_fuse_pin() - The original place; Return: 0, -errno */
int mf_fuse_pin(struct mf_fs_op_ctx *c);
/** mf_fuse_redirect() - The target of the verdict, or with cow what there is yet (fuse_redirect_linux.c); Return: 0, -errno */
int mf_fuse_redirect(struct mf_fs_op_ctx *c);

/** mf_fuse_check() - Whether @stx, of what is at the place, is the inode that was asked about; Return: 0, -ESTALE */
int mf_fuse_check(const struct mf_fs_op_ctx *c, const struct statx *stx);

/** mf_fuse_open_path() - An O_PATH descriptor of what is at the place, checked; the caller closes it. Return: it, -errno */
int mf_fuse_open_path(struct mf_fs_op_ctx *c);

/** mf_fuse_is_trash() - Whether a directory is the trash: it is not there, for whoever asks */
bool mf_fuse_is_trash(const struct mf_fs_mount *m, const struct statx *stx);

/** mf_fuse_timeout() - Seconds that the kernel may keep what a verdict of @cache_ns let it see */
double mf_fuse_timeout(const struct mf_fs_mount *m, uint64_t cache_ns);

/** mf_fuse_stat_timeout() - The same for attributes of c->path, which something else was asked about; 0: not at all */
double mf_fuse_stat_timeout(struct mf_fs_op_ctx *c);

/**
 * mf_fuse_attr_timeout() - Of attributes of @node, where those of its name may be kept for @s
 * Not where they change unseen, and not of a file that is executed as somebody else: it is no longer once somebody has written to it.
 */
static inline double mf_fuse_attr_timeout(const struct mf_fs_node *node, mode_t mode, double s)
{
	return node->mappable || (S_ISREG(mode) && mode & (S_ISUID | S_ISGID)) ? 0 : s;
}

/** mf_fuse_entry() - A node for what is at the place, one lookup more; Return: 0, -errno */
int mf_fuse_entry(struct mf_fs_op_ctx *c, struct mf_fs_node *dir, const char *name,
		  const struct statx *stx, struct fuse_entry_param *ret);

/** mf_fuse_refresh_names() - The kernel looks all names up again that it keeps; Return: false: it cannot, but after their second */
bool mf_fuse_refresh_names(struct mf_fs_mount *m);

/** mf_fuse_keep() - Put what is at the place into the trash, to get a @hash there; c->act.token is set. Return: 0, -errno */
int mf_fuse_keep(struct mf_fs_op_ctx *c, enum mf_trash_how how, enum mf_trash_op op, bool hash,
		 const struct statx *stx, char token[MF_TRASH_TOKEN_MAX]);

/** mf_fuse_keep_before_cut() - Before a truncation to @size, where the policy says so. Return: 0, -errno */
int mf_fuse_keep_before_cut(struct mf_fs_op_ctx *c, const struct statx *stx, uint64_t size,
			    char token[MF_TRASH_TOKEN_MAX]);

/** mf_fuse_expect_write() - A file was opened whose content is to be kept before it is written over; Return: 0, -errno */
int mf_fuse_expect_write(struct mf_fs_op_ctx *c, struct mf_fs_node *node, const struct statx *stx);
/** mf_fuse_forget_write() - Nobody can write to the node any more, or all of it is kept; under mf_fs_nodes_lock() */
void mf_fuse_forget_write(struct mf_fs_node *node);
int mf_fuse_keep_pending(fuse_req_t req, struct mf_fs_handle *h, uint64_t off);
/** mf_fuse_before_write() - What is about to change at and beyond @off is in the trash when this returns 0; else -errno: do not
 * Costs one load where nothing is to be kept. */
static inline int mf_fuse_before_write(fuse_req_t req, struct mf_fs_handle *h, uint64_t off)
{
	return h->node && h->node->pending ? mf_fuse_keep_pending(req, h, off) : 0;
}

/** mf_fuse_emptying() - A name is about to go to the trash: what time its directory had before the first of several */
void mf_fuse_emptying(struct mf_fs_op_ctx *c);
/** mf_fuse_changed_dir() - Something else has changed in the directory of c->at: that is its time now */
void mf_fuse_changed_dir(struct mf_fs_op_ctx *c);

/** mf_fuse_unkeep() - The operation failed after something was kept for it: no longer */
void mf_fuse_unkeep(struct mf_fs_op_ctx *c, char token[MF_TRASH_TOKEN_MAX]);

/** mf_fuse_become() - What is created from now on is the caller's. Return: 0, -errno */
int mf_fuse_become(const struct mf_fs_op_ctx *c);

/** mf_fuse_make_handle() - Takes @fd. A handle that goes elsewhere belongs to no @node: what is known of the node is not about it */
struct mf_fs_handle *mf_fuse_make_handle(struct mf_fs_mount *m, struct mf_fs_node *node, int fd,
					 bool writes);

static inline struct mf_fs_handle *mf_fuse_handle(const struct fuse_file_info *fi)
{
	return (struct mf_fs_handle *)(uintptr_t)fi->fh;
}

/** mf_fuse_handle_of() - An open handle of a node, held, that writes if @writes; NULL: none */
struct mf_fs_handle *mf_fuse_handle_of(struct mf_fs_mount *m, struct mf_fs_node *node, bool writes);
/** mf_fuse_handle_away() - The same of one that was opened elsewhere; cost: a look at every open file, where the node is open at all */
struct mf_fs_handle *mf_fuse_handle_away(struct mf_fs_mount *m, struct mf_fs_node *node);
void mf_fuse_handle_put(struct mf_fs_mount *m, struct mf_fs_handle *h);

/* The operations, by file. */
void mf_fuse_meta_ops(struct fuse_lowlevel_ops *ops);
void mf_fuse_name_ops(struct fuse_lowlevel_ops *ops);
void mf_fuse_io_ops(struct fuse_lowlevel_ops *ops);
void mf_fuse_dir_ops(struct fuse_lowlevel_ops *ops);
void mf_fuse_flag_ops(struct fuse_lowlevel_ops *ops);

/** mf_fuse_open_created() - A handle for a file that create() has opened; takes @fd. Return: 0, -errno */
int mf_fuse_open_created(struct mf_fs_op_ctx *c, struct mf_fs_node *node, int fd,
			 struct fuse_file_info *fi);

/** mf_fuse_may_open() - Whether there is room for one handle more; else ENFILE */
bool mf_fuse_may_open(const struct mf_fs_mount *m);

/** mf_fuse_open_flags() - Of the source, for what a caller opens with @flags */
int mf_fuse_open_flags(const struct mf_fs_mount *m, int flags);

/** mf_fuse_close() - The kernel has released it */
void mf_fuse_close(struct mf_fs_mount *m, struct mf_fs_handle *h);

/** mf_fuse_close_all() - The kernel has gone: nobody will release what is open */
void mf_fuse_close_all(struct mf_fs_mount *m);

#endif
