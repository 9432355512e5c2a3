/* SPDX-License-Identifier: Apache-2.0 */
/* quic_crypto.c - Initial keys, opening and sealing packets (RFC 9001 §5, RFC 9369 §3.3) */
#include <stdlib.h>

#include <openssl/evp.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/quic_initial.h"

enum {
	TAG = 16,
	SAMPLE = 16,
	SECRET = 32,
	NUMBER_MAX = 4,
	ROOM = 65536,
};

/* What a version changes (RFC 9001 §5.2, RFC 9369 §3.3). */
static const struct version {
	uint32_t version;
	uint8_t salt[20];
	const char *key, *iv, *hp;
} versions[] = {
	{ MF_QUIC_V1,
	  { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
	    0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
	  "quic key",
	  "quic iv",
	  "quic hp" },
	{ MF_QUIC_V2,
	  { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
	    0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
	  "quicv2 key",
	  "quicv2 iv",
	  "quicv2 hp" },
};

struct mf_quic_crypto {
	EVP_CIPHER *gcm, *ecb;
	EVP_CIPHER_CTX *gcm_ctx, *ecb_ctx;
	uint8_t header[ROOM], clear[ROOM];
};

struct mf_quic_crypto *mf_quic_crypto_new(void)
{
	struct mf_quic_crypto *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	c->ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	c->gcm_ctx = EVP_CIPHER_CTX_new();
	c->ecb_ctx = EVP_CIPHER_CTX_new();
	if (c->gcm && c->ecb && c->gcm_ctx && c->ecb_ctx)
		return c;
	mf_quic_crypto_free(c);
	return NULL;
}

void mf_quic_crypto_free(struct mf_quic_crypto *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->gcm_ctx);
	EVP_CIPHER_CTX_free(c->ecb_ctx);
	EVP_CIPHER_free(c->gcm);
	EVP_CIPHER_free(c->ecb);
	free(c);
}

static bool hmac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len,
		 uint8_t ret[SECRET])
{
	size_t n = 0;

	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, data, len, ret, SECRET,
			 &n) &&
	       n == SECRET;
}

/* HKDF-Expand-Label (RFC 8446 §7.1) without context; one block of HMAC is all that anybody here wants. */
static bool expand(const uint8_t secret[SECRET], const char *label, uint8_t *ret, size_t len)
{
	uint8_t info[64], block[SECRET];
	size_t label_len = strlen(label), n = 0;

	mf_store_be16(info, (uint16_t)len);
	info[2] = (uint8_t)(6 + label_len);
	n = 3;
	memcpy(info + n, "tls13 ", 6);
	n += 6;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0; /* no context */
	info[n++] = 1; /* the first block */
	if (!hmac(secret, SECRET, info, n, block))
		return false;
	memcpy(ret, block, len);
	return true;
}

static const struct version *find_version(uint32_t version)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(versions); i++)
		if (versions[i].version == version)
			return &versions[i];
	return NULL;
}

int mf_quic_derive_keys(uint32_t version, struct mf_span dcid, bool server,
			struct mf_quic_keys *ret)
{
	const struct version *v = find_version(version);
	uint8_t initial[SECRET], secret[SECRET];

	if (!v)
		return MF_E_UNSUPPORTED;
	if (!hmac(v->salt, sizeof(v->salt), dcid.ptr, dcid.len, initial) ||
	    !expand(initial, server ? "server in" : "client in", secret, SECRET) ||
	    !expand(secret, v->key, ret->key, sizeof(ret->key)) ||
	    !expand(secret, v->iv, ret->iv, sizeof(ret->iv)) ||
	    !expand(secret, v->hp, ret->hp, sizeof(ret->hp)))
		return MF_E_NOMEM;
	return 0;
}

static bool make_mask(struct mf_quic_crypto *c, const struct mf_quic_keys *keys,
		      const uint8_t *sample, uint8_t ret[SAMPLE])
{
	int n = 0;

	return EVP_EncryptInit_ex2(c->ecb_ctx, c->ecb, keys->hp, NULL, NULL) &&
	       EVP_CIPHER_CTX_set_padding(c->ecb_ctx, 0) &&
	       EVP_EncryptUpdate(c->ecb_ctx, ret, &n, sample, SAMPLE) && n == SAMPLE;
}

