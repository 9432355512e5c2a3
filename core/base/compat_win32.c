/* SPDX-License-Identifier: Apache-2.0 */
/* compat_win32.c - see compat_win32.h */
#include <stdlib.h>
#include <string.h>

char *mf_compat_strndup(const char *text, size_t max)
{
	size_t n = strnlen(text, max);
	char *copy = malloc(n + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

struct tm *mf_compat_gmtime_r(const time_t *at, struct tm *ret)
{
	return gmtime_s(ret, at) ? NULL : ret;
}
