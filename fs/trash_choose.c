/* SPDX-License-Identifier: Apache-2.0 */
/* trash_choose.c - see trash_choose.h */
#include "fs/trash_choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int compare_paths(const char *a, const char *b, bool fold)
{
	return fold ? strcasecmp(a, b) : strcmp(a, b);
}

bool mf_trash_path_below(const char *path, const char *dir, bool fold)
{
	size_t len = strlen(dir);

	while (len > 0 && dir[len - 1] == '/')
		len--;
	return (fold ? strncasecmp(path, dir, len) : strncmp(path, dir, len)) == 0 &&
	       (path[len] == '\0' || path[len] == '/');
}

bool mf_trash_wants(const struct mf_trash_filter *f, const struct mf_glob *glob,
		    const struct mf_trash_entry *e, bool fold)
{
	return (!f->session || strcmp(f->session, e->session) == 0) &&
	       (!f->path || mf_trash_path_below(e->path, f->path, fold)) &&
	       (!f->since_ns || e->deleted_ns >= f->since_ns) &&
	       (!f->until_ns || e->deleted_ns <= f->until_ns) &&
	       (!glob || mf_glob_match(glob, e->path, strlen(e->path)));
}

int mf_trash_search_entry(void *ctx, const struct mf_trash_entry *e)
{
	struct mf_trash_search *s = ctx;

	if (compare_paths(e->path, s->path, s->fold) != 0 ||
	    (s->found && (s->at ? e->deleted_ns >= s->best_ns : e->deleted_ns < s->best_ns)))
		return 0;
	s->found = true;
	s->best_ns = e->deleted_ns;
	snprintf(s->token, sizeof(s->token), "%s", e->token);
	snprintf(s->file, sizeof(s->file), "%s", e->file);
	return 0;
}

/* ---- undo ---- */

/* Room for one more of @size bytes in a list of @cnt; Return: the list, NULL without memory */
static void *grow(void *list, size_t cnt, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 256;

	if (cnt < *room)
		return list;
	list = realloc(list, more * size);
	if (list)
		*room = more;
	return list;
}

int mf_trash_losses_add(void *losses, const struct mf_trash_entry *e)
{
	struct mf_trash_losses *l = losses;
	struct mf_trash_lost *lost;

	if (e->made) {
		l->own++;
		return 0;
	}
	lost = grow(l->list, l->cnt, &l->room, sizeof(*lost));
	if (!lost)
		return MF_E_NOMEM;
	l->list = lost;
	lost += l->cnt;
	snprintf(lost->token, sizeof(lost->token), "%s", e->token);
	lost->replaced = e->op == MF_TRASH_REPLACE || e->op == MF_TRASH_TRUNCATE ||
			 e->op == MF_TRASH_OVERWRITE || e->op == MF_TRASH_RMDIR;
	lost->path = strdup(e->path);
	if (!lost->path)
		return MF_E_NOMEM;
	l->cnt++;
	return 0;
}

/* By path, of one path the oldest first. */
static int by_path(const void *a, const void *b)
{
	const struct mf_trash_lost *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : strcmp(x->token, y->token);
}

static int by_path_fold(const void *a, const void *b)
{
	const struct mf_trash_lost *x = a, *y = b;
	int r = strcasecmp(x->path, y->path);

	return r ? r : strcmp(x->token, y->token);
}

static int latest_first(const void *a, const void *b)
{
	return -strcmp(((const struct mf_trash_lost *)a)->token,
		       ((const struct mf_trash_lost *)b)->token);
}

void mf_trash_losses_thin(struct mf_trash_losses *l)
{
	size_t kept = 0;

	if (l->cnt == 0)
		return;
	qsort(l->list, l->cnt, sizeof(*l->list), l->fold ? by_path_fold : by_path);
	for (size_t i = 0; i < l->cnt; i++) {
		struct mf_trash_lost *last = kept ? &l->list[kept - 1] : NULL;

		if (last && compare_paths(last->path, l->list[i].path, l->fold) == 0) {
			last->replaced |= l->list[i].replaced;
			free(l->list[i].path);
		} else {
			l->list[kept++] = l->list[i];
		}
	}
	l->cnt = kept;
	qsort(l->list, l->cnt, sizeof(*l->list), latest_first);
}

void mf_trash_losses_done(struct mf_trash_losses *l)
{
	for (size_t i = 0; i < l->cnt; i++)
		free(l->list[i].path);
	free(l->list);
	*l = (struct mf_trash_losses){ .fold = l->fold };
}

/* ---- purge ---- */

int mf_trash_candidates_add(struct mf_trash_candidates *c, const struct mf_trash_entry *e,
			    uint64_t bytes)
{
	struct mf_trash_candidate *one = grow(c->list, c->cnt, &c->room, sizeof(*one));

	if (!one)
		return MF_E_NOMEM;
	c->list = one;
	one += c->cnt;
	*one = (struct mf_trash_candidate){ .deleted_ns = e->deleted_ns, .bytes = bytes };
	snprintf(one->token, sizeof(one->token), "%s", e->token);
	if (e->foreign && !(one->file = strdup(e->file)))
		return MF_E_NOMEM;
	c->bytes += bytes;
	c->cnt++;
	return 0;
}

static int older_first(const void *a, const void *b)
{
	const struct mf_trash_candidate *x = a, *y = b;

	return x->deleted_ns < y->deleted_ns ? -1 : x->deleted_ns > y->deleted_ns;
}

void mf_trash_candidates_choose(struct mf_trash_candidates *c, const struct mf_trash_purge *purge,
				uint64_t now_ns)
{
	const struct mf_trash_keep *keep = &purge->keep;
	bool limited = keep->age_s || keep->max_bytes || keep->max_count || keep->keep_last;
	bool all = purge->all || purge->token || (purge->session && !limited);
	// With nothing but a number to keep, all the others are what is to go.
	bool rest = limited && !keep->age_s && !keep->max_bytes && !keep->max_count;
	uint64_t left = c->cnt, bytes = c->bytes;

	if (c->cnt)
		qsort(c->list, c->cnt, sizeof(*c->list), older_first);
	for (size_t i = 0; i < c->cnt; i++) {
		struct mf_trash_candidate *one = &c->list[i];
		uint64_t age = now_ns > one->deleted_ns ? now_ns - one->deleted_ns : 0;

		if (keep->keep_last && c->cnt - i <= keep->keep_last)
			break;
		one->why = all || rest					     ? "user"
			   : keep->age_s && age / MF_NS_PER_S >= keep->age_s ? "expired"
			   : keep->max_count && left > keep->max_count	     ? "count"
			   : keep->max_bytes && bytes > keep->max_bytes && one->bytes > 0 ? "size"
											  : NULL;
		if (one->why) {
			left--;
			bytes -= one->bytes;
		}
	}
}

void mf_trash_candidates_done(struct mf_trash_candidates *c)
{
	for (size_t i = 0; i < c->cnt; i++)
		free(c->list[i].file);
	free(c->list);
	*c = (struct mf_trash_candidates){ .cnt = 0 };
}
