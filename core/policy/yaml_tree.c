/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_tree.c - libyaml's events become a tree; see yaml_tree.h
 *
 * How it works
 *
 * Open lists and mappings stand on a stack of bounded depth, each with the children that it has so far. When one ends, its
 * children move into the tree's memory and it becomes a child itself. A node's weight is the number of nodes that one would
 * count in it with all aliases written out; it is a sum of its children's weights, so a bomb is seen when the mapping that
 * holds it ends, before anybody walks it.
 */
#include "core/policy/yaml_tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define BLOCK_SIZE 65536

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

struct mf_yaml_tree {
	struct block *blocks;
	const struct mf_yaml_node *root;
};

struct anchor {
	char *name;
	const struct mf_yaml_node *node; /* NULL: not complete yet */
};

/* A list or mapping that is still open. */
struct frame {
	struct mf_yaml_node *node;
	const struct mf_yaml_node **items;
	size_t cnt, room;
	size_t anchor; /* + 1; 0: none */
};

struct reader {
	yaml_parser_t parser;
	struct mf_yaml_tree *tree;
	struct frame frames[MF_YAML_DEPTH_MAX];
	size_t depth, nodes;
	struct anchor *anchors;
	size_t anchor_cnt;
	const char *file;
	struct mf_err *err;
};

static void *take_memory(struct mf_yaml_tree *t, size_t size)
{
	struct block *b = t->blocks;
	void *ptr;

	size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!b || b->size - b->used < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		b->next = t->blocks;
		b->used = 0;
		b->size = room;
		t->blocks = b;
	}
	ptr = b->bytes + b->used;
	b->used += size;
	return ptr;
}

void mf_yaml_free(struct mf_yaml_tree *t)
{
	if (!t)
		return;
	while (t->blocks) {
		struct block *next = t->blocks->next;

		free(t->blocks);
		t->blocks = next;
	}
	free(t);
}

static int fail_nomem(struct reader *r)
{
	return mf_err_set(r->err, MF_E_NOMEM, "out of memory while reading %s", r->file);
}

#define fail_at(r, code, mark, ...)                                      \
	mf_err_at((r)->err, code, (r)->file, (unsigned)(mark)->line + 1, \
		  (unsigned)(mark)->column + 1, __VA_ARGS__)

/* What libyaml refused, and for what people trip over what to do about it. */
static int fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	const char *problem = p->problem ? p->problem : "not YAML", *hint = "";

	if (p->error == YAML_MEMORY_ERROR)
		return fail_nomem(r);
	if (p->error == YAML_READER_ERROR)
		return mf_err_at(r->err, MF_E_SYNTAX, r->file, (unsigned)p->mark.line + 1, 0,
				 "%s (byte %zu)", problem, p->problem_offset);
	if (p->context && strstr(p->context, "alias"))
		return fail_at(r, MF_E_SYNTAX, &p->context_mark,
			       "%s; text that begins with * must stand in quotes", problem);
	else if (strstr(problem, "cannot start any token"))
		hint = "; tabs cannot indent, and @ ` % must stand in quotes";
	return fail_at(r, MF_E_SYNTAX, &p->problem_mark, "%s%s%s%s", p->context ? p->context : "",
		       p->context ? ": " : "", problem, hint);
}

/* --- children ----------------------------------------------------------------------------------------------------- */

static int append(struct reader *r, struct frame *f, const struct mf_yaml_node *node)
{
	if (f->cnt == f->room) {
		size_t room = f->room ? f->room * 2 : 8;
		const struct mf_yaml_node **items = realloc(f->items, room * sizeof(*items));

		if (!items)
			return fail_nomem(r);
		f->items = items;
		f->room = room;
	}
	f->items[f->cnt++] = node;
	return 0;
}

static bool has_key(const struct mf_yaml_node *const *items, size_t cnt, const char *text)
{
	for (size_t i = 0; i < cnt; i += 2)
		if (strcmp(items[i]->text, text) == 0)
			return true;
	return false;
}

