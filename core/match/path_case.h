/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_case.h - whether paths that differ in the case of letters lead to one file: they do on Windows
 *
 * What policies and rules say of paths is compared so. ASCII letters alone are folded, as Windows folds them; of other letters
 * a filesystem hands policies the case that is on the disk.
 */
#ifndef MF_MATCH_PATH_CASE_H
#define MF_MATCH_PATH_CASE_H

#include <stdbool.h>
#include <string.h>

#include "core/match/glob.h"

#ifdef _WIN32
#define MF_PATH_GLOB_FLAGS MF_GLOB_ICASE

static inline char mf_path_fold_char(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static inline bool mf_path_equal(const char *a, const char *b, size_t len)
{
	while (len && mf_path_fold_char(*a) == mf_path_fold_char(*b)) {
		a++;
		b++;
		len--;
	}
	return len == 0;
}

/** mf_path_fold() - @path in one case, in @buf of @room bytes; Return: it; NULL where it has no room */
static inline const char *mf_path_fold(const char *path, size_t len, char *buf, size_t room)
{
	if (len >= room)
		return NULL;
	for (size_t i = 0; i < len; i++)
		buf[i] = mf_path_fold_char(path[i]);
	buf[len] = '\0';
	return buf;
}
#else
#define MF_PATH_GLOB_FLAGS 0

static inline bool mf_path_equal(const char *a, const char *b, size_t len)
{
	return memcmp(a, b, len) == 0;
}

static inline const char *mf_path_fold(const char *path, size_t len, char *buf, size_t room)
{
	(void)len;
	(void)buf;
	(void)room;
	return path;
}
#endif

#endif
