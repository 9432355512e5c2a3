/* SPDX-License-Identifier: Apache-2.0 */
/* test_yaml_tree.c - what the reader of YAML takes, refuses, and where it says so */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/strbuf.h"
#include "core/policy/yaml_tree.h"

static struct mf_err err;

static int read_text(const char *text, struct mf_yaml_tree **tree)
{
	err = (struct mf_err){ 0 };
	return mf_yaml_read(text, strlen(text), "x.yaml", tree, &err);
}

static void nodes_know_their_text_and_place(void **state)
{
	struct mf_yaml_tree *t;
	const struct mf_yaml_node *root, *n;

	(void)state;
	assert_int_equal(read_text("\xef\xbb\xbfname: no\r\nlist:\r\n  - 'a'\r\n  - {b: "
				   "\"c\\n\"}\r\nnone:\r\n",
				   &t),
			 0);
	root = mf_yaml_root(t);
	assert_int_equal(root->kind, MF_YAML_MAP);
	assert_int_equal(root->cnt, 3);
	n = mf_yaml_get(root, "name");
	assert_string_equal(n->text, "no");
	assert_true(n->plain);
	n = mf_yaml_get(root, "list");
	assert_int_equal(n->cnt, 2);
	assert_int_equal(n->items[0]->line, 3);
	assert_int_equal(n->items[0]->column, 5);
	assert_false(n->items[0]->plain);
	assert_string_equal(mf_yaml_get(n->items[1], "b")->text, "c\n");
	assert_true(mf_yaml_is_null(mf_yaml_get(root, "none")));
	assert_true(mf_yaml_is_null(mf_yaml_get(root, "nothing")));
	assert_false(mf_yaml_is_null(n));
	mf_yaml_free(t);
	assert_int_equal(read_text("{\"a\": [1, 2], \"b\": \"null\"}", &t), 0);
	assert_false(mf_yaml_is_null(mf_yaml_get(mf_yaml_root(t), "b")));
	mf_yaml_free(t);
}

static void aliases_share_and_merge_keys_give_what_is_missing(void **state)
{
	struct mf_yaml_tree *t;
	const struct mf_yaml_node *root, *n;

	(void)state;
	assert_int_equal(read_text("base: &b {x: 1, y: 2}\n"
				   "more: &m {y: 5, z: 6}\n"
				   "one: {<<: *b, y: 3}\n"
				   "two: {<<: [*b, *m]}\n"
				   "text: {'<<': *b}\n",
				   &t),
			 0);
	root = mf_yaml_root(t);
	n = mf_yaml_get(root, "one");
	assert_int_equal(n->cnt, 2);
	assert_string_equal(mf_yaml_get(n, "x")->text, "1");
	assert_string_equal(mf_yaml_get(n, "y")->text, "3");
	n = mf_yaml_get(root, "two");
	assert_string_equal(mf_yaml_get(n, "y")->text, "2");
	assert_string_equal(mf_yaml_get(n, "z")->text, "6");
	assert_ptr_equal(mf_yaml_get(mf_yaml_get(root, "text"), "<<"), mf_yaml_get(root, "base"));
	mf_yaml_free(t);
}

static const struct {
	const char *text, *says;
	unsigned line, column;
	int code;
} refused[] = {
	{ "", "the file is empty", 1, 0, MF_E_SYNTAX },
	{ "# nothing\n", "the file is empty", 1, 0, MF_E_SYNTAX },
	{ "a: 1\n---\nb: 2\n", "a second document", 2, 1, MF_E_SYNTAX },
	{ "a: 1\nb: 2\na: 3\n", "key \"a\" stands here twice", 3, 1, MF_E_SYNTAX },
	{ "? [a]\n: b\n", "a key must be text, not a list", 1, 3, MF_E_SYNTAX },
	{ "a: *b\n", "there is no anchor &b", 1, 4, MF_E_SYNTAX },
	{ "a: &x [1, *x]\n", "*x stands inside of what it names", 1, 11, MF_E_SYNTAX },
	{ "d:\n  - *.example.com\n", "must stand in quotes", 2, 5, MF_E_SYNTAX },
	{ "a:\n\tb: 1\n", "tabs cannot indent", 2, 1, MF_E_SYNTAX },
	{ "a: !!int 5\n", "tags are not known here", 1, 4, MF_E_SYNTAX },
	{ "a: !x {}\n", "tags are not known here", 1, 4, MF_E_SYNTAX },
	{ "a: \"b\\0c\"\n", "holds a NUL", 1, 4, MF_E_SYNTAX },
	{ "a: {<<: 5}\n", "<< takes a mapping", 1, 4, MF_E_SYNTAX },
	{ "a: [1, 2\n", "", 2, 1, MF_E_SYNTAX },
	{ "a: b: c\n", "mapping values are not allowed", 1, 5, MF_E_SYNTAX },
	{ "a: \xff\n", "", 1, 0, MF_E_SYNTAX },
};

static void what_is_refused_has_a_place(void **state)
{
	struct mf_yaml_tree *t;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(refused); i++) {
		int r = read_text(refused[i].text, &t);

		if (r != refused[i].code || !strstr(err.msg, refused[i].says) ||
		    err.line != refused[i].line || err.column != refused[i].column)
			fail_msg("%s\n  %d at %u:%u: %s", refused[i].text, r, err.line, err.column,
				 err.msg);
		assert_null(t);
	}
	assert_int_equal(mf_yaml_read("a: b\0c", 6, "x.yaml", &t, &err), MF_E_SYNTAX);
	assert_int_equal(read_text("a: !!str 5\n", &t), 0);
	assert_false(mf_yaml_get(mf_yaml_root(t), "a")->plain);
	mf_yaml_free(t);
}

static void sizes_are_bounded(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT((size_t)16 << 20);
	struct mf_yaml_tree *t;

	(void)state;
	/* Ten lists, each of ten of the one before: 10^10 if somebody wrote them out. */
	mf_strbuf_adds(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++) {
		mf_strbuf_addf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			mf_strbuf_addf(&b, "%s*a%d", k ? "," : "", i - 1);
		mf_strbuf_adds(&b, "]\n");
	}
	assert_int_equal(read_text(b.str, &t), MF_E_LIMIT);
	assert_non_null(strstr(err.msg, "with its aliases written out"));
	mf_strbuf_clear(&b);
	for (int i = 0; i < 100; i++)
		mf_strbuf_addc(&b, '[');
	assert_int_equal(read_text(b.str, &t), MF_E_LIMIT);
	assert_int_equal(err.column, MF_YAML_DEPTH_MAX + 1);
	mf_strbuf_clear(&b);
	for (int i = 0; i <= MF_YAML_KEYS_MAX; i++)
		mf_strbuf_addf(&b, "k%d: 1\n", i);
	assert_int_equal(read_text(b.str, &t), MF_E_LIMIT);
	assert_int_equal(err.line, MF_YAML_KEYS_MAX + 1);
	mf_strbuf_clear(&b);
	for (int i = 0; i <= MF_YAML_ANCHOR_MAX; i++)
		mf_strbuf_addf(&b, "- &a%d x\n", i);
	assert_int_equal(read_text(b.str, &t), MF_E_LIMIT);
	mf_strbuf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_know_their_text_and_place),
		cmocka_unit_test(aliases_share_and_merge_keys_give_what_is_missing),
		cmocka_unit_test(what_is_refused_has_a_place),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
