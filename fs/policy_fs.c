/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fs.c - see policy_fs.h */
#include "fs/policy_fs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"

/* So many in a second, without a lock: who comes first in a new second begins it. */
struct rate {
	_Atomic uint64_t second;
	_Atomic uint32_t cnt;
};

struct mf_policy_fs {
	struct mf_fs_judge *judge;
	struct mf_events *events;
	const char *session_id, *source;
	bool strict;
	struct rate plain, urgent, unstored;
	_Atomic uint64_t asked, refused, trashed, redirected, failed, left_out, refused_unstored;
};

int mf_policy_fs_new(struct mf_fs_judge *judge, struct mf_events *events, const char *session_id,
		     const char *source, struct mf_policy_fs **ret_pfs, struct mf_err *err)
{
	struct mf_policy_fs *p = calloc(1, sizeof(*p));

	*ret_pfs = p;
	if (!p)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	p->judge = judge;
	p->events = events;
	p->strict = mf_events_is_strict(events);
	p->session_id = session_id;
	p->source = source;
	return 0;
}

void mf_policy_fs_free(struct mf_policy_fs *p)
{
	free(p);
}

struct mf_fs_judge *mf_policy_fs_judge(struct mf_policy_fs *p)
{
	return p->judge;
}

void mf_policy_fs_get_stats(struct mf_policy_fs *p, struct mf_policy_fs_stats *ret)
{
	*ret = (struct mf_policy_fs_stats){ p->asked,		p->refused, p->trashed,
					    p->redirected,	p->failed,  p->left_out,
					    p->refused_unstored };
}

static void count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static bool may_tell(struct rate *r, uint32_t per_s)
{
	uint64_t now = mf_clock_now(&mf_clock_system) / MF_NS_PER_S;
	uint64_t then = atomic_load_explicit(&r->second, memory_order_relaxed);

	if (then != now && atomic_compare_exchange_strong(&r->second, &then, now))
		atomic_store_explicit(&r->cnt, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&r->cnt, 1, memory_order_relaxed) < per_s;
}

static void add_int(struct mf_event *ev, enum mf_event_field field, int64_t value)
{
	if (value > 0 && mf_event_type_has(ev->type, field))
		mf_event_add_int(ev, field, value);
}

static void add_text(struct mf_event *ev, enum mf_event_field field, const char *text, size_t len)
{
	if (text && len && mf_event_type_has(ev->type, field))
		mf_event_add_str(ev, field, text, len);
}

static const char unstored[] = "events cannot be stored";

static const char *const actions[MF_FS_DO_NUM] = {
	[MF_FS_DO] = "allowed",
	[MF_FS_REFUSE] = "blocked",
	[MF_FS_TRASH] = "diverted",
	[MF_FS_ELSEWHERE] = "redirected",
};

static enum mf_event_type type_of(const struct mf_fs_act *a, int result)
{
	if (result >= 0 && a->token && *a->token)
		return MF_EV_FILE_SOFT_DELETE;
	if (result >= 0 && a->verdict.what == MF_FS_ELSEWHERE && !a->observed)
		return MF_EV_PATH_REDIRECT;
	return mf_fs_op_info(a->q.op)->event;
}

/* All that one operation asks for, where that is more than the event's one word. */
static void add_asked(struct mf_event *ev, enum mf_fs_op op)
{
	const char *const *words = mf_fs_op_info(op)->words;
	size_t cnt = 0;

	while (cnt < MF_FS_WORDS_MAX && words[cnt])
		cnt++;
	if (cnt > 1 && mf_event_type_has(ev->type, MF_EVF_ASKED))
		mf_event_add_list(ev, MF_EVF_ASKED, words, cnt);
}

