/* SPDX-License-Identifier: Apache-2.0 */
/* trash_win32.c - no trash on Windows yet: opening one says so, and nothing else can be called without one */
#include <errno.h>

#include "fs/trash.h"

int mf_trash_open(const struct mf_trash_options *options, struct mf_trash **ret_trash,
		  struct mf_err *err)
{
	(void)options;
	(void)ret_trash;
	return mf_err_set(err, MF_E_UNSUPPORTED, "There is no trash on Windows in this version.");
}

void mf_trash_close(struct mf_trash *t)
{
	(void)t;
}
