/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_listen.h - questions of whoever may reach a socket: the resolver without a session's capture
 *
 * Datagrams are read and answered in batches; connections are served as those of a session are (RFC 7766). The proxy may be one
 * with options.names_only. Who may ask is the address' business: a resolver that everybody reaches answers everybody.
 *
 * Threads: the loop's. Cost: no memory per question that the cache or a policy answers.
 */
#ifndef MF_PROXIES_DNS_LISTEN_H
#define MF_PROXIES_DNS_LISTEN_H

#include "core/base/addr.h"
#include "core/base/err.h"

struct mf_dns_listen;
struct mf_proxy;

/**
 * mf_dns_listen_bind() - Sockets of both protocols at one port; @at: port 0 takes any that is free for both, and tells which
 * Return: 0; MF_E_IO: mf_sock_last_error() is of *ret_failed, "TCP" or "UDP"
 */
int mf_dns_listen_bind(struct mf_endpoint *at, int backlog, int *ret_udp, int *ret_tcp,
		       const char **ret_failed);

#define MF_DNS_LISTEN_WAITING_MAX \
	4096 /* datagrams that wait for resolvers; more are dropped, and counted */

/**
 * mf_dns_listen_new() - Serve a pair of sockets until mf_dns_listen_free()
 * @udp, @tcp: non-blocking, bound and listening (mf_sock_listen()); -1: none; the listener's from now on, also if this fails
 * Return: 0; MF_E_NOMEM, MF_E_IO
 */
int mf_dns_listen_new(struct mf_proxy *proxy, int udp, int tcp, struct mf_dns_listen **ret,
		      struct mf_err *err);
/** mf_dns_listen_free() - Before the proxy; NULL is fine */
void mf_dns_listen_free(struct mf_dns_listen *l);

#endif
