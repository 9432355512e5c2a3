/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse_abi_darwin.h - libfuse 3's interface of paths as macOS' libraries have it (libfuse3.4.dylib: FUSE-T, macFUSE)
 *
 * Declarations of our own, as far as this front end uses them, of the binary interface that libfuse documents from 3.17 on.
 * What macOS adds to it:
 *
 *	struct fuse_operations has setattr after getattr, and more behind lseek: the size that is passed ends before
 *	_fuse_new_31() takes a version with the bit "Darwin extensions": 0 is struct stat and statvfs, as everywhere
 *	fuse_loop_mt() is called fuse_loop_mt_312()
 *	RENAME_EXCHANGE and RENAME_NOREPLACE are RENAME_SWAP and RENAME_EXCL
 */
#ifndef MF_FS_LIBFUSE_ABI_DARWIN_H
#define MF_FS_LIBFUSE_ABI_DARWIN_H

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>

struct fuse;
struct fuse_session;
struct fuse_conn_info;
struct fuse_loop_config;
struct fuse_pollhandle;
struct fuse_bufvec;

struct fuse_args {
	int argc;
	char **argv;
	int allocated;
};
#define FUSE_ARGS_INIT(argc, argv) \
	{                          \
		argc, argv, 0      \
	}

enum fuse_log_level {
	FUSE_LOG_EMERG,
	FUSE_LOG_ALERT,
	FUSE_LOG_CRIT,
	FUSE_LOG_ERR,
	FUSE_LOG_WARNING
};
typedef void (*fuse_log_func_t)(enum fuse_log_level level, const char *fmt, va_list ap);

struct libfuse_version {
	uint32_t major, minor, hotfix;
	uint32_t darwin_extensions : 1, padding : 31;
};

struct fuse_file_info {
	int32_t flags;
	uint32_t writepage : 1, direct_io : 1, keep_cache : 1, flush : 1, nonseekable : 1,
		flock_release : 1, cache_readdir : 1, noflush : 1, parallel_direct_writes : 1,
		padding : 23;
	uint32_t padding2, padding3;
	uint64_t fh;
	uint64_t lock_owner;
	uint32_t poll_events;
	int32_t backing_id;
	uint64_t compat_flags;
	uint64_t reserved[2];
};
_Static_assert(offsetof(struct fuse_file_info, fh) == 16, "libfuse 3.17");
_Static_assert(sizeof(struct fuse_file_info) == 64, "libfuse 3.17");

/* The beginning of it; the library makes it. */
struct fuse_config {
	int32_t set_gid;
	uint32_t gid;
	int32_t set_uid;
	uint32_t uid;
	int32_t set_mode;
	uint32_t umask;
	double entry_timeout, negative_timeout, attr_timeout;
	int32_t intr, intr_signal;
	int32_t remember;
	int32_t hard_remove;
	int32_t use_ino, readdir_ino;
	int32_t direct_io, kernel_cache, auto_cache;
	int32_t ac_attr_timeout_set;
	double ac_attr_timeout;
	int32_t nullpath_ok;
};
_Static_assert(offsetof(struct fuse_config, hard_remove) == 60, "libfuse 3.17");
_Static_assert(offsetof(struct fuse_config, nullpath_ok) == 96, "libfuse 3.17");

struct fuse_context {
	struct fuse *fuse;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	void *private_data;
	mode_t umask;
};

enum fuse_readdir_flags { FUSE_READDIR_DEFAULTS = 0, FUSE_READDIR_PLUS = 1 };
enum fuse_fill_dir_flags { FUSE_FILL_DIR_DEFAULTS = 0, FUSE_FILL_DIR_PLUS = 2 };
typedef int (*fuse_fill_dir_t)(void *buf, const char *name, const struct stat *st, off_t off,
			       enum fuse_fill_dir_flags flags);

struct fuse_operations {
	int (*getattr)(const char *, struct stat *, struct fuse_file_info *);
	void (*setattr)(void); /* Darwin's extension */
	int (*readlink)(const char *, char *, size_t);
	int (*mknod)(const char *, mode_t, dev_t);
	int (*mkdir)(const char *, mode_t);
	int (*unlink)(const char *);
	int (*rmdir)(const char *);
	int (*symlink)(const char *, const char *);
	int (*rename)(const char *, const char *, unsigned);
	int (*link)(const char *, const char *);
	int (*chmod)(const char *, mode_t, struct fuse_file_info *);
	int (*chown)(const char *, uid_t, gid_t, struct fuse_file_info *);
	int (*truncate)(const char *, off_t, struct fuse_file_info *);
	int (*open)(const char *, struct fuse_file_info *);
	int (*read)(const char *, char *, size_t, off_t, struct fuse_file_info *);
	int (*write)(const char *, const char *, size_t, off_t, struct fuse_file_info *);
	int (*statfs)(const char *, struct statvfs *);
	int (*flush)(const char *, struct fuse_file_info *);
	int (*release)(const char *, struct fuse_file_info *);
	int (*fsync)(const char *, int, struct fuse_file_info *);
	int (*setxattr)(const char *, const char *, const char *, size_t, int);
	int (*getxattr)(const char *, const char *, char *, size_t);
	int (*listxattr)(const char *, char *, size_t);
	int (*removexattr)(const char *, const char *);
	int (*opendir)(const char *, struct fuse_file_info *);
	int (*readdir)(const char *, void *, fuse_fill_dir_t, off_t, struct fuse_file_info *,
		       enum fuse_readdir_flags);
	int (*releasedir)(const char *, struct fuse_file_info *);
	int (*fsyncdir)(const char *, int, struct fuse_file_info *);
	void *(*init)(struct fuse_conn_info *, struct fuse_config *);
	void (*destroy)(void *);
	int (*access)(const char *, int);
	int (*create)(const char *, mode_t, struct fuse_file_info *);
	int (*lock)(const char *, struct fuse_file_info *, int, struct flock *);
	int (*utimens)(const char *, const struct timespec[2], struct fuse_file_info *);
	int (*bmap)(const char *, size_t, uint64_t *);
	int (*ioctl)(const char *, unsigned, void *, struct fuse_file_info *, unsigned, void *);
	int (*poll)(const char *, struct fuse_file_info *, struct fuse_pollhandle *, unsigned *);
	int (*write_buf)(const char *, struct fuse_bufvec *, off_t, struct fuse_file_info *);
	int (*read_buf)(const char *, struct fuse_bufvec **, size_t, off_t,
			struct fuse_file_info *);
	int (*flock)(const char *, struct fuse_file_info *, int);
	int (*fallocate)(const char *, int, off_t, off_t, struct fuse_file_info *);
	ssize_t (*copy_file_range)(const char *, struct fuse_file_info *, off_t, const char *,
				   struct fuse_file_info *, off_t, size_t, int);
	off_t (*lseek)(const char *, off_t, int, struct fuse_file_info *);
};
_Static_assert(sizeof(struct fuse_operations) == 43 * sizeof(void *), "up to lseek");

#endif
