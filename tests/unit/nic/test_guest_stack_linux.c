/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guest_stack_linux.c - lwIP behind the NAT, packet by packet: handshake, data both ways, ends, bounds, and machines that send
 * whatever they like
 */
#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "nic/guest_stack.h"
#include "tests/unit/test.h"

#define CONNS_EACH 48
#define HALF_OPEN  16

struct world {
	struct mf_guest_stack *stack;
	struct mf_stack_peer *peer;
	struct mf_stack_conn *conn; /* accepted last; NULL once it is gone */
	struct mf_flow accepted, datagram;
	unsigned accepts, gone, packets, resets, datagrams;
	size_t large_len; /* payload of packets that were to be cut */
	uint16_t large_segment;
	unsigned larges;
	bool full;	     /* the guest's wire */
	bool greedy;	     /* takes what comes as it comes */
	struct mf_view last; /* of the last packet to the guest */
	uint8_t last_pkt[2048];
	uint8_t in[70000];
	size_t in_len;
	uint64_t now;
	uint32_t seed;
};

static uint32_t next_random(struct world *w)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return w->seed >> 8;
}

static void on_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	struct world *w = ctx;

	assert_true(len <= 1500);
	memcpy(w->last_pkt, pkt, len);
	assert_int_equal(mf_view_read_ip(&w->last, mf_span_of(w->last_pkt, len), 0, NULL), 0);
	if (!(w->last.flags & MF_VIEW_F_FRAG))
		assert_int_equal(mf_csum_verify(&w->last), MF_CSUM_GOOD);
	w->packets++;
	w->resets += w->last.flow.proto == MF_PROTO_TCP && w->last.tcp_flags & MF_TCP_RST;
}

static void on_large(void *ctx, uint8_t *pkt, size_t len, uint16_t transport, uint16_t segment)
{
	struct world *w = ctx;
	struct mf_view v;

	assert_int_equal(mf_view_read_ip(&v, mf_span_of(pkt, len), 0, NULL), 0);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	assert_int_equal(v.transport_off, transport);
	assert_true(mf_view_payload(&v).len > segment);
	w->larges++;
	w->large_len += mf_view_payload(&v).len;
	w->large_segment = segment;
	memset(pkt + transport, 0xee, 20); /* it may be written to */
}

static bool is_full(void *ctx, void *owner)
{
	assert_ptr_equal(ctx, owner);
	return ((struct world *)owner)->full;
}

static void on_datagram(void *ctx, const struct mf_flow *flow, struct mf_span payload)
{
	struct world *w = ctx;

	(void)payload;
	w->datagram = *flow;
	w->datagrams++;
}

static int on_accept(void *ctx, struct mf_stack_conn *conn, const struct mf_flow *flow)
{
	struct world *w = ctx;

	w->conn = conn;
	w->accepted = *flow;
	w->accepts++;
	return flow->dst_port == 666 ? MF_E_NOENT : 0;
}

static void on_readable(void *ctx, struct mf_stack_conn *conn)
{
	struct world *w = ctx;
	struct mf_span pieces[8];
	size_t n;

	while (w->greedy && (n = mf_stack_conn_peek(conn, pieces, 8))) {
		size_t all = 0;

		for (size_t i = 0; i < n; i++) {
			if (w->in_len + pieces[i].len <= sizeof(w->in))
				memcpy(w->in + w->in_len, pieces[i].ptr, pieces[i].len);
			w->in_len += pieces[i].len;
			all += pieces[i].len;
		}
		mf_stack_conn_take(conn, all);
	}
}

static void on_gone(void *ctx, struct mf_stack_conn *conn)
{
	struct world *w = ctx;

	w->gone++;
	if (conn == w->conn)
		w->conn = NULL;
}

