/* SPDX-License-Identifier: Apache-2.0 */
/* test_coverage.c - what tests reached, told in three ways; see test_coverage.h */
#include "cli/test_coverage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "core/policy/files.h"
#include "core/policy/pack.h"

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

void mf_coverage_tidy(struct mf_test_report *report)
{
	for (size_t from = 0; from < report->line_cnt;) {
		size_t end = file_end(report, from), kept = drop_ends(report, from, end);

		memmove(&report->lines[kept], &report->lines[end],
			(report->line_cnt - end) * sizeof(*report->lines));
		report->line_cnt -= end - kept;
		from = kept;
	}
}

/* --- text --------------------------------------------------------------------------------------------------------------- */

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

void mf_coverage_print(const struct mf_test_report *report)
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

/* --- by file -------------------------------------------------------------------------------------------------------------- */

#define NO_CODE UINT64_MAX /* hits of a line on which nothing can run */

/* One source file: its text, and how often each line was reached. */
struct source {
	const char *file;
	char *text;
	uint64_t *hits; /* [line] */
	unsigned line_cnt, found, hit;
};

static void add_hits(struct source *s, unsigned line, uint64_t hits)
{
	if (line == 0 || line > s->line_cnt)
		return; /* the file has changed meanwhile */
	if (s->hits[line] == NO_CODE)
		s->hits[line] = hits;
	else if (hits > s->hits[line])
		s->hits[line] = hits;
}

static int open_source(const struct mf_test_report *report, const char *file, struct source *ret,
		       struct mf_err *err)
{
	size_t len;
	int r;

	*ret = (struct source){ .file = file, .line_cnt = 1 };
	r = mf_file_read(file, MF_SOURCE_FILE_MAX, &ret->text, &len, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < len; i++)
		ret->line_cnt += ret->text[i] == '\n';
	ret->hits = malloc((ret->line_cnt + 1u) * sizeof(*ret->hits));
	if (!ret->hits) {
		free(ret->text);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	for (unsigned i = 0; i <= ret->line_cnt; i++)
		ret->hits[i] = NO_CODE;
	for (size_t i = 0; i < report->line_cnt; i++)
		if (strcmp(report->lines[i].file, file) == 0)
			add_hits(ret, report->lines[i].line, report->lines[i].hits);
	for (size_t i = 0; i < report->rule_cnt; i++)
		if (strcmp(report->rules[i].file, file) == 0)
			add_hits(ret, report->rules[i].line, report->rules[i].hits);
	for (unsigned i = 1; i <= ret->line_cnt; i++) {
		ret->found += ret->hits[i] != NO_CODE;
		ret->hit += ret->hits[i] != NO_CODE && ret->hits[i] > 0;
	}
	return 0;
}

static void close_source(struct source *s)
{
	free(s->text);
	free(s->hits);
}

static bool had_before(const struct mf_test_report *report, size_t lines, size_t rules,
		       const char *file)
{
	for (size_t i = 0; i < lines; i++)
		if (strcmp(report->lines[i].file, file) == 0)
			return true;
	for (size_t i = 0; i < rules; i++)
		if (strcmp(report->rules[i].file, file) == 0)
			return true;
	return false;
}

/* Call @fn for each file once; Return: 0, or what went wrong first */
static int each_source(const struct mf_test_report *report, FILE *out,
		       void (*fn)(const struct mf_test_report *report, const struct source *s,
				  FILE *out),
		       struct mf_err *err)
{
	struct source s;
	int r = 0;

	for (size_t i = 0; i < report->line_cnt + report->rule_cnt && r == 0; i++) {
		bool line = i < report->line_cnt;
		size_t rule = line ? 0 : i - report->line_cnt;
		const char *file = line ? report->lines[i].file : report->rules[rule].file;

		if (!*file || (line && i > 0 && strcmp(report->lines[i - 1].file, file) == 0) ||
		    had_before(report, line ? 0 : report->line_cnt, rule, file))
			continue;
		r = open_source(report, file, &s, err);
		if (r < 0)
			break;
		fn(report, &s, out);
		close_source(&s);
	}
	return r;
}

static int write_file(const char *path,
		      int (*write)(const struct mf_test_report *, FILE *, struct mf_err *),
		      const struct mf_test_report *report, struct mf_err *err)
{
	FILE *out = fopen(path, "wb");
	int r;
	bool failed;

	if (!out)
		return mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	r = write(report, out, err);
	failed = ferror(out) != 0;
	if ((fclose(out) != 0 || failed) && r == 0)
		r = mf_err_set(err, MF_E_IO, "cannot write %s: %s", path, strerror(errno));
	return r;
}

/* --- lcov --------------------------------------------------------------------------------------------------------------- */

/* A name as it may stand in a tracefile, whose fields end at commas and lines. */
static void put_name(FILE *out, const char *policy, const char *rule)
{
	char text[400];

	snprintf(text, sizeof(text), "%s %s", policy, rule);
	for (char *p = text; *p; p++)
		if (*p == ',' || (unsigned char)*p < 32)
			*p = '_';
	fputs(text, out);
}

static void lcov_source(const struct mf_test_report *report, const struct source *s, FILE *out)
{
	unsigned found = 0, hit = 0;

	fprintf(out, "TN:\nSF:%s\n", s->file);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < report->rule_cnt; i++) {
			const struct mf_test_rule *rule = &report->rules[i];

			if (strcmp(rule->file, s->file) != 0 || !rule->line)
				continue;
			if (pass == 0)
				fprintf(out, "FN:%u,", rule->line);
			else
				fprintf(out, "FNDA:%llu,", (unsigned long long)rule->hits);
			put_name(out, rule->policy, rule->rule);
			putc('\n', out);
			found += pass;
			hit += pass && rule->hits;
		}
	}
	fprintf(out, "FNF:%u\nFNH:%u\n", found, hit);
	for (unsigned i = 1; i <= s->line_cnt; i++)
		if (s->hits[i] != NO_CODE)
			fprintf(out, "DA:%u,%llu\n", i, (unsigned long long)s->hits[i]);
	fprintf(out, "LF:%u\nLH:%u\nend_of_record\n", s->found, s->hit);
}

