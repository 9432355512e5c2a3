/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh_internal.h - what agentsh.c, agentsh_schema.c, agentsh_rule.c and agentsh_lua.c share; see agentsh.h */
#ifndef MF_POLICY_AGENTSH_INTERNAL_H
#define MF_POLICY_AGENTSH_INTERNAL_H

#include "core/policy/agentsh.h"
#include "core/policy/yaml_tree.h"

/* A policy while it is read. */
struct mf_agentsh_doc {
	const struct mf_agentsh_source *source;
	const struct mf_agentsh_sink *sink;
	struct mf_agentsh_doc
		*top; /* itself, or the policy that extends it: what is said is gathered there */
	struct mf_yaml_tree *tree;
	const struct mf_yaml_node *root;
	const char *name;
	struct mf_rules_options options;
	bool star_any;	    /* domain_star: any */
	bool all_variables; /* vars_from_env */
	bool backslash_told;
	/* errors so far, as text for struct mf_err */
	struct mf_strbuf errors;
	size_t error_cnt, dropped;
	bool top_errors;  /* what mf_agentsh_check_top() looked at has errors */
	const char *file; /* of the first */
	unsigned line, column;
	bool no_memory;
	/* agentsh_extends.c */
	struct mf_agentsh_doc **files; /* of @top: all that it extends, each once */
	size_t file_cnt;
	struct mf_agentsh_doc **parents; /* that it names, in order; top's files */
	size_t parent_cnt;
	char *rel;			     /* below the policy's directory */
	char *path;			     /* of one of @files: for messages */
	struct mf_agentsh_source own_source; /* of one of @files */
	bool listed[2];
};

/* Where in the file: "file_rules[3].paths[0]", innermost first. */
struct mf_agentsh_crumb {
	const struct mf_agentsh_crumb *up;
	const char *key; /* NULL: @index */
	size_t index;
};

/** mf_agentsh_say() - Tell the sink; errors also go into the text for struct mf_err */
void mf_agentsh_say(struct mf_agentsh_doc *doc, enum mf_agentsh_level level,
		    const struct mf_yaml_node *node, const struct mf_agentsh_crumb *at,
		    const char *fmt, ...) MF_PRINTF(5, 6);

/* --- agentsh_schema.c ------------------------------------------------------------------------------------------------ */

/**
 * mf_agentsh_check_top() - Keys and types of the whole file but the rules of enforced families; errors are said
 * Also says which families are accepted and not enforced.
 */
void mf_agentsh_check_top(struct mf_agentsh_doc *doc);

/** mf_agentsh_is_accepted_only() - Whether a key of the whole file is one that is checked but not carried out, and has a value */
bool mf_agentsh_is_accepted_only(const struct mf_yaml_node *key, const struct mf_yaml_node *value);

/** mf_agentsh_check_rule() - Keys and types of one rule of an enforced family; Return: whether they are right */
bool mf_agentsh_check_rule(struct mf_agentsh_doc *doc, enum mf_rule_family family,
			   const struct mf_yaml_node *rule, const struct mf_agentsh_crumb *at);

/* Plain true, yes, on ... (YAML 1.1's words, which agentsh takes as well); 1, 0, or -1 for anything else. */
int mf_agentsh_bool(const struct mf_yaml_node *node);

/* --- agentsh_rule.c -------------------------------------------------------------------------------------------------- */

/* One rule as the builder takes it, with the memory of what was expanded. */
struct mf_agentsh_rule {
	struct mf_rule_spec spec;
	const struct mf_yaml_node *node;
	void **owned;
	size_t owned_cnt;
};

/**
 * mf_agentsh_each_rule() - Read every rule of the enforced families that is right so far, in order
 * @fn: the rule is freed after it
 */
void mf_agentsh_each_rule(struct mf_agentsh_doc *doc,
			  void (*fn)(void *ctx, const struct mf_agentsh_rule *rule), void *ctx);

/* --- agentsh_http.c -------------------------------------------------------------------------------------------------- */

/** mf_agentsh_close_services() - The rules by which hosts of http_services are closed to direct connections; before network_rules */
void mf_agentsh_close_services(struct mf_agentsh_doc *doc,
			       void (*fn)(void *ctx, const struct mf_agentsh_rule *rule),
			       void *ctx);

/* --- agentsh_services.c ---------------------------------------------------------------------------------------------- */

/** mf_agentsh_check_services() - Say what is wrong with http_services but for their hosts, which are closed elsewhere */
void mf_agentsh_check_services(struct mf_agentsh_doc *doc);

/* --- agentsh_lint.c -------------------------------------------------------------------------------------------------- */

/** mf_agentsh_doubt() - Tell the sink of what a rule that loads lets through besides what it seems to (P14, P27) */
void mf_agentsh_doubt(struct mf_agentsh_doc *doc, const struct mf_agentsh_rule *rule);

/* --- agentsh_extends.c ----------------------------------------------------------------------------------------------- */

/** mf_agentsh_read_parents() - Read what @top extends, and what that extends; errors are said */
void mf_agentsh_read_parents(struct mf_agentsh_doc *top);
void mf_agentsh_free_parents(struct mf_agentsh_doc *top);

/** mf_agentsh_each_listed() - The rules of a family in the order in which they are asked: @index in the list of @doc */
void mf_agentsh_each_listed(struct mf_agentsh_doc *top, enum mf_rule_family family,
			    void (*fn)(void *ctx, struct mf_agentsh_doc *doc, size_t index),
			    void *ctx);

/** mf_agentsh_file_of() - The one that was read from @file; @top for NULL, and for others */
struct mf_agentsh_doc *mf_agentsh_file_of(struct mf_agentsh_doc *top, const char *file);

/* --- agentsh_feeds.c --------------------------------------------------------------------------------------------------- */

/** mf_agentsh_read_feeds() - threat_feeds of @top and all that it extends; errors are said. NULL: there are none */
struct mf_threat_feeds *mf_agentsh_read_feeds(struct mf_agentsh_doc *top);

/* --- agentsh.c ------------------------------------------------------------------------------------------------------- */

/**
 * mf_agentsh_open() - Read the tree, check it, take the settings, and compile
 * @doc: mf_agentsh_close() in any case
 */
int mf_agentsh_open(struct mf_agentsh_doc *doc, const struct mf_agentsh_source *source,
		    const struct mf_agentsh_sink *sink, struct mf_rules **ret_rules,
		    struct mf_err *err);
void mf_agentsh_close(struct mf_agentsh_doc *doc);

/** mf_agentsh_open_files() - The same without compiling: the trees of a policy and of all that it extends */
int mf_agentsh_open_files(struct mf_agentsh_doc *doc, const struct mf_agentsh_source *source,
			  const struct mf_agentsh_sink *sink, struct mf_err *err);

/** mf_agentsh_read_tree() - One file: its tree, which is checked but for the rules of enforced families, and its settings */
int mf_agentsh_read_tree(struct mf_agentsh_doc *doc, struct mf_err *err);

#endif
