/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - the queues of the sinks and the threads that empty them; see events.h
 *
 * One lock protects all queues: it is held for a copy of a line, never while anything is written. A sink has two
 * buffers; lines are put behind one another into the first, the thread takes it whole and leaves the other in its place.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/cond.h"
#include "core/base/hash.h"
#include "core/observe/event_stamp.h"
#include "core/observe/sink.h"

#define QUEUE_DEFAULT	((size_t)1 << 20)
#define QUEUE_LEAST	((size_t)4 * MF_EVENT_ROOM)
#define QUEUE_MOST	((size_t)1 << 30)
#define RESERVE_DEFAULT 25u
#define LINGER_DEFAULT	5u
#define CLOSE_DEFAULT	5000u
#define LOOK_AGAIN_MS	100u  // a strict stream's sink that cannot store
#define LOOK_FIRST_MS	5000u // until all have looked

struct sink {
	struct mf_events *events;
	char name[64];
	int fd; // -1: a callback or a writer
	bool own_fd, is_file, is_notice;
	mf_event_fn fn; // also for notices: same shape
	const struct mf_events_writer *writer;
	void *ctx;
	pthread_t thread;
	pthread_cond_t wake;
	bool awake; // the thread runs or has been told to

	// Under the lock.
	char *queue; // lines with their newlines
	size_t len;
	uint64_t put, taken; // bytes that went in and out, for flush
	uint64_t missing;    // lines dropped since the last events_dropped line
	bool reopen;	     // asked for
	bool look;	     // whether it can store: asked for
	bool storing;	     // of a strict stream: so it was when the thread looked

	// Of the thread.
	char *batch;
	size_t batch_len;
	bool failing; // the last write failed
	bool torn;    // it ended within a line
	bool looked;  // whether it can store, once at least
};

struct mf_events {
	struct mf_events_options options;
	size_t reserve;
	pthread_mutex_t lock;
	pthread_cond_t written;
	struct sink sinks[MF_EVENTS_SINKS_MAX + 1]; // one more for notices
	uint32_t sink_cnt;
	bool closing;
	_Atomic bool strict;
	uint32_t flushing;	  // threads in mf_events_flush()
	uint32_t senders_waiting; // for room in a queue
	char run[9];
	_Atomic uint64_t give_up_ns; // monotonic time at which sinks stop trying; 0: never
	uint64_t number;	     // of the last event
	uint64_t second;	     // that stamp shows
	char stamp[MF_EVENT_NUMBER_AT];
	struct mf_events_stats stats;
};

// ------------------------------------------------------------------------------------------------------------------
// Stamps

static void put_digits(char *to, uint64_t value, size_t cnt)
{
	while (cnt-- > 0) {
		to[cnt] = (char)('0' + value % 10);
		value /= 10;
	}
}

// Date from days since 1970-01-01, in a year that begins in March so that the leap day is its last.
static void put_date(char *to, uint64_t days)
{
	uint64_t d = days + 719468, era = d / 146097, doe = d % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), m = (5 * doy + 2) / 153;
	uint64_t month = m < 10 ? m + 3 : m - 9;

	put_digits(to, yoe + era * 400 + (month <= 2), 4);
	put_digits(to + 5, month, 2);
	put_digits(to + 8, doy - (153 * m + 2) / 5 + 1, 2);
}

// Writes time and number into the beginning of a line. Under the lock.
static void stamp(struct mf_events *e, char *line)
{
	uint64_t us = mf_clock_wall(e->options.clock) / 1000, s = us / 1000000;

	if (s != e->second || !e->number) {
		char *t = e->stamp + MF_EVENT_TIME_AT;

		e->second = s;
		put_date(t, s / 86400);
		put_digits(t + 11, s / 3600 % 24, 2);
		put_digits(t + 14, s / 60 % 60, 2);
		put_digits(t + 17, s % 60, 2);
	}
	put_digits(e->stamp + MF_EVENT_TIME_AT + 20, us % 1000000, 6);
	memcpy(line, e->stamp, sizeof(e->stamp));
	put_digits(line + MF_EVENT_NUMBER_AT, ++e->number, MF_EVENT_NUMBER_LEN);
}

