/* SPDX-License-Identifier: Apache-2.0 */
/* mount_notice_posix.c - what the mount is made with is the system's own here: nothing to name */
#include <stddef.h>

#include "fs/mount.h"

const char *mf_fs_mount_notice(void)
{
	return NULL;
}
