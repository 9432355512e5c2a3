// SPDX-License-Identifier: Apache-2.0
// What a client speaks, and whom a request is for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/wire/http_head.h"

static void the_first_bytes_tell_what_a_client_speaks(void **state)
{
	static const struct {
		const char *bytes;
		enum mf_speech speech;
	} cases[] = {
		{ "", MF_SPEECH_UNKNOWN },
		{ "G", MF_SPEECH_UNKNOWN },
		{ "GET", MF_SPEECH_UNKNOWN },
		{ "GET ", MF_SPEECH_UNKNOWN },
		{ "GET /", MF_SPEECH_HTTP },
		{ "CONNECT a:443 HTTP/1.1", MF_SPEECH_HTTP },
		{ "VERSION-CONTROL /x", MF_SPEECH_HTTP },
		{ "PRI", MF_SPEECH_UNKNOWN },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", MF_SPEECH_UNKNOWN },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MF_SPEECH_HTTP2 },
		{ "PRI * HTTP/1.1\r\n", MF_SPEECH_HTTP },
		{ "NICK bob\r\n", MF_SPEECH_OTHER },
		{ "NICK bob", MF_SPEECH_HTTP },
		{ "GET / HTTP/1.0\r\nX", MF_SPEECH_HTTP },
		{ "GET / HTTP/1.1\n", MF_SPEECH_HTTP },
		{ "SSH-2.0-x\r\n", MF_SPEECH_OTHER },
		// what some server may take for a request, whoever wrote its method
		{ "AB /", MF_SPEECH_HTTP },
		{ "get / HTTP/1.1\r\n", MF_SPEECH_HTTP },
		{ "THISISNOMETHODOFANYPROTOCOL / HTTP/1.1 \r\n", MF_SPEECH_HTTP },
		{ "\r\n\r\nGET / HTTP/1.1\r\n", MF_SPEECH_HTTP },
		{ " GET\t/\tHTTP/1.1\n", MF_SPEECH_HTTP },
		{ "GET / HTTP/2.0\r\n", MF_SPEECH_HTTP },
		{ "get foo\r\n", MF_SPEECH_OTHER },
		{ "OPTIONS rtsp://a.example/ RTSP/1.0\r\n", MF_SPEECH_OTHER },
		{ "GET /\r\n", MF_SPEECH_OTHER },
		{ "*1\r\n", MF_SPEECH_OTHER },
		{ "\r\n", MF_SPEECH_UNKNOWN },
		{ "\x16", MF_SPEECH_UNKNOWN },
		{ "\x16\x03", MF_SPEECH_TLS },
		{ "\x16\x02", MF_SPEECH_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_int_equal(mf_speech_of(mf_span_str(cases[i].bytes)), cases[i].speech);
}

static void assert_host(const char *head, int result, const char *host)
{
	struct mf_span got = { NULL, 0 };

	assert_int_equal(mf_http_find_host(mf_span_str(head), &got), result);
	if (result == 0)
		assert_true(mf_span_eq(got, mf_span_str(host)));
}

static void the_host_of_a_request_is_found_without_its_port(void **state)
{
	(void)state;
	assert_host("GET / HTTP/1.1\r\nAccept: x\r\nHOST:  a.example:8080 \r\n\r\n", 0,
		    "a.example");
	assert_host("GET / HTTP/1.1\nHost: a.example\n\n", 0, "a.example");
	assert_host("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", 0, "2001:db8::1");
	assert_host("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "a");
	assert_host("CONNECT b.example:443 HTTP/1.1\r\nHost: proxy\r\n\r\n", 0, "b.example");
	assert_host("GET http://b.example:80/x HTTP/1.1\r\n\r\n", 0, "b.example");
	assert_host("GET HTTP://B.example HTTP/1.1\r\nHost: b.example:80\r\n\r\n", 0, "B.example");
	assert_host("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "a");
	assert_host("GET /http://b.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 0, "a");
}

static void a_head_that_could_be_read_in_two_ways_is_bad(void **state)
{
	// each behind "GET / HTTP/1.1\r\n", in front of an empty line
	static const char *const lines[] = {
		"Host: a\r\nHost: b",
		"Host: a\r\nHost: a",
		"Host:",
		"Host: [::1",
		"Host: [::1]x",
		"Host: a b",
		"Host: a,b",
		"Host: x@a",
		"Host: a/b",
		"Host: a:80x",
		"Host: a:70000",
		"Host: a\r\n Host: b",
		"Host: a\r\n\tb",
		"Host : a",
		"Host",
		" Host: a",
		"Host: a\rHost: b",
		"X: y\rHost: b",
		"Content-Length: 1\r\nContent-Length: 1",
		"Content-Length: 1, 1",
		"Content-Length: +1",
		"Content-Length: -1",
		"Content-Length: 0x1",
		"Content-Length:",
		"Content-Length: 9999999999999999999",
		"Content-Length: 1\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked, identity",
		"Transfer-Encoding: xchunked",
		"Transfer-Encoding: gzip",
	};
	static const char *const requests[] = {
		"GET / HTTP/1.1 \r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET\t/ HTTP/1.1\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / http/1.1\r\n\r\n",
		"GET / HTTP/1.10\r\n\r\n",
		"G(T / HTTP/1.1\r\n\r\n",
		"GET x HTTP/1.1\r\n\r\n",
		"GET a\001b HTTP/1.1\r\n\r\n",
		"GET http://u@b/ HTTP/1.1\r\n\r\n",
		"GET http:///x HTTP/1.1\r\n\r\n",
		"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
		"CONNECT /x HTTP/1.1\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	char head[256];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(lines); i++) {
		struct mf_http_head h;

		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s\r\n\r\n", lines[i]);
		if (mf_http_read_head(mf_span_str(head), &h) != MF_E_BAD)
			fail_msg("taken: %s", lines[i]);
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(requests); i++) {
		struct mf_http_head h;

		if (mf_http_read_head(mf_span_str(requests[i]), &h) != MF_E_BAD)
			fail_msg("taken: %s", requests[i]);
	}
	assert_int_equal(mf_http_read_head(mf_span_of("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 23),
					   &(struct mf_http_head){ 0 }),
			 MF_E_BAD);
	assert_host("GET / HTTP/1.0\r\n\r\n", MF_E_NOENT, NULL);
}

static void a_head_that_is_not_complete_asks_for_more(void **state)
{
	(void)state;
	assert_host("GET / HT", MF_E_AGAIN, NULL);
	assert_host("GET / HTTP/1.1\r\nHost: a\r\n", MF_E_AGAIN, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_bytes_tell_what_a_client_speaks),
		cmocka_unit_test(the_host_of_a_request_is_found_without_its_port),
		cmocka_unit_test(a_head_that_could_be_read_in_two_ways_is_bad),
		cmocka_unit_test(a_head_that_is_not_complete_asks_for_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
