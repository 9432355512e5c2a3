// SPDX-License-Identifier: Apache-2.0
// Any bytes as STUN and as DCEP: what is read is in bounds, and what has a form of its own is read back from it.
#include <moonfence/moonfence.h>

#include "core/base/err.h"
#include "proxies/rtc/dcep.h"
#include "proxies/rtc/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_stun(struct mf_span in)
{
	struct mf_span password = mf_span_str("VOkJxbRl1RmTxUk/WvJxBt");
	struct mf_stun_out out;
	struct mf_stun m, again;

	/* as it came, and with a fingerprint that fits, which no fuzzer finds: the end is replaced */
	for (int round = 0; round < 2; round++) {
		if (mf_stun_read(in, &m) == 0) {
			(void)mf_stun_is_whole(&m, password);
			MF_MUST(!m.username.ptr ||
				(m.username.ptr > in.ptr &&
				 m.username.ptr + m.username.len < in.ptr + in.len));
			MF_MUST(m.unknown_cnt <= MF_STUN_UNKNOWN_MAX && m.integrity_at < in.len);
			mf_stun_begin(&out, MF_STUN_SUCCESS, m.id);
			if (m.mapped.addr.family)
				mf_stun_put_mapped(&out, &m.mapped);
			MF_MUST(mf_stun_end(&out, password) &&
				mf_stun_read(mf_span_of(out.buf, out.len), &again) == 0);
			MF_MUST(memcmp(&m.mapped, &again.mapped, sizeof(m.mapped)) == 0);
		}
		if (in.len < 20 || in.len > 1000)
			return;
		memcpy(out.buf, in.ptr, in.len);
		out.len = in.len & ~(size_t)3;
		out.cut = false;
		(void)mf_stun_end(&out, password);
		in = mf_span_of(out.buf, out.len);
		static uint8_t copy[MF_STUN_MESSAGE_MAX];
		memcpy(copy, out.buf, out.len);
		in.ptr = copy;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_span in = mf_span_of(data, size);
	uint8_t buf[MF_DCEP_OPEN_MAX];
	struct mf_rtc_channel_info info;

	try_stun(in);
	if (mf_dcep_read(in, &info) == MF_DCEP_OPEN) {
		size_t len = mf_dcep_write_open(&info, buf);

		MF_MUST(len == size && memcmp(buf + 8, data + 8, len - 8) == 0);
	}
	return 0;
}