// ------------------------------------------------------------------------------------------------------------------
// Queues

static bool append(struct mf_events *e, struct sink *s, const char *line, size_t len, bool priority)
{
	size_t cap = e->options.queue_bytes, half = cap / 2, before = s->len;

	if (s->len + len + 1 > (priority ? cap : cap - e->reserve))
		return false;
	memcpy(s->queue + s->len, line, len);
	s->queue[s->len + len] = '\n';
	s->len += len + 1;
	s->put += len + 1;
	// Once to wake it, once more when it need not linger any longer.
	if (!s->awake || (before < half && s->len >= half)) {
		s->awake = true;
		pthread_cond_signal(&s->wake);
	}
	return true;
}

// Under the lock.
static int queue_line(struct mf_events *e, const char *line, size_t len, bool priority)
{
	int r = 0;

	e->stats.sent++;
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		struct sink *s = &e->sinks[i];

		if (s->is_notice)
			continue;
		if (!append(e, s, line, len, priority)) {
			s->missing++;
			e->stats.dropped++;
			r = MF_E_FULL;
		}
		if (s->writer)
			s->writer->offer(s->ctx);
	}
	return r;
}

// Waits until a line of @len bytes fits everywhere, but no longer than senders may. Under the lock.
static void make_room(struct mf_events *e, size_t len, bool priority)
{
	size_t room = priority ? e->options.queue_bytes : e->options.queue_bytes - e->reserve;
	struct timespec until;
	bool waits = false;

	for (uint32_t i = 0; e->options.wait_ms && i < e->sink_cnt;) {
		if (e->sinks[i].is_notice || e->sinks[i].len + len + 1 <= room) {
			i++;
			continue;
		}
		if (!waits)
			until = mf_cond_in_ms(e->options.wait_ms);
		waits = true;
		e->senders_waiting++;
		if (!mf_cond_wait_until(&e->written, &e->lock, &until)) {
			e->senders_waiting--;
			return;
		}
		e->senders_waiting--;
		i = 0;
	}
}

// Under the lock.
static void queue_notice(struct mf_events *e, const struct mf_event *ev)
{
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		struct sink *s = &e->sinks[i];

		if (s->is_notice && !append(e, s, ev->notice, ev->notice_len, true))
			e->stats.notices_dropped++;
	}
}

int mf_events_send(struct mf_events *e, struct mf_event *ev)
{
	const char *line;
	size_t len;
	int r;

	if (!e)
		return 0;
	line = mf_event_end(ev, &len);
	pthread_mutex_lock(&e->lock);
	if (ev->visibility == MF_SILENT) {
		e->stats.silent++;
		pthread_mutex_unlock(&e->lock);
		return 0;
	}
	make_room(e, len, ev->priority);
	stamp(e, ev->buf);
	e->stats.truncated += ev->truncated;
	r = queue_line(e, line, len, ev->priority);
	if (ev->notice_len)
		queue_notice(e, ev);
	pthread_mutex_unlock(&e->lock);
	return r;
}

int mf_events_send_line(struct mf_events *e, const char *line, size_t len)
{
	char copy[MF_EVENT_ROOM];
	int r;

	if (!e)
		return 0;
	if (len < sizeof(MF_EVENT_STAMP) - 1 || len > sizeof(copy) || memchr(line, '\n', len))
		return MF_E_INVAL;
	memcpy(copy, line, len);
	pthread_mutex_lock(&e->lock);
	make_room(e, len, true);
	stamp(e, copy);
	r = queue_line(e, copy, len, true);
	pthread_mutex_unlock(&e->lock);
	return r;
}

// ------------------------------------------------------------------------------------------------------------------
// Strict streams

static bool stores(const struct sink *s)
{
	return !s->fn;
}

