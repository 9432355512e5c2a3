/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipeline_pieces.c - fragments in every order, ICMP errors about rewritten packets, large packets */
#include "ring.h"

#include "core/packet/rewrite.h"

#define OUT  MF_PACKET_OUTBOUND
#define IN   0
#define LOOP (MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK)
#define DATA 300u /* bytes of the datagram's payload */

static uint8_t whole[1024]; /* UDP header and payload, in the clear */
static size_t whole_len;

/* A datagram of flow @f whose pieces put_piece() sends. */
static void make_datagram(const struct mf_flow *f)
{
	uint8_t payload[DATA], pkt[1024];
	size_t len, head = f->family == 4 ? 20 : 40;

	for (unsigned i = 0; i < DATA; i++)
		payload[i] = (uint8_t)(i * 7);
	assert_int_equal(mf_build_udp(f, mf_span_of(payload, DATA), pkt, sizeof(pkt), &len), 0);
	whole_len = len - head;
	memcpy(whole, pkt + head, whole_len);
}

/* Bytes [@off, @end) of the datagram as a fragment with identification @id. */
static void put_piece(struct ring *r, const struct mf_flow *f, size_t off, size_t end, uint16_t id)
{
	size_t head = f->family == 4 ? 20 : 48;
	bool more = end < whole_len;
	uint8_t p[1024] = { 0 };

	if (f->family == 4) {
		p[0] = 0x45;
		mf_store_be16(p + 2, (uint16_t)(head + end - off));
		mf_store_be16(p + 4, id);
		mf_store_be16(p + 6, (uint16_t)(more << 13 | off / 8));
		p[8] = 64;
		p[9] = MF_PROTO_UDP;
		memcpy(p + 12, f->src, 4);
		memcpy(p + 16, f->dst, 4);
		mf_store_be16(p + 10, mf_csum_ip4_header(p, 20));
	} else {
		p[0] = 0x60;
		mf_store_be16(p + 4, (uint16_t)(8 + end - off));
		p[6] = MF_PROTO_FRAGMENT;
		p[7] = 64;
		memcpy(p + 8, f->src, 32);
		p[40] = MF_PROTO_UDP;
		mf_store_be16(p + 42, (uint16_t)(off | more));
		mf_store_be32(p + 44, id);
	}
	memcpy(p + head, whole + off, end - off);
	ring_put(r, p, head + end - off);
}

/* What the receiver puts together of the packets that were sent; checks addresses and the checksum over all. */
static void expect_datagram(struct ring *r, const struct mf_flow *f, uint8_t flags, unsigned pieces)
{
	struct mf_flow w = *f;
	uint8_t got[1024];
	size_t end = 0;

	for (unsigned i = 0; i < pieces; i++) {
		struct mf_packet *p = ring_next(r);
		struct mf_view v = ring_view(p);

		assert_memory_equal(v.flow.src, f->src, 32);
		assert_int_equal(p->flags & LOOP, flags);
		assert_int_equal(p->interface, 7);
		memcpy(got + v.frag_off, p->ptr + v.frag_start, mf_view_fragment_len(&v));
		if (!(v.flags & MF_VIEW_F_FRAG_MORE))
			end = v.frag_off + mf_view_fragment_len(&v);
		if (!v.frag_off) {
			assert_int_equal(v.flow.src_port, f->src_port);
			assert_int_equal(v.flow.dst_port, f->dst_port);
		}
	}
	assert_true(ring_is_empty(r));
	assert_int_equal(end, whole_len);
	assert_memory_equal(got + 8, whole + 8, whole_len - 8);
	assert_int_equal(mf_csum_transport(&w, got, end), mf_load_be16(got + 6));
}

struct case_of {
	enum mf_redirect_method method;
	const char *src, *dst, *to_src, *to_dst;
	uint8_t flags;
};

