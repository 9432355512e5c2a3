/* SPDX-License-Identifier: Apache-2.0 */
/* dns_forward.c - answers of the cache and of the real resolvers: read, judged, tied to addresses, passed on */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "proxies/dns_proxy_int.h"
#include "proxies/proxy_int.h"

/* How long a client is let wait before an expired answer is given, if there is one (RFC 8767 5). */
enum { PATIENCE_MS = 1800 };

/* A question on its way to the real resolvers. */
struct mf_dns_job {
	struct mf_dns_proxy *dns;
	struct mf_dns_job *prev, *next;
	struct mf_session_flow flow;
	struct mf_dns_query query; /* the program's */
	struct mf_dns_ask *ask;
	struct mf_timeout patience;
	mf_dns_reply_fn
		reply; /* NULL: was answered with something stale, the rest is for the cache */
	void *ctx;
	/* what its client was given while it waited; NULL: nobody was asked. Once the job is linked, a copy: own_grants */
	const struct mf_approve_grants *grants;
	struct mf_approve_grants *own_grants;
	struct mf_kept *kept; /* the decision that let it pass, for its event */
	uint64_t begun_ns;
	bool cname; /* resolve{cname=}: asked about the target, answered for the question */
	struct mf_dns_name target;
	char name[MF_DNS_TEXT_MAX]; /* the question's, as text */
};

static void unlink_job(struct mf_dns_job *j)
{
	if (j->prev)
		j->prev->next = j->next;
	else
		j->dns->jobs = j->next;
	if (j->next)
		j->next->prev = j->prev;
}

static void link_job(struct mf_dns_job *j)
{
	j->next = j->dns->jobs;
	if (j->next)
		j->next->prev = j;
	j->dns->jobs = j;
}

/* The end of a job that has left the list already: its reply may have cancelled everything of its client. */
static void end_job(struct mf_dns_job *j)
{
	mf_timeout_disarm(&j->patience);
	free(j->own_grants);
	free(j->kept);
	free(j);
}

static void free_job(struct mf_dns_job *j)
{
	if (j->ask)
		mf_dns_upstream_cancel(j->ask);
	unlink_job(j);
	end_job(j);
}

static void send_answer_event(struct mf_dns_job *j, const struct mf_dns_chain *c, unsigned rcode,
			      const char *server)
{
	struct mf_proxy *p = j->dns->proxy;

	if (!p->session->events)
		return;
	mf_dns_begin_event(p, MF_EV_DNS_QUERY, &j->flow, &j->query, j->name, "allowed",
			   j->kept ? &j->kept->d : NULL);
	mf_ask_add(&p->event, MF_EVF_RCODE, mf_dns_rcode_name(rcode));
	mf_ask_add(&p->event, MF_EVF_UPSTREAM, server);
	mf_event_add_int(&p->event, MF_EVF_ELAPSED_US,
			 (int64_t)((mf_clock_now(&mf_clock_system) - j->begun_ns) / MF_NS_PER_US));
	if (c->cnt || c->addr_cnt)
		mf_event_add_int(&p->event, MF_EVF_TTL, c->ttl_s);
	if (c->cnt)
		mf_event_add_list(&p->event, MF_EVF_ALIASES, c->list, c->cnt);
	if (c->addr_cnt)
		mf_event_add_addrs(&p->event, MF_EVF_IPS, c->addrs,
				   c->addr_cnt > 16 ? 16 : c->addr_cnt);
	mf_ask_send(p, &p->event);
}

static void fail_job(struct mf_dns_job *j, const char *text, enum mf_dns_ede ede)
{
	struct mf_proxy *p = j->dns->proxy;

	p->stats.dns_failed++;
	mf_dns_send_query_event(p, &j->flow, &j->query, j->name, "failed",
				j->kept ? &j->kept->d : NULL, MF_DNS_SERVFAIL, text);
	mf_dns_reply_error(j->dns, &j->query, &j->flow, MF_DNS_SERVFAIL, ede, text, j->reply,
			   j->ctx);
}

