/* SPDX-License-Identifier: Apache-2.0 */
/* dns_upstream.c - one socket per question, checks of the answer, fail-over */
#include "proxies/dns_upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/dns_upstream_int.h"
#include "proxies/hostconf.h"
#include "proxies/proxy_int.h"
#include "proxies/sockwatch.h"

enum {
	ROUNDS = 2,
	QUERY_MAX = 2 + MF_DNS_HEAD_LEN + MF_DNS_NAME_MAX + 4 + 11,
	STRAY_MAX = 64, /* wrong answers on one socket before the server is given up */
};

/*
 * UDP -> done | TCP (truncated) | next server. TCP -> done | next server. The socket is closed at every change.
 */
struct mf_dns_ask {
	struct mf_dns_upstream *up;
	struct mf_dns_ask *prev, *next;
	struct mf_timeout timeout;
	struct event io;	   /* UDP */
	struct mf_sockwatch watch; /* TCP */
	int fd;			   /* -1: none */
	bool tcp, failing;	   /* failing: no socket could be made; the time-out reports it */
	uint8_t stray;
	uint16_t id;
	unsigned tries;
	struct mf_dns_query query;
	mf_dns_done_fn fn;
	void *ctx;
	uint16_t out_len, out_at;
	uint8_t out[QUERY_MAX]; /* two bytes of length for TCP, then the message */
	uint8_t *in;		/* TCP answer being collected */
	uint32_t in_len;
};

static void begin_try(struct mf_dns_ask *a);

static const struct mf_endpoint *server_of(const struct mf_dns_ask *a)
{
	return &a->up->servers[a->tries % a->up->server_cnt];
}

static void close_socket(struct mf_dns_ask *a)
{
	if (a->fd < 0)
		return;
	if (a->tcp)
		mf_sockwatch_stop(&a->watch);
	else
		event_del(&a->io);
	mf_sock_close(a->fd);
	a->fd = -1;
	free(a->in);
	a->in = NULL;
	a->in_len = 0;
}

void mf_dns_upstream_cancel(struct mf_dns_ask *a)
{
	struct mf_dns_upstream *up = a->up;

	close_socket(a);
	mf_timeout_disarm(&a->timeout);
	if (a->prev)
		a->prev->next = a->next;
	else
		up->asks = a->next;
	if (a->next)
		a->next->prev = a->prev;
	up->ask_cnt--;
	up->proxy->stats.dns_inflight = up->ask_cnt;
	free(a);
}

static void finish(struct mf_dns_ask *a, int result, struct mf_span msg,
		   const struct mf_dns_walk *walk)
{
	struct mf_endpoint server = *server_of(a);
	mf_dns_done_fn fn = a->fn;
	void *ctx = a->ctx;

	/* the answer may lie in the question's own buffer: that is freed after the call */
	uint8_t *in = a->in;

	a->in = NULL;
	mf_dns_upstream_cancel(a);
	fn(ctx, result, msg, walk, &server);
	free(in);
}

static void next_server(struct mf_dns_ask *a, int why)
{
	close_socket(a);
	if (a->tries + 1 >= a->up->server_cnt * ROUNDS) {
		finish(a, why, mf_span_of(NULL, 0), NULL);
		return;
	}
	a->tries++;
	a->tcp = false;
	begin_try(a);
}

/* Is it the answer, and is it one to be content with? Return: true when the question ended or moved on. */
static bool take_answer(struct mf_dns_ask *a, struct mf_span msg)
{
	struct mf_dns_walk walk;
	int r = mf_dns_begin_walk(msg, &a->query, a->id, &walk);

	if (r < 0)
		return false;
	if (walk.truncated && !a->tcp) {
		close_socket(a);
		a->tcp = true;
		begin_try(a);
		return true;
	}
	if ((walk.rcode == MF_DNS_SERVFAIL || walk.rcode == MF_DNS_REFUSED ||
	     walk.rcode == MF_DNS_NOTIMP) &&
	    a->tries + 1 < a->up->server_cnt) {
		next_server(a, MF_E_IO);
		return true;
	}
	finish(a, 0, msg, &walk);
	return true;
}

static void on_udp(struct mf_dns_ask *a)
{
	uint8_t *buf = a->up->proxy->pool.buf;

	for (;;) {
		ssize_t n = mf_sock_recv(a->fd, buf, MF_RELAY_CHUNK);

		if (n == MF_E_AGAIN)
			return;
		if (n < 0) { /* the port is closed: its host said so by ICMP */
			next_server(a, MF_E_IO);
			return;
		}
		if (take_answer(a, mf_span_of(buf, (size_t)n)))
			return;
		if (++a->stray >= STRAY_MAX) {
			next_server(a, MF_E_IO);
			return;
		}
	}
}

