/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h */
#include "core/base/log.h"

#include <stdarg.h>
#include <stdio.h>

void mf_log_write(const struct mf_log *log, enum mf_log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!log || !log->fn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log->fn(log->ctx, level, text);
}
