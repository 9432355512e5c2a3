/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_divert_scenarios.c - the capture of Windows as a whole, packet by packet: the backend's three handles and threads,
 * the pipeline, and a driver that refuses or loses what Windows would
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "scene.h"

static struct wdd_end client, server, lo_client, lo_proxy, client6, server6;

static int begin(void **state)
{
	client = wdd_end_of("10.0.0.5", 40000);
	server = wdd_end_of("192.0.2.1", 443);
	lo_client = wdd_end_of("127.0.0.1", 40000);
	lo_proxy = wdd_end_of("127.0.0.1", SCENE_TCP);
	client6 = wdd_end_of("2001:db8::5", 40000);
	server6 = wdd_end_of("2001:db8::1", 443);
	return scene_begin(state);
}

static void connect_event(struct scene *s, uint32_t pid)
{
	scene_event(s, WDD_CONNECT, pid, 6, client, server);
}

/* Redirected, so that the next packets are of a known flow. */
static void redirect(struct scene *s)
{
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
}

static void expect_reply(struct scene *s)
{
	struct scene_out out;

	scene_tcp(s, true, lo_proxy, lo_client, WDD_SYN | WDD_ACK, 7000, s->isn + 1, NULL);
	scene_next(s, WDD_TO_STACK, &out);
	assert_true(wdd_end_eq(&out.r.src, &server));
	assert_true(wdd_end_eq(&out.r.dst, &client));
	assert_int_equal(out.r.flags, WDD_SYN | WDD_ACK);
	assert_int_equal(out.r.seq, 7000);
	assert_int_equal(out.r.ack, s->isn + 1);
	assert_false(out.bits & WDD_OUTBOUND); /* it comes in where the SYN went out */
	assert_int_equal(out.if_idx, SCENE_IF);
	assert_int_equal(wdd_load32(out.raw->addr + 20), SCENE_SUB_IF);
	scene_done(&out);
}

static void test_syn_is_redirected_and_its_answer_comes_back(void **state)
{
	struct scene *s = *state;
	struct mf_endpoint peer = { .port = 40000 }, local = { .port = SCENE_TCP };
	struct scene_out out;
	struct mf_flow flow;

	scene_open(s);
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_next(s, WDD_TO_STACK, &out);
	assert_true(wdd_end_eq(&out.r.src, &lo_client));
	assert_true(wdd_end_eq(&out.r.dst, &lo_proxy));
	assert_int_equal(out.r.flags, WDD_SYN);
	assert_int_equal(out.r.seq, s->isn);
	assert_int_equal(out.r.k.hops, 128); /* W10 */
	assert_true(out.bits & WDD_OUTBOUND);
	scene_done(&out);
	assert_int_equal(s->decided, 1);
	assert_int_equal(s->decided_pid, SCENE_PID);
	assert_int_equal(s->decided_flow.dst_port, 443);
	/* What the listener asks when it accepts. */
	assert_int_equal(mf_addr_parse("127.0.0.1", 9, &peer.addr), 0);
	local.addr = peer.addr;
	assert_int_equal(
		mf_pipeline_find_flow(s->pipeline, MF_PROTO_TCP, &peer, &local, s->now_ns, &flow),
		0);
	assert_int_equal(flow.dst_port, 443);
	assert_memory_equal(flow.dst, "\xc0\x00\x02\x01", 4);
	peer.port++;
	assert_int_equal(
		mf_pipeline_find_flow(s->pipeline, MF_PROTO_TCP, &peer, &local, s->now_ns, &flow),
		MF_E_NOENT); /* W9 */
	expect_reply(s);
	scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1, 7001, "GET / HTTP/1.0\r\n\r\n");
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	scene_tcp(s, true, lo_proxy, lo_client, WDD_ACK, 7001, s->isn + 19, "HTTP/1.0 200 OK\r\n");
	scene_expect(s, WDD_TO_STACK, server, client);
	assert_int_equal(s->decided, 1);
	assert_int_equal(wdd_host_counts(s->host).fates[WDD_TO_NETWORK], 0);
	assert_int_equal(wdd_host_counts(s->host).fates[WDD_VANISHED], 0);
}

static bool holds_two(struct scene *s)
{
	return scene_stats(s).held == 2;
}

