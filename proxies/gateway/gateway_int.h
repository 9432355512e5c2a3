/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_int.h - what the parts of the gateway share
 *
 * gateway.c is the frame: options, members, statistics, ends. admit.c says who may come in. flow.c is one connection to a server. Each
 * front_*.c is one protocol towards browsers: it turns messages into flows, questions or datagrams and back.
 */
#ifndef MF_PROXIES_GATEWAY_INT_H
#define MF_PROXIES_GATEWAY_INT_H

#include <jansson.h>

#include "core/match/cidr_set.h"
#include "proxies/forwarded.h"
#include "proxies/gateway/addresses.h"
#include "proxies/gateway/expiry.h"
#include "proxies/gateway/flow.h"
#include "proxies/gateway/gateway.h"
#include "proxies/gateway/house_int.h"
#include "proxies/gateway/keyring.h"
#include "proxies/gateway/member.h"
#include "proxies/gateway/pace.h"
#include "proxies/gateway/relay_events.h"
#include "proxies/gateway/targets.h"
#include "proxies/gateway/ws.h"
#include "proxies/http_service.h"
#include "proxies/proxy_int.h"
#include "proxies/sockwatch.h"

enum { MF_GW_CHUNK = 65536 };

struct mf_gw_flow;
struct mf_gw_front; /* a WebSocket with what it is for, or a request on its way to one */

struct mf_gateway {
	struct event_base *base;
	struct mf_proxy *proxy;
	struct mf_http_service *http; /* NULL: it has gone */
	struct mf_gateway_options opt;
	struct mf_gateway_stats stats; /* this thread's */
	struct mf_gateway_house *house, *own_house;
	size_t seat;		       /* in the house: 0 is the first thread's */
	struct mf_gw_members *members; /* the house's */
	struct mf_ws_set *sockets;
	struct mf_gw_flow *flows;
	struct mf_gw_front *fronts;
	struct mf_gw_question *questions;
	struct mf_gw_front *turn_first, *turn_last; /* pace.c's */
	struct event tick;
	bool metered; /* there is a limit of bytes */
	struct mf_timeouts *timeouts;
	struct mf_timeout_queue linger, doubt, udp_idle, udp_auth, signal_auth;
	struct mf_gw_wisp *wisp;
	uint64_t relay_events[MF_RELAY_EVENT_CNT];
	struct mf_rtc *rtc; /* NULL: no WebRTC, or it is not at home here (home.c) */
	struct mf_gw_peer *peers;
	json_t *ice_servers; /* an array; NULL: none */
	struct mf_http_route raw_route;
	uint64_t request_cnt, request_seed; /* of names for requests */
	char request_id[40], fault[512];    /* while they are being sent */
	bool stopping;
	uint8_t buf[MF_WS_ROOM +
		    MF_GW_CHUNK]; /* what was just read of a flow, behind room for heads */
};

/* --- admit.c ------------------------------------------------------------------------------------------------------------ */

/* Who asks, as far as it could be found out. */
struct mf_gw_who {
	char sid[MF_TOKEN_SID_MAX]; /* "": nobody in particular */
	bool known;		    /* by a token or key; where none is wanted, everybody is */
	unsigned got;		    /* kinds of credentials that were good */
	bool has_cookie;
	bool by_jwt; /* its "sid" is the JWT's */
	int64_t until_ms; /* since 1970: what he has said is good so long; 0: it does not end (--expire) */
	bool offered;	  /* he has said something, good or not */
	char origin[512]; /* normal form; "": the request has none */
	bool origin_ok, host_ok;
};

/* The origin only. Return: whether it may ask */
bool mf_gw_origin_read(struct mf_gateway *gw, const struct mf_http_request *req,
		       struct mf_gw_who *ret);
/* Whether it is asked by a name of its own: DNS rebinding ends here */
bool mf_gw_is_own_host(const struct mf_gateway *gw, const struct mf_http_request *req);
void mf_gw_who_read(struct mf_gateway *gw, const struct mf_http_request *req,
		    struct mf_gw_who *ret);
/* What he has said later, in a message. Return: whether it is good; then who->known */
bool mf_gw_who_take(struct mf_gateway *gw, struct mf_span credential, struct mf_gw_who *who);
/* The member that he is: the sid's, or the address'. Return: NULL: too many */
struct mf_gw_member *mf_gw_who_member(struct mf_gateway *gw, const struct mf_http_request *req,
				      const struct mf_gw_who *who);
