/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_diff.h - how two texts differ, as `diff -u` tells it, for systems that come without
 *
 * Myers' greedy algorithm on hashed lines, after what both begin and end with is left out. Texts that differ in more than
 * MF_LINE_DIFF_STEPS lines are told as one change from the first difference to the last: right, but not the shortest.
 */
#ifndef MF_BASE_LINE_DIFF_H
#define MF_BASE_LINE_DIFF_H

#include <stdio.h>

#include "core/base/span.h"

#define MF_LINE_DIFF_STEPS   1500 /* 9 MiB of memory at most */
#define MF_LINE_DIFF_CONTEXT 3	  /* lines around a change */

/**
 * mf_line_diff() - Write what makes @new_text of @old_text to @out
 * What has a zero byte in its first 8,192 bytes is no text: that they differ is all that is said. Cost: O((n + m) d).
 * Return: 0: they are equal, nothing is written; 1; MF_E_NOMEM; MF_E_LIMIT: more than 2^30 lines or bytes
 */
int mf_line_diff(struct mf_span old_text, const char *old_label, struct mf_span new_text,
		 const char *new_label, FILE *out);

#endif
