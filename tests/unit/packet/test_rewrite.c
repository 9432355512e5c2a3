/* SPDX-License-Identifier: Apache-2.0 */
/* test_rewrite.c - rewriting in place: exact checksums, nothing else changed, and back again */
#include "core/packet/build.h"
#include "core/packet/rewrite.h"
#include "golden.h"

static uint64_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

/* Another flow of the same kind; bytes of 0 and 0xff are frequent, there checksums go wrong first. */
static struct mf_flow random_flow(const struct mf_flow *like)
{
	struct mf_flow f = *like;
	size_t n = f.family == 4 ? 4 : 16;

	for (size_t i = 0; i < n; i++) {
		uint32_t r = next_random();

		f.src[i] = r % 3 == 0 ? 0 : r % 3 == 1 ? 0xff : (uint8_t)(r >> 8);
		f.dst[i] = (uint8_t)(r >> 16);
	}
	f.src_port = (uint16_t)next_random();
	f.dst_port = next_random() % 4 ? (uint16_t)next_random() : 0xffff;
	if (f.proto == MF_PROTO_ICMP || f.proto == MF_PROTO_ICMPV6)
		f.dst_port = f.src_port;
	return f;
}

static bool is_refused(const struct mf_view *v)
{
	return v->flags & (MF_VIEW_F_SOURCE_ROUTED | MF_VIEW_F_AUTH);
}

static void rewrite_golden(const struct golden *g, void *ctx)
{
	uint8_t *pkt = malloc(g->len + 1);
	unsigned *cnt = ctx;
	struct mf_view v;

	assert_non_null(pkt);
	memcpy(pkt, g->bytes, g->len);
	mf_view_init(&v, mf_span_of(pkt, g->len), g->link, 0, NULL);
	if (mf_view_parse(&v, MF_VIEW_TRANSPORT) || v.net == MF_NET_ARP) {
		free(pkt);
		return;
	}
	for (unsigned round = 0; round < 200; round++) {
		struct mf_flow was = v.flow, to = random_flow(&v.flow);
		enum mf_csum_state ip4 = mf_csum_verify_ip4(&v), l4 = mf_csum_verify(&v);
		struct mf_view again;

		if (is_refused(&v)) {
			assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL),
					 MF_E_UNSUPPORTED);
			assert_memory_equal(pkt, g->bytes, g->len);
			continue;
		}
		assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), 0);
		again = golden_view(pkt, g->len, g->link);
		assert_memory_equal(again.flow.src, to.src, 32);
		if (v.flags & MF_VIEW_F_HAS_PORTS)
			assert_memory_equal(&again.flow, &to, sizeof(to));
		assert_memory_equal(&again.flow, &v.flow, sizeof(to));
		assert_int_equal(mf_csum_verify_ip4(&again), ip4);
		assert_int_equal(mf_csum_verify(&again), l4);
		assert_int_equal(mf_rewrite_flow(&v, pkt, &was, MF_CSUM_FULL), 0);
		if (memcmp(pkt, g->bytes, g->len) != 0)
			fail_msg("%s: there and back is not the same", g->name);
		(*cnt)++;
	}
	free(pkt);
}

static void golden_packets_are_rewritten_there_and_back(void **state)
{
	unsigned cnt = 0;

	(void)state;
	golden_each(rewrite_golden, &cnt);
	assert_true(cnt > 5000);
}

static void rewritten_checksums_equal_computed_ones(void **state)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_UDP };
	const struct mf_tcp_fields tcp = { .seq = 1, .flags = MF_TCP_SYN };
	uint8_t pkt[256], full[256], payload[64];
	size_t len;

	(void)state;
	for (unsigned round = 0; round < 40000; round++) {
		struct mf_flow like = { .proto = protos[round % 2],
					.family = round % 4 < 2 ? 4 : 6 };
		struct mf_flow f = random_flow(&like), to = random_flow(&like);
		struct mf_span body = mf_span_of(payload, next_random() % sizeof(payload));
		struct mf_view v;

		memset(payload, (int)next_random(), sizeof(payload));
		if (f.proto == MF_PROTO_TCP)
			assert_int_equal(mf_build_tcp(&f, &tcp, body, pkt, sizeof(pkt), &len), 0);
		else
			assert_int_equal(mf_build_udp(&f, body, pkt, sizeof(pkt), &len), 0);
		v = golden_view(pkt, len, MF_VIEW_IP);
		assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), 0);
		memcpy(full, pkt, len);
		assert_int_equal(mf_csum_fill(&v, full, MF_CSUM_FULL), 0);
		assert_memory_equal(pkt, full, len);
	}
}

