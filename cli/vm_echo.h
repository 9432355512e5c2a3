/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_echo.h - pings of machines (and of guests of the gateway) to others than the router: between their wires and the proxies
 *
 * A request whose hop limit ends here is answered as a router does; all others go to the proxy, which asks the policies and
 * sends them on (proxies/icmp_proxy.c). Answers and errors come back as packets. Linux only. Belongs to the thread of its loop.
 */
#ifndef MF_CLI_VM_ECHO_H
#define MF_CLI_VM_ECHO_H

#include "core/packet/view.h"
#include "core/policy/session.h"

struct event_base;
struct mf_proxy;
struct mf_vm_echo;

/* The wires. */
struct mf_vm_echo_wires {
	/* For a machine, whole, with all checksums; may be larger than an MTU, and be written to */
	void (*packet)(void *ctx, uint8_t *pkt, size_t len);
	/* The address that the router of a machine's network has: 4 or 16 bytes by @family */
	const uint8_t *(*router)(void *ctx, uint8_t family);
	/* Whose a request is (@flow->member), and whether it may go on. Return: 0; less: it is refused. NULL: all go on */
	int (*own)(void *ctx, struct mf_session_flow *flow);
	/* Called in an event of its own once something waits for machines */
	void (*changed)(void *ctx);
	void *ctx;
};

/** mf_vm_echo_new() - @wires: copied. Return: NULL without memory */
struct mf_vm_echo *mf_vm_echo_new(const struct mf_vm_echo_wires *wires);
/** mf_vm_echo_free() - NULL is fine */
void mf_vm_echo_free(struct mf_vm_echo *e);

/** mf_vm_echo_get_ops() - Fill ops.echo; nothing else is changed */
void mf_vm_echo_get_ops(struct mf_vm_echo *e, struct mf_session_ops *ops);

/** mf_vm_echo_begin() - Before packets come. Return: 0, MF_E_NOMEM */
int mf_vm_echo_begin(struct mf_vm_echo *e, struct event_base *base, struct mf_proxy *proxy);
/** mf_vm_echo_end() - No proxy any more; NULL is fine */
void mf_vm_echo_end(struct mf_vm_echo *e);

/** mf_vm_echo_take() - A request: mf_guest_net_ops.echo */
void mf_vm_echo_take(struct mf_vm_echo *e, const struct mf_view *request);

#endif
