/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs_meta.c - what filesystems make of many small files: create and write 4 KiB, stat, open and read, rename, unlink
 *
 *	bench_fs_meta FILES DIR SERVER [DIR SERVER]...
 *
 * Every phase touches every file once, by its path from DIR, 100 files a directory; SERVER is the process that serves DIR, 0 for
 * none. The DIRs take turns with every hundred files, so that what else the machine does counts for all alike. Prints JSON, for each
 * DIR in order: phase: [operations a second of every hundred], and phase_cpu: [operations a second of processor time, of this process
 * and of SERVER].
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PER_DIR 100
#define SIZE	4096

static char block[SIZE];

static _Noreturn void fail(const char *what, const char *name)
{
	fprintf(stderr, "%s %s: %s\n", what, name, strerror(errno));
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		fail("cannot read", "a clock");
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds of processor time, of this process and of who serves it */
static double cpu(bool served, clockid_t server)
{
	return now(CLOCK_PROCESS_CPUTIME_ID) + (served ? now(server) : 0);
}

static void name_of(char *to, size_t room, int i, const char *kind)
{
	snprintf(to, room, "d%d/%s%d", i / PER_DIR, kind, i);
}

static void do_create(int i)
{
	char name[64];
	int fd;

	name_of(name, sizeof(name), i, "file");
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, block, SIZE) != SIZE || close(fd) < 0)
		fail("create", name);
}

static void do_stat(int i)
{
	struct stat st;
	char name[64];

	name_of(name, sizeof(name), i, "file");
	if (stat(name, &st) < 0 || st.st_size != SIZE)
		fail("stat", name);
}

static void do_read(int i)
{
	char name[64], buf[SIZE];
	int fd;

	name_of(name, sizeof(name), i, "file");
	fd = open(name, O_RDONLY);
	if (fd < 0 || read(fd, buf, SIZE) != SIZE || close(fd) < 0)
		fail("read", name);
}

static void do_rename(int i)
{
	char name[64], to[64];

	name_of(name, sizeof(name), i, "file");
	name_of(to, sizeof(to), i, "moved");
	if (rename(name, to) < 0)
		fail("rename", name);
}

static void do_unlink(int i)
{
	char name[64];

	name_of(name, sizeof(name), i, "moved");
	if (unlink(name) < 0)
		fail("unlink", name);
}

/* ---- turns ----------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(int i);
} phases[] = { { "create", do_create },
	       { "stat", do_stat },
	       { "open_read", do_read },
	       { "rename", do_rename },
	       { "unlink", do_unlink } };

#define PHASES (sizeof(phases) / sizeof(phases[0]))

struct place {
	int fd;
	bool served;
	clockid_t server;
	double *wall[PHASES], *cpu[PHASES]; /* of every turn */
};

static void open_place(struct place *p, const char *dir, const char *server, int turns)
{
	p->fd = open(dir, O_RDONLY | O_DIRECTORY);
	if (p->fd < 0)
		fail("cannot open", dir);
	p->served = strcmp(server, "0") != 0;
	errno = p->served ? clock_getcpuclockid(atoi(server), &p->server) : 0;
	if (errno)
		fail("no such process:", server);
	for (size_t i = 0; i < PHASES; i++) {
		p->wall[i] = calloc((size_t)turns, sizeof(double));
		p->cpu[i] = calloc((size_t)turns, sizeof(double));
		if (!p->wall[i] || !p->cpu[i])
			fail("no memory for", dir);
	}
}

static void turn(struct place *p, size_t phase, int d)
{
	double wall, used;

	if (fchdir(p->fd) < 0)
		fail("cannot go to", "a directory");
	wall = now(CLOCK_MONOTONIC);
	used = cpu(p->served, p->server);
	for (int i = 0; i < PER_DIR; i++)
		phases[phase].run(d * PER_DIR + i);
	p->wall[phase][d] = PER_DIR / (now(CLOCK_MONOTONIC) - wall);
	p->cpu[phase][d] = PER_DIR / (cpu(p->served, p->server) - used);
}

static void each_dir(struct place *p, int turns, int (*make)(const char *name))
{
	char name[64];

	if (fchdir(p->fd) < 0)
		fail("cannot go to", "a directory");
	for (int i = 0; i < turns; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		if (make(name) < 0)
			fail("directory", name);
	}
}

static int make_dir(const char *name)
{
	return mkdir(name, 0755);
}

static void print(const struct place *p, int turns)
{
	for (size_t i = 0; i < 2 * PHASES; i++) {
		const double *v = i % 2 ? p->cpu[i / 2] : p->wall[i / 2];

		printf("%s\"%s%s\": [", i ? ", " : "{", phases[i / 2].name, i % 2 ? "_cpu" : "");
		for (int d = 0; d < turns; d++)
			printf("%s%.0f", d ? ", " : "", v[d]);
		printf("]");
	}
	printf("}");
}

int main(int argc, char **argv)
{
	int turns = argc > 3 ? atoi(argv[1]) / PER_DIR : 0, cnt = (argc - 2) / 2;
	static struct place places[16];

	if (turns < 1 || cnt > 16 || argc != 2 + 2 * cnt) {
		fprintf(stderr, "usage: bench_fs_meta FILES DIR SERVER [DIR SERVER]...\n");
		return 2;
	}
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < cnt; i++) {
		open_place(&places[i], argv[2 + 2 * i], argv[3 + 2 * i], turns);
		each_dir(&places[i], turns, make_dir);
	}
	for (size_t phase = 0; phase < PHASES; phase++)
		for (int d = 0; d < turns; d++)
			for (int i = 0; i < cnt; i++)
				turn(&places[d % 2 ? cnt - 1 - i : i], phase, d);
	for (int i = 0; i < cnt; i++) {
		printf(i ? ",\n " : "[");
		print(&places[i], turns);
		each_dir(&places[i], turns, rmdir);
	}
	printf("]\n");
	return 0;
}
