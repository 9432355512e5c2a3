/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipeline_fail.c - the fail mode's table, its switching on and off, ports that run out, hostile packets */
#include "ring.h"

#define OUT  MF_PACKET_OUTBOUND
#define IN   0
#define PASS MF_BACKEND_CAN_PASS

static struct mf_flow flow_nr(unsigned n)
{
	struct mf_flow f = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");

	f.src_port = (uint16_t)(1000 + n);
	return f;
}

static void syn(struct ring *r, unsigned n)
{
	struct mf_flow f = flow_nr(n);

	ring_tcp(r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(r);
}

static void established_flows_without_an_entry_follow_the_fail_mode(void **state)
{
	static const struct {
		bool open, can_pass;
		unsigned passed, resets;
	} rows[] = { { false, true, 0, 1 },
		     { false, false, 0, 1 },
		     { true, true, 1, 0 },
		     { true, false, 0, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mf_pipeline_options o = ring_options();
		struct mf_flow f = flow_nr(0), back = mf_flow_reverse(&f);
		struct mf_view v;
		struct ring r;

		o.fail_open = rows[i].open;
		ring_init(&r, &o, rows[i].can_pass ? PASS : 0);
		ring_tcp(&r, &f, MF_TCP_ACK | MF_TCP_PSH, 100, 7777, "data");
		ring_turn(&r);
		assert_int_equal(ring_stats(&r).passed, rows[i].passed);
		assert_int_equal(ring_stats(&r).answered_reset, rows[i].resets);
		assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], !rows[i].passed);
		if (rows[i].resets) {
			v = ring_view(ring_expect(&r, &back, IN));
			assert_int_equal(v.tcp_flags, MF_TCP_RST);
			assert_int_equal(mf_view_tcp_seq(&v), 7777);
		}
		ring_done(&r);
	}
}

static void ten_failed_decisions_in_a_row_switch_it_on(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	r.decide_code = MF_E_POLICY;
	for (unsigned i = 0; i < 9; i++)
		syn(&r, i);
	// A good one between them begins the row anew.
	r.decide_code = 0;
	syn(&r, 50);
	r.decide_code = MF_E_POLICY;
	for (unsigned i = 0; i < 9; i++)
		syn(&r, i);
	assert_false(ring_stats(&r).failing);
	syn(&r, 9);
	assert_true(ring_stats(&r).failing);
	assert_int_equal(r.told[MF_PIPELINE_FAIL_ENTERED], 1);
	assert_true(r.last_event.fail_closed);
	assert_int_equal(r.last_event.count, 10);
	assert_string_equal(r.last_event.text, "ring: decide failed: policy error");
	assert_int_equal(ring_stats(&r).decide_failures, 19);
	// Each was refused by its own, too.
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_FAIL_CLOSED], 19);
	assert_int_equal(ring_stats(&r).answered_reset, 19);
	ring_done(&r);
}

static void thirty_two_good_packets_switch_it_off(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	r.decide_code = MF_E_POLICY;
	for (unsigned i = 0; i < 10; i++)
		syn(&r, i);
	r.decide_code = 0;
	for (unsigned i = 0; i < 31; i++)
		syn(&r, 100 + i);
	assert_true(ring_stats(&r).failing);
	// One failure, and all count for nothing.
	r.decide_code = MF_E_POLICY;
	syn(&r, 200);
	r.decide_code = 0;
	for (unsigned i = 0; i < 31; i++)
		syn(&r, 300 + i);
	assert_true(ring_stats(&r).failing);
	syn(&r, 400);
	assert_false(ring_stats(&r).failing);
	assert_int_equal(r.told[MF_PIPELINE_FAIL_LEFT], 1);
	assert_int_equal(ring_stats(&r).fail_left, 1);
	ring_done(&r);
}

static void what_failed_before_a_recovery_does_not_count_after_it(void **state)
{
	struct mf_flow f = flow_nr(900);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	syn(&r, 900);
	r.decide_code = MF_E_POLICY;
	for (unsigned i = 0; i < 10; i++)
		syn(&r, i);
	// Nothing begins meanwhile, so no decision shows that they work again.
	for (unsigned i = 0; i < 32; i++) {
		ring_tcp(&r, &f, MF_TCP_ACK, 2, 1, "");
		ring_turn(&r);
	}
	assert_false(ring_stats(&r).failing);
	for (unsigned i = 0; i < 9; i++)
		syn(&r, i);
	assert_false(ring_stats(&r).failing);
	syn(&r, 9);
	assert_true(ring_stats(&r).failing);
	ring_done(&r);
}

