/* SPDX-License-Identifier: Apache-2.0 */
/* tls_client.h - being a TLS client that believes only what it has verified */
#ifndef MF_PROXIES_TLS_CLIENT_H
#define MF_PROXIES_TLS_CLIENT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

/** mf_tls_upstream_new() - A client context that trusts what the host trusts; Return: NULL without memory */
SSL_CTX *mf_tls_upstream_new(void);

/**
 * mf_tls_expect_name() - The certificate must be for @name (a name, then also sent as server_name, or an address)
 * Return: false for a name that cannot be verified
 */
bool mf_tls_expect_name(SSL *ssl, const char *name);

/** mf_tls_verified_left() - Lower @left_ms, if the chain that the server's certificate was verified by ends before that */
void mf_tls_verified_left(SSL *ssl, uint64_t *left_ms);

#endif
