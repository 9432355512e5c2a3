/* SPDX-License-Identifier: Apache-2.0 */
/* regex.c - see regex.h */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/match/regex.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_DEFAULT	 100000u
#define DEPTH_DEFAULT	 1000u
#define HEAP_DEFAULT	 256u
#define PATTERN_DEFAULT	 8192u
#define COMPILED_DEFAULT ((size_t)512 * 1024)
// PCRE2's own bound is 65,535 at its default link size.
#define PATTERN_MOST 65535u

struct mf_regex {
	pcre2_code *code;
	struct mf_regex_limits limits;
	size_t bytes;
	bool anchored;
};

struct mf_regex_scratch {
	pcre2_match_context *context;
	pcre2_match_data *data;
	pcre2_jit_stack *stack;
};

static void fill_limits(struct mf_regex_limits *l, const struct mf_regex_limits *from)
{
	*l = from ? *from : (struct mf_regex_limits){ 0 };
	if (!l->match)
		l->match = MATCH_DEFAULT;
	if (!l->depth)
		l->depth = DEPTH_DEFAULT;
	if (!l->heap_kib)
		l->heap_kib = HEAP_DEFAULT;
	if (!l->pattern_max)
		l->pattern_max = PATTERN_DEFAULT;
	if (l->pattern_max > PATTERN_MOST)
		l->pattern_max = PATTERN_MOST;
	if (!l->compiled_max)
		l->compiled_max = COMPILED_DEFAULT;
}

static int bad(struct mf_err *err, int code, const char *pattern, size_t len, size_t at,
	       const char *why)
{
	return mf_err_at(
		err, code, NULL, 0, (unsigned)at + 1, "Bad expression \"%.*s\"%s: %s (column %zu).",
		(int)(len > 200 ? 200 : len), pattern, len > 200 ? "..." : "", why, at + 1);
}

static int set_code(struct mf_regex *re, const char *pattern, size_t len, unsigned flags,
		    const char *text, size_t text_len, struct mf_err *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
	PCRE2_SIZE at = 0;
	int code = 0;

	if (!context)
		return mf_err_set(err, MF_E_NOMEM, "No memory for an expression.");
	// RE2 knows one newline, and so does everybody who writes a policy.
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	if (flags & MF_REGEX_ICASE)
		options |= PCRE2_CASELESS;
	if (flags & MF_REGEX_FULL)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	// Without captures nothing is stored; but back-references of PCRE2 need them.
	if (!(flags & MF_REGEX_RE2))
		options &= ~(uint32_t)PCRE2_NO_AUTO_CAPTURE;
	re->code = pcre2_compile((PCRE2_SPTR)text, text_len, options, &code, &at, context);
	pcre2_compile_context_free(context);
	if (!re->code) {
		PCRE2_UCHAR why[160];

		pcre2_get_error_message(code, why, sizeof(why));
		if (code == PCRE2_ERROR_HEAP_FAILED)
			return mf_err_set(err, MF_E_NOMEM, "No memory for an expression.");
		// Places in a translation are near those of the pattern.
		return bad(err, MF_E_SYNTAX, pattern, len, at > len ? len : at, (const char *)why);
	}
	return 0;
}

// Whether every alternative of the top level ends in $ or \z; false also where a (?m) may turn $ into something else.
static bool ends_anchored(const char *p, size_t len)
{
	bool in_class = false, end = false;
	size_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		bool was = end;

		end = false;
		if (p[i] == '\\') {
			end = !in_class && ++i < len && p[i] == 'z';
		} else if (in_class) {
			in_class = p[i] != ']';
		} else if (p[i] == '[') {
			in_class = true;
			// A ] that comes first is a member.
			i += i + 1 < len && p[i + 1] == '^';
			i += i + 1 < len && p[i + 1] == ']';
		} else if (p[i] == '(') {
			depth++;
			if (i + 1 < len && p[i + 1] == '?')
				for (size_t k = i + 2; k < len && p[k] != ':' && p[k] != ')'; k++)
					if (p[k] == 'm')
						return false;
		} else if (p[i] == ')') {
			depth -= depth > 0;
		} else if (p[i] == '|' && !depth) {
			if (!was)
				return false;
		} else {
			end = p[i] == '$' && !depth;
		}
	}
	return end;
}

