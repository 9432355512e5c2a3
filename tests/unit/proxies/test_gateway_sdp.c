/* SPDX-License-Identifier: Apache-2.0 */
/* test_gateway_sdp.c - offers as browsers write them, and others; answers; messages of signalling */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#include <moonfence/moonfence.h>

#include "core/base/err.h"
#include "proxies/gateway/sdp.h"
#include "proxies/gateway/signal_json.h"

enum { TEXT_MAX = 8192 };

static const struct mf_rtc_candidate places[] = {
	{ .at = { .addr = { .family = 4, .bytes = { 198, 51, 100, 4 } }, .port = 3478 },
	  .srflx = true,
	  .base = { .addr = { .family = 4, .bytes = { 10, 0, 0, 4 } }, .port = 3479 },
	  .priority = 7 },
	{ .at = { .addr = { .family = 6, .bytes = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
		  .port = 3478 },
	  .priority = 2130706431 },
};

static const struct mf_rtc_local local = {
	.ufrag = "ours",
	.pwd = "ourpasswordourpassword",
	.fingerprint = { .hash = MF_RTC_SHA256, .len = 32, .bytes = { 0xab, 0xcd } },
	.setup = MF_RTC_SETUP_PASSIVE,
	.sctp_port = 5000,
	.max_message_size = 4352,
	.candidates = places,
	.candidate_cnt = 2,
};

/* Of exactly its size, so that a reader that goes too far is caught. */
static struct mf_span load(const char *name)
{
	char path[512], buf[TEXT_MAX];
	uint8_t *text;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/gateway/sdp/%s.sdp", MF_TEST_DATA, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	len = fread(buf, 1, sizeof(buf), f);
	assert_int_equal(fclose(f), 0);
	text = malloc(len);
	assert_non_null(text);
	memcpy(text, buf, len);
	return mf_span_of(text, len);
}

static void read_offer(struct mf_span text, struct mf_sdp_offer *o)
{
	struct mf_err err = { 0 };

	assert_int_equal(mf_sdp_offer_read(text, o, &err), 0);
}

/* The answer's lines; each in @want is in it, none of @absent. Both end with NULL. */
static void check_answer(const struct mf_sdp_offer *o, const char *const *want,
			 const char *const *absent)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_SDP_ANSWER_MAX);
	char line[256];

	mf_sdp_answer_write(o, &local, 42, &b);
	assert_false(b.failed);
	for (; *want; want++) {
		snprintf(line, sizeof(line), "\r\n%s\r\n", *want);
		if (!strstr(b.str, line))
			fail_msg("no line '%s' in:\n%s", *want, b.str);
	}
	for (; absent && *absent; absent++)
		if (strstr(b.str, *absent))
			fail_msg("'%s' in:\n%s", *absent, b.str);
	mf_strbuf_done(&b);
}

static void test_chromium(void **state)
{
	static const char *const want[] = {
		"o=- 21 1 IN IP4 0.0.0.0",
		"a=ice-lite",
		"a=group:BUNDLE 0",
		"m=application 3478 UDP/DTLS/SCTP webrtc-datachannel",
		"c=IN IP4 198.51.100.4",
		"a=mid:0",
		"a=ice-ufrag:ours",
		"a=ice-pwd:ourpasswordourpassword",
		"a=fingerprint:sha-256 "
		"AB:CD:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:"
		"00:00:00:00:00",
		"a=setup:passive",
		"a=sctp-port:5000",
		"a=max-message-size:4352",
		"a=candidate:1 1 udp 7 198.51.100.4 3478 typ srflx raddr 10.0.0.4 rport 3479",
		"a=candidate:2 1 udp 2130706431 2001:db8::1 3478 typ host",
		"a=end-of-candidates",
		NULL,
	};
	static struct mf_sdp_offer o;
	struct mf_span text = load("chromium");

	(void)state;
	read_offer(text, &o);
	assert_int_equal(o.section_cnt, 1);
	assert_true(o.bundled);
	assert_false(o.old_form);
	assert_string_equal(o.remote.ufrag, "q2Wz");
	assert_string_equal(o.remote.pwd, "5Xq0mT3pVnJ8rL1kYwZs7cHd");
	assert_int_equal(o.remote.setup, MF_RTC_SETUP_ACTPASS);
	assert_int_equal(o.remote.fingerprint.hash, MF_RTC_SHA256);
	assert_int_equal(o.remote.fingerprint.len, 32);
	assert_int_equal(o.remote.fingerprint.bytes[0], 3);
	assert_int_equal(o.remote.fingerprint.bytes[31], (31 * 7 + 3) & 255);
	assert_int_equal(o.remote.sctp_port, 5000);
	assert_int_equal(o.remote.max_message_size, 262144);
	check_answer(&o, want, NULL);
	free((void *)(uintptr_t)text.ptr);
}

