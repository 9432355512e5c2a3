/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_linux.c - see lanes_linux.h */
#include "capture/lanes_linux.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "capture/tun_linux.h"
#include "core/base/clock.h"
#include "core/observe/metrics.h"

/* Full batches of a lane without a pause until it gets its thread: 8 MiB, or 4,096 small packets. */
#define BUSY_TURNS 64
#define IDLE_MS	   2 /* also how soon a waiting thread sees that it has to stop */
#define EVENTS_MAX 8

enum owner { OWNER_LOOP, OWNER_THREAD };
enum asking { ASKING_NOTHING, ASKING_WAITS, ASKING_ANSWERED };

struct lane {
	struct mf_lanes *set;
	int fd;
	struct mf_tun *tun;
	struct mf_pipeline *pipeline;
	unsigned full; /* batches in a row that were; the loop's */
	/* The mutex is held where these change. Only the loop makes it THREAD, only the thread LOOP. */
	_Atomic int owner;   /* enum owner */
	pthread_cond_t wake; /* of the thread: a lane, an answer, or the end */
	pthread_t thread;
	bool has_thread;
	bool in_thread; /* the one who runs the pipeline is the thread; its owner's */
	/* What the thread asks: its own while nothing waits, the loop's while something does. */
	enum asking asking;
	struct mf_flow_question question;
	struct mf_flow_verdict verdict;
	struct mf_nat_redirect redirect;
	int result;
};

struct mf_lanes {
	struct mf_pipeline_ops ops;
	struct mf_nat *nat; /* own; NULL: the caller's */
	unsigned cnt, next; /* next: the first lane of the next turn */
	unsigned idle_ms;
	bool eager, closed;
	bool threadless;	/* no more threads: they are over, or the system has none */
	bool more;		/* a lane was not emptied */
	int epoll_fd, event_fd; /* -1 with one lane, which needs neither */
	_Atomic bool called;	/* a thread wrote to event_fd */

	pthread_mutex_t mutex;
	bool stopping;
	unsigned event_cnt;
	struct mf_pipeline_event events[EVENTS_MAX];
	struct mf_lanes_stats stats, gathered; /* gathered: told by mf_lanes_gather() */

	struct lane lanes[MF_LANES_MAX];
};

/* ---------------------------------------------------------------------------------------------------------------- */
/* What a pipeline asks and tells, in either thread                                                                 */

/* With the mutex: flag and descriptor say the same. */
static void call_loop(struct mf_lanes *s)
{
	const uint64_t one = 1;

	if (!atomic_exchange(&s->called, true))
		(void)!write(s->event_fd, &one, sizeof(one));
}

static bool take_call(struct mf_lanes *s)
{
	uint64_t calls;

	if (!atomic_load_explicit(&s->called, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&s->mutex);
	(void)!read(s->event_fd, &calls, sizeof(calls));
	atomic_store(&s->called, false);
	pthread_mutex_unlock(&s->mutex);
	return true;
}

static int lane_decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct lane *l = ctx;
	struct mf_lanes *s = l->set;
	int r = MF_E_CLOSED;

	if (!l->in_thread)
		return s->ops.decide(s->ops.ctx, q, ret);
	pthread_mutex_lock(&s->mutex);
	if (!s->stopping) {
		l->question = *q;
		l->asking = ASKING_WAITS;
		s->stats.asked++;
		call_loop(s);
	}
	while (l->asking == ASKING_WAITS && !s->stopping)
		pthread_cond_wait(&l->wake, &s->mutex);
	if (l->asking == ASKING_ANSWERED) {
		*ret = l->verdict;
		r = l->result;
	}
	l->asking = ASKING_NOTHING;
	pthread_mutex_unlock(&s->mutex);
	return r;
}

