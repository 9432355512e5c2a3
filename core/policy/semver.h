/* SPDX-License-Identifier: Apache-2.0 */
/*
 * semver.h - semantic versions (semver.org 2.0.0) and ranges of them
 *
 * A range is one or more comparators with blanks between them, all of which must hold:
 *
 *	1.4.2  =1.4.2        that version
 *	>=1.4 <2  >1.4.2 ... what is left out is 0
 *	^1.4                 1.4.0 and later, before 2.0.0 (^0.3: before 0.4.0; ^0.0.3: before 0.0.4)
 *	~1.4.2               1.4.2 and later, before 1.5.0 (~1: before 2.0.0)
 *	*                    every version
 *
 * A pre-release ("2.0.0-rc.1") is in a range only when a comparator names a pre-release of the same three numbers.
 */
#ifndef MF_POLICY_SEMVER_H
#define MF_POLICY_SEMVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define MF_SEMVER_TEXT_MAX    63  /* bytes of a version */
#define MF_SEMVER_RANGE_MAX   127 /* bytes of a range */
#define MF_SEMVER_RANGE_PARTS 8

struct mf_semver {
	uint32_t major, minor, patch;
	char pre[MF_SEMVER_TEXT_MAX +
		 1]; /* "rc.1"; "" for a release. What stands behind "+" does not count */
};

enum mf_semver_op {
	MF_SEMVER_EQ,
	MF_SEMVER_GE,
	MF_SEMVER_GT,
	MF_SEMVER_LE,
	MF_SEMVER_LT,
	MF_SEMVER_OP_NUM
};

struct mf_semver_range {
	struct {
		enum mf_semver_op op;
		struct mf_semver version;
	} parts[MF_SEMVER_RANGE_PARTS];
	size_t cnt; /* 0: every version */
};

/** mf_semver_parse() - "MAJOR.MINOR.PATCH[-PRE][+BUILD]", whole; Return: 0, MF_E_SYNTAX with the reason */
int mf_semver_parse(const char *text, struct mf_semver *ret, struct mf_err *err);

/** mf_semver_compare() - Below, at or above 0 as @a comes before, with or after @b */
int mf_semver_compare(const struct mf_semver *a, const struct mf_semver *b);

/** mf_semver_range_parse() - Return: 0, MF_E_SYNTAX, MF_E_LIMIT with the reason */
int mf_semver_range_parse(const char *text, struct mf_semver_range *ret, struct mf_err *err);

bool mf_semver_range_has(const struct mf_semver_range *range, const struct mf_semver *version);

#endif
