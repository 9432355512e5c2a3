/* SPDX-License-Identifier: Apache-2.0 */
/* generations.c - see generations.h */
#include "core/policy/generations.h"

#include <stdlib.h>
#include <string.h>

void mf_paths_free(char **paths, size_t cnt)
{
	for (size_t i = 0; paths && i < cnt; i++)
		free(paths[i]);
	free(paths);
}

char **mf_paths_copy(const char *const *paths, size_t cnt)
{
	char **copy = calloc(cnt + 1, sizeof(*copy));

	for (size_t i = 0; copy && i < cnt; i++) {
		copy[i] = strdup(paths[i]);
		if (!copy[i]) {
			mf_paths_free(copy, cnt);
			return NULL;
		}
	}
	return copy;
}

void mf_generation_done(struct mf_generation *g)
{
	mf_source_set_unref(g->set);
	mf_paths_free(g->paths, g->path_cnt);
	*g = (struct mf_generation){ 0 };
}

int mf_generation_copy(const struct mf_generation *g, struct mf_generation *ret)
{
	*ret = *g;
	ret->paths = mf_paths_copy((const char *const *)g->paths, g->path_cnt);
	if (!ret->paths) {
		*ret = (struct mf_generation){ 0 };
		return MF_E_NOMEM;
	}
	ret->set = mf_source_set_ref(g->set);
	return 0;
}

void mf_generations_add(struct mf_generations *all, const struct mf_generation *g,
			struct mf_generation *ret_dropped)
{
	*ret_dropped = (struct mf_generation){ 0 };
	if (all->cnt && all->cnt >= all->keep) {
		*ret_dropped = all->items[0];
		memmove(all->items, all->items + 1, --all->cnt * sizeof(all->items[0]));
	}
	all->items[all->cnt++] = *g;
}

void mf_generations_done(struct mf_generations *all)
{
	while (all->cnt)
		mf_generation_done(&all->items[--all->cnt]);
}
