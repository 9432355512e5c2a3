/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_stack.h - what guests speak to when no kernel ends their connections: lwIP behind our NAT, in this process
 *
 *	mf_guest_stack_new(&options, &ops, now, &stack, &err);
 *	mf_guest_stack_join(stack, &peer);                 // a guest has come
 *	mf_guest_stack_input(stack, peer, pkt, len, now);  // IP packets that it sends, source addresses being its own
 *	mf_guest_stack_flush(stack, now);                  // at the end of each turn: callbacks of connections come from here
 *	... wait at most mf_guest_stack_timeout() ms ...
 *
 * How it works. lwIP is Debian's library as it is: it accepts connections to addresses of its own interface, and only at
 * ports that it listens at. So a segment C:c -> S:s of a guest becomes one of S:p -> X:T by the table of flows (nat.h), X and
 * T being lwIP's own, and answers are changed back. p is c unless another guest speaks to S from the same port.
 * Initial sequence numbers, which lwIP counts up, are moved by a random number for each connection.
 * Datagrams need no stack: they are handed on as they come, put together where they came in fragments.
 *
 * A connection is TCP's as sockets have it: both directions end on their own, resets are told and made, and a reader that
 * does not take what came closes the window. Nothing calls the owner but mf_guest_stack_flush(), and ops.datagram and
 * ops.packet, which come at any time.
 *
 * Bounds: connections of a guest and of all, connections that are not made yet, bytes that wait in lwIP for a guest's
 * reader, fragments. What goes beyond is dropped and counted; TCP repeats it.
 *
 * lwIP has one instance in a process, so there is at most one stack. Threads: one. No clock of its own but lwIP's.
 */
#ifndef MF_NIC_GUEST_STACK_H
#define MF_NIC_GUEST_STACK_H

#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/span.h"
#include "core/packet/flow.h"
#include "core/packet/view.h"

struct mf_guest_stack;
struct mf_stack_peer;
struct mf_stack_conn;

/* Zero means the default. */
struct mf_guest_stack_options {
	size_t size;	     /* of this struct */
	uint16_t mtu;	     /* of the wires: 1,500 */
	uint32_t conns_max;  /* of all guests: 16,384 */
	uint32_t conns_each; /* of one guest: 4,096 */
	uint32_t half_open;  /* of one guest, handshake not ended: 256 */
	uint32_t bytes_each; /* of one guest, in segments that nobody has taken yet: 32 MiB */
	uint64_t bytes_max;  /* of all guests; each has 64 KiB all the same: any */
};

struct mf_guest_stack_ops {
	/* An IP packet for the guest that its destination names, with all checksums */
	void (*packet)(void *ctx, const uint8_t *pkt, size_t len);
	/*
	 * A TCP packet for the guest, without IP options, to be cut into packets of @segment bytes of payload (tcp(7)'s TSO); @transport:
	 * where its TCP header begins. Its checksum is that of the whole. It may be written to. NULL: there are none
	 */
	void (*large)(void *ctx, uint8_t *pkt, size_t len, uint16_t transport, uint16_t segment);
	/*
	 * So much waits for the guest with this @owner already that its connections are to take no more until
	 * mf_guest_stack_go_on(). NULL: never
	 */
	bool (*full)(void *ctx, void *owner);
	/* A datagram of a guest; @flow as the guest sent it */
	void (*datagram)(void *ctx, const struct mf_flow *flow, struct mf_span payload);
	/* A connection was made. @flow: as the guest sees it, from its end. Return: 0; less: it is reset */
	int (*accept)(void *ctx, struct mf_stack_conn *conn, const struct mf_flow *flow);
	/* mf_stack_conn_read() has more, or the end */
	void (*readable)(void *ctx, struct mf_stack_conn *conn);
	/* There is room again, after there was none */
	void (*writable)(void *ctx, struct mf_stack_conn *conn);
	/* The guest has reset the connection, or does not answer any more; @conn is no more once this returns */
	void (*gone)(void *ctx, struct mf_stack_conn *conn);
	void *ctx;
};

/* Why packets of guests went nowhere. */
enum mf_stack_drop {
	MF_STACK_DROP_MALFORMED,
	MF_STACK_DROP_PROTOCOL,	 /* neither TCP nor UDP */
	MF_STACK_DROP_FRAGMENT,	 /* overlapping, too many, late */
	MF_STACK_DROP_UNKNOWN,	 /* a segment of no connection: answered with a reset */
	MF_STACK_DROP_HALF_OPEN, /* a SYN beyond what may be half open */
	MF_STACK_DROP_CONNS,	 /* a SYN beyond the connections */
	MF_STACK_DROP_MEMORY,	 /* too much waits for its reader */
	MF_STACK_DROP_NUM
};
const char *mf_stack_drop_name(enum mf_stack_drop reason);

