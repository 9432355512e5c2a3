/* SPDX-License-Identifier: Apache-2.0 */
/* test_build.c - resets and ICMP errors against those of a kernel, and the cases that must not be answered */
#include "core/packet/build.h"
#include "core/packet/checksum.h"
#include "golden.h"

static const struct mf_flow base = { .proto = MF_PROTO_TCP,
				     .family = 4,
				     .src_port = 40000,
				     .dst_port = 443,
				     .src = { 192, 0, 2, 1 },
				     .dst = { 198, 51, 100, 7 } };

static void text_of(const uint8_t *pkt, size_t len, enum mf_view_link link, char *text)
{
	struct mf_view v = golden_view(pkt, len, link);

	assert_int_not_equal(mf_csum_verify_ip4(&v), MF_CSUM_BAD);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	mf_view_format(&v, text, MF_VIEW_TEXT_MAX);
}

static void a_refused_syn_is_reset_as_a_kernel_does_it(void **state)
{
	uint8_t syn[256], kernel[256], ours[MF_BUILD_ANSWER_MAX];
	size_t syn_len = golden_ip("TCP SYN to a closed port", syn, sizeof(syn));
	size_t kernel_len = golden_ip("TCP reset of a closed port", kernel, sizeof(kernel)), len;
	struct mf_view v = golden_view(syn, syn_len, MF_VIEW_IP);

	(void)state;
	assert_int_equal(mf_build_tcp_reset(&v, ours, sizeof(ours), &len), 0);
	assert_int_equal(len, kernel_len);
	assert_memory_equal(ours, kernel, len);
}

/* RFC 9293 3.10.7.1, case by case. */
static void resets_take_their_numbers_from_the_segment(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t seq, ack;
		size_t payload;
		const char *text;
	} cases[] = {
		{ MF_TCP_SYN, 100, 0, 0, "RA seq 0 ack 101" },
		{ MF_TCP_SYN, 0xffffffff, 0, 0, "RA seq 0 ack 0" },
		{ MF_TCP_SYN, 100, 0, 10, "RA seq 0 ack 111" }, // TCP fast open
		{ MF_TCP_FIN, 100, 0, 0, "RA seq 0 ack 101" },
		{ 0, 100, 0, 5, "RA seq 0 ack 105" },
		{ MF_TCP_SYN | MF_TCP_ACK, 100, 700, 0, "R seq 700 ack 0" },
		{ MF_TCP_ACK, 100, 700, 50, "R seq 700 ack 0" },
		{ MF_TCP_ACK | MF_TCP_FIN, 100, 0xfffffff0, 0, "R seq 4294967280 ack 0" },
	};
	const uint8_t body[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mf_tcp_fields tcp = { .seq = cases[i].seq,
					     .ack = cases[i].ack,
					     .flags = cases[i].flags };
		uint8_t pkt[256], rst[MF_BUILD_ANSWER_MAX];
		char text[MF_VIEW_TEXT_MAX];
		struct mf_view v;
		size_t len;

		assert_int_equal(mf_build_tcp(&base, &tcp, mf_span_of(body, cases[i].payload), pkt,
					      sizeof(pkt), &len),
				 0);
		v = golden_view(pkt, len, MF_VIEW_IP);
		assert_int_equal(mf_build_tcp_reset(&v, rst, sizeof(rst), &len), 0);
		text_of(rst, len, MF_VIEW_IP, text);
		assert_non_null(strstr(text, "198.51.100.7:443 > 192.0.2.1:40000"));
		if (!strstr(text, cases[i].text))
			fail_msg("\"%s\" is not \"%s\"", text, cases[i].text);
	}
}

