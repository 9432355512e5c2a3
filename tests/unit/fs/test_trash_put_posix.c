/* SPDX-License-Identifier: Apache-2.0 */
/* test_trash_put_posix.c - what is about to be lost is in the trash, and nothing else has changed */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/fs/trash_support_posix.h"

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_make(p);
	place_open_with(p, (struct mf_trash_options){ 0 });
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	place_done(*state);
	free(*state);
	return 0;
}

/* The one name in a directory of the trash. */
static const char *only_in(const struct place *p, const char *dir)
{
	static char ret[8192 + 256];
	char path[8192];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", p->trash, dir);
	d = opendir(path);
	assert_non_null(d);
	ret[0] = '\0';
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			assert_string_equal(ret, "");
			snprintf(ret, sizeof(ret), "%s/%s", path, e->d_name);
		}
	closedir(d);
	return ret;
}

static void test_a_deleted_file_lies_in_files_with_a_trashinfo(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], want[8192];
	const char *info;

	write_file(place_path(p, "a b.txt"), "hello");
	assert_int_equal(place_put(p, "a b.txt", MF_TRASH_MOVE, MF_TRASH_DELETE, "s", token), 0);
	assert_true(mf_trash_token_ok(token));
	assert_false(is_there(place_path(p, "a b.txt")));
	assert_string_equal(read_file(only_in(p, "files")), "hello");
	info = read_file(only_in(p, "info"));
	snprintf(want, sizeof(want), "[Trash Info]\nPath=%s/a%%20b.txt\nDeletionDate=2", p->work);
	assert_memory_equal(info, want, strlen(want));
}

static void test_a_linked_file_is_in_both_places_until_it_is_replaced(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX];

	write_file(place_path(p, "a"), "old");
	write_file(place_path(p, "b"), "new");
	assert_int_equal(place_put(p, "a", MF_TRASH_LINK, MF_TRASH_REPLACE, "s", token), 0);
	assert_string_equal(read_file(place_path(p, "a")), "old");
	assert_int_equal(rename(place_path(p, "b"), place_path(p, "a")), 0);
	assert_string_equal(read_file(only_in(p, "files")), "old");
}

static void test_a_copied_file_keeps_its_inode_mode_times_and_holes(void **state)
{
	struct place *p = *state;
	const struct timespec times[2] = { { 1000, 5 }, { 2000, 123456789 } };
	char token[MF_TRASH_TOKEN_MAX];
	const char *path = place_path(p, "a");
	struct stat before, after, copy;
	int fd;

	write_file(path, "begin");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "end", 3, 8 << 20), 3);
	close(fd);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(place_put(p, "a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, "s", token), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(stat(only_in(p, "files"), &copy), 0);
	assert_int_equal(copy.st_size, before.st_size);
	assert_int_equal(copy.st_mode, before.st_mode);
	assert_int_equal(copy.st_mtim.tv_nsec, 123456789);
	assert_true(copy.st_blocks <= before.st_blocks + 8);
	assert_string_equal(read_file(only_in(p, "files")), "begin");
}

static void test_an_empty_file_has_nothing_to_copy(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX];

	write_file(place_path(p, "a"), "");
	assert_int_equal(place_put(p, "a", MF_TRASH_COPY, MF_TRASH_TRUNCATE, "s", token), 0);
	assert_string_equal(token, "");
	assert_int_equal(count_in(p, "files") + count_in(p, "info"), 0);
}

static void test_a_removed_directory_is_a_record_alone(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX];

	assert_int_equal(mkdir(place_path(p, "d"), 0751), 0);
	assert_int_equal(place_put(p, "d", MF_TRASH_NOTE_DIR, MF_TRASH_RMDIR, "s", token), 0);
	assert_true(mf_trash_token_ok(token));
	assert_int_equal(count_in(p, "files") + count_in(p, "info"), 0);
	assert_int_equal(count_in(p, "moonfence"), 2); // it, and writers/
}

