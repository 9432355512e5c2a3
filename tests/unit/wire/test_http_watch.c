// SPDX-License-Identifier: Apache-2.0
// Requests of cleartext connections: every name is told of before its head passes, however the bytes are cut.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/hpack.h"
#include "core/wire/http_head.h"
#include "core/wire/http_watch.h"

#define WIRE_MAX 400000

struct run {
	char told
		[4096]; /* "name " for each request, with ":port" for CONNECT's, "?" for blind ones, and "!" for an error */
	size_t passed, told_at; /* bytes; how many had passed when the last request was told of */
	bool another;
};

// Feeds @wire in pieces of @step bytes, as a relay does.
static void run_watch(const void *wire, size_t len, size_t step, struct run *ret)
{
	struct mf_http_watch *w = mf_http_watch_new();
	uint8_t *held = malloc(len + 1);
	size_t have = 0, given = 0, pass;
	struct mf_http_said said;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	assert_non_null(w);
	while (given < len && r >= 0) {
		size_t n = len - given < step ? len - given : step;

		memcpy(held + have, (const uint8_t *)wire + given, n);
		given += n;
		have += n;
		do {
			size_t room = sizeof(ret->told) - strlen(ret->told);
			// exactly as large as what is held, so that AddressSanitizer sees a read past its end
			uint8_t *exact = malloc(have ? have : 1);

			memcpy(exact, held, have);
			r = mf_http_watch_next(w, mf_span_of(exact, have), &pass, &said);
			assert_true(pass <= have);
			ret->passed += pass;
			if (r == 1 && said.connect)
				snprintf(ret->told + strlen(ret->told), room, "%.*s:%u ",
					 (int)said.host.len, (const char *)said.host.ptr,
					 said.port);
			else if (r == 1)
				snprintf(ret->told + strlen(ret->told), room, "%.*s%s ",
					 (int)said.host.len, (const char *)said.host.ptr,
					 said.blind ? "?" : "");
			if (r == 1)
				ret->told_at = ret->passed;
			free(exact);
			memmove(held, held + pass, have - pass);
			have -= pass;
		} while (r == 1);
		assert_true(r != 0 || have <= MF_HTTP_WATCH_HELD_MAX);
	}
	if (r < 0)
		strcat(ret->told, "!");
	ret->another = mf_http_watch_is_another(w);
	mf_http_watch_free(w);
	free(held);
}

static void assert_told(const void *wire, size_t len, const char *told)
{
	static const size_t steps[] = { 1, 2, 3, 7, 50, 1000, WIRE_MAX };

	for (size_t i = 0; i < MF_ARRAY_SIZE(steps); i++) {
		struct run run;

		if (len / steps[i] >
		    20000) // the first word is looked at anew with each piece: that takes long
			continue;
		run_watch(wire, len, steps[i], &run);
		assert_string_equal(run.told, told);
		if (!strchr(told, '!'))
			assert_int_equal(run.passed, len);
	}
}

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

static void each_request_of_a_connection_is_told_of(void **state)
{
	static const struct {
		const char *wire, *told;
	} cases[] = {
		{ GET("a") GET("b") GET("b:81") "\r\n" GET("c"), "a b b c " },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" GET("not.asked")
			  GET("b"),
		  "a b " },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "27;x=\"y\"\r\n" GET("not.asked.too") "\r\n0\r\n\r\n" GET("b"),
		  "a b " },
		{ "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n"
		  "1\r\nx\r\n0\r\nTrailer: Host: c\r\nHost: c\r\n\r\n" GET("b"),
		  "a b " },
		{ "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n2\nxy\n0\n\n" GET("b"),
		  "a b " },
		{ "GET http://a/ HTTP/1.1\r\n\r\n" GET("b"), "a b " },
		{ "GET / HTTP/1.0\r\n\r\n" GET("b"), " b " },
		// Expect: the body comes when the server has agreed
		{ "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
		  "2\r\n\r\nxy" GET("b"),
		  "a b " },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_told(cases[i].wire, strlen(cases[i].wire), cases[i].told);
}

