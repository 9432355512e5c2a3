/* SPDX-License-Identifier: Apache-2.0 */
/* approval_options.c - see approval_options.h */
#include "cli/approval_options.h"

#include <string.h>

static bool is_word(const char *at, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(at, word, len) == 0;
}

int mf_approval_options_take(const struct mf_usage *usage, struct mf_approval_options *o,
			     const char *value, bool has_terminal)
{
	*o = (struct mf_approval_options){ 0 };
	if (strcmp(value, "off") == 0)
		return 0;
	for (const char *at = value;; at++) {
		size_t len = strcspn(at, ",");

		if (has_terminal && is_word(at, len, "terminal"))
			o->terminal = true;
		else if (is_word(at, len, "control"))
			o->control = true;
		else
			return mf_options_wrong(usage,
						"--approvals knows %s'control' and 'off', not '%s'",
						has_terminal ? "'terminal', " : "", value);
		at += len;
		if (!*at)
			return 0;
	}
}
