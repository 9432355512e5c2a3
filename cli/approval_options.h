/* SPDX-License-Identifier: Apache-2.0 */
/* approval_options.h - the option --approvals of commands that serve under policies: where questions are put */
#ifndef MF_CLI_APPROVAL_OPTIONS_H
#define MF_CLI_APPROVAL_OPTIONS_H

#include "cli/options.h"

/* Of those that have no terminal of their own to ask at */
#define MF_APPROVALS_OPTION_HELP                                                                \
	"what a policy wants to be approved waits for an answer by 'moonfence approvals': "     \
	"control; off: it is denied (default). Programs of the same user could answer theirs, " \
	"too"

struct mf_approval_options {
	bool terminal, control;
};

/**
 * mf_approval_options_take() - @value: "control", with @has_terminal also "terminal", or both with a comma between them; "off"
 * Return: 0, or the exit status of a usage error that was told
 */
int mf_approval_options_take(const struct mf_usage *usage, struct mf_approval_options *o,
			     const char *value, bool has_terminal);

#endif
