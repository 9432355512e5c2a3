/* SPDX-License-Identifier: Apache-2.0 */
/* frame_l2.c - see frame_l2.h */
#include "nic/frame_l2.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"

#define PING_LEN      8u
#define PING_PATIENCE 3u /* intervals until an answer is not waited for any more */
#define TEXT_MAX      256u

struct l2 {
	struct mf_frame_source source;
	struct mf_frame_l2_options options;
	struct mf_frame_l2_ops ops;
	struct mf_frame_l2_stats stats;
	bool closed;
	uint64_t heard_ns;	/* when the peer said something */
	uint64_t full_since_ns; /* UINT64_MAX: the channel took the last message */
	uint64_t window_ns;	/* where the second began in which messages are counted */
	uint32_t window_cnt;
	uint64_t ping, ping_sent_ns, ping_due_ns; /* number of the last one */
	bool ping_open;				  /* not answered yet */
};

static uint64_t later(uint64_t ns, uint64_t by)
{
	return ns > UINT64_MAX - by ? UINT64_MAX : ns + by;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void end(struct l2 *l, unsigned status, struct mf_span reason)
{
	if (l->closed)
		return;
	l->closed = true;
	reason.len = mf_l2_cut_text(reason, MF_L2_REASON_MAX);
	if (l->ops.close)
		l->ops.close(l->ops.ctx, status, reason);
}

/* A last word with a code, where there is room for it, then the end. */
static void refuse(struct l2 *l, enum mf_l2_code code, const char *text)
{
	uint8_t head[MF_L2_HEAD], payload[4 + TEXT_MAX];
	size_t room = l->options.limits.control < sizeof(payload) ? l->options.limits.control
								  : sizeof(payload);
	struct mf_span parts[2] = { { head, sizeof(head) }, { payload, 0 } };

	if (l->closed)
		return;
	parts[1].len = mf_l2_error_write((uint16_t)code, mf_span_str(text), payload, room);
	mf_l2_head(MF_L2_ERROR, head);
	if (l->ops.send(l->ops.ctx, parts, 2) == 0)
		l->stats.bytes += MF_L2_HEAD + parts[1].len;
	end(l, MF_L2_CLOSE_POLICY, mf_span_str(text));
}

/* Return: false: the tunnel has ended */
static bool count_bytes(struct l2 *l, size_t len)
{
	l->stats.bytes += len;
	if (l->options.bytes_max && l->stats.bytes > l->options.bytes_max)
		refuse(l, MF_L2_QUOTA_BYTES, "byte quota exceeded");
	return !l->closed;
}

/* ---- to the peer ------------------------------------------------------------------------------------------------- */

static int put(struct l2 *l, const struct mf_span *parts, unsigned cnt, size_t len)
{
	int r;

	if (l->closed)
		return MF_E_CLOSED;
	r = l->ops.send(l->ops.ctx, parts, cnt);
	if (r == 0) {
		l->full_since_ns = UINT64_MAX;
		(void)count_bytes(l, len);
		return 0;
	}
	if (r != MF_E_AGAIN) {
		l->closed = true; /* nobody is there who could be told */
		return MF_E_CLOSED;
	}
	if (l->full_since_ns == UINT64_MAX)
		l->full_since_ns = l->ops.now(l->ops.ctx);
	return r;
}

static int put_control(struct l2 *l, enum mf_l2_type type, struct mf_span payload)
{
	uint8_t head[MF_L2_HEAD];
	struct mf_span parts[2] = { { head, sizeof(head) }, payload };

	mf_l2_head((uint8_t)type, head);
	return put(l, parts, payload.len ? 2 : 1, MF_L2_HEAD + payload.len);
}

static int l2_send(struct mf_frame_source *source, const uint8_t *head, size_t head_len,
		   const uint8_t *body, size_t body_len)
{
	struct l2 *l = (struct l2 *)source;
	uint8_t own[MF_L2_HEAD];
	struct mf_span parts[3] = { { own, sizeof(own) }, { head, head_len }, { body, body_len } };
	size_t len = head_len + body_len;

	if (len > l->options.limits.frame) {
		source->stats.out_dropped++;
		return MF_E_LIMIT;
	}
	mf_l2_head(MF_L2_FRAME, own);
	if (put(l, parts, 3, MF_L2_HEAD + len) < 0) {
		source->stats.out_dropped++;
		return MF_E_AGAIN;
	}
	source->stats.out++;
	source->stats.out_bytes += len;
	return 0;
}

/* ---- from the peer ----------------------------------------------------------------------------------------------- */

/* Whatever comes counts. Return: false: the tunnel has ended */
static bool heard(struct l2 *l, size_t len)
{
	uint64_t now;

	if (l->closed)
		return false;
	now = l->ops.now(l->ops.ctx);
	l->heard_ns = now;
	if (!count_bytes(l, len))
		return false;
	if (!l->options.rate_max)
		return true;
	if (now - l->window_ns >= MF_NS_PER_S) {
		l->window_ns = now;
		l->window_cnt = 0;
	}
	if (++l->window_cnt > l->options.rate_max)
		refuse(l, MF_L2_QUOTA_FPS, "frame rate quota exceeded");
	return !l->closed;
}

static void take_frame(struct l2 *l, uint8_t *frame, size_t len)
{
	if (len < MF_FRAME_MIN) {
		l->source.stats.in_bad++;
		return;
	}
	l->source.stats.in++;
	l->source.stats.in_bytes += len;
	l->source.receiver(l->source.ctx, frame, len);
}

static void take_pong(struct l2 *l, struct mf_span payload)
{
	if (!l->ping_open || payload.len != PING_LEN || mf_load_be64(payload.ptr) != l->ping) {
		l->stats.ignored++;
		return;
	}
	l->ping_open = false;
	l->stats.pongs++;
	l->stats.rtt_ns = l->heard_ns - l->ping_sent_ns;
}

static void take_garbage(struct l2 *l, const struct mf_err *err)
{
	l->stats.garbage++;
	if (!l->options.keep_on_garbage)
		refuse(l, MF_L2_PROTOCOL_ERROR, err->msg);
}

int mf_frame_l2_message(struct mf_frame_source *source, uint8_t *msg, size_t len)
{
	struct l2 *l = (struct l2 *)source;
	const struct mf_l2_limits *limits = &l->options.limits;
	struct mf_l2_message m;
	struct mf_l2_error error;
	struct mf_err err = { 0 };

	if (!heard(l, len))
		return MF_E_CLOSED;
	if (len > MF_L2_HEAD + (size_t)(limits->frame > limits->control ? limits->frame
									: limits->control)) {
		l->stats.garbage++;
		end(l, MF_L2_CLOSE_TOO_BIG, mf_span_str(""));
		return MF_E_CLOSED;
	}
	if (mf_l2_decode(mf_span_of(msg, len), limits, &m, &err) < 0) {
		take_garbage(l, &err);
		return l->closed ? MF_E_CLOSED : 0;
	}
	switch (m.type) {
	case MF_L2_FRAME:
		take_frame(l, msg + MF_L2_HEAD, m.payload.len);
		break;
	case MF_L2_PING:
		l->stats.pings_in++;
		(void)put_control(l, MF_L2_PONG, m.payload);
		break;
	case MF_L2_PONG:
		take_pong(l, m.payload);
		break;
	case MF_L2_ERROR:
		l->stats.errors_in++;
		if (mf_l2_error_read(m.payload, &error) == 0)
			l->stats.error_code = error.code;
		break;
	default:
		l->stats.ignored++;
	}
	return l->closed ? MF_E_CLOSED : 0;
}

int mf_frame_l2_text(struct mf_frame_source *source, size_t len)
{
	struct l2 *l = (struct l2 *)source;

	if (!heard(l, len))
		return MF_E_CLOSED;
	l->stats.ignored++;
	return 0;
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static uint64_t idle_at(const struct l2 *l)
{
	return l->options.idle_ns ? later(l->heard_ns, l->options.idle_ns) : UINT64_MAX;
}

static uint64_t full_at(const struct l2 *l)
{
	return l->full_since_ns == UINT64_MAX ? UINT64_MAX
					      : later(l->full_since_ns, l->options.full_ns);
}

/* One at a time is on its way; after a while without its answer there is another one. */
static uint64_t ping_at(const struct l2 *l)
{
	if (!l->options.ping_ns)
		return UINT64_MAX;
	return l->ping_open ? later(l->ping_sent_ns, PING_PATIENCE * l->options.ping_ns)
			    : l->ping_due_ns;
}

uint64_t mf_frame_l2_deadline(const struct mf_frame_source *source)
{
	const struct l2 *l = (const struct l2 *)source;
	uint64_t idle = idle_at(l), full = full_at(l), ping = ping_at(l);

	if (l->closed)
		return UINT64_MAX;
	full = full < idle ? full : idle;
	return ping < full ? ping : full;
}

static void send_ping(struct l2 *l, uint64_t now)
{
	uint8_t payload[PING_LEN];

	mf_store_be64(payload, l->ping + 1);
	l->ping_due_ns = later(now, l->options.ping_ns);
	l->ping_open = false;
	if (put_control(l, MF_L2_PING, mf_span_of(payload, sizeof(payload))) < 0)
		return;
	l->ping++;
	l->ping_open = true;
	l->ping_sent_ns = now;
	l->stats.pings_out++;
}

int mf_frame_l2_tick(struct mf_frame_source *source)
{
	struct l2 *l = (struct l2 *)source;
	uint64_t now = l->ops.now(l->ops.ctx);

	if (l->closed)
		return MF_E_CLOSED;
	if (now >= full_at(l))
		refuse(l, MF_L2_BACKPRESSURE, "outbound websocket backpressure");
	else if (now >= idle_at(l))
		end(l, MF_L2_CLOSE_POLICY, mf_span_str("idle timeout"));
	else if (now >= ping_at(l))
		send_ping(l, now);
	return l->closed ? MF_E_CLOSED : 0;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static int l2_run(struct mf_frame_source *source, unsigned max)
{
	(void)max;
	return ((struct l2 *)source)->closed ? MF_E_CLOSED : 0;
}

static void l2_flush(struct mf_frame_source *source)
{
	(void)source; /* the host's queue */
}

static void l2_free(struct mf_frame_source *source)
{
	free(source);
}

static const struct mf_frame_ops frame_ops = { "l2", l2_run, l2_send, l2_flush, l2_free };

int mf_frame_l2_new(const struct mf_frame_l2_options *options, const struct mf_frame_l2_ops *ops,
		    struct mf_frame_source **ret, struct mf_err *err)
{
	struct mf_l2_limits limits = options->limits;
	struct l2 *l;

	if (options->size != sizeof(*options) || !ops->send || !ops->now)
		return mf_err_set(err, MF_E_INVAL, "a tunnel wants a channel and a clock");
	limits.frame = limits.frame ? limits.frame : MF_L2_FRAME_MAX;
	limits.control = limits.control ? limits.control : MF_L2_CONTROL_MAX;
	if (limits.frame > MF_FRAME_MAX || limits.frame < MF_FRAME_MIN ||
	    limits.control > MF_FRAME_MAX)
		return mf_err_set(err, MF_E_INVAL, "a tunnel's frames have %u to %u bytes",
				  MF_FRAME_MIN, MF_FRAME_MAX);
	if (options->ping_ns && limits.control < PING_LEN)
		return mf_err_set(err, MF_E_INVAL,
				  "questions whether a peer is there have %u bytes", PING_LEN);
	l = calloc(1, sizeof(*l));
	if (!l)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	l->source = (struct mf_frame_source){ .ops = &frame_ops, .fd = -1 };
	l->options = *options;
	l->options.limits = limits;
	if (!l->options.full_ns)
		l->options.full_ns = MF_NS_PER_S;
	l->ops = *ops;
	l->full_since_ns = UINT64_MAX;
	l->heard_ns = l->window_ns = ops->now(ops->ctx);
	l->ping_due_ns = later(l->heard_ns, options->ping_ns);
	*ret = &l->source;
	return 0;
}

void mf_frame_l2_shutdown(struct mf_frame_source *source)
{
	end((struct l2 *)source, MF_L2_CLOSE_AWAY, mf_span_str("shutting down"));
}

void mf_frame_l2_get_stats(const struct mf_frame_source *source, struct mf_frame_l2_stats *ret)
{
	*ret = ((const struct l2 *)source)->stats;
}
