/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - reading a subcommand's arguments, and the --help that follows from the same table
 *
 *	static const struct mf_option options[] = {
 *		{ 'j', 0, "json", NULL, "print JSON" },
 *		{ 'f', 'f', "filter", "TEXT", "only tests whose name contains TEXT" },
 *	};
 *	static const struct mf_usage usage = { .name = "policy test", .options = options, ... };
 *
 *	struct mf_options o = mf_options_of(&usage, argc, argv);
 *	while ((opt = mf_options_next(&o, &value)) > 0)
 *		switch (opt) { ... }
 *	if (opt < 0)
 *		return o.status;              // --help was printed, or a mistake was reported
 *	... o.operands[0 .. o.operand_cnt)
 *
 * Options and operands may be mixed, "--" ends the options, --name=value and --name value are the same, long names may
 * not be cut short (a script must not break when an option is added). Letters are not clustered.
 */
#ifndef MF_CLI_OPTIONS_H
#define MF_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/printf.h"

struct mf_option {
	int id;		  /* what mf_options_next() returns: any number above 0 */
	char letter;	  /* short form, 0 for none */
	const char *name; /* long form, without dashes */
	const char *arg;  /* name of its value in --help; NULL for a flag */
	const char *help; /* what it does, one line */
};

struct mf_usage {
	const char *name;     /* "policy check" */
	const char *synopsis; /* the arguments, "[--json] PATH..." */
	const char *
		text; /* what the subcommand does; lines of at most 100 columns, each with its newline */
	const char *example; /* at least one call, lines as in @text, indented by two spaces */
	const struct mf_option *options; /* without --help, which every subcommand has */
	size_t option_cnt;
	bool stop_at_operand; /* what follows the first operand belongs to that operand (run) */
};

struct mf_options {
	const struct mf_usage *usage;
	int argc, pos;
	char **argv;
	char **operands; /* inside argv, in the order given */
	int operand_cnt;
	int status; /* exit status after mf_options_next() returned less than 0 */
	bool ended; /* "--" was seen */
};

struct mf_options mf_options_of(const struct mf_usage *usage, int argc, char **argv);

/**
 * mf_options_next() - The next option
 * @ret_value: its value, NULL for a flag; points into argv
 * Return: the option's id; 0 when all are read; -1 when the subcommand must end with o->status
 */
int mf_options_next(struct mf_options *o, const char **ret_value);

/** mf_options_wrong() - Report wrong usage on stderr with a pointer to --help; Return: MF_EXIT_USAGE */
int mf_options_wrong(const struct mf_usage *usage, const char *fmt, ...) MF_PRINTF(2, 3);

/** mf_options_print_help() - The whole help of a subcommand, to stdout */
void mf_options_print_help(const struct mf_usage *usage);

#endif
