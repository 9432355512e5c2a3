/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.c - the data channels of a session: opened, closed, sent on (RFC 8831, RFC 8832)
 *
 * What SCTP has no room for waits in a queue a channel, and the channels take turns. A channel that its owner has closed stays as a
 * husk until both sides have reset its stream: only then the id is free.
 */
#include <stdlib.h>
#include <string.h>

#include "proxies/rtc/dcep.h"
#include "proxies/rtc/rtc_int.h"

struct queued {
	struct queued *next;
	uint32_t ppid;
	uint32_t len;
	uint8_t data[];
};

struct mf_rtc_channel {
	struct mf_rtc_session *session;
	void *user;
	uint16_t id;
	bool ordered;
	int32_t max_retransmits, max_life_ms;
	bool acknowledged; /* the peer knows it: until then everything is ordered (RFC 8832 6) */
	bool known;	   /* to the handler */
	bool corked;	   /* nothing is sent before the handler has agreed */
	bool closing;
	bool reset_asked, reset_done, reset_by_peer;
	bool want_room;
	struct queued *head, **tail;
	size_t waiting;
};

static struct mf_rtc_channel *find(const struct mf_rtc_session *s, uint16_t id)
{
	return s->channels && id < s->rtc->streams ? s->channels[id] : NULL;
}

static struct mf_rtc_channel *make(struct mf_rtc_session *s, uint16_t id,
				   const struct mf_rtc_channel_info *info)
{
	struct mf_rtc_channel *ch;

	if (!s->channels)
		s->channels = calloc(s->rtc->streams, sizeof(*s->channels));
	ch = s->channels ? calloc(1, sizeof(*ch)) : NULL;
	if (!ch)
		return NULL;
	ch->session = s;
	ch->id = id;
	ch->ordered = info->ordered;
	ch->max_retransmits = info->max_retransmits;
	ch->max_life_ms = info->max_life_ms;
	ch->tail = &ch->head;
	s->channels[id] = ch;
	return ch;
}

static void drop_queue(struct mf_rtc_channel *ch)
{
	if (ch->head)
		ch->session->queue_cnt--;
	for (struct queued *q = ch->head, *next; q; q = next) {
		next = q->next;
		free(q);
	}
	ch->head = NULL;
	ch->tail = &ch->head;
	ch->waiting = 0;
}

static void drop(struct mf_rtc_channel *ch)
{
	drop_queue(ch);
	ch->session->channels[ch->id] = NULL;
	free(ch);
}

/* @front: before all that waits */
static bool enqueue(struct mf_rtc_channel *ch, uint32_t ppid, struct mf_span data, bool front)
{
	struct queued *q = malloc(sizeof(*q) + data.len);

	if (!q)
		return false;
	q->ppid = ppid;
	q->len = (uint32_t)data.len;
	memcpy(q->data, data.ptr, data.len);
	if (!ch->head)
		ch->session->queue_cnt++;
	q->next = front ? ch->head : NULL;
	if (front) {
		if (!ch->head)
			ch->tail = &q->next;
		ch->head = q;
	} else {
		*ch->tail = q;
		ch->tail = &q->next;
	}
	ch->waiting += data.len;
	return true;
}

static int hand_over(struct mf_rtc_channel *ch, uint32_t ppid, struct mf_span data)
{
	bool control = ppid == MF_DCEP_CONTROL;
	struct mf_sctp_way way = {
		.stream = ch->id,
		.ppid = ppid,
		.unordered = !control && !ch->ordered && ch->acknowledged,
		.max_retransmits = control ? -1 : ch->max_retransmits,
		.max_life_ms = control ? -1 : ch->max_life_ms,
	};

	return mf_sctp_send(ch->session->sctp, &way, data);
}

/* Return: MF_E_AGAIN when SCTP is full; 0: something was sent, or is not worth keeping */
static int send_head(struct mf_rtc_channel *ch)
{
	struct queued *q = ch->head;
	int r = hand_over(ch, q->ppid, mf_span_of(q->data, q->len));

	if (r == MF_E_AGAIN)
		return r;
	ch->head = q->next;
	ch->waiting -= q->len;
	if (!ch->head) {
		ch->tail = &ch->head;
		ch->session->queue_cnt--;
	}
	free(q);
	return 0;
}

/* The channel's stream is closed once nothing waits any more */
static void ask_reset(struct mf_rtc_channel *ch)
{
	if (!ch->closing || ch->reset_asked || ch->head)
		return;
	switch (mf_sctp_reset(ch->session->sctp, ch->id)) {
	case 0:
		ch->reset_asked = true;
		break;
	case MF_E_AGAIN: /* one at a time */
		ch->session->resets_wait = true;
		break;
	}
}

static void begin_close(struct mf_rtc_channel *ch)
{
	if (ch->closing)
		return;
	ch->closing = true;
	if (ch->known)
		ch->session->channel_cnt--;
	ch->known = false;
	ask_reset(ch);
}

