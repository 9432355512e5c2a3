/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glob_covers.c - whether one glob matches everything that another one does; see glob.h
 *
 * How it works
 *
 * A glob is a finite automaton: literal ends and a middle. Each is laid out as positions that read one character, with the
 * positions that may follow (Glushkov). The inner one is walked position by position, and beside it the set of all positions in
 * which the outer one may be after the same text. Where the inner one may end and no position of that set may, there is a text
 * that only the inner one matches. When all pairs have been seen without that, there is none.
 *
 * Characters that no literal and no class of the two tells apart behave alike, so one of each such interval is tried.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/utf8.h"
#include "core/match/glob_internal.h"

#define POSITIONS_MAX 512
#define WORDS	      (POSITIONS_MAX / 64)
#define PAIRS_MAX     1024 /* (position, set) that are looked at */
#define CUTS_MAX      1024

struct set {
	uint64_t words[WORDS];
};

struct automaton {
	const struct mf_glob *g;
	uint32_t cnt;
	struct instr at[POSITIONS_MAX];
	struct set follow[POSITIONS_MAX], first;
	bool ends[POSITIONS_MAX], ends_empty;
};

static void put(struct set *s, uint32_t i)
{
	s->words[i / 64] |= UINT64_C(1) << (i % 64);
}

static bool has(const struct set *s, uint32_t i)
{
	return s->words[i / 64] >> (i % 64) & 1;
}

/* --- laying out ------------------------------------------------------------------------------------------------------- */

/* One position for each character of @text. Return: false when it is too long or no UTF-8 */
static bool add_text(struct automaton *a, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		struct instr in = { .op = OP_CHAR };

		i += mf_utf8_decode((const uint8_t *)text + i, len - i, &in.a);
		if (in.a >= MF_UTF8_BAD || a->cnt == POSITIONS_MAX)
			return false;
		a->at[a->cnt++] = in;
	}
	return true;
}

static uint32_t middle_size(const struct mf_glob *g)
{
	if (g->middle == MIDDLE_ANY || g->middle == MIDDLE_NOTSEP)
		return 1;
	return g->middle == MIDDLE_BITS ? g->bits->cnt : 0;
}

/* The middle's positions of @bits, which begin at @from; what may follow the middle (@after) if it may end there. */
static void lead_to(struct set *to, bool *ret_ends, uint64_t bits, uint32_t from, bool may_end,
		    const struct automaton *a, uint32_t after)
{
	for (; bits; bits &= bits - 1)
		put(to, from + (uint32_t)__builtin_ctzll(bits));
	if (!may_end)
		return;
	if (after < a->cnt)
		put(to, after);
	else
		*ret_ends = true;
}

/* Everything that may be read where the middle begins. */
static void enter_middle(struct automaton *a, struct set *to, bool *ret_ends, uint32_t from,
			 uint32_t after)
{
	const struct mf_glob *g = a->g;

	if (g->middle == MIDDLE_BITS)
		lead_to(to, ret_ends, g->bits->first, from, g->bits->accept_empty, a, after);
	else
		lead_to(to, ret_ends, after > from, from, true, a, after);
}

static bool lay_out(struct automaton *a, const struct mf_glob *g)
{
	uint32_t from, after;

	memset(a, 0, sizeof(*a));
	a->g = g;
	if (g->middle == MIDDLE_LIST || g->middle == MIDDLE_ROW || g->overlap ||
	    !add_text(a, g->prefix, g->prefix_len))
		return false;
	from = a->cnt;
	after = from + middle_size(g);
	if (after > POSITIONS_MAX)
		return false;
	for (uint32_t i = from; i < after; i++)
		a->at[i] = g->middle == MIDDLE_BITS
				   ? g->bits->state[i - from]
				   : (struct instr){ .op = g->middle == MIDDLE_ANY ? OP_ANY
										   : OP_NOTSEP };
	a->cnt = after;
	if (!add_text(a, g->suffix, g->suffix_len))
		return false;
	for (uint32_t i = 0; i < a->cnt; i++) {
		if (i + 1 == from)
			enter_middle(a, &a->follow[i], &a->ends[i], from, after);
		else if (i < from || (i >= after && i + 1 < a->cnt))
			put(&a->follow[i], i + 1);
		else if (i >= after)
			a->ends[i] = true;
		else if (g->middle == MIDDLE_BITS)
			lead_to(&a->follow[i], &a->ends[i], g->bits->follow[i - from], from,
				g->bits->accept >> (i - from) & 1, a, after);
		else
			lead_to(&a->follow[i], &a->ends[i], 1, from, true, a, after);
	}
	if (from > 0)
		put(&a->first, 0);
	else
		enter_middle(a, &a->first, &a->ends_empty, from, after);
	return true;
}

/* --- characters that are told apart ------------------------------------------------------------------------------------- */

struct cuts {
	uint32_t at[CUTS_MAX];
	size_t cnt;
	bool full;
};

