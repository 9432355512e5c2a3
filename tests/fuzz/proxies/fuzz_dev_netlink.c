// SPDX-License-Identifier: Apache-2.0
// Any bytes as a datagram of a sock_diag dump: listeners with an address each, never more written than there is room for.
#include <stdlib.h>

#include "proxies/dev_linux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_dev_listener l[4];
	uint8_t *copy = malloc(size ? size : 1); /* aligned, and with an end that is watched */
	size_t cnt = 0;
	int r;

	MF_MUST(copy);
	memcpy(copy, data, size);
	r = mf_dev_netlink_read(mf_span_of(copy, size), l, &cnt, 4);
	MF_MUST(r == 0 || r == 1 || r == MF_E_BAD || r == MF_E_IO);
	MF_MUST(cnt <= size / 72);
	for (size_t i = 0; i < cnt && i < 4; i++)
		MF_MUST(l[i].at.addr.family == 4 || l[i].at.addr.family == 6);
	free(copy);
	return 0;
}