static void make_nonce(const struct mf_quic_keys *keys, int64_t number, uint8_t ret[12])
{
	memcpy(ret, keys->iv, 12);
	for (unsigned i = 0; i < 8; i++)
		ret[11 - i] ^= (uint8_t)((uint64_t)number >> 8 * i);
}

/* RFC 9000 §A.3: the number nearest to the one expected that ends in the bits sent. */
static int64_t whole_number(int64_t largest, uint32_t sent, unsigned len)
{
	int64_t expected = largest + 1, window = INT64_C(1) << 8 * len, half = window / 2;
	int64_t number = (expected & ~(window - 1)) | sent;

	if (number <= expected - half && number < (INT64_C(1) << 62) - window)
		return number + window;
	if (number > expected + half && number >= window)
		return number - window;
	return number;
}

int mf_quic_open(struct mf_quic_crypto *c, const struct mf_quic_keys *keys,
		 const struct mf_quic_packet *packet, int64_t largest, struct mf_span *ret_payload,
		 int64_t *ret_number)
{
	const uint8_t *p = packet->whole.ptr;
	size_t at = packet->number_at, len = packet->whole.len, body;
	uint8_t mask[SAMPLE], nonce[12], tag[TAG];
	uint32_t sent = 0;
	unsigned number_len;
	int n = 0, end = 0;

	if (len > ROOM || len < at + NUMBER_MAX + SAMPLE ||
	    !make_mask(c, keys, p + at + NUMBER_MAX, mask))
		return MF_E_NOT_MINE;
	memcpy(c->header, p, at + NUMBER_MAX);
	c->header[0] ^= mask[0] & 0x0f;
	number_len = (c->header[0] & 3) + 1u;
	for (unsigned i = 0; i < number_len; i++) {
		c->header[at + i] ^= mask[1 + i];
		sent = sent << 8 | c->header[at + i];
	}
	at += number_len;
	body = len - at - TAG;
	memcpy(tag, p + len - TAG, TAG);
	*ret_number = whole_number(largest, sent, number_len);
	make_nonce(keys, *ret_number, nonce);
	if (!EVP_DecryptInit_ex2(c->gcm_ctx, c->gcm, keys->key, nonce, NULL) ||
	    !EVP_DecryptUpdate(c->gcm_ctx, NULL, &n, c->header, (int)at) ||
	    !EVP_DecryptUpdate(c->gcm_ctx, c->clear, &n, p + at, (int)body) ||
	    !EVP_CIPHER_CTX_ctrl(c->gcm_ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) ||
	    EVP_DecryptFinal_ex(c->gcm_ctx, c->clear + n, &end) <= 0)
		return MF_E_NOT_MINE;
	*ret_payload = mf_span_of(c->clear, body);
	/* the bits mean nothing before the packet is known to be genuine, RFC 9000 §17.2 */
	return c->header[0] & 0x0c ? MF_E_BAD : 0;
}

static size_t put_varint(uint8_t *out, uint32_t v)
{
	if (v < 64) {
		out[0] = (uint8_t)v;
		return 1;
	}
	if (v < 16384) {
		mf_store_be16(out, (uint16_t)(0x4000 | v));
		return 2;
	}
	mf_store_be32(out, UINT32_C(0x80000000) | v);
	return 4;
}

static size_t put_cid(uint8_t *out, struct mf_span cid)
{
	out[0] = (uint8_t)cid.len;
	if (cid.len)
		memcpy(out + 1, cid.ptr, cid.len);
	return 1 + cid.len;
}

