/* SPDX-License-Identifier: Apache-2.0 */
/* glob.c - see glob.h */
#include "core/match/glob.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/utf8.h"
#include "core/match/domain_set.h"
#include "core/match/glob_internal.h"

// Instructions a pattern byte: "*" 3, "**/" 6 to 8, "{" and "," 1 or 2, "**" with gobwas 4; one more for MATCH.
#define PROG_MAX  (4u * MF_GLOB_PATTERN_MAX)
#define DEPTH_MAX 32u

// An open brace.
struct brace {
	uint32_t first_split, split; // of the first and of this alternative
	uint32_t jumps;		     // JUMPs to its end, linked through a
	size_t at;		     // in the pattern
	int32_t len;		     // so far of what the brace stands in
};

struct compiler {
	struct mf_glob *g;
	const uint8_t *p;
	size_t len, i;
	struct mf_err *err;
	struct brace braces[DEPTH_MAX];
	uint32_t depth;
	int32_t alt_len;     // code points of this alternative or of the pattern, -1 if that varies
	uint32_t literal_pc; // from here on only CHARs of the top level
	bool fixed;	     // gobwas: only text, ? and classes so far
	bool elements;	     // there was one that is not text
	enum { AFTER_TEXT, AFTER_SLASH, AFTER_BRACE } after;
};

static int fail(struct compiler *c, int code, size_t at, const char *why)
{
	return mf_err_at(c->err, code, NULL, 0, (unsigned)at + 1,
			 "Bad pattern \"%.*s\": %s (column %zu).",
			 (int)(c->len > 200 ? 200 : c->len), (const char *)c->p, why, at + 1);
}

static uint32_t emit(struct compiler *c, enum op op, uint32_t a, uint32_t b)
{
	c->g->prog[c->g->prog_cnt] = (struct instr){ op, a, b, 0 };
	return c->g->prog_cnt++;
}

static uint32_t pc(const struct compiler *c)
{
	return c->g->prog_cnt;
}

static void count_len(struct compiler *c, int32_t n)
{
	c->alt_len = c->alt_len < 0 || n < 0 ? -1 : c->alt_len + n;
}

// Something that is not plain text of the top level was emitted.
static void not_literal(struct compiler *c)
{
	c->literal_pc = pc(c);
	c->after = AFTER_TEXT;
}

static void emit_char(struct compiler *c, uint32_t ch)
{
	emit(c, OP_CHAR, c->g->flags & MF_GLOB_ICASE ? fold(ch) : ch, 0);
	count_len(c, 1);
	if (c->depth)
		c->literal_pc = pc(c);
	c->after = ch == c->g->sep && c->g->sep == '/' ? AFTER_SLASH : AFTER_TEXT;
}

static void emit_run(struct compiler *c, enum op op)
{
	uint32_t split = emit(c, OP_SPLIT, 0, 0);

	c->g->prog[split].a = emit(c, op, 0, 0);
	emit(c, OP_JUMP, split, 0);
	c->g->prog[split].b = pc(c);
}

// "**/" where a component begins, or after a brace, where that is seen only in the subject.
static void emit_tree(struct compiler *c, bool ask)
{
	uint32_t split = emit(c, OP_SPLIT, 0, 0), jump;

	c->g->prog[split].a = pc(c);
	emit_run(c, OP_ANY);
	emit(c, OP_CHAR, '/', 0);
	if (ask) {
		jump = emit(c, OP_JUMP, 0, 0);
		c->g->prog[split].b = emit(c, OP_START, 0, 0);
		c->g->prog[jump].a = pc(c);
	} else {
		c->g->prog[split].b = pc(c);
	}
}

