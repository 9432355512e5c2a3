// SPDX-License-Identifier: Apache-2.0
// quick.h - a TLS 1.3 client that costs a fraction of a real one, so that it is not what a bench of handshakes measures
//
// It does what the other side can see of a full handshake (RFC 8446), with one suite (AES-128-GCM, SHA-256) and one group
// (X25519), and nothing else: its share is the same each time, and it looks neither at certificates nor at signatures. It is
// good for benches only.
#ifndef MF_BENCH_INTERCEPT_QUICK_H
#define MF_BENCH_INTERCEPT_QUICK_H

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUICK_IN_MAX = 32768, QUICK_OUT_MAX = 4096, QUICK_HASH = 32 };

struct quick_key { // of one direction
	EVP_CIPHER_CTX *cipher;
	uint8_t iv[12];
	uint64_t seq;
};

struct quick {
	SHA256_CTX transcript;
	uint8_t secret[QUICK_HASH]; // handshake secret, then master secret
	struct quick_key read, write;
	uint8_t client_hs[QUICK_HASH];
	bool keyed, finished;
	uint8_t in[QUICK_IN_MAX]; // records that are not whole yet
	size_t in_len;
	uint8_t msgs[QUICK_IN_MAX]; // handshake messages that are not whole yet
	size_t msgs_len;
	uint8_t out[QUICK_OUT_MAX]; // what is to be sent
	size_t out_len;
	uint8_t answer[QUICK_OUT_MAX]; // plaintext that came, NUL-terminated
	size_t answer_len;
};

// Once, before all others: everybody asks for @name, and then for @request.
void quick_start(const char *name, const char *request);

// A new connection: its hello is in out.
void quick_begin(struct quick *q);

// Bytes came; afterwards there may be something in out, and in answer. Return: false: this is not what it understands
bool quick_take(struct quick *q, const uint8_t *bytes, size_t len);

// A close_notify in out
void quick_end(struct quick *q);

void quick_free(struct quick *q);

#endif
