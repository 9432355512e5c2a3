/* SPDX-License-Identifier: Apache-2.0 */
/* rule_index.c - one hash table from selectors to rules; see rule_index.h */
#include "core/policy/rule_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/match/path_case.h"
#include "core/names/canonical.h"
#include "core/policy/plain_regex.h"

enum tag {
	TAG_ANY,
	TAG_EXACT, /* the name itself */
	TAG_CHILD, /* one label below */
	TAG_BELOW, /* anywhere below */
	TAG_CIDR,
	TAG_PATH,  /* the path itself */
	TAG_UNDER, /* below a directory */
	TAG_BASE,  /* last component of a path */
	TAG_NUM
};

#define NO_PATTERN UINT32_MAX
#define NODES_MAX  (1u << 24)
#define BRACES_MAX 256 /* names that one glob may stand for before it stays a glob */

struct node {
	uint32_t rule, pattern, next;
	int port; /* only in the list of the linear ones */
};

struct slot {
	uint64_t hash; /* 0: free */
	uint32_t key_off, key_len;
	uint32_t first, last;
	int32_t port;
	uint8_t tag, bits;
};

struct pattern {
	struct mf_glob *glob;
	struct mf_regex *regex;
	bool over_path;
};

struct mf_rule_index {
	uint64_t seed;
	unsigned glob_flags;
	struct slot *slots;
	uint32_t slot_cnt, slot_room; /* room is a power of two */
	struct node *nodes;
	uint32_t node_cnt, node_room;
	char *keys;
	uint32_t key_len, key_room;
	struct pattern *patterns;
	uint32_t pattern_cnt, pattern_room;
	uint32_t *linear; /* nodes */
	uint32_t linear_cnt, linear_room;
	struct mf_regex_scratch *scratch;
	bool has[TAG_NUM][2];	     /* [..][1]: with a port */
	uint32_t depth_max[TAG_NUM]; /* most labels or components of a key */
	uint64_t bits4, bits6[3];    /* prefix lengths in use */
};

struct mf_rule_index *mf_rule_index_new(bool gobwas)
{
	struct mf_rule_index *ix = calloc(1, sizeof(*ix));

	if (ix) {
		ix->seed = mf_hash_seed();
		ix->glob_flags = gobwas ? MF_GLOB_GOBWAS : 0;
	}
	return ix;
}

void mf_rule_index_free(struct mf_rule_index *ix)
{
	if (!ix)
		return;
	for (uint32_t i = 0; i < ix->pattern_cnt; i++) {
		mf_glob_free(ix->patterns[i].glob);
		mf_regex_free(ix->patterns[i].regex);
	}
	mf_regex_scratch_free(ix->scratch);
	free(ix->slots);
	free(ix->nodes);
	free(ix->keys);
	free(ix->patterns);
	free(ix->linear);
	free(ix);
}

size_t mf_rule_index_linear(const struct mf_rule_index *ix)
{
	return ix->linear_cnt;
}

