// SPDX-License-Identifier: Apache-2.0
// Capture files that lie about themselves, and the IP packets inside of frames.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/pcap_link.h"
#include "core/base/bytes.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"

struct bytes {
	uint8_t at[4096];
	size_t len;
};

static void put(struct bytes *b, const void *ptr, size_t len)
{
	assert_true(b->len + len <= sizeof(b->at));
	memcpy(b->at + b->len, ptr, len);
	b->len += len;
}

static void put32(struct bytes *b, uint32_t v)
{
	put(b, &v, 4);
}

/* A block of pcapng in this machine's byte order; @says: its lengths, 0 for the truth. */
static void put_block(struct bytes *b, uint32_t type, const void *body, size_t len, uint32_t says)
{
	uint32_t total = says ? says : (uint32_t)(12 + (len + 3) / 4 * 4);

	put32(b, type);
	put32(b, total);
	put(b, body, len);
	while (b->len % 4)
		b->at[b->len++] = 0;
	put32(b, total);
}

static void put_section(struct bytes *b)
{
	static const uint32_t body[] = { 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff };

	put_block(b, 0x0a0d0d0a, body, sizeof(body), 0);
}

static void put_interface(struct bytes *b, uint16_t link, uint32_t snaplen)
{
	uint32_t body[] = { link, snaplen };

	put_block(b, 1, body, sizeof(body), 0);
}

static void put_packet(struct bytes *b, uint32_t interface, uint32_t len, uint32_t says)
{
	uint32_t body[5 + 16] = { interface, 0, 77, says, says };

	assert_true(len <= 64);
	put_block(b, 6, body, 20 + len, 0);
}

/* How many packets come out before the end; *ret: what the end was. */
static unsigned read_all(const struct bytes *b, int *ret, struct mf_err *err)
{
	struct mf_pcap_record rec;
	struct mf_pcap *file;
	unsigned cnt = 0;

	/* exactly as long as it is, for the sanitizer */
	uint8_t *copy = malloc(b->len ? b->len : 1);

	memcpy(copy, b->at, b->len);
	*ret = mf_pcap_open_memory(mf_span_of(copy, b->len), &file, err);
	if (*ret == 0) {
		while ((*ret = mf_pcap_next(file, &rec, err)) > 0)
			cnt++;
		assert_true(mf_pcap_next(file, &rec, err) <= 0);
		mf_pcap_close(file);
	}
	free(copy);
	return cnt;
}

static void lengths_that_cannot_be_are_refused(void **state)
{
	static const struct {
		uint32_t type, says;
	} blocks[] = { { 6, 8 }, { 6, 13 }, { 6, 0xfffffffc }, { 5, 0x02000000 }, { 6, 4 } };
	struct mf_err err;
	int r;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(blocks); i++) {
		struct bytes b = { .len = 0 };

		put_section(&b);
		put_interface(&b, 1, 0);
		put_packet(&b, 0, 20, 20);
		put_block(&b, blocks[i].type, "12345678", 8, blocks[i].says);
		assert_int_equal(read_all(&b, &r, &err), 1);
		assert_int_equal(r, MF_E_SYNTAX);
		assert_non_null(strstr(err.msg, "damaged at byte"));
	}
}

static void a_packet_longer_than_its_block_or_of_nowhere_is_refused(void **state)
{
	struct bytes b = { .len = 0 };
	struct mf_err err;
	int r;

	(void)state;
	put_section(&b);
	put_interface(&b, 1, 0);
	put_packet(&b, 0, 20, 21);
	/* 20 bytes are padded to 20: 21 are not there */
	assert_int_equal(read_all(&b, &r, &err), 0);
	assert_int_equal(r, MF_E_SYNTAX);
	b.len = 0;
	put_section(&b);
	put_interface(&b, 1, 0);
	put_packet(&b, 1, 20, 20);
	assert_int_equal(read_all(&b, &r, &err), 0);
	assert_int_equal(r, MF_E_SYNTAX);
	/* a new section has interfaces of its own */
	b.len = 0;
	put_section(&b);
	put_interface(&b, 1, 0);
	put_packet(&b, 0, 20, 20);
	put_section(&b);
	put_packet(&b, 0, 20, 20);
	assert_int_equal(read_all(&b, &r, &err), 1);
	assert_int_equal(r, MF_E_SYNTAX);
}

