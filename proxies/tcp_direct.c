/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_direct.c - connections whose owner moves the bytes himself (mf_proxy_watcher.direct)
 *
 * A pair of sockets between a proxy and its own process costs each byte two more copies and two more system calls. Once the words that are
 * judged have passed, and no HTTP is watched, nobody looks at the bytes: then the owner gets the server's socket. The relay
 * stands still meanwhile, both of its sockets open. It goes on, without a byte lost or turned around, when its owner has no use for the
 * server any more, or when the client begins what is judged after all: a TLS hello behind words of both sides (STARTTLS).
 *
 * Bytes must not overtake each other, so a relay is lent only while it is empty. One that is poured into would never be: there the owner
 * is asked, once, to write nothing for a moment, and then the server is not read, until what is under way has arrived; or for 100 ms.
 */
#include "proxies/tcp_int.h"

enum {
	TLS_HANDSHAKE = 22,
	HOLD_MS = 100,
	BULK_MIN =
		262144, /* bytes that went through the relay before it is emptied for its owner's sake */
};

/* Whether nothing will look at the bytes that come. */
static bool is_unseen(const struct mf_tcp_conn *c)
{
	const struct mf_relay *r = &c->relay;

	return !(c->http || r->filter || r->refused || r->dir[0].eof || r->dir[1].eof ||
		 c->ending || c->tcp->proxy->opt.router);
}

/* Whether no byte of side @i is under way. */
static bool is_empty(const struct mf_tcp_conn *c, unsigned i)
{
	const struct mf_relay *r = &c->relay;
	uint8_t byte;

	return !r->dir[i].stash && !r->dir[i].pipe &&
	       (i == 1 || mf_sock_peek(r->fd[0], &byte, 1) == MF_E_AGAIN);
}

static void begin_hold(struct mf_tcp_conn *c)
{
	c->emptied = c->holding = true;
	mf_timeout_arm(&c->hold, &c->tcp->hold);
	c->watcher.hold(c->watcher.ctx, true);
}

static void end_hold(struct mf_tcp_conn *c)
{
	if (!c->holding)
		return;
	c->holding = c->relay.hold = false;
	mf_timeout_disarm(&c->hold);
	c->watcher.hold(c->watcher.ctx, false);
	mf_tcp_conn_pump_later(c);
}

/* What is under way does not arrive: one of the two does not read, perhaps until it is read itself. */
static void on_held_long(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_conn *c =
		(struct mf_tcp_conn *)((char *)t - offsetof(struct mf_tcp_conn, hold));

	(void)ctx;
	end_hold(c);
}

void mf_tcp_direct_init(struct mf_tcp_proxy *tcp)
{
	mf_timeout_queue_init(&tcp->hold, tcp->proxy->timeouts, HOLD_MS, on_held_long, tcp);
}

void mf_tcp_conn_offer_direct(struct mf_tcp_conn *c)
{
	struct mf_relay *r = &c->relay;
	bool to_server;

	if (c->direct || c->state != MF_TCP_RELAY)
		return;
	if (!is_unseen(c)) {
		end_hold(c);
		return;
	}
	to_server = !is_empty(c, 0);
	if (to_server || !is_empty(c, 1)) {
		/*
		 * One that is poured into never is empty by itself. First its owner writes no more; the server is read until all that was
		 * written has gone, since it may not read before it is read.
		 */
		if (!c->emptied && r->dir[0].bytes + r->dir[1].bytes >= BULK_MIN)
			begin_hold(c);
		r->hold = c->holding && !to_server;
		return;
	}
	c->holding = r->hold = false;
	mf_timeout_disarm(&c->hold);
	/* one socket has one place in the loop's table */
	mf_sockwatch_stop(&c->watch[1]);
	c->direct = c->watcher.direct(c->watcher.ctx, c, c->relay.fd[1]);
	if (c->direct)
		return;
	if (mf_sockwatch_start(&c->watch[1], c->tcp->proxy->base, c->relay.fd[1],
			       mf_tcp_conn_on_side, c) < 0)
		mf_tcp_conn_close(c, true, "the event loop is full");
}

bool mf_proxy_direct_may(struct mf_tcp_conn *c, struct mf_span to_server)
{
	bool may = !(c->relay.turned && c->relay.on_hello && to_server.len &&
		     to_server.ptr[0] == TLS_HANDSHAKE);

	if (may && to_server.len)
		c->relay.turned = false;
	return may;
}

void mf_proxy_direct_moved(struct mf_tcp_conn *c, unsigned from, size_t len)
{
	c->relay.dir[from].bytes += len;
	if (from == 1)
		c->relay.turned = true;
}

void mf_proxy_direct_back(struct mf_tcp_conn *c, bool look)
{
	struct mf_relay *r = &c->relay;

	c->direct = false;
	for (unsigned i = 0; i < 2; i++)
		r->readable[i] = r->writable[i] = true;
	if ((look && r->on_hello && r->on_hello(r) < 0) ||
	    mf_sockwatch_start(&c->watch[1], c->tcp->proxy->base, r->fd[1], mf_tcp_conn_on_side,
			       c) < 0)
		mf_tcp_conn_close(c, true, "out of memory");
	else
		mf_tcp_conn_pump_later(c);
}

void mf_proxy_direct_broken(struct mf_tcp_conn *c)
{
	mf_tcp_conn_close(c, true, NULL);
}
