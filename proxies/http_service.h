/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service.h - a small HTTP server for Moonfence's own endpoints: DNS over HTTPS, pages, health, metrics
 *
 *	struct mf_http_service_options o = { .size = sizeof(o) };
 *	static const struct mf_http_route routes[] = {
 *		{ .method = "GET", .path = "/healthz", .fn = on_health },
 *		{ .method = "POST", .path = "/dns-query", .fn = on_question },
 *		{ .method = "GET", .path = "/static/", .prefix = true, .fn = on_file },
 *	};
 *
 *	mf_http_service_new(base, &o, &service, &err);
 *	mf_http_service_add(service, routes, MF_ARRAY_SIZE(routes), my_state);
 *	mf_http_service_listen(service, fd, NULL);		a listener: TCP or Unix, TLS with an SSL_CTX
 *	mf_http_service_take(service, fd, NULL, &peer);		or one connected descriptor
 *
 *	static void on_health(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
 *	{
 *		mf_http_answer_text(x, 200, "text/plain", "well\n");
 *	}
 *
 * HTTP/1.1 (RFC 9112), and HTTP/2 (RFC 9113) where Moonfence was built with nghttp2: by ALPN inside TLS, by its preface in
 * cleartext. No CONNECT, no trailers, no compression, no Date. Requests of one HTTP/1 connection are handled one
 * after the other (pipelining is read as the answers go), those of an HTTP/2 connection at the same time.
 *
 * The service itself answers what no route is for: 400 (a head that two servers could read in two ways; HTTP/1.1 without
 * Host), 404, 405 with Allow, 408 (too slow), 413, 414, 431, 503 (too many connections). HEAD goes to the route of
 * GET, and the body of its answer is not sent. What a client may do is bounded by the options: connections, bytes of heads
 * and bodies, open requests, time for a request to arrive, for an answer to be taken, between requests.
 *
 * Who may ask is the owner's business: a page that changes anything, or tells secrets, checks @authority (a web site may
 * let its own name lead here) and the Origin field.
 *
 * Threads: the loop's. Cost: a connection has about 1 KiB and what it has buffered.
 */
#ifndef MF_PROXIES_HTTP_SERVICE_H
#define MF_PROXIES_HTTP_SERVICE_H

#include <openssl/types.h>
#include <stdatomic.h>

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/span.h"

struct event_base;
struct mf_cidr; /* core/match/cidr_set.h */
struct mf_http_service;
struct mf_http_exchange; /* one request that waits for its answer */
struct mf_http_conn;	 /* one connection */

/* What services of several threads count as one. Zeroed at first; outlives them. */
struct mf_http_together {
	atomic_uint connections;
	atomic_size_t held; /* bytes of requests of HTTP/2 that were not answered */
};

/* Zero means the default everywhere. */
struct mf_http_service_options {
	size_t size; /* sizeof(struct mf_http_service_options) */

	uint32_t connections_max; /* 256; of all services with the same @together */
	uint32_t head_max;    /* bytes of a request line and its fields: 16,384; at most 32,768 */
	uint32_t body_max;    /* bytes: 65,536 */
	uint32_t streams_max; /* open requests of one HTTP/2 connection: 64 */
	uint32_t request_ms;  /* first to last byte of a request, and a TLS handshake: 10,000 */
	uint32_t idle_ms;     /* between requests: 30,000 */
	uint32_t send_ms;     /* without a byte taken while an answer is sent: 20,000 */
	bool http1_only;      /* in cleartext: the preface of HTTP/2 is a bad request */
	/* Balancers whose PROXY header is believed on mf_http_service_listen_proxied(); borrowed */
	const struct mf_cidr *balancers;
	size_t balancer_cnt;
	struct mf_http_together *together; /* NULL: this service is alone */
};

#define MF_HTTP_FIELDS_MAX 64 /* of a request; with more it is answered by 431 */