static void test_syn_before_its_event_is_held(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	scene_syn(s, client, server);
	scene_syn(s, client, server); /* sent again */
	scene_until(s, holds_two);
	scene_expect_nothing(s);
	assert_int_equal(s->decided, 0);
	connect_event(s, SCENE_PID);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	assert_int_equal(scene_stats(s).hold_released, 2);
	expect_reply(s);
}

static bool holds_one(struct scene *s)
{
	return scene_stats(s).held_now == 1;
}

static void test_hold_ends_with_the_systems_tables(void **state)
{
	struct scene *s = *state;

	s->po.unknown_pid = MF_UNKNOWN_DENY;
	scene_open(s);
	scene_syn(s, client, server);
	scene_until(s, holds_one);
	s->owner = (struct mf_owner_row){ .flow = { .src = { 10, 0, 0, 5 },
						    .dst = { 192, 0, 2, 1 },
						    .src_port = 40000,
						    .dst_port = 443,
						    .proto = MF_PROTO_TCP,
						    .family = 4 },
					  .pid = SCENE_PID };
	assert_int_equal(mf_pipeline_deadline(s->pipeline) <= s->now_ns + 20 * MF_NS_PER_MS, 1);
	s->now_ns += 21 * MF_NS_PER_MS;
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	assert_int_equal(s->decided_pid, SCENE_PID);
	/* Nobody knows the next one: the answer for unknown processes. */
	client.port++;
	scene_syn(s, client, server);
	scene_until(s, holds_one);
	s->now_ns += 21 * MF_NS_PER_MS;
	scene_expect(s, WDD_TO_STACK, server, client); /* a reset */
	assert_int_equal(scene_stats(s).hold_expired, 1);
	assert_int_equal(s->decided, 1);
}

static void test_strangers_pass_untouched(void **state)
{
	struct scene *s = *state;
	struct scene_out out;
	uint8_t pkt[100];
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	scene_open(s);
	connect_event(s, SCENE_STRANGER);
	pkt[8] = 77; /* TTL, and so a wrong header checksum that the driver is to fill in */
	wdd_host_play(s->host,
		      &(struct wdd_play){ .outbound = true, .if_idx = SCENE_IF, .offload = true },
		      pkt, len);
	scene_next(s, WDD_TO_NETWORK, &out);
	assert_int_equal(out.r.k.hops, 77);
	assert_true(wdd_end_eq(&out.r.dst, &server));
	scene_done(&out);
	scene_tcp(s, true, client, server, WDD_ACK, 2, 5, "x");
	scene_expect(s, WDD_TO_NETWORK, client, server);
	/* What comes in, and what stays in the machine, is not even diverted. */
	scene_tcp(s, false, server, client, WDD_ACK, 2, 5, "x");
	scene_expect(s, WDD_TO_STACK, server, client);
	scene_tcp(s, true, lo_client, wdd_end_of("127.0.0.1", 80), WDD_SYN, 2, 5, NULL);
	scene_expect(s, WDD_TO_STACK, lo_client, wdd_end_of("127.0.0.1", 80));
	scene_udp(s, true, client, wdd_end_of("224.0.0.251", 5353), "mdns");
	scene_expect(s, WDD_TO_NETWORK, client, wdd_end_of("224.0.0.251", 5353));
	assert_int_equal(wdd_host_counts(s->host).diverted, 2);
	assert_int_equal(s->decided, 0);
	assert_int_equal(scene_stats(s).foreign, 2);
}

static void test_own_connections_pass(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	assert_int_equal(mf_pipeline_add_pid(s->pipeline, SCENE_SELF), 0); /* even so */
	connect_event(s, SCENE_SELF);
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_NETWORK, client, server);
	assert_int_equal(s->decided, 0);
}

static void test_older_connections_pass(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	scene_tcp(s, true, client, server, WDD_ACK, 2, 5, "x");
	scene_expect(s, WDD_TO_NETWORK, client, server);
	assert_int_equal(s->decided, 0);
	assert_int_equal(scene_stats(s).held, 0);
}

static void test_dns_goes_to_its_listener(void **state)
{
	struct scene *s = *state;
	struct wdd_end resolver = wdd_end_of("192.0.2.53", 53),
		       lo_dns = wdd_end_of("127.0.0.1", SCENE_DNS);

	scene_open(s);
	scene_udp(s, true, client, resolver, "query");
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client, resolver);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_dns);
	scene_udp(s, true, lo_dns, lo_client, "answer");
	scene_expect(s, WDD_TO_STACK, resolver, client);
	/* Over TCP as well. */
	scene_event(s, WDD_CONNECT, SCENE_PID, 6, client, resolver);
	scene_syn(s, client, resolver);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_dns);
	scene_tcp(s, true, lo_dns, lo_client, WDD_SYN | WDD_ACK, 1, s->isn + 1, NULL);
	scene_expect(s, WDD_TO_STACK, resolver, client);
}

