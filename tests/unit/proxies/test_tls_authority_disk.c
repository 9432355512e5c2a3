/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_authority_disk.c - the local authority: what it vouches for, how long, and which files are not taken for it */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include "core/base/files.h"
#include "core/base/thread.h"
#include "proxies/tls_authority.h"
#include "proxies/tls_authority_disk.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

#define NOW_S INT64_C(1800000000)

static char root[512], dir[600], file[700];
static uint64_t clock_s;

static uint64_t tell(void *ctx)
{
	(void)ctx;
	return clock_s * MF_NS_PER_S;
}

static const struct mf_clock by_hand = { .monotonic = tell, .wall = tell };

static int setup(void **state)
{
	(void)state;
	clock_s = NOW_S;
	if (test_temp_dir(root, sizeof(root)) < 0)
		return -1;
	snprintf(dir, sizeof(dir), "%s/state/ca", root);
	snprintf(file, sizeof(file), "%s/authority.pem", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return test_remove_tree(root);
}

static const struct mf_tls_plan usual = { .days = MF_TLS_AUTHORITY_DAYS };

static struct mf_tls_authority *make(const struct mf_tls_plan *plan)
{
	struct mf_tls_authority *ca = NULL;
	struct mf_err err;

	if (mf_tls_authority_create(dir, plan, &err) < 0 ||
	    mf_tls_authority_open(dir, &ca, &err) < 0)
		fail_msg("%s", err.msg);
	return ca;
}

/* Make one as of @when_s, whatever is there. */
static void make_at(uint64_t when_s, const struct mf_tls_plan *plan)
{
	struct mf_private_dir *d;

	clock_s = when_s;
	assert_int_equal(mf_private_dir_open(dir, true, &d, NULL), 0);
	assert_int_equal(mf_tls_stored_make(d, MF_TLS_IN_FORCE, plan, &by_hand, NULL), 0);
	mf_private_dir_close(d);
}

static int open_code(void)
{
	struct mf_tls_authority *ca;
	struct mf_err err = { 0 };
	int r = mf_tls_authority_open(dir, &ca, &err);

	if (r == 0)
		mf_tls_authority_free(ca);
	else
		assert_true(err.msg[0]);
	return r;
}

/* What a client would conclude at the authority's time that trusts @ca only and asks for @host. */
static int verify(const struct mf_tls_authority *ca, SSL_CTX *server, const char *host)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int result;

	X509_STORE_add_cert(store, mf_tls_authority_certificate(ca));
	X509_STORE_CTX_init(ctx, store, SSL_CTX_get0_certificate(server), NULL);
	param = X509_STORE_CTX_get0_param(ctx);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1)
		X509_VERIFY_PARAM_set1_host(param, host, 0);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_verify_cert(ctx);
	result = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return result;
}

