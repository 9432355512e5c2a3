/* SPDX-License-Identifier: Apache-2.0 */
/* source_name_win32.c - names of source_win32.h on their way to the disk and back, and error numbers */
#include <errno.h>
#include <string.h>

#include "core/base/utf16.h"
#include "fs/source_int_win32.h"

#define PRIVATE 0xf000u /* U+F0xx is the character xx, which Windows forbids in names */

static bool is_forbidden(uint32_t c)
{
	return c < 0x20 || (c < 0x80 && strchr("\"*:<>?|\\", (int)c));
}

/* A component that Windows would take for a stream of another file, had it been written by a program. */
static bool names_stream(const char *name, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (name[i] == ':' && (name[i + 1] == ':' || name[i + 1] == '$'))
			return true;
	return false;
}

static int put_component(const char *name, size_t len, struct mf_wname *ret)
{
	uint16_t units[MF_WSOURCE_NAME_MAX];
	int n;

	if (!len || (len == 1 && name[0] == '.') || (len == 2 && !memcmp(name, "..", 2)) ||
	    names_stream(name, len))
		return -EINVAL;
	n = mf_utf16_from_utf8(name, len, units, MF_WSOURCE_NAME_MAX);
	if (n < 0)
		return n == MF_E_LIMIT ? -ENAMETOOLONG : -EINVAL;
	if (ret->units + (unsigned)n + 1 > MF_WSOURCE_UNITS_MAX)
		return -ENAMETOOLONG;
	if (ret->units)
		ret->name[ret->units++] = L'\\';
	ret->leaf = ret->units;
	for (int i = 0; i < n; i++)
		ret->name[ret->units++] =
			(wchar_t)(is_forbidden(units[i]) ? PRIVATE | units[i] : units[i]);
	return 0;
}

int mf_wname_read(const char *path, struct mf_wname *ret)
{
	const char *end;
	int r;

	ret->units = ret->leaf = 0;
	if (path[0] != '/')
		return -EINVAL;
	for (path++; *path; path = *end ? end + 1 : end) {
		end = path + strcspn(path, "/");
		if (*end && !end[1])
			return -EINVAL;
		r = put_component(path, (size_t)(end - path), ret);
		if (r < 0)
			return r;
	}
	return 0;
}

int mf_wname_write(const wchar_t *name, size_t units, char *ret, size_t room)
{
	uint16_t part[256];
	size_t len = 0;

	/* In pieces, so that nothing of their size lies on the stack twice; a pair of surrogates is not cut. */
	while (units) {
		size_t n = units < MF_ARRAY_SIZE(part) ? units : MF_ARRAY_SIZE(part);
		int r;

		if (n < units && (name[n - 1] & 0xfc00) == 0xd800)
			n--;
		for (size_t i = 0; i < n; i++) {
			uint32_t c = name[i];

			part[i] = (uint16_t)(c == L'\\' ? '/'
					     : c > PRIVATE && c < PRIVATE + 0x80 &&
							     is_forbidden(c - PRIVATE)
						     ? c - PRIVATE
						     : c);
		}
		r = mf_utf8_from_utf16(part, n, ret + len, room - len);
		if (r < 0)
			return r == MF_E_LIMIT ? -ENAMETOOLONG : -EINVAL;
		len += (size_t)r;
		name += n;
		units -= n;
	}
	ret[len] = '\0';
	return (int)len;
}

/* ---- error numbers ---- */

int mf_wsource_errno(int error)
{
	switch (error) { /* what WinFsp has no word for becomes "access denied" there */
	case ENOTSUP:
	case EOPNOTSUPP:
		return ENOSYS;
	case EOVERFLOW:
		return EFBIG;
	case EWOULDBLOCK:
		return EAGAIN;
	case EILSEQ:
		return EINVAL;
	case ECANCELED:
		return EINTR;
	default:
		return error;
	}
}

int mf_wsource_errno_from_linux(int error)
{
	static const struct {
		uint8_t from;
		uint8_t to;
	} table[] = {
		{ 35, EDEADLK }, { 36, ENAMETOOLONG }, { 38, ENOSYS },	{ 39, ENOTEMPTY },
		{ 40, ELOOP },	 { 61, ENOENT },       { 75, EFBIG },	{ 84, EINVAL },
		{ 95, ENOSYS },	 { 110, ETIMEDOUT },   { 122, ENOSPC },
	};

	if (error > 0 && error < 35) /* the first 34 are older than both systems */
		return error;
	for (size_t i = 0; i < MF_ARRAY_SIZE(table); i++)
		if (table[i].from == error)
			return table[i].to;
	return EACCES;
}
