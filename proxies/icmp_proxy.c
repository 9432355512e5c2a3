/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp_proxy.c - pings of the session: judged by connect, and made anew by sockets of ours
 *
 * How it works
 *
 * A flow is (client, destination, identifier). Its first request asks connect with proto "icmp" and port 0. Allowed: a
 * socket towards the destination, whose own identifier the network sees; sequence numbers and payloads pass as they are, in
 * both directions, and so do ICMP errors about them. Denied: that is kept, and each request is answered with an ICMP error.
 * Either ends when nothing was asked for udp_idle_ms (RFC 5508, REQ-1: at least 60 seconds), a denial when it is that old.
 *
 * Bounds: FLOWS_MAX of all, FLOWS_EACH of one client, who is an IPv4 address or a /64: the one of its own that has been
 * quiet longest goes when a new one needs its place, and somebody else's only when all of them are taken.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/packet/build.h"
#include "core/policy/runtime.h"
#include "proxies/icmp_int.h"

enum { FLOWS_MAX = 1024, FLOWS_EACH = 64, DRAIN_MAX = 64 };

/* --- the table ------------------------------------------------------------------------------------------------------ */

static struct mf_icmp_flow **bucket_of(struct mf_icmp_proxy *icmp, const struct mf_session_flow *f)
{
	uint64_t h = mf_hash_bytes(&f->client, sizeof(f->client), icmp->seed);

	h = mf_hash_bytes(&f->server, sizeof(f->server), h);
	return &icmp->buckets[h & (MF_ARRAY_SIZE(icmp->buckets) - 1)];
}

static bool same_ends(const struct mf_session_flow *a, const struct mf_session_flow *b)
{
	return a->client.port == b->client.port && mf_addr_eq(&a->client.addr, &b->client.addr) &&
	       mf_addr_eq(&a->server.addr, &b->server.addr);
}

static struct mf_icmp_flow *find(struct mf_icmp_proxy *icmp, const struct mf_session_flow *ends)
{
	struct mf_icmp_flow *f = *bucket_of(icmp, ends);

	while (f && !same_ends(&f->ends, ends))
		f = f->chain;
	return f;
}

static void unlink_age(struct mf_icmp_flow *f)
{
	*(f->newer ? &f->newer->older : &f->icmp->newest) = f->older;
	*(f->older ? &f->older->newer : &f->icmp->oldest) = f->newer;
	f->newer = f->older = NULL;
}

static void link_newest(struct mf_icmp_flow *f)
{
	struct mf_icmp_proxy *icmp = f->icmp;

	f->older = icmp->newest;
	*(f->older ? &f->older->newer : &icmp->oldest) = f;
	icmp->newest = f;
}

static void touch(struct mf_icmp_flow *f)
{
	f->last_ms = mf_now_ms();
	unlink_age(f);
	link_newest(f);
}

static void send_close_event(struct mf_icmp_flow *f, const char *reason)
{
	struct mf_proxy *p = f->icmp->proxy;
	char text[MF_ADDR_TEXT_MAX];

	if (f->denied || !p->session->events)
		return;
	mf_ask_begin_event(p, &p->event, MF_EV_NET_CLOSE, &f->ends, f->host, "connect", NULL, NULL);
	mf_event_add_int(&p->event, MF_EVF_BYTES_SENT, (int64_t)f->sent);
	mf_event_add_int(&p->event, MF_EVF_BYTES_RECEIVED, (int64_t)f->received);
	mf_ask_add(&p->event, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&f->ends.server.addr, text, sizeof(text)));
	mf_ask_add(&p->event, MF_EVF_REASON, reason);
	mf_ask_send(p, &p->event);
}

static void end_flow(struct mf_icmp_flow *f, const char *reason)
{
	struct mf_proxy *p = f->icmp->proxy;
	struct mf_icmp_flow **at = bucket_of(f->icmp, &f->ends);

	send_close_event(f, reason);
	while (*at != f)
		at = &(*at)->chain;
	*at = f->chain;
	unlink_age(f);
	mf_timeout_disarm(&f->timeout);
	if (f->held)
		mf_names_release(p->session->names, &f->ends.server.addr);
	if (f->socket.fd >= 0) {
		event_del(&f->event);
		mf_ping_socket_close(&f->socket);
	}
	p->stats.icmp_open--;
	p->stats.bytes_to_server += f->sent;
	p->stats.bytes_to_client += f->received;
	free(f->host);
	free(f);
}

