/* SPDX-License-Identifier: Apache-2.0 */
/* source_io_win32.c - what is done to an open file of source_win32.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>

#include "fs/source_int_win32.h"

#define MODE_DIR  0040000u
#define MODE_FILE 0100000u

/* As FileDispositionInformationEx takes it; older headers have neither. */
#define DISPOSITION_EX	      ((FILE_INFORMATION_CLASS)64)
#define DISPOSITION_DELETE    0x1u
#define DISPOSITION_POSIX     0x2u
#define DISPOSITION_IGNORE_RO 0x10u
/* The same of FileRenameInformationEx. */
#define RENAME_EX		((FILE_INFORMATION_CLASS)65)
#define RENAME_REPLACE		0x1u
#define RENAME_POSIX		0x2u
#define RENAME_IGNORE_RO	0x40u

#define STATUS_NOT_SAME_DEVICE_ ((NTSTATUS)0xc00000d4)

/* Attributes as BSD's file flags have them, which WinFsp took over. */
#define UF_SYSTEM   0x00000080u
#define UF_ARCHIVE  0x00000800u
#define UF_READONLY 0x00001000u
#define UF_HIDDEN   0x00008000u

/* ---- bytes ---- */

static OVERLAPPED at(int64_t off)
{
	OVERLAPPED o = { 0 };

	o.Offset = (DWORD)off;
	o.OffsetHigh = (DWORD)((uint64_t)off >> 32);
	return o;
}

int mf_wsource_read(void *handle, void *buf, size_t size, int64_t off)
{
	OVERLAPPED o = at(off);
	DWORD got = 0;

	if (off < 0)
		return -EINVAL;
	if (size > INT_MAX)
		size = INT_MAX;
	if (ReadFile(handle, buf, (DWORD)size, &got, &o))
		return (int)got;
	return GetLastError() == ERROR_HANDLE_EOF ? 0 : mf_wsource_last_error();
}

int mf_wsource_write(void *handle, const void *buf, size_t size, int64_t off)
{
	OVERLAPPED o = at(off);
	DWORD put = 0;

	if (off < 0)
		return -EINVAL;
	if (size > INT_MAX)
		size = INT_MAX;
	return WriteFile(handle, buf, (DWORD)size, &put, &o) ? (int)put : mf_wsource_last_error();
}

int mf_wsource_truncate(void *handle, int64_t size)
{
	FILE_END_OF_FILE_INFO info = { .EndOfFile.QuadPart = size };

	if (size < 0)
		return -EINVAL;
	return SetFileInformationByHandle(handle, FileEndOfFileInfo, &info, sizeof(info))
		       ? 0
		       : mf_wsource_last_error();
}

int mf_wsource_flush(void *handle)
{
	/* A handle that may not write has nothing to write out. */
	return FlushFileBuffers(handle) || GetLastError() == ERROR_ACCESS_DENIED
		       ? 0
		       : mf_wsource_last_error();
}

int mf_wsource_lock(void *handle, bool wait)
{
	OVERLAPPED o = at(0);
	DWORD how = LOCKFILE_EXCLUSIVE_LOCK | (wait ? 0 : LOCKFILE_FAIL_IMMEDIATELY);

	if (LockFileEx(handle, how, 0, 1, 0, &o))
		return 0;
	return GetLastError() == ERROR_LOCK_VIOLATION || GetLastError() == ERROR_IO_PENDING
		       ? -EAGAIN
		       : mf_wsource_last_error();
}

/* ---- attributes ---- */

#define TICKS_TO_1970 INT64_C(116444736000000000)

static struct mf_winfsp_timespec from_ticks(int64_t ticks)
{
	struct mf_winfsp_timespec t;

	ticks -= TICKS_TO_1970;
	t.sec = ticks / 10000000;
	t.nsec = ticks % 10000000 * 100;
	if (t.nsec < 0) {
		t.sec--;
		t.nsec += 1000000000;
	}
	return t;
}

/* 0, which Windows takes for "leave it", for what it cannot keep. */
static int64_t to_ticks(const struct mf_winfsp_timespec *t)
{
	if (t->sec < -11644473600 || t->sec > INT64_C(900000000000) || t->nsec < 0 ||
	    t->nsec > 999999999)
		return 0;
	return t->sec * 10000000 + t->nsec / 100 + TICKS_TO_1970;
}

