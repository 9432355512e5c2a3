// SPDX-License-Identifier: Apache-2.0
// test_glob.c - globs against agentsh's measured cases in both dialects, and against rules of our own
#include <jansson.h>

#include "core/match/domain_set.h"
#include "core/match/glob.h"
#include "tests/unit/test.h"

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

// ------------------------------------------------------------------------------------------------------------------
// Against an oracle: braces written out, then plain backtracking over bytes

struct oracle {
	char sep;
	const char *subject; // its beginning
	bool hit;
};

// Marks that writing out leaves behind: an alternative begins, a brace has ended.
#define ALTERNATIVE '\x01'
#define AFTER_BRACE '\x02'

static bool oracle_plain(const struct oracle *o, const char *p, const char *s, char before)
{
	bool start;

	if (*p == ALTERNATIVE || *p == AFTER_BRACE)
		return oracle_plain(o, p + 1, s, *p);
	if (!*p)
		return !*s;
	if (p[0] == '*' && p[1] == '*') {
		const char *q = p;

		while (*q == '*')
			q++;
		start = before == 0 || before == ALTERNATIVE || before == '/' ||
			(before == AFTER_BRACE && (s == o->subject || s[-1] == '/'));
		if (o->sep == '/' && *q == '/' && start && oracle_plain(o, q + 1, s, '/'))
			return true;
		for (;; s++) {
			if (oracle_plain(o, q, s, '*'))
				return true;
			if (!*s)
				return false;
		}
	}
	if (*p == '*') {
		for (;; s++) {
			if (oracle_plain(o, p + 1, s, '*'))
				return true;
			if (!*s || *s == o->sep)
				return false;
		}
	}
	if (!*s)
		return false;
	if (*p == '?')
		return *s != o->sep && oracle_plain(o, p + 1, s + 1, '?');
	return *p == *s && oracle_plain(o, p + 1, s + 1, *p);
}

// Writes out the first brace of @p behind @done.
static void oracle_braces(struct oracle *o, const char *done, const char *p)
{
	const char *open = strchr(p, '{'), *close, *from;
	int depth = 0;

	if (!open) {
		char all[2048];

		snprintf(all, sizeof(all), "%s%s", done, p);
		o->hit |= oracle_plain(o, all, o->subject, 0);
		return;
	}
	for (close = open; *close; close++) {
		depth += *close == '{';
		depth -= *close == '}';
		if (!depth)
			break;
	}
	from = open + 1;
	for (const char *q = from;; q++) {
		depth += *q == '{';
		depth -= *q == '}' && q != close;
		if (q == close || (*q == ',' && !depth)) {
			char rest[2048];

			// The alternative may have braces itself, so it goes before what follows.
			snprintf(rest, sizeof(rest), "%c%.*s%c%s", ALTERNATIVE, (int)(q - from),
				 from, AFTER_BRACE, close + 1);
			char head[2048];

			snprintf(head, sizeof(head), "%s%.*s", done, (int)(open - p), p);
			oracle_braces(o, head, rest);
			from = q + 1;
		}
		if (q == close)
			break;
	}
}

static size_t random_pattern(uint64_t *seed, char *out, uint32_t elements, int depth)
{
	static const char *const parts[] = {
		"a", "b", "/", ".", "*", "**", "?", "/**/", "**/", "/"
	};
	size_t n = 0;

	for (uint32_t i = 0; i < elements; i++) {
		if (depth < 2 && test_below(seed, 8) == 0) {
			uint32_t alternatives = 1 + test_below(seed, 3);

			out[n++] = '{';
			for (uint32_t k = 0; k < alternatives; k++) {
				if (k)
					out[n++] = ',';
				n += random_pattern(seed, out + n, test_below(seed, 3), depth + 1);
			}
			out[n++] = '}';
		} else {
			const char *part = parts[test_below(seed, MF_ARRAY_SIZE(parts))];

			// Stars that meet would be other stars.
			if (n && out[n - 1] == '*' && part[0] == '*')
				continue;
			memcpy(out + n, part, strlen(part));
			n += strlen(part);
		}
	}
	out[n] = '\0';
	return n;
}

