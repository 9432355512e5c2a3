/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.h - one file into another, compressed */
#ifndef MF_JOURNAL_GZIP_H
#define MF_JOURNAL_GZIP_H

#include <stdbool.h>

/** mf_gzip_is_there() - Whether this build has zlib */
bool mf_gzip_is_there(void);

/**
 * mf_gzip_copy() - Everything from @from, compressed, to @to; 64 KiB and zlib's 300 KiB of memory
 * @stop: asked every 64 KiB; true ends it
 * Return: 0, MF_E_IO, MF_E_NOMEM, MF_E_CLOSED (@stop said so), MF_E_UNSUPPORTED (no zlib)
 */
int mf_gzip_copy(int from, int to, bool (*stop)(void *ctx), void *ctx);

#endif
