/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nodes_linux.h - which inodes of the source the kernel knows, by what names, and descriptors of directories
 *
 * How it works
 *
 * A node is an inode of the source: device, number and time of birth (a number that is used again is another node). The
 * kernel's node id is its address. It lives while the kernel refers to it (lookups less forgets), and while something
 * below it, a handle or an operation does. Names are links (parent, name); a hard-linked file has several, the one seen
 * last stands first and is the one by which it is acted on.
 *
 * Files hold no descriptor unless they are open. Directories have one (O_PATH) in a cache of limited size, the least
 * recently used one goes; a directory without is opened again from the nearest one above that has one, component by component, links refused, and
 * must be the same inode: a descriptor that is pinned is the directory that the policy was asked about, whatever
 * happens to names meanwhile. It is opened anew, and so found to be there still, when the way to it was last gone a second ago.
 *
 * The path that policies see is put together from links and kept by each directory until a directory is renamed.
 * A name that changed behind the mount's back is noticed when the kernel looks it up again, after a second at most.
 *
 * Threads: one lock, held for memory only, never for a system call but close() of a descriptor that goes and a look at a
 * removed directory.
 * Memory: about 200 bytes a file and 350 a directory that the kernel refers to.
 */
#ifndef MF_FS_NODES_LINUX_H
#define MF_FS_NODES_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/base/err.h"

#define MF_FS_PATH_ROOM 65536 /* bytes of a path with its final 0 */
#define MF_FS_NAME_ROOM 256

struct statx;
struct mf_fs_nodes;
struct mf_fs_link;
struct mf_fs_dir;

struct mf_fs_id {
	uint64_t dev, ino;
	int64_t born_ns; /* 0: the file system does not tell */
};

struct mf_fs_handle;
struct mf_fs_write_note;
struct mf_fuse_ways;

/* Read only outside, but for what says so. */
struct mf_fs_node {
	struct mf_fs_id id;
	struct mf_fs_node *next; /* in its bucket */
	struct mf_fs_link *links;
	struct mf_fs_dir *dir; /* of a directory; NULL otherwise */
	uint64_t lookups;
	uint32_t refs;
	uint32_t type;	     /* S_IFMT */
	uint64_t generation; /* no other node that had this address has the same */
	bool hashed;
	_Atomic bool
		made; /* by the front end: through this mount; an undo of its session does not bring it back */
	/* By the front end, under mf_fs_nodes_lock(): who looks the inode up is given another node. */
	bool retired;
	bool strayed; /* its pages may be another file's, to which somebody was led: nobody else gets it */
	_Atomic bool mappable; /* somebody may change it by mapping, unseen */
	/* By the front end, under mf_fs_nodes_lock(): open files, newest first. */
	struct mf_fs_handle *handles;
	struct mf_fs_write_note
		*_Atomic pending; /* what writing over it would lose; fuse_keep_linux.c */
	/* What the kernel's pages were read from: they are kept while it is the same. 0: unknown. Of a directory: its time before the
	 * first of the names that went to the trash from it in a row, which is what a restored one gets. */
	int64_t seen_mtime_ns;
	uint64_t seen_size;
	struct mf_fuse_ways *ways; /* how it is open, while it is: fuse_session_linux.c */
};

/* A directory's descriptor, alive while somebody has it pinned. */
struct mf_fs_dirfd {
	int fd;
	uint32_t refs;
};

/**
 * mf_fs_nodes_new() - @root_fd: O_PATH of the source, owned by the nodes from now on; @root: the path that policies see there,
 * absolute, without a slash at its end ("" for "/"); @fds_max: descriptors of directories at most
 */
int mf_fs_nodes_new(int root_fd, const char *root, unsigned fds_max, struct mf_fs_nodes **ret_nodes,
		    struct mf_err *err);
void mf_fs_nodes_free(struct mf_fs_nodes *nodes);

struct mf_fs_node *mf_fs_nodes_root(struct mf_fs_nodes *nodes);
void mf_fs_nodes_lock(struct mf_fs_nodes *nodes);
void mf_fs_nodes_unlock(struct mf_fs_nodes *nodes);

void mf_fs_id_of(const struct statx *stx, struct mf_fs_id *ret);
bool mf_fs_id_same(const struct mf_fs_id *a, const struct mf_fs_id *b);

/** mf_fs_nodes_see() - The node of what @name in @dir is, with one lookup more; NULL without memory */
struct mf_fs_node *mf_fs_nodes_see(struct mf_fs_nodes *nodes, struct mf_fs_node *dir,
				   const char *name, const struct statx *stx);
/** mf_fs_nodes_find() - Under mf_fs_nodes_lock(), and valid as long; NULL: the kernel does not know it */
struct mf_fs_node *mf_fs_nodes_find(struct mf_fs_nodes *nodes, const struct mf_fs_id *id);
/** mf_fs_nodes_forget() - @cnt lookups less */
void mf_fs_nodes_forget(struct mf_fs_nodes *nodes, struct mf_fs_node *node, uint64_t cnt);

/** mf_fs_nodes_hold() - Keep it beyond the kernel's interest; ended by _drop() */
void mf_fs_nodes_hold(struct mf_fs_nodes *nodes, struct mf_fs_node *node);
void mf_fs_nodes_drop(struct mf_fs_nodes *nodes, struct mf_fs_node *node);

/* Names that changed through the mount. */
void mf_fs_nodes_gone(struct mf_fs_nodes *nodes, struct mf_fs_node *dir, const char *name);
/* Around a rename and mf_fs_nodes_moved(): what is not where the table has it meanwhile is looked for again. */
void mf_fs_nodes_moving(struct mf_fs_nodes *nodes, bool begins);
void mf_fs_nodes_moved(struct mf_fs_nodes *nodes, struct mf_fs_node *from, const char *name,
		       struct mf_fs_node *to, const char *to_name, bool exchange);

/** mf_fs_nodes_pin() - A descriptor of the directory; Return: 0; -ESTALE: it is not there any more; other negative errno */
int mf_fs_nodes_pin(struct mf_fs_nodes *nodes, struct mf_fs_node *dir, struct mf_fs_dirfd **ret_fd);
void mf_fs_nodes_unpin(struct mf_fs_nodes *nodes, struct mf_fs_dirfd *fd);

/** mf_fs_nodes_child_path() - The path of @name in @dir; @name NULL: of @dir; Return: length, -ENAMETOOLONG, -ESTALE */
int mf_fs_nodes_child_path(struct mf_fs_nodes *nodes, struct mf_fs_node *dir, const char *name,
			   char ret[MF_FS_PATH_ROOM]);

/**
 * mf_fs_nodes_name() - Directory (held: drop it) and name by which a file is acted on
 * @nth: 0 for the one seen last, 1 for the next one, ...
 * Return: 0; -ESTALE: it has no such name
 */
int mf_fs_nodes_name(struct mf_fs_nodes *nodes, struct mf_fs_node *node, unsigned nth,
		     struct mf_fs_node **ret_dir, char ret_name[MF_FS_NAME_ROOM]);

struct mf_fs_nodes_stats {
	uint64_t nodes, links, fds, bytes;
};
void mf_fs_nodes_get_stats(struct mf_fs_nodes *nodes, struct mf_fs_nodes_stats *ret);

/** mf_fs_nodes_each() - Every node, under the lock; for cache invalidation: @fn must not call back */
void mf_fs_nodes_each(struct mf_fs_nodes *nodes, void (*fn)(void *ctx, struct mf_fs_node *node),
		      void *ctx);

#endif
