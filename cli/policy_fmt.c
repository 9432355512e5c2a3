/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fmt.c - moonfence policy fmt: policies written in one way */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/save.h"
#include "core/base/err.h"
#include "core/base/files.h"
#include "core/base/line_diff.h"
#include "core/policy/agentsh.h"
#include "core/policy/files.h"

#define TEXT_MAX_ ((size_t)16 << 20)
#define OUT_MAX	  (4 * TEXT_MAX_)
#define DIR_MAX	  100000
#define DEPTH_MAX 32

enum { OPT_CHECK = 1, OPT_DIFF, OPT_YAML };

static const struct mf_option options[] = {
	{ OPT_CHECK, 0, "check", NULL, "change nothing, name the files that would change" },
	{ OPT_DIFF, 0, "diff", NULL, "change nothing, print what would change" },
	{ OPT_YAML, 0, "yaml", NULL, "what comes from stdin is YAML" },
};

static const struct mf_usage usage = {
	.name = "policy fmt",
	.synopsis = "[--check] [--diff] PATH...",
	.text = "Write policies (*.lua, *.yaml; of a directory all below it) in one way: "
		"indentation, "
		"spaces and\n"
		"empty lines. Lines stay where they were broken, comments where they are, and the "
		"meaning stays.\n"
		"In YAML only blanks and ends of lines change. - formats stdin to stdout.\n"
		"Exit status: 0 good, 1 something does not parse, or with --check or --diff would "
		"change, 2 wrong\n"
		"usage.\n",
	.example = "  moonfence policy fmt policies/\n"
		   "  moonfence policy fmt --check --diff policies/\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct fmt {
	bool check, diff, yaml;
	bool failed, differs;
};

static void fail(struct fmt *f, const struct mf_err *err)
{
	mf_output_problem(err);
	f->failed = true;
}

static bool is_yaml(const char *name)
{
	return mf_agentsh_is_name(name);
}

static void show(struct fmt *f, const char *path, const char *text, size_t len,
		 const struct mf_strbuf *out)
{
	struct mf_span old_text = { (const uint8_t *)text, len };
	struct mf_span new_text = { (const uint8_t *)(out->str ? out->str : ""), out->len };

	f->differs = true;
	if (f->check) {
		mf_output_text(stdout, path);
		putchar('\n');
	}
	if (f->diff && mf_line_diff(old_text, path, new_text, path, stdout) < 0)
		fprintf(stderr, "moonfence: %s: the difference is too large to be shown\n", path);
}

/* One text; @path NULL: from stdin to stdout. */
static void format_text(struct fmt *f, const char *path, const char *text, size_t len, bool yaml)
{
	struct mf_strbuf out = MF_STRBUF_INIT(OUT_MAX);
	const char *name = path ? path : "stdin";
	struct mf_err err = { 0 };
	bool same;
	int r = (yaml ? mf_format_yaml : mf_format_lua)(text, len, name, &out, &err);

	if (r < 0) {
		fail(f, &err);
		mf_strbuf_done(&out);
		return;
	}
	same = out.len == len && (len == 0 || memcmp(out.str, text, len) == 0);
	if (!same && (f->check || f->diff))
		show(f, name, text, len, &out);
	else if (!path && !f->check && !f->diff)
		fwrite(out.str ? out.str : "", 1, out.len, stdout);
	else if (!same && mf_save_file(path, out.str ? out.str : "", out.len, &err) < 0)
		fail(f, &err);
	mf_strbuf_done(&out);
}

static void format_file(struct fmt *f, const char *path)
{
	struct mf_err err = { 0 };
	char *text;
	size_t len;

	if (mf_file_read(path, TEXT_MAX_, &text, &len, &err) < 0) {
		fail(f, &err);
		return;
	}
	format_text(f, path, text, len, is_yaml(path));
	free(text);
}

static void format_stdin(struct fmt *f)
{
	char *text = malloc(TEXT_MAX_ + 1);
	struct mf_err err = { 0 };
	size_t len;

	mf_set_binary(stdin);
	mf_set_binary(stdout);
	len = text ? fread(text, 1, TEXT_MAX_ + 1, stdin) : 0;
	if (!text || ferror(stdin) || len > TEXT_MAX_) {
		mf_err_set(&err, MF_E_IO, "stdin: %s",
			   !text	   ? "out of memory"
			   : ferror(stdin) ? strerror(errno)
					   : "longer than a policy may be");
		fail(f, &err);
	} else {
		format_text(f, NULL, text, len, f->yaml);
	}
	free(text);
}

static void format_dir(struct fmt *f, const char *path, unsigned depth)
{
	struct mf_file_list list = { 0 };
	struct mf_err err = { 0 };

	if (depth == DEPTH_MAX)
		mf_err_set(&err, MF_E_LIMIT, "%s: more than %d directories below each other", path,
			   DEPTH_MAX);
	else
		mf_file_list_dir(path, DIR_MAX, &list, &err);
	if (err.msg[0])
		fail(f, &err);
	for (size_t i = 0; i < list.cnt; i++) {
		const char *name = list.items[i].name;
		size_t room = strlen(path) + strlen(name) + 2;
		char *below = malloc(room);

		if (!below) {
			mf_err_set(&err, MF_E_NOMEM, "out of memory");
			fail(f, &err);
			break;
		}
		snprintf(below, room, "%s/%s", path, name);
		if (list.items[i].kind == MF_FILE_DIR)
			format_dir(f, below, depth + 1);
		else if (list.items[i].kind == MF_FILE_REGULAR &&
			 (mf_file_name_ends(name, ".lua") || is_yaml(name)))
			format_file(f, below);
		free(below);
	}
	mf_file_list_done(&list);
}

int mf_cmd_policy_fmt(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct fmt f = { 0 };
	const char *value;
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		f.check = f.check || opt == OPT_CHECK;
		f.diff = f.diff || opt == OPT_DIFF;
		f.yaml = f.yaml || opt == OPT_YAML;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give PATH, or - for stdin");
	for (int i = 0; i < o.operand_cnt; i++) {
		const char *path = o.operands[i];

		if (strcmp(path, "-") == 0)
			format_stdin(&f);
		else if (mf_file_kind_of(path) == MF_FILE_DIR)
			format_dir(&f, path, 0);
		else
			format_file(&f, path);
	}
	return f.failed || f.differs ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}
