/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run_files.c - moonfence.exe run --workspace, whole: the command's files through the double of WinFsp
 *
 *	test_run_files PATH-OF-MOONFENCE
 *
 * Wine has no file systems of programs: what the command would do there the double does, by a script. That the place appears
 * before the command starts, in the directory where it starts, and goes with it, is seen by the command itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_scene.h"

#include <cmocka.h>

static const char policy[] =
	"return {\n"
	"  name = \"files\",\n"
	"  connect = function(c) return deny \"no network here\" end,\n"
	"  file = function(f)\n"
	"    if f:glob \"**/secret\" and f.op ~= \"stat\" then return deny \"no\" end\n"
	"    if f.op == \"delete\" then return soft_delete() end\n"
	"    return allow()\n"
	"  end,\n"
	"}\n";

static char base[MAX_PATH];

static const char *at(const char *name)
{
	static char buf[4][MAX_PATH + 64];
	static unsigned turn;
	char *ret = buf[turn++ % 4];

	snprintf(ret, sizeof(buf[0]), "%s\\%s", base, name);
	return ret;
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "wb");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static const char *read_text(const char *name)
{
	static char text[4096];
	FILE *f = fopen(at(name), "rb");
	size_t n;

	if (!f)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

static bool is_there(const char *name)
{
	return GetFileAttributesA(at(name)) != INVALID_FILE_ATTRIBUTES;
}

static int install(void **state)
{
	wchar_t folder[] = L"" MF_WINFSP_FOLDER "\\";
	HKEY key;
	(void)state;

	for (wchar_t *p = folder; *p; p++)
		if (*p == L'/')
			*p = L'\\';
	if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, L"Software\\WinFsp", 0, NULL, 0,
			    KEY_SET_VALUE | KEY_WOW64_32KEY, NULL, &key, NULL))
		return -1;
	if (RegSetValueExW(key, L"InstallDir", 0, REG_SZ, (const BYTE *)folder, sizeof(folder)))
		return -1;
	RegCloseKey(key);
	return 0;
}

static void begin(struct run *r, const char *script)
{
	char options[3 * MAX_PATH];

	assert_true(GetTempPathA(sizeof(base), base));
	snprintf(base + strlen(base), sizeof(base) - strlen(base), "run-files-%lu",
		 GetCurrentProcessId());
	assert_true(CreateDirectoryA(base, NULL));
	assert_true(CreateDirectoryA(at("work"), NULL));
	write_text("work\\notes.txt", "precious");
	write_text("work\\secret", "k");
	write_text("script", script);
	assert_true(SetEnvironmentVariableA("MF_WINFSP_DOUBLE_SCRIPT", at("script")));
	assert_true(SetEnvironmentVariableA("MF_WINFSP_DOUBLE_OUT", at("out")));
	snprintf(options, sizeof(options),
		 "--no-watch --workspace \"%s\" --workspace-at \"%s\" --trash \"%s\" --session s7",
		 at("work"), at("seen"), at("trash"));
	/* Who starts it stands in the workspace. */
	assert_true(SetCurrentDirectoryA(at("work")));
	run_begin(r, &(struct run_how){ .policy = policy, .options = options });
	assert_true(SetCurrentDirectoryA("C:\\"));
}

/* Its answers come all at once, at its end. */
static void wait_script(void)
{
	for (unsigned ms = 0; ms < RUN_PATIENCE_MS; ms += 10) {
		const char *text = read_text("out");

		if (text && *text)
			return;
		Sleep(10);
	}
	fail_msg("the script does not end");
}

static void remove_below(const char *dir)
{
	WIN32_FIND_DATAA found;
	char path[1024];
	HANDLE h;

	snprintf(path, sizeof(path), "%s\\*", dir);
	h = FindFirstFileA(path, &found);
	if (h != INVALID_HANDLE_VALUE) {
		do {
			if (!strcmp(found.cFileName, ".") || !strcmp(found.cFileName, ".."))
				continue;
			snprintf(path, sizeof(path), "%s\\%s", dir, found.cFileName);
			if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
				remove_below(path);
			else
				(void)DeleteFileA(path);
		} while (FindNextFileA(h, &found));
		FindClose(h);
	}
	(void)RemoveDirectoryA(dir);
}

static void a_workspace_from_its_beginning_to_its_end(void **state)
{
	char rest[1024], expected[1024];
	struct run r;
	(void)state;

	begin(&r, "read 7 /notes.txt\nread 7 /secret\nwrite 7 /new.txt made\ndelete 7 /notes.txt\n"
		  "list 7 /\nstay\n");
	/* The reach of the source is told each time, and whose work the file system is. */
	assert_true(run_wait_line(&r.err, " is seen at ", rest, sizeof(rest)));
	assert_non_null(strstr(rest, "goes past the policies"));
	assert_non_null(strstr(rest, "https://github.com/winfsp/winfsp"));
	(void)run_wait_pid(&r, "client ");
	run_say(&r, "where\n");
	assert_true(run_wait_line(&r.out, "where ", rest, sizeof(rest)));
	snprintf(expected, sizeof(expected), "%s, of %s", at("seen"), at("seen"));
	if (_stricmp(rest, expected) != 0)
		fail_msg("the command is in %s, not in %s", rest, expected);
	assert_true(is_there("seen"));
	wait_script();
	run_tell_end(&r, 5);
	assert_int_equal(run_wait_exit(&r), 5);
	assert_false(is_there("seen"));
	assert_string_equal(read_text("out"),
			    "read /notes.txt 00000000 precious\nread /secret c0000022\n"
			    "write /new.txt 00000000\ndelete /notes.txt 00000000\n"
			    "list / 00000000 new.txt secret\n");
	assert_string_equal(read_text("work\\new.txt"), "made");
	assert_false(is_there("work\\notes.txt"));
	run_wait_event(&r, "\"file_soft_delete\"");
	run_wait_event(&r, "\"session_end\"");
	assert_true(run_count_events(&r, "\"s7\"") > 0);
	run_end(&r);
	remove_below(base);
}

static void killing_moonfence_loses_nothing(void **state)
{
	char rest[1024];
	struct run r;
	(void)state;

	begin(&r, "write 7 /new.txt made\nstay\n");
	assert_true(run_wait_line(&r.err, " is seen at ", rest, sizeof(rest)));
	(void)run_wait_pid(&r, "client ");
	wait_script();
	assert_true(TerminateProcess(r.process, 9));
	assert_int_equal(run_wait_exit(&r), 9);
	assert_string_equal(read_text("work\\new.txt"), "made");
	assert_string_equal(read_text("work\\notes.txt"), "precious");
	run_end(&r);
	remove_below(base);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_workspace_from_its_beginning_to_its_end),
		cmocka_unit_test(killing_moonfence_loses_nothing),
	};
	int status;

	if (run_main(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, install, NULL);
}