struct mf_http_field {
	struct mf_span name, value; /* HTTP/1's names are as they were sent: compare without case */
};

/* Valid until the handler returns. */
struct mf_http_request {
	struct mf_span method;
	struct mf_span
		path; /* as sent, begins with a slash; nothing is decoded or resolved in it */
	struct mf_span query; /* behind the '?', as sent; may be empty */
	struct mf_span
		authority; /* for whom it is, without its port: of Host or :authority; may be empty in HTTP/1.0 */
	struct mf_span host; /* the same with its port, as sent */
	struct mf_span body;
	const struct mf_http_field *fields; /* without HTTP/2's pseudo-fields */
	size_t field_cnt;
	struct mf_endpoint peer; /* family 0: not known (Unix sockets) */
	uint64_t tag;		 /* of the connection: mf_http_service_take_tagged() */
	bool head;		 /* HEAD: its answer has no body */
	bool tls, http2;
	bool secure; /* @tls, or what a filter knows of a proxy that ended it */
};

/*
 * Answer with mf_http_answer(), now or later; each exchange must be answered once, also if its client left meanwhile (then
 * nothing is sent). @ctx: of mf_http_service_add()
 */
typedef void (*mf_http_handler_fn)(void *ctx, struct mf_http_exchange *x,
				   const struct mf_http_request *req);

struct mf_http_route {
	const char *method; /* one, in upper case; GET answers HEAD, too */
	const char *path;
	bool prefix; /* @path and whatever follows it; else exactly @path. The longest path wins. */
	mf_http_handler_fn fn;
};

struct mf_http_answer {
	int status;	  /* 200 to 599 */
	const char *type; /* content-type; NULL: none */
	struct mf_span body;
	const struct mf_http_field *fields; /* more; names in lower case */
	size_t field_cnt;		    /* at most 16 */
};

/* What the service counted since it began, and what is open now. */
struct mf_http_service_stats {
	uint64_t connections, refused_connections; /* refused: over connections_max */
	uint64_t requests, bad_requests; /* bad: answered by the service itself, 400 and above */
	uint64_t timed_out, handshakes_failed;
	uint64_t strangers,
		bad_proxy_headers; /* where a PROXY header was wanted: not from a balancer; none */
	uint64_t answers_dropped;  /* the client had left */
	uint64_t open, waiting;	   /* connections; exchanges without an answer */
};

/** mf_http_service_new() - Return: 0; MF_E_INVAL, MF_E_NOMEM */
int mf_http_service_new(struct event_base *base, const struct mf_http_service_options *options,
			struct mf_http_service **ret, struct mf_err *err);

/**
 * mf_http_service_free() - Close every connection and listener
 * Exchanges that wait stay valid until they are answered. Not from inside a handler. NULL is fine.
 */
void mf_http_service_free(struct mf_http_service *s);

/** mf_http_service_add() - @routes: borrowed for good; Return: 0, MF_E_FULL (more than 16 calls) */
int mf_http_service_add(struct mf_http_service *s, const struct mf_http_route *routes, size_t cnt,
			void *ctx);

/**
 * mf_http_service_listen() - Accept connections of @fd, which is listening and non-blocking; any number of times up to 8
 * @fd:  TCP or Unix; the service's from now on, closed with it
 * @tls: a server's context with its certificate, a reference is taken; its ALPN becomes ours
 *       (mf_http_service_set_alpn()); NULL: cleartext
 * Return: 0; MF_E_FULL, MF_E_NOMEM
 */
int mf_http_service_listen(struct mf_http_service *s, int fd, SSL_CTX *tls, struct mf_err *err);

/** mf_http_service_listen_proxied() - The same where balancers say by a PROXY header (proxy_header.h) who asks; others are turned away */
int mf_http_service_listen_proxied(struct mf_http_service *s, int fd, SSL_CTX *tls,
				   struct mf_err *err);

