// SPDX-License-Identifier: Apache-2.0
// Datagrams from fragments: any order, both families, overlaps, and every bound.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "core/packet/reassemble.h"

enum { PAYLOAD = 3000, ROOM = 4096 };

struct datagram {
	uint8_t whole[ROOM];
	size_t len, head_len;
};

static void make_datagram(struct datagram *d, int family, uint16_t port)
{
	uint8_t payload[PAYLOAD];
	struct mf_endpoint src = { .port = port }, dst = { .port = 53 };
	struct mf_flow flow;

	assert_int_equal(mf_addr_parse(family == 4 ? "192.0.2.1" : "2001:db8::1",
				       family == 4 ? 9 : 11, &src.addr),
			 0);
	assert_int_equal(mf_addr_parse(family == 4 ? "192.0.2.2" : "2001:db8::2",
				       family == 4 ? 9 : 11, &dst.addr),
			 0);
	for (unsigned i = 0; i < PAYLOAD; i++)
		payload[i] = (uint8_t)(i * 7 + port);
	assert_true(mf_flow_make(&flow, MF_PROTO_UDP, &src, &dst));
	assert_int_equal(mf_build_udp(&flow, mf_span_of(payload, PAYLOAD), d->whole, ROOM, &d->len),
			 0);
	d->head_len = family == 4 ? 20 : 40;
}

/* The fragment of @d with payload bytes [from, to); Return: its length. */
static size_t cut(const struct datagram *d, uint32_t id, size_t from, size_t to, bool more,
		  uint8_t *out)
{
	size_t head = d->head_len;

	memcpy(out, d->whole, head);
	if (head == 20) {
		mf_store_be16(out + 2, (uint16_t)(20 + to - from));
		mf_store_be16(out + 4, (uint16_t)id);
		mf_store_be16(out + 6, (uint16_t)(from / 8 | (more ? 0x2000 : 0)));
		mf_store_be16(out + 10, mf_csum_ip4_header(out, 20));
	} else {
		mf_store_be16(out + 4, (uint16_t)(8 + to - from));
		out[40] = out[6];
		out[6] = MF_PROTO_FRAGMENT;
		out[41] = 0;
		mf_store_be16(out + 42, (uint16_t)(from | more));
		mf_store_be32(out + 44, id);
		head = 48;
	}
	memcpy(out + head, d->whole + d->head_len + from, to - from);
	return head + to - from;
}

static int give(struct mf_reassembler *r, const struct datagram *d, uint32_t id, size_t from,
		size_t to, bool more, uint64_t now, struct mf_span *ret)
{
	uint8_t pkt[ROOM];
	struct mf_view v;
	size_t len = cut(d, id, from, to, more, pkt);

	mf_view_init(&v, mf_span_of(pkt, len), MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_NET), 0);
	return mf_reassembler_add(r, &v, now, ret);
}

static void assert_whole(const struct datagram *d, struct mf_span got)
{
	struct mf_view v;

	assert_int_equal(got.len, d->len);
	assert_memory_equal(got.ptr + d->head_len, d->whole + d->head_len, d->len - d->head_len);
	mf_view_init(&v, got, MF_VIEW_IP, 0, NULL);
	assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
	assert_int_equal(v.flags & MF_VIEW_F_FRAG, 0);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	if (d->head_len == 20)
		assert_int_equal(mf_csum_verify_ip4(&v), MF_CSUM_GOOD);
}

static void fragments_in_any_order_make_the_datagram(void **state)
{
	static const size_t edges[] = { 0, 8, 1000, 1008, 2000, PAYLOAD + 8 };
	enum { CNT = MF_ARRAY_SIZE(edges) - 1 };

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 400; round++) {
		struct mf_reassembler *r = mf_reassembler_new(NULL);
		unsigned order[CNT];
		struct datagram d;
		struct mf_span whole = { NULL, 0 };

		make_datagram(&d, round % 2 ? 4 : 6, (uint16_t)(1000 + round));
		for (unsigned i = 0; i < CNT; i++) {
			unsigned j = (unsigned)rand() % (i + 1);

			order[i] = order[j];
			order[j] = i;
		}
		for (unsigned i = 0; i < CNT; i++) {
			unsigned n = order[i];
			/* the view refuses a first fragment that ends inside of the transport header: 8 bytes are UDP's */
			int res = give(r, &d, 5, edges[n], edges[n + 1], n + 1 < CNT, 0, &whole);

			assert_int_equal(res, i + 1 == CNT);
			if (i + 1 < CNT && round % 3 == 0) /* repeats are nothing */
				assert_int_equal(give(r, &d, 5, edges[n], edges[n + 1], n + 1 < CNT,
						      0, &whole),
						 0);
		}
		assert_whole(&d, whole);
		mf_reassembler_free(r);
	}
}

static void overlaps_make_a_datagram_worthless(void **state)
{
	struct mf_reassembler_stats stats;
	struct mf_reassembler *r = mf_reassembler_new(NULL);
	struct datagram d;
	struct mf_span whole;

	(void)state;
	make_datagram(&d, 6, 1000);
	assert_int_equal(give(r, &d, 1, 0, 1000, true, 0, &whole), 0);
	assert_int_equal(give(r, &d, 1, 992, 2000, true, 0, &whole), MF_E_BAD);
	/* what comes behind is of nothing */
	assert_int_equal(give(r, &d, 1, 1000, PAYLOAD + 8, false, 0, &whole), 0);
	mf_reassembler_get_stats(r, &stats);
	assert_int_equal(stats.overlaps, 1);
	assert_int_equal(stats.whole, 0);
	/* the same place with other bytes */
	assert_int_equal(give(r, &d, 2, 0, 1000, true, 0, &whole), 0);
	d.whole[d.head_len + 500] ^= 1;
	assert_int_equal(give(r, &d, 2, 0, 1000, true, 0, &whole), MF_E_BAD);
	mf_reassembler_free(r);
}

