/* SPDX-License-Identifier: Apache-2.0 */
/* policy_test.c - moonfence policy test: runs the tests that come with policies */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "core/policy/files.h"
#include "core/policy/pack.h"
#include "core/policy/testrun.h"

enum { OPT_COVERAGE = 1, OPT_FILTER, OPT_JSON };

static const struct mf_option options[] = {
	{ OPT_COVERAGE, 0, "coverage", NULL,
	  "also print the lines and rules that no test reached" },
	{ OPT_FILTER, 'f', "filter", "TEXT", "only tests whose name contains TEXT" },
	{ OPT_JSON, 0, "json", NULL, "print the results as JSON" },
};

static const struct mf_usage usage = {
	.name = "policy test",
	.synopsis = "[--coverage] [--filter TEXT] [--json] PATH...",
	.text = "Run the tests of policies (tests/*.lua and *_test.lua beside them). A failure "
		"shows what was asked,\n"
		"what was expected, and which verdict and rule came. Without any test to run it "
		"fails.\n"
		"Exit status: 0 all passed, 1 a policy's fault, 2 wrong usage.\n",
	.example = "  moonfence policy test --coverage policies/default\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct arguments {
	bool coverage, json;
	const char *filter;
};

static const char *const status_names[] = { "passed", "failed", "skipped" };
_Static_assert(MF_ARRAY_SIZE(status_names) == MF_TEST_STATUS_NUM, "a word for each status");

/* --- coverage --------------------------------------------------------------------------------------------------------- */

/* Whether a line of source has nothing but "end" and brackets: there is nothing on it to reach. */
static bool is_end(const char *text)
{
	text += strspn(text, " \t");
	if (strncmp(text, "end", 3) != 0)
		return false;
	return text[3 + strspn(text + 3, " \t,;)}\r\n")] == '\0';
}

/*
 * Lua counts the "end" of a function as a line that returns, also where every path has returned before. Drop those that
 * were not reached from report->lines[from, end), which are of one file and in order; Return: the new end
 */
static size_t drop_ends(struct mf_test_report *report, size_t from, size_t end)
{
	size_t len, kept = from, i = from;
	unsigned number = 1;
	char *text, *next;

	if (mf_file_read(report->lines[from].file, MF_SOURCE_FILE_MAX, &text, &len, NULL) < 0)
		return end;
	for (char *line = text; line && i < end; line = next, number++) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		for (; i < end && report->lines[i].line == number; i++) {
			if (report->lines[i].hits == 0 && is_end(line))
				free(report->lines[i].file);
			else
				report->lines[kept++] = report->lines[i];
		}
	}
	while (i < end) /* the file has become shorter meanwhile */
		report->lines[kept++] = report->lines[i++];
	free(text);
	return kept;
}

static size_t file_end(const struct mf_test_report *report, size_t from)
{
	size_t end = from;

	while (end < report->line_cnt &&
	       strcmp(report->lines[end].file, report->lines[from].file) == 0)
		end++;
	return end;
}

static void tidy_coverage(struct mf_test_report *report)
{
	for (size_t from = 0; from < report->line_cnt;) {
		size_t end = file_end(report, from), kept = drop_ends(report, from, end);

		memmove(&report->lines[kept], &report->lines[end],
			(report->line_cnt - end) * sizeof(*report->lines));
		report->line_cnt -= end - kept;
		from = kept;
	}
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static json_t *results_json(const struct mf_test_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->result_cnt; i++) {
		const struct mf_test_result *r = &report->results[i];

		json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:I, s:o, s:I}", "name",
						      mf_output_json_text(r->name), "status",
						      status_names[r->status], "file",
						      mf_output_json_text(r->file), "line",
						      (json_int_t)r->line, "text",
						      mf_output_json_text(r->text), "elapsed_ns",
						      (json_int_t)r->elapsed_ns));
	}
	return list;
}

static json_t *coverage_json(const struct mf_test_report *report)
{
	json_t *lines = json_array(), *rules = json_array();

	for (size_t i = 0; i < report->line_cnt; i++)
		json_array_append_new(lines, json_pack("{s:o, s:I, s:I}", "file",
						       mf_output_json_text(report->lines[i].file),
						       "line", (json_int_t)report->lines[i].line,
						       "hits", (json_int_t)report->lines[i].hits));
	for (size_t i = 0; i < report->rule_cnt; i++)
		json_array_append_new(rules,
				      json_pack("{s:o, s:o, s:I}", "policy",
						mf_output_json_text(report->rules[i].policy),
						"rule", mf_output_json_text(report->rules[i].rule),
						"hits", (json_int_t)report->rules[i].hits));
	return json_pack("{s:o, s:o}", "lines", lines, "rules", rules);
}

static int print_json(const struct arguments *args, const struct mf_test_report *report)
{
	json_t *top = json_pack("{s:I, s:I, s:I, s:o}", "passed", (json_int_t)report->passed,
				"failed", (json_int_t)report->failed, "skipped",
				(json_int_t)report->skipped, "tests", results_json(report));

	if (top && args->coverage)
		json_object_set_new(top, "coverage", coverage_json(report));
	return mf_output_json(top);
}

/* --- text ----------------------------------------------------------------------------------------------------------- */

