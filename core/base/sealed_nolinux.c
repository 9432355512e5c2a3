/* SPDX-License-Identifier: Apache-2.0 */
/* sealed_nolinux.c - sealed.h as memory of this process alone: nobody else reaches it */
#include <stdlib.h>
#include <string.h>

#include "core/base/sealed.h"

struct mf_sealed_builder {
	uint8_t *data;
	size_t len, room;
};

int mf_sealed_begin(const char *title, struct mf_sealed_builder **ret_b, struct mf_err *err)
{
	(void)title;
	*ret_b = calloc(1, sizeof(**ret_b));
	return *ret_b ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

int mf_sealed_add(struct mf_sealed_builder *b, const void *data, size_t len, struct mf_err *err)
{
	if (len > b->room - b->len) {
		size_t room = b->room + b->room / 2 + len;
		uint8_t *more = room > b->room ? realloc(b->data, room) : NULL;

		if (!more)
			return mf_err_set(err, MF_E_NOMEM, "no memory for a list");
		b->data = more;
		b->room = room;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

void mf_sealed_cancel(struct mf_sealed_builder *b)
{
	if (!b)
		return;
	free(b->data);
	free(b);
}

int mf_sealed_end(struct mf_sealed_builder *b, struct mf_sealed **ret_s, struct mf_err *err)
{
	struct mf_sealed *s = malloc(sizeof(*s));
	uint8_t *exact;

	if (!s) {
		mf_sealed_cancel(b);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	exact = realloc(b->data, b->len ? b->len : 1);
	*s = (struct mf_sealed){ .data = exact ? exact : b->data, .len = b->len, .fd = -1 };
	free(b);
	*ret_s = s;
	return 0;
}

void mf_sealed_free(struct mf_sealed *s)
{
	if (!s)
		return;
	free((void *)(uintptr_t)s->data);
	free(s);
}

int mf_sealed_find(const char *title, size_t len,
		   bool (*check)(void *ctx, const uint8_t *data, size_t len), void *ctx,
		   struct mf_sealed **ret_s)
{
	(void)title;
	(void)len;
	(void)check;
	(void)ctx;
	(void)ret_s;
	return MF_E_NOENT;
}
