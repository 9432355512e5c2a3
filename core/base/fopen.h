/* SPDX-License-Identifier: Apache-2.0 */
/* fopen.h - fopen() of a UTF-8 path on every system; Windows' own takes the path in the user's code page */
#ifndef MF_BASE_FOPEN_H
#define MF_BASE_FOPEN_H

#include <stdio.h>

/** mf_fopen() - As fopen(): @mode may hold "b" and "e" (not inherited), which all systems take; Return: NULL with errno */
#ifdef _WIN32
FILE *mf_fopen(const char *path, const char *mode);
#else
static inline FILE *mf_fopen(const char *path, const char *mode)
{
	return fopen(path, mode);
}
#endif

#endif
