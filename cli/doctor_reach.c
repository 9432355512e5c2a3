/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_reach.c - see doctor_reach.h */
#include "cli/doctor_reach.h"

#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "core/base/addr.h"
#include "proxies/sock.h"
#include "proxies/tls_trust.h"

bool mf_doctor_find_name(const char *name, char *detail, size_t size)
{
	struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	struct mf_endpoint ep = { .port = 0 };
	char text[MF_ADDR_TEXT_MAX];
	bool ok = false;
	int r;

	if (mf_sock_start() < 0)
		return false;
	r = evutil_getaddrinfo(name, "443", &hints, &found);
	if (r == 0 && mf_endpoint_from_sockaddr(&ep, found->ai_addr))
		ok = mf_addr_is_loopback(&ep.addr);
	if (r)
		snprintf(detail, size, "%s is not known to this system's resolver: %s", name,
			 evutil_gai_strerror(r));
	else
		snprintf(detail, size, "%s is %s", name,
			 mf_addr_format(&ep.addr, text, sizeof(text)));
	if (found)
		evutil_freeaddrinfo(found);
	return ok;
}

/* A context that believes @authority, or the system. */
static SSL_CTX *make_context(X509 *authority)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (authority)
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), authority);
	else
		(void)mf_tls_trust_system(ctx);
	return ctx;
}

static const char *why_not(SSL *ssl)
{
	long verify = SSL_get_verify_result(ssl);
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	if (verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	return text ? text : "no connection";
}

static bool ask(BIO *bio, const char *name, char *detail, size_t size)
{
	char answer[64] = "";
	int len = 0, n, status;

	BIO_printf(bio, "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name);
	(void)BIO_flush(bio);
	while (len < (int)sizeof(answer) - 1 &&
	       (n = BIO_read(bio, answer + len, (int)sizeof(answer) - 1 - len)) > 0)
		len += n;
	if (sscanf(answer, "HTTP/1.1 %3d", &status) != 1) {
		snprintf(detail, size, "connected, and got no answer");
		return false;
	}
	/* that it is not well is told by other checks */
	snprintf(detail, size, "answers with %d, and its certificate is good", status);
	return status == 200 || status == 503;
}

bool mf_doctor_reach(const char *name, unsigned port, X509 *authority, char *detail, size_t size)
{
	SSL_CTX *ctx = make_context(authority);
	BIO *bio = ctx ? BIO_new_ssl_connect(ctx) : NULL;
	char number[16], host[256];
	bool ok = false;
	SSL *ssl = NULL;

	snprintf(detail, size, "out of memory");
	snprintf(number, sizeof(number), "%u", port);
	snprintf(host, sizeof(host), "%s", name);
	if (bio)
		BIO_get_ssl(bio, &ssl);
	if (ssl) {
		BIO_set_conn_hostname(bio, host);
		BIO_set_conn_port(bio, number);
		SSL_set_tlsext_host_name(ssl, host);
		SSL_set1_host(ssl, host);
		ERR_clear_error();
		if (BIO_do_connect(bio) > 0 && BIO_do_handshake(bio) > 0)
			ok = ask(bio, name, detail, size);
		else
			snprintf(detail, size, "%s", why_not(ssl));
	}
	BIO_free_all(bio);
	SSL_CTX_free(ctx);
	return ok;
}