static void begin_with(struct world *w, bool large)
{
	struct mf_guest_stack_ops ops = { .packet = on_packet,
					  .datagram = on_datagram,
					  .accept = on_accept,
					  .readable = on_readable,
					  .writable = on_readable,
					  .gone = on_gone,
					  .ctx = w };
	const struct mf_guest_stack_options o = { .size = sizeof(o),
						  .conns_each = CONNS_EACH,
						  .half_open = HALF_OPEN,
						  .bytes_each = 1u << 18 };
	struct mf_err err = { 0 };

	memset(w, 0, sizeof(*w));
	w->greedy = true;
	w->seed = 7;
	w->now = MF_NS_PER_S;
	if (large) {
		ops.large = on_large;
		ops.full = is_full;
	}
	assert_int_equal(mf_guest_stack_new(&o, &ops, &w->stack, &err), 0);
	assert_int_equal(mf_guest_stack_join(w->stack, w, &w->peer), 0);
}

static void begin(struct world *w)
{
	begin_with(w, false);
}

static void end(struct world *w)
{
	mf_guest_stack_leave(w->peer);
	mf_guest_stack_free(w->stack);
}

static struct mf_flow flow_of(bool six, uint16_t port, uint16_t to)
{
	static const uint8_t own6[16] = { 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67, 0, 1, [15] = 9 };
	static const uint8_t far6[16] = { 0x2a, 0x0f, [15] = 7 };
	struct mf_flow f = { .src_port = port, .dst_port = to, .proto = MF_PROTO_TCP, .family = 4 };

	if (six) {
		f.family = 6;
		memcpy(f.src, own6, 16);
		memcpy(f.dst, far6, 16);
	} else {
		memcpy(f.src, (uint8_t[4]){ 10, 0, 2, 15 }, 4);
		memcpy(f.dst, (uint8_t[4]){ 11, 0, 0, 7 }, 4);
	}
	return f;
}

static void send_segment(struct world *w, const struct mf_flow *f, uint32_t seq, uint32_t ack,
			 uint8_t flags, const char *payload)
{
	const struct mf_tcp_fields t = { seq, ack, 65535, flags };
	uint8_t pkt[2048];
	size_t len;

	assert_int_equal(
		mf_build_tcp(f, &t, mf_span_of(payload, strlen(payload)), pkt, sizeof(pkt), &len),
		0);
	pkt[f->family == 4 ? 36 : 56] ^= 0x55; /* its checksum is not looked at */
	mf_guest_stack_input(w->stack, w->peer, pkt, len, w->now);
	mf_guest_stack_flush(w->stack, w->now);
}

/* Return: our next acknowledgement */
static uint32_t connect_to(struct world *w, const struct mf_flow *f, uint32_t seq)
{
	uint32_t isn;

	send_segment(w, f, seq, 0, MF_TCP_SYN, "");
	assert_int_equal(w->last.tcp_flags, MF_TCP_SYN | MF_TCP_ACK);
	assert_int_equal(mf_view_tcp_ack(&w->last), seq + 1);
	isn = mf_view_tcp_seq(&w->last);
	send_segment(w, f, seq + 1, isn + 1, MF_TCP_ACK, "");
	return isn + 1;
}

static void test_a_connection(void **state)
{
	(void)state;
	for (int six = 0; six < 2; six++) {
		struct mf_flow f = flow_of(six, 4000, 80), back = mf_flow_reverse(&f);
		struct mf_guest_stack_stats s;
		struct mf_span mss;
		struct world w;
		uint32_t ack;

		begin(&w);
		send_segment(&w, &f, 99, 0, MF_TCP_SYN, "");
		assert_true(mf_flow_eq(&w.last.flow, &back));
		assert_true(mf_view_tcp_option(&w.last, 2, &mss));
		assert_int_equal(mf_load_be16(mss.ptr), six ? 1440 : 1460);
		assert_int_equal(w.accepts, 0);
		ack = mf_view_tcp_seq(&w.last) + 1;
		send_segment(&w, &f, 100, ack, MF_TCP_ACK, "hello");
		assert_int_equal(w.accepts, 1);
		assert_true(mf_flow_eq(&w.accepted, &f));
		assert_int_equal(w.in_len, 5);
		assert_memory_equal(w.in, "hello", 5);

		assert_int_equal(mf_stack_conn_write(w.conn, "world", 5), 5);
		assert_true(mf_flow_eq(&w.last.flow, &back));
		assert_int_equal(mf_view_tcp_seq(&w.last), ack);
		assert_int_equal(mf_view_payload(&w.last).len, 5);
		assert_memory_equal(mf_view_payload(&w.last).ptr, "world", 5);

		/* the guest is done, we are not */
		send_segment(&w, &f, 105, ack + 5, MF_TCP_ACK | MF_TCP_FIN, "");
		assert_true(mf_stack_conn_ended(w.conn));
		assert_int_equal(mf_stack_conn_write(w.conn, "more", 4), 4);
		assert_int_equal(mf_view_tcp_ack(&w.last), 106);
		mf_stack_conn_shutdown(w.conn);
		mf_stack_conn_release(w.conn);
		mf_guest_stack_flush(w.stack, w.now);
		send_segment(&w, &f, 106, ack + 10, MF_TCP_ACK, "");
		mf_guest_stack_get_stats(w.stack, &s);
		assert_int_equal(s.conns, 0);
		assert_int_equal(w.gone, 0);
		assert_int_equal(w.resets, 0);
		assert_int_equal(mf_guest_stack_timeout(w.stack), -1);
		end(&w);
	}
}

