/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winfsp_abi.h - what WinFsp's FUSE 3 layer expects of its callers: structures, the table of 40 operations, the calls we use
 *
 * Our own declarations after the published documentation, so that no header of WinFsp is needed and its DLL can be loaded at
 * run time. 64-bit only. No Windows header is included: the x64 calling convention has no decoration, a BOOL does not occur.
 * Numbers in results are negative errno values of Microsoft's C library, which mingw's <errno.h> has too.
 */
#ifndef MF_FS_WINFSP_ABI_H
#define MF_FS_WINFSP_ABI_H

#include <stddef.h>
#include <stdint.h>

struct mf_winfsp_fuse; /* theirs */

/* ---- environment: the first argument of every call ---- */

#define MF_WINFSP_ENV_WINDOWS \
	'W' /* errno and types as in Microsoft's C library; 'C' would be Cygwin's */

struct mf_winfsp_env {
	uint32_t flavour; /* MF_WINFSP_ENV_WINDOWS */
	void *(*allocate)(size_t size);
	void (*release)(void *ptr);
	int (*daemonize)(int foreground);
	int (*set_signal_handlers)(void *se);
	char *(*to_windows_path)(const char *path); /* NULL */
	int32_t (*pid_from_windows)(uint32_t pid);  /* NULL */
	void (*reserved[2])(void);
};

/* ---- data ---- */

struct mf_winfsp_timespec {
	int64_t sec, nsec;
};

struct mf_winfsp_stat {
	uint32_t dev;
	uint64_t ino;
	uint32_t mode; /* S_IF* as on Linux */
	uint16_t nlink;
	uint32_t uid, gid;
	uint32_t rdev;
	int64_t size;
	struct mf_winfsp_timespec atime, mtime, ctime;
	int32_t blksize;
	int64_t blocks;
	struct mf_winfsp_timespec birthtime;
};

/* What getattr and readdir fill once MF_WINFSP_CAP_STAT_EX was wanted. */
struct mf_winfsp_stat_ex {
	struct mf_winfsp_stat st;
	uint32_t flags; /* MF_WINFSP_UF_* */
	uint32_t reserved[3];
	uint64_t reserved64[2];
};

struct mf_winfsp_statvfs {
	uint64_t bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax;
};

/* [!] The padding bit field of the published header is one bit too wide for its word, so that fh lies at 16, not at 8. */
struct mf_winfsp_file_info {
	int32_t flags; /* MF_WINFSP_O_* */
	uint32_t bits; /* MF_WINFSP_FI_* */
	uint32_t padding;
	uint32_t padding2;
	uint64_t fh;
	uint64_t lock_owner;
	uint32_t poll_events;
	uint32_t padding3;
};

#define MF_WINFSP_FI_DIRECT_IO 0x00000002u /* set by open: nothing of this file is cached */

/* Flags of open and create; of open only the first three ever come. */
#define MF_WINFSP_O_RDONLY  0
#define MF_WINFSP_O_WRONLY  1
#define MF_WINFSP_O_RDWR    2
#define MF_WINFSP_O_ACCMODE 3
#define MF_WINFSP_O_CREAT   0x100
#define MF_WINFSP_O_EXCL    0x400

struct mf_winfsp_context {
	struct mf_winfsp_fuse *fuse;
	uint32_t uid, gid;
	int32_t pid;	    /* MF_WINFSP_NO_PID but while an open, a create or a rename is served */
	void *private_data; /* what init returned */
	uint32_t umask;
};

#define MF_WINFSP_NO_PID (-1)

struct mf_winfsp_conn_info {
	uint32_t proto_major, proto_minor;
	uint32_t max_write, max_read, max_readahead;
	uint32_t capable, want; /* MF_WINFSP_CAP_* */
	uint32_t max_background, congestion_threshold;
	uint32_t time_gran;
	uint32_t reserved[22];
};

#define MF_WINFSP_CAP_READDIR_PLUS (1u << 13)
#define MF_WINFSP_CAP_READ_ONLY	   (1u << 22)
#define MF_WINFSP_CAP_STAT_EX	   (1u << 23)
#define MF_WINFSP_CAP_DELETE_ACCESS \
	(1u << 24) /* access(path, MF_WINFSP_DELETE_OK) comes before a delete */