static void test_udp_goes_to_its_listener(void **state)
{
	struct scene *s = *state;
	struct wdd_end peer = wdd_end_of("198.51.100.7", 3478),
		       lo_udp = wdd_end_of("127.0.0.1", SCENE_UDP);
	struct scene_out out;

	scene_open(s);
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client, peer);
	scene_udp(s, true, client, peer, "one");
	scene_expect(s, WDD_TO_STACK, lo_client, lo_udp);
	/* Another peer of the same socket gets a port of its own, for the answers have to be told apart. */
	peer.port++;
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client, peer);
	scene_udp(s, true, client, peer, "two");
	scene_next(s, WDD_TO_STACK, &out);
	assert_true(wdd_end_eq(&out.r.dst, &lo_udp));
	assert_memory_equal(&out.r.src.ip, &lo_client.ip, 16);
	assert_in_range(out.r.src.port, 20000, 29999);
	scene_udp(s, true, lo_udp, out.r.src, "two's answer");
	scene_done(&out);
	scene_expect(s, WDD_TO_STACK, peer, client);
	peer.port--;
	scene_udp(s, true, lo_udp, lo_client, "one's answer");
	scene_expect(s, WDD_TO_STACK, peer, client);
}

static void test_denied_connection_is_reset(void **state)
{
	struct scene *s = *state;
	struct scene_out out;

	s->answer = MF_FLOW_DENY;
	scene_open(s);
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_next(s, WDD_TO_STACK, &out);
	assert_true(wdd_end_eq(&out.r.src, &server));
	assert_true(wdd_end_eq(&out.r.dst, &client));
	assert_int_equal(out.r.flags, WDD_RST | WDD_ACK);
	assert_int_equal(out.r.ack, s->isn + 1);
	assert_int_equal(out.if_idx, SCENE_IF);
	scene_done(&out);
	/* A datagram: ICMP from the peer; a question: an answer of DNS. */
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client, server);
	scene_udp(s, true, client, server, "datagram");
	scene_next(s, WDD_TO_STACK, &out);
	assert_int_equal(out.r.k.proto, 1);
	assert_memory_equal(&out.r.dst.ip, &client.ip, 16);
	scene_done(&out);
	assert_int_equal(wdd_host_counts(s->host).fates[WDD_TO_NETWORK], 0);
	assert_int_equal(scene_stats(s).dropped[MF_DROP_DENIED], 2);
}

static void test_ipv6_is_reflected(void **state)
{
	struct scene *s = *state;
	struct wdd_end at_proxy = client6;
	struct scene_out out;

	at_proxy.port = SCENE_TCP;
	scene_open(s);
	scene_event(s, WDD_CONNECT, SCENE_PID, 6, client6, server6);
	scene_syn(s, client6, server6);
	scene_next(s, WDD_TO_STACK, &out);
	assert_memory_equal(&out.r.src.ip, &server6.ip,
			    16); /* the listener sees the server's address */
	assert_int_equal(out.r.src.port, client6.port);
	assert_true(wdd_end_eq(&out.r.dst, &at_proxy));
	assert_false(out.bits & WDD_OUTBOUND);
	assert_int_equal(out.if_idx, SCENE_IF);
	scene_done(&out);
	server6.port = client6.port;
	scene_tcp(s, true, at_proxy, server6, WDD_SYN | WDD_ACK, 1, s->isn + 1, NULL);
	server6.port = 443;
	scene_expect(s, WDD_TO_STACK, server6, client6);
	/* Denied: a reset of the other family. */
	s->answer = MF_FLOW_DENY;
	client6.port++;
	scene_event(s, WDD_CONNECT, SCENE_PID, 6, client6, server6);
	scene_syn(s, client6, server6);
	scene_next(s, WDD_TO_STACK, &out);
	assert_int_equal(out.r.flags, WDD_RST | WDD_ACK);
	assert_true(wdd_end_eq(&out.r.src, &server6));
	scene_done(&out);
}

