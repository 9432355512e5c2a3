/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h - memory of large tables
 *
 * A table of some megabytes that is read here and there misses the processor's cache of page addresses with almost every
 * read, which costs as much as a miss of the data, and in a virtual machine twice. So large tables ask the system for
 * large pages where it gives them on request (Linux: 2 MiB, see madvise(2), MADV_HUGEPAGE). Memory is still given as it is
 * touched, in pieces of that size.
 */
#ifndef MF_BASE_PAGES_H
#define MF_BASE_PAGES_H

#include <stddef.h>

/**
 * mf_pages_alloc() - Zeroed memory for @cnt elements of @size bytes that begins at a cache line
 * @ret_mem: for free()
 * Return: NULL without memory, or if there cannot be as much (and *ret_mem is NULL)
 */
void *mf_pages_alloc(size_t cnt, size_t size, void **ret_mem);

/* From this many bytes on, large pages are asked for: less would waste a good part of one. */
#define MF_PAGES_LARGE_MIN (1u << 20)

/* The system's part (pages_linux.c and so on). */
/** mf_pages_large_size() - Bytes of a large page that the system gives on request; 0 where it gives none like that */
size_t mf_pages_large_size(void);
/** mf_pages_ask_large() - Ask for them where nothing was touched yet; a refusal changes nothing but speed */
void mf_pages_ask_large(void *ptr, size_t len);

#endif