static void bytes_behind_the_end_make_a_datagram_worthless(void **state)
{
	struct mf_reassembler *r = mf_reassembler_new(NULL);
	struct datagram d;
	struct mf_span whole;

	(void)state;
	make_datagram(&d, 4, 1000);
	assert_int_equal(give(r, &d, 1, 8, 1000, false, 0, &whole), 0);
	assert_int_equal(give(r, &d, 1, 1000, 2000, true, 0, &whole), MF_E_BAD);
	assert_int_equal(give(r, &d, 2, 1000, 2000, true, 0, &whole), 0);
	assert_int_equal(give(r, &d, 2, 8, 1000, false, 0, &whole), MF_E_BAD);
	mf_reassembler_free(r);
}

static void ids_and_families_do_not_mix(void **state)
{
	struct mf_reassembler *r = mf_reassembler_new(NULL);
	struct datagram four, six;
	struct mf_span whole;

	(void)state;
	make_datagram(&four, 4, 1);
	make_datagram(&six, 6, 2);
	assert_int_equal(give(r, &four, 9, 0, 1000, true, 0, &whole), 0);
	assert_int_equal(give(r, &four, 10, 1000, PAYLOAD + 8, false, 0, &whole), 0);
	assert_int_equal(give(r, &six, 9, 1000, PAYLOAD + 8, false, 0, &whole), 0);
	assert_int_equal(give(r, &six, 9, 0, 1000, true, 0, &whole), 1);
	assert_whole(&six, whole);
	assert_int_equal(give(r, &four, 9, 1000, PAYLOAD + 8, false, 0, &whole), 1);
	assert_whole(&four, whole);
	mf_reassembler_free(r);
}

static void what_waits_is_bounded_in_number_bytes_and_time(void **state)
{
	const struct mf_reassembler_options few = { .datagrams_max = 4 },
					    small = { .bytes_max = 40000 };
	struct mf_reassembler_stats stats;
	struct mf_reassembler *r = mf_reassembler_new(&few);
	struct datagram d;
	struct mf_span whole;

	(void)state;
	make_datagram(&d, 4, 1);
	for (uint32_t id = 1; id <= 10; id++)
		assert_int_equal(give(r, &d, id, 0, 1000, true, 0, &whole), 0);
	mf_reassembler_get_stats(r, &stats);
	assert_int_equal(stats.datagrams, 4);
	assert_int_equal(stats.evicted, 6);
	/* the youngest are still there, the oldest are not */
	assert_int_equal(give(r, &d, 10, 1000, PAYLOAD + 8, false, 0, &whole), 1);
	assert_int_equal(give(r, &d, 1, 1000, PAYLOAD + 8, false, 0, &whole), 0);
	mf_reassembler_free(r);

	r = mf_reassembler_new(&small);
	for (uint32_t id = 1; id <= 100; id++)
		assert_int_equal(give(r, &d, id, 0, 2000, true, 0, &whole), 0);
	mf_reassembler_get_stats(r, &stats);
	assert_true(stats.bytes <= 40000 && stats.datagrams >= 2);
	assert_int_equal(stats.evicted + stats.datagrams, 100);
	mf_reassembler_free(r);

	r = mf_reassembler_new(NULL);
	assert_int_equal(give(r, &d, 1, 0, 1000, true, 0, &whole), 0);
	assert_int_equal(give(r, &d, 2, 0, 1000, true, 29 * MF_NS_PER_S, &whole), 0);
	assert_int_equal(give(r, &d, 1, 1000, PAYLOAD + 8, false, 31 * MF_NS_PER_S, &whole), 0);
	assert_int_equal(give(r, &d, 2, 1000, PAYLOAD + 8, false, 31 * MF_NS_PER_S, &whole), 1);
	mf_reassembler_get_stats(r, &stats);
	assert_int_equal(stats.timeouts, 1);
	mf_reassembler_free(r);
}

static void the_longest_datagram_is_one_and_a_longer_one_is_none(void **state)
{
	static uint8_t pkt[1400];
	struct mf_reassembler *r = mf_reassembler_new(NULL);
	struct mf_span whole = { NULL, 0 };
	int res = 0;

	(void)state;
	for (uint32_t off = 0; off < 65512; off += 1240) {
		uint32_t len = 65515 - off < 1240 ? 65515 - off : 1240;
		struct mf_view v;

		memset(pkt, 0, sizeof(pkt));
		pkt[0] = 0x45;
		mf_store_be16(pkt + 2, (uint16_t)(20 + len));
		mf_store_be16(pkt + 6, (uint16_t)(off / 8 | (off + len < 65515 ? 0x2000 : 0)));
		pkt[9] = 250; /* a protocol without ports */
		mf_view_init(&v, mf_span_of(pkt, 20 + len), MF_VIEW_IP, 0, NULL);
		assert_int_equal(mf_view_parse(&v, MF_VIEW_NET), 0);
		res = mf_reassembler_add(r, &v, 0, &whole);
		assert_true(res >= 0);
	}
	assert_int_equal(res, 1);
	assert_int_equal(whole.len, 65535);
	mf_reassembler_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_in_any_order_make_the_datagram),
		cmocka_unit_test(overlaps_make_a_datagram_worthless),
		cmocka_unit_test(bytes_behind_the_end_make_a_datagram_worthless),
		cmocka_unit_test(ids_and_families_do_not_mix),
		cmocka_unit_test(what_waits_is_bounded_in_number_bytes_and_time),
		cmocka_unit_test(the_longest_datagram_is_one_and_a_longer_one_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
