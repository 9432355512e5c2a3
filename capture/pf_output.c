/* SPDX-License-Identifier: Apache-2.0 */
/* pf_output.c - what pfctl prints, read line by line; see pf.h */
#include <string.h>

#include "capture/pf.h"
#include "core/base/span.h"

/* The next line of @text, without its end; false after the last. */
static bool next_line(struct mf_span *text, struct mf_span *ret)
{
	const uint8_t *nl;

	if (text->len == 0)
		return false;
	nl = memchr(text->ptr, '\n', text->len);
	*ret = mf_span_of(text->ptr, nl ? (size_t)(nl - text->ptr) : text->len);
	*text = mf_span_sub(*text, ret->len + (nl != NULL), SIZE_MAX);
	return true;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of @line; empty after the last. */
static struct mf_span next_word(struct mf_span *line)
{
	struct mf_span word;
	size_t n = 0;

	while (line->len && is_space(line->ptr[0]))
		*line = mf_span_sub(*line, 1, SIZE_MAX);
	while (n < line->len && !is_space(line->ptr[n]))
		n++;
	word = mf_span_of(line->ptr, n);
	*line = mf_span_sub(*line, n, SIZE_MAX);
	return word;
}

static bool is(struct mf_span word, const char *text)
{
	return mf_span_eq(word, mf_span_str(text));
}

/* Decimal, no sign, no leading zero, not over 64 bits. */
static bool read_number(struct mf_span word, uint64_t *ret)
{
	uint64_t v = 0;

	if (word.len == 0 || (word.len > 1 && word.ptr[0] == '0'))
		return false;
	for (size_t i = 0; i < word.len; i++) {
		uint8_t digit = (uint8_t)(word.ptr[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

int mf_pf_output_token(const char *text, size_t len, uint64_t *ret)
{
	struct mf_span rest = mf_span_of(text, len), line;

	while (next_line(&rest, &line)) {
		struct mf_span word = next_word(&line), colon;

		if (!is(word, "Token"))
			continue;
		colon = next_word(&line);
		word = next_word(&line);
		if (is(colon, ":") && read_number(word, ret) && *ret && !next_word(&line).len)
			return 0;
		return MF_E_BAD;
	}
	return MF_E_BAD;
}

bool mf_pf_output_has_token(const char *text, size_t len, uint64_t token)
{
	struct mf_span rest = mf_span_of(text, len), line, word;
	uint64_t number;

	/* PID, name of the process (which may have spaces), token, time. The first column is never the token. */
	while (next_line(&rest, &line)) {
		bool first = true;

		for (; (word = next_word(&line)).len; first = false)
			if (!first && read_number(word, &number) && number == token)
				return true;
	}
	return false;
}

int mf_pf_output_enabled(const char *text, size_t len)
{
	struct mf_span rest = mf_span_of(text, len), line, word;

	while (next_line(&rest, &line)) {
		if (!is(next_word(&line), "Status:"))
			continue;
		word = next_word(&line);
		return is(word, "Enabled") ? 1 : is(word, "Disabled") ? 0 : MF_E_BAD;
	}
	return MF_E_BAD;
}

/* Whether the name in a rule takes in @anchor. */
static bool refers(struct mf_span name, const char *anchor)
{
	const char *slash = strrchr(anchor, '/');
	struct mf_span parent = mf_span_of(anchor, slash ? (size_t)(slash - anchor) + 1 : 0);

	if (is(name, anchor))
		return true;
	/* With the star: all that hang directly below. */
	return name.len && name.ptr[name.len - 1] == '*' &&
	       mf_span_eq(mf_span_sub(name, 0, name.len - 1), parent);
}

enum mf_pf_reference mf_pf_output_reference(const char *text, size_t len, const char *kind,
					    const char *anchor)
{
	struct mf_span rest = mf_span_of(text, len), line;
	bool apple = false, conditional = false;

	while (next_line(&rest, &line)) {
		struct mf_span name;

		if (!is(next_word(&line), kind))
			continue;
		name = next_word(&line);
		if (name.len < 2 || name.ptr[0] != '"' || name.ptr[name.len - 1] != '"')
			continue;
		name = mf_span_sub(name, 1, name.len - 2);
		if (refers(name, anchor)) {
			struct mf_span word = next_word(&line);

			if ((word.len == 0 || is(word, "all")) && !next_word(&line).len)
				return apple ? MF_PF_LATE : MF_PF_PRESENT;
			conditional = true;
		} else if (is(name, "com.apple/*")) {
			apple = true;
		}
	}
	return conditional ? MF_PF_CONDITIONAL : MF_PF_MISSING;
}

static const char *const reference_names[] = {
	[MF_PF_MISSING] = "missing",
	[MF_PF_CONDITIONAL] = "conditional",
	[MF_PF_LATE] = "late",
	[MF_PF_PRESENT] = "present",
};
_Static_assert(MF_ARRAY_SIZE(reference_names) == MF_PF_REFERENCE_NUM, "one name per reference");

const char *mf_pf_reference_name(enum mf_pf_reference reference)
{
	return (unsigned)reference < MF_PF_REFERENCE_NUM ? reference_names[reference] : "unknown";
}

bool mf_pf_output_skips_lo0(const char *text, size_t len)
{
	struct mf_span rest = mf_span_of(text, len), line;

	while (next_line(&rest, &line))
		if (is(next_word(&line), "lo0") && is(next_word(&line), "(skip)"))
			return true;
	return false;
}

unsigned mf_pf_output_count_rules(const char *text, size_t len)
{
	static const char *const begins[] = { "rdr", "no", "nat", "pass", "block" };
	struct mf_span rest = mf_span_of(text, len), line;
	unsigned cnt = 0;

	while (next_line(&rest, &line)) {
		struct mf_span word = next_word(&line);

		for (size_t i = 0; i < MF_ARRAY_SIZE(begins); i++)
			cnt += is(word, begins[i]);
	}
	return cnt;
}
