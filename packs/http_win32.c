/* SPDX-License-Identifier: Apache-2.0 */
/* http_win32.c - see http.h: there is no libcurl in the Windows program */
#include "packs/http.h"

int mf_http_get(const struct mf_http_request *q, struct mf_http_answer *a, struct mf_err *err)
{
	(void)a;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "%s: on Windows packs do not come over HTTPS yet; fetch the directory "
			  "otherwise and name that as the source",
			  q->url);
}
