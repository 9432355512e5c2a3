/* SPDX-License-Identifier: Apache-2.0 */
/* winfsp_scene.c - see winfsp_scene.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "core/base/win32.h"
#include "tests/os/os.h"
#include "winfsp_scene.h"

#define KEY L"Software\\WinFsp"

bool scene_install(const char *folder)
{
	wchar_t *wide;
	HKEY key;
	LONG r;

	(void)RegDeleteKeyExW(HKEY_LOCAL_MACHINE, KEY, KEY_WOW64_32KEY, 0);
	if (!folder)
		return true;
	if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, KEY, 0, NULL, 0, KEY_SET_VALUE | KEY_WOW64_32KEY,
			    NULL, &key, NULL))
		return false;
	wide = mf_win32_wide(folder);
	for (wchar_t *p = wide; *p; p++)
		if (*p == L'/')
			*p = L'\\';
	/* Without its NUL, as it may be. */
	r = RegSetValueExW(key, L"InstallDir", 0, REG_SZ, (const BYTE *)wide,
			   (DWORD)(wcslen(wide) * sizeof(*wide)));
	RegCloseKey(key);
	free(wide);
	return r == 0;
}

bool scene_reach(struct wfd_calls *ret)
{
	const struct {
		const char *name;
		void *call;
	} rows[] = {
		{ "wfd_ready", &ret->ready },
		{ "wfd_create", &ret->create },
		{ "wfd_close", &ret->close },
		{ "wfd_read", &ret->read },
		{ "wfd_write", &ret->write },
		{ "wfd_set_size", &ret->set_size },
		{ "wfd_info", &ret->info },
		{ "wfd_set_mode", &ret->set_mode },
		{ "wfd_set_time", &ret->set_time },
		{ "wfd_flush", &ret->flush },
		{ "wfd_set_delete", &ret->set_delete },
		{ "wfd_rename", &ret->rename },
		{ "wfd_list", &ret->list },
		{ "wfd_volume", &ret->volume },
		{ "wfd_violation", &ret->violation },
		{ "wfd_lost_errors", &ret->lost_errors },
		{ "wfd_reset", &ret->reset },
		{ "wfd_options", &ret->options },
		{ "wfd_offer", &ret->offer },
		{ "wfd_interrupt", &ret->interrupt },
		{ "wfd_room", &ret->room },
	};
	HMODULE module = GetModuleHandleA("winfsp-x64.dll");

	_Static_assert(sizeof(*ret) == sizeof(rows) / sizeof(rows[0]) * sizeof(void *), "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		FARPROC fn = module ? GetProcAddress(module, rows[i].name) : NULL;

		if (!fn)
			return false;
		memcpy(rows[i].call, &fn, sizeof(fn));
	}
	return true;
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	wchar_t *wide = mf_win32_path(path);
	FILE *f = _wfopen(wide, L"wb");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	free(wide);
}

void scene_write(struct scene *s, const char *name, const char *text)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", s->source, name);
	write_file(path, text);
}

const char *scene_text(struct scene *s, const char *name)
{
	static char text[4096];
	char path[1024];
	wchar_t *wide;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", s->source, name);
	wide = mf_win32_path(path);
	f = _wfopen(wide, L"rb");
	free(wide);
	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

bool scene_is_there(struct scene *s, const char *name)
{
	char path[1024];
	wchar_t *wide;
	DWORD attrs;

	snprintf(path, sizeof(path), "%s/%s", s->source, name);
	wide = mf_win32_path(path);
	attrs = GetFileAttributesW(wide);
	free(wide);
	return attrs != INVALID_FILE_ATTRIBUTES;
}

void scene_make_folder(struct scene *s, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", s->source, name);
	assert_int_equal(test_make_dir(path), 0);
}

/* ---- what programs do ---- */

uint32_t scene_put(struct scene *s, const char *path, const char *text, int pid)
{
	struct wfd_file *f;
	uint32_t r = s->d.create(path, WFD_CREATE_ALWAYS, WFD_READ | WFD_WRITE, pid, &f);

	if (r == WFD_OK) {
		r = s->d.write(f, text, strlen(text), 0);
		s->d.close(f);
	}
	return r;
}

uint32_t scene_get(struct scene *s, const char *path, int pid, char *buf, size_t room)
{
	struct wfd_file *f;
	size_t n = 0;
	uint32_t r = s->d.create(path, WFD_OPEN, WFD_READ, pid, &f);

	buf[0] = '\0';
	if (r == WFD_OK) {
		r = s->d.read(f, buf, room - 1, 0, &n);
		buf[n] = '\0';
		s->d.close(f);
	}
	return r;
}

uint32_t scene_erase(struct scene *s, const char *path, int pid)
{
	struct wfd_file *f;
	uint32_t r = s->d.create(path, WFD_OPEN, WFD_DELETE, pid, &f);

	if (r == WFD_OK) {
		r = s->d.set_delete(f);
		s->d.close(f);
	}
	return r;
}

uint32_t scene_make_dir(struct scene *s, const char *path, int pid)
{
	struct wfd_file *f;
	uint32_t r = s->d.create(path, WFD_CREATE_NEW, WFD_READ | WFD_DIRECTORY, pid, &f);

	if (r == WFD_OK)
		s->d.close(f);
	return r;
}

uint32_t scene_move(struct scene *s, const char *from, const char *to, bool replace, int pid)
{
	struct wfd_file *f;
	uint32_t r = s->d.create(from, WFD_OPEN, WFD_DELETE, pid, &f);

	if (r == WFD_OK) {
		r = s->d.rename(f, to, replace, pid);
		s->d.close(f);
	}
	return r;
}

/* ---- policies ---- */

static int find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	(void)ctx;
	if (caller->pid != AGENT && caller->pid != EDITOR)
		return MF_E_NOENT;
	*ret = (struct mf_process){ .pid = caller->pid,
				    .parent = 4,
				    .name = caller->pid == AGENT ? "agent.exe" : "editor.exe" };
	return 0;
}

