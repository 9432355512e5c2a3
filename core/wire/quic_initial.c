/* SPDX-License-Identifier: Apache-2.0 */
/* quic_initial.c - long headers, the frames of Initial packets, and the stream that the ClientHello comes in */
#include "core/wire/quic_initial.h"

#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
	FRAME_PADDING = 0,
	FRAME_PING = 1,
	FRAME_ACK = 2,
	FRAME_ACK_ECN = 3,
	FRAME_CRYPTO = 6,
	FRAME_CLOSE = 0x1c,
	HANDSHAKE_HEAD = 4,
	HANDSHAKE_CLIENT_HELLO = 1,
	GROW = 2048,
};

/* --- headers -------------------------------------------------------------------------------------------------------- */

/* Takes the first @len bytes off *s. Return: false when there are not that many */
static bool take(struct mf_span *s, uint64_t len, struct mf_span *ret)
{
	if (len > s->len)
		return false;
	*ret = mf_span_of(s->ptr, (size_t)len);
	s->ptr += len;
	s->len -= (size_t)len;
	return true;
}

/* RFC 9000 §16: the two top bits say how many bytes. Longer than needed is legal. */
static bool take_varint(struct mf_span *s, uint64_t *ret)
{
	struct mf_span bytes;
	uint64_t v;

	if (s->len == 0 || !take(s, UINT64_C(1) << (s->ptr[0] >> 6), &bytes))
		return false;
	v = bytes.ptr[0] & 0x3f;
	for (size_t i = 1; i < bytes.len; i++)
		v = v << 8 | bytes.ptr[i];
	*ret = v;
	return true;
}

static bool take_cid(struct mf_span *s, struct mf_span *ret)
{
	struct mf_span len;

	return take(s, 1, &len) && take(s, len.ptr[0], ret);
}

static enum mf_quic_type type_of(uint32_t version, uint8_t first)
{
	static const enum mf_quic_type types[] = { MF_QUIC_INITIAL, MF_QUIC_ZERO_RTT,
						   MF_QUIC_HANDSHAKE, MF_QUIC_RETRY };
	unsigned bits = first >> 4 & 3;

	/* version 2 has them all moved by one, so that nobody gets used to where they are */
	return types[version == MF_QUIC_V2 ? (bits + 3) & 3 : bits];
}

int mf_quic_next_packet(struct mf_span *datagram, struct mf_quic_packet *ret)
{
	struct mf_span rest = *datagram, head;
	uint64_t len;
	bool known;

	memset(ret, 0, sizeof(*ret));
	if (!mf_quic_has_long_header(rest.ptr, rest.len))
		return MF_E_NOT_MINE;
	(void)take(&rest, 5, &head);
	ret->version = mf_load_be32(head.ptr + 1);
	known = ret->version == MF_QUIC_V1 || ret->version == MF_QUIC_V2;
	if (!take_cid(&rest, &ret->dcid) || !take_cid(&rest, &ret->scid))
		return known ? MF_E_BAD : MF_E_NOT_MINE;
	if (ret->version == 0) {
		ret->type = MF_QUIC_NEGOTIATION; /* takes the whole datagram */
		ret->whole = *datagram;
		datagram->ptr += datagram->len;
		datagram->len = 0;
		return 0;
	}
	if (!known)
		return MF_E_UNSUPPORTED;
	if (ret->dcid.len > MF_QUIC_CID_MAX || ret->scid.len > MF_QUIC_CID_MAX)
		return MF_E_BAD;
	ret->type = type_of(ret->version, head.ptr[0]);
	if (ret->type == MF_QUIC_RETRY) { /* so does this: it has no length */
		ret->whole = *datagram;
		datagram->ptr += datagram->len;
		datagram->len = 0;
		return 0;
	}
	if (ret->type == MF_QUIC_INITIAL &&
	    (!take_varint(&rest, &len) || !take(&rest, len, &ret->token)))
		return MF_E_BAD;
	if (!take_varint(&rest, &len) || len > rest.len)
		return MF_E_BAD;
	ret->number_at = (uint32_t)(rest.ptr - datagram->ptr);
	(void)take(datagram, ret->number_at + len, &ret->whole);
	return 0;
}

