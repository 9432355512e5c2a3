// SPDX-License-Identifier: Apache-2.0
// Any bytes as resolv.conf: at most as many servers as fit, each with an address.
#include "core/base/err.h"
#include "proxies/hostconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_endpoint servers[4];
	size_t cnt = mf_hostconf_parse((const char *)data, size, servers, 4);

	MF_MUST(cnt <= 4);
	for (size_t i = 0; i < cnt; i++)
		MF_MUST(servers[i].addr.family && servers[i].port == 53);
	return 0;
}
