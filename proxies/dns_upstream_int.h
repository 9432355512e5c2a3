/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_upstream_int.h - the parts of asking: questions (dns_upstream.c), their tries (dns_flight.c), and the connections
 * that tries share (dns_link.c), with HTTP/2 upon them (dns_h2.h)
 */
#ifndef MF_PROXIES_DNS_UPSTREAM_INT_H
#define MF_PROXIES_DNS_UPSTREAM_INT_H

#include "proxies/dns_upstream.h"
#include "proxies/proxy_int.h"
#include "proxies/sockwatch.h"

#define MF_RESOLVE_CACHE_MAX 32
#define MF_DNS_RACE_NUM	     3

struct mf_resolve_entry {
	char host[MF_DNS_TEXT_MAX];
	uint64_t expires_ms; /* 0: free */
	uint8_t cnt;
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
};

/* A resolver, and what is known of it. */
struct mf_dns_peer {
	struct mf_dns_server conf;
	char text[MF_DNS_SERVER_TEXT];
	uint32_t srtt_ms;	     /* smoothed; 0: nothing known */
	unsigned fails;		     /* in a row */
	uint64_t resting_ms;	     /* until when others are preferred */
	struct mf_dns_cookie cookie; /* ours, and behind it the server's last */
	struct mf_dns_link *link;    /* NULL: not connected */
	char error[160];	     /* why it failed last; "" */
};

/* One try of a question at one resolver. */
struct mf_dns_flight {
	struct mf_dns_ask *ask;
	struct mf_dns_peer *peer;	   /* NULL: not in use */
	struct mf_dns_link *link;	   /* NULL: a UDP socket of its own, or none */
	struct mf_dns_flight *prev, *next; /* of the link */
	struct mf_timeout timeout;
	struct event io;
	int fd;			     /* -1: none */
	bool sent, failing, renewed; /* renewed: was moved to a fresh connection once */
	uint8_t stray;
	uint16_t id;
	int32_t stream; /* HTTP/2 */
	uint64_t began_ms;
};

#define MF_DNS_FLIGHTS_MAX 2 /* of one question at a time */

struct mf_dns_ask {
	struct mf_dns_upstream *up;
	struct mf_dns_ask *prev, *next;
	struct mf_timeout race; /* then the next resolver is asked as well */
	struct mf_dns_flight flights[MF_DNS_FLIGHTS_MAX];
	struct mf_dns_peer *last; /* who failed last */
	uint32_t tried;		  /* mask of peers, in this round */
	unsigned round;
	struct mf_dns_query query;
	mf_dns_done_fn fn;
	void *ctx;
};

struct mf_dns_upstream {
	struct mf_proxy *proxy;
	struct mf_timeout_queue timeouts, soon, races[MF_DNS_RACE_NUM], idle, idle_soon;
	struct mf_dns_ask *asks;
	unsigned ask_cnt, peer_cnt, cache_next;
	struct mf_dns_peer peers[MF_PROXY_DNS_SERVERS_MAX];
	struct mf_resolve_entry cache[MF_RESOLVE_CACHE_MAX];
	uint8_t out[MF_DNS_QUERY_MAX];
};

/* --- dns_upstream.c ------------------------------------------------------------------------------------------------ */

/* The peer's answer to this very question. It may end the question and everything that belongs to it. */
void mf_dns_flight_answered(struct mf_dns_flight *f, struct mf_span msg,
			    const struct mf_dns_walk *walk);
/* This try is over: @f has left its socket or link already. */
void mf_dns_flight_failed(struct mf_dns_flight *f, int why);

/* --- dns_flight.c -------------------------------------------------------------------------------------------------- */

/* Ask @peer. Never calls back before it returns. */
void mf_dns_flight_begin(struct mf_dns_flight *f, struct mf_dns_peer *peer);
/* Close what @f has; afterwards it is unused. */
void mf_dns_flight_end(struct mf_dns_flight *f);
void mf_dns_flight_timed_out(struct mf_timeout *t, void *ctx);
/* Is it the answer? Return: true when @f was answered, moved on or ended */
bool mf_dns_flight_take(struct mf_dns_flight *f, struct mf_span msg);

/* --- dns_link.c: one connection to one peer; TCP, TLS or HTTPS ----------------------------------------------------- */

/* Give @f to the peer's connection, which is made if there is none. Return: 0, MF_E_IO, MF_E_NOMEM, MF_E_UNSUPPORTED */
int mf_dns_link_add(struct mf_dns_peer *peer, struct mf_dns_flight *f);
void mf_dns_link_remove(struct mf_dns_flight *f);
/* Close it; its flights fail, or are moved to a fresh connection where this one had served before. */
void mf_dns_link_break(struct mf_dns_link *l, int why, const char *text);
/* Whether anything was heard since @since_ms. */
bool mf_dns_link_heard(const struct mf_dns_link *l, uint64_t since_ms);
void mf_dns_link_free(struct mf_dns_link *l);
void mf_dns_link_idle(struct mf_timeout *t, void *ctx);

#endif
