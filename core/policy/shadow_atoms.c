/* SPDX-License-Identifier: Apache-2.0 */
/* shadow_atoms.c - what rules select by name or path, in a form that can be compared; see shadow_atoms.h */
#include "core/policy/shadow_atoms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/match/domain_set.h"
#include "core/match/path_case.h"
#include "core/names/canonical.h"
#include "core/policy/plain_regex.h"
#include "core/policy/regex_tail.h"
#include "core/policy/rules_internal.h"

struct adding {
	struct mf_atoms *atoms;
	size_t item;
	bool gobwas;
};

/* The new last atom, which selects nothing that is known yet; NULL without memory. */
static struct mf_atom *add_atom(const struct adding *a)
{
	struct mf_atoms *atoms = a->atoms;

	if (atoms->cnt == atoms->room) {
		size_t room = atoms->room ? atoms->room * 2 : 4;
		struct mf_atom *more = realloc(atoms->items, room * sizeof(*more));

		if (!more)
			return NULL;
		atoms->items = more;
		atoms->room = room;
	}
	atoms->items[atoms->cnt] = (struct mf_atom){
		.type = MF_ATOM_UNKNOWN, .port = MF_PORT_ANY, .scope = -1, .item = a->item
	};
	return &atoms->items[atoms->cnt++];
}

static bool is_any(const char *text, size_t len, bool gobwas)
{
	return strspn(text, "*") == len && (gobwas ? len == 2 : len > 1);
}

/* A glob over names that is canonical already. */
static int set_name(struct mf_atom *atom, const char *text, size_t len, int port, bool gobwas)
{
	atom->port = port;
	atom->text = strdup(text);
	if (!atom->text)
		return MF_E_NOMEM;
	if (is_any(text, len, gobwas)) {
		atom->type = MF_ATOM_ANY;
		return 0;
	}
	if (mf_glob_compile(text, len, '.', gobwas ? MF_GLOB_GOBWAS : 0, &atom->glob, NULL) < 0)
		return 0;
	atom->type = MF_ATOM_GLOB;
	atom->scope = mf_glob_domain(atom->glob, &atom->name, &atom->len);
	return 0;
}

static int add_name(const struct adding *a, const char *glob, int port)
{
	struct mf_atom *atom = add_atom(a);
	char text[MF_GLOB_PATTERN_MAX + 1];
	int n;

	if (!atom)
		return MF_E_NOMEM;
	/* The index takes braces apart before it makes names canonical: what that would change is left alone. */
	if (strchr(glob, '{') && (strstr(glob, ".,") || strstr(glob, ".}")))
		return 0;
	n = mf_rule_index_canon_domain(glob, strlen(glob), text, sizeof(text), NULL);
	return n < 0 ? 0 : set_name(atom, text, (size_t)n, port, a->gobwas);
}

static int add_plain(void *ctx, const struct mf_plain_name *name)
{
	char below[MF_NAME_ROOM + 4];
	struct mf_atom *atom;
	int r = 0;

	if (name->self) {
		atom = add_atom(ctx);
		r = atom ? set_name(atom, name->name, name->len, name->port, false) : MF_E_NOMEM;
	}
	if (r == 0 && name->below) {
		int n = snprintf(below, sizeof(below), "**.%s", name->name);

		atom = add_atom(ctx);
		r = atom ? set_name(atom, below, (size_t)n, name->port, false) : MF_E_NOMEM;
	}
	return r;
}

/* ":443" at the end of @tail is taken off; Return: the port; MF_PORT_ANY: there is none, and names have no tail that is known */
static int cut_port(char *tail)
{
	char *colon = strrchr(tail, ':'), *end;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;

	if (port < 1 || port > 65535 || *end || colon[1] < '1' || colon[1] > '9') {
		*tail = '\0';
		return MF_PORT_ANY;
	}
	*colon = '\0';
	return (int)port;
}

/* What is known of an expression that is more than names. */
static int set_tail(struct mf_atom *atom, const struct mf_rule_spec *spec, bool full)
{
	char tail[MF_NAME_ROOM + 8];
	size_t len = mf_regex_tail(spec->match, strlen(spec->match), full, tail, sizeof(tail));

	if (len && !(atom->ending = strdup(tail)))
		return MF_E_NOMEM;
	if (spec->family == MF_CONNECT_REDIRECTS)
		atom->port = cut_port(tail);
	len = strlen(tail);
	/* What ends in a digit may be an address, which is no name below another. */
	if (!len || !((tail[len - 1] | 32) >= 'a' && (tail[len - 1] | 32) <= 'z'))
		return 0;
	atom->tail = strdup(tail);
	return atom->tail ? 0 : MF_E_NOMEM;
}

