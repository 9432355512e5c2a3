/* SPDX-License-Identifier: Apache-2.0 */
/* test_pf_output.c - what pfctl prints, in the forms that its manual and users of it show, and the broker's record */
#include "tests/unit/test.h"

#include "capture/pf.h"

#define NOISE "No ALTQ support in kernel\nALTQ related functions disabled\n"

/* Each parser gets exactly its bytes on the heap, so that AddressSanitizer sees a read past them. */
static char *exact(const char *text, size_t *len)
{
	char *copy;

	*len = strlen(text);
	copy = malloc(*len ? *len : 1);
	assert_non_null(copy);
	memcpy(copy, text, *len);
	return copy;
}

static int token(const char *text, uint64_t *ret)
{
	size_t len;
	char *copy = exact(text, &len);
	int e = mf_pf_output_token(copy, len, ret);

	free(copy);
	return e;
}

static void the_reference_is_found(void **state)
{
	static const char *const bad[] = {
		"",
		NOISE,
		"pf enabled\n",
		"Token",
		"Token :",
		"Token : \n",
		"Token : abc\n",
		"Token : 12x\n",
		"Token : -1\n",
		"Token : 0\n",
		"Token : 007\n",
		"Token : 18446744073709551616\n",
		"Token : 99999999999999999999999999\n",
		"Token: 12\n",
		"Token : 12 13\n",
		"xToken : 12\n",
		"Token : 0x12\n",
	};
	uint64_t t = 0;

	(void)state;
	assert_int_equal(token(NOISE "pf enabled\nToken : 13971906727590307623\n", &t), 0);
	assert_true(t == UINT64_C(13971906727590307623));
	assert_int_equal(token("Token : 18446744073709551615", &t), 0);
	assert_true(t == UINT64_MAX);
	assert_int_equal(token("pf already enabled\r\nToken : 5\r\n", &t), 0);
	assert_true(t == 5);
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		assert_int_equal(token(bad[i], &t), MF_E_BAD);
}

static void the_reference_is_found_in_the_list(void **state)
{
	static const char list[] = NOISE
		"TOKENS:\n"
		"PID      Process Name                    TOKEN                    TIMESTAMP\n"
		"77       socketfilterfw                  4242424242424242         3 days "
		"04:05:06\n"
		"1234     pfctl                           13971906727590307623     0 days "
		"00:00:09\n";

	(void)state;
	assert_true(mf_pf_output_has_token(list, sizeof(list) - 1, UINT64_C(13971906727590307623)));
	assert_true(mf_pf_output_has_token(list, sizeof(list) - 1, UINT64_C(4242424242424242)));
	assert_false(mf_pf_output_has_token(list, sizeof(list) - 1, 77)); /* a process id */
	assert_false(mf_pf_output_has_token(list, sizeof(list) - 1, 1397));
	assert_false(mf_pf_output_has_token(list, 0, 4242));
}

static int enabled(const char *text)
{
	size_t len;
	char *copy = exact(text, &len);
	int e = mf_pf_output_enabled(copy, len);

	free(copy);
	return e;
}

static void pf_is_on_or_off_or_we_do_not_know(void **state)
{
	(void)state;
	assert_int_equal(
		enabled(NOISE "Status: Enabled for 3 days 04:05:06          Debug: Urgent\n\n"), 1);
	assert_int_equal(enabled("Status: Disabled for 0 days 00:00:01         Debug: Urgent\n"),
			 0);
	assert_int_equal(enabled("Status: Disabled"), 0);
	assert_int_equal(enabled(""), MF_E_BAD);
	assert_int_equal(enabled("Status:"), MF_E_BAD);
	assert_int_equal(enabled("Status: Enabledish\n"), MF_E_BAD);
	assert_int_equal(enabled("no Status: Enabled\n"), MF_E_BAD);
}

static enum mf_pf_reference refers(const char *text, const char *kind, const char *anchor)
{
	size_t len;
	char *copy = exact(text, &len);
	enum mf_pf_reference r = mf_pf_output_reference(copy, len, kind, anchor);

	free(copy);
	return r;
}

