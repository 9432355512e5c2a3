/* SPDX-License-Identifier: Apache-2.0 */
/* files_posix.c - files.h where files are POSIX'; how a name is kept below its directory is each system's own */
#include "core/policy/files_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/policy/files.h"

char *mf_file_path_dup(const char *path)
{
	return strdup(path);
}

size_t mf_file_root_len(const char *path)
{
	return path[0] == '/';
}

static enum mf_file_kind kind_of_mode(mode_t mode)
{
	if (S_ISREG(mode))
		return MF_FILE_REGULAR;
	return S_ISDIR(mode) ? MF_FILE_DIR : MF_FILE_OTHER;
}

enum mf_file_kind mf_file_kind_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? MF_FILE_NONE : kind_of_mode(st.st_mode);
}

static int fail_io(struct mf_err *err, const char *path, int error)
{
	return mf_err_at(err, error == ENOENT || error == ENOTDIR ? MF_E_NOENT : MF_E_IO, path, 0,
			 0, "cannot read %s: %s", path, strerror(error));
}

/* Reads what @fd holds and closes it. One byte more than the size is asked for, so that growth is seen. */
static int read_all(int fd, const char *path, size_t max, char **ret_text, size_t *ret_len,
		    struct mf_err *err)
{
	size_t len = 0, room;
	struct stat st;
	char *text = NULL, *more;
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0) {
		r = fail_io(err, path, errno);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		r = mf_err_at(err, MF_E_IO, path, 0, 0, "%s is not a regular file", path);
		goto out;
	}
	room = (uint64_t)st.st_size < max ? (size_t)st.st_size : max;
	do {
		more = realloc(text, room + 2);
		if (!more) {
			r = mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", path);
			goto out;
		}
		text = more;
		while (len <= room && (n = read(fd, text + len, room + 1 - len)) != 0) {
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0) {
				r = fail_io(err, path, errno);
				goto out;
			}
			len += (size_t)n;
		}
		if (len > max) {
			r = mf_err_at(err, MF_E_LIMIT, path, 0, 0, "%s has more than %zu bytes",
				      path, max);
			goto out;
		}
	} while (len > room && (room = room * 2 < max ? room * 2 + 64 : max));
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	text = NULL;
	r = 0;
out:
	free(text);
	close(fd);
	return r;
}

int mf_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail_io(err, path, errno);
	return read_all(fd, path, max, ret_text, ret_len, err);
}

static bool name_is_confined(const char *name)
{
	const char *p = name;

	if (*name == '\0' || *name == '/')
		return false;
	while (*p) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return false;
		p += len + (p[len] == '/');
	}
	return true;
}

/* Opens @name below @dir; @path: room for "DIR/NAME". Return: descriptor, or MF_E_* */
static int open_confined(const char *dir, const char *name, char *path, size_t size,
			 struct mf_err *err)
{
	int fd;

	if (!name_is_confined(name))
		return mf_err_set(
			err, MF_E_PERM,
			"\"%s\" may not be absolute or hold \"..\": files of a policy lie below %s",
			name, dir);
	if (snprintf(path, size, "%s/%s", dir, name) >= (int)size)
		return mf_err_set(err, MF_E_LIMIT, "a path below %s is too long", dir);
	fd = mf_file_open_below(dir, name, path);
	if (fd < 0 && errno == EXDEV)
		return mf_err_at(err, MF_E_PERM, path, 0, 0,
				 "%s is a symbolic link out of its directory", path);
	return fd < 0 ? fail_io(err, path, errno) : fd;
}

int mf_file_read_below(const char *dir, const char *name, size_t max, char **ret_text,
		       size_t *ret_len, struct mf_err *err)
{
	char path[4096];
	int fd = open_confined(dir, name, path, sizeof(path), err);

	return fd < 0 ? fd : read_all(fd, path, max, ret_text, ret_len, err);
}

int mf_file_read_pieces(const char *dir, const char *name, size_t max, mf_file_piece_fn fn,
			void *ctx, struct mf_err *err)
{
	char path[4096], *piece;
	int r = 0, fd = open_confined(dir, name, path, sizeof(path), err);
	size_t total = 0;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0)
		return fd;
	piece = malloc(MF_FILE_PIECE);
	if (!piece)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", path);
	else if (fstat(fd, &st) < 0)
		r = fail_io(err, path, errno);
	else if (!S_ISREG(st.st_mode))
		r = mf_err_at(err, MF_E_IO, path, 0, 0, "%s is not a regular file", path);
	while (r == 0 && n) {
		n = read(fd, piece, MF_FILE_PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = fail_io(err, path, errno);
		else if ((size_t)n > max - total)
			r = mf_err_at(err, MF_E_LIMIT, path, 0, 0, "%s has more than %zu bytes",
				      path, max);
		else if (n > 0)
			r = fn(ctx, piece, (size_t)n, err);
		total += n > 0 ? (size_t)n : 0;
	}
	free(piece);
	close(fd);
	return r;
}

static int add_entry(struct mf_file_list *list, int fd, const char *name)
{
	struct mf_file_entry *more;
	struct stat st;

	more = realloc(list->items, (list->cnt + 1) * sizeof(*more));
	if (!more)
		return MF_E_NOMEM;
	list->items = more;
	more[list->cnt].name = strdup(name);
	if (!more[list->cnt].name)
		return MF_E_NOMEM;
	more[list->cnt].kind =
		fstatat(fd, name, &st, 0) < 0 ? MF_FILE_OTHER : kind_of_mode(st.st_mode);
	list->cnt++;
	return 0;
}

int mf_file_list_dir(const char *dir, size_t max, struct mf_file_list *ret_list, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	struct dirent *e;
	DIR *d = opendir(dir);
	int r = 0;

	if (!d)
		return fail_io(err, dir, errno);
	while (r == 0 && (errno = 0, e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (list.cnt == max)
			r = mf_err_set(err, MF_E_LIMIT, "%s has more than %zu entries", dir, max);
		else if (add_entry(&list, dirfd(d), e->d_name) < 0)
			r = mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", dir);
	}
	if (r == 0 && errno)
		r = fail_io(err, dir, errno);
	closedir(d);
	if (r < 0) {
		mf_file_list_done(&list);
		return r;
	}
	mf_file_list_sort(&list);
	*ret_list = list;
	return 0;
}
