/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_test.c - what a test file sees: test(), questions, expectations
 *
 *	test("name", function(t) ... end)      test.todo("name")
 *	test.each(rows, "name {key}", function(t, row) ... end)
 *	t:dns{...} t:connect{...} t:sni{...} t:file{...}   ask; give an answer
 *	t:for_all({ name = t:any_name() }, function(x) ... end)   bind_forall.c
 *	answer:is_denied("LAN"):rule("connect()")          expect; give the answer again
 *
 * An expectation that does not hold writes down question, expectation and decision, and raises an error to end the test.
 * What was written down stays, so a test cannot hide it with pcall().
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/base/printf.h"
#include "core/policy/request.h"
#include "core/policy/sandbox.h"
#include "core/policy/testrun_internal.h"

#define ANSWER_META "mf.test.answer"
#define TEST_META   "mf.test.test"

struct answer_ref {
	uint32_t serial, index;
};

static struct mf_test_run *run_of(lua_State *L)
{
	return mf_sandbox_owner(mf_sandbox_of(L));
}

/* --- test() ------------------------------------------------------------------------------------------------------- */

static struct mf_test_entry *add_entry(lua_State *L, const char *name)
{
	struct mf_test_run *run = run_of(L);
	struct mf_test_entry *more, *e;
	const char *file;

	if (!run->collecting)
		luaL_error(L,
			   "test() may only be called while the test file is read, not in a test");
	if (run->entry_cnt == MF_TESTS_MAX)
		luaL_error(L, "a test file may have %d tests", MF_TESTS_MAX);
	if (!*name || strlen(name) > MF_TEST_NAME_MAX)
		luaL_error(L, "a test's name has 1 to %d characters", MF_TEST_NAME_MAX);
	more = realloc(run->entries, (run->entry_cnt + 1) * sizeof(*more));
	if (!more)
		luaL_error(L, "out of memory");
	run->entries = more;
	e = &more[run->entry_cnt++];
	*e = (struct mf_test_entry){ .ref = LUA_NOREF, .row = LUA_NOREF };
	snprintf(e->name, sizeof(e->name), "%s", name);
	mf_sandbox_where(L, &file, &e->line);
	return e;
}

/* test(name, function): called with the object itself in front. */
static int call_test(lua_State *L)
{
	const char *name = luaL_checkstring(L, 2);
	struct mf_test_entry *e;

	if (strncmp(name, "todo", 4) == 0) {
		add_entry(L, name);
		return 0;
	}
	if (lua_type(L, 3) != LUA_TFUNCTION)
		return luaL_error(L, "test(\"%s\", ...) needs a function", name);
	e = add_entry(L, name);
	lua_settop(L, 3);
	e->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static int call_todo(lua_State *L)
{
	add_entry(L, luaL_checkstring(L, 1));
	return 0;
}

/* @template with {KEY} replaced by what the row on top has under it, "#2" behind it where it names nothing. */
static void row_name(lua_State *L, const char *template, lua_Integer number, char *buf, size_t size)
{
	size_t n = 0;
	bool named = false;

	while (*template && n + 1 < size) {
		size_t len = strcspn(template, "}");

		if (*template != '{' || template[len] != '}') {
			buf[n++] = *template ++;
			continue;
		}
		lua_pushlstring(L, template + 1, len - 1);
		if (lua_stringtonumber(L, lua_tostring(L, -1)))
			lua_remove(L, -2);
		lua_rawget(L, -2);
		n += (size_t)snprintf(buf + n, size - n, "%s", luaL_tolstring(L, -1, NULL));
		n = n < size ? n : size - 1;
		lua_pop(L, 2);
		named = true;
		template += len + 1;
	}
	buf[n] = '\0';
	if (!named)
		snprintf(buf + n, size - n, " #%lld", (long long)number);
}

/* test.each(rows, name, function): one test a row. */
static int call_each(lua_State *L)
{
	const char *template = luaL_checkstring(L, 2);
	int rows, function;

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 3, LUA_TFUNCTION);
	lua_settop(L, 3);
	(void)mf_frozen_contents(L, 1);
	rows = lua_gettop(L);
	lua_pushvalue(L, 3);
	function = luaL_ref(L, LUA_REGISTRYINDEX);
	if (lua_rawlen(L, rows) == 0)
		return luaL_error(L, "test.each(rows, ...) needs a list of rows");
	for (lua_Integer i = 1; lua_rawgeti(L, rows, i) != LUA_TNIL; i++) {
		char name[MF_TEST_NAME_MAX + 1];
		struct mf_test_entry *e;

		if (lua_type(L, -1) != LUA_TTABLE)
			return luaL_error(L, "test.each: row %d is not a table", (int)i);
		(void)mf_frozen_contents(L, lua_gettop(L));
		row_name(L, template, i, name, sizeof(name));
		lua_pop(L, 1);
		e = add_entry(L, name);
		e->ref = strncmp(name, "todo", 4) == 0 ? LUA_NOREF : function;
		e->row = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return 0;
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

static void check_set(lua_State *L, int code, const char *name, const char *what)
{
	if (code == MF_E_NOMEM)
		luaL_error(L, "out of memory");
	if (code < 0)
		luaL_error(L, "field %s: %s", name, what);
}

static void set_list(lua_State *L, struct mf_request *req, enum mf_field field, const char *name)
{
	size_t len;

	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "field %s must be a list in { }, not %s", name, luaL_typename(L, -1));
	(void)mf_frozen_contents(L, lua_gettop(L));
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
		const char *item =
			lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

		if (!item)
			luaL_error(L, "field %s must be a list of strings", name);
		check_set(L, mf_request_add_str(req, field, item, len), name,
			  "an item is not what the field holds, or there are too many");
		lua_pop(L, 1);
	}
	lua_pop(L, 2);
}

