/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_fs_judge.c - operations of any kind on any path, with any answers of a policy: what is decided is the strictest of them,
 * and its strings outlive the questions after it
 *
 * Input: records of an operation, flags, what to do with it, a length and a path of that many bytes; the first one begins.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fs/policy_fs.h"

enum { RECORDS = 6, TARGET_ROOM = 3000 };

static struct mf_fs_judge *judge;
static struct mf_policy_fs *pfs;
static struct mf_events *events;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void on_event(void *ctx, const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	(void)ctx;
	must(j && !memchr(line, '\n', len > 0 && line[len - 1] == '\n' ? len - 1 : len));
	json_decref(j);
}

static int find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret)
{
	(void)ctx;
	*ret = (struct mf_process){ .pid = caller->pid, .name = "fuzz" };
	return 0;
}

static void start(void)
{
	static struct mf_runtime *runtime;
	const char *path = MF_SOURCE_DIR "/tests/fuzz/fs/judge.lua";
	struct mf_runtime_options o = { .size = sizeof(o),
					.stdlib_dir = MF_SOURCE_DIR "/lua/stdlib" };
	struct mf_err err = { 0 };

	must(mf_runtime_new(&o, &runtime, &err) == 0);
	must(mf_runtime_load(runtime, &path, 1, &err) == 0);
	must(mf_events_new(&(struct mf_events_options){ .linger_ms = 0 }, &events, &err) == 0);
	must(mf_events_add_callback(events, on_event, NULL, "fuzz", &err) == 0);
	must(mf_fs_judge_new(&(struct mf_fs_judge_options){ .runtime = runtime,
							    .session_id = "s",
							    .source = "fuzz",
							    .seats = 2,
							    .find_process = find_process },
			     &judge, &err) == 0);
	must(mf_policy_fs_new(judge, events, "s", "fuzz", &pfs, &err) == 0);
}

/* What judge.lua answers. */
struct answer {
	enum mf_fs_do what;
	int error, rank;
	bool hash, cow, keeps, caller; /* caller: it depends on who asks */
	const char *word;
	char target[TARGET_ROOM];
};

static void model(const struct mf_fs_question *q, const char *word, struct answer *a)
{
	size_t at = 1 + ((uint8_t)word[0] + strlen(word)) % 7;
	unsigned n = at < q->path_len ? (uint8_t)q->path[at] % 12 : 3;
	bool loses = mf_fs_op_info(q->op)->loss != MF_FS_LOSES_NOTHING;

	*a = (struct answer){ .what = MF_FS_DO, .word = word, .caller = n >= 10 };
	if (n == 10)
		n = q->caller->pid == 7 ? 0 : 3;
	if (n == 11 && q->caller->uid == 7)
		n = 2;
	if (n == 2)
		a->rank = 1;
	if (n == 3 || n == 4 || n == 9) {
		a->what = MF_FS_REFUSE;
		a->error = n == 4 ? 30 : 13;
		a->rank = 4;
	}
	if (n == 5 || n == 6) {
		a->what = loses ? MF_FS_TRASH : MF_FS_DO;
		a->rank = loses ? 3 : 0;
		a->hash = n == 6;
		a->keeps = !loses && strcmp(word, "write") == 0;
	}
	if (n == 7 || n == 8 || n == 11) {
		a->what = MF_FS_ELSEWHERE;
		a->rank = 3;
		a->cow = n == 8;
		if (n == 11) {
			memcpy(a->target, "/u", 3);
		} else {
			memcpy(a->target, "/t", 2);
			for (size_t i = 0; i < q->path_len; i++)
				a->target[2 + i] = strchr("/.", q->path[i]) ? '_' : q->path[i];
		}
	}
}

static void stricter(struct answer *all, const struct answer *one)
{
	bool keeps = all->keeps || one->keeps, caller = all->caller || one->caller;

	if (one->rank >= all->rank)
		*all = *one;
	all->keeps = keeps;
	all->caller = caller;
}

static void expect(const struct mf_fs_question *q, struct answer *all)
{
	const struct mf_fs_op_info *info = mf_fs_op_info(q->op);
	struct answer one;

	model(q, info->words[0], all);
	for (int i = 1; i < MF_FS_WORDS_MAX && info->words[i] && all->what != MF_FS_REFUSE; i++) {
		model(q, info->words[i], &one);
		stricter(all, &one);
	}
}

