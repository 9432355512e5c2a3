/* SPDX-License-Identifier: Apache-2.0 */
/* disk_posix.c - see disk.h: openat() and rename(), fsync() of files before and of directories after */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "packs/disk.h"

#define NEW_FILE "packs.new" /* a file that is being written */
#define NEW_DIR	 ".new"	     /* a pack that is being written */
#define OLD_DIR	 ".old"	     /* a pack that is being removed */
#define LOCK	 ".lock"

struct mf_pack_disk {
	int fd, lock;
	char path[];
};

static int fail_io(struct mf_err *err, const char *what, const char *path, const char *name)
{
	return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "cannot %s %s%s%s: %s", what,
			  path, *name ? "/" : "", name, strerror(errno));
}

static int check_fd(int fd, const char *path, struct mf_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_io(err, "look at", path, "");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return mf_err_set(err, MF_E_PERM,
				  "%s belongs to user %ju: whoever owns it says what the "
				  "policies are",
				  path, (uintmax_t)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return mf_err_set(err, MF_E_PERM,
				  "others may write to %s (mode %04o): make it 0755 or stricter",
				  path, (unsigned)(st.st_mode & 07777));
	return 0;
}

int mf_pack_disk_check(const char *path, struct mf_err *err)
{
	int r, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail_io(err, "open", path, "");
	r = check_fd(fd, path, err);
	close(fd);
	return r;
}

/* @path and the directories above it, as far as they are missing. */
static int make_path(const char *path)
{
	char above[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(above)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(above, path, len + 1);
	for (char *p = above + 1; len; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(above, 0755) < 0 && errno != EEXIST)
			return -1;
		if (c == '\0')
			break;
		*p = c;
	}
	return 0;
}

static int take_lock(struct mf_pack_disk *d, struct mf_err *err)
{
	int r;

	d->lock = openat(d->fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->lock < 0)
		return fail_io(err, "make", d->path, LOCK);
	do
		r = flock(d->lock, LOCK_EX);
	while (r < 0 && errno == EINTR);
	return r < 0 ? fail_io(err, "lock", d->path, LOCK) : 0;
}

static int remove_tree(int dir, const char *name, unsigned depth);

/* What somebody left who did not come to an end. */
static void sweep(struct mf_pack_disk *d)
{
	(void)unlinkat(d->fd, NEW_FILE, 0);
	(void)remove_tree(d->fd, NEW_DIR, 0);
	(void)remove_tree(d->fd, OLD_DIR, 0);
}

int mf_pack_disk_open(const char *path, struct mf_pack_disk **ret_disk, struct mf_err *err)
{
	struct mf_pack_disk *d = malloc(sizeof(*d) + strlen(path) + 1);
	int r;

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	strcpy(d->path, path);
	d->fd = d->lock = -1;
	if (make_path(path) < 0)
		r = fail_io(err, "make", path, "");
	else if ((d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = fail_io(err, "open", path, "");
	else
		r = check_fd(d->fd, path, err);
	if (r == 0)
		r = take_lock(d, err);
	if (r < 0) {
		mf_pack_disk_close(d);
		return r;
	}
	sweep(d);
	*ret_disk = d;
	return 0;
}

void mf_pack_disk_close(struct mf_pack_disk *d)
{
	if (!d)
		return;
	if (d->lock >= 0)
		close(d->lock);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static int write_file(int dir, const char *name, const void *data, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	const char *p = data;
	int error = 0;

	if (fd < 0)
		return -1;
	while (len && !error) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			error = errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	/* Whatever the umask is: a policy that its readers cannot read is not in force for them. */
	if (!error && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
		error = errno;
	if (close(fd) < 0 && !error)
		error = errno;
	errno = error;
	return error ? -1 : 0;
}

int mf_pack_disk_write(struct mf_pack_disk *d, const char *name, const void *data, size_t len,
		       struct mf_err *err)
{
	if ((unlinkat(d->fd, NEW_FILE, 0) < 0 && errno != ENOENT) ||
	    write_file(d->fd, NEW_FILE, data, len) < 0)
		return fail_io(err, "write", d->path, NEW_FILE);
	if (renameat(d->fd, NEW_FILE, d->fd, name) < 0)
		return fail_io(err, "write", d->path, name);
	(void)fsync(d->fd); /* some file systems cannot, and need no such thing */
	return 0;
}

void mf_pack_disk_unlink(struct mf_pack_disk *d, const char *name)
{
	(void)unlinkat(d->fd, name, 0);
}

/* Everything below and with @name; links are removed, not followed. */
static int remove_tree(int dir, const char *name, unsigned depth)
{
	struct dirent *e;
	DIR *list;
	int fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	list = fd >= 0 && depth < 2 * MF_PACK_DEPTH_MAX ? fdopendir(fd) : NULL;
	if (!list) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(list)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)remove_tree(fd, e->d_name, depth + 1);
	closedir(list);
	return unlinkat(dir, name, AT_REMOVEDIR);
}

/* Open the directory @path of a file's path, made as far as it is missing; Return: descriptor, -1 with errno */
static int open_parent(int root, const char *path)
{
	int fd = dup(root), next;
	const char *slash;

	for (; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		char name[MF_PACK_PATH_MAX + 1];

		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
			next = -1;
		else
			next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next >= 0 && (fchmod(next, 0755) < 0 || fsync(fd) < 0)) {
			close(next);
			next = -1;
		}
		close(fd);
		fd = next;
	}
	return fd;
}

static int write_tree(int root, const struct mf_pack_tree *tree, const char **ret_path)
{
	for (size_t i = 0; i < tree->cnt; i++) {
		const struct mf_pack_file *f = &tree->files[i];
		const char *slash = strrchr(f->path, '/');
		int r, fd = open_parent(root, f->path);

		*ret_path = f->path;
		if (fd < 0)
			return -1;
		r = write_file(fd, slash ? slash + 1 : f->path, f->data, f->len);
		if (r == 0)
			r = fsync(fd);
		close(fd);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* The directory of a pack's versions. */
static int open_group(struct mf_pack_disk *d, const char *group)
{
	int fd;

	if (mkdirat(d->fd, group, 0755) < 0 && errno != EEXIST)
		return -1;
	fd = openat(d->fd, group, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		(void)fchmod(fd, 0755);
	return fd;
}

/* What has the name was left by somebody who did not come to the end of it, or is the same. */
static int move_in(struct mf_pack_disk *d, int group, const char *name)
{
	if (renameat(d->fd, NEW_DIR, group, name) < 0) {
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return -1;
		if (remove_tree(d->fd, OLD_DIR, 0) < 0 ||
		    renameat(group, name, d->fd, OLD_DIR) < 0 ||
		    renameat(d->fd, NEW_DIR, group, name) < 0)
			return -1;
		(void)remove_tree(d->fd, OLD_DIR, 0);
	}
	(void)fsync(group);
	(void)fsync(d->fd);
	return 0;
}

int mf_pack_disk_put(struct mf_pack_disk *d, const char *group, const char *name,
		     const struct mf_pack_tree *tree, struct mf_err *err)
{
	int root = -1, at = -1, r = 0;
	const char *path = "";

	if (remove_tree(d->fd, NEW_DIR, 0) < 0 || mkdirat(d->fd, NEW_DIR, 0755) < 0 ||
	    (root = openat(d->fd, NEW_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
	    fchmod(root, 0755) < 0)
		r = fail_io(err, "make", d->path, NEW_DIR);
	else if (write_tree(root, tree, &path) < 0)
		r = fail_io(err, "write", d->path, path);
	else if ((at = open_group(d, group)) < 0 || move_in(d, at, name) < 0)
		r = fail_io(err, "put a pack into", d->path, group);
	if (root >= 0)
		close(root);
	if (at >= 0)
		close(at);
	if (r < 0)
		(void)remove_tree(d->fd, NEW_DIR, 0);
	return r;
}

void mf_pack_disk_remove(struct mf_pack_disk *d, const char *group, const char *name)
{
	int at = openat(d->fd, group, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (at < 0)
		return;
	/* Out of the way in one step: nobody finds half of it. */
	if (remove_tree(d->fd, OLD_DIR, 0) == 0 && renameat(at, name, d->fd, OLD_DIR) == 0)
		(void)remove_tree(d->fd, OLD_DIR, 0);
	close(at);
	(void)unlinkat(d->fd, group, AT_REMOVEDIR);
}