static void stars(struct compiler *c)
{
	size_t n = 0;
	bool gobwas = c->g->flags & MF_GLOB_GOBWAS;

	while (c->i + n < c->len && c->p[c->i + n] == '*')
		n++;
	c->i += n;
	if (n == 1) {
		emit_run(c, c->g->sep ? OP_NOTSEP : OP_ANY);
	} else if (gobwas) {
		if (n % 2)
			emit(c, OP_ANY, 0, 0);
		emit_run(c, OP_ANY);
	} else if (c->g->sep == '/' && c->i < c->len && c->p[c->i] == '/' &&
		   c->after != AFTER_TEXT) {
		c->i++;
		emit_tree(c, c->after == AFTER_BRACE);
		not_literal(c);
		c->after = AFTER_SLASH;
		return;
	} else {
		emit_run(c, OP_ANY);
	}
	c->alt_len = -1;
	c->fixed = false;
	not_literal(c);
}

static uint32_t next_char(struct compiler *c)
{
	uint32_t ch;

	c->i += mf_utf8_decode(c->p + c->i, c->len - c->i, &ch);
	return ch;
}

// One member of a class, escaped or not. Return: 0, or MF_E_SYNTAX at the pattern's end.
static int class_char(struct compiler *c, size_t open, uint32_t *ret)
{
	if (c->i < c->len && c->p[c->i] == '\\')
		c->i++;
	if (c->i >= c->len)
		return fail(c, MF_E_SYNTAX, open, "the [ is never closed");
	*ret = next_char(c);
	return 0;
}

static void add_range(struct compiler *c, struct class *cl, uint32_t lo, uint32_t hi)
{
	c->g->ranges[c->g->range_cnt++] = (struct range){ lo, hi };
	cl->cnt++;
}

static int class_items(struct compiler *c, struct class *cl, size_t open)
{
	bool gobwas = c->g->flags & MF_GLOB_GOBWAS;
	int r;

	// A ] that comes first is a member, as in every shell.
	for (bool first = true;; first = false) {
		uint32_t lo, hi;

		if (c->i < c->len && c->p[c->i] == ']' && (!first || gobwas)) {
			c->i++;
			return first ? fail(c, MF_E_SYNTAX, open, "the [] is empty") : 0;
		}
		r = class_char(c, open, &lo);
		if (r)
			return r;
		hi = lo;
		if (c->i + 1 < c->len && c->p[c->i] == '-' && c->p[c->i + 1] != ']') {
			size_t at = c->i++;

			r = class_char(c, open, &hi);
			if (r)
				return r;
			if (hi < lo)
				return fail(c, MF_E_SYNTAX, at,
					    "the range of the class runs backwards");
			if (gobwas && (!first || c->i >= c->len || c->p[c->i] != ']'))
				return fail(c, MF_E_SYNTAX, at,
					    "gobwas has a range or a list in a class, not both");
		}
		add_range(c, cl, lo, hi);
	}
}

static int class(struct compiler *c)
{
	struct class *cl = &c->g->classes[c->g->class_cnt];
	bool gobwas = c->g->flags & MF_GLOB_GOBWAS;
	size_t open = c->i++;
	int r;

	*cl = (struct class){ .first = c->g->range_cnt };
	if (c->i < c->len && (c->p[c->i] == '!' || (c->p[c->i] == '^' && !gobwas))) {
		cl->negated = true;
		c->i++;
	}
	cl->takes_sep = gobwas;
	r = class_items(c, cl, open);
	if (r)
		return r;
	emit(c, OP_CLASS, c->g->class_cnt++, 0);
	count_len(c, 1);
	c->elements = true;
	not_literal(c);
	return 0;
}

static int brace_open(struct compiler *c)
{
	struct brace *b = &c->braces[c->depth];

	if (c->depth == DEPTH_MAX)
		return fail(c, MF_E_LIMIT, c->i, "braces nest deeper than 32");
	*b = (struct brace){ .jumps = NO_PC, .at = c->i, .len = c->alt_len };
	c->depth++;
	b->first_split = b->split = emit(c, OP_SPLIT, pc(c) + 1, NO_PC);
	c->alt_len = 0;
	c->fixed = false;
	c->i++;
	not_literal(c);
	c->after = AFTER_SLASH; // an alternative may begin with **/
	return 0;
}

