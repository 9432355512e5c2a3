/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c - questions to the policies about one flow */
#include "core/ask/ask.h"

#include <stdlib.h>

#include "core/ask/registered.h"
#include "core/base/hash.h"
#include "core/observe/events.h"
#include "core/policy/outcome.h"
#include "core/policy/request.h"

/* A name that no policy means: what it gets, any name gets. RFC 2606 keeps it from ever existing. */
static const char nobody[] = "unlisted.moonfence.invalid";

/* Where a name that only connect rules know is most likely wanted. */
static const uint16_t known_ports[] = { 443, 80, 22, 8443, 8080, 9418, 853, 587 };

/* --- keeping decisions -------------------------------------------------------------------------------------------- */

/* Every string of a decision that a proxy or an event may want later. */
static const char **string_at(struct mf_decision *d, unsigned i)
{
	const char **all[] = { &d->cname,  &d->redirect_host, &d->redirect_unix, &d->sni,
			       &d->reason, &d->message,	      &d->pack,		 &d->pack_version,
			       &d->policy, &d->rule,	      &d->file };

	return i < MF_ARRAY_SIZE(all) ? all[i] : NULL;
}

struct mf_kept *mf_kept_new(const struct mf_decision *d)
{
	struct mf_decision copy = *d;
	struct mf_kept *k;
	const char **s;
	size_t len = 0, at = 0;

	for (unsigned i = 0; (s = string_at(&copy, i)); i++)
		len += *s ? strlen(*s) + 1 : 0;
	k = malloc(sizeof(*k) + len);
	if (!k)
		return NULL;
	k->d = copy;
	k->d.path_target = NULL;
	for (unsigned i = 0; (s = string_at(&k->d, i)); i++) {
		size_t n;

		if (!*s)
			continue;
		n = strlen(*s) + 1;
		memcpy(k->text + at, *s, n);
		*s = k->text + at;
		at += n;
	}
	return k;
}

int mf_verdict_rank(const struct mf_decision *d)
{
	switch (d->verdict) {
	case MF_ALLOW:
		return d->audit ? 1 : 0;
	case MF_TERMINATE: /* allowed, and looked into */
		return 2;
	case MF_RESOLVE:
	case MF_REDIRECT:
	case MF_ROUTE:
		return 3;
	default:
		/* what a connection cannot carry out must not pass */
		return 4;
	}
}

const char *mf_decision_reason(const struct mf_decision *d)
{
	if (d->message && *d->message)
		return d->message;
	if (d->reason && *d->reason)
		return d->reason;
	if (d->origin == MF_FROM_FAIL_MODE)
		return "the policy failed";
	if (!d->matched)
		return "no policy allows it";
	return "denied by policy";
}

static uint64_t hash_text(const char *s, uint64_t h)
{
	return mf_hash_bytes(s ? s : "", s ? strlen(s) : 0, h);
}

/* Two decisions with one hash send a connection the same way. */
static uint64_t way_of(const struct mf_decision *d)
{
	uint64_t h =
		mf_hash_u64((uint64_t)mf_verdict_rank(d) << 32 | d->redirect_port, d->tls_mode);

	h = hash_text(d->redirect_host, h);
	h = hash_text(d->redirect_unix, h);
	return hash_text(d->sni, h);
}

uint64_t mf_decision_way(const struct mf_decision *d)
{
	return mf_verdict_rank(d) < 3 ? 0 : way_of(d);
}

/* Two decisions with one hash were taken at the same place of the same policy, in the same words. */
static uint64_t place_of(const struct mf_decision *d)
{
	uint64_t h = mf_hash_u64((uint64_t)d->verdict << 32 | d->line, 1);

	h = hash_text(d->policy, h);
	h = hash_text(d->rule, h);
	h = hash_text(d->file, h);
	return hash_text(d->reason, h);
}

/* --- questions ----------------------------------------------------------------------------------------------------- */

static void decide(struct mf_asker *a, struct mf_decision *d)
{
	*d = (struct mf_decision)MF_DECISION_INIT;
	/* The verdict is there even when the policy failed; that it failed is the VM's to count and report. */
	(void)mf_decide(a->session->vm, a->request, d);
	if (d->verdict == MF_ASK &&
	    !mf_approve_settle(a->session->approvals, mf_session_id(a->session, a->session->asked),
			       a->request, a->grants, d) &&
	    !a->may_hold)
		mf_approve_refuse(d, mf_approve_cannot_wait);
}