// Under the lock. Return: 1, 0, -1: when there is room in a queue
static int can_store(const struct mf_events *e)
{
	size_t room = e->options.queue_bytes - e->reserve;
	bool full = false;

	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		const struct sink *s = &e->sinks[i];

		if (stores(s) && !s->storing)
			return 0;
		full = full || (stores(s) && s->len + MF_EVENT_ROOM > room);
	}
	return full ? -1 : 1;
}

bool mf_events_is_strict(const struct mf_events *e)
{
	return e && atomic_load_explicit(&e->strict, memory_order_acquire);
}

bool mf_events_storing(struct mf_events *e, uint32_t wait_ms)
{
	struct timespec until;
	int can;

	if (!mf_events_is_strict(e))
		return true;
	pthread_mutex_lock(&e->lock);
	can = can_store(e);
	if (can < 0 && wait_ms) {
		until = mf_cond_in_ms(wait_ms);
		e->senders_waiting++;
		do {
			bool more = mf_cond_wait_until(&e->written, &e->lock, &until);

			can = can_store(e);
			if (!more)
				break;
		} while (can < 0);
		e->senders_waiting--;
	}
	e->stats.refused += can <= 0;
	pthread_mutex_unlock(&e->lock);
	return can > 0;
}

static bool all_have_looked(const struct mf_events *e)
{
	for (uint32_t i = 0; i < e->sink_cnt; i++)
		if (e->sinks[i].look)
			return false;
	return true;
}

int mf_events_be_strict(struct mf_events *e, struct mf_err *err)
{
	struct timespec until = mf_cond_in_ms(LOOK_FIRST_MS);
	uint32_t cnt = 0;

	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		struct sink *s = &e->sinks[i];

		if (!stores(s))
			continue;
		cnt++;
		s->look = true;
		pthread_cond_signal(&s->wake);
	}
	atomic_store_explicit(&e->strict, cnt > 0, memory_order_release);
	// Whoever has not looked by then stores nothing until it has.
	while (!all_have_looked(e) && mf_cond_wait_until(&e->written, &e->lock, &until))
		;
	pthread_mutex_unlock(&e->lock);
	return cnt ? 0
		   : mf_err_set(err, MF_E_INVAL,
				"Events cannot be insisted on: nothing stores them.");
}

// In the sink's thread, without the lock. @was: what it found last
static bool look_whether(struct sink *s, bool was)
{
	const struct mf_events *e = s->events;
	bool good = !s->failing && (!s->writer || !s->writer->has_room ||
				    s->writer->has_room(s->ctx, 2 * e->options.queue_bytes));

	if (!good && (was || !s->looked))
		mf_log_error(e->options.log,
			     "Events cannot be stored in %s: what they would tell of is refused.",
			     s->name);
	else if (good && !was && s->looked)
		mf_log_warning(e->options.log, "Events are stored in %s again.", s->name);
	s->looked = true;
	return good;
}

// ------------------------------------------------------------------------------------------------------------------
// The threads of the sinks

static bool give_up(void *ctx)
{
	struct sink *s = ctx;
	uint64_t at = atomic_load_explicit(&s->events->give_up_ns, memory_order_relaxed);

	return at && mf_clock_now(&mf_clock_system) >= at;
}

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t cnt = 0;

	for (const char *end = text + len; (text = memchr(text, '\n', (size_t)(end - text)));
	     text++)
		cnt++;
	return cnt;
}

static uint64_t call_back(struct sink *s, const char *text, size_t len)
{
	const char *end = text + len;
	uint64_t cnt = 0;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));

		s->fn(s->ctx, text, (size_t)(nl - text));
		text = nl + 1;
		cnt++;
	}
	return cnt;
}

static int write_text(struct sink *s, const char *text, size_t len, uint64_t missing,
		      size_t *ret_done)
{
	return s->writer ? s->writer->write(s->ctx, text, len, missing, give_up, s, ret_done)
			 : mf_sink_write(s->fd, s->is_file, text, len, give_up, s, ret_done);
}

