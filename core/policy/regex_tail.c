/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex_tail.c - see regex_tail.h
 *
 * The expression is read from left to right as one sequence. Literal characters are gathered; whatever is not one (a class, a group,
 * a dot, a repetition and what it repeats) begins anew. What has been gathered at the end stands at the end of every match. Anything
 * that could mean that there is more than one sequence, or that letters mean something else, ends the reading without a tail.
 */
#include "core/policy/regex_tail.h"

#include <string.h>

struct reading {
	const char *at, *end;
	char *buf;
	size_t len, room;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Behind "[": to behind its "]". */
static bool skip_class(struct reading *r)
{
	if (r->at < r->end && *r->at == '^')
		r->at++;
	if (r->at < r->end && *r->at == ']')
		r->at++;
	while (r->at < r->end && *r->at != ']') {
		if (*r->at == '\\') {
			if (++r->at < r->end && *r->at == 'Q')
				return false;
		} else if (*r->at == '[' && r->at + 1 < r->end && r->at[1] == ':') {
			for (r->at += 2; r->at < r->end && *r->at != ']'; r->at++)
				;
		}
		if (r->at < r->end)
			r->at++;
	}
	return r->at++ < r->end;
}

/* Behind "(": to behind its ")". Groups with flags, names and the like are not read. */
static bool skip_group(struct reading *r)
{
	unsigned depth = 1;

	while (r->at < r->end && depth) {
		char c = *r->at++;

		if (c == '\\') {
			if (r->at == r->end || *r->at == 'Q')
				return false;
			r->at++;
		} else if (c == '[' && !skip_class(r)) {
			return false;
		} else if (c == '(') {
			depth++;
			if (r->at < r->end && *r->at == '?' &&
			    (r->at + 1 == r->end || r->at[1] != ':'))
				return false;
		} else if (c == ')') {
			depth--;
		}
	}
	return depth == 0;
}

/* What repeats the token before it, if anything; false: not understood. */
static bool skip_repeat(struct reading *r, bool *ret_there)
{
	*ret_there = false;
	while (r->at < r->end && strchr("*+?{", *r->at)) {
		*ret_there = true;
		if (*r->at++ != '{')
			continue;
		while (r->at < r->end && (is_digit(*r->at) || *r->at == ','))
			r->at++;
		if (r->at == r->end || *r->at++ != '}')
			return false;
	}
	return true;
}

static void gather(struct reading *r, char c)
{
	if (r->len + 1 == r->room)
		memmove(r->buf, r->buf + 1, --r->len);
	r->buf[r->len++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* One token; *ret_literal: the character that it is, or 0. False: not understood. */
static bool read_token(struct reading *r, char *ret_literal)
{
	char c = *r->at++;

	*ret_literal = '\0';
	switch (c) {
	case '[':
		return skip_class(r);
	case '(':
		if (r->at < r->end && *r->at == '?' && (r->at + 1 == r->end || r->at[1] != ':'))
			return false;
		return skip_group(r);
	case '|':
	case ')':
	case '$':
	case '*':
	case '+':
	case '?':
	case '{':
		return false;
	case '.':
	case '^':
		return true;
	case '\\':
		if (r->at == r->end)
			return false;
		c = *r->at++;
		if (is_alnum(c))
			return strchr("dDwWsSbB", c) != NULL;
		break;
	default:
		break;
	}
	if ((unsigned char)c <= ' ' || (unsigned char)c >= 127)
		return false;
	*ret_literal = c;
	return true;
}

size_t mf_regex_tail(const char *pattern, size_t len, bool full, char *buf, size_t room)
{
	struct reading r = { .at = pattern, .end = pattern + len, .buf = buf, .room = room };
	bool ends = full;

	if (room < 2)
		return 0;
	while (r.at < r.end) {
		char literal;
		bool repeated;

		if (*r.at == '$' && r.at + 1 == r.end) {
			ends = true;
			break;
		}
		if (!read_token(&r, &literal) || !skip_repeat(&r, &repeated)) {
			r.len = 0;
			break;
		}
		if (literal && !repeated)
			gather(&r, literal);
		else
			r.len = 0;
	}
	r.len = ends ? r.len : 0;
	buf[r.len] = '\0';
	return r.len;
}
