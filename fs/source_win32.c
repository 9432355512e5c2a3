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
#define STATUS_SHARING_VIOLATION_	  ((NTSTATUS)0xc0000043)

/* Others may do to a file what they like while it is open here: who may do what is settled above us. */
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* Where a directory is, without a separator at the end; malloc()ed. */
struct place {
	wchar_t *name;
	size_t units;
};

struct mf_wsource {
	HANDLE root;
	DWORD volume_name; /* VOLUME_NAME_* that names of this volume are asked with */
	/* [0] as final_name() tells it, [1] as object_name(); of the root, and of what nobody gets into */
	struct place root_names[2], hidden_names[2];
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
		return GetLastError() == ERROR_MORE_DATA ? -ENAMETOOLONG : mf_wsource_last_error();
	if (n >= room)
		return -ENAMETOOLONG;
	if (buf[n - 1] == L'\\')
		n--;
	return (int)n;
}

/* The kernel's own name of what is open: of any length, but with short names as they were given. */
static int object_name(HANDLE h, wchar_t *buf, size_t room)
{
	struct {
		UNICODE_STRING name;
		wchar_t text[MF_WSOURCE_UNITS_MAX + 512];
	} info;
	ULONG got;
	size_t n;

	if (NtQueryObject(h, (OBJECT_INFORMATION_CLASS)1 /* ObjectNameInformation */, &info,
			  sizeof(info), &got) < 0)
		return -ENAMETOOLONG;
	n = info.name.Length / sizeof(wchar_t);
	if (!n || n >= room)
		return -ENAMETOOLONG;
	memcpy(buf, info.name.Buffer, n * sizeof(wchar_t));
	return (int)(buf[n - 1] == L'\\' ? n - 1 : n);
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
	const struct place *root = &s->root_names[0], *hidden = &s->hidden_names[0];

	if (n == -ENAMETOOLONG) {
		/* Some tell only names of moderate length; then none may be short for another. */
		n = object_name(h, name, MF_ARRAY_SIZE(name));
		if (n >= 0 && wmemchr(name, L'~', (size_t)n))
			n = -ENAMETOOLONG;
		root = &s->root_names[1];
		hidden = &s->hidden_names[1];
	}
	if (n < 0)
		return n;
	if (!root->name || !is_below(name, (size_t)n, root->name, root->units))
		return -EACCES;
	if (hidden->name && is_below(name, (size_t)n, hidden->name, hidden->units))
		return -ENOENT;
	if (!ret_path)
		return 0;
	if ((size_t)n == root->units) {
		strcpy(ret_path, "/");
		return 0;
	}
	n = mf_wname_write(name + root->units, (size_t)n - root->units, ret_path,
			   MF_WSOURCE_PATH_MAX);
	return n < 0 ? n : 0;
}

int mf_wsource_place(struct mf_wsource *s, void *handle, char *ret_path)
{
	return check_place(s, handle, ret_path);
}

/* ---- opening ---- */

int mf_wsource_nt_open(void *dir, const wchar_t *name, unsigned units, unsigned long access,
		       unsigned long share, unsigned long disposition, unsigned long options,
		       void **ret)
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
	r = NtCreateFile((HANDLE *)ret, access | SYNCHRONIZE, &attrs, &io, NULL,
			 FILE_ATTRIBUTE_NORMAL, share, disposition, options, NULL, 0);
	if (r == STATUS_REPARSE_POINT_ENCOUNTERED_)
		return -EACCES;
	if (r == STATUS_SHARING_VIOLATION_)
		return -EBUSY;
	return mf_wsource_status(r);
}

static int nt_open(HANDLE dir, const wchar_t *name, unsigned units, ACCESS_MASK access,
		   ULONG disposition, ULONG options, HANDLE *ret)
{
	int r = mf_wsource_nt_open(dir, name, units, access, SHARE_ALL, disposition, options, ret);

	/* As Windows' own functions have it. */
	return r == -EBUSY ? -EACCES : r;
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
	case MF_WSOURCE_NEW:
		return FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE | WRITE_DAC;
	case MF_WSOURCE_DRESS:
		return FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | READ_CONTROL | WRITE_DAC;
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
	/* What is moved to another volume is read; where that is not allowed, it cannot be. */
	r = how == MF_WSOURCE_REMOVE ? nt_open(s->root, name.name, name.units,
					       access_of(how) | FILE_GENERIC_READ, FILE_OPEN, 0, &h)
				     : -EACCES;
	if (r == -EACCES)
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
		    FILE_TRAVERSE | FILE_READ_ATTRIBUTES, FILE_OPEN, FILE_DIRECTORY_FILE, &h);
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

