/* SPDX-License-Identifier: Apache-2.0 */
/* label_options.h - --label KEY=VALUE, which policies read as session.labels.KEY */
#ifndef MF_CLI_LABEL_OPTIONS_H
#define MF_CLI_LABEL_OPTIONS_H

#include "cli/options.h"
#include "core/policy/session.h"

#define MF_LABEL_OPTIONS_MAX 32 /* MF_REQUEST_LABEL_MAX */

#define MF_LABEL_OPTION_HELP "session.labels.KEY for policies; may be repeated"

/* All zero: none yet. */
struct mf_label_options {
	struct mf_session_label rows[MF_LABEL_OPTIONS_MAX];
	char *texts[MF_LABEL_OPTIONS_MAX]; /* "KEY\0VALUE" */
	size_t cnt;
};

/** mf_label_options_add() - The value of one option; Return: 0, or the exit status of wrong usage, which was reported */
int mf_label_options_add(const struct mf_usage *usage, struct mf_label_options *labels,
			 const char *value);

void mf_label_options_done(struct mf_label_options *labels);

#endif
