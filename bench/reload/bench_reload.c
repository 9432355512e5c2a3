/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_reload.c - what decisions notice of reloads: one thread decides without a pause, another reloads
 *
 *	bench_reload [--json] [--equal] --rounds N POLICY-A POLICY-B
 *
 * The two policies (directories with lists, say) are loaded by turns. Between reloads is a phase of the same length in which nothing is
 * reloaded: what it shows is the machine. Each decision is timed; a decision is for one of 4,096 names, half of them listed.
 *
 * The loader gives way (core/base/thread.h) as those of the daemon, the watch and sessions do; --equal: it does not.
 *
 * Whose a long one is: "longest" is what a client sees. "waited" is how long, in the 64 decisions around it, the thread was ready and
 * had no processor, as the kernel counts it (/proc/thread-self/schedstat, run_delay): the machine's, and the loader's where it does
 * not give way. "running" is the longest decision with that taken off: what the reload itself costs - page faults, adoption, caches.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/thread.h"

#include <moonfence/moonfence.h>

#define ASKS  4096u
#define CELLS 200000u /* of a histogram, 100 ns each */

enum phase { QUIET, RELOAD, END, PHASES };

struct result {
	uint64_t cnt, longest_ns;
	uint32_t cells[CELLS];
	uint64_t waited_ns, running_ns; /* around the longest; the longest without waiting */
	uint64_t all_waited_ns;
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

/* Nanoseconds that this thread was ready and did not run; 0 where the system does not count them. */
static uint64_t waited(int fd)
{
	unsigned long long ran = 0, waited_ns = 0;
	char text[128];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%llu %llu", &ran, &waited_ns) == 2 ? waited_ns : 0;
}

static void note_batch(struct result *r, uint64_t longest, uint64_t wait)
{
	uint64_t running = longest > wait ? longest - wait : 0;

	r->all_waited_ns += wait;
	if (running > r->running_ns)
		r->running_ns = running;
	if (longest > r->longest_ns) {
		r->longest_ns = longest;
		r->waited_ns = wait < longest ? wait : longest;
	}
}

static void *decide(void *arg)
{
	static struct mf_request *reqs[ASKS];
	struct mf_decision d = MF_DECISION_INIT;
	struct rusage before, after;
	struct mf_vm *vm = arg;
	int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
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
		uint64_t start, ns, longest = 0, wait;

		if (p == END)
			break;
		/* Whose fault a long one is, is asked outside of the time that is measured. */
		getrusage(RUSAGE_THREAD, &before);
		wait = waited(schedstat);
		for (unsigned k = 0; k < 64; k++) {
			start = now();
			(void)mf_decide(vm, reqs[(i * 64 + k) % ASKS], &d);
			ns = now() - start;
			r->cnt++;
			r->cells[ns / 100 < CELLS ? ns / 100 : CELLS - 1]++;
			if (ns > longest)
				longest = ns;
		}
		note_batch(r, longest, waited(schedstat) - wait);
		getrusage(RUSAGE_THREAD, &after);
		r->faults +=
			after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt;
		r->switched += after.ru_nivcsw - before.ru_nivcsw;
	}
	if (schedstat >= 0)
		close(schedstat);
	return NULL;
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
	bool equal = false;
	const char *paths[2] = { NULL, NULL };
	struct mf_err err = { 0 };
	uint64_t start, took = 0;
	struct mf_vm *vm;
	pthread_t thread;

	for (int i = 1, n = 0; i < argc; i++) {
		if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
			rounds = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--equal") == 0)
			equal = true;
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
	if (!equal)
		mf_thread_give_way();
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
		       "\"%s_longest_waited_us\": %.1f, \"%s_longest_running_us\": %.1f, "
		       "\"%s_waited_ms\": %.1f, \"%s_faults\": %ld, \"%s_switched\": %ld",
		       name, (unsigned long long)r->cnt, name, quantile_us(r, 0.999), name,
		       (double)r->longest_ns / 1e3, name, (double)r->waited_ns / 1e3, name,
		       (double)r->running_ns / 1e3, name, (double)r->all_waited_ns / 1e6, name,
		       r->faults, name, r->switched);
	}
	printf("}\n");
	mf_vm_free(vm);
	mf_runtime_free(rt);
	return 0;
}
