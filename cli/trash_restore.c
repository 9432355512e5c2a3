/* SPDX-License-Identifier: Apache-2.0 */
/* trash_restore.c - moonfence trash restore, moonfence undo */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/trash.h"

enum {
	OPT_TRASH = 1,
	OPT_TO,
	OPT_AT,
	OPT_FORCE,
	OPT_NO_VERIFY,
	OPT_SESSION,
	OPT_SINCE,
	OPT_DRY_RUN,
	OPT_JSON
};

static const struct mf_option restore_options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_TO, 0, "to", "PATH", "restore to this path, or into this directory" },
	{ OPT_AT, 0, "at", "TIME", "of a path: what was there at that time" },
	{ OPT_FORCE, 'f', "force", NULL, "what is there goes to the trash" },
	{ OPT_NO_VERIFY, 0, "no-verify", NULL,
	  "also when its hash is no longer the one that was taken" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage restore_usage = {
	.name = "trash restore",
	.synopsis = "[OPTION]... TOKEN|PATH...",
	.text = "Put entries of the trash back where they were. A path stands for the newest that "
		"was "
		"lost there.\n"
		"Directories that are missing are made, as they were where the trash knows. "
		"Nothing is "
		"overwritten:\n"
		"with --force what is there goes to the trash first. Links in the path are not "
		"followed.\n"
		"TIME is 90s, 30m, 2h, 7d or 2w ago, 2026-11-21, 2026-11-21T22:30:00 in local "
		"time, "
		"or @SECONDS.\n"
		"Exit status: 0 all restored, 1 not all, 2 wrong usage.\n",
	.example = "  moonfence trash restore notes.txt\n"
		   "  moonfence trash restore --at 2h --to /tmp notes.txt\n",
	.options = restore_options,
	.option_cnt = MF_ARRAY_SIZE(restore_options),
};

static const struct mf_option undo_options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_SESSION, 's', "session", "NAME", "what this session lost" },
	{ OPT_SINCE, 0, "since", "TIME", "only what was lost since then" },
	{ OPT_FORCE, 'f', "force", NULL,
	  "also where something new stands in the place of what was deleted" },
	{ OPT_DRY_RUN, 'n', "dry-run", NULL, "only say what would be put back" },
};

static const struct mf_usage undo_usage = {
	.name = "undo",
	.synopsis = "--session NAME [--since TIME] [OPTION]...",
	.text = "Put back what a session deleted, replaced and truncated, the latest first; of a "
		"file "
		"that it lost\n"
		"several times, what it held at first. What stands in the place of replaced and "
		"truncated files\n"
		"goes to the trash, as session 'undo'.\n"
		"TIME is 90s, 30m, 2h, 7d or 2w ago, 2026-11-21, 2026-11-21T22:30:00 in local "
		"time, "
		"or @SECONDS.\n"
		"Exit status: 0 all put back, 1 not all, or there was nothing, 2 wrong usage.\n",
	.example = "  moonfence undo --session build-17 --since 30m\n",
	.options = undo_options,
	.option_cnt = MF_ARRAY_SIZE(undo_options),
};

struct request {
	const char *dir, *session;
	char to[MF_PATH_MAX];
	struct mf_trash_target target;
	uint64_t at_ns, since_ns;
	bool json, dry_run;
};

/* Return: 0, or the exit status of wrong usage. */
static int take_option(const struct mf_usage *usage, struct request *q, int opt, const char *value)
{
	switch (opt) {
	case OPT_TRASH:
		q->dir = value;
		return 0;
	case OPT_TO:
		q->target.to = mf_cmd_trash_path(value, q->to);
		return q->target.to ? 0 : mf_options_wrong(usage, "--to: too long");
	case OPT_AT:
		return mf_cmd_trash_time(value, &q->at_ns)
			       ? 0
			       : mf_options_wrong(usage, "--at: '%s' is no time", value);
	case OPT_SINCE:
		return mf_cmd_trash_time(value, &q->since_ns)
			       ? 0
			       : mf_options_wrong(usage, "--since: '%s' is no time", value);
	case OPT_FORCE:
		q->target.replace = true;
		return 0;
	case OPT_NO_VERIFY:
		q->target.no_verify = true;
		return 0;
	case OPT_SESSION:
		q->session = value;
		return 0;
	case OPT_DRY_RUN:
		q->dry_run = true;
		return 0;
	default:
		q->json = true;
		return 0;
	}
}

struct chosen {
	char what[MF_TRASH_TOKEN_MAX + 256];
};

