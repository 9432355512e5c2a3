/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_index.h - finds the first of many rules whose selector matches, without looking at the others
 *
 * How it works
 *
 * A selector says what a rule wants to see: a host name (exact, one label below, anywhere below), a path (exact, below a
 * directory, a base name), a network, or anything; each optionally with a port. Selectors are keys of one hash table; a
 * question probes it once for each thing that it is (its name, each suffix of its name, ...), so the cost depends on the
 * question and not on the number of rules. Every key holds its rules in ascending order and the search keeps the best
 * number found so far, so a list is read only as far as it can still win.
 *
 * A glob or regular expression stands behind the longest literal domain or directory that all its matches share
 * ("api-*.example.com" behind "below example.com") and is run only for questions that get there. What has no such part
 * (a search in the middle of a name) stays in a list that is tried in order, up to the best candidate.
 *
 * Rules must be added in ascending order. Afterwards the index only changes by its scratch: one thread at a time.
 */
#ifndef MF_POLICY_RULE_INDEX_H
#define MF_POLICY_RULE_INDEX_H

#include "core/base/addr.h"
#include "core/match/cidr_set.h"
#include "core/match/glob.h"
#include "core/match/regex.h"

#define MF_RULE_NONE UINT32_MAX
#define MF_PORT_ANY  (-1)

struct mf_rule_index;

/* What is asked for; members that a question does not have are 0. */
struct mf_rule_subject {
	const char *name; /* canonical host name, or "" */
	size_t name_len;
	int port; /* MF_PORT_ANY: none */
	const struct mf_addr *ip;
	const char *text; /* what unanchored expressions search: name, or "name:port" */
	size_t text_len;
	const char *path;
	size_t path_len;
	/* The rest of rule @rule, asked once its selector matched: 1 yes, 0 no, MF_E_* */
	int (*check)(void *ctx, uint32_t rule);
	void *ctx;
};

/** mf_rule_index_new() - @gobwas: globs are read as agentsh's library reads them (glob.h); Return: NULL without memory */
struct mf_rule_index *mf_rule_index_new(bool gobwas);
void mf_rule_index_free(struct mf_rule_index *ix);

/** mf_rule_index_add_any() - @rule wants nothing but perhaps a port; Return: 0, MF_E_NOMEM */
int mf_rule_index_add_any(struct mf_rule_index *ix, uint32_t rule, int port);

/**
 * mf_rule_index_add_domain() - A glob over host names (separator '.'), braces and IDN included
 * Return: 0, MF_E_SYNTAX, MF_E_LIMIT, MF_E_NOMEM with the reason in @err
 */
int mf_rule_index_add_domain(struct mf_rule_index *ix, uint32_t rule, const char *glob, int port,
			     struct mf_err *err);

/**
 * mf_rule_index_canon_domain() - A glob over host names as it is compared
 * Lower case, one trailing dot off, and where the literal end is a name of its own, its IDNA form.
 * Return: its length in @out; MF_E_SYNTAX, MF_E_LIMIT with the reason in @err (may be NULL)
 */
int mf_rule_index_canon_domain(const char *glob, size_t len, char *out, size_t room,
			       struct mf_err *err);

/**
 * mf_rule_index_add_regex() - An expression over mf_rule_subject.text
 * RE2's syntax only (regex.h), so that it means the same in each format of policies.
 * @full: it must match the whole text; otherwise it is searched
 * @with_port: the text is "name:port"
 */
int mf_rule_index_add_regex(struct mf_rule_index *ix, uint32_t rule, const char *pattern, bool full,
			    bool with_port, struct mf_err *err);

int mf_rule_index_add_cidr(struct mf_rule_index *ix, uint32_t rule, const struct mf_cidr *net,
			   int port);

/** mf_rule_index_add_path() - A glob over absolute paths (separator '/') */
int mf_rule_index_add_path(struct mf_rule_index *ix, uint32_t rule, const char *glob,
			   struct mf_err *err);

/**
 * mf_rule_index_find() - The lowest rule below @limit that matches
 * Return: 0 and *ret_rule (MF_RULE_NONE for none); MF_E_LIMIT when an expression ran into its match limit
 */
int mf_rule_index_find(struct mf_rule_index *ix, const struct mf_rule_subject *s, uint32_t limit,
		       uint32_t *ret_rule);

/** mf_rule_index_linear() - How many expressions are tried one after another */
size_t mf_rule_index_linear(const struct mf_rule_index *ix);

#endif
