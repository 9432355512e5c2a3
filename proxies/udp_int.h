/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_int.h - one UDP flow, and what reading QUIC adds to it
 *
 *	        first datagram
 *	          |  connect asked under all names of the address
 *	   denied | allowed, or names disagree on port 443
 *	     +----+-------------------------+
 *	     v    | QUIC of a version that  | anything else
 *	    gone  v is read                 v
 *	        HOLDING --(hello judged)--> OPEN
 *	          | denied, malformed, late
 *	          v
 *	        CONNECTION_CLOSE or ICMP, gone
 *
 * HOLDING: no socket towards the server yet; datagrams wait, within bounds, and go on in their order.
 * OPEN: whatever has a short header passes at once. What has a long one is looked at as long as the flow lives, since a
 *   client may begin another connection, under other keys, behind the same pair of addresses: an Initial packet goes on
 *   only if everything that its attempt has said so far was read and judged. What cannot be read cannot be read by a server
 *   either, and is dropped.
 */
#ifndef MF_PROXIES_UDP_INT_H
#define MF_PROXIES_UDP_INT_H

#include "proxies/proxy_int.h"

struct mf_quic_crypto;
struct mf_udp_quic;

#define MF_UDP_ASKED_MAX 16 /* datagrams that wait with a flow; further ones are lost */

/* A flow that waits for a person: nothing but its ends is known yet. */
struct mf_udp_asked {
	struct mf_held held; /* first */
	struct mf_udp_flow *flow;
	unsigned cnt;
	struct mf_udp_waiting {
		uint8_t *bytes;
		size_t len;
	} waiting[MF_UDP_ASKED_MAX];
};

struct mf_udp_flow {
	struct mf_udp_proxy *udp;
	struct mf_udp_flow *chain;		   /* in its bucket */
	struct mf_udp_flow *newer, *older;	   /* by last use */
	struct mf_udp_flow *own_newer, *own_older; /* the same, of its client's */
	struct mf_udp_client *client;		   /* NULL: they are not counted */
	struct mf_timeout timeout;
	struct mf_session_flow ends;
	struct mf_endpoint to; /* where connect sends it */
	struct mf_endpoint peer,
		local; /* the client, and where it arrived, as the listener's socket sees them */
	struct event inner_ev, outer_ev;
	int inner, outer; /* sockets towards client and server; -1: none */
	int listener;	  /* that its datagrams arrive at */
	bool dns;
	bool holding;
	bool differ;		    /* names disagree: each hello chooses */
	bool announced;		    /* that connect allows it */
	bool held;		    /* the names of the address are held */
	struct mf_udp_asked *asked; /* NULL: it waits for nobody */
	struct mf_udp_quic *quic;   /* NULL: no long header was seen */
	/* TFTP (udp_tftp.c) */
	bool tftp;		    /* a request: its outer socket hears all ports of the server */
	unsigned char wanted;	    /* transfers that may begin: requests that wait for one */
	unsigned char transfer_cnt; /* that are going on */
	struct mf_udp_flow *transfer; /* the one that began last */
	struct mf_udp_flow
		*request; /* that this one is a transfer of, and ends with; NULL: it is none */
	struct mf_udp_flow *sibling; /* the request's next transfer */
	uint64_t id, last_ms;
	uint64_t generation; /* that reevaluate.h asked last; 0: none */
	uint64_t sent, received;
	char *host;
};

struct mf_udp_proxy {
	struct mf_proxy *proxy;
	struct event evs[MF_PROXY_LISTENERS_MAX];
	size_t listener_cnt; /* that are watched */
	struct mf_timeout_queue idle, dns_idle, hello;
	struct mf_udp_flow **buckets;
	size_t bucket_cnt; /* a power of two */
	uint64_t seed;
	struct mf_udp_flow *newest, *oldest;
	struct mf_udp_clients *clients; /* NULL: there is no bound for each */
	uint8_t *buf;			/* BATCH datagrams */
	struct mf_quic_crypto *crypto;	/* made with the first QUIC packet */
	size_t quic_bytes;		/* held datagrams and hellos of all flows */
};

/* The next newer flow that does not end with @f */
static inline struct mf_udp_flow *mf_udp_flow_next(const struct mf_udp_flow *f)
{
	struct mf_udp_flow *next = f->newer;

	while (next && next->request == f)
		next = next->newer;
	return next;
}

/* udp_proxy.c */
/* The flow between two ends; NULL: there is none */
struct mf_udp_flow *mf_udp_flow_find(struct mf_udp_proxy *udp, const struct mf_session_flow *ends);
/* A new one, in place of the quietest where the table is full. Return: NULL: no memory */
struct mf_udp_flow *mf_udp_flow_new(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
				    bool dns);
