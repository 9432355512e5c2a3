/* SPDX-License-Identifier: Apache-2.0 */
/* trash_tree_posix.c - whole trees: copying, removing; no recursion, no link followed, no path longer than one component */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "fs/file_copy_posix.h"
#include "fs/fs_sys.h"
#include "fs/trash_int.h"

#define DEPTH_MAX 4096	    /* directories in each other */
#define LINKS_MAX (1 << 20) /* files with several names that are remembered; more become copies */
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/*
 * A walk over the tree @a and, where there is one, its image @b beside it. Two descriptors at any depth: the way up is "..",
 * and what is found there must be what was left.
 */
struct level {
	char *name; /* of this directory in the one above */
	struct mf_trash_names names;
	size_t next;
	struct stat a, b;
};

struct walk {
	const struct mf_trash *t;
	int a, b;	   /* the directories where the walk is; b is -1 where there is no image */
	const char *image; /* the image's own name: that of the tree may be another */
	int image_dir;	   /* where it lies */
	struct level *levels;
	size_t depth, room;
	dev_t dev; /* the tree's file system: others are not entered */
	uint64_t removed, bytes;
	struct links *links;
	int (*leaf)(struct walk *w, const char *name, const struct stat *st);
	int (*enter)(struct walk *w, const char *name,
		     const struct stat *st); /* before it is opened; may be NULL */
	int (*leave)(struct walk *w,
		     const struct level *level); /* in it, when all below is done; may be NULL */
	int (*left)(struct walk *w, const struct level *level); /* above it; may be NULL */
};

static const char *image_name(const struct walk *w, const char *name)
{
	return w->depth == 0 ? w->image : name;
}

