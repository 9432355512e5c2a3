/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_fs_policy.c - what a file operation pays for being asked about: mf_policy_fs_begin() and _end(), without the operation
 *
 *	bench_fs_policy [--json] [--policy FILE]
 *
 * Paths lie in /workspace/dirN/fileN, and stat, open for reading, create and unlink are asked by turns. Rows, in processor time
 * an operation (create and open have two words each, the others one):
 *
 *	found      again and again about 64 files
 *	found_1k   about 1,024 files in random order
 *	new        never asked about before: rules and hook, or Lua
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <moonfence/moonfence.h>

#include "bench/bench.h"
#include "core/base/err.h"
#include "fs/policy_fs.h"

#define PROGRAM "bench_fs_policy"
#define ASKED	200000
#define BATCHES 15

static struct bench_report rows = { .name_width = 16, .value_width = 10, .decimals = 1 };
static const struct mf_fs_caller caller = { 1234, 1000, 1000 };

struct bench {
	struct mf_runtime *rt;
	struct mf_fs_judge *judge;
	struct mf_policy_fs *pfs;
	uint64_t rng;
	unsigned made; /* names that nobody has asked about are made from it */
};

static void ask(struct bench *b, enum mf_fs_op op, const char *path, int len)
{
	struct mf_fs_act a;
	int r;

	mf_fs_act_init(&a, &(struct mf_fs_question){ .op = op,
						     .path = path,
						     .path_len = (size_t)len,
						     .size = -1,
						     .caller = &caller });
	r = mf_policy_fs_begin(b->pfs, &a);
	mf_policy_fs_end(b->pfs, &a, r);
}

struct paths {
	char (*text)[48];
	int *len;
	unsigned cnt;
};

static void make_paths(struct paths *p, unsigned cnt, unsigned from)
{
	p->text = malloc(cnt * sizeof(*p->text));
	p->len = malloc(cnt * sizeof(*p->len));
	p->cnt = cnt;
	if (!p->text || !p->len)
		bench_die(PROGRAM, "out of memory");
	for (unsigned i = 0; i < cnt; i++)
		p->len[i] = snprintf(p->text[i], sizeof(p->text[i]), "/workspace/dir%u/file%u",
				     (from + i) / 100, from + i);
}

static void free_paths(struct paths *p)
{
	free(p->text);
	free(p->len);
}

static const enum mf_fs_op ops[] = { MF_FS_GETATTR, MF_FS_OPEN_READ, MF_FS_CREATE_WRITE,
				     MF_FS_UNLINK };

/* Nanoseconds an operation; @once: every path is asked about one time for each operation */
static double turn(struct bench *b, const struct paths *p, bool once)
{
	unsigned cnt = once ? p->cnt * 4 : ASKED;
	uint64_t begin = bench_cpu_ns();

	for (unsigned i = 0; i < cnt; i++) {
		unsigned at = once ? i / 4 : bench_random32(&b->rng) % p->cnt;

		ask(b, ops[i % 4], p->text[at], p->len[at]);
	}
	return (double)(bench_cpu_ns() - begin) / cnt;
}

static void found(struct bench *b, const char *name, unsigned files, const char *text)
{
	double ns[BATCHES];
	struct paths p;

	make_paths(&p, files, 0);
	(void)turn(b, &p, true);
	for (unsigned i = 0; i < BATCHES; i++)
		ns[i] = turn(b, &p, false);
	bench_row(&rows, name, bench_median(ns, BATCHES), "ns", text);
	free_paths(&p);
}

static void unseen(struct bench *b)
{
	double ns[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++) {
		struct paths p;

		b->made += 5000;
		make_paths(&p, 5000, b->made);
		ns[i] = turn(b, &p, true);
		free_paths(&p);
	}
	bench_row(&rows, "new", bench_median(ns, BATCHES), "ns", "never asked about before");
}

int main(int argc, char **argv)
{
	const char *policy = MF_BENCH_DIR "/../decide/policy.lua";
	struct bench b = { .rng = BENCH_RANDOM_SEED, .made = 1000000 };
	struct mf_err err = { 0 };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			rows.json = true;
		else if (strcmp(argv[i], "--policy") == 0 && i + 1 < argc)
			policy = argv[++i];
		else
			bench_die(PROGRAM, "usage: bench_fs_policy [--json] [--policy FILE]");
	}
	if (mf_runtime_new(NULL, &b.rt, &err) < 0 || mf_runtime_load(b.rt, &policy, 1, &err) < 0 ||
	    mf_fs_judge_new(
		    &(struct mf_fs_judge_options){
			    .runtime = b.rt, .session_id = "bench", .source = "mount", .seats = 2 },
		    &b.judge, &err) < 0 ||
	    mf_policy_fs_new(b.judge, NULL, "bench", "mount", &b.pfs, &err) < 0)
		bench_die(PROGRAM, err.msg);
	bench_begin(&rows);
	found(&b, "found", 64, "asked about 64 files again and again");
	found(&b, "found_1k", 1024, "asked about 1,024 files in random order");
	unseen(&b);
	bench_end(&rows);
	mf_policy_fs_free(b.pfs);
	mf_fs_judge_free(b.judge);
	mf_runtime_free(b.rt);
	return 0;
}