/* The header with its packet number, unprotected. Return: bytes */
static size_t write_header(const struct mf_quic_draft *d, uint8_t *out)
{
	uint8_t type = d->version == MF_QUIC_V2 ? 1 : 0;
	size_t n = 5, rest = d->number_len + d->frames.len + TAG;

	out[0] = (uint8_t)(0xc0 | type << 4 | (d->number_len - 1));
	mf_store_be32(out + 1, d->version);
	n += put_cid(out + n, d->dcid);
	n += put_cid(out + n, d->scid);
	n += put_varint(out + n, (uint32_t)d->token.len);
	if (d->token.len)
		memcpy(out + n, d->token.ptr, d->token.len);
	n += d->token.len;
	/* always two bytes, as everybody writes it: the length is not known when the header is begun */
	mf_store_be16(out + n, (uint16_t)(0x4000 | rest));
	n += 2;
	for (unsigned i = 0; i < d->number_len; i++)
		out[n++] = (uint8_t)(d->number >> 8 * (d->number_len - 1 - i));
	return n;
}

int mf_quic_seal(struct mf_quic_crypto *c, const struct mf_quic_keys *keys,
		 const struct mf_quic_draft *d, uint8_t *out, size_t cap)
{
	uint8_t mask[SAMPLE], nonce[12];
	size_t head, at, sum;
	int n = 0, end = 0;

	sum = d->dcid.len + d->scid.len + d->token.len + d->frames.len;
	if (mf_bug(d->number_len < 1 || d->number_len > NUMBER_MAX ||
		   d->number_len + d->frames.len < NUMBER_MAX))
		return MF_E_LIMIT;
	if (sum + 64 > cap || d->number_len + d->frames.len + TAG >= 16384)
		return MF_E_LIMIT;
	head = write_header(d, out);
	at = head - d->number_len;
	make_nonce(keys, d->number, nonce);
	if (!EVP_EncryptInit_ex2(c->gcm_ctx, c->gcm, keys->key, nonce, NULL) ||
	    !EVP_EncryptUpdate(c->gcm_ctx, NULL, &n, out, (int)head) ||
	    !EVP_EncryptUpdate(c->gcm_ctx, out + head, &n, d->frames.ptr, (int)d->frames.len) ||
	    EVP_EncryptFinal_ex(c->gcm_ctx, out + head + n, &end) <= 0 ||
	    !EVP_CIPHER_CTX_ctrl(c->gcm_ctx, EVP_CTRL_AEAD_GET_TAG, TAG,
				 out + head + d->frames.len) ||
	    !make_mask(c, keys, out + at + NUMBER_MAX, mask))
		return MF_E_NOMEM;
	out[0] ^= mask[0] & 0x0f;
	for (unsigned i = 0; i < d->number_len; i++)
		out[at + i] ^= mask[1 + i];
	return (int)(head + d->frames.len + TAG);
}

int mf_quic_write_close(struct mf_quic_crypto *c, const struct mf_quic_packet *packet,
			struct mf_span first_dcid, enum mf_tls_alert alert, const char *reason,
			uint8_t *out)
{
	struct mf_quic_draft draft = { .version = packet->version,
				       .dcid = packet->scid,
				       .scid = packet->dcid,
				       .number_len = 2 };
	uint8_t frames[128];
	size_t reason_len = strlen(reason), n = 0;
	struct mf_quic_keys keys;
	int r = mf_quic_derive_keys(packet->version, first_dcid, true, &keys);

	if (r < 0)
		return r;
	if (reason_len > 60)
		reason_len = 60;
	frames[n++] = 0x1c;
	n += put_varint(frames + n, 0x100u + (uint32_t)alert);
	frames[n++] = 0; /* the frame type to blame: none */
	n += put_varint(frames + n, (uint32_t)reason_len);
	memcpy(frames + n, reason, reason_len);
	draft.frames = mf_span_of(frames, n + reason_len);
	return mf_quic_seal(c, &keys, &draft, out, MF_QUIC_CLOSE_MAX);
}

int mf_quic_write_negotiation(const struct mf_quic_packet *foreign, uint8_t *out)
{
	size_t n = 5;

	out[0] = 0xc0;
	mf_store_be32(out + 1, 0);
	n += put_cid(out + n, foreign->scid);
	n += put_cid(out + n, foreign->dcid);
	for (size_t i = 0; i < MF_ARRAY_SIZE(versions); i++, n += 4)
		mf_store_be32(out + n, versions[i].version);
	return (int)n;
}
