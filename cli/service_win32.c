/* SPDX-License-Identifier: Apache-2.0 */
/* service_win32.c - see service.h */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include "cli/service.h"
#include "core/base/win32.h"

#define NAME	  L"" MF_SERVICE_NAME
#define WORDS_MAX 2048
#define STOP_MS	  30000
#define LOOK_MS	  50
#define START_MS  60000 /* that loading policies may take */

/* The manager calls without an argument of ours. */
static struct {
	int (*serve)(void *ctx);
	void *ctx;
	SERVICE_STATUS_HANDLE handle;
	SERVICE_STATUS status;
	CRITICAL_SECTION lock; /* of what follows, and of the status */
	void (*stop)(void *ctx);
	void *stop_ctx;
	BOOL stopping;
} service;

static int fail(struct mf_err *err, const char *what)
{
	DWORD code = GetLastError();
	char text[200];
	int r = code == ERROR_ACCESS_DENIED			  ? MF_E_PERM
		: code == ERROR_SERVICE_DOES_NOT_EXIST		  ? MF_E_NOENT
		: code == ERROR_SERVICE_EXISTS			  ? MF_E_EXIST
		: code == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT ? MF_E_PERM
								  : MF_E_IO;

	return mf_err_set(err, r, "%s the service " MF_SERVICE_NAME ": %s", what,
			  mf_win32_message(code, text, sizeof(text)));
}

/* --- registering ------------------------------------------------------------------------------------------------- */

static int command_line(const char *config, wchar_t words[WORDS_MAX], struct mf_err *err)
{
	wchar_t self[MAX_PATH], *path = mf_win32_wide(config);
	DWORD len = GetModuleFileNameW(NULL, self, MAX_PATH);
	int n = -1;

	if (path && len && len < MAX_PATH && !wcschr(path, L'"'))
		n = _snwprintf(words, WORDS_MAX, L"\"%ls\" daemon --service --config \"%ls\"", self,
			       path);
	free(path);
	return n > 0 && n < WORDS_MAX
		       ? 0
		       : mf_err_set(err, MF_E_INVAL, "no service can have this path: %s", config);
}

static void describe(SC_HANDLE s)
{
	wchar_t text[] = L"Judges what programs of this machine may do, by policies";
	SERVICE_DESCRIPTIONW description = { text };
	SC_ACTION again[] = { { SC_ACTION_RESTART, 1000 },
			      { SC_ACTION_RESTART, 10000 },
			      { SC_ACTION_RESTART, 60000 } };
	SERVICE_FAILURE_ACTIONSW failure = { .dwResetPeriod = 86400,
					     .cActions = 3,
					     .lpsaActions = again };

	(void)ChangeServiceConfig2W(s, SERVICE_CONFIG_DESCRIPTION, &description);
	(void)ChangeServiceConfig2W(s, SERVICE_CONFIG_FAILURE_ACTIONS, &failure);
}

int mf_service_install(const char *config, struct mf_err *err)
{
	SC_HANDLE manager, s;
	wchar_t words[WORDS_MAX];
	int r = command_line(config, words, err);

	if (r < 0)
		return r;
	manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CREATE_SERVICE);
	if (!manager)
		return fail(err, "cannot install");
	s = CreateServiceW(manager, NAME, L"Moonfence", SERVICE_ALL_ACCESS,
			   SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL,
			   words, NULL, NULL, NULL, L"NT AUTHORITY\\LocalService", NULL);
	if (s) {
		describe(s);
		CloseServiceHandle(s);
	} else {
		r = fail(err, "cannot install");
	}
	CloseServiceHandle(manager);
	return r;
}

static BOOL stop_and_wait(SC_HANDLE s)
{
	SERVICE_STATUS status;

	if (!ControlService(s, SERVICE_CONTROL_STOP, &status))
		return GetLastError() == ERROR_SERVICE_NOT_ACTIVE;
	for (int waited = 0; waited < STOP_MS; waited += LOOK_MS) {
		if (!QueryServiceStatus(s, &status))
			return FALSE;
		if (status.dwCurrentState == SERVICE_STOPPED)
			return TRUE;
		Sleep(LOOK_MS);
	}
	SetLastError(ERROR_SERVICE_REQUEST_TIMEOUT);
	return FALSE;
}

int mf_service_uninstall(struct mf_err *err)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT), s = NULL;
	int r = 0;

	if (manager)
		s = OpenServiceW(manager, NAME, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE);
	if (!s)
		r = fail(err, "cannot open");
	else if (!stop_and_wait(s))
		r = fail(err, "cannot stop");
	else if (!DeleteService(s))
		r = fail(err, "cannot remove");
	if (s)
		CloseServiceHandle(s);
	if (manager)
		CloseServiceHandle(manager);
	return r;
}

/* --- being one --------------------------------------------------------------------------------------------------- */

static void report(DWORD state, DWORD exit_code)
{
	EnterCriticalSection(&service.lock);
	service.status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
	service.status.dwCurrentState = state;
	service.status.dwControlsAccepted =
		state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0;
	service.status.dwWin32ExitCode = exit_code ? ERROR_SERVICE_SPECIFIC_ERROR : NO_ERROR;
	service.status.dwServiceSpecificExitCode = exit_code;
	service.status.dwWaitHint = state == SERVICE_START_PENDING  ? START_MS
				    : state == SERVICE_STOP_PENDING ? STOP_MS
								    : 0;
	(void)SetServiceStatus(service.handle, &service.status);
	LeaveCriticalSection(&service.lock);
}

/* Under the lock. */
static void tell_stop(void)
{
	if (service.stopping && service.stop)
		service.stop(service.stop_ctx);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *ctx)
{
	(void)type;
	(void)data;
	(void)ctx;
	if (control == SERVICE_CONTROL_INTERROGATE)
		return NO_ERROR;
	if (control != SERVICE_CONTROL_STOP && control != SERVICE_CONTROL_SHUTDOWN)
		return ERROR_CALL_NOT_IMPLEMENTED;
	report(SERVICE_STOP_PENDING, 0);
	EnterCriticalSection(&service.lock);
	service.stopping = TRUE;
	tell_stop();
	LeaveCriticalSection(&service.lock);
	return NO_ERROR;
}

static void WINAPI main_of_service(DWORD cnt, LPWSTR *words)
{
	int status;

	(void)cnt;
	(void)words;
	service.handle = RegisterServiceCtrlHandlerExW(NAME, on_control, NULL);
	if (!service.handle)
		return;
	report(SERVICE_START_PENDING, 0);
	status = service.serve(service.ctx);
	EnterCriticalSection(&service.lock);
	service.stop = NULL;
	LeaveCriticalSection(&service.lock);
	report(SERVICE_STOPPED, (DWORD)status);
}

int mf_service_run(int (*serve)(void *ctx), void *ctx, struct mf_err *err)
{
	wchar_t name[] = NAME;
	SERVICE_TABLE_ENTRYW table[] = { { name, main_of_service }, { NULL, NULL } };

	InitializeCriticalSection(&service.lock);
	service.serve = serve;
	service.ctx = ctx;
	return StartServiceCtrlDispatcherW(table) ? 0 : fail(err, "cannot be");
}

void mf_service_ready(void (*stop)(void *ctx), void *ctx)
{
	if (!service.handle)
		return;
	EnterCriticalSection(&service.lock);
	service.stop = stop;
	service.stop_ctx = ctx;
	LeaveCriticalSection(&service.lock);
	report(SERVICE_RUNNING, 0);
	EnterCriticalSection(&service.lock);
	tell_stop(); /* that came before */
	LeaveCriticalSection(&service.lock);
}