static const struct case_of cases[] = {
	{ MF_METHOD_REFLECT, "10.0.0.2:1000", "198.51.100.7:443", "198.51.100.7:1000",
	  "10.0.0.2:9081", IN },
	{ MF_METHOD_LOOPBACK, "10.0.0.2:1000", "198.51.100.7:443", "127.0.0.1:1000",
	  "127.0.0.1:9081", OUT },
	{ MF_METHOD_REFLECT, "[2001:db8::2]:1000", "[2001:db8:7::7]:443", "[2001:db8:7::7]:1000",
	  "[2001:db8::2]:9081", IN },
	{ MF_METHOD_LOOPBACK, "[2001:db8::2]:1000", "[2001:db8:7::7]:443", "[::1]:1000",
	  "[::1]:9081", OUT },
};

static void start(struct ring *r, const struct case_of *c, struct mf_flow *f, struct mf_flow *to)
{
	struct mf_pipeline_options o = ring_options();

	o.method4 = o.method6 = c->method;
	ring_init(r, &o, 0);
	*f = flow_of(MF_PROTO_UDP, c->src, c->dst);
	*to = flow_of(MF_PROTO_UDP, c->to_src, c->to_dst);
	make_datagram(f);
}

static const size_t cuts[4][2] = { { 0, 80 }, { 80, 160 }, { 160, 240 }, { 240, DATA + 8 } };

static void fragments_in_every_order_follow_the_first(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
		for (unsigned order = 0; order < 256; order++) {
			unsigned a = order & 3, b = order >> 2 & 3, d = order >> 4 & 3,
				 e = order >> 6, ix[4] = { a, b, d, e };
			struct mf_flow f, to;
			struct ring r;

			if ((1u << a | 1u << b | 1u << d | 1u << e) != 15)
				continue;
			start(&r, &cases[c], &f, &to);
			for (int i = 0; i < 4; i++) {
				put_piece(&r, &f, cuts[ix[i]][0], cuts[ix[i]][1], 9);
				// Sometimes each comes in a turn of its own.
				if (order & 1)
					mf_pipeline_run(r.pipeline, r.now);
			}
			ring_turn(&r);
			expect_datagram(&r, &to, cases[c].flags, 4);
			assert_int_equal(r.decisions, 1);
			assert_int_equal(ring_stats(&r).fragments_now, 0);
			assert_int_equal(ring_stats(&r).fragments_followed, 3);
			ring_done(&r);
		}
}

static void answers_in_fragments_come_back(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct mf_flow f, to, back, home;
		struct ring r;

		start(&r, &cases[c], &f, &to);
		ring_udp(&r, &f, "question", 8);
		ring_turn(&r);
		ring_expect(&r, &to, cases[c].flags);
		back = mf_flow_reverse(&to);
		home = mf_flow_reverse(&f);
		make_datagram(&back);
		r.like.interface = 55;
		r.like.flags = cases[c].method == MF_METHOD_LOOPBACK ? LOOP : OUT;
		put_piece(&r, &back, 160, 308, 3);
		put_piece(&r, &back, 0, 160, 3);
		ring_turn(&r);
		expect_datagram(&r, &home, IN, 2);
		ring_done(&r);
	}
}

static void a_denied_datagram_takes_its_fragments_along(void **state)
{
	struct mf_flow f, to;
	struct ring r;

	(void)state;
	start(&r, &cases[0], &f, &to);
	r.verdict.answer = MF_FLOW_DENY;
	put_piece(&r, &f, 80, 160, 1);
	put_piece(&r, &f, 0, 80, 1);
	put_piece(&r, &f, 160, 308, 1);
	ring_turn(&r);
	ring_next(&r); // one ICMP error
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_DENIED], 3);
	ring_done(&r);
}

