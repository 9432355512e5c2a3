/* SPDX-License-Identifier: Apache-2.0 */
/* test_text.c - text buffers, errors and log lines */
#include <limits.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"
#include "tests/unit/test.h"

static void text_grows_piece_by_piece(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(100000);
	size_t len = 0;

	(void)state;
	assert_null(b.str);
	for (unsigned i = 0; i < 5000; i++) {
		mf_strbuf_addf(&b, "%04u", i);
		mf_strbuf_adds(&b, ",");
		mf_strbuf_addc(&b, ' ');
		len += 6;
	}
	assert_false(b.failed);
	assert_int_equal(b.len, len);
	assert_int_equal(strlen(b.str), len);
	assert_memory_equal(b.str + 6 * 4321, "4321, ", 6);
	mf_strbuf_clear(&b);
	assert_string_equal(b.str, "");
	mf_strbuf_done(&b);
	assert_null(b.str);
}

static void bytes_with_nul_are_kept(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(10);

	(void)state;
	mf_strbuf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.str, "a\0b", 4);
	mf_strbuf_add(&b, NULL, 0);
	assert_int_equal(b.len, 3);
	mf_strbuf_done(&b);
}

static void the_cap_is_reached_and_not_passed(void **state)
{
	for (size_t cap = 0; cap < 300; cap++) {
		struct mf_strbuf b = MF_STRBUF_INIT(cap);

		for (size_t i = 0; i < cap; i++)
			mf_strbuf_addc(&b, 'x');
		assert_false(b.failed);
		assert_int_equal(b.len, cap);
		assert_true(b.room <= cap + 1);
		mf_strbuf_addc(&b, 'y');
		assert_true(b.failed);
		assert_int_equal(b.len, 0);
		mf_strbuf_adds(&b, "z"); // a no-op now
		mf_strbuf_addf(&b, "%d", 1);
		assert_true(b.failed);
		assert_null(b.str);
		mf_strbuf_clear(&b);
		mf_strbuf_add(&b, "", 0);
		assert_false(b.failed);
		mf_strbuf_done(&b);
	}
	(void)state;
}

static void no_cap_at_all_works_and_sizes_do_not_wrap(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(SIZE_MAX);

	(void)state;
	mf_strbuf_adds(&b, "text");
	assert_false(b.failed);
	assert_string_equal(b.str, "text");
	mf_strbuf_add(&b, "x", SIZE_MAX); // would wrap to a small size
	assert_true(b.failed);
	mf_strbuf_done(&b);
}

static void errors_are_filled_with_place_and_sentence(void **state)
{
	struct mf_err err;
	char text[2048];

	(void)state;
	assert_int_equal(mf_err_set(&err, MF_E_IO, "cannot read %s", "x"), MF_E_IO);
	assert_string_equal(mf_err_format(&err, text, sizeof(text)), "cannot read x");
	assert_int_equal(mf_err_at(&err, MF_E_SYNTAX, "a.lua", 3, 0, "bad %d", 7), MF_E_SYNTAX);
	assert_string_equal(mf_err_format(&err, text, sizeof(text)), "a.lua:3: bad 7");
	mf_err_at(&err, MF_E_SYNTAX, "a.lua", 3, 9, "bad");
	assert_string_equal(mf_err_format(&err, text, sizeof(text)), "a.lua:3:9: bad");
	mf_err_at(&err, MF_E_SYNTAX, "a.lua", 0, 0, "bad");
	assert_string_equal(mf_err_format(&err, text, sizeof(text)), "a.lua: bad");
	// Context can be put around what is there already.
	mf_err_at(&err, MF_E_POLICY, err.file, 5, 0, "in pack: %s", err.msg);
	assert_string_equal(mf_err_format(&err, text, sizeof(text)), "a.lua:5: in pack: bad");
	assert_int_equal(mf_err_set(NULL, MF_E_IO, "nobody listens"), MF_E_IO);
	assert_int_equal(mf_err_at(NULL, MF_E_IO, NULL, 1, 1, "nobody listens"), MF_E_IO);
}

static void long_errors_are_cut_and_end(void **state)
{
	struct mf_err err;
	char longer[4096];

	(void)state;
	memset(longer, 'm', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	mf_err_at(&err, MF_E_IO, longer, 1, 1, "%s", longer);
	assert_int_equal(strlen(err.file), sizeof(err.file) - 1);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void every_error_has_a_name_and_others_have_not(void **state)
{
	(void)state;
	for (int code = MF_OK; code >= MF_E_BUG; code--) {
		assert_string_not_equal(mf_strerror(code), "unknown error");
		assert_true(strlen(mf_strerror(code)) > 3);
		for (int other = MF_OK; other > code; other--)
			assert_string_not_equal(mf_strerror(code), mf_strerror(other));
	}
	assert_string_equal(mf_strerror(1), "unknown error");
	assert_string_equal(mf_strerror(MF_E_BUG - 1), "unknown error");
	assert_string_equal(mf_strerror(INT_MIN), "unknown error");
	assert_string_equal(mf_strerror(INT_MAX), "unknown error");
}

static void take_line(void *ctx, enum mf_log_level level, const char *text)
{
	snprintf(ctx, 2048, "%d %s", level, text);
}

static void log_lines_reach_their_sink_and_no_sink_is_silence(void **state)
{
	char got[2048] = "", longer[3000];
	struct mf_log log = { take_line, got }, none = { 0 };

	(void)state;
	mf_log_warning(&log, "%s %d", "seen", 3);
	assert_string_equal(got, "1 seen 3");
	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	mf_log_error(&log, "%s", longer);
	assert_int_equal(strlen(got), 2 + 1023);
	mf_log_error(NULL, "x");
	mf_log_error(&none, "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_grows_piece_by_piece),
		cmocka_unit_test(bytes_with_nul_are_kept),
		cmocka_unit_test(the_cap_is_reached_and_not_passed),
		cmocka_unit_test(no_cap_at_all_works_and_sizes_do_not_wrap),
		cmocka_unit_test(errors_are_filled_with_place_and_sentence),
		cmocka_unit_test(long_errors_are_cut_and_end),
		cmocka_unit_test(every_error_has_a_name_and_others_have_not),
		cmocka_unit_test(log_lines_reach_their_sink_and_no_sink_is_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
