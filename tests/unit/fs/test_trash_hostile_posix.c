/* SPDX-License-Identifier: Apache-2.0 */
/* test_trash_hostile_posix.c - a trash that somebody else wrote in, many who put at once, and no room */
#include <pthread.h>

#include "tests/unit/fs/trash_support_posix.h"

#define THREADS	   8
#define PER_THREAD 100

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_make(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	place_done(*state);
	free(*state);
	return 0;
}

static const char token[] = "0123456789abcdefghijklmnopqrstuv0123456";

static int count_entry(void *ctx, const struct mf_trash_entry *e)
{
	(void)e;
	++*(int *)ctx;
	return 0;
}

static int entries(struct place *p)
{
	struct mf_err err;
	int cnt = 0;

	assert_int_equal(
		mf_trash_list(p->t, &(struct mf_trash_filter){ 0 }, count_entry, &cnt, &err), 0);
	return cnt;
}

static const char *in_trash(const struct place *p, const char *name)
{
	static char buf[4][8192];
	static unsigned turn;
	char *ret = buf[turn++ % 4];

	snprintf(ret, sizeof(buf[0]), "%s/%s", p->trash, name);
	return ret;
}

static void test_directories_that_are_links_are_refused(void **state)
{
	struct place *p = *state;
	static const char *const parts[] = { "files", "info", "moonfence" };
	struct mf_trash_options o = { .dir = p->trash };
	struct mf_trash *t;
	struct mf_err err;

	assert_int_equal(mkdir(place_path(p, "elsewhere"), 0700), 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(parts); i++) {
		place_open_with(p, (struct mf_trash_options){ 0 });
		mf_trash_close(p->t);
		p->t = NULL;
		remove_all(in_trash(p, parts[i]));
		assert_int_equal(symlink(place_path(p, "elsewhere"), in_trash(p, parts[i])), 0);
		assert_int_equal(mf_trash_open(&o, &t, &err), MF_E_PERM);
		assert_int_equal(unlink(in_trash(p, parts[i])), 0);
	}
	remove_all(p->trash);
	assert_int_equal(symlink(place_path(p, "elsewhere"), p->trash), 0);
	assert_int_equal(mf_trash_open(&o, &t, &err), MF_E_PERM);
}

static void test_records_that_lie_are_none(void **state)
{
	struct place *p = *state;
	static const char *const ends[] = {
		"file=../../secret path=/x",
		"file=a.txt path=/x", // another entry's
		"file=k.ghijklmnopqrstuv.txt path=/x",
		"file=k.qrstuv0123456789 path=/x/../y",
		"path=/x",
		"file=k%2Fghijklmnopqrstuv0123456 path=/x",
		"file=k%00 path=/x",
	};
	char text[1024], path[256];

	place_open_with(p, (struct mf_trash_options){ 0 });
	write_file(in_trash(p, "files/a.txt"), "another's");
	snprintf(path, sizeof(path), "moonfence/%s", token);
	for (size_t i = 0; i < MF_ARRAY_SIZE(ends); i++) {
		snprintf(text, sizeof(text),
			 "mf1 how=move op=delete by=0123456789abcdef at=17 mode=100644 %s",
			 ends[i]);
		assert_int_equal(symlink(text, in_trash(p, path)), 0);
		assert_int_equal(entries(p), 0);
		assert_int_equal(
			mf_trash_restore(p->t, token, &(struct mf_trash_target){ 0 }, NULL, NULL),
			MF_E_BAD);
		assert_int_equal(unlink(in_trash(p, path)), 0);
	}
	// What is no record at all stops nobody.
	assert_int_equal(mkfifo(in_trash(p, path), 0600), 0);
	assert_int_equal(entries(p), 0);
	assert_string_equal(read_file(in_trash(p, "files/a.txt")), "another's");
}

