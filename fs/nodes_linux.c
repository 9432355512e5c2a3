/* SPDX-License-Identifier: Apache-2.0 */
/* nodes_linux.c - see nodes_linux.h */
#include "fs/nodes_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "fs/source_linux.h"

#define BUCKETS_MIN 1024
/* Directories above one another: a path has no more, and names that changed behind our back may form a circle. */
#define DEPTH_MAX (MF_FS_PATH_ROOM / 2)
/*
 * A directory's descriptor is used for so long after the way to it was last found to be there: who moves one out of the
 * source has it out of reach by then, also for those who stand in it.
 */
#define FRESH_NS MF_NS_PER_S
#define LOST_MAX 100 /* times that a directory is looked for again while renames are on their way */

struct mf_fs_link {
	struct mf_fs_node *parent, *child;
	struct mf_fs_link *next_name; /* of the child */
	struct mf_fs_link *next;      /* in its bucket */
	uint32_t hash;
	uint8_t len;
	char name[];
};

struct mf_fs_dir {
	struct mf_fs_dirfd *fd;
	uint64_t seen_ns;		  /* when the whole way to it was there */
	struct mf_fs_node *older, *newer; /* of those that have a descriptor */
	char *path;			  /* as policies see it; NULL: not known */
	uint32_t path_len;
	uint32_t path_of; /* mf_fs_nodes.renames when it was made */
};

struct mf_fs_nodes {
	pthread_mutex_t lock;
	struct mf_fs_node *root;
	struct mf_fs_node **by_id;
	struct mf_fs_link **by_name;
	size_t id_mask, name_mask, node_cnt, link_cnt, bytes;
	uint64_t seed, made;
	uint32_t renames; /* of directories */
	struct mf_fs_node *newest, *oldest;
	unsigned fd_cnt, fds_max;
	unsigned moving; /* renames that the table does not know yet */
};

/* ---- identity -------------------------------------------------------------------------------------------------- */

void mf_fs_id_of(const struct statx *stx, struct mf_fs_id *ret)
{
	ret->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	ret->ino = stx->stx_ino;
	ret->born_ns = stx->stx_mask & STATX_BTIME ? (int64_t)stx->stx_btime.tv_sec * 1000000000 +
							     stx->stx_btime.tv_nsec
						   : 0;
}

bool mf_fs_id_same(const struct mf_fs_id *a, const struct mf_fs_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->born_ns == b->born_ns;
}

static uint64_t hash_id(const struct mf_fs_nodes *ns, const struct mf_fs_id *id)
{
	return mf_hash_u64(id->ino ^ id->dev << 40, ns->seed);
}

