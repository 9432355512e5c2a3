/* SPDX-License-Identifier: Apache-2.0 */
/* trash_list.c - moonfence trash list, moonfence trash show */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/trash.h"

enum { OPT_TRASH = 1, OPT_SESSION, OPT_SINCE, OPT_PATH, OPT_JSON, OPT_AT };

static const struct mf_option list_options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_SESSION, 's', "session", "NAME", "only what this session lost" },
	{ OPT_SINCE, 0, "since", "TIME", "only what was lost since then" },
	{ OPT_PATH, 'p', "path", "GLOB",
	  "only these original paths; relative to the working directory" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage list_usage = {
	.name = "trash list",
	.synopsis = "[OPTION]...",
	.text = "List what is in the trash, the oldest first. What other programs put there comes "
		"last, by its name\n"
		"in files/ in place of a token.\n"
		"TIME is 90s, 30m, 2h, 7d or 2w ago, 2026-11-21, 2026-11-21T22:30:00 in local "
		"time, "
		"or @SECONDS.\n"
		"Exit status: 0 good, 1 the trash cannot be read, 2 wrong usage.\n",
	.example = "  moonfence trash list --since 2h --path 'src/**'\n",
	.options = list_options,
	.option_cnt = MF_ARRAY_SIZE(list_options),
};

static const struct mf_option show_options[] = {
	{ OPT_TRASH, 't', "trash", "DIR", "the trash (default: that of the working directory)" },
	{ OPT_AT, 0, "at", "TIME", "of a path: what was there at that time" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage show_usage = {
	.name = "trash show",
	.synopsis = "[OPTION]... TOKEN|PATH",
	.text = "Show all that is known about one entry of the trash. A path stands for the newest "
		"that was lost\n"
		"there.\n"
		"Exit status: 0 good, 1 there is no such entry, 2 wrong usage.\n",
	.example = "  moonfence trash show notes.txt\n",
	.options = show_options,
	.option_cnt = MF_ARRAY_SIZE(show_options),
};

struct output {
	struct mf_table table;
	json_t *json; /* NULL: text */
};

static int add_row(void *ctx, const struct mf_trash_entry *e)
{
	struct output *o = ctx;
	char when[32], path[MF_PATH_MAX], name[300];

	if (o->json) {
		(void)json_array_append_new(o->json, mf_cmd_trash_json(e));
		return 0;
	}
	mf_table_add(&o->table, "%s",
		     *e->token ? e->token : mf_cmd_trash_line(e->file, name, sizeof(name)));
	mf_table_add(&o->table, "%s", mf_cmd_trash_when(e->deleted_ns, when));
	if (S_ISDIR(e->attr.mode)) // whose own size says nothing about what is in it
		mf_table_add(&o->table, "-");
	else
		mf_table_add(&o->table, "%llu", (unsigned long long)e->attr.size);
	mf_table_add(&o->table, "%s", mf_trash_op_names[e->op]);
	mf_table_add(&o->table, "%s", *e->session ? e->session : "-");
	mf_table_add(&o->table, "%s", mf_cmd_trash_line(e->path, path, sizeof(path)));
	return 0;
}

static int print_rows(struct output *o)
{
	if (o->json)
		return mf_output_json(o->json);
	if (o->table.cell_cnt > 6)
		mf_table_print(&o->table, stdout, true);
	else
		puts("The trash is empty.");
	return MF_EXIT_GOOD;
}

static int list(const char *dir, const struct mf_trash_filter *filter, bool json)
{
	struct output o = { .json = json ? json_array() : NULL };
	struct mf_trash *trash;
	struct mf_err err = { 0 };
	bool missing;
	int status, r = 0;

	trash = mf_cmd_trash_open(dir, &missing);
	if (!trash && !missing) {
		json_decref(o.json);
		return MF_EXIT_FAULT;
	}
	mf_table_init(&o.table, "llrlll");
	mf_table_add(&o.table, "TOKEN");
	mf_table_add(&o.table, "LOST");
	mf_table_add(&o.table, "SIZE");
	mf_table_add(&o.table, "BY");
	mf_table_add(&o.table, "SESSION");
	mf_table_add(&o.table, "PATH");
	if (trash)
		r = mf_trash_list(trash, filter, add_row, &o, &err);
	mf_trash_close(trash);
	if (r < 0) {
		json_decref(o.json);
		status = mf_cmd_trash_fail(&err);
	} else {
		status = print_rows(&o);
	}
	mf_table_done(&o.table);
	return status;
}

int mf_cmd_trash_list(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&list_usage, argc, argv);
	struct mf_trash_filter filter = { 0 };
	const char *value, *dir = NULL;
	char glob[MF_PATH_MAX];
	bool json = false;
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_TRASH)
			dir = value;
		else if (opt == OPT_SESSION)
			filter.session = value;
		else if (opt == OPT_JSON)
			json = true;
		else if (opt == OPT_SINCE && !mf_cmd_trash_time(value, &filter.since_ns))
			return mf_options_wrong(&list_usage, "--since: '%s' is no time", value);
		else if (opt == OPT_PATH && !(filter.glob = mf_cmd_trash_path(value, glob)))
			return mf_options_wrong(&list_usage, "--path: too long");
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt > 0)
		return mf_options_wrong(&list_usage, "unexpected operand '%s'", o.operands[0]);
	filter.hashes = json;
	return list(dir, &filter, json);
}

