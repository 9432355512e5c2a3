/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_trust.c - the system's own authorities become those of a context */
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proxies/tls_trust.h"
#include "tests/unit/test.h"

static void the_system_s_authorities_are_trusted(void **state)
{
	SSL_CTX *ctx;

	(void)state;
	mf_tls_trust_start();
	ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(ctx);
	assert_int_equal(mf_tls_trust_system(ctx), 0);
#ifdef _WIN32
	/* elsewhere they are looked up when they are needed; wine takes this system's */
	X509 *any = X509_OBJECT_get0_X509(
		sk_X509_OBJECT_value(X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx)), 0));

	assert_non_null(any);
	assert_true(X509_check_ca(any) > 0);
#endif
	SSL_CTX_free(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_system_s_authorities_are_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
