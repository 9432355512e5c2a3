/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipeline_pids.c - whose packets are whose: events before and after packets, holding and its bounds, endings */
#include "ring.h"

#define OUT  MF_PACKET_OUTBOUND
#define IN   0
#define CAPS (MF_BACKEND_CAN_PASS | MF_BACKEND_HAS_EVENTS)
#define OURS 500u
#define OWN  1u
#define MS   MF_NS_PER_MS

static struct mf_flow flow, to, back, home;

static struct mf_pipeline_options pid_options(void)
{
	struct mf_pipeline_options o = ring_options();

	o.scope = MF_SCOPE_PIDS;
	o.method4 = MF_METHOD_LOOPBACK;
	o.own_pid = OWN;
	return o;
}

static void begin(struct ring *r, const struct mf_pipeline_options *o, unsigned caps)
{
	struct mf_pipeline_options standard = pid_options();

	ring_init(r, o ? o : &standard, caps);
	assert_int_equal(mf_pipeline_add_pid(r->pipeline, OURS), 0);
	flow = flow_of(MF_PROTO_TCP, "10.0.0.2:1000", "198.51.100.7:443");
	to = flow_of(MF_PROTO_TCP, "127.0.0.1:1000", "127.0.0.1:9080");
	back = mf_flow_reverse(&to);
	home = mf_flow_reverse(&flow);
}

static void an_event_before_the_packet_decides_at_once(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(r.last_pid, OURS);
	assert_int_equal(ring_stats(&r).held, 0);
	ring_done(&r);
}

static void a_packet_before_its_event_is_held_and_comes_back_as_it_was(void **state)
{
	struct mf_packet *p;
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).held_now, 1);
	assert_int_equal(mf_pipeline_deadline(r.pipeline), r.now + 20 * MS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_turn(&r);
	p = ring_expect(&r, &to, OUT);
	// W6: everything that the system said of it.
	assert_int_equal(p->own[79], 1);
	assert_int_equal(p->interface, 7);
	assert_int_equal(ring_stats(&r).held_now, 0);
	assert_int_equal(ring_stats(&r).hold_released, 1);
	assert_int_equal(r.lookups, 0);
	ring_done(&r);
}

static void an_event_of_the_same_turn_is_read_before_its_packet_is_held(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(ring_stats(&r).held, 0);
	ring_done(&r);
}

static void others_pass_untouched_in_either_order(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 77);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	ring_tcp(&r, &flow, MF_TCP_ACK, 2, 0, "data");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	flow.src_port = 1001;
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 77);
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	// What is known of nobody, and begins nothing, is older than we are.
	flow.src_port = 1002;
	ring_tcp(&r, &flow, MF_TCP_ACK, 9, 9, "old");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	assert_int_equal(r.decisions, 0);
	assert_int_equal(ring_stats(&r).foreign, 4);
	ring_done(&r);
}

static void our_own_connections_pass_even_if_we_are_in_the_session(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	mf_pipeline_add_pid(r.pipeline, OWN);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OWN);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	assert_int_equal(r.decisions, 0);
	ring_done(&r);
}

static void a_process_that_events_do_not_name_is_looked_up(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	r.table_pid = OURS;
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	r.now += 20 * MS - 1;
	ring_turn(&r);
	assert_int_equal(r.lookups, 0);
	assert_true(ring_is_empty(&r));
	r.now++;
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(r.lookups, 1);
	assert_int_equal(r.last_pid, OURS);
	assert_int_equal(ring_stats(&r).hold_expired, 0);
	ring_done(&r);
}

static void a_process_that_nobody_knows_takes_the_configured_way(void **state)
{
	static const struct {
		enum mf_unknown_pid unknown;
		unsigned decisions, passed, denied, resets;
	} rows[] = {
		{ MF_UNKNOWN_PASS, 0, 1, 0, 0 },
		{ MF_UNKNOWN_PROXY, 1, 0, 0, 0 },
		{ MF_UNKNOWN_DENY, 0, 0, 1, 1 },
		{ MF_UNKNOWN_DROP, 0, 0, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mf_pipeline_options o = pid_options();
		struct mf_pipeline_stats s;
		struct ring r;

		o.unknown_pid = rows[i].unknown;
		begin(&r, &o, CAPS);
		ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
		ring_turn(&r);
		r.now += 20 * MS;
		ring_turn(&r);
		s = ring_stats(&r);
		assert_int_equal(r.decisions, rows[i].decisions);
		assert_int_equal(s.passed, rows[i].passed);
		assert_int_equal(s.dropped[MF_DROP_DENIED], rows[i].denied);
		assert_int_equal(s.answered_reset, rows[i].resets);
		assert_int_equal(s.hold_expired, 1);
		assert_int_equal(r.told[MF_PIPELINE_HOLD_OVER], 1);
		ring_done(&r);
	}
}

static void what_nobody_knew_is_asked_for_again_after_a_second(void **state)
{
	struct mf_flow udp = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_udp(&r, &udp, "a", 1);
	ring_turn(&r);
	r.now += 20 * MS;
	ring_turn(&r);
	ring_expect(&r, &udp, OUT);
	// Not held again and again meanwhile.
	ring_udp(&r, &udp, "b", 1);
	ring_turn(&r);
	ring_expect(&r, &udp, OUT);
	r.now += MF_NS_PER_S;
	ring_udp(&r, &udp, "c", 1);
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &udp, OURS);
	ring_turn(&r);
	assert_int_equal(r.decisions, 1);
	ring_done(&r);
}

