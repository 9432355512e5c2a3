/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - see graph.h */
#include "core/policy/graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"

#define NODES_MIN  16
#define SLOW_ASKED 4  /* patterns asked between two looks at the clock */
#define HAND_STEPS 32 /* nodes that the hand looks at for one new node */

enum node_type {
	NODE_FREE,
	NODE_EMPTY,    /* a root, or a new node, that nothing is known of yet */
	NODE_STEP,     /* step.kind says which */
	NODE_LEAF,     /* the answer is outcome */
	NODE_UNCACHED, /* ask Lua */
	NODE_TYPE_NUM
};

struct node {
	uint8_t type;	   /* enum node_type */
	uint8_t step_kind; /* enum mf_step_kind */
	uint8_t op;
	uint8_t used; /* reached since the hand came by */
	uint8_t root; /* never taken out */
	uint8_t in_type;
	uint8_t in_yes; /* parent is a predicate: which edge leads here */
	uint32_t parent;
	uint32_t kids;
	uint32_t in_len; /* parent reads: the value that leads here */
	uint64_t hash;	 /* of parent and value, as in the edge table */
	union {
		int64_t in_num;
		uint8_t *in_ptr; /* in_len > 0 */
	};
	struct mf_arg *arg;
	union {
		uint32_t child[2]; /* predicates: no, yes */
		struct mf_outcome *outcome;
		uint32_t next_free;
	};
};

/* One place of the edge table; child 0 is empty. */
struct edge {
	uint32_t tag; /* upper half of the hash */
	uint32_t child;
};

struct mf_graph {
	struct mf_preds *preds;
	struct node *nodes; /* [1 .. max] */
	struct edge *edges; /* power of two, at least twice max */
	uint32_t edge_mask;
	uint32_t max, top, free; /* nodes above top were never used */
	uint32_t hand;
	uint32_t cnt;
	size_t value_bytes, value_max;
	uint64_t seed;
	uint64_t evictions, leaves, rejected;
};

struct mf_graph *mf_graph_new(uint32_t nodes_max, struct mf_preds *preds)
{
	struct mf_graph *g = calloc(1, sizeof(*g));
	uint64_t edges = 64;

	if (!g)
		return NULL;
	if (nodes_max < NODES_MIN)
		nodes_max = NODES_MIN;
	if (nodes_max > UINT32_MAX / 4)
		nodes_max = UINT32_MAX / 4;
	while (edges < (uint64_t)nodes_max * 2)
		edges *= 2;
	g->preds = preds;
	g->max = nodes_max;
	g->edge_mask = (uint32_t)(edges - 1);
	g->value_max = (size_t)nodes_max * MF_GRAPH_VALUE_ROOM;
	g->seed = mf_hash_seed();
	/* calloc() of this size is address space: pages come as nodes are used. */
	g->nodes = calloc((size_t)nodes_max + 1, sizeof(*g->nodes));
	g->edges = calloc((size_t)edges, sizeof(*g->edges));
	if (!g->nodes || !g->edges) {
		mf_graph_free(g);
		return NULL;
	}
	return g;
}

static void clear_node(struct mf_graph *g, struct node *n)
{
	if (n->in_len) {
		free(n->in_ptr);
		g->value_bytes -= n->in_len;
	}
	if (n->type == NODE_LEAF) {
		mf_outcome_unref(n->outcome);
		g->leaves--;
	}
	if (n->arg)
		mf_arg_unref(g->preds, n->arg);
	memset(n, 0, sizeof(*n));
}

void mf_graph_free(struct mf_graph *g)
{
	uint32_t i;

	if (!g)
		return;
	for (i = 1; g->nodes && i <= g->top; i++)
		if (g->nodes[i].type != NODE_FREE)
			clear_node(g, &g->nodes[i]);
	free(g->nodes);
	free(g->edges);
	free(g);
}

/* --- edges by value --------------------------------------------------------------------------------------------- */

static uint64_t edge_hash(const struct mf_graph *g, uint32_t parent, const struct mf_value *v)
{
	return mf_value_hash(v, g->seed + (uint64_t)parent * 0x9e3779b97f4a7c15u);
}

static bool edge_is(const struct node *n, uint32_t parent, const struct mf_value *v)
{
	if (n->parent != parent || n->in_type != v->type || n->in_len != v->len)
		return false;
	return v->len ? memcmp(n->in_ptr, v->ptr, v->len) == 0 : n->in_num == v->num;
}