static int check_key(struct reader *r, const struct frame *f, const struct mf_yaml_node *node,
		     const yaml_mark_t *mark)
{
	if (node->kind != MF_YAML_SCALAR)
		return fail_at(r, MF_E_SYNTAX, mark, "a key must be text, not %s",
			       mf_yaml_kind_name(node->kind));
	if (f->cnt / 2 >= MF_YAML_KEYS_MAX)
		return fail_at(r, MF_E_LIMIT, mark, "a mapping with more than %d keys",
			       MF_YAML_KEYS_MAX);
	if (has_key(f->items, f->cnt, node->text))
		return fail_at(r, MF_E_SYNTAX, mark, "key \"%.64s\" stands here twice", node->text);
	return 0;
}

/* A node that is complete goes into the list or mapping that is open, or is the root. */
static int add_child(struct reader *r, const struct mf_yaml_node *node, const yaml_mark_t *mark)
{
	struct frame *f;
	int rc;

	if (!r->depth) {
		r->tree->root = node;
		return 0;
	}
	f = &r->frames[r->depth - 1];
	if (f->node->kind == MF_YAML_MAP && f->cnt % 2 == 0) {
		rc = check_key(r, f, node, mark);
		if (rc < 0)
			return rc;
	}
	f->node->weight += node->weight;
	if (f->node->weight > MF_YAML_NODES_MAX)
		return fail_at(r, MF_E_LIMIT, mark,
			       "with its aliases written out this has more than %d nodes",
			       MF_YAML_NODES_MAX);
	return append(r, f, node);
}

/* --- anchors ------------------------------------------------------------------------------------------------------ */

static int add_anchor(struct reader *r, const yaml_char_t *name, const yaml_mark_t *mark,
		      size_t *ret_id)
{
	*ret_id = 0;
	if (!name)
		return 0;
	if (r->anchor_cnt == MF_YAML_ANCHOR_MAX)
		return fail_at(r, MF_E_LIMIT, mark, "more than %d anchors", MF_YAML_ANCHOR_MAX);
	if (!r->anchors)
		r->anchors = calloc(MF_YAML_ANCHOR_MAX, sizeof(*r->anchors));
	if (!r->anchors)
		return fail_nomem(r);
	r->anchors[r->anchor_cnt].name = strdup((const char *)name);
	if (!r->anchors[r->anchor_cnt].name)
		return fail_nomem(r);
	*ret_id = ++r->anchor_cnt;
	return 0;
}

