/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_lint.c - the static checks on any bytes: places stay inside of the text, messages are whole */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lint.h"

struct text {
	unsigned lines;
};

static void on_problem(void *ctx, enum mf_lint_level level, unsigned line, unsigned column,
		       const char *message, const char *hint)
{
	const struct text *text = ctx;

	if (level >= MF_LINT_LEVEL_NUM || line == 0 || line > text->lines || column == 0 ||
	    !*message || strlen(hint) > 1000)
		abort();
}

/* Where rules and hooks stand that the text may or may not have. */
static void find_places(struct text *text, const char *copy, size_t size)
{
	static const char *const fields[] = { NULL, "domains", "match" };
	struct mf_lint_text *t = mf_lint_text_new(copy, size);
	unsigned line, column;

	if (!t)
		return;
	for (unsigned i = 0; i < 9u * MF_RULE_FAMILY_NUM; i++) {
		enum mf_rule_family family = (enum mf_rule_family)(i / 9);

		if (mf_lint_find_rule(t, family, 1 + i % 9 / 3, fields[i % 3], i % 2 ? SIZE_MAX : i,
				      &line, &column))
			on_problem(text, MF_LINT_ERROR, line, column, "?", "");
	}
	for (int kind = 0; kind < MF_KIND_NUM; kind++)
		if (mf_lint_find_hook(t, (enum mf_kind)kind, &line, &column))
			on_problem(text, MF_LINT_ERROR, line, column, "?", "");
	mf_lint_text_free(t);
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
	find_places(&text, copy, size);
	free(copy);
	return 0;
}
