/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shadow.h - rules that can never decide, because rules before them take all that they select
 *
 *	mf_shadows_new(&options, &s);
 *	mf_shadows_add(s, &spec);                 for every rule, as mf_rules_builder_add() gets it
 *	mf_shadows_find(s, &sink);
 *
 * How it works
 *
 * No question is asked: what rules select is compared. A rule is taken apart into what one of its names (or paths) together
 * with one of its networks selects; each such part must be covered, for every port (or operation) of the rule, by rules before
 * it of the same family. Names and paths are compared as automata (mf_glob_covers()), networks by inclusion, ports and
 * operations as sets. The modes in which rules about networks are left out (dns, an unknown address: rules_ask.c) are kept
 * apart. A redirect is covered by a deny of network_rules as well, where nothing stands before that deny but denies (P18).
 *
 * What is told is proved; what is not told may still be so. Comparisons are bounded, so that 10,000 rules take about a second.
 */
#ifndef MF_POLICY_SHADOW_H
#define MF_POLICY_SHADOW_H

#include "core/policy/rules.h"

struct mf_shadows;

struct mf_shadow {
	enum mf_rule_family family;
	unsigned index, line; /* of the rule, as in its spec */
	const char *file;     /* as there; borrowed */
	const char *field; /* "domains", "paths", "match"; the one that is about names or paths */
	size_t item;	   /* only this entry of the field; SIZE_MAX: the whole rule */
	const char *text;  /* "never reached: network_rules[1] lan takes all that it selects" */
	const char *hint;
};

struct mf_shadow_sink {
	void (*tell)(void *ctx, const struct mf_shadow *found);
	void *ctx;
};

/** mf_shadows_new() - Of one policy; Return: 0, MF_E_NOMEM */
int mf_shadows_new(const struct mf_rules_options *options, struct mf_shadows **ret_s);
void mf_shadows_free(struct mf_shadows *s);

/** mf_shadows_add() - The next rule of its family; @spec was accepted by mf_rules_builder_add(), and is copied */
int mf_shadows_add(struct mf_shadows *s, const struct mf_rule_spec *spec);

/** mf_shadows_find() - Tell of every one; Return: 0; 1 when there were too many rules to compare them all; MF_E_NOMEM */
int mf_shadows_find(struct mf_shadows *s, const struct mf_shadow_sink *sink);

/** mf_shadows_takes_all() - Label of the rule that leaves no question of @kind to what comes after the rules; NULL for none */
const char *mf_shadows_takes_all(const struct mf_shadows *s, enum mf_kind kind);

#endif
