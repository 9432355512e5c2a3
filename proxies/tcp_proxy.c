/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_proxy.c - accepting, relaying and ending the session's TCP connections */
#include <stdlib.h>
#include <string.h>

#include "proxies/dns_proxy.h"
#include "proxies/service_gateway.h"
#include "proxies/tcp_int.h"

enum {
	ACCEPT_BATCH = 64,
	LINGER_MS = 1000,
	BACKOFF_MS = 50,
};

static void forget_again(struct mf_tcp_conn *c);

/* --- levels --------------------------------------------------------------------------------------------------------- */

/*
 * What @side should tell of next where the loop knows no edges. A flag that is set has not been used up, so that nothing
 * needs to be told; before the relay, the client's bytes are looked at as they come, until no more are wanted.
 */
static short wants_of(const struct mf_tcp_conn *c, unsigned side)
{
	const struct mf_tcp_setup *s = c->setup;
	short what = c->relay.writable[side] ? 0 : EV_WRITE;
	bool read = !c->relay.readable[side];

	switch ((enum mf_tcp_state)c->state) {
	case MF_TCP_HELLO:
	case MF_TCP_OPENING:
	case MF_TCP_GRACE:
		if (side == 0)
			read = mf_tcp_setup_reads(s);
		break;
	case MF_TCP_LINGER:
		return EV_READ;
	case MF_TCP_RELAY:
	case MF_TCP_BRIDGE:
	case MF_TCP_STATE_NUM:
		break;
	}
	return (short)(what | (read ? EV_READ : 0));
}

struct mf_tcp_proxy *mf_tcp_enter(struct mf_tcp_conn *c)
{
	struct mf_asker *a = &c->tcp->proxy->asker;

	if (c->tcp->current == c)
		return NULL;
	c->tcp->current = c;
	a->may_hold = true;
	a->grants = c->asked ? c->asked->held.grants : NULL;
	return c->tcp;
}

void mf_tcp_leave(struct mf_tcp_proxy *entered)
{
	struct mf_tcp_conn *c = entered ? entered->current : NULL;

	if (entered) {
		entered->proxy->asker.may_hold = false;
		entered->proxy->asker.grants = NULL;
	}
	if (!c)
		return;
	entered->current = NULL;
	mf_sockwatch_want(&c->watch[0], wants_of(c, 0));
	if (c->has_server && !c->direct)
		mf_sockwatch_want(&c->watch[1], wants_of(c, 1));
}

/* --- ending --------------------------------------------------------------------------------------------------------- */

static void unlink_conn(struct mf_tcp_conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->tcp->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

void mf_tcp_conn_free_setup(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;

	if (!s)
		return;
	if (s->resolve)
		mf_resolve_cancel(s->resolve);
	free(s->in);
	free(s->rewritten);
	free(s->alpn);
	if (s->given_fd > 0)
		mf_sock_close(s->given_fd);
	free(s->said);
	free(s->plan);
	free(s);
	c->setup = NULL;
}

/* The ends that are nobody's error. */
static const char *const plain_ends[] = { "idle", "policy", "session_end" };

static const char *reason_of(bool reset, const char *error)
{
	for (size_t i = 0; error && i < MF_ARRAY_SIZE(plain_ends); i++)
		if (strcmp(error, plain_ends[i]) == 0)
			return error;
	return error ? "error" : reset ? "reset" : "eof";
}

static void send_close_event(struct mf_tcp_conn *c, bool reset, const char *error)
{
	const char *reason = reason_of(reset, error);
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_event *ev = &p->event;
	char text[MF_ADDR_TEXT_MAX];

	if (!p->session->events)
		return;
	mf_ask_begin_event(p, ev, MF_EV_NET_CLOSE, &c->flow, c->host, "connect", NULL, NULL);
	mf_event_add_int(ev, MF_EVF_BYTES_SENT, (int64_t)c->relay.dir[0].bytes);
	mf_event_add_int(ev, MF_EVF_BYTES_RECEIVED, (int64_t)c->relay.dir[1].bytes);
	mf_event_add_int(ev, MF_EVF_DURATION_MS, (int64_t)(mf_now_ms() - c->start_ms));
	mf_ask_add(ev, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&c->flow.server.addr, text, sizeof(text)));
	mf_ask_add(ev, MF_EVF_REASON, reason);
	if (reason != error)
		mf_ask_add(ev, MF_EVF_ERROR, error);
	mf_ask_send(p, ev);
}

