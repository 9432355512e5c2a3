/* SPDX-License-Identifier: Apache-2.0 */
/* trash_diff_win32.c - see trash_diff.h: there is no trash to compare with */
#include "cli/trash_diff.h"

int mf_trash_diff_run(int fd, const char *path, struct mf_err *err)
{
	(void)fd;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "Cannot compare with %s: there is no trash on Windows in this version.",
			  path);
}
