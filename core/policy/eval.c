/* SPDX-License-Identifier: Apache-2.0 */
/* eval.c - an expression in the words of policies, with a request at hand; see mf_vm_state_eval() in vm.h */
#include <string.h>

#include "core/policy/state.h"

#define SHOWN_MAX 40 /* entries of a table */
#define TEXT_MAX_ 65536

struct eval {
	struct mf_vm_state *s;
	struct mf_strbuf *out;
	int ref; /* the function that the expression became */
	enum mf_kind kind;
	bool asked; /* there is a request */
};

static void put_value(lua_State *L, struct mf_strbuf *out, int at)
{
	const char *text;
	size_t len;

	if (lua_type(L, at) == LUA_TSTRING) {
		text = lua_tolstring(L, at, &len);
		mf_json_add_str(out, text, len);
		return;
	}
	text = luaL_tolstring(L, at, &len);
	mf_strbuf_add(out, text, len);
	lua_pop(L, 1);
}

/* A list or map of one level; what is inside of inside is named only. */
static void put_table(lua_State *L, struct mf_strbuf *out, int at)
{
	int n = 0;

	mf_strbuf_adds(out, "{");
	for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
		if (n++ == SHOWN_MAX) {
			mf_strbuf_adds(out, ", ...");
			lua_pop(L, 2);
			break;
		}
		mf_strbuf_adds(out, n > 1 ? ", " : " ");
		if (!lua_isinteger(L, -2)) {
			lua_pushvalue(L, -2);
			put_value(L, out, lua_gettop(L));
			lua_pop(L, 1);
			mf_strbuf_adds(out, " = ");
		}
		put_value(L, out, lua_gettop(L));
	}
	mf_strbuf_adds(out, n ? " }" : "}");
}

/* Under mf_sandbox_call(). */
static int call_eval(lua_State *L)
{
	struct eval *e = lua_touserdata(L, 1);
	struct mf_box *box;

	lua_rawgeti(L, LUA_REGISTRYINDEX, e->ref);
	if (e->asked)
		lua_rawgeti(L, LUA_REGISTRYINDEX, e->s->view_refs[e->kind]);
	else
		lua_pushnil(L);
	lua_call(L, 1, 1);
	box = mf_box_at(L, -1, MF_BOX_VERDICT);
	if (box) {
		const struct mf_outcome *o = box->ptr;

		mf_strbuf_addf(e->out, "verdict %s%s%s", mf_verdict_name(o->d.verdict),
			       o->d.reason ? ": " : "", o->d.reason ? o->d.reason : "");
	} else if (lua_istable(L, -1)) {
		put_table(L, e->out, lua_gettop(L));
	} else {
		put_value(L, e->out, lua_gettop(L));
	}
	return 0;
}

static const struct mf_sandbox_source *find_none(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return NULL;
}

/* As one hook that no policy has. */
static int run(struct mf_vm_state *s, struct eval *e, const struct mf_sandbox_limits *limits,
	       struct mf_err *err)
{
	struct mf_run *run = &s->run;
	int r;

	run->active = e->asked;
	run->cacheable = false;
	run->discard = true;
	run->dry = true;
	run->seen = run->time_seen = 0;
	run->step_cnt = 0;
	if (++s->call == 0)
		s->call = 1;
	r = mf_sandbox_call(s->sb, limits, call_eval, e, err);
	run->active = false;
	run->dry = false;
	mf_run_end(s);
	return r;
}

int mf_vm_state_eval(struct mf_vm_state *s, struct mf_request *req, const char *expression,
		     struct mf_strbuf *out, struct mf_err *err)
{
	const struct mf_runtime_options *o = &s->config->options;
	const struct mf_sandbox_limits limits = { o->step_limit, o->time_limit_us * MF_NS_PER_US };
	struct mf_strbuf text = MF_STRBUF_INIT(TEXT_MAX_);
	struct mf_sandbox_source source = { .name = "expression", .find = find_none };
	struct eval e = { .s = s, .out = out, .asked = req != NULL };
	lua_State *L = mf_sandbox_lua(s->sb);
	int r;

	mf_strbuf_addf(&text, "return function(q) return %s\nend", expression);
	if (text.failed)
		return mf_err_set(err, MF_E_LIMIT, "the expression is longer than %d bytes",
				  TEXT_MAX_);
	source.text = text.str;
	source.len = text.len;
	r = mf_sandbox_load(s->sb, &limits, &source, &e.ref, err);
	mf_strbuf_done(&text);
	if (r < 0)
		return r;
	if (req) {
		mf_ask_begin(s, req);
		e.kind = (enum mf_kind)req->kind;
	}
	r = run(s, &e, &limits, err);
	luaL_unref(L, LUA_REGISTRYINDEX, e.ref);
	return r < 0 ? r : out->failed ? mf_err_set(err, MF_E_LIMIT, "the value is too long") : 0;
}
