/* SPDX-License-Identifier: Apache-2.0 */
/* strbuf.c - see strbuf.h */
#include "core/base/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(struct mf_strbuf *b)
{
	free(b->str);
	b->str = NULL;
	b->len = b->room = 0;
	b->failed = true;
}

/* Room for @more bytes and a NUL, or a failed buffer. */
static bool reserve(struct mf_strbuf *b, size_t more)
{
	// A NUL must fit behind the longest text, so SIZE_MAX as a cap ("none") is one byte less.
	size_t cap = b->cap < SIZE_MAX ? b->cap : SIZE_MAX - 1, need, room;
	char *str;

	if (b->failed)
		return false;
	if (more > cap - b->len) {
		fail(b);
		return false;
	}
	need = b->len + more + 1;
	if (need <= b->room)
		return true;
	room = b->room <= cap / 2 ? b->room * 2 : cap + 1;
	if (room < 128)
		room = cap < 127 ? cap + 1 : 128;
	if (room < need)
		room = need;
	str = realloc(b->str, room);
	if (!str) {
		fail(b);
		return false;
	}
	b->str = str;
	b->room = room;
	return true;
}

void mf_strbuf_add(struct mf_strbuf *b, const void *ptr, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len)
		memcpy(b->str + b->len, ptr, len);
	b->len += len;
	b->str[b->len] = '\0';
}

void mf_strbuf_adds(struct mf_strbuf *b, const char *str)
{
	mf_strbuf_add(b, str, strlen(str));
}

void mf_strbuf_addc(struct mf_strbuf *b, char c)
{
	mf_strbuf_add(b, &c, 1);
}

void mf_strbuf_addf(struct mf_strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		fail(b);
		return;
	}
	if (!reserve(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->str + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void mf_strbuf_clear(struct mf_strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->str)
		b->str[0] = '\0';
}

void mf_strbuf_done(struct mf_strbuf *b)
{
	free(b->str);
	b->str = NULL;
	b->len = b->room = 0;
}
