/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - events about what the policies answered */
#include "proxies/ask.h"

#include <stdio.h>
#include <string.h>

#include "proxies/proxy_int.h"

void mf_ask_add(struct mf_event *ev, enum mf_event_field field, const char *text)
{
	if (mf_event_type_has(ev->type, field))
		mf_event_add_cstr(ev, field, text);
}

static void add_int(struct mf_event *ev, enum mf_event_field field, int64_t value)
{
	if (mf_event_type_has(ev->type, field))
		mf_event_add_int(ev, field, value);
}

void mf_ask_begin_event(struct mf_proxy *p, struct mf_event *ev, enum mf_event_type type,
			const struct mf_session_flow *flow, const char *domain,
			const char *operation, const char *action, const struct mf_decision *d)
{
	struct mf_session *s = p->session;
	struct mf_process proc;
	char client[MF_ENDPOINT_TEXT_MAX];

	/* Who it was costs a search through /proc: made for what is refused or sent elsewhere, else only if a policy asked. */
	if (d && mf_verdict_rank(d) > 2 && !s->asked_pid && s->ops.find_process &&
	    s->ops.find_process(s->ops.ctx, flow, &proc) == 0) {
		s->asked_pid = proc.pid;
		s->asked_parent = proc.parent;
	}
	mf_event_begin(ev, &(struct mf_event_head){
				   .type = type,
				   .session_id = mf_session_id(s, flow),
				   .source = s->source,
				   .pid = d ? s->asked_pid : 0,
				   .parent_pid = d ? s->asked_parent : 0,
				   .domain = domain && *domain ? domain : NULL,
				   .remote = flow->server.addr.family ? &flow->server : NULL,
				   .operation = operation,
				   .effective_action = action,
				   .decision = d,
			   });
	mf_ask_add(ev, MF_EVF_PROTO, mf_proto_name(flow->proto));
	if (flow->client.addr.family)
		mf_ask_add(ev, MF_EVF_CLIENT,
			   mf_endpoint_format(&flow->client, client, sizeof(client)));
	if (!d)
		return;
	mf_ask_add(ev, MF_EVF_RULE, d->rule);
	mf_ask_add(ev, MF_EVF_REASON, mf_verdict_rank(d) > 2 ? mf_decision_reason(d) : d->reason);
	mf_ask_add(ev, MF_EVF_POLICY, d->policy);
	mf_ask_add(ev, MF_EVF_FILE, d->file);
	mf_ask_add(ev, MF_EVF_MESSAGE, d->message);
	if (d->line)
		add_int(ev, MF_EVF_LINE, d->line);
	add_int(ev, MF_EVF_GENERATION, (int64_t)d->generation);
}

void mf_ask_send(struct mf_proxy *p, struct mf_event *ev)
{
	/* a full sink is counted by the sink */
	(void)mf_events_send(p->session->events, ev);
}

static void add_plan(struct mf_event *ev, const struct mf_decision *d)
{
	char to[300] = "";

	if (d->redirect_host)
		snprintf(to, sizeof(to), strchr(d->redirect_host, ':') ? "[%s]:%u" : "%s:%u",
			 d->redirect_host, d->redirect_port);
	mf_ask_add(ev, MF_EVF_REDIRECT_TO, to);
	mf_ask_add(ev, MF_EVF_REDIRECT_TO_UNIX, d->redirect_unix);
	mf_ask_add(ev, MF_EVF_TLS_MODE,
		   d->tls_mode == MF_TLS_REWRITE_SNI ? "rewrite_sni" : "passthrough");
	mf_ask_add(ev, MF_EVF_REDIRECT_SNI, d->sni);
	mf_ask_add(ev, MF_EVF_SNI, d->sni);
	mf_ask_add(ev, MF_EVF_VISIBILITY, mf_visibility_name(d->visibility));
}

/* Whom this session's own answers said to be there. */
static void add_names(struct mf_proxy *p, struct mf_event *ev, const struct mf_session_flow *flow)
{
	struct mf_names *tied = mf_session_names(p->session, flow);
	struct mf_names_item items[MF_ASK_NAMES_MAX];
	const char *names[MF_ASK_NAMES_MAX];
	size_t cnt =
		tied ? mf_names_list(tied, &flow->server.addr, items, MF_ARRAY_SIZE(items)) : 0;

	for (size_t i = 0; i < cnt; i++)
		names[i] = items[i].name;
	if (cnt)
		mf_event_add_list(ev, MF_EVF_NAMES, names, cnt);
}

