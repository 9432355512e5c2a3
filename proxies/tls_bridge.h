/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_bridge.h - two TLS connections joined: what redirect{tls="rewrite_sni"} needs
 *
 * A ClientHello cannot be changed on its way: both ends prove at the end of the handshake that they saw the same messages
 * (RFC 5246 7.4.9, RFC 8446 4.4.1). So the connection is cut in two. Towards the server we are a client that sends the new
 * name and verifies the server's certificate for it against the host's trust store; towards the client we are a server with
 * a certificate of the session's authority for the name that was asked for. docs/internals/tls.md says what that means.
 *
 * Its stapled OCSP response is asked for and heeded (tls_staple.h).
 *
 * The server's handshake comes first: only when it is done, and its certificate is good, is the client answered, with the
 * application protocol (ALPN) that the server chose.
 *
 * Without an upstream context the server's side is plaintext: TLS ends here. The client's handshake then is the only one,
 * and an end of the server's data is a close_notify for the client.
 *
 * Memory is bounded: a direction reads only while the other side's ciphertext has been sent, so at most one record waits in
 * each. The bridge has no events of its own: its owner sets readable[] and writable[] (edge-triggered, as mf_relay) and
 * pumps.
 */
#ifndef MF_PROXIES_TLS_BRIDGE_H
#define MF_PROXIES_TLS_BRIDGE_H

#include <openssl/types.h>

#include "core/base/span.h"
#include "proxies/relay.h"
#include "proxies/tls_authority.h"
#include "proxies/tls_sessions.h"

struct mf_tls_bridge;

struct mf_tls_bridge_options {
	struct mf_tls_authority *authority;
	SSL_CTX *
		upstream; /* mf_tls_upstream_new() of tls_client.h, a reference is taken; NULL: plaintext */
	const char *client_name; /* what the client asked for: its certificate's name */
	/* what the server is asked for and must prove: a name or an address; not used without upstream */
	const char *server_name;
	/*
	 * Application protocols (RFC 7301: length-prefixed names). The client's, as in its hello, may be empty. Without
	 * upstream: what the plaintext server speaks, the preferred one first; empty: http/1.1.
	 */
	struct mf_span alpn;
	struct mf_span first; /* what was already read from the client */
	/* Servers' tickets, outlive the bridge; NULL: each handshake is a full one. Not with an unverified upstream. */
	struct mf_tls_sessions *sessions;
	const char *server; /* ... this one: its name and where it is, copied */
};

/** mf_tls_bridge_new() - Return: 0, MF_E_NOMEM, MF_E_INVAL (a name that cannot be verified, a list that is none) */
int mf_tls_bridge_new(const struct mf_tls_bridge_options *options,
		      struct mf_tls_bridge **ret_bridge);
void mf_tls_bridge_free(struct mf_tls_bridge *b); /* closes no descriptor; NULL is fine */

/** mf_tls_bridge_is_joined() - Whether the server's handshake is done: from now on a failure cannot be tried
 * elsewhere. A plaintext server has none: true from the beginning. */
bool mf_tls_bridge_is_joined(const struct mf_tls_bridge *b);

/** mf_tls_bridge_error() - Why it broke, for the event; "" when it was an ordinary end; valid as long as @b */
const char *mf_tls_bridge_error(const struct mf_tls_bridge *b);

/** mf_tls_bridge_is_open() - Whether both handshakes are done */
bool mf_tls_bridge_is_open(const struct mf_tls_bridge *b);

/** mf_tls_bridge_protocol() - The application protocol that the client was given, "" for none; @ret_len: its bytes */
const char *mf_tls_bridge_protocol(const struct mf_tls_bridge *b, unsigned *ret_len);

/** mf_tls_bridge_version() - "TLSv1.3", of the client's side */
const char *mf_tls_bridge_version(const struct mf_tls_bridge *b);

/* What the client thought of our certificate, as far as it shows. */
enum mf_tls_client_says {
	MF_TLS_CLIENT_BLIND,	/* it did not see it */
	MF_TLS_CLIENT_SILENT,	/* it has not answered, or only finished its handshake */
	MF_TLS_CLIENT_ACCEPTED, /* it spoke under it */
	MF_TLS_CLIENT_REFUSED,	/* by an alert about certificates */
	MF_TLS_CLIENT_LEFT, /* it ended the connection in answer to it, or after the handshake without a word */
	MF_TLS_CLIENT_SAYS_NUM
};
enum mf_tls_client_says mf_tls_bridge_client_says(const struct mf_tls_bridge *b);

/**
 * mf_tls_bridge_answer() - In place of the server: @text for the client, and then an end
 * For a client whose words were refused by the relay's filter before any went on. Pump afterwards.
 */
void mf_tls_bridge_answer(struct mf_tls_bridge *b, const char *text, size_t len);

/**
 * mf_tls_bridge_pump() - Move what can be moved
 * @r: the descriptors and their readiness; dir[].bytes counts plaintext; its filter sees the client's plaintext. Once that
 *     refuses, the server is told an end, what the client still says is thrown away, and answers to it still pass.
 */
enum mf_relay_state mf_tls_bridge_pump(struct mf_tls_bridge *b, struct mf_relay *r);

#endif
