/* SPDX-License-Identifier: Apache-2.0 */
/* lint.c - see lint.h */
#include "cli/lint.h"

#include <moonfence/moonfence.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lexer.h"
#include "core/base/err.h"
#include "core/policy/outcome.h"
#include "core/policy/request.h"

#define HINTS_MAX 256 /* looking for the nearest name costs more than finding the mistake */

/*
 * What is defined without a policy doing it; tests/lua compares with what the runtime has. Policies see both lists, tests
 * the first and test().
 */
#define LUA_GLOBALS                                                                              \
	"_G", "_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", \
		"print", "rawequal", "rawget", "rawlen", "rawset", "require", "select",          \
		"setmetatable", "tonumber", "tostring", "type", "xpcall", "coroutine", "math",   \
		"string", "table", "utf8"

static const char *const policy_globals[] = { LUA_GLOBALS, "allow", "ask",	   "audit",
					      "counter",   "deny",  "domains",	   "networks",
					      "now",	   "ports", "redirect",	   "redirect_path",
					      "resolve",   "route", "soft_delete", "terminate",
					      NULL };
static const char *const test_globals[] = { LUA_GLOBALS, "test", NULL };

#define ALL_KINDS   (1 << MF_DNS | 1 << MF_CONNECT | 1 << MF_SNI | 1 << MF_FILE | 1 << MF_DNS_ANSWER)
#define CONNECTIONS (1 << MF_CONNECT | 1 << MF_SNI)

static const struct {
	const char *name;
	unsigned kinds; /* which requests have it */
} predicates[] = {
	{ "is", ALL_KINDS },	    { "under", ALL_KINDS },	    { "glob", ALL_KINDS },
	{ "regex", ALL_KINDS },	    { "to", CONNECTIONS },	    { "to_private", CONNECTIONS },
	{ "port_in", CONNECTIONS }, { "matches_dns", 1 << MF_SNI },
};

/* What is known of a token from the brackets and blocks around it. */
struct place {
	size_t open;	 /* the bracket or block word that it stands in, SIZE_MAX for none */
	size_t function; /* the innermost "function" around it, SIZE_MAX for the chunk */
	size_t close;	 /* of an opener: where it ends */
};

struct declared {
	const struct mf_token *name;
	size_t at;
};

struct lint {
	struct mf_tokens tokens;
	struct place *places;
	struct declared *declared; /* in order of position */
	size_t declared_cnt;
	const struct mf_lint_sink *sink;
	const char *const *globals;
	unsigned hints;
};

static const struct mf_token *token(const struct lint *l, size_t i)
{
	return &l->tokens.items[i < l->tokens.cnt ? i : l->tokens.cnt - 1];
}

static bool is(const struct lint *l, size_t i, const char *text)
{
	return mf_token_is(token(l, i), text);
}

static bool is_name(const struct lint *l, size_t i)
{
	return token(l, i)->type == MF_TOKEN_NAME;
}

