/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c - see flow.h */
#include <event2/util.h>
#include <stdlib.h>

#include "core/loop/pair_family.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/lookup.h"

enum {
	LINGER_MS = 10000,
	DOUBT_MS = 250,
	TLS_HANDSHAKE = 22, /* first byte of a record */
	ROUNDS_MAX = 8,	    /* reads, then others have their turn */
};

enum state {
	WAITING,   /* for the loop to begin */
	RESOLVING, /* its name */
	LINKED,	   /* the TCP proxy has the other end */
	OVER,	   /* failed, and to be told so */
	CLOSED,	   /* by its owner, from inside a call to it */
	DETACHED,  /* its owner has gone; what was written is still sent */
};

/* The TCP proxy's view: outlives the flow, and keeps the member, whom its connection points at. */
struct link {
	struct mf_gw_flow *flow; /* NULL: gone */
	struct mf_gateway *gw;
	struct mf_gw_member *member;
};

struct mf_gw_flow {
	struct mf_gateway *gw;
	struct mf_gw_flow *prev, *next;
	struct mf_gw_member *member;
	const struct mf_gw_flow_handler *handler;
	void *ctx;
	struct mf_session_flow to;
	struct mf_gw_host host;
	struct mf_gw_lookup names;
	enum state state;
	enum mf_gw_why why;
	struct event soon;
	struct mf_timeout timeout, doubt;
	struct link *link;
	struct mf_sockwatch watch, server_watch;
	int pair, fd; /* ours of the pair, -1: none; where bytes go: the same, or the server's */
	struct mf_tcp_conn *direct; /* NULL: through the TCP proxy */
	bool pair_left;	 /* direct: what the server said before may still be in the pair */
	bool held;	 /* nothing is written into the pair, so that it may become direct */
	bool held_hello; /* ... and what waits for that may have to be judged */
	bool peer_ended; /* the loop has said so: reading goes on until it shows */
	bool told_ready;
	bool leaving; /* its owner has gone: DETACHED as soon as it is linked */
	uint8_t *out;
	size_t out_len, out_room;
	bool readable, writable, paused, eof, told_eof, ending, ended, room_wanted;
	bool busy; /* its owner may be running */
	bool no_floor;
	/* what the proxy told */
	bool reached, told_reached, gone, gone_reset, gone_denied;
	const char *gone_error;
};

static void pump(struct mf_gw_flow *f);

static void soon(struct mf_gw_flow *f)
{
	static const struct timeval at_once = { 0, 0 };

	event_add(&f->soon, &at_once);
}

/* --- ends ----------------------------------------------------------------------------------------------------------------- */

/* From now on bytes go through the pair, behind those that are in it. */
static struct mf_tcp_conn *forget_server(struct mf_gw_flow *f)
{
	struct mf_tcp_conn *conn = f->direct;

	if (!conn)
		return NULL;
	f->direct = NULL;
	mf_sockwatch_stop(&f->server_watch);
	f->fd = f->pair;
	f->readable = f->writable = true;
	f->peer_ended = false;
	return conn;
}

static void go_back(struct mf_gw_flow *f, bool look)
{
	struct mf_tcp_conn *conn = forget_server(f);

	if (conn)
		mf_proxy_direct_back(conn, look);
}

static void drop_socket(struct mf_gw_flow *f)
{
	go_back(f, false);
	if (f->pair < 0)
		return;
	mf_sockwatch_stop(&f->watch);
	mf_sock_close(f->pair);
	f->pair = f->fd = -1;
}

static void free_flow(struct mf_gw_flow *f)
{
	struct mf_gateway *gw = f->gw;

	mf_gw_lookup_cancel(&f->names);
	if (f->link)
		f->link->flow = NULL;
	drop_socket(f);
	event_del(&f->soon);
	mf_timeout_disarm(&f->timeout);
	mf_timeout_disarm(&f->doubt);
	if (f->prev)
		f->prev->next = f->next;
	else
		gw->flows = f->next;
	if (f->next)
		f->next->prev = f->prev;
	gw->stats.flows_open--;
	f->member->flows--;
	mf_gw_member_unref(f->member);
	free(f->out);
	free(f);
}

