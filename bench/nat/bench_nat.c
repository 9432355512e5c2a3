/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_nat.c - how long a packet waits for the NAT table while 1,000,000 entries expire at once
 *
 *	bench_nat [--json] [--rounds N]
 *
 * The worst case of the timer wheel: all entries were made in the same moment, so all are over in the same moment. Three
 * ways to live with that are measured, each on a fresh table, N times (3):
 *
 *	turns   one thread: a burst of 64 packets (look-ups of any flow, and one new flow), then mf_nat_expire() with the
 *	        budget that capture/pipeline.c gives it in each turn, and so on. A packet waits from the beginning of the
 *	        expiry before it until its own look-up is done.
 *	reader  one thread looks up packets, one at a time; another does nothing but expire, with a budget of 1,000.
 *	writer  the same with a thread that inserts new flows.
 *
 * Turns are measured in processor time of the thread. The others have to be wall time, waiting is what is looked for:
 * a sample in which the kernel took the processor away from the thread (its count of involuntary switches tells) or from
 * the one that expires (its processor time does not keep up with the clock) is left out and counted: that would be the
 * machine's load, not the table's doing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bench.h"
#include "core/base/err.h"
#include "core/packet/nat.h"

#define MILLION	      1000000u
#define EXTRA	      (1u << 20) /* room for new flows beside them */
#define BURST	      64u
#define TURN_BUDGET   128u
#define FREE_BUDGET   1000u
#define ROUNDS_MAX    15
#define BEGIN_NS      UINT64_C(1000000000)
#define LATER_NS      UINT64_C(400000000000) /* past the time of all entries that were not answered */
#define BUCKETS	      64
#define LOOK_AT_NS    20000 /* samples longer than this are looked at for a switch */
#define LOOK_EVERY    256   /* and the state before it is not older than so many samples */
#define OTHER_LOST_NS 10000

static struct bench_report rows = { .name_width = 22, .value_width = 12, .decimals = 2 };

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t random_state = BENCH_RANDOM_SEED;

static struct mf_flow flow_of(uint32_t n)
{
	struct mf_flow f = { .proto = MF_PROTO_TCP, .family = 4, .dst_port = 443 };
	uint8_t src[4] = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 24), 2 };
	uint8_t dst[4] = { 203, (uint8_t)(n * 7 >> 8), (uint8_t)n, 9 };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	f.src_port = (uint16_t)n;
	return f;
}

static void insert(struct mf_nat *nat, uint32_t n, uint64_t now)
{
	struct mf_flow f = flow_of(n), to = f;
	const uint8_t loopback[4] = { 127, f.src[1], f.src[2], 1 };
	struct mf_nat_insert in = { .flow = f, .isn = n, .pid = 1 + n % 64 };

	memcpy(to.src, loopback, 4);
	memcpy(to.dst, loopback, 4);
	to.dst_port = 9080;
	in.to = to;
	if (mf_nat_insert(nat, &in, now))
		bench_die("bench_nat", "cannot insert");
}

static struct mf_nat *new_table(void)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = MILLION + EXTRA };
	struct mf_nat *nat;

	if (mf_nat_new(&o, &nat, NULL))
		bench_die("bench_nat", "no table");
	for (uint32_t i = 0; i < MILLION; i++)
		insert(nat, i, BEGIN_NS);
	return nat;
}

static void check_all_gone(struct mf_nat *nat)
{
	struct mf_nat_stats s;

	mf_nat_get_stats(nat, &s);
	if (s.expired != MILLION)
		bench_die("bench_nat", "not all entries have expired");
}

/* ---- one thread by turns ---- */

/* Return: the longest wait in microseconds */
static double run_turns(double *ret_total_ms)
{
	struct mf_nat *nat = new_table();
	uint64_t begin = read_clock(CLOCK_THREAD_CPUTIME_ID), worst = 0, at = begin, now;
	struct mf_nat_ask asks[BURST];
	struct mf_nat_hit hits[BURST];
	uint32_t next = MILLION;
	unsigned used;

	memset(asks, 0, sizeof(asks));
	do {
		used = mf_nat_expire(nat, LATER_NS, TURN_BUDGET);
		for (unsigned i = 0; i < BURST; i++)
			asks[i].flow = flow_of(bench_random32(&random_state) % MILLION);
		(void)mf_nat_lookup_burst(nat, asks, BURST, LATER_NS, hits);
		if (next < MILLION + EXTRA)
			insert(nat, next++, LATER_NS);
		now = read_clock(CLOCK_THREAD_CPUTIME_ID);
		if (now - at > worst)
			worst = now - at;
		at = now;
	} while (used == TURN_BUDGET);
	*ret_total_ms = (double)(at - begin) / 1e6;
	check_all_gone(nat);
	mf_nat_free(nat);
	return (double)worst / 1e3;
}

/* ---- beside a thread that expires ---- */

struct beside {
	struct mf_nat *nat;
	clockid_t other; /* processor time of the thread that expires */
	atomic_int go;	 /* 1: both begin; 2: the expiring one is done */
	bool writes;
	/* of the measured thread */
	uint64_t hist[BUCKETS]; /* by power of two of nanoseconds */
	uint64_t worst, cnt, begin, end, taken_away;
};

/* What tells that one of the two threads did not run. */
struct running {
	long switches;
	uint64_t behind; /* the other's processor time behind the clock */
};

