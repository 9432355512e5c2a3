/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mux.h - the framing of many TCP streams in one byte stream, "aero-tcp-mux-v1"
 *
 *	type:u8 | stream:u32 | length:u32 | payload		all big-endian
 *
 * Frames lie in the messages of a WebSocket as bytes in a pipe: a frame may span messages, a message may hold many. DATA is handed
 * on in pieces as it comes, so a long frame costs no memory; every other frame is kept until it is whole, within MF_MUX_KEPT_MAX.
 */
#ifndef MF_PROXIES_GATEWAY_MUX_H
#define MF_PROXIES_GATEWAY_MUX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_MUX_PROTOCOL	 "aero-tcp-mux-v1"
#define MF_MUX_HEAD	 9
#define MF_MUX_FRAME_MAX (16u << 20) /* bytes of payload; more is the end of the connection */
#define MF_MUX_HOST_MAX	 1024
#define MF_MUX_META_MAX	 4096
#define MF_MUX_KEPT_MAX	 (2 + MF_MUX_HOST_MAX + 2 + 2 + MF_MUX_META_MAX)
#define MF_MUX_TEXT_MAX	 1024 /* bytes of an error's message */

enum mf_mux_type {
	MF_MUX_OPEN = 1,
	MF_MUX_DATA,
	MF_MUX_CLOSE,
	MF_MUX_ERROR,
	MF_MUX_PING,
	MF_MUX_PONG,
};

enum { MF_MUX_FIN = 1, MF_MUX_RST = 2 }; /* of CLOSE */

enum mf_mux_error {
	MF_MUX_POLICY_DENIED = 1,
	MF_MUX_DIAL_FAILED,
	MF_MUX_PROTOCOL_ERROR,
	MF_MUX_UNKNOWN_STREAM,
	MF_MUX_STREAM_LIMIT,
	MF_MUX_BUFFER_OVERFLOW,
};

struct mf_mux_frame {
	uint8_t type; /* may be none of enum mf_mux_type */
	uint32_t stream;
	struct mf_span payload; /* of DATA: a piece */
	bool begins, ends;	/* of DATA: the frame's first, its last piece */
	bool too_long;		/* longer than MF_MUX_KEPT_MAX: its payload was thrown away */
};

/* Zero is a good beginning. */
struct mf_mux_reader {
	uint8_t head[MF_MUX_HEAD], head_len;
	uint32_t left;		 /* of the payload */
	uint32_t kept, kept_max; /* bytes in @buf */
	uint8_t *buf;
};

/**
 * mf_mux_read() - The next frame, or piece of DATA, of *bytes, which is shortened by what was read
 * Return: 1 with *ret, whose payload is valid until the next call; 0: more bytes are needed; MF_E_BAD (a length above
 *         MF_MUX_FRAME_MAX), MF_E_NOMEM
 */
int mf_mux_read(struct mf_mux_reader *r, struct mf_span *bytes, struct mf_mux_frame *ret);
/** mf_mux_reader_is_idle() - Whether the bytes ended with a frame */
bool mf_mux_reader_is_idle(const struct mf_mux_reader *r);
void mf_mux_reader_done(struct mf_mux_reader *r);

struct mf_mux_open {
	struct mf_span
		host; /* not yet looked at, but for being UTF-8 without control characters and white space */
	uint16_t port;
};

/** mf_mux_open_read() - Return: 0, MF_E_BAD */
int mf_mux_open_read(struct mf_span payload, struct mf_mux_open *ret);
/** mf_mux_close_read() - Return: flags; MF_E_BAD */
int mf_mux_close_read(struct mf_span payload);
/** mf_mux_error_read() - What a server tells; Return: the code; MF_E_BAD: length mismatch, or no UTF-8 */
int mf_mux_error_read(struct mf_span payload, struct mf_span *ret_text);

/** mf_mux_head_write() - The nine bytes before a payload */
void mf_mux_head_write(uint8_t type, uint32_t stream, uint32_t len, uint8_t out[MF_MUX_HEAD]);
/** mf_mux_error_write() - A whole frame; @text is cut at a character, at MF_MUX_TEXT_MAX; Return: its length */
size_t mf_mux_error_write(uint32_t stream, enum mf_mux_error code, const char *text,
			  uint8_t out[MF_MUX_HEAD + 4 + MF_MUX_TEXT_MAX]);

#endif