/* Makes room for one more of @size bytes; false without memory. */
static bool grow(void **array, uint32_t cnt, uint32_t *room, size_t size)
{
	uint32_t more = *room ? *room * 2 : 16;
	void *p;

	if (cnt < *room)
		return true;
	if (more > NODES_MAX)
		return false;
	p = realloc(*array, more * size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}

/* --- hashing: a name by labels from the right, a path by components from the left, so that one walk over a question
 *     gives the hashes of all its suffixes (prefixes) -------------------------------------------------------------- */

static uint64_t hash_part(uint64_t h, const char *part, size_t len)
{
	return mf_hash_bytes(part, len, h);
}

static uint64_t hash_name(const struct mf_rule_index *ix, const char *name, size_t len,
			  uint32_t *ret_depth)
{
	uint64_t h = ix->seed;
	size_t end = len, at = len;
	uint32_t depth = 0;

	while (end > 0) {
		while (at > 0 && name[at - 1] != '.')
			at--;
		h = hash_part(h, name + at, end - at);
		depth++;
		if (at == 0)
			break;
		end = --at;
	}
	*ret_depth = depth;
	return h;
}

static uint64_t hash_path(const struct mf_rule_index *ix, const char *path, size_t len,
			  uint32_t *ret_depth)
{
	uint64_t h = ix->seed;
	size_t at = 1, end;
	uint32_t depth = 0;

	while (at < len) {
		for (end = at; end < len && path[end] != '/'; end++)
			;
		h = hash_part(h, path + at, end - at);
		depth++;
		at = end + 1;
	}
	*ret_depth = depth;
	return h;
}

static uint64_t slot_hash(uint64_t key_hash, enum tag tag, unsigned bits, int port)
{
	uint64_t h = mf_hash_u64((uint64_t)(uint32_t)port << 16 | bits << 8 | tag, key_hash);

	return h ? h : 1;
}

static struct slot *find_slot(const struct mf_rule_index *ix, uint64_t hash, enum tag tag,
			      unsigned bits, int port, const char *key, size_t len)
{
	uint32_t mask = ix->slot_room - 1;

	if (!ix->slot_room)
		return NULL;
	for (uint32_t i = (uint32_t)hash & mask; ix->slots[i].hash; i = (i + 1) & mask) {
		struct slot *s = &ix->slots[i];

		if (s->hash == hash && s->tag == tag && s->bits == bits && s->port == port &&
		    s->key_len == len && (len == 0 || memcmp(ix->keys + s->key_off, key, len) == 0))
			return s;
	}
	return NULL;
}

static bool grow_slots(struct mf_rule_index *ix)
{
	uint32_t room = ix->slot_room ? ix->slot_room * 2 : 32;
	struct slot *slots;

	if ((ix->slot_cnt + 1) * 2 <= ix->slot_room)
		return true;
	if (room > NODES_MAX || !(slots = calloc(room, sizeof(*slots))))
		return false;
	for (uint32_t i = 0; i < ix->slot_room; i++) {
		uint32_t j = (uint32_t)ix->slots[i].hash & (room - 1);

		if (!ix->slots[i].hash)
			continue;
		while (slots[j].hash)
			j = (j + 1) & (room - 1);
		slots[j] = ix->slots[i];
	}
	free(ix->slots);
	ix->slots = slots;
	ix->slot_room = room;
	return true;
}

static bool add_key(struct mf_rule_index *ix, const char *key, size_t len, uint32_t *ret_off)
{
	if (len > UINT32_MAX / 4 - ix->key_len)
		return false;
	if (ix->key_len + len > ix->key_room) {
		uint32_t room = (ix->key_room ? ix->key_room * 2 : 256) + (uint32_t)len;
		char *keys = realloc(ix->keys, room);

		if (!keys)
			return false;
		ix->keys = keys;
		ix->key_room = room;
	}
	if (len)
		memcpy(ix->keys + ix->key_len, key, len);
	*ret_off = ix->key_len;
	ix->key_len += (uint32_t)len;
	return true;
}

static int add_node(struct mf_rule_index *ix, uint32_t rule, uint32_t pattern, int port,
		    uint32_t *ret_node)
{
	if (!grow((void **)&ix->nodes, ix->node_cnt, &ix->node_room, sizeof(*ix->nodes)))
		return MF_E_NOMEM;
	ix->nodes[ix->node_cnt] = (struct node){ rule, pattern, MF_RULE_NONE, port };
	*ret_node = ix->node_cnt++;
	return 0;
}

/* Puts @rule behind a key. The same rule twice without a pattern is one entry. */
static int add_selector(struct mf_rule_index *ix, uint64_t key_hash, enum tag tag, unsigned bits,
			int port, const char *key, size_t len, uint32_t rule, uint32_t pattern)
{
	uint64_t hash = slot_hash(key_hash, tag, bits, port);
	struct slot *s = find_slot(ix, hash, tag, bits, port, key, len);
	uint32_t node, off, i;

	if (s && pattern == NO_PATTERN && ix->nodes[s->last].rule == rule &&
	    ix->nodes[s->last].pattern == NO_PATTERN)
		return 0;
	if (add_node(ix, rule, pattern, port, &node) < 0)
		return MF_E_NOMEM;
	ix->has[tag][port != MF_PORT_ANY] = true;
	if (s) {
		ix->nodes[s->last].next = node;
		s->last = node;
		return 0;
	}
	if (!grow_slots(ix) || !add_key(ix, key, len, &off))
		return MF_E_NOMEM;
	for (i = (uint32_t)hash & (ix->slot_room - 1); ix->slots[i].hash;)
		i = (i + 1) & (ix->slot_room - 1);
	ix->slots[i] = (struct slot){ .hash = hash,
				      .key_off = off,
				      .key_len = (uint32_t)len,
				      .first = node,
				      .last = node,
				      .port = port,
				      .tag = (uint8_t)tag,
				      .bits = (uint8_t)bits };
	ix->slot_cnt++;
	return 0;
}

static int add_name(struct mf_rule_index *ix, enum tag tag, const char *name, size_t len, int port,
		    uint32_t rule, uint32_t pattern)
{
	uint32_t depth;
	uint64_t h = hash_name(ix, name, len, &depth);

	if (depth > ix->depth_max[tag])
		ix->depth_max[tag] = depth;
	return add_selector(ix, h, tag, 0, port, name, len, rule, pattern);
}

static int add_linear(struct mf_rule_index *ix, uint32_t rule, uint32_t pattern, int port)
{
	uint32_t node;

	if (!grow((void **)&ix->linear, ix->linear_cnt, &ix->linear_room, sizeof(*ix->linear)) ||
	    add_node(ix, rule, pattern, port, &node) < 0)
		return MF_E_NOMEM;
	ix->linear[ix->linear_cnt++] = node;
	return 0;
}

/* Takes @p's glob or regex, also on failure. */
static int add_pattern(struct mf_rule_index *ix, struct pattern p, uint32_t *ret_pattern)
{
	if (!grow((void **)&ix->patterns, ix->pattern_cnt, &ix->pattern_room,
		  sizeof(*ix->patterns))) {
		mf_glob_free(p.glob);
		mf_regex_free(p.regex);
		return MF_E_NOMEM;
	}
	ix->patterns[ix->pattern_cnt] = p;
	*ret_pattern = ix->pattern_cnt++;
	return 0;
}

int mf_rule_index_add_any(struct mf_rule_index *ix, uint32_t rule, int port)
{
	return add_selector(ix, ix->seed, TAG_ANY, 0, port, "", 0, rule, NO_PATTERN);
}

int mf_rule_index_add_cidr(struct mf_rule_index *ix, uint32_t rule, const struct mf_cidr *net,
			   int port)
{
	if (net->addr.family == 4)
		ix->bits4 |= UINT64_C(1) << net->bits;
	else
		ix->bits6[net->bits / 64] |= UINT64_C(1) << (net->bits % 64);
	return add_selector(ix, mf_hash_bytes(&net->addr, sizeof(net->addr), ix->seed), TAG_CIDR,
			    net->bits, port, (const char *)&net->addr, sizeof(net->addr), rule,
			    NO_PATTERN);
}

/* --- domains ---------------------------------------------------------------------------------------------------- */

static int fail_nomem(struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOMEM, "out of memory");
}

