/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_setup_darwin.c - moonfence proxy setup: there is nothing to set up yet */
#include <stdio.h>

#include "cli/commands.h"

int mf_cmd_proxy_setup(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fprintf(stderr, "moonfence: domain forwarding has no service on macOS yet\n");
	return MF_EXIT_FAULT;
}
