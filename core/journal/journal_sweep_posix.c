/* SPDX-License-Identifier: Apache-2.0 */
/* journal_sweep_posix.c - the thread that compresses rotated files and removes the oldest; see journal.h */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cond.h"
#include "core/base/thread.h"
#include "core/journal/gzip.h"
#include "core/journal/journal_int.h"

#define DATE_LEN     16u // 20260129T102345Z
#define ROTATED_MAX  65536u
#define LOOK_AGAIN_S 60u // at files that others still write to
#define PATH_ROOM    (PATH_MAX + MF_JOURNAL_NAME_MAX + 16)

struct mf_journal_sweeper {
	char dir[PATH_MAX], name[MF_JOURNAL_NAME_MAX + 1];
	struct mf_journal_options o;
	const struct mf_log *log;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool woken; // under the lock
	atomic_bool stop;
	bool complained;
};

struct rotated {
	char name[MF_JOURNAL_NAME_MAX + 1];
	unsigned long turn; // of those with the same date
	bool gz;
};

// ------------------------------------------------------------------------------------------------------------------
// Names

// What follows NAME. in a rotated file's name: DATE[-N][.gz]. Return: false for anything else
static bool parse_suffix(const char *p, unsigned long *ret_turn, bool *ret_gz)
{
	static const char shape[] = "ddddddddTddddddZ";
	char *end;

	for (size_t i = 0; i < DATE_LEN; i++)
		if (shape[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != shape[i])
			return false;
	p += DATE_LEN;
	*ret_turn = 1;
	if (*p == '-') {
		if (p[1] < '0' || p[1] > '9')
			return false;
		*ret_turn = strtoul(p + 1, &end, 10);
		p = end;
	}
	*ret_gz = strcmp(p, ".gz") == 0;
	return *ret_gz || !*p;
}

static bool is_rotated(const char *name, const char *entry, unsigned long *ret_turn, bool *ret_gz)
{
	size_t len = strlen(name);

	return strncmp(entry, name, len) == 0 && entry[len] == '.' &&
	       strlen(entry) >= len + 1 + DATE_LEN &&
	       parse_suffix(entry + len + 1, ret_turn, ret_gz);
}

bool mf_journal_is_rotated(const char *name, const char *entry, bool *ret_gz)
{
	unsigned long turn;

	return is_rotated(name, entry, &turn, ret_gz);
}

unsigned long mf_journal_last_turn(const char *dir, const char *name, const char *date)
{
	DIR *d = opendir(dir);
	unsigned long last = 0, turn;
	bool gz;

	for (const struct dirent *entry; d && (entry = readdir(d));)
		if (is_rotated(name, entry->d_name, &turn, &gz) &&
		    strncmp(entry->d_name + strlen(name) + 1, date, DATE_LEN) == 0 && turn > last)
			last = turn;
	if (d)
		closedir(d);
	return last;
}

// Oldest first
static int by_age(const void *a, const void *b)
{
	const struct rotated *x = a, *y = b;
	size_t len = strlen(x->name) - strlen(strrchr(x->name, 'Z'));
	int r = strncmp(x->name, y->name, len);

	if (r)
		return r;
	if (x->turn != y->turn)
		return x->turn < y->turn ? -1 : 1;
	return strcmp(x->name, y->name);
}

// Return: how many, in malloc()ed memory; -1 without memory or directory
static ssize_t list_rotated(const struct mf_journal_sweeper *s, struct rotated **ret)
{
	DIR *d = opendir(s->dir);
	struct rotated *all = NULL;
	size_t cnt = 0, cap = 0;

	if (!d)
		return -1;
	for (const struct dirent *entry; cnt < ROTATED_MAX && (entry = readdir(d));) {
		struct rotated r = { 0 };

		if (strlen(entry->d_name) > MF_JOURNAL_NAME_MAX ||
		    !is_rotated(s->name, entry->d_name, &r.turn, &r.gz))
			continue;
		memcpy(r.name, entry->d_name, strlen(entry->d_name) + 1);
		if (cnt == cap) {
			struct rotated *more;

			cap = cap ? 2 * cap : 16;
			more = realloc(all, cap * sizeof(*all));
			if (!more) {
				free(all);
				closedir(d);
				return -1;
			}
			all = more;
		}
		all[cnt++] = r;
	}
	closedir(d);
	if (cnt)
		qsort(all, cnt, sizeof(*all), by_age);
	*ret = all;
	return (ssize_t)cnt;
}

// ------------------------------------------------------------------------------------------------------------------
// Work

static bool told_to_stop(void *ctx)
{
	struct mf_journal_sweeper *s = ctx;

	return atomic_load_explicit(&s->stop, memory_order_relaxed);
}

static int make_gz(struct mf_journal_sweeper *s, int from, const char *path)
{
	char part[PATH_ROOM + 8], full[PATH_ROOM + 8];
	int to, r;

	// The lock on the file makes us the only one who writes to this.
	snprintf(part, sizeof(part), "%s.gz.part", path);
	snprintf(full, sizeof(full), "%s.gz", path);
	to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return MF_E_IO;
	r = mf_gzip_copy(from, to, told_to_stop, s);
	if (!r && fsync(to) < 0)
		r = MF_E_IO;
	if (close(to) < 0 && !r)
		r = MF_E_IO;
	if (!r && rename(part, full) < 0)
		r = MF_E_IO;
	if (!r && unlink(path) < 0)
		r = MF_E_IO;
	if (r) {
		int error = errno;

		unlink(part);
		errno = error;
	}
	return r;
}

// Return: MF_E_AGAIN when somebody still writes to it
static int compress_file(struct mf_journal_sweeper *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : MF_E_IO;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = 0; // not of our making: it stays
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = MF_E_AGAIN;
	else if (fstat(fd, &st) < 0 || !st.st_nlink)
		r = 0; // another journal has done it meanwhile
	else
		r = make_gz(s, fd, path);
	close(fd);
	return r;
}

static void complain(struct mf_journal_sweeper *s, const char *what, const char *path)
{
	if (!s->complained)
		mf_log_error(s->log, "Cannot %s %s: %s.", what, path, strerror(errno));
	s->complained = true;
}

// Return: whether some must be looked at again later
static bool sweep(struct mf_journal_sweeper *s)
{
	struct rotated *all = NULL;
	ssize_t cnt = list_rotated(s, &all);
	bool again = false;

	for (ssize_t i = 0; i < cnt && !told_to_stop(s); i++) {
		char path[PATH_ROOM];
		int r;

		snprintf(path, sizeof(path), "%s/%s", s->dir, all[i].name);
		if (cnt - i > (ssize_t)s->o.keep) {
			if (unlink(path) < 0 && errno != ENOENT)
				complain(s, "remove", path);
			continue;
		}
		if (!s->o.gzip || all[i].gz)
			continue;
		r = compress_file(s, path);
		again |= r == MF_E_AGAIN;
		if (r && r != MF_E_AGAIN && r != MF_E_CLOSED)
			complain(s, "compress", path);
	}
	free(all);
	return again;
}

static void *run(void *arg)
{
	struct mf_journal_sweeper *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!told_to_stop(s)) {
		struct timespec until;
		bool again;

		s->woken = false;
		pthread_mutex_unlock(&s->lock);
		again = sweep(s);
		pthread_mutex_lock(&s->lock);
		until = mf_cond_in_ms(LOOK_AGAIN_S * 1000);
		while (!s->woken && !told_to_stop(s)) {
			if (!again)
				pthread_cond_wait(&s->wake, &s->lock);
			else if (!mf_cond_wait_until(&s->wake, &s->lock, &until))
				break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int mf_journal_sweeper_new(const char *dir, const char *name,
			   const struct mf_journal_options *options, const struct mf_log *log,
			   struct mf_journal_sweeper **ret_sweeper, struct mf_err *err)
{
	struct mf_journal_sweeper *s = calloc(1, sizeof(*s));

	if (!s)
		goto nomem;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->o = *options;
	s->log = log;
	if (pthread_mutex_init(&s->lock, NULL))
		goto nomem;
	if (mf_cond_init(&s->wake)) {
		pthread_mutex_destroy(&s->lock);
		goto nomem;
	}
	if (mf_thread_start(&s->thread, run, s)) {
		pthread_cond_destroy(&s->wake);
		pthread_mutex_destroy(&s->lock);
		goto nomem;
	}
	*ret_sweeper = s;
	return 0;
nomem:
	free(s);
	return mf_err_set(err, MF_E_NOMEM, "No memory or thread for rotated event files.");
}

void mf_journal_sweeper_wake(struct mf_journal_sweeper *s)
{
	pthread_mutex_lock(&s->lock);
	s->woken = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void mf_journal_sweeper_free(struct mf_journal_sweeper *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
