/* SPDX-License-Identifier: Apache-2.0 */
/* test_winfsp_names.c - ways round the fence by spelling, links and streams; who asks; what the trash is given (over the double) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "fs/mount_int_win32.h"
#include "tests/os/os.h"
#include "winfsp_scene.h"

static const char everything[] = "return { name = 'all', file = function(f) return allow() end }\n";
static const char guarded[] = "return { name = 'p', file = function(f)\n"
			      "  if f.path == '/workspace/key.txt' and f.op ~= 'stat' then return "
			      "deny 'no' end\n  return allow()\nend }\n";

static uint32_t get(struct scene *s, const char *path, char *buf, size_t room)
{
	return scene_get(s, path, AGENT, buf, room);
}

static uint32_t put(struct scene *s, const char *path, const char *text)
{
	return scene_put(s, path, text, AGENT);
}

/* Whatever is written in the place of a name, what is forbidden is not read, not written, not deleted, not moved away. */
static void test_spellings(void **state)
{
	static const char *const spellings[] = {
		"/key.txt",	   "/KEY.TXT",	       "/key.txt.",	  "/key.txt ",
		"/key.txt...",	   "/key.txt::$DATA",  "/key.txt::$data", "/key.txt:$DATA",
		"/key.txt:stream", "/./key.txt",       "/x/../key.txt",	  "//key.txt",
		"/\\\\?\\key.txt", "/key.txt/",	       "/key.txt/.",	  "/key.txt\\",
		"/KEY~1.TXT",	   "/key.txt:a:$DATA",
	};
	struct scene *s = scene_new(guarded);
	struct wfd_file *f;
	char buf[64];
	(void)state;

	scene_write(s, "key.txt", "k");
	scene_mount(s, "X:", false);
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		const char *name = spellings[i];

		if (get(s, name, buf, sizeof(buf)) == WFD_OK && !strcmp(buf, "k"))
			fail_msg("%s was read", name);
		(void)put(s, name, "x");
		(void)scene_erase(s, name, AGENT);
		if (s->d.create(name, WFD_OPEN, WFD_DELETE, AGENT, &f) == WFD_OK) {
			if (!strcmp(name, "/key.txt") || !strcmp(name, "/KEY.TXT"))
				assert_int_equal(s->d.rename(f, "/moved", true, AGENT), WFD_DENIED);
			s->d.close(f);
		}
		if (!scene_text(s, "key.txt") || strcmp(scene_text(s, "key.txt"), "k") != 0)
			fail_msg("%s was written, deleted or moved", name);
	}
	scene_end(s);
}

/* Names that Windows' own functions take for devices are files here, or nothing. */
static void test_devices(void **state)
{
	static const char *const names[] = { "/NUL",  "/CON",	  "/con.txt", "/COM1",
					     "/LPT1", "/AUX.log", "/PRN" };
	struct scene *s = scene_new("return { name = 'p', file = function(f)\n"
				    "  if f.path == '/workspace/COM1' and f.op == 'create' then "
				    "return deny 'no' end\n  return allow()\nend }\n");
	char buf[64];
	(void)state;

	scene_mount(s, "X:", false);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint32_t r = put(s, names[i], "text");

		if (!strcmp(names[i], "/COM1")) {
			assert_int_equal(r, WFD_DENIED);
			continue;
		}
		if (r != WFD_OK) /* the file system has no such name */
			continue;
		assert_int_equal(get(s, names[i], buf, sizeof(buf)), WFD_OK);
		assert_string_equal(buf, "text"); /* of NUL nothing would come back */
	}
	scene_end(s);
}

/*
 * Rules that spell names as Windows' own functions take them (short, with dots and blanks at the end, streams, device paths) are
 * about no file at all: what they allow opens nothing, and the rule about the name as it is on the disk holds for every spelling.
 */