static bool same(const struct mf_token *a, const struct mf_token *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void tell(struct lint *l, enum mf_lint_level level, const struct mf_token *at,
		 const char *message, const char *hint)
{
	l->sink->problem(l->sink->ctx, level, at->line, at->column, message, hint);
}

static void report(struct lint *l, const struct mf_token *at, const char *message, const char *hint)
{
	tell(l, MF_LINT_ERROR, at, message, hint);
}

/* --- the first reading: what encloses what, what is declared ------------------------------------------------------ */

static bool opens(const struct mf_token *t)
{
	static const char *const openers[] = { "function", "if", "do", "repeat", "{", "(", "[" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(openers); i++)
		if (mf_token_is(t, openers[i]))
			return true;
	return false;
}

static bool closes(const struct mf_token *t)
{
	return mf_token_is(t, "end") || mf_token_is(t, "until") || mf_token_is(t, "}") ||
	       mf_token_is(t, ")") || mf_token_is(t, "]");
}

static void find_places(struct lint *l)
{
	size_t open = SIZE_MAX, function = SIZE_MAX;

	for (size_t i = 0; i < l->tokens.cnt; i++) {
		const struct mf_token *t = token(l, i);

		if (closes(t) && open != SIZE_MAX) {
			l->places[open].close = i;
			function = l->places[open].function;
			open = l->places[open].open;
		}
		l->places[i] = (struct place){ .open = open,
					       .function = function,
					       .close = l->tokens.cnt };
		if (opens(t)) {
			open = i;
			if (mf_token_is(t, "function"))
				function = i;
		}
	}
}

/* NAME = value inside braces: a key, no variable. */
static bool is_key(const struct lint *l, size_t i)
{
	size_t open = l->places[i].open;

	return open != SIZE_MAX && is(l, open, "{") && is(l, i + 1, "=") &&
	       (open + 1 == i || is(l, i - 1, ",") || is(l, i - 1, ";"));
}

static void declare(struct lint *l, size_t i)
{
	l->declared[l->declared_cnt++] = (struct declared){ token(l, i), i };
}

/* NAME, NAME <attribute>, ... from @i on. */
static void declare_list(struct lint *l, size_t i)
{
	while (is_name(l, i)) {
		declare(l, i++);
		if (is(l, i, "<"))
			i += 3;
		if (!is(l, i, ","))
			break;
		i++;
	}
}

/* The names of "a, b =", of which @i is the last; what "local" or "for" stands before has been declared already. */
static void declare_assigned(struct lint *l, size_t i)
{
	size_t first = i;

	while (first >= 2 && is(l, first - 1, ",") && is_name(l, first - 2))
		first -= 2;
	if (first > 0 && (is(l, first - 1, "local") || is(l, first - 1, "for") ||
			  is(l, first - 1, ".") || is(l, first - 1, ":")))
		return;
	for (; first <= i; first += 2)
		declare(l, first);
}

static void find_declared(struct lint *l)
{
	for (size_t i = 0; i < l->tokens.cnt; i++) {
		if (is(l, i, "local") || is(l, i, "for")) {
			declare_list(l, i + 1);
		} else if (is(l, i, "function")) {
			size_t j = i + 1;

			if (is_name(l, j) && is(l, j + 1, "("))
				declare(l, j);
			while (j < l->tokens.cnt && !is(l, j, "("))
				j++;
			declare_list(l, j + 1);
		} else if (is_name(l, i) && is(l, i + 1, "=") && !is_key(l, i)) {
			declare_assigned(l, i);
		}
	}
}

static bool is_declared(const struct lint *l, const struct mf_token *name)
{
	for (size_t i = 0; i < l->declared_cnt; i++)
		if (same(l->declared[i].name, name))
			return true;
	return false;
}

/* --- names that are defined nowhere --------------------------------------------------------------------------------- */

static bool in_list(const char *const *list, const struct mf_token *name)
{
	for (; *list; list++)
		if (mf_token_is(name, *list))
			return true;
	return false;
}

static void copy_name(char *buf, size_t size, const struct mf_token *name)
{
	snprintf(buf, size, "%.*s", (int)(name->len < 64 ? name->len : 64), name->text);
}

static void suggest(struct lint *l, char *buf, size_t size, const char *name,
		    const char *const *names)
{
	const char *nearest = l->hints < HINTS_MAX ? mf_word_nearest(name, names) : NULL;

	l->hints++;
	snprintf(buf, size, "%s%s%s", nearest ? "did you mean '" : "", nearest ? nearest : "",
		 nearest ? "'?" : "");
}

static bool is_variable(const struct lint *l, size_t i)
{
	if (!is_name(l, i) || is_key(l, i))
		return false;
	if (i == 0)
		return true;
	if (is(l, i - 1, ".") || is(l, i - 1, ":") || is(l, i - 1, "::") || is(l, i - 1, "goto"))
		return false;
	return !(is(l, i - 1, "<") && is(l, i + 1, ">") &&
		 (is(l, i, "const") || is(l, i, "close"))); /* local x <const> */
}

static int compare_declared(const void *a, const void *b)
{
	const struct mf_token *x = ((const struct declared *)a)->name;
	const struct mf_token *y = ((const struct declared *)b)->name;
	int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void check_names(struct lint *l)
{
	qsort(l->declared, l->declared_cnt, sizeof(*l->declared), compare_declared);
	for (size_t i = 0; i < l->tokens.cnt; i++) {
		struct declared key = { token(l, i), i };
		char name[80], message[160], hint[120];

		if (!is_variable(l, i) || in_list(l->globals, token(l, i)) ||
		    mf_token_is(token(l, i), "_ENV") || mf_token_is(token(l, i), "self") ||
		    bsearch(&key, l->declared, l->declared_cnt, sizeof(key), compare_declared))
			continue;
		copy_name(name, sizeof(name), token(l, i));
		snprintf(message, sizeof(message), "'%s' is not defined anywhere", name);
		suggest(l, hint, sizeof(hint), name, l->globals);
		report(l, token(l, i), message, hint);
	}
}

/* --- what hooks do with their request --------------------------------------------------------------------------------- */

struct hook {
	enum mf_kind kind;
	size_t function; /* its "function" */
	const struct mf_token *param;
};

static bool has_predicate(enum mf_kind kind, const struct mf_token *name)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(predicates); i++)
		if (mf_token_is(name, predicates[i].name))
			return predicates[i].kinds & 1u << kind;
	return false;
}

