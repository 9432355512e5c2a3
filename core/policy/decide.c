/* SPDX-License-Identifier: Apache-2.0 */
/* decide.c - one question to one vm_state: memo, rules, graph, Lua; how it works stands in state.h */
#include <stdlib.h>
#include <string.h>

#include "core/policy/state.h"

/* --- outcomes by content ----------------------------------------------------------------------------------------- */

/* Outcomes that only the table still holds go; those in use move to their new places. */
static int outcomes_clean(struct mf_outcomes *t)
{
	uint32_t room = MF_OUTCOMES_KEPT * 2, i, at;
	struct mf_outcome **slots = calloc(room, sizeof(*slots)), *o;
	uint32_t cnt = 0;

	if (!slots)
		return MF_E_NOMEM;
	for (i = 0; t->slots && i <= t->mask; i++) {
		o = t->slots[i];
		if (!o)
			continue;
		if (o->refs == 1) {
			mf_outcome_unref(o);
			continue;
		}
		at = (uint32_t)mf_decision_hash(&o->d, t->seed) & (room - 1);
		while (slots[at])
			at = (at + 1) & (room - 1);
		slots[at] = o;
		cnt++;
	}
	free(t->slots);
	t->slots = slots;
	t->mask = room - 1;
	t->cnt = cnt;
	return 0;
}

struct mf_outcome *mf_outcome_intern(struct mf_vm_state *s, const struct mf_decision *d)
{
	struct mf_outcomes *t = &s->outcomes;
	struct mf_outcome *o;
	uint32_t at;

	if (!t->slots && outcomes_clean(t) < 0)
		return NULL;
	at = (uint32_t)mf_decision_hash(d, t->seed) & t->mask;
	for (; (o = t->slots[at]); at = (at + 1) & t->mask)
		if (mf_decision_same(&o->d, d))
			return mf_outcome_ref(o);
	o = mf_outcome_new(d);
	if (!o || t->cnt >= MF_OUTCOMES_KEPT)
		return o; /* full: one of its own, until s is between two calls */
	t->slots[at] = mf_outcome_ref(o);
	t->cnt++;
	return o;
}

/* --- recording --------------------------------------------------------------------------------------------------- */

static struct mf_step *add_step(struct mf_vm_state *s, enum mf_step_kind kind, unsigned op)
{
	struct mf_run *run = &s->run;
	struct mf_step *step;

	if (!run->cacheable)
		return NULL;
	if (run->step_cnt >= MF_STEPS_MAX) {
		mf_run_uncacheable(s, "the hook looks at more than 256 things");
		return NULL;
	}
	step = &run->steps[run->step_cnt++];
	*step = (struct mf_step){ .kind = (uint8_t)kind, .op = (uint8_t)op };
	return step;
}

void mf_run_uncacheable(struct mf_vm_state *s, const char *why)
{
	if (!s->run.cacheable)
		return;
	s->run.cacheable = false;
	s->run.uncacheable_why = why;
}

struct mf_value mf_run_read(struct mf_vm_state *s, enum mf_field field)
{
	/* A second reading gives the same: fields are locked. */
	if (!(s->run.seen & MF_FIELD_BIT(field))) {
		s->run.seen |= MF_FIELD_BIT(field);
		add_step(s, MF_STEP_READ, field);
	}
	return mf_request_get(s->ask.req, field);
}

struct mf_value mf_run_label(lua_State *L, struct mf_vm_state *s, const char *key, size_t len)
{
	struct mf_arg *arg = mf_arg_find(s->preds, MF_A_LABEL, 0, key, len);
	struct mf_value v;
	struct mf_step *step;
	struct mf_err err;

	if (!arg && mf_arg_make(s->preds, MF_A_LABEL, 0, key, len, &arg, &err) < 0)
		luaL_error(L, "session.labels: %s", err.msg);
	v = mf_request_label(s->ask.req, key, len);
	step = add_step(s, MF_STEP_LABEL, 0);
	if (step)
		step->arg = arg;
	else
		mf_arg_unref(s->preds, arg);
	return v;
}

