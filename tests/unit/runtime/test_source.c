/* SPDX-License-Identifier: Apache-2.0 */
/* test_source.c - which files make up a set of policies, in which order, and what stays out of reach */
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/os/os.h"
#include "tests/unit/runtime/tree.h"

#include <cmocka.h>

#include "core/base/sha256.h"
#include "core/policy/pack_state.h"
#include "core/policy/source.h"

static struct mf_err err;

static int read_set(const char *name, struct mf_source_set **set)
{
	const char *path = *name ? tree_path(name) : tree_dir;

	memset(&err, 0, sizeof(err));
	return mf_source_set_read(&path, 1, tree_path("stdlib"), set, &err);
}

/* "pack/file pack/file ..." of a set */
static const char *list(struct mf_source_set *set)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < mf_source_set_count(set); i++) {
		const struct mf_policy_source *p = mf_source_set_policy(set, i);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s:%s", i ? " " : "", p->pack,
				      strrchr(p->chunk.name, '/') + 1);
	}
	mf_source_set_unref(set);
	return text;
}

static void a_directory_is_read_in_byte_order(void **state)
{
	struct mf_source_set *set;

	(void)state;
	tree_write("p/b.lua", "return {}");
	tree_write("p/a.lua", "return {}");
	tree_write("p/C.lua", "return {}");
	tree_write("p/a_test.lua", "");
	tree_write("p/.hidden.lua", "");
	tree_write("p/notes.txt", "");
	tree_write("p/lib/m.lua", "");
	tree_write("p/data/x.lua", "");
	tree_write("p/corp/policy.lua", "return {}");
	tree_write("p/empty/readme", "");
	assert_int_equal(read_set("p", &set), 0);
	assert_string_equal(list(set), "C:C.lua a:a.lua b:b.lua corp:policy.lua");
}

static void packs_say_their_name_order_and_tier(void **state)
{
	struct mf_source_set *set;

	(void)state;
	tree_write("p/one/pack.lua", "return { name = 'first', version = '1.2.3', order = 20 }");
	tree_write("p/one/policy.lua", "return {}");
	tree_write("p/two/pack.lua",
		   "return { name = 'second', order = 10, policies = { 'z.lua', 'a.lua' } }");
	tree_write("p/two/a.lua", "return {}");
	tree_write("p/two/z.lua", "return {}");
	tree_write("p/zzz/pack.lua",
		   "return { name = 'law', tier = 'mandatory', needs = '0.1', order = 99 }");
	tree_write("p/zzz/policy.lua", "return {}");
	tree_write("p/loose.lua", "return {}");
	assert_int_equal(read_set("p", &set), 0);
	assert_string_equal(mf_source_set_policy(set, 4)->pack_version, "1.2.3");
	assert_string_equal(
		list(set),
		"law:policy.lua loose:loose.lua second:z.lua second:a.lua first:policy.lua");
}

static const struct {
	const char *text, *says;
	int code;
} bad_packs[] = {
	{ "return { nmae = 'x' }", "unknown key \"nmae\"", MF_E_POLICY },
	{ "return { needs = '99.0' }", "needs Moonfence 99.0", MF_E_POLICY },
	{ "return { needs = 'new' }", "needs must be \"MAJOR.MINOR\"", MF_E_POLICY },
	{ "return { tier = 'high' }", "tier must be", MF_E_POLICY },
	{ "return { order = 'x' }", "order must be an integer", MF_E_POLICY },
	{ "return { policies = { '../x.lua' } }", "may not be absolute or hold \"..\"", MF_E_PERM },
	{ "return { policies = { 'x.txt' } }", "must end in .lua", MF_E_POLICY },
	{ "return { policies = { 'gone.lua' } }", "gone.lua", MF_E_NOENT },
	{ "return 5", "must return a table", MF_E_POLICY },
	{ "return {", "", MF_E_SYNTAX },
	{ "while true do end", "", MF_E_STEPS },
	{ "local t = {} while true do t[#t + 1] = {} end", "", MF_E_MEMORY },
	{ "return { name = io.read() }", "", MF_E_POLICY },
};

static void a_bad_pack_file_is_named_with_the_reason(void **state)
{
	struct mf_source_set *set;

	(void)state;
	tree_write("p/policy.lua", "return {}");
	for (size_t i = 0; i < sizeof(bad_packs) / sizeof(bad_packs[0]); i++) {
		int r;

		tree_write("p/pack.lua", bad_packs[i].text);
		r = read_set("p", &set);
		if (r != bad_packs[i].code || !strstr(err.msg, bad_packs[i].says))
			fail_msg("%s: %d %s", bad_packs[i].text, r, err.msg);
		if (!strstr(err.file, "/p/") && r != MF_E_PERM)
			fail_msg("%s: file \"%s\"", bad_packs[i].text, err.file);
	}
}

