/* SPDX-License-Identifier: Apache-2.0 */
/* replay_dns.c - DNS of a capture: questions to the policies, answers to the table of names */
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"
#include "core/base/bytes.h"

static struct mf_replay_waiting **bucket_of(struct mf_replay *r, const struct mf_session_flow *flow,
					    uint16_t id)
{
	uint64_t h = mf_hash_bytes(&flow->client, sizeof(flow->client), r->seed);

	h = mf_hash_bytes(&flow->server, sizeof(flow->server), h);
	return &r->dns_buckets[mf_hash_u64((uint64_t)id << 1 | (flow->proto == MF_TCP), h) &
			       (MF_REPLAY_DNS_BUCKETS - 1)];
}

static bool is_same_flow(const struct mf_session_flow *a, const struct mf_session_flow *b)
{
	return a->proto == b->proto && memcmp(&a->client, &b->client, sizeof(a->client)) == 0 &&
	       memcmp(&a->server, &b->server, sizeof(a->server)) == 0;
}

void mf_replay_dns_forget(struct mf_replay *r, struct mf_replay_waiting *w)
{
	struct mf_replay_waiting **at = bucket_of(r, &w->flow, w->query->id);

	while (*at && *at != w)
		at = &(*at)->chain;
	if (*at)
		*at = w->chain;
	w->awaits_answer = false;
}

static struct mf_replay_waiting *
find_repeat(struct mf_replay *r, const struct mf_session_flow *flow, const struct mf_dns_query *q)
{
	struct mf_replay_waiting *w = *bucket_of(r, flow, q->id);

	while (w && !(is_same_flow(&w->flow, flow) && w->query->id == q->id &&
		      w->query->type == q->type && w->query->class == q->class &&
		      mf_dns_name_eq(&w->query->name, &q->name)))
		w = w->chain;
	return w;
}

static struct mf_ask_dns_question question_of(const struct mf_replay_waiting *w)
{
	return (struct mf_ask_dns_question){ .flow = &w->flow,
					     .name = w->name,
					     .type = w->type,
					     .class = w->class,
					     .number = w->query->type };
}

static void judge(struct mf_replay *r, struct mf_replay_waiting *w)
{
	struct mf_ask_dns_question q = question_of(w);

	for (unsigned i = 0; i < r->opt.session_cnt; i++) {
		struct mf_decision d;

		if (mf_ask_dns_judge(&r->askers[i], &q, !r->opt.dns_runtime_default, &d) < 0)
			w->said[i].unasked = MF_REPLAY_NO_NAME;
		else
			mf_replay_answer(r, w, i, &d, "");
	}
}

/* A datagram has the fate of its question; of a TCP connection's messages each is answered for itself. */
static struct mf_span take_fate(struct mf_replay *r, struct mf_replay_waiting *w)
{
	enum mf_replay_fate_kind kind = mf_replay_fate_of(&w->said[0]);
	struct mf_span answer = { NULL, 0 };

	mf_replay_comment(r, MF_DNS, &w->said[0]);
	w->moot = kind != MF_REPLAY_PASS;
	if (w->moot)
		answer = mf_replay_compose(r, w);
	if (w->flow.proto == MF_UDP) {
		r->fate.kind = kind;
		r->fate.answer = answer;
	}
	return answer;
}

/* A name that no policy can be asked about, shown as far as it goes. */
static struct mf_span refuse_name(struct mf_replay *r, struct mf_replay_waiting *w)
{
	struct mf_span answer;

	snprintf(w->name, sizeof(w->name), "(bytes that no host name has)");
	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		w->said[i].unasked = MF_REPLAY_NO_NAME;
	answer = take_fate(r, w);
	mf_replay_settle(r, w);
	return answer;
}

/* Chains stay short, whatever a capture asks at once. */
static void make_room(struct mf_replay *r, struct mf_replay_waiting **bucket)
{
	struct mf_replay_waiting *w = *bucket;
	unsigned cnt = w != NULL;

	for (; w && w->chain; w = w->chain)
		cnt++;
	if (cnt < MF_REPLAY_CHAIN_MAX)
		return;
	r->stats.evicted_questions++;
	w->note = "told early: too many questions with one number were open";
	mf_replay_settle(r, w);
}

struct mf_span mf_replay_dns_question(struct mf_replay *r, const struct mf_session_flow *flow,
				      struct mf_span msg)
{
	struct mf_span answer = { NULL, 0 };
	struct mf_replay_waiting *w, **bucket;
	struct mf_dns_query q;