static void on_tcp(struct mf_dns_ask *a, short what)
{
	ssize_t n;

	while (a->out_at < a->out_len) {
		mf_sockwatch_want(&a->watch, EV_WRITE);
		if (!(what & EV_WRITE))
			return;
		n = mf_sock_send(a->fd, a->out + a->out_at, (size_t)(a->out_len - a->out_at));
		if (n == MF_E_AGAIN)
			return;
		if (n < 0) {
			next_server(a, MF_E_IO);
			return;
		}
		a->out_at += (uint16_t)n;
	}
	mf_sockwatch_want(&a->watch, EV_READ);
	for (;;) {
		uint32_t want = a->in_len < 2 ? 2 : 2u + mf_load_be16(a->in);

		if (a->in_len >= 2 && a->in_len == want) {
			if (!take_answer(a, mf_span_of(a->in + 2, want - 2)))
				next_server(a, MF_E_BAD);
			return;
		}
		n = mf_sock_recv(a->fd, a->in + a->in_len, want - a->in_len);
		if (n == MF_E_AGAIN)
			return;
		if (n <= 0) {
			next_server(a, MF_E_IO);
			return;
		}
		a->in_len += (uint32_t)n;
	}
}

static void on_udp_io(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	on_udp(ctx);
}

static void on_tcp_io(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	on_tcp(ctx, what);
}

static void on_timeout(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_ask *a =
		(struct mf_dns_ask *)((char *)t - offsetof(struct mf_dns_ask, timeout));

	(void)ctx;
	next_server(a, a->failing ? MF_E_IO : MF_E_TIME);
}

/*
 * A question to the current server. Where no socket can be made, the failure is reported from the loop, never from
 * inside mf_dns_upstream_ask().
 */
static void begin_try(struct mf_dns_ask *a)
{
	const struct mf_endpoint *server = server_of(a);
	int len;

	evutil_secure_rng_get_bytes(&a->id, sizeof(a->id));
	len = mf_dns_write_query(&a->query, a->id, a->out + 2, sizeof(a->out) - 2);
	if (mf_bug(len < 0))
		len = 0;
	mf_store_be16(a->out, (uint16_t)len);
	a->out_len = (uint16_t)(len + 2);
	a->out_at = 0;
	a->stray = 0;
	a->failing = false;
	mf_timeout_arm(&a->timeout, &a->up->timeouts);
	a->fd = a->tcp ? mf_sock_dial(server) : mf_sock_open_udp(server);
	if (a->fd >= 0 && a->tcp)
		a->in = malloc(2 + MF_DNS_MESSAGE_MAX);
	if (a->fd >= 0 && !a->tcp && mf_sock_send(a->fd, a->out + 2, (size_t)len) < 0) {
		mf_sock_close(a->fd);
		a->fd = -1;
	}
	if (a->fd >= 0 && a->tcp && !a->in) {
		mf_sock_close(a->fd);
		a->fd = -1;
	}
	if (a->fd < 0) {
		a->fd = -1;
		a->failing = true;
		mf_timeout_arm(&a->timeout, &a->up->soon);
		return;
	}
	if (a->tcp) {
		(void)mf_sockwatch_start(&a->watch, a->up->proxy->base, a->fd, on_tcp_io, a);
		mf_sockwatch_want(&a->watch, EV_WRITE);
		return;
	}
	event_assign(&a->io, a->up->proxy->base, a->fd, EV_READ | EV_PERSIST, on_udp_io, a);
	event_add(&a->io, NULL);
}

int mf_dns_upstream_ask(struct mf_dns_upstream *up, const struct mf_dns_query *q, mf_dns_done_fn fn,
			void *ctx, struct mf_dns_ask **ret)
{
	struct mf_dns_ask *a;

	if (up->ask_cnt >= up->proxy->opt.dns_inflight_max)
		return MF_E_FULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return MF_E_NOMEM;
	a->up = up;
	a->fd = -1;
	a->query = *q;
	a->fn = fn;
	a->ctx = ctx;
	a->next = up->asks;
	if (up->asks)
		up->asks->prev = a;
	up->asks = a;
	up->ask_cnt++;
	up->proxy->stats.dns_inflight = up->ask_cnt;
	*ret = a;
	begin_try(a);
	return 0;
}

int mf_dns_upstream_new(struct mf_proxy *p, struct mf_dns_upstream **ret, struct mf_err *err)
{
	struct mf_dns_upstream *up = calloc(1, sizeof(*up));
	int r = 0;

	if (!up)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the resolver");
	up->proxy = p;
	mf_timeout_queue_init(&up->timeouts, p->timeouts, p->opt.dns_timeout_ms, on_timeout, up);
	mf_timeout_queue_init(&up->soon, p->timeouts, 1, on_timeout, up);
	up->server_cnt = (unsigned)p->opt.dns_server_cnt;
	memcpy(up->servers, p->opt.dns_servers, sizeof(up->servers));
	for (unsigned i = 0; i < up->server_cnt; i++)
		if (up->servers[i].port == 0)
			up->servers[i].port = 53;
	if (up->server_cnt == 0) {
		r = p->opt.resolv_conf
			    ? mf_hostconf_read(p->opt.resolv_conf, up->servers,
					       MF_PROXY_DNS_SERVERS_MAX, err)
			    : mf_hostconf_servers(up->servers, MF_PROXY_DNS_SERVERS_MAX, err);
		up->server_cnt = r > 0 ? (unsigned)r : 0;
	}
	if (r < 0) {
		free(up);
		return r;
	}
	*ret = up;
	return 0;
}

void mf_dns_upstream_free(struct mf_dns_upstream *up)
{
	if (!up)
		return;
	while (up->asks)
		mf_dns_upstream_cancel(up->asks);
	free(up);
}
