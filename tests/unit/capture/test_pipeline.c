/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipeline.c - the rewrite table with both methods, families and protocols; answers to what is refused */
#include "core/observe/metrics.h"
#include "ring.h"

#define IN   0
#define OUT  MF_PACKET_OUTBOUND
#define LOOP (MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK)

/* One line of the rewrite table: what the program sends, what the listener gets, and both ways back. */
struct line {
	enum mf_redirect_method method;
	uint8_t proto;
	const char *src, *dst;	      /* the program's packet */
	const char *to_src, *to_dst;  /* what it becomes */
	uint8_t to_flags, back_flags; /* where that goes; how the listener's packet is captured */
};

static const struct line lines[] = {
	{ MF_METHOD_REFLECT, MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443", "198.51.100.7:1000",
	  "10.0.0.2:9080", IN, OUT },
	{ MF_METHOD_REFLECT, MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443", "198.51.100.7:1000",
	  "10.0.0.2:9081", IN, OUT },
	{ MF_METHOD_REFLECT, MF_PROTO_TCP, "[2001:db8::2]:1000", "[2001:db8:7::7]:443",
	  "[2001:db8:7::7]:1000", "[2001:db8::2]:9080", IN, OUT },
	{ MF_METHOD_REFLECT, MF_PROTO_UDP, "[2001:db8::2]:1000", "[2001:db8:7::7]:443",
	  "[2001:db8:7::7]:1000", "[2001:db8::2]:9081", IN, OUT },
	{ MF_METHOD_REFLECT, MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53", "198.51.100.7:1000",
	  "10.0.0.2:5353", IN, OUT },
	{ MF_METHOD_REFLECT, MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:53", "198.51.100.7:1000",
	  "10.0.0.2:5353", IN, OUT },
	{ MF_METHOD_LOOPBACK, MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443", "127.0.0.1:1000",
	  "127.0.0.1:9080", OUT, LOOP },
	{ MF_METHOD_LOOPBACK, MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443", "127.0.0.1:1000",
	  "127.0.0.1:9081", OUT, LOOP },
	{ MF_METHOD_LOOPBACK, MF_PROTO_TCP, "[2001:db8::2]:1000", "[2001:db8:7::7]:443",
	  "[::1]:1000", "[::1]:9080", OUT, LOOP },
	{ MF_METHOD_LOOPBACK, MF_PROTO_UDP, "[2001:db8::2]:1000", "[2001:db8:7::7]:443",
	  "[::1]:1000", "[::1]:9081", OUT, LOOP },
	{ MF_METHOD_LOOPBACK, MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53", "127.0.0.1:1000",
	  "127.0.0.1:5353", OUT, LOOP },
	{ MF_METHOD_LOOPBACK, MF_PROTO_TCP, "[2001:db8::2]:1000", "[2001:db8:7::7]:53",
	  "[::1]:1000", "[::1]:5353", OUT, LOOP },
};

static void put(struct ring *r, const struct mf_flow *f, uint8_t flags, uint32_t seq)
{
	if (f->proto == MF_PROTO_TCP)
		ring_tcp(r, f, flags, seq, 5, "hello");
	else
		ring_udp(r, f, "hello", 5);
}

static void check_line(const struct line *l)
{
	struct mf_flow flow = flow_of(l->proto, l->src, l->dst);
	struct mf_flow to = flow_of(l->proto, l->to_src, l->to_dst);
	struct mf_flow back = mf_flow_reverse(&to), home = mf_flow_reverse(&flow), found;
	struct mf_pipeline_options o = ring_options();
	struct mf_endpoint peer = mf_flow_src(&to), local = mf_flow_dst(&to);
	struct mf_pipeline_stats s;
	struct mf_packet *p;
	struct ring r;

	o.method4 = o.method6 = l->method;
	ring_init(&r, &o, MF_BACKEND_CAN_PASS);
	put(&r, &flow, MF_TCP_SYN, 100);
	ring_turn(&r);
	p = ring_expect(&r, &to, l->to_flags);
	assert_int_equal(p->interface, 7);
	assert_int_equal(p->own[0], 1);
	assert_int_equal(mf_pipeline_find_flow(r.pipeline, l->proto, &peer, &local, r.now, &found),
			 0);
	assert_memory_equal(&found, &flow, sizeof(flow));

	// The listener's packet comes from another interface, and goes back on the first packet's.
	r.like.flags = l->back_flags;
	r.like.interface = 99;
	put(&r, &back, MF_TCP_SYN | MF_TCP_ACK, 900);
	ring_turn(&r);
	p = ring_expect(&r, &home, IN);
	assert_int_equal(p->interface, 7);
	assert_int_equal(p->sub_interface, 1);

	// All that follows goes the same way without being judged again.
	r.like.flags = OUT;
	put(&r, &flow, MF_TCP_ACK, 101);
	ring_turn(&r);
	ring_expect(&r, &to, l->to_flags);
	assert_true(ring_is_empty(&r));
	assert_int_equal(r.decisions, 1);
	s = ring_stats(&r);
	assert_int_equal(s.captured, 3);
	assert_int_equal(s.rewritten, 3);
	assert_int_equal(s.replies, 1);
	assert_int_equal(s.redirected, 1);
	ring_done(&r);
}

