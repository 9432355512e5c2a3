/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_serve_darwin.c - domain forwarding on macOS: its service is not there yet */
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/proxy_int.h"

int mf_proxy_pid(void)
{
	return (int)getpid();
}

int mf_proxy_serve(const struct mf_proxy_wishes *wishes)
{
	(void)wishes;
	fprintf(stderr, "moonfence: domain forwarding has no service on macOS yet: pf would have "
			"to redirect connections to it (docs/forwarding.md)\n");
	return MF_EXIT_FAULT;
}
