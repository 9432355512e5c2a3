/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_open.c - getting a server for a connection: the original or a redirect's target, and what to do when it fails */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxies/refusal.h"
#include "proxies/tcp_int.h"

static void drop_server(struct mf_tcp_conn *c)
{
	mf_tls_bridge_free(c->bridge);
	c->bridge = NULL;
	if (!c->has_server)
		return;
	mf_sockwatch_stop(&c->watch[1]);
	mf_sock_close(c->relay.fd[1]);
	c->relay.fd[1] = -1;
	c->relay.readable[1] = c->relay.writable[1] = c->relay.ended[1] = false;
	c->has_server = false;
	c->setup->dialling = c->setup->connected = false;
}

static void send_fallback_event(struct mf_tcp_conn *c, const char *error, bool denied)
{
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_event *ev = &p->event;
	const struct mf_decision *d = &c->setup->plan->d;
	char original[MF_ENDPOINT_TEXT_MAX], tried[300];

	snprintf(tried, sizeof(tried), "%s:%u", d->redirect_host ? d->redirect_host : "",
		 d->redirect_port);
	mf_ask_begin_event(p, ev, MF_EV_CONNECT_REDIRECT_FALLBACK, &c->flow, c->host, "connect",
			   denied ? "blocked" : "allowed", d);
	mf_ask_add(ev, MF_EVF_ORIGINAL,
		   mf_endpoint_format(&c->flow.server, original, sizeof(original)));
	mf_ask_add(ev, MF_EVF_REDIRECT_ATTEMPTED, d->redirect_unix ? d->redirect_unix : tried);
	mf_ask_add(ev, MF_EVF_ERROR, error);
	mf_ask_add(ev, MF_EVF_ACTION,
		   d->on_failure == MF_FAIL_OPEN ? "fail_open" : "retry_original");
	mf_ask_add(ev, MF_EVF_STATUS, denied ? "failed" : "connected_to_original");
	mf_ask_send(p, ev);
}

/* The original, after a redirect that failed: judged again, since it was not dialled so far (P19). */
static bool fall_back(struct mf_tcp_conn *c, const char *error)
{
	struct mf_ask_result res;
	struct mf_decision d;
	bool denied;

	if (c->host) {
		mf_ask_connect(&c->tcp->proxy->asker, &c->flow, c->host, &d);
	} else {
		mf_ask_connect_names(&c->tcp->proxy->asker, &c->flow, &d, &res);
	}
	mf_approve_refuse(&d, mf_approve_cannot_wait);
	denied = mf_verdict_rank(&d) == 4;
	send_fallback_event(c, error, denied);
	if (denied)
		return false;
	c->setup->fell_back = true;
	/* the name is changed for the target, not for the original */
	free(c->setup->rewritten);
	c->setup->rewritten = NULL;
	return true;
}

void mf_tcp_conn_open_failed(struct mf_tcp_conn *c, bool dial, const char *error)
{
	struct mf_tcp_setup *s = c->setup;

	drop_server(c);
	if (s->resolve) {
		mf_resolve_cancel(s->resolve);
		s->resolve = NULL;
	}
	if (s->plan && !s->fell_back &&
	    (s->plan->d.on_failure == MF_FAIL_OPEN ||
	     (s->plan->d.on_failure == MF_RETRY_ORIGINAL && dial)) &&
	    fall_back(c, error)) {
		s->addr_cnt = s->addr_next = 0;
		mf_tcp_conn_open(c);
		return;
	}
	c->tcp->proxy->stats.tcp_failed++;
	if (mf_tcp_route_unreached(c, error))
		return;
	/* a reset is what the client would have seen of a port that refuses */
	mf_tcp_conn_close(c, true, error);
}

