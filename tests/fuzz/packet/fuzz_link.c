/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_link.c - Ethernet, VLAN tags and ARP, and all that they carry */
#include "fuzz_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_packet(data, size, MF_VIEW_ETHERNET);
	return 0;
}
