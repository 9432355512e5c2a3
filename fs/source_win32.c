/* SPDX-License-Identifier: Apache-2.0 */
/* source_win32.c - see source_win32.h: from a name to a handle */
#include "fs/source_win32.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>

#include "core/base/win32.h"
#include "fs/source_int_win32.h"

#ifndef OBJ_DONT_REPARSE
#define OBJ_DONT_REPARSE 0x1000 /* Windows 10 1607: no reparse point is followed on the way */
#endif
#define STATUS_REPARSE_POINT_ENCOUNTERED_ ((NTSTATUS)0xc000050b)

/* Others may do to a file what they like while it is open here: who may do what is settled above us. */
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

struct mf_wsource {
	HANDLE root;
	DWORD volume_name; /* VOLUME_NAME_* that names of this volume are asked with */
	wchar_t *final,
		*hidden; /* where root is, and what nobody gets into: no separator at the end; malloc()ed */
	size_t final_units, hidden_units;
	char *path;
};

int mf_wsource_status(long status)
{
	return status >= 0 ? 0 : -mf_wsource_errno(mf_win32_errno(RtlNtStatusToDosError(status)));
}

int mf_wsource_last_error(void)
{
	return -mf_wsource_errno(mf_win32_errno(GetLastError()));
}

/* ---- where a handle really is ---- */

/* Units without a separator at the end, or a negative errno. */
static int final_name(HANDLE h, DWORD volume_name, wchar_t *buf, size_t room)
{
	DWORD n =
		GetFinalPathNameByHandleW(h, buf, (DWORD)room, FILE_NAME_NORMALIZED | volume_name);

	if (!n)
		return mf_wsource_last_error();
	if (n >= room)
		return -ENAMETOOLONG;
	if (buf[n - 1] == L'\\')
		n--;
	return (int)n;
}

static bool is_below(const wchar_t *name, size_t units, const wchar_t *dir, size_t dir_units)
{
	return units >= dir_units && (units == dir_units || name[dir_units] == L'\\') &&
	       CompareStringOrdinal(name, (int)dir_units, dir, (int)dir_units, TRUE) == CSTR_EQUAL;
}

/* Whether @h is in the tree, and its path there. */
static int check_place(struct mf_wsource *s, HANDLE h, char *ret_path)
{
	wchar_t name[MF_WSOURCE_UNITS_MAX + 512];
	int n = final_name(h, s->volume_name, name, MF_ARRAY_SIZE(name));

	if (n < 0)
		return n;
	if (!is_below(name, (size_t)n, s->final, s->final_units))
		return -EACCES;
	if (s->hidden && is_below(name, (size_t)n, s->hidden, s->hidden_units))
		return -ENOENT;
	if (!ret_path)
		return 0;
	if ((size_t)n == s->final_units) {
		strcpy(ret_path, "/");
		return 0;
	}
	n = mf_wname_write(name + s->final_units, (size_t)n - s->final_units, ret_path,
			   MF_WSOURCE_PATH_MAX);
	return n < 0 ? n : 0;
}

/* ---- opening ---- */

static int nt_open(HANDLE dir, const wchar_t *name, unsigned units, ACCESS_MASK access,
		   ULONG disposition, ULONG options, HANDLE *ret)
{
	UNICODE_STRING text = { .Length = (USHORT)(units * sizeof(wchar_t)),
				.MaximumLength = (USHORT)(units * sizeof(wchar_t)),
				.Buffer = (wchar_t *)(uintptr_t)name };
	OBJECT_ATTRIBUTES attrs = { .Length = sizeof(attrs),
				    .RootDirectory = dir,
				    .ObjectName = &text,
				    .Attributes = OBJ_CASE_INSENSITIVE | OBJ_DONT_REPARSE };
	IO_STATUS_BLOCK io;
	NTSTATUS r;

	options |= FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT |
		   FILE_OPEN_FOR_BACKUP_INTENT;
	r = NtCreateFile(ret, access | SYNCHRONIZE, &attrs, &io, NULL, FILE_ATTRIBUTE_NORMAL,
			 SHARE_ALL, disposition, options, NULL, 0);
	if (r == STATUS_REPARSE_POINT_ENCOUNTERED_)
		return -EACCES;
	return mf_wsource_status(r);
}