static int add_regex(const struct adding *a, const struct mf_rule_spec *spec)
{
	static const char *const all[] = { ".*", "^.*", ".*$", "^.*$" };
	bool full = spec->mode == MF_MATCH_REGEX;
	size_t len = strlen(spec->match);
	struct adding copy = *a;
	struct mf_atom *atom;
	int r;

	r = mf_plain_regex_each(spec->match, len, full, spec->family == MF_CONNECT_REDIRECTS,
				add_plain, &copy);
	if (r <= 0)
		return r;
	atom = add_atom(a);
	if (!atom || !(atom->text = strdup(spec->match)))
		return MF_E_NOMEM;
	atom->type = MF_ATOM_REGEX;
	atom->mode = (uint8_t)spec->mode;
	for (size_t i = 0; i < MF_ARRAY_SIZE(all); i++)
		if (strcmp(all[i], spec->match) == 0)
			atom->type = MF_ATOM_ANY;
	(void)mf_regex_compile(spec->match, len, MF_REGEX_HOST | (full ? MF_REGEX_FULL : 0), NULL,
			       &atom->regex, NULL);
	return atom->type == MF_ATOM_REGEX ? set_tail(atom, spec, full) : 0;
}

static int add_path(const struct adding *a, const char *glob)
{
	char folded[MF_GLOB_PATTERN_MAX + 1];
	size_t len = strlen(glob);
	const char *text = mf_path_fold(glob, len, folded, sizeof(folded));
	struct mf_atom *atom = add_atom(a);

	if (!atom)
		return MF_E_NOMEM;
	atom->text = strdup(text ? text : glob);
	if (!atom->text)
		return MF_E_NOMEM;
	if (mf_glob_compile(atom->text, len, '/',
			    MF_PATH_GLOB_FLAGS | (a->gobwas ? MF_GLOB_GOBWAS : 0), &atom->glob,
			    NULL) == 0)
		atom->type = MF_ATOM_GLOB;
	return 0;
}

static int add_redirect(const struct adding *a, const struct mf_rule_spec *spec)
{
	char name[MF_GLOB_PATTERN_MAX + 1];
	int port;

	if (spec->mode != MF_MATCH_GLOB)
		return add_regex(a, spec);
	if (spec->family == MF_DNS_REDIRECTS)
		return add_name(a, spec->match, MF_PORT_ANY);
	if (mf_rules_split_match(spec->match, name, sizeof(name), &port) < 0)
		return add_atom(a) ? 0 : MF_E_NOMEM;
	return add_name(a, name, port);
}

int mf_atoms_add_spec(struct mf_atoms *atoms, const struct mf_rule_spec *spec, bool gobwas)
{
	struct adding a = { .atoms = atoms, .gobwas = gobwas };
	int r = 0;

	if (spec->family == MF_DNS_REDIRECTS || spec->family == MF_CONNECT_REDIRECTS)
		return add_redirect(&a, spec);
	if (spec->family == MF_FILE_RULES)
		for (; r == 0 && a.item < spec->paths.cnt; a.item++)
			r = add_path(&a, spec->paths.items[a.item]);
	else
		for (; r == 0 && a.item < spec->domains.cnt; a.item++)
			r = add_name(&a, spec->domains.items[a.item], MF_PORT_ANY);
	return r;
}

void mf_atoms_done(struct mf_atoms *atoms)
{
	for (size_t i = 0; i < atoms->cnt; i++) {
		free(atoms->items[i].text);
		free(atoms->items[i].ending);
		free(atoms->items[i].tail);
		mf_glob_free(atoms->items[i].glob);
		mf_regex_free(atoms->items[i].regex);
	}
	free(atoms->items);
	*atoms = (struct mf_atoms){ 0 };
}

/* --- comparing -------------------------------------------------------------------------------------------------------- */

/* Whether @name is @domain or below it; @below: only below it */
static bool lies_in(const char *name, size_t len, const char *domain, size_t domain_len, bool below)
{
	if (len == domain_len)
		return !below && memcmp(name, domain, len) == 0;
	return len > domain_len && name[len - domain_len - 1] == '.' &&
	       memcmp(name + len - domain_len, domain, domain_len) == 0;
}