// @missing: 0, or the text is the line that tells of so many. Return: lines that were lost.
static uint64_t write_lines(struct sink *s, const char *text, size_t len, uint64_t missing)
{
	size_t done = 0;
	int r;

	if (s->fn) {
		call_back(s, text, len);
		return 0;
	}
	// A line that was torn by an error ends before the next begins.
	if (s->torn) {
		r = write_text(s, "\n", 1, 0, &done);
		if (r)
			return count_lines(text, len);
		s->torn = false;
	}
	r = write_text(s, text, len, missing, &done);
	if (r && !s->failing)
		mf_log_error(s->events->options.log, "Cannot write events to %s: %s.", s->name,
			     r == MF_E_TIME ? "nobody takes them" : strerror(errno));
	s->failing = r != 0;
	if (!r)
		return 0;
	s->torn = done > 0 && text[done - 1] != '\n';
	return count_lines(text + done, len - done);
}

// The line that says how many are missing; @missing of them until now. Return: whether it was written.
static bool write_missing(struct sink *s, uint64_t missing)
{
	struct mf_event ev;
	size_t len;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_EVENTS_DROPPED });
	mf_event_add_int(&ev, MF_EVF_COUNT, (int64_t)missing);
	mf_event_add_cstr(&ev, MF_EVF_SINK, s->name);
	mf_event_end(&ev, &len);
	pthread_mutex_lock(&s->events->lock);
	stamp(s->events, ev.buf);
	pthread_mutex_unlock(&s->events->lock);
	ev.buf[len] = '\n';
	return write_lines(s, ev.buf, len + 1, missing) == 0;
}

// Waits until there is something to write. Under the lock. Return: false when all is written and it is to end.
static bool wait_for_lines(struct mf_events *e, struct sink *s)
{
	struct timespec until;

	// A sink that fails is tried again with the next line, not over and over with the report of what it lost.
	while (!e->closing && !s->reopen && !s->look && !s->len && (!s->missing || s->failing)) {
		s->awake = false;
		if (!atomic_load_explicit(&e->strict, memory_order_relaxed) || !stores(s) ||
		    s->storing) {
			pthread_cond_wait(&s->wake, &e->lock);
			continue;
		}
		// Somebody is refused what he wants as long as this cannot store: it looks by itself.
		until = mf_cond_in_ms(LOOK_AGAIN_MS);
		if (!mf_cond_wait_until(&s->wake, &e->lock, &until))
			s->look = true;
	}
	s->awake = true;
	if (s->reopen || s->look)
		return true;
	if (!s->len && (!s->missing || s->failing))
		return false;
	until = mf_cond_in_ms(e->options.linger_ms);
	while (!e->closing && !e->flushing && s->len < e->options.queue_bytes / 2)
		if (!mf_cond_wait_until(&s->wake, &e->lock, &until))
			break;
	return true;
}

