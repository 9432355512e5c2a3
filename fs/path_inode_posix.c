/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_inode_posix.c - what is known of inodes: who has them open, and by what names they were seen; see path_fs.h
 *
 * An inode is in the table while it is open, and as one of several names (hard links) from when it was seen until
 * MF_PATH_LINKED_MAX others were: whoever changes it is asked about by all of the names that are known.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/path_fs.h"

struct mf_path_link {
	struct mf_path_link *next;
	char inner[];
};

static struct mf_path_inode **bucket_of(struct mf_path_mount *m, uint64_t dev, uint64_t ino)
{
	return &m->inodes[(size_t)((ino * UINT64_C(0x9e3779b97f4a7c15) ^ dev) >> 32) %
			  MF_PATH_BUCKETS];
}

struct mf_path_inode *mf_path_inode_find(struct mf_path_mount *m, uint64_t dev, uint64_t ino)
{
	struct mf_path_inode *i = *bucket_of(m, dev, ino);

	while (i && (i->dev != dev || i->ino != ino))
		i = i->next;
	return i;
}

static void drop_links(struct mf_path_inode *inode)
{
	while (inode->links) {
		struct mf_path_link *l = inode->links;

		inode->links = l->next;
		free(l);
	}
}

/* Under m->lock. */
static void free_inode(struct mf_path_mount *m, struct mf_path_inode *inode)
{
	struct mf_path_inode **at = bucket_of(m, inode->dev, inode->ino);

	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	m->linked_cnt -= inode->linked;
	drop_links(inode);
	mf_path_forget_write(inode);
	pthread_mutex_destroy(&inode->append);
	free(inode);
}

/* One that is not open, from where the last one was. Under m->lock. */
static void forget_one(struct mf_path_mount *m)
{
	for (size_t n = 0; n < MF_PATH_BUCKETS; n++) {
		struct mf_path_inode *i = m->inodes[m->hand++ % MF_PATH_BUCKETS];

		while (i && i->files)
			i = i->next;
		if (i) {
			free_inode(m, i);
			return;
		}
	}
}

/* Under m->lock. Return: NULL without memory */
static struct mf_path_inode *inode_of(struct mf_path_mount *m, const struct stat *st)
{
	struct mf_path_inode **head = bucket_of(m, (uint64_t)st->st_dev, st->st_ino),
			     *i = mf_path_inode_find(m, (uint64_t)st->st_dev, st->st_ino);

	if (i)
		return i;
	i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	i->dev = (uint64_t)st->st_dev;
	i->ino = st->st_ino;
	pthread_mutex_init(&i->append, NULL);
	i->next = *head;
	*head = i;
	return i;
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

/* Under m->lock. Return: 0, -ENOMEM */
static int add_link(struct mf_path_inode *inode, const char *inner)
{
	size_t room = strlen(inner) + 1;
	struct mf_path_link *l, **at = &inode->links;

	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->inner, inner) == 0)
			return 0;
	l = malloc(sizeof(*l) + room);
	if (!l)
		return -ENOMEM;
	l->next = NULL;
	memcpy(l->inner, inner, room);
	*at = l;
	return 0;
}

/* As one that stays without being open. Under m->lock. */
static void stay(struct mf_path_mount *m, struct mf_path_inode *i)
{
	if (i->linked)
		return;
	i->linked = true;
	if (++m->linked_cnt > MF_PATH_LINKED_MAX)
		forget_one(m);
}

int mf_path_link_seen(struct mf_path_mount *m, const struct stat *st, const char *inner)
{
	struct mf_path_inode *i;
	int r;

	if (!S_ISREG(st->st_mode) || st->st_nlink < 2)
		return 0;
	pthread_mutex_lock(&m->lock);
	i = inode_of(m, st);
	r = i ? add_link(i, inner) : -ENOMEM;
	if (i)
		stay(m, i);
	pthread_mutex_unlock(&m->lock);
	return r;
}

void mf_path_hide(struct mf_path_mount *m, const struct stat *st, const char *inner)
{
	struct mf_path_inode *i;

	pthread_mutex_lock(&m->lock);
	i = inode_of(m, st);
	if (i && add_link(i, inner) == 0) {
		i->hidden = true;
		stay(m, i);
	}
	pthread_mutex_unlock(&m->lock);
}

bool mf_path_is_hidden(struct mf_path_mount *m, const struct stat *st, const char *inner)
{
	struct mf_path_inode *i;
	struct mf_path_link *l;
	bool is;

	pthread_mutex_lock(&m->lock);
	i = mf_path_inode_find(m, (uint64_t)st->st_dev, st->st_ino);
	for (l = i ? i->links : NULL; l && strcmp(l->inner, inner) != 0; l = l->next)
		;
	is = l && i->hidden;
	pthread_mutex_unlock(&m->lock);
	return is;
}

static void remove_link(struct mf_path_inode *inode, const char *inner)
{
	struct mf_path_link **at = &inode->links, *l;

	while (*at && strcmp((*at)->inner, inner) != 0)
		at = &(*at)->next;
	l = *at;
	if (!l)
		return;
	*at = l->next;
	free(l);
}

