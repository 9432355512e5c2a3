/* SPDX-License-Identifier: Apache-2.0 */
/* approve.c - the table of open questions, who waits for them, and what was answered; see approve.h */
#include <stdlib.h>
#include <string.h>

#include "core/approve/approve_int.h"
#include "core/policy/session.h"

struct waiter {
	struct waiter *next;
	uint64_t ticket;
	struct mf_approve_entry *entry; /* NULL: its wait is over */
	struct mf_approve_grant grant;	/* then */
};

/* Oldest first. */
struct memory {
	struct memory *next;
	char *session_id;
	struct mf_approve_grant grant;
	uint64_t until_ns; /* UINT64_MAX: the session's end */
};

struct watcher {
	void (*fn)(void *ctx);
	void *ctx;
};

struct mf_approvals {
	struct mf_approvals_options o;
	pthread_mutex_t lock;
	struct mf_approve_entry *first;
	struct waiter *waiters;
	struct memory *remembered;
	uint64_t last_id, last_ticket, version;
	struct mf_approvals_stats stats;
	/* Held while watchers are called, so that unwatching waits for them; always taken without @lock. */
	pthread_mutex_t watch_lock;
	struct watcher watchers[MF_APPROVE_WATCHERS_MAX];
};

const char mf_approve_cannot_wait[] = "approval_cannot_wait";
const char mf_approve_too_many[] = "approvals_full";
static const char why_allowed[] = "approved";
static const char why_denied[] = "approval_denied";
static const char why_over[] = "approval_timed_out";

/* --- life ----------------------------------------------------------------------------------------------------------- */

int mf_approvals_new(const struct mf_approvals_options *options, struct mf_approvals **ret,
		     struct mf_err *err)
{
	struct mf_approvals *t = calloc(1, sizeof(*t));

	*ret = t;
	if (!t)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (options)
		t->o = *options;
	if (!t->o.clock)
		t->o.clock = &mf_clock_system;
	if (!t->o.timeout_ms)
		t->o.timeout_ms = MF_APPROVE_TIMEOUT_MS;
	if (!t->o.session_max)
		t->o.session_max = 10;
	if (!t->o.total_max)
		t->o.total_max = 64;
	if (!t->o.waiters_max)
		t->o.waiters_max = 256;
	if (!t->o.remembered_max)
		t->o.remembered_max = 1024;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->watch_lock, NULL);
	return 0;
}

static void free_memory(struct memory *m)
{
	free(m->session_id);
	free(m);
}

void mf_approvals_free(struct mf_approvals *t)
{
	struct mf_approve_entry *e;
	struct waiter *w;
	struct memory *m;

	if (!t)
		return;
	while ((e = t->first)) {
		t->first = e->next;
		mf_approve_entry_free(e);
	}
	while ((w = t->waiters)) {
		t->waiters = w->next;
		free(w);
	}
	while ((m = t->remembered)) {
		t->remembered = m->next;
		free_memory(m);
	}
	pthread_mutex_destroy(&t->watch_lock);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static uint64_t now_ns(const struct mf_approvals *t)
{
	return mf_clock_now(t->o.clock);
}

/* --- watchers --------------------------------------------------------------------------------------------------------- */

int mf_approvals_watch(struct mf_approvals *t, void (*fn)(void *ctx), void *ctx)
{
	int r = MF_E_FULL;

	pthread_mutex_lock(&t->watch_lock);
	for (size_t i = 0; r < 0 && i < MF_APPROVE_WATCHERS_MAX; i++) {
		if (t->watchers[i].fn)
			continue;
		t->watchers[i] = (struct watcher){ fn, ctx };
		r = 0;
	}
	pthread_mutex_unlock(&t->watch_lock);
	return r;
}

void mf_approvals_unwatch(struct mf_approvals *t, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&t->watch_lock);
	for (size_t i = 0; i < MF_APPROVE_WATCHERS_MAX; i++)
		if (t->watchers[i].fn == fn && t->watchers[i].ctx == ctx)
			t->watchers[i].fn = NULL;
	pthread_mutex_unlock(&t->watch_lock);
}

static void call_watchers(struct mf_approvals *t)
{
	pthread_mutex_lock(&t->watch_lock);
	for (size_t i = 0; i < MF_APPROVE_WATCHERS_MAX; i++)
		if (t->watchers[i].fn)
			t->watchers[i].fn(t->watchers[i].ctx);
	pthread_mutex_unlock(&t->watch_lock);
}

