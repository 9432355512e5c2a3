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
 * QUIC is recognised on every port; its ClientHello is read before a byte goes to the server, and judged by sni as one on
 * TCP is (udp_int.h). On port 443 it also chooses where names disagree; who says none there gets the strictest answer.
 * QUIC that is redirected, or on port 443 of a version that is not read, is refused: clients fall back to TCP.
 *
 * The table is bounded: the flow that has been quiet longest goes when a new one needs its place; udp_clients.c says of whose.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/wire/quic_initial.h"
#include "proxies/dns_proxy.h"
#include "proxies/udp_int.h"

enum {
	BATCH = 16,
	ROOM = 65536,
	BATCHES_MAX = 8,
	DRAIN_MAX = 64, /* datagrams of one socket in one turn */
	DNS_IDLE_MS = 10000,
};

/* --- the table ------------------------------------------------------------------------------------------------------ */

static struct mf_udp_flow **bucket_of(struct mf_udp_proxy *udp, const struct mf_session_flow *f)
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

struct mf_udp_flow *mf_udp_flow_find(struct mf_udp_proxy *udp, const struct mf_session_flow *ends)
{
	struct mf_udp_flow *f = *bucket_of(udp, ends);

	while (f && !same_ends(&f->ends, ends))
		f = f->chain;
	return f;
}

static void unlink_age(struct mf_udp_flow *f)
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

static void link_newest(struct mf_udp_flow *f)
{
	struct mf_udp_proxy *udp = f->udp;

	f->older = udp->newest;
	if (f->older)
		f->older->newer = f;
	else
		udp->oldest = f;
	udp->newest = f;
}

void mf_udp_flow_touch(struct mf_udp_flow *f)
{
	if (f->request)
		mf_udp_flow_touch(f->request);
	f->last_ms = mf_now_ms();
	mf_udp_clients_touch(f);
	if (f->udp->newest == f)
		return;
	unlink_age(f);
	link_newest(f);
}

static void send_close_event(struct mf_udp_flow *f, const char *reason)
{
	struct mf_proxy *p = f->udp->proxy;
	char text[MF_ADDR_TEXT_MAX];

	if (f->outer < 0 || !p->session->events)
		return;
	mf_ask_begin_event(p, &p->event, MF_EV_NET_CLOSE, &f->ends, f->host, "connect", NULL, NULL);
	mf_event_add_int(&p->event, MF_EVF_BYTES_SENT, (int64_t)f->sent);
	mf_event_add_int(&p->event, MF_EVF_BYTES_RECEIVED, (int64_t)f->received);
	mf_ask_add(&p->event, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&f->ends.server.addr, text, sizeof(text)));
	mf_ask_add(&p->event, MF_EVF_REASON, reason);
	mf_ask_send(p, &p->event);
}

void mf_udp_flow_close(struct mf_udp_flow *f, const char *reason)
{
	struct mf_udp_proxy *udp = f->udp;
	struct mf_udp_flow **at;

	mf_udp_tftp_end(f, reason);
	if (f->dns)
		mf_dns_proxy_cancel(udp->proxy->dns, f);
	send_close_event(f, reason);
	for (at = bucket_of(udp, &f->ends); *at != f;)
		at = &(*at)->chain;
	*at = f->chain;
	unlink_age(f);
	mf_udp_clients_remove(f);
	mf_timeout_disarm(&f->timeout);
	mf_udp_quic_free(f);
	mf_udp_flow_end_hold(f);
	if (f->held)
		mf_names_release(udp->proxy->session->names, &f->ends.server.addr);
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
	struct mf_udp_flow *f =
		(struct mf_udp_flow *)((char *)t - offsetof(struct mf_udp_flow, timeout));

	(void)ctx;
	if (mf_now_ms() < f->last_ms + t->queue->after_ms ||
	    ((f->asked || (f->dns && mf_dns_proxy_waits(f->udp->proxy->dns, f))) &&
	     mf_udp_flow_is_wanted(f)))
		mf_timeout_arm(t, t->queue);
	else
		mf_udp_flow_close(f, "idle");
}

