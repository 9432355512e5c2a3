/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_win32.c - see sink.h; descriptors are the C library's, what is behind them is Windows'
 *
 * Windows cannot say whether a pipe would take a write, and to make the pipe non-blocking would change it for everybody
 * who holds it. So the write blocks, and a timer asks give_up() meanwhile and cancels the write when told so.
 */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <sddl.h>

#include "core/base/win32.h"
#include "core/observe/sink.h"

#define ASK_MS	  100
#define PIECE_MAX ((DWORD)1 << 20)

/* 0600: the owner, and who may do everything anyhow; nothing is inherited. */
static const wchar_t private_acl[] = L"D:P(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)";

int mf_sink_open(const char *path, struct mf_err *err)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	wchar_t *wide = mf_win32_path(path);
	HANDLE h = INVALID_HANDLE_VALUE;
	int fd = -1, error;

	if (!wide)
		return mf_err_at(err, errno == ENOMEM ? MF_E_NOMEM : MF_E_IO, path, 0, 0,
				 "Cannot open the file for events: %s.", strerror(errno));
	if (ConvertStringSecurityDescriptorToSecurityDescriptorW(private_acl, SDDL_REVISION_1,
								 &sa.lpSecurityDescriptor, NULL))
		/* Appending only: Windows then writes at the end, whoever else writes to the file. */
		h = CreateFileW(wide, FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
				FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, &sa,
				OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
	error = mf_win32_errno(GetLastError());
	LocalFree(sa.lpSecurityDescriptor);
	free(wide);
	if (h != INVALID_HANDLE_VALUE) {
		fd = _open_osfhandle((intptr_t)h, _O_APPEND | _O_BINARY | _O_NOINHERIT);
		error = errno;
		if (fd < 0)
			CloseHandle(h);
	}
	if (fd < 0)
		return mf_err_at(err, MF_E_IO, path, 0, 0, "Cannot open the file for events: %s.",
				 strerror(error));
	return fd;
}

void mf_sink_close(int fd)
{
	_close(fd);
}

bool mf_sink_is_file(int fd)
{
	HANDLE h = (HANDLE)_get_osfhandle(fd);

	return h != INVALID_HANDLE_VALUE && GetFileType(h) == FILE_TYPE_DISK;
}

void mf_sink_enter_thread(void)
{
	/* No signals here, and a broken pipe is an error of the write only. */
}

struct writing {
	HANDLE thread;
	bool (*give_up)(void *ctx);
	void *ctx;
	volatile LONG gave_up;
};

static void CALLBACK ask(void *arg, BOOLEAN fired)
{
	struct writing *w = arg;

	(void)fired;
	if (!w->gave_up && !w->give_up(w->ctx))
		return;
	InterlockedExchange(&w->gave_up, 1);
	/* Between two writes there is nothing to cancel: the writer looks at gave_up, or the timer comes again. */
	CancelSynchronousIo(w->thread);
}

static int fail(unsigned long code)
{
	errno = mf_win32_errno(code);
	return MF_E_IO;
}

static int write_all(HANDLE h, struct writing *w, const char *text, size_t len, size_t *ret_written)
{
	size_t done = 0;

	while (done < len) {
		DWORD n = len - done < PIECE_MAX ? (DWORD)(len - done) : PIECE_MAX, wrote = 0;

		if (!WriteFile(h, text + done, n, &wrote, NULL) &&
		    GetLastError() != ERROR_OPERATION_ABORTED)
			return fail(GetLastError());
		done += wrote;
		*ret_written = done;
		if (w && w->gave_up && done < len)
			return MF_E_TIME;
		/* A pipe that somebody has made non-blocking takes nothing while it is full. */
		if (wrote == 0) {
			if (w && w->give_up(w->ctx))
				return MF_E_TIME;
			Sleep(1);
		}
	}
	return 0;
}

int mf_sink_write(int fd, bool is_file, const char *text, size_t len, bool (*give_up)(void *ctx),
		  void *ctx, size_t *ret_written)
{
	struct writing w = { .give_up = give_up, .ctx = ctx };
	HANDLE h = (HANDLE)_get_osfhandle(fd), timer;
	int r;

	*ret_written = 0;
	if (h == INVALID_HANDLE_VALUE) {
		errno = EBADF;
		return MF_E_IO;
	}
	if (is_file)
		return write_all(h, NULL, text, len, ret_written);
	if (!DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(),
			     &w.thread, 0, FALSE, DUPLICATE_SAME_ACCESS))
		return fail(GetLastError());
	if (!CreateTimerQueueTimer(&timer, NULL, ask, &w, ASK_MS, ASK_MS, WT_EXECUTEDEFAULT)) {
		r = fail(GetLastError());
		CloseHandle(w.thread);
		return r;
	}
	r = write_all(h, &w, text, len, ret_written);
	{
		int error = errno;

		/* Waits for an ask() in progress: @w is on our stack. */
		(void)DeleteTimerQueueTimer(NULL, timer, INVALID_HANDLE_VALUE);
		CloseHandle(w.thread);
		errno = error;
	}
	return r;
}
