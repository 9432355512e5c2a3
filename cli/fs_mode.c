/* SPDX-License-Identifier: Apache-2.0 */
/* fs_mode.c - see fs_mode.h */
#include "cli/fs_mode.h"

#include <string.h>

#include "core/base/err.h"

static const char *const names[] = {
	[MF_FS_MODE_FUSE] = "fuse",
	[MF_FS_MODE_MONITOR] = "monitor",
	[MF_FS_MODE_DISABLED] = "disabled",
};
_Static_assert(MF_ARRAY_SIZE(names) == MF_FS_MODE_NUM, "a name for each");

int mf_fs_mode_take(const struct mf_usage *usage, enum mf_fs_mode *ret_mode, const char *value)
{
	for (int i = 0; i < MF_FS_MODE_NUM; i++)
		if (strcmp(names[i], value) == 0) {
			*ret_mode = (enum mf_fs_mode)i;
			return 0;
		}
	return mf_options_wrong(usage, "--fs-mode knows 'fuse', 'monitor' and 'disabled', not '%s'",
				value);
}
