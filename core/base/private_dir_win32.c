/* SPDX-License-Identifier: Apache-2.0 */
/* private_dir_win32.c - see private_dir.h: access lists of the owner, the system and the administrators */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <aclapi.h>
#include <sddl.h>

#include "core/base/private_dir.h"
#include "core/base/win32.h"

#define PATH_ROOM 4096
#define LOCK_NAME "lock"

/* Nothing is inherited from above; what is made inside has the same list. */
static const wchar_t dir_acl[] = L"D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
static const wchar_t file_acl[] = L"D:P(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)";

struct mf_private_dir {
	HANDLE lock; /* INVALID_HANDLE_VALUE: not locked */
	char path[];
};

static int fail(struct mf_err *err, const char *what, const char *path)
{
	DWORD code = GetLastError();
	char text[200];

	return mf_err_set(
		err,
		code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? MF_E_NOENT : MF_E_IO,
		"Cannot %s %s: %s.", what, path, mf_win32_message(code, text, sizeof(text)));
}

/* "@dir\@name" as UTF-16 in malloc()ed memory; @utf8: the same for messages. */
static wchar_t *join(const struct mf_private_dir *d, const char *name, char utf8[PATH_ROOM])
{
	int n = snprintf(utf8, PATH_ROOM, "%s\\%s", d->path, name);

	if (n < 0 || n >= PATH_ROOM) {
		SetLastError(ERROR_FILENAME_EXCED_RANGE);
		return NULL;
	}
	return mf_win32_path(utf8);
}

/* The user of this process, in malloc()ed memory. */
static TOKEN_USER *get_user(void)
{
	TOKEN_USER *user = NULL;
	HANDLE token;
	DWORD size = 0;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return NULL;
	GetTokenInformation(token, TokenUser, NULL, 0, &size);
	user = size ? malloc(size) : NULL;
	if (user && !GetTokenInformation(token, TokenUser, user, size, &size)) {
		free(user);
		user = NULL;
	}
	CloseHandle(token);
	return user;
}

static bool is_trusted(PSID sid, PSID user)
{
	return EqualSid(sid, user) || IsWellKnownSid(sid, WinLocalSystemSid) ||
	       IsWellKnownSid(sid, WinBuiltinAdministratorsSid);
}

/* Entries that allow somebody else anything; WinCreatorOwnerRightsSid (OW) is the owner, whom check() has looked at. */
static bool admits_others(ACL *acl, PSID user)
{
	for (WORD i = 0; i < acl->AceCount; i++) {
		ACCESS_ALLOWED_ACE *ace;

		if (!GetAce(acl, i, (void **)&ace))
			return true;
		if (ace->Header.AceType == ACCESS_DENIED_ACE_TYPE)
			continue;
		if (ace->Header.AceType != ACCESS_ALLOWED_ACE_TYPE)
			return true;
		if (ace->Mask != 0 && !is_trusted(&ace->SidStart, user) &&
		    !IsWellKnownSid(&ace->SidStart, WinCreatorOwnerRightsSid) &&
		    !IsWellKnownSid(&ace->SidStart, WinCreatorOwnerSid))
			return true;
	}
	return false;
}

static int check(HANDLE h, const char *path, struct mf_err *err)
{
	PSECURITY_DESCRIPTOR sd = NULL;
	TOKEN_USER *user = get_user();
	PSID owner = NULL;
	ACL *acl = NULL;
	int r = 0;

	if (!user || GetSecurityInfo(h, SE_FILE_OBJECT,
				     OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner,
				     NULL, &acl, NULL, &sd) != ERROR_SUCCESS)
		r = mf_err_set(err, MF_E_IO, "Cannot find out who may read %s.", path);
	else if (!owner || !is_trusted(owner, user->User.Sid))
		r = mf_err_set(err, MF_E_PERM, "%s belongs to another user.", path);
	else if (!acl || admits_others(acl, user->User.Sid))
		r = mf_err_set(err, MF_E_PERM,
			       "%s is open to others: let only its owner and administrators in.",
			       path);
	LocalFree(sd);
	free(user);
	return r;
}

