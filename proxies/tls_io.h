/* SPDX-License-Identifier: Apache-2.0 */
/* tls_io.h - TLS over a non-blocking socket with the results of mf_sock_recv() */
#ifndef MF_PROXIES_TLS_IO_H
#define MF_PROXIES_TLS_IO_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/types.h>

#include <moonfence/moonfence.h>

/** mf_tls_result() - What @n, of SSL_read(), SSL_write() or a handshake, means: bytes, 0 at the end, MF_E_AGAIN, MF_E_CLOSED */
static inline ssize_t mf_tls_result(SSL *ssl, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return MF_E_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return MF_E_CLOSED;
	}
}

/** mf_tls_recv(), mf_tls_send() - As mf_sock_recv() and mf_sock_send(), but 0 of the latter: the other end has said that it ends */
static inline ssize_t mf_tls_recv(SSL *ssl, void *buf, size_t len)
{
	ERR_clear_error();
	return mf_tls_result(ssl, SSL_read(ssl, buf, (int)len));
}

static inline ssize_t mf_tls_send(SSL *ssl, const void *buf, size_t len)
{
	ERR_clear_error();
	return mf_tls_result(ssl, SSL_write(ssl, buf, (int)len));
}

#endif
