/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - a vm_state: build the sandbox and its globals, load policies, check what they returned; see vm.h, state.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/agentsh.h"
#include "core/policy/sandbox.h"
#include "core/policy/state.h"

#define ARGS_MAX  16384	     /* interned arguments of predicates */
#define ARG_BYTES (8u << 20) /* and their bytes */

#define KEYS_OWN  "name", "description", "dns", "connect", "sni", "file"

/* Keys of a policy's table that are not declarative rules; hooks stand in the order of enum mf_kind. */
static const char *const own_keys[] = { "name", "description", NULL };

/* What else is suggested for a misspelt key. */
static const char *const suggested_keys[] = { KEYS_OWN,
					      "network_rules",
					      "dns_redirects",
					      "file_rules",
					      "connect_redirects",
					      "dns_default",
					      "compat",
					      "network_default",
					      "file_default",
					      "redirect_target_policy",
					      "approve_without_channel",
					      "redirect_unsupported",
					      "redirect_other_types",
					      NULL };

/* --- making ------------------------------------------------------------------------------------------------------- */

static int open_globals(lua_State *L)
{
	struct mf_vm_state *s = lua_touserdata(L, 1);

	mf_sandbox_push_globals(L);
	mf_bind_now(L);
	mf_bind_match(L);
	mf_bind_verdict(L);
	mf_bind_counter(L);
	mf_bind_request(L, s);
	return 0;
}

static struct mf_outcome *make_default(struct mf_vm_state *s, enum mf_verdict verdict,
				       const char *rule, const char *reason)
{
	const struct mf_decision d = {
		.verdict = verdict,
		.rcode = 5,	  /* REFUSED */
		.file_errno = 13, /* EACCES */
		.policy = "default",
		.rule = rule,
		.reason = reason,
	};

	return mf_outcome_intern(s, &d);
}

