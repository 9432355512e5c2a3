/* SPDX-License-Identifier: Apache-2.0 */
/* source_copy_win32.c - a whole copy of a file: content, holes, named streams, attributes, times, access list */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <winioctl.h>
#include <winternl.h>

#include "fs/source_int_win32.h"

#define STREAM_INFO	((FILE_INFORMATION_CLASS)22)
#define STREAMS_MAX	(1 << 20) /* bytes of the list of a file's streams */
#define SHARE_ALL	(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
#define BUFFER_OVERFLOW ((NTSTATUS)0x80000005)

/* Attributes that a copy can be given; the others follow from what it is. */
#define ATTRS_KEPT                                                                                \
	(FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM |                \
	 FILE_ATTRIBUTE_ARCHIVE | FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED | \
	 FILE_ATTRIBUTE_OFFLINE)

/* As FileStreamInformation tells of each stream. */
struct stream_info {
	ULONG next, name_bytes;
	LARGE_INTEGER size, allocated;
	wchar_t name[];
};

/* ---- content ---- */

static int copy_range(void *from, void *to, char *buf, size_t room, int64_t off, int64_t end)
{
	while (off < end) {
		size_t want = end - off < (int64_t)room ? (size_t)(end - off) : room;
		int n = mf_wsource_read(from, buf, want, off), put;

		if (n <= 0)
			return n; /* shorter by now */
		put = mf_wsource_write(to, buf, (size_t)n, off);
		if (put != n)
			return put < 0 ? put : -ENOSPC;
		off += n;
	}
	return 0;
}

/* What of a sparse file is there. Return: 1: it is not known which parts are holes */
static int copy_parts(void *from, void *to, char *buf, size_t room, int64_t size)
{
	FILE_ALLOCATED_RANGE_BUFFER ask = { .Length.QuadPart = size }, parts[64];
	DWORD got = 0;
	int r = 0;

	if (!DeviceIoControl(to, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &got, NULL))
		return 1;
	while (r == 0 && ask.Length.QuadPart > 0) {
		bool more = !DeviceIoControl(from, FSCTL_QUERY_ALLOCATED_RANGES, &ask, sizeof(ask),
					     parts, sizeof(parts), &got, NULL);
		size_t cnt = got / sizeof(parts[0]);

		if (more && GetLastError() != ERROR_MORE_DATA)
			return 1;
		for (size_t i = 0; i < cnt && r == 0; i++) {
			int64_t end = parts[i].FileOffset.QuadPart + parts[i].Length.QuadPart;

			r = copy_range(from, to, buf, room, parts[i].FileOffset.QuadPart,
				       end < size ? end : size);
			ask.FileOffset.QuadPart = end;
		}
		if (!more || !cnt)
			break;
		ask.Length.QuadPart = size - ask.FileOffset.QuadPart;
	}
	return r;
}

static int copy_content(void *from, void *to, DWORD attrs, int64_t size)
{
	const size_t room = 1 << 20;
	char *buf = malloc(room);
	int r = 1;

	if (!buf)
		return -ENOMEM;
	if (attrs & FILE_ATTRIBUTE_SPARSE_FILE)
		r = copy_parts(from, to, buf, room, size);
	if (r == 1)
		r = copy_range(from, to, buf, room, 0, size);
	if (r == 0 && size)
		r = mf_wsource_truncate(to, size); /* a hole at its end */
	free(buf);
	return r;
}

/* ---- streams ---- */

static int copy_bytes(void *from, void *to)
{
	const size_t room = 64 << 10;
	char *buf = malloc(room);
	int r = buf ? copy_range(from, to, buf, room, 0, INT64_MAX) : -ENOMEM;

	free(buf);
	return r;
}

static int copy_stream(void *from, void *to, const struct stream_info *s)
{
	unsigned units = s->name_bytes / (unsigned)sizeof(wchar_t);
	void *in, *out;
	int r = mf_wsource_nt_open(from, s->name, units, FILE_GENERIC_READ, SHARE_ALL, FILE_OPEN,
				   FILE_NON_DIRECTORY_FILE, &in);

	if (r < 0)
		return r;
	r = mf_wsource_nt_open(to, s->name, units, FILE_GENERIC_WRITE, SHARE_ALL, FILE_CREATE,
			       FILE_NON_DIRECTORY_FILE, &out);
	if (r == 0) {
		r = copy_bytes(in, out);
		mf_wsource_close_handle(out);
	}
	mf_wsource_close_handle(in);
	return r;
}

