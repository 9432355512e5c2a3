/* SPDX-License-Identifier: Apache-2.0 */
/* printf.h - MF_PRINTF(): a function's arguments are checked against its format, C's and not the C library's */
#ifndef MF_BASE_PRINTF_H
#define MF_BASE_PRINTF_H

/* @fmt and @first as for the attribute format(printf). For mingw-w64 plain "printf" would mean Microsoft's old formats. */
#ifdef __clang__
#define MF_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define MF_PRINTF(fmt, first) __attribute__((format(gnu_printf, fmt, first)))
#endif

#endif
