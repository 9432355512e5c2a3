/* SPDX-License-Identifier: Apache-2.0 */
/* port_set.c - see port_set.h */
#include "core/match/port_set.h"

#include <stdlib.h>
#include <string.h>

// From so many ranges on the map is quicker than a search.
#define MAP_FROM  8u
#define MAP_WORDS (65536u / 64u)

void mf_port_set_done(struct mf_port_set *set)
{
	free(set->ranges);
	free(set->map);
	*set = (struct mf_port_set)MF_PORT_SET_INIT;
}

static int make_map(struct mf_port_set *set)
{
	set->map = calloc(MAP_WORDS, sizeof(*set->map));
	if (!set->map)
		return MF_E_NOMEM;
	for (uint32_t i = 0; i < set->range_cnt; i++)
		for (uint32_t p = set->ranges[i].first; p <= set->ranges[i].last; p++)
			set->map[p / 64] |= UINT64_C(1) << (p % 64);
	return 0;
}

int mf_port_set_add(struct mf_port_set *set, uint16_t first, uint16_t last)
{
	uint32_t lo = 0, hi;

	if (first > last)
		return MF_E_INVAL;
	if (set->range_cnt == set->range_room) {
		uint32_t room = set->range_room ? set->range_room * 2 : 4;
		struct mf_port_range *r = realloc(set->ranges, room * sizeof(*r));

		if (!r)
			return MF_E_NOMEM;
		set->ranges = r;
		set->range_room = room;
	}
	// Ranges lo..hi-1 overlap the new one or touch it, and become one with it.
	while (lo < set->range_cnt && set->ranges[lo].last + 1 < first)
		lo++;
	for (hi = lo; hi < set->range_cnt && set->ranges[hi].first <= last + 1; hi++) {
		if (set->ranges[hi].first < first)
			first = set->ranges[hi].first;
		if (set->ranges[hi].last > last)
			last = set->ranges[hi].last;
	}
	memmove(&set->ranges[lo + 1], &set->ranges[hi],
		(set->range_cnt - hi) * sizeof(*set->ranges));
	set->ranges[lo] = (struct mf_port_range){ first, last };
	set->range_cnt = set->range_cnt - (hi - lo) + 1;
	if (set->map) {
		for (uint32_t p = first; p <= last; p++)
			set->map[p / 64] |= UINT64_C(1) << (p % 64);
		return 0;
	}
	return set->range_cnt >= MAP_FROM ? make_map(set) : 0;
}

static bool read_port(const char *text, size_t len, size_t *pos, uint16_t *ret)
{
	size_t i = *pos;
	unsigned v = 0;

	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
		if (i - *pos == 5)
			return false;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	if (i == *pos || v > 65535 || (text[*pos] == '0' && i - *pos > 1))
		return false;
	*pos = i;
	*ret = (uint16_t)v;
	return true;
}

int mf_port_range_parse(const char *text, size_t len, struct mf_port_range *ret)
{
	struct mf_port_range r;
	size_t pos = 0;

	if (!read_port(text, len, &pos, &r.first))
		return MF_E_SYNTAX;
	r.last = r.first;
	if (pos < len) {
		if (text[pos++] != '-' || !read_port(text, len, &pos, &r.last) || pos != len ||
		    r.last < r.first)
			return MF_E_SYNTAX;
	}
	*ret = r;
	return 0;
}

static bool is_gap(char c)
{
	return c == ' ' || c == ',' || c == '\t';
}

// One pass checks, the next adds, so that bad text adds nothing.
static int each_item(struct mf_port_set *set, const char *text, size_t len, struct mf_err *err,
		     size_t *ret_cnt)
{
	size_t pos = 0, cnt = 0;

	for (;;) {
		struct mf_port_range r;
		size_t end;

		while (pos < len && is_gap(text[pos]))
			pos++;
		if (pos == len)
			break;
		for (end = pos; end < len && !is_gap(text[end]); end++)
			;
		if (mf_port_range_parse(text + pos, end - pos, &r))
			return mf_err_set(
				err, MF_E_SYNTAX,
				"\"%.*s\" is not a port (0 to 65535) nor a range of ports "
				"(\"8000-8999\").",
				(int)(end - pos > 40 ? 40 : end - pos), text + pos);
		if (set) {
			int e = mf_port_set_add(set, r.first, r.last);

			if (e)
				return mf_err_set(err, e, "No memory for a set of ports.");
		}
		cnt++;
		pos = end;
	}
	*ret_cnt = cnt;
	return 0;
}

int mf_port_set_add_text(struct mf_port_set *set, const char *text, size_t len, struct mf_err *err)
{
	size_t cnt;
	int r = each_item(NULL, text, len, err, &cnt);

	if (r)
		return r;
	if (!cnt)
		return mf_err_set(err, MF_E_SYNTAX, "The list of ports is empty.");
	return each_item(set, text, len, err, &cnt);
}

bool mf_port_set_has(const struct mf_port_set *set, uint16_t port)
{
	if (set->map)
		return set->map[port / 64] >> (port % 64) & 1;
	for (uint32_t i = 0; i < set->range_cnt; i++)
		if (port <= set->ranges[i].last)
			return port >= set->ranges[i].first;
	return false;
}