/* --- questions (all under the lock) ----------------------------------------------------------------------------------- */

static void unlink_entry(struct mf_approvals *t, struct mf_approve_entry *e)
{
	struct mf_approve_entry **at = &t->first;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	t->stats.open--;
	t->version++;
}

/* Everybody who waits for it has an answer; it is the caller's to tell of and to free. */
static void end_entry(struct mf_approvals *t, struct mf_approve_entry *e, bool allow,
		      const char *why)
{
	for (struct waiter *w = t->waiters; w; w = w->next) {
		if (w->entry != e)
			continue;
		w->entry = NULL;
		memcpy(w->grant.key, e->key, sizeof(e->key));
		w->grant.allow = allow;
		w->grant.why = why;
	}
	unlink_entry(t, e);
}

static uint64_t waited_ms(const struct mf_approvals *t, const struct mf_approve_entry *e)
{
	return (now_ns(t) - e->asked_ns) / MF_NS_PER_MS;
}

/* Questions whose time is over. Return: whether there were any */
static bool expire(struct mf_approvals *t)
{
	uint64_t now = now_ns(t);
	struct mf_approve_entry *e, *next;
	bool any = false;

	for (e = t->first; e; e = next) {
		next = e->next;
		if (e->due_ns > now)
			continue;
		end_entry(t, e, false, why_over);
		t->stats.expired++;
		mf_approve_tell_end(e, &(struct mf_approve_ending){ .type = MF_EV_APPROVAL_EXPIRED,
								    .waited_ms = waited_ms(t, e) });
		mf_approve_entry_free(e);
		any = true;
	}
	return any;
}

static struct mf_approve_entry *find_key(struct mf_approvals *t,
					 const uint8_t key[MF_APPROVE_KEY_LEN])
{
	struct mf_approve_entry *e = t->first;

	while (e && memcmp(e->key, key, MF_APPROVE_KEY_LEN) != 0)
		e = e->next;
	return e;
}

static const char *full(const struct mf_approvals *t, const char *session_id, bool known)
{
	unsigned cnt = 0;

	if (t->stats.waiters >= t->o.waiters_max)
		return "requests";
	if (known)
		return NULL;
	for (const struct mf_approve_entry *e = t->first; e; e = e->next)
		cnt += strcmp(e->item.session_id, session_id) == 0;
	return cnt >= t->o.session_max		 ? "questions of the session"
	       : t->stats.open >= t->o.total_max ? "questions"
						 : NULL;
}

static struct mf_approve_entry *add_entry(struct mf_approvals *t,
					  const struct mf_approve_question *q,
					  const uint8_t key[MF_APPROVE_KEY_LEN])
{
	struct mf_approve_entry *e = mf_approve_entry_new(q), **at = &t->first;
	uint64_t ms = q->decision->ask_timeout_ms ? q->decision->ask_timeout_ms : t->o.timeout_ms;

	if (!e)
		return NULL;
	memcpy(e->key, key, sizeof(e->key));
	e->item.id = ++t->last_id;
	e->item.asked_ns = mf_clock_wall(t->o.clock);
	e->asked_ns = now_ns(t);
	e->due_ns = e->asked_ns + ms * MF_NS_PER_MS;
	while (*at)
		at = &(*at)->next;
	*at = e;
	t->stats.open++;
	t->stats.asked++;
	t->version++;
	mf_approve_tell_asked(e, ms, q);
	return e;
}

static int hold(struct mf_approvals *t, const struct mf_approve_question *q,
		const uint8_t key[MF_APPROVE_KEY_LEN], uint64_t *ret_ticket)
{
	struct mf_approve_entry *e = find_key(t, key);
	const char *limit = full(t, q->session->id, e != NULL);
	struct waiter *w;

	if (limit) {
		t->stats.full++;
		mf_approve_tell_full(q, limit);
		return MF_E_FULL;
	}
	w = calloc(1, sizeof(*w));
	if (w && !e)
		e = add_entry(t, q, key);
	if (!w || !e) {
		free(w);
		return MF_E_NOMEM;
	}
	e->item.waiters++;
	w->entry = e;
	w->ticket = *ret_ticket = ++t->last_ticket;
	w->next = t->waiters;
	t->waiters = w;
	t->stats.waiters++;
	return 0;
}

