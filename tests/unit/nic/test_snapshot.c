/* SPDX-License-Identifier: Apache-2.0 */
/* test_snapshot.c - sections written and read back; whatever is cut, longer, of another version or order is refused */
#include "nic/snapshot.h"
#include "tests/unit/test.h"

static size_t write_one(void *ptr, size_t cap)
{
	struct mf_snap_writer w;

	mf_snap_begin(&w, ptr, cap, MF_SNAP_E1000, 2);
	mf_snap_section(&w, 1);
	mf_snap_put_u8(&w, 0x11);
	mf_snap_put_u16(&w, 0x2233);
	mf_snap_section(&w, 7);
	mf_snap_put_u32(&w, 0x44556677);
	mf_snap_put_u64(&w, 0x8899aabbccddeeff);
	mf_snap_put(&w, "end", 3);
	return mf_snap_end(&w);
}

static int read_one(const void *ptr, size_t len, struct mf_err *err)
{
	struct mf_snap_reader r;
	char text[3];
	int rc;

	mf_snap_open(&r, ptr, len, MF_SNAP_E1000, 2);
	mf_snap_enter(&r, 1);
	rc = mf_snap_get_u8(&r) != 0x11;
	rc |= mf_snap_get_u16(&r) != 0x2233;
	mf_snap_enter(&r, 7);
	rc |= mf_snap_get_u32(&r) != 0x44556677;
	rc |= mf_snap_get_u64(&r) != 0x8899aabbccddeeff;
	mf_snap_get(&r, text, sizeof(text));
	rc |= memcmp(text, "end", 3) != 0;
	return mf_snap_close(&r, err) ? r.code : rc;
}

static void what_is_written_is_read(void **state)
{
	uint8_t buf[128];
	size_t len = write_one(NULL, 0);

	(void)state;
	assert_int_equal(len, 16 + 8 + 3 + 8 + 15);
	assert_int_equal(write_one(buf, len), len);
	assert_int_equal(read_one(buf, len, NULL), 0);
	for (size_t cap = 0; cap < len; cap++)
		assert_int_equal(write_one(buf, cap), 0);
}

static void whatever_is_cut_or_longer_is_refused(void **state)
{
	uint8_t buf[128] = { 0 };
	size_t len = write_one(buf, sizeof(buf));
	struct mf_err err;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1); // a read past its end is found

		memcpy(exact, buf, cut);
		assert_int_equal(read_one(exact, cut, &err), MF_E_BAD);
		if (cut >= 16) {
			mf_store_le32(exact + 12, (uint32_t)cut);
			assert_int_equal(read_one(exact, cut, &err), MF_E_BAD);
		}
		free(exact);
	}
	mf_store_le32(buf + 12, (uint32_t)len + 1);
	assert_int_equal(read_one(buf, len + 1, &err), MF_E_BAD);
	assert_string_equal(err.msg, "The snapshot is refused: something stands behind its last "
				     "section (section 7).");
}

static void another_kind_version_or_order_is_refused(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		int code;
	} cases[] = {
		{ 0, 'X', MF_E_BAD },	    { 4, 2, MF_E_UNSUPPORTED }, { 6, 2, MF_E_UNSUPPORTED },
		{ 8, 3, MF_E_UNSUPPORTED }, { 8, 0, MF_E_UNSUPPORTED }, { 10, 1, MF_E_BAD },
		{ 16, 2, MF_E_BAD },	    { 18, 1, MF_E_BAD },	{ 20, 2, MF_E_BAD },
		{ 20, 4, MF_E_BAD },	    { 23, 0x80, MF_E_BAD },	{ 27, 1, MF_E_BAD },
		{ 31, 14, MF_E_BAD },	    { 31, 16, MF_E_BAD },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[128];
		size_t len = write_one(buf, sizeof(buf));

		buf[cases[i].at] = cases[i].value;
		assert_int_equal(read_one(buf, len, NULL), cases[i].code);
	}
}

static void a_device_may_refuse_what_it_reads(void **state)
{
	uint8_t buf[128];
	size_t len = write_one(buf, sizeof(buf));
	struct mf_snap_reader r;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_snap_open(&r, buf, len, MF_SNAP_E1000, 2), 0);
	assert_int_equal(r.version, 2);
	mf_snap_enter(&r, 1);
	assert_int_equal(mf_snap_refuse(&r, "its tail is past its ring"), MF_E_BAD);
	assert_int_equal(mf_snap_get_u8(&r), 0);
	mf_snap_enter(&r, 7);
	assert_int_equal(mf_snap_close(&r, &err), MF_E_BAD);
	assert_string_equal(err.msg,
			    "The snapshot is refused: its tail is past its ring (section 1).");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(whatever_is_cut_or_longer_is_refused),
		cmocka_unit_test(another_kind_version_or_order_is_refused),
		cmocka_unit_test(a_device_may_refuse_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
