/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_service.c - listeners and connections of the HTTP service: bytes in and out, TLS, deadlines, ends
 *
 * Everything that happens to a connection is done by pump(): read what is there, let the protocol take it, send what is due,
 * until nothing moves. Only its end frees the connection, so a handler may answer whatever it likes whenever it likes.
 */
#include <openssl/err.h>
#include <stdlib.h>

#include "proxies/http_service_int.h"
#include "proxies/tls_io.h"

enum {
	ACCEPT_BATCH = 32,
	LAST_ACCEPTS = 4096,
	BACKOFF_MS = 50,
	LINGER_MS = 2000,
	IGNORED_MAX = 1 << 20, /* bytes that a client may still send after its last answer */
	ROUNDS_MAX = 16,       /* of one connection, then others have their turn */
};

struct mf_http_listener {
	struct mf_http_service *s;
	struct event ev;
	SSL_CTX *tls;
	int fd;
	bool proxied;
};

static void pump(struct mf_http_conn *c);
static void on_io(evutil_socket_t fd, short what, void *ctx);

/* --- sockets and TLS ------------------------------------------------------------------------------------------------ */

static ssize_t conn_recv(struct mf_http_conn *c, uint8_t *buf, size_t len)
{
	return c->ssl ? mf_tls_recv(c->ssl, buf, len) : mf_sock_recv(c->fd, buf, len);
}

static ssize_t conn_send(struct mf_http_conn *c, const uint8_t *buf, size_t len)
{
	ssize_t n;

	if (!c->ssl)
		return mf_sock_send(c->fd, buf, len);
	n = mf_tls_send(c->ssl, buf, len);
	return n == 0 ? MF_E_CLOSED : n;
}

static int begin_h2(struct mf_http_conn *c)
{
	c->spoken = true;
	return mf_http_h2_new(c);
}

static void shake_hands(struct mf_http_conn *c)
{
	const uint8_t *alpn;
	unsigned len;
	ssize_t r;
	int n;

	ERR_clear_error();
	n = SSL_accept(c->ssl);
	if (n != 1) {
		r = mf_tls_result(c->ssl, n);
		if (r != MF_E_AGAIN) {
			c->s->stats.handshakes_failed++;
			c->broken = true;
		}
		return;
	}
	c->shaking = false;
	c->spoken = true;
	c->wait = MF_HTTP_WAIT_NONE;
	SSL_get0_alpn_selected(c->ssl, &alpn, &len);
	if (len == 2 && memcmp(alpn, "h2", 2) == 0 && begin_h2(c) < 0)
		c->broken = true;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	bool h2 = mf_http_service_has_http2();

	(void)ssl;
	(void)arg;
	/* a client without a protocol of ours is tried with HTTP/1.1, which says what is wrong in words */
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours + (h2 ? 0 : 3),
				     sizeof(ours) - 1 - (h2 ? 0 : 3), in,
				     in_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

void mf_http_service_set_alpn(SSL_CTX *tls)
{
	SSL_CTX_set_alpn_select_cb(tls, select_alpn, NULL);
}

/* --- connections ---------------------------------------------------------------------------------------------------- */

int mf_http_conn_join(struct mf_http_conn *c, struct mf_http_service *s)
{
	if (mf_sockwatch_start(&c->watch, s->base, c->fd, on_io, c) < 0)
		return MF_E_NOMEM;
	c->s = s;
	c->prev = NULL;
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->stats.open++;
	mf_sockwatch_kick(&c->watch);
	return 0;
}

void mf_http_conn_part(struct mf_http_conn *c)
{
	struct mf_http_service *s = c->s;

	mf_timeout_disarm(&c->reading);
	mf_timeout_disarm(&c->sending);
	if (c->fd >= 0)
		mf_sockwatch_stop(&c->watch);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->stats.open--;
}

void mf_http_conn_free(struct mf_http_conn *c)
{
	SSL_free(c->ssl);
	if (c->fd >= 0)
		mf_sock_close(c->fd);
	evbuffer_free(c->out);
	free(c->proxied);
	free(c->h1.in);
	free(c);
}

static void free_conn(struct mf_http_conn *c)
{
	struct mf_http_service *s = c->s;

	c->busy = true; /* whoever is told that it has gone cannot wake it */
	while (c->exchanges)
		mf_http_exchange_detach(c->exchanges);
	mf_http_h2_free(c);
	mf_http_conn_part(c);
	s->together->connections--;
	if (c->taker)
		c->taker(c->taker_ctx, NULL);
	mf_http_conn_free(c);
}

/* 101 has been sent: somebody else's from now on. */
static void give_away(struct mf_http_conn *c)
{
	struct mf_http_taken t = { .fd = c->fd,
				   .ssl = c->ssl,
				   .peer = c->peer,
				   .early = mf_span_of(c->h1.in, c->h1.len) };
	void (*taker)(void *ctx, const struct mf_http_taken *taken) = c->taker;
	void *ctx = c->taker_ctx;
	uint8_t *in = c->h1.in;

	mf_sockwatch_stop(&c->watch);
	c->taker = NULL;
	c->ssl = NULL;
	c->fd = -1;
	c->h1.in = NULL;
	free_conn(c);
	taker(ctx, &t);
	free(in);
}

static size_t out_len(const struct mf_http_conn *c)
{
	return evbuffer_get_length(c->out);
}

/* Return: whether something was sent */
static bool send_some(struct mf_http_conn *c)
{
	bool moved = false, waited = out_len(c) > 0;

	while (out_len(c) && !c->broken) {
		size_t len = out_len(c);
		ssize_t n;

		if (len > MF_HTTP_CHUNK)
			len = MF_HTTP_CHUNK;
		n = conn_send(c, evbuffer_pullup(c->out, (ssize_t)len), len);
		if (n == MF_E_AGAIN)
			break;
		if (n < 0) {
			c->broken = true;
			break;
		}
		evbuffer_drain(c->out, (size_t)n);
		moved = true;
	}
	if (out_len(c) == 0) {
		mf_timeout_disarm(&c->sending);
		if (waited && !c->broken)
			mf_http_exchange_room(c);
	} else if (moved || !mf_timeout_armed(&c->sending)) {
		mf_timeout_arm(&c->sending, &c->s->send);
	}
	return moved;
}

/* Cleartext: HTTP/2 shows itself by its preface, which no HTTP/1 request can be. */
static void tell_protocol(struct mf_http_conn *c)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct mf_http_h1 *h = &c->h1;
	size_t len = h->len < sizeof(preface) - 1 ? h->len : sizeof(preface) - 1;

	if (memcmp(h->in, preface, len) != 0 || c->s->opt.http1_only ||
	    !mf_http_service_has_http2()) {
		c->spoken = true;
		return;
	}
	if (len < sizeof(preface) - 1)
		return;
	if (begin_h2(c) < 0 || mf_http_h2_recv(c, h->in, h->len) < 0)
		c->closing = true;
	h->len = 0;
}

