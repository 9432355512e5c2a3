/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_divert_abi.c - what the product says to the driver and reads from it: filters (judged by the double's reading of
 * them), addresses, error codes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/windivert_abi.h"
#include "windivert_double/craft.h"

static const struct mf_wd_capture loopback = { .method4 = MF_METHOD_LOOPBACK,
					       .method6 = MF_METHOD_LOOPBACK,
					       .tcp_port = 9080,
					       .udp_port = 9081,
					       .dns_port = 9053 };

static bool captures(const struct mf_wd_capture *c, const uint8_t *pkt, uint32_t len, uint32_t bits)
{
	char text[MF_WD_FILTER_MAX];
	const char *why = NULL;
	unsigned pos = 0;
	struct wdd_filter *f = wdd_filter_compile(mf_wd_filter_packets(c, text, sizeof(text)),
						  WDD_NETWORK, &why, &pos);
	uint8_t addr[WDD_ADDRESS_SIZE] = { 0 };
	struct wdd_pkt k;
	bool ok;

	if (!f)
		fail_msg("%s at %u: %s", why, pos, text);
	assert_true(strlen(text) < sizeof(text) - 1);
	assert_true(wdd_filter_tests(f) < 64);
	assert_int_equal(wdd_pkt_parse(pkt, len, &k), 0);
	wdd_store32(addr + 8, bits);
	ok = wdd_filter_match(f, addr, &k);
	free(f);
	return ok;
}

static bool captures_tcp(const struct mf_wd_capture *c, const char *from, uint16_t from_port,
			 const char *to, uint16_t to_port, uint32_t bits)
{
	uint8_t pkt[100];

	return captures(c, pkt,
			wdd_craft_tcp(pkt, wdd_end_of(from, from_port), wdd_end_of(to, to_port),
				      WDD_ACK, 1, 1, NULL, 0),
			bits);
}

static bool captures_udp(const struct mf_wd_capture *c, const char *from, uint16_t from_port,
			 const char *to, uint16_t to_port, uint32_t bits)
{
	uint8_t pkt[100];

	return captures(
		c, pkt,
		wdd_craft_udp(pkt, wdd_end_of(from, from_port), wdd_end_of(to, to_port), "x", 1),
		bits);
}

#define OUT    WDD_OUTBOUND
#define OUT_LO (WDD_OUTBOUND | WDD_LOOPBACK)

