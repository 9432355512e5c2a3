/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_win32.c - see spawn.h: the daemon starts no sessions here */
#include <moonfence/moonfence.h>

#include "daemon/spawn.h"

int mf_spawn_start(const struct mf_spawn *what, struct mf_err *err)
{
	(void)what;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "on Windows the daemon starts no sessions: moonfence run does");
}

bool mf_spawn_ended(int pid, int *ret_status, int *ret_signal)
{
	(void)pid;
	*ret_status = *ret_signal = 0;
	return true;
}

void mf_spawn_end(int pid)
{
	(void)pid;
}
