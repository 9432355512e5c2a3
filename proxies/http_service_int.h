/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service_int.h - shared by http_service.c (listeners, connections, time), http_service_answer.c (routes, exchanges),
 * http_service_h1.c and http_service_h2_*.c (the two protocols: bytes to requests, answers to bytes)
 */
#ifndef MF_PROXIES_HTTP_SERVICE_INT_H
#define MF_PROXIES_HTTP_SERVICE_INT_H

#include <event2/buffer.h>
#include <openssl/ssl.h>

#include "proxies/http_service.h"
#include "proxies/sock.h"
#include "proxies/sockwatch.h"
#include "proxies/timeouts.h"

enum {
	MF_HTTP_CHUNK = 16384,
	MF_HTTP_OUT_SOFT = 65536, /* unsent bytes above which nothing more is made or read */
	MF_HTTP_ROUTE_SETS_MAX = 16,
	MF_HTTP_LISTENERS_MAX = 8,
	MF_HTTP_ANSWER_FIELDS_MAX = 16,
	MF_HTTP_FILTER_FIELDS_MAX = 16, /* on top of those */
	MF_HTTP_HELD_MAX = 32 << 20, /* bytes of unanswered HTTP/2 requests, of all connections */
};

/* What a connection's reading deadline is for. */
enum mf_http_wait {
	MF_HTTP_WAIT_NONE,
	MF_HTTP_WAIT_REQUEST,
	MF_HTTP_WAIT_IDLE,
	MF_HTTP_WAIT_LINGER
};

struct mf_http_h2;
struct mf_http_proxied; /* http_service_proxied.c */
struct mf_http_listener;

struct mf_http_h1 {
	uint8_t *in;
	size_t len, room;
	size_t scanned;	 /* bytes known to hold no end of a head */
	size_t head_len; /* 0: the head is not complete */
	size_t body_len; /* chunked: decoded so far, behind the head; else the length that was announced */
	uint64_t chunk_left;
	bool chunked, in_chunk, in_trailer, body_ends, continued;
	size_t trailer_len;
};

struct mf_http_conn {
	struct mf_http_service *s;
	struct mf_http_conn *prev, *next;
	struct mf_sockwatch watch;
	struct mf_timeout reading, sending;
	enum mf_http_wait wait;
	struct mf_endpoint peer;
	uint64_t tag;
	int fd;
	struct mf_http_proxied
		*proxied; /* its PROXY header has not come whole; NULL: it has, or there is none */
	SSL *ssl;	  /* NULL: cleartext */
	bool shaking, spoken;  /* TLS; which HTTP it is has been told */
	bool eof, broken;      /* the client's end; nothing works any more */
	bool dry;	       /* nothing to read until the loop tells of something */
	bool closing, drained; /* ends when all is sent; our end was sent */
	bool busy;
	bool leaving, moved; /* for another service; it has come from one */
	size_t ignored;	     /* bytes read while closing */
	struct evbuffer *out;
	struct mf_http_exchange *exchanges; /* that wait */
	struct mf_http_h2 *h2;		    /* NULL: HTTP/1 */
	struct mf_http_h1 h1;
	/* not NULL: it is given away once 101 is sent, and nothing more is read */
	void (*taker)(void *ctx, const struct mf_http_taken *taken);
	void *taker_ctx;
};

struct mf_http_exchange {
	struct mf_http_conn *conn; /* NULL: the client is gone */
	struct mf_http_exchange *prev, *next;
	int32_t stream; /* HTTP/2 */
	bool head, ends_conn;
	bool streams, http10; /* its answer has begun; which is not chunked */
	void (*room)(void *ctx, struct mf_http_exchange *x);
	void *room_ctx;
	void (*gone)(void *ctx, struct mf_http_exchange *x);
	void *gone_ctx;
	char *note;
};

struct mf_http_service {
	struct event_base *base;
	struct mf_http_service_options opt;
	struct mf_http_service_stats stats;
	struct {
		const struct mf_http_route *routes;
		size_t cnt;
		void *ctx;
	} sets[MF_HTTP_ROUTE_SETS_MAX];
	size_t set_cnt;
	struct mf_http_listener *listeners;
	size_t listener_cnt;
	struct mf_http_conn *conns;
	struct mf_timeouts *timeouts;
	struct mf_timeout_queue request, idle, linger, send, backoff;
	struct mf_timeout pause; /* of accepting */
	const struct mf_http_filter *filter;
	void *filter_ctx;
	struct mf_http_together *together, alone;
	uint8_t chunk[MF_HTTP_CHUNK];
};

