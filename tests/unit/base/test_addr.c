/* SPDX-License-Identifier: Apache-2.0 */
/* test_addr.c - addresses as text and bytes, and the classes that policies rely on */
#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/sockets.h"
#include "tests/unit/test.h"

static struct mf_addr addr_of(const char *text)
{
	struct mf_addr a;

	if (mf_addr_parse(text, strlen(text), &a))
		fail_msg("\"%s\" is not read", text);
	return a;
}

static void text_is_read_and_written_in_its_canonical_form(void **state)
{
	static const char *const pairs[][2] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "0:0:0:0:0:0:0:0", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::FFFF:c000:0201", "192.0.2.1" },
		{ "64:ff9b::192.0.2.1", "64:ff9b::c000:201" },
		{ "::1.2.3.4", "::1.2.3.4" },
		{ "0001:0002::0003", "1:2::3" },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(pairs); i++) {
		struct mf_addr a = addr_of(pairs[i][0]);
		char text[MF_ADDR_TEXT_MAX];

		assert_string_equal(mf_addr_format(&a, text, sizeof(text)), pairs[i][1]);
	}
}

static void odd_spellings_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"127.1",
		"0x7f.0.0.1",
		"010.0.0.1",
		"1.2.3",
		"1.2.3.4.",
		"1.2.3.4.5",
		"1.2.3.256",
		"1..2.3",
		"2130706433",
		" 1.2.3.4",
		"1.2.3.4 ",
		"+1.2.3.4",
		"1.2.3.-4",
		":",
		":::",
		"1:2",
		"::1::",
		"12345::",
		"g::",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::",
		"1:2:3:4::5:6:7:8",
		"fe80::1%eth0",
		"::1.2.3",
		"::1.2.3.4:5",
		"1.2.3.4::",
		"::ffff:1.2.3.256",
		"[::1]",
		":1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:",
		"1:2:3:4:5:6:7:1.2.3.4",
		"::00001",
	};
	struct mf_addr a;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		if (mf_addr_parse(bad[i], strlen(bad[i]), &a) != MF_E_SYNTAX)
			fail_msg("\"%s\" is read", bad[i]);
	assert_int_equal(mf_addr_parse("1.2.3.4\0", 8, &a), MF_E_SYNTAX);
	assert_int_equal(mf_addr_parse("1.2.3.45", 7, &a), 0); // only @len bytes are text
	assert_int_equal(a.bytes[3], 4);
}

static uint64_t seed = 7;

static uint32_t next_random(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

/* The system's functions are the reference; what they give for a mapped address is its IPv4 address here. */
static void texts_are_read_as_the_system_reads_them(void **state)
{
	static const char letters[] = "0123456789abcdefABF:::::...%x";
	unsigned good = 0;

	(void)state;
	for (unsigned round = 0; round < 400000; round++) {
		char text[48];
		uint8_t bytes[16];
		struct mf_addr a, b;
		size_t len = 0;
		int is, want = MF_E_SYNTAX;

		if (round % 2) { // text of a random address, with one letter changed now and then
			for (int i = 0; i < 16; i++)
				bytes[i] = next_random(2) ? 0 : (uint8_t)next_random(256);
			inet_ntop(round % 4 == 1 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
			len = strlen(text);
			if (next_random(2))
				text[next_random((uint32_t)len)] =
					letters[next_random(sizeof(letters) - 1)];
		} else {
			len = next_random(12);
			for (size_t i = 0; i < len; i++)
				text[i] = letters[next_random(sizeof(letters) - 1)];
			text[len] = '\0';
		}
		if (inet_pton(AF_INET, text, bytes) == 1)
			want = mf_addr_from_bytes(&b, bytes, 4) ? 0 : -1;
		else if (inet_pton(AF_INET6, text, bytes) == 1)
			want = mf_addr_from_bytes(&b, bytes, 16) ? 0 : -1;
		is = mf_addr_parse(text, len, &a);
		if (is != want)
			fail_msg("\"%s\" gives %d, the system %d", text, is, want);
		if (is)
			continue;
		good++;
		assert_memory_equal(&a, &b, sizeof(a));
	}
	assert_true(good > 50000);
}

static void addresses_are_written_as_the_system_writes_them(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 100000; round++) {
		struct mf_addr a = { .family = round % 8 ? 6 : 4 };
		char is[MF_ADDR_TEXT_MAX], want[MF_ADDR_TEXT_MAX];

		for (int i = 0; i < 16; i++)
			a.bytes[i] = next_random(3) ? 0 : (uint8_t)next_random(256);
		inet_ntop(a.family == 4 ? AF_INET : AF_INET6, a.bytes, want, sizeof(want));
		assert_string_equal(mf_addr_format(&a, is, sizeof(is)), want);
	}
}

static void a_text_that_does_not_fit_is_empty(void **state)
{
	struct mf_addr a = addr_of("192.0.2.100"), none = { 0 };
	char text[MF_ADDR_TEXT_MAX] = "x";

	(void)state;
	assert_string_equal(mf_addr_format(&a, text, 11), "");
	assert_string_equal(mf_addr_format(&a, text, 12), "192.0.2.100");
	assert_string_equal(mf_addr_format(&none, text, sizeof(text)), "");
}

static void mapped_addresses_become_ipv4_and_lengths_are_checked(void **state)
{
	uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1 };
	struct mf_addr a, b = addr_of("192.0.2.1");

	(void)state;
	assert_true(mf_addr_from_bytes(&a, mapped, 16));
	assert_true(mf_addr_eq(&a, &b));
	assert_false(mf_addr_from_bytes(&a, mapped, 5));
	assert_false(mf_addr_from_bytes(&a, mapped, 0));
}

