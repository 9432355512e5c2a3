// SPDX-License-Identifier: Apache-2.0
// What a client speaks, and whom a request is for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
		{ "PRI * HTTP/2.0", MF_SPEECH_OTHER },
		{ "NICK bob\r\n", MF_SPEECH_OTHER },
		{ "NICK bob", MF_SPEECH_HTTP },
		{ "GET / HTTP/1.0\r\nX", MF_SPEECH_HTTP },
		{ "GET / HTTP/1.1\n", MF_SPEECH_HTTP },
		{ "SSH-2.0-x", MF_SPEECH_OTHER },
		{ "AB /", MF_SPEECH_OTHER },
		{ "get /", MF_SPEECH_OTHER },
		{ "THISISNOMETHODOFANYPROTOCOL /", MF_SPEECH_OTHER },
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
	assert_host("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0, "a");
}

static void a_request_with_two_hosts_or_an_empty_one_is_bad(void **state)
{
	(void)state;
	assert_host("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", MF_E_BAD, NULL);
	assert_host("GET / HTTP/1.1\r\nHost:\r\n\r\n", MF_E_BAD, NULL);
	assert_host("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", MF_E_BAD, NULL);
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
		cmocka_unit_test(a_request_with_two_hosts_or_an_empty_one_is_bad),
		cmocka_unit_test(a_head_that_is_not_complete_asks_for_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