bool mf_quic_may_begin(const uint8_t *ptr, size_t len)
{
	struct mf_span s = mf_span_of(ptr, len);
	struct mf_quic_packet packet;

	return mf_quic_next_packet(&s, &packet) == 0 && packet.type < MF_QUIC_RETRY;
}

bool mf_quic_is_foreign(const uint8_t *ptr, size_t len)
{
	struct mf_span s = mf_span_of(ptr, len);
	struct mf_quic_packet packet;

	return mf_quic_has_long_header(ptr, len) && (ptr[0] & 0x40) &&
	       mf_quic_next_packet(&s, &packet) == MF_E_UNSUPPORTED;
}

/* --- the stream ----------------------------------------------------------------------------------------------------- */

static uint8_t *bits_of(const struct mf_quic_reader *r)
{
	return r->bytes + r->room;
}

static bool has_byte(const struct mf_quic_reader *r, uint32_t at)
{
	return bits_of(r)[at / 8] >> (at % 8) & 1;
}

static int make_room(struct mf_quic_reader *r, uint32_t need)
{
	uint32_t room = (need + GROW - 1) / GROW * GROW;
	uint8_t *grown;

	if (need <= r->room)
		return 0;
	grown = calloc(1, room + room / 8);
	if (!grown)
		return MF_E_NOMEM;
	if (r->bytes) {
		memcpy(grown, r->bytes, r->room);
		memcpy(grown + room, bits_of(r), r->room / 8);
		free(r->bytes);
	}
	r->bytes = grown;
	r->room = room;
	return 0;
}