int mf_wsource_claim(void *parent, const char *path, bool make, void **ret_handle)
{
	struct mf_wname name;
	int r = mf_wname_read(path, &name);

	if (r < 0)
		return r;
	return mf_wsource_nt_open(parent, name.name + name.leaf, name.units - name.leaf,
				  FILE_GENERIC_READ | DELETE, 0, make ? FILE_OPEN_IF : FILE_OPEN,
				  FILE_NON_DIRECTORY_FILE, ret_handle);
}

int mf_wsource_make_dirs(struct mf_wsource *s, const char *path,
			 int (*made)(void *ctx, const char *path), void *ctx)
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
		/* Mostly they are there, in directories that this user may not write to. */
		r = mf_wsource_open_at(s, part, MF_WSOURCE_LOOK, &h, NULL);
		if (r == 0) {
			CloseHandle(h);
			continue;
		}
		if (r == -ENOENT)
			r = mf_wsource_open_parent(s, part, &parent, NULL);
		if (r < 0)
			break;
		r = mf_wsource_create(parent, part, true, MF_WSOURCE_LOOK, &h);
		CloseHandle(parent);
		if (r == 0) {
			CloseHandle(h);
			r = made ? made(ctx, part) : 0;
		} else if (r == -EEXIST) {
			r = 0;
		}
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

static bool keep_name(struct place *p, const wchar_t *name, int units)
{
	if (units < 0)
		return false;
	p->name = malloc(((size_t)units + 1) * sizeof(*name));
	if (!p->name)
		return false;
	memcpy(p->name, name, (size_t)units * sizeof(*name));
	p->name[units] = 0;
	p->units = (size_t)units;
	return true;
}

static void drop_names(struct place names[2])
{
	free(names[0].name);
	free(names[1].name);
}

/* @volume_name: MAXDWORD: find out what this volume's names are asked with */
static bool find_names(HANDLE h, DWORD *volume_name, struct place ret[2])
{
	static const DWORD ways[] = { VOLUME_NAME_DOS, VOLUME_NAME_GUID, VOLUME_NAME_NT };
	wchar_t buf[MF_WSOURCE_UNITS_MAX + 512];
	int n = -1;

	for (size_t i = 0; i < MF_ARRAY_SIZE(ways) && n < 0; i++) {
		if (*volume_name != MAXDWORD && *volume_name != ways[i])
			continue;
		n = final_name(h, ways[i], buf, MF_ARRAY_SIZE(buf));
		if (n >= 0)
			*volume_name = ways[i];
	}
	if (!keep_name(&ret[0], buf, n))
		return false;
	(void)keep_name(&ret[1], buf, object_name(h, buf, MF_ARRAY_SIZE(buf)));
	return true;
}

/* Opens a folder by its name and asks where it is. */
static int open_folder(const char *dir, DWORD *volume_name, HANDLE *ret, struct place ret_names[2],
		       struct mf_err *err)
{
	wchar_t *wide = mf_win32_path(dir);
	BY_HANDLE_FILE_INFORMATION info;
	char reason[256];
	int r;

	if (!wide)
		return mf_err_set(err, MF_E_NOMEM, "cannot open %s: its name has no UTF-16", dir);
	/* The root itself may be a junction: it is what the user named. */
	*ret = CreateFileW(wide, FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_READ_ATTRIBUTES,
			   SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
	free(wide);
	if (*ret == INVALID_HANDLE_VALUE) {
		DWORD code = GetLastError();

		return mf_err_set(err, mf_win32_errno(code) == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "cannot open the directory %s: %s", dir,
				  mf_win32_message(code, reason, sizeof(reason)));
	}
	if (!GetFileInformationByHandle(*ret, &info) ||
	    !(info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY))
		r = mf_err_set(err, MF_E_INVAL, "%s is no directory", dir);
	else if (!find_names(*ret, volume_name, ret_names))
		r = mf_err_set(err, MF_E_IO, "cannot find out where %s is", dir);
	else
		return 0;
	CloseHandle(*ret);
	return r;
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
	r = open_folder(dir, &s->volume_name, &s->root, s->root_names, err);
	if (r < 0) {
		free(s);
		return r;
	}
	text = s->root_names[0].name;
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

	if (s->hidden_names[0].name)
		return mf_err_set(err, MF_E_INVAL, "only one directory can be hidden");
	r = open_folder(dir, &volume_name, &h, s->hidden_names, err);
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
	drop_names(s->root_names);
	drop_names(s->hidden_names);
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
