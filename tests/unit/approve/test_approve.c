// SPDX-License-Identifier: Apache-2.0
// Requests that wait for a person: bounds, deadlines, what an answer holds for, and threads.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/approve/approve.h"
#include "core/base/err.h"
#include "core/policy/session.h"
#include "tests/unit/test.h"

static uint64_t now_ns = MF_NS_PER_S;

static uint64_t read_clock(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static const struct mf_clock by_hand = { .monotonic = read_clock, .wall = read_clock };
static const struct mf_approve_who me = { 1000, 42, "api" };

struct world {
	struct mf_approvals *t;
	struct mf_request *req;
	struct mf_session session;
	struct mf_decision d;
	struct mf_approve_question q;
};

static void ask_connect(struct world *w, const char *host, const char *ip, int port)
{
	mf_request_reset(w->req, MF_CONNECT);
	assert_int_equal(mf_request_set_str(w->req, MF_F_HOST, host, strlen(host)), 0);
	assert_int_equal(mf_request_set_addr_text(w->req, MF_F_IP, ip), 0);
	assert_int_equal(mf_request_set_int(w->req, MF_F_PORT, port), 0);
	assert_int_equal(mf_request_set_str(w->req, MF_F_PROTO, "tcp", 3), 0);
}

static void ask_dns(struct world *w, const char *name, const char *type)
{
	mf_request_reset(w->req, MF_DNS);
	assert_int_equal(mf_request_set_str(w->req, MF_F_NAME, name, strlen(name)), 0);
	assert_int_equal(mf_request_set_str(w->req, MF_F_TYPE, type, strlen(type)), 0);
}

static void ask_file(struct world *w, const char *op, const char *path, const char *flag)
{
	mf_request_reset(w->req, MF_FILE);
	assert_int_equal(mf_request_set_str(w->req, MF_F_OP, op, strlen(op)), 0);
	assert_int_equal(mf_request_set_str(w->req, MF_F_PATH, path, strlen(path)), 0);
	if (flag)
		assert_int_equal(mf_request_add_str(w->req, MF_F_FLAGS, flag, strlen(flag)), 0);
}

static struct mf_decision an_ask(void)
{
	struct mf_decision d = MF_DECISION_INIT;

	d.verdict = MF_ASK;
	d.matched = true;
	d.policy = "p";
	d.rule = "connect()";
	d.file = "p.lua";
	d.line = 3;
	d.reason = "why not";
	d.generation = 7;
	d.expires_ns = UINT64_MAX;
	return d;
}

static void begin(struct world *w, const struct mf_approvals_options *more)
{
	struct mf_approvals_options o = more ? *more : (struct mf_approvals_options){ 0 };
	struct mf_err err = { 0 };

	memset(w, 0, sizeof(*w));
	o.clock = &by_hand;
	assert_int_equal(mf_approvals_new(&o, &w->t, &err), 0);
	w->req = mf_request_new(MF_CONNECT);
	w->session = (struct mf_session){ .id = "s1", .source = "session" };
	w->d = an_ask();
	w->q = (struct mf_approve_question){ .session = &w->session,
					     .request = w->req,
					     .decision = &w->d };
	ask_connect(w, "a.example", "192.0.2.1", 443);
}

static void end(struct world *w)
{
	struct mf_approvals_stats s;

	mf_approvals_get_stats(w->t, &s);
	assert_int_equal(s.open, 0);
	assert_int_equal(s.waiters, 0);
	mf_approvals_free(w->t);
	mf_request_free(w->req);
}

static uint64_t hold(struct world *w)
{
	uint64_t ticket;

	assert_int_equal(mf_approvals_hold(w->t, &w->q, &ticket), 0);
	assert_int_not_equal(ticket, 0);
	return ticket;
}

static enum mf_verdict settle(struct world *w, const struct mf_approve_grants *g)
{
	struct mf_decision d = w->d;

	if (!mf_approve_settle(w->t, w->session.id, w->req, g, &d))
		return MF_ASK;
	assert_true(d.settled);
	assert_int_equal(d.decided, MF_ASK);
	return d.verdict;
}

static void once_is_for_who_waits(void **state)
{
	struct mf_approve_grants g = { 0 }, g2 = { 0 };
	struct world w;
	uint64_t one, two;

	(void)state;
	begin(&w, NULL);
	assert_int_equal(settle(&w, NULL), MF_ASK);
	one = hold(&w);
	two = hold(&w);
	assert_false(mf_approvals_take(w.t, one, &g));
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_ONCE, 0, &me), 0);
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_ONCE, 0, &me), MF_E_NOENT);
	assert_true(mf_approvals_take(w.t, one, &g));
	assert_true(mf_approvals_take(w.t, two, &g2));
	assert_int_equal(g.cnt, 1);
	assert_int_equal(settle(&w, &g), MF_ALLOW);
	assert_int_equal(settle(&w, &g2), MF_ALLOW);
	assert_int_equal(settle(&w, NULL), MF_ASK);
	ask_connect(&w, "b.example", "192.0.2.1", 443);
	assert_int_equal(settle(&w, &g), MF_ASK);
	end(&w);
}