static void tests_belong_to_their_policy(void **state)
{
	struct mf_source_set *set, *one;

	(void)state;
	tree_write("p/a.lua", "return {}");
	tree_write("p/a_test.lua", "-- a1");
	tree_write("p/tests/a.lua", "-- a2");
	tree_write("p/tests/a_test.lua", "-- a3");
	tree_write("p/tests/b.lua", "-- b");
	tree_write("p/b.lua", "return {}");
	tree_write("p/c/policy.lua", "return {}");
	tree_write("p/c/policy_test.lua", "-- c1");
	tree_write("p/c/tests/any.lua", "-- c2");
	assert_int_equal(read_set("p", &set), 0);
	assert_int_equal(mf_source_set_test_count(set, 0), 3);
	assert_int_equal(mf_source_set_test_count(set, 1), 1);
	assert_int_equal(mf_source_set_test_count(set, 2), 2);
	assert_memory_equal(mf_source_set_test(set, 2, 1)->text, "-- c2", 5);
	assert_int_equal(mf_source_set_narrow(set, 2, &one), 0);
	mf_source_set_unref(set);
	assert_int_equal(mf_source_set_count(one), 1);
	assert_int_equal(mf_source_set_test_count(one, 0), 2);
	mf_source_set_unref(one);
}

static void modules_come_from_the_pack_or_the_standard_library(void **state)
{
	struct mf_source_set *set;
	const struct mf_sandbox_source *c, *m;
	bool links;

	(void)state;
	tree_write("p/policy.lua", "return {}");
	tree_write("p/lib/names.lua", "return 'lib'");
	tree_write("p/sub/x.lua", "return 'sub'");
	tree_write("p/moonfence/hosts.lua", "return 'not this'");
	tree_write("stdlib/moonfence/hosts.lua", "return 'std'");
	tree_write("outside.lua", "return 'secret'");
	links = tree_link("../outside.lua", "p/leak.lua") && tree_link("policy.lua", "p/alias.lua");
	assert_int_equal(read_set("p", &set), 0);
	c = &mf_source_set_policy(set, 0)->chunk;
	m = c->find(c->ctx, "names");
	assert_non_null(m);
	assert_string_equal(m->text, "return 'lib'");
	assert_ptr_equal(m, c->find(c->ctx, "names"));
	m = c->find(c->ctx, "sub.x");
	assert_string_equal(m->text, "return 'sub'");
	m = c->find(c->ctx, "moonfence.hosts");
	assert_string_equal(m->text, "return 'std'");
	if (links) {
		assert_non_null(c->find(c->ctx, "alias"));
		m = c->find(c->ctx, "leak");
		assert_null(m->text);
		assert_non_null(strstr(m->why, "symbolic link out of"));
	}
	assert_null(c->find(c->ctx, "../outside"));
	assert_null(c->find(c->ctx, "..outside"));
	assert_null(c->find(c->ctx, "/etc/passwd"));
	assert_null(c->find(c->ctx, ""));
	assert_null(c->find(c->ctx, "gone"));
	/* What was not there stays so for this generation. */
	tree_write("p/gone.lua", "return 1");
	tree_write("p/lib/names.lua", "return 'changed'");
	assert_null(c->find(c->ctx, "gone"));
	assert_string_equal(c->find(c->ctx, "names")->text, "return 'lib'");
	mf_source_set_unref(set);
}

static void data_is_confined_and_read_once(void **state)
{
	const struct mf_policy_source *p;
	struct mf_source_set *set;
	bool links, fifo;
	const char *text;
	size_t len;

	(void)state;
	tree_write("p/policy.lua", "return {}");
	tree_write("p/data/list.txt", "a.example\n");
	tree_write("secret.txt", "x");
	links = tree_link("../../secret.txt", "p/data/out.txt") &&
		tree_link("/etc/passwd", "p/data/abs.txt") &&
		tree_link("list.txt", "p/data/in.txt");
	fifo = test_fifo(tree_path("p/data/fifo")) == 0;
	assert_int_equal(test_make_dir(tree_path("p/data/dir")), 0);
	assert_int_equal(read_set("p", &set), 0);
	p = mf_source_set_policy(set, 0);
	assert_int_equal(mf_policy_source_data(p, "data/list.txt", &text, &len, &err), 0);
	assert_string_equal(text, "a.example\n");
	if (links) {
		assert_int_equal(mf_policy_source_data(p, "data/in.txt", &text, &len, &err), 0);
		assert_int_equal(mf_policy_source_data(p, "data/out.txt", &text, &len, &err),
				 MF_E_PERM);
		assert_non_null(strstr(err.msg, "out of its directory"));
		assert_int_equal(mf_policy_source_data(p, "data/abs.txt", &text, &len, &err),
				 MF_E_PERM);
	}
	assert_int_equal(mf_policy_source_data(p, "../secret.txt", &text, &len, &err), MF_E_PERM);
	assert_int_equal(mf_policy_source_data(p, "data/../../secret.txt", &text, &len, &err),
			 MF_E_PERM);
	assert_int_equal(mf_policy_source_data(p, "/etc/passwd", &text, &len, &err), MF_E_PERM);
	assert_int_equal(mf_policy_source_data(p, "", &text, &len, &err), MF_E_PERM);
	if (fifo)
		assert_int_equal(mf_policy_source_data(p, "data/fifo", &text, &len, &err), MF_E_IO);
	assert_int_equal(mf_policy_source_data(p, "data/dir", &text, &len, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "is not a regular file"));
	assert_int_equal(mf_policy_source_data(p, "data/none.txt", &text, &len, &err), MF_E_NOENT);
	tree_write("p/data/list.txt", "b.example\n");
	assert_int_equal(mf_policy_source_data(p, "data/list.txt", &text, &len, &err), 0);
	assert_string_equal(text, "a.example\n");
	mf_source_set_unref(set);
}