static void on_hello_late(struct mf_timeout *t, void *ctx)
{
	struct mf_udp_flow *f =
		(struct mf_udp_flow *)((char *)t - offsetof(struct mf_udp_flow, timeout));

	(void)ctx;
	mf_udp_quic_late(f);
	mf_udp_flow_close(f, "idle");
}

static void make_room(struct mf_udp_proxy *udp, const struct mf_addr *client)
{
	struct mf_proxy_stats *s = &udp->proxy->stats;
	struct mf_udp_flow *f;

	while ((f = mf_udp_clients_own(udp, client))) {
		s->udp_evicted_own++;
		mf_udp_flow_close(f, "idle");
	}
	while (s->udp_open >= udp->proxy->opt.udp_flows_max && (f = mf_udp_clients_any(udp))) {
		s->udp_evicted++;
		mf_udp_flow_close(f, "idle");
	}
}

struct mf_udp_flow *mf_udp_flow_new(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
				    bool dns)
{
	struct mf_proxy *p = udp->proxy;
	struct mf_udp_flow *f, **bucket;

	make_room(udp, &ends->client.addr);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->udp = udp;
	f->id = ++p->last_id;
	f->ends = *ends;
	f->inner = f->outer = -1;
	if (!mf_udp_clients_add(f)) {
		free(f);
		return NULL;
	}
	f->dns = dns;
	f->held = !dns && p->session->names && mf_names_hold(p->session->names, &ends->server.addr);
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

void mf_udp_flow_to_client(struct mf_udp_flow *f, const void *buf, size_t len)
{
	struct mf_session_ops *ops = &f->udp->proxy->session->ops;

	/* A datagram that does not fit now is lost, as datagrams are. */
	if (ops->send_udp)
		(void)ops->send_udp(ops->ctx, &f->ends, buf, len);
	else if (f->inner >= 0)
		(void)mf_sock_send(f->inner, buf, len);
	else
		(void)mf_sock_send_to(f->listener, &f->local, &f->peer, buf, len);
}

static bool serve(struct mf_udp_flow *f, const uint8_t *buf, size_t len);

static void on_inner(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_udp_flow *f = ctx;
	uint8_t *buf = f->udp->buf;

	(void)what;
	for (unsigned i = 0; i < DRAIN_MAX; i++) {
		ssize_t n = mf_sock_recv((int)fd, buf, ROOM);

		/* an ICMP error of the client's (its port is closed) is no reason to end: it may open again */
		if (n < 0 || !serve(f, buf, (size_t)n))
			return;
	}
}

void mf_udp_flow_open_inner(struct mf_udp_flow *f)
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
	struct mf_udp_flow *f = ctx;
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
		mf_udp_flow_touch(f);
		mf_udp_flow_to_client(f, buf, (size_t)n);
	}
}

static void on_dns_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct mf_udp_flow *f = ctx;

	if (len)
		mf_udp_flow_to_client(f, msg, len);
}

void mf_udp_flow_to_server(struct mf_udp_flow *f, const uint8_t *buf, size_t len)
{
	if (f->tftp || f->request) {
		mf_udp_tftp_to_server(f, buf, len);
		return;
	}
	f->sent += len;
	(void)mf_sock_send(f->outer, buf, len);
}

bool mf_udp_flow_open(struct mf_udp_flow *f)
{
	struct mf_udp_proxy *udp = f->udp;

	f->tftp = mf_udp_tftp_may_follow(f);
	f->outer = f->tftp ? mf_sock_open_udp_any(&f->to) : mf_sock_open_udp(&f->to);
	if (f->outer < 0) {
		f->outer = -1;
		return false;
	}
	event_assign(&f->outer_ev, udp->proxy->base, f->outer, EV_READ | EV_PERSIST,
		     f->tftp ? mf_udp_tftp_on_outer : on_outer, f);
	event_add(&f->outer_ev, NULL);
	f->holding = false;
	mf_timeout_arm(&f->timeout, &udp->idle);
	return true;
}