static void each_line_of_the_rewrite_table_goes_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check_line(&lines[i]);
}

static void what_a_listener_does_not_know_has_no_flow(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443"), found;
	struct mf_endpoint src = mf_flow_src(&flow), dst = mf_flow_dst(&flow);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, MF_BACKEND_CAN_PASS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_next(&r);
	// The program's own ends are not those of a redirected connection.
	assert_int_equal(mf_pipeline_find_flow(r.pipeline, MF_PROTO_TCP, &dst, &src, r.now, &found),
			 MF_E_NOENT);
	assert_int_equal(mf_pipeline_find_flow(r.pipeline, MF_PROTO_TCP, &src, &dst, r.now, &found),
			 MF_E_NOENT);
	ring_done(&r);
}

static void passed_flows_stay_as_they_are(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow back = mf_flow_reverse(&flow);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, MF_BACKEND_CAN_PASS);
	r.verdict.answer = MF_FLOW_PASS;
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	r.like.flags = IN;
	ring_tcp(&r, &back, MF_TCP_SYN | MF_TCP_ACK, 1, 2, "");
	ring_turn(&r);
	ring_expect(&r, &back, IN);
	r.like.flags = OUT;
	ring_tcp(&r, &flow, MF_TCP_ACK, 2, 2, "x");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	assert_int_equal(r.decisions, 1);
	assert_int_equal(ring_stats(&r).passed, 3);
	ring_done(&r);
}

static void a_denied_connection_is_reset_with_the_right_numbers(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow back = mf_flow_reverse(&flow);
	struct mf_packet *p;
	struct mf_view v;
	struct ring r;

	(void)state;
	ring_init(&r, NULL, MF_BACKEND_CAN_PASS);
	r.verdict.answer = MF_FLOW_DENY;
	ring_tcp(&r, &flow, MF_TCP_SYN, 0xffffffff, 0, "early");
	ring_turn(&r);
	p = ring_expect(&r, &back, IN);
	assert_int_equal(p->interface, 7);
	assert_true(p->flags & MF_PACKET_BUILT);
	assert_int_equal(p->own[0], 0);
	v = ring_view(p);
	assert_int_equal(v.tcp_flags, MF_TCP_RST | MF_TCP_ACK);
	assert_int_equal(mf_view_tcp_ack(&v), 5);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_DENIED], 1);
	assert_int_equal(ring_stats(&r).answered_reset, 1);
	// Without a word.
	r.verdict.answer = MF_FLOW_DROP;
	ring_tcp(&r, &flow, MF_TCP_SYN, 7, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	// A verdict that was never filled in is a denial.
	r.verdict.answer = MF_FLOW_UNSET;
	ring_tcp(&r, &flow, MF_TCP_SYN, 8, 0, "");
	ring_turn(&r);
	ring_expect(&r, &back, IN);
	ring_done(&r);
}