/* Its fingerprint stands at the session's level; LF alone is fine, too. */
static void test_firefox(void **state)
{
	static struct mf_sdp_offer o;
	struct mf_span text = load("firefox");
	uint8_t *bytes = (uint8_t *)(uintptr_t)text.ptr;
	size_t len = 0;

	(void)state;
	read_offer(text, &o);
	assert_string_equal(o.remote.ufrag, "8f1c2d3e");
	assert_int_equal(o.remote.fingerprint.bytes[1], 10);
	assert_int_equal(o.remote.max_message_size, 1073741823);
	for (size_t i = 0; i < text.len; i++)
		if (bytes[i] != '\r')
			bytes[len++] = bytes[i];
	read_offer(mf_span_of(bytes, len), &o);
	assert_string_equal(o.remote.pwd, "2a9c1e5d3f8b7a6c4e0d1f2b3c4d5e6f");
	free(bytes);
}

static void test_old_form(void **state)
{
	static const char *const want[] = { "m=application 3478 DTLS/SCTP 5000",
					    "a=sctpmap:5000 webrtc-datachannel 1024", NULL };
	static const char *const absent[] = { "a=sctp-port", "a=mid", "BUNDLE", NULL };
	static struct mf_sdp_offer o;
	struct mf_span text = load("old");

	(void)state;
	read_offer(text, &o);
	assert_true(o.old_form);
	assert_string_equal(o.remote.ufrag, "sess");
	assert_int_equal(o.remote.setup, MF_RTC_SETUP_PASSIVE);
	assert_int_equal(o.remote.sctp_port, 5001);
	assert_int_equal(o.remote.max_message_size, 65536);
	check_answer(&o, want, absent);
	free((void *)(uintptr_t)text.ptr);
}

/* Four sections: one is answered, three are refused, in their order. */
static void test_other_sections(void **state)
{
	static const char *const want[] = {
		"a=group:BUNDLE d", "m=audio 0 UDP/TLS/RTP/SAVPF 111",
		"a=mid:a",	    "m=video 0 UDP/TLS/RTP/SAVPF 96",
		"a=mid:v",	    "m=application 3478 UDP/DTLS/SCTP webrtc-datachannel",
		"a=mid:d",	    "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
		"a=mid:e",	    NULL
	};
	static struct mf_sdp_offer o;
	struct mf_span text = load("media");

	(void)state;
	read_offer(text, &o);
	assert_int_equal(o.section_cnt, 4);
	assert_int_equal(o.data, 2);
	assert_string_equal(o.remote.ufrag, "data");
	assert_int_equal(o.remote.fingerprint.hash,
			 MF_RTC_SHA512); /* an md5 of any length is passed over */
	assert_int_equal(o.remote.fingerprint.len, 64);
	assert_int_equal(o.remote.setup, MF_RTC_SETUP_ACTIVE);
	assert_int_equal(o.remote.sctp_port, 6000);
	check_answer(&o, want, NULL);
	free((void *)(uintptr_t)text.ptr);
}

static void check_bad(const char *from, const char *to, int want)
{
	struct mf_span text = load("chromium");
	char buf[TEXT_MAX];
	static struct mf_sdp_offer o;
	struct mf_err err = { 0 };
	char *at;
	int res;

	assert_true(text.len < sizeof(buf) - 256);
	memcpy(buf, text.ptr, text.len);
	buf[text.len] = '\0';
	free((void *)(uintptr_t)text.ptr);
	at = strstr(buf, from);
	assert_non_null(at);
	memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
	memcpy(at, to, strlen(to));
	res = mf_sdp_offer_read(mf_span_str(buf), &o, &err);
	if (res != want)
		fail_msg("'%s' for '%s': %d, not %d (%s)", to, from, res, want, err.msg);
}