static void take_bytes(struct mf_http_conn *c, const uint8_t *bytes, size_t len)
{
	if (c->closing) {
		c->ignored += len;
		if (c->ignored > IGNORED_MAX)
			c->broken = true;
		return;
	}
	if (c->h2) {
		if (mf_http_h2_recv(c, bytes, len) < 0)
			c->closing = true;
		return;
	}
	if (mf_http_h1_recv(c, bytes, len) < 0)
		c->broken = true;
	else if (!c->spoken)
		tell_protocol(c);
}

static bool reads_on(const struct mf_http_conn *c)
{
	if (c->eof || c->broken || c->shaking || c->taker || c->proxied || c->leaving)
		return false;
	return c->closing || (out_len(c) < MF_HTTP_OUT_SOFT && (c->h2 || mf_http_h1_has_room(c)));
}

static bool read_some(struct mf_http_conn *c)
{
	bool moved = false;

	while (reads_on(c) && !c->dry) {
		ssize_t n = conn_recv(c, c->s->chunk, sizeof(c->s->chunk));

		if (n == MF_E_AGAIN) {
			c->dry = true;
			break;
		}
		moved = true;
		if (n == 0)
			c->eof = true;
		else if (n < 0)
			c->broken = true;
		else
			take_bytes(c, c->s->chunk, (size_t)n);
		if (!c->h2)
			break; /* what is there is served before more is read */
	}
	return moved;
}

/* The last answer was sent: say so, and listen for a while, so that the client can read it before anything is reset. */
static void drain(struct mf_http_conn *c)
{
	c->drained = true;
	if (c->ssl)
		(void)SSL_shutdown(c->ssl);
	mf_sock_shutdown_write(c->fd);
	c->wait = MF_HTTP_WAIT_LINGER;
	mf_timeout_arm(&c->reading, &c->s->linger);
}

