/* SPDX-License-Identifier: Apache-2.0 */
/* policy_test.c - moonfence policy test: runs the tests that come with policies */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policies.h"
#include "cli/test_coverage.h"
#include "cli/test_golden.h"
#include "core/policy/testrun.h"

enum {
	OPT_COVERAGE = 1,
	OPT_LCOV,
	OPT_HTML,
	OPT_FILTER,
	OPT_ROUNDS,
	OPT_SEED,
	OPT_UPDATE,
	OPT_VAR,
	OPT_JSON
};

static const struct mf_option options[] = {
	{ OPT_COVERAGE, 0, "coverage", NULL,
	  "also print the lines and rules that no test reached" },
	{ OPT_LCOV, 0, "lcov", "FILE",
	  "write what was reached as a tracefile, for genhtml(1) and editors" },
	{ OPT_HTML, 0, "html", "FILE", "write what was reached as a page" },
	{ OPT_ROUNDS, 0, "rounds", "N", "values that t:for_all() tries, 1 to 10000; 100" },
	{ OPT_SEED, 0, "seed", "N", "try other values; a number gives the same ones each time" },
	{ OPT_UPDATE, 0, "update", NULL,
	  "write the explanations that tests compare with (explains_as)" },
	{ OPT_FILTER, 'f', "filter", "TEXT", "only tests whose name contains TEXT" },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print the results as JSON" },
};

static const struct mf_usage usage = {
	.name = "policy test",
	.synopsis = "[--coverage] [--filter TEXT] [OPTION]... PATH...",
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
	struct mf_variables variables;
	bool coverage, json;
	const char *filter, *lcov, *html;
	unsigned rounds;
	uint64_t seed;
	struct mf_golden golden;
};

static const char *const status_names[] = { "passed", "failed", "skipped" };
_Static_assert(MF_ARRAY_SIZE(status_names) == MF_TEST_STATUS_NUM, "a word for each status");

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

static void print_text(const struct arguments *args, const struct mf_test_report *report)
{
	for (size_t i = 0; i < report->result_cnt; i++)
		if (report->results[i].status == MF_TEST_FAILED)
			print_failure(&report->results[i]);
	if (args->coverage)
		mf_coverage_print(report);
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

static int run(struct arguments *args, const char *const *paths, size_t path_cnt)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	struct mf_policies p;
	struct mf_err err = { 0 };
	int r = mf_policies_read(paths, path_cnt, &args->variables, &p, &err),
	    status = MF_EXIT_GOOD;

	report.coverage = args->coverage || args->lcov || args->html;
	report.filter = args->filter;
	report.rounds = args->rounds;
	report.seed = args->seed;
	report.explained = mf_golden_explained;
	report.explained_ctx = &args->golden;
	if (r == 0) {
		r = mf_testrun_all(&p.config, p.set, 0, &report, &err);
		mf_policies_done(&p);
	}
	mf_coverage_tidy(&report);
	if (r == 0 && args->lcov)
		r = mf_coverage_write_lcov(&report, args->lcov, &err);
	if (r == 0 && args->html)
		r = mf_coverage_write_html(&report, args->html, &err);
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
	if (args->golden.written)
		fprintf(stderr, "%zu explanation%s written\n", args->golden.written,
			args->golden.written == 1 ? "" : "s");
	if (report.failed || report.passed == 0)
		status = MF_EXIT_FAULT;
	mf_test_report_done(&report);
	return status;
}

static bool take_number(const char *text, uint64_t max, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	*ret = digits && digits < 11 && !text[digits] ? strtoull(text, NULL, 10) : 0;
	return *ret >= 1 && *ret <= max;
}

int mf_cmd_policy_test(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct arguments args = { 0 };
	const char *value;
	uint64_t number;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_VAR &&
		    (status = mf_variables_add(&usage, &args.variables, value)) != 0)
			return status;
		else if (opt == OPT_VAR)
			continue;
		else if (opt == OPT_COVERAGE)
			args.coverage = true;
		else if (opt == OPT_JSON)
			args.json = true;
		else if (opt == OPT_UPDATE)
			args.golden.update = true;
		else if (opt == OPT_LCOV)
			args.lcov = value;
		else if (opt == OPT_HTML)
			args.html = value;
		else if (opt == OPT_FILTER)
			args.filter = value;
		else if (!take_number(value, opt == OPT_ROUNDS ? MF_TEST_ROUNDS_MAX : UINT32_MAX,
				      &number))
			return mf_options_wrong(&usage, "--%s needs a number%s, not \"%s\"",
						opt == OPT_ROUNDS ? "rounds" : "seed",
						opt == OPT_ROUNDS ? ", 1 to 10000" : "", value);
		else if (opt == OPT_ROUNDS)
			args.rounds = (unsigned)number;
		else
			args.seed = number;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one PATH");
	return run(&args, (const char *const *)o.operands, (size_t)o.operand_cnt);
}