/* The next entry of a Sec-WebSocket-Protocol list. Return: 1, 0, MF_E_BAD */
int mf_gw_next_protocol(struct mf_span *list, struct mf_span *ret);
/* Whether one of them is a credential */
bool mf_gw_is_token_protocol(struct mf_span one);
/* JSON "error" and "message", with the fields that let a page of an allowed origin read it */
void mf_gw_answer(struct mf_gateway *gw, struct mf_http_exchange *x, const struct mf_gw_who *who,
		  struct mf_http_answer *a);
void mf_gw_answer_error(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_gw_who *who, int status, const char *error,
			const char *message);
/* One line of text: what a refused upgrade gets */
void mf_gw_refuse(struct mf_gateway *gw, struct mf_http_exchange *x, int status, const char *text);

/* --- refusals.c --------------------------------------------------------------------------------------------------------- */

const char *mf_gw_refusal_name(enum mf_gateway_refusal why);
/* Count it, and tell it as an event, unless there are too many of them. @status: of HTTP, or a Close code */
void mf_gw_refused(struct mf_gateway *gw, const struct mf_http_request *req,
		   enum mf_gateway_refusal why, int status);
/* The same where there is no request any more: @kind is a word of ours, @session NULL: nobody's */
void mf_gw_refused_as(struct mf_gateway *gw, const struct mf_endpoint *client, const char *session,
		      const char *kind, enum mf_gateway_refusal why, int status);

/* --- home.c ------------------------------------------------------------------------------------------------------------- */

/* Whether guests' networks and WebRTC are this gateway's; if not, another thread's */
bool mf_gw_is_home(const struct mf_gateway *gw);
/* Of struct mf_http_filter: upgrades for those go where they are */
bool mf_gw_leaves(void *ctx, const struct mf_http_request *req);
void mf_gw_left(void *ctx, struct mf_http_conn *conn);

/* --- surface.c ---------------------------------------------------------------------------------------------------------- */

/* What is the same for all requests: who really asks, base path, rates, preflights, fields of every answer */
void mf_gw_surface_add(struct mf_gateway *gw, struct mf_http_service *http);
/* What is asked for, below --base-path */
struct mf_span mf_gw_path(const struct mf_gateway *gw, const struct mf_http_request *req);

/* --- gateway.c ---------------------------------------------------------------------------------------------------------- */

/* How a WebSocket stands to its buckets. */
enum mf_gw_turn {
	MF_GW_TURN_NONE,
	MF_GW_TURN_WAITS, /* held, in the queue */
	MF_GW_TURN_HAS	  /* let go; in the queue until the next tick */
};

/* What every protocol's state begins with: the WebSocket, whose it is, and how it ends. */
struct mf_gw_front {
	struct mf_gateway *gw;
	struct mf_gw_front *prev, *next;
	struct mf_gw_member *member;
	struct mf_gw_address *address; /* of the client */
	struct mf_endpoint client;
	struct mf_ws *ws;	    /* NULL: not (yet), or gone */
	struct mf_http_exchange *x; /* that waits for 101 */
	const struct mf_gw_front_kind *kind;
	const char *protocol;	     /* to be told in the answer; NULL: none */
	uint64_t open_ms;	     /* since when its WebSocket is there; 0: it is not */
	uint32_t message_max;	     /* bytes of a message; 0: as the options say */
	bool known, by_jwt, offered; /* as in struct mf_gw_who */
	enum mf_gw_turn turn;
	uint32_t advance; /* bytes that its buckets were charged and that have not moved yet */
	struct mf_gw_front *turn_prev, *turn_next;
	bool expires; /* with its member's time */
	struct mf_gw_expiry expiry;
	char *origin; /* of who is not known yet; NULL: none */
	char protocol_buf[64], accept[29];
};

struct mf_gw_front_kind {
	const char *name; /* in events */
	bool streams;	  /* messages are one stream of bytes */
	bool datagrams; /* it asks for each message by itself (mf_gw_take_bytes()), and is never held */
	bool late;	/* who is not known may come in all the same, and say it then */
	void (*open)(struct mf_gw_front *f); /* @f->ws is there */
	void (*message)(struct mf_gw_front *f, bool text, struct mf_span bytes);
	/* in place of message(): struct mf_ws_handler; implies @streams */
	void (*piece)(struct mf_gw_front *f, bool text, bool begins, bool ends,
		      struct mf_span bytes);
	void (*room)(struct mf_gw_front *f);
	void (*done)(struct mf_gw_front *
			     f); /* its WebSocket has gone, or never came: free() is the caller's */
};

/*
 * Check an upgrade as far as it is the same for all: stopping, handshake, who, origin, limits. @protocol: that must be offered; NULL: none.
 * @size: of the state, which begins with struct mf_gw_front and is zeroed.
 * Return: the front, with @x in it; NULL: it was answered
 */
