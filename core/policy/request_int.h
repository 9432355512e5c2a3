/* SPDX-License-Identifier: Apache-2.0 */
/* request_int.h - what request.c and request_canon.c share */
#ifndef MF_POLICY_REQUEST_INT_H
#define MF_POLICY_REQUEST_INT_H

#include <string.h>

#include "core/policy/request.h"

/*
 * Eight bytes at once. These functions get a word of bytes and return a word that has, for each byte, its highest bit
 * set or not and all others clear.
 */
#define MF_WORD_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define MF_WORD_HIGH	   MF_WORD_EACH(0x80)

/* The word whose lowest byte stands first in memory; and back. */
static inline uint64_t mf_word_little(uint64_t w)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return __builtin_bswap64(w);
#else
	return w;
#endif
}

static inline uint64_t mf_word_load8(const char *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return w;
}

/* ASCII bytes from @first to @last. */
static inline uint64_t mf_word_bytes_between(uint64_t w, unsigned first, unsigned last)
{
	uint64_t low = w & ~MF_WORD_HIGH;

	return ~w & MF_WORD_HIGH &
	       ((low + MF_WORD_EACH(0x80 - first)) ^ (low + MF_WORD_EACH(0x7f - last)));
}

static inline uint64_t mf_word_bytes_equal(uint64_t w, unsigned byte)
{
	return mf_word_bytes_between(w, byte, byte);
}

/* Bit i of the result: byte i, as they stand in memory. */
static inline uint64_t mf_word_bits_of(uint64_t high_bits)
{
	return (mf_word_little(high_bits) >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

/* request_canon.c */
/*
 * Names. Plain ASCII (letters, digits, '-', '_', '.') is by far the most frequent and takes one pass. Return: length,
 * MF_E_SYNTAX, or MF_E_AGAIN for "not plain"; @out has room for @len bytes
 */
int mf_request_canon_plain_name(const char *str, size_t len, char *out);
/* Any name (IDNA, escapes, spaces); @out has room for MF_NAME_ROOM bytes. Return: length, MF_E_SYNTAX */
int mf_request_canon_name(const char *str, size_t len, char *out);
/* Write canonical text to @out (room for max(@len, 254) bytes). Return: its length or MF_E_SYNTAX */
int mf_request_canon_text(enum mf_canon canon, const char *str, size_t len, char *out);

#endif
