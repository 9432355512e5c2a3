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
 * is asked to write nothing for a moment, and the server is not read, until what is under way has arrived.
 */
#include "proxies/tcp_int.h"

enum {
	TLS_HANDSHAKE = 22,
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

/* Whether no byte is in the relay. */
static bool is_empty(const struct mf_tcp_conn *c)
{
	const struct mf_relay *r = &c->relay;
	uint8_t byte;

	for (unsigned i = 0; i < 2; i++)
		if (r->dir[i].stash || r->dir[i].pipe)
			return false;
	return mf_sock_peek(r->fd[0], &byte, 1) == MF_E_AGAIN;
}

static void hold(struct mf_tcp_conn *c, bool on)
{
	if (c->relay.hold == on)
		return;
	c->relay.hold = on;
	c->watcher.hold(c->watcher.ctx, on);
	if (!on)
		mf_tcp_conn_pump_later(c);
}

void mf_tcp_conn_offer_direct(struct mf_tcp_conn *c)
{
	const struct mf_relay *r = &c->relay;

	if (c->direct || c->state != MF_TCP_RELAY)
		return;
	if (!is_unseen(c)) {
		hold(c, false);
		return;
	}
	if (!is_empty(c)) {
		/* one that is poured into never is by itself */
		if (!c->emptied && r->dir[0].bytes + r->dir[1].bytes >= BULK_MIN) {
			c->emptied = true;
			hold(c, true);
		}
		return;
	}
	/* one socket has one place in the loop's table */
	mf_sockwatch_stop(&c->watch[1]);
	c->relay.hold = false;
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
