/* SPDX-License-Identifier: Apache-2.0 */
/* os_win32.c - see os.h */
#include "tests/os/os.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <windows.h>

#include <aclapi.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/win32.h"

int test_temp_dir(char *ret, size_t size)
{
	wchar_t wide[MAX_PATH + 1];
	char *tmp;
	int n;

	if (!GetTempPathW(MAX_PATH, wide))
		return -1;
	tmp = mf_win32_utf8(wide); /* ends in "\" */
	if (!tmp)
		return -1;
	n = snprintf(ret, size, "%smf-test-%016llx", tmp, (unsigned long long)mf_hash_seed());
	free(tmp);
	if (n < 0 || (size_t)n >= size)
		return -1;
	for (char *p = ret; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	return test_make_dir(ret);
}

static int remove_wide(const wchar_t *path)
{
	wchar_t below[1024];
	WIN32_FIND_DATAW found;
	HANDLE h;
	int r = 0;

	if (_snwprintf(below, 1023, L"%ls\\*", path) < 0)
		return -1;
	h = FindFirstFileW(below, &found);
	do {
		if (h == INVALID_HANDLE_VALUE)
			break;
		if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0)
			continue;
		if (_snwprintf(below, 1023, L"%ls\\%ls", path, found.cFileName) < 0)
			r = -1;
		else if (!(found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY))
			r |= DeleteFileW(below) ? 0 : -1;
		else if (found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT)
			r |= RemoveDirectoryW(below) ? 0 : -1;
		else
			r |= remove_wide(below);
	} while (FindNextFileW(h, &found));
	if (h != INVALID_HANDLE_VALUE)
		FindClose(h);
	return RemoveDirectoryW(path) ? r : -1;
}

int test_remove_tree(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	int r = wide ? remove_wide(wide) : -1;

	free(wide);
	return r;
}

int test_make_dir(const char *path)
{
	wchar_t *wide = mf_win32_path(path);
	BOOL ok = wide && (CreateDirectoryW(wide, NULL) || GetLastError() == ERROR_ALREADY_EXISTS);

	free(wide);
	return ok ? 0 : -1;
}

/* How often a target that somebody reads just now is tried again, a millisecond apart */
#define RENAME_TRIES 10000

/*
 * Nothing takes the place of a file that is open, were it for the moment in which a watch reads it: whoever writes files
 * on Windows tries again, and so does this.
 */
int test_rename(const char *from, const char *to)
{
	wchar_t *a = mf_win32_path(from), *b = mf_win32_path(to);
	BOOL ok = FALSE;

	for (int i = 0; a && b && !ok && i < RENAME_TRIES; i++) {
		ok = MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING);
		if (!ok && GetLastError() != ERROR_ACCESS_DENIED &&
		    GetLastError() != ERROR_SHARING_VIOLATION)
			break;
		if (!ok)
			Sleep(1);
	}

	free(a);
	free(b);
	return ok ? 0 : -1;
}

/* Needs developer mode or the privilege; wine (8.0) says yes and makes none. */
int test_link(const char *target, const char *path)
{
	wchar_t *a = mf_win32_path(target), *b = mf_win32_path(path);
	DWORD attributes = INVALID_FILE_ATTRIBUTES, flags = 2; /* ..._ALLOW_UNPRIVILEGED_CREATE */

	if (a && b) {
		DWORD is = GetFileAttributesW(a);

		if (is != INVALID_FILE_ATTRIBUTES && is & FILE_ATTRIBUTE_DIRECTORY)
			flags |= SYMBOLIC_LINK_FLAG_DIRECTORY;
		(void)CreateSymbolicLinkW(b, a, flags);
		attributes = GetFileAttributesW(b);
	}
	free(a);
	free(b);
	return attributes != INVALID_FILE_ATTRIBUTES && attributes & FILE_ATTRIBUTE_REPARSE_POINT
		       ? 0
		       : -1;
}

int test_fifo(const char *path)
{
	(void)path;
	return -1;
}

