/* SPDX-License-Identifier: Apache-2.0 */
/* forward.c - who may connect, and where each connection goes: the router of domain forwarding */
#include "proxies/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "proxies/forward_int.h"
#include "proxies/hostconf.h"
#include "proxies/sock.h"

enum { FULL_EVERY_MS = 10000 };

struct mf_forward_client {
	struct mf_forward_client *next;
	struct mf_addr addr;
	uint32_t open;
};

uint64_t mf_forward_wall_ms(void)
{
	return mf_clock_wall(&mf_clock_system) / MF_NS_PER_MS;
}

/* --- who may connect ------------------------------------------------------------------------------------------------ */

static struct mf_forward_client **find_client(struct mf_forward *f, const struct mf_addr *addr)
{
	uint64_t hash = mf_hash_bytes(addr, sizeof(*addr), f->seed);
	struct mf_forward_client **at = &f->clients[hash % MF_FORWARD_CLIENT_BUCKETS];

	while (*at && !mf_addr_eq(&(*at)->addr, addr))
		at = &(*at)->next;
	return at;
}

bool mf_forward_allows(const struct mf_forward *f, const struct mf_addr *addr)
{
	for (size_t i = 0; i < f->config.client_cnt; i++)
		if (mf_cidr_has(&f->config.clients[i], addr))
			return true;
	return false;
}

bool mf_forward_is_blocked(const struct mf_forward *f, uint16_t port)
{
	for (size_t i = 0; i < f->config.blocked_port_cnt; i++)
		if (f->config.blocked_ports[i] == port)
			return true;
	return false;
}

/*
 * Return: 0 with one more connection of @addr counted, or why not
 * What is redirected comes from this host itself, under whatever address of its own it has, and is all that it says to the
 * world: no network and no share of one client holds for it, only the limit of all.
 */
static int admit(struct mf_forward *f, const struct mf_addr *addr, bool redirected,
		 enum mf_forward_error *ret)
{
	struct mf_forward_client **at;

	*ret = MF_FORWARD_E_TOTAL;
	if (f->open >= f->config.connections_max)
		return MF_E_LIMIT;
	if (redirected) {
		f->open++;
		return 0;
	}
	*ret = MF_FORWARD_E_CLIENT;
	if (!mf_forward_allows(f, addr))
		return MF_E_PERM;
	at = find_client(f, addr);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return MF_E_NOMEM;
		(*at)->addr = *addr;
	}
	*ret = MF_FORWARD_E_PER_CLIENT;
	if ((*at)->open >= f->config.connections_per_client)
		return MF_E_LIMIT;
	(*at)->open++;
	f->open++;
	return 0;
}

/* A redirected connection had another destination than a listener. */
static bool was_redirected(const struct mf_forward *f, const struct mf_session_flow *flow)
{
	for (size_t i = 0; i < f->opt.fd_cnt; i++)
		if (f->listeners[i].port == flow->server.port &&
		    (!f->opt.find_original ||
		     mf_addr_eq(&f->listeners[i].addr, &flow->server.addr)))
			return false;
	return true;
}

static void dismiss(struct mf_forward *f, const struct mf_session_flow *flow)
{
	struct mf_forward_client **at, *gone;

	f->open--;
	if (was_redirected(f, flow))
		return;
	at = find_client(f, &flow->client.addr);
	gone = *at;
	if (!gone || --gone->open)
		return;
	*at = gone->next;
	free(gone);
}

/* Once in a while: whoever makes so many connections makes more. */
static void tell_full(struct mf_forward *f)
{
	uint64_t now = mf_clock_now(&mf_clock_system) / MF_NS_PER_MS;

	if (f->full_told_ms && now - f->full_told_ms < FULL_EVERY_MS)
		return;
	f->full_told_ms = now;
	if (f->session.log)
		mf_log_warning(
			f->session.log,
			"%u connections are open, more are reset: \"max_connections\" of the "
			"settings",
			f->open);
}