static void what_cannot_be_followed_is_bad(void **state)
{
	static const struct {
		const char *wire, *told;
	} cases[] = {
		{ GET("a") "no request\r\n\r\n", "a !" },
		{ GET("a") "GET / HTTP/1.1\r\nHost: b\r\nHost: c\r\n\r\n", "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
		  "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\rx", "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "
		  "b\rc\r\n\r\n",
		  "a !" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n1000000000000000\r\n",
		  "a !" },
	};
	char *wire = malloc(WIRE_MAX);
	int n;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_told(cases[i].wire, strlen(cases[i].wire), cases[i].told);
	// a head without end, and a chunk's line without end
	n = snprintf(wire, WIRE_MAX, "GET / HTTP/1.1\r\nA: ");
	memset(wire + n, 'x', 100000);
	assert_told(wire, 100000, "!");
	n = snprintf(wire, WIRE_MAX,
		     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	memset(wire + n, 'x', 1000);
	assert_told(wire, (size_t)n + 1000, "a !");
	free(wire);
}

static void another_protocol_is_known_from_its_first_byte(void **state)
{
	static const char *const others[] = { "\x01\x02\x03", "SSH-2.0-x\r\n", "EHLO me\r\n",
					      "\r\n\x01" };
	struct run run;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(others); i++) {
		assert_told(others[i], strlen(others[i]), "");
		run_watch(others[i], strlen(others[i]), 1, &run);
		assert_true(run.another);
	}
}

static size_t load_hello(uint8_t *at)
{
	FILE *f = fopen(MF_TEST_DATA "/hello/chromium.bin", "rb");
	size_t n;

	assert_non_null(f);
	n = fread(at, 1, 4096, f);
	fclose(f);
	return n;
}

static void behind_connect_and_upgrade_names_are_still_found(void **state)
{
#define CONNECT "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	static const struct {
		const char *wire, *told;
		bool another;
	} cases[] = {
		{ CONNECT GET("b"), "a:443 b ", false },
		{ CONNECT "\x81\x05hello" GET("b"), "a:443 ", true },
		{ CONNECT CONNECT GET("b"), "a:443 a:443 b ", false },
		{ UPGRADE "\x81\x85" GET("b"), "a ", true },
		{ UPGRADE GET("b"), "a b ", false }, // the server did not change protocols
		{ UPGRADE "\r\n" GET("b"), "a b ", false },
		{ "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n0\r\n\r\n\x81\x01",
		  "a ", true },
	};
	uint8_t wire[8192];
	size_t n = strlen(CONNECT);
	struct run run;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_told(cases[i].wire, strlen(cases[i].wire), cases[i].told);
		run_watch(cases[i].wire, strlen(cases[i].wire), 5, &run);
		assert_int_equal(run.another, cases[i].another);
	}
	memcpy(wire, CONNECT, n);
	n += load_hello(wire + n);
	memcpy(wire + n, "\x17\x03\x03\0\1x", 6);
	assert_told(wire, n + 6, "a:443 api.vendor.example ");
}

static void an_unsure_beginning_says_so(void **state)
{
	static const struct {
		const char *bytes;
		bool unsure;
	} cases[] = { { "GET", true },
		      { "GET / HT", true },
		      { "hello wor", true },
		      { GET("a"), false },
		      { "GET / HTTP/1.1\r\nHos", false },
		      { "hello world\r\n", false } };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_http_watch *w = mf_http_watch_new();
		struct mf_http_said said;
		size_t pass;

		(void)mf_http_watch_next(w, mf_span_str(cases[i].bytes), &pass, &said);
		assert_int_equal(mf_http_watch_is_unsure(w), cases[i].unsure);
		mf_http_watch_free(w);
	}
}

/* --- HTTP/2 --------------------------------------------------------------------------------------------------------- */

struct wire {
	uint8_t bytes[WIRE_MAX];
	size_t len;
};

static void put(struct wire *w, const void *bytes, size_t len)
{
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
}

