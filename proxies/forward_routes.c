/* SPDX-License-Identifier: Apache-2.0 */
/* forward_routes.c - see forward_routes.h */
#include "proxies/forward_routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/addr.h"

#define LOCALHOST ".localhost"

struct list {
	struct mf_forward_route **v; /* sorted by name; an exact name before a wildcard of it */
	size_t cnt, room;
};

struct mf_forward_routes {
	struct list of[MF_FORWARD_SOURCE_NUM];
};

/* A name as the table has it. */
struct key {
	char name[MF_NAME_ROOM];
	bool wildcard;
};

static const char *const source_names[] = { "manual", "own", "detected" };
_Static_assert(MF_ARRAY_SIZE(source_names) == MF_FORWARD_SOURCE_NUM, "a name for each source");

static const char *const mode_names[] = { "auto", "plain", "tls", "h2", "pass" };
_Static_assert(MF_ARRAY_SIZE(mode_names) == MF_FORWARD_MODE_NUM, "a name for each mode");

const char *mf_forward_source_name(enum mf_forward_source source)
{
	return source_names[source];
}

const char *mf_forward_mode_name(enum mf_forward_mode mode)
{
	return mode_names[mode];
}

int mf_forward_mode_find(const char *name)
{
	for (int i = 0; i < MF_FORWARD_MODE_NUM; i++)
		if (strcmp(mode_names[i], name) == 0)
			return i;
	return MF_E_NOENT;
}

/* --- targets -------------------------------------------------------------------------------------------------------- */

static bool is_port(const char *text, uint16_t *ret)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		port = port * 10 + (unsigned long)(*p - '0');
	}
	*ret = (uint16_t)port;
	return port > 0 && port < 65536;
}

int mf_forward_target_parse(const char *text, struct mf_forward_target *ret, struct mf_err *err)
{
	struct mf_addr addr;
	const char *host;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	if (is_port(text, &ret->port)) {
		strcpy(ret->host, "localhost");
		return 0;
	}
	if (mf_hostport_parse(text, strlen(text), &host, &len, &ret->port) < 0 || ret->port == 0)
		return mf_err_set(err, MF_E_SYNTAX,
				  "'%.100s' is neither PORT, HOST:PORT nor [ADDRESS]:PORT", text);
	if (mf_addr_parse(host, len, &addr) == 0) {
		mf_addr_format(&addr, ret->host, sizeof(ret->host));
		return 0;
	}
	if (mf_name_canon(host, len, ret->host) < 0)
		return mf_err_set(err, MF_E_SYNTAX,
				  "'%.100s' has neither a host name nor an address before its port",
				  text);
	return 0;
}

