/* SPDX-License-Identifier: Apache-2.0 */
/* tls_rewrite.c - a ClientHello with another server_name, and its JA4 fingerprint */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/tls_hello.h"

enum { RECORD_HEAD = 5, HANDSHAKE_HEAD = 4, SNI_OVERHEAD = 9 };

/* server_name: type, length, list length, name type, name length, name */
static size_t put_server_name(uint8_t *p, struct mf_span name)
{
	mf_store_be16(p, 0);
	mf_store_be16(p + 2, (uint16_t)(name.len + 5));
	mf_store_be16(p + 4, (uint16_t)(name.len + 3));
	p[6] = 0;
	mf_store_be16(p + 7, (uint16_t)name.len);
	memcpy(p + SNI_OVERHEAD, name.ptr, name.len);
	return SNI_OVERHEAD + name.len;
}

/* The new message in @buf; Return: its length. */
static size_t build_message(const struct mf_tls_hello *h, struct mf_span name, uint8_t *buf)
{
	const uint8_t *src = h->message.ptr;
	size_t len = h->message.len, ext_at = h->extensions_at ? h->extensions_at : len;
	size_t cut_at = h->sni_at ? h->sni_at : ext_at + 2; /* a new extension goes first */
	size_t at;

	memcpy(buf, src, ext_at);
	at = ext_at + 2; /* the extensions' length is written last */
	if (h->extensions_at) {
		memcpy(buf + at, src + at, cut_at - at);
		at = cut_at;
	}
	at += put_server_name(buf + at, name);
	if (h->extensions_at) {
		size_t rest_at = cut_at + h->sni_len;

		memcpy(buf + at, src + rest_at, len - rest_at);
		at += len - rest_at;
	}
	mf_store_be16(buf + ext_at, (uint16_t)(at - ext_at - 2));
	mf_store_be24(buf + 1, (uint32_t)(at - HANDSHAKE_HEAD));
	return at;
}

int mf_tls_rewrite_sni(const struct mf_tls_hello *h, struct mf_span first, struct mf_span name,
		       uint8_t *out, size_t cap)
{
	uint8_t message[MF_TLS_HELLO_MAX + SNI_OVERHEAD + 2 + 255];
	size_t len, at = 0, record;

	if (name.len == 0 || name.len > 255 || memchr(name.ptr, 0, name.len))
		return MF_E_INVAL;
	if (h->has_psk || h->sslv2)
		return MF_E_UNSUPPORTED;
	if (mf_bug(first.len < RECORD_HEAD || h->message.len > MF_TLS_HELLO_MAX))
		return MF_E_BUG;
	len = build_message(h, name, message);
	if (len > MF_TLS_HELLO_MAX)
		return MF_E_LIMIT;
	/* A hello in one record stays in one; a fragmented one keeps the size of its first fragment. */
	record = mf_load_be16(first.ptr + 3);
	if (record == h->message.len)
		record = len;
	if (record == 0)
		return MF_E_BUG;
	if (len + (len + record - 1) / record * RECORD_HEAD > cap)
		return MF_E_LIMIT;
	for (size_t off = 0; off < len; off += record) {
		size_t n = len - off < record ? len - off : record;

		memcpy(out + at, first.ptr, 3);
		mf_store_be16(out + at + 3, (uint16_t)n);
		memcpy(out + at + RECORD_HEAD, message + off, n);
		at += RECORD_HEAD + n;
	}
	return (int)at;
}

static int compare_u16(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* First 12 hex digits of SHA-256 over a text; 12 zeros for an empty one. */
static void put_hash12(char *ret, const char *text, size_t len)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	memcpy(ret, "000000000000", 13);
	if (len == 0)
		return;
	SHA256((const unsigned char *)text, len, digest);
	for (int i = 0; i < 6; i++)
		snprintf(ret + i * 2, 3, "%02x", digest[i]);
}

static const char *ja4_version(const struct mf_tls_hello *h)
{
	uint16_t best = 0;

	for (unsigned i = 0; i < h->version_cnt; i++)
		if (h->versions[i] > best)
			best = h->versions[i];
	switch (best) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	case 0x0002:
		return "s2";
	default:
		return "00";
	}
}

/* First and last character of the first protocol; of its hex form where one of them is not alphanumeric. */
static void ja4_alpn(const struct mf_tls_hello *h, char *ret)
{
	uint8_t first, last;

	memcpy(ret, "00", 3);
	if (h->alpn_cnt == 0)
		return;
	first = h->alpn[0].ptr[0];
	last = h->alpn[0].ptr[h->alpn[0].len - 1];
	if (first < 0x80 && last < 0x80 && isalnum(first) && isalnum(last)) {
		ret[0] = (char)first;
		ret[1] = (char)last;
	} else {
		ret[0] = "0123456789abcdef"[first >> 4];
		ret[1] = "0123456789abcdef"[last & 15];
	}
}

/* Appends "1301,1302"; a list longer than @room is cut, which bounds what a hostile hello can cost. */
static size_t put_list(char *text, size_t at, size_t room, const uint16_t *v, size_t cnt)
{
	for (size_t i = 0; i < cnt && at + 6 < room; i++)
		at += (size_t)snprintf(text + at, room - at, i ? ",%04x" : "%04x", v[i]);
	return at;
}

/* The be16 values of @list without GREASE; Return: how many. */
static size_t load_list(struct mf_span list, uint16_t *ret, size_t max)
{
	size_t cnt = 0;

	for (size_t i = 0; i + 1 < list.len && cnt < max; i += 2)
		if (!mf_tls_is_grease(mf_load_be16(list.ptr + i)))
			ret[cnt++] = mf_load_be16(list.ptr + i);
	return cnt;
}

void mf_tls_format_ja4(const struct mf_tls_hello *h, bool quic, char *ret)
{
	enum { VALUES = 512, ROOM = VALUES * 10 };
	uint16_t ciphers[VALUES], exts[MF_TLS_EXTENSIONS_MAX], sigs[VALUES];
	size_t cipher_cnt = load_list(h->ciphers, ciphers, VALUES), ext_cnt = 0, hashed = 0, len;
	size_t sig_cnt = load_list(h->sigalgs, sigs, VALUES);
	char alpn[3], b[13], c[13], text[ROOM];

	for (unsigned i = 0; i < h->extension_cnt; i++) {
		if (mf_tls_is_grease(h->extensions[i]))
			continue;
		ext_cnt++;
		if (h->extensions[i] != 0 && h->extensions[i] != 16)
			exts[hashed++] = h->extensions[i];
	}
	ja4_alpn(h, alpn);
	qsort(ciphers, cipher_cnt, sizeof(ciphers[0]), compare_u16);
	qsort(exts, hashed, sizeof(exts[0]), compare_u16);
	put_hash12(b, text, put_list(text, 0, ROOM, ciphers, cipher_cnt));
	len = put_list(text, 0, ROOM, exts, hashed);
	if (len && sig_cnt) {
		text[len++] = '_';
		len = put_list(text, len, ROOM, sigs, sig_cnt);
	}
	put_hash12(c, text, len);
	snprintf(ret, MF_TLS_JA4_LEN + 1, "%c%s%c%02u%02u%s_%s_%s", quic ? 'q' : 't',
		 ja4_version(h), h->has_sni ? 'd' : 'i',
		 (unsigned)(cipher_cnt > 99 ? 99 : cipher_cnt),
		 (unsigned)(ext_cnt > 99 ? 99 : ext_cnt), alpn, b, c);
}
