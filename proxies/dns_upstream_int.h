/* SPDX-License-Identifier: Apache-2.0 */
/* dns_upstream_int.h - shared by dns_upstream.c and resolve.c */
#ifndef MF_PROXIES_DNS_UPSTREAM_INT_H
#define MF_PROXIES_DNS_UPSTREAM_INT_H

#include "proxies/dns_upstream.h"
#include "proxies/proxy_int.h"

#define MF_RESOLVE_CACHE_MAX 32

struct mf_resolve_entry {
	char host[MF_DNS_TEXT_MAX];
	uint64_t expires_ms; /* 0: free */
	uint8_t cnt;
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
};

struct mf_dns_upstream {
	struct mf_proxy *proxy;
	struct mf_timeout_queue timeouts, soon;
	struct mf_dns_ask *asks;
	unsigned ask_cnt, server_cnt, cache_next;
	struct mf_endpoint servers[MF_PROXY_DNS_SERVERS_MAX];
	struct mf_resolve_entry cache[MF_RESOLVE_CACHE_MAX];
};

#endif
