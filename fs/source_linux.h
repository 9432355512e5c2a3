/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_linux.h - system calls on the source, each relative to a directory's descriptor and one component long
 *
 * No name here ever leads through a link, out of the directory that was given, or to another place than a descriptor
 * that was looked at: names are single components, the last one is not followed, directories are opened by openat2() with
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS.
 * All functions return 0 (or a descriptor) or a negative errno.
 */
#ifndef MF_FS_SOURCE_LINUX_H
#define MF_FS_SOURCE_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define MF_FS_PROC_ROOM 32 /* of mf_fs_source_proc() */

/** mf_fs_source_open_dir() - An O_PATH descriptor of a directory below @dir_fd */
int mf_fs_source_open_dir(int dir_fd, const char *name);

/** mf_fs_source_open_path() - An O_PATH descriptor of whatever @name is, a link itself included */
int mf_fs_source_open_path(int dir_fd, const char *name);

/** mf_fs_source_open_file() - Open for reading or writing; never waits (a FIFO), never follows. O_CREAT as in open(2) */
int mf_fs_source_open_file(int dir_fd, const char *name, int flags, mode_t mode);

/** mf_fs_source_stat() - Attributes of @name, time of birth included */
int mf_fs_source_stat(int dir_fd, const char *name, struct statx *ret);
int mf_fs_source_stat_fd(int fd, struct statx *ret);

/** mf_fs_source_proc() - A path that leads to the inode of an O_PATH descriptor, for calls that take no descriptor */
const char *mf_fs_source_proc(int fd, char ret[MF_FS_PROC_ROOM]);

/** mf_fs_source_to_stat() - As stat(2) says it */
void mf_fs_source_to_stat(const struct statx *stx, struct stat *ret);

static inline int64_t mf_fs_source_ns(const struct statx_timestamp *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/**
 * mf_fs_source_keep_bits() - With false the source takes set-user-id bits from what this thread changes from now on, as it does for
 * ordinary users; true ends it. errno stays as it is
 */
void mf_fs_source_keep_bits(bool keep);

/**
 * mf_fs_source_become() - Make what the calling thread creates from now on belong to @uid and @gid, with @umask
 * Nothing but what a root server does for others: it keeps its rights over files (whoever may do what was checked by the
 * kernel before it asked). Remembered by thread: a call that changes nothing costs nothing. Return: 0 or a negative errno
 */
int mf_fs_source_become(uid_t uid, gid_t gid, mode_t umask);

/** mf_fs_source_become_self() - What the thread creates is the server's own again: the trash's, not a caller's */
int mf_fs_source_become_self(void);

#endif
