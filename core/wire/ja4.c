/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ja4.c - the JA4 fingerprint of a ClientHello
 *
 * "t13d1516h2_8daaf6152771_e5627efa2ab1": transport, newest version, whether a name is sent, how many cipher suites and
 * extensions, the first protocol of ALPN; the sorted suites; the sorted extensions but for server_name and ALPN, with the
 * signature algorithms as sent. Nothing of it counts GREASE. The lists are hashed as their hexadecimal text.
 */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/wire/tls_hello.h"

static int compare_u16(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void put_hex(char *ret, uint8_t byte)
{
	ret[0] = "0123456789abcdef"[byte >> 4];
	ret[1] = "0123456789abcdef"[byte & 15];
}

/* First 12 hex digits of SHA-256 over a text; 12 zeros for an empty one. */
static void put_hash12(char *ret, const char *text, size_t len)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	memcpy(ret, "000000000000", 13);
	if (len == 0)
		return;
	/* SHA256(), not EVP: nothing is allocated, and nothing can fail */
	SHA256((const unsigned char *)text, len, digest);
	for (int i = 0; i < 6; i++)
		put_hex(ret + i * 2, digest[i]);
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
	for (size_t i = 0; i < cnt && at + 6 < room; i++) {
		if (i)
			text[at++] = ',';
		put_hex(text + at, (uint8_t)(v[i] >> 8));
		put_hex(text + at + 2, (uint8_t)v[i]);
		at += 4;
	}
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