/* Takes over the reference to @arg in every case. */
bool mf_run_pred(lua_State *L, struct mf_vm_state *s, enum mf_pred_op op, struct mf_arg *arg)
{
	struct mf_step *step;
	int r;

	if (mf_pred_is_time(op)) {
		mf_ask_now(&s->ask);
		s->ask.minute_read = true;
	}
	r = mf_pred_eval(s->preds, op, arg, s->ask.req, s->ask.now);
	if (r < 0) {
		/* Limits depend on more than the values: of this run nothing is kept. */
		s->run.discard = true;
		mf_arg_unref(s->preds, arg);
		luaL_error(L, "%s: %s", mf_pred_names[op],
			   r == MF_E_LIMIT ? "the pattern used up its match steps"
					   : mf_strerror(r));
	}
	step = add_step(s, MF_STEP_PRED, op);
	if (step) {
		step->yes = r > 0;
		step->arg = arg;
	} else if (arg) {
		mf_arg_unref(s->preds, arg);
	}
	if (mf_pred_is_slow(op))
		mf_sandbox_check_time(L);
	return r > 0;
}

int64_t mf_run_time(struct mf_vm_state *s, enum mf_now_field field)
{
	const struct mf_now *now = mf_ask_now(&s->ask);
	struct mf_step *step;

	if (field == MF_NOW_SECOND || field == MF_NOW_UNIX)
		s->ask.second_read = true;
	else
		s->ask.minute_read = true;
	if (!(s->run.time_seen >> field & 1)) {
		s->run.time_seen |= UINT64_C(1) << field;
		step = add_step(s, MF_STEP_TIME, field);
		if (step)
			step->num = now->field[field];
	}
	return now->field[field];
}

/* --- one hook ---------------------------------------------------------------------------------------------------- */

/* The one way in: under mf_sandbox_call(). */
static int call_hook(lua_State *L)
{
	struct mf_vm_state *s = lua_touserdata(L, 1);
	enum mf_kind kind = (enum mf_kind)s->ask.req->kind;

	lua_rawgeti(L, LUA_REGISTRYINDEX, s->policies[s->run.policy].hooks[kind]);
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->view_refs[kind]);
	if (kind == MF_DNS_ANSWER) /* dns_answer(q, a) */
		lua_getfield(L, -1, "answer");
	lua_call(L, kind == MF_DNS_ANSWER ? 2 : 1, 1);
	s->run.outcome = mf_take_verdict(L, s, kind);
	return 0;
}

void mf_run_end(struct mf_vm_state *s)
{
	unsigned i;

	for (i = 0; i < s->run.step_cnt; i++)
		if (s->run.steps[i].arg)
			mf_arg_unref(s->preds, s->run.steps[i].arg);
	s->run.step_cnt = 0;
	for (i = 0; i < s->made_cnt; i++)
		mf_outcome_unref(s->made[i]);
	s->made_cnt = 0;
	if (s->outcomes.cnt >= MF_OUTCOMES_KEPT)
		outcomes_clean(&s->outcomes);
}

int mf_run_hook(struct mf_vm_state *s, size_t i, struct mf_outcome **ret)
{
	const struct mf_runtime_options *o = &s->config->options;
	const struct mf_sandbox_limits limits = { o->step_limit, o->time_limit_us * MF_NS_PER_US };
	struct mf_run *run = &s->run;
	int r;

	run->active = true;
	run->cacheable = true;
	run->discard = false;
	run->uncacheable_why = NULL;
	run->seen = run->time_seen = 0;
	run->step_cnt = 0;
	run->policy = i;
	run->outcome = NULL;
	if (++s->call == 0)
		s->call = 1;
	s->stats.lua_entries++;
	r = mf_sandbox_call(s->sb, &limits, call_hook, s, &s->err);
	run->active = false;
	*ret = r == 0 ? run->outcome : NULL;
	return r;
}

/* --- one decision ------------------------------------------------------------------------------------------------ */

void mf_ask_begin(struct mf_vm_state *s, struct mf_request *req)
{
	req->locked = 0;
	s->ask.req = req;
	s->ask.now_valid = false;
	s->ask.minute_read = s->ask.second_read = false;
}

/* Operations that only look: allowed by default (specs: a read-like operation is allowed when no rule matches). */
static bool is_read_like(const struct mf_value *op)
{
	static const char *const words[] = { "open",	 "read",   "stat",     "list",
					     "readlink", "access", "getxattr", "listxattr" };
	size_t i;

	for (i = 0; op->type == MF_T_STR && i < MF_ARRAY_SIZE(words); i++)
		if (words[i][0] == (char)op->ptr[0] && strcmp(words[i], (const char *)op->ptr) == 0)
			return true;
	return false;
}

/* An open that may change the file is no look. */
static bool opens_for_change(const struct mf_value *flags)
{
	static const char *const words[] = { "write", "create", "truncate", "append" };
	const char *item;
	size_t pos = 0, n, i;

	while ((item = mf_list_next(flags, &pos, &n)))
		for (i = 0; i < MF_ARRAY_SIZE(words); i++)
			if (strlen(words[i]) == n && memcmp(words[i], item, n) == 0)
				return true;
	return false;
}

