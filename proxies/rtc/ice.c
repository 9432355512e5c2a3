/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ice.c - where a peer is: the controlled, lite side of ICE (RFC 8445 2.5, 7.3), and proof that an address belongs to the peer
 *
 * A lite agent only answers checks. But an answer says to the peer that we are there, and nothing to us about the peer: its
 * credentials are its own, and the source address of a check may be anybody's. So an address that only ever spoke is sent no
 * more bytes than it sent. It is verified once it has answered a check of ours (which every full agent does; sent as soon as those
 * bytes allow it), or sent back a DTLS cookie. A session moves to verified addresses only.
 */
#include <openssl/rand.h>
#include <string.h>

#include "core/base/hash.h"
#include "proxies/rtc/rtc_int.h"

enum {
	ASK_AGAIN_MS = 50,
	LATELY_MS = 6000, /* browsers check every 2.5 to 5 s */
	ERROR_UNKNOWN_ATTRIBUTE = 420,
	ERROR_ROLE_CONFLICT = 487,
	PEER_REFLEXIVE = 110, /* type preference (RFC 8445 5.1.2.2) */
};

static size_t bucket_of(const struct mf_rtc *rtc, const struct mf_rtc_path *path)
{
	return mf_hash_bytes(path, sizeof(*path), rtc->seed) % MF_RTC_BUCKETS;
}

struct mf_rtc_pair *mf_rtc_find_pair(const struct mf_rtc *rtc, const struct mf_rtc_path *path)
{
	struct mf_rtc_pair *p = rtc->by_path[bucket_of(rtc, path)];

	while (p && memcmp(&p->path, path, sizeof(*path)) != 0)
		p = p->next;
	return p;
}

static void unlist(struct mf_rtc *rtc, struct mf_rtc_pair *pair)
{
	struct mf_rtc_pair **at = &rtc->by_path[bucket_of(rtc, &pair->path)];

	if (!pair->listed)
		return;
	while (*at != pair)
		at = &(*at)->next;
	*at = pair->next;
	pair->listed = false;
}

/*
 * The path's datagrams are this session's, unless somebody who has shown that it is there has it, and was heard of lately: a browser
 * that begins anew may have the port of a session that it did not close
 */
static void list(struct mf_rtc *rtc, struct mf_rtc_pair *pair)
{
	struct mf_rtc_pair *owner = mf_rtc_find_pair(rtc, &pair->path);
	size_t bucket = bucket_of(rtc, &pair->path);

	if (owner == pair || (owner && owner->verified && !pair->verified &&
			      mf_now_ms() - owner->checked_ms < LATELY_MS))
		return;
	if (owner)
		unlist(rtc, owner);
	pair->next = rtc->by_path[bucket];
	rtc->by_path[bucket] = pair;
	pair->listed = true;
}

void mf_rtc_pairs_drop(struct mf_rtc_session *s)
{
	for (size_t i = 0; i < MF_RTC_PAIRS_MAX; i++) {
		if (s->pairs[i].session)
			unlist(s->rtc, &s->pairs[i]);
	}
}

static struct mf_rtc_pair *take_pair(struct mf_rtc_session *s, const struct mf_rtc_path *path)
{
	struct mf_rtc_pair *place = NULL;

	for (size_t i = 0; i < MF_RTC_PAIRS_MAX; i++) {
		struct mf_rtc_pair *p = &s->pairs[i];

		if (p->session && memcmp(&p->path, path, sizeof(*path)) == 0) {
			if (!p->listed)
				list(s->rtc, p);
			return p;
		}
		/* a place that is free, else the one that was silent for longest; never that in use */
		if (p != s->selected && p != s->current &&
		    (!place ||
		     (place->session && (!p->session || p->checked_ms < place->checked_ms))))
			place = p;
	}
	if (place->session)
		unlist(s->rtc, place);
	*place = (struct mf_rtc_pair){ .session = s, .path = *path };
	list(s->rtc, place);
	return place;
}

static void answer(struct mf_rtc_pair *pair, struct mf_stun_out *out)
{
	struct mf_rtc_session *s = pair->session;
	size_t len = mf_stun_end(out, mf_span_str(s->pwd));

	if (len)
		(void)mf_rtc_output(s->rtc, pair, mf_span_of(out->buf, len));
}

