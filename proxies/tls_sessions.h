/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_sessions.h - tickets that servers gave to bridges, so that the next one need not verify the same certificate again
 *
 * A resumed handshake (RFC 8446 §2.2, RFC 5246 §7.3) proves that the server is the one whose certificate was verified, for the
 * same name at the same address. Nothing is verified anew, so a ticket counts until a moment that was fixed at the full
 * handshake which it goes back to, however often it was renewed since: no revocation, expiry or change of the trust store is
 * overlooked for longer. Each ticket is used once (RFC 8446 §C.4), so there are as many as connections begin together: 32 of a
 * server, of the last 128 servers, and 512 in all (a few KiB each).
 */
#ifndef MF_PROXIES_TLS_SESSIONS_H
#define MF_PROXIES_TLS_SESSIONS_H

#include <openssl/ssl.h>
#include <stdint.h>

#define MF_TLS_SESSION_MS 600000 /* the longest that one may count */
/* Bytes of what names a server, with its NUL: a host name, and an address and port or the path of a Unix socket */
#define MF_TLS_SERVER_MAX 384

struct mf_tls_sessions;

/** mf_tls_sessions_new() - Return: NULL without memory */
struct mf_tls_sessions *mf_tls_sessions_new(void);
void mf_tls_sessions_free(struct mf_tls_sessions *all); /* NULL is fine */

/**
 * mf_tls_sessions_put() - Keep a session, whose reference is taken over
 * @server:   all that makes it the same one: the name that it proved, and where it was dialled; a longer text is not kept
 * @until_ms: from then on it does not count, by any monotonic clock
 */
void mf_tls_sessions_put(struct mf_tls_sessions *all, const char *server, SSL_SESSION *session,
			 uint64_t until_ms);

/** mf_tls_sessions_take() - The newest, which is the caller's then (SSL_SESSION_free()); NULL: none that still counts */
SSL_SESSION *mf_tls_sessions_take(struct mf_tls_sessions *all, const char *server, uint64_t now_ms,
				  uint64_t *ret_until_ms);

#endif
