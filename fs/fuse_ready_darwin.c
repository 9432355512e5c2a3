/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_ready_darwin.c - see fuse_ready.h; a mount itself says what it lacks */
#include "fs/fuse_ready.h"

int mf_fuse_ready(enum mf_fuse_need need, struct mf_err *err)
{
	return need == MF_FUSE_SESSION
		       ? mf_err_set(err, MF_E_UNSUPPORTED, "this system has no --workspace yet")
		       : 0;
}
