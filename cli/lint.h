/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lint.h - mistakes that can be seen in a policy's text, before any question is asked
 *
 * How it works
 *
 * Loading finds what is wrong while the policy's chunk runs. What stands inside hooks runs only when a question comes;
 * these checks read it as tokens and report what would fail with certainty: a name that is defined nowhere, a field or
 * predicate that the hook's requests do not have, a verdict that its kind cannot carry. Wherever the text leaves a doubt
 * (a name is declared again, a field is computed) nothing is said: no false alarms, and no promise to find everything.
 * What of a decision cannot be cached is a note. Rules that are never reached are found by shadow.h; here is where they stand.
 */
#ifndef MF_CLI_LINT_H
#define MF_CLI_LINT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/policy/rules.h"

enum mf_lint_level {
	MF_LINT_ERROR,
	MF_LINT_WARNING, /* it works, and probably does not mean what was meant */
	MF_LINT_NOTE,
	MF_LINT_LEVEL_NUM
};

struct mf_lint_sink {
	/* @hint: what to do instead; "" if there is nothing to say */
	void (*problem)(void *ctx, enum mf_lint_level level, unsigned line, unsigned column,
			const char *message, const char *hint);
	void *ctx;
};

/** mf_lint_policy() - Check one policy's text; Return: 0, MF_E_NOMEM */
int mf_lint_policy(const char *text, size_t len, const struct mf_lint_sink *sink);

/** mf_lint_test() - The same for a file of tests: only names that are defined nowhere */
int mf_lint_test(const char *text, size_t len, const struct mf_lint_sink *sink);

/* A policy's text, for finding out where something stands. */
struct mf_lint_text;

/** mf_lint_text_new() - @text is borrowed until mf_lint_text_free(); NULL without memory */
struct mf_lint_text *mf_lint_text_new(const char *text, size_t len);
void mf_lint_text_free(struct mf_lint_text *t);

/** mf_lint_find_hook() - Where the policy's table names a hook; false: not in plain words */
bool mf_lint_find_hook(const struct mf_lint_text *t, enum mf_kind kind, unsigned *ret_line,
		       unsigned *ret_column);

/**
 * mf_lint_find_rule() - Where rule @index (from 1) stands, or a field of it (NULL: the rule), or an entry of that (SIZE_MAX: all)
 * Return: false when the family is not written as one table
 */
bool mf_lint_find_rule(const struct mf_lint_text *t, enum mf_rule_family family, unsigned index,
		       const char *field, size_t item, unsigned *ret_line, unsigned *ret_column);

#endif
