/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.h - who decides where connections go by the client's first words, before any policy: domain forwarding
 *
 * mf_proxy_options.router. Of a connection it is asked three times: when it is accepted (whose is it, may it be here?), when
 * its first words are in (where to?), and it is told the end. Nothing is dialled before the words are in, and but for
 * what the route says nothing is read of a connection afterwards: its bytes pass as they are.
 *
 * Policies have no part in it unless mf_proxy_options.router_asks: then connect and sni are asked about each connection
 * whose route is not firm; what they deny is refused, and where they redirect goes before the route.
 */
#ifndef MF_PROXIES_ROUTER_H
#define MF_PROXIES_ROUTER_H

#include "core/base/span.h"
#include "core/policy/session.h"

/* What a client speaks, as far as its first words show it. */
enum mf_router_speech {
	MF_ROUTER_SILENT, /* nothing in the time for a hello: it waits for the server */
	MF_ROUTER_TLS,
	MF_ROUTER_TLS_BAD, /* begins like TLS and is none: malformed or cut off */
	MF_ROUTER_LATE, /* TLS or HTTP that did not come to its end in time; refused, whatever the route says */
	MF_ROUTER_HTTP,
	MF_ROUTER_OTHER,
	MF_ROUTER_SPEECH_NUM
};

struct mf_router_words {
	const struct mf_session_flow *flow;
	enum mf_router_speech speech;
	struct mf_span name; /* server_name or Host as it was said, not canonical; empty: none */
	bool loops;	     /* the original destination is a listener of ours */
};

enum mf_router_way {
	MF_ROUTER_PASS, /* byte for byte */
	MF_ROUTER_TO_PLAIN, /* TLS ends here (mf_proxy_options.tls_authority), the server gets cleartext */
	MF_ROUTER_TO_TLS, /* TLS ends here and begins again, with the same name said to the server */
	MF_ROUTER_REFUSE,
	MF_ROUTER_WAY_NUM
};

struct mf_router_route {
	enum mf_router_way way;
	bool firm;	 /* policies are not asked */
	bool unverified; /* of MF_ROUTER_TO_TLS: whatever certificate the server has is good */
	/* Where to; no host: the original destination. A name is looked up. */
	const char *host;
	uint16_t port;
	int fd; /* a connected, non-blocking descriptor in place of @host: the proxy's from now on; -1: none */
	struct mf_span
		alpn; /* of MF_ROUTER_TO_PLAIN: what the server speaks, as in RFC 7301; empty: http/1.1 */
	const char *why; /* of MF_ROUTER_REFUSE; borrowed until the next call */
	void *tag;	 /* the router's own */
};

/* How a connection ended, and what it was. */
struct mf_router_end {
	const struct mf_session_flow *flow;
	void *tag;		/* of its route; NULL: it ended before */
	const char *error;	/* NULL: in order; "idle", "policy" and others in words */
	bool routed, connected; /* it came to its first words; to a server */
	uint64_t bytes_to_server, bytes_to_client;
};

struct mf_router {
	/*
	 * A connection was accepted on a listener. @fd: only to be looked at
	 * Return: 0 with *@ret filled; negative: it is reset at once, and not told of again
	 */
	int (*accept)(void *ctx, int fd, const struct mf_endpoint *peer,
		      const struct mf_endpoint *local, struct mf_session_flow *ret);
	/* @ret is zero but for its fd, which is -1: pass to the original destination, if nothing refuses it */
	void (*route)(void *ctx, const struct mf_router_words *words, struct mf_router_route *ret);
	/*
	 * A connection was refused because its destination is a listener of ours, and neither its route nor a policy
	 * leads elsewhere; may be NULL
	 */
	void (*looped)(void *ctx);
	/* The server took the connection so long after the route was known; may be NULL */
	void (*connected)(void *ctx, void *tag, uint64_t ns);
	/*
	 * No server could be reached for a route with a tag; may be NULL. @tells: the client speaks what can be told the reason in
	 * Return: a descriptor as in route.fd, behind which HTTP/1.1 and 2 say why; negative: TLS gets an alert, all else a reset
	 */
	int (*unreached)(void *ctx, void *tag, const char *error, bool tells);
	void (*ended)(void *ctx, const struct mf_router_end *end);
	void *ctx;
};

#endif