static void test_ipv6_datagrams_are_reflected(void **state)
{
	struct scene *s = *state;
	struct wdd_end resolver = wdd_end_of("2001:db8::53", 53), seen = resolver, at_dns = client6,
		       at_udp = client6;
	struct scene_out out;

	at_dns.port = SCENE_DNS;
	at_udp.port = SCENE_UDP;
	seen.port = client6.port;
	scene_open(s);
	/* The event comes after the question. */
	scene_udp(s, true, client6, resolver, "query");
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client6, resolver);
	scene_expect(s, WDD_TO_STACK, seen, at_dns);
	scene_udp(s, true, at_dns, seen, "answer");
	scene_expect(s, WDD_TO_STACK, resolver, client6);
	/* Another port of the same server: the listener must see another one, for the answers have to be told apart. */
	resolver.port = 443;
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client6, resolver);
	scene_udp(s, true, client6, resolver, "one");
	scene_expect(s, WDD_TO_STACK, seen, at_udp);
	resolver.port = 444;
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client6, resolver);
	scene_udp(s, true, client6, resolver, "two");
	scene_next(s, WDD_TO_STACK, &out);
	assert_true(wdd_end_eq(&out.r.dst, &at_udp));
	assert_memory_equal(&out.r.src.ip, &resolver.ip, 16);
	assert_in_range(out.r.src.port, 20000, 29999);
	scene_udp(s, true, at_udp, out.r.src, "two's answer");
	scene_done(&out);
	scene_expect(s, WDD_TO_STACK, resolver, client6);
	/* Denied: an ICMPv6 error. */
	s->answer = MF_FLOW_DENY;
	resolver.port = 445;
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client6, resolver);
	scene_udp(s, true, client6, resolver, "three");
	scene_next(s, WDD_TO_STACK, &out);
	assert_int_equal(out.r.k.proto, 58);
	assert_memory_equal(&out.r.dst.ip, &client6.ip, 16);
	scene_done(&out);
}

/* Whoever is on the network may know a listener's port, and be the very server of a flow (W9). */
static void test_the_network_does_not_reach_a_listener(void **state)
{
	struct scene *s = *state;
	struct wdd_end at_proxy = client6, forger = server6, elsewhere = client6;

	at_proxy.port = SCENE_TCP;
	forger.port = client6.port; /* as the reflected packets have it */
	elsewhere.port = SCENE_TCP + 1000;
	scene_open(s);
	scene_event(s, WDD_CONNECT, SCENE_PID, 6, client6, server6);
	scene_syn(s, client6, server6);
	scene_expect(s, WDD_TO_STACK, forger, at_proxy);
	scene_tcp(s, false, forger, at_proxy, WDD_ACK, s->isn + 1, 1, "forged");
	scene_tcp(s, false, wdd_end_of("2001:db8::66", 7), at_proxy, WDD_SYN, 1, 0, NULL);
	scene_expect_nothing(s);
	assert_int_equal(scene_stats(s).dropped[MF_DROP_NO_ENTRY], 2);
	/* Other servers of the machine are none of our business. */
	scene_tcp(s, false, forger, elsewhere, WDD_SYN, 1, 0, NULL);
	scene_expect(s, WDD_TO_STACK, forger, elsewhere);
}

static void test_other_methods(void **state)
{
	struct scene *s = *state;
	struct wdd_end at_proxy = client, lo6 = wdd_end_of("::1", 40000);

	at_proxy.port = SCENE_TCP;
	s->po.method4 = MF_METHOD_REFLECT;
	s->po.method6 = MF_METHOD_LOOPBACK;
	scene_open(s);
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_STACK, wdd_end_of("192.0.2.1", 40000), at_proxy);
	scene_tcp(s, true, at_proxy, wdd_end_of("192.0.2.1", 40000), WDD_SYN | WDD_ACK, 1,
		  s->isn + 1, NULL);
	scene_expect(s, WDD_TO_STACK, server, client);
	scene_event(s, WDD_CONNECT, SCENE_PID, 6, client6, server6);
	scene_syn(s, client6, server6);
	scene_expect(s, WDD_TO_STACK, lo6, wdd_end_of("::1", SCENE_TCP));
	scene_tcp(s, true, wdd_end_of("::1", SCENE_TCP), lo6, WDD_SYN | WDD_ACK, 1, s->isn + 1,
		  NULL);
	scene_expect(s, WDD_TO_STACK, server6, client6);
}