static void an_echo_reply_of_zeros_keeps_the_checksum_of_ones(void **state)
{
	uint8_t pkt[40] = { 0x45, 0, 0,	  40, 0, 0, 0,	 0, 64, MF_PROTO_ICMP,
			    0,	  0, 192, 0,  2, 1, 192, 0, 2,	2 };
	struct mf_view v = golden_view(pkt, sizeof(pkt), MF_VIEW_IP);
	struct mf_flow home = v.flow, to = v.flow;

	(void)state;
	assert_int_equal(mf_csum_fill(&v, pkt, MF_CSUM_FULL), 0);
	assert_int_equal(mf_load_be16(pkt + 22), 0xffff);
	to.src_port = to.dst_port = 0x1234;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), 0);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	assert_int_equal(mf_rewrite_flow(&v, pkt, &home, MF_CSUM_FULL), 0);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	assert_int_equal(mf_load_be16(pkt + 22), 0xffff);
}

static void udp_without_a_checksum_gets_none(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("UDP without a checksum", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_flow to = random_flow(&v.flow);

	(void)state;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), 0);
	assert_int_equal(mf_load_be16(pkt + 20 + 6), 0);
	assert_int_equal(mf_csum_verify_ip4(&v), MF_CSUM_GOOD);
}

static void a_wrong_checksum_stays_wrong(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("TCP data with options", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_flow to = random_flow(&v.flow);

	(void)state;
	pkt[len - 1] ^= 1;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), 0);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_BAD);
	pkt[len - 1] ^= 1;
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
}

/* Two fragments rewritten apart make one datagram that is right. */
static void fragments_rewritten_apart_fit_together(void **state)
{
	struct mf_flow f = { .proto = MF_PROTO_UDP,
			     .family = 4,
			     .src_port = 1,
			     .dst_port = 53,
			     .src = { 192, 0, 2, 1 },
			     .dst = { 192, 0, 2, 2 } };
	uint8_t whole[1100], one[1100], two[1100], body[1000];
	struct mf_flow to = random_flow(&f);
	struct mf_view v;
	size_t len, cut = 20 + 512;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)next_random();
	assert_int_equal(
		mf_build_udp(&f, mf_span_of(body, sizeof(body)), whole, sizeof(whole), &len), 0);
	memcpy(one, whole, cut);
	memcpy(two, whole, 20);
	memcpy(two + 20, whole + cut, len - cut);
	mf_store_be16(one + 2, (uint16_t)cut);
	mf_store_be16(one + 6, 0x2000);
	mf_store_be16(one + 10, mf_csum_ip4_header(one, 20));
	mf_store_be16(two + 2, (uint16_t)(20 + len - cut));
	mf_store_be16(two + 6, 512 / 8);
	mf_store_be16(two + 10, mf_csum_ip4_header(two, 20));

	v = golden_view(one, cut, MF_VIEW_IP);
	assert_int_equal(mf_rewrite_flow(&v, one, &to, MF_CSUM_FULL), 0);
	assert_int_equal(mf_csum_verify_ip4(&v), MF_CSUM_GOOD);
	v = golden_view(two, 20 + len - cut, MF_VIEW_IP);
	assert_int_equal(mf_rewrite_flow(&v, two, &to, MF_CSUM_FULL), 0);
	assert_int_equal(mf_csum_verify_ip4(&v), MF_CSUM_GOOD);
	assert_memory_equal(two + 20, whole + cut, len - cut);

	memcpy(whole + 12, one + 12, cut - 12);
	v = golden_view(whole, len, MF_VIEW_IP);
	assert_memory_equal(&v.flow, &to, sizeof(to));
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
}

static void a_partial_checksum_follows_the_addresses_alone(void **state)
{
	uint8_t pkt[2048], full[2048];
	size_t len = golden_ip("TCP over IPv6 data", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_flow to = random_flow(&v.flow);

	(void)state;
	assert_int_equal(mf_csum_fill(&v, pkt, MF_CSUM_PARTIAL), 0);
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_PARTIAL), 0);
	memcpy(full, pkt, len);
	assert_int_equal(mf_csum_fill(&v, full, MF_CSUM_PARTIAL), 0);
	assert_memory_equal(pkt, full, len);
}

