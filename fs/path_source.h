/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_source.h - system calls on the source that systems do in their own ways, for the front end of paths
 *
 * What POSIX has (openat(), fstatat(), renameat(), ...) is called by its name, always with a descriptor of the directory and one
 * component, never through a link. All functions return 0, a count or a descriptor, or a negative errno.
 */
#ifndef MF_FS_PATH_SOURCE_H
#define MF_FS_PATH_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/** mf_path_source_open_dir() - A descriptor to go on from, for which the right to search is enough; "/" with AT_FDCWD */
int mf_path_source_open_dir(int dir_fd, const char *name);

enum mf_path_rename { MF_PATH_RENAME_PLAIN, MF_PATH_RENAME_NEW, MF_PATH_RENAME_SWAP };
/** mf_path_source_rename_of() - What libfuse's flags mean; -EINVAL: nothing that is known */
int mf_path_source_rename_of(unsigned flags);
int mf_path_source_rename(int from_dir, const char *from, int to_dir, const char *to,
			  enum mf_path_rename how);

/** mf_path_source_mknod() - FIFOs, sockets, devices */
int mf_path_source_mknod(int dir_fd, const char *name, mode_t mode, dev_t dev);

/** mf_path_source_born_ns() - Time of birth of @name, which a number that is used again has not; 0: nobody knows */
int64_t mf_path_source_born_ns(int dir_fd, const char *name);

int mf_path_source_fallocate(int fd, int mode, off_t off, off_t len);
/** mf_path_source_frees() - Whether fallocate() by @mode makes anything of the content go */
int mf_path_source_frees(int mode);

/* Extended attributes of @name itself, were it a link; with @size 0 only their size. */
ssize_t mf_path_source_get_xattr(int dir_fd, const char *name, const char *attr, void *value,
				 size_t size);
ssize_t mf_path_source_list_xattr(int dir_fd, const char *name, char *list, size_t size);
int mf_path_source_set_xattr(int dir_fd, const char *name, const char *attr, const void *value,
			     size_t size, int flags);
int mf_path_source_remove_xattr(int dir_fd, const char *name, const char *attr);

/** mf_path_source_errno() - This system's number for one of Linux', as policies give it */
int mf_path_source_errno(int linux_errno);

#endif
