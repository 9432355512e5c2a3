/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - see lookup.h */
#include "proxies/gateway/lookup.h"

#include "proxies/dns_proxy.h"
#include "proxies/gateway/gateway_int.h"

static void on_answer(void *ctx, const uint8_t *msg, size_t len)
{
	struct mf_gw_lookup_question *a = ctx;
	struct mf_gw_lookup *l = a->lookup;
	struct mf_dns_record rec;
	struct mf_dns_walk walk;

	a->asked = false;
	if (len > 3 && (msg[3] & 15) == MF_DNS_REFUSED)
		l->denied = true;
	/* the resolver is our own: its CNAME chains are followed as they come */
	if (len && mf_dns_begin_walk(mf_span_of(msg, len), &a->q, 0, &walk) == 0)
		while (l->addr_cnt < MF_GW_LOOKUP_MAX && mf_dns_next_record(&walk, &rec) == 1)
			if (rec.addr.family)
				l->addrs[l->addr_cnt++] = rec.addr;
	if (mf_gw_lookup_is_over(l))
		l->done(l);
}

bool mf_gw_lookup_is_over(const struct mf_gw_lookup *l)
{
	return !l->questions[0].asked && !l->questions[1].asked;
}

void mf_gw_lookup_begin(struct mf_gw_lookup *l, struct mf_gateway *gw, struct mf_gw_member *member,
			const struct mf_endpoint *client, const char *name,
			void (*done)(struct mf_gw_lookup *l))
{
	uint8_t msg[MF_DNS_QUERY_MAX];
	struct mf_session_flow from = {
		.proto = MF_TCP, .client = *client, .https = true, .member = &member->pub
	};

	l->gw = gw;
	l->done = done;
	mf_gw_member_keep_names(member);
	for (unsigned i = 0; i < 2; i++)
		l->questions[i].asked = true;
	for (unsigned i = 0; i < 2; i++) {
		struct mf_gw_lookup_question *a = &l->questions[i];
		int len = MF_E_SYNTAX;

		a->lookup = l;
		a->q = (struct mf_dns_query){ .class = 1,
					      .type = i ? MF_DNS_AAAA : MF_DNS_A,
					      .recursion = true,
					      .has_edns = true,
					      .udp_size = MF_DNS_UDP_MAX };
		if (mf_dns_parse_name(name, &a->q.name) == 0)
			len = mf_dns_write_query(&a->q, 0, NULL, msg, sizeof(msg));
		if (len < 0)
			on_answer(a, NULL, 0);
		else
			mf_dns_proxy_ask(gw->proxy->dns, &from, mf_span_of(msg, (size_t)len),
					 on_answer, a);
	}
}

void mf_gw_lookup_cancel(struct mf_gw_lookup *l)
{
	for (unsigned i = 0; i < 2; i++) {
		if (l->questions[i].asked)
			mf_dns_proxy_cancel(l->gw->proxy->dns, &l->questions[i]);
		l->questions[i].asked = false;
	}
}
