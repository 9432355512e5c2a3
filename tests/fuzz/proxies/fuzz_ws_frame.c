// SPDX-License-Identifier: Apache-2.0
// Any bytes as a client's WebSocket frames: what is read is in bounds, and the same however the bytes are cut and whether or not pieces are
// moved together; nothing is read behind an error.
#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "proxies/gateway/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A number of all that was read: messages by their bytes, however they were cut. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t step, bool together)
{
	struct mf_ws_reader r = { 0 };
	struct mf_ws_piece p;
	uint64_t sum = 0;
	int res = 0;

	for (size_t at = 0; at < size && res >= 0; at += step) {
		size_t len = size - at < step ? size - at : step, all = len;
		uint8_t *copy = malloc(len), *in = copy, *to = NULL;

		memcpy(copy, data + at, len);
		while ((res = mf_ws_read(&r, &in, &len, to, &p)) == 1) {
			MF_MUST(p.opcode == MF_WS_TEXT || p.opcode == MF_WS_BINARY ||
				p.len <= MF_WS_CONTROL_MAX);
			MF_MUST(!p.begins || p.len <= p.frame_len);
			if (p.opcode < MF_WS_CLOSE) {
				MF_MUST(p.ptr >= copy && p.ptr + p.len <= copy + all);
				if (together)
					to = p.ptr + p.len;
			}
			if (p.begins)
				sum = mf_hash_u64(sum + p.opcode + 100, p.begins_message);
			for (size_t i = 0; i < p.len; i++)
				sum = mf_hash_u64(sum, p.ptr[i]);
			if (p.ends_message)
				sum = mf_hash_u64(sum, 1);
			if (p.opcode == MF_WS_CLOSE)
				MF_MUST(mf_ws_close_read(mf_span_of(p.ptr, p.len)) != 0);
		}
		MF_MUST(res < 0 || len == 0);
		free(copy);
	}
	return res < 0 ? 1 : sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole = read_all(data, size, size ? size : 1, false);

	MF_MUST(whole == read_all(data, size, 1, false));
	MF_MUST(whole == read_all(data, size, 7, true));
	MF_MUST(whole == read_all(data, size, size ? size : 1, true));
	return 0;
}
