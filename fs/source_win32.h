/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_win32.h - files of one directory tree on Windows, none of whose operations gets out of it
 *
 * How it works
 *
 * A name is opened relative to the handle of the tree's root, and no reparse point (junction, symbolic link, mount point) is
 * followed on the way: the kernel is told so (OBJ_DONT_REPARSE), the last component is opened as itself, and afterwards the
 * handle is asked where it really is. What is not below the root is closed again: -EACCES. That question also tells the name
 * as it is on the disk, with long names for short ones and the letters' own case: it is what policies see, and what is then
 * done is done to the very handle that was asked about.
 *
 * Names: UTF-8, '/' separates, rooted at '/'. Characters that Windows forbids are kept on the disk in the private range U+F001
 * to U+F07C, as other systems on Windows do. Refused (-EINVAL): no UTF-8, half of a surrogate pair, empty components, "." and
 * "..", a component of more than 255 units, and what names a stream ("name::$DATA", "name:stream:$DATA"), which would be
 * another file for the policy than for the disk.
 *
 * Results: 0 or a negative errno of Microsoft's C library; only numbers that WinFsp knows (mf_wsource_errno()).
 */
#ifndef MF_FS_SOURCE_WIN32_H
#define MF_FS_SOURCE_WIN32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "fs/winfsp_abi.h"

/* Bytes of a path with its NUL, and units of it on the disk; longer ones are refused with -ENAMETOOLONG. */
#define MF_WSOURCE_PATH_MAX  12800
#define MF_WSOURCE_UNITS_MAX 4096
#define MF_WSOURCE_NAME_MAX  255 /* units of a component */

struct mf_wsource;

/**
 * mf_wsource_open() - Open a directory as the root of a tree
 * @dir: UTF-8, absolute ("C:\work") or relative to the current folder
 * Return: 0; MF_E_NOENT; MF_E_INVAL: no directory; MF_E_IO; MF_E_NOMEM
 */
int mf_wsource_open(const char *dir, struct mf_wsource **ret_src, struct mf_err *err);
void mf_wsource_close(struct mf_wsource *src); /* NULL is fine; every handle has been closed */

/** mf_wsource_hide() - A directory (absolute) of which nothing can be opened; once, before the first operation */
int mf_wsource_hide(struct mf_wsource *src, const char *dir, struct mf_err *err);

/** mf_wsource_path() - The root as Windows calls it, UTF-8, no separator at the end */
const char *mf_wsource_path(const struct mf_wsource *src);

/* How to open. */
enum mf_wsource_how {
	MF_WSOURCE_LOOK, /* attributes alone */
	MF_WSOURCE_READ, /* content of a file, entries of a directory */
	MF_WSOURCE_WRITE,
	MF_WSOURCE_BOTH,
	MF_WSOURCE_REMOVE, /* delete or rename it; what may be read as well can be */
	MF_WSOURCE_SET,	   /* attributes and times */
	MF_WSOURCE_NEW,	   /* all that making a copy of something needs */
	MF_WSOURCE_DRESS,  /* attributes, times and access list */
};

/**
 * mf_wsource_open_at() - Open what is there
 * @ret_path: where it really is, "/a/b" ("" is never filled: the root is "/"), of MF_WSOURCE_PATH_MAX bytes; may be NULL
 * Return: 0 and a HANDLE to be closed with mf_wsource_close_handle()
 */
int mf_wsource_open_at(struct mf_wsource *src, const char *path, enum mf_wsource_how how,
		       void **ret_handle, char *ret_path);

/**
 * mf_wsource_open_parent() - Open the directory that @path lies in, to make something there
 * @ret_path: the whole path, its directory as it really is, the last component as it was given; may be NULL
 */
int mf_wsource_open_parent(struct mf_wsource *src, const char *path, void **ret_handle,
			   char *ret_path);

/** mf_wsource_place() - Where an open file is by now, as mf_wsource_open_at() tells it; Return: -EACCES: not below the root, -ENOENT: hidden */
int mf_wsource_place(struct mf_wsource *src, void *handle, char *ret_path);

/** mf_wsource_create() - Make a new file or directory in @parent; the name is the last component of @path; -EEXIST */
int mf_wsource_create(void *parent, const char *path, bool dir, enum mf_wsource_how how,
		      void **ret_handle);
