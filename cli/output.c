/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - tables, colours, JSON and careful text */
#include "cli/output.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "core/base/err.h"

#define TABLE_ROWS_MAX 65536 /* nobody reads more; keeps memory bounded */

static const char *const colour_codes[] = { "\033[0m",	"\033[1m",  "\033[31m",
					    "\033[32m", "\033[33m", "\033[2m" };
_Static_assert(MF_ARRAY_SIZE(colour_codes) == MF_COLOUR_NUM, "a code per colour");

const char *mf_output_colour(FILE *out, enum mf_colour colour)
{
	const char *off = getenv("NO_COLOR");

	if ((off && *off) || !mf_console_is_terminal(out))
		return "";
	return colour_codes[colour];
}

/* Length of the well-formed UTF-8 sequence at @s (RFC 3629), 0 if there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t len = s[0] < 0x80		    ? 1
		     : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
		     : s[0] >= 0xe0 && s[0] <= 0xef ? 3
		     : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
						    : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* @line: newlines and tabs are control characters as well */
static void put_text(FILE *out, const char *text, bool line)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t len = utf8_len(s);
		/* C0, DEL, and C1 (U+0080..U+009F), some of which are single-byte escapes to terminals. */
		bool control = *s < 0x20 || *s == 0x7f || (*s == 0xc2 && len == 2 && s[1] < 0xa0);

		if (len > 0 && !control) {
			fwrite(s, 1, len, out);
			s += len;
		} else if (!line && (*s == '\n' || *s == '\t')) {
			fputc(*s++, out);
		} else {
			fprintf(out, "\\x%02x", *s++);
		}
	}
}

void mf_output_text(FILE *out, const char *text)
{
	put_text(out, text, false);
}

json_t *mf_output_json_text(const char *text)
{
	struct mf_strbuf b = MF_STRBUF_INIT(SIZE_MAX - 1);
	json_t *value = text ? json_string(text) : json_null();

	if (value)
		return value;
	mf_strbuf_adds(&b, "");
	while (*text) {
		size_t len = utf8_len((const unsigned char *)text);

		if (len > 0)
			mf_strbuf_add(&b, text, len);
		else
			mf_strbuf_adds(&b, "\xef\xbf\xbd");
		text += len > 0 ? len : 1;
	}
	value = b.failed ? NULL : json_string(b.str);
	mf_strbuf_done(&b);
	return value;
}

int mf_output_json(json_t *value)
{
	int failed;

	if (!value) {
		fprintf(stderr, "moonfence: out of memory\n");
		return MF_EXIT_FAULT;
	}
	failed = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(value);
	return failed ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}

void mf_output_problem(const struct mf_err *err)
{
	mf_output_problem_as("error", err);
}

void mf_output_problem_as(const char *severity, const struct mf_err *err)
{
	fputs(mf_output_colour(stderr, MF_BOLD), stderr);
	if (err->file[0]) {
		mf_output_text(stderr, err->file);
		if (err->line)
			fprintf(stderr, ":%u", err->line);
		if (err->line && err->column)
			fprintf(stderr, ":%u", err->column);
		fputs(": ", stderr);
	}
	fprintf(stderr, "%s%s%s:%s ", mf_output_colour(stderr, MF_PLAIN),
		mf_output_colour(stderr, strcmp(severity, "error") == 0 ? MF_RED : MF_YELLOW),
		severity, mf_output_colour(stderr, MF_PLAIN));
	mf_output_text(stderr, err->msg[0] ? err->msg : mf_strerror(err->code));
	fputc('\n', stderr);
}

void mf_table_init(struct mf_table *t, const char *align)
{
	*t = (struct mf_table){ .columns = strlen(align), .align = align };
	MF_MUST(t->columns > 0 && t->columns <= MF_TABLE_COLUMNS_MAX);
}

void mf_table_done(struct mf_table *t)
{
	for (size_t i = 0; i < t->cell_cnt; i++)
		free(t->cells[i]);
	free(t->cells), t->cells = NULL;
	t->cell_cnt = t->room = 0;
}

void mf_table_add(struct mf_table *t, const char *fmt, ...)
{
	va_list args;
	char *cell;
	int len;

	if (t->failed || t->cell_cnt >= t->columns * TABLE_ROWS_MAX) {
		t->failed = true;
		return;
	}
	if (t->cell_cnt == t->room) {
		size_t room = t->room ? t->room * 2 : 64;
		char **cells = realloc(t->cells, room * sizeof(*cells));

		if (!cells) {
			t->failed = true;
			return;
		}
		t->cells = cells;
		t->room = room;
	}
	va_start(args, fmt);
	len = vasprintf(&cell, fmt, args);
	va_end(args);
	if (len < 0) {
		t->failed = true;
		return;
	}
	t->cells[t->cell_cnt++] = cell;
}

/* Columns on a terminal: one per code point is right for what we print (names, numbers, short sentences). */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void mf_table_print(struct mf_table *t, FILE *out, bool heading)
{
	size_t widths[MF_TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->cell_cnt; i++) {
		size_t w = width(t->cells[i]);

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->cell_cnt; i++) {
		size_t column = i % t->columns;
		int pad = (int)(widths[column] - width(t->cells[i]));
		bool last = column + 1 == t->columns, head = heading && i < t->columns;

		if (t->align[column] == 'r')
			fprintf(out, "%*s", pad, "");
		fputs(head ? mf_output_colour(out, MF_BOLD) : "", out);
		put_text(out, t->cells[i], true); // a name with a newline forges no row
		fputs(head ? mf_output_colour(out, MF_PLAIN) : "", out);
		if (t->align[column] != 'r' && !last)
			fprintf(out, "%*s", pad, "");
		fputs(last ? "\n" : "  ", out);
	}
	if (t->failed)
		fprintf(out, "(the table was cut short)\n");
	mf_table_done(t);
}