int mf_approvals_hold(struct mf_approvals *t, const struct mf_approve_question *q,
		      uint64_t *ret_ticket)
{
	uint8_t key[MF_APPROVE_KEY_LEN];
	int r;

	*ret_ticket = 0;
	if (q->key)
		memcpy(key, q->key, sizeof(key));
	else
		mf_approve_key(q->request, q->decision, q->session->id, key);
	pthread_mutex_lock(&t->lock);
	(void)expire(t);
	r = hold(t, q, key, ret_ticket);
	pthread_mutex_unlock(&t->lock);
	call_watchers(t);
	return r;
}

/* --- waiters ------------------------------------------------------------------------------------------------------------ */

static struct waiter **find_waiter(struct mf_approvals *t, uint64_t ticket)
{
	struct waiter **at = &t->waiters;

	while (*at && (*at)->ticket != ticket)
		at = &(*at)->next;
	return at;
}

static void drop_waiter(struct mf_approvals *t, struct waiter **at)
{
	struct waiter *w = *at;

	*at = w->next;
	free(w);
	t->stats.waiters--;
}

/* The oldest goes where there is no room: its question is asked once more, at worst. */
static void add_grant(struct mf_approve_grants *g, const struct mf_approve_grant *row)
{
	if (g->cnt == MF_APPROVE_GRANTS_MAX) {
		memmove(g->rows, g->rows + 1, sizeof(g->rows) - sizeof(g->rows[0]));
		g->cnt--;
	}
	g->rows[g->cnt++] = *row;
}

bool mf_approvals_take(struct mf_approvals *t, uint64_t ticket, struct mf_approve_grants *grants)
{
	struct waiter **at;
	bool expired, over;

	pthread_mutex_lock(&t->lock);
	expired = expire(t);
	at = find_waiter(t, ticket);
	over = !*at || !(*at)->entry;
	if (*at && over) {
		add_grant(grants, &(*at)->grant);
		drop_waiter(t, at);
	}
	pthread_mutex_unlock(&t->lock);
	if (expired)
		call_watchers(t);
	return over;
}

void mf_approvals_leave(struct mf_approvals *t, uint64_t ticket)
{
	struct mf_approve_entry *e = NULL;
	struct waiter **at;

	if (!t || !ticket)
		return;
	pthread_mutex_lock(&t->lock);
	at = find_waiter(t, ticket);
	if (*at) {
		e = (*at)->entry;
		drop_waiter(t, at);
	}
	if (e && --e->item.waiters)
		e = NULL;
	if (e) {
		unlink_entry(t, e);
		t->stats.withdrawn++;
		mf_approve_tell_end(e,
				    &(struct mf_approve_ending){ .type = MF_EV_APPROVAL_WITHDRAWN,
								 .waited_ms = waited_ms(t, e) });
		mf_approve_entry_free(e);
	}
	pthread_mutex_unlock(&t->lock);
	if (e)
		call_watchers(t);
}

int64_t mf_approvals_next_ms(struct mf_approvals *t)
{
	uint64_t now, due = UINT64_MAX;

	pthread_mutex_lock(&t->lock);
	now = now_ns(t);
	for (const struct mf_approve_entry *e = t->first; e; e = e->next)
		due = e->due_ns < due ? e->due_ns : due;
	pthread_mutex_unlock(&t->lock);
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : (int64_t)((due - now + MF_NS_PER_MS - 1) / MF_NS_PER_MS);
}

/* --- answers ------------------------------------------------------------------------------------------------------------ */

/* What is over goes; then the session's oldest, where it has too many. */
static void make_room(struct mf_approvals *t, const char *session_id)
{
	struct memory **at = &t->remembered, **oldest = NULL, *m;
	uint64_t now = now_ns(t);
	unsigned cnt = 0;

	while ((m = *at)) {
		if (m->until_ns <= now) {
			*at = m->next;
			free_memory(m);
			t->stats.remembered--;
			continue;
		}
		if (strcmp(m->session_id, session_id) == 0 && cnt++ == 0)
			oldest = at;
		at = &m->next;
	}
	if (cnt < t->o.remembered_max || !oldest)
		return;
	m = *oldest;
	*oldest = m->next;
	free_memory(m);
	t->stats.remembered--;
}

static int remember(struct mf_approvals *t, const struct mf_approve_entry *e, bool allow,
		    uint64_t until_ns)
{
	struct memory *m = calloc(1, sizeof(*m)), **at;

	if (m)
		m->session_id = strdup(e->item.session_id);
	if (!m || !m->session_id) {
		free(m);
		return MF_E_NOMEM;
	}
	make_room(t, e->item.session_id);
	memcpy(m->grant.key, e->key, sizeof(e->key));
	m->grant.allow = allow;
	m->grant.why = allow ? why_allowed : why_denied;
	m->until_ns = until_ns;
	for (at = &t->remembered; *at; at = &(*at)->next)
		;
	*at = m;
	t->stats.remembered++;
	return 0;
}