static void test_what_is_captured(void **state)
{
	struct mf_wd_capture reflect = loopback, narrow = loopback;
	uint8_t pkt[1200], frag[1200] = { 0 };
	uint32_t len;

	(void)state;
	reflect.method4 = reflect.method6 = MF_METHOD_REFLECT;
	narrow.dns_only = true;
	assert_true(captures_tcp(&loopback, "10.0.0.5", 40000, "192.0.2.1", 443, OUT));
	assert_true(captures_tcp(&loopback, "2001:db8::5", 40000, "2001:db8::1", 443, OUT));
	/* The metadata service of clouds is link-local: not left out. */
	assert_true(captures_tcp(&loopback, "169.254.1.1", 40000, "169.254.169.254", 80, OUT));
	assert_false(captures_tcp(&loopback, "192.0.2.1", 443, "10.0.0.5", 40000, 0));
	/* Loopback is left alone but for the listeners' answers. */
	assert_false(captures_tcp(&loopback, "127.0.0.1", 40000, "127.0.0.1", 80, OUT_LO));
	assert_false(captures_tcp(&loopback, "127.0.0.1", 40000, "127.0.0.1", 9080, OUT_LO));
	assert_true(captures_tcp(&loopback, "127.0.0.1", 9080, "127.0.0.1", 40000, OUT_LO));
	assert_true(captures_tcp(&loopback, "::1", 9080, "::1", 40000, OUT_LO));
	assert_true(captures_udp(&loopback, "127.0.0.1", 9053, "127.0.0.1", 40000, OUT_LO));
	assert_true(captures_tcp(&loopback, "127.0.0.1", 9053, "127.0.0.1", 40000, OUT_LO));
	assert_true(captures_udp(&loopback, "127.0.0.1", 9081, "127.0.0.1", 40000, OUT_LO));
	assert_false(captures_udp(&loopback, "127.0.0.1", 9080, "127.0.0.1", 40000, OUT_LO));
	/* R: the stack may take an answer for loopback or not. */
	assert_true(captures_tcp(&reflect, "10.0.0.5", 9080, "192.0.2.1", 40000, OUT));
	assert_true(captures_tcp(&reflect, "10.0.0.5", 9080, "192.0.2.1", 40000, OUT_LO));
	/* R: what comes from the network to a listener, and nothing else that comes in. */
	assert_true(captures_tcp(&reflect, "2001:db8::1", 40000, "2001:db8::5", 9080, 0));
	assert_true(captures_udp(&reflect, "2001:db8::1", 40000, "2001:db8::5", 9081, 0));
	assert_true(captures_tcp(&reflect, "192.0.2.1", 40000, "10.0.0.5", 9080, 0));
	assert_false(captures_tcp(&loopback, "192.0.2.1", 40000, "10.0.0.5", 9080, 0));
	assert_false(captures_tcp(&reflect, "2001:db8::1", 9080, "2001:db8::5", 40000, 0));
	/* Groups are not ours. */
	assert_false(captures_udp(&loopback, "10.0.0.5", 5353, "224.0.0.251", 5353, OUT));
	assert_false(captures_udp(&loopback, "10.0.0.5", 68, "255.255.255.255", 67, OUT));
	assert_false(captures_udp(&loopback, "fe80::1", 5353, "ff02::fb", 5353, OUT));
	/* All of UDP, or DNS alone. */
	assert_true(captures_udp(&loopback, "10.0.0.5", 40000, "192.0.2.1", 443, OUT));
	assert_false(captures_udp(&narrow, "10.0.0.5", 40000, "192.0.2.1", 443, OUT));
	assert_true(captures_udp(&narrow, "10.0.0.5", 40000, "192.0.2.1", 53, OUT));
	/* Later fragments have no ports and must not slip by. */
	len = wdd_craft_udp(pkt, wdd_end_of("10.0.0.5", 40000), wdd_end_of("192.0.2.1", 53), frag,
			    1000);
	len = wdd_craft_fragment(frag, pkt, len, 512, 256, 1);
	assert_true(captures(&loopback, frag, len, OUT));
	assert_true(captures(&narrow, frag, len, OUT));
	/* ICMP errors of our own stack may quote what was rewritten; echoes have no owner. */
	len = wdd_craft_udp(pkt, wdd_end_of("127.0.0.1", 9081), wdd_end_of("127.0.0.1", 4),
			    "12345678", 8);
	pkt[9] = 1;
	pkt[20] = 3;
	assert_true(captures(&loopback, pkt, len, OUT_LO));
	pkt[20] = 8;
	assert_false(captures(&loopback, pkt, len, OUT));
}

static void test_filter_without_listeners(void **state)
{
	struct mf_wd_capture none = { .method4 = MF_METHOD_LOOPBACK };

	(void)state;
	assert_true(captures_tcp(&none, "10.0.0.5", 1, "192.0.2.1", 443, OUT));
	assert_false(captures_tcp(&none, "127.0.0.1", 9080, "127.0.0.1", 1, OUT_LO));
}

static void test_events_filter(void **state)
{
	struct wdd_filter *f = wdd_filter_compile(MF_WD_FILTER_EVENTS, WDD_SOCKET, NULL, NULL);
	uint8_t addr[WDD_ADDRESS_SIZE] = { 0 };

	(void)state;
	assert_non_null(f);
	addr[72] = 6;
	wdd_store32(addr + 8, WDD_SOCKET | WDD_CONNECT << 8);
	assert_true(wdd_filter_match(f, addr, NULL));
	wdd_store32(addr + 8, WDD_SOCKET | WDD_BIND << 8);
	assert_false(wdd_filter_match(f, addr, NULL));
	wdd_store32(addr + 8, WDD_SOCKET | WDD_CONNECT << 8);
	addr[72] = 255; /* echoes of raw injections */
	assert_false(wdd_filter_match(f, addr, NULL));
	free(f);
}

/* A SOCKET address by its documented offsets, not by our struct. */
static void put_event(uint8_t *b, uint32_t event, uint32_t pid, uint8_t proto, bool v6)
{
	static const uint32_t local[4] = { 0x0a000005, 0xffff, 0, 0 };
	static const uint32_t local6[4] = { 5, 0, 0, 0x20010db8 };

	memset(b, 0, 80);
	wdd_store32(b + 8,
		    WDD_SOCKET | event << 8 | (v6 ? WDD_IS_IPV6 : 0) | WDD_OUTBOUND | WDD_SNIFFED);
	wdd_store32(b + 32, pid);
	for (int i = 0; i < 4; i++) {
		wdd_store32(b + 36 + 4 * i, v6 ? local6[i] : local[i]);
		wdd_store32(b + 52 + 4 * i, v6 ? local6[i] : local[i]);
	}
	wdd_store32(b + 52, v6 ? 1 : 0xc0000201);
	b[68] = 0x40;
	b[69] = 0x9c; /* 40000 */
	b[70] = 0xbb;
	b[71] = 0x01; /* 443 */
	b[72] = proto;
}