/* The errors that a kernel sent for the captured datagrams, but for the outer IP header's identification and class. */
static void errors_are_those_of_a_kernel(void **state)
{
	static const char *const pairs[][2] = {
		{ "DNS query over UDP", "ICMP port unreachable quoting UDP" },
		{ "DNS query over UDP over IPv6", "ICMPv6 port unreachable quoting UDP" },
		{ "UDP behind hop-by-hop and destination options",
		  "ICMPv6 error quoting extension headers" },
		{ "UDP without a checksum", "ICMP error quoting UDP without a checksum" },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint8_t udp[2048], kernel[2048], ours[MF_BUILD_ANSWER_MAX];
		size_t udp_len = golden_ip(pairs[i][0], udp, sizeof(udp)), len;
		size_t kernel_len = golden_ip(pairs[i][1], kernel, sizeof(kernel));
		struct mf_view v = golden_view(udp, udp_len, MF_VIEW_IP), theirs, answer;

		theirs = golden_view(kernel, kernel_len, MF_VIEW_IP);
		assert_int_equal(
			mf_build_unreachable(&v, theirs.icmp_code, ours, sizeof(ours), &len), 0);
		answer = golden_view(ours, len, MF_VIEW_IP);
		assert_int_equal(len, kernel_len);
		assert_memory_equal(&answer.flow, &theirs.flow, sizeof(answer.flow));
		assert_memory_equal(ours + answer.transport_off, kernel + theirs.transport_off,
				    len - answer.transport_off);
	}
}

static void errors_quote_no_more_than_fits(void **state)
{
	struct mf_flow f = base;
	uint8_t body[4000] = { 1 }, pkt[4100], ours[MF_BUILD_ANSWER_MAX];
	size_t len;

	(void)state;
	f.proto = MF_PROTO_UDP;
	for (unsigned family = 4; family <= 6; family += 2) {
		struct mf_view v;

		f.family = (uint8_t)family;
		assert_int_equal(
			mf_build_udp(&f, mf_span_of(body, sizeof(body)), pkt, sizeof(pkt), &len),
			0);
		v = golden_view(pkt, len, MF_VIEW_IP);
		assert_int_equal(mf_build_unreachable(&v, MF_ICMP_ADMIN_PROHIBITED, ours,
						      sizeof(ours), &len),
				 0);
		assert_int_equal(len, family == 4 ? 576 : 1280);
		v = golden_view(ours, len, MF_VIEW_IP);
		assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
		assert_int_equal(v.icmp_code, MF_ICMP_ADMIN_PROHIBITED);
		assert_int_equal(v.icmp_type, family == 4 ? 3 : 1);
	}
}

static void too_big_names_the_mtu(void **state)
{
	uint8_t pkt[2048], ours[MF_BUILD_ANSWER_MAX];
	size_t len = golden_ip("DNS query over UDP", pkt, sizeof(pkt));
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);

	(void)state;
	assert_int_equal(mf_build_too_big(&v, 1280, ours, sizeof(ours), &len), 0);
	v = golden_view(ours, len, MF_VIEW_IP);
	assert_int_equal(v.icmp_type * 256 + v.icmp_code, 3 * 256 + 4);
	assert_int_equal(mf_load_be32(ours + 24), 1280);
	len = golden_ip("DNS query over UDP over IPv6", pkt, sizeof(pkt));
	v = golden_view(pkt, len, MF_VIEW_IP);
	assert_int_equal(mf_build_too_big(&v, 1280, ours, sizeof(ours), &len), 0);
	v = golden_view(ours, len, MF_VIEW_IP);
	assert_int_equal(v.icmp_type * 256 + v.icmp_code, 2 * 256);
	assert_int_equal(mf_load_be32(ours + 44), 1280);
}

static void answers_to_frames_are_frames_with_the_same_tags(void **state)
{
	uint8_t pkt[2048] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 10 };
	uint8_t ours[MF_BUILD_ANSWER_MAX];
	size_t len = golden_ip("DNS query over UDP", pkt + 18, sizeof(pkt) - 18);
	struct mf_view v;
	char text[MF_VIEW_TEXT_MAX];

	(void)state;
	mf_store_be16(pkt + 16, 0x0800);
	v = golden_view(pkt, 18 + len, MF_VIEW_ETHERNET);
	assert_int_equal(mf_build_unreachable(&v, MF_ICMP_PORT, ours, sizeof(ours), &len), 0);
	text_of(ours, len, MF_VIEW_ETHERNET, text);
	assert_non_null(strstr(
		text,
		"eth 02:00:00:00:00:02 > 02:00:00:00:00:01 vlan 10 type 0x0800 ip4 192.0.2.2 > "
		"192.0.2.1 df icmp type 3 code 3"));
}