/* The value on top into field @field. */
static void set_field(lua_State *L, struct mf_request *req, enum mf_field field)
{
	const struct mf_field_info *info = &mf_field_table[field];
	size_t len;
	const char *str;
	int number;

	switch ((enum mf_type)info->type) {
	case MF_T_STR:
	case MF_T_ADDR:
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "field %s must be a string, not %s", info->name,
				   luaL_typename(L, -1));
		str = lua_tolstring(L, -1, &len);
		if (info->type == MF_T_ADDR)
			check_set(L, mf_request_set_addr_text(req, field, str), info->name,
				  "not an IP address");
		else
			check_set(L, mf_request_set_str(req, field, str, len), info->name,
				  "not what such a field may hold");
		return;
	case MF_T_INT:
		if (!lua_isinteger(L, -1))
			luaL_error(L, "field %s must be an integer, not %s", info->name,
				   luaL_typename(L, -1));
		number = mf_request_set_int(req, field, lua_tointeger(L, -1));
		check_set(L, number, info->name, "the number is out of range");
		return;
	case MF_T_BOOL:
		if (lua_type(L, -1) != LUA_TBOOLEAN)
			luaL_error(L, "field %s must be true or false", info->name);
		check_set(L, mf_request_set_bool(req, field, lua_toboolean(L, -1)), info->name,
			  "?");
		return;
	default:
		set_list(L, req, field, info->name);
	}
}

static void set_labels(lua_State *L, struct mf_request *req)
{
	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "session.labels must be a table");
	(void)mf_frozen_contents(L, lua_gettop(L));
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "session.labels maps names to strings");
		check_set(L, mf_request_set_label(req, lua_tostring(L, -2), lua_tostring(L, -1)),
			  "session.labels", "not a label, or too many");
	}
	lua_pop(L, 1);
}

static void set_fields(lua_State *L, struct mf_request *req, const char *prefix);

