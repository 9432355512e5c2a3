/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch_linux.c - tells when policy files may have changed: inotify on their directories, or polling
 *
 * How it works
 *
 * One thread. Directories are watched, not files: editors write a new file and rename it over the old one, and a
 * directory or the link to it may be replaced as a whole, so the directory around each path counts as well. After the
 * first event the thread waits until nothing more has come for the debounce time (but not for ever: a directory that is
 * always busy must not keep a change back), and calls changed(), which looks at the contents. The list of directories is
 * made anew before and after every call, on a new inotify instance: events that had arrived on the old one in between
 * count as a further change, and so does a list that is not the one before, so nothing is missed.
 *
 * A change that could not be looked at for a passing reason (no memory, no file descriptor, a machine so busy that loading
 * took too long) brings no further event when the reason is gone: changed() says so and is called again.
 *
 * Where inotify cannot be had (limits of instances or watches), changed() is called at an interval.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/policy/runtime.h"

#define POLL_MS 2000 /* between two looks without inotify */
#define LONGEST_MS \
	2000 /* a change waits at most so long for quiet, or ten times the debounce time */
#define BEGIN_MS     250 /* before inotify is begun; what changed until then is seen by its contents */
#define AGAIN_MS     500 /* until changed() is called again on its own wish; twice as long each time */
#define AGAIN_MAX_MS 60000 /* but not longer */
#define WATCHES_MAX  4096
#define EVENTS                                                                                   \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR)

struct mf_watch {
	struct mf_watch_ops ops;
	uint32_t debounce_ms;
	pthread_t thread;
	int stop;      /* eventfd */
	int inotify;   /* -1: polling */
	bool told;     /* that it is polling */
	uint64_t seen; /* hash of the directories that are watched */
};

struct adding {
	int fd;
	unsigned cnt;
	bool failed; /* a limit was hit: this instance does not see everything */
	uint64_t hash;
};

static void add_dir(struct adding *a, const char *dir)
{
	a->hash = mf_hash_bytes(dir, strlen(dir), a->hash);
	if (a->cnt++ >= WATCHES_MAX || (inotify_add_watch(a->fd, dir, EVENTS) < 0 &&
					errno != ENOENT && errno != ENOTDIR && errno != EACCES))
		a->failed = true;
}

/* The directory itself, if it is one, and the one that it or the file stands in. */
static void add_with_parent(struct adding *a, const char *path)
{
	char parent[PATH_MAX];
	const char *slash;

	add_dir(a, path);
	if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent))
		return;
	for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
		parent[n - 1] = '\0';
	slash = strrchr(parent, '/');
	if (!slash)
		strcpy(parent, ".");
	else
		parent[slash == parent ? 1 : slash - parent] = '\0';
	add_dir(a, parent);
}

/* The directories in which the links stand that lead to @path: a link may be swapped for another. */
static void add_links(struct adding *a, const char *path)
{
	char part[PATH_MAX];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return;
	for (char *p = part + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode))
			add_with_parent(a, part);
		*p = '/';
	}
}

static void add_path(void *ctx, const char *path)
{
	char real[PATH_MAX];

	add_with_parent(ctx, path);
	add_links(ctx, path);
	if (realpath(path, real) && strcmp(real, path) != 0)
		add_with_parent(ctx, real);
}

static bool has_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&p, 1, 0) > 0;
}

/* Watch what there is to be watched now; Return: whether something happened while the change was made. */
static bool renew(struct mf_watch *w)
{
	struct adding a = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
	bool dirty;

	if (a.fd >= 0)
		w->ops.each_path(w->ops.ctx, add_path, &a);
	else
		a.failed = true;
	/* What happened in a directory before it was watched was not seen. */
	dirty = has_input(w->inotify) || (w->seen != a.hash && !a.failed);
	w->seen = a.hash;
	if (w->inotify >= 0)
		close(w->inotify);
	w->inotify = a.fd;
	if (a.failed) {
		if (a.fd >= 0)
			close(a.fd);
		w->inotify = -1;
		if (!w->told)
			mf_log_warning(
				w->ops.log,
				"policies are looked at every %d ms: inotify has no room (%s)",
				POLL_MS, "fs.inotify.max_user_watches, max_user_instances");
		w->told = true;
	}
	return dirty;
}