static void test_trashinfos_that_lie_are_none(void **state)
{
	struct place *p = *state;
	static const char *const infos[] = {
		"[Trash Info]\nPath=/tmp/../etc/passwd\n",
		"[Trash Info]\nPath=/tmp/%2E%2E/x\n",
		"[Trash Info]\nPath=/tmp%2F..%2Fx\n",
		"[Trash Info]\nPath=%00\n",
		"[Trash Info]\nPath=relative/without/top\n",
		"[Trash Info]\nPath=/\n",
		"[Trash Info]\nPath=//x\n",
		"Path=/x\n",
		"[Other]\nPath=/x\n",
		"",
	};

	place_open_with(p, (struct mf_trash_options){ 0 });
	write_file(in_trash(p, "files/a"), "a");
	for (size_t i = 0; i < MF_ARRAY_SIZE(infos); i++) {
		write_file(in_trash(p, "info/a.trashinfo"), infos[i]);
		assert_int_equal(entries(p), 0);
		assert_true(mf_trash_restore(p->t, "a", &(struct mf_trash_target){ 0 }, NULL,
					     NULL) < 0);
	}
	write_file(in_trash(p, "info/a.trashinfo"), "[Trash Info]\nPath=/x/y\nPath=/etc/passwd\n");
	assert_int_equal(entries(p), 1);
	assert_int_equal(unlink(in_trash(p, "info/a.trashinfo")), 0);
	assert_int_equal(mkfifo(in_trash(p, "info/a.trashinfo"), 0600), 0);
	assert_int_equal(entries(p), 0);
}

static void test_what_is_no_token_is_none(void **state)
{
	struct place *p = *state;
	static const char *const texts[] = { "",
					     "../x",
					     "a/b",
					     "0123",
					     "0123456789ABCDEFGHIJKLMNOPQRSTUV0123456",
					     "0123456789abcdefghijklmnopqrstuvw123456" };

	place_open_with(p, (struct mf_trash_options){ 0 });
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++) {
		assert_false(mf_trash_token_ok(texts[i]));
		assert_true(mf_trash_restore(p->t, texts[i], &(struct mf_trash_target){ 0 }, NULL,
					     NULL) < 0);
	}
	assert_true(mf_trash_token_ok(token));
}

/* A record without payload, by whoever is the one writer in the trash. */
static void plant_half(struct place *p)
{
	char text[1024], path[256], writer[32] = "";
	struct dirent *e;
	DIR *d = opendir(in_trash(p, "moonfence/writers"));

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			snprintf(writer, sizeof(writer), "%.16s", e->d_name);
	closedir(d);
	snprintf(text, sizeof(text),
		 "mf1 how=move op=delete by=%s at=17 mode=100644 file=k.%s path=/x", writer,
		 token + MF_TRASH_TOKEN_LEN - 16);
	snprintf(path, sizeof(path), "moonfence/%s", token);
	assert_int_equal(symlink(text, in_trash(p, path)), 0);
}

static void test_repair_waits_for_the_living(void **state)
{
	struct place *p = *state;
	struct place other;
	char kept[MF_TRASH_TOKEN_MAX], path[256];
	struct mf_trash_repaired done;

	place_open_with(p, (struct mf_trash_options){ 0 });
	write_file(place_path(p, "a"), "a");
	assert_int_equal(place_put(p, "a", MF_TRASH_MOVE, MF_TRASH_DELETE, NULL, kept), 0);
	other = *p;
	plant_half(p);
	place_open_with(&other, (struct mf_trash_options){ 0 });
	assert_int_equal(mf_trash_repair(other.t, &done, NULL), 0);
	snprintf(path, sizeof(path), "moonfence/%s", token);
	assert_true(is_there(in_trash(p, path)));
	mf_trash_close(p->t);
	p->t = other.t;
	assert_int_equal(mf_trash_repair(p->t, &done, NULL), 0);
	assert_int_equal(done.rolled_back, 1);
	assert_false(is_there(in_trash(p, path)));
	assert_int_equal(entries(p), 1);
}

struct worker {
	struct place *p;
	unsigned number;
	int failed;
};

static void *put_many(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < PER_THREAD; i++) {
		char name[64], path[1024], got[MF_TRASH_TOKEN_MAX];
		struct mf_trash_loss loss = { .how = MF_TRASH_MOVE,
					      .path = path,
					      .session = "many" };
		int fd;

		snprintf(name, sizeof(name), "f%u-%u", w->number, i);
		snprintf(path, sizeof(path), "%s/%s", w->p->work, name);
		fd = openat(w->p->work_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		w->failed += fd < 0 || write(fd, name, strlen(name)) < 0;
		close(fd);
		w->failed += mf_trash_put(w->p->t, w->p->work_fd, name, &loss, got) != 0;
	}
	return NULL;
}

