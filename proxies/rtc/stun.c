/* SPDX-License-Identifier: Apache-2.0 */
/* stun.c - STUN messages of ICE */
#include "proxies/rtc/stun.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
	HEADER = 20,
	ATTR = 4, /* type and length */
	MAC = 20, /* HMAC-SHA1 */
	ALL_MACS = ATTR + MAC,
	ALL_PRINT = ATTR + 4,
	LENGTH_AT = 2,
	ID_AT = 8,

	MAPPED_ADDRESS = 0x0001,
	USERNAME = 0x0006,
	MESSAGE_INTEGRITY = 0x0008,
	ERROR_CODE = 0x0009,
	UNKNOWN_ATTRIBUTES = 0x000a,
	REALM = 0x0014,
	NONCE = 0x0015,
	XOR_MAPPED_ADDRESS = 0x0020,
	PRIORITY = 0x0024,
	USE_CANDIDATE = 0x0025,
	COMPREHENSION_OPTIONAL = 0x8000, /* and all above */
	FINGERPRINT = 0x8028,
	ICE_CONTROLLED = 0x8029,
	ICE_CONTROLLING = 0x802a,
};

#define MAGIC	  0x2112a442u
#define PRINT_XOR 0x5354554eu

/* CRC-32 of ISO 3309, four bits at a time: messages are short and few. */
static uint32_t crc32(const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc = table[(crc ^ p[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ (uint32_t)(p[i] >> 4)) & 15] ^ crc >> 4;
	}
	return ~crc;
}

static int read_mapped(struct mf_stun *m, const uint8_t *v, size_t len)
{
	uint8_t addr[16], mask[16];
	size_t addr_len = len == 8 && v[1] == 1 ? 4 : len == 20 && v[1] == 2 ? 16 : 0;

	if (!addr_len)
		return MF_E_BAD;
	mf_store_be32(mask, MAGIC);
	memcpy(mask + 4, m->id, MF_STUN_ID_LEN);
	for (size_t i = 0; i < addr_len; i++)
		addr[i] = v[4 + i] ^ mask[i];
	mf_addr_from_bytes(&m->mapped.addr, addr, addr_len);
	m->mapped.port = mf_load_be16(v + 2) ^ (uint16_t)(MAGIC >> 16);
	return 0;
}

static int read_role(struct mf_stun *m, const uint8_t *v, size_t len, bool *ret_role)
{
	if (len != 8)
		return MF_E_BAD;
	m->tie_breaker = mf_load_be64(v);
	*ret_role = true;
	return 0;
}

static int read_attribute(struct mf_stun *m, uint16_t type, const uint8_t *v, size_t len)
{
	switch (type) {
	case USERNAME:
		if (len == 0 || len > 513) /* RFC 8489 14.3 */
			return MF_E_BAD;
		if (!m->username.ptr)
			m->username = mf_span_of(v, len);
		return 0;
	case PRIORITY:
		if (len != 4)
			return MF_E_BAD;
		m->priority = mf_load_be32(v);
		m->has_priority = true;
		return 0;
	case USE_CANDIDATE:
		m->use_candidate = true;
		return len ? MF_E_BAD : 0;
	case ICE_CONTROLLED:
		return read_role(m, v, len, &m->controlled);
	case ICE_CONTROLLING:
		return read_role(m, v, len, &m->controlling);
	case XOR_MAPPED_ADDRESS:
		return m->mapped.addr.family ? 0 : read_mapped(m, v, len);
	case ERROR_CODE:
		if (len < 4)
			return MF_E_BAD;
		m->error = (uint16_t)((v[2] & 7) * 100 + v[3]);
		return v[3] > 99 || m->error < 300 || m->error > 699 ? MF_E_BAD : 0;
	case MAPPED_ADDRESS:
	case UNKNOWN_ATTRIBUTES:
	case REALM:
	case NONCE:
		return 0;
	}
	if (type < COMPREHENSION_OPTIONAL && m->unknown_cnt < MF_STUN_UNKNOWN_MAX)
		m->unknown[m->unknown_cnt++] = type;
	return 0;
}

int mf_stun_read(struct mf_span in, struct mf_stun *ret)
{
	const uint8_t *p = in.ptr;
	size_t at = HEADER;

	memset(ret, 0, sizeof(*ret));
	if (in.len < HEADER || in.len > MF_STUN_MESSAGE_MAX || p[0] & 0xc0 ||
	    mf_load_be32(p + 4) != MAGIC)
		return MF_E_NOT_MINE;
	ret->whole = in;
	ret->type = mf_load_be16(p);
	if ((ret->type & ~0x0110) != MF_STUN_REQUEST)
		return MF_E_NOT_MINE;
	memcpy(ret->id, p + ID_AT, MF_STUN_ID_LEN);
	if (mf_load_be16(p + LENGTH_AT) != in.len - HEADER || in.len % 4 ||
	    in.len < HEADER + ALL_PRINT)
		return MF_E_BAD;
	/* first what says that the rest is what was sent */
	if (mf_load_be16(p + in.len - ALL_PRINT) != FINGERPRINT ||
	    mf_load_be16(p + in.len - ALL_PRINT + 2) != 4 ||
	    mf_load_be32(p + in.len - 4) != (crc32(p, in.len - ALL_PRINT) ^ PRINT_XOR))
		return MF_E_BAD;
	in.len -= ALL_PRINT;
	while (at < in.len) {
		uint16_t type = mf_load_be16(p + at);
		size_t len = mf_load_be16(p + at + 2), room = in.len - at - ATTR;

		/* whole words everywhere, so that four bytes were there */
		if (len > room || type == FINGERPRINT)
			return MF_E_BAD;
		if (type == MESSAGE_INTEGRITY) {
			if (len != MAC)
				return MF_E_BAD;
			ret->integrity_at = (uint16_t)at;
			break; /* what comes behind it is nobody's word */
		}
		if (read_attribute(ret, type, p + at + ATTR, len) < 0)
			return MF_E_BAD;
		at += ATTR + ((len + 3) & ~(size_t)3);
	}
	return 0;
}

