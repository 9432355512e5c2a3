/* SPDX-License-Identifier: Apache-2.0 */
/* paths_win32.c - see paths.h */
#include <windows.h>

#include <aclapi.h>
#include <shlobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/paths.h"
#include "core/base/err.h"
#include "core/base/win32.h"

static bool join(char buf[MF_PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(buf, MF_PATH_MAX, "%s\\%s", dir, name);

	if (n <= 0 || n >= MF_PATH_MAX)
		return false;
	for (char *p = buf; *p; p++)
		if (*p == '/')
			*p = '\\';
	return true;
}

static bool is_directory(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	DWORD attributes = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;

	free(wide);
	return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_DIRECTORY;
}

/* The directory of the program in @buf. */
static bool find_program(char buf[MF_PATH_MAX])
{
	static wchar_t wide[32768];
	DWORD n = GetModuleFileNameW(NULL, wide, MF_ARRAY_SIZE(wide));
	char *utf8 = n > 0 && n < MF_ARRAY_SIZE(wide) ? mf_win32_utf8(wide) : NULL;
	char *slash = utf8 ? strrchr(utf8, '\\') : NULL;
	bool fits = slash && slash - utf8 < MF_PATH_MAX;

	if (fits) {
		*slash = '\0';
		strcpy(buf, utf8);
	}
	free(utf8);
	return fits;
}

/* @name below the data directory @dir, if that is one. */
static bool try_data(const char *dir, const char *name, char buf[MF_PATH_MAX])
{
	return join(buf, dir, "stdlib") && is_directory(buf) && join(buf, dir, name);
}

const char *mf_paths_data(const char *name, char buf[MF_PATH_MAX])
{
	const wchar_t *env = _wgetenv(L"MOONFENCE_DATA");
	char *dir = env && *env ? mf_win32_utf8(env) : NULL;
	char home[MF_PATH_MAX], share[MF_PATH_MAX];
	bool found = dir && try_data(dir, name, buf);

	free(dir);
	if (!found && find_program(home))
		found = try_data(home, name, buf) ||
			(join(share, home, "..\\share\\moonfence") && try_data(share, name, buf));
	return found ? buf : NULL;
}

/* @name below a folder of Windows' own. */
static bool find_folder(const KNOWNFOLDERID *id, const char *name, char buf[MF_PATH_MAX])
{
	wchar_t *wide = NULL;
	char *utf8 = SHGetKnownFolderPath(id, 0, NULL, &wide) == S_OK ? mf_win32_utf8(wide) : NULL;
	bool fits = utf8 && join(buf, utf8, name);

	CoTaskMemFree(wide);
	free(utf8);
	return fits;
}

/* Whether administrators or the system own @path: nobody else can have put it there. */
static bool is_administrators(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	PSECURITY_DESCRIPTOR descriptor = NULL;
	PSID owner = NULL;
	bool is = wide &&
		  GetNamedSecurityInfoW(wide, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner,
					NULL, NULL, NULL, &descriptor) == ERROR_SUCCESS &&
		  owner &&
		  (IsWellKnownSid(owner, WinBuiltinAdministratorsSid) ||
		   IsWellKnownSid(owner, WinLocalSystemSid));

	LocalFree(descriptor);
	free(wide);
	return is;
}

const char *mf_paths_default_policy(char buf[MF_PATH_MAX])
{
	if (find_folder(&FOLDERID_LocalAppData, "moonfence\\policies", buf) && is_directory(buf))
		return buf;
	if (find_folder(&FOLDERID_ProgramData, "moonfence\\policies", buf) && is_directory(buf) &&
	    is_administrators(buf))
		return buf;
	return mf_paths_data("policies/default", buf);
}

const char *mf_paths_authority(char buf[MF_PATH_MAX])
{
	return find_folder(&FOLDERID_LocalAppData, "moonfence\\ca", buf) ? buf : NULL;
}

const char *mf_paths_packs(char buf[MF_PATH_MAX])
{
	return find_folder(&FOLDERID_LocalAppData, "moonfence\\packs", buf) ? buf : NULL;
}

const char *mf_paths_control(char buf[MF_PATH_MAX])
{
	snprintf(buf, MF_PATH_MAX, "\\\\.\\pipe\\moonfence");
	return buf;
}

const char *mf_paths_config(char buf[MF_PATH_MAX])
{
	return find_folder(&FOLDERID_ProgramData, "moonfence\\moonfence.yaml", buf) ? buf : NULL;
}

const char *mf_paths_program(void)
{
	return NULL;
}

const char *mf_paths_sessions(char buf[MF_PATH_MAX])
{
	const wchar_t *env = _wgetenv(L"MOONFENCE_RUN_DIR");
	char *given = env ? mf_win32_utf8(env) : NULL;
	bool absolute = given && given[0] && given[1] == ':', fits = false;

	if (absolute)
		fits = (size_t)snprintf(buf, MF_PATH_MAX, "%s\\sessions", given) < MF_PATH_MAX;
	free(given);
	if (absolute)
		return fits ? buf : NULL;
	return find_folder(&FOLDERID_LocalAppData, "moonfence\\sessions", buf) ? buf : NULL;
}

const char *mf_paths_data_places(void)
{
	return "looked for beside the program";
}

const char *mf_paths_absolute(const char *path, char *buf, size_t size)
{
	bool drive = path[0] == '/' && path[1] && path[2] == ':';
	wchar_t *wide = mf_win32_wide(drive ? path + 1 : path), full[MF_PATH_MAX];
	DWORD n = wide ? GetFullPathNameW(wide, MF_PATH_MAX, full, NULL) : 0;
	char *text = n && n < MF_PATH_MAX ? mf_win32_utf8(full) : NULL;
	bool fits = text && (size_t)snprintf(buf, size, "/%s", text) < size;

	free(wide);
	free(text);
	for (char *p = buf; fits && *p; p++)
		if (*p == '\\')
			*p = '/';
	return fits ? buf : NULL;
}