	if (mf_dns_read_query(msg, &q) < 0) {
		r->stats.bad_dns++;
		return answer;
	}
	w = find_repeat(r, flow, &q);
	if (w) {
		w->repeats++;
		return take_fate(r, w);
	}
	r->stats.dns_questions++;
	w = mf_replay_ask_later(r, MF_DNS, flow);
	if (!w)
		return answer;
	w->deadline_ns = r->clock->monotonic_ns + MF_REPLAY_DNS_NS;
	mf_dns_type_format(q.type, w->type, sizeof(w->type));
	mf_dns_class_format(q.class, w->class, sizeof(w->class));
	w->query = malloc(sizeof(*w->query));
	if (!w->query) {
		r->no_memory = true;
		mf_replay_settle(r, w);
		return answer;
	}
	*w->query = q;
	if (mf_dns_format_name(&q.name, w->name, sizeof(w->name)) < 0)
		return refuse_name(r, w);
	judge(r, w);
	answer = take_fate(r, w);
	w->awaits_answer = true;
	bucket = bucket_of(r, flow, q.id);
	make_room(r, bucket);
	w->chain = *bucket;
	*bucket = w;
	return answer;
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void learn(struct mf_replay *r, const struct mf_replay_waiting *w,
		  const struct mf_dns_chain *c)
{
	struct mf_names_answer a = { .question = w->name,
				     .question_len = strlen(w->name),
				     .aliases = c->list,
				     .alias_cnt = c->cnt,
				     .addrs = c->addrs,
				     .addr_cnt = c->addr_cnt,
				     .ttl_s = c->ttl_s };
	int res = c->addr_cnt ? mf_names_learn(r->names, &a) : 0;

	if (res == MF_E_NOMEM)
		r->no_memory = true;
	else if (res < 0)
		r->stats.bad_dns++;
}

/* What a live session leaves out of an answer that it gives. */
static void note_left_out(struct mf_replay *r, const struct mf_replay_waiting *w, unsigned i,
			  const struct mf_dns_chain *c, struct mf_replay_said *s)
{
	struct mf_asker *asker = &r->askers[i];
	struct mf_decision d;
	size_t denied = 0;

	for (size_t k = 0; k < c->addr_cnt; k++)
		denied += mf_ask_addr_denied(asker, &w->flow, w->name, &c->addrs[k], &d);
	if (denied)
		snprintf(
			s->remark, sizeof(s->remark),
			"answered without %zu of its %zu addresses: connections to them are denied",
			denied, c->addr_cnt);
	if ((w->query->type == MF_DNS_HTTPS || w->query->type == MF_DNS_SVCB) &&
	    mf_ask_name_redirected(asker, &w->flow, w->name))
		snprintf(s->remark, sizeof(s->remark),
			 "answered without records: connections to this name are redirected");
}

/* A live session would not have given this answer away, or not all of it (proxies/dns_forward.c). */
static void judge_answer(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
			 const struct mf_dns_chain *c, unsigned rcode)
{
	struct mf_ask_dns_question q = question_of(w);
	struct mf_asker *asker = &r->askers[i];
	struct mf_replay_said *s = &w->said[i];
	struct mf_decision d;

	for (size_t k = 0; k < c->cnt; k++) {
		if (!mf_ask_alias_denied(asker, &w->flow, c->list[k], &d))
			continue;
		mf_replay_answer(r, w, i, &d, "");
		snprintf(s->remark, sizeof(s->remark), "its alias %s", c->list[k]);
		return;
	}
	if (mf_ask_dns_answer(asker, &q, c, rcode, &d) == 0 && d.verdict != MF_ALLOW) {
		mf_replay_answer(r, w, i, &d, "");
		snprintf(s->remark, sizeof(s->remark), "what it is answered");
		return;
	}
	note_left_out(r, w, i, c, s);
}

static struct mf_replay_waiting *find_asked(struct mf_replay *r, const struct mf_session_flow *flow,
					    struct mf_span msg, struct mf_dns_walk *ret_walk)
{
	uint16_t id = mf_load_be16(msg.ptr);
	struct mf_replay_waiting *w = *bucket_of(r, flow, id);

	for (; w; w = w->chain) {
		int res;

		if (!is_same_flow(&w->flow, flow) || w->query->id != id)
			continue;
		res = mf_dns_begin_walk(msg, w->query, id, ret_walk);
		if (res == 0)
			return w;
		if (res == MF_E_BAD)
			break;
	}
	*(w ? &r->stats.bad_dns : &r->stats.unasked_answers) += 1;
	return NULL;
}

bool mf_replay_dns_answer(struct mf_replay *r, const struct mf_session_flow *flow,
			  struct mf_span msg, struct mf_span *ret_instead)
{
	struct mf_dns_chain *c = r->dns_chain;
	struct mf_replay_waiting *w;
	struct mf_dns_walk walk;
	bool moot;

	*ret_instead = mf_span_of(NULL, 0);
	if (msg.len < MF_DNS_HEAD_LEN) {
		r->stats.bad_dns++;
		return true;
	}
	w = find_asked(r, flow, msg, &walk);
	if (!w)
		return true;
	r->stats.dns_answers++;
	if (walk.truncated) {
		w->note = "the answer was truncated";
	} else if (mf_dns_read_chain(c, w->query, &walk) < 0) {
		w->note = "the answer is malformed";
		r->stats.bad_dns++;
	} else {
		learn(r, w, c);
		for (unsigned i = 0; i < r->opt.session_cnt; i++)
			if (w->said[i].kept && w->said[i].kept->d.verdict == MF_ALLOW)
				judge_answer(r, w, i, c, walk.rcode);
		if (!w->moot && mf_replay_fate_of(&w->said[0]) != MF_REPLAY_PASS) {
			w->moot = true;
			mf_replay_comment(r, MF_DNS, &w->said[0]);
			*ret_instead = mf_replay_compose(r, w);
		}
	}
	moot = w->moot;
	if (moot && w->flow.proto == MF_UDP) {
		r->fate.kind = MF_REPLAY_MOOT;
		r->fate.answer = *ret_instead;
	}
	mf_replay_settle(r, w);
	return !moot;
}