#define MF_WINFSP_CAP_CASE_INSENSITIVE (1u << 29)

#define MF_WINFSP_DELETE_OK	       0x40000000 /* mask of access */

struct mf_winfsp_config {
	int32_t set_gid;
	uint32_t gid;
	int32_t set_uid;
	uint32_t uid;
	int32_t set_mode;
	uint32_t umask;
	double entry_timeout, negative_timeout, attr_timeout;
	int32_t intr, intr_signal, remember, hard_remove, use_ino, readdir_ino, direct_io,
		kernel_cache, auto_cache, ac_attr_timeout_set;
	double ac_attr_timeout;
	int32_t nullpath_ok;
	int32_t show_help;
	char *modules;
	int32_t debug;
};

struct mf_winfsp_loop_config {
	int32_t clone_fd;
	uint32_t max_idle_threads;
};

struct mf_winfsp_args {
	int32_t argc;
	char **argv;
	int32_t allocated;
};

/* ---- operations ---- */

/* flags of readdir and of its filler */
#define MF_WINFSP_READDIR_PLUS	1
#define MF_WINFSP_FILL_DIR_PLUS 2

typedef int (*mf_winfsp_fill_fn)(void *buf, const char *name, const struct mf_winfsp_stat *st,
				 int64_t off, int flags);

/*
 * Results: 0, or bytes, or a negative errno. Paths: UTF-8, '/' separates, rooted at '/'. NULL is an operation that is not
 * there. "never": WinFsp does not call it.
 */
struct mf_winfsp_ops {
	int (*getattr)(const char *path, struct mf_winfsp_stat *st, struct mf_winfsp_file_info *fi);
	int (*readlink)(const char *path, char *buf, size_t size);
	int (*mknod)(const char *path, uint32_t mode, uint32_t dev);
	int (*mkdir)(const char *path, uint32_t mode);
	int (*unlink)(const char *path); /* [!] its result is ignored */
	int (*rmdir)(const char *path);
	int (*symlink)(const char *text, const char *path);
	int (*rename)(const char *from, const char *to, unsigned flags);
	int (*link)(const char *from, const char *to); /* never */
	int (*chmod)(const char *path, uint32_t mode, struct mf_winfsp_file_info *fi);
	int (*chown)(const char *path, uint32_t uid, uint32_t gid, struct mf_winfsp_file_info *fi);
	int (*truncate)(const char *path, int64_t size, struct mf_winfsp_file_info *fi);
	int (*open)(const char *path, struct mf_winfsp_file_info *fi);
	int (*read)(const char *path, char *buf, size_t size, int64_t off,
		    struct mf_winfsp_file_info *fi);
	int (*write)(const char *path, const char *buf, size_t size, int64_t off,
		     struct mf_winfsp_file_info *fi);
	int (*statfs)(const char *path, struct mf_winfsp_statvfs *st);
	int (*flush)(const char *path, struct mf_winfsp_file_info *fi);
	int (*release)(const char *path, struct mf_winfsp_file_info *fi);
	int (*fsync)(const char *path, int datasync, struct mf_winfsp_file_info *fi);
	int (*setxattr)(const char *path, const char *name, const char *value, size_t size,
			int flags);
	int (*getxattr)(const char *path, const char *name, char *value, size_t size);
	int (*listxattr)(const char *path, char *names, size_t size);
	int (*removexattr)(const char *path, const char *name);
	int (*opendir)(const char *path, struct mf_winfsp_file_info *fi);
	int (*readdir)(const char *path, void *buf, mf_winfsp_fill_fn fill, int64_t off,
		       struct mf_winfsp_file_info *fi, int flags);
	int (*releasedir)(const char *path, struct mf_winfsp_file_info *fi);
	int (*fsyncdir)(const char *path, int datasync, struct mf_winfsp_file_info *fi);
	void *(*init)(struct mf_winfsp_conn_info *conn, struct mf_winfsp_config *config);
	void (*destroy)(void *data);
	int (*access)(const char *path, int mask); /* delete checks only */
	int (*create)(const char *path, uint32_t mode, struct mf_winfsp_file_info *fi);
	void (*lock)(void); /* never */
	int (*utimens)(const char *path, const struct mf_winfsp_timespec tv[2],
		       struct mf_winfsp_file_info *fi);
	void (*bmap)(void);  /* never */
	void (*ioctl)(void); /* not ours */
	void (*poll)(void);  /* never, as all below */
	void (*write_buf)(void);
	void (*read_buf)(void);
	void (*flock)(void);
	void (*fallocate)(void);
};

