/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_gateway.c - see service_gateway.h
 *
 * A connection: HEAD (the client's request head comes) -> HELD (a person is asked) -> RESOLVE -> DIAL -> SHAKE (TLS) -> RELAY ->
 * LINGERING (what was sent is being read by the client) -> gone. mf_service_conn_run() does whatever can be done now, and is called
 * whenever a socket or a deadline says so.
 */
#include "proxies/service_gateway.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxies/service_gateway_int.h"
#include "proxies/tls_client.h"
#include "proxies/tls_io.h"

enum {
	CONNS_MAX = 512,
	STEPS_MAX = 64, /* of one connection; then the others have their turn */
	ANSWER_HEAD_MAX = 65536,
	QUEUED_MAX = 65536, /* unsent bytes above which nothing more is read */
	SETUP_MS = 30000, /* until the request's head is there, until the server has been reached */
	IDLE_MS = 600000, /* without a byte in either direction */
	LINGER_MS = 3000,
};

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void drop_server(struct mf_service_conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->server < 0)
		return;
	mf_sockwatch_stop(&c->server_watch);
	mf_sock_close(c->server);
	c->server = -1;
}

static void free_conn(struct mf_service_conn *c)
{
	struct mf_service_gateway *g = c->g;

	mf_timeout_disarm(&c->timer);
	mf_held_end(&c->held);
	if (c->resolve)
		mf_resolve_cancel(c->resolve);
	drop_server(c);
	mf_sockwatch_stop(&c->client_watch);
	mf_sock_close(c->client);
	mf_http_watch_free(c->watch);
	if (c->to_server)
		evbuffer_free(c->to_server);
	if (c->to_client)
		evbuffer_free(c->to_client);
	free(c->answer);
	if (c->prev)
		c->prev->next = c->next;
	else
		g->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	g->cnt--;
	free(c);
}

/* What is due to the client still goes; then the connection ends. */
static void finish(struct mf_service_conn *c)
{
	drop_server(c);
	c->state = MF_SERVICE_LINGERING;
	mf_timeout_arm(&c->timer, &c->g->idle);
}