static uint32_t hash_name(const struct mf_fs_nodes *ns, const struct mf_fs_node *parent,
			  const char *name, size_t len)
{
	return (uint32_t)mf_hash_bytes(name, len, ns->seed ^ (uint64_t)(uintptr_t)parent);
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

static void grow_ids(struct mf_fs_nodes *ns)
{
	size_t cnt = (ns->id_mask + 1) * 2;
	struct mf_fs_node **table = calloc(cnt, sizeof(struct mf_fs_node *)), *n, *next;

	if (!table)
		return;
	for (size_t i = 0; i <= ns->id_mask; i++)
		for (n = ns->by_id[i]; n; n = next) {
			struct mf_fs_node **slot = &table[hash_id(ns, &n->id) & (cnt - 1)];

			next = n->next;
			n->next = *slot;
			*slot = n;
		}
	free(ns->by_id);
	ns->by_id = table;
	ns->id_mask = cnt - 1;
}

static void grow_names(struct mf_fs_nodes *ns)
{
	size_t cnt = (ns->name_mask + 1) * 2;
	struct mf_fs_link **table = calloc(cnt, sizeof(struct mf_fs_link *)), *l, *next;

	if (!table)
		return;
	for (size_t i = 0; i <= ns->name_mask; i++)
		for (l = ns->by_name[i]; l; l = next) {
			next = l->next;
			l->next = table[l->hash & (cnt - 1)];
			table[l->hash & (cnt - 1)] = l;
		}
	free(ns->by_name);
	ns->by_name = table;
	ns->name_mask = cnt - 1;
}

static struct mf_fs_node *find_id(const struct mf_fs_nodes *ns, const struct mf_fs_id *id)
{
	struct mf_fs_node *n = ns->by_id[hash_id(ns, id) & ns->id_mask];

	while (n && (n->retired || !mf_fs_id_same(&n->id, id)))
		n = n->next;
	return n;
}

static struct mf_fs_link *find_link(const struct mf_fs_nodes *ns, const struct mf_fs_node *parent,
				    const char *name, size_t len, uint32_t hash)
{
	struct mf_fs_link *l = ns->by_name[hash & ns->name_mask];

	while (l && (l->hash != hash || l->parent != parent || l->len != len ||
		     memcmp(l->name, name, len) != 0))
		l = l->next;
	return l;
}

static void unhash_node(struct mf_fs_nodes *ns, struct mf_fs_node *node)
{
	struct mf_fs_node **at = &ns->by_id[hash_id(ns, &node->id) & ns->id_mask];

	if (!node->hashed)
		return;
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->hashed = false;
}

/* ---- descriptors of directories -------------------------------------------------------------------------------- */

static void unref_fd(struct mf_fs_dirfd *fd)
{
	if (--fd->refs)
		return;
	close(fd->fd);
	free(fd);
}

static void lru_take(struct mf_fs_nodes *ns, struct mf_fs_node *n)
{
	struct mf_fs_dir *d = n->dir;

	*(d->newer ? &d->newer->dir->older : &ns->newest) = d->older;
	*(d->older ? &d->older->dir->newer : &ns->oldest) = d->newer;
	d->older = d->newer = NULL;
}

static void lru_put(struct mf_fs_nodes *ns, struct mf_fs_node *n)
{
	n->dir->newer = NULL;
	n->dir->older = ns->newest;
	*(ns->newest ? &ns->newest->dir->newer : &ns->oldest) = n;
	ns->newest = n;
}

static void take_fd(struct mf_fs_nodes *ns, struct mf_fs_node *n)
{
	if (n == ns->root || !n->dir || !n->dir->fd)
		return;
	lru_take(ns, n);
	unref_fd(n->dir->fd);
	n->dir->fd = NULL;
	ns->fd_cnt--;
}

static void give_fd(struct mf_fs_nodes *ns, struct mf_fs_node *n, struct mf_fs_dirfd *fd)
{
	while (ns->fd_cnt >= ns->fds_max && ns->oldest)
		take_fd(ns, ns->oldest);
	n->dir->fd = fd;
	fd->refs++;
	ns->fd_cnt++;
	lru_put(ns, n);
}

/* ---- life and death of nodes and links ------------------------------------------------------------------------- */

static void free_link(struct mf_fs_nodes *ns, struct mf_fs_link *link)
{
	struct mf_fs_link **at = &ns->by_name[link->hash & ns->name_mask];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	for (at = &link->child->links; *at != link; at = &(*at)->next_name)
		;
	*at = link->next_name;
	link->parent->refs--;
	ns->link_cnt--;
	ns->bytes -= sizeof(*link) + link->len + 1u;
	free(link);
}

/* And what was only there for it, upwards. */
static void free_unused(struct mf_fs_nodes *ns, struct mf_fs_node *node)
{
	while (node && node != ns->root && !node->lookups && !node->refs) {
		struct mf_fs_node *up = node->links ? node->links->parent : NULL;

		/* A file's other parents may lie in the first one, and take it along. */
		if (up)
			up->refs++;
		while (node->links) {
			struct mf_fs_node *parent = node->links->parent;

			free_link(ns, node->links);
			if (parent != up)
				free_unused(ns, parent);
		}
		if (up)
			up->refs--;
		unhash_node(ns, node);
		take_fd(ns, node);
		ns->bytes -= sizeof(*node);
		ns->node_cnt--;
		if (node->dir) {
			ns->bytes -= sizeof(*node->dir) +
				     (node->dir->path ? node->dir->path_len + 1u : 0);
			free(node->dir->path);
			free(node->dir);
		}
		free(node);
		node = up;
	}
}

static struct mf_fs_node *make_node(struct mf_fs_nodes *ns, const struct mf_fs_id *id,
				    uint32_t type)
{
	struct mf_fs_node *n = calloc(1, sizeof(*n)), **slot;

	if (!n)
		return NULL;
	n->id = *id;
	n->type = type;
	n->generation = ns->made++;
	if (S_ISDIR(type)) {
		n->dir = calloc(1, sizeof(*n->dir));
		if (!n->dir) {
			free(n);
			return NULL;
		}
		ns->bytes += sizeof(*n->dir);
	}
	if (ns->node_cnt > ns->id_mask)
		grow_ids(ns);
	slot = &ns->by_id[hash_id(ns, id) & ns->id_mask];
	n->next = *slot;
	*slot = n;
	n->hashed = true;
	ns->node_cnt++;
	ns->bytes += sizeof(*n);
	return n;
}

static int make_link(struct mf_fs_nodes *ns, struct mf_fs_node *parent, const char *name,
		     size_t len, uint32_t hash, struct mf_fs_node *child)
{
	struct mf_fs_link *l = malloc(sizeof(*l) + len + 1);

	if (!l)
		return -ENOMEM;
	if (ns->link_cnt > ns->name_mask)
		grow_names(ns);
	l->parent = parent;
	l->child = child;
	l->hash = hash;
	l->len = (uint8_t)len;
	memcpy(l->name, name, len + 1);
	l->next_name = child->links;
	child->links = l;
	l->next = ns->by_name[hash & ns->name_mask];
	ns->by_name[hash & ns->name_mask] = l;
	parent->refs++;
	ns->link_cnt++;
	ns->bytes += sizeof(*l) + len + 1;
	return 0;
}

static void to_front(struct mf_fs_link *link)
{
	struct mf_fs_link **at = &link->child->links;

	if (*at == link)
		return;
	while (*at != link)
		at = &(*at)->next_name;
	*at = link->next_name;
	link->next_name = link->child->links;
	link->child->links = link;
}

/* @name in @parent is @child. A directory has one name: an older one is forgotten, and paths below it with it. */
static int set_link(struct mf_fs_nodes *ns, struct mf_fs_node *parent, const char *name,
		    struct mf_fs_node *child)
{
	size_t len = strlen(name);
	uint32_t hash = hash_name(ns, parent, name, len);
	struct mf_fs_link *l = find_link(ns, parent, name, len, hash);
	struct mf_fs_node *was;

	if (l && l->child == child) {
		to_front(l);
		return 0;
	}
	if (l) {
		was = l->child;
		parent->refs++;
		free_link(ns, l);
		free_unused(ns, was);
		parent->refs--;
	}
	if (child->dir && child->links) {
		struct mf_fs_node *old = child->links->parent;

		parent->refs++;
		free_link(ns, child->links);
		ns->renames++;
		free_unused(ns, old);
		parent->refs--;
	}
	return make_link(ns, parent, name, len, hash, child);
}

struct mf_fs_node *mf_fs_nodes_find(struct mf_fs_nodes *ns, const struct mf_fs_id *id)
{
	return find_id(ns, id);
}

struct mf_fs_node *mf_fs_nodes_see(struct mf_fs_nodes *ns, struct mf_fs_node *dir, const char *name,
				   const struct statx *stx)
{
	struct mf_fs_node *n;
	struct mf_fs_id id;

	mf_fs_id_of(stx, &id);
	pthread_mutex_lock(&ns->lock);
	n = find_id(ns, &id);
	if (n && n->type != (stx->stx_mode & S_IFMT)) {
		unhash_node(ns, n);
		n = NULL;
	}
	if (!n)
		n = make_node(ns, &id, stx->stx_mode & S_IFMT);
	if (n) {
		n->lookups++;
		if (n != ns->root && set_link(ns, dir, name, n) < 0) {
			n->lookups--;
			free_unused(ns, n);
			n = NULL;
		}
	}
	pthread_mutex_unlock(&ns->lock);
	return n;
}

void mf_fs_nodes_forget(struct mf_fs_nodes *ns, struct mf_fs_node *node, uint64_t cnt)
{
	pthread_mutex_lock(&ns->lock);
	node->lookups -= cnt < node->lookups ? cnt : node->lookups;
	free_unused(ns, node);
	pthread_mutex_unlock(&ns->lock);
}

void mf_fs_nodes_hold(struct mf_fs_nodes *ns, struct mf_fs_node *node)
{
	pthread_mutex_lock(&ns->lock);
	node->refs++;
	pthread_mutex_unlock(&ns->lock);
}

void mf_fs_nodes_drop(struct mf_fs_nodes *ns, struct mf_fs_node *node)
{
	pthread_mutex_lock(&ns->lock);
	node->refs--;
	free_unused(ns, node);
	pthread_mutex_unlock(&ns->lock);
}

static void cut(struct mf_fs_nodes *ns, struct mf_fs_node *dir, const char *name)
{
	size_t len = strlen(name);
	struct mf_fs_link *l = find_link(ns, dir, name, len, hash_name(ns, dir, name, len));
	struct mf_fs_node *child;

	if (!l)
		return;
	child = l->child;
	dir->refs++;
	free_link(ns, l);
	/* Its number may soon be another file's, and nothing else tells them apart. */
	if (!child->links && !child->id.born_ns)
		unhash_node(ns, child);
	free_unused(ns, child);
	dir->refs--;
}

void mf_fs_nodes_gone(struct mf_fs_nodes *ns, struct mf_fs_node *dir, const char *name)
{
	pthread_mutex_lock(&ns->lock);
	cut(ns, dir, name);
	pthread_mutex_unlock(&ns->lock);
}

static struct mf_fs_node *child_of(struct mf_fs_nodes *ns, struct mf_fs_node *dir, const char *name)
{
	size_t len = strlen(name);
	struct mf_fs_link *l = find_link(ns, dir, name, len, hash_name(ns, dir, name, len));

	return l ? l->child : NULL;
}

void mf_fs_nodes_moving(struct mf_fs_nodes *ns, bool begins)
{
	pthread_mutex_lock(&ns->lock);
	ns->moving += begins ? 1 : -1u;
	pthread_mutex_unlock(&ns->lock);
}

void mf_fs_nodes_moved(struct mf_fs_nodes *ns, struct mf_fs_node *from, const char *name,
		       struct mf_fs_node *to, const char *to_name, bool exchange)
{
	struct mf_fs_node *a, *b;

	pthread_mutex_lock(&ns->lock);
	a = child_of(ns, from, name);
	b = child_of(ns, to, to_name);
	if (a == b && a && !exchange) { /* two names of one file: rename() does nothing */
		pthread_mutex_unlock(&ns->lock);
		return;
	}
	if (a)
		a->refs++;
	if (b)
		b->refs++;
	cut(ns, from, name);
	cut(ns, to, to_name);
	/* A name that cannot be kept is found again by the next lookup. */
	if (a)
		(void)set_link(ns, to, to_name, a);
	if (b && exchange)
		(void)set_link(ns, from, name, b);
	if ((a && a->dir) || (b && b->dir))
		ns->renames++;
	if (a && --a->refs == 0)
		free_unused(ns, a);
	if (b && --b->refs == 0)
		free_unused(ns, b);
	pthread_mutex_unlock(&ns->lock);
}

/* ---- pinning --------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * MF_NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool is_fresh(const struct mf_fs_nodes *ns, const struct mf_fs_node *n, uint64_t now)
{
	return n->dir->fd && (n == ns->root || n->dir->seen_ns + FRESH_NS > now);
}

/* One directory that is to be opened, from the one above it. */
struct step {
	struct mf_fs_node *node, *parent; /* @node is held */
	struct mf_fs_dirfd *above;	  /* pinned */
	uint64_t seen_ns;		  /* of @above */
	char name[MF_FS_NAME_ROOM];
};

/* The highest directory without a fresh descriptor on the way to @node. Under the lock. */
static int next_to_open(struct mf_fs_nodes *ns, struct mf_fs_node *node, uint64_t now,
			struct step *ret)
{
	struct mf_fs_node *n = node;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		struct mf_fs_link *l = n->links;

		if (!l)
			return -ESTALE;
		if (is_fresh(ns, l->parent, now)) {
			ret->node = n;
			n->refs++;
			ret->parent = l->parent;
			ret->above = l->parent->dir->fd;
			ret->above->refs++;
			ret->seen_ns = l->parent == ns->root ? now : l->parent->dir->seen_ns;
			memcpy(ret->name, l->name, (size_t)l->len + 1);
			return 0;
		}
		n = l->parent;
	}
	return -ELOOP;
}