static void interfaces_are_bounded(void **state)
{
	static uint8_t big[64 + (MF_PCAP_INTERFACES_MAX + 1) * 20];
	struct bytes b = { .len = 0 };
	struct mf_pcap_record rec;
	struct mf_pcap *file;
	struct mf_err err;
	size_t len;

	(void)state;
	put_section(&b);
	memcpy(big, b.at, len = b.len);
	b.len = 0;
	put_interface(&b, 1, 0);
	for (unsigned i = 0; i <= MF_PCAP_INTERFACES_MAX; i++, len += b.len)
		memcpy(big + len, b.at, b.len);
	assert_int_equal(mf_pcap_open_memory(mf_span_of(big, len), &file, &err), 0);
	assert_int_equal(mf_pcap_next(file, &rec, &err), MF_E_LIMIT);
	mf_pcap_close(file);
}

static void every_beginning_of_a_capture_is_read_or_refused(void **state)
{
	struct bytes b = { .len = 0 };
	struct mf_err err;
	int r;

	(void)state;
	put_section(&b);
	put_interface(&b, 1, 0);
	put_packet(&b, 0, 20, 20);
	put_packet(&b, 0, 0, 0);
	for (size_t len = b.len; len > 0; len--) {
		struct bytes part = b;

		part.len = len - 1;
		read_all(&part, &r, &err);
		assert_true(r == 0 || r == MF_E_SYNTAX);
	}
}

static void simple_packets_take_their_length_from_the_snapshot(void **state)
{
	struct bytes b = { .len = 0 };
	uint32_t body[1 + 8] = { 1500 };
	struct mf_pcap_record rec;
	struct mf_pcap *file;
	struct mf_err err;

	(void)state;
	put_section(&b);
	put_interface(&b, 101, 30);
	put_block(&b, 3, body, 4 + 30, 0);
	assert_int_equal(mf_pcap_open_memory(mf_span_of(b.at, b.len), &file, &err), 0);
	assert_int_equal(mf_pcap_next(file, &rec, &err), 1);
	assert_int_equal(rec.len, 30);
	assert_int_equal(rec.wire_len, 1500);
	assert_int_equal(rec.link, MF_LINK_RAW);
	mf_pcap_close(file);
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

static size_t build(int family, uint8_t proto, size_t payload_len, uint8_t *buf, size_t room)
{
	static const uint8_t payload[1000];
	struct mf_endpoint src = { .port = 1000 }, dst = { .port = 53 };
	const struct mf_tcp_fields tcp = { .seq = 1, .flags = MF_TCP_ACK };
	struct mf_flow flow;
	size_t len;

	mf_addr_parse(family == 4 ? "192.0.2.1" : "2001:db8::1", family == 4 ? 9 : 11, &src.addr);
	mf_addr_parse(family == 4 ? "192.0.2.2" : "2001:db8::2", family == 4 ? 9 : 11, &dst.addr);
	assert_true(mf_flow_make(&flow, proto, &src, &dst));
	if (proto == MF_PROTO_UDP)
		assert_int_equal(
			mf_build_udp(&flow, mf_span_of(payload, payload_len), buf, room, &len), 0);
	else
		assert_int_equal(mf_build_tcp(&flow, &tcp, mf_span_of(payload, payload_len), buf,
					      room, &len),
				 0);
	return len;
}

static void cut_packets_are_readable_and_come_back_as_they_were(void **state)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_UDP };

	(void)state;
	for (int family = 4; family <= 6; family += 2)
		for (unsigned i = 0; i < 2; i++) {
			uint8_t pkt[1200], copy[1200];
			size_t len = build(family, protos[i], 500, pkt, sizeof(pkt));
			size_t head = len - 500;
			struct mf_pcap_record rec = { .ptr = copy, .link = MF_LINK_RAW };
			struct mf_pcap_ip ip;

			for (size_t there = 0; there <= len; there++) {
				int r;

				memcpy(copy, pkt, len);
				rec.len = (uint32_t)there;
				rec.wire_len = (uint32_t)len;
				r = mf_pcap_find_ip(&rec, NULL, &ip);
				assert_int_equal(r, there < head ? MF_E_BAD : 0);
				if (r < 0)
					continue;
				assert_int_equal(ip.missing, len - there);
				assert_int_equal(mf_view_payload(&ip.view).len, there - head);
				assert_int_equal(ip.view.flow.dst_port, 53);
				if (family == 4)
					assert_int_equal(mf_csum_verify_ip4(&ip.view),
							 MF_CSUM_GOOD);
				mf_pcap_unmend(&ip, copy);
				assert_memory_equal(copy, pkt, len);
			}
		}
}

