/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - the questions that file operations are to the policies
 *
 * How it works
 *
 * An operation takes a seat (mf_fs_judge_sit()): a VM and a request of its own, kept for as long as the operation takes,
 * so that what was decided may be borrowed until it ends. Seats are a stack: the one that was used last has the warmest
 * caches. Any thread may take one; no state belongs to a thread (WinFsp's threads are not ours). When all are taken the
 * caller waits for one.
 *
 * mf_fs_judge_ask() asks every word of the operation (fs_op.h) and keeps the strictest answer: deny 4, redirect and
 * soft_delete 3, ask (denied, where nobody can be asked or the request cannot wait) 4, audit 1, allow 0. No runtime, no memory and a failing policy are a
 * denial.
 *
 * What is known of the caller (pid, name, uid, ...) is fetched only when a policy reads it, so an answer that was given
 * without reading it is the same for every caller: mf_fs_verdict.cache_ns says how long it may be kept elsewhere, as by the
 * kernel. It is 0 where the caller, a counter or a rate had a part in it.
 *
 * Cost: about 250 ns a word when the decision is known (the request filled, hashed and found), nothing allocated.
 */
#ifndef MF_FS_JUDGE_H
#define MF_FS_JUDGE_H

#include <moonfence/moonfence.h>

#include "core/approve/approve.h"
#include "core/base/log.h"
#include "core/policy/session.h"
#include "fs/fs_op.h"

/* Who calls. -1: unknown, as on Windows after the open. */
struct mf_fs_caller {
	int64_t pid;
	int64_t uid, gid;
};

/* Words of a request's `flags`. */
enum mf_fs_flag {
	MF_FS_FLAG_READ = 1,
	MF_FS_FLAG_WRITE = 2,
	MF_FS_FLAG_CREATE = 4,
	MF_FS_FLAG_TRUNCATE = 8,
	MF_FS_FLAG_APPEND = 16,
	MF_FS_FLAG_EXCLUSIVE = 32,
};

struct mf_fs_question {
	enum mf_fs_op op;
	unsigned flags;	  /* mask of enum mf_fs_flag */
	const char *path; /* below the virtual root, which it includes */
	size_t path_len;
	const char
		*target; /* symlink, readlink: the text; rename, link: the other path; NULL: none */
	size_t target_len;
	int64_t size; /* new size (truncate); -1: none */
	const struct mf_fs_caller *caller;
};

enum mf_fs_do { MF_FS_DO, MF_FS_REFUSE, MF_FS_TRASH, MF_FS_ELSEWHERE, MF_FS_DO_NUM };

struct mf_fs_verdict {
	enum mf_fs_do what;
	int error; /* refuse: a Linux errno, positive */
	bool held; /* refuse: for the time being; it waits for an answer, and will be asked about again */
	bool unstored; /* refuse: allowed, but the event that tells of it cannot be stored */
	bool plain;    /* allowed, and nothing to tell of it beyond the ordinary */
	bool hash;     /* trash: with a hash of the content */
	bool cow;      /* elsewhere: only once somebody writes */
	bool keeps; /* a soft_delete of `write`: what the opened file holds is kept before it is written over */
	const char *word;    /* of the answer that counted */
	uint64_t cache_ns;   /* how long it holds for whoever asks the same; 0: not at all */
	uint64_t generation; /* of the policies */
	/* The answer that counted. Its strings live until the seat is left. */
	struct mf_decision d;
};

/* How a request of a front end waits for a person. Both are called in the thread that asks. */
struct mf_fs_hold_ops {
	/* What the request was given while it waited; NULL: nothing */
	const struct mf_approve_grants *(*grants)(void *ctx);
	/* Let it wait; then the operation is to end as a refused one. Return: false: it cannot */
	bool (*wait)(void *ctx, const struct mf_approve_question *q);
	void *ctx;
};

/* All borrowed for the judge's life. */
struct mf_fs_judge_options {
	struct mf_runtime *runtime; /* NULL: everything is refused */
	const char *session_id;
	const char *source; /* "session", "mount" */
	const struct mf_session_label *labels;
	size_t label_cnt;
	unsigned seats; /* 0 for 16 */
	/* Fill in what is known of a process. Return: 0, MF_E_NOENT. Strings live until the thread's next call; NULL: none */
	int (*find_process)(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret);
	void *find_ctx;
	struct mf_approvals *approvals; /* NULL: nobody can be asked */
	struct mf_events *events;	/* for what waits; may be NULL */
	const struct mf_log *log;
};

struct mf_fs_judge;
struct mf_fs_seat;

int mf_fs_judge_new(const struct mf_fs_judge_options *options, struct mf_fs_judge **ret_judge,
		    struct mf_err *err);
/** mf_fs_judge_free() - Before its runtime; every seat has been left. NULL is fine */
void mf_fs_judge_free(struct mf_fs_judge *judge);

/** mf_fs_judge_hold() - From now on, before the first question, requests may wait by @ops (copied) */
void mf_fs_judge_hold(struct mf_fs_judge *judge, const struct mf_fs_hold_ops *ops);

/** mf_fs_judge_may_wait() - Whether the questions asked in this seat from now on may wait; at first they may not */
void mf_fs_judge_may_wait(struct mf_fs_seat *seat, bool may);

/** mf_fs_judge_sit() - A seat; waits for one when all are taken. Return: NULL when none could be made: refuse (EIO) */
struct mf_fs_seat *mf_fs_judge_sit(struct mf_fs_judge *judge);
void mf_fs_judge_leave(struct mf_fs_judge *judge, struct mf_fs_seat *seat);

/** mf_fs_judge_ask() - *@ret is always filled; @seat may be NULL, which refuses */
void mf_fs_judge_ask(struct mf_fs_judge *judge, struct mf_fs_seat *seat,
		     const struct mf_fs_question *q, struct mf_fs_verdict *ret);

/** mf_fs_judge_ask_also() - One question more in the same seat; *@all becomes the stricter of both */
void mf_fs_judge_ask_also(struct mf_fs_judge *judge, struct mf_fs_seat *seat,
			  const struct mf_fs_question *q, struct mf_fs_verdict *all);

/** mf_fs_judge_keep() - Before another mf_fs_judge_ask() in the same seat: the strings of *@verdict outlive it */
void mf_fs_judge_keep(struct mf_fs_seat *seat, struct mf_fs_verdict *verdict);

/** mf_fs_judge_generation() - Of the policies in force: what a handle remembers is asked about anew once it differs */
uint64_t mf_fs_judge_generation(const struct mf_fs_judge *judge);

#endif