/**
 * mf_wsource_make_dirs() - Make the directories above @path that are missing
 * @made: called for each that was made, the outermost first; a negative number ends it and is returned. May be NULL
 */
int mf_wsource_make_dirs(struct mf_wsource *src, const char *path,
			 int (*made)(void *ctx, const char *path), void *ctx);

/**
 * mf_wsource_claim() - Open or make a file that nobody else has open, and that nobody else can open until this handle is closed
 * @make: make it where there is none. Return: 0; -EBUSY: somebody has it
 */
int mf_wsource_claim(void *parent, const char *path, bool make, void **ret_handle);
/** mf_wsource_lock() - Lock a file until its handle is closed; Return: 0, -EAGAIN: not @wait, and somebody has it */
int mf_wsource_lock(void *handle, bool wait);

/**
 * mf_wsource_copy() - A whole new copy of a file in @parent: content with its holes, named streams, attributes, times, access list
 * The access list and what the volume of the copy cannot keep of the attributes are left out where they cannot be set; content
 * and streams never: then there is no copy.
 * @flush: on the disk when it returns. Return: 0 and a handle as of MF_WSOURCE_NEW; -EEXIST
 */
int mf_wsource_copy(void *from, void *parent, const char *path, bool flush, void **ret_handle);

/* What a directory looks like to Windows, beside its times. */
struct mf_wsource_look {
	uint32_t
		attributes; /* FILE_ATTRIBUTE_...: directory; read-only, hidden, system, archive, not indexed */
	const char
		*access; /* its access list as SDDL; NULL: the volume has none, or does not say */
};
/**
 * mf_wsource_look() - @handle: as of MF_WSOURCE_REMOVE or READ; others see no access list
 * @ret_text: what ret->access lies in, to be free()d. Return: 0 or a negative errno
 */
int mf_wsource_look(void *handle, struct mf_wsource_look *ret, char **ret_text);
/**
 * mf_wsource_dress() - Give a directory that look; of its access list also what it inherited, as it was then
 * @handle: of MF_WSOURCE_DRESS. What the volume does not keep is left out. Return: 0; -EINVAL: no access list; a negative errno
 */
int mf_wsource_dress(void *handle, const struct mf_wsource_look *look);

int mf_wsource_read(void *handle, void *buf, size_t size, int64_t off);
int mf_wsource_write(void *handle, const void *buf, size_t size, int64_t off);
int mf_wsource_truncate(void *handle, int64_t size);
int mf_wsource_flush(void *handle);
/** mf_wsource_stat() - Attributes; only the first part of *@ret where it is no extended one */
int mf_wsource_stat(void *handle, struct mf_winfsp_stat *ret, uint32_t *ret_flags);
int mf_wsource_set_times(void *handle, const struct mf_winfsp_timespec tv[2]);
/** mf_wsource_set_mode() - No write bit at all: the read-only attribute; else none */
int mf_wsource_set_mode(void *handle, uint32_t mode);
int mf_wsource_statfs(struct mf_wsource *src, struct mf_winfsp_statvfs *ret);
/** mf_wsource_remove() - By a handle opened with MF_WSOURCE_REMOVE: gone at once where Windows can, else with its last handle */
int mf_wsource_remove(void *handle);
/** mf_wsource_rename() - To the last component of @path in @parent; @replace: over a file that is there */
int mf_wsource_rename(void *handle, void *parent, const char *path, bool replace);
/** mf_wsource_is_link() - A reparse point that leads elsewhere */
bool mf_wsource_is_link(void *handle);

/* Return: 0 to go on, a positive number to end. @st: as mf_wsource_stat() */
typedef int (*mf_wsource_entry_fn)(void *ctx, const char *name, const struct mf_winfsp_stat *st);
/** mf_wsource_list() - Every entry, with "." and ".."; what has no UTF-8 is left out. Serialise calls for one handle.
 * Return: 0, what ended it, or a negative errno */
int mf_wsource_list(void *handle, mf_wsource_entry_fn fn, void *ctx);

void mf_wsource_close_handle(void *handle);

/** mf_wsource_errno() - An errno as WinFsp knows it; what it does not know becomes the nearest that it knows */
int mf_wsource_errno(int error);
/** mf_wsource_errno_from_linux() - The same for a number of Linux', as policies give it */
int mf_wsource_errno_from_linux(int error);

#endif
