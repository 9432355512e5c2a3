/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs_ask.c - one question after the other through a mount that keeps no attributes: fstat() of 1,000 files in random order
 *
 *	bench_fs_ask DIR SERVER [CALLS]
 *
 * Prints JSON: microseconds a call on the wall, and of the process SERVER's processor time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define PROGRAM "bench_fs_ask"
#define FILES	1000

static double us(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		bench_die(PROGRAM, "the server has gone");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	static int fds[FILES];
	uint64_t rng = BENCH_RANDOM_SEED;
	int calls = argc > 3 ? atoi(argv[3]) : 50000;
	double wall, cpu;
	clockid_t server;
	char name[32];

	if (argc < 3 || chdir(argv[1]) < 0 || clock_getcpuclockid(atoi(argv[2]), &server) != 0 ||
	    calls < 1)
		bench_die(PROGRAM, "usage: bench_fs_ask DIR SERVER [CALLS]");
	for (int i = 0; i < FILES; i++) {
		int fd;

		snprintf(name, sizeof(name), "file%d", i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			bench_die(PROGRAM, strerror(errno));
		close(fd);
		fds[i] = open(name, O_PATH);
		if (fds[i] < 0)
			bench_die(PROGRAM, strerror(errno));
	}
	for (int round = 0; round < 2; round++) { // the first is not measured
		wall = us(CLOCK_MONOTONIC);
		cpu = us(server);
		for (int i = 0; i < (round ? calls : 2 * FILES); i++) {
			struct stat st;

			if (fstat(fds[bench_random32(&rng) % FILES], &st) < 0)
				bench_die(PROGRAM, strerror(errno));
		}
		wall = us(CLOCK_MONOTONIC) - wall;
		cpu = us(server) - cpu;
	}
	printf("{\"ask_us\": %.3f, \"ask_cpu_us\": %.3f}\n", wall / calls, cpu / calls);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		(void)unlink(name);
	}
	return 0;
}