static void refuse_job(struct mf_dns_job *j, const struct mf_decision *d, const char *why)
{
	struct mf_dns_turn t = { .dns = j->dns,
				 .p = j->dns->proxy,
				 .flow = &j->flow,
				 .q = j->query,
				 .reply = j->reply,
				 .ctx = j->ctx };

	snprintf(t.name, sizeof(t.name), "%s", j->name);
	mf_dns_refuse(&t, d, why);
}

/*
 * Addresses that connect denies are not told (P74): a public name may not lead into a denied network.
 * Return: how many were left out
 */
static size_t drop_denied(struct mf_dns_job *j, struct mf_dns_chain *c)
{
	size_t cnt = 0, all = c->addr_cnt;
	struct mf_decision d;

	for (size_t i = 0; i < all; i++)
		if (!mf_ask_addr_denied(&j->dns->proxy->asker, &j->flow, j->name, &c->addrs[i], &d))
			c->addrs[cnt++] = c->addrs[i];
	c->addr_cnt = cnt;
	return all - cnt;
}

static bool is_left_out(void *ctx, const struct mf_addr *addr)
{
	const struct mf_dns_chain *c = ctx;

	for (size_t i = 0; i < c->addr_cnt; i++)
		if (mf_addr_eq(&c->addrs[i], addr))
			return false;
	return true;
}

static int write_response(struct mf_dns_job *j, const struct mf_dns_chain *c,
			  const struct mf_dns_result *res, const struct mf_dns_copy *how)
{
	struct mf_dns_proxy *dns = j->dns;
	size_t limit = mf_dns_answer_limit(&j->query, &j->flow);
	struct mf_dns_answer a = { .ede = how->ede, .ede_text = how->ede_text, .soa = true };

	if (!j->cname)
		return mf_dns_copy_response(res->msg, &j->query, how, dns->out, sizeof(dns->out),
					    limit);
	a.rcode = (enum mf_dns_rcode)res->walk->rcode;
	a.cname = &j->target;
	a.addrs = c->addrs;
	a.addr_cnt = c->addr_cnt;
	a.ttl_s = c->ttl_s;
	return mf_dns_write_answer(&j->query, &a, dns->out, sizeof(dns->out), limit);
}

static void reply_response(struct mf_dns_job *j, struct mf_dns_chain *c,
			   const struct mf_dns_result *res, enum mf_dns_ede ede)
{
	struct mf_dns_proxy *dns = j->dns;
	struct mf_dns_copy how = { .ttl_max_s = MF_DNS_TTL_CAP_S, .ede = ede };
	int len;

	if (drop_denied(j, c)) {
		how.drops = is_left_out;
		how.drops_ctx = c;
		how.ede = MF_DNS_EDE_FILTERED;
		how.ede_text = "addresses that connect denies were left out";
	}
	if (mf_dns_learn(dns->proxy, &j->flow, j->name, c->list, c->cnt, c->addrs, c->addr_cnt,
			 c->ttl_s) < 0) {
		fail_job(j, "the names of this answer cannot be kept", MF_DNS_EDE_OTHER);
		return;
	}
	len = write_response(j, c, res, &how);
	if (len < 0) {
		fail_job(j, "the resolver's answer is malformed", MF_DNS_EDE_OTHER);
		return;
	}
	dns->proxy->stats.dns_allowed++;
	send_answer_event(j, c, res->walk->rcode, res->server);
	j->reply(j->ctx, dns->out, (size_t)len);
}

/* What was asked: of resolve{cname=} the target. */
static struct mf_dns_query asked_of(const struct mf_dns_job *j)
{
	struct mf_dns_query q = j->query;

	if (j->cname)
		q.name = j->target;
	return q;
}

/* dns_answer is asked, with the question as the program put it. */
static bool may_answer(struct mf_dns_job *j, const struct mf_dns_chain *c, unsigned rcode,
		       struct mf_decision *d)
{
	char type[16], class[16];
	struct mf_ask_dns_question q = {
		.flow = &j->flow,
		.name = j->name,
		.type = mf_dns_type_format(j->query.type, type, sizeof(type)),
		.class = mf_dns_class_format(j->query.class, class, sizeof(class)),
		.number = j->query.type,
	};

	return mf_ask_dns_answer(&j->dns->proxy->asker, &q, c, rcode, d) == 0 &&
	       d->verdict == MF_ALLOW;
}

