// SPDX-License-Identifier: Apache-2.0
// Where the host's own resolvers are read from.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxies/dns_upstream.h"

static void nameservers_are_read_from_resolv_conf(void **state)
{
	static const char text[] = "# nameserver 1.1.1.1\nsearch x\nnameserver "
				   "192.0.2.1\nnameserver\t2001:db8::1 # two\n"
				   "nameserver fe80::1%eth0\nnameserver bad\nnameservers "
				   "9.9.9.9\nnameserver 127.0.0.53";
	struct mf_endpoint ep[8];
	char buf[MF_ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(mf_resolv_conf_read(text, sizeof(text) - 1, ep, 8), 3);
	assert_string_equal(mf_endpoint_format(&ep[0], buf, sizeof(buf)), "192.0.2.1:53");
	assert_string_equal(mf_endpoint_format(&ep[1], buf, sizeof(buf)), "[2001:db8::1]:53");
	assert_string_equal(mf_endpoint_format(&ep[2], buf, sizeof(buf)), "127.0.0.53:53");
	assert_int_equal(mf_resolv_conf_read(text, sizeof(text) - 1, ep, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameservers_are_read_from_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
