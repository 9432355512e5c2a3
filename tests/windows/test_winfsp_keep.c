/* SPDX-License-Identifier: Apache-2.0 */
/* test_winfsp_keep.c - what a mount of Windows keeps before it is written over, and what its session made itself (over the double) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <io.h>
#include <windows.h>

#include "tests/os/os.h"
#include "winfsp_scene.h"

static const char keeps_writes[] =
	"return { name = 'keep', file_rules = {\n"
	"  { name = 'all', paths = { '/workspace/**' }, operations = { 'delete', 'rmdir', 'write' "
	"}, decision = 'soft_delete' } },\n"
	"  file = function(f) return allow() end }\n";
static const char keeps_deletes[] =
	"return { name = 'keep', file = function(f)\n"
	"  if f.op == 'delete' or f.op == 'rmdir' then return soft_delete() end\n"
	"  return allow()\nend }\n";

/* ---- what is in the trash, the oldest first ---- */

struct kept {
	struct {
		char token[MF_TRASH_TOKEN_MAX], name[64], rule[32];
		enum mf_trash_op op;
		uint64_t size;
		uint32_t pid;
		bool made;
	} at[16];
	size_t cnt;
};

static int take(void *ctx, const struct mf_trash_entry *e)
{
	struct kept *k = ctx;

	if (k->cnt == 16)
		return 0;
	strcpy(k->at[k->cnt].token, e->token);
	snprintf(k->at[k->cnt].name, 64, "%s", strrchr(e->path, '/') + 1);
	snprintf(k->at[k->cnt].rule, 32, "%s", e->rule);
	k->at[k->cnt].op = e->op;
	k->at[k->cnt].size = e->attr.size;
	k->at[k->cnt].pid = e->pid;
	k->at[k->cnt].made = e->made;
	k->cnt++;
	return 0;
}

static struct kept kept(struct scene *s)
{
	struct kept k = { .cnt = 0 };

	assert_int_equal(mf_trash_list(s->trash, NULL, take, &k, NULL), 0);
	return k;
}

static void assert_kept(struct scene *s, const struct kept *k, size_t i, const char *name,
			enum mf_trash_op op, const char *text)
{
	char buf[256];
	int fd = mf_trash_open_payload(s->trash, k->at[i].token, NULL), n;

	assert_string_equal(k->at[i].name, name);
	assert_int_equal(k->at[i].op, op);
	assert_int_equal(k->at[i].size, strlen(text));
	assert_true(fd >= 0);
	n = _read(fd, buf, sizeof(buf) - 1);
	_close(fd);
	assert_true(n >= 0);
	buf[n] = '\0';
	assert_string_equal(buf, text);
}

static struct wfd_file *opened(struct scene *s, const char *path, unsigned access, int pid)
{
	struct wfd_file *f;

	assert_int_equal(s->d.create(path, WFD_OPEN, access, pid, &f), WFD_OK);
	return f;
}

/* ---- writing over ---- */

/* Once for each time that it is opened, however much is written then; an undo brings the first of it back. */
static void test_overwrite(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct mf_trash_undone undone;
	struct mf_err err = { 0 };
	struct wfd_file *f;
	struct kept k;
	(void)state;

	scene_write(s, "f", "as it was");
	scene_mount(s, "X:", true);
	f = opened(s, "/f", WFD_READ | WFD_WRITE, AGENT);
	assert_int_equal(kept(s).cnt, 0); /* to open it loses nothing */
	assert_int_equal(s->d.write(f, "AS", 2, 0), WFD_OK);
	assert_int_equal(s->d.write(f, "WAS", 3, 6), WFD_OK);
	s->d.close(f);
	k = kept(s);
	assert_int_equal(k.cnt, 1);
	assert_kept(s, &k, 0, "f", MF_TRASH_OVERWRITE, "as it was");
	assert_int_equal(k.at[0].pid, AGENT);
	assert_string_equal(k.at[0].rule, "file_rules[1] all");
	assert_string_equal(scene_text(s, "f"), "AS it WAS");

	f = opened(s, "/f", WFD_WRITE, EDITOR);
	assert_int_equal(s->d.write(f, "second", 6, 0), WFD_OK);
	s->d.close(f);
	k = kept(s);
	assert_int_equal(k.cnt, 2);
	assert_kept(s, &k, 1, "f", MF_TRASH_OVERWRITE, "AS it WAS");
	assert_int_equal(k.at[1].pid, EDITOR);

	assert_int_equal(mf_trash_undo(s->trash, &(struct mf_trash_undo){ .session = "scene" },
				       &undone, &err),
			 0);
	assert_int_equal(undone.failed, 0);
	assert_string_equal(scene_text(s, "f"), "as it was");
	scene_end(s);
}

