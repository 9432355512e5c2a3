/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_intercept.c - see tcp_intercept.h */
#include "proxies/tcp_intercept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "proxies/refusal.h"
#include "proxies/tcp_int.h"

enum {
	NAMES_MAX = 256,
	STRIKES = 2, /* of clients that leave without an alert: one may have changed its mind */
};

struct mf_tcp_intercept {
	struct mf_kept *why;
	char name[MF_NAME_ROOM]; /* of the certificate; "" before the bridge begins */
	uint32_t pid, parent;	 /* who it is; 0: not looked for */
	bool told;
};

/* What clients thought of the certificate of one name. */
struct opinion {
	char name[MF_NAME_ROOM];
	uint64_t turn; /* of its last use */
	uint8_t strikes;
	bool accepted; /* by somebody, last */
};

struct mf_tcp_pinned {
	struct opinion names[NAMES_MAX];
	uint32_t cnt;
	uint64_t turn;
};

static bool passes_pinned(const struct mf_tcp_intercept *i)
{
	return i->why->d.on_failure == MF_FAIL_OPEN;
}

/* --- opinions ------------------------------------------------------------------------------------------------------- */

static struct opinion *find_opinion(struct mf_tcp_proxy *tcp, const char *name)
{
	for (uint32_t i = 0; tcp->pinned && i < tcp->pinned->cnt; i++)
		if (strcmp(tcp->pinned->names[i].name, name) == 0)
			return &tcp->pinned->names[i];
	return NULL;
}

/* The entry of @name, made where there is none; NULL without memory */
static struct opinion *have_opinion(struct mf_tcp_proxy *tcp, const char *name)
{
	struct opinion *o = find_opinion(tcp, name);
	struct mf_tcp_pinned *all;

	if (!tcp->pinned)
		tcp->pinned = calloc(1, sizeof(*tcp->pinned));
	all = tcp->pinned;
	if (!all)
		return NULL;
	if (!o && all->cnt < NAMES_MAX) {
		o = &all->names[all->cnt++];
	} else if (!o) {
		o = &all->names[0];
		for (uint32_t i = 1; i < NAMES_MAX; i++)
			if (all->names[i].turn < o->turn)
				o = &all->names[i];
		memset(o, 0, sizeof(*o));
	}
	o->turn = ++all->turn;
	strcpy(o->name, name);
	return o;
}

static void strike(struct mf_tcp_conn *c, unsigned strikes)
{
	struct opinion *o = have_opinion(c->tcp, c->intercept->name);

	if (!o)
		return;
	o->accepted = false;
	o->strikes = (uint8_t)(o->strikes + strikes < STRIKES ? o->strikes + strikes : STRIKES);
}

/* --- telling -------------------------------------------------------------------------------------------------------- */

/* @said: the name, where the interception has none yet */
static void tell(struct mf_tcp_conn *c, const char *status, bool blocked, const char *said,
		 const char *error)
{
	struct mf_tcp_intercept *i = c->intercept;
	struct mf_proxy *p = c->tcp->proxy;
	struct mf_event *ev = &p->event;
	int64_t pid = p->session->asked_pid, parent = p->session->asked_parent;
	char text[MF_ADDR_TEXT_MAX], alpn[256];
	const char *list[] = { alpn };
	unsigned len = 0;

	if (i->told)
		return;
	i->told = true;
	if (!p->session->events)
		return;
	p->session->asked_pid = i->pid;
	p->session->asked_parent = i->parent;
	mf_ask_begin_event(p, ev, MF_EV_NET_TLS_INTERCEPT, &c->flow, c->host, "sni",
			   blocked ? "blocked" : "allowed", &i->why->d);
	p->session->asked_pid = (uint32_t)pid;
	p->session->asked_parent = (uint32_t)parent;
	mf_ask_add(ev, MF_EVF_SNI, said);
	mf_ask_add(ev, MF_EVF_STATUS, status);
	if (c->bridge && mf_tls_bridge_is_open(c->bridge)) {
		const char *name = mf_tls_bridge_protocol(c->bridge, &len);
		const char *version = mf_tls_bridge_version(c->bridge);

		snprintf(alpn, sizeof(alpn), "%.*s", (int)len, name);
		if (len)
			mf_event_add_list(ev, MF_EVF_ALPN, list, 1);
		mf_event_add_list(ev, MF_EVF_VERSIONS, &version, 1);
	}
	mf_ask_add(ev, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&c->flow.server.addr, text, sizeof(text)));
	if (error && *error)
		mf_ask_add(ev, MF_EVF_ERROR, error);
	mf_ask_send(p, ev);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

void mf_tcp_intercept_drop(struct mf_tcp_conn *c)
{
	if (!c->intercept)
		return;
	free(c->intercept->why);
	free(c->intercept);
	c->intercept = NULL;
}

