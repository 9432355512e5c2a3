/* SPDX-License-Identifier: Apache-2.0 */
/* replay_queue.c - questions between asking and telling: in the order of their packets, bounded */
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"
#include "core/policy/request.h"

static void free_waiting(struct mf_replay_waiting *w)
{
	for (unsigned i = 0; i < MF_REPLAY_SIDES_MAX; i++)
		free(w->said[i].kept);
	free(w->query);
	free(w->names);
	free(w);
}

static void tell(struct mf_replay *r, struct mf_replay_waiting *w)
{
	const char *names[MF_ASK_NAMES_MAX];
	struct mf_replay_question q = {
		.kind = w->kind,
		.time_ns = w->time_ns,
		.packet = w->packet,
		.flow = &w->flow,
		.name = w->name,
		.type = w->type,
		.note = w->note,
		.names = names,
		.name_cnt = w->name_cnt,
		.repeats = w->repeats,
	};
	bool process = false, failed = false;

	for (size_t i = 0; i < w->name_cnt; i++)
		names[i] = w->names[i];
	for (unsigned i = 0; i < r->opt.session_cnt; i++) {
		const struct mf_replay_said *s = &w->said[i];

		q.answers[i] = (struct mf_replay_answer){
			.decision = s->kept ? &s->kept->d : NULL,
			.host = s->host[0] ? s->host : NULL,
			.unasked = s->unasked,
			.remark = s->remark[0] ? s->remark : NULL,
			.asked_process = s->asked_process,
		};
		process |= s->asked_process;
		failed |= s->kept && s->kept->d.origin == MF_FROM_FAIL_MODE;
	}
	r->stats.process_asked += process;
	r->stats.failures += failed;
	r->opt.question(r->opt.ctx, &q);
}

static void tell_settled(struct mf_replay *r)
{
	while (r->first && r->first->settled) {
		struct mf_replay_waiting *w = r->first;

		r->first = w->next;
		if (!r->first)
			r->last = &r->first;
		r->waiting_cnt--;
		tell(r, w);
		free_waiting(w);
	}
}

void mf_replay_make_room(struct mf_replay *r)
{
	while (r->waiting_cnt >= r->opt.questions_max &&
	       mf_replay_settle_first(r, "told early: too many questions were open"))
		r->stats.evicted_questions++;
}

struct mf_replay_waiting *mf_replay_ask_later(struct mf_replay *r, enum mf_kind kind,
					      const struct mf_session_flow *flow)
{
	struct mf_replay_waiting *w;

	mf_replay_make_room(r);
	w = calloc(1, sizeof(*w));
	if (!w) {
		r->no_memory = true;
		return NULL;
	}
	w->kind = kind;
	w->flow = *flow;
	w->time_ns = r->clock->wall_ns;
	w->packet = r->packet;
	*r->last = w;
	r->last = &w->next;
	r->waiting_cnt++;
	return w;
}

void mf_replay_settle(struct mf_replay *r, struct mf_replay_waiting *w)
{
	w->settled = true;
	if (w->awaits_answer)
		mf_replay_dns_forget(r, w);
	if (w->owner)
		w->owner->question = NULL;
	w->owner = NULL;
	/* told one after the other: telling must not begin again inside of a telling */
	if (w == r->first)
		tell_settled(r);
}

bool mf_replay_settle_first(struct mf_replay *r, const char *note)
{
	struct mf_replay_waiting *w = r->first;

	if (!w)
		return false;
	if (w->owner) {
		mf_replay_give_up(r, w->owner, note);
		return true;
	}
	w->note = note;
	mf_replay_settle(r, w);
	return true;
}

void mf_replay_settle_until(struct mf_replay *r, uint64_t now_ns)
{
	while (r->first && r->first->deadline_ns < now_ns) {
		const char *note = "no answer in the capture";

		if (r->first->kind == MF_CONNECT)
			note = mf_replay_late;
		(void)mf_replay_settle_first(r, note);
	}
}

/* Fields that can be fetched are lazy until somebody reads them. */
bool mf_replay_wanted(const struct mf_replay *r, unsigned i)
{
	const struct mf_request *req = r->askers[i].request;

	return (req->lazy & MF_SESSION_PROCESS_FIELDS) != MF_SESSION_PROCESS_FIELDS;
}

