/* SPDX-License-Identifier: Apache-2.0 */
/* test_graph.c - decision graph and memo: bounds, eviction, long values, contradictions */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

struct kit {
	struct mf_preds *preds;
	struct mf_graph *g;
	uint32_t root;
	struct mf_request *req;
	struct mf_now now;
	struct mf_ask ask;
	struct mf_outcome *yes, *no;
};

static void kit_open(struct kit *k, uint32_t nodes)
{
	const struct mf_decision allow = { .verdict = MF_ALLOW }, deny = { .verdict = MF_DENY };

	k->preds = mf_preds_new(64, 1u << 20);
	k->g = mf_graph_new(nodes, k->preds);
	k->root = mf_graph_add_root(k->g, MF_CONNECT);
	k->req = mf_request_new(MF_CONNECT);
	k->now = (struct mf_now)MF_NOW_INIT;
	k->ask = (struct mf_ask){
		.req = k->req, .preds = k->preds, .now = &k->now, .clock = &mf_clock_system
	};
	k->yes = mf_outcome_new(&allow);
	k->no = mf_outcome_new(&deny);
}

static void kit_close(struct kit *k)
{
	assert_null(mf_graph_check(k->g));
	mf_graph_free(k->g);
	mf_outcome_unref(k->yes);
	mf_outcome_unref(k->no);
	mf_preds_free(k->preds);
	mf_request_free(k->req);
}

/* Record that who read the port got @o. */
static enum mf_graph_result learn_port(struct kit *k, int port, struct mf_outcome *o)
{
	const struct mf_step step = { .kind = MF_STEP_READ, .op = MF_F_PORT };

	mf_request_set_int(k->req, MF_F_PORT, port);
	return mf_graph_add(k->g, k->root, &k->ask, &step, 1, true, o);
}

static enum mf_graph_result walk_port(struct kit *k, int port, struct mf_outcome **o)
{
	mf_request_set_int(k->req, MF_F_PORT, port);
	return mf_graph_walk(k->g, k->root, &k->ask, o);
}

static void test_a_walk_finds_what_was_recorded_and_nothing_else(void **state)
{
	struct kit k;
	struct mf_outcome *o;
	int i;

	(void)state;
	kit_open(&k, 4096);
	assert_int_equal(walk_port(&k, 1, &o), MF_GRAPH_MISS);
	for (i = 0; i < 2000; i++)
		assert_int_equal(learn_port(&k, i, i % 3 ? k.yes : NULL), MF_GRAPH_HIT);
	for (i = 0; i < 2000; i++) {
		assert_int_equal(walk_port(&k, i, &o), MF_GRAPH_HIT);
		assert_ptr_equal(o, i % 3 ? k.yes : NULL);
	}
	assert_int_equal(walk_port(&k, 2000, &o), MF_GRAPH_MISS);
	mf_request_reset(k.req, MF_CONNECT);
	assert_int_equal(mf_graph_walk(k.g, k.root, &k.ask, &o), MF_GRAPH_MISS);
	kit_close(&k);
}

static void test_a_contradiction_is_noticed(void **state)
{
	const struct mf_step proto = { .kind = MF_STEP_READ, .op = MF_F_PROTO };
	struct kit k;

	(void)state;
	kit_open(&k, 64);
	assert_int_equal(learn_port(&k, 443, k.yes), MF_GRAPH_HIT);
	assert_int_equal(learn_port(&k, 443, k.yes), MF_GRAPH_HIT);
	assert_int_equal(learn_port(&k, 443, k.no), MF_GRAPH_IMPURE);
	assert_int_equal(learn_port(&k, 443, NULL), MF_GRAPH_IMPURE);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, &proto, 1, true, k.yes),
			 MF_GRAPH_IMPURE);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, NULL, 0, true, k.yes), MF_GRAPH_IMPURE);
	kit_close(&k);
}

static void test_the_limit_of_nodes_holds_and_what_is_used_stays(void **state)
{
	struct kit k;
	struct mf_graph_stats st;
	struct mf_outcome *o;
	int i, kept = 0;

	(void)state;
	kit_open(&k, 100);
	for (i = 0; i < 20000; i++) {
		learn_port(&k, 1000 + i % 50000, k.yes);
		/* One question that is asked all the time. */
		if (walk_port(&k, 7, &o) == MF_GRAPH_HIT)
			kept++;
		else
			learn_port(&k, 7, k.no);
		mf_graph_get_stats(k.g, &st);
		assert_in_range(st.nodes, 1, 100);
		if (i % 500 == 0)
			assert_null(mf_graph_check(k.g));
	}
	assert_in_range(kept, 19900, 20000);
	assert_in_range(st.evictions, 19000, 20000);
	kit_close(&k);
}