static void *run_sink(void *arg)
{
	struct sink *s = arg;
	struct mf_events *e = s->events;

	mf_sink_enter_thread();
	pthread_mutex_lock(&e->lock);
	while (wait_for_lines(e, s)) {
		uint64_t missing = s->missing, lost = 0;
		char *full = s->queue;
		bool reported = true, reopen = s->reopen, look = s->look, storing = s->storing;
		bool strict = e->strict && stores(s);

		s->queue = s->batch;
		s->batch = full;
		s->batch_len = s->len;
		s->len = 0;
		s->missing = 0;
		s->reopen = false;
		if (e->senders_waiting)
			pthread_cond_broadcast(&e->written);
		pthread_mutex_unlock(&e->lock);
		if (reopen && s->writer)
			s->writer->reopen(s->ctx);
		if (s->batch_len)
			lost = write_lines(s, s->batch, s->batch_len, 0);
		if (missing && (!s->failing || look))
			reported = write_missing(s, missing);
		if (strict)
			storing = look_whether(s, storing);
		pthread_mutex_lock(&e->lock);
		s->look = s->look && !look;
		s->storing = storing;
		s->taken += s->batch_len;
		s->missing += lost + (missing && (s->failing || !reported) ? missing : 0);
		e->stats.lost += lost;
		if (s->is_notice)
			e->stats.notices += count_lines(s->batch, s->batch_len);
		pthread_cond_broadcast(&e->written);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

// ------------------------------------------------------------------------------------------------------------------
// Setting up and ending

static int add_sink(struct mf_events *e, const struct sink *what, const char *name,
		    struct mf_err *err)
{
	struct sink *s = &e->sinks[e->sink_cnt];
	uint32_t used = e->sink_cnt - (e->options.notice && e->sink_cnt);

	if (used >= MF_EVENTS_SINKS_MAX)
		return mf_err_set(err, MF_E_FULL, "Events have at most %d sinks.",
				  MF_EVENTS_SINKS_MAX);
	*s = *what;
	s->events = e;
	snprintf(s->name, sizeof(s->name), "%s", name ? name : "sink");
	s->queue = malloc(e->options.queue_bytes);
	s->batch = malloc(e->options.queue_bytes);
	if (!s->queue || !s->batch)
		goto nomem;
	if (mf_cond_init(&s->wake))
		goto nomem;
	s->awake = true; // until it waits
	pthread_mutex_lock(&e->lock);
	if (pthread_create(&s->thread, NULL, run_sink, s)) {
		pthread_mutex_unlock(&e->lock);
		pthread_cond_destroy(&s->wake);
		goto nomem;
	}
	e->sink_cnt++;
	pthread_mutex_unlock(&e->lock);
	return 0;
nomem:
	free(s->queue);
	free(s->batch);
	return mf_err_set(err, MF_E_NOMEM, "No memory or thread for a sink of events.");
}

static void notice_line(void *ctx, const char *text, size_t len)
{
	struct mf_events *e = ctx;

	e->options.notice(e->options.notice_ctx, text, len);
}

int mf_events_new(const struct mf_events_options *options, struct mf_events **ret_events,
		  struct mf_err *err)
{
	struct mf_events *e = calloc(1, sizeof(*e));
	struct mf_events_options *o;
	char run[9];
	int r = 0;

	if (!e)
		return mf_err_set(err, MF_E_NOMEM, "No memory for events.");
	o = &e->options;
	if (options)
		*o = *options;
	if (!o->clock)
		o->clock = &mf_clock_system;
	o->queue_bytes = o->queue_bytes ? o->queue_bytes : QUEUE_DEFAULT;
	if (o->queue_bytes < QUEUE_LEAST)
		o->queue_bytes = QUEUE_LEAST;
	if (o->queue_bytes > QUEUE_MOST)
		o->queue_bytes = QUEUE_MOST;
	o->reserve_percent = o->reserve_percent ? o->reserve_percent : RESERVE_DEFAULT;
	if (o->reserve_percent > 90)
		o->reserve_percent = 90;
	o->linger_ms = o->linger_ms ? o->linger_ms : LINGER_DEFAULT;
	o->close_timeout_ms = o->close_timeout_ms ? o->close_timeout_ms : CLOSE_DEFAULT;
	e->reserve = o->queue_bytes / 100 * o->reserve_percent;
	if (pthread_mutex_init(&e->lock, NULL)) {
		free(e);
		return mf_err_set(err, MF_E_NOMEM, "No memory for events.");
	}
	if (mf_cond_init(&e->written)) {
		pthread_mutex_destroy(&e->lock);
		free(e);
		return mf_err_set(err, MF_E_NOMEM, "No memory for events.");
	}
	memcpy(e->stamp, MF_EVENT_STAMP, sizeof(e->stamp));
	snprintf(run, sizeof(run), "%08x", (unsigned)mf_hash_seed());
	memcpy(e->stamp + MF_EVENT_RUN_AT, run, 8);
	memcpy(e->run, run, sizeof(run));
	if (o->notice)
		r = add_sink(
			e,
			&(struct sink){ .fd = -1, .is_notice = true, .fn = notice_line, .ctx = e },
			"notices", err);
	if (r)
		mf_events_free(e);
	else
		*ret_events = e;
	return r;
}

void mf_events_free(struct mf_events *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->closing = true;
	atomic_store_explicit(&e->give_up_ns,
			      mf_clock_now(&mf_clock_system) +
				      e->options.close_timeout_ms * MF_NS_PER_MS,
			      memory_order_relaxed);
	for (uint32_t i = 0; i < e->sink_cnt; i++)
		pthread_cond_signal(&e->sinks[i].wake);
	pthread_mutex_unlock(&e->lock);
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		struct sink *s = &e->sinks[i];

		pthread_join(s->thread, NULL);
		pthread_cond_destroy(&s->wake);
		free(s->queue);
		free(s->batch);
		if (s->own_fd)
			mf_sink_close(s->fd);
		if (s->writer)
			s->writer->close(s->ctx);
	}
	pthread_cond_destroy(&e->written);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

int mf_events_add_file(struct mf_events *e, const char *path, struct mf_err *err)
{
	const char *slash = strrchr(path, '/');
	int fd = mf_sink_open(path, err), r;

	if (fd < 0)
		return fd;
	r = add_sink(e, &(struct sink){ .fd = fd, .own_fd = true, .is_file = mf_sink_is_file(fd) },
		     slash ? slash + 1 : path, err);
	if (r)
		mf_sink_close(fd);
	return r;
}

int mf_events_add_fd(struct mf_events *e, int fd, const char *name, struct mf_err *err)
{
	if (fd < 0)
		return mf_err_set(err, MF_E_INVAL, "No such descriptor: %d.", fd);
	return add_sink(e, &(struct sink){ .fd = fd, .is_file = mf_sink_is_file(fd) }, name, err);
}

int mf_events_add_callback(struct mf_events *e, mf_event_fn fn, void *ctx, const char *name,
			   struct mf_err *err)
{
	return add_sink(e, &(struct sink){ .fd = -1, .fn = fn, .ctx = ctx }, name, err);
}

int mf_events_add_writer(struct mf_events *e, const struct mf_events_writer *writer, void *ctx,
			 const char *name, struct mf_err *err)
{
	return add_sink(e, &(struct sink){ .fd = -1, .writer = writer, .ctx = ctx }, name, err);
}

const char *mf_events_run(const struct mf_events *e)
{
	return e->run;
}

void mf_events_reopen(struct mf_events *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		e->sinks[i].reopen = true;
		pthread_cond_signal(&e->sinks[i].wake);
	}
	pthread_mutex_unlock(&e->lock);
}

static bool all_taken(const struct mf_events *e, const uint64_t *put)
{
	for (uint32_t i = 0; i < e->sink_cnt; i++)
		if (e->sinks[i].taken < put[i])
			return false;
	return true;
}

int mf_events_flush(struct mf_events *e, uint32_t timeout_ms)
{
	struct timespec until = mf_cond_in_ms(timeout_ms);
	uint64_t put[MF_EVENTS_SINKS_MAX + 1];
	int r = 0;

	pthread_mutex_lock(&e->lock);
	e->flushing++;
	for (uint32_t i = 0; i < e->sink_cnt; i++) {
		put[i] = e->sinks[i].put;
		pthread_cond_signal(&e->sinks[i].wake);
	}
	while (!r && !all_taken(e, put))
		if (!mf_cond_wait_until(&e->written, &e->lock, &until))
			r = all_taken(e, put) ? 0 : MF_E_TIME;
	e->flushing--;
	pthread_mutex_unlock(&e->lock);
	return r;
}

void mf_events_get_stats(struct mf_events *e, struct mf_events_stats *ret)
{
	pthread_mutex_lock(&e->lock);
	*ret = e->stats;
	pthread_mutex_unlock(&e->lock);
}
