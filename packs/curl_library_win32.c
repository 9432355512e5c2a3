/* SPDX-License-Identifier: Apache-2.0 */
/* curl_library_win32.c - see curl_library.h: a part of the program (tools/build-windows-deps.sh), upon the program's OpenSSL */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

#include "core/base/roots_win32.h"
#include "packs/curl_library.h"

static void add(const unsigned char *der, size_t len, void *ctx)
{
	X509 *x509 = d2i_X509(NULL, &der, (long)len);

	if (x509)
		(void)X509_STORE_add_cert(ctx, x509); /* or it is there already */
	X509_free(x509);
}

/* libcurl can read Windows' store, too, but takes what is disallowed. */
static CURLcode trust_system(CURL *curl, void *ssl_ctx, void *ctx)
{
	(void)curl;
	(void)ctx;
	mf_win32_roots(add, SSL_CTX_get_cert_store(ssl_ctx));
	ERR_clear_error();
	return CURLE_OK;
}

static const struct mf_curl api = {
	.global_init = curl_global_init,
	.init = curl_easy_init,
	.setopt = curl_easy_setopt,
	.perform = curl_easy_perform,
	.getinfo = curl_easy_getinfo,
	.cleanup = curl_easy_cleanup,
	.strerror = curl_easy_strerror,
	.append = curl_slist_append,
	.free_all = curl_slist_free_all,
	.trust_system = trust_system,
};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool there;

static void start(void)
{
	/* No configuration file of OpenSSL's is read: see mf_tls_trust_start(). */
	there = OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 &&
		curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const struct mf_curl *mf_curl_load(void)
{
	pthread_once(&once, start);
	return there ? &api : NULL;
}