static void add_fields(struct mf_event *ev, const struct mf_fs_act *a, int result)
{
	const struct mf_fs_verdict *v = &a->verdict;
	bool two = ev->type == MF_EV_FILE_RENAME;
	const char *to = a->to_path ? a->to_path : v->d.path_target;
	char hint[128];

	if (a->token && *a->token) {
		add_text(ev, MF_EVF_TRASH_TOKEN, a->token, strlen(a->token));
		snprintf(hint, sizeof(hint), "moonfence trash restore %.64s", a->token);
		add_text(ev, MF_EVF_RESTORE_HINT, hint, strlen(hint));
	}
	if (two)
		add_text(ev, a->q.op == MF_FS_RENAME_IN ? MF_EVF_TO_PATH : MF_EVF_FROM_PATH,
			 a->q.path, a->q.path_len);
	add_asked(ev, a->q.op);
	if (a->q.target && (two || a->q.op == MF_FS_LINK_FROM))
		add_text(ev, MF_EVF_TO_PATH, a->q.target, a->q.target_len);
	else if (v->what == MF_FS_ELSEWHERE && to)
		add_text(ev, MF_EVF_TO_PATH, to, strlen(to));
	if (ev->type == MF_EV_PATH_REDIRECT && v->d.rule)
		add_text(ev, MF_EVF_RULE, v->d.rule, strlen(v->d.rule));
	if (a->q.target)
		add_text(ev, MF_EVF_TARGET, a->q.target, a->q.target_len);
	add_int(ev, MF_EVF_MODE, a->mode);
	add_int(ev, MF_EVF_SIZE, a->size);
	add_int(ev, MF_EVF_NLINK, a->nlink);
	if (a->observed)
		add_text(ev, MF_EVF_WOULD, actions[v->what], strlen(actions[v->what]));
	else if (v->what == MF_FS_REFUSE && mf_event_type_has(ev->type, MF_EVF_BLOCKED))
		mf_event_add_bool(ev, MF_EVF_BLOCKED, true);
	else if (result < 0)
		add_text(ev, MF_EVF_ERROR, strerror(-result), strlen(strerror(-result)));
	if (v->unstored)
		add_text(ev, MF_EVF_ERROR, unstored, sizeof(unstored) - 1);
}

/* Whether it may be told of now; what is strict is told of whatever it takes. */
static bool has_turn(struct mf_policy_fs *p, const struct mf_fs_verdict *v)
{
	if (v->unstored)
		return may_tell(&p->unstored, MF_POLICY_FS_UNSTORED_PER_S);
	return p->strict ||
	       may_tell(v->plain ? &p->plain : &p->urgent,
			v->plain ? MF_POLICY_FS_EVENTS_PER_S : MF_POLICY_FS_URGENT_PER_S);
}

static void tell(struct mf_policy_fs *p, const struct mf_fs_act *a, int result)
{
	const struct mf_fs_verdict *v = &a->verdict;
	bool refused = v->what == MF_FS_REFUSE && !a->observed;
	const char *action = actions[a->observed ? MF_FS_DO : v->what];
	const char *carried_out = NULL;
	struct mf_event ev;

	if (a->observed && v->d.verdict != MF_ALLOW)
		carried_out = mf_verdict_name(MF_ALLOW);
	else if (refused && v->d.verdict != MF_DENY)
		carried_out = mf_verdict_name(MF_DENY);

	if (!has_turn(p, v)) {
		count(&p->left_out);
		return;
	}
	mf_event_begin(&ev,
		       &(struct mf_event_head){
			       .type = type_of(a, result),
			       .session_id = p->session_id,
			       .source = p->source,
			       .pid = a->q.caller && a->q.caller->pid > 0 ? a->q.caller->pid : 0,
			       .path = a->q.path,
			       .path_len = a->q.path_len,
			       .operation = v->word,
			       .effective_action = result < 0 && !refused ? "error" : action,
			       .decision = &v->d,
			       .effective_decision = carried_out });
	add_fields(&ev, a, result);
	mf_events_send(p->events, &ev);
}

/* Whether the end of an operation that is let through so is told of. A failure of what is there or not (ENOENT and the like) is the
 * caller's own matter. */
static bool is_told(const struct mf_fs_act *a)
{
	return !a->quiet && (!a->verdict.plain || mf_fs_op_info(a->q.op)->changes);
}