static int take_alias(struct reader *r, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;

	for (size_t i = r->anchor_cnt; i-- > 0;) {
		if (strcmp(r->anchors[i].name, name) != 0)
			continue;
		if (!r->anchors[i].node)
			return fail_at(r, MF_E_SYNTAX, &e->start_mark,
				       "*%.64s stands inside of what it names", name);
		return add_child(r, r->anchors[i].node, &e->start_mark);
	}
	return fail_at(
		r, MF_E_SYNTAX, &e->start_mark,
		"there is no anchor &%.64s before this; text that begins with * must stand in "
		"quotes",
		name);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static struct mf_yaml_node *new_node(struct reader *r, enum mf_yaml_kind kind,
				     const yaml_mark_t *mark)
{
	struct mf_yaml_node *n = take_memory(r->tree, sizeof(*n));

	if (n)
		*n = (struct mf_yaml_node){ .kind = kind,
					    .line = (unsigned)mark->line + 1,
					    .column = (unsigned)mark->column + 1,
					    .weight = 1 };
	return n;
}

static int check_tag(struct reader *r, const yaml_char_t *tag, const char *wanted,
		     const yaml_mark_t *mark)
{
	if (!tag || strcmp((const char *)tag, "!") == 0 || strcmp((const char *)tag, wanted) == 0)
		return 0;
	return fail_at(r, MF_E_SYNTAX, mark, "tags are not known here (\"%.64s\")",
		       (const char *)tag);
}

static int count_node(struct reader *r, const yaml_mark_t *mark)
{
	if (++r->nodes > MF_YAML_NODES_MAX)
		return fail_at(r, MF_E_LIMIT, mark, "more than %d nodes", MF_YAML_NODES_MAX);
	return 0;
}

static int take_scalar(struct reader *r, const yaml_event_t *e)
{
	const yaml_mark_t *mark = &e->start_mark;
	size_t len = e->data.scalar.length, anchor;
	struct mf_yaml_node *n;
	char *text;
	int rc = check_tag(r, e->data.scalar.tag, YAML_STR_TAG, mark);

	if (rc == 0)
		rc = count_node(r, mark);
	if (rc == 0 && memchr(e->data.scalar.value, 0, len))
		rc = fail_at(r, MF_E_SYNTAX, mark, "this text holds a NUL");
	if (rc == 0)
		rc = add_anchor(r, e->data.scalar.anchor, mark, &anchor);
	if (rc < 0)
		return rc;
	n = new_node(r, MF_YAML_SCALAR, mark);
	text = n ? take_memory(r->tree, len + 1) : NULL;
	if (!text)
		return fail_nomem(r);
	memcpy(text, e->data.scalar.value, len);
	text[len] = '\0';
	n->text = text;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !e->data.scalar.tag;
	if (anchor)
		r->anchors[anchor - 1].node = n;
	return add_child(r, n, mark);
}

static int open_node(struct reader *r, enum mf_yaml_kind kind, const yaml_char_t *tag,
		     const yaml_char_t *anchor, const yaml_mark_t *mark)
{
	struct frame f = { 0 };
	int rc = check_tag(r, tag, kind == MF_YAML_MAP ? YAML_MAP_TAG : YAML_SEQ_TAG, mark);

	if (rc == 0)
		rc = count_node(r, mark);
	if (rc == 0 && r->depth == MF_YAML_DEPTH_MAX)
		rc = fail_at(r, MF_E_LIMIT, mark, "nested more than %d deep", MF_YAML_DEPTH_MAX);
	if (rc == 0)
		rc = add_anchor(r, anchor, mark, &f.anchor);
	if (rc < 0)
		return rc;
	f.node = new_node(r, kind, mark);
	if (!f.node)
		return fail_nomem(r);
	r->frames[r->depth++] = f;
	return 0;
}

/* --- merge keys --------------------------------------------------------------------------------------------------- */

static int merge_map(struct reader *r, struct frame *f, const struct mf_yaml_node *from,
		     const yaml_mark_t *mark)
{
	int rc = 0;

	if (from->kind != MF_YAML_MAP)
		return fail_at(r, MF_E_SYNTAX, mark, "<< takes a mapping or a list of them, not %s",
			       mf_yaml_kind_name(from->kind));
	for (size_t i = 0; rc == 0 && i < from->cnt; i++) {
		if (has_key(f->items, f->cnt, mf_yaml_key(from, i)->text))
			continue;
		if (f->cnt / 2 >= MF_YAML_KEYS_MAX)
			return fail_at(r, MF_E_LIMIT, mark, "a mapping with more than %d keys",
				       MF_YAML_KEYS_MAX);
		rc = append(r, f, mf_yaml_key(from, i));
		if (rc == 0)
			rc = append(r, f, mf_yaml_value(from, i));
	}
	return rc;
}

/* "<<: *defaults": its pairs, where the mapping has none of that name itself. */
static int merge(struct reader *r, struct frame *f, const yaml_mark_t *mark)
{
	const struct mf_yaml_node *from = NULL;
	int rc = 0;

	for (size_t i = 0; i < f->cnt; i += 2) {
		if (!f->items[i]->plain || strcmp(f->items[i]->text, "<<") != 0)
			continue;
		from = f->items[i + 1];
		f->cnt -= 2;
		memmove(f->items + i, f->items + i + 2, (f->cnt - i) * sizeof(*f->items));
		break;
	}
	if (!from)
		return 0;
	if (from->kind != MF_YAML_LIST)
		return merge_map(r, f, from, mark);
	for (size_t i = 0; rc == 0 && i < from->cnt; i++)
		rc = merge_map(r, f, from->items[i], mark);
	return rc;
}

static int close_node(struct reader *r)
{
	struct frame *f = &r->frames[r->depth - 1];
	struct mf_yaml_node *n = f->node;
	yaml_mark_t mark = { .line = n->line - 1, .column = n->column - 1 };
	int rc = n->kind == MF_YAML_MAP ? merge(r, f, &mark) : 0;

	if (rc < 0)
		return rc;
	if (f->cnt) {
		n->items = take_memory(r->tree, f->cnt * sizeof(*f->items));
		if (!n->items)
			return fail_nomem(r);
		memcpy(n->items, f->items, f->cnt * sizeof(*f->items));
	}
	n->cnt = n->kind == MF_YAML_MAP ? f->cnt / 2 : f->cnt;
	if (f->anchor)
		r->anchors[f->anchor - 1].node = n;
	free(f->items);
	r->depth--;
	return add_child(r, n, &mark);
}

/* --- the document ------------------------------------------------------------------------------------------------- */

static int take_event(struct reader *r, const yaml_event_t *e, unsigned *documents)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++*documents == 1)
			return 0;
		return fail_at(r, MF_E_SYNTAX, &e->start_mark,
			       "a second document begins here; a file holds one");
	case YAML_ALIAS_EVENT:
		return take_alias(r, e);
	case YAML_SCALAR_EVENT:
		return take_scalar(r, e);
	case YAML_SEQUENCE_START_EVENT:
		return open_node(r, MF_YAML_LIST, e->data.sequence_start.tag,
				 e->data.sequence_start.anchor, &e->start_mark);
	case YAML_MAPPING_START_EVENT:
		return open_node(r, MF_YAML_MAP, e->data.mapping_start.tag,
				 e->data.mapping_start.anchor, &e->start_mark);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_node(r);
	default:
		return 0;
	}
}

