/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_golden.h - explanations that stand in files: answer:explains_as "NAME" is compared with NAME.golden beside the test
 *
 * What stands there is what a person would want to see change: verdict, rule, what was read and asked on the way, and whether
 * the next such question enters Lua. Lines of the policy, times and costs are left out, since they change with every edit.
 */
#ifndef MF_CLI_TEST_GOLDEN_H
#define MF_CLI_TEST_GOLDEN_H

#include "core/policy/testrun.h"

struct mf_golden {
	bool update; /* write files instead of comparing */
	size_t written;
};

/** mf_golden_explained() - For mf_test_report.explained; @ctx: struct mf_golden */
bool mf_golden_explained(void *ctx, const struct mf_test_explained *e, struct mf_strbuf *why);

#endif
