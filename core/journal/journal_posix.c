/* SPDX-License-Identifier: Apache-2.0 */
/* journal_posix.c - a file of events, written and rotated; see journal.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/journal/gzip.h"
#include "core/journal/journal_int.h"
#include "core/observe/event_stamp.h"
#include "core/observe/sink.h"

#define TRY_AGAIN_S 60u // to rotate or to open anew, after it failed

struct journal {
	char path[PATH_MAX], dir[PATH_MAX], name[MF_JOURNAL_NAME_MAX + 1];
	struct mf_journal_options o;
	const struct mf_log *log;
	int fd;
	bool torn;	    // the file ends within a line
	uint64_t begun_s;   // wall clock: its first line
	uint64_t not_until; // monotonic ns: nothing is tried before
	struct mf_journal_sweeper *sweeper;
	struct mf_journal_ledger *ledger;
};

// ------------------------------------------------------------------------------------------------------------------
// Places

bool mf_journal_split(const char *path, char dir[PATH_MAX], char name[MF_JOURNAL_NAME_MAX + 1])
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;

	if (!*last || strlen(last) > MF_JOURNAL_NAME_MAX || len >= PATH_MAX)
		return false;
	snprintf(name, MF_JOURNAL_NAME_MAX + 1, "%s", last);
	snprintf(dir, PATH_MAX, "%.*s", len ? (int)len : 1, len ? path : ".");
	return true;
}

int mf_journal_lock_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return MF_E_IO;
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR) {
			close(fd);
			return MF_E_IO;
		}
	}
	return fd;
}

static uint64_t wall_s(void)
{
	return mf_clock_wall(&mf_clock_system) / MF_NS_PER_S;
}

// ------------------------------------------------------------------------------------------------------------------
// Opening

// Seconds since 1970 of a line's timestamp; 0: it has none
static uint64_t time_of_line(const char *line)
{
	static const char stamp[] = MF_EVENT_STAMP;
	struct tm tm = { 0 };
	time_t t;

	if (memcmp(line, stamp, MF_EVENT_TIME_AT) != 0 ||
	    sscanf(line + MF_EVENT_TIME_AT, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	return t > 0 ? (uint64_t)t : 0;
}

// What the file has already: when it began, and whether it ends within a line.
static void look_inside(struct journal *j)
{
	int fd = open(j->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char begin[sizeof(MF_EVENT_STAMP)] = "", last = '\n';
	struct stat st;

	j->torn = false;
	j->begun_s = wall_s();
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		ssize_t n = pread(fd, begin, sizeof(begin) - 1, 0);
		uint64_t t = n == (ssize_t)sizeof(begin) - 1 ? time_of_line(begin) : 0;

		if (t && t < j->begun_s)
			j->begun_s = t;
		j->torn = pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
	}
	close(fd);
}

static void let_go(int fd)
{
	// A process forked from this one may still have the file open: the lock ends here nevertheless.
	flock(fd, LOCK_UN);
	close(fd);
}

static int open_file(struct journal *j, struct mf_err *err)
{
	int fd = mf_sink_open(j->path, err);

	if (fd < 0)
		return fd;
	if (!mf_sink_is_file(fd)) {
		mf_sink_close(fd);
		return mf_err_at(err, MF_E_UNSUPPORTED, j->path, 0, 0, "This is no regular file.");
	}
	flock(fd, LOCK_SH | LOCK_NB);
	if (j->fd >= 0)
		let_go(j->fd);
	j->fd = fd;
	look_inside(j);
	return 0;
}

static void complain(struct journal *j, const char *what, const char *why)
{
	j->not_until = mf_clock_now(&mf_clock_system) + TRY_AGAIN_S * MF_NS_PER_S;
	mf_log_error(j->log, "Cannot %s %s: %s Events go on into the file that was there.", what,
		     j->path, why);
}

static void reopen(void *ctx)
{
	struct journal *j = ctx;
	struct mf_err err = { 0 };

	if (open_file(j, &err) < 0)
		complain(j, "open", err.msg);
}

// ------------------------------------------------------------------------------------------------------------------
// Rotation

// Whether the name leads to the file that we write to. Return: 1, 0, MF_E_IO: nobody knows
static int is_current(const struct journal *j, struct stat *ret_st)
{
	struct stat named;

	if (fstat(j->fd, ret_st) < 0)
		return MF_E_IO;
	if (stat(j->path, &named) < 0)
		return errno == ENOENT ? 0 : MF_E_IO;
	return named.st_dev == ret_st->st_dev && named.st_ino == ret_st->st_ino;
}

static bool is_due(const struct journal *j, const struct stat *st)
{
	if (!st->st_size)
		return false;
	return (j->o.max_bytes && (uint64_t)st->st_size >= j->o.max_bytes) ||
	       (j->o.max_age_s && wall_s() >= j->begun_s + j->o.max_age_s);
}

// The name of what is rotated now: after all those of the same second. Return: false when it is too long
static bool find_name(const struct journal *j, char *buf, size_t size)
{
	time_t now = (time_t)wall_s();
	unsigned long turn;
	char date[32];
	struct tm tm;
	int n;

	if (!gmtime_r(&now, &tm) || !strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm))
		return false;
	turn = mf_journal_last_turn(j->dir, j->name, date) + 1;
	n = turn == 1 ? snprintf(buf, size, "%s.%s", j->path, date)
		      : snprintf(buf, size, "%s.%s-%lu", j->path, date, turn);
	errno = ENAMETOOLONG;
	return n > 0 && (size_t)n < size;
}

static void rotate(struct journal *j)
{
	int lock = mf_journal_lock_dir(j->dir);
	char name[PATH_MAX + 48];
	struct mf_err err = { 0 };
	struct stat st;

	if (lock < 0) {
		complain(j, "rotate", strerror(errno));
		return;
	}
	// Somebody else may have been first.
	if (is_current(j, &st) == 1 && is_due(j, &st)) {
		if (!find_name(j, name, sizeof(name)) || rename(j->path, name) < 0) {
			complain(j, "rotate", strerror(errno));
		} else if (open_file(j, &err) < 0) {
			if (rename(name, j->path) < 0)
				mf_log_error(j->log, "%s stays %s.", j->path, name);
			complain(j, "rotate", err.msg);
		} else {
			mf_journal_sweeper_wake(j->sweeper);
		}
	} else {
		reopen(j);
	}
	close(lock);
}

static void look_at_name(struct journal *j)
{
	struct stat st;
	int current;

	if (j->not_until && mf_clock_now(&mf_clock_system) < j->not_until)
		return;
	j->not_until = 0;
	current = is_current(j, &st);
	if (current == 0)
		reopen(j);
	else if (current == 1 && is_due(j, &st))
		rotate(j);
}

// ------------------------------------------------------------------------------------------------------------------
// The writer

static uint64_t number_of(const char *line)
{
	uint64_t v = 0;

	for (size_t i = 0; i < MF_EVENT_NUMBER_LEN; i++)
		v = v * 10 + (uint64_t)(line[MF_EVENT_NUMBER_AT + i] - '0');
	return v;
}

// What of @text, up to @len, are whole lines, is in the file.
static void count(struct journal *j, const char *text, size_t len, uint64_t missing)
{
	uint64_t lines = 0, number = 0;
	const char *last = NULL;

	for (const char *p = text, *nl; (nl = memchr(p, '\n', (size_t)(text + len - p)));
	     p = nl + 1) {
		lines++;
		last = p;
	}
	if (!last)
		return;
	number = number_of(last);
	mf_journal_ledger_add(j->ledger, missing ? 0 : lines, number, missing);
}

static int write_text(void *ctx, const char *text, size_t len, uint64_t missing,
		      bool (*give_up)(void *ctx), void *give_up_ctx, size_t *ret_written)
{
	struct journal *j = ctx;
	bool newline = len == 1;
	size_t n;
	int r;

	if (!newline && !j->torn)
		look_at_name(j);
	if (j->torn || newline) {
		// A new file has no line to end.
		r = j->torn ? mf_sink_write(j->fd, true, "\n", 1, give_up, give_up_ctx, &n) : 0;
		*ret_written = r || !newline ? 0 : 1;
		if (r || newline) {
			j->torn = r != 0;
			return r;
		}
		j->torn = false;
	}
	r = mf_sink_write(j->fd, true, text, len, give_up, give_up_ctx, ret_written);
	j->torn = *ret_written && text[*ret_written - 1] != '\n';
	if (j->ledger)
		count(j, text, *ret_written, missing);
	return r;
}

static void offer(void *ctx)
{
	struct journal *j = ctx;

	if (j->ledger)
		mf_journal_ledger_offer(j->ledger);
}

// What is written to a file that nobody finds any more is not stored. Said by the stream, once: it asks over and over.
static bool has_room(void *ctx, size_t room)
{
	struct journal *j = ctx;
	struct mf_err err = { 0 };
	struct stat st;
	int current = is_current(j, &st);

	if (current < 0 || (current == 0 && open_file(j, &err) < 0))
		return false;
	return mf_journal_set_aside(j->fd, room);
}

static void close_journal(void *ctx)
{
	struct journal *j = ctx;

	mf_journal_ledger_close(j->ledger);
	mf_journal_sweeper_free(j->sweeper);
	if (j->fd >= 0)
		let_go(j->fd);
	free(j);
}

static const struct mf_events_writer writer = {
	.write = write_text,
	.reopen = reopen,
	.offer = offer,
	.has_room = has_room,
	.close = close_journal,
};

// ------------------------------------------------------------------------------------------------------------------
// Setting up

struct told {
	struct mf_events *events;
	const char *name;
	const struct mf_log *log;
};

static void tell_lost(void *ctx, const char *run, uint64_t lost)
{
	const struct told *t = ctx;
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_EVENTS_DROPPED });
	mf_event_add_int(&ev, MF_EVF_COUNT, (int64_t)lost);
	mf_event_add_cstr(&ev, MF_EVF_SINK, t->name);
	mf_event_add_cstr(&ev, MF_EVF_REASON, "killed");
	mf_event_add_cstr(&ev, MF_EVF_RUN, run);
	mf_events_send(t->events, &ev);
	mf_log_warning(t->log, "run %s was killed: %llu events are missing in %s", run,
		       (unsigned long long)lost, t->name);
}

static bool wants_rotation(const struct mf_journal_options *o)
{
	return o && (o->max_bytes || o->max_age_s);
}

static int refuse(const char *path, const struct mf_journal_options *o, struct mf_err *err)
{
	if (o->max_bytes && o->max_bytes < MF_JOURNAL_SIZE_LEAST)
		return mf_err_set(err, MF_E_INVAL, "An event file is at least %u bytes large.",
				  MF_JOURNAL_SIZE_LEAST);
	if (o->gzip && !mf_gzip_is_there())
		return mf_err_at(err, MF_E_UNSUPPORTED, path, 0, 0,
				 "This build has no zlib: event files cannot be compressed.");
	return 0;
}

static int cannot_open(const char *path, int error, struct mf_err *err)
{
	return mf_err_at(err, MF_E_IO, path, 0, 0, "Cannot open the file for events: %s.",
			 strerror(error));
}

// The file's own name, whatever the working directory will be; a link to it stays where it is.
static int settle_path(struct journal *j, struct mf_err *err)
{
	char *real = realpath(j->path, NULL);
	int r = 0;

	if (!real || strlen(real) >= sizeof(j->path))
		r = cannot_open(j->path, real ? ENAMETOOLONG : errno, err);
	else
		memcpy(j->path, real, strlen(real) + 1);
	free(real);
	if (r == 0 && !mf_journal_split(j->path, j->dir, j->name))
		r = cannot_open(j->path, ENAMETOOLONG, err);
	return r;
}

static bool is_something_else(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int mf_journal_add(struct mf_events *events, const char *path,
		   const struct mf_journal_options *options, const struct mf_log *log,
		   struct mf_err *err)
{
	struct journal *j;
	struct told told;
	char dir[PATH_MAX];
	int r = 0;

	if (is_something_else(path)) {
		if (wants_rotation(options))
			return mf_err_at(err, MF_E_UNSUPPORTED, path, 0, 0,
					 "Only a regular file can be rotated.");
		return mf_events_add_file(events, path, err);
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a file of events.");
	j->fd = -1;
	j->log = log;
	if (strlen(path) < sizeof(j->path)) {
		memcpy(j->path, path, strlen(path) + 1);
		r = open_file(j, err);
	} else {
		r = cannot_open(path, ENAMETOOLONG, err);
	}
	if (r == 0)
		r = settle_path(j, err);
	if (r == 0 && wants_rotation(options)) {
		j->o = *options;
		j->o.keep = j->o.keep ? j->o.keep : MF_JOURNAL_KEEP_DEFAULT;
		r = refuse(path, options, err);
	}
	if (r == 0) {
		j->ledger = mf_journal_ledger_new(j->dir, j->name, mf_events_run(events));
		if (!j->ledger)
			mf_log_info(log, "No file can be made beside %s: a kill is not counted.",
				    path);
	}
	if (r == 0 && wants_rotation(options))
		r = mf_journal_sweeper_new(j->dir, j->name, &j->o, log, &j->sweeper, err);
	told = (struct told){ events, j->name, log };
	memcpy(dir, j->dir, sizeof(dir));
	if (r == 0)
		r = mf_events_add_writer(events, &writer, j, j->name, err);
	if (r < 0) {
		close_journal(j);
		return r;
	}
	// @told.name is the sink's for as long as the stream is.
	mf_journal_ledger_collect(dir, told.name, tell_lost, &told);
	return 0;
}
