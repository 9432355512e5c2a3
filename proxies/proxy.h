/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - everything a captured session's connections go through: DNS, TCP, TLS inspection, UDP
 *
 * The owner makes an event loop, fills a mf_session (whom the flows belong to, and the VM that judges them), hands over
 * the listeners that a capture backend filled, and lets the loop run:
 *
 *	struct mf_proxy_options o = { .size = sizeof(o), .tcp_fds = { capture_tcp }, .tcp_fd_cnt = 1, ... };
 *	struct mf_proxy *proxy;
 *
 *	if (mf_proxy_start(base, &session, &o, &proxy, &err) < 0) ...
 *	event_base_dispatch(base);
 *	mf_proxy_stop(proxy);
 *
 * Threads: one. Proxy, session, VM and event base belong to the thread that runs the loop.
 * Outgoing sockets are made by the calling process in its own network namespace, whatever namespace the listeners are in.
 */
#ifndef MF_PROXIES_PROXY_H
#define MF_PROXIES_PROXY_H

#include <moonfence/moonfence.h>
#include <stdatomic.h>

#include "core/packet/nat.h"
#include "core/policy/session.h"
#include "proxies/dns_server.h"

struct event_base;
struct mf_proxy;
struct mf_dns_cache;
struct mf_api_services;	 /* core/policy/api_services.h */
struct mf_router;	 /* router.h */
struct mf_tls_authority; /* tls_authority.h */
struct mf_tcp_conn;	 /* tcp_int.h */

#define MF_PROXY_DNS_SERVERS_MAX 8
/* Of each protocol; two where a capture needs another one for IPv6 */
#define MF_PROXY_LISTENERS_MAX 2

/* What proxies of several threads count as one. Zeroed at first; outlives them. */
struct mf_proxy_together {
	atomic_uint tcp_open, dns_inflight;
};

/* What happens to a DNS question that no policy has an opinion about (specs: P13). */
enum mf_proxy_dns_default {
	/* answer names that a connect rule could allow: connect is asked about the name on well-known ports */
	MF_PROXY_DNS_RESOLVE_KNOWN,
	/* the runtime's own default of kind dns */
	MF_PROXY_DNS_RUNTIME_DEFAULT,
	MF_PROXY_DNS_DEFAULT_NUM
};

/* Zero means the default everywhere. */
struct mf_proxy_options {
	size_t size; /* sizeof(struct mf_proxy_options) */

	/*
	 * Listening, non-blocking, any family; stays the caller's. The local address of an accepted connection is where
	 * its client meant to go (IP_TRANSPARENT with TPROXY); @find_flow replaces that rule for other captures.
	 */
	int tcp_fds[MF_PROXY_LISTENERS_MAX];
	size_t tcp_fd_cnt;
	/*
	 * UDP, non-blocking; stays the caller's. Where a datagram arrived is where its client meant to go (with TPROXY), or
	 * what @find_flow makes of it. Replies are sent on sockets of mf_session_ops.open_udp; without that function they
	 * are sent on the socket that received, from where the datagram arrived.
	 */
	int udp_fds[MF_PROXY_LISTENERS_MAX];
	size_t udp_fd_cnt;
	/*
	 * The flow behind a connection or datagram that reached a listener, where a source of packets changed its addresses
	 * on the way: @peer is where it comes from and @local where it arrived, as the socket says. NULL: the client is
	 * @peer, the server @local. Return: 0; MF_E_*: nobody's, dropped unread
	 */
	int (*find_flow)(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
			 const struct mf_endpoint *local, struct mf_session_flow *ret);
	void *find_flow_ctx;

	/* No flows but DNS questions, which come by dns_listen.h and dns_https.h: no listener is wanted here */
	bool names_only;
	/* Connections come by mf_proxy_take_tcp(): no listener is wanted */
	bool given_only;
	/* With that: datagrams come, too, by mf_proxy_take_datagram() */
	bool datagrams_given;

	/* Real resolvers (mf_dns_server_parse()); none: the nameservers of @resolv_conf. */
	struct mf_dns_server dns_servers[MF_PROXY_DNS_SERVERS_MAX];
	size_t dns_server_cnt;
	const char *
		resolv_conf; /* in the form of resolv.conf(5); NULL: what the system's own programs ask */
	const char *hosts_file; /* the system's; asked first for the names of redirect targets */
	enum mf_proxy_dns_default dns_default;
	/*
	 * What resolvers said is kept, below the policies (dns_cache.h): in a cache of several sessions, the caller's until
	 * mf_proxy_stop(), or in one of our own.
	 */
	struct mf_dns_cache *dns_cache;
	bool dns_cache_off;
	size_t dns_cache_bytes; /* of our own: 4 MiB */
	/* For how long an expired answer is better than none (RFC 8767). 0: not at all; a shared cache has its own limit */
	uint32_t dns_stale_s;