/*
 * The descriptor goes first: closing takes a socket out of the loop's table by itself, and event_del() then finds that out
 * for the price of a failed call, which libevent expects.
 */
static void close_fd(struct mf_tcp_conn *c, unsigned side, bool reset)
{
	if (c->relay.fd[side] < 0)
		return;
	if (reset)
		mf_sock_reset(c->relay.fd[side]);
	else
		mf_sock_close(c->relay.fd[side]);
	mf_sockwatch_stop(&c->watch[side]);
	c->relay.fd[side] = -1;
}

void mf_tcp_conn_close(struct mf_tcp_conn *c, bool reset, const char *error)
{
	struct mf_proxy *p = c->tcp->proxy;

	/* every connection that was told to be on its way has its end told, also where no byte went on */
	if (c->state == MF_TCP_RELAY || c->state == MF_TCP_BRIDGE || error ||
	    (c->has_server && c->setup && c->setup->announced))
		send_close_event(c, reset, error);
	if (p->opt.router)
		mf_tcp_route_ended(c, error);
	p->stats.bytes_to_server += c->relay.dir[0].bytes;
	p->stats.bytes_to_client += c->relay.dir[1].bytes;
	close_fd(c, 0, reset);
	if (c->has_server)
		close_fd(c, 1, reset);
	mf_relay_done(&c->relay, &p->pool);
	mf_tcp_intercept_end(c);
	mf_tls_bridge_free(c->bridge);
	mf_tcp_http_free(c->http);
	mf_tcp_intercept_drop(c);
	mf_tcp_conn_end_hold(c);
	if (c->held)
		mf_names_release(mf_session_names(p->session, &c->flow), &c->flow.server.addr);
	mf_timeout_disarm(&c->timeout);
	mf_timeout_disarm(&c->hold);
	forget_again(c);
	mf_tcp_conn_free_setup(c);
	unlink_conn(c);
	if (c->tcp->current == c)
		c->tcp->current = NULL;
	p->stats.tcp_open--;
	p->together->tcp_open--;
	if (c->watcher.ended)
		c->watcher.ended(c->watcher.ctx, c->denied, reset, error);
	free(c->host);
	free(c);
}

/* --- relay ---------------------------------------------------------------------------------------------------------- */

static void pump(struct mf_tcp_conn *c);

/* Go on in the loop's next turn: event_active() would come before new events are even looked for. */
void mf_tcp_conn_pump_later(struct mf_tcp_conn *c)
{
	static const struct timeval at_once = { 0, 0 };
	struct mf_tcp_proxy *tcp = c->tcp;

	if (c->again)
		return;
	c->again = true;
	c->again_next = tcp->again;
	tcp->again = c;
	event_add(&tcp->again_ev, &at_once);
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_tcp_proxy *tcp = ctx, *entered;
	struct mf_tcp_conn *c;

	(void)fd;
	(void)what;
	/* whoever is not done again joins a new list */
	tcp->running = tcp->again;
	tcp->again = NULL;
	while ((c = tcp->running)) {
		tcp->running = c->again_next;
		c->again = false;
		entered = mf_tcp_enter(c);
		if (c->state == MF_TCP_BRIDGE)
			mf_tcp_conn_pump_bridge(c);
		else if (c->state == MF_TCP_RELAY)
			pump(c);
		mf_tcp_leave(entered);
	}
}

static void forget_again(struct mf_tcp_conn *c)
{
	struct mf_tcp_conn **lists[] = { &c->tcp->again, &c->tcp->running };

	for (unsigned i = 0; c->again && i < MF_ARRAY_SIZE(lists); i++) {
		for (struct mf_tcp_conn **at = lists[i]; *at; at = &(*at)->again_next) {
			if (*at == c) {
				*at = c->again_next;
				c->again = false;
				break;
			}
		}
	}
}

