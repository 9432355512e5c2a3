/* SPDX-License-Identifier: Apache-2.0 */
/* store_state.c - generations, the canary's among them, and which versions were in force: how a state becomes the next one */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packs/store_int.h"

struct mf_pack_state *mf_store_copy(const struct mf_store *s, struct mf_err *err)
{
	struct mf_pack_state *next = malloc(sizeof(*next));

	if (next)
		*next = *s->state;
	else
		mf_err_set(err, MF_E_NOMEM, "out of memory");
	return next;
}

static void forget_generation(struct mf_pack_state *s, size_t i)
{
	memmove(&s->generations[i], &s->generations[i + 1],
		(--s->generation_cnt - i) * sizeof(*s->generations));
}

struct mf_pack_generation *mf_store_add_generation(struct mf_pack_state *next, uint32_t from)
{
	struct mf_pack_generation *g, *old;
	uint32_t number = 1;
	size_t out = 0;

	if (next->generation_cnt)
		number = next->generations[next->generation_cnt - 1].number + 1;
	if (next->generation_cnt == MF_PACK_STATE_GENERATIONS) {
		while (next->generations[out].number == from ||
		       next->generations[out].number == next->active ||
		       next->generations[out].number == next->canary)
			out++;
		forget_generation(next, out);
	}
	g = &next->generations[next->generation_cnt++];
	old = from ? mf_pack_state_find(next, from) : NULL;
	if (old && old != g)
		*g = *old;
	else
		*g = (struct mf_pack_generation){ 0 };
	g->number = number;
	g->parent = from;
	return g;
}

struct mf_pack_entry *mf_store_entry(struct mf_pack_generation *g, const char *name)
{
	for (size_t i = 0; i < g->cnt; i++)
		if (strcmp(g->packs[i].name, name) == 0)
			return &g->packs[i];
	return NULL;
}

bool mf_store_has(const struct mf_pack_generation *g, const struct mf_pack_entry *e)
{
	for (size_t i = 0; g && i < g->cnt; i++)
		if (strcmp(g->packs[i].name, e->name) == 0)
			return strcmp(g->packs[i].hash, e->hash) == 0;
	return false;
}

bool mf_store_is_used(const struct mf_pack_state *s, const struct mf_pack_entry *e)
{
	for (size_t i = 0; i < s->generation_cnt; i++)
		if (mf_store_has(&s->generations[i], e))
			return true;
	return false;
}

int mf_store_put_entry(struct mf_pack_generation *g, const struct mf_pack_entry *e,
		       struct mf_err *err)
{
	struct mf_pack_entry *old = mf_store_entry(g, e->name);
	size_t at = 0;

	if (old) {
		*old = *e;
		return 0;
	}
	if (g->cnt == MF_PACK_STATE_PACKS)
		return mf_err_set(err, MF_E_FULL, "more than %d packs", MF_PACK_STATE_PACKS);
	while (at < g->cnt && strcmp(g->packs[at].name, e->name) < 0)
		at++;
	memmove(&g->packs[at + 1], &g->packs[at], (g->cnt++ - at) * sizeof(*e));
	g->packs[at] = *e;
	return 0;
}

static struct mf_pack_entry *seen_of(struct mf_pack_state *s, const struct mf_pack_entry *e)
{
	for (size_t i = 0; i < s->seen_cnt; i++)
		if (strcmp(s->seen[i].name, e->name) == 0 &&
		    strcmp(s->seen[i].channel, e->channel) == 0)
			return &s->seen[i];
	return NULL;
}

int mf_store_note_seen(struct mf_pack_state *next, const struct mf_pack_entry *e, const char *what,
		       bool note, struct mf_err *err)
{
	struct mf_pack_entry *seen = seen_of(next, e);
	struct mf_semver before, version;
	int order;

	if (seen) {
		(void)mf_semver_parse(seen->version, &before, NULL);
		(void)mf_semver_parse(e->version, &version, NULL);
		order = mf_semver_compare(&version, &before);
		if (order < 0)
			return mf_err_set(
				err, MF_E_PERM,
				"%s: %s %s is older than %s, which was installed from channel %s: "
				"'moonfence pack rollback' goes back to what was here",
				what, e->name, e->version, seen->version, e->channel);
		if (order == 0 && strcmp(seen->hash, e->hash) != 0)
			return mf_err_set(
				err, MF_E_PERM,
				"%s: another archive was installed as %s %s: one version is one "
				"archive",
				what, e->name, e->version);
	}
	if (!note)
		return 0;
	if (!seen && next->seen_cnt == MF_PACK_STATE_SEEN)
		return mf_err_set(err, MF_E_FULL, "more than %d packs were installed here",
				  MF_PACK_STATE_SEEN);
	seen = seen ? seen : &next->seen[next->seen_cnt++];
	*seen = *e;
	snprintf(seen->key, sizeof(seen->key), "-");
	return 0;
}