void mf_service_conn_answer(struct mf_service_conn *c, int status, const char *reason,
			    const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	if (c->answering) {
		c->state = MF_SERVICE_GONE;
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(text) - 1)
		n = (int)strlen(text);
	evbuffer_add_printf(
		c->to_client,
		"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		status, reason, n + 1);
	evbuffer_add(c->to_client, text, (size_t)n);
	evbuffer_add(c->to_client, "\n", 1);
	finish(c);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

/* Return: whether something came */
static bool read_client(struct mf_service_conn *c)
{
	size_t room = sizeof(c->in) - c->in_len;
	ssize_t n;

	if (c->client_eof || c->ended || !room || evbuffer_get_length(c->to_server) > QUEUED_MAX)
		return false;
	n = mf_sock_recv(c->client, c->in + c->in_len,
			 room > MF_SERVICE_CHUNK ? MF_SERVICE_CHUNK : room);
	if (n == MF_E_AGAIN)
		return false;
	if (n < 0) {
		c->state = MF_SERVICE_GONE;
		return true;
	}
	c->client_eof = n == 0;
	c->in_len += (size_t)n;
	return true;
}

/* What of the request may go, goes; behind its end nothing does. */
static void pass_request(struct mf_service_conn *c)
{
	struct mf_http_said said;
	size_t pass;
	int r;

	while (!c->ended && c->state == MF_SERVICE_RELAY) {
		size_t skip;

		r = mf_http_watch_next(c->watch, mf_span_of(c->in, c->in_len), &pass, &said);
		if (r < 0) {
			c->state = MF_SERVICE_GONE;
			return;
		}
		skip = pass < c->head_left ? pass : c->head_left;
		c->head_left -= skip;
		evbuffer_add(c->to_server, c->in + skip, pass - skip);
		c->in_len -= pass;
		memmove(c->in, c->in + pass, c->in_len);
		if (r == 0)
			break;
		c->ended = c->begun; /* another request */
		c->begun = true;
	}
}

/* --- the server --------------------------------------------------------------------------------------------------- */

static ssize_t server_recv(struct mf_service_conn *c, void *buf, size_t len)
{
	return c->ssl ? mf_tls_recv(c->ssl, buf, len) : mf_sock_recv(c->server, buf, len);
}

static ssize_t server_send(struct mf_service_conn *c, const void *buf, size_t len)
{
	return c->ssl ? mf_tls_send(c->ssl, buf, len) : mf_sock_send(c->server, buf, len);
}

static bool start_tls(struct mf_service_conn *c)
{
	static const unsigned char http1[] = "\10http/1.1";
	struct mf_proxy *p = c->g->p;

	if (!p->tls_upstream)
		p->tls_upstream = mf_tls_upstream_new();
	c->ssl = p->tls_upstream ? SSL_new(p->tls_upstream) : NULL;
	if (!c->ssl || !mf_tls_expect_name(c->ssl, c->host) || !SSL_set_fd(c->ssl, c->server) ||
	    SSL_set_alpn_protos(c->ssl, http1, sizeof(http1) - 1))
		return false;
	SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_connect_state(c->ssl);
	return true;
}

static void begin_relay(struct mf_service_conn *c)
{
	c->state = MF_SERVICE_RELAY;
	c->watch = mf_http_watch_new();
	c->answer = malloc(ANSWER_HEAD_MAX);
	if (!c->watch || !c->answer)
		mf_service_conn_answer(c, 503, "Service Unavailable", "moonfence: out of memory");
}

static void dial(struct mf_service_conn *c);

/* It shows whether the server took the connection. */
static void dialled(struct mf_service_conn *c)
{
	if (mf_sock_error(c->server))
		dial(c);
	else if (!c->tls)
		begin_relay(c);
	else if (start_tls(c))
		c->state = MF_SERVICE_SHAKE;
	else
		mf_service_conn_answer(c, 503, "Service Unavailable",
				       "moonfence: no TLS to %s can be begun", c->host);
}

static void on_server(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_service_conn *c = ctx;

	(void)fd;
	if (c->state == MF_SERVICE_DIAL && what & (EV_READ | EV_WRITE))
		dialled(c);
	mf_service_conn_run(c);
}

static void dial(struct mf_service_conn *c)
{
	struct mf_proxy *p = c->g->p;

	drop_server(c);
	while (c->addr_next < c->addr_cnt) {
		const struct mf_endpoint to = { .addr = c->addrs[c->addr_next++], .port = c->port };

		c->server = mf_sock_dial(&to);
		if (c->server < 0)
			continue;
		if (mf_sockwatch_start(&c->server_watch, p->base, c->server, on_server, c) == 0)
			return;
		mf_sock_close(c->server);
		c->server = -1;
	}
	mf_service_conn_answer(c, 502, "Bad Gateway", "moonfence: no connection to %s", c->host);
}

static bool shake(struct mf_service_conn *c)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		begin_relay(c);
		return true;
	}
	n = (int)mf_tls_result(c->ssl, n);
	if (n == MF_E_AGAIN)
		return false;
	mf_service_conn_answer(
		c, 502, "Bad Gateway", "moonfence: %s did not prove who it is: %s", c->host,
		SSL_get_verify_result(c->ssl) != X509_V_OK
			? X509_verify_cert_error_string(SSL_get_verify_result(c->ssl))
			: "the handshake failed");
	return true;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* The head of an answer but for what it says about the connection. */
static void pass_answer_head(struct mf_service_conn *c, size_t len)
{
	static const char *const ours[] = { "connection:", "keep-alive:", "proxy-connection:",
					    "upgrade:" };
	const char *at = (const char *)c->answer, *end = at + len;
	bool first = true, interim;

	/* "HTTP/1.1 1xx" */
	if (len < 12 || memcmp(at, "HTTP/1.", 7) != 0 || memcmp(at + 9, "101", 3) == 0) {
		mf_service_conn_answer(c, 502, "Bad Gateway",
				       "moonfence: %s does not answer in HTTP/1", c->host);
		return;
	}
	interim = at[9] == '1';
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t n = line_end ? (size_t)(line_end - at) + 1 : (size_t)(end - at);
		bool skip = false;

		if (n <= 2 && !first)
			break; /* the empty line */
		for (size_t i = 0; i < MF_ARRAY_SIZE(ours); i++)
			skip = skip || (n > strlen(ours[i]) &&
					strncasecmp(at, ours[i], strlen(ours[i])) == 0);
		if (!skip)
			evbuffer_add(c->to_client, at, n);
		at += n;
		first = false;
	}
	if (!interim)
		evbuffer_add_printf(c->to_client, "Connection: close\r\n");
	evbuffer_add(c->to_client, "\r\n", 2);
	c->answering = !interim;
	c->answer_len -= len;
	memmove(c->answer, c->answer + len, c->answer_len);
	if (c->answering) {
		evbuffer_add(c->to_client, c->answer, c->answer_len);
		c->answer_len = 0;
	}
}