/* May the target of a redirect be dialled (P21, P22)? What no policy has an opinion about may: the redirect names it. */
static const char *check_target(struct mf_tcp_conn *c, const struct mf_endpoint *to)
{
	struct mf_proxy *p = c->tcp->proxy;
	const char *host = c->setup->plan->d.redirect_host;
	struct mf_session_flow flow = { .proto = MF_TCP, .client = c->flow.client, .server = *to };
	struct mf_decision d;
	struct mf_addr literal;

	if (mf_tcp_proxy_is_loop(c->tcp, to, false))
		return "the target is moonfence's own listener";
	if (p->opt.redirect_target_trusted)
		return NULL;
	if (host && mf_addr_parse(host, strlen(host), &literal) == 0)
		host = NULL;
	mf_ask_connect(&p->asker, &flow, host, &d);
	return mf_verdict_rank(&d) == 4 && (d.matched || d.origin == MF_FROM_FAIL_MODE)
		       ? "the policy denies the redirect's target"
		       : NULL;
}

static void next_or_fail(struct mf_tcp_conn *c, const char *error);

/*
 * Send the client's words with the connecting: a connection that stands at once (a server nearby) saves a turn of the
 * loop, and one that does not says "not now", as it says when it cannot be made.
 */
static void send_early(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	ssize_t n = mf_sock_send(c->relay.fd[1], s->rewritten ? s->rewritten : s->in,
				 s->rewritten ? s->rewritten_len : s->in_len);

	if (n == MF_E_AGAIN)
		return;
	if (n < 0) {
		next_or_fail(c, mf_sock_error_text(mf_sock_last_error()));
		return;
	}
	s->sent = (uint32_t)n;
	s->dialling = false;
	s->connected = true;
	mf_tcp_conn_start_relay(c);
}

static void watch_server(struct mf_tcp_conn *c, int fd)
{
	struct mf_tcp_setup *s = c->setup;

	c->relay.fd[1] = fd;
	c->has_server = true;
	s->dialling = true;
	if (mf_sockwatch_start(&c->watch[1], c->tcp->proxy->base, fd, mf_tcp_conn_on_side, c) < 0) {
		mf_tcp_conn_open_failed(c, true, "the event loop is full");
		return;
	}
	if (!s->judged)
		return;
	mf_timeout_arm(&c->timeout, &c->tcp->dial);
	/* a bridge speaks for itself: the client's own hello must not reach the target */
	if (s->in_len && !mf_tcp_conn_is_bridged(c))
		send_early(c);
}

static const char *dial_error(int r)
{
	return r == MF_E_FULL ? "out of sockets" : mf_sock_error_text(mf_sock_last_error());
}

/* The next address of a target, or the original. */
static void dial_next(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	const char *error = "no address";
	bool tried = false;
	int fd = MF_E_IO;

	if (!s->plan || s->fell_back) {
		s->dialled = c->flow.server;
		tried = true;
		fd = mf_sock_dial(&s->dialled);
		error = fd < 0 ? dial_error(fd) : NULL;
	}
	while (fd < 0 && s->plan && !s->fell_back && s->addr_next < s->addr_cnt) {
		s->dialled = (struct mf_endpoint){ .addr = s->addrs[s->addr_next++],
						   .port = s->plan->d.redirect_port };
		error = check_target(c, &s->dialled);
		if (error)
			continue;
		tried = true;
		fd = mf_sock_dial(&s->dialled);
		if (fd < 0)
			error = dial_error(fd);
	}
	if (fd < 0)
		mf_tcp_conn_open_failed(c, tried, error);
	else
		watch_server(c, fd);
}

/* This address did not answer: the target's next one, or the end of trying. */
static void next_or_fail(struct mf_tcp_conn *c, const char *error)
{
	struct mf_tcp_setup *s = c->setup;

	drop_server(c);
	if (s->plan && !s->fell_back && s->addr_next < s->addr_cnt)
		dial_next(c);
	else
		mf_tcp_conn_open_failed(c, true, error);
}

static void take_addresses(struct mf_tcp_conn *c, int result, const struct mf_addr *addrs,
			   size_t cnt)
{
	struct mf_tcp_setup *s = c->setup;

	s->resolve = NULL;
	if (result < 0 || cnt == 0) {
		mf_tcp_conn_open_failed(c, false, "the redirect's target has no address");
		return;
	}
	s->addr_cnt = (uint8_t)(cnt < MF_RESOLVE_ADDRS_MAX ? cnt : MF_RESOLVE_ADDRS_MAX);
	s->addr_next = 0;
	memcpy(s->addrs, addrs, s->addr_cnt * sizeof(*addrs));
	dial_next(c);
}

