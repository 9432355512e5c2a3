/* SPDX-License-Identifier: Apache-2.0 */
/* test_bytes.c - loads and stores, spans, hashes and clocks */
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/pages.h"
#include "core/base/span.h"
#include "tests/unit/test.h"

static void numbers_are_big_endian_at_any_alignment(void **state)
{
	uint8_t buf[32] = { 0 };

	(void)state;
	for (unsigned off = 0; off < 9; off++) {
		uint8_t *p = buf + off;

		mf_store_be64(p, UINT64_C(0x0102030405060708));
		assert_memory_equal(p, "\1\2\3\4\5\6\7\x08", 8);
		assert_int_equal(mf_load_be16(p), 0x0102);
		assert_int_equal(mf_load_be24(p), 0x010203);
		assert_int_equal(mf_load_be32(p), 0x01020304);
		assert_int_equal(mf_load_be64(p), UINT64_C(0x0102030405060708));
		mf_store_be16(p, 0xfffe);
		mf_store_be24(p + 2, 0xabcdef);
		assert_memory_equal(p, "\xff\xfe\xab\xcd\xef\6\7\x08", 8);
		mf_store_be32(p, 0x80000001);
		assert_memory_equal(p, "\x80\0\0\1\xef", 5);
	}
	assert_int_equal(mf_load_be32((const uint8_t *)"\xff\xff\xff\xff"), UINT32_MAX);
	assert_int_equal(mf_load_be24((const uint8_t *)"\xff\xff\xff"), 0xffffff);
}

static void parts_of_spans_stay_within_them(void **state)
{
	struct mf_span s = mf_span_str("hello"), none = { 0 };

	(void)state;
	assert_true(mf_span_eq(mf_span_sub(s, 1, 3), mf_span_str("ell")));
	assert_true(mf_span_eq(mf_span_sub(s, 1, SIZE_MAX), mf_span_str("ello")));
	assert_int_equal(mf_span_sub(s, 5, 1).len, 0);
	assert_int_equal(mf_span_sub(s, SIZE_MAX, 1).len, 0);
	assert_true(mf_span_eq(none, mf_span_str("")));
	assert_false(mf_span_eq(s, mf_span_str("hell")));
	assert_false(mf_span_eq(s, mf_span_str("hellO")));
}

/* Keys of all lengths that differ in one bit or in their length hash apart, for any seed. */
static void keys_that_differ_a_little_hash_apart(void **state)
{
	uint8_t key[80];

	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37);
	for (uint64_t seed = 0; seed < 3; seed++)
		for (size_t len = 0; len < sizeof(key); len++) {
			uint64_t h = mf_hash_bytes(key, len, seed);

			assert_true(h == mf_hash_bytes(key, len, seed));
			assert_true(h != mf_hash_bytes(key, len, seed + 1));
			assert_true(h !=
				    mf_hash_bytes(key, len + 1 < sizeof(key) ? len + 1 : 0, seed));
			for (size_t bit = 0; bit < len * 8; bit++) {
				key[bit / 8] ^= (uint8_t)(1u << bit % 8);
				assert_true(h != mf_hash_bytes(key, len, seed));
				key[bit / 8] ^= (uint8_t)(1u << bit % 8);
			}
		}
}

/*
 * A multiplying hash whose factors are known can be blinded: one factor chosen to be zero, and the rest of the key no
 * longer counts. The constants of hash.h in each 8 bytes of a key, plain and with the seed's halves not known.
 */
static void no_known_constant_in_a_key_makes_the_rest_not_count(void **state)
{
	static const uint64_t constants[] = { 0xa0761d6478bd642fu, 0x8ebc6af09c88c6e3u,
					      0xe7037ed1a0b428dbu, 0x9e3779b97f4a7c15u, 0 };
	uint8_t key[40];

	(void)state;
	for (size_t len = 9; len <= sizeof(key); len++)
		for (size_t c = 0; c < sizeof(constants) / sizeof(constants[0]); c++)
			for (size_t at = 0; at + 8 <= len; at += 8) {
				uint64_t seen[32];

				for (uint64_t i = 0; i < 32; i++) {
					memset(key, (int)i + 1, sizeof(key));
					memcpy(key + at, &constants[c], 8);
					seen[i] = mf_hash_bytes(key, len, 0x1234567890abcdefu);
					for (uint64_t j = 0; j < i; j++)
						assert_true(seen[i] != seen[j]);
				}
			}
}

static void hashes_fill_buckets_evenly(void **state)
{
	unsigned cnt[256] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 65536; i++)
		cnt[mf_hash_bytes(&i, sizeof(i), 99) & 255]++;
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(cnt[i], 160,
				360); // 256 each; more than six deviations away is no chance
	memset(cnt, 0, sizeof(cnt));
	for (uint64_t i = 0; i < 65536; i++)
		cnt[mf_hash_u64(i << 40, 99) >> 56]++;
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(cnt[i], 160, 360);
}

static void seeds_differ_and_clocks_run_forward(void **state)
{
	uint64_t a = mf_clock_now(&mf_clock_system), b = mf_clock_now(&mf_clock_system);

	(void)state;
	assert_true(mf_hash_seed() != mf_hash_seed());
	assert_true(b >= a);
	assert_true(mf_clock_wall(&mf_clock_system) > UINT64_C(1600000000) * MF_NS_PER_S);
}

static void pieces_are_zeroed_to_the_last_byte_and_no_further(void **state)
{
	uint8_t buf[200];

	(void)state;
	memset(buf, 0xaa, sizeof(buf));
	mf_bytes_zero(buf + 8, 112);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i >= 8 && i < 120 ? 0 : 0xaa);
	memset(buf, 0xaa, sizeof(buf));
	mf_bytes_zero(buf + 8, 64);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i >= 8 && i < 72 ? 0 : 0xaa);
}

static void tables_begin_at_lines_and_are_zeroed(void **state)
{
	static const size_t sizes[] = { 1, 64, MF_PAGES_LARGE_MIN - 1, MF_PAGES_LARGE_MIN,
					3 * MF_PAGES_LARGE_MIN + 4711 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(sizes); i++) {
		void *mem;
		uint8_t *p = mf_pages_alloc(sizes[i], 1, &mem);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 64, 0);
		for (size_t k = 0; k < sizes[i]; k += k + 64 < sizes[i] ? 64 : 1)
			assert_int_equal(p[k]++, 0);
		free(mem);
	}
}

static void tables_that_cannot_be_are_refused(void **state)
{
	void *mem = &mem;

	(void)state;
	assert_null(mf_pages_alloc(SIZE_MAX / 2, 3, &mem));
	assert_null(mem);
	mem = &mem;
	assert_null(mf_pages_alloc(SIZE_MAX - 5, 1, &mem));
	assert_null(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian_at_any_alignment),
		cmocka_unit_test(parts_of_spans_stay_within_them),
		cmocka_unit_test(keys_that_differ_a_little_hash_apart),
		cmocka_unit_test(no_known_constant_in_a_key_makes_the_rest_not_count),
		cmocka_unit_test(hashes_fill_buckets_evenly),
		cmocka_unit_test(pieces_are_zeroed_to_the_last_byte_and_no_further),
		cmocka_unit_test(tables_begin_at_lines_and_are_zeroed),
		cmocka_unit_test(tables_that_cannot_be_are_refused),
		cmocka_unit_test(seeds_differ_and_clocks_run_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