/* One key, its value on top: a field, or a group of fields (session, process). */
static void set_key(lua_State *L, struct mf_request *req, const char *prefix, const char *key)
{
	enum mf_kind kind = (enum mf_kind)req->kind;
	char name[64];
	enum mf_field field;

	snprintf(name, sizeof(name), "%s%s%.40s", prefix, *prefix ? "." : "", key);
	field = mf_field_find(kind, name);
	if (field != MF_F_NUM)
		set_field(L, req, field);
	else if (strcmp(name, "session.labels") == 0)
		set_labels(L, req);
	else if (!*prefix && (strcmp(key, "session") == 0 || strcmp(key, "process") == 0 ||
			      strcmp(key, "answer") == 0))
		set_fields(L, req, key);
	else
		luaL_error(L, "%s requests have no field %s", mf_kind_name(kind), name);
}

/* The table on top. */
static void set_fields(lua_State *L, struct mf_request *req, const char *prefix)
{
	luaL_checkstack(L, 8, NULL);
	if (lua_type(L, -1) != LUA_TTABLE)
		luaL_error(L, "%s must be a table of fields, not %s",
			   *prefix ? prefix : "a question", luaL_typename(L, -1));
	(void)mf_frozen_contents(L, lua_gettop(L));
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "fields have names, found %s", luaL_typename(L, -2));
		set_key(L, req, prefix, lua_tostring(L, -2));
	}
	lua_pop(L, 1);
}

/* hosts are all names of the address; a test that gives host alone means that one. */
static void complete_hosts(lua_State *L, struct mf_request *req)
{
	struct mf_value host = mf_request_peek(req, MF_F_HOST);
	char name[256];

	if (host.type != MF_T_STR || mf_request_peek(req, MF_F_HOSTS).type != MF_T_NIL ||
	    host.len >= sizeof(name))
		return;
	memcpy(name, host.ptr, host.len);
	check_set(L, mf_request_add_str(req, MF_F_HOSTS, name, host.len), "hosts", "?");
}

/* The request as a line: connect host="a.example" port=443 */
static char *describe(const struct mf_request *req)
{
	struct mf_strbuf b = MF_STRBUF_INIT(8192);

	mf_strbuf_adds(&b, mf_kind_name((enum mf_kind)req->kind));
	for (int f = 0; f < MF_F_NUM; f++) {
		struct mf_value v = mf_request_peek(req, (enum mf_field)f);

		if (v.type == MF_T_NIL || f == MF_F_FAMILY ||
		    (f == MF_F_HOSTS && v.num == 1 &&
		     mf_request_peek(req, MF_F_HOST).type != MF_T_NIL))
			continue;
		mf_strbuf_addf(&b, " %s=", mf_field_name((enum mf_field)f));
		mf_value_add_json(&b, &v);
	}
	return b.str;
}

static struct mf_test_answer *new_answer(lua_State *L, struct mf_test_run *run)
{
	struct mf_test_answer *more;
	size_t room;

	if (run->answer_cnt == MF_ANSWERS_MAX)
		luaL_error(L, "one test may ask %d questions", MF_ANSWERS_MAX);
	if (run->answer_cnt == run->answer_room) {
		room = run->answer_room ? run->answer_room * 2 : 16;
		more = realloc(run->answers, room * sizeof(*more));
		if (!more)
			luaL_error(L, "out of memory");
		run->answers = more;
		run->answer_room = room;
	}
	run->answers[run->answer_cnt] = (struct mf_test_answer){ 0 };
	return &run->answers[run->answer_cnt++];
}

/* Writes down a failure (the first of a test stays) and ends the test. */
static int fail_test(lua_State *L, const char *question, const char *expected, const char *decided)
{
	struct mf_test_run *run = run_of(L);
	const char *file;

	if (!run->failure.len) {
		mf_sandbox_where(L, &file, &run->fail_line);
		snprintf(run->fail_file, sizeof(run->fail_file), "%s", file);
		mf_strbuf_addf(&run->failure, "  %s\n- expected: %s\n+ decided:  %s", question,
			       expected, decided);
	}
	return luaL_error(L, "expected %s", expected);
}