static int64_t ticks_of(FILETIME t)
{
	return (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime);
}

/* Windows checks access by what is said here: files can be executed, as they can on its own file systems. */
static uint32_t mode_of(DWORD attrs)
{
	return (attrs & FILE_ATTRIBUTE_DIRECTORY ? MODE_DIR : MODE_FILE) |
	       (attrs & FILE_ATTRIBUTE_READONLY && !(attrs & FILE_ATTRIBUTE_DIRECTORY) ? 0555
										       : 0777);
}

static uint32_t flags_of(DWORD attrs)
{
	return (attrs & FILE_ATTRIBUTE_SYSTEM ? UF_SYSTEM : 0) |
	       (attrs & FILE_ATTRIBUTE_ARCHIVE ? UF_ARCHIVE : 0) |
	       (attrs & FILE_ATTRIBUTE_READONLY ? UF_READONLY : 0) |
	       (attrs & FILE_ATTRIBUTE_HIDDEN ? UF_HIDDEN : 0);
}

static void fill_sizes(struct mf_winfsp_stat *st, int64_t size)
{
	st->size = st->mode & MODE_DIR ? 0 : size;
	st->blksize = 4096;
	st->blocks = (st->size + 511) / 512;
}

int mf_wsource_stat(void *handle, struct mf_winfsp_stat *ret, uint32_t *ret_flags)
{
	BY_HANDLE_FILE_INFORMATION i;

	if (!GetFileInformationByHandle(handle, &i))
		return mf_wsource_last_error();
	*ret = (struct mf_winfsp_stat){
		.dev = i.dwVolumeSerialNumber,
		.ino = (uint64_t)i.nFileIndexHigh << 32 | i.nFileIndexLow,
		.mode = mode_of(i.dwFileAttributes),
		.nlink = (uint16_t)(i.nNumberOfLinks < UINT16_MAX ? i.nNumberOfLinks : UINT16_MAX)
	};
	fill_sizes(ret, (int64_t)((uint64_t)i.nFileSizeHigh << 32 | i.nFileSizeLow));
	ret->atime = from_ticks(ticks_of(i.ftLastAccessTime));
	ret->mtime = ret->ctime = from_ticks(ticks_of(i.ftLastWriteTime));
	ret->birthtime = from_ticks(ticks_of(i.ftCreationTime));
	if (ret_flags)
		*ret_flags = flags_of(i.dwFileAttributes);
	return 0;
}

static int set_basic(void *handle, FILE_BASIC_INFO *info)
{
	return SetFileInformationByHandle(handle, FileBasicInfo, info, sizeof(*info))
		       ? 0
		       : mf_wsource_last_error();
}

int mf_wsource_set_times(void *handle, const struct mf_winfsp_timespec tv[2])
{
	FILE_BASIC_INFO info = { .LastAccessTime.QuadPart = to_ticks(&tv[0]),
				 .LastWriteTime.QuadPart = to_ticks(&tv[1]) };

	return set_basic(handle, &info);
}

int mf_wsource_set_mode(void *handle, uint32_t mode)
{
	FILE_BASIC_INFO info;
	DWORD attrs;

	if (!GetFileInformationByHandleEx(handle, FileBasicInfo, &info, sizeof(info)))
		return mf_wsource_last_error();
	attrs = info.FileAttributes;
	if (attrs & FILE_ATTRIBUTE_DIRECTORY) /* the attribute means something else there */
		return 0;
	attrs = mode & 0222 ? attrs & ~(DWORD)FILE_ATTRIBUTE_READONLY
			    : attrs | FILE_ATTRIBUTE_READONLY;
	if (attrs == info.FileAttributes)
		return 0;
	info = (FILE_BASIC_INFO){ .FileAttributes = attrs ? attrs : FILE_ATTRIBUTE_NORMAL };
	return set_basic(handle, &info);
}

/* ---- removing and renaming ---- */

int mf_wsource_remove(void *handle)
{
	ULONG posix = DISPOSITION_DELETE | DISPOSITION_POSIX | DISPOSITION_IGNORE_RO;
	FILE_DISPOSITION_INFO plain = { .DeleteFile = TRUE };
	IO_STATUS_BLOCK io;
	NTSTATUS s = NtSetInformationFile(handle, &io, &posix, sizeof(posix), DISPOSITION_EX);

	if (s >= 0)
		return 0;
	if (s == (NTSTATUS)0xc0000101 /* STATUS_DIRECTORY_NOT_EMPTY */)
		return -ENOTEMPTY;
	/* Older Windows, and file systems that are not NTFS. */
	(void)mf_wsource_set_mode(handle, 0666);
	return SetFileInformationByHandle(handle, FileDispositionInfo, &plain, sizeof(plain))
		       ? 0
		       : mf_wsource_last_error();
}