static void a_system_as_it_comes_refers_to_anchors_below_com_apple_only(void **state)
{
	static const char nat[] =
		NOISE "nat-anchor \"com.apple/*\" all\nrdr-anchor \"com.apple/*\" all\n";
	static const char rules[] = NOISE "scrub-anchor \"com.apple/*\" all fragment "
					  "reassemble\nanchor \"com.apple/*\" all\n";

	(void)state;
	assert_int_equal(refers(nat, "rdr-anchor", MF_PF_ANCHOR), MF_PF_PRESENT);
	assert_int_equal(refers(rules, "anchor", MF_PF_ANCHOR), MF_PF_PRESENT);
	assert_int_equal(refers(nat, "rdr-anchor", "moonfence"), MF_PF_MISSING);
	assert_int_equal(refers(rules, "anchor", "moonfence"), MF_PF_MISSING);
	/* The star stands for what hangs directly below. */
	assert_int_equal(refers(nat, "rdr-anchor", "com.apple/a/b"), MF_PF_MISSING);
	assert_int_equal(refers(nat, "rdr-anchor", "com.apple"), MF_PF_MISSING);
	assert_int_equal(refers(nat, "rdr-anchor", "com.applex/a"), MF_PF_MISSING);
	assert_int_equal(refers("", "rdr-anchor", MF_PF_ANCHOR), MF_PF_MISSING);
}

static void references_must_be_for_every_packet_and_early(void **state)
{
	(void)state;
	assert_int_equal(refers("anchor \"moonfence\" all\nanchor \"com.apple/*\" all\n", "anchor",
				"moonfence"),
			 MF_PF_PRESENT);
	assert_int_equal(refers("anchor \"com.apple/*\" all\nanchor \"moonfence\" all\n", "anchor",
				"moonfence"),
			 MF_PF_LATE);
	assert_int_equal(refers("anchor \"moonfence\" on en0 all\n", "anchor", "moonfence"),
			 MF_PF_CONDITIONAL);
	assert_int_equal(refers("anchor \"moonfence\" inet all\nanchor \"moonfence\" all\n",
				"anchor", "moonfence"),
			 MF_PF_PRESENT);
	assert_int_equal(refers("anchor \"*\" all\n", "anchor", "moonfence"), MF_PF_PRESENT);
	assert_int_equal(refers("anchor \"a/*\" all\n", "anchor", "a/moonfence"), MF_PF_PRESENT);
	assert_int_equal(refers("anchor \"moonfence\"", "anchor", "moonfence"), MF_PF_PRESENT);
	assert_int_equal(refers("anchor moonfence all\n", "anchor", "moonfence"), MF_PF_MISSING);
	assert_int_equal(refers("anchor \"moonfence all\n", "anchor", "moonfence"), MF_PF_MISSING);
	assert_int_equal(refers("anchor \"\n", "anchor", "moonfence"), MF_PF_MISSING);
	assert_int_equal(refers("# anchor \"moonfence\" all\n", "anchor", "moonfence"),
			 MF_PF_MISSING);
	assert_string_equal(mf_pf_reference_name(MF_PF_LATE), "late");
	assert_string_equal(mf_pf_reference_name(MF_PF_REFERENCE_NUM), "unknown");
}

static void lo0_may_be_skipped(void **state)
{
	static const char skipped[] =
		NOISE "lo0 (skip)\n\tCleared:     Mon Jan  5 10:00:00 2026\n"
		      "\tReferences:  [ States:  0                  Rules: 2 ]\n";
	static const char plain[] = NOISE "lo0\n\tCleared:     Mon Jan  5 10:00:00 2026\n";
	static const char other[] = "lo1 (skip)\nen0 (skip)\n";

	(void)state;
	assert_true(mf_pf_output_skips_lo0(skipped, sizeof(skipped) - 1));
	assert_false(mf_pf_output_skips_lo0(plain, sizeof(plain) - 1));
	assert_false(mf_pf_output_skips_lo0(other, sizeof(other) - 1));
	assert_false(mf_pf_output_skips_lo0("lo0", 3));
}