void mf_path_link_gone(struct mf_path_mount *m, const struct stat *st, const char *inner)
{
	struct mf_path_inode *i;

	pthread_mutex_lock(&m->lock);
	i = mf_path_inode_find(m, (uint64_t)st->st_dev, st->st_ino);
	if (i) {
		remove_link(i, inner);
		if (!i->links && !i->files)
			free_inode(m, i);
	}
	pthread_mutex_unlock(&m->lock);
}

/* What @path is once @from is called @to; NULL: as it is. Return: allocated */
static struct mf_path_link *moved(const char *path, const char *from, const char *to)
{
	size_t len = strlen(from), to_len = strlen(to), rest;
	struct mf_path_link *l;

	if (strncmp(path, from, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	rest = strlen(path + len) + 1;
	l = malloc(sizeof(*l) + to_len + rest);
	if (!l)
		return NULL;
	memcpy(l->inner, to, to_len);
	memcpy(l->inner + to_len, path + len, rest);
	return l;
}

void mf_path_links_moved(struct mf_path_mount *m, const char *from, const char *to, bool swap)
{
	struct mf_path_inode *i;
	struct mf_path_link **at, *l;

	pthread_mutex_lock(&m->lock);
	for (size_t b = 0; b < MF_PATH_BUCKETS; b++)
		for (i = m->inodes[b]; i; i = i->next) {
			if (!swap)
				remove_link(i, to);
			for (at = &i->links; *at; at = &(*at)->next) {
				l = moved((*at)->inner, from, to);
				if (!l && swap)
					l = moved((*at)->inner, to, from);
				if (!l)
					continue;
				l->next = (*at)->next;
				free(*at);
				*at = l;
			}
		}
	pthread_mutex_unlock(&m->lock);
}

int mf_path_link_name(struct mf_path_mount *m, uint64_t dev, uint64_t ino, unsigned n,
		      char ret[MF_PATH_ROOM])
{
	struct mf_path_inode *i;
	struct mf_path_link *l;

	pthread_mutex_lock(&m->lock);
	i = mf_path_inode_find(m, dev, ino);
	for (l = i ? i->links : NULL; l && n; n--)
		l = l->next;
	if (l)
		memcpy(ret, l->inner, strlen(l->inner) + 1);
	pthread_mutex_unlock(&m->lock);
	return l ? 0 : -ENOENT;
}

/* ---- open files ------------------------------------------------------------------------------------------------------- */

struct mf_path_file *mf_path_file_new(struct mf_path_mount *m, int fd, const struct stat *st,
				      const char *inner, int flags)
{
	struct mf_path_file *f = calloc(1, sizeof(*f)), **list;
	int r = 0;

	if (!f) {
		close(fd);
		return NULL;
	}
	f->fd = fd;
	f->writes = (flags & O_ACCMODE) != O_RDONLY;
	f->appends = flags & O_APPEND;
	pthread_mutex_lock(&m->lock);
	if (st) {
		f->inode = inode_of(m, st);
		r = f->inode ? add_link(f->inode, inner) : -ENOMEM;
	}
	list = f->inode ? &f->inode->files : &m->others;
	f->next = *list;
	*list = f;
	pthread_mutex_unlock(&m->lock);
	atomic_fetch_add(&m->open_files, 1);
	if (r == 0)
		return f;
	mf_path_file_close(m, f);
	return NULL;
}

/* Under m->lock: another writer goes on with what is in the trash, or nobody does and @settle stays. */
static void leave_inode(struct mf_path_mount *m, struct mf_path_file *f,
			char settle[MF_TRASH_TOKEN_MAX])
{
	struct mf_path_inode *inode = f->inode;
	struct mf_path_file *other;
	bool writer = false;

	for (other = inode->files; other; other = other->next) {
		writer |= other->writes;
		if (*settle && other->writes && !*other->settle) {
			memcpy(other->settle, settle, sizeof(other->settle));
			settle[0] = '\0';
		}
	}
	if (!writer)
		mf_path_forget_write(inode);
	if (!inode->files && (!inode->linked || !inode->links))
		free_inode(m, inode);
}

void mf_path_file_close(struct mf_path_mount *m, struct mf_path_file *f)
{
	char settle[MF_TRASH_TOKEN_MAX] = "";
	struct mf_path_file **at;

	if (!f)
		return;
	pthread_mutex_lock(&m->lock);
	for (at = f->inode ? &f->inode->files : &m->others; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	if (f->inode) {
		memcpy(settle, f->settle, sizeof(settle));
		leave_inode(m, f, settle);
	}
	pthread_mutex_unlock(&m->lock);
	close(f->fd);
	free(f);
	atomic_fetch_sub(&m->open_files, 1);
	if (*settle)
		(void)mf_trash_settle(m->o.trash, settle);
}

void mf_path_inodes_free(struct mf_path_mount *m)
{
	for (size_t b = 0; b < MF_PATH_BUCKETS; b++)
		while (m->inodes[b]) {
			struct mf_path_inode *i = m->inodes[b];

			if (i->files)
				mf_path_file_close(m, i->files);
			else
				free_inode(m, i);
		}
	while (m->others)
		mf_path_file_close(m, m->others);
}
