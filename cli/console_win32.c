/* SPDX-License-Identifier: Apache-2.0 */
/* console_win32.c - see console.h */
#include <windows.h>
#include <winsock2.h>

#include <fcntl.h>
#include <io.h>
#include <shellapi.h>
#include <stdlib.h>

#include "cli/console.h"
#include "core/base/err.h"
#include "core/base/win32.h"

/* What belongs to everybody at this console, to be put back. */
static UINT old_code_page;
static DWORD old_modes[2];
static bool has_colours[2];

static HANDLE handle_of(unsigned i)
{
	return GetStdHandle(i ? STD_ERROR_HANDLE : STD_OUTPUT_HANDLE);
}

static void restore(void)
{
	for (unsigned i = 0; i < 2; i++)
		if (has_colours[i])
			SetConsoleMode(handle_of(i), old_modes[i]);
	if (old_code_page)
		SetConsoleOutputCP(old_code_page);
}

static void start_terminal(void)
{
	bool any = false;

	for (unsigned i = 0; i < 2; i++) {
		if (!GetConsoleMode(handle_of(i), &old_modes[i]))
			continue;
		any = true;
		has_colours[i] =
			SetConsoleMode(handle_of(i), old_modes[i] | ENABLE_PROCESSED_OUTPUT |
							     ENABLE_VIRTUAL_TERMINAL_PROCESSING);
	}
	if (!any)
		return;
	old_code_page = GetConsoleOutputCP();
	if (old_code_page == CP_UTF8 || !SetConsoleOutputCP(CP_UTF8))
		old_code_page = 0;
	atexit(restore);
}

static int read_arguments(int *argc, char ***argv)
{
	int cnt = 0;
	wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &cnt);
	char **utf8 = wide ? calloc((size_t)cnt + 1, sizeof(*utf8)) : NULL;
	int r = utf8 ? 0 : MF_E_NOMEM;

	for (int i = 0; r == 0 && i < cnt; i++) {
		utf8[i] = mf_win32_utf8(wide[i]);
		if (!utf8[i])
			r = MF_E_NOMEM;
	}
	LocalFree(wide);
	if (r < 0)
		return r;
	*argc = cnt;
	*argv = utf8;
	return 0;
}

int mf_console_start(int *argc, char ***argv)
{
	WSADATA winsock;

	/* not beside the program, not in the current directory, not along PATH */
	SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
	/* a missing disk is an error to report, not a window to click away */
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX);
	_setmode(0, _O_BINARY);
	_setmode(1, _O_BINARY);
	_setmode(2, _O_BINARY);
	start_terminal();
	if (WSAStartup(MAKEWORD(2, 2), &winsock) != 0)
		return MF_E_UNSUPPORTED;
	return read_arguments(argc, argv);
}

bool mf_console_is_terminal(FILE *out)
{
	return out == stdout ? has_colours[0] : out == stderr && has_colours[1];
}