/* ---- the calls that we use: exports fsp_fuse3_NAME ---- */

struct mf_winfsp_calls {
	struct mf_winfsp_fuse *(*make)(struct mf_winfsp_env *env, struct mf_winfsp_args *args,
				       const struct mf_winfsp_ops *ops, size_t ops_size,
				       void *data);
	int (*mount)(struct mf_winfsp_env *env, struct mf_winfsp_fuse *fuse,
		     const char *mountpoint);
	int (*loop_mt)(struct mf_winfsp_env *env, struct mf_winfsp_fuse *fuse,
		       const struct mf_winfsp_loop_config *config);
	void (*exit)(struct mf_winfsp_env *env,
		     struct mf_winfsp_fuse *fuse); /* [!] between mount and unmount only */
	void (*unmount)(struct mf_winfsp_env *env, struct mf_winfsp_fuse *fuse);
	void (*destroy)(struct mf_winfsp_env *env, struct mf_winfsp_fuse *fuse);
	struct mf_winfsp_context *(*get_context)(struct mf_winfsp_env *env);
};

/* ---- the border, nailed down ---- */

#define MF_WINFSP_AT(type, field, off) \
	_Static_assert(offsetof(struct type, field) == (off), #type "." #field)

#if UINTPTR_MAX == UINT64_MAX
_Static_assert(sizeof(struct mf_winfsp_env) == 72, "");
MF_WINFSP_AT(mf_winfsp_env, allocate, 8);
MF_WINFSP_AT(mf_winfsp_env, release, 16);
MF_WINFSP_AT(mf_winfsp_env, daemonize, 24);
MF_WINFSP_AT(mf_winfsp_env, set_signal_handlers, 32);
MF_WINFSP_AT(mf_winfsp_env, to_windows_path, 40);
MF_WINFSP_AT(mf_winfsp_env, pid_from_windows, 48);
MF_WINFSP_AT(mf_winfsp_env, reserved, 56);
_Static_assert(sizeof(struct mf_winfsp_timespec) == 16, "");
_Static_assert(sizeof(struct mf_winfsp_stat) == 128, "");
MF_WINFSP_AT(mf_winfsp_stat, ino, 8);
MF_WINFSP_AT(mf_winfsp_stat, mode, 16);
MF_WINFSP_AT(mf_winfsp_stat, nlink, 20);
MF_WINFSP_AT(mf_winfsp_stat, uid, 24);
MF_WINFSP_AT(mf_winfsp_stat, gid, 28);
MF_WINFSP_AT(mf_winfsp_stat, rdev, 32);
MF_WINFSP_AT(mf_winfsp_stat, size, 40);
MF_WINFSP_AT(mf_winfsp_stat, atime, 48);
MF_WINFSP_AT(mf_winfsp_stat, mtime, 64);
MF_WINFSP_AT(mf_winfsp_stat, ctime, 80);
MF_WINFSP_AT(mf_winfsp_stat, blksize, 96);
MF_WINFSP_AT(mf_winfsp_stat, blocks, 104);
MF_WINFSP_AT(mf_winfsp_stat, birthtime, 112);
_Static_assert(sizeof(struct mf_winfsp_stat_ex) == 160, "");
MF_WINFSP_AT(mf_winfsp_stat_ex, flags, 128);
_Static_assert(sizeof(struct mf_winfsp_statvfs) == 88, "");
MF_WINFSP_AT(mf_winfsp_statvfs, namemax, 80);
_Static_assert(sizeof(struct mf_winfsp_file_info) == 40, "");
MF_WINFSP_AT(mf_winfsp_file_info, bits, 4);
MF_WINFSP_AT(mf_winfsp_file_info, fh, 16);
MF_WINFSP_AT(mf_winfsp_file_info, lock_owner, 24);
MF_WINFSP_AT(mf_winfsp_file_info, poll_events, 32);
_Static_assert(sizeof(struct mf_winfsp_context) == 40, "");
MF_WINFSP_AT(mf_winfsp_context, uid, 8);
MF_WINFSP_AT(mf_winfsp_context, gid, 12);
MF_WINFSP_AT(mf_winfsp_context, pid, 16);
MF_WINFSP_AT(mf_winfsp_context, private_data, 24);
MF_WINFSP_AT(mf_winfsp_context, umask, 32);
_Static_assert(sizeof(struct mf_winfsp_conn_info) == 128, "");
MF_WINFSP_AT(mf_winfsp_conn_info, max_write, 8);
MF_WINFSP_AT(mf_winfsp_conn_info, max_readahead, 16);
MF_WINFSP_AT(mf_winfsp_conn_info, capable, 20);
MF_WINFSP_AT(mf_winfsp_conn_info, want, 24);
MF_WINFSP_AT(mf_winfsp_conn_info, time_gran, 36);
_Static_assert(sizeof(struct mf_winfsp_config) == 120, "");
MF_WINFSP_AT(mf_winfsp_config, umask, 20);
MF_WINFSP_AT(mf_winfsp_config, entry_timeout, 24);
MF_WINFSP_AT(mf_winfsp_config, attr_timeout, 40);
MF_WINFSP_AT(mf_winfsp_config, intr, 48);
MF_WINFSP_AT(mf_winfsp_config, direct_io, 72);
MF_WINFSP_AT(mf_winfsp_config, kernel_cache, 76);
MF_WINFSP_AT(mf_winfsp_config, auto_cache, 80);
MF_WINFSP_AT(mf_winfsp_config, ac_attr_timeout_set, 84);
MF_WINFSP_AT(mf_winfsp_config, ac_attr_timeout, 88);
MF_WINFSP_AT(mf_winfsp_config, nullpath_ok, 96);
MF_WINFSP_AT(mf_winfsp_config, show_help, 100);
_Static_assert(sizeof(struct mf_winfsp_loop_config) == 8, "");
_Static_assert(sizeof(struct mf_winfsp_args) == 24, "");
MF_WINFSP_AT(mf_winfsp_args, argv, 8);
MF_WINFSP_AT(mf_winfsp_args, allocated, 16);
_Static_assert(sizeof(struct mf_winfsp_ops) == 320, "40 pointers");
MF_WINFSP_AT(mf_winfsp_ops, getattr, 0 * 8);
MF_WINFSP_AT(mf_winfsp_ops, unlink, 4 * 8);
MF_WINFSP_AT(mf_winfsp_ops, rename, 7 * 8);
MF_WINFSP_AT(mf_winfsp_ops, chmod, 9 * 8);
MF_WINFSP_AT(mf_winfsp_ops, open, 12 * 8);
MF_WINFSP_AT(mf_winfsp_ops, statfs, 15 * 8);
MF_WINFSP_AT(mf_winfsp_ops, release, 17 * 8);
MF_WINFSP_AT(mf_winfsp_ops, setxattr, 19 * 8);
MF_WINFSP_AT(mf_winfsp_ops, opendir, 23 * 8);
MF_WINFSP_AT(mf_winfsp_ops, fsyncdir, 26 * 8);
MF_WINFSP_AT(mf_winfsp_ops, init, 27 * 8);
MF_WINFSP_AT(mf_winfsp_ops, access, 29 * 8);
MF_WINFSP_AT(mf_winfsp_ops, create, 30 * 8);
MF_WINFSP_AT(mf_winfsp_ops, utimens, 32 * 8);
MF_WINFSP_AT(mf_winfsp_ops, ioctl, 34 * 8);
MF_WINFSP_AT(mf_winfsp_ops, fallocate, 39 * 8);
#endif

#endif
