// SPDX-License-Identifier: Apache-2.0
// test_domain_set.c - domain sets: label boundaries, scopes, values, lists, limits, and a comparison with a slow model
#include "core/match/domain_set.h"
#include "core/names/canonical.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

static struct mf_domain_set_builder *builder(const struct mf_domain_set_options *options)
{
	struct mf_domain_set_builder *b;

	assert_int_equal(mf_domain_set_builder_new(options, &b, NULL), 0);
	return b;
}

static struct mf_domain_set *seal(struct mf_domain_set_builder *b)
{
	struct mf_domain_set *set;

	assert_int_equal(mf_domain_set_builder_seal(b, &set, NULL), 0);
	return set;
}

static struct mf_domain_set *of_text(const char *text)
{
	struct mf_domain_set_builder *b = builder(NULL);
	struct mf_err err = { 0 };

	if (mf_domain_set_builder_add_text(b, text, strlen(text), "list", 0, &err))
		fail_msg("%s", err.msg);
	return seal(b);
}

static bool under(const struct mf_domain_set *set, const char *name)
{
	return mf_domain_set_under(set, name, strlen(name));
}

static void a_name_holds_itself_and_what_is_below_but_nothing_that_only_ends_alike(void **state)
{
	struct mf_domain_set *set = of_text("example.com\n");

	(void)state;
	assert_true(under(set, "example.com"));
	assert_true(under(set, "a.example.com"));
	assert_true(under(set, "a.b.example.com"));
	assert_false(under(set, "badexample.com"));
	assert_false(under(set, "com"));
	assert_false(under(set, "example.com.evil.net"));
	assert_false(under(set, "example.comx"));
	assert_false(under(set, ""));
	mf_domain_set_free(set);
}

static void an_empty_set_holds_nothing(void **state)
{
	struct mf_domain_set *set = of_text("# nothing\n\n   \n");

	(void)state;
	assert_int_equal(mf_domain_set_count(set), 0);
	assert_false(under(set, "a"));
	mf_domain_set_free(set);
}

static void scopes_mean_exact_below_and_one_label_below(void **state)
{
	struct mf_domain_set_builder *b = builder(NULL);
	struct mf_domain_set *set;

	(void)state;
	mf_domain_set_builder_add(b, "exact.test", 10, MF_DOMAIN_EXACT, 0, NULL);
	mf_domain_set_builder_add(b, "below.test", 10, MF_DOMAIN_BELOW, 0, NULL);
	mf_domain_set_builder_add(b, "child.test", 10, MF_DOMAIN_CHILD, 0, NULL);
	set = seal(b);
	assert_true(under(set, "exact.test"));
	assert_false(under(set, "a.exact.test"));
	assert_false(under(set, "below.test"));
	assert_true(under(set, "a.below.test"));
	assert_true(under(set, "a.b.below.test"));
	assert_false(under(set, "child.test"));
	assert_true(under(set, "a.child.test"));
	assert_false(under(set, "a.b.child.test"));
	mf_domain_set_free(set);
}

static void the_lowest_value_of_all_matches_is_found_and_all_of_them_if_asked(void **state)
{
	const struct mf_domain_set_options all = { .keep_all = true };
	struct mf_domain_set_builder *b = builder(&all);
	struct mf_domain_set *set;
	uint32_t v[8];

	(void)state;
	mf_domain_set_builder_add(b, "com", 3, MF_DOMAIN_UNDER, 9, NULL);
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_UNDER, 4, NULL);
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_UNDER, 6, NULL);
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_UNDER, 6, NULL);
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_EXACT, 1, NULL);
	set = seal(b);
	assert_int_equal(mf_domain_set_count(set), 4);
	assert_int_equal(mf_domain_set_find(set, "x.com", 5), 1);
	assert_int_equal(mf_domain_set_find(set, "a.x.com", 7), 4);
	assert_int_equal(mf_domain_set_find(set, "y.com", 5), 9);
	assert_int_equal(mf_domain_set_find(set, "y.org", 5), MF_MATCH_NONE);
	assert_int_equal(mf_domain_set_find_all(set, "a.x.com", 7, v, 8), 3);
	assert_int_equal(v[0], 9);
	assert_int_equal(v[1] + v[2], 10);
	// A small array gets what fits, and the number of all.
	assert_int_equal(mf_domain_set_find_all(set, "a.x.com", 7, v, 1), 3);
	mf_domain_set_free(set);
}

static void without_keep_all_the_lowest_value_of_one_name_stays(void **state)
{
	struct mf_domain_set_builder *b = builder(NULL);
	struct mf_domain_set *set;

	(void)state;
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_UNDER, 6, NULL);
	mf_domain_set_builder_add(b, "X.com.", 6, MF_DOMAIN_UNDER, 2, NULL);
	mf_domain_set_builder_add(b, "x.com", 5, MF_DOMAIN_UNDER, 4, NULL);
	set = seal(b);
	assert_int_equal(mf_domain_set_count(set), 1);
	assert_int_equal(mf_domain_set_find(set, "x.com", 5), 2);
	mf_domain_set_free(set);
}

