// SPDX-License-Identifier: Apache-2.0
// quick.c - see quick.h
#define OPENSSL_SUPPRESS_DEPRECATED // SHA-256 without its wrappers, which cost more than the hash
#include "bench/intercept/quick.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "core/base/err.h"

enum {
	RECORD_HEAD = 5,
	TAG = 16,
	HELLO_MAX = 512,
	CHANGE_CIPHER_SPEC = 20,
	HANDSHAKE = 22,
	APPLICATION_DATA = 23,
	SERVER_HELLO = 2,
	FINISHED = 20,
	KEY_SHARE = 51,
	X25519 = 29,
};

static EVP_PKEY *share;
static uint8_t hello[HELLO_MAX]; // with its record's head
static size_t hello_len;
static const char *request;
static uint8_t derived_early[QUICK_HASH], empty_hash[QUICK_HASH];

// --- keys (RFC 8446 §7.1) -------------------------------------------------------------------------------------------

static void hmac(const uint8_t key[QUICK_HASH], const void *a, size_t a_len, const void *b,
		 size_t b_len, uint8_t out[QUICK_HASH])
{
	uint8_t pad[SHA256_CBLOCK], inner[QUICK_HASH];
	SHA256_CTX c;

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < QUICK_HASH; i++)
		pad[i] ^= key[i];
	SHA256_Init(&c);
	SHA256_Update(&c, pad, sizeof(pad));
	SHA256_Update(&c, a, a_len);
	SHA256_Update(&c, b, b_len);
	SHA256_Final(inner, &c);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&c);
	SHA256_Update(&c, pad, sizeof(pad));
	SHA256_Update(&c, inner, sizeof(inner));
	SHA256_Final(out, &c);
}

// HKDF-Expand-Label; at most one block. @hash NULL: an empty context
static void expand(const uint8_t secret[QUICK_HASH], const char *label, const uint8_t *hash,
		   uint8_t *out, size_t len)
{
	uint8_t info[64] = { 0, (uint8_t)len, (uint8_t)(6 + strlen(label)) };
	uint8_t block[QUICK_HASH];
	size_t n = 3 + 6 + strlen(label);

	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, strlen(label));
	info[n++] = hash ? QUICK_HASH : 0;
	if (hash)
		memcpy(info + n, hash, QUICK_HASH);
	n += hash ? QUICK_HASH : 0;
	hmac(secret, info, n, "\1", 1, block);
	memcpy(out, block, len);
}

static void set_key(struct quick_key *k, const uint8_t secret[QUICK_HASH], bool writes)
{
	uint8_t key[16];

	expand(secret, "key", NULL, key, sizeof(key));
	expand(secret, "iv", NULL, k->iv, sizeof(k->iv));
	k->seq = 0;
	if (!k->cipher)
		k->cipher = EVP_CIPHER_CTX_new();
	MF_MUST(k->cipher &&
		EVP_CipherInit_ex(k->cipher, EVP_aes_128_gcm(), NULL, key, NULL, writes) == 1);
}

static void hash_so_far(const struct quick *q, uint8_t out[QUICK_HASH])
{
	SHA256_CTX c = q->transcript;

	SHA256_Final(out, &c);
}

static void agree(const uint8_t *peer, uint8_t out[QUICK_HASH])
{
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, QUICK_HASH);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(share, NULL);
	size_t len = QUICK_HASH;

	MF_MUST(theirs && ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		EVP_PKEY_derive_set_peer(ctx, theirs) == 1 && EVP_PKEY_derive(ctx, out, &len) == 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(theirs);
}

// --- records --------------------------------------------------------------------------------------------------------

// En- or decrypts in place. Return: false: the tag is wrong
static bool crypt(struct quick_key *k, const uint8_t head[RECORD_HEAD], uint8_t *text, size_t len,
		  uint8_t *tag, bool writes)
{
	uint8_t nonce[12];
	int n;

	memcpy(nonce, k->iv, sizeof(nonce));
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] ^= (uint8_t)(k->seq >> (56 - 8 * i));
	k->seq++;
	MF_MUST(EVP_CipherInit_ex(k->cipher, NULL, NULL, NULL, nonce, writes) == 1);
	if (!writes)
		EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_AEAD_SET_TAG, TAG, tag);
	if (EVP_CipherUpdate(k->cipher, NULL, &n, head, RECORD_HEAD) != 1 ||
	    EVP_CipherUpdate(k->cipher, text, &n, text, (int)len) != 1 ||
	    EVP_CipherFinal_ex(k->cipher, text + len, &n) != 1)
		return false;
	return !writes || EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1;
}