bool mf_tcp_intercept_take(struct mf_tcp_conn *c, const struct mf_decision *d)
{
	struct mf_tcp_intercept *i = calloc(1, sizeof(*i));

	mf_tcp_intercept_drop(c);
	if (i)
		i->why = mf_kept_new(d);
	if (i && i->why) {
		c->intercept = i;
		return true;
	}
	free(i);
	mf_tcp_conn_close(c, true, "out of memory");
	return false;
}

bool mf_tcp_intercept_passes(struct mf_tcp_conn *c, const struct mf_tls_hello *h)
{
	const struct opinion *o;
	char name[MF_NAME_ROOM];

	if (!passes_pinned(c->intercept) ||
	    mf_name_canon((const char *)h->sni.ptr, h->sni.len, name) < 0)
		return false;
	o = find_opinion(c->tcp, name);
	if (!o || o->strikes < STRIKES)
		return false;
	c->tcp->proxy->stats.tls_passed++;
	tell(c, "passed", false, name, NULL);
	mf_tcp_intercept_drop(c);
	return true;
}

bool mf_tcp_intercept_begin(struct mf_tcp_conn *c, const char *name)
{
	struct mf_tcp_intercept *i = c->intercept;
	struct mf_session *s = c->tcp->proxy->session;
	const struct opinion *o = find_opinion(c->tcp, name);
	struct mf_process proc;

	snprintf(i->name, sizeof(i->name), "%s", name);
	/*
	 * Who refuses is gone when that shows, so it is looked for before: a search through /proc, which is spared where the
	 * name's clients have accepted.
	 */
	if (!(o && o->accepted) && s->events && s->ops.find_process &&
	    s->ops.find_process(s->ops.ctx, &c->flow, &proc) == 0) {
		i->pid = proc.pid;
		i->parent = proc.parent;
	}
	if (!c->http)
		c->http = mf_tcp_http_new(c);
	if (!c->http)
		return false;
	c->http->sni = i->name;
	mf_tcp_conn_note_way(c);
	c->relay.filter = &c->http->filter;
	return true;
}

void mf_tcp_intercept_server_failed(struct mf_tcp_conn *c, const char *error)
{
	c->tcp->proxy->stats.tls_server_failed++;
	tell(c, "server_failed", true, c->intercept->name, error);
}

/* A page for a client whose first request was refused. */
static void answer(struct mf_tcp_conn *c)
{
	char page[MF_HTTP_REFUSAL_MAX], what[600];
	size_t len;

	snprintf(what, sizeof(what), "a request to %s:%u", c->intercept->name, c->flow.server.port);
	len = mf_http_write_refusal(&c->http->refusal->d, what, page);
	free(c->http->refusal);
	c->http->refusal = NULL;
	mf_tls_bridge_answer(c->bridge, page, len);
	mf_tcp_conn_pump_later(c);
}

void mf_tcp_intercept_heard(struct mf_tcp_conn *c)
{
	struct opinion *o;

	if (c->http && c->http->refusal && c->relay.dir[0].bytes == 0)
		answer(c);
	if (c->intercept->told || mf_tls_bridge_client_says(c->bridge) != MF_TLS_CLIENT_ACCEPTED)
		return;
	c->tcp->proxy->stats.tls_intercepted++;
	tell(c, "joined", false, c->intercept->name, NULL);
	o = have_opinion(c->tcp, c->intercept->name);
	if (o) {
		o->accepted = true;
		o->strikes = 0;
	}
}

void mf_tcp_intercept_end(struct mf_tcp_conn *c)
{
	struct mf_tcp_intercept *i = c->intercept;
	struct mf_proxy_stats *stats = &c->tcp->proxy->stats;

	if (!i || i->told || !c->bridge)
		return;
	switch (mf_tls_bridge_client_says(c->bridge)) {
	case MF_TLS_CLIENT_REFUSED:
		stats->tls_client_refused++;
		strike(c, STRIKES);
		tell(c, "client_refused", true, i->name, mf_tls_bridge_error(c->bridge));
		return;
	case MF_TLS_CLIENT_LEFT:
		stats->tls_client_refused++;
		strike(c, 1);
		tell(c, "client_left", true, i->name, mf_tls_bridge_error(c->bridge));
		return;
	case MF_TLS_CLIENT_SILENT:
		/* the server, a time-out or the session's end came first */
		if (c->opened) {
			stats->tls_intercepted++;
			tell(c, "joined", false, i->name, NULL);
			return;
		}
		stats->tls_client_refused++;
		tell(c, "client_left", true, i->name, mf_tls_bridge_error(c->bridge));
		return;
	case MF_TLS_CLIENT_BLIND:
	case MF_TLS_CLIENT_ACCEPTED:
	case MF_TLS_CLIENT_SAYS_NUM:
		return;
	}
}
