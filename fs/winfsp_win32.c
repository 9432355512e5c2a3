/* SPDX-License-Identifier: Apache-2.0 */
/* winfsp_win32.c - see winfsp_win32.h */
#include "fs/winfsp_win32.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "core/base/win32.h"

#ifdef __aarch64__
#define DLL L"bin\\winfsp-a64.dll"
#else
#define DLL L"bin\\winfsp-x64.dll"
#endif

#define KEY	 L"Software\\WinFsp"
#define KEY_TEXT "HKEY_LOCAL_MACHINE\\Software\\WinFsp (32-bit view)"

/* Bytes of InstallDir that are looked at; a folder has 32767 characters at most. */
#define VALUE_MAX ((DWORD)(32768 * sizeof(wchar_t)))

/* ---- the environment that their layer calls back into ---- */

static int do_nothing(int arg)
{
	(void)arg;
	return 0;
}

static int no_handlers(void *se)
{
	(void)se;
	return 0;
}

/* ---- the path ---- */

static bool is_absolute(const wchar_t *dir)
{
	bool drive = ((dir[0] >= L'A' && dir[0] <= L'Z') || (dir[0] >= L'a' && dir[0] <= L'z')) &&
		     dir[1] == L':' && dir[2] == L'\\';

	return drive && !wcsstr(dir, L"\\..");
}

/* The folder as the registry has it, in malloc()ed memory, with a separator and room for the DLL's name behind it. */
static int read_folder(wchar_t **ret, struct mf_err *err)
{
	DWORD type = 0, bytes = 0;
	wchar_t *dir = NULL;
	char reason[256];
	HKEY key;
	LONG r;
	size_t n;

	r = RegOpenKeyExW(HKEY_LOCAL_MACHINE, KEY, 0, KEY_QUERY_VALUE | KEY_WOW64_32KEY, &key);
	if (r == ERROR_FILE_NOT_FOUND || r == ERROR_PATH_NOT_FOUND)
		return mf_err_set(err, MF_E_NOENT, "WinFsp is not installed: %s",
				  MF_WINFSP_INSTALL);
	if (r)
		return mf_err_set(err, MF_E_IO, "cannot read %s: %s", KEY_TEXT,
				  mf_win32_message((DWORD)r, reason, sizeof(reason)));
	r = RegQueryValueExW(key, L"InstallDir", NULL, &type, NULL, &bytes);
	if (!r && type == REG_SZ && bytes && bytes <= VALUE_MAX) {
		/* One character more than there is: the value need not have a NUL. */
		dir = calloc(1, bytes + sizeof(wchar_t) * 2 + sizeof(DLL));
		r = dir ? RegQueryValueExW(key, L"InstallDir", NULL, &type, (BYTE *)dir, &bytes)
			: ERROR_OUTOFMEMORY;
	}
	RegCloseKey(key);
	if (r == ERROR_OUTOFMEMORY)
		return mf_err_set(err, MF_E_NOMEM, "cannot load WinFsp: out of memory");
	if (r || !dir || type != REG_SZ) {
		free(dir);
		return mf_err_set(
			err, MF_E_NOENT,
			"%s has no usable value InstallDir: repair WinFsp's installation, or %s",
			KEY_TEXT, MF_WINFSP_INSTALL);
	}
	dir[bytes / sizeof(wchar_t)] = 0;
	n = wcslen(dir);
	if (!is_absolute(dir)) {
		char *text = mf_win32_utf8(dir);

		mf_err_set(
			err, MF_E_BAD,
			"InstallDir of %s is \"%s\", which is no absolute path on a drive: repair "
			"WinFsp's installation",
			KEY_TEXT, text ? text : "?");
		free(text);
		free(dir);
		return MF_E_BAD;
	}
	if (dir[n - 1] != L'\\')
		wcscat(dir, L"\\");
	*ret = dir;
	return 0;
}

/* ---- loading ---- */

static int load_failed(const wchar_t *path, DWORD code, struct mf_err *err)
{
	char *text = mf_win32_utf8(path), reason[256];
	const char *name = text ? text : "WinFsp's DLL";
	int r;

	if (code == ERROR_MOD_NOT_FOUND || code == ERROR_FILE_NOT_FOUND ||
	    code == ERROR_PATH_NOT_FOUND)
		r = mf_err_set(err, MF_E_NOENT, "there is no %s although the registry says so: %s",
			       name, MF_WINFSP_INSTALL);
	else if (code == ERROR_BAD_EXE_FORMAT)
		r = mf_err_set(err, MF_E_UNSUPPORTED,
			       "%s is not for this processor, or damaged: %s", name,
			       MF_WINFSP_INSTALL);
	else
		r = mf_err_set(err, MF_E_IO, "cannot load %s: %s", name,
			       mf_win32_message(code, reason, sizeof(reason)));
	free(text);
	return r;
}

int mf_winfsp_load(struct mf_winfsp_library *ret, struct mf_err *err)
{
	struct mf_winfsp_calls *c = &ret->calls;
	const struct mf_win32_call rows[] = {
		{ "fsp_fuse3_new", &c->make },
		{ "fsp_fuse3_mount", &c->mount },
		{ "fsp_fuse3_loop_mt", &c->loop_mt },
		{ "fsp_fuse3_exit", &c->exit },
		{ "fsp_fuse3_unmount", &c->unmount },
		{ "fsp_fuse3_destroy", &c->destroy },
		{ "fsp_fuse3_get_context", &c->get_context },
	};
	const char *missing;
	wchar_t *path = NULL;
	int r;

	_Static_assert(sizeof(*c) == sizeof(rows) / sizeof(rows[0]) * sizeof(void *),
		       "every call has a row");
	memset(ret, 0, sizeof(*ret));
	r = read_folder(&path, err);
	if (r)
		return r;
	wcscat(path, DLL);
	ret->module = mf_win32_load(path, rows, MF_ARRAY_SIZE(rows), &missing);
	if (missing)
		r = mf_err_set(err, MF_E_UNSUPPORTED,
			       "the installed WinFsp has no %s, so it is older than its "
			       "FUSE 3 layer: %s",
			       missing, MF_WINFSP_INSTALL);
	else if (!ret->module)
		r = load_failed(path, GetLastError(), err);
	free(path);
	ret->env = (struct mf_winfsp_env){ .flavour = MF_WINFSP_ENV_WINDOWS,
					   .allocate = malloc,
					   .release = free,
					   .daemonize = do_nothing,
					   .set_signal_handlers = no_handlers };
	return r;
}

void mf_winfsp_unload(struct mf_winfsp_library *lib)
{
	if (lib->module)
		FreeLibrary(lib->module);
	memset(lib, 0, sizeof(*lib));
}
