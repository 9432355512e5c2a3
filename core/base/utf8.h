/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - reading UTF-8 that may be wrong (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) */
#ifndef MF_BASE_UTF8_H
#define MF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a byte that is not part of a character reads as, so that it equals itself and no character. */
#define MF_UTF8_BAD 0x110000u

/** mf_utf8_decode() - One character of @len > 0 bytes at @p; Return: bytes used; 1 and MF_UTF8_BAD + byte for a bad one */
static inline size_t mf_utf8_decode(const uint8_t *p, size_t len, uint32_t *ret)
{
	uint32_t c = p[0];
	size_t need = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	*ret = c;
	if (need == 1)
		return 1;
	*ret = MF_UTF8_BAD + c;
	if (need == 0 || need > len)
		return 1;
	c &= 0x7fu >> need;
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if ((need == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
	    (need == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 1;
	*ret = c;
	return need;
}

#endif