static void compare(const struct mf_fs_verdict *v, const struct answer *a)
{
	const char *texts[] = { v->d.policy, v->d.rule, v->d.reason, v->d.message };

	must(v->what == a->what && v->error == a->error && strcmp(v->word, a->word) == 0);
	must(v->what != MF_FS_TRASH || v->hash == a->hash);
	must(v->keeps == a->keeps && v->generation == 1 && v->plain == (a->rank == 0));
	must(!a->caller || v->cache_ns == 0);
	if (v->what == MF_FS_ELSEWHERE)
		must(v->cow == a->cow && strcmp(v->d.path_target, a->target) == 0);
	must(v->d.policy && strcmp(v->d.policy, "judge") == 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		must(!texts[i] || strlen(texts[i]) < 64);
}

/* Return: q->path, to be freed; NULL: there is no more */
static char *take(const uint8_t **at, const uint8_t *end, struct mf_fs_question *q,
		  uint8_t *ret_control)
{
	static const struct mf_fs_caller callers[] = {
		{ 7, 7, 7 }, { 7, 8, 8 }, { 8, 7, 7 }, { -1, -1, -1 }
	};
	const uint8_t *p = *at;
	size_t len;
	char *path;

	if (end - p < 5)
		return NULL;
	*q = (struct mf_fs_question){ .op = (enum mf_fs_op)(p[0] % MF_FS_OP_NUM),
				      .flags = p[1],
				      .size = p[1] % 3 - 1,
				      .caller = &callers[p[2] >> 2 & 3] };
	*ret_control = p[2];
	len = (size_t)(p[3] | p[4] << 8) % (TARGET_ROOM - 4);
	p += 5;
	if (len > (size_t)(end - p))
		len = (size_t)(end - p);
	// As front ends have it: no zero, no empty component, none that is one dot or two. It is of its length exactly.
	path = malloc(len + 1);
	must(path);
	path[0] = '/';
	for (size_t i = 0; i < len; i++) {
		char c = (char)(p[i] ? p[i] : 1);
		bool begins = path[i] == '/', ends = i + 1 == len;

		path[1 + i] = (c == '.' && begins) || (c == '/' && (begins || ends)) ? '_' : c;
	}
	q->path = path;
	q->path_len = len + 1;
	*at = p + len;
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size;
	char *paths[RECORDS];
	struct mf_policy_fs_stats before, after;
	struct mf_fs_question q;
	struct mf_fs_act a = { 0 };
	struct answer all, one;
	unsigned cnt = 0;
	uint8_t control;
	int r, result;

	if (!judge)
		start();
	paths[cnt] = take(&at, end, &a.q, &control);
	if (!paths[cnt++])
		return 0;
	mf_policy_fs_get_stats(pfs, &before);
	r = mf_policy_fs_begin(pfs, &a);
	expect(&a.q, &all);
	compare(&a.verdict, &all);
	must(r == -all.error);
	result = control & 64 ? -2 : 0;
	a.token = control & 128 ? "0123456789abcdefghijklmnopqrstuv0123456" : NULL;
	a.observed = control & 32;
	while (all.what != MF_FS_REFUSE && cnt < RECORDS &&
	       (paths[cnt] = take(&at, end, &q, &control))) {
		bool hash = false;

		cnt++;
		if (control & 16) {
			a.q.target = q.path;
			a.q.target_len = q.path_len;
		}
		switch (control & 3) {
		case 0:
			expect(&q, &one);
			must(mf_policy_fs_refuses(pfs, &a, &q) == (one.what == MF_FS_REFUSE));
			break;
		case 1:
			q.op = MF_FS_UNLINK;
			q.path = a.q.path;
			q.path_len = a.q.path_len;
			q.caller = a.q.caller;
			expect(&q, &one);
			must(mf_policy_fs_keeps(pfs, &a, &hash) == (one.what == MF_FS_TRASH));
			must(one.what != MF_FS_TRASH || hash == one.hash);
			break;
		default:
			expect(&q, &one);
			stricter(&all, &one);
			must(mf_policy_fs_also(pfs, &a, &q) == -all.error);
			break;
		}
		compare(&a.verdict, &all);
	}
	mf_policy_fs_end(pfs, &a, all.what == MF_FS_REFUSE ? -all.error : result);
	mf_policy_fs_get_stats(pfs, &after);
	must(!a.seat && after.asked == before.asked + cnt);
	must(after.refused - before.refused == (all.what == MF_FS_REFUSE));
	while (cnt)
		free(paths[--cnt]);
	return 0;
}
