/* SPDX-License-Identifier: Apache-2.0 */
/* test_files.c - the session's resolv.conf and nsswitch.conf */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "capture/internal_linux.h"

static void search_and_options_are_kept_and_servers_replaced(void **state)
{
	char out[512];

	(void)state;
	mf_capture_files_resolv(
		"# comment\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n"
		"search a.example b.example\noptions edns0 trust-ad\nsortlist 1.2.3.4",
		"192.0.2.1", out, sizeof(out));
	assert_string_equal(out, "nameserver 192.0.2.1\nsearch a.example b.example\n"
				 "options edns0 trust-ad\n");
}

static void without_a_file_there_is_still_a_server(void **state)
{
	char out[64];

	(void)state;
	mf_capture_files_resolv(NULL, "192.0.2.1", out, sizeof(out));
	assert_string_equal(out, "nameserver 192.0.2.1\n");
	mf_capture_files_resolv("", "192.0.2.1", out, sizeof(out));
	assert_string_equal(out, "nameserver 192.0.2.1\n");
}

static void lines_that_do_not_fit_are_left_out_whole(void **state)
{
	char text[256], out[48];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "search ", 7);
	text[sizeof(text) - 1] = '\0';
	mf_capture_files_resolv(text, "192.0.2.1", out, sizeof(out));
	assert_string_equal(out, "nameserver 192.0.2.1\n");
}

static void services_that_go_around_dns_are_dropped_with_their_reactions(void **state)
{
	static const char *const cases[][2] = {
		{ "hosts: files mdns4_minimal [NOTFOUND=return] dns\n", "hosts: files dns\n" },
		{ "hosts:\tmymachines resolve [!UNAVAIL=return] files myhostname dns\n",
		  "hosts: files myhostname dns\n" },
		{ "hosts: files resolve\n", "hosts: files dns\n" },
		{ "hosts: dns [!UNAVAIL=return] files # note\n",
		  "hosts: dns [!UNAVAIL=return] files\n" },
		{ "passwd: files systemd\nhosts: nis\nnetworks: files",
		  "passwd: files systemd\nhosts: dns\nnetworks: files\n" },
		{ "  hosts: files [", "hosts: files [ dns\n" },
	};
	char out[512];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_true(mf_capture_files_nsswitch(cases[i][0], out, sizeof(out)));
		assert_string_equal(out, cases[i][1]);
	}
}

static void a_file_that_is_fine_is_not_changed(void **state)
{
	char out[512];

	(void)state;
	assert_false(
		mf_capture_files_nsswitch("passwd: files\nhosts: files dns\n", out, sizeof(out)));
	assert_false(mf_capture_files_nsswitch("passwd: files\n", out, sizeof(out)));
	assert_false(mf_capture_files_nsswitch("", out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search_and_options_are_kept_and_servers_replaced),
		cmocka_unit_test(without_a_file_there_is_still_a_server),
		cmocka_unit_test(lines_that_do_not_fit_are_left_out_whole),
		cmocka_unit_test(services_that_go_around_dns_are_dropped_with_their_reactions),
		cmocka_unit_test(a_file_that_is_fine_is_not_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
