/* SPDX-License-Identifier: Apache-2.0 */
/* tls_hello.c - ClientHello: scanning records, reading the message */
#include "core/wire/tls_hello.h"

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_HEAD = 5,
	RECORD_MAX = 16384,
	HANDSHAKE_CLIENT_HELLO = 1,
	HANDSHAKE_HEAD = 4,
	EXT_SERVER_NAME = 0,
	EXT_SIGNATURE_ALGORITHMS = 13,
	EXT_ALPN = 16,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_ECH = 0xfe0d,
	SSLV2_HEAD = 11, /* length 2, type 1, version 2, three lengths of 2 */
};

/* A reader that never goes past its end: after a failure it stays failed and gives zeros. */
struct cursor {
	const uint8_t *ptr, *end;
	bool failed;
};

static struct cursor cursor_of(struct mf_span s)
{
	return (struct cursor){ s.ptr, s.ptr + s.len, false };
}

static struct mf_span take(struct cursor *c, size_t len)
{
	struct mf_span s = { c->ptr, len };

	if (c->failed || (size_t)(c->end - c->ptr) < len) {
		c->failed = true;
		return (struct mf_span){ c->ptr, 0 };
	}
	c->ptr += len;
	return s;
}

static uint8_t take_u8(struct cursor *c)
{
	struct mf_span s = take(c, 1);

	return s.len ? s.ptr[0] : 0;
}

static uint16_t take_u16(struct cursor *c)
{
	struct mf_span s = take(c, 2);

	return s.len ? mf_load_be16(s.ptr) : 0;
}

static bool at_end(const struct cursor *c)
{
	return c->ptr == c->end;
}

/*
 * The hello of SSLv2 form that clients of the nineties sent to announce SSLv3 or TLS: no extensions, so no name. The
 * length field has its top bit set, which no TLS record starts with.
 */
static int scan_sslv2(struct mf_tls_scan *s, struct mf_span w)
{
	uint32_t len, specs, sid, challenge;

	if (w.len >= 3 && w.ptr[2] != HANDSHAKE_CLIENT_HELLO)
		return MF_E_NOT_MINE;
	if (w.len >= 4 && w.ptr[3] != 3 && w.ptr[3] != 0)
		return MF_E_NOT_MINE;
	if (w.len >= 5 && ((w.ptr[3] == 3 && w.ptr[4] > 4) || (w.ptr[3] == 0 && w.ptr[4] != 2)))
		return MF_E_NOT_MINE;
	if (w.len < SSLV2_HEAD)
		return MF_E_AGAIN;
	len = (uint32_t)(w.ptr[0] & 0x7f) << 8 | w.ptr[1];
	specs = mf_load_be16(w.ptr + 5);
	sid = mf_load_be16(w.ptr + 7);
	challenge = mf_load_be16(w.ptr + 9);
	if (specs == 0 || specs % 3 || challenge < 16 || challenge > 32 ||
	    len != SSLV2_HEAD - 2 + specs + sid + challenge)
		return MF_E_NOT_MINE;
	if (len > MF_TLS_HELLO_MAX)
		return MF_E_BAD;
	if (w.len < len + 2)
		return MF_E_AGAIN;
	s->sslv2 = s->done = true;
	s->record_cnt = 1;
	s->wire_len = len + 2;
	return 0;
}

/* Is this the header of a handshake record? Looks at as many of its bytes as have come. */
static int check_record(const uint8_t *p, size_t len, bool first)
{
	int wrong = first ? MF_E_NOT_MINE : MF_E_BAD;

	if (len >= 1 && p[0] != RECORD_HANDSHAKE)
		return wrong;
	if (len >= 2 && p[1] != 3)
		return wrong;
	if (len >= 3 && p[2] > 4)
		return wrong;
	if (len < RECORD_HEAD)
		return MF_E_AGAIN;
	/* an empty handshake record is not allowed, RFC 8446 §5.1 */
	if (mf_load_be16(p + 3) == 0 || mf_load_be16(p + 3) > RECORD_MAX)
		return MF_E_BAD;
	return 0;
}

/* The four bytes of the handshake header may lie in as many records. */
static int collect_head(struct mf_tls_scan *s, uint32_t have, const uint8_t *body, size_t avail)
{
	for (size_t i = 0; have + i < HANDSHAKE_HEAD && i < avail; i++)
		s->head[have + i] = body[i];
	if (have + avail >= 1 && s->head[0] != HANDSHAKE_CLIENT_HELLO)
		return MF_E_BAD;
	if (have + avail < HANDSHAKE_HEAD)
		return 0;
	s->need = HANDSHAKE_HEAD + mf_load_be24(s->head + 1);
	return s->need > MF_TLS_HELLO_MAX ? MF_E_BAD : 0;
}