static int push(struct walk *w, const char *name)
{
	int a = openat(w->a, name, DIR_FLAGS), b = -1, r = 0;
	struct level *level;

	if (a < 0)
		return -errno;
	if (w->b >= 0) {
		b = openat(w->b, image_name(w, name), DIR_FLAGS);
		if (b < 0)
			r = -errno;
	}
	if (r == 0 && w->depth == DEPTH_MAX)
		r = -ELOOP;
	if (r == 0 && w->depth == w->room) {
		size_t room = w->room ? 2 * w->room : 16;
		struct level *levels = realloc(w->levels, room * sizeof(*levels));

		if (levels) {
			w->levels = levels;
			w->room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (r < 0)
		goto fail;
	level = &w->levels[w->depth];
	memset(level, 0, sizeof(*level));
	if (fstat(a, &level->a) < 0 || (b >= 0 && fstat(b, &level->b) < 0))
		r = -errno;
	else if (level->a.st_dev != w->dev)
		r = -EBUSY; // something is mounted there
	else if (mf_trash_names_read(a, NULL, &level->names) < 0)
		r = -EIO;
	if (r == 0 && !(level->name = strdup(name))) {
		mf_trash_names_done(&level->names);
		r = -ENOMEM;
	}
	if (r < 0)
		goto fail;
	w->depth++;
	close(w->a);
	w->a = a;
	if (b >= 0) {
		close(w->b);
		w->b = b;
	}
	return 0;
fail:
	close(a);
	if (b >= 0)
		close(b);
	return r;
}

/* The directory above *fd, which must be @above. */
static int go_up(int *fd, const struct stat *above)
{
	int up = openat(*fd, "..", DIR_FLAGS);
	struct stat st;

	if (up < 0)
		return -errno;
	if (fstat(up, &st) < 0 || st.st_dev != above->st_dev || st.st_ino != above->st_ino) {
		close(up);
		return -EBUSY; // it was moved meanwhile
	}
	close(*fd);
	*fd = up;
	return 0;
}

static int walk_tree(struct walk *w, int a, int b, const char *name)
{
	struct stat st, top_a, top_b = { 0 };
	int r = 0;

	if (fstatat(a, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	w->a = openat(a, ".", DIR_FLAGS);
	w->b = b < 0 ? -1 : openat(b, ".", DIR_FLAGS);
	if (w->a < 0 || (b >= 0 && w->b < 0) || fstat(w->a, &top_a) < 0 ||
	    (b >= 0 && fstat(w->b, &top_b) < 0)) {
		r = -errno;
		goto out;
	}
	w->dev = st.st_dev;
	for (const char *next = name; r == 0;) {
		struct level *level;

		if (!S_ISDIR(st.st_mode)) {
			r = w->leaf(w, next, &st);
		} else {
			r = w->enter ? w->enter(w, next, &st) : 0;
			if (r == 0)
				r = push(w, next);
		}
		// To the next name there is, upwards as far as directories have come to their end.
		for (next = NULL; r == 0 && w->depth > 0 && !next;) {
			level = &w->levels[w->depth - 1];
			if (level->next < level->names.cnt) {
				next = level->names.names[level->next++];
				break;
			}
			r = w->leave ? w->leave(w, level) : 0;
			if (r == 0)
				r = go_up(&w->a, w->depth > 1 ? &level[-1].a : &top_a);
			if (r == 0 && w->b >= 0)
				r = go_up(&w->b, w->depth > 1 ? &level[-1].b : &top_b);
			if (r == 0 && w->left)
				r = w->left(w, level);
			free(level->name);
			mf_trash_names_done(&level->names);
			w->depth--;
		}
		if (!next)
			break;
		if (r == 0 && fstatat(w->a, next, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
out:
	while (w->depth > 0) {
		w->depth--;
		free(w->levels[w->depth].name);
		mf_trash_names_done(&w->levels[w->depth].names);
	}
	free(w->levels);
	if (w->a >= 0)
		close(w->a);
	if (w->b >= 0)
		close(w->b);
	return r;
}

static int remove_leaf(struct walk *w, const char *name, const struct stat *st)
{
	(void)st;
	return unlinkat(w->a, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int remove_left(struct walk *w, const struct level *level)
{
	return unlinkat(w->a, level->name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

/* Directories that their owner closed to himself cannot be emptied; in the trash they can be opened again. */
static int remove_enter(struct walk *w, const char *name, const struct stat *st)
{
	if ((st->st_mode & 0700) != 0700 && st->st_uid == geteuid() &&
	    fchmodat(w->a, name, (st->st_mode & 07777) | 0700, 0) < 0)
		return -errno;
	return 0;
}

int mf_trash_remove_tree(int dir, const char *name)
{
	struct walk w = { .leaf = remove_leaf, .enter = remove_enter, .left = remove_left };
	int r = walk_tree(&w, dir, -1, name);

	return r == -ENOENT ? 0 : r;
}

static int count_leaf(struct walk *w, const char *name, const struct stat *st)
{
	(void)name;
	w->bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

int mf_trash_tree_bytes(int dir, const char *name, uint64_t *ret)
{
	struct walk w = { .leaf = count_leaf, .enter = count_leaf };
	int r = walk_tree(&w, dir, -1, name);

	*ret = w.bytes;
	return r;
}

/* Files with several names that were copied: by inode, to where the copy lies below the image's directory. */
struct links {
	struct link {
		ino_t ino;
		char *path; /* NULL: free */
	} * slots;
	size_t cnt, room; /* @room a power of two, at most half full */
};

static struct link *links_find(struct links *l, ino_t ino)
{
	size_t at = (size_t)mf_hash_u64((uint64_t)ino, 1);

	while (l->slots[at & (l->room - 1)].path && l->slots[at & (l->room - 1)].ino != ino)
		at++;
	return &l->slots[at & (l->room - 1)];
}

static bool links_grow(struct links *l)
{
	struct links wide = { .room = l->room ? 2 * l->room : 64 };

	wide.slots = calloc(wide.room, sizeof(*wide.slots));
	if (!wide.slots)
		return false;
	for (size_t i = 0; i < l->room; i++)
		if (l->slots[i].path)
			*links_find(&wide, l->slots[i].ino) = l->slots[i];
	free(l->slots);
	l->slots = wide.slots;
	l->room = wide.room;
	return true;
}

static void links_done(struct links *l)
{
	for (size_t i = 0; i < l->room; i++)
		free(l->slots[i].path);
	free(l->slots);
}

/* Best effort: what is not remembered becomes a file of its own. */
static void links_add(struct walk *w, const char *name, ino_t ino)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4000);
	struct links *l = w->links;

	if (l->cnt >= LINKS_MAX || (2 * (l->cnt + 1) > l->room && !links_grow(l)))
		return;
	for (size_t i = 0; i < w->depth; i++) {
		mf_strbuf_adds(&b, i == 0 ? w->image : w->levels[i].name);
		mf_strbuf_addc(&b, '/');
	}
	mf_strbuf_adds(&b, image_name(w, name));
	if (!b.failed) {
		*links_find(l, ino) = (struct link){ .ino = ino, .path = b.str };
		l->cnt++;
	} else {
		mf_strbuf_done(&b);
	}
}

static int copy_link(struct walk *w, const char *name, const struct stat *st)
{
	struct timespec times[2];
	char target[4096];
	const char *to = image_name(w, name);
	ssize_t n = readlinkat(w->a, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, w->b, to) < 0)
		return -errno;
	mf_file_times_of(st, times);
	if (fchownat(w->b, to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EPERM)
		return -errno;
	return utimensat(w->b, to, times, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int copy_special(struct walk *w, const char *name, const struct stat *st)
{
	struct timespec times[2];
	const char *to = image_name(w, name);
	bool owned;

#ifdef __APPLE__
	return -EPERM; // there is no mknodat()
#else
	if (mknodat(w->b, to, st->st_mode, st->st_rdev) < 0)
		return -errno;
#endif
	mf_file_times_of(st, times);
	owned = fchownat(w->b, to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) == 0;
	if (fchmodat(w->b, to, st->st_mode & (owned ? 07777 : 0777), 0) < 0 ||
	    utimensat(w->b, to, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_regular(struct walk *w, const char *name)
{
	int r, in = openat(w->a, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	bool cloned;

	if (in < 0)
		return -errno;
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		r = -EINVAL;
	else
		r = mf_file_copy(in, &st, w->b, image_name(w, name), 0, !w->t->options.no_sync,
				 &cloned);
	close(in);
	return r;
}

static int copy_leaf(struct walk *w, const char *name, const struct stat *st)
{
	const struct link *known;
	int r;

	if (S_ISLNK(st->st_mode))
		return copy_link(w, name, st);
	if (!S_ISREG(st->st_mode))
		return copy_special(w, name, st);
	if (st->st_nlink > 1 && w->links->room) {
		known = links_find(w->links, st->st_ino);
		if (known->path &&
		    linkat(w->image_dir, known->path, w->b, image_name(w, name), 0) == 0)
			return 0;
	}
	r = copy_regular(w, name);
	if (r == 0 && st->st_nlink > 1)
		links_add(w, name, st->st_ino);
	return r;
}

static int copy_enter(struct walk *w, const char *name, const struct stat *st)
{
	(void)st;
	return mkdirat(w->b, image_name(w, name), 0700) == 0 ? 0 : -errno;
}

static int copy_leave(struct walk *w, const struct level *level)
{
	int r = mf_file_copy_attrs(w->a, w->b, &level->a);

	return r < 0 ? r : w->t->options.no_sync || fsync(w->b) == 0 ? 0 : -errno;
}

int mf_trash_copy_tree(const struct mf_trash *t, int from_dir, const char *from, int to_dir,
		       const char *to)
{
	struct links links = { 0 };
	struct walk w = { .t = t,
			  .image = to,
			  .image_dir = to_dir,
			  .links = &links,
			  .leaf = copy_leaf,
			  .enter = copy_enter,
			  .leave = copy_leave };
	int r = walk_tree(&w, from_dir, to_dir, from);

	links_done(&links);
	return r;
}

/* What was copied is as it was: nobody wrote to it, or put something else in its place, since. */
static bool same(const struct walk *w, const char *name, const struct stat *st)
{
	struct mf_trash_attr a, b;
	struct stat image;

	if (fstatat(w->b, image_name(w, name), &image, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (image.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	if (S_ISDIR(st->st_mode))
		return true;
	mf_trash_attr_of(st, &a);
	mf_trash_attr_of(&image, &b);
	return a.size == b.size && a.mtime_ns == b.mtime_ns;
}

static int removed_leaf(struct walk *w, const char *name, const struct stat *st)
{
	if (!same(w, name, st))
		return -EBUSY;
	if (unlinkat(w->a, name, 0) < 0)
		return -errno;
	w->removed++;
	return 0;
}

static int removed_enter(struct walk *w, const char *name, const struct stat *st)
{
	return same(w, name, st) ? 0 : -EBUSY;
}

static int removed_left(struct walk *w, const struct level *level)
{
	if (unlinkat(w->a, level->name, AT_REMOVEDIR) < 0)
		return errno == ENOTEMPTY || errno == EEXIST ? -EBUSY : -errno;
	w->removed++;
	return 0;
}

int mf_trash_remove_copied(int dir, const char *name, int copy_dir, const char *copy,
			   uint64_t *ret_removed)
{
	struct walk w = { .image = copy,
			  .image_dir = copy_dir,
			  .leaf = removed_leaf,
			  .enter = removed_enter,
			  .left = removed_left };
	int r = walk_tree(&w, dir, copy_dir, name);

	*ret_removed = w.removed;
	return r;
}
