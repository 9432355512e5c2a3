/* SPDX-License-Identifier: Apache-2.0 */
/* test_checksum.c - full and incremental checksums against a plain reference and against captured packets */
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "golden.h"

static uint64_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33);
}

static void fill_random(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)next_random();
}

/* RFC 1071 as it is written: 16-bit words in network order, carries added back. */
static uint16_t plain_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2) {
		sum += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static void the_example_of_rfc_1071_sums_to_ddf2(void **state)
{
	const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(mf_csum_fold(mf_csum_add(0, bytes, sizeof(bytes))), 0xddf2);
}

static void any_length_at_any_alignment_sums_as_the_reference(void **state)
{
	uint8_t buf[700];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		fill_random(buf, sizeof(buf));
		if (round == 1)
			memset(buf, 0xff, sizeof(buf));
		if (round == 2)
			memset(buf, 0, sizeof(buf));
		for (size_t off = 0; off < 9; off++)
			for (size_t len = 0; len + off <= sizeof(buf); len++) {
				uint16_t is = mf_csum_fold(mf_csum_add(0, buf + off, len));

				assert_int_equal(is, plain_sum(buf + off, len));
			}
	}
}

static void a_sum_in_even_pieces_is_the_sum_of_the_whole(void **state)
{
	uint8_t buf[512];

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		size_t len = next_random() % sizeof(buf),
		       cut = len ? next_random() % len & ~(size_t)1 : 0;
		uint64_t sum =
			UINT64_MAX -
			next_random() % 3; // a running sum near its end must not lose a carry

		fill_random(buf, sizeof(buf));
		assert_int_equal(
			mf_csum_fold(mf_csum_add(mf_csum_add(sum, buf, cut), buf + cut, len - cut)),
			mf_csum_fold(mf_csum_add(sum, buf, len)));
	}
}

static void large_buffers_lose_no_carry(void **state)
{
	uint8_t *buf = malloc(65535);

	(void)state;
	assert_non_null(buf);
	memset(buf, 0xff, 65535);
	assert_int_equal(mf_csum_fold(mf_csum_add(0, buf, 65534)), 0xffff);
	assert_int_equal(mf_csum_fold(mf_csum_add(0, buf, 65535)), plain_sum(buf, 65535));
	fill_random(buf, 65535);
	assert_int_equal(mf_csum_fold(mf_csum_add(0, buf, 65535)), plain_sum(buf, 65535));
	free(buf);
}

static void the_example_of_rfc_1624_updates_to_zero_not_to_all_ones(void **state)
{
	(void)state;
	assert_int_equal(mf_csum_update(0xdd2f, mf_csum_diff16(0, 0x5555, 0x3285)), 0x0000);
}

static void updates_equal_full_computation_and_are_never_all_ones(void **state)
{
	uint8_t p[40], old[4];

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		size_t at = 12 + next_random() % 7 * 4;
		uint16_t c, full;

		fill_random(p, sizeof(p));
		// Words near zero and all ones are where the mistakes are.
		for (unsigned k = 0; k < 20; k++)
			if (next_random() % 3)
				memset(p + 2 * k, next_random() % 2 ? 0xff : 0, 2);
		p[0] = 0x45;
		c = mf_csum_ip4_header(p, sizeof(p));
		mf_store_be16(p + 10, c);
		assert_int_equal(plain_sum(p, sizeof(p)), 0xffff);
		memcpy(old, p + at, 4);
		fill_random(p + at, 4);
		if (next_random() % 4 == 0)
			memset(p + at, next_random() % 2 ? 0xff : 0, 4);
		c = mf_csum_update(c, mf_csum_diff(0, old, p + at, 4));
		full = mf_csum_ip4_header(p, sizeof(p));
		assert_int_equal(c, full);
		assert_int_not_equal(c, 0xffff);
	}
}

static void udp_sends_a_computed_zero_as_all_ones_and_keeps_none(void **state)
{
	struct mf_flow f = { .proto = MF_PROTO_UDP, .family = 4 };
	uint8_t seg[12] = { 0, 1, 0, 2, 0, 12, 0, 0, 0, 0, 0, 0 };
	uint16_t c = mf_csum_transport(&f, seg, sizeof(seg));

	(void)state;
	// Give the last word the value that makes the sum all ones.
	mf_store_be16(seg + 10, c);
	assert_int_equal(mf_csum_transport(&f, seg, sizeof(seg)), 0xffff);
	f.proto = MF_PROTO_TCP;
	assert_int_equal(mf_csum_update_udp(0, mf_csum_diff16(0, 1, 2)), 0);
	assert_int_equal(mf_csum_update_udp(0xdd2f, mf_csum_diff16(0, 0x5555, 0x3285)), 0xffff);
	assert_int_equal(mf_csum_update_udp(0xffff, mf_csum_diff16(0, 7, 7)), 0xffff);
}

