/* SPDX-License-Identifier: Apache-2.0 */
/* dev_servers_win32.c - dev-server detection is not there on Windows yet */
#include "proxies/dev_servers_int.h"

int mf_dev_source_open(struct mf_dev_source *ret, struct mf_err *err)
{
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "servers are not detected on Windows in this version; map them by hand");
}
