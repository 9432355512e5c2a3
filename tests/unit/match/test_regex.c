// SPDX-License-Identifier: Apache-2.0
// test_regex.c - expressions: search and whole match, limits that are errors, RE2's syntax and what it refuses
#include <pthread.h>

#include "core/match/regex.h"
#include "tests/unit/test.h"

static int ask(const char *pattern, const char *subject, unsigned flags)
{
	struct mf_regex_scratch *scratch = mf_regex_scratch_new();
	struct mf_regex *re;
	struct mf_err err = { 0 };
	int r = mf_regex_compile(pattern, strlen(pattern), flags, NULL, &re, &err);

	assert_non_null(scratch);
	if (r) {
		assert_true(err.msg[0]);
	} else {
		r = mf_regex_match(re, scratch, subject, strlen(subject));
		mf_regex_free(re);
	}
	mf_regex_scratch_free(scratch);
	return r;
}

static void a_search_finds_a_part_and_a_full_match_wants_all(void **state)
{
	(void)state;
	assert_int_equal(ask("api\\.example", "xapi.example.evil", 0), 1);
	assert_int_equal(ask("api\\.example", "xapi.example.evil", MF_REGEX_FULL), 0);
	assert_int_equal(ask("a|ab", "ab", MF_REGEX_FULL), 1);
	assert_int_equal(ask("api\\.example", "API.example", 0), 0);
	assert_int_equal(ask("API\\.Example", "api.example", MF_REGEX_HOST), 1);
	assert_int_equal(ask("^a$", "a\n", MF_REGEX_RE2), 0);
	assert_int_equal(ask("", "x", 0), 1);
	assert_int_equal(ask("", "x", MF_REGEX_FULL), 0);
}

static void a_match_that_hits_a_limit_is_an_error_and_not_no_match(void **state)
{
	// None ends in a letter that must occur: the missing letter would be noticed before any trial.
	static const char *const bombs[] = { "^(a+)+$", "(a|aa)+$", "^(.*a){12}$", "^(x+x+)+$",
					     "^(([a-z])+.)+[A-Z]([a-z])+$" };
	char subject[2000];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bombs); i++) {
		memset(subject, strchr(bombs[i], 'x') ? 'x' : 'a', sizeof(subject));
		subject[sizeof(subject) - 2] = '!';
		subject[sizeof(subject) - 1] = '\0';
		assert_int_equal(ask(bombs[i], subject, MF_REGEX_RE2), MF_E_LIMIT);
	}
}

static void sizes_have_limits(void **state)
{
	const struct mf_regex_limits small = { .pattern_max = 10, .compiled_max = 300 };
	struct mf_regex *re;
	struct mf_err err = { 0 };

	(void)state;
	assert_int_equal(mf_regex_compile("aaaaaaaaaaa", 11, 0, &small, &re, &err), MF_E_LIMIT);
	assert_int_equal(mf_regex_compile("[a-z]{90}", 9, 0, &small, &re, &err), MF_E_LIMIT);
	assert_non_null(strstr(err.msg, "too large"));
}

struct refusal {
	const char *pattern;
	unsigned column; // 0: wherever
};