static void packets_before_segmentation_have_the_length_that_is_there(void **state)
{
	uint8_t pkt[1200];
	struct mf_pcap_record rec = { .ptr = pkt, .link = MF_LINK_RAW };
	struct mf_pcap_ip ip;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		rec.len = rec.wire_len =
			(uint32_t)build(family, MF_PROTO_TCP, 500, pkt, sizeof(pkt));
		mf_store_be16(pkt + (family == 4 ? 2 : 4), 0);
		assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), 0);
		assert_int_equal(mf_view_payload(&ip.view).len, 500);
		assert_int_equal(ip.missing, 0);
	}
}

static void link_padding_is_no_part_of_the_packet(void **state)
{
	uint8_t frame[60] = { [12] = 0x08 };
	struct mf_pcap_record rec = {
		.ptr = frame, .len = 60, .wire_len = 60, .link = MF_LINK_ETHERNET
	};
	struct mf_pcap_ip ip;

	(void)state;
	build(4, MF_PROTO_UDP, 3, frame + 14, sizeof(frame) - 14);
	assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), 0);
	assert_int_equal(ip.link_len, 14);
	assert_int_equal(ip.len, 31);
	assert_int_equal(mf_view_payload(&ip.view).len, 3);
}

static void other_links_and_protocols_are_told_apart(void **state)
{
	uint8_t frame[64] = { [12] = 0x88, [13] = 0xcc };
	struct mf_pcap_record rec = {
		.ptr = frame, .len = 64, .wire_len = 64, .link = MF_LINK_ETHERNET
	};
	struct mf_pcap_ip ip;

	(void)state;
	assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), MF_E_NOT_MINE);
	rec.link = 105;
	assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), MF_E_UNSUPPORTED);
	assert_false(mf_pcap_link_known(105));
	rec.link = MF_LINK_ETHERNET;
	for (rec.len = 0; rec.len < 14; rec.len++)
		assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), MF_E_BAD);
	rec.link = MF_LINK_IP6;
	rec.len = 64;
	build(4, MF_PROTO_UDP, 3, frame, sizeof(frame));
	assert_int_equal(mf_pcap_find_ip(&rec, NULL, &ip), MF_E_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_that_cannot_be_are_refused),
		cmocka_unit_test(a_packet_longer_than_its_block_or_of_nowhere_is_refused),
		cmocka_unit_test(interfaces_are_bounded),
		cmocka_unit_test(every_beginning_of_a_capture_is_read_or_refused),
		cmocka_unit_test(simple_packets_take_their_length_from_the_snapshot),
		cmocka_unit_test(cut_packets_are_readable_and_come_back_as_they_were),
		cmocka_unit_test(packets_before_segmentation_have_the_length_that_is_there),
		cmocka_unit_test(link_padding_is_no_part_of_the_packet),
		cmocka_unit_test(other_links_and_protocols_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
