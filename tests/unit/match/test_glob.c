// SPDX-License-Identifier: Apache-2.0
// test_glob.c - globs against agentsh's measured cases in both dialects, and against rules of our own
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/match/domain_set.h"
#include "core/match/glob.h"

enum answer { NO, YES, ERROR };

static enum answer ask(const char *pattern, const char *subject, char sep, unsigned flags)
{
	struct mf_glob *g;
	struct mf_err err = { 0 };
	enum answer a;
	char *copy = malloc(strlen(subject) + 1);

	// Without the NUL, so that AddressSanitizer sees a read behind the end.
	memcpy(copy, subject, strlen(subject));
	if (mf_glob_compile(pattern, strlen(pattern), sep, flags, &g, &err)) {
		assert_true(err.msg[0] && err.column);
		free(copy);
		return ERROR;
	}
	a = mf_glob_match(g, copy, strlen(subject)) ? YES : NO;
	mf_glob_free(g);
	free(copy);
	return a;
}

static enum answer expected(const json_t *v)
{
	return json_is_string(v) ? ERROR : json_is_true(v) ? YES : NO;
}

static void run_cases(unsigned flags, const char *key, unsigned *ret_cnt, unsigned *ret_bad)
{
	FILE *f = fopen(MF_TEST_DATA "/agentsh/glob-cases.jsonl", "r");
	char line[4096];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		json_t *c = json_loads(line, 0, NULL), *want;
		const char *sep, *pattern, *subject;
		enum answer a;

		assert_non_null(c);
		sep = json_string_value(json_object_get(c, "sep"));
		pattern = json_string_value(json_object_get(c, "pattern"));
		subject = json_string_value(json_object_get(c, "subject"));
		want = json_object_get(c, key);
		if (!want)
			want = json_object_get(c, "expect");
		a = ask(pattern, subject, sep[0], flags);
		if (a != expected(want)) {
			print_error("pattern %s, subject %s: got %d, expected %d\n", pattern,
				    subject, a, expected(want));
			++*ret_bad;
		}
		++*ret_cnt;
		json_decref(c);
	}
	fclose(f);
}

static void all_cases_give_what_rule_p26_says(void **state)
{
	unsigned cnt = 0, bad = 0;

	(void)state;
	run_cases(0, "expect", &cnt, &bad);
	assert_int_equal(cnt, 175);
	assert_int_equal(bad, 0);
}

static void all_cases_give_what_gobwas_gave_in_its_mode(void **state)
{
	unsigned cnt = 0, bad = 0;

	(void)state;
	run_cases(MF_GLOB_GOBWAS, "gobwas", &cnt, &bad);
	assert_int_equal(cnt, 175);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cases_give_what_rule_p26_says),
		cmocka_unit_test(all_cases_give_what_gobwas_gave_in_its_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