static void write_record(struct quick *q, uint8_t type, const void *text, size_t len)
{
	uint8_t *p = q->out + q->out_len;
	size_t n = len + 1 + TAG;

	MF_MUST(q->out_len + RECORD_HEAD + n <= QUICK_OUT_MAX);
	p[0] = APPLICATION_DATA;
	p[1] = p[2] = 3;
	p[3] = (uint8_t)(n >> 8);
	p[4] = (uint8_t)n;
	memcpy(p + RECORD_HEAD, text, len);
	p[RECORD_HEAD + len] = type;
	MF_MUST(crypt(&q->write, p, p + RECORD_HEAD, len + 1, p + RECORD_HEAD + len + 1, true));
	q->out_len += RECORD_HEAD + n;
}

// --- the handshake --------------------------------------------------------------------------------------------------

static uint8_t *put16(uint8_t *p, size_t n)
{
	*p++ = (uint8_t)(n >> 8);
	*p++ = (uint8_t)n;
	return p;
}

static void write_hello(const char *name)
{
	static const uint8_t fixed[] = {
		0, 43, 0, 3,  2, 3,  4,		      // supported_versions: 1.3
		0, 10, 0, 4,  0, 2,  0, X25519,	      // supported_groups
		0, 13, 0, 6,  0, 4,  4, 3,	8, 4, // signature_algorithms: ECDSA P-256, RSA-PSS
		0, 51, 0, 38, 0, 36, 0, X25519, 0, QUICK_HASH, // key_share, and the share
	};
	size_t name_len = strlen(name), len = QUICK_HASH;
	uint8_t *p = hello + RECORD_HEAD + 4, *exts;

	p = put16(p, 0x0303);
	RAND_bytes(p, 32);
	p += 32;
	*p++ = 0; // no session
	p = put16(p, 2);
	p = put16(p, 0x1301);
	*p++ = 1;
	*p++ = 0;
	exts = p;
	p = put16(p + 2, 0); // server_name
	p = put16(p, name_len + 5);
	p = put16(p, name_len + 3);
	*p++ = 0;
	p = put16(p, name_len);
	memcpy(p, name, name_len);
	p += name_len;
	memcpy(p, fixed, sizeof(fixed));
	p += sizeof(fixed);
	MF_MUST(EVP_PKEY_get_raw_public_key(share, p, &len) == 1);
	p += len;
	put16(exts, (size_t)(p - exts) - 2);
	hello_len = (size_t)(p - hello);
	memcpy(hello, "\x16\3\1", 3);
	put16(hello + 3, hello_len - RECORD_HEAD);
	hello[RECORD_HEAD] = 1;
	hello[RECORD_HEAD + 1] = 0;
	put16(hello + RECORD_HEAD + 2, hello_len - RECORD_HEAD - 4);
}

void quick_start(const char *name, const char *text)
{
	static const uint8_t zero[QUICK_HASH];
	uint8_t early[QUICK_HASH];

	MF_MUST(strlen(name) < 256);
	request = text;
	share = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	MF_MUST(share);
	write_hello(name);
	SHA256(NULL, 0, empty_hash);
	hmac(zero, zero, sizeof(zero), NULL, 0, early);
	expand(early, "derived", empty_hash, derived_early, QUICK_HASH);
}

void quick_begin(struct quick *q)
{
	q->keyed = q->finished = false;
	q->in_len = q->msgs_len = q->answer_len = 0;
	SHA256_Init(&q->transcript);
	SHA256_Update(&q->transcript, hello + RECORD_HEAD, hello_len - RECORD_HEAD);
	memcpy(q->out, hello, hello_len);
	q->out_len = hello_len;
}

