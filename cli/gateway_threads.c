/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_threads.c - the threads of `moonfence gateway`
 *
 * Each has a loop, a VM of the one runtime, a proxy, an HTTP service, a gateway and listeners of its own; the house (house.h), the cache
 * of DNS answers, events and approvals are everybody's. All is made in the first thread before the others start, and freed there when they
 * have ended, so only what runs has to know of threads.
 */
#include <event2/event.h>
#include <stdlib.h>

#include "cli/gateway_command.h"
#include "cli/run_metrics.h"
#include "core/base/thread.h"
#include "proxies/dns_cache.h"
#include "proxies/http_service.h"
#include "proxies/sock.h"

enum { CONNECTIONS = 4096 };

/* --- sockets -------------------------------------------------------------------------------------------------------------- */

/* The others' listeners at one place; the kernel shares out what comes. */
static int bind_beside(struct mf_gateway_command *g, size_t i)
{
	int first = g->listen[i].fd;

	for (size_t n = 1; n < g->worker_cnt; n++) {
		int fd = g->listen[i].given ? mf_sock_share(first)
					    : mf_sock_listen_beside(first, MF_GATEWAY_BACKLOG);

		if (fd < 0)
			return fd;
		g->workers[n].fds[i] = fd;
	}
	return 0;
}

static int bind_one(struct mf_gateway_command *g, size_t i, struct mf_err *err)
{
	struct mf_endpoint *at = &g->listen[i].at;
	char text[MF_ENDPOINT_TEXT_MAX];

	if (!g->listen[i].given)
		g->listen[i].fd = mf_sock_listen(at, true, MF_GATEWAY_BACKLOG);
	if (g->listen[i].fd < 0 || bind_beside(g, i) < 0)
		return mf_err_set(err, MF_E_IO, "cannot serve at %s: %s",
				  mf_endpoint_format(at, text, sizeof(text)),
				  mf_sock_error_text(mf_sock_last_error()));
	(void)mf_sock_local(g->listen[i].fd, at);
	g->workers[0].fds[i] = g->listen[i].fd;
	if (!g->tls && !mf_addr_is_loopback(&at->addr))
		mf_log_warning(&g->host.log,
			       "without --tls-cert everything crosses the network in the clear");
	return 0;
}

int mf_gateway_bind(struct mf_gateway_command *g, struct mf_err *err)
{
	int r = 0;

	g->worker_cnt = g->threads ? g->threads : 1;
	for (size_t n = 0; n < g->worker_cnt; n++)
		for (size_t i = 0; i < MF_GATEWAY_LISTENERS_MAX; i++)
			g->workers[n].fds[i] = -1;
	mf_gateway_raise_limits();
	for (size_t i = 0; i < g->listen_cnt && r == 0; i++)
		r = bind_one(g, i, err);
	return r;
}

/* --- guests ---------------------------------------------------------------------------------------------------------------- */

/* A network for guests, where this system has a stack for them: one a process, on the first thread. */
static int open_guests(struct mf_gateway_worker *w, struct mf_proxy_options *proxy,
		       struct mf_err *err)
{
	struct mf_gateway_command *g = w->g;
	const struct mf_gateway_guests_options o = { .l2 = g->opt.l2,
						     .pcap_dir = g->pcap_dir,
						     .log = &g->host.log };
	int r = g->no_ethernet || w != g->workers ? MF_E_UNSUPPORTED
						  : mf_gateway_guests_new(&o, &g->guests, err);

	if (r < 0)
		return r == MF_E_UNSUPPORTED ? 0 : r;
	mf_gateway_guests_get_ops(g->guests, &w->session.ops);
	proxy->datagrams_given = true;
	return 0;
}

/* --- one thread ----------------------------------------------------------------------------------------------------------- */

static void gather(void *ctx, struct mf_metrics *m)
{
	struct mf_gateway_worker *w = ctx;
	struct mf_run_metrics from = { .proxy = w->proxy,
				       .vm = w->vm,
				       .events = w == w->g->workers ? w->g->host.events : NULL };

	mf_run_metrics_gather(m, &from);
}

static int make_vm(struct mf_gateway_worker *w, struct mf_err *err)
{
	struct mf_policy_host *h = &w->g->host;

	if (w != w->g->workers)
		return mf_vm_new(h->runtime, &w->vm, err);
	w->vm = h->vm;
	return 0;
}