static void without_events_the_tables_are_asked_at_once(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, MF_BACKEND_CAN_PASS);
	r.table_pid = OURS;
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(r.lookups, 1);
	assert_int_equal(ring_stats(&r).held, 0);
	ring_done(&r);
}

static void a_new_connection_on_old_ports_is_not_the_old_ones(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 77);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	// The same SYN again is known, one with another number is not, whether or not the old one was seen to close.
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1000, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	ring_event(&r, MF_FLOW_EVENT_CLOSE, &flow, OURS);
	ring_turn(&r);
	ring_tcp(&r, &flow, MF_TCP_SYN, 2000, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 77);
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	ring_done(&r);
}

static void a_closed_sockets_ports_are_anybodys(void **state)
{
	struct mf_flow udp = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &udp, 77);
	ring_udp(&r, &udp, "a", 1);
	ring_turn(&r);
	ring_expect(&r, &udp, OUT);
	ring_event(&r, MF_FLOW_EVENT_CLOSE, &udp, 77);
	ring_udp(&r, &udp, "b", 1);
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).held_now, 1);
	ring_done(&r);
}

static void a_socket_closed_before_its_packet_was_read_is_still_its_owner(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_event(&r, MF_FLOW_EVENT_CLOSE, &flow, OURS);
	ring_turn(&r);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(ring_stats(&r).held, 0);
	ring_done(&r);
}

