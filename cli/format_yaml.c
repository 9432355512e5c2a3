/* SPDX-License-Identifier: Apache-2.0 */
/* format_yaml.c - see format.h: YAML */
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "core/base/err.h"
#include "core/policy/yaml_tree.h"

struct lines {
	bool *kept; /* by number, from 0: part of a text of several lines */
	size_t cnt;
};

static void keep_lines(void *ctx, size_t first, size_t last)
{
	struct lines *l = ctx;

	for (size_t i = first; i <= last && i < l->cnt; i++)
		l->kept[i] = true;
}

/* What YAML takes for the end of a line, and nobody else does; Return: its line from 1, 0: there is none */
static unsigned odd_break(const char *text, size_t len)
{
	static const char *const breaks[] = { "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };
	unsigned line = 1;

	for (const char *p = text, *end = text + len; p < end; p++) {
		line += *p == '\n';
		if (*p == '\r' && (end - p < 2 || p[1] != '\n'))
			return line;
		for (size_t i = 0; i < MF_ARRAY_SIZE(breaks); i++)
			if ((size_t)(end - p) >= strlen(breaks[i]) &&
			    memcmp(p, breaks[i], strlen(breaks[i])) == 0)
				return line;
	}
	return 0;
}

static bool same_nodes(const struct mf_yaml_node *a, const struct mf_yaml_node *b)
{
	if (a == b)
		return true;
	if (!a || !b || a->kind != b->kind || a->cnt != b->cnt)
		return false;
	if (a->kind == MF_YAML_SCALAR)
		return a->plain == b->plain && strcmp(a->text, b->text) == 0;
	for (size_t i = 0; i < (a->kind == MF_YAML_MAP ? 2 * a->cnt : a->cnt); i++)
		if (!same_nodes(a->items[i], b->items[i]))
			return false;
	return true;
}

static void write_lines(const char *text, size_t len, const struct lines *l, struct mf_strbuf *out)
{
	const char *p = text, *end = text + len;
	bool empty = false;

	for (size_t i = 0; p < end; i++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *next = newline ? newline + 1 : end, *to = newline ? newline : end;
		bool kept = i < l->cnt && l->kept[i];

		if (to > p && to[-1] == '\r')
			to--;
		while (!kept && to > p && (to[-1] == ' ' || to[-1] == '\t'))
			to--;
		if (to > p || kept) {
			if (empty && out->len)
				mf_strbuf_addc(out, '\n');
			mf_strbuf_add(out, p, (size_t)(to - p));
			mf_strbuf_addc(out, '\n');
		}
		empty = to == p && !kept;
		p = next;
	}
}

int mf_format_yaml(const char *text, size_t len, const char *file, struct mf_strbuf *out,
		   struct mf_err *err)
{
	struct mf_yaml_tree *before = NULL, *after = NULL;
	struct lines l = { .cnt = 1 };
	unsigned odd;
	int r = mf_yaml_read(text, len, file, &before, err);

	if (r < 0)
		return r;
	odd = odd_break(text, len);
	if (odd) {
		mf_yaml_free(before);
		return mf_err_at(err, MF_E_UNSUPPORTED, file, odd, 0,
				 "a line that ends neither in LF nor in CR LF is not formatted");
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	for (size_t i = 0; i < len; i++)
		l.cnt += text[i] == '\n';
	l.kept = calloc(l.cnt, sizeof(*l.kept));
	r = l.kept ? mf_yaml_long_texts(text, len, keep_lines, &l) : MF_E_NOMEM;
	if (r == 0)
		write_lines(text, len, &l, out);
	if (r < 0 || out->failed)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else
		r = mf_yaml_read(out->str ? out->str : "", out->len, file, &after, err);
	if (r == 0 && !same_nodes(mf_yaml_root(before), mf_yaml_root(after)))
		r = mf_err_at(err, MF_E_UNSUPPORTED, file, 1, 0,
			      "this text cannot be formatted without a change of its meaning");
	mf_yaml_free(before);
	mf_yaml_free(after);
	free(l.kept);
	return r;
}