static uint32_t edge_find(const struct mf_graph *g, uint32_t parent, const struct mf_value *v,
			  uint64_t hash)
{
	uint32_t i = (uint32_t)hash & g->edge_mask, tag = (uint32_t)(hash >> 32);

	for (; g->edges[i].child; i = (i + 1) & g->edge_mask)
		if (g->edges[i].tag == tag && edge_is(&g->nodes[g->edges[i].child], parent, v))
			return g->edges[i].child;
	return 0;
}

static void edge_insert(struct mf_graph *g, uint64_t hash, uint32_t child)
{
	uint32_t i = (uint32_t)hash & g->edge_mask;

	while (g->edges[i].child)
		i = (i + 1) & g->edge_mask;
	g->edges[i] = (struct edge){ .tag = (uint32_t)(hash >> 32), .child = child };
}

/* Take an edge out, and move back those behind it that would no longer be found: no tombstones. */
static void edge_remove(struct mf_graph *g, uint64_t hash, uint32_t child)
{
	uint32_t i = (uint32_t)hash & g->edge_mask, j, home;

	while (g->edges[i].child != child)
		i = (i + 1) & g->edge_mask;
	for (j = (i + 1) & g->edge_mask; g->edges[j].child; j = (j + 1) & g->edge_mask) {
		home = (uint32_t)g->nodes[g->edges[j].child].hash & g->edge_mask;
		/* May move to the hole at i unless its home lies behind the hole. */
		if (((j - home) & g->edge_mask) >= ((j - i) & g->edge_mask)) {
			g->edges[i] = g->edges[j];
			i = j;
		}
	}
	g->edges[i] = (struct edge){ 0 };
}

/* --- nodes ------------------------------------------------------------------------------------------------------ */

static bool parent_is_pred(const struct mf_graph *g, const struct node *n)
{
	return g->nodes[n->parent].step_kind == MF_STEP_PRED;
}

static void evict(struct mf_graph *g, uint32_t id)
{
	struct node *n = &g->nodes[id], *parent = &g->nodes[n->parent];

	if (parent_is_pred(g, n))
		parent->child[n->in_yes] = 0;
	else
		edge_remove(g, n->hash, id);
	parent->kids--;
	clear_node(g, n);
	n->next_free = g->free;
	g->free = id;
	g->cnt--;
	g->evictions++;
}

/* Move the hand on until something goes, for a bounded number of nodes. @keep is the end of the path being added. */
static void make_room(struct mf_graph *g, uint32_t keep)
{
	struct node *n;
	unsigned i;

	for (i = 0; i < HAND_STEPS; i++) {
		g->hand = g->hand >= g->top ? 1 : g->hand + 1;
		n = &g->nodes[g->hand];
		if (n->type == NODE_FREE || n->root || n->kids || g->hand == keep)
			continue;
		if (n->used) {
			n->used = 0;
			continue;
		}
		evict(g, g->hand);
		return;
	}
}

static uint32_t take_node(struct mf_graph *g, uint32_t keep)
{
	uint32_t id;

	if (!g->free && g->top >= g->max)
		make_room(g, keep);
	if (g->free) {
		id = g->free;
		g->free = g->nodes[id].next_free;
	} else if (g->top < g->max) {
		id = ++g->top;
	} else {
		return 0;
	}
	memset(&g->nodes[id], 0, sizeof(g->nodes[id]));
	g->nodes[id].type = NODE_EMPTY;
	g->cnt++;
	return id;
}

uint32_t mf_graph_add_root(struct mf_graph *g, enum mf_kind kind)
{
	uint32_t id;

	(void)kind;
	/* Roots are made before anything is recorded; half of the nodes stay for what the hooks read. */
	if (g->cnt >= g->max / 2)
		return 0;
	id = take_node(g, 0);
	if (id)
		g->nodes[id].root = 1;
	return id;
}

/* A child of @parent behind the edge @v or @yes. */
static uint32_t add_child(struct mf_graph *g, uint32_t parent, const struct mf_value *v, bool yes)
{
	struct node *n;
	uint8_t *copy = NULL;
	uint32_t id;
	unsigned i;

	if (v && v->len) {
		if (v->len > MF_GRAPH_VALUE_MAX)
			return 0;
		for (i = 0; i < 4 && g->value_bytes + v->len > g->value_max; i++)
			make_room(g, parent);
		if (g->value_bytes + v->len > g->value_max)
			return 0;
		copy = malloc(v->len);
		if (!copy)
			return 0;
		memcpy(copy, v->ptr, v->len);
	}
	id = take_node(g, parent);
	if (!id) {
		free(copy);
		return 0;
	}
	n = &g->nodes[id];
	n->parent = parent;
	n->used = 1;
	g->nodes[parent].kids++;
	if (!v) {
		n->in_yes = yes;
		g->nodes[parent].child[yes] = id;
		return id;
	}
	n->in_type = v->type;
	n->in_len = v->len;
	if (copy) {
		n->in_ptr = copy;
		g->value_bytes += v->len;
	} else {
		n->in_num = v->num;
	}
	n->hash = edge_hash(g, parent, v);
	edge_insert(g, n->hash, id);
	return id;
}

