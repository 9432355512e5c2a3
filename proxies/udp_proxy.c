/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_proxy.c - the session's datagrams: DNS to the DNS proxy, the rest judged by connect and relayed flow by flow
 *
 * How it works
 *
 * A flow is (client, where it meant to go). Its first datagram asks connect with proto "udp". Allowed: a socket towards
 * the server, a socket on the session's side that speaks with the server's address (mf_session_ops.open_udp), and
 * datagrams go between them until neither side has said anything for udp_idle_ms. Denied: the client gets an ICMP error,
 * for every datagram anew, and nothing is kept. Once a flow has its own socket on the session's side, the kernel delivers
 * its datagrams there; both ways in are served.
 *
 * QUIC (UDP 443): the server's name is encrypted in a way that this version does not read. Where connect under the names
 * of the address disagrees or redirects, QUIC is refused, and clients fall back to TCP, whose hello is read.
 *
 * The table is bounded: the flow that has been quiet longest goes when a new one needs its place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/dns_proxy.h"
#include "proxies/proxy_int.h"
#include "proxies/refusal.h"

enum {
	BATCH = 16,
	ROOM = 65536,
	BATCHES_MAX = 8,
	DRAIN_MAX = 64, /* datagrams of one socket in one turn */
	DNS_IDLE_MS = 10000,
};

struct flow {
	struct mf_udp_proxy *udp;
	struct flow *chain;	    /* in its bucket */
	struct flow *newer, *older; /* by last use */
	struct mf_timeout timeout;
	struct mf_session_flow ends;
	struct mf_endpoint peer,
		local; /* the client, and where it arrived, as the listener's socket sees them */
	struct event inner_ev, outer_ev;
	int inner, outer; /* sockets towards client and server; -1: none */
	bool dns;
	uint64_t last_ms;
	uint64_t sent, received;
	char *host;
};

struct mf_udp_proxy {
	struct mf_proxy *proxy;
	struct event ev;
	struct mf_timeout_queue idle, dns_idle;
	struct flow **buckets;
	size_t bucket_cnt; /* a power of two */
	uint64_t seed;
	struct flow *newest, *oldest;
	uint8_t *buf; /* BATCH datagrams */
};

/* --- the table ------------------------------------------------------------------------------------------------------ */

static struct flow **bucket_of(struct mf_udp_proxy *udp, const struct mf_session_flow *f)
{
	uint64_t h = mf_hash_bytes(&f->client, sizeof(f->client), udp->seed);

	h = mf_hash_bytes(&f->server, sizeof(f->server), h);
	return &udp->buckets[h & (udp->bucket_cnt - 1)];
}

static bool same_ends(const struct mf_session_flow *a, const struct mf_session_flow *b)
{
	return memcmp(&a->client, &b->client, sizeof(a->client)) == 0 &&
	       memcmp(&a->server, &b->server, sizeof(a->server)) == 0;
}

static struct flow *find_flow(struct mf_udp_proxy *udp, const struct mf_session_flow *ends)
{
	struct flow *f = *bucket_of(udp, ends);

	while (f && !same_ends(&f->ends, ends))
		f = f->chain;
	return f;
}

static void unlink_age(struct flow *f)
{
	struct mf_udp_proxy *udp = f->udp;

	if (f->newer)
		f->newer->older = f->older;
	else
		udp->newest = f->older;
	if (f->older)
		f->older->newer = f->newer;
	else
		udp->oldest = f->newer;
	f->newer = f->older = NULL;
}

static void link_newest(struct flow *f)
{
	struct mf_udp_proxy *udp = f->udp;

	f->older = udp->newest;
	if (f->older)
		f->older->newer = f;
	else
		udp->oldest = f;
	udp->newest = f;
}

static void touch(struct flow *f)
{
	f->last_ms = mf_now_ms();
	if (f->udp->newest == f)
		return;
	unlink_age(f);
	link_newest(f);
}