static void a_denied_datagram_is_answered_by_icmp(void **state)
{
	static const char *const ends[][2] = { { "10.0.0.2:1000", "198.51.100.7:443" },
					       { "[2001:db8::2]:1000", "[2001:db8:7::7]:443" } };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct mf_flow flow = flow_of(MF_PROTO_UDP, ends[i][0], ends[i][1]);
		struct mf_view v, inner;
		struct ring r;

		ring_init(&r, NULL, 0);
		r.verdict.answer = MF_FLOW_DENY;
		ring_udp(&r, &flow, "x", 1);
		ring_turn(&r);
		v = ring_view(ring_next(&r));
		assert_memory_equal(v.flow.dst, flow.src, 16);
		assert_int_equal(v.icmp_type, i ? 1 : 3);
		assert_int_equal(v.icmp_code, i ? 1 : 13);
		assert_int_equal(mf_view_quote(&v, &inner), 0);
		assert_memory_equal(&inner.flow, &flow, sizeof(flow));
		assert_int_equal(ring_stats(&r).answered_icmp, 1);
		ring_done(&r);
	}
}

static const uint8_t question[] = { 0x12, 0x34, 0x01, 0x00, 0,	 1,   0,   0,	0,   0,	  0, 1, 2,
				    'n',  's',	7,    'e',  'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1,
				    0,	  1,	0,    0,    41,	 4,   208, 0,	0,   0,	  0, 0, 0 };

static void a_denied_dns_question_is_refused(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct mf_flow back = mf_flow_reverse(&flow);
	struct mf_span payload;
	struct mf_view v;
	struct ring r;

	(void)state;
	ring_init(&r, NULL, 0);
	r.verdict.answer = MF_FLOW_DENY;
	ring_udp(&r, &flow, question, sizeof(question));
	ring_turn(&r);
	v = ring_view(ring_expect(&r, &back, IN));
	payload = mf_view_payload(&v);
	// The header with QR, RD, RA and REFUSED, the question, and nothing of EDNS.
	assert_int_equal(payload.len, 28);
	assert_memory_equal(payload.ptr, "\x12\x34\x81\x85\0\1\0\0\0\0\0\0", 12);
	assert_memory_equal(payload.ptr + 12, question + 12, 16);
	assert_int_equal(ring_stats(&r).answered_dns, 1);
	ring_done(&r);
}

static void what_is_no_dns_question_is_answered_by_icmp(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct ring r;

	(void)state;
	ring_init(&r, NULL, 0);
	r.verdict.answer = MF_FLOW_DENY;
	for (size_t len = 0; len < 28; len++)
		ring_udp(&r, &flow, question, len);
	for (int i = 0; i < 3; i++) {
		uint8_t bad[sizeof(question)];

		memcpy(bad, question, sizeof(bad));
		bad[i == 0 ? 2 : i == 1 ? 12 : 5] = i == 0 ? 0x80 : i == 1 ? 0xc0 : 2;
		ring_udp(&r, &flow, bad, sizeof(bad));
	}
	// Labels over 63 bytes, and names over 255, with all bytes there.
	for (int label = 62; label <= 64; label++) {
		uint8_t big[12 + 5 * 65 + 5] = { 0x12, 0x34, 1, 0, 0, 1 };
		size_t len = 12;

		for (int i = 0; i < (label == 64 ? 1 : 5); i++, len += (size_t)label + 1)
			big[len] = (uint8_t)label;
		if (label == 62)
			big[12 + 4 * 63] = 3; // 4 labels of 62 and one of 3: 257 bytes
		ring_udp(&r, &flow, big, len + 5);
	}
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).answered_icmp, 34);
	assert_int_equal(ring_stats(&r).answered_dns, 0);
	ring_done(&r);
}

static void a_listener_that_is_not_there_denies(void **state)
{
	struct mf_flow udp = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow dns = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct mf_pipeline_options o = ring_options();
	struct mf_flow to = flow_of(MF_PROTO_UDP, "198.51.100.7:1000", "10.0.0.2:9081");
	struct ring r;

	(void)state;
	o.udp_port = 0;
	ring_init(&r, &o, 0);
	ring_udp(&r, &udp, "x", 1);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).answered_icmp, 1);
	ring_next(&r);
	ring_done(&r);
	// DNS without a listener of its own is UDP like any other.
	o = ring_options();
	o.dns_port = 0;
	ring_init(&r, &o, 0);
	ring_udp(&r, &dns, "x", 1);
	ring_turn(&r);
	ring_expect(&r, &to, IN);
	ring_done(&r);
}

