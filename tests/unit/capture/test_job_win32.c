/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_job_win32.c - a real tree of processes in a job: who is in it, who has ended, and that nobody is left
 *
 * The program plays all parts itself: "--part NAME" says which. Parts tell their process ids through a pipe that is their
 * standard output; one that shall stay waits for an event that nobody sets.
 */
#include "tests/unit/test.h"

#include <windows.h>

#include "capture/job_win32.h"
#include "core/base/command_line.h"
#include "core/base/process_win32.h"
#include "core/base/win32.h"

#define PATIENCE_MS 60000

static char self[2048];

/* ---- parts ----------------------------------------------------------------------------------------------------- */

static void stay(void)
{
	(void)WaitForSingleObject(CreateEventW(NULL, TRUE, FALSE, NULL), INFINITE);
}

static void tell(const char *what, unsigned long long value)
{
	char line[64];
	DWORD n = (DWORD)snprintf(line, sizeof(line), "%s %llu\n", what, value);

	(void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, n, &n, NULL);
}

/* Start this program in another part. Return: its process id, 0 */
static DWORD start_part(const char *part, DWORD flags)
{
	char line[2200];
	wchar_t *wide;
	STARTUPINFOW si = { .cb = sizeof(si) };
	PROCESS_INFORMATION pi;
	BOOL ok;

	snprintf(line, sizeof(line), "\"%s\" --part %s", self, part);
	wide = mf_win32_wide(line);
	ok = CreateProcessW(NULL, wide, NULL, NULL, TRUE, flags, NULL, NULL, &si, &pi);
	free(wide);
	if (!ok)
		return 0;
	CloseHandle(pi.hThread);
	CloseHandle(pi.hProcess);
	return pi.dwProcessId;
}

static int part_tree(void)
{
	tell("root", GetCurrentProcessId());
	if (!start_part("parent", 0))
		return 1;
	stay();
	return 0;
}

/* Ends at once, so that its child outlives it. */
static int part_parent(void)
{
	tell("parent", GetCurrentProcessId());
	return start_part("leaf", 0) ? 0 : 1;
}

static int part_leaf(void)
{
	tell("leaf", GetCurrentProcessId());
	stay();
	return 0;
}

static int part_breakaway(void)
{
	SetLastError(0);
	if (start_part("leaf", CREATE_BREAKAWAY_FROM_JOB))
		return 1;
	return GetLastError() == ERROR_ACCESS_DENIED ? 0 : 2;
}

/* Whether a handle of the one who started us is ours too. */
static int part_handle(const char *number)
{
	HANDLE h = (HANDLE)(ULONG_PTR)strtoull(number, NULL, 10);
	DWORD flags;

	return GetHandleInformation(h, &flags) ? 1 : 0;
}

static int part_echo(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		DWORD n = (DWORD)strlen(argv[i]);

		(void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), argv[i], n, &n, NULL);
		(void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "\n", 1, &n, NULL);
	}
	return 0;
}

static int part_env(void)
{
	wchar_t value[64];
	char *text;
	DWORD n = GetEnvironmentVariableW(L"MF_TEST_KEY", value, 64);

	if (!n || n >= 64 || GetEnvironmentVariableW(L"MF_TEST_NOT", value + 32, 32))
		return 1;
	text = mf_win32_utf8(value);
	n = (DWORD)strlen(text);
	(void)WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text, n, &n, NULL);
	free(text);
	return 0;
}

/* Owns a job of its own, and is killed by the test. */
static int part_owner(void)
{
	char part[] = "--part", tree[] = "tree";
	char *argv[] = { self, part, tree, NULL };
	struct mf_job *job;

	if (mf_job_new(NULL, &job, NULL) < 0 || mf_job_spawn(job, argv, NULL, NULL, NULL) < 0 ||
	    mf_job_resume(job, NULL) < 0)
		return 1;
	stay();
	return 0;
}

