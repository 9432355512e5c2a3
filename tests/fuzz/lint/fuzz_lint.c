/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_lint.c - the static checks on any bytes: places stay inside of the text, messages are whole */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lint.h"

struct text {
	unsigned lines;
};

static void on_problem(void *ctx, unsigned line, unsigned column, const char *message,
		       const char *hint)
{
	const struct text *text = ctx;

	if (line == 0 || line > text->lines || column == 0 || !*message || strlen(hint) > 1000)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text text = { .lines = 1 };
	const struct mf_lint_sink sink = { on_problem, &text };
	char *copy = malloc(size ? size : 1); /* exact size: a read past the end is seen */

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	for (size_t i = 0; i < size; i++)
		text.lines += data[i] == '\n';
	mf_lint_policy(copy, size, &sink);
	mf_lint_test(copy, size, &sink);
	free(copy);
	return 0;
}
