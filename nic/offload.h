/* SPDX-License-Identifier: Apache-2.0 */
/* offload.h - finishing what a guest has left to the card: transport checksums, TCP segmentation */
#ifndef MF_NIC_OFFLOAD_H
#define MF_NIC_OFFLOAD_H

#include "nic/nic.h"

#define MF_NIC_SEGMENTS_MAX \
	2048 /* of one frame: one of more is refused (segments of a few bytes from 64 KiB) */

/**
 * mf_nic_emit() - Hand a frame of the guest to the host, finished where the host does not take it unfinished
 * @head:    the frame's first @head_len bytes in the model's own memory, where no guest changes them; changed here. With an
 *           offload all headers stand in it; without one it may be empty
 * @rest:    @cnt parts of @rest_len bytes in all that follow; together with @head at most MF_NIC_PARTS_MAX parts
 * @offload: as struct mf_nic_offload has it
 * Return: frames handed over, lost ones (TX_LOST) included: they have left the card; MF_E_BAD: the offload does not fit the
 * frame: nothing was sent, BAD_OFFLOAD counted. Cost: one pass over the payload where there is a checksum to be computed
 */
int mf_nic_emit(struct mf_nic *nic, uint8_t *head, size_t head_len, const struct mf_span *rest,
		unsigned cnt, size_t rest_len, const struct mf_nic_offload *offload);

/** mf_nic_sum() - Add @len bytes to a running sum (core/packet/checksum.h); @odd: they begin at an odd offset of what is summed */
uint64_t mf_nic_sum(uint64_t sum, const uint8_t *ptr, size_t len, bool odd);

#endif