static void lane_event(void *ctx, const struct mf_pipeline_event *ev)
{
	struct lane *l = ctx;
	struct mf_lanes *s = l->set;

	if (!l->in_thread) {
		if (s->ops.event)
			s->ops.event(s->ops.ctx, ev);
		return;
	}
	pthread_mutex_lock(&s->mutex);
	if (s->event_cnt < EVENTS_MAX)
		s->events[s->event_cnt++] = *ev;
	else
		s->stats.untold++;
	call_loop(s);
	pthread_mutex_unlock(&s->mutex);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* A lane's thread                                                                                                  */

static bool is_stopping(struct mf_lanes *s)
{
	bool stopping;

	pthread_mutex_lock(&s->mutex);
	stopping = s->stopping;
	pthread_mutex_unlock(&s->mutex);
	return stopping;
}

/* Until nothing comes any more. */
static void carry(struct lane *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	unsigned idle = 0;

	while (idle < l->set->idle_ms && !is_stopping(l->set)) {
		int r = mf_pipeline_run(l->pipeline, mf_clock_now(&mf_clock_system));

		if (r < 0)
			return;
		idle = r > 0 ? 0 : idle;
		if (mf_tun_is_drained(l->tun) &&
		    (poll(&p, 1, IDLE_MS) <= 0 || !(p.revents & POLLIN)))
			idle += IDLE_MS;
	}
}

static void watch(struct lane *l)
{
	struct epoll_event ev = { .events = EPOLLIN };

	(void)epoll_ctl(l->set->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev);
}

static void *run_thread(void *ctx)
{
	struct lane *l = ctx;
	struct mf_lanes *s = l->set;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->stopping && l->owner != OWNER_THREAD)
			pthread_cond_wait(&l->wake, &s->mutex);
		if (l->owner != OWNER_THREAD)
			break;
		l->in_thread = true;
		pthread_mutex_unlock(&s->mutex);
		carry(l);
		pthread_mutex_lock(&s->mutex);
		l->in_thread = false;
		/* In this order: the loop may hand it over again as soon as it sees that. */
		watch(l);
		l->owner = OWNER_LOOP;
		/* The loop's timer does not know of this lane's deadline. */
		call_loop(s);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* The loop's signals are no business of a thread. */
static bool start_thread(struct lane *l)
{
	sigset_t all, before;
	int e;

	if (l->has_thread)
		return true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&l->thread, NULL, run_thread, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->has_thread = e == 0;
	return l->has_thread;
}

static void hand_over(struct lane *l)
{
	struct mf_lanes *s = l->set;

	if (!start_thread(l)) {
		s->threadless = true;
		return;
	}
	l->full = 0;
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	pthread_mutex_lock(&s->mutex);
	s->stats.handed_over++;
	l->owner = OWNER_THREAD;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&s->mutex);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The loop                                                                                                         */

static void answer(struct lane *l)
{
	struct mf_lanes *s = l->set;
	struct mf_flow_verdict v = { .answer = MF_FLOW_UNSET };
	/* The thread does not touch its question until it is answered, and a policy may take its time. */
	int r = s->ops.decide(s->ops.ctx, &l->question, &v);

	pthread_mutex_lock(&s->mutex);
	/* Borrowed during the call, which is over before the thread uses it. */
	if (v.redirect) {
		l->redirect = *v.redirect;
		v.redirect = &l->redirect;
	}
	l->verdict = v;
	l->result = r;
	l->asking = ASKING_ANSWERED;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&s->mutex);
}

static bool waits_for_answer(struct lane *l)
{
	bool waits;

	pthread_mutex_lock(&l->set->mutex);
	waits = l->asking == ASKING_WAITS;
	pthread_mutex_unlock(&l->set->mutex);
	return waits;
}

static void tell_events(struct mf_lanes *s)
{
	struct mf_pipeline_event events[EVENTS_MAX];
	unsigned cnt;

	pthread_mutex_lock(&s->mutex);
	cnt = s->event_cnt;
	memcpy(events, s->events, cnt * sizeof(*events));
	s->event_cnt = 0;
	pthread_mutex_unlock(&s->mutex);
	for (unsigned i = 0; i < cnt && s->ops.event; i++)
		s->ops.event(s->ops.ctx, &events[i]);
}

static unsigned serve_threads(struct mf_lanes *s)
{
	unsigned answered = 0;

	if (!take_call(s))
		return 0;
	for (unsigned i = 1; i < s->cnt; i++) {
		if (!waits_for_answer(&s->lanes[i]))
			continue;
		answer(&s->lanes[i]);
		answered++;
	}
	tell_events(s);
	return answered;
}

/* Return: as mf_pipeline_run(); what is behind a full batch is left for the next turn */
static int run_lane(struct lane *l, uint64_t now_ns)
{
	int r = mf_pipeline_run(l->pipeline, now_ns);
	bool full = r > 0 && !mf_tun_is_drained(l->tun);

	l->full = full ? l->full + 1 : 0;
	l->set->more |= full;
	return r;
}

static bool is_busy(const struct lane *l, int handled)
{
	const struct mf_lanes *s = l->set;

	return l != s->lanes && !s->threadless &&
	       (l->full >= BUSY_TURNS || (s->eager && handled > 0));
}

int mf_lanes_run(struct mf_lanes *s, uint64_t now_ns)
{
	unsigned handled = 0, i = s->next;

	if (s->cnt > 1)
		handled = serve_threads(s);
	s->more = false;
	for (unsigned n = 0; n < s->cnt && !s->more; n++, i = (i + 1) % s->cnt) {
		struct lane *l = &s->lanes[i];
		int r;

		if (atomic_load_explicit(&l->owner, memory_order_acquire) != OWNER_LOOP)
			continue;
		r = run_lane(l, now_ns);
		if (r == MF_E_CLOSED)
			s->closed = true;
		else if (r > 0)
			handled += (unsigned)r;
		if (is_busy(l, r))
			hand_over(l);
	}
	s->next = i;
	return s->closed ? MF_E_CLOSED : (int)handled;
}

int mf_lanes_fd(const struct mf_lanes *s)
{
	return s->cnt > 1 ? s->epoll_fd : s->lanes[0].fd;
}

bool mf_lanes_has_more(const struct mf_lanes *s)
{
	return s->more;
}

