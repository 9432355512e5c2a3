/* SPDX-License-Identifier: Apache-2.0 */
/* trash_place_posix.c - which trash a directory's losses go to: the home trash, or one on the same mount */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs_sys.h"
#include "fs/trash_int.h"

#define LOOK_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static bool home_trash(char buf[MF_TRASH_PATH_MAX])
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int n = 0;

	if (data && data[0] == '/')
		n = snprintf(buf, MF_TRASH_PATH_MAX, "%s/Trash", data);
	else if (home && home[0] == '/')
		n = snprintf(buf, MF_TRASH_PATH_MAX, "%s/.local/share/Trash", home);
	return n > 0 && n < MF_TRASH_PATH_MAX;
}

/* The mount of @path, or of the nearest directory above it that exists. */
static int mount_of(const char *path, uint64_t *ret)
{
	char buf[MF_TRASH_PATH_MAX], *slash;

	snprintf(buf, sizeof(buf), "%s", path);
	for (;;) {
		int r, fd = open(buf, LOOK_FLAGS);

		if (fd >= 0) {
			r = mf_fs_sys_mount_id(fd, ret);
			close(fd);
			return r;
		}
		slash = strrchr(buf, '/');
		if (errno != ENOENT || !slash || !buf[1])
			return -errno;
		slash[slash == buf] = '\0';
	}
}

/* The topmost directory of the mount that @source, a path without links, lies on. */
static int top_of(const char *source, uint64_t mount, char ret[MF_TRASH_PATH_MAX])
{
	snprintf(ret, MF_TRASH_PATH_MAX, "%s", source);
	while (ret[1]) {
		char above[MF_TRASH_PATH_MAX], *slash;
		uint64_t id;
		int r;

		memcpy(above, ret, MF_TRASH_PATH_MAX);
		slash = strrchr(above, '/');
		slash[slash == above] = '\0';
		r = mount_of(above, &id);
		if (r < 0)
			return r;
		if (id != mount)
			return 0;
		memcpy(ret, above, MF_TRASH_PATH_MAX);
	}
	return 0;
}

/* $top/.Trash/$uid where an administrator made .Trash for all, and made it well; the specification wants both checks. */
static bool shared_trash(const char *top, char ret[MF_TRASH_PATH_MAX])
{
	struct stat st;
	int n = snprintf(ret, MF_TRASH_PATH_MAX, "%s/.Trash", strcmp(top, "/") == 0 ? "" : top);

	if (n >= MF_TRASH_PATH_MAX || lstat(ret, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    !(st.st_mode & S_ISVTX))
		return false;
	n += snprintf(ret + n, MF_TRASH_PATH_MAX - (size_t)n, "/%ju", (uintmax_t)geteuid());
	return n < MF_TRASH_PATH_MAX;
}

static bool own_trash(const char *top, char ret[MF_TRASH_PATH_MAX])
{
	int n = snprintf(ret, MF_TRASH_PATH_MAX, "%s/.Trash-%ju", strcmp(top, "/") == 0 ? "" : top,
			 (uintmax_t)geteuid());

	return n < MF_TRASH_PATH_MAX;
}

/* Whether it is a directory of ours that others cannot put things into, or can be made one. */
static bool usable(const char *path, bool make)
{
	struct stat st;

	if (make && mkdir(path, 0700) == 0)
		return true;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH)) && access(path, W_OK | X_OK) == 0;
}

int mf_trash_place_find(struct mf_trash *t, const struct mf_trash_options *o, struct mf_err *err)
{
	char home[MF_TRASH_PATH_MAX], source[PATH_MAX], top[MF_TRASH_PATH_MAX];
	uint64_t source_mount = 0, home_mount = 0;
	bool has_home = home_trash(home);
	int r;

	t->where = MF_TRASH_HOME;
	if (!o->source) {
		if (!has_home)
			return mf_err_set(err, MF_E_NOENT,
					  "No home directory: say where the trash is.");
		memcpy(t->path, home, sizeof(home));
		return 0;
	}
	if (!realpath(o->source, source))
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO,
				  "Cannot find %s: %s.", o->source, strerror(errno));
	r = mount_of(source, &source_mount);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "Cannot find the file system of %s: %s.", source,
				  strerror(-r));
	if (has_home && mount_of(home, &home_mount) == 0 && home_mount == source_mount) {
		memcpy(t->path, home, sizeof(home));
		return 0;
	}
	r = top_of(source, source_mount, top);
	if (r == 0 && ((shared_trash(top, t->path) && usable(t->path, !o->no_create)) ||
		       (own_trash(top, t->path) && usable(t->path, !o->no_create)))) {
		t->where = MF_TRASH_TOP;
		memcpy(t->top, top, sizeof(top));
		return 0;
	}
	if (!has_home)
		return mf_err_set(
			err, MF_E_NOENT,
			"%s has no trash on its file system, and there is no home directory: "
			"say where the trash is.",
			source);
	memcpy(t->path, home, sizeof(home));
	return 0;
}
