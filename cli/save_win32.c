/* SPDX-License-Identifier: Apache-2.0 */
/* save_win32.c - see save.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/save.h"
#include "core/base/err.h"
#include "core/base/files.h"

int mf_save_file(const char *path, const char *text, size_t len, struct mf_err *err)
{
	size_t room = strlen(path) + sizeof(".new");
	char *temporary = malloc(room);
	FILE *out = NULL;
	int r = -1;

	if (temporary) {
		snprintf(temporary, room, "%s.new", path);
		out = mf_fopen(temporary, "wbx"); /* somebody else's file of that name stays */
	}
	if (out) {
		r = fwrite(text, 1, len, out) == len ? 0 : -1;
		r = fclose(out) == 0 ? r : -1;
		r = r == 0 ? mf_rename(temporary, path) : r;
		if (r < 0) {
			int saved = errno;

			mf_remove(temporary);
			errno = saved;
		}
	}
	if (r < 0)
		mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	free(temporary);
	return r < 0 ? MF_E_IO : 0;
}
