/* SPDX-License-Identifier: Apache-2.0 */
/* domain_image.c - a domain set as bytes that are used where they lie; see domain_set.h */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/match/domain_set_int.h"

#define VERSION 1u

static const char magic[8] =
	"\x89mfset\r\n"; // no list of names begins so, and what changes line ends destroys it

struct head {
	char magic[8];
	uint32_t version, zero;
	uint64_t checksum; // of everything behind it
	uint64_t seed, depths[2], pool_len;
	uint32_t bucket_cnt, name_cnt;
};
_Static_assert(sizeof(struct head) == sizeof(struct bucket), "the table begins at a cache line");

#define SUMMED offsetof(struct head, seed)

static uint64_t checksum(const uint8_t *data, size_t len)
{
	return mf_hash_bytes(data + SUMMED, len - SUMMED, 0x6d66736574);
}

int mf_domain_set_make_image(const struct mf_domain_set *set, void **ret_data, size_t *ret_len,
			     struct mf_err *err)
{
	struct head h = { .version = VERSION,
			  .name_cnt = set->name_cnt,
			  .seed = set->seed,
			  .depths = { set->depths[0], set->depths[1] },
			  .pool_len = set->pool_len,
			  .bucket_cnt = set->bucket_cnt };
	size_t table = set->bucket_cnt * sizeof(struct bucket);
	size_t len = sizeof(h) + table + set->pool_len;
	uint8_t *data;

	if (set->has_values || (set->name_cnt && set->value))
		return mf_err_set(err, MF_E_INVAL, "A set with values has no image.");
	data = malloc(len);
	if (!data)
		return mf_err_set(err, MF_E_NOMEM, "No memory for the image of a domain set.");
	memcpy(h.magic, magic, sizeof(magic));
	memcpy(data, &h, sizeof(h));
	memcpy(data + sizeof(h), set->buckets, table);
	memcpy(data + sizeof(h) + table, set->pool, set->pool_len);
	h.checksum = checksum(data, len);
	memcpy(data, &h, sizeof(h));
	*ret_data = data;
	*ret_len = len;
	return 0;
}

bool mf_domain_set_is_image(const void *data, size_t len)
{
	return len >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0;
}

// Buckets beside one another that something spilled over. Of eight million names there are 64 in a row: more are there to make
// questions last.
#define RUN_MAX 256u

static bool is_sound_entry(const struct mf_domain_set *set, size_t ref)
{
	return ref < set->pool_len && set->pool_len - ref >= HEAD &&
	       set->pool_len - ref - HEAD >= set->pool[ref] &&
	       set->pool[ref + 1] < MF_DOMAIN_SCOPE_NUM;
}

// Whether every entry lies within the pool, and every probe comes to an end, and soon.
static bool is_sound(const struct mf_domain_set *set)
{
	uint32_t run = 0, longest = 0, first = UINT32_MAX;

	for (uint32_t i = 0; i < set->bucket_cnt; i++) {
		const struct bucket *b = &set->buckets[i];

		run = b->spilled ? run + 1 : 0;
		if (!b->spilled && first == UINT32_MAX)
			first = i;
		if (run > longest)
			longest = run;
		for (uint32_t k = 0; k < BUCKET_SLOTS; k++)
			if (b->tags[k] && !is_sound_entry(set, b->refs[k]))
				return false;
	}
	// The last run goes on at the beginning.
	return first != UINT32_MAX && longest <= RUN_MAX && run + first <= RUN_MAX;
}

// Whether some name that is in the table is found there: hashes may have been others when it was made.
static bool finds_itself(const struct mf_domain_set *set)
{
	for (uint32_t i = 0; i < set->bucket_cnt; i++)
		for (uint32_t k = 0; k < BUCKET_SLOTS; k++) {
			const uint8_t *e = set->pool + set->buckets[i].refs[k];
			char name[2 * MF_NAME_ROOM] = "a.a.";
			size_t len;

			if (!set->buckets[i].tags[k])
				continue;
			// A name of each scope that the entry matches.
			len = e[1] == MF_DOMAIN_CHILD || e[1] == MF_DOMAIN_BELOW ? 2 : 0;
			memcpy(name + len, e + HEAD, e[0]);
			len += e[0];
			return len > MF_NAME_MAX || mf_domain_set_under(set, name, len);
		}
	return set->name_cnt == 0;
}

static int fail(struct mf_err *err, const char *what)
{
	return mf_err_set(err, MF_E_BAD, "The compiled list of names is %s.", what);
}

int mf_domain_set_open_image(const void *data, size_t len, struct mf_domain_set **ret_set,
			     struct mf_err *err)
{
	struct mf_domain_set *set;
	const uint8_t *bytes = data;
	struct head h;
	size_t table;

	if (len < sizeof(h) || !mf_domain_set_is_image(data, len))
		return fail(err, "cut off, or none");
	memcpy(&h, data, sizeof(h));
	table = (size_t)h.bucket_cnt * sizeof(struct bucket);
	if (h.version != VERSION)
		return fail(err, "of another version: build it again");
	if (h.zero || !h.bucket_cnt || table > len - sizeof(h) ||
	    h.pool_len != len - sizeof(h) - table || h.pool_len > UINT32_MAX ||
	    checksum(bytes, len) != h.checksum)
		return fail(err, "damaged");
	set = calloc(1, sizeof(*set));
	if (!set)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a domain set.");
	// Never written to: only insert() does that, while a set is built.
	set->buckets = (void *)((uintptr_t)data + sizeof(h));
	set->pool = (void *)((uintptr_t)data + sizeof(h) + table);
	set->pool_len = (size_t)h.pool_len;
	set->seed = h.seed;
	memcpy(set->depths, h.depths, sizeof(h.depths));
	set->bucket_cnt = h.bucket_cnt;
	set->name_cnt = h.name_cnt;
	set->borrowed = true;
	if (!is_sound(set) || !finds_itself(set)) {
		mf_domain_set_free(set);
		return fail(err, "damaged, or of another version: build it again");
	}
	*ret_set = set;
	return 0;
}
