/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_net_int.h - the virtio network card between its files */
#ifndef MF_NIC_VIRTIO_NET_INT_H
#define MF_NIC_VIRTIO_NET_INT_H

#include "nic/virtio.h"
#include "nic/virtio_net.h"

/* Features of network cards (5.1.3). */
#define F_CSUM		0
#define F_GUEST_CSUM	1
#define F_MTU		3
#define F_MAC		5
#define F_GUEST_TSO4	7
#define F_GUEST_TSO6	8
#define F_HOST_TSO4	11
#define F_HOST_TSO6	12
#define F_MRG_RXBUF	15
#define F_STATUS	16
#define F_CTRL_VQ	17
#define F_CTRL_RX	18
#define F_CTRL_VLAN	19
#define F_CTRL_RX_EXTRA 20
#define F_MQ		22
#define F_CTRL_MAC_ADDR 23
#define F_NOTF_COAL	53

/* A frame's header (5.1.6): flags u8, gso_type u8, hdr_len, gso_size, csum_start, csum_offset, num_buffers u16. */
#define HDR_LEN_OLD    10
#define HDR_LEN	       12

#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2

#define HDR_GSO_NONE   0
#define HDR_GSO_TCPV4  1
#define HDR_GSO_TCPV6  4
#define HDR_GSO_ECN    0x80

#define ETH_LEN	       14
#define HEAD_MAX       512 /* bytes of a frame with offloads that are looked at */
#define MERGE_MAX      128 /* buffers of a frame */
#define TABLE_MAX      64 /* addresses of either kind that a driver may list; more: all of that kind */
#define STEER_CNT      256

enum net_role { ROLE_NONE, ROLE_RX, ROLE_TX, ROLE_CTRL };

struct net_table {
	uint8_t cnt;
	bool overflow; /* the driver listed more: all pass */
	uint8_t mac[TABLE_MAX][6];
};

struct net_coal {
	uint32_t packets, usecs;
};

/* What the driver has set, and what is under way. */
struct net_state {
	uint8_t mac[6];
	bool link;
	/* Receive modes (5.1.6.5.1). */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	struct net_table uni, multi;
	uint64_t vlans[4096 / 64];
	uint16_t pairs; /* in use */
	struct net_coal tx_coal, rx_coal;
	struct {
		uint32_t cnt;	   /* used buffers that the driver has not been told of */
		uint64_t since_ns; /* the first of them */
	} wait[MF_VIRTIO_QUEUES_MAX];
	uint8_t steer[STEER_CNT]; /* flow's bucket -> pair */
	bool starved;		  /* receive_ready() is owed */
};

struct virtio_net {
	struct mf_virtio v;
	uint8_t mac[6]; /* as after a reset */
	uint16_t mtu, pairs_max;
	struct net_state n;
	/* Room to work in; nothing lives there between two calls. */
	struct mf_virtq_chain chain;
	struct mf_span parts[MF_NIC_PARTS_MAX];
	uint8_t head[HEAD_MAX];
};

static inline struct virtio_net *net_of(struct mf_nic *nic)
{
	return (struct virtio_net *)nic;
}

static inline const struct virtio_net *net_of_const(const struct mf_nic *nic)
{
	return (const struct virtio_net *)nic;
}

static inline bool net_has(const struct virtio_net *d, unsigned feature)
{
	return mf_virtio_has(&d->v, feature);
}

static inline size_t net_header_len(const struct virtio_net *d)
{
	return net_has(d, MF_VIRTIO_F_VERSION_1) || net_has(d, F_MRG_RXBUF) ? HDR_LEN : HDR_LEN_OLD;
}

/** net_role() - What a queue is for; the control queue's number depends on MQ (5.1.2) */
enum net_role net_role(const struct virtio_net *d, unsigned queue);

/** net_tell() - @cnt buffers of a queue were used: interrupt now, or later as the driver wants it; between begin and its end */
void net_tell(struct virtio_net *d, unsigned queue, uint32_t cnt, const struct net_coal *coal);

/** net_bucket() - Which bucket of steer[] a frame's flow has, the same in both directions; @len bytes of it are at @p */
unsigned net_bucket(const uint8_t *p, size_t len);

void net_serve_tx(struct virtio_net *d, unsigned queue);
void net_serve_ctrl(struct virtio_net *d, unsigned queue);
void net_ctrl_reset(struct virtio_net *d);

enum mf_nic_received net_receive(struct mf_nic *nic, const struct mf_span *parts, unsigned cnt,
				 size_t len, const struct mf_nic_offload *offload, uint64_t now_ns);
unsigned net_receive_can(const struct mf_nic *nic);

size_t net_save(const struct mf_nic *nic, void *ptr, size_t cap);
int net_restore(struct mf_nic *nic, const void *ptr, size_t len, struct mf_err *err);

#endif
