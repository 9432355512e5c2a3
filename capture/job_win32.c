/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_win32.c - a job object with its completion port, and the command in it
 *
 * Messages come through the port from two places: the kernel, about processes of the job, and ourselves, to end the
 * thread. Windows does not promise that every message arrives, so nothing depends on them alone: that the command has
 * ended is seen on its handle, who is in the job can be asked (mf_job_has(), mf_job_list()).
 */
#include "capture/job_win32.h"

#include <errno.h>
#include <stdlib.h>
#include <windows.h>

#include "capture/program_win32.h"
#include "core/base/command_line.h"
#include "core/base/process_win32.h"
#include "core/base/utf16.h"
#include "core/base/win32.h"

#define KEY_JOB	 1
#define KEY_STOP 2

/* ERROR_ELEVATION_REQUIRED, which mingw's headers lack */
#define NEEDS_ELEVATION 740

/* Most processes that mf_job_list() can tell of: Windows has no bound, a session that reaches this one is not sane. */
#define LIST_MAX 65536

struct mf_job {
	HANDLE job, port, thread;
	wchar_t *directory; /* of the command; NULL: ours */
	HANDLE process, main_thread, wait;
	uint32_t pid;
	bool resumed;
	struct mf_session_wake wake;
	struct mf_session_queue queue;
};

static int win_err(struct mf_err *err, const char *what)
{
	char text[256];

	return mf_err_set(err, MF_E_IO, "%s: %s", what,
			  mf_win32_message(GetLastError(), text, sizeof(text)));
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static void take_message(struct mf_job *job, DWORD kind, DWORD pid)
{
	struct mf_session_event ev = { .pid = pid };

	switch (kind) {
	case JOB_OBJECT_MSG_NEW_PROCESS:
		ev.kind = MF_SESSION_CREATED;
		(void)mf_process_times(pid, &ev.time_ns, &ev.parent);
		break;
	case JOB_OBJECT_MSG_EXIT_PROCESS:
	case JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS:
		ev.kind = MF_SESSION_EXITED;
		break;
	default:
		return;
	}
	(void)mf_session_queue_put(&job->queue, &ev);
	mf_session_wake_call(&job->wake);
}

static DWORD WINAPI listen_main(void *arg)
{
	struct mf_job *job = arg;
	OVERLAPPED *about;
	ULONG_PTR key;
	DWORD kind;

	for (;;) {
		if (!GetQueuedCompletionStatus(job->port, &kind, &key, &about, INFINITE) && !about)
			break;
		if (key == KEY_STOP)
			break;
		take_message(job, kind, (DWORD)(ULONG_PTR)about);
	}
	return 0;
}

static int next_event(void *ctx, struct mf_session_event *ret)
{
	struct mf_job *job = ctx;

	return mf_session_queue_take(&job->queue, ret);
}

struct mf_session_events mf_job_events(struct mf_job *job)
{
	return (struct mf_session_events){ .name = "job", .next = next_event, .ctx = job };
}

/* ---- the job --------------------------------------------------------------------------------------------------- */

int mf_job_new(const struct mf_session_wake *wake, struct mf_job **ret, struct mf_err *err)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {
		.BasicLimitInformation = { .LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE }
	};
	JOBOBJECT_ASSOCIATE_COMPLETION_PORT to = { .CompletionKey = (void *)(ULONG_PTR)KEY_JOB };
	struct mf_job *job = calloc(1, sizeof(*job));
	int r = 0;

	if (!job)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (wake)
		job->wake = *wake;
	job->job = CreateJobObjectW(NULL, NULL);
	if (!job->job)
		r = win_err(err, "cannot make a job object");
	if (r == 0 && !SetInformationJobObject(job->job, JobObjectExtendedLimitInformation, &limits,
					       sizeof(limits)))
		r = win_err(err, "the job object does not take kill-on-close");
	if (r == 0) {
		job->port = to.CompletionPort =
			CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
		if (!job->port ||
		    !SetInformationJobObject(job->job, JobObjectAssociateCompletionPortInformation,
					     &to, sizeof(to)))
			r = win_err(err, "cannot listen to the job object");
	}
	if (r == 0) {
		job->thread = CreateThread(NULL, 65536, listen_main, job, 0, NULL);
		if (!job->thread)
			r = win_err(err, "cannot start a thread");
	}
	if (r < 0) {
		mf_job_free(job);
		return r;
	}
	*ret = job;
	return 0;
}

/* @unknown: what is said of a process that Windows lets nobody look at */
static bool look(const struct mf_job *job, uint32_t pid, bool unknown)
{
	// The lesser right is enough on Windows, and all that protected processes give; wine wants the greater.
	HANDLE process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_INFORMATION, FALSE, pid);
	BOOL in = FALSE;

	if (!process)
		process = OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid);
	if (!process)
		return unknown;
	// A process that is held open by somebody has a number, but runs no longer.
	if (WaitForSingleObject(process, 0) == WAIT_OBJECT_0 ||
	    !IsProcessInJob(process, job->job, &in))
		in = FALSE;
	CloseHandle(process);
	return in;
}