static void assert_vouches(struct mf_tls_authority *ca, const char *name)
{
	struct mf_err err;
	SSL_CTX *ctx;

	if (mf_tls_authority_certify(ca, name, &ctx, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(verify(ca, ctx, name), X509_V_OK);
}

static void assert_outside(struct mf_tls_authority *ca, const char *name)
{
	struct mf_err err;
	SSL_CTX *ctx;

	assert_int_equal(mf_tls_authority_certify(ca, name, &ctx, &err), MF_E_PERM);
	assert_non_null(strstr(err.msg, name));
	assert_null(mf_tls_authority_context(ca, name));
}

static void the_usual_one_vouches_for_local_names_only(void **state)
{
	static const char *const inside[] = { "localhost",   "app.localhost",
					      "navis.local", "a.b.test",
					      "x.internal",  "127.0.0.1",
					      "127.200.3.4", "::1" };
	static const char *const outside[] = { "bank.example", "localhost.example",
					       "notlocalhost", "192.0.2.1",
					       "128.0.0.1",    "::2",
					       "2001:db8::1",  "example" };
	struct mf_tls_authority *ca = make(&usual);

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(inside); i++)
		assert_vouches(ca, inside[i]);
	for (size_t i = 0; i < MF_ARRAY_SIZE(outside); i++)
		assert_outside(ca, outside[i]);
	mf_tls_authority_free(ca);
}

static void asked_for_domains_take_the_place_of_the_usual_ones(void **state)
{
	struct mf_tls_plan plan = { .days = 10 };
	struct mf_tls_authority *ca;

	(void)state;
	assert_int_equal(mf_tls_plan_permit(&plan, "Dev.Example.", NULL), 0);
	assert_int_equal(mf_tls_plan_permit(&plan, "192.0.2.0/24", NULL), 0);
	assert_int_equal(mf_tls_plan_permit(&plan, "2001:db8::/32", NULL), 0);
	ca = make(&plan);
	assert_vouches(ca, "dev.example");
	assert_vouches(ca, "a.dev.example");
	assert_vouches(ca, "192.0.2.77");
	assert_vouches(ca, "2001:db8:1::1");
	assert_vouches(ca, "app.localhost");
	assert_vouches(ca, "127.0.0.1");
	assert_outside(ca, "app.local");
	assert_outside(ca, "evildev.example");
	assert_outside(ca, "192.0.3.1");
	mf_tls_authority_free(ca);
}

static void without_constraints_it_vouches_for_everything(void **state)
{
	struct mf_tls_authority *ca = make(&(struct mf_tls_plan){ .days = 10, .any_name = true });

	(void)state;
	assert_vouches(ca, "bank.example");
	assert_vouches(ca, "203.0.113.9");
	assert_int_equal(mf_tls_certificate_permits(mf_tls_authority_certificate(ca), NULL, NULL),
			 0);
	mf_tls_authority_free(ca);
}

static void a_permit_is_a_domain_or_a_network(void **state)
{
	static const char *const wrong[] = {
		"",	     "a..b",	    "*.local", "10.0.0.1/8", "10.0.0.0/33",
		"10.0.0.0/", "10.0.0.0/8x", "::/129",  "local/8",    "127.1",
		"a b",	     "10.0.0.0/+8"
	};
	struct mf_tls_plan plan = { .days = 1 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(wrong); i++) {
		plan.permit_cnt = 0;
		if (mf_tls_plan_permit(&plan, wrong[i], NULL) != MF_E_SYNTAX)
			fail_msg("'%s' was taken", wrong[i]);
	}
	plan.permit_cnt = 0;
	for (int i = 0; i < MF_TLS_PERMITS_MAX; i++)
		assert_int_equal(mf_tls_plan_permit(&plan, "a.example", NULL), 0);
	assert_int_equal(mf_tls_plan_permit(&plan, "a.example", NULL), MF_E_FULL);
}

static void leaves_have_the_name_in_the_alternative_name_only(void **state)
{
	struct mf_tls_authority *ca = make(&usual);
	X509 *leaf = SSL_CTX_get0_certificate(mf_tls_authority_context(ca, "app.local"));
	char subject[200];
	int64_t from, until;

	(void)state;
	X509_NAME_oneline(X509_get_subject_name(leaf), subject, sizeof(subject));
	assert_null(strstr(subject, "app.local"));
	assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
	assert_true(mf_tls_certificate_times(leaf, &from, &until));
	assert_true(until - from <= 90 * MF_TLS_DAY_S);
	mf_tls_authority_free(ca);
}

static void leaves_end_with_the_authority_and_are_made_anew_before(void **state)
{
	struct mf_tls_authority *ca = make(&(struct mf_tls_plan){ .days = 40 });
	int64_t from, until, end = mf_tls_authority_until(ca);
	SSL_CTX *ctx, *later;
	X509 *first;

	(void)state;
	mf_tls_authority_use_clock(ca, &by_hand);
	clock_s = (uint64_t)(end - 40 * MF_TLS_DAY_S);
	ctx = mf_tls_authority_context(ca, "a.test");
	first = SSL_CTX_get0_certificate(ctx);
	assert_true(mf_tls_certificate_times(first, &from, &until));
	assert_int_equal(from, (int64_t)clock_s - MF_TLS_DAY_S);
	assert_int_equal(until, (int64_t)clock_s + 30 * MF_TLS_DAY_S);
	X509_up_ref(first);
	clock_s += 14 * MF_TLS_DAY_S;
	assert_ptr_equal(mf_tls_authority_context(ca, "a.test"), ctx);
	clock_s += 2 * MF_TLS_DAY_S;
	later = mf_tls_authority_context(ca, "a.test");
	assert_int_not_equal(X509_cmp(SSL_CTX_get0_certificate(later), first), 0);
	X509_free(first);
	assert_true(mf_tls_certificate_times(SSL_CTX_get0_certificate(later), &from, &until));
	assert_int_equal(until, end);
	clock_s = (uint64_t)end - 1;
	assert_non_null(mf_tls_authority_context(ca, "a.test"));
	clock_s = (uint64_t)end;
	assert_outside(ca, "certificate authority"); // the message says that it has expired
	assert_null(mf_tls_authority_context(ca, "a.test"));
	mf_tls_authority_free(ca);
}

static void the_key_is_private_and_stays(void **state)
{
	struct mf_tls_authority *ca = make(&usual);
	char pem[4096];

	(void)state;
	snprintf(pem, sizeof(pem), "%s", mf_tls_authority_pem(ca));
	mf_tls_authority_free(ca);
	assert_true(test_is_private(file));
	assert_int_equal(mf_tls_authority_create(dir, &usual, NULL), MF_E_EXIST);
	assert_int_equal(mf_tls_authority_open(dir, &ca, NULL), 0);
	assert_string_equal(mf_tls_authority_pem(ca), pem);
	mf_tls_authority_free(ca);
}

static void where_there_is_none_it_says_so(void **state)
{
	(void)state;
	assert_int_equal(open_code(), MF_E_NOENT);
	make_at(NOW_S, &usual);
	assert_int_equal(mf_remove(file), 0);
	assert_int_equal(open_code(), MF_E_NOENT);
}

static void outside_its_dates_it_is_refused(void **state)
{
	uint64_t today = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;

	(void)state;
	make_at(today - 11 * MF_TLS_DAY_S, &(struct mf_tls_plan){ .days = 10 });
	assert_int_equal(open_code(), MF_E_PERM);
	make_at(today + 3 * MF_TLS_DAY_S, &usual);
	assert_int_equal(open_code(), MF_E_PERM);
	make_at(today, &usual);
	assert_int_equal(open_code(), 0);
}

static void what_others_can_read_is_refused(void **state)
{
	(void)state;
	make_at(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S, &usual);
	assert_int_equal(test_open_to_others(file), 0);
	assert_int_equal(open_code(), MF_E_PERM);
	// No second authority beside it either.
	assert_int_equal(mf_tls_authority_create(dir, &usual, NULL), MF_E_PERM);
}

static void a_directory_that_others_can_look_into_is_refused(void **state)
{
	(void)state;
	make_at(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S, &usual);
	assert_int_equal(test_open_to_others(dir), 0);
	assert_int_equal(open_code(), MF_E_PERM);
	assert_int_equal(mf_tls_authority_create(dir, &usual, NULL), MF_E_PERM);
}

static void links_and_strangers_files_are_refused(void **state)
{
	char moved[700], linked[600];

	(void)state;
	make_at(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S, &usual);
	snprintf(moved, sizeof(moved), "%s/moved.pem", dir);
	assert_int_equal(test_rename(file, moved), 0);
	if (test_link(moved, file) == 0) {
		assert_int_equal(open_code(), MF_E_PERM);
		assert_int_equal(mf_tls_authority_create(dir, &usual, NULL), MF_E_PERM);
		assert_int_equal(mf_remove(file), 0);
	}
	if (test_fifo(file) == 0) {
		assert_int_equal(open_code(), MF_E_PERM);
		assert_int_equal(mf_remove(file), 0);
	}
	assert_int_equal(test_rename(moved, file), 0);
	assert_int_equal(open_code(), 0);
	snprintf(linked, sizeof(linked), "%s/link", root);
	if (test_link(dir, linked) == 0) {
		struct mf_tls_authority *ca;

		assert_int_equal(mf_tls_authority_open(linked, &ca, NULL), MF_E_PERM);
		snprintf(linked, sizeof(linked), "%s/link/", root);
		assert_int_equal(mf_tls_authority_open(linked, &ca, NULL), MF_E_PERM);
	}
	if (test_give_away(file) == 0)
		assert_int_equal(open_code(), MF_E_PERM);
}

static size_t read_file(char *buf, size_t size)
{
	FILE *f = mf_fopen(file, "rb");
	size_t len;

	assert_non_null(f);
	len = fread(buf, 1, size, f);
	fclose(f);
	return len;
}

static void write_file(const char *text, size_t len)
{
	struct mf_private_dir *d;

	assert_int_equal(mf_private_dir_open(dir, true, &d, NULL), 0);
	assert_int_equal(mf_private_dir_write(d, "authority.pem", text, len, NULL), 0);
	mf_private_dir_close(d);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
	uint64_t today = mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
	char one[8192], other[8192], mixed[16384];
	char *cert, *other_cert;
	size_t len;

	(void)state;
	make_at(today, &usual);
	one[read_file(one, sizeof(one) - 1)] = '\0';
	make_at(today, &usual);
	other[read_file(other, sizeof(other) - 1)] = '\0';
	cert = strstr(one, "-----BEGIN CERTIFICATE");
	other_cert = strstr(other, "-----BEGIN CERTIFICATE");
	assert_true(cert && other_cert);
	len = (size_t)snprintf(mixed, sizeof(mixed), "%.*s%s", (int)(cert - one), one, other_cert);
	write_file(mixed, len);
	assert_int_equal(open_code(), MF_E_BAD);
	write_file(one, (size_t)(cert - one));
	assert_int_equal(open_code(), MF_E_BAD);
	write_file(cert, strlen(cert));
	assert_int_equal(open_code(), MF_E_BAD);
	write_file(one, strlen(one));
	assert_int_equal(open_code(), 0);
}

static void half_a_file_is_refused(void **state)
{
	char whole[8192], big[20000];
	size_t len;

	(void)state;
	make_at(mf_clock_wall(&mf_clock_system) / MF_NS_PER_S, &usual);
	len = read_file(whole, sizeof(whole));
	for (size_t part = 0; part < len - 40; part += 37) {
		write_file(whole, part);
		assert_int_equal(open_code(), MF_E_BAD);
	}
	memset(big, 'x', sizeof(big));
	write_file(big, sizeof(big));
	assert_int_equal(open_code(), MF_E_LIMIT);
}

/* A certificate of ours that is no authority: whoever holds it must not pass for one. */
static void a_leaf_is_no_authority(void **state)
{
	struct mf_tls_authority *ca = make(&usual);
	SSL_CTX *ctx = mf_tls_authority_context(ca, "a.test");
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	long len;

	(void)state;
	PEM_write_bio_PKCS8PrivateKey(out, SSL_CTX_get0_privatekey(ctx), NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_X509(out, SSL_CTX_get0_certificate(ctx));
	len = BIO_get_mem_data(out, &text);
	write_file(text, (size_t)len);
	BIO_free(out);
	mf_tls_authority_free(ca);
	assert_int_equal(open_code(), MF_E_BAD);
}

static void what_a_killed_one_left_is_no_hindrance(void **state)
{
	struct mf_private_dir *d;

	(void)state;
	assert_int_equal(mf_private_dir_open(dir, true, &d, NULL), 0);
	assert_int_equal(mf_private_dir_write(d, "new", "-----BEGIN PRIV", 15, NULL), 0);
	mf_private_dir_close(d);
	assert_int_equal(mf_tls_authority_create(dir, &usual, NULL), 0);
	assert_int_equal(open_code(), 0);
}

static void *create_one(void *arg)
{
	*(int *)arg = mf_tls_authority_create(dir, &usual, NULL);
	return NULL;
}

static void of_many_at_once_one_makes_it(void **state)
{
	pthread_t threads[8];
	int codes[8], made = 0;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(threads); i++)
		assert_int_equal(mf_thread_start(&threads[i], create_one, &codes[i]), 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], NULL);
		made += codes[i] == 0;
		assert_true(codes[i] == 0 || codes[i] == MF_E_EXIST);
	}
	assert_int_equal(made, 1);
	assert_int_equal(open_code(), 0);
}