/* One datagram of the client. Return: false: the flow has ended */
static bool serve(struct mf_udp_flow *f, const uint8_t *buf, size_t len)
{
	mf_udp_flow_touch(f);
	if (f->asked) {
		mf_udp_flow_keep(f, buf, len);
		return true;
	}
	if (f->dns) {
		mf_dns_proxy_ask(f->udp->proxy->dns, &f->ends, mf_span_of(buf, len), on_dns_reply,
				 f);
		return true;
	}
	if (!f->request && (f->holding || mf_quic_has_long_header(buf, len))) {
		switch (mf_udp_quic_take(f, buf, len)) {
		case MF_UDP_PASS:
			break;
		case MF_UDP_TAKEN:
			return true;
		case MF_UDP_GONE:
			mf_udp_flow_close(f, "denied");
			return false;
		}
	}
	mf_udp_flow_to_server(f, buf, len);
	return true;
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

void mf_udp_flow_refuse(struct mf_udp_flow *f, const uint8_t *buf, size_t len, const char *why)
{
	struct mf_session_ops *ops = &f->udp->proxy->session->ops;
	uint8_t out[MF_UDP_QUIC_REFUSAL_MAX];
	size_t n = mf_udp_quic_write_refusal(f->udp, buf, len, why, out);

	if (n)
		mf_udp_flow_to_client(f, out, n);
	else if (ops->refuse_udp)
		(void)ops->refuse_udp(ops->ctx, &f->ends, buf, len);
}

/* The same for a flow that never was. */
static void refuse(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
		   const struct mf_datagram *d, int listener, const char *why)
{
	struct mf_session_ops *ops = &udp->proxy->session->ops;
	struct mf_udp_flow f = { .udp = udp,
				 .ends = *ends,
				 .peer = d->client,
				 .local = d->server,
				 .listener = listener,
				 .inner = -1 };

	if (ops->open_udp && mf_quic_has_long_header(d->buf, d->len)) {
		f.inner = ops->open_udp(ops->ctx, ends);
		if (f.inner < 0)
			f.inner = -1;
	}
	mf_udp_flow_refuse(&f, d->buf, d->len, why);
	if (f.inner >= 0)
		mf_sock_close(f.inner);
}

static void announce(struct mf_proxy *p, const struct mf_session_flow *ends, const char *host,
		     const struct mf_decision *d)
{
	bool denied = mf_verdict_rank(d) == 4, redirect = d->verdict == MF_REDIRECT;

	p->stats.udp_denied += denied;
	p->stats.udp_redirected += !denied && redirect;
	p->stats.udp_allowed += !denied && !redirect;
	mf_ask_announce_connect(p, ends, host,
				denied	   ? "blocked"
				: redirect ? "redirected"
					   : "allowed",
				d);
}

void mf_udp_flow_announce(struct mf_udp_flow *f, const struct mf_decision *d)
{
	bool denied = mf_verdict_rank(d) == 4;

	if (f->announced && !denied)
		return;
	f->announced |= !denied;
	announce(f->udp->proxy, &f->ends, f->host, d);
}

void mf_udp_flow_set_host(struct mf_udp_flow *f, const char *host)
{
	free(f->host);
	f->host = host[0] ? strdup(host) : NULL;
}

/* What connect says about a new flow, by its first datagram where that matters. */
struct judgement {
	struct mf_endpoint to;
	bool quic;   /* a hello will come, and is waited for */
	bool differ; /* it chooses */
	char *host;
	char why[64];		  /* denied */
	struct mf_udp_flow *held; /* ... but for the time being: it waits for an answer */
};

/* A flow of which nothing is known yet. Return: NULL: it cannot wait, and @d is a denial */
static struct mf_udp_flow *hold(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
				struct mf_decision *d)
{
	struct mf_udp_flow *f = mf_udp_flow_new(udp, ends, false);

	if (f && mf_udp_flow_hold(f, d))
		return f;
	if (f)
		mf_udp_flow_close(f, "denied");
	mf_approve_refuse(d, mf_approve_too_many);
	return NULL;
}

/* Judge a new flow, unless it was judged before it came. Return: false: denied, and told so in the event */
static bool judge(struct mf_udp_proxy *udp, const struct mf_session_flow *ends, const uint8_t *buf,
		  size_t len, struct judgement *ret)
{
	struct mf_proxy *p = udp->proxy;
	struct mf_ask_result res;
	struct mf_kept *kept = mf_judged_take(p, ends, &res);
	struct mf_decision d;
	bool denied;

	if (kept)
		d = kept->d;
	else
		mf_ask_udp(&p->asker, ends, &d, &res);
	*ret = (struct judgement){ .to = ends->server, .quic = mf_quic_may_begin(buf, len) };
	if (d.verdict == MF_ASK && mf_quic_has_long_header(buf, len))
		mf_approve_refuse(&d, mf_approve_cannot_wait);
	ret->differ = ret->quic && mf_ask_hello_chooses(ends, &res);
	if (!ret->differ) {
		mf_ask_udp_limit(ends, &d); /* of the strictest, where names disagree */
		if (mf_verdict_rank(&d) < 4 && ends->server.port == MF_ASK_QUIC_PORT &&
		    mf_quic_is_foreign(buf, len))
			d = mf_ask_own_denial("this version of QUIC cannot be read; its clients "
					      "fall back to TCP");
		if (d.verdict == MF_ASK && (ret->held = hold(udp, ends, &d))) {
			free(kept);
			return false;
		}
		announce(p, ends, res.host, &d);
	}
	denied = !ret->differ && mf_verdict_rank(&d) == 4;
	if (!ret->differ && d.verdict == MF_REDIRECT) {
		memset(&ret->to, 0, sizeof(ret->to));
		ret->to.port = d.redirect_port;
		(void)mf_addr_parse(d.redirect_host, strlen(d.redirect_host), &ret->to.addr);
	}
	if (denied)
		snprintf(ret->why, sizeof(ret->why), "%s", mf_decision_reason(&d));
	else
		ret->host = res.host[0] ? strdup(res.host) : NULL;
	free(kept);
	return !denied;
}

static struct mf_udp_flow *begin_flow(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
				      const struct mf_datagram *d, int listener)
{
	struct judgement j = { .quic = false };
	struct mf_udp_flow *f;
	bool dns = ends->server.port == 53, allowed;

	udp->proxy->asker.may_hold = true;
	allowed = dns || judge(udp, ends, d->buf, d->len, &j);
	udp->proxy->asker.may_hold = false;
	if (j.held)
		return j.held;
	if (!allowed) {
		refuse(udp, ends, d, listener, j.why);
		return NULL;
	}
	f = mf_udp_flow_new(udp, ends, dns);
	if (!f) {
		free(j.host);
		return NULL;
	}
	f->host = j.host;
	f->to = j.to;
	f->differ = j.differ;
	f->announced = !j.differ;
	f->holding = j.quic;
	if (f->holding)
		mf_timeout_arm(&f->timeout, &udp->hello);
	if (!dns && !f->holding && !mf_udp_flow_open(f)) {
		refuse(udp, ends, d, listener, "");
		mf_udp_flow_close(f, "idle");
		return NULL;
	}
	mf_udp_flow_open_inner(f);
	return f;
}

static void take(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
		 const struct mf_datagram *d, int listener)
{
	struct mf_udp_flow *f = mf_udp_flow_find(udp, ends);

	if (!f)
		f = begin_flow(udp, ends, d, listener);
	if (!f)
		return;
	/* the way back may have changed with a new first packet */
	f->peer = d->client;
	f->local = d->server;
	f->listener = listener;
	(void)serve(f, d->buf, d->len);
}

void mf_udp_proxy_take(struct mf_udp_proxy *udp, const struct mf_session_flow *ends,
		       uint8_t *payload, size_t len)
{
	take(udp, ends,
	     &(struct mf_datagram){
		     .client = ends->client, .server = ends->server, .buf = payload, .len = len },
	     -1);
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

			/* without both ends there is nobody to answer to, or nothing to judge */
			if (d[i].cut || udp->proxy->cut ||
			    !mf_proxy_find_flow(udp->proxy, MF_UDP, &d[i].client, &d[i].server,
						&ends))
				continue;
			take(udp, &ends, &d[i], (int)fd);
		}
		if (cnt < BATCH)
			return;
	}
}

