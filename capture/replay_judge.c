/* SPDX-License-Identifier: Apache-2.0 */
/* replay_judge.c - what a flow's client says first, to the policies: connect again where it chooses, sni about a hello */
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"

bool mf_replay_wants_rewrite(const struct mf_replay_said *s)
{
	const struct mf_decision *d = s->kept ? &s->kept->d : NULL;

	return d && (d->verdict == MF_REDIRECT || d->verdict == MF_ROUTE) &&
	       d->tls_mode == MF_TLS_REWRITE_SNI && d->sni;
}

bool mf_replay_goes_on(const struct mf_replay_said *s)
{
	return s->kept && (s->differ || !mf_replay_denies(s));
}

bool mf_replay_any_goes_on(const struct mf_replay *r, const struct mf_replay_waiting *w)
{
	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		if (mf_replay_goes_on(&w->said[i]))
			return true;
	return false;
}

void mf_replay_list_names(struct mf_replay *r, struct mf_replay_waiting *w)
{
	struct mf_names_item items[MF_ASK_NAMES_MAX];
	size_t cnt = mf_names_list(r->names, &w->flow.server.addr, items, MF_ASK_NAMES_MAX);

	w->names = cnt ? malloc(cnt * sizeof(*w->names)) : NULL;
	for (size_t i = 0; w->names && i < cnt; i++)
		if (!items[i].alias)
			memcpy(w->names[w->name_cnt++], items[i].name, items[i].len + 1u);
}

/* A live session does the same in proxies/tcp_judge.c and udp_quic.c. */
bool mf_replay_judge_said(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
			  const char *name, size_t len)
{
	struct mf_replay_said *s = &w->said[i];
	struct mf_ask_result res;
	struct mf_decision d;
	bool verified;

	if (s->host[0] && !s->differ && strlen(s->host) == len && memcmp(s->host, name, len) == 0)
		return true;
	mf_ask_connect_said(&r->askers[i], &w->flow, name, len, &d, &res, &verified);
	if (w->flow.proto == MF_UDP)
		mf_ask_udp_limit(&w->flow, &d);
	s->differ = false;
	if (!s->started || mf_verdict_rank(&d) == 4)
		mf_replay_answer(r, w, i, &d, res.host);
	return verified;
}

/* The client says no name: where names disagree, the strictest answer counts. */
static void judge_silence(struct mf_replay *r, struct mf_replay_waiting *w)
{
	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		if (w->said[i].differ)
			(void)mf_replay_judge_said(r, w, i, "", 0);
}

/* The client's words changed what becomes of its flow: it ends here, or goes elsewhere from its beginning on. */
static void take_fate(struct mf_replay *r, struct mf_replay_flow *f, enum mf_kind kind,
		      const struct mf_replay_said *s)
{
	enum mf_replay_fate_kind now = mf_replay_fate_of(s);

	if (f->fate == MF_REPLAY_REFUSE || now == f->fate)
		return;
	if (now == MF_REPLAY_REFUSE || (now == MF_REPLAY_DIVERT && f->outcome))
		f->fate = now;
	mf_replay_set_outcome(f);
	if (kind == MF_CONNECT && r->current == f)
		mf_replay_comment(r, kind, s);
}

void mf_replay_end_question(struct mf_replay *r, struct mf_replay_flow *f, const char *note)
{
	struct mf_replay_waiting *w = f->question;

	if (w) {
		judge_silence(r, w);
		if (note)
			w->note = note;
		take_fate(r, f, MF_CONNECT, &w->said[0]);
	}
	if (f->ends.proto == MF_TCP)
		mf_replay_free_stream(r, f, MF_REPLAY_CLIENT);
	free(f->scan);
	f->scan = NULL;
	mf_replay_free_quic(r, f);
	mf_replay_set_outcome(f);
	if (w)
		mf_replay_settle(r, w);
}

/* --- hellos --------------------------------------------------------------------------------------------------------- */

/* What a server may read in its own way, and an address in place of a name that connect refuses. Return: whether refused */
static bool refuses_name(struct mf_replay *r, struct mf_replay_waiting *sni, unsigned i,
			 struct mf_span name)
{
	const struct mf_ask_said said = { .name = name };
	struct mf_decision d;

	if (mf_ask_unnameable(name, &d)) {
		mf_replay_take(r, sni, i, &d, "");
		return true;
	}
	if (!mf_ask_target(&r->askers[i], &sni->flow, &said, &d) || mf_verdict_rank(&d) < 4)
		return false;
	mf_replay_answer(r, sni, i, &d, "");
	return true;
}

static void ask_sni(struct mf_replay *r, struct mf_replay_waiting *sni, unsigned i,
		    const struct mf_tls_hello *h, bool verified)
{
	struct mf_replay_said *s = &sni->said[i];
	struct mf_decision d;

	mf_ask_sni(&r->askers[i], &sni->flow, h, verified, &d);
	if (sni->flow.proto == MF_UDP)
		mf_ask_quic_limit(&d);
	if (mf_ask_is_silent(&d))
		s->unasked = MF_REPLAY_NO_OPINION, s->asked_process = mf_replay_wanted(r, i);
	else
		mf_replay_answer(r, sni, i, &d, "");
}

static void judge_side(struct mf_replay *r, struct mf_replay_waiting *w,
		       struct mf_replay_waiting *sni, unsigned i, const struct mf_tls_hello *h)
{
	struct mf_replay_said *s = &w->said[i];
	bool verified = false;

	if (mf_replay_goes_on(s) && refuses_name(r, sni, i, h->sni))
		return;
	if (mf_replay_goes_on(s) && (h->has_sni || s->differ))
		verified = mf_replay_judge_said(r, w, i, (const char *)h->sni.ptr, h->sni.len);
	if (mf_replay_goes_on(s))
		ask_sni(r, sni, i, h, verified);
	else
		sni->said[i].unasked = MF_REPLAY_CONNECT_DENIED;
}

void mf_replay_judge_hello(struct mf_replay *r, struct mf_replay_flow *f,
			   const struct mf_tls_hello *h)
{
	struct mf_replay_waiting *w = f->question, *sni;

	/* making room may settle the very question; @h points into its bytes */
	mf_replay_make_room(r);
	if (!f->question)
		return;
	r->stats.hellos++;
	sni = mf_replay_ask_later(r, MF_SNI, &f->ends);
	if (!sni)
		return;
	snprintf(sni->name, sizeof(sni->name), "%.*s", (int)h->sni.len, (const char *)h->sni.ptr);
	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		judge_side(r, w, sni, i, h);
	mf_replay_end_question(r, f, NULL);
	mf_replay_comment(r, MF_SNI, &sni->said[0]);
	take_fate(r, f, MF_SNI, &sni->said[0]);
	mf_replay_settle(r, sni);
}
