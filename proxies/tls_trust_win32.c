/* SPDX-License-Identifier: Apache-2.0 */
/* tls_trust_win32.c - see tls_trust.h */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/base/err.h"
#include "core/base/roots_win32.h"
#include "proxies/tls_trust.h"

void mf_tls_trust_start(void)
{
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

struct trust {
	X509_STORE *store;
	unsigned cnt;
};

static void add(const unsigned char *der, size_t len, void *ctx)
{
	struct trust *t = ctx;
	X509 *x509 = d2i_X509(NULL, &der, (long)len);

	/* what OpenSSL cannot read nobody needs; what is there twice is no error either */
	if (x509)
		t->cnt += X509_STORE_add_cert(t->store, x509) == 1;
	X509_free(x509);
}

int mf_tls_trust_system(SSL_CTX *ctx)
{
	struct trust t = { .store = SSL_CTX_get_cert_store(ctx) };

	mf_win32_roots(add, &t);
	ERR_clear_error();
	return t.cnt ? 0 : MF_E_IO;
}
