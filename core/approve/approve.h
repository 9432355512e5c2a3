/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approve.h - requests that wait until a person has answered
 *
 * How it works
 *
 * Who meets a verdict ask{...} first looks whether it was answered already (mf_approve_settle()): by what the flow itself was
 * given (struct mf_approve_grants), or by what was remembered for the session. Else it may hold its request:
 *
 *	mf_approvals_hold(t, &question, &ticket);          // MF_E_FULL: denied
 *	...                                                // the request waits, its thread does not
 *	mf_approvals_take(t, ticket, &grants)              // true once it was answered, or its time is over
 *	... ask the policies again, with the grants        // reload meanwhile: the new policies have the last word
 *
 * So an answer never carries out what was decided before it: it is one more fact when the policies are asked anew. Equal
 * questions of a session wait under one number and are answered together. A question is equal by its key
 * (mf_approve_key()): what was asked for, the rule that asks, and the generation of the policies.
 *
 * A waiter polls: it is woken by a watcher (mf_approvals_watch()) or when mf_approvals_next_ms() is over. Time that is over
 * is noticed by whoever looks; no thread belongs to the table.
 *
 * Threads: everything may be called from any thread. Watchers are called by the thread that changed something, without the
 * table's lock; they must not unwatch. Cost: a lock and a search of a few hundred entries; only asks pay it.
 *
 * Bounds: questions open per session and in all, waiters in all, answers remembered per session; what is beyond is denied.
 */
#ifndef MF_APPROVE_APPROVE_H
#define MF_APPROVE_APPROVE_H

#include <moonfence/moonfence.h>

#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/observe/events.h"

struct mf_session;

#define MF_APPROVE_KEY_LEN    32
#define MF_APPROVE_GRANTS_MAX 16
#define MF_APPROVE_TIMEOUT_MS 300000u
#define MF_APPROVE_FIELDS_MAX 16
#define MF_APPROVE_TEXT_MAX \
	512 /* bytes of one text that is shown; what is longer ends with "..." */
#define MF_APPROVE_WATCHERS_MAX 8
#define MF_APPROVE_FOR_MAX_MS	(UINT64_C(30) * 86400000)

enum mf_approve_scope {
	MF_APPROVE_ONCE,    /* for who waits now */
	MF_APPROVE_SESSION, /* for the rest of the session */
	MF_APPROVE_FOR,	    /* for a time */
	MF_APPROVE_SCOPE_NUM
};
const char *mf_approve_scope_name(enum mf_approve_scope scope);

/* Who answered. */
struct mf_approve_who {
	int64_t uid, pid; /* -1: unknown */
	const char *how;  /* "terminal", "command", "api" */
};

/* What a flow was given, to be shown when its policies are asked again. Zeroed: nothing. */
struct mf_approve_grants {
	unsigned cnt;
	struct mf_approve_grant {
		uint8_t key[MF_APPROVE_KEY_LEN];
		bool allow;
		const char *why; /* static */
	} rows[MF_APPROVE_GRANTS_MAX];
};

struct mf_approvals_options {
	const struct mf_clock *clock; /* mf_clock_system */
	uint32_t timeout_ms;	      /* of a question that names none: MF_APPROVE_TIMEOUT_MS */
	unsigned session_max;	      /* questions of one session: 10 */
	unsigned total_max;	      /* questions in all: 64 */
	unsigned waiters_max;	      /* requests in all: 256 */
	unsigned remembered_max;      /* answers of one session: 1,024; the oldest is forgotten */
};

struct mf_approvals;

/** mf_approvals_new() - @options: NULL for the defaults; Return: 0, MF_E_NOMEM */
int mf_approvals_new(const struct mf_approvals_options *options, struct mf_approvals **ret,
		     struct mf_err *err);
/** mf_approvals_free() - Nobody uses it any longer; NULL is fine */
void mf_approvals_free(struct mf_approvals *t);

/** mf_approve_key() - What makes a question equal to another one; @d: whose verdict is ask */
void mf_approve_key(struct mf_request *req, const struct mf_decision *d, const char *session_id,
		    uint8_t ret[MF_APPROVE_KEY_LEN]);

/**
 * mf_approve_settle() - Put the answer, if there is one, in the place of an ask
 * @t: NULL: there is no channel; the ask becomes deny (or what the policy says stands for it)
 * @grants: may be NULL
 * Return: true: *d is settled (or was no ask); false: nobody has answered: hold it, or mf_approve_refuse() it
 */
bool mf_approve_settle(struct mf_approvals *t, const char *session_id, struct mf_request *req,
		       const struct mf_approve_grants *grants, struct mf_decision *d);