/* It was used: it, and what it is a transfer of, go last when the table is full */
void mf_udp_flow_touch(struct mf_udp_flow *f);
/* Its socket on the session's side, where the session has such */
void mf_udp_flow_open_inner(struct mf_udp_flow *f);
/* Get a socket towards the server. Return: false: there is none to be had */
bool mf_udp_flow_open(struct mf_udp_flow *f);
void mf_udp_flow_to_server(struct mf_udp_flow *f, const uint8_t *buf, size_t len);
void mf_udp_flow_to_client(struct mf_udp_flow *f, const void *buf, size_t len);
/* Tell the client: in QUIC's words where @buf, the datagram that is refused, is QUIC's, else by ICMP; @why: for people */
void mf_udp_flow_refuse(struct mf_udp_flow *f, const uint8_t *buf, size_t len, const char *why);
void mf_udp_flow_close(struct mf_udp_flow *f, const char *reason);
/* The event of a connect decision, once for an allowance */
void mf_udp_flow_announce(struct mf_udp_flow *f, const struct mf_decision *d);
void mf_udp_flow_set_host(struct mf_udp_flow *f, const char *host);

/* udp_clients.c */
/* Where options have a bound for each client. Return: 0, MF_E_NOMEM */
int mf_udp_clients_new(struct mf_udp_proxy *udp);
void mf_udp_clients_free(struct mf_udp_proxy *udp);
/* Return: false without memory */
bool mf_udp_clients_add(struct mf_udp_flow *f);
void mf_udp_clients_remove(struct mf_udp_flow *f);
void mf_udp_clients_touch(struct mf_udp_flow *f);
/* The flow that has to go before @client may have another one. Return: NULL: none */
struct mf_udp_flow *mf_udp_clients_own(struct mf_udp_proxy *udp, const struct mf_addr *client);
/* The flow that goes where there is no room for anybody's. Return: NULL: there are none */
struct mf_udp_flow *mf_udp_clients_any(struct mf_udp_proxy *udp);

/* udp_held.c */
/* Let a new flow wait; @d becomes a denial where it cannot. Return: whether it waits */
bool mf_udp_flow_hold(struct mf_udp_flow *f, struct mf_decision *d);
void mf_udp_flow_keep(struct mf_udp_flow *f, const uint8_t *buf, size_t len);
void mf_udp_flow_end_hold(struct mf_udp_flow *f);
void mf_udp_asked_free(struct mf_udp_asked *asked); /* NULL is fine */
/* Whether a process still has the flow's socket; true where that cannot be told */
bool mf_udp_flow_is_wanted(const struct mf_udp_flow *f);
/* udp_proxy.c: judged anew, with what it was given and what it has sent; @f is over */
void mf_udp_flow_judge_again(struct mf_udp_flow *f);

/*
 * udp_tftp.c: transfers of TFTP, whose server answers from a port of its own choice (RFC 1350, 4: transfer identifiers).
 * A request is a flow to port 69; each transfer is a flow of the same two addresses and the same port of the client, which
 * connect is not asked about: it was allowed with its request, and ends with it. Only TFTP passes there.
 */
/* Whether the flow, which is about to be opened, is a request here: transfers need a way to the client for each port */
bool mf_udp_tftp_may_follow(const struct mf_udp_flow *f);
void mf_udp_tftp_on_outer(evutil_socket_t fd, short what, void *flow);
/* A datagram of the client's, on a request or a transfer */
void mf_udp_tftp_to_server(struct mf_udp_flow *f, const uint8_t *buf, size_t len);
/* The flow ends: with it its transfers */
void mf_udp_tftp_end(struct mf_udp_flow *f, const char *reason);

/* udp_quic.c */
#define MF_UDP_FOREIGN "this version of QUIC cannot be read"
enum mf_udp_gate {
	MF_UDP_PASS,
	MF_UDP_TAKEN, /* held, sent already, or dropped */
	MF_UDP_GONE,  /* the flow is denied and has to be closed */
};
/* A datagram with a long header, or any while the flow is HOLDING */
enum mf_udp_gate mf_udp_quic_take(struct mf_udp_flow *f, const uint8_t *buf, size_t len);
#define MF_UDP_QUIC_REFUSAL_MAX 528
/*
 * A server's refusal of what the datagram begins: CONNECTION_CLOSE, or which versions there are. Clients that never hear of
 * ICMP errors understand it. Return: bytes; 0: it begins nothing of QUIC's
 */
size_t mf_udp_quic_write_refusal(struct mf_udp_proxy *udp, const uint8_t *buf, size_t len,
				 const char *why, uint8_t *out);
/* The hello did not come to its end in time: deny. The caller closes the flow. */
void mf_udp_quic_late(struct mf_udp_flow *f);
void mf_udp_quic_free(struct mf_udp_flow *f);

#endif
