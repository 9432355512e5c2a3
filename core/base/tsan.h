/* SPDX-License-Identifier: Apache-2.0 */
/* tsan.h - orders that ThreadSanitizer cannot see by itself, as those that the kernel keeps; nothing in other builds */
#ifndef MF_BASE_TSAN_H
#define MF_BASE_TSAN_H

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define MF_TSAN_ACQUIRE(addr) __tsan_acquire(addr)
#define MF_TSAN_RELEASE(addr) __tsan_release(addr)
#else
#define MF_TSAN_ACQUIRE(addr) ((void)(addr))
#define MF_TSAN_RELEASE(addr) ((void)(addr))
#endif

#endif