/* Names of a kind's fields below @prefix ("" or "process."), first parts only; NULL-terminated. */
static void list_fields(enum mf_kind kind, const char *prefix, const char *names[MF_F_NUM + 16])
{
	size_t cnt = 0, len = strlen(prefix);

	if (!len) {
		names[cnt++] = "kind";
		names[cnt++] = "session";
		names[cnt++] = "process";
		if (kind == MF_DNS_ANSWER)
			names[cnt++] = "answer";
	} else if (strcmp(prefix, "session.") == 0) {
		names[cnt++] = "labels";
	}
	for (size_t i = 0; i < MF_F_NUM; i++) {
		const struct mf_field_info *info = &mf_field_table[i];

		if (info->kinds & 1u << kind && strncmp(info->name, prefix, len) == 0 &&
		    !strchr(info->name + len, '.'))
			names[cnt++] = info->name + len;
	}
	for (size_t i = 0; !len && i < MF_ARRAY_SIZE(predicates); i++)
		if (predicates[i].kinds & 1u << kind)
			names[cnt++] = predicates[i].name;
	names[cnt] = NULL;
}

static void check_field(struct lint *l, const struct hook *h, const char *prefix, size_t i)
{
	const char *names[MF_F_NUM + 16];
	char name[80], message[200], hint[120];

	list_fields(h->kind, prefix, names);
	if (in_list(names, token(l, i)))
		return;
	copy_name(name, sizeof(name), token(l, i));
	snprintf(message, sizeof(message), "a %s request has no field '%s%s'",
		 mf_kind_name(h->kind), prefix, name);
	suggest(l, hint, sizeof(hint), name, names);
	report(l, token(l, i), message, hint);
}

static void check_method(struct lint *l, const struct hook *h, size_t i)
{
	const char *names[MF_ARRAY_SIZE(predicates) + 1];
	char name[80], message[200], hint[120];
	size_t cnt = 0;

	if (has_predicate(h->kind, token(l, i)))
		return;
	for (size_t j = 0; j < MF_ARRAY_SIZE(predicates); j++)
		if (predicates[j].kinds & 1u << h->kind)
			names[cnt++] = predicates[j].name;
	names[cnt] = NULL;
	copy_name(name, sizeof(name), token(l, i));
	snprintf(message, sizeof(message), "a %s request has no predicate '%s'",
		 mf_kind_name(h->kind), name);
	suggest(l, hint, sizeof(hint), name, names);
	report(l, token(l, i), message, hint);
}