int mf_rule_index_canon_domain(const char *glob, size_t len, char *out, size_t room,
			       struct mf_err *err)
{
	char name[MF_NAME_ROOM];
	int shown = len < 200 ? (int)len : 200; /* @glob need not end in a NUL */
	size_t lead = 0;
	int n;

	if (len > 1 && glob[len - 1] == '.' && glob[len - 2] != '\\')
		len--;
	if (len >= room)
		return mf_err_set(err, MF_E_LIMIT, "the pattern has more than %zu bytes", room - 1);
	if (len >= 3 && memcmp(glob, "**.", 3) == 0)
		lead = 3;
	else if (len >= 2 && memcmp(glob, "*.", 2) == 0)
		lead = 2;
	memcpy(out, glob, len);
	out[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] + 32);
	if (strpbrk(out + lead, "*?[]{}\\") || len == lead) {
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)out[i] > 127)
				return mf_err_set(err, MF_E_SYNTAX,
						  "\"%.*s\" mixes wildcards with letters beyond "
						  "ASCII: write the name as xn--",
						  shown, glob);
		return (int)len;
	}
	/* An address is no name but may be written where names are; it is compared as it stands. */
	if (lead == 0 && mf_name_is_address(out, len))
		return (int)len;
	n = mf_name_canon(out + lead, len - lead, name);
	if (n < 0)
		return mf_err_set(err, MF_E_SYNTAX, "\"%.*s\" is not a host name", shown, glob);
	if (lead + (size_t)n >= room)
		return mf_err_set(err, MF_E_LIMIT, "the pattern is too long");
	memcpy(out + lead, name, (size_t)n + 1);
	return (int)lead + n;
}

