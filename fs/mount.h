/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.h - a directory seen through the policies: the filesystem itself, on the systems that have one
 *
 *	mf_fs_mount_new(&options, &m, &err);     // mounted: requests wait
 *	mf_fs_mount_serve(m, &err);              // until it is unmounted, or mf_fs_mount_stop()
 *	mf_fs_mount_free(m);                     // unmounts
 *
 * docs/internals/fs.md tells how the Linux one works.
 */
#ifndef MF_FS_MOUNT_H
#define MF_FS_MOUNT_H

#include "core/base/log.h"
#include "core/observe/events.h"
#include "core/policy/session.h"
#include "fs/policy_fs.h"

struct mf_trash;
struct mf_fs_mount;

/* Borrowed for the mount's life. */
struct mf_fs_mount_options {
	size_t size;	    /* sizeof(struct mf_fs_mount_options) */
	const char *source; /* directory whose files they are */
	const char *at; /* where they are seen; "/dev/fd/N": a /dev/fuse that is mounted already */
	const char *root; /* the path that policies see there; NULL: that of the source */
	struct mf_runtime *runtime;
	const char *session_id, *source_name; /* "mount", "session" */
	const struct mf_session_label *labels;
	size_t label_cnt;
	struct mf_events *events;	/* may be NULL */
	struct mf_approvals *approvals; /* NULL: nobody can be asked */
	struct mf_trash *trash;		/* NULL: what would go there is refused (EACCES) */
	bool allow_other; /* other users too; for ordinary users /etc/fuse.conf must permit it */
	bool writeback;	  /* the kernel gathers writes */
	bool no_cache;	  /* the kernel keeps nothing */
	bool no_passthrough; /* bytes of files pass this process, also where the kernel could do without */
	bool signals; /* SIGTERM, SIGINT and SIGHUP end it, from mf_fs_mount_new() on; of the whole process */
	bool replace_dead; /* Linux: what a killed server left at @at is unmounted first */
	unsigned threads;  /* 0 for 10 */
	unsigned fds_max;  /* descriptors of directories, 0 for 256 */
	const struct mf_log *log;
};

/**
 * mf_fs_mount_new() - Open the source and mount it
 * Return: 0; MF_E_UNSUPPORTED: this system or machine has no such thing, the text says what to install; MF_E_NOENT, MF_E_IO,
 * MF_E_PERM, MF_E_INVAL (one lies in the other), MF_E_NOMEM
 */
int mf_fs_mount_new(const struct mf_fs_mount_options *options, struct mf_fs_mount **ret_mount,
		    struct mf_err *err);

/** mf_fs_mount_serve() - Blocks; with options.signals the calling thread is the main one. Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_fs_mount_serve(struct mf_fs_mount *mount, struct mf_err *err);

/** mf_fs_mount_stop() - From any thread; the serving one returns soon */
void mf_fs_mount_stop(struct mf_fs_mount *mount);

/** mf_fs_mount_free() - Unmounts; NULL is fine */
void mf_fs_mount_free(struct mf_fs_mount *mount);

/** mf_fs_mount_notice() - What a licence wants users to be told of what the mount is made with; NULL: nothing */
const char *mf_fs_mount_notice(void);

struct mf_fs_mount_stats {
	size_t size; /* in: sizeof(struct mf_fs_mount_stats) */
	struct mf_policy_fs_stats ops;
	uint64_t nodes, dir_fds, node_bytes, open_files;
};
void mf_fs_mount_get_stats(struct mf_fs_mount *mount, struct mf_fs_mount_stats *ret);

#endif
