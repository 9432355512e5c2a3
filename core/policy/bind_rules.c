/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_rules.c - reads declarative rules from a policy's Lua table
 *
 * Only values that are there are looked at (no metamethods, no conversions, no allocation in Lua), so nothing here
 * raises. Tables carry no lines: those of rules are found by reading the policy's text, which works for families that
 * are written as one table constructor.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/request.h"
#include "core/policy/rules.h"
#include "core/policy/sandbox.h"

#define LIST_MAX 1000000 /* entries of one list */

/* --- lines -------------------------------------------------------------------------------------------------------- */

struct lines {
	unsigned *line; /* of element i */
	size_t cnt, room;
	bool seen, twice;
};

struct scanner {
	const char *p, *end;
	unsigned line;
};

/* Skips a long bracket "[==[ ... ]==]" that begins at p; false: it is none. */
static bool skip_long(struct scanner *s)
{
	const char *q = s->p + 1;
	size_t level = 0;

	while (q < s->end && *q == '=')
		q++, level++;
	if (q >= s->end || *q != '[')
		return false;
	for (s->p = q + 1; s->p < s->end; s->p++) {
		size_t n = 0;

		s->line += *s->p == '\n';
		if (*s->p != ']')
			continue;
		while (s->p + 1 + n < s->end && s->p[1 + n] == '=')
			n++;
		if (n == level && s->p + 1 + n < s->end && s->p[1 + n] == ']') {
			s->p += n + 2;
			return true;
		}
	}
	return true;
}

static void skip_string(struct scanner *s)
{
	char quote = *s->p++;

	while (s->p < s->end && *s->p != quote) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		s->line += *s->p == '\n';
		s->p++;
	}
	if (s->p < s->end)
		s->p++;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/*
 * Moves behind the next token. Return: its first character (0 at the end; '"' for a string, 'w' for a word or number);
 * *ret_start is where it begins.
 */
