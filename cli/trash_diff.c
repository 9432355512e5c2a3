/* SPDX-License-Identifier: Apache-2.0 */
/* trash_diff.c - moonfence trash diff: what is kept of a file beside what is there now */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/trash.h"
#include "cli/trash_diff.h"

enum { OPT_TRASH = 1, OPT_AT };

static const struct mf_option options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_AT, 0, "at", "TIME", "of a path: what was there at that time" },
};

static const struct mf_usage usage = {
	.name = "trash diff",
	.synopsis = "[OPTION]... TOKEN|PATH",
	.text = "Show what differs between a file in the trash and the one in its place now, as "
		"'diff -u' "
		"does, which\n"
		"must be installed but on Windows. Where nothing is there now, all of it differs.\n"
		"Exit status: 0 equal, 1 they differ, 2 trouble or wrong usage.\n",
	.example = "  moonfence trash diff notes.txt\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct chosen {
	char what[MF_TRASH_TOKEN_MAX + 256], path[MF_PATH_MAX];
};

static int take_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct chosen *c = ctx;

	snprintf(c->what, sizeof(c->what), "%s", *e->token ? e->token : e->file);
	snprintf(c->path, sizeof(c->path), "%s", e->path);
	return 0;
}

static int diff(const char *dir, const char *operand, uint64_t at_ns)
{
	struct mf_trash *trash = mf_cmd_trash_open(dir, NULL);
	struct mf_err err = { 0 };
	char path[MF_PATH_MAX];
	struct chosen c;
	const char *what;
	int fd, r;

	if (!trash)
		return MF_EXIT_USAGE;
	what = mf_cmd_trash_what(trash, operand, path);
	r = what ? mf_trash_find(trash, what, at_ns, take_entry, &c, &err)
		 : mf_err_set(&err, MF_E_INVAL, "The path is too long.");
	fd = r < 0 ? r : mf_trash_open_payload(trash, c.what, &err);
	mf_trash_close(trash);
	r = fd < 0 ? fd : mf_trash_diff_run(fd, c.path, &err);
	if (r < 0)
		mf_cmd_trash_fail(&err);
	return r < 0 ? MF_EXIT_USAGE : r;
}

int mf_cmd_trash_diff(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value, *dir = NULL;
	uint64_t at_ns = 0;
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_TRASH)
			dir = value;
		else if (!mf_cmd_trash_time(value, &at_ns))
			return mf_options_wrong(&usage, "--at: '%s' is no time", value);
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1)
		return mf_options_wrong(&usage, "one token or path");
	return diff(dir, o.operands[0], at_ns);
}
