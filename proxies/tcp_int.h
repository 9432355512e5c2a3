/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_int.h - one TCP connection of the session: set-up, relay, end
 *
 * How it works
 *
 *	        accept
 *	          |  connect asked under all names of the address
 *	          v
 *	  +--- JUDGED ---+---------------------------+
 *	  | deny         | wait for the client       | do not wait
 *	  v              v                           v
 *	GRACE          HELLO --(words judged)--->  OPENING --(connected, words judged or not needed)--> RELAY
 *	  | speaks       | deny                      | fails
 *	  v              v                           v
 *	LINGER <---------+                         fallback or end
 *
 * HELLO: nothing is dialled before the client's first bytes are in and judged. Chosen where the answer depends on them:
 *   names that disagree, rewrite_sni, and ports where TLS is usual. A client that says nothing there for the whole time-
 *   out gets OPENING.
 * OPENING: dialling (and resolving a redirect target) goes on while the client's first bytes, if they come, are judged.
 *   If the server speaks first, this is no TLS, whose clients always speak first: no more waiting. A hello that comes
 *   later (STARTTLS) is judged as it passes: it can be denied, but not be sent elsewhere (tcp_http.h).
 *   What may be the beginning of an HTTP request is held for denial_grace_ms at most, and then passes: it may be any protocol
 *   of words. Once a first line says HTTP, the head is held until it is whole, for hello_timeout_ms at most; behind it, and
 *   behind what passed too early, every request is watched (tcp_http.h).
 * BRIDGE: in place of RELAY where the server name is changed, or TLS is intercepted (tcp_intercept.h): two TLS connections
 *   (tls_bridge.h). @setup stays until the server's handshake is done, since its failure may still be answered by the
 *   original (on_failure).
 * GRACE: denied; the client has a moment to show whether it speaks TLS or HTTP, so that it can be told in its language.
 * LINGER: an alert or a 403 was sent; what still comes is thrown away, so that no reset overtakes the refusal.
 *
 * Both sockets are registered once, edge-triggered (sockwatch.h; where the loop knows levels only, mf_tcp_leave() asks for what
 * the flags of the relay say was used up). @setup is there until RELAY and then freed: an idle relayed
 * connection is this struct and two entries in the loop's table.
 */
#ifndef MF_PROXIES_TCP_INT_H
#define MF_PROXIES_TCP_INT_H

#include "core/wire/http_watch.h"
#include "core/wire/tls_hello.h"
#include "proxies/dns_upstream.h"
#include "proxies/proxy_int.h"
#include "proxies/sockwatch.h"
#include "proxies/tcp_http.h"
#include "proxies/tcp_intercept.h"
#include "proxies/tls_bridge.h"

enum mf_tcp_state {
	MF_TCP_HELLO,
	MF_TCP_OPENING,
	MF_TCP_RELAY,
	MF_TCP_BRIDGE,
	MF_TCP_GRACE,
	MF_TCP_LINGER,
	MF_TCP_STATE_NUM
};

/* What is only needed until the relay runs. */
struct mf_tcp_setup {
	struct mf_tls_scan scan;
	uint8_t *in; /* what the client said so far */
	uint32_t in_len, in_room;
	uint8_t *alpn; /* of the client's hello, as on the wire; for a bridge */
	uint32_t alpn_len;
	char *said;		   /* the server name of a bridge's hello, canonical; NULL: none */
	bool bridge;		   /* the server name is changed by a bridge, or TLS intercepted */
	bool to_tls;		   /* of a router's bridge: TLS towards the server, too */
	bool unverified;	   /* ... whatever its certificate is */
	struct mf_span plain_alpn; /* ... else what it speaks; the router's */
	int given_fd;		   /* of a router, connected; below 1: none */
	bool told;		   /* ... that stands for a server that is not there */
	uint8_t *rewritten;	   /* goes out in place of the first scan.wire_len bytes of @in */
	uint32_t rewritten_len;
	uint32_t sent;	      /* of @rewritten, or of @in, with the connecting */
	uint32_t http_at;     /* bytes of @in that the HTTP watch has passed */
	struct mf_kept *plan; /* redirect, route: where to; or the denial; NULL: the original */
	struct mf_resolve *resolve;
	uint8_t addr_cnt, addr_next;
	bool differ; /* names disagree: the client's words choose */
	bool judged; /* the client's words were judged, or are not needed any more */
	bool client_eof;
	bool not_tls;	/* by the client's first bytes */
	bool holding;	/* what may become a request is waited for, a moment only */
	bool in_head;	/* the head of a request is waited for */
	bool greeted;	/* a client of HTTP/2 was sent settings of ours */
	bool fell_back; /* the original is dialled after a failed redirect */
	bool announced; /* the event of the connect decision was sent */
	bool connected;
	bool dialling; /* the socket exists and waits */
	bool started;  /* opening has begun */
	uint8_t stage; /* enum mf_tcp_stage: what is being judged; MF_TCP_STAGE_NUM: it cannot wait there */
	const struct mf_http_said *judging; /* AT_REQUEST */
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
	struct mf_endpoint dialled;
};

