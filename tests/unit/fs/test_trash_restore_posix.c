/* SPDX-License-Identifier: Apache-2.0 */
/* test_trash_restore_posix.c - what comes back, where, and what does not */
#include "tests/unit/fs/trash_support_posix.h"

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_make(p);
	place_open_with(p, (struct mf_trash_options){ .hash_max = 1 << 20 });
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	place_done(*state);
	free(*state);
	return 0;
}

static const struct mf_trash_target plainly;

static int restore(struct place *p, const char *what, const struct mf_trash_target *target,
		   struct mf_trash_result *ret)
{
	struct mf_err err = { 0 };
	int r = mf_trash_restore(p->t, what, target, ret, &err);

	if (r < 0)
		assert_true(err.msg[0] && err.msg[strlen(err.msg) - 1] == '.');
	return r;
}

static void assert_trash_empty(const struct place *p)
{
	assert_int_equal(count_in(p, "files"), 0);
	assert_int_equal(count_in(p, "info"), 0);
	assert_int_equal(count_in(p, "moonfence"), 1);
}

static void lose(struct place *p, const char *name, const char *text,
		 char token[MF_TRASH_TOKEN_MAX])
{
	if (text)
		write_file(place_path(p, name), text);
	assert_int_equal(place_put(p, name, MF_TRASH_MOVE, MF_TRASH_DELETE, "s", token), 0);
}

static void note_dir(struct place *p, const char *name)
{
	char token[MF_TRASH_TOKEN_MAX];

	assert_int_equal(place_put(p, name, MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, "s", token), 0);
	assert_int_equal(rmdir(place_path(p, name)), 0);
}

static void test_a_file_comes_back_by_token_by_path_and_by_name(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], file[256];
	struct mf_trash_result result;
	struct stat before, after;

	write_file(place_path(p, "a"), "text");
	assert_int_equal(chmod(place_path(p, "a"), 0604), 0);
	assert_int_equal(stat(place_path(p, "a"), &before), 0);
	lose(p, "a", NULL, token);
	assert_int_equal(restore(p, token, &plainly, &result), 0);
	assert_string_equal(result.path, place_path(p, "a"));
	assert_int_equal(stat(place_path(p, "a"), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_trash_empty(p);
	lose(p, "a", NULL, token);
	assert_int_equal(restore(p, place_path(p, "a"), &plainly, NULL), 0);
	assert_string_equal(read_file(place_path(p, "a")), "text");
	lose(p, "a", NULL, token);
	snprintf(file, sizeof(file), "a.%s", token + MF_TRASH_TOKEN_LEN - 16);
	assert_int_equal(restore(p, file, &plainly, NULL), 0);
	assert_string_equal(read_file(place_path(p, "a")), "text");
	assert_int_equal(restore(p, token, &plainly, NULL), MF_E_NOENT);
	assert_trash_empty(p);
}

static void test_what_is_there_is_not_overwritten_unless_told(void **state)
{
	struct place *p = *state;
	const struct mf_trash_target force = { .replace = true };
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_result result;

	lose(p, "a", "old", token);
	write_file(place_path(p, "a"), "new");
	assert_int_equal(restore(p, token, &plainly, NULL), MF_E_EXIST);
	assert_string_equal(read_file(place_path(p, "a")), "new");
	assert_int_equal(restore(p, token, &force, &result), 0);
	assert_string_equal(read_file(place_path(p, "a")), "old");
	assert_true(mf_trash_token_ok(result.replaced));
	assert_int_equal(restore(p, result.replaced, &force, &result), 0);
	assert_string_equal(read_file(place_path(p, "a")), "new");
	assert_int_equal(count_in(p, "files"), 1);
}

static void test_a_directory_replaces_a_file_and_the_other_way_round(void **state)
{
	struct place *p = *state;
	const struct mf_trash_target force = { .replace = true };
	char token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_result result;

	assert_int_equal(mkdir(place_path(p, "a"), 0755), 0);
	write_file(place_path(p, "a/in"), "in");
	lose(p, "a", NULL, token);
	write_file(place_path(p, "a"), "file");
	assert_int_equal(restore(p, token, &plainly, NULL), MF_E_EXIST);
	assert_int_equal(restore(p, token, &force, &result), 0);
	assert_string_equal(read_file(place_path(p, "a/in")), "in");
	assert_int_equal(restore(p, result.replaced, &force, &result), 0);
	assert_string_equal(read_file(place_path(p, "a")), "file");
}

static void test_to_another_place(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], to[8192];
	struct mf_trash_target target = { .to = to };
	struct mf_trash_result result;

	assert_int_equal(mkdir(place_path(p, "d"), 0755), 0);
	lose(p, "a", "1", token);
	snprintf(to, sizeof(to), "%s", place_path(p, "d"));
	assert_int_equal(restore(p, token, &target, &result), 0);
	assert_string_equal(result.path, place_path(p, "d/a"));
	lose(p, "a", "2", token);
	snprintf(to, sizeof(to), "%s", place_path(p, "x/y/z"));
	assert_int_equal(restore(p, token, &target, &result), 0);
	assert_string_equal(read_file(place_path(p, "x/y/z")), "2");
}

