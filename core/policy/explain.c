/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - a decision made anew, with everything that was looked at on the way, as JSON
 *
 *	{"kind": "connect", "verdict": "deny", "reason": "...", "policy": "...", "rule": "connect()", "file": "...",
 *	 "line": 12, "matched": true, "generation": 3, "instructions": 41, "elapsed_ns": 5120,
 *	 "cacheable": true, "next": "memo", "fetched": ["process.name"],
 *	 "policies": [{"policy": "...", "by": "hook", "opinion": "deny", "steps": [
 *	     {"read": "port", "value": 443}, {"ask": "under", "argument": "example.com", "answer": true}, ...]}]}
 *
 * "next" says what a repeat of this request will cost: "memo" (an exact repeat is found at once), "graph" (the reads are
 * made anew, but Lua is not entered) or "lua", then "why" says why.
 */
#include <inttypes.h>
#include <string.h>

#include "core/policy/json_add.h"
#include "core/policy/state.h"

static void add_step(struct mf_vm_state *s, const struct mf_step *step)
{
	struct mf_strbuf *b = &s->json;
	struct mf_value v;

	mf_json_add_key(b, NULL);
	mf_strbuf_addc(b, '{');
	switch ((enum mf_step_kind)step->kind) {
	case MF_STEP_READ:
		mf_json_add_text(b, "read", mf_field_name((enum mf_field)step->op));
		break;
	case MF_STEP_LABEL:
		mf_json_add_text(b, "read", "session.labels");
		mf_json_add_text(b, "key", step->arg->text);
		break;
	case MF_STEP_TIME:
		mf_json_add_key(b, "read");
		mf_strbuf_addf(b, "\"now.%s\"", mf_now_field_names[step->op]);
		break;
	case MF_STEP_PRED:
		mf_json_add_text(b, "ask", mf_pred_names[step->op]);
		if (step->arg)
			mf_json_add_text(b, "argument", step->arg->text);
		mf_json_add_bool(b, "answer", step->yes);
		mf_strbuf_addc(b, '}');
		return;
	case MF_STEP_KIND_NUM:
		break;
	}
	v = mf_step_value(step, &s->ask);
	mf_json_add_key(b, "value");
	mf_value_add_json(b, &v);
	mf_strbuf_addc(b, '}');
}

/* What one policy said. @by: "rules", "hook", NULL when it has neither for this kind. */
static void add_policy(struct mf_vm_state *s, size_t i, const char *by, const struct mf_outcome *o,
		       int code)
{
	struct mf_strbuf *b = &s->json;
	unsigned n;

	mf_json_add_key(b, NULL);
	mf_strbuf_addc(b, '{');
	mf_json_add_text(b, "policy", s->policies[i].name);
	mf_json_add_text(b, "by", by);
	if (code < 0)
		mf_json_add_text(b, "error", s->err.msg);
	else if (o)
		mf_json_add_text(b, "opinion", mf_verdict_name(o->d.verdict));
	else {
		mf_json_add_key(b, "opinion");
		mf_strbuf_adds(b, "null");
	}
	if (s->run.step_cnt || !strcmp(by ? by : "", "hook")) {
		mf_json_add_key(b, "steps");
		mf_strbuf_addc(b, '[');
		for (n = 0; n < s->run.step_cnt; n++)
			add_step(s, &s->run.steps[n]);
		mf_strbuf_addc(b, ']');
	}
	mf_strbuf_addc(b, '}');
}

struct course {
	uint64_t instructions;
	const char *why; /* uncacheable */
	struct mf_outcome *outcome;
	size_t policy;
	enum mf_origin origin;
};

static void take_outcome(struct mf_vm_state *s, size_t policy, struct course *c,
			 struct mf_outcome *o, enum mf_origin origin)
{
	mf_outcome_ref(o);
	mf_outcome_unref(s->last);
	s->last = c->outcome = o;
	c->policy = policy;
	c->origin = origin;
}

static int explain_hook(struct mf_vm_state *s, size_t i, struct course *c)
{
	struct mf_outcome *o = NULL;
	int r = mf_run_hook(s, i, &o);

	c->instructions += mf_sandbox_steps_used(s->sb);
	if (s->run.uncacheable_why)
		c->why = s->run.uncacheable_why;
	if (r < 0 || s->run.discard)
		c->why = "the hook failed";
	add_policy(s, i, "hook", o, r);
	if (o)
		take_outcome(s, i, c, o, MF_FROM_LUA);
	mf_run_end(s);
	return r;
}