static void policies_of_agentsh_are_policies_too(void **state)
{
	struct mf_source_set *set;

	(void)state;
	tree_write("y/b.yaml", "version: 1\nname: b\n");
	tree_write("y/a.yml", "version: 1\nname: a\n");
	tree_write("y/c.lua", "return { name = 'c' }");
	tree_write("y/tests/b.lua", "");
	tree_write("y/b_test.lua", "");
	assert_int_equal(read_set("y", &set), 0);
	assert_int_equal(mf_source_set_count(set), 3);
	assert_string_equal(mf_source_set_policy(set, 0)->pack, "a");
	assert_string_equal(mf_source_set_policy(set, 1)->pack, "b");
	assert_true(mf_source_set_policy(set, 1)->yaml);
	assert_false(mf_source_set_policy(set, 2)->yaml);
	assert_int_equal(mf_source_set_test_count(set, 1), 2);
	mf_source_set_unref(set);
	assert_int_equal(read_set("y/a.yml", &set), 0);
	assert_int_equal(mf_source_set_count(set), 1);
	mf_source_set_unref(set);
}

static void what_cannot_be_read_is_an_error_with_its_path(void **state)
{
	struct mf_source_set *set;

	(void)state;
	assert_int_equal(read_set("none", &set), MF_E_NOENT);
	assert_non_null(strstr(err.msg, "/none"));
	tree_write("p/readme", "");
	assert_int_equal(read_set("p", &set), MF_E_NOENT);
	assert_non_null(strstr(err.msg, "there is no policy in"));
	tree_write(".yaml", "version: 1");
	assert_int_equal(read_set(".yaml", &set), MF_E_INVAL);
	tree_write("x.txt", "");
	assert_int_equal(read_set("x.txt", &set), MF_E_INVAL);
	tree_write("out.lua", "return {}");
	if (!tree_link("../out.lua", "q/in.lua"))
		return;
	assert_int_equal(read_set("q", &set), MF_E_PERM);
	/* A link that the operator names is theirs to name. */
	assert_int_equal(read_set("q/in.lua", &set), 0);
	mf_source_set_unref(set);
}