static void test_what_is_cancelled_leaves_no_trace(void **state)
{
	struct place *p = *state;
	const enum mf_trash_how hows[] = { MF_TRASH_LINK, MF_TRASH_COPY };
	char token[MF_TRASH_TOKEN_MAX];

	write_file(place_path(p, "a"), "text");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(place_put(p, "a", hows[i], MF_TRASH_REPLACE, "s", token), 0);
		assert_int_equal(mf_trash_cancel(p->t, token), 0);
		assert_int_equal(count_in(p, "files") + count_in(p, "info"), 0);
		assert_int_equal(count_in(p, "moonfence"), 1);
		assert_string_equal(read_file(place_path(p, "a")), "text");
	}
}

static void test_a_put_that_fails_leaves_no_trace(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX];
	const struct mf_trash_attr attr = { .mode = S_IFREG | 0644, .size = 1 };
	struct mf_trash_loss loss = { .how = MF_TRASH_MOVE, .path = "/x/none", .attr = &attr };

	assert_int_equal(mf_trash_put(p->t, p->work_fd, "none", &loss, token), -ENOENT);
	assert_string_equal(token, "");
	loss.how = MF_TRASH_LINK;
	assert_int_equal(mf_trash_put(p->t, p->work_fd, "none", &loss, token), -ENOENT);
	loss.how = MF_TRASH_COPY;
	assert_int_equal(mf_trash_put(p->t, p->work_fd, "none", &loss, token), -ENOENT);
	assert_int_equal(count_in(p, "files") + count_in(p, "info"), 0);
	assert_int_equal(count_in(p, "moonfence"), 1);
}

static void test_names_that_are_none_are_refused(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "", ".", "..", "a/b", "/a" };
	static const char *const paths[] = { "", "a", "/a/../b", "/a//b", "/a/", "/", "/a/." };
	struct mf_trash_loss loss = { .how = MF_TRASH_MOVE, .path = "/a" };
	char token[MF_TRASH_TOKEN_MAX];

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		assert_int_equal(mf_trash_put(p->t, p->work_fd, names[i], &loss, token), -EINVAL);
	for (size_t i = 0; i < MF_ARRAY_SIZE(paths); i++) {
		loss.path = paths[i];
		assert_int_equal(mf_trash_put(p->t, p->work_fd, "a", &loss, token), -EINVAL);
	}
}

static void test_the_longest_name_is_shortened_and_unique(void **state)
{
	struct place *p = *state;
	char name[256], token[MF_TRASH_TOKEN_MAX];

	for (int i = 0; i < 3; i++) {
		memset(name, 'n', 255);
		name[255] = '\0';
		memcpy(name + 250, ".html", 5);
		write_file(place_path(p, name), "x");
		assert_int_equal(place_put(p, name, MF_TRASH_MOVE, MF_TRASH_DELETE, NULL, token),
				 0);
	}
	assert_int_equal(count_in(p, "files"), 3);
	assert_int_equal(count_in(p, "info"), 3);
}

static void test_the_trash_does_not_go_into_itself(void **state)
{
	struct place *p = *state;
	struct mf_trash_loss loss = { .how = MF_TRASH_MOVE, .path = "/a/Trash" };
	char token[MF_TRASH_TOKEN_MAX];
	int fd = open(p->base, O_RDONLY | O_DIRECTORY);

	assert_int_equal(mf_trash_put(p->t, fd, "Trash", &loss, token), -EBUSY);
	close(fd);
}

static int look_at_entry(void *ctx, const struct mf_trash_entry *e)
{
	const char *want = ctx;

	assert_string_equal(e->path + strlen(e->path) - strlen(want), want);
	assert_string_equal(e->session, "session one");
	assert_string_equal(e->rule, "file_rules[2] \"50%\"");
	assert_int_equal(e->attr.mode, S_IFREG | 0644);
	assert_int_equal(e->attr.size, 3);
	assert_int_equal(e->pid, 4321);
	assert_true(e->made);
	assert_int_equal(e->op, MF_TRASH_DELETE);
	assert_true(e->deleted_ns > 0 && e->attr.mtime_ns > 0 && e->attr.ino > 0);
	return 7;
}