bool mf_job_has(const struct mf_job *job, uint32_t pid)
{
	return look(job, pid, false);
}

bool mf_job_may_have(const struct mf_job *job, uint32_t pid)
{
	return look(job, pid, true);
}

int mf_job_list(const struct mf_job *job, uint32_t *ret_pids, size_t max)
{
	JOBOBJECT_BASIC_PROCESS_ID_LIST *list = NULL;
	size_t room = 64;
	int cnt = MF_E_IO;

	for (; room <= LIST_MAX; room *= 4) {
		DWORD size = (DWORD)(sizeof(*list) + room * sizeof(list->ProcessIdList[0]));
		void *more = realloc(list, size);

		if (!more) {
			free(list);
			return MF_E_NOMEM;
		}
		list = more;
		if (QueryInformationJobObject(job->job, JobObjectBasicProcessIdList, list, size,
					      NULL) &&
		    list->NumberOfProcessIdsInList >= list->NumberOfAssignedProcesses) {
			cnt = (int)list->NumberOfProcessIdsInList;
			break;
		}
	}
	for (int i = 0; i < cnt && (size_t)i < max; i++)
		ret_pids[i] = (uint32_t)list->ProcessIdList[i];
	free(list);
	return cnt;
}

void mf_job_kill(struct mf_job *job, uint32_t exit_code)
{
	(void)TerminateJobObject(job->job, exit_code);
}

void mf_job_free(struct mf_job *job)
{
	if (!job)
		return;
	if (job->job)
		(void)TerminateJobObject(job->job, 1);
	if (job->wait)
		(void)UnregisterWaitEx(job->wait, INVALID_HANDLE_VALUE);
	if (job->thread) {
		(void)PostQueuedCompletionStatus(job->port, 0, KEY_STOP, NULL);
		(void)WaitForSingleObject(job->thread, INFINITE);
		CloseHandle(job->thread);
	}
	if (job->main_thread)
		CloseHandle(job->main_thread);
	if (job->process)
		CloseHandle(job->process);
	if (job->job)
		CloseHandle(job->job);
	if (job->port)
		CloseHandle(job->port);
	free(job->directory);
	free(job);
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

/* What a process is made with. */
struct recipe {
	wchar_t *program, *line;
	uint16_t *environment;
	LPPROC_THREAD_ATTRIBUTE_LIST attributes;
	HANDLE std[3];	   /* ours to close; NULL where there is none */
	HANDLE inherit[3]; /* the same, each once */
	unsigned inherit_cnt;
};

static void recipe_done(struct recipe *r)
{
	if (r->attributes)
		DeleteProcThreadAttributeList(r->attributes);
	free(r->attributes);
	for (unsigned i = 0; i < 3; i++)
		if (r->std[i])
			CloseHandle(r->std[i]);
	free(r->program);
	free(r->line);
	free(r->environment);
}

static int make_line(struct recipe *r, char *const *argv, struct mf_err *err)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4 * MF_COMMAND_LINE_UNITS_MAX);
	char *program = mf_win32_utf8(r->program);
	int rc = program ? 0 : mf_err_set(err, MF_E_NOMEM, "out of memory");

	if (rc == 0 && mf_command_line_is_batch(program))
		rc = mf_command_line_check_batch(argv, err);
	free(program);
	if (rc == 0)
		rc = mf_command_line_join(argv, &b, err);
	if (rc == 0) {
		r->line = mf_win32_wide(b.str);
		if (!r->line)
			rc = mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	mf_strbuf_done(&b);
	return rc;
}

/*
 * Copies of our standard handles that can be inherited, so that our own need not be. The list of what is inherited makes
 * sure that nothing else is: not the job, no socket, no handle that another thread of ours makes inheritable meanwhile.
 */
static int make_handles(struct recipe *r, struct mf_err *err)
{
	static const DWORD names[] = { STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE };
	HANDLE me = GetCurrentProcess();
	SIZE_T size = 0;

	for (unsigned i = 0; i < 3; i++) {
		HANDLE h = GetStdHandle(names[i]);

		if (!h || h == INVALID_HANDLE_VALUE)
			continue;
		if (!DuplicateHandle(me, h, me, &r->std[i], 0, TRUE, DUPLICATE_SAME_ACCESS))
			r->std[i] = NULL;
		if (r->std[i])
			r->inherit[r->inherit_cnt++] = r->std[i];
	}
	(void)InitializeProcThreadAttributeList(NULL, 1, 0, &size);
	r->attributes = calloc(1, size ? size : 1);
	if (!r->attributes)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (!InitializeProcThreadAttributeList(r->attributes, 1, 0, &size)) {
		free(r->attributes);
		r->attributes = NULL;
		return win_err(err, "cannot make a list of handles");
	}
	if (r->inherit_cnt &&
	    !UpdateProcThreadAttribute(r->attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
				       r->inherit, r->inherit_cnt * sizeof(r->inherit[0]), NULL,
				       NULL))
		return win_err(err, "cannot make a list of handles");
	return 0;
}