static void failing_again_soon_makes_recovery_longer(void **state)
{
	struct ring r;
	unsigned n = 0;

	(void)state;
	ring_init(&r, NULL, PASS);
	for (unsigned again = 0; again < 3; again++) {
		r.decide_code = MF_E_POLICY;
		for (unsigned i = 0; i < 10; i++)
			syn(&r, n++);
		r.decide_code = 0;
		for (unsigned i = 0; i < (32u << again) - 1; i++)
			syn(&r, n++);
		assert_true(ring_stats(&r).failing);
		syn(&r, n++);
		assert_false(ring_stats(&r).failing);
	}
	// Long after, it is as short as in the beginning.
	r.now += 60 * MF_NS_PER_S;
	r.decide_code = MF_E_POLICY;
	for (unsigned i = 0; i < 10; i++)
		syn(&r, n++);
	r.decide_code = 0;
	for (unsigned i = 0; i < 32; i++)
		syn(&r, n++);
	assert_false(ring_stats(&r).failing);
	ring_done(&r);
}

/* What happens to @cnt packets of one turn while the mode is on: the first is tried, the others tell the table's row. */
static void while_it_is_on_the_table_says_what_happens(void **state)
{
	(void)state;
	for (int open = 0; open < 2; open++) {
		struct mf_pipeline_options o = ring_options();
		struct mf_flow known = flow_nr(500), fresh = flow_nr(501), old = flow_nr(502);
		struct mf_flow to = flow_of(MF_PROTO_TCP, "198.51.100.7:1500", "10.0.0.2:9080");
		struct mf_flow inbound = flow_of(MF_PROTO_TCP, "198.51.100.9:1", "10.0.0.2:2");
		struct mf_pipeline_stats s;
		struct ring r;

		o.fail_open = open;
		ring_init(&r, &o, PASS);
		syn(&r, 500);
		r.send_code = MF_E_IO;
		for (unsigned i = 0; i < 10; i++)
			syn(&r, i);
		r.send_code = 0;
		assert_true(ring_stats(&r).failing);
		r.out_at = r.out_cnt;
		ring_tcp(&r, &known, MF_TCP_ACK, 2, 1, "the probe");
		ring_tcp(&r, &known, MF_TCP_ACK, 2, 1, "x");
		ring_tcp(&r, &fresh, MF_TCP_SYN, 1, 0, "");
		ring_tcp(&r, &old, MF_TCP_ACK, 1, 9, "");
		r.like.flags = IN;
		ring_tcp(&r, &inbound, MF_TCP_SYN, 1, 0, "");
		ring_turn(&r);
		ring_expect(&r, &to, IN);
		if (open) {
			ring_expect(&r, &to, IN);
			ring_expect(&r, &fresh, OUT);
			ring_expect(&r, &old, OUT);
		} else {
			old = mf_flow_reverse(&old);
			ring_expect(&r, &old, IN); // a reset
		}
		ring_expect(&r, &inbound, IN);
		assert_true(ring_is_empty(&r));
		s = ring_stats(&r);
		assert_int_equal(s.dropped[MF_DROP_FAIL_CLOSED], open ? 0 : 2);
		assert_int_equal(s.send_failures, 10);
		assert_int_equal(s.dropped[MF_DROP_SEND], 10);
		ring_done(&r);
	}
}

static void failed_receives_count_and_recover(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	r.receive_code = MF_E_IO;
	for (unsigned i = 0; i < 9; i++)
		ring_turn(&r);
	assert_false(ring_stats(&r).failing);
	ring_turn(&r);
	assert_true(ring_stats(&r).failing);
	r.receive_code = MF_E_AGAIN;
	for (unsigned i = 0; i < 100; i++)
		ring_turn(&r);
	assert_int_equal(ring_stats(&r).receive_failures, 10);
	assert_true(ring_stats(&r).failing);
	r.receive_code = 0;
	for (unsigned i = 0; i < 32; i++)
		syn(&r, i);
	assert_false(ring_stats(&r).failing);
	ring_done(&r);
}