/* A CRYPTO frame's bytes. What came before must be the same: the server may take either. */
static int add_bytes(struct mf_quic_reader *r, uint64_t offset, struct mf_span data)
{
	uint32_t at;
	int e;

	if (offset > MF_QUIC_STREAM_MAX || data.len > MF_QUIC_STREAM_MAX - offset)
		return MF_E_LIMIT;
	if (data.len == 0)
		return 0;
	at = (uint32_t)offset;
	e = make_room(r, at + (uint32_t)data.len);
	if (e < 0)
		return e;
	for (size_t i = 0; i < data.len; i++, at++) {
		if (!has_byte(r, at)) {
			r->bytes[at] = data.ptr[i];
			bits_of(r)[at / 8] |= (uint8_t)(1u << at % 8);
		} else if (r->bytes[at] != data.ptr[i]) {
			return MF_E_BAD;
		}
	}
	if (at > r->end)
		r->end = at;
	while (r->whole < r->end && has_byte(r, r->whole))
		r->whole++;
	return 0;
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

static bool skip_ack(struct mf_span *s, bool ecn)
{
	uint64_t largest, delay, cnt, v;

	if (!take_varint(s, &largest) || !take_varint(s, &delay) || !take_varint(s, &cnt) ||
	    !take_varint(s, &v))
		return false;
	/* each range takes two bytes at least, so a count that lies ends at the payload's end */
	for (; cnt; cnt--)
		if (!take_varint(s, &v) || !take_varint(s, &v))
			return false;
	return !ecn || (take_varint(s, &v) && take_varint(s, &v) && take_varint(s, &v));
}

static bool skip_close(struct mf_span *s)
{
	struct mf_span reason;
	uint64_t v;

	return take_varint(s, &v) && take_varint(s, &v) && take_varint(s, &v) &&
	       take(s, v, &reason);
}

/* RFC 9000 §12.4: what an Initial packet may have. A frame's type in more bytes than needed is wrong, §12.4 as well. */
static int read_frames(struct mf_quic_reader *r, struct mf_span s)
{
	struct mf_span type, data;
	uint64_t offset, len;
	int e;

	if (s.len == 0)
		return MF_E_BAD;
	while (take(&s, 1, &type)) {
		switch (type.ptr[0]) {
		case FRAME_PADDING:
		case FRAME_PING:
			continue;
		case FRAME_ACK:
		case FRAME_ACK_ECN:
			if (!skip_ack(&s, type.ptr[0] == FRAME_ACK_ECN))
				return MF_E_BAD;
			continue;
		case FRAME_CRYPTO:
			if (!take_varint(&s, &offset) || !take_varint(&s, &len) ||
			    !take(&s, len, &data))
				return MF_E_BAD;
			e = add_bytes(r, offset, data);
			if (e < 0)
				return e;
			continue;
		case FRAME_CLOSE:
			if (!skip_close(&s))
				return MF_E_BAD;
			continue;
		default:
			return MF_E_BAD;
		}
	}
	return 0;
}

/* --- the reader ----------------------------------------------------------------------------------------------------- */

int mf_quic_reader_begin(struct mf_quic_reader *r, const struct mf_quic_packet *packet)
{
	memset(r, 0, sizeof(*r));
	r->version = packet->version;
	r->dcid_len = (uint8_t)packet->dcid.len;
	memcpy(r->dcid, packet->dcid.ptr, packet->dcid.len);
	r->largest = -1;
	return mf_quic_derive_keys(r->version, packet->dcid, false, &r->keys);
}

void mf_quic_reader_end(struct mf_quic_reader *r)
{
	free(r->bytes);
	memset(r, 0, sizeof(*r));
}

/*
 * The keys of @version. A client that its server moved to the other version (RFC 9368 §2.3) keeps the connection ID that
 * keys follow from, its packet numbers and its stream.
 */
static int find_keys(struct mf_quic_reader *r, uint32_t version, const struct mf_quic_keys **ret)
{
	int e = 0;

	*ret = version == r->version ? &r->keys : &r->other;
	if (version != r->version && !r->has_other)
		e = mf_quic_derive_keys(version, mf_span_of(r->dcid, r->dcid_len), false,
					&r->other);
	r->has_other |= version != r->version && e == 0;
	return e;
}

int mf_quic_reader_take(struct mf_quic_crypto *c, struct mf_quic_reader *r,
			const struct mf_quic_packet *packet)
{
	const struct mf_quic_keys *keys;
	struct mf_span payload;
	int64_t number;
	int e;

	if (packet->type != MF_QUIC_INITIAL)
		return MF_E_NOT_MINE;
	e = find_keys(r, packet->version, &keys);
	if (e == 0)
		e = mf_quic_open(c, keys, packet, r->largest, &payload, &number);
	if (e == MF_E_NOT_MINE || e == MF_E_NOMEM)
		return e;
	if (e == 0 && number > r->largest)
		r->largest = number;
	if (e == 0 && !r->broken)
		e = read_frames(r, payload);
	if (e < 0 && e != MF_E_NOMEM)
		r->broken = true;
	return r->broken && e == 0 ? MF_E_BAD : e;
}

int mf_quic_reader_hello(struct mf_quic_reader *r, struct mf_tls_hello *ret)
{
	uint32_t left = r->whole - r->judged, len;
	const uint8_t *p;

	if (r->broken)
		return MF_E_BAD;
	if (left == 0)
		return MF_E_AGAIN;
	p = r->bytes + r->judged;
	if (p[0] != HANDSHAKE_CLIENT_HELLO)
		goto bad;
	if (left < HANDSHAKE_HEAD)
		return MF_E_AGAIN;
	len = HANDSHAKE_HEAD + mf_load_be24(p + 1);
	if (len > MF_QUIC_STREAM_MAX - r->judged)
		goto bad;
	if (left < len)
		return MF_E_AGAIN;
	if (mf_tls_read_message(mf_span_of(p, len), ret) < 0)
		goto bad;
	r->judged += len;
	return 0;
bad:
	r->broken = true;
	return MF_E_BAD;
}
