/* SPDX-License-Identifier: Apache-2.0 */
/* pages_linux.c - large pages of Linux; see pages.h */
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/pages.h"

size_t mf_pages_large_size(void)
{
	// Of x86-64, and of AArch64 with pages of 4 KiB; elsewhere memory is aligned in vain.
	return 2u << 20;
}

void mf_pages_ask_large(void *ptr, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)madvise(ptr, len & ~(page - 1), MADV_HUGEPAGE);
}