static void play_fragments(struct scene *s, struct wdd_end from, struct wdd_end to, bool backwards)
{
	uint8_t data[2500] = { 0 }, pkt[2600], frag[1300];
	uint32_t len = wdd_craft_udp(pkt, from, to, data, sizeof(data));

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t off = (backwards ? 2 - i : i) * 1024;

		scene_play(s, true, frag, wdd_craft_fragment(frag, pkt, len, off, 1024, 77));
	}
}

static void test_fragments_follow_the_first(void **state)
{
	struct scene *s = *state;
	struct wdd_end peer = wdd_end_of("198.51.100.7", 3478);
	struct scene_out out;

	scene_open(s);
	for (int backwards = 0; backwards < 2; backwards++) {
		uint8_t whole[2600] = { 0 };
		uint32_t len = 0;

		scene_event(s, WDD_CONNECT, SCENE_PID, 17, client, peer);
		play_fragments(s, client, peer, backwards);
		for (int i = 0; i < 3; i++) {
			uint32_t off, n;

			scene_next(s, WDD_TO_STACK, &out);
			assert_memory_equal(&out.r.src.ip, &lo_client.ip, 16);
			assert_memory_equal(&out.r.dst.ip, &lo_client.ip, 16);
			off = (wdd_be16(out.raw->bytes + 6) & 0x1fffu) * 8;
			n = out.raw->len - 20;
			assert_true(off + n <= sizeof(whole) - 20);
			memcpy(whole + 20 + off, out.raw->bytes + 20, n);
			if (off == 0)
				memcpy(whole, out.raw->bytes, 20);
			len += n;
			scene_done(&out);
		}
		/* Put together again it is a right datagram: the checksum spans all pieces. */
		assert_int_equal(len, 2508);
		whole[2] = (uint8_t)((len + 20) >> 8);
		whole[3] = (uint8_t)(len + 20);
		whole[6] = whole[7] = 0;
		assert_true(wdd_read_packet(&out.r, whole, len + 20));
		assert_int_equal(out.r.bad_sums & WDD_UDP_OK, 0);
		assert_int_equal(out.r.dst.port, SCENE_UDP);
		client.port++;
		lo_client.port++;
	}
	/* A stranger's go by. */
	scene_event(s, WDD_CONNECT, SCENE_STRANGER, 17, client, peer);
	play_fragments(s, client, peer, false);
	for (int i = 0; i < 3; i++) {
		scene_next(s, WDD_TO_NETWORK, &out);
		scene_done(&out);
	}
}

static bool is_failing(struct scene *s)
{
	return scene_stats(s).failing;
}

static bool is_well(struct scene *s)
{
	return !scene_stats(s).failing;
}

/* Receives fail until the fail mode is on; then they work again. */
static void fail_mode(struct scene *s, bool open)
{
	s->po.fail_open = open;
	s->po.fail_threshold = 5;
	s->po.fail_recovery = 40;
	scene_open(s);
	redirect(s);
	wdd_host_fail(s->host, WDD_CALL_RECV, 1450, 0, UINT32_MAX);
	scene_until(s, is_failing);
	wdd_host_fail(s->host, WDD_CALL_RECV, 0, 0, 0);
	assert_int_equal(s->events[MF_PIPELINE_FAIL_ENTERED], 1);
	assert_int_equal(s->event_closed, !open);
}

/* Packets of strangers until it is over, some at a time: they pass in any mode. */
static void recover(struct scene *s)
{
	struct wdd_end stranger = wdd_end_of("10.0.0.5", 50000);

	struct scene_out out;

	for (uint32_t i = 0; !is_well(s); i++) {
		bool his = false;

		assert_true(i < 1000);
		scene_tcp(s, true, stranger, server, WDD_ACK, i, 2, NULL);
		while (!his) {
			scene_any(s, &out); /* or one of the session's that was tried */
			his = out.r.src.port == stranger.port && out.raw->fate == WDD_TO_NETWORK;
			scene_done(&out);
		}
	}
	assert_int_equal(s->events[MF_PIPELINE_FAIL_LEFT], 1);
}

static void play_flow(struct scene *s, unsigned cnt)
{
	uint8_t pkt[100];
	uint32_t len;

	/* All at once, so that they are one turn's: each turn tries just one. */
	for (unsigned i = 0; i < cnt; i++) {
		len = wdd_craft_tcp(pkt, client, server, WDD_ACK, s->isn + 1 + i, 1, NULL, 0);
		scene_play(s, true, pkt, len);
	}
}

