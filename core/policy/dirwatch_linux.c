/* SPDX-License-Identifier: Apache-2.0 */
/* dirwatch_linux.c - see dirwatch.h: inotify, a new instance for each list of directories */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/policy/dirwatch.h"

#define EVENTS                                                                                   \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR)

struct mf_dirwatch {
	int stop;      /* eventfd */
	int inotify;   /* -1: nothing is watched */
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
	if (a->cnt++ >= MF_DIRWATCH_MAX || (inotify_add_watch(a->fd, dir, EVENTS) < 0 &&
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

int mf_dirwatch_renew(struct mf_dirwatch *d, mf_dirwatch_each_fn each, void *ctx, bool *ret_changed)
{
	struct adding a = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };

	if (a.fd >= 0)
		each(ctx, add_path, &a);
	else
		a.failed = true;
	/* What happened in a directory before it was watched was not seen. */
	*ret_changed = has_input(d->inotify) || (d->seen != a.hash && !a.failed);
	d->seen = a.hash;
	if (d->inotify >= 0)
		close(d->inotify);
	d->inotify = a.fd;
	if (!a.failed)
		return 0;
	if (a.fd >= 0)
		close(a.fd);
	d->inotify = -1;
	return MF_E_LIMIT;
}

static void drain(int fd)
{
	char buf[8192] __attribute__((aligned(8)));

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

int mf_dirwatch_wait(struct mf_dirwatch *d, int ms)
{
	struct pollfd p[2] = { { .fd = d->stop, .events = POLLIN },
			       { .fd = d->inotify, .events = POLLIN } };
	int n;

	do {
		n = poll(p, 2, ms);
	} while (n < 0 && errno == EINTR);
	if (p[0].revents)
		return -1;
	if (n > 0 && p[1].revents) {
		drain(d->inotify);
		return 1;
	}
	return 0;
}

int mf_dirwatch_new(struct mf_dirwatch **ret_watch, struct mf_err *err)
{
	struct mf_dirwatch *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	d->inotify = -1;
	d->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop < 0) {
		r = mf_err_set(err, MF_E_IO, "cannot watch policies: %s", strerror(errno));
		free(d);
		return r;
	}
	*ret_watch = d;
	return 0;
}

void mf_dirwatch_free(struct mf_dirwatch *d)
{
	if (d->inotify >= 0)
		close(d->inotify);
	close(d->stop);
	free(d);
}

void mf_dirwatch_stop(struct mf_dirwatch *d)
{
	uint64_t one = 1;

	while (write(d->stop, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}
