/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_divert_rules.c - what the double enforces, rule by rule: a product that breaks one must see its packet refused or
 * lost. Runs over the model and, under wine, over the DLL and its pipe (port.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port.h"

#define SNIFF	  1u
#define DROP	  2u
#define RECV_ONLY 4u
#define SEND_ONLY 8u
#define FRAGMENTS 0x20u
#define IF_LAN	  7u

static struct wdd_end client, server, proxy, lo_client;
static uint8_t pkt[65600], addr[WDD_ADDRESS_SIZE];
static uint8_t got[4 * 65600], got_addrs[WDD_BATCH_MAX * WDD_ADDRESS_SIZE];
static uint32_t got_len, got_cnt;

static int begin(void **state)
{
	struct wdd_ip ip;

	(void)state;
	client = wdd_end_of("10.0.0.5", 40000);
	server = wdd_end_of("192.0.2.1", 443);
	proxy = wdd_end_of("127.0.0.1", 9080);
	lo_client = wdd_end_of("127.0.0.1", 40000);
	memset(addr, 0, sizeof(addr));
	port_begin();
	ip = wdd_ip_of("10.0.0.5");
	port_add_local(&ip);
	ip = wdd_ip_of("2001:db8::5");
	port_add_local(&ip);
	return 0;
}

static int end(void **state)
{
	(void)state;
	port_end();
	return 0;
}

static uintptr_t must_open(const char *filter, int layer, int priority, uint64_t flags)
{
	uintptr_t h;

	assert_int_equal(port_open(filter, layer, priority, flags, &h), 0);
	return h;
}

static uint32_t recv_some(uintptr_t h, uint32_t max)
{
	got_cnt = max;
	return port_recv(h, got, sizeof(got), &got_len, got_addrs, &got_cnt);
}

static void play(bool outbound, uint32_t len)
{
	assert_true(port_play(
		&(struct wdd_play){ .outbound = outbound, .if_idx = IF_LAN, .sub_if_idx = 1 }, pkt,
		len));
}

/* Sends @pkt with @bits; the interface is the network's unless @if_idx says else. */
static uint32_t send_if(uintptr_t h, uint32_t len, uint32_t bits, uint32_t if_idx)
{
	wdd_store32(addr + 8, bits);
	wdd_store32(addr + 16, if_idx);
	return port_send(h, pkt, len, addr, 1);
}

static uint32_t send_bits(uintptr_t h, uint32_t len, uint32_t bits)
{
	return send_if(h, len, bits, IF_LAN);
}

static void expect(enum wdd_fate fate, enum wdd_loss loss)
{
	struct wdd_output *out = port_take();

	assert_non_null(out);
	assert_int_equal(out->fate, fate);
	assert_int_equal(out->loss, loss);
	free(out);
}

static void expect_nothing(void)
{
	assert_null(port_take());
}

static void test_open_refusals(void **state)
{
	static const struct {
		const char *filter;
		int layer, priority;
		uint64_t flags;
	} wrong[] = {
		{ "true", WDD_NETWORK, 0, 0x40 },
		{ "true", WDD_NETWORK, 0, UINT64_C(1) << 40 },
		{ "true", WDD_NETWORK, 0, SNIFF | DROP },
		{ "true", WDD_NETWORK, 0, RECV_ONLY | SEND_ONLY },
		{ "true", WDD_NETWORK, 30001, 0 },
		{ "true", WDD_NETWORK, -30001, 0 },
		{ "true", WDD_SOCKET, 0, 0 },
		{ "true", WDD_SOCKET, 0, SNIFF },
		{ "true", WDD_FLOW, 0, RECV_ONLY },
		{ "true", WDD_REFLECT, 0, SNIFF },
		{ "true", 5, 0, 0 },
		{ "true", -1, 0, 0 },
		{ "processId == 7", WDD_NETWORK, 0, 0 },
		{ "tcp.DstPort == 80", WDD_SOCKET, 0, SNIFF | RECV_ONLY },
		{ "no such thing", WDD_NETWORK, 0, 0 },
	};
	uintptr_t h;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (port_open(wrong[i].filter, wrong[i].layer, wrong[i].priority, wrong[i].flags,
			      &h) != 87)
			fail_msg("row %u was taken", (unsigned)i);
	must_open("true", WDD_NETWORK, 30000, 0);
	must_open("true", WDD_NETWORK, -30000, SEND_ONLY);
	must_open("processId == 7", WDD_SOCKET, 0, SNIFF | RECV_ONLY);
	must_open("true", WDD_FLOW, 0, SNIFF | RECV_ONLY);
	for (uint32_t code = 2; code < 1800; code++) {
		static const uint32_t codes[] = { 2, 5, 577, 654, 1060, 1275, 1753 };

		for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
			if (codes[i] == code) {
				port_fail(WDD_CALL_OPEN, code, 1);
				assert_int_equal(port_open("true", WDD_NETWORK, 0, 0, &h), code);
			}
	}
	must_open("true", WDD_NETWORK, 0, 0);
}

static void test_params(void **state)
{
	static const struct {
		int param;
		uint64_t first, low, high;
	} rows[] = { { 0, 4096, 32, 16384 },
		     { 1, 2000, 100, 16000 },
		     { 2, 4194304, 65535, 33554432 } };
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(port_get(h, rows[i].param, &v), 0);
		assert_int_equal(v, rows[i].first);
		assert_int_equal(port_set(h, rows[i].param, rows[i].low - 1), 87);
		assert_int_equal(port_set(h, rows[i].param, rows[i].high + 1), 87);
		assert_int_equal(port_set(h, rows[i].param, rows[i].low), 0);
		assert_int_equal(port_set(h, rows[i].param, rows[i].high), 0);
		assert_int_equal(port_get(h, rows[i].param, &v), 0);
		assert_int_equal(v, rows[i].high);
	}
	assert_int_equal(port_get(h, 3, &v), 0);
	assert_int_equal(v, 2);
	assert_int_equal(port_set(h, 3, 2), 87);
	assert_int_equal(port_get(h, 5, &v), 87);
}