void mf_ask_decide(struct mf_asker *a, struct mf_decision *d)
{
	decide(a, d);
	/* P48: what is let through can be told of. A loop waits for no disk. */
	if (mf_verdict_rank(d) < 4 && d->visibility != MF_SILENT &&
	    !mf_events_storing(a->session->events, 0)) {
		*d = mf_ask_own_denial("events_not_stored");
		d->rule = "strict_on_audit_failure";
	}
}

/* What would be decided of a flow that nobody has asked for: no counter counts it. */
static void decide_dry(struct mf_asker *a, struct mf_decision *d)
{
	bool may_hold = a->may_hold;

	mf_request_set_dry(a->request);
	a->may_hold = true; /* what would have to wait is for the caller to weigh */
	decide(a, d);
	a->may_hold = may_hold;
}

/* Fields that cost something; the session's own are its to fetch. */
static int fetch_dns(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct mf_asker *a = ctx;
	struct mf_value name;
	const char *text, *domain;
	size_t len;

	if (field != MF_F_DOMAIN && field != MF_F_ENTROPY)
		return mf_session_fetch_process(a->session, req, a->session->asked);
	name = mf_request_peek(req, MF_F_NAME);
	if (name.type != MF_T_STR)
		return MF_E_NOENT;
	text = (const char *)name.ptr;
	domain = mf_registered_domain(text);
	len = domain ? (size_t)(domain - text) : name.len;
	(void)mf_request_set_int(req, MF_F_ENTROPY, mf_name_entropy(text, len));
	if (!domain)
		return 0;
	return mf_request_set_str(req, MF_F_DOMAIN, domain, name.len - len);
}

const char *mf_ask_dns_transport(const struct mf_session_flow *flow)
{
	return flow->https ? "doh" : flow->proto == MF_TCP ? "tcp" : "udp";
}

int mf_ask_fill_dns(struct mf_asker *a, enum mf_kind kind, const struct mf_session_flow *flow,
		    const char *name, const char *type, const char *class)
{
	struct mf_request *q = a->request;
	const char *transport = mf_ask_dns_transport(flow);

	mf_session_begin_request(a->session, q, kind, flow);
	/* the root has no canonical form as a host name: it is asked about without one */
	if (strcmp(name, ".") != 0 && mf_request_set_str(q, MF_F_NAME, name, strlen(name)) < 0)
		return MF_E_SYNTAX;
	(void)mf_request_set_str(q, MF_F_TYPE, type, strlen(type));
	(void)mf_request_set_str(q, MF_F_CLASS, class, strlen(class));
	(void)mf_request_set_str(q, MF_F_TRANSPORT, transport, 3);
	if (flow->client.addr.family)
		(void)mf_request_set_addr(q, MF_F_CLIENT, flow->client.addr.bytes,
					  flow->client.addr.family == 4 ? 4 : 16);
	mf_request_set_fetch(q, fetch_dns, a,
			     (a->session->ops.find_process ? MF_SESSION_PROCESS_FIELDS : 0) |
				     MF_FIELD_BIT(MF_F_DOMAIN) | MF_FIELD_BIT(MF_F_ENTROPY));
	mf_request_set_derived(q, MF_FIELD_BIT(MF_F_DOMAIN) | MF_FIELD_BIT(MF_F_ENTROPY));
	return 0;
}

int mf_ask_dns(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
	       const char *type, const char *class, struct mf_decision *d)
{
	int r = mf_ask_fill_dns(a, MF_DNS, flow, name, type, class);

	if (r == 0)
		mf_ask_decide(a, d);
	return r;
}

int mf_ask_dns_dry(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
		   const char *type, const char *class, struct mf_decision *d)
{
	int r = mf_ask_fill_dns(a, MF_DNS, flow, name, type, class);

	if (r == 0)
		decide_dry(a, d);
	return r;
}

