/* SPDX-License-Identifier: Apache-2.0 */
/* win32.h - UTF-8 inside, UTF-16 at Windows' edge: what every _win32.c file needs for it */
#ifndef MF_BASE_WIN32_H
#define MF_BASE_WIN32_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

/**
 * mf_win32_wide() - UTF-8 text as UTF-16, in malloc()ed memory
 * Return: NULL with errno EILSEQ (not UTF-8) or ENOMEM
 */
wchar_t *mf_win32_wide(const char *text);

/** mf_win32_utf8() - UTF-16 text as UTF-8, in malloc()ed memory; a lone surrogate becomes U+FFFD. Return: NULL: ENOMEM */
char *mf_win32_utf8(const wchar_t *text);

/**
 * mf_win32_path() - A file's path for the wide functions, in malloc()ed memory
 * "/" separates as well as "\"; what is longer than MAX_PATH is made absolute and gets the prefix that lifts this limit.
 * Return: NULL with errno EILSEQ, ENOMEM or ENAMETOOLONG
 */
wchar_t *mf_win32_path(const char *path);

/** mf_win32_errno() - The errno that says about the same as GetLastError()'s @code; EIO where none does */
int mf_win32_errno(unsigned long code);

/** mf_win32_message() - What Windows says about @code, one line of UTF-8 with the number; Return: @buf */
const char *mf_win32_message(unsigned long code, char *buf, size_t size);

/* One function of a library, and where its address goes: a pointer to a pointer to function. */
struct mf_win32_call {
	const char *name;
	void *to;
};

/**
 * mf_win32_load() - Load a library that is not linked, with the functions that are wanted of it
 * @path: absolute, so that no other one of this name can take its place. What it imports comes from its folder or the
 * system's: the current folder and PATH are never looked into.
 * @ret_missing: the first function that it lacks; NULL when the library itself cannot be loaded (GetLastError() says why)
 * Return: its HMODULE, for FreeLibrary(); NULL: nothing is loaded
 */
void *mf_win32_load(const wchar_t *path, const struct mf_win32_call *calls, size_t call_cnt,
		    const char **ret_missing);

/* 100 ns since 1601-01-01T00:00:00Z, as Windows counts, to ns since 1970; 0 for times before */
static inline uint64_t mf_win32_time_of_filetime(uint64_t filetime)
{
	const uint64_t epoch = UINT64_C(116444736000000000);

	if (filetime < epoch || filetime - epoch > UINT64_MAX / 100)
		return 0;
	return (filetime - epoch) * 100;
}

#endif
