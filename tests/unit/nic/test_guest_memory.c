/* SPDX-License-Identifier: Apache-2.0 */
/* test_guest_memory.c - every address is inside a region or refused; copies cross borders, and write all or nothing */
#include "nic/guest_memory.h"
#include "tests/unit/test.h"

static uint8_t low[0x100], high[0x80], rom[0x40];
static struct mf_guest_memory mem;

static int setup(void **state)
{
	// Handed over in no order; low and high adjoin at 0x1100, a hole, then the ROM.
	const struct mf_guest_region regions[] = {
		{ .gpa = 0x1100, .size = sizeof(high), .ptr = high },
		{ .gpa = 0x2000, .size = sizeof(rom), .ptr = rom, .read_only = true },
		{ .gpa = 0x9000, .size = 0, .ptr = NULL },
		{ .gpa = 0x1000, .size = sizeof(low), .ptr = low },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(low); i++)
		low[i] = (uint8_t)i;
	memset(high, 0xee, sizeof(high));
	memset(rom, 0x77, sizeof(rom));
	assert_int_equal(mf_guest_memory_set(&mem, regions, 4, NULL), 0);
	assert_int_equal(mem.cnt, 3);
	return 0;
}

static void an_address_is_a_pointer_only_with_all_its_bytes(void **state)
{
	(void)state;
	assert_ptr_equal(mf_guest_at(&mem, 0x1000, 0x100, false), low);
	assert_ptr_equal(mf_guest_at(&mem, 0x10ff, 1, true), low + 0xff);
	assert_null(mf_guest_at(&mem, 0x10ff, 2, false)); // crosses into high
	assert_null(mf_guest_at(&mem, 0xfff, 1, false));
	assert_null(mf_guest_at(&mem, 0xfff, 0x10, false));
	assert_null(mf_guest_at(&mem, 0x1000, 0, false));
	assert_null(mf_guest_at(&mem, 0x1000, UINT64_MAX, false));
	assert_null(mf_guest_at(&mem, UINT64_MAX, 2, false));
	assert_ptr_equal(mf_guest_at(&mem, 0x203f, 1, false), rom + 0x3f);
	assert_null(mf_guest_at(&mem, 0x203f, 1, true)); // read-only, and found again as such
	assert_null(mf_guest_at(&mem, 0x2040, 1, false));
}

static void copies_cross_borders(void **state)
{
	uint8_t buf[0x20];
	struct mf_span parts[2];

	(void)state;
	assert_int_equal(mf_guest_read(&mem, 0x10f0, buf, sizeof(buf)), 0);
	assert_memory_equal(buf, low + 0xf0, 0x10);
	assert_memory_equal(buf + 0x10, high, 0x10);
	memset(buf, 0x55, sizeof(buf));
	assert_int_equal(mf_guest_write(&mem, 0x10f0, buf, sizeof(buf)), 0);
	assert_memory_equal(low + 0xf0, buf, 0x10);
	assert_memory_equal(high, buf, 0x10);
	assert_int_equal(high[0x10], 0xee);
	assert_int_equal(mf_guest_map(&mem, 0x10f0, 0x20, parts, 2), 2);
	assert_ptr_equal(parts[0].ptr, low + 0xf0);
	assert_int_equal(parts[1].len, 0x10);
	assert_int_equal(mf_guest_map(&mem, 0x10f0, 0x20, parts, 1), MF_E_FULL);
	assert_int_equal(mf_guest_map(&mem, 0x10f0, 0x20000, parts, 2), MF_E_BAD);
	assert_int_equal(mf_guest_map(&mem, 0x10f0, 0, parts, 2), 0);
}

static void what_leaves_memory_is_refused_whole(void **state)
{
	uint8_t buf[0x200], before[sizeof(high)];

	(void)state;
	memset(buf, 0x11, sizeof(buf));
	memcpy(before, high, sizeof(high));
	assert_int_equal(mf_guest_read(&mem, 0x1170, buf, 0x11), MF_E_BAD);
	assert_int_equal(mf_guest_write(&mem, 0x1170, buf, 0x11), MF_E_BAD);
	assert_memory_equal(high, before, sizeof(high));
	assert_int_equal(mf_guest_write(&mem, 0x2000, buf, 1), MF_E_BAD);
	assert_int_equal(mf_guest_write(&mem, UINT64_MAX - 3, buf, 8), MF_E_BAD);
	assert_int_equal(mf_guest_read(&mem, 0x5000, buf, 1), MF_E_BAD);
}

static void regions_that_cannot_be_are_refused(void **state)
{
	struct mf_guest_region r[MF_GUEST_REGIONS_MAX + 1];
	struct mf_err err;
	uint64_t generation = mem.generation;

	(void)state;
	for (unsigned i = 0; i < MF_GUEST_REGIONS_MAX + 1; i++)
		r[i] = (struct mf_guest_region){ .gpa = i * 0x10, .size = 0x10, .ptr = low };
	assert_int_equal(mf_guest_memory_set(&mem, r, MF_GUEST_REGIONS_MAX, &err), 0);
	assert_non_null(mf_guest_at(&mem, 0x1ff, 1, false));
	assert_int_equal(mf_guest_memory_set(&mem, r, MF_GUEST_REGIONS_MAX + 1, &err), MF_E_FULL);
	assert_null(mf_guest_at(&mem, 0, 1, false));
	r[1].gpa = 0xf;
	assert_int_equal(mf_guest_memory_set(&mem, r, 2, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "overlaps"));
	r[0] = (struct mf_guest_region){ .gpa = UINT64_MAX, .size = 2, .ptr = low };
	assert_int_equal(mf_guest_memory_set(&mem, r, 1, &err), MF_E_INVAL);
	r[0].size = 1;
	assert_int_equal(mf_guest_memory_set(&mem, r, 1, &err), 0);
	assert_non_null(mf_guest_at(&mem, UINT64_MAX, 1, false));
	assert_null(mf_guest_at(&mem, UINT64_MAX, 2, false));
	r[0].ptr = NULL;
	assert_int_equal(mf_guest_memory_set(&mem, r, 1, &err), MF_E_INVAL);
	assert_int_equal(mem.generation, generation + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_address_is_a_pointer_only_with_all_its_bytes, setup),
		cmocka_unit_test_setup(copies_cross_borders, setup),
		cmocka_unit_test_setup(what_leaves_memory_is_refused_whole, setup),
		cmocka_unit_test_setup(regions_that_cannot_be_are_refused, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
