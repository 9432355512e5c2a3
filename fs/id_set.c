/* SPDX-License-Identifier: Apache-2.0 */
/* id_set.c - see id_set.h: open addressing, linear probing, half full at most; an empty place has the identity (0, 0) */
#include "fs/id_set.h"

#include <stdlib.h>

static size_t home_of(const struct mf_id_set_half *h, uint64_t dev, uint64_t ino)
{
	uint64_t x = (ino + dev * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);

	return (size_t)(x ^ x >> 32) & (h->room - 1);
}

/* The place of a member, or the empty one where it belongs. */
static size_t place_of(const struct mf_id_set_half *h, uint64_t dev, uint64_t ino)
{
	size_t i = home_of(h, dev, ino);

	while ((h->at[i][0] || h->at[i][1]) && (h->at[i][0] != dev || h->at[i][1] != ino))
		i = (i + 1) & (h->room - 1);
	return i;
}

static bool has(const struct mf_id_set_half *h, uint64_t dev, uint64_t ino)
{
	size_t i = h->room ? place_of(h, dev, ino) : 0;

	return h->room && (h->at[i][0] || h->at[i][1]);
}

static void put(struct mf_id_set_half *h, uint64_t dev, uint64_t ino)
{
	size_t i = place_of(h, dev, ino);

	if (!h->at[i][0] && !h->at[i][1])
		h->cnt++;
	h->at[i][0] = dev;
	h->at[i][1] = ino;
}

static bool grow(struct mf_id_set_half *h)
{
	struct mf_id_set_half more = { .room = h->room ? 2 * h->room : 256 };

	more.at = calloc(more.room, sizeof(*more.at));
	if (!more.at)
		return false;
	for (size_t i = 0; i < h->room; i++)
		if (h->at[i][0] || h->at[i][1])
			put(&more, h->at[i][0], h->at[i][1]);
	free(h->at);
	*h = more;
	return true;
}

/* Whoever stands behind an empty place would not be found any more: they move up. */
static void take(struct mf_id_set_half *h, uint64_t dev, uint64_t ino)
{
	size_t hole = place_of(h, dev, ino), i = hole, home;

	if (!h->at[hole][0] && !h->at[hole][1])
		return;
	h->cnt--;
	for (;;) {
		h->at[hole][0] = h->at[hole][1] = 0;
		do {
			i = (i + 1) & (h->room - 1);
			if (!h->at[i][0] && !h->at[i][1])
				return;
			home = home_of(h, h->at[i][0], h->at[i][1]);
		} while (((i - home) & (h->room - 1)) < ((i - hole) & (h->room - 1)));
		h->at[hole][0] = h->at[i][0];
		h->at[hole][1] = h->at[i][1];
		hole = i;
	}
}

bool mf_id_set_add(struct mf_id_set *s, uint64_t dev, uint64_t ino)
{
	if (!dev && !ino)
		return false;
	if (s->young.cnt >= MF_ID_SET_MAX / 2) {
		free(s->old.at);
		s->old = s->young;
		s->young = (struct mf_id_set_half){ .at = NULL };
	}
	if (2 * (s->young.cnt + 1) > s->young.room && !grow(&s->young))
		return false;
	put(&s->young, dev, ino);
	return true;
}

bool mf_id_set_has(struct mf_id_set *s, uint64_t dev, uint64_t ino)
{
	if (has(&s->young, dev, ino))
		return true;
	if (!has(&s->old, dev, ino))
		return false;
	(void)mf_id_set_add(s, dev, ino);
	return true;
}

void mf_id_set_remove(struct mf_id_set *s, uint64_t dev, uint64_t ino)
{
	if (s->young.room)
		take(&s->young, dev, ino);
	if (s->old.room)
		take(&s->old, dev, ino);
}

void mf_id_set_done(struct mf_id_set *s)
{
	free(s->young.at);
	free(s->old.at);
	*s = (struct mf_id_set){ .young = { .at = NULL } };
}