static bool read_server(struct mf_service_conn *c)
{
	ssize_t n;
	size_t head;

	if (c->server_eof || evbuffer_get_length(c->to_client) > QUEUED_MAX)
		return false;
	if (c->answering)
		n = server_recv(c, c->g->chunk, MF_SERVICE_CHUNK);
	else
		n = server_recv(c, c->answer + c->answer_len, ANSWER_HEAD_MAX - c->answer_len);
	if (n == MF_E_AGAIN)
		return false;
	if (n <= 0) {
		c->server_eof = true;
		if (c->answering && n == 0)
			finish(c);
		else
			mf_service_conn_answer(c, 502, "Bad Gateway",
					       "moonfence: %s ended without an answer", c->host);
		return true;
	}
	if (c->answering) {
		evbuffer_add(c->to_client, c->g->chunk, (size_t)n);
		return true;
	}
	c->answer_len += (size_t)n;
	while (!c->answering && c->state == MF_SERVICE_RELAY &&
	       (head = mf_http_find_end(mf_span_of(c->answer, c->answer_len), 0)))
		pass_answer_head(c, head);
	if (!c->answering && c->state == MF_SERVICE_RELAY && c->answer_len == ANSWER_HEAD_MAX)
		mf_service_conn_answer(c, 502, "Bad Gateway",
				       "moonfence: the answer of %s has too long a head", c->host);
	return true;
}

/* --- moving bytes ------------------------------------------------------------------------------------------------- */

/* Return: bytes that went; MF_E_AGAIN, MF_E_CLOSED */
static ssize_t flush(struct mf_service_conn *c, struct evbuffer *from, bool to_server)
{
	struct evbuffer_iovec v;
	ssize_t n;

	if (evbuffer_peek(from, MF_SERVICE_CHUNK, NULL, &v, 1) < 1 || !v.iov_len)
		return MF_E_AGAIN;
	if (v.iov_len > MF_SERVICE_CHUNK)
		v.iov_len = MF_SERVICE_CHUNK;
	n = to_server ? server_send(c, v.iov_base, v.iov_len)
		      : mf_sock_send(c->client, v.iov_base, v.iov_len);
	if (n > 0)
		evbuffer_drain(from, (size_t)n);
	return n == 0 ? MF_E_AGAIN : n;
}

static bool relay(struct mf_service_conn *c)
{
	bool moved = read_client(c);
	ssize_t n;

	if (c->state != MF_SERVICE_RELAY)
		return true;
	pass_request(c);
	if (c->state != MF_SERVICE_RELAY)
		return true;
	n = flush(c, c->to_server, true);
	if (n == MF_E_CLOSED) {
		/* It may have said why before it hung up. */
		evbuffer_drain(c->to_server, evbuffer_get_length(c->to_server));
		c->ended = true;
	}
	moved = n > 0 || moved;
	return read_server(c) || moved;
}