static void test_bad_offers(void **state)
{
	static struct mf_sdp_offer o;
	struct mf_err err = { 0 };

	(void)state;
	check_bad("v=0", "v=1", MF_E_BAD);
	check_bad("v=0\r\n", "", MF_E_BAD);
	check_bad("s=-", "s", MF_E_BAD);
	check_bad("m=application 52711", "m=application", MF_E_BAD);
	check_bad("m=application 52711", "m=application 65536", MF_E_BAD);
	check_bad("m=application 52711", "m=application 0", MF_E_UNSUPPORTED);
	check_bad("m=application 52711", "m=audio 52711", MF_E_UNSUPPORTED);
	check_bad("webrtc-datachannel", "t38", MF_E_UNSUPPORTED);
	check_bad("a=ice-ufrag:q2Wz\r\n", "", MF_E_BAD);
	check_bad("ufrag:q2Wz", "ufrag:q2W", MF_E_BAD);
	check_bad("ufrag:q2Wz", "ufrag:q2W:", MF_E_BAD);
	check_bad("pwd:5Xq0mT3pVnJ8rL1kYwZs7cHd", "pwd:5Xq0mT3pVnJ8rL1kYwZs7", MF_E_BAD);
	check_bad("a=ice-pwd", "a=ice-pwt", MF_E_BAD);
	check_bad("sha-256 03:", "sha-256 03", MF_E_BAD);
	check_bad("sha-256 03:", "sha-256 0g:", MF_E_BAD);
	check_bad("sha-256 03:", "sha-256 03:00:", MF_E_BAD);
	check_bad("sha-256 03:", "sha-1 03:", MF_E_UNSUPPORTED);
	check_bad("a=fingerprint", "a=fingerprin", MF_E_BAD);
	check_bad("setup:actpass", "setup:holdconn", MF_E_BAD);
	check_bad("a=mid:0", "a=mid:0 1", MF_E_BAD);
	check_bad("sctp-port:5000", "sctp-port:0", MF_E_BAD);
	check_bad("sctp-port:5000", "sctp-port:65536", MF_E_BAD);
	check_bad("max-message-size:262144", "max-message-size:99999999999999999999999", MF_E_BAD);
	check_bad("max-message-size:262144", "max-message-size:18446744073709551609", 0);
	check_bad("a=setup:actpass\r\n", "", 0);
	assert_int_equal(mf_sdp_offer_read(mf_span_of(NULL, 0), &o, &err), MF_E_BAD);
}

/* As many sections as there may be, and one more; a description that is too long. */
static void test_bounds(void **state)
{
	static struct mf_sdp_offer o;
	struct mf_strbuf b = MF_STRBUF_INIT(2 * MF_SDP_MAX);
	struct mf_err err = { 0 };

	(void)state;
	mf_strbuf_adds(&b, "v=0\r\n");
	for (int i = 0; i < MF_SDP_SECTIONS_MAX; i++)
		mf_strbuf_adds(&b, "m=audio 9 RTP/AVP 0\r\n");
	assert_int_equal(mf_sdp_offer_read(mf_span_of(b.str, b.len), &o, &err), MF_E_UNSUPPORTED);
	mf_strbuf_adds(&b, "m=audio 9 RTP/AVP 0\r\n");
	assert_int_equal(mf_sdp_offer_read(mf_span_of(b.str, b.len), &o, &err), MF_E_LIMIT);
	while (b.len <= MF_SDP_MAX)
		mf_strbuf_adds(&b, "a=x\r\n");
	assert_int_equal(mf_sdp_offer_read(mf_span_of(b.str, b.len), &o, &err), MF_E_LIMIT);
	mf_strbuf_done(&b);
}

