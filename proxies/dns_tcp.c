/* SPDX-License-Identifier: Apache-2.0 */
/* dns_tcp.c - the session's questions over TCP (RFC 7766): pipelined, answered as answers come */
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/dns_proxy_int.h"
#include "proxies/proxy_int.h"
#include "proxies/sockwatch.h"

enum {
	CONNS_MAX = 256,
	IDLE_MS = 20000,
	PENDING_MAX = 16, /* questions of one connection on their way; no more is read meanwhile */
	OUT_MAX = 262144, /* answers that the client does not take */
};

struct mf_dns_tcp {
	struct mf_dns_proxy *dns;
	struct mf_dns_tcp *prev, *next;
	struct mf_timeout timeout;
	struct mf_sockwatch watch;
	int fd;
	bool eof, failed,
		busy; /* busy: inside serve_messages(), which ends the connection itself */
	unsigned pending;
	struct mf_session_flow flow;
	uint8_t *in, *out;
	size_t in_len, out_len, out_room;
};

static void close_conn(struct mf_dns_tcp *c)
{
	struct mf_dns_proxy *dns = c->dns;

	mf_dns_proxy_cancel(dns, c);
	mf_timeout_disarm(&c->timeout);
	mf_sockwatch_stop(&c->watch);
	mf_sock_close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		dns->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	dns->conn_cnt--;
	free(c->in);
	free(c->out);
	free(c);
}

static void flush(struct mf_dns_tcp *c)
{
	ssize_t n;

	if (c->out_len == 0)
		return;
	n = mf_sock_send(c->fd, c->out, c->out_len);
	if (n == MF_E_AGAIN)
		return;
	if (n < 0) {
		c->failed = true;
		return;
	}
	memmove(c->out, c->out + n, c->out_len - (size_t)n);
	c->out_len -= (size_t)n;
}

static void settle(struct mf_dns_tcp *c);

static void on_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct mf_dns_tcp *c = ctx;
	size_t need = c->out_len + 2 + len;

	c->pending--;
	if (len == 0 || c->failed || need > OUT_MAX) {
		c->failed = true; /* a client that sends no questions, or reads no answers */
	} else {
		if (need > c->out_room) {
			uint8_t *grown = realloc(c->out, need);

			if (!grown) {
				c->failed = true;
				goto out;
			}
			c->out = grown;
			c->out_room = need;
		}
		mf_store_be16(c->out + c->out_len, (uint16_t)len);
		memcpy(c->out + c->out_len + 2, msg, len);
		c->out_len = need;
		flush(c);
	}
out:
	if (!c->busy)
		settle(c);
}

/* Serve what has come whole. */
static void serve_messages(struct mf_dns_tcp *c)
{
	size_t at = 0;

	while (!c->failed && c->pending < PENDING_MAX && c->in_len - at >= 2) {
		size_t len = mf_load_be16(c->in + at);

		if (c->in_len - at - 2 < len)
			break;
		c->pending++;
		mf_dns_proxy_ask(c->dns, &c->flow, mf_span_of(c->in + at + 2, len), on_reply, c);
		at += 2 + len;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

static bool reads_on(const struct mf_dns_tcp *c)
{
	return !c->eof && c->pending < PENDING_MAX && c->in_len < 2 + MF_DNS_MESSAGE_MAX;
}

/* Read and serve as far as it goes, then close what has ended. */
static void settle(struct mf_dns_tcp *c)
{
	ssize_t n;

	c->busy = true;
	for (;;) {
		serve_messages(c);
		if (c->failed || !reads_on(c))
			break;
		n = mf_sock_recv(c->fd, c->in + c->in_len, 2 + MF_DNS_MESSAGE_MAX - c->in_len);
		if (n == MF_E_AGAIN)
			break;
		if (n < 0)
			c->failed = true;
		else if (n == 0)
			c->eof = true;
		else
			c->in_len += (size_t)n;
	}
	flush(c);
	c->busy = false;
	if (c->failed || (c->eof && c->pending == 0 && c->out_len == 0)) {
		close_conn(c);
		return;
	}
	mf_sockwatch_want(&c->watch,
			  (short)((reads_on(c) ? EV_READ : 0) | (c->out_len ? EV_WRITE : 0)));
	mf_timeout_arm(&c->timeout, &c->dns->idle);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	settle(ctx);
}

static void on_idle(struct mf_timeout *t, void *ctx)
{
	(void)ctx;
	close_conn((struct mf_dns_tcp *)((char *)t - offsetof(struct mf_dns_tcp, timeout)));
}

void mf_dns_tcp_serve(struct mf_dns_proxy *dns, int fd, const struct mf_session_flow *flow)
{
	struct mf_dns_tcp *c = NULL;

	if (dns->conn_cnt < CONNS_MAX)
		c = calloc(1, sizeof(*c));
	if (c)
		c->in = malloc(2 + MF_DNS_MESSAGE_MAX);
	if (!c || !c->in) {
		free(c);
		mf_sock_reset(fd);
		return;
	}
	c->dns = dns;
	c->fd = fd;
	c->flow = *flow;
	c->next = dns->conns;
	if (c->next)
		c->next->prev = c;
	dns->conns = c;
	dns->conn_cnt++;
	if (mf_sockwatch_start(&c->watch, dns->proxy->base, fd, on_io, c) < 0)
		c->failed = true;
	settle(c);
}

void mf_dns_tcp_init(struct mf_dns_proxy *dns)
{
	mf_timeout_queue_init(&dns->idle, dns->proxy->timeouts, IDLE_MS, on_idle, dns);
}

void mf_dns_tcp_done(struct mf_dns_proxy *dns)
{
	while (dns->conns)
		close_conn(dns->conns);
}