static void no_channel_is_what_the_policy_says(void **state)
{
	struct mf_decision d = an_ask();

	(void)state;
	assert_true(mf_approve_settle(NULL, "s", NULL, NULL, &d));
	assert_int_equal(d.verdict, MF_DENY);
	assert_string_equal(d.reason, "approve_without_channel");
	d = an_ask();
	d.else_allow = true;
	assert_true(mf_approve_settle(NULL, "s", NULL, NULL, &d));
	assert_int_equal(d.verdict, MF_ALLOW);
	/* with a channel, only a person allows */
	d = an_ask();
	d.else_allow = true;
	mf_approve_refuse(&d, mf_approve_cannot_wait);
	assert_int_equal(d.verdict, MF_DENY);
}

static void time_is_over(void **state)
{
	struct mf_approve_grants g = { 0 };
	struct world w;
	uint64_t ticket;

	(void)state;
	begin(&w, &(struct mf_approvals_options){ .timeout_ms = 5000 });
	assert_int_equal(mf_approvals_next_ms(w.t), -1);
	ticket = hold(&w);
	assert_int_equal(mf_approvals_next_ms(w.t), 5000);
	now_ns += 4999 * MF_NS_PER_MS;
	assert_false(mf_approvals_take(w.t, ticket, &g));
	now_ns += MF_NS_PER_MS;
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_SESSION, 0, &me),
			 MF_E_NOENT); // too late is no
	assert_true(mf_approvals_take(w.t, ticket, &g));
	assert_int_equal(settle(&w, &g), MF_DENY);
	/* the rule's own */
	w.d.ask_timeout_ms = 100;
	ticket = hold(&w);
	assert_int_equal(mf_approvals_next_ms(w.t), 100);
	now_ns += 100 * MF_NS_PER_MS;
	assert_true(mf_approvals_take(w.t, ticket, &g));
	end(&w);
}

static void remembered_answers(void **state)
{
	struct mf_approve_grants g = { 0 };
	struct world w;
	uint64_t ticket;

	(void)state;
	begin(&w, NULL);
	ticket = hold(&w);
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_SESSION, 5, &me), MF_E_INVAL);
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_FOR, 0, &me), MF_E_INVAL);
	assert_int_equal(mf_approvals_answer(w.t, 1, true, MF_APPROVE_SESSION, 0, &me), 0);
	assert_true(mf_approvals_take(w.t, ticket, &g));
	assert_int_equal(settle(&w, NULL), MF_ALLOW);
	w.session.id = "s2"; // another session
	assert_int_equal(settle(&w, NULL), MF_ASK);
	w.session.id = "s1";
	w.d.generation++; // other policies
	assert_int_equal(settle(&w, NULL), MF_ASK);
	w.d = an_ask();
	w.d.line++; // another rule
	assert_int_equal(settle(&w, NULL), MF_ASK);
	w.d = an_ask();
	assert_int_equal(mf_approvals_forget(w.t, "s2"), 0);
	assert_int_equal(mf_approvals_forget(w.t, "s1"), 1);
	assert_int_equal(settle(&w, NULL), MF_ASK);
	/* a no for a time */
	ticket = hold(&w);
	assert_int_equal(mf_approvals_answer(w.t, 2, false, MF_APPROVE_FOR, 1000, &me), 0);
	assert_true(mf_approvals_take(w.t, ticket, &g));
	assert_int_equal(settle(&w, NULL), MF_DENY);
	now_ns += 1000 * MF_NS_PER_MS;
	assert_int_equal(settle(&w, NULL), MF_ASK);
	/* a rule whose answers are not remembered */
	w.d.ask_once = true;
	ticket = hold(&w);
	assert_int_equal(mf_approvals_answer(w.t, 3, true, MF_APPROVE_SESSION, 0, &me), MF_E_PERM);
	assert_int_equal(mf_approvals_answer(w.t, 3, true, MF_APPROVE_ONCE, 0, &me), 0);
	assert_true(mf_approvals_take(w.t, ticket, &g));
	end(&w);
}