/* Whether the client's words are still looked at. */
static inline bool mf_tcp_setup_reads(const struct mf_tcp_setup *s)
{
	return !s->judged && !s->client_eof && s->in_len <= MF_TLS_WIRE_MAX;
}

/* Where a connection that waits for a person goes on, asked anew. */
enum mf_tcp_stage {
	MF_TCP_AT_BEGIN,   /* connect */
	MF_TCP_AT_BYTES,   /* the client's first bytes */
	MF_TCP_AT_REQUEST, /* a request that was read out of them */
	MF_TCP_AT_SILENCE, /* it says nothing that names anybody */
	MF_TCP_AT_ROUTE,   /* whatever its first words are, its route is known */
	MF_TCP_STAGE_NUM
};

/* Made with the first ask; what was given holds for the connection. */
struct mf_tcp_held {
	struct mf_held held; /* first */
	struct mf_tcp_conn *conn;
	enum mf_tcp_stage stage;
	char *host; /* AT_REQUEST: what it said */
	struct mf_http_said said;
	struct mf_router_route route; /* AT_ROUTE */
	enum mf_router_speech speech;
};

struct mf_tcp_conn {
	struct mf_tcp_proxy *tcp;
	struct mf_tcp_conn *prev, *next, *again_next;
	struct mf_timeout timeout, hold;
	struct mf_sockwatch watch[2]; /* client, server */
	struct mf_relay relay;
	struct mf_session_flow flow;
	struct mf_tcp_setup *setup;
	struct mf_tls_bridge *bridge;	    /* state BRIDGE only */
	struct mf_tcp_intercept *intercept; /* NULL: its TLS is not looked into */
	struct mf_tcp_held *asked;	    /* NULL: nobody had to be asked so far */
	struct mf_tcp_http *http;	    /* NULL: no HTTP, or none that can be seen */
	char *host;			    /* for events; NULL: none */
	uint64_t seen_bytes;		    /* when idleness was checked last */
	uint64_t id, start_ms;
	uint64_t generation;		 /* that reevaluate.h asked last; 0: none */
	uint64_t way;			 /* where it goes: mf_decision_way() */
	uint64_t connect_way;		 /* where connect sent it, whatever sni said then */
	struct mf_proxy_watcher watcher; /* of who handed it over; zero: nobody did */
	void *tag;			 /* of the router */
	uint64_t routed_ns;		 /* when it was routed; 0: not (yet) */
	uint8_t state;			 /* enum mf_tcp_state */
	bool has_server;		 /* watch[1] is registered */
	bool held;			 /* the names of the address are held */
	bool opened;			 /* BRIDGE: both handshakes are done */
	bool reached;			 /* a routed connection came to its server */
	bool denied;
	bool ending;  /* refused in the middle: its time is counted */
	bool direct;  /* its owner moves the bytes (tcp_direct.c) */
	bool emptied; /* ... after the relay had to be emptied for that, which is tried once */
	bool holding; /* ... which is being tried */
	bool again;   /* the budget of a pump was used up: it goes on in the next turn */
};

/* Whether the client's own bytes stay here, and two TLS connections go on in their place. */
static inline bool mf_tcp_conn_is_bridged(const struct mf_tcp_conn *c)
{
	return c->setup->bridge && (c->intercept || !c->setup->fell_back);
}

struct mf_tcp_proxy {
	struct mf_proxy *proxy;
	struct event accept_evs[MF_PROXY_LISTENERS_MAX], again_ev;
	size_t listener_cnt; /* that are watched */
	struct mf_tcp_conn *conns, *again, *running;
	struct mf_tcp_conn *current; /* whose handler runs; NULL: nobody's, or it has ended */
	struct mf_timeout_queue hello, dial, grace, linger, idle, ending, backoff, left, hold;
	struct mf_timeout accept_pause; /* out of descriptors */
	struct mf_tcp_pinned *pinned;	/* tcp_intercept.c; made with the first */
	struct mf_endpoint listeners[MF_PROXY_LISTENERS_MAX];
	bool listener_is_here; /* in the namespace that we dial from: loops are possible */
};

/* tcp_proxy.c */
/* Whether to dial there would lead back to a listener of ours; @any_addr: whatever address it is that has this port */
bool mf_tcp_proxy_is_loop(const struct mf_tcp_proxy *tcp, const struct mf_endpoint *to,
			  bool any_addr);