/* What connect and sni have in common. @host, @items: may be NULL, 0 */
static void fill_connect(struct mf_asker *a, enum mf_kind kind, const struct mf_session_flow *flow,
			 const char *host, const struct mf_names_item *items, size_t cnt)
{
	struct mf_request *q = a->request;
	const struct mf_addr *ip = &flow->server.addr;

	mf_session_begin_request(a->session, q, kind, flow);
	if (ip->family)
		(void)mf_request_set_addr(q, MF_F_IP, ip->bytes, ip->family == 4 ? 4 : 16);
	(void)mf_request_set_int(q, MF_F_PORT, flow->server.port);
	(void)mf_request_set_str(q, MF_F_PROTO, mf_proto_name(flow->proto),
				 strlen(mf_proto_name(flow->proto)));
	if (host)
		(void)mf_request_set_str(q, MF_F_HOST, host, strlen(host));
	for (size_t i = 0; i < cnt; i++)
		if (!items[i].alias)
			(void)mf_request_add_str(q, MF_F_HOSTS, items[i].name, items[i].len);
	if (host && cnt == 0)
		(void)mf_request_add_str(q, MF_F_HOSTS, host, strlen(host));
}

static void ask_connect_dry(struct mf_asker *a, const struct mf_session_flow *flow,
			    const char *host, struct mf_decision *d)
{
	fill_connect(a, MF_CONNECT, flow, host, NULL, 0);
	decide_dry(a, d);
}

void mf_ask_fill_connect(struct mf_asker *a, const struct mf_session_flow *flow, const char *host)
{
	fill_connect(a, MF_CONNECT, flow, host, NULL, 0);
}

void mf_ask_connect(struct mf_asker *a, const struct mf_session_flow *flow, const char *host,
		    struct mf_decision *d)
{
	fill_connect(a, MF_CONNECT, flow, host, NULL, 0);
	mf_ask_decide(a, d);
}

bool mf_ask_name_known(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
		       struct mf_decision *d)
{
	struct mf_session_flow probe = { .proto = MF_TCP, .client = flow->client };

	for (size_t i = 0; i < MF_ARRAY_SIZE(known_ports); i++) {
		probe.server.port = known_ports[i];
		ask_connect_dry(a, &probe, name, d);
		/* what waits for an answer when it connects has to get there */
		if (d->matched && (mf_verdict_rank(d) < 4 || d->verdict == MF_ASK))
			return true;
	}
	/* a name that is there to be pinged */
	probe.proto = MF_ICMP;
	probe.server.port = 0;
	ask_connect_dry(a, &probe, name, d);
	return d->matched && mf_verdict_rank(d) < 4;
}

bool mf_ask_name_redirected(struct mf_asker *a, const struct mf_session_flow *flow,
			    const char *name)
{
	struct mf_session_flow probe = { .proto = MF_TCP,
					 .client = flow->client,
					 .server = { .port = 443 } };
	struct mf_decision d;

	ask_connect_dry(a, &probe, name, &d);
	return d.verdict == MF_REDIRECT;
}

bool mf_ask_alias_denied(struct mf_asker *a, const struct mf_session_flow *flow, const char *alias,
			 struct mf_decision *d)
{
	struct mf_decision any;
	uint64_t place;

	if (mf_ask_dns_dry(a, flow, nobody, "A", "IN", &any) < 0)
		return false;
	mf_approve_refuse(&any, mf_approve_cannot_wait);
	place = place_of(&any);
	if (mf_ask_dns_dry(a, flow, alias, "A", "IN", d) < 0)
		return false;
	mf_approve_refuse(d, mf_approve_cannot_wait);
	return d->verdict == MF_DENY && d->matched && place_of(d) != place;
}

bool mf_ask_addr_denied(struct mf_asker *a, const struct mf_session_flow *flow, const char *name,
			const struct mf_addr *addr, struct mf_decision *d)
{
	struct mf_session_flow probe = { .proto = MF_TCP, .client = flow->client };
	struct mf_decision any;
	uint64_t place;

	probe.server.port = known_ports[0];
	ask_connect_dry(a, &probe, name, &any);
	place = place_of(&any);
	probe.server.addr = *addr;
	for (size_t i = 0; i < MF_ARRAY_SIZE(known_ports); i++) {
		probe.server.port = known_ports[i];
		ask_connect_dry(a, &probe, name, d);
		if (d->verdict != MF_DENY || !d->matched || place_of(d) == place)
			return false;
	}
	return true;
}

/* The verdict for one candidate, or for an alias on the way from it to the address that a policy denies by name. */
static void ask_candidate(struct mf_asker *a, const struct mf_session_flow *flow,
			  const struct mf_names_item *items, size_t cnt, size_t which, bool aliases,
			  struct mf_decision *d)
{
	struct mf_names_item chain[MF_NAMES_ALIASES_MAX];
	const struct mf_names_item *name = &items[which];
	size_t chain_cnt = 0;
	uint64_t place = 0;

