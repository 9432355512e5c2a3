/* SPDX-License-Identifier: Apache-2.0 */
/* session_place_win32.c - see session_place.h */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"
#include "daemon/session_place.h"

#define PATH_ROOM 4096

int mf_session_place_socket(const char *dir, long pid, char *ret, size_t room)
{
	int n = snprintf(ret, room, "\\\\.\\pipe\\moonfence-session-%ld", pid);

	(void)dir;
	return n > 0 && (size_t)n < room ? 0 : MF_E_LIMIT;
}

bool mf_session_place_is_absolute(const char *socket)
{
	return strncmp(socket, "\\\\.\\pipe\\", 9) == 0;
}

/* "@dir\@name", for Windows; to be free()d */
static wchar_t *path_of(const char *dir, const char *name)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof(path), "%s\\%s", dir, name);

	return n > 0 && n < PATH_ROOM ? mf_win32_path(path) : NULL;
}

static bool is_gone(long pid)
{
	HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)pid);
	bool gone;

	if (!process)
		return GetLastError() ==
		       ERROR_INVALID_PARAMETER; /* there is none with this number */
	gone = WaitForSingleObject(process, 0) == WAIT_OBJECT_0;
	CloseHandle(process);
	return gone;
}

void mf_session_place_clear(const char *dir, long pid, const char *socket)
{
	char name[32];
	wchar_t *path;

	(void)socket; /* a pipe goes with its process */
	snprintf(name, sizeof(name), "%ld.pipe", pid);
	path = path_of(dir, name);
	if (path)
		(void)DeleteFileW(path);
	free(path);
}

void mf_session_place_forget(const char *dir, long pid, const char *socket)
{
	if (is_gone(pid))
		mf_session_place_clear(dir, pid, socket);
}

int mf_session_place_each(const char *dir, void (*fn)(void *ctx, long pid), void *ctx,
			  struct mf_err *err)
{
	wchar_t *pattern = path_of(dir, "*.pipe");
	WIN32_FIND_DATAW data;
	HANDLE found;
	DWORD code;
	char text[200];

	if (!pattern)
		return mf_err_set(err, MF_E_NOMEM, "the path %.200s is too long", dir);
	found = FindFirstFileW(pattern, &data);
	code = GetLastError();
	free(pattern);
	if (found == INVALID_HANDLE_VALUE)
		return code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND
			       ? 0
			       : mf_err_set(err, MF_E_IO, "cannot look into %s: %s", dir,
					    mf_win32_message(code, text, sizeof(text)));
	do {
		wchar_t *end;
		unsigned long pid = wcstoul(data.cFileName, &end, 10);

		if (!pid || pid > LONG_MAX || wcscmp(end, L".pipe") != 0)
			continue;
		if (is_gone((long)pid))
			mf_session_place_clear(dir, (long)pid, NULL);
		else
			fn(ctx, (long)pid);
	} while (FindNextFileW(found, &data));
	FindClose(found);
	return 0;
}
