// SPDX-License-Identifier: Apache-2.0
// Resolvers as a user writes them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxies/dns_server.h"

#define PIN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static void what_is_written_is_understood(void **state)
{
	static const struct {
		const char *text, *shown, *host, *path, *at;
		enum mf_dns_scheme scheme;
	} cases[] = {
		{ "192.0.2.53", "192.0.2.53:53", "192.0.2.53", "", "192.0.2.53:53",
		  MF_DNS_OVER_UDP },
		{ "192.0.2.53:5353", "192.0.2.53:5353", "192.0.2.53", "", "192.0.2.53:5353",
		  MF_DNS_OVER_UDP },
		{ "2001:db8::53", "[2001:db8::53]:53", "2001:db8::53", "", "[2001:db8::53]:53",
		  MF_DNS_OVER_UDP },
		{ "udp://[2001:db8::53]:54", "[2001:db8::53]:54", "2001:db8::53", "",
		  "[2001:db8::53]:54", MF_DNS_OVER_UDP },
		{ "tcp://192.0.2.53", "tcp://192.0.2.53:53", "192.0.2.53", "", "192.0.2.53:53",
		  MF_DNS_OVER_TCP },
		{ "tls://[2001:db8::53]", "tls://[2001:db8::53]:853", "2001:db8::53", "",
		  "[2001:db8::53]:853", MF_DNS_OVER_TLS },
		{ "tls://dns.example:8853#at=192.0.2.1", "tls://dns.example:8853", "dns.example",
		  "", "192.0.2.1:8853", MF_DNS_OVER_TLS },
		{ "https://dns.example#at=192.0.2.1,pin=" PIN, "https://dns.example:443/dns-query",
		  "dns.example", "/dns-query", "192.0.2.1:443", MF_DNS_OVER_HTTPS },
		{ "https://192.0.2.1:8443/q{?dns}", "https://192.0.2.1:8443/q", "192.0.2.1", "/q",
		  "192.0.2.1:8443", MF_DNS_OVER_HTTPS },
	};
	struct mf_dns_server s;
	char text[MF_DNS_SERVER_TEXT];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_int_equal(mf_dns_server_parse(cases[i].text, &s, NULL), 0);
		assert_int_equal(s.scheme, cases[i].scheme);
		assert_string_equal(s.host, cases[i].host);
		assert_string_equal(s.path, cases[i].path);
		assert_string_equal(mf_dns_server_format(&s, text, sizeof(text)), cases[i].shown);
		assert_string_equal(mf_endpoint_format(&s.at, text, sizeof(text)), cases[i].at);
	}
	assert_int_equal(mf_dns_server_parse("tls://192.0.2.1#pin=" PIN ",pin=" PIN, &s, NULL), 0);
	assert_int_equal(s.pin_cnt, 2);
	for (unsigned i = 0; i < MF_DNS_PIN_LEN; i++)
		assert_int_equal(s.pins[1][i], i);
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "no address" },
		{ "dns.example", "given by its address" },
		{ "192.0.2.53:0", "no address" },
		{ "192.0.2.53:70000", "no address" },
		{ "192.0.2.53/24", "no address" },
		{ "[dns.example]", "no address" },
		{ "quic://192.0.2.53", "udp, tcp, tls or https" },
		{ "tls://dns.example", "a name needs #at=ADDRESS" },
		{ "tls://user@dns.example#at=192.0.2.1", "no address" },
		{ "tls://dns.example#at=elsewhere", "at= wants an address" },
		{ "tls://dns.example#at=192.0.2.1,", "behind '#'" },
		{ "tls://dns.example#to=192.0.2.1", "behind '#'" },
		{ "tls://192.0.2.1#pin=c2hvcnQ=", "pin= wants" },
		{ "tls://192.0.2.1#pin=" PIN ",pin=" PIN ",pin=" PIN, "at most 2" },
		{ "tcp://192.0.2.1#pin=" PIN, "only tls and https" },
		{ "https://192.0.2.1/a b", "printable" },
		{ "https:///dns-query", "no address" },
	};
	struct mf_dns_server s;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_err err = { 0 };

		assert_int_equal(mf_dns_server_parse(cases[i].text, &s, &err), MF_E_SYNTAX);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

static void long_ones_are_refused_not_cut(void **state)
{
	struct mf_dns_server s;
	char text[1000];

	(void)state;
	for (size_t len = 1; len < 600; len++) {
		size_t at = (size_t)snprintf(text, sizeof(text), "https://192.0.2.1/");

		memset(text + at, 'a', len);
		text[at + len] = '\0';
		assert_int_equal(mf_dns_server_parse(text, &s, NULL),
				 len + 1 < MF_DNS_PATH_MAX ? 0 : MF_E_SYNTAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_understood),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(long_ones_are_refused_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
