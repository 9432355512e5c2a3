/* SPDX-License-Identifier: Apache-2.0 */
/* control_place_win32.c - see control_place.h */
#include "cli/control_place.h"

#include <signal.h>
#include <stdio.h>
#include <windows.h>

#include "core/base/private_dir.h"

static void name_file(char ret[32])
{
	snprintf(ret, 32, "%lu.pipe", (unsigned long)GetCurrentProcessId());
}

int mf_control_place_tell(const char *dir, struct mf_err *err)
{
	struct mf_private_dir *d;
	char name[32];
	int r = mf_private_dir_open(dir, true, &d, err);

	if (r < 0)
		return r;
	name_file(name);
	r = mf_private_dir_write(d, name, "", 0, err);
	mf_private_dir_close(d);
	return r;
}

void mf_control_place_leave(const char *dir)
{
	struct mf_private_dir *d;
	struct mf_err err;
	char name[32];

	if (mf_private_dir_open(dir, false, &d, &err) < 0)
		return;
	name_file(name);
	(void)mf_private_dir_remove(d, name, &err);
	mf_private_dir_close(d);
}

/* Nobody else raises it here: handlers of SIGTERM are there for this. */
void mf_control_place_end(void)
{
	raise(SIGTERM);
}