static int play(int argc, char **argv)
{
	const char *part = argv[2];

	if (strcmp(part, "tree") == 0)
		return part_tree();
	if (strcmp(part, "parent") == 0)
		return part_parent();
	if (strcmp(part, "leaf") == 0)
		return part_leaf();
	if (strcmp(part, "breakaway") == 0)
		return part_breakaway();
	if (strcmp(part, "handle") == 0)
		return part_handle(argv[3]);
	if (strcmp(part, "exit") == 0)
		return atoi(argv[3]);
	if (strcmp(part, "echo") == 0)
		return part_echo(argc - 3, argv + 3);
	if (strcmp(part, "env") == 0)
		return part_env();
	if (strcmp(part, "owner") == 0)
		return part_owner();
	return 99;
}

/* ---- helpers --------------------------------------------------------------------------------------------------- */

struct stage {
	struct mf_job *job;
	HANDLE woken, read_end, write_end, old_out;
};

static void wake(void *ctx)
{
	(void)SetEvent(ctx);
}

static void stage_begin(struct stage *s)
{
	struct mf_session_wake w = { wake, NULL };

	memset(s, 0, sizeof(*s));
	s->woken = CreateEventW(NULL, FALSE, FALSE, NULL);
	assert_non_null(s->woken);
	assert_true(CreatePipe(&s->read_end, &s->write_end, NULL, 0));
	s->old_out = GetStdHandle(STD_OUTPUT_HANDLE);
	w.ctx = s->woken;
	assert_int_equal(mf_job_new(&w, &s->job, NULL), 0);
}

static void stage_end(struct stage *s)
{
	mf_job_free(s->job);
	CloseHandle(s->woken);
	CloseHandle(s->read_end);
	if (s->write_end)
		CloseHandle(s->write_end);
}

static void spawn(struct stage *s, char *const *argv, char *const *envp)
{
	struct mf_err err = { 0 };

	(void)SetStdHandle(STD_OUTPUT_HANDLE, s->write_end);
	if (mf_job_spawn(s->job, argv, envp, NULL, &err) < 0)
		print_error("spawn: %s\n", err.msg);
	(void)SetStdHandle(STD_OUTPUT_HANDLE, s->old_out);
	assert_int_equal(err.code, 0);
	assert_true(mf_job_pid(s->job) > 0);
	// Only the session holds the pipe now: its end is the end of the last process that has it.
	CloseHandle(s->write_end);
	s->write_end = NULL;
}

static void spawn_part(struct stage *s, const char *part, const char *arg)
{
	char opt[] = "--part", name[32], value[64];
	char *argv[] = { self, opt, name, arg ? value : NULL, NULL };

	strcpy(name, part);
	if (arg)
		strcpy(value, arg);
	spawn(s, argv, NULL);
}

static uint32_t wait_end(struct stage *s)
{
	uint32_t code = 12345;

	while (!mf_job_ended(s->job, &code))
		assert_int_equal(WaitForSingleObject(s->woken, PATIENCE_MS), WAIT_OBJECT_0);
	return code;
}

/* One line of what the session writes. */
static void read_line(HANDLE from, char *buf, size_t room)
{
	size_t len = 0;
	DWORD n;

	while (len + 1 < room && ReadFile(from, buf + len, 1, &n, NULL) && n == 1 &&
	       buf[len] != '\n')
		len++;
	buf[len] = '\0';
}

static uint32_t read_pid(HANDLE from, const char *who)
{
	char line[64];

	read_line(from, line, sizeof(line));
	assert_memory_equal(line, who, strlen(who));
	return (uint32_t)strtoul(line + strlen(who), NULL, 10);
}

static struct mf_session_event next_event(struct stage *s)
{
	struct mf_session_events source = mf_job_events(s->job);
	struct mf_session_event ev;