static void overlaps_end_the_datagram_and_copies_do_not(void **state)
{
	(void)state;
	for (int c = 0; c < 4; c += 2) {
		struct mf_flow f, to;
		struct ring r;

		start(&r, &cases[c], &f, &to);
		put_piece(&r, &f, 0, 80, 1);
		put_piece(&r, &f, 0, 80, 1); // a copy made on the way
		put_piece(&r, &f, 80, 160, 1);
		put_piece(&r, &f, 160, 308, 1);
		ring_turn(&r);
		expect_datagram(&r, &to, IN, 3);
		assert_int_equal(ring_stats(&r).dropped[MF_DROP_FRAGMENT], 1);
		// Partly there already: nothing of it counts from here on (RFC 5722).
		put_piece(&r, &f, 0, 80, 2);
		put_piece(&r, &f, 72, 160, 2);
		put_piece(&r, &f, 160, 308, 2);
		ring_turn(&r);
		ring_next(&r);
		assert_true(ring_is_empty(&r));
		assert_int_equal(ring_stats(&r).dropped[MF_DROP_FRAGMENT], 3);
		// Before the first: none of it goes out at all.
		put_piece(&r, &f, 80, 160, 3);
		put_piece(&r, &f, 152, 240, 3);
		put_piece(&r, &f, 0, 80, 3);
		ring_turn(&r);
		assert_true(ring_is_empty(&r));
		// Behind the end, and a second end.
		put_piece(&r, &f, 240, 308, 4);
		whole_len += 80;
		put_piece(&r, &f, 312, 388, 4);
		put_piece(&r, &f, 0, 80, 4);
		// The same with more to come behind it, after and before the end is known.
		whole_len += 80;
		put_piece(&r, &f, 320, 400, 5);
		whole_len -= 160;
		put_piece(&r, &f, 240, 308, 5);
		put_piece(&r, &f, 0, 80, 5);
		put_piece(&r, &f, 240, 308, 6);
		whole_len += 160;
		put_piece(&r, &f, 320, 400, 6);
		whole_len -= 160;
		put_piece(&r, &f, 0, 80, 6);
		ring_turn(&r);
		assert_true(ring_is_empty(&r));
		ring_done(&r);
	}
}

static void a_second_first_fragment_cannot_change_the_ports(void **state)
{
	struct mf_flow f, to, other;
	struct ring r;

	(void)state;
	start(&r, &cases[0], &f, &to);
	r.verdict.answer = MF_FLOW_PROXY;
	put_piece(&r, &f, 0, 80, 1);
	ring_turn(&r);
	ring_next(&r);
	other = f;
	other.dst_port = 53;
	make_datagram(&other);
	put_piece(&r, &other, 0, 160, 1);
	put_piece(&r, &other, 160, 308, 1);
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	assert_int_equal(r.decisions, 1);
	ring_done(&r);
}

static void fragments_that_wait_have_bounds(void **state)
{
	struct mf_pipeline_options o = ring_options();
	struct mf_flow f = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443");
	struct ring r;

	(void)state;
	o.fragments_max = 4;
	o.fragment_bytes_max = 600;
	ring_init(&r, &o, 0);
	make_datagram(&f);
	// 100 bytes each: six fit, whatever datagrams they are of.
	for (uint16_t i = 0; i < 7; i++)
		put_piece(&r, &f, 80 + i / 4 * 80u, 160 + i / 4 * 80u, i % 4);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).fragments_now, 4);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_FRAGMENT], 1);
	// A fifth datagram takes the place of the oldest, in which two waited.
	put_piece(&r, &f, 80, 160, 99);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).fragments_now, 4);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_FRAGMENT], 3);
	// Time ends all of them.
	assert_int_equal(mf_pipeline_deadline(r.pipeline), r.now + 15 * MF_NS_PER_S);
	r.now += 15 * MF_NS_PER_S;
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).fragments_now, 0);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_FRAGMENT], 8);
	assert_int_equal(mf_pipeline_deadline(r.pipeline), UINT64_MAX);
	ring_done(&r);
}

static void fragments_of_a_held_datagram_wait_for_its_process(void **state)
{
	struct mf_pipeline_options o = ring_options();
	struct mf_flow f = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow to = flow_of(MF_PROTO_UDP, "198.51.100.7:1000", "10.0.0.2:9081");
	struct ring r;

	(void)state;
	o.scope = MF_SCOPE_PIDS;
	ring_init(&r, &o, MF_BACKEND_CAN_PASS | MF_BACKEND_HAS_EVENTS);
	mf_pipeline_add_pid(r.pipeline, 500);
	make_datagram(&f);
	put_piece(&r, &f, 160, 308, 1);
	put_piece(&r, &f, 0, 80, 1);
	put_piece(&r, &f, 80, 160, 1);
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &f, 500);
	ring_turn(&r);
	expect_datagram(&r, &to, IN, 3);
	// A stranger's pass as they are, the later ones too.
	f.src_port = 1001;
	make_datagram(&f);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &f, 77);
	put_piece(&r, &f, 0, 160, 2);
	put_piece(&r, &f, 160, 308, 2);
	ring_turn(&r);
	expect_datagram(&r, &f, OUT, 2);
	assert_int_equal(ring_stats(&r).foreign, 2);
	ring_done(&r);
}

