/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - files of the C library by UTF-8 paths on every system; Windows' own takes paths in the user's code page */
#ifndef MF_BASE_FILES_H
#define MF_BASE_FILES_H

#include <stdio.h>

#ifdef _WIN32

/** mf_fopen() - As fopen(): @mode may hold "b" and "e" (not inherited), which all systems take; Return: NULL with errno */
FILE *mf_fopen(const char *path, const char *mode);

/** mf_rename() - As POSIX' rename(): a file at @to is replaced in one step; Return: 0, -1 with errno */
int mf_rename(const char *from, const char *to);

/** mf_remove() - As remove(), of files; Return: 0, -1 with errno */
int mf_remove(const char *path);

/** mf_set_binary() - @f, just begun, gives and takes bytes as they are: no line ends are changed, nothing ends it early */
void mf_set_binary(FILE *f);

#else

static inline FILE *mf_fopen(const char *path, const char *mode)
{
	return fopen(path, mode);
}

static inline int mf_rename(const char *from, const char *to)
{
	return rename(from, to);
}

static inline int mf_remove(const char *path)
{
	return remove(path);
}

static inline void mf_set_binary(FILE *f)
{
	(void)f;
}

#endif

#endif