static void test_messages(void **state)
{
	static const struct {
		const char *text;
		enum mf_signal_type type;
	} cases[] = {
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\"}}",
		  MF_SIGNAL_OFFER },
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"answer\",\"sdp\":\"v=0\"}}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"\"}}", MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\",\"x\":1}}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\"},\"x\":1}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\"}} x",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v="
		  "0\"}}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"offer\",\"sdp\":\"v=0\"}", MF_SIGNAL_BAD },
		{ "{\"type\":\"answer\",\"sdp\":{\"type\":\"answer\",\"sdp\":\"v=0\"}}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"error\",\"code\":\"x\",\"message\":\"y\"}", MF_SIGNAL_BAD },
		{ "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"\"}}",
		  MF_SIGNAL_CANDIDATE },
		{ "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"x\",\"sdpMid\":null,"
		  "\"sdpMLineIndex\":0,\"usernameFragment\":\"u\"}}",
		  MF_SIGNAL_CANDIDATE },
		{ "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"x\",\"sdpMLineIndex\":"
		  "\"0\"}}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"candidate\",\"candidate\":{\"candidate\":\"x\",\"sdpMLineIndex\":-1}"
		  "}",
		  MF_SIGNAL_BAD },
		{ "{\"type\":\"candidate\",\"candidate\":{\"sdpMid\":\"0\"}}", MF_SIGNAL_BAD },
		{ "{\"type\":\"candidate\",\"candidate\":\"x\"}", MF_SIGNAL_BAD },
		{ "{\"type\":\"close\"}", MF_SIGNAL_CLOSE },
		{ "{\"type\":\"close\",\"sdp\":null}", MF_SIGNAL_BAD },
		{ "{\"type\":\"auth\",\"token\":\"t\"}", MF_SIGNAL_AUTH },
		{ "{\"type\":\"auth\"}", MF_SIGNAL_AUTH },
		{ "{\"type\":\"auth\",\"token\":1}", MF_SIGNAL_BAD },
		{ "{\"type\":\"auth\",\"token\":\"t\",\"more\":1}", MF_SIGNAL_BAD },
		{ "{\"type\":7}", MF_SIGNAL_BAD },
		{ "[]", MF_SIGNAL_BAD },
		{ "", MF_SIGNAL_BAD },
	};
	struct mf_signal s;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		mf_signal_read(mf_span_str(cases[i].text), &s);
		if (s.type != cases[i].type)
			fail_msg("%s: %d, not %d", cases[i].text, s.type, cases[i].type);
		mf_signal_done(&s);
	}
}

static void test_bodies(void **state)
{
	static const struct {
		const char *text;
		enum mf_signal_body form;
		bool good;
	} cases[] = {
		{ "{\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\"}}", MF_SIGNAL_BODY_OFFER, true },
		{ "{\"type\":\"offer\",\"sdp\":\"v=0\"}", MF_SIGNAL_BODY_OFFER, true },
		{ "{\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\"},\"type\":\"offer\"}",
		  MF_SIGNAL_BODY_OFFER, false },
		{ "{\"type\":\"answer\",\"sdp\":\"v=0\"}", MF_SIGNAL_BODY_OFFER, false },
		{ "{\"version\":1,\"offer\":{\"type\":\"offer\",\"sdp\":\"v=0\"}}",
		  MF_SIGNAL_BODY_LEGACY, true },
		{ "{\"version\":2,\"offer\":{\"type\":\"offer\",\"sdp\":\"v=0\"}}",
		  MF_SIGNAL_BODY_LEGACY, false },
		{ "{\"offer\":{\"type\":\"offer\",\"sdp\":\"v=0\"}}", MF_SIGNAL_BODY_LEGACY,
		  false },
		{ "{\"type\":\"offer\",\"sdp\":\"v=0\"}", MF_SIGNAL_BODY_LEGACY, false },
		{ "null", MF_SIGNAL_BODY_OFFER, false },
	};
	struct mf_signal s;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		mf_signal_read_body(mf_span_str(cases[i].text), cases[i].form, &s);
		if ((s.type == MF_SIGNAL_OFFER) != cases[i].good)
			fail_msg("%s", cases[i].text);
		if (cases[i].good)
			assert_true(mf_span_eq(s.sdp, mf_span_str("v=0")));
		mf_signal_done(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chromium),   cmocka_unit_test(test_firefox),
		cmocka_unit_test(test_old_form),   cmocka_unit_test(test_other_sections),
		cmocka_unit_test(test_bad_offers), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_messages),   cmocka_unit_test(test_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