static int on_accept(void *ctx, int fd, const struct mf_endpoint *peer,
		     const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	struct mf_forward *f = ctx;
	enum mf_forward_error why;
	bool redirected;

	mf_counter_add(f->accepted, 1);
	redirected = f->opt.find_original &&
		     f->opt.find_original(f->opt.find_original_ctx, fd, local, &ret->server) == 0;
	if (!redirected)
		ret->server = *local;
	if (mf_forward_is_blocked(f, ret->server.port)) {
		mf_forward_count(f, MF_FORWARD_E_PORT);
		return MF_E_PERM;
	}
	if (admit(f, &peer->addr, redirected, &why) < 0) {
		if (why == MF_FORWARD_E_TOTAL)
			tell_full(f);
		mf_forward_count(f, why);
		return MF_E_PERM;
	}
	mf_gauge_set(f->open_gauge, f->open);
	return 0;
}

/* --- where to ------------------------------------------------------------------------------------------------------- */

static void refuse(struct mf_forward *f, struct mf_router_route *r, enum mf_forward_error e,
		   const char *why)
{
	mf_forward_count(f, e);
	r->way = MF_ROUTER_REFUSE;
	r->why = why;
}

static enum mf_forward_mode mode_of(struct mf_forward *f, const struct mf_forward_target *t)
{
	if (t->mode != MF_FORWARD_AUTO)
		return t->mode;
	return f->opt.guess_mode ? f->opt.guess_mode(f->opt.servers_ctx, t) : MF_FORWARD_PLAIN;
}

static bool is_loopback(const char *host)
{
	struct mf_addr addr;

	return strcmp(host, "localhost") == 0 ||
	       (mf_addr_parse(host, strlen(host), &addr) == 0 && mf_addr_is_loopback(&addr));
}

/* Our own page: served behind a descriptor of its own, by HTTP/1.1 or 2. */
static void lead_to_page(struct mf_forward *f, struct mf_router_route *r)
{
	static const char alpn[] = "\x02h2\x08http/1.1";

	r->fd = f->opt.open_page ? f->opt.open_page(f->opt.open_page_ctx) : -1;
	r->way = MF_ROUTER_TO_PLAIN;
	r->alpn = mf_span_of(alpn, sizeof(alpn) - 1);
	if (r->fd < 0)
		refuse(f, r, MF_FORWARD_E_DIAL, "there is no page here");
}

static void lead_to(struct mf_forward *f, struct mf_forward_route *route,
		    const struct mf_router_words *w, struct mf_router_route *r)
{
	static const enum mf_router_way ways[] = {
		[MF_FORWARD_AUTO] = MF_ROUTER_TO_PLAIN, [MF_FORWARD_PLAIN] = MF_ROUTER_TO_PLAIN,
		[MF_FORWARD_TLS] = MF_ROUTER_TO_TLS,	[MF_FORWARD_H2] = MF_ROUTER_TO_PLAIN,
		[MF_FORWARD_PASS] = MF_ROUTER_PASS,
	};
	enum mf_forward_mode mode = mode_of(f, &route->target);
	_Static_assert(MF_ARRAY_SIZE(ways) == MF_FORWARD_MODE_NUM, "a way for each mode");

	route->connections++;
	r->tag = mf_forward_route_ref(route);
	r->firm = route->source == MF_FORWARD_MANUAL;
	mf_forward_count_route(f, route);
	if (!route->target.host[0]) {
		lead_to_page(f, r);
		return;
	}
	if (mf_forward_is_blocked(f, route->target.port)) {
		refuse(f, r, MF_FORWARD_E_PORT, "the server's port is blocked");
		return;
	}
	if (w->speech == MF_ROUTER_HTTP && (mode == MF_FORWARD_TLS || mode == MF_FORWARD_PASS)) {
		refuse(f, r, MF_FORWARD_E_NOT_TLS, "this server speaks TLS: use https://");
		return;
	}
	r->way = ways[mode];
	if (mode == MF_FORWARD_H2)
		r->alpn = mf_span_of("\x02h2", 3);
	r->host = route->target.host;
	r->port = route->target.port;
	r->unverified = is_loopback(r->host);
}

