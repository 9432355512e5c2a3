/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - what subcommands print: tables and text for people, JSON for programs
 *
 * Text that came from a policy, a request or a file goes through mf_output_text() or a table cell: control characters
 * are shown escaped, so that a policy cannot drive the terminal of whoever reads about it.
 */
#ifndef MF_CLI_OUTPUT_H
#define MF_CLI_OUTPUT_H

#include <jansson.h>
#include <moonfence/moonfence.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/base/printf.h"
#include "core/base/strbuf.h"

enum mf_colour { MF_PLAIN, MF_BOLD, MF_RED, MF_GREEN, MF_YELLOW, MF_DIM, MF_COLOUR_NUM };

/** mf_output_colour() - The sequence that begins @colour on @out, or "" unless @out is a terminal and NO_COLOR is unset
 * (no-color.org: set and not empty switches colours off); MF_PLAIN ends any colour */
const char *mf_output_colour(FILE *out, enum mf_colour colour);

/** mf_output_text() - Print text from outside: control characters and bytes that are no UTF-8 as \xNN */
void mf_output_text(FILE *out, const char *text);

/** mf_output_json() - Print @value indented, with a newline, and drop the reference; NULL (no memory) is reported
 * Return: an exit status */
int mf_output_json(json_t *value);

/** mf_output_json_text() - A JSON string of text from outside: bytes that are no UTF-8 become U+FFFD; null for NULL */
json_t *mf_output_json_text(const char *text);

/** mf_output_problem() - Print "FILE:LINE:COLUMN: message" to stderr, coloured; what @err does not know is left out */
void mf_output_problem(const struct mf_err *err);
/** mf_output_problem_as() - The same with another word than "error": "warning", "note" */
void mf_output_problem_as(const char *severity, const struct mf_err *err);

#define MF_TABLE_COLUMNS_MAX 8

/* A table for people: columns as wide as their widest cell. Init with mf_table_init(), end with mf_table_done(). */
struct mf_table {
	size_t columns;
	const char *align; /* one letter a column: 'l' or 'r' */
	char **cells;	   /* row by row */
	size_t cell_cnt, room;
	bool failed; /* out of memory: printing says so */
};

void mf_table_init(struct mf_table *t, const char *align);
/** mf_table_add() - Append one cell, printf-like; rows follow from the number of columns */
void mf_table_add(struct mf_table *t, const char *fmt, ...) MF_PRINTF(2, 3);
/** mf_table_print() - Print and empty the table; the first row is the heading when @heading */
void mf_table_print(struct mf_table *t, FILE *out, bool heading);
void mf_table_done(struct mf_table *t);

#endif