static void send_close_event(struct flow *f, const char *reason)
{
	struct mf_proxy *p = f->udp->proxy;
	char text[MF_ADDR_TEXT_MAX];

	if (f->dns || !p->session->events)
		return;
	mf_ask_begin_event(p, &p->event, MF_EV_NET_CLOSE, &f->ends, f->host, "connect", NULL, NULL);
	mf_event_add_int(&p->event, MF_EVF_BYTES_SENT, (int64_t)f->sent);
	mf_event_add_int(&p->event, MF_EVF_BYTES_RECEIVED, (int64_t)f->received);
	mf_ask_add(&p->event, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&f->ends.server.addr, text, sizeof(text)));
	mf_ask_add(&p->event, MF_EVF_REASON, reason);
	mf_ask_send(p, &p->event);
}

static void close_flow(struct flow *f, const char *reason)
{
	struct mf_udp_proxy *udp = f->udp;
	struct flow **at = bucket_of(udp, &f->ends);

	if (f->dns)
		mf_dns_proxy_cancel(udp->proxy->dns, f);
	send_close_event(f, reason);
	while (*at != f)
		at = &(*at)->chain;
	*at = f->chain;
	unlink_age(f);
	mf_timeout_disarm(&f->timeout);
	if (f->inner >= 0) {
		event_del(&f->inner_ev);
		mf_sock_close(f->inner);
	}
	if (f->outer >= 0) {
		event_del(&f->outer_ev);
		mf_sock_close(f->outer);
	}
	udp->proxy->stats.udp_open--;
	udp->proxy->stats.bytes_to_server += f->sent;
	udp->proxy->stats.bytes_to_client += f->received;
	free(f->host);
	free(f);
}

static void on_idle(struct mf_timeout *t, void *ctx)
{
	struct flow *f = (struct flow *)((char *)t - offsetof(struct flow, timeout));

	(void)ctx;
	if (mf_now_ms() < f->last_ms + t->queue->after_ms)
		mf_timeout_arm(t, t->queue);
	else
		close_flow(f, "idle");
}

static struct flow *new_flow(struct mf_udp_proxy *udp, const struct mf_session_flow *ends, bool dns)
{
	struct mf_proxy *p = udp->proxy;
	struct flow *f, **bucket;

	while (p->stats.udp_open >= p->opt.udp_flows_max && udp->oldest) {
		p->stats.udp_evicted++;
		close_flow(udp->oldest, "idle");
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->udp = udp;
	f->ends = *ends;
	f->inner = f->outer = -1;
	f->dns = dns;
	f->last_ms = mf_now_ms();
	bucket = bucket_of(udp, ends);
	f->chain = *bucket;
	*bucket = f;
	link_newest(f);
	mf_timeout_arm(&f->timeout, dns ? &udp->dns_idle : &udp->idle);
	p->stats.udp_open++;
	p->stats.udp_flows++;
	return f;
}

/* --- towards the client --------------------------------------------------------------------------------------------- */

static void send_inner(struct flow *f, const void *buf, size_t len)
{
	/* A datagram that does not fit now is lost, as datagrams are. */
	if (f->inner >= 0)
		(void)mf_sock_send(f->inner, buf, len);
	else
		(void)mf_sock_send_to(f->udp->proxy->opt.udp_fd, &f->local, &f->peer, buf, len);
}

static void serve(struct flow *f, const uint8_t *buf, size_t len);

static void on_inner(evutil_socket_t fd, short what, void *ctx)
{
	struct flow *f = ctx;
	uint8_t *buf = f->udp->buf;

	(void)what;
	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		ssize_t n = mf_sock_recv((int)fd, buf, ROOM);

		/* an ICMP error of the client's (its port is closed) is no reason to end: it may open again */
		if (n < 0)
			return;
		serve(f, buf, (size_t)n);
	}
}