/* ---- ICMP errors ---- */

/* An error of the stack on this side about packet @p, which it got: from @p's destination to its source. */
static void put_error(struct ring *r, const struct mf_packet *p, uint8_t code)
{
	struct mf_view v = ring_view(p);
	uint8_t buf[MF_BUILD_ANSWER_MAX];
	size_t len;

	assert_int_equal(mf_build_unreachable(&v, code, buf, sizeof(buf), &len), 0);
	ring_put(r, buf, len);
}

static void expect_error(struct ring *r, const struct mf_flow *quoted, uint8_t flags)
{
	struct mf_packet *p = ring_next(r);
	struct mf_view v = ring_view(p), inner;

	assert_int_equal(mf_view_quote(&v, &inner), 0);
	assert_memory_equal(&inner.flow, quoted, sizeof(*quoted));
	assert_memory_equal(v.flow.dst, quoted->src, 16);
	assert_memory_equal(v.flow.src, quoted->dst, 16);
	assert_int_equal(p->flags & LOOP, flags);
	assert_int_equal(mf_csum_verify_ip4(&inner) == MF_CSUM_BAD, 0);
}

static void errors_about_rewritten_packets_are_translated_in_both_directions(void **state)
{
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		bool l = cases[c].method == MF_METHOD_LOOPBACK;
		struct mf_flow f, to, back, home;
		struct mf_packet *p;
		struct ring r;

		start(&r, &cases[c], &f, &to);
		back = mf_flow_reverse(&to);
		home = mf_flow_reverse(&f);
		ring_udp(&r, &f, "question", 8);
		ring_turn(&r);
		p = ring_expect(&r, &to, cases[c].flags);
		// Nobody listens: the program is told that its server's port is closed.
		r.like.flags = l ? LOOP : OUT;
		r.like.interface = 55;
		put_error(&r, p, 3);
		ring_turn(&r);
		expect_error(&r, &f, IN);
		assert_int_equal(r.out[0].packet.interface, 7);
		// The program has gone: the listener is told that its peer's port is closed.
		ring_udp(&r, &back, "answer", 6);
		ring_turn(&r);
		p = ring_expect(&r, &home, IN);
		r.like.flags = OUT;
		r.like.interface = 7;
		put_error(&r, p, 3);
		ring_turn(&r);
		expect_error(&r, &back, l ? OUT : IN);
		assert_int_equal(ring_stats(&r).icmp_translated, 2);
		ring_done(&r);
	}
}

static void errors_about_nothing_of_ours_are_not_let_in_as_ours(void **state)
{
	struct mf_flow f = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_packet p;
	uint8_t buf[64];
	struct ring r;
	size_t len;

	(void)state;
	ring_init(&r, NULL, MF_BACKEND_CAN_PASS);
	assert_int_equal(mf_build_udp(&f, mf_span_of("x", 1), buf, sizeof(buf), &len), 0);
	p = r.like;
	p.ptr = buf;
	p.len = (uint32_t)len;
	put_error(&r, &p, 3);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], 1);
	// What comes from the network passes; translating is only for this side's.
	ring_udp(&r, &f, "x", 1);
	ring_turn(&r);
	p = *ring_next(&r);
	r.like.flags = IN;
	put_error(&r, &p, 3);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).icmp_translated, 0);
	assert_int_equal(ring_stats(&r).foreign, 1);
	ring_done(&r);
}

static void refused_datagrams_of_a_proxy_are_told_to_the_program(void **state)
{
	struct mf_flow f = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow other = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	static const uint8_t big[4000];
	struct mf_packet *p;
	struct ring r;

	(void)state;
	ring_init(&r, NULL, 0);
	ring_udp(&r, &f, "x", 1);
	ring_turn(&r);
	ring_next(&r);
	r.out_at = r.out_cnt = 0;
	assert_int_equal(
		mf_pipeline_refuse_udp(r.pipeline, &f, mf_span_of(big, sizeof(big)), r.now), 0);
	expect_error(&r, &f, IN);
	p = &r.out[0].packet;
	assert_int_equal(p->interface, 7);
	assert_true(p->flags & MF_PACKET_BUILT);
	assert_int_equal(mf_pipeline_refuse_udp(r.pipeline, &other, mf_span_of(big, 1), r.now),
			 MF_E_INVAL);
	ring_done(&r);
}

