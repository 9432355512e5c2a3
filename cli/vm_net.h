/* SPDX-License-Identifier: Apache-2.0 */
/* vm_net.h - what moonfence vm-net was asked for (vm_net.c), and doing it (vm_net_linux.c) */
#ifndef MF_CLI_VM_NET_H
#define MF_CLI_VM_NET_H

#include "cli/label_options.h"
#include "cli/options.h"
#include "cli/policy_host.h"
#include "cli/vm_wire.h"
#include "proxies/proxy.h"

/* What ends the machines' connections. */
enum mf_vm_stack_kind {
	MF_VM_STACK_ANY, /* the kernel where we may make namespaces with CAP_NET_ADMIN, else lwIP */
	MF_VM_STACK_KERNEL, /* a TUN device in a namespace of ours */
	MF_VM_STACK_LWIP,   /* this process: vm_stack.h */
};

struct mf_vm_net_wishes {
	struct mf_policy_host host;
	const char *id, *metrics_path, *ca_dir;
	struct mf_label_options labels;
	struct mf_proxy_options proxy_options;
	struct mf_vm_wire_options wire_options; /* places, the network */
	enum mf_vm_stack_kind stack;
	bool want_summary, once;
};

/** mf_vm_net_set_source() - Of the sockets towards servers */
void mf_vm_net_set_source(const struct mf_addr *addr);

/** mf_vm_net_run() - Until a signal ends it; says what is wrong itself. Return: the exit status */
int mf_vm_net_run(struct mf_vm_net_wishes *wishes);

#endif
