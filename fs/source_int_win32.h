/* SPDX-License-Identifier: Apache-2.0 */
/* source_int_win32.h - inside the source of Windows: source_win32.c handles, source_io_win32.c what is done to them, source_copy_win32.c copies, source_look_win32.c looks, source_name_win32.c names */
#ifndef MF_FS_SOURCE_INT_WIN32_H
#define MF_FS_SOURCE_INT_WIN32_H

#include <wchar.h>

#include "fs/source_win32.h"

/* A name relative to the root, as the kernel takes it: "a\b"; the root itself has no units. */
struct mf_wname {
	unsigned units, leaf; /* leaf: where the last component begins */
	wchar_t name[MF_WSOURCE_UNITS_MAX];
};

/** mf_wname_read() - A path of a front end; Return: 0, -EINVAL, -ENAMETOOLONG */
int mf_wname_read(const char *path, struct mf_wname *ret);
/** mf_wname_write() - "a\b" of the disk as UTF-8 with '/'; Return: bytes, -EINVAL: has no UTF-8, -ENAMETOOLONG */
int mf_wname_write(const wchar_t *name, size_t units, char *ret, size_t room);

/**
 * mf_wsource_nt_open() - NtCreateFile() relative to @dir, nothing followed on the way
 * @access, @share, @disposition, @options: as there. Return: 0 or a negative errno
 */
int mf_wsource_nt_open(void *dir, const wchar_t *name, unsigned units, unsigned long access,
		       unsigned long share, unsigned long disposition, unsigned long options,
		       void **ret);

/** mf_wsource_status() - A negative errno of an NTSTATUS */
int mf_wsource_status(long status);
/** mf_wsource_last_error() - The same of GetLastError() */
int mf_wsource_last_error(void);

#endif
