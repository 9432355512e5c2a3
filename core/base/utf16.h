/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf16.h - UTF-8 to UTF-16 and back, for what Windows says in 16-bit units; strict both ways
 *
 * A name with half a surrogate pair is legal on NTFS, but has no UTF-8: it is refused, never mended, since two names that
 * differ must not become one in front of a policy.
 */
#ifndef MF_BASE_UTF16_H
#define MF_BASE_UTF16_H

#include <stddef.h>
#include <stdint.h>

#include <moonfence/moonfence.h>

#include "core/base/utf8.h"

/* UTF-8 bytes that one 16-bit unit becomes at most. */
#define MF_UTF8_PER_UNIT 3

/**
 * mf_utf16_from_utf8() - @len bytes of UTF-8 as 16-bit units in host order; no NUL is written
 * Return: units; MF_E_SYNTAX for bytes that are no UTF-8, MF_E_LIMIT when they need more than @room units
 */
static inline int mf_utf16_from_utf8(const char *text, size_t len, uint16_t *ret, size_t room)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t units = 0;

	while (len) {
		uint32_t c;
		size_t used = mf_utf8_decode(p, len, &c), need = c >= 0x10000 ? 2 : 1;

		if (c >= MF_UTF8_BAD)
			return MF_E_SYNTAX;
		if (room - units < need || units > INT32_MAX - 2)
			return MF_E_LIMIT;
		if (need == 2 && room >= 2) { // the second half is for GCC 12's bounds check
			ret[units] = (uint16_t)(0xd800 | (c - 0x10000) >> 10);
			ret[units + 1] = (uint16_t)(0xdc00 | (c & 0x3ff));
		} else {
			ret[units] = (uint16_t)c;
		}
		units += need;
		p += used;
		len -= used;
	}
	return (int)units;
}

/**
 * mf_utf8_from_utf16() - @units 16-bit units in host order as UTF-8 with a NUL
 * @room: bytes of @ret; units * MF_UTF8_PER_UNIT + 1 is enough
 * Return: bytes without the NUL; MF_E_SYNTAX for half a surrogate pair, MF_E_LIMIT
 */
static inline int mf_utf8_from_utf16(const uint16_t *text, size_t units, char *ret, size_t room)
{
	size_t len = 0;

	for (size_t i = 0; i < units; i++) {
		uint32_t c = text[i];
		unsigned need, shift;

		if (c >= 0xd800 && c < 0xe000) {
			if (c >= 0xdc00 || i + 1 == units || (text[i + 1] & 0xfc00) != 0xdc00)
				return MF_E_SYNTAX;
			c = 0x10000 + ((c & 0x3ff) << 10 | (text[++i] & 0x3ffu));
		}
		need = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		if (room < need + 1 || len > room - need - 1 || len > INT32_MAX - 8)
			return MF_E_LIMIT;
		if (need == 1) {
			ret[len++] = (char)c;
			continue;
		}
		shift = 6 * (need - 1);
		ret[len++] = (char)((0xf00u >> need & 0xff) | c >> shift);
		while (shift) {
			shift -= 6;
			ret[len++] = (char)(0x80 | (c >> shift & 0x3f));
		}
	}
	if (len >= room)
		return MF_E_LIMIT;
	ret[len] = '\0';
	return (int)len;
}

#endif
