/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_guest_parsers.c - the parsers behind a guest's router alone: DHCPv4, DHCPv6, neighbour solicitations, frames of a stream
 *
 * What must be true: an answer is no longer than its bound, to whom the question came from, and ends where it says; nothing is
 * read behind the input.
 */
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "nic/dhcp4.h"
#include "nic/dhcp6.h"
#include "nic/frame_socket.h"
#include "nic/nd6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t search[] = "\3lab\7example";

static void dhcp4(const uint8_t *msg, size_t len, uint8_t how)
{
	struct mf_dhcp4_lease l = { .address = { 10, 0, 2, 15 },
				    .netmask = { 255, 255, 255, 0 },
				    .router = { 10, 0, 2, 2 },
				    .dns = { { 10, 0, 2, 3 } },
				    .ntp = { { 192, 0, 2, 1 } },
				    .dns_cnt = 1,
				    .ntp_cnt = how & 1 ? MF_DHCP4_LIST_MAX : 0,
				    .mtu = how & 2 ? 1400 : 0,
				    .lease_s = 60,
				    .domain = how & 4 ? "lab.example" : NULL,
				    .search = search,
				    .search_len = how & 8 ? sizeof(search) : 0 };
	uint8_t buf[MF_DHCP4_ANSWER_MAX];
	struct mf_dhcp4_answer a;
	size_t at = 240;

	if (len >= 34)
		memcpy(l.mac, msg + 28, 6);
	if (mf_dhcp4_answer(&l, msg, len, buf, &a) < 0)
		return;
	MF_MUST(a.len >= MF_DHCP4_MIN && a.len <= sizeof(buf));
	MF_MUST(a.type == 2 || a.type == 5 || a.type == 6);
	MF_MUST(buf[0] == 2 && !memcmp(buf + 4, msg + 4, 4) && !memcmp(buf + 28, msg + 28, 16));
	/* its options are whole and have an end */
	while (at < a.len && buf[at] != 255)
		at += buf[at] ? 2u + buf[at + 1] : 1u;
	MF_MUST(at < a.len);
}

static void dhcp6(const uint8_t *msg, size_t len, uint8_t how)
{
	struct mf_dhcp6_info i = { .mac = { 2, 0, 0, 0, 0, 1 },
				   .search = search,
				   .search_len = how & 8 ? sizeof(search) : 0 };
	uint8_t buf[MF_DHCP6_ANSWER_MAX];
	int n = mf_dhcp6_answer(&i, msg, len, buf), at = 4;

	if (n < 0)
		return;
	MF_MUST(n <= (int)sizeof(buf) && buf[0] == 7 && !memcmp(buf + 1, msg + 1, 3));
	while (at + 4 <= n)
		at += 4 + mf_load_be16(buf + at + 2);
	MF_MUST(at == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *target;
	size_t frame;
	int r;

	if (size < 1)
		return 0;
	switch (data[0] & 3) {
	case 0:
		dhcp4(data + 1, size - 1, data[0] >> 2);
		break;
	case 1:
		dhcp6(data + 1, size - 1, data[0] >> 2);
		break;
	case 2:
		if (mf_nd6_read_solicit(data + 1, size - 1, &target) == 0)
			MF_MUST(target >= data + 1 && target + 16 <= data + size);
		break;
	default:
		r = mf_frame_split(data + 1, size - 1, &frame);
		if (r >= 0)
			MF_MUST(r <= (int)MF_FRAME_MAX && frame + (size_t)r <= size - 1);
	}
	return 0;
}