static void brace_next(struct compiler *c)
{
	struct brace *b = &c->braces[c->depth - 1];

	c->g->prog[b->split].len = c->alt_len;
	b->jumps = emit(c, OP_JUMP, b->jumps, 0);
	c->g->prog[b->split].b = pc(c);
	b->split = emit(c, OP_SPLIT, pc(c) + 1, NO_PC);
	c->alt_len = 0;
	c->i++;
	not_literal(c);
	c->after = AFTER_SLASH;
}

/*
 * gobwas takes the length of a brace to be that of its first alternative of fixed length, if those before it vary, and
 * then believes it when it places the brace beside other text: alternatives that vary never match. With an empty
 * alternative none does.
 */
static void forget_alternatives(struct compiler *c, const struct brace *b)
{
	struct instr *prog = c->g->prog;
	int32_t believed = -1;

	if (b->at == 0 && c->depth == 0 && c->i >= c->len)
		return;
	if (prog[b->first_split].len >= 0)
		return;
	for (uint32_t s = b->first_split; s != NO_PC; s = prog[s].b) {
		if (believed < 0)
			believed = prog[s].len;
		else if (prog[s].len != believed)
			return;
	}
	if (believed < 0)
		return;
	for (uint32_t s = b->first_split, next; s != NO_PC; s = next) {
		next = prog[s].b;
		if (prog[s].len < 0 || believed == 0)
			prog[s] = (struct instr){ next == NO_PC ? OP_FAIL : OP_JUMP, next, 0, 0 };
	}
	c->alt_len = believed;
}

static void brace_close(struct compiler *c)
{
	struct brace *b = &c->braces[--c->depth];
	struct instr *prog = c->g->prog;
	int32_t len;

	prog[b->split].len = c->alt_len;
	if (c->i < c->len)
		c->i++;
	// All alternatives of one length: that is the brace's.
	len = prog[b->first_split].len;
	for (uint32_t s = b->first_split; s != NO_PC; s = prog[s].b)
		if (prog[s].len != len)
			len = -1;
	c->alt_len = len;
	if (c->g->flags & MF_GLOB_GOBWAS)
		forget_alternatives(c, b);
	for (uint32_t j = b->jumps, next; j != NO_PC; j = next) {
		next = prog[j].a;
		prog[j].a = pc(c);
	}
	// The last alternative is no choice.
	if (prog[b->split].op == OP_SPLIT)
		prog[b->split].op = OP_JUMP;
	len = c->alt_len;
	c->alt_len = b->len;
	count_len(c, len);
	not_literal(c);
	c->after = AFTER_BRACE;
}

static int element(struct compiler *c)
{
	switch (c->p[c->i]) {
	case '*':
		stars(c);
		return 0;
	case '?':
		c->i++;
		emit(c, c->g->sep ? OP_NOTSEP : OP_ANY, 0, 0);
		count_len(c, 1);
		c->elements = true;
		not_literal(c);
		return 0;
	case '[':
		return class(c);
	case '{':
		return brace_open(c);
	case ',':
		if (c->depth) {
			brace_next(c);
			return 0;
		}
		break;
	case '}':
		if (c->depth) {
			brace_close(c);
			return 0;
		}
		break;
	case '\\':
		c->i++;
		if (c->i >= c->len) {
			if (c->g->flags & MF_GLOB_GOBWAS)
				return 0;
			return fail(c, MF_E_SYNTAX, c->i - 1, "nothing follows the \\");
		}
		break;
	default:
		break;
	}
	emit_char(c, next_char(c));
	return 0;
}

// Text before the first element. Return: its length in the pattern; c->g->prefix has it without escapes.
static size_t literal_prefix(struct compiler *c)
{
	size_t i = 0, n = 0;
	uint8_t ch = 0;

	while (i < c->len && !strchr("*?[{", c->p[i] ? c->p[i] : 'x')) {
		if (c->p[i] == '\\') {
			// The main loop reports what is wrong with it.
			if (i + 1 == c->len)
				break;
			i++;
		}
		ch = c->p[i++];
		c->g->prefix[n++] = (char)(c->g->flags & MF_GLOB_ICASE ? fold(ch) : ch);
	}
	c->g->prefix_len = n;
	c->after = n == 0 || (ch == '/' && c->g->sep == '/') ? AFTER_SLASH : AFTER_TEXT;
	return i;
}