static void test_rules_of_other_spellings(void **state)
{
	static const char policy[] =
		"return { name = 'p', file_rules = {\n"
		"  { name = 'open', operations = { '*' }, decision = 'allow', paths = {\n"
		"    '/workspace/secret plan.txt.', '/workspace/secret plan.txt ', "
		"'/workspace/secret "
		"plan.txt::$DATA',\n"
		"    '/workspace/SECRET~1.TXT', '/workspace/secret plan.txt:x', '//?/X:/secret "
		"plan.txt',\n"
		"    '/X:/secret plan.txt', '/workspace/./secret plan.txt', "
		"'/workspace/x/../secret "
		"plan.txt',\n"
		"    '/workspace/dir./**', '/workspace/dir /**', '/workspace/DIR~1/**',\n"
		"    '/workspace/dir::$INDEX_ALLOCATION/**' } },\n"
		"  { name = 'shut', decision = 'deny', paths = { '/workspace/Secret Plan.txt', "
		"'/workspace/Dir/**',\n"
		"    '/workspace/nul', '/workspace/com1*', '/workspace/a:b', '/workspace/dots..' "
		"},\n"
		"    operations = { 'open', 'read', 'write', 'create', 'delete', 'rename' } },\n"
		"} , file = function(f) return allow() end }\n";
	static const char *const files[] = {
		"/secret plan.txt",
		"/SECRET PLAN.TXT",
		"/secret plan.txt.",
		"/secret plan.txt ",
		"/secret plan.txt::$DATA",
		"/secret plan.txt:x",
		"/SECRET~1.TXT",
		"/secret~1.txt",
		"/./secret plan.txt",
		"/x/../secret plan.txt",
		"/\\\\?\\X:\\secret plan.txt",
		"//?/X:/secret plan.txt",
		"/X:/secret plan.txt",
		"/secret plan.txt:$DATA",
		"/secret plan.txt/",
	};
	static const char *const below[] = {
		"/dir/key",
		"/DIR/key",
		"/dir./key",
		"/dir /key",
		"/dir::$INDEX_ALLOCATION/key",
		"/dir:$I30:$INDEX_ALLOCATION/key",
		"/DIR~1/key",
		"/dir/../dir/key",
		"/dir//key",
		"/dir/./key",
		"/dir/key::$DATA",
	};
	/* As they are on the disk these are names like others: the rules hold for them. */
	static const char *const shut[] = {
		"/NUL", "/nul", "/COM1", "/Com1.log", "/A:B", "/Dots.."
	};
	struct scene *s = scene_new(policy);
	char buf[64];
	(void)state;

	scene_write(s, "secret plan.txt", "secret");
	scene_make_folder(s, "dir");
	scene_write(s, "dir/key", "secret");
	scene_mount(s, "X:", false);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (get(s, files[i], buf, sizeof(buf)) == WFD_OK && !strcmp(buf, "secret"))
			fail_msg("%s was read", files[i]);
		(void)put(s, files[i], "overwritten");
		(void)scene_erase(s, files[i], AGENT);
		(void)scene_move(s, files[i], "/moved", true, AGENT);
		if (!scene_text(s, "secret plan.txt") ||
		    strcmp(scene_text(s, "secret plan.txt"), "secret") != 0)
			fail_msg("%s was written, deleted or moved", files[i]);
	}
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		if (get(s, below[i], buf, sizeof(buf)) == WFD_OK && !strcmp(buf, "secret"))
			fail_msg("%s was read", below[i]);
		(void)put(s, below[i], "overwritten");
		(void)scene_erase(s, below[i], AGENT);
		if (!scene_text(s, "dir/key") || strcmp(scene_text(s, "dir/key"), "secret") != 0)
			fail_msg("%s was written or deleted", below[i]);
	}
	for (size_t i = 0; i < sizeof(shut) / sizeof(shut[0]); i++)
		if (put(s, shut[i], "x") != WFD_DENIED)
			fail_msg("%s was made", shut[i]);
	assert_int_equal(put(s, "/other", "x"), WFD_OK);
	scene_end(s);
}

