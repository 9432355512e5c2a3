/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - declarative rules of one policy, compiled so that cost does not grow with their number
 *
 * Families (agentsh's names, fields, order and meaning): network_rules, dns_redirects, connect_redirects, file_rules.
 * First match by position wins within a family; docs/rules.md says how families combine.
 *
 * Two ways in: a policy's Lua table (mf_rules_from_lua()), or rule by rule from C (mf_rules_builder), which is what the
 * Lua reader and every other file format stand on. Both report all errors of a policy together.
 */
#ifndef MF_POLICY_RULES_H
#define MF_POLICY_RULES_H

#include <lua.h>

#include "core/base/printf.h"
#include "core/match/port_set.h"
#include "core/policy/outcome.h"
#include "core/policy/sandbox.h"

struct mf_rules;

enum mf_rule_family {
	MF_NETWORK_RULES,
	MF_DNS_REDIRECTS,
	MF_CONNECT_REDIRECTS,
	MF_FILE_RULES,
	MF_RULE_FAMILY_NUM
};

/* The operations that file_rules know, NULL at the end. */
extern const char *const mf_rules_op_words[];

/** mf_rules_is_key() - Whether @key of a policy's table belongs to the declarative part (families and their settings) */
bool mf_rules_is_key(const char *key);

struct mf_rule_spec;
struct mf_rules_options;

/* Told of what is compiled, before it is asked anything: for tools that look at rules as they were written. */
struct mf_rule_observer {
	/* The rules that follow are of this policy. */
	void (*policy)(void *ctx, const struct mf_rules_options *options);
	/* A rule without errors, in order; @spec is borrowed for the call. */
	void (*rule)(void *ctx, const struct mf_rule_spec *spec);
	void *ctx;
};

/**
 * mf_rules_from_lua() - Read the declarative families from a policy's table at @idx
 * @policy: its name
 * @chunk:  its source, for messages and provenance: lines are found by reading the text
 * @observer: NULL for none
 * Raises nothing. Return: 0 with *ret_rules NULL when there are none; MF_E_NOMEM; MF_E_POLICY with every error of the
 * table in @err (as many as fit), each naming policy, family, index, rule name, field and what was expected.
 */
int mf_rules_from_lua(lua_State *L, int idx, const char *policy,
		      const struct mf_sandbox_source *chunk,
		      const struct mf_rule_observer *observer, struct mf_rules **ret_rules,
		      struct mf_err *err);
void mf_rules_free(struct mf_rules *rules);

/** mf_rules_fields() - Mask of the fields that evaluation can read for @kind: they belong into the memo key */
uint64_t mf_rules_fields(const struct mf_rules *rules, enum mf_kind kind);

/**
 * mf_rules_ask() - The first matching rule's outcome
 * @ret: borrowed from @rules until the next call; NULL when no rule matched
 * Return: 0, or MF_E_LIMIT when a regex hit its match limit (the policy's fail mode decides), MF_E_NOMEM
 */
int mf_rules_ask(struct mf_rules *rules, struct mf_request *req, struct mf_outcome **ret);

/** mf_rules_is_default() - Whether an answer of mf_rules_ask() is no rule's own but follows from them: a hook may know better */
bool mf_rules_is_default(const struct mf_rules *rules, const struct mf_outcome *answer);

size_t mf_rules_count(const struct mf_rules *rules);

/** mf_rules_name() - Rule @i of all families in order, as in mf_decision.rule: "dns_redirects[2] npm-mirror" */
const char *mf_rules_name(const struct mf_rules *rules, size_t i);
/** mf_rules_file() - The file that it stands in; NULL: the policy's own */
const char *mf_rules_file(const struct mf_rules *rules, size_t i);
/** mf_rules_line() - Where it stands; 0: not known */
unsigned mf_rules_line(const struct mf_rules *rules, size_t i);

/* --- building without Lua --------------------------------------------------------------------------------------- */

enum mf_rule_match { MF_MATCH_GLOB, MF_MATCH_REGEX, MF_MATCH_SEARCH, MF_RULE_MATCH_NUM };
/* What a dns question gets that no network rule matched (docs/rules.md). */
enum mf_dns_default { MF_DNS_RESOLVE_KNOWN, MF_DNS_ALLOW, MF_DNS_DENY, MF_DNS_DEFAULT_NUM };
/* What a question gets that neither the rules nor the functions of a policy decided. */
enum mf_policy_default {
	MF_DEFAULT_NONE, /* no opinion: the next policy is asked */
	MF_DEFAULT_DENY,
	MF_DEFAULT_ALLOW_READS, /* file: what only looks is allowed, the rest denied */
	MF_POLICY_DEFAULT_NUM
};

struct mf_rule_list {
	const char *const *items; /* NULL with cnt 0: the field is not there */
	size_t cnt;
	bool present; /* an empty list that is there never matches */
};

/* One rule as text, borrowed for mf_rules_builder_add(). NULL or 0 is "not there". */
struct mf_rule_spec {
	enum mf_rule_family family;
	const char *list; /* where it stands, for messages; NULL: in the list of its family */
	unsigned index;	  /* as it stands in messages */
	unsigned line;
	const char *file; /* NULL: that of the options */
	const char *name, *message, *timeout, *decision;
	enum mf_rule_match mode;     /* of match */
	const char *match;	     /* redirects */
	struct mf_rule_list domains; /* network */
	struct mf_rule_list cidrs;
	struct mf_rule_list paths; /* file */
	struct mf_rule_list operations;
	const struct mf_port_range *ports;
	size_t port_cnt;
	bool has_ports;
	const char *resolve_to, *resolve_to6;
	const char *redirect_to, *redirect_to_unix;
	const char *tls_mode, *tls_sni;
	const char *visibility, *on_failure;
	bool preserve_tree;
	bool trusted;	/* redirect_target_policy = "trusted" for this rule */
	uint32_t ttl_s; /* dns_redirects: 0 for 60 */
};

struct mf_rules_builder;
struct mf_threat_feeds; /* threat_feed.h */

struct mf_rules_options {
	const char *policy, *file;
	bool agentsh;	    /* as in agentsh's own files: names of redirects are required */
	bool gobwas;	    /* globs as agentsh's library reads them (glob.h) */
	bool trust_targets; /* redirect_target_policy = "trusted" */
	enum mf_dns_default dns_default;
	enum mf_policy_default network_default, file_default;
	/* approve_without_channel, redirect_unsupported = "allow": where nobody can be asked, or traffic not be redirected (P4) */
	bool ask_else_allow, redirect_else_allow;
	/* redirect_other_types = "forward": what no address answers is asked of the resolvers (P73) */
	bool other_types_forward;
	const struct mf_rule_observer *observer; /* NULL for none */
	/*
	 * Where each error goes instead of into the text of mf_rules_builder_finish(), which then fails with MF_E_POLICY alone.
	 * @field: the key that it is about, or NULL; @item: position in that key's list, SIZE_MAX for none
	 */
	void (*report)(void *ctx, const struct mf_rule_spec *spec, const char *field, size_t item,
		       const char *text);
	void *report_ctx;
};

int mf_rules_builder_new(const struct mf_rules_options *options, struct mf_rules_builder **ret_b);
/** mf_rules_builder_add() - Check and compile one rule; its errors are gathered */
void mf_rules_builder_add(struct mf_rules_builder *b, const struct mf_rule_spec *spec);
/** mf_rules_builder_error() - Note an error that the caller found; @index 0 for an error of the whole family */
void mf_rules_builder_error(struct mf_rules_builder *b, enum mf_rule_family family, unsigned index,
			    const char *name, unsigned line, const char *fmt, ...) MF_PRINTF(6, 7);
/** mf_rules_builder_take_feeds() - Names that are denied or told of before any rule (threat_feed.h); @b's from now on, may be NULL */
void mf_rules_builder_take_feeds(struct mf_rules_builder *b, struct mf_threat_feeds *feeds);
/** mf_rules_builder_finish() - The rules, or every error; ends @b in both cases; *ret_rules NULL when none were added */
int mf_rules_builder_finish(struct mf_rules_builder *b, struct mf_rules **ret_rules,
			    struct mf_err *err);

const char *mf_rule_family_name(enum mf_rule_family family);

/** mf_rules_default() - What @kind gets that this policy did not decide otherwise; MF_DEFAULT_NONE without @rules */
enum mf_policy_default mf_rules_default(const struct mf_rules *rules, enum mf_kind kind);

/** mf_rules_is_duration() - Whether @text is one: "300ms", "1h30m", "7d", "0" */
bool mf_rules_is_duration(const char *text);

/** mf_rules_duration_ms() - Milliseconds of one, at least 1 but for "0"; -1: it is none */
int64_t mf_rules_duration_ms(const char *text);

#define MF_ASK_TIMEOUT_MAX_MS 86400000 /* no answer is waited for longer than a day */
/** mf_rules_ask_ms() - What a timeout of so many milliseconds is for a request that waits; 0: none is given */
uint32_t mf_rules_ask_ms(int64_t ms);

#endif