static size_t put_utf8(char *to, uint32_t ch)
{
	if (ch >= MF_UTF8_BAD) {
		to[0] = (char)(ch - MF_UTF8_BAD);
		return 1;
	}
	if (ch < 0x80) {
		to[0] = (char)ch;
		return 1;
	}
	if (ch < 0x800) {
		to[0] = (char)(0xc0 | ch >> 6);
		to[1] = (char)(0x80 | (ch & 0x3f));
		return 2;
	}
	if (ch < 0x10000) {
		to[0] = (char)(0xe0 | ch >> 12);
		to[1] = (char)(0x80 | (ch >> 6 & 0x3f));
		to[2] = (char)(0x80 | (ch & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | ch >> 18);
	to[1] = (char)(0x80 | (ch >> 12 & 0x3f));
	to[2] = (char)(0x80 | (ch >> 6 & 0x3f));
	to[3] = (char)(0x80 | (ch & 0x3f));
	return 4;
}

// Takes the CHARs at the program's end, from which nothing branches off, into the suffix.
static void literal_suffix(struct compiler *c)
{
	struct mf_glob *g = c->g;

	for (uint32_t i = c->literal_pc; i < g->prog_cnt; i++)
		g->suffix_len += put_utf8(g->suffix + g->suffix_len, g->prog[i].a);
	g->prog_cnt = c->literal_pc;
}

// ------------------------------------------------------------------------------------------------------------------
// The automaton as bits

// The states (numbered by @number) that are reached from @from without reading; MATCH sets *ret_accept.
static uint64_t closure(const struct mf_glob *g, uint32_t from, const uint8_t *number,
			bool *ret_accept)
{
	uint32_t stack[192 + 2], top = 0;
	uint8_t seen[192] = { 0 };
	uint64_t set = 0;

	*ret_accept = false;
	stack[top++] = from;
	while (top) {
		uint32_t i = stack[--top];
		const struct instr *in = &g->prog[i];

		if (seen[i])
			continue;
		seen[i] = 1;
		if (in->op < OP_SPLIT) {
			set |= UINT64_C(1) << number[i];
		} else if (in->op == OP_MATCH) {
			*ret_accept = true;
		} else if (in->op == OP_SPLIT || in->op == OP_JUMP) {
			stack[top++] = in->a;
			if (in->op == OP_SPLIT)
				stack[top++] = in->b;
		}
	}
	return set;
}

// Return: false when there are too many states or a step that depends on the subject; g->bits stays NULL then.
static int make_bits(struct mf_glob *g)
{
	uint8_t number[192];
	uint32_t at[64], cnt = 0;
	bool accept;

	if (g->prog_cnt > 192)
		return 0;
	for (uint32_t i = 0; i < g->prog_cnt; i++) {
		if (g->prog[i].op == OP_START)
			return 0;
		if (g->prog[i].op >= OP_SPLIT)
			continue;
		if (cnt == 64)
			return 0;
		number[i] = (uint8_t)cnt;
		at[cnt++] = i;
	}
	g->bits = calloc(1, sizeof(*g->bits));
	if (!g->bits)
		return MF_E_NOMEM;
	g->bits->cnt = cnt;
	g->bits->first = closure(g, 0, number, &g->bits->accept_empty);
	for (uint32_t s = 0; s < cnt; s++) {
		g->bits->state[s] = g->prog[at[s]];
		g->bits->follow[s] = closure(g, at[s] + 1, number, &accept);
		if (accept)
			g->bits->accept |= UINT64_C(1) << s;
	}
	return 0;
}

static int choose_middle(struct compiler *c)
{
	struct mf_glob *g = c->g;
	bool gobwas = g->flags & MF_GLOB_GOBWAS;
	int r;

	if (gobwas && c->fixed && c->elements) {
		g->middle = MIDDLE_ROW;
		return 0;
	}
	literal_suffix(c);
	emit(c, OP_MATCH, 0, 0);
	if (g->prog_cnt == 1) {
		g->middle = MIDDLE_NONE;
		return 0;
	}
	if (g->prog_cnt == 4 && g->prog[0].op == OP_SPLIT && g->prog[1].op == OP_ANY) {
		g->middle = MIDDLE_ANY;
		// Without a separator "*" is not "**" to gobwas, but as long.
		g->overlap = gobwas && g->prefix_len && g->suffix_len;
		return 0;
	}
	if (g->prog_cnt == 4 && g->prog[0].op == OP_SPLIT && g->prog[1].op == OP_NOTSEP) {
		g->middle = MIDDLE_NOTSEP;
		return 0;
	}
	r = make_bits(g);
	g->middle = g->bits ? MIDDLE_BITS : MIDDLE_LIST;
	return r;
}

static int compile(struct compiler *c)
{
	bool gobwas = c->g->flags & MF_GLOB_GOBWAS;
	int r;

	c->i = literal_prefix(c);
	// A row is compared from its beginning, prefix included.
	if (gobwas && !memchr(c->p, '*', c->len) && !memchr(c->p, '{', c->len) && c->i < c->len) {
		c->i = 0;
		c->g->prefix_len = 0;
	}
	c->fixed = true;
	while (c->i < c->len) {
		r = element(c);
		if (r)
			return r;
	}
	while (c->depth) {
		if (!gobwas)
			return fail(c, MF_E_SYNTAX, c->braces[c->depth - 1].at,
				    "the { is never closed");
		brace_close(c);
	}
	return choose_middle(c);
}

// Room for the worst case while compiling; given back afterwards.
static bool make_room(struct mf_glob *g, size_t len)
{
	size_t n = len + 1;

	g->prog = malloc((4 * n + 4) * sizeof(*g->prog));
	g->classes = malloc(n * sizeof(*g->classes));
	g->ranges = malloc(n * sizeof(*g->ranges));
	g->prefix = malloc(n);
	g->suffix = malloc(n);
	return g->prog && g->classes && g->ranges && g->prefix && g->suffix;
}

static void *shrink(void *ptr, size_t size)
{
	void *p;

	if (!size) {
		free(ptr);
		return NULL;
	}
	p = realloc(ptr, size);
	return p ? p : ptr;
}

static void give_back(struct mf_glob *g)
{
	if (g->middle != MIDDLE_LIST && g->middle != MIDDLE_ROW)
		g->prog_cnt = 0;
	if (g->middle < MIDDLE_BITS)
		g->class_cnt = g->range_cnt = 0;
	g->prog = shrink(g->prog, g->prog_cnt * sizeof(*g->prog));
	g->classes = shrink(g->classes, g->class_cnt * sizeof(*g->classes));
	g->ranges = shrink(g->ranges, g->range_cnt * sizeof(*g->ranges));
	g->prefix = shrink(g->prefix, g->prefix_len + 1);
	g->suffix = shrink(g->suffix, g->suffix_len + 1);
	g->prefix[g->prefix_len] = '\0';
	g->suffix[g->suffix_len] = '\0';
}

int mf_glob_compile(const char *pattern, size_t len, char separator, unsigned flags,
		    struct mf_glob **ret_glob, struct mf_err *err)
{
	struct mf_glob *g = calloc(1, sizeof(*g));
	struct compiler c = { .g = g, .p = (const uint8_t *)pattern, .len = len, .err = err };
	int r;

	if (!g)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a pattern.");
	g->sep = (uint8_t)separator;
	g->flags = flags;
	if (len > MF_GLOB_PATTERN_MAX)
		r = mf_err_set(err, MF_E_LIMIT, "A pattern of %zu bytes is longer than %d.", len,
			       MF_GLOB_PATTERN_MAX);
	else if (!make_room(g, len))
		r = mf_err_set(err, MF_E_NOMEM, "No memory for a pattern.");
	else
		r = compile(&c);
	if (r) {
		mf_glob_free(g);
		return r;
	}
	give_back(g);
	*ret_glob = g;
	return 0;
}

void mf_glob_free(struct mf_glob *glob)
{
	if (!glob)
		return;
	free(glob->prog);
	free(glob->classes);
	free(glob->ranges);
	free(glob->prefix);
	free(glob->suffix);
	free(glob->bits);
	free(glob);
}

// ------------------------------------------------------------------------------------------------------------------
// Matching

static inline size_t decode(const uint8_t *p, size_t len, uint32_t *ret)
{
	if (*p < 0x80) {
		*ret = *p;
		return 1;
	}
	return mf_utf8_decode(p, len, ret);
}

static bool match_bits(const struct mf_glob *g, const uint8_t *s, size_t len)
{
	const struct bits *b = g->bits;
	uint64_t live = b->first;
	bool accept = b->accept_empty;

	for (size_t i = 0; i < len;) {
		uint64_t next = 0, hits = 0;
		uint32_t ch;

		i += decode(s + i, len - i, &ch);
		for (uint64_t set = live; set; set &= set - 1) {
			unsigned n = (unsigned)__builtin_ctzll(set);

			if (takes(g, &b->state[n], ch)) {
				hits |= UINT64_C(1) << n;
				next |= b->follow[n];
			}
		}
		if (!hits)
			return false;
		accept = (hits & b->accept) != 0;
		live = next;
	}
	return accept;
}

// States of one step: which instructions are on, and the list of those that read.
struct list {
	uint16_t at[PROG_MAX];
	uint32_t cnt;
};

struct run {
	const struct mf_glob *g;
	uint64_t seen[PROG_MAX / 64];
	uint16_t stack[PROG_MAX];
	struct list lists[2];
	bool accept;
};

static void add_state(struct run *r, struct list *to, uint32_t from, bool start)
{
	uint32_t top = 0;

	// Each instruction is pushed once: it is marked before.
#define PUSH(i)                                                         \
	do {                                                            \
		if (!(r->seen[(i) / 64] >> ((i) % 64) & 1)) {           \
			r->seen[(i) / 64] |= UINT64_C(1) << ((i) % 64); \
			r->stack[top++] = (uint16_t)(i);                \
		}                                                       \
	} while (0)
	PUSH(from);
	while (top) {
		uint32_t i = r->stack[--top];
		const struct instr *in = &r->g->prog[i];

		switch (in->op) {
		case OP_SPLIT:
			PUSH(in->a);
			PUSH(in->b);
			break;
		case OP_JUMP:
			PUSH(in->a);
			break;
		case OP_START:
			if (start)
				PUSH(i + 1);
			break;
		case OP_MATCH:
			r->accept = true;
			break;
		case OP_FAIL:
			break;
		default:
			to->at[to->cnt++] = (uint16_t)i;
		}
	}
#undef PUSH
}

// @before: there is a byte before s[0].
static bool match_list(const struct mf_glob *g, const uint8_t *s, size_t len, bool before)
{
	size_t words = g->prog_cnt / 64 + 1;
	struct run r;
	struct list *live = &r.lists[0], *next = &r.lists[1], *swap;

	r.g = g;
	r.accept = false;
	live->cnt = 0;
	memset(r.seen, 0, words * sizeof(*r.seen));
	add_state(&r, live, 0, !before || s[-1] == '/');
	if (len && !live->cnt)
		return false;
	for (size_t i = 0; i < len && live->cnt;) {
		uint32_t ch;

		i += decode(s + i, len - i, &ch);
		memset(r.seen, 0, words * sizeof(*r.seen));
		r.accept = false;
		next->cnt = 0;
		for (uint32_t k = 0; k < live->cnt; k++)
			if (takes(g, &g->prog[live->at[k]], ch))
				add_state(&r, next, live->at[k] + 1u, ch == '/');
		swap = live;
		live = next;
		next = swap;
		if (i < len && !live->cnt)
			return false;
	}
	return r.accept;
}

/*
 * gobwas compares a pattern of fixed length piece by piece, each as many characters as it has, but takes only one byte
 * of the last character of a piece. Bytes left over at the end do not matter.
 */
static bool match_row(const struct mf_glob *g, const uint8_t *s, size_t len)
{
	size_t i = 0, chars = 0;
	uint32_t ch, k = 0;

	for (size_t j = 0; j < len; chars++)
		j += decode(s + j, len - j, &ch);
	if (chars != g->prog_cnt)
		return false;
	while (k < g->prog_cnt) {
		// Up to the last of a run of CHARs whole characters are compared.
		while (g->prog[k].op == OP_CHAR && k + 1 < g->prog_cnt &&
		       g->prog[k + 1].op == OP_CHAR) {
			if (i >= len)
				return false;
			i += decode(s + i, len - i, &ch);
			if (!takes(g, &g->prog[k++], ch))
				return false;
		}
		if (i >= len)
			return false;
		ch = s[i] < 0x80 ? s[i] : 0xfffd;
		i++;
		if (!takes(g, &g->prog[k++], ch))
			return false;
	}
	return true;
}

static bool same_text(const struct mf_glob *g, const char *text, const char *s, size_t len)
{
	if (!(g->flags & MF_GLOB_ICASE))
		return memcmp(text, s, len) == 0;
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)text[i] != fold((uint8_t)s[i]))
			return false;
	return true;
}

