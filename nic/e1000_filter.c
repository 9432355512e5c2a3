/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_filter.c - is a frame for this card? Receive addresses, multicast table, promiscuous modes, VLANs (8254x manual 3.2.1, 9.3) */
#include "nic/e1000_int.h"

#define RAH_VALID     0x80000000u
#define RAH_SELECT    0x00030000u /* 0: the destination address is compared */
#define VLAN_OFFSET   12u
#define TAGGED_LENGTH 16u

static bool is_receive_address(const struct e1000_state *s, const uint8_t *dst)
{
	uint32_t low = mf_load_le32(dst), high = mf_load_le16(dst + 4);

	for (unsigned i = 0; i < MF_E1000_RA_NUM; i += 2)
		if (s->ra[i] == low &&
		    (s->ra[i + 1] & (RAH_VALID | RAH_SELECT | 0xffff)) == (high | RAH_VALID))
			return true;
	return false;
}

/* Twelve of the address's upper sixteen bits, by RCTL.MO, choose a bit of the table. */
static bool is_in_multicast_table(const struct e1000_state *s, const uint8_t *dst)
{
	static const uint8_t shift[4] = { 4, 3, 2, 0 };
	unsigned hash = mf_load_le16(dst + 4) >> shift[s->regs[R_RCTL] >> 12 & 3] & 0xfff;

	return s->mta[hash >> 5] >> (hash & 31) & 1;
}

static bool passes_vlan(const struct e1000_state *s, const uint8_t *frame, size_t len)
{
	uint32_t rctl = s->regs[R_RCTL];
	unsigned tci;

	if (!(rctl & RCTL_VFE) || len < TAGGED_LENGTH + 2 ||
	    mf_load_be16(frame + VLAN_OFFSET) != s->regs[R_VET])
		return true;
	tci = mf_load_be16(frame + VLAN_OFFSET + 2);
	if (rctl & RCTL_CFIEN && (tci >> 12 & 1) != (rctl & RCTL_CFI ? 1 : 0))
		return false;
	return s->vfta[(tci & 0xfff) >> 5] >> (tci & 31) & 1;
}

enum e1000_match e1000_filter(const struct e1000_state *s, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t rctl = s->regs[R_RCTL];

	if (!passes_vlan(s, frame, len))
		return MATCH_NONE;
	if (is_receive_address(s, frame))
		return MATCH_EXACT;
	if (!(frame[0] & 1))
		return rctl & RCTL_UPE ? MATCH_EXACT : MATCH_NONE;
	if (rctl & RCTL_BAM && memcmp(frame, broadcast, sizeof(broadcast)) == 0)
		return MATCH_EXACT;
	if (rctl & RCTL_MPE)
		return MATCH_EXACT;
	return is_in_multicast_table(s, frame) ? MATCH_INEXACT : MATCH_NONE;
}
