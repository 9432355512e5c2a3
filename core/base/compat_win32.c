/* SPDX-License-Identifier: Apache-2.0 */
/* compat_win32.c - see compat_win32.h */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *mf_compat_memmem(const void *in, size_t in_len, const void *what, size_t what_len)
{
	const char *at = in, *last;

	if (what_len > in_len)
		return NULL;
	if (what_len == 0)
		return (void *)(uintptr_t)in;
	last = at + (in_len - what_len);
	while (at <= last && (at = memchr(at, *(const char *)what, (size_t)(last - at) + 1))) {
		if (memcmp(at, what, what_len) == 0)
			return (void *)(uintptr_t)at;
		at++;
	}
	return NULL;
}

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
