/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_linux.c - monitor.h by fanotify: setting up, and the loop */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "fs/monitor_int_linux.h"

#define READ_ROOM     65536	/* at least, for one reading */
#define ROOM	      (1 << 22) /* bytes of events that are read before they are looked at */
#define LAST_READINGS 8
#define NICE	      (-10) /* who has just ended can be looked at for a moment only */

/* Appends what there is to what was read, which stays where it is. Return: bytes, MF_E_IO */
static int read_all(struct mf_monitor *m, struct mf_err *err)
{
	const size_t before = m->len;

	while (ROOM - m->len >= READ_ROOM) {
		ssize_t n = read(m->fan, m->buf + m->len, ROOM - m->len);

		if (n > 0)
			m->len += (size_t)n;
		else if (n == 0 || errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return mf_err_set(err, MF_E_IO, "cannot read what happened to %s: %s",
					  m->dir, strerror(errno));
	}
	return (int)(m->len - before);
}

static void tell_overflow(struct mf_monitor *m)
{
	struct mf_event ev;

	m->overflows++;
	mf_log_warning(m->o.log,
		       "more happened than was read in time: some of it in %s is not known",
		       m->dir);
	if (m->o.events) {
		mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_MONITOR_OVERFLOW,
							     .session_id = m->o.session_id,
							     .source = m->o.source_name,
							     .path = m->root_len ? m->root : "/" });
		mf_event_add_int(&ev, MF_EVF_COUNT, (int64_t)m->overflows);
		mf_events_send(m->o.events, &ev);
	}
}

/* Who they were, all at once, before any of them is asked about: each moment some are gone. */
static void look_at_all(struct mf_monitor *m, struct mf_span data)
{
	struct mf_monitor_record r;
	int32_t last = 0, own = (int32_t)getpid();

	mf_monitor_who_hear(m->who);
	while (mf_monitor_record_next(&data, &r) > 0) {
		if (r.pid == last || r.pid == own || !(r.dir.len || r.new_dir.len))
			continue;
		// Of a whole file system most is elsewhere.
		if (!r.new_dir.len && mf_monitor_place_is_elsewhere(m, r.dir))
			continue;
		mf_monitor_who_look(m->who, r.pid);
		last = r.pid;
	}
}

bool mf_monitor_read_ahead(struct mf_monitor *m)
{
	struct mf_err err = { 0 };
	int n = read_all(m, &err);

	if (n <= 0)
		return false; // an error comes again
	look_at_all(m, mf_span_of(m->buf + m->len - n, (size_t)n));
	m->ahead.len += (size_t)n;
	return true;
}

static bool is_told(struct mf_monitor *m, int32_t pid)
{
	if (!m->privileged)
		return true;
	switch (mf_monitor_who_is(m->who, pid)) {
	case MF_MONITOR_OURS:
		return true;
	case MF_MONITOR_UNKNOWN:
		return !mf_monitor_who_knows_the_dead(m->who);
	default:
		return false;
	}
}

/* Return: bytes that were read, MF_E_IO */
static int take(struct mf_monitor *m, struct mf_err *err)
{
	const int32_t own = (int32_t)getpid();
	struct mf_monitor_record r;
	int n, e = read_all(m, err);

	m->ahead = mf_span_of(m->buf, m->len);
	look_at_all(m, m->ahead);
	while ((n = mf_monitor_record_next(&m->ahead, &r)) > 0) {
		if (r.mask & FAN_Q_OVERFLOW) {
			mf_monitor_place_anew(m);
			tell_overflow(m); // whoever reads it may rely on what follows
		} else if (r.pid != own) {
			mf_monitor_judge(m, &r, is_told(m, r.pid));
		}
	}
	m->len = 0;
	free(m->gone);
	m->gone = NULL;
	m->gone_cnt = 0;
	if (n < 0 && e >= 0)
		e = mf_err_set(err, MF_E_IO, "this kernel's fanotify tells of %s in another form",
			       m->dir);
	return e;
}

int mf_monitor_serve(struct mf_monitor *m, struct mf_err *err)
{
	struct pollfd fds[2] = { { m->fan, POLLIN, 0 }, { m->stop, POLLIN, 0 } };
	int r = 0;

	if (m->privileged)
		(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	while (r >= 0 && !fds[1].revents) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return mf_err_set(err, MF_E_IO, "poll: %s", strerror(errno));
		r = take(m, err);
	}
	// What happened before; others may go on for ever.
	for (int i = 0; i < LAST_READINGS && r > 0; i++)
		r = take(m, err);
	return r < 0 ? r : 0;
}