static void put_frame(struct wire *w, uint8_t type, uint8_t flags, uint32_t stream,
		      const void *payload, size_t len)
{
	uint8_t head[9];

	mf_store_be24(head, (uint32_t)len);
	head[3] = type;
	head[4] = flags;
	mf_store_be32(head + 5, stream);
	put(w, head, 9);
	put(w, payload, len);
}

static struct wire *begin_h2(void)
{
	struct wire *w = calloc(1, sizeof(*w));

	put(w, MF_HTTP2_PREFACE, MF_HTTP2_PREFACE_LEN);
	put_frame(w, 4, 0, 0, "\0\3\0\0\0\x64", 6); // SETTINGS
	return w;
}

#define PLAIN_GET "\x82\x86\x84"	    // GET, http, /: RFC 7541's C.3
#define WWW	  "\x41\x0fwww.example.com" // :authority, remembered
#define WWW_CODED "\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff" // RFC 7541's C.4.1
#define REPEATED  "\xbe" // the newest entry of the table
#define SIZED(s)  s, sizeof(s) - 1

static void the_authority_of_each_http2_request_is_told_of(void **state)
{
	struct wire *w = begin_h2();

	(void)state;
	put_frame(w, 1, 4 | 1, 1, SIZED(PLAIN_GET WWW));
	put_frame(w, 0, 1, 3, SIZED("data\0\0\0\1\4of a stream"));
	put_frame(w, 1, 4, 3, SIZED(PLAIN_GET REPEATED));
	put_frame(w, 1, 4 | 1, 3, SIZED("\x40\1x\1y")); // trailers
	put_frame(w, 1, 4, 5, SIZED(PLAIN_GET WWW_CODED));
	// padded, with a priority, in three pieces
	put_frame(w, 1, 8 | 32, 7, SIZED("\3\0\0\0\0\7\x82\x86pad"));
	put_frame(w, 9, 0, 7, SIZED("\x84\x01"));
	put_frame(w, 9, 4, 7, SIZED("\5b.ex1"));
	// no :authority but a Host, and neither; CONNECT
	put_frame(w, 1, 4, 9, SIZED(PLAIN_GET "\x0f\x17\1h"));
	put_frame(w, 1, 4, 11, SIZED(PLAIN_GET));
	put_frame(w, 1, 4, 13, SIZED("\x02\7CONNECT\x01\6t.ex:9"));
	// a WebSocket is the server's own (RFC 8441)
	put_frame(w, 1, 4, 15, SIZED("\x02\7CONNECT\0\x09:protocol\x09websocket\x01\6t.ex:9"));
	put_frame(w, 1, 4, 17,
		  SIZED("\x02\7CONNECT\0\x09:protocol\x0b"
			"connect-udp\x01\6t.ex:9"));
	put_frame(w, 6, 0, 0, "12345678", 8);
	assert_told(w->bytes, w->len,
		    "www.example.com www.example.com www.example.com b.ex1 h  t.ex:9 t.ex t.ex? ");
	free(w);
}