/* Nobody outside of owner, system and administrators is given anything. */
bool test_is_private(const char *path)
{
	static const WELL_KNOWN_SID_TYPE others[] = { WinWorldSid, WinAuthenticatedUserSid,
						      WinBuiltinUsersSid, WinAnonymousSid };
	wchar_t *wide = mf_win32_path(path);
	PSECURITY_DESCRIPTOR sd = NULL;
	ACL *acl = NULL;
	bool is = wide &&
		  GetNamedSecurityInfoW(wide, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL,
					&acl, NULL, &sd) == ERROR_SUCCESS &&
		  acl; /* without a list everybody may do everything */

	for (WORD i = 0; is && i < acl->AceCount; i++) {
		ACCESS_ALLOWED_ACE *ace;

		is = GetAce(acl, i, (void **)&ace);
		for (size_t k = 0; is && k < sizeof(others) / sizeof(others[0]); k++)
			is = ace->Header.AceType != ACCESS_ALLOWED_ACE_TYPE ||
			     !IsWellKnownSid(&ace->SidStart, others[k]) || ace->Mask == 0;
	}
	LocalFree(sd);
	free(wide);
	return is;
}

int test_open_to_others(const char *path)
{
	SID_IDENTIFIER_AUTHORITY world = SECURITY_WORLD_SID_AUTHORITY;
	wchar_t *wide = mf_win32_path(path);
	PSECURITY_DESCRIPTOR sd = NULL;
	ACL *old = NULL, *acl = NULL;
	PSID everybody = NULL;
	DWORD r = ERROR_OUTOFMEMORY;

	if (wide && AllocateAndInitializeSid(&world, 1, SECURITY_WORLD_RID, 0, 0, 0, 0, 0, 0, 0,
					     &everybody))
		r = GetNamedSecurityInfoW(wide, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL,
					  NULL, &old, NULL, &sd);
	if (r == ERROR_SUCCESS) {
		EXPLICIT_ACCESS_W access = { .grfAccessPermissions = GENERIC_READ,
					     .grfAccessMode = GRANT_ACCESS };

		access.Trustee.TrusteeForm = TRUSTEE_IS_SID;
		access.Trustee.ptstrName = (wchar_t *)everybody;
		r = SetEntriesInAclW(1, &access, old, &acl);
	}
	if (r == ERROR_SUCCESS)
		r = SetNamedSecurityInfoW(wide, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL,
					  NULL, acl, NULL);
	LocalFree(acl);
	LocalFree(sd);
	if (everybody)
		FreeSid(everybody);
	free(wide);
	return r == ERROR_SUCCESS ? 0 : -1;
}

int test_give_away(const char *path)
{
	(void)path;
	return -1;
}

int test_pipe(int fds[2])
{
	return _pipe(fds, 4096, _O_BINARY | _O_NOINHERIT);
}

void test_close(int fd)
{
	_close(fd);
}

#define TICK_NS	 (16 * MF_NS_PER_MS) /* of the scheduler, by which the time of threads goes on */
#define TRUST_NS (4 * MF_NS_PER_MS)

/*
 * A thread's time is coarse here, and under wine a question to another process. In between, the clock on the wall counts,
 * and what it has counted is taken back when the thread turns out to have waited.
 */
uint64_t test_cpu_ns(void)
{
	static __thread uint64_t last_wall, last, told; /* never goes back */
	FILETIME created, ended, kernel, user;
	uint64_t wall = mf_clock_now(&mf_clock_system), cpu;

	if (last_wall && wall - last_wall < TRUST_NS) {
		cpu = last + (wall - last_wall);
		return told = cpu > told ? cpu : told;
	}
	GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user);
	cpu = (((uint64_t)kernel.dwHighDateTime << 32 | kernel.dwLowDateTime) +
	       ((uint64_t)user.dwHighDateTime << 32 | user.dwLowDateTime)) *
	      100;
	if (cpu > last)
		last = cpu;
	last_wall = mf_clock_now(&mf_clock_system);
	return told = last > told ? last : told;
}

uint64_t test_cpu_error_ns(void)
{
	return TICK_NS;
}

void test_set_env(const char *name, const char *value)
{
	_putenv_s(name, value);
	_tzset();
}
