/* SPDX-License-Identifier: Apache-2.0 */
/* span.h - bytes with a length, passed by value; never NUL-terminated */
#ifndef MF_BASE_SPAN_H
#define MF_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mf_span {
	const uint8_t *ptr;
	size_t len; /* bytes */
};

static inline struct mf_span mf_span_of(const void *ptr, size_t len)
{
	return (struct mf_span){ ptr, len };
}

static inline struct mf_span mf_span_str(const char *str)
{
	return (struct mf_span){ (const uint8_t *)str, strlen(str) };
}

static inline bool mf_span_eq(struct mf_span a, struct mf_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The part from @off of at most @len bytes; empty where @off is past the end. */
static inline struct mf_span mf_span_sub(struct mf_span s, size_t off, size_t len)
{
	if (off > s.len)
		return (struct mf_span){ s.ptr + s.len, 0 };
	if (len > s.len - off)
		len = s.len - off;
	return (struct mf_span){ s.ptr + off, len };
}

#endif
