/* SPDX-License-Identifier: Apache-2.0 */
/* test_guest_echo.c - pings of a guest: answered for the router, handed on for others, in fragments both ways; and fragments of packets */
#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "core/packet/reassemble.h"
#include "nic/fragment.h"
#include "nic/guest_net.h"
#include "tests/unit/test.h"

#define MTU  1500
#define ROOM 66000

struct world {
	struct mf_frame_source source; /* first */
	struct mf_guest_net *net;
	struct mf_guest *guest;
	struct mf_reassembler *back;
	uint64_t now;
	unsigned frames, packets, requests;
	bool full;
	uint8_t heard[ROOM],
		asked[ROOM]; /* the last packet on the wire, put together; the last request that was handed on */
	size_t heard_len, asked_len;
};

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };
static const uint8_t router_mac[6] = { 0x52, 0x6d, 0x6f, 0x6f, 0x6e, 0x02 };
static uint8_t payload[ROOM];

static int wire_send(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		     const uint8_t *body, size_t body_len)
{
	struct world *w = (struct world *)s;
	struct mf_view v;
	struct mf_span whole;

	assert_int_equal(head_len, 14);
	assert_true(body_len <= MTU);
	w->frames++;
	if (w->full)
		return MF_E_AGAIN;
	if (mf_load_be16(head + 12) == 0x0806)
		return 0;
	if (mf_view_read_ip(&v, mf_span_of(body, body_len), 0, NULL) < 0)
		assert_true(v.flags & MF_VIEW_F_FRAG);
	whole = mf_span_of(body, v.end);
	if (v.flags & MF_VIEW_F_FRAG && mf_reassembler_add(w->back, &v, w->now, &whole) != 1)
		return 0;
	memcpy(w->heard, whole.ptr, whole.len);
	w->heard_len = whole.len;
	return 0;
}

static int wire_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static void nothing(struct mf_frame_source *s)
{
	(void)s;
}

static const struct mf_frame_ops wire_ops = { "test", wire_run, wire_send, nothing, nothing };

static void on_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct world *w = ctx;

	(void)guest;
	(void)pkt;
	(void)len;
	w->packets++;
}

static void on_echo(void *ctx, struct mf_guest *guest, const struct mf_view *v)
{
	struct world *w = ctx;

	assert_ptr_equal(guest, w->guest);
	assert_false(v->flags & MF_VIEW_F_FRAG);
	w->requests++;
	memcpy(w->asked, v->ptr, v->end);
	w->asked_len = v->end;
}

static uint64_t now_of(void *ctx)
{
	return ((struct world *)ctx)->now;
}

static struct world *world_new(bool with_echo)
{
	struct world *w = calloc(1, sizeof(*w));
	struct mf_guest_net_options o = { .size = sizeof(o), .mtu = MTU };
	struct mf_guest_net_ops ops = {
		.packet = on_packet, .echo = with_echo ? on_echo : NULL, .now = now_of, .ctx = w
	};
	uint8_t hello[60] = { 0 };

	assert_non_null(w);
	w->now = 1000 * MF_NS_PER_S;
	w->back = mf_reassembler_new(NULL);
	assert_non_null(w->back);
	w->source = (struct mf_frame_source){ .ops = &wire_ops, .fd = -1 };
	assert_int_equal(mf_guest_net_new(&o, &ops, &w->net, NULL), 0);
	assert_int_equal(mf_guest_attach(w->net, &w->source, &w->guest, NULL), 0);
	memcpy(hello + 6, mac, 6);
	w->source.receiver(w->source.ctx, hello, sizeof(hello));
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 31 + (i >> 8));
	return w;
}

static void world_free(struct world *w)
{
	mf_guest_net_free(w->net);
	mf_reassembler_free(w->back);
	free(w);
}

static struct mf_flow flow_of(int family, const uint8_t *to)
{
	struct mf_flow f = { .family = (uint8_t)family, .src_port = 77 };

