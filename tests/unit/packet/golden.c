/* SPDX-License-Identifier: Apache-2.0 */
/* golden.c - see golden.h */
#include "golden.h"

/* The rest of the line behind a key, e.g. "name: "; NULL for another key. */
static const char *value(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) == 0 ? line + n : NULL;
}

static void add_hex(struct golden *g, const char *hex)
{
	size_t n = strlen(hex) / 2;

	assert_int_equal(strlen(hex) % 2, 0);
	if (!n)
		return;
	g->bytes = realloc(g->bytes, g->len + n);
	assert_non_null(g->bytes);
	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		g->bytes[g->len++] = (uint8_t)v;
	}
}

/* A value that does not fit is a mistake in the file. */
static void copy(char *to, size_t room, const char *from)
{
	size_t len = strlen(from);

	assert_true(len < room);
	memcpy(to, from, len + 1);
}

static void read_line(struct golden *g, const char *line)
{
	const char *v;

	if ((v = value(line, "name: "))) {
		copy(g->name, sizeof(g->name), v);
	} else if ((v = value(line, "link: "))) {
		g->link = strcmp(v, "ip") == 0 ? MF_VIEW_IP : MF_VIEW_ETHERNET;
	} else if ((v = value(line, "text: "))) {
		copy(g->text, sizeof(g->text), v);
	} else if ((v = value(line, "sums: "))) {
		copy(g->sums, sizeof(g->sums), v);
	} else if ((v = value(line, "hex:"))) {
		g->bytes = malloc(1);
		assert_non_null(g->bytes);
	} else if ((v = value(line, "  "))) {
		add_hex(g, v);
	} else {
		fail_msg("golden.txt: cannot read \"%s\"", line);
	}
}

unsigned golden_each(void (*fn)(const struct golden *g, void *ctx), void *ctx)
{
	FILE *f = fopen(MF_TEST_DATA "/packet/golden.txt", "r");
	struct golden g = { 0 };
	unsigned cnt = 0;
	char line[8192];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) || g.name[0]) {
		line[feof(f) ? 0 : strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		if (line[0]) {
			read_line(&g, line);
			continue;
		}
		if (!g.name[0])
			continue;
		fn(&g, ctx);
		free(g.bytes);
		g = (struct golden){ 0 };
		cnt++;
	}
	fclose(f);
	assert_true(cnt > 0);
	return cnt;
}

struct wanted {
	const char *name;
	uint8_t *buf;
	size_t room, len;
};

static void take(const struct golden *g, void *ctx)
{
	struct wanted *w = ctx;
	size_t skip = g->link == MF_VIEW_ETHERNET ? 14 : 0;

	if (strcmp(g->name, w->name) != 0)
		return;
	assert_true(g->len >= skip && g->len - skip <= w->room);
	w->len = g->len - skip;
	memcpy(w->buf, g->bytes + skip, w->len);
}

size_t golden_ip(const char *name, uint8_t *buf, size_t room)
{
	struct wanted w = { name, buf, room, 0 };

	golden_each(take, &w);
	if (!w.len)
		fail_msg("golden.txt has no packet \"%s\"", name);
	return w.len;
}

struct mf_view golden_view(const uint8_t *pkt, size_t len, enum mf_view_link link)
{
	struct mf_view v;

	mf_view_init(&v, mf_span_of(pkt, len), link, 0, NULL);
	if (mf_view_parse(&v, MF_VIEW_TRANSPORT))
		fail_msg("packet is not read: %s", mf_view_reason_name(v.reason));
	return v;
}