/* A check of ours, to see whether the peer receives what is sent there; repeated by the peer's next datagram, not by a timer */
static void ask(struct mf_rtc_pair *pair, uint64_t now)
{
	struct mf_rtc_session *s = pair->session;
	struct mf_stun_out out;
	size_t len;

	if (pair->verified || (pair->asked && now - pair->asked_ms < ASK_AGAIN_MS))
		return;
	if (!pair->asked && RAND_bytes(pair->check_id, MF_STUN_ID_LEN) != 1)
		return;
	mf_stun_begin(&out, MF_STUN_REQUEST, pair->check_id);
	mf_stun_put_username(&out, mf_span_str(s->remote.ufrag), mf_span_str(s->ufrag));
	mf_stun_put_priority(&out, (uint32_t)PEER_REFLEXIVE << 24 | 0xffff00 | 255);
	mf_stun_put_role(&out, false, s->tie_breaker);
	len = mf_stun_end(&out, mf_span_str(s->remote.pwd));
	/* no counting as held back: it waits until the peer has sent enough */
	if (!len || pair->out + len > pair->in ||
	    !mf_rtc_output(s->rtc, pair, mf_span_of(out.buf, len)))
		return;
	pair->asked = true;
	pair->asked_ms = now;
}

static void select_pair(struct mf_rtc_pair *pair)
{
	struct mf_rtc_session *s = pair->session;

	if (s->selected == pair)
		return;
	if (s->selected) {
		/* without a proof a peer could point what is sent to it at anybody */
		if (!pair->verified)
			return;
		if (memcmp(&s->selected->path, &pair->path, sizeof(pair->path)) != 0)
			s->rtc->stats.moved++;
	}
	if (s->selected)
		mf_rtc_pmtu_forget(s);
	s->selected = pair;
	mf_rtc_session_reachable(s);
}

void mf_rtc_pair_shown(struct mf_rtc_pair *pair)
{
	struct mf_rtc_session *s = pair->session;

	if (pair->verified)
		return;
	pair->verified = true;
	list(s->rtc, pair);
	if (pair->nominated || !s->selected || !s->selected->verified)
		select_pair(pair);
}

/* The offer's author knows both halves of the name: "ours:theirs" */
static struct mf_rtc_session *whose(struct mf_rtc *rtc, struct mf_span name)
{
	const uint8_t *colon = name.ptr ? memchr(name.ptr, ':', name.len) : NULL;
	size_t len = colon ? (size_t)(colon - name.ptr) : 0;
	struct mf_rtc_session *s;

	if (!colon)
		return NULL;
	s = mf_rtc_find_ufrag(rtc, mf_span_of(name.ptr, len));
	if (s &&
	    mf_span_eq(mf_span_of(colon + 1, name.len - len - 1), mf_span_str(s->remote.ufrag)))
		return s;
	return NULL;
}

static void on_request(struct mf_rtc *rtc, const struct mf_rtc_path *path,
		       const struct mf_stun *msg)
{
	struct mf_rtc_session *s = whose(rtc, msg->username);
	uint64_t now = mf_now_ms();
	struct mf_stun_out out;
	struct mf_rtc_pair *pair;

	/* nothing is said to a stranger, not even that it is one */
	if (!s || !mf_stun_is_whole(msg, mf_span_str(s->pwd))) {
		rtc->stats.checks_refused++;
		return;
	}
	rtc->stats.checks++;
	pair = take_pair(s, path);
	pair->in += msg->whole.len;
	if (msg->unknown_cnt) {
		mf_stun_begin(&out, MF_STUN_ERROR, msg->id);
		mf_stun_put_error(&out, ERROR_UNKNOWN_ATTRIBUTE, msg->unknown, msg->unknown_cnt);
		answer(pair, &out);
		return;
	}
	/* we are lite, so the peer controls (RFC 8445 6.1.1): one that thinks otherwise shall change its mind */
	if (msg->controlled) {
		mf_stun_begin(&out, MF_STUN_ERROR, msg->id);
		mf_stun_put_error(&out, ERROR_ROLE_CONFLICT, NULL, 0);
		answer(pair, &out);
		return;
	}
	pair->checked_ms = now;
	mf_stun_begin(&out, MF_STUN_SUCCESS, msg->id);
	mf_stun_put_mapped(&out, &path->remote);
	answer(pair, &out);
	if (msg->use_candidate) {
		pair->nominated = true;
		select_pair(pair);
	}
	if (!s->dead)
		ask(pair, now);
}

static void on_success(struct mf_rtc *rtc, const struct mf_rtc_path *path,
		       const struct mf_stun *msg)
{
	struct mf_rtc_pair *pair = mf_rtc_find_pair(rtc, path);

	if (!pair || !pair->asked || memcmp(msg->id, pair->check_id, MF_STUN_ID_LEN) != 0 ||
	    !mf_stun_is_whole(msg, mf_span_str(pair->session->remote.pwd))) {
		rtc->stats.checks_refused++;
		return;
	}
	mf_rtc_pair_shown(pair);
}

void mf_rtc_stun(struct mf_rtc *rtc, const struct mf_rtc_path *path, const struct mf_stun *msg)
{
	switch (msg->type) {
	case MF_STUN_REQUEST:
		on_request(rtc, path, msg);
		break;
	case MF_STUN_SUCCESS:
		on_success(rtc, path, msg);
		break;
	case MF_STUN_ERROR:
	case MF_STUN_INDICATION: /* keeps a NAT's mapping alive, no more */
		break;
	}
}