static int ask(lua_State *L, enum mf_kind kind)
{
	struct mf_test_run *run = run_of(L);
	struct mf_decision d = MF_DECISION_INIT;
	struct mf_test_answer *answer;
	struct answer_ref *ref;
	char text[1200];
	size_t policy;
	int r;

	luaL_checkudata(L, 1, MF_TEST_T_META);
	lua_settop(L, 2);
	mf_request_reset(run->req, kind);
	set_fields(L, run->req, "");
	if (kind == MF_CONNECT || kind == MF_SNI)
		complete_hosts(L, run->req);
	answer = new_answer(L, run);
	answer->question = describe(run->req);
	if (run->report->on_question)
		run->report->on_question(run->report->ctx, run->req);
	r = mf_vm_state_decide(run->state, run->req, &d, &policy);
	if (run->decided)
		run->decided(run->ctx, &d);
	if (r < 0) {
		snprintf(text, sizeof(text), "the policy failed: %s%s%s%s",
			 d.reason ? d.reason : mf_strerror(r), d.file && *d.file ? " (" : "",
			 d.file && *d.file ? d.file : "", d.file && *d.file ? ")" : "");
		return fail_test(L, answer->question ? answer->question : "?", "a decision", text);
	}
	answer->outcome = mf_outcome_new(&d);
	if (!answer->outcome || !answer->question)
		return luaL_error(L, "out of memory");
	ref = lua_newuserdatauv(L, sizeof(*ref), 0);
	*ref = (struct answer_ref){ run->serial, (uint32_t)(run->answer_cnt - 1) };
	luaL_setmetatable(L, ANSWER_META);
	return 1;
}

static int ask_dns(lua_State *L)
{
	return ask(L, MF_DNS);
}

static int ask_dns_answer(lua_State *L)
{
	return ask(L, MF_DNS_ANSWER);
}

static int ask_connect(lua_State *L)
{
	return ask(L, MF_CONNECT);
}

static int ask_sni(lua_State *L)
{
	return ask(L, MF_SNI);
}

