/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmtu.c - how long the packets may be that a peer's path takes: probes, upwards from what every path takes (RFC 8899, RFC 8831 5)
 *
 * A probe is a HEARTBEAT with padding, of which the answer is short; it goes out by itself, not to be taken apart by anybody. Nobody is
 * probed who is not sent messages that are too long for one packet otherwise. What a router says in ICMP is not asked for: it may be
 * anybody's word. Lost probes cost nothing, as nothing but probes is longer than what has arrived.
 *
 * From mtu upwards, once a long message is sent, until three probes of a size are lost; that is tried again after AGAIN_MS. What is more
 * than mtu is looked at every confirm_ms, if it was used: three lost probes, and it begins at mtu.
 */
#include <openssl/rand.h>
#include <string.h>

#include "proxies/rtc/rtc_int.h"

enum {
	PROBES = 3,	   /* of a size, until it is held to be lost (RFC 8899 5.1.2) */
	AGAIN_MS = 600000, /* RFC 8899's PMTU_RAISE_TIMER */
};

/*
 * What a datagram of 1,200 bytes and its frame's head need in one packet, which is what matters most; all that usrsctp puts into one
 * packet of a message; then what helps several chunks to share one: WireGuard's, PPPoE's, Ethernet's
 */
static const uint16_t sizes[] = { 1344, 1380, 1420, 1492, 1500 };

uint16_t mf_rtc_packet_max(uint16_t mtu)
{
	return (uint16_t)((mtu - MF_RTC_IP_AND_UDP - MF_DTLS_OVERHEAD) & ~3);
}

size_t mf_rtc_datagram_max(const struct mf_rtc_session *s)
{
	return (size_t)s->pmtu.size - MF_RTC_IP_AND_UDP;
}

static void set_size(struct mf_rtc_session *s, uint16_t size)
{
	s->pmtu.size = size;
	if (s->sctp)
		mf_sctp_set_packet_max(s->sctp, mf_rtc_packet_max(size));
}

static void send_probe(struct mf_rtc_session *s)
{
	struct mf_rtc_pmtu *p = &s->pmtu;

	mf_timeout_arm(&p->timer, &s->rtc->probe_queue);
	if (RAND_bytes(p->token, sizeof(p->token)) != 1)
		return; /* counts as lost */
	s->rtc->stats.probes++;
	p->sending = true;
	(void)mf_sctp_probe(s->sctp, mf_rtc_packet_max(p->probe), p->token);
	p->sending = false;
}

static void end_search(struct mf_rtc_session *s)
{
	struct mf_rtc_pmtu *p = &s->pmtu;

	p->probe = 0;
	p->lost = 0;
	p->searched_ms = mf_now_ms();
	if (p->size > s->rtc->opt.mtu)
		mf_timeout_arm(&p->timer, &s->rtc->confirm_queue);
	else
		mf_timeout_disarm(&p->timer);
}

/* The next size that is more than what is known */
static void search(struct mf_rtc_session *s)
{
	struct mf_rtc_pmtu *p = &s->pmtu;

	for (size_t i = 0; i < MF_ARRAY_SIZE(sizes); i++) {
		if (sizes[i] <= p->size || sizes[i] > s->rtc->opt.mtu_max)
			continue;
		p->probe = sizes[i];
		p->lost = 0;
		send_probe(s);
		return;
	}
	end_search(s);
}

void mf_rtc_pmtu_want(struct mf_rtc_session *s, size_t len)
{
	struct mf_rtc_pmtu *p = &s->pmtu;

	if (len + MF_SCTP_DATA_OVERHEAD <= mf_rtc_packet_max(s->rtc->opt.mtu))
		return;
	p->used = true;
	if (p->probe || !s->connected || !s->selected || !s->selected->verified ||
	    p->size >= s->rtc->opt.mtu_max)
		return;
	if (p->searched_ms && mf_now_ms() - p->searched_ms < AGAIN_MS)
		return;
	search(s);
}

void mf_rtc_pmtu_arrived(struct mf_rtc_session *s, const uint8_t token[MF_SCTP_TOKEN_LEN])
{
	struct mf_rtc_pmtu *p = &s->pmtu;

	if (s->dead || !p->probe || memcmp(token, p->token, sizeof(p->token)) != 0)
		return;
	p->used = false;
	if (p->probe == p->size) {
		p->probe = 0;
		p->lost = 0;
		mf_timeout_arm(&p->timer, &s->rtc->confirm_queue);
		return;
	}
	if (p->size == s->rtc->opt.mtu)
		s->rtc->stats.widened++;
	set_size(s, p->probe);
	search(s);
}

void mf_rtc_pmtu_forget(struct mf_rtc_session *s)
{
	mf_timeout_disarm(&s->pmtu.timer);
	s->pmtu = (struct mf_rtc_pmtu){ .sending = s->pmtu.sending };
	set_size(s, s->rtc->opt.mtu);
}

static struct mf_rtc_session *session_of(struct mf_timeout *t)
{
	return (void *)((char *)t - offsetof(struct mf_rtc_session, pmtu.timer));
}

static void on_lost(struct mf_timeout *t, void *ctx)
{
	struct mf_rtc_session *s = session_of(t);
	struct mf_rtc_pmtu *p = &s->pmtu;

	(void)ctx;
	if (++p->lost < PROBES) {
		send_probe(s);
	} else if (p->probe > p->size) {
		end_search(s);
	} else {
		/* a black hole: what was let through is not any more */
		s->rtc->stats.narrowed++;
		set_size(s, s->rtc->opt.mtu);
		search(s);
	}
}

static void on_confirm(struct mf_timeout *t, void *ctx)
{
	struct mf_rtc_session *s = session_of(t);
	struct mf_rtc *rtc = ctx;

	/* who sends nothing long needs to know nothing */
	if (!s->pmtu.used) {
		mf_timeout_arm(t, &rtc->confirm_queue);
		return;
	}
	s->pmtu.probe = s->pmtu.size;
	s->pmtu.lost = 0;
	send_probe(s);
}

void mf_rtc_pmtu_queues(struct mf_rtc *rtc)
{
	mf_timeout_queue_init(&rtc->probe_queue, rtc->timeouts, rtc->opt.probe_ms, on_lost, rtc);
	mf_timeout_queue_init(&rtc->confirm_queue, rtc->timeouts, rtc->opt.confirm_ms, on_confirm,
			      rtc);
}