static bool some_blocked(struct scene *s)
{
	return scene_stats(s).dropped[MF_DROP_FAIL_CLOSED] > 0;
}

static void test_fail_closed(void **state)
{
	struct scene *s = *state;
	struct wdd_output *out;

	fail_mode(s, false);
	/* The session's packets end here, even of flows that were let through; strangers go on. */
	play_flow(s, 30);
	scene_until(s, some_blocked);
	recover(s);
	while ((out = wdd_host_try(s->host)))
		free(out);
	assert_int_equal(wdd_host_counts(s->host).fates[WDD_VANISHED], 0);
	client.port++;
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	lo_client.port = client.port;
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
}

static bool undecided_passed(struct scene *s)
{
	struct mf_pipeline_stats st = scene_stats(s);

	return st.passed > st.foreign;
}

static void test_fail_open(void **state)
{
	struct scene *s = *state;

	fail_mode(s, true);
	/* What has an entry stays redirected; flows that begin go out undecided, but for one probe a turn. */
	play_flow(s, 1);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	for (unsigned i = 0; i < 30; i++) {
		client.port++;
		connect_event(s, SCENE_PID);
	}
	assert_true(wdd_host_drained(s->host, WDD_SOCKET));
	for (unsigned i = 0; i < 30; i++, client.port--)
		scene_syn(s, client, server);
	scene_until(s, undecided_passed);
	assert_int_equal(scene_stats(s).dropped[MF_DROP_FAIL_CLOSED], 0);
}

static void test_exit_of_a_process_removes_its_flows(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	redirect(s);
	assert_int_equal(mf_pipeline_on_exited(s->pipeline, SCENE_PID, s->now_ns), 1);
	/* What it had written still goes where it went. */
	scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1, 1, "late");
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	/* An event from before the end, read late: its flow is not let out either. */
	client.port++;
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_expect_nothing(s);
	/* Two seconds later the number is another process', which is a stranger and goes on. */
	s->now_ns += 2 * MF_NS_PER_S;
	s->ahead_ns = 2 * MF_NS_PER_S;
	client.port++;
	connect_event(s, SCENE_PID);
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_NETWORK, client, server);
	/* Later nothing of it is rewritten any more, and nothing gets out. */
	client.port -= 2;
	s->now_ns += 120 * MF_NS_PER_S;
	s->ahead_ns += 120 * MF_NS_PER_S;
	scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1, 1, "later");
	scene_expect_nothing(s);
	/* Found in the system's tables instead. */
	client.port = 40100;
	s->owner = (struct mf_owner_row){ .flow = { .src = { 10, 0, 0, 5 },
						    .dst = { 192, 0, 2, 1 },
						    .src_port = 40100,
						    .dst_port = 443,
						    .proto = MF_PROTO_TCP,
						    .family = 4 },
					  .pid = SCENE_PID };
	scene_syn(s, client, server);
	scene_until(s, holds_one);
	s->now_ns += 21 * MF_NS_PER_MS;
	scene_expect(s, WDD_TO_NETWORK, client, server);
}

static void test_children_are_of_the_session(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	assert_true(mf_pipeline_on_created(s->pipeline, 4001, SCENE_PID));
	assert_false(mf_pipeline_on_created(s->pipeline, 5001, SCENE_STRANGER));
	connect_event(s, 4001);
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	assert_int_equal(s->decided_pid, 4001);
}

static bool has_reused(struct scene *s)
{
	struct mf_windivert_stats st;

	mf_windivert_get_stats(s->wd, &st);
	return st.pids_reused == 1;
}

static void test_reused_pid_is_not_believed(void **state)
{
	struct scene *s = *state;

	/* The process with the number began after the event: somebody else's event. */
	s->began_ns = s->now_ns + 600 * MF_NS_PER_S;
	s->po.unknown_pid = MF_UNKNOWN_DROP;
	scene_open(s);
	connect_event(s, SCENE_PID);
	scene_until(s, has_reused);
	scene_syn(s, client, server);
	scene_until(s, holds_one);
	s->now_ns += 21 * MF_NS_PER_MS;
	scene_expect_nothing(s);
	assert_int_equal(s->decided, 0);
	assert_int_equal(scene_stats(s).hold_expired, 1);
}