	while (source.next(source.ctx, &ev) == 0)
		assert_int_equal(WaitForSingleObject(s->woken, PATIENCE_MS), WAIT_OBJECT_0);
	return ev;
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void exit_codes_come_back(void **state)
{
	static const char *const codes[] = { "0", "7", "255" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(codes); i++) {
		struct stage s;
		uint32_t code;

		stage_begin(&s);
		assert_false(mf_job_ended(s.job, &code));
		spawn_part(&s, "exit", codes[i]);
		// It waits until it may run.
		assert_int_equal(WaitForSingleObject(s.woken, 0) == WAIT_FAILED, 0);
		assert_false(mf_job_ended(s.job, &code));
		assert_true(mf_job_has(s.job, mf_job_pid(s.job)));
		assert_int_equal(mf_job_resume(s.job, NULL), 0);
		assert_int_equal(mf_job_resume(s.job, NULL), MF_E_INVAL);
		assert_int_equal(wait_end(&s), atoi(codes[i]));
		stage_end(&s);
	}
}

static void a_tree_is_followed_and_outliving_children_stay(void **state)
{
	uint32_t root, parent, leaf, pids[8], seen = 0, code;
	struct mf_process_info info;
	struct stage s;
	int n;

	(void)state;
	stage_begin(&s);
	spawn_part(&s, "tree", NULL);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	root = read_pid(s.read_end, "root");
	parent = read_pid(s.read_end, "parent");
	leaf = read_pid(s.read_end, "leaf");
	assert_int_equal(root, mf_job_pid(s.job));
	while (seen != 15) {
		struct mf_session_event ev = next_event(&s);

		assert_int_not_equal(ev.kind, MF_SESSION_LOST);
		if (ev.kind == MF_SESSION_EXITED) {
			// Whoever ends has been told of before.
			assert_int_equal(ev.pid, parent);
			assert_true(seen & 2);
			seen |= 8;
			continue;
		}
		seen |= ev.pid == root ? 1 : ev.pid == parent ? 2 : ev.pid == leaf ? 4 : 16;
		if (ev.pid == root)
			assert_true(ev.time_ns > UINT64_C(1600000000) * 1000000000);
	}
	assert_true(mf_job_has(s.job, root));
	assert_true(mf_job_has(s.job, leaf));
	assert_false(mf_job_has(s.job, parent));
	assert_false(mf_job_has(s.job, GetCurrentProcessId()));
	assert_false(mf_job_has(s.job, 0));
	n = mf_job_list(s.job, pids, 8);
	assert_int_equal(n, 2);
	assert_true((pids[0] == root && pids[1] == leaf) || (pids[0] == leaf && pids[1] == root));
	assert_int_equal(mf_job_list(s.job, pids, 1), 2);
	assert_false(mf_job_ended(s.job, &code));
	// What policies learn of it.
	assert_int_equal(mf_process_read(leaf, 0, &info), 0);
	assert_int_equal(info.pid, leaf);
	assert_non_null(info.exe);
	assert_non_null(strstr(info.name, "test_capture_job"));
	assert_null(strchr(info.name, '\\'));
	assert_non_null(info.user);
	assert_true(info.created_ns > 0);
	assert_non_null(info.args);
	assert_string_equal(info.args[1], "--part");
	assert_string_equal(info.args[2], "leaf");
	// The number of an earlier process is not the process that is meant.
	mf_process_info_done(&info);
	assert_int_equal(mf_process_read(leaf, 1, &info), MF_E_NOENT);
	mf_process_info_done(&info);
	mf_job_kill(s.job, 3);
	assert_int_equal(wait_end(&s), 3);
	stage_end(&s);
}

static void freeing_the_job_ends_everybody(void **state)
{
	struct stage s;
	HANDLE leaf;

	(void)state;
	stage_begin(&s);
	spawn_part(&s, "tree", NULL);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	(void)read_pid(s.read_end, "root");
	(void)read_pid(s.read_end, "parent");
	leaf = OpenProcess(SYNCHRONIZE, FALSE, read_pid(s.read_end, "leaf"));
	assert_non_null(leaf);
	mf_job_free(s.job);
	s.job = NULL;
	assert_int_equal(WaitForSingleObject(leaf, PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(leaf);
	stage_end(&s);
}

static void death_of_the_owner_ends_everybody(void **state)
{
	HANDLE root, leaf, owner;
	struct stage s;

	(void)state;
	stage_begin(&s);
	spawn_part(&s, "owner", NULL);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	root = OpenProcess(SYNCHRONIZE, FALSE, read_pid(s.read_end, "root"));
	(void)read_pid(s.read_end, "parent");
	leaf = OpenProcess(SYNCHRONIZE, FALSE, read_pid(s.read_end, "leaf"));
	owner = OpenProcess(PROCESS_TERMINATE, FALSE, mf_job_pid(s.job));
	assert_non_null(root);
	assert_non_null(leaf);
	assert_non_null(owner);
	assert_int_equal(WaitForSingleObject(leaf, 0), WAIT_TIMEOUT);
	// The owner alone, not our job around it: what ends its tree is that its handle goes.
	assert_true(TerminateProcess(owner, 9));
	assert_int_equal(wait_end(&s), 9);
	assert_int_equal(WaitForSingleObject(root, PATIENCE_MS), WAIT_OBJECT_0);
	assert_int_equal(WaitForSingleObject(leaf, PATIENCE_MS), WAIT_OBJECT_0);
	CloseHandle(root);
	CloseHandle(leaf);
	CloseHandle(owner);
	stage_end(&s);
}

static void nobody_breaks_away(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s);
	spawn_part(&s, "breakaway", NULL);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	assert_int_equal(wait_end(&s), 0);
	stage_end(&s);
}

static void no_other_handle_is_inherited(void **state)
{
	SECURITY_ATTRIBUTES inherit = { sizeof(inherit), NULL, TRUE };
	HANDLE mine[64];
	char number[32];
	struct stage s;

	(void)state;
	// Many, so that the number of the last one is none that the child has by chance.
	for (size_t i = 0; i < MF_ARRAY_SIZE(mine); i++)
		mine[i] = CreateEventW(&inherit, TRUE, FALSE, NULL);
	stage_begin(&s);
	snprintf(number, sizeof(number), "%llu",
		 (unsigned long long)(ULONG_PTR)mine[MF_ARRAY_SIZE(mine) - 1]);
	spawn_part(&s, "handle", number);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	assert_int_equal(wait_end(&s), 0);
	stage_end(&s);
	for (size_t i = 0; i < MF_ARRAY_SIZE(mine); i++)
		CloseHandle(mine[i]);
}

static void arguments_arrive_as_they_are(void **state)
{
	char opt[] = "--part", echo[] = "echo", a[] = "a b\\", b[] = "\"q\" \\\"", c[] = "",
	     d[] = "\xc3\xa9\xf0\x9f\x94\x91", line[64];
	char *argv[] = { self, opt, echo, a, b, c, d, NULL };
	struct stage s;

	(void)state;
	stage_begin(&s);
	spawn(&s, argv, NULL);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	for (size_t i = 3; argv[i]; i++) {
		read_line(s.read_end, line, sizeof(line));
		assert_string_equal(line, argv[i]);
	}
	assert_int_equal(wait_end(&s), 0);
	stage_end(&s);
}

static void an_environment_of_its_own(void **state)
{
	char opt[] = "--part", env[] = "env", key[] = "mf_test_key=\xc3\xa9=1", line[64];
	char root[300] = "SystemRoot=";
	char *argv[] = { self, opt, env, NULL }, *envp[] = { key, root, NULL };
	struct stage s;

	(void)state;
	assert_true(GetEnvironmentVariableA("SystemRoot", root + strlen(root), 256) > 0);
	assert_true(SetEnvironmentVariableA("MF_TEST_NOT", "here"));
	stage_begin(&s);
	spawn(&s, argv, envp);
	assert_int_equal(mf_job_resume(s.job, NULL), 0);
	read_line(s.read_end, line, sizeof(line));
	assert_string_equal(line, "\xc3\xa9=1");
	assert_int_equal(wait_end(&s), 0);
	stage_end(&s);
	assert_true(SetEnvironmentVariableA("MF_TEST_NOT", NULL));
}

static int try_spawn(const char *name, const char *arg, int *ret_code, struct mf_err *err)
{
	char *argv[] = { strdup(name), arg ? strdup(arg) : NULL, NULL };
	struct mf_job *job;
	int r;

	assert_int_equal(mf_job_new(NULL, &job, NULL), 0);
	*err = (struct mf_err){ 0 };
	r = mf_job_spawn(job, argv, NULL, ret_code, err);
	mf_job_free(job);
	free(argv[0]);
	free(argv[1]);
	return r;
}

static void commands_that_cannot_run_are_told_apart(void **state)
{
	char dir[MAX_PATH + 1], path[2 * MAX_PATH];
	struct mf_err err;
	HANDLE file;
	DWORD n;
	int code;

	(void)state;
	assert_int_equal(try_spawn("no-such-command", NULL, &code, &err), MF_E_NOENT);
	assert_int_equal(code, 127);
	assert_non_null(strstr(err.msg, "not found"));
	assert_int_equal(try_spawn("C:\\no\\such.exe", NULL, &code, &err), MF_E_NOENT);
	assert_int_equal(code, 127);
	assert_true(GetTempPathA(sizeof(dir), dir) > 0);
	snprintf(path, sizeof(path), "%smf-%lu.exe", dir, GetCurrentProcessId());
	file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	assert_true(file != INVALID_HANDLE_VALUE);
	assert_true(WriteFile(file, "no program", 10, &n, NULL));
	CloseHandle(file);
	assert_true(try_spawn(path, NULL, &code, &err) < 0);
	assert_int_equal(code, 126);
	DeleteFileA(path);
	memcpy(strrchr(path, '.'), ".bat", 4);
	file = CreateFileA(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	assert_true(file != INVALID_HANDLE_VALUE);
	CloseHandle(file);
	assert_int_equal(try_spawn(path, "&calc", &code, &err), MF_E_INVAL);
	assert_int_equal(code, 126);
	DeleteFileA(path);
	// In PATH, with an ending that is not said.
	err = (struct mf_err){ 0 };
	if (try_spawn("cmd", NULL, &code, &err) < 0)
		fail_msg("cmd: %s", err.msg);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_come_back),
		cmocka_unit_test(a_tree_is_followed_and_outliving_children_stay),
		cmocka_unit_test(freeing_the_job_ends_everybody),
		cmocka_unit_test(death_of_the_owner_ends_everybody),
		cmocka_unit_test(nobody_breaks_away),
		cmocka_unit_test(no_other_handle_is_inherited),
		cmocka_unit_test(arguments_arrive_as_they_are),
		cmocka_unit_test(an_environment_of_its_own),
		cmocka_unit_test(commands_that_cannot_run_are_told_apart),
	};
	wchar_t wide[1024];
	char *name;

	(void)argc;
	(void)argv;
	if (!GetModuleFileNameW(NULL, wide, 1024) || !(name = mf_win32_utf8(wide)))
		return 1;
	snprintf(self, sizeof(self), "%s", name);
	free(name);
	if (argc > 2 && strcmp(argv[1], "--part") == 0) {
		// Arguments as Windows has them, not as the C library's code page makes them.
		char *line = mf_win32_utf8(GetCommandLineW()), **args;
		size_t n = 0;
		int status = 98;

		args = line ? mf_command_line_split(line, &n) : NULL;
		if (args)
			status = play((int)n, args);
		free(args);
		free(line);
		return status;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
