/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_check.h - one rule while it is checked and compiled: what the families' checks (rules_network.c, rules_redirect.c,
 * rules_file.c) share with the builder (rules.c)
 */
#ifndef MF_POLICY_RULES_CHECK_H
#define MF_POLICY_RULES_CHECK_H

#include <stdarg.h>

#include "core/base/strbuf.h"
#include "core/policy/rules_internal.h"

struct mf_rules_builder {
	struct mf_rules *rules;
	bool agentsh, trust_targets;
	const struct mf_rule_observer *observer;
	void (*report)(void *ctx, const struct mf_rule_spec *spec, const char *field, size_t item,
		       const char *text);
	void *report_ctx;
	struct mf_strbuf text; /* errors, with "; " between them */
	unsigned error_cnt, dropped, first_line;
	int code;	 /* MF_E_POLICY, or MF_E_NOMEM and MF_E_LIMIT, which end everything */
	bool *untrusted; /* by rule: its target must be allowed */
};

/* Where an error lies, for mf_rules_options.report. */
struct mf_rule_place {
	const struct mf_rule_spec *spec;
	const char *field; /* NULL: the rule as a whole */
	size_t item;	   /* SIZE_MAX: none */
};

struct mf_rule_check {
	struct mf_rules_builder *b;
	const struct mf_rule_spec *spec;
	struct rule *rule;
	uint32_t id;
	const char *label;
	/* What is being looked at; NULL, SIZE_MAX: the rule as a whole */
	const char *field;
	size_t item;
};

/** mf_rule_note_error() - Report an error, or gather its text; @label: the rule as messages name it (rules.c) */
void mf_rule_note_error(struct mf_rules_builder *b, const char *label,
			const struct mf_rule_place *at, const char *fmt, va_list ap)
	MF_PRINTF(4, 0);

/** mf_rule_look_at() - What the next errors are about: a key of the rule, and SIZE_MAX or a position in its list */
void mf_rule_look_at(struct mf_rule_check *c, const char *field, size_t item);
void mf_rule_wrong(const struct mf_rule_check *c, const char *fmt, ...) MF_PRINTF(2, 3);
void mf_rule_wrong_memory(const struct mf_rule_check *c);
/** mf_rule_wrong_pattern() - What a matcher refused, with the field and pattern it was about */
void mf_rule_wrong_pattern(const struct mf_rule_check *c, const char *what, const char *pattern,
			   int code, const struct mf_err *why);
/** mf_rule_refuses_variable() - An error where @text holds ${...}, which is not expanded here */
bool mf_rule_refuses_variable(const struct mf_rule_check *c, const char *field, const char *text);

/** mf_rule_copy_text() - NULL for NULL, and without memory (noted) */
char *mf_rule_copy_text(const struct mf_rule_check *c, const char *text);
/** mf_rule_take_word() - Position of @word in @words, or -1 with an error that lists them */
int mf_rule_take_word(const struct mf_rule_check *c, const char *field, const char *word,
		      const char *const *words);
/** mf_rule_check_common() - What every family has: timeout, visibility, on_failure, message */
void mf_rule_check_common(struct mf_rule_check *c);
/** mf_rule_check_decision() - P3: an unknown word is refused when it is loaded, not when it fires */
void mf_rule_check_decision(struct mf_rule_check *c);

/* One of each family. */
void mf_rule_check_network(struct mf_rule_check *c);
void mf_rule_check_dns_redirect(struct mf_rule_check *c);
void mf_rule_check_connect_redirect(struct mf_rule_check *c);
void mf_rule_check_file(struct mf_rule_check *c);

#endif
