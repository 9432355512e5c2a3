/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_authority.c - certificates of the session's authority, verified by OpenSSL */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxies/tls_authority.h"
#include "proxies/tls_certificate.h"
#include "tests/unit/test.h"

static int setup(void **state)
{
	return mf_tls_authority_new("s1", (struct mf_tls_authority **)state, NULL);
}

static int teardown(void **state)
{
	mf_tls_authority_free(*state);
	return 0;
}

static X509 *authority_certificate(const struct mf_tls_authority *ca)
{
	BIO *in = BIO_new_mem_buf(mf_tls_authority_pem(ca), -1);
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

	BIO_free(in);
	assert_non_null(cert);
	return cert;
}

/* What a client would conclude that trusts @ca only and asks for @host. */
static int verify(const struct mf_tls_authority *ca, SSL_CTX *server, const char *host)
{
	X509 *root = authority_certificate(ca), *leaf = SSL_CTX_get0_certificate(server);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int result;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set1_host(param, host, 0);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_verify_cert(ctx);
	result = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	return result;
}

static void a_leaf_verifies_for_its_name_only(void **state)
{
	SSL_CTX *ctx = mf_tls_authority_context(*state, "api.vendor.example");

	assert_non_null(ctx);
	assert_int_equal(verify(*state, ctx, "api.vendor.example"), X509_V_OK);
	assert_int_equal(verify(*state, ctx, "other.vendor.example"), X509_V_ERR_HOSTNAME_MISMATCH);
}

static void a_name_over_64_bytes_has_a_certificate_too(void **state)
{
	char name[200];

	memset(name, 'a', sizeof(name));
	for (size_t i = 50; i < sizeof(name); i += 50)
		name[i] = '.';
	memcpy(name + sizeof(name) - 9, ".example", 9);
	assert_int_equal(verify(*state, mf_tls_authority_context(*state, name), name), X509_V_OK);
}

static void a_name_that_looks_like_configuration_stays_one_name(void **state)
{
	const char *name = "a,DNS:bank.example";
	SSL_CTX *ctx = mf_tls_authority_context(*state, name);

	assert_non_null(ctx);
	assert_int_equal(verify(*state, ctx, "bank.example"), X509_V_ERR_HOSTNAME_MISMATCH);
}

static void two_authorities_do_not_vouch_for_each_other(void **state)
{
	struct mf_tls_authority *other;

	assert_int_equal(mf_tls_authority_new("s2", &other, NULL), 0);
	assert_int_not_equal(
		verify(other, mf_tls_authority_context(*state, "x.example"), "x.example"),
		X509_V_OK);
	mf_tls_authority_free(other);
}

static void contexts_are_kept_and_bounded(void **state)
{
	SSL_CTX *first = mf_tls_authority_context(*state, "first.example");
	char name[32];

	assert_ptr_equal(mf_tls_authority_context(*state, "first.example"), first);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		assert_non_null(mf_tls_authority_context(*state, name));
	}
	assert_int_equal(
		verify(*state, mf_tls_authority_context(*state, "first.example"), "first.example"),
		X509_V_OK);
}

/* What limits how long a server's ticket counts. */
static void the_time_left_is_lowered_only(void **state)
{
	ASN1_TIME *t = ASN1_TIME_new();
	time_t now = time(NULL);
	uint64_t left_ms = 600000;

	(void)state;
	assert_non_null(ASN1_TIME_adj(t, now, 400, 0));
	mf_tls_time_left(t, &left_ms);
	assert_int_equal(left_ms, 600000);
	assert_non_null(ASN1_TIME_adj(t, now, 0, 500));
	mf_tls_time_left(t, &left_ms);
	assert_in_range(left_ms, 1, 500000);
	assert_non_null(ASN1_TIME_adj(t, now, 1, 0));
	mf_tls_time_left(t, &left_ms);
	assert_in_range(left_ms, 1, 500000);
	assert_non_null(ASN1_TIME_adj(t, now, 0, -5));
	mf_tls_time_left(t, &left_ms);
	assert_int_equal(left_ms, 0);
	left_ms = 600000;
	assert_int_equal(ASN1_STRING_set(t, "tomorrow", -1), 1);
	mf_tls_time_left(t, &left_ms);
	assert_int_equal(left_ms, 0);
	ASN1_TIME_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_leaf_verifies_for_its_name_only, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_over_64_bytes_has_a_certificate_too, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_name_that_looks_like_configuration_stays_one_name,
						setup, teardown),
		cmocka_unit_test_setup_teardown(two_authorities_do_not_vouch_for_each_other, setup,
						teardown),
		cmocka_unit_test_setup_teardown(contexts_are_kept_and_bounded, setup, teardown),
		cmocka_unit_test(the_time_left_is_lowered_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
