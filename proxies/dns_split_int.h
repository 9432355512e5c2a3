/* SPDX-License-Identifier: Apache-2.0 */
/* dns_split_int.h - shared by dns_split.c (doors, datagrams) and dns_split_tcp.c */
#ifndef MF_PROXIES_DNS_SPLIT_INT_H
#define MF_PROXIES_DNS_SPLIT_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/base/span.h"
#include "core/wire/dns_wire.h"
#include "proxies/dns_split.h"
#include "proxies/timeouts.h"

#define MF_DNS_SPLIT_BUCKETS 256

struct mf_dns_split_flow; /* of one client by UDP */
struct mf_dns_split_conn;

struct mf_dns_split_door {
	struct mf_dns_split *split;
	int udp, tcp;
	struct mf_endpoint local;
	struct event udp_ev, tcp_ev;
	struct mf_endpoint servers[MF_DNS_SPLIT_SERVERS_MAX];
	unsigned server_cnt, at; /* at: the one that is asked */
};

struct mf_dns_split {
	struct mf_dns_split_options opt;
	struct event_base *base;
	struct mf_timeouts *timeouts;
	struct mf_timeout_queue flow_ends, conn_ends, backoff;
	struct mf_timeout pause; /* of accepting, for want of descriptors */
	struct mf_dns_split_door *doors[MF_DNS_SPLIT_DOORS_MAX];
	unsigned door_cnt;
	struct mf_dns_split_flow *flows[MF_DNS_SPLIT_BUCKETS];
	unsigned flow_cnt;
	struct mf_dns_split_conn *conns;
	unsigned conn_cnt;
	struct mf_dns_split_stats stats;
	uint64_t seed;
	uint8_t buf[MF_DNS_MESSAGE_MAX], answer[MF_DNS_UDP_MAX];
};

/**
 * mf_dns_split_answer() - What is said to a question about a name of ours, in s->answer
 * @local: where the question came to
 * Return: its length; 0: it is not ours, or no question
 */
size_t mf_dns_split_answer(struct mf_dns_split *s, struct mf_span msg, const struct mf_addr *local,
			   bool tcp);

/** mf_dns_split_may_ask() - Whether @client is one to be answered */
bool mf_dns_split_may_ask(const struct mf_dns_split *s, const struct mf_addr *client);

/** mf_dns_split_avoid() - This resolver of a door did not answer: the next one is asked from now on */
void mf_dns_split_avoid(struct mf_dns_split_door *d, unsigned server);

/* dns_split_tcp.c */
void mf_dns_split_accept(struct mf_dns_split_door *d);
void mf_dns_split_conn_idle(struct mf_timeout *t, void *unused);
void mf_dns_split_close_conns(struct mf_dns_split *s);

#endif
