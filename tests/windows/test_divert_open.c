/* SPDX-License-Identifier: Apache-2.0 */
/* test_divert_open.c - beginning a capture where something is missing: each time a sentence that says what to do */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <windows.h>

#include "scene.h"
#include "windivert_double/wire.h"

/* Tries to begin; the sentence must hold @word. */
static void expect_failure(struct scene *s, int code, const char *word)
{
	struct mf_windivert *wd = (struct mf_windivert *)s;
	struct mf_err err = { 0 };

	assert_int_equal(mf_windivert_new(&s->wo, &wd, &err), code);
	assert_null(wd);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, word))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
	/* Nothing stays open. */
	assert_true(wdd_host_opened(s->host, 0));
}

static void test_refused_by_the_driver(void **state)
{
	static const struct {
		uint32_t windows;
		int code;
		const char *word;
	} rows[] = {
		{ 2, MF_E_NOENT, "WinDivert64.sys" },
		{ 5, MF_E_PERM, "administrator" },
		{ 577, MF_E_PERM, "signature" },
		{ 654, MF_E_EXIST, "another program" },
		{ 1060, MF_E_NOENT, "not installed" },
		{ 1275, MF_E_PERM, "security product" },
		{ 1753, MF_E_UNSUPPORTED, "Base Filtering Engine" },
		{ 3, MF_E_IO, "3" }, /* none of the documented: Windows' own words */
	};
	struct scene *s = *state;
	char number[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(number, sizeof(number), "error %u)", rows[i].windows);
		wdd_host_fail(s->host, WDD_CALL_OPEN, rows[i].windows, 0, 1);
		expect_failure(s, rows[i].code, rows[i].word);
		wdd_host_fail(s->host, WDD_CALL_OPEN, rows[i].windows, 0, 1);
		expect_failure(s, rows[i].code, number);
		/* By the DLL itself. */
		snprintf(number, sizeof(number), "%u", rows[i].windows);
		SetEnvironmentVariableA(WDD_ENV_OPEN_ERROR, number);
		expect_failure(s, rows[i].code, rows[i].word);
		SetEnvironmentVariableA(WDD_ENV_OPEN_ERROR, NULL);
	}
	scene_open(s); /* and when the reason is gone it works */
}

static void test_later_handles_fail(void **state)
{
	struct scene *s = *state;

	for (unsigned skip = 1; skip < 3; skip++) {
		wdd_host_fail(s->host, WDD_CALL_OPEN, 1450, skip, 1);
		expect_failure(s, MF_E_FULL, "resources");
		assert_int_equal(wdd_host_counts(s->host).opened, skip * (skip + 1) / 2);
	}
}

static void test_options_out_of_range(void **state)
{
	struct scene *s = *state;

	s->wo.priority = 30000;
	expect_failure(s, MF_E_INVAL, "priority");
	s->wo.priority = 29999;
	scene_open(s); /* p + 1 is the highest there is */
	scene_close(s);
	s->wo.priority = -29999;
	scene_open(s);
	scene_close(s);
	s->wo.queue_time_ms = 99;
	expect_failure(s, MF_E_INVAL, "queue_time_ms");
	s->wo.queue_time_ms = 0;
	s->wo.size--;
	expect_failure(s, MF_E_INVAL, "size");
}

static void test_other_versions(void **state)
{
	struct scene *s = *state;

	wdd_host_set_version(s->host, 2, 0);
	expect_failure(s, MF_E_UNSUPPORTED, "WinDivert 2.0 is loaded");
	wdd_host_set_version(s->host, 1, 4);
	expect_failure(s, MF_E_UNSUPPORTED, "WinDivert 1.4 is loaded");
	wdd_host_set_version(s->host, 3, 0);
	expect_failure(s, MF_E_UNSUPPORTED, "2.2 is needed");
	wdd_host_set_version(s->host, 2, 3);
	scene_open(s);
}

static void test_null_handle(void **state)
{
	struct scene *s = *state;

	/* WinDivertOpen returns 0, not the invalid handle, when it runs out of memory. */
	SetEnvironmentVariableA(WDD_ENV_OPEN_NULL, "1");
	expect_failure(s, MF_E_NOMEM, "out of memory");
	SetEnvironmentVariableA(WDD_ENV_OPEN_NULL, NULL);
}

static void test_driver_missing(void **state)
{
	struct scene *s = *state;
	char pipe[128];

	assert_true(GetEnvironmentVariableA(WDD_ENV_PIPE, pipe, sizeof(pipe)) > 0);
	SetEnvironmentVariableA(WDD_ENV_PIPE, NULL);
	expect_failure(s, MF_E_NOENT, "WinDivert64.sys");
	SetEnvironmentVariableA(WDD_ENV_PIPE, pipe);
}

/* A folder of our own under the temporary one; @ret ends with a separator. */
static void make_folder(char *ret, size_t size)
{
	char temp[MAX_PATH];

	assert_true(GetTempPathA(sizeof(temp), temp) > 0);
	snprintf(ret, size, "%sdivert-%lu\\", temp, GetCurrentProcessId());
	CreateDirectoryA(ret, NULL);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	fwrite(text, 1, strlen(text), f);
	fclose(f);
}