	f.proto = family == 4 ? MF_PROTO_ICMP : MF_PROTO_ICMPV6;
	if (family == 4)
		memcpy(f.src, (const uint8_t[]){ 10, 0, 2, 15 }, 4);
	else
		memcpy(f.src,
		       (const uint8_t[16]){ 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67, 0, 1, [15] = 9 },
		       16);
	memcpy(f.dst, to, family == 4 ? 4 : 16);
	return f;
}

static int put_frame(void *ctx, const uint8_t *pkt, size_t len)
{
	struct world *w = ctx;
	uint8_t frame[14 + MTU];

	memcpy(frame, router_mac, 6);
	memcpy(frame + 6, mac, 6);
	mf_store_be16(frame + 12, pkt[0] >> 4 == 4 ? 0x0800 : 0x86dd);
	memcpy(frame + 14, pkt, len);
	w->source.receiver(w->source.ctx, frame, 14 + len);
	return 0;
}

/* In as many frames as it takes. Return: bytes of the whole packet, in @pkt */
static size_t ask(struct world *w, const struct mf_flow *f, size_t size, uint8_t *pkt)
{
	size_t len;

	assert_int_equal(mf_build_echo(f, false, 3, mf_span_of(payload, size), pkt, ROOM, &len), 0);
	assert_int_equal(mf_fragment(pkt, len, MTU, 99, put_frame, w), 0);
	return len;
}

static const uint8_t out4[4] = { 192, 0, 2, 1 };
static const uint8_t out6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 1 };
static const uint8_t router4[4] = { 10, 0, 2, 2 };
static const uint8_t router6[16] = { 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67, [15] = 2 };
static const size_t sizes[] = { 0, 1, 1452, 1453, 1472, 1473, 8000, 65507 };

static void test_the_router_answers_whatever_the_size(void **state)
{
	struct world *w = world_new(true);
	static uint8_t pkt[ROOM];

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct mf_flow f = flow_of(family, family == 4 ? router4 : router6);

		for (size_t i = 0; i < MF_ARRAY_SIZE(sizes); i++) {
			size_t len = ask(w, &f, sizes[i], pkt);
			struct mf_view v;

			assert_int_equal(w->heard_len, len);
			assert_int_equal(mf_view_read_ip(&v, mf_span_of(w->heard, len), 0, NULL),
					 0);
			assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
			assert_int_equal(v.icmp_type, family == 4 ? 0 : 129);
			assert_memory_equal(v.flow.src, f.dst, 16);
			assert_memory_equal(v.flow.dst, f.src, 16);
			/* identifier, sequence number and payload */
			assert_memory_equal(w->heard + v.transport_off + 4,
					    pkt + v.transport_off + 4, 4 + sizes[i]);
			w->heard_len = 0;
		}
	}
	assert_int_equal(w->requests + w->packets, 0);
	world_free(w);
}

static void test_others_are_handed_on_whole(void **state)
{
	struct world *w = world_new(true);
	static uint8_t pkt[ROOM];
	unsigned n = 0;

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct mf_flow f = flow_of(family, family == 4 ? out4 : out6);
		size_t head = family == 4 ? 20 : 40;

		for (size_t i = 0; i < MF_ARRAY_SIZE(sizes); i++) {
			size_t len = ask(w, &f, sizes[i], pkt);

			assert_int_equal(w->requests, ++n);
			assert_int_equal(w->asked_len, len);
			assert_memory_equal(w->asked + head, pkt + head, len - head);
		}
	}
	assert_int_equal(w->packets + w->frames, 0);
	world_free(w);
}