static int ask_file(lua_State *L)
{
	return ask(L, MF_FILE);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static const char *addr_text(const struct mf_addr_out *out, char *buf, size_t size)
{
	struct mf_addr a;

	if (!mf_addr_from_bytes(&a, out->bytes, out->family == 4 ? 4 : 16))
		return "?";
	return mf_addr_format(&a, buf, size);
}

static const char *const rcode_names[] = { "NOERROR",  "FORMERR", "SERVFAIL",
					   "NXDOMAIN", "NOTIMP",  "REFUSED" };

/* The decision as a line: deny by network_rules[2] private (policy.lua:12), reason "..." */
static void describe_decision(struct mf_strbuf *b, const struct mf_decision *d)
{
	char buf[MF_ADDR_TEXT_MAX];

	mf_strbuf_addf(b, "%s%s", mf_verdict_name(d->verdict), d->audit ? " (audited)" : "");
	for (size_t i = 0; d->verdict == MF_RESOLVE && i < d->addr_cnt; i++)
		mf_strbuf_addf(b, " %s", addr_text(&d->addrs[i], buf, sizeof(buf)));
	if (d->cname)
		mf_strbuf_addf(b, " %s", d->cname);
	if (d->redirect_host)
		mf_strbuf_addf(b, strchr(d->redirect_host, ':') ? " [%s]:%u" : " %s:%u",
			       d->redirect_host, d->redirect_port);
	if (d->redirect_unix)
		mf_strbuf_addf(b, " %s", d->redirect_unix);
	if (d->tls_mode == MF_TLS_REWRITE_SNI && d->sni)
		mf_strbuf_addf(b, " sni %s", d->sni);
	if (d->verdict == MF_TERMINATE && d->on_failure == MF_FAIL_OPEN)
		mf_strbuf_adds(b, " on_pinned passthrough");
	if (d->path_target)
		mf_strbuf_addf(b, " %s", d->path_target);
	if (!d->matched)
		mf_strbuf_adds(b, " by default: no policy had an opinion");
	else
		mf_strbuf_addf(b, " by %s", d->rule ? d->rule : "?");
	if (d->file && *d->file)
		mf_strbuf_addf(b, " (%s:%u)", d->file, d->line);
	if (d->reason && *d->reason)
		mf_strbuf_addf(b, ", reason \"%s\"", d->reason);
}

static struct mf_test_answer *check_answer(lua_State *L)
{
	struct mf_test_run *run = run_of(L);
	const struct answer_ref *ref = luaL_checkudata(L, 1, ANSWER_META);

	if (ref->serial != run->serial || ref->index >= run->answer_cnt)
		luaL_error(L, "an answer belongs to the test that asked");
	return &run->answers[ref->index];
}

static const struct mf_decision *decision_of(lua_State *L)
{
	return &check_answer(L)->outcome->d;
}

/* Ends the test unless @holds; else gives the answer again. */
static int expect(lua_State *L, bool holds, const char *fmt, ...) MF_PRINTF(3, 4);
static int expect(lua_State *L, bool holds, const char *fmt, ...)
{
	struct mf_test_answer *a = check_answer(L);
	struct mf_strbuf b = MF_STRBUF_INIT(8192);
	char expected[512], decided[1024];
	va_list ap;

	lua_settop(L, 1);
	if (holds)
		return 1;
	va_start(ap, fmt);
	vsnprintf(expected, sizeof(expected), fmt, ap);
	va_end(ap);
	describe_decision(&b, &a->outcome->d);
	snprintf(decided, sizeof(decided), "%s", b.str ? b.str : "?");
	mf_strbuf_done(&b);
	return fail_test(L, a->question, expected, decided);
}

/* Whether @text has Lua pattern @idx, by the sandbox's own bounded string.find. */
static bool finds(lua_State *L, const char *text, int idx)
{
	bool found;

	lua_pushstring(L, text ? text : "");
	lua_getfield(L, -1, "find");
	lua_insert(L, -2);
	lua_pushvalue(L, idx);
	lua_call(L, 2, 1);
	found = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return found;
}

static int is_allowed(lua_State *L)
{
	return expect(L, decision_of(L)->verdict == MF_ALLOW, "allow");
}

static int is_denied(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	const char *pattern = luaL_optstring(L, 2, NULL);
	char copy[256];

	if (!pattern)
		return expect(L, d->verdict == MF_DENY, "deny");
	snprintf(copy, sizeof(copy), "%s", pattern);
	return expect(L, d->verdict == MF_DENY && finds(L, d->reason, 2),
		      "deny, with a reason like \"%s\"", copy);
}

static int is_asked(lua_State *L)
{
	return expect(L, decision_of(L)->verdict == MF_ASK, "ask");
}

static int is_audited(lua_State *L)
{
	return expect(L, decision_of(L)->audit, "an audited verdict");
}

static int is_default(lua_State *L)
{
	return expect(L, !decision_of(L)->matched, "no opinion of any policy");
}

static int is_intercepted(lua_State *L)
{
	return expect(L, decision_of(L)->verdict == MF_TERMINATE, "terminate");
}

static int is_soft_deleted(lua_State *L)
{
	return expect(L, decision_of(L)->verdict == MF_SOFT_DELETE, "soft_delete");
}

static bool has_addr(const struct mf_decision *d, const struct mf_addr *addr)
{
	for (size_t i = 0; i < d->addr_cnt; i++) {
		struct mf_addr a;

		if (mf_addr_from_bytes(&a, d->addrs[i].bytes, d->addrs[i].family == 4 ? 4 : 16) &&
		    mf_addr_eq(&a, addr))
			return true;
	}
	return false;
}

/* All addresses, in any order, or one name: the CNAME. */
static int resolves_to(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	int n = lua_gettop(L);
	bool holds = d->verdict == MF_RESOLVE;
	char expected[256] = "";

	luaL_checkstring(L, 2);
	for (int i = 2; i <= n; i++) {
		size_t len, used = strlen(expected);
		const char *text = luaL_checklstring(L, i, &len);
		struct mf_addr a;

		snprintf(expected + used, sizeof(expected) - used, " %s", text);
		if (mf_addr_parse(text, len, &a) == 0)
			holds = holds && has_addr(d, &a) && d->addr_cnt == n - 1;
		else
			holds = holds && n == 2 && d->cname && strcmp(d->cname, text) == 0;
	}
	return expect(L, holds, "resolve%s", expected);
}

/* The target as people write it: "host:port", "[2001:db8::1]:443", "/run/x.sock"; "" for none. */
static void target_text(const struct mf_decision *d, char *buf, size_t size)
{
	if (d->redirect_unix)
		snprintf(buf, size, "%s", d->redirect_unix);
	else if (d->redirect_host)
		snprintf(buf, size, strchr(d->redirect_host, ':') ? "[%s]:%u" : "%s:%u",
			 d->redirect_host, d->redirect_port);
	else
		buf[0] = '\0';
}

static int goes_to(lua_State *L, enum mf_verdict verdict)
{
	const struct mf_decision *d = decision_of(L);
	const char *want = luaL_checkstring(L, 2);
	char target[320], copy[256];

	target_text(d, target, sizeof(target));
	snprintf(copy, sizeof(copy), "%s", want);
	return expect(L, d->verdict == verdict && strcmp(target, copy) == 0, "%s %s",
		      mf_verdict_name(verdict), copy);
}

static int redirects_to(lua_State *L)
{
	return goes_to(L, MF_REDIRECT);
}

static int routes_to(lua_State *L)
{
	return goes_to(L, MF_ROUTE);
}

static int rewrites_sni(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	char want[256];

	snprintf(want, sizeof(want), "%s", luaL_checkstring(L, 2));
	return expect(L, d->tls_mode == MF_TLS_REWRITE_SNI && d->sni && strcmp(d->sni, want) == 0,
		      "the server name %s", want);
}

static int is_redirected_path(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	char want[512];

	snprintf(want, sizeof(want), "%s", luaL_optstring(L, 2, ""));
	return expect(
		L, d->verdict == MF_REDIRECT_PATH && (!*want || strcmp(d->path_target, want) == 0),
		"redirect_path %s", want);
}

/* The rule or hook that decided: part of what stands in events. */
static int has_rule(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	char want[256];

	snprintf(want, sizeof(want), "%s", luaL_checkstring(L, 2));
	return expect(L, d->rule && strstr(d->rule, want), "a decision by \"%s\"", want);
}

/* The explanation of the question that was asked last, against what stands in a file. */
static int explains_as(lua_State *L)
{
	struct mf_test_run *run = run_of(L);
	struct mf_test_answer *a = check_answer(L);
	struct mf_test_explained e = { .file = run->file,
				       .name = luaL_checkstring(L, 2),
				       .question = a->question };
	struct mf_decision d = MF_DECISION_INIT;
	struct mf_strbuf why = MF_STRBUF_INIT(4096);
	char text[1000];
	bool good;

	if (a != &run->answers[run->answer_cnt - 1])
		return luaL_error(L, "explains_as belongs right behind its question");
	if (!run->report->explained)
		return expect(L, true, "-");
	(void)mf_vm_state_explain(run->state, run->req, &d, &e.json);
	good = run->report->explained(run->report->explained_ctx, &e, &why);
	snprintf(text, sizeof(text), "%s", why.str ? why.str : "?");
	mf_strbuf_done(&why);
	return good ? expect(L, true, "-")
		    : fail_test(L, a->question, "the explanation of before", text);
}

/* Push the member @key of a decision; raises for one that does not exist. */
static void push_member(lua_State *L, const struct mf_decision *d, const char *key)
{
	char buf[320];
	const struct {
		const char *key, *text;
	} texts[] = {
		{ "verdict", mf_verdict_name(d->verdict) },
		{ "visibility", mf_visibility_name(d->visibility) },
		{ "reason", d->reason },
		{ "message", d->message },
		{ "rule", d->rule },
		{ "policy", d->policy },
		{ "pack", d->pack },
		{ "sni", d->sni },
		{ "cname", d->cname },
		{ "path", d->path_target },
		{ "unix", d->redirect_unix },
		{ "rcode", d->rcode < MF_ARRAY_SIZE(rcode_names) ? rcode_names[d->rcode] : "?" },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++) {
		if (strcmp(texts[i].key, key) == 0) {
			lua_pushstring(L, texts[i].text);
			return;
		}
	}
	if (strcmp(key, "to") == 0) {
		target_text(d, buf, sizeof(buf));
		lua_pushstring(L, buf);
	} else if (strcmp(key, "ttl") == 0) {
		lua_pushinteger(L, d->ttl_s);
	} else if (strcmp(key, "errno") == 0) {
		lua_pushinteger(L, d->file_errno);
	} else if (strcmp(key, "line") == 0) {
		lua_pushinteger(L, d->line);
	} else if (strcmp(key, "audit") == 0) {
		lua_pushboolean(L, d->audit);
	} else if (strcmp(key, "hash") == 0) {
		lua_pushboolean(L, d->hash);
	} else if (strcmp(key, "cow") == 0) {
		lua_pushboolean(L, d->cow);
	} else if (strcmp(key, "matched") == 0) {
		lua_pushboolean(L, d->matched);
	} else {
		luaL_error(L, "a decision has no %s", key);
	}
}

/* matches{ verdict = "deny", rcode = "NXDOMAIN" }: every member given must be so. */
static int matches(lua_State *L)
{
	const struct mf_decision *d = decision_of(L);
	char text[256];

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	(void)mf_frozen_contents(L, 2);
	for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
		if (lua_type(L, 4) != LUA_TSTRING)
			return luaL_error(L, "matches{...} has names as keys");
		push_member(L, d, lua_tostring(L, 4));
		if (!lua_rawequal(L, -1, -2)) {
			snprintf(text, sizeof(text), "%.64s = %.128s", lua_tostring(L, 4),
				 lua_type(L, 5) == LUA_TBOOLEAN
					 ? (lua_toboolean(L, 5) ? "true" : "false")
				 : lua_isstring(L, 5) ? lua_tostring(L, 5)
						      : luaL_typename(L, 5));
			return expect(L, false, "%s", text);
		}
		lua_pop(L, 1);
	}
	return expect(L, true, "-");
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushliteral(L, "protected");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void mf_bind_test(lua_State *L)
{
	static const luaL_Reg questions[] = { { "dns", ask_dns },
					      { "dns_answer", ask_dns_answer },
					      { "connect", ask_connect },
					      { "sni", ask_sni },
					      { "file", ask_file },
					      { "for_all", mf_test_for_all },
					      { "any_name", mf_test_any_name },
					      { "any_address", mf_test_any_address },
					      { "any_path", mf_test_any_path },
					      { "any_number", mf_test_any_number },
					      { NULL, NULL } };
	static const luaL_Reg expectations[] = { { "is_allowed", is_allowed },
						 { "is_denied", is_denied },
						 { "is_asked", is_asked },
						 { "is_audited", is_audited },
						 { "is_default", is_default },
						 { "is_intercepted", is_intercepted },
						 { "is_soft_deleted", is_soft_deleted },
						 { "is_redirected_path", is_redirected_path },
						 { "resolves_to", resolves_to },
						 { "redirects_to", redirects_to },
						 { "routes_to", routes_to },
						 { "rewrites_sni", rewrites_sni },
						 { "rule", has_rule },
						 { "matches", matches },
						 { "explains_as", explains_as },
						 { NULL, NULL } };
	static const luaL_Reg of_test[] = { { "todo", call_todo },
					    { "each", call_each },
					    { NULL, NULL } };

	new_class(L, MF_TEST_T_META, questions);
	new_class(L, ANSWER_META, expectations);
	new_class(L, TEST_META, of_test);
	mf_bind_test_generators(L);
	lua_newuserdatauv(L, 1, 0);
	luaL_getmetatable(L, TEST_META);
	lua_pushcfunction(L, call_test);
	lua_setfield(L, -2, "__call");
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "test");
}

void mf_test_push_t(lua_State *L)
{
	lua_newuserdatauv(L, 1, 0);
	luaL_setmetatable(L, MF_TEST_T_META);
}