static char next_token(struct scanner *s, const char **ret_start)
{
	for (;;) {
		while (s->p < s->end &&
		       (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n')) {
			s->line += *s->p == '\n';
			s->p++;
		}
		if (s->end - s->p < 2 || s->p[0] != '-' || s->p[1] != '-')
			break;
		s->p += 2;
		if (s->p < s->end && *s->p == '[' && skip_long(s))
			continue;
		while (s->p < s->end && *s->p != '\n')
			s->p++;
	}
	*ret_start = s->p;
	if (s->p >= s->end)
		return 0;
	if (*s->p == '"' || *s->p == '\'') {
		skip_string(s);
		return '"';
	}
	if (*s->p == '[' && skip_long(s))
		return '"';
	if (is_word(*s->p)) {
		while (s->p < s->end && is_word(*s->p))
			s->p++;
		return 'w';
	}
	return *s->p++;
}

static void note_line(struct lines *l, unsigned line)
{
	if (l->cnt == l->room) {
		size_t room = l->room ? l->room * 2 : 32;
		unsigned *more = realloc(l->line, room * sizeof(*more));

		if (!more) {
			l->twice = true; /* no lines then */
			return;
		}
		l->line = more;
		l->room = room;
	}
	l->line[l->cnt++] = line;
}

/* Behind "family = {": the line of each element, up to the closing brace. */
static void scan_family(struct scanner *s, struct lines *l)
{
	const char *at;
	unsigned depth = 1;
	bool fresh = true;

	l->twice |= l->seen;
	l->seen = true;
	while (depth) {
		char c = next_token(s, &at);

		if (!c)
			return;
		if (c == '}' && depth == 1)
			return;
		if (depth == 1 && (c == ',' || c == ';')) {
			fresh = true;
			continue;
		}
		if (fresh) {
			note_line(l, s->line);
			fresh = false;
		}
		if (c == '{' || c == '(')
			depth++;
		else if (c == '}' || c == ')')
			depth--;
	}
}

static void scan_lines(const struct mf_sandbox_source *chunk,
		       struct lines lines[MF_RULE_FAMILY_NUM])
{
	struct scanner s = { chunk->text, chunk->text + chunk->len, 1 }, ahead;
	const char *at, *next;
	char c;

	if (!chunk->text)
		return;
	while ((c = next_token(&s, &at))) {
		size_t n = (size_t)(s.p - at);
		int family = 0;

		if (c != 'w')
			continue;
		while (family < MF_RULE_FAMILY_NUM &&
		       (strlen(mf_rule_family_name(family)) != n ||
			memcmp(mf_rule_family_name(family), at, n) != 0))
			family++;
		if (family == MF_RULE_FAMILY_NUM)
			continue;
		ahead = s;
		if (next_token(&ahead, &next) == '=' && next_token(&ahead, &next) == '{') {
			s = ahead;
			scan_family(&s, &lines[family]);
		}
	}
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* One rule while it is read; the strings are Lua's. */
struct reading {
	lua_State *L;
	struct mf_rules_builder *b;
	struct mf_rule_spec spec;
	const char **domains, **cidrs, **paths, **operations; /* the items, to free */
	struct mf_port_range *ports;
	unsigned match_cnt;
	bool bad;
};

#define wrong(r, ...)                                                                             \
	do {                                                                                      \
		(r)->bad = true;                                                                  \
		mf_rules_builder_error((r)->b, (r)->spec.family, (r)->spec.index, (r)->spec.name, \
				       (r)->spec.line, __VA_ARGS__);                              \
	} while (0)

static const char *type_name(lua_State *L, int idx)
{
	return lua_typename(L, lua_type(L, idx));
}

/* The string on top; NULL with an error for another type, an empty one or one with a NUL. */
static const char *take_string(struct reading *r, const char *field)
{
	const char *str;
	size_t len;

	if (lua_type(r->L, -1) != LUA_TSTRING) {
		wrong(r, "%s must be a string, not %s", field, type_name(r->L, -1));
		return NULL;
	}
	str = lua_tolstring(r->L, -1, &len);
	if (strlen(str) != len) {
		wrong(r, "%s holds a NUL", field);
		return NULL;
	}
	return str;
}

static bool take_bool(struct reading *r, const char *field)
{
	if (lua_type(r->L, -1) != LUA_TBOOLEAN)
		wrong(r, "%s must be true or false, not %s", field, type_name(r->L, -1));
	return lua_toboolean(r->L, -1);
}

/*
 * The length of the list on top: keys 1 to n and nothing else. Pushes the table that holds its contents. -1: an error was
 * noted and nothing pushed.
 */
static lua_Integer open_list(struct reading *r, const char *field)
{
	lua_Unsigned n, keys = 0;

	if (lua_type(r->L, -1) != LUA_TTABLE) {
		wrong(r, "%s must be a list in { }, not %s", field, type_name(r->L, -1));
		return -1;
	}
	(void)mf_frozen_contents(r->L, lua_gettop(r->L));
	n = lua_rawlen(r->L, -1);
	lua_pushnil(r->L);
	while (lua_next(r->L, -2)) {
		lua_pop(r->L, 1);
		keys++;
	}
	if (n != keys || n > LIST_MAX) {
		lua_pop(r->L, 1);
		wrong(r,
		      n > LIST_MAX ? "%s has more than a million entries"
				   : "%s must be a list without holes or named keys",
		      field);
		return -1;
	}
	return (lua_Integer)n;
}

static void take_strings(struct reading *r, const char *field, const char ***own,
			 struct mf_rule_list *list)
{
	lua_Integer n = open_list(r, field);

	if (n < 0)
		return;
	list->present = true;
	*own = calloc((size_t)n + 1, sizeof(**own));
	list->items = *own;
	for (lua_Integer i = 1; *own && i <= n; i++) {
		lua_rawgeti(r->L, -1, i);
		(*own)[list->cnt] = take_string(r, field);
		if ((*own)[list->cnt])
			list->cnt++;
		lua_pop(r->L, 1);
	}
	if (!*own)
		wrong(r, "out of memory");
	lua_pop(r->L, 1);
}

static bool take_port(struct reading *r, struct mf_port_range *ret)
{
	lua_Integer port;
	size_t len;
	const char *text;

	if (lua_isinteger(r->L, -1)) {
		port = lua_tointeger(r->L, -1);
		if (port < 0 || port > 65535) {
			wrong(r, "ports: %lld is not a port (0 to 65535)", (long long)port);
			return false;
		}
		*ret = (struct mf_port_range){ (uint16_t)port, (uint16_t)port };
		return true;
	}
	if (lua_type(r->L, -1) == LUA_TSTRING) {
		text = lua_tolstring(r->L, -1, &len);
		if (mf_port_range_parse(text, len, ret) == 0)
			return true;
		wrong(r, "ports: \"%.32s\" is neither a port nor a range such as \"8000-8999\"",
		      text);
		return false;
	}
	wrong(r, "ports must be integers or ranges, not %s", type_name(r->L, -1));
	return false;
}

static void take_ports(struct reading *r)
{
	lua_Integer n = open_list(r, "ports");

	if (n < 0)
		return;
	r->spec.has_ports = true;
	r->ports = calloc((size_t)n + 1, sizeof(*r->ports));
	r->spec.ports = r->ports;
	for (lua_Integer i = 1; r->ports && i <= n; i++) {
		lua_rawgeti(r->L, -1, i);
		if (take_port(r, &r->ports[r->spec.port_cnt]))
			r->spec.port_cnt++;
		lua_pop(r->L, 1);
	}
	if (!r->ports)
		wrong(r, "out of memory");
	lua_pop(r->L, 1);
}

static void take_tls(struct reading *r)
{
	if (lua_type(r->L, -1) == LUA_TSTRING) {
		wrong(r, "tls must be a table: tls = { mode = \"%.32s\", sni = ... }",
		      lua_tostring(r->L, -1));
		return;
	}
	if (lua_type(r->L, -1) != LUA_TTABLE) {
		wrong(r, "tls must be a table, not %s", type_name(r->L, -1));
		return;
	}
	(void)mf_frozen_contents(r->L, lua_gettop(r->L));
	lua_pushnil(r->L);
	while (lua_next(r->L, -2)) {
		const char *key = lua_type(r->L, -2) == LUA_TSTRING ? lua_tostring(r->L, -2) : "";

		if (strcmp(key, "mode") == 0)
			r->spec.tls_mode = take_string(r, "tls.mode");
		else if (strcmp(key, "sni") == 0)
			r->spec.tls_sni = take_string(r, "tls.sni");
		else
			wrong(r, "unknown key tls.%.64s; tls has mode and sni",
			      *key ? key : type_name(r->L, -2));
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void take_ttl(struct reading *r)
{
	lua_Integer ttl = lua_isinteger(r->L, -1) ? lua_tointeger(r->L, -1) : 0;

	if (ttl < 1 || ttl > 604800)
		wrong(r, "ttl must be an integer of seconds, 1 to 604800");
	else
		r->spec.ttl_s = (uint32_t)ttl;
}

static void take_match(struct reading *r, const char *field, enum mf_rule_match mode)
{
	r->spec.match = take_string(r, field);
	r->spec.mode = mode;
	if (++r->match_cnt == 2)
		wrong(r, "only one of match, regex and search may be given");
}

static const char *const network_keys[] = { "name",	  "description", "domains", "ports",
					    "cidrs",	  "decision",	 "message", "timeout",
					    "visibility", NULL };
static const char *const dns_keys[] = { "name",	      "description", "match",	    "regex",
					"search",     "resolve_to",  "resolve_to6", "ttl",
					"visibility", "on_failure",  "message",	    NULL };
static const char *const connect_keys[] = { "name",
					    "description",
					    "match",
					    "regex",
					    "search",
					    "redirect_to",
					    "redirect_to_unix",
					    "tls",
					    "visibility",
					    "message",
					    "on_failure",
					    "redirect_target_policy",
					    NULL };
static const char *const file_keys[] = { "name",	  "description", "paths",   "operations",
					 "decision",	  "message",	 "timeout", "redirect_to",
					 "preserve_tree", "visibility",	 NULL };
static const char *const *const family_keys[MF_RULE_FAMILY_NUM] = { network_keys, dns_keys,
								    connect_keys, file_keys };

static bool has_word(const char *const *words, const char *word)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

/* P33: spellings of another dialect that is around. */
static const char *other_spelling(const char *key)
{
	static const char *const pairs[][2] = {
		{ "redirect_ip", "resolve_to" },
		{ "tls_mode", "tls = { mode = ... }" },
		{ "rewrite_sni", "tls = { mode = \"rewrite_sni\", sni = ... }" },
		{ "sni", "tls = { sni = ... }" },
		{ "destination", "redirect_to" },
		{ "host", "match" },
		{ "hosts", "domains" },
		{ "domain", "domains" },
		{ "path", "paths" },
		{ "action", "decision" },
		{ "verdict", "decision" },
		{ "reason", "message" },
		{ "comment", "description" },
		{ "ops", "operations" },
		{ "networks", "cidrs" },
		{ "trusted", "redirect_target_policy = \"trusted\"" },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(pairs); i++)
		if (strcmp(pairs[i][0], key) == 0)
			return pairs[i][1];
	return NULL;
}

static void wrong_key(struct reading *r, const char *key)
{
	const char *const *keys = family_keys[r->spec.family];
	const char *near = other_spelling(key);

	if (!near)
		near = mf_word_nearest(key, keys);
	if (near)
		wrong(r, "unknown key \"%.64s\"; did you mean %s?", key, near);
	else
		wrong(r, "unknown key \"%.64s\"", key);
}

static void take_trust(struct reading *r)
{
	const char *word = take_string(r, "redirect_target_policy");

	if (!word)
		return;
	r->spec.trusted = strcmp(word, "trusted") == 0;
	if (!r->spec.trusted && strcmp(word, "check") != 0)
		wrong(r, "redirect_target_policy must be check or trusted, not \"%.32s\"", word);
}

/* The key @key of a rule, its value on top. */
static void take_key(struct reading *r, const char *key)
{
	struct mf_rule_spec *s = &r->spec;
	const struct {
		const char *key, **ret;
	} strings[] = {
		{ "name", &s->name },
		{ "message", &s->message },
		{ "timeout", &s->timeout },
		{ "decision", &s->decision },
		{ "resolve_to", &s->resolve_to },
		{ "resolve_to6", &s->resolve_to6 },
		{ "redirect_to", &s->redirect_to },
		{ "redirect_to_unix", &s->redirect_to_unix },
		{ "visibility", &s->visibility },
		{ "on_failure", &s->on_failure },
	};

	if (!has_word(family_keys[s->family], key)) {
		wrong_key(r, key);
		return;
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(strings); i++) {
		if (strcmp(strings[i].key, key) == 0) {
			*strings[i].ret = take_string(r, key);
			return;
		}
	}
	if (strcmp(key, "description") == 0)
		(void)take_string(r, key);
	else if (strcmp(key, "domains") == 0)
		take_strings(r, key, &r->domains, &s->domains);
	else if (strcmp(key, "cidrs") == 0)
		take_strings(r, key, &r->cidrs, &s->cidrs);
	else if (strcmp(key, "paths") == 0)
		take_strings(r, key, &r->paths, &s->paths);
	else if (strcmp(key, "operations") == 0)
		take_strings(r, key, &r->operations, &s->operations);
	else if (strcmp(key, "ports") == 0)
		take_ports(r);
	else if (strcmp(key, "match") == 0)
		take_match(r, key, MF_MATCH_GLOB);
	else if (strcmp(key, "regex") == 0)
		take_match(r, key, MF_MATCH_REGEX);
	else if (strcmp(key, "search") == 0)
		take_match(r, key, MF_MATCH_SEARCH);
	else if (strcmp(key, "tls") == 0)
		take_tls(r);
	else if (strcmp(key, "ttl") == 0)
		take_ttl(r);
	else if (strcmp(key, "preserve_tree") == 0)
		s->preserve_tree = take_bool(r, key);
	else
		take_trust(r);
}

/* The rule on top of the stack. */
static void read_rule(struct reading *r)
{
	lua_State *L = r->L;

	if (lua_type(L, -1) != LUA_TTABLE) {
		wrong(r, "a rule must be a table, not %s", type_name(L, -1));
		return;
	}
	(void)mf_frozen_contents(L, lua_gettop(L));
	/* The name first, so that every error can say it. */
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING &&
		    strcmp(lua_tostring(L, -2), "name") == 0)
			r->spec.name = lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) == LUA_TSTRING)
			take_key(r, lua_tostring(L, -2));
		else
			wrong(r, "keys of a rule are names, not %s", type_name(L, -2));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	/* Checked as well when something was wrong, so that all errors come together; but not what follows from it. */
	if (!r->bad)
		mf_rules_builder_add(r->b, &r->spec);
}

static void read_family(lua_State *L, struct mf_rules_builder *b, enum mf_rule_family family,
			const struct lines *lines)
{
	struct reading list = { .L = L, .b = b, .spec = { .family = family } };
	lua_Integer n = open_list(&list, mf_rule_family_name(family));
	bool known = lines->seen && !lines->twice && (lua_Integer)lines->cnt == n;

	for (lua_Integer i = 1; i <= n; i++) {
		struct reading r = { .L = L,
				     .b = b,
				     .spec = { .family = family,
					       .index = (unsigned)i,
					       .line = known ? lines->line[i - 1] : 0 } };

		lua_rawgeti(L, -1, i);
		read_rule(&r);
		lua_pop(L, 1);
		free(r.domains);
		free(r.cidrs);
		free(r.paths);
		free(r.operations);
		free(r.ports);
	}
	if (n >= 0)
		lua_pop(L, 1);
}

/* --- a policy ----------------------------------------------------------------------------------------------------- */

/* A setting of the policy: pushes its value, or nil. */
static void push_key(lua_State *L, const char *key)
{
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), key) == 0) {
			lua_remove(L, -2);
			return;
		}
		lua_pop(L, 1);
	}
	lua_pushnil(L);
}

