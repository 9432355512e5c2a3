/* SPDX-License-Identifier: Apache-2.0 */
/* compat_win32.h - what mingw-w64's C library lacks of POSIX'; every Windows source sees it first (MoonfenceFlags.cmake) */
#ifndef MF_BASE_COMPAT_WIN32_H
#define MF_BASE_COMPAT_WIN32_H

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <time.h>

#define memmem	 mf_compat_memmem
#define strndup	 mf_compat_strndup
#define gmtime_r mf_compat_gmtime_r

void *mf_compat_memmem(const void *in, size_t in_len, const void *what, size_t what_len);
char *mf_compat_strndup(const char *text, size_t max);
struct tm *mf_compat_gmtime_r(const time_t *at, struct tm *ret);
#endif

#endif
