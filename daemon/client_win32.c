/* SPDX-License-Identifier: Apache-2.0 */
/* client_win32.c - a connection to the daemon's named pipe; see client.h */
#include "daemon/client.h"

#include <stdlib.h>
#include <windows.h>

#include "core/base/win32.h"
#include "daemon/pipe_win32.h"

#define BUSY_MS 10000

struct mf_client_link {
	HANDLE pipe;
	HANDLE done;   /* an event: the one operation that is under way has ended */
	DWORD read_ms; /* INFINITE: no end */
};

static int no_daemon(const char *path, struct mf_err *err)
{
	DWORD code = GetLastError();
	char text[200];

	if (code == ERROR_FILE_NOT_FOUND)
		return mf_err_set(err, MF_E_NOENT,
				  "no daemon serves %s: moonfence daemon begins one", path);
	return mf_err_set(err, code == ERROR_ACCESS_DENIED ? MF_E_PERM : MF_E_IO,
			  "cannot connect to %s: %s", path,
			  mf_win32_message(code, text, sizeof(text)));
}

/* Between two instances of the pipe there is none for a moment, and others wait for the next one as well. */
static HANDLE open_pipe(const wchar_t *path)
{
	ULONGLONG until = GetTickCount64() + BUSY_MS;

	for (;;) {
		HANDLE h = CreateFileW(path, MF_PIPE_CLIENT_ACCESS, 0, NULL, OPEN_EXISTING,
				       FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT |
					       SECURITY_IDENTIFICATION,
				       NULL);

		if (h != INVALID_HANDLE_VALUE || GetLastError() != ERROR_PIPE_BUSY ||
		    GetTickCount64() >= until)
			return h;
		if (!WaitNamedPipeW(path, 100))
			Sleep(1);
	}
}

int mf_client_connect(const char *path, struct mf_client_link **ret, struct mf_err *err)
{
	wchar_t *wide = mf_win32_wide(path);
	struct mf_client_link *l = calloc(1, sizeof(*l));

	if (!wide || !l) {
		free(wide);
		free(l);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	l->read_ms = INFINITE;
	l->done = CreateEventW(NULL, TRUE, FALSE, NULL);
	l->pipe = open_pipe(wide);
	free(wide);
	if (l->pipe == INVALID_HANDLE_VALUE || !l->done) {
		int r = l->done ? no_daemon(path, err)
				: mf_err_set(err, MF_E_NOMEM, "no events are left");

		mf_client_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

int64_t mf_client_peer_pid(struct mf_client_link *l)
{
	ULONG pid;

	return GetNamedPipeServerProcessId(l->pipe, &pid) ? (int64_t)pid : 0;
}

void mf_client_set_timeout(struct mf_client_link *l, unsigned ms)
{
	l->read_ms = ms ? ms : INFINITE;
}

/* Wait for what was begun; Return: bytes, 0 when the other end has gone, MF_E_TIME: nothing came, and nothing was taken, MF_E_IO */
static int64_t wait_for(struct mf_client_link *l, OVERLAPPED *o, bool begun, DWORD ms)
{
	bool late = false;
	DWORD n = 0;

	if (begun || GetLastError() == ERROR_IO_PENDING) {
		late = WaitForSingleObject(l->done, ms) == WAIT_TIMEOUT;
		if (late)
			(void)CancelIoEx(l->pipe, o);
		/* What arrived in the moment of the cancellation counts. */
		if (GetOverlappedResult(l->pipe, o, &n, TRUE))
			return n;
	}
	switch (GetLastError()) {
	case ERROR_BROKEN_PIPE:
	case ERROR_PIPE_NOT_CONNECTED:
		return 0;
	case ERROR_OPERATION_ABORTED:
		return late ? MF_E_TIME : MF_E_IO;
	default:
		return MF_E_IO;
	}
}

int mf_client_write(struct mf_client_link *l, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		OVERLAPPED o = { .hEvent = l->done };
		BOOL begun = WriteFile(l->pipe, p, len > 65536 ? 65536 : (DWORD)len, NULL, &o);
		int64_t n = wait_for(l, &o, begun, INFINITE);

		if (n <= 0)
			return MF_E_IO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int64_t mf_client_read(struct mf_client_link *l, void *bytes, size_t len)
{
	OVERLAPPED o = { .hEvent = l->done };

	return wait_for(l, &o, ReadFile(l->pipe, bytes, (DWORD)len, NULL, &o), l->read_ms);
}

void mf_client_close(struct mf_client_link *l)
{
	if (l->pipe != INVALID_HANDLE_VALUE)
		CloseHandle(l->pipe);
	if (l->done)
		CloseHandle(l->done);
	free(l);
}
