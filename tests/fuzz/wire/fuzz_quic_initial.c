// SPDX-License-Identifier: Apache-2.0
// QUIC's Initial packets in three ways, by the first byte: datagrams as they are, frames that are sealed here first, and
// pieces of a stream, whose assembly is compared with one that keeps a byte for each byte.
#include <stdlib.h>

#include "core/base/err.h"
#include "core/wire/quic_initial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_quic_crypto *crypto;

static const uint8_t dcid[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void check_reader(struct mf_quic_reader *r)
{
	struct mf_tls_hello h;
	uint32_t judged = r->judged;

	MF_MUST(r->judged <= r->whole && r->whole <= r->end && r->end <= r->room);
	MF_MUST(r->room <= MF_QUIC_STREAM_MAX);
	while (mf_quic_reader_hello(r, &h) == 0) {
		MF_MUST(h.message.ptr == r->bytes + judged);
		judged += (uint32_t)h.message.len;
		MF_MUST(r->judged == judged && judged <= r->whole);
	}
}

static void take_datagrams(struct mf_span in)
{
	struct mf_quic_reader r = { .version = 0 };
	struct mf_quic_packet p;

	while (in.len > 2) {
		size_t len = (size_t)in.ptr[0] << 8 | in.ptr[1];
		struct mf_span d = mf_span_sub(in, 2, len);
		size_t left = d.len;

		in = mf_span_sub(in, 2 + d.len, in.len);
		(void)mf_quic_is_foreign(d.ptr, d.len);
		while (mf_quic_next_packet(&d, &p) == 0) {
			MF_MUST(p.whole.len > 0 && d.len + p.whole.len == left);
			left = d.len;
			if (p.type != MF_QUIC_INITIAL)
				continue;
			if (r.version == 0 && mf_quic_reader_begin(&r, &p) < 0)
				abort();
			(void)mf_quic_reader_take(crypto, &r, &p);
			check_reader(&r);
		}
	}
	mf_quic_reader_end(&r);
}

static void begin(struct mf_quic_reader *r, uint8_t how)
{
	struct mf_quic_packet p = { .version = how & 0x80 ? MF_QUIC_V2 : MF_QUIC_V1,
				    .dcid = mf_span_of(dcid, sizeof(dcid)) };

	MF_MUST(mf_quic_reader_begin(r, &p) == 0);
}

static int take_frames(struct mf_quic_reader *r, struct mf_span frames)
{
	static uint8_t out[8192];
	struct mf_quic_draft d = { .version = r->version,
				   .dcid = mf_span_of(dcid, sizeof(dcid)),
				   .frames = frames,
				   .number = (uint32_t)(r->largest + 1),
				   .number_len = 4 };
	struct mf_quic_packet p;
	struct mf_span s;
	int n = mf_quic_seal(crypto, &r->keys, &d, out, sizeof(out));

	MF_MUST(n > 0);
	s = mf_span_of(out, (size_t)n);
	MF_MUST(mf_quic_next_packet(&s, &p) == 0 && s.len == 0);
	n = mf_quic_reader_take(crypto, r, &p);
	MF_MUST(n != MF_E_NOT_MINE);
	return n;
}

static void take_sealed(struct mf_span in, uint8_t how)
{
	struct mf_quic_reader r;

	begin(&r, how);
	while (in.len > 1) {
		struct mf_span frames = mf_span_sub(in, 1, in.ptr[0] * 8u);

		in = mf_span_sub(in, 1 + frames.len, in.len);
		(void)take_frames(&r, frames);
		check_reader(&r);
	}
	mf_quic_reader_end(&r);
}

static size_t write_crypto(uint8_t *f, size_t offset, struct mf_span bytes)
{
	f[0] = 6;
	f[1] = (uint8_t)(0x80 | offset >> 24);
	f[2] = (uint8_t)(offset >> 16);
	f[3] = (uint8_t)(offset >> 8);
	f[4] = (uint8_t)offset;
	f[5] = (uint8_t)(0x40 | bytes.len >> 8);
	f[6] = (uint8_t)bytes.len;
	if (bytes.len)
		memcpy(f + 7, bytes.ptr, bytes.len);
	return 7 + bytes.len;
}

/* Pieces: offset in two bytes, length in one, the bytes. */
static void take_pieces(struct mf_span in, uint8_t how)
{
	static int16_t model[MF_QUIC_STREAM_MAX];
	static uint8_t frames[512];
	struct mf_quic_reader r;
	uint32_t whole = 0;
	bool broken = false;

	for (size_t i = 0; i < MF_QUIC_STREAM_MAX; i++)
		model[i] = -1;
	begin(&r, how);
	while (in.len > 3 && !broken) {
		size_t at = (size_t)in.ptr[0] << 8 | in.ptr[1];
		struct mf_span piece = mf_span_sub(in, 3, in.ptr[2]);
		int got;

		in = mf_span_sub(in, 3 + piece.len, in.len);
		got = take_frames(&r, mf_span_of(frames, write_crypto(frames, at, piece)));
		broken = at + piece.len > MF_QUIC_STREAM_MAX;
		for (size_t i = 0; i < piece.len && !broken; i++) {
			broken = model[at + i] >= 0 && model[at + i] != piece.ptr[i];
			model[at + i] = piece.ptr[i];
		}
		while (whole < MF_QUIC_STREAM_MAX && model[whole] >= 0)
			whole++;
		MF_MUST((got < 0) == broken);
		if (broken)
			break;
		MF_MUST(r.whole == whole);
		for (uint32_t i = 0; i < whole; i++)
			MF_MUST(r.bytes[i] == model[i]);
		check_reader(&r);
		broken = r.broken;
	}
	mf_quic_reader_end(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_span in;

	if (!crypto)
		crypto = mf_quic_crypto_new();
	MF_MUST(crypto);
	if (size == 0)
		return 0;
	in = mf_span_of(data + 1, size - 1);
	switch (data[0] & 3) {
	case 0:
		take_datagrams(in);
		break;
	case 1:
		take_sealed(in, data[0]);
		break;
	default:
		take_pieces(in, data[0]);
	}
	return 0;
}