static void open_inner(struct flow *f)
{
	struct mf_proxy *p = f->udp->proxy;
	struct mf_session_ops *ops = &p->session->ops;

	if (!ops->open_udp)
		return;
	f->inner = ops->open_udp(ops->ctx, &f->ends);
	if (f->inner < 0) {
		f->inner = -1;
		return;
	}
	event_assign(&f->inner_ev, p->base, f->inner, EV_READ | EV_PERSIST, on_inner, f);
	event_add(&f->inner_ev, NULL);
}

/* --- towards the server --------------------------------------------------------------------------------------------- */

static void on_outer(evutil_socket_t fd, short what, void *ctx)
{
	struct flow *f = ctx;
	uint8_t *buf = f->udp->proxy->pool.buf;

	(void)what;
	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		ssize_t n = mf_sock_recv((int)fd, buf, MF_RELAY_CHUNK);

		if (n == MF_E_AGAIN)
			return;
		if (n < 0) {
			/* the server's host says that nobody listens: let the client hear the same */
			struct mf_session_ops *ops = &f->udp->proxy->session->ops;

			if (ops->refuse_udp)
				(void)ops->refuse_udp(ops->ctx, &f->ends, (const uint8_t *)"", 0);
			return;
		}
		f->received += (uint64_t)n;
		touch(f);
		send_inner(f, buf, (size_t)n);
	}
}

static void on_dns_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct flow *f = ctx;

	if (len)
		send_inner(f, msg, len);
}

