/* SPDX-License-Identifier: Apache-2.0 */
/* plain_regex.h - regular expressions that are plain names in disguise: "(^|\.)example\.com$", "^(a|b)\.example:443$" */
#ifndef MF_POLICY_PLAIN_REGEX_H
#define MF_POLICY_PLAIN_REGEX_H

#include <stdbool.h>
#include <stddef.h>

struct mf_plain_name {
	const char *name; /* canonical, NUL-terminated */
	size_t len;
	int port;	  /* MF_PORT_ANY for expressions over names */
	bool self, below; /* the name itself matches, names below it match */
};

/**
 * mf_plain_regex_each() - Call @each for every name that an expression stands for, if it stands for names and nothing else
 * @full:      it must match the whole text; otherwise it is searched
 * @with_port: the text is "name:port"
 * Return: 0; 1 when it does not; MF_E_NOMEM; what @each returned if that was not 0
 */
int mf_plain_regex_each(const char *pattern, size_t len, bool full, bool with_port,
			int (*each)(void *ctx, const struct mf_plain_name *name), void *ctx);

#endif