/* A directory that a link has replaced since it was looked at leads nowhere else. */
static void test_link_swapped(void **state)
{
	struct scene *s = scene_new(everything);
	char outside[700], inside[700], away[700], buf[64];
	struct wfd_file *f;
	size_t n;
	(void)state;

	scene_mount(s, "X:", true);
	snprintf(inside, sizeof(inside), "%s/dir", s->source);
	snprintf(away, sizeof(away), "%s/away", s->source);
	snprintf(outside, sizeof(outside), "%s/outside", s->dir);
	assert_int_equal(test_make_dir(inside), 0);
	assert_int_equal(test_make_dir(outside), 0);
	scene_write(s, "dir/a", "inside");
	scene_write(s, "../outside/a", "outside");
	assert_int_equal(s->d.create("/dir/a", WFD_OPEN, WFD_READ | WFD_WRITE, AGENT, &f), WFD_OK);
	assert_int_equal(test_rename(inside, away), 0);
	if (test_link(outside, inside)) {
		s->d.close(f);
		scene_end(s);
		skip();
	}
	/* What was open stays the file that it was. */
	assert_int_equal(s->d.read(f, buf, sizeof(buf), 0, &n), WFD_OK);
	assert_memory_equal(buf, "inside", 6);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_int_not_equal(get(s, "/dir/a", buf, sizeof(buf)), WFD_OK);
	assert_int_not_equal(put(s, "/dir/a", "x"), WFD_OK);
	assert_int_not_equal(put(s, "/dir/new", "x"), WFD_OK);
	assert_int_not_equal(scene_erase(s, "/dir/a", AGENT), WFD_OK);
	assert_string_equal(scene_text(s, "../outside/a"), "outside");
	assert_false(scene_is_there(s, "../outside/new"));
	scene_end(s);
}

/* The trash's own name is not told where it lies in the source. */
static void no_bin(void *ctx, const char *name)
{
	if (!_stricmp(name, "bin"))
		*(bool *)ctx = true;
}