static void on_route(void *ctx, const struct mf_router_words *w, struct mf_router_route *r)
{
	struct mf_forward *f = ctx;
	struct mf_forward_route *route = NULL;

	if (w->speech == MF_ROUTER_LATE) {
		mf_forward_count(f, MF_FORWARD_E_HELLO_LATE);
		return; /* refused in any case */
	}
	if (w->speech == MF_ROUTER_TLS_BAD)
		mf_forward_count(f, MF_FORWARD_E_HELLO_BAD);
	if (w->name.len)
		route = mf_forward_routes_find(f->routes, (const char *)w->name.ptr, w->name.len);
	if (route) {
		lead_to(f, route, w, r);
		return;
	}
	if (!w->name.len && f->config.no_name == MF_FORWARD_NO_NAME_DENY) {
		refuse(f, r, MF_FORWARD_E_NO_NAME, "connections that say no name are refused");
		return;
	}
	if (!w->loops)
		mf_counter_add(f->passed, 1);
}

static void on_looped(void *ctx)
{
	mf_forward_count(ctx, MF_FORWARD_E_LOOP);
}

static void on_connected(void *ctx, void *tag, uint64_t ns)
{
	struct mf_forward *f = ctx;

	(void)tag;
	mf_histogram_observe(f->latency, ns);
}

/* A server of ours is not there: its page, where the client can read one. */
static int on_unreached(void *ctx, void *tag, const char *error, bool tells)
{
	struct mf_forward *f = ctx;
	struct mf_forward_route *route = tag;

	mf_forward_count(f, MF_FORWARD_E_DOWN);
	snprintf(route->error, sizeof(route->error), "%s", error);
	route->failures++;
	return tells && f->opt.open_down ? f->opt.open_down(f->opt.open_page_ctx) : MF_E_NOENT;
}