static bool same(struct world *w, const uint8_t key[MF_APPROVE_KEY_LEN])
{
	uint8_t other[MF_APPROVE_KEY_LEN];

	mf_approve_key(w->req, &w->d, w->session.id, other);
	return memcmp(key, other, sizeof(other)) == 0;
}

static void what_is_the_same_question(void **state)
{
	uint8_t key[MF_APPROVE_KEY_LEN];
	struct world w;

	(void)state;
	begin(&w, NULL);
	mf_approve_key(w.req, &w.d, "s1", key);
	ask_connect(&w, "a.example", "203.0.114.9", 443);
	assert_false(same(&w, key)); // 192.0.2.1 is not of the internet, that one is
	mf_approve_key(w.req, &w.d, "s1", key);
	ask_connect(&w, "a.example", "198.51.101.7", 443);
	assert_true(same(&w, key)); // a name has several addresses
	ask_connect(&w, "a.example", "10.0.0.1", 443);
	assert_false(same(&w, key)); // but does not lead into a private network
	ask_connect(&w, "a.example", "203.0.114.9", 80);
	assert_false(same(&w, key));
	ask_dns(&w, "a.example", "A");
	mf_approve_key(w.req, &w.d, "s1", key);
	ask_dns(&w, "a.example", "AAAA");
	assert_true(same(&w, key));
	ask_dns(&w, "a.example", "TXT");
	assert_false(same(&w, key));
	ask_dns(&w, "b.example", "A");
	assert_false(same(&w, key));
	ask_file(&w, "create", "/a", NULL);
	mf_approve_key(w.req, &w.d, "s1", key);
	ask_file(&w, "write", "/a", NULL);
	assert_true(same(&w, key));
	ask_file(&w, "open", "/a", "write");
	assert_true(same(&w, key));
	ask_file(&w, "open", "/a", "read");
	assert_false(same(&w, key));
	ask_file(&w, "delete", "/a", NULL);
	assert_false(same(&w, key));
	ask_file(&w, "write", "/b", NULL);
	assert_false(same(&w, key));
	/* what a policy has read of the process is part of it */
	ask_connect(&w, "a.example", "203.0.114.9", 443);
	mf_approve_key(w.req, &w.d, "s1", key);
	assert_int_equal(mf_request_set_str(w.req, MF_F_PROCESS_EXE, "/bin/x", 6), 0);
	assert_false(same(&w, key));
	end(&w);
}

static void count_item(void *ctx, const struct mf_approve_item *item)
{
	unsigned *cnt = ctx;

	(void)item;
	++*cnt;
}

static void a_flood_is_bounded(void **state)
{
	uint64_t tickets[1000], ticket;
	unsigned held = 0, listed = 0;
	struct mf_approvals_stats s;
	struct world w;

	(void)state;
	begin(&w,
	      &(struct mf_approvals_options){
		      .session_max = 10, .total_max = 15, .waiters_max = 40, .remembered_max = 4 });
	for (int i = 0; i < 1000; i++) {
		ask_connect(&w, "a.example", "203.0.114.9", i + 1);
		if (mf_approvals_hold(w.t, &w.q, &tickets[held]) == 0)
			held++;
	}
	assert_int_equal(held, 10);
	w.session.id = "s2";
	for (int i = 0; i < 1000; i++) {
		ask_connect(&w, "a.example", "203.0.114.9", i + 1);
		if (mf_approvals_hold(w.t, &w.q, &tickets[held]) == 0)
			held++;
	}
	assert_int_equal(held, 15);
	w.session.id = "s1";
	ask_connect(&w, "a.example", "203.0.114.9", 1);
	for (int i = 0; i < 100; i++)
		if (mf_approvals_hold(w.t, &w.q, &tickets[held]) == 0)
			held++;
	assert_int_equal(held, 40);
	(void)mf_approvals_each(w.t, count_item, &listed);
	assert_int_equal(listed, 15);
	mf_approvals_get_stats(w.t, &s);
	assert_int_equal(s.full, 990 + 995 + 75);
	while (held)
		mf_approvals_leave(w.t, tickets[--held]);
	mf_approvals_get_stats(w.t, &s);
	assert_int_equal(s.withdrawn, 15);
	/* what is remembered is bounded, too: the oldest goes */
	for (unsigned i = 0; i < 6; i++) {
		struct mf_approve_grants g = { 0 };

		ask_connect(&w, "a.example", "203.0.114.9", (int)i + 1);
		ticket = hold(&w);
		assert_int_equal(mf_approvals_answer(w.t, 16 + i, true, MF_APPROVE_SESSION, 0, &me),
				 0);
		assert_true(mf_approvals_take(w.t, ticket, &g));
	}
	mf_approvals_get_stats(w.t, &s);
	assert_int_equal(s.remembered, 4);
	ask_connect(&w, "a.example", "203.0.114.9", 2);
	assert_int_equal(settle(&w, NULL), MF_ASK);
	ask_connect(&w, "a.example", "203.0.114.9", 3);
	assert_int_equal(settle(&w, NULL), MF_ALLOW);
	end(&w);
}

