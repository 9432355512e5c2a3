/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_wire.h - the wires of moonfence vm-net: where virtual machines connect, and the device that their packets go to
 *
 * Linux only. Belongs to the thread of its loop. Whatever a guest sends is bounded: so many frames a turn, so many bytes that wait.
 */
#ifndef MF_CLI_VM_WIRE_H
#define MF_CLI_VM_WIRE_H

#include "cli/vm_place.h"
#include "core/base/log.h"
#include "nic/guest_net.h"

struct event_base;
struct mf_proxy;
struct mf_session_ops;
struct mf_vm_stack;
struct mf_vm_wire;

#define MF_VM_WIRE_PLACES_MAX 16

enum mf_vm_guest_left {
	MF_VM_GUEST_HERE, /* has only joined: its MAC and its addresses are known */
	MF_VM_GUEST_CLOSED,
	MF_VM_GUEST_MALFORMED,
	MF_VM_GUEST_REPLACED, /* another machine has come to its wire */
	MF_VM_GUEST_SESSION_END,
};

struct mf_vm_wire_options {
	struct mf_guest_net_options net;
	struct mf_vm_place places[MF_VM_WIRE_PLACES_MAX];
	size_t place_cnt;
	const char *pcap; /* NULL: no file */
	const struct mf_log *log;
	void (*all_gone)(void *ctx); /* the last guest has left; may be NULL */
	/* A guest has joined (@left is HERE), or one that had is about to leave, after @ns; may be NULL */
	void (*guest)(void *ctx, const struct mf_guest *guest, enum mf_vm_guest_left left,
		      uint64_t ns);
	void *ctx;
};

struct mf_vm_wire_stats {
	uint64_t guests, frames_in, frames_out, bytes_in, bytes_out, dropped[MF_GUEST_DROP_NUM];
	uint64_t unclaimed; /* packets for guests that are not there (any more) */
	unsigned open;
};

/**
 * mf_vm_wire_open() - Listen at all places: early, so that virtual machines may be started meanwhile
 * @options: borrowed until mf_vm_wire_free(). Return: 0; MF_E_IO, MF_E_EXIST (somebody listens there), MF_E_INVAL, MF_E_NOMEM
 */
int mf_vm_wire_open(const struct mf_vm_wire_options *options, struct mf_vm_wire **ret,
		    struct mf_err *err);

/** mf_vm_wire_begin() - Let guests in. @device: of mf_capture_take_guests(), owned from now on. Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_vm_wire_begin(struct mf_vm_wire *w, struct event_base *base, int device,
		     struct mf_proxy *proxy, struct mf_err *err);

/** mf_vm_wire_begin_stack() - The same where packets go to @stack, which outlives the wires. Return: 0, MF_E_NOMEM */
int mf_vm_wire_begin_stack(struct mf_vm_wire *w, struct event_base *base, struct mf_vm_stack *stack,
			   struct mf_proxy *proxy, struct mf_err *err);

/** mf_vm_wire_get_echo_ops() - Pings of guests beyond the router: fill ops.echo; nothing else is changed */
void mf_vm_wire_get_echo_ops(struct mf_vm_wire *w, struct mf_session_ops *ops);

/** mf_vm_wire_end_proxy() - The proxy of mf_vm_wire_begin() is about to end; NULL is fine */
void mf_vm_wire_end_proxy(struct mf_vm_wire *w);

/** mf_vm_wire_end_guests() - All guests hear the end of their wires, for the session ends */
void mf_vm_wire_end_guests(struct mf_vm_wire *w);

void mf_vm_wire_get_stats(const struct mf_vm_wire *w, struct mf_vm_wire_stats *ret);

/** mf_vm_wire_place() - Where the machines of place @i connect: its name, of a TCP port that any was wanted of the one it is */
const char *mf_vm_wire_place(const struct mf_vm_wire *w, size_t i);
/** mf_vm_wire_free() - Guests hear the end of their wires; sockets are removed; NULL is fine. Return: 0, MF_E_IO (the capture file) */
int mf_vm_wire_free(struct mf_vm_wire *w, struct mf_err *err);

#endif