/* HMAC-SHA1 of @p up to its MESSAGE-INTEGRITY, with a header that ends behind that */
static bool mac(const uint8_t *p, size_t before, struct mf_span password, uint8_t ret[MAC])
{
	uint8_t copy[MF_STUN_MESSAGE_MAX];
	unsigned len = MAC;

	memcpy(copy, p, before);
	mf_store_be16(copy + LENGTH_AT, (uint16_t)(before + ALL_MACS - HEADER));
	return HMAC(EVP_sha1(), password.ptr, (int)password.len, copy, before, ret, &len) != NULL;
}

bool mf_stun_is_whole(const struct mf_stun *msg, struct mf_span password)
{
	uint8_t ours[MAC];

	return msg->integrity_at && mac(msg->whole.ptr, msg->integrity_at, password, ours) &&
	       CRYPTO_memcmp(ours, msg->whole.ptr + msg->integrity_at + ATTR, MAC) == 0;
}

void mf_stun_begin(struct mf_stun_out *out, uint16_t type, const uint8_t id[MF_STUN_ID_LEN])
{
	out->cut = false;
	out->len = HEADER;
	mf_store_be16(out->buf, type);
	mf_store_be16(out->buf + LENGTH_AT, 0);
	mf_store_be32(out->buf + 4, MAGIC);
	memcpy(out->buf + ID_AT, id, MF_STUN_ID_LEN);
}

/* Room for an attribute's value, padded with zeros; NULL: the message is full */
static uint8_t *put(struct mf_stun_out *out, uint16_t type, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3;
	uint8_t *p = out->buf + out->len;

	if (out->cut || out->len + ATTR + padded + ALL_MACS + ALL_PRINT > sizeof(out->buf)) {
		out->cut = true;
		return NULL;
	}
	mf_store_be16(p, type);
	mf_store_be16(p + 2, (uint16_t)len);
	memset(p + ATTR, 0, padded);
	out->len += ATTR + padded;
	return p + ATTR;
}

void mf_stun_put_mapped(struct mf_stun_out *out, const struct mf_endpoint *ep)
{
	size_t len = ep->addr.family == 4 ? 4 : 16;
	uint8_t *v = put(out, XOR_MAPPED_ADDRESS, 4 + len);

	if (!v)
		return;
	v[1] = ep->addr.family == 4 ? 1 : 2;
	mf_store_be16(v + 2, ep->port ^ (uint16_t)(MAGIC >> 16));
	/* the mask is the header's cookie and transaction */
	for (size_t i = 0; i < len; i++)
		v[4 + i] = ep->addr.bytes[i] ^ out->buf[4 + i];
}

void mf_stun_put_username(struct mf_stun_out *out, struct mf_span a, struct mf_span b)
{
	uint8_t *v = put(out, USERNAME, a.len + 1 + b.len);

	if (!v)
		return;
	memcpy(v, a.ptr, a.len);
	v[a.len] = ':';
	memcpy(v + a.len + 1, b.ptr, b.len);
}

void mf_stun_put_priority(struct mf_stun_out *out, uint32_t priority)
{
	uint8_t *v = put(out, PRIORITY, 4);

	if (v)
		mf_store_be32(v, priority);
}

void mf_stun_put_role(struct mf_stun_out *out, bool controlling, uint64_t tie_breaker)
{
	uint8_t *v = put(out, controlling ? ICE_CONTROLLING : ICE_CONTROLLED, 8);

	if (v)
		mf_store_be64(v, tie_breaker);
}

void mf_stun_put_use_candidate(struct mf_stun_out *out)
{
	(void)put(out, USE_CANDIDATE, 0);
}

void mf_stun_put_error(struct mf_stun_out *out, uint16_t code, const uint16_t *unknown, size_t cnt)
{
	uint8_t *v = put(out, ERROR_CODE, 4);

	if (v) {
		v[2] = (uint8_t)(code / 100);
		v[3] = (uint8_t)(code % 100);
	}
	v = cnt ? put(out, UNKNOWN_ATTRIBUTES, cnt * 2) : NULL;
	for (size_t i = 0; v && i < cnt; i++)
		mf_store_be16(v + i * 2, unknown[i]);
}

size_t mf_stun_end(struct mf_stun_out *out, struct mf_span password)
{
	uint8_t *p = out->buf + out->len;

	if (out->cut || !mac(out->buf, out->len, password, p + ATTR))
		return out->len = 0;
	mf_store_be16(p, MESSAGE_INTEGRITY);
	mf_store_be16(p + 2, MAC);
	p += ALL_MACS;
	out->len += ALL_MACS + ALL_PRINT;
	mf_store_be16(out->buf + LENGTH_AT, (uint16_t)(out->len - HEADER));
	mf_store_be16(p, FINGERPRINT);
	mf_store_be16(p + 2, 4);
	mf_store_be32(p + 4, crc32(out->buf, out->len - ALL_PRINT) ^ PRINT_XOR);
	return out->len;
}