static int write_lcov(const struct mf_test_report *report, FILE *out, struct mf_err *err)
{
	return each_source(report, out, lcov_source, err);
}

int mf_coverage_write_lcov(const struct mf_test_report *report, const char *path,
			   struct mf_err *err)
{
	return write_file(path, write_lcov, report, err);
}

/* --- HTML --------------------------------------------------------------------------------------------------------------- */

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Policy "
	"coverage</title>\n"
	"<style>\nbody{font-family:sans-serif;margin:2em}\n"
	"table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left}\n"
	"table.code td{font-family:monospace;white-space:pre;padding:0 .8em}\n"
	"td.n{text-align:right;color:#777}\n.hit{background:#dff5df}.miss{background:#fbdcdc}\n"
	"</style></head><body>\n<h1>Policy coverage</h1>\n";

static void put_html(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '<')
			fputs("&lt;", out);
		else if (c == '>')
			fputs("&gt;", out);
		else if (c == '&')
			fputs("&amp;", out);
		else if (c == '"')
			fputs("&quot;", out);
		else if (c == '\t' || c >= 32)
			putc(c, out);
	}
}

static void put_html_text(FILE *out, const char *text)
{
	put_html(out, text, strlen(text));
}

static void html_row(const struct mf_test_report *report, const struct source *s, FILE *out)
{
	(void)report;
	fputs("<tr><td>", out);
	put_html_text(out, s->file);
	fprintf(out,
		"</td><td class=\"n\">%u</td><td class=\"n\">%u</td><td class=\"n\">%u "
		"%%</td></tr>\n",
		s->found, s->hit, s->found ? s->hit * 100 / s->found : 100);
}

static void html_source(const struct mf_test_report *report, const struct source *s, FILE *out)
{
	const char *line = s->text;

	(void)report;
	fputs("<h2>", out);
	put_html_text(out, s->file);
	fputs("</h2>\n<table class=\"code\">\n", out);
	for (unsigned i = 1; i <= s->line_cnt; i++) {
		size_t len = strcspn(line, "\n");

		if (i == s->line_cnt && !*line)
			break;
		if (s->hits[i] == NO_CODE)
			fprintf(out, "<tr><td class=\"n\">%u</td><td class=\"n\"></td><td>", i);
		else
			fprintf(out,
				"<tr class=\"%s\"><td class=\"n\">%u</td><td "
				"class=\"n\">%llu</td><td>",
				s->hits[i] ? "hit" : "miss", i, (unsigned long long)s->hits[i]);
		put_html(out, line, len);
		fputs("</td></tr>\n", out);
		line += len + (line[len] == '\n');
	}
	fputs("</table>\n", out);
}

static int write_html(const struct mf_test_report *report, FILE *out, struct mf_err *err)
{
	int r;

	fputs(page_head, out);
	fprintf(out, "<p>%zu tests passed, %zu failed, %zu skipped.</p>\n", report->passed,
		report->failed, report->skipped);
	fputs("<table><tr><th>file</th><th>lines and rules</th><th>reached</th><th></th></tr>\n",
	      out);
	r = each_source(report, out, html_row, err);
	fputs("</table>\n", out);
	if (report->rule_cnt)
		fputs("<h2>Rules</h2>\n<table><tr><th>policy</th><th>rule</th><th>decided</th></"
		      "tr>\n",
		      out);
	for (size_t i = 0; i < report->rule_cnt; i++) {
		const struct mf_test_rule *rule = &report->rules[i];

		fprintf(out, "<tr class=\"%s\"><td>", rule->hits ? "hit" : "miss");
		put_html_text(out, rule->policy);
		fputs("</td><td>", out);
		put_html_text(out, rule->rule);
		fprintf(out, "</td><td class=\"n\">%llu</td></tr>\n",
			(unsigned long long)rule->hits);
	}
	if (report->rule_cnt)
		fputs("</table>\n", out);
	if (r == 0)
		r = each_source(report, out, html_source, err);
	fputs("</body></html>\n", out);
	return r;
}

int mf_coverage_write_html(const struct mf_test_report *report, const char *path,
			   struct mf_err *err)
{
	return write_file(path, write_html, report, err);
}
