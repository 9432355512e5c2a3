/* SPDX-License-Identifier: Apache-2.0 */
/* line_plain.c - lines as they come: from pipes, and where there is no editing; see line_plain.h */
#include "cli/line_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/line_edit.h"

char *mf_line_plain_read(const char *prompt)
{
	char *line = malloc(MF_LINE_EDIT_MAX);
	size_t len;

	if (prompt) {
		fputs(prompt, stdout);
		fflush(stdout);
	}
	if (!line || !fgets(line, MF_LINE_EDIT_MAX, stdin)) {
		free(line);
		return NULL;
	}
	len = strlen(line);
	if (len == MF_LINE_EDIT_MAX - 1 && line[len - 1] != '\n')
		for (int c = getchar(); c != '\n' && c != EOF;)
			c = getchar();
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		line[--len] = '\0';
	return line;
}
