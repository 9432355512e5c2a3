/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_watch.h - every request of a cleartext HTTP connection, as the client's bytes pass
 *
 * A connection is allowed for the name that its first request says; the second may say another one. Whoever forwards the
 * client's bytes asks a watch how many of them may go, and learns of each request before its head goes:
 *
 *	while ((r = mf_http_watch_next(watch, held, &pass, &said)) >= 0) {
 *		forward the first @pass bytes of @held, and take them off;
 *		if (r == 0)
 *			break;			wait: what is left is the beginning of a head
 *		if (!may(said.host))
 *			end the connection;
 *	}
 *
 * What is watched:
 *	HTTP/1		heads are read (http_head.h), bodies of known length and chunked ones are counted through
 *	HTTP/2		with prior knowledge or after an upgrade: HEADERS and CONTINUATION (hpack.h), :authority and host; what is
 *			inside its CONNECT tunnels as behind CONNECT
 *	behind CONNECT	a TLS hello says a name as a Host does; HTTP is watched on, in either version
 *	behind Upgrade	a server that does not change protocols reads the next request: what looks like one is read as one
 *	other words	pass as they are; where a TLS hello begins among the first 64 KiB (STARTTLS), it says a name
 *	behind a hello	of TLS 1.3: a second one (HelloRetryRequest) that says another name is MF_E_BAD
 * Anything else is opaque and passes.
 *
 * What cannot be followed surely is MF_E_BAD: whoever forwards it would let a server see requests that it has not seen.
 *
 * Pure but for memory: a watch is small for HTTP/1; HTTP/2 needs its table (hpack.h). At most MF_HTTP_WATCH_HELD_MAX bytes
 * are ever left to be held.
 */
#ifndef MF_WIRE_HTTP_WATCH_H
#define MF_WIRE_HTTP_WATCH_H

#include <stdbool.h>

#include "core/base/span.h"

#define MF_HTTP_WATCH_HELD_MAX 65536

enum mf_said_by { MF_SAID_HTTP1, MF_SAID_HTTP2, MF_SAID_TLS, MF_SAID_NUM };

struct mf_http_said {
	struct mf_span host; /* without port; empty: it says nobody. Points into @in or the watch */
	uint16_t port;	     /* CONNECT: of its target */
	bool connect;	     /* @host is to be dialled by the server, which is a proxy */
	/* a tunnel whose target does not stand where a host stands (RFC 9298: a UDP proxy's path) */
	bool blind;
	enum mf_said_by by;
	size_t at; /* where mf_http_watch_next() returns 2 */
	const struct mf_tls_hello
		*hello; /* MF_SAID_TLS: until the next call; @host is its sni, as sent */
};

struct mf_http_watch;
struct mf_tls_hello;

/** mf_http_watch_new() - For a connection from its first byte; Return: NULL without memory */
struct mf_http_watch *mf_http_watch_new(void);
void mf_http_watch_free(struct mf_http_watch *w); /* NULL is fine */
/** mf_http_watch_follow_hello() - It begins behind a hello that was read elsewhere: is there a second one? */
void mf_http_watch_follow_hello(struct mf_http_watch *w, const struct mf_tls_hello *hello);
/** mf_http_watch_begin_in_words() - It begins in the middle of another protocol */
void mf_http_watch_begin_in_words(struct mf_http_watch *w);

/**
 * mf_http_watch_next() - What of the client's bytes may be forwarded
 * @in:	      every byte that has not been passed yet, at least those of the last call but for its @ret_pass
 * @ret_pass: bytes of @in that may go (also where a request is returned: they are in front of it)
 * Return: 1: *@ret is the next request; unless it is refused, call again with what is left of @in
 *         0: the rest of @in, at most MF_HTTP_WATCH_HELD_MAX bytes, waits for more
 *         2: MF_HTTP2_ACK_LEN bytes, @ret->at behind those that may go, answer us and are not the server's
 *            (mf_http_watch_greeted()): take them out and call again
 *         MF_E_BAD, MF_E_NOMEM
 */
int mf_http_watch_next(struct mf_http_watch *w, struct mf_span in, size_t *ret_pass,
		       struct mf_http_said *ret);

/*
 * A client of HTTP/2 may wait for the server's settings before it asks for anything (RFC 9113 §3.4 lets it begin at once,
 * but some wait). An empty SETTINGS frame draws its first request out: it promises nothing, since every value keeps its
 * default. The server's own settings may follow as any later ones do; the client acknowledges each, in their order.
 */
#define MF_HTTP2_GREETING     "\0\0\0\4\0\0\0\0\0"
#define MF_HTTP2_GREETING_LEN 9
#define MF_HTTP2_ACK_LEN      9
/** mf_http_watch_greeted() - The client was sent MF_HTTP2_GREETING before any settings of the server */
void mf_http_watch_greeted(struct mf_http_watch *w);
/** mf_http_watch_awaits_answer() - It was, and has not acknowledged it yet */
bool mf_http_watch_awaits_answer(const struct mf_http_watch *w);

/** mf_http_watch_is_opaque() - Nothing more will be looked at: another protocol */
bool mf_http_watch_is_opaque(const struct mf_http_watch *w);
/** mf_http_watch_is_another() - Another protocol: nothing is waited for, but TLS may still begin */
bool mf_http_watch_is_another(const struct mf_http_watch *w);
/** mf_http_watch_has_tls() - A hello was read, or followed */
bool mf_http_watch_has_tls(const struct mf_http_watch *w);
/** mf_http_watch_is_http2() - It has said that it speaks HTTP/2 */
bool mf_http_watch_is_http2(const struct mf_http_watch *w);
/**
 * mf_http_watch_is_unsure() - What waits does not tell yet whether it is HTTP
 * It may be forwarded all the same, if it is given to the watch again with what follows: no request is whole without its
 * first line, and what comes behind that line waits until the request is told of.
 */
bool mf_http_watch_is_unsure(const struct mf_http_watch *w);

#endif
