/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner_table.c - sorted copies of the system's socket tables, and finding a flow's owner in them
 *
 * Four tables: TCP and UDP, IPv4 and IPv6. Rows are sorted as bytes of their flow, so an exact row and each wildcard are
 * one binary search. A miss in a table that is older than the last socket call of a program means nothing, so it reads
 * the table again, but not more often than MF_OWNER_READ_EVERY_NS.
 */
#include "capture/owner_table.h"

#include <stdlib.h>

#define ROWS_FIRST 512

struct table {
	struct mf_owner_row *rows;
	size_t cnt, room;
	uint64_t read_ns;
	bool was_read; /* at read_ns, with success or not */
};

struct mf_owner_table {
	struct mf_owner_source source;
	struct mf_owner_stats stats;
	struct table tables[4]; /* see table_of() */
};

static struct table *table_of(struct mf_owner_table *t, uint8_t proto, uint8_t family)
{
	return &t->tables[(proto == MF_PROTO_UDP) * 2 + (family == 6)];
}

static int row_cmp(const void *a, const void *b)
{
	return memcmp(&((const struct mf_owner_row *)a)->flow,
		      &((const struct mf_owner_row *)b)->flow, sizeof(struct mf_flow));
}

/* Room for @cnt rows, with some more for those that come until the next read. */
static int make_room(struct table *tab, size_t cnt)
{
	size_t room = cnt + cnt / 4 + ROWS_FIRST;
	struct mf_owner_row *rows;

	room = room > MF_OWNER_ROWS_MAX ? MF_OWNER_ROWS_MAX : room;
	if (room <= tab->room)
		return 0;
	rows = realloc(tab->rows, room * sizeof(*rows));
	if (!rows)
		return MF_E_NOMEM;
	tab->rows = rows;
	tab->room = room;
	return 0;
}

static int read_table(struct mf_owner_table *t, uint8_t proto, uint8_t family, uint64_t now_ns)
{
	struct table *tab = table_of(t, proto, family);
	int r = make_room(tab, 0);

	// What cannot be read now is not tried again at once either.
	tab->read_ns = now_ns;
	tab->was_read = true;
	tab->cnt = 0;
	t->stats.reads++;
	if (r == 0)
		r = t->source.read(t->source.ctx, proto, family, tab->rows, tab->room);
	if (r > 0 && (size_t)r > tab->room && tab->room < MF_OWNER_ROWS_MAX &&
	    make_room(tab, (size_t)r) == 0)
		r = t->source.read(t->source.ctx, proto, family, tab->rows, tab->room);
	if (r < 0) {
		t->stats.read_failures++;
		return r;
	}
	if ((size_t)r > tab->room) {
		t->stats.rows_cut += (size_t)r - tab->room;
		r = (int)tab->room;
	}
	tab->cnt = (size_t)r;
	if (tab->cnt)
		qsort(tab->rows, tab->cnt, sizeof(tab->rows[0]), row_cmp);
	return 0;
}

static bool search(const struct table *tab, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct mf_owner_row key = { .flow = *flow };
	const struct mf_owner_row *row =
		tab->cnt ? bsearch(&key, tab->rows, tab->cnt, sizeof(key), row_cmp) : NULL;

	if (row)
		*ret_pid = row->pid;
	return row;
}

/* The row's flow of a socket that has a local end only: @flow's, or with the wildcard for its address. */
static struct mf_flow local_of(const struct mf_flow *flow, uint8_t family, bool wildcard)
{
	struct mf_flow f = { .src_port = flow->src_port, .proto = flow->proto, .family = family };

	if (!wildcard)
		memcpy(f.src, flow->src, sizeof(f.src));
	return f;
}

static bool search_all(struct mf_owner_table *t, const struct mf_flow *flow, uint32_t *ret_pid)
{
	const struct table *tab = table_of(t, flow->proto, flow->family);
	struct mf_flow f;

	if (flow->proto == MF_PROTO_TCP && search(tab, flow, ret_pid))
		return true;
	f = local_of(flow, flow->family, false);
	if (search(tab, &f, ret_pid))
		return true;
	f = local_of(flow, flow->family, true);
	if (search(tab, &f, ret_pid))
		return true;
	if (flow->family != 4)
		return false;
	f = local_of(flow, 6, true);
	return search(table_of(t, flow->proto, 6), &f, ret_pid);
}

/* Return: true if a table was read */
static bool refresh(struct mf_owner_table *t, const struct mf_flow *flow, uint64_t now_ns,
		    uint64_t max_age_ns)
{
	bool read = false;

	for (uint8_t family = flow->family; family <= 6; family += 2) {
		struct table *tab = table_of(t, flow->proto, family);

		if (tab->was_read && now_ns - tab->read_ns <= max_age_ns)
			continue;
		(void)read_table(t, flow->proto, family, now_ns);
		read = true;
	}
	return read;
}

int mf_owner_table_find(struct mf_owner_table *t, const struct mf_flow *flow, uint64_t now_ns,
			uint32_t *ret_pid)
{
	if ((flow->proto != MF_PROTO_TCP && flow->proto != MF_PROTO_UDP) ||
	    (flow->family != 4 && flow->family != 6))
		return MF_E_NOENT;
	t->stats.finds++;
	(void)refresh(t, flow, now_ns, MF_OWNER_BELIEVE_NS);
	if (!search_all(t, flow, ret_pid) &&
	    (!refresh(t, flow, now_ns, MF_OWNER_READ_EVERY_NS) || !search_all(t, flow, ret_pid)))
		return MF_E_NOENT;
	t->stats.found++;
	return 0;
}

int mf_owner_table_each(struct mf_owner_table *t, uint64_t now_ns,
			bool (*fn)(void *ctx, const struct mf_owner_row *row), void *ctx)
{
	static const uint8_t protos[] = { MF_PROTO_TCP, MF_PROTO_UDP };
	int told = 0, failed = 0, code = 0;

	for (size_t p = 0; p < MF_ARRAY_SIZE(protos); p++) {
		for (uint8_t family = 4; family <= 6; family += 2) {
			const struct table *tab = table_of(t, protos[p], family);
			int r = read_table(t, protos[p], family, now_ns);

			if (r < 0) {
				failed++;
				code = r;
				continue;
			}
			for (size_t i = 0; i < tab->cnt; i++) {
				told++;
				if (!fn(ctx, &tab->rows[i]))
					return told;
			}
		}
	}
	return failed == (int)MF_ARRAY_SIZE(t->tables) ? code : told;
}

int mf_owner_table_new(const struct mf_owner_source *source, struct mf_owner_table **ret,
		       struct mf_err *err)
{
	struct mf_owner_table *t = calloc(1, sizeof(*t));

	if (!t)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	t->source = *source;
	*ret = t;
	return 0;
}

void mf_owner_table_get_stats(const struct mf_owner_table *t, struct mf_owner_stats *ret)
{
	*ret = t->stats;
}

void mf_owner_table_free(struct mf_owner_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < MF_ARRAY_SIZE(t->tables); i++)
		free(t->tables[i].rows);
	free(t);
}
