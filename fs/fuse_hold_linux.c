/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_hold_linux.c - see fuse_hold_linux.h */
#include "fs/fuse_hold_linux.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cond.h"
#include "core/base/thread.h"

#undef fuse_reply_err /* here it is the library's own */

enum {
	INTERRUPTED_MAX = 64,	      /* that came before their request waited */
	LOOK_MS_MAX = 60000,	      /* between two looks, at most */
	WAITING_BYTES_MAX = 4096 * 8, /* of one request; those that wait are names and numbers */
};

struct waiting {
	struct waiting *next;
	uint64_t unique, ticket;
	struct mf_approve_grants grants;
	size_t len;
	char bytes[];
};

struct mf_fuse_holder {
	struct fuse_session *se;
	struct mf_approvals *approvals;
	pthread_mutex_t lock; /* of the list; taken before the approvals' */
	struct waiting *list;
	uint64_t interrupted[INTERRUPTED_MAX];
	unsigned next_interrupted;
	/* Taken last: whoever changes an approval takes it. */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	bool woken, ending, started, watching;
	pthread_t thread;
};

/* What the calling thread serves. */
struct current {
	const struct mf_approve_grants *grants; /* NULL: none */
	uint64_t ticket;			/* it is to wait for; 0: it is not */
	bool held_back;				/* its answer */
};
static _Thread_local struct current *current;

int mf_fuse_reply_err(fuse_req_t req, int err)
{
	if (!err || !current || !current->ticket || current->held_back)
		return mf_libfuse.fuse_reply_err(req, err);
	current->held_back = true;
	fuse_reply_none(req);
	return 0;
}

const struct mf_approve_grants *mf_fuse_holder_grants(void *ctx)
{
	(void)ctx;
	return current ? current->grants : NULL;
}

bool mf_fuse_holder_wait(void *ctx, const struct mf_approve_question *q)
{
	struct mf_fuse_holder *h = ctx;

	return current && !current->ticket &&
	       mf_approvals_hold(h->approvals, q, &current->ticket) == 0;
}

/* ---- requests that wait ---------------------------------------------------------------------------------------- */

static void answer_interrupted(struct mf_fuse_holder *h, uint64_t unique)
{
	const struct fuse_out_header out = { .len = sizeof(out),
					     .error = -EINTR,
					     .unique = unique };

	/* a kernel that knows it no longer has taken it back itself */
	(void)!write(fuse_session_fd(h->se), &out, sizeof(out));
}

static bool was_interrupted(struct mf_fuse_holder *h, uint64_t unique)
{
	for (unsigned i = 0; i < INTERRUPTED_MAX; i++)
		if (h->interrupted[i] == unique)
			return true;
	return false;
}

static void wake_up(void *ctx)
{
	struct mf_fuse_holder *h = ctx;

	pthread_mutex_lock(&h->wake_lock);
	h->woken = true;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&h->wake_lock);
}

/* Takes @w. */
static void let_wait(struct mf_fuse_holder *h, struct waiting *w, uint64_t ticket)
{
	bool interrupted;

	w->ticket = ticket;
	pthread_mutex_lock(&h->lock);
	interrupted = was_interrupted(h, w->unique);
	if (!interrupted) {
		w->next = h->list;
		h->list = w;
	}
	pthread_mutex_unlock(&h->lock);
	if (interrupted) {
		mf_approvals_leave(h->approvals, ticket);
		answer_interrupted(h, w->unique);
		free(w);
		return;
	}
	wake_up(h); /* the answer may have come before */
}

/* An answer that cannot be held back: it is told what it would be told without anybody to ask. */
static void refuse(struct mf_fuse_holder *h, uint64_t unique)
{
	const struct fuse_out_header out = { .len = sizeof(out),
					     .error = -EACCES,
					     .unique = unique };

	(void)!write(fuse_session_fd(h->se), &out, sizeof(out));
}

/* @again: what it is kept in already; taken. NULL: it has just come */
static void serve(struct mf_fuse_holder *h, struct fuse_buf *buf, struct waiting *again)
{
	struct current c = { .grants = again ? &again->grants : NULL };
	struct fuse_in_header head;
	struct waiting *w = again;

	memcpy(&head, buf->mem, sizeof(head));
	current = &c;
	fuse_session_process_buf(h->se, buf);
	current = NULL;
	if (!c.held_back) {
		mf_approvals_leave(h->approvals, c.ticket);
		free(again);
		return;
	}
	if (!w && buf->size <= WAITING_BYTES_MAX) {
		w = calloc(1, sizeof(*w) + buf->size);
		if (w) {
			w->unique = head.unique;
			w->len = buf->size;
		}
	}
	if (!w) {
		mf_approvals_leave(h->approvals, c.ticket);
		refuse(h, head.unique);
		return;
	}
	if (!again)
		memcpy(w->bytes, buf->mem, buf->size);
	let_wait(h, w, c.ticket);
}