static int take_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct chosen *c = ctx;

	snprintf(c->what, sizeof(c->what), "%s", *e->token ? e->token : e->file);
	return 0;
}

static int restore_one(struct mf_trash *trash, const struct request *q, const char *operand,
		       struct mf_trash_result *ret, struct mf_err *err)
{
	char path[MF_PATH_MAX];
	struct chosen c;
	const char *what = mf_cmd_trash_what(trash, operand, path);
	int r = what ? mf_trash_find(trash, what, q->at_ns, take_entry, &c, err)
		     : mf_err_set(err, MF_E_INVAL, "The path %s is too long.", operand);

	return r < 0 ? r : mf_trash_restore(trash, c.what, &q->target, ret, err);
}

static void print_restored(const struct mf_trash_result *result)
{
	char line[2 * MF_PATH_MAX];

	printf("%s ", result->was_there ? "There already:" : "Restored");
	mf_output_text(stdout, mf_cmd_trash_line(result->path, line, sizeof(line)));
	printf("\n");
	if (*result->replaced)
		printf("What was there is in the trash: 'moonfence trash restore --force %s'\n",
		       result->replaced);
}

int mf_cmd_trash_restore(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&restore_usage, argc, argv);
	struct request q = { 0 };
	int opt, status, failed = 0;
	struct mf_trash *trash;
	const char *value;
	json_t *list;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&restore_usage, &q, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&restore_usage, "a token or a path is missing");
	trash = mf_cmd_trash_open(q.dir, NULL);
	if (!trash)
		return MF_EXIT_FAULT;
	list = json_array();
	for (int i = 0; i < o.operand_cnt; i++) {
		struct mf_trash_result result = { 0 };
		struct mf_err err = { 0 };

		if (restore_one(trash, &q, o.operands[i], &result, &err) < 0) {
			mf_cmd_trash_fail(&err);
			failed++;
		} else if (q.json) {
			(void)json_array_append_new(
				list, json_pack("{s:o, s:o, s:b}", "path",
						mf_output_json_text(result.path), "replaced",
						mf_output_json_text(
							*result.replaced ? result.replaced : NULL),
						"was_there", result.was_there));
		} else {
			print_restored(&result);
		}
	}
	mf_trash_close(trash);
	status = q.json ? mf_output_json(list) : (json_decref(list), MF_EXIT_GOOD);
	return failed ? MF_EXIT_FAULT : status;
}

static void report(void *ctx, const struct mf_trash_entry *e, const struct mf_err *err)
{
	const struct request *q = ctx;
	char line[2 * MF_PATH_MAX];
	FILE *out = err ? stderr : stdout;

	if (err) {
		mf_cmd_trash_fail(err);
		return;
	}
	fprintf(out, "%s ", q->dry_run ? "Would restore" : "Restored");
	mf_output_text(out, mf_cmd_trash_line(e->path, line, sizeof(line)));
	fprintf(out, " (%s)\n", mf_trash_op_names[e->op]);
}

int mf_cmd_undo(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&undo_usage, argc, argv);
	struct request q = { 0 };
	struct mf_trash_undo undo;
	struct mf_trash_undone undone;
	struct mf_trash *trash;
	struct mf_err err = { 0 };
	const char *value;
	int opt, r, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&undo_usage, &q, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt > 0)
		return mf_options_wrong(&undo_usage, "unexpected operand '%s'", o.operands[0]);
	if (!q.session)
		return mf_options_wrong(&undo_usage, "--session is missing");
	trash = mf_cmd_trash_open(q.dir, NULL);
	if (!trash)
		return MF_EXIT_FAULT;
	undo = (struct mf_trash_undo){ .session = q.session,
				       .since_ns = q.since_ns,
				       .replace = q.target.replace,
				       .dry_run = q.dry_run,
				       .report = report,
				       .ctx = &q };
	r = mf_trash_undo(trash, &undo, &undone, &err);
	mf_trash_close(trash);
	if (r < 0)
		return mf_cmd_trash_fail(&err);
	if (undone.own)
		printf("%llu that the session had made itself stay in the trash\n",
		       (unsigned long long)undone.own);
	if (undone.restored + undone.failed + undone.own == 0)
		fprintf(stderr, "moonfence: the trash has nothing of this session\n");
	else if (undone.restored + undone.failed > 0)
		printf("%llu put back, %llu not\n", (unsigned long long)undone.restored,
		       (unsigned long long)undone.failed);
	return undone.failed || !(undone.restored + undone.own) ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}