static void no_answer(const uint8_t *pkt, size_t len, enum mf_view_link link, const char *why)
{
	uint8_t ours[MF_BUILD_ANSWER_MAX];
	struct mf_view v = golden_view(pkt, len, link);
	size_t n;

	if (mf_build_tcp_reset(&v, ours, sizeof(ours), &n) != MF_E_NOT_MINE)
		fail_msg("reset sent: %s", why);
	if (v.flow.proto != MF_PROTO_TCP &&
	    mf_build_unreachable(&v, 0, ours, sizeof(ours), &n) != MF_E_NOT_MINE)
		fail_msg("error sent: %s", why);
}

static void what_must_not_be_answered_is_not(void **state)
{
	static const char *const silent[] = {
		"ICMP port unreachable quoting UDP",
		"ICMPv6 port unreachable quoting UDP",
		"UDP last fragment",
		"UDP over IPv6, last fragment",
		"UDP with loose source route",
		"routing header type 4 with segments left",
		"TCP reset of a closed port",
		"ICMPv6 neighbour solicitation",
		"MLDv2 report behind hop-by-hop options",
	};
	uint8_t pkt[2048], frame[2048];
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		len = golden_ip(silent[i], pkt, sizeof(pkt));
		no_answer(pkt, len, MF_VIEW_IP, silent[i]);
	}
	len = golden_ip("DNS query over UDP", pkt, sizeof(pkt));
	pkt[12] = 224;
	no_answer(pkt, len, MF_VIEW_IP, "from a group");
	pkt[12] = 0;
	no_answer(pkt, len, MF_VIEW_IP, "from the unspecified address");
	pkt[12] = 192;
	pkt[16] = 255;
	no_answer(pkt, len, MF_VIEW_IP, "to broadcast");
	pkt[16] = 192;
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\2\0\0\0\0\1\x08", 8);
	memcpy(frame + 14, pkt, len);
	no_answer(frame, 14 + len, MF_VIEW_ETHERNET, "to a link-layer group");
}

static void a_buffer_that_is_too_small_is_refused_and_not_written_past(void **state)
{
	uint8_t pkt[2048];
	size_t len = golden_ip("DNS query over UDP", pkt, sizeof(pkt)), n;
	struct mf_view v = golden_view(pkt, len, MF_VIEW_IP);
	size_t need = 28 + len;

	(void)state;
	for (size_t room = 0; room <= need; room++) {
		uint8_t *buf = malloc(room ? room : 1);

		assert_non_null(buf);
		assert_int_equal(mf_build_unreachable(&v, 0, buf, room, &n),
				 room < need ? MF_E_FULL : 0);
		free(buf);
	}
	len = golden_ip("TCP SYN", pkt, sizeof(pkt));
	v = golden_view(pkt, len, MF_VIEW_IP);
	for (size_t room = 0; room <= 40; room++) {
		uint8_t *buf = malloc(room ? room : 1);

		assert_non_null(buf);
		assert_int_equal(mf_build_tcp_reset(&v, buf, room, &n), room < 40 ? MF_E_FULL : 0);
		free(buf);
	}
}

static void datagrams_have_a_largest_size(void **state)
{
	struct mf_flow f = base;
	uint8_t *buf = malloc(70000), *body = calloc(1, 70000);
	size_t len;

	(void)state;
	assert_non_null(buf);
	assert_non_null(body);
	f.proto = MF_PROTO_UDP;
	assert_int_equal(mf_build_udp(&f, mf_span_of(body, 65507), buf, 70000, &len), 0);
	assert_int_equal(len, 65535);
	assert_int_equal(mf_build_udp(&f, mf_span_of(body, 65508), buf, 70000, &len), MF_E_LIMIT);
	f.family = 6;
	assert_int_equal(mf_build_udp(&f, mf_span_of(body, 65527), buf, 70000, &len), 0);
	assert_int_equal(mf_build_udp(&f, mf_span_of(body, 65528), buf, 70000, &len), MF_E_LIMIT);
	f.family = 5;
	assert_int_equal(mf_build_udp(&f, mf_span_of(body, 1), buf, 70000, &len), MF_E_INVAL);
	assert_int_equal(mf_build_udp(&base, mf_span_of(body, 1), buf, 70000, &len), MF_E_INVAL);
	free(buf);
	free(body);
}