static void lists_have_comments_scopes_and_lines_of_hosts_files(void **state)
{
	struct mf_domain_set *set = of_text("\xef\xbb\xbf# comment\r\n"
					    "  Tracker.Example.  # why\r\n"
					    "0.0.0.0 ads.example more.example # two\n"
					    "127.0.0.1 localhost\n"
					    "::1 localhost ip6-localhost\n"
					    "fe80::1%lo0 localhost\n"
					    "0.0.0.0 0.0.0.0\n"
					    "*.below.example\n"
					    "=exact.example\n"
					    "last.example");

	(void)state;
	assert_int_equal(mf_domain_set_count(set), 6);
	assert_true(under(set, "x.tracker.example"));
	assert_true(under(set, "ads.example"));
	assert_true(under(set, "more.example"));
	assert_false(under(set, "below.example"));
	assert_true(under(set, "a.below.example"));
	assert_false(under(set, "a.exact.example"));
	assert_true(under(set, "last.example"));
	assert_false(under(set, "localhost"));
	mf_domain_set_free(set);
}

static void a_bad_line_is_reported_with_file_line_and_column(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
	} cases[] = {
		{ "good.example\nbad..example\n", 2, 1 },
		{ "a.example\n\n  b.exam/ple", 3, 3 },
		{ "a.example b.example\n", 1, 11 },
		{ "0.0.0.0 good.example b\x01.d\n", 1, 22 },
		{ "1.2.3.4\n", 1, 1 },
		{ "b\xc3\xbc"
		  "cher.example\n",
		  1, 1 },
		{ "*.\n", 1, 1 },
		{ ".\n", 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_domain_set_builder *b = builder(NULL);
		struct mf_err err = { 0 };

		assert_int_equal(mf_domain_set_builder_add_text(b, cases[i].text,
								strlen(cases[i].text), "list.txt",
								0, &err),
				 MF_E_SYNTAX);
		assert_string_equal(err.file, "list.txt");
		assert_int_equal(err.line, cases[i].line);
		assert_int_equal(err.column, cases[i].column);
		mf_domain_set_builder_free(b);
	}
}

static void names_beyond_ascii_go_through_the_given_function(void **state)
{
	const struct mf_domain_set_options idna = { .canon = mf_name_canon };
	struct mf_domain_set_builder *b = builder(&idna);
	struct mf_domain_set *set;

	(void)state;
	assert_int_equal(mf_domain_set_builder_add(b,
						   "B\xc3\x9c"
						   "CHER.example",
						   15, MF_DOMAIN_UNDER, 0, NULL),
			 0);
	set = seal(b);
	assert_true(under(set, "xn--bcher-kva.example"));
	mf_domain_set_free(set);
}

static void files_are_read_in_pieces_and_bounded(void **state)
{
	char dir[256], path[300];
	const struct mf_domain_set_options small = { .names_max = 1000 };
	const struct mf_domain_set_options tiny = { .bytes_max = 5000 };
	struct mf_domain_set_builder *b = builder(NULL);
	struct mf_domain_set *set;
	struct mf_err err = { 0 };
	FILE *f;

	(void)state;
	assert_int_equal(test_temp_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/list", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	for (int i = 0; i < 20000; i++)
		fprintf(f, "name-%d.of-a-list.example\n", i);
	fclose(f);
	assert_int_equal(mf_domain_set_builder_add_file(b, path, 7, &err), 0);
	set = seal(b);
	assert_int_equal(mf_domain_set_count(set), 20000);
	for (int i = 0; i < 20000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "name-%d.of-a-list.example", i);
		assert_int_equal(mf_domain_set_find(set, name, strlen(name)), 7);
	}
	mf_domain_set_free(set);
	b = builder(&small);
	assert_int_equal(mf_domain_set_builder_add_file(b, path, 7, &err), MF_E_LIMIT);
	assert_int_equal(err.line, 1001);
	mf_domain_set_builder_free(b);
	b = builder(&tiny);
	assert_int_equal(mf_domain_set_builder_add_file(b, path, 7, &err), MF_E_LIMIT);
	mf_domain_set_builder_free(b);
	// One line without an end.
	f = fopen(path, "w");
	for (int i = 0; i < 70000; i++)
		fputc('a', f);
	fclose(f);
	b = builder(NULL);
	assert_int_equal(mf_domain_set_builder_add_file(b, path, 7, &err), MF_E_LIMIT);
	mf_domain_set_builder_free(b);
	assert_int_equal(test_remove_tree(dir), 0);
	b = builder(NULL);
	assert_int_equal(mf_domain_set_builder_add_file(b, path, 7, &err), MF_E_IO);
	assert_string_equal(err.file, path);
	mf_domain_set_builder_free(b);
}

