/* SPDX-License-Identifier: Apache-2.0 */
/* explain.h - one question to policies, printed with everything that led to its answer */
#ifndef MF_CLI_EXPLAIN_H
#define MF_CLI_EXPLAIN_H

#include <stdbool.h>

#include "cli/policies.h"
#include "cli/question.h"

/** mf_explain_question() - To stdout, as text or JSON; a policy that fails is told of on stderr; Return: an exit status */
int mf_explain_question(const struct mf_policies *p, struct mf_question *q, bool json);

#endif
