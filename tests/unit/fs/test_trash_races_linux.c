/* SPDX-License-Identifier: Apache-2.0 */
/* test_trash_races_linux.c - restores while somebody swaps the directories of the path with links: nothing ever lands beyond one */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "core/base/err.h"
#include "tests/unit/fs/trash_support_posix.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

struct race {
	struct place p;
	int real, below; /* work/d, work/d/s: whatever they are called just now */
	_Atomic bool stop;
	pthread_t swapper;
	unsigned rounds;
};

static void swap(int a_dir, const char *a, int b_dir, const char *b)
{
	(void)syscall(SYS_renameat2, a_dir, a, b_dir, b, RENAME_EXCHANGE);
}

/* work/d and work/link, work/d/s and work/d/link; mostly as they should be, so that restores do come through. */
static void *swap_them(void *ctx)
{
	struct race *r = ctx;

	for (unsigned i = 0; !r->stop; i++) {
		int dir = i % 2 ? r->real : r->p.work_fd;
		const char *name = i % 2 ? "s" : "d";

		swap(dir, name, dir, "link");
		sched_yield();
		swap(dir, name, dir, "link");
		sched_yield();
	}
	return NULL;
}

static int set_up(void **state)
{
	struct race *r = calloc(1, sizeof(*r));
	struct place *p = &r->p;

	place_make(p);
	place_open_with(p, (struct mf_trash_options){ .hash_max = 1 << 20 });
	r->rounds = getenv("MF_SLOW") ? 20000 : 200;
	assert_int_equal(mkdir(place_path(p, "d"), 0755), 0);
	assert_int_equal(mkdir(place_path(p, "d/s"), 0755), 0);
	assert_int_equal(mkdir(place_path(p, "outside"), 0755), 0);
	write_file(place_path(p, "outside/canary"), "canary");
	assert_int_equal(symlink("outside", place_path(p, "link")), 0);
	assert_int_equal(symlink("../outside", place_path(p, "d/link")), 0);
	r->real = open(place_path(p, "d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->below = open(place_path(p, "d/s"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->real >= 0 && r->below >= 0);
	assert_int_equal(pthread_create(&r->swapper, NULL, swap_them, r), 0);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct race *r = *state;

	close(r->real);
	close(r->below);
	place_done(&r->p);
	free(r);
	return 0;
}

static void end_race(struct race *r)
{
	struct stat st;

	r->stop = true;
	pthread_join(r->swapper, NULL);
	assert_string_equal(read_file(place_path(&r->p, "outside/canary")), "canary");
	assert_int_equal(stat(place_path(&r->p, "outside"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(unlink(place_path(&r->p, "outside/canary")), 0);
	assert_int_equal(rmdir(place_path(&r->p, "outside")), 0); // there was nothing else in it
}

static void write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static bool holds(int dir, const char *name, const char *text)
{
	char buf[64] = "";
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return false;
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	close(fd);
	return strcmp(buf, text) == 0;
}

/* NAME in the directory @dir, which is meant to be at @path. */
static void lose_at(struct race *r, int dir, const char *name, const char *path,
		    enum mf_trash_how how, char token[MF_TRASH_TOKEN_MAX])
{
	struct mf_trash_loss loss = { .how = how,
				      .op = how == MF_TRASH_NOTE_DIR ? MF_TRASH_RMDIR
								     : MF_TRASH_DELETE,
				      .session = "s",
				      .path = place_path(&r->p, path) };

	assert_int_equal(mf_trash_put(r->p.t, dir, name, &loss, token), 0);
}

/* What it may be refused with while a link is in the way, or just nothing. */
static bool fine(int code)
{
	return code == 0 || code == MF_E_PERM || code == MF_E_IO || code == MF_E_EXIST;
}

static void test_a_file_comes_back_into_the_directory_or_not_at_all(void **state)
{
	struct race *r = *state;
	struct mf_trash_target target = { 0 };
	char token[MF_TRASH_TOKEN_MAX];
	unsigned back = 0;

	for (unsigned i = 0; i < r->rounds; i++) {
		int dir = i % 2 ? r->below : r->real, code;
		const char *path = i % 2 ? "d/s/f" : "d/f";
		struct mf_err err = { 0 };

		write_at(dir, "f", "kept");
		lose_at(r, dir, "f", path, MF_TRASH_MOVE, token);
		target.replace = i % 4 >= 2;
		if (target.replace)
			write_at(dir, "f", "newer");
		code = mf_trash_restore(r->p.t, token, &target, NULL, &err);
		assert_true(fine(code));
		if (code == 0) {
			assert_true(holds(dir, "f", "kept"));
			back++;
			continue;
		}
		// It waits, and what is there is what was there.
		assert_int_equal(faccessat(dir, "f", F_OK, 0) == 0, target.replace);
		assert_true(!target.replace || holds(dir, "f", "newer"));
		code = mf_trash_restore(
			r->p.t, token, &(struct mf_trash_target){ .to = place_path(&r->p, "safe") },
			NULL, &err);
		assert_int_equal(code, 0);
		assert_string_equal(read_file(place_path(&r->p, "safe")), "kept");
		assert_int_equal(unlink(place_path(&r->p, "safe")), 0);
	}
	end_race(r);
	assert_true(back > 0);
}

static void test_directories_are_made_and_dressed_inside_alone(void **state)
{
	struct race *r = *state;
	char token[MF_TRASH_TOKEN_MAX];
	unsigned back = 0;

	for (unsigned i = 0; i < r->rounds / 4; i++) {
		struct mf_trash_undo undo = { .session = "s" };
		struct mf_trash_undone done;
		struct mf_err err = { 0 };
		int dir;

		assert_int_equal(mkdirat(r->below, "t", 0710), 0);
		dir = openat(r->below, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(dir >= 0);
		write_at(dir, "f", "kept");
		lose_at(r, dir, "f", "d/s/t/f", MF_TRASH_MOVE, token);
		close(dir);
		lose_at(r, r->below, "t", "d/s/t", MF_TRASH_NOTE_DIR, token);
		assert_int_equal(unlinkat(r->below, "t", AT_REMOVEDIR), 0);
		// Again and again, until no link was in the way: nothing is lost by those times when one was.
		for (unsigned tries = 0; faccessat(r->below, "t/f", F_OK, 0) < 0; tries++) {
			assert_true(tries < 100000);
			assert_int_equal(mf_trash_undo(r->p.t, &undo, &done, &err), 0);
		}
		assert_true(holds(r->below, "t/f", "kept"));
		assert_int_equal(unlinkat(r->below, "t/f", 0), 0);
		assert_int_equal(unlinkat(r->below, "t", AT_REMOVEDIR), 0);
		assert_int_equal(mf_trash_purge(r->p.t, &(struct mf_trash_purge){ .all = true },
						&(struct mf_trash_purged){ 0 }, &err),
				 0);
		back++;
	}
	end_race(r);
	assert_true(back > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_file_comes_back_into_the_directory_or_not_at_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directories_are_made_and_dressed_inside_alone,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
