/* SPDX-License-Identifier: Apache-2.0 */
/* fs_sys.h - what Linux and macOS do in their own ways; 0 or a negative errno, descriptors of the caller */
#ifndef MF_FS_FS_SYS_H
#define MF_FS_FS_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** mf_fs_sys_rename_new() - Rename, but never over anything: -EEXIST; -ENOTSUP where the file system cannot promise it */
int mf_fs_sys_rename_new(int from_dir, const char *from, int to_dir, const char *to);
/** mf_fs_sys_clone() - Let the empty file @to share all of @from's blocks; -EOPNOTSUPP, -EXDEV, -EINVAL where it cannot */
int mf_fs_sys_clone(int from, int to);
/** mf_fs_sys_copy() - At most @len bytes at both files' @off, in the kernel; Return: bytes, 0 at the end, or a negative errno */
int64_t mf_fs_sys_copy(int from, int to, int64_t off, uint64_t len);
/** mf_fs_sys_xattrs() - Extended attributes, access lists among them; what this user may not set is left out */
int mf_fs_sys_xattrs(int from, int to);
/** mf_fs_sys_has_xattrs() - Whether a file has extended attributes or an access list, as far as can be seen */
bool mf_fs_sys_has_xattrs(int fd);
/** mf_fs_sys_mount_id() - Equal for two descriptors where rename(2) between them can work */
int mf_fs_sys_mount_id(int fd, uint64_t *ret);

#endif