static void a_successor_may_have_the_same_constraints(void **state)
{
	struct mf_tls_plan plan = { .days = 10 }, next = { .days = 10 };
	struct mf_tls_authority *ca;
	struct mf_private_dir *d;

	(void)state;
	assert_int_equal(mf_tls_plan_permit(&plan, "dev.example", NULL), 0);
	ca = make(&plan);
	next.like = mf_tls_authority_certificate(ca);
	assert_int_equal(mf_private_dir_open(dir, false, &d, NULL), 0);
	assert_int_equal(mf_tls_stored_make(d, MF_TLS_IN_FORCE, &next, &mf_clock_system, NULL), 0);
	mf_private_dir_close(d);
	mf_tls_authority_free(ca);
	assert_int_equal(mf_tls_authority_open(dir, &ca, NULL), 0);
	assert_vouches(ca, "a.dev.example");
	assert_outside(ca, "app.local");
	assert_outside(ca, "192.0.2.1");
	mf_tls_authority_free(ca);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_usual_one_vouches_for_local_names_only),
		TEST(asked_for_domains_take_the_place_of_the_usual_ones),
		TEST(without_constraints_it_vouches_for_everything),
		TEST(a_permit_is_a_domain_or_a_network),
		TEST(leaves_have_the_name_in_the_alternative_name_only),
		TEST(leaves_end_with_the_authority_and_are_made_anew_before),
		TEST(the_key_is_private_and_stays),
		TEST(where_there_is_none_it_says_so),
		TEST(outside_its_dates_it_is_refused),
		TEST(what_others_can_read_is_refused),
		TEST(a_directory_that_others_can_look_into_is_refused),
		TEST(links_and_strangers_files_are_refused),
		TEST(a_key_of_another_certificate_is_refused),
		TEST(half_a_file_is_refused),
		TEST(a_leaf_is_no_authority),
		TEST(what_a_killed_one_left_is_no_hindrance),
		TEST(of_many_at_once_one_makes_it),
		TEST(a_successor_may_have_the_same_constraints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
