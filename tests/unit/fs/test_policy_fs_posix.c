/* SPDX-License-Identifier: Apache-2.0 */
/* test_policy_fs.c - the shared part of every mount, driven by a fake one: questions, the strictest answer, what may be kept */
#include "tests/unit/test.h"

#include <unistd.h>

#include "core/base/err.h"
#include "fs/policy_fs.h"

static const char policy[] =
	"return { name = 't', file = function(q)\n"
	"  if q.path == '/w/locked' and (q.op == 'write' or q.op == 'delete') then return deny { "
	"errno = 'EPERM' } end\n"
	"  if q.path == '/w/audited' and q.op == 'open' then return audit(allow {}) end\n"
	"  if q.path == '/w/kept' and q.op == 'delete' then return soft_delete { hash = true } "
	"end\n"
	"  if q.path == '/w/versioned' and q.op == 'write' then return soft_delete {} end\n"
	"  if q.path == '/w/away' then return redirect_path { target = '/w/there', cow = true } "
	"end\n"
	"  if q.path == '/w/asked' then return ask {} end\n"
	"  if q.path == '/w/mine' and q.process.name ~= 'me' then return deny {} end\n"
	"  if q.path == '/w/owner' and q.uid ~= 7 then return deny {} end\n"
	"  return allow {}\n"
	"end }\n";

struct fixture {
	struct mf_runtime *rt;
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	int lookups; /* of the process */
	char path[64];
};

static int find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	struct fixture *f = ctx;

	f->lookups++;
	*ret = (struct mf_process){ .pid = caller->pid, .name = caller->pid == 1 ? "me" : "you" };
	return 0;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct mf_err err = { 0 };
	const char *paths[1];
	FILE *file;
	int fd;

	assert_non_null(f);
	strcpy(f->path, "/tmp/mf-policy-fs-XXXXXX.lua");
	fd = mkstemps(f->path, 4);
	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	fputs(policy, file);
	fclose(file);
	paths[0] = f->path;
	assert_int_equal(mf_runtime_new(NULL, &f->rt, &err), 0);
	if (mf_runtime_load(f->rt, paths, 1, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(
		mf_fs_judge_new(&(struct mf_fs_judge_options){ .runtime = f->rt,
							       .session_id = "s",
							       .source = "test",
							       .seats = 2,
							       .find_process = find_process,
							       .find_ctx = f },
				&f->judge, &err),
		0);
	assert_int_equal(mf_policy_fs_new(f->judge, NULL, "s", "test", &f->pfs, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	mf_policy_fs_free(f->pfs);
	mf_fs_judge_free(f->judge);
	mf_runtime_free(f->rt);
	unlink(f->path);
	free(f);
	return 0;
}

static struct mf_fs_act act(enum mf_fs_op op, const char *path, const struct mf_fs_caller *caller)
{
	return (struct mf_fs_act){ .q = { .op = op,
					  .path = path,
					  .path_len = strlen(path),
					  .size = -1,
					  .caller = caller } };
}

static const struct mf_fs_caller me = { 1, 7, 7 }, you = { 2, 8, 8 };

static void the_strictest_word_counts(void **state)
{
	struct fixture *f = *state;
	struct mf_fs_act a = act(MF_FS_OPEN_READ, "/w/locked", &me);

	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_true(a.verdict.plain);
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_OPEN_BOTH, "/w/locked", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), -1 /* EPERM */);
	assert_string_equal(a.verdict.word, "write");
	mf_policy_fs_end(f->pfs, &a, -1);
	// An audit of an earlier word is not lost by an allow of a later one.
	a = act(MF_FS_OPEN_BOTH, "/w/audited", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_false(a.verdict.plain);
	assert_string_equal(a.verdict.word, "open");
	assert_true(a.verdict.d.audit);
	assert_string_equal(a.verdict.d.policy, "t");
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_UNLINK, "/w/asked", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), -13);
	mf_policy_fs_end(f->pfs, &a, -13);
}

static void losses_are_kept(void **state)
{
	struct fixture *f = *state;
	struct mf_policy_fs_stats s;
	struct mf_fs_act a = act(MF_FS_UNLINK, "/w/kept", &me);
	bool hash = false;

	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_TRASH);
	assert_true(a.verdict.hash);
	a.token = "token";
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_REPLACE, "/w/kept", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_TRASH);
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_TRUNCATE, "/w/kept", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_DO);
	assert_true(mf_policy_fs_keeps(f->pfs, &a, &hash));
	assert_true(hash);
	mf_policy_fs_end(f->pfs, &a, 0);
	// Of a file that is opened for writing only once it is written over.
	a = act(MF_FS_OPEN_BOTH, "/w/versioned", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_DO);
	assert_true(a.verdict.plain);
	assert_true(a.verdict.keeps);
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_OPEN_READ, "/w/versioned", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_false(a.verdict.keeps);
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_TRUNCATE, "/w/versioned", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_TRASH);
	assert_false(a.verdict.keeps);
	mf_policy_fs_end(f->pfs, &a, 0);
	a = act(MF_FS_TRUNCATE, "/w/other", &me);
	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_false(mf_policy_fs_keeps(f->pfs, &a, &hash));
	mf_policy_fs_end(f->pfs, &a, 0);
	mf_policy_fs_get_stats(f->pfs, &s);
	assert_int_equal(s.trashed, 1);
}

