/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_l2_tunnel.c - messages of Aero's L2 tunnel: one alone, and a tunnel whose peer, frames, channel and clock are the
 * input's
 *
 * What must be true: what was read can be written again and reads the same; frames are at least headers and at most as long as
 * agreed; nothing goes out behind the end, and the end is told once; what goes out is a message within its limits.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "nic/frame_l2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM 4096u

struct world {
	struct mf_frame_source *source;
	struct mf_l2_limits limits;
	uint64_t now;
	int answer;
	unsigned ends, sum;
};

static int channel_send(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct world *w = ctx;
	struct mf_l2_message m;
	uint8_t msg[ROOM];
	size_t len = 0;

	MF_MUST(!w->ends);
	for (unsigned i = 0; i < cnt; i++) {
		MF_MUST(len + parts[i].len <= sizeof(msg));
		memcpy(msg + len, parts[i].ptr, parts[i].len);
		len += parts[i].len;
	}
	MF_MUST(mf_l2_decode(mf_span_of(msg, len), &w->limits, &m, NULL) == 0);
	MF_MUST(m.flags == 0);
	return w->answer;
}

static void channel_close(void *ctx, unsigned status, struct mf_span reason)
{
	struct world *w = ctx;

	MF_MUST(!w->ends++);
	MF_MUST(status >= 1000 && reason.len <= MF_L2_REASON_MAX);
}

static uint64_t channel_now(void *ctx)
{
	return ((struct world *)ctx)->now;
}

static void receive(void *ctx, uint8_t *frame, size_t len)
{
	struct world *w = ctx;

	MF_MUST(len >= MF_FRAME_MIN && len <= w->limits.frame && !w->ends);
	memset(frame, (int)len, len);
	/* A stack answers while it is asked. */
	if (frame[0] & 1)
		(void)mf_frame_source_send(w->source, frame, 14, frame + 14, len - 14);
}

static void one_message(const uint8_t *data, size_t size)
{
	struct mf_l2_message m, again;
	struct mf_l2_error e;
	uint8_t buf[ROOM];
	int len;

	if (mf_l2_decode(mf_span_of(data, size), NULL, &m, NULL) < 0)
		return;
	len = mf_l2_encode(m.type, m.payload, NULL, buf, sizeof(buf));
	MF_MUST(len == (int)size);
	MF_MUST(mf_l2_decode(mf_span_of(buf, size), NULL, &again, NULL) == 0);
	MF_MUST(again.type == m.type && mf_span_eq(again.payload, m.payload));
	if (mf_l2_error_read(m.payload, &e) < 0)
		return;
	MF_MUST(mf_l2_error_write(e.code, e.text, buf, sizeof(buf)) == m.payload.len);
	MF_MUST(!memcmp(buf, m.payload.ptr, m.payload.len));
	/* However short it is cut, it stays one. */
	for (size_t room = 4; room <= m.payload.len; room++) {
		struct mf_l2_error cut;
		size_t n = mf_l2_error_write(e.code, e.text, buf, room);

		MF_MUST(n >= 4 && n <= room);
		MF_MUST(mf_l2_error_read(mf_span_of(buf, n), &cut) == 0);
	}
}

/* Operations: kind, argument, and for messages so many bytes, which begin with a header that is nearly right. */
static void tunnel(const uint8_t *data, size_t size)
{
	struct world w = { .now = 1000 };
	struct mf_frame_l2_ops ops = { channel_send, channel_close, channel_now, &w };
	struct mf_frame_l2_options o = { .size = sizeof(o) };
	uint8_t *msg;

	if (size < 4)
		return;
	o.limits.frame = data[0] & 1 ? 14u + data[1] : 0;
	o.limits.control = data[0] & 2 ? data[2] : 0;
	o.bytes_max = data[0] & 4 ? data[3] * 64u : 0;
	o.rate_max = data[0] & 8 ? data[3] : 0;
	o.ping_ns = data[0] & 16 ? 1 + data[1] : 0;
	o.idle_ns = data[0] & 32 ? 1 + data[2] : 0;
	o.full_ns = data[0] & 64 ? data[3] : 0;
	o.keep_on_garbage = data[0] & 128;
	w.limits.frame = o.limits.frame ? o.limits.frame : MF_L2_FRAME_MAX;
	w.limits.control = o.limits.control ? o.limits.control : MF_L2_CONTROL_MAX;
	if (mf_frame_l2_new(&o, &ops, &w.source, NULL) < 0)
		return;
	w.source->receiver = receive;
	w.source->ctx = &w;
	data += 4;
	size -= 4;
	while (size >= 2) {
		uint8_t kind = data[0] & 7;
		size_t arg = data[1], len = arg * (data[0] & 0x80 ? 12 : 1);
		unsigned ends = w.ends;
		int r = 0;

		data += 2;
		size -= 2;
		switch (kind) {
		case 0:
			w.now += arg;
			break;
		case 1:
			r = mf_frame_l2_tick(w.source);
			break;
		case 2:
			w.answer = arg & 1 ? MF_E_AGAIN : arg == 0xfe ? MF_E_CLOSED : 0;
			break;
		case 3:
			r = mf_frame_l2_text(w.source, arg);
			break;
		case 4:
			len = len < size ? len : size;
			if (len >= 14)
				(void)mf_frame_source_send(w.source, data, 14, data + 14, len - 14);
			break;
		case 5:
			if (arg == 0xff)
				mf_frame_l2_shutdown(w.source);
			break;
		default:
			len = len < size ? len : size;
			msg = malloc(len ? len : 1);
			MF_MUST(msg);
			memcpy(msg, data, len);
			if (kind == 7 && len >= 4)
				memcpy(msg, "\xa2\3", 2);
			r = mf_frame_l2_message(w.source, msg, len);
			free(msg);
			data += len;
			size -= len;
		}
		MF_MUST(!ends || r == MF_E_CLOSED || kind == 0 || kind == 2 || kind == 4 ||
			kind == 5);
		w.sum += (unsigned)mf_frame_l2_deadline(w.source);
	}
	mf_frame_source_free(w.source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one_message(data, size);
	tunnel(data, size);
	return 0;
}