/* The other order, which would leave lwIP with a block for two minutes. */
static void test_we_close_first(void **state)
{
	struct mf_flow f = flow_of(false, 4000, 80);
	struct mf_guest_stack_stats s;
	struct world w;
	uint32_t ack;

	(void)state;
	begin(&w);
	ack = connect_to(&w, &f, 1);
	mf_stack_conn_shutdown(w.conn);
	assert_int_equal(w.last.tcp_flags & MF_TCP_FIN, MF_TCP_FIN);
	send_segment(&w, &f, 2, ack + 1, MF_TCP_ACK, "late");
	assert_int_equal(w.in_len, 4);
	send_segment(&w, &f, 6, ack + 1, MF_TCP_ACK | MF_TCP_FIN, "");
	assert_int_equal(mf_view_tcp_ack(&w.last), 7);
	assert_true(mf_stack_conn_ended(w.conn));
	mf_stack_conn_release(w.conn);
	mf_guest_stack_flush(w.stack, w.now);
	mf_guest_stack_get_stats(w.stack, &s);
	assert_int_equal(s.conns, 0);
	end(&w);
}

static void test_resets(void **state)
{
	struct mf_flow f = flow_of(true, 4000, 80), other = flow_of(true, 4001, 666);
	struct world w;
	uint32_t ack;

	(void)state;
	begin(&w);
	ack = connect_to(&w, &f, 1);
	send_segment(&w, &f, 2, ack, MF_TCP_RST, "");
	assert_int_equal(w.gone, 1);
	/* of no connection any more */
	send_segment(&w, &f, 2, ack, MF_TCP_ACK, "x");
	assert_int_equal(w.resets, 1);
	assert_int_equal(mf_view_tcp_seq(&w.last), ack);
	(void)connect_to(&w, &f, 1000);
	mf_stack_conn_reset(w.conn);
	assert_int_equal(w.resets, 2);
	assert_int_equal(w.gone, 1);
	(void)connect_to(&w, &other, 1); /* which the owner does not take */
	assert_int_equal(w.resets, 3);
	end(&w);
}

static void test_a_reader_that_takes_nothing_closes_the_window(void **state)
{
	struct mf_flow f = flow_of(false, 4000, 80);
	char kib[1025];
	uint32_t ack, seq = 2;
	struct world w;

	(void)state;
	memset(kib, 'x', 1024);
	kib[1024] = 0;
	begin(&w);
	w.greedy = false;
	ack = connect_to(&w, &f, 1);
	for (int i = 0; i < 100; i++, seq += 1024)
		send_segment(&w, &f, seq, ack, MF_TCP_ACK | MF_TCP_PSH, kib);
	assert_true(mf_view_tcp_ack(&w.last) - 2 <= 65535);
	assert_true(mf_view_tcp_ack(&w.last) - 2 > 60000);
	w.greedy = true;
	on_readable(&w, w.conn);
	assert_int_equal(w.in_len, mf_view_tcp_ack(&w.last) - 2);
	end(&w);
}

