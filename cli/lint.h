/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lint.h - mistakes that can be seen in a policy's text, before any question is asked
 *
 * How it works
 *
 * Loading finds what is wrong while the policy's chunk runs. What stands inside hooks runs only when a question comes;
 * these checks read it as tokens and report what would fail with certainty: a name that is defined nowhere, a field or
 * predicate that the hook's requests do not have, a verdict that its kind cannot carry, a rule behind one that takes
 * everything which it could match. Wherever the text leaves a doubt
 * (a name is declared again, a field is computed) nothing is said: no false alarms, and no promise to find everything.
 */
#ifndef MF_CLI_LINT_H
#define MF_CLI_LINT_H

#include <stddef.h>

struct mf_lint_sink {
	/* @hint: what to do instead; "" if there is nothing to say */
	void (*problem)(void *ctx, unsigned line, unsigned column, const char *message,
			const char *hint);
	void *ctx;
};

/** mf_lint_policy() - Check one policy's text; Return: 0, MF_E_NOMEM */
int mf_lint_policy(const char *text, size_t len, const struct mf_lint_sink *sink);

/** mf_lint_test() - The same for a file of tests: only names that are defined nowhere */
int mf_lint_test(const char *text, size_t len, const struct mf_lint_sink *sink);

#endif