static void test_value_memory_is_bounded(void **state)
{
	const struct mf_step step = { .kind = MF_STEP_READ, .op = MF_F_SOURCE };
	static char text[MF_GRAPH_VALUE_MAX + 2];
	struct kit k;
	struct mf_graph_stats st;
	struct mf_outcome *o;
	int i;

	(void)state;
	kit_open(&k, 1000);
	memset(text, 'x', sizeof(text));
	for (i = 0; i < 500; i++) {
		snprintf(text, 8, "%07u", (unsigned)i % 10000000);
		text[7] = 'x';
		mf_request_set_str(k.req, MF_F_SOURCE, text, 2000);
		mf_graph_add(k.g, k.root, &k.ask, &step, 1, true, k.yes);
		mf_graph_get_stats(k.g, &st);
		assert_in_range(st.value_bytes, 0, 1000 * MF_GRAPH_VALUE_ROOM);
	}
	assert_true(st.evictions > 0);
	/* Too long for an edge: never recorded, never found. */
	mf_request_set_str(k.req, MF_F_SOURCE, text, MF_GRAPH_VALUE_MAX + 1);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, &step, 1, true, k.yes), MF_GRAPH_MISS);
	assert_int_equal(mf_graph_walk(k.g, k.root, &k.ask, &o), MF_GRAPH_MISS);
	kit_close(&k);
}

static void test_a_place_that_must_be_asked_stays_one(void **state)
{
	const struct mf_step steps[] = { { .kind = MF_STEP_READ, .op = MF_F_PORT },
					 { .kind = MF_STEP_READ, .op = MF_F_PROTO } };
	struct kit k;
	struct mf_outcome *o;

	(void)state;
	kit_open(&k, 64);
	mf_request_set_int(k.req, MF_F_PORT, 443);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, steps, 1, false, k.yes),
			 MF_GRAPH_UNCACHED);
	assert_int_equal(mf_graph_walk(k.g, k.root, &k.ask, &o), MF_GRAPH_UNCACHED);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, steps, 1, false, k.no),
			 MF_GRAPH_UNCACHED);
	assert_int_equal(mf_graph_add(k.g, k.root, &k.ask, steps, 2, true, k.no),
			 MF_GRAPH_UNCACHED);
	assert_int_equal(learn_port(&k, 80, k.yes), MF_GRAPH_HIT);
	kit_close(&k);
}

static void test_arguments_are_interned_and_bounded(void **state)
{
	struct mf_preds *ps = mf_preds_new(100, 1u << 20);
	struct mf_arg *a, *b;
	struct mf_err err;
	char text[32];
	int i;

	(void)state;
	assert_int_equal(mf_arg_make(ps, MF_A_NAME, 0, "A.Example", 9, &a, &err), 0);
	b = mf_arg_find(ps, MF_A_NAME, 0, "A.Example", 9);
	assert_ptr_equal(a, b);
	assert_null(mf_arg_find(ps, MF_A_NAME, 1, "A.Example", 9));
	assert_null(mf_arg_find(ps, MF_A_GLOB, 0, "A.Example", 9));
	mf_arg_unref(ps, b);
	for (i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "n%d.example", i);
		assert_int_equal(mf_arg_make(ps, MF_A_NAME, 0, text, strlen(text), &b, &err), 0);
		mf_arg_unref(ps, b);
	}
	/* What is referred to is still itself. */
	b = mf_arg_find(ps, MF_A_NAME, 0, "A.Example", 9);
	assert_ptr_equal(a, b);
	mf_arg_unref(ps, a);
	mf_arg_unref(ps, b);
	assert_int_equal(mf_arg_make(ps, MF_A_NAME, 0, "a..b", 4, &a, &err), MF_E_SYNTAX);
	assert_int_equal(mf_arg_make(ps, MF_A_REGEX, 0, "(", 1, &a, &err), MF_E_SYNTAX);
	assert_int_equal(mf_arg_make(ps, MF_A_BETWEEN, 0, "22:00-24:01", 11, &a, &err),
			 MF_E_SYNTAX);
	mf_preds_free(ps);
}

/* --- memo --------------------------------------------------------------------------------------------------------- */