static void what_re2_refuses_is_refused_with_its_place(void **state)
{
	static const struct refusal bad[] = {
		{ "a(?=b)", 0 },
		{ "a(?!b)", 0 },
		{ "(?<=a)b", 0 },
		{ "(?<!a)b", 0 },
		{ "(a)\\1", 5 },
		{ "(?P=n)", 0 },
		{ "\\k<n>", 2 },
		{ "\\g1", 2 },
		{ "(?>a)", 0 },
		{ "a++", 3 },
		{ "a*+", 3 },
		{ "a?+", 3 },
		{ "a**", 3 },
		{ "a{2}{3}", 0 },
		{ "(?(1)a|b)", 0 },
		{ "(?R)", 0 },
		{ "(?1)", 0 },
		{ "(?&n)", 0 },
		{ "(?C)", 0 },
		{ "(?#c)", 0 },
		{ "(?|a|b)", 0 },
		{ "(*ACCEPT)", 0 },
		{ "(*UTF8)a", 0 },
		{ "a{1001}", 0 },
		{ "a{2,1001}", 0 },
		{ "a{1001,}", 0 },
		{ "a{3,2}", 0 },
		{ "(a{50}){50}", 0 },
		{ "((a{20}){20}){20}", 0 },
		{ "\\h", 2 },
		{ "\\R", 2 },
		{ "\\X", 2 },
		{ "\\K", 2 },
		{ "\\G", 2 },
		{ "\\N", 2 },
		{ "\\e", 2 },
		{ "\\c@", 2 },
		{ "\\Z", 2 },
		{ "\\C", 2 },
		{ "*a", 1 },
		{ "a|*", 3 },
		{ "(+)", 2 },
		{ "(a", 0 },
		{ "a)", 2 },
		{ "[a", 0 },
		{ "[z-a]", 0 },
		{ "[[:foo:]]", 0 },
		{ "\\", 0 },
		{ "\\x", 0 },
		{ "\\x{}", 0 },
		{ "\\x{110000}", 0 },
		{ "\\xg0", 0 },
		{ "(?P<>a)", 0 },
		{ "(?P<a", 0 },
		{ "(?i", 0 },
		{ "(?-)", 0 },
		{ "(?x)a b", 0 },
		{ "\\8", 2 },
		{ "[\\b]", 0 },
		{ "\\p{Nope}", 0 },
		{ "\\p", 0 },
		{ "a\xff", 0 },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		struct mf_regex *re;
		struct mf_err err = { 0 };
		int r = mf_regex_compile(bad[i].pattern, strlen(bad[i].pattern), MF_REGEX_RE2, NULL,
					 &re, &err);

		if (r != MF_E_SYNTAX)
			fail_msg("%s was not refused", bad[i].pattern);
		assert_true(err.column >= 1 && err.column <= strlen(bad[i].pattern) + 1);
		if (bad[i].column && err.column != bad[i].column)
			fail_msg("%s: column %u, expected %u (%s)", bad[i].pattern, err.column,
				 bad[i].column, err.msg);
	}
}

static void what_re2_has_means_the_same(void **state)
{
	static const struct {
		const char *pattern, *subject;
		int want;
	} cases[] = {
		{ "^\\d{1,3}(\\.\\d{1,3}){3}$", "192.0.2.1", 1 },
		{ "^\\d$", "\xd9\xa3", 0 }, // an Arabic digit is no \d
		{ "^\\w+$", "\xc3\xa9", 0 },
		{ "^\\s$", "\v", 0 },
		{ "^\\S$", "\v", 1 },
		{ "^[\\s]$", "\v", 0 },
		{ "^\\v$", "\v", 1 },
		{ "^\\v$", "\n", 0 },
		{ "^[\\v]$", "\v", 1 },
		{ "^.$", "\n", 0 },
		{ "(?s)^.$", "\n", 1 },
		{ "^.$", "\r", 1 },
		{ "(?m)^b$", "a\nb", 1 },
		{ "^b$", "a\nb", 0 },
		{ "^.$", "\xe6\x97\xa5", 1 },
		{ "^\\x41\\x{42}\\103\\0$", "ABC", 0 },
		{ "^\\x41\\x{42}\\103$", "ABC", 1 },
		{ "^a{,2}$", "a{,2}", 1 },
		{ "^a{$", "a{", 1 },
		{ "^a{x}$", "a{x}", 1 },
		{ "^a{2,}$", "aaa", 1 },
		{ "^a{2}?$", "aa", 1 },
		{ "^a*?b$", "aab", 1 },
		{ "^[]a]$", "]", 1 },
		{ "^[^]a]$", "b", 1 },
		{ "^[[:alpha:]]+$", "abC", 1 },
		{ "^[[:^alpha:]]$", "1", 1 },
		{ "^[a[]$", "[", 1 },
		{ "^[[=a]$", "=", 1 },
		{ "^\\Qa.b*\\E+$", "a.b**", 1 },
		{ "^\\Qa.b\\E$", "axb", 0 },
		{ "^(?P<x>a)(?:b)(c)$", "abc", 1 },
		{ "(?i)ABC", "xabcx", 1 },
		{ "^(?i:A)b$", "ab", 1 },
		{ "^(?i:A)b$", "aB", 0 },
		{ "^(?i)a(?-i)b$", "Ab", 1 },
		{ "^\\pL$", "\xc3\xa9", 1 },
		{ "^\\p{Greek}$", "\xce\xb1", 1 },
		{ "^\\PL$", "1", 1 },
		{ "^#$", "#", 1 },
		{ "^a\\z", "a", 1 },
		{ "^\\%\\-\\_\\~$", "%-_~", 1 },
		{ "(^|\\.)api\\.vendor\\.example$", "x.api.vendor.example", 1 },
		{ "(^|\\.)api\\.vendor\\.example$", "xapi.vendor.example", 0 },
		{ "()|x", "", 1 },
		{ "^(a{10}){10}$", "a", 0 },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		int r = ask(cases[i].pattern, cases[i].subject, MF_REGEX_RE2);

		if (r != cases[i].want)
			fail_msg("%s on %s: %d", cases[i].pattern, cases[i].subject, r);
	}
}