static int read_document(struct reader *r)
{
	unsigned documents = 0;
	bool end = false;
	yaml_event_t e;
	int rc = 0;

	while (rc == 0 && !end) {
		if (!yaml_parser_parse(&r->parser, &e))
			return fail_parser(r);
		rc = take_event(r, &e, &documents);
		end = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	if (rc == 0 && !r->tree->root)
		rc = mf_err_at(r->err, MF_E_SYNTAX, r->file, 1, 0, "the file is empty");
	return rc;
}

int mf_yaml_read(const char *text, size_t len, const char *file, struct mf_yaml_tree **ret_tree,
		 struct mf_err *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rc;

	*ret_tree = NULL;
	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", file);
	r->file = file;
	r->err = err;
	r->tree = calloc(1, sizeof(*r->tree));
	if (!r->tree || !yaml_parser_initialize(&r->parser)) {
		free(r->tree);
		free(r);
		return mf_err_set(err, MF_E_NOMEM, "out of memory while reading %s", file);
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
	rc = read_document(r);
	yaml_parser_delete(&r->parser);
	for (size_t i = 0; i < r->depth; i++)
		free(r->frames[i].items);
	for (size_t i = 0; i < r->anchor_cnt; i++)
		free(r->anchors[i].name);
	free(r->anchors);
	if (rc == 0)
		*ret_tree = r->tree;
	else
		mf_yaml_free(r->tree);
	free(r);
	return rc;
}

int mf_yaml_long_texts(const char *text, size_t len,
		       void (*each)(void *ctx, size_t first, size_t last), void *ctx)
{
	yaml_parser_t parser;
	yaml_event_t e;
	bool end = false;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return MF_E_NOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (r == 0 && !end) {
		if (!yaml_parser_parse(&parser, &e)) {
			r = parser.error == YAML_MEMORY_ERROR ? MF_E_NOMEM : MF_E_SYNTAX;
			break;
		}
		if (e.type == YAML_SCALAR_EVENT && e.end_mark.line > e.start_mark.line)
			each(ctx, e.start_mark.line, e.end_mark.line - (e.end_mark.column == 0));
		end = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&parser);
	return r;
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

const struct mf_yaml_node *mf_yaml_root(const struct mf_yaml_tree *tree)
{
	return tree->root;
}

const struct mf_yaml_node *mf_yaml_get(const struct mf_yaml_node *map, const char *key)
{
	for (size_t i = 0; map && map->kind == MF_YAML_MAP && i < map->cnt; i++)
		if (strcmp(mf_yaml_key(map, i)->text, key) == 0)
			return mf_yaml_value(map, i);
	return NULL;
}

bool mf_yaml_is_null(const struct mf_yaml_node *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (!node)
		return true;
	for (size_t i = 0; node->kind == MF_YAML_SCALAR && node->plain && i < MF_ARRAY_SIZE(words);
	     i++)
		if (strcmp(node->text, words[i]) == 0)
			return true;
	return false;
}

const char *mf_yaml_kind_name(enum mf_yaml_kind kind)
{
	static const char *const names[] = { "text", "a list", "a mapping" };
	_Static_assert(MF_ARRAY_SIZE(names) == MF_YAML_KIND_NUM, "a name for each kind");

	return (unsigned)kind < MF_YAML_KIND_NUM ? names[kind] : "?";
}