static void test_an_emptied_tree_comes_back_with_its_modes_and_times(void **state)
{
	struct place *p = *state;
	const struct timespec times[2] = { { 5, 0 }, { 1000, 7 } };
	struct mf_trash_undone undone;
	char token[MF_TRASH_TOKEN_MAX];
	struct stat st;

	assert_int_equal(mkdir(place_path(p, "t"), 0700), 0);
	assert_int_equal(mkdir(place_path(p, "t/u"), 0700), 0);
	write_file(place_path(p, "t/u/a"), "a");
	write_file(place_path(p, "t/b"), "b");
	lose(p, "t/u/a", NULL, token);
	assert_int_equal(chmod(place_path(p, "t/u"), 0510), 0);
	assert_int_equal(utimensat(AT_FDCWD, place_path(p, "t/u"), times, 0), 0);
	note_dir(p, "t/u");
	lose(p, "t/b", NULL, token);
	assert_int_equal(chmod(place_path(p, "t"), 0751), 0);
	note_dir(p, "t");
	assert_int_equal(
		mf_trash_undo(p->t, &(struct mf_trash_undo){ .session = "s" }, &undone, NULL), 0);
	assert_int_equal(undone.failed, 0);
	assert_int_equal(undone.restored, 4);
	assert_string_equal(read_file(place_path(p, "t/u/a")), "a");
	assert_string_equal(read_file(place_path(p, "t/b")), "b");
	assert_int_equal(stat(place_path(p, "t/u"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0510);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	assert_int_equal(stat(place_path(p, "t"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	assert_trash_empty(p);
}

static void test_one_file_of_an_emptied_tree_brings_its_directories(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX];
	struct stat st;

	assert_int_equal(mkdir(place_path(p, "t"), 0700), 0);
	assert_int_equal(mkdir(place_path(p, "t/u"), 0700), 0);
	lose(p, "t/u/a", "a", token);
	assert_int_equal(chmod(place_path(p, "t/u"), 0500), 0);
	note_dir(p, "t/u");
	note_dir(p, "t");
	assert_int_equal(restore(p, token, &plainly, NULL), 0);
	assert_string_equal(read_file(place_path(p, "t/u/a")), "a");
	assert_int_equal(stat(place_path(p, "t/u"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0500);
	assert_trash_empty(p);
}

static void test_undo_puts_back_what_was_first(void **state)
{
	struct place *p = *state;
	struct mf_trash_undone undone;
	char token[MF_TRASH_TOKEN_MAX];

	write_file(place_path(p, "a"), "first");
	assert_int_equal(place_put(p, "a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, "s", token), 0);
	write_file(place_path(p, "a"), "second");
	assert_int_equal(place_put(p, "a", MF_TRASH_LINK, MF_TRASH_REPLACE, "s", token), 0);
	write_file(place_path(p, "tmp"), "third");
	assert_int_equal(rename(place_path(p, "tmp"), place_path(p, "a")), 0);
	lose(p, "b", "b of another", token);
	write_file(place_path(p, "o"), "o");
	assert_int_equal(place_put(p, "o", MF_TRASH_MOVE, MF_TRASH_DELETE, "other", token), 0);
	assert_int_equal(
		mf_trash_undo(p->t, &(struct mf_trash_undo){ .session = "s" }, &undone, NULL), 0);
	assert_int_equal(undone.restored, 2);
	assert_int_equal(undone.failed, 0);
	assert_string_equal(read_file(place_path(p, "a")), "first");
	assert_string_equal(read_file(place_path(p, "b")), "b of another");
	assert_false(is_there(place_path(p, "o")));
}

static void count_failures(void *ctx, const struct mf_trash_entry *e, const struct mf_err *err)
{
	if (err) {
		assert_string_equal(strrchr(e->path, '/'), "/b");
		assert_int_equal(err->code, MF_E_EXIST);
		++*(int *)ctx;
	}
}

static void test_undo_says_what_it_could_not(void **state)
{
	struct place *p = *state;
	struct mf_trash_undone undone;
	char token[MF_TRASH_TOKEN_MAX];
	int failures = 0;

	lose(p, "a", "a", token);
	lose(p, "b", "b", token);
	write_file(place_path(p, "b"), "new");
	assert_int_equal(mf_trash_undo(p->t,
				       &(struct mf_trash_undo){ .session = "s",
								.report = count_failures,
								.ctx = &failures },
				       &undone, NULL),
			 0);
	assert_int_equal(undone.restored, 1);
	assert_int_equal(undone.failed, 1);
	assert_int_equal(failures, 1);
	assert_string_equal(read_file(place_path(p, "b")), "new");
}

static void test_a_hash_is_taken_and_a_payload_that_differs_is_refused(void **state)
{
	struct place *p = *state;
	const struct mf_trash_target anyway = { .no_verify = true };
	char token[MF_TRASH_TOKEN_MAX], payload[1024];

	lose(p, "a.txt", "text", token);
	mf_trash_drain(p->t);
	assert_int_equal(count_in(p, "moonfence"), 3); // record, hash, writers
	snprintf(payload, sizeof(payload), "%s/files/a.%s.txt", p->trash,
		 token + MF_TRASH_TOKEN_LEN - 16);
	write_file(payload, "other");
	assert_int_equal(restore(p, token, &plainly, NULL), MF_E_BAD);
	assert_false(is_there(place_path(p, "a.txt")));
	assert_int_equal(restore(p, token, &anyway, NULL), 0);
	assert_string_equal(read_file(place_path(p, "a.txt")), "other");
	assert_trash_empty(p);
}

static void test_no_link_in_the_path_is_followed(void **state)
{
	struct place *p = *state;
	const struct mf_trash_target force = { .replace = true };
	char token[MF_TRASH_TOKEN_MAX], second[MF_TRASH_TOKEN_MAX];

	assert_int_equal(mkdir(place_path(p, "d"), 0755), 0);
	assert_int_equal(mkdir(place_path(p, "elsewhere"), 0755), 0);
	lose(p, "d/a", "a", token);
	assert_int_equal(rmdir(place_path(p, "d")), 0);
	assert_int_equal(symlink("elsewhere", place_path(p, "d")), 0);
	assert_int_equal(restore(p, token, &plainly, NULL), MF_E_PERM);
	assert_int_equal(restore(p, token, &force, NULL), MF_E_PERM);
	assert_false(is_there(place_path(p, "elsewhere/a")));
	// The last component is one: it is there, and what it points to is not touched even by force.
	lose(p, "b", "b", second);
	write_file(place_path(p, "target"), "target");
	assert_int_equal(symlink("target", place_path(p, "b")), 0);
	assert_int_equal(restore(p, second, &plainly, NULL), MF_E_EXIST);
	assert_int_equal(restore(p, second, &force, NULL), 0);
	assert_string_equal(read_file(place_path(p, "b")), "b");
	assert_string_equal(read_file(place_path(p, "target")), "target");
}

static void test_other_kinds_of_files_come_back(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], target[16] = "";
	struct stat st;

	assert_int_equal(symlink("nowhere", place_path(p, "l")), 0);
	lose(p, "l", NULL, token);
	assert_int_equal(restore(p, token, &plainly, NULL), 0);
	assert_int_equal(readlink(place_path(p, "l"), target, sizeof(target) - 1), 7);
	assert_int_equal(mkfifo(place_path(p, "f"), 0600), 0);
	lose(p, "f", NULL, token);
	assert_int_equal(mf_trash_open_payload(p->t, token, NULL), MF_E_UNSUPPORTED);
	assert_int_equal(restore(p, token, &plainly, NULL), 0);
	assert_int_equal(lstat(place_path(p, "f"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
}

static void test_names_of_any_bytes_come_back(void **state)
{
	struct place *p = *state;
	static const char *const names[] = {
		"new\nline", "\xff\xfe",	 "%41%",     " ",	"-rf",
		".hidden",   "a=b mf1 how=move", "Path=\nx", "\"'`$(x)"
	};
	char token[MF_TRASH_TOKEN_MAX], name[256], deep[4096];

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++) {
		lose(p, names[i], "text", token);
		assert_int_equal(restore(p, place_path(p, names[i]), &plainly, NULL), 0);
		assert_string_equal(read_file(place_path(p, names[i])), "text");
	}
	// 255 bytes of which none may stand for itself: the record is longer than a link holds.
	memset(name, '\n', 255);
	name[255] = '\0';
	snprintf(deep, sizeof(deep), "%s", name);
	for (int i = 0; i < 8; i++) {
		size_t len = strlen(deep);

		assert_int_equal(mkdir(place_path(p, deep), 0755), 0);
		snprintf(deep + len, sizeof(deep) - len, "/%s", name);
	}
	lose(p, deep, "deep", token);
	assert_int_equal(restore(p, token, &plainly, NULL), 0);
	assert_string_equal(read_file(place_path(p, deep)), "deep");
	assert_trash_empty(p);
}

static void test_purge_keeps_what_it_is_told_to(void **state)
{
	struct place *p = *state;
	char token[6][MF_TRASH_TOKEN_MAX], name[2] = "0";
	struct mf_trash_purged purged;

	for (int i = 0; i < 6; i++) {
		name[0] = (char)('0' + i);
		lose(p, name, "0123456789", token[i]);
	}
	assert_int_equal(
		mf_trash_purge(p->t,
			       &(struct mf_trash_purge){ .keep.max_count = 4, .dry_run = true },
			       &purged, NULL),
		0);
	assert_int_equal(purged.count, 2);
	assert_int_equal(count_in(p, "files"), 6);
	assert_int_equal(mf_trash_purge(p->t, &(struct mf_trash_purge){ .keep.max_bytes = 45 },
					&purged, NULL),
			 0);
	assert_int_equal(purged.count, 2);
	assert_int_equal(purged.bytes, 20);
	assert_int_equal(restore(p, token[1], &plainly, NULL), MF_E_NOENT);
	assert_int_equal(mf_trash_purge(p->t, &(struct mf_trash_purge){ .keep.keep_last = 3 },
					&purged, NULL),
			 0);
	assert_int_equal(purged.count, 1);
	assert_int_equal(
		mf_trash_purge(p->t, &(struct mf_trash_purge){ .token = token[4] }, &purged, NULL),
		0);
	assert_int_equal(purged.count, 1);
	assert_int_equal(
		mf_trash_purge(p->t, &(struct mf_trash_purge){ .session = "other" }, &purged, NULL),
		0);
	assert_int_equal(purged.count, 0);
	assert_int_equal(
		mf_trash_purge(p->t, &(struct mf_trash_purge){ .keep.age_s = 3600 }, &purged, NULL),
		0);
	assert_int_equal(purged.count, 0);
	assert_int_equal(restore(p, token[3], &plainly, NULL), 0);
	assert_int_equal(
		mf_trash_purge(p->t, &(struct mf_trash_purge){ .session = "s" }, &purged, NULL), 0);
	assert_int_equal(purged.count, 1);
	assert_trash_empty(p);
}

static void test_a_tree_is_purged_whatever_is_in_it(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], deep[4096] = "t";
	struct mf_trash_purged purged;

	for (int i = 0; i < 100; i++) {
		size_t len = strlen(deep);

		assert_int_equal(mkdir(place_path(p, deep), 0755), 0);
		snprintf(deep + len, sizeof(deep) - len, "/d");
	}
	write_file(place_path(p, "keep"), "keep");
	assert_int_equal(symlink("../keep", place_path(p, "t/l")), 0);
	assert_int_equal(symlink("..", place_path(p, "t/d/up")), 0);
	assert_int_equal(mkfifo(place_path(p, "t/f"), 0600), 0);
	assert_int_equal(mkdir(place_path(p, "t/closed"), 0755), 0);
	write_file(place_path(p, "t/closed/x"), "x");
	assert_int_equal(chmod(place_path(p, "t/closed"), 0), 0);
	lose(p, "t", NULL, token);
	mf_trash_tick(p->t);
	assert_int_equal(
		mf_trash_purge(p->t, &(struct mf_trash_purge){ .all = true }, &purged, NULL), 0);
	assert_int_equal(purged.count, 1);
	assert_true(purged.bytes > 0);
	assert_string_equal(read_file(place_path(p, "keep")), "keep");
	assert_trash_empty(p);
}

struct listed {
	int cnt;
	char last[4096];
};

static int note_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct listed *l = ctx;

	l->cnt++;
	snprintf(l->last, sizeof(l->last), "%s", strrchr(e->path, '/') + 1);
	return 0;
}

static int list(struct place *p, struct mf_trash_filter filter, struct listed *ret)
{
	struct mf_err err;

	*ret = (struct listed){ 0 };
	return mf_trash_list(p->t, &filter, note_entry, ret, &err);
}

static void test_lists_can_be_narrowed(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], path[8192];
	struct listed l;

	assert_int_equal(mkdir(place_path(p, "d"), 0755), 0);
	lose(p, "d/a.c", "1", token);
	lose(p, "a.c", "1", token);
	lose(p, "a.h", "1", token);
	assert_int_equal(list(p, (struct mf_trash_filter){ 0 }, &l), 0);
	assert_int_equal(l.cnt, 3);
	assert_string_equal(l.last, "a.h");
	snprintf(path, sizeof(path), "%s/**/*.c", p->work);
	assert_int_equal(list(p, (struct mf_trash_filter){ .glob = path }, &l), 0);
	assert_int_equal(l.cnt, 2);
	snprintf(path, sizeof(path), "%s/d", p->work);
	assert_int_equal(list(p, (struct mf_trash_filter){ .path = path }, &l), 0);
	assert_int_equal(l.cnt, 1);
	assert_int_equal(list(p, (struct mf_trash_filter){ .session = "x" }, &l), 0);
	assert_int_equal(l.cnt, 0);
	assert_int_equal(list(p, (struct mf_trash_filter){ .glob = "[" }, &l), MF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_a_file_comes_back_by_token_by_path_and_by_name),
		T(test_what_is_there_is_not_overwritten_unless_told),
		T(test_a_directory_replaces_a_file_and_the_other_way_round),
		T(test_to_another_place),
		T(test_an_emptied_tree_comes_back_with_its_modes_and_times),
		T(test_one_file_of_an_emptied_tree_brings_its_directories),
		T(test_undo_puts_back_what_was_first),
		T(test_undo_says_what_it_could_not),
		T(test_a_hash_is_taken_and_a_payload_that_differs_is_refused),
		T(test_no_link_in_the_path_is_followed),
		T(test_other_kinds_of_files_come_back),
		T(test_names_of_any_bytes_come_back),
		T(test_purge_keeps_what_it_is_told_to),
		T(test_a_tree_is_purged_whatever_is_in_it),
		T(test_lists_can_be_narrowed),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