static void on_idle(struct mf_timeout *t, void *ctx)
{
	struct mf_icmp_flow *f =
		(struct mf_icmp_flow *)((char *)t - offsetof(struct mf_icmp_flow, timeout));

	(void)ctx;
	if (!f->denied && mf_now_ms() < f->last_ms + t->queue->after_ms)
		mf_timeout_arm(t, t->queue);
	else
		end_flow(f, "idle");
}

static void make_room(struct mf_icmp_proxy *icmp, const struct mf_session_flow *ends)
{
	struct mf_icmp_flow *own = NULL;
	unsigned cnt = 0;

	for (struct mf_icmp_flow *f = icmp->newest; f; f = f->older) {
		if (!mf_proxy_same_client(&f->ends.client.addr, &ends->client.addr))
			continue;
		own = f;
		cnt++;
	}
	if (cnt < FLOWS_EACH && icmp->proxy->stats.icmp_open < FLOWS_MAX)
		return;
	icmp->proxy->stats.icmp_evicted++;
	end_flow(cnt >= FLOWS_EACH ? own : icmp->oldest, "idle");
}

static struct mf_icmp_flow *new_flow(struct mf_icmp_proxy *icmp, const struct mf_session_flow *ends)
{
	struct mf_proxy *p = icmp->proxy;
	struct mf_icmp_flow *f, **bucket;

	make_room(icmp, ends);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->icmp = icmp;
	f->id = ++p->last_id;
	f->ends = *ends;
	f->socket.fd = -1;
	f->last_ms = mf_now_ms();
	bucket = bucket_of(icmp, ends);
	f->chain = *bucket;
	*bucket = f;
	link_newest(f);
	mf_timeout_arm(&f->timeout, &icmp->idle);
	p->stats.icmp_open++;
	p->stats.icmp_flows++;
	return f;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void tell_error(struct mf_icmp_flow *f, const struct mf_session_echo *request,
		       const struct mf_session_echo_error *error)
{
	struct mf_session_ops *ops = &f->icmp->proxy->session->ops;

	if (ops->echo.error)
		ops->echo.error(ops->echo.ctx, &f->ends, request, error);
}

/* As from the destination, as refusals of other protocols come. */
static void refuse(struct mf_icmp_flow *f, const struct mf_session_echo *request)
{
	bool six = f->ends.server.addr.family == 6;

	tell_error(f, request,
		   &(struct mf_session_echo_error){ .type = six ? 1 : 3,
						    .code = six ? MF_ICMPV6_ADMIN_PROHIBITED
								: MF_ICMP_ADMIN_PROHIBITED,
						    .from = f->ends.server.addr });
}

static void on_answer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_icmp_flow *f = ctx;
	struct mf_session_ops *ops = &f->icmp->proxy->session->ops;
	struct mf_ping_answer a;