/* --- the canary --------------------------------------------------------------------------------------------------- */

void mf_store_drop_canary(struct mf_pack_state *next)
{
	for (size_t i = 0; next->canary && i < next->generation_cnt; i++)
		if (next->generations[i].number == next->canary) {
			forget_generation(next, i);
			break;
		}
	next->canary = next->canary_percent = 0;
}

static bool is_named(const char *name, const char (*names)[MF_PACK_NAME_MAX + 1], size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

bool mf_store_same_packs(const struct mf_pack_generation *a, const struct mf_pack_generation *b)
{
	if (a->cnt != b->cnt)
		return false;
	for (size_t i = 0; i < a->cnt; i++)
		if (!mf_store_has(a, &b->packs[i]))
			return false;
	return true;
}

/* What a canary has that differs from @parent, and stays in it. */
static int take_over(struct mf_pack_generation *c, const struct mf_pack_generation *old,
		     const struct mf_pack_generation *parent,
		     const char (*leave)[MF_PACK_NAME_MAX + 1], size_t leave_cnt,
		     struct mf_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && old && i < old->cnt; i++)
		if (!mf_store_has(parent, &old->packs[i]) &&
		    !is_named(old->packs[i].name, leave, leave_cnt))
			r = mf_store_put_entry(c, &old->packs[i], err);
	return r;
}

int mf_store_rebase_canary(struct mf_pack_state *next, uint32_t parent,
			   const struct mf_pack_entry *more, size_t more_cnt, uint32_t percent,
			   const char (*leave)[MF_PACK_NAME_MAX + 1], size_t leave_cnt,
			   struct mf_err *err)
{
	const struct mf_pack_generation *old = mf_pack_state_find(next, next->canary);
	const struct mf_pack_generation *active = mf_pack_state_find(next, next->active);
	struct mf_pack_generation *c = calloc(1, sizeof(*c)), *g;
	int r = 0;

	if (!c)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (active)
		*c = *active;
	if (old)
		r = take_over(c, old, mf_pack_state_find(next, parent), leave, leave_cnt, err);
	for (size_t i = 0; r == 0 && i < more_cnt; i++)
		r = mf_store_put_entry(c, &more[i], err);
	if (r < 0 || (old && old->parent == next->active && mf_store_same_packs(c, old))) {
		if (r == 0 && percent)
			next->canary_percent = percent;
		free(c);
		return r;
	}
	percent = percent ? percent : next->canary_percent;
	mf_store_drop_canary(next);
	active = mf_pack_state_find(next, next->active);
	if (!mf_store_same_packs(c, active ? active : &(struct mf_pack_generation){ 0 })) {
		g = mf_store_add_generation(next, next->active);
		memcpy(g->packs, c->packs, sizeof(g->packs));
		g->cnt = c->cnt;
		next->canary = g->number;
		next->canary_percent = percent;
	}
	free(c);
	return 0;
}

void mf_store_note_source(struct mf_pack_state *next, const struct mf_pack_state_source *source)
{
	struct mf_pack_state_source *to = mf_store_source(next, source->name, source->channel);

	if (!to && next->source_cnt < MF_PACK_STATE_SOURCES)
		to = &next->sources[next->source_cnt++];
	if (to)
		*to = *source;
}

struct mf_pack_state_source *mf_store_source(struct mf_pack_state *s, const char *name,
					     const char *channel)
{
	for (size_t i = 0; i < s->source_cnt; i++)
		if (strcmp(s->sources[i].name, name) == 0 &&
		    strcmp(s->sources[i].channel, channel) == 0)
			return &s->sources[i];
	return NULL;
}