/* return soft_delete(...) directly in a hook that cannot carry it. */
static void check_verdict(struct lint *l, const struct hook *h, size_t i)
{
	char message[160], hint[200] = "it can carry";

	if (i == 0 || !is(l, i - 1, "return") || l->places[i].function != h->function ||
	    !(is(l, i + 1, "(") || is(l, i + 1, "{") || token(l, i + 1)->type == MF_TOKEN_STRING) ||
	    is_declared(l, token(l, i)))
		return;
	for (int v = 0; v < MF_VERDICT_NUM; v++) {
		if (!mf_token_is(token(l, i), mf_verdict_name((enum mf_verdict)v)) ||
		    mf_verdict_fits(h->kind, (enum mf_verdict)v))
			continue;
		for (int w = 0; w < MF_VERDICT_NUM; w++)
			if (mf_verdict_fits(h->kind, (enum mf_verdict)w))
				snprintf(hint + strlen(hint), sizeof(hint) - strlen(hint), "%s %s",
					 strchr(hint, ',') || w ? "," : "",
					 mf_verdict_name((enum mf_verdict)w));
		snprintf(message, sizeof(message), "a %s request cannot carry %s",
			 mf_kind_name(h->kind), mf_verdict_name((enum mf_verdict)v));
		report(l, token(l, i), message, hint);
	}
}

static void check_hook(struct lint *l, const struct hook *h)
{
	size_t end = l->places[h->function].close;

	for (size_t i = 0; i < l->declared_cnt;
	     i++) /* the parameter's name means something else as well */
		if (l->declared[i].at > h->function && l->declared[i].at < end &&
		    l->declared[i].name != h->param && same(l->declared[i].name, h->param))
			return;
	for (size_t i = h->function; i < end; i++) {
		if (!is_name(l, i))
			continue;
		check_verdict(l, h, i);
		if (!same(token(l, i), h->param) || is(l, i - 1, ".") || is(l, i - 1, ":") ||
		    is_key(l, i))
			continue;
		if (is(l, i + 1, ":") && is_name(l, i + 2))
			check_method(l, h, i + 2);
		if (!is(l, i + 1, ".") || !is_name(l, i + 2))
			continue;
		check_field(l, h, "", i + 2);
		if (is(l, i + 2, "process") && is(l, i + 3, ".") && is_name(l, i + 4))
			check_field(l, h, "process.", i + 4);
		if (is(l, i + 2, "session") && is(l, i + 3, ".") && is_name(l, i + 4))
			check_field(l, h, "session.", i + 4);
		if (is(l, i + 2, "answer") && is(l, i + 3, ".") && is_name(l, i + 4))
			check_field(l, h, "answer.", i + 4);
	}
}

/* The chunk's own function of this name: "local function NAME(" or "local NAME = function(", once; SIZE_MAX for none. */
static size_t find_function(const struct lint *l, const struct mf_token *name)
{
	size_t found = SIZE_MAX, times = 0;

	for (size_t i = 0; i < l->declared_cnt; i++) {
		size_t at = l->declared[i].at;

		if (!same(l->declared[i].name, name))
			continue;
		times++;
		if (at > 0 && is(l, at - 1, "function") && l->places[at - 1].function == SIZE_MAX)
			found = at - 1;
		else if (is(l, at + 1, "=") && is(l, at + 2, "function") &&
			 l->places[at].function == SIZE_MAX)
			found = at + 2;
	}
	/* "local function f" is declared by "local" as nothing and by "function" once. */
	return times == 1 ? found : SIZE_MAX;
}

