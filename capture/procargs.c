/* SPDX-License-Identifier: Apache-2.0 */
/* procargs.c - see procargs.h */
#include <stdint.h>
#include <string.h>

#include "capture/procargs.h"

int mf_procargs_parse(const char *buf, size_t len, const char *ret[static MF_PROCARGS_MAX + 1])
{
	int32_t wanted;
	size_t at = sizeof(wanted);
	int cnt = 0;
	const char *nul;

	ret[0] = NULL;
	if (len < sizeof(wanted))
		return MF_E_BAD;
	memcpy(&wanted, buf, sizeof(wanted));
	if (wanted < 0)
		return MF_E_BAD;
	nul = memchr(buf + at, '\0', len - at);
	if (!nul)
		return MF_E_BAD;
	for (at = (size_t)(nul - buf); at < len && buf[at] == '\0'; at++)
		;
	while (cnt < wanted && cnt < MF_PROCARGS_MAX && at < len) {
		nul = memchr(buf + at, '\0', len - at);
		if (!nul)
			break; /* cut off: not an argument that we know */
		ret[cnt++] = buf + at;
		at = (size_t)(nul - buf) + 1;
	}
	ret[cnt] = NULL;
	return cnt;
}
