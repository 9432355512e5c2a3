/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - filling struct mf_err, and the two ways to meet our own bugs
 *
 * A set-up function takes a struct mf_err * (NULL is fine) and ends in
 *
 *	return mf_err_set(err, MF_E_IO, "cannot read %s: %s", path, strerror(errno));
 *
 * Code that runs per packet or per byte returns the code alone and counts it.
 */
#ifndef MF_BASE_ERR_H
#define MF_BASE_ERR_H

#include <moonfence/moonfence.h>

#include "core/base/printf.h"

/** mf_err_set() - Fill @err (may be NULL) with a whole sentence; Return: @code, so that it can stand behind return */
int mf_err_set(struct mf_err *err, int code, const char *fmt, ...) MF_PRINTF(3, 4);

/** mf_err_at() - The same with a place in a file; @line and @column 1-based, 0 for none */
int mf_err_at(struct mf_err *err, int code, const char *file, unsigned line, unsigned column,
	      const char *fmt, ...) MF_PRINTF(6, 7);

/** mf_err_format() - "file:line:column: message" (parts that are not there are left out); Return: @buf */
const char *mf_err_format(const struct mf_err *err, char *buf, size_t size);

/* Aborts in every build: only for our own bugs that leave no way to go on, never for anything from outside. */
#define MF_MUST(cond)                                              \
	do {                                                       \
		if (__builtin_expect(!(cond), 0))                  \
			mf_must_failed(#cond, __FILE__, __LINE__); \
	} while (0)
_Noreturn void mf_must_failed(const char *cond, const char *file, int line);

/* Where a program has it told; NULL: nowhere, since a library's host owns its standard error. Set before there are threads. */
extern void (*mf_must_tell)(const char *text);

/* True on a bug of ours that the caller can survive: if (mf_bug(x < 0)) return MF_E_BUG; aborts where MF_BUG_ABORTS. */
#ifdef MF_BUG_ABORTS
#define mf_bug(cond) ((cond) ? (mf_must_failed(#cond, __FILE__, __LINE__), true) : false)
#else
#define mf_bug(cond) __builtin_expect(!!(cond), 0)
#endif

#define MF_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
