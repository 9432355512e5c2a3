/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - see pages.h */
#include "core/base/pages.h"

#include <stdint.h>
#include <stdlib.h>

#define LINE 64u

void *mf_pages_alloc(size_t cnt, size_t size, void **ret_mem)
{
	size_t bytes, room, large = 0, line;
	void *ptr;

	*ret_mem = NULL;
	if (__builtin_mul_overflow(cnt, size, &bytes))
		return NULL;
	if (bytes >= MF_PAGES_LARGE_MIN)
		large = mf_pages_large_size();
	line = large ? large : LINE;
	if (__builtin_add_overflow(bytes, line - 1, &room))
		return NULL;
	*ret_mem = calloc(1, room);
	if (!*ret_mem)
		return NULL;
	ptr = (void *)(((uintptr_t)*ret_mem + line - 1) & ~(uintptr_t)(line - 1));
	if (large)
		mf_pages_ask_large(ptr, bytes);
	return ptr;
}