/* Return: whether it waited */
static bool interrupt(struct mf_fuse_holder *h, uint64_t unique)
{
	struct waiting **at, *w;

	pthread_mutex_lock(&h->lock);
	for (at = &h->list; (w = *at) && w->unique != unique;)
		at = &w->next;
	if (w)
		*at = w->next;
	else
		h->interrupted[h->next_interrupted++ % INTERRUPTED_MAX] = unique;
	pthread_mutex_unlock(&h->lock);
	if (!w)
		return false;
	mf_approvals_leave(h->approvals, w->ticket);
	answer_interrupted(h, unique);
	free(w);
	return true;
}

void mf_fuse_holder_serve(struct mf_fuse_holder *h, struct fuse_buf *buf)
{
	struct fuse_interrupt_in in;
	struct fuse_in_header head;

	if (buf->size < sizeof(head) || buf->flags & FUSE_BUF_IS_FD) {
		fuse_session_process_buf(h->se, buf);
		return;
	}
	memcpy(&head, buf->mem, sizeof(head));
	if (head.opcode == FUSE_INTERRUPT && buf->size >= sizeof(head) + sizeof(in)) {
		memcpy(&in, (const char *)buf->mem + sizeof(head), sizeof(in));
		if (!interrupt(h, in.unique))
			fuse_session_process_buf(h->se, buf);
		return;
	}
	serve(h, buf, NULL);
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

/* One whose wait is over. */
static struct waiting *take_one(struct mf_fuse_holder *h)
{
	struct waiting **at, *w;

	pthread_mutex_lock(&h->lock);
	for (at = &h->list; (w = *at); at = &w->next)
		if (mf_approvals_take(h->approvals, w->ticket, &w->grants))
			break;
	if (w)
		*at = w->next;
	pthread_mutex_unlock(&h->lock);
	return w;
}

static bool wait_on(struct mf_fuse_holder *h)
{
	int64_t ms = mf_approvals_next_ms(h->approvals);
	struct timespec until =
		mf_cond_in_ms(ms < 0 || ms > LOOK_MS_MAX ? LOOK_MS_MAX : (uint32_t)ms);
	bool go_on;

	pthread_mutex_lock(&h->wake_lock);
	while (!h->woken && !h->ending && mf_cond_wait_until(&h->wake, &h->wake_lock, &until))
		;
	h->woken = false;
	go_on = !h->ending;
	pthread_mutex_unlock(&h->wake_lock);
	return go_on;
}

static void *run(void *ctx)
{
	struct mf_fuse_holder *h = ctx;
	struct waiting *w;

	do {
		while (!fuse_session_exited(h->se) && (w = take_one(h))) {
			struct fuse_buf buf = { .size = w->len, .mem = w->bytes };

			serve(h, &buf, w);
		}
	} while (wait_on(h));
	return NULL;
}

int mf_fuse_holder_new(struct fuse_session *se, struct mf_approvals *approvals,
		       struct mf_fuse_holder **ret, struct mf_err *err)
{
	struct mf_fuse_holder *h = calloc(1, sizeof(*h));

	*ret = h;
	if (!h)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	h->se = se;
	h->approvals = approvals;
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_init(&h->wake_lock, NULL);
	mf_cond_init(&h->wake);
	if (mf_approvals_watch(approvals, wake_up, h) < 0)
		return mf_err_set(err, MF_E_FULL, "approvals have too many watchers");
	h->watching = true;
	if (mf_thread_start(&h->thread, run, h) != 0)
		return mf_err_set(err, MF_E_NOMEM, "cannot start a thread");
	h->started = true;
	return 0;
}

void mf_fuse_holder_free(struct mf_fuse_holder *h)
{
	struct waiting *w;

	if (!h)
		return;
	pthread_mutex_lock(&h->wake_lock);
	h->ending = true;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&h->wake_lock);
	if (h->started)
		pthread_join(h->thread, NULL);
	if (h->watching)
		mf_approvals_unwatch(h->approvals, wake_up, h);
	while ((w = h->list)) {
		h->list = w->next;
		mf_approvals_leave(h->approvals, w->ticket);
		free(w);
	}
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->wake_lock);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