static bool only_looks(struct mf_request *req)
{
	struct mf_value op = mf_request_get(req, MF_F_OP), flags;

	if (!is_read_like(&op))
		return false;
	flags = mf_request_get(req, MF_F_FLAGS);
	return !opens_for_change(&flags);
}

struct mf_outcome *mf_policy_closing(const struct mf_policy *p, struct mf_request *req)
{
	if (req->kind == MF_FILE && p->allow_reads && only_looks(req))
		return p->allow_reads;
	return p->closing[req->kind];
}

struct mf_outcome *mf_state_default(struct mf_vm_state *s, struct mf_request *req)
{
	if (req->kind == MF_FILE && !s->config->options.default_allow[MF_FILE] && only_looks(req))
		return s->allow_reads;
	return s->defaults[req->kind];
}

static const char *const hook_rules[] = {
	[MF_DNS] = "dns()",   [MF_CONNECT] = "connect()",	[MF_SNI] = "sni()",
	[MF_FILE] = "file()", [MF_DNS_ANSWER] = "dns_answer()",
};

static void fill(struct mf_vm_state *s, enum mf_kind kind, const struct mf_outcome *o,
		 size_t policy, enum mf_origin origin, struct mf_decision *ret)
{
	const struct mf_decision *d = &o->d;
	const struct mf_policy *p;
	const char *rule;
	size_t from = offsetof(struct mf_decision, verdict),
	       addrs = offsetof(struct mf_decision, addrs),
	       strings = offsetof(struct mf_decision, cname);

	memcpy((char *)ret + from, (const char *)d + from, addrs - from);
	if (__builtin_expect(d->addr_cnt, 0))
		memcpy(ret->addrs, d->addrs, d->addr_cnt * sizeof(d->addrs[0]));
	memcpy((char *)ret + strings, (const char *)d + strings, sizeof(*d) - strings);
	ret->origin = origin;
	ret->generation = s->generation;
	ret->expires_ns = UINT64_MAX;
	ret->error = 0;
	if (policy == MF_NO_POLICY)
		return;
	p = &s->policies[policy];
	ret->matched = true;
	ret->policy = p->name;
	ret->pack = p->source->pack;
	ret->pack_version = p->source->pack_version;
	rule = hook_rules[kind];
	ret->rule = d->rule ? d->rule : rule; /* without a branch: one is as likely as the other */
}

/* A host program built with an older or a newer header. */
static __attribute__((noinline)) void fill_other_size(struct mf_vm_state *s, enum mf_kind kind,
						      const struct mf_outcome *o, size_t policy,
						      enum mf_origin origin,
						      struct mf_decision *ret)
{
	struct mf_decision all;
	size_t size = ret->size;

	memset(&all, 0, sizeof(all));
	fill(s, kind, o, policy, origin, &all);
	all.size = size;
	memcpy(ret, &all, size < sizeof(all) ? size : sizeof(all));
}

void mf_fill_decision(struct mf_vm_state *s, enum mf_kind kind, const struct mf_outcome *o,
		      size_t policy, enum mf_origin origin, struct mf_decision *ret)
{
	if (__builtin_expect(ret->size == sizeof(*ret), 1))
		fill(s, kind, o, policy, origin, ret);
	else
		fill_other_size(s, kind, o, policy, origin, ret);
}

void mf_fill_failure(struct mf_vm_state *s, int code, struct mf_decision *ret)
{
	struct mf_decision all = {
		.size = ret->size,
		.verdict = MF_DENY,
		.origin = MF_FROM_FAIL_MODE,
		.visibility = MF_AUDIT_ONLY,
		.rcode = 2, /* SERVFAIL: ask again later */
		.file_errno = 13,
		.reason = s->err.msg,
		.policy = "fail-mode",
		.file = s->err.file,
		.line = s->err.line,
		.error = code,
		.generation = s->generation,
	};

	memcpy(ret, &all, ret->size < sizeof(all) ? ret->size : sizeof(all));
}

/* What a decision was made of, so far. */
struct course {
	bool memoable;
	bool entered_lua;
	bool from_graph;
	uint16_t fetch_cnt;
};

/* A hook that is not a function of its reads, in spite of everything: never trust what was recorded again. */
static void stop_caching(struct mf_vm_state *s, size_t policy)
{
	s->impure = s->cache_off = true;
	mf_memo_flush(&s->memo);
	mf_log_error(
		&s->config->log,
		"policy %s: the same reads led to another answer; decisions are no longer cached",
		s->policies[policy].name);
}