/* The part of a glob after its last special character, from a label boundary on: "example.com" of "a*b.example.com". */
static const char *literal_tail(const char *glob)
{
	size_t at = strlen(glob);
	const char *dot;

	while (at > 0 && !strchr("*?[]{}\\", glob[at - 1]))
		at--;
	dot = strchr(glob + at, '.');
	return dot && dot[1] ? dot + 1 : NULL;
}

static int add_plain_domain(struct mf_rule_index *ix, uint32_t rule, const char *text, size_t len,
			    int port, struct mf_err *err)
{
	char glob[MF_GLOB_PATTERN_MAX + 1];
	struct pattern p = { 0 };
	const char *name, *tail;
	uint32_t pattern;
	size_t name_len;
	int n = mf_rule_index_canon_domain(text, len, glob, sizeof(glob), err), r;

	if (n < 0)
		return n;
	r = mf_glob_compile(glob, (size_t)n, '.', ix->glob_flags, &p.glob, err);
	if (r < 0)
		return r;
	if (strspn(glob, "*") == (size_t)n && (ix->glob_flags ? n == 2 : n > 1)) {
		r = mf_rule_index_add_any(ix, rule, port); /* "**": every name, and none */
		mf_glob_free(p.glob);
		return r < 0 ? fail_nomem(err) : 0;
	}
	static const uint8_t tags[MF_DOMAIN_SCOPE_NUM] = { [MF_DOMAIN_EXACT] = TAG_EXACT,
							   [MF_DOMAIN_CHILD] = TAG_CHILD,
							   [MF_DOMAIN_BELOW] = TAG_BELOW };
	r = mf_glob_domain(p.glob, &name, &name_len);
	if (r > MF_DOMAIN_UNDER && r < MF_DOMAIN_SCOPE_NUM) {
		r = add_name(ix, tags[r], name, name_len, port, rule, NO_PATTERN);
		mf_glob_free(p.glob);
		return r < 0 ? fail_nomem(err) : 0;
	}
	if (add_pattern(ix, p, &pattern) < 0)
		return fail_nomem(err);
	/* Under gobwas an unclosed brace is closed by the end: what stands last need not be part of every match. */
	tail = ix->glob_flags & MF_GLOB_GOBWAS ? NULL : literal_tail(glob);
	r = tail ? add_name(ix, TAG_BELOW, tail, strlen(tail), port, rule, pattern)
		 : add_linear(ix, rule, pattern, port);
	return r < 0 ? fail_nomem(err) : 0;
}

/* Names that one glob with braces stands for, one after another, each NUL-terminated. */
struct expansion {
	char text[MF_GLOB_PATTERN_MAX + 1];
	uint32_t cnt;
	int (*each)(void *ctx, const char *text, size_t len);
	void *ctx;
};

/* Writes the alternatives of the first brace group of @glob in turn; Return: 0, MF_E_*, or 1: too many or odd. */
static int expand_braces(struct expansion *x, const char *glob, size_t len, unsigned depth)
{
	const char *open = memchr(glob, '{', len), *p, *from, *end = glob + len;
	size_t head, tail, n;
	int level = 0, r;
	char *buf;

	if (!open) {
		if (++x->cnt > BRACES_MAX)
			return 1;
		return x->each ? x->each(x->ctx, glob, len) : 0;
	}
	if (depth == 16)
		return 1;
	for (p = open; p < end; p++) {
		level += (*p == '{') - (*p == '}');
		if (level == 0)
			break;
	}
	if (p == end)
		return 1;
	head = (size_t)(open - glob);
	tail = (size_t)(end - p - 1);
	buf = malloc(len + 1);
	if (!buf)
		return MF_E_NOMEM;
	memcpy(buf, glob, head);
	from = open + 1;
	level = 0;
	r = 0;
	for (const char *q = from; r == 0 && q <= p; q++) {
		level += (*q == '{') - (*q == '}');
		if (!((*q == ',' && level == 0) || q == p))
			continue;
		n = (size_t)(q - from);
		memcpy(buf + head, from, n);
		memcpy(buf + head + n, p + 1, tail);
		r = expand_braces(x, buf, head + n + tail, depth + 1);
		from = q + 1;
	}
	free(buf);
	return r;
}