uint64_t mf_lanes_deadline(const struct mf_lanes *s)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < s->cnt; i++) {
		const struct lane *l = &s->lanes[i];
		uint64_t t;

		if (atomic_load_explicit(&l->owner, memory_order_acquire) != OWNER_LOOP)
			continue;
		t = mf_pipeline_deadline(l->pipeline);
		next = t < next ? t : next;
	}
	return next;
}

struct mf_pipeline *mf_lanes_pipeline(struct mf_lanes *s)
{
	return s->lanes[0].pipeline;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Beginning and end                                                                                                */

unsigned mf_lanes_default(void)
{
	cpu_set_t set;
	unsigned cpus =
		sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;

	/* The programs at both ends want processors as well. With two or three, threads were found to gain nothing. */
	return cpus < 4 ? 1 : cpus < 8 ? cpus / 2 : 4;
}

static int make_wakeups(struct mf_lanes *s, struct mf_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (s->cnt == 1)
		return 0;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->epoll_fd < 0 || s->event_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->event_fd, &ev) < 0)
		return mf_err_set(err, MF_E_IO, "cannot wait for the queues of a device: %s",
				  strerror(errno));
	for (unsigned i = 0; i < s->cnt; i++)
		watch(&s->lanes[i]);
	return 0;
}

static int make_lane(struct mf_lanes *s, unsigned i, int fd, const struct mf_pipeline_options *o,
		     struct mf_err *err)
{
	struct lane *l = &s->lanes[i];
	struct mf_backend backend;
	int r;

	l->fd = fd;
	r = mf_tun_new(fd, &l->tun, err);
	if (r < 0)
		return r;
	mf_tun_get_backend(l->tun, &backend);
	return mf_pipeline_new(
		o, &backend,
		&(struct mf_pipeline_ops){ .decide = lane_decide, .event = lane_event, .ctx = l },
		&l->pipeline, err);
}

int mf_lanes_new(const struct mf_lanes_options *options, struct mf_lanes **ret, struct mf_err *err)
{
	struct mf_pipeline_options o = *options->pipeline;
	struct mf_lanes *s;
	int r = 0;

	if (!options->cnt || options->cnt > MF_LANES_MAX)
		return mf_err_set(err, MF_E_INVAL, "a device has 1 to %d queues", MF_LANES_MAX);
	s = calloc(1, sizeof(*s));
	if (!s)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	s->ops = options->ops;
	s->cnt = options->cnt;
	s->eager = options->eager;
	s->idle_ms = options->idle_ms ? options->idle_ms : IDLE_MS;
	s->epoll_fd = s->event_fd = -1;
	pthread_mutex_init(&s->mutex, NULL);
	for (unsigned i = 0; i < MF_LANES_MAX; i++) {
		s->lanes[i].set = s;
		pthread_cond_init(&s->lanes[i].wake, NULL);
	}
	if (!o.nat)
		r = mf_nat_new(NULL, &s->nat, err);
	if (!o.nat)
		o.nat = s->nat;
	for (unsigned i = 0; i < s->cnt && r == 0; i++)
		r = make_lane(s, i, options->fds[i], &o, err);
	if (r == 0)
		r = make_wakeups(s, err);
	if (r < 0) {
		mf_lanes_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void mf_lanes_stop(struct mf_lanes *s)
{
	s->threadless = true;
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	for (unsigned i = 0; i < s->cnt; i++)
		pthread_cond_signal(&s->lanes[i].wake);
	pthread_mutex_unlock(&s->mutex);
	for (unsigned i = 0; i < s->cnt; i++) {
		if (s->lanes[i].has_thread)
			pthread_join(s->lanes[i].thread, NULL);
		s->lanes[i].has_thread = false;
	}
}

void mf_lanes_gather(struct mf_lanes *s, struct mf_metrics *metrics)
{
	struct mf_label label = { "backend", "tun" };

	mf_lanes_stop(s);
	for (unsigned i = 0; i < s->cnt; i++)
		mf_pipeline_gather(s->lanes[i].pipeline, metrics);
	mf_counter_add(mf_metrics_counter(metrics, "moonfence_lanes_handed_over_total",
					  "Times that a busy queue was left to its thread", &label,
					  1),
		       s->stats.handed_over - s->gathered.handed_over);
	mf_counter_add(mf_metrics_counter(metrics, "moonfence_lanes_asked_total",
					  "Decisions that such a thread waited for", &label, 1),
		       s->stats.asked - s->gathered.asked);
	s->gathered = s->stats;
}

void mf_lanes_get_stats(struct mf_lanes *s, struct mf_lanes_stats *ret)
{
	pthread_mutex_lock(&s->mutex);
	*ret = s->stats;
	pthread_mutex_unlock(&s->mutex);
}

void mf_lanes_free(struct mf_lanes *s)
{
	if (!s)
		return;
	mf_lanes_stop(s);
	for (unsigned i = 0; i < MF_LANES_MAX; i++) {
		mf_pipeline_free(s->lanes[i].pipeline);
		mf_tun_free(s->lanes[i].tun);
		pthread_cond_destroy(&s->lanes[i].wake);
	}
	mf_nat_free(s->nat);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->event_fd >= 0)
		close(s->event_fd);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}
