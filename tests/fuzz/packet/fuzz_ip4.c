/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_ip4.c - IPv4 with options and fragments, and its transports */
#include "fuzz_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *pkt = malloc(size ? size : 1);

	if (!pkt)
		return 0;
	memcpy(pkt, data, size);
	// The other version has a target of its own.
	if (size)
		pkt[0] = (uint8_t)(0x40 | (pkt[0] & 15));
	check_packet(pkt, size, MF_VIEW_IP);
	free(pkt);
	return 0;
}