void mf_tcp_conn_mind_http(struct mf_tcp_conn *c)
{
	if (c->relay.refused && !c->ending) {
		c->ending = true;
		mf_timeout_arm(&c->timeout, &c->tcp->ending);
	}
	if (!mf_http_watch_is_opaque(c->http->watch) || c->relay.refused)
		return;
	if (mf_http_watch_has_tls(c->http->watch))
		c->relay.on_hello = NULL;
	c->relay.filter = NULL;
	mf_tcp_http_free(c->http);
	c->http = NULL;
}

static void pump(struct mf_tcp_conn *c)
{
	enum mf_relay_state state;

	if (c->direct)
		return;
	state = mf_relay_pump(&c->relay, &c->tcp->proxy->pool);
	if (c->http)
		mf_tcp_conn_mind_http(c);
	switch (state) {
	case MF_RELAY_WAITING:
		if (c->watcher.direct)
			mf_tcp_conn_offer_direct(c);
		return;
	case MF_RELAY_BUSY:
		mf_tcp_conn_pump_later(c);
		if (c->watcher.direct)
			mf_tcp_conn_offer_direct(c);
		return;
	case MF_RELAY_FINISHED:
		mf_tcp_conn_close(c, false, NULL);
		return;
	case MF_RELAY_BROKEN:
		mf_tcp_conn_close(c, true, NULL);
		return;
	}
}

/* Send first bytes without storing them; what does not fit at once is stored. */
static int send_or_queue(struct mf_tcp_conn *c, const uint8_t *ptr, size_t len)
{
	ssize_t n = 0;

	if (len == 0)
		return 0;
	if (!c->relay.dir[0].stash)
		n = mf_sock_send(c->relay.fd[1], ptr, len);
	/* an error shows again when the stash is sent */
	n = n < 0 ? 0 : n;
	c->relay.dir[0].bytes += (uint64_t)n;
	return (size_t)n == len ? 0 : mf_relay_queue(&c->relay, 0, ptr + n, len - (size_t)n);
}

/* Connected, and the client's words are judged: what was read goes first. */
void mf_tcp_conn_start_relay(struct mf_tcp_conn *c)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_tcp_setup *s = c->setup;
	uint32_t skip = s->rewritten ? s->scan.wire_len : s->sent;
	int r = 0;

	if (p->opt.router)
		mf_tcp_route_reached(c);
	if (c->watcher.reached)
		c->watcher.reached(c->watcher.ctx);
	if (mf_tcp_conn_is_bridged(c)) {
		mf_tcp_conn_start_bridge(c);
		return;
	}
	c->relay.dir[0].bytes = s->sent;
	if (s->rewritten)
		r = send_or_queue(c, s->rewritten + s->sent, s->rewritten_len - s->sent);
	if (r == 0 && s->in_len > skip)
		r = send_or_queue(c, s->in + skip, s->in_len - skip);
	if (r < 0) {
		mf_tcp_conn_close(c, true, "out of memory");
		return;
	}
	c->relay.dir[0].eof = s->client_eof;
	c->relay.writable[1] = true;
	mf_tcp_conn_note_way(c);
	if (!p->opt.router && !s->scan.done)
		c->relay.on_hello = mf_tcp_http_on_hello;
	c->held = mf_session_names(p->session, &c->flow) &&
		  mf_names_hold(mf_session_names(p->session, &c->flow), &c->flow.server.addr);
	c->state = MF_TCP_RELAY;
	mf_tcp_conn_free_setup(c);
	mf_timeout_arm(&c->timeout, &c->tcp->idle);
	pump(c);
}

