/* SPDX-License-Identifier: Apache-2.0 */
/* dns_proxy.c - questions of the session: judged, answered, refused */
#include "proxies/dns_proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/ask/dns.h"
#include "core/base/bytes.h"
#include "proxies/dns_proxy_int.h"
#include "proxies/proxy_int.h"
#include "proxies/refusal.h"

enum { TTL_S = 60 /* of synthetic answers whose verdict names none */ };

size_t mf_dns_answer_limit(const struct mf_dns_query *q, const struct mf_session_flow *flow)
{
	if (flow->proto == MF_TCP)
		return MF_DNS_MESSAGE_MAX;
	return q->udp_size < MF_DNS_UDP_MAX ? q->udp_size : MF_DNS_UDP_MAX;
}

void mf_dns_reply_answer(struct mf_dns_proxy *dns, const struct mf_dns_query *q,
			 const struct mf_session_flow *flow, const struct mf_dns_answer *a,
			 mf_dns_reply_fn reply, void *ctx)
{
	int len =
		mf_dns_write_answer(q, a, dns->out, sizeof(dns->out), mf_dns_answer_limit(q, flow));

	reply(ctx, dns->out, len > 0 ? (size_t)len : 0);
}

void mf_dns_reply_error(struct mf_dns_proxy *dns, const struct mf_dns_query *q,
			const struct mf_session_flow *flow, enum mf_dns_rcode rcode,
			enum mf_dns_ede ede, const char *text, mf_dns_reply_fn reply, void *ctx)
{
	struct mf_dns_answer a = { .rcode = rcode, .ede = ede, .ede_text = text };