static bool take_server_hello(struct quick *q, const uint8_t *msg, size_t len)
{
	uint8_t hash[QUICK_HASH], secret[QUICK_HASH];
	const uint8_t *p = msg + 4 + 2 + 32, *end = msg + len;

	if (len < 4 + 2 + 32 + 1 || (size_t)(end - p) < 1u + *p + 5)
		return false;
	for (p += 1 + *p + 5; end - p >= 4; p += 4 + (p[2] << 8 | p[3])) {
		if (p[1] != KEY_SHARE || p[0] != 0 || end - p < 8 + QUICK_HASH || p[5] != X25519)
			continue;
		agree(p + 8, secret);
		hmac(derived_early, secret, sizeof(secret), NULL, 0, q->secret);
		hash_so_far(q, hash);
		expand(q->secret, "c hs traffic", hash, q->client_hs, QUICK_HASH);
		expand(q->secret, "s hs traffic", hash, secret, QUICK_HASH);
		set_key(&q->read, secret, false);
		set_key(&q->write, q->client_hs, true);
		q->keyed = true;
		return true;
	}
	return false; // or it asks for another hello
}

static void take_finished(struct quick *q)
{
	static const uint8_t zero[QUICK_HASH];
	uint8_t hash[QUICK_HASH], key[QUICK_HASH], own[4 + QUICK_HASH] = { FINISHED, 0, 0, 32 };

	hash_so_far(q, hash);
	expand(q->client_hs, "finished", NULL, key, QUICK_HASH);
	hmac(key, hash, QUICK_HASH, NULL, 0, own + 4);
	write_record(q, HANDSHAKE, own, sizeof(own));
	expand(q->secret, "derived", empty_hash, key, QUICK_HASH);
	hmac(key, zero, QUICK_HASH, NULL, 0, q->secret);
	expand(q->secret, "s ap traffic", hash, key, QUICK_HASH);
	set_key(&q->read, key, false);
	expand(q->secret, "c ap traffic", hash, key, QUICK_HASH);
	set_key(&q->write, key, true);
	q->finished = true;
	write_record(q, APPLICATION_DATA, request, strlen(request));
}

// Tickets and whatever else comes behind the handshake is passed over.
static bool take_messages(struct quick *q, const uint8_t *text, size_t len)
{
	if (q->finished)
		return true;
	if (q->msgs_len + len > QUICK_IN_MAX)
		return false;
	memcpy(q->msgs + q->msgs_len, text, len);
	q->msgs_len += len;
	while (q->msgs_len >= 4 && !q->finished) {
		size_t n = 4u + ((size_t)q->msgs[1] << 16 | (size_t)q->msgs[2] << 8 | q->msgs[3]);
		uint8_t type = q->msgs[0];

		if (q->msgs_len < n)
			return true;
		SHA256_Update(&q->transcript, q->msgs, n);
		if (type == SERVER_HELLO && !take_server_hello(q, q->msgs, n))
			return false;
		q->msgs_len -= n;
		memmove(q->msgs, q->msgs + n, q->msgs_len);
		if (type == FINISHED)
			take_finished(q);
	}
	return true;
}

static bool take_record(struct quick *q, uint8_t *head, uint8_t *text, size_t len)
{
	uint8_t type = head[0];

	if (type == CHANGE_CIPHER_SPEC)
		return true;
	if (type == APPLICATION_DATA && q->keyed && len > TAG) {
		len -= TAG;
		if (!crypt(&q->read, head, text, len, text + len, false))
			return false;
		while (len && !text[len - 1])
			len--;
		type = len ? text[--len] : 0;
	}
	if (type == HANDSHAKE)
		return take_messages(q, text, len);
	if (type != APPLICATION_DATA || !q->finished || q->answer_len + len >= QUICK_OUT_MAX)
		return false;
	memcpy(q->answer + q->answer_len, text, len);
	q->answer_len += len;
	q->answer[q->answer_len] = '\0';
	return true;
}

bool quick_take(struct quick *q, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	if (q->in_len + len > QUICK_IN_MAX)
		return false;
	memcpy(q->in + q->in_len, bytes, len);
	q->in_len += len;
	while (q->in_len - at >= RECORD_HEAD) {
		uint8_t *head = q->in + at;
		size_t n = (size_t)head[3] << 8 | head[4];

		if (q->in_len - at < RECORD_HEAD + n)
			break;
		if (!take_record(q, head, head + RECORD_HEAD, n))
			return false;
		at += RECORD_HEAD + n;
	}
	q->in_len -= at;
	memmove(q->in, q->in + at, q->in_len);
	return true;
}

void quick_end(struct quick *q)
{
	if (q->finished)
		write_record(q, 21, "\1\0", 2);
}

void quick_free(struct quick *q)
{
	EVP_CIPHER_CTX_free(q->read.cipher);
	EVP_CIPHER_CTX_free(q->write.cipher);
}