/*
 * What an owner has to say of every request and answer of a service. NULL where it has nothing to say.
 *
 * request():  before a route is looked for. May change @req (who asks, what is asked for), or answer. Return: false: it is answered
 * fields():   more fields of any answer but 101, valid up to the next call; @note: of mf_http_exchange_note(), NULL: none.
 *	       Return: how many, at most @max
 * fault():    another body for what the service answers by itself; @req is NULL for what never became a request
 * leaves():   HTTP/1: whether another service, of another loop, shall have this request and all that follows on its connection; asked
 *	       once, before anything else is. Of @req only the head is there.
 * left():     that has happened: @conn belongs to no loop, and is to be given to mf_http_service_adopt() or mf_http_conn_drop()
 */
struct mf_http_filter {
	bool (*leaves)(void *ctx, const struct mf_http_request *req);
	void (*left)(void *ctx, struct mf_http_conn *conn);
	bool (*request)(void *ctx, struct mf_http_exchange *x, struct mf_http_request *req);
	size_t (*fields)(void *ctx, const char *note, struct mf_http_field *ret, size_t max);
	void (*fault)(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req,
		      struct mf_http_answer *a);
};

/** mf_http_service_set_filter() - @filter: borrowed for good */
void mf_http_service_set_filter(struct mf_http_service *s, const struct mf_http_filter *filter,
				void *ctx);

/** mf_http_exchange_note() - A text that stays with a request up to its answer, copied; without memory there is none */
void mf_http_exchange_note(struct mf_http_exchange *x, struct mf_span text);
/** mf_http_exchange_end_connection() - HTTP/1: the connection ends behind the answer */
void mf_http_exchange_end_connection(struct mf_http_exchange *x);

/**
 * mf_http_service_unlisten() - Close all listeners; who has connected already is accepted before, and connections go on
 * From the loop, or before it runs; not from inside a handler.
 */
void mf_http_service_unlisten(struct mf_http_service *s);

/**
 * mf_http_service_change_tls() - From now on all listeners with TLS have this context; connections that are open keep theirs
 * @tls: its ALPN is ours already (mf_http_service_set_alpn()): services of other threads may have it
 */
void mf_http_service_change_tls(struct mf_http_service *s, SSL_CTX *tls);

/**
 * mf_http_service_take() - Serve one connected stream socket, e.g. one end of a pair; owns @fd, also if it fails
 * @tls: NULL: cleartext; @peer: NULL: not known
 * Return: 0; MF_E_FULL (then the client got 503 or an end), MF_E_NOMEM
 */
int mf_http_service_take(struct mf_http_service *s, int fd, SSL_CTX *tls,
			 const struct mf_endpoint *peer);

/** mf_http_service_take_tagged() - The same in cleartext; @tag is the owner's, and is in every request of the connection */
int mf_http_service_take_tagged(struct mf_http_service *s, int fd, uint64_t tag);

/**
 * mf_http_service_adopt() - Serve a connection that has left another service, from its request on; that is not asked about leaves() again
 * In the thread of @s, whichever it left in: what is in it (TLS, bytes that were read) belongs to one thread at a time, and whoever
 * carries it orders the two by a lock. It was counted when it was accepted, is while it is on its way, and is not refused here; the service
 * that it left is still there. @conn is the service's, or, without memory, gone.
 */
void mf_http_service_adopt(struct mf_http_service *s, struct mf_http_conn *conn);
/** mf_http_conn_drop() - Close it instead; any thread, while the service that it left is there */
void mf_http_conn_drop(struct mf_http_conn *conn);

void mf_http_service_get_stats(const struct mf_http_service *s, struct mf_http_service_stats *ret);

/**
 * mf_http_answer() - The answer, copied; @x is gone afterwards, whatever happened
 * A field with a line end in it, or a status of none, is answered by 500 in its place. Inside a handler: any time.
 */