/* It was not there: whether that may be because a rename is on its way. Under the lock. */
static bool has_moved(const struct mf_fs_nodes *ns, const struct step *s)
{
	const struct mf_fs_link *l = s->node->links;

	return ns->moving || (l && (l->parent != s->parent || strcmp(l->name, s->name) != 0));
}

static int open_below(int above, const char *name, const struct mf_fs_id *id)
{
	struct mf_fs_id found;
	struct statx stx;
	int fd = mf_fs_source_open_dir(above, name), r;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
	r = mf_fs_source_stat_fd(fd, &stx);
	if (r == 0) {
		mf_fs_id_of(&stx, &found);
		r = mf_fs_id_same(&found, id) ? 0 : -ESTALE;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* A directory that was removed has no way to it; it is empty, and nothing can be made in it. Under the lock. */
static bool is_removed(const struct mf_fs_node *dir)
{
	struct statx stx;

	return !dir->links && dir->dir->fd && mf_fs_source_stat_fd(dir->dir->fd->fd, &stx) == 0 &&
	       stx.stx_nlink == 0;
}

/* @fd of the step, or why there is none. Under the lock. Return: whether to go on */
static bool take_step(struct mf_fs_nodes *ns, struct step *s, int fd, struct mf_fs_dirfd *made,
		      uint64_t now)
{
	bool again = fd >= 0 || (fd == -ESTALE && has_moved(ns, s));

	unref_fd(s->above);
	if (!is_fresh(ns, s->node, now) && (fd >= 0 || !again))
		take_fd(ns, s->node);
	if (fd >= 0) {
		*made = (struct mf_fs_dirfd){ .fd = fd, .refs = 1 };
		if (!s->node->dir->fd) {
			give_fd(ns, s->node, made);
			s->node->dir->seen_ns = s->seen_ns;
		}
	} else {
		free(made);
	}
	return again;
}

int mf_fs_nodes_pin(struct mf_fs_nodes *ns, struct mf_fs_node *dir, struct mf_fs_dirfd **ret_fd)
{
	const uint64_t now = now_ns();
	unsigned lost = 0;

	for (int tries = 0; tries < 2 * DEPTH_MAX; tries++) {
		struct mf_fs_dirfd *made;
		struct step s;
		bool again, last;
		int r, fd;

		pthread_mutex_lock(&ns->lock);
		if (!dir->dir) {
			pthread_mutex_unlock(&ns->lock);
			return -ENOTDIR;
		}
		if (is_fresh(ns, dir, now) || is_removed(dir)) {
			*ret_fd = dir->dir->fd;
			(*ret_fd)->refs++;
			if (dir != ns->root && ns->newest != dir) {
				lru_take(ns, dir);
				lru_put(ns, dir);
			}
			pthread_mutex_unlock(&ns->lock);
			return 0;
		}
		r = next_to_open(ns, dir, now, &s);
		pthread_mutex_unlock(&ns->lock);
		if (r < 0)
			return r;
		made = malloc(sizeof(*made));
		fd = made ? open_below(s.above->fd, s.name, &s.node->id) : -ENOMEM;
		pthread_mutex_lock(&ns->lock);
		again = take_step(ns, &s, fd, made, now);
		/* The cache may be too small to keep it until the next turn. */
		last = fd >= 0 && s.node == dir;
		if (last)
			*ret_fd = made;
		else if (fd >= 0)
			unref_fd(made);
		s.node->refs--;
		free_unused(ns, s.node);
		pthread_mutex_unlock(&ns->lock);
		if (last)
			return 0;
		if (!again || (fd < 0 && ++lost > LOST_MAX))
			return fd;
		if (fd < 0)
			sched_yield();
	}
	return -ELOOP;
}

void mf_fs_nodes_unpin(struct mf_fs_nodes *ns, struct mf_fs_dirfd *fd)
{
	pthread_mutex_lock(&ns->lock);
	unref_fd(fd);
	pthread_mutex_unlock(&ns->lock);
}

/* ---- paths ----------------------------------------------------------------------------------------------------- */

static bool path_known(const struct mf_fs_nodes *ns, const struct mf_fs_node *dir)
{
	return dir->dir->path && (dir == ns->root || dir->dir->path_of == ns->renames);
}

/* Make dir->path. Under the lock. */
static int find_path(struct mf_fs_nodes *ns, struct mf_fs_node *dir)
{
	size_t len = 0, at;
	struct mf_fs_node *n;
	char *path;

	for (n = dir; !path_known(ns, n); n = n->links->parent) {
		if (!n->links)
			return -ESTALE;
		len += n->links->len + 1u;
		if (len >= MF_FS_PATH_ROOM)
			return -ENAMETOOLONG;
	}
	at = len += n->dir->path_len;
	if (len >= MF_FS_PATH_ROOM)
		return -ENAMETOOLONG;
	path = malloc(len + 1);
	if (!path)
		return -ENOMEM;
	path[at] = '\0';
	memcpy(path, n->dir->path, n->dir->path_len);
	for (struct mf_fs_node *m = dir; m != n; m = m->links->parent) {
		at -= m->links->len;
		memcpy(path + at, m->links->name, m->links->len);
		path[--at] = '/';
	}
	ns->bytes += len + 1 - (dir->dir->path ? dir->dir->path_len + 1u : 0);
	free(dir->dir->path);
	dir->dir->path = path;
	dir->dir->path_len = (uint32_t)len;
	dir->dir->path_of = ns->renames;
	return 0;
}

int mf_fs_nodes_child_path(struct mf_fs_nodes *ns, struct mf_fs_node *dir, const char *name,
			   char ret[MF_FS_PATH_ROOM])
{
	size_t name_len = name ? strlen(name) + 1 : 0, len;
	int r = 0;

	pthread_mutex_lock(&ns->lock);
	if (!dir->dir)
		r = -ENOTDIR;
	else if (!path_known(ns, dir))
		r = find_path(ns, dir);
	if (r < 0) {
		pthread_mutex_unlock(&ns->lock);
		return r;
	}
	len = dir->dir->path_len;
	if (len + name_len + 1 < MF_FS_PATH_ROOM)
		memcpy(ret, dir->dir->path, len);
	pthread_mutex_unlock(&ns->lock);
	if (len + name_len + 1 >= MF_FS_PATH_ROOM)
		return -ENAMETOOLONG;
	if (name) {
		ret[len] = '/';
		memcpy(ret + len + 1, name, name_len - 1);
		len += name_len;
	} else if (len == 0) {
		ret[len++] = '/';
	}
	ret[len] = '\0';
	return (int)len;
}

int mf_fs_nodes_name(struct mf_fs_nodes *ns, struct mf_fs_node *node, unsigned nth,
		     struct mf_fs_node **ret_dir, char ret_name[MF_FS_NAME_ROOM])
{
	struct mf_fs_link *l;
	int r = -ESTALE;

	pthread_mutex_lock(&ns->lock);
	for (l = node->links; l && nth; nth--)
		l = l->next_name;
	if (l) {
		*ret_dir = l->parent;
		l->parent->refs++;
		memcpy(ret_name, l->name, (size_t)l->len + 1);
		r = 0;
	}
	pthread_mutex_unlock(&ns->lock);
	return r;
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

struct mf_fs_node *mf_fs_nodes_root(struct mf_fs_nodes *ns)
{
	return ns->root;
}

void mf_fs_nodes_lock(struct mf_fs_nodes *ns)
{
	pthread_mutex_lock(&ns->lock);
}

void mf_fs_nodes_unlock(struct mf_fs_nodes *ns)
{
	pthread_mutex_unlock(&ns->lock);
}

void mf_fs_nodes_get_stats(struct mf_fs_nodes *ns, struct mf_fs_nodes_stats *ret)
{
	pthread_mutex_lock(&ns->lock);
	*ret = (struct mf_fs_nodes_stats){
		.nodes = ns->node_cnt,
		.links = ns->link_cnt,
		.fds = ns->fd_cnt,
		.bytes = ns->bytes + (ns->id_mask + ns->name_mask + 2) * sizeof(void *),
	};
	pthread_mutex_unlock(&ns->lock);
}

void mf_fs_nodes_each(struct mf_fs_nodes *ns, void (*fn)(void *ctx, struct mf_fs_node *node),
		      void *ctx)
{
	pthread_mutex_lock(&ns->lock);
	for (size_t i = 0; i <= ns->id_mask; i++)
		for (struct mf_fs_node *n = ns->by_id[i]; n; n = n->next)
			fn(ctx, n);
	pthread_mutex_unlock(&ns->lock);
}

int mf_fs_nodes_new(int root_fd, const char *root, unsigned fds_max, struct mf_fs_nodes **ret_nodes,
		    struct mf_err *err)
{
	struct mf_fs_nodes *ns = calloc(1, sizeof(*ns));
	struct mf_fs_dirfd *fd = malloc(sizeof(*fd));
	struct mf_fs_id id;
	struct statx stx;
	int r = mf_fs_source_stat_fd(root_fd, &stx);

	*ret_nodes = NULL;
	if (ns) {
		pthread_mutex_init(&ns->lock, NULL);
		ns->seed = mf_hash_seed();
		ns->fds_max = fds_max ? fds_max : 1;
		ns->by_id = calloc(BUCKETS_MIN, sizeof(*ns->by_id));
		ns->by_name = calloc(BUCKETS_MIN, sizeof(*ns->by_name));
		ns->id_mask = ns->name_mask = BUCKETS_MIN - 1;
	}
	if (!ns || !fd || !ns->by_id || !ns->by_name || r < 0) {
		free(fd);
		mf_fs_nodes_free(ns);
		return r < 0 ? mf_err_set(err, MF_E_IO, "cannot look at the source: %s",
					  strerror(-r))
			     : mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	mf_fs_id_of(&stx, &id);
	ns->root = make_node(ns, &id, S_IFDIR);
	if (ns->root)
		ns->root->dir->path = strdup(root);
	if (!ns->root || !ns->root->dir->path) {
		free(fd);
		mf_fs_nodes_free(ns);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	*fd = (struct mf_fs_dirfd){ .fd = root_fd, .refs = 1 };
	ns->root->lookups = 1;
	ns->root->dir->fd = fd;
	ns->root->dir->path_len = (uint32_t)strlen(root);
	*ret_nodes = ns;
	return 0;
}

/* Nothing refers to anything any longer: all of it goes, in any order. */
void mf_fs_nodes_free(struct mf_fs_nodes *ns)
{
	struct mf_fs_link *l, *next_link;
	struct mf_fs_node *n, *next;

	if (!ns)
		return;
	for (size_t i = 0; ns->by_name && i <= ns->name_mask; i++)
		for (l = ns->by_name[i]; l; l = next_link) {
			next_link = l->next;
			free(l);
		}
	for (size_t i = 0; ns->by_id && i <= ns->id_mask; i++)
		for (n = ns->by_id[i]; n; n = next) {
			next = n->next;
			if (n->dir && n->dir->fd)
				unref_fd(n->dir->fd);
			if (n->dir)
				free(n->dir->path);
			free(n->dir);
			free(n);
		}
	free(ns->by_id);
	free(ns->by_name);
	pthread_mutex_destroy(&ns->lock);
	free(ns);
}
