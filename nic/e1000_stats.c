/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_stats.c - the statistics block: counts stick at all ones, and reading clears (8254x manual 13.7) */
#include "nic/e1000_int.h"

#define FCS_LEN 4u

void e1000_stat_add(struct e1000_state *s, enum e1000_stat stat, uint32_t n)
{
	uint32_t v = s->stats[stat] + n;

	s->stats[stat] = v < n ? UINT32_MAX : v;
}

static void add64(struct e1000_state *s, enum e1000_stat stat, uint64_t n)
{
	uint64_t v = s->stats[stat] | (uint64_t)s->stats[stat + 1] << 32;

	v = v + n < n ? UINT64_MAX : v + n;
	s->stats[stat] = (uint32_t)v;
	s->stats[stat + 1] = (uint32_t)(v >> 32);
}

uint32_t e1000_stat_read(struct e1000_state *s, uint32_t off)
{
	unsigned i = (off - MF_E1000_STATS) / 4;
	uint32_t v = s->stats[i];

	// The octet counters' low half is read first, and only reading the high one clears both.
	if (i == STAT_GORC || i == STAT_GOTC || i == STAT_TOR || i == STAT_TOT)
		return v;
	if (i == STAT_GORC + 1 || i == STAT_GOTC + 1 || i == STAT_TOR + 1 || i == STAT_TOT + 1)
		s->stats[i - 1] = 0;
	s->stats[i] = 0;
	return v;
}

/* By length with FCS: 64, 65-127, 128-255, 256-511, 512-1023, more. */
static unsigned bucket(size_t len)
{
	return len <= 64 ? 0 : len < 128 ? 1 : len < 256 ? 2 : len < 512 ? 3 : len < 1024 ? 4 : 5;
}

static bool is_broadcast(const uint8_t *dst)
{
	return (dst[0] & dst[1] & dst[2] & dst[3] & dst[4] & dst[5]) == 0xff;
}

void e1000_stat_sent(struct e1000_state *s, const uint8_t *dst, size_t len, unsigned frames)
{
	len += FCS_LEN;
	if (len < 64)
		len = 64;
	e1000_stat_add(s, STAT_GPTC, frames);
	e1000_stat_add(s, STAT_TPT, frames);
	e1000_stat_add(s, STAT_PTC64 + bucket(len), frames);
	add64(s, STAT_GOTC, (uint64_t)len * frames);
	add64(s, STAT_TOT, (uint64_t)len * frames);
	if (dst[0] & 1)
		e1000_stat_add(s, is_broadcast(dst) ? STAT_BPTC : STAT_MPTC, frames);
}

void e1000_stat_received(struct e1000_state *s, const uint8_t *dst, size_t len)
{
	e1000_stat_add(s, STAT_GPRC, 1);
	e1000_stat_add(s, STAT_TPR, 1);
	e1000_stat_add(s, STAT_PRC64 + bucket(len + FCS_LEN), 1);
	add64(s, STAT_GORC, len + FCS_LEN);
	add64(s, STAT_TOR, len + FCS_LEN);
	if (dst[0] & 1)
		e1000_stat_add(s, is_broadcast(dst) ? STAT_BPRC : STAT_MPRC, 1);
}