static void subjects_that_are_not_utf8_are_no_error(void **state)
{
	(void)state;
	assert_int_equal(ask("^a", "a\xff\xfe", MF_REGEX_RE2), 1);
	assert_int_equal(ask("b$",
			     "a\xff"
			     "b",
			     MF_REGEX_RE2),
			 1);
	assert_int_equal(ask("c",
			     "a\xff"
			     "b",
			     MF_REGEX_RE2),
			 0);
}

static void an_expression_that_can_only_match_all_is_known_as_such(void **state)
{
	static const struct {
		const char *pattern;
		unsigned flags;
		bool want;
	} cases[] = {
		{ "^a$", 0, true },
		{ "^a\\z", 0, true },
		{ "^(a|b)$", 0, true },
		{ "^a$|^b$", 0, true },
		{ "a", MF_REGEX_FULL, true },
		{ "^a", 0, false },
		{ "a$", 0, false },
		{ "a", 0, false },
		{ "^a|b$", 0, false },
		{ "^a|^b$", 0, false },
		{ "^a\\$", 0, false },
		{ "^a[]$]", 0, false },
		{ "(?m)^a$", 0, false },
		{ "^a(?m:x)$", 0, false },
		{ "(^|\\.)a$", 0, false },
		{ "^(a$)", 0, false },
		{ "^[^]$]x$", 0, true },
		{ "", 0, false },
		{ "^$", 0, true },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_regex *re;
		int r = mf_regex_compile(cases[i].pattern, strlen(cases[i].pattern),
					 cases[i].flags | MF_REGEX_RE2, NULL, &re, NULL);

		assert_int_equal(r, 0);
		if (mf_regex_is_anchored(re) != cases[i].want)
			fail_msg("%s", cases[i].pattern);
		mf_regex_free(re);
	}
}

struct shared {
	const struct mf_regex *re;
	unsigned wrong;
};

static void *match_many(void *arg)
{
	struct shared *s = arg;
	struct mf_regex_scratch *scratch = mf_regex_scratch_new();

	for (int i = 0; i < 20000; i++)
		if (mf_regex_match(s->re, scratch, i % 2 ? "a.example.com" : "a.example.net", 13) !=
		    i % 2)
			s->wrong++;
	mf_regex_scratch_free(scratch);
	return NULL;
}

static void threads_share_one_expression(void **state)
{
	struct shared s[4] = { 0 };
	pthread_t t[4];
	struct mf_regex *re;

	(void)state;
	assert_int_equal(
		mf_regex_compile("^(.+\\.)?example\\.com$", 21, MF_REGEX_HOST, NULL, &re, NULL), 0);
	for (int i = 0; i < 4; i++) {
		s[i].re = re;
		assert_int_equal(pthread_create(&t[i], NULL, match_many, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(s[i].wrong, 0);
	}
	mf_regex_free(re);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_search_finds_a_part_and_a_full_match_wants_all),
		cmocka_unit_test(a_match_that_hits_a_limit_is_an_error_and_not_no_match),
		cmocka_unit_test(sizes_have_limits),
		cmocka_unit_test(what_re2_refuses_is_refused_with_its_place),
		cmocka_unit_test(what_re2_has_means_the_same),
		cmocka_unit_test(subjects_that_are_not_utf8_are_no_error),
		cmocka_unit_test(an_expression_that_can_only_match_all_is_known_as_such),
		cmocka_unit_test(threads_share_one_expression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