/* Hooks are entries of the table that the chunk returns: "dns = function(q)", "dns = name". */
static void check_hooks(struct lint *l)
{
	for (size_t i = 1; i < l->tokens.cnt; i++) {
		size_t open = l->places[i].open, param;
		struct hook h = { .function = SIZE_MAX };

		if (!is_name(l, i) || !is_key(l, i) || l->places[i].function != SIZE_MAX ||
		    open == 0 || !is(l, open - 1, "return"))
			continue;
		while (h.kind < MF_KIND_NUM && !is(l, i, mf_kind_name(h.kind)))
			h.kind++;
		if (h.kind == MF_KIND_NUM)
			continue;
		if (is(l, i + 2, "function"))
			h.function = i + 2;
		else if (is_name(l, i + 2) &&
			 (is(l, i + 3, ",") || is(l, i + 3, ";") || is(l, i + 3, "}")))
			h.function = find_function(l, token(l, i + 2));
		if (h.function == SIZE_MAX)
			continue;
		param = h.function + (is(l, h.function + 1, "(") ? 2 : 3);
		if (!is_name(l, param))
			continue;
		h.param = token(l, param);
		check_hook(l, &h);
	}
}

/* --- what is asked anew each time --------------------------------------------------------------------------------------- */

/* Decisions that cannot be kept, or not for long; once a function, as one is enough. */
static void check_cacheable(struct lint *l)
{
	size_t told = 0;

	for (size_t i = 1; i < l->tokens.cnt; i++) {
		size_t function = l->places[i].function;

		if (!is_variable(l, i) || function == SIZE_MAX || function == told)
			continue;
		if (is(l, i, "counter") && is(l, i + 1, "(") && !is_declared(l, token(l, i)))
			tell(l, MF_LINT_NOTE, token(l, i),
			     "a decision that asks a counter is never cached: the hook runs anew "
			     "each time",
			     "let what does not depend on the counter return before it");
		else if (is(l, i, "now") && is(l, i + 1, ".") && !is_declared(l, token(l, i)) &&
			 (is(l, i + 2, "second") || is(l, i + 2, "unix")))
			tell(l, MF_LINT_NOTE, token(l, i),
			     "a decision that reads the second is cached until the next one only",
			     "now:between(\"22:00\", \"06:00\") and coarser fields are kept "
			     "longer");
		else
			continue;
		told = function;
	}
}

/* --- where rules stand -------------------------------------------------------------------------------------------------- */

struct mf_lint_text {
	struct lint l;
	size_t family[MF_RULE_FAMILY_NUM]; /* its "{"; SIZE_MAX: it is not written as one table */
};

/* The entry @index (from 1) of the list that opens at @open; SIZE_MAX: there is none. */
static size_t find_entry(const struct lint *l, size_t open, size_t index)
{
	size_t i = open + 1;

	while (--index && i < l->places[open].close) {
		while (i < l->places[open].close && !is(l, i, ",") && !is(l, i, ";"))
			i = opens(token(l, i)) ? l->places[i].close + 1 : i + 1;
		i++;
	}
	return i < l->places[open].close ? i : SIZE_MAX;
}

/* The value of a key of the table that opens at @open. */
static size_t find_value(const struct lint *l, size_t open, const char *key)
{
	for (size_t i = open + 1; i < l->places[open].close; i++)
		if (l->places[i].open == open && is(l, i, key) && is_key(l, i))
			return i + 2;
	return SIZE_MAX;
}

/* Families and hooks are keys of the table that the chunk returns; SIZE_MAX: it is not there, or not in plain words */
static size_t find_policy_key(const struct lint *l, const char *key)
{
	for (size_t i = 1; i < l->tokens.cnt; i++) {
		size_t open = l->places[i].open;

		if (is(l, i, key) && is_key(l, i) && l->places[i].function == SIZE_MAX &&
		    open > 0 && is(l, open - 1, "return"))
			return i;
	}
	return SIZE_MAX;
}