static void http2_after_an_upgrade_is_watched(void **state)
{
	static const char upgrade[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n";
	struct wire *w = begin_h2(), *both = calloc(1, sizeof(*both));

	(void)state;
	put_frame(w, 1, 4 | 1, 3, SIZED(PLAIN_GET WWW));
	put(both, upgrade, sizeof(upgrade) - 1);
	put(both, w->bytes, w->len);
	assert_told(both->bytes, both->len, "a www.example.com ");
	free(w);
	free(both);
}

static void http2_that_cannot_be_followed_is_bad(void **state)
{
	static const struct {
		const char *what;
		uint8_t type, flags;
		const char *payload;
		size_t len;
	} cases[] = {
		{ "a promise", 5, 4, SIZED("\0\0\0\2\x82") },
		{ "a continuation of nothing", 9, 4, SIZED("\x82") },
		{ "padding longer than its frame", 1, 8 | 4, SIZED("\x0a\x82") },
		{ "an entry that is not there", 1, 4, SIZED("\x82\xbe") },
		{ "entry zero", 1, 4, SIZED("\x80") },
		{ "an integer without end", 1, 4, SIZED("\xff\xff\xff\xff\xff\xff") },
		{ "a string past its block", 1, 4, SIZED("\x82\x41\x0fwww") },
		{ "padding of more than seven bits", 1, 4, SIZED("\x82\x41\x82\xff\xff") },
		{ "padding that is no ones", 1, 4, SIZED("\x82\x41\x81\x00") },
		{ "EOS", 1, 4, SIZED("\x82\x41\x84\xff\xff\xff\xff") },
		{ "two authorities", 1, 4, SIZED(PLAIN_GET "\x01\1a\x01\1b") },
		{ "another Host", 1, 4, SIZED(PLAIN_GET "\x01\1a\x0f\x17\1b") },
		{ "two methods", 1, 4, SIZED("\x82\x83\x01\1a") },
		{ "an authority without a method", 1, 4, SIZED("\x01\1a") },
		{ "a user in the authority", 1, 4, SIZED(PLAIN_GET "\x01\3u@a") },
		{ "a table over the limit", 1, 4, SIZED("\x3f\xe2\x7f\x82") },
		{ "a new size behind a field", 1, 4, SIZED("\x82\x20") },
	};
	struct run run;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct wire *w = begin_h2();

		put_frame(w, cases[i].type, cases[i].flags, 1, cases[i].payload, cases[i].len);
		run_watch(w->bytes, w->len, 10, &run);
		if (strcmp(run.told, "!") != 0)
			fail_msg("%s: '%s'", cases[i].what, run.told);
		free(w);
	}
}

static void a_block_in_endless_pieces_ends_at_the_limit(void **state)
{
	struct wire *w = begin_h2();
	struct run run;

	(void)state;
	put_frame(w, 1, 0, 1, SIZED("\x82"));
	for (int i = 0; i < 100; i++)
		put_frame(w, 9, 0, 1, "", 0);
	run_watch(w->bytes, w->len, 10, &run);
	assert_string_equal(run.told, "!");
	free(w);
	w = begin_h2();
	put_frame(w, 1, 0, 1, SIZED("\x82"));
	for (int i = 0; i < 6; i++) {
		static char big[16384];

		put_frame(w, 9, 0, 1, big, sizeof(big));
	}
	run_watch(w->bytes, w->len, 1000, &run);
	assert_string_equal(run.told, "!");
	free(w);
}

struct seen {
	char text[256];
};

static int see(void *ctx, enum mf_hpack_name name, struct mf_span value)
{
	struct seen *s = ctx;

	snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%d=%.*s ", name,
		 (int)value.len, (const char *)value.ptr);
	return 0;
}

// RFC 7541's appendix C.5 has a table of 256 bytes, from which entries must go.
static void entries_leave_the_table_as_the_standard_says(void **state)
{
	struct mf_hpack h;
	struct seen s = { "" };

	(void)state;
	mf_hpack_init(&h);
	// size 100: two entries of 10 + 5 + 32 = 47 bytes, the third drives the first out
	assert_int_equal(
		mf_hpack_read(&h, mf_span_of(SIZED("\x3f\x45\x41\5a.tes\x41\5b.tes")), see, &s), 0);
	assert_int_equal(h.cnt, 2);
	assert_int_equal(h.size, 94);
	assert_int_equal(mf_hpack_read(&h, mf_span_of(SIZED("\xbf\xbe")), see, &s), 0);
	assert_int_equal(mf_hpack_read(&h, mf_span_of(SIZED("\x41\5c.tes\xbf")), see, &s), 0);
	assert_string_equal(s.text, "1=a.tes 1=b.tes 1=a.tes 1=b.tes 1=c.tes 1=b.tes ");
	assert_int_equal(mf_hpack_read(&h, mf_span_of(SIZED("\xc0")), see, &s), MF_E_BAD);
	// one that is larger than the table empties it; size 0 as well
	assert_int_equal(mf_hpack_read(&h,
				       mf_span_of(SIZED("\x40\1x\x46"
							"012345678901234567890123456789012345678901"
							"2345678901234567890123456789")),
				       see, &s),
			 0);
	assert_int_equal(h.cnt, 0);
	assert_int_equal(mf_hpack_read(&h, mf_span_of(SIZED("\x41\5a.tes")), see, &s), 0);
	assert_int_equal(h.cnt, 1);
	assert_int_equal(mf_hpack_read(&h, mf_span_of(SIZED("\x20\x82")), see, &s), 0);
	assert_int_equal(h.cnt, 0);
	mf_hpack_done(&h);
}

