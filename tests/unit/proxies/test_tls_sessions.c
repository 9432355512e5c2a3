/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_sessions.c - tickets: used once, newest first, for a limited time, of a limited number of servers */
#include <openssl/ssl.h>

#include "proxies/tls_sessions.h"
#include "tests/unit/test.h"

enum { EACH = 32, ALL = 512 }; /* what is kept of one server, and of all */

static int set_up(void **state)
{
	*state = mf_tls_sessions_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	mf_tls_sessions_free(*state);
	return 0;
}

/* One that counts as resumable: it has an identifier. */
static SSL_SESSION *make_session(void)
{
	SSL_SESSION *s = SSL_SESSION_new();

	assert_int_equal(SSL_SESSION_set1_id(s, (const unsigned char *)"id", 2), 1);
	return s;
}

static SSL_SESSION *take(struct mf_tls_sessions *all, const char *server, uint64_t now_ms)
{
	uint64_t until_ms;
	SSL_SESSION *s = mf_tls_sessions_take(all, server, now_ms, &until_ms);

	SSL_SESSION_free(s);
	return s;
}

static void each_is_used_once_the_newest_first(void **state)
{
	SSL_SESSION *first = make_session(), *second = make_session();
	uint64_t until_ms = 0;

	mf_tls_sessions_put(*state, "a 192.0.2.1:443", first, 15);
	mf_tls_sessions_put(*state, "a 192.0.2.1:443", second, 17);
	assert_null(take(*state, "a 192.0.2.2:443", 10));
	assert_ptr_equal(mf_tls_sessions_take(*state, "a 192.0.2.1:443", 10, &until_ms), second);
	assert_int_equal(until_ms, 17);
	SSL_SESSION_free(second);
	assert_ptr_equal(take(*state, "a 192.0.2.1:443", 10), first);
	assert_null(take(*state, "a 192.0.2.1:443", 10));
}

static void of_too_many_of_one_server_the_oldest_goes(void **state)
{
	SSL_SESSION *s[EACH + 1];

	for (int i = 0; i <= EACH; i++)
		mf_tls_sessions_put(*state, "a", s[i] = make_session(), 10);
	for (int i = EACH; i > 0; i--)
		assert_ptr_equal(take(*state, "a", 1), s[i]);
	assert_null(take(*state, "a", 1));
}

/* Not the server that is in use loses, but the one that was not for longest. */
static void of_too_many_in_all_those_of_an_unused_server_go(void **state)
{
	enum { SERVERS = ALL / EACH };
	char name[32];

	for (int i = 0; i < SERVERS; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		for (int k = 0; k < EACH; k++)
			mf_tls_sessions_put(*state, name, make_session(), 10);
	}
	assert_non_null(take(*state, "n0", 1));
	for (int k = 0; k <= EACH; k++)
		mf_tls_sessions_put(*state, "new", make_session(), 10);
	// one place was free, and 32 of "new" took the others from n1, the oldest but for n0
	assert_non_null(take(*state, "n0", 1));
	assert_non_null(take(*state, "n1", 1));
	assert_null(take(*state, "n1", 1));
	assert_non_null(take(*state, "n2", 1));
	assert_non_null(take(*state, "new", 1));
}

static void it_counts_until_the_time_that_was_given(void **state)
{
	mf_tls_sessions_put(*state, "a", make_session(), 1000);
	assert_null(take(*state, "a", 1000));
	mf_tls_sessions_put(*state, "a", make_session(), 1000);
	assert_non_null(take(*state, "a", 999));
}

static void one_that_cannot_be_resumed_is_passed_over(void **state)
{
	mf_tls_sessions_put(*state, "a", SSL_SESSION_new(), 10);
	assert_null(take(*state, "a", 1));
}

static void servers_are_bounded_and_the_unused_go(void **state)
{
	char name[32], overlong[MF_TLS_SERVER_MAX + 1];

	mf_tls_sessions_put(*state, "first", make_session(), 10);
	for (int i = 0; i < 128; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		mf_tls_sessions_put(*state, name, make_session(), 10);
	}
	assert_null(take(*state, "first", 1));
	assert_non_null(take(*state, "n0", 1));
	assert_non_null(take(*state, "n127", 1));
	memset(overlong, 'x', sizeof(overlong) - 1);
	overlong[sizeof(overlong) - 1] = '\0';
	mf_tls_sessions_put(*state, overlong, make_session(), 10);
	assert_null(take(*state, overlong, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_used_once_the_newest_first),
		TEST(of_too_many_of_one_server_the_oldest_goes),
		TEST(of_too_many_in_all_those_of_an_unused_server_go),
		TEST(it_counts_until_the_time_that_was_given),
		TEST(one_that_cannot_be_resumed_is_passed_over),
		TEST(servers_are_bounded_and_the_unused_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