void mf_http_answer(struct mf_http_exchange *x, const struct mf_http_answer *a);
/** mf_http_answer_text() - The same with a text and Cache-Control: no-store */
void mf_http_answer_text(struct mf_http_exchange *x, int status, const char *type,
			 const char *text);

/*
 * An answer in pieces, of a length that nobody knows: chunked in HTTP/1.1, up to the connection's end in HTTP/1.0. HTTP/2 has none
 * here, and a client that closes its half of the connection has left. mf_http_answer_end() ends it and @x; a client that left is told of by mf_http_exchange_on_gone(), and @x still wants its end.
 */
/** mf_http_answer_begin() - Head of the answer; no body of @a. Return: 0; MF_E_UNSUPPORTED (HTTP/2): @x still waits */
int mf_http_answer_begin(struct mf_http_exchange *x, const struct mf_http_answer *a);
/** mf_http_answer_send() - Return: bytes that the client has not taken yet; MF_E_CLOSED: it left */
int64_t mf_http_answer_send(struct mf_http_exchange *x, struct mf_span bytes);
/** mf_http_answer_end() - @x is gone afterwards */
void mf_http_answer_end(struct mf_http_exchange *x);
/** mf_http_answer_on_room() - Call @fn each time when all that was sent has been taken */
void mf_http_answer_on_room(struct mf_http_exchange *x,
			    void (*fn)(void *ctx, struct mf_http_exchange *x), void *ctx);

/* A connection that speaks something else from now on (RFC 9110 7.8); all of it is the taker's but @early. */
struct mf_http_taken {
	int fd;
	SSL *ssl; /* NULL: cleartext; SSL_free() before @fd is closed */
	struct mf_endpoint peer;
	struct mf_span early; /* what the client has said behind its request; valid for the call */
};

/**
 * mf_http_upgrade() - Answer with 101, and give the connection away once that is sent
 * @upgrade: the protocol's name; @fields, @field_cnt: more, as of struct mf_http_answer
 * @fn: called once, from the loop or (where the client left) from here; @taken is NULL where it left, or the service was freed
 * Return: 0: @x is gone, and @fn will be called; MF_E_UNSUPPORTED (HTTP/2, HTTP/1.0, a bad field): @x still waits
 */
int mf_http_upgrade(struct mf_http_exchange *x, const char *upgrade,
		    const struct mf_http_field *fields, size_t field_cnt,
		    void (*fn)(void *ctx, const struct mf_http_taken *taken), void *ctx);

/** mf_http_exchange_is_gone() - The client left (or the service was freed): the answer will not be sent */
bool mf_http_exchange_is_gone(const struct mf_http_exchange *x);
/**
 * mf_http_exchange_on_gone() - Call @fn once when the client leaves before its answer
 * It may answer (which sends nothing, and ends @x); else @x still waits for its mf_http_answer().
 */
void mf_http_exchange_on_gone(struct mf_http_exchange *x,
			      void (*fn)(void *ctx, struct mf_http_exchange *x), void *ctx);

/** mf_http_find_field() - The value of the first field of this name (lower case); an empty span with ptr NULL: none */
struct mf_span mf_http_find_field(const struct mf_http_request *req, const char *name);

/**
 * mf_http_find_param() - A parameter of a query, its '+' and %XX decoded, with a NUL behind it
 * Return: bytes in @buf without the NUL; MF_E_NOENT; MF_E_EXIST (twice), MF_E_BAD (no valid %XX, or a NUL), MF_E_LIMIT (@size)
 */
int mf_http_find_param(struct mf_span query, const char *name, char *buf, size_t size);

/**
 * mf_http_service_set_alpn() - Have connections of @tls choose h2 or http/1.1
 * For contexts that a server-name callback puts in the place of the one given to mf_http_service_listen().
 */
void mf_http_service_set_alpn(SSL_CTX *tls);

/** mf_http_service_has_http2() - Whether Moonfence was built with it */
bool mf_http_service_has_http2(void);

#endif