static void random_patterns_match_as_plain_backtracking_does(void **state)
{
	static const char seps[] = { '/', '.', 0 };
	uint64_t seed = 8;
	unsigned hits = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct oracle o = { .sep = seps[test_below(&seed, 3)] };
		char pattern[512], subject[16];
		uint32_t len = test_below(&seed, 9);

		random_pattern(&seed, pattern, 1 + test_below(&seed, 6), 0);
		for (int k = 0; k < 6; k++) {
			enum answer a;

			for (uint32_t i = 0; i < len; i++)
				subject[i] = "ab/."[test_below(&seed, 4)];
			subject[len] = '\0';
			o.subject = subject;
			o.hit = false;
			oracle_braces(&o, "", pattern);
			hits += o.hit;
			a = ask(pattern, subject, o.sep, 0);
			if (a != (o.hit ? YES : NO))
				fail_msg("%s on %s with separator %c: got %d", pattern, subject,
					 o.sep ? o.sep : '0', a);
		}
	}
	// Both answers were tried often.
	assert_true(hits > 5000 && hits < 115000);
}

// The engine for many states and the one for few must agree: a brace of 70 letters that cannot match adds states.
static void long_patterns_match_as_short_ones_do(void **state)
{
	static const char many[] =
		"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";
	uint64_t seed = 9;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		char pattern[256], both[512], subject[16];
		uint32_t len = test_below(&seed, 9);

		random_pattern(&seed, pattern, 1 + test_below(&seed, 6), 1);
		snprintf(both, sizeof(both), "{%s,%s}", pattern, many);
		for (uint32_t i = 0; i < len; i++)
			subject[i] = "ab/."[test_below(&seed, 4)];
		subject[len] = '\0';
		if (ask(pattern, subject, '/', 0) != ask(both, subject, '/', 0))
			fail_msg("%s on %s", pattern, subject);
	}
}

static void patterns_that_would_explode_elsewhere_match_in_time(void **state)
{
	char pattern[MF_GLOB_PATTERN_MAX + 1], subject[4096];
	size_t n = 0;

	(void)state;
	while (n + 3 < 1500) {
		memcpy(pattern + n, "*a?", 3);
		n += 3;
	}
	pattern[n++] = 'b';
	pattern[n] = '\0';
	memset(subject, 'a', sizeof(subject));
	subject[sizeof(subject) - 1] = '\0';
	assert_int_equal(ask(pattern, subject, 0, 0), NO);
	// Nested empty alternatives: {,{,{,...}}}
	assert_int_equal(ask("{,{,{,{,{,{,{,{,{,{,a}}}}}}}}}}*b", subject, '/', 0), NO);
}

static void errors_name_the_column(void **state)
{
	static const struct {
		const char *pattern;
		unsigned column;
	} cases[] = {
		{ "/a/{b,c", 4 }, { "ab[c", 3 },     { "a[]", 2 }, { "a[z-a]", 4 },
		{ "abc\\", 4 },	  { "{a,{b,c}", 1 }, { "[!", 1 },  { "[a\\", 1 },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_glob *g;
		struct mf_err err = { 0 };

		assert_int_equal(mf_glob_compile(cases[i].pattern, strlen(cases[i].pattern), '/', 0,
						 &g, &err),
				 MF_E_SYNTAX);
		assert_int_equal(err.column, cases[i].column);
	}
}