	uint32_t hello_timeout_ms; /* first byte to whole ClientHello or request head: 5,000 */
	uint32_t dial_timeout_ms;  /* 10,000 */
	uint32_t denial_grace_ms;  /* how long a denied client may take to show its protocol: 100 */
	uint32_t tcp_idle_ms;	   /* 7,200,000 */
	uint32_t udp_idle_ms;	   /* 60,000 */
	uint32_t dns_timeout_ms;   /* one server, one try: 2,000 */
	uint32_t tcp_connections_max; /* 65,536; of all proxies with the same @together */
	uint32_t udp_flows_max;	      /* 4,096: the least recently used goes */
	/* Of an IPv4 address or a /64; 0: any. With that, of all, one of whoever has most is the one that goes */
	uint32_t udp_flows_each;
	uint32_t dns_inflight_max;	    /* 512; likewise */
	struct mf_proxy_together *together; /* NULL: this proxy is alone */

	/*
	 * Signs the certificates of bridges (tls_bridge.h) for redirect{tls="rewrite_sni"} and terminate{}; borrowed until
	 * mf_proxy_stop(). NULL: a name is changed in the hello itself, which only a peer that changes it back can complete,
	 * and what is to be intercepted is refused.
	 */
	struct mf_tls_authority *tls_authority;
	/*
	 * Decides where TCP goes by the client's words, in place of @find_flow and the policies (router.h); borrowed. The
	 * session then needs a VM only for @router_asks.
	 */
	const struct mf_router *router;
	bool router_asks;
	/*
	 * The services that policies declare now, valid until the loop's next turn; NULL: they cannot be had. Connections to
	 * their gateway (service_gateway.h) are then requests for them; without the function there is no gateway.
	 */
	const struct mf_api_services *(*services)(void *ctx);
	void *services_ctx;
	/* Skip the check of redirect targets by connect (P21). */
	bool redirect_target_trusted;
	/* Ask again about what is open when policies change, and end what they do not let through any more (reevaluate.h) */
	bool reevaluate_open;
	/* Relay by copying even where the system can splice: what systems without splice() do, to be tested here. */
	bool copy_only;
};

/* Counters since the start, and what is open now. */
struct mf_proxy_stats {
	size_t size; /* in: sizeof(struct mf_proxy_stats) */
	uint64_t tcp_accepted, tcp_allowed, tcp_denied, tcp_redirected, tcp_failed,
		tcp_refused_limit;
	uint64_t tcp_open, tls_hellos, tls_bad, sni_denied, sni_rewritten, tls_bridged;
	uint64_t udp_flows, udp_allowed, udp_denied, udp_redirected, udp_open, udp_evicted;
	/* pings, by client, server and identifier; @icmp_unable: of those allowed, the system gave no socket for */
	uint64_t icmp_flows, icmp_allowed, icmp_denied, icmp_redirected, icmp_open, icmp_evicted,
		icmp_unable;
	uint64_t quic_hellos, quic_dropped; /* of tls_hellos; datagrams that did not go on */
	uint64_t dns_queries, dns_allowed, dns_denied, dns_redirected, dns_failed, dns_bad,
		dns_inflight, dns_cached, dns_stale;
	uint64_t bytes_to_server, bytes_to_client;
	uint64_t reevaluated_ended;	      /* TCP and UDP, by policies that changed */
	uint64_t http_requests, http_refused; /* first of a connection; later ones that ended it */
	/* interceptions: clients that spoke; servers that failed; clients that refused or left; passed unseen (on_pinned) */
	uint64_t tls_intercepted, tls_server_failed, tls_client_refused, tls_passed;
	uint64_t udp_evicted_own; /* flows that ended since their client had too many */
};

/**
 * mf_proxy_start() - Serve the session's flows on @base until mf_proxy_stop()
 * @base:    runs in the thread that calls this
 * @session: borrowed until mf_proxy_stop(); its vm must be set
 * @options: copied
 * Return: 0; MF_E_INVAL (no VM, no listener), MF_E_NOMEM, MF_E_IO (listener, resolv.conf without a usable server)
 */
int mf_proxy_start(struct event_base *base, struct mf_session *session,
		   const struct mf_proxy_options *options, struct mf_proxy **ret_proxy,
		   struct mf_err *err);

/** mf_proxy_stop() - Reset every connection, close every flow, free everything; NULL is fine */
void mf_proxy_stop(struct mf_proxy *proxy);

/** mf_proxy_cut() - Reset every open connection and flow and refuse new ones: what drift of the capture asks for */
void mf_proxy_cut(struct mf_proxy *proxy, const char *reason);

