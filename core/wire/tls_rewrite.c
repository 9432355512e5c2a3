/* SPDX-License-Identifier: Apache-2.0 */
/* tls_rewrite.c - a ClientHello with another server_name */
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
