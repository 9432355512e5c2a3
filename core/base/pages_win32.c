/* SPDX-License-Identifier: Apache-2.0 */
/* pages_win32.c - Windows gives large pages to privileged programs only; see pages.h */
#include "core/base/pages.h"

size_t mf_pages_large_size(void)
{
	return 0;
}

void mf_pages_ask_large(void *ptr, size_t len)
{
	(void)ptr, (void)len;
}
