/* SPDX-License-Identifier: Apache-2.0 */
/* replay_fate.c - what becomes of the packets of a capture: what was decided, told of each packet */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"

void mf_replay_begin_fate(struct mf_replay *r)
{
	r->fate = (struct mf_replay_fate){ .kind = MF_REPLAY_OTHER };
	r->says_len = 0;
}

static void add(struct mf_replay_fate *fate, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add(struct mf_replay_fate *fate, const char *fmt, ...)
{
	size_t len = strlen(fate->comment);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fate->comment + len, sizeof(fate->comment) - len, fmt, ap);
	va_end(ap);
}

/* In the order of what a reader wants to know: what, by which line, why. */
void mf_replay_comment(struct mf_replay *r, enum mf_kind kind, const struct mf_replay_said *s)
{
	struct mf_replay_fate *fate = &r->fate;
	const struct mf_decision *d = s->kept ? &s->kept->d : NULL;

	add(fate, "%s%s: %s", fate->comment[0] ? "; " : "", mf_kind_name(kind),
	    d ? mf_verdict_name(d->verdict) : mf_replay_unasked_name(s->unasked));
	if (!d)
		return;
	if (s->differ)
		add(fate, " (names disagree, the client's first words will tell)");
	if (d->redirect_unix)
		add(fate, " to %s", d->redirect_unix);
	else if (d->redirect_host)
		add(fate, " to %s port %u", d->redirect_host, d->redirect_port);
	if (d->file && d->file[0])
		add(fate, ", %s:%u", d->file, d->line);
	if (d->rule)
		add(fate, ", %s", d->rule);
	if (d->reason && d->reason[0])
		add(fate, ": %s", d->reason);
	if (s->remark[0])
		add(fate, " (%s)", s->remark);
}

enum mf_replay_fate_kind mf_replay_fate_of(const struct mf_replay_said *s)
{
	if (!s->kept)
		return s->unasked == MF_REPLAY_NO_NAME ? MF_REPLAY_REFUSE : MF_REPLAY_PASS;
	if (s->differ)
		return MF_REPLAY_PASS;
	if (mf_verdict_rank(&s->kept->d) == 4)
		return MF_REPLAY_REFUSE;
	return s->kept->d.verdict == MF_ALLOW ? MF_REPLAY_PASS : MF_REPLAY_DIVERT;
}

void mf_replay_flow_fate(struct mf_replay *r, struct mf_replay_flow *f, bool from_client)
{
	struct mf_replay_fate *fate = &r->fate;

	fate->from_client = from_client;
	fate->kind = f->fate;
	if (f->outcome && f->outcome->open)
		fate->outcome = f->outcome;
	if (f->fate != MF_REPLAY_REFUSE)
		return;
	/* Refused once; the rest of what was captured of it would not have been sent. */
	if (f->refused || !from_client)
		fate->kind = MF_REPLAY_MOOT;
	f->refused |= from_client;
}

void mf_replay_leave_open(struct mf_replay *r, struct mf_replay_flow *f)
{
	f->outcome = calloc(1, sizeof(*f->outcome));
	if (!f->outcome) {
		r->no_memory = true;
		return;
	}
	*f->outcome = (struct mf_replay_outcome){ .refs = 1, .open = true, .kind = MF_REPLAY_PASS };
}

void mf_replay_set_outcome(struct mf_replay_flow *f)
{
	if (!f->outcome)
		return;
	f->outcome->open = false;
	if (f->fate == MF_REPLAY_DIVERT)
		f->outcome->kind = MF_REPLAY_DIVERT;
}

void mf_replay_outcome_unref(struct mf_replay_outcome *o)
{
	if (o && --o->refs == 0)
		free(o);
}

const struct mf_replay_fate *mf_replay_last_fate(const struct mf_replay *r)
{
	return &r->fate;
}
