/* SPDX-License-Identifier: Apache-2.0 */
/* line_edit_none.c - see line_edit.h; without libedit, and on Windows, whose console edits lines itself */
#include <stdio.h>

#include "cli/console.h"
#include "cli/line_edit.h"
#include "cli/line_plain.h"

char *mf_line_edit_read(const char *prompt)
{
	return mf_line_plain_read(mf_console_is_terminal(stdin) ? prompt : NULL);
}