void mf_replay_answer(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
		      const struct mf_decision *d, const char *host)
{
	w->said[i].asked_process = mf_replay_wanted(r, i);
	mf_replay_take(r, w, i, d, host);
}

void mf_replay_take(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
		    const struct mf_decision *d, const char *host)
{
	struct mf_replay_said *s = &w->said[i];
	struct mf_kept *kept = mf_kept_new(d);

	if (!kept) {
		r->no_memory = true;
		return;
	}
	free(s->kept);
	s->kept = kept;
	/* @host may be what is there already */
	if (host != s->host)
		snprintf(s->host, sizeof(s->host), "%s", host);
}

void mf_replay_deny(struct mf_replay *r, struct mf_replay_waiting *w, const char *why)
{
	struct mf_decision d = mf_ask_own_denial(why);

	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		if (!mf_replay_denies(&w->said[i]) || w->said[i].differ) {
			w->said[i].differ = false;
			mf_replay_take(r, w, i, &d, w->said[i].host);
		}
}

/* --- differences ---------------------------------------------------------------------------------------------------- */

const char *mf_replay_unasked_name(enum mf_replay_unasked unasked)
{
	static const char *const names[] = {
		[MF_REPLAY_ASKED] = "asked",
		[MF_REPLAY_NO_OPINION] = "no opinion: what connect said stands",
		[MF_REPLAY_CONNECT_DENIED] = "not asked: connect is denied",
		[MF_REPLAY_NO_NAME] = "refused: no policy can judge such a name",
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_REPLAY_UNASKED_NUM, "a name for each reason");
	return (unsigned)unasked < MF_REPLAY_UNASKED_NUM ? names[unasked] : "?";
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_resolution(const struct mf_decision *a, const struct mf_decision *b)
{
	if (a->addr_cnt != b->addr_cnt || a->ttl_s != b->ttl_s || !is_same_text(a->cname, b->cname))
		return false;
	for (unsigned i = 0; i < a->addr_cnt; i++)
		if (a->addrs[i].family != b->addrs[i].family ||
		    memcmp(a->addrs[i].bytes, b->addrs[i].bytes,
			   a->addrs[i].family == 4 ? 4 : 16) != 0)
			return false;
	return true;
}

static bool is_same_end(enum mf_kind kind, const struct mf_decision *a, const struct mf_decision *b)
{
	if (a->verdict != b->verdict || a->audit != b->audit || a->visibility != b->visibility)
		return false;
	switch (a->verdict) {
	case MF_DENY:
		return kind != MF_DNS || a->rcode == b->rcode;
	case MF_RESOLVE:
		return is_same_resolution(a, b);
	case MF_REDIRECT:
	case MF_ROUTE:
		return is_same_text(a->redirect_host, b->redirect_host) &&
		       is_same_text(a->redirect_unix, b->redirect_unix) &&
		       a->redirect_port == b->redirect_port && a->tls_mode == b->tls_mode &&
		       a->on_failure == b->on_failure && is_same_text(a->sni, b->sni);
	case MF_TERMINATE:
		return a->on_failure == b->on_failure;
	default:
		return true;
	}
}

bool mf_replay_differ(enum mf_kind kind, const struct mf_replay_answer *a,
		      const struct mf_replay_answer *b)
{
	static const struct mf_decision plain = MF_DECISION_INIT; /* allow */
	const struct mf_decision *x = a->decision, *y = b->decision;

	if (a->unasked == MF_REPLAY_CONNECT_DENIED || b->unasked == MF_REPLAY_CONNECT_DENIED)
		return false;
	if (!x && !y)
		return a->unasked != b->unasked;
	if (!x)
		x = a->unasked == MF_REPLAY_NO_OPINION ? &plain : NULL;
	if (!y)
		y = b->unasked == MF_REPLAY_NO_OPINION ? &plain : NULL;
	/* an answer without its records is another one */
	return !x || !y || !is_same_end(kind, x, y) ||
	       (x->verdict == MF_ALLOW && !is_same_text(a->remark, b->remark));
}