static void packets_of_one_batch_know_the_flows_that_began_in_it(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_flow to = flow_of(MF_PROTO_TCP, "198.51.100.7:1000", "10.0.0.2:9080");
	struct mf_flow back = mf_flow_reverse(&flow);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, MF_BACKEND_CAN_PASS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_tcp(&r, &flow, MF_TCP_ACK, 2, 1, "x");
	ring_turn(&r);
	for (int i = 0; i < 3; i++)
		ring_expect(&r, &to, IN);
	assert_int_equal(r.decisions, 1);
	// A new connection on its ports, in one batch with a packet of the old one: it is judged anew, and what follows
	// is its own.
	r.verdict.answer = MF_FLOW_PASS;
	ring_tcp(&r, &flow, MF_TCP_ACK, 3, 1, "old");
	ring_tcp(&r, &flow, MF_TCP_SYN, 5000, 0, "");
	ring_tcp(&r, &flow, MF_TCP_ACK, 5001, 1, "new");
	r.like.flags = IN;
	ring_tcp(&r, &back, MF_TCP_ACK, 1, 5001, "answer");
	ring_turn(&r);
	ring_expect(&r, &to, IN);
	ring_expect(&r, &flow, OUT);
	ring_expect(&r, &flow, OUT);
	ring_expect(&r, &back, IN);
	assert_int_equal(r.decisions, 2);
	ring_done(&r);
}

static void metrics_of_lanes_add_up(void **state)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	struct mf_metrics *m = mf_metrics_new(0);
	struct mf_strbuf buf = MF_STRBUF_INIT(1u << 20);
	struct ring r[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		ring_init(&r[i], NULL, 0);
		ring_tcp(&r[i], &flow, MF_TCP_SYN, 1, 0, "");
		ring_tcp(&r[i], &flow, MF_TCP_ACK, 1, 0, "");
		flow.src_port++;
		ring_tcp(&r[i], &flow, MF_TCP_ACK, 1, 0, "");
		ring_turn(&r[i]);
		// Twice, and nothing counts twice.
		mf_pipeline_gather(r[i].pipeline, m);
		mf_pipeline_gather(r[i].pipeline, m);
	}
	mf_metrics_write(m, &buf);
	assert_non_null(strstr(buf.str, "moonfence_packets_captured_total{backend=\"ring\"} 6\n"));
	assert_non_null(strstr(
		buf.str,
		"moonfence_packets_dropped_total{backend=\"ring\",reason=\"no_entry\"} 2\n"));
	assert_non_null(strstr(
		buf.str,
		"moonfence_packets_rewritten_total{backend=\"ring\",reason=\"request\"} 4\n"));
	assert_non_null(strstr(buf.str, "moonfence_flows_redirected_total{backend=\"ring\"} 2\n"));
	assert_int_equal(mf_metrics_errors(m), 0);
	mf_strbuf_done(&buf);
	mf_metrics_free(m);
	ring_done(&r[0]);
	ring_done(&r[1]);
}

static void names_are_different(void **state)
{
	(void)state;
	for (int i = 0; i <= MF_DROP_NUM; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(mf_pipeline_drop_name((enum mf_pipeline_drop)i),
						mf_pipeline_drop_name((enum mf_pipeline_drop)k));
	assert_string_equal(mf_redirect_method_name(MF_METHOD_REFLECT), "reflect");
	assert_string_equal(mf_redirect_method_name(MF_METHOD_LOOPBACK), "loopback");
	assert_string_equal(mf_redirect_method_name(MF_METHOD_NUM), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_of_the_rewrite_table_goes_there_and_back),
		cmocka_unit_test(what_a_listener_does_not_know_has_no_flow),
		cmocka_unit_test(passed_flows_stay_as_they_are),
		cmocka_unit_test(a_denied_connection_is_reset_with_the_right_numbers),
		cmocka_unit_test(a_denied_datagram_is_answered_by_icmp),
		cmocka_unit_test(a_denied_dns_question_is_refused),
		cmocka_unit_test(what_is_no_dns_question_is_answered_by_icmp),
		cmocka_unit_test(a_listener_that_is_not_there_denies),
		cmocka_unit_test(packets_of_one_batch_know_the_flows_that_began_in_it),
		cmocka_unit_test(metrics_of_lanes_add_up),
		cmocka_unit_test(names_are_different),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
