/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirwatch_darwin.c - see dirwatch.h: kqueue, a new one for each list of directories
 *
 * A directory tells of entries that come, go and are renamed, but not of what is written into a file, so the files in it
 * are watched as well. Each needs a descriptor, of which a process has 256 unless somebody asks for more: beyond
 * OPEN_MAX_HERE nothing is watched, and the caller looks at intervals.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/policy/dirwatch.h"

#define OPEN_MAX_HERE 128
#define EVENTS	      (NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_DELETE | NOTE_RENAME | NOTE_REVOKE)

/* One list of what is watched. */
struct watched {
	int kq; /* -1: nothing */
	int fds[OPEN_MAX_HERE];
	unsigned cnt;
	bool failed;   /* a limit was hit: this does not see everything */
	uint64_t hash; /* of the paths */
};

struct mf_dirwatch {
	int stop[2]; /* pipe */
	struct watched now;
};

static void watched_done(struct watched *w)
{
	while (w->cnt)
		close(w->fds[--w->cnt]);
	if (w->kq >= 0)
		close(w->kq);
	w->kq = -1;
}

/* Return: whether it is a directory */
static bool add_one(struct watched *w, const char *path, bool file)
{
	struct kevent change;
	struct stat st;
	int fd = open(path, O_EVTONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		w->failed |= errno != ENOENT && errno != ENOTDIR && errno != EACCES &&
			     errno != EPERM && errno != ELOOP;
		return false;
	}
	if (fstat(fd, &st) < 0 || (file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))) {
		close(fd);
		return false;
	}
	w->hash = mf_hash_bytes(path, strlen(path), w->hash);
	EV_SET(&change, fd, EVFILT_VNODE, EV_ADD | EV_CLEAR, EVENTS, 0, NULL);
	if (w->cnt == OPEN_MAX_HERE || kevent(w->kq, &change, 1, NULL, 0, NULL) < 0) {
		w->failed = true;
		close(fd);
		return false;
	}
	w->fds[w->cnt++] = fd;
	return !file;
}

static void add_dir(struct watched *w, const char *dir)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	if (w->failed || !add_one(w, dir, false))
		return;
	d = opendir(dir);
	if (!d) {
		w->failed |= errno != ENOENT && errno != EACCES;
		return;
	}
	while (!w->failed && (e = readdir(d)))
		if (e->d_name[0] != '.' &&
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int)sizeof(path))
			(void)add_one(w, path, true);
	closedir(d);
}

/* The directory itself, if it is one, and the one that it or the file stands in. */
static void add_with_parent(struct watched *w, const char *path)
{
	char parent[PATH_MAX];
	const char *slash;

	add_dir(w, path);
	if (snprintf(parent, sizeof(parent), "%s", path) >= (int)sizeof(parent))
		return;
	for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
		parent[n - 1] = '\0';
	slash = strrchr(parent, '/');
	if (!slash)
		snprintf(parent, sizeof(parent), ".");
	else
		parent[slash == parent ? 1 : slash - parent] = '\0';
	add_dir(w, parent);
}

/* The directories in which the links stand that lead to @path: a link may be swapped for another. */
static void add_links(struct watched *w, const char *path)
{
	char part[PATH_MAX];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return;
	for (char *p = part + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode))
			add_with_parent(w, part);
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

/* Takes what has happened; Return: whether there was anything. */
static bool drain(int kq)
{
	const struct timespec zero = { 0, 0 };
	struct kevent events[32];
	bool any = false;

	while (kq >= 0 && kevent(kq, NULL, 0, events, (int)MF_ARRAY_SIZE(events), &zero) > 0)
		any = true;
	return any;
}

int mf_dirwatch_renew(struct mf_dirwatch *d, mf_dirwatch_each_fn each, void *ctx, bool *ret_changed)
{
	struct watched w = { .kq = kqueue() };

	if (w.kq >= 0) {
		(void)fcntl(w.kq, F_SETFD, FD_CLOEXEC);
		each(ctx, add_path, &w);
	} else {
		w.failed = true;
	}
	/* What happened in a directory before it was watched was not seen. */
	*ret_changed = drain(d->now.kq) || (d->now.hash != w.hash && !w.failed);
	watched_done(&d->now);
	if (w.failed)
		watched_done(&w);
	d->now = w;
	return w.failed ? MF_E_LIMIT : 0;
}

int mf_dirwatch_wait(struct mf_dirwatch *d, int ms)
{
	struct pollfd p[2] = { { .fd = d->stop[0], .events = POLLIN },
			       { .fd = d->now.kq, .events = POLLIN } };
	int n;

	do {
		n = poll(p, 2, ms);
	} while (n < 0 && errno == EINTR);
	if (p[0].revents)
		return -1;
	return n > 0 && p[1].revents && drain(d->now.kq);
}

int mf_dirwatch_new(struct mf_dirwatch **ret_watch, struct mf_err *err)
{
	struct mf_dirwatch *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	d->now.kq = -1;
	if (pipe(d->stop) < 0) {
		r = mf_err_set(err, MF_E_IO, "cannot watch policies: %s", strerror(errno));
		free(d);
		return r;
	}
	for (int i = 0; i < 2; i++) {
		(void)fcntl(d->stop[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(d->stop[i], F_SETFL, O_NONBLOCK);
	}
	*ret_watch = d;
	return 0;
}

void mf_dirwatch_free(struct mf_dirwatch *d)
{
	watched_done(&d->now);
	close(d->stop[0]);
	close(d->stop[1]);
	free(d);
}

void mf_dirwatch_stop(struct mf_dirwatch *d)
{
	while (write(d->stop[1], "", 1) < 0 && errno == EINTR)
		;
}
