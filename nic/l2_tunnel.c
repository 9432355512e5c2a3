/* SPDX-License-Identifier: Apache-2.0 */
/* l2_tunnel.c - see l2_tunnel.h */
#include "nic/l2_tunnel.h"

#include <string.h>

#include "core/base/bytes.h"
#include "core/base/utf8.h"

enum { MAGIC = 0xa2, VERSION = 0x03 };

#define ERROR_HEAD 4u /* code and length */

static uint32_t limit_of(const struct mf_l2_limits *limits, uint8_t type)
{
	if (type == MF_L2_FRAME)
		return limits && limits->frame ? limits->frame : MF_L2_FRAME_MAX;
	return limits && limits->control ? limits->control : MF_L2_CONTROL_MAX;
}

int mf_l2_decode(struct mf_span msg, const struct mf_l2_limits *limits, struct mf_l2_message *ret,
		 struct mf_err *err)
{
	uint32_t max;

	/* In the order, and with the words, that peers know of Aero's own server. */
	if (msg.len < MF_L2_HEAD)
		return mf_err_set(err, MF_E_BAD, "message too short: %zu < %u", msg.len,
				  MF_L2_HEAD);
	if (msg.ptr[0] != MAGIC)
		return mf_err_set(err, MF_E_NOT_MINE, "invalid magic: 0x%02x", msg.ptr[0]);
	if (msg.ptr[1] != VERSION)
		return mf_err_set(err, MF_E_UNSUPPORTED, "unsupported version: 0x%02x", msg.ptr[1]);
	max = limit_of(limits, msg.ptr[2]);
	if (msg.len - MF_L2_HEAD > max)
		return mf_err_set(err, MF_E_LIMIT, "payload too large: %zu > %u",
				  msg.len - MF_L2_HEAD, max);
	*ret = (struct mf_l2_message){ .type = msg.ptr[2],
				       .flags = msg.ptr[3],
				       .payload = mf_span_of(msg.ptr + MF_L2_HEAD,
							     msg.len - MF_L2_HEAD) };
	return 0;
}

void mf_l2_head(uint8_t type, uint8_t buf[MF_L2_HEAD])
{
	buf[0] = MAGIC;
	buf[1] = VERSION;
	buf[2] = type;
	buf[3] = 0;
}

int mf_l2_encode(uint8_t type, struct mf_span payload, const struct mf_l2_limits *limits,
		 uint8_t *buf, size_t room)
{
	if (payload.len > limit_of(limits, type) || payload.len > INT32_MAX - MF_L2_HEAD)
		return MF_E_LIMIT;
	if (room < MF_L2_HEAD + payload.len)
		return MF_E_FULL;
	mf_l2_head(type, buf);
	if (payload.len)
		memcpy(buf + MF_L2_HEAD, payload.ptr, payload.len);
	return (int)(MF_L2_HEAD + payload.len);
}

static bool is_utf8(struct mf_span text)
{
	size_t at = 0;

	while (at < text.len) {
		uint32_t c;

		at += mf_utf8_decode(text.ptr + at, text.len - at, &c);
		if (c >= MF_UTF8_BAD)
			return false;
	}
	return true;
}

int mf_l2_error_read(struct mf_span payload, struct mf_l2_error *ret)
{
	struct mf_span text;

	if (payload.len < ERROR_HEAD || mf_load_be16(payload.ptr + 2) != payload.len - ERROR_HEAD)
		return MF_E_NOT_MINE;
	text = mf_span_of(payload.ptr + ERROR_HEAD, payload.len - ERROR_HEAD);
	if (!is_utf8(text))
		return MF_E_NOT_MINE;
	*ret = (struct mf_l2_error){ mf_load_be16(payload.ptr), text };
	return 0;
}

size_t mf_l2_cut_text(struct mf_span text, size_t max)
{
	size_t len = text.len < max ? text.len : max;

	while (len && len < text.len && (text.ptr[len] & 0xc0) == 0x80)
		len--;
	return len;
}

size_t mf_l2_error_write(uint16_t code, struct mf_span text, uint8_t *buf, size_t room)
{
	size_t len;

	if (room < ERROR_HEAD)
		return 0;
	room -= ERROR_HEAD;
	len = mf_l2_cut_text(text, room < UINT16_MAX ? room : UINT16_MAX);
	mf_store_be16(buf, code);
	mf_store_be16(buf + 2, (uint16_t)len);
	if (len)
		memcpy(buf + ERROR_HEAD, text.ptr, len);
	return ERROR_HEAD + len;
}
