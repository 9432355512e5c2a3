/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_format.c - the formatter on any bytes, the first of which says which language: what it takes it can take again, unchanged */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "core/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_strbuf once = MF_STRBUF_INIT(1 << 24), twice = MF_STRBUF_INIT(1 << 24);
	struct mf_err err = { 0 };
	bool yaml = size > 0 && *data == 'y';
	char *copy;
	int r;

	if (size < 1)
		return 0;
	copy = malloc(size); /* exact size: a read past the end is seen */
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	r = (yaml ? mf_format_yaml : mf_format_lua)(copy, size - 1, "f", &once, &err);
	if (r == 0 && once.len) {
		if ((yaml ? mf_format_yaml : mf_format_lua)(once.str, once.len, "f", &twice, &err) <
			    0 ||
		    twice.len != once.len || memcmp(once.str, twice.str, once.len) != 0)
			abort();
	} else if (r < 0 && r != MF_E_SYNTAX && r != MF_E_LIMIT && r != MF_E_UNSUPPORTED) {
		abort();
	} else if (r == MF_E_SYNTAX && !yaml && (!err.line || !err.msg[0])) {
		abort();
	}
	mf_strbuf_done(&once);
	mf_strbuf_done(&twice);
	free(copy);
	return 0;
}