/* The rest of what the client says is read and thrown away, so that its end of the connection does not see a reset. */
static bool linger(struct mf_service_conn *c)
{
	ssize_t n;

	if (evbuffer_get_length(c->to_client))
		return false;
	if (!c->said_end) {
		c->said_end = true;
		mf_sock_shutdown_write(c->client);
		mf_timeout_arm(&c->timer, &c->g->linger);
	}
	n = c->client_eof ? 0 : mf_sock_recv(c->client, c->g->chunk, MF_SERVICE_CHUNK);
	if (n == MF_E_AGAIN)
		return false;
	if (n <= 0)
		c->state = MF_SERVICE_GONE;
	return true;
}

/* Its request waits. A client that ends its side has given up, unless a process still has the socket (it may have said all). */
static bool wait_for_answer(struct mf_service_conn *c)
{
	const struct mf_session_ops *ops = &c->g->p->session->ops;
	struct mf_process who;
	bool moved = read_client(c);

	if (!moved || c->state != MF_SERVICE_HELD || !c->client_eof)
		return moved;
	if (ops->find_process && ops->find_process(ops->ctx, &c->flow, &who) == 0)
		mf_timeout_arm(&c->timer, &c->g->left);
	else
		c->state = MF_SERVICE_GONE;
	return moved;
}

static bool step(struct mf_service_conn *c)
{
	ssize_t n = flush(c, c->to_client, false);
	bool moved = n > 0;
	size_t head;

	if (n == MF_E_CLOSED) {
		c->state = MF_SERVICE_GONE;
		return true;
	}
	switch (c->state) {
	case MF_SERVICE_HEAD:
		moved = read_client(c) || moved;
		if (c->state != MF_SERVICE_HEAD)
			return true;
		head = mf_http_find_end(mf_span_of(c->in, c->in_len), 0);
		if (head)
			mf_service_conn_take_head(c, head);
		else if (c->in_len > MF_HTTP_HEAD_MAX)
			mf_service_conn_answer(c, 431, "Request Header Fields Too Large",
					       "moonfence: the head is too long");
		else if (c->client_eof)
			c->state = MF_SERVICE_GONE;
		return moved || head;
	case MF_SERVICE_HELD:
		return wait_for_answer(c) || moved;
	case MF_SERVICE_DIAL:
		if (c->server < 0) {
			dial(c);
			return c->state != MF_SERVICE_DIAL;
		}
		return moved;
	case MF_SERVICE_SHAKE:
		return shake(c) || moved;
	case MF_SERVICE_RELAY:
		return relay(c) || moved;
	case MF_SERVICE_LINGERING:
		return linger(c) || moved;
	default:
		return moved;
	}
}

static void want(struct mf_service_conn *c)
{
	bool reads = c->state == MF_SERVICE_HEAD || c->state == MF_SERVICE_LINGERING ||
		     (c->state == MF_SERVICE_HELD && c->in_len < sizeof(c->in)) ||
		     (c->state == MF_SERVICE_RELAY && !c->ended &&
		      evbuffer_get_length(c->to_server) <= QUEUED_MAX);

	mf_sockwatch_want(&c->client_watch,
			  (short)((reads && !c->client_eof ? EV_READ : 0) |
				  (evbuffer_get_length(c->to_client) ? EV_WRITE : 0)));
	if (c->server >= 0)
		mf_sockwatch_want(
			&c->server_watch,
			(short)((c->state != MF_SERVICE_DIAL ? EV_READ : 0) |
				(c->state == MF_SERVICE_DIAL || c->state == MF_SERVICE_SHAKE ||
						 evbuffer_get_length(c->to_server)
					 ? EV_WRITE
					 : 0)));
}

void mf_service_conn_run(struct mf_service_conn *c)
{
	bool moved = false;
	unsigned steps = 0;

	if (c->running)
		return;
	c->running = true;
	while (c->state != MF_SERVICE_GONE && step(c)) {
		moved = true;
		if (++steps == STEPS_MAX && c->state != MF_SERVICE_GONE) {
			mf_sockwatch_kick(&c->client_watch);
			break;
		}
	}
	c->running = false;
	if (c->state == MF_SERVICE_GONE) {
		free_conn(c);
		return;
	}
	if (moved && c->state == MF_SERVICE_RELAY)
		mf_timeout_arm(&c->timer, &c->g->idle);
	want(c);
}