static void take_readiness(struct mf_tcp_conn *c, unsigned side, short what)
{
	if (what & EV_CLOSED)
		c->relay.ended[side] = true;
	if (what & (EV_READ | EV_CLOSED))
		c->relay.readable[side] = true;
	if (what & EV_WRITE)
		c->relay.writable[side] = true;
	switch ((enum mf_tcp_state)c->state) {
	case MF_TCP_RELAY:
		pump(c);
		return;
	case MF_TCP_BRIDGE:
		mf_tcp_conn_pump_bridge(c);
		return;
	case MF_TCP_HELLO:
	case MF_TCP_OPENING:
		if (!side && c->relay.ended[0] && mf_tcp_conn_waits(c))
			mf_tcp_conn_left_while_held(c);
		else if (side)
			mf_tcp_conn_server_ready(c, what);
		else if (what & EV_READ)
			mf_tcp_conn_read_client(c);
		return;
	case MF_TCP_GRACE:
		if (what & EV_READ)
			mf_tcp_conn_read_client(c);
		return;
	case MF_TCP_LINGER:
		if (what & EV_READ)
			mf_tcp_conn_drain(c);
		return;
	case MF_TCP_STATE_NUM:
		return;
	}
}

void mf_tcp_conn_on_side(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_tcp_conn *c = ctx;
	struct mf_tcp_proxy *entered = mf_tcp_enter(c);

	take_readiness(c, fd == c->relay.fd[1], what);
	mf_tcp_leave(entered);
}

/* --- accepting ------------------------------------------------------------------------------------------------------ */

static bool find_flow(struct mf_proxy *p, int fd, const struct mf_endpoint *peer,
		      const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	const struct mf_router *router = p->opt.router;

	if (!router)
		return mf_proxy_find_flow(p, MF_TCP, peer, local, ret);
	*ret = (struct mf_session_flow){ .proto = MF_TCP, .client = *peer, .server = *local };
	return router->accept(router->ctx, fd, peer, local, ret) == 0;
}

/* A router counts what it has accepted. */
static void tell_refused(struct mf_proxy *p, const struct mf_session_flow *flow)
{
	if (p->opt.router)
		p->opt.router->ended(
			p->opt.router->ctx,
			&(struct mf_router_end){ .flow = flow, .error = "too many connections" });
}

/* A new connection whose client is at the other end of @fd, which is owned. Return: 0, MF_E_FULL, MF_E_NOMEM */
static int begin(struct mf_tcp_proxy *tcp, int fd, const struct mf_session_flow *flow,
		 const struct mf_proxy_watcher *watcher)
{
	struct mf_proxy *p = tcp->proxy;
	struct mf_tcp_proxy *entered;
	struct mf_tcp_conn *c;

	/* counted before it is looked at: other threads do the same */
	c = p->together->tcp_open++ < p->opt.tcp_connections_max ? calloc(1, sizeof(*c)) : NULL;
	if (c)
		c->setup = calloc(1, sizeof(*c->setup));
	if (!c || !c->setup) {
		p->together->tcp_open--;
		p->stats.tcp_refused_limit++;
		tell_refused(p, flow);
		free(c);
		mf_sock_reset(fd);
		return MF_E_FULL;
	}
	c->tcp = tcp;
	c->flow = *flow;
	c->id = ++p->last_id;
	c->start_ms = mf_now_ms();
	mf_relay_init(&c->relay, fd, -1);
	c->relay.readable[0] = c->relay.writable[0] = true;
	c->next = tcp->conns;
	if (c->next)
		c->next->prev = c;
	tcp->conns = c;
	p->stats.tcp_open++;
	if (mf_sockwatch_start(&c->watch[0], p->base, fd, mf_tcp_conn_on_side, c) < 0) {
		mf_tcp_conn_close(c, true, NULL);
		return MF_E_NOMEM;
	}
	if (watcher)
		c->watcher = *watcher;
	entered = mf_tcp_enter(c);
	mf_tcp_conn_begin(c);
	mf_tcp_leave(entered);
	return 0;
}

int mf_proxy_take_tcp(struct mf_proxy *p, int fd, const struct mf_session_flow *flow,
		      const struct mf_proxy_watcher *watcher)
{
	p->stats.tcp_accepted++;
	if (p->cut) {
		mf_sock_reset(fd);
		return MF_E_PERM;
	}
	return begin(p->tcp, fd, flow, watcher);
}

