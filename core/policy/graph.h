/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - the decision graph: what hooks were seen to read, and what they answered
 *
 * How it works
 *
 * While a hook runs, the views record its steps: which field it read, which predicate it asked. A hook is a pure function
 * of what it reads, so two requests that agree in every step's outcome get the same answer. Each hook has a tree: an inner
 * node is a step, its edges the outcomes seen so far (values, compared exactly; or yes and no), a leaf the answer. The next
 * request walks the tree in C; only at an outcome not seen before is Lua entered, and the new path joins the tree.
 *
 *	name? --"a.example"--> port? --443--> [deny]
 *	      --"b.example"--> to_private? --no--> [no opinion]
 *
 * Edges by value live in one hash table for all nodes, keyed by (node, value); edges of predicates in the node itself.
 * Nothing is recorded of a run that failed. What cannot be cached (a counter was asked) ends in a leaf that says so.
 *
 * Memory: a fixed number of nodes and a fixed number of bytes for values. When either is used up, a clock hand looks for
 * leaves that no request has reached since its last round and takes them out, at most a few nodes for each new one: an
 * inner node without children counts as a leaf, so unused subtrees vanish from their ends. If the hand finds nothing, the
 * new path is not recorded. Nothing here ever takes longer than the path is long.
 *
 * A path that contradicts the tree (another step, or another answer, after the same outcomes) would mean that a hook was
 * not pure after all. Then mf_graph_add() says so, and the owner stops using the graph: better slow than wrong.
 */
#ifndef MF_POLICY_GRAPH_H
#define MF_POLICY_GRAPH_H

#include "core/base/clock.h"
#include "core/policy/outcome.h"
#include "core/policy/predicate.h"

#define MF_STEPS_MAX	    256	 /* of one run; what a hook reads after that is not cached */
#define MF_GRAPH_VALUE_MAX  4096 /* bytes of a value that an edge can hold */
#define MF_GRAPH_VALUE_ROOM 64	 /* bytes of value memory for each node of the limit */

enum mf_step_kind { MF_STEP_READ, MF_STEP_LABEL, MF_STEP_PRED, MF_STEP_TIME, MF_STEP_KIND_NUM };

/* One thing that a hook looked at. Values of fields and labels are not kept: they are locked in the request. */
struct mf_step {
	uint8_t kind;	    /* enum mf_step_kind */
	uint8_t op;	    /* enum mf_field, enum mf_pred_op, enum mf_now_field */
	bool yes;	    /* predicates: the answer */
	struct mf_arg *arg; /* predicates, labels; a reference */
	int64_t num;	    /* time: the value */
};

/* The request side of a walk. */
struct mf_ask {
	struct mf_request *req;
	struct mf_preds *preds;
	/* Time is read at most once for a decision, by whoever needs it first. */
	struct mf_now *now;
	const struct mf_clock *clock;
	bool now_valid;
	bool minute_read, second_read; /* what the answer so far depends on */
	uint64_t deadline_ns;	       /* monotonic: after this no walk goes on */
};

enum mf_graph_result { MF_GRAPH_MISS, MF_GRAPH_HIT, MF_GRAPH_UNCACHED, MF_GRAPH_IMPURE };

struct mf_graph;

/** mf_graph_new() - @nodes_max: at least 16 are taken; Return: NULL without memory */
struct mf_graph *mf_graph_new(uint32_t nodes_max, struct mf_preds *preds);
void mf_graph_free(struct mf_graph *g);

/** mf_graph_add_root() - Begin the tree of one hook, for requests of @kind; Return: its node, 0 when there is no room */
uint32_t mf_graph_add_root(struct mf_graph *g, enum mf_kind kind);

/**
 * mf_graph_walk() - Look for the answer
 * @ret: on a hit the answer, NULL for "no opinion"; borrowed until the graph changes
 * Return: MF_GRAPH_HIT; MF_GRAPH_MISS or MF_GRAPH_UNCACHED: ask Lua (also when time is over: Lua's limit then says so)
 */
enum mf_graph_result mf_graph_walk(struct mf_graph *g, uint32_t root, struct mf_ask *ask,
				   struct mf_outcome **ret);

/**
 * mf_graph_add() - Record a run that ended well
 * @cacheable: false when the run did something after @steps that must be done again each time
 * @outcome: the answer, NULL for "no opinion"; a reference is taken
 * Return: MF_GRAPH_HIT when a walk will find it now, MF_GRAPH_UNCACHED when it will not, MF_GRAPH_MISS when there was no
 * room, MF_GRAPH_IMPURE for a contradiction
 */
enum mf_graph_result mf_graph_add(struct mf_graph *g, uint32_t root, struct mf_ask *ask,
				  const struct mf_step *steps, size_t step_cnt, bool cacheable,
				  struct mf_outcome *outcome);

struct mf_graph_stats {
	uint64_t nodes, leaves, evictions, value_bytes, rejected;
};
void mf_graph_get_stats(const struct mf_graph *g, struct mf_graph_stats *ret);

/** mf_graph_check() - Verify every link and count, for tests; Return: NULL or what is broken */
const char *mf_graph_check(const struct mf_graph *g);

/** mf_ask_now() - The time of this decision */
static inline const struct mf_now *mf_ask_now(struct mf_ask *ask)
{
	if (!ask->now_valid) {
		mf_now_set(ask->now, ask->clock->wall(ask->clock->ctx));
		ask->now_valid = true;
	}
	return ask->now;
}

/** mf_step_value() - What a read, label or time step gives for this request */
struct mf_value mf_step_value(const struct mf_step *step, struct mf_ask *ask);

#endif