/* Why an ask that was not answered is a denial. */
extern const char mf_approve_cannot_wait[]; /* nothing can wait at this place */
extern const char mf_approve_too_many[];    /* the table is full */

/** mf_approve_refuse() - Deny an ask; @why: static */
void mf_approve_refuse(struct mf_decision *d, const char *why);

/* A request that wants to wait; all borrowed for the call. */
struct mf_approve_question {
	const struct mf_session *session; /* its id, source and events */
	struct mf_request *request;	  /* as it was asked about */
	const struct mf_decision *decision;
	int64_t pid;	    /* of who asks; 0: unknown */
	const uint8_t *key; /* NULL: of the request as it is */
};

/**
 * mf_approvals_hold() - Wait for an answer
 * @ret_ticket: never 0
 * Return: 0; MF_E_FULL (told by an event), MF_E_NOMEM: deny
 */
int mf_approvals_hold(struct mf_approvals *t, const struct mf_approve_question *q,
		      uint64_t *ret_ticket);

/** mf_approvals_take() - Whether the wait of @ticket is over; then it is, and @grants has one row more */
bool mf_approvals_take(struct mf_approvals *t, uint64_t ticket, struct mf_approve_grants *grants);

/** mf_approvals_leave() - Whoever waited has gone; the last one takes the question with it. A ticket that was taken is fine, and 0 */
void mf_approvals_leave(struct mf_approvals *t, uint64_t ticket);

/** mf_approvals_next_ms() - Until the next question's time is over; -1: none is open */
int64_t mf_approvals_next_ms(struct mf_approvals *t);

/**
 * mf_approvals_answer() - @id: of the question; @for_ms: for MF_APPROVE_FOR
 * Return: 0; MF_E_NOENT (answered, over, withdrawn, or never was), MF_E_PERM (the rule lets it be remembered for nobody),
 *         MF_E_INVAL (scope, time)
 */
int mf_approvals_answer(struct mf_approvals *t, uint64_t id, bool allow,
			enum mf_approve_scope scope, uint64_t for_ms,
			const struct mf_approve_who *who);

/** mf_approvals_forget() - What was remembered for a session, when it ends; NULL: for all. Return: how many */
size_t mf_approvals_forget(struct mf_approvals *t, const char *session_id);

/* An open question, as it is shown: any bytes may stand in its texts. */
struct mf_approve_item {
	uint64_t id;
	const char *session_id, *kind;
	const char *policy, *rule, *reason, *message, *file; /* NULL: none */
	uint32_t line;
	uint64_t generation;
	int64_t pid;	   /* of the first who asked; 0: unknown */
	uint64_t asked_ns; /* wall clock */
	uint64_t left_ms;
	unsigned waiters;
	bool once; /* may not be remembered */
	unsigned field_cnt;
	const char *names[MF_APPROVE_FIELDS_MAX]; /* static */
	const char *values[MF_APPROVE_FIELDS_MAX];
};

/** mf_approvals_each() - Call @fn for every open question, the oldest first, under the lock: it calls nothing of this table
 * Return: a number that changes with every question that comes or goes */
uint64_t mf_approvals_each(struct mf_approvals *t,
			   void (*fn)(void *ctx, const struct mf_approve_item *item), void *ctx);

/** mf_approve_item_field() - The text of a field, NULL where it has none */
const char *mf_approve_item_field(const struct mf_approve_item *item, const char *name);

/** mf_approve_item_title() - "connect to api.example (192.0.2.1) port 443/tcp"; any bytes, as they came */
void mf_approve_item_title(const struct mf_approve_item *item, struct mf_strbuf *out);

/**
 * mf_approve_show_text() - Text from outside for a person's eyes: control characters, bytes that are no UTF-8, and characters that
 * turn the direction of writing or cannot be seen are written as \x1b or \u202e
 */
void mf_approve_show_text(struct mf_strbuf *out, const char *text);

/** mf_approvals_watch() - From now on @fn is called when a question comes, is answered or goes. Return: 0, MF_E_FULL */
int mf_approvals_watch(struct mf_approvals *t, void (*fn)(void *ctx), void *ctx);
/** mf_approvals_unwatch() - It is not running any longer when this returns */
void mf_approvals_unwatch(struct mf_approvals *t, void (*fn)(void *ctx), void *ctx);

struct mf_approvals_stats {
	uint64_t asked, allowed, denied, expired, withdrawn, full, remembered_used;
	unsigned open, waiters, remembered;
};
void mf_approvals_get_stats(struct mf_approvals *t, struct mf_approvals_stats *ret);

#endif
