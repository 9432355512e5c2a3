/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - standard base64 (RFC 4648, padded) of things whose length is known beforehand */
#ifndef MF_PACKS_BASE64_H
#define MF_PACKS_BASE64_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MF_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/**
 * mf_base64_take() - Decode @text into exactly @size bytes, at most 256
 * Only the one text that encodes these bytes will do. Return: false for anything else
 */
static inline bool mf_base64_take(const char *text, size_t len, uint8_t *out, size_t size)
{
	uint8_t buf[260];
	char again[MF_BASE64_LEN(sizeof(buf)) + 1];

	if (size > 256 || len != MF_BASE64_LEN(size) ||
	    EVP_DecodeBlock(buf, (const unsigned char *)text, (int)len) < (int)size)
		return false;
	EVP_EncodeBlock((unsigned char *)again, buf, (int)size);
	if (memcmp(again, text, len) != 0)
		return false;
	memcpy(out, buf, size);
	return true;
}

/** mf_base64_put() - @ret has MF_BASE64_LEN(len) + 1 bytes */
static inline void mf_base64_put(const uint8_t *data, size_t len, char *ret)
{
	EVP_EncodeBlock((unsigned char *)ret, data, (int)len);
}

#endif
