/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - sets of sources: reading all, references, comparing with the disk; see source.h for how it works */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "core/policy/files.h"
#include "core/policy/source_internal.h"

int mf_source_no_memory(struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOMEM, "out of memory while reading policies");
}

char *mf_source_join(const char *dir, const char *name)
{
	size_t a = strlen(dir), b = strlen(name);
	char *path = malloc(a + b + 2);

	if (!path)
		return NULL;
	while (a > 1 && dir[a - 1] == '/')
		a--;
	memcpy(path, dir, a);
	path[a] = '/';
	memcpy(path + (dir[a - 1] == '/' ? a : a + 1), name, b + 1);
	return path;
}

void mf_source_unit_free(struct mf_source_unit *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->test_cnt; i++) {
		free(u->tests[i].path);
		free(u->tests[i].text);
	}
	free(u->tests);
	mf_source_extras_free(u->modules);
	mf_source_extras_free(u->data);
	free(u->pack);
	free(u->pack_version);
	free(u->dir);
	free(u->path);
	free(u->text);
	free(u);
}

int mf_source_guard_check(const struct mf_source_set *set, const struct mf_pack_files *files,
			  const char *dir, const char *name, const void *text, size_t len,
			  struct mf_err *err)
{
	char *path;
	int r;

	if (files || !set->guard.check)
		return 0;
	path = mf_source_join(dir, name);
	if (!path)
		return mf_source_no_memory(err);
	r = set->guard.check(set->guard.ctx, path, text, len, set->again, err);
	free(path);
	return r;
}