void scene_policy(struct scene *s, const char *lua)
{
	const char *paths[] = { s->policy };
	struct mf_err err = { 0 };

	write_file(s->policy, lua);
	if (mf_runtime_load(s->runtime, paths, 1, &err))
		fail_msg("%s", err.msg);
}

static const struct mf_fs_judge_options judge_options = { .session_id = "scene",
							  .source = "mount",
							  .find_process = find_process };

struct scene *scene_new(const char *lua)
{
	struct mf_runtime_options options = { .size = sizeof(options),
					      .stdlib_dir = MF_SOURCE_DIR "/lua/stdlib" };
	struct mf_fs_judge_options judge = judge_options;
	struct scene *s = calloc(1, sizeof(*s));
	struct mf_err err = { 0 };

	assert_non_null(s);
	assert_int_equal(test_temp_dir(s->dir, sizeof(s->dir)), 0);
	snprintf(s->source, sizeof(s->source), "%s/source", s->dir);
	snprintf(s->trash_dir, sizeof(s->trash_dir), "%s/trash", s->dir);
	snprintf(s->policy, sizeof(s->policy), "%s/policy.lua", s->dir);
	assert_int_equal(test_make_dir(s->source), 0);
	assert_int_equal(mf_runtime_new(&options, &s->runtime, &err), 0);
	scene_policy(s, lua);
	judge.runtime = s->runtime;
	assert_int_equal(mf_fs_judge_new(&judge, &s->judge, &err), 0);
	assert_int_equal(mf_policy_fs_new(s->judge, NULL, "scene", "mount", &s->pfs, &err), 0);
	assert_true(scene_install(MF_WINFSP_FOLDER "\\"));
	return s;
}

/* ---- the mount ---- */

static void *serve(void *arg)
{
	struct scene *s = arg;
	struct mf_err err = { 0 };

	s->served = mf_mount_winfsp_serve(s->mount, &err);
	if (s->served)
		print_message("%s\n", err.msg);
	return NULL;
}

void scene_mount(struct scene *s, const char *at, bool trash)
{
	struct mf_mount_winfsp_options o = { .source = s->source,
					     .mountpoint = at,
					     .root = "/workspace",
					     .session = "scene",
					     .policy = s->pfs };
	struct mf_err err = { 0 };

	if (trash &&
	    mf_trash_open(&(struct mf_trash_options){ .dir = s->trash_dir, .source = s->source },
			  &s->trash, &err))
		fail_msg("%s", err.msg);
	o.trash = s->trash;
	if (mf_mount_winfsp_new(&o, &s->mount, &err))
		fail_msg("%s", err.msg);
	assert_true(scene_reach(&s->d));
	assert_int_equal(pthread_create(&s->server, NULL, serve, s), 0);
	s->serving = true;
	if (!s->d.ready(60000))
		fail_msg("the volume does not answer: %s",
			 s->d.violation() ? s->d.violation() : "?");
}

void scene_end(struct scene *s)
{
	char broken[512] = "";
	unsigned lost = 0;

	if (s->serving) {
		mf_mount_winfsp_stop(s->mount);
		pthread_join(s->server, NULL);
		assert_int_equal(s->served, 0);
	}
	if (s->d.violation && s->d.violation())
		snprintf(broken, sizeof(broken), "%s", s->d.violation());
	if (s->d.lost_errors)
		lost = s->d.lost_errors();
	if (!*broken && lost != s->lost)
		snprintf(broken, sizeof(broken),
			 "%u deletes failed after programs were told that they would not", lost);
	mf_mount_winfsp_free(s->mount);
	mf_trash_close(s->trash);
	mf_policy_fs_free(s->pfs);
	mf_fs_judge_free(s->judge);
	mf_runtime_free(s->runtime);
	test_remove_tree(s->dir);
	free(s);
	if (*broken)
		fail_msg("%s", broken);
}
