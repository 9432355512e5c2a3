/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_fs.h - one operation from question to event, the same for every front end
 *
 *	struct mf_fs_act a = { .q = { .op = MF_FS_UNLINK, .path = path, .path_len = len, .caller = &who } };
 *
 *	r = mf_policy_fs_begin(pfs, &a);            // asked; -errno: refused
 *	if (r == 0) {
 *		if (a.verdict.what == MF_FS_TRASH)  // soft_delete where the operation loses something
 *			... keep it; a.token tells the event where
 *		r = ... the real thing, at a.verdict.d.path_target for MF_FS_ELSEWHERE
 *	}
 *	mf_policy_fs_end(pfs, &a, r);               // always, after a refusal too: leaves the seat, sends the event
 *
 * A soft_delete for what can lose nothing (open, stat, ...) is an allow. Losses that have no word of their own are asked
 * about as `delete`: a file that a rename replaces (mf_fs_op MF_FS_REPLACE), and for what truncation cuts off
 * mf_policy_fs_keeps() tells whether the policy would keep the file if it were deleted.
 *
 * Events: what was refused, diverted or audited is always told of, within MF_POLICY_FS_URGENT_PER_S; what was plainly allowed only if it changes
 * something, within MF_POLICY_FS_EVENTS_PER_S. What goes beyond is counted (mf_policy_fs_stats).
 *
 * Strict events (mf_events_be_strict()): an operation that an event would tell of is EIO while events cannot be stored, whatever the policies
 * say, and none goes beyond a limit. What is told of nobody (reading that is plainly allowed) goes on. That it was refused is
 * told MF_POLICY_FS_UNSTORED_PER_S times a second at most: what was set aside is for what had been let through.
 */
#ifndef MF_FS_POLICY_FS_H
#define MF_FS_POLICY_FS_H

#include "fs/judge.h"

#define MF_POLICY_FS_EVENTS_PER_S   2000
#define MF_POLICY_FS_URGENT_PER_S   2000
#define MF_POLICY_FS_UNSTORED_PER_S 10
#define MF_POLICY_FS_STORE_WAIT_MS  1000 /* for room in the queue of events, when they are strict */

struct mf_fs_act {
	/* by the front end, before begin */
	struct mf_fs_question q;
	/* by begin */
	struct mf_fs_verdict verdict;
	struct mf_fs_seat *seat;
	/* by the front end, before end; what stays 0 is left out of the event */
	const char *token; /* of the trash */
	int64_t size, mode, nlink;
	const char *to_path; /* redirect: where it went, if not verdict.d.path_target */
	bool observed; /* it has happened already: the event says what would have become of it */
	bool quiet;    /* no event but for a refusal: part of an operation that tells of itself */
};

/* What a front end fills in before mf_policy_fs_begin(). Of the verdict, which is large, only what may be looked at unasked is set. */
static inline void mf_fs_act_init(struct mf_fs_act *a, const struct mf_fs_question *q)
{
	a->q = *q;
	a->seat = NULL;
	a->token = a->to_path = NULL;
	a->size = a->mode = a->nlink = 0;
	a->observed = a->quiet = false;
	a->verdict.what = MF_FS_DO;
	a->verdict.cache_ns = 0;
	a->verdict.keeps = a->verdict.held = a->verdict.unstored = false;
}

/* As it was answered when a file was opened: what is written over is kept. @policy and @rule are borrowed. */
static inline void mf_fs_act_overwrite(struct mf_fs_act *a, const char *policy, const char *rule)
{
	a->q.op = MF_FS_OVERWRITE;
	a->verdict = (struct mf_fs_verdict){ .what = MF_FS_TRASH, .word = "write" };
	a->verdict.d = (struct mf_decision)MF_DECISION_INIT;
	a->verdict.d.verdict = MF_SOFT_DELETE;
	a->verdict.d.matched = true;
	a->verdict.d.policy = policy;
	a->verdict.d.rule = rule;
}

struct mf_policy_fs_stats {
	uint64_t asked, refused, trashed, redirected, failed; /* failed: of those carried out */
	uint64_t events_left_out;
	uint64_t unstored; /* of those refused: their event could not have been stored */
};

struct mf_policy_fs;

/** mf_policy_fs_new() - @events, @judge: borrowed; @events may be NULL */
int mf_policy_fs_new(struct mf_fs_judge *judge, struct mf_events *events, const char *session_id,
		     const char *source, struct mf_policy_fs **ret_pfs, struct mf_err *err);
void mf_policy_fs_free(struct mf_policy_fs *pfs);

/** mf_policy_fs_begin() - Return: 0, or a negative errno: the operation is refused */
int mf_policy_fs_begin(struct mf_policy_fs *pfs, struct mf_fs_act *a);

/** mf_policy_fs_also() - Ask about one more question in the seat of @a, which has begun; the stricter verdict of both stays
 * Return: 0, or a negative errno: refused */
int mf_policy_fs_also(struct mf_policy_fs *pfs, struct mf_fs_act *a,
		      const struct mf_fs_question *q);

/** mf_policy_fs_keeps() - Whether the policy answers a `delete` of a->q.path with soft_delete; @ret_hash: with a hash */
bool mf_policy_fs_keeps(struct mf_policy_fs *pfs, struct mf_fs_act *a, bool *ret_hash);

/** mf_policy_fs_refuses() - Whether @q would be refused; nothing is told of it */
bool mf_policy_fs_refuses(struct mf_policy_fs *pfs, struct mf_fs_act *a,
			  const struct mf_fs_question *q);

/**
 * mf_policy_fs_overwrite() - In place of begin: what was opened is written over, and kept (mf_fs_act_overwrite())
 * Return: 0; -EIO: the event cannot be stored
 */
int mf_policy_fs_overwrite(struct mf_policy_fs *pfs, struct mf_fs_act *a, const char *policy,
			   const char *rule);

/** mf_policy_fs_end() - @result: 0 or more, or the negative errno that the operation failed with */
void mf_policy_fs_end(struct mf_policy_fs *pfs, struct mf_fs_act *a, int result);

void mf_policy_fs_get_stats(struct mf_policy_fs *pfs, struct mf_policy_fs_stats *ret);
struct mf_fs_judge *mf_policy_fs_judge(struct mf_policy_fs *pfs);

#endif