static void test_damaged_ones_and_other_messages(void **state)
{
	struct world *w = world_new(true);
	struct mf_flow f = flow_of(4, out4);
	struct mf_guest_stats s;
	uint8_t pkt[ROOM];
	size_t len;

	(void)state;
	assert_int_equal(mf_build_echo(&f, false, 3, mf_span_of(payload, 9), pkt, ROOM, &len), 0);
	pkt[30] ^= 1;
	put_frame(w, pkt, len);
	mf_guest_get_stats(w->guest, &s);
	assert_int_equal(s.dropped[MF_GUEST_DROP_MALFORMED], 1);
	assert_int_equal(w->requests, 0);
	/* a reply that nobody asked for, and what else there is, is the stack's affair; in fragments, nobody's */
	assert_int_equal(mf_build_echo(&f, true, 3, mf_span_of(payload, 9), pkt, ROOM, &len), 0);
	put_frame(w, pkt, len);
	assert_int_equal(w->packets, 1);
	assert_int_equal(mf_build_echo(&f, true, 3, mf_span_of(payload, 3000), pkt, ROOM, &len), 0);
	mf_fragment(pkt, len, MTU, 7, put_frame, w);
	mf_guest_get_stats(w->guest, &s);
	assert_int_equal(s.dropped[MF_GUEST_DROP_FRAGMENT], 1);
	assert_int_equal(w->packets, 1);
	world_free(w);
}

static int first_only(void *ctx, const uint8_t *pkt, size_t len)
{
	put_frame(ctx, pkt, len);
	return 1;
}

static void test_pieces_that_wait_have_a_bound(void **state)
{
	struct world *w = world_new(true);
	struct mf_flow f = flow_of(4, out4);
	static uint8_t pkt[ROOM];
	size_t len;

	(void)state;
	assert_int_equal(mf_build_echo(&f, false, 3, mf_span_of(payload, 8000), pkt, ROOM, &len),
			 0);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(mf_fragment(pkt, len, MTU, i, first_only, w), 1);
	/* what nobody finishes goes, and others still pass */
	ask(w, &f, 8000, pkt);
	assert_int_equal(w->requests, 1);
	world_free(w);
}

static void test_without_anybody_for_them_they_go_to_the_stack(void **state)
{
	struct world *w = world_new(false);
	struct mf_flow f = flow_of(4, out4);
	static uint8_t pkt[ROOM];

	(void)state;
	ask(w, &f, 100, pkt);
	assert_int_equal(w->packets, 1);
	f = flow_of(4, router4);
	ask(w, &f, 100, pkt);
	assert_int_equal(w->heard_len, 128);
	world_free(w);
}

static void test_packets_to_guests_in_pieces(void **state)
{
	struct world *w = world_new(true);
	static uint8_t pkt[ROOM];

	(void)state;
	for (int family = 4; family <= 6; family += 2) {
		struct mf_flow f = flow_of(family, family == 4 ? out4 : out6);
		struct mf_flow back = mf_flow_reverse(&f);
		size_t len;

		back.src_port = 77;
		assert_int_equal(
			mf_build_echo(&back, true, 3, mf_span_of(payload, 9000), pkt, ROOM, &len),
			0);
		w->heard_len = w->frames = 0;
		assert_int_equal(mf_guest_net_packet_whole(w->net, pkt, len), 0);
		assert_int_equal(w->frames, 7);
		assert_int_equal(w->heard_len, len);
		assert_memory_equal(w->heard + (family == 4 ? 20 : 40),
				    pkt + (family == 4 ? 20 : 40), 9008);
		/* what cannot be delivered is not begun again for each piece */
		w->full = true;
		w->frames = 0;
		assert_int_equal(mf_guest_net_packet_whole(w->net, pkt, len), MF_E_AGAIN);
		assert_int_equal(w->frames, 1);
		w->full = false;
	}
	pkt[0] = 0x41; /* no header is so short */
	assert_int_equal(mf_fragment(pkt, 4000, MTU, 1, put_frame, w), MF_E_BAD);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_router_answers_whatever_the_size),
		cmocka_unit_test(test_others_are_handed_on_whole),
		cmocka_unit_test(test_damaged_ones_and_other_messages),
		cmocka_unit_test(test_pieces_that_wait_have_a_bound),
		cmocka_unit_test(test_without_anybody_for_them_they_go_to_the_stack),
		cmocka_unit_test(test_packets_to_guests_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
