/* SPDX-License-Identifier: Apache-2.0 */
/*
 * re2.c - RE2's syntax (as Go's regexp/syntax reads it) checked, and written for PCRE2 where the two differ
 *
 * One pass without recursion. What differs and is rewritten: \v (vertical tab), \s \S (no vertical tab), octal escapes,
 * braces that are no repeat, (?P<name> and named groups (dropped: nobody reads them). Everything that RE2 does not have
 * is refused, also where PCRE2 would take it for something else.
 */
#include <string.h>

#include "core/base/hex.h"
#include "core/match/regex.h"

#define REPEAT_MAX 1000u
#define GROUPS_MAX 250u

struct re2 {
	const char *p;
	size_t len, i;
	char *out;
	size_t room, n;
	const char *why;
	bool full;
	// What the group's content may be repeated at most, for each open group: repeats multiply (RE2's limit).
	uint32_t inner[GROUPS_MAX + 1];
	uint32_t depth;
	uint32_t atom; // repeat product of the atom just read
	bool can_repeat, repeated;
};

static void put(struct re2 *r, const char *text, size_t len)
{
	if (r->n + len >= r->room) {
		r->full = true;
		return;
	}
	memcpy(r->out + r->n, text, len);
	r->n += len;
}

static void puts_(struct re2 *r, const char *text)
{
	put(r, text, strlen(text));
}

static int refuse(struct re2 *r, const char *why)
{
	r->why = why;
	return MF_E_SYNTAX;
}

