/* SPDX-License-Identifier: Apache-2.0 */
/* service_gateway_judge.c - a request to a service: what its rules say, a person's answer where they want one, what the server is sent */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/policy/outcome.h"
#include "proxies/ask.h"
#include "proxies/service_gateway_int.h"

static bool is_name(struct mf_span a, const char *name)
{
	return a.len == strlen(name) && strncasecmp((const char *)a.ptr, name, a.len) == 0;
}

/* Fields that are between the client and us; and those by which some servers take another method than the one that was judged. */
static bool is_ours(struct mf_span name)
{
	static const char *const names[] = { "host",
					     "connection",
					     "keep-alive",
					     "proxy-connection",
					     "te",
					     "upgrade",
					     "expect-ct",
					     "http2-settings",
					     "x-http-method-override",
					     "x-http-method",
					     "x-method-override",
					     "x-original-url",
					     "x-rewrite-url" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (is_name(name, names[i]))
			return true;
	return false;
}

static void write_head(struct mf_service_conn *c, const struct mf_api_service *s,
		       struct mf_span head, const struct mf_http_head *h, struct mf_span rest)
{
	struct evbuffer *out = c->to_server;
	struct mf_span name, value;
	size_t at = 0;

	evbuffer_add(out, h->method.ptr, h->method.len);
	evbuffer_add_printf(out, " %.*s%s%.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n",
			    (int)s->base_len, s->base, rest.len && rest.ptr[0] == '/' ? "" : "/",
			    (int)rest.len, (const char *)rest.ptr, (int)s->authority_len,
			    s->authority);
	while (mf_http_next_field(head, &at, &name, &value)) {
		if (is_ours(name))
			continue;
		evbuffer_add(out, name.ptr, name.len);
		evbuffer_add(out, ": ", 2);
		evbuffer_add(out, value.ptr, value.len);
		evbuffer_add(out, "\r\n", 2);
	}
	evbuffer_add(out, "\r\n", 2);
}

static void announce(struct mf_service_conn *c, const struct mf_api_service *s,
		     const struct mf_http_head *h, struct mf_span path, const struct mf_decision *d)
{
	struct mf_proxy *p = c->g->p;
	bool denied = d->verdict == MF_DENY;
	struct mf_session_flow flow = c->flow;

	p->stats.http_requests++;
	p->stats.http_refused += denied;
	if (!p->session->events)
		return;
	flow.server.port = s->port;			      /* where it would go */
	p->session->asked_pid = p->session->asked_parent = 0; /* of another flow */
	mf_ask_begin_event(p, &p->event, MF_EV_NET_HTTP_REQUEST, &flow, s->host, "connect",
			   denied ? "blocked" : "allowed", d);
	mf_event_add_str(&p->event, MF_EVF_METHOD, (const char *)h->method.ptr, h->method.len);
	mf_event_add_str(&p->event, MF_EVF_URL_PATH, (const char *)path.ptr, path.len);
	mf_ask_send(p, &p->event);
}

static void on_resolved(void *ctx, int result, const struct mf_addr *addrs, size_t cnt)
{
	struct mf_service_conn *c = ctx;

	c->resolve = NULL;
	if (result == 0 && cnt) {
		memcpy(c->addrs, addrs, cnt * sizeof(*addrs));
		c->addr_cnt = cnt;
		c->state = MF_SERVICE_DIAL;
	} else {
		mf_service_conn_answer(c, 502, "Bad Gateway", "moonfence: %s cannot be resolved",
				       c->host);
	}
	mf_sockwatch_kick(&c->client_watch);
}

static void resume(struct mf_held *held)
{
	struct mf_service_conn *c =
		(struct mf_service_conn *)((char *)held - offsetof(struct mf_service_conn, held));

	mf_timeout_disarm(&c->timer);
	c->state = MF_SERVICE_HEAD;
	mf_service_conn_take_head(c, c->head_len);
	mf_service_conn_run(c);
}

/*
 * What a person said, if one did, in the place of an ask. An answer is for one method, path and query: they stand in the reason, which a
 * question is known by. Return: false: it waits
 */
static bool settle(struct mf_service_conn *c, const struct mf_api_service *s,
		   const struct mf_http_head *h, struct mf_span target, struct mf_decision *d)
{
	struct mf_proxy *p = c->g->p;
	struct mf_session_flow flow = { .proto = MF_TCP,
					.client = c->flow.client,
					.member = c->flow.member,
					.server = { .port = s->port } };

	if (d->verdict != MF_ASK)
		return true;
	snprintf(c->g->asked, sizeof(c->g->asked), "%.*s %.*s", (int)h->method.len,
		 (const char *)h->method.ptr, (int)target.len, (const char *)target.ptr);
	d->reason = c->g->asked;
	mf_ask_fill_connect(&p->asker, &flow, s->host);
	if (mf_approve_settle(p->session->approvals, mf_session_id(p->session, &flow),
			      p->asker.request, c->held.grants, d))
		return true;
	if (h->upgrade || h->connect) {
		mf_approve_refuse(d, mf_approve_cannot_wait);
		return true;
	}
	c->held.resume = resume;
	return !mf_held_begin(p, &c->held, d);
}

static void judge(struct mf_service_conn *c, const struct mf_api_service *s, struct mf_span head,
		  const struct mf_http_head *h, struct mf_span rest)
{
	struct mf_api_service_judgement *j = &c->g->judgement;
	const uint8_t *query = rest.len ? memchr(rest.ptr, '?', rest.len) : NULL;
	struct mf_span path = mf_span_sub(rest, 0, query ? (size_t)(query - rest.ptr) : rest.len);

	mf_api_service_judge(s, h->method, path, j);
	if (!settle(c, s, h, rest, &j->d)) {
		c->state = MF_SERVICE_HELD;
		c->head_len = head.len;
		if (c->client_eof)
			mf_timeout_arm(&c->timer, &c->g->left);
		else
			mf_timeout_disarm(&c->timer);
		return;
	}
	announce(c, s, h, path, &j->d);
	if (j->d.verdict != MF_ALLOW) {
		mf_service_conn_answer(c, 403, "Forbidden", "moonfence: %s (%s)",
				       j->d.message  ? j->d.message
				       : j->d.reason ? j->d.reason
						     : "this request is not allowed",
				       j->rule);
		return;
	}
	if (h->upgrade || h->connect) {
		mf_service_conn_answer(c, 501, "Not Implemented",
				       "moonfence: the gateway takes requests only");
		return;
	}
	write_head(c, s, head, h, rest);
	snprintf(c->host, sizeof(c->host), "%s", s->host);
	c->port = s->port;
	c->tls = s->tls;
	c->head_left = head.len;
	c->state = MF_SERVICE_RESOLVE;
	mf_timeout_arm(&c->timer, &c->g->setup);
	c->resolve = mf_resolve_start(c->g->p->upstream, c->host, on_resolved, c);
}

void mf_service_conn_take_head(struct mf_service_conn *c, size_t len)
{
	static const char begins[] = "/svc/";
	const struct mf_api_services *all = c->g->p->opt.services(c->g->p->opt.services_ctx);
	struct mf_span head = mf_span_of(c->in, len), rest;
	const struct mf_api_service *s;
	struct mf_http_head h;
	size_t n = 0;

	if (mf_http_read_head(head, &h) < 0) {
		mf_service_conn_answer(c, 400, "Bad Request",
				       "moonfence: this request cannot be read surely");
		return;
	}
	if (!is_name(h.host, MF_SERVICE_GATEWAY_ADDR)) {
		mf_service_conn_answer(c, 421, "Misdirected Request",
				       "moonfence: nobody of this name is here");
		return;
	}
	if (!all) {
		mf_service_conn_answer(c, 503, "Service Unavailable",
				       "moonfence: the policies cannot be read");
		return;
	}
	rest = h.target;
	if (rest.len > sizeof(begins) - 1 && memcmp(rest.ptr, begins, sizeof(begins) - 1) == 0) {
		rest = mf_span_sub(rest, sizeof(begins) - 1, SIZE_MAX);
		while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
			n++;
	}
	s = n ? mf_api_services_find(all, mf_span_sub(rest, 0, n)) : NULL;
	if (s)
		judge(c, s, head, &h, mf_span_sub(rest, n, SIZE_MAX));
	else
		mf_service_conn_answer(
			c, 404, "Not Found",
			"moonfence: no policy declares this service; a URL of one begins "
			"with " MF_SERVICE_GATEWAY_URL "NAME");
}