static void on_resolved(void *ctx, int result, const struct mf_addr *addrs, size_t cnt)
{
	struct mf_tcp_proxy *entered = mf_tcp_enter(ctx);

	take_addresses(ctx, result, addrs, cnt);
	mf_tcp_leave(entered);
}

void mf_tcp_conn_open(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;
	const struct mf_decision *d = s->plan && !s->fell_back ? &s->plan->d : NULL;
	int fd;

	c->state = MF_TCP_OPENING;
	s->started = true;
	mf_timeout_arm(&c->timeout, &c->tcp->dial);
	if (s->given_fd > 0) {
		fd = s->given_fd;
		s->given_fd = 0;
		watch_server(c, fd);
		return;
	}
	if (d && d->redirect_unix) {
		fd = mf_sock_dial_unix(d->redirect_unix);
		if (fd < 0)
			mf_tcp_conn_open_failed(c, true, dial_error(fd));
		else
			watch_server(c, fd);
		return;
	}
	if (d && d->redirect_host) {
		struct mf_dns_upstream *up = c->tcp->proxy->upstream;
		struct mf_resolve *r = mf_resolve_start(up, d->redirect_host, on_resolved, c);

		/* NULL: on_resolved() has been called, and may have ended the connection */
		if (r)
			s->resolve = r;
		return;
	}
	dial_next(c);
}

/* Whether the server's first words are settings of HTTP/2 (RFC 9113 §3.4, §6.5), whose client speaks without being asked. */
static bool speaks_http2(const struct mf_tcp_conn *c)
{
	static const uint8_t type_to_stream[] = { 4, 0, 0, 0, 0, 0 };
	uint8_t head[9];

	return mf_sock_peek(c->relay.fd[1], head, sizeof(head)) == (ssize_t)sizeof(head) &&
	       head[0] == 0 && memcmp(head + 3, type_to_stream, sizeof(type_to_stream)) == 0;
}

/* Connected (or not): EV_WRITE says so the first time. */
void mf_tcp_conn_server_ready(struct mf_tcp_conn *c, short what)
{
	struct mf_tcp_setup *s = c->setup;
	int err;

	if (s->dialling && what & (EV_WRITE | EV_READ)) {
		err = mf_sock_error(c->relay.fd[1]);
		if (err) {
			next_or_fail(c, mf_sock_error_text(err));
			return;
		}
		s->dialling = false;
		s->connected = true;
		if (!s->judged && s->in_len == 0 && !c->relay.readable[1]) {
			/* now both may speak: no more haste */
			mf_timeout_disarm(&c->timeout);
			mf_timeout_arm(&c->timeout, &c->tcp->idle);
		}
	}
	if (!s->connected || mf_tcp_conn_waits(c))
		return;
	/*
	 * The server speaks first, and the client has said nothing: no TLS, and no HTTP/1. But servers of HTTP/2 may be the
	 * first to say their settings, which wait until the client has asked for something; and what answers one client with
	 * a banner may take requests all the same.
	 */
	if (!s->judged && c->relay.readable[1] && s->in_len == 0 && !s->holding) {
		s->holding = speaks_http2(c);
		if (s->holding)
			mf_timeout_arm(&c->timeout, &c->tcp->hello);
		else
			s->judged = true;
		if (s->judged && !mf_tcp_conn_watch_requests(c))
			return;
	}
	if (s->judged)
		mf_tcp_conn_start_relay(c);
	else if (c->relay.readable[0])
		mf_tcp_conn_read_client(c);
}

void mf_tcp_conn_forget_server(struct mf_tcp_conn *c)
{
	struct mf_tcp_setup *s = c->setup;

	if (s->resolve)
		mf_resolve_cancel(s->resolve);
	s->resolve = NULL;
	s->connected = s->dialling = false;
	if (!c->has_server)
		return;
	mf_sockwatch_stop(&c->watch[1]);
	mf_sock_reset(c->relay.fd[1]);
	c->relay.fd[1] = -1;
	c->relay.readable[1] = c->relay.writable[1] = c->relay.ended[1] = false;
	c->has_server = false;
}
