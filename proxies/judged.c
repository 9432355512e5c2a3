/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judged.c - flows of sources that see packets: whose they are behind their rewritten addresses, and connect's answer
 * before their first packet is
 *
 * Such a source asks while it holds a SYN or a first datagram. Served flows arrive at a listener a moment later; what was
 * answered waits for them in a small table, so that events, statistics and counters see one question. A flow whose answer
 * was overwritten by another one's, or is too old, is asked about again when it arrives: safe, only counted twice.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/proxy_int.h"
#include "proxies/service_gateway.h"

enum {
	SLOTS = 1024,
	KEPT_MS =
		5000, /* a SYN is answered at once; a listener's queue is drained in every turn of the loop */
};

struct slot {
	struct mf_kept *kept; /* NULL: empty */
	struct mf_session_flow flow;
	struct mf_ask_result res;
	uint64_t until_ms;
};

struct mf_judged {
	uint64_t seed;
	struct slot slots[SLOTS];
};

static bool same_end(const struct mf_endpoint *a, const struct mf_endpoint *b)
{
	return a->port == b->port && mf_addr_eq(&a->addr, &b->addr);
}

static uint64_t hash_end(const struct mf_endpoint *ep, uint64_t seed)
{
	return mf_hash_bytes(ep->addr.bytes, sizeof(ep->addr.bytes), seed ^ ep->port);
}

static struct slot *slot_of(struct mf_judged *j, const struct mf_session_flow *f)
{
	return &j->slots[hash_end(&f->client, hash_end(&f->server, j->seed + f->proto)) &
			 (SLOTS - 1)];
}

void mf_judged_keep(struct mf_proxy *p, const struct mf_session_flow *flow,
		    const struct mf_decision *d, const struct mf_ask_result *res)
{
	struct slot *s;

	if (!p->judged) {
		p->judged = calloc(1, sizeof(*p->judged));
		if (!p->judged)
			return; /* it will be asked again */
		p->judged->seed = mf_hash_seed();
	}
	s = slot_of(p->judged, flow);
	free(s->kept);
	*s = (struct slot){ .kept = mf_kept_new(d),
			    .flow = *flow,
			    .res = *res,
			    .until_ms = mf_now_ms() + KEPT_MS };
}

struct mf_kept *mf_judged_take(struct mf_proxy *p, const struct mf_session_flow *flow,
			       struct mf_ask_result *ret_res)
{
	struct mf_kept *kept;
	struct slot *s;

	if (!p->judged)
		return NULL;
	s = slot_of(p->judged, flow);
	if (!s->kept || s->flow.proto != flow->proto || !same_end(&s->flow.client, &flow->client) ||
	    !same_end(&s->flow.server, &flow->server))
		return NULL;
	kept = s->kept;
	s->kept = NULL;
	if (mf_now_ms() > s->until_ms) {
		free(kept);
		return NULL;
	}
	*ret_res = s->res;
	return kept;
}

void mf_judged_free(struct mf_judged *judged)
{
	for (size_t i = 0; judged && i < SLOTS; i++)
		free(judged->slots[i].kept);
	free(judged);
}

bool mf_proxy_find_flow(struct mf_proxy *p, enum mf_proto proto, const struct mf_endpoint *peer,
			const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	const struct mf_proxy_options *o = &p->opt;

	*ret = (struct mf_session_flow){ .proto = proto, .client = *peer, .server = *local };
	if (o->find_flow && o->find_flow(o->find_flow_ctx, proto, peer, local, ret) < 0)
		return false;
	return ret->client.addr.family && ret->server.addr.family;
}

static void fill_redirect(const struct mf_decision *d, struct mf_proxy_judgement *ret)
{
	struct mf_nat_redirect *r = &ret->redirect;
	const char *host = d->redirect_unix ? d->redirect_unix : d->redirect_host;

	if (d->verdict != MF_REDIRECT && d->verdict != MF_ROUTE)
		return;
	/* What does not fit is for statistics only: the kept decision is what is carried out. */
	if ((host && strlen(host) >= sizeof(r->host)) ||
	    (d->sni && strlen(d->sni) >= sizeof(r->sni)))
		return;
	ret->has_redirect = true;
	strcpy(r->host, host ? host : "");
	strcpy(r->sni, d->sni ? d->sni : "");
	r->port = d->redirect_port;
	r->tls_mode = (uint8_t)d->tls_mode;
	r->on_failure = (uint8_t)d->on_failure;
}

void mf_proxy_judge(struct mf_proxy *p, const struct mf_session_flow *flow,
		    struct mf_proxy_judgement *ret)
{
	struct mf_ask_result res;
	struct mf_decision d;

	memset(ret, 0, sizeof(*ret));
	if (p->cut)
		return;
	if (flow->server.port == 53 || mf_service_gateway_is(p->gateway, flow)) {
		ret->serve = true; /* names and requests are judged one by one */
		return;
	}
	p->asker.may_hold = true;
	if (flow->proto == MF_UDP)
		mf_ask_udp(&p->asker, flow, &d, &res);
	else
		mf_ask_connect_names(&p->asker, flow, &d, &res);
	p->asker.may_hold = false;
	if (d.verdict == MF_ASK) {
		ret->serve = true; /* it waits where it arrives, and is asked about there */
		return;
	}
	/*
	 * Where names disagree the client's own words decide; until then it is served. So is QUIC that is denied: it is refused
	 * in its own words, which every client understands.
	 */
	if (mf_verdict_rank(&d) == 4 && !mf_ask_hello_chooses(flow, &res) &&
	    !(flow->proto == MF_UDP && flow->server.port == MF_ASK_QUIC_PORT)) {
		*(flow->proto == MF_UDP ? &p->stats.udp_denied : &p->stats.tcp_denied) += 1;
		mf_ask_announce_connect(p, flow, res.host, "blocked", &d);
		return;
	}
	ret->serve = true;
	fill_redirect(&d, ret);
	mf_judged_keep(p, flow, &d, &res);
}
