/* SPDX-License-Identifier: Apache-2.0 */
/* plain_regex.c - reads the small part of expressions that only spells names; see plain_regex.h */
#include "core/policy/plain_regex.h"

#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"
#include "core/policy/rule_index.h"

#define PLAIN_MAX 64

/* A reading of an anchored expression as [any labels .] literal alternatives [: port alternatives]. */
struct plain {
	char names[PLAIN_MAX][MF_NAME_ROOM];
	size_t cnt;
	bool below, self; /* "below" it, the name itself */
};

/* Reads one literal character at *p, "\." included; 0 when it is anything else. */
static char plain_char(const char **p, const char *end)
{
	const char *q = *p;
	char c;

	if (q >= end)
		return 0;
	c = *q++;
	if (c == '\\') {
		if (q >= end || !strchr(".-:_", *q))
			return 0;
		c = *q++;
	} else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		     c == '-' || c == '_' || c == ':')) {
		return 0;
	}
	if (q < end && strchr("*+?{", *q))
		return 0;
	*p = q;
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool append_all(struct plain *pl, size_t from, size_t to, char c)
{
	for (size_t i = from; i < to; i++) {
		size_t n = strlen(pl->names[i]);

		if (n + 1 >= MF_NAME_ROOM)
			return false;
		pl->names[i][n] = c;
		pl->names[i][n + 1] = '\0';
	}
	return true;
}

/* "(a|b)": every text so far, once with each alternative. */
static bool read_group(struct plain *pl, const char **p, const char *end)
{
	char alt[PLAIN_MAX][64];
	size_t cnt = 0, n = 0, base = pl->cnt;
	const char *q = *p + 1;

	if (end - q > 2 && q[0] == '?' && q[1] == ':')
		q += 2;
	for (;;) {
		char c;

		if (q >= end || cnt == PLAIN_MAX)
			return false;
		if (*q == '|' || *q == ')') {
			alt[cnt][n] = '\0';
			cnt++;
			n = 0;
			if (*q++ == ')')
				break;
			continue;
		}
		c = plain_char(&q, end);
		if (!c || n + 1 >= sizeof(alt[0]))
			return false;
		alt[cnt][n++] = c;
	}
	if ((q < end && strchr("*+?{", *q)) || base * cnt > PLAIN_MAX)
		return false;
	for (size_t a = 1; a < cnt; a++)
		memcpy(pl->names[a * base], pl->names[0], base * sizeof(pl->names[0]));
	for (size_t a = 0; a < cnt; a++)
		for (const char *t = alt[a]; *t; t++)
			if (!append_all(pl, a * base, (a + 1) * base, *t))
				return false;
	pl->cnt = base * cnt;
	*p = q;
	return true;
}

static bool skip_text(const char **p, const char *end, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

/* True when the expression matches exactly the names (and ports) in @pl; false: it stays an expression. */
static bool read_plain(struct plain *pl, const char *pattern, size_t len, bool full)
{
	const char *p = pattern, *end = pattern + len;
	bool left = full || skip_text(&p, end, "^");

	if (full)
		(void)skip_text(&p, end, "^");
	if (len > 1 && end[-1] == '$' && end[-2] != '\\')
		end--;
	else if (!full)
		return false;
	pl->cnt = 1;
	pl->names[0][0] = '\0';
	pl->self = true;
	pl->below = false;
	if (skip_text(&p, end, ".*\\.")) {
		pl->below = left = true;
		pl->self = false;
	} else if (skip_text(&p, end, "(.*\\.)?") || skip_text(&p, end, "(?:.*\\.)?")) {
		if (!left)
			return false;
		pl->below = true;
	} else if (!full && !left &&
		   (skip_text(&p, end, "(^|\\.)") || skip_text(&p, end, "(?:^|\\.)"))) {
		pl->below = left = true;
	}
	while (left && p < end) {
		char c;

		if (*p == '(') {
			if (!read_group(pl, &p, end))
				return false;
			continue;
		}
		c = plain_char(&p, end);
		if (!c || !append_all(pl, 0, pl->cnt, c))
			return false;
	}
	return left;
}

/* Splits "name:443"; *ret_port is MF_PORT_ANY without one. False: not a name of the kind wanted. */
static bool split_plain(char *text, bool with_port, int *ret_port)
{
	char *colon = strchr(text, ':'), canon[MF_NAME_ROOM];
	long port = MF_PORT_ANY;
	char *stop;
	int n;

	if ((colon != NULL) != with_port)
		return false;
	if (colon) {
		if (colon[1] == '\0' || colon[1] == '0')
			return false;
		port = strtol(colon + 1, &stop, 10);
		if (*stop || port < 1 || port > 65535)
			return false;
		*colon = '\0';
	}
	*ret_port = (int)port;
	n = mf_name_canon(text, strlen(text), canon);
	return n > 0 && strcmp(canon, text) == 0;
}

int mf_plain_regex_each(const char *pattern, size_t len, bool full, bool with_port,
			int (*each)(void *ctx, const struct mf_plain_name *name), void *ctx)
{
	struct plain *pl = malloc(sizeof(*pl));
	int ports[PLAIN_MAX], r = 0;

	if (!pl)
		return MF_E_NOMEM;
	if (!read_plain(pl, pattern, len, full)) {
		free(pl);
		return 1;
	}
	for (size_t i = 0; r == 0 && i < pl->cnt; i++)
		r = split_plain(pl->names[i], with_port, &ports[i]) ? 0 : 1;
	for (size_t i = 0; r == 0 && i < pl->cnt; i++)
		r = each(ctx, &(struct mf_plain_name){ .name = pl->names[i],
						       .len = strlen(pl->names[i]),
						       .port = ports[i],
						       .self = pl->self,
						       .below = pl->below });
	free(pl);
	return r;
}