static void an_absent_checksum_is_left_alone(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("TCP SYN", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	struct mf_flow to = random_flow(&v.flow);
	uint16_t was = mf_load_be16(pkt + 20 + 16);

	(void)state;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_ABSENT), 0);
	assert_int_equal(mf_load_be16(pkt + 20 + 16), was);
	assert_int_equal(mf_csum_verify_ip4(&v), MF_CSUM_GOOD);
}

static void check_error(const char *name, bool whole_quote)
{
	uint8_t pkt[2048], was[2048], quoted[2048];
	size_t len = golden_ip(name, pkt, sizeof(pkt)), n;
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP), in;
	struct mf_flow inner_was, outer_was = v.flow;

	memcpy(was, pkt, len);
	assert_int_equal(mf_view_quote(&v, &in), 0);
	inner_was = in.flow;
	for (unsigned round = 0; round < 500; round++) {
		struct mf_flow to = random_flow(&in.flow), outer = random_flow(&v.flow);
		enum mf_csum_state l4 = mf_csum_verify(&v), ip4 = mf_csum_verify_ip4(&v);
		struct mf_view q;

		assert_int_equal(mf_rewrite_icmp_error(&v, &in, pkt, outer.src, outer.dst, &to), 0);
		assert_memory_equal(v.flow.src, outer.src, 32);
		assert_int_equal(mf_csum_verify(&v), l4);
		assert_int_equal(mf_csum_verify_ip4(&v), ip4);
		assert_int_equal(mf_csum_verify_ip4(&in),
				 in.net == MF_NET_IP4 ? MF_CSUM_GOOD : MF_CSUM_NONE);
		if (whole_quote) {
			// The quote is a packet of its own, and right.
			n = in.end - in.net_off;
			memcpy(quoted, pkt + in.net_off, n);
			q = golden_view(quoted, n, MF_VIEW_IP);
			assert_memory_equal(&q.flow, &to, sizeof(to));
			assert_int_not_equal(mf_csum_verify(&q), MF_CSUM_BAD);
		}
		assert_int_equal(mf_rewrite_icmp_error(&v, &in, pkt, outer_was.src, outer_was.dst,
						       &inner_was),
				 0);
		assert_memory_equal(pkt, was, len);
	}
}

static void icmp_errors_are_rewritten_with_what_they_quote(void **state)
{
	(void)state;
	check_error("ICMP port unreachable quoting UDP", true);
	check_error("ICMPv6 port unreachable quoting UDP", true);
	check_error("ICMPv6 error quoting extension headers", true);
	check_error("ICMP error quoting UDP without a checksum", true);
	check_error("ICMP error quoting a first fragment", false);
	check_error("ICMP error quoting 8 bytes of TCP", false);
	check_error("ICMP protocol unreachable", false);
}

static void what_does_not_fit_is_refused_and_nothing_changed(void **state)
{
	uint8_t pkt[2048], was[2048];
	size_t len = golden_ip("TCP SYN", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP), fresh;
	struct mf_flow to = v.flow;

	(void)state;
	memcpy(was, pkt, len);
	to.proto = MF_PROTO_UDP;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), MF_E_INVAL);
	to = v.flow;
	to.family = 6;
	assert_int_equal(mf_rewrite_flow(&v, pkt, &to, MF_CSUM_FULL), MF_E_INVAL);
	mf_view_init(&fresh, mf_span_of(pkt, len), MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_rewrite_flow(&fresh, pkt, &v.flow, MF_CSUM_FULL), MF_E_INVAL);
	assert_int_equal(mf_rewrite_icmp_error(&v, &v, pkt, to.src, to.dst, &v.flow), MF_E_INVAL);
	assert_memory_equal(pkt, was, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_packets_are_rewritten_there_and_back),
		cmocka_unit_test(rewritten_checksums_equal_computed_ones),
		cmocka_unit_test(an_echo_reply_of_zeros_keeps_the_checksum_of_ones),
		cmocka_unit_test(udp_without_a_checksum_gets_none),
		cmocka_unit_test(a_wrong_checksum_stays_wrong),
		cmocka_unit_test(fragments_rewritten_apart_fit_together),
		cmocka_unit_test(a_partial_checksum_follows_the_addresses_alone),
		cmocka_unit_test(an_absent_checksum_is_left_alone),
		cmocka_unit_test(icmp_errors_are_rewritten_with_what_they_quote),
		cmocka_unit_test(what_does_not_fit_is_refused_and_nothing_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
