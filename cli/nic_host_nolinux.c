/* SPDX-License-Identifier: Apache-2.0 */
/* nic_host_nolinux.c - moonfence nic-host, which needs QEMU's x-pci-proxy-dev: that is there on Linux only */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/nic_host.h"

int mf_nic_host_run(const struct mf_nic_host_wishes *wishes)
{
	(void)wishes;
	fputs("moonfence: nic-host is for Linux: QEMU lends its devices to other programs there "
	      "only\n",
	      stderr);
	return MF_EXIT_SETUP;
}