/* The answer waits in the cache, mostly, until the question is asked once more. */
static bool hold_job(struct mf_dns_job *j, struct mf_decision *d)
{
	struct mf_dns_turn t = { .dns = j->dns,
				 .p = j->dns->proxy,
				 .flow = &j->flow,
				 .q = j->query,
				 .reply = j->reply,
				 .ctx = j->ctx,
				 .grants = j->grants };

	snprintf(t.name, sizeof(t.name), "%s", j->name);
	mf_dns_type_format(t.q.type, t.type, sizeof(t.type));
	mf_dns_class_format(t.q.class, t.class, sizeof(t.class));
	return mf_dns_hold(&t, d);
}

/* An answer, wherever it comes from: nothing here knows whether it was asked for just now. */
static void judge_and_deliver(struct mf_dns_job *j, const struct mf_dns_result *res,
			      enum mf_dns_ede ede)
{
	struct mf_dns_chain *c = j->dns->chain;
	struct mf_dns_query asked = asked_of(j);
	struct mf_decision d;
	char why[MF_DNS_EDE_ROOM];

	if (mf_dns_read_chain(c, &asked, res->walk) < 0) {
		fail_job(j, "the resolver's answer is malformed", MF_DNS_EDE_OTHER);
		return;
	}
	for (size_t i = 0; i < c->cnt; i++) {
		if (!mf_ask_alias_denied(&j->dns->proxy->asker, &j->flow, c->list[i], &d))
			continue;
		snprintf(why, sizeof(why), "its alias %.120s: %.100s", c->list[i],
			 mf_decision_reason(&d));
		refuse_job(j, &d, why);
		return;
	}
	if (!may_answer(j, c, res->walk->rcode, &d)) {
		if (d.verdict == MF_ASK && hold_job(j, &d))
			return;
		refuse_job(j, &d, mf_decision_reason(&d));
		return;
	}
	reply_response(j, c, res, ede);
}

static void deliver(struct mf_dns_job *j, const struct mf_dns_result *res, enum mf_dns_ede ede)
{
	struct mf_asker *a = &j->dns->proxy->asker;

	a->may_hold = true;
	a->grants = j->grants;
	judge_and_deliver(j, res, ede);
	a->may_hold = false;
	a->grants = NULL;
}

/* Return: false when the cache has nothing for it */
static bool deliver_kept(struct mf_dns_job *j, bool stale)
{
	struct mf_dns_proxy *dns = j->dns;
	struct mf_dns_query asked = asked_of(j);
	struct mf_dns_walk walk;
	struct mf_dns_result res = { .walk = &walk, .server = stale ? "cache, stale" : "cache" };
	int len;

	if (!dns->cache)
		return false;
	len = mf_dns_cache_find(dns->cache, &asked, mf_now_ms(), stale, dns->kept);
	if (len < 0)
		return false;
	res.msg = mf_span_of(dns->kept, (size_t)len);
	if (mf_dns_begin_walk(res.msg, &asked, 0, &walk) < 0)
		return false;
	if (stale)
		dns->proxy->stats.dns_stale++;
	else
		dns->proxy->stats.dns_cached++;
	deliver(j, &res, stale ? MF_DNS_EDE_STALE : MF_DNS_EDE_NONE);
	return true;
}

static void fail_unanswered(struct mf_dns_job *j, const struct mf_dns_result *res)
{
	char text[MF_DNS_EDE_ROOM];

	snprintf(text, sizeof(text), "%s: %.60s: %.120s",
		 res->result == MF_E_TIME ? "no resolver answered" : "no resolver can be reached",
		 res->server, res->why);
	fail_job(j, text,
		 res->result == MF_E_TIME ? MF_DNS_EDE_NO_AUTHORITY : MF_DNS_EDE_NETWORK_ERROR);
}

static void on_answer(void *ctx, const struct mf_dns_result *res)
{
	struct mf_dns_job *j = ctx;
	struct mf_dns_query asked = asked_of(j);
	bool failed = res->result < 0 || res->walk->rcode == MF_DNS_SERVFAIL;

	j->ask = NULL;
	unlink_job(j);
	if (!failed && j->dns->cache)
		mf_dns_cache_keep(j->dns->cache, &asked, res->msg, mf_now_ms());
	if (j->reply && !(failed && deliver_kept(j, true))) {
		if (res->result < 0)
			fail_unanswered(j, res);
		else
			deliver(j, res, MF_DNS_EDE_NONE);
	}
	end_job(j);
}

