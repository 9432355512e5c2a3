/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.h - regular expressions with limits: PCRE2 compiled to machine code
 *
 *	struct mf_regex_scratch *scratch;                    // one a thread
 *	mf_regex_compile("(^|\\.)example\\.com$", 20, MF_REGEX_HOST, NULL, &re, &err);
 *	r = mf_regex_match(re, scratch, name, len);          // 1 yes, 0 no, MF_E_LIMIT: neither, the policy failed
 *
 * A match that runs into a limit is an error and never "no match".
 * With MF_REGEX_RE2 only what Go's RE2 syntax has is accepted, and it means the same: look-around, back-references,
 * possessive and atomic groups, conditions, recursion, callouts, verbs and repeat counts over 1,000 are refused.
 *
 * A compiled expression never changes: any number of threads may use it, each with a scratch of its own.
 */
#ifndef MF_MATCH_REGEX_H
#define MF_MATCH_REGEX_H

#include "core/base/err.h"

enum mf_regex_flags {
	MF_REGEX_ICASE = 1, /* letters match in either case */
	MF_REGEX_FULL = 2,  /* the whole subject must match; otherwise it is searched */
	MF_REGEX_RE2 = 4    /* accept RE2's syntax only */
};
/* What agentsh's redirect rules mean by match (letter case of hosts does not count, P16). */
#define MF_REGEX_HOST (MF_REGEX_ICASE | MF_REGEX_RE2)

/* Every member may be 0. */
struct mf_regex_limits {
	uint32_t match;	     /* steps of one match: 100,000 */
	uint32_t depth;	     /* backtracking depth (interpreter only): 1,000 */
	uint32_t heap_kib;   /* memory of one match, KiB: 256 */
	size_t pattern_max;  /* bytes of the pattern: 8,192 */
	size_t compiled_max; /* bytes of the compiled expression, machine code included: 512 KiB */
};

struct mf_regex;
struct mf_regex_scratch;

/**
 * mf_regex_compile() - Compile @pattern (UTF-8)
 * @limits: copied; NULL for the defaults
 * Return: 0; MF_E_SYNTAX with the column of the offence in @err; MF_E_LIMIT (pattern_max, compiled_max); MF_E_NOMEM
 */
int mf_regex_compile(const char *pattern, size_t len, unsigned flags,
		     const struct mf_regex_limits *limits, struct mf_regex **ret_re,
		     struct mf_err *err);
void mf_regex_free(struct mf_regex *re);

/** mf_regex_scratch_new() - Working memory of matches, for one thread at a time; NULL without memory. 64 KiB and less. */
struct mf_regex_scratch *mf_regex_scratch_new(void);
void mf_regex_scratch_free(struct mf_regex_scratch *scratch);

/**
 * mf_regex_match() - Whether @re matches @subject
 * Return: 1 yes, 0 no; MF_E_LIMIT when a limit was hit, MF_E_NOMEM, MF_E_BUG
 */
int mf_regex_match(const struct mf_regex *re, struct mf_regex_scratch *scratch, const char *subject,
		   size_t len);

/** mf_regex_is_anchored() - Whether a search can only match the whole subject; false where that cannot be told */
bool mf_regex_is_anchored(const struct mf_regex *re);

size_t mf_regex_bytes(const struct mf_regex *re);

/**
 * mf_re2_translate() - Check that @pattern is RE2 syntax, and write it for PCRE2 where the two differ
 * @out, @room: the translation, NUL-terminated; 5 x len + 1 bytes always suffice
 * @ret_offset: bytes into @pattern of what was refused
 * @ret_why:    why, a phrase of static storage
 * Return: length of @out, MF_E_SYNTAX, MF_E_LIMIT (repeat counts, nesting, @room)
 */
int mf_re2_translate(const char *pattern, size_t len, char *out, size_t room, size_t *ret_offset,
		     const char **ret_why);

#endif