static void send_queues(struct mf_rtc_session *s)
{
	uint32_t idle = 0;

	/* a message a channel and round */
	while (s->queue_cnt && idle < s->rtc->streams) {
		struct mf_rtc_channel *ch = s->channels[s->turn];

		if (ch && ch->head && !ch->corked) {
			if (send_head(ch) == MF_E_AGAIN)
				return;
			idle = 0;
			if (!ch->head)
				ask_reset(ch);
		} else {
			idle++;
		}
		s->turn = (s->turn + 1) % s->rtc->streams;
	}
}

void mf_rtc_channels_flush(struct mf_rtc_session *s)
{
	send_queues(s);
	for (uint32_t id = 0; s->channels && id < s->rtc->streams && !s->dead; id++) {
		struct mf_rtc_channel *ch = s->channels[id];

		if (!ch || !ch->want_room || ch->closing ||
		    ch->waiting > s->rtc->opt.send_queue_max / 4)
			continue;
		ch->want_room = false;
		if (s->handler->room)
			s->handler->room(s->ctx, ch);
	}
}

static void retry_resets(struct mf_rtc_session *s)
{
	if (!s->resets_wait)
		return;
	s->resets_wait = false;
	for (uint32_t id = 0; id < s->rtc->streams; id++) {
		if (s->channels[id])
			ask_reset(s->channels[id]);
	}
}

static void refuse(struct mf_rtc_channel *ch)
{
	ch->session->rtc->stats.channels_refused++;
	drop_queue(ch);
	ch->corked = false;
	begin_close(ch);
}

static void on_open(struct mf_rtc_session *s, uint16_t id, const struct mf_rtc_channel_info *info)
{
	struct mf_rtc_channel *ch = find(s, id);
	uint8_t ack[1];

	if (ch) {
		/* in use, or not closed yet: neither can go on */
		s->rtc->stats.dcep_bad++;
		if (ch->known && s->handler->channel_closed) {
			ch->known = false;
			s->channel_cnt--;
			s->handler->channel_closed(s->ctx, ch);
		}
		if (!s->dead) {
			drop_queue(ch);
			begin_close(ch);
		}
		return;
	}
	ch = make(s, id, info);
	if (!ch) {
		mf_rtc_session_end(s, MF_RTC_END_MEMORY);
		return;
	}
	ch->acknowledged = true; /* the opener knows it */
	/* ids of one parity are each side's own (RFC 8832 6): a DTLS client's are even */
	if ((id & 1) == (s->server ? 1 : 0) || s->channel_cnt >= s->rtc->opt.channels_max) {
		refuse(ch);
		return;
	}
	ch->corked = ch->known = true;
	s->channel_cnt++;
	if (!s->handler->channel(s->ctx, ch, info)) {
		if (!s->dead && find(s, id) == ch)
			refuse(ch);
		return;
	}
	if (s->dead || find(s, id) != ch)
		return;
	ch->corked = false;
	if (ch->closing) { /* by the handler itself */
		drop_queue(ch);
		ask_reset(ch);
		return;
	}
	s->rtc->stats.channels++;
	mf_dcep_write_ack(ack);
	if (!enqueue(ch, MF_DCEP_CONTROL, mf_span_of(ack, 1), true))
		mf_rtc_session_end(s, MF_RTC_END_MEMORY);
	else
		send_queues(s);
}

static void on_control(struct mf_rtc_session *s, uint16_t id, struct mf_span data)
{
	struct mf_rtc_channel_info info;
	struct mf_rtc_channel *ch = find(s, id);

	switch (mf_dcep_read(data, &info)) {
	case MF_DCEP_OPEN:
		on_open(s, id, &info);
		return;
	case MF_DCEP_ACK:
		if (ch)
			ch->acknowledged = true;
		return;
	default:
		s->rtc->stats.dcep_bad++;
		if (!ch && (ch = make(s, id, &(struct mf_rtc_channel_info){ 0 })))
			refuse(ch);
	}
}

void mf_rtc_channels_message(struct mf_rtc_session *s, uint16_t id, uint32_t ppid,
			     struct mf_span data)
{
	struct mf_rtc_channel *ch = find(s, id);
	bool text = ppid == MF_DCEP_STRING || ppid == MF_DCEP_STRING_EMPTY;

	if (id >= s->rtc->streams)
		return;
	if (ppid == MF_DCEP_CONTROL) {
		on_control(s, id, data);
		return;
	}
	if (!ch || (!text && ppid != MF_DCEP_BINARY && ppid != MF_DCEP_BINARY_EMPTY)) {
		s->rtc->stats.dcep_bad++;
		return;
	}
	if (ch->closing)
		return;
	if (ppid == MF_DCEP_STRING_EMPTY || ppid == MF_DCEP_BINARY_EMPTY)
		data.len = 0;
	s->message_ms = mf_now_ms();
	s->rtc->stats.messages_in++;
	s->rtc->stats.message_bytes_in += data.len;
	s->handler->message(s->ctx, ch, text, data);
}

