/* SPDX-License-Identifier: Apache-2.0 */
/* tls_server.h - being a TLS server with a certificate from a file, or of our authority for whatever name is asked for */
#ifndef MF_PROXIES_TLS_SERVER_H
#define MF_PROXIES_TLS_SERVER_H

#include <openssl/types.h>

#include "core/base/err.h"

struct mf_tls_authority;

/**
 * mf_tls_server_open() - A server context, TLS 1.2 and 1.3, with the chain in @cert and the key in @key (PEM)
 * Return: 0 with *ret the caller's (SSL_CTX_free()); MF_E_IO (a file cannot be read, or is none, or the two do not match),
 *         MF_E_NOMEM
 */
int mf_tls_server_open(const char *cert, const char *key, SSL_CTX **ret, struct mf_err *err);

/**
 * mf_tls_server_certify() - A server context that has @ca sign for the name that each client asks for
 * A client that asks for none gets a certificate for the address that it reached; one that asks for a name that @ca does not
 * vouch for the alert unrecognized_name. Sockets only (the address is the descriptor's).
 * @ca: borrowed until the last connection is gone
 * Return: 0 with *ret the caller's, MF_E_NOMEM
 */
int mf_tls_server_certify(struct mf_tls_authority *ca, SSL_CTX **ret, struct mf_err *err);

#endif
