/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h - loads and stores of multi-byte fields at any alignment; packet code never casts to structs */
#ifndef MF_BASE_BYTES_H
#define MF_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t mf_load_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return __builtin_bswap16(v);
}

static inline uint32_t mf_load_be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t mf_load_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static inline uint64_t mf_load_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

static inline void mf_store_be16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, 2);
}

static inline void mf_store_be24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)v;
}

static inline void mf_store_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

static inline void mf_store_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes.h swaps unconditionally");

/*
 * mf_bytes_zero() - memset() to 0 of a struct of 100 to some 200 bytes, for what happens with each packet
 * For a known size like that compilers use the processor's string instructions, whose start alone takes longer than plain
 * stores do; pieces of this size become plain stores. @len is a constant.
 */
#define MF_BYTES_PIECE 64

static inline __attribute__((always_inline)) void mf_bytes_zero(void *ptr, size_t len)
{
	uint8_t *p = ptr;

#pragma GCC unroll 8
	for (; len > MF_BYTES_PIECE; len -= MF_BYTES_PIECE, p += MF_BYTES_PIECE) {
		memset(p, 0, MF_BYTES_PIECE);
		__asm__("" : : : "memory"); // or they are put together again
	}
	memset(p, 0, len);
}

#endif