/* Its owner may close it from inside a call: then it goes when that is over. */
static void enter(struct mf_gw_flow *f)
{
	f->busy = true;
}

static void leave(struct mf_gw_flow *f)
{
	f->busy = false;
	if (f->state == CLOSED)
		free_flow(f);
}

/* Told from the loop, in its next turn. */
static void fail(struct mf_gw_flow *f, enum mf_gw_why why)
{
	f->state = OVER;
	f->why = why;
	soon(f);
}

static void tell_failure(struct mf_gw_flow *f)
{
	const struct mf_gw_flow_handler *h = f->handler;
	enum mf_gw_why why = f->why;
	void *ctx = f->ctx;

	if (why == MF_GW_DENIED || why == MF_GW_NOT_PUBLIC)
		f->gw->stats.flows_denied++;
	else
		f->gw->stats.flows_failed++;
	free_flow(f);
	h->failed(ctx, why);
}

static void on_linger(struct mf_timeout *t, void *ctx)
{
	(void)ctx;
	free_flow((struct mf_gw_flow *)((char *)t - offsetof(struct mf_gw_flow, timeout)));
}

/* --- where it may go ------------------------------------------------------------------------------------------------------ */

bool mf_gw_is_open(const struct mf_gateway *gw, const struct mf_addr *addr)
{
	if (gw->opt.allow_private || !mf_addr_is_private(addr))
		return true;
	for (size_t i = 0; i < gw->opt.open_cnt; i++)
		if (mf_cidr_has(&gw->opt.open[i], addr))
			return true;
	return false;
}

bool mf_gateway_may(struct mf_gateway *gw, const struct mf_session_flow *flow)
{
	if (mf_gw_is_open(gw, &flow->server.addr))
		return true;
	gw->stats.flows_denied++;
	mf_gw_announce_refusal(gw, flow, NULL, "the gateway is open to public addresses only");
	return false;
}

void mf_gw_announce_refusal(struct mf_gateway *gw, const struct mf_session_flow *flow,
			    const char *host, const char *why)
{
	struct mf_decision d = mf_ask_own_denial(why);

	mf_ask_announce_connect(gw->proxy, flow, host, "blocked", &d);
}

static void on_reached(void *ctx)
{
	struct link *l = ctx;

	if (!l->flow)
		return;
	l->flow->reached = true;
	if (l->flow->handler->reached)
		soon(l->flow);
}

/* Why a server that was never reached was not. */
static enum mf_gw_why why_unreached(const char *error)
{
	if (error && strcmp(error, "Connection refused") == 0)
		return MF_GW_REFUSED;
	if (error &&
	    (strcmp(error, "timed out") == 0 || strcmp(error, "Connection timed out") == 0))
		return MF_GW_TIMED_OUT;
	return MF_GW_DIAL;
}

static void on_ended(void *ctx, bool denied, bool reset, const char *error)
{
	struct link *l = ctx;
	struct mf_gw_flow *f = l->flow;

	if (f) {
		(void)forget_server(f);
		f->held = false;
		f->link = NULL;
		f->gone = true;
		f->gone_denied = denied;
		f->gone_reset = reset;
		f->gone_error = error;
		/* what it said last is still in the pair */
		f->readable = true;
		f->why = denied				       ? MF_GW_DENIED
			 : !f->reached			       ? why_unreached(error)
			 : error && strcmp(error, "idle") == 0 ? MF_GW_IDLE
							       : MF_GW_RESET;
		soon(f);
	}
	mf_gw_member_unref(l->member);
	free(l);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gw_flow *f = ctx;

	if (fd != f->fd) /* the pair, where nothing goes through it */
		return;
	if (what & EV_CLOSED)
		f->peer_ended = true;
	/* a reset looks like this, or bytes: it is looked for a moment later (ws.c) */
	if (what & EV_READ && what & EV_WRITE && !mf_timeout_armed(&f->doubt))
		mf_timeout_arm(&f->doubt, &f->gw->doubt);
	if (what & (EV_READ | EV_CLOSED))
		f->readable = true;
	if (what & EV_WRITE)
		f->writable = true;
	enter(f);
	pump(f);
	leave(f);
}

