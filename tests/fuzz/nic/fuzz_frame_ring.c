/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_frame_ring.c - rings in shared memory whose other side is the input's: layout, cursors, records, at any time
 *
 * What must be true: nothing outside of the memory is touched (it is as large as it says, and AddressSanitizer looks), a turn is
 * bounded, frames are at least headers and at most as long as agreed, and a wire that has ended stays so.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "nic/frame_ring.h"
#include "nic/guest_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAME_MAX 100u
#define CAPACITY  256u
#define TURN	  4u

struct world {
	struct mf_frame_source *source;
	uint8_t *mem;
	size_t len;
	unsigned frames, sum;
};

static void receive(void *ctx, uint8_t *frame, size_t len)
{
	struct world *w = ctx;

	MF_MUST(len >= MF_FRAME_MIN && len <= FRAME_MAX);
	w->frames++;
	w->sum += frame[0] + frame[len - 1];
	memset(frame, 0, len);
	if (w->sum & 1)
		(void)mf_frame_source_send(w->source, frame, 14, frame, len - 14);
}

static void operate(struct world *w, uint8_t op, const uint8_t arg[3])
{
	static const uint8_t words[] = { 48, 52, 56,
					 60 }; /* of the first ring, the second is behind */
	uint32_t ring = op & 8 ? 16 + CAPACITY : 0, word = words[op >> 4 & 3] + ring;
	bool was_broken = mf_frame_source_run(w->source, 0) == MF_E_SYNTAX;
	size_t at = (size_t)(arg[0] | arg[1] << 8) % w->len;
	uint8_t frame[FRAME_MAX + 2] = { 0 };
	int r;

	switch (op & 7) {
	case 0: /* a byte anywhere */
		w->mem[at] = arg[2];
		break;
	case 1: /* a cursor, by so much */
		if (word + 4 <= w->len)
			mf_store_le32(w->mem + word, mf_load_le32(w->mem + word) + arg[0]);
		break;
	case 2: /* a word of data */
		at &= ~(size_t)3;
		if (at + 4 <= w->len)
			mf_store_le32(w->mem + at, arg[2] == 0xff ? 0xffffffffu : arg[2]);
		break;
	case 3:
		r = mf_frame_source_send(w->source, frame, 14, frame, arg[0] % (FRAME_MAX - 11));
		MF_MUST(!was_broken || r < 0);
		break;
	case 4:
		mf_frame_source_flush(w->source);
		break;
	default:
		w->frames = 0;
		r = mf_frame_source_run(w->source, TURN);
		MF_MUST(r <= (int)TURN && w->frames <= TURN);
		MF_MUST(!was_broken || r == MF_E_SYNTAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_frame_ring_options o = { .size = sizeof(o), .frame_max = FRAME_MAX };
	struct world w = { .len = mf_frame_ring_room(CAPACITY) };
	uint8_t changes;

	if (size < 2)
		return 0;
	o.guest_side = data[0] & 1;
	w.len -= data[0] & 2 ? data[1] % 64u : 0;
	w.mem = malloc(mf_frame_ring_room(CAPACITY));
	MF_MUST(w.mem && mf_frame_ring_format(w.mem, mf_frame_ring_room(CAPACITY), CAPACITY) == 0);
	if (data[0] & 4) { /* near the place where cursors wrap */
		for (unsigned i = 0; i < 3; i++) {
			mf_store_le32(w.mem + 48 + 4 * i, 0xffffffc0u);
			mf_store_le32(w.mem + 64 + CAPACITY + 4 * i, 0xffffffc0u);
		}
	}
	/* Exactly what it is told of. */
	w.mem = realloc(w.mem, w.len);
	changes = data[0] >> 4;
	data += 2;
	size -= 2;
	for (; changes && size >= 2; changes--, data += 2, size -= 2)
		w.mem[data[0] % 80u] = data[1];
	if (mf_frame_ring_new(&o, w.mem, w.len, &w.source, NULL) == 0) {
		w.source->receiver = receive;
		w.source->ctx = &w;
		for (; size >= 4; data += 4, size -= 4)
			operate(&w, data[0], data + 1);
		mf_frame_source_free(w.source);
	}
	free(w.mem);
	return 0;
}
