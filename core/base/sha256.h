/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256.h - SHA-256 (FIPS 180-4): names of versions, and whether files are those that were signed
 *
 * For floors that do not link a library of cryptography. Plain C, about 5 ns a byte.
 */
#ifndef MF_BASE_SHA256_H
#define MF_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_SHA256_LEN 32

void mf_sha256(const void *data, size_t len, uint8_t ret[MF_SHA256_LEN]);

/* The same piece by piece: mf_sha256_add() any number of times between the other two. */
struct mf_sha256 {
	uint32_t state[8];
	uint64_t len;
	uint8_t rest[64]; /* len % 64 bytes that are not in the state yet */
};

void mf_sha256_begin(struct mf_sha256 *s);
void mf_sha256_add(struct mf_sha256 *s, const void *data, size_t len);
void mf_sha256_end(struct mf_sha256 *s, uint8_t ret[MF_SHA256_LEN]);

/** mf_sha256_parse() - 64 lower-case hexadecimal digits; Return: false for anything else, or more of them */
bool mf_sha256_parse(const char *text, uint8_t ret[MF_SHA256_LEN]);

#endif
