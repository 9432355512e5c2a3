/* SPDX-License-Identifier: Apache-2.0 */
/* dns.c - see dns.h */
#include "core/ask/dns.h"

static bool leads_somewhere(uint16_t type)
{
	return type == MF_DNS_A || type == MF_DNS_AAAA || type == MF_DNS_HTTPS ||
	       type == MF_DNS_SVCB || type == MF_DNS_ANY;
}

/* dns is asked; a name that it has no opinion about may be one that connect knows. */
static int ask_or_known(struct mf_asker *a, const struct mf_ask_dns_question *q, bool known,
			struct mf_decision *d)
{
	int r = mf_ask_dns(a, q->flow, q->name, q->type, q->class, d);

	if (r < 0 || d->matched || d->verdict != MF_DENY || d->origin == MF_FROM_FAIL_MODE ||
	    !known)
		return r;
	/* the last question was another one: its strings have replaced those of *d */
	if (!mf_ask_name_known(a, q->flow, q->name, d))
		return mf_ask_dns_dry(a, q->flow, q->name, q->type, q->class, d);
	d->verdict = MF_ALLOW; /* what connect says of it comes when it connects */
	return 0;
}

static bool is_resolved(struct mf_asker *a, const struct mf_ask_dns_question *q, const char *type,
			struct mf_decision *d)
{
	return mf_ask_dns_dry(a, q->flow, q->name, type, q->class, d) == 0 &&
	       d->verdict == MF_RESOLVE;
}

int mf_ask_dns_judge(struct mf_asker *a, const struct mf_ask_dns_question *q, bool resolve_known,
		     struct mf_decision *d)
{
	static const char *const around[] = { "A", "AAAA" };
	const char *other = NULL;
	int r;

	/* before the question itself, which is so the last one: its strings are there, and its counters count once */
	for (size_t i = 0; leads_somewhere(q->number) && !other && i < MF_ARRAY_SIZE(around); i++)
		if (strcmp(around[i], q->type) != 0 && is_resolved(a, q, around[i], d))
			other = around[i];
	r = ask_or_known(a, q, resolve_known, d);
	if (r < 0 || d->verdict != MF_ALLOW || !other)
		return r;
	return mf_ask_dns_dry(a, q->flow, q->name, other, q->class, d);
}

/* The next alias behind @c->last, if there is one. Return: 1, 0, MF_E_* */
static int follow_alias(struct mf_dns_chain *c, const struct mf_dns_walk *start)
{
	struct mf_dns_walk w = *start;
	struct mf_dns_record r;
	int res;

	while ((res = mf_dns_next_record(&w, &r)) == 1) {
		if (r.type != MF_DNS_CNAME || !mf_dns_name_eq(&r.owner, &c->last))
			continue;
		if (c->cnt == MF_NAMES_ALIASES_MAX ||
		    mf_dns_format_name(&r.target, c->names[c->cnt], MF_DNS_TEXT_MAX) < 0)
			return MF_E_BAD;
		c->list[c->cnt] = c->names[c->cnt];
		c->cnt++;
		c->last = r.target;
		if (r.ttl_s < c->ttl_s)
			c->ttl_s = r.ttl_s;
		return 1;
	}
	return res;
}

int mf_dns_read_chain(struct mf_dns_chain *c, const struct mf_dns_query *q,
		      const struct mf_dns_walk *start)
{
	struct mf_dns_walk w = *start;
	struct mf_dns_record r;
	int res;

	c->cnt = c->addr_cnt = 0;
	c->ttl_s = MF_DNS_TTL_CAP_S;
	c->last = q->name;
	if (start->answers_left > MF_DNS_RECORDS_MAX)
		return MF_E_LIMIT;
	while ((res = follow_alias(c, start)) == 1)
		;
	if (res < 0)
		return res;
	while ((res = mf_dns_next_record(&w, &r)) == 1) {
		if (!r.addr.family || !mf_dns_name_eq(&r.owner, &c->last))
			continue;
		if (c->addr_cnt == MF_DNS_TIED_MAX)
			return MF_E_LIMIT;
		c->addrs[c->addr_cnt++] = r.addr;
		if (r.ttl_s < c->ttl_s)
			c->ttl_s = r.ttl_s;
	}
	return res;
}

int mf_ask_dns_answer(struct mf_asker *a, const struct mf_ask_dns_question *q,
		      const struct mf_dns_chain *c, unsigned rcode, struct mf_decision *d)
{
	struct mf_request *req = a->request;
	const char *text = mf_dns_rcode_name(rcode);
	char addr[MF_ADDR_TEXT_MAX];
	bool private = false;
	int r = mf_ask_fill_dns(a, MF_DNS_ANSWER, q->flow, q->name, q->type, q->class);

	if (r < 0)
		return r;
	(void)mf_request_set_str(req, MF_F_ANSWER_RCODE, text, strlen(text));
	for (size_t i = 0; i < c->addr_cnt; i++) {
		private |= mf_addr_is_private(&c->addrs[i]);
		mf_addr_format(&c->addrs[i], addr, sizeof(addr));
		(void)mf_request_add_str(req, MF_F_ANSWER_IPS, addr, strlen(addr));
	}
	for (size_t i = 0; i < c->cnt; i++)
		(void)mf_request_add_str(req, MF_F_ANSWER_ALIASES, c->list[i], strlen(c->list[i]));
	(void)mf_request_set_bool(req, MF_F_ANSWER_PRIVATE, private);
	mf_ask_decide(a, d);
	return 0;
}