	if (aliases)
		chain_cnt = mf_names_chain(mf_session_names(a->session, flow), &flow->server.addr,
					   name->name, name->len, chain, MF_ARRAY_SIZE(chain));
	if (chain_cnt) {
		mf_ask_connect(a, flow, nobody, d);
		place = place_of(d);
	}
	for (size_t i = 0; i < chain_cnt; i++) {
		mf_ask_connect(a, flow, chain[i].name, d);
		if ((d->verdict == MF_DENY || d->verdict == MF_ASK) && d->matched &&
		    place_of(d) != place)
			return;
	}
	fill_connect(a, MF_CONNECT, flow, name->name, items, cnt);
	mf_ask_decide(a, d);
}

static size_t list_names(struct mf_asker *a, const struct mf_session_flow *flow,
			 struct mf_names_item *items)
{
	struct mf_names *names = mf_session_names(a->session, flow);

	return names ? mf_names_list(names, &flow->server.addr, items, MF_ASK_NAMES_MAX) : 0;
}

static bool has_alias(const struct mf_names_item *items, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (items[i].alias)
			return true;
	return false;
}

/* connect under the candidates, strictest first wins; @ret->differ says whether they agree */
static void ask_all(struct mf_asker *a, const struct mf_session_flow *flow,
		    const struct mf_names_item *items, size_t cnt, struct mf_decision *d,
		    struct mf_ask_result *ret)
{
	bool aliases = has_alias(items, cnt);
	size_t strictest = 0, last = 0;
	uint64_t way = 0;
	int rank = -1;

	for (size_t i = 0; i < cnt; i++) {
		if (items[i].alias)
			continue;
		ask_candidate(a, flow, items, cnt, i, aliases, d);
		if (ret->name_cnt++ && way_of(d) != way)
			ret->differ = true;
		way = way_of(d);
		if (mf_verdict_rank(d) > rank) {
			rank = mf_verdict_rank(d);
			strictest = i;
		}
		last = i;
	}
	if (rank < 0) {
		/* reached by aliases only, or by nothing at all: no name that a program asked for */
		mf_ask_connect(a, flow, NULL, d);
		return;
	}
	if (last != strictest)
		ask_candidate(a, flow, items, cnt, strictest, aliases, d);
	memcpy(ret->host, items[strictest].name, items[strictest].len + 1u);
}

void mf_ask_connect_names(struct mf_asker *a, const struct mf_session_flow *flow,
			  struct mf_decision *d, struct mf_ask_result *ret)
{
	struct mf_names_item items[MF_ASK_NAMES_MAX];
	size_t cnt = list_names(a, flow, items);

	memset(ret, 0, sizeof(*ret));
	ask_all(a, flow, items, cnt, d, ret);
}

void mf_ask_connect_said(struct mf_asker *a, const struct mf_session_flow *flow, const char *said,
			 size_t said_len, struct mf_decision *d, struct mf_ask_result *ret,
			 bool *ret_verified)
{
	struct mf_names_item items[MF_ASK_NAMES_MAX];
	size_t cnt = list_names(a, flow, items);
	char name[MF_NAME_ROOM];
	int rank;

	memset(ret, 0, sizeof(*ret));
	*ret_verified = false;
	if (said_len && mf_name_canon(said, said_len, name) > 0) {
		for (size_t i = 0; i < cnt; i++) {
			if (items[i].alias || strcmp(items[i].name, name) != 0)
				continue;
			*ret_verified = true;
			ret->name_cnt = 1;
			memcpy(ret->host, name, items[i].len + 1u);
			ask_candidate(a, flow, items, cnt, i, has_alias(items, cnt), d);
			return;
		}
	} else {
		name[0] = '\0';
	}
	ask_all(a, flow, items, cnt, d, ret);
	if (!name[0])
		return;
	/* Unverified: it cannot make anything allowed, but it can make it denied. */
	rank = mf_verdict_rank(d);
	mf_ask_connect(a, flow, name, d);
	if (mf_verdict_rank(d) > rank) {
		memcpy(ret->host, name, strlen(name) + 1);
		return;
	}
	memset(ret, 0, sizeof(*ret));
	ask_all(a, flow, items, cnt, d, ret);
}

