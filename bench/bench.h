/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - what the benchmarks of the core share: rows of figures as text or JSON, medians, time of a core, random order */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/** struct bench_report - Where rows go: aligned text, or one JSON array as bench/run.py reads it */
struct bench_report {
	bool json;
	int name_width, value_width, decimals; /* of the text */
	bool begun;
};

static inline void bench_begin(struct bench_report *r)
{
	if (r->json)
		printf("[");
}

static inline void bench_row(struct bench_report *r, const char *name, double value,
			     const char *unit, const char *text)
{
	if (r->json)
		printf("%s\n  {\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"text\": "
		       "\"%s\"}",
		       r->begun ? "," : "", name, value, unit, text);
	else
		printf("%-*s %*.*f %-10s %s\n", r->name_width, name, r->value_width, r->decimals,
		       value, unit, text);
	r->begun = true;
}

static inline void bench_end(struct bench_report *r)
{
	if (r->json)
		printf("\n]\n");
}

static inline int bench_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/** bench_median() - Median of @cnt values, at least one; sorts @v */
static inline double bench_median(double *v, size_t cnt)
{
	qsort(v, cnt, sizeof(*v), bench_by_value);
	return v[cnt / 2];
}

/** bench_cpu_ns() - Time that this thread had a core: what else the machine does counts little */
static inline uint64_t bench_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/** bench_rate() - How often a second of processor time @work is done: the median of nine repetitions in @seconds */
static inline double bench_rate(void (*work)(void), double seconds)
{
	double reps[9];

	work();
	for (unsigned r = 0; r < 9; r++) {
		uint64_t begun = bench_cpu_ns(), at = begun, rounds = 0;

		do {
			for (unsigned i = 0; i < 16; i++)
				work();
			rounds += 16;
			at = bench_cpu_ns();
		} while ((double)(at - begun) < seconds * 1e9 / 9);
		reps[r] = (double)rounds * 1e9 / (double)(at - begun);
	}
	return bench_median(reps, 9);
}

#define BENCH_RANDOM_SEED 88172645463325252u

/** bench_random32() - The next number of xorshift64: the same sequence in every run; @state begins as BENCH_RANDOM_SEED */
static inline uint32_t bench_random32(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

/** bench_die() - Say that @program could not measure, and why, and end */
_Noreturn static inline void bench_die(const char *program, const char *what)
{
	fprintf(stderr, "%s: %s\n", program, what);
	exit(1);
}