static void rules_are_counted_and_noise_is_not(void **state)
{
	static const char nat[] = NOISE "no rdr on lo0 inet proto tcp from any to 127.0.0.1\n"
					"no rdr on lo0 inet proto tcp from any to 192.168.1.20\n"
					"rdr pass on lo0 inet proto tcp from any to any port = 443 "
					"-> 127.0.0.1 port 8443\n";
	static const char rules[] = NOISE "pass out quick inet proto tcp from any to any port = "
					  "443 user = 333 flags S/SA keep state\n"
					  "block return out quick on ! lo0 inet proto udp from any "
					  "to any port = 443 user != 333\n";

	(void)state;
	assert_int_equal(mf_pf_output_count_rules(nat, sizeof(nat) - 1), 3);
	assert_int_equal(mf_pf_output_count_rules(rules, sizeof(rules) - 1), 2);
	assert_int_equal(mf_pf_output_count_rules(NOISE, sizeof(NOISE) - 1), 0);
	assert_int_equal(mf_pf_output_count_rules("pass", 4), 1);
	assert_int_equal(mf_pf_output_count_rules("", 0), 0);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void a_record_comes_back_as_it_was_written(void **state)
{
	struct mf_pf_record r = { .anchor = MF_PF_ANCHOR,
				  .token = UINT64_MAX,
				  .was_enabled = true },
			    again;
	char buf[MF_PF_RECORD_MAX];
	size_t len = mf_pf_record_format(&r, buf, sizeof(buf));

	(void)state;
	assert_string_equal(buf, "moonfence-pf 1\nanchor com.apple/050.moonfence\n"
				 "token 18446744073709551615\nenabled 1\nend\n");
	assert_int_equal(len, strlen(buf));
	assert_int_equal(mf_pf_record_parse(buf, len, &again), 0);
	assert_string_equal(again.anchor, r.anchor);
	assert_true(again.token == r.token && again.was_enabled);
	assert_int_equal(mf_pf_record_format(&r, buf, len), 0);
	memset(r.anchor, 'a', MF_PF_ANCHOR_MAX);
	assert_true(mf_pf_record_format(&r, buf, sizeof(buf)) > 0);
	/* Cut off anywhere it is no record. */
	len = strlen(buf);
	for (size_t n = 0; n < len; n++) {
		char *cut = malloc(n + 1);

		assert_non_null(cut);
		memcpy(cut, buf, n);
		assert_int_equal(mf_pf_record_parse(cut, n, &again), MF_E_BAD);
		free(cut);
	}
}

static void what_we_did_not_write_is_no_record(void **state)
{
	static const char *const bad[] = {
		"moonfence-pf 2\nanchor a\ntoken 1\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor -F\ntoken 1\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor a/*\ntoken 1\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor \ntoken 1\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor a\ntoken -1\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor a\ntoken 01\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor a\ntoken 18446744073709551616\nenabled 0\nend\n",
		"moonfence-pf 1\nanchor a\ntoken 1\nenabled 2\nend\n",
		"moonfence-pf 1\nanchor a\ntoken 1\nenabled 0\nend\nmore\n",
		"moonfence-pf 1\nanchor a\ntoken 1\nend\n",
		"anchor a\nmoonfence-pf 1\ntoken 1\nenabled 0\nend\n",
	};
	char huge[MF_PF_RECORD_MAX + 100];
	struct mf_pf_record r;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++)
		assert_int_equal(mf_pf_record_parse(bad[i], strlen(bad[i]), &r), MF_E_BAD);
	memset(huge, 'x', sizeof(huge));
	assert_int_equal(mf_pf_record_parse(huge, sizeof(huge), &r), MF_E_BAD);
	assert_int_equal(mf_pf_record_parse("moonfence-pf 1\0\n", 16, &r), MF_E_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_is_found),
		cmocka_unit_test(the_reference_is_found_in_the_list),
		cmocka_unit_test(pf_is_on_or_off_or_we_do_not_know),
		cmocka_unit_test(a_system_as_it_comes_refers_to_anchors_below_com_apple_only),
		cmocka_unit_test(references_must_be_for_every_packet_and_early),
		cmocka_unit_test(lo0_may_be_skipped),
		cmocka_unit_test(rules_are_counted_and_noise_is_not),
		cmocka_unit_test(a_record_comes_back_as_it_was_written),
		cmocka_unit_test(what_we_did_not_write_is_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