static void test_bounds(void **state)
{
	struct mf_flow one_more = flow_of(false, 4000, 80);
	struct mf_guest_stack_stats s;
	struct world w;

	(void)state;
	begin(&w);
	for (uint16_t i = 0; i < 100; i++) {
		struct mf_flow f = flow_of(false, (uint16_t)(5000 + i), 80);

		send_segment(&w, &f, 1, 0, MF_TCP_SYN, "");
	}
	mf_guest_stack_get_stats(w.stack, &s);
	assert_int_equal(s.half_open, HALF_OPEN);
	assert_int_equal(s.dropped[MF_STACK_DROP_HALF_OPEN], 100 - HALF_OPEN);
	end(&w);
	begin(&w);
	for (uint16_t i = 0; i < CONNS_EACH; i++) {
		struct mf_flow f = flow_of(i & 1, (uint16_t)(5000 + i), 80);

		(void)connect_to(&w, &f, 1);
	}
	send_segment(&w, &one_more, 1, 0, MF_TCP_SYN, "");
	mf_guest_stack_get_stats(w.stack, &s);
	assert_int_equal(s.conns, CONNS_EACH);
	assert_int_equal(s.dropped[MF_STACK_DROP_CONNS], 1);
	mf_guest_stack_leave(w.peer);
	assert_int_equal(w.gone, CONNS_EACH);
	assert_int_equal(mf_guest_stack_join(w.stack, &w, &w.peer), 0);
	end(&w);
}

static void test_datagrams_and_fragments(void **state)
{
	struct mf_flow f = flow_of(true, 4000, 53), back = mf_flow_reverse(&f);
	uint8_t payload[4000] = { 1 }, pkt[4100];
	struct world w;
	size_t len;

	(void)state;
	f.proto = back.proto = MF_PROTO_UDP;
	begin(&w);
	assert_int_equal(mf_build_udp(&f, mf_span_of(payload, 900), pkt, sizeof(pkt), &len), 0);
	mf_guest_stack_input(w.stack, w.peer, pkt, len, w.now);
	assert_int_equal(w.datagrams, 1);
	assert_true(mf_flow_eq(&w.datagram, &f));
	assert_int_equal(mf_guest_stack_send_udp(w.stack, &back, mf_span_of(payload, 4000)), 0);
	assert_int_equal(w.packets, 3);
	back.family = 4;
	memset(back.src + 4, 0, 12);
	memset(back.dst + 4, 0, 12);
	assert_int_equal(mf_guest_stack_send_udp(w.stack, &back, mf_span_of(payload, 4000)), 0);
	assert_int_equal(w.packets, 6);
	end(&w);
}

/* Segments of a machine that has gone mad, near enough to what is expected to get far. */
static void test_random_segments(void **state)
{
	uint32_t acks[32] = { 0 };
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < 60000; i++) {
		unsigned n = next_random(&w) % 32;
		struct mf_flow f = flow_of(n & 1, (uint16_t)(6000 + n), 80);
		struct mf_tcp_fields t = { .seq = 1 + next_random(&w) % 3000,
					   .ack = acks[n] + next_random(&w) % 3 - 1,
					   .window = (uint16_t)next_random(&w),
					   .flags = (uint8_t)next_random(&w) };
		uint8_t payload[1400] = { 0 }, pkt[2048];
		size_t len, payload_len = next_random(&w) % 4 ? 0 : next_random(&w) % 1400;

		if (next_random(&w) % 2)
			t.flags = MF_TCP_ACK;
		if (next_random(&w) % 8 == 0)
			t.flags = MF_TCP_SYN;
		if (next_random(&w) % 16)
			t.flags &= (uint8_t)~MF_TCP_RST;
		assert_int_equal(mf_build_tcp(&f, &t, mf_span_of(payload, payload_len), pkt,
					      sizeof(pkt), &len),
				 0);
		if (next_random(&w) % 64 == 0)
			pkt[next_random(&w) % len] ^= (uint8_t)(1u << next_random(&w) % 8);
		w.last.tcp_flags = 0;
		mf_guest_stack_input(w.stack, w.peer, pkt, len, w.now);
		if (next_random(&w) % 3 == 0)
			mf_guest_stack_flush(w.stack, w.now);
		if (w.last.tcp_flags == (MF_TCP_SYN | MF_TCP_ACK))
			acks[n] = mf_view_tcp_seq(&w.last) + 1;
		if (!w.conn)
			continue;
		switch (next_random(&w) % 16) {
		case 0:
			(void)mf_stack_conn_write(w.conn, payload, sizeof(payload));
			break;
		case 1:
			mf_stack_conn_shutdown(w.conn);
			break;
		case 2:
			mf_stack_conn_release(w.conn);
			w.conn = NULL;
			break;
		case 3:
			mf_stack_conn_reset(w.conn);
			w.conn = NULL;
			break;
		default:
			break;
		}
	}
	assert_true(w.accepts > 100);
	end(&w);
}