static bool place_of(const struct lint *l, size_t i, unsigned *ret_line, unsigned *ret_column)
{
	if (i >= l->tokens.cnt)
		return false;
	*ret_line = token(l, i)->line;
	*ret_column = token(l, i)->column;
	return true;
}

struct mf_lint_text *mf_lint_text_new(const char *text, size_t len)
{
	struct mf_lint_text *t = calloc(1, sizeof(*t));

	if (!t || mf_tokens_read(text, len, &t->l.tokens) < 0) {
		free(t);
		return NULL;
	}
	t->l.places = calloc(t->l.tokens.cnt, sizeof(*t->l.places));
	if (!t->l.places) {
		mf_lint_text_free(t);
		return NULL;
	}
	find_places(&t->l);
	for (int f = 0; f < MF_RULE_FAMILY_NUM; f++) {
		size_t key = find_policy_key(&t->l, mf_rule_family_name((enum mf_rule_family)f));

		t->family[f] = key != SIZE_MAX && is(&t->l, key + 2, "{") ? key + 2 : SIZE_MAX;
	}
	return t;
}

void mf_lint_text_free(struct mf_lint_text *t)
{
	if (!t)
		return;
	free(t->l.places);
	mf_tokens_done(&t->l.tokens);
	free(t);
}

bool mf_lint_find_hook(const struct mf_lint_text *t, enum mf_kind kind, unsigned *ret_line,
		       unsigned *ret_column)
{
	return place_of(&t->l, find_policy_key(&t->l, mf_kind_name(kind)), ret_line, ret_column);
}

bool mf_lint_find_rule(const struct mf_lint_text *t, enum mf_rule_family family, unsigned index,
		       const char *field, size_t item, unsigned *ret_line, unsigned *ret_column)
{
	static const char *const matches[] = { "match", "regex", "search" };
	size_t entry, value = SIZE_MAX;

	if (t->family[family] == SIZE_MAX)
		return false;
	entry = find_entry(&t->l, t->family[family], index);
	if (entry == SIZE_MAX || !is(&t->l, entry, "{") || !field)
		return place_of(&t->l, entry, ret_line, ret_column);
	for (size_t i = 0; i < MF_ARRAY_SIZE(matches) && value == SIZE_MAX; i++)
		if (strcmp(field, "match") == 0)
			value = find_value(&t->l, entry, matches[i]);
	if (value == SIZE_MAX)
		value = find_value(&t->l, entry, field);
	if (value != SIZE_MAX && item != SIZE_MAX && is(&t->l, value, "{"))
		value = find_entry(&t->l, value, item + 1);
	return place_of(&t->l, value == SIZE_MAX ? entry : value, ret_line, ret_column);
}

/* ------------------------------------------------------------------------------------------------------------------------ */

static int lint(const char *text, size_t len, const char *const *globals, bool hooks,
		const struct mf_lint_sink *sink)
{
	struct lint l = { .sink = sink, .globals = globals };
	int r = mf_tokens_read(text, len, &l.tokens);

	if (r < 0)
		return r;
	l.places = calloc(l.tokens.cnt, sizeof(*l.places));
	/* A token is declared at most twice: by the list that it stands in, and as an assignment. */
	l.declared = calloc(l.tokens.cnt * 2, sizeof(*l.declared));
	if (l.places && l.declared) {
		find_places(&l);
		find_declared(&l);
		if (hooks) {
			check_hooks(&l);
			check_cacheable(&l);
		}
		check_names(&l);
	} else {
		r = MF_E_NOMEM;
	}
	free(l.places);
	free(l.declared);
	mf_tokens_done(&l.tokens);
	return r;
}

int mf_lint_policy(const char *text, size_t len, const struct mf_lint_sink *sink)
{
	return lint(text, len, policy_globals, true, sink);
}

int mf_lint_test(const char *text, size_t len, const struct mf_lint_sink *sink)
{
	return lint(text, len, test_globals, false, sink);
}
