/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_split.h - a resolver in front of the system's own: names of this machine are answered, all else passes as it is
 *
 *	mf_dns_split_new(base, &options, &split, &err);
 *	door = mf_dns_split_add(split, udp, tcp, &err);
 *	mf_dns_split_lead(split, door, &server, 1);
 *
 * A door is a pair of sockets with the resolvers behind it. Of each question its name is read; one of ours is answered with
 * where the question came to: loopback addresses, or the one of the door that a client elsewhere reached (A, AAAA, ANY; every other
 * type exists with no records). "localhost" and all below it are loopback for everybody (RFC 6761). Whatever else comes, also
 * what cannot be read, goes to the door's resolver byte for byte, and so does its answer: nothing is cached, changed or judged here, so whoever
 * stands in front of a resolver of the system (capture/host_redirect.h) changes nothing but the names of ours.
 *
 * By UDP each client has a socket of its own towards the resolver, with a random port, for as long as answers are missing. A
 * resolver that refuses, or is silent, gives way to the door's next one. By TCP (RFC 7766) there is one connection to the
 * resolver for each of the clients'.
 *
 * Bounded: MF_DNS_SPLIT_FLOWS_MAX clients by UDP, the oldest gives way; MF_DNS_SPLIT_CONNS_MAX connections, more are reset.
 * Threads: the loop's.
 */
#ifndef MF_PROXIES_DNS_SPLIT_H
#define MF_PROXIES_DNS_SPLIT_H

#include "core/base/addr.h"
#include "core/base/err.h"

struct event_base;
struct mf_dns_split;

#define MF_DNS_SPLIT_DOORS_MAX	 16
#define MF_DNS_SPLIT_SERVERS_MAX 4
#define MF_DNS_SPLIT_FLOWS_MAX	 512
#define MF_DNS_SPLIT_CONNS_MAX	 128

struct mf_dns_split_options {
	size_t size; /* sizeof(struct mf_dns_split_options) */
	/* Whether @name, without a final dot and in whatever letter case it was asked, leads to this machine */
	bool (*is_ours)(void *ctx, const char *name);
	/* Whether somebody may ask at all; others get no answer. NULL: everybody may */
	bool (*may_ask)(void *ctx, const struct mf_addr *client);
	void *ctx;
	bool no_ip6; /* names of ours have no address of IPv6 */
};

struct mf_dns_split_stats {
	uint64_t questions, ours, passed;
	uint64_t failed; /* got no answer: refused, silent, or too many at a time */
};

/** mf_dns_split_new() - Return: 0, MF_E_INVAL, MF_E_NOMEM */
int mf_dns_split_new(struct event_base *base, const struct mf_dns_split_options *options,
		     struct mf_dns_split **ret, struct mf_err *err);
void mf_dns_split_free(struct mf_dns_split *s); /* NULL is fine */

/**
 * mf_dns_split_add() - One more door
 * @udp, @tcp: mf_sock_listen() on one address; the splitter's from now on, also if this fails
 * Return: its number, MF_E_LIMIT, MF_E_NOMEM
 */
int mf_dns_split_add(struct mf_dns_split *s, int udp, int tcp, struct mf_err *err);

/** mf_dns_split_lead() - The resolvers behind a door, at most MF_DNS_SPLIT_SERVERS_MAX are taken; none: what is not ours fails */
void mf_dns_split_lead(struct mf_dns_split *s, unsigned door, const struct mf_endpoint *servers,
		       size_t cnt);

/** mf_dns_split_is_waiting() - Whether somebody's question is with a resolver */
bool mf_dns_split_is_waiting(const struct mf_dns_split *s);
void mf_dns_split_get_stats(const struct mf_dns_split *s, struct mf_dns_split_stats *ret);

#endif