static struct running read_running(const struct beside *b)
{
	struct running r;
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	r.switches = u.ru_nivcsw;
	r.behind = read_clock(CLOCK_MONOTONIC) - read_clock(b->other);
	return r;
}

static bool was_lost(const struct running *before, const struct running *now)
{
	return now->switches != before->switches || now->behind > before->behind + OTHER_LOST_NS;
}

static void one_packet(struct beside *b, uint64_t *rnd, uint32_t *next)
{
	struct mf_nat_ask ask;
	struct mf_nat_hit hit;

	if (b->writes && *next < MILLION + EXTRA) {
		insert(b->nat, (*next)++, LATER_NS);
		return;
	}
	memset(&ask, 0, sizeof(ask));
	ask.flow = flow_of(bench_random32(rnd) % MILLION);
	(void)mf_nat_lookup(b->nat, &ask, LATER_NS, &hit);
}

static void *measured(void *arg)
{
	struct beside *b = arg;
	uint64_t rnd = 4711, at, now;
	uint32_t next = MILLION;
	struct running seen;

	while (atomic_load_explicit(&b->go, memory_order_acquire) == 0)
		;
	seen = read_running(b);
	b->begin = at = read_clock(CLOCK_MONOTONIC);
	while (atomic_load_explicit(&b->go, memory_order_relaxed) == 1 &&
	       !(b->writes && next == MILLION + EXTRA)) {
		uint64_t took;

		one_packet(b, &rnd, &next);
		now = read_clock(CLOCK_MONOTONIC);
		took = now - at;
		at = now;
		b->cnt++;
		if (took > LOOK_AT_NS || b->cnt % LOOK_EVERY == 0) {
			struct running more = read_running(b);
			bool lost = took > LOOK_AT_NS && was_lost(&seen, &more);

			seen = more;
			at = read_clock(CLOCK_MONOTONIC);
			if (lost) {
				b->taken_away++;
				continue;
			}
		}
		b->hist[took ? 63 - __builtin_clzll(took) : 0]++;
		if (took > b->worst)
			b->worst = took;
	}
	b->end = at;
	return NULL;
}

/* Upper bound of what all but one in @one_in samples stay below, nanoseconds. */
static uint64_t quantile(const struct beside *b, uint64_t one_in)
{
	uint64_t above = 0, allowed = b->cnt / one_in;

	for (int i = BUCKETS - 1; i >= 0; i--) {
		above += b->hist[i];
		if (above > allowed)
			return (UINT64_C(2) << i) - 1;
	}
	return 0;
}

static void run_beside(struct beside *b, bool writes)
{
	pthread_t thread;

	memset(b, 0, sizeof(*b));
	b->nat = new_table();
	b->writes = writes;
	if (pthread_getcpuclockid(pthread_self(), &b->other))
		bench_die("bench_nat", "no processor clock");
	if (pthread_create(&thread, NULL, measured, b))
		bench_die("bench_nat", "no thread");
	atomic_store_explicit(&b->go, 1, memory_order_release);
	while (mf_nat_expire(b->nat, LATER_NS, FREE_BUDGET) == FREE_BUDGET)
		;
	atomic_store_explicit(&b->go, 2, memory_order_release);
	pthread_join(thread, NULL);
	check_all_gone(b->nat);
	mf_nat_free(b->nat);
}

static void report_beside(const char *who, bool writes, unsigned rounds)
{
	double worst[ROUNDS_MAX], nearly[ROUNDS_MAX], rate[ROUNDS_MAX], lost[ROUNDS_MAX];
	char name[64];

	for (unsigned i = 0; i < rounds; i++) {
		struct beside b;

		run_beside(&b, writes);
		worst[i] = (double)b.worst / 1e3;
		nearly[i] = (double)quantile(&b, 10000) / 1e3;
		rate[i] = (double)b.cnt * 1e3 / (double)(b.end - b.begin);
		lost[i] = (double)b.taken_away;
	}
	snprintf(name, sizeof(name), "%s_max", who);
	bench_row(&rows, name, bench_median(worst, rounds), "us",
		  writes ? "longest insertion in another thread"
			 : "longest look-up in another thread");
	snprintf(name, sizeof(name), "%s_p9999", who);
	bench_row(&rows, name, bench_median(nearly, rounds), "us",
		  "all but one in 10,000 are shorter");
	snprintf(name, sizeof(name), "%s_rate", who);
	bench_row(&rows, name, bench_median(rate, rounds), "M/s", "how many meanwhile, wall time");
	snprintf(name, sizeof(name), "%s_lost", who);
	bench_row(&rows, name, bench_median(lost, rounds), "",
		  "samples left out: the kernel took the processor away");
}

int main(int argc, char **argv)
{
	unsigned rounds = 3;
	double worst[ROUNDS_MAX], total[ROUNDS_MAX];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			rows.json = true;
		else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
			rounds = (unsigned)atoi(argv[++i]);
		else
			bench_die("bench_nat", "usage: bench_nat [--json] [--rounds N]");
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		bench_die("bench_nat", "1 to 15 rounds");
	bench_begin(&rows);
	for (unsigned i = 0; i < rounds; i++)
		worst[i] = run_turns(&total[i]);
	bench_row(&rows, "turns_max", bench_median(worst, rounds), "us",
		  "longest wait of a packet, one thread by turns");
	bench_row(&rows, "turns_total", bench_median(total, rounds), "ms",
		  "until all have expired, packets included");
	report_beside("reader", false, rounds);
	report_beside("writer", true, rounds);
	bench_end(&rows);
	return 0;
}