// Puts the hello into records of @size bytes. Return: bytes at @out
static size_t cut_records(const uint8_t *hello, size_t len, size_t size, uint8_t *out)
{
	size_t n = 0;

	for (size_t at = 5; at < len; at += size) {
		size_t part = len - at < size ? len - at : size;

		memcpy(out + n, hello, 3);
		mf_store_be16(out + n + 3, (uint16_t)part);
		memcpy(out + n + 5, hello + at, part);
		n += 5 + part;
	}
	return n;
}

static void tls_after_other_words_says_its_name(void **state)
{
	static const struct {
		const char *words;
		size_t len;
	} cases[] = {
#define WORDS(text) { text, sizeof(text) - 1 }
		WORDS("EHLO me\r\nSTARTTLS\r\n"),
		WORDS("a1 CAPABILITY\r\na2 STARTTLS\r\n"),
		WORDS("<?xml version='1.0'?><stream:stream><starttls "
		      "xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
		WORDS("\0\0\0\x08\x04\xd2\x16\x2f"),			       // PostgreSQL
		WORDS("\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f"), // ... and GSSAPI before
		WORDS(" \0\0\1\x85\xae\x3f "
		      "\0\0\0\1\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), // MySQL
		WORDS("0\x1d\2\1\1w\x18\x80\x16"
		      "1.3.6.1.4.1.1466.20037"), // LDAP
		WORDS("EHLO \x16\x16\x03\r\nSTARTTLS\r\n\x16\x03\x01\0\0\x01\x16\x03"),
#undef WORDS
	};
	static const size_t sizes[] = { 16384, 600, 12, 5, 1 };
	uint8_t hello[4096], *wire = malloc(WIRE_MAX);
	size_t len = load_hello(hello);

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < MF_ARRAY_SIZE(sizes); k++) {
			size_t n = cases[i].len;

			memcpy(wire, cases[i].words, n);
			n += cut_records(hello, len, sizes[k], wire + n);
			memcpy(wire + n, "\x17\x03\x03\0\1x", 6);
			assert_told(wire, n + 6, "api.vendor.example ");
		}
	}
	// among the first 64 KiB
	memset(wire, 'x', WIRE_MAX);
	memcpy(wire + 65000, hello, len);
	assert_told(wire, 65000 + len, "api.vendor.example ");
	memset(wire + 65000, 'x', 1000);
	memcpy(wire + 66000, hello, len);
	assert_told(wire, 66000 + len, "");
	// what begins as a hello and is none
	memcpy(wire, "QUIT\r\n", 6);
	memcpy(wire + 6, hello, len);
	wire[6 + 5 + 3]++; // a byte more than there is
	assert_told(wire, 6 + len + 9, "!");
	free(wire);
}