static void take_connection(struct mf_tcp_proxy *tcp, int fd, const struct mf_endpoint *peer)
{
	struct mf_proxy *p = tcp->proxy;
	struct mf_endpoint local;
	struct mf_session_flow flow;

	p->stats.tcp_accepted++;
	if (p->cut || !mf_sock_local(fd, &local) || !find_flow(p, fd, peer, &local, &flow)) {
		mf_sock_reset(fd);
		return;
	}
	if (flow.server.port == 53 && !p->opt.router) {
		mf_dns_tcp_serve(p->dns, fd, &flow);
		return;
	}
	if (mf_service_gateway_is(p->gateway, &flow)) {
		mf_service_gateway_take(p->gateway, fd, &flow);
		return;
	}
	(void)begin(tcp, fd, &flow, NULL);
}

static void watch_listeners(struct mf_tcp_proxy *tcp, bool watch)
{
	for (size_t i = 0; i < tcp->listener_cnt; i++) {
		if (watch)
			(void)event_add(&tcp->accept_evs[i], NULL);
		else
			event_del(&tcp->accept_evs[i]);
	}
}

static void on_accept(evutil_socket_t listener, short what, void *ctx)
{
	struct mf_tcp_proxy *tcp = ctx;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct mf_endpoint peer;
		int fd = mf_sock_accept((int)listener, &peer);

		if (fd == MF_E_AGAIN)
			return;
		if (fd == MF_E_FULL) {
			/* accept() would fail again and again in a busy loop: let some connections end first */
			watch_listeners(tcp, false);
			mf_timeout_arm(&tcp->accept_pause, &tcp->backoff);
			return;
		}
		if (fd < 0)
			return;
		take_connection(tcp, fd, &peer);
	}
}

static void on_backoff(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_proxy *tcp = ctx;

	(void)t;
	watch_listeners(tcp, true);
}

/* --- time-outs ------------------------------------------------------------------------------------------------------ */

static struct mf_tcp_conn *conn_of(struct mf_timeout *t)
{
	return (struct mf_tcp_conn *)((char *)t - offsetof(struct mf_tcp_conn, timeout));
}

static void on_hello_late(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_proxy *entered = mf_tcp_enter(conn_of(t));

	(void)ctx;
	mf_tcp_conn_hello_late(conn_of(t));
	mf_tcp_leave(entered);
}

static void on_dial_late(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_proxy *entered = mf_tcp_enter(conn_of(t));

	(void)ctx;
	mf_tcp_conn_open_failed(conn_of(t), true, "timed out");
	mf_tcp_leave(entered);
}

/* It waits for a person, and its client has ended its side. */
static void on_left(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_conn *c = conn_of(t);
	struct mf_tcp_proxy *entered = mf_tcp_enter(c);

	(void)ctx;
	if (mf_tcp_conn_waits(c))
		mf_tcp_conn_left_while_held(c);
	mf_tcp_leave(entered);
}

static void on_grace_over(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_proxy *entered = mf_tcp_enter(conn_of(t));

	(void)ctx;
	mf_tcp_conn_grace_over(conn_of(t));
	mf_tcp_leave(entered);
}

static void on_linger_over(struct mf_timeout *t, void *ctx)
{
	(void)ctx;
	mf_tcp_conn_close(conn_of(t), false, NULL);
}

/* Idle means that no byte moved since the last look: found between one and two periods after the last byte. */
static void on_idle(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_conn *c = conn_of(t);
	uint64_t bytes = c->relay.dir[0].bytes + c->relay.dir[1].bytes;

	(void)ctx;
	if (bytes != c->seen_bytes) {
		c->seen_bytes = bytes;
		mf_timeout_arm(t, &c->tcp->idle);
		return;
	}
	mf_tcp_conn_close(c, true, "idle");
}

