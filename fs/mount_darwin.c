/* SPDX-License-Identifier: Apache-2.0 */
/* mount_darwin.c - mount.h on macOS: the front end of paths (path_mount.h) */
#include "fs/path_mount.h"

static struct mf_path_mount *inside(struct mf_fs_mount *mount)
{
	return (struct mf_path_mount *)mount;
}

int mf_fs_mount_new(const struct mf_fs_mount_options *options, struct mf_fs_mount **ret_mount,
		    struct mf_err *err)
{
	struct mf_path_mount *m = NULL;
	int r = mf_path_mount_new(options, &m, err);

	*ret_mount = (struct mf_fs_mount *)m;
	return r;
}

int mf_fs_mount_serve(struct mf_fs_mount *mount, struct mf_err *err)
{
	return mf_path_mount_serve(inside(mount), err);
}

void mf_fs_mount_stop(struct mf_fs_mount *mount)
{
	mf_path_mount_stop(inside(mount));
}

void mf_fs_mount_free(struct mf_fs_mount *mount)
{
	mf_path_mount_free(inside(mount));
}

void mf_fs_mount_get_stats(struct mf_fs_mount *mount, struct mf_fs_mount_stats *ret)
{
	mf_path_mount_get_stats(inside(mount), ret);
}
