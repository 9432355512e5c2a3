/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_session_linux.h - what stands between libfuse and the device: features of the kernel that libfuse does not know
 *
 * Passthrough (Linux 6.9): the kernel reads and writes the source's file by itself where an open is answered with a
 * backing id, a file that was registered with the device before. It wants CAP_SYS_ADMIN in the initial user namespace, so it
 * is for root's mounts. It is negotiated when the kernel offers it, and given up for good when it refuses a registration for want of
 * rights; without it all bytes pass this process.
 *
 * The kernel has one way at a time to the bytes of an inode: while it is open with a backing id, every open has the same
 * one; while it is open without, none has. mf_fuse_way_enter() gives each open its way accordingly.
 */
#ifndef MF_FS_FUSE_SESSION_LINUX_H
#define MF_FS_FUSE_SESSION_LINUX_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_entry_param;
struct fuse_file_info;
struct fuse_req;
struct fuse_session;
struct mf_fs_handle;
struct mf_fs_mount;
struct mf_fs_node;

/* Part of the mount. */
struct mf_fuse_session {
	bool wanted;	/* passthrough is to be negotiated, if offered */
	unsigned depth; /* 1, or 2 where the source is itself a filesystem upon others */
	uint64_t init;	/* the request that negotiates; 0: not seen yet */
	_Atomic bool answered;
	_Atomic bool kills;   /* the kernel says which changes take set-user-id bits along */
	bool offered;	      /* by the kernel */
	_Atomic bool through; /* negotiated, and not refused since */
};

/*
 * How the kernel gets at the bytes of an open file. It has one set of pages for each inode, so those who have pages there must all mean the same
 * file: where they do not, the later one gets an inode of its own (-ESTALE upon opening, upon which the kernel looks the name up again).
 */
enum mf_fuse_way {
	MF_FUSE_NO_WAY,	 /* not a file, or not open */
	MF_FUSE_CACHED,	 /* through its pages and this process */
	MF_FUSE_DIRECT,	 /* through this process: another file's, for who only writes */
	MF_FUSE_AWAY,	 /* the same for who reads, and may map them */
	MF_FUSE_THROUGH, /* by itself */
	/* Through this process although the inode is open for passthrough; what is mapped into memory is the inode's own file. */
	MF_FUSE_BESIDE,
};

/** mf_fuse_session_begin() - After mounting, before serving; Return: 0, -errno: libfuse does not let us */
int mf_fuse_session_begin(struct mf_fs_mount *m);

/**
 * mf_fuse_session_kills() - Whether what the request being served changes loses its set-user-id bits and capabilities by it
 *
 * Linux 5.11 leaves that to us where it may, and then need not ask before each write whether there are any. Who writes to, cuts or
 * extends a file calls mf_fs_source_keep_bits(false) first where this is true.
 */
bool mf_fuse_session_kills(void);

/**
 * mf_fuse_way_enter() - The way of a handle that is about to be given to the kernel; mf_fuse_way_leave() follows when it is closed
 * @node: that the kernel opens; h->fd may be another file
 * @elsewhere: it is
 * @stays: its bytes are to pass this process
 * @flags: of the caller's open()
 * Return: 0, h->way is set; -ESTALE: the kernel must look the name up again, where it will find another node;
 * -EINVAL: O_DIRECT, which the source does not have
 */
int mf_fuse_way_enter(struct mf_fs_mount *m, struct mf_fs_handle *h, struct mf_fs_node *node,
		      bool elsewhere, bool stays, int flags);
void mf_fuse_way_leave(struct mf_fs_mount *m, struct mf_fs_handle *h);

/** mf_fuse_way_reply_open() - fuse_reply_open() with the handle's way; Return: as that does */
int mf_fuse_way_reply_open(struct fuse_req *req, struct mf_fs_handle *h, struct fuse_file_info *fi);
int mf_fuse_way_reply_create(struct fuse_req *req, struct mf_fs_handle *h,
			     const struct fuse_entry_param *e, struct fuse_file_info *fi);

#endif
