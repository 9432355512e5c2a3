/* SPDX-License-Identifier: Apache-2.0 */
/* test_packs.c - versions and ranges, times, paths of a pack, archives cut and changed at every byte */
#include "tests/unit/test.h"

#include "core/policy/semver.h"
#include "packs/archive.h"
#include "packs/signature.h"
#include "packs/update.h"

static struct mf_err err;

/* The order of semver.org's section 11, and its neighbours. */
static void versions_are_in_order(void **state)
{
	static const char *const sorted[] = {
		"0.0.1",      "0.1.0",	      "1.0.0-alpha",   "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",	"1.0.0",
		"1.0.1-0",    "1.0.1",	      "1.2.0",	       "1.10.0",	"2.0.0",
	};
	struct mf_semver a, b;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(sorted); i++)
		for (size_t k = 0; k < MF_ARRAY_SIZE(sorted); k++) {
			int want = (i > k) - (i < k), is;

			assert_int_equal(mf_semver_parse(sorted[i], &a, &err), 0);
			assert_int_equal(mf_semver_parse(sorted[k], &b, &err), 0);
			is = mf_semver_compare(&a, &b);
			if ((is > 0) - (is < 0) != want)
				fail_msg("%s and %s: %d", sorted[i], sorted[k], is);
		}
	assert_int_equal(mf_semver_parse("1.0.0+build.007", &a, &err), 0);
	assert_int_equal(mf_semver_parse("1.0.0", &b, &err), 0);
	assert_int_equal(mf_semver_compare(&a, &b), 0);
}

static void what_is_no_version_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"1.2",
		"1.2.3.4",
		"01.2.3",
		"1.02.3",
		"1.2.03",
		"1.2.3-",
		"1.2.3-a..b",
		"1.2.3-01",
		"1.2.3+",
		"v1.2.3",
		"1.2.3 ",
		"1.2.-3",
		"1.2.3-ü",
		"1234567890.0.0",
		"1.2.",
		"1.2.3+a+b",
		"1.2.3-aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff",
	};
	struct mf_semver v;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		if (mf_semver_parse(bad[i], &v, &err) != MF_E_SYNTAX)
			fail_msg("\"%s\" is a version", bad[i]);
}

static void ranges_hold_what_they_say(void **state)
{
	static const struct {
		const char *range, *in, *out; /* versions with blanks between */
	} cases[] = {
		{ "*", "0.0.0 9.9.9", "1.0.0-rc.1" },
		{ "1.4.2", "1.4.2 1.4.2+x", "1.4.3 1.4.2-rc.1" },
		{ "=1.4.2", "1.4.2", "1.4.1" },
		{ "^1.4", "1.4.0 1.99.0", "1.3.9 2.0.0 2.0.0-rc.1 1.5.0-rc.1" },
		{ "^0.3", "0.3.0 0.3.9", "0.4.0 0.2.9" },
		{ "^0.0.3", "0.0.3", "0.0.4 0.0.2" },
		{ "^0", "0.0.0 0.9.0", "1.0.0" },
		{ "~1.4.2", "1.4.2 1.4.9", "1.4.1 1.5.0" },
		{ "~1", "1.0.0 1.9.9", "2.0.0" },
		{ ">=1.4 <2", "1.4.0 1.9.9", "1.3.9 2.0.0" },
		{ ">1.4.2 <=1.6", "1.4.3 1.6.0", "1.4.2 1.6.1" },
		{ ">=2.0.0-rc.1 <3", "2.0.0-rc.1 2.0.0-rc.2 2.0.0 2.1.0",
		  "2.0.0-beta.1 2.1.0-rc.1" },
	};
	struct mf_semver_range range;
	struct mf_semver v;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_int_equal(mf_semver_range_parse(cases[i].range, &range, &err), 0);
		for (int in = 0; in < 2; in++) {
			char text[200], *save = NULL;

			snprintf(text, sizeof(text), "%s", in ? cases[i].in : cases[i].out);
			for (char *p = strtok_r(text, " ", &save); p;
			     p = strtok_r(NULL, " ", &save)) {
				assert_int_equal(mf_semver_parse(p, &v, &err), 0);
				if (mf_semver_range_has(&range, &v) != in)
					fail_msg("%s and %s", cases[i].range, p);
			}
		}
	}
	for (const char *const *p =
		     (const char *const[]){ "", " ", "1.4", "1", "x", ">=", "^", "1.4.2,",
					    "1.4.2 ||", "> 1.4.2", "** ", ">=1.4 <2 x", NULL };
	     *p; p++)
		if (mf_semver_range_parse(*p, &range, &err) != MF_E_SYNTAX)
			fail_msg("\"%s\" is a range", *p);
}

static void times_are_read_and_written(void **state)
{
	static const struct {
		const char *text;
		uint64_t s;
	} cases[] = {
		{ "1970-01-01", 0 },
		{ "1970-01-02T00:00:01Z", 86401 },
		{ "2000-02-29", 951782400 },
		{ "2026-11-22T06:30:00Z", 1795329000 },
		{ "2026-11-22T08:30:00.25+02:00", 1795329000 },
		{ "2026-11-22T04:00:00-02:30", 1795329000 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
	};
	uint64_t s, again;
	char text[32];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_int_equal(mf_time_parse(cases[i].text, &s), 0);
		assert_int_equal(s, cases[i].s);
		mf_time_text(s, text);
		assert_int_equal(mf_time_parse(text, &again), 0);
		assert_int_equal(again, s);
	}
	for (const char *const *p =
		     (const char *const[]){ "", "2026", "2026-13-01", "2026-02-29", "2026-1-1",
					    "2026-01-01T", "2026-01-01T00:00:00", "2026-01-01Z",
					    "2026-01-01T24:00:00Z", "1970-01-01T00:00:00+01:00",
					    "2026-01-01T00:00:00.Z", NULL };
	     *p; p++)
		if (mf_time_parse(*p, &s) == 0)
			fail_msg("\"%s\" is a time", *p);
}

