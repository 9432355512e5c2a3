/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - what the double's DLL and its host say to each other over a named pipe
 *
 * A handle is two connections, so that a receive that waits keeps nobody from sending: "control" opens the handle and
 * carries all calls but receives; "receive" is attached to it. Either end of control's pipe breaking closes the handle,
 * as the death of a process does. Each request is answered before the next one.
 */
#ifndef WDD_WIRE_H
#define WDD_WIRE_H

#include <stdint.h>

#define WDD_ENV_PIPE	   "WDD_PIPE" /* name of the host's pipe; not set: the driver is missing (2) */
#define WDD_ENV_OPEN_ERROR "WDD_OPEN_ERROR" /* every open fails with this code */
#define WDD_ENV_OPEN_NULL \
	"WDD_OPEN_NULL" /* every open returns 0 instead of the invalid handle, code 8 */

enum wdd_wire_op {
	WDD_OP_OPEN = 1, /* a: layer, b: priority, c: flags; data: filter; answer value: handle */
	WDD_OP_ATTACH,	 /* a: handle */
	WDD_OP_RECV,	 /* a: room, b: most addresses; answer: packets, addresses */
	WDD_OP_SEND,	 /* data: packets, addresses; answer value: bytes sent */
	WDD_OP_SHUTDOWN, /* a: how */
	WDD_OP_SET,	 /* a: parameter, b: value */
	WDD_OP_GET,	 /* a: parameter */
	WDD_OP_CLOSE,
};

struct wdd_request {
	uint32_t op, data_len, addrs_len;
	uint32_t zero;
	uint64_t a, b, c;
};

struct wdd_answer {
	uint32_t code, data_len, addrs_len;
	uint32_t zero;
	uint64_t value;
};

#endif
