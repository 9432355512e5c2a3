/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_setup_win32.c - moonfence proxy setup: there is nothing to set up yet */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/proxy_setup.h"

int mf_proxy_setup_make(const struct mf_proxy_setup *wishes)
{
	(void)wishes;
	fprintf(stderr, "moonfence: domain forwarding has no service on Windows yet\n");
	return MF_EXIT_FAULT;
}
