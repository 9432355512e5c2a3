/* SPDX-License-Identifier: Apache-2.0 */
/* serve_linux.c - see serve_linux.h */
#include "fs/serve_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/cond.h"
#include "core/base/thread.h"
#include "fs/fuse_hold_linux.h"
#include "fs/serve_near_linux.h"

#define WAKE	    (SIGRTMIN + 7) /* interrupts a thread's read */
#define WATCH_MS    4
#define QUIET_TURNS 25	 /* of the watch without a request: it sleeps */
#define ASLEEP_MS   1000 /* then; a signal that comes right before it sleeps is seen by then */
#define WAITED_NS \
	5000 /* a read that took longer had to wait; others take one or two microseconds */
#define BUSY_STREAK 32	  /* reads in a row that need not wait: one thread more */
#define IDLE_STREAK 16	  /* reads in a row that had to: one less */
#define NEAR_MIN    8	  /* requests between two looks of the watch: somebody goes on asking */
#define NEAR_PART   8	  /* so small a part of them may be others' */
#define AHEAD_MIN   65536 /* bytes of a read that is more than what somebody waits for */
#define NEAR_DOUBTS 4	  /* looks that say otherwise, one after the other */

struct worker {
	struct mf_fuse_server *server;
	pthread_t thread;
	_Atomic pid_t tid;
	_Alignas(64) _Atomic uint64_t turn; /* odd while it serves a request */
	_Atomic uint32_t caller;	    /* thread whose request it served last */
	_Atomic uint32_t callers;	    /* times that it was another one */
	uint64_t seen;			    /* by the watch */
	uint32_t callers_seen;
	bool ended;
};

struct mf_fuse_server {
	struct fuse_session *se;
	struct mf_fuse_holder *holder; /* NULL: no request waits for a person */
	unsigned max;
	int wake_fd; /* of the watch */
	struct mf_fuse_near near;
	unsigned doubts; /* whether one serves one */
	_Atomic bool asleep;
	_Atomic int error;
	pthread_mutex_t lock;
	pthread_cond_t call_cond, end_cond;
	_Atomic unsigned reading; /* threads that are not aside */
	_Atomic unsigned wanted;
	unsigned made, aside, called, ended, most;
	bool ending;
	struct worker workers[];
};

struct mf_fuse_server *mf_fuse_server_new(struct fuse_session *se, unsigned threads_max)
{
	struct mf_fuse_server *s =
		aligned_alloc(64, (sizeof(*s) + threads_max * sizeof(s->workers[0]) + 63) & ~63UL);

	if (!s)
		return NULL;
	*s = (struct mf_fuse_server){ .se = se, .max = threads_max };
	for (unsigned i = 0; i < threads_max; i++)
		s->workers[i] = (struct worker){ .server = s };
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->call_cond, NULL);
	mf_cond_init(&s->end_cond);
	return s;
}

void mf_fuse_server_hold(struct mf_fuse_server *s, struct mf_fuse_holder *holder)
{
	s->holder = holder;
}

void mf_fuse_server_free(struct mf_fuse_server *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->end_cond);
	pthread_cond_destroy(&s->call_cond);
	pthread_mutex_destroy(&s->lock);
	close(s->wake_fd);
	free(s);
}

static void wake_watch(struct mf_fuse_server *s)
{
	const uint64_t one = 1;

	(void)!write(s->wake_fd, &one, sizeof(one));
}

void mf_fuse_server_stop(struct mf_fuse_server *s)
{
	fuse_session_exit(s->se);
	wake_watch(s);
}

unsigned mf_fuse_server_threads(const struct mf_fuse_server *s)
{
	return s->most;
}

/* ---- more and fewer -------------------------------------------------------------------------------------------- */

static void *worker_main(void *arg);

/* One thread more reads. Under the lock. */
static int add_reader(struct mf_fuse_server *s)
{
	int r;

	if (s->reading >= s->max || s->ending)
		return -EAGAIN;
	if (s->aside > s->called) {
		s->called++;
		pthread_cond_signal(&s->call_cond);
	} else {
		r = mf_thread_start(&s->workers[s->made].thread, worker_main, &s->workers[s->made]);
		if (r != 0)
			return -r;
		s->made++;
	}
	s->reading++;
	if (s->reading > s->most)
		s->most = s->reading;
	return 0;
}

static void want_more(struct mf_fuse_server *s)
{
	if (s->wanted >= s->max)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->wanted < s->max && add_reader(s) == 0)
		s->wanted++;
	pthread_mutex_unlock(&s->lock);
}