static void a_second_hello_names_the_same(void **state)
{
#define CCS   "\x14\x03\x03\0\1\1"
#define ALERT "\x15\x03\x03\0\2\1Z"
#define DATA  "\x17\x03\x03\0\5abcde"
#define NONE  "\x17\x03\x03\0\0"
	static const struct {
		const char *between;
		size_t len;
		const char *told; // where the second names somebody else
	} cases[] = {
#define BETWEEN(text, told) { text, sizeof(text) - 1, told }
		BETWEEN("", "a:443 api.vendor.example !"),
		BETWEEN(CCS, "a:443 api.vendor.example !"),
		BETWEEN(ALERT CCS NONE ALERT, "a:443 api.vendor.example !"),
		// an encrypted message: the handshake went on
		BETWEEN(CCS DATA, "a:443 api.vendor.example "),
		BETWEEN("\x16\x03\x03\0\5\x10"
			"abcd",
			"a:443 api.vendor.example "),
#undef BETWEEN
	};
	uint8_t hello[4096], *wire = malloc(WIRE_MAX);
	size_t len = load_hello(hello), n;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		for (unsigned other = 0; other < 2; other++) {
			uint8_t *name;

			n = strlen(CONNECT);
			memcpy(wire, CONNECT, n);
			memcpy(wire + n, hello, len);
			n += len;
			memcpy(wire + n, cases[i].between, cases[i].len);
			n += cases[i].len;
			memcpy(wire + n, hello, len);
			name = memmem(wire + n, len, "api.vendor", 10);
			assert_non_null(name);
			memcpy(name, other ? "spy" : "API", 3);
			assert_told(wire, n + len,
				    other ? cases[i].told : "a:443 api.vendor.example ");
		}
	}
	// early data may come before it, where the first hello says so: an extension is renamed
	n = strlen(CONNECT);
	memcpy(wire, CONNECT, n);
	{
		uint8_t *empty = memmem(hello, len, "\0\x17\0\0", 4);

		assert_non_null(empty);
		empty[1] = 42;
	}
	memcpy(wire + n, hello, len);
	n += len;
	for (unsigned i = 0; i < 1000; i++, n += sizeof(DATA) - 1)
		memcpy(wire + n, DATA, sizeof(DATA) - 1);
	memcpy(wire + n, hello, len);
	assert_told(wire, n + len, "a:443 api.vendor.example ");
	memcpy(memmem(wire + n, len, "api.vendor", 10), "spy", 3);
	assert_told(wire, n + len, "a:443 api.vendor.example !");
	free(wire);
}

#define CONNECT_H2 "\x02\7CONNECT\x01\6t.ex:9"

// DATA of a stream, in frames of @size bytes, with another stream's in between
static void put_tunnel(struct wire *w, uint32_t stream, size_t size, const void *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += size) {
		size_t part = len - at < size ? len - at : size;

		put_frame(w, 0, 0, stream, (const char *)bytes + at, part);
		if (at == 0) {
			put_frame(w, 8, 0, 0, "\0\0\1\0", 4);
			put_frame(w, 0, 0, 99, "of another stream", 17);
		}
	}
}

static void what_is_inside_http2_tunnels_is_told_of(void **state)
{
	static const size_t sizes[] = { 16000, 100, 7 };
	uint8_t hello[4096];
	size_t len = load_hello(hello);

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(sizes); i++) {
		struct wire *w = begin_h2(), *inner;

		put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
		put_frame(w, 1, 4, 3, SIZED(CONNECT_H2));
		put_tunnel(w, 1, sizes[i], hello, len);
		put_tunnel(w, 3, sizes[i], SIZED(GET("a") GET("b")));
		// padded, and its end
		put_frame(w, 0, 8, 3, SIZED("\4GET / HTTP/1.1\r\nHost\0\0\0\0"));
		put_frame(w, 1, 4 | 1, 5, SIZED(PLAIN_GET WWW));
		put_frame(w, 0, 1, 3, SIZED(": c\r\n\r\n"));
		put_frame(w, 0, 0, 1, SIZED("\x17\x03\x03\0\1x"));
		put_frame(w, 0, 1, 1, SIZED("anything"));
		assert_told(w->bytes, w->len,
			    "t.ex:9 t.ex:9 api.vendor.example a b www.example.com c ");
		free(w);

		// words, STARTTLS, a tunnel in a tunnel, HTTP/2 in HTTP/2
		w = begin_h2();
		put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
		put_frame(w, 1, 4, 3, SIZED(CONNECT_H2));
		put_frame(w, 1, 4, 5, SIZED(CONNECT_H2));
		put_tunnel(w, 1, sizes[i], SIZED("EHLO me\r\nSTARTTLS\r\n"));
		put_tunnel(w, 1, sizes[i], hello, len);
		put_tunnel(w, 3, sizes[i], SIZED(CONNECT GET("b")));
		inner = begin_h2();
		put_frame(inner, 1, 4, 1, SIZED(CONNECT_H2));
		put_tunnel(inner, 1, sizes[i], SIZED(GET("d")));
		put_tunnel(w, 5, sizes[i], inner->bytes, inner->len);
		assert_told(w->bytes, w->len,
			    "t.ex:9 t.ex:9 t.ex:9 api.vendor.example a:443 b t.ex:9 d ");
		free(inner);
		free(w);
	}
}

