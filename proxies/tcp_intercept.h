/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_intercept.h - terminate{}: what is special about a bridge that is there to be looked into
 *
 * connect or sni said terminate: the connection's TLS is cut in two (tls_bridge.h), and the requests inside are watched as
 * those in the clear are (tcp_http.h). What becomes of it is one event, net_tls_intercept:
 *
 *	joined           the client spoke under our certificate
 *	server_failed    the server's certificate is not good, or its handshake failed otherwise
 *	client_refused   the client answered our certificate with an alert: it pins its server's, or has a store of its own
 *	client_left      it ended the connection when it saw the certificate, or after the handshake without a word
 *	passed           it was let through unseen, since a client of that name refused before, and the policy says so
 *
 * What clients think of our certificates is kept for the last 256 names of the session.
 */
#ifndef MF_PROXIES_TCP_INTERCEPT_H
#define MF_PROXIES_TCP_INTERCEPT_H

#include <stdbool.h>

#include "core/wire/tls_hello.h"

struct mf_decision;
struct mf_tcp_conn;
struct mf_tcp_intercept;
struct mf_tcp_pinned;

/** mf_tcp_intercept_take() - @d, a terminate, holds from now on. Return: false: closed, without memory */
bool mf_tcp_intercept_take(struct mf_tcp_conn *c, const struct mf_decision *d);
/** mf_tcp_intercept_drop() - It does not, any more */
void mf_tcp_intercept_drop(struct mf_tcp_conn *c);

/**
 * mf_tcp_intercept_passes() - Whether the connection goes on unseen after all: its name's clients have refused, and the
 * policy lets those pass. Then told, counted and dropped.
 */
bool mf_tcp_intercept_passes(struct mf_tcp_conn *c, const struct mf_tls_hello *hello);

/** mf_tcp_intercept_begin() - The bridge begins under the name @name. Return: false without memory */
bool mf_tcp_intercept_begin(struct mf_tcp_conn *c, const char *name);

/** mf_tcp_intercept_server_failed() - The server's handshake failed: told; @error: why */
void mf_tcp_intercept_server_failed(struct mf_tcp_conn *c, const char *error);

/** mf_tcp_intercept_heard() - After each pump: tell of a client that spoke, once; answer one whose words were refused */
void mf_tcp_intercept_heard(struct mf_tcp_conn *c);

/** mf_tcp_intercept_end() - The connection ends: tell of it, unless told; also where nothing was intercepted */
void mf_tcp_intercept_end(struct mf_tcp_conn *c);

#endif
