/* SPDX-License-Identifier: Apache-2.0 */
/* pack_store.c - see pack_store.h */
#include "core/policy/pack_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pack in force, and whether it is wanted. */
struct candidate {
	char *dir;
	struct mf_pack pack;
	struct mf_pack_files *files;
	bool wanted;
};

static void free_candidates(struct candidate *c, size_t cnt)
{
	for (size_t i = 0; c && i < cnt; i++) {
		mf_pack_done(&c[i].pack);
		mf_pack_files_free(c[i].files);
		free(c[i].dir);
	}
	free(c);
}

void mf_pack_list_done(struct mf_pack_list *list)
{
	for (size_t i = 0; i < list->cnt; i++) {
		mf_pack_done(&list->items[i].pack);
		mf_pack_files_free(list->items[i].files);
		free(list->items[i].dir);
	}
	free(list->items);
	*list = (struct mf_pack_list){ 0 };
}

static int describe(const char *dir, const struct mf_pack_entry *e, struct candidate *c,
		    struct mf_err *err)
{
	size_t room = strlen(dir) + MF_PACK_DIR_ROOM + 1;
	char below[MF_PACK_DIR_ROOM];
	int r;

	mf_pack_entry_dir(e, below);
	c->pack = (struct mf_pack){ .tier = 1 };
	c->dir = malloc(room);
	if (!c->dir)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	snprintf(c->dir, room, "%s/%s", dir, below);
	r = mf_pack_files_read(c->dir, e->manifest, &c->files, err);
	if (r == 0)
		r = mf_pack_read_sealed(c->dir, c->files, &c->pack, err);
	if (r < 0)
		return r;
	if (strcmp(c->pack.name, e->name) != 0 || strcmp(c->pack.version, e->version) != 0)
		return mf_err_at(err, MF_E_BAD, c->dir, 0, 0,
				 "%s is not %s %s: it was changed after it was installed", c->dir,
				 e->name, e->version);
	return 0;
}

static bool want(struct candidate *c, size_t cnt, const char *name)
{
	for (size_t i = 0; i < cnt; i++) {
		if (strcmp(c[i].pack.name, name) != 0)
			continue;
		c[i].wanted = true;
		return true;
	}
	return false;
}

static int choose(struct candidate *c, size_t cnt, const char *dir, const char *name,
		  struct mf_err *err)
{
	if (!cnt)
		return mf_err_at(err, MF_E_NOENT, dir, 0, 0, "no pack is installed in %s", dir);
	for (size_t i = 0; !name && i < cnt; i++)
		c[i].wanted = true;
	if (!name)
		return 0;
	if (!want(c, cnt, name))
		return mf_err_at(err, MF_E_NOENT, dir, 0, 0,
				 "no pack \"%s\" is installed in %s ('moonfence pack list')", name,
				 dir);
	/* What is wanted because of what is wanted: at most one more in each round. */
	for (size_t round = 0; round < cnt; round++)
		for (size_t i = 0; i < cnt; i++)
			for (size_t k = 0; c[i].wanted && k < c[i].pack.require_cnt; k++)
				(void)want(c, cnt, c[i].pack.requires[k].name);
	return 0;
}

static int by_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->pack.order != y->pack.order)
		return x->pack.order < y->pack.order ? -1 : 1;
	return strcmp(x->pack.name, y->pack.name);
}

/* Move what is wanted into the list. */
static int gather(struct candidate *c, size_t cnt, struct mf_pack_list *ret, struct mf_err *err)
{
	ret->items = calloc(cnt, sizeof(*ret->items));
	if (!ret->items)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	qsort(c, cnt, sizeof(*c), by_order);
	for (size_t i = 0; i < cnt; i++) {
		if (!c[i].wanted)
			continue;
		ret->items[ret->cnt].dir = c[i].dir;
		ret->items[ret->cnt].files = c[i].files;
		ret->items[ret->cnt++].pack = c[i].pack;
		c[i].dir = NULL;
		c[i].files = NULL;
		c[i].pack = (struct mf_pack){ 0 };
	}
	return 0;
}

int mf_pack_store_list(const char *dir, const char *name, const char *session,
		       struct mf_pack_list *ret, struct mf_err *err)
{
	const struct mf_pack_generation *g;
	struct candidate *c = NULL;
	struct mf_pack_state *state;
	size_t cnt = 0;
	int r = mf_pack_state_read(dir, &state, err);

	*ret = (struct mf_pack_list){ 0 };
	if (r < 0)
		return r;
	g = mf_pack_state_for(state, session);
	if (g && g->cnt && !(c = calloc(g->cnt, sizeof(*c))))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; r == 0 && g && i < g->cnt; i++)
		r = describe(dir, &g->packs[i], &c[cnt++], err);
	if (r == 0)
		r = choose(c, cnt, dir, name, err);
	if (r == 0)
		r = gather(c, cnt, ret, err);
	free_candidates(c, cnt);
	free(state);
	return r;
}
