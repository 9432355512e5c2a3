/* SPDX-License-Identifier: Apache-2.0 */
/* test_winfsp_load.c - finding WinFsp, and mounting where something is wrong: each time a sentence that says what to do */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "fs/winfsp_win32.h"
#include "tests/os/os.h"
#include "winfsp_scene.h"

static void expect(int code, const char *word)
{
	struct mf_winfsp_library lib;
	struct mf_err err = { 0 };

	assert_int_equal(mf_winfsp_load(&lib, &err), code);
	assert_int_equal(err.code, code);
	assert_null(lib.module);
	if (!strstr(err.msg, word))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void test_not_installed(void **state)
{
	(void)state;
	assert_true(scene_install(NULL));
	expect(MF_E_NOENT, "install WinFsp");
}

static void test_wrong_values(void **state)
{
	(void)state;
	assert_true(scene_install(""));
	expect(MF_E_NOENT, "InstallDir");
	assert_true(scene_install("winfsp\\"));
	expect(MF_E_BAD, "no absolute path");
	assert_true(scene_install("C:winfsp\\"));
	expect(MF_E_BAD, "no absolute path");
	assert_true(scene_install("\\\\server\\share\\"));
	expect(MF_E_BAD, "no absolute path");
	assert_true(scene_install("C:\\a\\..\\b\\"));
	expect(MF_E_BAD, "no absolute path");
	assert_true(scene_install("C:\\no such folder\\"));
	expect(MF_E_NOENT, "bin\\winfsp-x64.dll");
}

/* Neither the current folder nor PATH is looked into. */
static void test_planted(void **state)
{
	char dir[512], path[600], old[MAX_PATH];
	(void)state;

	assert_int_equal(test_temp_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/winfsp-x64.dll", dir);
	assert_true(CopyFileA(MF_WINFSP_FOLDER "/bin/winfsp-x64.dll", path, TRUE));
	assert_true(GetCurrentDirectoryA(sizeof(old), old) > 0);
	assert_true(SetCurrentDirectoryA(dir));
	assert_true(scene_install(NULL));
	expect(MF_E_NOENT, "install WinFsp");
	assert_true(SetCurrentDirectoryA(old));
	test_remove_tree(dir);
}

static void test_not_a_dll(void **state)
{
	char dir[512], path[600];
	FILE *f;
	(void)state;

	assert_int_equal(test_temp_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/bin", dir);
	assert_int_equal(test_make_dir(path), 0);
	snprintf(path, sizeof(path), "%s/bin/winfsp-x64.dll", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	fputs("no program", f);
	fclose(f);
	/* Also without a separator at its end. */
	assert_true(scene_install(dir));
	expect(MF_E_UNSUPPORTED, "damaged");
	test_remove_tree(dir);
}

static void test_loads(void **state)
{
	struct mf_winfsp_library lib;
	struct mf_err err = { 0 };
	(void)state;

	assert_true(scene_install(MF_WINFSP_FOLDER "\\"));
	if (mf_winfsp_load(&lib, &err))
		fail_msg("%s", err.msg);
	assert_non_null(lib.calls.get_context(&lib.env));
	assert_int_equal(lib.env.flavour, 'W');
	mf_winfsp_unload(&lib);
	assert_null(lib.module);
}

static const char policy[] = "return { name = 'all', file = function(f) return allow() end }\n";

static void expect_mount(struct scene *s, struct mf_mount_winfsp_options *o, int code,
			 const char *word)
{
	struct mf_mount_winfsp *m = NULL;
	struct mf_err err = { 0 };

	o->policy = s->pfs;
	assert_int_equal(mf_mount_winfsp_new(o, &m, &err), code);
	assert_null(m);
	if (!strstr(err.msg, word))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void test_mounts_refused(void **state)
{
	struct scene *s = scene_new(policy);
	struct mf_mount_winfsp_options good = {
		.source = s->source, .mountpoint = "X:", .root = "/workspace"
	};
	struct mf_mount_winfsp_options o;
	(void)state;

	o = good, o.source = "C:\\no such folder";
	expect_mount(s, &o, MF_E_NOENT, "no such folder");
	o = good, o.source = s->policy;
	expect_mount(s, &o, MF_E_INVAL, "no directory");
	o = good, o.mountpoint = "C:";
	expect_mount(s, &o, MF_E_IO, "in use");
	o = good, o.mountpoint = s->source;
	expect_mount(s, &o, MF_E_IO, "must not be");
	o = good, o.root = "workspace";
	expect_mount(s, &o, MF_E_INVAL, "/workspace");
	o = good, o.volume = "a,uid=0";
	expect_mount(s, &o, MF_E_INVAL, "name of a volume");
	o = good, o.volume = "";
	expect_mount(s, &o, MF_E_INVAL, "name of a volume");
	assert_true(scene_install(NULL));
	o = good;
	expect_mount(s, &o, MF_E_NOENT, "install WinFsp");
	scene_end(s);
}

/* Stopped before it is served, and served after that: it returns at once. */
static void test_stop_before_serve(void **state)
{
	struct scene *s = scene_new(policy);
	struct mf_mount_winfsp_options o = {
		.source = s->source, .mountpoint = "X:", .root = "/workspace", .policy = s->pfs
	};
	struct mf_err err = { 0 };
	(void)state;

	if (mf_mount_winfsp_new(&o, &s->mount, &err))
		fail_msg("%s", err.msg);
	assert_true(scene_reach(&s->d));
	assert_non_null(strstr(s->d.options(), "volname=moonfence"));
	mf_mount_winfsp_stop(s->mount);
	assert_int_equal(mf_mount_winfsp_serve(s->mount, &err), 0);
	mf_mount_winfsp_stop(s->mount);
	scene_end(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_installed),
		cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_planted),
		cmocka_unit_test(test_not_a_dll),
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_mounts_refused),
		cmocka_unit_test(test_stop_before_serve),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("winfsp_load", tests, NULL, NULL);
}