static void length_and_depth_are_limited(void **state)
{
	char pattern[MF_GLOB_PATTERN_MAX + 2];
	struct mf_glob *g;

	(void)state;
	memset(pattern, '*', sizeof(pattern));
	assert_int_equal(mf_glob_compile(pattern, MF_GLOB_PATTERN_MAX + 1, '/', 0, &g, NULL),
			 MF_E_LIMIT);
	memset(pattern, '{', sizeof(pattern));
	assert_int_equal(mf_glob_compile(pattern, 100, '/', 0, &g, NULL), MF_E_LIMIT);
	// The most instructions that a pattern can make, in both dialects.
	for (unsigned flags = 0; flags < 2; flags++) {
		static const char *const units[] = {
			"**/", "*", "{,}", "[a]", "?", "{*,**/}", "*?"
		};

		for (size_t u = 0; u < MF_ARRAY_SIZE(units); u++) {
			size_t len = strlen(units[u]), n = 0;

			for (; n + len <= MF_GLOB_PATTERN_MAX; n += len)
				memcpy(pattern + n, units[u], len);
			assert_int_equal(mf_glob_compile(pattern, n, '/', flags, &g, NULL), 0);
			mf_glob_match(g, "a/b/c", 5);
			mf_glob_free(g);
		}
	}
}

static void letter_case_counts_unless_it_is_told_not_to(void **state)
{
	(void)state;
	assert_int_equal(ask("/A/[B-D]?*.TXT", "/a/cx.txt", '/', MF_GLOB_ICASE), YES);
	assert_int_equal(ask("/a/[b-d]?*.txt", "/A/CX.TXT", '/', MF_GLOB_ICASE), YES);
	assert_int_equal(ask("/A/*.txt", "/a/x.txt", '/', 0), NO);
}

static void classes_take_a_bracket_first_and_never_the_separator(void **state)
{
	(void)state;
	assert_int_equal(ask("[]a]", "]", '/', 0), YES);
	assert_int_equal(ask("[!]]", "]", '/', 0), NO);
	assert_int_equal(ask("[/a]", "/", '/', 0), NO);
	assert_int_equal(ask("[/a]", "/", 0, 0), YES);
	assert_int_equal(ask("[a-]", "-", '/', 0), YES);
	assert_int_equal(ask("[\\]]", "]", '/', 0), YES);
	assert_int_equal(ask("[a-cx-z_]", "y", '/', 0), YES);
	assert_int_equal(ask("[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", '/', 0), YES);
}

static void text_that_is_not_utf8_counts_byte_by_byte(void **state)
{
	(void)state;
	assert_int_equal(ask("?", "\xff", '/', 0), YES);
	assert_int_equal(ask("??", "\xc3", '/', 0), NO);
	assert_int_equal(ask("*\xff*",
			     "a\xff"
			     "b",
			     '/', 0),
			 YES);
	assert_int_equal(ask("[\xff]?", "\xff\xfe", '/', 0), YES);
	// Overlong and surrogate forms are no characters.
	assert_int_equal(ask("?", "\xc0\xaf", '/', 0), NO);
	assert_int_equal(ask("???", "\xed\xa0\x80", '/', 0), YES);
}

static struct mf_glob *compiled(const char *pattern, char sep)
{
	struct mf_glob *g;

	assert_int_equal(mf_glob_compile(pattern, strlen(pattern), sep, 0, &g, NULL), 0);
	return g;
}

static void globs_that_domain_sets_can_hold_are_recognised(void **state)
{
	static const struct {
		const char *pattern;
		int scope;
		const char *name;
	} cases[] = {
		{ "example.com", MF_DOMAIN_EXACT, "example.com" },
		{ "*.example.com", MF_DOMAIN_CHILD, "example.com" },
		{ "**.example.com", MF_DOMAIN_BELOW, "example.com" },
		{ "*example.com", -1, NULL },
		{ "a*.example.com", -1, NULL },
		{ "?.example.com", -1, NULL },
		{ "*", -1, NULL },
		{ "**", -1, NULL },
		{ "", -1, NULL },
		{ "{a,b}.com", -1, NULL },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_glob *g = compiled(cases[i].pattern, '.');
		const char *name;
		size_t len;

		assert_int_equal(mf_glob_domain(g, &name, &len), cases[i].scope);
		if (cases[i].name) {
			assert_int_equal(len, strlen(cases[i].name));
			assert_memory_equal(name, cases[i].name, len);
		}
		mf_glob_free(g);
	}
}

