/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_int.h - what the parts of one proxy share; not for anybody outside proxies/
 */
#ifndef MF_PROXIES_PROXY_INT_H
#define MF_PROXIES_PROXY_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/types.h>

#include "core/observe/metrics.h"
#include "proxies/ask.h"
#include "proxies/held.h"
#include "proxies/proxy.h"
#include "proxies/relay.h"
#include "proxies/router.h"
#include "proxies/sock.h"
#include "proxies/timeouts.h"

struct mf_service_gateway;
struct mf_icmp_proxy;
struct mf_tcp_proxy;
struct mf_tls_sessions;
struct mf_udp_proxy;
struct mf_dns_proxy;
struct mf_dns_upstream;

struct mf_proxy {
	struct event_base *base;
	struct mf_session *session;
	struct mf_proxy_options opt;
	struct mf_proxy_together *together, alone;
	struct mf_proxy_stats stats;
	uint64_t last_id; /* of connections and flows, as they begin */
	struct mf_timeouts *timeouts;
	struct mf_asker asker;
	struct mf_relay_pool pool;
	struct mf_dns_upstream *upstream;
	struct mf_dns_proxy *dns;
	struct mf_tcp_proxy *tcp;
	struct mf_udp_proxy *udp;
	struct mf_icmp_proxy *icmp;	    /* made with the first ping */
	struct mf_service_gateway *gateway; /* NULL: there is none */
	struct mf_judged *judged;	    /* judged.c; made with the first */
	SSL_CTX *tls_servers; /* of bridges to servers, with their tickets; made with the first */
	struct mf_tls_sessions *tls_sessions;
	SSL_CTX *tls_upstream; /* of bridges; made with the first */
	SSL_CTX *
		tls_unverified; /* towards servers that a router vouches for; made with the first */
	struct mf_event event;	/* being written; big, so not on the stack of every handler */
	char hosts_file[300];	/* the system's; opt.hosts_file may point at it */
	/* held.c: flows that wait for a person, and how the loop hears that they need not any longer */
	struct mf_held *held;
	struct mf_loop_wake *held_wake; /* NULL: nothing is held */
	struct event held_timer;
	struct mf_reevaluate *reevaluate; /* NULL: what is open goes on when policies change */
	const char *cut;		  /* not NULL: nothing is served any more, and why */
};

/* judged.c: answers of connect that came before the flow itself */
void mf_judged_keep(struct mf_proxy *p, const struct mf_session_flow *flow,
		    const struct mf_decision *d, const struct mf_ask_result *res);
/* Return: the decision, which is the caller's to free, and *ret_res; NULL: @flow was not judged, or too long ago */
struct mf_kept *mf_judged_take(struct mf_proxy *p, const struct mf_session_flow *flow,
			       struct mf_ask_result *ret_res);
void mf_judged_free(struct mf_judged *judged);
/* A machine has one IPv4 address, and of IPv6 a whole /64. */
static inline bool mf_proxy_same_client(const struct mf_addr *a, const struct mf_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 8) == 0;
}
/* The flow that a listener's socket sees. Return: false: nobody's */
bool mf_proxy_find_flow(struct mf_proxy *p, enum mf_proto proto, const struct mf_endpoint *peer,
			const struct mf_endpoint *local, struct mf_session_flow *ret);

/* tcp_proxy.c */
int mf_tcp_proxy_new(struct mf_proxy *p, struct mf_tcp_proxy **ret, struct mf_err *err);
void mf_tcp_proxy_free(struct mf_tcp_proxy *tcp);
void mf_tcp_proxy_cut(struct mf_tcp_proxy *tcp);

/* udp_proxy.c */
int mf_udp_proxy_new(struct mf_proxy *p, struct mf_udp_proxy **ret, struct mf_err *err);
void mf_udp_proxy_free(struct mf_udp_proxy *udp);
void mf_udp_proxy_cut(struct mf_udp_proxy *udp);
void mf_udp_proxy_forget(struct mf_udp_proxy *udp, const struct mf_addr *client);
void mf_udp_proxy_take(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
		       uint8_t *payload, size_t len);

/* icmp_proxy.c */
void mf_icmp_proxy_take(struct mf_proxy *p, const struct mf_session_flow *ends,
			const struct mf_session_echo *echo);
void mf_icmp_proxy_cut(struct mf_icmp_proxy *icmp);
void mf_icmp_proxy_forget(struct mf_icmp_proxy *icmp, const struct mf_addr *client);
void mf_icmp_proxy_free(struct mf_icmp_proxy *icmp); /* NULL is fine */

#endif
