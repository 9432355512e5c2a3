// SPDX-License-Identifier: Apache-2.0
// What the host says of names: resolv.conf and hosts files, and that the system's own are found.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxies/hostconf.h"

static void nameservers_are_read_from_resolv_conf(void **state)
{
	static const char text[] = "# nameserver 1.1.1.1\nsearch x\nnameserver "
				   "192.0.2.1\nnameserver\t2001:db8::1 # two\n"
				   "nameserver fe80::1%eth0\nnameserver bad\nnameservers "
				   "9.9.9.9\nnameserver 127.0.0.53";
	struct mf_endpoint ep[8];
	char buf[MF_ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(mf_hostconf_parse(text, sizeof(text) - 1, ep, 8), 3);
	assert_string_equal(mf_endpoint_format(&ep[0], buf, sizeof(buf)), "192.0.2.1:53");
	assert_string_equal(mf_endpoint_format(&ep[1], buf, sizeof(buf)), "[2001:db8::1]:53");
	assert_string_equal(mf_endpoint_format(&ep[2], buf, sizeof(buf)), "127.0.0.53:53");
	assert_int_equal(mf_hostconf_parse(text, sizeof(text) - 1, ep, 1), 1);
}

static void hosts_files_have_comments_aliases_and_several_lines_for_a_name(void **state)
{
	static const char text[] = "# 192.0.2.9 commented\r\n"
				   "192.0.2.1\tone.test alias.test # 192.0.2.8 alias.test\r\n"
				   "bad one.test\n"
				   "2001:db8::1 other.test ONE.test\n"
				   "192.0.2.3 one.test.but.not.quite\n"
				   "192.0.2.4 one.test";
	char path[] = "hostconf-test-hosts";
	struct mf_addr addrs[8];
	char buf[MF_ADDR_TEXT_MAX];
	FILE *f = fopen(path, "wb");

	(void)state;
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, sizeof(text) - 1, f), sizeof(text) - 1);
	fclose(f);
	assert_int_equal(mf_hostconf_find_host(path, "one.test", addrs, 8), 3);
	assert_string_equal(mf_addr_format(&addrs[0], buf, sizeof(buf)), "192.0.2.1");
	assert_string_equal(mf_addr_format(&addrs[1], buf, sizeof(buf)), "2001:db8::1");
	assert_string_equal(mf_addr_format(&addrs[2], buf, sizeof(buf)), "192.0.2.4");
	assert_int_equal(mf_hostconf_find_host(path, "one.test", addrs, 2), 2);
	assert_int_equal(mf_hostconf_find_host(path, "alias.test", addrs, 8), 1);
	assert_int_equal(mf_hostconf_find_host(path, "commented", addrs, 8), 0);
	remove(path);
	assert_int_equal(mf_hostconf_find_host(path, "one.test", addrs, 8), 0);
}

static void the_system_s_own_hosts_file_has_a_place(void **state)
{
	char buf[300], small[4];

	(void)state;
	assert_ptr_equal(mf_hostconf_hosts_file(buf, sizeof(buf)), buf);
	assert_non_null(strstr(buf, "etc"));
	assert_null(mf_hostconf_hosts_file(small, sizeof(small)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameservers_are_read_from_resolv_conf),
		cmocka_unit_test(hosts_files_have_comments_aliases_and_several_lines_for_a_name),
		cmocka_unit_test(the_system_s_own_hosts_file_has_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