/* Reading, appending, making room, and what a new file is filled with lose nothing. */
static void test_nothing_lost(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct wfd_file *f;
	char buf[64];
	(void)state;

	scene_write(s, "f", "as it was");
	scene_write(s, "empty", "");
	scene_mount(s, "X:", true);
	assert_int_equal(scene_get(s, "/f", AGENT, buf, sizeof(buf)), WFD_OK);
	f = opened(s, "/f", WFD_WRITE, AGENT);
	assert_int_equal(s->d.write(f, ", and more", 10, -1), WFD_OK);
	assert_int_equal(s->d.set_size(f, 4096), WFD_OK);
	s->d.close(f);
	f = opened(s, "/empty", WFD_WRITE, AGENT);
	assert_int_equal(s->d.write(f, "1", 1, 0), WFD_OK);
	assert_int_equal(s->d.write(f, "2", 1, 0), WFD_OK); /* what this handle wrote itself */
	s->d.close(f);
	assert_int_equal(s->d.create("/new", WFD_CREATE_NEW, WFD_READ | WFD_WRITE, AGENT, &f),
			 WFD_OK);
	assert_int_equal(s->d.write(f, "11", 2, 0), WFD_OK);
	assert_int_equal(s->d.write(f, "22", 2, 0), WFD_OK);
	s->d.close(f);
	assert_int_equal(kept(s).cnt, 0);
	scene_end(s);
}

/* What was appended since it was opened is not part of what is kept; a truncation is kept once, not twice. */
static void test_as_it_was_opened(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct wfd_file *f;
	struct kept k;
	(void)state;

	scene_write(s, "f", "old");
	scene_write(s, "g", "longer");
	scene_mount(s, "X:", true);
	f = opened(s, "/f", WFD_WRITE, AGENT);
	assert_int_equal(s->d.write(f, " and new", 8, -1), WFD_OK);
	assert_int_equal(s->d.write(f, "OLD", 3, 0), WFD_OK);
	s->d.close(f);
	assert_string_equal(scene_text(s, "f"), "OLD and new");
	k = kept(s);
	assert_int_equal(k.cnt, 1);
	assert_kept(s, &k, 0, "f", MF_TRASH_OVERWRITE, "old");

	f = opened(s, "/g", WFD_WRITE, AGENT);
	assert_int_equal(s->d.set_size(f, 4), WFD_OK);
	assert_int_equal(s->d.write(f, "abcdefgh", 8, 0), WFD_OK);
	s->d.close(f);
	k = kept(s);
	assert_int_equal(k.cnt, 2);
	assert_kept(s, &k, 1, "g", MF_TRASH_TRUNCATE, "longer");

	/* As programs save: opened, cut to nothing, written. */
	assert_int_equal(scene_put(s, "/g", "saved", AGENT), WFD_OK);
	k = kept(s);
	assert_int_equal(k.cnt, 3);
	assert_kept(s, &k, 2, "g", MF_TRASH_TRUNCATE, "abcdefgh");
	scene_end(s);
}