/* One of @words; 0 when it is not there. */
static int take_setting(lua_State *L, const char *key, const char *const *words, const char *policy,
			const char *file, struct mf_err *err)
{
	const char *word;
	int found = 0;

	push_key(L, key);
	if (lua_type(L, -1) != LUA_TNIL) {
		word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : type_name(L, -1);
		while (words[found] && strcmp(words[found], word) != 0)
			found++;
		if (!words[found])
			found = mf_err_at(err, MF_E_POLICY, file, 0, 0,
					  "policy %s: %s must be %s%s%s%s%s, not \"%.32s\"", policy,
					  key, words[0], words[2] ? ", " : " or ", words[1],
					  words[2] ? " or " : "", words[2] ? words[2] : "", word);
	}
	lua_pop(L, 1);
	return found;
}

int mf_rules_from_lua(lua_State *L, int idx, const char *policy,
		      const struct mf_sandbox_source *chunk,
		      const struct mf_rule_observer *observer, struct mf_rules **ret_rules,
		      struct mf_err *err)
{
	static const char *const dns_words[] = { "resolve_known", "allow", "deny", NULL };
	static const char *const trust_words[] = { "check", "trusted", NULL };
	static const char *const compat_words[] = { "none", "gobwas", NULL };
	static const char *const network_words[] = { "none", "deny", NULL };
	static const char *const file_words[] = { "none", "deny", "allow_reads", NULL };
	static const char *const else_words[] = { "deny", "allow", NULL };
	static const char *const other_words[] = { "empty", "forward", NULL };
	_Static_assert(MF_ARRAY_SIZE(file_words) == MF_POLICY_DEFAULT_NUM + 1,
		       "a word for each default");
	struct lines lines[MF_RULE_FAMILY_NUM] = { 0 };
	struct mf_rules_options options = { .policy = policy,
					    .file = chunk->name,
					    .observer = observer };
	struct mf_rules_builder *b = NULL;
	int top = lua_gettop(L), r;

