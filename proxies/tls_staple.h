/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_staple.h - whether a server's certificate was revoked, by the OCSP response that it staples (RFC 6066 §8, RFC 6960)
 *
 * Nobody else is asked: a look-up at the authority would tell it who goes where, and fails when it cannot be reached. What
 * is stapled is checked, signature and all:
 *
 *	good                                    the handshake goes on
 *	revoked, however old the response       refused
 *	malformed, signed by nobody who may, unknown, or about another certificate: refused
 *	none, an error of the responder, or out of date: goes on, unless the certificate demands a staple (RFC 7633)
 */
#ifndef MF_PROXIES_TLS_STAPLE_H
#define MF_PROXIES_TLS_STAPLE_H

#include <openssl/types.h>
#include <stdint.h>

enum mf_tls_staple {
	MF_TLS_STAPLE_NONE, /* nothing that counts, and nothing that is demanded */
	MF_TLS_STAPLE_GOOD,
	MF_TLS_STAPLE_REVOKED,
	MF_TLS_STAPLE_BAD,
	MF_TLS_STAPLE_MISSING, /* the certificate demands one */
	MF_TLS_STAPLE_NUM
};

/** mf_tls_staple_ask() - Let a client's hello ask for a stapled response, before its handshake */
void mf_tls_staple_ask(SSL *ssl);

/**
 * mf_tls_staple_check() - What the response says that came with a verified certificate
 * For a client that asked, at the end of its handshake and before anything is sent. Cost: one signature
 * @left_ms: lowered, if a good response is out of date before that
 */
enum mf_tls_staple mf_tls_staple_check(SSL *ssl, uint64_t *left_ms);

/** mf_tls_staple_error() - Why the connection is refused, for the event; NULL: it is not */
const char *mf_tls_staple_error(enum mf_tls_staple staple);

#endif
