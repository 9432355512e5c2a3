/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_hello.h - read and rewrite the first message of a TLS client (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2, RFC 6066 §3)
 *
 * Pure: bytes in, facts out. A connection collects what its client sends and asks again whenever more has come:
 *
 *	struct mf_tls_scan scan = { 0 };
 *
 *	switch (mf_tls_scan_hello(&scan, bytes_so_far)) {
 *	case MF_E_AGAIN:    wait for more
 *	case MF_E_NOT_MINE: something else than TLS
 *	case MF_E_BAD:      TLS, but malformed: refuse the connection
 *	case 0:             mf_tls_read_hello(&scan, bytes_so_far, &hello)
 *	}
 *
 * Any segmentation and any fragmentation into records is fine, down to one byte each. A scan goes on where it stopped,
 * so the whole costs time linear in the bytes.
 *
 * Encrypted ClientHello: a hello whose extension 0xfe0d is real cannot be told from one that only pretends (GREASE); that
 * is what GREASE is for. @ech says that the extension is there and well-formed. What is told apart further up: a real
 * outer hello names the provider's public name, a pretending one the name that the client resolved.
 *
 * Rewriting: the name that the server sees is replaced. Client and server then hash different handshakes, so an endpoint
 * that takes part in the handshake itself will not finish it; a rewritten hello is for targets that route by name
 * and undo the change, and for hosts that only need to see the name. PSK binders would break at once: refused.
 */
#ifndef MF_WIRE_TLS_HELLO_H
#define MF_WIRE_TLS_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_TLS_HELLO_MAX      16384 /* bytes of the handshake message with its header */
#define MF_TLS_WIRE_MAX	      65536 /* bytes with record headers: small records cost five each */
#define MF_TLS_ALPN_MAX	      16
#define MF_TLS_VERSIONS_MAX   8
#define MF_TLS_EXTENSIONS_MAX 128
#define MF_TLS_JA4_LEN	      36

/* Where a scan stands; all zero at the start. */
struct mf_tls_scan {
	uint32_t pos;	   /* wire offset of the next record header not yet counted */
	uint32_t have;	   /* handshake bytes in the records before pos */
	uint32_t need;	   /* bytes of the whole message; 0: not known yet */
	uint32_t wire_len; /* once complete: wire bytes that the message's records take */
	uint16_t record_cnt;
	uint8_t head[4]; /* the handshake header, collected over records */
	bool sslv2;
	bool done;
};

/* Spans point into the message (mf_tls_read_hello()). */
struct mf_tls_hello {
	struct mf_span message; /* the handshake message, header included, in one piece */
	struct mf_span sni;	/* as sent; empty: none */
	struct mf_span alpn[MF_TLS_ALPN_MAX];
	struct mf_span ciphers, sigalgs;	/* arrays of be16, as sent */
	uint16_t versions[MF_TLS_VERSIONS_MAX]; /* newest offered first as sent, GREASE left out */
	uint16_t extensions[MF_TLS_EXTENSIONS_MAX]; /* types as sent, GREASE included */
	uint16_t extension_cnt;
	uint16_t legacy_version;
	uint8_t alpn_cnt, version_cnt;
	bool has_sni, has_psk, has_early_data, ech, sslv2;
	/* offsets in message, for rewriting; 0: not there */
	uint32_t extensions_at; /* of the extensions' length field */
	uint32_t sni_at;	/* of the server_name extension's type field */
	uint32_t sni_len;	/* bytes of that extension with type and length */
};

/**
 * mf_tls_scan_hello() - Is a whole ClientHello there?
 * @wire: everything the client sent so far, from the first byte
 * Return: 0; MF_E_AGAIN; MF_E_NOT_MINE (from the first few bytes); MF_E_BAD (wrong records, over the limits)
 */
int mf_tls_scan_hello(struct mf_tls_scan *scan, struct mf_span wire);

/**
 * mf_tls_read_hello() - Take a scanned hello apart
 * @scan: complete
 * @buf:  MF_TLS_HELLO_MAX bytes, used where the message spans records; must live as long as @ret is used
 * Return: 0 or MF_E_BAD: lengths that disagree, an extension twice, two names, trailing bytes
 */
int mf_tls_read_hello(const struct mf_tls_scan *scan, struct mf_span wire, uint8_t *buf,
		      struct mf_tls_hello *ret);

/**
 * mf_tls_read_message() - Take a handshake message apart that came without records, as QUIC's do
 * @message: with its header; must live as long as @ret is used
 * Return: 0 or MF_E_BAD, as mf_tls_read_hello()
 */
int mf_tls_read_message(struct mf_span message, struct mf_tls_hello *ret);

/**
 * mf_tls_rewrite_sni() - The same hello with another name, in valid records
 * @name: 1 to 255 bytes
 * @out:  @cap bytes; MF_TLS_WIRE_MAX always suffices
 * Record version and sizes follow the first record of the original; lengths of records, handshake, extensions,
 * extension, list and name are all set anew. A hello without the extension gets one.
 * Return: bytes written; MF_E_UNSUPPORTED (PSK binders, SSLv2), MF_E_LIMIT (does not fit), MF_E_INVAL (name)
 */
int mf_tls_rewrite_sni(const struct mf_tls_hello *hello, struct mf_span first_record,
		       struct mf_span name, uint8_t *out, size_t cap);

/** mf_tls_format_ja4() - The client's JA4 fingerprint; @ret has MF_TLS_JA4_LEN + 1 bytes */
void mf_tls_format_ja4(const struct mf_tls_hello *hello, bool quic, char *ret);

/** mf_tls_version_name() - "TLS1.3", "SSL3"; NULL for a version without a name */
const char *mf_tls_version_name(uint16_t version);

/* Alerts that refuse a connection (RFC 8446 §6.2). */
enum mf_tls_alert {
	MF_TLS_ACCESS_DENIED = 49,
	MF_TLS_DECODE_ERROR = 50,
	MF_TLS_INTERNAL_ERROR = 80,
	MF_TLS_UNRECOGNIZED_NAME = 112
};
#define MF_TLS_ALERT_LEN 7
/** mf_tls_write_alert() - A fatal alert record in the clear; @out has MF_TLS_ALERT_LEN bytes */
void mf_tls_write_alert(enum mf_tls_alert alert, uint8_t *out);

/**
 * mf_tls_is_port() - Whether a client speaks first, and TLS, on this TCP port
 * IANA: https and alternates, smtps, nntps, ldaps, domain-s, ftps, imaps, pop3s, sips, amqps, mqtt-tls, kubernetes
 */
bool mf_tls_is_port(uint16_t port);

/** mf_tls_is_grease() - RFC 8701 values 0x0a0a, 0x1a1a, ... */
static inline bool mf_tls_is_grease(uint16_t v)
{
	return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

#endif