struct mf_guest_stack_stats {
	uint64_t accepted, resets; /* connections made; those that the guest or lwIP ended early */
	uint64_t datagrams_in, datagrams_out;
	uint64_t dropped[MF_STACK_DROP_NUM];
	uint32_t conns, half_open; /* now */
};

/**
 * mf_guest_stack_new() - Return: 0; MF_E_EXIST (there is one), MF_E_NOMEM
 */
int mf_guest_stack_new(const struct mf_guest_stack_options *options,
		       const struct mf_guest_stack_ops *ops, struct mf_guest_stack **ret,
		       struct mf_err *err);
/** mf_guest_stack_free() - Connections are forgotten without a word to anybody; NULL is fine */
void mf_guest_stack_free(struct mf_guest_stack *stack);

/** mf_guest_stack_join() - @owner: for ops.full. Return: 0, MF_E_NOMEM */
int mf_guest_stack_join(struct mf_guest_stack *stack, void *owner, struct mf_stack_peer **ret);
/** mf_guest_stack_stopped() - A connection has found ops.full true since mf_guest_stack_go_on() */
bool mf_guest_stack_stopped(const struct mf_stack_peer *peer);
/** mf_guest_stack_go_on() - There is room again: the next mf_guest_stack_flush() tells whoever waits for it */
void mf_guest_stack_go_on(struct mf_stack_peer *peer);
/** mf_guest_stack_tidy() - Forget fragments that came too long ago, where no others come; now and then */
void mf_guest_stack_tidy(struct mf_stack_peer *peer, uint64_t now_ns);
/** mf_guest_stack_leave() - Its connections are gone (ops.gone); NULL is fine */
void mf_guest_stack_leave(struct mf_stack_peer *peer);

/**
 * mf_guest_stack_input() - An IP packet of a guest: its source is the guest's, its destination no group and none of the guests'
 * @pkt: may be written to. Whatever its checksums hold, they count as good: what comes over a socket is whole.
 * @now_ns: monotonic
 */
void mf_guest_stack_input(struct mf_guest_stack *stack, struct mf_stack_peer *peer, uint8_t *pkt,
			  size_t len, uint64_t now_ns);

/** mf_guest_stack_flush() - Tell owners what came, and run lwIP's timers that are due */
void mf_guest_stack_flush(struct mf_guest_stack *stack, uint64_t now_ns);

/** mf_guest_stack_timeout() - Milliseconds until mf_guest_stack_flush() is wanted; -1: nothing is due */
int mf_guest_stack_timeout(struct mf_guest_stack *stack);

/**
 * mf_guest_stack_send_udp() - A datagram to a guest, in fragments where it is larger than the MTU
 * @flow: from the server to the guest. Return: 0, MF_E_LIMIT, MF_E_INVAL
 */
int mf_guest_stack_send_udp(struct mf_guest_stack *stack, const struct mf_flow *flow,
			    struct mf_span payload);

void mf_guest_stack_get_stats(const struct mf_guest_stack *stack, struct mf_guest_stack_stats *ret);

/* ---- connections: not to be called from ops.accept but for the first three --------------------------------------- */

void mf_stack_conn_set_data(struct mf_stack_conn *conn, void *data);
void *mf_stack_conn_data(const struct mf_stack_conn *conn);
/** mf_stack_conn_flow() - As the guest sees it, from its end; valid as long as the connection */
const struct mf_flow *mf_stack_conn_flow(const struct mf_stack_conn *conn);

/** mf_stack_conn_peek() - What came and was not taken, in at most @max pieces. Return: pieces; 0: nothing now, or the end */
size_t mf_stack_conn_peek(const struct mf_stack_conn *conn, struct mf_span *pieces, size_t max);
/** mf_stack_conn_take() - The first @len bytes of that are taken: the guest may send as many more */
void mf_stack_conn_take(struct mf_stack_conn *conn, size_t len);
/** mf_stack_conn_ended() - The guest sends no more, and everything was taken */
bool mf_stack_conn_ended(const struct mf_stack_conn *conn);

/** mf_stack_conn_room() - Bytes that mf_stack_conn_write() takes now; ops.writable comes once half of what there can be is there */
size_t mf_stack_conn_room(const struct mf_stack_conn *conn);
/** mf_stack_conn_write() - Copied. Return: bytes taken, fewer where there is no room: then ops.writable comes; MF_E_CLOSED */
ssize_t mf_stack_conn_write(struct mf_stack_conn *conn, const void *buf, size_t len);
/** mf_stack_conn_shutdown() - Nothing more is written: FIN, behind all that was */
void mf_stack_conn_shutdown(struct mf_stack_conn *conn);

/**
 * mf_stack_conn_release() - The owner is done with it: no callback comes any more, @conn is not to be used again
 * After both ends it ends as TCP does; before, it is reset.
 */
void mf_stack_conn_release(struct mf_stack_conn *conn);
/** mf_stack_conn_reset() - RST, whatever is unsent; as mf_stack_conn_release() */
void mf_stack_conn_reset(struct mf_stack_conn *conn);

#endif
