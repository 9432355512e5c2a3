/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_http.h - the requests of a relayed cleartext HTTP connection
 *
 * The first request of a connection is judged before anything is forwarded, and its answer may be a page or another server
 * (tcp_judge.c). Each later one is judged before its head is forwarded. One that is denied, or that the policies would have
 * sent elsewhere than this connection goes, ends the connection: no more of the client's bytes are forwarded, the answers
 * to earlier requests still are, and a client that tries again does so on a connection of its own, where it gets its answer.
 *
 * Inside an intercepted connection the first request is looked at as it passes, as the later ones. Its host is to be the
 * connection's server name; another one (domain fronting) goes on only where a policy allows that host for the connection's
 * address in so many words: what nobody has an opinion about does not, whatever the default is.
 */
#ifndef MF_PROXIES_TCP_HTTP_H
#define MF_PROXIES_TCP_HTTP_H

#include "core/wire/http_watch.h"
#include "proxies/relay.h"

struct mf_tcp_conn;

struct mf_tcp_http {
	struct mf_relay_filter filter;
	struct mf_tcp_conn *conn;
	const char *
		sni; /* intercepted: the connection's server name, of its interception; NULL: in the clear */
	struct mf_kept
		*refusal; /* intercepted: why a request of HTTP/1 may not go on, for an answer */
	bool announced;	  /* intercepted: the first request was told */
	struct mf_http_watch *watch;
	uint8_t *held; /* what may not go yet, and of what went what the watch still needs */
	uint32_t held_len, held_room, held_off;
	uint32_t sent;	/* of the held bytes: gone already (mf_http_watch_is_unsure()) */
	char last[256]; /* the name that was judged last */
	bool has_last;
};

/** mf_tcp_http_new() - Return: NULL without memory */
struct mf_tcp_http *mf_tcp_http_new(struct mf_tcp_conn *c);
void mf_tcp_http_free(struct mf_tcp_http *h); /* NULL is fine */

/** mf_tcp_http_follow() - From now on only a second hello of a handshake is watched for; Return: false without memory */
bool mf_tcp_http_follow(struct mf_tcp_conn *c, const struct mf_tls_hello *hello);
/** mf_tcp_http_on_hello() - A relay's on_hello: TLS may begin in the middle of another protocol */
int mf_tcp_http_on_hello(struct mf_relay *r);
/** mf_tcp_http_judge() - As the filter does; Return: whether it may go on, else that was told; @from: begins with it */
bool mf_tcp_http_judge(struct mf_tcp_http *h, const struct mf_http_said *heard,
		       struct mf_span from);

extern const char mf_tcp_http_blind[]; /* why a request with mf_http_said.blind is refused */

/** mf_tcp_http_remember() - A name was judged and may be said again */
void mf_tcp_http_remember(struct mf_tcp_http *h, struct mf_span name);

/** mf_tcp_http_alpn() - What sni is told of how a name was said in the clear; NULL: nothing */
const char *mf_tcp_http_alpn(enum mf_said_by by);

/** mf_tcp_http_announce() - The event of a connection's first request, in HTTP/1; @head: begins with it */
void mf_tcp_http_announce(struct mf_tcp_conn *c, struct mf_span head);

#endif
