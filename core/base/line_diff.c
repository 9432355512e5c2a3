/* SPDX-License-Identifier: Apache-2.0 */
/* line_diff.c - see line_diff.h */
#include "core/base/line_diff.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define BINARY_LOOK 8192
#define TEXT_MAX    (1u << 30)

/* A text in lines; the last may lack its newline. */
struct side {
	struct line {
		struct mf_span text; /* with the newline */
		uint64_t hash;
	} * lines;
	size_t cnt;
	bool *changed; /* one a line: it is not in the other text */
};

static int split(struct mf_span text, struct side *ret)
{
	const uint8_t *p = text.ptr, *end = text.ptr + text.len, *nl;
	size_t cnt = 0;

	for (const uint8_t *q = p; q < end; q = nl ? nl + 1 : end, cnt++)
		nl = memchr(q, '\n', (size_t)(end - q));
	ret->lines = calloc(cnt + 1, sizeof(*ret->lines));
	ret->changed = calloc(cnt + 1, sizeof(*ret->changed));
	if (!ret->lines || !ret->changed)
		return MF_E_NOMEM;
	for (; p < end; ret->cnt++) {
		struct line *l = &ret->lines[ret->cnt];

		nl = memchr(p, '\n', (size_t)(end - p));
		l->text = mf_span_of(p, (size_t)((nl ? nl + 1 : end) - p));
		l->hash = UINT64_C(0xcbf29ce484222325);
		for (size_t i = 0; i < l->text.len; i++)
			l->hash = (l->hash ^ p[i]) * UINT64_C(0x100000001b3);
		p += l->text.len;
	}
	return 0;
}

static void side_done(struct side *s)
{
	free(s->lines);
	free(s->changed);
}

static bool same(const struct side *a, size_t i, const struct side *b, size_t j)
{
	return a->lines[i].hash == b->lines[j].hash &&
	       mf_span_eq(a->lines[i].text, b->lines[j].text);
}

/* ---- the shortest way from one to the other ---- */

/* Lines [from, from + n) of the old text and [from, from + m) of the new one. */
struct walk {
	struct side *a, *b;
	size_t from;
	int n, m;
	int *rows[MF_LINE_DIFF_STEPS +
		  1]; /* of d steps: how far in the old text on each diagonal -d .. d */
};

/* How far d steps get on diagonal k, given the row before; down: by a line of the new text */
static int reach(const int *before, int d, int k, bool *ret_down)
{
	/* Diagonal k of the row before stands at k + d - 1. */
	*ret_down = k == -d || (k != d && before[k - 1 + d - 1] < before[k + 1 + d - 1]);
	return *ret_down ? before[k + 1 + d - 1] : before[k - 1 + d - 1] + 1;
}

/* Return: how many steps there are; -1: more than are taken; MF_E_NOMEM */
static int search(struct walk *w)
{
	bool down;

	for (int d = 0; d <= MF_LINE_DIFF_STEPS; d++) {
		w->rows[d] = malloc(((size_t)2 * (size_t)d + 1) * sizeof(int));
		if (!w->rows[d])
			return MF_E_NOMEM;
		for (int k = -d; k <= d; k += 2) {
			int x = d ? reach(w->rows[d - 1], d, k, &down) : 0, y = x - k;

			while (x < w->n && y >= 0 && y < w->m &&
			       same(w->a, w->from + (size_t)x, w->b, w->from + (size_t)y)) {
				x++;
				y++;
			}
			w->rows[d][k + d] = x;
			if (x >= w->n && y >= w->m)
				return d;
		}
		/* Diagonals of the other parity are not reached by this many steps. */
		for (int k = -d + 1; k < d; k += 2)
			w->rows[d][k + d] = -1;
	}
	return -1;
}

static void mark(struct walk *w, int steps)
{
	int x = w->n, y = w->m;
	bool down;

	for (int d = steps; d > 0; d--) {
		int start = reach(w->rows[d - 1], d, x - y, &down);

		y = start - (x - y);
		x = start;
		/* Before the lines that are the same, the step itself. */
		if (down)
			w->b->changed[w->from + (size_t)--y] = true;
		else
			w->a->changed[w->from + (size_t)--x] = true;
	}
}

