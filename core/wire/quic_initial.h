/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quic_initial.h - QUIC's first packets: headers, Initial keys, and the ClientHello inside (RFC 8999, 9000, 9001, 9369)
 *
 * Initial packets are encrypted under keys that follow from the version and the connection ID that the client chose, both
 * in the clear: whoever sees the packet can read it, and nobody who changed it is believed. Two versions are read, 1 and 2.
 *
 * Pure but for libcrypto. One reader follows one connection attempt, whose hello may come in any number of CRYPTO frames,
 * packets and datagrams, in any order:
 *
 *	struct mf_quic_packet packet;
 *
 *	while (mf_quic_next_packet(&datagram, &packet) == 0)
 *		if (packet.type == MF_QUIC_INITIAL && mf_quic_reader_knows(crypto, reader, &packet))
 *			r = mf_quic_reader_take(crypto, reader, &packet);
 *
 * What two readers could read in two ways is refused: bytes of the hello that were sent twice and differ, frames that an
 * Initial packet must not have, a second message that is no ClientHello.
 *
 * Cost: two AES blocks and one AES-GCM pass a packet; five HMACs a connection; memory grows with the hello, at most
 * MF_QUIC_STREAM_MAX and an eighth of it a reader.
 */
#ifndef MF_WIRE_QUIC_INITIAL_H
#define MF_WIRE_QUIC_INITIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"
#include "core/wire/tls_hello.h"

#define MF_QUIC_V1	UINT32_C(0x00000001)
#define MF_QUIC_V2	UINT32_C(0x6b3343cf)
#define MF_QUIC_CID_MAX 20
#define MF_QUIC_DATAGRAM_MIN \
	1200 /* of a client's datagram with an Initial packet, RFC 9000 §14.1 */
#define MF_QUIC_STREAM_MAX  MF_TLS_HELLO_MAX
#define MF_QUIC_PACKETS_MAX 16 /* looked at in one datagram */

enum mf_quic_type {
	MF_QUIC_INITIAL,
	MF_QUIC_ZERO_RTT,
	MF_QUIC_HANDSHAKE,
	MF_QUIC_RETRY,
	MF_QUIC_NEGOTIATION, /* version 0 */
	MF_QUIC_TYPE_NUM
};

/* One packet with a long header; spans point into the datagram. */
struct mf_quic_packet {
	enum mf_quic_type type;
	uint32_t version;
	struct mf_span dcid, scid, token;
	struct mf_span whole; /* header and payload, still protected */
	uint32_t number_at; /* of the packet number in @whole; Initial, 0-RTT and Handshake only */
};

/**
 * mf_quic_next_packet() - Take the first packet off a datagram
 * @datagram: moved behind the packet
 * Return: 0; MF_E_NOT_MINE (empty, a short header, or nothing of QUIC's: the rest of the datagram is not looked at);
 *	   MF_E_UNSUPPORTED (a long header of a version that is not read: version and IDs are set, the rest is not);
 *	   MF_E_BAD (a version that is read, with lengths that do not fit)
 */
int mf_quic_next_packet(struct mf_span *datagram, struct mf_quic_packet *ret);

/** mf_quic_has_long_header() - The cheap question before the others, for every datagram */
static inline bool mf_quic_has_long_header(const uint8_t *ptr, size_t len)
{
	return len >= 7 && (ptr[0] & 0x80);
}

/**
 * mf_quic_is_foreign() - A long header of a version that is not read
 * The bit that QUIC's versions keep set (RFC 8999 leaves it to them, RFC 9443 tells protocols apart by it) must be set:
 * without it the bytes may be RTP.
 */
bool mf_quic_is_foreign(const uint8_t *ptr, size_t len);

/** mf_quic_may_begin() - Whether a flow's first datagram may be one of a client that connects: a hello will come */
bool mf_quic_may_begin(const uint8_t *ptr, size_t len);

/* --- keys ----------------------------------------------------------------------------------------------------------- */

struct mf_quic_keys {
	uint8_t key[16], iv[12], hp[16];
};

/* Ciphers and room for one packet in the clear. Belongs to one thread. */
struct mf_quic_crypto;
/** mf_quic_crypto_new() - Return: NULL without memory or ciphers */
struct mf_quic_crypto *mf_quic_crypto_new(void);
void mf_quic_crypto_free(struct mf_quic_crypto *c);

/** mf_quic_derive_keys() - Return: 0, MF_E_UNSUPPORTED (version), MF_E_NOMEM */
int mf_quic_derive_keys(uint32_t version, struct mf_span dcid, bool server,
			struct mf_quic_keys *ret);

