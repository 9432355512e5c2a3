/* SPDX-License-Identifier: Apache-2.0 */
/* dns_flight.c - one try of a question: its socket, its deadline, and whether an answer is its own */
#include <stdio.h>

#include "proxies/dns_upstream_int.h"

enum { STRAY_MAX = 64 /* wrong answers on one socket before the server is given up */ };

static void close_socket(struct mf_dns_flight *f)
{
	if (f->link)
		mf_dns_link_remove(f);
	if (f->fd >= 0) {
		event_del(&f->io);
		mf_sock_close(f->fd);
		f->fd = -1;
	}
}

void mf_dns_flight_end(struct mf_dns_flight *f)
{
	if (!f->peer)
		return;
	close_socket(f);
	mf_timeout_disarm(&f->timeout);
	f->peer = NULL;
}

static void fail(struct mf_dns_flight *f, int why)
{
	close_socket(f);
	mf_timeout_disarm(&f->timeout);
	mf_dns_flight_failed(f, why);
}

/* From inside a call of the question's owner nothing may fail: it does so from the loop. */
static void fail_soon(struct mf_dns_flight *f)
{
	f->failing = true;
	mf_timeout_arm(&f->timeout, &f->ask->up->soon);
}

void mf_dns_flight_timed_out(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_flight *f =
		(struct mf_dns_flight *)((char *)t - offsetof(struct mf_dns_flight, timeout));
	struct mf_dns_link *l = f->link;

	(void)ctx;
	if (f->failing) {
		fail(f, MF_E_IO);
		return;
	}
	snprintf(f->peer->error, sizeof(f->peer->error), "no answer in time");
	if (!l || mf_dns_link_heard(l, f->began_ms)) {
		fail(f, MF_E_TIME);
		return;
	}
	/* nothing was heard at all: the next try gets another connection, and whoever waits on this one as well */
	f->peer->link = NULL;
	fail(f, MF_E_TIME);
	mf_dns_link_break(l, MF_E_TIME, NULL);
}

/* Return: true when the connection is to be asked instead */
static bool note_cookie(struct mf_dns_flight *f, const struct mf_dns_opt *opt, unsigned rcode)
{
	if (opt->cookie.len > MF_DNS_COOKIE_HALF)
		f->peer->cookie = opt->cookie;
	return rcode == MF_DNS_BADCOOKIE;
}

static void ask_by_link(struct mf_dns_flight *f)
{
	close_socket(f);
	if (mf_dns_link_add(f->peer, f) < 0)
		fail_soon(f);
}

bool mf_dns_flight_take(struct mf_dns_flight *f, struct mf_span msg)
{
	struct mf_dns_peer *peer = f->peer;
	struct mf_dns_walk walk;
	struct mf_dns_opt opt;
	unsigned rcode;

	if (mf_dns_begin_walk(msg, &f->ask->query, f->id, &walk) < 0 ||
	    mf_dns_read_opt(msg, &opt) < 0)
		return false;
	/* a cookie that is not ours: somebody guesses */
	if (!f->link && opt.cookie.len &&
	    memcmp(opt.cookie.bytes, peer->cookie.bytes, MF_DNS_COOKIE_HALF) != 0)
		return false;
	rcode = opt.rcode_high * 16u + walk.rcode;
	if (!f->link && (note_cookie(f, &opt, rcode) || walk.truncated)) {
		ask_by_link(f);
		return true;
	}
	if (rcode > 15)
		walk.rcode = MF_DNS_SERVFAIL; /* it is about our hop, nothing for the program */
	mf_dns_flight_answered(f, msg, &walk);
	return true;
}

static void on_udp(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_flight *f = ctx;
	uint8_t *buf = f->ask->up->proxy->pool.buf;

	(void)what;
	for (;;) {
		ssize_t n = mf_sock_recv((int)fd, buf, MF_RELAY_CHUNK);

		if (n == MF_E_AGAIN)
			return;
		if (n < 0) { /* the port is closed: its host said so by ICMP */
			snprintf(f->peer->error, sizeof(f->peer->error), "nobody listens there");
			fail(f, MF_E_IO);
			return;
		}
		if (mf_dns_flight_take(f, mf_span_of(buf, (size_t)n)))
			return;
		if (++f->stray >= STRAY_MAX) {
			snprintf(f->peer->error, sizeof(f->peer->error), "only wrong answers");
			fail(f, MF_E_IO);
			return;
		}
	}
}

static int ask_by_udp(struct mf_dns_flight *f)
{
	struct mf_dns_upstream *up = f->ask->up;
	int len;

	evutil_secure_rng_get_bytes(&f->id, sizeof(f->id));
	len = mf_dns_write_query(&f->ask->query, f->id, &f->peer->cookie, up->out, sizeof(up->out));
	if (mf_bug(len < 0))
		return len;
	f->fd = mf_sock_open_udp(&f->peer->conf.at);
	if (f->fd >= 0 && mf_sock_send(f->fd, up->out, (size_t)len) >= 0) {
		event_assign(&f->io, up->proxy->base, f->fd, EV_READ | EV_PERSIST, on_udp, f);
		event_add(&f->io, NULL);
		return 0;
	}
	snprintf(f->peer->error, sizeof(f->peer->error), "%s",
		 mf_sock_error_text(mf_sock_last_error()));
	if (f->fd >= 0)
		mf_sock_close(f->fd);
	f->fd = -1;
	return MF_E_IO;
}

void mf_dns_flight_begin(struct mf_dns_flight *f, struct mf_dns_peer *peer)
{
	struct mf_dns_ask *ask = f->ask;
	int r;

	*f = (struct mf_dns_flight){ .ask = ask, .peer = peer, .fd = -1, .began_ms = mf_now_ms() };
	mf_timeout_arm(&f->timeout, &ask->up->timeouts);
	r = peer->conf.scheme == MF_DNS_OVER_UDP ? ask_by_udp(f) : mf_dns_link_add(peer, f);
	if (r < 0)
		fail_soon(f);
}