static void test_divert_and_back(void **state)
{
	uintptr_t h = must_open("outbound and tcp", WDD_NETWORK, 0, 0);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	play(true, len);
	expect_nothing();
	assert_int_equal(recv_some(h, 1), 0);
	assert_int_equal(got_len, len);
	assert_memory_equal(got, pkt, len);
	assert_int_equal(wdd_load32(got_addrs + 8),
			 WDD_OUTBOUND | WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK);
	assert_int_equal(wdd_load32(got_addrs + 16), IF_LAN);
	assert_int_equal(wdd_load32(got_addrs + 20), 1);
	/* Sent back as it came it is not seen again. */
	assert_int_equal(port_send(h, got, got_len, got_addrs, 1), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	/* What does not match goes by. */
	play(true, wdd_craft_udp(pkt, client, server, "x", 1));
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	play(false, wdd_craft_tcp(pkt, server, client, WDD_ACK, 1, 0, NULL, 0));
	expect(WDD_TO_STACK, WDD_LOSS_NONE);
}

static void test_loopback_rules(void **state)
{
	uintptr_t h = must_open("false", WDD_NETWORK, 0, SEND_ONLY);
	uint32_t len;

	(void)state;
	/* Outbound with just one loopback address: refused. */
	len = wdd_craft_tcp(pkt, client, proxy, WDD_SYN, 1, 0, NULL, 0);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 1214);
	len = wdd_craft_tcp(pkt, proxy, client, WDD_SYN | WDD_ACK, 1, 2, NULL, 0);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 1214);
	expect_nothing();
	/* Both loopback: arrives. */
	len = wdd_craft_tcp(pkt, lo_client, proxy, WDD_SYN, 1, 0, NULL, 0);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 0);
	expect(WDD_TO_STACK, WDD_LOSS_NONE);
	/* Inbound with a loopback address: taken and lost. */
	assert_int_equal(send_bits(h, len, 0), 0);
	expect(WDD_VANISHED, WDD_LOSS_MARTIAN);
	len = wdd_craft_tcp(pkt, client, proxy, WDD_SYN, 1, 0, NULL, 0);
	assert_int_equal(send_bits(h, len, 0), 0);
	expect(WDD_VANISHED, WDD_LOSS_MARTIAN);
	/* Inbound without an interface: refused; to an address that is not ours: lost. */
	len = wdd_craft_tcp(pkt, server, client, WDD_ACK, 1, 0, NULL, 0);
	assert_int_equal(send_if(h, len, 0, 0), 87);
	expect_nothing();
	assert_int_equal(send_bits(h, len, 0), 0);
	expect(WDD_TO_STACK, WDD_LOSS_NONE);
	len = wdd_craft_tcp(pkt, client, server, WDD_ACK, 1, 0, NULL, 0);
	assert_int_equal(send_bits(h, len, 0), 0);
	expect(WDD_VANISHED, WDD_LOSS_NOT_OURS);
	/* The same for IPv6. */
	len = wdd_craft_tcp(pkt, wdd_end_of("2001:db8::5", 1), wdd_end_of("::1", 2), WDD_SYN, 1, 0,
			    NULL, 0);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND | WDD_IS_IPV6), 1214);
	len = wdd_craft_tcp(pkt, wdd_end_of("2001:db8::1", 1), wdd_end_of("2001:db8::5", 2),
			    WDD_SYN, 1, 0, NULL, 0);
	assert_int_equal(send_bits(h, len, WDD_IS_IPV6), 0);
	expect(WDD_TO_STACK, WDD_LOSS_NONE);
	assert_int_equal(port_counts().losses[WDD_LOSS_MARTIAN], 2);
	assert_int_equal(port_counts().refused[1214], 3);
}

