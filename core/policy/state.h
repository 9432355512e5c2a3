/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the inside of a vm_state: what vm.c, decide.c, explain.c and bind_*.c share
 *
 * How a decision is made (decide.c)
 *
 *	memo: an exact repeat?                          -> done, some tens of nanoseconds
 *	for each policy, in order:
 *	    its declarative rules match?                -> done
 *	    its hook's tree knows these reads?          -> done, or no opinion: next policy
 *	    run the hook in Lua, recording its steps;
 *	    the path joins the tree                     -> done, or no opinion: next policy
 *	nobody had an opinion                           -> the kind's default
 *
 * What was decided without counters and without fetched fields joins the memo.
 *
 * How a hook sees its request (bind_request.c): one userdata a kind, made at load; its reads go to mf_run_read() and its
 * predicates to mf_run_pred(), which answer from the request and write down the step. Nothing of a request is copied into
 * Lua but what the hook reads.
 *
 * Lifetimes: outcomes are counted; verdicts (userdata) of a call borrow theirs from the state's list of the call, those
 * made while loading from the list of the state.
 */
#ifndef MF_POLICY_STATE_H
#define MF_POLICY_STATE_H

#include <lauxlib.h>
#include <lua.h>

#include "core/policy/counters.h"
#include "core/policy/graph.h"
#include "core/policy/memo.h"
#include "core/policy/rules.h"
#include "core/policy/vm.h"

#define MF_VERDICTS_PER_CALL 64
#define MF_VERDICTS_AT_LOAD  4096
#define MF_OUTCOMES_KEPT     4096

struct mf_policy {
	const struct mf_policy_source *source;
	char name[129];
	int hooks[MF_KIND_NUM]; /* registry references, LUA_NOREF for none */
	unsigned hook_lines[MF_KIND_NUM];
	uint32_t roots[MF_KIND_NUM]; /* in the graph; 0 for none */
	struct mf_rules *rules;	     /* may be NULL */
	bool has_rules[MF_KIND_NUM];
	/* What the policy says where it decided nothing else; NULL: no opinion. */
	struct mf_outcome *closing[MF_KIND_NUM], *allow_reads;
	struct mf_policy_health health;
	bool quarantine_seen; /* the memo was flushed for it */
};

/* One run of one hook. */
struct mf_run {
	bool active;
	bool cacheable; /* so far: steps are recorded */
	bool discard;	/* record nothing of this run */
	bool dry;	/* explain: counters are asked, not moved */
	const char *uncacheable_why;
	uint64_t seen;	    /* fields with a step */
	uint64_t time_seen; /* fields of now with a step */
	uint16_t step_cnt;
	size_t policy;
	struct mf_outcome *outcome; /* what it returned; of the call's list */
	struct mf_step steps[MF_STEPS_MAX];
};

/* First member of every userdata of ours: policies cannot make any. */
enum mf_box_type {
	MF_BOX_REQUEST = 0x6d660001,
	MF_BOX_PROCESS,
	MF_BOX_SESSION,
	MF_BOX_LABELS,
	MF_BOX_NOW,
	MF_BOX_VERDICT,
	MF_BOX_SET,
	MF_BOX_COUNTER
};

struct mf_box {
	uint32_t type; /* enum mf_box_type */
	uint32_t kind; /* request: enum mf_kind; verdict: the call it was made in, 0 for load */
	void *ptr;     /* verdict: outcome; set: argument */
};

/* Outcomes by content, so that a thousand leaves share one. */
struct mf_outcomes {
	struct mf_outcome **slots; /* open addressing */
	uint32_t mask, cnt;
	uint64_t seed;
};

struct mf_vm_state {
	struct mf_vm_state *next_dead; /* reaper.c */
	const struct mf_vm_config *config;
	struct mf_source_set *set;
	uint64_t generation;
	bool cache_off; /* graph and memo are not used: asked for, or a hook turned out to be impure */
	bool impure;

	struct mf_sandbox *sb;
	struct mf_policy *policies;
	size_t policy_cnt;
	const struct mf_policy *loading; /* while a policy loads */

	struct mf_preds *preds;
	struct mf_graph *graph;
	struct mf_memo memo;
	struct mf_outcomes outcomes;
	struct mf_outcome *defaults[MF_KIND_NUM];
	struct mf_outcome *allow_reads; /* file default for operations that only look */
	struct mf_outcome *last;	/* keeps the strings of the last decision */

	struct mf_now now;
	struct mf_ask ask;
	struct mf_run run;
	uint32_t call; /* number of the call, never 0 */
	struct mf_outcome *made[MF_VERDICTS_PER_CALL];
	size_t made_cnt;
	struct mf_outcome **load_made;
	size_t load_made_cnt;
	struct mf_arg **sets; /* declared at load */
	size_t set_cnt;

