/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_tunnel.h - messages of Aero's L2 tunnel, "aero-l2-tunnel-v1": Ethernet frames over WebSocket or a data channel (pure)
 *
 *	byte 0    1        2     3      4...
 *	     0xA2 version  type  flags  payload to the end of the message
 *
 * One message of the channel is one message here. Flags are sent as 0 and not looked at. What carries messages, counts and
 * answers them is frame_l2.h.
 */
#ifndef MF_NIC_L2_TUNNEL_H
#define MF_NIC_L2_TUNNEL_H

#include "core/base/err.h"
#include "core/base/span.h"

#define MF_L2_SUBPROTOCOL \
	"aero-l2-tunnel-v1" /* of the WebSocket; also offered: "aero-l2-token." and a credential */
#define MF_L2_CHANNEL	  "l2" /* label of the data channel */
#define MF_L2_HEAD	  4u
#define MF_L2_FRAME_MAX	  2048u /* payload of a FRAME, unless limits say otherwise */
#define MF_L2_CONTROL_MAX 256u	/* payload of everything else */

enum mf_l2_type {
	MF_L2_FRAME = 0x00,
	MF_L2_PING = 0x01,
	MF_L2_PONG = 0x02, /* with the payload of the PING, byte by byte */
	MF_L2_ERROR = 0x7f
	/* all others are reserved, and to be ignored */
};

/* Of a structured ERROR. Those that are sent on an open tunnel are the first and the last but QUOTA_CONNECTIONS. */
enum mf_l2_code {
	MF_L2_PROTOCOL_ERROR = 1,
	MF_L2_AUTH_REQUIRED,
	MF_L2_AUTH_INVALID,
	MF_L2_ORIGIN_MISSING,
	MF_L2_ORIGIN_DENIED,
	MF_L2_QUOTA_BYTES,
	MF_L2_QUOTA_FPS,
	MF_L2_QUOTA_CONNECTIONS,
	MF_L2_BACKPRESSURE
};

/* Bytes of payload; 0: the default. A payload of exactly the limit is good. */
struct mf_l2_limits {
	uint32_t frame, control;
};

struct mf_l2_message {
	uint8_t type, flags;
	struct mf_span payload; /* in the message that was read */
};

/**
 * mf_l2_decode() - Read a message
 * Return: 0; MF_E_BAD: shorter than a header, MF_E_NOT_MINE: another magic, MF_E_UNSUPPORTED: another version, MF_E_LIMIT:
 *         more payload than its type may have. The text of @err is what the peer is told
 */
int mf_l2_decode(struct mf_span msg, const struct mf_l2_limits *limits, struct mf_l2_message *ret,
		 struct mf_err *err);

/** mf_l2_head() - The header of a message of @type */
void mf_l2_head(uint8_t type, uint8_t buf[MF_L2_HEAD]);

/**
 * mf_l2_encode() - A whole message
 * @type: reserved ones as well, which have the limit of control messages
 * Return: its length; MF_E_LIMIT: @payload is longer than its type may have, MF_E_FULL: @room is too small
 */
int mf_l2_encode(uint8_t type, struct mf_span payload, const struct mf_l2_limits *limits,
		 uint8_t *buf, size_t room);

struct mf_l2_error {
	uint16_t code;	     /* enum mf_l2_code, or one that we do not know */
	struct mf_span text; /* UTF-8 */
};

/** mf_l2_error_read() - The payload of an ERROR. Return: 0; MF_E_NOT_MINE: it has no structure, and is text for people */
int mf_l2_error_read(struct mf_span payload, struct mf_l2_error *ret);

/**
 * mf_l2_error_write() - A structured payload of at most @room bytes, its text cut between two characters where it is too long
 * @text: UTF-8. Return: length; 0: not even a code has room
 */
size_t mf_l2_error_write(uint16_t code, struct mf_span text, uint8_t *buf, size_t room);

/** mf_l2_cut_text() - Return: the most bytes of @text, at most @max, that end between two characters */
size_t mf_l2_cut_text(struct mf_span text, size_t max);

#endif
