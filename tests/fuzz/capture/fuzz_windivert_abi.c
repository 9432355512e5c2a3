/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_windivert_abi.c - a batch as the driver delivers it, and socket events, from any bytes
 *
 * Input: one byte, the number of addresses; that many addresses of 80 bytes; the packets.
 */
#include <stdlib.h>

#include "capture/windivert_abi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cnt, len, taken = 0;
	const uint8_t *addrs;
	uint8_t *bytes;

	if (size < 1 || (size - 1) / sizeof(struct mf_wd_address) < data[0])
		return 0;
	cnt = data[0];
	addrs = data + 1;
	len = size - 1 - cnt * sizeof(struct mf_wd_address);
	bytes = malloc(len + 1); /* exactly, so that a byte too many is seen */
	if (!bytes)
		return 0;
	memcpy(bytes, data + size - len, len);
	for (size_t i = 0; i < cnt; i++) {
		struct mf_wd_address addr, back;
		struct mf_flow_event ev;
		struct mf_packet pkt;
		uint32_t n;

		memcpy(&addr, addrs + i * sizeof(addr), sizeof(addr));
		if (mf_wd_read_event(&addr, &ev) &&
		    (ev.kind >= MF_FLOW_EVENT_NUM || (ev.flow.family != 4 && ev.flow.family != 6)))
			abort();
		n = mf_wd_read_packet(&addr, bytes + taken, len - taken, &pkt);
		if (!n)
			continue;
		if (n > len - taken || n < 20 || pkt.len != n)
			abort();
		mf_wd_write_address(&pkt, &back);
		if (MF_WD_LAYER(back.bits) != MF_WD_NETWORK ||
		    MF_WD_EVENT(back.bits) != MF_WD_PACKET ||
		    back.network.if_idx != addr.network.if_idx)
			abort();
		taken += n;
	}
	free(bytes);
	return 0;
}
