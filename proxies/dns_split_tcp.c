/* SPDX-License-Identifier: Apache-2.0 */
/* dns_split_tcp.c - connections of dns_split.h: each has one to its resolver, made with the first question that is not ours */
#include <event2/buffer.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "proxies/dns_split_int.h"
#include "proxies/sock.h"
#include "proxies/sockwatch.h"

enum {
	ACCEPT_BATCH = 32,
	READ_ROOM = 16384,
	HELD_MAX = 2 + MF_DNS_MESSAGE_MAX, /* what a side has not taken: no more is read for it */
};

struct side {
	int fd; /* -1: none */
	struct mf_sockwatch watch;
	struct evbuffer *in, *out;
	bool eof;
};

struct mf_dns_split_conn {
	struct mf_dns_split_door *door;
	struct mf_dns_split_conn *prev, *next;
	struct mf_timeout timeout;
	struct mf_endpoint local; /* where the client came to */
	struct side client, server;
	unsigned asked; /* of the resolver, and not answered */
	unsigned server_at;
	bool failed, connected;
};

static void close_side(struct side *s, bool reset)
{
	if (s->fd < 0)
		return;
	mf_sockwatch_stop(&s->watch);
	if (reset)
		mf_sock_reset(s->fd);
	else
		mf_sock_close(s->fd);
	s->fd = -1;
}

static void close_conn(struct mf_dns_split_conn *c)
{
	struct mf_dns_split *s = c->door->split;
	struct evbuffer *bufs[] = { c->client.in, c->client.out, c->server.in, c->server.out };

	close_side(&c->client, c->failed);
	close_side(&c->server, false);
	mf_timeout_disarm(&c->timeout);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->conn_cnt--;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(bufs); i++)
		if (bufs[i])
			evbuffer_free(bufs[i]);
	free(c);
}

/* The next whole message of @in, length bytes and all; NULL: none yet */
static const uint8_t *next_message(struct evbuffer *in, size_t *ret_len)
{
	uint8_t head[2];

	if (evbuffer_copyout(in, head, 2) < 2)
		return NULL;
	*ret_len = 2 + (size_t)mf_load_be16(head);
	return evbuffer_get_length(in) < *ret_len ? NULL
						  : evbuffer_pullup(in, (ev_ssize_t)*ret_len);
}

static void on_io(evutil_socket_t fd, short what, void *ctx);

static void dial(struct mf_dns_split_conn *c)
{
	struct mf_dns_split_door *d = c->door;

	c->connected = false;
	c->server.eof = false;
	c->server_at = d->at;
	c->server.fd = d->server_cnt ? mf_sock_dial(&d->servers[d->at]) : -1;
	if (c->server.fd < 0 ||
	    mf_sockwatch_start(&c->server.watch, d->split->base, c->server.fd, on_io, c) < 0) {
		if (c->server.fd >= 0)
			mf_sock_close(c->server.fd);
		c->server.fd = -1;
		c->failed = true;
	}
}

static void serve_questions(struct mf_dns_split_conn *c)
{
	struct mf_dns_split *s = c->door->split;
	const uint8_t *msg;
	size_t len, own;

	while (!c->failed && evbuffer_get_length(c->client.out) < HELD_MAX &&
	       evbuffer_get_length(c->server.out) < HELD_MAX &&
	       (msg = next_message(c->client.in, &len))) {
		own = mf_dns_split_answer(s, mf_span_of(msg + 2, len - 2), &c->local.addr, true);
		if (own) {
			uint8_t head[2];

			mf_store_be16(head, (uint16_t)own);
			c->failed |= evbuffer_add(c->client.out, head, 2) < 0 ||
				     evbuffer_add(c->client.out, s->answer, own) < 0;
		} else {
			s->stats.passed++;
			c->asked++;
			if (c->server.fd < 0)
				dial(c);
			c->failed |= evbuffer_add(c->server.out, msg, len) < 0;
		}
		evbuffer_drain(c->client.in, len);
	}
}

static void pass_answers(struct mf_dns_split_conn *c)
{
	size_t len;

	while (next_message(c->server.in, &len)) {
		if (c->asked)
			c->asked--;
		c->failed |= evbuffer_remove_buffer(c->server.in, c->client.out, len) < 0;
	}
}

/* Return: whether anything moved */
static bool flush(struct mf_dns_split_conn *c, struct side *side)
{
	size_t len = evbuffer_get_length(side->out);
	ssize_t n;

	if (!len || side->fd < 0)
		return false;
	n = mf_sock_send(side->fd, evbuffer_pullup(side->out, -1), len);
	if (n == MF_E_AGAIN)
		return false;
	if (n < 0) {
		c->failed = true;
		return false;
	}
	evbuffer_drain(side->out, (size_t)n);
	return n > 0;
}

