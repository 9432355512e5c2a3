/* SPDX-License-Identifier: Apache-2.0 */
/* dns_proxy_int.h - shared by dns_proxy.c and dns_tcp.c */
#ifndef MF_PROXIES_DNS_PROXY_INT_H
#define MF_PROXIES_DNS_PROXY_INT_H

#include "proxies/dns_proxy.h"
#include "proxies/timeouts.h"

struct mf_dns_job;
struct mf_dns_chain;
struct mf_dns_tcp;

struct mf_dns_proxy {
	struct mf_proxy *proxy;
	struct mf_dns_job *jobs;
	struct mf_dns_chain *chain; /* of the answer being read: too big for a stack */
	struct mf_dns_tcp *conns;
	unsigned conn_cnt;
	struct mf_timeout_queue idle;
	/* our half of clients' cookies; never checked, as nobody but the session reaches its resolver */
	uint8_t cookie[MF_DNS_COOKIE_HALF];
	uint8_t out[MF_DNS_MESSAGE_MAX];
};

void mf_dns_tcp_init(struct mf_dns_proxy *dns);
void mf_dns_tcp_done(struct mf_dns_proxy *dns);

#endif