	*ret_rules = NULL;
	idx = lua_absindex(L, idx);
	if (!lua_checkstack(L, 32) || lua_type(L, idx) != LUA_TTABLE)
		return mf_err_at(err, MF_E_POLICY, chunk->name, 0, 0,
				 "a policy must return a table");
	(void)mf_frozen_contents(L, idx);
	r = take_setting(L, "dns_default", dns_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.dns_default = (enum mf_dns_default)r;
	r = take_setting(L, "redirect_target_policy", trust_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.trust_targets = r == 1;
	r = take_setting(L, "compat", compat_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.gobwas = r == 1;
	r = take_setting(L, "network_default", network_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.network_default = r == 1 ? MF_DEFAULT_DENY : MF_DEFAULT_NONE;
	r = take_setting(L, "file_default", file_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.file_default = (enum mf_policy_default)r;
	r = take_setting(L, "approve_without_channel", else_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.ask_else_allow = r == 1;
	r = take_setting(L, "redirect_unsupported", else_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.redirect_else_allow = r == 1;
	r = take_setting(L, "redirect_other_types", other_words, policy, chunk->name, err);
	if (r < 0)
		goto out;
	options.other_types_forward = r == 1;
	r = mf_rules_builder_new(&options, &b);
	if (r < 0) {
		mf_err_set(err, r, "policy %s: out of memory while reading its rules", policy);
		goto out;
	}
	scan_lines(chunk, lines);
	for (int family = 0; family < MF_RULE_FAMILY_NUM; family++) {
		push_key(L, mf_rule_family_name((enum mf_rule_family)family));
		if (lua_type(L, -1) != LUA_TNIL)
			read_family(L, b, (enum mf_rule_family)family, &lines[family]);
		lua_pop(L, 1);
	}
	r = mf_rules_builder_finish(b, ret_rules, err);
out:
	for (int family = 0; family < MF_RULE_FAMILY_NUM; family++)
		free(lines[family].line);
	lua_settop(L, top);
	return r;
}
