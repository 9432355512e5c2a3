/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch.h - bring memory closer that will be needed soon
 *
 * __builtin_prefetch() alone does not count as an effect: GCC takes a static function that does nothing else for a pure one,
 * and drops its calls. These stay.
 */
#ifndef MF_BASE_PREFETCH_H
#define MF_BASE_PREFETCH_H

static inline __attribute__((always_inline)) void mf_prefetch_read(const void *ptr)
{
	__builtin_prefetch(ptr, 0);
	__asm__ volatile("");
}

static inline __attribute__((always_inline)) void mf_prefetch_write(const void *ptr)
{
	__builtin_prefetch(ptr, 1);
	__asm__ volatile("");
}

#endif