/**
 * mf_quic_open() - Decrypt a packet with a packet number
 * @largest:    the largest number seen so far of this sender; -1 for none
 * @ret_payload: in @c's room, valid until the next call
 * Return: 0; MF_E_NOT_MINE: not under these keys, or too short to be under any; MF_E_BAD: genuine, but reserved bits are set
 */
int mf_quic_open(struct mf_quic_crypto *c, const struct mf_quic_keys *keys,
		 const struct mf_quic_packet *packet, int64_t largest, struct mf_span *ret_payload,
		 int64_t *ret_number);

/* What mf_quic_seal() makes. */
struct mf_quic_draft {
	uint32_t version;
	struct mf_span dcid, scid, token;
	struct mf_span frames;
	uint32_t number;
	uint8_t number_len; /* 1 to 4 */
};

/**
 * mf_quic_seal() - Write an Initial packet
 * @frames: at least four bytes with the packet number, so that there is something to sample
 * Return: bytes written, MF_E_LIMIT (does not fit into @cap), MF_E_NOMEM
 */
int mf_quic_seal(struct mf_quic_crypto *c, const struct mf_quic_keys *keys,
		 const struct mf_quic_draft *draft, uint8_t *out, size_t cap);

#define MF_QUIC_CLOSE_MAX 256
/**
 * mf_quic_write_close() - A server's refusal of the connection that @packet (a client's Initial) begins: CONNECTION_CLOSE
 * with a TLS alert (RFC 9001 §4.8), which ends the client's attempt at once
 * @first_dcid: that the attempt's keys follow from: the packet's own, unless it comes later
 * @alert:  as in mf_tls_write_alert()
 * @reason: for people; cut where it is too long
 * @out:    MF_QUIC_CLOSE_MAX bytes
 * Return: bytes written or MF_E_*
 */
int mf_quic_write_close(struct mf_quic_crypto *c, const struct mf_quic_packet *packet,
			struct mf_span first_dcid, enum mf_tls_alert alert, const char *reason,
			uint8_t *out);

#define MF_QUIC_NEGOTIATION_MAX (7 + 2 * 255 + 8)
/**
 * mf_quic_write_negotiation() - A server's answer to a version that is not read: those that are (RFC 8999 §6)
 * @foreign: version and IDs, as mf_quic_next_packet() set them with MF_E_UNSUPPORTED
 * @out:     MF_QUIC_NEGOTIATION_MAX bytes
 * Return: bytes written
 */
int mf_quic_write_negotiation(const struct mf_quic_packet *foreign, uint8_t *out);

/* --- reading -------------------------------------------------------------------------------------------------------- */

/* One connection attempt; all zero before mf_quic_reader_begin(). */
struct mf_quic_reader {
	uint32_t version;
	uint8_t dcid[MF_QUIC_CID_MAX]; /* that the keys follow from */
	uint8_t dcid_len;
	bool broken; /* said something that cannot be read in one way: stays so */
	bool has_other;
	struct mf_quic_keys keys,
		other;	 /* of version, and of the one that a server may move it to */
	int64_t largest; /* packet number; -1: none yet */
	/* The CRYPTO stream. */
	uint8_t *bytes;	 /* room, then a bit for each byte that has come */
	uint32_t room;	 /* bytes */
	uint32_t end;	 /* behind the last byte that has come */
	uint32_t whole;	 /* bytes from the start without a gap */
	uint32_t judged; /* of them, messages that mf_quic_reader_hello() handed out */
};

/**
 * mf_quic_reader_begin() - Follow the attempt that @packet, a client's first Initial, begins
 * Return: 0; MF_E_UNSUPPORTED, MF_E_NOMEM
 */
int mf_quic_reader_begin(struct mf_quic_reader *r, const struct mf_quic_packet *packet);
void mf_quic_reader_end(struct mf_quic_reader *r);

/**
 * mf_quic_reader_take() - Read an Initial packet
 * Return: 0: read; MF_E_NOT_MINE: not of this attempt; MF_E_BAD: refused for good; MF_E_LIMIT: the stream is longer than
 *	   MF_QUIC_STREAM_MAX; MF_E_NOMEM: nothing was taken
 */
int mf_quic_reader_take(struct mf_quic_crypto *c, struct mf_quic_reader *r,
			const struct mf_quic_packet *packet);

/** mf_quic_reader_settled() - Whether all that has come was handed out: nothing unread is in what the reader took */
static inline bool mf_quic_reader_settled(const struct mf_quic_reader *r)
{
	return !r->broken && r->end == r->judged;
}

/**
 * mf_quic_reader_hello() - The next ClientHello, once whole: the first, and the second that a server asked for
 * Return: 0, once for each, with *ret pointing into the reader; MF_E_AGAIN: not there; MF_E_BAD: no ClientHello, malformed
 */
int mf_quic_reader_hello(struct mf_quic_reader *r, struct mf_tls_hello *ret);

#endif