static void what_is_shown(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4096);

	(void)state;
	mf_approve_show_text(&b, "gr\xc3\xbc\xc3\x9f "
				 "\x1b[31m\n\x7f\xff \xe2\x80\xae \xc2\x9b \xe2\x80\x8b");
	assert_string_equal(b.str,
			    "gr\xc3\xbc\xc3\x9f \\x1b[31m\\x0a\\x7f\\xff \\u202e \\x9b \\u200b");
	mf_strbuf_done(&b);
}

// --- threads ------------------------------------------------------------------------------------------------------------

enum { THREADS = 4, ROUNDS = 200 };

static struct mf_approvals *shared;
static _Atomic unsigned woken, answered, over;

static void on_change(void *ctx)
{
	(void)ctx;
	woken++;
}

static void *waiting(void *arg)
{
	struct world w = { .t = shared };
	uint64_t seed = 1 + (uintptr_t)arg;

	w.req = mf_request_new(MF_CONNECT);
	w.session = (struct mf_session){ .id = "s1" };
	w.d = an_ask();
	w.q = (struct mf_approve_question){ .session = &w.session,
					    .request = w.req,
					    .decision = &w.d };
	for (int i = 0; i < ROUNDS; i++) {
		struct mf_approve_grants g = { 0 };
		uint64_t ticket;

		ask_connect(&w, "a.example", "203.0.114.9", 1 + (int)test_below(&seed, 5));
		if (mf_approvals_hold(shared, &w.q, &ticket) < 0)
			continue;
		if (test_below(&seed, 4) == 0)
			mf_approvals_leave(shared, ticket);
		else
			while (!mf_approvals_take(shared, ticket, &g))
				sched_yield();
	}
	mf_request_free(w.req);
	over++;
	return NULL;
}

static void first_id(void *ctx, const struct mf_approve_item *item)
{
	uint64_t *id = ctx;

	*id = item->id;
}

static void *answering(void *arg)
{
	(void)arg;
	while (over < THREADS) {
		uint64_t id = 0;

		(void)mf_approvals_each(shared, first_id, &id);
		if (!id)
			sched_yield();
		else if (mf_approvals_answer(shared, id, true, MF_APPROVE_ONCE, 0, &me) == 0)
			answered++;
	}
	return NULL;
}

static void threads_ask_and_answer(void **state)
{
	pthread_t threads[THREADS + 2];
	struct mf_err err = { 0 };
	struct mf_approvals_stats s;

	(void)state;
	over = answered = woken = 0;
	assert_int_equal(mf_approvals_new(NULL, &shared, &err), 0);
	assert_int_equal(mf_approvals_watch(shared, on_change, NULL), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, waiting, (void *)i), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[THREADS + i], NULL, answering, NULL), 0);
	for (int i = 0; i < THREADS + 2; i++)
		pthread_join(threads[i], NULL);
	mf_approvals_unwatch(shared, on_change, NULL);
	mf_approvals_get_stats(shared, &s);
	assert_int_equal(s.open, 0);
	assert_int_equal(s.waiters, 0);
	assert_int_equal(s.allowed, answered);
	assert_int_equal(s.asked, s.allowed + s.withdrawn);
	assert_true(woken > 0);
	mf_approvals_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_is_for_who_waits),
		cmocka_unit_test(no_channel_is_what_the_policy_says),
		cmocka_unit_test(time_is_over),
		cmocka_unit_test(remembered_answers),
		cmocka_unit_test(what_is_the_same_question),
		cmocka_unit_test(a_flood_is_bounded),
		cmocka_unit_test(what_is_shown),
		cmocka_unit_test(threads_ask_and_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