static int make(struct mf_gateway_worker *w, struct mf_err *err)
{
	struct mf_gateway_command *g = w->g;
	struct mf_http_service_options http = { .size = sizeof(http),
						.connections_max = CONNECTIONS,
						.together = &g->http_together,
						.head_max = 32768,
						.body_max = 1 << 20,
						.balancers = g->access.proxies,
						.balancer_cnt = g->access.forwarding.trusted_cnt };
	struct mf_proxy_options proxy = g->proxy_options;
	struct mf_gateway_options opt = g->opt;
	int r = make_vm(w, err);

	if (r < 0)
		return r;
	w->base = w == g->workers ? g->base : event_base_new();
	if (!w->base)
		return mf_err_set(err, MF_E_NOMEM, "cannot make an event loop");
	w->session = (struct mf_session){ .id = g->session_name,
					  .source = "gateway",
					  .vm = w->vm,
					  .events = g->host.events,
					  .log = &g->host.log,
					  .approvals = g->host.approvals };
	opt.house = g->house;
	opt.gather = gather;
	opt.gather_ctx = w;
	proxy.together = &g->proxy_together;
	r = open_guests(w, &proxy, err);
	if (g->guests) /* for those of other threads as well: they say so, and send who wants one to the first */
		opt.frames = mf_gateway_guests_frames(g->guests);
	if (r == 0)
		r = mf_proxy_start(w->base, &w->session, &proxy, &w->proxy, err);
	if (r == 0)
		r = mf_http_service_new(w->base, &http, &w->http, err);
	if (r == 0)
		r = mf_gateway_new(w->base, w->proxy, w->http, &opt, &w->gw, err);
	if (r == 0 && g->guests && w == g->workers)
		r = mf_gateway_guests_begin(g->guests, w->base, w->proxy, w->gw, err);
	for (size_t i = 0; i < g->listen_cnt && r == 0; i++) {
		r = (g->access.proxy_protocol
			     ? mf_http_service_listen_proxied
			     : mf_http_service_listen)(w->http, w->fds[i], g->tls, err);
		if (r == 0)
			w->fds[i] = -1;
	}
	return r;
}

int mf_gateway_make_threads(struct mf_gateway_command *g, struct mf_err *err)
{
	const struct mf_gateway_house_options house = { .size = sizeof(house),
							.members_max = g->opt.members_max,
							.addresses_max = g->opt.addresses_max,
							.keep_member_ms =
								mf_gateway_keep_members_ms(g) };
	const struct mf_dns_cache_options cache = { 0 };
	int r = mf_gateway_house_new(&house, &g->house, err);

	if (r == 0)
		r = mf_dns_cache_new(&cache, &g->dns_cache, err);
	g->proxy_options.dns_cache = g->dns_cache;
	for (size_t i = 0; i < g->worker_cnt && r == 0; i++) {
		g->workers[i].g = g;
		r = make(&g->workers[i], err);
	}
	return r;
}

static void *run(void *arg)
{
	struct mf_gateway_worker *w = arg;

	(void)event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int mf_gateway_start_threads(struct mf_gateway_command *g, struct mf_err *err)
{
	for (size_t i = 1; i < g->worker_cnt; i++) {
		struct mf_gateway_worker *w = &g->workers[i];

		if (mf_thread_start(&w->thread, run, w) != 0)
			return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
		w->runs = true;
	}
	return 0;
}

/* --- all of them ---------------------------------------------------------------------------------------------------------- */

struct order {
	struct mf_gateway_task task;
	struct mf_gateway_worker *w;
	void (*fn)(struct mf_gateway_worker *w, SSL_CTX *tls);
	SSL_CTX *tls;
};

static void run_order(struct mf_gateway_task *t, struct mf_gateway *gw)
{
	struct order *o = (struct order *)((char *)t - offsetof(struct order, task));

	(void)gw;
	o->fn(o->w, o->tls);
	SSL_CTX_free(o->tls);
	free(o);
}

void mf_gateway_tell_threads(struct mf_gateway_command *g,
			     void (*fn)(struct mf_gateway_worker *w, SSL_CTX *tls), SSL_CTX *tls)
{
	for (size_t i = 1; i < g->worker_cnt; i++) {
		struct order *o = g->workers[i].gw ? calloc(1, sizeof(*o)) : NULL;

		if (!o)
			continue;
		o->task.run = run_order;
		o->w = &g->workers[i];
		o->fn = fn;
		if (tls)
			SSL_CTX_up_ref(tls);
		o->tls = tls;
		if (mf_gateway_post(g->house, i, &o->task) < 0) {
			SSL_CTX_free(o->tls);
			free(o);
		}
	}
	if (g->workers[0].gw)
		fn(&g->workers[0], tls);
}

static void leave_loop(struct mf_gateway_worker *w, SSL_CTX *tls)
{
	(void)tls;
	event_base_loopbreak(w->base);
}

void mf_gateway_join_threads(struct mf_gateway_command *g)
{
	mf_gateway_tell_threads(g, leave_loop, NULL);
	for (size_t i = 1; i < g->worker_cnt; i++) {
		if (g->workers[i].runs)
			pthread_join(g->workers[i].thread, NULL);
		g->workers[i].runs = false;
	}
}

void mf_gateway_free_threads(struct mf_gateway_command *g)
{
	for (size_t n = 0; n < g->worker_cnt; n++) {
		struct mf_gateway_worker *w = &g->workers[n];

		mf_http_service_free(w->http);
		mf_gateway_free(w->gw);
		if (n == 0)
			mf_gateway_guests_end(g->guests);
		mf_proxy_stop(w->proxy);
		if (n == 0)
			mf_gateway_guests_free(g->guests);
		for (size_t i = 0; i < g->listen_cnt; i++)
			if (w->fds[i] >= 0)
				mf_sock_close(w->fds[i]);
		if (n > 0) {
			mf_vm_free(w->vm);
			if (w->base)
				event_base_free(w->base);
		}
	}
	mf_gateway_house_free(g->house);
	mf_dns_cache_free(g->dns_cache);
}