	(void)fd;
	(void)what;
	for (int i = 0; i < DRAIN_MAX; i++) {
		if (mf_ping_socket_receive(&f->socket, f->icmp->buf, &a) <= 0)
			return;
		if (!a.is_error) {
			f->received += a.echo.len;
			touch(f);
			if (ops->echo.reply)
				ops->echo.reply(ops->echo.ctx, &f->ends, &a.echo);
		} else if (f->socket.to.family == f->ends.server.addr.family) {
			/* where the other end was replaced, the client shall hear of no other */
			if (mf_addr_eq(&a.error.from, &f->socket.to))
				a.error.from = f->ends.server.addr;
			tell_error(f, &a.echo, &a.error);
		}
	}
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

static void announce(struct mf_proxy *p, const struct mf_session_flow *ends, const char *host,
		     const struct mf_decision *d)
{
	bool denied = mf_verdict_rank(d) == 4;
	bool redirect = d->verdict == MF_REDIRECT || d->verdict == MF_ROUTE;

	p->stats.icmp_denied += denied;
	p->stats.icmp_redirected += !denied && redirect;
	p->stats.icmp_allowed += !denied && !redirect;
	mf_ask_announce_connect(p, ends, host,
				denied	   ? "blocked"
				: redirect ? "redirected"
					   : "allowed",
				d);
}

static bool open_flow(struct mf_icmp_flow *f, const struct mf_addr *to)
{
	struct mf_icmp_proxy *icmp = f->icmp;
	struct mf_proxy *p = icmp->proxy;
	int r = mf_ping_socket_open(to, &f->socket);

	if (r < 0) {
		p->stats.icmp_unable++;
		if (r == MF_E_PERM && !icmp->told)
			mf_log_warning(p->session->log,
				       "pings are allowed by policy, and this system forbids them: "
				       "they need a group in net.ipv4.ping_group_range, or "
				       "CAP_NET_RAW");
		icmp->told |= r == MF_E_PERM;
		return false;
	}
	event_assign(&f->event, p->base, f->socket.fd, EV_READ | EV_PERSIST, on_answer, f);
	event_add(&f->event, NULL);
	return true;
}

static struct mf_icmp_flow *begin(struct mf_icmp_proxy *icmp, const struct mf_session_flow *ends)
{
	struct mf_proxy *p = icmp->proxy;
	struct mf_addr to = ends->server.addr;
	struct mf_ask_result res;
	struct mf_decision d;
	struct mf_icmp_flow *f = new_flow(icmp, ends);

	if (!f)
		return NULL;
	f->generation = mf_vm_newest_generation(p->session->vm);
	mf_ask_echo(&p->asker, ends, &d, &res);
	announce(p, ends, res.host, &d);
	f->host = res.host[0] ? strdup(res.host) : NULL;
	f->denied = mf_verdict_rank(&d) == 4;
	if (f->denied)
		return f;
	if (d.verdict == MF_REDIRECT || d.verdict == MF_ROUTE)
		(void)mf_addr_parse(d.redirect_host, strlen(d.redirect_host), &to);
	f->held = p->session->names && mf_names_hold(p->session->names, &ends->server.addr);
	(void)open_flow(f, &to);
	return f;
}

static struct mf_icmp_proxy *icmp_of(struct mf_proxy *p)
{
	if (p->icmp)
		return p->icmp;
	p->icmp = calloc(1, sizeof(*p->icmp));
	if (!p->icmp)
		return NULL;
	p->icmp->proxy = p;
	p->icmp->seed = mf_hash_seed();
	mf_timeout_queue_init(&p->icmp->idle, p->timeouts, p->opt.udp_idle_ms, on_idle, p->icmp);
	return p->icmp;
}

void mf_icmp_proxy_take(struct mf_proxy *p, const struct mf_session_flow *ends,
			const struct mf_session_echo *echo)
{
	struct mf_icmp_proxy *icmp = icmp_of(p);
	struct mf_icmp_flow *f = icmp ? find(icmp, ends) : NULL;

	/* each request is one: policies that changed are asked about the next, whatever was said of those before */
	if (f && f->generation != mf_vm_newest_generation(p->session->vm)) {
		end_flow(f, "policy");
		f = NULL;
	}
	if (icmp && !f)
		f = begin(icmp, ends);
	if (!f)
		return;
	touch(f);
	if (f->socket.fd < 0) {
		refuse(f, echo);
		return;
	}
	f->sent += echo->len;
	/* what the system does not send now is lost, as packets are */
	(void)mf_ping_socket_send(&f->socket, echo);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

void mf_icmp_proxy_cut(struct mf_icmp_proxy *icmp)
{
	while (icmp->oldest)
		end_flow(icmp->oldest, icmp->proxy->cut ? "policy" : "session_end");
}

void mf_icmp_proxy_forget(struct mf_icmp_proxy *icmp, const struct mf_addr *client)
{
	for (struct mf_icmp_flow *f = icmp->oldest, *next; f; f = next) {
		next = f->newer;
		if (mf_proxy_same_client(&f->ends.client.addr, client))
			end_flow(f, "session_end");
	}
}

void mf_icmp_proxy_free(struct mf_icmp_proxy *icmp)
{
	if (!icmp)
		return;
	mf_icmp_proxy_cut(icmp);
	free(icmp);
}
