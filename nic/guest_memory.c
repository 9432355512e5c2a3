/* SPDX-License-Identifier: Apache-2.0 */
/* guest_memory.c - regions of guest memory, and copies that cross from one to the next */
#include "nic/guest_memory.h"

#include "core/base/err.h"

static int refuse(struct mf_guest_memory *mem, struct mf_err *err, int code, const char *why,
		  const struct mf_guest_region *r)
{
	mem->cnt = 0;
	return mf_err_set(err, code,
			  "guest memory: the region at 0x%llx of 0x%llx bytes cannot be taken: %s.",
			  (unsigned long long)r->gpa, (unsigned long long)r->size, why);
}

int mf_guest_memory_set(struct mf_guest_memory *mem, const struct mf_guest_region *regions,
			unsigned cnt, struct mf_err *err)
{
	mem->cnt = 0;
	mem->recent = 0;
	mem->generation++;
	for (unsigned i = 0; i < cnt; i++) {
		const struct mf_guest_region *r = &regions[i];
		unsigned at;

		if (r->size == 0)
			continue;
		if (mem->cnt == MF_GUEST_REGIONS_MAX)
			return refuse(mem, err, MF_E_FULL, "there are more than 32 regions", r);
		if (!r->ptr)
			return refuse(mem, err, MF_E_INVAL, "it has no pointer", r);
		if (r->size - 1 > UINT64_MAX - r->gpa)
			return refuse(mem, err, MF_E_INVAL, "it ends past 64 bits", r);
		for (at = mem->cnt; at > 0 && mem->regions[at - 1].gpa > r->gpa; at--)
			mem->regions[at] = mem->regions[at - 1];
		mem->regions[at] = *r;
		mem->cnt++;
	}
	for (unsigned i = 1; i < mem->cnt; i++) {
		const struct mf_guest_region *r = &mem->regions[i];

		if (r->gpa - r[-1].gpa < r[-1].size)
			return refuse(mem, err, MF_E_INVAL, "it overlaps another", r);
	}
	return 0;
}

/* The region of @gpa, or NULL. */
static const struct mf_guest_region *region_of(struct mf_guest_memory *mem, uint64_t gpa)
{
	unsigned low = 0, high = mem->cnt;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct mf_guest_region *r = &mem->regions[mid];

		if (gpa < r->gpa) {
			high = mid;
		} else if (gpa - r->gpa < r->size) {
			mem->recent = mid;
			return r;
		} else {
			low = mid + 1;
		}
	}
	return NULL;
}

uint8_t *mf_guest_memory_find(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, bool write)
{
	const struct mf_guest_region *r = len ? region_of(mem, gpa) : NULL;

	if (!r || (write && r->read_only) || len > r->size - (gpa - r->gpa))
		return NULL;
	return r->ptr + (gpa - r->gpa);
}

/* How many of @len bytes lie at @gpa in one region, and where; 0: none. */
static uint64_t piece_at(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, bool write,
			 uint8_t **ptr)
{
	const struct mf_guest_region *r = region_of(mem, gpa);
	uint64_t there;

	if (!r || (write && r->read_only))
		return 0;
	there = r->size - (gpa - r->gpa);
	*ptr = r->ptr + (gpa - r->gpa);
	return len < there ? len : there;
}

int mf_guest_memory_read(struct mf_guest_memory *mem, uint64_t gpa, void *dst, uint64_t len)
{
	uint8_t *to = dst, *from;

	while (len) {
		uint64_t n = piece_at(mem, gpa, len, false, &from);

		if (!n)
			return MF_E_BAD;
		memcpy(to, from, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int mf_guest_memory_write(struct mf_guest_memory *mem, uint64_t gpa, const void *src, uint64_t len)
{
	const uint8_t *from = src;
	uint8_t *to;
	uint64_t n;

	for (uint64_t done = 0; done < len; done += n) { // all of it, or nothing
		n = piece_at(mem, gpa + done, len - done, true, &to);
		if (!n)
			return MF_E_BAD;
	}
	for (uint64_t done = 0; done < len; done += n) {
		n = piece_at(mem, gpa + done, len - done, true, &to);
		memcpy(to, from + done, n);
	}
	return 0;
}

int mf_guest_map(struct mf_guest_memory *mem, uint64_t gpa, uint64_t len, struct mf_span *parts,
		 unsigned max)
{
	unsigned cnt = 0;
	uint8_t *ptr;

	while (len) {
		uint64_t n = piece_at(mem, gpa, len, false, &ptr);

		if (!n)
			return MF_E_BAD;
		if (cnt == max)
			return MF_E_FULL;
		parts[cnt++] = mf_span_of(ptr, n);
		gpa += n;
		len -= n;
	}
	return (int)cnt;
}
