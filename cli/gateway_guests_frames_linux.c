/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_guests_frames_linux.c - between the channel of a wire and its guest: messages, frames, rooms, captures; see gateway_guests.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture/pcap_file.h"
#include "cli/gateway_guests_int.h"
#include "core/base/clock.h"

enum { LINK_ETHERNET = 1, PCAP_BYTES_MAX = 64 << 20 };

/* A message is a frame. */
struct raw_source {
	struct mf_frame_source source; /* first */
	struct mf_gateway_wire *wire;
};

/* ---- the end of a wire ------------------------------------------------------------------------------------------- */

static void on_l2_close(void *ctx, unsigned status, struct mf_span reason)
{
	struct mf_gateway_wire *w = ctx;

	w->status = status;
	memcpy(w->reason, reason.ptr, reason.len);
	w->reason[reason.len] = '\0';
	w->ended_next = w->all->ended;
	w->all->ended = w;
	mf_guests_soon(w->all);
}

void mf_guests_arm(struct mf_gateway_wire *w)
{
	uint64_t at = mf_frame_l2_deadline(mf_guest_source(w->guest)), now = mf_guests_now(NULL),
		 us;
	struct timeval tv;

	if (at == UINT64_MAX) {
		evtimer_del(w->timer);
		return;
	}
	us = at > now ? (at - now) / 1000 + 1 : 0;
	tv = (struct timeval){ .tv_sec = (time_t)(us / 1000000),
			       .tv_usec = (suseconds_t)(us % 1000000) };
	evtimer_add(w->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_gateway_wire *w = ctx;

	(void)fd;
	(void)what;
	if (mf_frame_l2_tick(mf_guest_source(w->guest)) == 0)
		mf_guests_arm(w);
}

static int on_l2_send(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct mf_gateway_wire *w = ctx;
	int r = w->sink->send(w->sink_ctx, parts, cnt);

	/* it is full now: that must not last */
	if (r == MF_E_AGAIN && !evtimer_pending(w->timer, NULL))
		evtimer_add(w->timer, &(struct timeval){ .tv_sec = 1 });
	return r;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static int raw_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static int raw_send(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		    const uint8_t *body, size_t body_len)
{
	struct mf_gateway_wire *w = ((struct raw_source *)s)->wire;
	struct mf_span parts[2] = { { head, head_len }, { body, body_len } };
	int r = w->sink->send(w->sink_ctx, parts, 2);

	if (r < 0) {
		s->stats.out_dropped++;
		return MF_E_AGAIN;
	}
	s->stats.out++;
	s->stats.out_bytes += head_len + body_len;
	return 0;
}

static void raw_flush(struct mf_frame_source *s)
{
	(void)s;
}

static void raw_free(struct mf_frame_source *s)
{
	free(s);
}

static const struct mf_frame_ops raw_ops = { "raw", raw_run, raw_send, raw_flush, raw_free };

/* What guests of a room say to each other. Return: true: it was for one of them alone */
static bool switch_frame(struct mf_gateway_wire *from, const uint8_t *frame, size_t len)
{
	bool group = frame[0] & 1;

	for (struct mf_gateway_wire *w = from->segment->wires; w; w = w->next) {
		if (w == from || (!group && memcmp(mf_guest_mac(w->guest), frame, 6) != 0))
			continue;
		(void)mf_frame_source_send(mf_guest_source(w->guest), frame, MF_FRAME_MIN,
					   frame + MF_FRAME_MIN, len - MF_FRAME_MIN);
		if (!group)
			return true;
	}
	return false;
}

static void take_raw(struct mf_gateway_wire *w, uint8_t *frame, size_t len)
{
	struct mf_frame_source *s = mf_guest_source(w->guest);

	if (len < MF_FRAME_MIN || len > MF_GUESTS_RAW_MAX) {
		s->stats.in_bad++;
		return;
	}
	s->stats.in++;
	s->stats.in_bytes += len;
	if (w->segment->room && switch_frame(w, frame, len))
		return;
	s->receiver(s->ctx, frame, len);
}

void mf_guests_message(struct mf_gateway_wire *w, bool text, struct mf_span bytes)
{
	struct mf_gateway_guests *all = w->all;

	if (w->status)
		return;
	if (w->kind == MF_GATEWAY_RAW) {
		if (text || bytes.len > MF_GUESTS_RAW_MAX) {
			mf_guest_source(w->guest)->stats.in_bad++;
			return;
		}
		if (bytes.len)
			memcpy(all->message, bytes.ptr, bytes.len);
		take_raw(w, all->message, bytes.len);
		return;
	}
	if (text) {
		(void)mf_frame_l2_text(mf_guest_source(w->guest), bytes.len);
		return;
	}
	/* the channel has a limit of its own; a longer one would end the tunnel all the same */
	if (bytes.len > sizeof(all->message))
		bytes.len = sizeof(all->message);
	if (bytes.len)
		memcpy(all->message, bytes.ptr, bytes.len);
	(void)mf_frame_l2_message(mf_guest_source(w->guest), all->message, bytes.len);
}

void mf_guests_open_capture(struct mf_gateway_wire *w)
{
	struct mf_err err = { 0 };
	struct timespec now;
	char path[4096];

	if (!w->all->options.pcap_dir)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(path, sizeof(path), "%s/%013lld-session-%llu.pcapng", w->all->options.pcap_dir,
		 (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
		 (unsigned long long)w->all->opened);
	if (mf_pcapng_open(path, "moonfence gateway", &w->pcap, &err) < 0)
		mf_log_warning(w->all->options.log, "no capture: %s", err.msg);
}

void mf_guests_observe(void *ctx, struct mf_guest *guest, bool from_guest, const uint8_t *head,
		       size_t head_len, const uint8_t *body, size_t body_len)
{
	struct mf_gateway_wire *w = mf_guest_data(guest);
	struct timespec now;

	(void)ctx;
	if (!w || !w->pcap || w->pcap_bytes + head_len + body_len > PCAP_BYTES_MAX)
		return;
	w->pcap_bytes += head_len + body_len;
	clock_gettime(CLOCK_REALTIME, &now);
	(void)mf_pcapng_write(
		w->pcap,
		&(struct mf_pcapng_packet){
			.head = mf_span_of(head, head_len),
			.body = mf_span_of(body, body_len),
			.wire_len = (uint32_t)(head_len + body_len),
			.time_ns = (uint64_t)now.tv_sec * MF_NS_PER_S + (uint64_t)now.tv_nsec,
			.link = LINK_ETHERNET,
			.direction = from_guest ? MF_PCAP_INBOUND : MF_PCAP_OUTBOUND,
		});
}

int mf_guests_new_source(struct mf_gateway_wire *w, struct mf_frame_source **ret)
{
	const struct mf_gateway_l2_options *l2 = &w->all->options.l2;
	const struct mf_frame_l2_options o = {
		.size = sizeof(o),
		.limits = { .frame = l2->frame_max, .control = l2->control_max },
		.bytes_max = l2->bytes_max,
		.rate_max = l2->rate_max,
		.ping_ns = l2->ping_ms * MF_NS_PER_MS,
		.idle_ns = l2->idle_ms * MF_NS_PER_MS,
	};
	const struct mf_frame_l2_ops ops = {
		.send = on_l2_send, .close = on_l2_close, .now = mf_guests_now, .ctx = w
	};
	struct raw_source *raw;

	if (w->kind == MF_GATEWAY_TUNNEL) {
		w->timer = evtimer_new(w->all->base, on_timer, w);
		return w->timer ? mf_frame_l2_new(&o, &ops, ret, NULL) : MF_E_NOMEM;
	}
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return MF_E_NOMEM;
	raw->source = (struct mf_frame_source){ .ops = &raw_ops, .fd = -1 };
	raw->wire = w;
	*ret = &raw->source;
	return 0;
}
