// SPDX-License-Identifier: Apache-2.0
// test_canonical.c - host names in their one form, and what is none
#include "core/names/canonical.h"
#include "tests/unit/test.h"

struct pair {
	const char *in, *want; // NULL: refused
};

static void check(const struct pair *p)
{
	char out[MF_NAME_ROOM], *copy = malloc(strlen(p->in) + 1);
	int r;

	// Without the NUL, so that AddressSanitizer sees a read behind the end.
	memcpy(copy, p->in, strlen(p->in));
	r = mf_name_canon(copy, strlen(p->in), out);
	free(copy);
	if (!p->want) {
		if (r != MF_E_SYNTAX)
			fail_msg("%s gave %d, \"%s\"", p->in, r, r >= 0 ? out : "");
		return;
	}
	if (r < 0)
		fail_msg("%s was refused", p->in);
	assert_string_equal(out, p->want);
	assert_int_equal(r, strlen(p->want));
	// Canonical once is canonical for good.
	assert_true(mf_name_is_canon(out, (size_t)r));
	assert_int_equal(mf_name_canon(p->want, strlen(p->want), out), r);
	assert_string_equal(out, p->want);
}

#define CHECK_ALL(cases)                                          \
	do {                                                      \
		for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) \
			check(&(cases)[i]);                       \
	} while (0)

static void letter_case_and_one_trailing_dot_do_not_matter(void **state)
{
	static const struct pair cases[] = {
		{ "example.com", "example.com" },
		{ "EXAMPLE.Com", "example.com" },
		{ "example.com.", "example.com" },
		{ "a", "a" },
		{ "_dmarc.example", "_dmarc.example" },
		{ "r3---sn-4g5e.example", "r3---sn-4g5e.example" },
		{ "-a-.example", "-a-.example" },
		{ "1.0.0.127.in-addr.arpa", "1.0.0.127.in-addr.arpa" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
		{ "3com.com", "3com.com" },
		{ "example.0xyz", "example.0xyz" },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void letters_beyond_ascii_become_a_labels(void **state)
{
	static const struct pair cases[] = {
		{ "b\xc3\xbc"
		  "cher.example",
		  "xn--bcher-kva.example" },
		{ "B\xc3\x9c"
		  "CHER.EXAMPLE.",
		  "xn--bcher-kva.example" },
		// Decomposed u and diaeresis is the same letter.
		{ "bu\xcc\x88"
		  "cher.example",
		  "xn--bcher-kva.example" },
		// Non-transitional: sharp s is a letter of its own.
		{ "fa\xc3\x9f.example", "xn--fa-hia.example" },
		{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
		  "xn--r8jz45g.xn--zckzah" },
		// Full-width letters and the ideographic full stop are ASCII in disguise.
		{ "\xef\xbd\x85\xef\xbd\x98.com", "ex.com" },
		{ "a\xe3\x80\x82"
		  "com",
		  "a.com" },
		// The Kelvin sign is a k.
		{ "\xe2\x84\xaa.example", "k.example" },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void what_is_no_name_is_refused(void **state)
{
	static const struct pair cases[] = {
		{ "", NULL },
		{ ".", NULL },
		{ "..", NULL },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "a..", NULL },
		{ "a b", NULL },
		{ "a/b", NULL },
		{ "a:b", NULL },
		{ "a@b", NULL },
		{ "a%b", NULL },
		{ "*.a", NULL },
		{ "a\\b", NULL },
		{ "a\"b", NULL },
		{ "a\nb", NULL },
		{ "a\x7f", NULL },
		{ "[::1]", NULL },
		{ "::1", NULL },
		// Not UTF-8.
		{ "\xff.example", NULL },
		{ "a\xc3", NULL },
		// U+2100 maps to "a/c": a name that splits a URL.
		{ "\xe2\x84\x80.example", NULL },
		// A soft hyphen alone maps to nothing.
		{ "\xc2\xad.example", NULL },
		// Full-width digits are digits.
		{ "\xef\xbc\x91.\xef\xbc\x92", NULL },
	};
	char out[MF_NAME_ROOM];

	(void)state;
	CHECK_ALL(cases);
	assert_int_equal(mf_name_canon("a\0b.example", 11, out), MF_E_SYNTAX);
	assert_int_equal(mf_name_canon("\xc3\xa9\0b.example", 12, out), MF_E_SYNTAX);
}

static void text_that_a_system_may_take_for_an_address_is_no_name(void **state)
{
	static const char *const addresses[] = { "127.0.0.1",  "127.1",	     "2130706433",
						 "0x7f.1",     "0",	     "1.2.3.4.",
						 "0177.0.0.1", "0x7f000001", "foo.1",
						 "a.0x",       "0X7F.0X1" };
	char out[MF_NAME_ROOM];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(addresses); i++) {
		assert_int_equal(mf_name_canon(addresses[i], strlen(addresses[i]), out),
				 MF_E_SYNTAX);
		assert_true(mf_name_is_address(addresses[i], strlen(addresses[i])));
	}
	assert_true(mf_name_is_address("::1", 3));
	assert_true(mf_name_is_address("[::1]", 5));
	assert_true(mf_name_is_address("fe80::1%eth0", 12));
	assert_true(mf_name_is_address("::ffff:1.2.3.4", 14));
	assert_false(mf_name_is_address("example.com", 11));
	assert_false(mf_name_is_address("1.example", 9));
	assert_false(mf_name_is_address("", 0));
	assert_false(mf_name_is_address(".", 1));
}

static void labels_and_names_have_the_lengths_of_dns(void **state)
{
	char in[400], out[MF_NAME_ROOM];

	(void)state;
	memset(in, 'a', sizeof(in));
	assert_int_equal(mf_name_canon(in, 63, out), 63);
	assert_int_equal(mf_name_canon(in, 64, out), MF_E_SYNTAX);
	in[63] = in[127] = in[191] = '.';
	assert_int_equal(mf_name_canon(in, 253, out), 253);
	assert_int_equal(mf_name_canon(in, 254, out), MF_E_SYNTAX);
	in[253] = '.';
	assert_int_equal(mf_name_canon(in, 254, out), 253);
	// 40 two-byte letters are one label, although they are 80 bytes.
	for (size_t i = 0; i < 80; i += 2)
		memcpy(in + i, "\xc3\xa9", 2);
	assert_true(mf_name_canon(in, 80, out) > 0);
	// 60 of them are more than 63 bytes as an A-label.
	for (size_t i = 0; i < 120; i += 2)
		memcpy(in + i, i % 4 ? "\xc3\xa9" : "\xc3\xa8", 2);
	assert_int_equal(mf_name_canon(in, 120, out), MF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letter_case_and_one_trailing_dot_do_not_matter),
		cmocka_unit_test(letters_beyond_ascii_become_a_labels),
		cmocka_unit_test(what_is_no_name_is_refused),
		cmocka_unit_test(text_that_a_system_may_take_for_an_address_is_no_name),
		cmocka_unit_test(labels_and_names_have_the_lengths_of_dns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