static void on_client(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mf_service_conn_run(ctx);
}

static void on_deadline(struct mf_timeout *t, void *ctx)
{
	struct mf_service_conn *c =
		(struct mf_service_conn *)((char *)t - offsetof(struct mf_service_conn, timer));

	(void)ctx;
	if (c->state == MF_SERVICE_DIAL || c->state == MF_SERVICE_SHAKE ||
	    c->state == MF_SERVICE_RESOLVE) {
		if (c->resolve) {
			mf_resolve_cancel(c->resolve);
			c->resolve = NULL;
		}
		mf_service_conn_answer(c, 504, "Gateway Timeout", "moonfence: %s takes too long",
				       c->host);
		mf_service_conn_run(c);
		return;
	}
	free_conn(c);
}

/* It waits for a person, and its client has ended its side. */
static void on_left(struct mf_timeout *t, void *ctx)
{
	struct mf_service_conn *c =
		(struct mf_service_conn *)((char *)t - offsetof(struct mf_service_conn, timer));
	const struct mf_session_ops *ops = &c->g->p->session->ops;
	struct mf_process who;

	(void)ctx;
	if (ops->find_process && ops->find_process(ops->ctx, &c->flow, &who) == 0)
		mf_timeout_arm(&c->timer, &c->g->left);
	else
		free_conn(c);
}

/* --- the gateway -------------------------------------------------------------------------------------------------- */

int mf_service_gateway_new(struct mf_proxy *p, struct mf_service_gateway **ret, struct mf_err *err)
{
	struct mf_service_gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the gateway of services");
	g->p = p;
	mf_timeout_queue_init(&g->setup, p->timeouts, SETUP_MS, on_deadline, g);
	mf_timeout_queue_init(&g->idle, p->timeouts, IDLE_MS, on_deadline, g);
	mf_timeout_queue_init(&g->linger, p->timeouts, LINGER_MS, on_deadline, g);
	mf_timeout_queue_init(&g->left, p->timeouts, MF_HELD_LOOK_MS, on_left, g);
	*ret = g;
	return 0;
}

void mf_service_gateway_cut(struct mf_service_gateway *g)
{
	while (g && g->conns)
		free_conn(g->conns);
}

void mf_service_gateway_free(struct mf_service_gateway *g)
{
	mf_service_gateway_cut(g);
	free(g);
}

bool mf_service_gateway_is(const struct mf_service_gateway *g, const struct mf_session_flow *flow)
{
	static const uint8_t addr[4] = { 192, 0, 0, 8 };

	return g && flow->proto == MF_TCP && flow->server.port == 80 &&
	       flow->server.addr.family == 4 && memcmp(flow->server.addr.bytes, addr, 4) == 0;
}

void mf_service_gateway_take(struct mf_service_gateway *g, int fd,
			     const struct mf_session_flow *flow)
{
	struct mf_service_conn *c = g->cnt < CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		mf_sock_reset(fd);
		return;
	}
	c->g = g;
	c->flow = *flow;
	c->client = fd;
	c->server = -1;
	c->to_server = evbuffer_new();
	c->to_client = evbuffer_new();
	if (!c->to_server || !c->to_client ||
	    mf_sockwatch_start(&c->client_watch, g->p->base, fd, on_client, c) < 0) {
		if (c->to_server)
			evbuffer_free(c->to_server);
		if (c->to_client)
			evbuffer_free(c->to_client);
		free(c);
		mf_sock_reset(fd);
		return;
	}
	c->next = g->conns;
	if (c->next)
		c->next->prev = c;
	g->conns = c;
	g->cnt++;
	mf_timeout_arm(&c->timer, &g->setup);
	mf_service_conn_run(c);
}
