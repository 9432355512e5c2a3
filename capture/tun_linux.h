/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tun_linux.h - a TUN device as a source of packets for the pipeline
 *
 * The descriptor is one queue of a device with IFF_NO_PI and IFF_VNET_HDR: each packet comes with a virtio_net_hdr that
 * says where its checksum stands and into how many segments it is to be cut (TSO, USO), and is given back with one. So
 * packets are as large as the system makes them, whatever the MTU, and nobody computes checksums.
 */
#ifndef MF_CAPTURE_TUN_LINUX_H
#define MF_CAPTURE_TUN_LINUX_H

#include "capture/backend.h"

struct mf_tun;

/* Since the beginning. */
struct mf_tun_stats {
	uint64_t received, received_bytes, sent, sent_bytes;
	uint64_t large;	     /* received ones that are many segments in one */
	uint64_t bad_header; /* whose virtio_net_hdr made no sense: dropped */
	uint64_t busy;	     /* sends that found no room */
};

/** mf_tun_new() - @fd: non-blocking, borrowed until mf_tun_free(). Return: 0, MF_E_NOMEM */
int mf_tun_new(int fd, struct mf_tun **ret, struct mf_err *err);

/** mf_tun_get_backend() - As the pipeline wants it; valid until mf_tun_free() */
void mf_tun_get_backend(struct mf_tun *tun, struct mf_backend *ret);

/** mf_tun_is_drained() - The last batch ended at no limit; what it left, if anything, makes the descriptor readable */
bool mf_tun_is_drained(const struct mf_tun *tun);

void mf_tun_get_stats(const struct mf_tun *tun, struct mf_tun_stats *ret);
void mf_tun_free(struct mf_tun *tun);

#endif
