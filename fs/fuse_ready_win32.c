/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_ready_win32.c - see fuse_ready.h; a mount itself says what it lacks, a session is told before anything is started */
#include "fs/fuse_ready.h"

#include "fs/winfsp_win32.h"

int mf_fuse_ready(enum mf_fuse_need need, struct mf_err *err)
{
	struct mf_winfsp_library lib;
	int r;

	if (need != MF_FUSE_SESSION)
		return 0;
	r = mf_winfsp_load(&lib, err);
	if (r < 0)
		return r;
	mf_winfsp_unload(&lib);
	return 0;
}
