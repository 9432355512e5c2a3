/* SPDX-License-Identifier: Apache-2.0 */
/* trash_purge.c - moonfence trash purge */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/trash.h"

enum {
	OPT_TRASH = 1,
	OPT_OLDER,
	OPT_KEEP,
	OPT_SIZE,
	OPT_COUNT,
	OPT_SESSION,
	OPT_ALL,
	OPT_FOREIGN,
	OPT_DRY_RUN,
	OPT_JSON
};

static const struct mf_option options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_OLDER, 0, "older-than", "SPAN", "what was lost longer ago: 90s, 30m, 12h, 7d, 2w" },
	{ OPT_SIZE, 0, "max-size", "SIZE", "the oldest until all take no more: 500M, 5G" },
	{ OPT_COUNT, 0, "max-count", "N", "the oldest until there are no more than N" },
	{ OPT_KEEP, 0, "keep-last", "N", "never the newest N; alone: all others" },
	{ OPT_SESSION, 's', "session", "NAME", "only of this session; without a limit: all of it" },
	{ OPT_ALL, 0, "all", NULL, "everything" },
	{ OPT_FOREIGN, 0, "foreign", NULL, "count and purge also what other programs put there" },
	{ OPT_DRY_RUN, 'n', "dry-run", NULL, "only say what would be purged" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "trash purge",
	.synopsis = "[OPTION]... [TOKEN]...",
	.text = "Delete entries of the trash for good: those that are named, or the oldest as the "
		"limits "
		"say.\n"
		"Exit status: 0 done, 1 not all could be deleted, 2 wrong usage.\n",
	.example = "  moonfence trash purge --older-than 30d --keep-last 100\n"
		   "  moonfence trash purge --max-size 5G --dry-run\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct request {
	const char *dir;
	struct mf_trash_purge purge;
	json_t *json; /* NULL: text */
};

/* Return: 0, or the exit status of wrong usage. */
static int take_option(struct request *q, int opt, const char *value)
{
	struct mf_trash_purge *p = &q->purge;
	bool ok = true;

	switch (opt) {
	case OPT_TRASH:
		q->dir = value;
		break;
	case OPT_OLDER:
		ok = mf_cmd_trash_span(value, &p->keep.age_s) && p->keep.age_s > 0;
		break;
	case OPT_SIZE:
		ok = mf_cmd_trash_size(value, &p->keep.max_bytes) && p->keep.max_bytes > 0;
		break;
	case OPT_COUNT:
		ok = mf_cmd_trash_count(value, &p->keep.max_count) && p->keep.max_count > 0;
		break;
	case OPT_KEEP:
		ok = mf_cmd_trash_count(value, &p->keep.keep_last) && p->keep.keep_last > 0;
		break;
	case OPT_SESSION:
		p->session = value;
		break;
	case OPT_ALL:
		p->all = true;
		break;
	case OPT_FOREIGN:
		p->foreign = true;
		break;
	case OPT_DRY_RUN:
		p->dry_run = true;
		break;
	default:
		if (!q->json)
			q->json = json_array();
	}
	return ok ? 0 : mf_options_wrong(&usage, "'%s' is no such value", value);
}

static int report(void *ctx, const struct mf_trash_entry *e)
{
	const struct request *q = ctx;
	char line[2 * MF_PATH_MAX];

	if (q->json) {
		(void)json_array_append_new(q->json, mf_cmd_trash_json(e));
		return 0;
	}
	printf("%s ", q->purge.dry_run ? "Would purge" : "Purged");
	mf_output_text(stdout, mf_cmd_trash_line(e->path, line, sizeof(line)));
	printf("\n");
	return 0;
}

static int purge(struct mf_trash *trash, struct request *q, char **tokens, int token_cnt)
{
	unsigned long long count = 0, bytes = 0;
	struct mf_err err = { 0 };
	int failed = 0;

	for (int i = 0; i < token_cnt || (i == 0 && token_cnt == 0); i++) {
		struct mf_trash_purged done;

		if (token_cnt > 0)
			q->purge.token = tokens[i];
		if (mf_trash_purge(trash, &q->purge, &done, &err) < 0) {
			mf_cmd_trash_fail(&err);
			failed++;
		} else if (token_cnt > 0 && done.count == 0) {
			fprintf(stderr, "moonfence: there is no %s in the trash\n", tokens[i]);
			failed++;
		}
		count += done.count;
		bytes += done.bytes;
	}
	if (!q->json)
		printf("%llu %s, %llu bytes\n", count,
		       q->purge.dry_run ? "would be purged" : "purged", bytes);
	return failed ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}

int mf_cmd_trash_purge(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct request q = { .purge = { .report = report } };
	const struct mf_trash_keep *k = &q.purge.keep;
	int opt, status = 0, printed;
	struct mf_trash *trash;
	const char *value;
	bool missing;

	q.purge.ctx = &q;
	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&q, opt, value);
		if (status)
			goto out;
	}
	status = o.status;
	if (opt < 0)
		goto out;
	if (o.operand_cnt == 0 && !k->age_s && !k->max_bytes && !k->max_count && !k->keep_last &&
	    !q.purge.session && !q.purge.all) {
		status = mf_options_wrong(&usage, "say what: a token, a limit, --session or --all");
		goto out;
	}
	trash = mf_cmd_trash_open(q.dir, &missing);
	status = MF_EXIT_FAULT;
	if (trash)
		status = purge(trash, &q, o.operands, o.operand_cnt);
	else if (missing)
		status = MF_EXIT_GOOD;
	mf_trash_close(trash);
out:
	if (q.json && status != MF_EXIT_USAGE) {
		printed = mf_output_json(q.json);
		return status ? status : printed;
	}
	json_decref(q.json);
	return status;
}