static void a_redirect_keeps_its_target(void **state)
{
	struct fixture *f = *state;
	struct mf_fs_act a = act(MF_FS_CREATE_BOTH, "/w/away", &me);
	struct mf_fs_question other = {
		.op = MF_FS_LOOKUP, .path = "/w/plain", .path_len = 8, .size = -1, .caller = &me
	};

	assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
	assert_int_equal(a.verdict.what, MF_FS_ELSEWHERE);
	assert_true(a.verdict.cow);
	// A second question in the same seat does not take the text away.
	assert_int_equal(mf_policy_fs_also(f->pfs, &a, &other), 0);
	assert_int_equal(a.verdict.what, MF_FS_ELSEWHERE);
	assert_string_equal(a.verdict.d.path_target, "/w/there");
	mf_policy_fs_end(f->pfs, &a, 0);
}

static void what_the_caller_had_a_part_in_is_not_kept(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		struct mf_fs_act a = act(MF_FS_LOOKUP, "/w/plain", i ? &me : &you);

		assert_int_equal(mf_policy_fs_begin(f->pfs, &a), 0);
		assert_true(a.verdict.cache_ns > 0);
		mf_policy_fs_end(f->pfs, &a, 0);
		assert_int_equal(f->lookups, 0);
	}
	for (int i = 0; i < 6; i++) {
		struct mf_fs_act a = act(MF_FS_LOOKUP, "/w/mine", i % 2 ? &me : &you);

		assert_int_equal(mf_policy_fs_begin(f->pfs, &a), i % 2 ? 0 : -13);
		assert_int_equal(a.verdict.cache_ns, 0);
		mf_policy_fs_end(f->pfs, &a, 0);
		a = act(MF_FS_LOOKUP, "/w/owner", i % 2 ? &me : &you);
		assert_int_equal(mf_policy_fs_begin(f->pfs, &a), i % 2 ? 0 : -13);
		assert_int_equal(a.verdict.cache_ns, 0);
		mf_policy_fs_end(f->pfs, &a, 0);
	}
	assert_int_equal(f->lookups, 6);
}

static void without_policies_nothing_goes(void **state)
{
	struct mf_fs_judge *judge;
	struct mf_fs_verdict v;
	struct mf_fs_seat *seat;
	struct mf_err err = { 0 };

	(void)state;
	assert_int_equal(mf_fs_judge_new(&(struct mf_fs_judge_options){ 0 }, &judge, &err), 0);
	seat = mf_fs_judge_sit(judge);
	for (int op = 0; op < MF_FS_OP_NUM; op++) {
		mf_fs_judge_ask(judge, seat,
				&(struct mf_fs_question){
					.op = (enum mf_fs_op)op, .path = "/x", .path_len = 2 },
				&v);
		assert_int_equal(v.what, MF_FS_REFUSE);
		assert_int_equal(v.error, 13);
	}
	mf_fs_judge_leave(judge, seat);
	mf_fs_judge_free(judge);
}

/* Names of policies' operations (core/policy/rules.c knows them); events have the fields that an operation fills. */
static void the_table_is_whole(void **state)
{
	static const char *const words[] = { "open",   "read",	"stat",	   "list",  "readlink",
					     "access", "write", "create",  "mkdir", "chmod",
					     "chown",  "mknod", "symlink", "link",  "rename",
					     "delete", "rmdir" };

	(void)state;
	for (int op = 0; op < MF_FS_OP_NUM; op++) {
		const struct mf_fs_op_info *info = mf_fs_op_info((enum mf_fs_op)op);

		assert_non_null(info);
		assert_non_null(info->name);
		assert_non_null(info->words[0]);
		for (int w = 0; w < MF_FS_WORDS_MAX && info->words[w]; w++) {
			bool known = false;

			for (size_t i = 0; i < MF_ARRAY_SIZE(words); i++)
				known |= strcmp(words[i], info->words[w]) == 0;
			if (!known)
				fail_msg("%s asks '%s'", info->name, info->words[w]);
		}
	}
	assert_null(mf_fs_op_info(MF_FS_OP_NUM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_strictest_word_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(losses_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_redirect_keeps_its_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_caller_had_a_part_in_is_not_kept, set_up,
						tear_down),
		cmocka_unit_test(without_policies_nothing_goes),
		cmocka_unit_test(the_table_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