static void endpoints_are_written_with_brackets_for_ipv6(void **state)
{
	struct mf_endpoint ep = { .addr = addr_of("2001:db8::1"), .port = 443 };
	char text[MF_ENDPOINT_TEXT_MAX];

	(void)state;
	assert_string_equal(mf_endpoint_format(&ep, text, sizeof(text)), "[2001:db8::1]:443");
	ep.addr = addr_of("192.0.2.1");
	assert_string_equal(mf_endpoint_format(&ep, text, sizeof(text)), "192.0.2.1:443");
}

static void host_and_port_are_split(void **state)
{
	static const struct {
		const char *text, *host;
		int port;
	} good[] = {
		{ "example.com:443", "example.com", 443 },
		{ "192.0.2.1:0", "192.0.2.1", 0 },
		{ "[::1]:65535", "::1", 65535 },
	};
	static const char *const bad[] = { "",	      ":",	    ":80",	"host",
					   "host:",   "host:65536", "host:080", "host:1x",
					   "[::1]",   "[::1]:",	    "[]:80",	"[::1]80",
					   "::1:80",  "a:b:80",	    "[::1:80",	"host:-1",
					   "host: 1", "host:999999" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(good); i++) {
		const char *host;
		size_t len;
		uint16_t port;

		assert_int_equal(
			mf_hostport_parse(good[i].text, strlen(good[i].text), &host, &len, &port),
			0);
		assert_int_equal(len, strlen(good[i].host));
		assert_memory_equal(host, good[i].host, len);
		assert_int_equal(port, good[i].port);
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		const char *host;
		size_t len;
		uint16_t port;

		if (mf_hostport_parse(bad[i], strlen(bad[i]), &host, &len, &port) != MF_E_SYNTAX)
			fail_msg("\"%s\" is split", bad[i]);
	}
}

static void private_is_all_that_is_not_global_unicast(void **state)
{
	static const char *const private[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.0.0.1",
		"10.255.255.255",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.0.1",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.1",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.1.1",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.1",
		"203.0.113.1",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"::ffff:10.0.0.1",
		"::127.0.0.1",
		"64:ff9b::10.0.0.1",
		"64:ff9b::169.254.169.254",
		"64:ff9b:1::1",
		"100::1",
		"2001::1",
		"2001:db8::1",
		"2002:7f00:1::1",
		"2002:a00:1::1",
		"3fff::1",
		"5f00::1",
		"fc00::1",
		"fd00:ec2::254",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"4000::1",
		"8000::1",
		"fe00::1",
		"::8.8.8.8",
		"1::1",
		"200::1",
	};
	static const char *const global[] = {
		"1.1.1.1",	  "8.8.8.8",	    "9.255.255.255",	"11.0.0.0",
		"100.63.255.255", "100.128.0.0",    "126.1.1.1",	"128.0.0.1",
		"169.253.1.1",	  "172.15.255.255", "172.32.0.0",	"192.167.1.1",
		"198.17.1.1",	  "198.20.0.0",	    "223.255.255.255",	"2606:4700::1111",
		"2a00:1450::1",	  "2001:200::1",    "64:ff9b::8.8.8.8", "2002:808:808::1",
		"3ffe::1",	  "2001:db9::1",
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(private); i++) {
		struct mf_addr a = addr_of(private[i]);

		if (!mf_addr_is_private(&a))
			fail_msg("%s is taken for global", private[i]);
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(global); i++) {
		struct mf_addr a = addr_of(global[i]);

		if (mf_addr_is_private(&a))
			fail_msg("%s is taken for private", global[i]);
	}
	assert_true(mf_addr_is_private(&(struct mf_addr){ 0 }));
}

