/* SPDX-License-Identifier: Apache-2.0 */
/* shadow_atoms.h - one name, expression or path of a rule, and whether another one covers it; for shadow.c only */
#ifndef MF_POLICY_SHADOW_ATOMS_H
#define MF_POLICY_SHADOW_ATOMS_H

#include "core/match/glob.h"
#include "core/match/regex.h"
#include "core/policy/rules.h"

enum mf_atom_type {
	MF_ATOM_ANY,	/* every name, and none */
	MF_ATOM_GLOB,	/* a name, or a glob over names or paths */
	MF_ATOM_REGEX,	/* an expression that is more than names */
	MF_ATOM_UNKNOWN /* not understood: covers nothing */
};

struct mf_atom {
	uint8_t type; /* enum mf_atom_type */
	uint8_t mode; /* enum mf_rule_match, of expressions */
	int port;     /* of connect redirects; MF_PORT_ANY */
	int scope;    /* enum mf_domain_scope of a glob that is one, with @name; -1 */
	size_t item;  /* where it stands in its list */
	const char *name;
	size_t len;
	char *text; /* as it is compared */
	struct mf_glob *glob;
	struct mf_regex *regex;
	char *ending; /* of an expression: what all that it matches ends with, ports and all; NULL: not known */
	char *tail; /* of an expression: names that it matches surely end so (regex_tail.h); NULL: not known */
};

struct mf_atoms {
	struct mf_atom *items;
	size_t cnt, room;
};

/** mf_atoms_add_spec() - What a rule selects by name or path: none for one that has no such selector; Return: 0, MF_E_NOMEM */
int mf_atoms_add_spec(struct mf_atoms *atoms, const struct mf_rule_spec *spec, bool gobwas);
void mf_atoms_done(struct mf_atoms *atoms);

/* What comparing costs, in comparisons of two names. */
#define MF_ATOM_GLOB_COST  2000
#define MF_ATOM_REGEX_COST 100

/**
 * mf_atom_covers() - Whether whatever @inner selects, @outer does; ports included
 * @with_port: expressions are over "name:port"
 * @scratch:   for expressions
 * @cost:      added to
 */
bool mf_atom_covers(const struct mf_atom *outer, const struct mf_atom *inner, bool with_port,
		    struct mf_regex_scratch *scratch, uint64_t *cost);

/** mf_atom_is_never_address() - Whether a name that it selects is surely no address in text */
bool mf_atom_is_never_address(const struct mf_atom *atom);

#endif