static void literals_and_prefixes_can_be_read_back(void **state)
{
	struct mf_glob *g = compiled("/a\\*b", '/');
	size_t len;

	(void)state;
	assert_string_equal(mf_glob_literal(g, &len), "/a*b");
	assert_int_equal(len, 4);
	mf_glob_free(g);
	g = compiled("/home/**/x", '/');
	assert_null(mf_glob_literal(g, &len));
	assert_string_equal(mf_glob_prefix(g, &len), "/home/");
	assert_true(mf_glob_bytes(g) > 0);
	mf_glob_free(g);
}

// The next `quoted` text of a table's cell; NULL at the cell's end.
static const char *next_quoted(const char **at, char *out, size_t room)
{
	const char *p = *at, *end;

	while (*p && *p != '|' && *p != '`')
		p++;
	if (*p != '`')
		return NULL;
	end = strchr(++p, '`');
	assert_non_null(end);
	snprintf(out, room, "%.*s", (int)(end - p), p);
	*at = end + 1;
	return out;
}

static unsigned run_row(const char *row, char sep)
{
	char pattern[128], subject[128];
	unsigned cnt = 0;

	assert_non_null(next_quoted(&row, pattern, sizeof(pattern)));
	for (int want = YES; want >= NO; want--) {
		row = strchr(row, '|') + 1;
		while (next_quoted(&row, subject, sizeof(subject))) {
			if (ask(pattern, subject, sep, 0) != (enum answer)want)
				fail_msg("docs/patterns.md: %s and %s", pattern, subject);
			cnt++;
		}
	}
	return cnt;
}

// Whether the first is proved to cover the second.
static bool covers(const char *outer, const char *inner, char sep, unsigned flags)
{
	struct mf_glob *a, *b;
	bool proved;

	assert_int_equal(mf_glob_compile(outer, strlen(outer), sep, flags, &a, NULL), 0);
	assert_int_equal(mf_glob_compile(inner, strlen(inner), sep, flags, &b, NULL), 0);
	proved = mf_glob_covers(a, b);
	mf_glob_free(a);
	mf_glob_free(b);
	return proved;
}

static void one_glob_is_proved_to_cover_another(void **state)
{
	static const struct {
		const char *outer, *inner;
		char sep;
		bool proved, back;
	} cases[] = {
		{ "**", "a", '.', true, false },
		{ "*", "**", '.', false, true },
		{ "*.example", "a*.example", '.', true, false },
		{ "{a,b}", "[ab]", '.', true, true },
		{ "[!b]", "a", '.', true, false },
		{ "?", "[^x]", '.', true, false },
		{ "a?c", "a{b,d}c", '/', true, false },
		{ "/a/**", "/a/**/b", '/', true, false },
		{ "/a/**/b", "/a/*/b", '/', true, false },
		{ "**/.env*", "/w/**/.env.local", '/', true, false },
		{ "*a*", "*a*b*", 0, true, false },
		{ "*a*b*", "*ab*", 0, true, false },
		{ "\xc3\xa4*", "\xc3\xa4\xc3\xb6", 0, true, false },
		{ "?", "\xc3\xa4", 0, true, false },
		{ "a", "a", '.', true, true },
		{ "a", "b", '.', false, false },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		if (covers(cases[i].outer, cases[i].inner, cases[i].sep, 0) != cases[i].proved)
			fail_msg("%s over %s", cases[i].outer, cases[i].inner);
		if (covers(cases[i].inner, cases[i].outer, cases[i].sep, 0) != cases[i].back)
			fail_msg("%s over %s", cases[i].inner, cases[i].outer);
	}
	assert_true(covers("A*", "a?", '.', MF_GLOB_ICASE));
	assert_true(covers("[a-c]", "B", '.', MF_GLOB_ICASE));
	assert_false(covers("[a-c]", "B", '.', 0));
}