/* Segments of many times the guest's own are made, and not more of them than its wire takes. */
static void test_large_packets_and_a_full_wire(void **state)
{
	static uint8_t buf[200000];

	(void)state;
	for (int six = 0; six < 2; six++) {
		struct mf_flow f = flow_of(six, 4000, 80);
		uint8_t mss[4] = { 2, 4, 5, 0x78 }; /* 1,400 */
		const struct mf_tcp_fields t = { 1, 0, 65535, MF_TCP_SYN };
		size_t begun, len, room;
		struct world w;
		uint8_t pkt[128];
		uint32_t ack;

		begin_with(&w, true);
		assert_int_equal(mf_build_tcp(&f, &t, mf_span_of(mss, 4), pkt, sizeof(pkt), &len),
				 0);
		pkt[six ? 52 : 32] = 6 << 4;
		mf_guest_stack_input(w.stack, w.peer, pkt, len, w.now);
		mf_guest_stack_flush(w.stack, w.now);
		ack = mf_view_tcp_seq(&w.last) + 1;
		send_segment(&w, &f, 2, ack, MF_TCP_ACK, "");
		assert_non_null(w.conn);
		room = mf_stack_conn_room(w.conn);
		assert_true(room >= 65536);
		begun = (size_t)mf_stack_conn_write(w.conn, buf, sizeof(buf));
		assert_int_equal(begun, room);
		/* what the congestion window and the guest's let go at once */
		assert_true(w.larges >= 1 && w.large_len >= 16384);
		assert_int_equal(w.large_segment, 1400);
		/* the rest comes as that is acknowledged, but for a last one that may be small */
		for (int i = 0; i < 64 && w.large_len + 1400 < begun; i++)
			send_segment(&w, &f, 2, ack + (uint32_t)w.large_len, MF_TCP_ACK, "");
		assert_true(w.large_len <= begun && w.large_len + 1400 >= begun);
		send_segment(&w, &f, 2, ack + (uint32_t)begun, MF_TCP_ACK, "");
		assert_int_equal(mf_stack_conn_room(w.conn), room);
		/* a wire that is full takes nothing more, and says when it does again */
		w.full = true;
		assert_false(mf_guest_stack_stopped(w.peer));
		assert_int_equal(mf_stack_conn_room(w.conn), 0);
		assert_int_equal(mf_stack_conn_write(w.conn, buf, 1000), 0);
		assert_true(mf_guest_stack_stopped(w.peer));
		w.full = false;
		mf_guest_stack_go_on(w.peer);
		assert_false(mf_guest_stack_stopped(w.peer));
		assert_int_equal(mf_guest_stack_timeout(w.stack), 0);
		assert_int_equal(mf_stack_conn_write(w.conn, buf, 1000), 1000);
		assert_int_equal(mf_view_payload(&w.last).len, 1000);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_connection),
		cmocka_unit_test(test_we_close_first),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_a_reader_that_takes_nothing_closes_the_window),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_datagrams_and_fragments),
		cmocka_unit_test(test_random_segments),
		cmocka_unit_test(test_large_packets_and_a_full_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