static void refused_packets_are_told_once_a_second_and_do_not_stop_others(void **state)
{
	struct mf_flow f = flow_nr(0);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	r.send_code = MF_E_IO;
	for (unsigned i = 0; i < 5; i++)
		ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(r.told[MF_PIPELINE_BAD_SEND], 1);
	assert_int_equal(ring_stats(&r).send_failures, 5);
	r.now += MF_NS_PER_S;
	ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(r.told[MF_PIPELINE_BAD_SEND], 2);
	assert_int_equal(r.last_event.count, 5);
	// No room is no failure.
	r.send_code = MF_E_AGAIN;
	ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).send_failures, 6);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_SEND], 7);
	// A system that takes few at a time gets all of them, in order.
	r.send_code = 0;
	r.send_most = 3;
	for (unsigned i = 0; i < 64; i++)
		ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(r.out_cnt, 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(ring_next(&r)->own[0], i + 1);
	ring_done(&r);
}

static void client_ports_that_are_taken_are_replaced_from_a_range(void **state)
{
	static const enum mf_redirect_method methods[] = { MF_METHOD_LOOPBACK, MF_METHOD_REFLECT };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct mf_pipeline_options o = ring_options();
		struct mf_flow f = flow_nr(0), found;
		bool seen[4] = { false };
		struct ring r;

		o.method4 = methods[i];
		o.loopback_port_first = 30000;
		o.loopback_port_last = 30003;
		ring_init(&r, &o, PASS);
		// The same client port to other ports of the server: only one flow can keep it.
		for (uint16_t n = 0; n < 6; n++) {
			f.dst_port = (uint16_t)(443 + n);
			ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
			ring_turn(&r);
			if (n < 5) {
				struct mf_packet *p = ring_next(&r);
				struct mf_view v = ring_view(p);
				struct mf_endpoint peer = mf_flow_src(&v.flow),
						   local = mf_flow_dst(&v.flow);

				if (n == 0) {
					assert_int_equal(v.flow.src_port, 1000);
				} else {
					assert_in_range(v.flow.src_port, 30000, 30003);
					assert_false(seen[v.flow.src_port - 30000]);
					seen[v.flow.src_port - 30000] = true;
				}
				assert_int_equal(mf_pipeline_find_flow(r.pipeline, MF_PROTO_TCP,
								       &peer, &local, r.now,
								       &found),
						 0);
				assert_memory_equal(&found, &f, sizeof(f));
			}
		}
		// The last one found no port: refused, counted, told.
		assert_int_equal(ring_stats(&r).dropped[MF_DROP_NAT_FULL], 1);
		assert_int_equal(ring_stats(&r).answered_reset, 1);
		assert_int_equal(r.told[MF_PIPELINE_NAT_FULL], 1);
		assert_int_equal(r.last_event.code, MF_E_AGAIN);
		ring_done(&r);
	}
}

static void a_full_table_refuses(void **state)
{
	struct mf_nat_options n = { .size = sizeof(n), .entries_max = 1 };
	struct mf_pipeline_options o = ring_options();
	struct mf_flow f = flow_nr(0), back;
	struct mf_view v;
	struct ring r;

	(void)state;
	assert_int_equal(mf_nat_new(&n, &o.nat, NULL), 0);
	ring_init(&r, &o, PASS);
	ring_tcp(&r, &f, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	v = ring_view(ring_next(&r));
	back = mf_flow_reverse(&v.flow);
	ring_tcp(&r, &back, MF_TCP_SYN | MF_TCP_ACK, 1, 2, "");
	ring_turn(&r);
	ring_next(&r);
	ring_tcp(&r, &f, MF_TCP_ACK, 2, 2, "");
	ring_turn(&r);
	ring_next(&r);
	// The one entry is established and does not make room.
	syn(&r, 7);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NAT_FULL], 1);
	assert_int_equal(r.last_event.code, MF_E_FULL);
	ring_done(&r);
	mf_nat_free(o.nat);
}

/* A packet out of the ordinary, by its bytes. */
static void put_odd(struct ring *r, uint8_t version, uint8_t proto, const char *dst)
{
	struct mf_flow f = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", dst);
	uint8_t buf[64];
	size_t len;

	assert_int_equal(mf_build_udp(&f, mf_span_of("12345678", 8), buf, sizeof(buf), &len), 0);
	buf[0] = (uint8_t)(version << 4 | 5);
	buf[9] = proto;
	mf_store_be16(buf + 10, mf_csum_ip4_header(buf, 20));
	ring_put(r, buf, len);
}

