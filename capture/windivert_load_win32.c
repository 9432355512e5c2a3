/* SPDX-License-Identifier: Apache-2.0 */
/* windivert_load_win32.c - finding WinDivert.dll in one place only, its calls, and opening handles; windivert_win32.h */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "capture/windivert_win32.h"
#include "core/base/win32.h"

#define DLL L"WinDivert.dll"

/* The folder of this program, with a separator at its end. */
static wchar_t *own_folder(void)
{
	DWORD room = 512, n;
	wchar_t *path = NULL, *more, *end;

	do {
		room *= 2;
		more = realloc(path, room * sizeof(*path));
		if (!more) {
			free(path);
			return NULL;
		}
		path = more;
		n = GetModuleFileNameW(NULL, path, room);
	} while (n == room && room < 65536);
	end = n && n < room ? wcsrchr(path, L'\\') : NULL;
	if (!end) {
		free(path);
		return NULL;
	}
	end[1] = 0;
	return path;
}

static bool is_absolute(const char *dir)
{
	bool drive = ((dir[0] >= 'A' && dir[0] <= 'Z') || (dir[0] >= 'a' && dir[0] <= 'z')) &&
		     dir[1] == ':' && (dir[2] == '\\' || dir[2] == '/');

	return drive || (dir[0] == '\\' && dir[1] == '\\');
}

/* The DLL's path in malloc()ed memory. */
static int dll_path(const char *dir, wchar_t **ret, struct mf_err *err)
{
	wchar_t *folder, *path;
	size_t n;

	if (dir && !is_absolute(dir))
		return mf_err_set(
			err, MF_E_INVAL,
			"the folder of WinDivert.dll must be an absolute path, not \"%s\"", dir);
	folder = dir ? mf_win32_path(dir) : own_folder();
	if (!folder)
		return mf_err_set(err, MF_E_NOMEM, "cannot name the folder of WinDivert.dll");
	n = wcslen(folder);
	path = malloc((n + 2) * sizeof(*path) + sizeof(DLL));
	if (path) {
		wcscpy(path, folder);
		if (n && path[n - 1] != L'\\' && path[n - 1] != L'/')
			wcscat(path, L"\\");
		wcscat(path, DLL);
	}
	free(folder);
	*ret = path;
	return path ? 0 : mf_err_set(err, MF_E_NOMEM, "cannot load WinDivert.dll: out of memory");
}

static int load_failed(const wchar_t *path, DWORD code, struct mf_err *err)
{
	char *text = mf_win32_utf8(path), reason[256];
	int r;

	if (code == ERROR_MOD_NOT_FOUND || code == ERROR_FILE_NOT_FOUND ||
	    code == ERROR_PATH_NOT_FOUND)
		r = mf_err_set(err, MF_E_NOENT,
			       "there is no %s: install WinDivert 2.2 there (WinDivert.dll and "
			       "WinDivert64.sys of the x64 release)",
			       text ? text : "WinDivert.dll");
	else if (code == ERROR_BAD_EXE_FORMAT)
		r = mf_err_set(
			err, MF_E_UNSUPPORTED,
			"%s is not a 64-bit DLL: take the one of the x64 folder of the release",
			text ? text : "WinDivert.dll");
	else
		r = mf_err_set(err, MF_E_IO, "cannot load %s: %s", text ? text : "WinDivert.dll",
			       mf_win32_message(code, reason, sizeof(reason)));
	free(text);
	return r;
}

int mf_wd_load(const char *dir, struct mf_wd_library *ret, struct mf_err *err)
{
	struct mf_wd_calls *c = &ret->calls;
	const struct mf_win32_call rows[] = {
		{ "WinDivertOpen", &c->open },		{ "WinDivertRecv", &c->recv },
		{ "WinDivertRecvEx", &c->recv_ex },	{ "WinDivertSend", &c->send },
		{ "WinDivertSendEx", &c->send_ex },	{ "WinDivertShutdown", &c->shutdown },
		{ "WinDivertClose", &c->close },	{ "WinDivertSetParam", &c->set_param },
		{ "WinDivertGetParam", &c->get_param },
	};
	const char *missing;
	wchar_t *path;
	int r;

	_Static_assert(sizeof(*c) == sizeof(rows) / sizeof(rows[0]) * sizeof(void *),
		       "every call has a row");
	memset(ret, 0, sizeof(*ret));
	r = dll_path(dir, &path, err);
	if (r)
		return r;
	ret->module = mf_win32_load(path, rows, MF_ARRAY_SIZE(rows), &missing);
	if (missing)
		r = mf_err_set(err, MF_E_UNSUPPORTED,
			       "WinDivert.dll has no %s: it is older than version 2.0; "
			       "install WinDivert 2.2",
			       missing);
	else if (!ret->module)
		r = load_failed(path, GetLastError(), err);
	free(path);
	return r;
}

void mf_wd_unload(struct mf_wd_library *lib)
{
	if (lib->module)
		FreeLibrary(lib->module);
	memset(lib, 0, sizeof(*lib));
}

int mf_wd_open(const struct mf_wd_library *lib, const char *filter, enum mf_wd_layer layer,
	       int priority, uint64_t flags, void **ret, struct mf_err *err)
{
	static const char *const layers[] = { "packets", "forwarded packets", "flows",
					      "socket events", "handles" };
	void *h;
	uint32_t code;
	const char *why;
	char reason[256];

	SetLastError(0);
	h = lib->calls.open(filter, (int32_t)layer, (int16_t)priority, flags);
	if (h && h != MF_WD_INVALID_HANDLE) {
		*ret = h;
		return 0;
	}
	code = GetLastError();
	*ret = NULL;
	why = mf_wd_explain(MF_WD_CALL_OPEN, code);
	return mf_err_set(err, mf_wd_error_code(MF_WD_CALL_OPEN, code),
			  "cannot capture %s with WinDivert: %s (Windows error %u)", layers[layer],
			  why ? why : mf_win32_message(code, reason, sizeof(reason)), code);
}