	mf_dns_reply_answer(dns, q, flow, &a, reply, ctx);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

void mf_dns_begin_event(struct mf_proxy *p, enum mf_event_type type,
			const struct mf_session_flow *flow, const struct mf_dns_query *q,
			const char *name, const char *action, const struct mf_decision *d)
{
	char buf[16];

	mf_ask_begin_event(p, &p->event, type, flow, name, "query", action, d);
	mf_ask_add(&p->event, MF_EVF_QTYPE, mf_dns_type_format(q->type, buf, sizeof(buf)));
	mf_ask_add(&p->event, MF_EVF_TRANSPORT, mf_ask_dns_transport(flow));
}

void mf_dns_send_query_event(struct mf_proxy *p, const struct mf_session_flow *flow,
			     const struct mf_dns_query *q, const char *name, const char *action,
			     const struct mf_decision *d, unsigned rcode, const char *error)
{
	if (!p->session->events)
		return;
	mf_dns_begin_event(p, MF_EV_DNS_QUERY, flow, q, name, action, d);
	mf_ask_add(&p->event, MF_EVF_RCODE, mf_dns_rcode_name(rcode));
	mf_ask_add(&p->event, MF_EVF_ERROR, error);
	mf_ask_send(p, &p->event);
}

/* --- refusals ------------------------------------------------------------------------------------------------------- */

void mf_dns_refuse(struct mf_dns_turn *t, const struct mf_decision *d, const char *why)
{
	struct mf_dns_answer a = { .soa = true };
	char text[MF_DNS_EDE_ROOM];

	a.rcode = d->verdict == MF_DENY && d->rcode && d->rcode < 16 ? (enum mf_dns_rcode)d->rcode
								     : MF_DNS_REFUSED;
	a.ede = d->matched ? MF_DNS_EDE_BLOCKED : MF_DNS_EDE_PROHIBITED;
	if (d->rule)
		snprintf(text, sizeof(text), "%s (policy %s, %s)", why, d->policy ? d->policy : "?",
			 d->rule);
	else
		snprintf(text, sizeof(text), "%s", why);
	a.ede_text = text;
	/* REFUSED and friends are about the server, not the name: nothing to cache */
	if (a.rcode != MF_DNS_NXDOMAIN && a.rcode != MF_DNS_NOERROR)
		a.soa = false;
	t->p->stats.dns_denied++;
	mf_dns_send_query_event(t->p, t->flow, &t->q, t->name, "blocked", d, a.rcode, NULL);
	mf_dns_reply_answer(t->dns, &t->q, t->flow, &a, t->reply, t->ctx);
}

/* --- synthetic answers ---------------------------------------------------------------------------------------------- */

int mf_dns_learn(struct mf_proxy *p, const struct mf_session_flow *flow, const char *question,
		 const char *const *aliases, size_t alias_cnt, const struct mf_addr *addrs,
		 size_t cnt, uint32_t ttl_s)
{
	struct mf_names_answer a = { .question = question,
				     .question_len = strlen(question),
				     .aliases = aliases,
				     .alias_cnt = alias_cnt,
				     .addrs = addrs,
				     .addr_cnt = cnt,
				     .ttl_s = ttl_s };

	struct mf_names *names = mf_session_names(p->session, flow);

	return cnt && names ? mf_names_learn(names, &a) : 0;
}

static size_t load_addrs(const struct mf_decision *d, struct mf_addr *ret)
{
	size_t cnt = 0;

	for (unsigned i = 0; i < d->addr_cnt && i < MF_ADDRS_MAX; i++)
		if (mf_addr_from_bytes(&ret[cnt], d->addrs[i].bytes,
				       d->addrs[i].family == 4 ? 4 : 16))
			cnt++;
	return cnt;
}

static void send_redirect_event(struct mf_dns_turn *t, const struct mf_decision *d,
				const struct mf_addr *addrs, size_t cnt, uint32_t ttl_s)
{
	char text[MF_ADDR_TEXT_MAX] = "";

	if (!t->p->session->events)
		return;
	mf_dns_begin_event(t->p, MF_EV_DNS_REDIRECT, t->flow, &t->q, t->name, "redirected", d);
	mf_ask_add(&t->p->event, MF_EVF_ORIGINAL_HOST, t->name);
	if (cnt)
		mf_addr_format(&addrs[0], text, sizeof(text));
	mf_ask_add(&t->p->event, MF_EVF_RESOLVED_TO, cnt ? text : d->cname);
	if (cnt)
		mf_event_add_addrs(&t->p->event, MF_EVF_IPS, addrs, cnt);
	mf_event_add_int(&t->p->event, MF_EVF_TTL, ttl_s);
	mf_ask_add(&t->p->event, MF_EVF_VISIBILITY, mf_visibility_name(d->visibility));
	mf_ask_send(t->p, &t->p->event);
}

/* resolve{...}: by the table in dns_proxy.h */
static void answer_resolve(struct mf_dns_turn *t, const struct mf_decision *d)
{
	struct mf_addr addrs[MF_ADDRS_MAX];
	struct mf_dns_name target;
	struct mf_dns_answer a = { .ede = MF_DNS_EDE_NONE, .soa = true, .authoritative = true };
	bool wants_addr =
		t->q.type == MF_DNS_A || t->q.type == MF_DNS_AAAA || t->q.type == MF_DNS_ANY;
	size_t cnt = load_addrs(d, addrs);

	t->p->stats.dns_redirected++;
	a.ttl_s = d->ttl_s ? d->ttl_s : TTL_S;
	send_redirect_event(t, d, addrs, cnt, a.ttl_s);
	if (d->cname && mf_dns_parse_name(d->cname, &target) == 0) {
		if (wants_addr && cnt == 0) {
			if (!mf_dns_forward(t, d, &target))
				mf_dns_reply_error(t->dns, &t->q, t->flow, MF_DNS_SERVFAIL,
						   MF_DNS_EDE_OTHER, "too many questions are open",
						   t->reply, t->ctx);
			return;
		}
		if (wants_addr || t->q.type == MF_DNS_CNAME)
			a.cname = &target;
	}
	if (wants_addr && mf_dns_learn(t->p, t->flow, t->name, d->cname ? &d->cname : NULL,
				       d->cname ? 1 : 0, addrs, cnt, a.ttl_s) < 0) {
		mf_dns_reply_error(t->dns, &t->q, t->flow, MF_DNS_SERVFAIL, MF_DNS_EDE_OTHER,
				   "the names of this session cannot be kept", t->reply, t->ctx);
		return;
	}
	a.addrs = addrs;
	a.addr_cnt = wants_addr ? cnt : 0;
	mf_dns_reply_answer(t->dns, &t->q, t->flow, &a, t->reply, t->ctx);
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

static int judge(struct mf_dns_turn *t, struct mf_decision *d)
{
	struct mf_ask_dns_question q = { .flow = t->flow,
					 .name = t->name,
					 .type = t->type,
					 .class = t->class,
					 .number = t->q.type };

	return mf_ask_dns_judge(&t->p->asker, &q,
				t->p->opt.dns_default == MF_PROXY_DNS_RESOLVE_KNOWN, d);
}

static void judge_and_answer(struct mf_dns_turn *t)
{
	struct mf_decision d;
	/* before dns, whose strings the next question would replace */
	bool redirected = (t->q.type == MF_DNS_HTTPS || t->q.type == MF_DNS_SVCB) &&
			  mf_ask_name_redirected(&t->p->asker, t->flow, t->name);
	int r = judge(t, &d);

	if (r < 0) {
		t->p->stats.dns_bad++;
		mf_dns_reply_error(t->dns, &t->q, t->flow, MF_DNS_REFUSED, MF_DNS_EDE_BLOCKED,
				   "not a host name that a policy can judge", t->reply, t->ctx);
		return;
	}
	if (d.verdict == MF_RESOLVE) {
		answer_resolve(t, &d);
		return;
	}
	if (d.verdict == MF_ASK && mf_dns_hold(t, &d))
		return;
	if (d.verdict != MF_ALLOW) {
		mf_dns_refuse(t, &d, mf_decision_reason(&d));
		return;
	}
	if (redirected) {
		struct mf_dns_answer a = { .ede = MF_DNS_EDE_FILTERED,
					   .soa = true,
					   .ede_text = "connections to this name are redirected" };

		t->p->stats.dns_redirected++;
		mf_dns_reply_answer(t->dns, &t->q, t->flow, &a, t->reply, t->ctx);
		return;
	}
	if (mf_dns_forward(t, &d, NULL))
		return;
	t->p->stats.dns_failed++;
	mf_dns_reply_error(t->dns, &t->q, t->flow, MF_DNS_SERVFAIL, MF_DNS_EDE_OTHER,
			   "too many questions are open", t->reply, t->ctx);
}

void mf_dns_serve(struct mf_dns_turn *t)
{
	struct mf_asker *a = &t->p->asker;

	a->may_hold = true;
	a->grants = t->grants;
	judge_and_answer(t);
	a->may_hold = false;
	a->grants = NULL;
}

/* What cannot be read is answered as far as its header could be. */
static void reply_unreadable(struct mf_dns_turn *t, struct mf_span msg, int why)
{
	bool opcode;

	t->p->stats.dns_bad++;
	/* not even a header, or an answer: saying anything could make a loop */
	if (msg.len < MF_DNS_HEAD_LEN || msg.ptr[2] & 0x80) {
		t->reply(t->ctx, NULL, 0);
		return;
	}
	opcode = why == MF_E_UNSUPPORTED && msg.ptr[2] & 0x78;
	t->q.name.len = 0;
	t->q.has_edns = false;
	mf_dns_reply_error(t->dns, &t->q, t->flow, opcode ? MF_DNS_NOTIMP : MF_DNS_FORMERR,
			   MF_DNS_EDE_NONE, NULL, t->reply, t->ctx);
}

void mf_dns_proxy_ask(struct mf_dns_proxy *dns, const struct mf_session_flow *flow,
		      struct mf_span msg, mf_dns_reply_fn reply, void *ctx)
{
	struct mf_dns_turn t = {
		.dns = dns, .p = dns->proxy, .flow = flow, .reply = reply, .ctx = ctx
	};
	int r = mf_dns_read_query(msg, &t.q);

	t.p->stats.dns_queries++;
	if (r < 0) {
		reply_unreadable(&t, msg, r);
		return;
	}
	if (t.q.cookie.len == MF_DNS_COOKIE_HALF) {
		memcpy(t.q.cookie.bytes + MF_DNS_COOKIE_HALF, dns->cookie, sizeof(dns->cookie));
		t.q.cookie.len += sizeof(dns->cookie);
	}
	if (t.q.edns_version) {
		t.p->stats.dns_bad++;
		mf_dns_reply_error(dns, &t.q, flow, MF_DNS_BADVERS, MF_DNS_EDE_NONE, NULL, reply,
				   ctx);
		return;
	}
	mf_dns_type_format(t.q.type, t.type, sizeof(t.type));
	mf_dns_class_format(t.q.class, t.class, sizeof(t.class));
	if (mf_dns_format_name(&t.q.name, t.name, sizeof(t.name)) < 0) {
		t.p->stats.dns_bad++;
		mf_dns_reply_error(dns, &t.q, flow, MF_DNS_REFUSED, MF_DNS_EDE_BLOCKED,
				   "the name has bytes that no host name has", reply, ctx);
		return;
	}
	mf_dns_serve(&t);
}

int mf_dns_proxy_new(struct mf_proxy *p, struct mf_dns_proxy **ret, struct mf_err *err)
{
	struct mf_dns_proxy *dns = calloc(1, sizeof(*dns));

	int r;

	if (!dns)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the DNS proxy");
	dns->proxy = p;
	r = mf_dns_forward_init(dns, err);
	if (r < 0) {
		mf_dns_forward_done(dns);
		free(dns);
		return r;
	}
	evutil_secure_rng_get_bytes(dns->cookie, sizeof(dns->cookie));
	mf_dns_tcp_init(dns);
	*ret = dns;
	return 0;
}

void mf_dns_proxy_free(struct mf_dns_proxy *dns)
{
	if (!dns)
		return;
	mf_dns_tcp_done(dns);
	mf_dns_forward_done(dns);
	free(dns);
}
