/* SPDX-License-Identifier: Apache-2.0 */
/* trash_restore_posix.c - putting an entry back */
#include "fs/trash_int.h"

int mf_trash_restore(struct mf_trash *t, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err)
{
	(void)t;
	(void)what;
	(void)target;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED, "Not there yet.");
}