/* @path without following it when it leads elsewhere; it must be (no) directory, and private. */
static int open_checked(const wchar_t *wide, const char *path, DWORD access, bool directory,
			HANDLE *ret, struct mf_err *err)
{
	HANDLE h = CreateFileW(wide, access | READ_CONTROL,
			       FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
			       OPEN_EXISTING,
			       FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	BY_HANDLE_FILE_INFORMATION info;
	int r;

	if (h == INVALID_HANDLE_VALUE)
		return fail(err, "open", path);
	if (!GetFileInformationByHandle(h, &info))
		r = fail(err, "look at", path);
	else if (info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT ||
		 directory != !!(info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY))
		r = mf_err_set(err, MF_E_PERM, "%s is a link or no %s.", path,
			       directory ? "directory" : "regular file");
	else
		r = check(h, path, err);
	if (r == 0)
		*ret = h;
	else
		CloseHandle(h);
	return r;
}

static bool make_directory(const wchar_t *wide, const wchar_t *acl)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	bool ok = !acl || ConvertStringSecurityDescriptorToSecurityDescriptorW(
				  acl, SDDL_REVISION_1, &sa.lpSecurityDescriptor, NULL);

	ok = ok &&
	     (CreateDirectoryW(wide, acl ? &sa : NULL) || GetLastError() == ERROR_ALREADY_EXISTS);
	LocalFree(sa.lpSecurityDescriptor);
	return ok;
}

static int make(const char *path, const wchar_t *wide, struct mf_err *err)
{
	wchar_t *above = _wcsdup(wide);

	/* drives, shares and what may not be looked at are there already, and say so in many ways */
	for (wchar_t *p = above; p && *p; p++) {
		if (p == above || (*p != L'\\' && *p != L'/') || p[1] == L'\0')
			continue;
		*p = L'\0';
		(void)make_directory(above, NULL);
		*p = L'\\';
	}
	free(above);
	return make_directory(wide, dir_acl) ? 0 : fail(err, "make the directory", path);
}

int mf_private_dir_open(const char *path, bool make_it, struct mf_private_dir **ret_dir,
			struct mf_err *err)
{
	size_t len = strlen(path);
	struct mf_private_dir *d;
	wchar_t *wide;
	HANDLE h;
	int r;

	while (len > 3 && (path[len - 1] == '/' || path[len - 1] == '\\'))
		len--;
	d = malloc(sizeof(*d) + len + 1);
	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	d->lock = INVALID_HANDLE_VALUE;
	memcpy(d->path, path, len);
	d->path[len] = '\0';
	wide = mf_win32_path(d->path);
	if (!wide)
		r = mf_err_set(err, MF_E_IO, "Cannot open the directory %s: %s.", path,
			       strerror(errno));
	else
		r = make_it ? make(d->path, wide, err) : 0;
	if (r == 0)
		r = open_checked(wide, d->path, FILE_READ_ATTRIBUTES, true, &h, err);
	free(wide);
	if (r < 0) {
		free(d);
		return r;
	}
	CloseHandle(h);
	*ret_dir = d;
	return 0;
}

void mf_private_dir_close(struct mf_private_dir *d)
{
	if (!d)
		return;
	if (d->lock != INVALID_HANDLE_VALUE)
		CloseHandle(d->lock);
	free(d);
}

static HANDLE create(const wchar_t *wide, DWORD disposition, DWORD share)
{
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	HANDLE h = INVALID_HANDLE_VALUE;

	if (ConvertStringSecurityDescriptorToSecurityDescriptorW(file_acl, SDDL_REVISION_1,
								 &sa.lpSecurityDescriptor, NULL))
		h = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, share, &sa, disposition,
				FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	LocalFree(sa.lpSecurityDescriptor);
	return h;
}