static int make_defaults(struct mf_vm_state *s, struct mf_err *err)
{
	static const char *const rules[] = {
		[MF_DNS] = "default-dns",
		[MF_CONNECT] = "default-connect",
		[MF_SNI] = "default-sni",
		[MF_FILE] = "default-file",
		[MF_DNS_ANSWER] = "default-dns-answer",
	};
	int kind;

	for (kind = 0; kind < MF_KIND_NUM; kind++) {
		/* an answer is to a question that was allowed: only a policy that minds refuses it */
		bool yes = s->config->options.default_allow[kind] || kind == MF_DNS_ANSWER;

		s->defaults[kind] = make_default(s, yes ? MF_ALLOW : MF_DENY, rules[kind],
						 yes ? "no policy decided; allowed by default"
						     : "no policy decided; denied by default");
		if (!s->defaults[kind])
			return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	s->allow_reads = make_default(s, MF_ALLOW, "default-allow-reads",
				      "no policy decided; looking is allowed by default");
	if (!s->allow_reads)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return 0;
}

static int make_caches(struct mf_vm_state *s, struct mf_err *err)
{
	const struct mf_runtime_options *o = &s->config->options;

	s->outcomes.seed = mf_hash_seed();
	s->preds = mf_preds_new(ARGS_MAX, ARG_BYTES);
	s->load_made = calloc(MF_VERDICTS_AT_LOAD, sizeof(struct mf_outcome *));
	if (!s->preds || !s->load_made || mf_memo_init(&s->memo, o->memo_entries_max) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->graph = mf_graph_new(o->graph_nodes_max, s->preds);
	if (!s->graph)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->now = (struct mf_now)MF_NOW_INIT;
	s->ask.preds = s->preds;
	s->ask.now = &s->now;
	s->ask.clock = &s->config->clock;
	/* The default for files looks at these. */
	mf_memo_cover(&s->memo, MF_FILE, MF_FIELD_BIT(MF_F_OP) | MF_FIELD_BIT(MF_F_FLAGS), false);
	return 0;
}

static void on_print(void *ctx, const char *text, size_t len)
{
	struct mf_vm_state *s = ctx;

	mf_log_info(&s->config->log, "policy: %.*s", (int)(len < 900 ? len : 900), text);
}

static int make_sandbox(struct mf_vm_state *s, struct mf_err *err)
{
	const struct mf_runtime_options *o = &s->config->options;
	const struct mf_sandbox_options options = {
		.memory = o->memory_limit,
		.clock = &s->config->clock,
		.alloc = o->alloc,
		.alloc_ctx = o->alloc_ctx,
		.print = on_print,
		.print_ctx = s,
	};
	const struct mf_sandbox_limits limits = { 1000000, MF_NS_PER_S * 10 };
	int r = mf_sandbox_new(&options, &s->sb, err);

	if (r < 0)
		return r;
	mf_sandbox_set_owner(s->sb, s);
	r = mf_sandbox_call(s->sb, &limits, open_globals, s, err);
	return r < 0 ? r : mf_sandbox_seal(s->sb, err);
}

/* --- the table that a policy returned --------------------------------------------------------------------------- */

struct check {
	struct mf_vm_state *s;
	struct mf_policy *p;
	int ref;
	int code;
	struct mf_err *err;
	bool rules_taken; // before the table was frozen; how that went:
	int rules_code;
	struct mf_err rules_err;
};

/* The line on which a policy's text sets a key, for messages; 0 when it is not found. */
static unsigned find_key_line(const struct mf_sandbox_source *chunk, const char *key)
{
	const char *at = chunk->text, *end = at + chunk->len, *after;
	size_t n = strlen(key);
	unsigned line = 1;

	for (; (size_t)(end - at) > n; at++) {
		if (*at == '\n')
			line++;
		if ((at > chunk->text &&
		     (at[-1] == '_' || at[-1] == '.' || (at[-1] | 0x20) >= 'a')) ||
		    memcmp(at, key, n) != 0)
			continue;
		for (after = at + n; after < end && (*after == ' ' || *after == '\t'); after++)
			;
		if (after < end && *after == '=' && (after + 1 == end || after[1] != '='))
			return line;
	}
	return 0;
}

/* An error about one key: "policy key 'KEY' WHAT MORE". */
static int bad_key(struct check *c, const char *key, const char *what, const char *more)
{
	const struct mf_sandbox_source *chunk = &c->p->source->chunk;

	c->code = mf_err_at(c->err, MF_E_POLICY, chunk->name, find_key_line(chunk, key), 0,
			    "policy key '%s' %s%s", key, what, more);
	return c->code;
}

static bool word_in(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static int check_key(struct check *c, const char *key)
{
	char hint[80] = "";
	const char *near;
	int kind;

	for (kind = 0; kind < MF_KIND_NUM; kind++)
		if (strcmp(key, mf_kind_name((enum mf_kind)kind)) == 0)
			return 0;
	if (word_in(key, own_keys) || mf_rules_is_key(key))
		return 0;
	near = mf_word_nearest(key, suggested_keys);
	if (near)
		snprintf(hint, sizeof(hint), " (did you mean '%s'?)", near);
	return bad_key(c, key, "is not known", hint);
}

static int check_keys(lua_State *L, struct check *c, int table)
{
	mf_frozen_contents(L, table);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return c->code = mf_err_at(
				       c->err, MF_E_POLICY, c->p->source->chunk.name, 0, 0,
				       "the table of a policy has names as keys, not a %s",
				       luaL_typename(L, -2));
		if (check_key(c, lua_tostring(L, -2)) < 0)
			return c->code;
	}
	lua_pop(L, 1);
	return 0;
}

static int take_name(lua_State *L, struct check *c, int table)
{
	const char *name;
	size_t len;

	if (lua_getfield(L, table, "name") != LUA_TSTRING)
		return c->code = mf_err_at(c->err, MF_E_POLICY, c->p->source->chunk.name, 0, 0,
					   "a policy needs a name: name = \"...\"");
	name = lua_tolstring(L, -1, &len);
	if (len == 0 || len >= sizeof(c->p->name) || strlen(name) != len)
		return bad_key(c, "name", "has 1 to 128 bytes", "");
	memcpy(c->p->name, name, len + 1);
	lua_pop(L, 1);
	if (lua_getfield(L, table, "description") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
		return bad_key(c, "description", "is a string", "");
	lua_pop(L, 1);
	return 0;
}

static int take_hooks(lua_State *L, struct check *c, int table)
{
	lua_Debug ar;
	int kind;

	for (kind = 0; kind < MF_KIND_NUM; kind++) {
		const char *key = mf_kind_name((enum mf_kind)kind);

		if (lua_getfield(L, table, key) == LUA_TNIL) {
			lua_pop(L, 1);
			continue;
		}
		if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1))
			return bad_key(c, key, "must be a function written in Lua, not a ",
				       luaL_typename(L, -1));
		lua_pushvalue(L, -1);
		lua_getinfo(L, ">S", &ar);
		c->p->hook_lines[kind] = ar.linedefined > 0 ? (unsigned)ar.linedefined : 0;
		c->p->hooks[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return 0;
}

static int check_policy(lua_State *L)
{
	struct check *c = lua_touserdata(L, 1);
	int table;

	lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
	table = lua_gettop(L);
	if (!lua_istable(L, table)) {
		c->code = mf_err_at(c->err, MF_E_POLICY, c->p->source->chunk.name, 0, 0,
				    "a policy returns a table, not %s",
				    lua_isnil(L, table) ? "nothing" : luaL_typename(L, table));
		return 0;
	}
	if (check_keys(L, c, table) < 0 || take_name(L, c, table) < 0 ||
	    take_hooks(L, c, table) < 0)
		return 0;
	if (!c->rules_taken) {
		c->code = mf_rules_from_lua(L, table, c->p->name, &c->p->source->chunk,
					    c->s->config->observer, &c->p->rules, c->err);
	} else if ((c->code = c->rules_code) < 0) {
		*c->err = c->rules_err;
	}
	return 0;
}

/* Replace the table on top of the stack by one that has the same keys, but those of rules. */
static void drop_rules(lua_State *L)
{
	int from = lua_gettop(L);

	lua_createtable(L, 0, MF_KIND_NUM + 4);
	for (lua_pushnil(L); lua_next(L, from);) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		if (lua_type(L, -2) == LUA_TSTRING && mf_rules_is_key(lua_tostring(L, -2)))
			lua_pop(L, 2);
		else
			lua_rawset(L, from + 1);
	}
	lua_replace(L, from);
}

/*
 * Rules are read once: ten thousand of them, frozen before, would not fit into a sandbox. What a hook reaches by another way
 * is still frozen. A table with a metatable, or without a good name, goes the long way, which also says what is wrong.
 */
static void take_rules(lua_State *L, void *ctx)
{
	struct check *c = ctx, quiet = *c;
	struct mf_err scratch = { 0 };
	int table = lua_gettop(L);

	quiet.err = &scratch;
	if (!lua_istable(L, table) || lua_getmetatable(L, table) ||
	    check_keys(L, &quiet, table) < 0 || take_name(L, &quiet, table) < 0) {
		lua_settop(L, table);
		return;
	}
	c->rules_taken = true;
	c->rules_code = mf_rules_from_lua(L, table, c->p->name, &c->p->source->chunk,
					  c->s->config->observer, &c->p->rules, &c->rules_err);
	drop_rules(L);
}

/* Roots in the graph, and the fields of declarative rules in the memo's key. */
static void prepare_policy(struct mf_vm_state *s, struct mf_policy *p)
{
	uint64_t fields;
	int kind;

	for (kind = 0; kind < MF_KIND_NUM; kind++) {
		if (p->hooks[kind] != LUA_NOREF)
			p->roots[kind] = mf_graph_add_root(s->graph, (enum mf_kind)kind);
		fields = p->rules ? mf_rules_fields(p->rules, (enum mf_kind)kind) : 0;
		p->has_rules[kind] = fields != 0;
		mf_memo_cover(&s->memo, (enum mf_kind)kind, fields, false);
	}
}

/* What the policy's own defaults say, under the names that agentsh gives them. */
static int make_closing(struct mf_vm_state *s, struct mf_policy *p, struct mf_err *err)
{
	struct mf_decision d = {
		.rcode = 5, .file_errno = 13, .policy = p->name, .file = p->source->chunk.name
	};
	bool good = true;

	for (int kind = 0; kind < MF_KIND_NUM; kind++) {
		if (mf_rules_default(p->rules, (enum mf_kind)kind) == MF_DEFAULT_NONE)
			continue;
		d.verdict = MF_DENY;
		d.rule = kind == MF_FILE ? "default-deny-files" : "default-deny-network";
		d.reason = "no rule of this policy allows it";
		p->closing[kind] = mf_outcome_intern(s, &d);
		good = good && p->closing[kind];
	}
	if (mf_rules_default(p->rules, MF_FILE) == MF_DEFAULT_ALLOW_READS) {
		d.verdict = MF_ALLOW;
		d.rule = "default-allow-reads";
		d.reason = "no rule of this policy is about it; looking is allowed";
		p->allow_reads = mf_outcome_intern(s, &d);
		good = good && p->allow_reads;
	}
	return good ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");
}

static int load_yaml(struct mf_vm_state *s, struct mf_policy *p, struct mf_err *err)
{
	const struct mf_agentsh_source source = mf_agentsh_source_of(p->source, s->config->vars);
	struct mf_agentsh_policy policy;
	int r = mf_agentsh_load(&source, NULL, &policy, err);

	if (r < 0)
		return r;
	memcpy(p->name, policy.name, sizeof(p->name));
	p->rules = policy.rules;
	return 0;
}

static int load_lua(struct mf_vm_state *s, struct mf_policy *p, struct mf_err *err)
{
	const struct mf_runtime_options *o = &s->config->options;
	const struct mf_sandbox_limits limits = { o->load_step_limit,
						  o->load_time_limit_ms * MF_NS_PER_MS };
	struct check check = { .s = s, .p = p, .ref = LUA_NOREF, .err = err };
	int r;

	s->loading = p;
	r = mf_sandbox_load_taking(s->sb, &limits, &p->source->chunk, take_rules, &check,
				   &check.ref, err);
	s->loading = NULL;
	if (r < 0)
		return r;
	r = mf_sandbox_call(s->sb, &limits, check_policy, &check, err);
	if (r == 0)
		r = check.code;
	luaL_unref(mf_sandbox_lua(s->sb), LUA_REGISTRYINDEX, check.ref);
	return r;
}

static int load_policy(struct mf_vm_state *s, struct mf_policy *p, struct mf_err *err)
{
	int r = p->source->yaml ? load_yaml(s, p, err) : load_lua(s, p, err);

	if (r == 0)
		r = make_closing(s, p, err);
	if (r == 0)
		prepare_policy(s, p);
	return r;
}

static int load_policies(struct mf_vm_state *s, struct mf_err *err)
{
	size_t i, cnt = mf_source_set_count(s->set);
	int r, kind;

	s->policies = calloc(cnt ? cnt : 1, sizeof(*s->policies));
	if (!s->policies)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (i = 0; i < cnt; i++) {
		struct mf_policy *p = &s->policies[s->policy_cnt++];

		p->source = mf_source_set_policy(s->set, i);
		for (kind = 0; kind < MF_KIND_NUM; kind++)
			p->hooks[kind] = LUA_NOREF;
		r = load_policy(s, p, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mf_vm_state_new(const struct mf_vm_config *config, struct mf_source_set *set,
		    uint64_t generation, struct mf_vm_state **ret_state, struct mf_err *err)
{
	struct mf_vm_state *s = calloc(1, sizeof(*s));
	int r;

	*ret_state = NULL;
	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->config = config;
	s->generation = generation;
	s->set = mf_source_set_ref(set);
	s->json = (struct mf_strbuf)MF_STRBUF_INIT(1u << 20);
	r = make_caches(s, err);
	if (r == 0)
		r = make_defaults(s, err);
	if (r == 0)
		r = make_sandbox(s, err);
	if (r == 0)
		r = load_policies(s, err);
	if (r < 0) {
		mf_vm_state_free(s);
		return r;
	}
	*ret_state = s;
	return 0;
}

static void free_outcomes(struct mf_vm_state *s)
{
	size_t i;

	mf_outcome_unref(s->last);
	mf_outcome_unref(s->allow_reads);
	for (i = 0; i < MF_KIND_NUM; i++)
		mf_outcome_unref(s->defaults[i]);
	for (i = 0; i < s->load_made_cnt; i++)
		mf_outcome_unref(s->load_made[i]);
	free(s->load_made);
	for (i = 0; s->outcomes.slots && i <= s->outcomes.mask; i++)
		mf_outcome_unref(s->outcomes.slots[i]);
	free(s->outcomes.slots);
}

void mf_vm_state_free(struct mf_vm_state *s)
{
	size_t i;

	if (!s)
		return;
	mf_sandbox_free(s->sb);
	mf_memo_done(&s->memo);
	mf_graph_free(s->graph);
	free_outcomes(s);
	for (i = 0; i < s->policy_cnt; i++) {
		for (int kind = 0; kind < MF_KIND_NUM; kind++)
			mf_outcome_unref(s->policies[i].closing[kind]);
		mf_outcome_unref(s->policies[i].allow_reads);
		mf_rules_free(s->policies[i].rules);
	}
	free(s->policies);
	for (i = 0; i < s->set_cnt; i++)
		mf_arg_unref(s->preds, s->sets[i]);
	free(s->sets);
	mf_preds_free(s->preds);
	mf_strbuf_done(&s->json);
	mf_source_set_unref(s->set);
	free(s);
}

/* --- asking about it ---------------------------------------------------------------------------------------------- */

size_t mf_vm_state_policy_count(const struct mf_vm_state *s)
{
	return s->policy_cnt;
}

size_t mf_vm_state_rule_count(const struct mf_vm_state *s)
{
	size_t cnt = 0;

	for (size_t i = 0; i < s->policy_cnt; i++)
		cnt += s->policies[i].rules ? mf_rules_count(s->policies[i].rules) : 0;
	return cnt;
}

const char *mf_vm_state_policy_name(const struct mf_vm_state *s, size_t i)
{
	return i < s->policy_cnt ? s->policies[i].name : "";
}

struct mf_policy_health *mf_vm_state_health(struct mf_vm_state *s, size_t policy)
{
	return &s->policies[policy].health;
}

const struct mf_err *mf_vm_state_error(const struct mf_vm_state *s)
{
	return &s->err;
}

void mf_vm_state_set_cache(struct mf_vm_state *s, bool on)
{
	s->cache_off = !on || s->impure;
}

void mf_vm_state_flush(struct mf_vm_state *s)
{
	mf_memo_flush(&s->memo);
}

struct mf_sandbox *mf_vm_state_sandbox(struct mf_vm_state *s)
{
	return s->sb;
}

void mf_vm_state_stats(const struct mf_vm_state *s, struct mf_vm_stats *ret)
{
	struct mf_vm_stats all = s->stats;
	struct mf_graph_stats g;
	size_t size = ret->size;

	mf_graph_get_stats(s->graph, &g);
	all.graph_nodes = g.nodes;
	all.graph_evictions = g.evictions;
	all.memo_entries = s->memo.cnt;
	all.memo_evictions = s->memo.evictions;
	all.lua_bytes = mf_sandbox_bytes(s->sb);
	all.size = size;
	memcpy(ret, &all, size < sizeof(all) ? size : sizeof(all));
}