static void print_line(const char *name, const char *text)
{
	char line[2 * MF_PATH_MAX];

	if (!*text)
		return;
	printf("%-10s ", name);
	mf_output_text(stdout, mf_cmd_trash_line(text, line, sizeof(line)));
	printf("\n");
}

static int show(void *ctx, const struct mf_trash_entry *e)
{
	const bool *json = ctx;
	char when[32], text[64];

	if (*json)
		return mf_output_json(mf_cmd_trash_json(e));
	print_line("Token", e->token);
	print_line("Path", e->path);
	print_line("Lost", mf_cmd_trash_when(e->deleted_ns, when));
	print_line("By", mf_trash_op_names[e->op]);
	print_line("Session", e->session);
	print_line("Process", e->process);
	if (e->pid) {
		snprintf(text, sizeof(text), "%u", e->pid);
		print_line("PID", text);
	}
	print_line("Policy", e->policy);
	print_line("Rule", e->rule);
	snprintf(text, sizeof(text), "%llu bytes", (unsigned long long)e->attr.size);
	print_line("Size", text);
	snprintf(text, sizeof(text), "%04o, user %u, group %u", (unsigned)(e->attr.mode & 07777),
		 e->attr.uid, e->attr.gid);
	print_line("Mode", text);
	print_line("Modified",
		   mf_cmd_trash_when(e->attr.mtime_ns > 0 ? (uint64_t)e->attr.mtime_ns : 0, when));
	print_line("SHA-256", e->sha256);
	print_line("File", e->file);
	if (e->foreign)
		printf("Another program put it there.\n");
	return MF_EXIT_GOOD;
}

int mf_cmd_trash_show(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&show_usage, argc, argv);
	const char *value, *dir = NULL, *what;
	struct mf_trash *trash;
	struct mf_err err = { 0 };
	char path[MF_PATH_MAX];
	uint64_t at_ns = 0;
	bool json = false;
	int opt, r;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_TRASH)
			dir = value;
		else if (opt == OPT_JSON)
			json = true;
		else if (opt == OPT_AT && !mf_cmd_trash_time(value, &at_ns))
			return mf_options_wrong(&show_usage, "--at: '%s' is no time", value);
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1)
		return mf_options_wrong(&show_usage, "one token or path");
	trash = mf_cmd_trash_open(dir, NULL);
	if (!trash)
		return MF_EXIT_FAULT;
	what = mf_cmd_trash_what(trash, o.operands[0], path);
	r = what ? mf_trash_find(trash, what, at_ns, show, &json, &err)
		 : mf_err_set(&err, MF_E_INVAL, "The path is too long.");
	mf_trash_close(trash);
	return r < 0 ? mf_cmd_trash_fail(&err) : r;
}
