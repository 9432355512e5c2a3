/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server.h - being a TLS server with a certificate from a file */
#ifndef MF_PROXIES_TLS_SERVER_H
#define MF_PROXIES_TLS_SERVER_H

#include <openssl/types.h>

#include "core/base/err.h"

/**
 * mf_tls_server_open() - A server context, TLS 1.2 and 1.3, with the chain in @cert and the key in @key (PEM)
 * Return: 0 with *ret the caller's (SSL_CTX_free()); MF_E_IO (a file cannot be read, or is none, or the two do not match),
 *         MF_E_NOMEM
 */
int mf_tls_server_open(const char *cert, const char *key, SSL_CTX **ret, struct mf_err *err);

#endif
