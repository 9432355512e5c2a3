/* SPDX-License-Identifier: Apache-2.0 */
/* label_options.c - see label_options.h */
#include "cli/label_options.h"

#include <stdlib.h>
#include <string.h>

int mf_label_options_add(const struct mf_usage *usage, struct mf_label_options *l,
			 const char *value)
{
	char *copy = strdup(value), *eq = copy ? strchr(copy, '=') : NULL;

	if (!eq || eq == copy || l->cnt == MF_LABEL_OPTIONS_MAX) {
		free(copy);
		return mf_options_wrong(usage, "--label wants KEY=VALUE, at most %d times: '%s'",
					MF_LABEL_OPTIONS_MAX, value);
	}
	*eq = '\0';
	l->texts[l->cnt] = copy;
	l->rows[l->cnt++] = (struct mf_session_label){ copy, eq + 1 };
	return 0;
}

void mf_label_options_done(struct mf_label_options *l)
{
	while (l->cnt)
		free(l->texts[--l->cnt]);
}
