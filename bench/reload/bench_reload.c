/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_reload.c - what decisions notice of reloads: one thread decides without a pause, another reloads
 *
 *	bench_reload [--json] --rounds N POLICY-A POLICY-B
 *
 * The two policies (directories with lists, say) are loaded by turns. Between reloads is a phase of the same length in which nothing is
 * reloaded: what it shows is the machine. Each decision is timed; a decision is for one of 4,096 names, half of them listed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/clock.h"

#include <moonfence/moonfence.h>

#define ASKS  4096u
#define CELLS 200000u /* of a histogram, 100 ns each */

enum phase { QUIET, RELOAD, END, PHASES };

struct result {
	uint64_t cnt, longest_ns;
	uint32_t cells[CELLS];
	long faults, switched; /* pages, and the processor, that were taken from the thread */
};

static struct result results[END];
static _Atomic enum phase phase;
static struct mf_runtime *rt;

static uint64_t now(void)
{
	return mf_clock_now(&mf_clock_system);
}

static void fail(const char *what, const struct mf_err *err)
{
	fprintf(stderr, "bench_reload: %s: %s: %s\n", what, err->file, err->msg);
	exit(1);
}

static void *decide(void *arg)
{
	static struct mf_request *reqs[ASKS];
	struct mf_decision d = MF_DECISION_INIT;
	struct rusage before, after;
	struct mf_vm *vm = arg;
	char name[64];

	for (unsigned i = 0; i < ASKS; i++) {
		int n = snprintf(name, sizeof(name), "www.n%u.%s", i * 244,
				 i % 2 ? "bad.example" : "good.example");

		reqs[i] = mf_request_new(MF_DNS);
		if (!reqs[i] || mf_request_set_str(reqs[i], MF_F_NAME, name, (size_t)n) < 0)
			abort();
	}
	for (unsigned i = 0;; i++) {
		enum phase p = atomic_load(&phase);
		struct result *r = &results[p];
		uint64_t start, ns;

		if (p == END)
			return NULL;
		/* Whose fault a long one is, is asked outside of the time that is measured. */
		getrusage(RUSAGE_THREAD, &before);
		for (unsigned k = 0; k < 64; k++) {
			start = now();
			(void)mf_decide(vm, reqs[(i * 64 + k) % ASKS], &d);
			ns = now() - start;
			r->cnt++;
			r->cells[ns / 100 < CELLS ? ns / 100 : CELLS - 1]++;
			if (ns > r->longest_ns)
				r->longest_ns = ns;
		}
		getrusage(RUSAGE_THREAD, &after);
		r->faults +=
			after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt;
		r->switched += after.ru_nivcsw - before.ru_nivcsw;
	}
}

static double quantile_us(const struct result *r, double q)
{
	uint64_t left = (uint64_t)((double)r->cnt * q);

	for (unsigned i = 0; i < CELLS; i++) {
		if (left <= r->cells[i])
			return (i + 1) / 10.0;
		left -= r->cells[i];
	}
	return CELLS / 10.0;
}

int main(int argc, char **argv)
{
	struct mf_runtime_options options = { .size = sizeof(options),
					      .load_time_limit_ms = 60000 };
	unsigned rounds = 10;
	const char *paths[2] = { NULL, NULL };
	struct mf_err err = { 0 };
	uint64_t start, took = 0;
	struct mf_vm *vm;
	pthread_t thread;

	for (int i = 1, n = 0; i < argc; i++) {
		if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
			rounds = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--json") != 0 && n < 2)
			paths[n++] = argv[i];
	}
	if (!paths[1]) {
		fprintf(stderr, "bench_reload: two policies are wanted\n");
		return 2;
	}
	if (mf_runtime_new(&options, &rt, &err) < 0 ||
	    mf_runtime_load(rt, &paths[0], 1, &err) < 0 || mf_vm_new(rt, &vm, &err) < 0)
		fail("load", &err);
	if (pthread_create(&thread, NULL, decide, vm) != 0)
		return 1;
	for (unsigned i = 1; i <= rounds; i++) {
		struct timespec pause;

		atomic_store(&phase, RELOAD);
		start = now();
		if (mf_runtime_load(rt, &paths[i % 2], 1, &err) < 0)
			fail("reload", &err);
		start = now() - start;
		took += start;
		/* The adoption and what is freed after it belong to the reload. */
		pause = (struct timespec){ .tv_nsec = 20000000 };
		nanosleep(&pause, NULL);
		atomic_store(&phase, QUIET);
		pause = (struct timespec){ (time_t)(start / MF_NS_PER_S),
					   (long)(start % MF_NS_PER_S) };
		nanosleep(&pause, NULL);
	}
	atomic_store(&phase, END);
	pthread_join(thread, NULL);
	printf("{\"reload_ms\": %.1f", (double)took / rounds / 1e6);
	for (int p = 0; p < END; p++) {
		const struct result *r = &results[p];
		const char *name = p == RELOAD ? "reload" : "quiet";

		printf(",\n \"%s_decisions\": %llu, \"%s_p999_us\": %.1f, \"%s_longest_us\": %.1f, "
		       "\"%s_faults\": %ld, \"%s_switched\": %ld",
		       name, (unsigned long long)r->cnt, name, quantile_us(r, 0.999), name,
		       (double)r->longest_ns / 1e3, name, r->faults, name, r->switched);
	}
	printf("}\n");
	mf_vm_free(vm);
	mf_runtime_free(rt);
	return 0;
}