/* A handle from before the answer was to keep loses as much; the name is the one that the file has then. */
static void test_other_handles(void **state)
{
	struct scene *s =
		scene_new("return { name = 'none', file = function(f) return allow() end }\n");
	struct wfd_file *early, *late;
	struct kept k;
	(void)state;

	scene_write(s, "f", "as it was");
	scene_mount(s, "X:", true);
	early = opened(s, "/f", WFD_WRITE | WFD_DELETE, AGENT);
	scene_policy(s, keeps_writes);
	late = opened(s, "/f", WFD_WRITE, AGENT);
	assert_int_equal(s->d.rename(early, "/moved", false, AGENT), WFD_OK);
	assert_int_equal(s->d.write(early, "AS", 2, 0), WFD_OK);
	assert_int_equal(s->d.write(late, "IT", 2, 3), WFD_OK);
	s->d.close(early);
	s->d.close(late);
	k = kept(s);
	assert_int_equal(k.cnt, 1);
	assert_kept(s, &k, 0, "moved", MF_TRASH_OVERWRITE, "as it was");
	scene_end(s);
}

static void test_no_room(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct mf_trash_options o = { .dir = s->trash_dir, .source = s->source, .copy_max = 4 };
	struct mf_err err = { 0 };
	struct wfd_file *f;
	(void)state;

	scene_write(s, "f", "too long");
	scene_write(s, "small", "1234");
	assert_int_equal(mf_trash_open(&o, &s->trash, &err), 0);
	scene_mount(s, "X:", false);
	f = opened(s, "/f", WFD_WRITE, AGENT);
	assert_int_not_equal(s->d.write(f, "x", 1, 0), WFD_OK);
	assert_int_not_equal(s->d.set_size(f, 1), WFD_OK);
	assert_int_equal(s->d.write(f, "!", 1, -1), WFD_OK);
	s->d.close(f);
	assert_string_equal(scene_text(s, "f"), "too long!");
	f = opened(s, "/small", WFD_WRITE, AGENT);
	assert_int_equal(s->d.write(f, "x", 1, 0), WFD_OK);
	s->d.close(f);
	assert_int_equal(kept(s).cnt, 1);
	scene_end(s);
}

/* Where the trash may let go, the write goes on, and somebody is told. */
static void count_full(void *ctx, const struct mf_trash_event *e)
{
	if (e->type == MF_TRASH_EVENT_FULL && e->lost)
		++*(unsigned *)ctx;
}

static void test_let_go(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	unsigned told = 0;
	struct mf_trash_options o = { .dir = s->trash_dir,
				      .source = s->source,
				      .copy_max = 4,
				      .on_full = MF_TRASH_FULL_DELETE,
				      .event = count_full,
				      .event_ctx = &told };
	struct mf_err err = { 0 };
	struct wfd_file *f;
	(void)state;

	scene_write(s, "f", "too long");
	assert_int_equal(mf_trash_open(&o, &s->trash, &err), 0);
	scene_mount(s, "X:", false);
	f = opened(s, "/f", WFD_WRITE, AGENT);
	assert_int_equal(s->d.write(f, "x", 1, 0), WFD_OK);
	s->d.close(f);
	assert_string_equal(scene_text(s, "f"), "xoo long");
	assert_int_equal(told, 1);
	assert_int_equal(kept(s).cnt, 0);
	scene_end(s);
}

static void test_no_trash(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct wfd_file *f;
	char buf[64];
	(void)state;

	scene_write(s, "f", "as it was");
	scene_mount(s, "X:", false);
	assert_int_equal(s->d.create("/f", WFD_OPEN, WFD_WRITE, AGENT, &f), WFD_DENIED);
	assert_int_equal(scene_put(s, "/new", "new", AGENT), WFD_OK);
	assert_int_equal(scene_get(s, "/f", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(scene_text(s, "f"), "as it was");
	scene_end(s);
}

/* Many handles of one file, written to at once: one copy, whole. */
#define WRITERS 6

struct writer {
	struct scene *s;
	struct wfd_file *f;
	int64_t off;
	uint32_t status;
};

static void *write_one(void *arg)
{
	struct writer *w = arg;

	w->status = w->s->d.write(w->f, "#", 1, w->off);
	return NULL;
}

static void test_writers_at_once(void **state)
{
	struct scene *s = scene_new(keeps_writes);
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	struct kept k;
	(void)state;

	scene_write(s, "f", "0123456789");
	scene_mount(s, "X:", true);
	for (int i = 0; i < WRITERS; i++)
		writers[i] = (struct writer){ s, opened(s, "/f", WFD_WRITE, AGENT), i, 1 };
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_one, &writers[i]), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(writers[i].status, WFD_OK);
		s->d.close(writers[i].f);
	}
	assert_string_equal(scene_text(s, "f"), "######6789");
	k = kept(s);
	assert_int_equal(k.cnt, 1);
	assert_kept(s, &k, 0, "f", MF_TRASH_OVERWRITE, "0123456789");
	scene_end(s);
}