/* Records are names of one link as long as they fit, and texts beyond. */
static void test_short_and_long_records_tell_the_same(void **state)
{
	struct place *p = *state;
	char name[400], token[MF_TRASH_TOKEN_MAX];
	static const char *const names[] = { "short", "odd |%=\n\xff name.txt", NULL };
	size_t shared = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++) {
		struct mf_trash_loss loss = { .op = MF_TRASH_DELETE,
					      .session = "session one",
					      .rule = "file_rules[2] \"50%\"",
					      .pid = 4321,
					      .made = true };
		struct stat st;
		DIR *d;

		memset(name, 'x', 240);
		name[240] = '\0';
		if (names[i])
			snprintf(name, sizeof(name), "%s", names[i]);
		write_file(place_path(p, name), "abc");
		loss.path = place_path(p, name);
		assert_int_equal(mf_trash_put(p->t, p->work_fd, name, &loss, token), 0);
		assert_int_equal(mf_trash_find(p->t, token, 0, look_at_entry, name, NULL), 7);
		assert_int_equal(
			mf_trash_find(p->t, place_path(p, name), 0, look_at_entry, name, NULL), 7);
		snprintf(name, sizeof(name), "%s/moonfence", p->trash);
		d = opendir(name);
		assert_non_null(d);
		shared = 0;
		for (struct dirent *e; (e = readdir(d));)
			if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    S_ISLNK(st.st_mode) && e->d_name[0] != '.' && strchr(e->d_name, '='))
				shared++;
		closedir(d);
	}
	assert_int_equal(shared, 2);
}

static void test_trashinfos_that_were_put_off_are_made_after_a_kill(void **state)
{
	struct place *p = *state;
	pid_t child;
	int status;

	mf_trash_close(p->t);
	p->t = NULL;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		place_open_with(p, (struct mf_trash_options){ .background = true });
		for (int i = 0; i < 50; i++) {
			char name[16], token[MF_TRASH_TOKEN_MAX];

			snprintf(name, sizeof(name), "f%d", i);
			write_file(place_path(p, name), name);
			if (place_put(p, name, MF_TRASH_MOVE, MF_TRASH_DELETE, "s", token) != 0)
				_exit(1);
		}
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	place_open_with(p, (struct mf_trash_options){ 0 });
	assert_int_equal(count_in(p, "files"), 50);
	assert_int_equal(count_in(p, "info"), 50);
}

static void test_trashinfos_that_were_put_off_come(void **state)
{
	struct place *p = *state;
	char token[MF_TRASH_TOKEN_MAX], other[MF_TRASH_TOKEN_MAX];

	mf_trash_close(p->t);
	place_open_with(p, (struct mf_trash_options){ .background = true });
	write_file(place_path(p, "a"), "a");
	write_file(place_path(p, "b"), "b");
	assert_int_equal(place_put(p, "a", MF_TRASH_MOVE, MF_TRASH_DELETE, "s", token), 0);
	assert_int_equal(place_put(p, "b", MF_TRASH_LINK, MF_TRASH_REPLACE, "s", other), 0);
	assert_int_equal(mf_trash_cancel(p->t, other), 0);
	mf_trash_drain(p->t);
	assert_int_equal(count_in(p, "info"), 1);
	assert_int_equal(count_in(p, "files"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_a_deleted_file_lies_in_files_with_a_trashinfo),
		T(test_a_linked_file_is_in_both_places_until_it_is_replaced),
		T(test_a_copied_file_keeps_its_inode_mode_times_and_holes),
		T(test_an_empty_file_has_nothing_to_copy),
		T(test_a_removed_directory_is_a_record_alone),
		T(test_what_is_cancelled_leaves_no_trace),
		T(test_a_put_that_fails_leaves_no_trace),
		T(test_names_that_are_none_are_refused),
		T(test_the_longest_name_is_shortened_and_unique),
		T(test_the_trash_does_not_go_into_itself),
		T(test_short_and_long_records_tell_the_same),
		T(test_trashinfos_that_were_put_off_are_made_after_a_kill),
		T(test_trashinfos_that_were_put_off_come),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
