/* SPDX-License-Identifier: Apache-2.0 */
/* udp_frame.c - see udp_frame.h */
#include "proxies/gateway/udp_frame.h"

#include <moonfence/moonfence.h>

#include "core/base/bytes.h"

enum { MAGIC = 0xa2, VERSION = 2, HEAD_1 = 8 };

static int read_2(struct mf_span msg, struct mf_udp_frame *ret)
{
	size_t addr_len;

	if (msg.len < 12)
		return MF_E_BAD;
	addr_len = msg.ptr[2] == 4 ? 4 : msg.ptr[2] == 6 ? 16 : 0;
	if (addr_len == 0 || msg.ptr[3] != 0 || msg.len < 8 + addr_len)
		return MF_E_BAD;
	ret->version = 2;
	ret->guest_port = mf_load_be16(msg.ptr + 4);
	(void)mf_addr_from_bytes(&ret->remote.addr, msg.ptr + 6, addr_len);
	ret->remote.port = mf_load_be16(msg.ptr + 6 + addr_len);
	ret->payload = mf_span_sub(msg, 8 + addr_len, msg.len);
	return 0;
}

int mf_udp_frame_read(struct mf_span msg, size_t payload_max, struct mf_udp_frame *ret)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (msg.len >= 2 && msg.ptr[0] == MAGIC && msg.ptr[1] == VERSION) {
		r = read_2(msg, ret);
	} else if (msg.len < HEAD_1) {
		r = MF_E_BAD;
	} else {
		ret->version = 1;
		ret->guest_port = mf_load_be16(msg.ptr);
		(void)mf_addr_from_bytes(&ret->remote.addr, msg.ptr + 2, 4);
		ret->remote.port = mf_load_be16(msg.ptr + 6);
		ret->payload = mf_span_sub(msg, HEAD_1, msg.len);
	}
	return r == 0 && ret->payload.len > payload_max ? MF_E_LIMIT : r;
}

size_t mf_udp_frame_head(const struct mf_udp_frame *f, uint8_t out[MF_UDP_FRAME_HEAD_MAX])
{
	size_t addr_len = f->remote.addr.family == 4 ? 4 : 16, at = 0;

	if (f->version == 2) {
		out[0] = MAGIC;
		out[1] = VERSION;
		out[2] = addr_len == 4 ? 4 : 6;
		out[3] = 0;
		at = 4;
	}
	mf_store_be16(out + at, f->guest_port);
	memcpy(out + at + 2, f->remote.addr.bytes, addr_len);
	mf_store_be16(out + at + 2 + addr_len, f->remote.port);
	return at + 4 + addr_len;
}
