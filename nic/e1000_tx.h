/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_tx.h - a packet of the guest between its descriptors (e1000_tx.c) and the wire (e1000_offload.c) */
#ifndef MF_NIC_E1000_TX_H
#define MF_NIC_E1000_TX_H

#include "nic/e1000_int.h"

/* Pieces a packet can have: its parts, a border of memory inside of one included, and the head leave MF_NIC_PARTS_MAX. */
#define E1000_PIECES_MAX (MF_NIC_PARTS_MAX - 2)

/* The last descriptor's fields. */
struct e1000_last {
	uint8_t cmd;
	uint8_t cso, css; /* of legacy ones */
	uint16_t special; /* the VLAN tag */
};

/* A whole packet: @cnt parts of @len bytes in all; head_len bytes before them stand in e1000.head. */
struct e1000_outgoing {
	struct mf_span *parts;
	unsigned cnt;
	size_t len, head_len; /* len: without the head */
};

/* Send the packet of e->s.packet, as its descriptors say. */
void e1000_send(struct e1000 *e, struct e1000_outgoing *out, const struct e1000_last *last);

#endif
