/* SPDX-License-Identifier: Apache-2.0 */
/* ask_tree_posix.c - see ask_tree_posix.h */
#include "fs/ask_tree_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/trash.h"

#define DEPTH_MAX   128 /* descriptors that are open at once */
#define ENTRIES_MAX 1000000
#define PATH_ROOM   65536

struct level {
	DIR *d;
	size_t old_len, new_len; /* of the directory's paths */
};

struct walk {
	struct mf_policy_fs *pfs;
	struct mf_fs_act *a; /* in whose seat is asked */
	const struct mf_trash *trash;
	unsigned depth;
	unsigned long cnt;
	struct level levels[DEPTH_MAX];
	char old[PATH_ROOM], new[PATH_ROOM];
};

static int enter(struct walk *w, int dir_fd, const char *name, size_t old_len, size_t new_len)
{
	struct stat st;
	DIR *d;
	int fd, r = 0;

	if (w->depth == DEPTH_MAX)
		return -EXDEV;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	// What is in the trash is out of reach, and stays where it is.
	if (w->trash && fstat(fd, &st) < 0)
		r = -errno;
	else if (w->trash && mf_trash_is(w->trash, (uint64_t)st.st_dev, st.st_ino))
		r = -EACCES;
	d = r == 0 ? fdopendir(fd) : NULL;
	if (!d) {
		r = r < 0 ? r : -errno;
		close(fd);
		return r;
	}
	w->levels[w->depth++] = (struct level){ d, old_len, new_len };
	return 0;
}

/* Append a name to the path of a directory. Return: the new length, 0: too long */
static size_t append(char path[PATH_ROOM], size_t len, const char *name, size_t name_len)
{
	if (len + name_len + 2 > PATH_ROOM)
		return 0;
	path[len] = '/';
	memcpy(path + len + 1, name, name_len + 1);
	return len + 1 + name_len;
}

static int ask(struct walk *w, size_t old_len, size_t new_len)
{
	struct mf_fs_question q = w->a->q;
	int r;

	q.op = MF_FS_RENAME_FROM;
	q.path = w->old;
	q.path_len = old_len;
	q.target = w->new;
	q.target_len = new_len;
	r = mf_policy_fs_also(w->pfs, w->a, &q);
	if (r < 0)
		return r;
	q.op = MF_FS_RENAME_TO;
	q.path = w->new;
	q.path_len = new_len;
	q.target = w->old;
	q.target_len = old_len;
	r = mf_policy_fs_also(w->pfs, w->a, &q);
	return r == 0 && w->a->verdict.what == MF_FS_ELSEWHERE ? -EXDEV : r;
}

static bool is_dir(DIR *d, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int take(struct walk *w, const struct level *l, const struct dirent *e)
{
	size_t len = strlen(e->d_name), old_len, new_len;
	int r;

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return 0;
	if (++w->cnt > ENTRIES_MAX)
		return -EXDEV;
	old_len = append(w->old, l->old_len, e->d_name, len);
	new_len = append(w->new, l->new_len, e->d_name, len);
	if (!old_len || !new_len)
		return -EXDEV;
	r = ask(w, old_len, new_len);
	if (r < 0 || !is_dir(l->d, e))
		return r;
	r = enter(w, dirfd(l->d), e->d_name, old_len, new_len);
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? 0 : r; // it has gone meanwhile
}

static int walk(struct walk *w)
{
	int r = 0;

	while (w->depth && r == 0) {
		struct level *l = &w->levels[w->depth - 1];
		const struct dirent *e;

		errno = 0;
		e = readdir(l->d);
		if (e) {
			r = take(w, l, e);
			continue;
		}
		r = -errno;
		closedir(l->d);
		w->depth--;
	}
	while (w->depth)
		closedir(w->levels[--w->depth].d);
	return r;
}

int mf_fs_ask_tree(struct mf_policy_fs *pfs, struct mf_fs_act *a, const struct mf_trash *trash,
		   int dir_fd, const char *name, const struct mf_fs_tree_names *names)
{
	struct walk *w;
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (names->old_len >= PATH_ROOM || names->new_len >= PATH_ROOM)
		return -EXDEV;
	w = malloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->pfs = pfs;
	w->a = a;
	w->trash = trash;
	w->depth = 0;
	w->cnt = 0;
	memcpy(w->old, names->old, names->old_len + 1);
	memcpy(w->new, names->new, names->new_len + 1);
	r = enter(w, dir_fd, name, names->old_len, names->new_len);
	if (r == 0)
		r = walk(w);
	free(w);
	return r;
}
