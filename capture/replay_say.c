/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_say.c - what the session's resolver says where a policy refuses a name or answers it itself
 *
 * A datagram of DNS is answered by one. In a TCP connection the answer is a piece of a stream in which the server speaks as
 * well, so from the first one on the server's side is told anew: each of its messages that still reaches the client once it is
 * whole, those that do not left out, ours where their questions came; with sequence numbers of our own. The client's side is
 * as captured but for what it acknowledges: all that was said to it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"
#include "core/base/bytes.h"

enum {
	TTL_S = 60,	   /* of an answer whose verdict names none, as in a session */
	WAIT_MAX = 65537,  /* bytes of ours that wait for the end of a message of the server */
	SAYS_MAX = 1 << 20 /* bytes that one packet leads to */
};

/* --- one message ---------------------------------------------------------------------------------------------------- */

static void refusal(const struct mf_decision *d, struct mf_dns_answer *a, char *text, size_t size)
{
	const char *why = d ? mf_decision_reason(d) : "not a host name that a policy can judge";

	a->rcode = d && d->verdict == MF_DENY && d->rcode && d->rcode < 16
			   ? (enum mf_dns_rcode)d->rcode
			   : MF_DNS_REFUSED;
	a->ede = !d || d->matched ? MF_DNS_EDE_BLOCKED : MF_DNS_EDE_PROHIBITED;
	a->soa = d && (a->rcode == MF_DNS_NXDOMAIN || a->rcode == MF_DNS_NOERROR);
	if (d && d->rule)
		snprintf(text, size, "%s (policy %s, %s)", why, d->policy ? d->policy : "?",
			 d->rule);
	else
		snprintf(text, size, "%s", why);
	a->ede_text = text;
}

/* resolve{...}; Return: false where the addresses of another name are wanted, which no capture tells */
static bool resolution(const struct mf_decision *d, uint16_t type, struct mf_dns_answer *a,
		       struct mf_addr *addrs, struct mf_dns_name *target)
{
	bool wants_addr = type == MF_DNS_A || type == MF_DNS_AAAA || type == MF_DNS_ANY;
	size_t cnt = 0;

	for (unsigned i = 0; i < d->addr_cnt && i < MF_ADDRS_MAX; i++)
		if (mf_addr_from_bytes(&addrs[cnt], d->addrs[i].bytes,
				       d->addrs[i].family == 4 ? 4 : 16))
			cnt++;
	if (d->cname && mf_dns_parse_name(d->cname, target) == 0) {
		if (wants_addr && !cnt)
			return false;
		if (wants_addr || type == MF_DNS_CNAME)
			a->cname = target;
	}
	a->soa = a->authoritative = true;
	a->ttl_s = d->ttl_s ? d->ttl_s : TTL_S;
	a->addrs = addrs;
	a->addr_cnt = wants_addr ? cnt : 0;
	return true;
}

struct mf_span mf_replay_compose(struct mf_replay *r, const struct mf_replay_waiting *w)
{
	const struct mf_decision *d = w->said[0].kept ? &w->said[0].kept->d : NULL;
	struct mf_dns_answer a = { .ede = MF_DNS_EDE_NONE };
	struct mf_addr addrs[MF_ADDRS_MAX];
	struct mf_dns_name target;
	size_t limit = MF_DNS_MESSAGE_MAX;
	char text[512];
	int len;

	if (!d || d->verdict != MF_RESOLVE)
		refusal(d, &a, text, sizeof(text));
	else if (!resolution(d, w->query->type, &a, addrs, &target))
		return mf_span_of(NULL, 0);
	if (w->flow.proto == MF_UDP)
		limit = w->query->udp_size < MF_DNS_UDP_MAX ? w->query->udp_size : MF_DNS_UDP_MAX;
	len = mf_dns_write_answer(w->query, &a, r->message, MF_DNS_MESSAGE_MAX, limit);
	return mf_span_of(r->message, len > 0 ? (size_t)len : 0);
}

/* --- in a connection ------------------------------------------------------------------------------------------------ */

struct mf_replay_voice {
	uint32_t next;	/* sequence number of what is said next */
	uint32_t acked; /* the last that the client acknowledged; @begun: it did */
	bool begun;
	uint32_t written; /* bytes of the server's message at hand that were written as captured */
	bool ended;	  /* so was, or will be, the server's end */
	uint8_t *wait;	  /* of ours, until that message is whole */
	uint32_t wait_len;
};

