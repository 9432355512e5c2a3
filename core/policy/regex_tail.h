/* SPDX-License-Identifier: Apache-2.0 */
/* regex_tail.h - the text that everything an expression matches surely ends with: ".example.com" of "^api-[0-9]+\.example\.com$" */
#ifndef MF_POLICY_REGEX_TAIL_H
#define MF_POLICY_REGEX_TAIL_H

#include <stdbool.h>
#include <stddef.h>

/**
 * mf_regex_tail() - Read it off an expression of RE2's syntax; what is not understood surely has none
 * @full: it must match the whole text; otherwise it is searched, and has a tail only where it ends in $
 * @buf:  the tail in lower case, NUL-terminated; where it does not fit its end
 * Subjects are lower-case ASCII: names, addresses, ports.
 * Return: its length; 0: none
 */
size_t mf_regex_tail(const char *pattern, size_t len, bool full, char *buf, size_t room);

#endif