void *mf_gw_front_begin(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_http_request *req, const struct mf_gw_front_kind *kind,
			const char *protocol, size_t size);
bool mf_gw_is_blocked(const struct mf_gateway *gw, const struct mf_addr *addr);
/* The same in pieces, for who refuses in other words. Return: why the handshake is none; NULL: it is good */
const char *mf_gw_check_handshake(const struct mf_http_request *req, char accept[29]);
/* Return: 1: @protocol is offered; 0: it is not; MF_E_BAD: the field is malformed */
int mf_gw_offers(const struct mf_http_request *req, const char *protocol);
/*
 * One more WebSocket of this member, address, and of all; what is counted is the front's that follows. Counted before it is looked at, as
 * other threads do the same. @member NULL: there was no room for him. Return: MF_GW_REFUSED_NUM: it may be; else why not
 */
enum mf_gateway_refusal mf_gw_count_in(struct mf_gateway *gw, const struct mf_addr *addr,
				       struct mf_gw_member *member, struct mf_gw_address **ret);
/* @member, @address: of mf_gw_count_in(), and the reference, are the front's. Return: NULL without memory: @x was answered */
void *mf_gw_front_new(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req, const struct mf_gw_front_kind *kind,
		      struct mf_gw_member *member, struct mf_gw_address *address,
		      const char accept[29], size_t size);
/* Answer 101; kind->open() follows, or kind->done() */
void mf_gw_front_accept(struct mf_gw_front *f);
/* Answer in place of that; @f is gone */
void mf_gw_front_refuse(struct mf_gw_front *f, int status, const char *text);
/* Who it is, by what its first message says; the member is that one's then. Return: 0; MF_E_BAD; MF_E_FULL: too many members */
int mf_gw_front_authenticate(struct mf_gw_front *f, const char *credential);
/* He says it again: if it is as good, and his, it may last longer */
void mf_gw_front_renew(struct mf_gw_front *f, const char *credential);
/* Its member is the one of @sid from now on. Return: 0; MF_E_FULL */
int mf_gw_front_become(struct mf_gw_front *f, const char *sid);
/* Close the WebSocket; kind->done() is called, and @f is gone */
void mf_gw_front_end(struct mf_gw_front *f, unsigned code, const char *reason);

/* --- flow.c ------------------------------------------------------------------------------------------------------------- */

/* Whether the floor lets anybody ask about it */
bool mf_gw_is_open(const struct mf_gateway *gw, const struct mf_addr *addr);
/* A refusal of ours, told as an event */
void mf_gw_announce_refusal(struct mf_gateway *gw, const struct mf_session_flow *flow,
			    const char *host, const char *why);
void mf_gw_flows_init(struct mf_gateway *gw);
void mf_gw_flows_free(struct mf_gateway *gw);

/* --- relay_session.c ---------------------------------------------------------------------------------------------------- */

/* A session of the UDP relay. Zeroed: none. */
struct mf_gw_relay_session {
	char id[33];
	struct mf_gw_member *member; /* that has no other one; NULL: it may have */
};

/* Return: 0; MF_E_EXIST: the JWT's "sid" has one; MF_E_FULL; MF_E_IO: no random numbers */
int mf_gw_relay_session_begin(struct mf_gateway *gw, struct mf_gw_member *member, bool by_jwt,
			      struct mf_gw_relay_session *ret);
void mf_gw_relay_session_end(struct mf_gateway *gw, struct mf_gw_relay_session *s);

/* --- front_offer.c ------------------------------------------------------------------------------------------------------ */

/* JSON "code" and "message": how the relay says what is wrong */
void mf_gw_answer_code(struct mf_gateway *gw, struct mf_http_exchange *x,
		       const struct mf_gw_who *who, int status, const char *code,
		       const char *message);
/* Where the relay is, and a token for it: "udpRelay" of POST /session. Return: NULL: nothing is told */
json_t *mf_gw_relay_facts(struct mf_gateway *gw, const struct mf_http_request *req, const char *sid,
			  const char *origin);

/* --- front_*.c ---------------------------------------------------------------------------------------------------------- */

int mf_gw_session_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_tcp_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_mux_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_udp_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_l2_add(struct mf_gateway *gw, struct mf_http_service *http);
void mf_gw_l2_gather(struct mf_gateway *gw, struct mf_metrics *m);
int mf_gw_signal_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_offer_add(struct mf_gateway *gw, struct mf_http_service *http);
int mf_gw_dns_add(struct mf_gateway *gw, struct mf_http_service *http);
void mf_gw_dns_free(struct mf_gateway *gw);
int mf_gw_relays_add(struct mf_gateway *gw, struct mf_http_service *http);
void mf_gw_relays_free(struct mf_gateway *gw);

#endif