/* P48: nothing happens that could not be told of. What has happened, or is silent, or refused already, is not touched. */
static int insist_on_event(struct mf_policy_fs *p, struct mf_fs_act *a)
{
	struct mf_fs_verdict *v = &a->verdict;

	if (p->strict && v->what != MF_FS_REFUSE && !a->observed && is_told(a) &&
	    v->d.visibility != MF_SILENT &&
	    !mf_events_storing(p->events, MF_POLICY_FS_STORE_WAIT_MS)) {
		v->what = MF_FS_REFUSE;
		v->error = EIO;
		v->unstored = true;
		v->cache_ns = 0;
		count(&p->refused_unstored);
	}
	return v->what == MF_FS_REFUSE ? -v->error : 0;
}

/* ---- one operation --------------------------------------------------------------------------------------------- */

int mf_policy_fs_begin(struct mf_policy_fs *p, struct mf_fs_act *a)
{
	count(&p->asked);
	a->seat = mf_fs_judge_sit(p->judge);
	mf_fs_judge_may_wait(a->seat, !a->observed);
	mf_fs_judge_ask(p->judge, a->seat, &a->q, &a->verdict);
	mf_fs_judge_may_wait(a->seat, false);
	return insist_on_event(p, a);
}

int mf_policy_fs_also(struct mf_policy_fs *p, struct mf_fs_act *a, const struct mf_fs_question *q)
{
	count(&p->asked);
	mf_fs_judge_may_wait(a->seat, !a->observed);
	mf_fs_judge_ask_also(p->judge, a->seat, q, &a->verdict);
	mf_fs_judge_may_wait(a->seat, false);
	return insist_on_event(p, a);
}

int mf_policy_fs_overwrite(struct mf_policy_fs *p, struct mf_fs_act *a, const char *policy,
			   const char *rule)
{
	mf_fs_act_overwrite(a, policy, rule);
	return insist_on_event(p, a);
}

bool mf_policy_fs_keeps(struct mf_policy_fs *p, struct mf_fs_act *a, bool *ret_hash)
{
	struct mf_fs_question q = a->q;
	struct mf_fs_verdict v;

	q.op = MF_FS_UNLINK;
	q.flags = 0;
	q.target = NULL;
	count(&p->asked);
	mf_fs_judge_keep(a->seat, &a->verdict);
	mf_fs_judge_ask(p->judge, a->seat, &q, &v);
	*ret_hash = v.hash;
	return v.what == MF_FS_TRASH;
}

bool mf_policy_fs_refuses(struct mf_policy_fs *p, struct mf_fs_act *a,
			  const struct mf_fs_question *q)
{
	struct mf_fs_verdict v;

	count(&p->asked);
	mf_fs_judge_keep(a->seat, &a->verdict);
	mf_fs_judge_ask(p->judge, a->seat, q, &v);
	return v.what == MF_FS_REFUSE;
}

void mf_policy_fs_end(struct mf_policy_fs *p, struct mf_fs_act *a, int result)
{
	const struct mf_fs_verdict *v = &a->verdict;
	bool kept = a->token && *a->token;

	if (v->held) { /* it will be asked about again */
		mf_fs_judge_leave(p->judge, a->seat);
		a->seat = NULL;
		return;
	}
	if (v->what == MF_FS_REFUSE)
		count(&p->refused);
	else if (result < 0)
		count(&p->failed);
	else if (kept || (a->observed && v->what == MF_FS_TRASH))
		count(&p->trashed);
	else if (v->what == MF_FS_ELSEWHERE)
		count(&p->redirected);
	// A failure of what is there or not (ENOENT and the like) is the caller's own matter.
	if (p->events && (v->what == MF_FS_REFUSE ||
			  (!a->quiet && (!v->plain || kept ||
					 (result >= 0 && mf_fs_op_info(a->q.op)->changes)))))
		tell(p, a, result);
	mf_fs_judge_leave(p->judge, a->seat);
	a->seat = NULL;
}
