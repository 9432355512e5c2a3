// SPDX-License-Identifier: Apache-2.0
// fuzz_name_canon.c - any bytes as a name: what comes out is canonical, and stays what it is
#include <stdlib.h>
#include <string.h>

#include "core/names/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char once[MF_NAME_ROOM], twice[MF_NAME_ROOM];
	int r = mf_name_canon((const char *)data, size, once);

	if (r == 0 || r > MF_NAME_MAX)
		abort();
	if (r < 0)
		return 0;
	if (strlen(once) != (size_t)r || !mf_name_is_canon(once, (size_t)r) ||
	    mf_name_is_address(once, (size_t)r))
		abort();
	if (mf_name_canon(once, (size_t)r, twice) != r || memcmp(once, twice, (size_t)r + 1) != 0)
		abort();
	return 0;
}