const char *mf_forward_target_format(const struct mf_forward_target *t, char *buf, size_t size)
{
	snprintf(buf, size, strchr(t->host, ':') ? "[%s]:%u" : "%s:%u", t->host, t->port);
	return buf;
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

static int key_of(const char *name, size_t len, struct key *ret)
{
	ret->wildcard = len > 2 && name[0] == '*' && name[1] == '.';
	if (ret->wildcard) {
		name += 2;
		len -= 2;
	}
	return mf_name_canon(name, len, ret->name) < 0 ? MF_E_SYNTAX : 0;
}

static int compare(const struct mf_forward_route *r, const char *name, bool wildcard)
{
	int c = strcmp(r->name, name);

	return c ? c : (int)r->wildcard - (int)wildcard;
}

/* The first place that is not before the key. Return: whether the key is there */
static bool find_place(const struct list *l, const char *name, bool wildcard, size_t *ret)
{
	size_t from = 0, to = l->cnt;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare(l->v[mid], name, wildcard) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	*ret = from;
	return from < l->cnt && compare(l->v[from], name, wildcard) == 0;
}

/* One label below .localhost that is nobody else's. */
static bool is_for_detection(const struct key *k)
{
	const char *dot = strchr(k->name, '.');

	return !k->wildcard && dot && strcmp(dot, LOCALHOST) == 0 &&
	       strcmp(k->name, MF_FORWARD_PAGE_NAME) != 0;
}

static int check_key(const struct mf_forward_routes *t, enum mf_forward_source source,
		     const struct key *k, struct mf_err *err)
{
	size_t at;

	if (source != MF_FORWARD_DETECTED)
		return 0;
	if (!is_for_detection(k))
		return mf_err_set(
			err, MF_E_PERM,
			"detection maps one label below .localhost, not '%s%s' (map it by hand)",
			k->wildcard ? "*." : "", k->name);
	if (find_place(&t->of[MF_FORWARD_MANUAL], k->name, false, &at))
		return mf_err_set(err, MF_E_PERM, "'%s' is mapped by hand", k->name);
	return 0;
}

static struct mf_forward_route *insert(struct list *l, size_t at)
{
	struct mf_forward_route *r;

	if (l->cnt == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		struct mf_forward_route **grown =
			realloc(l->v, room * sizeof(struct mf_forward_route *));

		if (!grown)
			return NULL;
		l->v = grown;
		l->room = room;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->refs = 1;
	memmove(l->v + at + 1, l->v + at, (l->cnt - at) * sizeof(struct mf_forward_route *));
	l->v[at] = r;
	l->cnt++;
	return r;
}

int mf_forward_routes_new(struct mf_forward_routes **ret, struct mf_err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : mf_err_set(err, MF_E_NOMEM, "no memory for the route table");
}

void mf_forward_routes_free(struct mf_forward_routes *t)
{
	if (!t)
		return;
	for (unsigned s = 0; s < MF_FORWARD_SOURCE_NUM; s++) {
		for (size_t i = 0; i < t->of[s].cnt; i++)
			mf_forward_route_unref(t->of[s].v[i]);
		free(t->of[s].v);
	}
	free(t);
}

int mf_forward_routes_set(struct mf_forward_routes *t, enum mf_forward_source source,
			  const char *name, const struct mf_forward_target *target,
			  struct mf_err *err)
{
	struct list *l = &t->of[source];
	struct mf_forward_route *r;
	struct key k;
	size_t at;
	int rc;

	if (key_of(name, strlen(name), &k) < 0)
		return mf_err_set(err, MF_E_SYNTAX, "'%.100s' is not a host name", name);
	rc = check_key(t, source, &k, err);
	if (rc < 0)
		return rc;
	if (find_place(l, k.name, k.wildcard, &at)) {
		l->v[at]->target = *target;
		return 0;
	}
	if (l->cnt >= MF_FORWARD_ROUTES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "there are %d %s routes already",
				  MF_FORWARD_ROUTES_MAX, source_names[source]);
	r = insert(l, at);
	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "no memory for a route");
	strcpy(r->name, k.name);
	r->wildcard = k.wildcard;
	r->source = source;
	r->target = *target;
	return 0;
}

int mf_forward_routes_unset(struct mf_forward_routes *t, enum mf_forward_source source,
			    const char *name, struct mf_err *err)
{
	struct list *l = &t->of[source];
	struct key k;
	size_t at;

	if (key_of(name, strlen(name), &k) < 0)
		return mf_err_set(err, MF_E_SYNTAX, "'%.100s' is not a host name", name);
	if (!find_place(l, k.name, k.wildcard, &at))
		return mf_err_set(err, MF_E_NOENT, "there is no %s route for '%.100s'",
				  source_names[source], name);
	mf_forward_route_unref(l->v[at]);
	l->cnt--;
	memmove(l->v + at, l->v + at + 1, (l->cnt - at) * sizeof(struct mf_forward_route *));
	return 0;
}

static struct mf_forward_route *find_in(const struct list *l, const char *name)
{
	const char *suffix = name;
	size_t at;

	if (find_place(l, name, false, &at))
		return l->v[at];
	while ((suffix = strchr(suffix, '.'))) {
		suffix++;
		if (find_place(l, suffix, true, &at))
			return l->v[at];
	}
	return NULL;
}

struct mf_forward_route *mf_forward_routes_find(struct mf_forward_routes *t, const char *name,
						size_t len)
{
	char canon[MF_NAME_ROOM];

	if (mf_name_canon(name, len, canon) < 0)
		return NULL;
	for (unsigned s = 0; s < MF_FORWARD_SOURCE_NUM; s++) {
		struct mf_forward_route *r = find_in(&t->of[s], canon);

		if (r)
			return r;
	}
	return NULL;
}

size_t mf_forward_routes_count(const struct mf_forward_routes *t, enum mf_forward_source source)
{
	return t->of[source].cnt;
}

const struct mf_forward_route *mf_forward_routes_at(const struct mf_forward_routes *t,
						    enum mf_forward_source source, size_t i)
{
	return t->of[source].v[i];
}

struct mf_forward_route *mf_forward_route_ref(struct mf_forward_route *route)
{
	route->refs++;
	return route;
}

void mf_forward_route_unref(struct mf_forward_route *route)
{
	if (route && --route->refs == 0)
		free(route);
}