static ACCESS_MASK access_of(enum mf_wsource_how how)
{
	switch (how) {
	case MF_WSOURCE_LOOK:
		return FILE_READ_ATTRIBUTES;
	case MF_WSOURCE_READ:
		return FILE_GENERIC_READ;
	case MF_WSOURCE_WRITE: /* who shortens a file has its content kept first: that is read */
	case MF_WSOURCE_BOTH:
		return FILE_GENERIC_READ | FILE_GENERIC_WRITE;
	case MF_WSOURCE_REMOVE:
		return DELETE | FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES;
	case MF_WSOURCE_SET:
		return FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES;
	}
	return FILE_READ_ATTRIBUTES;
}

int mf_wsource_open_at(struct mf_wsource *s, const char *path, enum mf_wsource_how how,
		       void **ret_handle, char *ret_path)
{
	struct mf_wname name;
	HANDLE h;
	int r;

	r = mf_wname_read(path, &name);
	if (r < 0)
		return r;
	r = nt_open(s->root, name.name, name.units, access_of(how), FILE_OPEN, 0, &h);
	if (r < 0)
		return r;
	r = check_place(s, h, ret_path);
	if (r < 0)
		CloseHandle(h);
	else
		*ret_handle = h;
	return r;
}

int mf_wsource_open_parent(struct mf_wsource *s, const char *path, void **ret_handle,
			   char *ret_path)
{
	const char *slash = strrchr(path, '/'), *leaf = slash ? slash + 1 : path;
	struct mf_wname name;
	size_t len, leaf_len = strlen(leaf);
	HANDLE h;
	int r;

	r = mf_wname_read(path, &name);
	if (r < 0)
		return r;
	if (!name.units)
		return -EEXIST;
	r = nt_open(s->root, name.name, name.leaf ? name.leaf - 1 : 0,
		    FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES | FILE_ADD_FILE |
			    FILE_ADD_SUBDIRECTORY,
		    FILE_OPEN, FILE_DIRECTORY_FILE, &h);
	if (r < 0)
		return r;
	r = check_place(s, h, ret_path);
	if (r == 0 && mf_wsource_is_link(h))
		r = -EACCES; /* opened as itself: nothing is made in there */
	if (r == 0 && ret_path) {
		len = strlen(ret_path);
		if (len == 1)
			len = 0; /* "/" */
		if (len + leaf_len + 2 > MF_WSOURCE_PATH_MAX) {
			r = -ENAMETOOLONG;
		} else {
			ret_path[len] = '/';
			memcpy(ret_path + len + 1, leaf, leaf_len + 1);
		}
	}
	if (r < 0)
		CloseHandle(h);
	else
		*ret_handle = h;
	return r;
}

int mf_wsource_create(void *parent, const char *path, bool dir, enum mf_wsource_how how,
		      void **ret_handle)
{
	struct mf_wname name;
	HANDLE h;
	int r = mf_wname_read(path, &name);

	if (r < 0)
		return r;
	if (!name.units)
		return -EEXIST;
	r = nt_open(parent, name.name + name.leaf, name.units - name.leaf, access_of(how),
		    FILE_CREATE, dir ? FILE_DIRECTORY_FILE : FILE_NON_DIRECTORY_FILE, &h);
	if (r == 0)
		*ret_handle = h;
	return r;
}

int mf_wsource_make_dirs(struct mf_wsource *s, const char *path)
{
	size_t len = strlen(path);
	char *part = malloc(len + 1);
	void *parent, *h;
	int r = 0;

	if (!part)
		return -ENOMEM;
	for (size_t i = 1; i < len && r == 0; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		r = mf_wsource_open_parent(s, part, &parent, NULL);
		if (r < 0)
			break;
		r = mf_wsource_create(parent, part, true, MF_WSOURCE_LOOK, &h);
		if (r == 0)
			CloseHandle(h);
		else if (r == -EEXIST)
			r = 0;
		CloseHandle(parent);
	}
	free(part);
	return r;
}

bool mf_wsource_is_link(void *handle)
{
	FILE_ATTRIBUTE_TAG_INFO info;

	/* Of reparse points those alone lead elsewhere whose tag says that it is a name. */
	return GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &info, sizeof(info)) &&
	       info.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT &&
	       IsReparseTagNameSurrogate(info.ReparseTag);
}

void mf_wsource_close_handle(void *handle)
{
	if (handle)
		CloseHandle(handle);
}

/* ---- the root ---- */

