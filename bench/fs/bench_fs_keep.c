/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs_keep.c - what a deleted file costs more when it is kept: through a mount whose policy keeps what is called "kept..."
 *
 *	bench_fs_keep DIR SERVER [BATCHES]
 *
 * Batches of 100 files of 4 KiB take turns: one is unlinked, one is unlinked and kept. Prints JSON, medians in microseconds a file:
 * wall time, and processor time of this process and of the process SERVER, whose own threads write trashinfos meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define PROGRAM	    "bench_fs_keep"
#define BATCH	    100
#define BATCHES_MAX 1000

static clockid_t server;

static double us(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		bench_die(PROGRAM, "the server has gone");
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void make_files(const char *kind)
{
	static const char text[4096];
	char name[64];

	for (int i = 0; i < BATCH; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s%d", kind, i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text) || close(fd) < 0)
			bench_die(PROGRAM, strerror(errno));
	}
}

/* Microseconds of one file, on the wall and of processors */
static void remove_files(const char *kind, double *ret_wall, double *ret_cpu)
{
	double cpu = us(CLOCK_PROCESS_CPUTIME_ID) + us(server), wall = us(CLOCK_MONOTONIC);
	char name[64];

	for (int i = 0; i < BATCH; i++) {
		snprintf(name, sizeof(name), "%s%d", kind, i);
		if (unlink(name) < 0)
			bench_die(PROGRAM, strerror(errno));
	}
	*ret_wall = (us(CLOCK_MONOTONIC) - wall) / BATCH;
	*ret_cpu = (us(CLOCK_PROCESS_CPUTIME_ID) + us(server) - cpu) / BATCH;
}

int main(int argc, char **argv)
{
	static double plain[BATCHES_MAX], kept[BATCHES_MAX], more[BATCHES_MAX], cpu[BATCHES_MAX];
	int batches = argc > 3 ? atoi(argv[3]) : 50;

	if (argc < 3 || chdir(argv[1]) < 0 || clock_getcpuclockid(atoi(argv[2]), &server) != 0 ||
	    batches < 1 || batches > BATCHES_MAX)
		bench_die(PROGRAM, "usage: bench_fs_keep DIR SERVER [BATCHES]");
	for (int i = 0; i < batches; i++) {
		double cpu_plain, cpu_kept;

		make_files("plain");
		make_files("kept");
		if (i % 2 == 0)
			remove_files("plain", &plain[i], &cpu_plain);
		remove_files("kept", &kept[i], &cpu_kept);
		if (i % 2)
			remove_files("plain", &plain[i], &cpu_plain);
		more[i] = kept[i] - plain[i];
		cpu[i] = cpu_kept - cpu_plain;
	}
	printf("{\"unlink_us\": %.2f, \"keep_us\": %.2f, \"more_us\": %.2f, \"more_cpu_us\": "
	       "%.2f}\n",
	       bench_median(plain, (size_t)batches), bench_median(kept, (size_t)batches),
	       bench_median(more, (size_t)batches), bench_median(cpu, (size_t)batches));
	return 0;
}