static void test_offloaded_checksums(void **state)
{
	struct scene *s = *state;
	uint8_t pkt[100];
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, s->isn, 0, NULL, 0);

	scene_open(s);
	connect_event(s, SCENE_PID);
	pkt[10] = pkt[11] = pkt[36] = pkt[37] = 0x77;
	wdd_host_play(s->host,
		      &(struct wdd_play){ .outbound = true, .if_idx = SCENE_IF, .offload = true },
		      pkt, len);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy); /* looks at the checksums as well */
}

static void test_refused_sends(void **state)
{
	struct scene *s = *state;
	struct mf_windivert_stats st;

	scene_open(s);
	redirect(s);
	/* One packet fails: the others of its batch go out all the same. */
	wdd_host_fail(s->host, WDD_CALL_SEND, 87, 0, 1);
	for (uint32_t i = 0; i < 40; i++)
		scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1 + i, 1, NULL);
	scene_until(s, is_well);
	for (uint32_t i = 0; i < 39; i++)
		scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	mf_windivert_get_stats(s->wd, &st);
	assert_true(st.send_errors + st.send_retries >= 1);
	/* Too many: the fail mode. */
	wdd_host_fail(s->host, WDD_CALL_SEND, 87, 0, 1000);
	for (uint32_t i = 0; i < 40; i++)
		scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1 + i, 1, NULL);
	scene_until(s, is_failing);
	mf_windivert_get_stats(s->wd, &st);
	assert_int_equal(st.last_send_error, 87);
	assert_int_equal(s->events[MF_PIPELINE_FAIL_ENTERED], 1);
}

static bool has_ended(struct scene *s)
{
	return mf_pipeline_run(s->pipeline, s->now_ns) == MF_E_CLOSED;
}

static void test_the_end(void **state)
{
	struct scene *s = *state;

	scene_open(s);
	redirect(s);
	/* Queued before the stop: still judged. Sent after it: not diverted. */
	scene_tcp(s, true, client, server, WDD_ACK, s->isn + 1, 1, "before");
	mf_windivert_stop(s->wd);
	scene_udp(s, true, client, server, "after");
	scene_until(s, has_ended);
	mf_pipeline_drain(s->pipeline, s->now_ns);
	scene_expect(s, WDD_TO_NETWORK, client, server);
	scene_expect(s, WDD_TO_STACK, lo_client, lo_proxy);
	assert_int_equal(wdd_host_counts(s->host).reinjected, 0);
	scene_close(s);
	assert_true(wdd_host_opened(s->host, 0));
	assert_int_equal(wdd_host_counts(s->host).opened, 3);
	/* And nothing is captured any more. */
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_NETWORK, client, server);
}

static void test_the_end_at_once(void **state)
{
	struct scene *s = *state;

	/* Freed with packets that nobody fetched: they go on their way, from our queue and from the kernel's. */
	scene_open(s);
	for (uint32_t i = 0; i < 3000; i++)
		scene_tcp(s, true, client, server, WDD_ACK, i, 1, NULL);
	mf_pipeline_free(s->pipeline);
	s->pipeline = NULL;
	scene_close(s);
	for (uint32_t i = 0; i < 3000; i++)
		scene_expect(s, WDD_TO_NETWORK, client, server);
	assert_int_equal(wdd_host_counts(s->host).fates[WDD_VANISHED], 0);
}

static void test_many_at_once(void **state)
{
	struct scene *s = *state;
	struct mf_windivert_stats st;
	struct scene_out out;
	struct wdd_counts c;

	scene_open(s);
	redirect(s);
	for (uint32_t i = 0; i < 5000; i++)
		scene_tcp(s, true, client, server, WDD_ACK, i, 1, "data");
	for (uint32_t i = 0; i < 5000; i++) {
		scene_next(s, WDD_TO_STACK, &out);
		assert_int_equal(out.r.seq, i); /* in order */
		scene_done(&out);
	}
	mf_windivert_get_stats(s->wd, &st);
	assert_int_equal(st.packets, 5001);
	assert_in_range(st.batches, 1, 5001); /* how many is a matter of who is faster */
	c = wdd_host_counts(s->host);
	assert_int_equal(c.fates[WDD_VANISHED], 0);
}

