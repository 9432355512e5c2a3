/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_verdict.c - what a hook returns: allow(), deny{...}, resolve{...}, redirect{...} and their kind
 *
 * A constructor checks every argument and makes an outcome (outcome.h) that remembers the line it was made in. The
 * verdict that Lua holds is a userdata that borrows the outcome from the state, for the call or, made while loading,
 * for good.
 */
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "core/policy/state.h"

#define REASON_MAX  1024
#define MESSAGE_MAX 4096
#define UNIX_MAX    107 /* sun_path without its NUL */
#define TTL_DEFAULT 60	/* seconds, as for dns_redirects */
#define TTL_MAX	    604800

/* Its address is the registry key of the verdicts' metatable. */
static const char verdict_meta;

struct named_number {
	const char *name;
	int number;
};

/* RFC 1035, 2136 and successors (IANA, DNS RCODEs); those that a policy may answer with. */
static const struct named_number rcodes[] = {
	{ "NOERROR", 0 }, { "FORMERR", 1 },  { "SERVFAIL", 2 }, { "NXDOMAIN", 3 }, { "NOTIMP", 4 },
	{ "REFUSED", 5 }, { "YXDOMAIN", 6 }, { "NOTAUTH", 9 },	{ NULL, 0 },
};

/* Linux numbers (asm-generic), which mf_decision.file_errno has on every system. */
static const struct named_number errnos[] = {
	{ "EPERM", 1 },	  { "ENOENT", 2 },   { "EIO", 5 },	{ "ENXIO", 6 },	   { "EACCES", 13 },
	{ "EBUSY", 16 },  { "EEXIST", 17 },  { "EXDEV", 18 },	{ "ENOTDIR", 20 }, { "EISDIR", 21 },
	{ "EINVAL", 22 }, { "EFBIG", 27 },   { "ENOSPC", 28 },	{ "EROFS", 30 },   { "EMLINK", 31 },
	{ "ENOSYS", 38 }, { "ENOTSUP", 95 }, { "EDQUOT", 122 }, { NULL, 0 },
};

static int find_number(const struct named_number *table, const char *name, int otherwise)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table->number;
	return otherwise;
}

static int unknown_word(lua_State *L, const char *what, const char *key, const char *word,
			const char *const *words)
{
	const char *near = mf_word_nearest(word, words);
	luaL_Buffer b;
	size_t i;

	luaL_buffinit(L, &b);
	for (i = 0; words[i]; i++) {
		luaL_addstring(&b, i ? ", " : "");
		luaL_addstring(&b, words[i]);
	}
	luaL_pushresult(&b);
	return luaL_error(L, "%s: %s '%s' is not known%s%s%s; expected one of: %s", what, key, word,
			  near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "",
			  lua_tostring(L, -1));
}