int mf_tls_scan_hello(struct mf_tls_scan *s, struct mf_span w)
{
	if (s->done)
		return 0;
	if (w.len == 0)
		return MF_E_AGAIN;
	if (s->pos == 0 && (w.ptr[0] & 0x80))
		return scan_sslv2(s, w);
	while (s->pos < w.len) {
		const uint8_t *head = w.ptr + s->pos;
		size_t left = w.len - s->pos, avail, len;
		int r = check_record(head, left, s->pos == 0);

		if (r < 0)
			return r;
		len = mf_load_be16(head + 3);
		avail = left - RECORD_HEAD < len ? left - RECORD_HEAD : len;
		if (s->need == 0) {
			r = collect_head(s, s->have, head + RECORD_HEAD, avail);
			if (r < 0)
				return r;
		}
		/* what would follow the hello in its last record cannot be the client's to send yet */
		if (s->need && s->have + len > s->need)
			return MF_E_BAD;
		if (s->pos + RECORD_HEAD + len > MF_TLS_WIRE_MAX || s->record_cnt == UINT16_MAX)
			return MF_E_BAD;
		if (avail < len)
			return MF_E_AGAIN;
		s->have += (uint32_t)len;
		s->pos += (uint32_t)(RECORD_HEAD + len);
		s->record_cnt++;
		if (s->need && s->have == s->need) {
			s->wire_len = s->pos;
			s->done = true;
			return 0;
		}
	}
	return MF_E_AGAIN;
}

static struct mf_span join_records(const struct mf_tls_scan *s, struct mf_span w, uint8_t *buf)
{
	size_t at = 0, pos = 0;

	if (s->record_cnt == 1)
		return mf_span_sub(w, RECORD_HEAD, s->need);
	while (pos < s->wire_len) {
		size_t len = mf_load_be16(w.ptr + pos + 3);

		memcpy(buf + at, w.ptr + pos + RECORD_HEAD, len);
		at += len;
		pos += RECORD_HEAD + len;
	}
	return mf_span_of(buf, at);
}

/* RFC 6066 §3: one list, of which only host_name is defined, once. */
static bool read_server_name(struct mf_tls_hello *h, struct mf_span body)
{
	struct cursor c = cursor_of(body);
	uint16_t list = take_u16(&c);
	uint8_t type = take_u8(&c);
	uint16_t len = take_u16(&c);
	struct mf_span name = take(&c, len);

	if (c.failed || !at_end(&c) || list != body.len - 2 || type != 0 || len == 0 || len > 255)
		return false;
	if (memchr(name.ptr, 0, name.len))
		return false;
	h->sni = name;
	h->has_sni = true;
	return true;
}

static bool read_alpn(struct mf_tls_hello *h, struct mf_span body)
{
	struct cursor c = cursor_of(body);

	if (take_u16(&c) != body.len - 2 || body.len < 4)
		return false;
	while (!c.failed && !at_end(&c)) {
		struct mf_span name = take(&c, take_u8(&c));

		if (name.len == 0)
			return false;
		/* more than a few are legal and of no interest */
		if (h->alpn_cnt < MF_TLS_ALPN_MAX)
			h->alpn[h->alpn_cnt++] = name;
	}
	return !c.failed;
}

static bool read_versions(struct mf_tls_hello *h, struct mf_span body)
{
	struct cursor c = cursor_of(body);
	uint8_t len = take_u8(&c);

	if (c.failed || len != body.len - 1 || len < 2 || len % 2)
		return false;
	h->version_cnt = 0;
	while (!at_end(&c)) {
		uint16_t v = take_u16(&c);

		if (!mf_tls_is_grease(v) && h->version_cnt < MF_TLS_VERSIONS_MAX)
			h->versions[h->version_cnt++] = v;
	}
	return true;
}

/* draft-ietf-tls-esni: outer (0) with suite, id, key and payload; inner (1) never travels in the clear. */
static bool read_ech(struct mf_tls_hello *h, struct mf_span body)
{
	struct cursor c = cursor_of(body);

	if (take_u8(&c) != 0)
		return false;
	take(&c, 5);
	take(&c, take_u16(&c));
	take(&c, take_u16(&c));
	h->ech = true;
	return !c.failed && at_end(&c);
}

static bool read_extension(struct mf_tls_hello *h, uint16_t type, struct mf_span body)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return read_server_name(h, body);
	case EXT_ALPN:
		return read_alpn(h, body);
	case EXT_SUPPORTED_VERSIONS:
		return read_versions(h, body);
	case EXT_SIGNATURE_ALGORITHMS:
		if (body.len < 4 || mf_load_be16(body.ptr) != body.len - 2 || body.len % 2)
			return false;
		h->sigalgs = mf_span_sub(body, 2, body.len);
		return true;
	case EXT_PRE_SHARED_KEY:
		h->has_psk = true;
		return true;
	case EXT_EARLY_DATA:
		h->has_early_data = true;
		return true;
	case EXT_ECH:
		return read_ech(h, body);
	default:
		return true;
	}
}

