/* SPDX-License-Identifier: Apache-2.0 */
/* console_posix.c - see console.h: on a POSIX system everything is as expected */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/console.h"

int mf_console_start(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

bool mf_console_is_terminal(FILE *out)
{
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && !(term && strcmp(term, "dumb") == 0);
}