static void hostile_packets_of_a_session_are_dropped_by_reason(void **state)
{
	static const struct {
		uint8_t version, proto;
		const char *dst;
		enum mf_pipeline_drop reason;
	} rows[] = {
		{ 4, 6, "198.51.100.7:443", MF_DROP_MALFORMED }, // a TCP header too short
		{ 5, 17, "198.51.100.7:443", MF_DROP_MALFORMED },
		{ 4, 47, "198.51.100.7:443", MF_DROP_UNSUPPORTED },
		{ 4, 132, "198.51.100.7:443", MF_DROP_UNSUPPORTED },
		{ 4, 17, "224.0.0.251:5353", MF_DROP_UNSUPPORTED },
		{ 4, 17, "255.255.255.255:67", MF_DROP_UNSUPPORTED },
		{ 4, 17, "127.0.0.1:443", MF_DROP_UNSUPPORTED }, // would become a martian
		{ 4, 17, "0.0.0.0:443", MF_DROP_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ring r;

		ring_init(&r, NULL, 0);
		put_odd(&r, rows[i].version, rows[i].proto, rows[i].dst);
		ring_turn(&r);
		assert_int_equal(ring_stats(&r).dropped[rows[i].reason], 1);
		assert_int_equal(ring_stats(&r).rewritten, 0);
		ring_done(&r);
	}
}

static void empty_and_cut_packets_are_malformed(void **state)
{
	struct mf_flow f = flow_nr(0);
	struct mf_tcp_fields tcp = { .flags = MF_TCP_SYN };
	uint8_t buf[64];
	struct ring r;
	size_t len;

	(void)state;
	ring_init(&r, NULL, 0);
	assert_int_equal(mf_build_tcp(&f, &tcp, mf_span_str("abc"), buf, sizeof(buf), &len), 0);
	for (size_t cut = 0; cut < len; cut++)
		ring_put(&r, buf, cut);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_MALFORMED], len);
	assert_int_equal(r.decisions, 0);
	ring_done(&r);
}

static void inbound_packets_are_not_taken_for_the_programs_or_the_listeners(void **state)
{
	struct mf_flow f = flow_nr(0);
	struct mf_flow to = flow_of(MF_PROTO_TCP, "198.51.100.7:1000", "10.0.0.2:9080");
	struct mf_flow back = mf_flow_reverse(&to);
	struct ring r;

	(void)state;
	ring_init(&r, NULL, PASS);
	syn(&r, 0);
	ring_expect(&r, &to, IN);
	// A forger on the network cannot speak for either.
	r.like.flags = IN;
	ring_tcp(&r, &f, MF_TCP_ACK, 1, 1, "forged");
	ring_tcp(&r, &back, MF_TCP_ACK, 1, 1, "forged");
	ring_turn(&r);
	ring_expect(&r, &f, IN);
	ring_expect(&r, &back, IN);
	assert_int_equal(ring_stats(&r).foreign, 2);
	ring_done(&r);
}

static void options_out_of_range_are_refused_with_their_name(void **state)
{
	struct mf_pipeline_options o = ring_options();
	struct mf_backend backend = { .name = "ring" };
	struct mf_pipeline_ops ops = { 0 };
	struct mf_pipeline *p;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_pipeline_new(&o, &backend, &ops, &p, &err), MF_E_INVAL);
	o.scope = MF_SCOPE_NUM;
	assert_int_equal(mf_pipeline_new(&o, &backend, &ops, &p, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "scope"));
	o = ring_options();
	o.size = 1;
	assert_int_equal(mf_pipeline_new(&o, &backend, &ops, &p, &err), MF_E_INVAL);
	o = ring_options();
	o.loopback_port_first = 40000;
	assert_int_equal(mf_pipeline_new(&o, &backend, &ops, &p, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "loopback_port_first"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_flows_without_an_entry_follow_the_fail_mode),
		cmocka_unit_test(ten_failed_decisions_in_a_row_switch_it_on),
		cmocka_unit_test(thirty_two_good_packets_switch_it_off),
		cmocka_unit_test(what_failed_before_a_recovery_does_not_count_after_it),
		cmocka_unit_test(failing_again_soon_makes_recovery_longer),
		cmocka_unit_test(while_it_is_on_the_table_says_what_happens),
		cmocka_unit_test(failed_receives_count_and_recover),
		cmocka_unit_test(refused_packets_are_told_once_a_second_and_do_not_stop_others),
		cmocka_unit_test(client_ports_that_are_taken_are_replaced_from_a_range),
		cmocka_unit_test(a_full_table_refuses),
		cmocka_unit_test(hostile_packets_of_a_session_are_dropped_by_reason),
		cmocka_unit_test(empty_and_cut_packets_are_malformed),
		cmocka_unit_test(inbound_packets_are_not_taken_for_the_programs_or_the_listeners),
		cmocka_unit_test(options_out_of_range_are_refused_with_their_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