static int compare(struct side *a, struct side *b)
{
	struct walk *w = calloc(1, sizeof(*w));
	size_t n = a->cnt, m = b->cnt;
	int steps;

	if (!w)
		return MF_E_NOMEM;
	w->a = a;
	w->b = b;
	while (w->from < n && w->from < m && same(a, w->from, b, w->from))
		w->from++;
	while (n > w->from && m > w->from && same(a, n - 1, b, m - 1)) {
		n--;
		m--;
	}
	w->n = (int)(n - w->from);
	w->m = (int)(m - w->from);
	steps = search(w);
	if (steps >= 0)
		mark(w, steps);
	for (int d = 0; d <= MF_LINE_DIFF_STEPS; d++)
		free(w->rows[d]);
	if (steps == -1) {
		memset(a->changed + w->from, true, (size_t)w->n * sizeof(*a->changed));
		memset(b->changed + w->from, true, (size_t)w->m * sizeof(*b->changed));
		steps = 1;
	}
	free(w);
	return steps > 0 ? 1 : steps;
}

/* ---- telling ---- */

static void put_line(FILE *out, char mark, const struct line *l)
{
	fputc(mark, out);
	fwrite(l->text.ptr, 1, l->text.len, out);
	if (l->text.ptr[l->text.len - 1] != '\n')
		fputs("\n\\ No newline at end of file\n", out);
}

/* "3,7", "3" for one line, and the line before where there is none. */
static void put_range(FILE *out, size_t from, size_t cnt)
{
	if (cnt == 1)
		fprintf(out, "%zu", from + 1);
	else
		fprintf(out, "%zu,%zu", cnt ? from + 1 : from, cnt);
}

static bool is_change(const struct side *a, size_t i, const struct side *b, size_t j)
{
	return (i < a->cnt && a->changed[i]) || (j < b->cnt && b->changed[j]);
}

/* Lines [i, i_end) and [j, j_end), which lie side by side. */
static void put_lines(FILE *out, const struct side *a, size_t i, size_t i_end, const struct side *b,
		      size_t j, size_t j_end)
{
	while (i < i_end || j < j_end)
		if (i < i_end && a->changed[i]) {
			put_line(out, '-', &a->lines[i++]);
		} else if (j < j_end && b->changed[j]) {
			put_line(out, '+', &b->lines[j++]);
		} else {
			put_line(out, ' ', &a->lines[i++]);
			j++;
		}
}

static void put_hunks(FILE *out, const struct side *a, const struct side *b)
{
	size_t i = 0, j = 0;

	while (i < a->cnt || j < b->cnt) {
		size_t before, i_from, j_from, quiet = 0;

		if (!is_change(a, i, b, j)) {
			i++;
			j++;
			continue;
		}
		before = i < MF_LINE_DIFF_CONTEXT ? i : MF_LINE_DIFF_CONTEXT;
		i_from = i - before;
		j_from = j - before;
		/* Until so many lines in a row are the same that two hunks would not touch. */
		while ((i < a->cnt || j < b->cnt) && quiet <= 2 * MF_LINE_DIFF_CONTEXT) {
			if (i < a->cnt && a->changed[i]) {
				i++;
				quiet = 0;
			} else if (j < b->cnt && b->changed[j]) {
				j++;
				quiet = 0;
			} else {
				i++;
				j++;
				quiet++;
			}
		}
		if (quiet > MF_LINE_DIFF_CONTEXT) {
			i -= quiet - MF_LINE_DIFF_CONTEXT;
			j -= quiet - MF_LINE_DIFF_CONTEXT;
		}
		fputs("@@ -", out);
		put_range(out, i_from, i - i_from);
		fputs(" +", out);
		put_range(out, j_from, j - j_from);
		fputs(" @@\n", out);
		put_lines(out, a, i_from, i, b, j_from, j);
	}
}

static bool is_binary(struct mf_span text)
{
	return text.len && memchr(text.ptr, 0, text.len < BINARY_LOOK ? text.len : BINARY_LOOK);
}

int mf_line_diff(struct mf_span old_text, const char *old_label, struct mf_span new_text,
		 const char *new_label, FILE *out)
{
	struct side a = { .cnt = 0 }, b = { .cnt = 0 };
	int r;

	if (mf_span_eq(old_text, new_text))
		return 0;
	if (is_binary(old_text) || is_binary(new_text)) {
		fprintf(out, "Binary files %s and %s differ\n", old_label, new_label);
		return 1;
	}
	if (old_text.len > TEXT_MAX || new_text.len > TEXT_MAX)
		return MF_E_LIMIT;
	r = split(old_text, &a);
	if (r == 0)
		r = split(new_text, &b);
	if (r == 0)
		r = compare(&a, &b);
	if (r > 0) {
		fprintf(out, "--- %s\n+++ %s\n", old_label, new_label);
		put_hunks(out, &a, &b);
	}
	side_done(&a);
	side_done(&b);
	return r;
}