/* --- walking ---------------------------------------------------------------------------------------------------- */

static struct mf_value read_value(unsigned step_kind, unsigned op, const struct mf_arg *arg,
				  struct mf_ask *ask)
{
	struct mf_value v = { .type = MF_T_INT };

	switch ((enum mf_step_kind)step_kind) {
	case MF_STEP_READ:
		return mf_request_get(ask->req, (enum mf_field)op);
	case MF_STEP_LABEL:
		return mf_request_label(ask->req, arg->text, arg->len);
	case MF_STEP_TIME:
		v.num = mf_ask_now(ask)->field[op];
		if (op == MF_NOW_SECOND || op == MF_NOW_UNIX)
			ask->second_read = true;
		else
			ask->minute_read = true;
		break;
	case MF_STEP_PRED:
	case MF_STEP_KIND_NUM:
		break;
	}
	return v;
}

struct mf_value mf_step_value(const struct mf_step *step, struct mf_ask *ask)
{
	return read_value(step->kind, step->op, step->arg, ask);
}

enum mf_graph_result mf_graph_walk(struct mf_graph *g, uint32_t root, struct mf_ask *ask,
				   struct mf_outcome **ret)
{
	uint32_t id = root;
	struct mf_value v;
	struct node *n;
	unsigned slow = 0;
	int r;

	*ret = NULL;
	while (id) {
		n = &g->nodes[id];
		switch ((enum node_type)n->type) {
		case NODE_LEAF:
			n->used = 1;
			*ret = n->outcome;
			return MF_GRAPH_HIT;
		case NODE_UNCACHED:
			n->used = 1;
			return MF_GRAPH_UNCACHED;
		case NODE_STEP:
			break;
		default:
			return MF_GRAPH_MISS;
		}
		if (n->step_kind == MF_STEP_PRED) {
			if (mf_pred_is_time((enum mf_pred_op)n->op)) {
				mf_ask_now(ask);
				ask->minute_read = true;
			}
			r = mf_pred_eval(ask->preds, (enum mf_pred_op)n->op, n->arg, ask->req,
					 ask->now);
			/* A limit was hit: the hook must see the error. */
			if (r < 0 ||
			    (mf_pred_is_slow((enum mf_pred_op)n->op) && ++slow % SLOW_ASKED == 0 &&
			     mf_clock_now(ask->clock) >= ask->deadline_ns))
				return MF_GRAPH_MISS;
			id = n->child[r];
			continue;
		}
		v = read_value(n->step_kind, n->op, n->arg, ask);
		id = edge_find(g, id, &v, edge_hash(g, id, &v));
	}
	return MF_GRAPH_MISS;
}

/* --- recording -------------------------------------------------------------------------------------------------- */

/* Make the node @id ask what @step asked, or check that it does already. */
static bool put_step(struct mf_graph *g, uint32_t id, const struct mf_step *step)
{
	struct node *n = &g->nodes[id];

	if (n->type == NODE_EMPTY) {
		n->type = NODE_STEP;
		n->step_kind = step->kind;
		n->op = step->op;
		n->arg = step->arg ? mf_arg_ref(step->arg) : NULL;
		return true;
	}
	return n->type == NODE_STEP && n->step_kind == step->kind && n->op == step->op &&
	       n->arg == step->arg;
}

/* An argument that found no room in the table has no identity: another run's would be another one. */
static bool step_has_identity(const struct mf_step *step)
{
	return !step->arg || step->arg->interned || step->arg->wrapped;
}

static enum mf_graph_result put_end(struct mf_graph *g, uint32_t id, bool cacheable,
				    struct mf_outcome *outcome)
{
	struct node *n = &g->nodes[id];

