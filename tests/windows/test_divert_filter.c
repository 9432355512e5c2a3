/* SPDX-License-Identifier: Apache-2.0 */
/* test_divert_filter.c - the double's filter language: what each layer takes, and what packets match */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "windivert_double/craft.h"

static bool takes(const char *text, int layer)
{
	struct wdd_filter *f = wdd_filter_compile(text, layer, NULL, NULL);
	bool ok = f != NULL;

	free(f);
	return ok;
}

static void test_fields_of_layers(void **state)
{
	static const struct {
		const char *text;
		bool network, socket;
	} rows[] = {
		{ "true", true, true },
		{ "false", true, true },
		{ "outbound and tcp", true, true },
		{ "processId == 4", false, true },
		{ "event == CONNECT", false, true },
		{ "(tcp or udp) and event != BIND", false, true },
		{ "tcp.DstPort == 80", true, false },
		{ "ip.DstAddr >= 224.0.0.0", true, false },
		{ "length > 40", true, false },
		{ "fragment", true, false },
		{ "impostor", true, false },
		{ "loopback", true, true },
		{ "remotePort == 443", true, true },
		{ "endpointId != 0", false, true },
		{ "ifIdx == 3", true, false },
		{ "packet[0] == 0x45", true, false },
		{ "event == PACKET", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (takes(rows[i].text, WDD_NETWORK) != rows[i].network)
			fail_msg("NETWORK: %s", rows[i].text);
		if (takes(rows[i].text, WDD_SOCKET) != rows[i].socket)
			fail_msg("SOCKET: %s", rows[i].text);
	}
}

static void test_bad_text(void **state)
{
	static const char *const texts[] = {
		"",
		"and",
		"tcp and",
		"tcp or or udp",
		"(tcp",
		"tcp)",
		"tcp.DstPort ==",
		"tcp.DstPort = = 80",
		"nosuchfield",
		"tcp.DstPort == x",
		"tcp.Dstport == 1",
		"ip.SrcAddr == 1.2.3",
		"ip.SrcAddr == 1.2.3.256",
		"packet == 1",
		"packet[1 == 1",
		"tcp ? udp : ip",
		"(tcp ? udp)",
		"ipv6.SrcAddr == 1:2",
		"not",
		"80 == tcp.DstPort",
		"tcp.DstPort in (80)",
		"tcp udp",
	};
	char deep[400], many[257 * 8];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (takes(texts[i], WDD_NETWORK))
			fail_msg("taken: %s", texts[i]);
	memset(deep, '(', sizeof(deep));
	deep[sizeof(deep) - 1] = 0;
	assert_false(takes(deep, WDD_NETWORK));
	/* 256 tests are taken, 257 are not. */
	strcpy(many, "tcp");
	for (int i = 1; i < 256; i++)
		strcat(many, " or tcp");
	assert_true(takes(many, WDD_NETWORK));
	strcat(many, " or tcp");
	assert_false(takes(many, WDD_NETWORK));
}

/* Does a packet match? */
static bool match(const char *text, const uint8_t *pkt, uint32_t len, uint32_t bits)
{
	struct wdd_filter *f = wdd_filter_compile(text, WDD_NETWORK, NULL, NULL);
	uint8_t addr[WDD_ADDRESS_SIZE] = { 0 };
	struct wdd_pkt k;
	bool ok;

	assert_non_null(f);
	assert_int_equal(wdd_pkt_parse(pkt, len, &k), 0);
	wdd_store32(addr + 8, bits);
	wdd_store32(addr + 16, 3);
	ok = wdd_filter_match(f, addr, &k);
	free(f);
	return ok;
}

static void test_packets(void **state)
{
	uint8_t tcp[100], udp[100], six[100], frag[100];
	uint32_t tcp_len = wdd_craft_tcp(tcp, wdd_end_of("10.0.0.5", 40000),
					 wdd_end_of("192.0.2.1", 443), WDD_SYN, 7, 0, "hello", 5);
	uint32_t udp_len = wdd_craft_udp(udp, wdd_end_of("10.0.0.5", 40000),
					 wdd_end_of("192.0.2.53", 53), "abcdefghijklmnop", 16);
	uint32_t six_len = wdd_craft_tcp(six, wdd_end_of("2001:db8::5", 40000),
					 wdd_end_of("2001:db8::1", 443), WDD_SYN, 7, 0, NULL, 0);
	uint32_t frag_len = wdd_craft_fragment(frag, udp, udp_len, 16, 8, 1);
	const uint32_t out = WDD_OUTBOUND;

	(void)state;
	assert_true(match("outbound and tcp and tcp.Syn and !tcp.Ack", tcp, tcp_len, out));
	assert_false(match("inbound", tcp, tcp_len, out));
	assert_true(match("inbound", tcp, tcp_len, 0));
	assert_true(match("tcp.PayloadLength == 5 and tcp.Payload[0] == 0x68", tcp, tcp_len, out));
	assert_true(match("remoteAddr == 192.0.2.1 and remotePort == 443 and localPort == 40000",
			  tcp, tcp_len, out));
	assert_true(match("localAddr == 192.0.2.1 and localPort == 443", tcp, tcp_len, 0));
	assert_true(match("protocol == TCP and ip.TTL = 128 and ip.DF", tcp, tcp_len, out));
	/* A field that the packet has not: false whatever the operator, and so true behind "not". */
	assert_false(match("tcp.DstPort != 80", udp, udp_len, out));
	assert_true(match("not tcp.DstPort == 80", udp, udp_len, out));
	assert_false(match("ip.DstAddr < 224.0.0.0", six, six_len, out));
	/* An IPv6 address is above all of IPv4: a bound for one family must not be asked of the other. */
	assert_false(match("remoteAddr < 224.0.0.0", six, six_len, out));
	assert_true(match("remoteAddr < 224.0.0.0", tcp, tcp_len, out));
	assert_true(
		match("(ip ? remoteAddr < 224.0.0.0 : remoteAddr < ff00::)", six, six_len, out));
	assert_true(match("(ip?remoteAddr<224.0.0.0:remoteAddr<ff00::)", tcp, tcp_len, out));
	assert_true(match("ipv6.SrcAddr == 2001:db8::5 && ipv6.DstAddr == 2001:db8:0:0:0:0:0:1",
			  six, six_len, out));
	/* Later fragments have no transport header. */
	assert_true(match("fragment and protocol == UDP", frag, frag_len, out));
	assert_false(match("udp", frag, frag_len, out));
	assert_false(match("udp.DstPort == 53 or tcp", frag, frag_len, out));
	/* Precedence: and binds closer than or, not closer than and. */
	assert_true(match("tcp or udp and false", tcp, tcp_len, out));
	assert_false(match("(tcp or udp) and false", tcp, tcp_len, out));
	assert_false(match("not tcp and udp", tcp, tcp_len, out));
	assert_true(match("!loopback && (tcp || udp)", tcp, tcp_len, out));
	assert_false(match("!loopback", tcp, tcp_len, out | WDD_LOOPBACK));
	assert_true(match("ifIdx == 3 and packet[0] == 0x45 and packet[5000] != 1 or true", tcp,
			  tcp_len, out));
	assert_false(match("packet[5000] != 1", tcp, tcp_len, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_of_layers),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
