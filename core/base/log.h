/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - a log sink that the runtime's owner provides; without one, silence */
#ifndef MF_BASE_LOG_H
#define MF_BASE_LOG_H

#include <moonfence/moonfence.h>

#include "core/base/printf.h"

struct mf_log {
	mf_log_fn fn; /* may be NULL */
	void *ctx;
};

/** mf_log_write() - One line without a newline, at most 1,023 bytes; @log may be NULL */
void mf_log_write(const struct mf_log *log, enum mf_log_level level, const char *fmt, ...)
	MF_PRINTF(3, 4);

#define mf_log_error(log, ...)	 mf_log_write(log, MF_LOG_ERROR, __VA_ARGS__)
#define mf_log_warning(log, ...) mf_log_write(log, MF_LOG_WARNING, __VA_ARGS__)
#define mf_log_info(log, ...)	 mf_log_write(log, MF_LOG_INFO, __VA_ARGS__)
#define mf_log_debug(log, ...)	 mf_log_write(log, MF_LOG_DEBUG, __VA_ARGS__)

#endif