/* ---- what the session made ---- */

/* Temporary files are kept when they are deleted, but an undo leaves them there; what was found comes back. */
static void test_made(void **state)
{
	struct scene *s = scene_new(keeps_deletes);
	struct mf_trash_undone undone;
	struct mf_err err = { 0 };
	struct kept k;
	(void)state;

	scene_write(s, "found", "found");
	scene_make_folder(s, "old");
	scene_mount(s, "X:", true);
	assert_int_equal(scene_put(s, "/tmp1", "temporary", AGENT), WFD_OK);
	assert_int_equal(scene_make_dir(s, "/dir", AGENT), WFD_OK);
	assert_int_equal(scene_move(s, "/tmp1", "/dir/tmp2", false, AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/dir/tmp2", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/dir", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/found", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/old", AGENT), WFD_OK);
	k = kept(s);
	assert_int_equal(k.cnt, 4);
	assert_true(k.at[0].made); /* tmp2: by its identity, whatever its name */
	assert_true(k.at[1].made); /* dir */
	assert_false(k.at[2].made);
	assert_false(k.at[3].made);
	assert_int_equal(mf_trash_undo(s->trash, &(struct mf_trash_undo){ .session = "scene" },
				       &undone, &err),
			 0);
	assert_int_equal(undone.restored, 2);
	assert_int_equal(undone.failed, 0);
	assert_int_equal(undone.own, 2);
	assert_string_equal(scene_text(s, "found"), "found");
	assert_true(scene_is_there(s, "old"));
	assert_false(scene_is_there(s, "dir"));
	/* One by one they come back all the same. */
	assert_int_equal(mf_trash_restore(s->trash, k.at[0].token, &(struct mf_trash_target){ 0 },
					  NULL, &err),
			 0);
	assert_string_equal(scene_text(s, "dir/tmp2"), "temporary");
	scene_end(s);
}

/* As editors save: a new file over the old one. What the session made is the new one, what is kept the old one. */
static void test_saved_over(void **state)
{
	struct scene *s = scene_new(keeps_deletes);
	struct mf_trash_undone undone;
	struct mf_err err = { 0 };
	struct kept k;
	(void)state;

	scene_write(s, "f", "found");
	scene_mount(s, "X:", true);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(scene_put(s, "/f.new", i ? "twice" : "once", EDITOR), WFD_OK);
		assert_int_equal(scene_move(s, "/f.new", "/f", true, EDITOR), WFD_OK);
	}
	k = kept(s);
	assert_int_equal(k.cnt, 2);
	assert_kept(s, &k, 0, "f", MF_TRASH_REPLACE, "found");
	assert_kept(s, &k, 1, "f", MF_TRASH_REPLACE, "once");
	assert_false(k.at[0].made);
	assert_true(k.at[1].made);
	assert_int_equal(mf_trash_undo(s->trash, &(struct mf_trash_undo){ .session = "scene" },
				       &undone, &err),
			 0);
	assert_int_equal(undone.restored, 1);
	assert_string_equal(scene_text(s, "f"), "found");
	scene_end(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overwrite),
		cmocka_unit_test(test_nothing_lost),
		cmocka_unit_test(test_as_it_was_opened),
		cmocka_unit_test(test_other_handles),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_let_go),
		cmocka_unit_test(test_no_trash),
		cmocka_unit_test(test_writers_at_once),
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_saved_over),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("winfsp_keep", tests, NULL, NULL);
}
