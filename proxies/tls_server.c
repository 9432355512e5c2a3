/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server.c - see tls_server.h */
#include "proxies/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static int refuse(SSL_CTX *ctx, const char *what, const char *path, struct mf_err *err)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	SSL_CTX_free(ctx);
	return mf_err_set(err, MF_E_IO, "%s %s: %s", what, path, why ? why : "unknown reason");
}

int mf_tls_server_open(const char *cert, const char *key, SSL_CTX **ret, struct mf_err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return mf_err_set(err, MF_E_NOMEM, "no memory for TLS");
	}
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return refuse(ctx, "cannot use the certificate", cert, err);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return refuse(ctx, "cannot use the key", key, err);
	*ret = ctx;
	return 0;
}
