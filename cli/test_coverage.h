/* SPDX-License-Identifier: Apache-2.0 */
/* test_coverage.h - lines and rules that tests reached, as a table, as lcov's tracefile, and as a page of HTML */
#ifndef MF_CLI_TEST_COVERAGE_H
#define MF_CLI_TEST_COVERAGE_H

#include "core/policy/testrun.h"

/** mf_coverage_tidy() - Drop lines on which there is nothing to reach; once, before the others */
void mf_coverage_tidy(struct mf_test_report *report);

void mf_coverage_print(const struct mf_test_report *report);

/**
 * mf_coverage_write_lcov() - A tracefile as geninfo(1) describes it: genhtml and editors read it
 * Rules count as functions, and their lines as lines. Return: 0; MF_E_IO, MF_E_NOMEM with @err
 */
int mf_coverage_write_lcov(const struct mf_test_report *report, const char *path,
			   struct mf_err *err);

/** mf_coverage_write_html() - One file without anything from elsewhere; Return: 0; MF_E_IO, MF_E_NOMEM with @err */
int mf_coverage_write_html(const struct mf_test_report *report, const char *path,
			   struct mf_err *err);

#endif