/* Both are entries of domain sets and @inner is no name: 1 yes, 0 no, -1 that cannot be told so */
static int covers_scope(const struct mf_atom *outer, const struct mf_atom *inner)
{
	if (outer->scope < 0 || inner->scope < 0)
		return -1;
	switch (outer->scope) {
	case MF_DOMAIN_EXACT:
		return 0;
	case MF_DOMAIN_CHILD:
		return inner->scope == MF_DOMAIN_CHILD && outer->len == inner->len &&
		       memcmp(outer->name, inner->name, inner->len) == 0;
	case MF_DOMAIN_BELOW:
		return lies_in(inner->name, inner->len, outer->name, outer->len, false);
	default:
		return -1;
	}
}

/* Whether all that the expression @inner matches lies below the domain that @outer is all of. */
static bool has_all_below(const struct mf_atom *outer, const struct mf_atom *inner)
{
	return outer->type == MF_ATOM_GLOB && outer->scope == MF_DOMAIN_BELOW && inner->tail &&
	       lies_in(inner->tail, strlen(inner->tail), outer->name, outer->len, true);
}

/* An expression against the one name that @literal is. */
static bool finds(const struct mf_atom *outer, const struct mf_atom *inner, const char *literal,
		  size_t len, bool with_port, struct mf_regex_scratch *scratch)
{
	char text[MF_NAME_ROOM + 8];

	if (!outer->regex || len >= MF_NAME_ROOM || memchr(literal, ':', len) ||
	    (with_port && inner->port == MF_PORT_ANY))
		return false;
	len = (size_t)snprintf(text, sizeof(text), with_port ? "%.*s:%d" : "%.*s", (int)len,
			       literal, inner->port);
	return mf_regex_match(outer->regex, scratch, text, len) == 1;
}

/* Whether an expression asks for what stands left of a place: where a text begins, or a word. */
static bool looks_left(const char *pattern)
{
	for (const char *p = pattern; *p; p++)
		if (*p == '^' || (p[0] == '\\' && p[1] && strchr("AbBQGC", p[1])))
			return true;
	return false;
}

/*
 * Whether all that the expression @inner matches is found by @outer, another one: it is searched for, looks at nothing to the left of where it
 * matches, and is found in what all of @inner's texts end with. Then it is found there in each of them.
 */
static bool finds_ending(const struct mf_atom *outer, const struct mf_atom *inner,
			 struct mf_regex_scratch *scratch)
{
	return outer->type == MF_ATOM_REGEX && outer->mode == MF_MATCH_SEARCH && outer->regex &&
	       inner->ending && !looks_left(outer->text) &&
	       mf_regex_match(outer->regex, scratch, inner->ending, strlen(inner->ending)) == 1;
}

bool mf_atom_covers(const struct mf_atom *outer, const struct mf_atom *inner, bool with_port,
		    struct mf_regex_scratch *scratch, uint64_t *cost)
{
	const char *literal;
	size_t len;
	int r;

	++*cost;
	if (outer->port != MF_PORT_ANY && outer->port != inner->port)
		return false;
	if (outer->type == MF_ATOM_ANY)
		return true;
	if (outer->type == MF_ATOM_UNKNOWN || inner->type == MF_ATOM_UNKNOWN ||
	    inner->type == MF_ATOM_ANY)
		return false;
	if (inner->type == MF_ATOM_REGEX) {
		if (has_all_below(outer, inner) ||
		    (outer->type == MF_ATOM_REGEX && outer->mode == inner->mode &&
		     strcmp(outer->text, inner->text) == 0))
			return true;
		*cost += MF_ATOM_REGEX_COST;
		return finds_ending(outer, inner, scratch);
	}
	/* Names against names are what most rules are made of. */
	if (inner->scope == MF_DOMAIN_EXACT && outer->scope == MF_DOMAIN_EXACT)
		return inner->len == outer->len &&
		       memcmp(inner->name, outer->name, inner->len) == 0;
	literal = mf_glob_literal(inner->glob, &len);
	if (outer->type == MF_ATOM_REGEX) {
		*cost += MF_ATOM_REGEX_COST;
		return literal && finds(outer, inner, literal, len, with_port, scratch);
	}
	if (literal)
		return mf_glob_match(outer->glob, literal, len);
	r = covers_scope(outer, inner);
	if (r >= 0)
		return r;
	if (strcmp(outer->text, inner->text) == 0)
		return true;
	*cost += MF_ATOM_GLOB_COST;
	return mf_glob_covers(outer->glob, inner->glob);
}

bool mf_atom_is_never_address(const struct mf_atom *atom)
{
	return atom->type == MF_ATOM_GLOB && atom->scope >= 0 &&
	       !mf_name_is_address(atom->name, atom->len);
}