/* One datagram of the client. */
static void serve(struct flow *f, const uint8_t *buf, size_t len)
{
	touch(f);
	if (f->dns) {
		mf_dns_proxy_ask(f->udp->proxy->dns, &f->ends, mf_span_of(buf, len), on_dns_reply,
				 f);
		return;
	}
	f->sent += len;
	(void)mf_sock_send(f->outer, buf, len);
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

static void refuse(struct mf_udp_proxy *udp, const struct mf_session_flow *ends, const uint8_t *buf,
		   size_t len)
{
	struct mf_session_ops *ops = &udp->proxy->session->ops;

	if (ops->refuse_udp)
		(void)ops->refuse_udp(ops->ctx, ends, buf, len);
}

/* Judge a new flow, unless it was judged before it came. @to: where to. */
static bool judge(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
		  struct mf_endpoint *to, char **ret_host)
{
	struct mf_proxy *p = udp->proxy;
	struct mf_ask_result res;
	struct mf_kept *kept = mf_judged_take(p, ends, &res);
	struct mf_decision d;
	bool denied, redirect;

	if (kept)
		d = kept->d;
	else
		mf_ask_udp(&p->asker, ends, &d, &res);
	denied = mf_verdict_rank(&d) == 4;
	redirect = d.verdict == MF_REDIRECT;
	*to = ends->server;
	if (redirect) {
		memset(to, 0, sizeof(*to));
		to->port = d.redirect_port;
		(void)mf_addr_parse(d.redirect_host, strlen(d.redirect_host), &to->addr);
	}
	p->stats.udp_denied += denied;
	p->stats.udp_redirected += !denied && redirect;
	p->stats.udp_allowed += !denied && !redirect;
	mf_ask_announce_connect(p, ends, res.host,
				denied	   ? "blocked"
				: redirect ? "redirected"
					   : "allowed",
				&d);
	if (!denied)
		*ret_host = res.host[0] ? strdup(res.host) : NULL;
	free(kept);
	return !denied;
}

static struct flow *begin_flow(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
			       const uint8_t *buf, size_t len)
{
	struct mf_proxy *p = udp->proxy;
	struct mf_endpoint to;
	char *host = NULL;
	struct flow *f;
	int fd = -1;

	if (ends->server.port != 53) {
		if (!judge(udp, ends, &to, &host)) {
			refuse(udp, ends, buf, len);
			return NULL;
		}
		fd = mf_sock_open_udp(&to);
		if (fd < 0) {
			refuse(udp, ends, buf, len);
			free(host);
			return NULL;
		}
	}
	f = new_flow(udp, ends, ends->server.port == 53);
	if (!f) {
		if (fd >= 0)
			mf_sock_close(fd);
		free(host);
		return NULL;
	}
	f->host = host;
	f->outer = fd;
	if (fd >= 0) {
		event_assign(&f->outer_ev, p->base, fd, EV_READ | EV_PERSIST, on_outer, f);
		event_add(&f->outer_ev, NULL);
	}
	open_inner(f);
	return f;
}

static void on_datagrams(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_udp_proxy *udp = ctx;
	struct mf_datagram d[BATCH];

	(void)what;
	for (unsigned round = 0; round < BATCHES_MAX; round++) {
		size_t cnt;

		for (unsigned i = 0; i < BATCH; i++)
			d[i] = (struct mf_datagram){ .buf = udp->buf + (size_t)i * ROOM,
						     .room = ROOM };
		cnt = mf_sock_recv_from((int)fd, d, BATCH);
		for (size_t i = 0; i < cnt; i++) {
			struct mf_session_flow ends;
			struct flow *f;

			/* without both ends there is nobody to answer to, or nothing to judge */
			if (d[i].cut || udp->proxy->cut ||
			    !mf_proxy_find_flow(udp->proxy, MF_UDP, &d[i].client, &d[i].server,
						&ends))
				continue;
			f = find_flow(udp, &ends);
			if (!f)
				f = begin_flow(udp, &ends, d[i].buf, d[i].len);
			if (!f)
				continue;
			/* the way back may have changed with a new first packet */
			f->peer = d[i].client;
			f->local = d[i].server;
			serve(f, d[i].buf, d[i].len);
		}
		if (cnt < BATCH)
			return;
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

int mf_udp_proxy_new(struct mf_proxy *p, struct mf_udp_proxy **ret, struct mf_err *err)
{
	struct mf_udp_proxy *udp = calloc(1, sizeof(*udp));

	if (udp) {
		for (udp->bucket_cnt = 64; udp->bucket_cnt < p->opt.udp_flows_max;)
			udp->bucket_cnt *= 2;
		udp->buckets = calloc(udp->bucket_cnt, sizeof(struct flow *));
		udp->buf = malloc((size_t)BATCH * ROOM);
	}
	if (!udp || !udp->buckets || !udp->buf) {
		if (udp) {
			free(udp->buckets);
			free(udp->buf);
		}
		free(udp);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the UDP proxy");
	}
	udp->proxy = p;
	udp->seed = mf_hash_seed();
	mf_timeout_queue_init(&udp->idle, p->timeouts, p->opt.udp_idle_ms, on_idle, udp);
	mf_timeout_queue_init(&udp->dns_idle, p->timeouts, DNS_IDLE_MS, on_idle, udp);
	*ret = udp;
	if (p->opt.udp_fd < 0)
		return 0;
	mf_sock_prepare_udp(p->opt.udp_fd);
	event_assign(&udp->ev, p->base, p->opt.udp_fd, EV_READ | EV_PERSIST, on_datagrams, udp);
	if (event_add(&udp->ev, NULL) < 0)
		return mf_err_set(err, MF_E_IO, "cannot watch the UDP listener");
	return 0;
}

void mf_udp_proxy_cut(struct mf_udp_proxy *udp)
{
	while (udp->oldest)
		close_flow(udp->oldest, udp->proxy->cut ? "policy" : "session_end");
}

void mf_udp_proxy_free(struct mf_udp_proxy *udp)
{
	if (!udp)
		return;
	mf_udp_proxy_cut(udp);
	if (udp->proxy->opt.udp_fd >= 0)
		event_del(&udp->ev);
	free(udp->buckets);
	free(udp->buf);
	free(udp);
}