static void http2_tunnels_that_cannot_be_followed_are_bad(void **state)
{
	struct wire *w = begin_h2(), *inner;
	uint8_t hello[4096];
	size_t len = load_hello(hello);

	(void)state;
	// a hello that never ends, with the end of its stream
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	put_frame(w, 0, 1, 1, (const char *)hello, len - 1);
	assert_told(w->bytes, w->len, "t.ex:9 !");
	free(w);
	// padding
	w = begin_h2();
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	put_frame(w, 0, 8, 1, SIZED("\3abc"));
	put_frame(w, 0, 8, 1, SIZED("\4abc"));
	assert_told(w->bytes, w->len, "t.ex:9 !");
	free(w);
	// two requests of one stream
	w = begin_h2();
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	assert_told(w->bytes, w->len, "t.ex:9 !");
	free(w);
	// more tunnels than are read at once
	w = begin_h2();
	for (uint32_t i = 0; i < 101; i++)
		put_frame(w, 1, 4, 1 + 2 * i, SIZED(CONNECT_H2));
	{
		struct run run;

		run_watch(w->bytes, w->len, WIRE_MAX, &run);
		assert_string_equal(run.told + strlen(run.told) - 1, "!");
	}
	free(w);
	// a stream that is given up lets the others go
	w = begin_h2();
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	put_frame(w, 0, 0, 1, (const char *)hello, 100);
	put_frame(w, 3, 0, 1, "\0\0\0\x08", 4);
	put_frame(w, 1, 4 | 1, 3, SIZED(PLAIN_GET WWW));
	assert_told(w->bytes, w->len, "t.ex:9 www.example.com ");
	free(w);
	// one in another, too deep
	w = begin_h2();
	put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
	for (unsigned i = 0; i < 4; i++) {
		inner = w;
		w = begin_h2();
		put_frame(w, 1, 4, 1, SIZED(CONNECT_H2));
		put_frame(w, 0, 0, 1, (const char *)inner->bytes, inner->len);
		free(inner);
	}
	assert_told(w->bytes, w->len, "t.ex:9 t.ex:9 t.ex:9 t.ex:9 !");
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_of_a_connection_is_told_of),
		cmocka_unit_test(what_cannot_be_followed_is_bad),
		cmocka_unit_test(what_is_inside_http2_tunnels_is_told_of),
		cmocka_unit_test(http2_tunnels_that_cannot_be_followed_are_bad),
		cmocka_unit_test(tls_after_other_words_says_its_name),
		cmocka_unit_test(a_second_hello_names_the_same),
		cmocka_unit_test(another_protocol_is_known_from_its_first_byte),
		cmocka_unit_test(behind_connect_and_upgrade_names_are_still_found),
		cmocka_unit_test(an_unsure_beginning_says_so),
		cmocka_unit_test(the_authority_of_each_http2_request_is_told_of),
		cmocka_unit_test(http2_after_an_upgrade_is_watched),
		cmocka_unit_test(http2_that_cannot_be_followed_is_bad),
		cmocka_unit_test(a_block_in_endless_pieces_ends_at_the_limit),
		cmocka_unit_test(entries_leave_the_table_as_the_standard_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
