/* SPDX-License-Identifier: Apache-2.0 */
/* icmp_int.h - a flow of pings; not for anybody outside proxies/ */
#ifndef MF_PROXIES_ICMP_INT_H
#define MF_PROXIES_ICMP_INT_H

#include "proxies/ping_socket.h"
#include "proxies/proxy_int.h"

struct mf_icmp_flow {
	struct mf_icmp_proxy *icmp;
	struct mf_icmp_flow *chain;	    /* in its bucket */
	struct mf_icmp_flow *newer, *older; /* by last use */
	struct mf_timeout timeout;
	struct mf_session_flow ends; /* client.port: the identifier */
	struct mf_ping_socket socket;
	struct event event;
	bool denied; /* kept so that it is asked about once */
	bool held;   /* the names of the address are held */
	uint64_t id, last_ms;
	uint64_t generation;	 /* whose policies were asked, at least */
	uint64_t sent, received; /* bytes of payload */
	char *host;
};

struct mf_icmp_proxy {
	struct mf_proxy *proxy;
	struct mf_timeout_queue idle;
	struct mf_icmp_flow *buckets[256];
	struct mf_icmp_flow *newest, *oldest;
	uint64_t seed;
	bool told; /* that there are no sockets for it */
	uint8_t buf[MF_PING_ROOM];
};

#endif
