/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - tells when policy files may have changed: a watch on their directories, or looking at intervals
 *
 * How it works
 *
 * One thread. Directories are watched (dirwatch.h), not files: editors write a new file and rename it over the old one, and a
 * directory or the link to it may be replaced as a whole, so the directory around each path counts as well. After the
 * first event the thread waits until nothing more has come for the debounce time (but not for ever: a directory that is
 * always busy must not keep a change back), and calls changed(), which looks at the contents. The list of directories is
 * made anew before and after every call: events that had arrived for the old one in between count as a further change, and
 * so does a list that is not the one before, so nothing is missed.
 *
 * A change that could not be looked at for a passing reason (no memory, no file descriptor, a machine so busy that loading
 * took too long) brings no further event when the reason is gone: changed() says so and is called again.
 *
 * Where directories cannot be watched (limits, network drives), changed() is called at an interval.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "core/policy/dirwatch.h"
#include "core/policy/runtime.h"

#define POLL_MS 2000 /* between two looks without a watch */
#define LONGEST_MS \
	2000 /* a change waits at most so long for quiet, or ten times the debounce time */
#define BEGIN_MS     250 /* before watching is begun; what changed until then is seen by its contents */
#define AGAIN_MS     500 /* until changed() is called again on its own wish; twice as long each time */
#define AGAIN_MAX_MS 60000 /* but not longer */

struct mf_watch {
	struct mf_watch_ops ops;
	uint32_t debounce_ms;
	pthread_t thread;
	struct mf_dirwatch *dirs;
	bool polling;
	bool told; /* that it is polling */
};

/* Watch what there is to be watched now; Return: whether something happened while the change was made. */
static bool renew(struct mf_watch *w)
{
	bool dirty;

	w->polling = mf_dirwatch_renew(w->dirs, w->ops.each_path, w->ops.ctx, &dirty) < 0;
	if (w->polling && !w->told)
		mf_log_warning(w->ops.log,
			       "policies are looked at every %d ms: their directories cannot all "
			       "be watched (%s)",
			       POLL_MS,
			       "on Linux: fs.inotify.max_user_watches, max_user_instances");
	w->told = w->told || w->polling;
	return dirty;
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
		r = mf_dirwatch_wait(w->dirs, (int)w->debounce_ms);
		now = mf_clock_now(&mf_clock_system);
	} while (r > 0 && now - start < longest * MF_NS_PER_MS);
	return r >= 0;
}

/* How long to wait for events at most; @again_ms: 0 when changed() has no wish */
static int longest_wait(const struct mf_watch *w, int again_ms)
{
	if (w->polling && (again_ms == 0 || again_ms > POLL_MS))
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

	mf_thread_give_way();
	/* Ending a watch costs up to 20 ms: whoever runs for a moment only shall not pay that. */
	if (mf_dirwatch_wait(w->dirs, BEGIN_MS) < 0)
		return NULL;
	(void)renew(w);
	for (;;) {
		r = dirty ? 1 : mf_dirwatch_wait(w->dirs, longest_wait(w, again_ms));
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
	int r;

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->ops = *ops;
	w->debounce_ms = debounce_ms < 60000 ? debounce_ms : 60000;
	r = mf_dirwatch_new(&w->dirs, err);
	if (r < 0) {
		free(w);
		return r;
	}
	r = mf_thread_start(&w->thread, run, w);
	if (r) {
		mf_dirwatch_free(w->dirs);
		free(w);
		return mf_err_set(err, MF_E_IO, "cannot start a thread: %s", strerror(r));
	}
	*ret_watch = w;
	return 0;
}

void mf_watch_stop(struct mf_watch *w)
{
	if (!w)
		return;
	mf_dirwatch_stop(w->dirs);
	pthread_join(w->thread, NULL);
	mf_dirwatch_free(w->dirs);
	free(w);
}