struct add_domain {
	struct mf_rule_index *ix;
	uint32_t rule;
	int port;
	struct mf_err *err;
};

static int add_expanded(void *ctx, const char *text, size_t len)
{
	struct add_domain *a = ctx;

	return add_plain_domain(a->ix, a->rule, text, len, a->port, a->err);
}

int mf_rule_index_add_domain(struct mf_rule_index *ix, uint32_t rule, const char *glob, int port,
			     struct mf_err *err)
{
	size_t len = strlen(glob);
	struct add_domain a = { ix, rule, port, err };
	struct expansion x = { .each = NULL, .ctx = &a };
	int r;

	if (len == 0)
		return mf_err_set(err, MF_E_SYNTAX, "an empty pattern matches nothing");
	if (!strchr(glob, '{') || strpbrk(glob, "[\\") || ix->glob_flags & MF_GLOB_GOBWAS)
		return add_plain_domain(ix, rule, glob, len, port, err);
	r = expand_braces(&x, glob, len, 0);
	if (r == MF_E_NOMEM)
		return fail_nomem(err);
	if (r == 1) /* unclosed, or stands for too many names: the glob itself says which */
		return add_plain_domain(ix, rule, glob, len, port, err);
	x.cnt = 0;
	x.each = add_expanded;
	r = expand_braces(&x, glob, len, 0);
	return r;
}

/* --- expressions ------------------------------------------------------------------------------------------------ */

struct add_plain {
	struct mf_rule_index *ix;
	uint32_t rule;
};

static int add_plain_name(void *ctx, const struct mf_plain_name *name)
{
	const struct add_plain *a = ctx;
	int r = 0;

	if (name->self)
		r = add_name(a->ix, TAG_EXACT, name->name, name->len, name->port, a->rule,
			     NO_PATTERN);
	if (r == 0 && name->below)
		r = add_name(a->ix, TAG_BELOW, name->name, name->len, name->port, a->rule,
			     NO_PATTERN);
	return r;
}

