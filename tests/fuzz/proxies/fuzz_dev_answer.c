// SPDX-License-Identifier: Apache-2.0
// Any bytes as a server's answer to the probe: what was decided early stays so when more comes.
#include "proxies/dev_servers_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mf_dev_answer early = MF_DEV_ANSWER_MORE, last;
	size_t step = size > 64 ? size / 64 : 1;

	for (size_t len = 0; len <= size && early == MF_DEV_ANSWER_MORE; len += step)
		early = mf_dev_answer_read(mf_span_of(data, len), false);
	last = mf_dev_answer_read(mf_span_of(data, size), true);
	MF_MUST(last != MF_DEV_ANSWER_MORE);
	MF_MUST(early == MF_DEV_ANSWER_MORE || early == last);
	MF_MUST(mf_dev_kind_from_answer(MF_DEV_VITE, mf_span_of(data, size)) == MF_DEV_VITE);
	MF_MUST((unsigned)mf_dev_kind_from_answer(MF_DEV_UNKNOWN, mf_span_of(data, size)) <
		MF_DEV_KIND_NUM);
	return 0;
}