void mf_replay_free_voice(struct mf_replay_flow *f)
{
	if (f->voice)
		free(f->voice->wait);
	free(f->voice);
	f->voice = NULL;
}

/* To the end of what this packet leads to; what is too much is not said. */
static void say(struct mf_replay *r, struct mf_span bytes)
{
	size_t room = r->says_room ? r->says_room : 4096;
	uint8_t *grown;

	if (r->says_len + bytes.len > SAYS_MAX)
		return;
	while (room < r->says_len + bytes.len)
		room *= 2;
	if (room != r->says_room) {
		grown = realloc(r->says, room);
		if (!grown) {
			r->no_memory = true;
			return;
		}
		r->says = grown;
		r->says_room = room;
	}
	memcpy(r->says + r->says_len, bytes.ptr, bytes.len);
	r->says_len += bytes.len;
}

static void say_later(struct mf_replay *r, struct mf_replay_voice *v, struct mf_span bytes)
{
	uint8_t *grown;

	if (v->wait_len + bytes.len > WAIT_MAX)
		return;
	grown = realloc(v->wait, v->wait_len + bytes.len);
	if (!grown) {
		r->no_memory = true;
		return;
	}
	v->wait = grown;
	memcpy(v->wait + v->wait_len, bytes.ptr, bytes.len);
	v->wait_len += (uint32_t)bytes.len;
}

/* From here on we speak. Return: NULL where nobody knows what the server has said so far */
static struct mf_replay_voice *begin(struct mf_replay *r, struct mf_replay_flow *f)
{
	const struct mf_stream *s = f->streams[MF_REPLAY_SERVER];
	struct mf_replay_voice *v;

	if (!s || mf_stream_has_holes(s) || f->has_server_fin)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		r->no_memory = true;
		return NULL;
	}
	v->next = mf_stream_next(s);
	v->written = (uint32_t)mf_stream_ready(s).len;
	f->voice = v;
	return v;
}

void mf_replay_say(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span msg)
{
	struct mf_replay_voice *v = f->voice ? f->voice : begin(r, f);
	uint8_t head[2];

	if (!v)
		return;
	mf_store_be16(head, (uint16_t)msg.len);
	if (v->written) {
		say_later(r, v, mf_span_of(head, 2));
		say_later(r, v, msg);
	} else {
		say(r, mf_span_of(head, 2));
		say(r, msg);
	}
}

void mf_replay_hear(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span framed,
		    bool reaches, struct mf_span instead)
{
	struct mf_replay_voice *v = f->voice;

	if (!v)
		return;
	/* What was begun is finished. */
	if (v->written)
		say(r, mf_span_sub(framed, v->written, framed.len - v->written));
	else if (reaches)
		say(r, framed);
	else if (instead.len)
		mf_replay_say(r, f, instead);
	v->written = 0;
	if (v->wait_len)
		say(r, mf_span_of(v->wait, v->wait_len));
	v->wait_len = 0;
}

void mf_replay_voice_fate(struct mf_replay *r, struct mf_replay_flow *f, const struct mf_view *view,
			  bool from_client)
{
	const struct mf_stream *client = f->streams[MF_REPLAY_CLIENT];
	struct mf_replay_voice *v = f->voice;
	struct mf_replay_speech *ret = &r->fate.speech;

	if (!v)
		return;
	*ret = (struct mf_replay_speech){ .on = true,
					  .seq = v->next,
					  .said = mf_span_of(r->says, r->says_len) };
	if (!from_client)
		ret->ack = mf_view_tcp_ack(view);
	else if (client)
		ret->ack = mf_stream_next(client);
	else
		ret->ack = mf_view_tcp_seq(view) + (uint32_t)mf_view_payload(view).len;
	/* It acknowledges what is not said, and nothing else. */
	if (from_client && v->begun && v->acked == v->next && view->tcp_flags == MF_TCP_ACK &&
	    !mf_view_payload(view).len)
		r->fate.kind = MF_REPLAY_MOOT;
	if (from_client) {
		v->begun = true;
		v->acked = v->next;
	}
	v->next += (uint32_t)r->says_len;
	ret->next = v->next;
	if (from_client || !(view->tcp_flags & MF_TCP_FIN))
		return;
	if (v->ended)
		ret->next--;
	else
		v->next++;
	v->ended = true;
}
