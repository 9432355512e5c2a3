/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_frame.h - the framing of WebSockets (RFC 6455 §5), a server's side of it: bytes in, pieces of messages out
 *
 *	FIN RSV opcode | MASK length:7 | length:16 or 64 | mask:32 | payload, masked
 *
 * Nothing is copied that need not be: masks are taken off where the bytes lie, or on their way to where the caller wants them. Payloads are told
 * in pieces as they come; those of control frames, at most 125 bytes, are kept until they are whole.
 *
 * Why not libwslay, which had this part before: it hands out 4 KiB at a time and takes masks off byte by byte, which was most of the
 * gateway's time (bench/gateway); and it does not answer a malformed head with 1002.
 */
#ifndef MF_PROXIES_GATEWAY_WS_FRAME_H
#define MF_PROXIES_GATEWAY_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_WS_HEAD_MAX	  10 /* of a frame that we send */
#define MF_WS_CONTROL_MAX 125

enum mf_ws_opcode {
	MF_WS_CONTINUATION = 0,
	MF_WS_TEXT = 1,
	MF_WS_BINARY = 2,
	MF_WS_CLOSE = 8,
	MF_WS_PING = 9,
	MF_WS_PONG = 10,
};

/* Of a Close (RFC 6455 §7.4.1), those that are said here. */
enum mf_ws_code {
	MF_WS_NORMAL = 1000,
	MF_WS_PROTOCOL_ERROR = 1002,
	MF_WS_NO_CODE = 1005,  /* never on the wire: a Close without one */
	MF_WS_ABNORMAL = 1006, /* never on the wire: no Close */
	MF_WS_BAD_TEXT = 1007,
	MF_WS_TOO_BIG = 1009,
};

/* Zero is a good beginning. */
struct mf_ws_reader {
	uint64_t left; /* of the frame's payload, once its head is whole */
	uint8_t head[14], head_len;
	uint8_t mask[4]; /* for the next byte first */
	uint8_t opcode;	 /* of the message: TEXT or BINARY; of a control frame its own */
	uint8_t message; /* opcode of the message that has begun and not ended; 0: none */
	bool fin, in_payload;
	uint8_t control_len, control[MF_WS_CONTROL_MAX];
};

/* Some of a message, or a control frame. */
struct mf_ws_piece {
	enum mf_ws_opcode opcode; /* never CONTINUATION */
	uint8_t *ptr;
	size_t len;
	uint64_t frame_len; /* @begins: bytes of the whole frame, of which @ptr may be the first */
	bool begins;	    /* first of its frame */
	bool begins_message, ends_message;
};

/**
 * mf_ws_read() - The next piece of the *len bytes at *in, both of which are moved behind what was read
 * @to: where the payload goes, at or before where it lies; NULL: it stays. Of a control frame it is the reader's own
 * Return: 1 with *ret, valid until the bytes are or the next call; 0: more bytes are needed; MF_E_BAD: no frame of a client's
 */
int mf_ws_read(struct mf_ws_reader *r, uint8_t **in, size_t *len, uint8_t *to,
	       struct mf_ws_piece *ret);

/** mf_ws_unmask() - @len bytes from @from to @to, which is the same or before; @mask: of the first byte first, turned for the next one */
void mf_ws_unmask(uint8_t *to, const uint8_t *from, size_t len, uint8_t mask[4]);

/** mf_ws_head_len(), mf_ws_head_write() - Head of a whole frame of ours with @len bytes */
size_t mf_ws_head_len(uint64_t len);
size_t mf_ws_head_write(enum mf_ws_opcode opcode, uint64_t len, uint8_t out[MF_WS_HEAD_MAX]);

/**
 * mf_ws_close_read() - Payload of a Close; Return: its code, MF_WS_NO_CODE where there is none;
 * MF_E_BAD: one byte, a code that nobody may send; MF_E_SYNTAX: a reason that is no UTF-8
 */
int mf_ws_close_read(struct mf_span payload);

/** mf_ws_is_text() - Whether it is UTF-8 */
bool mf_ws_is_text(struct mf_span s);

#endif
