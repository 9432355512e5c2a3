/* SPDX-License-Identifier: Apache-2.0 */
/* domain_set_int.h - how a sealed domain set lies in memory, and in its image (domain_image.c) */
#ifndef MF_MATCH_DOMAIN_SET_INT_H
#define MF_MATCH_DOMAIN_SET_INT_H

#include "core/match/domain_set.h"

// An entry in the pool: length, scope, value where values differ, name. The builder always has the value.
#define HEAD	     2u
#define VALUE	     4u

#define BUCKET_SLOTS 10u

// One cache line of the table.
struct bucket {
	uint16_t tags[BUCKET_SLOTS]; // 0: a free slot
	uint32_t spilled; // bit t % 32: an entry with tag t found no room here and went on
	uint32_t refs[BUCKET_SLOTS]; // pool offset of the entry
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct mf_domain_set {
	struct bucket *buckets; // within table, at the beginning of a cache line
	void *table;
	uint8_t *pool;
	size_t pool_len;
	uint64_t seed;
	uint64_t depths[2]; // bit d: some entry has d labels
	uint32_t bucket_cnt, name_cnt;
	uint32_t value; // of all entries, where has_values is false
	bool has_values;
	bool borrowed; // buckets and pool belong to somebody else (domain_image.c)
};

#endif
