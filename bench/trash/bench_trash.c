/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_trash.c - what keeping costs: files that go to the trash beside files that are unlinked, a large tree, a long list
 *
 *	bench_trash [--json] [--files N] [--dir DIR]
 *
 * Batches of 200 files of 4 KiB take turns: one is unlinked, one is put. Times are of the processor, the kernel's work
 * included, of the thread that waits; `all` has what the trash's own thread does afterwards (trashinfos) as well. What the
 * file system writes later is in neither. The trees have 100 and N (100,000) files; the list has N entries.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "fs/trash.h"

#define BATCH	200
#define BATCHES 50

static struct bench_report rows = { .name_width = 28, .value_width = 12, .decimals = 2 };
static char work[4096];

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void make_file(int dir, const char *name)
{
	static const char text[4096];
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, text, sizeof(text)) == (ssize_t)sizeof(text), name);
	close(fd);
}

static const char *name_of(unsigned n)
{
	static char name[32];

	snprintf(name, sizeof(name), "file%u.txt", n);
	return name;
}

static void put(struct mf_trash *t, int dir, const char *name, enum mf_trash_how how)
{
	char path[4096 + 64], token[MF_TRASH_TOKEN_MAX];
	struct mf_trash_loss loss = { .how = how,
				      .path = path,
				      .session = "bench",
				      .process = "bench_trash",
				      .policy = "bench",
				      .rule = "line 1" };

	snprintf(path, sizeof(path), "%s/%s", work, name);
	must(mf_trash_put(t, dir, name, &loss, token) == 0, "put");
}

static uint64_t process_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Microseconds of one file, for each batch; *@ret_all: of all threads */
static double batch(struct mf_trash *t, int dir, int how, double *ret_all)
{
	uint64_t begin, begin_all;
	double mine;

	for (unsigned i = 0; i < BATCH; i++)
		make_file(dir, name_of(i));
	mf_trash_drain(t);
	begin_all = process_ns();
	begin = bench_cpu_ns();
	for (unsigned i = 0; i < BATCH; i++) {
		if (how >= 0)
			put(t, dir, name_of(i), (enum mf_trash_how)how);
		if (how != MF_TRASH_MOVE)
			must(unlinkat(dir, name_of(i), 0) == 0, "unlink");
	}
	mine = (double)(bench_cpu_ns() - begin) / BATCH / 1000;
	mf_trash_drain(t);
	*ret_all = (double)(process_ns() - begin_all) / BATCH / 1000;
	return mine;
}

static void compare(struct mf_trash *t, int dir)
{
	double plain[BATCHES], move[BATCHES], more[BATCHES], link[BATCHES], all[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++) {
		double unused, all_plain;

		plain[i] = batch(t, dir, -1, &all_plain);
		move[i] = batch(t, dir, MF_TRASH_MOVE, &all[i]);
		link[i] = batch(t, dir, MF_TRASH_LINK, &unused);
		more[i] = move[i] - plain[i];
		all[i] -= all_plain;
	}
	bench_row(&rows, "unlink", bench_median(plain, BATCHES), "us", "unlink of a file of 4 KiB");
	bench_row(&rows, "put", bench_median(move, BATCHES), "us",
		  "the same file put to the trash");
	bench_row(&rows, "put_more", bench_median(more, BATCHES), "us",
		  "the difference, of neighbouring batches");
	bench_row(&rows, "put_more_all", bench_median(all, BATCHES), "us",
		  "the same of all threads: with the trashinfos");
	bench_row(&rows, "put_link", bench_median(link, BATCHES), "us",
		  "linked there before it is replaced, the unlink included");
}

static double put_tree(struct mf_trash *t, int dir, const char *name, unsigned files)
{
	uint64_t begin;
	int fd;

	must(mkdirat(dir, name, 0755) == 0, name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0, name);
	for (unsigned i = 0; i < files; i++) {
		int one = openat(fd, name_of(i), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		must(one >= 0, "tree");
		close(one);
	}
	close(fd);
	begin = bench_cpu_ns();
	put(t, dir, name, MF_TRASH_MOVE);
	return (double)(bench_cpu_ns() - begin) / 1000;
}

static int count(void *ctx, const struct mf_trash_entry *e)
{
	(void)e;
	++*(uint64_t *)ctx;
	return 0;
}

static void list(struct mf_trash *t, int dir, unsigned files)
{
	uint64_t begin, cnt = 0;
	struct mf_err err;

	for (unsigned i = 0; i < files; i++) {
		int one = openat(dir, name_of(i), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		must(one >= 0, "list");
		close(one);
		put(t, dir, name_of(i), MF_TRASH_MOVE);
	}
	begin = bench_cpu_ns();
	must(mf_trash_list(t, &(struct mf_trash_filter){ 0 }, count, &cnt, &err) == 0, "list");
	must(cnt >= files, "list");
	bench_row(&rows, "list", (double)(bench_cpu_ns() - begin) / (double)cnt / 1000, "us",
		  "listing, an entry");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	const char *base = getenv("TMPDIR");
	unsigned files = 100000;
	char top[2048], trash[4096];
	struct mf_trash *t;
	struct mf_err err = { 0 };
	int dir;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			rows.json = true;
		else if (strcmp(argv[i], "--files") == 0 && i + 1 < argc)
			files = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
			base = argv[++i];
	}
	snprintf(top, sizeof(top), "%s/bench-trash.XXXXXX", base ? base : "/tmp");
	must(mkdtemp(top) != NULL, top);
	snprintf(work, sizeof(work), "%s/work", top);
	snprintf(trash, sizeof(trash), "%s/Trash", top);
	must(mkdir(work, 0755) == 0, work);
	dir = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mf_trash_open(&(struct mf_trash_options){ .dir = trash, .background = true }, &t,
			  &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	bench_begin(&rows);
	compare(t, dir);
	bench_row(&rows, "tree_small", put_tree(t, dir, "small", 100), "us", "a tree of 100 files");
	bench_row(&rows, "tree_large", put_tree(t, dir, "large", files), "us", "a tree of N files");
	list(t, dir, files);
	bench_end(&rows);
	mf_trash_close(t);
	close(dir);
	nftw(top, remove_one, 64, FTW_DEPTH | FTW_PHYS);
	return 0;
}
