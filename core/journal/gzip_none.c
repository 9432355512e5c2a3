/* SPDX-License-Identifier: Apache-2.0 */
/* gzip_none.c - see gzip.h; of builds without zlib */
#include <moonfence/moonfence.h>

#include "core/journal/gzip.h"

bool mf_gzip_is_there(void)
{
	return false;
}

int mf_gzip_copy(int from, int to, bool (*stop)(void *ctx), void *ctx)
{
	(void)from;
	(void)to;
	(void)stop;
	(void)ctx;
	return MF_E_UNSUPPORTED;
}