static void want_less(struct mf_fuse_server *s)
{
	if (s->wanted <= 1)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->wanted > 1)
		s->wanted--;
	pthread_mutex_unlock(&s->lock);
}

/* Until it is called. Return: false: it ends */
static bool stand_aside(struct mf_fuse_server *s)
{
	bool go_on;

	pthread_mutex_lock(&s->lock);
	if (s->reading > s->wanted && !s->ending) {
		s->reading--;
		s->aside++;
		while (!s->called && !s->ending)
			pthread_cond_wait(&s->call_cond, &s->lock);
		s->aside--;
		if (s->called)
			s->called--;
	}
	go_on = !s->ending;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

/* ---- one thread ------------------------------------------------------------------------------------------------ */

/* Take the wake-up signal, and only while reading. */
static void let_wake(void)
{
	sigset_t only;

	sigemptyset(&only);
	sigaddset(&only, WAKE);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

/* What the kernel asks for by itself has no caller. What it reads ahead counts as somebody else's: two processors do more of that. */
static void note_caller(struct worker *w, const struct fuse_in_header *h, bool ahead)
{
	if (!h->pid || (!ahead && h->pid == atomic_load_explicit(&w->caller, memory_order_relaxed)))
		return;
	atomic_store_explicit(&w->caller, h->pid, memory_order_relaxed);
	atomic_fetch_add_explicit(&w->callers, 1, memory_order_relaxed);
}

static bool is_ahead(const struct fuse_buf *buf, const struct fuse_in_header *h)
{
	struct fuse_read_in in;

	if (h->opcode != FUSE_READ || buf->size < sizeof(*h) + sizeof(in))
		return false;
	memcpy(&in, (const char *)buf->mem + sizeof(*h), sizeof(in));
	return in.size >= AHEAD_MIN;
}

/* Return: whether somebody waits for it: nobody does for what the kernel lets go */
static bool note_request(struct worker *w, const struct fuse_buf *buf)
{
	struct fuse_in_header h;

	if (buf->size < sizeof(h) || buf->flags & FUSE_BUF_IS_FD)
		return true;
	memcpy(&h, buf->mem, sizeof(h));
	note_caller(w, &h, is_ahead(buf, &h));
	return h.opcode != FUSE_RELEASE && h.opcode != FUSE_FORGET && h.opcode != FUSE_BATCH_FORGET;
}

static void serve_one(struct worker *w, struct fuse_buf *buf)
{
	struct mf_fuse_server *s = w->server;

	atomic_fetch_add(&w->turn, 1);
	if (atomic_load(&s->asleep) && atomic_exchange(&s->asleep, false))
		wake_watch(s);
	if (s->holder)
		mf_fuse_holder_serve(s->holder, buf);
	else
		fuse_session_process_buf(s->se, buf);
	atomic_fetch_add_explicit(&w->turn, 1, memory_order_release);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct mf_fuse_server *s = w->server;
	struct fuse_buf buf = { 0 };
	unsigned busy = 0, idle = 0;
	bool waited, awaited, before = true;
	uint64_t from;
	int n;

	mf_fuse_near_begin(&s->near);
	w->tid = gettid();
	let_wake();
	while (!fuse_session_exited(s->se)) {
		from = mf_clock_now(&mf_clock_system);
		n = fuse_session_receive_buf(s->se, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0) {
			if (n < 0) {
				s->error = n;
				fuse_session_exit(s->se);
			}
			break;
		}
		waited = mf_clock_now(&mf_clock_system) - from > WAITED_NS;
		awaited = note_request(w, &buf);
		// What comes right behind a file that is closed says nothing: both were sent without waiting.
		if (waited)
			busy = 0, idle++;
		else if (awaited && before)
			idle = 0, busy++;
		before = awaited;
		serve_one(w, &buf);
		if (busy == BUSY_STREAK) {
			busy = 0;
			want_more(s);
		} else if (idle == IDLE_STREAK) {
			idle = 0;
			want_less(s);
		}
		// Only where nothing was waiting for it.
		if (!busy && s->reading > s->wanted && !stand_aside(s))
			break;
	}
	free(buf.mem);
	pthread_mutex_lock(&s->lock);
	w->ended = true;
	s->ended++;
	pthread_cond_signal(&s->end_cond);
	pthread_mutex_unlock(&s->lock);
	wake_watch(s);
	return NULL;
}

/* ---- the watch ------------------------------------------------------------------------------------------------- */

/* Whether it waits for something, and not just for a processor. */
static bool sleeps(const struct worker *w)
{
	char path[64], text[256], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)w->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return true;
	text[n] = '\0';
	at = strrchr(text, ')');
	return !at || strncmp(at, ") R", 3) != 0;
}

/* What came in since the last look. */
struct load {
	const struct worker *main; /* that served most of it */
	uint64_t requests, of_main;
	uint32_t callers; /* times that it was somebody else's turn */
};

static void add_load(struct load *l, struct worker *w, uint64_t turn)
{
	uint64_t requests = (turn - w->seen) / 2;
	uint32_t callers = atomic_load(&w->callers);

	if (requests > l->of_main) {
		l->main = w;
		l->of_main = requests;
	}
	l->requests += requests;
	l->callers += callers - w->callers_seen;
	w->callers_seen = callers;
}

/* Who serves alone stays near to whom it serves alone. */
static void keep_near(struct mf_fuse_server *s, const struct load *l)
{
	uint64_t part = l->requests / NEAR_PART;

	if (l->requests < NEAR_MIN) {
		s->near.rest = 0; // who goes on after a pause may be elsewhere
		return;
	}
	if (s->wanted == 1 && l->callers <= part && l->requests - l->of_main <= part) {
		s->doubts = 0;
		mf_fuse_near_stay(&s->near, l->main->tid, (pid_t)atomic_load(&l->main->caller));
	} else if (++s->doubts >= NEAR_DOUBTS) {
		mf_fuse_near_leave(&s->near);
	}
}

/* Whether anything came in since the last look; a thread more where all are held up. */
static bool look(struct mf_fuse_server *s)
{
	struct load load = { 0 };
	unsigned stuck = 0;
	bool moved = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->made; i++) {
		struct worker *w = &s->workers[i];
		uint64_t turn = atomic_load(&w->turn);

		if (!w->ended)
			add_load(&load, w, turn);
		moved |= turn != w->seen || turn & 1;
		stuck += turn & 1 && turn == w->seen && sleeps(w);
		w->seen = turn;
	}
	if (stuck >= s->reading)
		(void)add_reader(s);
	keep_near(s, &load);
	pthread_mutex_unlock(&s->lock);
	return moved;
}

