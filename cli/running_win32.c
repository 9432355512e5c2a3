/* SPDX-License-Identifier: Apache-2.0 */
/* running_win32.c - see running.h: sessions have no control sockets here */
#include <moonfence/moonfence.h>

#include "cli/running.h"

void mf_running_forget(const char *path)
{
	(void)path;
}

int mf_running_next_socket(struct mf_running_dir **at, char path[MF_PATH_MAX], struct mf_err *err)
{
	(void)at;
	(void)path;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "on Windows a running session cannot be asked: --events FILE writes what "
			  "it decides");
}