int mf_private_dir_lock(struct mf_private_dir *d, struct mf_err *err)
{
	OVERLAPPED at = { 0 };
	char path[PATH_ROOM];
	wchar_t *wide = join(d, LOCK_NAME, path);
	HANDLE h = wide ? create(wide, OPEN_ALWAYS, FILE_SHARE_READ | FILE_SHARE_WRITE)
			: INVALID_HANDLE_VALUE;

	free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return fail(err, "open", path);
	if (!LockFileEx(h, LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &at)) {
		int r = fail(err, "lock", path);

		CloseHandle(h);
		return r;
	}
	d->lock = h;
	return 0;
}

int mf_private_dir_read(const struct mf_private_dir *d, const char *name, void *buf, size_t size,
			size_t *ret_len, struct mf_err *err)
{
	char path[PATH_ROOM];
	wchar_t *wide = join(d, name, path);
	LARGE_INTEGER file_size;
	DWORD n = 0;
	HANDLE h;
	int r = wide ? open_checked(wide, path, GENERIC_READ, false, &h, err)
		     : fail(err, "open", path);

	free(wide);
	if (r < 0)
		return r;
	if (!GetFileSizeEx(h, &file_size))
		r = fail(err, "look at", path);
	else if ((uint64_t)file_size.QuadPart > size)
		r = mf_err_set(err, MF_E_LIMIT, "%s is longer than %zu bytes.", path, size);
	else if (!ReadFile(h, buf, (DWORD)file_size.QuadPart, &n, NULL))
		r = fail(err, "read", path);
	CloseHandle(h);
	*ret_len = n;
	return r;
}

int mf_private_dir_write(const struct mf_private_dir *d, const char *name, const void *data,
			 size_t len, struct mf_err *err)
{
	char path[PATH_ROOM];
	wchar_t *wide = join(d, name, path);
	HANDLE h = INVALID_HANDLE_VALUE;
	DWORD n = 0;
	bool ok;
	int r;

	if (wide && (DeleteFileW(wide) || GetLastError() == ERROR_FILE_NOT_FOUND))
		h = create(wide, CREATE_NEW, 0);
	ok = h != INVALID_HANDLE_VALUE && WriteFile(h, data, (DWORD)len, &n, NULL) && n == len &&
	     FlushFileBuffers(h);
	r = ok ? 0 : fail(err, "write", path);
	if (h != INVALID_HANDLE_VALUE) {
		CloseHandle(h);
		if (!ok)
			DeleteFileW(wide);
	}
	free(wide);
	return r;
}

int mf_private_dir_rename(const struct mf_private_dir *d, const char *from, const char *to,
			  struct mf_err *err)
{
	char path_from[PATH_ROOM], path_to[PATH_ROOM];
	wchar_t *a = join(d, from, path_from), *b = join(d, to, path_to);
	int r = a && b && MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)
			? 0
			: fail(err, "rename", path_from);

	free(a);
	free(b);
	return r;
}

int mf_private_dir_remove(const struct mf_private_dir *d, const char *name, struct mf_err *err)
{
	char path[PATH_ROOM];
	wchar_t *wide = join(d, name, path);
	int r = wide && (DeleteFileW(wide) || GetLastError() == ERROR_FILE_NOT_FOUND)
			? 0
			: fail(err, "remove", path);

	free(wide);
	return r;
}

const char *mf_private_dir_access(const struct mf_private_dir *d, const char *name, char *buf,
				  size_t size)
{
	char path[PATH_ROOM];
	wchar_t *wide = join(d, name, path), *text = NULL;
	PSECURITY_DESCRIPTOR sd = NULL;

	buf[0] = '\0';
	if (wide &&
	    GetNamedSecurityInfoW(wide, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, NULL,
				  NULL, &sd) == ERROR_SUCCESS &&
	    ConvertSecurityDescriptorToStringSecurityDescriptorW(
		    sd, SDDL_REVISION_1, DACL_SECURITY_INFORMATION, &text, NULL)) {
		char *utf8 = mf_win32_utf8(text);

		snprintf(buf, size, "%s", utf8 ? utf8 : "");
		free(utf8);
	}
	LocalFree(text);
	LocalFree(sd);
	free(wide);
	return buf;
}
