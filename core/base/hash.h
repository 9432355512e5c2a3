/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.h - a seeded 64-bit hash for in-memory tables (wyhash-style multiply and fold)
 *
 * Table seeds are random per table (mf_hash_seed()), so that a peer who picks keys cannot pick collisions. Not for
 * files or wires, and no cryptographic strength.
 */
#ifndef MF_BASE_HASH_H
#define MF_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t mf_hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t mf_hash_load(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len);
	return v;
}

static inline uint64_t mf_hash_u64(uint64_t v, uint64_t seed)
{
	return mf_hash_mix(v ^ 0x9e3779b97f4a7c15u, seed ^ 0xe7037ed1a0b428dbu);
}

/*
 * Every factor of a product holds something of the seed: were one a constant, a peer could choose bytes that make it
 * zero, and with it a product that no longer depends on the rest of the key: any number of collisions.
 */
static inline uint64_t mf_hash_bytes(const void *ptr, size_t len, uint64_t seed)
{
	const uint8_t *p = ptr;
	uint64_t h = seed ^ 0xa0761d6478bd642fu, a, b;
	uint64_t secret = (seed << 32 | seed >> 32) ^ 0x8ebc6af09c88c6e3u;
	size_t n = len;

	for (; n > 16; n -= 16, p += 16)
		h = mf_hash_mix(mf_hash_load(p, 8) ^ secret, mf_hash_load(p + 8, 8) ^ h);
	if (n >= 8) {
		a = mf_hash_load(p, 8);
		b = mf_hash_load(p + n - 8, 8);
	} else if (n >= 4) {
		a = mf_hash_load(p, 4);
		b = mf_hash_load(p + n - 4, 4);
	} else if (n) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
		b = 0;
	} else {
		a = b = 0;
	}
	return mf_hash_mix(0xe7037ed1a0b428dbu ^ len ^ secret, mf_hash_mix(a ^ secret, b ^ h));
}

/** mf_hash_seed() - A random seed for a new table, from the system's random source */
uint64_t mf_hash_seed(void);

#endif
