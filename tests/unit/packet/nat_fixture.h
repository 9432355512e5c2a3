/* SPDX-License-Identifier: Apache-2.0 */
/* nat_fixture.h - flows and packets that NAT tests are made of */
#ifndef MF_TESTS_PACKET_NAT_FIXTURE_H
#define MF_TESTS_PACKET_NAT_FIXTURE_H

#include "core/base/clock.h"
#include "core/packet/nat.h"

#define S MF_NS_PER_S

/* The program's flow number @n of protocol @proto: its own port and IPv4 server. */
static inline struct mf_flow flow4(uint8_t proto, unsigned n)
{
	struct mf_flow f = { .proto = proto, .family = 4 };
	const uint8_t src[4] = { 10, 0, 0, 2 }, dst[4] = { 198, 51, 100, 7 };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	f.src[1] = (uint8_t)(n >> 16);
	f.src_port = (uint16_t)n;
	f.dst_port = 443;
	return f;
}

static inline struct mf_flow flow6(uint8_t proto, unsigned n)
{
	struct mf_flow f = { .proto = proto, .family = 6 };
	const uint8_t net[4] = { 0x20, 0x01, 0x0d, 0xb8 };

	memcpy(f.src, net, 4);
	memcpy(f.dst, net, 4);
	f.src[15] = 2;
	f.dst[15] = 7;
	f.src[7] = (uint8_t)(n >> 16);
	f.src_port = (uint16_t)n;
	f.dst_port = 443;
	return f;
}

/* What redirection by loopback pair makes of a flow: both ends local, the proxy's port. */
static inline struct mf_flow to_proxy(const struct mf_flow *f)
{
	struct mf_flow t = *f;

	if (f->family == 4) {
		const uint8_t lo[4] = { 127, 0, 0, 1 };

		memcpy(t.src, lo, 4);
		memcpy(t.dst, lo, 4);
		t.src[1] = f->src[1];
	} else {
		memset(t.src, 0, 16);
		memset(t.dst, 0, 16);
		t.src[15] = t.dst[15] = 1;
		t.src[7] = f->src[7];
	}
	t.dst_port = 9080;
	return t;
}

static inline struct mf_nat_ask ask_of(const struct mf_flow *f, uint8_t tcp_flags, uint32_t seq)
{
	return (struct mf_nat_ask){ .flow = *f, .tcp_flags = tcp_flags, .seq = seq };
}

#endif