/* What mf_proxy_judge() says of a flow. */
struct mf_proxy_judgement {
	bool serve;	   /* hand its packets to the listener; else refuse it */
	bool has_redirect; /* connect sends it elsewhere */
	struct mf_nat_redirect redirect;
};

/**
 * mf_proxy_judge() - Ask connect about a flow before its first packet is answered, for sources that see packets
 * A refusal is told and counted here, but for UDP to port 443: QUIC hears of it in its own words, once its datagram arrives.
 * Of a flow that is to be served the answer is kept until its connection or datagram arrives (a few seconds, the last 1,024
 * flows), so that policies and their counters are asked once.
 */
void mf_proxy_judge(struct mf_proxy *proxy, const struct mf_session_flow *flow,
		    struct mf_proxy_judgement *ret);

/**
 * mf_proxy_take_datagram() - A UDP datagram that a source of packets has read: as one that came by a listener
 * Its answers go by mf_session_ops.send_udp. @payload may be changed
 */
void mf_proxy_take_datagram(struct mf_proxy *proxy, const struct mf_session_flow *flow,
			    uint8_t *payload, size_t len);

/**
 * mf_proxy_take_echo() - An echo request that a source of packets has read; @flow is MF_ICMP, @echo borrowed
 * connect is asked once for each client, server and identifier. What comes of it goes by mf_session_ops.echo.
 */
void mf_proxy_take_echo(struct mf_proxy *proxy, const struct mf_session_flow *flow,
			const struct mf_session_echo *echo);

/**
 * mf_proxy_forget_client() - Whoever has this address, or this /64 of IPv6, has gone
 * Its UDP flows and pings end, and nothing points at its member through them. Cost: one pass over all UDP flows and pings
 */
void mf_proxy_forget_client(struct mf_proxy *proxy, const struct mf_addr *client);

/** mf_proxy_take_names() - Serve questions of DNS on a connected stream socket, which is the proxy's from now on */
void mf_proxy_take_names(struct mf_proxy *proxy, int fd, const struct mf_session_flow *flow);

/*
 * What becomes of a connection that was handed over. reached() is called at most once: bytes go on, and come back. ended() is
 * the last, and the only one that is called without fail: @denied, by a policy or a limit; @error NULL: in order.
 */
struct mf_proxy_watcher {
	void (*reached)(void *ctx);
	void (*ended)(void *ctx, bool denied, bool reset, const char *error);
	/*
	 * Nobody needs to see the bytes any more: who handed the connection over may read and write the server's socket himself
	 * (mf_proxy_direct_*()), behind what is still in his own. NULL: he does not want to. Return: false: not now, or not at all
	 */
	bool (*direct)(void *ctx, struct mf_tcp_conn *conn, int server);
	/*
	 * It would be so but for the bytes that are under way: write nothing (more) into the socket that was handed over, until direct() or
	 * until this is taken back (@hold false). Not NULL where direct() is not
	 */
	void (*hold)(void *ctx, bool hold);
	void *ctx;
};

/**
 * mf_proxy_take_tcp() - Serve a connected stream socket as if it had been accepted for @flow
 * @fd: the proxy's from now on, also if it fails; non-blocking, whatever its family; @watcher: copied
 * Return: 0; MF_E_FULL, MF_E_NOMEM, MF_E_PERM (cut): no call of @watcher is made
 */
int mf_proxy_take_tcp(struct mf_proxy *proxy, int fd, const struct mf_session_flow *flow,
		      const struct mf_proxy_watcher *watcher);

/*
 * A connection whose bytes its owner moves: it is still the session's, with its idle time, its events, its end (ended()); the socket stays
 * the proxy's. Nothing goes through the socket that was handed over, which stays open, until mf_proxy_direct_back().
 */
/** mf_proxy_direct_may() - Whether these bytes may go to the server unseen. False: mf_proxy_direct_back() first */
bool mf_proxy_direct_may(struct mf_tcp_conn *conn, struct mf_span to_server);
/** mf_proxy_direct_moved() - @from: 0 the client, 1 the server */
void mf_proxy_direct_moved(struct mf_tcp_conn *conn, unsigned from, size_t len);
/** mf_proxy_direct_back() - The socket is not touched any more; @look: the proxy looks at what the client says from here on */
void mf_proxy_direct_back(struct mf_tcp_conn *conn, bool look);
/** mf_proxy_direct_broken() - The server's socket has failed; ended() is called at once */
void mf_proxy_direct_broken(struct mf_tcp_conn *conn);

void mf_proxy_get_stats(const struct mf_proxy *proxy, struct mf_proxy_stats *ret);

#endif