bool mf_approve_recall(struct mf_approvals *t, const uint8_t key[MF_APPROVE_KEY_LEN],
		       struct mf_approve_grant *ret, uint64_t *ret_until_ns)
{
	const struct memory *found = NULL;
	uint64_t now;

	pthread_mutex_lock(&t->lock);
	now = now_ns(t);
	for (const struct memory *m = t->remembered; m; m = m->next)
		if (m->until_ns > now && memcmp(m->grant.key, key, MF_APPROVE_KEY_LEN) == 0)
			found = m; /* the newest */
	if (found) {
		*ret = found->grant;
		*ret_until_ns = found->until_ns;
		t->stats.remembered_used++;
	}
	pthread_mutex_unlock(&t->lock);
	return found != NULL;
}

static int answer(struct mf_approvals *t, uint64_t id, bool allow, enum mf_approve_scope scope,
		  uint64_t for_ms, const struct mf_approve_who *who)
{
	struct mf_approve_entry *e = t->first;
	int r = 0;

	while (e && e->item.id != id)
		e = e->next;
	if (!e)
		return MF_E_NOENT;
	if (scope != MF_APPROVE_ONCE && e->item.once)
		return MF_E_PERM;
	if (scope != MF_APPROVE_ONCE)
		r = remember(t, e, allow,
			     scope == MF_APPROVE_SESSION ? UINT64_MAX
							 : now_ns(t) + for_ms * MF_NS_PER_MS);
	if (r < 0)
		return r;
	end_entry(t, e, allow, allow ? why_allowed : why_denied);
	*(allow ? &t->stats.allowed : &t->stats.denied) += 1;
	mf_approve_tell_end(e, &(struct mf_approve_ending){ .type = MF_EV_APPROVAL_ANSWERED,
							    .answer = allow ? "allow" : "deny",
							    .who = who,
							    .scope = scope,
							    .for_ms = for_ms,
							    .waited_ms = waited_ms(t, e) });
	mf_approve_entry_free(e);
	return 0;
}

int mf_approvals_answer(struct mf_approvals *t, uint64_t id, bool allow,
			enum mf_approve_scope scope, uint64_t for_ms,
			const struct mf_approve_who *who)
{
	int r;

	if ((unsigned)scope >= MF_APPROVE_SCOPE_NUM || (scope == MF_APPROVE_FOR) != (for_ms > 0) ||
	    for_ms > MF_APPROVE_FOR_MAX_MS)
		return MF_E_INVAL;
	pthread_mutex_lock(&t->lock);
	(void)expire(t);
	r = answer(t, id, allow, scope, for_ms, who);
	pthread_mutex_unlock(&t->lock);
	call_watchers(t);
	return r;
}

size_t mf_approvals_forget(struct mf_approvals *t, const char *session_id)
{
	struct memory **at = &t->remembered, *m;
	size_t cnt = 0;

	pthread_mutex_lock(&t->lock);
	while ((m = *at)) {
		if (session_id && strcmp(m->session_id, session_id) != 0) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		free_memory(m);
		t->stats.remembered--;
		cnt++;
	}
	pthread_mutex_unlock(&t->lock);
	return cnt;
}

/* --- looking ------------------------------------------------------------------------------------------------------------ */

uint64_t mf_approvals_each(struct mf_approvals *t,
			   void (*fn)(void *ctx, const struct mf_approve_item *item), void *ctx)
{
	uint64_t now, version;

	pthread_mutex_lock(&t->lock);
	now = now_ns(t);
	for (struct mf_approve_entry *e = t->first; e; e = e->next) {
		e->item.left_ms = e->due_ns > now ? (e->due_ns - now) / MF_NS_PER_MS : 0;
		if (e->due_ns > now)
			fn(ctx, &e->item);
	}
	version = t->version;
	pthread_mutex_unlock(&t->lock);
	return version;
}

void mf_approvals_get_stats(struct mf_approvals *t, struct mf_approvals_stats *ret)
{
	pthread_mutex_lock(&t->lock);
	*ret = t->stats;
	pthread_mutex_unlock(&t->lock);
}