static void print_failure(const struct mf_test_result *r)
{
	printf("%sFAIL%s ", mf_output_colour(stdout, MF_RED), mf_output_colour(stdout, MF_PLAIN));
	mf_output_text(stdout, r->name[0] ? r->name : "(the file itself)");
	fputs("\n  ", stdout);
	mf_output_text(stdout, r->file ? r->file : "");
	printf(":%u\n", r->line);
	for (const char *line = r->text; line && *line;) {
		size_t len = strcspn(line, "\n");
		char text[1024];

		snprintf(text, sizeof(text), "%.*s", (int)len, line);
		fputs("  ", stdout);
		mf_output_text(stdout, text);
		putchar('\n');
		line += len + (line[len] == '\n');
	}
	putchar('\n');
}

/* "3-5, 9": the lines of report->lines[from, end) that were never hit. */
static void missing_lines(const struct mf_test_report *report, size_t from, size_t end,
			  struct mf_strbuf *ret)
{
	for (size_t i = from; i < end; i++) {
		size_t last = i;

		if (report->lines[i].hits)
			continue;
		while (last + 1 < end && !report->lines[last + 1].hits)
			last++;
		mf_strbuf_addf(ret, "%s%u", ret->len ? ", " : "", report->lines[i].line);
		if (last > i)
			mf_strbuf_addf(ret, "-%u", report->lines[last].line);
		i = last;
	}
}

static void print_coverage(const struct mf_test_report *report)
{
	struct mf_table t;

	mf_table_init(&t, "lrrl");
	mf_table_add(&t, "file"), mf_table_add(&t, "lines"), mf_table_add(&t, "reached");
	mf_table_add(&t, "never reached");
	for (size_t i = 0, end; i < report->line_cnt; i = end) {
		struct mf_strbuf missing = MF_STRBUF_INIT(1 << 20);
		size_t hit = 0;

		end = file_end(report, i);
		for (size_t line = i; line < end; line++)
			hit += report->lines[line].hits > 0;
		missing_lines(report, i, end, &missing);
		mf_table_add(&t, "%s", report->lines[i].file);
		mf_table_add(&t, "%zu", end - i);
		mf_table_add(&t, "%zu %%", hit * 100 / (end - i));
		mf_table_add(&t, "%s", missing.len ? missing.str : "-");
		mf_strbuf_done(&missing);
	}
	mf_table_print(&t, stdout, true);
	putchar('\n');
	if (!report->rule_cnt)
		return;
	mf_table_init(&t, "llr");
	mf_table_add(&t, "policy"), mf_table_add(&t, "rule"), mf_table_add(&t, "hits");
	for (size_t i = 0; i < report->rule_cnt; i++) {
		mf_table_add(&t, "%s", report->rules[i].policy);
		mf_table_add(&t, "%s", report->rules[i].rule);
		if (report->rules[i].hits)
			mf_table_add(&t, "%llu", (unsigned long long)report->rules[i].hits);
		else
			mf_table_add(&t, "never");
	}
	mf_table_print(&t, stdout, true);
	putchar('\n');
}

static void print_text(const struct arguments *args, const struct mf_test_report *report)
{
	for (size_t i = 0; i < report->result_cnt; i++)
		if (report->results[i].status == MF_TEST_FAILED)
			print_failure(&report->results[i]);
	if (args->coverage)
		print_coverage(report);
	printf("%s%zu passed%s", mf_output_colour(stdout, report->failed ? MF_PLAIN : MF_GREEN),
	       report->passed, mf_output_colour(stdout, MF_PLAIN));
	if (report->failed)
		printf(", %s%zu failed%s", mf_output_colour(stdout, MF_RED), report->failed,
		       mf_output_colour(stdout, MF_PLAIN));
	if (report->skipped)
		printf(", %zu skipped", report->skipped);
	putchar('\n');
}

/* --- the command ---------------------------------------------------------------------------------------------------- */

static int run(const struct arguments *args, const char *const *paths, size_t path_cnt)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	struct mf_policies p;
	struct mf_err err = { 0 };
	int r = mf_policies_read(paths, path_cnt, &p, &err), status = MF_EXIT_GOOD;

	report.coverage = args->coverage;
	report.filter = args->filter;
	if (r == 0) {
		r = mf_testrun_all(&p.config, p.set, 0, &report, &err);
		mf_policies_done(&p);
	}
	tidy_coverage(&report);
	if (r < 0) {
		mf_output_problem(&err);
		status = MF_EXIT_FAULT;
	}
	if (args->json)
		status = print_json(args, &report) == MF_EXIT_GOOD ? status : MF_EXIT_FAULT;
	else if (r == 0)
		print_text(args, &report);
	if (r == 0 && report.passed + report.failed == 0)
		fprintf(stderr, "moonfence: there was no test to run%s\n",
			args->filter ? " that the filter lets through" : "");
	if (report.failed || report.passed == 0)
		status = MF_EXIT_FAULT;
	mf_test_report_done(&report);
	return status;
}

int mf_cmd_policy_test(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct arguments args = { 0 };
	const char *value;
	int opt;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_COVERAGE)
			args.coverage = true;
		else if (opt == OPT_JSON)
			args.json = true;
		else
			args.filter = value;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one PATH");
	return run(&args, (const char *const *)o.operands, (size_t)o.operand_cnt);
}
