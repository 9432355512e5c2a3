/* SPDX-License-Identifier: Apache-2.0 */
/* dns_listen.c - see dns_listen.h */
#include "proxies/dns_listen.h"

#include <stdlib.h>

#include "proxies/dns_proxy.h"
#include "proxies/proxy_int.h"

enum {
	BATCH = 32,
	BATCHES_MAX = 8, /* in one turn of the loop */
	IN_ROOM = 4096,	 /* no question is longer; what is gets no answer */
	OUT_ROOM = MF_DNS_UDP_MAX,
	ACCEPT_BATCH = 32,
	BACKOFF_MS = 50,
	PORT_TRIES = 16, /* one that is free for both protocols */
};

/* A datagram that waits for its answer. */
struct ask {
	struct mf_dns_listen *l;
	struct ask *prev, *next;
	struct mf_endpoint client, server;
};

struct mf_dns_listen {
	struct mf_proxy *proxy;
	int udp, tcp;
	struct event udp_ev, tcp_ev;
	struct mf_endpoint at; /* of the datagrams' socket */
	struct mf_timeout_queue backoff;
	struct mf_timeout pause;
	struct ask *waiting, *spare;
	unsigned waiting_cnt;
	bool batching; /* answers are collected */
	size_t out_cnt;
	struct mf_datagram out[BATCH];
	uint8_t in_bytes[BATCH * IN_ROOM], out_bytes[BATCH * OUT_ROOM];
};

/* --- datagrams ------------------------------------------------------------------------------------------------------ */

static void send_batch(struct mf_dns_listen *l)
{
	/* what the socket does not take is lost, as datagrams are */
	if (l->out_cnt)
		mf_sock_send_many(l->udp, l->out, l->out_cnt);
	l->out_cnt = 0;
}

static void give_back(struct ask *a)
{
	struct mf_dns_listen *l = a->l;

	if (a->prev)
		a->prev->next = a->next;
	else
		l->waiting = a->next;
	if (a->next)
		a->next->prev = a->prev;
	l->waiting_cnt--;
	a->next = l->spare;
	l->spare = a;
}

static void on_reply(void *ctx, const uint8_t *msg, size_t len)
{
	struct ask *a = ctx;
	struct mf_dns_listen *l = a->l;
	struct mf_datagram *d = &l->out[l->out_cnt];

	if (len && len <= OUT_ROOM) {
		*d = (struct mf_datagram){ .client = a->client,
					   .server = a->server,
					   .buf = l->out_bytes + l->out_cnt * OUT_ROOM,
					   .len = len };
		memcpy(d->buf, msg, len);
		l->out_cnt++;
	}
	give_back(a);
	if (!l->batching || l->out_cnt == BATCH)
		send_batch(l);
}

static struct ask *take_ask(struct mf_dns_listen *l)
{
	struct ask *a = l->spare;

	if (l->waiting_cnt == MF_DNS_LISTEN_WAITING_MAX)
		return NULL;
	if (a)
		l->spare = a->next;
	else
		a = malloc(sizeof(*a));
	if (!a)
		return NULL;
	a->l = l;
	a->prev = NULL;
	a->next = l->waiting;
	if (a->next)
		a->next->prev = a;
	l->waiting = a;
	l->waiting_cnt++;
	return a;
}

static void serve(struct mf_dns_listen *l, const struct mf_datagram *d)
{
	struct mf_session_flow flow = { .proto = MF_UDP, .client = d->client, .server = d->server };
	struct ask *a;

	if (d->cut || !d->client.addr.family || !d->client.port)
		return;
	if (!flow.server.addr.family)
		flow.server = l->at;
	a = take_ask(l);
	if (!a) {
		l->proxy->stats.dns_failed++;
		return;
	}
	a->client = d->client;
	a->server = d->server;
	mf_dns_proxy_ask(l->proxy->dns, &flow, mf_span_of(d->buf, d->len), on_reply, a);
}

static void on_datagrams(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_listen *l = ctx;
	struct mf_datagram d[BATCH];

	(void)what;
	for (unsigned round = 0; round < BATCHES_MAX; round++) {
		size_t cnt;

		for (unsigned i = 0; i < BATCH; i++)
			d[i] = (struct mf_datagram){ .buf = l->in_bytes + (size_t)i * IN_ROOM,
						     .room = IN_ROOM };
		cnt = mf_sock_recv_from((int)fd, d, BATCH);
		l->batching = true;
		for (size_t i = 0; i < cnt; i++)
			serve(l, &d[i]);
		l->batching = false;
		send_batch(l);
		if (cnt < BATCH)
			return;
	}
}

