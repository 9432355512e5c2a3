/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_stack.h - the connections that machines make, ended in this process (nic/guest_stack.h) and handed to the proxies
 *
 * The proxies take connections as sockets. So each one gets a socket of ours that connects to a listener of ours on
 * loopback, and bytes are carried between the two: what the proxies do to theirs (half a close, a reset, not to read) is what
 * the machine sees, and the other way round. Whoever else connects there is nobody's client, and is reset. Datagrams go
 * to the proxies without sockets.
 *
 * No privilege is wanted. Linux only. Belongs to the thread of its loop.
 */
#ifndef MF_CLI_VM_STACK_H
#define MF_CLI_VM_STACK_H

#include "core/policy/session.h"
#include "nic/guest_stack.h"

struct event_base;
struct mf_proxy;
struct mf_vm_stack;

struct mf_vm_stack_options {
	uint16_t mtu; /* 0: 1,500 */
	bool large;   /* wires take packets that are to be cut (struct mf_vm_stack_wires) */
	/* As of nic/guest_stack.h; 0: its default */
	uint32_t conns_max, conns_each, half_open, bytes_each;
	uint64_t bytes_max;
	/* Of a datagram: whose it is (@flow->member), and whether it may go on. Return: 0; less: it is refused. NULL: all go on */
	int (*own)(void *ctx, struct mf_session_flow *flow);
	void *own_ctx;
};

/** mf_vm_stack_new() - Return: 0, MF_E_IO (no socket on loopback), MF_E_NOMEM */
int mf_vm_stack_new(const struct mf_vm_stack_options *options, struct mf_vm_stack **ret,
		    struct mf_err *err);
/** mf_vm_stack_free() - NULL is fine; peers must have left */
void mf_vm_stack_free(struct mf_vm_stack *s);

/** mf_vm_stack_listener() - For the proxies, with mf_vm_stack_find_flow(), whose @ctx is the stack; stays the stack's */
int mf_vm_stack_listener(const struct mf_vm_stack *s);
int mf_vm_stack_find_flow(void *ctx, enum mf_proto proto, const struct mf_endpoint *peer,
			  const struct mf_endpoint *local, struct mf_session_flow *ret);
void mf_vm_stack_get_ops(struct mf_vm_stack *s, struct mf_session_ops *ret);

/* The wires of machines. */
struct mf_vm_stack_wires {
	void (*packet)(void *ctx, const uint8_t *pkt, size_t len); /* for a machine */
	/* mf_guest_stack_ops.large, where the options want it; .full: may be NULL */
	void (*large)(void *ctx, uint8_t *pkt, size_t len, uint16_t transport, uint16_t segment);
	bool (*full)(void *ctx, void *owner);
	/* Called after packets were given in an event of the stack's own */
	void (*changed)(void *ctx);
	void *ctx;
};

/** mf_vm_stack_begin() - Before packets come; @wires: copied. Return: 0, MF_E_NOMEM */
int mf_vm_stack_begin(struct mf_vm_stack *s, struct event_base *base, struct mf_proxy *proxy,
		      const struct mf_vm_stack_wires *wires);
/** mf_vm_stack_again() - wires.changed is called in the loop's next turn */
void mf_vm_stack_again(struct mf_vm_stack *s);
/** mf_vm_stack_end() - No proxy any more: nothing is handed on from now on */
void mf_vm_stack_end(struct mf_vm_stack *s);

int mf_vm_stack_join(struct mf_vm_stack *s, void *owner, struct mf_stack_peer **ret);
void mf_vm_stack_input(struct mf_vm_stack *s, struct mf_stack_peer *peer, uint8_t *pkt, size_t len);
/** mf_vm_stack_flush() - At the end of each turn */
void mf_vm_stack_flush(struct mf_vm_stack *s);
void mf_vm_stack_get_stats(const struct mf_vm_stack *s, struct mf_guest_stack_stats *ret);

#endif