static void test_events(void **state)
{
	struct mf_wd_address a;
	struct mf_flow_event ev = { 0 };
	uint8_t b[80];

	(void)state;
	put_event(b, 4, 1234, 6, false);
	memcpy(&a, b, sizeof(a));
	assert_true(mf_wd_read_event(&a, &ev));
	assert_int_equal(ev.kind, MF_FLOW_EVENT_CONNECT);
	assert_int_equal(ev.pid, 1234);
	assert_int_equal(ev.flow.family, 4);
	assert_int_equal(ev.flow.proto, 6);
	assert_memory_equal(ev.flow.src, "\x0a\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(ev.flow.dst, "\xc0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(ev.flow.src_port, 40000);
	assert_int_equal(ev.flow.dst_port, 443);
	put_event(b, 6, 1, 17, true);
	memcpy(&a, b, sizeof(a));
	assert_true(mf_wd_read_event(&a, &ev));
	assert_int_equal(ev.kind, MF_FLOW_EVENT_ACCEPT);
	assert_int_equal(ev.flow.family, 6);
	assert_memory_equal(ev.flow.src, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05", 16);
	/* IPv4 seen by a dual-stack socket is a flow of IPv4. */
	put_event(b, 7, 1, 6, false);
	wdd_store32(b + 8, wdd_load32(b + 8) | WDD_IS_IPV6);
	memcpy(&a, b, sizeof(a));
	assert_true(mf_wd_read_event(&a, &ev));
	assert_int_equal(ev.kind, MF_FLOW_EVENT_CLOSE);
	assert_int_equal(ev.flow.family, 4);
	put_event(b, 5, 1, 6, false);
	memcpy(&a, b, sizeof(a));
	assert_true(mf_wd_read_event(&a, &ev));
	assert_int_equal(ev.kind, MF_FLOW_EVENT_LISTEN);
	/* Nothing else is one. */
	for (uint32_t event = 0; event < 256; event++) {
		put_event(b, event, 1, 6, false);
		memcpy(&a, b, sizeof(a));
		assert_int_equal(mf_wd_read_event(&a, &ev), event >= 4 && event <= 7);
	}
	put_event(b, 4, 4, 255, false);
	memcpy(&a, b, sizeof(a));
	assert_false(mf_wd_read_event(&a, &ev));
	put_event(b, 4, 4, 6, false);
	b[8] = WDD_FLOW;
	memcpy(&a, b, sizeof(a));
	assert_false(mf_wd_read_event(&a, &ev));
}

static void test_packets_there_and_back(void **state)
{
	uint8_t pkt[200], raw[80] = { 0 };
	uint32_t len = wdd_craft_tcp(pkt, wdd_end_of("10.0.0.5", 1), wdd_end_of("192.0.2.1", 2),
				     WDD_SYN, 1, 0, "abc", 3);
	struct mf_wd_address a, back;
	struct mf_packet p = { 0 };

	(void)state;
	raw[0] = 0x77; /* timestamp */
	wdd_store32(raw + 8, WDD_OUTBOUND | WDD_IP_OK | WDD_TCP_OK | WDD_UDP_OK);
	wdd_store32(raw + 16, 7);
	wdd_store32(raw + 20, 3);
	memcpy(&a, raw, sizeof(a));
	assert_int_equal(mf_wd_read_packet(&a, pkt, sizeof(pkt), &p), len);
	assert_int_equal(p.len, len);
	assert_int_equal(p.flags, MF_PACKET_OUTBOUND);
	assert_int_equal(p.csum, MF_CSUM_FULL);
	assert_int_equal(p.interface, 7);
	assert_int_equal(p.sub_interface, 3);
	/* Unchanged it goes back with exactly what it came with (W6). */
	mf_wd_write_address(&p, &back);
	assert_memory_equal(&back, raw, 80);
	/* As a reply: inbound, through another interface. */
	p.flags = 0;
	p.interface = 9;
	mf_wd_write_address(&p, &back);
	assert_int_equal(back.bits & (MF_WD_OUTBOUND | MF_WD_LOOPBACK), 0);
	assert_int_equal(back.network.if_idx, 9);
	/* Checksums left to the hardware: the driver has to compute them. */
	wdd_store32(raw + 8, WDD_OUTBOUND | WDD_LOOPBACK | WDD_IMPOSTOR | WDD_IP_OK | WDD_UDP_OK);
	memcpy(&a, raw, sizeof(a));
	assert_int_equal(mf_wd_read_packet(&a, pkt, len, &p), len);
	assert_int_equal(p.csum, MF_CSUM_ABSENT);
	assert_int_equal(p.flags, MF_PACKET_OUTBOUND | MF_PACKET_LOOPBACK | MF_PACKET_IMPOSTOR);
	mf_wd_write_address(&p, &back);
	assert_int_equal(back.bits & MF_WD_TCP_CSUM_VALID, 0);
	/* What we built ourselves too, whatever its address was copied from. */
	memset(p.own, 0xff, sizeof(p.own));
	p.flags = MF_PACKET_BUILT;
	p.csum = MF_CSUM_FULL;
	mf_wd_write_address(&p, &back);
	assert_int_equal(back.bits, MF_WD_NETWORK | MF_WD_PACKET << 8);
	assert_int_equal(back.reserved, 0);
	/* Lengths that are not there. */
	assert_int_equal(mf_wd_read_packet(&a, pkt, len - 1, &p), 0);
	assert_int_equal(mf_wd_read_packet(&a, pkt, 19, &p), 0);
	assert_int_equal(mf_wd_read_packet(&a, pkt, 0, &p), 0);
	pkt[2] = pkt[3] = 0;
	assert_int_equal(mf_wd_read_packet(&a, pkt, len, &p), 0);
	pkt[0] = 0x15;
	assert_int_equal(mf_wd_read_packet(&a, pkt, len, &p), 0);
	len = wdd_craft_tcp(pkt, wdd_end_of("2001:db8::5", 1), wdd_end_of("2001:db8::1", 2),
			    WDD_SYN, 1, 0, NULL, 0);
	assert_int_equal(mf_wd_read_packet(&a, pkt, len, &p), len);
	assert_int_equal(mf_wd_read_packet(&a, pkt, len - 1, &p), 0);
	mf_wd_write_address(&p, &back);
	assert_true(back.bits & MF_WD_IPV6);
}

static void test_every_error_says_what_to_do(void **state)
{
	static const struct {
		enum mf_wd_call call;
		uint32_t code;
		int error;
		const char *word;
	} rows[] = {
		{ MF_WD_CALL_OPEN, 2, MF_E_NOENT, "WinDivert64.sys" },
		{ MF_WD_CALL_OPEN, 5, MF_E_PERM, "elevated" },
		{ MF_WD_CALL_OPEN, 8, MF_E_NOMEM, "memory" },
		{ MF_WD_CALL_OPEN, 87, MF_E_BUG, "2.2" },
		{ MF_WD_CALL_OPEN, 577, MF_E_PERM, "signature" },
		{ MF_WD_CALL_OPEN, 654, MF_E_EXIST, "another program" },
		{ MF_WD_CALL_OPEN, 1060, MF_E_NOENT, "not installed" },
		{ MF_WD_CALL_OPEN, 1275, MF_E_PERM, "security product" },
		{ MF_WD_CALL_OPEN, 1450, MF_E_FULL, "resources" },
		{ MF_WD_CALL_OPEN, 1753, MF_E_UNSUPPORTED, "BFE" },
		{ MF_WD_CALL_RECV, 122, MF_E_LIMIT, "longer" },
		{ MF_WD_CALL_RECV, 232, MF_E_CLOSED, "shut down" },
		{ MF_WD_CALL_RECV, 995, MF_E_CLOSED, "closed" },
		{ MF_WD_CALL_SEND, 87, MF_E_INVAL, "interface" },
		{ MF_WD_CALL_SEND, 122, MF_E_INVAL, "shorter" },
		{ MF_WD_CALL_SEND, 232, MF_E_CLOSED, "shut down" },
		{ MF_WD_CALL_SEND, 1214, MF_E_INVAL, "loopback" },
		{ MF_WD_CALL_SEND, 1232, MF_E_LIMIT, "circles" },
		{ MF_WD_CALL_SEND, 1450, MF_E_AGAIN, "resources" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = mf_wd_explain(rows[i].call, rows[i].code);

		assert_non_null(text);
		if (!strstr(text, rows[i].word))
			fail_msg("%u: %s", rows[i].code, text);
		assert_int_equal(mf_wd_error_code(rows[i].call, rows[i].code), rows[i].error);
	}
	assert_null(mf_wd_explain(MF_WD_CALL_OPEN, 4711));
	assert_int_equal(mf_wd_error_code(MF_WD_CALL_OPEN, 4711), MF_E_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_captured),
		cmocka_unit_test(test_filter_without_listeners),
		cmocka_unit_test(test_events_filter),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_packets_there_and_back),
		cmocka_unit_test(test_every_error_says_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
