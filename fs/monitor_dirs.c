/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_dirs.c - see monitor_dirs.h */
#include "fs/monitor_dirs.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"

#define BUCKETS_MIN 256

struct mf_monitor_dir {
	struct mf_monitor_dir *chain;				/* of the bucket */
	struct mf_monitor_dir *parent, *first, *before, *after; /* before, after: siblings */
	char *name;
	uint16_t name_len;
	uint8_t handle_len;
	uint8_t handle[];
};

struct mf_monitor_dirs {
	struct mf_monitor_dir **buckets;
	size_t bucket_cnt; /* a power of two */
	size_t cnt, max;
	uint64_t seed;
	struct mf_monitor_dir *root;
};

static struct mf_monitor_dir **bucket_of(const struct mf_monitor_dirs *t, struct mf_span handle)
{
	return &t->buckets[mf_hash_bytes(handle.ptr, handle.len, t->seed) & (t->bucket_cnt - 1)];
}

static struct mf_span handle_of(const struct mf_monitor_dir *d)
{
	return mf_span_of(d->handle, d->handle_len);
}

static struct mf_monitor_dir *make(struct mf_span handle)
{
	struct mf_monitor_dir *d;

	if (!handle.len || handle.len > MF_MONITOR_HANDLE_MAX)
		return NULL;
	d = calloc(1, sizeof(*d) + handle.len);
	if (!d)
		return NULL;
	d->handle_len = (uint8_t)handle.len;
	memcpy(d->handle, handle.ptr, handle.len);
	return d;
}

static void enter(struct mf_monitor_dirs *t, struct mf_monitor_dir *d)
{
	struct mf_monitor_dir **at = bucket_of(t, handle_of(d));

	d->chain = *at;
	*at = d;
	t->cnt++;
}

struct mf_monitor_dirs *mf_monitor_dirs_new(size_t max, struct mf_span root)
{
	struct mf_monitor_dirs *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->max = max;
	t->seed = mf_hash_seed();
	t->bucket_cnt = BUCKETS_MIN;
	t->buckets = calloc(t->bucket_cnt, sizeof(struct mf_monitor_dir *));
	t->root = make(root);
	if (!t->buckets || !t->root) {
		free(t->root);
		t->root = NULL;
		mf_monitor_dirs_free(t);
		return NULL;
	}
	enter(t, t->root);
	return t;
}

void mf_monitor_dirs_free(struct mf_monitor_dirs *t)
{
	if (!t)
		return;
	if (t->root) {
		mf_monitor_dirs_clear(t);
		free(t->root);
	}
	free(t->buckets);
	free(t);
}

struct mf_monitor_dir *mf_monitor_dirs_root(struct mf_monitor_dirs *t)
{
	return t->root;
}

size_t mf_monitor_dirs_count(const struct mf_monitor_dirs *t)
{
	return t->cnt;
}

struct mf_monitor_dir *mf_monitor_dirs_find(const struct mf_monitor_dirs *t, struct mf_span handle)
{
	struct mf_monitor_dir *d;

	for (d = *bucket_of(t, handle); d; d = d->chain)
		if (mf_span_eq(handle_of(d), handle))
			return d;
	return NULL;
}

/* Twice as many; where there is no memory the chains are longer. */
static void grow(struct mf_monitor_dirs *t)
{
	struct mf_monitor_dir **old = t->buckets, *d;
	size_t cnt = t->bucket_cnt;
	struct mf_monitor_dir **more = calloc(cnt * 2, sizeof(struct mf_monitor_dir *));

	if (!more)
		return;
	t->buckets = more;
	t->bucket_cnt = cnt * 2;
	t->cnt = 0;
	for (size_t i = 0; i < cnt; i++)
		while ((d = old[i])) {
			old[i] = d->chain;
			enter(t, d);
		}
	free(old);
}

static void detach(struct mf_monitor_dir *d)
{
	if (d->before)
		d->before->after = d->after;
	else if (d->parent)
		d->parent->first = d->after;
	if (d->after)
		d->after->before = d->before;
	d->parent = d->before = d->after = NULL;
}

static void attach(struct mf_monitor_dir *d, struct mf_monitor_dir *parent)
{
	d->parent = parent;
	d->after = parent->first;
	if (d->after)
		d->after->before = d;
	parent->first = d;
}

static bool lies_in(const struct mf_monitor_dir *d, const struct mf_monitor_dir *above)
{
	while (d && d != above)
		d = d->parent;
	return d != NULL;
}

static char *copy_name(struct mf_span name)
{
	char *copy = name.len && name.len <= UINT16_MAX ? malloc(name.len) : NULL;

	if (copy)
		memcpy(copy, name.ptr, name.len);
	return copy;
}

struct mf_monitor_dir *mf_monitor_dirs_put(struct mf_monitor_dirs *t, struct mf_span handle,
					   struct mf_monitor_dir *parent, struct mf_span name)
{
	struct mf_monitor_dir *d = mf_monitor_dirs_find(t, handle);
	char *copy;

	if (d ? d == t->root || lies_in(parent, d) : t->cnt >= t->max)
		return NULL;
	copy = copy_name(name);
	if (!copy)
		return NULL;
	if (d) {
		detach(d);
	} else {
		d = make(handle);
		if (!d) {
			free(copy);
			return NULL;
		}
		enter(t, d);
		if (t->cnt > t->bucket_cnt)
			grow(t);
	}
	free(d->name);
	d->name = copy;
	d->name_len = (uint16_t)name.len;
	attach(d, parent);
	return d;
}

static void drop(struct mf_monitor_dirs *t, struct mf_monitor_dir *d)
{
	struct mf_monitor_dir **at = bucket_of(t, handle_of(d));

	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	t->cnt--;
	detach(d);
	free(d->name);
	free(d);
}

/* Leaves first, as long as it takes: a tree may be deeper than a stack. */
static void drop_below(struct mf_monitor_dirs *t, struct mf_monitor_dir *top)
{
	struct mf_monitor_dir *d = top, *up;

	while (top->first) {
		while (d->first)
			d = d->first;
		up = d->parent;
		drop(t, d);
		d = up;
	}
}

void mf_monitor_dirs_remove(struct mf_monitor_dirs *t, struct mf_monitor_dir *d)
{
	drop_below(t, d);
	if (d != t->root)
		drop(t, d);
}

void mf_monitor_dirs_clear(struct mf_monitor_dirs *t)
{
	drop_below(t, t->root);
}

int mf_monitor_dirs_path(const struct mf_monitor_dir *dir, struct mf_span name, char *ret,
			 size_t room)
{
	size_t at = room;

	if (!room)
		return -1;
	ret[--at] = '\0';
	if (name.len > at)
		return -1;
	at -= name.len;
	if (name.len)
		memcpy(ret + at, name.ptr, name.len);
	for (; dir->parent; dir = dir->parent) {
		bool slash = ret[at] != '\0';

		if (dir->name_len + (size_t)slash > at)
			return -1;
		if (slash)
			ret[--at] = '/';
		at -= dir->name_len;
		memcpy(ret + at, dir->name, dir->name_len);
	}
	memmove(ret, ret + at, room - at);
	return (int)(room - at - 1);
}