static void drain(int fd)
{
	char buf[8192] __attribute__((aligned(8)));

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

/* Waits at most @ms (-1: for ever); Return: 1 something changed, 0 time is over, -1 stop */
static int wait_events(struct mf_watch *w, int ms)
{
	struct pollfd p[2] = { { .fd = w->stop, .events = POLLIN },
			       { .fd = w->inotify, .events = POLLIN } };
	int n;

	do {
		n = poll(p, 2, ms);
	} while (n < 0 && errno == EINTR);
	if (p[0].revents)
		return -1;
	if (n > 0 && p[1].revents) {
		drain(w->inotify);
		return 1;
	}
	return 0;
}

/* After a first event: until it is quiet. Return: false to stop */
static bool settle(struct mf_watch *w)
{
	uint64_t longest = (uint64_t)w->debounce_ms * 10;
	uint64_t start = mf_clock_now(&mf_clock_system), now;
	int r;

	if (longest < LONGEST_MS)
		longest = LONGEST_MS;
	do {
		r = wait_events(w, (int)w->debounce_ms);
		now = mf_clock_now(&mf_clock_system);
	} while (r > 0 && now - start < longest * MF_NS_PER_MS);
	return r >= 0;
}

/* How long to wait for events at most; @again_ms: 0 when changed() has no wish */
static int longest_wait(const struct mf_watch *w, int again_ms)
{
	if (w->inotify < 0 && (again_ms == 0 || again_ms > POLL_MS))
		return POLL_MS;
	return again_ms ? again_ms : -1;
}

static int longer(int again_ms)
{
	if (again_ms == 0)
		return AGAIN_MS;
	return again_ms < AGAIN_MAX_MS / 2 ? again_ms * 2 : AGAIN_MAX_MS;
}

static void *run(void *arg)
{
	struct mf_watch *w = arg;
	bool dirty = true; /* what happened between loading and watching */
	int again_ms = 0, r;

	/* Closing an inotify instance costs up to 20 ms: whoever runs for a moment only shall not pay that. */
	if (wait_events(w, BEGIN_MS) < 0)
		return NULL;
	(void)renew(w);
	for (;;) {
		r = dirty ? 1 : wait_events(w, longest_wait(w, again_ms));
		if (r < 0 || (r > 0 && !settle(w)))
			break;
		(void)renew(w);
		again_ms = w->ops.changed(w->ops.ctx) ? longer(again_ms) : 0;
		dirty = renew(w);
	}
	return NULL;
}

int mf_watch_start(const struct mf_watch_ops *ops, uint32_t debounce_ms,
		   struct mf_watch **ret_watch, struct mf_err *err)
{
	struct mf_watch *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int r;

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->ops = *ops;
	w->debounce_ms = debounce_ms < 60000 ? debounce_ms : 60000;
	w->inotify = -1;
	w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stop < 0) {
		r = mf_err_set(err, MF_E_IO, "cannot watch policies: %s", strerror(errno));
		free(w);
		return r;
	}
	/* Signals belong to the host program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		close(w->stop);
		free(w);
		return mf_err_set(err, MF_E_IO, "cannot start a thread: %s", strerror(r));
	}
	*ret_watch = w;
	return 0;
}

void mf_watch_stop(struct mf_watch *w)
{
	uint64_t one = 1;

	if (!w)
		return;
	while (write(w->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(w->thread, NULL);
	if (w->inotify >= 0)
		close(w->inotify);
	close(w->stop);
	free(w);
}