static bool has_ended(struct mf_http_conn *c)
{
	if (out_len(c) || (c->shaking && !c->eof))
		return false;
	if (c->closing)
		return c->drained && c->eof;
	if (c->h2)
		return c->eof || mf_http_h2_ended(c);
	/* a client that has only half closed still gets the answers to what came whole; not one that may never end */
	return c->eof && (!c->exchanges || c->exchanges->streams);
}

static void set_deadline(struct mf_http_conn *c)
{
	enum mf_http_wait wait = MF_HTTP_WAIT_NONE;

	if (c->wait == MF_HTTP_WAIT_LINGER)
		return;
	if (c->taker)
		wait = MF_HTTP_WAIT_NONE;
	else if (c->proxied || c->shaking ||
		 (c->h2 ? mf_http_h2_in_request(c) : mf_http_h1_in_request(c)))
		wait = MF_HTTP_WAIT_REQUEST;
	else if (!c->exchanges && !out_len(c))
		wait = MF_HTTP_WAIT_IDLE;
	/* who waits for an answer has all the time that it takes; @wait alone was reset when its request was whole */
	if (wait == MF_HTTP_WAIT_NONE)
		mf_timeout_disarm(&c->reading);
	if (wait == c->wait)
		return;
	c->wait = wait;
	if (wait == MF_HTTP_WAIT_NONE)
		return;
	mf_timeout_arm(&c->reading, wait == MF_HTTP_WAIT_REQUEST ? &c->s->request : &c->s->idle);
}

static void pump(struct mf_http_conn *c)
{
	unsigned rounds = 0;
	bool moved;

	if (c->busy)
		return;
	c->busy = true;
	do {
		moved = c->proxied && mf_http_proxied_read(c);
		if (c->shaking && !c->proxied && !c->broken)
			shake_hands(c);
		moved |= read_some(c);
		if (c->spoken && !c->shaking && !c->broken)
			moved |= c->h2 ? mf_http_h2_run(c) : mf_http_h1_run(c);
		if (!c->shaking && !c->proxied)
			moved |= send_some(c);
		if (c->closing && !c->drained && !c->broken && out_len(c) == 0)
			drain(c);
	} while (moved && !c->broken && ++rounds < ROUNDS_MAX);
	c->busy = false;
	if (c->leaving && !c->broken) {
		mf_http_move(c);
		return;
	}
	if (c->taker && !c->broken && out_len(c) == 0) {
		give_away(c);
		return;
	}
	/* as long as something moves, what came whole may not be served yet */
	if (c->broken || (!moved && has_ended(c))) {
		free_conn(c);
		return;
	}
	if (moved)
		mf_sockwatch_kick(&c->watch);
	set_deadline(c);
	mf_sockwatch_want(
		&c->watch,
		(short)((reads_on(c) || c->shaking || c->proxied ? EV_READ : 0) |
			(out_len(c) || (c->ssl && SSL_want_write(c->ssl)) ? EV_WRITE : 0)));
}

void mf_http_conn_kick(struct mf_http_conn *c)
{
	if (!c->busy)
		mf_sockwatch_kick(&c->watch);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_http_conn *c = ctx;

	(void)fd;
	if (what & ~EV_WRITE || (c->ssl && SSL_want_write(c->ssl)))
		c->dry = false;
	pump(c);
}

/* --- deadlines ------------------------------------------------------------------------------------------------------ */

static void on_late(struct mf_timeout *t, void *ctx)
{
	struct mf_http_conn *c =
		(struct mf_http_conn *)((char *)t - offsetof(struct mf_http_conn, reading));
	enum mf_http_wait wait = c->wait;

	(void)ctx;
	c->wait = MF_HTTP_WAIT_NONE;
	if (wait == MF_HTTP_WAIT_LINGER || c->shaking || c->proxied) {
		c->s->stats.timed_out += wait != MF_HTTP_WAIT_LINGER;
		free_conn(c);
		return;
	}
	if (wait == MF_HTTP_WAIT_REQUEST)
		c->s->stats.timed_out++;
	if (c->h2) {
		if (wait == MF_HTTP_WAIT_REQUEST)
			mf_http_h2_expire(c);
		else
			mf_http_h2_end(c);
	} else if (wait == MF_HTTP_WAIT_REQUEST && c->spoken) {
		mf_http_reject(c, 0, 408, NULL);
	} else {
		c->closing = true;
	}
	pump(c);
}

static void on_send_late(struct mf_timeout *t, void *ctx)
{
	struct mf_http_conn *c =
		(struct mf_http_conn *)((char *)t - offsetof(struct mf_http_conn, sending));

	(void)ctx;
	c->s->stats.timed_out++;
	free_conn(c);
}

