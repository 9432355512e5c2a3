/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - option tables: reading arguments, printing help, suggesting what was meant */
#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "core/base/err.h"

#define NAME_MAX_LEN 64 /* longer words get no suggestion: what follows is quadratic */

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

/* Edits (insert, delete, replace, swap of neighbours) between two words; SIZE_MAX when one is too long. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][NAME_MAX_LEN + 1];
	size_t a_len = strlen(a), b_len = strlen(b), i, j;

	if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
		return (size_t)-1;
	for (j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[a_len % 3][b_len];
}

const char *mf_options_nearest(const char *word, const char *const *names)
{
	size_t best = strlen(word) / 3 + 1; /* more edits than this is another word */
	const char *nearest = NULL;

	for (; *names; names++) {
		size_t d = distance(word, *names);

		if (d < best || (d == best && !nearest)) {
			best = d;
			nearest = *names;
		}
	}
	return nearest;
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
		printf("  %-24s %s\n", left, opt->help);
	}
	printf("  %-24s %s\n\nExample:\n%s", "-h, --help", "print this help", usage->example);
}

static int unknown_option(const struct mf_options *o, const char *word)
{
	const char *names[64] = { "help" };
	const char *nearest;
	size_t cnt = 1;
	char name[NAME_MAX_LEN + 1];

	for (size_t i = 0; i < o->usage->option_cnt && cnt + 1 < MF_ARRAY_SIZE(names); i++)
		names[cnt++] = o->usage->options[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	nearest = word[1] == '-' ? mf_options_nearest(name, names) : NULL;
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