bool mf_glob_match(const struct mf_glob *g, const char *subject, size_t len)
{
	const uint8_t *s;
	size_t ends = g->prefix_len + g->suffix_len;

	if (len < ends && !(g->overlap && len >= g->prefix_len && len >= g->suffix_len))
		return false;
	if (!same_text(g, g->prefix, subject, g->prefix_len) ||
	    !same_text(g, g->suffix, subject + len - g->suffix_len, g->suffix_len))
		return false;
	if (g->middle == MIDDLE_ANY)
		return true;
	s = (const uint8_t *)subject + g->prefix_len;
	len -= ends;
	switch (g->middle) {
	case MIDDLE_NONE:
		return len == 0;
	case MIDDLE_NOTSEP:
		return !memchr(s, (int)g->sep, len);
	case MIDDLE_BITS:
		return match_bits(g, s, len);
	case MIDDLE_ROW:
		return match_row(g, s, len);
	default:
		return match_list(g, s, len, g->prefix_len > 0);
	}
}

const char *mf_glob_literal(const struct mf_glob *g, size_t *ret_len)
{
	// Text without elements is all prefix, and a prefix alone has no suffix.
	if (g->middle != MIDDLE_NONE || g->suffix_len)
		return NULL;
	*ret_len = g->prefix_len;
	return g->prefix;
}