/* One of @words by name; @otherwise when the key is not there. */
static int opt_word(lua_State *L, const char *what, const char *key, const char *const *words,
		    int otherwise)
{
	const char *text = mf_opt_string(L, 1, what, key, 64);
	int i;

	if (!text)
		return otherwise;
	for (i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return unknown_word(L, what, key, text, words);
}

static const char *const visibility_words[] = { "audit_only", "silent", "warn", NULL };
static const char *const on_failure_words[] = { "fail_closed", "fail_open", "retry_original",
						NULL };
static const char *const tls_words[] = { "passthrough", "rewrite_sni", NULL };

/* --- the making --------------------------------------------------------------------------------------------------- */

static int push_verdict(lua_State *L, const struct mf_decision *d)
{
	struct mf_vm_state *s = mf_state_of(L);
	struct mf_box *box;
	struct mf_outcome *o;

	if (!s || (!s->loading && !s->run.active))
		return luaL_error(L,
				  "a verdict can be made only while a policy loads or in a hook");
	if (s->loading ? s->load_made_cnt >= MF_VERDICTS_AT_LOAD
		       : s->made_cnt >= MF_VERDICTS_PER_CALL)
		return luaL_error(L, "more than %d verdicts",
				  s->loading ? MF_VERDICTS_AT_LOAD : MF_VERDICTS_PER_CALL);
	mf_sandbox_charge(L, 10);
	box = lua_newuserdatauv(L, sizeof(*box), 0);
	*box = (struct mf_box){ .type = MF_BOX_VERDICT, .kind = s->loading ? 0 : s->call };
	lua_rawgetp(L, LUA_REGISTRYINDEX, &verdict_meta);
	lua_setmetatable(L, -2);
	o = mf_outcome_intern(s, d);
	if (!o)
		return luaL_error(L, "out of memory");
	box->ptr = o;
	if (s->loading)
		s->load_made[s->load_made_cnt++] = o;
	else
		s->made[s->made_cnt++] = o;
	return 1;
}

static struct mf_decision begin(lua_State *L, enum mf_verdict verdict)
{
	struct mf_decision d = {
		.size = sizeof(d),
		.verdict = verdict,
		.matched = true,
		.rcode = 5,	  /* REFUSED */
		.file_errno = 13, /* EACCES */
	};
	unsigned line;

	mf_sandbox_where(L, &d.file, &line);
	d.line = line;
	return d;
}

/* What every verdict takes. The table is at index 1. */
static void read_common(lua_State *L, const char *what, struct mf_decision *d)
{
	d->visibility = (enum mf_visibility)opt_word(L, what, "visibility", visibility_words,
						     MF_AUDIT_ONLY);
	d->reason = mf_opt_string(L, 1, what, "reason", REASON_MAX);
	d->message = mf_opt_string(L, 1, what, "message", MESSAGE_MAX);
}

/*
 * Bring the argument into the form of a table at index 1: nothing becomes an empty table, a string the table's @key (or
 * its first item without a key). Return: false when there are no options to read: @d then has what was given as text.
 */
static bool options(lua_State *L, const char *what, const char *key)
{
	switch (lua_type(L, 1)) {
	case LUA_TNONE:
	case LUA_TNIL:
		lua_settop(L, 0);
		return false;
	case LUA_TSTRING:
		lua_settop(L, 1);
		lua_createtable(L, 1, 1);
		lua_insert(L, 1);
		if (key)
			lua_setfield(L, 1, key);
		else
			lua_rawseti(L, 1, 1);
		return true;
	case LUA_TTABLE:
		lua_settop(L, 1);
		return true;
	default:
		return luaL_error(L, "%s: expected a table or a string, not a %s", what,
				  luaL_typename(L, 1));
	}
}

static void no_list(lua_State *L, const char *what, lua_Integer n)
{
	if (n)
		luaL_error(L, "%s: the table has list items; expected only named options", what);
}

static const char *check_name(lua_State *L, const char *what, const char *key, const char *text)
{
	char name[MF_NAME_ROOM];

	if (mf_name_canon(text, strlen(text), name) < 0)
		luaL_error(L, "%s: %s '%s' is not a host name", what, key, text);
	return lua_pushstring(L, name);
}

/* to = "host:port": the host, a canonical name or address, and the port. */
static void read_target(lua_State *L, const char *what, const char *text, struct mf_decision *d)
{
	char buf[MF_ADDR_TEXT_MAX];
	struct mf_addr addr;
	const char *host;
	size_t len;

	if (mf_hostport_parse(text, strlen(text), &host, &len, &d->redirect_port) < 0 || len == 0 ||
	    d->redirect_port == 0)
		luaL_error(L, "%s: to '%s' is not host:port", what, text);
	if (mf_addr_parse(host, len, &addr) == 0) {
		d->redirect_host = lua_pushstring(L, mf_addr_format(&addr, buf, sizeof(buf)));
		return;
	}
	lua_pushlstring(L, host, len);
	d->redirect_host = check_name(L, what, "to", lua_tostring(L, -1));
}

/* --- the constructors --------------------------------------------------------------------------------------------- */

/* A verdict without options of its own; @text is what a plain string means. */
static int plain(lua_State *L, enum mf_verdict verdict, const char *what, const char *text)
{
	static const char *const keys[] = { "reason", "message", "visibility", NULL };
	struct mf_decision d = begin(L, verdict);

	if (options(L, what, text)) {
		no_list(L, what, mf_check_keys(L, 1, what, keys));
		read_common(L, what, &d);
	}
	return push_verdict(L, &d);
}

static int verdict_allow(lua_State *L)
{
	return plain(L, MF_ALLOW, "allow", "reason");
}

/* on_pinned is an on_failure: what the refusal of our certificate leads to. */
static int verdict_terminate(lua_State *L)
{
	static const char *const keys[] = { "on_pinned", "reason", "message", "visibility", NULL };
	static const char *const words[] = { "deny", "passthrough", NULL };
	struct mf_decision d = begin(L, MF_TERMINATE);

	if (options(L, "terminate", "reason")) {
		no_list(L, "terminate", mf_check_keys(L, 1, "terminate", keys));
		read_common(L, "terminate", &d);
		if (opt_word(L, "terminate", "on_pinned", words, 0))
			d.on_failure = MF_FAIL_OPEN;
	}
	return push_verdict(L, &d);
}

static int verdict_ask(lua_State *L)
{
	static const char *const keys[] = { "reason",  "message",  "visibility",
					    "timeout", "remember", NULL };
	static const char *const words[] = { "allowed", "never", NULL };
	struct mf_decision d = begin(L, MF_ASK);
	const char *text;
	int64_t ms;

	if (!options(L, "ask", "reason"))
		return push_verdict(L, &d);
	no_list(L, "ask", mf_check_keys(L, 1, "ask", keys));
	read_common(L, "ask", &d);
	d.ask_once = opt_word(L, "ask", "remember", words, 0) == 1;
	text = mf_opt_string(L, 1, "ask", "timeout", 64);
	ms = text ? mf_rules_duration_ms(text) : 0;
	if (ms < 0 || (text && ms == 0))
		return luaL_error(L, "ask: timeout '%s' is not a duration such as '30s' or '5m'",
				  text);
	d.ask_timeout_ms = mf_rules_ask_ms(ms);
	return push_verdict(L, &d);
}

static int verdict_deny(lua_State *L)
{
	static const char *const keys[] = { "reason", "message", "visibility",
					    "rcode",  "errno",	 NULL };
	const char *names[MF_ARRAY_SIZE(errnos)], *text;
	struct mf_decision d;
	int n, i;

	/* The most frequent form, without a table in between. */
	if (lua_type(L, 1) == LUA_TSTRING) {
		size_t len;

		d = begin(L, MF_DENY);
		d.reason = lua_tolstring(L, 1, &len);
		if (len > REASON_MAX || strlen(d.reason) != len)
			return luaL_error(
				L, "deny: the reason is longer than %d bytes or holds a zero byte",
				REASON_MAX);
		return push_verdict(L, &d);
	}
	d = begin(L, MF_DENY);
	if (!options(L, "deny", "reason"))
		return push_verdict(L, &d);
	no_list(L, "deny", mf_check_keys(L, 1, "deny", keys));
	read_common(L, "deny", &d);
	text = mf_opt_string(L, 1, "deny", "rcode", 16);
	if (text) {
		n = find_number(rcodes, text, -1);
		for (i = 0; n < 0 && rcodes[i].name; i++)
			names[i] = rcodes[i].name;
		if (n < 0) {
			names[i] = NULL;
			return unknown_word(L, "deny", "rcode", text, names);
		}
		d.rcode = (uint16_t)n;
	}
	if (lua_getfield(L, 1, "errno") == LUA_TNUMBER) {
		d.file_errno = (int32_t)mf_opt_int(L, 1, "deny", "errno", 1, 133, 13);
	} else if ((text = mf_opt_string(L, 1, "deny", "errno", 16))) {
		n = find_number(errnos, text, -1);
		for (i = 0; n < 0 && errnos[i].name; i++)
			names[i] = errnos[i].name;
		if (n < 0) {
			names[i] = NULL;
			return unknown_word(L, "deny", "errno", text, names);
		}
		d.file_errno = n;
	}
	return push_verdict(L, &d);
}

static void read_addrs(lua_State *L, struct mf_decision *d, lua_Integer n)
{
	struct mf_addr addr;
	const char *text;
	lua_Integer i;
	size_t len;

	if (n > MF_ADDRS_MAX)
		luaL_error(L, "resolve: more than %d addresses", MF_ADDRS_MAX);
	for (i = 1; i <= n; i++) {
		if (lua_geti(L, 1, i) != LUA_TSTRING)
			luaL_error(L, "resolve: address %I is a %s", (LUAI_UACINT)i,
				   luaL_typename(L, -1));
		text = lua_tolstring(L, -1, &len);
		if (mf_addr_parse(text, len, &addr) < 0)
			luaL_error(L, "resolve: '%s' is not an IP address", text);
		lua_pop(L, 1);
		d->addrs[d->addr_cnt].family = addr.family;
		memcpy(d->addrs[d->addr_cnt++].bytes, addr.bytes, sizeof(addr.bytes));
	}
}

static int verdict_resolve(lua_State *L)
{
	static const char *const keys[] = {
		"ttl", "cname", "reason", "message", "visibility", NULL
	};
	struct mf_decision d = begin(L, MF_RESOLVE);
	const char *cname;

	if (!options(L, "resolve", NULL))
		return luaL_error(L, "resolve: expected an address, or a table of addresses");
	read_addrs(L, &d, mf_check_keys(L, 1, "resolve", keys));
	read_common(L, "resolve", &d);
	d.ttl_s = (uint32_t)mf_opt_int(L, 1, "resolve", "ttl", 0, TTL_MAX, TTL_DEFAULT);
	cname = mf_opt_string(L, 1, "resolve", "cname", 1024);
	if (cname)
		d.cname = check_name(L, "resolve", "cname", cname);
	if (!d.addr_cnt && !d.cname)
		return luaL_error(L, "resolve: needs at least one address, or a cname");
	if (d.addr_cnt && d.cname)
		return luaL_error(L, "resolve: addresses or a cname, not both");
	return push_verdict(L, &d);
}

static int verdict_redirect(lua_State *L)
{
	static const char *const keys[] = { "to",     "unix",	 "tls",	       "sni", "on_failure",
					    "reason", "message", "visibility", NULL };
	struct mf_decision d = begin(L, MF_REDIRECT);
	const char *to, *sni;

	if (!options(L, "redirect", "to"))
		return luaL_error(L,
				  "redirect: expected \"host:port\", or a table with to or unix");
	no_list(L, "redirect", mf_check_keys(L, 1, "redirect", keys));
	read_common(L, "redirect", &d);
	to = mf_opt_string(L, 1, "redirect", "to", 1024);
	d.redirect_unix = mf_opt_string(L, 1, "redirect", "unix", UNIX_MAX);
	if (!to == !d.redirect_unix)
		return luaL_error(L, "redirect: needs either to or unix");
	if (to)
		read_target(L, "redirect", to, &d);
	else if (d.redirect_unix[0] != '/' && d.redirect_unix[0] != '@')
		return luaL_error(L, "redirect: unix '%s' is not an absolute path",
				  d.redirect_unix);
	d.tls_mode =
		(enum mf_tls_mode)opt_word(L, "redirect", "tls", tls_words, MF_TLS_PASSTHROUGH);
	sni = mf_opt_string(L, 1, "redirect", "sni", 1024);
	if (d.tls_mode == MF_TLS_REWRITE_SNI && !sni)
		return luaL_error(L, "redirect: tls = \"rewrite_sni\" needs sni");
	if (d.tls_mode != MF_TLS_REWRITE_SNI && sni)
		return luaL_error(L, "redirect: sni needs tls = \"rewrite_sni\"");
	if (sni)
		d.sni = check_name(L, "redirect", "sni", sni);
	d.on_failure = (enum mf_on_failure)opt_word(L, "redirect", "on_failure", on_failure_words,
						    MF_FAIL_CLOSED);
	return push_verdict(L, &d);
}

static int verdict_route(lua_State *L)
{
	static const char *const keys[] = { "to",      "on_failure", "reason",
					    "message", "visibility", NULL };
	struct mf_decision d = begin(L, MF_ROUTE);
	const char *to;

	if (!options(L, "route", "to"))
		return luaL_error(L, "route: expected \"host:port\", or a table with to");
	no_list(L, "route", mf_check_keys(L, 1, "route", keys));
	read_common(L, "route", &d);
	to = mf_opt_string(L, 1, "route", "to", 1024);
	if (!to)
		return luaL_error(L, "route: needs to");
	read_target(L, "route", to, &d);
	d.on_failure = (enum mf_on_failure)opt_word(L, "route", "on_failure", on_failure_words,
						    MF_FAIL_CLOSED);
	return push_verdict(L, &d);
}

static int verdict_soft_delete(lua_State *L)
{
	static const char *const keys[] = { "hash", "reason", "message", "visibility", NULL };
	struct mf_decision d = begin(L, MF_SOFT_DELETE);

	if (options(L, "soft_delete", "reason")) {
		no_list(L, "soft_delete", mf_check_keys(L, 1, "soft_delete", keys));
		read_common(L, "soft_delete", &d);
		d.hash = mf_opt_bool(L, 1, "soft_delete", "hash", false);
	}
	return push_verdict(L, &d);
}

static int verdict_redirect_path(lua_State *L)
{
	static const char *const keys[] = {
		"target", "cow", "reason", "message", "visibility", NULL
	};
	struct mf_decision d = begin(L, MF_REDIRECT_PATH);
	const char *target;
	char path[4096];
	int r;

	if (!options(L, "redirect_path", "target"))
		return luaL_error(L, "redirect_path: expected a path, or a table with target");
	no_list(L, "redirect_path", mf_check_keys(L, 1, "redirect_path", keys));
	read_common(L, "redirect_path", &d);
	target = mf_opt_string(L, 1, "redirect_path", "target", sizeof(path) - 1);
	if (!target)
		return luaL_error(L, "redirect_path: needs target");
	d.cow = mf_opt_bool(L, 1, "redirect_path", "cow", false);
	r = mf_request_canon(MF_F_PATH, target, strlen(target), path);
	if (r < 0)
		return luaL_error(L, "redirect_path: target '%s' is not an absolute path", target);
	d.path_target = lua_pushlstring(L, path, (size_t)r);
	return push_verdict(L, &d);
}

/* The verdict at @idx, when it belongs to this call or was made while loading. */
static struct mf_outcome *verdict_at(lua_State *L, int idx, struct mf_vm_state *s)
{
	struct mf_box *box = mf_box_at(L, idx, MF_BOX_VERDICT);

	if (!box)
		return NULL;
	if (box->kind != 0 && (s->loading || box->kind != s->call))
		luaL_error(L, "a verdict of another call");
	return box->ptr;
}

static int verdict_audit(lua_State *L)
{
	struct mf_outcome *o = verdict_at(L, 1, mf_state_of(L));
	struct mf_decision d;
	unsigned line;

	if (!o)
		return luaL_error(L,
				  "audit: expected a verdict, as in audit(deny \"...\"), not a %s",
				  luaL_typename(L, 1));
	d = o->d;
	d.audit = true;
	mf_sandbox_where(L, &d.file, &line);
	d.line = line;
	return push_verdict(L, &d);
}

struct mf_outcome *mf_take_verdict(lua_State *L, struct mf_vm_state *s, enum mf_kind kind)
{
	const struct mf_policy *p = &s->policies[s->run.policy];
	struct mf_outcome *o;

	if (lua_isnil(L, -1))
		return NULL;
	o = verdict_at(L, -1, s);
	if (!o) {
		lua_pushfstring(
			L,
			"%s:%d: the %s hook returned a %s; expected a verdict such as deny(), or "
			"nil for no opinion",
			mf_sandbox_shown(L, p->source->chunk.name), (int)p->hook_lines[kind],
			mf_kind_name(kind), luaL_typename(L, -1));
		lua_error(L);
	}
	if (!mf_verdict_fits(kind, o->d.verdict)) {
		lua_pushfstring(L,
				"%s:%d: the %s hook returned %s, which a %s request cannot carry",
				mf_sandbox_shown(L, o->d.file), (int)o->d.line, mf_kind_name(kind),
				mf_verdict_name(o->d.verdict), mf_kind_name(kind));
		lua_error(L);
	}
	return o;
}

static int verdict_tostring(lua_State *L)
{
	lua_pushliteral(L, "verdict");
	return 1;
}

void mf_bind_verdict(lua_State *L)
{
	static const luaL_Reg constructors[] = {
		{ "allow", verdict_allow },
		{ "deny", verdict_deny },
		{ "resolve", verdict_resolve },
		{ "redirect", verdict_redirect },
		{ "route", verdict_route },
		{ "terminate", verdict_terminate },
		{ "ask", verdict_ask },
		{ "soft_delete", verdict_soft_delete },
		{ "redirect_path", verdict_redirect_path },
		{ "audit", verdict_audit },
		{ NULL, NULL },
	};

	lua_createtable(L, 0, 3);
	lua_pushcfunction(L, verdict_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushliteral(L, "verdict");
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &verdict_meta);
	luaL_setfuncs(L, constructors, 0);
}