static void a_set_knows_whether_files_changed(void **state)
{
	struct mf_source_set *set;
	const struct mf_sandbox_source *c;
	const char *text, *path = tree_path("p");
	char paths[PATH_MAX];
	size_t len;

	(void)state;
	snprintf(paths, sizeof(paths), "%s", path);
	path = paths;
	tree_write("p/policy.lua", "return {}");
	tree_write("p/tests/t.lua", "--");
	tree_write("p/m.lua", "return 1");
	tree_write("p/data/d.txt", "x");
	assert_int_equal(read_set("p", &set), 0);
	c = &mf_source_set_policy(set, 0)->chunk;
	assert_non_null(c->find(c->ctx, "m"));
	assert_null(c->find(c->ctx, "later"));
	assert_int_equal(mf_policy_source_data(mf_source_set_policy(set, 0), "data/d.txt", &text,
					       &len, NULL),
			 0);
#define IS_CURRENT mf_source_set_is_current(set, &path, 1)
	assert_true(IS_CURRENT);
	tree_write("p/policy.lua", "return {}");
	tree_write("p/other.txt", "y");
	assert_true(IS_CURRENT);
	tree_write("p/data/d.txt", "z");
	assert_false(IS_CURRENT);
	tree_write("p/data/d.txt", "x");
	assert_true(IS_CURRENT);
	tree_write("p/m.lua", "return 2");
	assert_false(IS_CURRENT);
	tree_write("p/m.lua", "return 1");
	tree_write("p/later.lua", "return 3");
	assert_false(IS_CURRENT);
	tree_remove("p/later.lua");
	tree_write("p/tests/t.lua", "---");
	assert_false(IS_CURRENT);
	tree_remove("p/tests/t.lua");
	assert_false(IS_CURRENT);
	tree_write("p/tests/t.lua", "--");
	assert_true(IS_CURRENT);
	tree_remove("p/policy.lua");
	assert_false(IS_CURRENT);
	mf_source_set_unref(set);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A pack of one policy with its MANIFEST, as the store has it. */
static void write_installed(const char *dir, const char *version, const char *policy)
{
	static const char empty[] = "return {}";
	char pack[256], manifest[1024], place[128];
	const struct {
		const char *name, *text;
	} files[] = { { policy, empty }, { "pack.lua", pack } };
	int n;

	snprintf(pack, sizeof(pack), "return { name = 'p', version = '%s', policies = { '%s' } }",
		 version, policy);
	n = snprintf(manifest, sizeof(manifest), "moonfence-pack 1\nname p\nversion %s\n", version);
	for (size_t i = 0; i < MF_ARRAY_SIZE(files); i++) {
		uint8_t digest[MF_SHA256_LEN];
		char hex[2 * MF_SHA256_LEN + 1];

		mf_sha256(files[i].text, strlen(files[i].text), digest);
		for (size_t k = 0; k < sizeof(digest); k++)
			snprintf(hex + 2 * k, 3, "%02x", digest[k]);
		n += snprintf(manifest + n, sizeof(manifest) - (size_t)n, "file %s %zu %s\n", hex,
			      strlen(files[i].text), files[i].name);
		snprintf(place, sizeof(place), "%s/%s", dir, files[i].name);
		tree_write(place, files[i].text);
	}
	snprintf(place, sizeof(place), "%s/MANIFEST", dir);
	tree_write(place, manifest);
}

/* A store with a canary for 30 of a hundred: each session reads its side, and goes on doing so while the percentage grows. */
static void a_session_reads_its_side_of_a_canary(void **state)
{
	static const char store[] = "moonfence-packs 1\nactive 1\ncanary 2 %u\ngeneration 1 0\n"
				    "pack p 1.0.0 stable " HASH " k\ngeneration 2 1\n"
				    "pack p 1.1.0 stable " HASH " k\n";
	char text[1024], session[32], place[4096];
	const char *path = place;
	bool was_in[1000] = { false };
	struct mf_source_set *set;

	(void)state;
	snprintf(place, sizeof(place), "%s", tree_path("s"));
	write_installed("s/p/1.0.0-0123456789abcdef", "1.0.0", "old.lua");
	write_installed("s/p/1.1.0-0123456789abcdef", "1.1.0", "new.lua");
	for (unsigned percent = 30; percent <= 60; percent += 30) {
		unsigned in = 0;

		snprintf(text, sizeof(text), store, percent);
		tree_write("s/packs.state", text);
		for (unsigned i = 0; i < MF_ARRAY_SIZE(was_in); i++) {
			bool is_in;

			snprintf(session, sizeof(session), "run-%u", i);
			is_in = mf_pack_session_share(session) < percent * 100;
			assert_true(is_in || !was_in[i]);
			was_in[i] = is_in;
			in += is_in;
			if (i >= 50) /* reading is slower */
				continue;
			assert_int_equal(mf_source_set_read_for(
						 &(struct mf_source_reader){ .session = session },
						 &path, 1, NULL, &set, &err),
					 0);
			assert_true(mf_source_set_is_current(set, &path, 1));
			assert_string_equal(list(set), is_in ? "p:new.lua" : "p:old.lua");
		}
		/* A thousand names are all over the place: six sigma of a binomial distribution are below 95. */
		assert_in_range(in, percent * 10 - 95, percent * 10 + 95);
	}
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	assert_string_equal(list(set), "p:old.lua");
	/* What decides is written down (docs/packs.md); another hash would move sessions while a canary runs. */
	assert_int_equal(mf_pack_session_share("build-17"), 8901);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)
	const struct CMUnitTest tests[] = {
		T(a_directory_is_read_in_byte_order),
		T(a_session_reads_its_side_of_a_canary),
		T(packs_say_their_name_order_and_tier),
		T(a_bad_pack_file_is_named_with_the_reason),
		T(tests_belong_to_their_policy),
		T(modules_come_from_the_pack_or_the_standard_library),
		T(data_is_confined_and_read_once),
		T(policies_of_agentsh_are_policies_too),
		T(what_cannot_be_read_is_an_error_with_its_path),
		T(a_set_knows_whether_files_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