/* --- connections ---------------------------------------------------------------------------------------------------- */

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_listen *l = ctx;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct mf_session_flow flow = { .proto = MF_TCP };
		int conn = mf_sock_accept((int)fd, &flow.client);

		if (conn == MF_E_FULL) {
			event_del(&l->tcp_ev);
			mf_timeout_arm(&l->pause, &l->backoff);
		}
		if (conn < 0)
			return;
		(void)mf_sock_local(conn, &flow.server);
		mf_dns_tcp_serve(l->proxy->dns, conn, &flow);
	}
}

static void on_backoff(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_listen *l = ctx;

	(void)t;
	(void)event_add(&l->tcp_ev, NULL);
}

/* --- binding --------------------------------------------------------------------------------------------------------- */

int mf_dns_listen_bind(struct mf_endpoint *at, int backlog, int *ret_udp, int *ret_tcp,
		       const char **ret_failed)
{
	bool any = at->port == 0;

	for (unsigned i = 0;; i++) {
		*ret_failed = "TCP";
		*ret_tcp = mf_sock_listen(at, true, backlog);
		if (*ret_tcp < 0 || (any && !mf_sock_local(*ret_tcp, at)))
			break;
		*ret_failed = "UDP";
		*ret_udp = mf_sock_listen(at, false, 0);
		if (*ret_udp >= 0)
			return 0;
		if (!any || i == PORT_TRIES)
			break;
		mf_sock_close(*ret_tcp);
		at->port = 0;
	}
	return MF_E_IO; /* a socket that is left is closed by its owner */
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static int watch(struct mf_dns_listen *l, struct event *ev, int fd, event_callback_fn fn)
{
	return event_assign(ev, l->proxy->base, fd, EV_READ | EV_PERSIST, fn, l) < 0 ||
			       event_add(ev, NULL) < 0
		       ? MF_E_NOMEM
		       : 0;
}

static bool is_any(const struct mf_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

int mf_dns_listen_new(struct mf_proxy *proxy, int udp, int tcp, struct mf_dns_listen **ret,
		      struct mf_err *err)
{
	struct mf_dns_listen *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l) {
		if (udp >= 0)
			mf_sock_close(udp);
		if (tcp >= 0)
			mf_sock_close(tcp);
		return mf_err_set(err, MF_E_NOMEM, "no memory for a DNS listener");
	}
	l->proxy = proxy;
	l->udp = udp;
	l->tcp = tcp;
	mf_timeout_queue_init(&l->backoff, proxy->timeouts, BACKOFF_MS, on_backoff, l);
	if (udp >= 0) {
		/* who is bound to one address answers from there anyway */
		if (!mf_sock_local(udp, &l->at) || is_any(&l->at.addr))
			mf_sock_prepare_udp(udp);
		r = watch(l, &l->udp_ev, udp, on_datagrams);
	}
	if (r == 0 && tcp >= 0) {
		mf_sock_prepare_listener(tcp);
		r = watch(l, &l->tcp_ev, tcp, on_accept);
	}
	if (r < 0) {
		mf_dns_listen_free(l);
		return mf_err_set(err, r, "cannot watch a DNS listener");
	}
	*ret = l;
	return 0;
}

void mf_dns_listen_free(struct mf_dns_listen *l)
{
	struct ask *a;

	if (!l)
		return;
	mf_timeout_disarm(&l->pause);
	while ((a = l->waiting)) {
		mf_dns_proxy_cancel(l->proxy->dns, a);
		give_back(a);
	}
	while ((a = l->spare)) {
		l->spare = a->next;
		free(a);
	}
	if (l->udp >= 0) {
		if (event_initialized(&l->udp_ev))
			event_del(&l->udp_ev);
		mf_sock_close(l->udp);
	}
	if (l->tcp >= 0) {
		if (event_initialized(&l->tcp_ev))
			event_del(&l->tcp_ev);
		mf_sock_close(l->tcp);
	}
	free(l);
}
