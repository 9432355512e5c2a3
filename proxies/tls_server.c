/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server.c - see tls_server.h */
#include "proxies/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/names/canonical.h"
#include "proxies/sock.h"
#include "proxies/tls_authority.h"

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
	/* a record's head and the rest of it by one call, of small ones several */
	SSL_CTX_set_read_ahead(ctx, 1);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return refuse(ctx, "cannot use the certificate", cert, err);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return refuse(ctx, "cannot use the key", key, err);
	*ret = ctx;
	return 0;
}

/* The name that the client asked for, else the address that it reached; NULL: neither can be had */
static const char *name_of(SSL *ssl, char *buf, size_t size)
{
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct mf_endpoint at;

	if (asked)
		return mf_name_canon(asked, strlen(asked), buf) > 0 ? buf : NULL;
	return mf_sock_local(SSL_get_fd(ssl), &at) ? mf_addr_format(&at.addr, buf, size) : NULL;
}

/* Also called where no name was asked for. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
	char buf[MF_NAME_ROOM];
	const char *name = name_of(ssl, buf, sizeof(buf));
	SSL_CTX *ctx = name ? mf_tls_authority_context(arg, name) : NULL;
	STACK_OF(X509) *chain = NULL;

	*alert = SSL_AD_UNRECOGNIZED_NAME;
	/* the certificate only: everything else, ALPN too, stays that of this context */
	if (!ctx || SSL_CTX_get0_chain_certs(ctx, &chain) != 1 ||
	    SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(ctx), SSL_CTX_get0_privatekey(ctx),
				 chain, 1) != 1)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

int mf_tls_server_certify(struct mf_tls_authority *ca, SSL_CTX **ret, struct mf_err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return mf_err_set(err, MF_E_NOMEM, "no memory for TLS");
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, ca);
	*ret = ctx;
	return 0;
}