static void loopback_and_multicast_have_both_families(void **state)
{
	struct mf_addr a;

	(void)state;
	a = addr_of("127.9.9.9");
	assert_true(mf_addr_is_loopback(&a));
	a = addr_of("::1");
	assert_true(mf_addr_is_loopback(&a));
	a = addr_of("::2");
	assert_false(mf_addr_is_loopback(&a));
	a = addr_of("224.0.0.1");
	assert_true(mf_addr_is_multicast(&a));
	a = addr_of("ff02::1");
	assert_true(mf_addr_is_multicast(&a));
	a = addr_of("240.0.0.1");
	assert_false(mf_addr_is_multicast(&a));
}

static void embedded_ipv4_addresses_are_found(void **state)
{
	static const char *const with[] = { "64:ff9b::c000:201", "2002:c000:201::1",
					    "::192.0.2.1" };
	static const char *const without[] = { "::", "::1", "2001:db8::1", "64:ff9b:1::c000:201",
					       "192.0.2.1" };
	struct mf_addr want = addr_of("192.0.2.1"), got;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(with); i++) {
		struct mf_addr a = addr_of(with[i]);

		assert_true(mf_addr_embedded_v4(&a, &got));
		assert_true(mf_addr_eq(&got, &want));
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(without); i++) {
		struct mf_addr a = addr_of(without[i]);

		assert_false(mf_addr_embedded_v4(&a, &got));
	}
}

static void endpoints_survive_the_way_through_a_sockaddr(void **state)
{
	static const char *const texts[] = { "192.0.2.1", "2001:db8::1", "0.0.0.0", "::" };
	struct mf_endpoint none = { 0 }, back;
	struct sockaddr_storage ss;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		for (int map = 0; map < 2; map++) {
			struct mf_endpoint ep = { .addr = addr_of(texts[i]), .port = 4711 };
			size_t len = mf_endpoint_to_sockaddr(&ep, map, &ss);

			assert_int_equal(len, ep.addr.family == 4 && !map
						      ? sizeof(struct sockaddr_in)
						      : sizeof(struct sockaddr_in6));
			assert_true(mf_endpoint_from_sockaddr(&back, (const struct sockaddr *)&ss));
			assert_memory_equal(&back, &ep, sizeof(ep));
		}
	assert_int_equal(mf_endpoint_to_sockaddr(&none, false, &ss), 0);
	ss.ss_family = AF_UNIX;
	assert_false(mf_endpoint_from_sockaddr(&back, (const struct sockaddr *)&ss));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_read_and_written_in_its_canonical_form),
		cmocka_unit_test(odd_spellings_are_refused),
		cmocka_unit_test(texts_are_read_as_the_system_reads_them),
		cmocka_unit_test(addresses_are_written_as_the_system_writes_them),
		cmocka_unit_test(a_text_that_does_not_fit_is_empty),
		cmocka_unit_test(mapped_addresses_become_ipv4_and_lengths_are_checked),
		cmocka_unit_test(endpoints_are_written_with_brackets_for_ipv6),
		cmocka_unit_test(host_and_port_are_split),
		cmocka_unit_test(private_is_all_that_is_not_global_unicast),
		cmocka_unit_test(loopback_and_multicast_have_both_families),
		cmocka_unit_test(embedded_ipv4_addresses_are_found),
		cmocka_unit_test(endpoints_survive_the_way_through_a_sockaddr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