/* Byte by byte what a kernel's ping sends, and what it gets back. */
static void echo_requests_and_replies_are_whole(void **state)
{
	struct mf_flow f = { .proto = MF_PROTO_ICMP,
			     .family = 4,
			     .src_port = 0x1234,
			     .src = { 192, 0, 2, 1 },
			     .dst = { 198, 51, 100, 7 } };
	static const uint8_t want[] = { 0x08, 0x00, 0x21, 0x64, 0x12, 0x34,
					0x00, 0x05, 'a',  'b',	'c' };
	static uint8_t big[65536 + 64], buf[65536 + 64];
	size_t len;

	(void)state;
	assert_int_equal(mf_build_echo(&f, false, 5, mf_span_of("abc", 3), buf, sizeof(buf), &len),
			 0);
	assert_int_equal(len, 20 + sizeof(want));
	assert_memory_equal(buf + 20, want, sizeof(want));
	for (int i = 0; i < 4; i++) {
		struct mf_view v;

		if (i & 1) {
			f.family = 6;
			f.proto = MF_PROTO_ICMPV6;
		} else {
			f.family = 4;
			f.proto = MF_PROTO_ICMP;
		}
		assert_int_equal(mf_build_echo(&f, i & 2, 0xfffe, mf_span_of(big, 65507), buf,
					       sizeof(buf), &len),
				 0);
		v = golden_view(buf, len, MF_VIEW_IP);
		assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
		assert_int_equal(v.icmp_type, i & 1 ? (i & 2 ? 129 : 128) : (i & 2 ? 0 : 8));
		assert_int_equal(v.flow.src_port, 0x1234);
		assert_int_equal(mf_load_be16(buf + v.transport_off + 6), 0xfffe);
		assert_int_equal(mf_view_payload(&v).len, 65507);
		assert_int_equal(
			mf_build_echo(&f, false, 1, mf_span_of(big, 65528), buf, sizeof(buf), &len),
			MF_E_LIMIT);
		assert_int_equal(mf_build_echo(&f, false, 1, mf_span_of(big, 9), buf, 28, &len),
				 MF_E_FULL);
		f.proto = MF_PROTO_UDP;
		assert_int_equal(
			mf_build_echo(&f, false, 1, mf_span_of(big, 9), buf, sizeof(buf), &len),
			MF_E_INVAL);
	}
}

static void an_error_of_a_router_is_from_the_router(void **state)
{
	struct mf_flow f = { .proto = MF_PROTO_ICMP,
			     .family = 4,
			     .src = { 192, 0, 2, 1 },
			     .dst = { 198, 51, 100, 7 } };
	static const uint8_t router[4] = { 203, 0, 113, 1 };
	const struct mf_icmp_error error = { .type = 11, .from = router };
	uint8_t request[64], answer[MF_BUILD_ANSWER_MAX];
	struct mf_view v;
	size_t len;

	(void)state;
	assert_int_equal(
		mf_build_echo(&f, false, 5, mf_span_of("abc", 3), request, sizeof(request), &len),
		0);
	v = golden_view(request, len, MF_VIEW_IP);
	assert_int_equal(mf_build_icmp_error(&v, &error, answer, sizeof(answer), &len), 0);
	v = golden_view(answer, len, MF_VIEW_IP);
	assert_int_equal(mf_csum_verify(&v), MF_CSUM_GOOD);
	assert_int_equal(v.icmp_type, 11);
	assert_memory_equal(v.flow.src, router, 4);
	assert_memory_equal(v.flow.dst, f.src, 4);
	/* no error about an error */
	assert_int_equal(mf_build_icmp_error(&v, &error, request, sizeof(request), &len),
			 MF_E_NOT_MINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_syn_is_reset_as_a_kernel_does_it),
		cmocka_unit_test(resets_take_their_numbers_from_the_segment),
		cmocka_unit_test(errors_are_those_of_a_kernel),
		cmocka_unit_test(errors_quote_no_more_than_fits),
		cmocka_unit_test(too_big_names_the_mtu),
		cmocka_unit_test(answers_to_frames_are_frames_with_the_same_tags),
		cmocka_unit_test(what_must_not_be_answered_is_not),
		cmocka_unit_test(a_buffer_that_is_too_small_is_refused_and_not_written_past),
		cmocka_unit_test(datagrams_have_a_largest_size),
		cmocka_unit_test(echo_requests_and_replies_are_whole),
		cmocka_unit_test(an_error_of_a_router_is_from_the_router),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