const char *mf_glob_prefix(const struct mf_glob *g, size_t *ret_len)
{
	*ret_len = g->prefix_len;
	return g->prefix;
}

int mf_glob_domain(const struct mf_glob *g, const char **ret_name, size_t *ret_len)
{
	if (g->sep != '.' || g->overlap)
		return -1;
	if (g->middle == MIDDLE_NONE && g->prefix_len && !g->suffix_len) {
		*ret_name = g->prefix;
		*ret_len = g->prefix_len;
		return MF_DOMAIN_EXACT;
	}
	if (g->prefix_len || g->suffix_len < 2 || g->suffix[0] != '.' ||
	    (g->middle != MIDDLE_ANY && g->middle != MIDDLE_NOTSEP))
		return -1;
	*ret_name = g->suffix + 1;
	*ret_len = g->suffix_len - 1;
	return g->middle == MIDDLE_ANY ? MF_DOMAIN_BELOW : MF_DOMAIN_CHILD;
}

size_t mf_glob_bytes(const struct mf_glob *g)
{
	return sizeof(*g) + g->prefix_len + g->suffix_len + 2 + g->prog_cnt * sizeof(*g->prog) +
	       g->class_cnt * sizeof(*g->classes) + g->range_cnt * sizeof(*g->ranges) +
	       (g->bits ? sizeof(*g->bits) : 0);
}
