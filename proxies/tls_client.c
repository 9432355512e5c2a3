/* SPDX-License-Identifier: Apache-2.0 */
/* tls_client.c - see tls_client.h */
#include "proxies/tls_client.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "core/base/addr.h"
#include "proxies/tls_certificate.h"
#include "proxies/tls_suites.h"
#include "proxies/tls_trust.h"

SSL_CTX *mf_tls_upstream_new(void)
{
	SSL_CTX *ctx;

	mf_tls_trust_start();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return NULL;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_ciphersuites(ctx, MF_TLS_SUITES);
	/* nobody to trust: every target will be refused, and its event says why */
	(void)mf_tls_trust_system(ctx);
	return ctx;
}

bool mf_tls_expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct mf_addr literal;
	char host[256]; /* the macro below casts const away, which clang minds */

	if (mf_addr_parse(name, strlen(name), &literal) == 0)
		return X509_VERIFY_PARAM_set1_ip(param, literal.bytes,
						 literal.family == 4 ? 4 : 16) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (snprintf(host, sizeof(host), "%s", name) >= (int)sizeof(host))
		return false;
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, name) == 1;
}

void mf_tls_verified_left(SSL *ssl, uint64_t *left_ms)
{
	const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);

	for (int i = 0; i < sk_X509_num(chain); i++)
		mf_tls_time_left(X509_get0_notAfter(sk_X509_value(chain, i)), left_ms);
}
