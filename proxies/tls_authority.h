/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_authority.h - a certificate authority that lives as long as one session, in memory only
 *
 * Rewriting the server name of a TLS connection needs both ends of a bridge: the client wants a certificate for the name
 * that it asked for. This authority signs those certificates. Nobody outside the session trusts it: its certificate is
 * added to what the session's programs see as the system's bundle, its key never leaves this process.
 *
 *	mf_tls_authority_new(session_id, &ca, &err);
 *	... mf_tls_authority_pem(ca) into the session's bundle ...
 *	ctx = mf_tls_authority_context(ca, "api.vendor.example");
 *
 * Certificates: ECDSA P-256, SHA-256, valid from a day before (clocks differ) for two days from now; one key for all
 * leaves. The authority has pathLen 0. Name constraints would have to list the names that policies will bridge, which
 * nobody knows beforehand.
 *
 * One thread at a time.
 */
#ifndef MF_PROXIES_TLS_AUTHORITY_H
#define MF_PROXIES_TLS_AUTHORITY_H

#include <openssl/types.h>

#include "core/base/err.h"

struct mf_tls_authority;

/** mf_tls_authority_new() - Cost: two P-256 keys and a signature, under a millisecond; Return: 0, MF_E_NOMEM */
int mf_tls_authority_new(const char *session_id, struct mf_tls_authority **ret_ca,
			 struct mf_err *err);
void mf_tls_authority_free(struct mf_tls_authority *ca); /* NULL is fine */

/** mf_tls_authority_pem() - The authority's certificate, PEM text, NUL-terminated; owned by @ca */
const char *mf_tls_authority_pem(const struct mf_tls_authority *ca);

/**
 * mf_tls_authority_context() - A server context with a certificate for @name
 * @name: canonical host name, at most 253 bytes
 * The 256 most recently used are kept.
 * Cost:   one signature for a new name
 * Return: borrowed until the next call (take a reference with SSL_new()); NULL without memory or for an overlong name
 */
SSL_CTX *mf_tls_authority_context(struct mf_tls_authority *ca, const char *name);

#endif