static bool leads_elsewhere(const struct mf_decision *d)
{
	return d && (d->verdict == MF_REDIRECT || d->verdict == MF_ROUTE);
}

void mf_ask_announce_connect(struct mf_proxy *p, const struct mf_session_flow *flow,
			     const char *host, const char *action, const struct mf_decision *d)
{
	bool redirect = leads_elsewhere(d);
	char text[MF_ADDR_TEXT_MAX], original[MF_NAME_ROOM + MF_ENDPOINT_TEXT_MAX];

	if (!p->session->events)
		return;
	mf_ask_begin_event(p, &p->event, redirect ? MF_EV_CONNECT_REDIRECT : MF_EV_NET_CONNECT,
			   flow, host, "connect", action, d);
	mf_ask_add(&p->event, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&flow->server.addr, text, sizeof(text)));
	if (redirect) {
		if (host && *host)
			snprintf(original, sizeof(original), "%s:%u", host, flow->server.port);
		else
			mf_endpoint_format(&flow->server, original, sizeof(original));
		mf_ask_add(&p->event, MF_EVF_ORIGINAL, original);
		add_plan(&p->event, d);
	} else {
		add_names(p, &p->event, flow);
	}
	mf_ask_send(p, &p->event);
}

void mf_ask_announce_hello(struct mf_proxy *p, const struct mf_session_flow *flow, const char *host,
			   const struct mf_tls_hello *h, bool verified, const struct mf_decision *d,
			   const char *action)
{
	struct mf_event *ev = &p->event;
	const char *versions[MF_TLS_VERSIONS_MAX];
	char name[256], alpn_text[MF_TLS_ALPN_MAX][32], ja4[MF_TLS_JA4_LEN + 1];
	char address[MF_ADDR_TEXT_MAX];
	const char *alpn[MF_TLS_ALPN_MAX];
	size_t cnt = 0;

	if (!p->session->events)
		return;
	mf_ask_begin_event(p, ev, MF_EV_NET_TLS_HELLO, flow, host, "sni", action, d);
	snprintf(name, sizeof(name), "%.*s", (int)h->sni.len, (const char *)h->sni.ptr);
	mf_ask_add(ev, MF_EVF_SNI, name);
	mf_event_add_bool(ev, MF_EVF_SNI_VERIFIED, verified);
	mf_event_add_bool(ev, MF_EVF_ECH, h->ech && !verified);
	for (unsigned i = 0; i < h->version_cnt; i++)
		if (mf_tls_version_name(h->versions[i]))
			versions[cnt++] = mf_tls_version_name(h->versions[i]);
	if (cnt)
		mf_event_add_list(ev, MF_EVF_VERSIONS, versions, cnt);
	for (unsigned i = 0; i < h->alpn_cnt; i++) {
		snprintf(alpn_text[i], sizeof(alpn_text[i]), "%.*s", (int)h->alpn[i].len,
			 (const char *)h->alpn[i].ptr);
		alpn[i] = alpn_text[i];
	}
	if (h->alpn_cnt)
		mf_event_add_list(ev, MF_EVF_ALPN, alpn, h->alpn_cnt);
	mf_tls_format_ja4(h, flow->proto == MF_UDP, ja4);
	mf_ask_add(ev, MF_EVF_JA4, ja4);
	mf_event_add_bool(ev, MF_EVF_QUIC, flow->proto == MF_UDP);
	mf_ask_add(ev, MF_EVF_RESOLVED_IP,
		   mf_addr_format(&flow->server.addr, address, sizeof(address)));
	add_names(p, ev, flow);
	if (leads_elsewhere(d))
		add_plan(ev, d);
	mf_ask_send(p, ev);
}

bool mf_ask_is_host(const char *host, const char *said, size_t len)
{
	return host && strlen(host) == len && memcmp(host, said, len) == 0;
}