/* --- accepting ------------------------------------------------------------------------------------------------------ */

static int start_tls(struct mf_http_conn *c, SSL_CTX *tls)
{
	c->ssl = SSL_new(tls);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		return MF_E_NOMEM;
	SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				     SSL_MODE_RELEASE_BUFFERS);
	SSL_set_accept_state(c->ssl);
	c->shaking = true;
	return 0;
}

static int refuse(struct mf_http_service *s, int fd, bool tls)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n"
				   "retry-after: 1\r\nconnection: close\r\n\r\n";

	s->stats.refused_connections++;
	if (!tls)
		(void)mf_sock_send(fd, text, sizeof(text) - 1);
	mf_sock_close(fd);
	return MF_E_FULL;
}

static int take(struct mf_http_service *s, int fd, SSL_CTX *tls, const struct mf_endpoint *peer,
		bool proxied)
{
	struct mf_http_conn *c;
	int r;

	/* counted before it is looked at: other threads do the same */
	if (s->together->connections++ >= s->opt.connections_max) {
		s->together->connections--;
		return refuse(s, fd, tls != NULL);
	}
	c = calloc(1, sizeof(*c));
	if (c)
		c->out = evbuffer_new();
	if (!c || !c->out) {
		s->together->connections--;
		free(c);
		mf_sock_close(fd);
		return MF_E_NOMEM;
	}
	c->s = s;
	c->fd = fd;
	if (peer)
		c->peer = *peer;
	r = proxied ? mf_http_proxied_begin(c) : 0;
	if (r == 0 && tls)
		r = start_tls(c, tls);
	if (r == 0)
		r = mf_http_conn_join(c, s);
	if (r < 0) {
		s->together->connections--;
		mf_http_conn_free(c);
		return r;
	}
	s->stats.connections++;
	return 0;
}

int mf_http_service_take(struct mf_http_service *s, int fd, SSL_CTX *tls,
			 const struct mf_endpoint *peer)
{
	if (tls)
		mf_http_service_set_alpn(tls);
	return take(s, fd, tls, peer, false);
}

int mf_http_service_take_tagged(struct mf_http_service *s, int fd, uint64_t tag)
{
	int r = mf_http_service_take(s, fd, NULL, NULL);

	if (r == 0)
		s->conns->tag = tag;
	return r;
}

static void watch_listeners(struct mf_http_service *s, bool watch)
{
	for (size_t i = 0; i < s->listener_cnt; i++) {
		if (watch)
			(void)event_add(&s->listeners[i].ev, NULL);
		else
			event_del(&s->listeners[i].ev);
	}
}

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_http_listener *l = ctx;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct mf_endpoint peer;
		int conn = mf_sock_accept((int)fd, &peer);

		if (conn == MF_E_FULL) {
			/* accept() would fail again and again: let some connections end first */
			watch_listeners(l->s, false);
			mf_timeout_arm(&l->s->pause, &l->s->backoff);
		}
		if (conn < 0)
			return;
		(void)take(l->s, conn, l->tls, &peer, l->proxied);
	}
}

static void on_backoff(struct mf_timeout *t, void *ctx)
{
	(void)t;
	watch_listeners(ctx, true);
}

