/* SPDX-License-Identifier: Apache-2.0 */
/* vm_net_nolinux.c - moonfence vm-net, where there is none */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/vm_net.h"

void mf_vm_net_set_source(const struct mf_addr *addr)
{
	(void)addr;
}

int mf_vm_net_run(struct mf_vm_net_wishes *wishes)
{
	(void)wishes;
	fputs("moonfence: vm-net is for Linux: a network namespace ends the connections of "
	      "machines\n",
	      stderr);
	return MF_EXIT_SETUP;
}
