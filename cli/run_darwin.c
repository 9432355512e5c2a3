/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_darwin.c - moonfence run, which macOS has not got: nothing there separates one command's traffic from that of all
 * others (docs/macos.md). Refused before anything of the command is looked at.
 */
#include <stdio.h>

#include "cli/commands.h"

int mf_cmd_run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fprintf(stderr, "moonfence run: there are no sessions of one command on macOS "
			"(docs/macos.md); the command "
			"was not started\n");
	return MF_EXIT_USAGE;
}