static int finish(struct mf_regex *re, const char *pattern, size_t len, struct mf_err *err)
{
	size_t size = 0, jit = 0;
	uint32_t all = 0;

	// Without machine code (a hardened kernel, an exotic machine) the interpreter does the same, only slower.
	pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(re->code, PCRE2_INFO_SIZE, &size);
	pcre2_pattern_info(re->code, PCRE2_INFO_JITSIZE, &jit);
	pcre2_pattern_info(re->code, PCRE2_INFO_ALLOPTIONS, &all);
	re->bytes = sizeof(*re) + size + jit;
	re->anchored = (all & PCRE2_ANCHORED) &&
		       ((all & PCRE2_ENDANCHORED) || ends_anchored(pattern, len));
	if (size + jit > re->limits.compiled_max)
		return bad(err, MF_E_LIMIT, pattern, len, 0, "it is too large when compiled");
	return 0;
}

int mf_regex_compile(const char *pattern, size_t len, unsigned flags,
		     const struct mf_regex_limits *limits, struct mf_regex **ret_re,
		     struct mf_err *err)
{
	struct mf_regex *re = calloc(1, sizeof(*re));
	const char *text = pattern, *why = NULL;
	char *translation = NULL;
	size_t room = 8 * len + 1, at = 0;
	int n = (int)len, r = 0;

	if (!re)
		return mf_err_set(err, MF_E_NOMEM, "No memory for an expression.");
	fill_limits(&re->limits, limits);
	if (len > re->limits.pattern_max) {
		r = mf_err_set(err, MF_E_LIMIT, "An expression of %zu bytes is longer than %zu.",
			       len, re->limits.pattern_max);
		goto out;
	}
	if (flags & MF_REGEX_RE2) {
		translation = malloc(room);
		if (!translation) {
			r = mf_err_set(err, MF_E_NOMEM, "No memory for an expression.");
			goto out;
		}
		n = mf_re2_translate(pattern, len, translation, room, &at, &why);
		if (n < 0) {
			r = bad(err, n, pattern, len, at, why);
			goto out;
		}
		text = translation;
	}
	r = set_code(re, pattern, len, flags, text, (size_t)n, err);
	if (!r)
		r = finish(re, pattern, len, err);
out:
	free(translation);
	if (r)
		mf_regex_free(re);
	else
		*ret_re = re;
	return r;
}

void mf_regex_free(struct mf_regex *re)
{
	if (!re)
		return;
	pcre2_code_free(re->code);
	free(re);
}

struct mf_regex_scratch *mf_regex_scratch_new(void)
{
	struct mf_regex_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->context = pcre2_match_context_create(NULL);
	// One pair of offsets: captures are of no interest.
	s->data = pcre2_match_data_create(1, NULL);
	// Reserved, and used as matches need it.
	s->stack = pcre2_jit_stack_create(4096, 64 * 1024, NULL);
	if (!s->context || !s->data) {
		mf_regex_scratch_free(s);
		return NULL;
	}
	if (s->stack)
		pcre2_jit_stack_assign(s->context, NULL, s->stack);
	return s;
}

void mf_regex_scratch_free(struct mf_regex_scratch *s)
{
	if (!s)
		return;
	pcre2_match_context_free(s->context);
	pcre2_match_data_free(s->data);
	pcre2_jit_stack_free(s->stack);
	free(s);
}

int mf_regex_match(const struct mf_regex *re, struct mf_regex_scratch *s, const char *subject,
		   size_t len)
{
	int r;

	pcre2_set_match_limit(s->context, re->limits.match);
	pcre2_set_depth_limit(s->context, re->limits.depth);
	pcre2_set_heap_limit(s->context, re->limits.heap_kib);
	r = pcre2_match(re->code, (PCRE2_SPTR)(subject ? subject : ""), len, 0, 0, s->data,
			s->context);
	// 0: more groups than offsets, which is a match too.
	if (r >= 0)
		return 1;
	switch (r) {
	case PCRE2_ERROR_NOMATCH:
		return 0;
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT:
	case PCRE2_ERROR_JIT_STACKLIMIT:
	case PCRE2_ERROR_RECURSELOOP:
		return MF_E_LIMIT;
	case PCRE2_ERROR_NOMEMORY:
		return MF_E_NOMEM;
	default:
		return MF_E_BUG;
	}
}

bool mf_regex_is_anchored(const struct mf_regex *re)
{
	return re->anchored;
}

size_t mf_regex_bytes(const struct mf_regex *re)
{
	return re->bytes;
}