static void test_dll_missing_or_not_one(void **state)
{
	struct scene *s = *state;
	char folder[MAX_PATH], file[MAX_PATH + 16];

	s->wo.dir = "folder\\relative";
	expect_failure(s, MF_E_INVAL, "absolute");
	s->wo.dir = "";
	expect_failure(s, MF_E_INVAL, "absolute");
	make_folder(folder, sizeof(folder));
	s->wo.dir = folder;
	/* There is a WinDivert.dll beside the program, in the current folder and on the path: none of them counts (W1). */
	expect_failure(s, MF_E_NOENT, "install WinDivert 2.2");
	expect_failure(s, MF_E_NOENT, folder);
	snprintf(file, sizeof(file), "%sWinDivert.dll", folder);
	write_file(file, "this is no DLL");
	expect_failure(s, MF_E_UNSUPPORTED, "64-bit");
	/* A DLL, but another one. */
	assert_true(CopyFileA("C:\\windows\\system32\\version.dll", file, FALSE));
	expect_failure(s, MF_E_UNSUPPORTED, "WinDivertOpen");
	DeleteFileA(file);
	RemoveDirectoryA(folder);
}

static void test_folder_is_given(void **state)
{
	struct scene *s = *state;
	char folder[MAX_PATH], file[MAX_PATH + 16], own[MAX_PATH], *end;

	make_folder(folder, sizeof(folder));
	snprintf(file, sizeof(file), "%sWinDivert.dll", folder);
	assert_true(GetModuleFileNameA(NULL, own, sizeof(own)) > 0);
	end = strrchr(own, '\\');
	assert_non_null(end);
	strcpy(end, "\\WinDivert.dll");
	assert_true(CopyFileA(own, file, FALSE));
	folder[strlen(folder) - 1] = 0;
	for (char *p = folder; *p; p++)
		*p = *p == '\\' ? '/' : *p; /* either separator will do */
	s->wo.dir = folder;
	scene_open(s);
	scene_close(s);
	DeleteFileA(file);
	RemoveDirectoryA(folder);
}

/* ---- a sudden end ---- */

/* The child: captures, fetches nothing, and waits to be ended. */
static int capture_and_wait(void)
{
	struct mf_windivert_options o = { .size = sizeof(o), .capture = { .tcp_port = SCENE_TCP } };
	struct mf_windivert *wd;
	struct mf_err err = { 0 };

	if (mf_windivert_new(&o, &wd, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	Sleep(INFINITE);
	return 0;
}

static bool is_full(const struct wdd_model *m, void *ctx)
{
	(void)ctx;
	return wdd_model_queued(m, WDD_NETWORK) >= 1000;
}

static void test_death_of_the_process(void **state)
{
	struct scene *s = *state;
	struct wdd_end client = wdd_end_of("10.0.0.5", 40000),
		       server = wdd_end_of("192.0.2.1", 443);
	PROCESS_INFORMATION child;
	STARTUPINFOA si = { .cb = sizeof(si) };
	char own[MAX_PATH], line[MAX_PATH + 32];
	struct wdd_counts c;
	struct scene_out out;
	bool opened, full, lives;
	DWORD code = 0;

	assert_true(GetModuleFileNameA(NULL, own, sizeof(own)) > 0);
	snprintf(line, sizeof(line), "\"%s\" --capture", own);
	if (!CreateProcessA(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &si, &child))
		fail_msg("the child was not started: %lu", GetLastError());
	opened = wdd_host_opened(s->host, 3);
	for (uint32_t i = 0; i < 3000; i++)
		scene_tcp(s, true, client, server, WDD_ACK, i, 1, NULL);
	full = wdd_host_wait(s->host, is_full, NULL);
	/* Whatever was seen so far: the child must not stay. */
	lives = WaitForSingleObject(child.hProcess, 0) == WAIT_TIMEOUT;
	TerminateProcess(child.hProcess, 9);
	WaitForSingleObject(child.hProcess, INFINITE);
	GetExitCodeProcess(child.hProcess, &code);
	CloseHandle(child.hProcess);
	CloseHandle(child.hThread);
	c = wdd_host_counts(s->host);
	if (!opened || !full || !lives)
		fail_msg("handles open: %d, queue full: %d, the child lived: %d (status %lu); "
			 "opened %u, closed %u, read %u",
			 opened, full, lives, code, (unsigned)c.opened, (unsigned)c.closed,
			 (unsigned)c.seen);
	/* Nothing stays captured: what was queued goes on its way, and so does what comes. */
	assert_true(wdd_host_opened(s->host, 0));
	c = wdd_host_counts(s->host);
	assert_true(c.reinjected >= 1000);
	assert_int_equal(c.reinjected + c.seen, 3000); /* only what it had read died with it */
	for (uint64_t i = 0; i < c.reinjected; i++) {
		scene_next(s, WDD_TO_NETWORK, &out);
		scene_done(&out);
	}
	scene_syn(s, client, server);
	scene_expect(s, WDD_TO_NETWORK, client, server);
}

#define OPEN(name) cmocka_unit_test_setup_teardown(name, scene_begin, scene_end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		OPEN(test_refused_by_the_driver),  OPEN(test_later_handles_fail),
		OPEN(test_options_out_of_range),   OPEN(test_null_handle),
		OPEN(test_other_versions),	   OPEN(test_driver_missing),
		OPEN(test_dll_missing_or_not_one), OPEN(test_folder_is_given),
		OPEN(test_death_of_the_process),
	};

	if (argc == 2 && strcmp(argv[1], "--capture") == 0)
		return capture_and_wait();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