static void on_ended(void *ctx, const struct mf_router_end *end)
{
	struct mf_forward *f = ctx;
	struct mf_forward_route *route = end->tag;

	dismiss(f, end->flow);
	mf_gauge_set(f->open_gauge, f->open);
	mf_counter_add(f->bytes_to_server, end->bytes_to_server);
	mf_counter_add(f->bytes_to_client, end->bytes_to_client);
	if (end->error && strcmp(end->error, "idle") == 0)
		mf_forward_count(f, MF_FORWARD_E_IDLE);
	else if (end->error && end->routed && !end->connected && !route)
		mf_forward_count(f, MF_FORWARD_E_DIAL);
	else if (end->error && (end->connected || !end->routed) &&
		 strcmp(end->error, "session_end") != 0)
		mf_forward_count(f, MF_FORWARD_E_BROKEN);
	if (!route)
		return;
	route->bytes += end->bytes_to_server + end->bytes_to_client;
	mf_forward_route_unref(route);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

void mf_forward_set_health(struct mf_forward *f, enum mf_forward_part part, bool ok,
			   const char *detail)
{
	struct mf_forward_health *h = &f->health[part];

	if (!h->since_ms || h->ok != ok)
		h->since_ms = mf_forward_wall_ms();
	h->ok = ok;
	snprintf(h->detail, sizeof(h->detail), "%s", detail);
}

static int start_proxy(struct mf_forward *f, struct event_base *base, struct mf_err *err)
{
	struct mf_proxy_options o = {
		.size = sizeof(o),
		.tcp_fd_cnt = f->opt.fd_cnt,
		.hello_timeout_ms = f->config.hello_ms,
		.dial_timeout_ms = f->config.dial_ms,
		.tcp_idle_ms = f->config.idle_ms,
		.tcp_connections_max = f->config.connections_max,
		.tls_authority = f->opt.authority,
		.router = &f->router,
		.router_asks = f->session.vm != NULL,
		.redirect_target_trusted = true,
		.copy_only = f->opt.copy_only,
	};

	struct mf_endpoint found;

	if (mf_hostconf_servers(&found, 1, NULL) < 1) {
		/* for targets that are names: here they cannot be looked up, and all else works */
		o.dns_servers[0] = (struct mf_dns_server){ .scheme = MF_DNS_OVER_UDP };
		(void)mf_addr_parse("127.0.0.1", 9, &o.dns_servers[0].at.addr);
		o.dns_servers[0].at.port = 53;
		o.dns_server_cnt = 1;
	}
	for (size_t i = 0; i < f->opt.fd_cnt; i++) {
		o.tcp_fds[i] = f->opt.fds[i];
		(void)mf_sock_local(f->opt.fds[i], &f->listeners[i]);
	}
	return mf_proxy_start(base, &f->session, &o, &f->proxy, err);
}

static int add_page(struct mf_forward *f, struct mf_err *err)
{
	static const struct mf_forward_target page = { .mode = MF_FORWARD_PLAIN };

	return f->opt.open_page ? mf_forward_routes_set(f->routes, MF_FORWARD_OWN,
							MF_FORWARD_PAGE_NAME, &page, err)
				: 0;
}

int mf_forward_new(struct event_base *base, const struct mf_forward_options *o,
		   struct mf_forward **ret, struct mf_err *err)
{
	struct mf_forward *f;
	int r;

	if (o->size != sizeof(*o) || !o->fd_cnt || o->fd_cnt > MF_FORWARD_LISTENERS_MAX ||
	    !o->config)
		return mf_err_set(err, MF_E_INVAL,
				  "forwarding needs a listener, at most %d, and a configuration",
				  MF_FORWARD_LISTENERS_MAX);
	f = calloc(1, sizeof(*f));
	if (!f)
		return mf_err_set(err, MF_E_NOMEM, "no memory for forwarding");
	f->opt = *o;
	f->config = *o->config;
	f->opt.config = NULL;
	f->session = o->session ? *o->session
				: (struct mf_session){ .id = "forward", .source = "forward" };
	f->router = (struct mf_router){ .accept = on_accept,
					.route = on_route,
					.looped = on_looped,
					.connected = on_connected,
					.unreached = on_unreached,
					.ended = on_ended,
					.ctx = f };
	f->seed = mf_hash_seed();
	f->started_ms = mf_forward_wall_ms();
	r = mf_forward_init_metrics(f) ? mf_forward_routes_new(&f->routes, err)
				       : mf_err_set(err, MF_E_NOMEM, "no memory for forwarding");
	if (r == 0)
		r = add_page(f, err);
	if (r == 0)
		r = start_proxy(f, base, err);
	if (r < 0) {
		mf_forward_free(f);
		return r;
	}
	mf_forward_set_health(f, MF_FORWARD_PROXY, true, "accepting connections");
	mf_forward_set_health(f, MF_FORWARD_CERTIFICATES, o->authority != NULL,
			      o->authority ? "certificates are made as they are needed"
					   : "there is no certificate authority");
	mf_forward_set_health(f, MF_FORWARD_RULES, true, "no rules are wanted");
	mf_forward_set_health(f, MF_FORWARD_DEV_SERVERS, true, "no detection is wanted");
	*ret = f;
	return 0;
}

void mf_forward_free(struct mf_forward *f)
{
	if (!f)
		return;
	mf_proxy_stop(f->proxy);
	for (unsigned i = 0; i < MF_FORWARD_CLIENT_BUCKETS; i++) {
		while (f->clients[i]) {
			struct mf_forward_client *next = f->clients[i]->next;

			free(f->clients[i]);
			f->clients[i] = next;
		}
	}
	mf_forward_routes_free(f->routes);
	mf_metrics_free(f->metrics);
	free(f);
}

struct mf_forward_routes *mf_forward_get_routes(struct mf_forward *f)
{
	return f->routes;
}

const struct mf_forward_config *mf_forward_get_config(const struct mf_forward *f)
{
	return &f->config;
}

int mf_forward_map(struct mf_forward *f, const char *name, const struct mf_forward_target *target,
		   struct mf_err *err)
{
	if (mf_forward_is_blocked(f, target->port))
		return mf_err_set(err, MF_E_PERM, "port %u is blocked by the configuration",
				  target->port);
	return mf_forward_routes_set(f->routes, MF_FORWARD_MANUAL, name, target, err);
}
