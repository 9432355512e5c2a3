/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs_meta.c - what a filesystem makes of many small files: create and write 4 KiB, stat, open and read, rename, unlink
 *
 *	bench_fs_meta DIR [FILES]
 *
 * Every phase touches every file once, by its path from DIR, 100 files a directory. Prints JSON: phase: operations a second.
 */
#include <errno.h>
#include <fcntl.h>
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

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(int i);
	} phases[] = { { "create", do_create },
		       { "stat", do_stat },
		       { "open_read", do_read },
		       { "rename", do_rename },
		       { "unlink", do_unlink } };
	int files = argc > 2 ? atoi(argv[2]) : 20000;
	char name[64];

	if (argc < 2 || chdir(argv[1]) < 0)
		fail("cannot go to", argc < 2 ? "DIR" : argv[1]);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i * PER_DIR < files; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		if (mkdir(name, 0755) < 0)
			fail("mkdir", name);
	}
	printf("{");
	for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
		double begin = now();

		for (int i = 0; i < files; i++)
			phases[p].run(i);
		printf("%s\"%s\": %.0f", p ? ", " : "", phases[p].name, files / (now() - begin));
	}
	printf("}\n");
	for (int i = 0; i * PER_DIR < files; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		if (rmdir(name) < 0)
			fail("rmdir", name);
	}
	return 0;
}