int mf_wsource_rename(void *handle, void *parent, const char *path, bool replace)
{
	struct mf_wname name;
	struct {
		FILE_RENAME_INFORMATION info;
		wchar_t more[MF_WSOURCE_NAME_MAX + 1];
	} to;
	IO_STATUS_BLOCK io;
	unsigned units;
	NTSTATUS s;
	ULONG len;
	int r = mf_wname_read(path, &name);

	if (r < 0)
		return r;
	units = name.units - name.leaf;
	if (!units)
		return -EBUSY;
	memset(&to, 0, sizeof(to));
	to.info.RootDirectory = parent;
	to.info.FileNameLength = units * (ULONG)sizeof(wchar_t);
	memcpy((char *)&to + offsetof(FILE_RENAME_INFORMATION, FileName), name.name + name.leaf,
	       units * sizeof(wchar_t));
	len = (ULONG)offsetof(FILE_RENAME_INFORMATION, FileName) + to.info.FileNameLength;
	/* A short name ends within the structure's padding: less than all of it is refused. */
	if (len < sizeof(to.info))
		len = sizeof(to.info);
	if (replace) {
		/* Also over a file that somebody has open: who has it keeps it. */
		ULONG how = RENAME_REPLACE | RENAME_POSIX | RENAME_IGNORE_RO;

		memcpy(&to, &how, sizeof(how)); /* in the place of ReplaceIfExists */
		s = NtSetInformationFile(handle, &io, &to, len, RENAME_EX);
		if (s >= 0)
			return 0;
		/* Older Windows, and file systems that are not NTFS. */
		memset(&to, 0, sizeof(how));
		to.info.ReplaceIfExists = TRUE;
	}
	s = NtSetInformationFile(handle, &io, &to, len, FileRenameInformation);
	return s == STATUS_NOT_SAME_DEVICE_ ? -EXDEV : mf_wsource_status(s);
}

/* ---- directories ---- */

static int tell_entry(const FILE_ID_BOTH_DIR_INFO *e, mf_wsource_entry_fn fn, void *ctx)
{
	char name[MF_WSOURCE_NAME_MAX * 3 + 1];
	struct mf_winfsp_stat st = { 0 };

	/* What has no UTF-8 could not be opened by its name anyway. */
	if (mf_wname_write(e->FileName, e->FileNameLength / sizeof(wchar_t), name, sizeof(name)) <=
	    0)
		return 0;
	st.ino = (uint64_t)e->FileId.QuadPart;
	st.mode = mode_of(e->FileAttributes);
	st.nlink = 1;
	fill_sizes(&st, e->EndOfFile.QuadPart);
	st.atime = from_ticks(e->LastAccessTime.QuadPart);
	st.mtime = from_ticks(e->LastWriteTime.QuadPart);
	st.ctime = from_ticks(e->ChangeTime.QuadPart ? e->ChangeTime.QuadPart
						     : e->LastWriteTime.QuadPart);
	st.birthtime = from_ticks(e->CreationTime.QuadPart);
	return fn(ctx, name, &st);
}

int mf_wsource_list(void *handle, mf_wsource_entry_fn fn, void *ctx)
{
	const size_t room = 65536;
	char *buf = malloc(room);
	FILE_INFO_BY_HANDLE_CLASS what = FileIdBothDirectoryRestartInfo;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (r == 0 && GetFileInformationByHandleEx(handle, what, buf, (DWORD)room)) {
		const char *p = buf;

		what = FileIdBothDirectoryInfo;
		for (;;) {
			const FILE_ID_BOTH_DIR_INFO *e = (const void *)p;

			r = tell_entry(e, fn, ctx);
			if (r || !e->NextEntryOffset)
				break;
			p += e->NextEntryOffset;
		}
	}
	if (r == 0 && GetLastError() != ERROR_NO_MORE_FILES)
		r = mf_wsource_last_error();
	free(buf);
	return r;
}
