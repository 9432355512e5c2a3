/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_nat_threads.c - one NAT table, many threads: no torn answers, no lost entries, nothing left over
 *
 * Entries are made so that an answer can be checked by itself: what a flow is rewritten to and its pid follow from the
 * flow. Some flows are never removed: they must be found at every single look-up, whatever else goes on.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "golden.h"
#include "nat_fixture.h"

#define READERS 3u
#define ROUNDS	60000u
#define STABLE	500u
#define CHURN	2000u

struct stage {
	struct mf_nat *nat;
	_Atomic unsigned running; /* writers that still work */
	_Atomic unsigned wrong;	  /* answers that do not fit their question */
	_Atomic unsigned lost;	  /* stable flows not found */
	_Atomic uint64_t found, churn_found;
	_Atomic uint64_t now;
};

static uint32_t xorshift(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

static struct mf_flow flow_of(unsigned n)
{
	return n % 2 ? flow4(MF_PROTO_TCP, n + 1) : flow6(MF_PROTO_TCP, n + 1);
}

/* Processes 1 to 5 own the stable flows, 11 to 15 the others; those end again and again. */
static uint32_t pid_of(unsigned n)
{
	return (n < STABLE ? 1 : 11) + n % 5;
}

static bool answer_fits(unsigned n, bool reply, const struct mf_nat_hit *hit)
{
	struct mf_flow f = flow_of(n), to = to_proxy(&f), home = mf_flow_reverse(&f);

	return hit->pid == pid_of(n) && hit->dir == (reply ? MF_NAT_REPLY : MF_NAT_FORWARD) &&
	       mf_flow_eq(&hit->to, reply ? &home : &to);
}

static void check(struct stage *st, unsigned n, bool reply, bool found,
		  const struct mf_nat_hit *hit)
{
	if (found && !answer_fits(n, reply, hit))
		atomic_fetch_add(&st->wrong, 1);
	if (!found && n < STABLE)
		atomic_fetch_add(&st->lost, 1);
	if (found)
		atomic_fetch_add(n < STABLE ? &st->found : &st->churn_found, 1);
}

static struct mf_nat_ask ask_for(unsigned n, bool reply, uint32_t random)
{
	struct mf_flow f = flow_of(n), to = to_proxy(&f), back = mf_flow_reverse(&to);
	uint8_t flags = MF_TCP_ACK;

	// Stable flows only ever see acknowledgements; the others go through all states.
	if (n >= STABLE && random % 8 == 0)
		flags = MF_TCP_RST;
	else if (n >= STABLE && random % 8 == 1)
		flags = MF_TCP_FIN | MF_TCP_ACK;
	return ask_of(reply ? &back : &f, flags, 0);
}

static void *read_one_by_one(void *arg)
{
	struct stage *st = arg;
	uint32_t s = 2463534242u;

	while (atomic_load(&st->running)) {
		unsigned n = xorshift(&s) % (STABLE + CHURN);
		bool reply = xorshift(&s) % 2;
		struct mf_nat_ask ask = ask_for(n, reply, xorshift(&s));
		struct mf_nat_hit hit;
		int r = mf_nat_lookup(st->nat, &ask, atomic_load(&st->now), &hit);

		check(st, n, reply, r == 0, &hit);
	}
	return NULL;
}

static void *read_bursts(void *arg)
{
	struct stage *st = arg;
	uint32_t s = 88675123u;

	while (atomic_load(&st->running)) {
		struct mf_nat_ask asks[32];
		struct mf_nat_hit hits[32];
		unsigned n[32];
		bool reply[32];
		uint64_t found;

		for (unsigned i = 0; i < 32; i++) {
			n[i] = xorshift(&s) % (STABLE + CHURN);
			reply[i] = xorshift(&s) % 2;
			asks[i] = ask_for(n[i], reply[i], xorshift(&s));
		}
		found = mf_nat_lookup_burst(st->nat, asks, 32, atomic_load(&st->now), hits);
		for (unsigned i = 0; i < 32; i++)
			check(st, n[i], reply[i], found >> i & 1, &hits[i]);
	}
	return NULL;
}

static void insert(struct mf_nat *nat, unsigned n, uint32_t isn, uint64_t now)
{
	struct mf_nat_redirect r = { .host = "mirror.example", .port = (uint16_t)(n % 7) };
	struct mf_nat_insert in = {
		.flow = flow_of(n), .isn = isn, .pid = pid_of(n), .redirect = &r
	};

	in.to = to_proxy(&in.flow);
	mf_nat_insert(nat, &in, now);
}

static void *write_churn(void *arg)
{
	struct stage *st = arg;
	uint32_t s = 123456789u;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned n = STABLE + xorshift(&s) % CHURN;
		struct mf_flow f = flow_of(n);
		uint64_t now = atomic_load(&st->now);
		struct mf_nat_entry e;

		switch (xorshift(&s) % 8) {
		case 0:
			mf_nat_remove(st->nat, &f);
			break;
		case 1:
			mf_nat_close(st->nat, &f, now);
			break;
		case 2:
			mf_nat_set_redirect(st->nat, &f, NULL, now);
			break;
		case 3:
			if (mf_nat_get(st->nat, &f, now, &e) == 0 && !mf_flow_eq(&e.flow, &f))
				atomic_fetch_add(&st->wrong, 1);
			break;
		default:
			insert(st->nat, n, i, now);
		}
	}
	atomic_fetch_sub(&st->running, 1);
	return NULL;
}

