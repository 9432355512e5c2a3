/* SPDX-License-Identifier: Apache-2.0 */
/* control_place_posix.c - see control_place.h */
#include "cli/control_place.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/paths.h"

int mf_control_place_tell(const char *dir, struct mf_err *err)
{
	(void)dir;
	(void)err;
	return 0;
}

void mf_control_place_leave(const char *dir)
{
	char path[MF_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%ld.sock.lock", dir, (long)getpid());

	// What the listener locks: nobody else ever has our process's name in this directory while we live.
	if (n > 0 && (size_t)n < sizeof(path))
		(void)unlink(path);
}

void mf_control_place_end(void)
{
	kill(getpid(), SIGTERM);
}
