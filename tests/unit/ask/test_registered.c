// SPDX-License-Identifier: Apache-2.0
// Whose names they are, and how random they look.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/ask/registered.h"
#include "core/base/err.h"

static void a_name_lies_in_the_domain_that_was_registered(void **state)
{
	static const struct {
		const char *name, *domain;
	} cases[] = {
		{ "example.com", "example.com" },
		{ "a.b.example.com", "example.com" },
		{ "a.example.co.uk", "example.co.uk" },
		{ "co.uk", NULL },
		{ "com", NULL },
		{ "a.b.kobe.jp", "a.b.kobe.jp" },	// *.kobe.jp
		{ "www.city.kobe.jp", "city.kobe.jp" }, // !city.kobe.jp
		{ "me.github.io", "me.github.io" },	// where strangers are neighbours
		{ "host.nosuchtld", "host.nosuchtld" },
	};

	(void)state;
	if (!mf_registered_domain("example.com"))
		skip(); // built without the list
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		const char *domain = mf_registered_domain(cases[i].name);

		if (!cases[i].domain) {
			assert_null(domain);
			continue;
		}
		assert_non_null(domain);
		assert_string_equal(domain, cases[i].domain);
		assert_ptr_equal(domain, cases[i].name + strlen(cases[i].name) - strlen(domain));
	}
}

static void entropy_is_what_shannon_says(void **state)
{
	static const struct {
		const char *text;
		unsigned entropy;
	} cases[] = {
		{ "", 0 },	    { "a", 0 },
		{ "aaaa", 0 },	    { "ab", 100 },
		{ "abab.ab", 100 }, { "aab", 92 },
		{ "abcd", 200 },    { "0123456789abcdef", 400 },
		{ "....", 0 },	    { "abcdefghijklmnopqrstuvwxyz234567", 500 },
	};
	uint8_t all[256];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++)
		assert_int_equal(mf_name_entropy(cases[i].text, strlen(cases[i].text)),
				 cases[i].entropy);
	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	// without the dot
	assert_int_equal(mf_name_entropy((const char *)all, sizeof(all)), 799);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_lies_in_the_domain_that_was_registered),
		cmocka_unit_test(entropy_is_what_shannon_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
