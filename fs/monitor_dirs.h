/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_dirs.h - directories below one that is watched: from the handle that events name them by to their paths
 *
 * Pure: no system call. Not locked. Every directory but the first has a parent; a path is put together of names, so renaming a
 * directory moves all below it. Handles are bytes that identify a directory as long as it exists; they are copied.
 */
#ifndef MF_FS_MONITOR_DIRS_H
#define MF_FS_MONITOR_DIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/span.h"

#define MF_MONITOR_HANDLE_MAX 160 /* bytes: file system, type, and 128 of the handle itself */

struct mf_monitor_dirs;
struct mf_monitor_dir;

/** mf_monitor_dirs_new() - @max: directories at most; @root: handle of the first. Return: NULL without memory */
struct mf_monitor_dirs *mf_monitor_dirs_new(size_t max, struct mf_span root);
void mf_monitor_dirs_free(struct mf_monitor_dirs *dirs);

struct mf_monitor_dir *mf_monitor_dirs_root(struct mf_monitor_dirs *dirs);
size_t mf_monitor_dirs_count(const struct mf_monitor_dirs *dirs);

/** mf_monitor_dirs_find() - NULL: there is none */
struct mf_monitor_dir *mf_monitor_dirs_find(const struct mf_monitor_dirs *dirs,
					    struct mf_span handle);

/**
 * mf_monitor_dirs_put() - @name in @parent is the directory of @handle: made, or moved there with all below it
 * Return: it; NULL: the table is full, there is no memory, or it would lie in itself: nothing has changed then
 */
struct mf_monitor_dir *mf_monitor_dirs_put(struct mf_monitor_dirs *dirs, struct mf_span handle,
					   struct mf_monitor_dir *parent, struct mf_span name);

/** mf_monitor_dirs_remove() - With all below it; not the first */
void mf_monitor_dirs_remove(struct mf_monitor_dirs *dirs, struct mf_monitor_dir *dir);

/** mf_monitor_dirs_clear() - All but the first */
void mf_monitor_dirs_clear(struct mf_monitor_dirs *dirs);

/**
 * mf_monitor_dirs_path() - Path of @name in @dir, relative to the first, without a slash in front; @name may be empty
 * Return: its length, or -1: it does not fit into @room with its NUL
 */
int mf_monitor_dirs_path(const struct mf_monitor_dir *dir, struct mf_span name, char *ret,
			 size_t room);

#endif