static void questions_that_are_no_names_are_not_found(void **state)
{
	struct mf_domain_set *set = of_text("a\nb.a\n");
	char dots[256], labels[256];

	(void)state;
	memset(dots, '.', sizeof(dots));
	for (size_t i = 0; i < sizeof(labels); i++)
		labels[i] = i % 2 ? '.' : 'a';
	for (size_t n = 0; n <= sizeof(dots); n++)
		assert_false(mf_domain_set_under(set, dots, n));
	// 127 labels are the most that a name has; one byte more is none.
	assert_true(mf_domain_set_under(set, labels, 253));
	assert_false(mf_domain_set_under(set, labels, 255));
	assert_false(mf_domain_set_under(set, labels + 1, 253));
	assert_false(under(set, ".a"));
	assert_false(under(set, "a."));
	assert_false(under(set, "x..a"));
	assert_false(under(set, "A"));
	mf_domain_set_free(set);
}

// A name of up to four labels over few letters, so that names meet often.
static size_t random_name(uint64_t *seed, char *out)
{
	uint32_t labels = 1 + test_below(seed, 4);
	size_t n = 0;

	for (uint32_t i = 0; i < labels; i++) {
		uint32_t len = 1 + test_below(seed, 2);

		if (i)
			out[n++] = '.';
		for (uint32_t k = 0; k < len; k++)
			out[n++] = (char)('a' + test_below(seed, 3));
	}
	out[n] = '\0';
	return n;
}

struct entry {
	char name[16];
	enum mf_domain_scope scope;
	uint32_t value;
};

static bool model_matches(const struct entry *e, const char *name)
{
	size_t n = strlen(name), m = strlen(e->name);
	unsigned above = 0;

	if (n < m || strcmp(name + n - m, e->name) != 0 || (n > m && name[n - m - 1] != '.'))
		return false;
	for (size_t i = 0; i < n - m; i++)
		above += name[i] == '.';
	switch (e->scope) {
	case MF_DOMAIN_EXACT:
		return above == 0;
	case MF_DOMAIN_BELOW:
		return above > 0;
	case MF_DOMAIN_CHILD:
		return above == 1;
	default:
		return true;
	}
}

static void compare_with_model(const struct mf_domain_set *set, const struct entry *entries,
			       uint32_t cnt, const char *name)
{
	uint32_t lowest = MF_MATCH_NONE, hits = 0, values[512];
	uint64_t sum = 0, got_sum = 0;
	size_t got;

	for (uint32_t i = 0; i < cnt; i++) {
		bool seen = false;

		for (uint32_t k = 0; k < i; k++)
			seen |= memcmp(&entries[k], &entries[i], sizeof(*entries)) == 0;
		if (seen || !model_matches(&entries[i], name))
			continue;
		hits++;
		sum += entries[i].value * 31 + 7;
		if (entries[i].value < lowest)
			lowest = entries[i].value;
	}
	got = mf_domain_set_find_all(set, name, strlen(name), values, MF_ARRAY_SIZE(values));
	assert_int_equal(got, hits);
	for (size_t i = 0; i < got; i++)
		got_sum += values[i] * 31 + 7;
	assert_int_equal(got_sum, sum);
	assert_int_equal(mf_domain_set_find(set, name, strlen(name)), lowest);
	assert_int_equal(under(set, name), hits > 0);
}

static void random_sets_answer_as_a_linear_search_does(void **state)
{
	const struct mf_domain_set_options all = { .keep_all = true };
	uint64_t seed = 20260729;

	(void)state;
	for (int round = 0; round < (getenv("MF_SLOW") ? 200 : 60); round++) {
		struct mf_domain_set_builder *b = builder(&all);
		struct entry entries[200];
		uint32_t cnt = test_below(&seed, 200), values = round % 3 ? 50 : 1;
		struct mf_domain_set *set;
		char name[32];

		memset(entries, 0, sizeof(entries));
		for (uint32_t i = 0; i < cnt; i++) {
			size_t n = random_name(&seed, entries[i].name);

			entries[i].scope = test_below(&seed, MF_DOMAIN_SCOPE_NUM);
			entries[i].value = test_below(&seed, values);
			assert_int_equal(mf_domain_set_builder_add(b, entries[i].name, n,
								   entries[i].scope,
								   entries[i].value, NULL),
					 0);
		}
		set = seal(b);
		for (int k = 0; k < 200; k++) {
			random_name(&seed, name);
			compare_with_model(set, entries, cnt, name);
		}
		mf_domain_set_free(set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_name_holds_itself_and_what_is_below_but_nothing_that_only_ends_alike),
		cmocka_unit_test(an_empty_set_holds_nothing),
		cmocka_unit_test(scopes_mean_exact_below_and_one_label_below),
		cmocka_unit_test(the_lowest_value_of_all_matches_is_found_and_all_of_them_if_asked),
		cmocka_unit_test(without_keep_all_the_lowest_value_of_one_name_stays),
		cmocka_unit_test(lists_have_comments_scopes_and_lines_of_hosts_files),
		cmocka_unit_test(a_bad_line_is_reported_with_file_line_and_column),
		cmocka_unit_test(names_beyond_ascii_go_through_the_given_function),
		cmocka_unit_test(files_are_read_in_pieces_and_bounded),
		cmocka_unit_test(questions_that_are_no_names_are_not_found),
		cmocka_unit_test(random_sets_answer_as_a_linear_search_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