static void test_the_memo_is_exact_for_keys_of_every_length(void **state)
{
	const struct mf_decision allow = { .verdict = MF_ALLOW };
	static const size_t lens[] = { 0,  1,  3,  4,  5,  7,  8,   9,	 15, 16,
				       17, 50, 95, 96, 97, 98, 110, 200, 900 };
	struct mf_request *req = mf_request_new(MF_DNS);
	struct mf_outcome *o = mf_outcome_new(&allow);
	char text[1000];
	struct mf_memo m;
	size_t i, at;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(mf_memo_init(&m, 1024), 0);
	mf_memo_cover(&m, MF_DNS, MF_FIELD_BIT(MF_F_SOURCE), true);
	for (i = 0; i < MF_ARRAY_SIZE(lens); i++) {
		mf_request_set_str(req, MF_F_SOURCE, text, lens[i]);
		assert_null(mf_memo_find(&m, req, mf_memo_hash(&m, req)));
		mf_memo_put(&m, req, o, 3, 5, i % 2 ? 9 : 0);
		assert_non_null(mf_memo_find(&m, req, mf_memo_hash(&m, req)));
		/* Change each byte, and the hash not: only the comparison can tell. */
		for (at = 0; at < lens[i]; at++) {
			uint64_t hash;

			mf_request_set_str(req, MF_F_SOURCE, text, lens[i]);
			hash = mf_memo_hash(&m, req);
			text[at] = 'y';
			mf_request_set_str(req, MF_F_SOURCE, text, lens[i]);
			assert_null(mf_memo_find(&m, req, hash));
			text[at] = 'x';
		}
		mf_request_set_str(req, MF_F_SOURCE, text, lens[i]);
		mf_request_set_label(req, "k", "v");
		mf_request_reset(req, MF_DNS);
	}
	mf_memo_done(&m);
	assert_int_equal(o->refs, 1);
	mf_outcome_unref(o);
	mf_request_free(req);
}

static void test_absent_unfetched_and_empty_are_three_things(void **state)
{
	const struct mf_decision allow = { .verdict = MF_ALLOW };
	struct mf_request *req = mf_request_new(MF_DNS);
	struct mf_outcome *o = mf_outcome_new(&allow);
	struct mf_memo m;
	uint64_t hash;

	(void)state;
	assert_int_equal(mf_memo_init(&m, 64), 0);
	mf_memo_cover(&m, MF_DNS, MF_FIELD_BIT(MF_F_PROCESS_NAME), false);
	mf_memo_put(&m, req, o, 0, 0, 0);
	hash = mf_memo_hash(&m, req);
	assert_non_null(mf_memo_find(&m, req, hash));
	mf_request_set_str(req, MF_F_PROCESS_NAME, "", 0);
	assert_null(mf_memo_find(&m, req, hash));
	mf_request_reset(req, MF_DNS);
	req->lazy = MF_FIELD_BIT(MF_F_PROCESS_NAME);
	assert_null(mf_memo_find(&m, req, hash));
	req->lazy = 0;
	/* A key that grows forgets what was stored under the shorter one. */
	mf_memo_cover(&m, MF_DNS, MF_FIELD_BIT(MF_F_TYPE), false);
	assert_null(mf_memo_find(&m, req, hash));
	assert_null(mf_memo_find(&m, req, mf_memo_hash(&m, req)));
	mf_memo_done(&m);
	mf_outcome_unref(o);
	mf_request_free(req);
}

static void test_the_memo_keeps_to_its_size(void **state)
{
	const struct mf_decision allow = { .verdict = MF_ALLOW };
	struct mf_request *req = mf_request_new(MF_CONNECT);
	struct mf_outcome *o = mf_outcome_new(&allow);
	struct mf_memo m;
	int i, hits = 0;

	(void)state;
	assert_int_equal(mf_memo_init(&m, 64), 0);
	mf_memo_cover(&m, MF_CONNECT, MF_FIELD_BIT(MF_F_PORT), false);
	for (i = 0; i < 20000; i++) {
		mf_request_set_int(req, MF_F_PORT, 10 + i);
		mf_memo_put(&m, req, o, 0, 0, 0);
		assert_in_range(m.cnt, 1, 64);
		assert_int_equal(o->refs, m.cnt + 1);
		/* What is asked all the time stays. */
		mf_request_set_int(req, MF_F_PORT, 7);
		if (mf_memo_find(&m, req, mf_memo_hash(&m, req)))
			hits++;
		else
			mf_memo_put(&m, req, o, 0, 0, 0);
	}
	assert_in_range(hits, 19000, 20000);
	mf_memo_done(&m);
	assert_int_equal(o->refs, 1);
	mf_outcome_unref(o);
	mf_request_free(req);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_walk_finds_what_was_recorded_and_nothing_else),
		cmocka_unit_test(test_a_contradiction_is_noticed),
		cmocka_unit_test(test_the_limit_of_nodes_holds_and_what_is_used_stays),
		cmocka_unit_test(test_value_memory_is_bounded),
		cmocka_unit_test(test_a_place_that_must_be_asked_stays_one),
		cmocka_unit_test(test_arguments_are_interned_and_bounded),
		cmocka_unit_test(test_the_memo_is_exact_for_keys_of_every_length),
		cmocka_unit_test(test_absent_unfetched_and_empty_are_three_things),
		cmocka_unit_test(test_the_memo_keeps_to_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