	int view_refs[MF_KIND_NUM];
	int trampoline_ref;
	struct mf_err err; /* of the last decision that failed */
	struct mf_vm_stats stats;
	struct mf_strbuf json;
};

static inline struct mf_vm_state *mf_state_of(lua_State *L)
{
	return mf_sandbox_owner(mf_sandbox_of(L));
}

/* The userdata of ours at @idx if it is a @type, else NULL. */
static inline struct mf_box *mf_box_at(lua_State *L, int idx, enum mf_box_type type)
{
	struct mf_box *box = lua_touserdata(L, idx);

	if (!box || lua_type(L, idx) != LUA_TUSERDATA || lua_rawlen(L, idx) != sizeof(*box) ||
	    box->type != (uint32_t)type)
		return NULL;
	return box;
}

/* --- decide.c: recording; these raise Lua errors -------------------------------------------------------------------- */

struct mf_value mf_run_read(struct mf_vm_state *s, enum mf_field field);
struct mf_value mf_run_label(lua_State *L, struct mf_vm_state *s, const char *key, size_t len);
bool mf_run_pred(lua_State *L, struct mf_vm_state *s, enum mf_pred_op op, struct mf_arg *arg);
int64_t mf_run_time(struct mf_vm_state *s, enum mf_now_field field);
/* From here on this run must be done again each time. @why: static text for explanations. */
void mf_run_uncacheable(struct mf_vm_state *s, const char *why);

/* Run policy @i's hook for the request of s->ask. Return: 0 with *ret (NULL: no opinion), or MF_E_* with s->err. */
int mf_run_hook(struct mf_vm_state *s, size_t i, struct mf_outcome **ret);
/* End a run: give back what its steps and verdicts hold. */
void mf_run_end(struct mf_vm_state *s);

/* Begin asking about @req. */
void mf_ask_begin(struct mf_vm_state *s, struct mf_request *req);

/* The shared outcome that says what @d says, with a reference; NULL without memory. */
struct mf_outcome *mf_outcome_intern(struct mf_vm_state *s, const struct mf_decision *d);

/* What policy @p says of a question that its rules and hooks left open; borrowed; NULL: no opinion. */
struct mf_outcome *mf_policy_closing(const struct mf_policy *p, struct mf_request *req);

/* What nobody decided. */
struct mf_outcome *mf_state_default(struct mf_vm_state *s, struct mf_request *req);

/* Fill @ret from an outcome; @policy SIZE_MAX for a default. */
void mf_fill_decision(struct mf_vm_state *s, enum mf_kind kind, const struct mf_outcome *o,
		      size_t policy, enum mf_origin origin, struct mf_decision *ret);
void mf_fill_failure(struct mf_vm_state *s, int code, struct mf_decision *ret);

#define MF_NO_POLICY SIZE_MAX

/* --- bind_*.c: each adds its globals to the table on top of the stack -------------------------------------------------- */

void mf_bind_request(lua_State *L, struct mf_vm_state *s);
void mf_bind_now(lua_State *L);
void mf_bind_verdict(lua_State *L);
void mf_bind_match(lua_State *L);
void mf_bind_counter(lua_State *L);

/* bind_verdict.c: the outcome of the verdict at the top of the stack, NULL for nil; raises for anything else. */
struct mf_outcome *mf_take_verdict(lua_State *L, struct mf_vm_state *s, enum mf_kind kind);

/* bind_match.c: the argument of a predicate at @idx, with a reference; raises when it is none. */
struct mf_arg *mf_take_arg(lua_State *L, int idx, struct mf_vm_state *s, enum mf_kind kind,
			   enum mf_pred_op op);

/* --- bind_table.c: reading option tables ------------------------------------------------------------------------------- */

/*
 * Raise unless every string key of the table at @idx is one of @keys (NULL-terminated), and unless its other keys are
 * 1..n; Return: n
 */
lua_Integer mf_check_keys(lua_State *L, int idx, const char *what, const char *const *keys);
/* One key of the table at @idx; NULL where it is not there, raises for another type, NUL inside, or over @max bytes. */
const char *mf_opt_string(lua_State *L, int idx, const char *what, const char *key, size_t max);
bool mf_opt_bool(lua_State *L, int idx, const char *what, const char *key, bool otherwise);
lua_Integer mf_opt_int(lua_State *L, int idx, const char *what, const char *key, lua_Integer min,
		       lua_Integer max, lua_Integer otherwise);

#endif