/* What was asked before a refusal may still be answered, as long as bytes come. */
static void on_ending(struct mf_timeout *t, void *ctx)
{
	struct mf_tcp_conn *c = conn_of(t);

	(void)ctx;
	if (c->relay.dir[1].bytes != c->seen_bytes) {
		c->seen_bytes = c->relay.dir[1].bytes;
		mf_timeout_arm(t, &c->tcp->ending);
		return;
	}
	mf_tcp_conn_close(c, false, "policy");
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

bool mf_tcp_proxy_is_loop(const struct mf_tcp_proxy *tcp, const struct mf_endpoint *to,
			  bool any_addr)
{
	for (size_t i = 0; tcp->listener_is_here && i < tcp->listener_cnt; i++)
		if (tcp->listeners[i].port == to->port &&
		    (any_addr || mf_addr_eq(&tcp->listeners[i].addr, &to->addr) ||
		     mf_addr_is_loopback(&to->addr)))
			return true;
	return false;
}

static int listen_at(struct mf_tcp_proxy *tcp, int fd, struct mf_err *err)
{
	struct event *ev = &tcp->accept_evs[tcp->listener_cnt];

	mf_sock_prepare_listener(fd);
	(void)mf_sock_local(fd, &tcp->listeners[tcp->listener_cnt]);
	event_assign(ev, tcp->proxy->base, fd, EV_READ | EV_PERSIST, on_accept, tcp);
	if (event_add(ev, NULL) < 0)
		return mf_err_set(err, MF_E_IO, "cannot watch the TCP listener");
	tcp->listener_cnt++;
	return 0;
}

int mf_tcp_proxy_new(struct mf_proxy *p, struct mf_tcp_proxy **ret, struct mf_err *err)
{
	struct mf_tcp_proxy *tcp = calloc(1, sizeof(*tcp));
	int probe, r = 0;

	if (!tcp)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the TCP proxy");
	tcp->proxy = p;
	mf_timeout_queue_init(&tcp->hello, p->timeouts, p->opt.hello_timeout_ms, on_hello_late,
			      tcp);
	mf_timeout_queue_init(&tcp->dial, p->timeouts, p->opt.dial_timeout_ms, on_dial_late, tcp);
	mf_timeout_queue_init(&tcp->grace, p->timeouts, p->opt.denial_grace_ms, on_grace_over, tcp);
	mf_timeout_queue_init(&tcp->linger, p->timeouts, LINGER_MS, on_linger_over, tcp);
	mf_timeout_queue_init(&tcp->idle, p->timeouts, p->opt.tcp_idle_ms, on_idle, tcp);
	mf_timeout_queue_init(&tcp->ending, p->timeouts, p->opt.hello_timeout_ms, on_ending, tcp);
	mf_timeout_queue_init(&tcp->backoff, p->timeouts, BACKOFF_MS, on_backoff, tcp);
	mf_timeout_queue_init(&tcp->left, p->timeouts, MF_HELD_LOOK_MS, on_left, tcp);
	mf_tcp_direct_init(tcp);
	event_assign(&tcp->again_ev, p->base, -1, 0, on_again, tcp);
	*ret = tcp;
	if (!p->opt.tcp_fd_cnt)
		return 0;
	/* a socket of ours tells where we dial from */
	probe = mf_sock_open_udp(&(struct mf_endpoint){
		.addr = { .family = 4, .bytes = { 127, 0, 0, 1 } }, .port = 9 });
	tcp->listener_is_here = probe < 0 || mf_sock_same_place(probe, p->opt.tcp_fds[0]);
	if (probe >= 0)
		mf_sock_close(probe);
	for (size_t i = 0; r == 0 && i < p->opt.tcp_fd_cnt; i++)
		r = listen_at(tcp, p->opt.tcp_fds[i], err);
	return r;
}

void mf_tcp_proxy_cut(struct mf_tcp_proxy *tcp)
{
	while (tcp->conns)
		mf_tcp_conn_close(tcp->conns, true, tcp->proxy->cut ? "policy" : "session_end");
}

void mf_tcp_proxy_free(struct mf_tcp_proxy *tcp)
{
	if (!tcp)
		return;
	mf_tcp_proxy_cut(tcp);
	mf_timeout_disarm(&tcp->accept_pause);
	event_del(&tcp->again_ev);
	watch_listeners(tcp, false);
	free(tcp->pinned);
	free(tcp);
}
