/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failmode.c - what happens when the backend or the policy fails again and again (P53)
 *
 * Each kind of failure has its own row: fail_threshold failures of one kind with no success of that kind between them
 * switch the fail mode on. While it is on, each turn still tries one packet of the session as usual (a probe); the others
 * are dropped (closed) or, where they have no entry, passed (open). fail_recovery packets received in turns in which
 * nothing failed switch it off; failing again within MF_FAIL_BACKOFF_NS doubles that number, up to MF_FAIL_BACKOFF_MAX
 * times, so that what is broken for good does not flap.
 *
 *			working			failing, closed		failing, open
 *	not ours	passes			passes			passes
 *	has an entry	as decided		dropped			as decided
 *	begins a flow	decided			dropped			passes
 *	has none	closed: reset, dropped	the same		passes
 *			open: passes
 */
#include <stdio.h>

#include "capture/pipeline_internal.h"

static const char *const kinds[] = { "receive", "send", "decide" };
_Static_assert(MF_ARRAY_SIZE(kinds) == MF_FAIL_NUM, "one name per kind");

static void tell(struct mf_pipeline *p, enum mf_pipeline_event_kind kind, int code, uint64_t count,
		 const char *what)
{
	struct mf_pipeline_event ev = {
		.kind = kind, .code = code, .count = count, .fail_closed = !p->o.fail_open
	};

	if (!p->ops.event)
		return;
	snprintf(ev.text, sizeof(ev.text), "%s: %s", p->backend.name, what);
	p->ops.event(p->ops.ctx, &ev);
}

void mf_fail_begin_turn(struct mf_pipeline *p)
{
	p->fail.probes = 1;
	p->fail.failed_now = false;
}

void mf_fail_bad(struct mf_pipeline *p, enum mf_fail_kind kind, int code)
{
	struct mf_failmode *f = &p->fail;
	char what[96];

	f->failed_now = true;
	f->good = 0;
	f->row[kind]++;
	if (p->stats.failing || f->row[kind] < p->o.fail_threshold)
		return;
	p->stats.failing = true;
	p->stats.fail_entered++;
	if (p->stats.fail_left && p->now_ns - f->left_ns < MF_FAIL_BACKOFF_NS) {
		if (f->factor < MF_FAIL_BACKOFF_MAX)
			f->factor *= 2;
	} else {
		f->factor = 1;
	}
	snprintf(what, sizeof(what), "%s failed: %s", kinds[kind], mf_strerror(code));
	tell(p, MF_PIPELINE_FAIL_ENTERED, code, f->row[kind], what);
}

void mf_fail_end_turn(struct mf_pipeline *p, unsigned packets)
{
	struct mf_failmode *f = &p->fail;
	uint64_t good;

	if (!p->stats.failing || !packets || f->failed_now)
		return;
	f->good += packets;
	if (f->good < p->o.fail_recovery * f->factor)
		return;
	good = f->good;
	p->stats.failing = false;
	p->stats.fail_left++;
	f->left_ns = p->now_ns;
	f->good = 0;
	memset(f->row, 0, sizeof(f->row));
	tell(p, MF_PIPELINE_FAIL_LEFT, 0, good, "works again");
}

bool mf_fail_blocks(struct mf_pipeline *p)
{
	if (__builtin_expect(!p->stats.failing, 1))
		return false;
	if (p->fail.probes) {
		p->fail.probes--;
		return false;
	}
	return true;
}
