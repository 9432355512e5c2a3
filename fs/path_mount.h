/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_mount.h - a mount by libfuse's interface of paths: that of macOS, by the functions of mount.h (mount_darwin.c)
 *
 * On Linux its tests are all that uses it (tests/fs/path). Functions are those of mount.h.
 */
#ifndef MF_FS_PATH_MOUNT_H
#define MF_FS_PATH_MOUNT_H

#include "fs/mount.h"

struct mf_path_mount;

int mf_path_mount_new(const struct mf_fs_mount_options *options, struct mf_path_mount **ret_mount,
		      struct mf_err *err);
int mf_path_mount_serve(struct mf_path_mount *mount, struct mf_err *err);
void mf_path_mount_stop(struct mf_path_mount *mount);
void mf_path_mount_free(struct mf_path_mount *mount);
void mf_path_mount_get_stats(struct mf_path_mount *mount, struct mf_fs_mount_stats *ret);

#endif
