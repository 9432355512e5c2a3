// SPDX-License-Identifier: Apache-2.0
// fuzz_glob.c - first byte: separator and dialect; then a pattern, a newline, a subject
#include <stdlib.h>
#include <string.h>

#include "core/match/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char seps[] = { '/', '.', 0, '/' };
	const char *text = (const char *)data + 1, *nl;
	struct mf_glob *g;
	struct mf_err err;
	size_t len;

	if (size < 2)
		return 0;
	nl = memchr(text, '\n', size - 1);
	len = nl ? (size_t)(nl - text) : size - 1;
	if (mf_glob_compile(text, len, seps[data[0] & 3], data[0] >> 2 & 3, &g, &err))
		return 0;
	if (nl) {
		bool first = mf_glob_match(g, nl + 1, size - 2 - len);
		size_t n;
		const char *literal = mf_glob_literal(g, &n);

		// The same answer twice, and a literal matches itself.
		if (first != mf_glob_match(g, nl + 1, size - 2 - len))
			abort();
		if (literal && !mf_glob_match(g, literal, n))
			abort();
	}
	mf_glob_free(g);
	return 0;
}