static const char quic_stays[] = "QUIC is not redirected; its clients fall back to TCP, which is";
static const char quic_asks[] =
	"QUIC waits for no answer; its clients fall back to TCP, which does";
static const char quic_unseen[] = "QUIC is not intercepted; its clients fall back to TCP, which is";

/*
 * Redirects of UDP need an address: a name would make the datagram wait for the resolver, and what holds for hosts of
 * redirects (checks, fall-back) is TCP's. QUIC is not redirected at all: its clients have TCP to fall back to. And what
 * terminate is to look into must not go unseen.
 */
static const char *udp_cannot(const struct mf_session_flow *flow, const struct mf_decision *d)
{
	struct mf_addr addr;

	if (d->verdict == MF_TERMINATE)
		return flow->server.port == MF_ASK_QUIC_PORT ? quic_unseen
							     : "UDP is not intercepted";
	if (d->verdict == MF_ASK)
		return flow->server.port == MF_ASK_QUIC_PORT ? quic_asks : NULL;
	if (d->verdict != MF_REDIRECT && d->verdict != MF_ROUTE)
		return NULL;
	if (flow->server.port == MF_ASK_QUIC_PORT)
		return quic_stays;
	if (!d->redirect_host ||
	    mf_addr_parse(d->redirect_host, strlen(d->redirect_host), &addr) < 0)
		return "UDP can be redirected to an address only";
	return NULL;
}

/* What terminate was to look into is denied in any case: redirect_unsupported is about redirects. */
static void cannot(struct mf_decision *d, const char *why)
{
	d->else_allow &= d->verdict != MF_TERMINATE && d->verdict != MF_ASK;
	mf_decision_settle(d, why);
	d->message = NULL;
}

void mf_ask_udp_limit(const struct mf_session_flow *flow, struct mf_decision *d)
{
	const char *why = udp_cannot(flow, d);

	if (why)
		cannot(d, why);
}

static const char *echo_cannot(const struct mf_decision *d)
{
	struct mf_addr addr;

	switch (d->verdict) {
	case MF_TERMINATE:
		return "pings are not intercepted";
	case MF_ASK:
		return "pings wait for no answer";
	case MF_REDIRECT:
	case MF_ROUTE:
		return d->redirect_host && mf_addr_parse(d->redirect_host, strlen(d->redirect_host),
							 &addr) == 0
			       ? NULL
			       : "pings can be redirected to an address only";
	default:
		return NULL;
	}
}

void mf_ask_echo(struct mf_asker *a, const struct mf_session_flow *flow, struct mf_decision *d,
		 struct mf_ask_result *ret)
{
	const char *why;

	mf_ask_connect_names(a, flow, d, ret);
	why = echo_cannot(d);
	if (why)
		cannot(d, why);
}

void mf_ask_quic_limit(struct mf_decision *d)
{
	if (d->verdict == MF_ASK)
		cannot(d, quic_asks);
	if (mf_ask_is_silent(d) || mf_verdict_rank(d) < 2 || mf_verdict_rank(d) == 4)
		return;
	cannot(d, d->verdict == MF_TERMINATE ? quic_unseen : quic_stays);
}

bool mf_ask_hello_chooses(const struct mf_session_flow *flow, const struct mf_ask_result *res)
{
	return res->differ && (flow->proto == MF_TCP || flow->server.port == MF_ASK_QUIC_PORT);
}

void mf_ask_udp(struct mf_asker *a, const struct mf_session_flow *flow, struct mf_decision *d,
		struct mf_ask_result *ret)
{
	mf_ask_connect_names(a, flow, d, ret);
	if (!mf_ask_hello_chooses(flow, ret))
		mf_ask_udp_limit(flow, d);
}

static int fetch_sni(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct mf_asker *a = ctx;
	char ja4[MF_TLS_JA4_LEN + 1];

	if (field != MF_F_JA4)
		return mf_session_fetch_process(a->session, req, a->session->asked);
	if (!a->asked_hello)
		return MF_E_NOENT;
	mf_tls_format_ja4(a->asked_hello, a->session->asked->proto == MF_UDP, ja4);
	return mf_request_set_str(req, MF_F_JA4, ja4, MF_TLS_JA4_LEN);
}

