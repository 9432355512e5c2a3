/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - see err.h */
#include "core/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
	[-MF_OK] = "success",
	[-MF_E_INVAL] = "invalid argument",
	[-MF_E_NOMEM] = "out of memory",
	[-MF_E_NOENT] = "not found",
	[-MF_E_EXIST] = "exists already",
	[-MF_E_IO] = "input/output error",
	[-MF_E_SYNTAX] = "syntax error",
	[-MF_E_POLICY] = "policy error",
	[-MF_E_STEPS] = "instruction limit",
	[-MF_E_TIME] = "time limit",
	[-MF_E_MEMORY] = "memory limit",
	[-MF_E_LIMIT] = "limit reached",
	[-MF_E_FULL] = "table or queue full",
	[-MF_E_AGAIN] = "more input needed",
	[-MF_E_BAD] = "malformed data",
	[-MF_E_NOT_MINE] = "another protocol",
	[-MF_E_UNSUPPORTED] = "not supported here",
	[-MF_E_PERM] = "not permitted",
	[-MF_E_CLOSED] = "closed",
	[-MF_E_TEST] = "policy tests failed",
	[-MF_E_BUG] = "internal error",
};

_Static_assert(MF_ARRAY_SIZE(names) == -MF_E_BUG + 1, "one name per error code");

const char *mf_strerror(int code)
{
	if (code > 0 || code < MF_E_BUG)
		return "unknown error";
	return names[-code];
}

const char *mf_version(void)
{
	return MF_VERSION;
}

static void fill(struct mf_err *err, int code, const char *file, unsigned line, unsigned column,
		 const char *fmt, va_list ap) MF_PRINTF(6, 0);
static void fill(struct mf_err *err, int code, const char *file, unsigned line, unsigned column,
		 const char *fmt, va_list ap)
{
	// The message may quote err->msg itself (a caller that adds context), so it is formatted aside.
	char msg[sizeof(err->msg)];

	vsnprintf(msg, sizeof(msg), fmt, ap);
	err->code = code;
	err->line = line;
	err->column = column;
	if (file != err->file)
		snprintf(err->file, sizeof(err->file), "%s", file ? file : "");
	memcpy(err->msg, msg, sizeof(msg));
}

int mf_err_set(struct mf_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fill(err, code, NULL, 0, 0, fmt, ap);
	va_end(ap);
	return code;
}

int mf_err_at(struct mf_err *err, int code, const char *file, unsigned line, unsigned column,
	      const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fill(err, code, file, line, column, fmt, ap);
	va_end(ap);
	return code;
}

const char *mf_err_format(const struct mf_err *err, char *buf, size_t size)
{
	if (!err->file[0])
		snprintf(buf, size, "%s", err->msg);
	else if (!err->line)
		snprintf(buf, size, "%s: %s", err->file, err->msg);
	else if (!err->column)
		snprintf(buf, size, "%s:%u: %s", err->file, err->line, err->msg);
	else
		snprintf(buf, size, "%s:%u:%u: %s", err->file, err->line, err->column, err->msg);
	return buf;
}

void (*mf_must_tell)(const char *text);

void mf_must_failed(const char *cond, const char *file, int line)
{
	char text[256];

	snprintf(text, sizeof(text), "moonfence: internal error: %s is false at %s:%d", cond, file,
		 line);
#ifdef MF_BUG_ABORTS
	fprintf(stderr, "%s\n", text);
#else
	if (mf_must_tell)
		mf_must_tell(text);
#endif
	abort();
}