void mf_rtc_channels_reset_by_peer(struct mf_rtc_session *s, uint16_t id)
{
	struct mf_rtc_channel *ch = find(s, id);

	if (!ch)
		return;
	ch->reset_by_peer = true;
	if (ch->known) {
		ch->known = false;
		s->channel_cnt--;
		if (s->handler->channel_closed)
			s->handler->channel_closed(s->ctx, ch);
		if (s->dead)
			return;
	}
	drop_queue(ch); /* nobody listens */
	begin_close(ch);
	if (ch->reset_done)
		drop(ch);
	retry_resets(s);
}

void mf_rtc_channels_reset_done(struct mf_rtc_session *s, uint16_t id)
{
	struct mf_rtc_channel *ch = find(s, id);

	if (ch) {
		ch->reset_done = true;
		if (ch->reset_by_peer)
			drop(ch);
	}
	retry_resets(s);
}

void mf_rtc_channels_end(struct mf_rtc_session *s, bool tell)
{
	for (uint32_t id = 0; s->channels && id < s->rtc->streams; id++) {
		struct mf_rtc_channel *ch = s->channels[id];

		if (!ch)
			continue;
		ch->closing = true;
		if (tell && ch->known && s->handler->channel_closed)
			s->handler->channel_closed(s->ctx, ch);
	}
	for (uint32_t id = 0; s->channels && id < s->rtc->streams; id++) {
		if (s->channels[id])
			drop(s->channels[id]);
	}
	free(s->channels);
	s->channels = NULL;
}

int mf_rtc_channel_open(struct mf_rtc_session *s, const struct mf_rtc_channel_info *info,
			struct mf_rtc_channel **ret)
{
	uint8_t open[MF_DCEP_OPEN_MAX];
	size_t len = mf_dcep_write_open(info, open);
	uint16_t id = s->server ? 1 : 0;
	struct mf_rtc_channel *ch;

	if (!len)
		return MF_E_LIMIT;
	if (!s->connected || s->dead)
		return MF_E_AGAIN;
	while (id < s->rtc->streams && find(s, id))
		id += 2;
	if (id >= s->rtc->streams || s->channel_cnt >= s->rtc->opt.channels_max)
		return MF_E_FULL;
	ch = make(s, id, info);
	if (!ch)
		return MF_E_NOMEM;
	if (!enqueue(ch, MF_DCEP_CONTROL, mf_span_of(open, len), true)) {
		drop(ch);
		return MF_E_NOMEM;
	}
	ch->known = true;
	s->channel_cnt++;
	s->rtc->stats.channels++;
	send_queues(s);
	mf_rtc_later(s->rtc);
	*ret = ch;
	return 0;
}

void mf_rtc_channel_close(struct mf_rtc_channel *ch)
{
	struct mf_rtc_session *s = ch->session;

	if (s->dead || ch->closing)
		return;
	begin_close(ch);
	mf_rtc_later(s->rtc);
}

void mf_rtc_channel_set_user(struct mf_rtc_channel *ch, void *user)
{
	ch->user = user;
}

void *mf_rtc_channel_user(const struct mf_rtc_channel *ch)
{
	return ch->user;
}

struct mf_rtc_session *mf_rtc_channel_session(const struct mf_rtc_channel *ch)
{
	return ch->session;
}

uint16_t mf_rtc_channel_id(const struct mf_rtc_channel *ch)
{
	return ch->id;
}

int mf_rtc_send(struct mf_rtc_channel *ch, bool text, struct mf_span data)
{
	static const uint8_t nothing[1];
	struct mf_rtc_session *s = ch->session;
	uint32_t ppid = text ? MF_DCEP_STRING : MF_DCEP_BINARY;
	size_t len = data.len;
	int r = MF_E_AGAIN;

	if (s->dead || ch->closing || !s->sctp)
		return MF_E_CLOSED;
	if (len > MF_SCTP_MESSAGE_MAX ||
	    (s->remote.max_message_size && len > s->remote.max_message_size))
		return MF_E_LIMIT;
	if (len == 0) {
		ppid = text ? MF_DCEP_STRING_EMPTY : MF_DCEP_BINARY_EMPTY;
		data = mf_span_of(nothing, 1);
	}
	if (!s->queue_cnt && !ch->corked)
		r = hand_over(ch, ppid, data);
	if (r == MF_E_AGAIN) {
		if (ch->waiting + data.len > s->rtc->opt.send_queue_max) {
			ch->want_room = true;
			s->rtc->stats.send_full++;
			return MF_E_FULL;
		}
		r = enqueue(ch, ppid, data, false) ? 0 : MF_E_FULL;
		if (ch->waiting > s->rtc->opt.send_queue_max / 2)
			ch->want_room = true;
	}
	if (r < 0)
		return r == MF_E_FULL ? r : MF_E_CLOSED;
	mf_rtc_pmtu_want(s, data.len);
	s->message_ms = mf_now_ms();
	s->rtc->stats.messages_out++;
	s->rtc->stats.message_bytes_out += len;
	mf_rtc_later(s->rtc);
	return 0;
}

size_t mf_rtc_waiting(const struct mf_rtc_channel *ch)
{
	return ch->waiting;
}