/* ---- large packets ---- */

static void many_segments_in_one_are_rewritten_and_refused_like_one(void **state)
{
	static const char *const ends[][4] = {
		{ "10.0.0.2:1000", "198.51.100.7:443", "198.51.100.7:1000", "10.0.0.2:9080" },
		{ "[2001:db8::2]:1000", "[2001:db8:7::7]:443", "[2001:db8:7::7]:1000",
		  "[2001:db8::2]:9080" },
	};
	static uint8_t payload[60000], buf[61000];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct mf_flow f = flow_of(MF_PROTO_TCP, ends[i][0], ends[i][1]), back;
		struct mf_flow to = flow_of(MF_PROTO_TCP, ends[i][2], ends[i][3]);
		struct mf_tcp_fields tcp = { .seq = 2, .flags = MF_TCP_ACK };
		struct mf_packet *p;
		struct mf_view v;
		struct ring r;
		size_t len;

		ring_init(&r, NULL, 0);
		ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
		ring_turn(&r);
		ring_expect(&r, &to, IN);
		assert_int_equal(mf_build_tcp(&f, &tcp, mf_span_of(payload, sizeof(payload)), buf,
					      sizeof(buf), &len),
				 0);
		mf_view_init(&v, mf_span_of(buf, len), MF_VIEW_IP, 0, NULL);
		assert_int_equal(mf_view_parse(&v, MF_VIEW_TRANSPORT), 0);
		assert_int_equal(mf_csum_fill(&v, buf, MF_CSUM_PARTIAL), 0);
		r.like.csum = MF_CSUM_PARTIAL;
		r.like.segment_len = 1448;
		ring_put(&r, buf, len);
		ring_turn(&r);
		p = ring_expect(&r, &to, IN);
		assert_int_equal(p->len, len);
		assert_int_equal(p->segment_len, 1448);
		assert_int_equal(p->csum, MF_CSUM_PARTIAL);
		// The partial checksum is the pseudo header's of the new flow.
		v = ring_view(p);
		assert_int_equal(
			mf_load_be16(p->ptr + v.transport_off + 16),
			mf_csum_fold(mf_csum_pseudo(&to, (uint32_t)(len - v.transport_off))));
		// Of a flow that is not known: the reset acknowledges what all segments occupy.
		f.src_port = 4444;
		back = mf_flow_reverse(&f);
		tcp.flags = MF_TCP_PSH;
		assert_int_equal(mf_build_tcp(&f, &tcp, mf_span_of(payload, sizeof(payload)), buf,
					      sizeof(buf), &len),
				 0);
		ring_put(&r, buf, len);
		ring_turn(&r);
		p = ring_expect(&r, &back, IN);
		assert_int_equal(p->segment_len, 0);
		assert_int_equal(p->csum, MF_CSUM_FULL);
		v = ring_view(p);
		assert_int_equal(mf_view_tcp_ack(&v), 2 + sizeof(payload));
		ring_done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_in_every_order_follow_the_first),
		cmocka_unit_test(answers_in_fragments_come_back),
		cmocka_unit_test(a_denied_datagram_takes_its_fragments_along),
		cmocka_unit_test(overlaps_end_the_datagram_and_copies_do_not),
		cmocka_unit_test(a_second_first_fragment_cannot_change_the_ports),
		cmocka_unit_test(fragments_that_wait_have_bounds),
		cmocka_unit_test(fragments_of_a_held_datagram_wait_for_its_process),
		cmocka_unit_test(errors_about_rewritten_packets_are_translated_in_both_directions),
		cmocka_unit_test(errors_about_nothing_of_ours_are_not_let_in_as_ours),
		cmocka_unit_test(refused_datagrams_of_a_proxy_are_told_to_the_program),
		cmocka_unit_test(many_segments_in_one_are_rewritten_and_refused_like_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
