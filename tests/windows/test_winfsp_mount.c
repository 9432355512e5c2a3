/* SPDX-License-Identifier: Apache-2.0 */
/* test_winfsp_mount.c - programs of Windows on a mount over the double of WinFsp, which fails a test where a rule is broken */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "tests/os/os.h"
#include "winfsp_scene.h"

static const char everything[] = "return { name = 'all', file = function(f) return allow() end }\n";

/* ---- what programs do ---- */

static int names_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct names {
	char at[64][256];
	size_t cnt;
};

static void add_name(void *ctx, const char *name)
{
	struct names *n = ctx;

	if (n->cnt < 64 && strcmp(name, ".") && strcmp(name, ".."))
		snprintf(n->at[n->cnt++], 256, "%s", name);
}

/* Names in a directory, sorted, with blanks between. */
static const char *list(struct scene *s, const char *path)
{
	static char text[4096];
	struct names n = { .cnt = 0 };
	struct wfd_file *f;

	assert_int_equal(s->d.create(path, WFD_OPEN, WFD_READ, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.list(f, add_name, &n), WFD_OK);
	s->d.close(f);
	qsort(n.at, n.cnt, sizeof(n.at[0]), names_cmp);
	text[0] = '\0';
	for (size_t i = 0; i < n.cnt; i++) {
		if (i)
			strcat(text, " ");
		strcat(text, n.at[i]);
	}
	return text;
}

/* ---- every operation ---- */

static void test_files(void **state)
{
	struct scene *s = scene_new(everything);
	struct wfd_info info;
	struct wfd_file *f;
	char buf[64];
	size_t n;
	(void)state;

	scene_write(s, "old.txt", "as it was");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_get(s, "/old.txt", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "as it was");
	assert_int_equal(scene_get(s, "/missing", AGENT, buf, sizeof(buf)), WFD_NOT_FOUND);

	assert_int_equal(scene_put(s, "/new.txt", "first", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "new.txt"), "first");
	assert_int_equal(scene_put(s, "/new.txt", "2nd", AGENT), WFD_OK); /* open, then truncate */
	assert_string_equal(scene_text(s, "new.txt"), "2nd");

	assert_int_equal(s->d.create("/new.txt", WFD_CREATE_NEW, WFD_WRITE, AGENT, &f),
			 WFD_COLLISION);
	assert_int_equal(s->d.create("/none", WFD_TRUNCATE, WFD_WRITE, AGENT, &f), WFD_NOT_FOUND);
	assert_int_equal(s->d.create("/new.txt", WFD_OPEN_ALWAYS, WFD_READ | WFD_WRITE, AGENT, &f),
			 WFD_OK);
	assert_int_equal(s->d.write(f, " and more", 9, -1), WFD_OK);
	assert_int_equal(s->d.read(f, buf, 4, 8, &n), WFD_OK);
	assert_memory_equal(buf, "more", 4);
	assert_int_equal(s->d.read(f, buf, 4, 100, &n), WFD_END_OF_FILE);
	assert_int_equal(s->d.set_size(f, 3), WFD_OK);
	assert_int_equal(s->d.set_size(f, 100000), WFD_OK);
	assert_int_equal(s->d.flush(f), WFD_OK);
	assert_int_equal(s->d.info(f, &info), WFD_OK);
	assert_int_equal(info.size, 100000);
	assert_false(info.dir);
	assert_int_equal(s->d.set_time(f, 1700000000), WFD_OK);
	assert_int_equal(s->d.info(f, &info), WFD_OK);
	assert_int_equal(info.mtime, 1700000000);
	assert_int_equal(s->d.set_mode(f, 0444), WFD_OK);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_int_equal(s->d.create("/new.txt", WFD_OPEN, WFD_WRITE, AGENT, &f), WFD_DENIED);
	assert_int_equal(s->d.create("/new.txt", WFD_OPEN, WFD_READ, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.set_mode(f, 0666), WFD_OK);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_int_equal(scene_erase(s, "/new.txt", AGENT), WFD_OK);
	assert_false(scene_is_there(s, "new.txt"));

	assert_int_equal(
		s->d.create("/gone", WFD_CREATE_NEW, WFD_WRITE | WFD_DELETE_ON_CLOSE, AGENT, &f),
		WFD_OK);
	assert_true(scene_is_there(s, "gone"));
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_false(scene_is_there(s, "gone"));
	scene_end(s);
}

static void test_directories(void **state)
{
	struct scene *s = scene_new(everything);
	uint64_t total, left;
	char buf[64];
	(void)state;

	scene_mount(s, "X:", false);
	assert_int_equal(scene_make_dir(s, "/a", AGENT), WFD_OK);
	assert_int_equal(scene_make_dir(s, "/a", AGENT), WFD_COLLISION);
	assert_int_equal(scene_make_dir(s, "/no/b", AGENT), WFD_NOT_FOUND);
	assert_int_equal(scene_put(s, "/a/one", "1", AGENT), WFD_OK);
	assert_int_equal(scene_put(s, "/a/two", "2", AGENT), WFD_OK);
	assert_string_equal(list(s, "/a"), "one two");
	assert_string_equal(list(s, "/"), "a");
	assert_int_equal(scene_erase(s, "/a", AGENT), WFD_NOT_EMPTY);
	assert_int_equal(scene_move(s, "/a/one", "/a/two", false, AGENT), WFD_COLLISION);
	assert_int_equal(scene_move(s, "/a/one", "/a/two", true, AGENT), WFD_OK);
	assert_int_equal(scene_get(s, "/a/two", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "1");
	assert_int_equal(scene_move(s, "/a", "/b", false, AGENT), WFD_OK);
	assert_string_equal(list(s, "/"), "b");
	assert_int_equal(scene_put(s, "/file", "x", AGENT), WFD_OK);
	assert_int_equal(scene_move(s, "/file", "/b", true, AGENT),
			 WFD_DENIED); /* no directory is replaced */
	assert_int_equal(scene_erase(s, "/b/two", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/b", AGENT), WFD_OK);
	assert_string_equal(list(s, "/"), "file");
	assert_int_equal(s->d.volume(&total, &left), WFD_OK);
	assert_true(total > 0 && left <= total);
	scene_end(s);
}

/* ---- denials ---- */

static void test_denied(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file = function(f)\n"
		"  if f.path == '/workspace/secret' and f.op ~= 'stat' then return deny 'no' end\n"
		"  if f.path == '/workspace/full' and f.op == 'create' then return deny { errno = "
		"'ENOSPC' } end\n"
		"  if f.op == 'write' and f.path == '/workspace/fixed' then return deny 'no' end\n"
		"  if f.op == 'list' and f.path == '/workspace/dir' then return deny 'no' end\n"
		"  if f.op == 'mkdir' or f.op == 'chmod' then return deny 'no' end\n"
		"  if f.op == 'rename' and f.path == '/workspace/pinned' then return deny 'no' "
		"end\n"
		"  return allow()\nend }\n");
	struct wfd_file *f;
	char buf[64];
	(void)state;

	scene_write(s, "secret", "s");
	scene_write(s, "fixed", "fixed");
	scene_write(s, "other", "o");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_get(s, "/secret", AGENT, buf, sizeof(buf)), WFD_DENIED);
	assert_int_equal(scene_get(s, "/SECRET", AGENT, buf, sizeof(buf)),
			 WFD_DENIED); /* the same file */
	assert_int_equal(scene_get(s, "/fixed", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_int_equal(scene_put(s, "/fixed", "x", AGENT), WFD_DENIED);
	assert_int_equal(s->d.create("/fixed", WFD_OPEN, WFD_WRITE, AGENT, &f), WFD_DENIED);
	assert_string_equal(scene_text(s, "fixed"), "fixed");
	assert_int_equal(scene_make_dir(s, "/x", AGENT), WFD_DENIED);
	assert_int_equal(scene_move(s, "/other", "/pinned", false, AGENT), WFD_DENIED);
	assert_true(scene_is_there(s, "other"));
	assert_int_equal(s->d.create("/other", WFD_OPEN, WFD_READ, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.set_mode(f, 0444), WFD_DENIED);
	assert_int_equal(s->d.set_time(f, 1), WFD_DENIED);
	assert_int_equal(s->d.close(f), WFD_OK);
	/* More often than questions can be asked at once: a refusal leaves nothing behind. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(scene_get(s, "/secret", AGENT, buf, sizeof(buf)), WFD_DENIED);
	scene_end(s);
}

/* A delete that is refused: the program is told, the file stays; by the process that has it open. */
static void test_delete_denied(void **state)
{
	struct scene *s = scene_new("return { name = 'p', file = function(f)\n"
				    "  if (f.op == 'delete' or f.op == 'rmdir') and f.process.name "
				    "~= 'editor.exe' then return deny 'no' end\n"
				    "  return allow()\nend }\n");
	struct wfd_file *f;
	(void)state;

	scene_write(s, "a", "a");
	scene_write(s, "b", "b");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_erase(s, "/a", AGENT), WFD_DENIED);
	assert_true(scene_is_there(s, "a"));
	assert_int_equal(s->d.create("/a", WFD_OPEN, WFD_READ | WFD_DELETE_ON_CLOSE, AGENT, &f),
			 WFD_DENIED);
	assert_true(scene_is_there(s, "a"));
	assert_int_equal(scene_make_dir(s, "/dir", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/dir", AGENT), WFD_DENIED);
	/* What a rename would replace is deleted, too. */
	assert_int_equal(scene_move(s, "/a", "/b", true, AGENT), WFD_DENIED);
	assert_string_equal(scene_text(s, "b"), "b");
	assert_int_equal(scene_erase(s, "/dir", EDITOR), WFD_OK);
	assert_int_equal(scene_erase(s, "/A", EDITOR), WFD_OK);
	assert_false(scene_is_there(s, "a"));
	assert_false(scene_is_there(s, "dir"));
	scene_end(s);
}

/* Policies change between the question and the delete: the file stays, though nobody is told. */
static void test_delete_after_reload(void **state)
{
	struct scene *s = scene_new(everything);
	struct wfd_file *f;
	(void)state;

	scene_write(s, "a", "a");
	scene_mount(s, "X:", false);
	assert_int_equal(s->d.create("/a", WFD_OPEN, WFD_READ | WFD_DELETE, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.set_delete(f), WFD_OK);
	scene_policy(s, "return { name = 'none', file = function(f) return deny 'no' end }\n");
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_true(scene_is_there(s, "a"));
	s->lost = 1;
	scene_end(s);
}

/* A handle keeps what it was given, as an open file keeps its rights when its mode changes; what has a question of its own is asked. */
static void test_open_after_reload(void **state)
{
	struct scene *s = scene_new(everything);
	struct wfd_file *f, *dir, *other;
	char buf[8];
	size_t n;
	(void)state;

	scene_write(s, "a", "abc");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_make_dir(s, "/dir", AGENT), WFD_OK);
	assert_int_equal(s->d.create("/a", WFD_OPEN, WFD_READ | WFD_WRITE | WFD_DELETE, AGENT, &f),
			 WFD_OK);
	assert_int_equal(s->d.create("/dir", WFD_OPEN, WFD_READ, AGENT, &dir), WFD_OK);
	scene_policy(s, "return { name = 'p', file = function(f)\n"
			"  if f.op == 'stat' then return allow() end\n  return deny 'no'\nend }\n");
	assert_int_equal(s->d.read(f, buf, 3, 0, &n), WFD_OK);
	assert_int_equal(s->d.write(f, "xyz", 3, 0), WFD_OK);
	assert_int_equal(s->d.list(dir, NULL, NULL), WFD_OK);
	assert_int_equal(s->d.set_size(f, 1), WFD_DENIED);
	assert_int_equal(s->d.set_delete(f), WFD_DENIED);
	assert_int_equal(s->d.rename(f, "/b", false, AGENT), WFD_DENIED);
	assert_int_equal(s->d.create("/a", WFD_OPEN, WFD_READ, AGENT, &other), WFD_DENIED);
	assert_string_equal(scene_text(s, "a"), "xyz");
	s->d.close(f);
	s->d.close(dir);
	assert_true(scene_is_there(s, "a"));
	scene_end(s);
}

/* ---- who ---- */

static void test_by_process(void **state)
{
	struct scene *s =
		scene_new("return { name = 'p', file = function(f)\n"
			  "  if f.op == 'stat' or f.op == 'list' then return allow() end\n"
			  "  if f.process.name == 'agent.exe' and f.process.pid == 4100 then "
			  "return allow() end\n"
			  "  return deny 'unknown'\nend }\n");
	struct wfd_file *f;
	char buf[8];
	(void)state;

	scene_mount(s, "X:", false);
	assert_int_equal(scene_put(s, "/a", "a", EDITOR), WFD_DENIED);
	assert_int_equal(scene_put(s, "/a", "a", 77), WFD_DENIED);
	assert_int_equal(scene_put(s, "/a", "a", AGENT), WFD_OK);
	assert_int_equal(scene_get(s, "/a", EDITOR, buf, sizeof(buf)), WFD_DENIED);
	/* The handle is the agent's: what WinFsp does not say with a write, a truncation, or a delete is remembered. */
	assert_int_equal(s->d.create("/a", WFD_CREATE_ALWAYS, WFD_WRITE | WFD_DELETE, AGENT, &f),
			 WFD_OK);
	assert_int_equal(s->d.write(f, "xyz", 3, 0), WFD_OK);
	assert_int_equal(s->d.set_size(f, 1), WFD_OK);
	/* Also by its new name. */
	assert_int_equal(scene_make_dir(s, "/dir", AGENT), WFD_OK);
	assert_int_equal(s->d.rename(f, "/dir/b", true, AGENT), WFD_OK);
	assert_int_equal(s->d.set_size(f, 0), WFD_OK);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_int_equal(scene_move(s, "/dir", "/Other", false, AGENT), WFD_OK);
	assert_int_equal(s->d.create("/other/b", WFD_OPEN, WFD_DELETE, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.rename(f, "/c", true, AGENT), WFD_OK);
	assert_int_equal(s->d.set_delete(f), WFD_OK);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_false(scene_is_there(s, "c"));
	scene_end(s);
}

/* What a handle is asked about is where its file is, not where it was. */
static void test_renamed_handle(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file = function(f)\n"
		"  if f.op == 'write' and f:under '/workspace/final' then return deny 'no' end\n"
		"  return allow()\nend }\n");
	struct wfd_file *f;
	(void)state;

	scene_write(s, "draft", "abc");
	scene_mount(s, "X:", false);
	assert_int_equal(s->d.create("/draft", WFD_OPEN, WFD_WRITE | WFD_DELETE, AGENT, &f),
			 WFD_OK);
	assert_int_equal(s->d.set_size(f, 2), WFD_OK);
	assert_int_equal(s->d.rename(f, "/final", false, AGENT), WFD_OK);
	assert_int_equal(s->d.set_size(f, 1), WFD_DENIED);
	assert_string_equal(scene_text(s, "final"), "ab");
	s->d.close(f);
	scene_end(s);
}

/* ---- the trash ---- */

static int count_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct {
		char token[MF_TRASH_TOKEN_MAX];
		enum mf_trash_op op;
		unsigned cnt, pid;
	} *got = ctx;

	strcpy(got->token, e->token);
	got->op = e->op;
	got->pid = e->pid;
	got->cnt++;
	assert_string_equal(e->session, "scene");
	return 0;
}

static void test_soft_delete(void **state)
{
	struct scene *s = scene_new("return { name = 'keep', file = function(f)\n"
				    "  if f.op == 'delete' or f.op == 'rmdir' then return "
				    "soft_delete { reason = 'kept' } end\n"
				    "  return allow()\nend }\n");
	struct {
		char token[MF_TRASH_TOKEN_MAX];
		enum mf_trash_op op;
		unsigned cnt, pid;
	} got = { .cnt = 0 };
	struct mf_trash_result result;
	struct mf_trash_target target = { 0 };
	struct mf_trash_undone undone;
	struct mf_err err = { 0 };
	(void)state;

	scene_write(s, "notes.txt", "precious");
	scene_mount(s, "X:", true);
	/* Deleted, and restored. */
	assert_int_equal(scene_erase(s, "/notes.txt", AGENT), WFD_OK);
	assert_false(scene_is_there(s, "notes.txt"));
	assert_int_equal(mf_trash_list(s->trash, NULL, count_entry, &got, &err), 0);
	assert_int_equal(got.cnt, 1);
	assert_int_equal(got.op, MF_TRASH_DELETE);
	assert_int_equal(got.pid, AGENT);
	if (mf_trash_restore(s->trash, got.token, &target, &result, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(scene_text(s, "notes.txt"), "precious");
	got.cnt = 0;
	assert_int_equal(mf_trash_list(s->trash, NULL, count_entry, &got, &err), 0);
	assert_int_equal(got.cnt, 0);

	/* Replaced by a rename: what was there is kept. */
	assert_int_equal(scene_put(s, "/new", "worthless", AGENT), WFD_OK);
	assert_int_equal(scene_move(s, "/new", "/notes.txt", true, AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "notes.txt"), "worthless");
	assert_int_equal(mf_trash_list(s->trash, NULL, count_entry, &got, &err), 0);
	assert_int_equal(got.cnt, 1);
	assert_int_equal(got.op, MF_TRASH_REPLACE);
	assert_int_equal(mf_trash_restore(s->trash, got.token, &target, &result, &err), MF_E_EXIST);
	target.replace = true;
	assert_int_equal(mf_trash_restore(s->trash, got.token, &target, &result, &err), 0);
	assert_string_equal(scene_text(s, "notes.txt"), "precious");
	assert_true(mf_trash_token_ok(result.replaced));

	/* Truncated by being written anew; and by a program that shortens it. */
	assert_int_equal(scene_put(s, "/notes.txt", "", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "notes.txt"), "");
	/* A whole tree, file by file as programs delete it, and what the session itself has put there. */
	scene_make_folder(s, "tree");
	scene_write(s, "tree/leaf", "green");
	assert_int_equal(scene_put(s, "/tree/own", "temporary", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/tree/own", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/tree/leaf", AGENT), WFD_OK);
	assert_int_equal(scene_erase(s, "/tree", AGENT), WFD_OK);
	assert_false(scene_is_there(s, "tree"));

	assert_int_equal(
		mf_trash_undo(s->trash,
			      &(struct mf_trash_undo){ .session = "scene", .replace = true },
			      &undone, &err),
		0);
	assert_int_equal(undone.failed, 0);
	assert_string_equal(scene_text(s, "notes.txt"), "precious");
	assert_string_equal(scene_text(s, "tree/leaf"), "green");
	assert_false(scene_is_there(s, "tree/own"));
	assert_true(undone.own >= 1);
	scene_end(s);
}

static void test_no_trash(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'keep', file = function(f)\n"
		"  if f.op == 'delete' then return soft_delete() end\n  return allow()\nend }\n");
	(void)state;

	scene_write(s, "a", "abc");
	scene_write(s, "b", "b");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_erase(s, "/a", AGENT), WFD_DENIED);
	assert_int_equal(scene_put(s, "/a", "x", AGENT), WFD_DENIED); /* it would be cut */
	assert_int_equal(scene_move(s, "/b", "/a", true, AGENT), WFD_DENIED);
	assert_string_equal(scene_text(s, "a"), "abc");
	scene_end(s);
}

static void test_trash_is_hidden(void **state)
{
	struct scene *s = scene_new(everything);
	char buf[64];
	struct wfd_file *f;
	(void)state;

	snprintf(s->trash_dir, sizeof(s->trash_dir), "%s/bin", s->source);
	scene_write(s, "a", "a");
	scene_mount(s, "X:", true);
	assert_int_equal(scene_get(s, "/bin/info/x", AGENT, buf, sizeof(buf)), WFD_NOT_FOUND);
	assert_int_equal(s->d.create("/bin", WFD_OPEN, WFD_READ, AGENT, &f), WFD_NOT_FOUND);
	assert_int_equal(s->d.create("/BIN/files", WFD_OPEN, WFD_READ, AGENT, &f), WFD_NOT_FOUND);
	assert_int_not_equal(scene_put(s, "/bin/files/x", "x", AGENT), WFD_OK);
	assert_int_not_equal(scene_move(s, "/a", "/bin/a", true, AGENT), WFD_OK);
	assert_true(scene_is_there(s, "a"));
	scene_end(s);
}

/* ---- elsewhere ---- */

static void test_redirect(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'r', file = function(f)\n"
		"  if f.path == '/workspace/config' then return redirect_path "
		"'/workspace/private/config' end\n"
		"  if f.path == '/workspace/new' then return redirect_path "
		"'/workspace/made/deep/new' end\n"
		"  if f.path == '/workspace/out' then return redirect_path '/nowhere/out' end\n"
		"  return allow()\nend }\n");
	char buf[64];
	(void)state;

	scene_write(s, "config", "public");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_make_dir(s, "/private", AGENT), WFD_OK);
	scene_write(s, "private/config", "mine");
	assert_int_equal(scene_get(s, "/config", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "mine");
	assert_int_equal(scene_put(s, "/config", "changed", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "config"), "public");
	assert_string_equal(scene_text(s, "private/config"), "changed");
	assert_int_equal(scene_put(s, "/new", "n", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "made/deep/new"), "n");
	assert_false(scene_is_there(s, "new"));
	assert_int_equal(scene_put(s, "/out", "o", AGENT), WFD_DENIED);
	scene_end(s);
}

/* ---- names ---- */

static void test_names(void **state)
{
	struct scene *s = scene_new("return { name = 'p', file = function(f)\n"
				    "  if f.path == '/workspace/Secret Plans/Key.txt' and f.op == "
				    "'read' then return deny 'no' end\n"
				    "  return allow()\nend }\n");
	struct wfd_file *f;
	char buf[64], name[300], longest[260];
	(void)state;

	scene_mount(s, "X:", false);
	assert_int_equal(scene_make_dir(s, "/Secret Plans", AGENT), WFD_OK);
	scene_write(s, "Secret Plans/Key.txt", "k");
	/* Whatever the letters' case, it is the file that the policy names. */
	assert_int_equal(scene_get(s, "/secret plans/key.TXT", AGENT, buf, sizeof(buf)),
			 WFD_DENIED);
	/* Streams are other names of a file. */
	assert_int_equal(scene_get(s, "/Secret Plans/Key.txt::$DATA", AGENT, buf, sizeof(buf)),
			 WFD_INVALID);
	assert_int_equal(scene_put(s, "/Secret Plans/Key.txt:x:$DATA", "x", AGENT), WFD_INVALID);
	assert_int_equal(scene_make_dir(s, "/d:$I30:$INDEX_ALLOCATION", AGENT), WFD_INVALID);
	/* What Windows forbids is kept in the private range, and comes back as it was. */
	assert_int_equal(scene_put(s, "/a:b?.txt", "odd", AGENT), WFD_OK);
	assert_int_equal(scene_get(s, "/a:b?.txt", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "odd");
	assert_string_equal(list(s, "/"), "Secret Plans a:b?.txt");
	assert_true(scene_is_there(s, "a\xef\x80\xba"
				      "b\xef\x80\xbf.txt"));
	assert_false(scene_is_there(s, "a"));
	/* A backslash is a character there, no separator. */
	assert_int_equal(scene_put(s, "/Secret Plans\\Key.txt", "x", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "Secret Plans/Key.txt"), "k");
	/* Nothing above, nothing empty. */
	assert_int_equal(s->d.create("/../policy.lua", WFD_OPEN, WFD_READ, AGENT, &f), WFD_INVALID);
	assert_int_equal(
		s->d.create("/Secret Plans/../../policy.lua", WFD_OPEN, WFD_READ, AGENT, &f),
		WFD_INVALID);
	assert_int_equal(s->d.create("//policy.lua", WFD_OPEN, WFD_READ, AGENT, &f), WFD_INVALID);
	assert_int_equal(s->d.create("/\xff\xfe", WFD_OPEN, WFD_READ, AGENT, &f), WFD_INVALID);
	assert_int_equal(
		scene_put(s, "/\xc3\x84rger \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x8c\x99", "u", AGENT),
		WFD_OK);
	assert_string_equal(scene_text(s, "\xc3\x84rger \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x8c\x99"),
			    "u");
	/* 255 units are a name, 256 are none. */
	memset(longest, 'n', 255);
	longest[255] = '\0';
	snprintf(name, sizeof(name), "/%s", longest);
	assert_int_equal(scene_put(s, name, "l", AGENT), WFD_OK);
	snprintf(name, sizeof(name), "/%sx", longest);
	assert_int_equal(scene_put(s, name, "l", AGENT), WFD_NAME_TOO_LONG);
	scene_end(s);
}

/* The short name of a file leads to the file that the policy names. */
static void test_short_names(void **state)
{
	struct scene *s = scene_new("return { name = 'p', file = function(f)\n"
				    "  if f.path == '/workspace/A rather long name.text' and f.op "
				    "== 'read' then return deny 'no' end\n"
				    "  return allow()\nend }\n");
	char path[1024], brief[1024], name[64], buf[16];
	(void)state;

	scene_write(s, "A rather long name.text", "x");
	snprintf(path, sizeof(path), "%s/A rather long name.text", s->source);
	if (!GetShortPathNameA(path, brief, sizeof(brief)) || !strrchr(brief, '~')) {
		scene_end(s);
		skip(); /* a volume without short names */
	}
	for (char *p = brief; *p; p++)
		if (*p == '\\')
			*p = '/';
	scene_mount(s, "X:", false);
	snprintf(name, sizeof(name), "%s", strrchr(brief, '/'));
	assert_int_equal(scene_get(s, name, AGENT, buf, sizeof(buf)), WFD_DENIED);
	scene_end(s);
}

/* Links that lead out of the source: shown at most, never followed. */
static void test_links(void **state)
{
	struct scene *s = scene_new(everything);
	char outside[600], link[700], buf[64];
	uint32_t r;
	(void)state;

	snprintf(outside, sizeof(outside), "%s/outside", s->dir);
	snprintf(link, sizeof(link), "%s/out", s->source);
	assert_int_equal(test_make_dir(outside), 0);
	if (test_link(outside, link)) {
		scene_end(s);
		skip();
	}
	snprintf(link, sizeof(link), "%s/file", s->source);
	(void)test_link(s->policy, link);
	scene_mount(s, "X:", true);
	assert_int_not_equal(scene_put(s, "/out/new", "x", AGENT), WFD_OK);
	assert_int_not_equal(scene_make_dir(s, "/out/dir", AGENT), WFD_OK);
	assert_int_not_equal(scene_get(s, "/file", AGENT, buf, sizeof(buf)), WFD_OK);
	assert_int_not_equal(scene_put(s, "/file", "x", AGENT), WFD_OK);
	scene_write(s, "a", "a");
	assert_int_not_equal(scene_move(s, "/a", "/out/a", false, AGENT), WFD_OK);
	r = scene_erase(s, "/out", AGENT);
	assert_true(r == WFD_OK || r == WFD_DENIED);
	snprintf(link, sizeof(link), "%s/new", outside);
	assert_int_equal(GetFileAttributesA(link), INVALID_FILE_ATTRIBUTES);
	assert_int_not_equal(GetFileAttributesA(outside), INVALID_FILE_ATTRIBUTES);
	scene_end(s);
}

/* Rules, under, is and glob do not mind the case of letters, also of names that are new. */
static void test_policy_case(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file_rules = {\n"
		"    { paths = { '/workspace/**/*.Key' }, operations = { 'create' }, decision = "
		"'deny' },\n"
		"    { paths = { '/workspace/Exact' }, operations = { 'create' }, decision = "
		"'deny' },\n"
		"    { paths = { '**/.env' }, operations = { 'create' }, decision = 'deny' },\n"
		"    { paths = { '/workspace/Tree/**' }, operations = { 'create' }, decision = "
		"'deny' },\n"
		"  }, file = function(f)\n"
		"  if f.op == 'create' and (f:under '/workspace/Under' or f:is '/workspace/Is') "
		"then return deny 'no' end\n"
		"  if f.op == 'create' and f:glob '/workspace/*.Tmp' then return deny 'no' end\n"
		"  return allow()\nend }\n");
	static const char *const denied[] = { "/a.KEY", "/EXACT", "/.ENV",  "/tree/x",
					      "/UNDER", "/iS",	  "/x.tMP", "/sub/b.key" };
	(void)state;

	scene_mount(s, "X:", false);
	assert_int_equal(scene_make_dir(s, "/tree", AGENT), WFD_OK);
	assert_int_equal(scene_make_dir(s, "/sub", AGENT), WFD_OK);
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		if (scene_put(s, denied[i], "x", AGENT) != WFD_DENIED)
			fail_msg("%s was made", denied[i]);
	assert_int_equal(scene_put(s, "/other", "x", AGENT), WFD_OK);
	scene_end(s);
}

static void test_long_paths(void **state)
{
	struct scene *s = scene_new(everything);
	char path[2048] = "", buf[16];
	(void)state;

	scene_mount(s, "X:", false);
	/* Well beyond the 260 units that the old functions of Windows end at. */
	for (int i = 0; i < 12; i++) {
		snprintf(path + strlen(path), sizeof(path) - strlen(path),
			 "/a directory with a name of some length %02d", i);
		assert_int_equal(scene_make_dir(s, path, AGENT), WFD_OK);
	}
	strcat(path, "/file");
	assert_int_equal(scene_put(s, path, "deep", AGENT), WFD_OK);
	assert_int_equal(scene_get(s, path, AGENT, buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "deep");
	assert_int_equal(scene_erase(s, path, AGENT), WFD_OK);
	scene_end(s);
}

/* A change of letters' case is a rename onto itself, not over another file. */
static void test_rename_case(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file = function(f)\n"
		"  if f.op == 'delete' then return deny 'no' end\n  return allow()\nend }\n");
	(void)state;

	scene_write(s, "readme", "r");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_move(s, "/readme", "/README", true, AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "README"), "r");
	scene_end(s);
}

/* ---- many at once ---- */

#define THREADS 6
#define ROUNDS	16

struct worker {
	struct scene *s;
	int id, failed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char path[64], other[64], text[64], got[64];

	for (int i = 0; i < ROUNDS && !w->failed; i++) {
		int pid = (w->id + i) % 2 ? AGENT : EDITOR;

		snprintf(path, sizeof(path), "/w%d-%d", w->id, i);
		snprintf(other, sizeof(other), "/w%d-moved", w->id);
		snprintf(text, sizeof(text), "text of %d in round %d", w->id, i);
		w->failed |= scene_put(w->s, path, text, pid) != WFD_OK;
		w->failed |= scene_get(w->s, path, pid, got, sizeof(got)) != WFD_OK ||
			     strcmp(got, text) != 0;
		w->failed |= scene_move(w->s, path, other, true, pid) != WFD_OK;
		w->failed |= scene_put(w->s, "/shared", text, pid) != WFD_OK;
		if (i % 4 == 3)
			w->failed |= scene_erase(w->s, other, pid) != WFD_OK;
	}
	return NULL;
}

static void test_concurrency(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file = function(f)\n"
		"  if not f.process.name then return nil end\n"
		"  if f.op == 'delete' then return soft_delete() end\n  return allow()\nend }\n");
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	(void)state;

	scene_mount(s, "X:", true);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ s, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(workers[i].failed, 0);
	assert_string_equal(list(s, "/"), "shared");
	scene_end(s);
}

/* ---- the double itself: what it enforces it must notice ---- */

/* An older WinFsp does not ask before a delete: the file must stay all the same. */
static void test_older_winfsp(void **state)
{
	struct scene *s = scene_new(
		"return { name = 'p', file = function(f)\n"
		"  if f.op == 'delete' then return deny 'no' end\n  return allow()\nend }\n");
	struct wfd_calls d;
	HMODULE held;
	(void)state;

	/* Loaded before, so that it can be told what to offer. */
	held = LoadLibraryA(MF_WINFSP_FOLDER "/bin/winfsp-x64.dll");
	assert_non_null(held);
	assert_true(scene_reach(&d));
	d.offer(0);
	scene_write(s, "a", "a");
	scene_mount(s, "X:", false);
	assert_int_equal(scene_erase(s, "/a", AGENT), WFD_OK);
	assert_true(scene_is_there(s, "a"));
	s->lost = 1;
	scene_end(s);
	FreeLibrary(held);
}

static void test_ctrl_c(void **state)
{
	struct scene *s = scene_new(everything);
	struct wfd_file *f;
	(void)state;

	scene_write(s, "a", "a");
	scene_mount(s, "X:", false);
	assert_int_equal(s->d.create("/a", WFD_OPEN, WFD_READ, AGENT, &f),
			 WFD_OK); /* never closed */
	s->d.interrupt();
	scene_end(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_delete_denied),
		cmocka_unit_test(test_delete_after_reload),
		cmocka_unit_test(test_open_after_reload),
		cmocka_unit_test(test_by_process),
		cmocka_unit_test(test_renamed_handle),
		cmocka_unit_test(test_soft_delete),
		cmocka_unit_test(test_no_trash),
		cmocka_unit_test(test_trash_is_hidden),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_short_names),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_policy_case),
		cmocka_unit_test(test_long_paths),
		cmocka_unit_test(test_rename_case),
		cmocka_unit_test(test_concurrency),
		cmocka_unit_test(test_older_winfsp),
		cmocka_unit_test(test_ctrl_c),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("winfsp_mount", tests, NULL, NULL);
}
