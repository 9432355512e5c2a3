/* SPDX-License-Identifier: Apache-2.0 */
/* ws_frame.c - see ws_frame.h */
#include "proxies/gateway/ws_frame.h"

#include <moonfence/moonfence.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/utf8.h"

enum {
	FIN = 0x80,
	RSV = 0x70,
	OPCODE = 0x0f,
	CONTROL = 0x08,
	MASKED = 0x80,
	LEN_16 = 126,
	LEN_64 = 127,
	STEP = 32,
};

/* Loads before it stores, so that what it moves may lie over where it goes. */
static inline void step(uint8_t *to, const uint8_t *from, uint64_t mask)
{
	uint64_t w[STEP / 8];

	memcpy(w, from, STEP);
	for (unsigned i = 0; i < STEP / 8; i++)
		w[i] ^= mask;
	memcpy(to, w, STEP);
}

void mf_ws_unmask(uint8_t *to, const uint8_t *from, size_t len, uint8_t mask[4])
{
	uint8_t twice[8];
	uint64_t word;
	size_t at = 0;

	memcpy(twice, mask, 4);
	memcpy(twice + 4, mask, 4);
	memcpy(&word, twice, 8);
	for (; len - at >= STEP; at += STEP)
		step(to + at, from + at, word);
	for (; at < len; at++)
		to[at] = from[at] ^ twice[at & 3];
	/* as many turns as bytes were left over: what came before is whole masks */
	for (unsigned i = 0; i < 4; i++)
		mask[i] = twice[(i + len) & 3];
}

/* Bytes of the head, as far as its first @len tell; MF_E_BAD */
static int head_need(const struct mf_ws_reader *r)
{
	const uint8_t *h = r->head;
	uint8_t opcode = h[0] & OPCODE, len;

	if (r->head_len < 2)
		return 2;
	len = h[1] & 0x7f;
	if (h[0] & RSV || !(h[1] & MASKED))
		return MF_E_BAD;
	if (opcode & CONTROL) {
		if (opcode > MF_WS_PONG || !(h[0] & FIN) || len > MF_WS_CONTROL_MAX)
			return MF_E_BAD;
	} else if (opcode > MF_WS_BINARY || (opcode == MF_WS_CONTINUATION) != (r->message != 0)) {
		return MF_E_BAD;
	}
	return len == LEN_64 ? 14 : len == LEN_16 ? 8 : 6;
}

/* The head is whole. Return: 0, MF_E_BAD */
static int begin_payload(struct mf_ws_reader *r, size_t need)
{
	uint8_t opcode = r->head[0] & OPCODE;

	r->fin = r->head[0] & FIN;
	r->left = need == 14  ? mf_load_be64(r->head + 2)
		  : need == 8 ? mf_load_be16(r->head + 2)
			      : r->head[1] & 0x7fu;
	/* the shortest form, and no bit 63 (§5.2) */
	if ((need == 8 && r->left < LEN_16) ||
	    (need == 14 && (r->left <= UINT16_MAX || r->left >> 63)))
		return MF_E_BAD;
	memcpy(r->mask, r->head + need - 4, 4);
	r->in_payload = true;
	r->control_len = 0;
	r->opcode = opcode == MF_WS_CONTINUATION ? r->message : opcode;
	return 0;
}

/* Return: 1, 0, MF_E_BAD */
static int read_head(struct mf_ws_reader *r, uint8_t **in, size_t *len)
{
	int need = head_need(r);

	while (need > r->head_len) {
		size_t n = (size_t)need - r->head_len;

		if (*len == 0)
			return 0;
		n = n < *len ? n : *len;
		memcpy(r->head + r->head_len, *in, n);
		r->head_len = (uint8_t)(r->head_len + n);
		*in += n;
		*len -= n;
		need = head_need(r);
	}
	if (need < 0)
		return MF_E_BAD;
	return begin_payload(r, (size_t)need) < 0 ? MF_E_BAD : 1;
}

static void end_frame(struct mf_ws_reader *r)
{
	r->head_len = 0;
	r->in_payload = false;
}

/* Return: 1: it is whole; 0 */
static int read_control(struct mf_ws_reader *r, const uint8_t *from, size_t n,
			struct mf_ws_piece *ret)
{
	mf_ws_unmask(r->control + r->control_len, from, n, r->mask);
	r->control_len = (uint8_t)(r->control_len + n);
	if (r->left)
		return 0;
	*ret = (struct mf_ws_piece){ .opcode = (enum mf_ws_opcode)r->opcode,
				     .ptr = r->control,
				     .len = r->control_len,
				     .frame_len = r->control_len,
				     .begins = true,
				     .begins_message = true,
				     .ends_message = true };
	end_frame(r);
	return 1;
}

int mf_ws_read(struct mf_ws_reader *r, uint8_t **in, size_t *len, uint8_t *to,
	       struct mf_ws_piece *ret)
{
	bool begins = false;
	uint8_t *from;
	size_t n;

	if (!r->in_payload) {
		int got = read_head(r, in, len);

		if (got <= 0)
			return got;
		begins = true;
	}
	from = *in;
	n = r->left < *len ? (size_t)r->left : *len;
	*in += n;
	*len -= n;
	r->left -= n;
	if (r->opcode & CONTROL)
		return read_control(r, from, n, ret);
	/* an empty piece says nothing, unless its frame begins or is empty */
	if (n == 0 && r->left && !begins)
		return 0;
	*ret = (struct mf_ws_piece){ .opcode = (enum mf_ws_opcode)r->opcode,
				     .ptr = to ? to : from,
				     .len = n,
				     .frame_len = r->left + n,
				     .begins = begins,
				     .begins_message = begins && !r->message,
				     .ends_message = r->fin && r->left == 0 };
	mf_ws_unmask(ret->ptr, from, n, r->mask);
	r->message = ret->ends_message ? 0 : r->opcode;
	if (r->left == 0)
		end_frame(r);
	return 1;
}

size_t mf_ws_head_len(uint64_t len)
{
	return len < LEN_16 ? 2 : len <= UINT16_MAX ? 4 : 10;
}

size_t mf_ws_head_write(enum mf_ws_opcode opcode, uint64_t len, uint8_t out[MF_WS_HEAD_MAX])
{
	size_t need = mf_ws_head_len(len);

	out[0] = (uint8_t)(FIN | opcode);
	out[1] = need == 2 ? (uint8_t)len : need == 4 ? LEN_16 : LEN_64;
	if (need == 4)
		mf_store_be16(out + 2, (uint16_t)len);
	else if (need == 10)
		mf_store_be64(out + 2, len);
	return need;
}

bool mf_ws_is_text(struct mf_span s)
{
	uint32_t c;

	for (size_t at = 0; at < s.len;) {
		at += mf_utf8_decode(s.ptr + at, s.len - at, &c);
		if (c >= MF_UTF8_BAD)
			return false;
	}
	return true;
}

int mf_ws_close_read(struct mf_span payload)
{
	unsigned code;

	if (payload.len == 0)
		return MF_WS_NO_CODE;
	if (payload.len == 1)
		return MF_E_BAD;
	code = mf_load_be16(payload.ptr);
	/* 1004 means nothing yet; 1005, 1006 and 1015 are never said; the registry begins at 3000 (§7.4.2) */
	if (code < 1000 || code > 4999 || (code >= 1015 && code < 3000) ||
	    (code >= 1004 && code <= 1006))
		return MF_E_BAD;
	return mf_ws_is_text(mf_span_sub(payload, 2, payload.len)) ? (int)code : MF_E_SYNTAX;
}
