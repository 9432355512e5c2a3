/* SPDX-License-Identifier: Apache-2.0 */
// glob.h - shell-like patterns for domains (separator '.'), paths (separator '/') and plain text (no separator)
//
// The dialect
//
//	*          any run of characters without the separator, also an empty one
//	**         any run of characters (three and more stars too)
//	**/        at the start of the pattern, of a brace alternative or of a path component: also nothing, so that
//	           /a/**/b matches /a/b. Only with the separator '/'.
//	?          one code point that is not the separator
//	[abc] [a-z] [!a] [^a]    one code point (not) listed; never the separator
//	{x,y}      either; nests, and may hold every other element
//	\c         the character c itself
//
// Everything else stands for itself. The whole subject must match. An unclosed { or [ is an error.
// MF_GLOB_GOBWAS does what the gobwas/glob library of agentsh was measured to do instead: no zero-length **/, texts
// around a lone ** may overlap, [^a] lists '^', [!a] takes the separator, an unclosed { ends with the pattern, *** wants
// one character, fixed-length patterns miscount characters above ASCII, and a brace after a prefix forgets alternatives
// of variable length that stand before one of fixed length.
//
// How it works: a pattern becomes a small nondeterministic automaton in one pass; literal text at both ends is compared
// as bytes first. Matching walks the subject once and keeps the set of live states: time O(pattern x subject), no
// recursion, no backtracking, no allocation. Up to 64 states the set is one machine word.
//
// A compiled glob never changes: any number of threads may use it.
#ifndef MF_MATCH_GLOB_H
#define MF_MATCH_GLOB_H

#include "core/base/err.h"

/* Longest pattern, bytes: bounds the states that a match keeps on the stack. */
#define MF_GLOB_PATTERN_MAX 4096

enum mf_glob_flags {
	MF_GLOB_GOBWAS = 1, /* as agentsh's library behaves, surprises included */
	MF_GLOB_ICASE = 2   /* ASCII letters match in either case */
};

struct mf_glob;

/**
 * mf_glob_compile() - Compile @pattern
 * @separator: '.', '/', or 0 for none
 * @flags:     enum mf_glob_flags
 * Return: 0; MF_E_SYNTAX with the column in @err; MF_E_LIMIT (too long); MF_E_NOMEM
 */
int mf_glob_compile(const char *pattern, size_t len, char separator, unsigned flags,
		    struct mf_glob **ret_glob, struct mf_err *err);
void mf_glob_free(struct mf_glob *glob);

/** mf_glob_match() - Whether @glob matches all of @subject (UTF-8; a byte that is not counts as one character) */
bool mf_glob_match(const struct mf_glob *glob, const char *subject, size_t len);

/** mf_glob_literal() - The text that is the only match, or NULL for a real pattern; owned by @glob */
const char *mf_glob_literal(const struct mf_glob *glob, size_t *ret_len);

/** mf_glob_prefix() - The literal text that every match begins with (may be empty); owned by @glob */
const char *mf_glob_prefix(const struct mf_glob *glob, size_t *ret_len);

/**
 * mf_glob_domain() - Whether a glob with separator '.' is one entry of a domain set
 * "example.com" is MF_DOMAIN_EXACT, "*.example.com" MF_DOMAIN_CHILD, "**.example.com" MF_DOMAIN_BELOW.
 * @ret_name: the domain, owned by @glob
 * Return: the enum mf_domain_scope, or -1 when it is something else
 */
int mf_glob_domain(const struct mf_glob *glob, const char **ret_name, size_t *ret_len);

/**
 * mf_glob_covers() - Whether @outer was proved to match whatever @inner matches
 * Walks both automata side by side; false where that would take more than some thousand steps, or where a glob behaves in a way
 * that its automaton does not show (surprises of MF_GLOB_GOBWAS, "**" directly behind a brace). Both have one separator.
 * For tools: costs up to some milliseconds. Return: false also without memory
 */
bool mf_glob_covers(const struct mf_glob *outer, const struct mf_glob *inner);

size_t mf_glob_bytes(const struct mf_glob *glob);

#endif
