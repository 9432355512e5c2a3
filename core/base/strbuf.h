/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf.h - a growing text buffer with a cap
 *
 *	struct mf_strbuf b = MF_STRBUF_INIT(65536);
 *	mf_strbuf_addf(&b, "%s:%u", host, port);
 *	if (b.failed) ...                       // out of memory or over the cap; b is empty then
 *	mf_strbuf_done(&b);
 *
 * After a failure every later add is a no-op, so a run of adds needs one check at its end. What is added must not point
 * into the buffer itself: it may move.
 */
#ifndef MF_BASE_STRBUF_H
#define MF_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/printf.h"

struct mf_strbuf {
	char *str;  /* NUL-terminated once anything was added, else NULL */
	size_t len; /* bytes without the NUL */
	size_t room;
	size_t cap; /* most bytes, without the NUL */
	bool failed;
};

#define MF_STRBUF_INIT(cap_bytes)  \
	{                          \
		.cap = (cap_bytes) \
	}

void mf_strbuf_add(struct mf_strbuf *b, const void *ptr, size_t len);
void mf_strbuf_adds(struct mf_strbuf *b, const char *str);
void mf_strbuf_addc(struct mf_strbuf *b, char c);
void mf_strbuf_addf(struct mf_strbuf *b, const char *fmt, ...) MF_PRINTF(2, 3);
/** mf_strbuf_clear() - Forget the text and a failure, keep the memory */
void mf_strbuf_clear(struct mf_strbuf *b);
void mf_strbuf_done(struct mf_strbuf *b);

#endif