static void on_hold(void *ctx, bool hold)
{
	struct link *l = ctx;
	struct mf_gw_flow *f = l->flow;

	if (!f)
		return;
	f->held = hold;
	f->held_hello = false;
	if (!hold)
		soon(f);
}

/* What was kept back meanwhile may go to the server unseen. */
static bool may_go(const struct mf_gw_flow *f, struct mf_tcp_conn *conn, bool held)
{
	return !f->out_len || (held && !f->held_hello &&
			       mf_proxy_direct_may(conn, mf_span_of(f->out, f->out_len)));
}

/* The proxy has seen what it wants to see. */
static bool on_direct(void *ctx, struct mf_tcp_conn *conn, int server)
{
	struct link *l = ctx;
	struct mf_gw_flow *f = l->flow;
	bool held;

	if (!f)
		return false;
	held = f->held;
	f->held = false;
	if (held)
		soon(f);
	if (f->state != LINKED || f->gone || f->ending || f->eof || !may_go(f, conn, held) ||
	    mf_sockwatch_start(&f->server_watch, f->gw->base, server, on_io, f) < 0)
		return false;
	mf_sockwatch_want(&f->watch, 0);
	f->direct = conn;
	f->fd = server;
	f->pair_left = true;
	f->readable = f->writable = true;
	f->peer_ended = false;
	mf_timeout_arm(&f->doubt, &f->gw->doubt); /* the proxy may have been told of an end */
	soon(f);
	return true;
}

/* Allowed: the other end of a pair is the session's connection. Return: 0, MF_E_* */
static int link_up(struct mf_gw_flow *f)
{
	struct mf_proxy_watcher w = {
		.reached = on_reached, .ended = on_ended, .direct = on_direct, .hold = on_hold
	};
	struct link *l = calloc(1, sizeof(*l));
	evutil_socket_t pair[2];
	int r;

	if (!l || evutil_socketpair(MF_PAIR_FAMILY, SOCK_STREAM, 0, pair) < 0) {
		free(l);
		return MF_E_NOMEM;
	}
	for (unsigned i = 0; i < 2; i++) {
		(void)evutil_make_socket_nonblocking(pair[i]);
		(void)evutil_make_socket_closeonexec(pair[i]);
	}
	*l = (struct link){ .flow = f, .gw = f->gw, .member = mf_gw_member_ref(f->member) };
	f->fd = f->pair = (int)pair[0];
	f->link = l;
	f->state = LINKED;
	f->readable = f->writable = true;
	if (mf_sockwatch_start(&f->watch, f->gw->base, f->fd, on_io, f) < 0) {
		mf_sock_close(f->pair);
		f->fd = f->pair = -1;
		mf_sock_close((int)pair[1]);
		r = MF_E_NOMEM;
	} else {
		w.ctx = l;
		r = mf_proxy_take_tcp(f->gw->proxy, (int)pair[1], &f->to, &w);
		if (r == 0)
			return 0;
	}
	f->link = NULL;
	mf_gw_member_unref(l->member);
	free(l);
	return r;
}