/* What the run that just ended has read goes into the memo's key. */
static void cover_run(struct mf_vm_state *s, enum mf_kind kind)
{
	uint64_t fields = s->run.seen;
	bool labels = false;
	unsigned i;

	for (i = 0; i < s->run.step_cnt; i++) {
		if (s->run.steps[i].kind == MF_STEP_PRED)
			fields |= mf_pred_fields(kind, (enum mf_pred_op)s->run.steps[i].op);
		labels |= s->run.steps[i].kind == MF_STEP_LABEL;
	}
	if (fields & s->ask.req->derived)
		fields |= MF_FIELD_BIT(MF_F_NAME);
	mf_memo_cover(&s->memo, kind, fields, labels);
}

/* The strings of a decision live until the next one. */
static void keep(struct mf_vm_state *s, struct mf_outcome *o)
{
	if (!o)
		return;
	mf_outcome_ref(o);
	mf_outcome_unref(s->last);
	s->last = o;
}

static int ask_lua(struct mf_vm_state *s, size_t i, struct course *course, struct mf_outcome **ret)
{
	struct mf_policy *p = &s->policies[i];
	enum mf_kind kind = (enum mf_kind)s->ask.req->kind;
	enum mf_graph_result g = MF_GRAPH_MISS;
	int r;

	course->entered_lua = true;
	r = mf_run_hook(s, i, ret);
	if (r < 0) {
		mf_run_end(s);
		mf_sandbox_collect(s->sb);
		return r;
	}
	p->health.errors_in_a_row = 0;
	if (s->run.discard || !s->run.cacheable) {
		course->memoable = false;
		s->stats.uncacheable++;
	}
	cover_run(s, kind);
	if (!s->run.discard && !s->cache_off && p->roots[kind])
		g = mf_graph_add(s->graph, p->roots[kind], &s->ask, s->run.steps, s->run.step_cnt,
				 s->run.cacheable, *ret);
	if (g == MF_GRAPH_IMPURE)
		stop_caching(s, i);
	keep(s, *ret);
	mf_run_end(s);
	mf_sandbox_collect(s->sb);
	return 0;
}

static int ask_hook(struct mf_vm_state *s, size_t i, struct course *course, struct mf_outcome **ret)
{
	struct mf_policy *p = &s->policies[i];
	uint32_t root = p->roots[s->ask.req->kind];

	if (root && !s->cache_off && mf_graph_walk(s->graph, root, &s->ask, ret) == MF_GRAPH_HIT) {
		course->from_graph = true;
		return 0;
	}
	return ask_lua(s, i, course, ret);
}

/* The first opinion of policy @i: rules, then hook, then its own default. */
static int ask_policy(struct mf_vm_state *s, size_t i, struct course *course,
		      struct mf_outcome **ret)
{
	struct mf_policy *p = &s->policies[i];
	enum mf_kind kind = (enum mf_kind)s->ask.req->kind;
	struct mf_outcome *otherwise = NULL;
	int r;

	*ret = NULL;
	if (p->health.quarantined && !p->quarantine_seen) {
		/* What it said while it was well is forgotten as well: from now on its fail mode decides. */
		p->quarantine_seen = true;
		mf_memo_flush(&s->memo);
	}
	if (p->health.quarantined)
		return mf_err_set(&s->err, MF_E_POLICY,
				  "policy %s is in quarantine after %u errors in a row", p->name,
				  p->health.errors_in_a_row);
	if (p->has_rules[kind]) {
		r = mf_rules_ask(p->rules, s->ask.req, ret);
		if (r < 0)
			return mf_err_at(&s->err, r, p->source->chunk.name, 0, 0,
					 "a declarative rule of policy %s used up its match steps",
					 p->name);
		if (*ret && p->hooks[kind] != LUA_NOREF && mf_rules_is_default(p->rules, *ret)) {
			otherwise = *ret;
			*ret = NULL;
		}
		if (*ret) {
			keep(s, *ret);
			return 0;
		}
	}
	r = p->hooks[kind] == LUA_NOREF ? 0 : ask_hook(s, i, course, ret);
	if (r == 0 && !*ret) {
		*ret = otherwise ? otherwise : mf_policy_closing(p, s->ask.req);
		keep(s, *ret);
	}
	return r;
}

