// SPDX-License-Identifier: Apache-2.0
// Any bytes as messages of Wisp: what is read is in bounds, a packet is the same however its message is cut, and nothing of one message is seen
// in the next. The first byte says how messages are cut; then each has a length before it. What is left of the input is a path.
#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "proxies/gateway/wisp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct mf_span part, struct mf_span all)
{
	return part.len == 0 || (part.ptr >= all.ptr && part.ptr + part.len <= all.ptr + all.len);
}

static void look_into(const struct mf_wisp_packet *p)
{
	struct mf_wisp_extension ext;
	struct mf_wisp_connect c;
	struct mf_span name, password, list;
	struct mf_wisp_key_proof proof;
	struct mf_wisp_info info;
	size_t sum = 2;

	if (mf_wisp_connect_read(p->payload, &c) == 0)
		MF_MUST(c.host.len + 3 == p->payload.len && c.host.len <= MF_WISP_HOST_MAX);
	if (mf_wisp_info_read(p->payload, &info) == 0) {
		list = info.extensions;
		while (mf_wisp_next_extension(&list, &ext) == 1) {
			MF_MUST(lies_in(ext.payload, p->payload));
			sum += 5 + ext.payload.len;
			if (mf_wisp_password_read(ext.payload, &name, &password) == 0)
				MF_MUST(lies_in(name, ext.payload) &&
					lies_in(password, ext.payload));
			if (mf_wisp_key_read(ext.payload, &proof) == 0)
				MF_MUST(lies_in(proof.hash, ext.payload) &&
					lies_in(proof.signature, ext.payload) &&
					1 + proof.hash.len + proof.signature.len ==
						ext.payload.len);
		}
		MF_MUST(sum == p->payload.len && list.len == 0);
	}
}

/* A number of all that was read of one message, in pieces of @step bytes. */
static uint64_t read_message(struct mf_wisp_reader *r, struct mf_span in, size_t step)
{
	struct mf_wisp_packet p;
	uint64_t sum = 0, packets = 0;
	bool begun = false, ended = false;
	size_t at = 0;

	do {
		struct mf_span piece = mf_span_sub(in, at, step);
		int res;

		at += piece.len;
		res = mf_wisp_read(r, piece, !begun, at == in.len, &p);
		begun = true;
		MF_MUST(res >= 0 || (res == MF_E_BAD && at == in.len && in.len < MF_WISP_HEAD));
		if (res != 1)
			continue;
		if (p.type != MF_WISP_DATA) {
			MF_MUST(at == in.len);
			MF_MUST(p.payload.len == (p.too_long ? 0 : in.len - MF_WISP_HEAD));
			look_into(&p);
		}
		packets += p.type != MF_WISP_DATA || p.begins;
		ended |= p.type != MF_WISP_DATA || p.ends;
		if (p.type != MF_WISP_DATA || p.begins)
			sum = mf_hash_u64(p.type, p.stream + p.too_long);
		for (size_t i = 0; i < p.payload.len; i++)
			sum = mf_hash_u64(sum, p.payload.ptr[i]);
	} while (at < in.len);
	MF_MUST(packets == (in.len >= MF_WISP_HEAD) && ended == (in.len >= MF_WISP_HEAD));
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_span in = mf_span_of(data, size), message;
	struct mf_wisp_reader whole = { 0 }, cut = { 0 };
	struct mf_wisp_path path;
	size_t step, len;

	if (size == 0)
		return 0;
	step = 1 + data[0] % 64;
	in = mf_span_sub(in, 1, in.len);
	while (in.len >= 2 && in.ptr[0] < 0x40) {
		len = (size_t)in.ptr[0] << 8 | in.ptr[1];
		message = mf_span_sub(in, 2, len);
		in = mf_span_sub(in, 2 + message.len, in.len);
		MF_MUST(read_message(&whole, message, message.len + 1) ==
			read_message(&cut, message, step));
	}
	mf_wisp_reader_done(&whole);
	mf_wisp_reader_done(&cut);
	if (mf_wisp_path_read(in, &path) == 0)
		MF_MUST(lies_in(path.token, in) &&
			(!path.wsproxy || (lies_in(path.host, in) && lies_in(path.port, in))));
	return 0;
}