/* Time, expiry, statistics, and processes that end. Stable flows have time-outs far beyond this. */
static void *write_time(void *arg)
{
	struct stage *st = arg;

	for (unsigned i = 0; i < ROUNDS / 20; i++) {
		struct mf_nat_stats stats;
		uint64_t now = atomic_fetch_add(&st->now, S / 10);

		mf_nat_expire(st->nat, now, 300);
		mf_nat_get_stats(st->nat, &stats);
		insert(st->nat, STABLE + CHURN + i % 64, i, now);
		if (i % 50 == 0)
			mf_nat_remove_pid(st->nat, 11 + i / 50 % 5);
	}
	atomic_fetch_sub(&st->running, 1);
	return NULL;
}

static void threads_share_a_table_without_torn_or_lost_answers(void **state)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = STABLE + CHURN / 2 };
	struct stage st = { .running = 2, .now = 1000 * S };
	pthread_t t[READERS + 2];
	struct mf_nat_stats stats;

	(void)state;
	assert_int_equal(mf_nat_new(&o, &st.nat, NULL), 0);
	for (unsigned i = 0; i < STABLE; i++) {
		struct mf_nat_ask there = ask_for(i, false, 0), back = ask_for(i, true, 0);
		struct mf_nat_hit hit;

		insert(st.nat, i, 1, st.now);
		assert_int_equal(mf_nat_lookup(st.nat, &back, st.now, &hit), 0);
		assert_int_equal(mf_nat_lookup(st.nat, &there, st.now, &hit), 0);
		assert_int_equal(hit.state, MF_NAT_ESTABLISHED);
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, i % 2 ? read_bursts : read_one_by_one, &st), 0);
	assert_int_equal(pthread_create(&t[READERS], NULL, write_churn, &st), 0);
	assert_int_equal(pthread_create(&t[READERS + 1], NULL, write_time, &st), 0);
	for (unsigned i = 0; i < READERS + 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(st.wrong, 0);
	assert_int_equal(st.lost, 0);
	assert_true(st.found > 0 && st.churn_found > 0);

	mf_nat_get_stats(st.nat, &stats);
	assert_int_equal(stats.states[0] + stats.states[1] + stats.states[2], stats.entries);
	assert_int_equal(stats.inserted, stats.entries + stats.expired + stats.removed +
						 stats.removed_pid + stats.replaced +
						 stats.evicted_closing + stats.evicted_new);
	assert_true(stats.evicted_closing + stats.evicted_new > 0);
	// All processes end: nothing is left, in no list and no index.
	for (uint32_t pid = 1; pid <= 15; pid++)
		mf_nat_remove_pid(st.nat, pid);
	assert_int_equal(mf_nat_count(st.nat), 0);
	mf_nat_get_stats(st.nat, &stats);
	assert_int_equal(stats.redirects, 0);
	mf_nat_free(st.nat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_share_a_table_without_torn_or_lost_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
