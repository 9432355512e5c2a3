/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_memo.c - keys are compared by every byte: whatever their hashes say, another value is another key
 *
 * mf_memo_find() takes the hash from its caller, so the tests can hand it the hash of another key: as if both collided.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/memo.h"

static struct mf_outcome *make_outcome(void)
{
	struct mf_decision d = MF_DECISION_INIT;
	struct mf_outcome *o = mf_outcome_new(&d);

	assert_non_null(o);
	return o;
}

/* Put @a, then look for @b under the hash of @a. */
static bool taken_for(const struct mf_request *a, const struct mf_request *b, uint64_t fields,
		      bool labels)
{
	struct mf_outcome *o = make_outcome();
	struct mf_memo m;
	uint64_t hash;
	bool found;

	assert_int_equal(mf_memo_init(&m, 64), 0);
	mf_memo_cover(&m, (enum mf_kind)a->kind, fields, labels);
	mf_memo_put(&m, a, o, 0, 0, 0);
	hash = mf_memo_hash(&m, a);
	assert_non_null(mf_memo_find(&m, a, hash));
	found = mf_memo_find(&m, b, hash) != NULL;
	if (found)
		assert_int_equal(mf_memo_hash(&m, b), hash);
	mf_memo_done(&m);
	mf_outcome_unref(o);
	return found;
}

static void set_source(struct mf_request *req, const char *text, size_t len)
{
	mf_request_reset(req, MF_FILE);
	assert_int_equal(mf_request_set_str(req, MF_F_SOURCE, text, len), 0);
}

static void test_texts_of_all_lengths_are_told_apart_in_every_byte(void **state)
{
	const uint64_t field = MF_FIELD_BIT(MF_F_SOURCE);
	struct mf_request *a = mf_request_new(MF_FILE), *b = mf_request_new(MF_FILE);
	char x[200], y[200]; /* from the slot over the entry itself to a key of its own memory */
	size_t len, i;

	(void)state;
	memset(x, 'x', sizeof(x));
	for (len = 0; len < sizeof(x); len++) {
		set_source(a, x, len);
		set_source(b, x, len);
		assert_true(taken_for(a, b, field, false));
		set_source(b, x, len + 1 < sizeof(x) ? len + 1 : 0);
		assert_false(taken_for(a, b, field, false));
		assert_false(taken_for(b, a, field, false));
		for (i = 0; i < len; i++) {
			memcpy(y, x, sizeof(y));
			y[i] = 'y';
			set_source(b, y, len);
			assert_false(taken_for(a, b, field, false));
		}
	}
	mf_request_free(a);
	mf_request_free(b);
}

static void test_equal_values_at_other_places_are_equal(void **state)
{
	const uint64_t fields = MF_FIELD_BIT(MF_F_HOST) | MF_FIELD_BIT(MF_F_HOSTS) |
				MF_FIELD_BIT(MF_F_IP) | MF_FIELD_BIT(MF_F_PROTO);
	struct mf_request *a = mf_request_new(MF_CONNECT), *b = mf_request_new(MF_CONNECT);
	char big[2000];

	(void)state;
	memset(big, 'b', sizeof(big));
	mf_request_set_str(a, MF_F_HOST, "name.example", 12);
	mf_request_add_str(a, MF_F_HOSTS, "one.example", 11);
	mf_request_add_str(a, MF_F_HOSTS, "two.example", 11);
	mf_request_set_addr_text(a, MF_F_IP, "192.0.2.1");
	mf_request_set_str(a, MF_F_PROTO, "tcp", 3);
	/* In another order, overwritten, grown into a larger pool in between. */
	mf_request_set_str(b, MF_F_PROTO, "something-long", 14);
	mf_request_set_addr_text(b, MF_F_IP, "192.0.2.2");
	mf_request_add_str(b, MF_F_HOSTS, "ONE.example.", 12);
	mf_request_set_addr_text(b, MF_F_IP, "::ffff:192.0.2.1");
	assert_int_equal(mf_request_set_str(b, MF_F_SOURCE, big, sizeof(big)), 0);
	mf_request_add_str(b, MF_F_HOSTS, "two.example", 11);
	mf_request_set_str(b, MF_F_HOST, "name.example", 12);
	mf_request_set_str(b, MF_F_PROTO, "TCP", 3);
	assert_true(taken_for(a, b, fields, false));
	assert_false(taken_for(a, b, fields | MF_FIELD_BIT(MF_F_SOURCE), false));
	mf_request_add_str(b, MF_F_HOSTS, "two.example", 11);
	assert_false(taken_for(a, b, fields, false));
	mf_request_free(a);
	mf_request_free(b);
}

static int no_value(struct mf_request *req, enum mf_field field, void *ctx)
{
	(void)req;
	(void)field;
	(void)ctx;
	return MF_E_NOENT;
}

static void test_nothing_unfetched_empty_and_zero_are_four_values(void **state)
{
	const uint64_t fields = MF_FIELD_BIT(MF_F_TARGET) | MF_FIELD_BIT(MF_F_SIZE);
	struct mf_request *reqs[5];
	int i, j;

	(void)state;
	for (i = 0; i < 5; i++)
		reqs[i] = mf_request_new(MF_FILE);
	mf_request_set_fetch(reqs[1], no_value, NULL, MF_FIELD_BIT(MF_F_TARGET));
	mf_request_set_str(reqs[2], MF_F_TARGET, "", 0);
	mf_request_set_int(reqs[3], MF_F_SIZE, 0);
	/* The number whose bytes are those of the empty text. */
	mf_request_set_int(reqs[4], MF_F_SIZE, INT64_C(7) << 56);
	for (i = 0; i < 5; i++)
		for (j = 0; j < 5; j++)
			assert_int_equal(taken_for(reqs[i], reqs[j], fields, false), i == j);
	for (i = 0; i < 5; i++)
		mf_request_free(reqs[i]);
}

static void test_what_is_left_of_an_earlier_question_does_not_count(void **state)
{
	const uint64_t fields = MF_FIELD_BIT(MF_F_OP) | MF_FIELD_BIT(MF_F_PATH) |
				MF_FIELD_BIT(MF_F_TARGET) | MF_FIELD_BIT(MF_F_UID);
	struct mf_request *a = mf_request_new(MF_FILE), *b = mf_request_new(MF_DNS);

	(void)state;
	mf_request_set_str(b, MF_F_NAME, "some.name.example", 17);
	mf_request_set_str(b, MF_F_TYPE, "AAAA", 4);
	mf_request_reset(b, MF_FILE);
	mf_request_set_str(b, MF_F_TARGET, "/a/long/target", 14);
	mf_request_set_int(b, MF_F_UID, 1000);
	mf_request_reset(b, MF_FILE);
	assert_true(taken_for(a, b, fields, false));
	mf_request_set_str(b, MF_F_PATH, "/a/long/path", 12);
	assert_int_equal(mf_request_set_str(b, MF_F_PATH, "relative", 8), MF_E_SYNTAX);
	assert_true(taken_for(a, b, fields, false));
	mf_request_set_label(b, "team", "red");
	assert_true(taken_for(a, b, fields, false));
	assert_false(taken_for(a, b, fields, true));
	mf_request_free(a);
	mf_request_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_of_all_lengths_are_told_apart_in_every_byte),
		cmocka_unit_test(test_equal_values_at_other_places_are_equal),
		cmocka_unit_test(test_nothing_unfetched_empty_and_zero_are_four_values),
		cmocka_unit_test(test_what_is_left_of_an_earlier_question_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
