/* SPDX-License-Identifier: Apache-2.0 */
/* fs_mode.h - --fs-mode: how a directory's files are put to the policies */
#ifndef MF_CLI_FS_MODE_H
#define MF_CLI_FS_MODE_H

#include "cli/options.h"

enum mf_fs_mode {
	MF_FS_MODE_FUSE,     /* by a filesystem that carries out what they say */
	MF_FS_MODE_MONITOR,  /* afterwards, as the kernel tells of it: nothing is held back */
	MF_FS_MODE_DISABLED, /* not at all */
	MF_FS_MODE_NUM
};

/** mf_fs_mode_take() - Return: 0, or the exit status of wrong usage, which was reported */
int mf_fs_mode_take(const struct mf_usage *usage, enum mf_fs_mode *ret_mode, const char *value);

#endif