static int copy_listed(void *from, void *to, const char *list, size_t len)
{
	static const wchar_t content[] = L"::$DATA";
	size_t at = 0;
	int r = 0;

	while (r == 0 && len - at >= sizeof(struct stream_info)) {
		const struct stream_info *s = (const void *)(list + at);

		if (s->name_bytes > len - at - sizeof(*s))
			return -EIO;
		if (s->name_bytes != sizeof(content) - sizeof(content[0]) ||
		    memcmp(s->name, content, s->name_bytes) != 0)
			r = copy_stream(from, to, s);
		if (!s->next || s->next > len - at)
			break;
		at += s->next;
	}
	return r;
}

static int copy_streams(void *from, void *to)
{
	IO_STATUS_BLOCK io;
	int r = -ENOMEM;

	for (size_t room = 4096; room <= STREAMS_MAX; room *= 16) {
		char *list = malloc(room);
		NTSTATUS s;

		if (!list)
			return -ENOMEM;
		s = NtQueryInformationFile(from, &io, list, (ULONG)room, STREAM_INFO);
		if (s == BUFFER_OVERFLOW) {
			free(list);
			continue;
		}
		/* A file system without streams has none to lose. */
		r = s < 0 ? 0 : copy_listed(from, to, list, (size_t)io.Information);
		free(list);
		break;
	}
	return r;
}

/* ---- what it looks like ---- */

static void copy_access(void *from, void *to)
{
	const SECURITY_INFORMATION what = DACL_SECURITY_INFORMATION;
	SECURITY_DESCRIPTOR_CONTROL control;
	SECURITY_DESCRIPTOR *sd;
	DWORD size = 0, revision;

	(void)GetKernelObjectSecurity(from, what, NULL, 0, &size);
	sd = size ? malloc(size) : NULL;
	if (sd && GetKernelObjectSecurity(from, what, sd, size, &size) &&
	    GetSecurityDescriptorControl(sd, &control, &revision))
		(void)SetKernelObjectSecurity(
			to,
			what | (control & SE_DACL_PROTECTED
					? PROTECTED_DACL_SECURITY_INFORMATION
					: UNPROTECTED_DACL_SECURITY_INFORMATION),
			sd);
	free(sd);
}

static int copy_all(void *from, void *to, bool flush)
{
	FILE_STANDARD_INFO size;
	FILE_BASIC_INFO basic;
	int r;

	if (!GetFileInformationByHandleEx(from, FileBasicInfo, &basic, sizeof(basic)) ||
	    !GetFileInformationByHandleEx(from, FileStandardInfo, &size, sizeof(size)))
		return mf_wsource_last_error();
	if (basic.FileAttributes & FILE_ATTRIBUTE_DIRECTORY)
		return -EISDIR;
	r = copy_content(from, to, basic.FileAttributes, size.EndOfFile.QuadPart);
	if (r == 0)
		r = copy_streams(from, to);
	if (r < 0)
		return r;
	copy_access(from, to);
	basic.FileAttributes &= ATTRS_KEPT;
	if (!basic.FileAttributes)
		basic.FileAttributes = FILE_ATTRIBUTE_NORMAL;
	if (!SetFileInformationByHandle(to, FileBasicInfo, &basic, sizeof(basic))) {
		/* The times alone, as a volume keeps them that has other attributes. */
		basic.FileAttributes = 0;
		(void)SetFileInformationByHandle(to, FileBasicInfo, &basic, sizeof(basic));
	}
	return flush ? mf_wsource_flush(to) : 0;
}

int mf_wsource_copy(void *from, void *parent, const char *path, bool flush, void **ret_handle)
{
	void *to;
	int r = mf_wsource_create(parent, path, false, MF_WSOURCE_NEW, &to);

	if (r < 0)
		return r;
	r = copy_all(from, to, flush);
	if (r == 0) {
		*ret_handle = to;
		return 0;
	}
	(void)mf_wsource_remove(to); /* half a copy is none */
	mf_wsource_close_handle(to);
	return r;
}