static int spawn_failed(const char *name, DWORD code, int *ret_exit_code, struct mf_err *err)
{
	char text[256];
	bool gone = code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND;
	const char *why = code == ERROR_BAD_EXE_FORMAT ? "is no program that this Windows can run"
			  : code == NEEDS_ELEVATION
				  ? "wants to run elevated: start moonfence elevated"
				  : NULL;

	*ret_exit_code = gone ? 127 : 126;
	if (why)
		return mf_err_set(err, MF_E_IO, "%s %s", name, why);
	return mf_err_set(err,
			  gone				? MF_E_NOENT
			  : code == ERROR_ACCESS_DENIED ? MF_E_PERM
							: MF_E_IO,
			  "%s: cannot execute: %s", name,
			  mf_win32_message(code, text, sizeof(text)));
}

static void CALLBACK on_process_end(void *ctx, BOOLEAN timed_out)
{
	struct mf_job *job = ctx;

	(void)timed_out;
	mf_session_wake_call(&job->wake);
}

static int create(struct mf_job *job, struct recipe *r, const char *name, int *ret_exit_code,
		  struct mf_err *err)
{
	STARTUPINFOEXW si = { .StartupInfo = { .cb = sizeof(si),
					       .dwFlags = STARTF_USESTDHANDLES } };
	DWORD flags = CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT;
	PROCESS_INFORMATION pi;

	si.StartupInfo.hStdInput = r->std[0];
	si.StartupInfo.hStdOutput = r->std[1];
	si.StartupInfo.hStdError = r->std[2];
	si.lpAttributeList = r->attributes;
	if (!CreateProcessW(r->program, r->line, NULL, NULL, r->inherit_cnt > 0, flags,
			    r->environment, job->directory, &si.StartupInfo, &pi))
		return spawn_failed(name, GetLastError(), ret_exit_code, err);
	job->process = pi.hProcess;
	job->main_thread = pi.hThread;
	job->pid = pi.dwProcessId;
	if (!AssignProcessToJobObject(job->job, pi.hProcess)) {
		int rc = win_err(err, "cannot put the command into the session's job");

		(void)TerminateProcess(pi.hProcess, 126);
		return rc;
	}
	if (!RegisterWaitForSingleObject(&job->wait, pi.hProcess, on_process_end, job, INFINITE,
					 WT_EXECUTEONLYONCE))
		return win_err(err, "cannot wait for the command");
	return 0;
}

int mf_job_set_directory(struct mf_job *job, const char *directory, struct mf_err *err)
{
	free(job->directory);
	job->directory = directory ? mf_win32_wide(directory) : NULL;
	if (directory && !job->directory)
		return mf_err_set(err, errno == EILSEQ ? MF_E_SYNTAX : MF_E_NOMEM,
				  "the command cannot start in %s", directory);
	return 0;
}

int mf_job_spawn(struct mf_job *job, char *const *argv, char *const *envp, int *ret_exit_code,
		 struct mf_err *err)
{
	struct recipe r = { 0 };
	int code = 126, rc;

	if (ret_exit_code)
		*ret_exit_code = code;
	if (job->process || !argv || !argv[0])
		return mf_err_set(err, MF_E_INVAL, "a job has one command");
	rc = mf_program_find(argv[0], &r.program, err);
	if (rc == MF_E_NOENT)
		code = 127;
	if (rc == 0)
		rc = make_line(&r, argv, err);
	if (rc == 0 && envp)
		rc = mf_environment_block(envp, &r.environment, NULL, err);
	if (rc == 0)
		rc = make_handles(&r, err);
	if (rc == 0)
		rc = create(job, &r, argv[0], &code, err);
	recipe_done(&r);
	if (rc < 0 && ret_exit_code)
		*ret_exit_code = code;
	return rc;
}

int mf_job_resume(struct mf_job *job, struct mf_err *err)
{
	if (!job->process || job->resumed)
		return mf_err_set(err, MF_E_INVAL, "there is no command that waits");
	if (ResumeThread(job->main_thread) == (DWORD)-1)
		return win_err(err, "the command cannot run");
	job->resumed = true;
	return 0;
}

uint32_t mf_job_pid(const struct mf_job *job)
{
	return job->pid;
}

bool mf_job_ended(const struct mf_job *job, uint32_t *ret_code)
{
	DWORD code = 0;

	if (!job->process || WaitForSingleObject(job->process, 0) != WAIT_OBJECT_0)
		return false;
	(void)GetExitCodeProcess(job->process, &code);
	*ret_code = code;
	return true;
}
