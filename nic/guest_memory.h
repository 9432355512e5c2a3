/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.h - a guest's physical memory: the one place where a guest's address becomes a pointer
 *
 * An emulator hands over its RAM as regions (guest physical address, size, pointer). Device models reach it through these
 * functions only, which never touch a byte outside a region: an address that lies in none is MF_E_BAD, which a model
 * counts as an error of the descriptor that held it. Regions may adjoin; what crosses from one to the next is put together.
 *
 * The guest runs while we look: its bytes may change between two reads. Read a descriptor once into a copy of your own
 * (mf_guest_read()), judge the copy, and never look at the original again.
 *
 * One struct mf_guest_memory belongs to one guest and may be shared by its devices. Its regions are changed by
 * mf_guest_memory_set() between two calls of a device, never during one; @generation then moves on, so that a device
 * which keeps pointers to its rings knows that they are old. No function here allocates or blocks.
 */
#ifndef MF_NIC_GUEST_MEMORY_H
#define MF_NIC_GUEST_MEMORY_H

#include <moonfence/moonfence.h>

#include "core/base/bytes.h"
#include "core/base/span.h"

#define MF_GUEST_REGIONS_MAX 32

struct mf_guest_region {
	uint64_t gpa;  /* the first byte's guest physical address */
	uint64_t size; /* bytes */
	uint8_t *ptr;  /* the emulator's; stays valid until the next mf_guest_memory_set() */
	bool read_only;
};

struct mf_guest_memory {
	struct mf_guest_region regions[MF_GUEST_REGIONS_MAX]; /* ascending, not overlapping */
	unsigned cnt;
	unsigned recent;     /* where the last address was found */
	uint64_t generation; /* of the regions */
};

/**
 * mf_guest_memory_set() - Take over @cnt regions in any order, in place of those before
 * Regions of size 0 are left out. Return: 0; MF_E_FULL (more than MF_GUEST_REGIONS_MAX), MF_E_INVAL (two overlap, one wraps
 * around, or one has no pointer): then there are no regions at all, and every access fails
 */
int mf_guest_memory_set(struct mf_guest_memory *mem, const struct mf_guest_region *regions,
			unsigned cnt, struct mf_err *err);

/* Slow side of mf_guest_at(); @write: the caller is going to store there. */
uint8_t *mf_guest_memory_find(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, bool write);

/**
 * mf_guest_at() - The bytes [@gpa, @gpa + @len) where they lie in one region; @len at least 1
 * Return: a pointer that is good for @len bytes until the next mf_guest_memory_set(); NULL where they do not lie in one
 * region (mf_guest_read() and the others take those that cross a border), or @write and the region is read-only.
 * Cost: one compare where the region is that of the last call
 */
static inline uint8_t *mf_guest_at(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len,
				   bool write)
{
	if (mem->recent < mem->cnt) {
		const struct mf_guest_region *r = &mem->regions[mem->recent];
		uint64_t off = gpa - r->gpa; /* a gpa below wraps around to more than any size */

		if (off < r->size && len <= r->size - off && len && !(write && r->read_only))
			return r->ptr + off;
	}
	return mf_guest_memory_find(mem, gpa, len, write);
}

/* What crosses a border. */
int mf_guest_memory_read(struct mf_guest_memory *mem, uint64_t gpa, void *dst, uint64_t len);
int mf_guest_memory_write(struct mf_guest_memory *mem, uint64_t gpa, const void *src, uint64_t len);

/** mf_guest_read() - Copy @len bytes out of the guest; Return: 0, or MF_E_BAD: part of them is not memory (@dst then holds anything) */
static inline int mf_guest_read(struct mf_guest_memory *mem, uint64_t gpa, void *dst, uint64_t len)
{
	const uint8_t *p = mf_guest_at(mem, gpa, len, false);

	if (!p)
		return mf_guest_memory_read(mem, gpa, dst, len);
	memcpy(dst, p, len);
	return 0;
}

/** mf_guest_write() - Copy @len bytes into the guest; Return: 0, or MF_E_BAD: part of them is not writable memory, and nothing was written */
static inline int mf_guest_write(struct mf_guest_memory *mem, uint64_t gpa, const void *src,
				 uint64_t len)
{
	uint8_t *p = mf_guest_at(mem, gpa, len, true);

	if (!p)
		return mf_guest_memory_write(mem, gpa, src, len);
	memcpy(p, src, len);
	return 0;
}

/**
 * mf_guest_map() - The bytes [@gpa, @gpa + @len) as parts, to be read, for a list of buffers that is given on without a copy
 * @parts: room for @max parts
 * Return: parts used (0 where @len is 0); MF_E_BAD: part of them is not memory; MF_E_FULL: more than @max parts
 */
int mf_guest_map(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, struct mf_span *parts,
		 unsigned max);

/* Little-endian fields, as devices have them, at any alignment; the models are for hosts of that order. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a host of little-endian order");

static inline uint16_t mf_load_le16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static inline uint32_t mf_load_le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static inline uint64_t mf_load_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static inline void mf_store_le16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, 2);
}

static inline void mf_store_le32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static inline void mf_store_le64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

#endif
