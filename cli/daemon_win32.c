/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_win32.c - see daemon.h */
#include "cli/daemon.h"
#include "core/base/err.h"

bool mf_daemon_is_root(void)
{
	return false; /* ports below 1024 are nobody's here */
}

int mf_daemon_become(const char *user, struct mf_err *err)
{
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "on Windows a program does not become another user: start it as %s",
			  user);
}

int mf_daemon_reload_signal(void)
{
	return -1;
}
