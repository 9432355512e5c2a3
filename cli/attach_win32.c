/* SPDX-License-Identifier: Apache-2.0 */
/* attach_win32.c - see attach.h: sessions have no control sockets here */
#include <moonfence/moonfence.h>

#include "cli/attach.h"

int mf_attach_begin(const char *daemon, const char *socket, const struct mf_log *log,
		    struct mf_attach **ret, struct mf_err *err)
{
	(void)daemon;
	(void)socket;
	(void)log;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "on Windows sessions have no control socket: no daemon can list them");
}

void mf_attach_end(struct mf_attach *a)
{
	(void)a;
}