static int explain_policy(struct mf_vm_state *s, size_t i, struct course *c)
{
	struct mf_policy *p = &s->policies[i];
	enum mf_kind kind = (enum mf_kind)s->ask.req->kind;
	struct mf_outcome *o = NULL, *otherwise = NULL;
	int r = 0;

	if (p->health.quarantined) {
		r = mf_err_set(&s->err, MF_E_POLICY, "policy %s is in quarantine", p->name);
		add_policy(s, i, NULL, NULL, r);
		return r;
	}
	if (p->has_rules[kind]) {
		r = mf_rules_ask(p->rules, s->ask.req, &o);
		if (r < 0)
			mf_err_set(&s->err, r, "a declarative rule used up its match steps");
		if (o && p->hooks[kind] != LUA_NOREF && mf_rules_is_default(p->rules, o)) {
			otherwise = o;
			o = NULL;
		}
		if (r < 0 || o || p->hooks[kind] == LUA_NOREF)
			add_policy(s, i, "rules", o, r);
		if (o)
			take_outcome(s, i, c, o, MF_FROM_RULES);
		if (r < 0 || o)
			return r;
	}
	if (p->hooks[kind] != LUA_NOREF)
		r = explain_hook(s, i, c);
	else if (!p->has_rules[kind] && !mf_policy_closing(p, s->ask.req))
		add_policy(s, i, NULL, NULL, 0);
	if (r < 0 || c->outcome)
		return r;
	o = otherwise ? otherwise : mf_policy_closing(p, s->ask.req);
	if (o) {
		add_policy(s, i, "its default", o, 0);
		take_outcome(s, i, c, o, MF_FROM_RULES);
	}
	return 0;
}

/* What a repeat will cost, and which fields had to be fetched. */
static void add_cost(struct mf_vm_state *s, const struct course *c, uint64_t fetched)
{
	struct mf_strbuf *b = &s->json;
	int f;

	mf_json_add_number(b, "instructions", c->instructions);
	mf_json_add_bool(b, "cacheable", !c->why && !s->cache_off);
	mf_json_add_text(b, "next", c->why || s->cache_off ? "lua" : fetched ? "graph" : "memo");
	mf_json_add_text(b, "why", c->why ? c->why : s->cache_off ? "caching is off" : NULL);
	if (s->ask.minute_read || s->ask.second_read)
		mf_json_add_text(b, "valid_for",
				 s->ask.second_read ? "this second" : "this minute");
	mf_json_add_key(b, "fetched");
	mf_strbuf_addc(b, '[');
	for (f = 0; f < MF_F_NUM; f++)
		if (fetched & MF_FIELD_BIT(f))
			mf_json_add_text(b, NULL, mf_field_name((enum mf_field)f));
	mf_strbuf_addc(b, ']');
}

int mf_vm_state_explain(struct mf_vm_state *s, struct mf_request *req, struct mf_decision *ret,
			const char **ret_json)
{
	uint64_t start = mf_clock_now(&s->config->clock), lazy = req->lazy;
	struct course c = { .policy = MF_NO_POLICY, .origin = MF_FROM_DEFAULT };
	size_t i;
	int r = 0;

	mf_strbuf_clear(&s->json);
	mf_ask_begin(s, req);
	s->run.dry = true;
	mf_strbuf_adds(&s->json, "{\"policies\": [");
	for (i = 0; i < s->policy_cnt && r == 0 && !c.outcome; i++)
		r = explain_policy(s, i, &c);
	mf_strbuf_addc(&s->json, ']');
	s->run.dry = false;
	if (r < 0) {
		mf_fill_failure(s, r, ret);
	} else {
		if (!c.outcome)
			c.outcome = mf_state_default(s, req);
		mf_fill_decision(s, (enum mf_kind)req->kind, c.outcome, c.policy, c.origin, ret);
		ret->elapsed_ns = mf_clock_now(&s->config->clock) - start;
	}
	mf_json_add_text(&s->json, "kind", mf_kind_name((enum mf_kind)req->kind));
	mf_json_add_decision(&s->json, ret);
	add_cost(s, &c, lazy & ~req->lazy);
	mf_strbuf_addc(&s->json, '}');
	*ret_json = s->json.failed || !s->json.str ? "{}" : s->json.str;
	return r;
}