static void test_checksums(void **state)
{
	uintptr_t h = must_open("false", WDD_NETWORK, 0, SEND_ONLY);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, "abc", 3);
	struct wdd_output *out;
	struct wdd_read r;

	(void)state;
	/* Said to be valid and wrong: lost. */
	pkt[36] ^= 0x55;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND | WDD_IP_OK | WDD_TCP_OK), 0);
	expect(WDD_VANISHED, WDD_LOSS_CHECKSUM);
	pkt[10] ^= 0x55;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND | WDD_IP_OK), 0);
	expect(WDD_VANISHED, WDD_LOSS_CHECKSUM);
	/* The bits clear: the driver computes. */
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 0);
	out = port_take();
	assert_non_null(out);
	assert_int_equal(out->fate, WDD_TO_NETWORK);
	assert_true(wdd_read_packet(&r, out->bytes, out->len));
	assert_int_equal(r.bad_sums, 0);
	free(out);
	/* UDP, and ICMP, which is never computed. */
	len = wdd_craft_udp(pkt, client, server, "abc", 3);
	pkt[26] ^= 1;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND | WDD_UDP_OK), 0);
	expect(WDD_VANISHED, WDD_LOSS_CHECKSUM);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	pkt[9] = 1;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 0);
	expect(WDD_VANISHED, WDD_LOSS_CHECKSUM);
}

static void test_lengths(void **state)
{
	uintptr_t h = must_open("false", WDD_NETWORK, 0, SEND_ONLY);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, "abcdefgh", 8);
	uint8_t addrs[2 * WDD_ADDRESS_SIZE] = { 0 };

	(void)state;
	assert_int_equal(send_bits(h, len - 1, WDD_OUTBOUND), 122);
	assert_int_equal(send_bits(h, 12, WDD_OUTBOUND), 87);
	pkt[len] = 0;
	assert_int_equal(send_bits(h, len + 1, WDD_OUTBOUND), 87);
	pkt[0] = 0x55;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 87);
	pkt[0] = 0x44;
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 87);
	pkt[0] = 0x45;
	/* Two addresses and one packet. */
	wdd_store32(addrs + 8, WDD_OUTBOUND);
	wdd_store32(addrs + WDD_ADDRESS_SIZE + 8, WDD_OUTBOUND);
	assert_int_equal(port_send(h, pkt, len, addrs, 2), 87);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE); /* the first went out before */
	expect_nothing();
}