static int peek(const struct re2 *r, size_t ahead)
{
	return r->i + ahead < r->len ? (uint8_t)r->p[r->i + ahead] : -1;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(int c)
{
	return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static void put_code(struct re2 *r, uint32_t v)
{
	static const char digits[] = "0123456789abcdef";
	char buf[12] = "\\x{";
	size_t n = 3;
	int shift = 20;

	while (shift > 4 && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		buf[n++] = digits[v >> shift & 15];
	buf[n++] = '}';
	put(r, buf, n);
}

// \x41, \x{10ffff}; r->i is behind the x.
static int escape_hex(struct re2 *r)
{
	uint32_t v = 0;
	int h;

	if (peek(r, 0) == '{') {
		size_t digits = 0;

		for (r->i++; (h = mf_hex_digit(peek(r, 0))) >= 0; r->i++, digits++) {
			v = v << 4 | (uint32_t)h;
			if (v > 0x10ffff)
				return refuse(r, "a character above U+10FFFF");
		}
		if (!digits || peek(r, 0) != '}')
			return refuse(r, "\\x{ needs hexadecimal digits and }");
		r->i++;
	} else {
		for (int k = 0; k < 2; k++, r->i++) {
			h = mf_hex_digit(peek(r, 0));
			if (h < 0)
				return refuse(r, "\\x needs two hexadecimal digits");
			v = v << 4 | (uint32_t)h;
		}
	}
	if (v >= 0xd800 && v < 0xe000)
		return refuse(r, "a surrogate is no character");
	put_code(r, v);
	return 0;
}

// \012, \123; a single digit 1 to 9 would be a back-reference. r->i is at the first digit.
static int escape_octal(struct re2 *r)
{
	uint32_t v = 0;
	int c = peek(r, 0), next = peek(r, 1);

	if (c > '7' || (c != '0' && (next < '0' || next > '7')))
		return refuse(r, "back-references are not RE2");
	for (int k = 0; k < 3; k++, r->i++) {
		c = peek(r, 0);
		if (c < '0' || c > '7')
			break;
		v = v * 8 + (uint32_t)(c - '0');
	}
	put_code(r, v);
	return 0;
}

// \pN, \p{Greek}, \p{^Greek}, \PN; r->i is at the p.
static int escape_property(struct re2 *r)
{
	size_t start = r->i - 1;

	r->i++;
	if (peek(r, 0) == '{') {
		r->i++;
		if (peek(r, 0) == '^')
			r->i++;
		while (is_alnum(peek(r, 0)) || peek(r, 0) == '_')
			r->i++;
		if (peek(r, 0) != '}')
			return refuse(r, "\\p{ needs the name of a class and }");
		r->i++;
	} else if (is_alnum(peek(r, 0))) {
		r->i++;
	} else {
		return refuse(r, "\\p needs the name of a class");
	}
	put(r, r->p + start, r->i - start);
	return 0;
}

// \Q...\E: plain text; r->i is behind the Q.
static int escape_quote(struct re2 *r)
{
	while (r->i < r->len) {
		char c = r->p[r->i++];

		if (c == '\\' && peek(r, 0) == 'E') {
			r->i++;
			return 0;
		}
		if ((uint8_t)c < 0x80 && !is_alnum(c))
			puts_(r, "\\");
		put(r, &c, 1);
	}
	return 0;
}

static int escape(struct re2 *r, bool in_class)
{
	int c;

	r->i++;
	c = peek(r, 0);
	if (c < 0)
		return refuse(r, "nothing follows the \\");
	if (is_digit(c))
		return escape_octal(r);
	if (c < 0x80 && !is_alnum(c)) {
		put(r, r->p + r->i - 1, 2);
		r->i++;
		return 0;
	}
	switch (c) {
	case 'x':
		r->i++;
		return escape_hex(r);
	case 'p':
	case 'P':
		return escape_property(r);
	case 'Q':
		if (in_class)
			return refuse(r, "\\Q inside [] is not RE2");
		r->i++;
		return escape_quote(r);
	case 'v':
		puts_(r, "\\x0b");
		break;
	case 's':
		puts_(r, in_class ? "\\t\\n\\f\\r\\x20" : "[\\t\\n\\f\\r\\x20]");
		break;
	case 'S':
		puts_(r, in_class ? "\\S" : "[^\\t\\n\\f\\r\\x20]");
		break;
	case 'b':
	case 'B':
	case 'A':
	case 'z':
		if (in_class)
			return refuse(r, "this escape has no meaning inside []");
		put(r, r->p + r->i - 1, 2);
		break;
	case 'd':
	case 'D':
	case 'w':
	case 'W':
	case 'a':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		put(r, r->p + r->i - 1, 2);
		break;
	case 'k':
	case 'g':
		return refuse(r, "back-references are not RE2");
	default:
		return refuse(r, "RE2 has no such escape");
	}
	r->i++;
	return 0;
}

// [...]; r->i is at the [.
static int char_class(struct re2 *r)
{
	bool first = true;
	int e;

	put(r, "[", 1);
	r->i++;
	if (peek(r, 0) == '^') {
		put(r, "^", 1);
		r->i++;
	}
	for (;; first = false) {
		int c = peek(r, 0);

		if (c < 0)
			return refuse(r, "the [ is never closed");
		if (c == ']' && !first)
			break;
		if (c == '\\') {
			e = escape(r, true);
			if (e)
				return e;
		} else if (c == '[' && peek(r, 1) == ':') {
			size_t n = 2;

			// The longest name is xdigit, with ^ before it.
			while (n < 10 && peek(r, n) >= 0 && peek(r, n) != ':')
				n++;
			if (peek(r, n) != ':' || peek(r, n + 1) != ']')
				return refuse(r, "[: needs the name of a class and :]");
			n += 2;
			put(r, r->p + r->i, n);
			r->i += n;
		} else if (c == '[') {
			// [= and [. mean something to PCRE2.
			puts_(r, "\\[");
			r->i++;
		} else {
			put(r, r->p + r->i, 1);
			r->i++;
		}
	}
	put(r, "]", 1);
	r->i++;
	return 0;
}

static bool read_number(struct re2 *r, uint32_t *ret)
{
	uint32_t v = 0;
	size_t start = r->i;

	while (is_digit(peek(r, 0))) {
		if (v < 100000)
			v = v * 10 + (uint32_t)(peek(r, 0) - '0');
		r->i++;
	}
	*ret = v;
	return r->i > start && (r->p[start] != '0' || r->i == start + 1);
}

// {n}, {n,}, {n,m} from r->i on. Return: 1 read, 0 it is plain text (r->i unchanged), or an error.
static int repeat_braces(struct re2 *r, uint32_t *ret_max)
{
	size_t start = r->i;
	uint32_t min, max;

	r->i++;
	if (!read_number(r, &min))
		goto text;
	max = min;
	if (peek(r, 0) == ',') {
		r->i++;
		if (peek(r, 0) == '}')
			max = min ? min : 1;
		else if (!read_number(r, &max))
			goto text;
		else if (max < min)
			return refuse(r, "the repeat count runs backwards");
	}
	if (peek(r, 0) != '}')
		goto text;
	if (min > REPEAT_MAX || max > REPEAT_MAX)
		return refuse(r, "a repeat count above 1000");
	r->i++;
	put(r, r->p + start, r->i - start);
	*ret_max = max;
	return 1;
text:
	r->i = start;
	return 0;
}

static int repeat(struct re2 *r, uint32_t max)
{
	if (!r->can_repeat)
		return refuse(r, "nothing to repeat");
	if (r->repeated)
		return refuse(r, "a repeat of a repeat (possessive ones are not RE2)");
	if (max > 1)
		r->atom *= max;
	if (r->atom > REPEAT_MAX)
		return refuse(r, "repeat counts that multiply to more than 1000");
	if (r->atom > r->inner[r->depth])
		r->inner[r->depth] = r->atom;
	if (peek(r, 0) == '?') {
		put(r, "?", 1);
		r->i++;
	}
	r->repeated = true;
	return 0;
}

static int group_flags(struct re2 *r, size_t start)
{
	bool minus = false, any = false;

	for (;; r->i++) {
		int c = peek(r, 0);

		if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
			any = true;
		} else if (c == '-' && !minus) {
			minus = true;
			any = false;
		} else if ((c == ':' || c == ')') && (any || !minus)) {
			r->i++;
			put(r, r->p + start, r->i - start);
			return c;
		} else {
			return refuse(r, "RE2 has groups (...), (?:...), (?P<name>...) and flags "
					 "(?imsU-imsU); look-around, atomic groups, conditions and "
					 "recursion are not RE2");
		}
	}
}

// r->i is at the (.
static int group_open(struct re2 *r)
{
	size_t start = r->i;
	int e;

	if (r->depth == GROUPS_MAX) {
		r->why = "groups nest too deeply";
		return MF_E_LIMIT;
	}
	r->i++;
	if (peek(r, 0) == '*')
		return refuse(r, "verbs (*...) are not RE2");
	if (peek(r, 0) != '?') {
		put(r, "(", 1);
	} else {
		size_t name;

		r->i++;
		name = peek(r, 0) == 'P' && peek(r, 1) == '<'			     ? 2
		       : peek(r, 0) == '<' && peek(r, 1) != '=' && peek(r, 1) != '!' ? 1
										     : 0;
		if (name) {
			r->i += name;
			name = r->i;
			while (is_alnum(peek(r, 0)) || peek(r, 0) == '_')
				r->i++;
			if (r->i == name || peek(r, 0) != '>')
				return refuse(r, "the name of the group is none");
			r->i++;
			put(r, "(", 1);
		} else {
			e = group_flags(r, start);
			if (e == ')') {
				r->can_repeat = false;
				return 0;
			}
			if (e != ':')
				return e;
		}
	}
	r->inner[++r->depth] = 1;
	r->can_repeat = false;
	return 0;
}

static int group_close(struct re2 *r)
{
	uint32_t inner;

	if (!r->depth)
		return refuse(r, "a ) without its (");
	inner = r->inner[r->depth--];
	put(r, ")", 1);
	r->i++;
	r->atom = inner;
	r->can_repeat = true;
	r->repeated = false;
	if (inner > r->inner[r->depth])
		r->inner[r->depth] = inner;
	return 0;
}

static int atom(struct re2 *r, int c)
{
	int e = 0;

	r->atom = 1;
	r->can_repeat = true;
	r->repeated = false;
	if (c == '\\')
		return escape(r, false);
	if (c == '[')
		return char_class(r);
	if (c == '{')
		puts_(r, "\\{");
	else if (c == '#' || c == '}' || c == ']')
		put(r, "\\", 1), put(r, r->p + r->i, 1);
	else
		put(r, r->p + r->i, 1);
	r->i++;
	return e;
}

static int element(struct re2 *r)
{
	int c = peek(r, 0), e;
	uint32_t max = 1;

	switch (c) {
	case '(':
		return group_open(r);
	case ')':
		return group_close(r);
	case '|':
		put(r, "|", 1);
		r->i++;
		r->can_repeat = false;
		return 0;
	case '*':
	case '+':
	case '?':
		// Reported where it stands.
		if (r->can_repeat && !r->repeated) {
			put(r, r->p + r->i, 1);
			r->i++;
		}
		return repeat(r, 1);
	case '{':
		e = repeat_braces(r, &max);
		return e < 0 ? e : e ? repeat(r, max) : atom(r, c);
	default:
		return atom(r, c);
	}
}

int mf_re2_translate(const char *pattern, size_t len, char *out, size_t room, size_t *ret_offset,
		     const char **ret_why)
{
	struct re2 r = { .p = pattern, .len = len, .out = out, .room = room, .inner = { 1 } };
	int e = 0;

	while (!e && r.i < len)
		e = element(&r);
	if (!e && r.depth)
		e = refuse(&r, "a ( is never closed");
	if (!e && (r.full || !room)) {
		r.why = "the pattern is too long";
		e = MF_E_LIMIT;
	}
	if (e) {
		*ret_offset = r.i > len ? len : r.i;
		*ret_why = r.why;
		return e;
	}
	out[r.n] = '\0';
	return (int)r.n;
}
