/* SPDX-License-Identifier: Apache-2.0 */
/* approval_terminal_posix.c - see approval_terminal.h */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/approval_prompt.h"
#include "cli/approval_terminal.h"
#include "core/loop/loop_wake.h"

enum {
	LINE_MAX_LEN = 255,
	LOOK_MS = 300, /* between two looks whether the terminal is free, while something waits */
};

struct mf_approval_terminal {
	struct mf_approvals *approvals;
	int fd;
	struct mf_loop_wake *wake;
	struct event on_line, on_look;
	bool reading;
	uint64_t shown; /* the question that is asked; 0: none */
	size_t len;
	char line[LINE_MAX_LEN + 1];
};

static void put(const struct mf_approval_terminal *t, const char *text, size_t len)
{
	ssize_t n;

	/* Whatever does not go into the terminal now is not worth waiting for. */
	while (len && (n = write(t->fd, text, len)) > 0) {
		text += n;
		len -= (size_t)n;
	}
}

static void say(const struct mf_approval_terminal *t, const char *text)
{
	put(t, text, strlen(text));
}

/* Whether a line that somebody types now is read by lines, and by us. */
static bool is_free(const struct mf_approval_terminal *t)
{
	struct termios mode;

	return tcgetpgrp(t->fd) == getpgrp() && tcgetattr(t->fd, &mode) == 0 &&
	       (mode.c_lflag & ICANON);
}

struct found {
	uint64_t id; /* 0: whichever is first */
	bool there;
	struct mf_strbuf *out;
};

static void find_first(void *ctx, const struct mf_approve_item *item)
{
	struct found *f = ctx;

	if (f->there || (f->id && item->id != f->id))
		return;
	f->there = true;
	f->id = item->id;
	if (f->out)
		mf_approval_prompt_write(item, f->out);
}

static bool is_open(struct mf_approval_terminal *t, uint64_t id)
{
	struct found f = { .id = id };

	(void)mf_approvals_each(t->approvals, find_first, &f);
	return f.there;
}

static void read_lines(struct mf_approval_terminal *t, bool on)
{
	if (on == t->reading)
		return;
	t->reading = on;
	if (on)
		event_add(&t->on_line, NULL);
	else
		event_del(&t->on_line);
}

/* Ask about the oldest question, if nobody is asked about one already and the terminal is free. */
static void look(void *ctx)
{
	struct mf_approval_terminal *t = ctx;
	struct mf_strbuf out = MF_STRBUF_INIT(65536);
	struct timeval again = { 0, LOOK_MS * 1000 };
	struct found f = { .out = &out };

	if (t->shown && !is_open(t, t->shown)) {
		say(t, "\nmoonfence: answered elsewhere, withdrawn, or too late\n");
		t->shown = 0;
	}
	if (!t->shown) {
		mf_strbuf_adds(&out, "\n");
		(void)mf_approvals_each(t->approvals, find_first, &f);
		if (f.there && is_free(t) && !out.failed) {
			t->shown = f.id;
			t->len = 0;
			(void)tcflush(t->fd, TCIFLUSH);
			put(t, out.str, out.len);
		}
	}
	read_lines(t, t->shown != 0);
	if (f.there && !t->shown)
		event_add(&t->on_look, &again);
	mf_strbuf_done(&out);
}

static void take_line(struct mf_approval_terminal *t)
{
	const struct mf_approve_who who = { getuid(), getpid(), "terminal" };
	struct mf_approval_reply reply;
	uint64_t id = t->shown;
	int r;

	if (!mf_approval_reply_parse(t->line, &reply)) {
		say(t, "y, s, t 10m or n? ");
		return;
	}
	t->shown = 0;
	r = mf_approvals_answer(t->approvals, id, reply.allow, reply.scope, reply.for_ms, &who);
	if (r == MF_E_PERM) {
		t->shown = id;
		say(t, "the rule lets no answer be remembered: y or n? ");
	} else if (r < 0) {
		say(t, r == MF_E_NOENT ? "moonfence: too late\n"
				       : "moonfence: this answer cannot be kept\n");
	}
	look(t);
}

static void on_line(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_approval_terminal *t = ctx;
	struct timeval again = { 0, LOOK_MS * 1000 };
	ssize_t n = read((int)fd, t->line + t->len, LINE_MAX_LEN - t->len);

	(void)what;
	if (n <= 0) {
		/* The command reads as well, or the terminal is another group's: look again in a moment, not in a circle. */
		read_lines(t, false);
		if (n < 0 && (errno == EAGAIN || errno == EIO || errno == EINTR)) {
			event_add(&t->on_look, &again);
		} else {
			say(t, "\n");
			t->shown = 0;
		}
		return;
	}
	t->len += (size_t)n;
	t->line[t->len] = '\0';
	if (t->line[t->len - 1] != '\n' && t->len < LINE_MAX_LEN)
		return;
	t->len = 0;
	take_line(t);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	look(ctx);
}

int mf_approval_terminal_begin(struct event_base *base, struct mf_approvals *approvals,
			       struct mf_approval_terminal **ret, struct mf_err *err)
{
	struct mf_approval_terminal *t = calloc(1, sizeof(*t));

	*ret = NULL;
	if (!t)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	t->approvals = approvals;
	t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (t->fd < 0) {
		free(t);
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "approvals cannot be asked for: there is no terminal");
	}
	event_assign(&t->on_line, base, t->fd, EV_READ | EV_PERSIST, on_line, t);
	event_assign(&t->on_look, base, -1, 0, on_look, t);
	t->wake = mf_loop_wake_new(base, look, t);
	if (!t->wake || mf_approvals_watch(approvals, mf_loop_wake, t->wake) < 0) {
		mf_approval_terminal_end(t);
		return mf_err_set(err, MF_E_FULL, "approvals cannot be watched");
	}
	*ret = t;
	return 0;
}

void mf_approval_terminal_end(struct mf_approval_terminal *t)
{
	if (!t)
		return;
	if (t->wake)
		mf_approvals_unwatch(t->approvals, mf_loop_wake, t->wake);
	mf_loop_wake_free(t->wake);
	event_del(&t->on_line);
	event_del(&t->on_look);
	if (t->shown)
		say(t, "\n");
	close(t->fd);
	free(t);
}
