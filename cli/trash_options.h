/* SPDX-License-Identifier: Apache-2.0 */
/* trash_options.h - the trash of a mount: the same options for every subcommand that has one */
#ifndef MF_CLI_TRASH_OPTIONS_H
#define MF_CLI_TRASH_OPTIONS_H

#include "cli/options.h"
#include "fs/trash.h"

enum mf_trash_option {
	MF_TRASH_OPTION_DIR,
	MF_TRASH_OPTION_NONE,
	MF_TRASH_OPTION_HASH,
	MF_TRASH_OPTION_AGE,
	MF_TRASH_OPTION_SIZE,
	MF_TRASH_OPTION_COUNT,
	MF_TRASH_OPTION_COPY,
	MF_TRASH_OPTION_FULL,
	MF_TRASH_OPTION_NUM
};

/* Rows of an option table; their numbers are @first and those after it, MF_TRASH_OPTION_NUM of them. */
#define MF_TRASH_OPTION_ROWS(first)                                                              \
	{ (first) + MF_TRASH_OPTION_DIR, 0, "trash", "DIR",                                      \
	  "where deleted files go (default: the user's trash, or one on their device)" },        \
		{ (first) + MF_TRASH_OPTION_NONE, 0, "no-trash", NULL,                           \
		  "have none: what policies would keep there is not deleted either" },           \
		{ (first) + MF_TRASH_OPTION_HASH, 0, "trash-hash", "SIZE",                       \
		  "files up to SIZE get a SHA-256 where a policy says hash=true (default: 64M; " \
		  "0: none)" },                                                                  \
		{ (first) + MF_TRASH_OPTION_AGE, 0, "trash-age", "SPAN",                         \
		  "purge what lies in the trash for longer: 12h, 30d (default: never)" },        \
		{ (first) + MF_TRASH_OPTION_SIZE, 0, "trash-size", "SIZE",                       \
		  "purge the oldest when all take more: 5G (default: no limit)" },               \
		{ (first) + MF_TRASH_OPTION_COUNT, 0, "trash-count", "N",                        \
		  "purge the oldest when there are more (default: no limit)" },                  \
		{ (first) + MF_TRASH_OPTION_COPY, 0, "trash-copy", "SIZE",                       \
		  "copy no larger file before it is truncated or written over, where blocks "    \
		  "cannot be shared: it counts as no room (default: 1G; 0: no limit)" },         \
	{                                                                                        \
		(first) + MF_TRASH_OPTION_FULL, 0, "trash-full", "MODE",                         \
			"a deletion that the trash has no room for: deny (default) refuses it, " \
			"delete does it"                                                         \
	}

struct mf_trash_choice {
	struct mf_trash_options options;
	bool none;
};

/** mf_trash_choice_init() - What holds where no option says otherwise */
void mf_trash_choice_init(struct mf_trash_choice *choice);

/** mf_trash_choice_take() - The value of one option; Return: 0, or the exit status of wrong usage, which was reported */
int mf_trash_choice_take(const struct mf_usage *usage, struct mf_trash_choice *choice,
			 enum mf_trash_option option, const char *value);

#endif
