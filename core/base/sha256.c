/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.c - see sha256.h; names and steps are those of FIPS 180-4, section 6.2 */
#include "core/base/sha256.h"

#include <string.h>

#define BLOCK 64

static const uint32_t k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2
};

static uint32_t rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void add_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], v[8];

	for (int t = 0; t < 16; t++)
		w[t] = (uint32_t)p[t * 4] << 24 | (uint32_t)p[t * 4 + 1] << 16 |
		       (uint32_t)p[t * 4 + 2] << 8 | p[t * 4 + 3];
	for (int t = 16; t < 64; t++) {
		uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
		uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;

		w[t] = w[t - 16] + s0 + w[t - 7] + s1;
	}
	memcpy(v, h, sizeof(v));
	for (int t = 0; t < 64; t++) {
		uint32_t s1 = rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[t] + w[t];
		uint32_t s0 = rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22);
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += v[i];
}

void mf_sha256_begin(struct mf_sha256 *s)
{
	static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memcpy(s->state, first, sizeof(first));
	s->len = 0;
}

void mf_sha256_add(struct mf_sha256 *s, const void *data, size_t len)
{
	size_t have = s->len % BLOCK, take;
	const uint8_t *p = data;

	s->len += len;
	if (have) {
		take = len < BLOCK - have ? len : BLOCK - have;
		memcpy(s->rest + have, p, take);
		p += take;
		len -= take;
		if (have + take < BLOCK)
			return;
		add_block(s->state, s->rest);
	}
	for (; len >= BLOCK; len -= BLOCK, p += BLOCK)
		add_block(s->state, p);
	if (len)
		memcpy(s->rest, p, len);
}

void mf_sha256_end(struct mf_sha256 *s, uint8_t ret[MF_SHA256_LEN])
{
	size_t rest = s->len % BLOCK, end_len = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
	uint8_t end[2 * BLOCK] = { 0 };

	memcpy(end, s->rest, rest);
	end[rest] = 0x80;
	for (int i = 0; i < 8; i++)
		end[end_len - 1 - (size_t)i] = (uint8_t)(s->len * 8 >> 8 * i);
	for (size_t i = 0; i < end_len; i += BLOCK)
		add_block(s->state, end + i);
	for (int i = 0; i < 8; i++)
		for (int b = 0; b < 4; b++)
			ret[i * 4 + b] = (uint8_t)(s->state[i] >> (24 - 8 * b));
}

void mf_sha256(const void *data, size_t len, uint8_t ret[MF_SHA256_LEN])
{
	struct mf_sha256 s;

	mf_sha256_begin(&s);
	mf_sha256_add(&s, data, len);
	mf_sha256_end(&s, ret);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mf_sha256_parse(const char *text, uint8_t ret[MF_SHA256_LEN])
{
	for (size_t i = 0; i < MF_SHA256_LEN; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * (size_t)MF_SHA256_LEN] == '\0';
}