static void what_is_proved_to_be_covered_is(void **state)
{
	static const char seps[] = { '/', '.', 0 };
	uint64_t seed = 11;
	unsigned proved = 0, hits = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char outer[512], inner[512], subject[16], sep = seps[test_below(&seed, 3)];
		unsigned flags = test_below(&seed, 3) ? 0 : MF_GLOB_GOBWAS;

		random_pattern(&seed, outer, 1 + test_below(&seed, 4), 0);
		random_pattern(&seed, inner, 1 + test_below(&seed, 4), 0);
		if (ask(outer, "", sep, flags) == ERROR || ask(inner, "", sep, flags) == ERROR ||
		    !covers(outer, inner, sep, flags))
			continue;
		proved++;
		for (int k = 0; k < 50; k++) {
			uint32_t len = test_below(&seed, 7);

			for (uint32_t i = 0; i < len; i++)
				subject[i] = "ab/."[test_below(&seed, 4)];
			subject[len] = '\0';
			if (ask(inner, subject, sep, flags) == NO)
				continue;
			hits++;
			if (ask(outer, subject, sep, flags) == NO)
				fail_msg("%s over %s: %s with separator %c", outer, inner, subject,
					 sep ? sep : '0');
		}
	}
	assert_true(proved > 500 && hits > 1000);
}

static void the_examples_of_the_docs_are_true(void **state)
{
	FILE *f = fopen(MF_SOURCE_DIR "/docs/patterns.md", "r");
	char line[1024], sep = 0;
	unsigned cnt = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "The separator of host names", 27) == 0)
			sep = '.';
		else if (strncmp(line, "The separator of paths", 22) == 0)
			sep = '/';
		else if (strncmp(line, "The compiler of globs", 21) == 0 || line[0] == '#')
			sep = 0;
		else if (sep && strncmp(line, "| `", 3) == 0)
			cnt += run_row(line + 2, sep);
	}
	fclose(f);
	assert_true(cnt > 50);
}

static void the_docs_tell_the_dialects_apart_as_they_are(void **state)
{
	static const struct {
		const char *pattern, *subject;
		char sep;
		enum answer here, gobwas;
	} cases[] = {
		{ "/a/**/b/*.txt", "/a/b/f.txt", '/', YES, NO },
		{ "**/x", "x", '/', YES, NO },
		{ "aba**aba", "aba", '/', NO, YES },
		{ "[!a]", "/", '/', NO, YES },
		{ "[^a]", "b", '/', YES, NO },
		{ "[^a]", "a", '/', NO, YES },
		{ "[^a]", "^", '/', YES, YES },
		{ "[a-cx]", "x", '/', YES, ERROR },
		{ "?.x", "\xc3\xa9.x", '.', YES, NO },
		{ "{*.,}x.com", "x.com", '.', YES, NO },
		{ "{*.,}x.com", "a.x.com", '.', YES, NO },
		{ "/x/***", "/x/", '/', YES, NO },
		{ "/x/{a,b", "/x/a", '/', ERROR, YES },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		assert_int_equal(ask(cases[i].pattern, cases[i].subject, cases[i].sep, 0),
				 cases[i].here);
		assert_int_equal(
			ask(cases[i].pattern, cases[i].subject, cases[i].sep, MF_GLOB_GOBWAS),
			cases[i].gobwas);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cases_give_what_rule_p26_says),
		cmocka_unit_test(all_cases_give_what_gobwas_gave_in_its_mode),
		cmocka_unit_test(random_patterns_match_as_plain_backtracking_does),
		cmocka_unit_test(long_patterns_match_as_short_ones_do),
		cmocka_unit_test(patterns_that_would_explode_elsewhere_match_in_time),
		cmocka_unit_test(errors_name_the_column),
		cmocka_unit_test(length_and_depth_are_limited),
		cmocka_unit_test(letter_case_counts_unless_it_is_told_not_to),
		cmocka_unit_test(classes_take_a_bracket_first_and_never_the_separator),
		cmocka_unit_test(text_that_is_not_utf8_counts_byte_by_byte),
		cmocka_unit_test(globs_that_domain_sets_can_hold_are_recognised),
		cmocka_unit_test(literals_and_prefixes_can_be_read_back),
		cmocka_unit_test(one_glob_is_proved_to_cover_another),
		cmocka_unit_test(what_is_proved_to_be_covered_is),
		cmocka_unit_test(the_examples_of_the_docs_are_true),
		cmocka_unit_test(the_docs_tell_the_dialects_apart_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