static void transports_without_a_known_checksum_have_none(void **state)
{
	struct mf_flow f = { .proto = 47, .family = 4 };
	uint8_t seg[20] = { 1 };

	(void)state;
	assert_int_equal(mf_csum_transport(&f, seg, sizeof(seg)), 0);
	f.proto = MF_PROTO_TCP;
	assert_int_equal(mf_csum_transport(&f, seg, 17), 0);
}

static void refill(const struct golden *g, void *ctx)
{
	unsigned *cnt = ctx;
	struct mf_view v;
	uint8_t *copy;
	int field;

	if (strcmp(g->sums, "good good") != 0 && strcmp(g->sums, "none good") != 0)
		return;
	copy = malloc(g->len);
	assert_non_null(copy);
	memcpy(copy, g->bytes, g->len);
	mf_view_init(&v, mf_span_of(g->bytes, g->len), g->link, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	field = mf_csum_field(v.flow.proto);
	memset(copy + v.transport_off + field, 0x5a, 2);
	if (v.net == MF_NET_IP4)
		memset(copy + v.net_off + 10, 0xa5, 2);
	assert_int_equal(mf_csum_fill(&v, copy, MF_CSUM_FULL), 0);
	if (memcmp(copy, g->bytes, g->len) != 0)
		fail_msg("%s: checksums are not as captured", g->name);
	free(copy);
	(*cnt)++;
}

static void captured_checksums_are_computed_again(void **state)
{
	unsigned cnt = 0;

	(void)state;
	golden_each(refill, &cnt);
	assert_true(cnt > 25);
}

/* Every flipped bit behind the transport header's first 8 bytes is seen. */
static void flip(const struct golden *g, void *ctx)
{
	struct mf_view v;

	(void)ctx;
	if (strcmp(g->sums, "good good") != 0 && strcmp(g->sums, "none good") != 0)
		return;
	mf_view_init(&v, mf_span_of(g->bytes, g->len), g->link, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	for (size_t i = (size_t)v.payload_off * 8; i < (size_t)v.payload_end * 8; i++) {
		g->bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(mf_csum_verify(&v), MF_CSUM_BAD);
		g->bytes[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

static void a_flipped_bit_makes_a_checksum_bad(void **state)
{
	(void)state;
	golden_each(flip, NULL);
}

/* What a device does with CHECKSUM_PARTIAL: sum from the transport header to the end, store the complement. */
static void finish_partial(uint8_t *pkt, const struct mf_view *v)
{
	uint8_t *field = pkt + v->transport_off + mf_csum_field(v->flow.proto);
	uint16_t c = (uint16_t)~mf_csum_fold(
		mf_csum_add(0, pkt + v->transport_off, v->payload_end - v->transport_off));

	if (v->flow.proto == MF_PROTO_UDP && !c)
		c = 0xffff;
	mf_store_be16(field, c);
}

static void a_partial_checksum_finished_by_a_device_is_the_full_one(void **state)
{
	const char *const names[] = { "TCP data with options", "TCP over IPv6 data",
				      "DNS query over UDP", "DNS query over UDP over IPv6" };
	uint8_t pkt[2048], was[2048];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		size_t len = golden_ip(names[i], pkt, sizeof(pkt));
		struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);

		memcpy(was, pkt, len);
		assert_int_equal(mf_csum_fill(&v, pkt, MF_CSUM_PARTIAL), 0);
		assert_memory_not_equal(pkt, was, len);
		finish_partial(pkt, &v);
		assert_memory_equal(pkt, was, len);
	}
}

static void fragments_are_not_filled_in(void **state)
{
	uint8_t pkt[2048], was[2048];
	size_t len = golden_ip("UDP first fragment of three", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);

	(void)state;
	memcpy(was, pkt, len);
	mf_store_be16(pkt + 10, 0);
	assert_int_equal(mf_csum_fill(&v, pkt, MF_CSUM_FULL), MF_E_UNSUPPORTED);
	assert_memory_equal(pkt, was, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_1071_sums_to_ddf2),
		cmocka_unit_test(any_length_at_any_alignment_sums_as_the_reference),
		cmocka_unit_test(a_sum_in_even_pieces_is_the_sum_of_the_whole),
		cmocka_unit_test(large_buffers_lose_no_carry),
		cmocka_unit_test(the_example_of_rfc_1624_updates_to_zero_not_to_all_ones),
		cmocka_unit_test(updates_equal_full_computation_and_are_never_all_ones),
		cmocka_unit_test(udp_sends_a_computed_zero_as_all_ones_and_keeps_none),
		cmocka_unit_test(transports_without_a_known_checksum_have_none),
		cmocka_unit_test(captured_checksums_are_computed_again),
		cmocka_unit_test(a_flipped_bit_makes_a_checksum_bad),
		cmocka_unit_test(a_partial_checksum_finished_by_a_device_is_the_full_one),
		cmocka_unit_test(fragments_are_not_filled_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