static void test_trash_is_not_listed(void **state)
{
	struct scene *s = scene_new(everything);
	bool seen = false;
	struct wfd_file *f;
	(void)state;

	snprintf(s->trash_dir, sizeof(s->trash_dir), "%s/bin", s->source);
	scene_mount(s, "X:", true);
	assert_int_equal(s->d.create("/", WFD_OPEN, WFD_READ, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.list(f, no_bin, &seen), WFD_OK);
	s->d.close(f);
	assert_false(seen);
	scene_end(s);
}

/* The first who writes gets a copy; until then, and elsewhere, the original is what is seen. */
static void test_copy_on_write(void **state)
{
	struct scene *s =
		scene_new("return { name = 'p', file = function(f)\n"
			  "  if f.path == '/workspace/shared' then return redirect_path { target = "
			  "'/workspace/own/shared', cow = true } end\n"
			  "  return allow()\nend }\n");
	struct wfd_file *f;
	char buf[64];
	(void)state;

	scene_write(s, "shared", "original");
	scene_mount(s, "X:", false);
	assert_int_equal(get(s, "/shared", buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "original");
	assert_false(scene_is_there(s, "own/shared"));
	assert_int_equal(s->d.create("/shared", WFD_OPEN, WFD_READ | WFD_WRITE, AGENT, &f), WFD_OK);
	assert_int_equal(s->d.write(f, "OR", 2, 0), WFD_OK);
	assert_int_equal(s->d.close(f), WFD_OK);
	assert_string_equal(scene_text(s, "shared"), "original");
	assert_string_equal(scene_text(s, "own/shared"), "ORiginal");
	assert_int_equal(get(s, "/shared", buf, sizeof(buf)), WFD_OK);
	assert_string_equal(buf, "ORiginal");
	scene_end(s);
}

static int see_hash(void *ctx, const struct mf_trash_entry *e)
{
	snprintf(ctx, MF_TRASH_HASH_HEX, "%s", e->sha256);
	return 0;
}

/* soft_delete { hash = true } has one taken; without it none is. */
static void test_hash_wanted(void **state)
{
	struct scene *s = scene_new("return { name = 'p', file = function(f)\n"
				    "  if f.op == 'delete' then return soft_delete { hash = f.path "
				    "== '/workspace/a' } end\n  return allow()\nend }\n");
	struct mf_trash_options o = { .dir = s->trash_dir, .source = s->source, .hash_max = 1000 };
	char hash[MF_TRASH_HASH_HEX] = "";
	struct mf_err err = { 0 };
	(void)state;

	scene_write(s, "a", "abc");
	scene_write(s, "b", "abc");
	assert_int_equal(mf_trash_open(&o, &s->trash, &err), 0);
	scene_mount(s, "X:", false);
	assert_int_equal(scene_erase(s, "/b", AGENT), WFD_OK);
	mf_trash_drain(s->trash);
	(void)mf_trash_list(s->trash, &(struct mf_trash_filter){ .glob = "**/b", .hashes = true },
			    see_hash, hash, NULL);
	assert_string_equal(hash, "");
	assert_int_equal(scene_erase(s, "/a", AGENT), WFD_OK);
	mf_trash_drain(s->trash);
	(void)mf_trash_list(s->trash, &(struct mf_trash_filter){ .glob = "**/a", .hashes = true },
			    see_hash, hash, NULL);
	assert_string_equal(hash,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	scene_end(s);
}

/* A file that somebody has open is replaced all the same; who has it open keeps what it was. */
static void test_replace_open(void **state)
{
	struct scene *s = scene_new(everything);
	struct wfd_file *f, *from;
	char buf[64];
	uint32_t r;
	size_t n;
	(void)state;

	scene_write(s, "old", "old");
	scene_write(s, "new", "new");
	scene_mount(s, "X:", false);
	assert_int_equal(s->d.create("/old", WFD_OPEN, WFD_READ, EDITOR, &f), WFD_OK);
	assert_int_equal(s->d.create("/new", WFD_OPEN, WFD_DELETE, AGENT, &from), WFD_OK);
	r = s->d.rename(from, "/old", true, AGENT);
	s->d.close(from);
	if (r == WFD_DENIED) { /* wine has no such rename: then nothing has happened */
		assert_string_equal(scene_text(s, "old"), "old");
		assert_string_equal(scene_text(s, "new"), "new");
		s->d.close(f);
		scene_end(s);
		skip();
	}
	assert_int_equal(r, WFD_OK);
	assert_string_equal(scene_text(s, "old"), "new");
	assert_int_equal(s->d.read(f, buf, sizeof(buf), 0, &n), WFD_OK);
	assert_memory_equal(buf, "old", 3);
	s->d.close(f);
	scene_end(s);
}

/* What policies get to know of a process: of this one, all of it. */
static void test_process(void **state)
{
	const struct mf_fs_caller self = { .pid = (int64_t)GetCurrentProcessId() },
				  none = { .pid = -1 };
	struct mf_process p;
	size_t cnt = 0;
	(void)state;

	assert_int_equal(mf_mount_find_process(NULL, &none, &p), MF_E_NOENT);
	assert_int_equal(mf_mount_find_process(NULL, &self, &p), 0);
	assert_int_equal(p.pid, self.pid);
	assert_non_null(p.exe);
	assert_string_equal(p.name, "test_winfsp_names.exe");
	assert_non_null(p.user);
	assert_true(*p.user);
	assert_non_null(p.args);
	while (p.args[cnt])
		cnt++;
	assert_true(cnt >= 1);
	assert_non_null(strstr(p.args[0], "test_winfsp_names"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_rules_of_other_spellings),
		cmocka_unit_test(test_link_swapped),
		cmocka_unit_test(test_trash_is_not_listed),
		cmocka_unit_test(test_copy_on_write),
		cmocka_unit_test(test_hash_wanted),
		cmocka_unit_test(test_replace_open),
		cmocka_unit_test(test_process),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("winfsp_names", tests, NULL, NULL);
}