static void test_who_may_send(void **state)
{
	uintptr_t recv_only = must_open("false", WDD_NETWORK, 0, RECV_ONLY);
	uintptr_t sock = must_open("false", WDD_SOCKET, 0, SNIFF | RECV_ONLY);
	uintptr_t send_only = must_open("false", WDD_NETWORK, 0, SEND_ONLY);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	assert_int_equal(send_bits(recv_only, len, WDD_OUTBOUND), 87);
	assert_int_equal(send_bits(sock, len, WDD_OUTBOUND), 87);
	assert_int_equal(send_bits(send_only, len, WDD_OUTBOUND | WDD_SOCKET), 87);
	assert_int_equal(send_bits(send_only, len, WDD_OUTBOUND | WDD_CONNECT << 8), 87);
	assert_int_equal(recv_some(send_only, 1), 87);
	assert_int_equal(send_bits(send_only, len, WDD_OUTBOUND), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	/* An impostor's hop limit goes down; at 0 it ends. */
	pkt[8] = 2;
	assert_int_equal(send_bits(send_only, len, WDD_OUTBOUND | WDD_IMPOSTOR), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	pkt[8] = 1;
	assert_int_equal(send_bits(send_only, len, WDD_OUTBOUND | WDD_IMPOSTOR), 1232);
}

static void test_shutdown(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	play(true, len);
	assert_int_equal(port_shutdown(h, 1), 0);
	/* New ones pass, the queued one can still be had, then it is over. */
	play(true, len);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	assert_int_equal(recv_some(h, 10), 0);
	assert_int_equal(got_cnt, 1);
	assert_int_equal(recv_some(h, 10), 232);
	assert_int_equal(port_send(h, got, len, got_addrs, 1), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	assert_int_equal(port_shutdown(h, 2), 0);
	assert_int_equal(send_bits(h, len, WDD_OUTBOUND), 232);
	assert_int_equal(port_shutdown(h, 4), 87);
	assert_int_equal(port_close(h), 0);
	assert_int_equal(port_close(h), 6);
}

static void test_close_reinjects(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0), low;
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);
	struct wdd_output *out;

	(void)state;
	assert_int_equal(port_set(h, 1, 1000), 0);
	play(true, len);
	port_advance(1001); /* too old when the handle is closed */
	low = must_open("true", WDD_NETWORK, -1, SNIFF);
	/* Without another packet nothing looks at the queue's ages until the end. */
	assert_int_equal(port_close(h), 0);
	expect(WDD_VANISHED, WDD_LOSS_AGE);
	h = must_open("true", WDD_NETWORK, 0, 0);
	play(true, len);
	play(true, len);
	expect_nothing();
	assert_int_equal(port_close(h), 0);
	for (int i = 0; i < 2; i++) {
		out = port_take();
		assert_non_null(out);
		assert_int_equal(out->fate, WDD_TO_NETWORK);
		assert_int_equal(out->origin, WDD_REINJECTED);
		free(out);
	}
	/* Handles of lower priority saw them go by. */
	assert_int_equal(recv_some(low, 10), 0);
	assert_int_equal(got_cnt, 2);
	assert_true(wdd_load32(got_addrs + 8) & WDD_SNIFFED);
	/* From then on nothing is held up: open by nature. */
	play(true, len);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
}

static void test_queue_limits(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint32_t len = 0;

	(void)state;
	assert_int_equal(port_set(h, 0, 32), 0);
	for (uint32_t i = 0; i < 40; i++) {
		len = wdd_craft_tcp(pkt, client, server, WDD_ACK, i, 0, NULL, 0);
		play(true, len);
	}
	for (int i = 0; i < 8; i++)
		expect(WDD_VANISHED, WDD_LOSS_QUEUE);
	expect_nothing();
	assert_int_equal(recv_some(h, 255), 0);
	assert_int_equal(got_cnt, 32);
	assert_int_equal(got_len, 32 * len); /* back to back */
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(wdd_be32(got + i * len + 24), i + 8); /* the oldest were dropped */
	/* By size. */
	assert_int_equal(port_set(h, 2, 65535), 0);
	for (int i = 0; i < 3; i++)
		play(true, wdd_craft_udp(pkt, client, server, got, 30000));
	expect(WDD_VANISHED, WDD_LOSS_QUEUE);
	expect_nothing();
	/* By time, also when nothing new comes. */
	assert_int_equal(port_set(h, 1, 100), 0);
	port_advance(101);
	play(true, len = wdd_craft_tcp(pkt, client, server, WDD_ACK, 1, 0, NULL, 0));
	expect(WDD_VANISHED, WDD_LOSS_AGE);
	expect(WDD_VANISHED, WDD_LOSS_AGE);
	assert_int_equal(recv_some(h, 255), 0);
	assert_int_equal(got_cnt, 1);
}

static void test_batches(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint32_t first, second;

	(void)state;
	first = wdd_craft_udp(pkt, client, server, got, 100);
	play(true, first);
	second = wdd_craft_udp(pkt, client, server, got, 300);
	play(true, second);
	play(true, second);
	/* As many as fit; a first one that does not fit is cut and gone. */
	got_cnt = 10;
	assert_int_equal(port_recv(h, got, first + second + 10, &got_len, got_addrs, &got_cnt), 0);
	assert_int_equal(got_cnt, 2);
	assert_int_equal(got_len, first + second);
	got_cnt = 10;
	assert_int_equal(port_recv(h, got, 50, &got_len, got_addrs, &got_cnt), 122);
	assert_int_equal(got_cnt, 1);
	assert_int_equal(got_len, 50);
	got_cnt = 256;
	assert_int_equal(port_recv(h, got, 50, &got_len, got_addrs, &got_cnt), 87);
	/* And at most 255 in one send. */
	memset(got_addrs, 0, sizeof(got_addrs));
	for (unsigned i = 0; i < 255; i++) {
		wdd_craft_udp(got + i * first, client, server, pkt, 100);
		wdd_store32(got_addrs + i * WDD_ADDRESS_SIZE + 8, WDD_OUTBOUND);
	}
	assert_int_equal(port_send(h, got, 255 * first, got_addrs, 255), 0);
	for (unsigned i = 0; i < 255; i++)
		expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
}

static void test_priorities(void **state)
{
	uintptr_t high = must_open("tcp", WDD_NETWORK, 10, 0),
		  low = must_open("tcp", WDD_NETWORK, -10, 0);
	uintptr_t same = must_open("tcp", WDD_NETWORK, 10, SNIFF);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	play(true, len);
	assert_int_equal(recv_some(high, 1), 0);
	/* Injected above: seen below, not by those of the same priority. */
	assert_int_equal(port_send(high, got, got_len, got_addrs, 1), 0);
	expect_nothing();
	assert_int_equal(recv_some(low, 1), 0);
	assert_int_equal(port_send(low, got, got_len, got_addrs, 1), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
	assert_int_equal(port_shutdown(same, 1), 0);
	assert_int_equal(recv_some(same, 1), 232);
	/* A DROP handle below drops what was injected above it (why W4 wants no second handle as a guard). */
	must_open("tcp", WDD_NETWORK, -20, DROP);
	assert_int_equal(send_bits(low, len, WDD_OUTBOUND), 0);
	expect(WDD_VANISHED, WDD_LOSS_DROP);
}

static void test_loopback_is_seen_once(void **state)
{
	uintptr_t h = must_open("loopback", WDD_NETWORK, 0, 0);
	uint32_t len =
		wdd_craft_tcp(pkt, client, wdd_end_of("10.0.0.5", 80), WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	/* From the machine to its own address, not only to 127/8; on the way out only. */
	play(true, len);
	assert_int_equal(recv_some(h, 10), 0);
	assert_int_equal(got_cnt, 1);
	assert_int_equal(wdd_load32(got_addrs + 8) & (WDD_LOOPBACK | WDD_OUTBOUND),
			 WDD_LOOPBACK | WDD_OUTBOUND);
	assert_int_equal(port_send(h, got, got_len, got_addrs, 1), 0);
	expect(WDD_TO_STACK, WDD_LOSS_NONE);
	assert_int_equal(port_shutdown(h, 1), 0);
	assert_int_equal(recv_some(h, 10), 232);
}

static void test_fragments(void **state)
{
	uintptr_t whole = must_open("true", WDD_NETWORK, 1, 0);
	uintptr_t pieces = must_open("fragment", WDD_NETWORK, 0, FRAGMENTS);
	uint8_t big[2000] = { 0 }, datagram[2100];
	uint32_t len, n;

	(void)state;
	len = wdd_craft_udp(datagram, client, server, big, sizeof(big));
	n = wdd_craft_fragment(pkt, datagram, len, 0, 1024, 9);
	play(true, n); /* outbound: as fragments */
	assert_int_equal(recv_some(whole, 1), 0);
	assert_int_equal(got_len, n);
	n = wdd_craft_fragment(pkt, datagram, len, 1024, 1024, 9);
	play(false, n); /* inbound: only with the flag */
	assert_int_equal(recv_some(pieces, 1), 0);
	assert_int_equal(got_len, n);
	assert_int_equal(port_shutdown(whole, 1), 0);
	assert_int_equal(recv_some(whole, 1), 232);
}

static void test_offload(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	pkt[36] ^= 0xff;
	assert_true(
		port_play(&(struct wdd_play){ .outbound = true, .if_idx = IF_LAN, .offload = true },
			  pkt, len));
	assert_int_equal(recv_some(h, 1), 0);
	assert_int_equal(wdd_load32(got_addrs + 8) & (WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK), 0);
	assert_int_equal(port_send(h, got, got_len, got_addrs, 1), 0);
	expect(WDD_TO_NETWORK, WDD_LOSS_NONE);
}

static void test_socket_events(void **state)
{
	uintptr_t h = must_open("(tcp or udp) and event != BIND", WDD_SOCKET, 1, SNIFF | RECV_ONLY);
	struct wdd_socket_event ev = { .event = WDD_CONNECT,
				       .pid = 4321,
				       .local = client.ip,
				       .remote = server.ip,
				       .local_port = client.port,
				       .remote_port = server.port,
				       .proto = 6,
				       .outbound = true };
	uintptr_t blocker;
	uint16_t port;

	(void)state;
	assert_true(port_event(&ev));
	assert_int_equal(recv_some(h, 10), 0);
	assert_int_equal(got_cnt, 1);
	assert_int_equal(got_len, 0); /* no bytes */
	assert_int_equal(wdd_load32(got_addrs + 8) & 0xffff, WDD_SOCKET | WDD_CONNECT << 8);
	assert_int_equal(wdd_load32(got_addrs + 32), 4321);
	assert_int_equal(wdd_load32(got_addrs + 36),
			 0x0a000005); /* host order, the lowest word first */
	assert_int_equal(wdd_load32(got_addrs + 40), 0xffff);
	assert_int_equal(wdd_load32(got_addrs + 44), 0);
	memcpy(&port, got_addrs + 68, 2);
	assert_int_equal(port, 40000);
	memcpy(&port, got_addrs + 70, 2);
	assert_int_equal(port, 443);
	assert_int_equal(got_addrs[72], 6);
	/* IPv6: word 3 holds the first 32 bits. */
	ev.local = wdd_ip_of("2001:db8::5");
	ev.remote = wdd_ip_of("2001:db8::1");
	assert_true(port_event(&ev));
	assert_int_equal(recv_some(h, 10), 0);
	assert_int_equal(wdd_load32(got_addrs + 36), 5);
	assert_int_equal(wdd_load32(got_addrs + 48), 0x20010db8);
	assert_true(wdd_load32(got_addrs + 8) & WDD_IS_IPV6);
	/* The filter is evaluated; without SNIFF all that matches is blocked. */
	ev.event = WDD_BIND;
	assert_true(port_event(&ev));
	assert_int_equal(port_shutdown(h, 1), 0);
	assert_int_equal(recv_some(h, 10), 232);
	blocker = must_open("processId == 4321", WDD_SOCKET, 1, RECV_ONLY);
	assert_false(port_event(&ev));
	ev.pid = 1;
	assert_true(port_event(&ev));
	assert_int_equal(recv_some(blocker, 10), 0);
	assert_int_equal(got_cnt, 1);
}

static void test_failures_on_demand(void **state)
{
	uintptr_t h = must_open("true", WDD_NETWORK, 0, 0);
	uint32_t len = wdd_craft_tcp(pkt, client, server, WDD_SYN, 1, 0, NULL, 0);

	(void)state;
	play(true, len);
	port_fail(WDD_CALL_RECV, 1450, 2);
	assert_int_equal(recv_some(h, 1), 1450);
	assert_int_equal(recv_some(h, 1), 1450);
	assert_int_equal(recv_some(h, 1), 0);
	port_fail(WDD_CALL_SEND, 1450, 1);
	assert_int_equal(port_send(h, got, got_len, got_addrs, 1), 1450);
	assert_int_equal(port_send(h, got, got_len, got_addrs, 1), 0);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(test_open_refusals),
		RULE(test_params),
		RULE(test_divert_and_back),
		RULE(test_loopback_rules),
		RULE(test_checksums),
		RULE(test_lengths),
		RULE(test_who_may_send),
		RULE(test_shutdown),
		RULE(test_close_reinjects),
		RULE(test_queue_limits),
		RULE(test_batches),
		RULE(test_priorities),
		RULE(test_loopback_is_seen_once),
		RULE(test_fragments),
		RULE(test_offload),
		RULE(test_socket_events),
		RULE(test_failures_on_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