/* Return: whether anything came */
static bool fill(struct mf_dns_split_conn *c, struct side *side)
{
	uint8_t buf[READ_ROOM];
	ssize_t n;

	if (side->fd < 0 || side->eof || evbuffer_get_length(side->in) >= HELD_MAX)
		return false;
	n = mf_sock_recv(side->fd, buf, sizeof(buf));
	if (n == MF_E_AGAIN)
		return false;
	if (n < 0)
		c->failed = true;
	else if (n == 0)
		side->eof = true;
	else
		c->failed |= evbuffer_add(side->in, buf, (size_t)n) < 0;
	return n > 0;
}

static bool check_dial(struct mf_dns_split_conn *c)
{
	if (c->server.fd < 0 || c->connected)
		return c->connected;
	if (mf_sock_error(c->server.fd)) {
		mf_dns_split_avoid(c->door, c->server_at);
		c->failed = true;
		return false;
	}
	return true;
}

/* The resolver has ended: in order where it owed nothing, and then the next question finds another connection. */
static void lose_server(struct mf_dns_split_conn *c)
{
	c->failed |= c->asked != 0;
	evbuffer_drain(c->server.in, evbuffer_get_length(c->server.in));
	close_side(&c->server, false);
}

static short wanted(const struct mf_dns_split_conn *c, const struct side *side)
{
	bool writes = evbuffer_get_length(side->out) || (side == &c->server && !c->connected);

	return (short)((side->eof ? 0 : EV_READ) | (writes ? EV_WRITE : 0));
}

static void settle(struct mf_dns_split_conn *c)
{
	struct mf_dns_split *s = c->door->split;
	bool moved = true;

	while (moved && !c->failed) {
		moved = flush(c, &c->client);
		moved |= c->connected && flush(c, &c->server);
		if (evbuffer_get_length(c->client.out) < HELD_MAX)
			moved |= fill(c, &c->client);
		if (c->connected && evbuffer_get_length(c->client.out) < HELD_MAX)
			moved |= fill(c, &c->server);
		serve_questions(c);
		pass_answers(c);
		if (c->server.eof && c->server.fd >= 0)
			lose_server(c);
	}
	if (c->failed) {
		s->stats.failed += c->asked;
		close_conn(c);
		return;
	}
	if (c->client.eof && !c->asked && !evbuffer_get_length(c->client.out)) {
		close_conn(c);
		return;
	}
	mf_sockwatch_want(&c->client.watch, wanted(c, &c->client));
	if (c->server.fd >= 0)
		mf_sockwatch_want(&c->server.watch, wanted(c, &c->server));
	mf_timeout_arm(&c->timeout, &s->conn_ends);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_split_conn *c = ctx;

	if ((int)fd == c->server.fd && !c->connected && what & (EV_WRITE | EV_READ))
		c->connected = check_dial(c);
	settle(c);
}

void mf_dns_split_conn_idle(struct mf_timeout *t, void *unused)
{
	struct mf_dns_split_conn *c =
		(struct mf_dns_split_conn *)((char *)t -
					     offsetof(struct mf_dns_split_conn, timeout));

	(void)unused;
	if (c->server.fd >= 0 && (!c->connected || c->asked))
		mf_dns_split_avoid(c->door, c->server_at);
	c->door->split->stats.failed += c->asked;
	c->failed = c->asked != 0;
	close_conn(c);
}

static void serve(struct mf_dns_split_door *d, int fd)
{
	struct mf_dns_split *s = d->split;
	struct mf_dns_split_conn *c = NULL;

	if (s->conn_cnt < MF_DNS_SPLIT_CONNS_MAX)
		c = calloc(1, sizeof(*c));
	if (!c) {
		s->stats.failed++;
		mf_sock_reset(fd);
		return;
	}
	c->door = d;
	c->local = d->local;
	(void)mf_sock_local(fd, &c->local);
	c->client = (struct side){ .fd = fd, .in = evbuffer_new(), .out = evbuffer_new() };
	c->server = (struct side){ .fd = -1, .in = evbuffer_new(), .out = evbuffer_new() };
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->conn_cnt++;
	if (!c->client.in || !c->client.out || !c->server.in || !c->server.out ||
	    mf_sockwatch_start(&c->client.watch, s->base, fd, on_io, c) < 0)
		c->failed = true;
	settle(c);
}

void mf_dns_split_accept(struct mf_dns_split_door *d)
{
	struct mf_dns_split *s = d->split;

	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct mf_endpoint client;
		int fd = mf_sock_accept(d->tcp, &client);

		if (fd == MF_E_FULL) {
			for (unsigned k = 0; k < s->door_cnt; k++)
				event_del(&s->doors[k]->tcp_ev);
			mf_timeout_arm(&s->pause, &s->backoff);
		}
		if (fd < 0)
			return;
		if (mf_dns_split_may_ask(s, &client.addr))
			serve(d, fd);
		else
			mf_sock_reset(fd);
	}
}

void mf_dns_split_close_conns(struct mf_dns_split *s)
{
	while (s->conns)
		close_conn(s->conns);
}