int mf_rule_index_add_regex(struct mf_rule_index *ix, uint32_t rule, const char *pattern, bool full,
			    bool with_port, struct mf_err *err)
{
	unsigned flags = MF_REGEX_HOST | (full ? MF_REGEX_FULL : 0);
	size_t len = strlen(pattern);
	struct pattern p = { 0 };
	uint32_t pattern_id;
	int r;

	if (!ix->scratch && !(ix->scratch = mf_regex_scratch_new()))
		return fail_nomem(err);
	/* Compiled in any case: an expression that is wrong must be refused, however plain it looks. */
	r = mf_regex_compile(pattern, len, flags, NULL, &p.regex, err);
	if (r < 0)
		return r;
	r = mf_plain_regex_each(pattern, len, full, with_port, add_plain_name,
				&(struct add_plain){ ix, rule });
	if (r <= 0) {
		mf_regex_free(p.regex);
		return r < 0 ? fail_nomem(err) : 0;
	}
	if (add_pattern(ix, p, &pattern_id) < 0 ||
	    add_linear(ix, rule, pattern_id, MF_PORT_ANY) < 0)
		return fail_nomem(err);
	return 0;
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

static int add_path_key(struct mf_rule_index *ix, enum tag tag, const char *path, size_t len,
			uint32_t rule, uint32_t pattern)
{
	uint32_t depth;
	uint64_t h = hash_path(ix, path, len, &depth);

	if (depth > ix->depth_max[tag])
		ix->depth_max[tag] = depth;
	return add_selector(ix, h, tag, 0, MF_PORT_ANY, path, len, rule, pattern);
}

/* NAME of a glob that matches every path whose last component is NAME (two stars, a slash, NAME); NULL for others. */
static const char *base_of_glob(const char *glob)
{
	const char *base = NULL;

	if (strncmp(glob, "**/", 3) == 0)
		base = glob + 3;
	else if (strncmp(glob, "/**/", 4) == 0)
		base = glob + 4;
	return base && *base && !strpbrk(base, "*?[]{}\\/") ? base : NULL;
}

int mf_rule_index_add_path(struct mf_rule_index *ix, uint32_t rule, const char *glob,
			   struct mf_err *err)
{
	struct pattern p = { .over_path = true };
	char folded[MF_GLOB_PATTERN_MAX + 1];
	size_t len = strlen(glob), n;
	const char *text, *base;
	uint32_t pattern;
	int r;

	text = mf_path_fold(glob, len, folded, sizeof(folded));
	if (text) /* else it is too long, which is said below */
		glob = text;
	base = base_of_glob(glob);
	r = mf_glob_compile(glob, len, '/', MF_PATH_GLOB_FLAGS | ix->glob_flags, &p.glob, err);
	if (r < 0)
		return r;
	text = mf_glob_literal(p.glob, &n);
	if (text) {
		r = add_path_key(ix, TAG_PATH, text, n, rule, NO_PATTERN);
	} else if (base) {
		r = add_selector(ix, mf_hash_bytes(base, strlen(base), ix->seed), TAG_BASE, 0,
				 MF_PORT_ANY, base, strlen(base), rule, NO_PATTERN);
	} else {
		text = mf_glob_prefix(p.glob, &n);
		while (n > 0 && text[n - 1] != '/')
			n--;
		if (n > 0 && strlen(glob) == n + 2 && memcmp(glob, text, n) == 0 &&
		    strcmp(glob + n, "**") == 0) {
			r = add_path_key(ix, TAG_UNDER, text, n - 1, rule, NO_PATTERN);
		} else {
			r = add_pattern(ix, p, &pattern);
			p.glob = NULL;
			if (r == 0)
				r = n > 0 ? add_path_key(ix, TAG_UNDER, text, n - 1, rule, pattern)
					  : add_linear(ix, rule, pattern, MF_PORT_ANY);
		}
	}
	mf_glob_free(p.glob);
	return r < 0 ? fail_nomem(err) : 0;
}

/* --- questions --------------------------------------------------------------------------------------------------- */

struct search {
	struct mf_rule_index *ix;
	const struct mf_rule_subject *s;
	uint32_t best;
	int error;
};

static int run_pattern(const struct search *q, uint32_t id)
{
	const struct pattern *p = &q->ix->patterns[id];
	const struct mf_rule_subject *s = q->s;

	if (p->regex)
		return mf_regex_match(p->regex, q->ix->scratch, s->text, s->text_len);
	if (p->over_path)
		return mf_glob_match(p->glob, s->path, s->path_len);
	return s->name_len && mf_glob_match(p->glob, s->name, s->name_len);
}

/* Whether node @n wins; a failing expression ends the search. */
static bool try_node(struct search *q, const struct node *n)
{
	int r = n->pattern == NO_PATTERN ? 1 : run_pattern(q, n->pattern);

	if (r > 0 && q->s->check)
		r = q->s->check(q->s->ctx, n->rule);
	if (r < 0) {
		q->error = r;
		return false;
	}
	if (r > 0)
		q->best = n->rule;
	return r > 0;
}

static void probe_port(struct search *q, uint64_t key_hash, enum tag tag, unsigned bits, int port,
		       const char *key, size_t len)
{
	const struct slot *slot =
		find_slot(q->ix, slot_hash(key_hash, tag, bits, port), tag, bits, port, key, len);

	for (uint32_t i = slot ? slot->first : MF_RULE_NONE; i != MF_RULE_NONE;
	     i = q->ix->nodes[i].next)
		if (q->ix->nodes[i].rule >= q->best || q->error || try_node(q, &q->ix->nodes[i]))
			return;
}

static void probe(struct search *q, uint64_t key_hash, enum tag tag, unsigned bits, const char *key,
		  size_t len)
{
	if (q->ix->has[tag][0])
		probe_port(q, key_hash, tag, bits, MF_PORT_ANY, key, len);
	if (q->ix->has[tag][1] && q->s->port != MF_PORT_ANY)
		probe_port(q, key_hash, tag, bits, q->s->port, key, len);
}

static void search_name(struct search *q)
{
	const struct mf_rule_index *ix = q->ix;
	const char *name = q->s->name;
	size_t len = q->s->name_len, end = len, at = len;
	uint64_t h = ix->seed;
	uint32_t depth = 0, most = ix->depth_max[TAG_EXACT];

	for (int t = TAG_CHILD; t <= TAG_BELOW; t++)
		if (ix->depth_max[t] > most)
			most = ix->depth_max[t];
	while (depth < most) {
		while (at > 0 && name[at - 1] != '.')
			at--;
		h = hash_part(h, name + at, end - at);
		depth++;
		if (at == 0) {
			probe(q, h, TAG_EXACT, 0, name, len);
			return;
		}
		if (depth <= ix->depth_max[TAG_BELOW])
			probe(q, h, TAG_BELOW, 0, name + at, len - at);
		if (depth <= ix->depth_max[TAG_CHILD] && !memchr(name, '.', at - 1))
			probe(q, h, TAG_CHILD, 0, name + at, len - at);
		end = --at;
	}
}

static void mask_addr(struct mf_addr *a, unsigned bits)
{
	unsigned bytes = a->family == 4 ? 4 : 16, i = bits / 8;

	if (i < bytes && bits % 8)
		a->bytes[i++] &= (uint8_t)(0xff00 >> (bits % 8));
	for (; i < bytes; i++)
		a->bytes[i] = 0;
}

static void probe_cidr(struct search *q, unsigned bits)
{
	struct mf_addr net = *q->s->ip;

	mask_addr(&net, bits);
	probe(q, mf_hash_bytes(&net, sizeof(net), q->ix->seed), TAG_CIDR, bits, (const char *)&net,
	      sizeof(net));
}

static void search_networks(struct search *q)
{
	if (q->s->ip->family == 4) {
		for (uint64_t m = q->ix->bits4; m; m &= m - 1)
			probe_cidr(q, (unsigned)__builtin_ctzll(m));
		return;
	}
	for (unsigned w = 0; w < 3; w++)
		for (uint64_t m = q->ix->bits6[w]; m; m &= m - 1)
			probe_cidr(q, w * 64 + (unsigned)__builtin_ctzll(m));
}

static void search_path(struct search *q)
{
	const struct mf_rule_index *ix = q->ix;
	const char *path = q->s->path;
	size_t len = q->s->path_len, at = 1, end;
	uint64_t h = ix->seed;
	uint32_t depth = 0, most = ix->depth_max[TAG_PATH];

	if (ix->depth_max[TAG_UNDER] > most)
		most = ix->depth_max[TAG_UNDER];
	if (ix->has[TAG_UNDER][0])
		probe(q, h, TAG_UNDER, 0, path, 0); /* below "/" */
	if (len == 1)
		probe(q, h, TAG_PATH, 0, path, 1);
	while (at < len && depth < most) {
		for (end = at; end < len && path[end] != '/'; end++)
			;
		h = hash_part(h, path + at, end - at);
		depth++;
		if (end == len)
			probe(q, h, TAG_PATH, 0, path, len);
		else if (depth <= ix->depth_max[TAG_UNDER])
			probe(q, h, TAG_UNDER, 0, path, end);
		at = end + 1;
	}
	if (ix->has[TAG_BASE][0]) {
		for (at = len; at > 0 && path[at - 1] != '/'; at--)
			;
		probe(q, mf_hash_bytes(path + at, len - at, ix->seed), TAG_BASE, 0, path + at,
		      len - at);
	}
}

int mf_rule_index_find(struct mf_rule_index *ix, const struct mf_rule_subject *s, uint32_t limit,
		       uint32_t *ret_rule)
{
	struct search q = { .ix = ix, .s = s, .best = limit };

	probe(&q, ix->seed, TAG_ANY, 0, "", 0);
	if (s->name_len)
		search_name(&q);
	if (s->ip && s->ip->family)
		search_networks(&q);
	if (s->path_len)
		search_path(&q);
	for (uint32_t i = 0; !q.error && i < ix->linear_cnt; i++) {
		const struct node *n = &ix->nodes[ix->linear[i]];

		if (n->rule >= q.best)
			break;
		if (n->port == MF_PORT_ANY || n->port == s->port)
			try_node(&q, n);
	}
	if (q.error)
		return q.error;
	*ret_rule = q.best == limit ? MF_RULE_NONE : q.best;
	return 0;
}