static void test_many_threads_put_while_it_is_repaired_and_listed(void **state)
{
	struct place *p = *state;
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct mf_trash_repaired done;
	struct mf_trash_undone undone;

	place_open_with(p, (struct mf_trash_options){ .background = true, .hash_max = 1 << 20 });
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .p = p, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, &workers[i]), 0);
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mf_trash_repair(p->t, &done, NULL), 0);
		assert_int_equal(done.rolled_back + done.rebuilt, 0);
		(void)entries(p);
		mf_trash_tick(p->t);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].failed, 0);
	}
	mf_trash_drain(p->t);
	assert_int_equal(entries(p), THREADS * PER_THREAD);
	assert_int_equal(
		mf_trash_undo(p->t, &(struct mf_trash_undo){ .session = "many" }, &undone, NULL),
		0);
	assert_int_equal(undone.restored, THREADS * PER_THREAD);
	assert_int_equal(undone.failed, 0);
	assert_string_equal(read_file(place_path(p, "f7-99")), "f7-99");
	assert_int_equal(entries(p), 0);
}

struct full {
	int cnt, error;
	bool lost;
};

static void on_event(void *ctx, const struct mf_trash_event *e)
{
	struct full *f = ctx;

	if (e->type != MF_TRASH_EVENT_FULL)
		return;
	f->cnt++;
	f->error = e->error;
	f->lost = e->lost;
}

static void test_no_room_refuses_or_deletes_as_it_was_told(void **state)
{
	struct place *p = *state;
	struct full full = { 0 };
	struct mf_trash_options o = { .keep.max_bytes = 10, .event = on_event, .event_ctx = &full };
	char got[MF_TRASH_TOKEN_MAX];

	place_open_with(p, o);
	write_file(place_path(p, "a"), "more than ten bytes");
	assert_int_equal(place_put(p, "a", MF_TRASH_MOVE, MF_TRASH_DELETE, NULL, got), -ENOSPC);
	assert_string_equal(got, "");
	assert_true(is_there(place_path(p, "a")));
	assert_int_equal(full.cnt, 1);
	assert_int_equal(full.error, ENOSPC);
	assert_false(full.lost);
	mf_trash_close(p->t);
	o.on_full = MF_TRASH_FULL_DELETE;
	place_open_with(p, o);
	assert_int_equal(place_put(p, "a", MF_TRASH_MOVE, MF_TRASH_DELETE, NULL, got), 0);
	assert_string_equal(got, "");
	assert_false(is_there(place_path(p, "a")));
	assert_int_equal(full.cnt, 2);
	assert_true(full.lost);
	assert_int_equal(entries(p), 0);
}

static void test_a_tick_keeps_to_the_limits(void **state)
{
	struct place *p = *state;
	char got[MF_TRASH_TOKEN_MAX], name[2] = "0";

	place_open_with(p, (struct mf_trash_options){ .keep.max_count = 3 });
	for (int i = 0; i < 5; i++) {
		name[0] = (char)('0' + i);
		write_file(place_path(p, name), "x");
		assert_int_equal(place_put(p, name, MF_TRASH_MOVE, MF_TRASH_DELETE, NULL, got), 0);
	}
	mf_trash_tick(p->t);
	assert_int_equal(entries(p), 3);
	assert_int_equal(mf_trash_restore(p->t, got, &(struct mf_trash_target){ 0 }, NULL, NULL),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_directories_that_are_links_are_refused),
		T(test_records_that_lie_are_none),
		T(test_trashinfos_that_lie_are_none),
		T(test_what_is_no_token_is_none),
		T(test_repair_waits_for_the_living),
		T(test_many_threads_put_while_it_is_repaired_and_listed),
		T(test_no_room_refuses_or_deletes_as_it_was_told),
		T(test_a_tick_keeps_to_the_limits),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