static void test_more_than_anybody_takes(void **state)
{
	enum { CNT = 20000, QUEUE = 16384 };
	struct scene *s = *state;
	struct mf_windivert_stats st;
	struct wdd_output *out;
	struct scene_out o;
	uint32_t lost = 0, last = 0;

	/* The pipeline stands still: our batches fill, the driver's queue does, and then the oldest are lost. */
	scene_open(s);
	redirect(s);
	for (uint32_t i = 1; i <= CNT; i++)
		scene_tcp(s, true, client, server, WDD_ACK, i, 1, NULL);
	mf_windivert_get_stats(s->wd, &st);
	assert_true(st.packets <= 8 * 64 + 1 + 64); /* bounded */
	while ((out = wdd_host_try(s->host))) {
		assert_int_equal(out->loss, WDD_LOSS_QUEUE);
		lost++;
		free(out);
	}
	assert_in_range(lost, CNT - QUEUE - 8 * 64 - 64, CNT - QUEUE);
	/* What is left comes through, in order, and the machine goes on. */
	for (uint32_t i = 0; i < CNT - lost; i++) {
		scene_next(s, WDD_TO_STACK, &o);
		assert_true(o.r.seq > last);
		last = o.r.seq;
		scene_done(&o);
	}
	assert_int_equal(last, CNT);
	expect_reply(s);
}

static bool took_most(struct scene *s)
{
	struct mf_windivert_stats st;

	mf_windivert_get_stats(s->wd, &st);
	return st.events + st.pids_reused >= 10000;
}

static void test_more_events_than_anybody_takes(void **state)
{
	struct scene *s = *state;
	struct mf_windivert_stats st;

	scene_open(s);
	for (unsigned i = 0; i < 10000; i++) {
		struct wdd_end one = wdd_end_of("10.0.0.5", (uint16_t)(20000 + i));

		scene_event(s, WDD_CONNECT, SCENE_STRANGER, 6, one, server);
	}
	while (!took_most(s))
		SwitchToThread(); /* the pipeline stands still */
	mf_windivert_get_stats(s->wd, &st);
	assert_int_equal(st.events_lost, 10000 - 8192);
	/* The oldest are lost, and their flows' owners are found in the system's tables; the last ones' by their events. */
	client.port = 29999;
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_NETWORK, client, server);
	assert_int_equal(scene_stats(s).hold_expired, 0); /* it may have waited for its turn */
	assert_int_equal(scene_stats(s).held_now, 0);
	client.port = 20000;
	scene_syn(s, client, server);
	scene_until(s, holds_one);
}

static void test_longest_packets(void **state)
{
	struct scene *s = *state;
	uint8_t *pkt = calloc(1, 65600);
	struct scene_out out;
	uint32_t len;

	/* Coalesced ones are as long as that; more of them at once than a batch has room for. */
	scene_open(s);
	scene_event(s, WDD_CONNECT, SCENE_PID, 17, client6, server6);
	scene_expect_nothing(
		s); /* the event is read: none of the packets has to be held, which few may be */
	server6.port = 443;
	len = wdd_craft_udp(pkt, client6, server6, pkt + 100, 65527);
	assert_int_equal(len, 65575);
	for (int i = 0; i < 40; i++)
		scene_play(s, true, pkt, len);
	for (int i = 0; i < 40; i++) {
		scene_next(s, WDD_TO_STACK, &out);
		assert_int_equal(out.raw->len, len);
		assert_int_equal(out.r.dst.port, SCENE_UDP);
		scene_done(&out);
	}
	free(pkt);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, begin, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_syn_is_redirected_and_its_answer_comes_back),
		SCENE(test_syn_before_its_event_is_held),
		SCENE(test_hold_ends_with_the_systems_tables),
		SCENE(test_strangers_pass_untouched),
		SCENE(test_own_connections_pass),
		SCENE(test_older_connections_pass),
		SCENE(test_dns_goes_to_its_listener),
		SCENE(test_udp_goes_to_its_listener),
		SCENE(test_denied_connection_is_reset),
		SCENE(test_ipv6_is_reflected),
		SCENE(test_ipv6_datagrams_are_reflected),
		SCENE(test_the_network_does_not_reach_a_listener),
		SCENE(test_other_methods),
		SCENE(test_fragments_follow_the_first),
		SCENE(test_fail_closed),
		SCENE(test_fail_open),
		SCENE(test_exit_of_a_process_removes_its_flows),
		SCENE(test_children_are_of_the_session),
		SCENE(test_reused_pid_is_not_believed),
		SCENE(test_offloaded_checksums),
		SCENE(test_refused_sends),
		SCENE(test_the_end),
		SCENE(test_the_end_at_once),
		SCENE(test_many_at_once),
		SCENE(test_more_than_anybody_takes),
		SCENE(test_more_events_than_anybody_takes),
		SCENE(test_longest_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
