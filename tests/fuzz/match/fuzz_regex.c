// SPDX-License-Identifier: Apache-2.0
// fuzz_regex.c - a pattern, a newline, a subject: what the check lets through must compile or be refused, within limits
#include <stdlib.h>
#include <string.h>

#include "core/match/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mf_regex_limits limits = { .match = 10000 };
	const char *text = (const char *)data, *nl = memchr(data, '\n', size), *why = NULL;
	size_t len = nl ? (size_t)(nl - text) : size, room = 8 * len + 1, at = len + 1;
	struct mf_regex_scratch *scratch;
	struct mf_regex *re;
	struct mf_err err;
	char *out = malloc(room);
	int r = mf_re2_translate(text, len, out, room, &at, &why);

	// A refusal has a place and a reason; a translation never lacks room.
	if (r < 0 && (!why || at > len || strcmp(why, "the pattern is too long") == 0))
		abort();
	free(out);
	if (r < 0 || mf_regex_compile(text, len, MF_REGEX_RE2, &limits, &re, &err))
		return 0;
	scratch = mf_regex_scratch_new();
	if (nl && mf_regex_match(re, scratch, nl + 1, size - len - 1) == MF_E_BUG)
		abort();
	mf_regex_scratch_free(scratch);
	mf_regex_free(re);
	return 0;
}