static void last_packets_after_the_close_still_find_their_way(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	ring_event(&r, MF_FLOW_EVENT_CLOSE, &flow, OURS);
	ring_tcp(&r, &flow, MF_TCP_FIN | MF_TCP_ACK, 2, 1, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	r.now += 130 * MF_NS_PER_S;
	ring_tcp(&r, &flow, MF_TCP_ACK, 3, 1, "");
	ring_turn(&r);
	// Lingered long enough: reset, not leaked to the server.
	ring_expect(&r, &home, IN);
	ring_done(&r);
}

static void accepted_connections_pass(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	r.like.flags = IN;
	ring_tcp(&r, &home, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &home, IN);
	ring_event(&r, MF_FLOW_EVENT_ACCEPT, &flow, OURS);
	r.like.flags = OUT;
	ring_tcp(&r, &flow, MF_TCP_SYN | MF_TCP_ACK, 1, 2, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	assert_int_equal(r.decisions, 0);
	ring_done(&r);
}

static void children_belong_to_the_session_until_they_end(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	assert_false(mf_pipeline_on_created(r.pipeline, 600, 77));
	assert_true(mf_pipeline_on_created(r.pipeline, 600, OURS));
	assert_true(mf_pipeline_on_created(r.pipeline, 700, 600));
	assert_true(mf_pipeline_on_created(r.pipeline, 700, 600));
	assert_int_equal(mf_pipeline_add_pid(r.pipeline, 700), MF_E_EXIST);
	assert_int_equal(mf_pipeline_add_pid(r.pipeline, 0), MF_E_INVAL);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 700);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	// The parent's end takes nothing from the child; the child's own takes its entries, once its kernel is done with them.
	assert_int_equal(mf_pipeline_on_exited(r.pipeline, 600, r.now), 0);
	ring_tcp(&r, &flow, MF_TCP_ACK, 2, 1, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	assert_int_equal(mf_pipeline_on_exited(r.pipeline, 700, r.now), 1);
	assert_int_equal(mf_pipeline_on_exited(r.pipeline, 700, r.now), 0);
	// What it had written goes on, and its end is told: `printf x | nc` has ended before its byte is out.
	ring_tcp(&r, &flow, MF_TCP_ACK | MF_TCP_PSH, 2, 1, "last words");
	ring_tcp(&r, &flow, MF_TCP_FIN | MF_TCP_ACK, 12, 1, "");
	ring_turn(&r);
	ring_expect(&r, &to, OUT);
	ring_expect(&r, &to, OUT);
	assert_true(ring_is_empty(&r));
	// Later on nothing is let out to a server that never saw the connection.
	r.now += 121 * MF_NS_PER_S;
	ring_tcp(&r, &flow, MF_TCP_RST, 12, 1, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], 1);
	// Five minutes after its end the number may be anybody's.
	r.now += 180 * MF_NS_PER_S;
	ring_tcp(&r, &flow, MF_TCP_ACK, 2, 1, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	ring_done(&r);
}

static void the_number_of_an_ended_process_may_be_a_strangers(void **state)
{
	struct mf_flow other = flow_of(MF_PROTO_TCP, "10.0.0.2:1001", "198.51.100.7:443");
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, OURS);
	ring_turn(&r);
	mf_pipeline_on_exited(r.pipeline, OURS, r.now);
	// What it began while it lived is its own, and what is told of the same second as well.
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &other, OURS);
	ring_tcp(&r, &other, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], 2);
	r.now += 2 * MF_NS_PER_S;
	other.src_port = 1002;
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &other, OURS);
	ring_tcp(&r, &other, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	ring_expect(&r, &other, OUT);
	// The same by the system's tables.
	r.table_pid = OURS;
	other.src_port = 1003;
	ring_tcp(&r, &other, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	r.now += 20 * MS;
	ring_turn(&r);
	ring_expect(&r, &other, OUT);
	assert_int_equal(r.decisions, 0);
	ring_done(&r);
}

static void the_set_of_processes_has_a_limit_and_forgets_what_ended(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	for (uint32_t pid = 1000; pid < 1000 + 65535 * 4; pid += 4)
		assert_int_equal(mf_pipeline_add_pid(r.pipeline, pid), 0);
	assert_int_equal(mf_pipeline_add_pid(r.pipeline, 3), MF_E_FULL);
	assert_false(mf_pipeline_on_created(r.pipeline, 3, OURS));
	for (uint32_t pid = 1000; pid < 1000 + 65535 * 4; pid += 4)
		mf_pipeline_on_exited(r.pipeline, pid, r.now);
	for (uint32_t pid = 1000; pid < 1000 + 65535 * 4; pid += 4)
		assert_int_equal(mf_pipeline_add_pid(r.pipeline, pid), 0);
	assert_int_equal(mf_pipeline_add_pid(r.pipeline, 3), MF_E_FULL);
	assert_true(mf_pipeline_on_created(r.pipeline, 1004, OURS));
	ring_done(&r);
}

static void only_so_much_is_held_of_a_flow(void **state)
{
	struct mf_pipeline_options o = pid_options();
	struct mf_flow udp = flow_of(MF_PROTO_UDP, "10.0.0.2:1000", "198.51.100.7:53");
	struct ring r;

	(void)state;
	o.hold_bytes_max = 300;
	begin(&r, &o, CAPS);
	for (int i = 0; i < 6; i++)
		ring_udp(&r, &udp, "0123456789", 10);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).held, 4);
	assert_int_equal(ring_stats(&r).held_now, 1);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_HOLD], 2);
	// Too many bytes.
	udp.src_port = 1001;
	for (int i = 0; i < 3; i++)
		ring_udp(&r, &udp, &r, 100);
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).held, 6);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_HOLD], 3);
	// All that was held comes back in order.
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &udp, 77);
	ring_turn(&r);
	ring_expect(&r, &udp, OUT);
	ring_expect(&r, &udp, OUT);
	assert_true(ring_is_empty(&r));
	ring_done(&r);
}

static void only_so_many_flows_are_held(void **state)
{
	struct mf_pipeline_options o = pid_options();
	struct ring r;

	(void)state;
	o.hold_flows_max = 5;
	begin(&r, &o, CAPS);
	for (int i = 0; i < 8; i++) {
		flow.src_port = (uint16_t)(2000 + i);
		ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	}
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).held_now, 5);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_HOLD], 3);
	// They are due together, in the order in which they came.
	r.now += 20 * MS;
	ring_turn(&r);
	for (int i = 0; i < 5; i++) {
		flow.src_port = (uint16_t)(2000 + i);
		ring_expect(&r, &flow, OUT);
	}
	assert_int_equal(mf_pipeline_deadline(r.pipeline), UINT64_MAX);
	ring_done(&r);
}

static void many_owners_are_remembered_and_the_ones_in_use_longest(void **state)
{
	struct mf_pipeline_options o = pid_options();
	struct ring r;

	(void)state;
	o.owners_max = 64;
	begin(&r, &o, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &flow, 77);
	ring_turn(&r);
	for (int i = 0; i < 1000; i++) {
		struct mf_flow f = flow;

		ring_tcp(&r, &flow, MF_TCP_ACK, 1, 1, "");
		f.src_port = (uint16_t)(2000 + i);
		ring_event(&r, MF_FLOW_EVENT_CONNECT, &f, OURS);
		ring_turn(&r);
		ring_expect(&r, &flow, OUT);
	}
	// Still known: not held.
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 1, "");
	ring_turn(&r);
	ring_expect(&r, &flow, OUT);
	ring_done(&r);
}

