/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentsh.h - policies written for agentsh (YAML), as they are
 *
 * How it works
 *
 * The text becomes a tree (yaml_tree.h) in which every key and type is checked against a table of what agentsh knows
 * (agentsh_schema.c). The families that Moonfence carries out (file_rules, network_rules, dns_redirects,
 * connect_redirects) are read into struct mf_rule_spec and compiled by the same builder as the tables of a policy in Lua
 * (rules.h): there is one evaluator. All others are checked, and named as "accepted, not enforced". docs/agentsh.md has what
 * differs from agentsh, and why.
 *
 * Every error of a file is told, each with line, column and a path such as file_rules[3].paths[0].
 */
#ifndef MF_POLICY_AGENTSH_H
#define MF_POLICY_AGENTSH_H

#include "core/base/strbuf.h"
#include "core/policy/rules.h"
#include "core/policy/vars.h"

enum mf_agentsh_level {
	MF_AGENTSH_ERROR,   /* the policy does not load */
	MF_AGENTSH_WARNING, /* it loads, and probably does not mean what was meant */
	MF_AGENTSH_NOTE,    /* what is accepted and not enforced */
	MF_AGENTSH_LEVEL_NUM
};

struct mf_agentsh_sink {
	/* @path: "" for the whole file. @file: the policy's, or that of one that it extends */
	void (*tell)(void *ctx, enum mf_agentsh_level level, const char *file, unsigned line,
		     unsigned column, const char *path, const char *text);
	void *ctx;
};

struct mf_agentsh_source {
	const char *file, *text;
	size_t len;
	const struct mf_vars *vars;
	/*
	 * What `extends` names, as mf_policy_source_data() has it: @name below @dir; the text lives as long as what is made of it. NULL:
	 * nothing can be extended
	 */
	const char *dir;
	int (*read)(const void *ctx, const char *name, const char **ret_text, size_t *ret_len,
		    struct mf_err *err);
	const void *read_ctx;
};

struct mf_policy_source; /* source.h */

/** mf_agentsh_source_of() - A policy of a set, which may extend others below its directory; both borrowed */
struct mf_agentsh_source mf_agentsh_source_of(const struct mf_policy_source *policy,
					      const struct mf_vars *vars);

struct mf_agentsh_policy {
	char name[129];
	struct mf_rules *rules; /* mf_rules_free() */
};

/** mf_agentsh_each_extended() - The texts of all policies that @policy takes rules over from, as far as they can be read */
void mf_agentsh_each_extended(const struct mf_policy_source *policy,
			      void (*fn)(void *ctx, const char *text, size_t len), void *ctx);

/** mf_agentsh_is_name() - Whether a file of that name is read as such a policy: *.yaml, *.yml */
bool mf_agentsh_is_name(const char *name);

/**
 * mf_agentsh_load() - Read and compile a policy
 * @sink: told of everything in the file's order of families; NULL for none
 * Return: 0; MF_E_SYNTAX (no YAML), MF_E_POLICY, MF_E_LIMIT, MF_E_NOMEM with the first place, and as many errors as fit, in @err
 */
int mf_agentsh_load(const struct mf_agentsh_source *source, const struct mf_agentsh_sink *sink,
		    struct mf_agentsh_policy *ret, struct mf_err *err);

/**
 * mf_agentsh_not_enforced() - The families of a policy and those it extends that nobody carries out, as "command_rules, audit"
 * Return: whether there are any; false also for a text that is no such policy
 */
bool mf_agentsh_not_enforced(const struct mf_agentsh_source *source, char *buf, size_t room);

/** mf_agentsh_allows_unasked() - Whether a policy allows what needs an approval where nobody can be asked (P4) */
bool mf_agentsh_allows_unasked(const char *text, size_t len);

/**
 * mf_agentsh_convert() - The same policy as Lua text, with the variables' values as they are now
 * Return: as mf_agentsh_load()
 */
int mf_agentsh_convert(const struct mf_agentsh_source *source, const struct mf_agentsh_sink *sink,
		       struct mf_strbuf *out, struct mf_err *err);

#endif