/* --- http_service.c ------------------------------------------------------------------------------------------------- */

/* One of @s from now on, and watched by its loop. Return: 0; MF_E_NOMEM: @c is as it was */
int mf_http_conn_join(struct mf_http_conn *c, struct mf_http_service *s);
/* One of no service; its descriptor is no longer watched, and no deadline runs. */
void mf_http_conn_part(struct mf_http_conn *c);
/* All that is its own, when it has parted. */
void mf_http_conn_free(struct mf_http_conn *c);

/* --- http_service_move.c -------------------------------------------------------------------------------------------- */

/* Whether the filter has @req served elsewhere; then c->leaving is set. */
bool mf_http_move_ask(struct mf_http_conn *c, const struct mf_http_request *req);
/* Nothing of @c is being worked on: it goes. */
void mf_http_move(struct mf_http_conn *c);

/* Something of @c waits to be sent: soon, from the loop (or at once, where the connection is being worked on). */
void mf_http_conn_kick(struct mf_http_conn *c);

/* --- http_service_proxied.c ----------------------------------------------------------------------------------------- */

/* Whether the connection is a balancer's; then its header is waited for. Return: 0; MF_E_PERM, MF_E_NOMEM */
int mf_http_proxied_begin(struct mf_http_conn *c);
/* Read more of the header. Return: whether something moved; c->broken, or c->proxied is NULL */
bool mf_http_proxied_read(struct mf_http_conn *c);

/* --- http_service_answer.c ------------------------------------------------------------------------------------------ */

/* Find the route of @req, make an exchange and call its handler; or answer. @req->head is filled in here. */
void mf_http_dispatch(struct mf_http_conn *c, struct mf_http_request *req, int32_t stream,
		      bool ends_conn, bool http10);
/* The service's own answer to what never became a request. */
void mf_http_reject(struct mf_http_conn *c, int32_t stream, int status, const char *allow);
/* The exchange's client is gone. */
void mf_http_exchange_detach(struct mf_http_exchange *x);
/* All that was sent has been taken: whoever sends in pieces may go on. */
void mf_http_exchange_room(struct mf_http_conn *c);
const char *mf_http_reason(int status);

/* --- http_service_h1.c ---------------------------------------------------------------------------------------------- */

/* Bytes of the client; Return: 0, MF_E_NOMEM */
int mf_http_h1_recv(struct mf_http_conn *c, const uint8_t *bytes, size_t len);
/* Dispatch what has come whole, one at a time. Return: whether a request was taken */
bool mf_http_h1_run(struct mf_http_conn *c);
/* Whether more bytes have a place. */
bool mf_http_h1_has_room(const struct mf_http_conn *c);
bool mf_http_h1_in_request(const struct mf_http_conn *c);
/* The head of an answer; @len: of its body, -1: in pieces. Return: whether a body may follow */
bool mf_http_h1_head(struct mf_http_conn *c, const struct mf_http_answer *a, int64_t len,
		     bool http10, bool ends_conn);
void mf_http_h1_answer(struct mf_http_conn *c, const struct mf_http_answer *a, bool head,
		       bool ends_conn);

/* --- http_service_h2_nghttp2.c, http_service_h2_none.c -------------------------------------------------------------- */

int mf_http_h2_new(struct mf_http_conn *c); /* sets c->h2 */
void mf_http_h2_free(struct mf_http_conn *c);
/* Return: 0; MF_E_BAD (what explains it is due to be sent) */
int mf_http_h2_recv(struct mf_http_conn *c, const uint8_t *bytes, size_t len);
/* Move what is due into c->out, up to MF_HTTP_OUT_SOFT. Return: whether there was something */
bool mf_http_h2_run(struct mf_http_conn *c);
bool mf_http_h2_in_request(const struct mf_http_conn *c);
/* Requests that take too long to arrive are answered by 408. */
void mf_http_h2_expire(struct mf_http_conn *c);
/* Say that no new requests are taken. */
void mf_http_h2_end(struct mf_http_conn *c);
bool mf_http_h2_ended(const struct mf_http_conn *c);
void mf_http_h2_answer(struct mf_http_conn *c, int32_t stream, const struct mf_http_answer *a,
		       bool head);

#endif
