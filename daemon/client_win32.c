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
				       SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);

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
	l->pipe = open_pipe(wide);
	free(wide);
	if (l->pipe == INVALID_HANDLE_VALUE) {
		free(l);
		return no_daemon(path, err);
	}
	*ret = l;
	return 0;
}

int64_t mf_client_peer_pid(struct mf_client_link *l)
{
	(void)l;
	return 0;
}

void mf_client_set_timeout(struct mf_client_link *l, unsigned ms)
{
	(void)l; // a pipe has none: whoever wants one is not on Windows
	(void)ms;
}

int mf_client_write(struct mf_client_link *l, const void *bytes, size_t len)
{
	const char *p = bytes;
	DWORD n;

	while (len) {
		if (!WriteFile(l->pipe, p, len > 65536 ? 65536 : (DWORD)len, &n, NULL) || !n)
			return MF_E_IO;
		p += n;
		len -= n;
	}
	return 0;
}

int64_t mf_client_read(struct mf_client_link *l, void *bytes, size_t len)
{
	DWORD n;

	if (ReadFile(l->pipe, bytes, (DWORD)len, &n, NULL))
		return n;
	return GetLastError() == ERROR_BROKEN_PIPE ? 0 : MF_E_IO;
}

void mf_client_close(struct mf_client_link *l)
{
	CloseHandle(l->pipe);
	free(l);
}