static void judge(struct mf_gw_flow *f)
{
	const char *host = f->host.name[0] ? f->host.name : NULL;
	struct mf_proxy_judgement j;
	size_t i = 0;

	while (i < f->names.addr_cnt && !f->no_floor && !mf_gw_is_open(f->gw, &f->names.addrs[i]))
		i++;
	f->to.server.addr = f->names.addrs[i < f->names.addr_cnt ? i : 0];
	if (i == f->names.addr_cnt) {
		mf_gw_announce_refusal(f->gw, &f->to, host,
				       "the gateway is open to public addresses only");
		fail(f, MF_GW_NOT_PUBLIC);
		return;
	}
	if (f->to.server.port == 53) {
		mf_gw_announce_refusal(f->gw, &f->to, host,
				       "names are asked for by /dns-query, or by UDP");
		fail(f, MF_GW_DENIED);
		return;
	}
	mf_proxy_judge(f->gw->proxy, &f->to, &j);
	if (!j.serve) {
		fail(f, MF_GW_DENIED);
		return;
	}
	if (link_up(f) < 0) {
		fail(f, MF_GW_LIMIT);
		return;
	}
	if (f->leaving)
		f->state = DETACHED;
	soon(f);
	if (f->handler->judged)
		f->handler->judged(f->ctx);
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static void on_names(struct mf_gw_lookup *l)
{
	struct mf_gw_flow *f =
		(struct mf_gw_flow *)((char *)l - offsetof(struct mf_gw_flow, names));

	if (l->addr_cnt == 0)
		fail(f, l->denied ? MF_GW_DENIED : MF_GW_NO_NAME);
	else /* on_soon() goes on to judge */
		soon(f);
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */

static void send_out(struct mf_gw_flow *f)
{
	size_t at = 0;

	while (at < f->out_len && f->writable && !f->held) {
		ssize_t n = mf_sock_send(f->fd, f->out + at, f->out_len - at);

		if (n == MF_E_AGAIN)
			f->writable = false;
		else if (n < 0)
			n = (ssize_t)(f->out_len -
				      at); /* nobody is there: reading tells how it ended */
		else if (n > 0 && f->direct)
			mf_proxy_direct_moved(f->direct, 0, (size_t)n);
		at += n > 0 ? (size_t)n : 0;
	}
	if (at)
		memmove(f->out, f->out + at, f->out_len - at);
	f->out_len -= at;
	if (f->out_len == 0 && f->out_room) {
		free(f->out);
		f->out = NULL;
		f->out_room = 0;
	}
	if (f->out_len == 0 && f->ending && !f->ended) {
		f->ended = true;
		mf_sock_shutdown_write(f->fd);
	}
}

/* Return: whether there may be more, now */
static bool read_in(struct mf_gw_flow *f)
{
	uint8_t *buf = f->gw->buf + MF_WS_ROOM;
	bool from_server = false;
	ssize_t n = MF_E_AGAIN;

	if (f->direct && f->pair_left)
		n = mf_sock_recv(f->pair, buf, MF_GW_CHUNK);
	if (n <= 0) {
		f->pair_left = false;
		from_server = f->direct;
		n = mf_sock_recv(f->fd, buf, MF_GW_CHUNK);
		/* empty; but an end that came with the last bytes is told no more */
		if (n > 0 && n < MF_GW_CHUNK)
			f->readable = f->peer_ended;
	}
	if (n == MF_E_AGAIN) {
		f->readable = false;
		return false;
	}
	if (n < 0 && from_server) {
		mf_proxy_direct_broken(f->direct);
		return false;
	}
	if (n <= 0) {
		f->eof = true;
		return false;
	}
	if (from_server)
		mf_proxy_direct_moved(f->direct, 1, (size_t)n);
	if (f->state == LINKED)
		f->handler->bytes(f->ctx, mf_span_of(buf, (size_t)n));
	return f->readable;
}

/* The pair is empty, and the other end told how it was. */
static void settle(struct mf_gw_flow *f)
{
	bool in_order =
		f->gone && f->reached && !f->gone_reset && !f->gone_error && !f->gone_denied;

	if (f->gone && !in_order) {
		fail(f, f->why);
		return;
	}
	if (!f->told_eof) {
		f->told_eof = true;
		f->handler->eof(f->ctx);
	}
}

static bool may_read(const struct mf_gw_flow *f)
{
	return f->readable && !f->paused && !f->eof;
}

/* There is more: for the next turn, or for its owner. */
static void tell_ready(struct mf_gw_flow *f)
{
	if (!f->handler->ready) {
		soon(f);
	} else if (!f->told_ready) {
		f->told_ready = true;
		f->handler->ready(f->ctx);
	}
}

static void want_more(struct mf_gw_flow *f)
{
	if (f->fd >= 0)
		mf_sockwatch_want(
			f->direct ? &f->server_watch : &f->watch,
			(short)((f->readable ? 0 : EV_READ) | (f->writable ? 0 : EV_WRITE)));
}

/* Before anything that the server says */
static void tell_reached(struct mf_gw_flow *f)
{
	if (f->state != LINKED || !f->reached || f->told_reached)
		return;
	f->told_reached = true;
	if (f->handler->reached)
		f->handler->reached(f->ctx);
}

static void pump(struct mf_gw_flow *f)
{
	size_t waited = f->out_len;
	unsigned rounds = 0;
	bool more = true;

	if (f->state == OVER || f->state == CLOSED)
		return;
	send_out(f);
	tell_reached(f);
	if (f->state == LINKED && f->out_len < waited && f->handler->sent)
		f->handler->sent(f->ctx, f->out_len);
	if (f->state == LINKED && f->room_wanted && f->out_len == 0) {
		f->room_wanted = false;
		f->handler->room(f->ctx);
	}
	while (f->state == LINKED && !f->handler->ready && may_read(f) && more &&
	       rounds++ < ROUNDS_MAX)
		more = read_in(f);
	if (f->state == DETACHED && (f->ended || f->gone)) {
		f->state = CLOSED;
		return;
	}
	if (f->state == LINKED && f->eof && !f->paused)
		settle(f);
	else if (f->state == LINKED && may_read(f))
		tell_ready(f);
	want_more(f);
}

bool mf_gw_flow_read(struct mf_gw_flow *f)
{
	bool more = false;

	f->told_ready = false;
	enter(f);
	tell_reached(f);
	if (f->state == LINKED && may_read(f))
		more = read_in(f);
	if (f->state == LINKED && f->eof && !f->paused)
		settle(f);
	more = more && f->state == LINKED;
	f->told_ready = more;
	if (f->state != CLOSED)
		want_more(f);
	leave(f);
	return more;
}

/* There may have been an end behind what was read last. */
static void on_doubt(struct mf_timeout *t, void *ctx)
{
	struct mf_gw_flow *f =
		(struct mf_gw_flow *)((char *)t - offsetof(struct mf_gw_flow, doubt));

	(void)ctx;
	if (f->state != LINKED && f->state != DETACHED)
		return;
	f->readable = true;
	enter(f);
	pump(f);
	leave(f);
}

/* The operator's lists, which his own targets are above. */
static bool is_refused(struct mf_gw_flow *f)
{
	const char *why = f->no_floor ? NULL
				      : mf_gw_targets_refuse_tcp(f->gw->opt.destinations, &f->host,
								 f->to.server.port);

	if (!why)
		return false;
	f->to.server.addr = f->host.addr;
	mf_gw_announce_refusal(f->gw, &f->to, f->host.name[0] ? f->host.name : NULL, why);
	fail(f, MF_GW_DENIED);
	return true;
}

static void on_soon(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gw_flow *f = ctx;

	(void)fd;
	(void)what;
	if (f->state == OVER) {
		tell_failure(f);
		return;
	}
	enter(f);
	switch (f->state) {
	case WAITING:
		if (is_refused(f))
			break;
		if (f->host.addr.family) {
			f->names.addrs[0] = f->host.addr;
			f->names.addr_cnt = 1;
			judge(f);
		} else {
			f->state = RESOLVING;
			mf_gw_lookup_begin(&f->names, f->gw, f->member, &f->to.client, f->host.name,
					   on_names);
		}
		break;
	case RESOLVING:
		if (mf_gw_lookup_is_over(&f->names))
			judge(f);
		break;
	case LINKED:
	case DETACHED:
		pump(f);
		break;
	case OVER:
	case CLOSED:
		break;
	}
	leave(f);
}

static void refuse(struct mf_gw_flow *f, enum mf_gw_why why, enum mf_gateway_refusal reason)
{
	mf_gw_refused_as(f->gw, &f->to.client, f->member->id, "flow", reason, 0);
	fail(f, why);
}

/* --- what fronts call ----------------------------------------------------------------------------------------------------- */

int mf_gw_flow_open(struct mf_gateway *gw, struct mf_gw_member *member,
		    const struct mf_endpoint *client, const struct mf_gw_host *host, uint16_t port,
		    const struct mf_gw_flow_handler *handler, void *ctx, struct mf_gw_flow **ret)
{
	struct mf_gw_flow *f = calloc(1, sizeof(*f));

	if (!f)
		return MF_E_NOMEM;
	f->gw = gw;
	f->member = mf_gw_member_ref(member);
	f->handler = handler;
	f->ctx = ctx;
	f->host = *host;
	f->to = (struct mf_session_flow){ .proto = MF_TCP,
					  .client = *client,
					  .server = { .port = port },
					  .member = &member->pub };
	f->fd = f->pair = -1;
	event_assign(&f->soon, gw->base, -1, 0, on_soon, f);
	f->next = gw->flows;
	if (f->next)
		f->next->prev = f;
	gw->flows = f;
	gw->stats.flows++;
	gw->stats.flows_open++;
	if (member->flows++ >= gw->opt.member_flows_max)
		refuse(f, MF_GW_LIMIT, MF_GW_REFUSED_MEMBER_FLOWS);
	else if (!mf_gw_take_flow(gw, member, &client->addr))
		refuse(f, MF_GW_TOO_FAST, MF_GW_REFUSED_FLOW_RATE);
	else
		soon(f);
	*ret = f;
	return 0;
}

void mf_gw_flow_lift_floor(struct mf_gw_flow *f)
{
	f->no_floor = true;
}

int64_t mf_gw_flow_write(struct mf_gw_flow *f, struct mf_span bytes)
{
	ssize_t n = 0;

	if (f->ending || f->gone || f->state == OVER)
		return MF_E_CLOSED;
	if (f->direct && !mf_proxy_direct_may(f->direct, bytes))
		go_back(f, true);
	if (f->held && bytes.len && bytes.ptr[0] == TLS_HANDSHAKE)
		f->held_hello = true;
	if (f->state == LINKED && f->out_len == 0 && f->writable && !f->held && bytes.len) {
		n = mf_sock_send(f->fd, bytes.ptr, bytes.len);
		if (n > 0 && f->direct)
			mf_proxy_direct_moved(f->direct, 0, (size_t)n);
		if (n == MF_E_AGAIN)
			f->writable = false;
		if (n < 0 && n != MF_E_AGAIN)
			return MF_E_CLOSED;
		bytes = mf_span_sub(bytes, n > 0 ? (size_t)n : 0, bytes.len);
	}
	if (bytes.len == 0)
		return (int64_t)f->out_len;
	if (f->out_len + bytes.len > f->out_room) {
		size_t room = f->out_len + bytes.len + (f->out_len ? f->out_len : 0);
		uint8_t *more = realloc(f->out, room);

		if (!more)
			return MF_E_NOMEM;
		f->out = more;
		f->out_room = room;
	}
	memcpy(f->out + f->out_len, bytes.ptr, bytes.len);
	f->out_len += bytes.len;
	f->room_wanted = true;
	want_more(f);
	return (int64_t)f->out_len;
}

void mf_gw_flow_end(struct mf_gw_flow *f)
{
	f->ending = true;
	if (f->state == LINKED)
		soon(f);
}

void mf_gw_flow_pause(struct mf_gw_flow *f, bool pause)
{
	if (f->paused == pause)
		return;
	f->paused = pause;
	if (!pause && f->state == LINKED)
		soon(f);
}

/* An owner who has left before there was a way to the server; what he said still goes. */
static void to_nobody(void *ctx, enum mf_gw_why why)
{
	(void)ctx;
	(void)why;
}

static const struct mf_gw_flow_handler nobody = { .failed = to_nobody };

void mf_gw_flow_close(struct mf_gw_flow *f, bool reset)
{
	if (!f)
		return;
	if (!reset && f->out_len && (f->state == WAITING || f->state == RESOLVING)) {
		f->handler = &nobody;
		f->leaving = f->ending = true;
		mf_timeout_arm(&f->timeout, &f->gw->linger);
		return;
	}
	if (reset || f->out_len == 0 || f->state != LINKED || f->gone) {
		f->state = CLOSED;
		if (!f->busy)
			free_flow(f);
		return;
	}
	f->state = DETACHED;
	f->ending = true;
	mf_timeout_arm(&f->timeout, &f->gw->linger);
	soon(f);
}

void mf_gw_flows_init(struct mf_gateway *gw)
{
	mf_timeout_queue_init(&gw->linger, gw->timeouts, LINGER_MS, on_linger, gw);
	mf_timeout_queue_init(&gw->doubt, gw->timeouts, DOUBT_MS, on_doubt, gw);
}

void mf_gw_flows_free(struct mf_gateway *gw)
{
	while (gw->flows)
		free_flow(gw->flows);
}