static void make_archive(uint8_t **ret, size_t *ret_len)
{
	struct mf_pack_tree tree = { 0 };

	assert_int_equal(mf_pack_tree_add(&tree, "pack.lua", "return {}", 9, NULL, &err), 0);
	assert_int_equal(mf_pack_tree_add(&tree, "data/empty", "", 0, NULL, &err), 0);
	assert_int_equal(mf_pack_tree_seal(&tree, &err), 0);
	assert_int_equal(mf_pack_archive_write(&tree, ret, ret_len, &err), 0);
	mf_pack_tree_done(&tree);
}

/* What is read back is what was written; so an archive that was changed is refused or has other contents, never other headers. */
static void an_archive_has_one_reading(void **state)
{
	struct mf_pack_tree tree;
	uint8_t *data, *again;
	size_t len, again_len;

	(void)state;
	make_archive(&data, &len);
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			data[i] ^= (uint8_t)(1u << bit);
			if (mf_pack_archive_read(data, len, &tree, &err) == 0) {
				assert_int_equal(
					mf_pack_archive_write(&tree, &again, &again_len, &err), 0);
				assert_int_equal(again_len, len);
				assert_memory_equal(again, data, len);
				free(again);
				mf_pack_tree_done(&tree);
			}
			data[i] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = malloc(n + 1);

		memcpy(cut, data, n);
		assert_int_equal(mf_pack_archive_read(cut, n, &tree, &err), MF_E_BAD);
		free(cut);
	}
	free(data);
}

static void only_portable_paths_are_files_of_a_pack(void **state)
{
	static const char *const bad[] = { "",	   "/a",      "a/",	  "a//b",
					   "..",   "a/../b",  "./a",	  ".a",
					   "a.",   "a b",     "a:b",	  "a\\b",
					   "COM1", "a/nul.x", "\xc3\xbc", "1/2/3/4/5/6/7/8/9",
					   "a\nb" };
	static const char *const clashes[][2] = {
		{ "a", "A" }, { "a/b", "A/c" }, { "a", "a/b" }, { "A", "a/b" }, { "a/b", "a/b" }
	};
	struct mf_pack_tree tree = { 0 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		if (mf_pack_tree_add(&tree, bad[i], "", 0, NULL, &err) != MF_E_BAD)
			fail_msg("\"%s\" is a path", bad[i]);
	for (size_t i = 0; i < MF_ARRAY_SIZE(clashes); i++) {
		for (int k = 0; k < 2; k++)
			assert_int_equal(mf_pack_tree_add(&tree, clashes[i][k], "", 0, NULL, &err),
					 0);
		/* What sorts between them by bytes must not hide it. */
		assert_int_equal(mf_pack_tree_add(&tree, "a-b", "", 0, NULL, &err), 0);
		assert_int_equal(mf_pack_tree_add(&tree, "B", "", 0, NULL, &err), 0);
		if (mf_pack_tree_seal(&tree, &err) != MF_E_BAD)
			fail_msg("%s and %s", clashes[i][0], clashes[i][1]);
		mf_pack_tree_done(&tree);
	}
	assert_int_equal(mf_pack_tree_add(&tree, "a/b", "", 0, NULL, &err), 0);
	assert_int_equal(mf_pack_tree_add(&tree, "a-b", "", 0, NULL, &err), 0);
	assert_int_equal(mf_pack_tree_add(&tree, "a/c/d", "", 0, NULL, &err), 0);
	assert_int_equal(mf_pack_tree_seal(&tree, &err), 0);
	mf_pack_tree_done(&tree);
}

static void a_source_is_left_alone_longer_and_longer(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 2000; n += n < 20 ? 1 : 500) {
		uint64_t most = mf_update_wait(n, 0, 0), least = most, after;

		for (uint32_t random = 1; random < 100000; random += 997) {
			after = mf_update_wait(n, 0, random);
			least = after < least ? after : least;
			assert_in_range(after, most / 2, most);
		}
		assert_in_range(most, MF_UPDATE_WAIT_S, MF_UPDATE_WAIT_MAX_S);
		assert_true(least < most * 3 / 4); /* a thousand machines do not come at once */
		assert_true(mf_update_wait(n + 1, 0, 0) >= most);
	}
	assert_int_equal(mf_update_wait(1, 0, 0), 60);
	assert_int_equal(mf_update_wait(3, 0, 0), 240);
	assert_int_equal(mf_update_wait(1000, 0, 0), MF_UPDATE_WAIT_MAX_S);
	/* A source that says when is believed, for a day. */
	assert_int_equal(mf_update_wait(5, 7, 12345), 7);
	assert_int_equal(mf_update_wait(1, UINT64_MAX, 0), MF_UPDATE_RETRY_MAX_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_is_left_alone_longer_and_longer),
		cmocka_unit_test(versions_are_in_order),
		cmocka_unit_test(what_is_no_version_is_refused),
		cmocka_unit_test(ranges_hold_what_they_say),
		cmocka_unit_test(times_are_read_and_written),
		cmocka_unit_test(an_archive_has_one_reading),
		cmocka_unit_test(only_portable_paths_are_files_of_a_pack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