static void free_set(struct mf_source_set *set)
{
	if (set->parent) {
		mf_source_set_unref(set->parent);
	} else {
		for (size_t i = 0; i < set->cnt; i++)
			mf_source_unit_free(set->units[i]);
		for (size_t i = 0; i < set->dir_cnt; i++)
			free(set->dirs[i]);
		for (size_t i = 0; i < set->files_cnt; i++)
			mf_pack_files_free(set->files[i]);
	}
	free(set->files);
	free(set->units);
	free(set->dirs);
	free(set->stdlib_dir);
	free(set->session);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

/* Mandatory packs first; otherwise the order stays. */
static void sort_tiers(struct mf_source_set *set, struct mf_source_unit **scratch)
{
	size_t n = 0;

	for (int tier = 0; tier < 2; tier++)
		for (size_t i = 0; i < set->cnt; i++)
			if (set->units[i]->tier == tier)
				scratch[n++] = set->units[i];
	memcpy(set->units, scratch, n * sizeof(*scratch));
}

static struct mf_source_set *new_set(void)
{
	struct mf_source_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	atomic_init(&set->refs, 1);
	if (pthread_mutex_init(&set->lock, NULL)) {
		free(set);
		return NULL;
	}
	return set;
}

static int read_set(const struct mf_source_reader *reader, bool again, const char *const *paths,
		    size_t path_cnt, const char *stdlib_dir, struct mf_source_set **ret_set,
		    struct mf_err *err)
{
	struct mf_source_set *set = new_set();
	struct mf_source_unit **scratch;
	int r = 0;

	if (!set)
		return mf_source_no_memory(err);
	set->guard = reader->guard;
	set->again = again;
	if ((stdlib_dir && !(set->stdlib_dir = mf_file_path_dup(stdlib_dir))) ||
	    (reader->session && !(set->session = strdup(reader->session))))
		r = mf_source_no_memory(err);
	for (size_t i = 0; r == 0 && i < path_cnt; i++)
		r = mf_source_read_path(set, paths[i], err);
	if (r == 0 && set->cnt) {
		scratch = calloc(set->cnt, sizeof(*scratch));
		if (scratch)
			sort_tiers(set, scratch);
		else
			r = mf_source_no_memory(err);
		free(scratch);
	}
	if (r < 0) {
		free_set(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

int mf_source_set_read_for(const struct mf_source_reader *reader, const char *const *paths,
			   size_t path_cnt, const char *stdlib_dir, struct mf_source_set **ret_set,
			   struct mf_err *err)
{
	return read_set(reader, false, paths, path_cnt, stdlib_dir, ret_set, err);
}

int mf_source_set_read(const char *const *paths, size_t path_cnt, const char *stdlib_dir,
		       struct mf_source_set **ret_set, struct mf_err *err)
{
	const struct mf_source_reader nobody = { 0 };

	return read_set(&nobody, false, paths, path_cnt, stdlib_dir, ret_set, err);
}

int mf_source_set_narrow(struct mf_source_set *set, size_t policy, struct mf_source_set **ret_set)
{
	struct mf_source_set *root = set->parent ? set->parent : set, *one = new_set();
	unsigned id = set->units[policy]->pack_id;

	if (!one)
		return MF_E_NOMEM;
	one->units = calloc(set->cnt, sizeof(*one->units));
	if (!one->units) {
		free_set(one);
		return MF_E_NOMEM;
	}
	for (size_t i = 0; i < set->cnt; i++)
		if (set->units[i]->pack_id == id)
			one->units[one->cnt++] = set->units[i];
	one->parent = mf_source_set_ref(root);
	*ret_set = one;
	return 0;
}

struct mf_source_set *mf_source_set_ref(struct mf_source_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void mf_source_set_unref(struct mf_source_set *set)
{
	if (set && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
		free_set(set);
}

size_t mf_source_set_count(const struct mf_source_set *set)
{
	return set->cnt;
}

void mf_source_set_version(const struct mf_source_set *set, char ret[MF_SOURCE_VERSION_ROOM])
{
	uint8_t hash[MF_SHA256_LEN];
	struct mf_sha256 sum;

	mf_sha256_begin(&sum);
	for (size_t i = 0; i < set->cnt; i++) {
		const struct mf_sandbox_source *chunk = &set->units[i]->pub.chunk;
		uint64_t len = chunk->len;
		uint8_t head[8];

		/* where one text ends and the next begins is part of what they say */
		for (size_t k = 0; k < sizeof(head); k++, len >>= 8)
			head[k] = (uint8_t)len;
		mf_sha256_add(&sum, head, sizeof(head));
		mf_sha256_add(&sum, chunk->text, chunk->len);
	}
	mf_sha256_end(&sum, hash);
	snprintf(ret, MF_SOURCE_VERSION_ROOM, "sha256:%02x%02x%02x%02x%02x%02x%02x%02x", hash[0],
		 hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]);
}

const struct mf_policy_source *mf_source_set_policy(const struct mf_source_set *set, size_t i)
{
	return &set->units[i]->pub;
}

size_t mf_source_set_test_count(const struct mf_source_set *set, size_t policy)
{
	return set->units[policy]->test_cnt;
}

const struct mf_sandbox_source *mf_source_set_test(const struct mf_source_set *set, size_t policy,
						   size_t i)
{
	return &set->units[policy]->tests[i].chunk;
}

static bool same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool same_chunk(const struct mf_sandbox_source *a, const struct mf_sandbox_source *b)
{
	return strcmp(a->name, b->name) == 0 && same_text(a->text, a->len, b->text, b->len);
}

static bool same_unit(const struct mf_source_unit *a, const struct mf_source_unit *b)
{
	if (!same_chunk(&a->pub.chunk, &b->pub.chunk) || a->test_cnt != b->test_cnt ||
	    strcmp(a->pack, b->pack) != 0 || strcmp(a->pack_version, b->pack_version) != 0)
		return false;
	for (size_t i = 0; i < a->test_cnt; i++)
		if (!same_chunk(&a->tests[i].chunk, &b->tests[i].chunk))
			return false;
	return true;
}

/* Asks the new unit for what the old one was asked for. */
static bool same_extras(struct mf_source_unit *old, struct mf_source_unit *new)
{
	struct mf_err err;

	for (struct mf_source_extra *e = old->modules; e; e = e->next) {
		const struct mf_sandbox_source *now = mf_source_find_module(new, e->name);

		if ((!now || now->why) != (e->code != 0) ||
		    (e->code == 0 && !same_chunk(now, &e->chunk)))
			return false;
	}
	for (struct mf_source_extra *e = old->data; e; e = e->next) {
		const char *text = NULL;
		size_t len = 0;
		int r = mf_policy_source_data(&new->pub, e->name, &text, &len, &err);

		/* A compiled list that is the same has the same address. */
		if (r != e->code || (r == 0 && text != e->file->text &&
				     !same_text(text, len, e->file->text, e->file->len)))
			return false;
	}
	return true;
}

bool mf_source_set_is_current(struct mf_source_set *set, const char *const *paths, size_t path_cnt)
{
	const struct mf_source_reader reader = { set->session, set->guard };
	struct mf_source_set *now;
	bool same;

	if (read_set(&reader, true, paths, path_cnt, set->stdlib_dir, &now, NULL) < 0)
		return false;
	pthread_mutex_lock(&set->lock);
	same = set->cnt == now->cnt;
	for (size_t i = 0; same && i < set->cnt; i++)
		same = same_unit(set->units[i], now->units[i]) &&
		       same_extras(set->units[i], now->units[i]);
	pthread_mutex_unlock(&set->lock);
	mf_source_set_unref(now);
	return same;
}

void mf_source_set_each_dir(struct mf_source_set *set, void (*fn)(void *ctx, const char *dir),
			    void *ctx)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->dir_cnt; i++)
		fn(ctx, set->dirs[i]);
	for (size_t i = 0; i < set->cnt; i++) {
		mf_source_each_module_dir(set->units[i], fn, ctx);
		mf_source_each_data_dir(set->units[i], fn, ctx);
	}
	pthread_mutex_unlock(&set->lock);
}
