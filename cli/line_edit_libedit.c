/* SPDX-License-Identifier: Apache-2.0 */
/* line_edit.c - see line_edit.h; with libedit */
#include "cli/line_edit.h"

#include <editline/readline.h>
#include <stdio.h>

#include "cli/console.h"
#include "cli/line_plain.h"

#define HISTORY_MAX 1000

char *mf_line_edit_read(const char *prompt)
{
	char *line;

	if (!mf_console_is_terminal(stdin) || !mf_console_is_terminal(stdout))
		return mf_line_plain_read(NULL);
	line = readline(prompt);
	if (line && *line) {
		stifle_history(HISTORY_MAX);
		add_history(line);
	}
	return line;
}