void mf_tcp_conn_close(struct mf_tcp_conn *c, bool reset, const char *error);
void mf_tcp_conn_start_relay(struct mf_tcp_conn *c);
void mf_tcp_conn_pump_later(struct mf_tcp_conn *c);
void mf_tcp_conn_free_setup(struct mf_tcp_conn *c);
/* After each pump: a connection that speaks no HTTP any more needs no filter; one that was refused has an end */
void mf_tcp_conn_mind_http(struct mf_tcp_conn *c);
/* tcp_bridge.c: rewrite_sni and terminate by a bridge of two TLS connections */
bool mf_tcp_conn_plan_bridge(struct mf_tcp_conn *c, const struct mf_tls_hello *hello);
void mf_tcp_conn_start_bridge(struct mf_tcp_conn *c);
void mf_tcp_conn_pump_bridge(struct mf_tcp_conn *c);
/*
 * Around everything that the loop starts for a connection: @c may have ended when it is over. mf_tcp_leave() takes what
 * mf_tcp_enter() returned, which is NULL when it was entered already.
 */
struct mf_tcp_proxy *mf_tcp_enter(struct mf_tcp_conn *c);
void mf_tcp_leave(struct mf_tcp_proxy *entered);
void mf_tcp_conn_on_side(evutil_socket_t fd, short what, void *ctx);

void mf_tcp_direct_init(struct mf_tcp_proxy *tcp);
/* tcp_direct.c: where nobody needs to see the bytes. Called when the relay has moved what it could */
void mf_tcp_conn_offer_direct(struct mf_tcp_conn *c);

/* tcp_judge.c: what the client's words mean */
void mf_tcp_conn_begin(struct mf_tcp_conn *c);
void mf_tcp_conn_read_client(struct mf_tcp_conn *c);
/* The client said nothing (more) in time. */
void mf_tcp_conn_hello_late(struct mf_tcp_conn *c);
void mf_tcp_conn_grace_over(struct mf_tcp_conn *c);
/* Where the setup's plan sends it */
void mf_tcp_conn_note_way(struct mf_tcp_conn *c);
/* From here on every request is looked at as it passes, those that were read already first. Return: false: closed */
bool mf_tcp_conn_watch_requests(struct mf_tcp_conn *c);
/* A request that could be read in two ways, told and counted */
void mf_tcp_http_announce_bad(struct mf_tcp_conn *c);

/* tcp_held.c: waiting for a person */
/* @d, an ask, is the answer to what was asked last. Return: false: it cannot wait, and @d is a denial */
bool mf_tcp_conn_hold(struct mf_tcp_conn *c, struct mf_decision *d);
void mf_tcp_conn_end_hold(struct mf_tcp_conn *c);
/* The client has ended its side while it waits: if nobody has its socket any more, so does it */
void mf_tcp_conn_left_while_held(struct mf_tcp_conn *c);
static inline bool mf_tcp_conn_waits(const struct mf_tcp_conn *c)
{
	return c->asked && mf_held_waits(&c->asked->held);
}
/* tcp_judge.c: from where it stood; @said: of AT_REQUEST */
void mf_tcp_conn_judge_again(struct mf_tcp_conn *c, enum mf_tcp_stage stage,
			     const struct mf_http_said *said);

/* tcp_refuse.c: refusing */
/* Refuse, whatever was decided before; @d: borrowed, rank 4 */
void mf_tcp_conn_deny(struct mf_tcp_conn *c, const struct mf_decision *d, enum mf_tls_alert alert);
/* Answer in the client's language as far as its first bytes show it. Return: false when more has to be seen */
bool mf_tcp_conn_refuse_in_kind(struct mf_tcp_conn *c, enum mf_tls_alert alert);
/* Read what a refused client still says, so that closing is no reset that overtakes the answer */
void mf_tcp_conn_drain(struct mf_tcp_conn *c);

/* tcp_route.c: the router's part, in place of the policies' */
void mf_tcp_route_begin(struct mf_tcp_conn *c);
void mf_tcp_route_bytes(struct mf_tcp_conn *c);
/* What came so far is all that will be looked at */
void mf_tcp_route_late(struct mf_tcp_conn *c, bool was_held);
/* A person has answered: its policies are asked anew, the way is the one that it has */
void mf_tcp_route_again(struct mf_tcp_conn *c);
/* No server: the router may have something to say to the client. Return: whether it was told, or is closed */
bool mf_tcp_route_unreached(struct mf_tcp_conn *c, const char *error);
void mf_tcp_route_reached(struct mf_tcp_conn *c);
void mf_tcp_route_bridge(struct mf_tcp_conn *c);
void mf_tcp_route_ended(struct mf_tcp_conn *c, const char *error);

/* tcp_open.c: getting a server */
void mf_tcp_conn_open(struct mf_tcp_conn *c);
void mf_tcp_conn_server_ready(struct mf_tcp_conn *c, short what);
/* A dial or what led to it failed; may fall back. @dial: a connection was tried */
void mf_tcp_conn_open_failed(struct mf_tcp_conn *c, bool dial, const char *error);
/* Whatever server was being got is not wanted any more. */
void mf_tcp_conn_forget_server(struct mf_tcp_conn *c);

#endif