/* For how long an answer that depends on the time stays true, in wall time. */
static void time_bounds(const struct mf_vm_state *s, uint64_t *from, uint64_t *until)
{
	*from = *until = 0;
	if (s->ask.second_read) {
		*from = s->now.second_ns;
		*until = *from + MF_NS_PER_S;
	} else if (s->ask.minute_read) {
		*from = s->now.minute_ns;
		*until = *from + 60 * MF_NS_PER_S;
	}
}

/* The same bound on the monotonic clock, for callers that keep decisions. */
static uint64_t expiry(const struct mf_vm_state *s, uint64_t wall_until)
{
	uint64_t wall = mf_clock_wall(&s->config->clock), now = mf_clock_now(&s->config->clock);

	return wall_until > wall ? now + (wall_until - wall) : now;
}

/* Under the request as it came: what follows from its name was not fetched then, and need not be the next time. */
static void remember(struct mf_vm_state *s, struct mf_request *req, struct mf_outcome *o,
		     unsigned owner, uint64_t from, uint64_t until)
{
	uint64_t set = req->set, lazy = req->lazy, derived = req->derived_now;

	if (derived && !(s->memo.keys[req->kind].mask & MF_FIELD_BIT(MF_F_NAME)))
		return;
	req->set &= ~derived;
	req->lazy |= derived;
	mf_memo_put(&s->memo, req, o, owner, from, until);
	req->set = set;
	req->lazy = lazy;
}

static int decide_slowly(struct mf_vm_state *s, struct mf_request *req, struct mf_decision *ret,
			 size_t *ret_policy)
{
	uint64_t start = mf_clock_now(&s->config->clock), from, until;
	struct course course = { .memoable = true, .fetch_cnt = req->fetch_cnt };
	struct mf_outcome *o = NULL;
	enum mf_origin origin;
	size_t i;
	int r;

	mf_ask_begin(s, req);
	s->run.dry = req->dry;
	s->ask.deadline_ns = start + s->config->options.time_limit_us * MF_NS_PER_US;
	for (i = 0; i < s->policy_cnt && !o; i++) {
		course.from_graph = false;
		r = ask_policy(s, i, &course, &o);
		if (r < 0) {
			s->policies[i].health.errors_in_a_row++;
			s->stats.errors++;
			*ret_policy = i;
			mf_fill_failure(s, r, ret);
			return r;
		}
		if (o)
			break;
	}
	if (o) {
		origin = course.entered_lua  ? MF_FROM_LUA
			 : course.from_graph ? MF_FROM_GRAPH
					     : MF_FROM_RULES;
	} else {
		o = mf_state_default(s, req);
		i = MF_NO_POLICY;
		origin = MF_FROM_DEFAULT;
	}
	if (!course.entered_lua) {
		if (origin == MF_FROM_RULES)
			s->stats.rule_hits++;
		else
			s->stats.graph_hits++;
	}
	mf_fill_decision(s, (enum mf_kind)req->kind, o, i, origin, ret);
	time_bounds(s, &from, &until);
	if (until)
		ret->expires_ns = expiry(s, until);
	if (!course.memoable)
		ret->expires_ns = 0;
	else if (!s->cache_off && course.fetch_cnt == req->fetch_cnt)
		remember(s, req, o, i == MF_NO_POLICY ? MF_MEMO_NO_OWNER : (unsigned)i, from,
			 until);
	ret->elapsed_ns = mf_clock_now(&s->config->clock) - start;
	return 0;
}

int mf_vm_state_decide(struct mf_vm_state *s, struct mf_request *req, struct mf_decision *ret,
		       size_t *ret_policy)
{
	uint64_t now, from = 0, until = 0;
	struct mf_memo_entry *e;

	mf_request_prefetch(req);
	*ret_policy = SIZE_MAX;
	s->stats.decisions++;
	if (__builtin_expect(s->cache_off || !s->memo.entries, 0))
		return decide_slowly(s, req, ret, ret_policy);
	e = mf_memo_get(&s->memo, req);
	if (!e)
		return decide_slowly(s, req, ret, ret_policy);
	if (__builtin_expect(e->timed, 0)) {
		mf_memo_bounds(e, &from, &until);
		now = mf_clock_wall(&s->config->clock);
		if (now < from || now >= until)
			return decide_slowly(s, req, ret, ret_policy);
	}
	s->stats.memo_hits++;
	mf_fill_decision(s, (enum mf_kind)req->kind, e->outcome,
			 e->owner == MF_MEMO_NO_OWNER ? MF_NO_POLICY : e->owner, MF_FROM_MEMO, ret);
	if (__builtin_expect(until != 0, 0))
		ret->expires_ns = expiry(s, until);
	ret->elapsed_ns = 0;
	return 0;
}
