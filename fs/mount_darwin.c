/* SPDX-License-Identifier: Apache-2.0 */
/* mount_darwin.c - no mount on this system yet; see mount.h */
#include "core/base/err.h"
#include "fs/mount.h"

int mf_fs_mount_new(const struct mf_fs_mount_options *options, struct mf_fs_mount **ret_mount,
		    struct mf_err *err)
{
	(void)options;
	*ret_mount = NULL;
	return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no policy filesystem yet");
}

int mf_fs_mount_serve(struct mf_fs_mount *mount, struct mf_err *err)
{
	(void)mount;
	return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no policy filesystem yet");
}

void mf_fs_mount_stop(struct mf_fs_mount *mount)
{
	(void)mount;
}

void mf_fs_mount_free(struct mf_fs_mount *mount)
{
	(void)mount;
}

void mf_fs_mount_get_stats(struct mf_fs_mount *mount, struct mf_fs_mount_stats *ret)
{
	(void)mount;
	*ret = (struct mf_fs_mount_stats){ .size = sizeof(*ret) };
}
