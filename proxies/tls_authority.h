/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_authority.h - a certificate authority that makes servers' certificates on demand: a session's, or the local one
 *
 * Whoever ends a TLS connection in place of the server that was asked for needs a certificate for that server's name.
 *
 * The session's authority is made when a session starts. Nobody outside the session trusts it: its certificate is added to
 * what the session's programs see as the system's bundle, its key never leaves this process.
 *
 *	mf_tls_authority_new(session_id, &ca, &err);
 *	... mf_tls_authority_pem(ca) into the session's bundle ...
 *	mf_tls_authority_certify(ca, "api.vendor.example", &ctx, &err);
 *
 * The local authority was made by "moonfence ca create" and is trusted by the user's browsers or by the system. Its key is in a
 * file (tls_authority_disk.h), and its certificate limits it to the operator's domains. After "moonfence ca rotate"
 * mf_tls_authority_reopen() takes over what is in force now; who borrows the authority need not hear of it.
 *
 *	mf_tls_authority_open("/var/lib/moonfence/ca", &ca, &err);
 *
 * Leaves: ECDSA P-256, SHA-256, serverAuth, the name in the subjectAltName only (iPAddress for the text of an address), valid
 * from a day before (clocks differ) for at most 90 days and never longer than the authority, made anew at half of their
 * time. One key for all leaves, in memory only. Authorities have pathLen 0. The session's has no name constraints: they
 * would have to list the names that policies will bridge, which nobody knows beforehand.
 *
 * One thread at a time.
 */
#ifndef MF_PROXIES_TLS_AUTHORITY_H
#define MF_PROXIES_TLS_AUTHORITY_H

#include <openssl/types.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/err.h"

struct mf_tls_authority;

/** mf_tls_authority_new() - Cost: two P-256 keys and a signature, under a millisecond; Return: 0, MF_E_NOMEM */
int mf_tls_authority_new(const char *session_id, struct mf_tls_authority **ret_ca,
			 struct mf_err *err);

/**
 * mf_tls_authority_open() - The local authority in the directory @path
 * Return: 0; MF_E_NOENT: there is none; MF_E_PERM: others could read or change the key, or its time is over (or has not begun);
 * MF_E_BAD: a file that is no authority, or a key that does not belong to its certificate; MF_E_IO; MF_E_NOMEM
 */
int mf_tls_authority_open(const char *path, struct mf_tls_authority **ret_ca, struct mf_err *err);

/**
 * mf_tls_authority_reopen() - Sign with what is in the directory @path now; connections that are open keep their certificates
 * Return: 1: it is another authority than before; 0: it is the same; as mf_tls_authority_open(): @ca stays what it was
 */
int mf_tls_authority_reopen(struct mf_tls_authority *ca, const char *path, struct mf_err *err);

/*
 * For who may not read the directory any more, from who may: the key and the certificate as text.
 * mf_tls_authority_export() - Return: MF_E_NOMEM, or the length of *ret_text, which OPENSSL_clear_free() takes with it
 * mf_tls_authority_import() - As mf_tls_authority_reopen(), of such a text
 */
int mf_tls_authority_export(const struct mf_tls_authority *ca, char **ret_text);
int mf_tls_authority_import(struct mf_tls_authority *ca, const char *text, size_t len,
			    struct mf_err *err);

void mf_tls_authority_free(struct mf_tls_authority *ca); /* NULL is fine */

/** mf_tls_authority_pem() - The authority's certificate, PEM text, NUL-terminated; owned by @ca */
const char *mf_tls_authority_pem(const struct mf_tls_authority *ca);

/** mf_tls_authority_certificate() - The authority's certificate, for tls_certificate.h to read; owned by @ca */
X509 *mf_tls_authority_certificate(const struct mf_tls_authority *ca);

/** mf_tls_authority_until() - Seconds since 1970-01-01T00:00:00Z when its time is over: nothing is certified from then on */
int64_t mf_tls_authority_until(const struct mf_tls_authority *ca);

/** mf_tls_authority_use_clock() - Read another clock than the system's (its wall time): tests; @clock must outlive @ca */
void mf_tls_authority_use_clock(struct mf_tls_authority *ca, const struct mf_clock *clock);

/**
 * mf_tls_authority_certify() - A server context with a certificate for @name
 * @name: canonical host name, at most 253 bytes, or the text of an address
 * @ret_ctx: borrowed until the next call (take a reference with SSL_new()); the 256 most recently used are kept
 * Cost:   one signature for a new name
 * Return: 0; MF_E_PERM: @name is outside of the authority's name constraints, or its time is over; MF_E_SYNTAX: no name;
 *         MF_E_NOMEM
 */
int mf_tls_authority_certify(struct mf_tls_authority *ca, const char *name, SSL_CTX **ret_ctx,
			     struct mf_err *err);

/** mf_tls_authority_context() - The same for callers that do not tell why not; Return: NULL where the above is not 0 */
SSL_CTX *mf_tls_authority_context(struct mf_tls_authority *ca, const char *name);

#endif
