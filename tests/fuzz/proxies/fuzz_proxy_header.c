// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PROXY header: the same is read however they are cut, and no byte behind the header is asked for.
#include <moonfence/moonfence.h>

#include "core/base/err.h"
#include "core/base/span.h"
#include "proxies/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Return: as mf_proxy_reader_take(), with the length of the header in *ret_len */
static int read_all(struct mf_span in, size_t step, struct mf_proxy_header *ret, size_t *ret_len)
{
	struct mf_proxy_reader r = { 0 };
	size_t at = 0, want;
	int res = 0;

	while (res == 0 && at < in.len) {
		want = mf_proxy_reader_wants(&r);
		MF_MUST(want > 0 && want <= MF_PROXY_READ_MAX);
		if (want > step)
			want = step;
		if (want > in.len - at)
			want = in.len - at;
		res = mf_proxy_reader_take(&r, in.ptr + at, want, ret);
		at += want;
	}
	if (res == 1)
		MF_MUST(mf_proxy_reader_wants(&r) == 0);
	*ret_len = at;
	return res;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_span in = mf_span_of(data, size);
	struct mf_proxy_header one = { 0 }, other = { 0 };
	size_t len, other_len;
	int r = read_all(in, 1, &one, &len);

	MF_MUST(read_all(in, SIZE_MAX, &other, &other_len) == r);
	if (r != 1)
		return 0;
	MF_MUST(len == other_len && one.has_addrs == other.has_addrs);
	if (!one.has_addrs)
		return 0;
	MF_MUST(mf_addr_eq(&one.client.addr, &other.client.addr) &&
		one.client.port == other.client.port && one.client.addr.family);
	MF_MUST(mf_addr_eq(&one.server.addr, &other.server.addr));
	return 0;
}