/* The client has waited long enough, if there is something to give; the question stays open for the cache. */
static void on_patience(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_job *j =
		(struct mf_dns_job *)((char *)t - offsetof(struct mf_dns_job, patience));

	(void)ctx;
	unlink_job(j); /* the reply may cancel everything of its client */
	if (deliver_kept(j, true))
		j->reply = NULL;
	j->prev = NULL;
	link_job(j);
}

/* A turn as a job that nobody has to wait for, yet: big, so only what is used is written. */
static void fill_job(struct mf_dns_job *j, struct mf_dns_turn *t, const struct mf_decision *d,
		     const struct mf_dns_name *target)
{
	j->dns = t->dns;
	j->prev = j->next = NULL;
	j->grants = t->grants;
	j->own_grants = NULL;
	j->flow = *t->flow;
	j->query = t->q;
	j->ask = NULL;
	memset(&j->patience, 0, sizeof(j->patience));
	j->reply = t->reply;
	j->ctx = t->ctx;
	/* only events speak of it */
	j->kept = t->p->session->events ? mf_kept_new(d) : NULL;
	j->begun_ns = t->p->session->events ? mf_clock_now(&mf_clock_system) : 0;
	j->cname = target != NULL;
	if (target)
		j->target = *target;
	memcpy(j->name, t->name, strlen(t->name) + 1);
}

bool mf_dns_forward(struct mf_dns_turn *t, const struct mf_decision *d,
		    const struct mf_dns_name *target)
{
	struct mf_dns_job now, *j;
	struct mf_dns_query asked;

	fill_job(&now, t, d, target);
	if (deliver_kept(&now, false)) {
		free(now.kept);
		return true;
	}
	j = malloc(sizeof(*j));
	if (!j) {
		free(now.kept);
		return false;
	}
	*j = now;
	if (now.grants) {
		/* without memory it is asked once more */
		j->grants = j->own_grants = malloc(sizeof(*j->own_grants));
		if (j->own_grants)
			*j->own_grants = *now.grants;
	}
	asked = asked_of(j);
	if (mf_dns_upstream_ask(t->p->upstream, &asked, on_answer, j, &j->ask) < 0) {
		end_job(j);
		return false;
	}
	link_job(j);
	if (t->p->opt.dns_stale_s)
		mf_timeout_arm(&j->patience, &t->dns->patience);
	return true;
}

void mf_dns_proxy_cancel(struct mf_dns_proxy *dns, void *ctx)
{
	struct mf_dns_job *next;

	for (struct mf_dns_job *j = dns->jobs; j; j = next) {
		next = j->next;
		if (j->reply && j->ctx == ctx)
			free_job(j);
	}
	mf_dns_held_cancel(dns, ctx);
}

int mf_dns_forward_init(struct mf_dns_proxy *dns, struct mf_err *err)
{
	const struct mf_proxy_options *o = &dns->proxy->opt;
	struct mf_dns_cache_options c = { .bytes_max = o->dns_cache_bytes,
					  .stale_s = o->dns_stale_s };

	mf_timeout_queue_init(&dns->patience, dns->proxy->timeouts, PATIENCE_MS, on_patience, dns);
	dns->chain = calloc(1, sizeof(*dns->chain));
	dns->kept = malloc(MF_DNS_MESSAGE_MAX);
	if (!dns->chain || !dns->kept)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the DNS proxy");
	dns->cache = o->dns_cache;
	if (dns->cache || o->dns_cache_off)
		return 0;
	if (mf_dns_cache_new(&c, &dns->own_cache, err) < 0)
		return MF_E_NOMEM;
	dns->cache = dns->own_cache;
	return 0;
}

void mf_dns_forward_done(struct mf_dns_proxy *dns)
{
	while (dns->jobs)
		free_job(dns->jobs);
	mf_dns_held_cancel(dns, NULL);
	mf_dns_cache_free(dns->own_cache);
	free(dns->chain);
	free(dns->kept);
}