void mf_udp_flow_judge_again(struct mf_udp_flow *f)
{
	struct mf_udp_proxy *udp = f->udp;
	struct mf_asker *a = &udp->proxy->asker;
	struct mf_udp_asked *asked = f->asked;
	struct mf_session_flow ends = f->ends;
	struct mf_datagram d = { .client = f->peer, .server = f->local };
	int listener = f->listener;

	f->asked = NULL;
	mf_udp_flow_close(f, "idle");
	for (unsigned i = 0; i < asked->cnt; i++) {
		d.buf = asked->waiting[i].bytes;
		d.len = asked->waiting[i].len;
		f = mf_udp_flow_find(udp, &ends);
		a->grants = asked->held.grants;
		if (!f)
			f = begin_flow(udp, &ends, &d, listener);
		a->grants = NULL;
		if (!f)
			break; /* denied; what it has said besides needs no answer of its own */
		f->peer = d.client;
		f->local = d.server;
		f->listener = listener;
		(void)serve(f, d.buf, d.len);
	}
	mf_udp_asked_free(asked);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static int listen_at(struct mf_udp_proxy *udp, int fd, struct mf_err *err)
{
	struct event *ev = &udp->evs[udp->listener_cnt];

	mf_sock_prepare_udp(fd);
	event_assign(ev, udp->proxy->base, fd, EV_READ | EV_PERSIST, on_datagrams, udp);
	if (event_add(ev, NULL) < 0)
		return mf_err_set(err, MF_E_IO, "cannot watch the UDP listener");
	udp->listener_cnt++;
	return 0;
}

int mf_udp_proxy_new(struct mf_proxy *p, struct mf_udp_proxy **ret, struct mf_err *err)
{
	struct mf_udp_proxy *udp = calloc(1, sizeof(*udp));
	int r = 0;

	if (udp) {
		for (udp->bucket_cnt = 64; udp->bucket_cnt < p->opt.udp_flows_max;)
			udp->bucket_cnt *= 2;
		udp->buckets = calloc(udp->bucket_cnt, sizeof(struct mf_udp_flow *));
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
	r = mf_udp_clients_new(udp);
	if (r < 0)
		(void)mf_err_set(err, r, "no memory for the UDP proxy");
	mf_timeout_queue_init(&udp->idle, p->timeouts, p->opt.udp_idle_ms, on_idle, udp);
	mf_timeout_queue_init(&udp->dns_idle, p->timeouts, DNS_IDLE_MS, on_idle, udp);
	mf_timeout_queue_init(&udp->hello, p->timeouts, p->opt.hello_timeout_ms, on_hello_late,
			      udp);
	*ret = udp;
	for (size_t i = 0; r == 0 && i < p->opt.udp_fd_cnt; i++)
		r = listen_at(udp, p->opt.udp_fds[i], err);
	return r;
}

void mf_udp_proxy_cut(struct mf_udp_proxy *udp)
{
	while (udp->oldest)
		mf_udp_flow_close(udp->oldest, udp->proxy->cut ? "policy" : "session_end");
}

void mf_udp_proxy_forget(struct mf_udp_proxy *udp, const struct mf_addr *client)
{
	for (struct mf_udp_flow *f = udp->oldest, *next; f; f = next) {
		next = mf_udp_flow_next(f);
		if (mf_proxy_same_client(&f->ends.client.addr, client))
			mf_udp_flow_close(f, "session_end");
	}
}

void mf_udp_proxy_free(struct mf_udp_proxy *udp)
{
	if (!udp)
		return;
	mf_udp_proxy_cut(udp);
	for (size_t i = 0; i < udp->listener_cnt; i++)
		event_del(&udp->evs[i]);
	mf_quic_crypto_free(udp->crypto);
	mf_udp_clients_free(udp);
	free(udp->buckets);
	free(udp->buf);
	free(udp);
}