static void at_the_end_nothing_stays_held(void **state)
{
	(void)state;
	for (int open = 0; open < 2; open++) {
		struct mf_pipeline_options o = pid_options();
		struct ring r;

		o.fail_open = open;
		begin(&r, &o, CAPS);
		ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
		ring_turn(&r);
		r.closed = true;
		ring_turn(&r);
		assert_int_equal(mf_pipeline_run(r.pipeline, r.now), MF_E_CLOSED);
		assert_int_equal(ring_stats(&r).held_now, 0);
		assert_int_equal(ring_stats(&r).passed, open);
		assert_int_equal(ring_stats(&r).dropped[MF_DROP_HOLD], !open);
		ring_done(&r);
	}
}

static void held_packets_are_freed_with_the_pipeline(void **state)
{
	struct ring r;

	(void)state;
	begin(&r, NULL, CAPS);
	ring_tcp(&r, &flow, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).held_now, 1);
	ring_done(&r);
}

static void late_answers_of_a_listener_become_no_flow(void **state)
{
	struct mf_flow late = flow_of(MF_PROTO_UDP, "10.0.0.2:9081", "198.51.100.7:1000");
	struct mf_flow mdns = flow_of(MF_PROTO_UDP, "10.0.0.2:5353", "198.51.100.7:5353");
	struct mf_pipeline_options o = pid_options();
	struct ring r;

	(void)state;
	o.method4 = MF_METHOD_REFLECT;
	begin(&r, &o, CAPS);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &late, OWN);
	ring_event(&r, MF_FLOW_EVENT_CONNECT, &mdns, 77);
	ring_udp(&r, &late, "x", 1);
	ring_udp(&r, &mdns, "x", 1);
	ring_turn(&r);
	// A stranger's packet from a port of the same number is a stranger's.
	ring_expect(&r, &mdns, OUT);
	assert_true(ring_is_empty(&r));
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], 1);
	ring_done(&r);
	// Where all is the session's, ports decide.
	o = ring_options();
	ring_init(&r, &o, 0);
	ring_udp(&r, &late, "x", 1);
	late.proto = MF_PROTO_TCP;
	late.src_port = 9080;
	ring_tcp(&r, &late, MF_TCP_ACK, 1, 1, "x");
	ring_turn(&r);
	assert_int_equal(ring_stats(&r).dropped[MF_DROP_NO_ENTRY], 2);
	assert_int_equal(ring_stats(&r).answered_reset, 1);
	assert_int_equal(r.decisions, 0);
	ring_tcp(&r, &late, MF_TCP_SYN, 1, 0, "");
	ring_turn(&r);
	assert_int_equal(r.decisions, 1);
	ring_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_before_the_packet_decides_at_once),
		cmocka_unit_test(a_packet_before_its_event_is_held_and_comes_back_as_it_was),
		cmocka_unit_test(an_event_of_the_same_turn_is_read_before_its_packet_is_held),
		cmocka_unit_test(others_pass_untouched_in_either_order),
		cmocka_unit_test(our_own_connections_pass_even_if_we_are_in_the_session),
		cmocka_unit_test(a_process_that_events_do_not_name_is_looked_up),
		cmocka_unit_test(a_process_that_nobody_knows_takes_the_configured_way),
		cmocka_unit_test(what_nobody_knew_is_asked_for_again_after_a_second),
		cmocka_unit_test(without_events_the_tables_are_asked_at_once),
		cmocka_unit_test(a_new_connection_on_old_ports_is_not_the_old_ones),
		cmocka_unit_test(a_closed_sockets_ports_are_anybodys),
		cmocka_unit_test(a_socket_closed_before_its_packet_was_read_is_still_its_owner),
		cmocka_unit_test(last_packets_after_the_close_still_find_their_way),
		cmocka_unit_test(accepted_connections_pass),
		cmocka_unit_test(children_belong_to_the_session_until_they_end),
		cmocka_unit_test(the_number_of_an_ended_process_may_be_a_strangers),
		cmocka_unit_test(the_set_of_processes_has_a_limit_and_forgets_what_ended),
		cmocka_unit_test(only_so_much_is_held_of_a_flow),
		cmocka_unit_test(only_so_many_flows_are_held),
		cmocka_unit_test(many_owners_are_remembered_and_the_ones_in_use_longest),
		cmocka_unit_test(at_the_end_nothing_stays_held),
		cmocka_unit_test(held_packets_are_freed_with_the_pipeline),
		cmocka_unit_test(late_answers_of_a_listener_become_no_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
