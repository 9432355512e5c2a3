/* SPDX-License-Identifier: Apache-2.0 */
/* trash_options.c - see trash_options.h */
#include "cli/trash_options.h"

#include <string.h>

#include "cli/trash.h"

#define HASH_MAX (64u << 20)
#define COPY_MAX (1u << 30)

void mf_trash_choice_init(struct mf_trash_choice *c)
{
	*c = (struct mf_trash_choice){ .options.hash_max = HASH_MAX, .options.copy_max = COPY_MAX };
}

static int set_full(const struct mf_usage *usage, struct mf_trash_choice *c, const char *value)
{
	if (strcmp(value, "deny") != 0 && strcmp(value, "delete") != 0)
		return mf_options_wrong(usage, "--trash-full wants deny or delete: '%s'", value);
	c->options.on_full =
		strcmp(value, "delete") == 0 ? MF_TRASH_FULL_DELETE : MF_TRASH_FULL_DENY;
	return 0;
}

int mf_trash_choice_take(const struct mf_usage *usage, struct mf_trash_choice *c,
			 enum mf_trash_option option, const char *value)
{
	struct mf_trash_keep *keep = &c->options.keep;

	switch (option) {
	case MF_TRASH_OPTION_DIR:
		c->options.dir = value;
		return 0;
	case MF_TRASH_OPTION_NONE:
		c->none = true;
		return 0;
	case MF_TRASH_OPTION_HASH:
		if (mf_cmd_trash_size(value, &c->options.hash_max))
			return 0;
		return mf_options_wrong(usage, "--trash-hash wants bytes, as 64M: '%s'", value);
	case MF_TRASH_OPTION_AGE:
		if (mf_cmd_trash_span(value, &keep->age_s))
			return 0;
		return mf_options_wrong(usage, "--trash-age wants a span, as 30d: '%s'", value);
	case MF_TRASH_OPTION_SIZE:
		if (mf_cmd_trash_size(value, &keep->max_bytes))
			return 0;
		return mf_options_wrong(usage, "--trash-size wants bytes, as 5G: '%s'", value);
	case MF_TRASH_OPTION_COUNT:
		if (mf_cmd_trash_count(value, &keep->max_count))
			return 0;
		return mf_options_wrong(usage, "--trash-count wants a number: '%s'", value);
	case MF_TRASH_OPTION_COPY:
		if (mf_cmd_trash_size(value, &c->options.copy_max))
			return 0;
		return mf_options_wrong(usage, "--trash-copy wants bytes, as 1G: '%s'", value);
	case MF_TRASH_OPTION_FULL:
		return set_full(usage, c, value);
	default:
		return mf_options_wrong(usage, "no such option");
	}
}