/* After a pause somebody asks again, most likely the same one, from wherever it is now. */
static void near_again(struct mf_fuse_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->near.rest = 0;
	for (unsigned i = 0; s->near.tid && i < s->made; i++)
		if (s->workers[i].tid == s->near.tid) {
			mf_fuse_near_stay(&s->near, s->near.tid, (pid_t)s->workers[i].caller);
			break;
		}
	pthread_mutex_unlock(&s->lock);
}

static void watch(struct mf_fuse_server *s)
{
	struct pollfd p = { .fd = s->wake_fd, .events = POLLIN };
	unsigned quiet = 0;
	uint64_t cnt;

	while (!fuse_session_exited(s->se)) {
		quiet = look(s) ? 0 : quiet + 1;
		if (quiet >= QUIET_TURNS) {
			atomic_store(&s->asleep, true);
			if (look(s)) { // one came in just now
				quiet = 0;
				continue;
			}
		}
		(void)poll(&p, 1, quiet >= QUIET_TURNS ? ASLEEP_MS : WATCH_MS);
		if (quiet >= QUIET_TURNS && !atomic_exchange(&s->asleep, false)) {
			quiet = 0;
			near_again(s);
		} else if (quiet >= QUIET_TURNS) {
			mf_fuse_near_leave(&s->near);
		}
		(void)!read(s->wake_fd, &cnt, sizeof(cnt));
	}
}

/* Those that read are interrupted until they have seen that it is over; those that serve somebody end what they do. */
static void end_workers(struct mf_fuse_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->call_cond);
	while (s->ended < s->made) {
		struct timespec until = mf_cond_in_ms(WATCH_MS);

		for (unsigned i = 0; i < s->made; i++)
			if (!s->workers[i].ended && !(atomic_load(&s->workers[i].turn) & 1))
				pthread_kill(s->workers[i].thread, WAKE);
		(void)mf_cond_wait_until(&s->end_cond, &s->lock, &until);
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->made; i++)
		pthread_join(s->workers[i].thread, NULL);
}

static void on_wake(int sig)
{
	(void)sig;
}

int mf_fuse_serve(struct mf_fuse_server *s)
{
	const struct sigaction wake = { .sa_handler = on_wake };
	int r;

	sigaction(WAKE, &wake, NULL);
	mf_fuse_near_init(&s->near);
	pthread_mutex_lock(&s->lock);
	s->wanted = 1;
	r = add_reader(s);
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		watch(s);
	end_workers(s);
	return r < 0 ? r : s->error;
}