/* What sni is asked with, whatever said the name. */
static void fill_sni(struct mf_asker *a, const struct mf_session_flow *flow, struct mf_span name)
{
	struct mf_names_item items[MF_ASK_NAMES_MAX];
	size_t cnt = list_names(a, flow, items), first = 0;

	while (first < cnt && items[first].alias)
		first++;
	fill_connect(a, MF_SNI, flow, first < cnt ? items[first].name : NULL, items, cnt);
	(void)mf_request_set_bool(a->request, MF_F_QUIC, flow->proto == MF_UDP);
	if (name.len)
		(void)mf_request_set_str(a->request, MF_F_SNI, (const char *)name.ptr, name.len);
}

void mf_ask_host(struct mf_asker *a, const struct mf_session_flow *flow,
		 const struct mf_ask_said *said, struct mf_decision *d)
{
	struct mf_request *q = a->request;
	uint64_t lazy = a->session->ops.find_process ? MF_SESSION_PROCESS_FIELDS : 0;

	fill_sni(a, flow, said->name);
	if (said->alpn)
		(void)mf_request_add_str(q, MF_F_ALPN, said->alpn, strlen(said->alpn));
	(void)mf_request_set_bool(q, MF_F_ECH, false);
	a->asked_hello = NULL;
	mf_request_set_fetch(q, fetch_sni, a, lazy);
	mf_ask_decide(a, d);
}

bool mf_ask_target(struct mf_asker *a, const struct mf_session_flow *flow,
		   const struct mf_ask_said *said, struct mf_decision *d)
{
	struct mf_session_flow target = *flow;
	char name[MF_NAME_ROOM];
	struct mf_addr addr;
	bool literal = said->name.len &&
		       mf_addr_parse((const char *)said->name.ptr, said->name.len, &addr) == 0;

	if (said->connect) {
		memset(&target.server.addr, 0, sizeof(target.server.addr));
		target.server.port = said->port;
	}
	if (literal) {
		if (!said->connect && mf_addr_eq(&addr, &flow->server.addr))
			return false;
		target.server.addr = addr;
	} else if (!said->connect) {
		return false;
	}
	if (literal || mf_name_canon((const char *)said->name.ptr, said->name.len, name) < 0)
		mf_ask_connect(a, &target, NULL, d);
	else
		mf_ask_connect(a, &target, name, d);
	return true;
}

void mf_ask_sni(struct mf_asker *a, const struct mf_session_flow *flow,
		const struct mf_tls_hello *h, bool verified, struct mf_decision *d)
{
	struct mf_request *q = a->request;
	uint64_t lazy = UINT64_C(1) << MF_F_JA4;

	fill_sni(a, flow, h->sni);
	for (unsigned i = 0; i < h->alpn_cnt; i++)
		(void)mf_request_add_str(q, MF_F_ALPN, (const char *)h->alpn[i].ptr,
					 h->alpn[i].len);
	for (unsigned i = 0; i < h->version_cnt; i++) {
		const char *v = mf_tls_version_name(h->versions[i]);

		if (v)
			(void)mf_request_add_str(q, MF_F_VERSIONS, v, strlen(v));
	}
	/* An outer hello that names what the client resolved to this address pretends; see tls_hello.h. */
	(void)mf_request_set_bool(q, MF_F_ECH, h->ech && !verified);
	if (a->session->ops.find_process)
		lazy |= MF_SESSION_PROCESS_FIELDS;
	a->asked_hello = h;
	mf_request_set_fetch(q, fetch_sni, a, lazy);
	mf_ask_decide(a, d);
	a->asked_hello = NULL;
}

struct mf_decision mf_ask_own_denial(const char *why)
{
	struct mf_decision d = MF_DECISION_INIT;

	d.verdict = MF_DENY;
	d.origin = MF_FROM_RULES;
	d.matched = true;
	d.policy = "moonfence";
	d.rule = "protocol";
	d.reason = why;
	return d;
}

bool mf_ask_unnameable(struct mf_span said, struct mf_decision *ret_d)
{
	const char *text = (const char *)said.ptr;
	char canon[MF_NAME_ROOM];
	struct mf_addr addr;

	if (said.len == 0 || mf_name_canon(text, said.len, canon) > 0 ||
	    mf_addr_parse(text, said.len, &addr) == 0)
		return false;
	*ret_d = mf_ask_own_denial("the client names what is neither a host nor an address");
	return true;
}