static void cut(struct cuts *c, uint32_t at)
{
	c->full |= c->cnt == CUTS_MAX;
	if (!c->full)
		c->at[c->cnt++] = at;
}

/* @lo to @hi behave differently from what is around them, in either case. */
static void cut_range(struct cuts *c, uint32_t lo, uint32_t hi)
{
	cut(c, lo);
	cut(c, hi + 1);
	for (int other = -32; other <= 32; other += 64) {
		if ((int64_t)lo + other >= 0)
			cut(c, (uint32_t)((int64_t)lo + other));
		if ((int64_t)hi + other >= 0)
			cut(c, (uint32_t)((int64_t)hi + other + 1));
	}
}

static void cut_by(struct cuts *c, const struct automaton *a)
{
	const struct mf_glob *g = a->g;

	if (g->sep)
		cut_range(c, g->sep, g->sep);
	for (uint32_t i = 0; i < a->cnt; i++)
		if (a->at[i].op == OP_CHAR)
			cut_range(c, a->at[i].a, a->at[i].a);
	for (uint32_t i = 0; i < g->range_cnt; i++)
		cut_range(c, g->ranges[i].lo, g->ranges[i].hi);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Return: false when there are too many */
static bool find_cuts(struct cuts *c, const struct automaton *a, const struct automaton *b)
{
	size_t n = 0;

	c->cnt = 0;
	c->full = false;
	cut(c, 1); /* no text has a NUL */
	cut_range(c, 'A', 'Z');
	cut_by(c, a);
	cut_by(c, b);
	if (c->full)
		return false;
	qsort(c->at, c->cnt, sizeof(*c->at), compare);
	for (size_t i = 0; i < c->cnt; i++)
		if (c->at[i] && (n == 0 || c->at[i] != c->at[n - 1]))
			c->at[n++] = c->at[i];
	c->cnt = n;
	return true;
}

/* --- walking ------------------------------------------------------------------------------------------------------------ */

struct pair {
	uint32_t inner; /* position that was read last */
	struct set outer;
};

struct walk {
	struct automaton inner, outer;
	struct cuts cuts;
	struct pair pairs[PAIRS_MAX];
	size_t cnt;
};

/* What may be read after what was read last. */
static void successors(const struct automaton *a, const struct set *last, struct set *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < a->cnt; i++)
		if (has(last, i))
			for (size_t w = 0; w < WORDS; w++)
				ret->words[w] |= a->follow[i].words[w];
}

/* The positions of @from that take @ch. Return: whether the text may end there */
static bool read_one(const struct automaton *a, const struct set *from, uint32_t ch,
		     struct set *ret)
{
	bool ends = false;

	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < a->cnt; i++) {
		if (!has(from, i) || !takes(a->g, &a->at[i], ch))
			continue;
		put(ret, i);
		ends |= a->ends[i];
	}
	return ends;
}

static bool add_pair(struct walk *w, uint32_t inner, const struct set *outer)
{
	for (size_t i = 0; i < w->cnt; i++)
		if (w->pairs[i].inner == inner &&
		    memcmp(&w->pairs[i].outer, outer, sizeof(*outer)) == 0)
			return true;
	if (w->cnt == PAIRS_MAX)
		return false;
	w->pairs[w->cnt++] = (struct pair){ inner, *outer };
	return true;
}

/* One character from where @inner and @outer may read. Return: false when the proof ends here */
static bool step(struct walk *w, const struct set *inner, const struct set *outer)
{
	for (size_t c = 0; c < w->cuts.cnt; c++) {
		uint32_t ch = w->cuts.at[c];
		struct set after;
		bool ends = read_one(&w->outer, outer, ch, &after);

		for (uint32_t i = 0; i < w->inner.cnt; i++) {
			if (!has(inner, i) || !takes(w->inner.g, &w->inner.at[i], ch))
				continue;
			if ((w->inner.ends[i] && !ends) || !add_pair(w, i, &after))
				return false;
		}
	}
	return true;
}

static bool prove(struct walk *w)
{
	struct set readable;

	w->cnt = 0;
	if ((w->inner.ends_empty && !w->outer.ends_empty) ||
	    !find_cuts(&w->cuts, &w->inner, &w->outer) ||
	    !step(w, &w->inner.first, &w->outer.first))
		return false;
	for (size_t i = 0; i < w->cnt; i++) {
		const struct pair p = w->pairs[i];

		successors(&w->outer, &p.outer, &readable);
		if (!step(w, &w->inner.follow[p.inner], &readable))
			return false;
	}
	return true;
}

bool mf_glob_covers(const struct mf_glob *outer, const struct mf_glob *inner)
{
	struct walk *w;
	bool proved;

	if (outer->sep != inner->sep)
		return false;
	if (outer->middle == MIDDLE_ANY && !outer->prefix_len && !outer->suffix_len)
		return true; /* everything, whatever @inner is */
	w = malloc(sizeof(*w));
	proved = w && lay_out(&w->inner, inner) && lay_out(&w->outer, outer) && prove(w);
	free(w);
	return proved;
}
