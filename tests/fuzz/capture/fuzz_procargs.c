/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_procargs.c - any bytes as what macOS tells of a process's arguments: each one found lies within them, with its end */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/procargs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *args[MF_PROCARGS_MAX + 1];
	const char *buf = (const char *)data, *end = buf + len;
	int n = mf_procargs_parse(buf, len, args);

	if (n < 0)
		return 0;
	if (n > MF_PROCARGS_MAX || args[n])
		abort();
	for (int i = 0; i < n; i++) {
		if (args[i] < buf + 4 || args[i] >= end ||
		    !memchr(args[i], '\0', (size_t)(end - args[i])))
			abort();
		if (i && args[i] != args[i - 1] + strlen(args[i - 1]) + 1)
			abort();
	}
	return 0;
}
