/* SPDX-License-Identifier: Apache-2.0 */
// glob_internal.h - a compiled glob from inside: glob.c makes and runs it, glob_covers.c compares two
#ifndef MF_MATCH_GLOB_INTERNAL_H
#define MF_MATCH_GLOB_INTERNAL_H

#include "core/match/glob.h"

enum op {
	OP_CHAR,   // code point a
	OP_ANY,	   // any code point
	OP_NOTSEP, // any but the separator
	OP_CLASS,  // class a
	// the rest consumes nothing
	OP_SPLIT, // go on at a and at b
	OP_JUMP,  // go on at a
	OP_START, // go on behind it if a path component begins here
	OP_FAIL,
	OP_MATCH
};

struct instr {
	uint32_t op;
	uint32_t a, b;
	int32_t len; // of an alternative's SPLIT: its length in code points, -1 if that varies (gobwas only)
};

#define NO_PC UINT32_MAX

// A class is a run of ranges in glob->ranges.
struct class
{
	uint32_t first, cnt;
	bool negated, takes_sep;
};

struct range {
	uint32_t lo, hi;
};

// The automaton without its silent steps, for up to 64 states.
struct bits {
	uint64_t first, accept; // states after nothing was read; states that the subject may end in
	bool accept_empty;
	uint32_t cnt;
	struct instr state[64];
	uint64_t follow[64];
};

// What stands between the literal ends.
enum middle { MIDDLE_NONE, MIDDLE_ANY, MIDDLE_NOTSEP, MIDDLE_BITS, MIDDLE_LIST, MIDDLE_ROW };

struct mf_glob {
	enum middle middle;
	uint32_t sep; // 0: none
	unsigned flags;
	bool overlap; // gobwas: both ends may share text
	char *prefix, *suffix;
	size_t prefix_len, suffix_len;
	struct instr *prog;
	uint32_t prog_cnt;
	struct class *classes;
	uint32_t class_cnt;
	struct range *ranges;
	uint32_t range_cnt;
	struct bits *bits;
};

static inline uint32_t fold(uint32_t ch)
{
	return ch >= 'A' && ch <= 'Z' ? ch + 32 : ch;
}

static inline bool in_class(const struct mf_glob *g, const struct class *cl, uint32_t ch)
{
	bool in = false;

	if (ch == g->sep && g->sep && !cl->takes_sep)
		return false;
	for (uint32_t i = 0; i < cl->cnt && !in; i++) {
		const struct range *r = &g->ranges[cl->first + i];

		in = ch >= r->lo && ch <= r->hi;
		if (g->flags & MF_GLOB_ICASE && !in) {
			uint32_t other = ch >= 'a' && ch <= 'z' ? ch - 32 : fold(ch);

			in = other >= r->lo && other <= r->hi;
		}
	}
	return in != cl->negated;
}

static inline bool takes(const struct mf_glob *g, const struct instr *in, uint32_t ch)
{
	switch (in->op) {
	case OP_CHAR:
		return in->a == (g->flags & MF_GLOB_ICASE ? fold(ch) : ch);
	case OP_ANY:
		return true;
	case OP_NOTSEP:
		return ch != g->sep;
	default:
		return in_class(g, &g->classes[in->a], ch);
	}
}

#endif