void mf_monitor_stop(struct mf_monitor *m)
{
	const uint64_t one = 1;
	int e = errno;

	(void)!write(m->stop, &one, sizeof(one));
	errno = e;
}

/* ---- setting up ------------------------------------------------------------------------------------------------ */

static int find_paths(struct mf_monitor *m, struct mf_err *err)
{
	m->dir = realpath(m->o.dir, NULL);
	if (!m->dir)
		return mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s", m->o.dir,
				  strerror(errno));
	m->root = strdup(m->o.root ? m->o.root : m->dir);
	if (!m->root)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	m->root_len = strlen(m->root);
	while (m->root_len && m->root[m->root_len - 1] == '/')
		m->root[--m->root_len] = '\0';
	return m->root_len < PATH_MAX / 2
		       ? 0
		       : mf_err_set(err, MF_E_INVAL, "%s: the path is too long", m->root);
}

static int open_judge(struct mf_monitor *m, struct mf_err *err)
{
	const struct mf_fs_judge_options j = { .runtime = m->o.runtime,
					       .session_id = m->o.session_id,
					       .source = m->o.source_name,
					       .labels = m->o.labels,
					       .label_cnt = m->o.label_cnt,
					       .seats = 2,
					       .find_process = mf_monitor_who_find,
					       .find_ctx = m->who,
					       .log = m->o.log };
	int r = mf_fs_judge_new(&j, &m->judge, err);

	return r < 0 ? r
		     : mf_policy_fs_new(m->judge, m->o.events, m->o.session_id, m->o.source_name,
					&m->pfs, err);
}

int mf_monitor_new(const struct mf_monitor_options *options, struct mf_monitor **ret_monitor,
		   struct mf_err *err)
{
	struct mf_monitor *m = calloc(1, sizeof(*m));
	int r;

	*ret_monitor = NULL;
	if (!m)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	m->o = *options;
	m->source = m->fan = -1;
	m->seed = mf_hash_seed();
	m->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->buf = malloc(ROOM); // touched as far as it is filled
	r = !m->buf	  ? mf_err_set(err, MF_E_NOMEM, "out of memory")
	    : m->stop < 0 ? mf_err_set(err, MF_E_IO, "eventfd: %s", strerror(errno))
			  : find_paths(m, err);
	if (r == 0)
		r = mf_monitor_place_begin(m, err);
	if (r == 0)
		r = mf_monitor_who_new(m->privileged ? m->o.session_pid : 0, m->o.log, &m->who,
				       err);
	if (r == 0)
		r = open_judge(m, err);
	if (r < 0) {
		mf_monitor_free(m);
		return r;
	}
	*ret_monitor = m;
	return 0;
}

void mf_monitor_free(struct mf_monitor *m)
{
	if (!m)
		return;
	if (m->fan >= 0)
		close(m->fan);
	if (m->source >= 0)
		close(m->source);
	if (m->stop >= 0)
		close(m->stop);
	mf_policy_fs_free(m->pfs);
	mf_fs_judge_free(m->judge);
	mf_monitor_who_free(m->who);
	mf_monitor_dirs_free(m->dirs);
	free(m->gone);
	free(m->buf);
	free(m->dir);
	free(m->root);
	free(m);
}

const char *mf_monitor_kind(const struct mf_monitor *m)
{
	return m->whole ? "by its file system"
	       : m->privileged
		       ? "directory by directory"
		       : "directory by directory; the kernel does not tell this user who does it";
}

void mf_monitor_get_stats(const struct mf_monitor *m, struct mf_monitor_stats *ret)
{
	struct mf_policy_fs_stats p;

	mf_policy_fs_get_stats(m->pfs, &p);
	*ret = (struct mf_monitor_stats){ .size = sizeof(*ret),
					  .records = m->records,
					  .asked = p.asked,
					  .would_refuse = p.refused,
					  .would_trash = p.trashed,
					  .would_redirect = p.redirected,
					  .events_left_out = p.events_left_out,
					  .overflows = m->overflows,
					  .unplaced = m->unplaced,
					  .dirs = mf_monitor_dirs_count(m->dirs) };
}
