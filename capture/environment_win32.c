/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment_win32.c - the command's environment, and the file with the authority that it is to trust
 *
 * Windows has no mount namespace: what programs trust cannot be changed for one session alone. What can be said by a
 * variable is said: NODE_EXTRA_CA_CERTS adds to what Node trusts. Programs that ask Windows' own store do not trust it, and
 * connections whose server name a policy changes fail in them (docs/windows.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "capture/internal_win32.h"
#include "core/base/win32.h"

#define VARIABLES_MAX 8192
#define ADDED_KEY     "NODE_EXTRA_CA_CERTS"

static int no_memory(struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOMEM, "out of memory");
}

/* The file is new, ours alone to write while it is open, and gone with the session. */
static int write_authority(struct mf_capture *cap, struct mf_err *err)
{
	const char *pem = cap->options.extra_ca_pem;
	wchar_t dir[MAX_PATH + 1], path[MAX_PATH + 64];
	DWORD len = (DWORD)strlen(pem), n = GetTempPathW(MF_ARRAY_SIZE(dir), dir);
	HANDLE file;
	bool ok;

	if (!n || n > MAX_PATH)
		return mf_err_set(err, MF_E_IO, "there is no folder for temporary files");
	_snwprintf(path, MF_ARRAY_SIZE(path), L"%lsmoonfence-%lu-%llx.pem", dir,
		   GetCurrentProcessId(), (unsigned long long)mf_clock_wall(&mf_clock_system));
	path[MF_ARRAY_SIZE(path) - 1] = 0;
	file = CreateFileW(path, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_NEW,
			   FILE_ATTRIBUTE_TEMPORARY, NULL);
	if (file == INVALID_HANDLE_VALUE)
		return mf_err_set(err, MF_E_IO, "cannot make a file for the session's authority");
	ok = WriteFile(file, pem, len, &n, NULL) && n == len;
	CloseHandle(file);
	cap->ca_path = mf_win32_utf8(path);
	if (!cap->ca_path) {
		(void)DeleteFileW(path);
		return no_memory(err);
	}
	return ok ? 0 : mf_err_set(err, MF_E_IO, "cannot write %s", cap->ca_path);
}

void mf_capture_environment_done(struct mf_capture *cap)
{
	wchar_t *path = cap->ca_path ? mf_win32_wide(cap->ca_path) : NULL;

	if (path)
		(void)DeleteFileW(path);
	free(path);
	free(cap->ca_path);
	cap->ca_path = NULL;
}

/* Pointers and texts in one block. Return: NULL when out of memory */
static char **copy_env(const char *const *vars, size_t cnt, const char *extra)
{
	size_t bytes = (cnt + 2) * sizeof(char *) + (extra ? strlen(extra) + 1 : 0), n = 0;
	char **env, *text;

	for (size_t i = 0; i < cnt; i++)
		bytes += strlen(vars[i]) + 1;
	env = malloc(bytes);
	if (!env)
		return NULL;
	text = (char *)(env + cnt + 2);
	for (size_t i = 0; i < cnt + (extra != NULL); i++) {
		const char *from = i < cnt ? vars[i] : extra;
		size_t len = strlen(from) + 1;

		env[n++] = memcpy(text, from, len);
		text += len;
	}
	env[n] = NULL;
	return env;
}

static bool has_key(const char *const *vars, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (_strnicmp(vars[i], ADDED_KEY "=", sizeof(ADDED_KEY)) == 0)
			return true;
	return false;
}

/* Our own environment as UTF-8; each is malloc()ed. Return: how many, MF_E_NOMEM */
static int read_own(char **ret, size_t max)
{
	wchar_t *block = GetEnvironmentStringsW();
	int n = 0;

	for (const wchar_t *p = block; p && *p && (size_t)n < max; p += wcslen(p) + 1) {
		ret[n] = mf_win32_utf8(p);
		if (!ret[n]) {
			while (n)
				free(ret[--n]);
			n = MF_E_NOMEM;
			break;
		}
		n++;
	}
	if (block)
		(void)FreeEnvironmentStringsW(block);
	return n;
}

int mf_capture_environment(struct mf_capture *cap, char ***ret, struct mf_err *err)
{
	char **own = NULL, *const *vars = cap->options.envp, *added = NULL;
	size_t cnt = 0;
	int n = 0, r = 0;

	*ret = NULL;
	if (!cap->options.extra_ca_pem && !vars)
		return 0;
	if (vars) {
		while (vars[cnt])
			cnt++;
	} else {
		own = malloc(VARIABLES_MAX * sizeof(*own));
		n = own ? read_own(own, VARIABLES_MAX) : MF_E_NOMEM;
		cnt = n > 0 ? (size_t)n : 0;
		vars = own;
	}
	if (n < 0)
		r = no_memory(err);
	if (r == 0 && cap->options.extra_ca_pem && !has_key((const char *const *)vars, cnt)) {
		r = write_authority(cap, err);
		if (r == 0) {
			size_t len = sizeof(ADDED_KEY) + strlen(cap->ca_path) + 1;

			added = malloc(len);
			if (added)
				snprintf(added, len, ADDED_KEY "=%s", cap->ca_path);
			else
				r = no_memory(err);
		}
	}
	if (r == 0) {
		*ret = copy_env((const char *const *)vars, cnt, added);
		if (!*ret)
			r = no_memory(err);
	}
	while (own && n > 0)
		free(own[--n]);
	free(own);
	free(added);
	return r;
}