int mf_http_service_listen(struct mf_http_service *s, int fd, SSL_CTX *tls, struct mf_err *err)
{
	struct mf_http_listener *l = &s->listeners[s->listener_cnt];

	if (s->listener_cnt == MF_HTTP_LISTENERS_MAX)
		return mf_err_set(err, MF_E_FULL, "an HTTP service has at most %d listeners",
				  MF_HTTP_LISTENERS_MAX);
	mf_sock_prepare_listener(fd);
	if (event_assign(&l->ev, s->base, fd, EV_READ | EV_PERSIST, on_accept, l) < 0 ||
	    event_add(&l->ev, NULL) < 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot watch the HTTP listener");
	l->s = s;
	l->fd = fd;
	if (tls) {
		mf_http_service_set_alpn(tls);
		SSL_CTX_up_ref(tls);
		l->tls = tls;
	}
	s->listener_cnt++;
	return 0;
}

int mf_http_service_listen_proxied(struct mf_http_service *s, int fd, SSL_CTX *tls,
				   struct mf_err *err)
{
	int r = mf_http_service_listen(s, fd, tls, err);

	if (r == 0)
		s->listeners[s->listener_cnt - 1].proxied = true;
	return r;
}

static void free_listeners(struct mf_http_service *s)
{
	for (size_t i = 0; i < s->listener_cnt; i++) {
		event_del(&s->listeners[i].ev);
		SSL_CTX_free(s->listeners[i].tls);
		mf_sock_close(s->listeners[i].fd);
	}
	s->listener_cnt = 0;
	mf_timeout_disarm(&s->pause);
}

void mf_http_service_unlisten(struct mf_http_service *s)
{
	struct mf_endpoint peer;
	int fd;

	/* closing would reset those that wait in its queue */
	for (size_t i = 0; i < s->listener_cnt; i++)
		for (unsigned n = 0;
		     n < LAST_ACCEPTS && (fd = mf_sock_accept(s->listeners[i].fd, &peer)) >= 0; n++)
			(void)take(s, fd, s->listeners[i].tls, &peer, s->listeners[i].proxied);
	free_listeners(s);
}

void mf_http_service_change_tls(struct mf_http_service *s, SSL_CTX *tls)
{
	for (size_t i = 0; i < s->listener_cnt; i++) {
		struct mf_http_listener *l = &s->listeners[i];

		if (!l->tls)
			continue;
		SSL_CTX_up_ref(tls);
		SSL_CTX_free(l->tls);
		l->tls = tls;
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static void set_defaults(struct mf_http_service_options *o)
{
	struct {
		uint32_t *value, fallback;
	} numbers[] = {
		{ &o->connections_max, 256 }, { &o->head_max, 16384 },	 { &o->body_max, 65536 },
		{ &o->streams_max, 64 },      { &o->request_ms, 10000 }, { &o->idle_ms, 30000 },
		{ &o->send_ms, 20000 },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++)
		if (*numbers[i].value == 0)
			*numbers[i].value = numbers[i].fallback;
}

int mf_http_service_new(struct event_base *base, const struct mf_http_service_options *options,
			struct mf_http_service **ret, struct mf_err *err)
{
	struct mf_http_service *s;

	if (!base || options->size != sizeof(*options) || options->head_max > 32768)
		return mf_err_set(err, MF_E_INVAL,
				  "an HTTP service needs a loop and its options, heads of at most "
				  "32768 bytes");
	if (mf_sock_start() < 0)
		return mf_err_set(err, MF_E_UNSUPPORTED, "this system has no sockets");
	s = calloc(1, sizeof(*s));
	if (s) {
		s->listeners = calloc(MF_HTTP_LISTENERS_MAX, sizeof(*s->listeners));
		s->timeouts = mf_timeouts_new(base);
	}
	if (!s || !s->listeners || !s->timeouts) {
		mf_http_service_free(s);
		return mf_err_set(err, MF_E_NOMEM, "no memory for an HTTP service");
	}
	s->base = base;
	s->opt = *options;
	set_defaults(&s->opt);
	s->together = options->together ? options->together : &s->alone;
	mf_timeout_queue_init(&s->request, s->timeouts, s->opt.request_ms, on_late, s);
	mf_timeout_queue_init(&s->idle, s->timeouts, s->opt.idle_ms, on_late, s);
	mf_timeout_queue_init(&s->linger, s->timeouts, LINGER_MS, on_late, s);
	mf_timeout_queue_init(&s->send, s->timeouts, s->opt.send_ms, on_send_late, s);
	mf_timeout_queue_init(&s->backoff, s->timeouts, BACKOFF_MS, on_backoff, s);
	*ret = s;
	return 0;
}

void mf_http_service_free(struct mf_http_service *s)
{
	if (!s)
		return;
	while (s->conns)
		free_conn(s->conns);
	if (s->listeners)
		free_listeners(s);
	if (s->timeouts)
		mf_timeouts_free(s->timeouts);
	free(s->listeners);
	free(s);
}

int mf_http_service_add(struct mf_http_service *s, const struct mf_http_route *routes, size_t cnt,
			void *ctx)
{
	if (s->set_cnt == MF_HTTP_ROUTE_SETS_MAX)
		return MF_E_FULL;
	s->sets[s->set_cnt].routes = routes;
	s->sets[s->set_cnt].cnt = cnt;
	s->sets[s->set_cnt++].ctx = ctx;
	return 0;
}

void mf_http_service_set_filter(struct mf_http_service *s, const struct mf_http_filter *filter,
				void *ctx)
{
	s->filter = filter;
	s->filter_ctx = ctx;
}

void mf_http_service_get_stats(const struct mf_http_service *s, struct mf_http_service_stats *ret)
{
	*ret = s->stats;
}
