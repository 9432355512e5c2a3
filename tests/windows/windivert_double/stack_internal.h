/* SPDX-License-Identifier: Apache-2.0 */
/* stack_internal.h - flows of the stack: programs' ends, and bridges to real listeners */
#ifndef WDD_STACK_INTERNAL_H
#define WDD_STACK_INTERNAL_H

#include <windows.h>
#include <winsock2.h>
#include <ws2tcpip.h>

#include "stack.h"

#define FLOWS_MAX  128
#define BUFFER_MAX (16u << 20)
#define WINDOW	   (128u << 10)
#define SEGMENT	   1400u

struct wdd_datagram {
	struct wdd_datagram *next;
	uint32_t len;
	uint8_t bytes[];
};

/* An end of a flow. Packets to it have @remote as their source and @local as their destination. */
struct wdd_socket {
	struct wdd_stack *st;
	bool used, bridge, established, reset, refused, fin_seen, fin_sent;
	uint8_t proto;
	uint32_t pid;
	struct wdd_end local, remote;
	uint32_t snd_next, snd_una, rcv_next;
	/* programs */
	uint8_t *in; /* bytes that nobody has read yet */
	size_t in_len;
	struct wdd_datagram *datagrams;
	bool connect_told;
	/* bridges */
	SOCKET real;
	uint16_t real_port;
	HANDLE thread;
};

struct wdd_stack {
	struct wdd_host *host;
	uint32_t if_idx, sub_if_idx;
	CRITICAL_SECTION lock;
	CONDITION_VARIABLE changed;
	HANDLE dispatcher;
	bool stopping;
	struct wdd_socket *flows[FLOWS_MAX]; /* never moved: their threads know them */
	struct wdd_output *escaped;
	struct wdd_end let_out[4];
	unsigned let_out_cnt;
	struct wdd_faults faults;
};

/* All with the lock held. */
struct wdd_socket *wdd_flow_new(struct wdd_stack *st, uint8_t proto, struct wdd_end local,
				struct wdd_end remote);
struct wdd_socket *wdd_flow_find(struct wdd_stack *st, uint8_t proto, const struct wdd_end *local,
				 const struct wdd_end *remote);
void wdd_flow_segment(struct wdd_socket *s, uint8_t flags, const void *data, uint32_t len);
/** wdd_flow_wait() - Until something changes; Return: false when @end (GetTickCount64()) is over */
bool wdd_flow_wait(struct wdd_stack *st, uint64_t end);
/** wdd_flow_put() - Segments of at most the window; waits with the lock let go; Return: false: reset or no answer */
bool wdd_flow_put(struct wdd_socket *s, const uint8_t *data, size_t len);
void wdd_flow_play(struct wdd_stack *st, const uint8_t *pkt, uint32_t len);

/** wdd_bridge_new() - A listener is dialled for what arrived for nobody; NULL: there is none */
struct wdd_socket *wdd_bridge_new(struct wdd_stack *st, const struct wdd_read *r);
void wdd_bridge_stop(struct wdd_socket *s);

#endif
