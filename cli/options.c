/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - option tables: reading arguments, printing help, suggesting what was meant */
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "core/base/err.h"
#include "core/policy/request.h"

#define HELP_COLUMN 28 /* where the texts of options begin */
#define HELP_WIDTH  100

struct mf_options mf_options_of(const struct mf_usage *usage, int argc, char **argv)
{
	return (struct mf_options){
		.usage = usage, .argc = argc, .pos = 1, .argv = argv, .operands = argv + 1
	};
}

int mf_options_wrong(const struct mf_usage *usage, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "moonfence %s: ", usage->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry 'moonfence %s --help'.\n", usage->name);
	return MF_EXIT_USAGE;
}

/* An option's text, wrapped where a terminal of 100 columns ends; below the option where that is too long. */
static void print_option(const char *left, const char *text)
{
	size_t column = HELP_COLUMN;

	printf("  %-*s", HELP_COLUMN - 3, left);
	if (strlen(left) > HELP_COLUMN - 4)
		printf("\n%*s", HELP_COLUMN - 1, "");
	while (*text) {
		size_t len = strcspn(text, " ");

		if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH) {
			printf("\n%*s", HELP_COLUMN - 1, "");
			column = HELP_COLUMN;
		}
		printf(" %.*s", (int)len, text);
		column += len + 1;
		text += len + (text[len] == ' ');
	}
	putchar('\n');
}

void mf_options_print_help(const struct mf_usage *usage)
{
	printf("Usage: moonfence %s %s\n\n%s\nOptions:\n", usage->name, usage->synopsis,
	       usage->text);
	for (size_t i = 0; i < usage->option_cnt; i++) {
		const struct mf_option *opt = &usage->options[i];
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", opt->letter ? '-' : ' ',
			 opt->letter ? opt->letter : ' ', opt->letter ? "," : " ", opt->name,
			 opt->arg ? " " : "", opt->arg ? opt->arg : "");
		print_option(left, opt->help);
	}
	print_option("-h, --help", "print this help");
	printf("\nExample:\n%s", usage->example);
}

static int unknown_option(const struct mf_options *o, const char *word)
{
	const char *names[64] = { "help" };
	const char *nearest;
	size_t cnt = 1;
	char name[64];

	for (size_t i = 0; i < o->usage->option_cnt && cnt + 1 < MF_ARRAY_SIZE(names); i++)
		names[cnt++] = o->usage->options[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	nearest = word[1] == '-' ? mf_word_nearest(name, names) : NULL;
	if (nearest)
		return mf_options_wrong(o->usage, "unknown option '--%s'; did you mean '--%s'?",
					name, nearest);
	return mf_options_wrong(o->usage, "unknown option '%s'", word);
}

static int stop(struct mf_options *o, int status)
{
	o->status = status;
	return -1;
}

/* Finds the option that @word names; *ret_inline is what stands behind "=", NULL without one. */
static const struct mf_option *find(const struct mf_options *o, const char *word,
				    const char **ret_inline)
{
	const char *name = word + 2;
	size_t len = strcspn(name, "=");

	*ret_inline = NULL;
	for (size_t i = 0; i < o->usage->option_cnt; i++) {
		const struct mf_option *opt = &o->usage->options[i];

		if (word[1] != '-') {
			if (opt->letter && word[1] == opt->letter && !word[2])
				return opt;
		} else if (strlen(opt->name) == len && strncmp(opt->name, name, len) == 0) {
			*ret_inline = name[len] ? name + len + 1 : NULL;
			return opt;
		}
	}
	return NULL;
}

static int take(struct mf_options *o, const char *word, const char **ret_value)
{
	const char *value;
	const struct mf_option *opt = find(o, word, &value);

	if (!opt && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
		mf_options_print_help(o->usage);
		return stop(o, MF_EXIT_GOOD);
	}
	if (!opt)
		return stop(o, unknown_option(o, word));
	if (!opt->arg && value)
		return stop(o,
			    mf_options_wrong(o->usage, "option '--%s' takes no value", opt->name));
	if (opt->arg && !value) {
		if (o->pos >= o->argc)
			return stop(o, mf_options_wrong(o->usage,
							"option '--%s' needs a value: --%s %s",
							opt->name, opt->name, opt->arg));
		value = o->argv[o->pos++];
	}
	*ret_value = value;
	return opt->id;
}

int mf_options_next(struct mf_options *o, const char **ret_value)
{
	while (o->pos < o->argc) {
		char *word = o->argv[o->pos++];

		if (!o->ended && strcmp(word, "--") == 0) {
			o->ended = true;
			continue;
		}
		if (!o->ended && word[0] == '-' && word[1])
			return take(o, word, ret_value);
		/* Operands move up over the options that were read: never past pos. */
		o->operands[o->operand_cnt++] = word;
		if (o->usage->stop_at_operand)
			o->ended = true;
	}
	return 0;
}
