/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack.h - the TCP/IP stack of the double's machine, as far as scenarios need it: programs that connect, and real
 * listeners that are reached through real loopback sockets
 *
 * Programs are scripted: wdd_tcp_connect() raises the CONNECT event and plays the SYN, and goes on speaking TCP with
 * whatever packets reach the program's end. What reaches a port of the machine that no program has belongs to a listener:
 * the stack dials it over real loopback and turns the packets into bytes and back. The socket is bound to the address and
 * port that Windows' accept() would report where the host has them (127.0.0.1 and the port, with method L); where not,
 * wdd_stack_peer() says what accept() would have reported.
 *
 * The packets' order is the driver's, nothing is sent again: a packet that the code under test loses makes a scenario
 * fail. What a stack would complain about (wrong sequence numbers, segments of nobody) is counted in struct wdd_faults.
 * All calls are for any thread; those that wait give up after WDD_HOST_PATIENCE_MS.
 */
#ifndef WDD_STACK_H
#define WDD_STACK_H

#include "craft.h"
#include "host.h"

struct wdd_stack;
struct wdd_socket; /* one program's end of a flow */

struct wdd_faults {
	unsigned gaps;	   /* TCP segments that do not continue what came before */
	unsigned bad_acks; /* acknowledging what was never sent */
	unsigned strays;   /* for an end that nobody has */
	unsigned bad_sums; /* checksums */
	unsigned escaped;  /* packets to the network, see wdd_stack_take_escaped() */
	unsigned unbound;  /* listeners reached from another port than accept() should report */
	unsigned icmp;	   /* ICMP errors to programs */
	unsigned resets;   /* TCP resets to programs */
};

/** wdd_stack_start() - From now on the stack takes all that leaves the model
 * @if_idx, @sub_if_idx: of the machine's network interface */
struct wdd_stack *wdd_stack_start(struct wdd_host *host, uint32_t if_idx, uint32_t sub_if_idx);
/** wdd_stack_stop() - Before wdd_host_stop(); sockets must be closed */
void wdd_stack_stop(struct wdd_stack *st);
struct wdd_faults wdd_stack_faults(struct wdd_stack *st);
/** wdd_stack_take_escaped() - The next packet that left the machine, waiting for it; free() it */
struct wdd_output *wdd_stack_take_escaped(struct wdd_stack *st);
/** wdd_stack_let_out() - Packets to @to are no escape (at most 4): whoever takes them may come and go before the last one */
void wdd_stack_let_out(struct wdd_stack *st, struct wdd_end to);
/** wdd_stack_peer() - What accept() would have reported for a connection or datagram from a real local port */
bool wdd_stack_peer(struct wdd_stack *st, uint8_t proto, uint16_t real_port, struct wdd_end *ret);

/** wdd_tcp_connect() - A program's connect(); @event_first: before the SYN or after it
 * Return: NULL when it is refused (a reset) or nobody answers */
struct wdd_socket *wdd_tcp_connect(struct wdd_stack *st, uint32_t pid, struct wdd_end local,
				   struct wdd_end remote, bool event_first);
/** wdd_tcp_send() - Return: false if the connection was reset or nobody acknowledged */
bool wdd_tcp_send(struct wdd_socket *s, const void *data, size_t len);
/** wdd_tcp_recv() - At least one byte; Return: 0 at the end, -1 reset, -2 nothing came */
int wdd_tcp_recv(struct wdd_socket *s, void *buf, size_t room);
/** wdd_tcp_finish() - No more is sent */
void wdd_tcp_finish(struct wdd_socket *s);

/** wdd_udp_open() - The first send to the peer raises CONNECT */
struct wdd_socket *wdd_udp_open(struct wdd_stack *st, uint32_t pid, struct wdd_end local,
				struct wdd_end remote);
void wdd_udp_send(struct wdd_socket *s, const void *data, size_t len);
/** wdd_udp_recv() - One datagram; Return: its length, -1 refused by ICMP, -2 nothing came */
int wdd_udp_recv(struct wdd_socket *s, void *buf, size_t room);

/** wdd_socket_close() - Raises CLOSE; a connection that is not over is reset */
void wdd_socket_close(struct wdd_socket *s);

#endif