/* Opens a folder by its name and asks where it is, in malloc()ed memory. */
static int open_folder(const char *dir, DWORD *volume_name, HANDLE *ret, wchar_t **ret_final,
		       size_t *ret_units, struct mf_err *err)
{
	static const DWORD ways[] = { VOLUME_NAME_DOS, VOLUME_NAME_GUID, VOLUME_NAME_NT };
	wchar_t *wide = mf_win32_path(dir), *buf;
	BY_HANDLE_FILE_INFORMATION info;
	char reason[256];
	int n = -1;

	if (!wide)
		return mf_err_set(err, MF_E_NOMEM, "cannot open %s: its name has no UTF-16", dir);
	/* The root itself may be a junction: it is what the user named. */
	*ret = CreateFileW(wide, FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES,
			   SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
	free(wide);
	if (*ret == INVALID_HANDLE_VALUE) {
		DWORD code = GetLastError();
		int e = mf_win32_errno(code);

		return mf_err_set(err, e == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "cannot open the directory %s: %s", dir,
				  mf_win32_message(code, reason, sizeof(reason)));
	}
	buf = malloc((MF_WSOURCE_UNITS_MAX + 1) * sizeof(*buf));
	for (size_t i = 0; buf && i < MF_ARRAY_SIZE(ways) && n < 0; i++) {
		if (*volume_name != MAXDWORD && *volume_name != ways[i])
			continue;
		n = final_name(*ret, ways[i], buf, MF_WSOURCE_UNITS_MAX);
		if (n >= 0)
			*volume_name = ways[i];
	}
	if (!GetFileInformationByHandle(*ret, &info) ||
	    !(info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)) {
		mf_err_set(err, MF_E_INVAL, "%s is no directory", dir);
		n = -2;
	}
	if (n >= 0) {
		buf[n] = 0;
		*ret_final = buf;
		*ret_units = (size_t)n;
		return 0;
	}
	free(buf);
	CloseHandle(*ret);
	if (n == -2)
		return MF_E_INVAL;
	return mf_err_set(err, MF_E_IO, "cannot find out where %s is", dir);
}

int mf_wsource_open(const char *dir, struct mf_wsource **ret_src, struct mf_err *err)
{
	struct mf_wsource *s = calloc(1, sizeof(*s));
	const wchar_t *text;
	int r;

	*ret_src = NULL;
	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "cannot open %s: out of memory", dir);
	s->volume_name = MAXDWORD;
	r = open_folder(dir, &s->volume_name, &s->root, &s->final, &s->final_units, err);
	if (r < 0) {
		free(s);
		return r;
	}
	text = s->final;
	if (s->volume_name == VOLUME_NAME_DOS && !wcsncmp(text, L"\\\\?\\", 4) &&
	    wcsncmp(text, L"\\\\?\\UNC\\", 8))
		text += 4;
	s->path = mf_win32_utf8(text);
	if (!s->path) {
		mf_wsource_close(s);
		return mf_err_set(err, MF_E_NOMEM, "cannot open %s: out of memory", dir);
	}
	*ret_src = s;
	return 0;
}

int mf_wsource_hide(struct mf_wsource *s, const char *dir, struct mf_err *err)
{
	DWORD volume_name = s->volume_name;
	HANDLE h;
	int r;

	if (s->hidden)
		return mf_err_set(err, MF_E_INVAL, "only one directory can be hidden");
	r = open_folder(dir, &volume_name, &h, &s->hidden, &s->hidden_units, err);
	if (r == 0)
		CloseHandle(h);
	return r;
}

const char *mf_wsource_path(const struct mf_wsource *s)
{
	return s->path;
}

void mf_wsource_close(struct mf_wsource *s)
{
	if (!s)
		return;
	CloseHandle(s->root);
	free(s->final);
	free(s->hidden);
	free(s->path);
	free(s);
}

int mf_wsource_statfs(struct mf_wsource *s, struct mf_winfsp_statvfs *ret)
{
	FILE_FS_FULL_SIZE_INFORMATION info;
	IO_STATUS_BLOCK io;
	NTSTATUS r = NtQueryVolumeInformationFile(s->root, &io, &info, sizeof(info),
						  FileFsFullSizeInformation);

	if (r < 0)
		return mf_wsource_status(r);
	*ret = (struct mf_winfsp_statvfs){
		.bsize = (uint64_t)info.SectorsPerAllocationUnit * info.BytesPerSector,
		.frsize = (uint64_t)info.SectorsPerAllocationUnit * info.BytesPerSector,
		.blocks = (uint64_t)info.TotalAllocationUnits.QuadPart,
		.bfree = (uint64_t)info.ActualAvailableAllocationUnits.QuadPart,
		.bavail = (uint64_t)info.CallerAvailableAllocationUnits.QuadPart,
		.namemax = MF_WSOURCE_NAME_MAX,
	};
	return 0;
}
