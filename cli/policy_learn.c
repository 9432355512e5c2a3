/* SPDX-License-Identifier: Apache-2.0 */
/* policy_learn.c - moonfence policy learn: the smallest policy that allows what was recorded */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/learn.h"
#include "cli/options.h"
#include "cli/output.h"
#include "core/base/err.h"

#define LINE_ROOM 65536 /* bytes of one event */
#define TEXT_MAX_ ((size_t)256 << 20)

enum { OPT_FORMAT = 1, OPT_NAME, OPT_DOMAINS, OPT_PATHS, OPT_DENIED };

static const struct mf_option options[] = {
	{ OPT_FORMAT, 0, "format", "WORD", "lua or agentsh (YAML); lua" },
	{ OPT_NAME, 0, "name", "NAME", "the policy's name; learned" },
	{ OPT_DOMAINS, 0, "group-domains", NULL,
	  "where two names of one registrable domain were seen, allow all of the domain" },
	{ OPT_PATHS, 0, "group-paths", "N",
	  "where N files of one directory were seen, allow all files in it; never sensitive ones" },
	{ OPT_DENIED, 0, "include-denied", NULL, "allow what was denied, too" },
};

static const struct mf_usage usage = {
	.name = "policy learn",
	.synopsis = "[OPTION]... EVENTS.jsonl...",
	.text = "Print the smallest policy that allows what was recorded ('run --events'), with "
		"what "
		"speaks for\n"
		"each entry: how often, first and last, by which processes. Nothing is widened "
		"unless "
		"asked for.\n"
		"Record under a policy whose decisions are audit: reads that are plainly allowed "
		"are "
		"not recorded.\n"
		"- is stdin.\n"
		"Exit status: 0 good, 1 the events cannot be learned from, 2 wrong usage.\n",
	.example = "  moonfence policy learn events.jsonl >learned.lua\n"
		   "  moonfence policy learn --format agentsh --group-domains monday.jsonl "
		   "tuesday.jsonl\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

/* A line that is longer than any event is counted as one that cannot be read. */
static int learn_stream(struct mf_learn *l, FILE *in, char *line)
{
	bool cut = false;
	int r = 0;

	while (r == 0 && fgets(line, LINE_ROOM, in)) {
		size_t len = strlen(line);
		bool whole = len > 0 && line[len - 1] == '\n';

		if (cut || (!whole && len == LINE_ROOM - 1)) {
			l->unread += !cut;
			cut = !whole;
			continue;
		}
		r = mf_learn_line(l, line, len);
	}
	return r < 0 ? r : ferror(in) ? MF_E_IO : 0;
}

static int learn_file(struct mf_learn *l, const char *path, struct mf_err *err)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *line = malloc(LINE_ROOM);
	int r;

	if (!in || !line)
		r = mf_err_set(err, in ? MF_E_NOMEM : MF_E_IO, "cannot read %s: %s", path,
			       in ? "out of memory" : strerror(errno));
	else
		r = learn_stream(l, in, line);
	if (r == MF_E_LIMIT)
		mf_err_set(err, r, "%s: more than %d different requests, or %d events", path,
			   MF_LEARN_SIGHTINGS_MAX, MF_LEARN_EVENTS_MAX);
	else if (r < 0 && !err->msg[0])
		mf_err_set(err, r, "cannot read %s: %s", path, mf_strerror(r));
	free(line);
	if (in && in != stdin)
		fclose(in);
	return r;
}

static int print_policy(const struct mf_learn *l, const struct mf_learn_options *o, bool yaml,
			struct mf_err *err)
{
	struct mf_strbuf out = MF_STRBUF_INIT(TEXT_MAX_);
	struct mf_learn_rules rules;
	int r = mf_learn_rules(l, o, &rules, err);

	if (r < 0)
		return r;
	(yaml ? mf_learn_write_yaml : mf_learn_write_lua)(l, o, &rules, &out);
	mf_learn_rules_done(&rules);
	if (out.failed)
		r = mf_err_set(err, MF_E_LIMIT,
			       "the policy would be larger than %zu MiB, or there "
			       "is no memory for it",
			       TEXT_MAX_ >> 20);
	else
		fputs(out.str, stdout);
	mf_strbuf_done(&out);
	return r;
}

static int learn(struct mf_learn *l, const struct mf_learn_options *o, bool yaml,
		 const struct mf_options *words)
{
	struct mf_err err = { 0 };
	int r = 0;

	for (int i = 0; i < words->operand_cnt && r == 0; i++)
		r = learn_file(l, words->operands[i], &err);
	if (r == 0 && l->learned == 0)
		r = mf_err_set(
			&err, MF_E_NOENT,
			"nothing to learn from: %llu events, %llu of them denied, %llu lines "
			"not read",
			(unsigned long long)l->events, (unsigned long long)l->denied,
			(unsigned long long)l->unread);
	if (r == 0) {
		r = mf_learn_finish(l);
		r = r < 0 ? mf_err_set(&err, r, "%s", mf_strerror(r))
			  : print_policy(l, o, yaml, &err);
	}
	if (r < 0)
		mf_output_problem(&err);
	return r < 0 ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}

/* As agentsh has it for names of policies. */
static bool is_name(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return len > 0 && len <= 64 && !text[len];
}

int mf_cmd_policy_learn(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct mf_learn_options how = { .name = "learned" };
	struct mf_learn *l;
	const char *value;
	bool yaml = false, denied = false;
	char *end;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		unsigned long number;

		switch (opt) {
		case OPT_FORMAT:
			yaml = strcmp(value, "agentsh") == 0;
			if (!yaml && strcmp(value, "lua") != 0)
				return mf_options_wrong(
					&usage, "--format %s: expected lua or agentsh", value);
			break;
		case OPT_NAME:
			how.name = value;
			if (!is_name(value))
				return mf_options_wrong(
					&usage,
					"--name: expected up to 64 letters, digits, _ and -");
			break;
		case OPT_DOMAINS:
			how.group_domains = true;
			break;
		case OPT_PATHS:
			number = strtoul(value, &end, 10);
			if (*end || number < 2 || number > 1000000 || *value < '0' || *value > '9')
				return mf_options_wrong(
					&usage, "--group-paths %s: expected 2 to 1000000", value);
			how.group_paths = (unsigned)number;
			break;
		default:
			denied = true;
			break;
		}
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which events? Give EVENTS.jsonl, or - for stdin");
	l = calloc(1, sizeof(*l));
	if (!l) {
		fprintf(stderr, "moonfence: out of memory\n");
		return MF_EXIT_FAULT;
	}
	l->include_denied = denied;
	status = learn(l, &how, yaml, &o);
	mf_learn_done(l);
	free(l);
	return status;
}
