/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio_net.h - a virtio network card over PCI (virtio 1.2, 5.1), modern and transitional
 *
 *	struct mf_virtio_net_options opt = { .mac = { 0x52, 0x54, ... } };
 *
 *	mf_virtio_net_new(&opt, &host, &nic, &err);	all else: nic.h
 *
 * Features: MAC, STATUS, MRG_RXBUF, CSUM, GUEST_CSUM, HOST_TSO4/6, GUEST_TSO4/6, CTRL_VQ with CTRL_RX, CTRL_RX_EXTRA, CTRL_VLAN
 * and CTRL_MAC_ADDR, INDIRECT_DESC, EVENT_IDX, VERSION_1; MTU, MQ, NOTF_COAL and RING_PACKED by option. Before VERSION_1, and
 * where MRG_RXBUF is not agreed to, a frame's header has 10 bytes, else 12.
 *
 * Receiving: filters as the driver sets them (promiscuous until it does, 5.1.6.5.1); a frame that does not fit into the
 * driver's buffers is refused and takes none of them. With several pairs a flow comes in on the pair that it last went out
 * on (5.1.6.5.6). Sending: at most MF_VIRTIO_NET_BUDGET frames and about 1 MiB a kick, the rest at mf_nic_deadline(). Transmitted frames point
 * into guest memory (nic.h), but for the headers of those with offloads.
 * BARs: 0 (transitional only) I/O, 1 memory, both 32-bit. MSI-X if the host can send messages, a vector for each queue and
 * one for the configuration; else INTx.
 * Memory: about 30 KB a device.
 */
#ifndef MF_NIC_VIRTIO_NET_H
#define MF_NIC_VIRTIO_NET_H

#include "nic/nic.h"
#include "nic/virtqueue.h"

#define MF_VIRTIO_NET_PAIRS_MAX	   8
#define MF_VIRTIO_NET_BUDGET	   256		    /* frames a kick */
#define MF_VIRTIO_NET_BUDGET_BYTES (1u << 20)	    /* and no frame is begun behind so many bytes */
#define MF_VIRTIO_NET_FRAME_MAX	   (65535 + 14 + 8) /* IP's longest with two tags */

struct mf_virtio_net_options {
	uint8_t mac[6];
	uint16_t mtu; /* told to the driver; 0: none is */
	uint16_t
		pairs; /* of queues, up to MF_VIRTIO_NET_PAIRS_MAX; 0: 1. More than one offers MQ */
	uint16_t queue_size; /* a power of two up to MF_VIRTQ_SIZE_MAX; 0: 256 */
	bool modern_only;
	bool packed;	  /* offer RING_PACKED */
	bool coalesce;	  /* offer NOTF_COAL */
	uint64_t without; /* feature bits that are not offered all the same */
};

/** mf_virtio_net_new() - Make a card; Return: 0; MF_E_INVAL (options, with a sentence), MF_E_NOMEM */
int mf_virtio_net_new(const struct mf_virtio_net_options *opt, const struct mf_nic_host *host,
		      struct mf_nic **ret_nic, struct mf_err *err);

/** mf_virtio_net_ring_errors() - How often the driver's queues had this error, all together; @nic is a virtio card */
uint64_t mf_virtio_net_ring_errors(const struct mf_nic *nic, enum mf_virtq_error error);

#endif