	n->used = 1;
	if (n->type == NODE_EMPTY) {
		n->type = cacheable ? NODE_LEAF : NODE_UNCACHED;
		if (!cacheable)
			return MF_GRAPH_UNCACHED;
		n->outcome = outcome ? mf_outcome_ref(outcome) : NULL;
		g->leaves++;
		return MF_GRAPH_HIT;
	}
	if (n->type == NODE_UNCACHED)
		return MF_GRAPH_UNCACHED;
	if (n->type != NODE_LEAF || !cacheable)
		return MF_GRAPH_IMPURE;
	if (n->outcome == outcome)
		return MF_GRAPH_HIT;
	if (!n->outcome || !outcome || !mf_decision_same(&n->outcome->d, &outcome->d))
		return MF_GRAPH_IMPURE;
	return MF_GRAPH_HIT;
}

enum mf_graph_result mf_graph_add(struct mf_graph *g, uint32_t root, struct mf_ask *ask,
				  const struct mf_step *steps, size_t step_cnt, bool cacheable,
				  struct mf_outcome *outcome)
{
	uint32_t id = root, next;
	struct mf_value v;
	size_t i;

	for (i = 0; id && i < step_cnt; i++) {
		/* Somebody found that what follows must be asked each time. */
		if (g->nodes[id].type == NODE_UNCACHED)
			return MF_GRAPH_UNCACHED;
		if (!step_has_identity(&steps[i]))
			return put_end(g, id, false, NULL);
		if (!put_step(g, id, &steps[i]))
			return MF_GRAPH_IMPURE;
		if (steps[i].kind == MF_STEP_PRED) {
			next = g->nodes[id].child[steps[i].yes];
			if (!next)
				next = add_child(g, id, NULL, steps[i].yes);
		} else {
			v = mf_step_value(&steps[i], ask);
			next = edge_find(g, id, &v, edge_hash(g, id, &v));
			if (!next)
				next = add_child(g, id, &v, false);
		}
		id = next;
	}
	if (!id) {
		g->rejected++;
		return MF_GRAPH_MISS;
	}
	return put_end(g, id, cacheable, outcome);
}

void mf_graph_get_stats(const struct mf_graph *g, struct mf_graph_stats *ret)
{
	*ret = (struct mf_graph_stats){
		.nodes = g->cnt,
		.leaves = g->leaves,
		.evictions = g->evictions,
		.value_bytes = g->value_bytes,
		.rejected = g->rejected,
	};
}

/* --- for tests -------------------------------------------------------------------------------------------------- */

static struct mf_value in_value(const struct node *n)
{
	struct mf_value v = { .type = n->in_type, .len = n->in_len };

	if (n->in_len)
		v.ptr = n->in_ptr;
	else
		v.num = n->in_num;
	return v;
}

static const char *check_node(const struct mf_graph *g, uint32_t id)
{
	const struct node *n = &g->nodes[id], *parent;
	struct mf_value v;

	if (n->kids && n->type != NODE_STEP)
		return "a node that asks nothing has children";
	if (n->root)
		return NULL;
	if (!n->parent || n->parent > g->top)
		return "a node has no parent";
	parent = &g->nodes[n->parent];
	if (parent->type != NODE_STEP)
		return "a parent asks nothing";
	if (parent->step_kind == MF_STEP_PRED)
		return parent->child[n->in_yes] == id ? NULL
						      : "a predicate does not lead to its child";
	v = in_value(n);
	return edge_find(g, n->parent, &v, n->hash) == id ? NULL : "an edge is not found";
}

const char *mf_graph_check(const struct mf_graph *g)
{
	uint32_t i, cnt = 0, edges = 0, by_value = 0;
	uint64_t kids = 0, roots = 0, leaves = 0, bytes = 0;
	const char *why;

	for (i = 1; i <= g->top; i++) {
		const struct node *n = &g->nodes[i];

		if (n->type == NODE_FREE)
			continue;
		cnt++;
		roots += n->root;
		kids += n->kids;
		leaves += n->type == NODE_LEAF;
		bytes += n->in_len;
		by_value += !n->root && !parent_is_pred(g, n);
		why = check_node(g, i);
		if (why)
			return why;
	}
	for (i = 0; i <= g->edge_mask; i++)
		edges += g->edges[i].child != 0;
	if (cnt != g->cnt || cnt > g->max)
		return "the number of nodes is wrong";
	if (kids != cnt - roots)
		return "the number of children is wrong";
	if (leaves != g->leaves)
		return "the number of leaves is wrong";
	if (bytes != g->value_bytes)
		return "the number of value bytes is wrong";
	if (edges != by_value)
		return "the number of edges is wrong";
	return NULL;
}