static bool read_extensions(struct mf_tls_hello *h, struct cursor *c)
{
	const uint8_t *base = h->message.ptr;

	while (!at_end(c)) {
		uint32_t at = (uint32_t)(c->ptr - base);
		uint16_t type = take_u16(c);
		struct mf_span body = take(c, take_u16(c));

		if (c->failed || h->has_psk) /* a PSK is the last extension, RFC 8446 §4.2.11 */
			return false;
		for (unsigned i = 0; i < h->extension_cnt; i++)
			if (h->extensions[i] == type)
				return false;
		if (h->extension_cnt == MF_TLS_EXTENSIONS_MAX)
			return false;
		h->extensions[h->extension_cnt++] = type;
		if (!read_extension(h, type, body))
			return false;
		if (type == EXT_SERVER_NAME) {
			h->sni_at = at;
			h->sni_len = (uint32_t)(c->ptr - base) - at;
		}
	}
	return true;
}

static int read_sslv2(struct mf_span wire, struct mf_tls_hello *h)
{
	h->message = wire;
	h->sslv2 = true;
	h->legacy_version = mf_load_be16(wire.ptr + 3);
	h->versions[0] = h->legacy_version;
	h->version_cnt = 1;
	return 0;
}

int mf_tls_read_message(struct mf_span message, struct mf_tls_hello *h)
{
	struct cursor c;
	struct mf_span sid, compression;

	memset(h, 0, sizeof(*h));
	if (message.len < HANDSHAKE_HEAD || message.len > MF_TLS_HELLO_MAX ||
	    message.ptr[0] != HANDSHAKE_CLIENT_HELLO ||
	    mf_load_be24(message.ptr + 1) != message.len - HANDSHAKE_HEAD)
		return MF_E_BAD;
	h->message = message;
	c = cursor_of(mf_span_sub(message, HANDSHAKE_HEAD, message.len));
	h->legacy_version = take_u16(&c);
	take(&c, 32);
	sid = take(&c, take_u8(&c));
	h->ciphers = take(&c, take_u16(&c));
	compression = take(&c, take_u8(&c));
	if (c.failed || h->legacy_version >> 8 != 3 || sid.len > 32 || h->ciphers.len < 2 ||
	    h->ciphers.len % 2 || compression.len == 0)
		return MF_E_BAD;
	h->versions[0] = h->legacy_version;
	h->version_cnt = 1;
	if (at_end(&c))
		return 0;
	h->extensions_at = (uint32_t)(c.ptr - h->message.ptr);
	if (take_u16(&c) != (size_t)(c.end - c.ptr) || c.failed)
		return MF_E_BAD;
	return read_extensions(h, &c) ? 0 : MF_E_BAD;
}

int mf_tls_read_hello(const struct mf_tls_scan *s, struct mf_span wire, uint8_t *buf,
		      struct mf_tls_hello *h)
{
	if (mf_bug(!s->done || wire.len < s->wire_len)) {
		memset(h, 0, sizeof(*h));
		return MF_E_BAD;
	}
	if (!s->sslv2)
		return mf_tls_read_message(join_records(s, wire, buf), h);
	memset(h, 0, sizeof(*h));
	return read_sslv2(mf_span_sub(wire, 0, s->wire_len), h);
}

const char *mf_tls_version_name(uint16_t version)
{
	switch (version) {
	case 0x0304:
		return "TLS1.3";
	case 0x0303:
		return "TLS1.2";
	case 0x0302:
		return "TLS1.1";
	case 0x0301:
		return "TLS1.0";
	case 0x0300:
		return "SSL3";
	case 0x0002:
		return "SSL2";
	default:
		return NULL;
	}
}

void mf_tls_write_alert(enum mf_tls_alert alert, uint8_t *out)
{
	/* alert record, the version that every TLS client takes before negotiation, fatal */
	const uint8_t record[MF_TLS_ALERT_LEN] = { 21, 3, 3, 0, 2, 2, (uint8_t)alert };

	memcpy(out, record, sizeof(record));
}

bool mf_tls_is_port(uint16_t port)
{
	static const uint16_t ports[] = { 443, 465, 563,  636,	853,  989,  990,  992, 993,
					  994, 995, 5061, 5671, 6443, 6514, 8443, 8883 };

	for (size_t i = 0; i < MF_ARRAY_SIZE(ports); i++)
		if (ports[i] == port)
			return true;
	return false;
}
