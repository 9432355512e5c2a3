/* SPDX-License-Identifier: Apache-2.0 */
/*
 * card.h - a card in a world that is the input's: driver, guest memory, frames, clock, snapshots; what fuzz_e1000.c and
 * fuzz_virtio_net.c share
 *
 * What must be true whatever comes: frames that go out are readable and as long as they say, work in one call is bounded, a
 * saved card can be restored and saves the same again, a refused snapshot changes nothing, and each call ends.
 *
 * Input: a byte of options, then operations of a byte each with their arguments behind; what is missing at the end is 0.
 */
#ifndef MF_FUZZ_NIC_CARD_H
#define MF_FUZZ_NIC_CARD_H

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "nic/nic.h"

#define RAM	  0x10000u
#define ROM	  0x1000u /* read-only, adjoining */
#define OPS_MAX	  300
#define SNAP_ROOM (1u << 17)

struct world {
	const uint8_t *in;
	size_t left;
	struct mf_guest_memory mem;
	uint8_t *ram, *rom;
	struct mf_nic *nic;
	uint64_t now, frames, sum;
	uint8_t snap[SNAP_ROOM], again[SNAP_ROOM], copy[SNAP_ROOM];
	size_t snap_len;
};

static uint8_t next8(struct world *w)
{
	if (!w->left)
		return 0;
	w->left--;
	return *w->in++;
}

static uint16_t next16(struct world *w)
{
	uint16_t low = next8(w);

	return (uint16_t)(low | next8(w) << 8);
}

static uint32_t next32(struct world *w)
{
	uint32_t low = next16(w);

	return low | (uint32_t)next16(w) << 16;
}

static bool frame_out(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		      const struct mf_nic_offload *o)
{
	struct world *w = ctx;
	size_t sum = 0;

	MF_MUST(cnt && cnt <= MF_NIC_PARTS_MAX && len >= 14);
	for (unsigned i = 0; i < cnt; i++) {
		if (parts[i].len)
			w->sum += parts[i].ptr[0] + parts[i].ptr[parts[i].len - 1];
		sum += parts[i].len;
	}
	MF_MUST(sum == len);
	if (o->csum == MF_NIC_CSUM_PARTIAL)
		MF_MUST((size_t)o->csum_start + o->csum_offset + 2 <= len);
	if (o->gso != MF_NIC_GSO_NONE)
		MF_MUST(o->gso_size && o->header_len <= len);
	return ++w->frames % 7 != 0;
}

static void set_line(void *ctx, bool level)
{
	((struct world *)ctx)->sum += level;
}

static void receive_ready(void *ctx)
{
	((struct world *)ctx)->sum++;
}

static void log_text(void *ctx, const char *text)
{
	((struct world *)ctx)->sum += strlen(text);
}

static void write_memory(struct world *w)
{
	uint32_t at = next16(w), len = next8(w) & 63u;

	for (; len; len--, at++)
		w->ram[at % RAM] = next8(w);
}

/* A frame of the input's shape, in one part or two. */
static void give(struct world *w, uint8_t *frame, size_t len, uint8_t how,
		 const struct mf_nic_offload *o)
{
	size_t cut = how & 0x40 ? len / 3 : 0;
	struct mf_span parts[] = { mf_span_of(frame, cut), mf_span_of(frame + cut, len - cut) };

	if (cut)
		mf_nic_receive(w->nic, parts, 2, len, o, w->now);
	else
		mf_nic_receive(w->nic, parts + 1, 1, len, how & 0x80 ? NULL : o, w->now);
}

static void save(struct world *w)
{
	size_t need = mf_nic_save(w->nic, NULL, 0);

	MF_MUST(need && need <= SNAP_ROOM);
	w->snap_len = mf_nic_save(w->nic, w->snap, need);
	MF_MUST(w->snap_len == need);
	MF_MUST(mf_nic_save(w->nic, w->again, need - 1) == 0);
}

static void restore(struct world *w)
{
	unsigned changes = next8(w) & 7;
	size_t before;

	if (!w->snap_len)
		return;
	memcpy(w->copy, w->snap, w->snap_len);
	for (unsigned i = 0; i < changes; i++) {
		size_t at = next16(w) % w->snap_len;

		w->copy[at] = next8(w);
	}
	before = mf_nic_save(w->nic, w->again, SNAP_ROOM);
	if (mf_nic_restore(w->nic, w->copy, w->snap_len, NULL)) {
		MF_MUST(changes);
		MF_MUST(mf_nic_save(w->nic, w->copy, SNAP_ROOM) == before);
		MF_MUST(!memcmp(w->copy, w->again, before));
		return;
	}
	// What was taken is saved as it came, but for bits that no guest can write.
	before = mf_nic_save(w->nic, w->again, SNAP_ROOM);
	MF_MUST(mf_nic_restore(w->nic, w->again, before, NULL) == 0);
	MF_MUST(mf_nic_save(w->nic, w->copy, SNAP_ROOM) == before);
	MF_MUST(!memcmp(w->copy, w->again, before));
}

/* All but the card; @host: its callbacks and its memory are filled in, the rest is the caller's. */
static struct world *begin_world(const uint8_t *data, size_t size, struct mf_nic_host *host)
{
	struct world *w = calloc(1, sizeof(*w));
	struct mf_guest_region regions[2] = { { .gpa = 0, .size = RAM },
					      { .gpa = RAM, .size = ROM, .read_only = true } };

	MF_MUST(w);
	w->in = data;
	w->left = size;
	// Each of its own, so that AddressSanitizer sees a byte too many.
	w->ram = regions[0].ptr = calloc(1, RAM);
	w->rom = regions[1].ptr = calloc(1, ROM);
	MF_MUST(w->ram && w->rom);
	MF_MUST(mf_guest_memory_set(&w->mem, regions, 2, NULL) == 0);
	*host = (struct mf_nic_host){ .ctx = w,
				      .memory = &w->mem,
				      .frame_out = frame_out,
				      .set_line = set_line,
				      .receive_ready = receive_ready,
				      .log = log_text };
	return w;
}

/* @frames_max: of one call */
static void play(struct world *w, void (*operate)(struct world *w, uint8_t op), uint64_t frames_max)
{
	mf_nic_config_write(w->nic, MF_PCI_COMMAND, 7, 2, 0);
	for (unsigned i = 0; i < OPS_MAX && w->left; i++) {
		uint64_t frames = w->frames;

		operate(w, next8(w));
		MF_MUST(w->frames - frames <= frames_max);
		w->sum += mf_nic_deadline(w->nic) + mf_nic_receive_can(w->nic);
	}
}

static void end_world(struct world *w)
{
	mf_nic_free(w->nic);
	free(w->ram);
	free(w->rom);
	free(w);
}

#endif
