// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a browser says to the gateway: mux frames, a datagram, an origin, a host, a target, tokens. What is read is in bounds, a
// mux frame is the same however its bytes are cut, and what has a form of its own is read back from it.
#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "proxies/gateway/host.h"
#include "proxies/gateway/jwt_keys.h"
#include "proxies/gateway/mux.h"
#include "proxies/gateway/origin.h"
#include "proxies/gateway/token.h"
#include "proxies/gateway/udp_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A number of all that was read; DATA by its bytes, however they were cut. */
static uint64_t read_mux(struct mf_span in, size_t step)
{
	struct mf_mux_reader r = { 0 };
	struct mf_mux_frame f;
	struct mf_mux_open open;
	struct mf_span text;
	uint64_t sum = 0;
	int res = 0;

	for (size_t at = 0; at < in.len && res >= 0; at += step) {
		struct mf_span piece = mf_span_sub(in, at, step);

		while ((res = mf_mux_read(&r, &piece, &f)) == 1) {
			if (f.begins)
				sum = mf_hash_u64(sum + f.type, f.stream);
			for (size_t i = 0; i < f.payload.len; i++)
				sum = mf_hash_u64(sum, f.payload.ptr[i]);
			MF_MUST(f.type == MF_MUX_DATA || f.payload.len <= MF_MUX_KEPT_MAX);
			if (mf_mux_open_read(f.payload, &open) == 0)
				MF_MUST(open.host.len && open.host.len <= MF_MUX_HOST_MAX);
			if (mf_mux_error_read(f.payload, &text) >= 0)
				MF_MUST(text.len + 4 == f.payload.len);
			(void)mf_mux_close_read(f.payload);
		}
		MF_MUST(res < 0 || piece.len == 0);
	}
	mf_mux_reader_done(&r);
	return res < 0 ? 1 : sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char origin[MF_ORIGIN_ROOM], again[MF_ORIGIN_ROOM];
	static struct mf_jwt_keys *keys;
	static struct mf_jwt jwt;
	struct mf_span in = mf_span_of(data, size), host, port;
	uint8_t head[MF_UDP_FRAME_HEAD_MAX];
	struct mf_udp_frame f;
	struct mf_gw_host h;
	struct mf_token t;
	size_t len;

	MF_MUST(read_mux(in, 1) == read_mux(in, size ? size : 1));
	if (mf_udp_frame_read(in, MF_UDP_PAYLOAD_MAX, &f) == 0) {
		len = mf_udp_frame_head(&f, head);
		/* a mapped address is written as what it is */
		MF_MUST(len + f.payload.len == size ||
			(f.version == 2 && f.remote.addr.family == 4));
	}
	if (mf_origin_normalize(in, origin) > 0) {
		MF_MUST(mf_origin_normalize(mf_span_str(origin), again) > 0);
		MF_MUST(strcmp(origin, again) == 0);
	}
	if (mf_gw_host_read(in, &h) == 0)
		MF_MUST((h.addr.family != 0) != (h.name[0] != '\0'));
	if (mf_gw_target_read(in, &host, &port) == 0)
		MF_MUST(host.len + 1 + port.len == size);
	(void)mf_token_read(in, mf_span_str("secret"), 0, &t);
	if (!keys) {
		keys = mf_jwt_keys_new();
		MF_MUST(keys && mf_jwt_keys_add_secret(keys, mf_span_str("secret")) == 0);
	}
	(void)mf_jwt_read(in, keys, 0, &jwt);
	return 0;
}
